//! The heat table: layouts against operations, as ratios to a reference.

use super::data::{COMPARED, Data, compared};
use super::figure::View;
use crate::analysis::judge::Verdict;
use crate::analysis::summary::{HotplugLine, LookupCell, LookupLine};
use crate::case::Memory;
use crate::present::ratio;
use crate::present::table::in_words;
use crate::units::{self, percent, signed_time, time};
use serde_json::json;

/// How a cell is coloured, according to its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Faster than the reference.
    Fast,
    /// Slower than the reference.
    Slow,
    /// The difference is within the margin.
    Same,
    /// Undecided, or not judged.
    Undecided,
    /// There is no time.
    None,
}

impl Shade {
    /// CSS class of the cell in the page.
    pub fn class(self) -> &'static str {
        match self {
            Shade::Fast => "fast",
            Shade::Slow => "slow",
            Shade::Same => "same",
            Shade::Undecided => "undecided",
            Shade::None => "none",
        }
    }
}

/// The result of one operation on one layout.
#[derive(Clone, Debug)]
pub struct HeatCell {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Median in nanoseconds.
    pub ns: Option<f64>,
    /// Time divided by that of the reference; above 1 is slower.
    pub ratio: Option<f64>,
    /// Corrected confidence interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// Time minus that of the reference, in ns per operation.
    pub difference_ns: Option<f64>,
    /// Verdict against the reference; `None` if it is not judged.
    pub verdict: Option<Verdict>,
    /// True if the result of a chained lookup reached the next address through a branch instead of data.
    pub is_branch: bool,
    /// A remark on the time, or the reason why there is none.
    pub note: String,
}

impl HeatCell {
    /// The colour of the cell.
    pub fn shade(&self) -> Shade {
        match (self.ns, self.verdict) {
            (None, _) => Shade::None,
            (_, Some(Verdict::Faster)) => Shade::Fast,
            (_, Some(Verdict::Slower)) => Shade::Slow,
            (_, Some(Verdict::Equal)) => Shade::Same,
            (_, Some(Verdict::Undecided) | None) => Shade::Undecided,
        }
    }

    /// Intensity of the colour, 0 to 1; it is 1 from a ratio of 2.8, or of 1/2.8.
    pub fn strength(&self) -> f64 {
        self.ratio.map_or(0.0, |ratio| (ratio.log2().abs() / 1.5).clamp(0.0, 1.0))
    }

    /// The ratio as text.
    pub fn ratio_in_words(&self) -> String {
        let branch = if self.is_branch { " (b)" } else { "" };
        match (self.ratio, self.ns) {
            (Some(ratio), _) => format!("{}{branch}", ratio::times(ratio)),
            (None, Some(ns)) => format!("{}{branch}", time(ns)),
            (None, None) => "not offered".to_owned(),
        }
    }

    /// The time as text, unless it is shown in place of the ratio.
    pub fn time_in_words(&self) -> Option<String> {
        self.ns.filter(|_| self.ratio.is_some()).map(time)
    }

    /// The difference as text, if there is one.
    pub fn difference_in_words(&self) -> Option<String> {
        self.difference_ns.filter(|_| self.verdict.is_some()).map(signed_time)
    }

    /// The verdict as text.
    pub fn verdict_in_words(&self) -> Option<&'static str> {
        self.verdict.map(Verdict::name)
    }

    /// The interval as text.
    pub fn interval_in_words(&self) -> Option<String> {
        self.interval.map(units::interval)
    }
}

/// A line of the heat table: one operation on all layouts.
#[derive(Clone, Debug)]
pub struct HeatLine {
    /// Name of the operation.
    pub op: String,
    /// The operation in words, with everything that differs from the default.
    pub label: String,
    /// Whether boot or added memory was queried.
    pub memory: Memory,
    /// Order of queries; empty for hotplug.
    pub order: String,
    /// Name of the map, e.g. `this-machine`.
    pub map: String,
    /// Noise floor as a fraction of the time; `None` without a control.
    pub noise_floor: Option<f64>,
    /// Results by layout, in the order of the run.
    pub cells: Vec<HeatCell>,
}

impl HeatLine {
    /// The noise floor as text.
    pub fn floor_in_words(&self) -> Option<String> {
        self.noise_floor.map(|floor| format!("noise floor {}", percent(floor)))
    }
}

/// The lines for every lookup on every map, then those for hotplug.
pub fn lines(view: View<'_>) -> Vec<HeatLine> {
    let layouts = &view.layouts();
    let mut lines = Vec::new();
    for (map, summary) in view.maps {
        lines.extend(summary.lookups.iter().map(|line| lookup(map, line, layouts, &summary.reference)));
    }
    let main = view.run.main_map();
    let hotplug = view.main().hotplug.iter().filter(|line| line.group.is_plain() || line.op == "hot_add");
    lines.extend(hotplug.map(|line| of_hotplug(main, line, layouts, &view.main().reference)));
    lines
}

