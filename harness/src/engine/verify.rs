//! Verifies layouts on a map and with the conformance suite; nothing is timed.

use crate::engine::contestant::{Contestant, Entry, HotplugContestant, device_on_tmpfs};
use crate::engine::layouts::{conformance_runs, entries, entries_and_named, is_built_in};
use crate::engine::probe::hotplug::HotplugProbeError;
use crate::interrupt::{Interrupt, Interrupted};
use crate::map::PhysicalMap;
use memmap_layouts::backing::{DaxDevice, DaxError, RamBacking};
use memmap_layouts::conformance::{self, FoilVerdict, Outcome};
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    Arm64Pages4K, BackedSections, BootError, ByteSize, Config, Geometry, HotplugError, PfnRange, RecordBudget,
    RecordStore, X86_64, X86_64La57,
};
use serde::Serialize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use thiserror::Error;

/// Sections that have records while a map is verified: enough to check records, few enough for any
/// machine.
const BACKED_SECTIONS: usize = 24;

/// The result of one layout on one map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum MapOutcome {
    /// Every answer agreed with the oracle.
    Agrees {
        /// Number of ranges that were hot-added and removed again.
        hot_added: usize,
    },
    /// A machine with this map has too little memory for the layout's records.
    WouldNotBoot {
        /// Bytes of records that the layout needs.
        need_bytes: u64,
        /// Bytes of memory in the map.
        have_bytes: u64,
    },
    /// The layout does not support the requested backing.
    NotOffered {
        /// The reason, as a sentence without a full stop.
        reason: String,
    },
    /// The layout gave a wrong answer, or did not boot.
    Failed {
        /// The first wrong answer, or the error.
        reason: String,
    },
}

/// The result of one layout on one map.
#[derive(Clone, Debug, Serialize)]
pub struct MapCheck {
    /// Name of the map, e.g. `this-machine`.
    pub map: String,
    /// Name of the architecture that was chosen for the map.
    pub geometry: &'static str,
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
    /// Whether the layout's answers agree with the oracle, or why it was not checked.
    #[serde(flatten)]
    pub outcome: MapOutcome,
}

/// The results of the conformance suite for one layout.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CaseCheck {
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
    /// Numbered cases that passed, e.g. `T-14`.
    pub run: Vec<&'static str>,
    /// Numbered cases that do not apply, with the reason.
    pub skipped: Vec<Skipped>,
    /// Cases that failed, with the reason.
    pub failed: Vec<Failed>,
    /// Checks beyond the numbered cases.
    pub beyond: Beyond,
}

/// Conformance checks without a number.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Beyond {
    /// Names of the checks that passed.
    pub run: Vec<&'static str>,
    /// Checks that do not apply, with the reason.
    pub skipped: Vec<Skipped>,
}

/// A case that does not apply.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// Id of the conformance case, e.g. `T-14`.
    pub case: &'static str,
    /// The reason, as a sentence without a full stop.
    pub reason: &'static str,
}

/// A case that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failed {
    /// Id of the conformance case, e.g. `T-14`.
    pub case: &'static str,
    /// Name of the test.
    pub name: &'static str,
    /// The message of the failure.
    pub reason: String,
}

/// The results of the suite on the patch series as posted, whose known bugs it must find.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FoilCheck {
    /// Cases that fail as expected, with the bug that each one finds.
    pub fails_as_it_must: Vec<FoilFailure>,
    /// Cases that pass as expected.
    pub passes: Vec<&'static str>,
    /// Cases whose result differs from the expected one.
    pub unexpected: Vec<FoilFailure>,
}

/// A case on the series as posted.
#[derive(Clone, Debug, Serialize)]
pub struct FoilFailure {
    /// Id of the conformance case, e.g. `T-14`.
    pub case: &'static str,
    /// The bug that the case finds; `None` if the result is unexpected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
    /// The message of the failure.
    pub found: String,
}

