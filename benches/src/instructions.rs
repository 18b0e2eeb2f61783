//! The code whose instructions callgrind counts: every case of
//! [`cases`](pfnbench::record::instructions::cases), in one common loop.
//!
//! An operation is a [`Leaf`]: a function of a fixed signature, called through a pointer that is
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

use memmap_layouts::layouts::{Visitor, visit};
use memmap_layouts::{
    AddParams, BackedSections, BootMap, BootRange, Config, Geometry, Hotplug, Inspect, Lookup, Memmap, PageRecord, Pfn,
    PfnRange, RecordStore, RemoveParams, SectionFlags, X86_64,
};
use pfnbench::case::{Layout, LookupOp, Memory};
use pfnbench::engine::probe::lookup;
use pfnbench::record::instructions::{Case, Counted, InstructionRow, Toolchain, Update, cases_of, instructions};
use std::hint::black_box;
use std::ptr::{self, NonNull};

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
const HOT: std::ops::Range<u64> = 16..20;
/// Number of the first section that is updated. This section and later ones have no records, so
/// that only work on the index is counted.
const UPDATED: u64 = 32;

/// An operation. `context` is the object that it works on, and `query` its argument.
///
/// # Safety
/// Each leaf documents what `context` must point to, and which queries are allowed.
pub type Leaf = unsafe fn(context: *const (), query: u64) -> u64;

/// The parts of a case.
struct Task<'a> {
    leaf: Leaf,
    /// For an update, the operation that undoes it.
    undo: Option<Leaf>,
    context: *const (),
    queries: &'a [u64],
    /// Expected sum of the answers of a pass; `None` for an empty leaf, which has no answer.
    expected: Option<u64>,
}

/// The loop for lookups. Its name can be given to callgrind, and link-time optimisation keeps its
/// signature.
///
/// # Safety
/// `context` and `queries` fulfil the requirements of `leaf`.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_lookup_loop(leaf: Leaf, context: *const (), queries: &[u64], passes: u64) -> u64 {
    let mut sum = 0u64;
    for _ in 0..passes {
        for &query in queries {
            // SAFETY: the caller's promise.
            sum = sum.wrapping_add(unsafe { leaf(context, query) });
        }
    }
    sum
}

/// The loop for updates. Each update is undone at once; only the update is counted.
///
/// # Safety
/// `context` and `queries` fulfil the requirements of both leaves, called in turn.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_update_loop(leaf: Leaf, undo: Leaf, context: *const (), queries: &[u64], passes: u64) -> u64 {
    let mut sum = 0u64;
    for _ in 0..passes {
        for &query in queries {
            // SAFETY: the caller's promise.
            sum = sum.wrapping_add(unsafe { leaf(context, query) });
            // SAFETY: the caller's promise.
            sum = sum.wrapping_add(unsafe { pfnbench_undo(undo, context, query) });
        }
    }
    sum
}

/// Calls a leaf while callgrind does not count.
///
/// # Safety
/// `context` and `query` fulfil the requirements of `leaf`.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_undo(leaf: Leaf, context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { leaf(context, query) }
}

/// Runs a task for a number of passes, and returns the sum of the answers.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
fn pfnbench_total(task: &Task<'_>, passes: u64) -> u64 {
    let (leaf, queries) = (black_box(task.leaf), task.queries);
    // SAFETY: whoever made the task chose leaves, context and queries that belong together.
    unsafe {
        match task.undo {
            None => pfnbench_lookup_loop(leaf, task.context, queries, passes),
            Some(undo) => pfnbench_update_loop(leaf, black_box(undo), task.context, queries, passes),
        }
    }
}

