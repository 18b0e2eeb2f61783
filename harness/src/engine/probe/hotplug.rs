//! Timers around hot-add and hot-remove.

use crate::case::OPS;
use hdrhistogram::Histogram;
use memmap_layouts::{
    AddParams, Hotplug, HotplugError, HotplugRecord, Lookup, PAGE_RECORD_BYTES, PageRecord, Pfn, PfnRange, Phase,
    PhaseSink, RemoveParams,
    altmap::Altmap,
    backing::{DaxDevice, DaxError},
};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Significant decimal digits of the histograms: a resolution of 0.1 %.
const DIGITS: u8 = 3;

/// An empty histogram of nanoseconds that grows as needed.
pub fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("3 digits are allowed")
}

/// Records a duration in nanoseconds.
pub fn record(histogram: &mut Histogram<u64>, elapsed: Duration) {
    // Not `saturating_record`, which clamps to the present range instead of growing it.
    histogram.record(elapsed.as_nanos() as u64).expect("the histogram grows, and 2^64 ns are 584 years");
}

/// The percentiles in reports, with their names.
pub const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// A percentile in nanoseconds. It needs at least 10 samples beyond it, i.e. 10 / (1 - p) in total.
///
/// # Errors
/// The number of samples, if there are too few for `p`.
pub fn percentile(histogram: &Histogram<u64>, p: f64) -> Result<u64, u64> {
    // Rounded, since 1 - 0.999 is not exactly 0.001.
    let needed = (10.0 / (1.0 - p)).round() as u64;
    if histogram.len() < needed { Err(histogram.len()) } else { Ok(histogram.value_at_quantile(p)) }
}

/// Number of phases of additions and removals together.
const NR_PHASES: usize = Phase::Depopulate as usize + 1;

/// Durations of each phase; one sample for each operation that went through the phase.
///
/// During an operation only an array is written, so that timing a phase costs one reading of the
/// clock. The samples are moved to the histograms after the operation.
#[derive(Clone, Debug)]
pub struct PhaseTimes {
    histograms: BTreeMap<Phase, Histogram<u64>>,
    /// Time that the current operation has spent in each phase so far.
    current: [Option<(Phase, Duration)>; NR_PHASES],
    last: Instant,
}

impl Default for PhaseTimes {
    fn default() -> Self {
        Self { histograms: BTreeMap::new(), current: [None; NR_PHASES], last: Instant::now() }
    }
}

impl PhaseTimes {
    /// The phases that occurred, with a histogram of nanoseconds for each.
    pub fn by_phase(&self) -> impl Iterator<Item = (Phase, &Histogram<u64>)> {
        self.histograms.iter().map(|(phase, histogram)| (*phase, histogram))
    }

    /// Starts an operation and drops the phases of one that failed.
    fn begin(&mut self) -> Instant {
        self.current = [None; NR_PHASES];
        self.last = Instant::now();
        self.last
    }

    /// Records the phases of an operation that succeeded.
    fn end(&mut self) {
        for (phase, elapsed) in self.current.iter_mut().filter_map(Option::take) {
            record(self.histograms.entry(phase).or_insert_with(histogram), elapsed);
        }
    }
}

impl PhaseSink for PhaseTimes {
    /// Adds to the time of a phase: an operation that works section by section enters a phase
    /// several times.
    fn ended(&mut self, phase: Phase) {
        let now = Instant::now();
        let (_, elapsed) = self.current[phase as usize].get_or_insert((phase, Duration::ZERO));
        *elapsed += now - self.last;
        self.last = now;
    }
}

/// Latencies of additions and removals of one size on one layout.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Hot-add call alone, in ns.
    pub add: Histogram<u64>,
    /// Hot-add call and a first read of every record, in ns.
    pub add_read: Histogram<u64>,
    /// Hot-add call and a first write to every record, in ns.
    pub add_write: Histogram<u64>,
    /// Hot-remove call, in ns.
    pub remove: Histogram<u64>,
    /// Times of the phases of additions and removals.
    pub phases: PhaseTimes,
    /// Share (0 to 1) of the record bytes of the last addition that are on a device.
    pub on_device: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let [add, add_read, add_write, remove] = std::array::from_fn(|_| histogram());
        Self { add, add_read, add_write, remove, phases: PhaseTimes::default(), on_device: 0.0 }
    }
}