/// Why verification could not be carried out.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The user asked to stop. Not `transparent`, so that the cause can be found in the error
    /// chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// The map has memory beyond every architecture's address space, or ranges that overlap.
    #[error("map {map}: {source}")]
    Map {
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// Why no layout can boot on the map.
        source: BootError,
    },
    /// No device for the records of added memory could be created.
    #[error(transparent)]
    Device(#[from] DaxError),
    /// The system refused address space or memory to a built-in layout; this says nothing about the
    /// layout.
    #[error("{layout}: {source}")]
    Machine {
        /// Id of the layout, e.g. `subsection`.
        layout: &'static str,
        /// Why the layout did not boot.
        source: BootError,
    },
}

/// Conformance cases whose failure makes published figures wrong, and which a comparison with the
/// oracle does not cover. `record_addresses` comes first, since the others use the records.
const CASES_BEFORE_A_RACE: [&str; 5] =
    ["record_addresses", "boot_records", "footprint", "footprint_added", "hotplug_traits"];

/// Runs the conformance suite on every layout; one result for each layout.
pub fn conformance() -> Vec<CaseCheck> {
    checks(conformance_runs(&|_, _| true))
}

/// Runs the conformance cases of a race on the layouts whose ids are `wanted`: the addresses and
/// contents of boot records, and the footprint. Takes some 10 ms per layout.
pub fn before_a_race(wanted: &dyn Fn(&str) -> bool) -> Vec<CaseCheck> {
    // Without a tmpfs, no layout can be asked to put records on a device.
    let has_tmpfs = DaxDevice::on_tmpfs(Path::new(DEFAULT_TMPFS), 1 << 20).is_ok();
    let is_possible = |case: &str| has_tmpfs || case != "footprint_added";
    checks(conformance_runs(&|layout, case| wanted(layout) && CASES_BEFORE_A_RACE.contains(&case) && is_possible(case)))
}

fn checks(runs: Vec<conformance::Run>) -> Vec<CaseCheck> {
    let mut checks: Vec<CaseCheck> = Vec::new();
    for run in runs {
        if checks.last().is_none_or(|check| check.layout != run.layout) {
            checks.push(CaseCheck { layout: run.layout, ..CaseCheck::default() });
        }
        let check = checks.last_mut().expect("pushed above");
        let (passed, skipped) = match run.is_numbered() {
            true => (&mut check.run, &mut check.skipped),
            false => (&mut check.beyond.run, &mut check.beyond.skipped),
        };
        match run.outcome {
            Outcome::Passed => passed.push(run.case),
            Outcome::Skipped(reason) => skipped.push(Skipped { case: run.case, reason }),
            Outcome::Failed(reason) => check.failed.push(Failed { case: run.case, name: run.name, reason }),
        }
    }
    checks
}

/// Runs the conformance suite on the patch series as posted, whose known bugs it must find.
pub fn foil() -> FoilCheck {
    let mut check = FoilCheck::default();
    for conformance::FoilRun { case, verdict } in conformance::run_foil() {
        match verdict {
            FoilVerdict::FailsAsItMust { rule, found } => {
                check.fails_as_it_must.push(FoilFailure { case, rule: Some(rule), found });
            }
            FoilVerdict::Passes => check.passes.push(case),
            FoilVerdict::Skipped(_) => {}
            FoilVerdict::Unexpected(found) => check.unexpected.push(FoilFailure { case, rule: None, found }),
        }
    }
    check
}

impl CaseCheck {
    /// Cases that do not apply, grouped by reason.
    pub fn skipped_by_reason(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
        for skipped in &self.skipped {
            match by_reason.iter_mut().find(|(reason, _)| *reason == skipped.reason) {
                Some((_, cases)) => cases.push(skipped.case),
                None => by_reason.push((skipped.reason, vec![skipped.case])),
            }
        }
        by_reason
    }
}

