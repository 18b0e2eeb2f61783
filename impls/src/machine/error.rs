//! Why a machine refuses a change. Each cause has a variant with the range or block, the rule, the
//! distance from a valid value, and the kernel's errno.

use super::block::{BlockSizeError, Transition};
use crate::byte_size::ByteSize;
use crate::error::{BootError, HotplugError};
use crate::pfn::{Pfn, PhysSpan};
use rustix::io::Errno;
use thiserror::Error;

/// Why RAM was not added, removed, onlined or offlined.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::machine::{AddMemory, Machine, MachineConfig, MachineError};
/// use memmap_layouts::{BootMap, Config, PfnRange, RecordStore};
///
/// let (config, layout) = (MachineConfig::default(), Config::default());
/// let machine = Machine::<Subsection>::boot(&BootMap::default(), config, &layout, RecordStore::unlimited())?;
/// // 2 MiB, less than a memory block.
/// let error = machine.add_memory(PfnRange::from_len(0, 512).unwrap(), &AddMemory::default()).unwrap_err();
/// assert!(matches!(error, MachineError::NotBlocks { block_bytes: 0x800_0000, .. }));
/// assert_eq!(error.errno(), 22); // EINVAL
/// # Ok::<(), MachineError>(())
/// ```
#[derive(Debug, Error)]
pub enum MachineError {
    /// The layout failed to boot. ENOMEM.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The configured or advised block size is invalid.
    #[error(transparent)]
    BlockSize(#[from] BlockSizeError),
    /// The range is empty, or not a whole number of aligned blocks. EINVAL. Source:
    /// `check_hotplug_memory_range`.
    #[error(
        "{span} is not a whole number of memory blocks of {}: the start is {} past one, the end is {} past one",
        ByteSize(*block_bytes), ByteSize(*start_off_bytes), ByteSize(*end_off_bytes)
    )]
    NotBlocks {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// Size of a memory block in bytes.
        block_bytes: u64,
        /// Bytes from the block boundary below to the start; 0 if aligned.
        start_off_bytes: u64,
        /// Bytes from the block boundary below to the end; 0 if aligned.
        end_off_bytes: u64,
    },
    /// No range of a device has a whole memory block. EINVAL. Source: `dev_dax_kmem_probe`, since
    /// Linux 5.15.
    #[error("no range of the device contains a whole memory block of {}", ByteSize(*block_bytes))]
    NoWholeBlock {
        /// Size of a memory block in bytes.
        block_bytes: u64,
    },
    /// The machine has no such NUMA node. EINVAL.
    #[error("{span} cannot be added: node {node} does not exist; this machine has nodes 0 to {}", nodes.saturating_sub(1))]
    NoSuchNode {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The requested node.
        node: u8,
        /// Number of possible nodes; the highest valid node is one less.
        nodes: u8,
    },
    /// The name of driver-managed RAM is not of the form `System RAM (driver)`. EINVAL.
    #[error("invalid resource name {name:?}: RAM that a driver manages is named \"System RAM (driver)\"")]
    ResourceName {
        /// The refused name.
        name: String,
    },
    /// The range ends above the highest mappable address. E2BIG. Source:
    /// `register_memory_resource`.
    #[error("{span} ends {} above the highest address that can be mapped ({limit:#x}, from the physical space or mem=)", ByteSize(*beyond_bytes))]
    BeyondMappable {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// First byte that cannot be mapped.
        limit: u128,
        /// Bytes by which the range exceeds `limit`.
        beyond_bytes: u64,
    },
    /// The range overlaps a busy resource. EEXIST.
    #[error("{span} cannot be claimed: {name} occupies {at}")]
    ResourceBusy {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// Range of the resource in the way.
        at: PhysSpan,
        /// Name of that resource, as in `/proc/iomem`.
        name: String,
    },
    /// A memory block with this number exists already. EEXIST.
    #[error("memory block {block} ({span}) already exists")]
    BlockExists {
        /// Physical range of the block.
        span: PhysSpan,
        /// Number of the memory block, the N of `/sys/devices/system/memory/memoryN`.
        block: u64,
    },
    /// No memory block has this number. EINVAL.
    #[error("memory block {block} does not exist")]
    NoSuchBlock {
        /// Number of the memory block, the N of `/sys/devices/system/memory/memoryN`.
        block: u64,
    },
    /// The block is online; only offline blocks can be removed. EBUSY.
    #[error("memory block {block} ({span}) is online; write offline to its state before removing it")]
    BlockOnline {
        /// Physical range of the block.
        span: PhysSpan,
        /// Number of the memory block, the N of `/sys/devices/system/memory/memoryN`.
        block: u64,
    },
    /// The word is not a state of a memory block. EINVAL.
    #[error("{word:?} is not a state of a memory block; use offline, online, online_kernel or online_movable")]
    UnknownState {
        /// The word that was written, without trailing white space.
        word: String,
    },
    /// The block is already in the requested state. EINVAL.
    #[error("{asked} cannot be applied to memory block {block} ({span}): it is already {state}")]
    AlreadyInState {
        /// Physical range of the block.
        span: PhysSpan,
        /// Number of the memory block, the N of `/sys/devices/system/memory/memoryN`.
        block: u64,
        /// The present state: `online` or `offline`.
        state: &'static str,
        /// The requested transition.
        asked: Transition,
    },
    /// The block has pages of several nodes, so it cannot go offline. EINVAL. Source:
    /// `offline_pages`, which takes one zone at a time.
    #[error("memory block {block} ({span}) has pages of several nodes; a block can go offline only if it has one node")]
    SeveralNodes {
        /// Physical range of the block.
        span: PhysSpan,
        /// Number of the memory block, the N of `/sys/devices/system/memory/memoryN`.
        block: u64,
    },
    /// Part of the block is not RAM: a memory hole, a device, or memory that was never added.
    /// EINVAL, or EBUSY if `busy`.
    #[error(
        "memory block {block} ({span}) has holes: {} of its {} are RAM, but a block goes online or offline only as a whole",
        ByteSize(*ram_bytes), ByteSize(*block_bytes)
    )]
    Holes {
        /// Physical range of the block.
        span: PhysSpan,
        /// Number of the memory block, the N of `/sys/devices/system/memory/memoryN`.
        block: u64,
        /// Bytes of RAM in the block.
        ram_bytes: u64,
        /// Size of a memory block in bytes.
        block_bytes: u64,
        /// Report EBUSY instead of EINVAL, as kernels from the time of the series did.
        busy: bool,
    },
    /// The address written to `probe` is not the start of a memory block. EINVAL.
    #[error(
        "{address:#x} is {} past the start of a memory block of {}; try {:#x}",
        ByteSize(*off_bytes), ByteSize(*block_bytes), *address - *off_bytes
    )]
    ProbeMisaligned {
        /// The physical address that was written.
        address: u64,
        /// Size of a memory block in bytes.
        block_bytes: u64,
        /// Bytes from the block boundary below to the address.
        off_bytes: u64,
    },
    /// The page is not online, so it cannot be taken out of use. EIO.
    #[error("{pfn} is not online, so it cannot be taken out of use")]
    NotOnline {
        /// The page that was to be taken out of use.
        pfn: Pfn,
    },
    /// No tmpfs file or altmap could be made for a block that is to hold its own records. ENOMEM.
    #[error("cannot store the records of {span} in the block itself: {source}")]
    MemmapOnMemory {
        /// Physical range of the block.
        span: PhysSpan,
        /// Why the tmpfs file or the altmap failed.
        source: crate::backing::DaxError,
    },
    /// The layout refused the change.
    #[error(transparent)]
    Layout(#[from] HotplugError),
}

