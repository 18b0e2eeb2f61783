//! The traits of a memory-map layout: looking records up ([`Lookup`]) and managing them
//! ([`Memmap`], [`Hotplug`]).

pub use crate::boot_map::{BootMap, BootRange};
pub use crate::capabilities::{Capabilities, DeviceRecords, Validity};
use crate::error::{BootError, HotplugError};
pub use crate::footprint::{Accounting, Footprint, SectionState, UsageKind};
use crate::geometry::Geometry;
pub use crate::hotplug_params::{AddMode, AddParams, MemoryKind, Phase, PhaseSink, RemoveParams};
pub use crate::load_chain::{Load, LoadChain, When};
use crate::page_record::{HotplugRecord, PageRecord};
use crate::pfn::{Pfn, PfnRange};
use crate::rules::Rules;
use crate::store::{BackedSections, RecordStore};
use std::ptr::NonNull;

/// A memory-map layout: one way to store and find the records of page frames.
///
/// This trait boots and inspects a layout. Lookups are on its [`Reader`](Memmap::Reader).
///
/// ```
/// use memmap_layouts::layouts::{Sparse, VmemmapSection};
/// use memmap_layouts::{BootMap, BootRange, Config, Memmap, PfnRange, RecordStore};
///
/// fn index_bytes<L: Memmap>(map: &BootMap) -> u64 {
///     L::boot(map, &Config::default(), RecordStore::unlimited()).unwrap().footprint().index_bytes
/// }
/// let ram = BootRange { range: PfnRange::new(0, 0x8000).unwrap(), node: 0 };
/// let map = BootMap::new([ram]).unwrap();
/// assert!(index_bytes::<Sparse>(&map) > 0 && index_bytes::<VmemmapSection>(&map) > 0);
/// ```
pub trait Memmap: Sized + Send + Sync + 'static {
    /// Name of the layout in every report and on the command line, e.g. `vmemmap-section`.
    const ID: &'static str;
    /// One-line description for people.
    const ABOUT: &'static str;
    /// What the layout supports: validity, hotplug granularity, records on a device.
    const CAPS: Capabilities;
    /// The loads that each lookup executes. A test compares them with the machine code.
    const LOAD_CHAIN: LoadChain;
    /// True if `pfn_valid` of the kernel that the layout follows disables preemption
    /// ([`RuleSet::pfn_valid_disables_preemption`](crate::rules::RuleSet::pfn_valid_disables_preemption)).
    /// This library's `pfn_valid` never does; a benchmark can add the cost.
    const PFN_VALID_DISABLES_PREEMPTION: bool = false;
    /// The architecture whose section sizes and physical address width the layout uses.
    type Geometry: Geometry;
    /// The record of a page frame: [`Page`](crate::Page), or a smaller one of the layout's own.
    type Record: PageRecord;
    /// The type whose methods are the lookups; returned by [`reader`](Memmap::reader).
    type Reader<'a>: Lookup<Record = Self::Record>;

    /// Builds the layout of a machine whose boot memory is `map`.
    ///
    /// # Errors
    /// [`BootError`]; every mapping made so far is undone.
    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError>;

    /// Starts a read-side critical section. Take one reader per thread and batch. Nothing that it
    /// can see is retired while it lives.
    fn reader(&self) -> Self::Reader<'_>;

    /// Bytes that the layout occupies now, by use.
    fn footprint(&self) -> Footprint;

    /// Bytes of the records' address space that huge pages back, as the kernel reports. A huge page
    /// may extend beyond the records in it.
    ///
    /// `None` if base pages were requested or the kernel does not report it. Takes milliseconds,
    /// because the kernel walks the whole mapping.
    fn bytes_in_huge_pages(&self) -> Option<u64>;

    /// Bytes of the index tables that huge pages back, as the kernel reports. Whole huge pages are
    /// counted, so the result may exceed [`Footprint::index_bytes`].
    ///
    /// 0 if huge pages were requested and the machine has none. `None` if they were not requested,
    /// the layout has no tables, or the kernel does not report it.
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        None
    }

    /// The sections whose records are backed by memory. The index always covers every section.
    fn backed(&self) -> &BackedSections;

    /// Bytes of records that a machine with this memory map would allocate at boot if every section
    /// were backed.
    fn boot_record_bytes(map: &BootMap) -> u64;
}

