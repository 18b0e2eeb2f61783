//! The race: layouts side by side in one process, in slices that take turns.
//!
//! Two layouts are compared in neighbouring slices of about 2 ms, forwards and backwards in turn (ABBA), so that a machine
//! that drifts drifts for all. Every answer is checked before it is timed, and the sum of answers after.

use crate::contestant::{Contestant, Entry, HotplugContestant, device_for, entries};
use crate::interrupt::{Interrupt, Interrupted};
use crate::plan::{Plan, PlanError};
use crate::probe::bare::{BareError, BareRecords};
use crate::probe::hotplug::{self, HotplugProbeError, Latencies, PERCENTILES, percentile};
use crate::probe::lookup::{self, LookupOp, Prepared};
use crate::queries::{Pattern, queries};
use crate::row::{Row, SCHEMA, Sections, Status};
use crate::verify::tmpfs_dir;
use hdrhistogram::Histogram;
use memmap_layouts::backing::{DaxDevice, DaxError, RamBacking};
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    BootError, BootMap, Bytes, Config, Geometry, HotplugError, PfnRange, RecordBudget, RecordStore, Validity,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Sizes of additions and removals.
pub const HOTPLUG_SIZES: [u64; 4] = [2 << 20, 16 << 20, 128 << 20, 1 << 30];

/// The layout that hotplug's own cost is shown for, and that lookups are compared with.
pub const REFERENCE: &str = "subsection";

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Length of a slice of lookups.
    pub slice: Duration,
    /// Rounds in which each layout has one slice.
    pub rounds: u32,
    /// Hotplug stops at this many samples a layout and size,
    pub hotplug_samples: u64,
    /// or after this long.
    pub hotplug_time: Duration,
}

impl Effort {
    /// For `pfnbench` alone: under a minute.
    pub const DEFAULT: Effort = Effort {
        slice: Duration::from_millis(2),
        rounds: 40,
        hotplug_samples: 10_000,
        hotplug_time: Duration::from_millis(2500),
    };
    /// Under ten seconds: shows that everything works.
    pub const SMOKE: Effort = Effort {
        slice: Duration::from_millis(1),
        rounds: 6,
        hotplug_samples: 1_000,
        hotplug_time: Duration::from_millis(250),
    };

    /// An upper estimate for the timed part.
    pub fn estimate(&self, layouts: usize) -> Duration {
        let groups = (LookupOp::ALL.len() * Pattern::ALL.len() * Sections::ALL.len()) as u32;
        let layouts = layouts as u32;
        self.slice * self.rounds * groups * layouts + self.hotplug_time * (HOTPLUG_SIZES.len() as u32 + 1) * layouts
    }
}

/// What is raced.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much.
    pub effort: Effort,
    /// Seed of everything random.
    pub seed: u64,
    /// Bytes of records of all layouts together.
    pub records_limit: u64,
    /// Memory of records in RAM.
    pub backing: RamBacking,
    /// A DAX device for the layouts that can use one; otherwise a file on a tmpfs.
    pub device: Option<Arc<DaxDevice>>,
    /// Ids of the layouts to race; empty for all.
    pub layouts: Vec<String>,
    /// Lookups to race; empty for all.
    pub ops: Vec<LookupOp>,
    /// Name of the map, for rows.
    pub map_name: String,
    /// Fingerprint of the machine, for rows.
    pub machine: String,
    /// The doctor's verdict, for rows.
    pub doctor: String,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every figure.
    pub rows: Vec<Row>,
    /// Latencies of hotplug, by tag (`hot_add/subsection/2097152`).
    pub histograms: Vec<(String, Histogram<u64>)>,
}

