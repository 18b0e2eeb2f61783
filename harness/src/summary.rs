//! What the rows of a run say: medians, ratios, percentiles. Tables, pictures and sentences are made from this.

mod hotplug;
mod readers;

pub use hotplug::{HotplugCell, HotplugLine, Percentile, PhaseLine};
pub use readers::{ReadersCell, Tail};

use crate::cases::LookupGroup;
use crate::probe::counters::Kind;
use crate::race::REFERENCE;
use crate::row::{Dependency, Row, Sections, Status};
use crate::statistics::{interval, median, quantile, sorted};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A lookup of one layout.
#[derive(Clone, Debug, Serialize)]
pub struct LookupCell {
    /// The layout.
    pub layout: String,
    /// Median over samples, in ns an operation.
    pub median_ns: Option<f64>,
    /// Lower and upper quartile over samples.
    pub quartiles_ns: Option<(f64, f64)>,
    /// Median of the ratios to the reference layout in the same rounds; over several processes the median of theirs.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio over processes, if there are enough of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_interval: Option<(f64, f64)>,
    /// How the answer of a chained lookup reached the next address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Dependency>,
    /// Why there is no figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl LookupCell {
    /// Did the answer of a chained lookup reach the next address as a branch, at least where it is no? There is no data chain then.
    pub fn is_branch(&self) -> bool {
        matches!(self.dependency, Some(Dependency::Branch | Dependency::Mixed))
    }
}

/// One lookup on one kind of sections in one order.
#[derive(Clone, Debug, Serialize)]
pub struct LookupLine {
    /// What is compared.
    #[serde(flatten)]
    pub group: LookupGroup,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// The loop without a lookup, in ns an operation.
    pub floor_ns: Option<f64>,
    /// By layout.
    pub cells: Vec<LookupCell>,
}

/// Bytes of one layout.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Bytes {
    /// The layout.
    pub layout: String,
    /// Records that a machine with this map needs at boot.
    pub records_needed: Option<f64>,
    /// Of them, records backed here.
    pub records_backed: Option<f64>,
    /// Tables at boot.
    pub index: Option<f64>,
    /// Tables with as much memory again hot-added.
    pub index_with_hot: Option<f64>,
    /// Last-level page tables that map the backed records.
    pub page_tables: Option<f64>,
    /// Why it did not boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_not_boot: Option<String>,
}

/// Hot-add of 2 MiB against what it cannot do without.
#[derive(Clone, Debug, Serialize)]
pub struct OwnCost {
    /// The layout.
    pub layout: String,
    /// Median of the addition, in ns.
    pub add_ns: f64,
    /// Median of a bare populate and the same records written, in ns.
    pub bare_ns: f64,
    /// One over the other.
    pub ratio: f64,
}

/// A run in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Layouts, in the order of the rows.
    pub layouts: Vec<String>,
    /// The layout that ratios refer to.
    pub reference: String,
    /// Processes in which lookups were measured.
    pub processes: u32,
    /// True if only a sample of sections had records.
    pub sampled: bool,
    /// True if a layout kept records of hot-added memory on a device.
    pub on_device: bool,
    /// Lookups.
    pub lookups: Vec<LookupLine>,
    /// Hotplug.
    pub hotplug: Vec<HotplugLine>,
    /// Where the time of hotplug went.
    pub phases: Vec<PhaseLine>,
    /// Bytes.
    pub bytes: Vec<Bytes>,
    /// What hotplug adds to the unavoidable.
    pub own_cost: Option<OwnCost>,
    /// Readers beside a writer.
    pub readers: Vec<ReadersCell>,
    /// Counters, each with what it counted, or why it did not.
    pub counters: Vec<CounterLine>,
}

/// One counter.
#[derive(Clone, Debug, Serialize)]
pub struct CounterLine {
    /// `cycles`, …
    pub name: String,
    /// Unit of the counts.
    pub unit: String,
    /// Counts an operation.
    pub cells: Vec<CounterCell>,
    /// Why there are none.
    pub not_counted: Option<String>,
}

