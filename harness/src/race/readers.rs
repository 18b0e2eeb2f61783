//! What a writer costs readers: page-frame walkers beside a thread that adds and removes memory a hundred times a second, and
//! beside one that is as busy and touches no layout, in turn.
//!
//! They walk the memory next to the one that comes and goes, in the same section where there can be parts: of all memory that is
//! where a writer could disturb them most, for they read the map that it writes.

use super::{HOTPLUG_SIZES, Race, RaceError};
use crate::cases::readers_name;
use crate::contestant::{Contestant, HotplugContestant};
use crate::field::FieldError;
use crate::probe::hotplug::{HotplugProbeError, Latencies, Manner};
use crate::probe::lookup::{LookupOp, Prepared};
use crate::probe::place::Position;
use crate::row::{Row, Sections, Status};
use memmap_layouts::backing::DaxDevice;
use memmap_layouts::{Geometry, Pfn, PfnRange};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Additions and removals a second, one of each a turn.
const TURNS_A_SECOND: u32 = 100;

/// What the other thread does in a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Company {
    Writer,
    Busy,
}

/// What a slice gave.
struct Slice {
    lookups: u64,
    elapsed: Duration,
    /// Time the other thread worked, and how often it did.
    worked: Duration,
    turns: u64,
}

impl Slice {
    fn per_second(&self) -> f64 {
        self.lookups as f64 / self.elapsed.as_secs_f64()
    }
}

/// A layout under its readers.
struct Walked<'a, G: Geometry> {
    layout: &'a dyn Contestant<G>,
    hotplug: &'a dyn HotplugContestant,
    range: PfnRange,
    device: Option<Arc<DaxDevice>>,
    pfns: &'a [Pfn],
    readers: usize,
    length: Duration,
}

