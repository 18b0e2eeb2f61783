//! The schedule of a run: which work on which map, in how many processes. It is stored in the run
//! folder, so that a stopped run can be resumed.
//!
//! Several processes measure lookups; a later process measures everything else. A time limit is
//! divided among the processes. The remaining time goes to additional processes for the lookups
//! with the widest intervals.

use crate::case::{
    Filter, LookupCase, LookupOp, REFERENCE, SelectsNothing, THIS_MACHINE, Tables, hotplug_cases, layouts, on_map,
    own_cost_name,
};
use crate::engine::conditions::Conditions;
use crate::engine::job::Job;
use crate::engine::process::{self, JobError};
use crate::map::PhysicalMap;
use crate::map::source::{Source, SourceError};
use crate::record::environment::Environment;
use crate::record::examination::Examination;
use crate::record::files::SCHEDULE;
use crate::workload::tier::{Effort, Tier};
use crate::workload::work::Work;
use crate::workload::{self, Expectation, LookupWork, Workload, lookup_cases, source_of};
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{Validity, X86_64};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};
use thiserror::Error;

/// A map, and the work that is measured on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapWork {
    /// The physical memory map.
    pub map: PhysicalMap,
    /// The groups of cases to measure on this map.
    pub work: Work,
}

/// Everything that defines a run; stored in its folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Git commit of pfnbench.
    pub commit: String,
    /// A command line that repeats the run.
    pub command: String,
    /// Start of the run, in UTC.
    pub started: String,
    /// Processor, kernel and settings of the machine.
    pub environment: Environment,
    /// Result of `doctor` before the run.
    pub doctor_before: Examination,
    /// The tier, e.g. `smoke` or `full`, from which the defaults come.
    pub tier: Tier,
    /// Samples and durations for each kind of case.
    pub effort: Effort,
    /// Seed of every random choice.
    pub seed: u64,
    /// Least number of processes that measure lookups.
    pub processes: u32,
    /// Wall-clock time for measurements; processes are added while time is left. `None` for no
    /// limit.
    pub time_limit: Option<Duration>,
    /// Relative differences up to this are negligible, e.g. 0.02 for 2 %.
    pub margin: f64,
    /// What all processes of the run have in common.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// A unit that takes longer than this is abandoned.
    pub case_timeout: Duration,
    /// The maps with their work; the first is the main one.
    pub maps: Vec<MapWork>,
}

/// Why the schedule of a complete run cannot be used again.
#[derive(Debug, Error)]
pub enum RepeatError {
    /// The folder has no schedule.
    #[error(
        "{} cannot be read ({source}); runs of earlier versions have none: run the command in their manifest.json",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// Another version of this program wrote the schedule.
    #[error(
        "{} is not a schedule of this version of pfnbench ({source}); run the command in manifest.json, or the pfnbench \
         of the commit that it names",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The first thing that is missing or different.
        source: serde_json::Error,
    },
}

impl Schedule {
    /// Reads the schedule of a complete run.
    ///
    /// # Errors
    /// Returns a [`RepeatError`] if the folder has none, or one of another version.
    pub fn read(run: &Path) -> Result<Self, RepeatError> {
        let path = run.join(SCHEDULE);
        let text = fs::read(&path).map_err(|source| RepeatError::Unreadable { path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| RepeatError::Version { path, source })
    }

    /// The schedule as it is published with a run: without private paths. Maps are in the schedule, so that the names of
    /// their files are enough.
    pub fn published(&self) -> Self {
        let mut published = self.clone();
        published.conditions.backing = self.conditions.backing.without_private_path();
        let file_name = |map: &mut String| {
            if let Source::File(path) = source_of(map) {
                *map = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            }
        };
        for work in published.maps.iter_mut().map(|scheduled| &mut scheduled.work) {
            work.lookups.iter_mut().for_each(|lookups| file_name(&mut lookups.map));
            work.expect.iter_mut().for_each(|expectation| file_name(&mut expectation.map));
        }
        published
    }
}

/// The most processes of a run with a time limit.
pub const MOST_PROCESSES: u32 = 25;

/// The part of a map's work that a process measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Lookups; measured in several processes.
    Lookups,
    /// Work that is measured in one process: hotplug, readers, and with a time limit also lookups
    /// with cold tables.
    Rest,
}

