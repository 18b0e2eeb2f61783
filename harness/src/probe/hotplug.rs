//! Stopwatches around additions and removals.

use hdrhistogram::Histogram;
use memmap_layouts::{
    AddParams, Geometry, Hotplug, HotplugError, PfnRange, Phase, PhaseSink, RemoveParams,
    altmap::Altmap,
    backing::{DaxDevice, DaxError},
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Significant digits of the histograms: 0.1 %.
const DIGITS: u8 = 3;

/// A histogram for nanoseconds that grows as needed.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("3 digits are allowed")
}

/// Records a duration in nanoseconds.
pub fn record(histogram: &mut Histogram<u64>, elapsed: Duration) {
    // Not `saturating_record`: that one keeps to the range of the moment instead of growing it.
    histogram.record(elapsed.as_nanos() as u64).expect("the histogram grows, and 2^64 ns are 584 years");
}

/// Percentiles of reports, with their names.
pub const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A percentile in nanoseconds, if there are samples enough: 10 beyond it, i.e. 10 / (1 - p) in all.
///
/// # Errors
/// The number of samples that there are, too few for `p`.
pub fn percentile(histogram: &Histogram<u64>, p: f64) -> Result<u64, u64> {
    // Rounded, since 1 - 0.999 is not exactly 0.001.
    let needed = (10.0 / (1.0 - p)).round() as u64;
    if histogram.len() < needed { Err(histogram.len()) } else { Ok(histogram.value_at_quantile(p)) }
}

/// Time spent in each phase, summed.
#[derive(Clone, Debug)]
pub struct PhaseTimes {
    /// Time by phase.
    pub total: BTreeMap<Phase, Duration>,
    last: Instant,
}

impl Default for PhaseTimes {
    fn default() -> Self {
        Self { total: BTreeMap::new(), last: Instant::now() }
    }
}

impl PhaseTimes {
    fn begin(&mut self) -> Instant {
        self.last = Instant::now();
        self.last
    }
}

impl PhaseSink for PhaseTimes {
    fn ended(&mut self, phase: Phase) {
        let now = Instant::now();
        *self.total.entry(phase).or_default() += now - self.last;
        self.last = now;
    }
}

/// Latencies of one size on one layout.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Additions, in nanoseconds.
    pub add: Histogram<u64>,
    /// Removals, in nanoseconds.
    pub remove: Histogram<u64>,
    /// Phases of both.
    pub phases: PhaseTimes,
    /// Share of record bytes that lay on a device, the last time.
    pub on_device: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { add: histogram(), remove: histogram(), phases: PhaseTimes::default(), on_device: 0.0 }
    }
}

/// How a layout adds `range`: with its records on `device` if it can put them there.
///
/// # Errors
/// The device is too small.
pub fn add_params<L: Hotplug>(
    range: PfnRange,
    device: Option<&Arc<DaxDevice>>,
    layout: &L,
) -> Result<AddParams, DaxError> {
    let device = device.filter(|_| L::CAPS.records_on_device.any());
    let altmap = device.map(|device| Altmap::for_range::<L::Geometry>(Arc::clone(device), range, layout.backed()));
    Ok(AddParams { altmap: altmap.transpose()?.map(Arc::new), ..AddParams::default() })
}

/// Adds and removes `range` once, timed. The altmap is made anew each time, as the driver of a device would.
///
/// # Errors
/// The layout refuses; nothing stays added.
pub fn add_and_remove<L: Hotplug>(
    layout: &L,
    range: PfnRange,
    device: Option<&Arc<DaxDevice>>,
    into: &mut Latencies,
) -> Result<(), HotplugProbeError> {
    let how = add_params(range, device, layout)?;
    let begin = into.phases.begin();
    layout.add(range, &how, &mut into.phases)?;
    record(&mut into.add, begin.elapsed());
    let footprint = layout.footprint();
    let bytes = (range.nr_pages() * memmap_layouts::PAGE_RECORD_BYTES) as f64;
    into.on_device = (footprint.device_record_bytes as f64 / bytes).min(1.0);
    let begin = into.phases.begin();
    layout.remove(range, &RemoveParams::default(), &mut into.phases)?;
    record(&mut into.remove, begin.elapsed());
    Ok(())
}

/// Why a size was not timed.
#[derive(Debug, thiserror::Error)]
pub enum HotplugProbeError {
    /// The layout refused.
    #[error(transparent)]
    Hotplug(#[from] HotplugError),
    /// The device cannot hold the records.
    #[error(transparent)]
    Device(#[from] DaxError),
}

/// The range of `size_bytes` at the start of a window; `None` if it is larger than the window, off the grid of the
/// layout, or not whole pages.
pub fn timed_range<L: Hotplug>(window: PfnRange, size_bytes: u64) -> Option<PfnRange> {
    let nr_pages = size_bytes >> L::Geometry::PAGE_SHIFT;
    let granule = L::CAPS.hotplug_granule_pages?;
    let range = PfnRange::from_len(window.start(), nr_pages)?;
    (nr_pages > 0 && nr_pages.is_multiple_of(granule) && range.end() <= window.end()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::{Sparse, Subsection};
    use memmap_layouts::{BootMap, Config, Memmap, RecordStore};

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        let mut few = histogram();
        few.record_n(5, 99).unwrap();
        assert_eq!((percentile(&few, 0.5), percentile(&few, 0.9)), (Ok(5), Err(99)));
        few.record(5).unwrap();
        assert_eq!((percentile(&few, 0.9), percentile(&few, 0.99)), (Ok(5), Err(100)));
        few.record_n(5, 9_899).unwrap();
        assert_eq!(percentile(&few, 0.999), Err(9_999));
        few.record(5).unwrap();
        assert_eq!(percentile(&few, 0.999), Ok(5));
    }

    #[test]
    fn durations_are_kept_to_three_digits() {
        let mut histogram = histogram();
        for ns in [20, 15_000, 8_000_000_000] {
            record(&mut histogram, Duration::from_nanos(ns));
        }
        assert_eq!((histogram.min(), histogram.value_at_quantile(0.5)), (20, 15_007));
        assert!(histogram.max().abs_diff(8_000_000_000) < 8_000_000);
    }

    #[test]
    fn every_phase_is_timed_and_nothing_stays() {
        let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let window = PfnRange::from_len(0x100000, 0x40000).unwrap();
        let mut latencies = Latencies::default();
        let range = timed_range::<Subsection>(window, 2 << 20).unwrap();
        for _ in 0..20 {
            add_and_remove(&layout, range, None, &mut latencies).unwrap();
        }
        assert_eq!((latencies.add.len(), latencies.remove.len(), latencies.phases.total.len()), (20, 20, 7));
        assert_eq!(layout.footprint().ram_record_bytes, 0);
        assert!(timed_range::<Sparse>(window, 2 << 20).is_none(), "off the grid of whole sections");
        assert!(timed_range::<Sparse>(window, 2 << 30).is_none(), "larger than the window");
    }
}
