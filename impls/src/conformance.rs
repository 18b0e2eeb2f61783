//! What every layout must do, run for each of them from the one list.
//!
//! Each case is a function over the traits, so it is the same for all layouts; what a layout cannot do it skips, by
//! its [`CAPS`](crate::Memmap::CAPS), with the reason.

use crate::altmap::Altmap;
use crate::backing::DaxDevice;
use crate::error::HotplugError;
use crate::geometry::Geometry;
use crate::layouts::{Visitor, visit};
use crate::memmap::*;
use crate::oracle::Oracle;
use crate::pfn::{Pfn, PfnRange};
use crate::store::{BackedSections, RecordBudget, RecordStore};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::path::Path;
use std::sync::Arc;

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not applicable, and why.
    Skipped(&'static str),
    /// Not as it should.
    Failed(String),
}

/// One case on one layout.
#[derive(Clone, Debug)]
pub struct Run {
    /// The layout.
    pub layout: &'static str,
    /// The case.
    pub case: &'static str,
    /// How it ended.
    pub outcome: Outcome,
}

type Check = Result<(), String>;

/// Fails the case with a message unless the condition holds.
macro_rules! check {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

/// Runs every case on every layout of an architecture.
pub fn run_all<G: Geometry>() -> Vec<Run> {
    let mut suite = Suite { runs: Vec::new() };
    visit::<G>(&mut suite);
    suite.runs
}

struct Suite {
    runs: Vec<Run>,
}

impl Suite {
    fn record<L: Memmap>(&mut self, case: &'static str, check: Check) {
        let outcome = check.map_or_else(Outcome::Failed, |()| Outcome::Passed);
        self.runs.push(Run { layout: L::ID, case, outcome });
    }

    fn any<L: Memmap>(&mut self) {
        self.record::<L>("empty_machine_knows_no_page", empty_machine_knows_no_page::<L>());
        self.record::<L>("boot_map_is_answered_as_by_the_oracle", boot_map_is_answered_as_by_the_oracle::<L>());
        self.record::<L>("memory_beyond_the_space_does_not_boot", memory_beyond_the_space_does_not_boot::<L>());
        self.record::<L>("only_backed_sections_take_memory", only_backed_sections_take_memory::<L>());
    }
}

/// Cases that need hotplug: names, for the layouts that skip them.
const HOTPLUG_CASES: [&str; 6] = [
    "added_memory_appears_and_disappears",
    "refusals_change_nothing",
    "a_reader_holds_up_removal_and_its_own_thread_is_told",
    "every_life_of_a_record_is_new",
    "what_cannot_be_backed_is_not_half_added",
    "random_operations_agree_with_the_oracle",
];

impl<G: Geometry> Visitor<G> for Suite {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {
        self.any::<L>();
        for case in HOTPLUG_CASES {
            let outcome = Outcome::Skipped("the layout has no hotplug");
            self.runs.push(Run { layout: L::ID, case, outcome });
        }
    }

    fn hotplug<L: Hotplug<Geometry = G> + Inspect>(&mut self) {
        self.any::<L>();
        let checks = [
            added_memory_appears_and_disappears::<L>(),
            refusals_change_nothing::<L>(),
            a_reader_holds_up_removal_and_its_own_thread_is_told::<L>(),
            every_life_of_a_record_is_new::<L>(),
            what_cannot_be_backed_is_not_half_added::<L>(),
            random_operations_agree_with_the_oracle::<L>(10_000, 1),
        ];
        for (case, check) in HOTPLUG_CASES.into_iter().zip(checks) {
            self.record::<L>(case, check);
        }
    }
}

fn boot_map(ranges: &[(u64, u64)]) -> BootMap {
    let ranges = ranges.iter().filter_map(|&(start, end)| PfnRange::new(start, end));
    BootMap::new(ranges.map(|range| BootRange { range, node: 0 })).expect("the suite's maps do not overlap")
}

/// Low memory with a hole, a section in part, and a section of its own; 120 MiB of it.
fn small_machine() -> BootMap {
    boot_map(&[(0, 0xa0), (0x100, 0x1400), (0x2800, 0x6a64), (0x8000, 0xa400)])
}

fn boot_with<L: Memmap>(map: &BootMap, store: RecordStore) -> Result<L, String> {
    L::boot(map, &Config::default(), store).map_err(|error| format!("boot: {error}"))
}

fn boot<L: Memmap>(map: &BootMap) -> Result<L, String> {
    boot_with(map, RecordStore::unlimited())
}

/// The smallest range of a layout, as page frames.
fn granule<L: Hotplug>() -> u64 {
    L::CAPS.hotplug_granule_pages.unwrap_or(L::Geometry::PAGES_PER_SECTION)
}

/// How a layout adds a range in this suite: with the records on a device if it can.
fn params<L: Memmap>(range: PfnRange) -> Result<AddParams, String> {
    if !L::CAPS.records_on_device {
        return Ok(AddParams::default());
    }
    let bytes = range.nr_pages() << L::Geometry::PAGE_SHIFT;
    let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), bytes).map_err(|e| e.to_string())?;
    let altmap = Altmap::for_range::<L::Geometry>(Arc::new(device), range, &BackedSections::All);
    Ok(AddParams { altmap: Some(Arc::new(altmap.map_err(|e| e.to_string())?)), ..AddParams::default() })
}

