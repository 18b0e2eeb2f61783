//! Queries prepared for a layout; every answer is checked before any lookup is timed.

use super::flush;
use super::loops::{self, BATCH, Record};
use super::query_array::{Placement, QueryArray};
use crate::case::{Asked, LookupOp, Mode};
use memmap_layouts::conformance::LEAST_ADDRESS;
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{Capabilities, Geometry, Lookup, Memmap, PageRecord, Pfn, PfnRange, Validity};
use std::ops::Range;

/// The lookups of a case.
#[derive(Clone, Debug)]
pub enum Queries {
    /// Single lookups of these page frames, in this order.
    Pfns(Vec<Pfn>),
    /// A walk over a range that contains memory.
    Walk {
        /// The walk visits this whole range; its start is aligned to a sub-section.
        range: PfnRange,
        /// Sections with memory in the range. Times are divided by this number, which is the same
        /// for every layout.
        nr_sections: u64,
    },
}

impl Queries {
    /// True if there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pfns(pfns) => pfns.is_empty(),
            Self::Walk { range, nr_sections } => range.is_empty() || *nr_sections == 0,
        }
    }
}

/// Queries for one layout, with the expected sum of answers of each batch.
#[derive(Debug)]
pub struct Prepared {
    asked: Asked,
    pfns: QueryArray<Pfn>,
    /// For `page_to_pfn`: the records of `pfns`. They stay valid while their sections stay.
    pages: QueryArray<Record>,
    walk: Option<(PfnRange, u64)>,
    /// Prefix sums of the answers, wrapping: element i is the sum of all batches before batch i.
    sums: Vec<u64>,
    /// The cache lines of the records that a pass reads; empty if it reads none. Records never cross
    /// a line.
    touched: Vec<Record>,
}

/// Consecutive batches of the queries, wrapping around at the end. In a walk, one batch is one
/// whole walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Index of the first batch.
    pub first: u64,
    /// Number of batches; it may exceed one pass.
    pub batches: u64,
}

/// Looks up the queries one by one, checks every answer against the oracle, and sums the answers.
///
/// If `backed` says that a record can be read, it is read and must belong to its pfn.
///
/// # Errors
/// The first wrong answer.
pub fn prepare<L: Memmap>(
    layout: &L,
    asked: Asked,
    queries: &Queries,
    oracle: &Oracle<L::Geometry>,
    backed: impl Fn(Pfn) -> bool,
    placement: &mut Placement,
) -> Result<Prepared, String> {
    match queries {
        Queries::Pfns(pfns) => {
            let asked_of = AskedOf { id: L::ID, caps: L::CAPS, reader: &layout.reader(), backed };
            asked_of.pfns(asked, pfns, |pfn| oracle.pfn_valid(L::CAPS.validity, pfn), placement)
        }
        Queries::Walk { range, nr_sections } => {
            let found = walk_with::<L>(asked.op)(layout, *range);
            prepare_walk(L::ID, L::CAPS.validity, (*range, *nr_sections), found, asked, oracle)
        }
    }
}

/// The loop of a walk.
///
/// # Panics
/// The operation is not a walk.
fn walk_with<L: Memmap>(op: LookupOp) -> fn(&L, PfnRange) -> u64 {
    match op {
        LookupOp::NextValidPfn => loops::walk::<L>,
        LookupOp::WalkEveryPfn => loops::walk_every_pfn::<L>,
        LookupOp::ScanPageblocks => loops::scan_pageblocks::<L>,
        LookupOp::IsContiguous => loops::is_contiguous::<L>,
        LookupOp::PfnValid | LookupOp::PfnToPage | LookupOp::PageToPfn | LookupOp::ValidToPage => {
            unreachable!("{op} is no walk")
        }
    }
}

