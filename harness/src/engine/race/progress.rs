//! Units of a race: their start and end, the remaining time, and the units that were not reached.

use super::{Race, RaceError};
use crate::case::NOT_REACHED;
use crate::record::row::{Row, Status};
use crate::record::unit::Unit;
use memmap_layouts::Geometry;
use std::time::{Duration, Instant};

impl<G: Geometry> Race<'_, G> {
    /// True if a unit is still to be measured.
    pub(super) fn is_open(&self, unit: &str) -> bool {
        !self.settings.job.done.contains(unit)
    }

    /// Measures a unit unless it is done already, and passes its results to the sink.
    pub(super) fn unit(
        &mut self,
        unit: &str,
        measure: impl FnOnce(&mut Self) -> Result<(), RaceError>,
    ) -> Result<(), RaceError> {
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
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.settings.job.time_limit.map(|limit| limit.saturating_sub(self.begun.elapsed()))
    }

    /// True if the time for lookups is over.
    pub(super) fn is_late(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    /// Adds a row for a unit that was not started because the time ran out. The unit does not count
    /// as done, so a resumed run measures it.
    pub(super) fn not_reached(&mut self, unit: &str, op: &str) {
        if self.is_open(unit) {
            let row = self.row("all", op, "time", "ns/op");
            self.late.push(Row { reason: Some(format!("{unit}: {NOT_REACHED}")), ..row });
        }
    }

    /// Passes one row for each unit that was not started to the sink.
    pub(super) fn report_not_reached(&mut self) -> Result<(), RaceError> {
        if self.late.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.late).into_iter();
        let rows = rows.map(|row| Row { status: Status::TooFew, n_ops: Some(0), ..row }).collect();
        let name = format!("not reached by process {}", self.settings.job.process);
        Ok(self.sink.done(Unit { name, rows, histograms: Vec::new() })?)
    }

    /// Begins a unit and reports it to the sink.
    pub(super) fn open(&mut self, unit: &str) {
        self.outcome = Unit { name: unit.to_owned(), ..Unit::default() };
        self.stage(unit);
    }

    /// Passes everything measured since the unit began to the sink.
    pub(super) fn close(&mut self) -> Result<(), RaceError> {
        Ok(self.sink.done(std::mem::take(&mut self.outcome))?)
    }

    /// Reports a step of the current unit to the sink.
    pub(super) fn stage(&mut self, what: &str) {
        self.sink.begin(&self.outcome.name, what, self.left);
    }

    /// Subtracts the time since `begin` from the estimate.
    pub(super) fn spent(&mut self, begin: Instant) {
        self.left = self.left.saturating_sub(begin.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::race::test_support::{run, settings, small_machine};
    use crate::engine::race::{Sink, race};
    use crate::interrupt::Interrupt;
    use memmap_layouts::X86_64;
    use std::io;

    #[test]
    fn units_after_the_time_limit_are_reported_as_not_measured() {
        let mut settings = settings();
        settings.job.time_limit = Some(Duration::ZERO);
        let kept = run(&settings).unwrap();
        assert!(!kept.rows().any(|row| row.value.is_some() && row.metric == "time"));
        assert!(kept.rows().any(|row| row.op == "footprint"));
        let told: Vec<&str> =
            kept.rows().filter(|row| row.status == Status::TooFew).filter_map(|row| row.reason.as_deref()).collect();
        let units = settings.job.work.lookups.len() + settings.job.work.hotplug.len() + settings.job.work.readers.len();
        assert!(told.len() == units && told.iter().all(|reason| reason.contains("the time of the run")), "{told:?}");
    }

    #[test]
    fn finished_units_are_skipped() {
        let mut settings = settings();
        let all: Vec<String> = run(&settings).unwrap().0.into_iter().map(|unit| unit.name).collect();
        let last = all.last().unwrap().clone();
        settings.job.done = all.iter().filter(|unit| **unit != last).cloned().collect();
        let rest: Vec<String> = run(&settings).unwrap().0.into_iter().map(|unit| unit.name).collect();
        assert_eq!(rest, [last]);
    }

    #[test]
    fn a_sink_error_ends_the_race() {
        struct Full;
        impl Sink for Full {
            fn begin(&mut self, _: &str, _: &str, _: Duration) {}
            fn done(&mut self, _: Unit) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let (settings, interrupt) = (settings(), Interrupt::default());
        let error = race::<X86_64>(small_machine(), &settings, &interrupt, &mut Full).unwrap_err();
        assert!(matches!(error, RaceError::Keep(_)), "{error}");
    }
}
