//! The race: layouts side by side in one process, in slices that take turns.
//!
//! Each round has a slice of about 300 µs for each layout, in random order and then in the opposite
//! order (ABBA). Drift of the machine then affects all layouts alike. Every answer is checked
//! before it is timed, and the sum of the answers afterwards.

mod cold;
mod counters;
pub mod duel_worker;
mod latencies;
mod lookups;
mod own_cost;
mod readers;

use self::counters::Counters;
use crate::analysis::huge_pages::{IN_HUGE_PAGES, INDEX_IN_HUGE_PAGES};
use crate::case::{BOOT, Filter, Memory, NOT_REACHED, OWN_COST, REFERENCE};
use crate::engine::contestant::{Entry, again, control, unserved};
use crate::engine::field::{Field, FieldError, Lineup, Means};
use crate::engine::layouts::entries;
use crate::engine::pinning;
use crate::engine::probe::baseline::BaselineError;
use crate::engine::probe::disturbance::Watch;
use crate::interrupt::{Interrupt, Interrupted};
use crate::record::examination::Verdict;
use crate::record::row::{Row, SCHEMA, Status};
use crate::record::unit::Unit;
use crate::workload::tier::Effort;
use crate::workload::work::{Work, unit_of};
use memmap_layouts::{BootMap, Geometry};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Everything that defines a race on one map.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Samples and durations for each kind of case.
    pub effort: Effort,
    /// The memory that the layouts use, and the seed.
    pub means: Means,
    /// Ids of the layouts to race; empty for all.
    pub layouts: Vec<String>,
    /// The groups of cases to measure.
    pub work: Work,
    /// Filter on the names of cases.
    pub filter: Filter,
    /// Units that were measured already and are skipped.
    pub done: BTreeSet<String>,
    /// Wall-clock time for lookups, from the start of the process; `None` for no limit. Units that
    /// begin later are not measured.
    pub time_limit: Option<Duration>,
    /// Number of the process in the run, from 0.
    pub process: u32,
    /// Name of the map, for rows.
    pub map_name: String,
    /// Fingerprint of the machine, for rows.
    pub machine: String,
}

