//! Rows and histograms of additions and removals.

use super::lane::Lane;
use crate::case::{Addresses, HotplugGroup, processors};
use crate::engine::probe::hotplug::{PERCENTILES, percentile};
use crate::engine::race::Race;
use crate::record::row::{Row, Status};
use memmap_layouts::Geometry;

impl<G: Geometry> Race<'_, G> {
    /// A row of a group without a value.
    pub(super) fn latency_row(&self, id: &str, op: &str, metric: &str, unit: &str, group: &HotplugGroup) -> Row {
        let crowded = group.init_threads.get() > processors();
        Row {
            size_bytes: Some(group.size_bytes),
            mode: Some(group.addresses.name().to_owned()),
            position: Some(group.position.name().to_owned()),
            threads: Some(group.init_threads.get()),
            reason: crowded
                .then(|| "oversubscribed: more threads initialise records than there are processors".to_owned()),
            ..self.row(id, op, metric, unit)
        }
    }

    /// Adds the percentiles, phases and histograms of a lane to the results.
    pub(super) fn latency_rows(&mut self, group: &HotplugGroup, lane: &Lane) {
        let (id, latencies, seen) = (self.field.layouts[lane.layout].id(), &lane.latencies, &lane.seen);
        // `above` is the share of samples above the value.
        let judged =
            |row: Row, above: f64| Row { evidence: seen.evidence(), doctor: seen.verdict(above).to_string(), ..row };
        for (op, histogram) in latencies.by_op() {
            if group.ops().all(|timed| timed != op) {
                continue;
            }
            let row = |metric| Row { n_ops: Some(histogram.len()), ..self.latency_row(id, op, metric, "ns", group) };
            let mut rows = Vec::new();
            for (metric, p) in PERCENTILES {
                rows.push(match percentile(histogram, p) {
                    Ok(ns) => Row { value: Some(ns as f64), ..judged(row(metric), 1.0 - p) },
                    Err(_) => Row { status: Status::TooFew, ..row(metric) },
                });
            }
            rows.push(match histogram.is_empty() {
                false => Row { value: Some(histogram.max() as f64), ..judged(row("max"), 0.0) },
                true => Row { status: Status::TooFew, ..row("max") },
            });
            self.outcome.rows.extend(rows);
            let tag = format!("{op}/{id}/{}{}", group.size_bytes, group.variant());
            self.outcome.histograms.push((tag, histogram.clone()));
        }
        for (phase, histogram) in latencies.phases.by_phase() {
            let metric = format!("phase_{phase:?}").to_lowercase();
            let mut row = judged(self.latency_row(id, "hotplug", &metric, "ns", group), 0.5);
            row.n_ops = Some(histogram.len());
            match percentile(histogram, 0.5) {
                Ok(ns) => row.value = Some(ns as f64),
                Err(_) => row.status = Status::TooFew,
            }
            self.outcome.rows.push(row);
        }
        let mut row = self.latency_row(id, "hotplug", "records_on_device", "ratio", group);
        row.value = Some(latencies.on_device);
        if latencies.on_device > 0.0 {
            let blocks = match (group.addresses, &self.settings.means.device) {
                (Addresses::Fresh | Addresses::Growth, None) => "fresh blocks for every addition",
                (Addresses::Growth, Some(_)) => "blocks of a device, reused from one walk to the next",
                _ => "blocks reused from one addition to the next",
            };
            row.reason = Some(blocks.to_owned());
        }
        self.outcome.rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{on_the_reference, value};
    use super::*;
    use crate::engine::race::test_support::settings;
    use std::time::Duration;

    #[test]
    fn a_phase_is_the_median_of_its_samples() {
        let median = |samples| {
            let mut settings = settings();
            (settings.job.effort.hotplug_samples, settings.job.effort.hotplug_time) =
                (samples, Duration::from_secs(60));
            let mut rows = Vec::new();
            on_the_reference(&settings, |race, window| {
                race.latency_group(&HotplugGroup::plain(2 << 20), Some(&mut *window)).unwrap();
                rows = ["phase_populate", "phase_grace"].map(|phase| value(race, "hotplug", phase)).to_vec();
                // A phase is shorter than the whole addition in each sample, and so is its median.
                if let (Some(part), Some(whole)) = (rows[0].value, value(race, "hot_add", "p50").value) {
                    assert!(part <= whole, "{part} {whole}");
                }
            });
            rows
        };
        let enough = median(40);
        assert!(
            enough.iter().all(|row| row.n_ops == Some(40) && row.value.is_some() && row.unit == "ns"),
            "{enough:?}"
        );
        let few = median(10);
        assert!(few.iter().all(|row| row.status == Status::TooFew && row.value.is_none()), "{few:?}");
    }
}
