//! The info block: 4096 bytes that store how a namespace is divided.
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
use super::{Extent, HEAD_BYTES, Host, RECORD_BYTES_OF_OLD, RecordsOn, list_sizes};
use crate::byte_size::ByteSize;
use crate::rules::RuleSet;
use rustix::io::Errno;
use thiserror::Error;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size of the info block in bytes.
pub const INFO_BLOCK_BYTES: usize = 4096;

/// The newest minor version. It stores the sizes of a page and of a record.
pub(crate) const MINOR: u16 = 4;

/// The kind of namespace that the info block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A block device with pages: fsdax.
    Pfn,
    /// A DAX device: devdax.
    Dax,
}

impl Signature {
    /// The 16 signature bytes in the info block.
    pub fn bytes(self) -> &'static [u8; 16] {
        match self {
            Signature::Pfn => b"NVDIMM_PFN_INFO\0",
            Signature::Dax => b"NVDIMM_DAX_INFO\0",
        }
    }
}

/// The info block as stored on the medium.
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

/// The contents of an info block to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The kind of namespace that the info block belongs to.
    pub signature: Signature,
    /// UUID of this instance.
    pub uuid: [u8; 16],
    /// UUID of the namespace; zero if it has no label.
    pub parent_uuid: [u8; 16],
    /// Minor version of the info block's format.
    pub minor: u16,
    /// Bytes from the start (after `start_pad`) to the data.
    pub dataoff: u64,
    /// Number of data pages.
    pub npfns: u64,
    /// Where the records are kept.
    pub records: RecordsOn,
    /// Padding at the start in bytes.
    pub start_pad: u32,
    /// Padding at the end in bytes.
    pub end_trunc: u32,
    /// Alignment of the data in bytes.
    pub align: u32,
    /// Page size in bytes.
    pub page_bytes: u32,
    /// Size of a record in bytes.
    pub record_bytes: u16,
}

impl Contents {
    /// Builds the info block. Fields that its minor version lacks are zero. So is all padding,
    /// whatever the medium had there (the fix of patch 11 of the series).
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
    /// Keeps the flags and the padding of the `stale` block, as old kernels did when they wrote an
    /// info block.
    pub(crate) fn over(mut self, stale: &InfoBlock) -> InfoBlock {
        (self.flags, self.page_size, self.page_struct_size) = (stale.flags, stale.page_size, stale.page_struct_size);
        self.padding = stale.padding;
        self.checksum = U64::new(self.sum());
        self
    }

    /// Minor version of the info block's format.
    pub(crate) fn minor(&self) -> u16 {
        self.version_minor.get()
    }

    /// Whether the flags and the padding are zero.
    pub(crate) fn is_clean(&self) -> bool {
        self.flags.get() == 0 && self.padding.iter().all(|byte| *byte == 0)
    }
}

/// What a kernel remembers of a namespace after the first probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// UUID of the instance.
    pub uuid: [u8; 16],
    /// Alignment of the data in bytes.
    pub align: u64,
    /// Where the records are kept.
    pub records: RecordsOn,
}

/// The contents of a valid info block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// UUID of the instance.
    pub uuid: [u8; 16],
    /// Minor version of the info block's format.
    pub minor: u16,
    /// Bytes from the start (after `start_pad`) to the data.
    pub dataoff: u64,
    /// Number of data pages when the info block was created.
    pub npfns: u64,
    /// Where the records are kept.
    pub records: RecordsOn,
    /// Padding at the start in bytes, as written by old kernels. Newer ones honour it.
    pub start_pad: u64,
    /// Padding at the end in bytes.
    pub end_trunc: u64,
    /// Alignment of the data in bytes.
    pub align: u64,
}

impl Settings {
    /// The part of the namespace that is mapped: all but the padding.
    pub fn mapped(&self, namespace: Extent) -> Extent {
        Extent { start: namespace.start + self.start_pad, size: namespace.size - self.start_pad - self.end_trunc }
    }

    /// Size in bytes of the data for the namespace's present size. `npfns` is from when the info
    /// block was created.
    pub fn data_bytes(&self, namespace: Extent) -> u64 {
        self.mapped(namespace).size.saturating_sub(self.dataoff)
    }