/// Verifies the layouts with the ids in `layouts` on a map, or all layouts if it is empty. Each
/// layout boots, the hot-added ranges of the map are added one by one, and then all are removed.
/// Then a window above the map is added and removed, so that hotplug is verified on every map. The
/// answers are compared with the oracle after each step. Only one layout exists at a time.
///
/// The architecture is the first whose physical address space holds the map: x86-64 (46 bits),
/// arm64 (48), x86-64 with 5 levels (52).
///
/// # Errors
/// [`VerifyError`]; wrong answers are results, not errors.
pub fn on_map(
    map: &PhysicalMap,
    layouts: &[String],
    backing: &RamBacking,
    interrupt: &Interrupt,
) -> Result<Vec<MapCheck>, VerifyError> {
    match width(map) {
        ..=46 => on_map_as::<X86_64>(map, layouts, backing, interrupt),
        47..=48 => on_map_as::<Arm64Pages4K>(map, layouts, backing, interrupt),
        _ => on_map_as::<X86_64La57>(map, layouts, backing, interrupt),
    }
}

/// A note for maps that exceed the 46 bits of x86-64 with 4 levels, since a map does not name its
/// architecture.
pub fn architecture_note(map: &PhysicalMap) -> Option<String> {
    let (taken, bits) = match width(map) {
        ..=46 => return None,
        47..=48 => (Arm64Pages4K::ID, Arm64Pages4K::MAX_PHYSMEM_BITS),
        _ => (X86_64La57::ID, X86_64La57::MAX_PHYSMEM_BITS),
    };
    Some(format!(
        "map {} exceeds the 46 physical address bits of {}; it is verified with the layouts of {taken} ({bits} bits)",
        map.name,
        X86_64::ID
    ))
}

/// Number of bits of the highest address of a map.
pub fn width(map: &PhysicalMap) -> u32 {
    map.end().saturating_sub(1).checked_ilog2().map_or(1, |bit| bit + 1)
}

fn on_map_as<G: Geometry>(
    map: &PhysicalMap,
    layouts: &[String],
    backing: &RamBacking,
    interrupt: &Interrupt,
) -> Result<Vec<MapCheck>, VerifyError> {
    let mut checks = Vec::new();
    let is_asked_for = |entry: &Entry<G>| layouts.is_empty() || layouts.iter().any(|id| id == entry.id);
    let all = if layouts.is_empty() { entries::<G>() } else { entries_and_named::<G>() };
    for entry in all.into_iter().filter(is_asked_for) {
        interrupt.check()?;
        let outcome = match entry.refuses(backing) {
            Some(reason) => MapOutcome::NotOffered { reason },
            // A layout of another crate may panic. It has then failed, and the others are verified.
            None => match catch_unwind(AssertUnwindSafe(|| layout_on_map(&entry, map, backing, interrupt))) {
                Ok(outcome) => outcome?,
                Err(panic) => MapOutcome::Failed {
                    reason: format!("the layout panicked: {}", conformance::panic_message(&*panic)),
                },
            },
        };
        checks.push(MapCheck { map: map.name.clone(), geometry: G::ID, layout: entry.id, outcome });
    }
    Ok(checks)
}

fn layout_on_map<G: Geometry>(
    entry: &Entry<G>,
    map: &PhysicalMap,
    backing: &RamBacking,
    interrupt: &Interrupt,
) -> Result<MapOutcome, VerifyError> {
    let of_map = |source| VerifyError::Map { map: map.name.clone(), source };
    let failed = |reason: String| Ok(MapOutcome::Failed { reason });
    let boot = map.boot_map().map_err(of_map)?;
    boot.check::<G>().map_err(of_map)?;
    let granule = entry.caps.hotplug_granule_pages;
    let added: Vec<PfnRange> = map.added().into_iter().filter_map(|range| range.round_in(granule?)).collect();
    let above = window_above::<G>(map, granule.unwrap_or(G::PAGES_PER_SECTION));
    let edges: Vec<PfnRange> = above.into_iter().chain(added.iter().copied()).collect();
    let store = RecordStore {
        backing: backing.clone(),
        budget: RecordBudget::new(u64::MAX),
        backed: sample::<G>(boot.sections::<G>().into_iter().map(|(nr, _)| nr).collect(), &edges),
        ..RecordStore::unlimited()
    };
    let layout = match entry.boot(&boot, &Config::default(), store) {
        Ok(layout) => layout,
        Err(BootError::WouldNotBoot { need_bytes, have_bytes }) => {
            return Ok(MapOutcome::WouldNotBoot { need_bytes, have_bytes });
        }
        Err(source @ BootError::Vmem(_)) if is_built_in(entry.id) => {
            return Err(VerifyError::Machine { layout: entry.id, source });
        }
        Err(error) => return failed(format!("did not boot: {error}")),
    };
    let mut oracle = Oracle::<G>::boot(&boot);
    if let Err(wrong) = layout.agree(&oracle) {
        return failed(format!("after boot: {wrong}"));
    }
    let hot_added = match add_and_remove(&*layout, &mut oracle, &added, backing, interrupt)? {
        Ok(hot_added) => hot_added,
        Err(reason) => return failed(reason),
    };
    interrupt.check()?;
    match above.map_or(Ok(()), |window| add_and_remove_above(&*layout, &mut oracle, window, backing)) {
        Ok(()) => Ok(MapOutcome::Agrees { hot_added }),
        Err(reason) => failed(reason),
    }
}

