//! Why a machine refuses: one variant a cause, each with the range or block, the rule, how far off, and the kernel's errno.

use super::block::{BlockSizeError, Transition};
use crate::bytes::Bytes;
use crate::error::{BootError, HotplugError};
use crate::pfn::{Pfn, PhysSpan};
use rustix::io::Errno;
use thiserror::Error;

/// Why RAM was not added, removed, onlined or offlined.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The layout did not boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The block size cannot be.
    #[error(transparent)]
    BlockSize(#[from] BlockSizeError),
    /// Empty, or off the grid of blocks. Source: `check_hotplug_memory_range`.
    #[error(
        "{span} is refused: RAM comes and goes in memory blocks of {}; the start is {} past one, the end is {} past one",
        Bytes(*block_bytes), Bytes(*start_off_bytes), Bytes(*end_off_bytes)
    )]
    NotBlocks {
        /// The range.
        span: PhysSpan,
        /// Bytes of a block.
        block_bytes: u64,
        /// Distance of the start from the block border below.
        start_off_bytes: u64,
        /// Distance of the end from the block border below.
        end_off_bytes: u64,
    },
    /// No such node.
    #[error("{span} is refused: node {node} is not possible; this machine has nodes 0 to {}", nodes.saturating_sub(1))]
    NoSuchNode {
        /// The range.
        span: PhysSpan,
        /// The node.
        node: u8,
        /// Nodes of the machine.
        nodes: u8,
    },
    /// The name of driver-managed RAM is not in the form of the kernel.
    #[error("{name:?} is refused: RAM that a driver manages is named \"System RAM (driver)\"")]
    ResourceName {
        /// The name.
        name: String,
    },
    /// Beyond what the machine maps. Source: `register_memory_resource`.
    #[error("{span} ends {} beyond the last byte that can be mapped ({limit:#x}: the physical space, or mem=)", Bytes(*beyond_bytes))]
    BeyondMappable {
        /// The range.
        span: PhysSpan,
        /// One past the last mappable byte.
        limit: u128,
        /// How far.
        beyond_bytes: u64,
    },
    /// Something busy is there.
    #[error("{span} is refused: {name} is there at {at}")]
    ResourceBusy {
        /// The range.
        span: PhysSpan,
        /// What is in the way.
        at: PhysSpan,
        /// Its name.
        name: String,
    },
    /// The block is there.
    #[error("memory block {block} ({span}) exists")]
    BlockExists {
        /// Its range.
        span: PhysSpan,
        /// Its number.
        block: u64,
    },
    /// The block is not there.
    #[error("there is no memory block {block}")]
    NoSuchBlock {
        /// Its number.
        block: u64,
    },
    /// RAM is removed offline.
    #[error("memory block {block} ({span}) is online; write offline to its state first")]
    BlockOnline {
        /// Its range.
        span: PhysSpan,
        /// Its number.
        block: u64,
    },
    /// Not a state.
    #[error("{word:?} is no state of a memory block; there are offline, online, online_kernel and online_movable")]
    UnknownState {
        /// What was written.
        word: String,
    },
    /// Nothing to do.
    #[error("memory block {block} ({span}) is {state} already, so {asked} is refused")]
    AlreadyInState {
        /// Its range.
        span: PhysSpan,
        /// Its number.
        block: u64,
        /// What it is.
        state: &'static str,
        /// What was asked for.
        asked: Transition,
    },
    /// Pages of more than one node. Source: `offline_pages`, which takes one zone at a time.
    #[error("memory block {block} ({span}) has pages of several nodes, and goes offline as a whole or not at all")]
    SeveralNodes {
        /// Its range.
        span: PhysSpan,
        /// Its number.
        block: u64,
    },
    /// A part of the block is no RAM: memory holes, a device, or never added.
    #[error(
        "memory block {block} ({span}) has memory holes: {} of its {} are RAM, and a block goes online and offline as a whole",
        Bytes(*ram_bytes), Bytes(*block_bytes)
    )]
    Holes {
        /// Its range.
        span: PhysSpan,
        /// Its number.
        block: u64,
        /// Bytes of RAM.
        ram_bytes: u64,
        /// Bytes of a block.
        block_bytes: u64,
        /// The kernels of the series' time said EBUSY.
        busy: bool,
    },
    /// `probe` takes an address of a block.
    #[error("{address:#x} is no start of a memory block of {}; it lies {} past one", Bytes(*block_bytes), Bytes(*off_bytes))]
    ProbeMisaligned {
        /// The address.
        address: u64,
        /// Bytes of a block.
        block_bytes: u64,
        /// Distance from the border below.
        off_bytes: u64,
    },
    /// The page is not online.
    #[error("{pfn} is not online")]
    NotOnline {
        /// The page frame.
        pfn: Pfn,
    },
    /// No tmpfs to play the memory of a block that holds its own records.
    #[error("records of {span} cannot lie in the memory itself: {source}")]
    MemmapOnMemory {
        /// The block.
        span: PhysSpan,
        /// The cause.
        source: crate::backing::DaxError,
    },
    /// The layout refused.
    #[error(transparent)]
    Layout(#[from] HotplugError),
}