    /// Offset in bytes of the data for block I/O, from the start of the namespace.
    pub fn block_io_offset(&self) -> u64 {
        self.start_pad + self.dataoff
    }

    /// Whether processes can map its pages. Old kernels ignored the padding in page frame numbers
    /// (13.6 of libnvdimm's history), so a padded namespace is only a block device.
    pub fn has_dax(&self) -> bool {
        self.start_pad == 0
    }
}

/// Why an info block was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InfoBlockError {
    /// The signature is that of another kind of info block, or of none.
    #[error("the signature is not that of an info block of this kind")]
    Signature,
    /// The checksum does not match the contents.
    #[error("the info block is damaged: its checksum is {found:#018x}, but its contents give {computed:#018x}")]
    Checksum {
        /// The value in the info block.
        found: u64,
        /// Checksum of the contents.
        computed: u64,
    },
    /// The parent UUID is that of another namespace.
    #[error("the info block belongs to another namespace: its parent UUID is not the UUID of this one")]
    Parent,
    /// The mode is neither 1 (records in RAM) nor 2 (on the medium).
    #[error("the info block has the unknown mode {mode}; known are 1 (records in RAM) and 2 (records on the medium)")]
    Mode {
        /// The value in the info block.
        mode: u32,
    },
    /// The records on the medium are for another page size.
    #[error(
        "the info block is for pages of {}, but this host has pages of {}: records on the medium need pages \
         of at most that size",
        ByteSize(*found), ByteSize(*host)
    )]
    PageSize {
        /// The value in the info block.
        found: u64,
        /// The host's value.
        host: u64,
    },
    /// The info block has room for smaller records only.
    #[error("the info block has room for records of {found} bytes, but this host's have {host} bytes")]
    RecordSize {
        /// The value in the info block.
        found: u16,
        /// The host's value.
        host: u16,
    },
    /// The host does not support the alignment.
    #[error("data alignment {} is not supported on this host; supported are {}", ByteSize(*align), list_sizes(aligns))]
    UnsupportedAlign {
        /// Alignment that the info block states, in bytes.
        align: u64,
        /// Supported alignments in bytes.
        aligns: &'static [u64],
    },
    /// The UUID is not that of the instance probed before.
    #[error("the info block has another instance UUID than at the previous probe; disable and enable the namespace")]
    Instance,
    /// The alignment or the place of the records differs from the previous probe.
    #[error(
        "the alignment or the place of the records differs from the previous probe; disable and enable the namespace"
    )]
    Changed {
        /// True with the rules before Linux 5.7.
        is_old: bool,
    },
    /// The namespace is too small for data of this alignment.
    #[error("data alignment {} exceeds the namespace size of {}", ByteSize(*align), ByteSize(*size))]
    AlignExceedsCapacity {
        /// Alignment that the info block states, in bytes.
        align: u64,
        /// Size of the namespace in bytes.
        size: u64,
        /// True with the rules before Linux 5.7.
        is_old: bool,
    },
    /// The data would begin beyond the end of the namespace.
    #[error("the data begins {} from the start, beyond the namespace size of {}", ByteSize(*dataoff), ByteSize(*size))]
    DataBeyondEnd {
        /// Offset of the data that the info block states, in bytes.
        dataoff: u64,
        /// Size of the namespace in bytes.
        size: u64,
        /// True with the rules before Linux 5.7.
        is_old: bool,
    },
    /// The start of the data is misaligned.
    #[error(
        "the data begins at {at:#x}, {} past a multiple of {}: the namespace was created for another address, or moved \
         by a distance that is not a multiple of {}",
        ByteSize(*off), ByteSize(*align), ByteSize(*align)
    )]
    BadOffset {
        /// Physical address of the start.
        at: u64,
        /// Bytes above the multiple below.
        off: u64,
        /// The required alignment in bytes.
        align: u64,
        /// True with the rules before Linux 5.7.
        is_old: bool,
    },
    /// The start of the mapping is not a multiple of a sub-section.
    #[error(
        "the mapping begins at {at:#x}, {} past a multiple of {}: since Linux 5.3 only whole sub-sections can \
         be mapped; a start that differs by a multiple of {} from {:#x} works",
        ByteSize(*off), ByteSize(*compat), ByteSize(*compat), at - off
    )]
    StartMisaligned {
        /// Physical address of the start.
        at: u64,
        /// Bytes above the multiple below.
        off: u64,
        /// The required alignment in bytes.
        compat: u64,
    },
    /// The end of the mapping is not a multiple of a sub-section.
    #[error(
        "the mapping ends at {at:#x}, {} past a multiple of {}: since Linux 5.3 only whole sub-sections can \
         be mapped; an end of {:#x} works",
        ByteSize(*off), ByteSize(*compat), at - off
    )]
    EndMisaligned {
        /// Physical address of the end.
        at: u64,
        /// Bytes above the multiple below.
        off: u64,
        /// The required alignment in bytes.
        compat: u64,
    },
    /// The data would begin inside the head.
    #[error(
        "the data begins {} from the start, but the head with the info block takes {}; data must begin after \
         it",
        ByteSize(*dataoff), ByteSize(*head)
    )]
    DataInHead {
        /// Offset of the data that the info block states, in bytes.
        dataoff: u64,
        /// Size of the head in bytes, rounded up to the host's pages.
        head: u64,
    },
    /// The padding takes up the whole namespace.
    #[error(
        "padding of {} at the start and {} at the end leaves no data in a namespace of {}",
        ByteSize(*start_pad), ByteSize(*end_trunc), ByteSize(*size)
    )]
    NothingLeft {
        /// Padding at the start that the info block states, in bytes.
        start_pad: u64,
        /// Padding at the end that the info block states, in bytes.
        end_trunc: u64,
        /// Size of the namespace in bytes.
        size: u64,
    },
}