/// A walk over a range with the answer `found`.
///
/// # Errors
/// The answer is wrong.
pub fn prepare_walk<G: Geometry>(
    id: &str,
    validity: Validity,
    (range, nr_sections): (PfnRange, u64),
    found: u64,
    asked: Asked,
    oracle: &Oracle<G>,
) -> Result<Prepared, String> {
    let runs = oracle.valid_runs(validity);
    let expected = match asked.op {
        LookupOp::WalkEveryPfn => every_pfn_of(&runs, range),
        LookupOp::ScanPageblocks => range.nr_pages() >> G::PFN_SUBSECTION_SHIFT,
        LookupOp::IsContiguous => 1,
        _ => walk_of::<G>(&runs, range),
    };
    if found != expected {
        return Err(format!("{id}: the answer of {} over {range} is {found:#x}, not {expected:#x}", asked.op));
    }
    Ok(Prepared {
        asked,
        pfns: QueryArray::default(),
        pages: QueryArray::default(),
        walk: Some((range, nr_sections)),
        sums: vec![0, expected],
        touched: Vec::new(),
    })
}

/// Sum of the valid page frames of `range`.
fn every_pfn_of(runs: &[PfnRange], range: PfnRange) -> u64 {
    let within = runs.iter().filter_map(|run| run.intersect(range)).filter(|run| !run.is_empty());
    let sum = |run: PfnRange| (u128::from(run.start()) + u128::from(run.end() - 1)) * u128::from(run.nr_pages()) / 2;
    within.fold(0, |all, run| all.wrapping_add(sum(run) as u64))
}

/// Sum of the first valid page frame of every sub-section of `range`, by the runs of valid ones.
fn walk_of<G: Geometry>(runs: &[PfnRange], range: PfnRange) -> u64 {
    let shift = G::PFN_SUBSECTION_SHIFT;
    let (mut sum, mut at) = (0u64, range.start());
    for run in runs {
        let (start, end) = (run.start().max(at), run.end().min(range.end()));
        if start >= end {
            continue;
        }
        // The first page may lie inside a sub-section; each later one begins a sub-section.
        let (first, last) = ((start >> shift) + 1, (end - 1) >> shift);
        let count = u128::from((last + 1).saturating_sub(first));
        let subsections = (u128::from(first) + u128::from(last)) * count / 2;
        sum = sum.wrapping_add(start).wrapping_add((subsections << shift) as u64);
        at = (last + 1) << shift;
    }
    sum
}

/// The lookups of a layout, for queries about it.
pub struct AskedOf<'a, R: Lookup, B: Fn(Pfn) -> bool> {
    /// Id of the layout, for messages.
    pub id: &'a str,
    /// What the layout supports.
    pub caps: Capabilities,
    /// Its lookups.
    pub reader: &'a R,
    /// Whether the record of a page frame can be read.
    pub backed: B,
}

