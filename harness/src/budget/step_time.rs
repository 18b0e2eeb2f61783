//! How long a step takes: from the hot-adds of a run, or from those of the reference machine.

use crate::analysis::compare::Run;
use crate::analysis::summary::{HotplugLine, Summary};
use crate::budget::request::RecordsIn;
use crate::case::HOT_ADD;
use serde::Serialize;
use thiserror::Error;

/// Hot-adds of the reference run of this project: layout, size in bytes, number of samples, median and 99th
/// percentile in nanoseconds (empty if there are too few samples). A test compares it with the run.
pub const REFERENCE_HOT_ADDS: &str = include_str!("reference-hot-adds.csv");

/// Name of the reference in output: its times are those of another machine.
pub const REFERENCE_NAME: &str = "reference machine, not yours";

/// Page size in bytes of all measured hot-adds.
pub const MEASURED_PAGE_BYTES: u64 = 4096;

/// Layouts of the hot-adds that are used, by preference.
fn layouts(records_in: RecordsIn) -> [&'static str; 2] {
    match records_in {
        RecordsIn::Ram | RecordsIn::Block => ["linux-6.1", "subsection"],
        RecordsIn::Device => ["dax-x86", "dax"],
    }
}

/// Time of a hot-add of one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HotAddTime {
    /// Bytes added.
    pub size_bytes: u64,
    /// Number of samples.
    pub samples: u64,
    /// Median in nanoseconds.
    pub p50_ns: f64,
    /// 99th percentile in nanoseconds; `None` if there are too few samples.
    pub p99_ns: Option<f64>,
}

/// Times of hot-adds by size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HotAddTimes {
    /// Id of the layout, e.g. `linux-6.1`.
    pub layout: String,
    /// Where the times are from: the name of the run, or [`REFERENCE_NAME`].
    pub from: String,
    /// Times in ascending order of size.
    pub times: Vec<HotAddTime>,
}

/// Why a run gives no times.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the run {run} has no median of a hot-add of {layouts}; make one with pfnbench run, or leave out --run for the \
     times of the reference machine"
)]
pub struct NoTimes {
    run: String,
    layouts: String,
}

/// Time of one step, estimated from the largest measured hot-add that is not larger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTime {
    /// Bytes of the measured hot-add.
    pub measured_bytes: u64,
    /// How many of them make the step.
    pub times: f64,
    /// Median of a step in nanoseconds: that of the measured hot-add, `times` over.
    pub p50_ns: f64,
    /// 99th percentile of one measured hot-add in nanoseconds, if it was measured.
    pub measured_p99_ns: Option<f64>,
}

impl HotAddTimes {
    /// The times of a run on its main map.
    ///
    /// # Errors
    /// The run has no hot-adds of the layouts that stand for the place of the records.
    pub fn of_run(run: &Run, records_in: RecordsIn) -> Result<Self, NoTimes> {
        let layouts = layouts(records_in);
        let summary = Summary::from_rows(&run.on(run.map()));
        let lines = || summary.hotplug.iter().filter(|line| line.op == HOT_ADD && line.group.is_plain());
        let of_layout = |layout: &str| {
            let mut times: Vec<HotAddTime> = lines().filter_map(|line| time_of(line, layout)).collect();
            times.sort_by_key(|time| time.size_bytes);
            (!times.is_empty()).then(|| Self { layout: layout.to_owned(), from: run.name.clone(), times })
        };
        let none = || NoTimes { run: run.name.clone(), layouts: layouts.join(" or ") };
        layouts.into_iter().find_map(of_layout).ok_or_else(none)
    }

    /// The times of the reference machine; `None` if it measured none of these layouts.
    pub fn reference(records_in: RecordsIn) -> Option<Self> {
        let rows: Vec<(&str, HotAddTime)> = REFERENCE_HOT_ADDS.lines().filter_map(parse_row).collect();
        let of_layout = |layout: &str| {
            let times: Vec<HotAddTime> =
                rows.iter().filter(|(known, _)| *known == layout).map(|(_, time)| time.clone()).collect();
            let (layout, from) = (layout.to_owned(), REFERENCE_NAME.to_owned());
            (!times.is_empty()).then_some(Self { layout, from, times })
        };
        layouts(records_in).into_iter().find_map(of_layout)
    }

