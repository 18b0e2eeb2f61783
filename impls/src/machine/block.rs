//! Memory blocks: the unit in which user space sees RAM go online and offline
//! (`/sys/devices/system/memory`).
//!
//! Source: `drivers/base/memory.c`, `arch/x86/mm/init_64.c` (`set_memory_block_size_order`).

use crate::altmap::Altmap;
use crate::byte_size::ByteSize;
use crate::page::Zone;
use crate::pfn::PfnRange;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use thiserror::Error;

const GIB: u64 = 1 << 30;
/// `MAX_BLOCK_SIZE` of x86, in bytes.
pub(super) const MAX_BLOCK_BYTES: u64 = 2 * GIB;
/// `MEM_SIZE_FOR_LARGE_BLOCK`, in bytes: machines with less memory use blocks of one section.
pub(super) const MEM_SIZE_FOR_LARGE_BLOCK: u64 = 64 * GIB;

/// Why a memory block size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BlockSizeError {
    /// The size is not a power of two. EINVAL.
    #[error("block size {} is not a power of two; try 128 MiB", ByteSize(*bytes))]
    NotPowerOfTwo {
        /// The requested block size in bytes.
        bytes: u64,
    },
    /// The size is smaller than a section. EINVAL.
    #[error("block size {} is below the minimum of one section ({})", ByteSize(*bytes), ByteSize(*section_bytes))]
    BelowSection {
        /// The requested block size in bytes.
        bytes: u64,
        /// Size of a section in bytes.
        section_bytes: u64,
    },
    /// The advice came after the machine had settled on a block size. EBUSY.
    #[error("the advised block size of {} comes too late: the block size is settled", ByteSize(*bytes))]
    TooLate {
        /// The advised block size in bytes.
        bytes: u64,
    },
}

impl BlockSizeError {
    /// The error number that the kernel returns for the same refusal: EINVAL or EBUSY.
    pub fn errno(self) -> i32 {
        match self {
            Self::TooLate { .. } => Errno::BUSY,
            Self::NotPowerOfTwo { .. } | Self::BelowSection { .. } => Errno::INVAL,
        }
        .raw_os_error()
    }
}

/// The maximum block size that drivers advise before the machine settles on one (Linux 6.15).
///
/// ```
/// use memmap_layouts::machine::{BlockSizeAdvice, probe_block_size};
///
/// let mut advice = BlockSizeAdvice::default();
/// advice.advise(1 << 30).unwrap();
/// // A machine with 256 GiB uses blocks of 2 GiB unless a driver advises less.
/// let section = 128 << 20;
/// assert_eq!(probe_block_size(section, 256 << 30, true, None), 2 << 30);
/// assert_eq!(probe_block_size(section, 256 << 30, true, advice.settle()), 1 << 30);
/// assert!(advice.advise(256 << 20).is_err(), "the block size is settled");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockSizeAdvice {
    least: Option<u64>,
    settled: bool,
}

impl BlockSizeAdvice {
    /// Advises a maximum block size. If there are several, the smallest counts. Source:
    /// `memory_block_advise_max_size`.
    ///
    /// # Errors
    /// `bytes` is not a power of two, or the block size is already settled.
    pub fn advise(&mut self, bytes: u64) -> Result<(), BlockSizeError> {
        if !bytes.is_power_of_two() {
            return Err(BlockSizeError::NotPowerOfTwo { bytes });
        }
        if self.settled {
            return Err(BlockSizeError::TooLate { bytes });
        }
        self.least = Some(self.least.map_or(bytes, |least| least.min(bytes)));
        Ok(())
    }

    /// Returns the advised maximum, if any, and settles it: every later [`advise`](Self::advise)
    /// fails.
    pub fn settle(&mut self) -> Option<u64> {
        self.settled = true;
        self.least
    }

    /// The advice for a CXL window at physical bytes `[start, end)`: the common alignment of its
    /// two ends. `None` if that is below 256 MiB.
    pub fn of_cxl_window(start: u64, end: u64) -> Option<u64> {
        let ends = start | end;
        (ends != 0).then(|| 1 << ends.trailing_zeros()).filter(|&bytes| bytes >= 256 << 20)
    }
}

/// Checks a block size that was set, in bytes.
///
/// # Errors
/// The size is not a power of two, or is smaller than a section.
pub fn check_block_size(section_bytes: u64, bytes: u64) -> Result<u64, BlockSizeError> {
    match bytes {
        bytes if !bytes.is_power_of_two() => Err(BlockSizeError::NotPowerOfTwo { bytes }),
        bytes if bytes < section_bytes => Err(BlockSizeError::BelowSection { bytes, section_bytes }),
        bytes => Ok(bytes),
    }
}