impl<R: Lookup, B: Fn(Pfn) -> bool> AskedOf<'_, R, B> {
    /// Prepares page frames that are valid or invalid according to `is_valid`.
    ///
    /// # Errors
    /// The first wrong answer.
    pub fn pfns(
        &self,
        asked: Asked,
        pfns: &[Pfn],
        is_valid: impl Fn(Pfn) -> bool,
        placement: &mut Placement,
    ) -> Result<Prepared, String> {
        let Self { id, caps, reader, ref backed } = *self;
        let op = asked.op;
        let (mut pages, mut touched, mut sums, mut sum) = (Vec::new(), Vec::new(), vec![0], 0u64);
        for (at, &pfn) in pfns.iter().enumerate() {
            if at > 0 && at.is_multiple_of(BATCH) {
                sums.push(sum);
            }
            let expected = is_valid(pfn);
            if reader.pfn_valid(pfn) != expected {
                return Err(format!(
                    "{}: pfn_valid({:#x}) is {}, but the oracle says {expected}",
                    id, pfn.0, !expected
                ));
            }
            if !expected {
                if !op.bears_invalid() {
                    return Err(format!("{}: {op} needs valid page frames, but {pfn} is invalid", id));
                }
                continue;
            }
            // SAFETY: the pfn is valid under this reader.
            let page = unsafe { reader.pfn_to_page(pfn) };
            if page.addr().get() < LEAST_ADDRESS {
                let at = page.addr();
                return Err(format!("{}: pfn_to_page({:#x}) is {at:#x}, too low for a record", id, pfn.0));
            }
            let mut flags = 0;
            if backed(pfn) {
                // SAFETY: the record of a valid pfn of a backed section lives as long as the reader.
                let record = unsafe { page.as_ref() };
                // The pages of a device's info block have records that are never initialised.
                if !(record.is_of(pfn) || caps.records_on_device.any() && record.is_poisoned()) {
                    let found = record.pfn().map_or("nothing".to_owned(), |found| format!("pfn {found}"));
                    return Err(format!("{}: pfn_to_page({:#x}) is the record of {found}", id, pfn.0));
                }
                // SAFETY: this reader returned the record for a valid pfn of a backed section.
                let back = unsafe { reader.page_to_pfn(page) };
                if back != pfn {
                    return Err(format!("{}: page_to_pfn(pfn_to_page({:#x})) is {:#x}", id, pfn.0, back.0));
                }
                flags = record.flags();
            } else if op.reads_records(asked.mode) {
                return Err(format!("{}: {op} reads records, but the record of {pfn} is unbacked", id));
            }
            if op.reads_records(asked.mode) {
                touched.push(flush::line(page.cast()));
            }
            let answer = match (op, asked.mode) {
                (LookupOp::PfnValid, _) => 1,
                (LookupOp::PageToPfn, _) => pfn.0,
                (LookupOp::ValidToPage, Mode::Touching) => flags,
                (LookupOp::PfnToPage | LookupOp::ValidToPage, _) => page.as_ptr().addr() as u64,
                (
                    LookupOp::NextValidPfn | LookupOp::WalkEveryPfn | LookupOp::ScanPageblocks | LookupOp::IsContiguous,
                    _,
                ) => {
                    return Err(format!("{}: {op} is a walk, not a list of page frames", id));
                }
            };
            sum = sum.wrapping_add(answer);
            if op == LookupOp::PageToPfn {
                pages.push(page.cast());
            }
        }
        sums.push(sum);
        touched.sort_unstable();
        touched.dedup();
        let (pfns, pages) = (placement.place(pfns), placement.place(&pages));
        Ok(Prepared { asked, pfns, pages, walk: None, sums, touched })
    }
}

/// As [`prepare`], for page frames that must be valid.
///
/// # Errors
/// The first wrong answer.
pub fn prepare_valid<L: Memmap>(
    layout: &L,
    op: LookupOp,
    must_be_valid: &[Pfn],
    backed: impl Fn(Pfn) -> bool,
) -> Result<Prepared, String> {
    let asked_of = AskedOf { id: L::ID, caps: L::CAPS, reader: &layout.reader(), backed };
    asked_of.pfns(Asked::plain(op), must_be_valid, |_| true, &mut Placement::aligned())
}

impl Prepared {
    /// Operations in one pass: lookups, or sections of a walk.
    pub fn len(&self) -> u64 {
        self.walk.map_or(self.pfns.len() as u64, |(_, nr_sections)| nr_sections)
    }

    /// True if there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lookup operation of these queries.
    pub fn op(&self) -> LookupOp {
        self.asked.op
    }

    /// Number of batches in one pass.
    pub fn nr_batches(&self) -> u64 {
        self.sums.len() as u64 - 1
    }

    /// Hash of the pfns and their order, the same in every build.
    pub fn fingerprint(&self) -> u64 {
        // A polynomial hash with an odd base, so that the order matters.
        let add = |hash: u64, value: u64| hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(value);
        let walk = self.walk.iter().flat_map(|(range, _)| [range.start(), range.end()]);
        self.pfns.part(0..usize::MAX).iter().map(|pfn| pfn.0).chain(walk).fold(0, add)
    }

    /// The window of one pass over all queries.
    pub fn pass(&self) -> Window {
        Window { first: 0, batches: self.nr_batches() }
    }

