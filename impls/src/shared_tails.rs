//! Records of compound pages: the pages of records that only describe tail pages are one page, mapped
//! many times.
//!
//! ```text
//!  records of a compound page of 2 MiB:   | head, 63 tails | 64 tails | 64 tails | … 5 more |
//!  pages of memory:                             own        |  shared by these seven         |
//! ```
//!
//! The shared pages are those of an unnamed file in memory, so that a page can be mapped at several
//! addresses. Each such mapping is one of the process's `vm.max_map_count`, of which all arrays together
//! take at most three quarters: at the limit itself, the kernel would refuse to release them too. A
//! kernel, which writes page tables directly, has no such limit.
//!
//! Source: `vmemmap_populate_compound_pages` of `mm/sparse-vmemmap.c`, since Linux 5.18. There and here
//! the last user of a shared page frees it.

use crate::stretch::Stretch;
use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// `vm.max_map_count` where it cannot be read: `DEFAULT_MAX_MAP_COUNT`.
const DEFAULT_LIMIT: u64 = 65_530;

/// Mappings of shared pages in this process.
static MAPPINGS: AtomicU64 = AtomicU64::new(0);

/// Mappings that a process may have.
fn max_map_count() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok();
    *LIMIT.get_or_init(|| read().unwrap_or(DEFAULT_LIMIT))
}

/// The records of compound pages within an array of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompoundRecords {
    /// Bytes of the records of one compound page, a power of two of more than two pages.
    pub bytes: u64,
    /// Offset at which those of the first compound page of the range begin.
    pub origin: u64,
}

impl CompoundRecords {
    /// Where the records of the compound page begin that `offset` belongs to.
    pub fn begin(self, offset: u64) -> u64 {
        self.origin + (offset - self.origin) / self.bytes * self.bytes
    }
}

/// A range of records that maps one shared page again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where the records of its compound page begin.
    pub begin: u64,
    /// Bytes.
    pub len: u64,
    /// Offset of the shared page in the file.
    pub page: u64,
}

/// The shared pages of an array of records.
#[derive(Debug, Default)]
pub(crate) struct SharedTails {
    file: Option<File>,
    /// Runs by their offsets. They do not overlap.
    runs: BTreeMap<u64, Run>,
    /// Offsets in the file that are free again, and where the file ends.
    free: Vec<u64>,
    end: u64,
    /// Mappings that are reserved for runs.
    mappings: u64,
}

impl SharedTails {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The shared page of the compound page at `begin`, if the records just below `offset` map it.
    pub fn page_below(&self, offset: u64, begin: u64) -> Option<u64> {
        let (start, run) = self.runs.range(..offset).next_back()?;
        (start + run.len == offset && run.begin == begin).then_some(run.page)
    }

