//! Cases of lookups.

use crate::probe::lookup::{Asked, LookupOp, Mode};
use crate::queries::{Pattern, Population, Records};
use crate::row::{Row, Sections, Tables};
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

    /// `pfn_valid/boot/random`, `pfn_valid/chained/hot/random/30%invalid`, `pfn_to_page/boot/random/cold`: what is usual is
    /// left out.
    pub fn name(&self, sections: Sections) -> String {
        let mut name = self.op.name().to_owned();
        if self.mode != self.op.usual_mode() {
            name = format!("{name}/{}", self.mode.name());
        }
        if self.preempt {
            name.push_str("/preempt");
        }
        name = format!("{name}/{}/{}", sections.name(), self.pattern);
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

    /// The group that a row is of; `None` if it is of no lookup.
    pub fn of(row: &Row) -> Option<Self> {
        let op: LookupOp = row.op.parse().ok()?;
        let mode = Mode::ALL.into_iter().find(|mode| row.mode.as_deref() == Some(mode.name()));
        Some(Self {
            op,
            mode: mode.unwrap_or(op.usual_mode()),
            pattern: Pattern::ALL.into_iter().find(|pattern| row.pattern.as_deref() == Some(pattern.name()))?,
            invalid_percent: row.invalid_percent.unwrap_or(0),
            tables: row.tables.unwrap_or(Tables::Hot),
            preempt: row.preempt,
            records: row.records,
            population: row.population.unwrap_or_default(),
        })
    }

    /// Writes itself into a row.
    pub fn label_row(&self, sections: Sections, row: Row) -> Row {
        Row {
            op: self.op.name().to_owned(),
            mode: Some(self.mode.name().to_owned()),
            sections: Some(sections),
            pattern: Some(self.pattern.name().to_owned()),
            invalid_percent: (self.invalid_percent > 0).then_some(self.invalid_percent),
            tables: Some(self.tables),
            preempt: self.preempt,
            records: self.records,
            population: (self.population != Population::Common).then_some(self.population),
            ..row
        }
    }
}

/// A lookup case.
#[derive(Clone, Copy, Debug)]
pub struct LookupCase {
    /// What is compared in it.
    pub group: LookupGroup,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// The layout.
    pub layout: &'static str,
}

impl LookupCase {
    /// `pfn_valid/boot/random/flat`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.group.name(self.sections), self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::row;

    #[test]
    fn a_group_survives_a_row() {
        let plain = LookupGroup::plain(LookupOp::ValidToPage, Pattern::Random);
        let group =
            LookupGroup { mode: Mode::Chained, invalid_percent: 30, tables: Tables::Cold, preempt: true, ..plain };
        for group in [plain, group] {
            let written = group.label_row(Sections::Hot, row("a", "", "time", Some(1.0)));
            assert_eq!(LookupGroup::of(&written), Some(group));
        }
        assert_eq!(plain.name(Sections::Hot), "valid_to_page/hot/random");
        assert_eq!(group.name(Sections::Boot), "valid_to_page/chained/preempt/boot/random/30%invalid/cold");
        assert_eq!(group.label(), "valid_to_page chained, preempt count, 30 % invalid, cold");
        let records = LookupGroup { records: Some(Records::Memory), ..plain };
        assert_eq!(records.name(Sections::Hot), "valid_to_page/hot/random/records-in-memory");
        let of_pfn_valid = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        let disputed = LookupGroup { population: Population::Disputed, ..of_pfn_valid };
        assert_eq!(disputed.name(Sections::Boot), "pfn_valid/boot/random/disputed");
        for group in [records, disputed] {
            let written = group.label_row(Sections::Boot, row("a", "", "time", Some(1.0)));
            assert_eq!(LookupGroup::of(&written), Some(group));
        }
        assert_eq!(LookupGroup::of(&row("a", "footprint", "index", None)), None);
    }
}
