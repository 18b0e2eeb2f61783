//! What is added to which guest, and how.

use crate::kernel_version::KernelVersion;
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::machine::probe_block_size;
use serde::Serialize;
use thiserror::Error;

const GIB: u64 = 1 << 30;

/// Sizes of records that are accepted, in bytes.
pub const RECORD_BYTES: std::ops::RangeInclusive<u64> = 8..=1024;

/// The first version with `memmap_on_memory`.
const MEMMAP_ON_MEMORY: KernelVersion = KernelVersion::new(5, 13);
/// The first version in which a request of several blocks keeps its records in them.
const IN_EVERY_BLOCK: KernelVersion = KernelVersion::new(6, 8);

/// Where the records of added memory live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordsIn {
    /// In RAM of the guest.
    Ram,
    /// On the device that is added (an altmap).
    Device,
    /// At the start of each added memory block (`memmap_on_memory`).
    Block,
}

/// The largest page with which the direct map covers added memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirectMap {
    /// Base pages: `debug_pagealloc`, and arm64 with `rodata=full` unless the CPU can split larger ones.
    Base,
    /// One level up: 2 MiB with base pages of 4 KiB.
    Pmd,
    /// Two levels up: 1 GiB, for the whole gigabytes of a request. Only with base pages of 4 KiB.
    Pud,
}

/// Memory that is to be added to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Request {
    /// RAM of the guest in bytes.
    pub guest_bytes: u64,
    /// Physical address of the first added byte.
    pub start: u64,
    /// Bytes to add in all.
    pub add_bytes: u64,
    /// Bytes that one request adds; the last may add less.
    pub step_bytes: u64,
    /// Size of a memory block in bytes.
    pub block_bytes: u64,
    /// Size of a base page in bytes.
    pub page_bytes: u64,
    /// Size of a record in bytes.
    pub record_bytes: u64,
    /// Where records live.
    pub records_in: RecordsIn,
    /// The largest page of the direct map.
    pub direct_map: DirectMap,
    /// Size of a section in bytes.
    pub section_bytes: u64,
    /// One past the highest physical address: 64 TiB on x86-64 with 4-level page tables.
    pub address_end: u64,
}

/// Why a request is refused or cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A size is 0.
    #[error("{option} is 0; try {option} {works}")]
    Zero {
        /// The option.
        option: &'static str,
        /// A value that works.
        works: &'static str,
    },
    /// The page size is none of Linux.
    #[error("page size {} is none of 4 KiB, 16 KiB and 64 KiB; try --page-size 4K", ByteSize(*.0))]
    PageSize(u64),
    /// The record size is implausible.
    #[error("record size {0} bytes is outside the range 8 to 1024 bytes; try --record-bytes 64")]
    RecordSize(u64),
    /// The block size is no power of two, or outside what the architecture takes.
    #[error(
        "block size {} is not a power of two from {} (one section) to 64 GiB; try --block-size {}",
        ByteSize(*bytes), ByteSize(*section), argument(*section)
    )]
    BlockSize {
        /// The block size in bytes.
        bytes: u64,
        /// Size of a section in bytes.
        section: u64,
    },
    /// A size or address is no multiple of the block size, so the kernel refuses the range.
    #[error(
        "{option} {} is not a multiple of the block size {}: the kernel refuses such a range; try {option} {}",
        argument(*bytes), ByteSize(*block), argument(*works)
    )]
    NotBlocks {
        /// The option.
        option: &'static str,
        /// Its value in bytes.
        bytes: u64,
        /// Size of a memory block in bytes.
        block: u64,
        /// A value that works, in bytes.
        works: u64,
    },
    /// The memory ends above the physical address space.
    #[error(
        "{} at {start:#x} ends above the physical address space of {}; try a smaller --add, or --arch for one with more addresses",
        ByteSize(*bytes), ByteSize(*address_end)
    )]
    BeyondAddresses {
        /// Address of the first byte.
        start: u64,
        /// Length in bytes.
        bytes: u64,
        /// One past the highest physical address.
        address_end: u64,
    },
    /// More memory is free than the guest has.
    #[error("{} of free memory is more than the guest's {}; try --free {}",
        ByteSize(*free), ByteSize(*guest), argument(*guest / 2))]
    FreeAboveGuest {
        /// Free memory in bytes.
        free: u64,
        /// RAM of the guest in bytes.
        guest: u64,
    },
    /// Large pages in the direct map need base pages of 4 KiB here.
    #[error("a direct map of 1 GiB pages needs base pages of 4 KiB; try --direct-map 2M or --page-size 4K")]
    NoPud,
    /// The version has no `memmap_on_memory`.
    #[error("Linux {0} has no memmap_on_memory; it is there since {MEMMAP_ON_MEMORY}; try --kernel {MEMMAP_ON_MEMORY}")]
    NoMemmapOnMemory(KernelVersion),
    /// The version keeps records in the added memory only for requests of one block.
    #[error(
        "Linux {version} keeps records in added memory only if a request is one block (until {IN_EVERY_BLOCK}); \
         try --step {}", argument(*block)
    )]
    OneBlockOnly {
        /// The version.
        version: KernelVersion,
        /// Size of a memory block in bytes.
        block: u64,
    },
    /// The records of a block do not fill whole upper-level pages, so the kernel keeps them in RAM.
    #[error(
        "memmap_on_memory is not possible: the records of a block of {} take {}, no multiple of {} that is less \
         than the block; try --block-size 128M with --page-size 4K and --record-bytes 64",
        ByteSize(*block), ByteSize(*records), ByteSize(*unit)
    )]
    NotInBlock {
        /// Size of a memory block in bytes.
        block: u64,
        /// Bytes of its records.
        records: u64,
        /// The unit in bytes that records must fill.
        unit: u64,
    },
}

