//! The traits of a memory-map layout: looking records up ([`Lookup`]) and managing them
//! ([`Memmap`], [`Hotplug`]).

use crate::altmap::Altmap;
use crate::error::{BootError, HotplugError};
use crate::geometry::Geometry;
use crate::page::Page;
use crate::pfn::{Pfn, PfnRange};
use crate::rules::Rules;
use crate::store::{BackedSections, RecordStore};
use std::num::NonZeroU32;
use std::ptr::NonNull;
use std::sync::Arc;

/// A memory-map layout: one way to store and find the records of page frames.
///
/// This trait boots and inspects a layout. Lookups are on its [`Reader`](Memmap::Reader).
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
    /// The type whose methods are the lookups; returned by [`reader`](Memmap::reader).
    type Reader<'a>: Lookup;

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
/// # Safety
/// `pfn_valid(p)` implies that `pfn_to_page(p)` points to a live record while `self` lives,
/// provided that the section of `p` is backed ([`Memmap::backed`]; outside tests and sampled runs
/// every section is).
pub unsafe trait Lookup {
    /// True if a record exists for this page frame. Any number may be asked about.
    ///
    /// True does not mean that the page frame is RAM, nor that the page is online. Source:
    /// `include/linux/mmzone.h`.
    fn pfn_valid(&self, pfn: Pfn) -> bool;

    /// The record of a page frame, without a validity check.
    ///
    /// # Safety
    /// As in the kernel, `pfn_valid(pfn)` must have been true under this reader.
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page>;

    /// The number of the page frame that a record describes.
    ///
    /// # Safety
    /// `page` came from [`pfn_to_page`](Lookup::pfn_to_page) of this reader, for a valid pfn of a
    /// backed section.
    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn;

    /// The record of a page frame, or `None` if it is not valid: the walker's idiom, with a real
    /// branch between the check and the access.
    ///
    /// Validity must reach the address as a *control* dependency: a compiler must not turn `valid ?
    /// base + pfn : null` into a select. The address would then wait for the validity loads, and
    /// the fast layouts would be slower than Linux.
    #[inline(always)]
    fn valid_to_page(&self, pfn: Pfn) -> Option<&Page> {
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
    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        (from.0..end.0).map(Pfn).find(|&pfn| self.pfn_valid(pfn))
    }
}

/// Keeps the compiler from turning the surrounding branch into a select: it must not speculate an
/// `asm!` that may have side effects. Emits no instruction.
#[inline(always)]
pub fn keep_branch() {
    // SAFETY: an empty template does nothing.
    unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

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
pub trait Hotplug: Memmap {
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

/// The loads that each lookup of a layout executes in program order when its answer is yes. Fields
/// of the reader (globals in the kernel) are not counted. A lookup that loops lists the loads of one
/// step, with [`When::EachStep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadChain {
    /// Loads of [`Lookup::pfn_valid`].
    pub pfn_valid: &'static [Load],
    /// Loads of [`Lookup::pfn_to_page`].
    pub pfn_to_page: &'static [Load],
    /// Loads of [`Lookup::page_to_pfn`].
    pub page_to_pfn: &'static [Load],
}

/// One load of a [`LoadChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Description of the value that is loaded, for reports.
    pub what: &'static str,
    /// Name of the cache line that it touches. Loads with the same name touch the same line.
    pub line: &'static str,
    /// For which memory, and how often, the load is executed.
    pub when: When,
}

impl Load {
    /// Name of the line of the record itself. Loads of any other line are loads from index tables.
    pub const RECORD_LINE: &'static str = "record";
}

/// When a [`Load`] is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, for boot memory and added memory.
    Always,
    /// Once per step of a loop: a search, a hash chain, the levels of a tree. The number of steps may grow with the map.
    EachStep,
    /// Added memory only. For boot memory the earlier loads suffice.
    HotAdded,
}

/// What a layout supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The unit of memory for which `pfn_valid` is true.
    pub validity: Validity,
    /// Minimum size and alignment of a hot-added range, in page frames; `None` if the layout has no
    /// hotplug.
    pub hotplug_granule_pages: Option<u64>,
    /// Which records of added memory can be stored on the added device, through an [`Altmap`].
    pub records_on_device: DeviceRecords,
    /// True if `page_to_pfn` reads the record. It may then be called for backed sections only.
    pub page_to_pfn_reads_record: bool,
}

