//! Why a layout refuses to boot or to change. Each cause has a variant with the range, the rule,
//! the distance from a valid value, and the kernel's errno.

use crate::backing::BackingError;
use crate::byte_size::ByteSize;
use crate::grace::GraceError;
use crate::pfn::{PfnRange, PhysSpan};
use crate::vmem::VmemError;
use rustix::io::Errno;
use thiserror::Error;

/// Why a layout did not boot.
///
/// ```
/// use memmap_layouts::layouts::Flat;
/// use memmap_layouts::{BootError, BootMap, BootRange, Config, Memmap, PfnRange, RecordStore};
///
/// // 256 MiB at 1 TiB: FLATMEM would need 16 GiB of records.
/// let high = BootRange { range: PfnRange::from_len(1 << 28, 0x10000).unwrap(), node: 0 };
/// let error = <Flat>::boot(&BootMap::new([high])?, &Config::default(), RecordStore::unlimited()).unwrap_err();
/// assert!(matches!(error, BootError::WouldNotBoot { have_bytes: 0x1000_0000, .. }));
/// # Ok::<(), BootError>(())
/// ```
#[derive(Debug, Error)]
pub enum BootError {
    /// Two ranges of the map share a page.
    #[error("boot memory {first} and {second} overlap; a page can be in one range only")]
    Overlap {
        /// The lower range.
        first: PfnRange,
        /// The range that begins before `first` ends.
        second: PfnRange,
    },
    /// The boot map has memory above the top of the physical address space.
    #[error("{span} extends beyond the physical space of {geometry}, which ends at {:#x} ({bits} bits)", 1u128 << bits)]
    BeyondPhysicalSpace {
        /// Physical range of that memory.
        span: PhysSpan,
        /// Width of a physical address in bits.
        bits: u32,
        /// Name of the geometry.
        geometry: &'static str,
    },
    /// The records need more memory than the machine described by the boot map has.
    #[error(
        "would not boot: the records need {}, but the machine of this map has only {} of memory",
        ByteSize(*need_bytes), ByteSize(*have_bytes)
    )]
    WouldNotBoot {
        /// Bytes that the records need.
        need_bytes: u64,
        /// Bytes of memory in the boot map.
        have_bytes: u64,
    },
    /// An index table could not be allocated.
    #[error("cannot allocate {what} ({})", ByteSize(*bytes))]
    NoMemory {
        /// Name of the table, for messages.
        what: &'static str,
        /// Size of the table in bytes.
        bytes: u64,
    },
    /// No address space, or no memory for records.
    #[error(transparent)]
    Vmem(#[from] VmemError),
}

impl From<BackingError> for BootError {
    fn from(error: BackingError) -> Self {
        Self::Vmem(error.into())
    }
}

/// Why a layout did not add, remove or online a range.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, HotplugError, Memmap, PfnRange, RecordStore};
///
/// let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // 1 MiB, half a sub-section.
/// let half = PfnRange::from_len(0x100000, 256).unwrap();
/// let error = layout.add(half, &AddParams::default(), &mut ()).unwrap_err();
/// assert!(matches!(error, HotplugError::Misaligned { start_off_bytes: 0, end_off_bytes: 0x10_0000, .. }));
/// assert_eq!(error.errno(), 22); // EINVAL
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Debug, Error)]
pub enum HotplugError {
    /// The range has no page. EINVAL.
    #[error("the range at {span} is empty; it must have at least one page")]
    Empty {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
    },
    /// The start or the end is not aligned to the layout's granule. EINVAL.
    #[error(
        "{span} is misaligned: start and size must be multiples of {} ({rule}); the start is {} past one, the end is {} past one",
        ByteSize(*granule_bytes), ByteSize(*start_off_bytes), ByteSize(*end_off_bytes)
    )]
    Misaligned {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The required alignment in bytes.
        granule_bytes: u64,
        /// Where the rule comes from.
        rule: &'static str,
        /// Bytes from the multiple below to the start; 0 if aligned.
        start_off_bytes: u64,
        /// Bytes from the multiple below to the end; 0 if aligned.
        end_off_bytes: u64,
    },
    /// The range ends above the top of the physical address space. ERANGE.
    #[error("{span} ends {} beyond the physical space, which ends at {:#x} ({bits} bits)", ByteSize(*beyond_bytes), 1u128 << bits)]
    BeyondPhysicalSpace {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// Width of a physical address in bits.
        bits: u32,
        /// Bytes by which the range exceeds the physical address space.
        beyond_bytes: u64,
    },
    /// Part of the range is already present. EEXIST.
    #[error("{span} cannot be added: {at} is already present")]
    Overlaps {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The first part that is present.
        at: PhysSpan,
    },
    /// Part of the range to remove is not present. EINVAL.
    #[error("{span} cannot be removed: {at} is not present")]
    NotPresent {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The first part that is not present.
        at: PhysSpan,
    },
    /// A section to put online is not entirely RAM, or a device shares it. EINVAL.
    #[error("{span} cannot go online: section {at} is not entirely RAM, or a device shares it")]
    NotWholeRam {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The first such section.
        at: PhysSpan,
    },
    /// The altmap begins at another pfn than the range. EINVAL.
    #[error("{span} cannot be added: its altmap begins at pfn {altmap_base:#x}, not at the start of the range")]
    AltmapElsewhere {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// First pfn of the altmap.
        altmap_base: u64,
    },
    /// The altmap already holds records of another layout. EINVAL.
    #[error("{span} cannot be added: its altmap holds records of another layout; make an altmap for this one")]
    AltmapOfAnother {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
    },
    /// The altmap claims more pages than the range has. EINVAL.
    #[error("{span} cannot be added: its altmap claims {claimed} pages (reserve and free), but the range has only {}", span.range.nr_pages())]
    AltmapTooLarge {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// `reserve + free` of the altmap, in pages.
        claimed: u64,
    },
    /// The altmap has too little room for the records. ENOMEM.
    #[error(
        "the altmap of {span} has too little space: the next block of records needs {need} pages, naturally aligned; {left} are left"
    )]
    AltmapExhausted {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// Pages needed for the next block of records.
        need: u64,
        /// Free pages left in the altmap.
        left: u64,
    },
    /// A descriptor could not be allocated. ENOMEM.
    #[error("{span}: cannot allocate {what}")]
    NoMemory {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// What was to be allocated.
        what: &'static str,
    },
    /// No address space or no memory for records. ENOMEM, or EINVAL if the mapping is not a
    /// multiple of the device's mapping unit.
    #[error("{span}: {source}")]
    Vmem {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// Why the records could not be backed.
        source: VmemError,
    },
    /// The grace period would never end: this thread holds a reader, or a reader was leaked.
    /// EDEADLK.
    #[error(transparent)]
    Grace(#[from] GraceError),
    /// A phase sink panicked in the middle of an earlier operation. ENOTRECOVERABLE.
    #[error("an earlier operation panicked halfway, so the layout can no longer be changed; boot a new one")]
    Poisoned,
}

impl HotplugError {
    /// The error number that the kernel returns for the same refusal. Refused removals are EINVAL
    /// here; in the kernel, removal returns nothing, warns and goes on.
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