/// One process on one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// Number of the process in the run, from 0.
    pub process: u32,
    /// Index of the map in the schedule.
    pub map: usize,
    /// The part of the map's work.
    pub scope: Scope,
}

/// Why a schedule could not be made.
#[derive(Debug, Error)]
pub enum ScheduleError {
    /// The filter selects no case.
    #[error(transparent)]
    Nothing(#[from] SelectsNothing),
    /// A map could not be read.
    #[error(transparent)]
    Map(#[from] SourceError),
    /// No layout supports the physical address width of a map.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A map has no boot memory. Holds its name.
    #[error("map {0} has no boot memory, so layouts cannot be raced on it; it needs a range of System RAM")]
    Empty(String),
    /// A workload expects an answer that the model contradicts.
    #[error(
        "workload {workload}: it expects pfn_valid({pfn:#x}) on {map} to be {expected} where {rule}, but the model \
         contradicts it"
    )]
    Expectation {
        /// Name of the workload.
        workload: String,
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// The pfn that was looked up.
        pfn: u64,
        /// The answer of `pfn_valid` that the workload expects.
        expected: bool,
        /// The rule of validity under which it is expected.
        rule: &'static str,
    },
}

/// The part of the workloads that the user selected.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The longest tier whose work is selected.
    pub tier: Tier,
    /// Lookup operations to measure; empty for all.
    pub ops: Vec<LookupOp>,
    /// Filter on the names of cases.
    pub filter: Filter,
    /// True to measure lookups with the preemption count around `pfn_valid`
    /// (`engine/probe/preempt.rs`).
    pub preempt: bool,
    /// A map that replaces this machine's and the workloads' maps.
    pub map: Option<Source>,
}

impl Wanted {
    /// The lookups that the user selected, before the filter is applied.
    fn lookups(&self, workloads: &[Workload]) -> Vec<LookupWork> {
        let works = workloads.iter().flat_map(|workload| workload.lookups.iter().cloned());
        let mut works: Vec<LookupWork> = works
            .filter(|work| work.tier <= self.tier)
            .filter(|work| self.ops.is_empty() || self.ops.contains(&work.group.op))
            .filter(|work| self.map.is_none() || work.map == THIS_MACHINE)
            .collect();
        for work in &mut works {
            work.group.preempt = self.preempt && work.group.op.bears_invalid();
        }
        merged(works)
    }

    /// True if the filter selects some case of the work.
    fn wants(&self, work: &LookupWork) -> bool {
        let wants = |case: &LookupCase| self.filter.wants(&on_map(&case.name(), &work.map));
        lookup_cases(std::slice::from_ref(work)).iter().any(wants)
    }

    /// The work other than lookups, on the main map.
    fn beside(&self, workloads: &[Workload]) -> Work {
        let mut work = workload::everything(workloads, Some(self.tier));
        let plugged: Vec<_> = layouts::<X86_64>();
        let plugged = || plugged.iter().filter(|entry| entry.caps.hotplug_granule_pages.is_some());
        let wants = |name: String| self.filter.wants(&name);
        work.lookups.clear();
        work.counters = true;
        work.hotplug.retain(|&group| hotplug_cases(&[group]).into_iter().any(|case| wants(case.name())));
        work.readers.retain(|group| plugged().any(|entry| wants(group.case(entry.id))));
        work.own_cost &= wants(own_cost_name(REFERENCE));
        work
    }

    /// The maps with their selected work, the main map first.
    ///
    /// # Errors
    /// The filter selects no case, a map cannot be read, or a map has no memory.
    pub fn maps(&self, workloads: &[Workload]) -> Result<Vec<MapWork>, ScheduleError> {
        let all = self.lookups(workloads);
        let beside = self.beside(workloads);
        let mut names = vec![THIS_MACHINE.to_owned()];
        for work in &all {
            if !names.contains(&work.map) {
                names.push(work.map.clone());
            }
        }
        let mut maps = Vec::new();
        for (at, name) in names.iter().enumerate() {
            let lookups: Vec<LookupWork> =
                all.iter().filter(|work| work.map == *name && self.wants(work)).cloned().collect();
            let beside = if at == 0 { beside.clone() } else { Work::default() };
            if lookups.is_empty() && beside.is_empty() {
                continue;
            }
            let source = if at == 0 { self.map.clone().unwrap_or_default() } else { source_of(name) };
            let mut map = source.load()?;
            process::architecture_of(&map)?;
            // Rows identify maps by name, so maps of equal names are merged.
            let same = |known: &MapWork| known.map.name == map.name;
            if maps.iter().any(same) {
                map.name = format!("{}-{}", map.name, at + 1);
            }
            let expected = workloads.iter().flat_map(|workload| workload.expect.iter().cloned());
            let expect = expected.filter(|expectation| source_of(&expectation.map) == source).collect();
            maps.push(MapWork { map, work: Work { lookups, expect, ..beside } });
        }
        if maps.is_empty() {
            return Err(
                SelectsNothing { among: format!(" of --tier {}{}", self.tier, self.in_longer(workloads)) }.into()
            );
        }
        for map_work in &maps {
            let map = &map_work.map;
            if map.boot_map().is_ok_and(|boot| boot.ranges().is_empty()) && map.added_ram().is_empty() {
                return Err(ScheduleError::Empty(map_work.map.name.clone()));
            }
        }
        Ok(maps)
    }

