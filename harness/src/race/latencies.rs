//! Hotplug latencies, layouts in turn.

use super::{HOTPLUG_SIZES, Race, RaceError};
use crate::cases::HotplugCase;
use crate::field::FieldError;
use crate::probe::hotplug::{HotplugProbeError, Latencies, PERCENTILES, percentile};
use crate::row::{Row, Status};
use memmap_layouts::backing::{DaxDevice, DaxError};
use memmap_layouts::{Bytes, Geometry, HotplugError, PfnRange};
use rand::seq::SliceRandom;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A layout in a group whose operations take turns.
struct Lane {
    layout: usize,
    range: PfnRange,
    /// Where its records lie, if on a device: the same from one addition to the next.
    device: Option<Arc<DaxDevice>>,
    latencies: Latencies,
    spent: Duration,
    /// Why it cannot take part after all: too large for this run, not wrong.
    too_large: Option<String>,
}

impl<G: Geometry> Race<'_, G> {
    /// Additions and removals of every size.
    pub(super) fn latencies(&mut self) -> Result<(), RaceError> {
        let window = self.field.plan.latency;
        let device = |at| window.map_or(Ok(None), |window| self.field.device(at, window));
        let devices = (0..self.field.layouts.len()).map(device).collect::<Result<Vec<_>, _>>()?;
        for size in HOTPLUG_SIZES {
            self.stage(&format!("hot-add and hot-remove of {}", Bytes(size)));
            let begin = Instant::now();
            self.latency_group(size, window, &devices)?;
            self.spent(begin);
        }
        Ok(())
    }

    fn latency_group(
        &mut self,
        size: u64,
        window: Option<PfnRange>,
        devices: &[Option<Arc<DaxDevice>>],
    ) -> Result<(), RaceError> {
        let mut lanes: Vec<Lane> = Vec::new();
        let mut refused: Vec<(usize, String)> = Vec::new();
        for (at, layout) in self.field.layouts.iter().enumerate() {
            if !self.settings.filter.wants(&HotplugCase { size, layout: layout.id() }.name()) {
                continue;
            }
            let range = layout.hotplug().zip(window).and_then(|(hotplug, window)| hotplug.timed_range(window, size));
            match (range, layout.caps().hotplug_granule_pages) {
                (Some(range), _) => lanes.push(Lane {
                    layout: at,
                    range,
                    device: devices[at].clone(),
                    latencies: Latencies::default(),
                    spent: Duration::ZERO,
                    too_large: None,
                }),
                (None, None) => refused.push((at, "the layout has no hotplug".to_owned())),
                (None, _) if window.is_none() => {
                    refused.push((at, "the physical space has no room above the map".to_owned()));
                }
                (None, Some(pages)) => {
                    refused.push((at, format!("the layout adds multiples of {}", Bytes(pages << G::PAGE_SHIFT))));
                }
            }
        }
        lanes.shuffle(&mut self.rng);
        self.take_turns(&mut lanes)?;
        for lane in lanes {
            match lane.too_large {
                Some(reason) => refused.push((lane.layout, reason)),
                None => self.latency_rows(lane.layout, size, &lane.latencies),
            }
        }
        for (at, reason) in refused {
            for op in ["hot_add", "hot_remove"] {
                let mut blank = self.row(self.field.layouts[at].id(), op, "p50", "ns");
                blank.size_bytes = Some(size);
                self.not_offered(blank, &reason);
            }
        }
        Ok(())
    }

    /// Rounds of slices, forwards and backwards, until every lane has its samples or its time.
    fn take_turns(&self, lanes: &mut [Lane]) -> Result<(), RaceError> {
        let effort = self.settings.effort;
        let is_open = |lane: &Lane| {
            let more = lane.latencies.add.len() < effort.hotplug_samples && lane.spent < effort.hotplug_time;
            more && lane.too_large.is_none()
        };
        while lanes.iter().any(is_open) {
            for lane in lanes.iter_mut().filter(|lane| is_open(lane)) {
                self.slice_of_hotplug(lane)?;
            }
            lanes.reverse();
        }
        Ok(())
    }

    fn slice_of_hotplug(&self, lane: &mut Lane) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        let begin = Instant::now();
        while begin.elapsed() < 2 * self.settings.effort.slice {
            self.interrupt.check()?;
            match hotplug.time(lane.range, lane.device.as_ref(), &mut lane.latencies) {
                Ok(()) => {}
                Err(error) if is_too_large(&error) && lane.latencies.add.is_empty() => {
                    lane.too_large = Some(error.to_string());
                    return Ok(());
                }
                Err(source) => return Err(FieldError::Hotplug { layout: layout.id(), source }.into()),
            }
        }
        lane.spent += begin.elapsed();
        Ok(())
    }

    fn latency_rows(&mut self, at: usize, size: u64, latencies: &Latencies) {
        let id = self.field.layouts[at].id();
        for (op, histogram) in [("hot_add", &latencies.add), ("hot_remove", &latencies.remove)] {
            let sized = |row: Row| Row { size_bytes: Some(size), n_ops: Some(histogram.len()), ..row };
            for (metric, p) in PERCENTILES {
                let row = sized(self.row(id, op, metric, "ns"));
                self.outcome.rows.push(match percentile(histogram, p) {
                    Ok(ns) => Row { value: Some(ns as f64), ..row },
                    Err(_) => Row { status: Status::TooFew, ..row },
                });
            }
            let max = sized(self.row(id, op, "max", "ns"));
            self.outcome.rows.push(Row { value: Some(histogram.max() as f64), ..max });
            self.outcome.histograms.push((format!("{op}/{id}/{size}"), histogram.clone()));
        }
        for (phase, total) in &latencies.phases.total {
            let mut row = self.row(id, "hotplug", &format!("phase_{phase:?}").to_lowercase(), "ns");
            (row.size_bytes, row.n_ops) = (Some(size), Some(latencies.add.len()));
            row.value = Some(total.as_nanos() as f64 / latencies.add.len().max(1) as f64);
            self.outcome.rows.push(row);
        }
        let mut row = self.row(id, "hotplug", "records_on_device", "ratio");
        (row.size_bytes, row.value) = (Some(size), Some(latencies.on_device));
        row.reason = (latencies.on_device > 0.0).then(|| "blocks reused from one addition to the next".to_owned());
        self.outcome.rows.push(row);
    }
}

/// The records do not fit the limit of this run, or the device.
pub(super) fn is_too_large(error: &HotplugProbeError) -> bool {
    match error {
        HotplugProbeError::Device(error) => matches!(error, DaxError::TooSmall { .. }),
        HotplugProbeError::Hotplug(HotplugError::Vmem { source, .. }) => source.is_no_room(),
        HotplugProbeError::Hotplug(_) => false,
    }
}