impl MachineError {
    /// The kernel's error number for the same refusal.
    pub fn errno(&self) -> i32 {
        match self {
            Self::BlockSize(error) => return error.errno(),
            Self::Layout(error) => return error.errno(),
            Self::NotBlocks { .. }
            | Self::NoSuchNode { .. }
            | Self::ResourceName { .. }
            | Self::UnknownState { .. }
            | Self::AlreadyInState { .. }
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

/// Why a mapping of device memory was not made or taken down.
#[derive(Debug, Error)]
pub enum PagemapError {
    /// Nothing to map.
    #[error("a mapping needs a range")]
    NoRange,
    /// Device-private memory needs its owner's operations.
    #[error(
        "{span} is refused: a mapping of device-private memory needs an owner who can migrate its pages back to RAM"
    )]
    PrivateWithoutOwner {
        /// The first range.
        span: PhysSpan,
    },
    /// One altmap, one range.
    #[error("a mapping with an altmap has one range, this one has {nr_ranges}")]
    AltmapNeedsOneRange {
        /// Ranges asked for.
        nr_ranges: usize,
    },
    /// Beyond what can be mapped.
    #[error("{span} is refused: it ends {} beyond the last byte that can be mapped", Bytes(*beyond_bytes))]
    BeyondMappable {
        /// The range.
        span: PhysSpan,
        /// How far.
        beyond_bytes: u64,
    },
    /// Another mapping is there.
    #[error("{span} is refused: {at} is mapped already{why}")]
    Conflict {
        /// The range.
        span: PhysSpan,
        /// The mapping in the way.
        at: PhysSpan,
        /// The rule, where it is not plain.
        why: &'static str,
    },
    /// RAM is there.
    #[error("{span} is refused: {at} of it is System RAM{why}")]
    OverlapsRam {
        /// The range.
        span: PhysSpan,
        /// The RAM.
        at: PhysSpan,
        /// The rule, where it is not plain.
        why: &'static str,
    },
    /// Somebody else's.
    #[error("{span} is refused: {name} has {at} claimed")]
    Claimed {
        /// The range.
        span: PhysSpan,
        /// What is claimed.
        at: PhysSpan,
        /// By whom.
        name: String,
    },
    /// Not mapped, or being taken down by another.
    #[error("{span} is not mapped any more, or is being taken down")]
    NotMapped {
        /// The first range.
        span: PhysSpan,
    },
    /// The layout refused.
    #[error(transparent)]
    Layout(#[from] HotplugError),
}

impl PagemapError {
    /// The kernel's error number for the same refusal.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Layout(error) => return error.errno(),
            Self::NoRange
            | Self::BeyondMappable { .. }
            | Self::PrivateWithoutOwner { .. }
            | Self::AltmapNeedsOneRange { .. }
            | Self::NotMapped { .. } => Errno::INVAL,
            // The kernel's choice.
            Self::Conflict { .. } => Errno::NOMEM,
            Self::OverlapsRam { .. } => Errno::NXIO,
            Self::Claimed { .. } => Errno::BUSY,
        }
        .raw_os_error()
    }
}