    /// A hint for the error message: the shortest longer tier with cases that the filter selects.
    fn in_longer(&self, workloads: &[Workload]) -> String {
        let more = Tier::ALL.into_iter().filter(|&tier| tier > self.tier).find(|&tier| {
            let wanted = Wanted { tier, ..self.clone() };
            wanted.lookups(workloads).iter().any(|work| wanted.wants(work))
        });
        more.map_or_else(String::new, |tier| format!(", and some of --tier {tier}"))
    }
}

/// Merges works with the same lookups, so that each lookup is measured once. The result covers the
/// layouts and kinds of memory of both.
fn merged(works: Vec<LookupWork>) -> Vec<LookupWork> {
    let mut merged: Vec<LookupWork> = Vec::new();
    for work in works {
        match merged.iter_mut().find(|known| known.group == work.group && known.map == work.map) {
            None => merged.push(work),
            Some(known) => {
                known.tier = known.tier.min(work.tier);
                known.memory.extend(work.memory);
                known.memory.sort();
                known.memory.dedup();
                // No layouts means all of them.
                match known.layouts.is_empty() || work.layouts.is_empty() {
                    true => known.layouts.clear(),
                    false => known.layouts.extend(work.layouts),
                }
            }
        }
    }
    merged
}

/// Compares the answers that workloads expect with the model. Layouts are compared with the model
/// when they boot.
///
/// # Errors
/// The first expectation that the model contradicts.
pub fn check_expectations(workloads: &[Workload]) -> Result<(), ScheduleError> {
    let rules = [
        (Validity::Span, "the whole span is valid"),
        (Validity::Section, "whole sections are valid"),
        (Validity::Subsection { early_is_whole: false }, "whole sub-sections are valid"),
    ];
    for workload in workloads {
        let mut known: Vec<(&str, Oracle<X86_64>)> = Vec::new();
        for expectation in &workload.expect {
            let at = match known.iter().position(|(map, _)| *map == expectation.map) {
                Some(at) => at,
                None => {
                    let map = source_of(&expectation.map).load()?;
                    let boot = map
                        .boot_map()
                        .map_err(|error| JobError::Map { map: map.name.clone(), reason: error.to_string() })?;
                    known.push((&expectation.map, Oracle::boot(&boot)));
                    known.len() - 1
                }
            };
            let oracle = &known[at].1;
            let wrong = |(validity, rule)| {
                let expected = expectation.answer(validity)?;
                (oracle.pfn_valid(validity, expectation.pfn()) != expected).then_some((expected, rule))
            };
            if let Some((expected, rule)) = rules.into_iter().find_map(wrong) {
                let Expectation { map, pfn, .. } = expectation.clone();
                return Err(ScheduleError::Expectation { workload: workload.name.clone(), map, pfn, expected, rule });
            }
        }
    }
    Ok(())
}

impl Schedule {
    /// Every process on every map, in the order of execution. Lookups come first: all maps of one
    /// process, in random order, before the next process. The rest follows.
    pub fn legs(&self) -> Vec<Leg> {
        let mut legs = Vec::new();
        for process in 0..self.processes {
            let mut maps: Vec<usize> = (0..self.maps.len()).collect();
            maps.shuffle(&mut Pcg64Mcg::seed_from_u64(self.seed.wrapping_add(process.into())));
            legs.extend(maps.into_iter().map(|map| Leg { process, map, scope: Scope::Lookups }));
        }
        legs.extend((0..self.maps.len()).map(|map| Leg { process: 0, map, scope: Scope::Rest }));
        legs.retain(|&leg| !self.work(leg).is_empty());
        legs
    }