/// The whole memory blocks in a range of page frames, with blocks of `block_pages` pages, a power of two.
/// `None` if there are none.
///
/// ```
/// use memmap_layouts::PfnRange;
/// use memmap_layouts::machine::whole_blocks;
///
/// // 304 MiB, of which the 256 MiB between 4 GiB and 4.25 GiB are blocks of 128 MiB.
/// let device = PfnRange::from_len(0x100000 - 0x1000, 0x13000).unwrap();
/// assert_eq!(whole_blocks(device, 0x8000), PfnRange::from_len(0x100000, 0x10000));
/// assert_eq!(whole_blocks(device, 0x80000), None);
/// ```
pub fn whole_blocks(range: PfnRange, block_pages: u64) -> Option<PfnRange> {
    range.round_in(block_pages)
}

/// A word written to a block's `state`, or to `auto_online_blocks`.
///
/// ```
/// use memmap_layouts::Zone;
/// use memmap_layouts::machine::Transition;
///
/// let transition: Transition = "online_movable".parse().unwrap();
/// assert_eq!(transition.zone(), Some(Zone::Movable));
/// assert!("ONLINE".parse::<Transition>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// Take the block offline: the system stops using its pages.
    Offline,
    /// Put the block online, in the zone that the kernel chooses: ZONE_NORMAL here.
    Online,
    /// Put the block online in a kernel zone: ZONE_NORMAL here.
    OnlineKernel,
    /// Put the block online in ZONE_MOVABLE, so that it can go offline again.
    OnlineMovable,
}

impl Transition {
    const ALL: [Transition; 4] = [Self::Offline, Self::Online, Self::OnlineKernel, Self::OnlineMovable];

    /// The word that sysfs uses, e.g. `online_movable`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
            Self::OnlineKernel => "online_kernel",
            Self::OnlineMovable => "online_movable",
        }
    }

    /// The zone that the block's pages join; `None` for [`Offline`](Self::Offline).
    pub fn zone(self) -> Option<Zone> {
        match self {
            Self::Offline => None,
            Self::Online | Self::OnlineKernel => Some(Zone::Normal),
            Self::OnlineMovable => Some(Zone::Movable),
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Transition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let word = text.trim_end_matches('\n');
        Self::ALL.into_iter().find(|transition| transition.word() == word).ok_or(())
    }
}

/// A memory block of RAM. The default is offline, on node 0.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlock {
    /// The zone of its pages; `None` while the block is offline.
    pub zone: Option<Zone>,
    /// NUMA node. If the block has pages of several nodes, the node of the lowest ones.
    pub node: u8,
    /// The block has boot memory of several nodes, so it cannot go offline.
    pub several_nodes: bool,
    /// Pages of RAM in the block. Fewer than the block has if boot memory begins or ends inside it.
    pub ram_pages: u64,
    /// The block has boot memory.
    pub early: bool,
    /// The altmap, if the block holds its own records (`memmap_on_memory`).
    pub altmap: Option<Arc<Altmap>>,
}

impl MemoryBlock {
    /// What sysfs shows in `state`: `online` or `offline`.
    pub fn state(&self) -> &'static str {
        if self.zone.is_some() { "online" } else { "offline" }
    }
}

/// Memory blocks by number: physical address divided by block size.
pub type Blocks = BTreeMap<u64, MemoryBlock>;

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: u64 = 128 << 20;

    #[test]
    fn the_smallest_advice_counts() {
        let mut advice = BlockSizeAdvice::default();
        advice.advise(1 << 30).unwrap();
        advice.advise(256 << 20).unwrap();
        advice.advise(512 << 20).unwrap();
        assert_eq!(advice.settle(), Some(256 << 20));
        assert_eq!(advice.advise(1 << 30).unwrap_err().errno(), 16);
        assert_eq!(BlockSizeAdvice::of_cxl_window(0xc0_5000_0000, 0xc0_5000_0000 + (8 << 30)), Some(256 << 20));
        assert_eq!(BlockSizeAdvice::of_cxl_window(128 << 20, 1 << 30), None, "too small to advise");
        assert_eq!(BlockSizeAdvice::of_cxl_window(0, 0), None);
    }

    #[test]
    fn invalid_block_sizes_are_refused() {
        assert_eq!(check_block_size(SECTION, 3 << 27).unwrap_err().errno(), 22);
        assert_eq!(check_block_size(SECTION, 64 << 20).unwrap_err().errno(), 22);
        assert_eq!(check_block_size(SECTION, 0).unwrap_err().errno(), 22);
        assert_eq!(check_block_size(SECTION, 1 << 30), Ok(1 << 30));
    }

    #[test]
    fn transitions_parse_the_words_of_sysfs() {
        for transition in Transition::ALL {
            assert_eq!(format!("{transition}\n").parse(), Ok(transition));
        }
        assert!("on-line".parse::<Transition>().is_err() && "".parse::<Transition>().is_err());
    }
}