/// A section and a granule above all memory of the map; `None` if the physical address space has no
/// room for them.
fn window_above<G: Geometry>(map: &PhysicalMap, granule: u64) -> Option<PfnRange> {
    let start = map.end().div_ceil(1 << G::SECTION_SIZE_BITS);
    let end = start.checked_add(1 + granule.div_ceil(G::PAGES_PER_SECTION))?;
    let has_room = end <= G::NR_MEM_SECTIONS;
    PfnRange::from_len(G::section_start(start), G::PAGES_PER_SECTION + granule).filter(|_| has_room)
}

/// Adds a window above the map and removes it again. Memory that the system refuses says nothing
/// about a built-in layout: the race reports it.
///
/// # Errors
/// The first wrong answer, or the layout's error.
fn add_and_remove_above<G: Geometry>(
    layout: &dyn Contestant<G>,
    oracle: &mut Oracle<G>,
    window: PfnRange,
    backing: &RamBacking,
) -> Result<(), String> {
    let Some(hotplug) = layout.hotplug() else { return Ok(()) };
    let device = match layout.caps().records_on_device.any() {
        true => match device_on_tmpfs::<G>(tmpfs_dir(backing), window) {
            Ok(device) => Some(device),
            Err(_) => return Ok(()),
        },
        false => None,
    };
    let before = hotplug.digest();
    match hotplug.add_window(window, device.as_ref()) {
        Ok(()) => {}
        Err(HotplugProbeError::Device(_)) => return Ok(()),
        Err(HotplugProbeError::Hotplug(HotplugError::Vmem { .. })) if is_built_in(layout.id()) => return Ok(()),
        Err(error) => return Err(format!("{window} was not added: {error}")),
    }
    oracle.add(window);
    layout.agree(oracle).map_err(|wrong| format!("after adding {window}: {wrong}"))?;
    hotplug.remove_window(window).map_err(|error| format!("{window} was not removed: {error}"))?;
    oracle.remove(window);
    layout.agree(oracle).map_err(|wrong| format!("after removal: {wrong}"))?;
    match hotplug.digest() == before {
        true => Ok(()),
        false => Err(CHANGED.to_owned()),
    }
}

/// What a layout has done whose state differs after an addition and its removal.
const CHANGED: &str = "the tables after removal differ from those before the addition";

/// Adds the ranges one by one, then removes them, twice. Returns the number of ranges, or the first
/// error.
fn add_and_remove<G: Geometry>(
    layout: &dyn Contestant<G>,
    oracle: &mut Oracle<G>,
    added: &[PfnRange],
    backing: &RamBacking,
    interrupt: &Interrupt,
) -> Result<Result<usize, String>, VerifyError> {
    let Some(hotplug) = layout.hotplug() else { return Ok(Ok(0)) };
    let before = hotplug.digest();
    let first = add_and_remove_once(layout, hotplug, oracle, added, backing, interrupt)?;
    if first.is_err() || hotplug.digest() == before {
        return Ok(first);
    }
    // A boot section remembers that it held a device (the taint, until the section is empty).
    // Therefore only the first round may change the state, and the second must not.
    let marked = hotplug.digest();
    let second = add_and_remove_once(layout, hotplug, oracle, added, backing, interrupt)?;
    if second.is_ok() && hotplug.digest() != marked {
        return Ok(Err(CHANGED.to_owned()));
    }
    Ok(second)
}

