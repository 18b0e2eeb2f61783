//! The race: layouts side by side in one process, in slices that take turns.
//!
//! Two layouts are compared in neighbouring slices of about 2 ms, forwards and backwards in turn (ABBA), so that a machine
//! that drifts drifts for all. Every answer is checked before it is timed, and the sum of answers after.

mod counters;
mod latencies;
mod lookups;
mod own_cost;
mod readers;

use crate::cases::Filter;
use crate::contestant::{Entry, entries, unserved};
use crate::field::{Field, FieldError, Means};
use crate::huge_pages::IN_HUGE_PAGES;
use crate::interrupt::{Interrupt, Interrupted};
use crate::probe::bare::BareError;
use crate::probe::lookup::LookupOp;
use crate::queries::Pattern;
use crate::row::{Row, SCHEMA, Sections, Status};
use hdrhistogram::Histogram;
use memmap_layouts::{BootMap, Geometry};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
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
    /// Length of a slice of readers beside a writer.
    pub readers_slice: Duration,
    /// Rounds in which they have a slice beside the writer and one beside a busy thread.
    pub readers_rounds: u32,
}

impl Effort {
    /// For `pfnbench` alone: under a minute.
    pub const DEFAULT: Effort = Effort {
        slice: Duration::from_millis(2),
        rounds: 40,
        hotplug_samples: 10_000,
        hotplug_time: Duration::from_millis(1500),
        readers_slice: Duration::from_millis(100),
        readers_rounds: 6,
    };
    /// Under ten seconds: shows that everything works.
    pub const SMOKE: Effort = Effort {
        slice: Duration::from_millis(1),
        rounds: 6,
        hotplug_samples: 1_000,
        hotplug_time: Duration::from_millis(250),
        readers_slice: Duration::from_millis(50),
        readers_rounds: 2,
    };

    /// An upper estimate for the timed part.
    pub fn estimate(&self, layouts: usize) -> Duration {
        let hotplug = self.hotplug_time * (HOTPLUG_SIZES.len() as u32 + 1) * layouts as u32;
        self.estimate_lookups(layouts) + hotplug + self.readers_slice * self.readers_rounds * 2 * layouts as u32
    }

    /// The part of it for lookups.
    pub fn estimate_lookups(&self, layouts: usize) -> Duration {
        let groups = (LookupOp::ALL.len() * Pattern::ALL.len() * Sections::ALL.len()) as u32;
        self.slice * self.rounds * groups * layouts as u32
    }
}

/// What is raced.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How much.
    pub effort: Effort,
    /// What the layouts are made of, and the seed.
    pub means: Means,
    /// Ids of the layouts to race; empty for all.
    pub layouts: Vec<String>,
    /// Lookups to race; empty for all.
    pub ops: Vec<LookupOp>,
    /// Cases to run.
    pub filter: Filter,
    /// Which process of the run this is. Those after the first measure lookups alone.
    pub process: u32,
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
    /// The layouts did not come up, or went wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The user asked to stop. Not transparent, so that the cause can be found in the chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
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

/// Layouts by whether what was given can hold their records.
pub struct Served<G: Geometry> {
    /// Those that can be raced.
    pub entries: Vec<Entry<G>>,
    /// The others, with the reason.
    pub left_out: Vec<(&'static str, String)>,
}

impl<G: Geometry> Served<G> {
    /// Sorts layouts out.
    pub fn of(entries: Vec<Entry<G>>, means: &Means) -> Self {
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

/// Runs a race on a machine with the memory of `boot`; `map_end` is the end of all memory in its map, in bytes.
///
/// # Errors
/// [`RaceError`]; everything that was mapped is gone.
pub fn race<G: Geometry>(
    boot: BootMap,
    map_end: u64,
    settings: &Settings,
    interrupt: &Interrupt,
    progress: &mut dyn Progress,
) -> Result<Outcome, RaceError> {
    let Served { entries, left_out } = Served::of(chosen::<G>(&settings.layouts)?, &settings.means);
    let left = settings.effort.estimate(entries.len());
    progress.stage("booting and verifying the layouts", left);
    let mut race = Race {
        field: Field::<G>::boot(boot, map_end, &entries, &settings.means, interrupt)?,
        settings,
        interrupt,
        progress,
        outcome: Outcome::default(),
        rng: Pcg64Mcg::seed_from_u64(settings.means.seed),
        left,
    };
    race.footprint_of_boot(&entries);
    race.push_huge_pages(Sections::Boot);
    for (id, reason) in left_out {
        let blank = race.row(id, "boot", "records_needed", "bytes");
        race.not_offered(blank, &reason);
    }
    race.stage("hot-adding memory");
    let has_hot = race.field.add_hot_window(interrupt)?;
    if has_hot {
        race.footprint_of_hot();
        race.push_huge_pages(Sections::Hot);
    }
    race.lookups(has_hot)?;
    if settings.process > 0 {
        return Ok(race.outcome);
    }
    race.field.remove_hot_window(interrupt)?;
    race.latencies()?;
    race.readers()?;
    race.own_cost()?;
    Ok(race.outcome)
}

struct Race<'a, G: Geometry> {
    field: Field<G>,
    settings: &'a Settings,
    interrupt: &'a Interrupt,
    progress: &'a mut dyn Progress,
    outcome: Outcome,
    rng: Pcg64Mcg,
    left: Duration,
}

impl<G: Geometry> Race<'_, G> {
    /// A row without a value.
    fn row(&self, layout: &str, op: &str, metric: &str, unit: &str) -> Row {
        Row {
            v: SCHEMA,
            layout: layout.to_owned(),
            op: op.to_owned(),
            mode: None,
            sections: None,
            pattern: None,
            invalid_percent: None,
            tables: None,
            dependency: None,
            position: None,
            threads: None,
            size_bytes: None,
            map: self.settings.map_name.clone(),
            backing: self.field.backing_of(layout),
            sampled: self.field.plan.is_sampled(),
            process: self.settings.process,
            sample: None,
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            value: None,
            n_ops: None,
            status: Status::Ok,
            reason: None,
            machine: self.settings.machine.clone(),
            doctor: self.settings.doctor.clone(),
        }
    }

