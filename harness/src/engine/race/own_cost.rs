//! The cost of a hot-add in the reference layout, relative to the hotplug baseline: populating and
//! writing the same records without any tables.

use super::{Race, RaceError};
use crate::case::{HOTPLUG_SIZES, REFERENCE};
use crate::case::{Position, own_cost_name};
use crate::engine::field::FieldError;
use crate::engine::probe::baseline::BaselineRecords;
use crate::engine::probe::hotplug::{self, Latencies, Manner, percentile};
use crate::engine::probe::place::Place;
use crate::record::row::Status;
use memmap_layouts::Geometry;
use rand::RngExt;
use std::time::Instant;

impl<G: Geometry> Race<'_, G> {
    /// Compares a hot-add of 2 MiB in the reference layout with a bare populate and write of the
    /// same records.
    pub(super) fn own_cost(&mut self) -> Result<(), RaceError> {
        if !self.settings.job.conditions.filter.wants(&own_cost_name(REFERENCE)) {
            return Ok(());
        }
        self.stage("hot-add compared with a bare populate");
        let Some(at) = self.field.layouts.iter().position(|layout| layout.id() == REFERENCE) else { return Ok(()) };
        let Some(window) = self.field.plan.latency else { return Ok(()) };
        let hotplug = self.field.layouts[at].hotplug().expect("the reference has hotplug");
        let Ok(Place { range, .. }) = hotplug.place(window, HOTPLUG_SIZES[0], Position::First) else { return Ok(()) };
        let records = BaselineRecords::new(range.nr_pages() as usize, &self.settings.means.backing)?;
        let (mut layout, mut baseline) = (Latencies::default(), hotplug::histogram());
        let effort = self.settings.job.effort;
        let begin = Instant::now();
        // The first slice of each creates page tables and is dropped.
        let mut warm = false;
        while baseline.len() < effort.hotplug_samples && begin.elapsed() < effort.hotplug_time {
            let layout_first: bool = self.rng.random();
            for is_layout in [layout_first, !layout_first] {
                let slice = Instant::now();
                while slice.elapsed() < effort.slice {
                    self.interrupt.check()?;
                    if is_layout {
                        let id = REFERENCE;
                        hotplug
                            .time(range, Manner::plain(None), &mut layout)
                            .map_err(|source| FieldError::Hotplug { layout: id, source })?;
                    } else {
                        hotplug::record(&mut baseline, records.round(range.start())?);
                    }
                }
            }
            if !warm {
                warm = true;
                (layout, baseline) = (Latencies::default(), hotplug::histogram());
            }
        }
        let medians = [("add_p50", &layout.add), ("bare_p50", &baseline)].map(|(metric, histogram)| {
            let mut row = self.row(REFERENCE, "own_cost", metric, "ns");
            row.size_bytes = Some(HOTPLUG_SIZES[0]);
            row.n_ops = Some(histogram.len());
            match percentile(histogram, 0.5) {
                Ok(ns) => row.value = Some(ns as f64),
                Err(_) => row.status = Status::TooFew,
            }
            row
        });
        let mut ratio = self.row(REFERENCE, "own_cost", "add_over_bare", "ratio");
        ratio.size_bytes = Some(HOTPLUG_SIZES[0]);
        match (medians[0].value, medians[1].value) {
            (Some(add), Some(baseline)) if baseline > 0.0 => ratio.value = Some(add / baseline),
            _ => ratio.status = Status::TooFew,
        }
        self.outcome.rows.extend(medians);
        self.outcome.rows.push(ratio);
        Ok(())
    }
}