impl MachineError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> i32 {
        match self {
            Self::BlockSize(error) => return error.errno(),
            Self::Layout(error) => return error.errno(),
            Self::NotBlocks { .. }
            | Self::NoSuchNode { .. }
            | Self::ResourceName { .. }
            | Self::UnknownState { .. }
            | Self::AlreadyInState { .. }
            | Self::NoWholeBlock { .. }
            | Self::ProbeMisaligned { .. }
            | Self::NoSuchBlock { .. }
            | Self::SeveralNodes { .. }
            | Self::Holes { busy: false, .. } => Errno::INVAL,
            Self::Holes { busy: true, .. } | Self::BlockOnline { .. } => Errno::BUSY,
            Self::BeyondMappable { .. } => Errno::TOOBIG,
            Self::ResourceBusy { .. } | Self::BlockExists { .. } => Errno::EXIST,
            Self::NotOnline { .. } => Errno::IO,
            Self::Boot(_) | Self::MemmapOnMemory { .. } => Errno::NOMEM,
        }
        .raw_os_error()
    }
}

/// Why device memory could not be mapped or unmapped.
#[derive(Debug, Error)]
pub enum PagemapError {
    /// The request has no range. EINVAL.
    #[error("the mapping has no range; it needs at least one")]
    NoRange,
    /// Device-private memory needs an owner that can migrate its pages. EINVAL.
    #[error("{span} cannot be mapped: device-private memory needs an owner that can migrate its pages back to RAM")]
    PrivateWithoutOwner {
        /// The first range of the request.
        span: PhysSpan,
    },
    /// A mapping with an altmap must have exactly one range. EINVAL.
    #[error("the mapping has {nr_ranges} ranges, but a mapping with an altmap must have exactly one")]
    AltmapNeedsOneRange {
        /// Number of ranges in the request.
        nr_ranges: usize,
    },
    /// The range ends above the highest mappable address. EINVAL.
    #[error("{span} cannot be mapped: it ends {} above the highest address that can be mapped", ByteSize(*beyond_bytes))]
    BeyondMappable {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// Bytes by which the range exceeds the physical address space.
        beyond_bytes: u64,
    },
    /// The range overlaps another mapping. ENOMEM.
    #[error("{span} cannot be mapped: {at} is already mapped{why}")]
    Conflict {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The range already mapped.
        at: PhysSpan,
        /// An addition to the message, e.g. `, in the same section`; may be empty.
        why: &'static str,
    },
    /// The range overlaps System RAM. ENXIO.
    #[error("{span} cannot be mapped: {at} is System RAM{why}")]
    OverlapsRam {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The RAM in the way.
        at: PhysSpan,
        /// An addition to the message, e.g. `, in the same section`; may be empty.
        why: &'static str,
    },
    /// Another resource has claimed part of the range. EBUSY.
    #[error("{span} cannot be mapped: {name} has claimed {at}")]
    Claimed {
        /// The refused range, in bytes of the physical address space.
        span: PhysSpan,
        /// The claimed range.
        at: PhysSpan,
        /// Name of the resource that has it.
        name: String,
    },
    /// The range is not mapped any more, or another thread is unmapping it. EINVAL.
    #[error("{span} is not mapped any more, or another thread is unmapping it")]
    NotMapped {
        /// The first range of the mapping.
        span: PhysSpan,
    },
    /// The layout refused the change.
    #[error(transparent)]
    Layout(#[from] HotplugError),
}

impl PagemapError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Layout(error) => return error.errno(),
            Self::NoRange
            | Self::BeyondMappable { .. }
            | Self::PrivateWithoutOwner { .. }
            | Self::AltmapNeedsOneRange { .. }
            | Self::NotMapped { .. } => Errno::INVAL,
            // The kernel returns ENOMEM here too.
            Self::Conflict { .. } => Errno::NOMEM,
            Self::OverlapsRam { .. } => Errno::NXIO,
            Self::Claimed { .. } => Errno::BUSY,
        }
        .raw_os_error()
    }
}