impl Task<'_> {
    /// Runs the task for one pass and for two, so that callgrind has a total of each.
    fn run(&self) -> Result<(), String> {
        self.warm_up();
        for passes in [1, 2] {
            let sum = pfnbench_total(black_box(self), black_box(passes));
            match self.expected.map(|once| once.wrapping_mul(passes)) {
                Some(expected) if expected != sum => {
                    return Err(format!("the answers add up to {sum:#x} instead of {expected:#x}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Runs the updates once, uncounted, so that later ones find the memory that the first
    /// allocates.
    fn warm_up(&self) {
        let Some(undo) = self.undo else { return };
        for &query in self.queries {
            // SAFETY: as in `pfnbench_total`.
            unsafe {
                (self.leaf)(self.context, query);
                undo(self.context, query);
            }
        }
    }
}

/// Returns immediately. The answer is whatever the result register contains.
///
/// # Safety
/// No requirements; unsafe only because it is a [`Leaf`].
unsafe fn empty(_: *const (), _: u64) -> u64 {
    let whatever: u64;
    // SAFETY: an empty template changes nothing, and the register that it is given holds some number.
    unsafe { std::arch::asm!("/* {0} */", out(reg) whatever, options(nomem, nostack, preserves_flags)) };
    whatever
}

/// # Safety
/// `context` points to a reader of the layout.
unsafe fn pfn_valid<L: Memmap>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    u64::from(reader.pfn_valid(Pfn(query)))
}

/// # Safety
/// `context` points to a reader of the layout, for which the query is a valid pfn.
unsafe fn pfn_to_page<L: Memmap>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    // SAFETY: the caller's promise.
    unsafe { reader.pfn_to_page(Pfn(query)) }.as_ptr().addr() as u64
}

/// # Safety
/// `context` points to a reader of the layout, whose record of a valid, backed pfn lies at the query.
unsafe fn page_to_pfn<L: Memmap>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    // SAFETY: no record lies at 0.
    let page = unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut::<L::Record>(query as usize)) };
    // SAFETY: the caller's promise.
    unsafe { reader.page_to_pfn(page) }.0
}

/// # Safety
/// `context` points to a reader of the layout, and the query is backed if it is valid.
unsafe fn valid_to_page<L: Memmap>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    reader.valid_to_page(Pfn(query)).map_or(0, PageRecord::flags)
}

/// # Safety
/// `context` points to a reader of the layout.
unsafe fn next_valid_pfn<L: Memmap>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    reader.next_valid_pfn(Pfn(query), Pfn(query + L::Geometry::PAGES_PER_SECTION)).map_or(0, |found| found.0)
}

/// A layout, and how much memory one update changes.
struct Change<'a, L> {
    layout: &'a L,
    nr_pages: u64,
    how: AddParams,
}

/// # Safety
/// `context` points to a [`Change`] of the layout.
unsafe fn hot_add<L: Hotplug>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let change = unsafe { &*context.cast::<Change<'_, L>>() };
    let range = PfnRange::from_len(query, change.nr_pages);
    u64::from(range.is_some_and(|range| change.layout.add(range, &change.how, &mut ()).is_ok()))
}

