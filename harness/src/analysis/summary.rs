//! Summary of the rows of a run on one map: medians, ratios and percentiles, from which tables,
//! figures and sentences are made.

mod hotplug;
mod lookups;
mod readers;

pub use hotplug::{HotplugCell, HotplugLine, Percentile, PhaseLine};
pub use lookups::{
    AS_POSTED, HEADLINES, LINUX, LookupCell, LookupLine, Pair, SERIES, WALKER, WINNER, headline_group, is_near_loop,
    is_of_means,
};
pub(crate) use lookups::{noise_floor_of, process_times};
pub use readers::{ReadersCell, Tail};

use crate::analysis::huge_pages::INDEX_IN_HUGE_PAGES;
use crate::analysis::judge::MARGIN;
use crate::case::{CONTROL, LookupGroup, LookupOp, Memory, NOT_REACHED, OPS, OWN_COST, REFERENCE, ReadersGroup};
use crate::case::{CounterKind, current_name};
use crate::record::row::{Row, Status, trust, trusted};
use serde::Serialize;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// Memory use of one layout, in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MemoryUse {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Size of the records that a machine with this map needs at boot.
    pub records_needed: Option<f64>,
    /// Size of those records that have backing memory in this run.
    pub records_backed: Option<f64>,
    /// Size of the index tables at boot.
    pub index: Option<f64>,
    /// Size of the index tables after as much memory again was hot-added.
    pub index_with_added: Option<f64>,
    /// Size of the huge pages that back index tables, with added memory if there is any. `None` if
    /// they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_in_huge_pages: Option<f64>,
    /// Size of the last-level page tables that map the backed records.
    pub page_tables: Option<f64>,
    /// Why the layout did not boot; `None` if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_not_boot: Option<String>,
}

/// Time of a hot-add of 2 MiB compared with the work that no layout can avoid: a bare populate.
#[derive(Clone, Debug, Serialize)]
pub struct OwnCost {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Median time of the addition in ns.
    pub add_ns: f64,
    /// Median time of a bare populate in ns: memory is mapped and the same records are written.
    pub bare_ns: f64,
    /// `add_ns` divided by `bare_ns`; lower is better.
    pub ratio: f64,
}

/// The results of a run on one map.
///
/// ```
/// use pfnbench::analysis::summary::Summary;
/// use pfnbench::case::{LookupGroup, LookupOp, Memory, Pattern};
/// use pfnbench::record::row::{Row, Status};
///
/// let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
/// let row = |layout: &str, process, ns| {
///     let (metric, unit, value) = ("time".into(), "ns/op".into(), Some(ns));
///     let row = Row { layout: layout.into(), process, metric, unit, value, status: Status::Ok, ..Row::default() };
///     row.with_lookup(&group, Memory::Boot)
/// };
/// let rows = [row("vmemmap-section", 0, 2.0), row("subsection", 0, 2.5)];
/// let summary = Summary::against(&rows, "vmemmap-section");
/// let line = summary.lookup(group, Memory::Boot).ok_or("no such lookup")?;
/// assert_eq!(line.fastest().map(|cell| cell.layout.as_str()), Some("vmemmap-section"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Layouts, in the order of the rows.
    pub layouts: Vec<String>,
    /// Id of the layout that ratios are relative to.
    pub reference: String,
    /// Margin of equality as a fraction of the time: differences up to it are negligible.
    pub margin: f64,
    /// Number of processes that measured lookups.
    pub processes: u32,
    /// True if only a sample of the boot sections had records.
    pub sampled: bool,
    /// True if a layout kept records of added memory on a device.
    pub on_device: bool,
    /// Backing store of records in RAM; empty if the rows differ.
    pub backing: String,
    /// Results of lookups: one line per group and kind of memory.
    pub lookups: Vec<LookupLine>,
    /// Results of hotplug: one line per operation and group.
    pub hotplug: Vec<HotplugLine>,
    /// Where the time of hotplug went.
    pub phases: Vec<PhaseLine>,
    /// Memory use by layout.
    pub bytes: Vec<MemoryUse>,
    /// Cost of hot-add relative to a bare populate, if measured.
    pub own_cost: Option<OwnCost>,
    /// Results of readers beside a writer.
    pub readers: Vec<ReadersCell>,
    /// Results of event counters, or the reasons why they are missing.
    pub counters: Vec<CounterLine>,
    /// Names, without the layout, of cases that no process reached within the time limit of the
    /// run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_reached: Vec<String>,
    /// Which layouts were found faulty and left out, and why. Nothing else here is about them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// The results of one event counter.
