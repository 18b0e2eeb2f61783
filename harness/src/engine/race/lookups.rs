//! Lookups: the layouts take turns, one slice at a time.
//!
//! In each round every lane has a slice in random order, then one in the opposite order; the two
//! form a sample. The kernel's counters of the thread decide whether a slice was disturbed
//! ([`crate::engine::probe::disturbance`]). A disturbed slice is retaken up to four times. If every
//! retake is disturbed, the sample is kept and marked, and no ratio uses it.

use super::counters::Counters;
use super::{Race, RaceError, cold};
use crate::case::{
    CONTROL, Dependency, LookupCase, LookupGroup, LookupOp, Memory, Mode, Pattern, Population, Records, Tables, on_map,
};
use crate::engine::contestant::Contestant;
use crate::engine::field::FieldError;
use crate::engine::probe::disturbance::is_disturbed;
use crate::engine::probe::lookup::{self, Prepared, Queries, Window};
use crate::engine::probe::loops::BATCH;
use crate::engine::probe::query_array::Placement;
use crate::record::examination::Verdict;
use crate::record::row::{Evidence, Row};
use crate::workload::LookupWork;
use crate::workload::work::unit_of;
use memmap_layouts::Geometry;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Least number of batches before each slice that refill caches and train predictors.
const WARM_BATCHES: u64 = 4;

/// Queries before each slice for each section, to reload what the other lanes evicted from the
/// caches.
const WARM_QUERIES_PER_SECTION: u64 = 4;

/// The most retakes of a disturbed slice.
const RETAKES: u32 = 4;

/// Least number of rounds of a group, however little time is left: a low quantile needs two.
const LEAST_ROUNDS: u32 = 2;

/// One boot of a layout in a group of lookups whose slices are compared.
pub(super) struct Lane {
    /// Index among [`crate::engine::field::Field::instances`].
    instance: usize,
    pub(super) memory: Memory,
    pub(super) prepared: Prepared,
    /// A lookup through the same code that uses none of the table entries of `prepared`: it fetches
    /// the code before timing starts.
    pub(super) decoy: Option<Prepared>,
    /// Batches in a slice.
    pub(super) batches: u64,
    /// Batches that warm up before a slice.
    warm_batches: u64,
    /// The window of the previous slice.
    cursor: Window,
    /// True if records are flushed before each slice, and each is read once.
    flushes: bool,
}

impl Lane {
    /// Index of the layout among the instances.
    pub(super) fn instance(&self) -> usize {
        self.instance
    }

    /// Advances by `batches` and returns the new window of queries.
    fn next(&mut self, batches: u64) -> Window {
        self.cursor = self.prepared.behind(self.cursor, batches);
        self.cursor
    }
}

