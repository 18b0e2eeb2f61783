//! The cost of a writer for readers. Reader threads walk page frames beside a writer that adds and
//! removes memory 100 times per second, beside an equally busy thread that touches no layout, and
//! alone, in turn.
//!
//! Readers walk the memory next to the range that is added and removed, in the same section if the
//! layout supports parts of sections. There a writer disturbs them most, since they read the
//! sub-section map that it writes.
//!
//! Throughput and tail latency are measured in separate slices: reading the clock around every
//! batch would slow down the throughput.

use super::{Race, RaceError};
use crate::case::HOTPLUG_SIZES;
use crate::case::{LookupOp, Memory, Position, ReadersGroup};
use crate::engine::blame::of_layout;
use crate::engine::contestant::{Contestant, HotplugContestant};
use crate::engine::field::FieldError;
use crate::engine::probe::hotplug::{Latencies, Manner, histogram, percentile};
use crate::engine::probe::lookup::Prepared;
use crate::engine::probe::place::Place;
use crate::engine::probe::tail;
use crate::record::row::{Row, Status};
use hdrhistogram::Histogram;
use memmap_layouts::backing::DaxDevice;
use memmap_layouts::{Geometry, Pfn, PfnRange};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::time::{ClockId, clock_gettime};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Turns per second; each turn adds and removes the range once.
const TURNS_A_SECOND: u32 = 100;

/// A slice for tail latency is this many times shorter than one for throughput: batches are short
/// and many.
const TAIL_PART: u32 = 2;

/// The thread that runs beside the readers during a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Companion {
    /// There is no other thread.
    Alone,
    /// Adds and removes a range.
    Writer,
    /// Spins as long as the writer works, without touching a layout.
    Busy,
}

impl Companion {
    /// The writer comes first, since the busy thread needs the length of the writer's turn.
    const ALL: [Companion; 3] = [Self::Writer, Self::Busy, Self::Alone];

    fn mode(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Writer => "writer",
            Self::Busy => "busy",
        }
    }

    /// The metric of throughput rows.
    fn metric(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Writer => "beside_a_writer",
            Self::Busy => "beside_a_busy_thread",
        }
    }
}

/// What is measured in a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    Throughput,
    Tail,
}

/// The result of one slice.
struct Slice {
    lookups: u64,
    elapsed: Duration,
    /// Processor time of the other thread, and the number of its turns.
    worked: Duration,
    turns: u64,
    /// Times of batches in ns.
    tail: Histogram<u64>,
}

impl Slice {
    fn per_second(&self) -> f64 {
        self.lookups as f64 / self.elapsed.as_secs_f64()
    }
}

/// A layout and the range that readers walk and the writer changes.
struct Walked<'a, G: Geometry> {
    layout: &'a dyn Contestant<G>,
    hotplug: &'a dyn HotplugContestant,
    range: PfnRange,
    device: Option<Arc<DaxDevice>>,
    pfns: &'a [Pfn],
    readers: u32,
    length: Duration,
}

/// State shared by the readers and the other thread.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    lookups: AtomicU64,
    /// Readers that have begun to walk, or have failed.
    ready: AtomicUsize,
    /// Set once all readers walk and the other thread runs; batches before that are not recorded.
    go: AtomicBool,
}

