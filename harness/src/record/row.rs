//! Rows of `samples.jsonl`: one row per sample and metric. Every table and figure is made from
//! them.

use super::examination::Verdict;
use crate::case::{Dependency, LookupGroup, LookupOp, Memory, Mode, Pattern, Population, Records, Tables};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Version of the row format, as in [`Row::v`].
pub const SCHEMA: u32 = 2;

/// Whether a row has a value, and if not, why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The value was measured or computed in this run.
    #[default]
    Ok,
    /// The layout does not support the operation; `reason` says why.
    NotOffered,
    /// There are too few samples for the percentile; `n_ops` is their number.
    TooFew,
    /// A machine with this map could not hold the records; `value` is the number of bytes needed.
    WouldNotBoot,
    /// The counter is not available or never ran; `reason` says why.
    NotCounted,
    /// The measurement failed; `reason` says how.
    Error,
}

/// What the operating system reported about the slices of a sample, summed over them. Unavailable
/// values are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Evidence {
    /// Elapsed time in nanoseconds, from the monotonic clock.
    pub wall_ns: u64,
    /// CPU time of the thread in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// Number of involuntary context switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<u64>,
    /// Time that the thread was runnable but waited on the run queue, in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ns: Option<u64>,
    /// Time that the hypervisor withheld the CPU (steal time), in nanoseconds. Its resolution is
    /// the tick of the system, usually 10 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_ns: Option<u64>,
    /// Number of slices that were repeated because something disturbed them; left out if 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retaken: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Evidence {
    /// The sum of both. A value that is missing in either is missing in the sum.
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        Self {
            wall_ns: self.wall_ns + other.wall_ns,
            cpu_ns: sum(self.cpu_ns, other.cpu_ns),
            switches: sum(self.switches, other.switches),
            wait_ns: sum(self.wait_ns, other.wait_ns),
            steal_ns: sum(self.steal_ns, other.steal_ns),
            retaken: self.retaken + other.retaken,
        }
    }
}

/// A line of `samples.jsonl`: one value with everything that identifies it. Fields that do not
/// apply are left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("if" = ok(), "then" = has_value()))]
pub struct Row {
    /// [`SCHEMA`].
    #[schemars(description = "Version of the rows.", extend("const" = SCHEMA))]
    pub v: u32,
    /// Id of the layout, e.g. `vmemmap-section`. `loop` if the row is about all layouts together,
    /// `all` if a group of cases failed.
    pub layout: String,
    /// The operation: a lookup (`pfn_valid`, `pfn_to_page`, `page_to_pfn`, `valid_to_page`,
    /// `next_valid_pfn`), `hot_add`, `hot_add_read`, `hot_add_write`, `hot_remove`, `hotplug`
    /// (additions and removals together), `readers`, `own_cost`, `counters`, `footprint` or `boot`.
    /// In a row with the status `error` it can be the name of a group of cases.
    pub op: String,
    /// For lookups, how they depend on each other: `independent`, `chained`, `touching`,
    /// `branching` or `called`. For hotplug, where additions lie: `again` (a re-add), `growth` or `fresh`. For
    /// readers, what ran beside them: `writer`, `busy` or `alone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whether boot or added memory was queried.
    #[serde(default, alias = "sections", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Order of the queries: `sequential`, `stride`, `random` or `zipf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Percentage of queries that asked for an invalid pfn; left out if 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_percent: Option<u32>,
    /// Whether the layout's tables were in the CPU caches when a lookup began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Tables>,
    /// Where the records were that the lookups read: in the CPU caches, or in memory because they
    /// were flushed before each slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Total size in bytes of the cache lines of the distinct records that a lookup case reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// Which page frames were queried; left out for the default, page frames that are valid for
    /// every layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<Population>,
    /// Size of this population as a percentage of the pages in all boot sections, 0 to 100; left
    /// out for the default population.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<f64>,
    /// True with `--preempt`: the preemption count was raised around `pfn_valid`, for layouts whose
    /// kernel does so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preempt: bool,
    /// How the answer of a chained lookup reached the address of the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Dependency>,
    /// Where in a section a hotplug operation begins: `first`, `later` or `unaligned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Number of threads that initialised records (hotplug) or that read (readers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Size of a hotplug operation in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Name of the physical memory map, e.g. `this-machine` or `builtin:scattered-64`.
    pub map: String,
    /// Backing store of the records.
    pub backing: String,
    /// True if only a sample of the boot sections has records, because of the limit on memory for
    /// records.
    pub sampled: bool,
    /// Number of the process within the run.
    pub process: u32,
    /// For the control, the id of the layout that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_of: Option<String>,
    /// True if this layout's lookup and the control's are the same machine code and read no record,
    /// so that they differ by noise only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_code: bool,
    /// Number of the boot of the layout within the process. Each boot has its own tables, records
    /// and queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<u32>,
    /// Number of the sample within the process. Layouts with the same number ran directly after
    /// each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
    /// What the operating system reported about the slices behind the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// True if a slice behind the value was disturbed and was still disturbed when repeated. Such
    /// rows are not used for ratios.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disturbed: bool,
    /// What the value is: `time` or `floor` of lookups, the name of a counter, a percentile (`p50`,
    /// `p99.9`, `max`), a phase of hotplug, a rate of readers, or a part of the footprint. `agrees`
    /// with the status `error`: the layout was left out for the reason given, and none of its rows
    /// can be trusted.
    pub metric: String,
    /// Unit of the value: `ns/op`, `ns/batch`, `events/op`, `ns`, `lookups/s`, `bytes` or `ratio`.
    pub unit: String,
    /// The value in `unit`; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Number of operations behind the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_ops: Option<u64>,
    /// Whether there is a value, and if not, why.
    pub status: Status,
    /// Why there is no value, or a remark on the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Id of the machine, as `environment.machine_id` in the manifest.
    pub machine: String,
    /// The doctor's verdict on this row: `ok` if the system reported no disturbance, `unfit` if it
    /// did. It is `unknown` if the system reports nothing, or if no check is made (readers; hotplug
    /// by several threads or on a disk). A percentile of hotplug is `unfit` if disturbed slices may
    /// account for everything above it. In runs of earlier versions this is a verdict on the
    /// machine.
    #[schemars(with = "Verdict")]
    pub doctor: String,
}