    /// The window of `batches` batches directly after another window.
    pub fn behind(&self, window: Window, batches: u64) -> Window {
        Window { first: (window.first + window.batches) % self.nr_batches(), batches }
    }

    /// The window of `batches` batches directly before another window.
    pub fn before(&self, window: Window, batches: u64) -> Window {
        let nr = self.nr_batches();
        Window { first: (window.first % nr + nr - batches % nr) % nr, batches }
    }

    /// Number of operations in a window.
    pub fn nr_ops(&self, window: Window) -> u64 {
        if self.walk.is_some() {
            return window.batches * self.len();
        }
        self.stretches(window).map(|stretch| self.len_of(&stretch)).sum()
    }

    /// The expected sum of answers of a window.
    pub fn expected(&self, window: Window) -> u64 {
        let sum = |batches: Range<u64>| self.sums[batches.end as usize].wrapping_sub(self.sums[batches.start as usize]);
        self.stretches(window).map(sum).fold(0, u64::wrapping_add)
    }

    /// Bytes of the cache lines of the records that a pass reads; 0 if it reads none.
    pub fn working_set_bytes(&self) -> u64 {
        self.touched.len() as u64 * flush::LINE_BYTES as u64
    }

    /// Writes the records that a pass reads back to memory and drops them from every cache. Returns
    /// false if user space cannot do that on this processor.
    pub fn flush_records(&self) -> bool {
        flush::lines(&self.touched)
    }

    /// Splits a window into ranges of batches, each at most one pass.
    fn stretches(&self, window: Window) -> impl Iterator<Item = Range<u64>> {
        let nr = self.nr_batches();
        let (mut at, mut left) = (window.first % nr, window.batches);
        std::iter::from_fn(move || {
            let batches = left.min(nr - at);
            let stretch = at..at + batches;
            (at, left) = (0, left - batches);
            (batches > 0).then_some(stretch)
        })
    }

    /// Number of queries in a range of batches.
    fn len_of(&self, batches: &Range<u64>) -> u64 {
        (batches.end * BATCH as u64).min(self.pfns.len() as u64) - batches.start * BATCH as u64
    }
}

/// Runs the queries of a window and returns the sum of the answers. They must have been prepared on
/// this layout, with nothing removed from it since.
pub fn run<L: Memmap>(layout: &L, prepared: &Prepared, window: Window) -> u64 {
    prepared.stretches(window).map(|stretch| batches(layout, prepared, stretch)).fold(0, u64::wrapping_add)
}

/// The queries of a stretch of batches.
pub enum Part<'a> {
    /// Page frames to look up.
    Pfns(&'a [Pfn]),
    /// Records, for `page_to_pfn`.
    Records(&'a [Record]),
    /// Walks over a range.
    Walks(PfnRange, u64),
}

impl Prepared {
    /// What is asked.
    pub fn asked(&self) -> Asked {
        self.asked
    }

    /// The queries of a window, in order.
    pub fn parts(&self, window: Window) -> impl Iterator<Item = Part<'_>> {
        self.stretches(window).map(|batches| {
            let queries = batches.start as usize * BATCH..batches.end as usize * BATCH;
            match (self.walk, self.asked.op) {
                (Some((range, _)), _) => Part::Walks(range, batches.end - batches.start),
                (None, LookupOp::PageToPfn) => Part::Records(self.pages.part(queries)),
                (None, _) => Part::Pfns(self.pfns.part(queries)),
            }
        })
    }
}