#[derive(Clone, Debug, Serialize)]
pub struct CounterLine {
    /// Name of the counter, e.g. `cycles`.
    pub name: String,
    /// Unit of the counts: `events/op` or `ns/op`.
    pub unit: String,
    /// Counts per operation, by layout and lookup.
    pub cells: Vec<CounterCell>,
    /// Why there are no counts; `None` if there are.
    pub not_counted: Option<String>,
}

/// Count of one counter for lookups of one layout in random order.
#[derive(Clone, Debug, Serialize)]
pub struct CounterCell {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Name of the lookup, e.g. `pfn_valid`.
    pub op: String,
    /// Whether boot or added memory was queried.
    pub memory: Memory,
    /// Count per operation.
    pub per_op: f64,
    /// A remark if the counter ran only part of the time, so that the count is scaled.
    pub scaled: Option<String>,
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

impl Summary {
    /// Summarises the rows of one map, with ratios to the default reference.
    pub fn from_rows(rows: &[Row]) -> Self {
        Self::against(rows, Self::default_reference(rows))
    }

    /// The default reference, or the first layout if the default was not measured.
    pub fn default_reference(rows: &[Row]) -> &str {
        let is_trusted = trust(rows);
        let booted = || rows.iter().filter(|row| row.op == "footprint" && is_trusted(row));
        let measured = || booted().map(|row| row.layout.as_str());
        measured().find(|layout| *layout == REFERENCE).or(measured().next()).unwrap_or(REFERENCE)
    }

    /// Summarises rows, with ratios to the layout `reference` and the margin [`MARGIN`].
    pub fn against(rows: &[Row], reference: &str) -> Self {
        Self::judged(rows, reference, MARGIN)
    }

    /// Summarises the rows of all layouts that were not found faulty. `margin` is the margin of
    /// equality, as a fraction of the time.
    pub fn judged(rows: &[Row], reference: &str, margin: f64) -> Self {
        let left_out = rows.iter().filter(|row| row.is_of_faulty_layout()).filter_map(|row| row.reason.clone());
        let left_out = left_out.collect();
        let rows = &*trusted(rows);
        let mut layouts = Vec::new();
        let booted = rows.iter().filter(|row| row.op == "footprint" || row.op == "boot");
        booted.for_each(|row| push_new(&mut layouts, row.layout.clone()));
        // An interrupted run may have times without footprints.
        let timed = rows.iter().filter(|row| row.lookup_group().is_some() && row.metric == "time");
        timed.for_each(|row| push_new(&mut layouts, row.layout.clone()));
        // The control only serves to find the noise floor, and is not a layout.
        layouts.retain(|layout| layout != CONTROL);
        Self {
            reference: reference.to_owned(),
            margin,
            sampled: rows.iter().any(|row| row.sampled),
            processes: rows.iter().map(|row| row.process.saturating_add(1)).max().unwrap_or(1),
            on_device: rows.iter().any(|r| r.metric == "records_on_device" && r.value.is_some_and(|v| v > 0.0)),
            backing: backing(rows),
            lookups: lookups::lines(rows, &layouts, reference, margin),
            hotplug: hotplug::lines(rows, &layouts),
            phases: hotplug::phases(rows, &layouts),
            bytes: layouts.iter().map(|layout| bytes(rows, layout)).collect(),
            own_cost: own_cost(rows),
            readers: readers::cells(rows, &layouts),
            counters: CounterKind::ALL.into_iter().filter_map(|kind| counter(rows, &layouts, kind)).collect(),
            not_reached: not_reached(rows),
            left_out,
            layouts,
        }
    }

    /// Bytes of a layout beyond one record for each page of a section with memory: its index, and
    /// records of holes. [`Memory::Added`] includes the tables for as much memory again, hot-added.
    pub fn overhead(&self, usage: &MemoryUse, memory: Memory) -> Option<f64> {
        // The least that any layout needs.
        let least = self.bytes.iter().filter_map(|other| other.records_needed).fold(f64::INFINITY, f64::min);
        let index = if memory == Memory::Boot { usage.index? } else { usage.index_with_added? };
        Some(index + usage.records_needed? - least)
    }

    /// The line of a lookup group on one kind of memory.
    pub fn lookup(&self, group: LookupGroup, memory: Memory) -> Option<&LookupLine> {
        self.lookups.iter().find(|line| line.group == group && line.memory == memory)
    }