fn add<L: Hotplug>(layout: &L, range: PfnRange) -> Result<(), HotplugError> {
    // Only ranges that no machine has get no altmap, and those are refused for what they are.
    let how = params::<L>(range).unwrap_or_default();
    layout.add(range, &how, &mut ())
}

fn remove<L: Hotplug>(layout: &L, range: PfnRange) -> Result<(), HotplugError> {
    layout.remove(range, &RemoveParams::default(), &mut ())
}

fn range(start: u64, nr_pages: u64) -> PfnRange {
    PfnRange::from_len(start, nr_pages).expect("the suite's ranges do not wrap")
}

/// Answers as the oracle, and valid pfns of backed sections translate there and back to a record of their own.
fn agree<L: Memmap>(layout: &L, oracle: &Oracle<L::Geometry>) -> Check {
    let reader = layout.reader();
    let probes = oracle.probes();
    oracle
        .compare(L::CAPS.validity, &reader, &probes)
        .map_err(|wrong| format!("pfn_valid({:#x}) should be {}", wrong.pfn.0, wrong.expected))?;
    for pfn in probes {
        let Some(page) = reader.valid_to_page(pfn) else { continue };
        if !layout.backed().contains(L::Geometry::section_nr(pfn.0)) {
            continue;
        }
        check!(page.is_of(pfn), "the record of {pfn} says {:?}", page.identity());
        // SAFETY: the page came from this reader for a valid pfn of a backed section.
        let back = unsafe { reader.page_to_pfn(page.into()) };
        check!(back == pfn, "page_to_pfn(pfn_to_page({:#x})) is {:#x}", pfn.0, back.0);
    }
    Ok(())
}

/// `next_valid_pfn` visits exactly the valid pfns of a stretch.
fn walk_agrees<L: Memmap>(layout: &L, from: u64, end: u64) -> Check {
    let reader = layout.reader();
    let mut at = from;
    for pfn in (from..end).filter(|&pfn| reader.pfn_valid(Pfn(pfn))) {
        let next = reader.next_valid_pfn(Pfn(at), Pfn(end));
        check!(next == Some(Pfn(pfn)), "the walk from {at:#x} finds {next:?}, not {pfn:#x}");
        at = pfn + 1;
    }
    let rest = reader.next_valid_pfn(Pfn(at), Pfn(end));
    check!(rest.is_none(), "the walk from {at:#x} finds {rest:?} where nothing is");
    Ok(())
}

fn empty_machine_knows_no_page<L: Memmap>() -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let before = layout.footprint();
    let reader = layout.reader();
    for pfn in [0, L::Geometry::NR_PFNS - 1, L::Geometry::NR_PFNS, 1 << 52, u64::MAX] {
        check!(!reader.pfn_valid(Pfn(pfn)), "pfn_valid({pfn:#x}) on a machine without memory");
    }
    check!(reader.next_valid_pfn(Pfn(0), Pfn(u64::MAX)).is_none(), "the walk finds a page");
    check!(layout.footprint() == before, "asking took memory");
    Ok(())
}