/// Why there was no race.
#[derive(Debug, Error)]
pub enum RaceError {
    /// The user asked to stop. Not transparent, so that the cause can be found in the chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// It cannot be laid out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A layout did not come up.
    #[error("{layout}: {source}")]
    Boot {
        /// The layout.
        layout: &'static str,
        /// The cause.
        source: BootError,
    },
    /// A layout gave a wrong answer. Nothing that follows could be trusted.
    #[error("wrong answer: {0}")]
    WrongAnswer(String),
    /// A layout refused what it should do.
    #[error("{layout}: {source}")]
    Hotplug {
        /// The layout.
        layout: &'static str,
        /// The cause.
        source: HotplugProbeError,
    },
    /// No device for the records of hot-added memory.
    #[error(transparent)]
    Device(#[from] DaxError),
    /// The yardstick of hotplug could not be laid.
    #[error(transparent)]
    Bare(#[from] BareError),
    /// No layout of this name.
    #[error("there is no layout {name:?}; there are {known}")]
    NoSuchLayout {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}

/// Is told how far the race is.
pub trait Progress {
    /// A new stretch of work begins, with what is left by estimate.
    fn stage(&mut self, what: &str, left: Duration);
}

/// The entries that `names` ask for; all if there are none.
///
/// # Errors
/// A name that no layout has.
pub fn chosen<G: Geometry>(names: &[String]) -> Result<Vec<Entry<G>>, RaceError> {
    let all = entries::<G>();
    if let Some(name) = names.iter().find(|name| all.iter().all(|entry| entry.id != **name)) {
        let known = all.iter().map(|entry| entry.id).collect::<Vec<_>>().join(", ");
        return Err(RaceError::NoSuchLayout { name: name.clone(), known });
    }
    Ok(all.into_iter().filter(|entry| names.is_empty() || names.iter().any(|name| name == entry.id)).collect())
}

/// Runs a race on a machine with the memory of `boot`; `map_end` is the end of all memory in its map, in bytes.
///
/// # Errors
/// [`RaceError`]; everything that was mapped is gone.
pub fn race<G: Geometry>(
    boot: BootMap,
    map_end: u64,
    settings: &Settings,
    interrupt: &Interrupt,
    progress: &mut impl Progress,
) -> Result<Outcome, RaceError> {
    let entries = chosen::<G>(&settings.layouts)?;
    let plan = Plan::new::<G>(boot, map_end, settings.records_limit, entries.len())?;
    let mut race = Race {
        plan,
        settings,
        interrupt,
        layouts: Vec::new(),
        outcome: Outcome::default(),
        rng: Pcg64Mcg::seed_from_u64(settings.seed),
        left: settings.effort.estimate(entries.len()),
    };
    progress.stage("booting the layouts", race.left);
    race.boot(&entries)?;
    let oracle = Oracle::<G>::boot(&race.plan.boot);
    progress.stage("verifying boot memory", race.left);
    race.verify(&oracle)?;
    race.lookups(Sections::Boot, progress)?;
    race.hot_window(oracle, progress)?;
    race.latencies(progress)?;
    race.own_cost(progress)?;
    Ok(race.outcome)
}

struct Race<'a, G: Geometry> {
    plan: Plan,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
    layouts: Vec<Box<dyn Contestant<G>>>,
    outcome: Outcome,
    rng: Pcg64Mcg,
    left: Duration,
}

/// A layout in a group of slices that are compared.
struct Lane {
    layout: usize,
    prepared: Prepared,
    passes: u64,
}

impl<G: Geometry> Race<'_, G> {
    fn row(&self, layout: &str, op: &str, metric: &str, unit: &str) -> Row {
        let settings = self.settings;
        Row {
            v: SCHEMA,
            layout: layout.to_owned(),
            op: op.to_owned(),
            mode: None,
            sections: None,
            pattern: None,
            size_bytes: None,
            map: settings.map_name.clone(),
            backing: self.backing_of(layout),
            sampled: self.plan.is_sampled(),
            process: 0,
            sample: None,
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            value: None,
            n_ops: None,
            status: Status::Ok,
            reason: None,
            machine: settings.machine.clone(),
            doctor: settings.doctor.clone(),
        }
    }

    /// What a layout's records are made of.
    fn backing_of(&self, layout: &str) -> String {
        let on_device = self.layouts.iter().any(|l| l.id() == layout && l.caps().records_on_device);
        match (&self.settings.device, on_device) {
            (Some(device), true) => format!("{}+{}", self.settings.backing, device.kind()),
            (None, true) => format!("{}+dax-on-tmpfs", self.settings.backing),
            (_, false) => self.settings.backing.to_string(),
        }
    }

    fn boot(&mut self, entries: &[Entry<G>]) -> Result<(), RaceError> {
        let budget = RecordBudget::new(self.settings.records_limit);
        for entry in entries {
            self.interrupt.check()?;
            let store = RecordStore {
                backing: self.settings.backing.clone(),
                budget: budget.clone(),
                backed: self.plan.backed.clone(),
            };
            match entry.boot(&self.plan.boot, &Config { seed: self.settings.seed }, store) {
                Ok(layout) => self.layouts.push(layout),
                Err(error @ BootError::WouldNotBoot { need_bytes, .. }) => {
                    let mut row = self.row(entry.id, "boot", "records_needed", "bytes");
                    row.value = Some(need_bytes as f64);
                    row.status = Status::WouldNotBoot;
                    row.reason = Some(error.to_string());
                    self.outcome.rows.push(row);
                    continue;
                }
                Err(source) => return Err(RaceError::Boot { layout: entry.id, source }),
            }
            let needed = (entry.boot_record_bytes)(&self.plan.boot);
            let footprint = self.layouts.last().expect("pushed above").footprint();
            let bytes = [
                ("records_needed", needed),
                ("records_backed", footprint.ram_record_bytes),
                ("index", footprint.index_bytes),
                ("page_tables", footprint.page_table_bytes),
                ("reserved", footprint.reserved_bytes),
            ];
            for (metric, bytes) in bytes {
                let mut row = self.row(entry.id, "footprint", metric, "bytes");
                row.sections = Some(Sections::Boot);
                row.value = Some(bytes as f64);
                self.outcome.rows.push(row);
            }
        }
        Ok(())
    }

    fn verify(&self, oracle: &Oracle<G>) -> Result<(), RaceError> {
        for layout in &self.layouts {
            self.interrupt.check()?;
            layout.agree(oracle).map_err(RaceError::WrongAnswer)?;
        }
        Ok(())
    }

    /// All lookups on boot or hot-added sections.
    fn lookups(&mut self, sections: Sections, progress: &mut impl Progress) -> Result<(), RaceError> {
        let ops: Vec<LookupOp> = LookupOp::ALL
            .into_iter()
            .filter(|op| self.settings.ops.is_empty() || self.settings.ops.contains(op))
            .collect();
        for op in ops {
            for pattern in Pattern::ALL {
                progress.stage(&format!("{op}, {pattern}, {} sections", sections.name()), self.left);
                let spent = Instant::now();
                self.lookup_group(op, pattern, sections)?;
                self.left = self.left.saturating_sub(spent.elapsed());
            }
        }
        Ok(())
    }

    fn lookup_group(&mut self, op: LookupOp, pattern: Pattern, sections: Sections) -> Result<(), RaceError> {
        let numbers = match (sections, op.reads_records()) {
            (Sections::Boot, true) => self.plan.backed_boot.clone(),
            (Sections::Boot, false) => self.plan.boot_sections.clone(),
            (Sections::Hot, true) => self.plan.backed_hot.clone(),
            (Sections::Hot, false) => self.plan.hot_sections::<G>(),
        };
        // Valid for every layout: a flat array ends with the last page, inside a section that others have whole.
        let end = if sections == Sections::Boot { self.plan.boot.end_pfn() } else { u64::MAX };
        let pfns = queries::<G>(pattern, &numbers, self.settings.seed, |pfn| pfn.0 < end);
        let mut lanes = Vec::new();
        for layout in 0..self.layouts.len() {
            let contestant = &self.layouts[layout];
            let mut blank = self.row(contestant.id(), op.name(), "time", "ns/op");
            (blank.sections, blank.pattern) = (Some(sections), Some(pattern.to_string()));
            if sections == Sections::Hot && contestant.hotplug().is_none() {
                self.not_offered(blank, "the layout has no hotplug");
            } else if pfns.is_empty() {
                self.not_offered(blank, "the map leaves no memory to look up");
            } else {
                let prepared = contestant.prepare(op, &pfns).map_err(RaceError::WrongAnswer)?;
                lanes.push((Lane { layout, prepared, passes: 1 }, blank));
            }
        }
        let slice = self.settings.effort.slice;
        for (lane, _) in &mut lanes {
            lane.passes = self.calibrate(lane, slice)?;
        }
        lanes.shuffle(&mut self.rng);
        for round in 0..self.settings.effort.rounds {
            self.interrupt.check()?;
            let order: Vec<usize> =
                if round % 2 == 0 { (0..lanes.len()).collect() } else { (0..lanes.len()).rev().collect() };
            for at in order {
                let (lane, blank) = &lanes[at];
                let elapsed = self.slice(lane, lane.passes)?;
                let n_ops = lane.passes * lane.prepared.len();
                let row = Row {
                    mode: Some("independent".to_owned()),
                    sample: Some(round),
                    value: Some(elapsed.as_secs_f64() * 1e9 / n_ops as f64),
                    n_ops: Some(n_ops),
                    ..blank.clone()
                };
                self.outcome.rows.push(row);
            }
        }
        if let Some((lane, blank)) = lanes.first() {
            self.floor_row(lane, blank);
        }
        Ok(())
    }

    /// The loop alone, once a group, so that a reader can see what is in every figure.
    fn floor_row(&mut self, lane: &Lane, blank: &Row) {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let begin = Instant::now();
            std::hint::black_box(lookup::floor(&lane.prepared, lane.passes));
            best = best.min(begin.elapsed());
        }
        let n_ops = lane.passes * lane.prepared.len();
        self.outcome.rows.push(Row {
            layout: "loop".to_owned(),
            metric: "floor".to_owned(),
            value: Some(best.as_secs_f64() * 1e9 / n_ops as f64),
            n_ops: Some(n_ops),
            ..blank.clone()
        });
    }