    fn not_offered(&mut self, blank: Row, reason: &str) {
        self.outcome.rows.push(Row { status: Status::NotOffered, reason: Some(reason.to_owned()), ..blank });
    }

    fn stage(&mut self, what: &str) {
        self.progress.stage(what, self.left);
    }

    /// Takes the time since `begin` off the estimate.
    fn spent(&mut self, begin: Instant) {
        self.left = self.left.saturating_sub(begin.elapsed());
    }

    fn push_bytes(&mut self, layout: &str, sections: Sections, bytes: &[(&str, u64)]) {
        for (metric, bytes) in bytes {
            let mut row = self.row(layout, "footprint", metric, "bytes");
            (row.sections, row.value) = (Some(sections), Some(*bytes as f64));
            self.outcome.rows.push(row);
        }
    }

    /// Where huge pages were asked for: whether the kernel gave any.
    fn push_huge_pages(&mut self, sections: Sections) {
        let layouts = self.field.layouts.iter().filter(|l| sections == Sections::Boot || l.hotplug().is_some());
        let found: Vec<_> = layouts.filter_map(|l| Some((l.id(), l.bytes_in_huge_pages()?))).collect();
        for (layout, bytes) in found {
            self.push_bytes(layout, sections, &[(IN_HUGE_PAGES, bytes)]);
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
                self.push_bytes(entry.id, Sections::Boot, &bytes);
            }
        }
    }

    fn footprint_of_hot(&mut self) {
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
            self.push_bytes(layout, Sections::Hot, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::backing::RamBacking;
    use memmap_layouts::{BootRange, PfnRange, X86_64};

    struct Silent;
    impl Progress for Silent {
        fn stage(&mut self, _: &str, _: Duration) {}
    }

    /// Little enough for a test, over every part of a race.
    fn settings() -> Settings {
        let effort = Effort {
            slice: Duration::from_micros(200),
            rounds: 2,
            hotplug_samples: 20,
            hotplug_time: Duration::from_millis(20),
            readers_slice: Duration::from_millis(20),
            readers_rounds: 1,
        };
        let means = Means { backing: RamBacking::Anon, device: None, records_limit: 64 << 20, seed: 1 };
        let (layouts, ops) = (Vec::new(), Vec::new());
        let text = |text: &str| text.to_owned();
        let filter = Filter::default();
        let process = 0;
        Settings {
            effort,
            means,
            layouts,
            ops,
            filter,
            process,
            map_name: text("m"),
            machine: text("x"),
            doctor: text("ok"),
        }
    }

    fn small_machine() -> BootMap {
        let range = PfnRange::new(0x100, 0x14000).unwrap();
        BootMap::new([BootRange { range, node: 0 }]).unwrap()
    }

    #[test]
    fn every_layout_has_every_row() {
        let settings = settings();
        let outcome =
            race::<X86_64>(small_machine(), 0x14000 << 12, &settings, &Interrupt::default(), &mut Silent).unwrap();
        for entry in entries::<X86_64>() {
            for size in HOTPLUG_SIZES {
                for op in ["hot_add", "hot_remove"] {
                    let of = |row: &&Row| row.layout == entry.id && row.op == op && row.size_bytes == Some(size);
                    assert!(outcome.rows.iter().any(|row| of(&row)), "{} {op} {size}", entry.id);
                }
            }
        }
        // 1 GiB of four layouts does not fit 64 MiB of records beside what is booted: said, not failed.
        let too_large = outcome.rows.iter().filter(|row| row.size_bytes == Some(1 << 30) && row.layout == "sparse");
        assert!(too_large.clone().count() > 0);
        let tags: Vec<_> = outcome.histograms.iter().map(|(tag, _)| tag.as_str()).collect();
        assert!(tags.contains(&"hot_add/subsection/2097152") && tags.contains(&"hot_remove/dax/16777216"), "{tags:?}");
    }

    #[test]
    fn an_interrupted_race_says_so() {
        let settings = settings();
        let interrupt = Interrupt::asked();
        let error = race::<X86_64>(small_machine(), 0x14000 << 12, &settings, &interrupt, &mut Silent).unwrap_err();
        assert!(matches!(error, RaceError::Field(FieldError::Interrupted(_))), "{error}");
    }

    #[test]
    fn a_layout_that_is_not_there_is_named() {
        let error = chosen::<X86_64>(&["holey".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("holey") && error.contains("subsection"), "{error}");
    }
}
