//! Persistent memory as namespaces: where a namespace keeps its records, and how much is left for
//! data.
//!
//! [`info_block`] is the 4096-byte block on the medium that stores both. [`division`] computes them,
//! with or without the padding that namespaces needed before the sub-section series.
//!
//! Source: `drivers/nvdimm/pfn_devs.c`, `drivers/nvdimm/pfn.h`.

mod altmap_shape;
mod checksum;
mod data;
pub mod division;
pub mod forecast;
pub mod info_block;
pub mod label;
pub mod namespace;
pub mod region;
mod region_align;
pub mod scene;
pub mod storage;

#[cfg(all(test, not(loom)))]
mod crash_consistency;
#[cfg(all(test, not(loom)))]
mod tests;

pub use data::Data;

use crate::byte_size::ByteSize;
use crate::geometry::{Geometry, X86_64};

/// Size in bytes of the head of a namespace, which is never data: an unused 4 KiB page, then the
/// info block.
pub const HEAD_BYTES: u64 = 8192;

/// Size in bytes of the largest physical address space of all geometries.
pub const PHYSICAL_SPACE_BYTES: u64 = 1 << 56;

/// Size in bytes of the physical address space of the machine that maps namespaces: x86-64 with
/// four-level page tables.
pub const MACHINE_SPACE_BYTES: u64 = X86_64::NR_PFNS << X86_64::PAGE_SHIFT;

/// Offset in bytes of the info block in a namespace.
pub(crate) const INFO_BLOCK_OFFSET: u64 = 4096;

/// Size in bytes of a record, for info blocks of a minor version that does not store it.
pub(crate) const RECORD_BYTES_OF_OLD: u16 = 64;

/// The properties of a machine that matter to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Page size in bytes.
    pub page_bytes: u64,
    /// Size of a record in bytes.
    pub record_bytes: u16,
    /// Required alignment in bytes of the start and end of a mapping: a sub-section. Source:
    /// `memremap_compat_align`.
    pub compat_bytes: u64,
    /// Section size in bytes.
    pub section_bytes: u64,
    /// Bytes that one PMD entry maps.
    pub pmd_bytes: u64,
    /// Supported data alignments in bytes.
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

/// A non-empty physical range in bytes, e.g. that of a namespace.
///
/// ```
/// use memmap_layouts::nvdimm::Extent;
///
/// let namespace = Extent::new(4 << 30, 16 << 20).ok_or("empty, or above 64 PiB")?;
/// assert_eq!(namespace.end(), 0x1_0100_0000);
/// assert_eq!(Extent::new(1 << 56, 4096), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Physical address of the first byte.
    pub start: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Extent {
    /// Creates a physical range; `None` if it is empty or exceeds [`PHYSICAL_SPACE_BYTES`].
    pub fn new(start: u64, size: u64) -> Option<Self> {
        let end = start.checked_add(size)?;
        (size > 0 && end <= PHYSICAL_SPACE_BYTES).then_some(Self { start, size })
    }

    /// One past the last byte.
    pub fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// Where a namespace keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsOn {
    /// In RAM (`map=mem`).
    Ram,
    /// On the medium, before the data (`map=dev`).
    Medium,
}

impl RecordsOn {
    /// The value stored in the info block: 1 for RAM, 2 for the medium. Source: `enum nd_pfn_mode`.
    pub fn mode(self) -> u32 {
        match self {
            RecordsOn::Ram => 1,
            RecordsOn::Medium => 2,
        }
    }

    /// The inverse of [`mode`](Self::mode); `None` for other values.
    pub fn from_mode(mode: u32) -> Option<Self> {
        match mode {
            1 => Some(RecordsOn::Ram),
            2 => Some(RecordsOn::Medium),
            _ => None,
        }
    }
}

/// Formats a list of alignments for messages, e.g. `4 KiB, 2 MiB`.
fn list_sizes(aligns: &[u64]) -> String {
    aligns.iter().map(|align| ByteSize(*align).to_string()).collect::<Vec<_>>().join(", ")
}