/// # Safety
/// `context` points to a [`Change`] of the layout.
unsafe fn hot_remove<L: Hotplug>(context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    let change = unsafe { &*context.cast::<Change<'_, L>>() };
    let range = PfnRange::from_len(query, change.nr_pages);
    u64::from(range.is_some_and(|range| change.layout.remove(range, &RemoveParams::default(), &mut ()).is_ok()))
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

/// Runs the cases of every layout, and returns how many there are.
///
/// # Errors
/// Fails at the first wrong answer.
pub fn run() -> Result<usize, String> {
    let nothing = ptr::null();
    let of_loop = |undo, queries: u64| {
        let queries: Vec<u64> = (0..queries).collect();
        Task { leaf: empty, undo, context: nothing, queries: &queries, expected: None }.run()
    };
    of_loop(None, LOOKUPS)?;
    of_loop(Some(empty as Leaf), UPDATES)?;
    let mut run = Run { done: 0, result: Ok(()) };
    visit::<X86_64>(&mut run);
    run.result.map(|()| run.done)
}

struct Run {
    done: usize,
    result: Result<(), String>,
}

impl Run {
    fn boot<L: Memmap<Geometry = X86_64>>() -> Result<L, String> {
        let range = |numbers| BootRange { range: sections(numbers), node: 0 };
        let map = BootMap::new(BOOT.map(range)).map_err(|error| error.to_string())?;
        let backed = BackedSections::only(BOOT.into_iter().flatten().chain(HOT));
        let store = RecordStore { backed, ..RecordStore::unlimited() };
        L::boot(&map, &Config::default(), store).map_err(|error| error.to_string())
    }

    fn lookup<L: Memmap<Geometry = X86_64>>(layout: &L, op: LookupOp, on: Memory) -> Result<(), String> {
        let pfns = match on {
            Memory::Boot => queries(BOOT.into_iter().flatten()),
            Memory::Added => queries(HOT),
        };
        let backed = |pfn: Pfn| layout.backed().contains(X86_64::section_nr(pfn.0));
        // A walk from a valid page frame finds that frame at once; its answer is that of
        // `page_to_pfn`.
        let checked = if op == LookupOp::NextValidPfn { LookupOp::PageToPfn } else { op };
        let prepared = lookup::prepare_valid(layout, checked, &pfns, backed)?;
        let expected = prepared.expected(prepared.pass());
        let reader = layout.reader();
        // SAFETY: `prepare` has seen every one of them valid.
        let page = |pfn: Pfn| unsafe { reader.pfn_to_page(pfn) }.as_ptr().expose_provenance() as u64;
        let leaf: Leaf = match op {
            LookupOp::PfnValid => pfn_valid::<L>,
            LookupOp::PfnToPage => pfn_to_page::<L>,
            LookupOp::PageToPfn => page_to_pfn::<L>,
            LookupOp::ValidToPage => valid_to_page::<L>,
            LookupOp::NextValidPfn => next_valid_pfn::<L>,
        };
        let queries: Vec<u64> = match op {
            LookupOp::PageToPfn => pfns.into_iter().map(page).collect(),
            _ => pfns.into_iter().map(|pfn| pfn.0).collect(),
        };
        let context = ptr::from_ref(&reader).cast();
        Task { leaf, undo: None, context, queries: &queries, expected: Some(expected) }.run()
    }

    fn update<L: Hotplug<Geometry = X86_64>>(layout: &L, update: Update, size_bytes: u64) -> Result<(), String> {
        let nr_pages = size_bytes >> X86_64::PAGE_SHIFT;
        let change = Change { layout, nr_pages, how: AddParams::default() };
        let context = ptr::from_ref(&change).cast();
        let starts: Vec<u64> = (UPDATED..UPDATED + UPDATES).map(X86_64::section_start).collect();
        let all = |leaf: Leaf| {
            // SAFETY: the leaves are those of the context's layout.
            let done: u64 = starts.iter().map(|&start| unsafe { leaf(context, start) }).sum();
            if done == UPDATES { Ok(()) } else { Err(format!("{done} of {UPDATES} updates were done")) }
        };
        let (leaf, undo): (Leaf, Leaf) = match update {
            Update::HotAdd => (hot_add::<L>, hot_remove::<L>),
            Update::HotRemove => (hot_remove::<L>, hot_add::<L>),
        };
        // Memory must be added before it is removed, and is removed again at the end.
        if update == Update::HotRemove {
            all(undo)?;
        }
        Task { leaf, undo: Some(undo), context, queries: &starts, expected: Some(2 * UPDATES) }.run()?;
        if update == Update::HotRemove { all(leaf) } else { Ok(()) }
    }

    /// The cases of a layout, in the order of [`cases`](pfnbench::record::instructions::cases).
    fn layout<L: Memmap<Geometry = X86_64>>(
        &mut self,
        add_more: impl FnOnce(&L) -> Result<(), String>,
        update: impl Fn(&L, Update, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        let layout = Self::boot::<L>()?;
        add_more(&layout)?;
        for case in cases_of::<X86_64>(&Layout::new::<L>()) {
            let result = match case.counted {
                Counted::Lookup(op, on) => Self::lookup(&layout, op, on),
                Counted::Update(what, size_bytes) => update(&layout, what, size_bytes),
            };
            result.map_err(|error| format!("{}: {error}", case.name()))?;
            self.done += 1;
        }
        Ok(())
    }
}

impl Visitor<X86_64> for Run {
    fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {
        if self.result.is_ok() {
            self.result = self.layout::<L>(|_| Ok(()), |_, _, _| Err("it has no hotplug".to_owned()));
        }
    }

    fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
        let add_more =
            |layout: &L| layout.add(sections(HOT), &AddParams::default(), &mut ()).map_err(|error| error.to_string());
        if self.result.is_ok() {
            self.result = self.layout::<L>(add_more, Self::update::<L>);
        }
    }
}

/// Reads the totals from the files of a profile, in the order in which callgrind ended them.
///
/// # Errors
/// Fails if a file was not written by callgrind.
pub fn totals(files: &[String]) -> Result<Vec<u64>, String> {
    let number = |file: &String, field: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|number| number.trim().parse::<u64>().ok()).ok_or(format!("a profile without a line {field:?}"))
    };
    let parts: Result<Vec<_>, _> =
        files.iter().map(|file| Ok::<_, String>((number(file, "part:")?, number(file, "totals:")?))).collect();
    let mut parts = parts?;
    parts.sort_unstable();
    Ok(parts.into_iter().map(|(_, total)| total).collect())
}

