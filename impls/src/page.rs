//! The record of a physical page.
//!
//! A record has 64 bytes with the fields of Linux's `struct page`. Each field is an atomic, because
//! readers run concurrently with a writer that builds and retires records.
//!
//! The word `check` is this project's own; the kernel keeps `memcg_data` there. It identifies the
//! pfn and the life of the record. By reading it, a test can tell a record from that of another
//! pfn, and from one of an earlier life of the same pfn.
//!
//! ```text
//!  0        8              24       32       40       48        52        56      64
//!  | flags  | lru (2 words)| mapping| index  | private| mapcount| refcount| check |
//! ```

use crate::pfn::Pfn;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Size of a record in bytes: 64, a power of two and one cache line.
pub const PAGE_RECORD_BYTES: u64 = 64;

/// The record of one physical page, as `struct page`.
///
/// ```
/// use memmap_layouts::layouts::Flat;
/// use memmap_layouts::{BootMap, BootRange, Config, Lookup, Memmap, Page, Pfn, PfnRange, RecordStore, Zone};
///
/// let ram = BootRange { range: PfnRange::new(0, 0x8000).unwrap(), node: 1 };
/// let layout: Flat = Flat::boot(&BootMap::new([ram])?, &Config::default(), RecordStore::unlimited())?;
/// let reader = layout.reader();
/// let page: &Page = reader.valid_to_page(Pfn(0x1234)).unwrap();
/// assert_eq!((page.node(), page.zone(), page.is_of(Pfn(0x1234))), (1, Some(Zone::Normal), true));
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
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
/// XORed into the check word. Without it, uninitialised memory (zeros) would look like the check
/// word of pfn 0 in life 0.
const CHECK_SEED: u64 = 0x5ec7_1045_ab1e_50f7;

/// The upper bits of `flags`: section (classic SPARSEMEM only), node, zone. Section and node do not
/// change while a record lives.
///
/// ```
/// use memmap_layouts::{PageLinks, Zone};
///
/// let links = PageLinks::new(3, Zone::Movable);
/// assert_eq!((links.node(), links.zone()), (3, Some(Zone::Movable)));
/// assert_eq!(links.with_section(5, 19).node(), 3, "19 bits of section number leave room for the node");
/// ```
///
/// Source: `include/linux/page-flags-layout.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLinks(u64);

impl PageLinks {
    const ZONE_SHIFT: u32 = 32;
    const NODE_SHIFT: u32 = 35;
    const NODE_WIDTH: u32 = 8;
    const ZONE_MASK: u64 = 0b111 << Self::ZONE_SHIFT;

    /// Links for a page of `node` in `zone`, without a section number.
    pub const fn new(node: u8, zone: Zone) -> Self {
        Self((node as u64) << Self::NODE_SHIFT | (zone as u64) << Self::ZONE_SHIFT)
    }

    /// The node.
    pub const fn node(self) -> u8 {
        (self.0 >> Self::NODE_SHIFT) as u8
    }

    /// The zone; `None` if the bits are no zone's number.
    pub const fn zone(self) -> Option<Zone> {
        Zone::from_number((self.0 >> Self::ZONE_SHIFT & 0b111) as u8)
    }

    /// Adds the section number in the top `width` bits. If that leaves no room for the node, the
    /// node is dropped. A kernel then keeps nodes in a separate table (`NODE_NOT_IN_PAGE_FLAGS`).
    pub const fn with_section(self, nr: u64, width: u32) -> Self {
        let node_fits = 64 - width >= Self::NODE_SHIFT + Self::NODE_WIDTH;
        let node_and_zone = if node_fits { self.0 } else { self.0 & ((1 << Self::NODE_SHIFT) - 1) };
        Self(node_and_zone | nr << (64 - width))
    }
}

/// Zones, as numbered in `page->flags`.
///
/// ```
/// use memmap_layouts::Zone;
///
/// assert_eq!((Zone::Device as u8, Zone::from_number(4), Zone::from_number(7)), (4, Some(Zone::Device), None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Zone {
    /// Ordinary memory; its pages may be unmovable.
    Normal = 2,
    /// Memory whose pages can be migrated, so that it can be offlined.
    Movable = 3,
    /// Device memory (ZONE_DEVICE), never onlined.
    Device = 4,
}

impl Zone {
    /// The zone with this number (`zone as u8`): 2, 3 or 4.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::Normal),
            3 => Some(Self::Movable),
            4 => Some(Self::Device),
            _ => None,
        }
    }
}

impl Page {
    /// Writes every word of the record, as `__init_single_page` does: links, reference count 1, map
    /// count -1, an empty list head. Then writes the check word for `pfn` in life `life`.
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

    /// `PG_reserved`: the page belongs to the system, not to the allocator.
    pub const PG_RESERVED: u64 = 1 << 14;

    /// Sets `PG_reserved` in an initialised record.
    pub fn set_reserved(&self) {
        self.flags.fetch_or(Self::PG_RESERVED, Ordering::Relaxed);
    }

    /// True if the record is initialised and `PG_reserved` is set.
    pub fn is_reserved(&self) -> bool {
        !self.is_poisoned() && self.flags() & Self::PG_RESERVED != 0
    }

    /// `PG_hwpoison`: the memory of the page has failed.
    pub const PG_HWPOISON: u64 = 1 << 22;