fn boot_map_is_answered_as_by_the_oracle<L: Memmap>() -> Check {
    let map = small_machine();
    let layout = boot::<L>(&map)?;
    agree(&layout, &Oracle::boot(&map))?;
    walk_agrees(&layout, 0, 4 * L::Geometry::PAGES_PER_SECTION)?;
    walk_agrees(&layout, 0x27ff, 0x6a70)
}

fn memory_beyond_the_space_does_not_boot<L: Memmap>() -> Check {
    let top = L::Geometry::NR_PFNS;
    let Err(error) = L::boot(&boot_map(&[(top - 512, top + 512)]), &Config::default(), RecordStore::unlimited()) else {
        return Err("booted with memory beyond the physical space".into());
    };
    check!(error.to_string().contains("beyond the physical space"), "{error}");
    Ok(())
}

fn only_backed_sections_take_memory<L: Memmap>() -> Check {
    let map = small_machine();
    let store = RecordStore { backed: BackedSections::only([1]), ..RecordStore::unlimited() };
    let budget = store.budget.clone();
    let layout = boot_with::<L>(&map, store)?;
    agree(&layout, &Oracle::boot(&map))?;
    let records = layout.footprint().ram_record_bytes;
    check!(records > 0 && records <= 2 << 20, "one section is backed, {records} bytes are");
    check!(budget.used() == records, "the budget counts {} bytes, the footprint {records}", budget.used());
    drop(layout);
    check!(budget.used() == 0, "{} bytes are not given back", budget.used());
    Ok(())
}

fn added_memory_appears_and_disappears<L: Hotplug + Inspect>() -> Check {
    let map = small_machine();
    let layout = boot::<L>(&map)?;
    let mut oracle = Oracle::boot(&map);
    let unit = granule::<L>();
    let start = L::Geometry::section_start(8);
    let empty = Accounting { roots: 0, ..layout.accounting() };
    // Alone in its section; then neighbours before and after it, across section borders.
    let ranges = [range(start, unit), range(start + 2 * unit, 70 * unit), range(start - unit, unit)];
    for range in ranges {
        add(&layout, range).map_err(|e| e.to_string())?;
        oracle.add(range);
        agree(&layout, &oracle)?;
    }
    let on_device = layout.footprint().device_record_bytes > 0;
    check!(on_device == L::CAPS.records_on_device, "records are not where they were asked for");
    walk_agrees(&layout, start - unit - 1, start + 3 * unit)?;
    for range in ranges {
        remove(&layout, range).map_err(|e| e.to_string())?;
        oracle.remove(range);
        agree(&layout, &oracle)?;
    }
    let after = Accounting { roots: 0, ..layout.accounting() };
    check!(after == empty, "left behind: {after:?}, before: {empty:?}");
    Ok(())
}

fn refusals_change_nothing<L: Hotplug + Inspect>() -> Check {
    let layout = boot::<L>(&small_machine())?;
    let (unit, top) = (granule::<L>(), L::Geometry::NR_PFNS);
    let start = L::Geometry::section_start(16);
    add(&layout, range(start, unit)).map_err(|e| e.to_string())?;
    let before = layout.digest();
    let (einval, eexist, erange) = (22, 17, 34);
    let adds = [
        (range(start + unit, 0), einval),
        (range(start + unit + 1, unit), einval),
        (range(start + unit, unit + 1), einval),
        (range(start + unit, unit / 2), einval),
        (range(start, unit), eexist),
        (range(start - unit, 3 * unit), eexist),
        (range(0, unit), eexist),
        (range(top - unit, 2 * unit), erange),
        (range(top, unit), erange),
        (range(u64::MAX - 2 * unit + 1, unit), erange),
        (range(u64::MAX - 1, 1), erange),
    ];
    for (range, errno) in adds {
        // Without an altmap: the range is refused whatever its records would lie on.
        let Err(error) = layout.add(range, &AddParams::default(), &mut ()) else {
            return Err(format!("{range} was added"));
        };
        check!(error.errno() == errno, "adding {range}: errno {} ({error}), not {errno}", error.errno());
        check!(layout.digest() == before, "adding {range} was refused and changed something");
    }
    let removes = [
        range(start, 0),
        range(start + 1, unit),
        range(start, 2 * unit),
        range(start + unit, unit),
        range(top, unit),
        range(u64::MAX - 1, 1),
    ];
    for range in removes {
        let Err(error) = remove(&layout, range) else { return Err(format!("{range} was removed")) };
        let errno = error.errno();
        check!([einval, erange].contains(&errno), "removing {range}: errno {errno} ({error})");
        check!(layout.digest() == before, "removing {range} was refused and changed something");
    }
    // Nor the records.
    let mut oracle = Oracle::boot(&small_machine());
    oracle.add(range(start, unit));
    agree(&layout, &oracle)
}

