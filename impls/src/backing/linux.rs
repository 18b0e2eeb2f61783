//! Private memory mapped as Linux on x86-64 maps its memory map: whole sections in huge pages,
//! parts of sections in base pages.
//!
//! Source: `vmemmap_populate` of `arch/x86/mm/init_64.c`:
//!
//! ```c
//! if (end - start < PAGES_PER_SECTION * sizeof(struct page))
//!         err = vmemmap_populate_basepages(start, end, node, NULL);
//! else if (boot_cpu_has(X86_FEATURE_PSE))
//!         err = vmemmap_populate_hugepages(start, end, node, altmap);
//! ```
//!
//! The records of a section fill one aligned block of 2 MiB. A populate backs each whole block with
//! a transparent huge page and the rest with base pages. Releasing part of a huge page splits it. A
//! block that was released and is populated as a whole is huge again.
//!
//! | block | advice | page table | its entry in `small` |
//! | --- | --- | --- | --- |
//! | never populated, or only as a whole | `MADV_HUGEPAGE` | none | absent |
//! | populated or released in part | `MADV_NOHUGEPAGE` | stays after its pages are released | present |
//!
//! The kernel allocates no huge page where a page table exists, so a block of the second kind is
//! remapped before it is populated as a whole. Only blocks of the second kind split the mapping, and
//! neighbours of the same kind merge. So the number of mappings does not grow with the number of
//! sections.
//!
//! Before Linux 6.14, a block for which the kernel found no huge page also keeps its page table, and
//! stays in base pages.

use super::address_range::{AddressRange, too_many_mappings};
use super::backing_store::BackingStore;
use super::error::BackingError;
use super::huge;
use crate::stretch::Stretch;
use rustix::mm::Advice;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Size of a block in bytes: the records of an x86-64 section, or one huge page.
const BLOCK: u64 = 2 << 20;

/// Numbers of the blocks that a range touches.
fn blocks(range: AddressRange) -> Range<u64> {
    range.offset() / BLOCK..range.stretch().end().div_ceil(BLOCK)
}

/// Private memory, with huge pages for whole blocks.
#[derive(Debug)]
pub(super) struct Linux {
    /// Numbers of the blocks that were populated or released in part.
    small: Mutex<BTreeSet<u64>>,
}

impl Linux {
    /// A store in which no block was populated yet.
    ///
    /// # Errors
    /// The kernel has no transparent huge pages of 2 MiB, or they are disabled.
    pub(super) fn new() -> Result<Self, BackingError> {
        match huge::transparent_page("linux")? {
            BLOCK => Ok(Self { small: Mutex::default() }),
            page => Err(BackingError::Unavailable {
                backing: "linux",
                reason: format!(
                    "transparent huge pages have {page} bytes on this machine, but {BLOCK} are needed; try \
                     --backing anon"
                ),
            }),
        }
    }

    fn small(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // Each change is a single insertion or removal, so a panic leaves a valid set.
        self.small.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts of a stretch that are not whole blocks: all of it, or at most its two ends.
    fn ragged(stretch: Stretch) -> impl Iterator<Item = Stretch> {
        let (left, right) = stretch.round_in(BLOCK).map_or((stretch.end(), stretch.end()), |w| (w.offset, w.end()));
        [Stretch::from_to(stretch.offset, left), Stretch::from_to(right, stretch.end())].into_iter().flatten()
    }

    /// Applies `MADV_NOHUGEPAGE` to the blocks of a range, unless all of them have it.
    fn make_small(&self, range: AddressRange) -> Result<(), BackingError> {
        let mut small = self.small();
        if blocks(range).all(|block| small.contains(&block)) {
            return Ok(());
        }
        // SAFETY: `Memory` aligns its base to BLOCK and reserves whole blocks.
        let whole = unsafe { range.round_out(BLOCK) };
        let refused = |errno| too_many_mappings(errno).unwrap_or(BackingError::populate(range.len(), errno));
        whole.advise(Advice::LinuxNoHugepage).map_err(refused)?;
        small.extend(blocks(range));
        Ok(())
    }

    /// Marks the blocks of a range as never populated.
    fn forget(&self, range: AddressRange) {
        let mut small = self.small();
        for block in blocks(range) {
            small.remove(&block);
        }
    }

    /// Remaps those blocks of `whole` that have a page table.
    fn make_huge(&self, whole: AddressRange) -> Result<(), BackingError> {
        let Range { start, end } = blocks(whole);
        let mut small = self.small();
        while let Some(from) = small.range(start..end).next().copied() {
            let to = (from..end).find(|block| !small.contains(block)).unwrap_or(end);
            let run = Stretch { offset: from * BLOCK, len: (to - from) * BLOCK };
            whole.within(run).map_private(Advice::LinuxHugepage)?;
            for block in from..to {
                small.remove(&block);
            }
        }
        Ok(())
    }
}

impl BackingStore for Linux {
    fn huge_page_bytes(&self) -> Option<u64> {
        Some(BLOCK)
    }

