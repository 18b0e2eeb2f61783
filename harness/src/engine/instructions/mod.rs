//! The code whose instructions callgrind counts: every case of
//! [`cases_of`], in one common loop.
//!
//! An operation is a `Leaf`: a function of a fixed signature, called through a pointer that is
//! opaque to the compiler. Every leaf therefore gets its arguments in the same registers, and no
//! part of it can be hoisted out of the loop. Callgrind counts only inside `pfnbench_lookup_loop`
//! and `pfnbench_update_loop`, and ends a total at each `pfnbench_total`; see [`OPTIONS`]. Each
//! case runs for one pass and for two, after an empty leaf has done so:
//!
//! ```text
//!  parts of the profile: | lookup that does nothing: 1, 2 passes | update, likewise | case: 1, 2 | case: 1, 2 | … | rest |
//! ```
//!
//! Nothing here depends on the machine: the memory is synthetic, its pages are queried in a fixed
//! order, and no branch depends on an address.

pub(in crate::engine) mod counted_loop;
mod counter;
mod leaves;
pub mod profile;

use crate::case::{Layout, LookupOp, Memory};
use crate::engine::probe::lookup;
use crate::record::instructions::{Case, Counted, Update, cases_of};
use counted_loop::{Leaf, Task};
pub(in crate::engine) use counter::Counter;
use leaves::Change;
use memmap_layouts::layouts::Visitor;
use memmap_layouts::{
    AddParams, BackedSections, BootMap, BootRange, Config, Geometry, Hotplug, Inspect, Lookup, Memmap, Pfn, PfnRange,
    RecordStore, SectionFlags, X86_64,
};
use std::ptr;

/// Options of callgrind: count in the loops but not while an update is undone, and end a total at
/// each call of `pfnbench_total`. (For a function with both options, callgrind would apply only
/// one.)
pub const OPTIONS: [&str; 5] = [
    "--toggle-collect=pfnbench_lookup_loop",
    "--toggle-collect=pfnbench_update_loop",
    "--toggle-collect=pfnbench_undo",
    "--dump-after=pfnbench_total",
    "--separate-threads=no",
];

/// Number of lookups in a pass. It is a power of two, so that the count per operation is exact in
/// binary.
const LOOKUPS: u64 = 1024;
/// Number of updates in a pass, each in a section of its own.
const UPDATES: u64 = 16;

/// Section numbers of boot memory, with a hole between the ranges.
const BOOT: [std::ops::Range<u64>; 2] = [0..4, 6..8];
/// Section numbers of added memory.
const ADDED: std::ops::Range<u64> = 16..20;
/// Number of the first section that is updated. This section and later ones have no records, so
/// that only work on the index is counted.
const UPDATED: u64 = 32;

/// Runs the cases of the layouts that it visits, in the order of
/// [`cases_of`].
///
/// It visits layouts of any family; [`count_instructions`](super::layouts::count_instructions) shows
/// it the built-in ones and those of other crates.
pub struct CaseRunner<'a> {
    only: Option<&'a str>,
    counter: Counter,
    done: Vec<Case>,
    result: Result<(), String>,
}

impl std::fmt::Debug for CaseRunner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaseRunner").field("done", &self.done).field("result", &self.result).finish_non_exhaustive()
    }
}

impl<'a> CaseRunner<'a> {
    /// Runs the empty loops, to which every count is relative. `only` is the id of a layout; `None` for
    /// all that are visited.
    ///
    /// # Errors
    /// An operating system without memory for a few pages.
    pub(in crate::engine) fn new(only: Option<&'a str>, mut counter: Counter) -> Result<Self, String> {
        let mut empty_loop = |undo, queries: u64| {
            let queries: Vec<u64> = (0..queries).collect();
            let task = Task { leaf: leaves::empty, undo, context: ptr::null(), queries: &queries, expected: None };
            // SAFETY: the empty leaf has no requirements.
            unsafe { task.run(&mut counter) }
        };
        empty_loop(None, LOOKUPS)?;
        empty_loop(Some(leaves::empty as Leaf), UPDATES)?;
        Ok(Self { only, counter, done: Vec::new(), result: Ok(()) })
    }

    /// The cases that ran, and the counter with their totals.
    ///
    /// # Errors
    /// The first wrong answer, with the name of its case; the cases after it did not run.
    pub(in crate::engine) fn finish(self) -> Result<(Vec<Case>, Counter), String> {
        self.result.map(|()| (self.done, self.counter))
    }

