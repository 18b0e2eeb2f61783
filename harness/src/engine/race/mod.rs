//! Races layouts in one process: they take turns, one short slice at a time.
//!
//! Each round has a slice of about 300 µs for each layout, in random order and then in the opposite
//! order (ABBA). Drift of the machine then affects all layouts alike. Every answer is checked
//! before it is timed, and the sum of the answers after each slice.

mod chosen;
mod cold;
mod counters;
pub mod duel_worker;
mod error;
mod expectations;
mod footprints;
mod hotplug;
mod lookups;
mod own_cost;
mod progress;
mod readers;
mod settings;
mod sink;
#[cfg(test)]
mod test_support;

pub use self::chosen::{Served, chosen, contestants, of_tier, without_bound};
use self::counters::Counters;
pub use self::error::RaceError;
pub use self::settings::Settings;
pub use self::sink::Sink;
use crate::case::{BOOT, Memory, OWN_COST, REFERENCE};
use crate::engine::contestant::{Entry, control};
use crate::engine::field::{Field, Lineup};
use crate::engine::memory_plan::MapMemory;
use crate::engine::pinning;
use crate::engine::probe::disturbance::Watch;
use crate::interrupt::Interrupt;
use crate::record::examination::Verdict;
use crate::record::row::{Row, SCHEMA, Status};
use crate::record::unit::Unit;
use crate::workload::work::unit_of;
use memmap_layouts::Geometry;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use std::time::{Duration, Instant};

/// Races the layouts on a machine with the memory of a map.
///
/// # Errors
/// [`RaceError`]. Everything that was mapped has been unmapped, and finished units were passed to
/// the sink.
pub fn race<G: Geometry>(
    map: MapMemory,
    settings: &Settings,
    interrupt: &Interrupt,
    sink: &mut dyn Sink,
) -> Result<(), RaceError> {
    let names = &settings.job.conditions.layouts;
    // The bound takes part in lookups only.
    let all = match settings.job.work.lookups.is_empty() {
        true => chosen::<G>(names)?,
        false => contestants::<G>(names)?,
    };
    let Served { entries, left_out } = Served::new(all, &settings.means);
    let left = settings.job.work.estimate(&settings.job.effort, entries.len());
    sink.begin(BOOT, "booting and verifying the layouts", left);
    let begun = Instant::now();
    // Without lookups a race needs neither a control nor second boots.
    let lineup = match settings.job.work.lookups.is_empty() {
        true => Lineup::once(&entries),
        false => {
            let control = namesake(&entries).map(control);
            Lineup { entries: &entries, control, boots: settings.job.effort.boots }
        }
    };
    let field = Field::<G>::boot(map, &lineup, &settings.means, interrupt)?;
    let mut race = Race::new(field, settings, interrupt, sink);
    race.outcome.name = BOOT.to_owned();
    (race.left, race.begun) = (left, begun);
    race.expectations()?;
    race.footprint_of_boot(&entries);
    race.push_huge_pages(Memory::Boot);
    let elsewhere = chosen::of_x86_64_only::<G>(&settings.job.conditions.layouts);
    for (id, reason) in left_out.into_iter().chain(elsewhere) {
        let blank = race.row(id, "boot", "records_needed", "bytes");
        race.not_offered(blank, &reason);
    }
    let wants_lookups = settings.job.work.lookups.iter().any(|work| race.is_open(&unit_of(work)));
    let has_added = wants_lookups && race.field.hot_add(interrupt)?;
    if has_added {
        race.footprint_of_added();
        race.push_huge_pages(Memory::Added);
    }
    let mut counters = if settings.job.work.counters { race.open_counters() } else { Counters::none() };
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
    let mut window = race.hotplug_window()?;
    for group in &settings.job.work.hotplug {
        if race.is_late() {
            race.not_reached(&group.name(), "hot_add");
            continue;
        }
        // A single thread is pinned to one processor; groups with several threads need more.
        let _pinned = (group.init_threads.get() == 1).then(pinning::pin);
        race.unit(&group.name(), |race| race.latency_group(group, window.as_mut()))?;
    }
    for group in &settings.job.work.readers {
        if race.is_late() {
            race.not_reached(&group.name(), "readers");
            continue;
        }
        race.unit(&group.name(), |race| race.readers(group))?;
    }
    if settings.job.work.own_cost && !race.is_late() {
        let _pinned = pinning::pin();
        race.unit(OWN_COST, Race::own_cost)?;
    }
    race.report_not_reached()
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
    /// Rows of units that were not started in time.
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
    /// A row without a value, with the fields that all rows of a layout and operation share.
    fn row(&self, layout: &str, op: &str, metric: &str, unit: &str) -> Row {
        Row {
            v: SCHEMA,
            layout: layout.to_owned(),
            op: op.to_owned(),
            map: self.settings.job.map.name.clone(),
            backing: self.field.backing_of(layout),
            sampled: self.field.plan.is_sampled(),
            process: self.settings.job.process,
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            machine: self.settings.job.machine.clone(),
            doctor: Verdict::Unknown.to_string(),
            ..Row::default()
        }
    }

    fn not_offered(&mut self, blank: Row, reason: &str) {
        self.outcome.rows.push(Row { status: Status::NotOffered, reason: Some(reason.to_owned()), ..blank });
    }
}

#[cfg(test)]
mod tests {
    use super::test_support::{Kept, machine, run, settings, small_machine, with_race};
    use super::*;
    use crate::case::{Dependency, LookupGroup};
    use crate::engine::field::FieldError;
    use crate::engine::layouts::entries;
    use memmap_layouts::{BootMap, BootRange, PfnRange, X86_64};

    /// `segments` treats three parts as invalid: the hole, the pages before the first range, and
    /// the rest of the last sub-section.
    #[test]
    fn disputed_percent_counts_single_pages() {
        let boot = [(0x100, 0x8200), (0xa000, 0x17f00)].map(|(start, end)| {
            let range = PfnRange::new(start, end).unwrap();
            BootRange { range, node: 0 }
        });
        with_race(machine(BootMap::new(boot).unwrap()), &settings(), |race| {
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
            for work in &settings.job.work.lookups {
                let matches = |row: &Row| row.layout == entry.id && row.lookup_group() == Some(work.group);
                assert!(kept.rows().any(matches), "{} {}", entry.id, unit_of(work));
            }
            for group in &settings.job.work.hotplug {
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
    fn chained_rows_record_the_dependency() {
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
    fn each_boot_and_the_control_have_their_own_rows() {
        let mut settings = settings();
        settings.means.records_limit = 128 << 20;
        let group = LookupGroup::plain(crate::case::LookupOp::PfnValid, crate::case::Pattern::Random);
        settings.job.work.lookups.retain(|work| work.group == group);
        (settings.job.work.hotplug, settings.job.work.readers, settings.job.work.own_cost) =
            (Vec::new(), Vec::new(), false);
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
        assert!(
            !kept.rows().any(|row| row.layout == "control" && row.op == "footprint"),
            "the control has no footprint"
        );
    }

    #[test]
    fn an_interrupt_ends_the_race_with_an_error() {
        let (settings, interrupt) = (settings(), Interrupt::asked());
        let mut kept = Kept::default();
        let error = race::<X86_64>(small_machine(), &settings, &interrupt, &mut kept).unwrap_err();
        assert!(matches!(error, RaceError::Field(FieldError::Interrupted(_))), "{error}");
    }
}
