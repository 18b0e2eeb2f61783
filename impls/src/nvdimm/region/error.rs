//! Why a region or one of its namespaces could not be created, read or changed.

use super::RegionAlign;
use crate::byte_size::ByteSize;
use crate::nvdimm::division::{DivisionError, Overlap};
use crate::nvdimm::info_block::InfoBlockError;
use crate::nvdimm::label::{InvalidTable, LabelError};
use crate::nvdimm::storage::StorageError;
use crate::nvdimm::{Extent, MACHINE_SPACE_BYTES};
use rustix::io::Errno;
use std::io;
use thiserror::Error;

/// Why an operation on a region or one of its namespaces failed.
#[derive(Debug, Error)]
pub enum RegionError {
    /// The labels cannot be read or written.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The medium cannot be read or written.
    #[error("cannot {what} the medium at {at:#x}: {source}")]
    Medium {
        /// The operation that failed.
        what: &'static str,
        /// Offset in bytes from the start of the medium.
        at: u64,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The medium is shorter than its region.
    #[error(
        "the medium has {} and its labels describe a region of {}: {} are missing at its end; restore its \
         length (truncate -s {size} on the file)",
        ByteSize(*len), ByteSize(*size), ByteSize(size - len)
    )]
    Truncated {
        /// Size of the medium in bytes.
        len: u64,
        /// Size of the region in bytes.
        size: u64,
    },
    /// The alignment is invalid for this region.
    #[error(
        "region alignment {} is not {} from {} to the region size ({}){}",
        ByteSize(align.bytes), align.condition(), RegionAlign::from_per_mapping(*page, align.mappings), ByteSize(*size),
        align.works(*size, *page).map_or_else(String::new, |works| format!("; {works} works"))
    )]
    Align {
        /// The requested value.
        align: RegionAlign,
        /// Size of the region in bytes.
        size: u64,
        /// Page size in bytes.
        page: u64,
    },
    /// The medium is smaller than a page.
    #[error("region size {} is below the minimum of one page ({})", ByteSize(*size), ByteSize(*page))]
    TooSmall {
        /// Size of the medium in bytes.
        size: u64,
        /// Page size in bytes.
        page: u64,
    },
    /// The start is not a multiple of a page.
    #[error(
        "region start {start:#x} is {} past a multiple of the page size ({}); {:#x} works",
        ByteSize(*off), ByteSize(*page), start - off
    )]
    StartOffPage {
        /// The requested value in bytes.
        start: u64,
        /// Bytes from the page boundary below to the start.
        off: u64,
        /// Page size in bytes.
        page: u64,
    },
    /// The size is not a multiple of the region's alignment.
    #[error(
        "namespace size {} is not a positive multiple of the region alignment of {} ({} past one); {} works",
        ByteSize(*size), ByteSize(*align), ByteSize(size % align), ByteSize(size.div_ceil(*align).max(1).saturating_mul(*align))
    )]
    Size {
        /// The requested value in bytes.
        size: u64,
        /// Alignment of the region in bytes.
        align: u64,
    },
    /// No free extent is large enough.
    #[error(
        "a namespace of {} does not fit into the region: its largest free extent has {}",
        ByteSize(*size), ByteSize(*largest)
    )]
    NoSpace {
        /// The requested value in bytes.
        size: u64,
        /// Size of the largest free extent in bytes.
        largest: u64,
    },
    /// RAM or another region overlaps the namespace.
    #[error(
        "the namespace at {:#x}-{:#x} overlaps {} at {:#x}-{:#x} by {}; choose a size or a region without overlap",
        namespace.start, namespace.end() - 1, if overlap.is_ram { "RAM" } else { "another region" },
        overlap.other.start, overlap.other.end() - 1, ByteSize(overlap.by)
    )]
    Taken {
        /// Where the namespace would be.
        namespace: Extent,
        /// The overlapping RAM or region.
        overlap: Overlap,
    },
    /// The namespace exceeds the machine's physical address space.
    #[error(
        "the namespace ends {} above the top of the machine's physical address space \
         ({MACHINE_SPACE_BYTES:#x})",
        ByteSize(*beyond)
    )]
    Beyond {
        /// Bytes above the top of that space.
        beyond: u64,
    },
    /// The change would make the labels invalid.
    #[error("the region or its labels would be invalid: {0}")]
    InvalidTable(InvalidTable),
    /// The namespace cannot be divided.
    #[error(transparent)]
    Division(#[from] DivisionError),
    /// The info block is invalid.
    #[error(transparent)]
    InfoBlock(#[from] InfoBlockError),
    /// There is no namespace with this UUID.
    #[error("the region has no namespace with this UUID")]
    NoSuchNamespace,
    /// The namespace is enabled.
    #[error("namespace {name} is enabled; disable it first")]
    Enabled {
        /// Name of the namespace.
        name: String,
    },
}

impl RegionError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> Errno {
        let io_errno = |source: &io::Error| Errno::from_io_error(source).unwrap_or(Errno::IO);
        match self {
            Self::Label(LabelError::Io { source, .. }) => io_errno(source),
            Self::Label(LabelError::Damaged(_)) | Self::Truncated { .. } | Self::NoSuchNamespace => Errno::NXIO,
            Self::Label(LabelError::Invalid(_)) | Self::InvalidTable(_) | Self::Align { .. } | Self::Size { .. } => {
                Errno::INVAL
            }
            Self::TooSmall { .. } | Self::StartOffPage { .. } => Errno::INVAL,
            // `nd_pfn_validate` returns ENXIO for any read error.
            Self::Medium { what: "read", .. } => Errno::NXIO,
            Self::Medium { source, .. } => io_errno(source),
            Self::NoSpace { .. } => Errno::NOSPC,
            Self::Taken { .. } => Errno::BUSY,
            Self::Beyond { .. } => Errno::RANGE,
            Self::Division(error) => error.errno(),
            Self::InfoBlock(error) => error.errno(),
            Self::Enabled { .. } => Errno::BUSY,
        }
    }
}

/// Why a region could not be created.
#[derive(Debug, Error)]
pub enum CreateRegionError {
    /// A file could not be opened, created or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The region could not be created as requested.
    #[error(transparent)]
    Region(#[from] RegionError),
}