    /// A read maps the zero page, or the huge zero page.
    fn has_zero_page(&self) -> bool {
        true
    }

    /// Populates and releases one page before the mapping is split. The kernel merges mappings only
    /// if they share their `anon_vma`. The first page creates it, and parts of a mapping inherit
    /// it.
    fn reserve(&self, whole: AddressRange) -> Result<(), BackingError> {
        whole.map_private(Advice::LinuxNoHugepage)?;
        let page = Stretch { offset: whole.offset(), len: rustix::param::page_size() as u64 };
        whole.within(page).populate()?;
        self.give_back(whole.within(page))?;
        match Stretch::from_to(whole.offset() + BLOCK, whole.offset() + whole.len()) {
            Some(rest) => {
                let advised = whole.within(rest).advise(Advice::LinuxHugepage);
                advised.map_err(|errno| BackingError::populate(rest.len, errno))
            }
            None => Ok(()),
        }
    }

    fn map(&self, range: AddressRange) -> Result<(), BackingError> {
        range.map_private(Advice::LinuxHugepage)?;
        for ragged in Self::ragged(range.stretch()) {
            // A device was mapped here, so there is a page table. The new mapping lacks the advice
            // that its block may have.
            self.forget(range.within(ragged));
            self.make_small(range.within(ragged))?;
        }
        if let Some(whole) = range.stretch().round_in(BLOCK) {
            // Replacing the mapping removed the old page tables.
            self.forget(range.within(whole));
        }
        Ok(())
    }

    fn populate(&self, range: AddressRange) -> Result<(), BackingError> {
        Self::ragged(range.stretch()).try_for_each(|ragged| self.make_small(range.within(ragged)))?;
        if let Some(whole) = range.stretch().round_in(BLOCK) {
            self.make_huge(range.within(whole))?;
        }
        range.populate()
    }

    /// If the kernel refuses the advice, replaces the mapping.
    fn give_back(&self, range: AddressRange) -> Result<(), BackingError> {
        for ragged in Self::ragged(range.stretch()) {
            // Without the advice, khugepaged may collapse the rest of the block into a huge page
            // again. The memory is released nevertheless.
            if self.make_small(range.within(ragged)).is_err() {
                self.small().extend(blocks(range.within(ragged)));
            }
        }
        range.discard(Advice::LinuxDontNeed).or_else(|_| self.map(range))
    }
}

#[cfg(test)]
mod tests {
    use crate::backing::{Memory, RamBacking, Stretch};
    use std::fs;
    use std::sync::atomic::{AtomicU8, Ordering};

    const MIB: u64 = 1 << 20;

    /// Memory for which the kernel finds huge pages.
    fn memory() -> Option<Memory> {
        let memory = match Memory::reserve(512 * MIB, &RamBacking::Linux) {
            Ok(memory) => memory,
            Err(error) => {
                eprintln!("skipped: {error}");
                return None;
            }
        };
        let block = stretch(256, 2);
        memory.populate(block).unwrap();
        let found = huge_mib(&memory);
        memory.give_back(block).unwrap();
        if found != 2 {
            eprintln!("skipped: the kernel found no free huge page");
            return None;
        }
        Some(memory)
    }

