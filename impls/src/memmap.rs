//! The traits: finding a record apart from managing records.

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

/// A layout: one way to keep the records of physical pages. Management and inspection; the hot path is on its
/// [`Reader`](Memmap::Reader).
pub trait Memmap: Sized + Send + Sync + 'static {
    /// Name. Every name in every report is made from this.
    const ID: &'static str;
    /// One line for people.
    const ABOUT: &'static str;
    /// What it can do.
    const CAPS: Capabilities;
    /// What its lookups load. A test compares it with the machine code.
    const LOAD_CHAIN: LoadChain;
    /// `pfn_valid` of the kernel that it follows disables preemption
    /// ([`RuleSet::pfn_valid_disables_preemption`](crate::rules::RuleSet::pfn_valid_disables_preemption)). The library's
    /// does not; a benchmark can add the cost.
    const PFN_VALID_DISABLES_PREEMPTION: bool = false;
    /// The architecture.
    type Geometry: Geometry;
    /// Looks up records.
    type Reader<'a>: Lookup;

    /// Builds the layout of a machine that starts with the memory of `map`.
    ///
    /// # Errors
    /// [`BootError`]; nothing stays mapped.
    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError>;

    /// Begins a reader: one a thread and batch. While it lives, nothing that it can see is retired.
    fn reader(&self) -> Self::Reader<'_>;

    /// The bytes it occupies now.
    fn footprint(&self) -> Footprint;

    /// Bytes of its records' address space that lie in huge pages, as the kernel tells (a huge page may reach beyond the
    /// records in it). `None` if base pages were asked for, or the kernel does not tell. Takes milliseconds: the kernel
    /// looks through the whole mapping.
    fn bytes_in_huge_pages(&self) -> Option<u64>;

    /// Bytes of the memory of its index tables that lie in huge pages, as the kernel tells: whole huge pages, so it may be more
    /// than [`Footprint::index_bytes`]. 0 if huge pages were requested and the machine has none; `None` if they were not
    /// requested, the layout has no tables, or the kernel does not tell.
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        None
    }

    /// The sections whose records are backed by memory; the index is always complete.
    fn backed(&self) -> &BackedSections;

    /// Bytes of records that a machine with this map needs to boot, on the machine itself.
    fn boot_record_bytes(map: &BootMap) -> u64;
}

/// What a page-frame walker does. No locks, no system calls, no allocation.
///
/// # Safety
/// `pfn_valid(p)` implies that `pfn_to_page(p)` points to a live record while `self` lives, provided that the section
/// of `p` is backed ([`Memmap::backed`]; outside tests and sampled runs every section is).
pub unsafe trait Lookup {
    /// Is there a record for this page frame? Any number may be asked about.
    ///
    /// True does not mean that there is RAM, nor that the page is online. Source: `include/linux/mmzone.h`.
    fn pfn_valid(&self, pfn: Pfn) -> bool;

    /// The record of a page frame.
    ///
    /// # Safety
    /// The kernel's contract: `pfn_valid(pfn)` held under this reader.
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page>;

    /// The page frame of a record.
    ///
    /// # Safety
    /// `page` came from [`pfn_to_page`](Lookup::pfn_to_page) of this reader, for a valid pfn of a backed section.
    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn;

    /// Valid, then the record: the walker's idiom, with a real branch between the two.
    ///
    /// Validity must reach the address as a *control* dependency. A compiler that turns `valid ? base + pfn : null`
    /// into a select makes the address wait for the validity loads, and the fast layouts slower than Linux.
    #[inline(always)]
    fn valid_to_page(&self, pfn: Pfn) -> Option<&Page> {
        if self.pfn_valid(pfn) {
            keep_branch();
            // SAFETY: pfn_valid held under this reader, so the record lives as long as the reader does.
            Some(unsafe { self.pfn_to_page(pfn).as_ref() })
        } else {
            None
        }
    }

    /// The flags of the page frame's section (`SECTION_…`, the low bits of its word); 0 if it has none.
    fn section_flags(&self, pfn: Pfn) -> u64;

    /// Is the page frame itself there, whatever its section says? Source: `pfn_section_valid`: the truth for boot sections,
    /// whose holes are valid too.
    fn pfn_section_valid(&self, pfn: Pfn) -> bool;

    /// The first valid page frame of `[from, end)`.
    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        (from.0..end.0).map(Pfn).find(|&pfn| self.pfn_valid(pfn))
    }
}

