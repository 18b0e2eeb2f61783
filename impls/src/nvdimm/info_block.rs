//! The info block: 4096 bytes that say how a namespace is divided.
//!
//! ```text
//!  namespace | unused 4 KiB | info block 4 KiB | records (map=dev) … | data …                | end_trunc |
//!            0              0x1000             0x2000                dataoff
//! ```
//!
//! | offset | bytes | field | since minor |
//! | --- | --- | --- | --- |
//! | 0 | 16 | signature: `NVDIMM_PFN_INFO` (fsdax) or `NVDIMM_DAX_INFO` (devdax), and a zero | 0 |
//! | 16 | 16 | uuid of this instance | 0 |
//! | 32 | 16 | uuid of the namespace | 0 |
//! | 48 | 4 | flags, 0 | 0 |
//! | 52, 54 | 2 each | version, major and minor | 0 |
//! | 56 | 8 | dataoff: bytes to the data | 0 |
//! | 64 | 8 | npfns: pages of data | 0 |
//! | 72 | 4 | mode: 1 records in RAM, 2 on the medium | 0 |
//! | 76, 80 | 4 each | start_pad, end_trunc | 1 |
//! | 84 | 4 | align: alignment of the data | 2 |
//! | 88, 92 | 4, 2 | bytes of a page and of a record | 4 |
//! | 94 | 3994 | zero | really zero since 3 |
//! | 4088 | 8 | checksum | 0 |
//!
//! Every field is little-endian. Source: `struct nd_pfn_sb`, `nd_pfn_validate`, `nd_sb_checksum`.

use super::checksum::fletcher64;
use super::{Extent, HEAD_BYTES, Host, RECORD_BYTES_OF_OLD, RecordsOn, served};
use crate::bytes::Bytes;
use crate::rules::RuleSet;
use rustix::io::Errno;
use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the block.
pub const INFO_BLOCK_BYTES: usize = 4096;

/// The newest minor version: pages and records have their sizes in it.
pub const MINOR: u16 = 4;

/// Whose block it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A block device with pages: fsdax.
    Pfn,
    /// A DAX device: devdax.
    Dax,
}

impl Signature {
    /// As the block has it.
    pub fn bytes(self) -> &'static [u8; 16] {
        match self {
            Signature::Pfn => b"NVDIMM_PFN_INFO\0",
            Signature::Dax => b"NVDIMM_DAX_INFO\0",
        }
    }
}

/// The block as it lies on the medium.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct InfoBlock {
    signature: [u8; 16],
    uuid: [u8; 16],
    parent_uuid: [u8; 16],
    flags: U32,
    version_major: U16,
    version_minor: U16,
    dataoff: U64,
    npfns: U64,
    mode: U32,
    start_pad: U32,
    end_trunc: U32,
    align: U32,
    page_size: U32,
    page_struct_size: U16,
    padding: [u8; 3994],
    checksum: U64,
}

/// What is written into a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Whose block it is.
    pub signature: Signature,
    /// Of this instance.
    pub uuid: [u8; 16],
    /// Of the namespace; zero for one without a label.
    pub parent_uuid: [u8; 16],
    /// Minor version.
    pub minor: u16,
    /// Bytes from the start (after `start_pad`) to the data.
    pub dataoff: u64,
    /// Pages of data.
    pub npfns: u64,
    /// Where the records are.
    pub records: RecordsOn,
    /// Bytes that are left out at the start.
    pub start_pad: u32,
    /// Bytes that are left out at the end.
    pub end_trunc: u32,
    /// Alignment of the data.
    pub align: u32,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Bytes of a record.
    pub record_bytes: u16,
}

impl Contents {
    /// The block with these contents; fields that its minor version does not know are zero, and so is all padding, whatever the
    /// medium had there (the fix of patch 11 of the series).
    pub fn block(&self) -> InfoBlock {
        let since = |minor: u16, value: u32| if self.minor >= minor { value } else { 0 };
        let mut block = InfoBlock {
            signature: *self.signature.bytes(),
            uuid: self.uuid,
            parent_uuid: self.parent_uuid,
            flags: U32::ZERO,
            version_major: U16::new(1),
            version_minor: U16::new(self.minor),
            dataoff: U64::new(self.dataoff),
            npfns: U64::new(self.npfns),
            mode: U32::new(self.records.mode()),
            start_pad: U32::new(since(1, self.start_pad)),
            end_trunc: U32::new(since(1, self.end_trunc)),
            align: U32::new(since(2, self.align)),
            page_size: U32::new(since(4, self.page_bytes)),
            page_struct_size: U16::new(if self.minor >= 4 { self.record_bytes } else { 0 }),
            padding: [0; 3994],
            checksum: U64::ZERO,
        };
        block.checksum = U64::new(block.sum());
        block
    }
}

