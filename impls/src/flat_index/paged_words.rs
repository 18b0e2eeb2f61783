//! A large array of words, of which only pages that are used have memory.

use crate::backing::{BASE_ALIGN, BackingError, Memory, RamBacking};
use crate::fault::{Faults, Seam};
use crate::memmap::{Config, IndexPages};
use crate::store::{IndexAccount, RecordStore};
use crate::stretch::Stretch;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of a word.
const WORD: u64 = size_of::<u64>() as u64;

/// Upper bound, in bytes, of the array's random offset. All blocks of 2 MiB begin at the same cache
/// set; without the offset, the arrays of two layouts would compete for the same sets.
const LAST_START: u64 = 1 << 20;

/// The share of a block that must be backed before it becomes a huge page, so that an index in huge
/// pages takes at most a third more memory than one in base pages.
const HUGE_FROM: (u64, u64) = (3, 4);

/// Words in reserved address space. Only the writer backs pages; unbacked ones read as zero.
#[derive(Debug)]
pub(super) struct PagedWords {
    memory: Memory,
    /// Offset of the first word in bytes, a multiple of the page size.
    start: u64,
    page: u64,
    /// A bit for each page that is backed.
    backed: Box<[AtomicU64]>,
    /// Every block of 2 MiB. Empty if blocks never become huge.
    blocks: Box<[Block]>,
    pages: IndexPages,
    faults: Faults,
    bytes: AtomicU64,
    account: IndexAccount,
}

/// 2 MiB of the array.
#[derive(Debug, Default)]
struct Block {
    nr_backed: AtomicU64,
    /// True once the kernel was asked to make it huge.
    tried: AtomicBool,
}

impl PagedWords {
    /// Reserves address space for so many words.
    ///
    /// # Errors
    /// The address space cannot be reserved.
    pub(super) fn reserve(words: u64, config: &Config, store: &RecordStore) -> Result<Self, BackingError> {
        let memory = Memory::reserve(words * WORD + LAST_START, &RamBacking::Anon)?;
        let page = memory.unit_bytes();
        let start = Pcg64Mcg::seed_from_u64(config.seed).random_range(0..LAST_START / page) * page;
        let may_be_huge = config.index_pages == IndexPages::Huge && Memory::can_collapse();
        let nr_pages = memory.len_bytes() / page;
        let nr_blocks = if may_be_huge { memory.len_bytes() / BASE_ALIGN } else { 0 };
        Ok(Self {
            start,
            page,
            backed: std::iter::repeat_with(AtomicU64::default).take(nr_pages.div_ceil(64) as usize).collect(),
            blocks: std::iter::repeat_with(Block::default).take(nr_blocks as usize).collect(),
            memory,
            pages: config.index_pages,
            faults: store.faults.clone(),
            bytes: AtomicU64::new(0),
            account: store.index.clone(),
        })
    }

    /// The first word.
    pub(super) fn base(&self) -> NonNull<AtomicU64> {
        // SAFETY: the offset lies in the memory.
        unsafe { self.memory.base().add(self.start as usize) }.cast()
    }

    /// Words in a page.
    pub(super) fn words_per_page(&self) -> u64 {
        self.page / WORD
    }

    /// Number of the page that holds a word.
    fn page_of(&self, word: u64) -> u64 {
        (self.start + word * WORD) / self.page
    }

    fn slot(&self, page: u64) -> (&AtomicU64, u64) {
        (&self.backed[(page / 64) as usize], 1 << (page % 64))
    }

    fn block(&self, page: u64) -> Option<&Block> {
        self.blocks.get((page * self.page / BASE_ALIGN) as usize)
    }

    fn is_page_backed(&self, page: u64) -> bool {
        let (slot, bit) = self.slot(page);
        slot.load(Ordering::Relaxed) & bit != 0
    }

    fn stretch(&self, page: u64) -> Stretch {
        Stretch { offset: page * self.page, len: self.page }
    }

    /// Backs the pages of these words, all or none of them. `allow` is asked before each page that
    /// is not backed yet. Writer only.
    ///
    /// # Errors
    /// There is no memory, or `allow` refused.
    pub(super) fn back(
        &self,
        words: impl Iterator<Item = Range<u64>>,
        allow: impl Fn() -> bool,
    ) -> Result<(), NotBacked> {
        let mut new = Vec::new();
        for page in words.flat_map(|words| self.page_of(words.start)..self.page_of(words.end - 1) + 1) {
            if self.is_page_backed(page) {
                continue;
            }
            if !allow() || self.memory.populate(self.stretch(page)).is_err() {
                self.give_back(&new);
                return Err(NotBacked);
            }
            self.mark(page);
            new.push(page);
        }
        for page in new {
            self.make_huge(page * self.page / BASE_ALIGN);
        }
        Ok(())
    }

    /// Notes that a page is backed.
    fn mark(&self, page: u64) {
        let (slot, bit) = self.slot(page);
        slot.fetch_or(bit, Ordering::Relaxed);
        if let Some(block) = self.block(page) {
            block.nr_backed.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes.fetch_add(self.page, Ordering::Relaxed);
        self.account.allocated(self.page);
    }

    fn give_back(&self, pages: &[u64]) {
        for &page in pages {
            // If the kernel refuses, the page stays backed and counted.
            if self.memory.give_back(self.stretch(page)).is_err() {
                continue;
            }
            let (slot, bit) = self.slot(page);
            slot.fetch_and(!bit, Ordering::Relaxed);
            if let Some(block) = self.block(page) {
                block.nr_backed.fetch_sub(1, Ordering::Relaxed);
            }
            self.bytes.fetch_sub(self.page, Ordering::Relaxed);
            self.account.freed(self.page);
        }
    }

    /// Makes a block one huge page when enough of it is backed. It stays as it is if the kernel
    /// finds none, and is not tried again.
    fn make_huge(&self, nr: u64) {
        let Some(block) = self.blocks.get(nr as usize) else { return };
        let per_block = BASE_ALIGN / self.page;
        let (share, whole) = HUGE_FROM;
        let is_early = block.nr_backed.load(Ordering::Relaxed) < per_block * share / whole;
        if is_early || block.tried.swap(true, Ordering::Relaxed) || !self.faults.allow(Seam::HugePage) {
            return;
        }
        if !self.memory.collapse(Stretch { offset: nr * BASE_ALIGN, len: BASE_ALIGN }) {
            return;
        }
        for page in nr * per_block..(nr + 1) * per_block {
            if !self.is_page_backed(page) {
                self.mark(page);
            }
        }
    }

    /// Bytes that are backed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// True if the page of a word is backed.
    #[cfg(test)]
    pub(super) fn is_backed(&self, word: u64) -> bool {
        self.is_page_backed(self.page_of(word))
    }

    /// True if blocks may become huge pages.
    #[cfg(test)]
    pub(super) fn may_be_huge(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// Bytes in huge pages; see
    /// [`Memmap::index_bytes_in_huge_pages`](crate::Memmap::index_bytes_in_huge_pages).
    pub(super) fn bytes_in_huge_pages(&self) -> Option<u64> {
        match self.pages {
            IndexPages::Base => None,
            IndexPages::Huge if self.blocks.is_empty() => Some(0),
            IndexPages::Huge => self.memory.bytes_collapsed(),
        }
    }
}

impl Drop for PagedWords {
    fn drop(&mut self) {
        self.account.freed(self.bytes());
    }
}

/// A page of the array has no memory.
#[derive(Debug)]
pub(super) struct NotBacked;