/// Makes the rows from the totals of a profile, in the order in which the cases were counted.
///
/// # Errors
/// Fails if the totals do not match the cases of [`run`].
pub fn rows(cases: &[Case], totals: &[u64], toolchain: &Toolchain) -> Result<Vec<InstructionRow>, String> {
    let needed = 2 * (cases.len() + 2);
    // Callgrind writes one more total for the rest of the program, in which nothing was counted.
    let (totals, rest) = totals.split_at_checked(needed).ok_or_else(|| {
        format!("callgrind wrote {} totals instead of {needed}: it did not know the loops by name", totals.len())
    })?;
    if rest.iter().any(|&total| total != 0) {
        return Err(format!("callgrind wrote totals after the last case: {rest:?}"));
    }
    let (pairs, _) = totals.as_chunks::<2>();
    let [lookup_loop, update_loop] = [pairs[0], pairs[1]];
    let row = |(case, &total): (&Case, &[u64; 2])| {
        let (of_loop, n_ops) = match case.counted {
            Counted::Lookup(..) => (lookup_loop, LOOKUPS),
            Counted::Update(..) => (update_loop, UPDATES),
        };
        let count = instructions(total, of_loop).ok_or_else(|| {
            format!("{}: {total:?} for one pass and two, and {of_loop:?} without an operation", case.name())
        })?;
        Ok(InstructionRow::new(case, count, n_ops, toolchain))
    };
    cases.iter().zip(&pairs[2..]).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pfnbench::record::instructions::cases;

    #[test]
    fn every_leaf_gives_the_answer_that_was_checked_one_by_one() {
        assert_eq!(run(), Ok(cases().len()));
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

    #[test]
    fn totals_are_taken_in_their_order() {
        let part = |part, total| format!("version: 1\npid: 7\npart: {part}\nevents: Ir\n\ntotals: {total}\n");
        assert_eq!(totals(&[part(10, 3), part(2, 5), part(1, 4)]), Ok(vec![4, 5, 3]));
        assert!(totals(&["part: 1\n".to_owned()]).unwrap_err().contains("totals:"));
    }

    #[test]
    fn too_few_totals_or_too_many_are_an_error() {
        let (cases, toolchain) = (&cases()[..1], Toolchain::this());
        let lookups = |an_operation: u64| [1, 2].map(|passes| 9 + passes * LOOKUPS * (6 + an_operation));
        let mut counted: Vec<u64> = [lookups(0), [100, 180], lookups(4)].concat();
        assert_eq!(rows(cases, &counted, &toolchain).unwrap()[0].value, 4.0);
        assert!(rows(cases, &counted[..4], &toolchain).unwrap_err().contains("4 totals instead of 6"));
        counted.push(0);
        assert!(rows(cases, &counted, &toolchain).is_ok(), "nothing came after the last");
        counted.push(1);
        assert!(rows(cases, &counted, &toolchain).is_err());
    }
}