impl InfoBlock {
    /// The same block with the flags and the padding of what was there before, as old kernels wrote it.
    pub fn over(mut self, stale: &InfoBlock) -> InfoBlock {
        (self.flags, self.page_size, self.page_struct_size) = (stale.flags, stale.page_size, stale.page_struct_size);
        self.padding = stale.padding;
        self.checksum = U64::new(self.sum());
        self
    }

    /// Minor version.
    pub fn minor(&self) -> u16 {
        self.version_minor.get()
    }

    /// Are the flags and the padding zero?
    pub fn is_clean(&self) -> bool {
        self.flags.get() == 0 && self.padding.iter().all(|byte| *byte == 0)
    }
}

/// What a kernel knows of a namespace from its first probe on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Uuid of the instance.
    pub uuid: [u8; 16],
    /// Alignment of the data.
    pub align: u64,
    /// Where the records are.
    pub records: RecordsOn,
}

/// What a block that is good says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Uuid of the instance.
    pub uuid: [u8; 16],
    /// Minor version of the block.
    pub minor: u16,
    /// Bytes from the start (after `start_pad`) to the data.
    pub dataoff: u64,
    /// Pages of data when the block was made.
    pub npfns: u64,
    /// Where the records are.
    pub records: RecordsOn,
    /// Bytes that are left out at the start: old kernels wrote them, and they are honoured.
    pub start_pad: u64,
    /// Bytes that are left out at the end.
    pub end_trunc: u64,
    /// Alignment of the data.
    pub align: u64,
}

impl Settings {
    /// What is mapped of the namespace.
    pub fn mapped(&self, namespace: Extent) -> Extent {
        Extent { start: namespace.start + self.start_pad, size: namespace.size - self.start_pad - self.end_trunc }
    }

    /// Bytes of data of a namespace as it is now: what the block says of pages is what there was when it was made.
    pub fn data_bytes(&self, namespace: Extent) -> u64 {
        self.mapped(namespace).size.saturating_sub(self.dataoff)
    }

    /// Where the data of block I/O begins, in bytes from the start of the namespace.
    pub fn block_io_offset(&self) -> u64 {
        self.start_pad + self.dataoff
    }

    /// Can its pages be mapped into processes? Old kernels computed their page frames without the pad (13.6 of libnvdimm's history), so
    /// that a padded namespace is a block device alone.
    pub fn has_dax(&self) -> bool {
        self.start_pad == 0
    }
}

