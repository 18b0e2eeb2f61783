//! The job of one process of a run, and the events that it sends.
//!
//! Addresses of code and data differ from one process to the next, and so do times. A process that
//! hangs or dies must not affect other results. Therefore each map of each process of a run has its
//! own operating-system process. It runs this program again, which reads a [`Job`] from standard
//! input and writes one [`Event`] per line to standard output.

use crate::case::Filter;
use crate::engine::backing_arg::BackingArg;
use crate::engine::duel::Hello;
use crate::engine::duel::arena::{Arena, Side};
use crate::engine::field::Means;
use crate::engine::index_pages::IndexPagesArg;
use crate::engine::race::{self, RaceError, Settings, Sink, duel_worker};
use crate::engine::verify;
use crate::interrupt::Interrupt;
use crate::map::PhysicalMap;
use crate::record::layout_note::LayoutNote;
use crate::record::unit::{Finished, Unit};
use crate::workload::tier::Effort;
use crate::workload::work::Work;
use memmap_layouts::{Arm64Pages4K, BootMap, Geometry, X86_64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;
use thiserror::Error;

/// The work of one process on one map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Number of the process in the run, from 0.
    pub process: u32,
    /// The physical memory map on which the layouts boot.
    pub map: PhysicalMap,
    /// The groups of cases to measure.
    pub work: Work,
    /// Samples and durations for each kind of case.
    pub effort: Effort,
    /// Seed of every random choice in this process.
    pub seed: u64,
    /// Limit on the records of all layouts together, in bytes.
    pub records_limit: u64,
    /// Backing store of the records.
    pub backing: BackingArg,
    /// Page size of the memory for index tables.
    pub index_pages: IndexPagesArg,
    /// Ids of layouts; empty for all.
    pub layouts: Vec<String>,
    /// Filter on the names of cases.
    pub filter: Filter,
    /// Units that were measured already and are skipped.
    pub done: BTreeSet<String>,
    /// Wall-clock time that lookups may take; `None` for no limit.
    pub time_limit: Option<Duration>,
    /// Fingerprint of the machine, for rows.
    pub machine: String,
}

/// A message from a process of a run to its parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A unit of work or its next step begins.
    Begin {
        /// Name of the unit: `boot`, or a group of cases.
        unit: String,
        /// The step, for the progress line.
        what: String,
        /// Estimated time until the job ends, in ms.
        left_ms: u64,
    },
    /// A unit is done. Holds its rows and histograms.
    Done(Finished),
    /// The job cannot continue.
    Failed {
        /// The reason, as a sentence without a full stop.
        reason: String,
        /// True if a layout gave a wrong answer.
        wrong_answer: bool,
    },
}

/// Writes events, one per line, for the parent process.
struct Teller<W: Write>(W);

impl<W: Write> Teller<W> {
    fn tell(&mut self, event: &Event) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, event)?;
        self.0.write_all(b"\n")?;
        self.0.flush()
    }
}

impl<W: Write> Sink for Teller<W> {
    fn begin(&mut self, unit: &str, what: &str, left: Duration) {
        let (unit, what, left_ms) = (unit.to_owned(), what.to_owned(), left.as_millis() as u64);
        // If the parent is gone, writing the next finished unit fails and ends the job.
        let _ = self.tell(&Event::Begin { unit, what, left_ms });
    }

    fn done(&mut self, unit: Unit) -> io::Result<()> {
        self.tell(&Event::Done(Finished::try_from_unit(unit)?))
    }
}

/// Why a job did not complete.
#[derive(Debug, Error)]
pub enum JobError {
    /// The race failed.
    #[error(transparent)]
    Race(#[from] RaceError),
    /// The map needs more physical address bits than any layout supports.
    #[error(
        "map {map} needs {bits} physical address bits, but a race supports at most 48: the records of a 52-bit space \
         take 64 TiB of addresses for each layout; pfnbench verify --map checks such a map"
    )]
    TooWide {
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// Physical address bits that the map needs.
        bits: u32,
    },
    /// The map is not valid.
    #[error("map {map}: {reason}")]
    Map {
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The architecture of a race, with its units.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Id in rows and reports, e.g. `x86-64`.
    pub id: &'static str,
    /// Size of a section in bytes.
    pub section_bytes: u64,
    notes: fn(&[String]) -> Result<Vec<LayoutNote>, RaceError>,
}

impl Architecture {
    fn new<G: Geometry>() -> Self {
        let notes = |ids: &[String]| {
            Ok(race::chosen::<G>(ids)?.iter().map(|entry| LayoutNote::new::<G>(&entry.layout())).collect())
        };
        Self { id: G::ID, section_bytes: 1 << G::SECTION_SIZE_BITS, notes }
    }

