//! The bound of every lookup: an address without a check, which no layout can beat.
//!
//! A contestant of its own shows it in every table of lookups. It boots `subsection` for its
//! records, takes every page frame for valid, and computes `base + 64 × pfn`. It is asked for valid
//! page frames only, and takes no part in hotplug and beside writers.

use crate::case::{Asked, Dependency, Layout, LookupGroup, LookupOp, Memory, NO_CHECK};
use crate::engine::blame::of_layout;
use crate::engine::contestant::{Contestant, Entry, HotplugContestant, agree};
use crate::engine::probe::lookup::{self, Prepared, Queries, Window};
use crate::engine::probe::query_array::Placement;
use hdrhistogram::Histogram;
use memmap_layouts::layouts::Subsection;
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    BackedSections, BootError, BootMap, Capabilities, Config, Footprint, Geometry, LoadChain, Lookup, Memmap, Pfn,
    RecordStore,
};
use std::ptr::NonNull;

/// Why a case is not measured on this contestant.
const VALID_ONLY: &str = "without a check, only valid page frames can be looked up";
const NO_WALK: &str = "without a check, there is no walk over valid page frames";

/// A layout whose lookups do not check.
#[derive(Debug)]
struct Unchecked<L>(L);

impl<L: Memmap> Memmap for Unchecked<L> {
    const ID: &'static str = NO_CHECK;
    const ABOUT: &'static str = "no check at all: base plus shift, the bound of every lookup; not a layout";
    const CAPS: Capabilities = L::CAPS;
    const LOAD_CHAIN: LoadChain = LoadChain { pfn_valid: &[], pfn_to_page: &[], page_to_pfn: &[] };
    type Geometry = L::Geometry;
    type Record = L::Record;
    type Reader<'a> = UncheckedReader<L::Reader<'a>>;

    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError> {
        L::boot(map, config, store).map(Self)
    }
    fn reader(&self) -> Self::Reader<'_> {
        UncheckedReader(self.0.reader())
    }
    fn footprint(&self) -> Footprint {
        self.0.footprint()
    }
    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.0.bytes_in_huge_pages()
    }
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.0.index_bytes_in_huge_pages()
    }
    fn backed(&self) -> &BackedSections {
        self.0.backed()
    }
    fn boot_record_bytes(map: &BootMap) -> u64 {
        L::boot_record_bytes(map)
    }
}

/// Lookups that take every page frame for valid.
#[derive(Debug)]
struct UncheckedReader<R>(R);

// SAFETY: it is asked for page frames only that the oracle calls valid and whose validity was
// checked before (`lacks`); their records live as long as the inner reader.
unsafe impl<R: Lookup> Lookup for UncheckedReader<R> {
    type Record = R::Record;

    #[inline(always)]
    fn pfn_valid(&self, _: Pfn) -> bool {
        true
    }
    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<R::Record> {
        // SAFETY: the caller's promise.
        unsafe { self.0.pfn_to_page(pfn) }
    }
    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<R::Record>) -> Pfn {
        // SAFETY: the caller's promise.
        unsafe { self.0.page_to_pfn(page) }
    }
    #[inline(always)]
    fn valid_to_page(&self, pfn: Pfn) -> Option<&R::Record> {
        // SAFETY: only valid page frames are asked for.
        Some(unsafe { self.0.pfn_to_page(pfn).as_ref() })
    }
    fn section_flags(&self, pfn: Pfn) -> u64 {
        self.0.section_flags(pfn)
    }
    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.0.pfn_section_valid(pfn)
    }
}

/// The contestant `no-check`.
struct NoCheck<G: Geometry> {
    id: &'static str,
    layout: Unchecked<Subsection<G>>,
}

impl<G: Geometry> NoCheck<G> {
    fn is_backed(&self) -> impl Fn(Pfn) -> bool {
        |pfn| self.layout.backed().contains(G::section_nr(pfn.0))
    }
}

impl<G: Geometry> Contestant<G> for NoCheck<G> {
    fn id(&self) -> &'static str {
        self.id
    }
    fn layout_id(&self) -> &'static str {
        NO_CHECK
    }
    fn caps(&self) -> Capabilities {
        <Unchecked<Subsection<G>>>::CAPS
    }
    fn dependency(&self, _: Memory) -> Option<Dependency> {
        None
    }
    fn footprint(&self) -> Footprint {
        self.layout.footprint()
    }
    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.layout.bytes_in_huge_pages()
    }
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.layout.index_bytes_in_huge_pages()
    }
    fn agree(&self, oracle: &Oracle<G>) -> Result<(), String> {
        // The layout below it answers.
        agree(&self.layout.0, oracle)
    }
    fn prepare_checked(
        &self,
        asked: Asked,
        queries: &Queries,
        oracle: &Oracle<G>,
        placement: &mut Placement,
    ) -> Result<Prepared, String> {
        of_layout(NO_CHECK, || lookup::prepare(&self.layout, asked, queries, oracle, self.is_backed(), placement))
    }
    fn prepare(&self, op: LookupOp, pfns: &[Pfn]) -> Result<Prepared, String> {
        of_layout(NO_CHECK, || lookup::prepare_valid(&self.layout, op, pfns, self.is_backed()))
    }
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.layout.0.reader().pfn_valid(pfn)
    }
    fn run(&self, prepared: &Prepared, window: Window) -> u64 {
        of_layout(NO_CHECK, || lookup::run(&self.layout, prepared, window))
    }
    fn lookup_code(&self, asked: Asked) -> usize {
        lookup::code::<Unchecked<Subsection<G>>>(asked)
    }
    fn time_batches(&self, _: &[Pfn], _: &mut Histogram<u64>) -> u64 {
        0
    }
    fn hotplug(&self) -> Option<&dyn HotplugContestant> {
        Some(&self.layout.0)
    }
    fn lacks(&self, group: &LookupGroup) -> Option<&'static str> {
        match group {
            group if group.op.is_walk() => Some(NO_WALK),
            group if group.invalid_percent > 0 || !group.population.is_common() => Some(VALID_ONLY),
            _ => None,
        }
    }
    fn not_beside_a_writer(&self) -> Option<&'static str> {
        Some("without a check, nothing keeps a lookup from records that a writer has released")
    }
}

/// The entry of the bound, for one architecture.
pub fn entry<G: Geometry>() -> Entry<G> {
    type Layouts<G> = Unchecked<Subsection<G>>;
    Entry::new(Layout::new::<Layouts<G>>(), Layouts::<G>::boot_record_bytes, |id, _, map, config, store| {
        Ok(Box::new(NoCheck::<G> { id, layout: Unchecked::boot(map, config, store)? }))
    })
}