fn batches<L: Memmap>(layout: &L, prepared: &Prepared, batches: Range<u64>) -> u64 {
    let queries = batches.start as usize * BATCH..batches.end as usize * BATCH;
    let (pfns, pages) = (prepared.pfns.part(queries.clone()), prepared.pages.part(queries));
    let Asked { op, mode, preempt } = prepared.asked;
    match (op, mode, preempt) {
        (LookupOp::PfnValid, Mode::Branching, false) => loops::pfn_valid_branching::<L, false>(layout, pfns),
        (LookupOp::PfnValid, Mode::Branching, true) => loops::pfn_valid_branching::<L, true>(layout, pfns),
        (LookupOp::PfnValid, Mode::Called, false) => loops::pfn_valid_called::<L, false>(layout, pfns),
        (LookupOp::PfnValid, Mode::Called, true) => loops::pfn_valid_called::<L, true>(layout, pfns),
        (LookupOp::PfnValid, Mode::Chained, false) => loops::pfn_valid_chained::<L, false>(layout, pfns),
        (LookupOp::PfnValid, Mode::Chained, true) => loops::pfn_valid_chained::<L, true>(layout, pfns),
        (LookupOp::PfnValid, _, false) => loops::pfn_valid::<L, false>(layout, pfns),
        (LookupOp::PfnValid, _, true) => loops::pfn_valid::<L, true>(layout, pfns),
        // SAFETY: `prepare` checked that every pfn is valid, and nothing is removed while lookups
        // are timed.
        (LookupOp::PfnToPage, Mode::Chained, _) => unsafe { loops::pfn_to_page_chained(layout, pfns) },
        // SAFETY: as for the chained loop.
        (LookupOp::PfnToPage, ..) => unsafe { loops::pfn_to_page(layout, pfns) },
        // SAFETY: `prepare` got the records from this layout, for valid pfns of backed sections,
        // and nothing is removed while lookups are timed.
        (LookupOp::PageToPfn, Mode::Chained, _) => unsafe { loops::page_to_pfn_chained(layout, pages) },
        // SAFETY: as for the chained loop.
        (LookupOp::PageToPfn, ..) => unsafe { loops::page_to_pfn(layout, pages) },
        (LookupOp::ValidToPage, Mode::Chained, false) => loops::valid_to_page_chained::<L, false>(layout, pfns),
        (LookupOp::ValidToPage, Mode::Chained, true) => loops::valid_to_page_chained::<L, true>(layout, pfns),
        (LookupOp::ValidToPage, _, false) => loops::valid_to_page::<L, false>(layout, pfns),
        (LookupOp::ValidToPage, _, true) => loops::valid_to_page::<L, true>(layout, pfns),
        // One batch is one whole walk.
        (walk, ..) => prepared.walk.map_or(0, |(range, _)| walk_with::<L>(walk)(layout, range)),
    }
}

/// Address of the loop of a lookup. Two layouts whose code the compiler merged have the same
/// address.
pub fn code<L: Memmap>(asked: Asked) -> usize {
    type Loop<L, T> = fn(&L, &[T]) -> u64;
    type UnsafeLoop<L, T> = unsafe fn(&L, &[T]) -> u64;
    let Asked { op, mode, preempt } = asked;
    let safe: Loop<L, Pfn> = match (op, mode, preempt) {
        (LookupOp::PfnToPage, Mode::Chained, _) => {
            return loops::pfn_to_page_chained::<L> as UnsafeLoop<L, Pfn> as usize;
        }
        (LookupOp::PfnToPage, ..) => return loops::pfn_to_page::<L> as UnsafeLoop<L, Pfn> as usize,
        (LookupOp::PageToPfn, Mode::Chained, _) => {
            return loops::page_to_pfn_chained::<L> as UnsafeLoop<L, Record> as usize;
        }
        (LookupOp::PageToPfn, ..) => return loops::page_to_pfn::<L> as UnsafeLoop<L, Record> as usize,
        (LookupOp::PfnValid, Mode::Branching, false) => loops::pfn_valid_branching::<L, false>,
        (LookupOp::PfnValid, Mode::Branching, true) => loops::pfn_valid_branching::<L, true>,
        (LookupOp::PfnValid, Mode::Called, false) => loops::pfn_valid_called::<L, false>,
        (LookupOp::PfnValid, Mode::Called, true) => loops::pfn_valid_called::<L, true>,
        (LookupOp::PfnValid, Mode::Chained, false) => loops::pfn_valid_chained::<L, false>,
        (LookupOp::PfnValid, Mode::Chained, true) => loops::pfn_valid_chained::<L, true>,
        (LookupOp::PfnValid, _, false) => loops::pfn_valid::<L, false>,
        (LookupOp::PfnValid, _, true) => loops::pfn_valid::<L, true>,
        (LookupOp::ValidToPage, Mode::Chained, false) => loops::valid_to_page_chained::<L, false>,
        (LookupOp::ValidToPage, Mode::Chained, true) => loops::valid_to_page_chained::<L, true>,
        (LookupOp::ValidToPage, _, false) => loops::valid_to_page::<L, false>,
        (LookupOp::ValidToPage, _, true) => loops::valid_to_page::<L, true>,
        (walk, ..) => return walk_with::<L>(walk) as usize,
    };
    safe as usize
}

