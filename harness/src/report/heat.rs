//! The heat table: layouts against operations, as ratios to a reference.

use super::data::Data;
use super::figure::View;
use crate::row::Sections;
use crate::statistics::interval_in_words;
use crate::summary::{HotplugLine, LookupCell, LookupLine};
use crate::table::{in_words, is_best};
use crate::units::{three_digits, time};
use serde_json::json;

/// What a cell says beside its ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Faster than the reference.
    Fast,
    /// Slower.
    Slow,
    /// As fast, as far as the run can tell.
    Same,
    /// There is no figure.
    None,
}

impl Shade {
    /// As the page's style has it.
    pub fn class(self) -> &'static str {
        match self {
            Shade::Fast => "fast",
            Shade::Slow => "slow",
            Shade::Same => "same",
            Shade::None => "none",
        }
    }
}

/// An operation on a layout.
#[derive(Clone, Debug)]
pub struct HeatCell {
    /// The layout.
    pub layout: String,
    /// Median in nanoseconds.
    pub ns: Option<f64>,
    /// It over the reference's.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// The answer of a chained lookup reached the next address as a branch.
    pub is_branch: bool,
    /// What is to be known of it, or why there is none.
    pub note: String,
}

impl HeatCell {
    /// How it compares with the reference.
    pub fn shade(&self) -> Shade {
        let Some(ratio) = self.ratio else { return Shade::None };
        let is_near = is_best(ratio, 1.0) && is_best(1.0, ratio);
        let is_open = self.interval.is_some_and(|(low, high)| low <= 1.0 && 1.0 <= high);
        match is_near || is_open {
            true => Shade::Same,
            false if ratio < 1.0 => Shade::Fast,
            false => Shade::Slow,
        }
    }

    /// How strong its shade is, 0 to 1: one at 2.8 times and a 2.8th.
    pub fn strength(&self) -> f64 {
        self.ratio.map_or(0.0, |ratio| (ratio.log2().abs() / 1.5).clamp(0.0, 1.0))
    }

    /// The ratio in words.
    pub fn ratio_in_words(&self) -> String {
        let branch = if self.is_branch { " (b)" } else { "" };
        match (self.ratio, self.ns) {
            (Some(ratio), _) => format!("{}×{branch}", three_digits(ratio)),
            (None, Some(ns)) => format!("{}{branch}", time(ns)),
            (None, None) => "not offered".to_owned(),
        }
    }

    /// The time in words, where it is not in the place of the ratio.
    pub fn time_in_words(&self) -> Option<String> {
        self.ns.filter(|_| self.ratio.is_some()).map(time)
    }

    /// The interval in words.
    pub fn interval_in_words(&self) -> Option<String> {
        self.interval.map(interval_in_words)
    }
}

/// An operation.
#[derive(Clone, Debug)]
pub struct HeatLine {
    /// Name of the operation.
    pub op: String,
    /// It in words, with what is unusual.
    pub label: String,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// Order of queries; empty for hotplug.
    pub order: String,
    /// The map.
    pub map: String,
    /// By layout, in the order of the run.
    pub cells: Vec<HeatCell>,
}

/// Every lookup of every map, then hotplug.
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
        let of = line.cells.iter().find(|cell| cell.layout == *layout);
        let branch = of.is_some_and(LookupCell::is_branch);
        // A branch that is predicted is no chain, and no ratio to one.
        let is_like = of.filter(|_| branch == of_reference);
        let note = match (branch, is_like) {
            (true, _) => Some("validity reached the next address as a branch".to_owned()),
            (false, None) if of.is_some() => Some(format!("no ratio: for {reference} validity was a branch")),
            _ => None,
        };
        HeatCell {
            layout: layout.clone(),
            ns: of.and_then(|of| of.median_ns),
            ratio: is_like.and_then(|of| of.ratio),
            interval: is_like.and_then(|of| of.ratio_interval),
            is_branch: branch,
            note: of.and_then(|of| of.reason.clone()).or(note).unwrap_or_default(),
        }
    };
    HeatLine {
        op: line.group.op.to_string(),
        label: line.group.label(),
        sections: line.sections,
        order: line.group.pattern.to_string(),
        map: map.to_owned(),
        cells: layouts.iter().map(cell).collect(),
    }
}

fn of_hotplug(map: &str, line: &HotplugLine, layouts: &[String], reference: &str) -> HeatLine {
    let of_reference = line.ns(reference, "p50");
    let cell = |layout: &String| {
        let of = line.cells.iter().find(|cell| cell.layout == *layout);
        let ns = of.and_then(|of| of.ns("p50"));
        let samples = of.filter(|of| of.samples > 0).map(|of| format!("median of {} operations", of.samples));
        let note = of.and_then(|of| of.reason.clone()).or(samples).unwrap_or_default();
        let ratio = ns.zip(of_reference).map(|(ns, reference)| ns / reference);
        HeatCell { layout: layout.clone(), ns, ratio, interval: None, is_branch: false, note }
    };
    HeatLine {
        op: line.op.clone(),
        label: format!("{} {}", line.op, in_words(&line.group)),
        sections: Sections::Hot,
        order: String::new(),
        map: map.to_owned(),
        cells: layouts.iter().map(cell).collect(),
    }
}

/// The table as data.
pub fn data(lines: &[HeatLine]) -> Data {
    let mut data =
        Data::new(&["operation", "sections", "order", "map", "layout", "time_ns", "ratio", "ratio_low", "ratio_high"]);
    for line in lines {
        for cell in line.cells.iter().filter(|cell| cell.ns.is_some()) {
            let (low, high) = cell.interval.unzip();
            data.push([
                json!(line.label),
                json!(line.sections),
                json!(line.order),
                json!(line.map),
                json!(cell.layout),
                json!(cell.ns),
                json!(cell.ratio),
                json!(low),
                json!(high),
            ]);
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(ratio: Option<f64>, interval: Option<(f64, f64)>) -> HeatCell {
        HeatCell { layout: String::new(), ns: ratio, ratio, interval, is_branch: false, note: String::new() }
    }

    #[test]
    fn a_shade_needs_an_interval_without_one_in_it() {
        assert_eq!(cell(Some(1.1), Some((0.99, 1.2))).shade(), Shade::Same);
        assert_eq!(cell(Some(1.01), Some((1.005, 1.02))).shade(), Shade::Same, "too little to speak of");
        assert_eq!(cell(Some(1.05), Some((1.04, 1.06))).shade(), Shade::Slow);
        assert_eq!(cell(Some(0.8), Some((0.7, 0.9))).shade(), Shade::Fast);
        assert_eq!(cell(Some(1.02), None).shade(), Shade::Same);
        assert_eq!(cell(Some(1.2), None).shade(), Shade::Slow);
        assert_eq!(cell(None, None).shade(), Shade::None);
        assert!(cell(Some(0.5), None).strength() == cell(Some(2.0), None).strength());
    }
}