    /// Passes that fill a slice.
    fn calibrate(&self, lane: &Lane, slice: Duration) -> Result<u64, RaceError> {
        let mut passes = 1;
        loop {
            let elapsed = self.slice(lane, passes)?;
            if elapsed >= slice / 4 {
                let fill = slice.as_secs_f64() / elapsed.as_secs_f64() * passes as f64;
                return Ok((fill.round() as u64).max(1));
            }
            passes *= 2;
        }
    }

    fn slice(&self, lane: &Lane, passes: u64) -> Result<Duration, RaceError> {
        let layout = &self.layouts[lane.layout];
        let begin = Instant::now();
        let sum = layout.run(&lane.prepared, passes);
        let elapsed = begin.elapsed();
        let expected = lane.prepared.expected(passes);
        if sum != expected || elapsed.is_zero() {
            let (id, op) = (layout.id(), lane.prepared.op());
            return Err(RaceError::WrongAnswer(format!(
                "{id}: {op} added up to {sum:#x} in {elapsed:?}, the answers that were checked add up to {expected:#x}"
            )));
        }
        Ok(elapsed)
    }

    fn not_offered(&mut self, blank: Row, reason: &str) {
        self.outcome.rows.push(Row { status: Status::NotOffered, reason: Some(reason.to_owned()), ..blank });
    }

