//! Lookups, layouts in turn.

use super::counters::Counters;
use super::{Race, RaceError};
use crate::cases::LookupCase;
use crate::field::FieldError;
use crate::probe::lookup::{self, LookupOp, Prepared};
use crate::queries::Pattern;
use crate::row::{Row, Sections};
use memmap_layouts::Geometry;
use rand::seq::SliceRandom;
use std::time::{Duration, Instant};

/// A layout in a group of slices that are compared.
pub(super) struct Lane {
    layout: usize,
    pub(super) prepared: Prepared,
    pub(super) passes: u64,
}

impl<G: Geometry> Race<'_, G> {
    /// All lookups. Boot and hot-added sections take turns with the layouts, so that they can be compared too.
    pub(super) fn lookups(&mut self, has_hot: bool) -> Result<(), RaceError> {
        let chosen = &self.settings.ops;
        let ops: Vec<LookupOp> =
            LookupOp::ALL.into_iter().filter(|op| chosen.is_empty() || chosen.contains(op)).collect();
        // Counts are of the first process: they differ less than times from one to the next.
        let mut counters = if self.settings.process == 0 { self.open_counters() } else { Counters::none() };
        for op in ops {
            for pattern in Pattern::ALL {
                self.stage(&format!("{op}, {pattern}"));
                let begin = Instant::now();
                self.lookup_group(op, pattern, has_hot, &mut counters)?;
                self.spent(begin);
            }
        }
        Ok(())
    }

    /// A lane for each layout and kind of sections, with the row that its figures go into; those that cannot take part
    /// are told.
    fn lanes(&mut self, op: LookupOp, pattern: Pattern, has_hot: bool) -> Result<Vec<(Lane, Row)>, RaceError> {
        let mut lanes = Vec::new();
        for sections in Sections::ALL {
            let is_hot = sections == Sections::Hot;
            let pfns = if is_hot && !has_hot { Vec::new() } else { self.field.queries(op, pattern, sections) };
            for layout in 0..self.field.layouts.len() {
                let contestant = &self.field.layouts[layout];
                let case = LookupCase { op, sections, pattern, layout: contestant.id() };
                if !self.settings.filter.wants(&case.name()) {
                    continue;
                }
                let mut blank = self.row(contestant.id(), op.name(), "time", "ns/op");
                (blank.sections, blank.pattern) = (Some(sections), Some(pattern.to_string()));
                if is_hot && contestant.hotplug().is_none() {
                    self.not_offered(blank, "the layout has no hotplug");
                } else if is_hot && !has_hot {
                    self.not_offered(blank, "the physical space has no room above the map");
                } else if pfns.is_empty() {
                    self.not_offered(blank, "the map leaves no memory to look up");
                } else {
                    let prepared = contestant.prepare(op, &pfns).map_err(FieldError::WrongAnswer)?;
                    lanes.push((Lane { layout, prepared, passes: 1 }, blank));
                }
            }
        }
        Ok(lanes)
    }

    fn lookup_group(
        &mut self,
        op: LookupOp,
        pattern: Pattern,
        has_hot: bool,
        counters: &mut Counters,
    ) -> Result<(), RaceError> {
        let mut lanes = self.lanes(op, pattern, has_hot)?;
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
        if pattern == Pattern::Random {
            self.count(counters, &lanes)?;
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

    pub(super) fn slice(&self, lane: &Lane, passes: u64) -> Result<Duration, RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let begin = Instant::now();
        let sum = layout.run(&lane.prepared, passes);
        let elapsed = begin.elapsed();
        let expected = lane.prepared.expected(passes);
        if sum != expected || elapsed.is_zero() {
            let (id, op) = (layout.id(), lane.prepared.op());
            return Err(FieldError::WrongAnswer(format!(
                "{id}: {op} added up to {sum:#x} in {elapsed:?}, the answers that were checked add up to {expected:#x}"
            ))
            .into());
        }
        Ok(elapsed)
    }
}