impl Latencies {
    /// The histograms with the names of their operations, e.g. `hot_add`.
    pub fn by_op(&self) -> [(&'static str, &Histogram<u64>); 4] {
        let histograms = [&self.add, &self.add_read, &self.add_write, &self.remove];
        std::array::from_fn(|at| (OPS[at], histograms[at]))
    }

    /// Stores the share of record bytes of `range` that are on a device.
    fn note_device(&mut self, bytes: u64, range: PfnRange) {
        self.on_device = (bytes as f64 / (range.nr_pages() * PAGE_RECORD_BYTES) as f64).min(1.0);
    }
}

/// How every record is accessed after an addition, to include the cost that a layout defers to the
/// first access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Each record is found by the layout's own lookup and read.
    Read,
    /// Each record is found and written.
    Write,
}

impl Touch {
    /// Accesses every record of a range and returns their number.
    fn every_record<L: Hotplug>(self, layout: &L, range: PfnRange) -> u64 {
        let reader = layout.reader();
        let pages = (range.start()..range.end()).filter_map(|pfn| reader.valid_to_page(Pfn(pfn)));
        match self {
            Self::Read => {
                let (found, flags) = pages.fold((0, 0u64), |(n, sum), page| (n + 1, sum.wrapping_add(page.flags())));
                black_box(flags);
                found
            }
            Self::Write => pages.fold(0, |n, page| {
                page.set_private(n);
                n + 1
            }),
        }
    }
}

/// How a range is added and removed.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// The device for the records, if the layout can put them there.
    pub device: Option<&'a Arc<DaxDevice>>,
    /// Number of threads that initialise records.
    pub init_threads: NonZeroU32,
    /// Access to every record after the call; `None` to time the call alone.
    pub touch: Option<Touch>,
    /// As [`AddParams::vmemmap_shift`].
    pub vmemmap_shift: u32,
}

impl<'a> Manner<'a> {
    /// Times the call alone; the calling thread initialises the records.
    pub fn plain(device: Option<&'a Arc<DaxDevice>>) -> Self {
        Self { device, init_threads: NonZeroU32::MIN, touch: None, vmemmap_shift: 0 }
    }
}

/// The parameters with which a layout adds `range`: its records go to `device` if the layout
/// supports that.
///
/// # Errors
/// The device is too small for the records.
pub fn add_params<L: Hotplug>(
    range: PfnRange,
    device: Option<&Arc<DaxDevice>>,
    layout: &L,
) -> Result<AddParams, DaxError> {
    let device = device.filter(|_| L::CAPS.records_on_device.any());
    let altmap = device.map(|device| Altmap::for_range::<L::Geometry>(Arc::clone(device), range, layout.backed()));
    Ok(AddParams { altmap: altmap.transpose()?.map(Arc::new), ..AddParams::default() })
}

/// Adds `range`, records the time, and leaves the range in place. The altmap is new each time, as
/// with a device driver.
///
/// # Errors
/// The layout refuses and the range is not added; or records of it are missing, and the range
/// stays.
pub fn add<L: Hotplug>(
    layout: &L,
    range: PfnRange,
    manner: Manner<'_>,
    into: &mut Latencies,
) -> Result<(), HotplugProbeError> {
    let on_device_before = layout.footprint().device_record_bytes;
    let found = timed_add(layout, range, manner, into)?;
    into.note_device(layout.footprint().device_record_bytes.saturating_sub(on_device_before), range);
    check_found(range, found)
}

/// Adds and removes `range` once and records both times.
///
/// # Errors
/// The layout refuses; nothing stays added.
pub fn add_and_remove<L: Hotplug>(
    layout: &L,
    range: PfnRange,
    manner: Manner<'_>,
    into: &mut Latencies,
) -> Result<(), HotplugProbeError> {
    let found = timed_add(layout, range, manner, into)?;
    into.note_device(layout.footprint().device_record_bytes, range);
    remove(layout, range, into)?;
    check_found(range, found)
}