/// One round of additions and removals. Returns the number of ranges that were added, or the first
/// wrong answer.
fn add_and_remove_once<G: Geometry>(
    layout: &dyn Contestant<G>,
    hotplug: &dyn HotplugContestant,
    oracle: &mut Oracle<G>,
    added: &[PfnRange],
    backing: &RamBacking,
    interrupt: &Interrupt,
) -> Result<Result<usize, String>, VerifyError> {
    let mut there = Vec::new();
    for &range in added {
        interrupt.check()?;
        // Each range has its own device: the altmaps of two ranges must not share blocks.
        let device = match layout.caps().records_on_device.any() {
            true => Some(device_on_tmpfs::<G>(tmpfs_dir(backing), range)?),
            false => None,
        };
        // The layout and the oracle refuse a range that shares a granule with boot memory or with
        // another range: a classic section belongs to its first user.
        let free = oracle.clone().add(range)
            && layout.caps().hotplug_granule_pages.is_none_or(|pages| !oracle.any_active(range.round_out(pages)));
        match (hotplug.add_window(range, device.as_ref()), free) {
            (Ok(()), true) => {
                oracle.add(range);
                there.push(range);
            }
            (Err(_), false) => {}
            (Ok(()), false) => {
                return Ok(Err(format!("{range} was added although it shares a granule with present memory")));
            }
            (Err(error), true) => return Ok(Err(format!("{range} was not added: {error}"))),
        }
        if let Err(wrong) = layout.agree(oracle) {
            return Ok(Err(format!("after adding {range}: {wrong}")));
        }
    }
    for &range in &there {
        interrupt.check()?;
        if let Err(error) = hotplug.remove_window(range) {
            return Ok(Err(format!("{range} was not removed: {error}")));
        }
        oracle.remove(range);
    }
    if let Err(wrong) = layout.agree(oracle) {
        return Ok(Err(format!("after removal: {wrong}")));
    }
    Ok(Ok(there.len()))
}

/// The tmpfs folder if the backing names none.
const DEFAULT_TMPFS: &str = "/dev/shm";

/// The tmpfs folder for files that replace devices.
pub fn tmpfs_dir(backing: &RamBacking) -> &Path {
    match backing {
        RamBacking::Tmpfs(dir) | RamBacking::TmpfsHuge(dir) => dir,
        RamBacking::Anon | RamBacking::Linux | RamBacking::Thp | RamBacking::Hugetlb | RamBacking::File(_) => {
            Path::new(DEFAULT_TMPFS)
        }
    }
}

/// A sample of sections: those at the edges, where errors in records are likely, and others at even
/// distances.
fn sample<G: Geometry>(mut sections: Vec<u64>, added: &[PfnRange]) -> BackedSections {
    for range in added {
        sections.extend(G::section_nr(range.start())..=G::section_nr(range.end() - 1));
    }
    sections.sort_unstable();
    sections.dedup();
    let edges = added.iter().take(8).flat_map(|range| [G::section_nr(range.start()), G::section_nr(range.end() - 1)]);
    let step = (sections.len() / BACKED_SECTIONS).max(1);
    let spread = sections.iter().copied().step_by(step).chain(sections.last().copied());
    BackedSections::only(spread.chain(edges))
}

