//! Persistent memory as namespaces: where the records of a namespace lie, and what of it is left for data.
//!
//! [`info_block`] is the 4096-byte block that says so on the medium; [`division`] computes it, with the padding that namespaces needed
//! before the sub-section series and without.
//!
//! Source: `drivers/nvdimm/pfn_devs.c`, `drivers/nvdimm/pfn.h`.

mod checksum;
mod data;
pub mod division;
pub mod forecast;
pub mod info_block;
pub mod label;
pub mod namespace;
pub mod region;
pub mod scene;
pub mod storage;

#[cfg(all(test, not(loom)))]
mod crash;
#[cfg(all(test, not(loom)))]
mod tests;

pub use data::Data;

use crate::bytes::Bytes;

/// Bytes at the head of a namespace that are never data: an unused page, and the info block in the next.
pub const HEAD_BYTES: u64 = 8192;

/// Bytes of the widest physical space of any architecture.
pub const PHYSICAL_SPACE_BYTES: u64 = 1 << 56;

/// Where the info block begins in a namespace.
pub const INFO_BLOCK_OFFSET: u64 = 4096;

/// Bytes of a record in a block of a minor version that does not say.
pub const RECORD_BYTES_OF_OLD: u16 = 64;

/// What a kernel is to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Bytes of a record.
    pub record_bytes: u16,
    /// Start and end of what is mapped are multiples of this: a sub-section. Source: `memremap_compat_align`.
    pub compat_bytes: u64,
    /// Bytes of a section.
    pub section_bytes: u64,
    /// Bytes that the middle page table maps at once.
    pub pmd_bytes: u64,
    /// Alignments of data that it serves.
    pub aligns: &'static [u64],
}

impl Host {
    /// x86-64 with 4 KiB pages.
    pub const X86_64: Host = Host {
        page_bytes: 4096,
        record_bytes: 64,
        compat_bytes: 2 << 20,
        section_bytes: 128 << 20,
        pmd_bytes: 2 << 20,
        aligns: &[4096, 2 << 20, 1 << 30],
    };

    /// arm64 with 64 KiB pages.
    pub const ARM64_64K: Host = Host {
        page_bytes: 64 << 10,
        record_bytes: 64,
        compat_bytes: 2 << 20,
        section_bytes: 512 << 20,
        pmd_bytes: 512 << 20,
        aligns: &[64 << 10, 512 << 20],
    };
}

/// Where a namespace lies, in bytes of the physical space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Extent {
    /// A range of the physical space; `None` if it is empty or leaves [`PHYSICAL_SPACE_BYTES`].
    pub fn new(start: u64, size: u64) -> Option<Self> {
        let end = start.checked_add(size)?;
        (size > 0 && end <= PHYSICAL_SPACE_BYTES).then_some(Self { start, size })
    }

    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// Where the records of a namespace lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsOn {
    /// In RAM (`map=mem`).
    Ram,
    /// On the medium, before the data (`map=dev`).
    Medium,
}

impl RecordsOn {
    /// As the info block has it. Source: `enum nd_pfn_mode`.
    pub fn mode(self) -> u32 {
        match self {
            RecordsOn::Ram => 1,
            RecordsOn::Medium => 2,
        }
    }

    /// The same backwards.
    pub fn of_mode(mode: u32) -> Option<Self> {
        match mode {
            1 => Some(RecordsOn::Ram),
            2 => Some(RecordsOn::Medium),
            _ => None,
        }
    }
}

/// Alignments, for people.
fn served(aligns: &[u64]) -> String {
    aligns.iter().map(|align| Bytes(*align).to_string()).collect::<Vec<_>>().join(", ")
}
