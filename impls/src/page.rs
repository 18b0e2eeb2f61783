//! The record of a physical page.
//!
//! 64 bytes with the fields of Linux's `struct page`, each an atomic: readers run beside a writer that builds and
//! retires records. One word, `check`, is this project's own (it lies where the kernel keeps `memcg_data`): it names
//! the pfn and the life of the record, so that a test can tell a record from its neighbour's and from one of an
//! earlier life of the same pfn by reading, not by surviving.
//!
//! ```text
//!  0        8              24       32       40       48        52        56      64
//!  | flags  | lru (2 words)| mapping| index  | private| mapcount| refcount| check |
//! ```

use crate::pfn::Pfn;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Bytes of a record: 64, a power of two, one cache line.
pub const PAGE_RECORD_BYTES: u64 = 64;

/// Record of one physical page.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Page {
    flags: AtomicU64,
    lru: [AtomicU64; 2],
    mapping: AtomicU64,
    index: AtomicU64,
    private: AtomicU64,
    mapcount: AtomicI32,
    refcount: AtomicI32,
    check: AtomicU64,
}

const _: () = assert!(size_of::<Page>() as u64 == PAGE_RECORD_BYTES);

/// Bits of a pfn kept in the check word: enough for a 52-bit physical space.
const CHECK_PFN_BITS: u32 = 40;
/// So that memory which was never initialised (zeros) is no record of pfn 0.
const CHECK_SEED: u64 = 0x5ec7_1045_ab1e_50f7;

/// The upper bits of `flags`, which do not change while a record lives: section (classic SPARSEMEM only), node, zone.
///
/// Source: `include/linux/page-flags-layout.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLinks(u64);

impl PageLinks {
    const ZONE_SHIFT: u32 = 32;
    const NODE_SHIFT: u32 = 35;

    /// Links of a page of `node` in `zone`, without a section number.
    pub const fn new(node: u8, zone: Zone) -> Self {
        Self((node as u64) << Self::NODE_SHIFT | (zone as u64) << Self::ZONE_SHIFT)
    }

    /// The same, with the section number in the top `width` bits.
    pub const fn with_section(self, nr: u64, width: u32) -> Self {
        Self(self.0 | nr << (64 - width))
    }
}

/// Zones, as numbered in `page->flags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Zone {
    /// Ordinary memory.
    Normal = 2,
    /// Memory of a device, never onlined.
    Device = 4,
}

impl Page {
    /// Writes every word of the record, as `__init_single_page` does: links, reference count 1, map count -1, an
    /// empty list head; then the check word for `pfn` in its `life`-th life.
    #[inline(always)]
    pub fn init(&self, links: PageLinks, pfn: Pfn, life: Life) {
        let list_head = (&raw const self.lru).addr() as u64;
        self.flags.store(links.0, Ordering::Relaxed);
        self.lru[0].store(list_head, Ordering::Relaxed);
        self.lru[1].store(list_head, Ordering::Relaxed);
        self.mapping.store(0, Ordering::Relaxed);
        self.index.store(0, Ordering::Relaxed);
        self.private.store(0, Ordering::Relaxed);
        self.mapcount.store(-1, Ordering::Relaxed);
        self.refcount.store(1, Ordering::Relaxed);
        self.check.store(Self::check_word(pfn, life), Ordering::Relaxed);
    }

    fn check_word(pfn: Pfn, life: Life) -> u64 {
        (pfn.0 & ((1 << CHECK_PFN_BITS) - 1) | life.0 << CHECK_PFN_BITS) ^ CHECK_SEED
    }

    /// `page->flags`: what a walker reads first.
    #[inline(always)]
    pub fn flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Section number from the top `width` bits of the flags.
    #[inline(always)]
    pub fn section_nr(&self, width: u32) -> u64 {
        self.flags() >> (64 - width)
    }

    /// The check word, as written.
    #[inline(always)]
    pub fn check(&self) -> u64 {
        self.check.load(Ordering::Relaxed)
    }

    /// True if this is an initialised record of `pfn`, of whatever life.
    pub fn is_of(&self, pfn: Pfn) -> bool {
        let (of, life) = self.identity();
        of.0 == pfn.0 & ((1 << CHECK_PFN_BITS) - 1) && life.0 != 0 && self.refcount.load(Ordering::Relaxed) == 1
    }

    /// The pfn (its lower 40 bits) and life that the check word names.
    pub fn identity(&self) -> (Pfn, Life) {
        let word = self.check() ^ CHECK_SEED;
        (Pfn(word & ((1 << CHECK_PFN_BITS) - 1)), Life(word >> CHECK_PFN_BITS))
    }
}

/// Which building of a record this is; each boot, hot-add or re-add begins a new life. 24 bits, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life(u64);

impl Life {
    /// The life of boot memory.
    pub const BOOT: Life = Life(1);

    /// The life after this one; after 2^24 - 1 it begins again at 1.
    pub const fn next(self) -> Life {
        if self.0 + 1 == 1 << (64 - CHECK_PFN_BITS) { Life(1) } else { Life(self.0 + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeroed() -> Box<Page> {
        // SAFETY: every field is an atomic integer, for which zero is a value.
        Box::new(unsafe { std::mem::zeroed() })
    }

    #[test]
    fn a_record_names_its_pfn_and_its_life() {
        let page = zeroed();
        assert!(!page.is_of(Pfn(0)), "memory that was never initialised is no record");
        let links = PageLinks::new(3, Zone::Normal).with_section(0x7ffff, 19);
        page.init(links, Pfn(0x3_ffff_ffff), Life::BOOT);
        assert!(page.is_of(Pfn(0x3_ffff_ffff)) && !page.is_of(Pfn(0x3_ffff_fffe)));
        assert_eq!(page.section_nr(19), 0x7ffff);
        let first = page.check();
        page.init(links, Pfn(0x3_ffff_ffff), Life::BOOT.next());
        assert_ne!(page.check(), first, "another life, another word");
    }

    #[test]
    fn lives_begin_again_without_zero() {
        let last = Life((1 << 24) - 1);
        assert_eq!(last.next(), Life(1));
        let page = zeroed();
        page.init(PageLinks::new(0, Zone::Device), Pfn(7), last);
        assert_eq!(page.identity(), (Pfn(7), last));
    }
}