/// Which records can be stored on the device that they describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRecords {
    /// No records: all are in RAM.
    Never,
    /// Records of whole sections; all others are in RAM.
    WholeSections,
    /// All records, down to those of a single sub-section.
    Always,
}

impl DeviceRecords {
    /// True if any records can be stored on the device.
    pub fn any(self) -> bool {
        self != Self::Never
    }
}

/// The unit of memory for which `pfn_valid` is true. The [`Oracle`](crate::oracle::Oracle) models
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Everything from the architecture's first page frame to the highest page of boot memory, holes included.
    Span,
    /// Everything from the lowest to the highest page of boot memory, holes included. Not for layouts with hotplug.
    MemorySpan,
    /// The pages of boot memory, holes excluded to the page. Not for layouts with hotplug.
    Ranges,
    /// Whole sections.
    Section,
    /// Every pfn of a sub-section that is present; whole boot sections if `early_is_whole`.
    Subsection {
        /// True if every pfn of a section with boot memory is valid, holes included.
        early_is_whole: bool,
    },
}

/// Options of [`Memmap::boot`].
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

/// A range of boot memory on one NUMA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRange {
    /// The page frames of the range.
    pub range: PfnRange,
    /// NUMA node number.
    pub node: u8,
}

/// The boot memory of a machine: page-aligned ranges, sorted, without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootMap {
    ranges: Vec<BootRange>,
}

impl BootMap {
    /// Sorts the ranges and drops empty ones.
    ///
    /// # Errors
    /// [`BootError::Overlap`] if two ranges share a page.
    pub fn new(ranges: impl IntoIterator<Item = BootRange>) -> Result<Self, BootError> {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|r| !r.range.is_empty()).collect();
        ranges.sort_by_key(|r| r.range.start());
        match ranges.windows(2).find(|pair| pair[0].range.overlaps(pair[1].range)) {
            Some(pair) => Err(BootError::Overlap { first: pair[0].range, second: pair[1].range }),
            None => Ok(Self { ranges }),
        }
    }

    /// The ranges, by ascending address.
    pub fn ranges(&self) -> &[BootRange] {
        &self.ranges
    }

    /// One past the highest pfn of boot memory; 0 for a machine without memory.
    pub fn end_pfn(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.range.end())
    }

    /// The NUMA node of a pfn; `None` if it is not boot memory.
    pub fn node_of(&self, pfn: Pfn) -> Option<u8> {
        let at = self.ranges.partition_point(|boot| boot.range.end() <= pfn.0);
        self.ranges.get(at).filter(|boot| boot.range.contains(pfn)).map(|boot| boot.node)
    }

    /// Page frames of boot memory, holes excluded.
    pub fn nr_pages(&self) -> u64 {
        self.ranges.iter().map(|r| r.range.nr_pages()).sum()
    }

    /// Number of sections that hold memory. Lists none of them, so it is cheap for a map of any
    /// size.
    pub fn nr_sections<G: Geometry>(&self) -> u64 {
        let (mut count, mut next) = (0, 0);
        for boot in &self.ranges {
            let first = G::section_nr(boot.range.start()).max(next);
            let end = G::section_nr(boot.range.end() - 1) + 1;
            count += end.saturating_sub(first);
            next = next.max(end);
        }
        count
    }

    /// The sections that hold memory, in ascending order, each with the node of its first page. The
    /// length is bounded by the amount of memory, not by the physical address space.
    pub fn sections<G: Geometry>(&self) -> Vec<(u64, u8)> {
        let mut sections: Vec<(u64, u8)> = Vec::new();
        for boot in &self.ranges {
            let first = G::section_nr(boot.range.start());
            let last = G::section_nr(boot.range.end() - 1);
            let from = first.max(sections.last().map_or(0, |&(nr, _)| nr + 1));
            sections.extend((from..=last).map(|nr| (nr, boot.node)));
        }
        sections
    }

    /// Checks that all memory lies within the physical address space of an architecture.
    ///
    /// # Errors
    /// [`BootError::BeyondPhysicalSpace`] names the first range that does not.
    pub fn check<G: Geometry>(&self) -> Result<(), BootError> {
        match self.ranges.iter().find(|r| r.range.end() > G::NR_PFNS) {
            Some(r) => Err(BootError::BeyondPhysicalSpace {
                span: r.range.phys(G::PAGE_SHIFT),
                bits: G::VMEMMAP_BITS,
                geometry: G::ID,
            }),
            None => Ok(()),
        }
    }
}