impl MapOutcome {
    /// The check as one line of text.
    pub fn describe(&self) -> String {
        match self {
            Self::Agrees { hot_added: 0 } => "agrees with the oracle".to_owned(),
            Self::Agrees { hot_added } => format!("agrees with the oracle; ranges hot-added and removed: {hot_added}"),
            Self::WouldNotBoot { need_bytes, have_bytes } => {
                format!(
                    "would not boot: the records take {}, and the machine has {}",
                    ByteSize(*need_bytes),
                    ByteSize(*have_bytes)
                )
            }
            Self::NotOffered { reason } => format!("not offered: {reason}"),
            Self::Failed { reason } => format!("FAILED: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{builtin, read};

    fn outcomes(map: &PhysicalMap) -> Vec<(&'static str, MapOutcome)> {
        let checks = on_map(map, &[], &RamBacking::Anon, &Interrupt::default()).unwrap();
        checks.into_iter().map(|check| (check.layout, check.outcome)).collect()
    }

    /// A flat array over the span needs records for holes too. Where they exceed the machine's
    /// memory, the layout must report that.
    #[test]
    fn every_layout_agrees_on_the_built_in_maps() {
        let mut would_not_boot = 0;
        for name in builtin::names() {
            let map = builtin::by_name(name).unwrap();
            let boot_end = map.boot_map().unwrap().end_pfn();
            let too_sparse = boot_end * 64 > map.ram_bytes();
            for (layout, outcome) in outcomes(&map) {
                match outcome {
                    MapOutcome::WouldNotBoot { .. } if layout == "flat" && too_sparse => would_not_boot += 1,
                    outcome => {
                        assert!(matches!(outcome, MapOutcome::Agrees { .. }), "{layout} on {name}: {outcome:?}");
                        assert!(layout != "flat" || !too_sparse, "{name}");
                    }
                }
            }
        }
        assert!(would_not_boot >= 4, "{would_not_boot}");
    }

    #[test]
    fn devices_that_share_a_section_are_added_where_supported() {
        let text = "100000000-607bffffff : System RAM\n607c000000-9f7bffffff : Persistent Memory\n\
                    9f7c000000-de7bffffff : Persistent Memory\n";
        let agrees = |hot_added| MapOutcome::Agrees { hot_added };
        let map = read("two-devices", "test", text).unwrap();
        let outcomes = outcomes(&map);
        for (layout, added) in [("flat", 0), ("sparse", 2), ("subsection", 2), ("dax", 2)] {
            assert!(outcomes.contains(&(layout, agrees(added))), "{layout}: {outcomes:?}");
        }
    }

    #[test]
    fn wide_maps_use_a_wider_architecture() {
        let map = read("wide", "test", "400000000000-40003fffffff : System RAM\n").unwrap();
        let checks = on_map(&map, &[], &RamBacking::Anon, &Interrupt::default()).unwrap();
        assert!(checks.iter().all(|check| check.geometry == "arm64-4k"));
        let need = (1u64 << 40) + (16 << 20);
        let flat = |check: &&MapCheck| check.layout == "flat";
        let refused = |checks: &[MapCheck]| checks.iter().find(flat).map(|check| check.outcome.clone());
        assert!(matches!(refused(&checks), Some(MapOutcome::WouldNotBoot { need_bytes, .. }) if need_bytes == need));
        let others_agree = |checks: &[MapCheck]| {
            let others = checks.iter().filter(|check| !matches!(check.outcome, MapOutcome::WouldNotBoot { .. }));
            others.clone().count() >= 3
                && others.clone().all(|check| matches!(check.outcome, MapOutcome::Agrees { .. }))
        };
        assert!(others_agree(&checks), "{checks:?}");
        let map = read("wider", "test", "8000000000000-800003fffffff : System RAM\n").unwrap();
        let checks = on_map(&map, &[], &RamBacking::Anon, &Interrupt::default()).unwrap();
        assert!(checks.iter().all(|check| check.geometry == "x86-64-la57"));
        assert!(others_agree(&checks), "{checks:?}");
    }

    #[test]
    fn an_empty_map_agrees() {
        let (name, origin) = ("empty".to_owned(), "test".to_owned());
        let map = PhysicalMap { name, origin, ranges: Vec::new(), warnings: Vec::new() };
        assert!(outcomes(&map).iter().all(|(_, outcome)| matches!(outcome, MapOutcome::Agrees { .. })));
    }
}
