//! Record types: what a layout keeps for each page frame. [`Page`] is Linux's; a layout may have a
//! smaller one.

use crate::page::{Life, Page, PageLinks, Zone};
use crate::pfn::Pfn;

/// The record of one page frame: what [`pfn_to_page`](crate::Lookup::pfn_to_page) points to.
///
/// [`Page`] has the 64 bytes of Linux's `struct page`. A layout may use 8, 16, 32 or 64 bytes; any
/// other size does not compile. Linux plans such small records under the name `memdesc`. Records of
/// these sizes never cross a cache line.
///
/// ```
/// use memmap_layouts::{Life, Page, PageLinks, PageRecord, Pfn, Zone, record_bytes};
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// /// The pfn plus one in the low 40 bits, above them zone and node.
/// #[repr(C, align(8))]
/// struct Descriptor(AtomicU64);
///
/// // SAFETY: zero is a value of the word, and every access is atomic.
/// unsafe impl PageRecord for Descriptor {
///     fn init(&self, links: PageLinks, pfn: Pfn, _: Life) {
///         let zone = u64::from(links.zone().map_or(0, |zone| zone as u8));
///         self.0.store((pfn.0 + 1) & (1 << 40) - 1 | zone << 40 | u64::from(links.node()) << 48, Relaxed);
///     }
///     fn flags(&self) -> u64 {
///         self.0.load(Relaxed)
///     }
///     fn pfn(&self) -> Option<Pfn> {
///         (self.flags() & (1 << 40) - 1).checked_sub(1).map(Pfn)
///     }
///     fn links(&self) -> Option<PageLinks> {
///         let zone = Zone::from_number((self.flags() >> 40) as u8)?;
///         Some(PageLinks::new((self.flags() >> 48) as u8, zone))
///     }
/// }
///
/// assert_eq!((record_bytes::<Descriptor>(), record_bytes::<Page>()), (8, 64));
/// let record = Descriptor(AtomicU64::new(0));
/// assert_eq!(record.pfn(), None, "zeroed memory is no record yet");
/// record.init(PageLinks::new(3, Zone::Normal), Pfn(0x1234), Life::BOOT);
/// assert_eq!((record.pfn(), record.links().unwrap().node()), (Some(Pfn(0x1234)), 3));
/// ```
///
/// # Safety
/// Zeroed memory is a value of the type, since records begin in zeroed mappings. Methods access it
/// atomically, since readers run beside a writer. Dropping a record is never necessary.
pub unsafe trait PageRecord: Send + Sync + Sized + 'static {
    /// Initialises the record of `pfn` in life `life`, whatever it held before.
    fn init(&self, links: PageLinks, pfn: Pfn, life: Life);

    /// The first word: what a walker reads. One relaxed load.
    fn flags(&self) -> u64;

    /// The page frame that the record was initialised for; `None` before that and after
    /// [`poison`](HotplugRecord::poison). Tests identify records by it.
    fn pfn(&self) -> Option<Pfn>;

    /// True if this is an initialised record of `pfn`.
    fn is_of(&self, pfn: Pfn) -> bool {
        self.pfn() == Some(pfn)
    }

    /// Node and zone of an initialised record; `None` if the record keeps neither. The conformance
    /// suite then skips that check.
    fn links(&self) -> Option<PageLinks>;

    /// True if the record was poisoned and has not been initialised since. Always false for records
    /// that are never hot-added.
    fn is_poisoned(&self) -> bool {
        false
    }
}

/// A record of memory that can be hot-added and removed, with the state that a machine keeps in it.
/// It keeps node and zone: [`links`](PageRecord::links) of an initialised record is never `None`.
///
/// # Safety
/// As for [`PageRecord`].
pub unsafe trait HotplugRecord: PageRecord {
    /// The life of an initialised record, as far as the record keeps it. Two lives that follow each
    /// other differ.
    fn life(&self) -> Life;

    /// Marks the record as not initialised: it exists, and [`pfn`](PageRecord::pfn) is `None`.
    /// Source: `page_init_poison`.
    fn poison(&self);

    /// Moves an initialised record to another zone. Source: `set_page_links`.
    fn set_zone(&self, zone: Zone);

    /// Sets `PG_reserved` in an initialised record.
    fn set_reserved(&self);

    /// True if the record is initialised and `PG_reserved` is set.
    fn is_reserved(&self) -> bool;

    /// Sets `PG_hwpoison` in an initialised record: the memory of the page has failed.
    fn set_hwpoison(&self);

    /// True if the record is initialised and `PG_hwpoison` is set.
    fn is_hwpoison(&self) -> bool;

    /// Writes `value` to a word that is free for the owner of the page. A record without such a word
    /// writes to one that it has, without changing what the record says.
    fn set_private(&self, value: u64);
}

/// Bytes of a record: 8, 16, 32 or 64. Other sizes do not compile:
///
/// ```compile_fail
/// # use memmap_layouts::{Life, PageLinks, PageRecord, Pfn, record_bytes};
/// # #[repr(C)]
/// struct Odd([std::sync::atomic::AtomicU64; 3]);
/// # unsafe impl PageRecord for Odd {
/// #     fn init(&self, _: PageLinks, _: Pfn, _: Life) {}
/// #     fn flags(&self) -> u64 { 0 }
/// #     fn pfn(&self) -> Option<Pfn> { None }
/// #     fn links(&self) -> Option<PageLinks> { None }
/// # }
/// const BYTES: u64 = record_bytes::<Odd>();
/// # fn main() { println!("{BYTES}"); }
/// ```
pub const fn record_bytes<P: PageRecord>() -> u64 {
    const {
        assert!(matches!(size_of::<P>(), 8 | 16 | 32 | 64), "a record has 8, 16, 32 or 64 bytes");
        assert!(align_of::<P>() == size_of::<P>(), "a record is aligned to its size: #[repr(align(8))] and so on");
    }
    size_of::<P>() as u64
}

// SAFETY: every field of `Page` is an atomic integer.
unsafe impl PageRecord for Page {
    #[inline(always)]
    fn init(&self, links: PageLinks, pfn: Pfn, life: Life) {
        Page::init(self, links, pfn, life);
    }

    #[inline(always)]
    fn flags(&self) -> u64 {
        Page::flags(self)
    }

    fn pfn(&self) -> Option<Pfn> {
        let (pfn, _) = self.identity();
        self.is_of(pfn).then_some(pfn)
    }

    fn is_of(&self, pfn: Pfn) -> bool {
        Page::is_of(self, pfn)
    }

    fn links(&self) -> Option<PageLinks> {
        self.zone().map(|zone| PageLinks::new(self.node(), zone))
    }

    fn is_poisoned(&self) -> bool {
        Page::is_poisoned(self)
    }
}

// SAFETY: as above.
unsafe impl HotplugRecord for Page {
    fn life(&self) -> Life {
        self.identity().1
    }

    fn poison(&self) {
        Page::poison(self);
    }

    fn set_zone(&self, zone: Zone) {
        Page::set_zone(self, zone);
    }

    fn set_reserved(&self) {
        Page::set_reserved(self);
    }

    fn is_reserved(&self) -> bool {
        Page::is_reserved(self)
    }

    fn set_hwpoison(&self) {
        Page::set_hwpoison(self);
    }

    fn is_hwpoison(&self) -> bool {
        Page::is_hwpoison(self)
    }

    #[inline(always)]
    fn set_private(&self, value: u64) {
        Page::set_private(self, value);
    }
}