    /// Does the work of a layout, if it is wanted and no layout before it failed.
    pub(in crate::engine) fn of(&mut self, id: &str, work: impl FnOnce(&mut Self) -> Result<(), String>) {
        if self.result.is_ok() && self.only.is_none_or(|only| only == id) {
            self.result = work(self);
        }
    }

    /// Runs cases one after the other.
    ///
    /// # Errors
    /// The first wrong answer, with the name of its case.
    pub(in crate::engine) fn each(
        &mut self,
        cases: Vec<Case>,
        run: impl Fn(Case, &mut Counter) -> Result<(), String>,
    ) -> Result<(), String> {
        for case in cases {
            if matches!(case.counted, Counted::Update(..)) && !self.counter.counts_updates() {
                continue;
            }
            run(case, &mut self.counter).map_err(|error| format!("{}: {error}", case.name()))?;
            self.done.push(case);
        }
        Ok(())
    }
}

/// The boot memory that is counted on, and which sections have records.
///
/// # Errors
/// None for the ranges of this module.
pub(in crate::engine) fn boot_map() -> Result<(BootMap, BackedSections), String> {
    let range = |numbers| BootRange { range: sections(numbers), node: 0 };
    let map = BootMap::new(BOOT.map(range)).map_err(|error| error.to_string())?;
    Ok((map, BackedSections::only(BOOT.into_iter().flatten().chain(ADDED))))
}

/// The memory that is added to it.
pub(in crate::engine) fn added() -> PfnRange {
    sections(ADDED)
}

/// The queries on a kind of memory.
pub(in crate::engine) fn queries_on(memory: Memory) -> Vec<Pfn> {
    match memory {
        Memory::Boot => queries(BOOT.into_iter().flatten()),
        Memory::Added => queries(ADDED),
    }
}

/// The operation whose answers are those of `op` on the queries of this module: a walk from a valid
/// page frame finds that frame at once.
pub(in crate::engine) fn with_the_answers_of(op: LookupOp) -> LookupOp {
    if op == LookupOp::NextValidPfn { LookupOp::PageToPfn } else { op }
}

/// The error for an operation that is not in [`LookupOp::COUNTED`].
pub(in crate::engine) fn not_counted(op: LookupOp) -> String {
    format!("the instructions of {op} are not counted")
}

/// Page frames of `sections`, one per lookup of a pass, in an order that does not repeat soon.
fn queries(sections: impl Iterator<Item = u64>) -> Vec<Pfn> {
    let sections: Vec<u64> = sections.collect();
    let pages = sections.len() as u64 * X86_64::PAGES_PER_SECTION;
    // A step close to the golden ratio of the number of pages; odd, so that no page occurs twice.
    let step = (pages * 618 / 1000) | 1;
    let pfn = |at: u64| {
        let page = at * step % pages;
        let section = sections[(page / X86_64::PAGES_PER_SECTION) as usize];
        Pfn(X86_64::section_start(section) + page % X86_64::PAGES_PER_SECTION)
    };
    (0..LOOKUPS).map(pfn).collect()
}

fn sections(numbers: std::ops::Range<u64>) -> PfnRange {
    PfnRange::new(X86_64::section_start(numbers.start), X86_64::section_start(numbers.end)).expect("in order")
}

