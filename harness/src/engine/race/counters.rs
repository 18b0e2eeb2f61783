//! Counters around slices of lookups.

use super::lookups::Lane;
use super::{Race, RaceError};
use crate::case::CounterKind;
use crate::engine::probe::counters::Meter;
use crate::engine::probe::lookup::Window;
use crate::record::row::{Row, Status};
use memmap_layouts::Geometry;

/// The counters of a run. They are opened once, since their availability does not change.
pub(super) struct Counters(Vec<(CounterKind, Meter)>);

impl Counters {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

impl<G: Geometry> Race<'_, G> {
    /// Opens the available counters, and adds a row for each that is missing.
    pub(super) fn open_counters(&mut self) -> Counters {
        let mut meters = Vec::new();
        for kind in CounterKind::ALL {
            match Meter::open(kind) {
                Ok(meter) => meters.push((kind, meter)),
                Err(reason) => {
                    let missing = Row {
                        status: Status::NotCounted,
                        reason: Some(reason),
                        ..self.row("loop", "counters", kind.name(), kind.unit())
                    };
                    self.outcome.rows.push(missing);
                }
            }
        }
        Counters(meters)
    }

    /// Counts events during a slice of every lane, one counter after the other. The lanes take
    /// turns, so that caches and branch predictors are in the same state as when lanes are timed.
    pub(super) fn count(&mut self, counters: &mut Counters, lanes: &[(Lane, Row)]) -> Result<(), RaceError> {
        let lanes: Vec<&(Lane, Row)> = lanes.iter().filter(|(lane, _)| self.is_first_boot(lane)).collect();
        for (kind, meter) in &mut counters.0 {
            for (lane, blank) in lanes.iter().copied() {
                let window = Window { first: 0, batches: lane.batches };
                let n_ops = lane.prepared.nr_ops(window);
                let counted = meter.count(|| self.timed(lane, window))?;
                let row = Row {
                    metric: kind.name().to_owned(),
                    unit: kind.unit().to_owned(),
                    n_ops: Some(n_ops),
                    ..blank.clone()
                };
                let scaled = |share: f64| format!("scaled up: the counter ran for {:.0} % of the time", share * 100.0);
                self.outcome.rows.push(match counted {
                    Ok(count) => {
                        Row { value: Some(count.events / n_ops as f64), reason: count.share.map(scaled), ..row }
                    }
                    Err(reason) => Row { status: Status::NotCounted, reason: Some(reason), ..row },
                });
            }
        }
        Ok(())
    }
}