fn a_reader_holds_up_removal_and_its_own_thread_is_told<L: Hotplug + Inspect>() -> Check {
    let layout = boot::<L>(&small_machine())?;
    let added = range(L::Geometry::section_start(16), granule::<L>());
    add(&layout, added).map_err(|e| e.to_string())?;
    let before = layout.digest();
    let reader = layout.reader();
    let errors = [remove(&layout, added).map_err(|e| e.errno()), layout.synchronize().map_err(|e| e.errno())];
    check!(errors == [Err(35), Err(35)], "with a reader on this thread: {errors:?}, not EDEADLK");
    check!(layout.digest() == before, "a refused removal changed something");
    drop(reader);
    writers_under_a_waiting_removal_are_told(&layout, added)?;
    add(&layout, added).map_err(|e| e.to_string())?;
    std::thread::scope(|scope| {
        let reader = layout.reader();
        let page = reader.valid_to_page(Pfn(added.start())).ok_or("the page is gone")?;
        let remover = scope.spawn(|| remove(&layout, added).map_err(|e| e.to_string()));
        // The bits go at once, the memory stays as long as the reader does.
        while reader.pfn_valid(Pfn(added.start())) && !remover.is_finished() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
        let alive = page.is_of(Pfn(added.start())) && !remover.is_finished();
        drop(reader);
        remover.join().map_err(|_| "the remover panicked".to_owned())??;
        check!(alive, "the record went while its reader lived");
        Ok(())
    })?;
    check!(!layout.reader().pfn_valid(Pfn(added.start())), "still valid after removal");
    layout.synchronize().map_err(|e| e.to_string())
}

/// While another thread's removal waits for our reader, we may look, but changing anything would wait for ourselves.
fn writers_under_a_waiting_removal_are_told<L: Hotplug + Inspect>(layout: &L, added: PfnRange) -> Check {
    std::thread::scope(|scope| {
        let reader = layout.reader();
        let remover = scope.spawn(|| remove(layout, added).map_err(|e| e.to_string()));
        while reader.pfn_valid(Pfn(added.start())) && !remover.is_finished() {
            std::thread::yield_now();
        }
        let elsewhere = range(added.end(), added.nr_pages());
        let adding = layout.add(elsewhere, &AddParams::default(), &mut ()).map_err(|e| e.errno());
        let waiting = layout.synchronize().map_err(|e| e.errno());
        layout.digest();
        drop(reader);
        remover.join().map_err(|_| "the remover panicked".to_owned())??;
        check!((adding, waiting) == (Err(35), Err(35)), "{adding:?} and {waiting:?}, not EDEADLK");
        Ok(())
    })
}

fn every_life_of_a_record_is_new<L: Hotplug + Inspect>() -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let added = range(L::Geometry::section_start(3), granule::<L>());
    let mut lives = Vec::new();
    for _ in 0..4 {
        add(&layout, added).map_err(|e| e.to_string())?;
        let reader = layout.reader();
        for pfn in added.start()..added.end() {
            let page = reader.valid_to_page(Pfn(pfn)).ok_or_else(|| format!("{pfn:#x} is not there"))?;
            check!(page.is_of(Pfn(pfn)), "the record of {pfn:#x} says {:?}", page.identity());
        }
        lives.extend(reader.valid_to_page(Pfn(added.start())).map(|page| page.identity().1));
        drop(reader);
        remove(&layout, added).map_err(|e| e.to_string())?;
    }
    lives.dedup();
    check!(lives.len() == 4, "lives {lives:?}");
    Ok(())
}