/// What a counter counted in a lookup of a layout, in random order.
#[derive(Clone, Debug, Serialize)]
pub struct CounterCell {
    /// The layout.
    pub layout: String,
    /// The lookup.
    pub op: String,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// Events an operation.
    pub per_op: f64,
    /// Set if the counter ran for a part of the time, and the count is scaled.
    pub scaled: Option<String>,
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

impl Summary {
    /// Reads rows of one map; ratios are to the usual reference, or to the first layout if that one was not raced.
    pub fn of(rows: &[Row]) -> Self {
        let is_there = |layout: &str| rows.iter().any(|row| row.layout == layout && row.op == "footprint");
        let first = rows.iter().find(|row| row.op == "footprint").map_or(REFERENCE, |row| row.layout.as_str());
        Self::against(rows, if is_there(REFERENCE) { REFERENCE } else { first })
    }

    /// Reads rows; ratios are to the layout `reference`.
    pub fn against(rows: &[Row], reference: &str) -> Self {
        let mut layouts = Vec::new();
        let booted = rows.iter().filter(|row| row.op == "footprint" || row.op == "boot");
        booted.for_each(|row| push_new(&mut layouts, row.layout.clone()));
        // A run that was cut short may have times without footprints.
        let timed = rows.iter().filter(|row| LookupGroup::of(row).is_some() && row.metric == "time");
        timed.for_each(|row| push_new(&mut layouts, row.layout.clone()));
        Self {
            reference: reference.to_owned(),
            sampled: rows.iter().any(|row| row.sampled),
            processes: rows.iter().map(|row| row.process.saturating_add(1)).max().unwrap_or(1),
            on_device: rows.iter().any(|r| r.metric == "records_on_device" && r.value.is_some_and(|v| v > 0.0)),
            lookups: lookups(rows, &layouts, reference),
            hotplug: hotplug::lines(rows, &layouts),
            phases: hotplug::phases(rows, &layouts),
            bytes: layouts.iter().map(|layout| bytes(rows, layout)).collect(),
            own_cost: own_cost(rows),
            readers: readers::cells(rows, &layouts),
            counters: Kind::ALL.into_iter().filter_map(|kind| counter(rows, &layouts, kind)).collect(),
            layouts,
        }
    }

    /// Bytes of a layout beyond one record for each page of a section with memory: its index, and records of holes. With `Hot`, as much
    /// memory again was added.
    pub fn overhead(&self, of: &Bytes, sections: Sections) -> Option<f64> {
        // No layout does without these.
        let least = self.bytes.iter().filter_map(|of| of.records_needed).fold(f64::INFINITY, f64::min);
        let index = if sections == Sections::Boot { of.index? } else { of.index_with_hot? };
        Some(index + of.records_needed? - least)
    }

    /// The line of a lookup.
    pub fn lookup(&self, group: LookupGroup, sections: Sections) -> Option<&LookupLine> {
        self.lookups.iter().find(|line| line.group == group && line.sections == sections)
    }
}

fn lookups(rows: &[Row], layouts: &[String], reference: &str) -> Vec<LookupLine> {
    let mut timed: BTreeMap<(LookupGroup, Sections), Vec<&Row>> = BTreeMap::new();
    let mut floors: BTreeMap<LookupGroup, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let (Some(group), Some(sections)) = (LookupGroup::of(row), row.sections) else { continue };
        match (row.metric.as_str(), row.value) {
            ("time", _) => timed.entry((group, sections)).or_default().push(row),
            ("floor", Some(floor)) => floors.entry(group).or_default().push(floor),
            _ => {}
        }
    }
    let mut lines: Vec<LookupLine> = timed
        .into_iter()
        .map(|((group, sections), rows)| LookupLine {
            cells: cells(&rows, layouts, reference),
            floor_ns: floors.get(&group).and_then(|of| median(of.iter().copied())),
            group,
            sections,
        })
        .collect();
    // What the names alone mean comes first.
    lines.sort_by_key(|line| (!line.group.is_plain(), line.group.op, line.group.mode, line.sections, line.group));
    lines
}

/// Times by process and sample.
type Samples = BTreeMap<(u32, Option<u32>), f64>;

fn samples<'a>(rows: impl Iterator<Item = &'a &'a Row>) -> Samples {
    rows.filter_map(|row| Some(((row.process, row.sample), row.value?))).collect()
}

/// Ratios of two layouts' samples, by process.
fn ratios(layout: &Samples, reference: &Samples) -> Vec<Vec<f64>> {
    let mut ratios: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (sample, ns) in layout {
        if let Some(of_reference) = reference.get(sample) {
            ratios.entry(sample.0).or_default().push(ns / of_reference);
        }
    }
    ratios.into_values().collect()
}

