//! Lookup cases and their names.

use super::memory::{Memory, Tables};
use super::op::{Asked, LookupOp, Mode};
use super::query::{Pattern, Population, Records};
use serde::{Deserialize, Serialize};

/// A lookup workload. Cases of one group differ only in the layout and in boot or added memory, so
/// they can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LookupGroup {
    /// The operation that is timed.
    pub op: LookupOp,
    /// How consecutive lookups depend on each other.
    pub mode: Mode,
    /// Order in which page frames are queried.
    pub pattern: Pattern,
    /// Percentage of queries that ask for an invalid pfn, 0 to 100.
    pub invalid_percent: u32,
    /// Whether the layout's tables are in the CPU caches when a lookup begins.
    pub tables: Tables,
    /// True to raise the preemption count around `pfn_valid`, for layouts whose kernel does so.
    pub preempt: bool,
    /// Where the records that a lookup reads are. `None` if it reads none, or if the run that wrote
    /// the row did not control it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Which page frames are queried.
    #[serde(default, skip_serializing_if = "Population::is_common")]
    pub population: Population,
}

impl LookupGroup {
    /// A group with every default: the first mode of `op`, pfns that are valid for every layout,
    /// tables and records in the caches.
    pub fn plain(op: LookupOp, pattern: Pattern) -> Self {
        let mode = op.usual_mode();
        Self {
            op,
            mode,
            pattern,
            invalid_percent: 0,
            tables: Tables::Hot,
            preempt: false,
            records: op.reads_records(mode).then_some(Records::Cache),
            population: Population::Common,
        }
    }

    /// True if the group equals [`Self::plain`] for its operation and pattern.
    pub fn is_plain(&self) -> bool {
        *self == Self::plain(self.op, self.pattern)
    }

    /// The kind of lookup, without the order and selection of the queries.
    pub fn asked(&self) -> Asked {
        Asked { op: self.op, mode: self.mode, preempt: self.preempt }
    }

    /// Name without the layout. Defaults are left out: `pfn_valid/boot/random`,
    /// `pfn_valid/chained/added/random/30%invalid`, `pfn_to_page/boot/random/cold`.
    pub fn name(&self, memory: Memory) -> String {
        let mut name = self.op.name().to_owned();
        if self.mode != self.op.usual_mode() {
            name = format!("{name}/{}", self.mode.name());
        }
        if self.preempt {
            name.push_str("/preempt");
        }
        name = format!("{name}/{}/{}", memory.name(), self.pattern);
        if self.invalid_percent > 0 {
            name = format!("{name}/{}%invalid", self.invalid_percent);
        }
        if self.population == Population::Disputed {
            name.push_str("/disputed");
        }
        match (self.tables, self.records) {
            (Tables::Cold, _) => name.push_str("/cold"),
            (Tables::Hot, Some(Records::L1)) => name.push_str("/records-in-l1"),
            (Tables::Hot, Some(Records::Memory)) => name.push_str("/records-in-memory"),
            (Tables::Hot, _) => {}
        }
        name
    }

    /// Label for tables and figures: `pfn_valid`, or `pfn_valid chained, cold`.
    pub fn label(&self) -> String {
        let mut label = self.op.name().to_owned();
        if self.mode != self.op.usual_mode() {
            label = format!("{label} {}", self.mode.name());
        }
        let mut more = Vec::new();
        if self.preempt {
            more.push("preempt count".to_owned());
        }
        if self.invalid_percent > 0 {
            more.push(format!("{} % invalid", self.invalid_percent));
        }
        if self.population == Population::Disputed {
            more.push("pages that only some layouts have".to_owned());
        }
        match (self.tables, self.records) {
            (Tables::Cold, _) => more.push("cold".to_owned()),
            (Tables::Hot, Some(Records::Memory)) => more.push("records in memory".to_owned()),
            (Tables::Hot, Some(Records::L1)) => more.push("records in L1".to_owned()),
            (Tables::Hot, Some(Records::Cache)) => more.push("records in cache".to_owned()),
            (Tables::Hot, None) => {}
        }
        if !more.is_empty() {
            label = format!("{label}, {}", more.join(", "));
        }
        label
    }
}

/// A lookup workload on one layout and one kind of memory.
#[derive(Clone, Copy, Debug)]
pub struct LookupCase {
    /// Operation, mode, pattern, and where tables and records are.
    pub group: LookupGroup,
    /// Whether boot or added memory is queried.
    pub memory: Memory,
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
}

impl LookupCase {
    /// Full name of the case, e.g. `pfn_valid/boot/random/flat`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group.name(self.memory), self.layout)
    }
}