impl<G: Geometry> Walked<'_, G> {
    /// Readers for a slice, with company that works a turn every ten milliseconds. `turn` is how long a turn of the writer
    /// takes: the busy thread spins as long.
    fn slice(&self, company: Company, turn: Duration) -> Result<Slice, FieldError> {
        let (stop, lookups) = (AtomicBool::new(false), AtomicU64::new(0));
        let begin = Instant::now();
        thread::scope(|scope| {
            let readers: Vec<_> = (0..self.readers).map(|_| scope.spawn(|| self.read(&stop, &lookups))).collect();
            let (mut worked, mut turns) = (Duration::ZERO, 0);
            let mut outcome = Ok(());
            while begin.elapsed() < self.length {
                let turn_begin = Instant::now();
                match company {
                    Company::Writer => {
                        let time = self.hotplug.time(
                            self.range,
                            Manner::plain(self.device.as_ref()),
                            &mut Latencies::default(),
                        );
                        if let Err(source) = time {
                            outcome = Err(FieldError::Hotplug { layout: self.layout.id(), source });
                            break;
                        }
                    }
                    Company::Busy => {
                        while turn_begin.elapsed() < turn {
                            std::hint::spin_loop();
                        }
                    }
                }
                worked += turn_begin.elapsed();
                turns += 1;
                thread::sleep((Duration::from_secs(1) / TURNS_A_SECOND).saturating_sub(turn_begin.elapsed()));
            }
            let elapsed = begin.elapsed();
            let lookups_at_the_end = lookups.load(Ordering::Relaxed);
            stop.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().map_err(|_| FieldError::WrongAnswer("a reader panicked".to_owned()))??;
            }
            outcome.map(|()| Slice { lookups: lookups_at_the_end, elapsed, worked, turns })
        })
    }

    /// Walks until it is told to stop; every pass must add up.
    fn read(&self, stop: &AtomicBool, lookups: &AtomicU64) -> Result<(), FieldError> {
        let prepared: Prepared =
            self.layout.prepare(LookupOp::ValidToPage, self.pfns).map_err(FieldError::WrongAnswer)?;
        while !stop.load(Ordering::Relaxed) {
            if self.layout.run(&prepared, 1) != prepared.expected(1) {
                let id = self.layout.id();
                return Err(FieldError::WrongAnswer(format!("{id}: valid_to_page beside a writer does not add up")));
            }
            lookups.fetch_add(prepared.len(), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Queries of a pass: few, so that a pass is short beside a slice.
const QUERIES: usize = 8192;

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// As many as there are processors, less one for their company.
fn nr_readers() -> usize {
    processors().saturating_sub(1).max(1)
}

impl<G: Geometry> Race<'_, G> {
    /// Readers of every layout beside a writer, in its smallest addition.
    pub(super) fn readers(&mut self) -> Result<(), RaceError> {
        self.stage("readers beside a writer");
        let begin = Instant::now();
        let Some(window) = self.field.plan.latency else { return Ok(()) };
        for at in 0..self.field.layouts.len() {
            self.interrupt.check()?;
            let Some(hotplug) = self.field.layouts[at].hotplug() else { continue };
            if !self.settings.filter.wants(&readers_name(self.field.layouts[at].id())) {
                continue;
            }
            let place = |size| hotplug.place(window, size, Position::First).ok();
            let offered = HOTPLUG_SIZES.into_iter().find_map(|size| Some((size, place(size)?.range)));
            let Some((size, range)) = offered else { continue };
            // The window is 1 GiB, and the smallest addition of any layout a section.
            let neighbour = PfnRange::from_len(range.end(), range.nr_pages()).expect("the window goes on");
            let id = self.field.layouts[at].id();
            let failed = |source| FieldError::Hotplug { layout: id, source };
            let rows = match hotplug.add_window(neighbour, None) {
                Err(source) if source.is_too_large() => vec![self.no_readers(id, size, &source)],
                Err(source) => return Err(failed(source).into()),
                Ok(()) => {
                    let rows = self.readers_of(at, hotplug, (size, range), neighbour);
                    let removed = hotplug.remove_window(neighbour).map_err(|error| failed(error.into()));
                    let rows = rows?;
                    removed?;
                    rows
                }
            };
            self.outcome.rows.extend(rows);
        }
        self.spent(begin);
        Ok(())
    }

    /// A row of readers beside additions of a size. What they read lies in RAM, whatever the layout does with its records.
    fn readers_row(&self, id: &str, size: u64, metric: &str) -> Row {
        let crowded = processors() < 2;
        Row {
            size_bytes: Some(size),
            sections: Some(Sections::Hot),
            mode: Some(format!("{} reading", nr_readers())),
            backing: self.settings.means.backing.to_string(),
            // Readers and company together need a processor each.
            reason: crowded.then(|| "oversubscribed: one processor for a reader and a writer".to_owned()),
            ..self.row(id, "readers", metric, "lookups/s")
        }
    }

    /// Why there are none.
    fn no_readers(&self, id: &str, size: u64, why: &HotplugProbeError) -> Row {
        let (status, reason) = (Status::NotOffered, Some(why.to_string()));
        Row { status, reason, ..self.readers_row(id, size, "throughput") }
    }

    fn readers_of(
        &self,
        at: usize,
        hotplug: &dyn HotplugContestant,
        (size, range): (u64, PfnRange),
        neighbour: PfnRange,
    ) -> Result<Vec<Row>, RaceError> {
        let layout = &*self.field.layouts[at];
        let mut rng = Pcg64Mcg::seed_from_u64(self.settings.means.seed);
        let pfns: Vec<Pfn> = (0..QUERIES).map(|_| Pfn(rng.random_range(neighbour.start()..neighbour.end()))).collect();
        let walked = Walked {
            layout,
            hotplug,
            range,
            device: self.field.device(at, range)?,
            pfns: &pfns,
            readers: nr_readers(),
            length: self.settings.effort.readers_slice,
        };
        let mut rows = Vec::new();
        let mut turn = Duration::ZERO;
        for round in 0..self.settings.effort.readers_rounds {
            self.interrupt.check()?;
            // The writer comes first, to tell how long a turn of it takes; then in turn (ABBA).
            let order = match round % 2 {
                0 => [Company::Writer, Company::Busy],
                _ => [Company::Busy, Company::Writer],
            };
            for company in order {
                let slice = match walked.slice(company, turn) {
                    Err(FieldError::Hotplug { source, .. }) if source.is_too_large() && rows.is_empty() => {
                        return Ok(vec![self.no_readers(layout.id(), size, &source)]);
                    }
                    slice => slice?,
                };
                if company == Company::Writer {
                    turn = slice.worked / u32::try_from(slice.turns.max(1)).unwrap_or(u32::MAX);
                }
                let metric = if company == Company::Writer { "beside_a_writer" } else { "beside_a_busy_thread" };
                rows.push(Row {
                    sample: Some(round),
                    value: Some(slice.per_second()),
                    n_ops: Some(slice.turns),
                    ..self.readers_row(layout.id(), size, metric)
                });
            }
        }
        Ok(rows)
    }
}