fn lookup(map: &str, line: &LookupLine, layouts: &[String], reference: &str) -> HeatLine {
    let of_reference = line.cells.iter().find(|cell| cell.layout == reference).is_some_and(LookupCell::is_branch);
    let cell = |layout: &String| {
        let found = line.cells.iter().find(|cell| cell.layout == *layout);
        let branch = found.is_some_and(LookupCell::is_branch);
        // A predicted branch is not a chain, so a ratio between the two would be meaningless.
        let is_like = found.filter(|_| branch == of_reference);
        let note = match (branch, is_like) {
            (true, _) => Some("the result reached the next address through a branch".to_owned()),
            (false, None) if found.is_some() => Some(format!("no ratio: for {reference} the result was a branch")),
            _ => None,
        };
        HeatCell {
            layout: layout.clone(),
            ns: found.and_then(|found| found.median_ns),
            ratio: is_like.and_then(|found| found.ratio),
            interval: is_like.and_then(|found| found.ratio_interval),
            difference_ns: is_like.and_then(|found| found.difference_ns),
            verdict: is_like.and_then(|found| found.verdict),
            is_branch: branch,
            note: found.and_then(|found| found.reason.clone()).or(note).unwrap_or_default(),
        }
    };
    HeatLine {
        op: line.group.op.to_string(),
        label: line.group.label(),
        memory: line.memory,
        order: line.group.pattern.to_string(),
        map: map.to_owned(),
        noise_floor: line.noise_floor,
        cells: layouts.iter().map(cell).collect(),
    }
}

fn of_hotplug(map: &str, line: &HotplugLine, layouts: &[String], reference: &str) -> HeatLine {
    let of_reference = line.ns(reference, "p50");
    let cell = |layout: &String| {
        let found = line.cells.iter().find(|cell| cell.layout == *layout);
        let ns = found.and_then(|found| found.ns("p50"));
        let samples =
            found.filter(|found| found.samples > 0).map(|found| format!("median of {} operations", found.samples));
        let note = found.and_then(|found| found.reason.clone()).or(samples).unwrap_or_default();
        let ratio = ns.zip(of_reference).map(|(ns, reference)| ns / reference);
        let difference_ns = ns.zip(of_reference).map(|(ns, reference)| ns - reference);
        let (interval, verdict) = (None, None);
        HeatCell { layout: layout.clone(), ns, ratio, interval, difference_ns, verdict, is_branch: false, note }
    };
    HeatLine {
        op: line.op.clone(),
        label: format!("{} {}", line.op, in_words(&line.group)),
        memory: Memory::Added,
        order: String::new(),
        map: map.to_owned(),
        noise_floor: None,
        cells: layouts.iter().map(cell).collect(),
    }
}

/// The heat table as data.
pub fn data(lines: &[HeatLine]) -> Data {
    let mut data = Data::new(&[&["operation", "memory", "order", "map", "layout"][..], &COMPARED].concat());
    for line in lines {
        for cell in line.cells.iter().filter(|cell| cell.ns.is_some()) {
            let place = [json!(line.label), json!(line.memory), json!(line.order), json!(line.map), json!(cell.layout)];
            let values = compared(cell.ns, cell.ratio, cell.interval, cell.difference_ns, cell.verdict);
            data.push(place.into_iter().chain(values));
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(ratio: Option<f64>, verdict: Option<Verdict>) -> HeatCell {
        let (layout, note) = (String::new(), String::new());
        HeatCell { layout, ns: ratio, ratio, interval: None, difference_ns: None, verdict, is_branch: false, note }
    }

    #[test]
    fn a_shade_is_a_verdict() {
        assert_eq!(cell(Some(1.1), Some(Verdict::Undecided)).shade(), Shade::Undecided);
        assert_eq!(cell(Some(1.01), Some(Verdict::Equal)).shade(), Shade::Same);
        assert_eq!(cell(Some(1.05), Some(Verdict::Slower)).shade(), Shade::Slow);
        assert_eq!(cell(Some(0.8), Some(Verdict::Faster)).shade(), Shade::Fast);
        assert_eq!(cell(Some(7.9), None).shade(), Shade::Undecided, "a time without a verdict has no shade");
        assert_eq!(cell(None, None).shade(), Shade::None);
        assert!(cell(Some(0.5), None).strength() == cell(Some(2.0), None).strength());
    }
}