impl<G: Geometry> Race<'_, G> {
    /// Measures all groups of lookups. The lanes of boot and of hot-added sections take
    /// turns too, so that they can be compared. When the time of the process is over, the remaining
    /// groups are not measured.
    pub(super) fn lookups(&mut self, has_added: bool, counters: &mut Counters) -> Result<(), RaceError> {
        let settings = self.settings;
        let open: Vec<&LookupWork> =
            settings.job.work.lookups.iter().filter(|work| self.is_open(&unit_of(work))).collect();
        for (at, work) in open.iter().enumerate() {
            if self.is_late() {
                self.not_reached(&unit_of(work), work.group.op.name());
                continue;
            }
            // The remaining time is divided among the remaining groups.
            let share = self.time_left().map(|left| left / (open.len() - at) as u32);
            self.unit(&unit_of(work), |race| {
                let mut lanes = race.lanes(work, has_added)?;
                match work.group.tables {
                    Tables::Hot => race.hot_slices(&work.group, &mut lanes, share, counters),
                    Tables::Cold => race.cold_slices(&mut lanes, share),
                }
            })?;
        }
        Ok(())
    }

    /// A lane for each booted layout and kind of memory, with the row for its results. A layout
    /// that cannot take part gets a row with the reason.
    pub(super) fn lanes(&mut self, work: &LookupWork, has_added: bool) -> Result<Vec<(Lane, Row)>, RaceError> {
        let mut lanes = Vec::new();
        let mut placement = Placement::random(self.rng.random());
        let disputed = work.group.population == Population::Disputed;
        let share_percent = disputed.then(|| self.field.disputed_percent());
        for &memory in &work.memory {
            let is_added = memory == Memory::Added;
            let nothing = is_added && !has_added;
            let queries = if nothing { Queries::Pfns(Vec::new()) } else { self.field.queries(&work.group, memory) };
            let (decoy, queries) = match work.group.tables {
                Tables::Hot => (None, queries),
                Tables::Cold => cold::with_decoy::<G>(queries),
            };
            let mut instances: Vec<usize> = (0..self.field.instances().count()).collect();
            // Query arrays are also allocated in random order.
            instances.shuffle(&mut self.rng);
            for at in instances {
                let contestant = self.field.instance(at);
                let boot = self.field.boot_of(at);
                let id = contestant.id();
                let named = if id == CONTROL { self.control } else { id };
                let case = LookupCase { group: work.group, memory, layout: named };
                let is_asked = work.layouts.is_empty() || work.layouts.iter().any(|id| id == named);
                if !is_asked || !self.settings.job.conditions.filter.wants(&on_map(&case.name(), &work.map)) {
                    continue;
                }
                let blank = self.row(id, "", "time", "ns/op");
                // Hot-added memory in many pieces has its records in RAM, even in layouts that put
                // others on a device.
                let in_ram = is_added && self.field.plan.added_window().is_none();
                let backing = if in_ram { self.settings.means.backing.to_string() } else { blank.backing.clone() };
                let blank = Row {
                    backing,
                    control_of: (id == CONTROL).then(|| self.control.to_owned()),
                    same_code: id != self.control && self.is_same_code(contestant, &work.group),
                    boot: Some(boot),
                    share_percent,
                    dependency: dependency(contestant, &work.group, memory),
                    ..blank.with_lookup(&work.group, memory)
                };
                let refused = if let Some(reason) = contestant.lacks(&work.group) {
                    Some(reason)
                } else if is_added && contestant.hotplug().is_none() {
                    Some("the layout does not support hotplug")
                } else if nothing && self.field.plan.added.is_empty() {
                    Some("the physical address space has no room above the map")
                } else if nothing {
                    Some("no layout of this race adds parts as small as those of this map")
                } else if is_added && !self.field.takes_added(contestant) {
                    Some("the layout adds whole sections only, and this map adds parts of sections")
                } else if queries.is_empty() && disputed {
                    Some("the layouts agree on every page of these sections, so none is disputed")
                } else if queries.is_empty() {
                    Some("the map has no page frames for this case")
                } else {
                    None
                };
                if let Some(reason) = refused {
                    if boot == 0 && id != CONTROL {
                        self.not_offered(blank, reason);
                    }
                    continue;
                }
                let mut prepare = |queries: &Queries| {
                    let (asked, oracle) = (work.group.asked(), self.field.oracle());
                    let prepared = contestant.prepare_checked(asked, queries, oracle, &mut placement);
                    let layout = contestant.layout_id();
                    prepared.map_err(|wrong| FieldError::WrongAnswer { layout, wrong })
                };
                let prepared = prepare(&queries)?;
                let decoy = decoy.as_ref().map(prepare).transpose()?;
                let flushes = work.group.records == Some(Records::Memory) && work.group.tables == Tables::Hot;
                if flushes && !prepared.flush_records() {
                    if boot == 0 && id != CONTROL {
                        self.not_offered(blank, "user space cannot flush cache lines on this processor");
                    }
                    continue;
                }
                let nr_sections = if is_added {
                    self.field.plan.added_sections::<G>().len()
                } else {
                    self.field.plan.boot_sections.len()
                };
                let enough = (WARM_QUERIES_PER_SECTION * nr_sections as u64).div_ceil(BATCH as u64);
                let warm_batches = enough.max(WARM_BATCHES).min(prepared.nr_batches());
                let working_set = Some(prepared.working_set_bytes()).filter(|&bytes| bytes > 0);
                let cursor = Window { first: self.rng.random_range(0..prepared.nr_batches()), batches: 0 };
                let lane = Lane { instance: at, memory, prepared, decoy, batches: 1, warm_batches, cursor, flushes };
                lanes.push((lane, Row { working_set_bytes: working_set, ..blank }));
            }
        }
        Ok(lanes)
    }

    /// Slices with tables in the caches. Ends after the rounds that the effort sets, or after
    /// `share` of the time.
    fn hot_slices(
        &mut self,
        group: &LookupGroup,
        lanes: &mut [(Lane, Row)],
        share: Option<Duration>,
        counters: &mut Counters,
    ) -> Result<(), RaceError> {
        let begin = Instant::now();
        self.calibrate_all(lanes)?;
        let mut order: Vec<usize> = (0..lanes.len()).collect();
        for pair in 0..self.settings.job.effort.pairs {
            if pair >= LEAST_ROUNDS && share.is_some_and(|share| begin.elapsed() > share) {
                break;
            }
            self.interrupt.check()?;
            order.shuffle(&mut self.rng);
            let mut samples = vec![Sample::default(); lanes.len()];
            for at in order.iter().chain(order.iter().rev()) {
                let slice = self.undisturbed_slice(&mut lanes[*at].0)?;
                samples[*at] = samples[*at].plus(slice);
            }
            for ((_, blank), sample) in lanes.iter().zip(samples) {
                self.push_sample(blank, pair, sample);
            }
        }
        if group.is_plain() && group.pattern == Pattern::Random {
            self.count(counters, lanes)?;
        }
        let floor = lanes.first().and_then(|(lane, blank)| Some((blank, floor(lane, 3)?)));
        if let Some((blank, ns)) = floor {
            self.push_floor(blank, ns);
        }
        Ok(())
    }

    /// A slice of the next queries; retaken while it is disturbed, up to [`RETAKES`] times.
    fn undisturbed_slice(&self, lane: &mut Lane) -> Result<Sample, RaceError> {
        self.slice(lane, |lane| {
            let warm = lane.next(lane.warm_batches);
            lane.prepared.behind(warm, lane.batches)
        })
    }

    /// As [`Self::undisturbed_slice`], for a given window: in a duel the other build runs the same
    /// queries.
    pub(super) fn slice_at(&self, lane: &mut Lane, window: Window) -> Result<Sample, RaceError> {
        self.slice(lane, |_| window)
    }

    fn slice(&self, lane: &mut Lane, queries: impl Fn(&mut Lane) -> Window) -> Result<Sample, RaceError> {
        until_undisturbed(
            || true,
            |_| {
                let window = queries(lane);
                // Untimed: reloads what the slices of other lanes evicted.
                self.timed(lane, lane.prepared.before(window, lane.warm_batches))?;
                if lane.flushes {
                    lane.prepared.flush_records();
                }
                lane.cursor = window;
                self.sample(lane, window)
            },
        )
    }

    /// Stores a sample as a row.
    pub(super) fn push_sample(&mut self, blank: &Row, nr: u32, sample: Sample) {
        self.outcome.rows.push(Row {
            sample: Some(nr),
            value: Some(sample.evidence.wall_ns as f64 / sample.nr_ops as f64),
            n_ops: Some(sample.nr_ops),
            evidence: Some(sample.evidence),
            disturbed: sample.disturbed,
            doctor: verdict_on(&sample).to_string(),
            ..blank.clone()
        });
    }

    /// Stores the time of the empty loop in ns per operation, once per group. Results near it
    /// reflect the loop more than the layout.
    pub(super) fn push_floor(&mut self, blank: &Row, ns: f64) {
        self.outcome.rows.push(Row {
            layout: "loop".to_owned(),
            metric: "floor".to_owned(),
            value: Some(ns),
            dependency: None,
            boot: None,
            ..blank.clone()
        });
    }

    /// Sets the slice length, in batches; it is the same for all boots of a layout.
    pub(super) fn calibrate_all(&self, lanes: &mut [(Lane, Row)]) -> Result<(), RaceError> {
        let mut known: BTreeMap<(&'static str, Memory), u64> = BTreeMap::new();
        for (lane, _) in lanes {
            let key = (self.field.instance(lane.instance).id(), lane.memory);
            lane.batches = match known.get(&key) {
                Some(&batches) => batches,
                None => self.calibrate(lane)?,
            };
            known.insert(key, lane.batches);
        }
        Ok(())
    }

    /// Number of batches that fill a slice.
    fn calibrate(&self, lane: &mut Lane) -> Result<u64, RaceError> {
        // After one pass, flushed records would be in the caches again.
        if lane.flushes {
            return Ok(lane.prepared.nr_batches());
        }
        let slice = self.settings.job.effort.slice.as_nanos() as u64;
        let mut batches = 1;
        loop {
            let window = lane.next(batches);
            // The shortest of three tries: a disturbance can only lengthen a try.
            let tries = (0..3).map(|_| Ok(self.timed(lane, window)?.wall_ns)).collect::<Result<Vec<_>, RaceError>>()?;
            let elapsed = tries.into_iter().min().unwrap_or(0);
            if elapsed >= slice / 4 {
                return Ok(((slice * batches + elapsed / 2) / elapsed).max(1));
            }
            batches *= 2;
        }
    }

    /// Fetches the code of a lane into the caches, but none of its table entries.
    pub(super) fn warm_code(&self, lane: &Lane) {
        if let Some(decoy) = &lane.decoy {
            std::hint::black_box(self.field.instance(lane.instance).run(decoy, decoy.pass()));
        }
    }

    /// Runs one pass over all queries of a lane.
    pub(super) fn pass(&self, lane: &Lane) -> Result<Sample, RaceError> {
        self.sample(lane, lane.prepared.pass())
    }

    fn sample(&self, lane: &Lane, window: Window) -> Result<Sample, RaceError> {
        let evidence = self.timed(lane, window)?;
        Ok(Sample { evidence, disturbed: is_disturbed(&evidence), nr_ops: lane.prepared.nr_ops(window) })
    }

    /// Runs and times a window of queries. The sum of the answers must match the one computed
    /// beforehand.
    pub(super) fn timed(&self, lane: &Lane, window: Window) -> Result<Evidence, RaceError> {
        let layout = self.field.instance(lane.instance);
        let (sum, evidence) = self.watch.time(|| layout.run(&lane.prepared, window));
        let expected = lane.prepared.expected(window);
        if sum != expected {
            let (id, op) = (layout.id(), lane.prepared.op());
            let wrong =
                format!("{id}: the answers of {op} sum to {sum:#x}, but the verified answers sum to {expected:#x}");
            return Err(FieldError::WrongAnswer { layout: layout.layout_id(), wrong }.into());
        }
        if evidence.wall_ns == 0 {
            return Err(RaceError::Clock);
        }
        Ok(evidence)
    }

    /// True if a layout's lookup is the same machine code as the control's, and reads no record.
    fn is_same_code(&self, contestant: &dyn Contestant<G>, group: &LookupGroup) -> bool {
        let reads = group.op.reads_records(group.mode) || group.op == LookupOp::PageToPfn;
        let namesake = self.field.layouts.iter().find(|layout| layout.id() == self.control);
        let code = |layout: &dyn Contestant<G>| layout.lookup_code(group.asked());
        // A layout that takes part twice is compared with itself and is not used as a control.
        !reads
            && !contestant.id().contains('#')
            && namesake.is_some_and(|namesake| code(&**namesake) == code(contestant))
    }

    /// True for the first boot of a layout that appears in reports.
    pub(super) fn is_first_boot(&self, lane: &Lane) -> bool {
        lane.instance < self.field.layouts.len()
    }
}