impl InfoBlockError {
    /// The error number that the kernel returns for the same refusal. After `ENODEV` the kernel
    /// tries another kind of info block; any other error ends the probe.
    pub fn errno(&self) -> Errno {
        use InfoBlockError::*;
        match self {
            Signature | Checksum { .. } | Parent | Instance => Errno::NODEV,
            Mode { .. } => Errno::NXIO,
            // Source: `__nvdimm_setup_pfn`, which runs when the namespace is mapped.
            DataInHead { .. } => Errno::INVAL,
            Changed { is_old: true } | AlignExceedsCapacity { is_old: true, .. } => Errno::INVAL,
            DataBeyondEnd { is_old: true, .. } => Errno::BUSY,
            BadOffset { is_old: true, .. } => Errno::NXIO,
            _ => Errno::OPNOTSUPP,
        }
    }
}

impl InfoBlock {
    /// Interprets the first 4096 bytes as an info block, valid or not; `None` if there are fewer.
    pub fn read(bytes: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(bytes).ok().map(|(block, _)| block)
    }

    /// The Fletcher-64 checksum of the block, computed with a checksum field of zero. Source:
    /// `nd_fletcher64`.
    pub fn sum(&self) -> u64 {
        let (body, _) = self.as_bytes().split_at(INFO_BLOCK_BYTES - size_of::<U64>());
        fletcher64(&[body, &[0; size_of::<U64>()]])
    }

    /// Checks that the block is valid for a namespace on this host, and returns its contents.
    /// `adopted` is the result of the previous probe, if there was one.
    ///
    /// # Errors
    /// The first condition that does not hold, in the order in which the kernel checks.
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
        // Kernels before 5.4 know neither field, and map info blocks for larger pages.
        let (page, record) = match minor >= 4 && !is_old {
            true => (u64::from(self.page_size.get()), self.page_struct_size.get()),
            false => (host.page_bytes, RECORD_BYTES_OF_OLD),
        };
        let mode = self.mode.get();
        let records = RecordsOn::from_mode(mode).ok_or(InfoBlockError::Mode { mode })?;
        let dataoff = self.dataoff.get();
        // A block without an alignment has the largest power of two that is at most `dataoff`, not
        // the largest that divides it.
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
        // The kernel checks this when the namespace is mapped, not when it is probed.
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
