//! The few figures by which layouts, machines and runs are told apart.

use crate::cases::{Addresses, LookupGroup};
use crate::probe::hotplug::{HOT_ADD, HOT_REMOVE};
use crate::probe::lookup::LookupOp;
use crate::probe::place::Position;
use crate::queries::Pattern;
use crate::row::{Row, Sections};
use crate::summary::Summary;
use crate::table::is_best;
use crate::units::{bytes, time};

/// Sizes of hotplug among the headlines: a sub-section and a section.
pub const SIZES: [u64; 2] = [2 << 20, 128 << 20];

/// What a headline is measured in. Less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A value with three digits and its unit.
    pub fn in_words(self, value: f64) -> String {
        match self {
            Unit::Ns => time(value),
            Unit::Bytes => bytes(value),
        }
    }

    /// As columns of data name it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Ns => "ns",
            Unit::Bytes => "bytes",
        }
    }
}

/// A headline of one layout.
#[derive(Clone, Debug)]
pub struct Value {
    /// The layout.
    pub layout: String,
    /// The value.
    pub value: f64,
    /// It over that of the reference.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio.
    pub interval: Option<(f64, f64)>,
}

impl Value {
    /// Can it not be told apart from a smaller one? It is within 3 %, or both are ratios to one reference whose intervals meet.
    fn ties(&self, smaller: &Value) -> bool {
        let meet = |((low, _), (_, high)): ((f64, f64), (f64, f64))| low <= high;
        is_best(self.value, smaller.value) || self.interval.zip(smaller.interval).is_some_and(meet)
    }
}

/// A headline.
#[derive(Clone, Debug)]
pub struct Headline {
    /// What it is of, in words.
    pub what: String,
    /// Its unit.
    pub unit: Unit,
    /// By layout, those that have it.
    pub values: Vec<Value>,
}

/// A place in the order of a headline.
#[derive(Clone, Debug)]
pub struct Rank {
    /// Layouts that cannot be told apart.
    pub layouts: Vec<String>,
    /// Their best value.
    pub value: f64,
    /// It over the best of all.
    pub times: f64,
}

impl Headline {
    /// The value of a layout.
    pub fn of(&self, layout: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.layout == layout)
    }

    /// Layouts from the best on; with a first are those that cannot be told apart from it.
    pub fn ranks(&self) -> Vec<Rank> {
        let mut values: Vec<&Value> = self.values.iter().collect();
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        let mut ranks: Vec<(&Value, Rank)> = Vec::new();
        let best = values.first().map_or(0.0, |value| value.value);
        for value in values {
            match ranks.last_mut() {
                Some((first, rank)) if value.ties(first) => rank.layouts.push(value.layout.clone()),
                _ => {
                    let times = if best > 0.0 { value.value / best } else { f64::NAN };
                    ranks.push((value, Rank { layouts: vec![value.layout.clone()], value: value.value, times }));
                }
            }
        }
        // As tables have them.
        let place = |layout: &String| self.values.iter().position(|value| value.layout == *layout);
        let mut ranks: Vec<Rank> = ranks.into_iter().map(|(_, rank)| rank).collect();
        ranks.iter_mut().for_each(|rank| rank.layouts.sort_by_key(place));
        ranks
    }
}

/// The lookups among the headlines.
const LOOKUPS: [(LookupOp, Sections); 8] = [
    (LookupOp::PfnValid, Sections::Hot),
    (LookupOp::PfnValid, Sections::Boot),
    (LookupOp::PfnToPage, Sections::Hot),
    (LookupOp::PfnToPage, Sections::Boot),
    (LookupOp::PageToPfn, Sections::Hot),
    (LookupOp::ValidToPage, Sections::Hot),
    (LookupOp::ValidToPage, Sections::Boot),
    (LookupOp::NextValidPfn, Sections::Boot),
];

fn group(op: LookupOp) -> LookupGroup {
    // A walk has an order of its own.
    LookupGroup::plain(op, if op == LookupOp::NextValidPfn { Pattern::Sequential } else { Pattern::Random })
}

/// What memory is called.
pub fn memory(sections: Sections) -> &'static str {
    match sections {
        Sections::Boot => "boot memory",
        Sections::Hot => "hot-added memory",
    }
}

/// Is a row needed for headlines?
pub fn is_row_of_one(row: &Row) -> bool {
    let is_lookup = || {
        row.metric == "time" && LookupGroup::of(row).is_some_and(|of| LOOKUPS.iter().any(|(op, _)| of == group(*op)))
    };
    let is_hotplug = || {
        let is_plain = row.mode.as_deref() != Some(Addresses::Fresh.name())
            && row.position.as_deref().is_none_or(|position| position == Position::First.name())
            && row.threads.is_none_or(|threads| threads == 1);
        [HOT_ADD, HOT_REMOVE].contains(&row.op.as_str())
            && row.metric == "p50"
            && is_plain
            && row.size_bytes.is_some_and(|size| SIZES.contains(&size))
    };
    matches!(row.op.as_str(), "footprint" | "boot") || is_lookup() || is_hotplug()
}