/// Why a race could not be completed.
#[derive(Debug, Error)]
pub enum RaceError {
    /// A layout did not boot, answered wrongly, or refused hotplug.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The user asked to stop. Not `transparent`, so that the cause can be found in the error
    /// chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// A result could not be stored.
    #[error("cannot keep what was measured: {0}")]
    Keep(#[from] io::Error),
    /// The hotplug baseline could not be measured.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// No layout has this id.
    #[error("there is no layout {name:?}; there are {known}")]
    NoSuchLayout {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}

/// Receives the progress and the results of a race.
pub trait Sink {
    /// A unit begins, or its next step, described by `what`; `left` is the estimated time until the
    /// race ends.
    fn begin(&mut self, unit: &str, what: &str, left: Duration);
    /// A unit is done, with its rows.
    ///
    /// # Errors
    /// The unit cannot be stored; this ends the race.
    fn done(&mut self, unit: Unit) -> io::Result<()>;
}

/// The layouts with these ids, in the order of reports; all of them if there are no ids. An id that
/// occurs twice selects the layout twice, to compare it with itself.
///
/// # Errors
/// No layout has one of the ids.
pub fn chosen<G: Geometry>(names: &[String]) -> Result<Vec<Entry<G>>, RaceError> {
    let all = entries::<G>();
    if let Some(name) = names.iter().find(|name| all.iter().all(|entry| entry.id != **name)) {
        let known = all.iter().map(|entry| entry.id).collect::<Vec<_>>().join(", ");
        return Err(RaceError::NoSuchLayout { name: name.clone(), known });
    }
    if names.is_empty() {
        return Ok(all);
    }
    let times = |entry: Entry<G>| {
        let nr = names.iter().filter(|name| *name == entry.id).count();
        (1..=nr).map(move |time| if time == 1 { entry } else { again(entry, time) })
    };
    Ok(all.into_iter().flat_map(times).collect())
}

/// Layouts, sorted by whether the given memory can hold their records.
pub struct Served<G: Geometry> {
    /// The layouts that can be raced.
    pub entries: Vec<Entry<G>>,
    /// Ids of the other layouts, with the reason.
    pub left_out: Vec<(&'static str, String)>,
}

impl<G: Geometry> Served<G> {
    /// Sorts layouts by whether `means` can hold their records.
    pub fn new(entries: Vec<Entry<G>>, means: &Means) -> Self {
        let mut served = Self { entries: Vec::new(), left_out: Vec::new() };
        for entry in entries {
            let by_device = means.device.as_ref().and_then(|device| unserved(&entry, device));
            match by_device.or_else(|| entry.refuses(&means.backing)) {
                Some(reason) => served.left_out.push((entry.id, reason)),
                None => served.entries.push(entry),
            }
        }
        served
    }
}

/// Races the layouts on a machine with boot memory `boot`; `map_end` is the end of all memory in
/// its map, in bytes.
///
/// # Errors
/// [`RaceError`]. Everything that was mapped has been unmapped, and finished units were passed to
/// the sink.
pub fn race<G: Geometry>(
    boot: BootMap,
    map_end: u64,
    settings: &Settings,
    interrupt: &Interrupt,
    sink: &mut dyn Sink,
) -> Result<(), RaceError> {
    let Served { entries, left_out } = Served::new(chosen::<G>(&settings.layouts)?, &settings.means);
    let left = settings.work.estimate(&settings.effort, entries.len());
    sink.begin(BOOT, "booting and verifying the layouts", left);
    let begun = Instant::now();
    // Without lookups a race needs neither a control nor second boots.
    let lineup = match settings.work.lookups.is_empty() {
        true => Lineup::once(&entries),
        false => {
            let control = namesake(&entries).map(control);
            Lineup { entries: &entries, control, boots: settings.effort.boots }
        }
    };
    let field = Field::<G>::boot(boot, map_end, &lineup, &settings.means, interrupt)?;
    let mut race = Race::new(field, settings, interrupt, sink);
    race.outcome.name = BOOT.to_owned();
    (race.left, race.begun) = (left, begun);
    race.expectations()?;
    race.footprint_of_boot(&entries);
    race.push_huge_pages(Memory::Boot);
    for (id, reason) in left_out {
        let blank = race.row(id, "boot", "records_needed", "bytes");
        race.not_offered(blank, &reason);
    }
    let wants_lookups = settings.work.lookups.iter().any(|work| race.is_open(&unit_of(work)));
    let has_added = wants_lookups && race.field.hot_add(interrupt)?;
    if has_added {
        race.footprint_of_added();
        race.push_huge_pages(Memory::Added);
    }
    let mut counters = if settings.work.counters { race.open_counters() } else { Counters::none() };
    if race.is_open(BOOT) {
        race.close()?;
    }
    if wants_lookups {
        let pinned = pinning::pin();
        race.lookups(has_added, &mut counters)?;
        drop(pinned);
        if has_added {
            race.field.hot_remove(interrupt)?;
        }
    }
    let mut ground = race.ground()?;
    for group in &settings.work.hotplug {
        if race.is_late() {
            race.not_reached(&group.name(), "hot_add");
            continue;
        }
        // Several threads, readers and writers need several processors; a single thread is pinned
        // to one.
        let _pinned = (group.init_threads.get() == 1).then(pinning::pin);
        race.unit(&group.name(), |race| race.latency_group(group, ground.as_mut()))?;
    }
    for group in &settings.work.readers {
        if race.is_late() {
            race.not_reached(&group.name(), "readers");
            continue;
        }
        race.unit(&group.name(), |race| race.readers(group))?;
    }
    if settings.work.own_cost && !race.is_late() {
        let _pinned = pinning::pin();
        race.unit(OWN_COST, Race::own_cost)?;
    }
    race.tell_what_was_not_reached()
}

struct Race<'a, G: Geometry> {
    field: Field<G>,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
    sink: &'a mut dyn Sink,
    outcome: Unit,
    rng: Pcg64Mcg,
    left: Duration,
    begun: Instant,
    /// Id of the layout that the control copies.
    control: &'static str,
    watch: Watch,
    /// Rows of units that were not begun.
    late: Vec<Row>,
}

/// The layout that the control copies: the reference, or the first one if the reference is absent.
fn namesake<G: Geometry>(entries: &[Entry<G>]) -> Option<Entry<G>> {
    entries.iter().find(|entry| entry.id == REFERENCE).or(entries.first()).copied()
}

impl<'a, G: Geometry> Race<'a, G> {
    fn new(field: Field<G>, settings: &'a Settings, interrupt: &'a Interrupt, sink: &'a mut dyn Sink) -> Self {
        let is_there = field.layouts.iter().any(|layout| layout.id() == REFERENCE);
        let first = field.layouts.first().map(|layout| layout.id());
        Self {
            control: if is_there { REFERENCE } else { first.unwrap_or(REFERENCE) },
            field,
            settings,
            interrupt,
            sink,
            outcome: Unit::default(),
            rng: Pcg64Mcg::seed_from_u64(settings.means.seed),
            left: Duration::ZERO,
            begun: Instant::now(),
            watch: Watch::for_this_thread(),
            late: Vec::new(),
        }
    }
}

impl<G: Geometry> Race<'_, G> {
    /// True if a unit is still to be measured.
    fn is_open(&self, unit: &str) -> bool {
        !self.settings.done.contains(unit)
    }

    /// Measures a unit unless it is done already, and passes its results to the sink.
    fn unit(&mut self, unit: &str, measure: impl FnOnce(&mut Self) -> Result<(), RaceError>) -> Result<(), RaceError> {
        if !self.is_open(unit) {
            return Ok(());
        }
        self.open(unit);
        let begin = Instant::now();
        measure(self)?;
        self.spent(begin);
        self.close()
    }

    /// Remaining time for lookups; `None` if there is no limit.
    fn time_left(&self) -> Option<Duration> {
        self.settings.time_limit.map(|limit| limit.saturating_sub(self.begun.elapsed()))
    }

    /// True if the time for lookups is over.
    fn is_late(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    /// Adds a row for a unit that was not begun because the time was over. It does not count as
    /// done, so a resumed run measures it.
    fn not_reached(&mut self, unit: &str, op: &str) {
        if self.is_open(unit) {
            let row = self.row("all", op, "time", "ns/op");
            self.late.push(Row { reason: Some(format!("{unit}: {NOT_REACHED}")), ..row });
        }
    }

    /// Passes a row for each unit that was not begun to the sink.
    fn tell_what_was_not_reached(&mut self) -> Result<(), RaceError> {
        if self.late.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.late).into_iter();
        let rows = rows.map(|row| Row { status: Status::TooFew, n_ops: Some(0), ..row }).collect();
        let name = format!("not reached by process {}", self.settings.process);
        Ok(self.sink.done(Unit { name, rows, histograms: Vec::new() })?)
    }

    /// Begins a unit and reports it to the sink.
    fn open(&mut self, unit: &str) {
        self.outcome = Unit { name: unit.to_owned(), ..Unit::default() };
        self.stage(unit);
    }

    /// Passes everything measured since the unit began to the sink.
    fn close(&mut self) -> Result<(), RaceError> {
        Ok(self.sink.done(std::mem::take(&mut self.outcome))?)
    }

    /// Checks the answers that the workloads expect.
    fn expectations(&self) -> Result<(), RaceError> {
        for expectation in &self.settings.work.expect {
            for layout in &self.field.layouts {
                let Some(expected) = expectation.answer(layout.caps().validity) else { continue };
                let pfn = expectation.pfn();
                if layout.pfn_valid(pfn) != expected {
                    // The map by its name; rows do not record where a workload found it.
                    let (id, map) = (layout.id(), &self.settings.map_name);
                    let wrong =
                        format!("{id}: pfn_valid({pfn}) on {map} is {}, the workload expects {expected}", !expected);
                    return Err(FieldError::WrongAnswer(wrong).into());
                }
            }
        }
        Ok(())
    }

    /// An empty row.
    fn row(&self, layout: &str, op: &str, metric: &str, unit: &str) -> Row {
        Row {
            v: SCHEMA,
            layout: layout.to_owned(),
            op: op.to_owned(),
            map: self.settings.map_name.clone(),
            backing: self.field.backing_of(layout),
            sampled: self.field.plan.is_sampled(),
            process: self.settings.process,
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            machine: self.settings.machine.clone(),
            doctor: Verdict::Unknown.to_string(),
            ..Row::default()
        }
    }

    fn not_offered(&mut self, blank: Row, reason: &str) {
        self.outcome.rows.push(Row { status: Status::NotOffered, reason: Some(reason.to_owned()), ..blank });
    }

    fn stage(&mut self, what: &str) {
        self.sink.begin(&self.outcome.name, what, self.left);
    }

    /// Subtracts the time since `begin` from the estimate.
    fn spent(&mut self, begin: Instant) {
        self.left = self.left.saturating_sub(begin.elapsed());
    }

    fn push_bytes(&mut self, layout: &str, memory: Memory, bytes: &[(&str, u64)]) {
        for (metric, bytes) in bytes {
            let mut row = self.row(layout, "footprint", metric, "bytes");
            (row.memory, row.value) = (Some(memory), Some(*bytes as f64));
            self.outcome.rows.push(row);
        }
    }

    /// Adds a row on how many records are in huge pages, if those were requested.
    fn push_huge_pages(&mut self, memory: Memory) {
        let layouts = self.field.layouts.iter().filter(|l| memory == Memory::Boot || l.hotplug().is_some());
        let found: Vec<_> = layouts
            .flat_map(|l| {
                let records = (IN_HUGE_PAGES, l.bytes_in_huge_pages());
                let index = (INDEX_IN_HUGE_PAGES, l.index_bytes_in_huge_pages());
                [records, index].map(|(metric, bytes)| (l.id(), metric, bytes))
            })
            .collect();
        for (layout, metric, bytes) in found {
            if let Some(bytes) = bytes {
                self.push_bytes(layout, memory, &[(metric, bytes)]);
            }
        }
    }

    fn footprint_of_boot(&mut self, entries: &[Entry<G>]) {
        for entry in entries {
            let refused = self.field.refused.iter().find(|refused| refused.layout == entry.id);
            if let Some(refused) = refused {
                let row = Row {
                    value: Some(refused.need_bytes as f64),
                    status: Status::WouldNotBoot,
                    reason: Some(refused.reason.clone()),
                    ..self.row(entry.id, "boot", "records_needed", "bytes")
                };
                self.outcome.rows.push(row);
            } else if let Some(layout) = self.field.layouts.iter().find(|layout| layout.id() == entry.id) {
                let footprint = layout.footprint();
                let bytes = [
                    ("records_needed", (entry.boot_record_bytes)(&self.field.plan.boot)),
                    ("records_backed", footprint.ram_record_bytes),
                    ("index", footprint.index_bytes),
                    ("page_tables", footprint.page_table_bytes),
                    ("reserved", footprint.reserved_bytes),
                ];
                self.push_bytes(entry.id, Memory::Boot, &bytes);
            }
        }
    }

    fn footprint_of_added(&mut self) {
        let footprints: Vec<_> = self
            .field
            .plugged()
            .map(|(at, _)| (self.field.layouts[at].id(), self.field.layouts[at].footprint()))
            .collect();
        for (layout, footprint) in footprints {
            let bytes = [
                ("index", footprint.index_bytes),
                ("records_backed", footprint.ram_record_bytes + footprint.device_record_bytes),
                ("records_on_device", footprint.device_record_bytes),
            ];
            self.push_bytes(layout, Memory::Added, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Dependency;
    use crate::case::LookupGroup;
    use crate::workload::tier::Tier;
    use crate::workload::{self, Expectation, Workload};
    use memmap_layouts::IndexPages;
    use memmap_layouts::backing::RamBacking;
    use memmap_layouts::{BootRange, PfnRange, X86_64};

    /// A sink that keeps all units.
    #[derive(Debug, Default)]
    pub(super) struct Kept(Vec<Unit>);

    impl Sink for Kept {
        fn begin(&mut self, _: &str, _: &str, _: Duration) {}
        fn done(&mut self, unit: Unit) -> io::Result<()> {
            self.0.push(unit);
            Ok(())
        }
    }

    impl Kept {
        fn rows(&self) -> impl Iterator<Item = &Row> {
            self.0.iter().flat_map(|unit| &unit.rows)
        }
    }

    /// Settings small enough for a test that cover every part of a race.
    pub(super) fn settings() -> Settings {
        let effort = Effort {
            slice: Duration::from_micros(100),
            boots: 2,
            pairs: 2,
            cold_rounds: 1,
            hotplug_samples: 20,
            hotplug_time: Duration::from_millis(20),
            readers_slice: Duration::from_millis(20),
            readers_rounds: 1,
        };
        let (backing, index_pages) = (RamBacking::Anon, IndexPages::Base);
        let means = Means { backing, index_pages, device: None, records_limit: 64 << 20, seed: 1 };
        let mut work = workload::everything(&Workload::builtin(), Some(Tier::Default));
        let all = workload::everything(&Workload::builtin(), None).lookups.into_iter();
        work.lookups = all.filter(|work| work.map == crate::case::THIS_MACHINE).collect();
        let text = |text: &str| text.to_owned();
        Settings {
            effort,
            means,
            layouts: Vec::new(),
            work,
            filter: Filter::default(),
            done: BTreeSet::new(),
            time_limit: None,
            process: 0,
            map_name: text("m"),
            machine: text("x"),
        }
    }

    pub(super) fn small_machine() -> BootMap {
        let range = PfnRange::new(0x100, 0x14000).unwrap();
        BootMap::new([BootRange { range, node: 0 }]).unwrap()
    }

    /// Boots a race and passes it to `look`, to test single steps.
    pub(super) fn with_race(boot: BootMap, settings: &Settings, look: impl FnOnce(&mut Race<'_, X86_64>)) {
        let (interrupt, mut kept, entries) = (Interrupt::default(), Kept::default(), entries::<X86_64>());
        let map_end = boot.end_pfn() << X86_64::PAGE_SHIFT;
        let field = Field::boot(boot, map_end, &Lineup::once(&entries), &settings.means, &interrupt).unwrap();
        look(&mut Race::new(field, settings, &interrupt, &mut kept));
    }

    fn run(settings: &Settings) -> Result<Kept, RaceError> {
        let mut kept = Kept::default();
        race::<X86_64>(small_machine(), 0x14000 << 12, settings, &Interrupt::default(), &mut kept)?;
        Ok(kept)
    }

    /// The hole, the pages before the first range, and the rest of the sub-section in which memory ends: `segments`
    /// takes none of them for valid.
    #[test]
    fn disputed_pages_are_counted_to_the_page() {
        let boot = [(0x100, 0x8200), (0xa000, 0x17f00)].map(|(start, end)| {
            let range = PfnRange::new(start, end).unwrap();
            BootRange { range, node: 0 }
        });
        with_race(BootMap::new(boot).unwrap(), &settings(), |race| {
            let disputed = f64::from(0xa000 - 0x8200 + 0x100 + 0x100);
            let percent = race.field.disputed_percent();
            assert!((percent - 100.0 * disputed / f64::from(0x18000)).abs() < 1e-9, "{percent}");
        });
    }

    #[test]
    fn every_layout_has_every_row() {
        let settings = settings();
        let kept = run(&settings).unwrap();
        for entry in entries::<X86_64>() {
            for work in &settings.work.lookups {
                let matches = |row: &Row| row.layout == entry.id && row.lookup_group() == Some(work.group);
                assert!(kept.rows().any(matches), "{} {}", entry.id, unit_of(work));
            }
            for group in &settings.work.hotplug {
                for op in group.ops() {
                    let of_group = |row: &&Row| {
                        row.layout == entry.id
                            && row.op == op
                            && row.size_bytes == Some(group.size_bytes)
                            && row.position.as_deref() == Some(group.position.name())
                            && row.mode.as_deref() == Some(group.addresses.name())
                            && row.threads == Some(group.init_threads.get())
                    };
                    let metrics: Vec<_> = kept.rows().filter(of_group).map(|row| row.metric.as_str()).collect();
                    let refused = kept.rows().filter(of_group).all(|row| row.status == Status::NotOffered);
                    let expected: &[&str] = if refused { &["p50"] } else { &["p50", "p90", "p99", "p99.9", "max"] };
                    assert_eq!(metrics, expected, "{} {op} {group:?}", entry.id);
                }
            }
            let readers = kept.rows().filter(|row| row.layout == entry.id && row.op == "readers");
            let batches = readers.filter(|row| row.unit == "ns/batch").count();
            assert_eq!(batches, if entry.caps.hotplug_granule_pages.is_some() { 3 * 4 } else { 0 }, "{}", entry.id);
        }
        // Additions of 1 GiB to four layouts exceed the limit of 64 MiB on records. They are
        // reported, and the race continues.
        let too_large = kept.rows().filter(|row| row.size_bytes == Some(1 << 30) && row.layout == "sparse");
        assert!(too_large.count() > 0);
        let tags: Vec<_> = kept.0.iter().flat_map(|unit| &unit.histograms).map(|(tag, _)| tag.as_str()).collect();
        assert!(tags.contains(&"hot_add/subsection/2097152") && tags.contains(&"hot_remove/dax/16777216"), "{tags:?}");
        let others =
            ["hot_add_read/subsection/2097152/later", "hot_add/sparse/134217728/fresh", "readers/sparse/writer"];
        assert!(others.iter().all(|tag| tags.contains(tag)), "{tags:?}");
    }

    #[test]
    fn chained_rows_say_how_validity_reached_the_next_address() {
        let kept = run(&settings()).unwrap();
        let dependency = |layout: &str, op: &str, memory| {
            let matches = |row: &&Row| {
                let chained = row.mode.as_deref() == Some("chained") && row.metric == "time";
                chained && row.layout == layout && row.op == op && row.memory == Some(memory)
            };
            kept.rows().find(matches).unwrap().dependency
        };
        assert_eq!(dependency("subsection", "pfn_valid", Memory::Boot), Some(Dependency::Branch));
        assert_eq!(dependency("subsection", "pfn_valid", Memory::Added), Some(Dependency::Data));
        assert_eq!(dependency("subsection-v6", "pfn_valid", Memory::Boot), Some(Dependency::Data));
        assert_eq!(dependency("vmemmap-section", "valid_to_page", Memory::Added), Some(Dependency::Branch));
    }

    /// Each boot has its own lanes, and the control is timed like the reference. 64 MiB hold one
    /// boot of each.
    #[test]
    fn boots_and_the_control_have_rows_of_their_own() {
        let mut settings = settings();
        settings.means.records_limit = 128 << 20;
        let group = LookupGroup::plain(crate::case::LookupOp::PfnValid, crate::case::Pattern::Random);
        settings.work.lookups.retain(|work| work.group == group);
        (settings.work.hotplug, settings.work.readers, settings.work.own_cost) = (Vec::new(), Vec::new(), false);
        let kept = run(&settings).unwrap();
        let timed = |layout: &str, boot| {
            let matches = |row: &&Row| row.layout == layout && row.boot == Some(boot) && row.metric == "time";
            kept.rows().filter(matches).count()
        };
        for boot in [0, 1] {
            assert!(timed(REFERENCE, boot) > 0 && timed(REFERENCE, boot) == timed("control", boot), "boot {boot}");
        }
        let mut rows = kept.rows().filter(|row| row.metric == "time" && row.value.is_some());
        assert!(rows.all(|row| row.evidence.is_some_and(|evidence| evidence.wall_ns > 0)));
        assert!(!kept.rows().any(|row| row.layout == "control" && row.op == "footprint"), "the control is no layout");
    }

    #[test]
    fn groups_that_are_not_reached_in_time_are_not_measured() {
        let mut settings = settings();
        settings.time_limit = Some(Duration::ZERO);
        let kept = run(&settings).unwrap();
        assert!(!kept.rows().any(|row| row.value.is_some() && row.metric == "time"));
        assert!(kept.rows().any(|row| row.op == "footprint"));
        let told: Vec<&str> =
            kept.rows().filter(|row| row.status == Status::TooFew).filter_map(|row| row.reason.as_deref()).collect();
        let units = settings.work.lookups.len() + settings.work.hotplug.len() + settings.work.readers.len();
        assert!(told.len() == units && told.iter().all(|reason| reason.contains("the time of the run")), "{told:?}");
    }

    #[test]
    fn what_is_done_is_not_done_again() {
        let mut settings = settings();
        let all: Vec<String> = run(&settings).unwrap().0.into_iter().map(|unit| unit.name).collect();
        let last = all.last().unwrap().clone();
        settings.done = all.iter().filter(|unit| **unit != last).cloned().collect();
        let rest: Vec<String> = run(&settings).unwrap().0.into_iter().map(|unit| unit.name).collect();
        assert_eq!(rest, [last]);
    }

    #[test]
    fn an_expectation_that_does_not_hold_ends_the_race() {
        let mut settings = settings();
        let mut expectation =
            Expectation { map: "m".into(), pfn: 0x14000, span: false, section: true, subsection: false };
        settings.work = Work { expect: vec![expectation.clone()], ..Work::default() };
        run(&settings).unwrap();
        expectation.section = false;
        settings.work.expect = vec![expectation];
        let error = run(&settings).unwrap_err().to_string();
        assert!(error.contains("the workload expects false"), "{error}");
    }

    #[test]
    fn what_cannot_be_kept_ends_the_race() {
        struct Full;
        impl Sink for Full {
            fn begin(&mut self, _: &str, _: &str, _: Duration) {}
            fn done(&mut self, _: Unit) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let (settings, interrupt) = (settings(), Interrupt::default());
        let error = race::<X86_64>(small_machine(), 0x14000 << 12, &settings, &interrupt, &mut Full).unwrap_err();
        assert!(matches!(error, RaceError::Keep(_)), "{error}");
    }

    #[test]
    fn an_interrupted_race_says_so() {
        let (settings, interrupt) = (settings(), Interrupt::asked());
        let mut kept = Kept::default();
        let error = race::<X86_64>(small_machine(), 0x14000 << 12, &settings, &interrupt, &mut kept).unwrap_err();
        assert!(matches!(error, RaceError::Field(FieldError::Interrupted(_))), "{error}");
    }

    #[test]
    fn a_layout_that_is_not_there_is_named() {
        let error = chosen::<X86_64>(&["holey".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("holey") && error.contains("subsection"), "{error}");
    }

    #[test]
    fn a_layout_can_be_raced_with_itself() {
        let names = ["subsection", "flat", "subsection"].map(str::to_owned);
        let ids: Vec<_> = chosen::<X86_64>(&names).unwrap().iter().map(|entry| entry.id).collect();
        assert_eq!(ids, ["flat", "subsection", "subsection#2"]);
        let mut settings = settings();
        settings.layouts = names.to_vec();
        let kept = run(&settings).unwrap();
        assert!(kept.rows().any(|row| row.layout == "subsection#2" && row.metric == "time" && row.value.is_some()));
    }
}