/// Removes `range` and records the time.
///
/// # Errors
/// The layout refuses; the range stays.
pub fn remove<L: Hotplug>(layout: &L, range: PfnRange, into: &mut Latencies) -> Result<(), HotplugError> {
    let begin = into.phases.begin();
    layout.remove(range, &RemoveParams::default(), &mut into.phases)?;
    record(&mut into.remove, begin.elapsed());
    into.phases.end();
    Ok(())
}

/// Checks that every record was found, if the records were accessed.
fn check_found(range: PfnRange, found: Option<u64>) -> Result<(), HotplugProbeError> {
    match found {
        Some(found) if found != range.nr_pages() => Err(HotplugProbeError::Unseen { range, found }),
        _ => Ok(()),
    }
}

/// Adds a range and returns how many records were found afterwards, if they were accessed.
fn timed_add<L: Hotplug>(
    layout: &L,
    range: PfnRange,
    manner: Manner<'_>,
    into: &mut Latencies,
) -> Result<Option<u64>, HotplugProbeError> {
    let Manner { device, init_threads, vmemmap_shift, .. } = manner;
    let how = AddParams { init_threads, vmemmap_shift, ..add_params(range, device, layout)? };
    let begin = into.phases.begin();
    layout.add(range, &how, &mut into.phases)?;
    let added = begin.elapsed();
    let touched = manner.touch.map(|touch| (touch, touch.every_record(layout, range), begin.elapsed()));
    into.phases.end();
    record(&mut into.add, added);
    match touched {
        Some((Touch::Read, _, elapsed)) => record(&mut into.add_read, elapsed),
        Some((Touch::Write, _, elapsed)) => record(&mut into.add_write, elapsed),
        None => {}
    }
    Ok(touched.map(|(_, found, _)| found))
}

/// Why additions of a size were not timed.
#[derive(Debug, thiserror::Error)]
pub enum HotplugProbeError {
    /// The layout refused the operation.
    #[error(transparent)]
    Hotplug(#[from] HotplugError),
    /// The device cannot hold the records.
    #[error(transparent)]
    Device(#[from] DaxError),
    /// Records of the added range were not found.
    #[error("{found} records of {range} were found after its addition instead of {}", range.nr_pages())]
    Unseen {
        /// The range that was added.
        range: PfnRange,
        /// Number of records found.
        found: u64,
    },
}

impl HotplugProbeError {
    /// True if the records exceed the limit of this run, the device, or the tmpfs. The size is then
    /// too large, and the layout is not at fault.
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::Device(error) => matches!(error, DaxError::TooSmall { .. }),
            Self::Hotplug(HotplugError::Vmem { source, .. }) => source.is_no_room(),
            Self::Hotplug(_) | Self::Unseen { .. } => false,
        }
    }