    /// Descriptions of the layouts with these ids; of all layouts if there are no ids.
    ///
    /// # Errors
    /// An id that no layout has.
    pub fn notes(&self, ids: &[String]) -> Result<Vec<LayoutNote>, RaceError> {
        (self.notes)(ids)
    }
}

/// The architecture whose physical address space holds the map.
///
/// # Errors
/// [`JobError::TooWide`]: the map needs more address bits than any architecture with layouts has.
pub fn architecture_of(map: &PhysicalMap) -> Result<Architecture, JobError> {
    match verify::width(map) {
        ..=46 => Ok(Architecture::new::<X86_64>()),
        47..=48 => Ok(Architecture::new::<Arm64Pages4K>()),
        bits => Err(JobError::TooWide { map: map.name.clone(), bits }),
    }
}

/// Runs a job and writes its events.
///
/// # Errors
/// [`JobError`]; it is also written as an event.
pub fn run(job: Job, means: Means, interrupt: &Interrupt, to: impl Write) -> Result<(), JobError> {
    let mut teller = Teller(to);
    let outcome = race(&job, means, interrupt, &mut teller);
    if let Err(error) = &outcome {
        let wrong_answer = matches!(error, JobError::Race(RaceError::Field(error)) if error.is_wrong_answer());
        let reason = error.to_string();
        // The error also goes to the caller, so a failed write is ignored.
        let _ = teller.tell(&Event::Failed { reason, wrong_answer });
    }
    outcome
}

/// Measures a job as a worker of a duel.
///
/// # Errors
/// [`JobError`], or the backing is not available on this machine.
pub fn work_in_duel(
    job: &Job,
    interrupt: &Interrupt,
    place: Option<(&Arena, Side)>,
    hello: &mut dyn FnMut(Hello) -> io::Result<()>,
) -> anyhow::Result<()> {
    let (backing, device) = job.backing.open()?;
    let (index_pages, records_limit) = (job.index_pages.into(), job.records_limit);
    let means = Means { backing, index_pages, device, records_limit, seed: job.seed };
    let (boot, settings) = settings(job, means)?;
    match verify::width(&job.map) {
        ..=46 => duel_worker::work::<X86_64>(boot, job.map.end(), &settings, interrupt, place, hello)?,
        47..=48 => duel_worker::work::<Arm64Pages4K>(boot, job.map.end(), &settings, interrupt, place, hello)?,
        bits => return Err(JobError::TooWide { map: job.map.name.clone(), bits }.into()),
    }
    Ok(())
}

/// The boot memory of a job's map, and the settings of the race on it.
fn settings(job: &Job, means: Means) -> Result<(BootMap, Settings), JobError> {
    let reason = |error: &dyn std::fmt::Display| JobError::Map { map: job.map.name.clone(), reason: error.to_string() };
    let boot = job.map.boot_map().map_err(|error| reason(&error))?;
    let settings = Settings {
        effort: job.effort,
        means,
        layouts: job.layouts.clone(),
        work: job.work.clone(),
        filter: job.filter.clone(),
        done: job.done.clone(),
        time_limit: job.time_limit,
        process: job.process,
        map_name: job.map.name.clone(),
        machine: job.machine.clone(),
    };
    Ok((boot, settings))
}

fn race(job: &Job, means: Means, interrupt: &Interrupt, sink: &mut dyn Sink) -> Result<(), JobError> {
    let (boot, settings) = settings(job, means)?;
    match verify::width(&job.map) {
        ..=46 => race::race::<X86_64>(boot, job.map.end(), &settings, interrupt, sink)?,
        47..=48 => race::race::<Arm64Pages4K>(boot, job.map.end(), &settings, interrupt, sink)?,
        bits => return Err(JobError::TooWide { map: job.map.name.clone(), bits }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;

    #[test]
    fn a_unit_is_unchanged_after_encoding() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(15_000, 7).unwrap();
        let unit = Unit { name: "u".into(), histograms: vec![("tag".into(), histogram.clone())], ..Unit::default() };
        let mut told = Vec::new();
        Teller(&mut told).done(unit).unwrap();
        let Event::Done(finished) = serde_json::from_slice(&told).unwrap() else { panic!("a unit was told") };
        assert_eq!(finished.decoded().unwrap(), [("tag".to_owned(), histogram)]);
        let torn = Finished { histograms: vec![("tag".into(), vec![1, 2, 3])], ..finished };
        assert!(torn.decoded().unwrap_err().to_string().contains("tag"));
    }
}