    /// Sets `PG_hwpoison`.
    pub fn set_hwpoison(&self) {
        self.flags.fetch_or(Self::PG_HWPOISON, Ordering::Relaxed);
    }

    /// True if the record is initialised and `PG_hwpoison` is set.
    pub fn is_hwpoison(&self) -> bool {
        !self.is_poisoned() && self.flags() & Self::PG_HWPOISON != 0
    }

    /// The NUMA node from the links. In a layout whose section numbers leave no room for it
    /// ([`PageLinks::with_section`]), these bits are part of the section number.
    pub fn node(&self) -> u8 {
        PageLinks(self.flags()).node()
    }

    /// Moves the page to another zone, as onlining a range does. Source: `set_page_links`.
    pub fn set_zone(&self, zone: Zone) {
        let others = self.flags() & !PageLinks::ZONE_MASK;
        self.flags.store(others | (zone as u64) << PageLinks::ZONE_SHIFT, Ordering::Relaxed);
    }

    /// The zone from the links; `None` if the record was never initialised.
    pub fn zone(&self) -> Option<Zone> {
        if self.is_poisoned() {
            return None;
        }
        PageLinks(self.flags()).zone()
    }

    /// Writes `private`, the word for use by the page's owner. Source: `set_page_private`.
    #[inline(always)]
    pub fn set_private(&self, value: u64) {
        self.private.store(value, Ordering::Relaxed);
    }

    /// Fills the record with ones: it exists but is not initialised. Source: `page_init_poison`.
    pub fn poison(&self) {
        for word in self.words() {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        self.mapcount.store(-1, Ordering::Relaxed);
        self.refcount.store(-1, Ordering::Relaxed);
    }

    /// True if the record was poisoned and has not been initialised since.
    pub fn is_poisoned(&self) -> bool {
        self.words().into_iter().all(|word| word.load(Ordering::Relaxed) == u64::MAX)
    }

    fn words(&self) -> [&AtomicU64; 7] {
        let [next, previous] = &self.lru;
        [&self.flags, next, previous, &self.mapping, &self.index, &self.private, &self.check]
    }

    fn check_word(pfn: Pfn, life: Life) -> u64 {
        (pfn.0 & ((1 << CHECK_PFN_BITS) - 1) | life.0 << CHECK_PFN_BITS) ^ CHECK_SEED
    }

    /// `page->flags`: what a walker reads first.
    #[inline(always)]
    pub fn flags(&self) -> u64 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Section number from the top `width` bits of the flags (classic SPARSEMEM).
    #[inline(always)]
    pub fn section_nr(&self, width: u32) -> u64 {
        self.flags() >> (64 - width)
    }

    /// The check word as stored; [`identity`](Self::identity) decodes it.
    #[inline(always)]
    pub fn check(&self) -> u64 {
        self.check.load(Ordering::Relaxed)
    }

    /// True if this is an initialised record of `pfn`, in any life. Compares the lower 40 bits of
    /// the pfn.
    pub fn is_of(&self, pfn: Pfn) -> bool {
        let (own, life) = self.identity();
        own.0 == pfn.0 & ((1 << CHECK_PFN_BITS) - 1) && life.0 != 0 && self.refcount.load(Ordering::Relaxed) == 1
    }

    /// The pfn (its lower 40 bits) and the life from the check word.
    pub fn identity(&self) -> (Pfn, Life) {
        let word = self.check() ^ CHECK_SEED;
        (Pfn(word & ((1 << CHECK_PFN_BITS) - 1)), Life(word >> CHECK_PFN_BITS))
    }
}

/// Counts how often the record of a pfn was initialised: each boot, hot-add or re-add begins a new
/// life. 24 bits, never 0.
///
/// ```
/// use memmap_layouts::Life;
///
/// assert_eq!(Life::BOOT.next().number(), 2);
/// assert_eq!(Life::from_number((1 << 24) - 1).next(), Life::BOOT, "lives start again");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Life(u64);

impl Life {
    /// The life of boot memory.
    pub const BOOT: Life = Life(1);

    /// The life with this number, of which the low 24 bits count; 0 becomes 1.
    pub const fn from_number(number: u64) -> Self {
        match number & ((1 << (64 - CHECK_PFN_BITS)) - 1) {
            0 => Life::BOOT,
            number => Life(number),
        }
    }

    /// The number: 1 to 2^24 - 1.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The next life; 2^24 - 1 is followed by 1.
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
    fn a_poisoned_record_is_of_no_page_until_it_is_initialised() {
        let page = zeroed();
        page.poison();
        assert!(page.is_poisoned() && !page.is_of(Pfn(7)) && !page.is_reserved() && page.zone().is_none());
        page.init(PageLinks::new(1, Zone::Device), Pfn(7), Life::BOOT);
        page.set_reserved();
        assert!(page.is_of(Pfn(7)) && page.is_reserved() && page.zone() == Some(Zone::Device));
        page.set_zone(Zone::Movable);
        assert_eq!((page.zone(), page.is_reserved()), (Some(Zone::Movable), true));
    }

    #[test]
    fn a_wide_section_number_pushes_the_node_out_and_leaves_the_zone() {
        let page = zeroed();
        page.init(PageLinks::new(255, Zone::Device).with_section(5, 29), Pfn(7), Life::BOOT);
        assert_eq!((page.section_nr(29), page.zone()), (5, Some(Zone::Device)));
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