    fn plugged(&self) -> impl Iterator<Item = (usize, &dyn HotplugContestant)> {
        self.layouts.iter().enumerate().filter_map(|(at, layout)| Some((at, layout.hotplug()?)))
    }

    /// Lookups on as many hot-added sections as there are at boot.
    fn hot_window(&mut self, mut oracle: Oracle<G>, progress: &mut impl Progress) -> Result<(), RaceError> {
        let Some(window) = self.plan.hot else { return Ok(()) };
        progress.stage("hot-adding memory", self.left);
        let before = oracle.clone();
        // One device, used by one layout after the other in tests, by one layout at a time here.
        let device = self.device(window)?;
        for (at, hotplug) in self.plugged() {
            self.interrupt.check()?;
            let layout = self.layouts[at].id();
            hotplug.add_window(window, device.as_ref()).map_err(|source| RaceError::Hotplug { layout, source })?;
        }
        oracle.add(window);
        self.verify_plugged(&oracle)?;
        self.footprint_of_hot();
        self.lookups(Sections::Hot, progress)?;
        for (at, hotplug) in self.plugged() {
            let layout = self.layouts[at].id();
            hotplug.remove_window(window).map_err(|error| RaceError::Hotplug { layout, source: error.into() })?;
        }
        self.verify_plugged(&before)
    }

    /// Layouts without hotplug know nothing of what was added.
    fn verify_plugged(&self, oracle: &Oracle<G>) -> Result<(), RaceError> {
        for layout in self.layouts.iter().filter(|layout| layout.caps().validity != Validity::Span) {
            self.interrupt.check()?;
            layout.agree(oracle).map_err(RaceError::WrongAnswer)?;
        }
        Ok(())
    }

    fn footprint_of_hot(&mut self) {
        let mut rows = Vec::new();
        for layout in self.layouts.iter().filter(|layout| layout.hotplug().is_some()) {
            let footprint = layout.footprint();
            let bytes = [
                ("index", footprint.index_bytes),
                ("records_backed", footprint.ram_record_bytes + footprint.device_record_bytes),
                ("records_on_device", footprint.device_record_bytes),
            ];
            for (metric, bytes) in bytes {
                let mut row = self.row(layout.id(), "footprint", metric, "bytes");
                (row.sections, row.value) = (Some(Sections::Hot), Some(bytes as f64));
                rows.push(row);
            }
        }
        self.outcome.rows.extend(rows);
    }