    /// The name under which the run folder records the progress of a leg.
    pub fn leg_name(&self, leg: Leg) -> String {
        let map = &self.maps[leg.map].map.name;
        match leg.scope {
            Scope::Lookups => format!("{} {} {map}", leg.process, leg.map),
            Scope::Rest => format!("rest {} {map}", leg.map),
        }
    }

    /// True if every process measures lookups with these tables. Emptying the caches takes too long
    /// for every process of a short run.
    fn is_in_every_process(&self, tables: Tables) -> bool {
        tables == Tables::Hot || self.tier >= Tier::Quick
    }

    /// The work of a leg.
    pub fn work(&self, leg: Leg) -> Work {
        let work = &self.maps[leg.map].work;
        let lookups = |in_every: bool| {
            let in_scope = work.lookups.iter().filter(|work| self.is_in_every_process(work.group.tables) == in_every);
            in_scope.cloned().collect::<Vec<LookupWork>>()
        };
        match leg.scope {
            Scope::Lookups => Work {
                lookups: lookups(true),
                counters: work.counters && leg.process == 0,
                expect: if leg.process == 0 { work.expect.clone() } else { Vec::new() },
                ..Work::default()
            },
            Scope::Rest => Work { lookups: lookups(false), counters: false, ..work.clone() },
        }
    }

    /// The job of a leg, without the units in `done`, within a time limit.
    pub fn job(&self, leg: Leg, work: Work, done: BTreeSet<String>, time_limit: Option<Duration>) -> Job {
        let scope = match leg.scope {
            Scope::Lookups => 0,
            Scope::Rest => 1 << 63,
        };
        Job {
            process: leg.process,
            map: self.maps[leg.map].map.clone(),
            work,
            effort: self.effort,
            // The seeds of processes are far apart, so that a run with the next seed shares none of
            // them.
            seed: self.seed.wrapping_add(u64::from(leg.process) << 32) ^ scope,
            conditions: self.conditions.clone(),
            done,
            time_limit,
            machine: self.environment.machine_id.clone(),
        }
    }