    /// Reserves mappings.
    ///
    /// # Errors
    /// The limit of the process, if it leaves no room for them.
    pub fn reserve_mappings(&mut self, number: u64) -> Result<(), u64> {
        let limit = max_map_count();
        let add = |mapped: u64| mapped.checked_add(number).filter(|&sum| sum <= limit / 4 * 3);
        MAPPINGS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| limit)?;
        self.mappings += number;
        Ok(())
    }

    /// Gives reserved mappings back.
    pub fn release_mappings(&mut self, number: u64) {
        self.mappings -= number;
        MAPPINGS.fetch_sub(number, Ordering::Relaxed);
    }

    /// The file with the shared pages.
    ///
    /// # Errors
    /// It cannot be made: too many open files.
    pub fn file(&mut self) -> Result<&File, Errno> {
        if self.file.is_none() {
            self.file = Some(File::from(rustix::fs::memfd_create(c"records of tail pages", MemfdFlags::CLOEXEC)?));
        }
        self.file.as_ref().ok_or(Errno::BADF)
    }

    /// A page of the file that nobody uses, zeroed.
    ///
    /// # Errors
    /// The file cannot be made or extended.
    pub fn new_page(&mut self, page_bytes: u64) -> Result<u64, Errno> {
        if let Some(page) = self.free.pop() {
            return Ok(page);
        }
        let page = self.end;
        rustix::fs::ftruncate(self.file()?, page + page_bytes)?;
        self.end = page + page_bytes;
        Ok(page)
    }

    /// Gives the memory of a page back that nobody uses.
    pub fn free_page(&mut self, page: u64, page_bytes: u64) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // A page that cannot be released would not be zeroed, so it is not used again.
        if self.file.as_ref().is_some_and(|file| rustix::fs::fallocate(file, hole, page, page_bytes).is_ok()) {
            self.free.push(page);
        }
    }

    /// Records that a run is mapped.
    pub fn enter(&mut self, offset: u64, run: Run) {
        self.runs.insert(offset, run);
    }

    /// The parts of runs that lie in a stretch, with their offsets.
    pub fn within(&self, stretch: Stretch) -> Vec<(u64, Run)> {
        let before = self.runs.range(..stretch.offset).next_back();
        let inside = self.runs.range(stretch.offset..stretch.end());
        let cut = |(&offset, run): (&u64, &Run)| {
            let (from, to) = (offset.max(stretch.offset), (offset + run.len).min(stretch.end()));
            (from < to).then(|| (from, Run { len: to - from, ..*run }))
        };
        before.into_iter().chain(inside).filter_map(cut).collect()
    }

    /// Forgets the parts of runs that lie in a stretch, and frees the pages that nobody uses any more.
    /// Returns their number.
    pub fn leave(&mut self, stretch: Stretch, page_bytes: u64) -> u64 {
        let gone = self.within(stretch);
        for &(offset, part) in &gone {
            let (&start, &run) = self.runs.range(..=offset).next_back().expect("the part is of a run");
            self.runs.remove(&start);
            let end = start + run.len;
            for (from, to) in [(start, offset), (offset + part.len, end)] {
                if from < to {
                    self.runs.insert(from, Run { len: to - from, ..run });
                }
            }
        }
        self.release_mappings(gone.iter().map(|(_, run)| run.len).sum::<u64>() / page_bytes);
        let mut pages: Vec<u64> = gone.into_iter().map(|(_, run)| run.page).collect();
        pages.sort_unstable();
        pages.dedup();
        pages.retain(|&page| !self.runs.values().any(|run| run.page == page));
        pages.iter().for_each(|&page| self.free_page(page, page_bytes));
        pages.len() as u64
    }
}

impl Drop for SharedTails {
    fn drop(&mut self) {
        self.release_mappings(self.mappings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn the_last_user_of_a_page_frees_it() {
        let mut tails = SharedTails::default();
        let page = tails.new_page(PAGE).unwrap();
        tails.reserve_mappings(511 + 512).unwrap();
        // Two sections of a compound page of 1 GiB.
        tails.enter(PAGE, Run { begin: 0, len: 511 * PAGE, page });
        tails.enter(512 * PAGE, Run { begin: 0, len: 512 * PAGE, page });
        assert_eq!(tails.page_below(1024 * PAGE, 0), Some(page));
        let others = [(1024 * PAGE, PAGE), (1025 * PAGE, 0), (PAGE, 0)];
        assert!(others.iter().all(|&(offset, begin)| tails.page_below(offset, begin).is_none()));
        // The middle of the first run.
        assert_eq!(tails.leave(Stretch { offset: 8 * PAGE, len: 8 * PAGE }, PAGE), 0);
        assert_eq!(tails.within(Stretch { offset: 0, len: 512 * PAGE }).len(), 2);
        assert_eq!(tails.leave(Stretch { offset: 0, len: 512 * PAGE }, PAGE), 0);
        assert_eq!(tails.leave(Stretch { offset: 512 * PAGE, len: 512 * PAGE }, PAGE), 1);
        assert_eq!((tails.is_empty(), tails.mappings), (true, 0));
        assert!(tails.reserve_mappings(u64::MAX).is_err());
        assert_eq!(tails.new_page(PAGE), Ok(page), "a page that is free is used again");
    }
}