/// Runs the loop of these queries without a lookup; `None` for a walk, whose loop is part of the
/// lookup.
pub fn floor(prepared: &Prepared, window: Window) -> Option<u64> {
    if prepared.walk.is_some() {
        return None;
    }
    let sum = |batches: Range<u64>| {
        let pfns = prepared.pfns.part(batches.start as usize * BATCH..batches.end as usize * BATCH);
        match prepared.asked.mode {
            Mode::Chained => loops::chained_floor(pfns),
            Mode::Independent | Mode::Touching | Mode::Branching | Mode::Called => loops::floor(pfns),
        }
    };
    Some(prepared.stretches(window).map(sum).fold(0, u64::wrapping_add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::{Flat, Sparse, Subsection};
    use memmap_layouts::{BootMap, BootRange, Config, RecordStore, X86_64};

    fn map() -> BootMap {
        let range = |start, end| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 };
        BootMap::new([range(0x8000, 0x10000), range(0x20000, 0x25200)]).unwrap()
    }

    fn boot<L: Memmap>() -> L {
        L::boot(&map(), &Config::default(), RecordStore::unlimited()).unwrap()
    }

    fn every_loop<L: Memmap<Geometry = X86_64>>() {
        let (layout, oracle) = (boot::<L>(), Oracle::<X86_64>::boot(&map()));
        for op in LookupOp::ALL {
            for &mode in op.modes() {
                for preempt in [false, true] {
                    // A stride of 7; 0x10000 to 0x1ffff is a hole.
                    let to = if op.bears_invalid() && mode == Mode::Chained { 0x25000 } else { 0x10000 };
                    let pfns = (0x8000..to).step_by(7).map(Pfn).collect::<Vec<_>>();
                    let queries = match op {
                        walk if walk.is_of_contiguous_memory() => {
                            Queries::Walk { range: PfnRange::new(0x8000, 0x10000).unwrap(), nr_sections: 1 }
                        }
                        walk if walk.is_walk() => {
                            Queries::Walk { range: PfnRange::new(0, 0x28000).unwrap(), nr_sections: 2 }
                        }
                        _ => Queries::Pfns(pfns),
                    };
                    let asked = Asked { op, mode, preempt };
                    let mut placement = Placement::random(1);
                    let prepared = prepare(&layout, asked, &queries, &oracle, |_| true, &mut placement).unwrap();
                    let elsewhere = prepare(&layout, asked, &queries, &oracle, |_| true, &mut placement).unwrap();
                    assert_eq!(prepared.fingerprint(), elsewhere.fingerprint(), "for any address of the array");
                    let mut window = Window { first: 0, batches: 0 };
                    // Windows that begin and end anywhere, and some that wrap around more than
                    // once.
                    for batches in [1, prepared.nr_batches(), 2, 3 * prepared.nr_batches() + 1] {
                        window = prepared.behind(window, batches);
                        let (sum, expected) = (run(&layout, &prepared, window), prepared.expected(window));
                        assert_eq!(sum, expected, "{} {asked:?} {window:?}", L::ID);
                    }
                    let three = Window { first: 0, batches: 3 * prepared.nr_batches() };
                    assert_eq!(prepared.nr_ops(three), 3 * prepared.len());
                    assert_eq!(floor(&prepared, prepared.pass()).is_none(), op.is_walk());
                }
            }
        }
    }

    #[test]
    fn every_loop_gives_the_answer_that_was_checked_one_by_one() {
        every_loop::<Sparse>();
        every_loop::<Subsection>();
        every_loop::<Flat>();
    }

    #[test]
    fn different_queries_have_different_fingerprints() {
        let (layout, oracle) = (boot::<Flat<X86_64>>(), Oracle::<X86_64>::boot(&map()));
        let asked = |op| Asked { op, mode: Mode::Chained, preempt: false };
        let fingerprint = |op, queries| {
            let prepared = prepare(&layout, asked(op), &queries, &oracle, |_| true, &mut Placement::random(1));
            prepared.unwrap().fingerprint()
        };
        let pfns =
            |pfns: &[u64]| fingerprint(LookupOp::PfnValid, Queries::Pfns(pfns.iter().copied().map(Pfn).collect()));
        let walk = |end| {
            let range = PfnRange::new(0, end).unwrap();
            fingerprint(LookupOp::NextValidPfn, Queries::Walk { range, nr_sections: 2 })
        };
        let all =
            [pfns(&[0x8000, 0x8001]), pfns(&[0x8001, 0x8000]), pfns(&[0x8000, 0x8002]), walk(0x20000), walk(0x28000)];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len(), "{all:x?}");
    }

    #[test]
    fn a_walk_visits_a_page_of_each_subsection() {
        let runs = [PfnRange::new(0x200, 0x600).unwrap(), PfnRange::new(0x8000, 0x8001).unwrap()];
        assert_eq!(walk_of::<X86_64>(&runs, PfnRange::new(0, 0x10000).unwrap()), 0x200 + 0x400 + 0x8000);
        assert_eq!(walk_of::<X86_64>(&runs, PfnRange::new(0x400, 0x8000).unwrap()), 0x400);
        // Runs may begin inside a sub-section, and two runs may share one.
        let runs =
            [(1, 0x9f), (0x100, 0x500), (0x5ff, 0x600), (0x7ff, 0x801)].map(|(a, b)| PfnRange::new(a, b).unwrap());
        let by_page: u64 = (0..0xa00u64)
            .step_by(0x200)
            .filter_map(|start| (start..start + 0x200).find(|&pfn| runs.iter().any(|run| run.contains(Pfn(pfn)))))
            .sum();
        assert_eq!(by_page, 1 + 0x200 + 0x400 + 0x7ff + 0x800);
        assert_eq!(walk_of::<X86_64>(&runs, PfnRange::new(0, 0xa00).unwrap()), by_page);
        let (layout, oracle) = (boot::<Subsection>(), Oracle::<X86_64>::boot(&BootMap::default()));
        let walk = Queries::Walk { range: PfnRange::new(0, 0x28000).unwrap(), nr_sections: 2 };
        let (asked, mut placement) = (Asked::plain(LookupOp::NextValidPfn), Placement::aligned());
        let error = prepare(&layout, asked, &walk, &oracle, |_| true, &mut placement).unwrap_err();
        assert!(error.contains("the answer of next_valid_pfn over"), "{error}");
    }

    #[test]
    fn a_wrong_answer_is_found_before_anything_is_timed() {
        let layout: Subsection = boot();
        let error = prepare_valid(&layout, LookupOp::PfnValid, &[Pfn(0x7fff)], |_| true).unwrap_err();
        assert!(error.contains("pfn_valid(0x7fff) is false"), "{error}");
        let error = prepare_valid(&layout, LookupOp::PageToPfn, &[Pfn(0x8000)], |_| false).unwrap_err();
        assert!(error.contains("unbacked"), "{error}");
        let (oracle, asked) = (Oracle::<X86_64>::boot(&map()), Asked::plain(LookupOp::PfnToPage));
        let (queries, mut placement) = (Queries::Pfns(vec![Pfn(0x7fff)]), Placement::aligned());
        let error = prepare(&layout, asked, &queries, &oracle, |_| true, &mut placement).unwrap_err();
        assert!(error.contains("invalid"), "{error}");
    }
}