/// The kind of memory that is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemoryKind {
    /// RAM, which can be onlined.
    Ram,
    /// Device memory (ZONE_DEVICE): it has records but is never onlined.
    #[default]
    Device,
}

/// What state a failed addition leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddMode {
    /// The layout is unchanged after a failure.
    #[default]
    Transactional,
    /// As `__add_pages`: sections are added one by one, and those before the failing one stay.
    Faithful,
}

/// Parameters of [`Hotplug::add`].
#[derive(Clone, Debug)]
pub struct AddParams {
    /// NUMA node written to the new records.
    pub node: u8,
    /// Where to store the records; `None` for RAM.
    pub altmap: Option<Arc<Altmap>>,
    /// The kind of memory: RAM or device memory.
    pub kind: MemoryKind,
    /// What state a failure leaves.
    pub mode: AddMode,
    /// Threads that initialise records, the calling one included. No more than one per sub-section
    /// are started.
    pub init_threads: NonZeroU32,
}

impl Default for AddParams {
    fn default() -> Self {
        Self {
            node: 0,
            altmap: None,
            kind: MemoryKind::default(),
            mode: AddMode::default(),
            init_threads: NonZeroU32::MIN,
        }
    }
}

/// Parameters of [`Hotplug::remove`]. There is no altmap parameter: the layout remembers where the
/// records of a range are.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RemoveParams {
    /// True if the range has memory blocks (`MHP_MEMBLOCK_API`). The rules of v6 then refuse parts
    /// of sections; later kernels look the blocks up themselves.
    pub memblock_api: bool,
}

/// A phase of a hotplug operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Check the range; reserve descriptors and record budget.
    Reserve,
    /// Back the records with memory.
    Populate,
    /// Write the records.
    Initialise,
    /// Make the records visible to readers.
    Publish,
    /// Check the range; hide it from readers.
    Unpublish,
    /// Wait for a grace period.
    Grace,
    /// Give the memory of the records back.
    Depopulate,
}

/// Receives the end of each phase. `()` ignores it at no cost.
///
/// The callbacks run in the middle of an operation, under the layout's writer lock. They must not
/// call the layout. If one panics, the layout can no longer be changed
/// ([`HotplugError::Poisoned`]).
pub trait PhaseSink {
    /// `phase` has just ended.
    fn ended(&mut self, phase: Phase);

    /// `nr_pages` page frames of the running phase are done. Called now and then in the long
    /// phases: populating and initialising.
    #[inline(always)]
    fn progressed(&mut self, phase: Phase, nr_pages: u64) {
        let _ = (phase, nr_pages);
    }
}

impl PhaseSink for () {
    #[inline(always)]
    fn ended(&mut self, _: Phase) {}
}

/// Bytes that a layout occupies, by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Virtual address space reserved for records.
    pub reserved_bytes: u64,
    /// Index tables: roots, section descriptors, usage objects.
    pub index_bytes: u64,
    /// Page-table pages (last level) that map the records.
    pub page_table_bytes: u64,
    /// Records backed by RAM.
    pub ram_record_bytes: u64,
    /// Records stored on a device.
    pub device_record_bytes: u64,
}

/// Number and bytes of a layout's allocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accounting {
    /// Pages of section descriptors that the root table points to.
    pub roots: u64,
    /// Usage objects (`struct mem_section_usage`) on the heap. Those of boot memory are one block
    /// and not counted.
    pub heap_usages: u64,
    /// Bytes of records backed by RAM.
    pub ram_record_bytes: u64,
    /// Bytes of records stored on a device.
    pub device_record_bytes: u64,
    /// Bytes of records that were released although page frames still need them, since boot.
    /// Nonzero only with the foil [`V6`](crate::rules::V6), which keeps and counts them.
    pub records_lost_bytes: u64,
}

/// Where a section's usage object was allocated. It is independent of the section's flags: a boot
/// section that was emptied and added again is no longer early, but still has its boot usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKind {
    /// Part of the block allocated at boot; never freed individually.
    Boot,
    /// Allocated by a hot-add; freed with the last sub-section of its section.
    Heap,
}

/// The decoded fields of a section descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SectionState {
    /// `section_mem_map` as stored: the encoded pointer to the section's records, and flags.
    pub section_mem_map: u64,
    /// Origin of its usage object; `None` if it has none.
    pub usage: Option<UsageKind>,
    /// The words of the sub-section map, lowest bits first. Empty if the layout has no such map or
    /// the section no usage object.
    pub subsection_map: Vec<u64>,
}