/// The doctor's verdict on a sample, from the evidence of its slices alone.
fn verdict_on(sample: &Sample) -> Verdict {
    if sample.disturbed { Verdict::Unfit } else { Verdict::Ok }
}

/// The result of one slice, or of two slices that form one sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) evidence: Evidence,
    pub(super) disturbed: bool,
    pub(super) nr_ops: u64,
}

impl Sample {
    fn plus(self, other: Self) -> Self {
        if self.nr_ops == 0 {
            return other;
        }
        Self {
            evidence: self.evidence.plus(other.evidence),
            disturbed: self.disturbed || other.disturbed,
            nr_ops: self.nr_ops + other.nr_ops,
        }
    }
}

/// Retakes a slice while it is disturbed, up to [`RETAKES`] times and as long as `again` allows.
/// The number of the retake is passed to `take` and stored in the evidence.
pub(super) fn until_undisturbed<E>(
    again: impl Fn() -> bool,
    mut take: impl FnMut(u32) -> Result<Sample, E>,
) -> Result<Sample, E> {
    let mut retaken = 0;
    loop {
        let sample = take(retaken)?;
        if !sample.disturbed || retaken == RETAKES || !again() {
            return Ok(Sample { evidence: Evidence { retaken, ..sample.evidence }, ..sample });
        }
        retaken += 1;
    }
}