    fn stretch(mib: u64, len_mib: u64) -> Stretch {
        Stretch { offset: mib * MIB, len: len_mib * MIB }
    }

    fn huge_mib(memory: &Memory) -> u64 {
        memory.bytes_in_huge_pages().unwrap() / MIB
    }

    fn nr_mappings(memory: &Memory) -> usize {
        let (start, len) = (memory.base().as_ptr().addr(), memory.len_bytes() as usize);
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let begins = |line: &str| usize::from_str_radix(line.split('-').next()?, 16).ok();
        maps.lines().filter_map(begins).filter(|begin| (start..start + len).contains(begin)).count()
    }

    fn byte(memory: &Memory, mib: u64) -> &AtomicU8 {
        // SAFETY: inside the range, which is readable and writable.
        unsafe { memory.base().add((mib * MIB) as usize).cast().as_ref() }
    }

    #[test]
    fn whole_blocks_are_huge_and_ragged_ends_are_not() {
        let Some(memory) = memory() else { return };
        memory.populate(Stretch { offset: 0, len: 32 << 10 }).unwrap();
        memory.populate(stretch(3, 2)).unwrap();
        assert_eq!(huge_mib(&memory), 0, "two halves of neighbouring blocks, and a part of one");
        memory.populate(stretch(7, 8)).unwrap();
        assert_eq!(huge_mib(&memory), 6, "from 8 to 14 MiB");
        memory.give_back(stretch(7, 2)).unwrap();
        assert_eq!(huge_mib(&memory), 4, "the block at 8 MiB is split");
    }

    #[test]
    fn a_released_block_becomes_huge_again() {
        let Some(memory) = memory() else { return };
        for _ in 0..3 {
            memory.populate(stretch(4, 4)).unwrap();
            assert_eq!(huge_mib(&memory), 4);
            byte(&memory, 5).store(7, Ordering::Relaxed);
            byte(&memory, 6).store(8, Ordering::Relaxed);
            memory.give_back(stretch(5, 1)).unwrap();
            memory.populate(stretch(5, 1)).unwrap();
            assert_eq!(byte(&memory, 5).load(Ordering::Relaxed), 0);
            assert_eq!(huge_mib(&memory), 2, "a split block stays split");
            memory.give_back(stretch(4, 1)).unwrap();
            memory.give_back(stretch(5, 1)).unwrap();
            memory.populate(stretch(4, 2)).unwrap();
            assert_eq!(huge_mib(&memory), 4);
            assert_eq!(byte(&memory, 6).load(Ordering::Relaxed), 8, "the neighbour keeps its contents");
            memory.give_back(stretch(4, 4)).unwrap();
        }
    }

    #[test]
    fn mappings_merge() {
        let Some(_) = memory() else { return };
        // A new memory: the first one got its `anon_vma` from a page that was populated before the
        // mapping was split.
        let memory = Memory::reserve(512 * MIB, &RamBacking::Linux).unwrap();
        let before = nr_mappings(&memory);
        for _ in 0..2 {
            let parts = || (0..64).map(|nr| stretch(4 * nr + 2, 1));
            parts().for_each(|part| memory.populate(part).unwrap());
            // Each of these is a separate mapping when its first page is populated.
            (0..64).for_each(|nr| memory.populate(stretch(4 * nr, 2)).unwrap());
            assert!(nr_mappings(&memory) > 64, "blocks of both kinds alternate");
            parts().for_each(|part| memory.give_back(part).unwrap());
            (0..64).for_each(|nr| memory.populate(stretch(4 * nr + 2, 2)).unwrap());
            assert_eq!(huge_mib(&memory), 256);
            assert!(nr_mappings(&memory) <= before, "{} mappings", nr_mappings(&memory));
            memory.give_back(stretch(0, 256)).unwrap();
        }
    }
}