    /// An upper estimate of the duration of a leg.
    pub fn estimate(&self, leg: Leg) -> Duration {
        /// Time to boot, hot-add and check the layouts.
        const BOOT: Duration = Duration::from_millis(1500);
        let layouts =
            if self.conditions.layouts.is_empty() { layouts::<X86_64>().len() } else { self.conditions.layouts.len() };
        BOOT + self.work(leg).estimate(&self.effort, layouts)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::backing_arg::BackingArg;
    use crate::engine::index_pages::IndexPagesArg;
    use regex::Regex;

    /// A job of the smoke tier, for tests.
    pub(crate) fn job() -> Job {
        let schedule = schedule(Tier::Smoke, wanted(Tier::Smoke).maps(&Workload::builtin()).unwrap());
        let leg = Leg { process: 0, map: 0, scope: Scope::Lookups };
        schedule.job(leg, schedule.work(leg), BTreeSet::new(), None)
    }

    /// A schedule of a tier, with the work of that tier on these maps.
    pub(crate) fn schedule(tier: Tier, maps: Vec<MapWork>) -> Schedule {
        let environment = Environment::look();
        Schedule {
            commit: String::new(),
            command: String::new(),
            started: String::new(),
            doctor_before: crate::engine::doctor::examine(&environment),
            environment,
            tier,
            effort: tier.effort(),
            seed: 1,
            processes: tier.processes(),
            time_limit: tier.time_limit(),
            margin: crate::analysis::judge::MARGIN,
            conditions: Conditions {
                records_limit: 1 << 30,
                backing: BackingArg::default(),
                index_pages: IndexPagesArg::default(),
                layouts: Vec::new(),
                kernels: Vec::new(),
                filter: Filter::default(),
            },
            case_timeout: Duration::from_secs(120),
            maps,
        }
    }

    fn wanted(tier: Tier) -> Wanted {
        Wanted { tier, map: Some(Source::Builtin("vm-20g".to_owned())), ..Wanted::default() }
    }

    #[test]
    fn a_longer_tier_includes_the_work_of_shorter_ones() {
        let workloads = Workload::builtin();
        let nr = |tier| wanted(tier).maps(&workloads).unwrap()[0].work.lookups.len();
        let counts = Tier::ALL.map(nr);
        assert!(counts.is_sorted() && counts[0] >= 9 && counts[3] > 2 * counts[1], "{counts:?}");
        let all = Wanted { tier: Tier::Full, ..Wanted::default() }.maps(&workloads).unwrap();
        assert!(all.len() >= 5 && !all[0].work.hotplug.is_empty() && all[1].work.hotplug.is_empty());
        assert!(all[1..].iter().all(|map_work| !map_work.work.lookups.is_empty()));
    }

    #[test]
    fn duplicate_lookups_are_measured_once() {
        let text = |more: &str| {
            format!(
                "about = \"x\"\n[[lookups]]\ntier = \"smoke\"\nops = [\"pfn_valid\"]\npatterns = [\"random\"]\n{more}"
            )
        };
        let workload = |more| Workload::parse("w.toml", &text(more)).unwrap();
        let workloads = [workload("layouts = [\"flat\"]\nsections = [\"boot\"]\n"), workload("layouts = [\"dax\"]\n")];
        let lookups = wanted(Tier::Smoke).lookups(&workloads);
        assert_eq!(lookups.len(), 1);
        assert_eq!((lookups[0].layouts.len(), lookups[0].memory.len()), (2, 2));
        let all = [workload("layouts = [\"flat\"]\n"), workload("")];
        assert!(wanted(Tier::Smoke).lookups(&all)[0].layouts.is_empty());
    }

    #[test]
    fn a_filter_that_selects_nothing_names_a_longer_tier() {
        let filter = |only: &str| Filter::new(Some(Regex::new(only).unwrap()), None);
        let wanted = |tier, only| Wanted { filter: filter(only), ..wanted(tier) };
        let error = wanted(Tier::Smoke, "zipf").maps(&Workload::builtin()).unwrap_err().to_string();
        assert!(error.contains("--tier smoke, and some of --tier full"), "{error}");
        let error = wanted(Tier::Full, "zapf").maps(&Workload::builtin()).unwrap_err().to_string();
        assert!(error.contains("--tier full;"), "{error}");
        let maps = wanted(Tier::Full, "^hotplug/2MiB").maps(&Workload::builtin()).unwrap();
        assert!(maps[0].work.lookups.is_empty() && !maps[0].work.hotplug.is_empty() && maps[0].work.readers.is_empty());
    }

    #[test]
    fn lookups_come_first_and_are_in_every_process() {
        let maps = wanted(Tier::Default).maps(&Workload::builtin()).unwrap();
        let schedule = schedule(Tier::Default, maps);
        let legs = schedule.legs();
        let (lookups, rest): (Vec<Leg>, Vec<Leg>) = legs.iter().partition(|leg| leg.scope == Scope::Lookups);
        assert_eq!((lookups.len(), rest.len(), legs.last()), (5, 1, rest.last()));
        let first = schedule.work(lookups[0]);
        assert!(first.lookups.iter().all(|work| work.group.tables == Tables::Hot) && first.hotplug.is_empty());
        assert!(first.counters && !schedule.work(lookups[1]).counters);
        let rest = schedule.work(rest[0]);
        assert!(!rest.hotplug.is_empty() && rest.lookups.iter().all(|work| work.group.tables == Tables::Cold));
        let names: BTreeSet<String> = legs.iter().map(|&leg| schedule.leg_name(leg)).collect();
        assert_eq!(names.len(), legs.len());
    }

    #[test]
    fn the_preemption_count_applies_to_validity_operations() {
        let with = Wanted { preempt: true, ..wanted(Tier::Smoke) }.maps(&Workload::builtin()).unwrap();
        for work in &with[0].work.lookups {
            assert_eq!(work.group.preempt, work.group.op.bears_invalid(), "{}", work.group.label());
        }
    }

    #[test]
    fn expectations_are_compared_with_the_model() {
        let mut workloads = Workload::builtin();
        check_expectations(&workloads).unwrap();
        let expecting = workloads.iter_mut().find(|workload| !workload.expect.is_empty()).unwrap();
        expecting.expect[0].subsection = !expecting.expect[0].subsection;
        let error = check_expectations(&workloads).unwrap_err().to_string();
        assert!(error.contains("sub-sections are") && error.contains("0x6f7ff"), "{error}");
    }
}
