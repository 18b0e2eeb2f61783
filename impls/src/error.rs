//! Why something was refused: one variant a cause, each with the range, the rule, how far off, and the kernel's errno.

use crate::bytes::Bytes;
use crate::grace::GraceError;
use crate::pfn::{PfnRange, PhysSpan};
use crate::vmem::VmemError;
use rustix::io::Errno;
use thiserror::Error;

/// Why a layout did not boot.
#[derive(Debug, Error)]
pub enum BootError {
    /// Two ranges of the map share a page.
    #[error("the boot map names the same page twice: {first} and {second}")]
    Overlap {
        /// The lower range.
        first: PfnRange,
        /// The one that begins before it ends.
        second: PfnRange,
    },
    /// Memory above the top of the physical space.
    #[error("{span} lies beyond the physical space of {geometry}, which ends at {:#x} ({bits} bits)", 1u128 << bits)]
    BeyondPhysicalSpace {
        /// The memory.
        span: PhysSpan,
        /// Width of a physical address.
        bits: u32,
        /// The architecture.
        geometry: &'static str,
    },
    /// The machine that has this map could not hold the records.
    #[error(
        "would not boot: the records alone need {}, and the machine of this map has {} of memory",
        Bytes(*need_bytes), Bytes(*have_bytes)
    )]
    WouldNotBoot {
        /// Bytes of records.
        need_bytes: u64,
        /// Bytes of memory in the map.
        have_bytes: u64,
    },
    /// An index table could not be allocated.
    #[error("no memory for {what} ({})", Bytes(*bytes))]
    NoMemory {
        /// The table.
        what: &'static str,
        /// Its size.
        bytes: u64,
    },
    /// Address space or memory for records.
    #[error(transparent)]
    Vmem(#[from] VmemError),
}

/// Why a range was not added or removed.
#[derive(Debug, Error)]
pub enum HotplugError {
    /// No page in the range.
    #[error("the range at {span} has no page in it")]
    Empty {
        /// The range.
        span: PhysSpan,
    },
    /// Off the layout's grid.
    #[error(
        "{span} is refused: start and size must be multiples of {} ({rule}); the start is {} past one, the end is {} past one",
        Bytes(*granule_bytes), Bytes(*start_off_bytes), Bytes(*end_off_bytes)
    )]
    Misaligned {
        /// The range.
        span: PhysSpan,
        /// The grid.
        granule_bytes: u64,
        /// Whose rule it is.
        rule: &'static str,
        /// Distance of the start from the multiple below.
        start_off_bytes: u64,
        /// Distance of the end from the multiple below.
        end_off_bytes: u64,
    },
    /// Above the top of the physical space.
    #[error("{span} ends {} beyond the physical space, which ends at {:#x} ({bits} bits)", Bytes(*beyond_bytes), 1u128 << bits)]
    BeyondPhysicalSpace {
        /// The range.
        span: PhysSpan,
        /// Width of a physical address.
        bits: u32,
        /// How far.
        beyond_bytes: u64,
    },
    /// Some of it is there already.
    #[error("{span} is refused: {at} is there already")]
    Overlaps {
        /// The range.
        span: PhysSpan,
        /// The first part that is there.
        at: PhysSpan,
    },
    /// Some of it is not there.
    #[error("{span} cannot be removed: {at} is not there")]
    NotPresent {
        /// The range.
        span: PhysSpan,
        /// The first part that is not there.
        at: PhysSpan,
    },
    /// Not all of a section is RAM that is there.
    #[error("{span} does not go online: {at} is not there as a whole, or a device shares it")]
    NotWholeRam {
        /// The range.
        span: PhysSpan,
        /// The first such section.
        at: PhysSpan,
    },
    /// The altmap belongs to another range.
    #[error("{span} is refused: its altmap begins at pfn {altmap_base:#x}, not at the start of the range")]
    AltmapElsewhere {
        /// The range.
        span: PhysSpan,
        /// First pfn of the altmap.
        altmap_base: u64,
    },
    /// The altmap serves another layout.
    #[error("{span} is refused: its altmap holds records of another layout")]
    AltmapOfAnother {
        /// The range.
        span: PhysSpan,
    },
    /// The altmap claims more pages than are added.
    #[error("{span} is refused: its altmap claims {claimed} pages (reserve and free) of the {} that are added", span.range.nr_pages())]
    AltmapTooLarge {
        /// The range.
        span: PhysSpan,
        /// `reserve + free` of the altmap.
        claimed: u64,
    },
    /// The altmap cannot hold the records.
    #[error(
        "the altmap of {span} is exhausted: {need} more pages for records, {left} left (blocks must be naturally aligned)"
    )]
    AltmapExhausted {
        /// The range.
        span: PhysSpan,
        /// Pages needed for the next block.
        need: u64,
        /// Pages left.
        left: u64,
    },
    /// A descriptor could not be allocated.
    #[error("{span}: no memory for {what}")]
    NoMemory {
        /// The range.
        span: PhysSpan,
        /// What was to be allocated.
        what: &'static str,
    },
    /// Address space or memory for records.
    #[error("{span}: {source}")]
    Vmem {
        /// The range.
        span: PhysSpan,
        /// The cause.
        source: VmemError,
    },
    /// A reader of before never goes.
    #[error(transparent)]
    Grace(#[from] GraceError),
    /// A phase sink panicked in the middle of an earlier operation.
    #[error("an earlier operation was cut short by a panic, so the layout can no longer be changed")]
    Poisoned,
}

impl HotplugError {
    /// The kernel's error number for the same refusal. Removal returns nothing in the kernel, which warns and goes
    /// on; those refusals are EINVAL here.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Empty { .. }
            | Self::Misaligned { .. }
            | Self::NotPresent { .. }
            | Self::NotWholeRam { .. }
            | Self::AltmapElsewhere { .. }
            | Self::AltmapOfAnother { .. }
            | Self::AltmapTooLarge { .. } => Errno::INVAL,
            Self::Vmem { source: VmemError::DeviceUnit { .. }, .. } => Errno::INVAL,
            Self::BeyondPhysicalSpace { .. } => Errno::RANGE,
            Self::Overlaps { .. } => Errno::EXIST,
            Self::AltmapExhausted { .. } | Self::NoMemory { .. } | Self::Vmem { .. } => Errno::NOMEM,
            Self::Grace(_) => Errno::DEADLK,
            Self::Poisoned => Errno::NOTRECOVERABLE,
        }
        .raw_os_error()
    }
}