/// The cells of a line from its rows, by layout.
fn cells(group: &[&Row], layouts: &[String], reference: &str) -> Vec<LookupCell> {
    let of_reference = samples(group.iter().filter(|row| row.layout == reference));
    let cell = |layout: &String| {
        let of_layout: Vec<&&Row> = group.iter().filter(|row| row.layout == *layout).collect();
        let first = of_layout.first()?;
        let values = sorted(of_layout.iter().filter_map(|row| row.value));
        let processes = of_layout.iter().map(|row| row.process).collect::<BTreeSet<u32>>();
        let by_process = |figure: &dyn Fn(&Row) -> Option<f64>| -> Vec<f64> {
            let of = |process| of_layout.iter().filter(move |row| row.process == process);
            processes.iter().filter_map(|&process| median(of(process).filter_map(|row| figure(row)))).collect()
        };
        let ratios = ratios(&samples(of_layout.iter().copied()), &of_reference);
        Some(LookupCell {
            layout: layout.clone(),
            median_ns: median(by_process(&|row| row.value).into_iter()),
            quartiles_ns: quantile(&values, 0.25).zip(quantile(&values, 0.75)),
            ratio: median(ratios.iter().filter_map(|of| median(of.iter().copied()))),
            ratio_interval: interval(&ratios),
            dependency: first.dependency,
            reason: first.reason.clone(),
        })
    };
    layouts.iter().filter_map(cell).collect()
}

fn bytes(rows: &[Row], layout: &str) -> Bytes {
    let of_layout = || rows.iter().filter(|row| row.layout == layout);
    let value = |sections, metric: &str| {
        let mut found =
            of_layout().filter(|r| r.op == "footprint" && r.sections == Some(sections) && r.metric == metric);
        found.next().and_then(|row| row.value)
    };
    let refused = of_layout().find(|row| row.status == Status::WouldNotBoot);
    Bytes {
        layout: layout.to_owned(),
        records_needed: value(Sections::Boot, "records_needed").or_else(|| refused.and_then(|row| row.value)),
        records_backed: value(Sections::Boot, "records_backed"),
        index: value(Sections::Boot, "index"),
        index_with_hot: value(Sections::Hot, "index"),
        page_tables: value(Sections::Boot, "page_tables"),
        would_not_boot: refused.and_then(|row| row.reason.clone()),
    }
}

fn own_cost(rows: &[Row]) -> Option<OwnCost> {
    let value = |metric: &str| rows.iter().find(|row| row.op == "own_cost" && row.metric == metric);
    let ratio = value("add_over_bare")?;
    Some(OwnCost {
        layout: ratio.layout.clone(),
        add_ns: value("add_p50")?.value?,
        bare_ns: value("bare_p50")?.value?,
        ratio: ratio.value?,
    })
}