    /// A device for the layouts that can use one.
    fn device(&self, window: PfnRange) -> Result<Option<Arc<DaxDevice>>, RaceError> {
        if !self.layouts.iter().any(|layout| layout.caps().records_on_device) {
            return Ok(None);
        }
        let dir = tmpfs_dir(&self.settings.backing);
        Ok(Some(device_for::<G>(self.settings.device.as_ref(), dir, window)?))
    }

    /// Additions and removals of every size, layouts in turn.
    fn latencies(&mut self, progress: &mut impl Progress) -> Result<(), RaceError> {
        let window = self.plan.latency;
        let device = window.map(|window| self.device(window)).transpose()?.flatten();
        for size in HOTPLUG_SIZES {
            progress.stage(&format!("hot-add and hot-remove of {}", Bytes(size)), self.left);
            let spent = Instant::now();
            let mut lanes: Vec<(usize, PfnRange, Latencies)> = Vec::new();
            let mut refused: Vec<(usize, String)> = Vec::new();
            for at in 0..self.layouts.len() {
                let range = self.layouts[at].hotplug().zip(window).and_then(|(h, window)| h.timed_range(window, size));
                match (range, self.layouts[at].caps().hotplug_granule_pages, window) {
                    (Some(range), _, _) => lanes.push((at, range, Latencies::default())),
                    (None, None, _) => refused.push((at, "the layout has no hotplug".to_owned())),
                    (None, _, None) => refused.push((at, "the physical space has no room above the map".to_owned())),
                    (None, Some(pages), _) => {
                        let granule = Bytes(pages << G::PAGE_SHIFT);
                        refused.push((at, format!("the layout adds multiples of {granule}")));
                    }
                }
            }
            self.time_lanes(&mut lanes, &mut refused, device.as_ref())?;
            for (at, reason) in refused {
                for op in ["hot_add", "hot_remove"] {
                    let mut blank = self.row(self.layouts[at].id(), op, "p50", "ns");
                    blank.size_bytes = Some(size);
                    self.not_offered(blank, &reason);
                }
            }
            for (at, _, latencies) in lanes {
                self.latency_rows(at, size, latencies);
            }
            self.left = self.left.saturating_sub(spent.elapsed());
        }
        Ok(())
    }

    fn time_lanes(
        &mut self,
        lanes: &mut Vec<(usize, PfnRange, Latencies)>,
        refused: &mut Vec<(usize, String)>,
        device: Option<&Arc<DaxDevice>>,
    ) -> Result<(), RaceError> {
        let effort = self.settings.effort;
        lanes.shuffle(&mut self.rng);
        let mut spent = vec![Duration::ZERO; lanes.len()];
        let mut over_limit = vec![None; lanes.len()];
        let mut open = true;
        let mut round = 0u32;
        while open {
            open = false;
            let order: Vec<usize> =
                if round.is_multiple_of(2) { (0..lanes.len()).collect() } else { (0..lanes.len()).rev().collect() };
            round += 1;
            for at in order {
                let (layout, range, latencies) = &mut lanes[at];
                let done = latencies.add.len() >= effort.hotplug_samples || spent[at] >= effort.hotplug_time;
                if done || over_limit[at].is_some() {
                    continue;
                }
                open = true;
                let begin = Instant::now();
                while begin.elapsed() < 2 * effort.slice {
                    self.interrupt.check()?;
                    let hotplug = self.layouts[*layout].hotplug().expect("lanes have hotplug");
                    match hotplug.time(*range, device, latencies) {
                        Ok(()) => {}
                        // Too large for this run, not wrong.
                        Err(HotplugProbeError::Device(error @ DaxError::TooSmall { .. })) => {
                            over_limit[at] = Some(error.to_string());
                            break;
                        }
                        Err(HotplugProbeError::Hotplug(HotplugError::Vmem { source, .. }))
                            if latencies.add.is_empty() && source.is_budget() =>
                        {
                            over_limit[at] = Some(source.to_string());
                            break;
                        }
                        Err(source) => {
                            return Err(RaceError::Hotplug { layout: self.layouts[*layout].id(), source });
                        }
                    }
                }
                spent[at] += begin.elapsed();
            }
        }
        for (at, reason) in over_limit.into_iter().enumerate().rev() {
            if let Some(reason) = reason {
                refused.push((lanes.remove(at).0, reason));
            }
        }
        Ok(())
    }