/// Keeps the branch around it: code with an `asm!` that may have effects cannot be executed speculatively by the
/// compiler, so it cannot become a select. Emits no instruction.
#[inline(always)]
pub fn keep_branch() {
    // SAFETY: an empty template does nothing.
    unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

/// Making memory appear and disappear while readers look on. FLATMEM does not have it:
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
    /// Makes the records of `range` appear. The range may touch several sections.
    ///
    /// Cost: grows with the range, never with the physical space. Source: `__add_pages`, `sparse_add_section`.
    ///
    /// # Errors
    /// [`HotplugError`]. In [`AddMode::Transactional`] the layout is then what it was; in [`AddMode::Faithful`] the
    /// sections before the failing one stay.
    fn add(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError>;

    /// Makes the records of `range` disappear, after the readers of before have gone.
    ///
    /// Source: `__remove_pages`, `section_deactivate`.
    ///
    /// # Errors
    /// [`HotplugError`]; the layout is then what it was.
    fn remove(&self, range: PfnRange, how: &RemoveParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError>;

    /// Returns when every reader of before has gone.
    ///
    /// # Errors
    /// [`HotplugError::Grace`] when one of them never can.
    fn synchronize(&self) -> Result<(), HotplugError>;

    /// True if the calling thread holds a reader: a change would wait for itself.
    fn held_by_this_thread(&self) -> bool;
}

/// The flags that the rules of a machine keep in a section: online. That device memory shares a section with other memory
/// (the taint) is noted by the layout itself when such memory is added, before it is seen (D-3).
pub trait SectionFlags: Memmap {
    /// The rules of the time, which a machine with this layout follows too.
    type Rules: Rules;

    /// Marks whole sections online or offline. Source: `online_mem_sections`, `offline_mem_sections`.
    ///
    /// # Errors
    /// A range off the grid of sections, or a section that is not there; nothing is changed.
    fn set_online(&self, sections: PfnRange, online: bool) -> Result<(), HotplugError>;
}

/// The view that tests and verification need. Not for hot paths.
pub trait Inspect: Memmap {
    /// The descriptor of a section; `None` if the section was never seen or the model has no sections.
    fn section_state(&self, nr: u64) -> Option<SectionState>;
    /// What is allocated.
    fn accounting(&self) -> Accounting;
    /// A number made from every section descriptor, map and account: equal before and after an operation that failed.
    fn digest(&self) -> u64;
}

/// The loads of a layout's lookups whose answer is yes, in their order. What the reader holds (the kernel's globals) is not
/// among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadChain {
    /// Of [`Lookup::pfn_valid`].
    pub pfn_valid: &'static [Load],
    /// Of [`Lookup::pfn_to_page`].
    pub pfn_to_page: &'static [Load],
    /// Of [`Lookup::page_to_pfn`].
    pub page_to_pfn: &'static [Load],
}

/// A load of a [`LoadChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What is loaded.
    pub what: &'static str,
    /// Where it lies: loads with the same name here touch the same cache line.
    pub line: &'static str,
    /// For which memory.
    pub when: When,
}

/// For which memory a [`Load`] is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// For all.
    Always,
    /// For hot-added memory alone: for memory of boot the loads before have answered.
    HotAdded,
}

/// What a layout can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What it calls valid.
    pub validity: Validity,
    /// Smallest range, and alignment, that can be hot-added, in page frames; `None` if it has no hotplug.
    pub hotplug_granule_pages: Option<u64>,
    /// Which records of hot-added memory can lie on the device that is added, through an [`Altmap`].
    pub records_on_device: DeviceRecords,
    /// `page_to_pfn` reads the record, so it may only be driven over backed sections.
    pub page_to_pfn_reads_record: bool,
}

/// Which records can lie on the device that they describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRecords {
    /// None: all lie in RAM.
    Never,
    /// Those of whole sections; the others lie in RAM.
    WholeSections,
    /// All.
    Always,
}

impl DeviceRecords {
    /// True if any can.
    pub fn any(self) -> bool {
        self != Self::Never
    }
}

/// What a layout calls a valid pfn: the oracle asks.
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
    /// Sub-sections; boot sections as a whole if `early_is_whole`.
    Subsection {
        /// A section that was there at boot is valid from end to end.
        early_is_whole: bool,
    },
}

/// Choices made at boot.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Seeds what is shuffled: where classic SPARSEMEM's section maps lie, and where the first index table begins in its page.
    /// Layouts that are compared in one process should have different seeds.
    pub seed: u64,
    /// Pages of the memory for index tables.
    pub index_pages: IndexPages,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 1, index_pages: IndexPages::default() }
    }
}

/// Pages of the memory for index tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexPages {
    /// Transparent huge pages, as in Linux's direct map; base pages where the machine has none.
    Huge,
    /// Base pages.
    #[default]
    Base,
}

/// Memory of one node that is there at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRange {
    /// The page frames.
    pub range: PfnRange,
    /// NUMA node.
    pub node: u8,
}

/// The memory that is there at boot: page-aligned, sorted, without overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootMap {
    ranges: Vec<BootRange>,
}

impl BootMap {
    /// Sorts the ranges and leaves out empty ones.
    ///
    /// # Errors
    /// Two ranges that share a page.
    pub fn new(ranges: impl IntoIterator<Item = BootRange>) -> Result<Self, BootError> {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|r| !r.range.is_empty()).collect();
        ranges.sort_by_key(|r| r.range.start());
        match ranges.windows(2).find(|pair| pair[0].range.overlaps(pair[1].range)) {
            Some(pair) => Err(BootError::Overlap { first: pair[0].range, second: pair[1].range }),
            None => Ok(Self { ranges }),
        }
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[BootRange] {
        &self.ranges
    }

