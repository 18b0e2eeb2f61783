//! Cases of lookups.

use crate::probe::lookup::{Asked, LookupOp, Mode};
use crate::queries::Pattern;
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
    /// With the pair of preemption counts around each `pfn_valid`.
    pub preempt: bool,
}

impl LookupGroup {
    /// A lookup as its name alone means it: the usual mode, valid queries, tables in the caches.
    pub fn plain(op: LookupOp, pattern: Pattern) -> Self {
        Self { op, mode: op.usual_mode(), pattern, invalid_percent: 0, tables: Tables::Hot, preempt: false }
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
        if self.tables == Tables::Cold {
            name.push_str("/cold");
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
        if self.tables == Tables::Cold {
            more.push("cold".to_owned());
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
        assert_eq!(LookupGroup::of(&row("a", "footprint", "index", None)), None);
    }
}