/// The headlines of a map, those that it has.
pub fn all(summary: &Summary) -> Vec<Headline> {
    let mut headlines = Vec::new();
    for (op, sections) in LOOKUPS {
        let Some(line) = summary.lookup(group(op), sections) else { continue };
        let value = |cell: &crate::summary::LookupCell| {
            let layout = cell.layout.clone();
            Some(Value { layout, value: cell.median_ns?, ratio: cell.ratio, interval: cell.ratio_interval })
        };
        let what = match op {
            LookupOp::NextValidPfn => "walk over the map (next_valid_pfn), a section".to_owned(),
            _ => format!("{op}, {}", memory(sections)),
        };
        headlines.push(Headline { what, unit: Unit::Ns, values: line.cells.iter().filter_map(value).collect() });
    }
    for (op, name) in [(HOT_ADD, "hot-add"), (HOT_REMOVE, "hot-remove")] {
        for size in SIZES {
            let is_it = |line: &&crate::summary::HotplugLine| {
                line.op == op && line.group.is_plain() && line.group.size_bytes == size
            };
            let Some(line) = summary.hotplug.iter().find(is_it) else { continue };
            let medians = line.cells.iter().filter_map(|cell| Some((cell.layout.clone(), cell.ns("p50")?)));
            headlines.push(headline(summary, format!("{name} of {}", bytes(size as f64)), Unit::Ns, medians));
        }
    }
    let overhead =
        summary.bytes.iter().filter_map(|of| Some((of.layout.clone(), summary.overhead(of, Sections::Boot)?)));
    headlines.push(headline(summary, "bytes at boot beyond records of pages".to_owned(), Unit::Bytes, overhead));
    headlines.retain(|headline| !headline.values.is_empty());
    headlines
}

/// A headline with one figure a layout: ratios are of those, and there is no interval.
fn headline(summary: &Summary, what: String, unit: Unit, values: impl Iterator<Item = (String, f64)>) -> Headline {
    let values: Vec<(String, f64)> = values.collect();
    let reference = values.iter().find(|(layout, _)| *layout == summary.reference).map(|(_, value)| *value);
    let reference = reference.filter(|value| *value > 0.0);
    let value = |(layout, value): (String, f64)| {
        let ratio = reference.map(|reference| value / reference);
        Value { layout, value, ratio, interval: None }
    };
    Headline { what, unit, values: values.into_iter().map(value).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::row;

    #[test]
    fn ranks_hold_together_what_cannot_be_told_apart() {
        let value = |layout: &str, value| Value { layout: layout.into(), value, ratio: None, interval: None };
        let values = vec![value("c", 3.0), value("a", 1.0), value("b", 1.02), value("d", 3.05)];
        let ranks = Headline { what: String::new(), unit: Unit::Ns, values }.ranks();
        assert_eq!(ranks.len(), 2);
        assert_eq!((ranks[0].layouts.as_slice(), ranks[1].times), (&["a".to_owned(), "b".to_owned()][..], 3.0));
        let with = |layout: &str, value, interval| Value {
            interval: Some(interval),
            ..self::Value { layout: layout.into(), value, ratio: None, interval: None }
        };
        let values = vec![with("a", 1.0, (1.0, 1.0)), with("b", 1.1, (0.9, 1.2)), with("c", 1.2, (1.1, 1.3))];
        let ranks = Headline { what: String::new(), unit: Unit::Ns, values }.ranks();
        assert_eq!(
            ranks.iter().map(|rank| rank.layouts.len()).collect::<Vec<_>>(),
            [2, 1],
            "intervals of a and b meet"
        );
    }

    #[test]
    fn the_rows_that_are_kept_give_the_same_headlines() {
        let mut rows = vec![
            row("a", "footprint", "index", Some(4096.0)),
            row("a", "footprint", "records_needed", Some(64.0)),
            row("a", "own_cost", "add_p50", Some(1.0)),
        ];
        rows.iter_mut().for_each(|row| row.sections = Some(Sections::Boot));
        for op in [LookupOp::PfnValid, LookupOp::NextValidPfn] {
            for pattern in [Pattern::Random, Pattern::Sequential] {
                let timed = Row { sample: Some(0), ..row("a", "", "time", Some(2.0)) };
                rows.push(LookupGroup::plain(op, pattern).label_row(Sections::Boot, timed));
            }
        }
        for size in [2 << 20, 16 << 20] {
            rows.push(Row { size_bytes: Some(size), ..row("a", "hot_add", "p50", Some(9.0)) });
        }
        let kept: Vec<Row> = rows.iter().filter(|row| is_row_of_one(row)).cloned().collect();
        assert!(kept.len() < rows.len());
        let of = |rows: &[Row]| format!("{:?}", all(&Summary::of(rows)));
        assert_eq!(of(&kept), of(&rows));
        assert_eq!(all(&Summary::of(&rows)).len(), 4);
    }
}