impl<G: Geometry> Walked<'_, G> {
    /// Runs the readers for one slice, beside a thread with a turn every ten milliseconds. `turn`
    /// is the processor time of the writer's turn; the busy thread spins for as long.
    fn slice(&self, companion: Companion, measured: Measured, turn: Duration) -> Result<Slice, FieldError> {
        let shared = Shared::default();
        let length = if measured == Measured::Tail { self.length / TAIL_PART } else { self.length };
        thread::scope(|scope| {
            let readers: Vec<_> = (0..self.readers).map(|_| scope.spawn(|| self.read(measured, &shared))).collect();
            while shared.ready.load(Ordering::Relaxed) < readers.len() && !readers.iter().any(|r| r.is_finished()) {
                thread::yield_now();
            }
            shared.go.store(true, Ordering::Relaxed);
            let (begin, lookups_before) = (Instant::now(), shared.lookups.load(Ordering::Relaxed));
            let worked = self.run_companion(companion, turn, begin, length);
            // On a loaded machine no reader may have run yet; a throughput of 0 is no result.
            while shared.lookups.load(Ordering::Relaxed) == lookups_before && !readers.iter().any(|r| r.is_finished()) {
                thread::yield_now();
            }
            let elapsed = begin.elapsed();
            let lookups = shared.lookups.load(Ordering::Relaxed) - lookups_before;
            shared.stop.store(true, Ordering::Relaxed);
            let mut tail = histogram();
            for reader in readers {
                let layout = self.layout.layout_id();
                let batches = reader.join().unwrap_or_else(|panic| of_layout(layout, || resume_unwind(panic)))?;
                tail.add(batches).expect("resizable histograms of equal precision can be added");
            }
            worked.map(|(worked, turns)| Slice { lookups, elapsed, worked, turns, tail })
        })
    }

    /// Runs the companion until the slice is over. Returns its processor time and its number of
    /// turns.
    fn run_companion(
        &self,
        companion: Companion,
        turn: Duration,
        begin: Instant,
        length: Duration,
    ) -> Result<(Duration, u64), FieldError> {
        let (mut worked, mut turns) = (Duration::ZERO, 0);
        // One for all turns: allocating histograms would add to the writer's work.
        let mut not_kept = Latencies::default();
        while begin.elapsed() < length {
            let (turn_begin, time_begin) = (Instant::now(), processor_time());
            match companion {
                Companion::Alone => {
                    thread::sleep(length.saturating_sub(begin.elapsed()));
                    continue;
                }
                Companion::Writer => {
                    let manner = Manner::plain(self.device.as_ref());
                    let time = self.hotplug.time(self.range, manner, &mut not_kept);
                    time.map_err(|source| FieldError::Hotplug { layout: self.layout.layout_id(), source })?;
                }
                Companion::Busy => {
                    // Processor time, not the clock: a thread that waits for a processor is not
                    // busy.
                    while processor_time().saturating_sub(time_begin) < turn {
                        std::hint::spin_loop();
                    }
                }
            }
            worked += processor_time().saturating_sub(time_begin);
            turns += 1;
            let until_next = (Duration::from_secs(1) / TURNS_A_SECOND).saturating_sub(turn_begin.elapsed());
            thread::sleep(until_next.min(length.saturating_sub(begin.elapsed())));
        }
        Ok((worked, turns))
    }

    fn wrong(&self, wrong: String) -> FieldError {
        FieldError::WrongAnswer { layout: self.layout.layout_id(), wrong }
    }

    /// Walks until `stop` is set, and checks the sum of the answers of every pass.
    fn read(&self, measured: Measured, shared: &Shared) -> Result<Histogram<u64>, FieldError> {
        let prepared = self.layout.prepare(LookupOp::ValidToPage, self.pfns).map_err(|wrong| self.wrong(wrong));
        shared.ready.fetch_add(1, Ordering::Relaxed);
        let (prepared, mut tail, mut before): (Prepared, _, _) = (prepared?, histogram(), histogram());
        while !shared.stop.load(Ordering::Relaxed) {
            let sum = match measured {
                Measured::Throughput => self.layout.run(&prepared, prepared.pass()),
                Measured::Tail => {
                    let into = if shared.go.load(Ordering::Relaxed) { &mut tail } else { &mut before };
                    self.layout.time_batches(self.pfns, into)
                }
            };
            if sum != prepared.expected(prepared.pass()) {
                let id = self.layout.id();
                return Err(self.wrong(format!("{id}: valid_to_page beside a writer gave a wrong sum of answers")));
            }
            shared.lookups.fetch_add(prepared.len(), Ordering::Relaxed);
        }
        Ok(tail)
    }
}

/// Processor time of the calling thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Queries in a pass: few, so that a pass is short compared with a slice.
const QUERIES: usize = 8192;

/// The results of the readers of one layout.
#[derive(Default)]
struct Read {
    rows: Vec<Row>,
    tails: Vec<(Companion, Histogram<u64>)>,
}