/// Why a block is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InfoBlockError {
    /// Another kind of block, or none.
    #[error("no info block of this kind: the signature is another")]
    Signature,
    /// Damaged.
    #[error("the info block is damaged: its checksum is {found:#018x}, and its contents sum to {computed:#018x}")]
    Checksum {
        /// In the block.
        found: u64,
        /// Of the block.
        computed: u64,
    },
    /// Of another namespace.
    #[error("the info block belongs to another namespace: its parent uuid is another")]
    Parent,
    /// Neither in RAM nor on the medium.
    #[error("the info block has the mode {mode}: 1 is records in RAM, 2 on the medium")]
    Mode {
        /// In the block.
        mode: u32,
    },
    /// Records were made for larger pages.
    #[error("the info block is for pages of {} and this kernel has {}: its records on the medium do not fit", Bytes(*found), Bytes(*host))]
    PageSize {
        /// In the block.
        found: u64,
        /// Of the host.
        host: u64,
    },
    /// Room was left for smaller records.
    #[error("the info block has room for records of {found} bytes, and this kernel's have {host}")]
    RecordSize {
        /// In the block.
        found: u16,
        /// Of the host.
        host: u16,
    },
    /// An alignment that the host does not serve.
    #[error("data aligned to {} is not served here; aligned to one of {} it is", Bytes(*align), served(aligns))]
    UnsupportedAlign {
        /// In the block.
        align: u64,
        /// Those that are.
        aligns: &'static [u64],
    },
    /// Another instance than before.
    #[error("the info block is of another instance than the one that was probed before")]
    Instance,
    /// Alignment or place of records differ from before.
    #[error("the info block says another alignment or place of records than was probed before")]
    Changed {
        /// Rules of before 5.7.
        is_old: bool,
    },
    /// Less data than one alignment.
    #[error("data aligned to {} does not fit {} of namespace", Bytes(*align), Bytes(*size))]
    AlignExceedsCapacity {
        /// In the block.
        align: u64,
        /// Of the namespace.
        size: u64,
        /// Rules of before 5.7.
        is_old: bool,
    },
    /// The data would begin behind the namespace.
    #[error("the data begins {} from the start, and the namespace has {}", Bytes(*dataoff), Bytes(*size))]
    DataBeyondEnd {
        /// In the block.
        dataoff: u64,
        /// Of the namespace.
        size: u64,
        /// Rules of before 5.7.
        is_old: bool,
    },
    /// The data is off its alignment.
    #[error(
        "the data begins at {at:#x}, {} past a multiple of {}: the namespace was made for another place, or has moved by what is no \
         multiple",
        Bytes(*off), Bytes(*align)
    )]
    BadOffset {
        /// Where it begins.
        at: u64,
        /// How far past.
        off: u64,
        /// What of.
        align: u64,
        /// Rules of before 5.7.
        is_old: bool,
    },
    /// The start of what is mapped is off the grid of sub-sections.
    #[error("what is mapped begins at {at:#x}, {} past a multiple of {}: such parts cannot be mapped since Linux 5.3; a start that differs by a multiple of {} from {:#x} works", Bytes(*off), Bytes(*compat), Bytes(*compat), at - off)]
    StartMisaligned {
        /// Where it begins.
        at: u64,
        /// How far past.
        off: u64,
        /// The grid.
        compat: u64,
    },
    /// So is its end.
    #[error("what is mapped ends at {at:#x}, {} past a multiple of {}: such parts cannot be mapped since Linux 5.3", Bytes(*off), Bytes(*compat))]
    EndMisaligned {
        /// Where it ends.
        at: u64,
        /// How far past.
        off: u64,
        /// The grid.
        compat: u64,
    },
    /// The data would begin within the head.
    #[error("the data begins {} from the start, within the head of {} with the info block", Bytes(*dataoff), Bytes(*head))]
    DataInHead {
        /// In the block.
        dataoff: u64,
        /// Whole pages of the host.
        head: u64,
    },
    /// More is left out than there is.
    #[error("{} are left out at the start and {} at the end of {}: nothing is left", Bytes(*start_pad), Bytes(*end_trunc), Bytes(*size))]
    NothingLeft {
        /// In the block.
        start_pad: u64,
        /// In the block.
        end_trunc: u64,
        /// Of the namespace.
        size: u64,
    },
}

impl InfoBlockError {
    /// The kernel's. `ENODEV` is no block of this kind: another is tried. All others are of a block that must not be forgotten.
    pub fn errno(&self) -> Errno {
        use InfoBlockError::*;
        match self {
            Signature | Checksum { .. } | Parent | Instance => Errno::NODEV,
            Mode { .. } => Errno::NXIO,
            // Source: `__nvdimm_setup_pfn`, when it is mapped.
            DataInHead { .. } => Errno::INVAL,
            Changed { is_old: true } | AlignExceedsCapacity { is_old: true, .. } => Errno::INVAL,
            DataBeyondEnd { is_old: true, .. } => Errno::BUSY,
            BadOffset { is_old: true, .. } => Errno::NXIO,
            _ => Errno::OPNOTSUPP,
        }
    }
}