/// The block size in bytes that Linux chooses on x86-64 for a guest with this RAM, whose addresses end below
/// [`assumed_end`].
pub fn x86_block_bytes(guest_bytes: u64, section_bytes: u64) -> u64 {
    probe_block_size(section_bytes, assumed_end(guest_bytes), false, None)
}

/// Where RAM of a guest is assumed to end: at 4 GiB, or 1 GiB above its size if it has more than 3 GiB, since
/// devices lie below 4 GiB.
pub fn assumed_end(guest_bytes: u64) -> u64 {
    if guest_bytes <= 3 * GIB { 4 * GIB } else { guest_bytes.saturating_add(GIB) }
}

/// Where added memory is assumed to start: behind the RAM of the guest, at a multiple of 1 GiB and of a block.
pub fn default_start(guest_bytes: u64, block_bytes: u64) -> u64 {
    let unit = block_bytes.max(GIB);
    assumed_end(guest_bytes).checked_next_multiple_of(unit).unwrap_or(u64::MAX / unit * unit)
}

impl Request {
    /// Number of requests that add everything.
    pub fn nr_steps(&self) -> u64 {
        self.add_bytes.div_ceil(self.step_bytes)
    }

    /// Bytes of records of `bytes` of memory.
    pub fn records_of(&self, bytes: u64) -> u64 {
        bytes / self.page_bytes * self.record_bytes
    }

    /// Bytes of memory that one page of an upper level maps: 2 MiB with base pages of 4 KiB.
    pub fn pmd_bytes(&self) -> u64 {
        self.page_bytes * self.entries()
    }

    /// Number of entries of a page table.
    pub(super) fn entries(&self) -> u64 {
        self.page_bytes / 8
    }

    /// Checks the request against the rules of Linux.
    ///
    /// # Errors
    /// The first rule that is broken. No other function of this module accepts such a request.
    pub fn check(&self, version: KernelVersion) -> Result<(), RequestError> {
        let &Self { block_bytes: block, page_bytes, .. } = self;
        if ![4 << 10, 16 << 10, 64 << 10].contains(&page_bytes) {
            return Err(RequestError::PageSize(page_bytes));
        }
        if !RECORD_BYTES.contains(&self.record_bytes) {
            return Err(RequestError::RecordSize(self.record_bytes));
        }
        let section = self.section_bytes;
        if !block.is_power_of_two() || !(section..=64 * GIB).contains(&block) {
            return Err(RequestError::BlockSize { bytes: block, section });
        }
        for (option, bytes, works) in
            [("--guest", self.guest_bytes, "2G"), ("--add", self.add_bytes, "64G"), ("--step", self.step_bytes, "1G")]
        {
            if bytes == 0 {
                return Err(RequestError::Zero { option, works });
            }
        }
        for (option, bytes) in [("--add", self.add_bytes), ("--step", self.step_bytes), ("--start", self.start)] {
            if !bytes.is_multiple_of(block) {
                let works = (bytes / block * block).max(block);
                return Err(RequestError::NotBlocks { option, bytes, block, works });
            }
        }
        for (start, bytes) in [(0, self.guest_bytes), (self.start, self.add_bytes), (self.start, self.step_bytes)] {
            if start.checked_add(bytes).is_none_or(|end| end > self.address_end) {
                return Err(RequestError::BeyondAddresses { start, bytes, address_end: self.address_end });
            }
        }
        if self.direct_map == DirectMap::Pud && page_bytes != 4096 {
            return Err(RequestError::NoPud);
        }
        if self.records_in == RecordsIn::Block {
            self.check_memmap_on_memory(version)?;
        }
        Ok(())
    }