    /// The lines of [`REFERENCE_HOT_ADDS`] for these times.
    pub fn to_csv(&self) -> String {
        let line = |time: &HotAddTime| {
            let p99 = time.p99_ns.map_or_else(String::new, |ns| ns.to_string());
            format!("{},{},{},{},{p99}\n", self.layout, time.size_bytes, time.samples, time.p50_ns)
        };
        self.times.iter().map(line).collect()
    }

    /// The time of a step with pages of `page_bytes`; `None` if it has fewer records than every measured hot-add, which
    /// had pages of [`MEASURED_PAGE_BYTES`]. Steps with more are scaled: hot-add goes record by record.
    pub fn of_step(&self, step_bytes: u64, page_bytes: u64) -> Option<StepTime> {
        let step_bytes = step_bytes / page_bytes * MEASURED_PAGE_BYTES;
        let time = self.times.iter().rfind(|time| (1..=step_bytes).contains(&time.size_bytes))?;
        let times = step_bytes as f64 / time.size_bytes as f64;
        Some(StepTime {
            measured_bytes: time.size_bytes,
            times,
            p50_ns: time.p50_ns * times,
            measured_p99_ns: time.p99_ns,
        })
    }
}

fn time_of(line: &HotplugLine, layout: &str) -> Option<HotAddTime> {
    let cell = line.cells.iter().find(|cell| cell.layout == layout)?;
    Some(HotAddTime {
        size_bytes: line.group.size_bytes,
        samples: cell.samples,
        p50_ns: cell.ns("p50")?,
        p99_ns: cell.ns("p99"),
    })
}

/// A line of the reference; `None` for comments.
fn parse_row(line: &str) -> Option<(&str, HotAddTime)> {
    let mut fields = line.split(',');
    let layout = fields.next()?;
    let (size, samples, p50, p99) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let time = HotAddTime {
        size_bytes: size.parse().ok()?,
        samples: samples.parse().ok()?,
        p50_ns: p50.parse().ok()?,
        p99_ns: p99.parse().ok(),
    };
    Some((layout, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_times_for_every_place() {
        for records_in in [RecordsIn::Ram, RecordsIn::Device, RecordsIn::Block] {
            let told = HotAddTimes::reference(records_in).unwrap();
            assert!(told.times.len() > 1 && told.times.is_sorted_by(|a, b| a.size_bytes < b.size_bytes), "{told:?}");
            assert!(told.times.iter().all(|time| time.p50_ns > 0.0 && time.samples > 0));
        }
        let all: Vec<_> = REFERENCE_HOT_ADDS.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(all.iter().all(|line| parse_row(line).is_some()), "{all:?}");
    }

    #[test]
    fn a_step_is_scaled_from_the_largest_measured_size_below_it() {
        let time = |size_bytes, p50_ns| HotAddTime { size_bytes, samples: 10, p50_ns, p99_ns: None };
        let times = vec![time(2 << 20, 10.0), time(128 << 20, 60.0), time(1 << 30, 500.0)];
        let told = HotAddTimes { layout: "l".into(), from: "r".into(), times };
        let step = |bytes| told.of_step(bytes, 4096).map(|step| (step.measured_bytes >> 20, step.p50_ns));
        assert_eq!(step(128 << 20), Some((128, 60.0)));
        assert_eq!(step(256 << 20), Some((128, 120.0)));
        assert_eq!(step(64 << 30), Some((1024, 32_000.0)));
        assert_eq!((step(4096), step(0)), (None, None));
        let large_pages = told.of_step(2 << 30, 64 << 10).unwrap();
        assert_eq!((large_pages.measured_bytes, large_pages.p50_ns), (128 << 20, 60.0), "a record for 64 KiB");
        assert_eq!(told.to_csv().lines().nth(1), Some("l,134217728,10,60,"));
    }
}
