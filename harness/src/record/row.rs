//! One row a sample and metric: what `samples.jsonl` holds, and what every table and picture is made from.

use super::examination::Verdict;
use crate::case::{Dependency, LookupGroup, LookupOp, Memory, Mode, Pattern, Population, Records, Tables};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Version of the rows.
pub const SCHEMA: u32 = 2;

/// How a row came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Measured in this run.
    #[default]
    Ok,
    /// The layout cannot do it; `reason` says why.
    NotOffered,
    /// Too few samples for a percentile; `n_ops` says how many.
    TooFew,
    /// A machine with this map could not hold the records; `value` is the bytes needed.
    WouldNotBoot,
    /// A counter that is not to be had, or never ran; `reason` says why.
    NotCounted,
    /// It went wrong; `reason` says how.
    Error,
}

/// What the system told of the slices of a sample, summed. What it does not tell is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Evidence {
    /// Nanoseconds by the monotonic clock.
    pub wall_ns: u64,
    /// Nanoseconds of processor time of the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// Involuntary context switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<u64>,
    /// Nanoseconds on the run queue without a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ns: Option<u64>,
    /// Nanoseconds for which the hypervisor kept the processor (steal), in steps of the system's tick, 10 ms as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steal_ns: Option<u64>,
    /// Slices that were taken again because they were disturbed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retaken: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Evidence {
    /// That of both.
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

/// A line of `samples.jsonl`. Fields that do not apply are left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("if" = ok(), "then" = has_value()))]
pub struct Row {
    /// [`SCHEMA`].
    #[schemars(description = "Version of the rows.", extend("const" = SCHEMA))]
    pub v: u32,
    /// Id of the layout; `loop` where a row is of all of them, `all` where a group of cases went wrong.
    pub layout: String,
    /// What was done: a lookup (`pfn_valid`, …), `hot_add`, `hot_add_read`, `hot_add_write` or `hot_remove`; `hotplug` for both
    /// ways, `readers`, `own_cost`, `counters`, `footprint`, `boot`; of an error, the name of the group.
    pub op: String,
    /// How lookups depend on each other (`independent`, `chained`, `touching`); of hotplug, `again`
    /// (a re-add), `growth` or `fresh`; of readers, their company: `writer`, `busy` or `alone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Boot or added memory.
    #[serde(default, alias = "sections", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Order of queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Of a hundred queries, how many are invalid; left out if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_percent: Option<u32>,
    /// Whether the layout's tables were in the caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Tables>,
    /// Where the records are that a lookup reads: in the caches, from the lookups before, or in memory, flushed before each slice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Bytes of the distinct records that a lookup case reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// Which pages were asked for; left out if they are valid for every layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population: Option<Population>,
    /// Pages of this population, in percent of the pages of all boot sections; left out for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<f64>,
    /// True with `--preempt`: the preemption count surrounded `pfn_valid` where the kernel that the layout follows has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preempt: bool,
    /// How the answer of a chained lookup reached the next address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Dependency>,
    /// Where in a section a hotplug operation begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Threads that initialised records, or that read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Size of a hotplug operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Name of the map.
    pub map: String,
    /// What the records were made of.
    pub backing: String,
    /// True if only a sample of sections has records.
    pub sampled: bool,
    /// Which process of the run.
    pub process: u32,
    /// Of the control, the layout that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_of: Option<String>,
    /// True if this layout's lookup and the control's are the same machine code and read no record: they differ by noise alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub same_code: bool,
    /// Which boot of the layout in the process; each has its own tables, records and queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<u32>,
    /// Which sample of the process; layouts with the same number ran next to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
    /// What the system told of the slices behind the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// True if a slice behind the value was disturbed, and stayed so when it was taken again: not used for ratios.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disturbed: bool,
    /// What the value is: `time` or `floor` of lookups, a counter by name, a percentile (`p50`, `p99.9`, `max`), a phase of
    /// hotplug, a rate of readers, a part of the footprint.
    pub metric: String,
    /// Its unit: `ns/op`, `ns/batch`, `events/op`, `ns`, `lookups/s`, `bytes`, `ratio`.
    pub unit: String,
    /// The value; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Operations behind the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_ops: Option<u64>,
    /// How it came about.
    pub status: Status,
    /// Why there is no value, or what is to be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Fingerprint of the machine.
    pub machine: String,
    /// The doctor's verdict on this row: `ok` if the system told of nothing that disturbed it, `unfit` if it did, `unknown` where it
    /// does not tell, or where nothing is asked (readers; hotplug by several threads or on a disk). A percentile of hotplug is `unfit`
    /// if disturbed slices can be all that lies above it. Of runs of earlier versions it is a verdict on the machine.
    #[schemars(with = "Verdict")]
    pub doctor: String,
}

impl Row {
    /// The lookup that the row is of; `None` if it is of none.
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

    /// The row with the fields of a lookup.
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

/// A rule of the schema: if a row was measured,
fn ok() -> Value {
    json!({ "properties": { "status": { "const": Status::Ok } } })
}

/// then it has a value.
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