fn what_cannot_be_backed_is_not_half_added<L: Hotplug + Inspect>() -> Check {
    let budget = RecordBudget::new(5 << 20);
    let layout = boot_with::<L>(&BootMap::default(), RecordStore { budget, ..RecordStore::unlimited() })?;
    let before = layout.digest();
    // Records of 6 MiB: the third section finds no room.
    let three = range(L::Geometry::section_start(40), 3 * L::Geometry::PAGES_PER_SECTION);
    let Err(error) = add(&layout, three) else { return Err("added beyond the limit".into()) };
    check!(error.errno() == 12 && error.to_string().contains("limit of 5 MiB"), "{error}");
    check!(layout.digest() == before, "a failed addition left something behind");
    agree(&layout, &Oracle::boot(&BootMap::default()))?;
    let two = range(three.start(), 2 * L::Geometry::PAGES_PER_SECTION);
    add(&layout, two).map_err(|e| format!("after a failed addition: {e}"))
}

/// Random additions and removals, checked against the oracle after each.
pub fn random_operations_agree_with_the_oracle<L: Hotplug + Inspect>(operations: u64, seed: u64) -> Check {
    let map = small_machine();
    let layout = boot::<L>(&map)?;
    let mut oracle = Oracle::<L::Geometry>::boot(&map);
    let booted = layout.accounting();
    let unit = granule::<L>();
    let per_section = L::Geometry::PAGES_PER_SECTION / unit;
    // From the last boot section on, so that early sections are extended and emptied too. Whole sections of which boot
    // memory fills a part are one thing to a layout without sub-sections and another to the oracle.
    let base = L::Geometry::section_start(if per_section > 1 { 1 } else { 2 });
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut there: Vec<PfnRange> = Vec::new();
    for step in 0..operations {
        let nr = if rng.random_ratio(1, 50) { rng.random_range(1..=per_section + 2) } else { rng.random_range(1..=4) };
        let range = range(base + rng.random_range(0..4 * per_section.max(4)) * unit, nr * unit);
        let (done, expected) = if rng.random_bool(0.5) {
            let done = add(&layout, range);
            let expected = oracle.add(range);
            there.extend(expected.then_some(range));
            (done, expected)
        } else if !there.is_empty() && rng.random_bool(0.7) {
            let range = there.swap_remove(rng.random_range(0..there.len()));
            let expected = oracle.remove(range);
            (remove(&layout, range), expected)
        } else {
            let expected = oracle.remove(range);
            (remove(&layout, range), expected)
        };
        check!(done.is_ok() == expected, "step {step}, {range}: {done:?}, the oracle says {expected}");
        let errno = done.map_or_else(|error| error.errno(), |()| 0);
        check!([0, 17, 22].contains(&errno), "step {step}, {range}: errno {errno}");
        let reader = layout.reader();
        for edge in [range.start(), range.end()] {
            for pfn in [edge - 1, edge, edge + 1] {
                let valid = oracle.pfn_valid(L::CAPS.validity, Pfn(pfn));
                check!(reader.pfn_valid(Pfn(pfn)) == valid, "step {step}: pfn_valid({pfn:#x}) should be {valid}");
                if let Some(page) = reader.valid_to_page(Pfn(pfn)) {
                    check!(page.is_of(Pfn(pfn)), "step {step}: the record of {pfn:#x} says {:?}", page.identity());
                }
            }
        }
        drop(reader);
        if step % 1000 == 0 {
            agree(&layout, &oracle)?;
        }
    }
    let left = base..base + (4 * per_section.max(4) + per_section + 2) * unit;
    for granule in (left.start..left.end).step_by(unit as usize) {
        let part = range(granule, unit);
        if oracle.remove(part) {
            remove(&layout, part).map_err(|e| e.to_string())?;
        }
    }
    agree(&layout, &oracle)?;
    let after = layout.accounting();
    check!(
        (after.heap_usages, after.device_record_bytes) == (0, 0) && after.ram_record_bytes <= booted.ram_record_bytes,
        "after all was removed: {after:?}, at boot {booted:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::X86_64;

    #[test]
    fn every_layout_conforms() {
        let runs = run_all::<X86_64>();
        let failed: Vec<_> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let skipped = runs.iter().filter(|run| matches!(run.outcome, Outcome::Skipped(_)));
        println!(
            "{} cases skipped: {}",
            skipped.clone().count(),
            skipped.map(|run| run.layout).collect::<Vec<_>>().join(" ")
        );
        assert!(runs.iter().filter(|run| run.outcome == Outcome::Passed).count() >= 30);
    }
}