/// Metric of the rows that say why a layout was left out of the rest of its run.
pub const AGREES: &str = "agrees";

/// Failures, one row for each: a layout that was left out, told once, for the main map, or cases that hung or died.
pub fn failures<'a>(rows: &'a [Row], main: &'a str) -> impl Iterator<Item = &'a Row> {
    let failed = rows.iter().filter(|row| row.status == Status::Error);
    failed.filter(move |row| !row.is_of_faulty_layout() || row.map == main)
}

/// Tells which rows of a map can be trusted: those of layouts that were not found faulty during the
/// run. What a faulty layout, its further boots and its control measured before cannot be.
pub fn trust(rows: &[Row]) -> impl Fn(&Row) -> bool {
    let faulty = rows.iter().filter(|row| row.is_of_faulty_layout()).map(|row| row.layout.as_str());
    let faulty: BTreeSet<&str> = faulty.collect();
    move |row| {
        let is_faulty = |id: &str| faulty.contains(id.split('#').next().unwrap_or(id));
        !is_faulty(&row.layout) && !row.control_of.as_deref().is_some_and(is_faulty)
    }
}

/// The rows that can be [trusted](trust).
pub fn trusted(rows: &[Row]) -> Cow<'_, [Row]> {
    let is_trusted = trust(rows);
    match rows.iter().all(&is_trusted) {
        true => Cow::Borrowed(rows),
        false => rows.iter().filter(|row| is_trusted(row)).cloned().collect(),
    }
}

impl Row {
    /// True if the row says why its layout was left out of the rest of the run.
    pub fn is_of_faulty_layout(&self) -> bool {
        self.status == Status::Error && self.metric == AGREES
    }

    /// The lookup group that the row belongs to; `None` if the row is not about a lookup.
    pub fn lookup_group(&self) -> Option<LookupGroup> {
        let op: LookupOp = self.op.parse().ok()?;
        let mode = Mode::ALL.into_iter().find(|mode| self.mode.as_deref() == Some(mode.name()));
        Some(LookupGroup {
            op,
            mode: mode.unwrap_or(op.usual_mode()),
            pattern: Pattern::ALL.into_iter().find(|pattern| self.pattern.as_deref() == Some(pattern.name()))?,
            invalid_percent: self.invalid_percent.unwrap_or(0),
            tables: self.tables.unwrap_or(Tables::Hot),
            preempt: self.preempt,
            records: self.records,
            population: self.population.unwrap_or_default(),
        })
    }

    /// Sets the fields that describe a lookup, and keeps the others.
    pub fn with_lookup(self, group: &LookupGroup, memory: Memory) -> Self {
        Self {
            op: group.op.name().to_owned(),
            mode: Some(group.mode.name().to_owned()),
            memory: Some(memory),
            pattern: Some(group.pattern.name().to_owned()),
            invalid_percent: (group.invalid_percent > 0).then_some(group.invalid_percent),
            tables: Some(group.tables),
            preempt: group.preempt,
            records: group.records,
            population: (group.population != Population::Common).then_some(group.population),
            ..self
        }
    }
}

/// The `if` part of a schema rule: the status is `ok`.
fn ok() -> Value {
    json!({ "properties": { "status": { "const": Status::Ok } } })
}

/// The `then` part of that rule: `value` is required.
fn has_value() -> Value {
    json!({ "required": ["value"] })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(layout: &str, op: &str, metric: &str, value: Option<f64>) -> Row {
        let json = serde_json::json!({
            "v": 1, "layout": layout, "op": op, "map": "m", "backing": "anon", "sampled": false, "process": 0,
            "metric": metric, "unit": "ns", "value": value, "status": "ok", "machine": "x", "doctor": "ok",
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_group_survives_a_row() {
        let plain = LookupGroup::plain(LookupOp::ValidToPage, Pattern::Random);
        let group =
            LookupGroup { mode: Mode::Chained, invalid_percent: 30, tables: Tables::Cold, preempt: true, ..plain };
        for group in [plain, group] {
            let written = row("a", "", "time", Some(1.0)).with_lookup(&group, Memory::Added);
            assert_eq!(written.lookup_group(), Some(group));
        }
        assert_eq!(plain.name(Memory::Added), "valid_to_page/added/random");
        assert_eq!(group.name(Memory::Boot), "valid_to_page/chained/preempt/boot/random/30%invalid/cold");
        assert_eq!(group.label(), "valid_to_page chained, preempt count, 30 % invalid, cold");
        let records = LookupGroup { records: Some(Records::Memory), ..plain };
        assert_eq!(records.name(Memory::Added), "valid_to_page/added/random/records-in-memory");
        let of_pfn_valid = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        let disputed = LookupGroup { population: Population::Disputed, ..of_pfn_valid };
        assert_eq!(disputed.name(Memory::Boot), "pfn_valid/boot/random/disputed");
        for group in [records, disputed] {
            let written = row("a", "", "time", Some(1.0)).with_lookup(&group, Memory::Boot);
            assert_eq!(written.lookup_group(), Some(group));
        }
        assert_eq!(row("a", "footprint", "index", None).lookup_group(), None);
    }
}