/// The lookups of a page-frame walker. They take no lock, make no system call and allocate nothing.
///
/// ```
/// use memmap_layouts::layouts::Sparse;
/// use memmap_layouts::{BootMap, BootRange, Config, Lookup, Memmap, Pfn, PfnRange, RecordStore};
///
/// let ram = BootRange { range: PfnRange::new(0x8000, 0x10000).unwrap(), node: 0 };
/// let layout = <Sparse>::boot(&BootMap::new([ram])?, &Config::default(), RecordStore::unlimited())?;
/// let reader = layout.reader();
/// assert_eq!(reader.next_valid_pfn(Pfn(0), Pfn(1 << 20)), Some(Pfn(0x8000)));
/// let page = reader.valid_to_page(Pfn(0x8001)).unwrap();
/// // SAFETY: the record came from this reader, for a valid pfn of a backed section.
/// assert_eq!(unsafe { reader.page_to_pfn(page.into()) }, Pfn(0x8001));
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
///
/// # Safety
/// `pfn_valid(p)` implies that `pfn_to_page(p)` points to a live record while `self` lives,
/// provided that the section of `p` is backed ([`Memmap::backed`]; outside tests and sampled runs
/// every section is).
pub unsafe trait Lookup {
    /// The record of a page frame.
    type Record: PageRecord;

    /// True if a record exists for this page frame. Any number may be asked about.
    ///
    /// True does not mean that the page frame is RAM, nor that the page is online. Source:
    /// `include/linux/mmzone.h`.
    fn pfn_valid(&self, pfn: Pfn) -> bool;

    /// The record of a page frame, without a validity check.
    ///
    /// # Safety
    /// As in the kernel, `pfn_valid(pfn)` must have been true under this reader.
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Self::Record>;

    /// The number of the page frame that a record describes.
    ///
    /// # Safety
    /// `page` came from [`pfn_to_page`](Lookup::pfn_to_page) of this reader, for a valid pfn of a
    /// backed section.
    unsafe fn page_to_pfn(&self, page: NonNull<Self::Record>) -> Pfn;

    /// The record of a page frame, or `None` if it is not valid: the walker's idiom, with a real
    /// branch between the check and the access.
    ///
    /// Validity must reach the address as a *control* dependency: a compiler must not turn `valid ?
    /// base + pfn : null` into a select. The address would then wait for the validity loads, and
    /// the fast layouts would be slower than Linux.
    #[inline(always)]
    fn valid_to_page(&self, pfn: Pfn) -> Option<&Self::Record> {
        if self.pfn_valid(pfn) {
            keep_branch();
            // SAFETY: pfn_valid held under this reader, so the record lives as long as the reader
            // does.
            Some(unsafe { self.pfn_to_page(pfn).as_ref() })
        } else {
            None
        }
    }

    /// The flags of the page frame's section (`SECTION_…`, the low bits of `section_mem_map`); 0 if
    /// it has no section.
    fn section_flags(&self, pfn: Pfn) -> u64;

    /// True if memory is present at this page frame. [`pfn_valid`](Lookup::pfn_valid) is also true
    /// for holes of boot sections; with sub-sections this method is false for holes. Source:
    /// `pfn_section_valid`.
    fn pfn_section_valid(&self, pfn: Pfn) -> bool;

    /// The first valid page frame of `[from, end)`; `None` if there is none.
    ///
    /// The default asks for every page frame in turn: a hole of 1 GiB takes 262,144 calls of
    /// [`pfn_valid`](Lookup::pfn_valid). A layout that can skip holes should override it.
    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        (from.0..end.0).map(Pfn).find(|&pfn| self.pfn_valid(pfn))
    }

    /// True if all of `range` is valid, block by block: what `zone->contiguous` caches.
    ///
    /// The default does as Linux after each hot-add and hot-remove: it asks for the first and the last
    /// page frame of every block of `block_pages` (a pageblock, or less at either end), so its cost
    /// grows with the range. A layout may answer without a scan; it may then also see holes inside a
    /// block. Source: `set_zone_contiguous` of `mm/mm_init.c`, which also compares zones.
    ///
    /// `block_pages` is a power of two.
    fn is_contiguous(&self, range: PfnRange, block_pages: u64) -> bool {
        let ends = |block: PfnRange| [block.start(), block.end() - 1];
        range.split_at_multiples(block_pages).flat_map(ends).all(|pfn| self.pfn_valid(Pfn(pfn)))
    }
}

