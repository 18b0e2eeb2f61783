//! A worker of a duel: boots the layouts, prepares every lane, and measures a slice when its turn
//! comes.

use super::lookups::{Lane, floor};
use super::{Race, RaceError, Served, Settings, Sink, chosen};
use crate::case::{LookupOp, Mode};
use crate::engine::duel::arena::{Arena, Outcome, Side};
use crate::engine::duel::mark;
use crate::engine::duel::{self, Hello, PROTOCOL};
use crate::engine::field::{Field, FieldError, Lineup};
use crate::engine::memory_plan::MapMemory;
use crate::engine::probe::disturbance::thread_time;
use crate::engine::probe::lookup::Window;
use crate::interrupt::Interrupt;
use crate::record::row::Row;
use crate::record::unit::Unit;
use memmap_layouts::Geometry;
use std::io;
use std::time::Duration;

/// How long a worker sleeps before it checks that the referee still exists.
const NAP: Duration = Duration::from_secs(1);

/// A sink that drops all rows, since the referee keeps the results.
struct Nowhere;

impl Sink for Nowhere {
    fn begin(&mut self, _: &str, _: &str, _: Duration) {}
    fn done(&mut self, _: Unit) -> io::Result<()> {
        Ok(())
    }
}

/// The lookups that run in each lane when instructions are counted.
const ONE_BATCH: Window = Window { first: 0, batches: 1 };

/// Boots the layouts, reports what can be measured, and measures until the referee exits. Without
/// an arena it runs one batch of every lane for callgrind, with a mark before each.
///
/// # Errors
/// A layout does not boot or answers wrongly, or the user asked to stop.
pub fn work<G: Geometry>(
    map: MapMemory,
    settings: &Settings,
    interrupt: &Interrupt,
    place: Option<(&Arena, Side)>,
    hello: &mut dyn FnMut(Hello) -> io::Result<()>,
) -> Result<(), RaceError> {
    let Served { entries, .. } = Served::new(chosen::<G>(&settings.job.conditions.layouts)?, &settings.means);
    let lineup = Lineup { entries: &entries, control: None, boots: settings.job.effort.boots };
    let field = Field::<G>::boot(map, &lineup, &settings.means, interrupt)?;
    let mut nowhere = Nowhere;
    let mut race = Race::new(field, settings, interrupt, &mut nowhere);
    let has_added = race.field.hot_add(interrupt)?;
    let mut lanes: Vec<(Lane, Row)> = Vec::new();
    let mut told = Vec::new();
    for work in &settings.job.work.lookups {
        let mut of_work = race.lanes(work, has_added)?;
        // When instructions are counted, only one batch runs.
        let mut loop_ns = None;
        if place.is_some() {
            race.calibrate_all(&mut of_work)?;
            loop_ns = of_work.first().and_then(|(lane, _)| floor(lane, 3));
        }
        for (lane, row) in of_work {
            let counted_ops = place.is_none().then(|| lane.prepared.nr_ops(ONE_BATCH));
            told.push(duel::Lane { counted_ops, loop_ns, ..race.told(&work.group, &lane, &row) });
            lanes.push((lane, row));
        }
    }
    let layouts = race.field.layouts.iter().map(|layout| layout.id().to_owned()).collect();
    let version = crate::version().to_owned();
    hello(Hello { protocol: PROTOCOL, version, lanes: told, layouts, error: None })?;
    match place {
        Some((arena, side)) => race.serve(&mut lanes, arena, side),
        None => race.count_instructions(&lanes),
    }
}

impl<G: Geometry> Race<'_, G> {
    /// The description of a lane for the referee.
    fn told(&self, group: &crate::case::LookupGroup, lane: &Lane, row: &Row) -> duel::Lane {
        let contestant = self.field.instance(lane.instance());
        let code = contestant.lookup_code(group.asked());
        let addresses = matches!(group.op, LookupOp::PfnToPage)
            || group.op == LookupOp::ValidToPage && group.mode != Mode::Touching;
        duel::Lane {
            case: group.name(lane.memory),
            group: *group,
            memory: lane.memory,
            layout: row.layout.clone(),
            boot: row.boot.unwrap_or(0),
            batches: lane.batches,
            nr_batches: lane.prepared.nr_batches(),
            queries: Some(lane.prepared.fingerprint()),
            answers: (!addresses).then(|| lane.prepared.expected(lane.prepared.pass())),
            code: memmap_layouts::machine_code::fingerprint(code),
            offset_in_line: (code % 64) as u64,
            counted_ops: None,
            loop_ns: None,
        }
    }

    /// Runs a batch of every lane, with a mark before each lane and one after the last.
    fn count_instructions(&self, lanes: &[(Lane, Row)]) -> Result<(), RaceError> {
        for (nr, (lane, _)) in (0..).zip(lanes) {
            mark(nr);
            // Does not read `/proc`, whose text varies in length: so would the instruction count.
            let sum = self.field.instance(lane.instance()).run(&lane.prepared, ONE_BATCH);
            if sum != lane.prepared.expected(ONE_BATCH) {
                let layout = self.field.instance(lane.instance()).layout_id();
                let wrong = format!("{layout}: the sum of the answers under valgrind is wrong");
                return Err(FieldError::WrongAnswer { layout, wrong }.into());
            }
        }
        mark(lanes.len() as u64);
        Ok(())
    }

    /// Measures a slice whenever it is this side's turn.
    fn serve(&mut self, lanes: &mut [(Lane, Row)], arena: &Arena, side: Side) -> Result<(), RaceError> {
        let mut since = thread_time();
        loop {
            self.interrupt.check()?;
            if !arena.wait(side, NAP) {
                continue;
            }
            while let Some(step) = arena.step_of(side) {
                let begin = thread_time();
                let lane = lanes.get_mut(step.lane as usize).map(|(lane, _)| lane);
                let lane = lane.ok_or_else(|| {
                    io::Error::other(format!("the script names lane {}, which this worker does not have", step.lane))
                })?;
                let sample = self.slice_at(lane, Window { first: step.first, batches: step.batches })?;
                let outcome =
                    Outcome { wall_ns: sample.evidence.wall_ns, nr_ops: sample.nr_ops, disturbed: sample.disturbed };
                // Done before the other side is woken: the two must not run at the same time.
                let now = thread_time();
                arena.add_time(side, now.saturating_sub(begin), now.saturating_sub(since));
                since = now;
                if !arena.done(side, outcome) {
                    break;
                }
            }
        }
    }
}