    /// One past the highest page of memory; 0 for a machine without memory.
    pub fn end_pfn(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.range.end())
    }

    /// The NUMA node of a page of memory.
    pub fn node_of(&self, pfn: Pfn) -> Option<u8> {
        let at = self.ranges.partition_point(|boot| boot.range.end() <= pfn.0);
        self.ranges.get(at).filter(|boot| boot.range.contains(pfn)).map(|boot| boot.node)
    }

    /// Pages of memory.
    pub fn nr_pages(&self) -> u64 {
        self.ranges.iter().map(|r| r.range.nr_pages()).sum()
    }

    /// Number of sections that hold memory, without listing them: any map may be asked.
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

    /// The sections that hold memory, in order, each with the node of its first page. Bounded by the memory, not by
    /// the physical space.
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

    /// Refuses memory beyond the physical space of an architecture.
    ///
    /// # Errors
    /// [`BootError::BeyondPhysicalSpace`].
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

/// What is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemoryKind {
    /// RAM.
    Ram,
    /// Memory of a device (ZONE_DEVICE): mapped, never onlined.
    #[default]
    Device,
}

/// What a failed addition leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddMode {
    /// All or nothing.
    #[default]
    Transactional,
    /// As `__add_pages`: section by section, those before the failing one stay.
    Faithful,
}

/// How to add.
#[derive(Clone, Debug)]
pub struct AddParams {
    /// NUMA node of the new pages.
    pub node: u8,
    /// Where the records shall lie, if not in RAM.
    pub altmap: Option<Arc<Altmap>>,
    /// What is added.
    pub kind: MemoryKind,
    /// What a failure leaves behind.
    pub mode: AddMode,
    /// Threads that initialise records, the calling one included. More than there are sub-sections are of no use, and not begun.
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

/// How to remove. The layout remembers where the records of a range lie, so there is no altmap to forget.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RemoveParams {
    /// The range has memory blocks (`MHP_MEMBLOCK_API`): v6 then refuses parts of sections. Since then the kernel looks it up.
    pub memblock_api: bool,
}

/// A stretch of a hotplug operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Test the range; reserve descriptors and budget.
    Reserve,
    /// Back the records with memory.
    Populate,
    /// Write the records.
    Initialise,
    /// Let readers see them.
    Publish,
    /// Test the range; hide it from readers.
    Unpublish,
    /// Wait for the readers of before.
    Grace,
    /// Give the memory back.
    Depopulate,
}

/// Is told when a phase ends. `()` does nothing and costs nothing.
///
/// It is called in the middle of an operation, under the layout's writer lock: it must not call the layout, and if it
/// panics the layout can no longer be changed ([`HotplugError::Poisoned`]).
pub trait PhaseSink {
    /// `phase` has just ended.
    fn ended(&mut self, phase: Phase);

    /// Of the phase that runs now, so many page frames are done; said now and then of those that take long: populating and
    /// initialising.
    #[inline(always)]
    fn progressed(&mut self, phase: Phase, nr_pages: u64) {
        let _ = (phase, nr_pages);
    }
}

impl PhaseSink for () {
    #[inline(always)]
    fn ended(&mut self, _: Phase) {}
}

/// Bytes that a layout occupies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Address space.
    pub reserved_bytes: u64,
    /// Tables of the index: roots, descriptors, usages.
    pub index_bytes: u64,
    /// Page-table pages (last level) that map the records.
    pub page_table_bytes: u64,
    /// Records backed by RAM.
    pub ram_record_bytes: u64,
    /// Records that lie on a device.
    pub device_record_bytes: u64,
}

/// What a layout has allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accounting {
    /// Root pages.
    pub roots: u64,
    /// Usage objects on the heap (boot usages are one block and not counted).
    pub heap_usages: u64,
    /// Bytes of records backed by RAM.
    pub ram_record_bytes: u64,
    /// Bytes of records on a device.
    pub device_record_bytes: u64,
    /// Bytes of records that were given up although pages need them, ever. 0 but for the foil
    /// [`V6`](crate::rules::V6), which keeps them and counts.
    pub records_lost_bytes: u64,
}

/// Where a section's usage object came from. Kept apart from the section's flags: a boot section that was emptied and
/// added again is no longer early, but still has its boot usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKind {
    /// Part of the block allocated at boot; never freed singly.
    Boot,
    /// Allocated by a hot-add; freed with the last sub-section.
    Heap,
}

/// A section descriptor, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SectionState {
    /// The word: coded map pointer and flags.
    pub section_mem_map: u64,
    /// Its usage object.
    pub usage: Option<UsageKind>,
    /// The sub-section map, lowest bits first; empty if the model has none or the section has no usage.
    pub subsection_map: Vec<u64>,
}