/// Time of a lane's loop without a lookup in ns per operation, the shortest of `tries`; `None` for
/// a walk.
pub(super) fn floor(lane: &Lane, tries: u32) -> Option<f64> {
    let window = Window { first: 0, batches: lane.batches.max(lane.prepared.nr_batches()) };
    let once = |_| {
        let begin = Instant::now();
        std::hint::black_box(lookup::floor(&lane.prepared, window)?);
        Some(begin.elapsed().as_nanos() as f64 / lane.prepared.nr_ops(window) as f64)
    };
    (0..tries).filter_map(once).reduce(f64::min)
}

/// How the next address of a chained lookup depends on the answer.
fn dependency<G: Geometry>(contestant: &dyn Contestant<G>, group: &LookupGroup, memory: Memory) -> Option<Dependency> {
    let of_valid = match group.op {
        LookupOp::ValidToPage => Dependency::Branch,
        LookupOp::PfnValid => contestant.dependency(memory)?,
        LookupOp::PfnToPage | LookupOp::PageToPfn => Dependency::Data,
        // A walk depends both on branches and on the page frame that was found.
        LookupOp::NextValidPfn | LookupOp::WalkEveryPfn | LookupOp::ScanPageblocks | LookupOp::IsContiguous => {
            return None;
        }
    };
    let dependency = match of_valid {
        // For a missing section, every layout branches.
        Dependency::Data if group.invalid_percent > 0 => Dependency::Mixed,
        other => other,
    };
    (group.mode == Mode::Chained).then_some(dependency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::race::test_support::{settings, small_machine, with_race};

    /// Checks that sums of timed answers are compared with those computed before the race.
    #[test]
    fn a_wrong_sum_of_answers_ends_the_race() {
        let settings = settings();
        let group = LookupGroup::plain(LookupOp::PfnToPage, Pattern::Random);
        let work = settings.job.work.lookups.iter().find(|work| work.group == group).unwrap();
        with_race(small_machine(), &settings, |race| {
            let mut lanes = race.lanes(work, false).unwrap();
            let (lane, _) = &mut lanes[0];
            race.pass(lane).unwrap();
            // The records of another layout have other addresses.
            lane.instance = (lane.instance + 1) % race.field.layouts.len();
            let error = race.pass(lane).map(drop).unwrap_err().to_string();
            assert!(error.contains("pfn_to_page sum to"), "{error}");
        });
    }

    #[test]
    fn a_disturbed_slice_is_retaken_up_to_the_limit() {
        let after = |quiet: u32, again: bool| {
            let mut takes = 0;
            let sample = until_undisturbed::<()>(
                || again,
                |retaken| {
                    assert_eq!(retaken, takes);
                    takes += 1;
                    Ok(Sample { disturbed: retaken < quiet, nr_ops: 1, ..Sample::default() })
                },
            );
            let sample = sample.unwrap();
            (takes, sample.evidence.retaken, sample.disturbed)
        };
        assert_eq!(after(0, true), (1, 0, false));
        assert_eq!(after(3, true), (4, 3, false));
        assert_eq!(after(100, true), (RETAKES + 1, RETAKES, true));
        assert_eq!(after(100, false), (1, 0, true), "no time is left");
    }

    #[test]
    fn unpredictable_queries_differ_from_those_of_the_previous_slice() {
        let mut settings = settings();
        let plain = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        let group = LookupGroup { invalid_percent: 30, ..plain };
        settings.job.work.lookups.retain(|work| work.group == group);
        with_race(small_machine(), &settings, |race| {
            let mut lanes = race.lanes(&settings.job.work.lookups[0], false).unwrap();
            race.calibrate_all(&mut lanes).unwrap();
            let (lane, _) = &mut lanes[0];
            let before = lane.cursor;
            race.undisturbed_slice(lane).unwrap();
            let nr = lane.prepared.nr_batches();
            let apart = (lane.cursor.first + nr - before.first) % nr;
            assert!(apart >= lane.warm_batches, "{before:?} {:?}", lane.cursor);
            assert!(lane.warm_batches + lane.batches < nr, "a slice uses part of the queries");
        });
    }

    #[test]
    fn flushed_records_are_read_once_per_slice() {
        let mut settings = settings();
        let plain = LookupGroup::plain(LookupOp::ValidToPage, Pattern::Random);
        let group = LookupGroup { records: Some(Records::Memory), ..plain };
        settings.job.work.lookups.retain(|work| work.group == group);
        with_race(small_machine(), &settings, |race| {
            let mut lanes = race.lanes(&settings.job.work.lookups[0], false).unwrap();
            if lanes.is_empty() {
                eprintln!("skipped: this processor cannot flush");
                return;
            }
            race.calibrate_all(&mut lanes).unwrap();
            for (lane, blank) in &mut lanes {
                let sample = race.undisturbed_slice(lane).unwrap();
                assert_eq!(sample.nr_ops, lane.prepared.len());
                assert_eq!(blank.working_set_bytes, Some(64 * lane.prepared.len()), "each record counts once");
            }
        });
    }
}
