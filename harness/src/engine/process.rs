//! A process of a run: it measures a [`Job`] and writes [`Event`]s.

use crate::engine::blame;
use crate::engine::compiled;
use crate::engine::contestant::Entry;
use crate::engine::duel::Hello;
use crate::engine::duel::arena::{Arena, Side};
use crate::engine::field::Means;
use crate::engine::job::{Event, Job};
use crate::engine::memory_plan::MapMemory;
use crate::engine::race::{self, RaceError, Settings, Sink, duel_worker};
use crate::engine::verify;
use crate::interrupt::Interrupt;
use crate::map::PhysicalMap;
use crate::record::layout_note::LayoutNote;
use crate::record::unit::{Finished, Unit};
use memmap_layouts::conformance::panic_message;
use memmap_layouts::{Arm64Pages4K, Geometry, X86_64};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use thiserror::Error;

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
    /// A layout panicked.
    #[error("{layout} panicked: {message}")]
    Panicked {
        /// Id of the layout, e.g. `subsection`.
        layout: &'static str,
        /// The message of the panic.
        message: String,
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

impl JobError {
    /// Id of the layout that is at fault, without which the job can be done; `None` if there is
    /// none.
    pub fn faulty_layout(&self) -> Option<&'static str> {
        match self {
            Self::Race(RaceError::Field(error)) => error.faulty_layout(),
            Self::Panicked { layout, .. } => Some(layout),
            Self::Race(_) | Self::TooWide { .. } | Self::Map { .. } => None,
        }
    }
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
            let note = |entry: &Entry<G>| LayoutNote {
                kernel: compiled::note(entry.id),
                ..LayoutNote::new::<G>(&entry.layout())
            };
            Ok(race::contestants::<G>(ids)?.iter().map(note).collect())
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
    let outcome = catch_unwind(AssertUnwindSafe(|| race(&job, means, interrupt, &mut teller)));
    let outcome = outcome.unwrap_or_else(|panic| match blame::panicked() {
        Some(layout) => Err(JobError::Panicked { layout, message: panic_message(&*panic).to_owned() }),
        None => resume_unwind(panic),
    });
    if let Err(error) = &outcome {
        let (reason, layout) = (error.to_string(), error.faulty_layout().map(str::to_owned));
        // The error also goes to the caller, so a failed write is ignored.
        let _ = teller.tell(&Event::Failed { reason, layout });
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
    let (map, settings) = settings(job, job.conditions.means(job.seed)?)?;
    match verify::width(&job.map) {
        ..=46 => duel_worker::work::<X86_64>(map, &settings, interrupt, place, hello)?,
        47..=48 => duel_worker::work::<Arm64Pages4K>(map, &settings, interrupt, place, hello)?,
        bits => return Err(JobError::TooWide { map: job.map.name.clone(), bits }.into()),
    }
    Ok(())
}

/// The memory of a job's map, and the settings of the race on it.
fn settings(job: &Job, means: Means) -> Result<(MapMemory, Settings), JobError> {
    let reason = |error: &dyn std::fmt::Display| JobError::Map { map: job.map.name.clone(), reason: error.to_string() };
    let map = MapMemory::new(&job.map).map_err(|error| reason(&error))?;
    let settings = Settings { job: job.clone(), means };
    Ok((map, settings))
}

fn race(job: &Job, means: Means, interrupt: &Interrupt, sink: &mut dyn Sink) -> Result<(), JobError> {
    let (map, settings) = settings(job, means)?;
    match verify::width(&job.map) {
        ..=46 => race::race::<X86_64>(map, &settings, interrupt, sink)?,
        47..=48 => race::race::<Arm64Pages4K>(map, &settings, interrupt, sink)?,
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