    fn latency_rows(&mut self, at: usize, size: u64, latencies: Latencies) {
        let id = self.layouts[at].id();
        for (op, histogram) in [("hot_add", &latencies.add), ("hot_remove", &latencies.remove)] {
            let n_ops = histogram.len();
            let row = |race: &Self, metric: &str| Row {
                size_bytes: Some(size),
                n_ops: Some(n_ops),
                ..race.row(id, op, metric, "ns")
            };
            for (metric, p) in PERCENTILES {
                let row = match percentile(histogram, p) {
                    Ok(ns) => Row { value: Some(ns as f64), ..row(self, metric) },
                    Err(_) => Row { status: Status::TooFew, ..row(self, metric) },
                };
                self.outcome.rows.push(row);
            }
            self.outcome.rows.push(Row { value: Some(histogram.max() as f64), ..row(self, "max") });
            self.outcome.histograms.push((format!("{op}/{id}/{size}"), histogram.clone()));
        }
        for (phase, total) in &latencies.phases.total {
            let mut row = self.row(id, "hotplug", &format!("phase_{phase:?}").to_lowercase(), "ns");
            (row.size_bytes, row.n_ops) = (Some(size), Some(latencies.add.len()));
            row.value = Some(total.as_nanos() as f64 / latencies.add.len().max(1) as f64);
            self.outcome.rows.push(row);
        }
        let mut row = self.row(id, "hotplug", "records_on_device", "ratio");
        (row.size_bytes, row.value) = (Some(size), Some(latencies.on_device));
        row.reason = (latencies.on_device > 0.0).then(|| "blocks reused from one addition to the next".to_owned());
        self.outcome.rows.push(row);
    }

    /// What the reference layout puts on top of a bare populate and the same records written, at 2 MiB.
    fn own_cost(&mut self, progress: &mut impl Progress) -> Result<(), RaceError> {
        let Some(at) = self.layouts.iter().position(|layout| layout.id() == REFERENCE) else { return Ok(()) };
        let Some(window) = self.plan.latency else { return Ok(()) };
        let hotplug = self.layouts[at].hotplug().expect("the reference has hotplug");
        let Some(range) = hotplug.timed_range(window, HOTPLUG_SIZES[0]) else { return Ok(()) };
        progress.stage("hot-add against a bare populate", self.left);
        let bare_records = BareRecords::new(range.nr_pages() as usize, &self.settings.backing)?;
        let (mut layout, mut bare) = (Latencies::default(), hotplug::histogram());
        let effort = self.settings.effort;
        let begin = Instant::now();
        // The first slice of each warms up page tables and is forgotten.
        let mut warm = false;
        while bare.len() < effort.hotplug_samples && begin.elapsed() < effort.hotplug_time {
            let layout_first: bool = self.rng.random();
            for turn in [layout_first, !layout_first] {
                let slice = Instant::now();
                while slice.elapsed() < effort.slice {
                    self.interrupt.check()?;
                    if turn {
                        let id = REFERENCE;
                        hotplug
                            .time(range, None, &mut layout)
                            .map_err(|source| RaceError::Hotplug { layout: id, source })?;
                    } else {
                        hotplug::record(&mut bare, bare_records.round(range.start())?);
                    }
                }
            }
            if !warm {
                warm = true;
                (layout, bare) = (Latencies::default(), hotplug::histogram());
            }
        }
        let medians = [("add_p50", &layout.add), ("bare_p50", &bare)].map(|(metric, histogram)| {
            let mut row = self.row(REFERENCE, "own_cost", metric, "ns");
            row.size_bytes = Some(HOTPLUG_SIZES[0]);
            row.n_ops = Some(histogram.len());
            match percentile(histogram, 0.5) {
                Ok(ns) => row.value = Some(ns as f64),
                Err(_) => row.status = Status::TooFew,
            }
            row
        });
        let mut ratio = self.row(REFERENCE, "own_cost", "add_over_bare", "ratio");
        ratio.size_bytes = Some(HOTPLUG_SIZES[0]);
        match (medians[0].value, medians[1].value) {
            (Some(add), Some(bare)) if bare > 0.0 => ratio.value = Some(add / bare),
            _ => ratio.status = Status::TooFew,
        }
        self.outcome.rows.extend(medians);
        self.outcome.rows.push(ratio);
        Ok(())
    }
}