/// Keeps the compiler from turning the surrounding branch into a select: it must not speculate an
/// `asm!` that may have side effects. Emits no instruction.
#[inline(always)]
pub fn keep_branch() {
    // SAFETY: an empty template does nothing.
    unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

/// Makes the branch that calls it the unlikely one, so that the likely one is laid out in line, as gcc
/// does for a valid pfn.
#[cold]
#[inline]
pub(crate) fn unlikely() {}

/// Hot-adding and hot-removing memory while readers run. FLATMEM does not support it:
///
/// ```compile_fail
/// use memmap_layouts::{Hotplug, layouts::Flat};
/// fn can_hotplug<L: Hotplug>() {}
/// can_hotplug::<Flat>();
/// ```
/// Classic SPARSEMEM does:
/// ```
/// use memmap_layouts::{Hotplug, layouts::Sparse};
/// fn can_hotplug<L: Hotplug>() {}
/// can_hotplug::<Sparse>();
/// ```
pub trait Hotplug: Memmap<Record: HotplugRecord> {
    /// Hot-adds `range`: afterwards it is valid, and its records are initialised except those of an
    /// altmap's reserve. The range may span several sections.
    ///
    /// The cost grows with the size of the range, never with that of the physical address space.
    /// Source: `__add_pages`, `sparse_add_section`.
    ///
    /// # Errors
    /// [`HotplugError`]. With [`AddMode::Transactional`] the layout is then unchanged. With
    /// [`AddMode::Faithful`] the sections before the failing one stay added.
    fn add(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError>;

    /// Hot-removes `range`: hides it from readers, waits for a grace period, and gives the memory
    /// of its records back.
    ///
    /// Source: `__remove_pages`, `section_deactivate`.
    ///
    /// # Errors
    /// [`HotplugError`]; the layout is then unchanged.
    fn remove(&self, range: PfnRange, how: &RemoveParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError>;

    /// Waits for a grace period: until every reader that existed at the call has ended.
    ///
    /// # Errors
    /// [`HotplugError::Grace`] if one of those readers can never end.
    fn synchronize(&self) -> Result<(), HotplugError>;

    /// True if the calling thread holds a reader. A hotplug operation on this thread would then
    /// wait for itself.
    fn held_by_this_thread(&self) -> bool;
}

/// Flags of a section that [`Rules`] keep: online or offline.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::*;
///
/// let layout: Subsection = Subsection::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// let section = PfnRange::from_len(0x8000, 0x8000).unwrap();
/// layout.add(section, &AddParams::default(), &mut ())?;
/// layout.set_online(section, true)?;
/// assert!(layout.reader().section_flags(Pfn(0x8000)) & SECTION_IS_ONLINE != 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The layout itself sets the taint flag, which says that device memory shares a section with other
/// memory. It does so when such memory is added, before readers see it (D-3).
pub trait SectionFlags: Memmap {
    /// The kernel rules that the layout, and a machine with it, follows.
    type Rules: Rules;

    /// Marks whole sections online or offline. Source: `online_mem_sections`,
    /// `offline_mem_sections`.
    ///
    /// # Errors
    /// The range is not made of whole sections, or a section is absent. Nothing is changed.
    fn set_online(&self, sections: PfnRange, online: bool) -> Result<(), HotplugError>;
}

/// Access to internal state for tests and verification. Not for hot paths.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::*;
///
/// let layout: Subsection = Subsection::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // The second and third sub-section of section 8.
/// layout.add(PfnRange::from_len(8 * 0x8000 + 512, 2 * 512).unwrap(), &AddParams::default(), &mut ())?;
/// assert_eq!(layout.section_state(8).unwrap().subsection_map, [0b110]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Inspect: Memmap {
    /// The descriptor of section `nr`. `None` if it is blank (word 0, no usage object), or if the
    /// layout has no sections.
    fn section_state(&self, nr: u64) -> Option<SectionState>;
    /// Counts and bytes of what the layout has allocated.
    fn accounting(&self) -> Accounting;
    /// A hash of all section descriptors, sub-section maps and accounts, except the number of root
    /// pages. It is equal before and after an operation that failed.
    fn digest(&self) -> u64;
}

/// Options of [`Memmap::boot`].
///
/// ```
/// use memmap_layouts::{Config, IndexPages};
///
/// // As Linux has it: index tables in huge pages.
/// let config = Config { index_pages: IndexPages::Huge, ..Config::default() };
/// assert_eq!(config.seed, 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Seed of the random placement: where classic SPARSEMEM's section maps lie, and where the
    /// first index table begins in its page. Layouts that are compared in one process should have
    /// different seeds.
    pub seed: u64,
    /// Page size of the memory for index tables.
    pub index_pages: IndexPages,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 1, index_pages: IndexPages::default() }
    }
}

/// Page size of the memory for index tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexPages {
    /// Transparent huge pages, as in Linux's direct map; base pages if the machine has none.
    Huge,
    /// Base pages only, e.g. 4 KiB.
    #[default]
    Base,
}