    /// The headline case of an operation. With `--preempt`, it is the one with the preemption
    /// count.
    pub fn headline(&self, op: LookupOp, memory: Memory) -> Option<&LookupLine> {
        let plain = headline_group(op);
        let preempt = LookupGroup { preempt: true, ..plain };
        self.lookup(plain, memory).or_else(|| self.lookup(preempt, memory))
    }
}

/// Cases that some process did not reach within the time limit and that no process measured.
fn not_reached(rows: &[Row]) -> Vec<String> {
    let late = rows.iter().filter(|row| row.layout == "all" && row.status == Status::TooFew);
    let units: Vec<&str> =
        late.filter_map(|row| row.reason.as_deref()?.strip_suffix(NOT_REACHED)?.strip_suffix(": ")).collect();
    if units.is_empty() {
        return Vec::new();
    }
    let name = |row: &Row| match (row.lookup_group(), row.op.as_str()) {
        (Some(group), _) => row.memory.map(|memory| group.name(memory)),
        (None, "readers") => Some(ReadersGroup { readers: NonZeroU32::new(row.threads?)? }.name()),
        (None, OWN_COST) => Some(OWN_COST.to_owned()),
        (None, op) => OPS.contains(&op).then(|| hotplug::group(row).name()),
    };
    let measured: BTreeSet<String> = rows.iter().filter(|row| row.value.is_some()).filter_map(name).collect();
    let mut names: Vec<String> = Vec::new();
    for name in units.iter().flat_map(|unit| unit.split(' ')).map(current_name) {
        if !measured.contains(&name) {
            push_new(&mut names, name);
        }
    }
    names
}

/// Backing store of records in RAM, even if some layouts also had records on a device.
fn backing(rows: &[Row]) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    rows.iter().for_each(|row| push_new(&mut kinds, row.backing.split('+').next().unwrap_or_default()));
    if let [kind] = kinds[..] { kind.to_owned() } else { String::new() }
}