    /// Source: `mhp_supports_memmap_on_memory`, `arch_supports_memmap_on_memory`.
    fn check_memmap_on_memory(&self, version: KernelVersion) -> Result<(), RequestError> {
        let block = self.block_bytes;
        if version < MEMMAP_ON_MEMORY {
            return Err(RequestError::NoMemmapOnMemory(version));
        }
        if version < IN_EVERY_BLOCK && self.step_bytes.min(self.add_bytes) != block {
            return Err(RequestError::OneBlockOnly { version, block });
        }
        let (records, unit) = (self.records_of(block), self.pmd_bytes());
        if !records.is_multiple_of(unit) || records >= block {
            return Err(RequestError::NotInBlock { block, records, unit });
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request of 64 GiB in steps of 1 GiB to a guest of 2 GiB.
    pub(crate) fn request() -> Request {
        Request {
            guest_bytes: 2 * GIB,
            start: 4 * GIB,
            add_bytes: 64 * GIB,
            step_bytes: GIB,
            block_bytes: 128 << 20,
            page_bytes: 4096,
            record_bytes: 64,
            records_in: RecordsIn::Ram,
            direct_map: DirectMap::Pmd,
            section_bytes: 128 << 20,
            address_end: 1 << 52,
        }
    }

    #[test]
    fn every_rule_names_a_value_that_works() {
        let now = KernelVersion::CURRENT;
        let base = request();
        assert_eq!(base.check(now), Ok(()));
        for (wrong, words) in [
            (Request { guest_bytes: 0, ..base }, "--guest is 0; try --guest 2G"),
            (Request { add_bytes: 0, ..base }, "--add is 0"),
            (Request { step_bytes: 0, ..base }, "--step is 0"),
            (Request { page_bytes: 8192, ..base }, "page size 8 KiB"),
            (Request { page_bytes: 0, ..base }, "page size 0 B"),
            (Request { record_bytes: 0, ..base }, "record size 0 bytes"),
            (Request { block_bytes: 0, ..base }, "try --block-size 128M"),
            (Request { block_bytes: 3 << 27, ..base }, "not a power of two"),
            (Request { block_bytes: 64 << 20, ..base }, "not a power of two from 128 MiB"),
            (Request { section_bytes: 512 << 20, ..base }, "from 512 MiB (one section)"),
            (Request { step_bytes: 100 << 20, ..base }, "--step 100M is not a multiple of the block size 128 MiB"),
            (Request { step_bytes: 100 << 20, ..base }, "try --step 128M"),
            (Request { start: 4 * GIB + 4096, ..base }, "try --start 4G"),
            (Request { add_bytes: 1 << 52, ..base }, "address space of 4 PiB"),
            (Request { guest_bytes: u64::MAX, ..base }, "address space of 4 PiB"),
            (Request { add_bytes: 1 << 46, address_end: 1 << 46, ..base }, "address space of 64 TiB"),
            (Request { page_bytes: 16 << 10, direct_map: DirectMap::Pud, ..base }, "--direct-map 2M"),
            (Request { records_in: RecordsIn::Block, page_bytes: 16 << 10, ..base }, "no multiple of 32 MiB"),
        ] {
            let told = wrong.check(now).unwrap_err().to_string();
            assert!(told.contains(words), "{words:?} is missing in {told:?}");
        }
    }

    #[test]
    fn memmap_on_memory_depends_on_the_version() {
        let check = |text: &str, step_bytes| {
            let request = Request { records_in: RecordsIn::Block, step_bytes, ..request() };
            request.check(text.parse().unwrap())
        };
        assert!(matches!(check("5.12", 128 << 20), Err(RequestError::NoMemmapOnMemory(_))));
        assert!(matches!(check("6.1", GIB), Err(RequestError::OneBlockOnly { .. })));
        assert_eq!((check("6.1", 128 << 20), check("6.8", GIB)), (Ok(()), Ok(())));
    }

    #[test]
    fn defaults_are_valid() {
        for guest_bytes in [64 << 20, 2 * GIB, 3 * GIB + 1, 65 * GIB, 1 << 45, 1 << 52] {
            let block_bytes = x86_block_bytes(guest_bytes, 128 << 20);
            let start = default_start(guest_bytes, block_bytes);
            assert!(start >= guest_bytes && start.is_multiple_of(block_bytes.max(GIB)));
            if start < 1 << 51 {
                let (add_bytes, step_bytes) = (block_bytes, block_bytes);
                let request = Request { guest_bytes, start, block_bytes, add_bytes, step_bytes, ..request() };
                assert_eq!(request.check(KernelVersion::CURRENT), Ok(()));
            }
        }
        assert_eq!(default_start(u64::MAX, GIB), u64::MAX / GIB * GIB);
        assert_eq!(x86_block_bytes(2 * GIB, 128 << 20), 128 << 20);
        assert_eq!(default_start(2 * GIB, 128 << 20), 4 * GIB);
    }
}