fn counter(rows: &[Row], layouts: &[String], kind: Kind) -> Option<CounterLine> {
    let of_kind = || rows.iter().filter(|row| row.metric == kind.name());
    let cell = |row: &Row| {
        let (layout, op, scaled) = (row.layout.clone(), row.op.clone(), row.reason.clone());
        Some(CounterCell { layout, op, sections: row.sections?, per_op: row.value?, scaled })
    };
    let not_counted = of_kind().filter(|row| row.status == Status::NotCounted).find_map(|row| row.reason.clone());
    let first = of_kind().next()?;
    let mut cells: Vec<CounterCell> = of_kind().filter_map(cell).collect();
    // Layouts ran in an order of chance.
    cells.sort_by_key(|cell| layouts.iter().position(|layout| *layout == cell.layout));
    Some(CounterLine { name: kind.name().to_owned(), unit: first.unit.clone(), cells, not_counted })
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::hotplug::tests::median as hotplug_median;
    use super::*;
    use crate::probe::lookup::LookupOp;
    use crate::queries::Pattern;

    pub(crate) fn row(layout: &str, op: &str, metric: &str, value: Option<f64>) -> Row {
        let json = serde_json::json!({
            "v": 1, "layout": layout, "op": op, "map": "m", "backing": "anon", "sampled": false, "process": 0,
            "metric": metric, "unit": "ns", "value": value, "status": "ok", "machine": "x", "doctor": "ok",
        });
        serde_json::from_value(json).unwrap()
    }

    fn slice(layout: &str, sample: u32, value: f64) -> Row {
        Row {
            sections: Some(Sections::Boot),
            pattern: Some("random".into()),
            sample: Some(sample),
            ..row(layout, "pfn_valid", "time", Some(value))
        }
    }

    #[test]
    fn ratios_are_of_neighbours_not_of_medians() {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0)), row(REFERENCE, "footprint", "index", Some(2.0))];
        // A machine that gets ten times slower half way: neighbours still differ by 2.
        for (sample, base) in [(0, 1.0), (1, 1.0), (2, 1.0), (3, 10.0), (4, 10.0)] {
            rows.push(slice(REFERENCE, sample, base));
            rows.push(slice("a", sample, 2.0 * base));
        }
        let summary = Summary::of(&rows);
        let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        let cell = &summary.lookup(group, Sections::Boot).unwrap().cells[0];
        assert_eq!((cell.layout.as_str(), cell.median_ns, cell.ratio), ("a", Some(2.0), Some(2.0)));
    }

    #[test]
    fn too_few_samples_stay_without_a_value() {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0))];
        for (metric, value) in [("p50", Some(5.0)), ("p99", None), ("max", Some(9.0))] {
            let mut row = row("a", "hot_add", metric, value);
            (row.size_bytes, row.n_ops) = (Some(2 << 20), Some(40));
            rows.push(row);
        }
        let summary = Summary::of(&rows);
        let cell = &summary.hotplug[0].cells[0];
        assert_eq!((cell.samples, cell.ns("p50"), cell.ns("p99"), cell.ns("max")), (40, Some(5.0), None, Some(9.0)));
    }

    #[test]
    fn processes_count_once_each() {
        let mut rows =
            vec![row("subsection", "footprint", "index", Some(1.0)), row("a", "footprint", "index", Some(1.0))];
        // A process with many slices weighs no more than one with few, and neighbours are of one process.
        for (process, ratio, slices) in [(0, 1.0, 9), (1, 2.0, 1), (2, 3.0, 1), (3, 3.0, 1), (4, 3.0, 1)] {
            for sample in 0..slices {
                let speed = 10.0 * f64::from(process + 1);
                for (layout, value) in [("a", ratio * speed), ("subsection", speed)] {
                    let timed = Row {
                        process,
                        sample: Some(sample),
                        sections: Some(Sections::Hot),
                        pattern: Some("random".into()),
                        ..row(layout, "pfn_valid", "time", Some(value))
                    };
                    rows.push(timed);
                }
            }
        }
        let summary = Summary::of(&rows);
        let cells = &summary.lookups[0].cells;
        let cell = cells.iter().find(|cell| cell.layout == "a").unwrap();
        assert_eq!((summary.processes, cell.ratio), (5, Some(3.0)));
        let (low, high) = cell.ratio_interval.unwrap();
        assert!(low < 3.0 && high == 3.0, "{low} {high}");
    }

    #[test]
    fn counters_have_counts_or_a_reason() {
        let of = |metric: &str, value, status, reason: Option<&str>| Row {
            sections: Some(Sections::Hot),
            status,
            reason: reason.map(str::to_owned),
            ..row("a", "pfn_valid", metric, value)
        };
        let rows = [
            of("cycles", None, Status::NotCounted, Some("no PMU")),
            of("page_faults", Some(0.25), Status::Ok, Some("scaled")),
        ];
        let counters = Summary::of(&rows).counters;
        assert_eq!(counters.len(), 2, "what was not tried is not told");
        assert_eq!((counters[0].cells.len(), counters[0].not_counted.as_deref()), (0, Some("no PMU")));
        assert_eq!((counters[1].cells[0].per_op, counters[1].cells[0].scaled.as_deref()), (0.25, Some("scaled")));
    }

    #[test]
    fn readers_are_compared_with_their_neighbours() {
        let of = |metric: &str, sample, value| Row { sample: Some(sample), ..row("a", "readers", metric, Some(value)) };
        let mut rows = vec![row("a", "footprint", "index", Some(1.0))];
        for (sample, base) in [(0, 100.0), (1, 100.0), (2, 10.0)] {
            rows.push(of("beside_a_writer", sample, 0.9 * base));
            rows.push(of("beside_a_busy_thread", sample, base));
        }
        let cell = &Summary::of(&rows).readers[0];
        assert!((cell.ratio - 0.9).abs() < 1e-9 && cell.beside_a_writer == 90.0, "{cell:?}");
    }
}