impl InfoBlock {
    /// The block in the first 4096 bytes of some; `None` if they are fewer.
    pub fn read(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(block, _)| block)
    }

    /// Fletcher's sum with 64 bits over the block, the checksum taken for zero. Source: `nd_fletcher64`.
    pub fn sum(&self) -> u64 {
        let (body, _) = self.as_bytes().split_at(INFO_BLOCK_BYTES - size_of::<U64>());
        fletcher64(&[body, &[0; size_of::<U64>()]])
    }

    /// What the block says, if it is good for a namespace of this host. `adopted` is what was probed before, if anything was.
    ///
    /// # Errors
    /// The first condition that does not hold, in the kernel's order.
    pub fn validate(
        &self,
        signature: Signature,
        parent_uuid: &[u8; 16],
        namespace: Extent,
        host: &Host,
        adopted: Option<&Adopted>,
        rules: &RuleSet,
    ) -> Result<Settings, InfoBlockError> {
        let is_old = rules.pads_namespaces;
        if self.signature != *signature.bytes() {
            return Err(InfoBlockError::Signature);
        }
        let (found, computed) = (self.checksum.get(), self.sum());
        if found != computed {
            return Err(InfoBlockError::Checksum { found, computed });
        }
        if self.parent_uuid != *parent_uuid {
            return Err(InfoBlockError::Parent);
        }
        let minor = self.version_minor.get();
        let since = |version: u16, value: U32| if minor >= version { u64::from(value.get()) } else { 0 };
        let (start_pad, end_trunc) = (since(1, self.start_pad), since(1, self.end_trunc));
        // Kernels of before 5.4 know neither field, and mapped what was made for larger pages.
        let (page, record) = match minor >= 4 && !is_old {
            true => (u64::from(self.page_size.get()), self.page_struct_size.get()),
            false => (host.page_bytes, RECORD_BYTES_OF_OLD),
        };
        let mode = self.mode.get();
        let records = RecordsOn::of_mode(mode).ok_or(InfoBlockError::Mode { mode })?;
        let dataoff = self.dataoff.get();
        // Not its lowest bit: a block without an alignment was made for the largest that fits in front of its data.
        let align = match since(2, self.align) {
            0 => dataoff.checked_ilog2().map_or(0, |power| 1 << power),
            align => align,
        };
        if records == RecordsOn::Medium {
            if page > host.page_bytes {
                return Err(InfoBlockError::PageSize { found: page, host: host.page_bytes });
            }
            if record < host.record_bytes {
                return Err(InfoBlockError::RecordSize { found: record, host: host.record_bytes });
            }
        }
        if signature == Signature::Dax && !host.aligns.contains(&align) {
            return Err(InfoBlockError::UnsupportedAlign { align, aligns: host.aligns });
        }
        if let Some(adopted) = adopted {
            if adopted.uuid != self.uuid {
                return Err(InfoBlockError::Instance);
            }
            if (adopted.align, adopted.records) != (align, records) {
                return Err(InfoBlockError::Changed { is_old });
            }
        }
        let size = namespace.size;
        if align > size {
            return Err(InfoBlockError::AlignExceedsCapacity { align, size, is_old });
        }
        if dataoff >= size {
            return Err(InfoBlockError::DataBeyondEnd { dataoff, size, is_old });
        }
        let at = namespace.start + dataoff + start_pad;
        let off = at.checked_rem(align).unwrap_or(0);
        if off != 0 {
            return Err(InfoBlockError::BadOffset { at, off, align, is_old });
        }
        let off = dataoff % host.page_bytes;
        if off != 0 {
            return Err(InfoBlockError::BadOffset { at, off, align: host.page_bytes, is_old });
        }
        if start_pad + end_trunc >= size {
            return Err(InfoBlockError::NothingLeft { start_pad, end_trunc, size });
        }
        if !is_old {
            let compat = host.compat_bytes;
            let (start, end) = (namespace.start + start_pad, namespace.end() - end_trunc);
            if start % compat != 0 {
                return Err(InfoBlockError::StartMisaligned { at: start, off: start % compat, compat });
            }
            if end % compat != 0 {
                return Err(InfoBlockError::EndMisaligned { at: end, off: end % compat, compat });
            }
        }
        // Not looked at by the kernel until it is mapped.
        let head = HEAD_BYTES.next_multiple_of(host.page_bytes);
        if dataoff < head {
            return Err(InfoBlockError::DataInHead { dataoff, head });
        }
        if start_pad + dataoff + end_trunc >= size {
            return Err(InfoBlockError::NothingLeft { start_pad, end_trunc, size });
        }
        let npfns = self.npfns.get();
        Ok(Settings { uuid: self.uuid, minor, dataoff, npfns, records, start_pad, end_trunc, align })
    }
}

#[cfg(test)]
mod tests;
