//! Cases of lookups.

use super::memory::{Memory, Tables};
use super::op::{Asked, LookupOp, Mode};
use super::query::{Pattern, Population, Records};
use serde::{Deserialize, Serialize};

/// Lookups that are compared with each other: whatever differs between them is the layout, and boot or hot-added memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LookupGroup {
    /// The lookup.
    pub op: LookupOp,
    /// How lookups depend on each other.
    pub mode: Mode,
    /// Order of queries.
    pub pattern: Pattern,
    /// Of a hundred queries, how many are invalid.
    pub invalid_percent: u32,
    /// Whether tables are in the caches.
    pub tables: Tables,
    /// With the preemption count around `pfn_valid`, where the kernel that the layout follows has it.
    pub preempt: bool,
    /// Where the records are that a lookup reads. `None` if it reads none, or if the run that a row is from did not control it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Which pages are asked for.
    #[serde(default, skip_serializing_if = "Population::is_common")]
    pub population: Population,
}

impl LookupGroup {
    /// A lookup with every default: its first mode, queries that are valid for every layout, tables and records in the caches.
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

    /// Is it one of those?
    pub fn is_plain(&self) -> bool {
        *self == Self::plain(self.op, self.pattern)
    }

    /// What is asked of a layout.
    pub fn asked(&self) -> Asked {
        Asked { op: self.op, mode: self.mode, preempt: self.preempt }
    }

    /// `pfn_valid/boot/random`, `pfn_valid/chained/added/random/30%invalid`, `pfn_to_page/boot/random/cold`: what is usual is
    /// left out.
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
            (Tables::Hot, Some(Records::Memory)) => name.push_str("/records-in-memory"),
            (Tables::Hot, _) => {}
        }
        name
    }

    /// For people: `pfn_valid`, `pfn_valid chained, cold tables`.
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
            (Tables::Hot, Some(Records::Cache)) => more.push("records in cache".to_owned()),
            (Tables::Hot, None) => {}
        }
        if !more.is_empty() {
            label = format!("{label}, {}", more.join(", "));
        }
        label
    }
}

/// A lookup case.
#[derive(Clone, Copy, Debug)]
pub struct LookupCase {
    /// What is compared in it.
    pub group: LookupGroup,
    /// Boot or hot-added memory.
    pub memory: Memory,
    /// The layout.
    pub layout: &'static str,
}

impl LookupCase {
    /// `pfn_valid/boot/random/flat`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group.name(self.memory), self.layout)
    }
}