fn bytes(rows: &[Row], layout: &str) -> MemoryUse {
    let of_layout = || rows.iter().filter(|row| row.layout == layout);
    let value = |memory, metric: &str| {
        let mut found = of_layout().filter(|r| r.op == "footprint" && r.memory == Some(memory) && r.metric == metric);
        found.next().and_then(|row| row.value)
    };
    let refused = of_layout().find(|row| row.status == Status::WouldNotBoot);
    MemoryUse {
        layout: layout.to_owned(),
        records_needed: value(Memory::Boot, "records_needed").or_else(|| refused.and_then(|row| row.value)),
        records_backed: value(Memory::Boot, "records_backed"),
        index: value(Memory::Boot, "index"),
        index_with_added: value(Memory::Added, "index"),
        index_in_huge_pages: value(Memory::Added, INDEX_IN_HUGE_PAGES)
            .or_else(|| value(Memory::Boot, INDEX_IN_HUGE_PAGES)),
        page_tables: value(Memory::Boot, "page_tables"),
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

fn counter(rows: &[Row], layouts: &[String], kind: CounterKind) -> Option<CounterLine> {
    let of_kind = || rows.iter().filter(|row| row.metric == kind.name());
    let cell = |row: &Row| {
        let (layout, op, scaled) = (row.layout.clone(), row.op.clone(), row.reason.clone());
        Some(CounterCell { layout, op, memory: row.memory?, per_op: row.value?, scaled })
    };
    let not_counted = of_kind().filter(|row| row.status == Status::NotCounted).find_map(|row| row.reason.clone());
    let first = of_kind().next()?;
    let mut cells: Vec<CounterCell> = of_kind().filter_map(cell).collect();
    // Layouts ran in random order.
    cells.sort_by_key(|cell| layouts.iter().position(|layout| *layout == cell.layout));
    Some(CounterLine { name: kind.name().to_owned(), unit: first.unit.clone(), cells, not_counted })
}

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::hotplug::tests::median as hotplug_median;
    use super::*;
    use crate::case::Pattern;
    use crate::record::row::AGREES;
    use crate::record::row::tests::row;

    #[test]
    fn too_few_samples_stay_without_a_value() {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0))];
        for (metric, value) in [("p50", Some(5.0)), ("p99", None), ("max", Some(9.0))] {
            let mut row = row("a", "hot_add", metric, value);
            (row.size_bytes, row.n_ops) = (Some(2 << 20), Some(40));
            rows.push(row);
        }
        let summary = Summary::from_rows(&rows);
        let cell = &summary.hotplug[0].cells[0];
        assert_eq!((cell.samples, cell.ns("p50"), cell.ns("p99"), cell.ns("max")), (40, Some(5.0), None, Some(9.0)));
    }

    #[test]
    fn rows_of_faulty_layouts_are_not_summarised() {
        let faulty = |layout: &str| Row {
            status: Status::Error,
            reason: Some(format!("{layout} is wrong")),
            ..row(layout, "hotplug/2MiB", AGREES, None)
        };
        let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        let timed = |layout: &str| row(layout, "", "time", Some(1.0)).with_lookup(&group, Memory::Added);
        let control = Row { control_of: Some("subsection".to_owned()), ..timed(CONTROL) };
        let mut rows = vec![control];
        for layout in ["subsection", "subsection#2", "flat"] {
            rows.extend([row(layout, "footprint", "index", Some(1.0)), timed(layout)]);
        }
        let all = Summary::from_rows(&rows);
        assert_eq!((all.reference.as_str(), all.layouts.len(), all.left_out.len()), ("subsection", 3, 0));
        rows.push(faulty("subsection"));
        let summary = Summary::from_rows(&rows);
        assert_eq!((summary.reference.as_str(), &summary.layouts[..]), ("flat", &["flat".to_owned()][..]));
        assert_eq!(summary.left_out, ["subsection is wrong"]);
        let cells: Vec<_> = summary.lookups[0].cells.iter().map(|cell| cell.layout.as_str()).collect();
        assert_eq!(cells, ["flat"]);
        let trusted = trusted(&rows);
        assert!(trusted.iter().all(|row| row.layout == "flat"), "neither is its control: {trusted:?}");
    }

    #[test]
    fn cases_that_no_process_reached_are_listed() {
        let late = |unit: &str| Row {
            status: Status::TooFew,
            reason: Some(format!("{unit}: {NOT_REACHED}")),
            ..row("all", "pfn_valid", "time", None)
        };
        let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        let added = Row { sample: Some(0), ..row("a", "", "time", Some(1.0)) }.with_lookup(&group, Memory::Added);
        let two = Row { size_bytes: Some(2 << 20), ..row("a", "hot_add", "p50", Some(5.0)) };
        let mut rows = vec![row("a", "footprint", "index", Some(1.0)), added, two];
        for unit in ["pfn_valid/added/random pfn_valid/boot/random", "hotplug/2MiB", "hotplug/1GiB", OWN_COST, OWN_COST]
        {
            rows.push(late(unit));
        }
        let summary = Summary::from_rows(&rows);
        assert_eq!(summary.not_reached, ["pfn_valid/boot/random", "hotplug/1GiB", OWN_COST]);
    }

    #[test]
    fn counters_have_counts_or_a_reason() {
        let counted = |metric: &str, value, status, reason: Option<&str>| Row {
            memory: Some(Memory::Added),
            status,
            reason: reason.map(str::to_owned),
            ..row("a", "pfn_valid", metric, value)
        };
        let rows = [
            counted("cycles", None, Status::NotCounted, Some("no PMU")),
            counted("page_faults", Some(0.25), Status::Ok, Some("scaled")),
        ];
        let counters = Summary::from_rows(&rows).counters;
        assert_eq!(counters.len(), 2, "counters that were not requested are not listed");
        assert_eq!((counters[0].cells.len(), counters[0].not_counted.as_deref()), (0, Some("no PMU")));
        assert_eq!((counters[1].cells[0].per_op, counters[1].cells[0].scaled.as_deref()), (0.25, Some("scaled")));
    }

    #[test]
    fn readers_are_compared_with_neighbouring_slices() {
        let slice =
            |metric: &str, sample, value| Row { sample: Some(sample), ..row("a", "readers", metric, Some(value)) };
        let mut rows = vec![row("a", "footprint", "index", Some(1.0))];
        for (sample, base) in [(0, 100.0), (1, 100.0), (2, 10.0)] {
            rows.push(slice("beside_a_writer", sample, 0.9 * base));
            rows.push(slice("beside_a_busy_thread", sample, base));
        }
        let cell = &Summary::from_rows(&rows).readers[0];
        assert!((cell.ratio - 0.9).abs() < 1e-9 && cell.beside_a_writer == 90.0, "{cell:?}");
    }
}