impl CaseRunner<'_> {
    fn boot<L: Memmap<Geometry = X86_64>>() -> Result<L, String> {
        let (map, backed) = boot_map()?;
        let store = RecordStore { backed, ..RecordStore::unlimited() };
        L::boot(&map, &Config::default(), store).map_err(|error| error.to_string())
    }

    fn lookup<L: Memmap<Geometry = X86_64>>(
        layout: &L,
        (op, on): (LookupOp, Memory),
        counter: &mut Counter,
    ) -> Result<(), String> {
        let pfns = queries_on(on);
        let backed = |pfn: Pfn| layout.backed().contains(X86_64::section_nr(pfn.0));
        let prepared = lookup::prepare_valid(layout, with_the_answers_of(op), &pfns, backed)?;
        let expected = prepared.expected(prepared.pass());
        let reader = layout.reader();
        // SAFETY: `prepare_valid` has checked that every pfn is valid.
        let page = |pfn: Pfn| unsafe { reader.pfn_to_page(pfn) }.as_ptr().expose_provenance() as u64;
        let leaf: Leaf = match op {
            LookupOp::PfnValid => leaves::pfn_valid::<L>,
            LookupOp::PfnToPage => leaves::pfn_to_page::<L>,
            LookupOp::PageToPfn => leaves::page_to_pfn::<L>,
            LookupOp::ValidToPage => leaves::valid_to_page::<L>,
            LookupOp::NextValidPfn => leaves::next_valid_pfn::<L>,
            LookupOp::WalkEveryPfn | LookupOp::ScanPageblocks | LookupOp::IsContiguous => {
                return Err(not_counted(op));
            }
        };
        let queries: Vec<u64> = match op {
            LookupOp::PageToPfn => pfns.into_iter().map(page).collect(),
            _ => pfns.into_iter().map(|pfn| pfn.0).collect(),
        };
        let context = ptr::from_ref(&reader).cast();
        let task = Task { leaf, undo: None, context, queries: &queries, expected: Some(expected) };
        // SAFETY: the leaf is one of this layout, the context is its reader, and the queries were
        // checked: valid pfns of backed sections, or the addresses of their records.
        unsafe { task.run(counter) }
    }

    fn update<L: Hotplug<Geometry = X86_64>>(
        layout: &L,
        (update, size_bytes): (Update, u64),
        counter: &mut Counter,
    ) -> Result<(), String> {
        let nr_pages = size_bytes >> X86_64::PAGE_SHIFT;
        let change = Change { layout, nr_pages, how: AddParams::default() };
        let context = ptr::from_ref(&change).cast();
        let starts: Vec<u64> = (UPDATED..UPDATED + UPDATES).map(X86_64::section_start).collect();
        let all = |leaf: Leaf| {
            // SAFETY: the leaves are those of the context's layout.
            let done: u64 = starts.iter().map(|&start| unsafe { leaf(start, context) }).sum();
            if done == UPDATES { Ok(()) } else { Err(format!("{done} of {UPDATES} updates were done")) }
        };
        let (leaf, undo): (Leaf, Leaf) = match update {
            Update::HotAdd => (leaves::hot_add::<L>, leaves::hot_remove::<L>),
            Update::HotRemove => (leaves::hot_remove::<L>, leaves::hot_add::<L>),
        };
        // Memory must be added before it is removed, and is removed again at the end.
        if update == Update::HotRemove {
            all(undo)?;
        }
        let task = Task { leaf, undo: Some(undo), context, queries: &starts, expected: Some(2 * UPDATES) };
        // SAFETY: both leaves are those of this layout, and the context is a `Change` of it.
        unsafe { task.run(counter) }?;
        if update == Update::HotRemove { all(leaf) } else { Ok(()) }
    }

    /// The cases of a layout, in the order of [`cases_of`].
    fn layout<L: Memmap<Geometry = X86_64>>(
        &mut self,
        add_more: impl FnOnce(&L) -> Result<(), String>,
        update: impl Fn(&L, (Update, u64), &mut Counter) -> Result<(), String>,
    ) {
        self.of(L::ID, |runner| {
            let layout = Self::boot::<L>()?;
            add_more(&layout)?;
            runner.each(cases_of::<X86_64>(&Layout::new::<L>()), |case, counter| match case.counted {
                Counted::Lookup(op, on) => Self::lookup(&layout, (op, on), counter),
                Counted::Update(what, size_bytes) => update(&layout, (what, size_bytes), counter),
            })
        });
    }
}

impl Visitor<X86_64> for CaseRunner<'_> {
    fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {
        self.layout::<L>(|_| Ok(()), |_, _, _| Err("it has no hotplug".to_owned()));
    }

    fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
        let add_more =
            |layout: &L| layout.add(added(), &AddParams::default(), &mut ()).map_err(|error| error.to_string());
        self.layout::<L>(add_more, Self::update::<L>);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layouts::count_instructions;
    use crate::record::instructions::cases;

    #[test]
    fn every_leaf_gives_the_expected_answers() {
        assert_eq!(count_instructions(None), Ok(cases().len()));
    }

    #[test]
    fn queries_are_distinct_and_in_every_section() {
        let mut pfns = queries(BOOT.into_iter().flatten());
        pfns.sort();
        pfns.dedup();
        assert_eq!(pfns.len() as u64, LOOKUPS);
        for section in BOOT.into_iter().flatten() {
            assert!(pfns.iter().any(|pfn| X86_64::section_nr(pfn.0) == section), "{section}");
        }
    }
}