impl<G: Geometry> Race<'_, G> {
    /// Measures readers of every layout beside a writer that adds the layout's smallest unit.
    pub(super) fn readers(&mut self, group: &ReadersGroup) -> Result<(), RaceError> {
        self.stage(&format!("readers beside a writer: {}", group.readers));
        for at in 0..self.field.layouts.len() {
            self.interrupt.check()?;
            if self.settings.job.conditions.filter.wants(&group.case(self.field.layouts[at].id())) {
                self.readers_beside(at, group)?;
            }
        }
        Ok(())
    }

    fn readers_beside(&mut self, at: usize, group: &ReadersGroup) -> Result<(), RaceError> {
        let (Some(window), Some(hotplug)) = (self.field.plan.latency, self.field.layouts[at].hotplug()) else {
            return Ok(());
        };
        let place = |size| Some((size, hotplug.place(window, size, Position::First).ok()?));
        let Some((size, Place { range, .. })) = HOTPLUG_SIZES.into_iter().find_map(place) else { return Ok(()) };
        // The window is at least 1 GiB, and the smallest addition of any layout at most a section.
        let neighbour =
            PfnRange::from_len(range.end(), range.nr_pages()).expect("the window is larger than one addition");
        let id = self.field.layouts[at].id();
        let layout = self.field.layouts[at].layout_id();
        if let Some(reason) = self.field.layouts[at].not_beside_a_writer() {
            let read = self.no_readers(id, size, group, reason);
            self.outcome.rows.extend(read.rows);
            return Ok(());
        }
        let failed = |source| FieldError::Hotplug { layout, source };
        let read = match hotplug.add_window(neighbour, None) {
            Err(source) if source.is_too_large() => self.no_readers(id, size, group, &source.to_string()),
            Err(source) => return Err(failed(source).into()),
            Ok(()) => {
                let read = self.readers_of(at, hotplug, (size, range), neighbour, group);
                let removed = hotplug.remove_window(neighbour).map_err(|error| failed(error.into()));
                let read = read?;
                removed?;
                read
            }
        };
        self.outcome.rows.extend(read.rows);
        for (companion, tail) in read.tails {
            self.outcome.histograms.push((format!("{}/{id}/{}", group.name(), companion.mode()), tail));
        }
        Ok(())
    }

    /// A row of readers beside additions of a size. The records that are read lie in RAM, even in
    /// layouts that use a device.
    fn readers_row(&self, id: &str, size: u64, group: &ReadersGroup, metric: &str, unit: &str) -> Row {
        Row {
            size_bytes: Some(size),
            memory: Some(Memory::Added),
            threads: Some(group.readers.get()),
            backing: self.settings.means.backing.to_string(),
            // Each reader and the other thread need a processor.
            reason: group
                .is_oversubscribed()
                .then(|| "oversubscribed: the readers and the other thread outnumber the processors".to_owned()),
            ..self.row(id, "readers", metric, unit)
        }
    }

    /// A row with the reason why readers were not measured.
    fn no_readers(&self, id: &str, size: u64, group: &ReadersGroup, why: &str) -> Read {
        let (status, reason) = (Status::NotOffered, Some(why.to_owned()));
        let row = self.readers_row(id, size, group, "throughput", "lookups/s");
        Read { rows: vec![Row { status, reason, ..row }], tails: Vec::new() }
    }

    fn readers_of(
        &self,
        at: usize,
        hotplug: &dyn HotplugContestant,
        (size, range): (u64, PfnRange),
        neighbour: PfnRange,
        group: &ReadersGroup,
    ) -> Result<Read, RaceError> {
        let layout = &*self.field.layouts[at];
        let mut rng = Pcg64Mcg::seed_from_u64(self.settings.means.seed);
        let pfns: Vec<Pfn> = (0..QUERIES).map(|_| Pfn(rng.random_range(neighbour.start()..neighbour.end()))).collect();
        let walked = Walked {
            layout,
            hotplug,
            range,
            device: self.field.device(at, range)?,
            pfns: &pfns,
            readers: group.readers.get(),
            length: self.settings.job.effort.readers_slice,
        };
        let mut read =
            Read { rows: Vec::new(), tails: Companion::ALL.map(|companion| (companion, histogram())).into() };
        let mut turn = Duration::ZERO;
        for round in 0..self.settings.job.effort.readers_rounds {
            for measured in [Measured::Throughput, Measured::Tail] {
                let mut order = Companion::ALL;
                if round % 2 == 1 {
                    order.reverse();
                }
                for companion in order {
                    self.interrupt.check()?;
                    let slice = match walked.slice(companion, measured, turn) {
                        Err(FieldError::Hotplug { source, .. }) if source.is_too_large() && read.rows.is_empty() => {
                            return Ok(self.no_readers(layout.id(), size, group, &source.to_string()));
                        }
                        slice => slice?,
                    };
                    if companion == Companion::Writer {
                        turn = slice.worked / u32::try_from(slice.turns.max(1)).unwrap_or(u32::MAX);
                    }
                    match measured {
                        Measured::Throughput => read.rows.push(Row {
                            mode: Some(companion.mode().to_owned()),
                            sample: Some(round),
                            value: Some(slice.per_second()),
                            n_ops: Some(slice.lookups),
                            ..self.readers_row(layout.id(), size, group, companion.metric(), "lookups/s")
                        }),
                        Measured::Tail => {
                            let tail = read.tails.iter_mut().find(|(beside, _)| *beside == companion);
                            let (_, tail) = tail.expect("every companion has a histogram");
                            tail.add(slice.tail).expect("resizable histograms of equal precision can be added");
                        }
                    }
                }
            }
        }
        let tails_beside = |(companion, tail): &(Companion, Histogram<u64>)| {
            self.tail_rows(layout.id(), size, group, *companion, tail)
        };
        let rows: Vec<Row> = read.tails.iter().flat_map(tails_beside).collect();
        read.rows.extend(rows);
        Ok(read)
    }

    /// Percentiles of the batches of all readers beside one kind of other thread.
    fn tail_rows(
        &self,
        id: &str,
        size: u64,
        group: &ReadersGroup,
        companion: Companion,
        tail: &Histogram<u64>,
    ) -> Vec<Row> {
        let row = |metric: &str| Row {
            mode: Some(companion.mode().to_owned()),
            n_ops: Some(tail.len()),
            ..self.readers_row(id, size, group, metric, "ns/batch")
        };
        let known = |(metric, p): (&str, f64)| match percentile(tail, p) {
            Ok(ns) => Row { value: Some(ns as f64), ..row(metric) },
            Err(_) => Row { status: Status::TooFew, ..row(metric) },
        };
        let mut rows: Vec<Row> = tail::PERCENTILES.into_iter().map(known).collect();
        if !tail.is_empty() {
            rows.push(Row { value: Some(tail.max() as f64), ..row("max") });
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::hotplug::test_support::on_the_reference;
    use super::super::test_support::settings;
    use super::*;
    use crate::case::processors;
    use std::num::NonZeroU32;

    #[test]
    fn readers_have_rows_for_each_companion_and_mark_oversubscription() {
        on_the_reference(&settings(), |race, _| {
            let before = race.field.layouts[0].hotplug().unwrap().digest();
            let crowd = ReadersGroup { readers: NonZeroU32::new(processors()).unwrap() };
            race.readers(&ReadersGroup::usual()).unwrap();
            race.readers(&crowd).unwrap();
            assert_eq!(race.field.layouts[0].hotplug().unwrap().digest(), before, "the readers' memory is removed");
            for group in [ReadersGroup::usual(), crowd] {
                let of_group = |row: &&Row| row.threads == Some(group.readers.get());
                let rows: Vec<&Row> = race.outcome.rows.iter().filter(of_group).collect();
                for companion in Companion::ALL {
                    let throughput = rows.iter().filter(|row| row.metric == companion.metric());
                    assert_eq!(throughput.filter(|row| row.value > Some(0.0)).count(), 1, "{companion:?}");
                    let tail = |row: &&&Row| row.unit == "ns/batch" && row.mode.as_deref() == Some(companion.mode());
                    let tail: Vec<_> = rows.iter().filter(tail).map(|row| row.metric.as_str()).collect();
                    assert_eq!(tail, ["p50", "p99", "p99.9", "max"], "{companion:?}");
                    let tag = format!("{}/subsection/{}", group.name(), companion.mode());
                    assert!(
                        race.outcome.histograms.iter().any(|(known, tail)| *known == tag && !tail.is_empty()),
                        "{tag}"
                    );
                }
                let said =
                    rows.iter().all(|row| row.reason.as_deref().is_some_and(|why| why.contains("oversubscribed")));
                assert_eq!(said, group.is_oversubscribed(), "{group:?}");
            }
        });
    }
}