    /// True if the machine or the device lacks memory, and the layout is not at fault.
    pub fn is_of_the_machine(&self) -> bool {
        matches!(self, Self::Device(_) | Self::Hotplug(HotplugError::Vmem { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::{Sparse, Subsection};
    use memmap_layouts::{BootMap, Config, Memmap, RecordBudget, RecordStore};

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
        let mut latencies = Latencies::default();
        let range = PfnRange::from_len(0x100000, 512).unwrap();
        for _ in 0..20 {
            add_and_remove(&layout, range, Manner::plain(None), &mut latencies).unwrap();
        }
        assert_eq!((latencies.add.len(), latencies.remove.len()), (20, 20));
        let samples: Vec<u64> = latencies.phases.by_phase().map(|(_, histogram)| histogram.len()).collect();
        assert_eq!(samples, [20; 7]);
        assert_eq!(layout.footprint().ram_record_bytes, 0);
        assert!(latencies.add_read.is_empty() && latencies.add_write.is_empty());
    }

    /// Adds the time of a phase to a simulated operation.
    fn spend(phases: &mut PhaseTimes, phase: Phase, elapsed: Duration) {
        phases.last = Instant::now().checked_sub(elapsed).unwrap();
        phases.ended(phase);
    }

    #[test]
    fn one_preempted_operation_does_not_move_the_median_of_a_phase() {
        let mut phases = PhaseTimes::default();
        for nr in 0..99 {
            phases.begin();
            let stall = if nr == 50 { Duration::from_secs(1) } else { Duration::ZERO };
            spend(&mut phases, Phase::Populate, Duration::from_millis(1) + stall);
            phases.end();
        }
        let (_, populate) = phases.by_phase().next().unwrap();
        assert_eq!(populate.len(), 99);
        // The mean is 11 ms.
        let median = percentile(populate, 0.5).unwrap();
        assert!((1_000_000..5_000_000).contains(&median), "{median} ns");
    }

    #[test]
    fn a_phase_in_parts_is_one_sample_and_a_failed_operation_has_no_sample() {
        let mut phases = PhaseTimes::default();
        phases.begin();
        (0..4).for_each(|_| spend(&mut phases, Phase::Populate, Duration::from_millis(10)));
        phases.end();
        phases.begin();
        spend(&mut phases, Phase::Reserve, Duration::from_millis(10));
        // The operation fails, and another one begins.
        phases.begin();
        phases.end();
        let by_phase: Vec<_> = phases.by_phase().collect();
        assert_eq!(
            by_phase.iter().map(|(phase, histogram)| (*phase, histogram.len())).collect::<Vec<_>>(),
            [(Phase::Populate, 1)]
        );
        assert!(by_phase[0].1.max() >= 40_000_000);
    }

    #[test]
    fn the_three_figures_of_an_addition_contain_each_other() {
        let layout = <Sparse>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let range = PfnRange::from_len(0x100000, 0x8000).unwrap();
        for (touch, threads) in [(Touch::Read, 1), (Touch::Write, 2)] {
            let mut latencies = Latencies::default();
            let init_threads = NonZeroU32::new(threads).unwrap();
            add_and_remove(
                &layout,
                range,
                Manner { init_threads, touch: Some(touch), ..Manner::plain(None) },
                &mut latencies,
            )
            .unwrap();
            let [(_, add), (_, read), (_, write), (_, remove)] = latencies.by_op();
            let touched = if touch == Touch::Read { read } else { write };
            assert_eq!((add.len(), read.len() + write.len(), touched.len(), remove.len()), (1, 1, 1, 1));
            // Compared within the precision of a histogram.
            assert!(touched.max() as f64 > 0.998 * add.max() as f64, "the time includes the call");
        }
    }

    #[test]
    fn an_addition_can_stay() {
        let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let mut latencies = Latencies::default();
        for nr in 0..20 {
            let range = PfnRange::from_len(0x100000 + nr * 512, 512).unwrap();
            let touch = Some(if nr % 2 == 0 { Touch::Read } else { Touch::Write });
            add(&layout, range, Manner { touch, ..Manner::plain(None) }, &mut latencies).unwrap();
            assert_eq!(layout.footprint().ram_record_bytes, (nr + 1) * (32 << 10));
        }
        assert_eq!(latencies.by_op().map(|(_, histogram)| histogram.len()), [20, 10, 10, 0]);
        let phases: Vec<Phase> = latencies.phases.by_phase().map(|(phase, _)| phase).collect();
        assert_eq!(phases, [Phase::Reserve, Phase::Populate, Phase::Initialise, Phase::Publish]);
    }

    #[test]
    fn an_addition_beyond_the_budget_is_too_large_and_leaves_nothing() {
        let store = RecordStore { budget: RecordBudget::new(16 << 10), ..RecordStore::unlimited() };
        let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), store).unwrap();
        let (range, mut latencies) = (PfnRange::from_len(0x100000, 512).unwrap(), Latencies::default());
        let manner = Manner { touch: Some(Touch::Read), ..Manner::plain(None) };
        let error = add_and_remove(&layout, range, manner, &mut latencies).unwrap_err();
        assert!(error.is_too_large(), "{error}");
        assert!(latencies.by_op().iter().all(|(_, histogram)| histogram.is_empty()));
        assert_eq!((layout.footprint().ram_record_bytes, layout.reader().pfn_valid(Pfn(0x100000))), (0, false));
    }
}
