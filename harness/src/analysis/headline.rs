//! The few figures by which layouts, machines and runs are told apart.

use crate::analysis::judge::Verdict;
use crate::analysis::summary::{HEADLINES, LookupLine, Summary, headline_group};
use crate::case::{Addresses, HOT_ADD, HOT_REMOVE, LookupGroup, LookupOp, Memory, Position};
use crate::record::row::Row;
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
    /// Interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// What may be said of it against the best value: of a direct comparison of the two. `None` for the best itself, and for what is
    /// not judged.
    pub against_best: Option<Verdict>,
    /// How much more it is than the best, of the same comparison.
    pub more: Option<f64>,
}

/// A headline.
#[derive(Clone, Debug)]
pub struct Headline {
    /// What it is of, in words.
    pub what: String,
    /// Its unit.
    pub unit: Unit,
    /// How its values were got, which is what may be said of them.
    pub kind: Kind,
    /// Where records lie for those that are compared; empty if it does not matter.
    pub backing: String,
    /// By layout, those that have it.
    pub values: Vec<Value>,
}

/// How the values of a headline were got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Timed in several processes, and judged.
    Judged,
    /// Medians of one process: there is no interval, and nothing is judged.
    OneProcess,
    /// Counted: values that differ differ.
    Counted,
}

/// A place in the order of a headline.
#[derive(Clone, Debug)]
pub struct Rank {
    /// Of the first place all layouts that are not slower than the best by a verdict; of the others one.
    pub layouts: Vec<String>,
    /// The best value among them.
    pub value: f64,
    /// How much more it is than the best of all.
    pub more: f64,
}

impl Headline {
    /// The value of a layout.
    pub fn of(&self, layout: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.layout == layout)
    }

    /// Layouts from the best on. Of judged values those share the first place that no verdict calls slower than the best; of others
    /// those with the same value.
    pub fn ranks(&self) -> Vec<Rank> {
        let mut values: Vec<&Value> = self.values.iter().collect();
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        let Some(best) = values.first().map(|value| value.value) else { return Vec::new() };
        let is_first = |value: &Value| match self.kind {
            Kind::Judged => value.against_best != Some(Verdict::Slower),
            Kind::OneProcess | Kind::Counted => value.value == best,
        };
        let (first, others): (Vec<&Value>, Vec<&Value>) = values.into_iter().partition(|value| is_first(value));
        // As tables have them.
        let place = |layout: &String| self.values.iter().position(|value| value.layout == *layout);
        let mut layouts: Vec<String> = first.iter().map(|value| value.layout.clone()).collect();
        layouts.sort_by_key(place);
        let rank = |value: &&Value| {
            let more = value.more.unwrap_or(value.value - best);
            Rank { layouts: vec![value.layout.clone()], value: value.value, more }
        };
        std::iter::once(Rank { layouts, value: best, more: 0.0 }).chain(others.iter().map(rank)).collect()
    }

    /// Is some layout of the first place there only because the run cannot tell it from the best?
    pub fn is_undecided(&self) -> bool {
        self.values.iter().any(|value| value.against_best == Some(Verdict::Undecided))
    }
}

/// What memory is called.
pub fn memory_label(memory: Memory) -> &'static str {
    match memory {
        Memory::Boot => "boot memory",
        Memory::Added => "hot-added memory",
    }
}

/// Is a row needed for headlines?
pub fn is_row_of_one(row: &Row) -> bool {
    let is_lookup = || {
        row.metric == "time"
            && row.lookup_group().is_some_and(|of| {
                HEADLINES.iter().any(|(op, _)| LookupGroup { preempt: false, ..of } == headline_group(*op))
            })
    };
    let is_hotplug = || {
        let is_plain = row.mode.as_deref().is_none_or(|mode| mode == Addresses::Again.name())
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
    for (op, memory) in HEADLINES {
        let Some(line) = summary.headline(op, memory) else { continue };
        let best = line.fastest().map(|cell| cell.layout.clone());
        let value = |cell: &crate::analysis::summary::LookupCell| {
            let layout = cell.layout.clone();
            let best = best.as_deref().filter(|best| *best != layout);
            let against_best = best.and_then(|best| line.pair(&layout, best));
            Some(Value {
                layout,
                value: cell.median_ns?,
                ratio: cell.ratio,
                interval: cell.ratio_interval,
                against_best: against_best.map(|pair| pair.verdict),
                more: against_best.and_then(|pair| pair.difference_ns),
            })
        };
        let what = match op {
            LookupOp::NextValidPfn => "walk over the map (next_valid_pfn), a section".to_owned(),
            _ => format!("{op}, {}", memory_label(memory)),
        };
        let values = line.cells.iter().filter_map(value).collect();
        headlines.push(Headline { what, unit: Unit::Ns, kind: Kind::Judged, backing: backing(line), values });
    }
    for (op, name) in [(HOT_ADD, "hot-add"), (HOT_REMOVE, "hot-remove")] {
        for size in SIZES {
            let is_it = |line: &&crate::analysis::summary::HotplugLine| {
                line.op == op && line.group.is_plain() && line.group.size_bytes == size
            };
            let Some(line) = summary.hotplug.iter().find(is_it) else { continue };
            let medians = line.cells.iter().filter_map(|cell| Some((cell.layout.clone(), cell.ns("p50")?)));
            headlines.push(headline(
                summary,
                format!("{name} of {}", bytes(size as f64)),
                Unit::Ns,
                Kind::OneProcess,
                medians,
            ));
        }
    }
    let overhead = summary.bytes.iter().filter_map(|of| Some((of.layout.clone(), summary.overhead(of, Memory::Boot)?)));
    headlines.push(headline(
        summary,
        "bytes at boot beyond records of pages".to_owned(),
        Unit::Bytes,
        Kind::Counted,
        overhead,
    ));
    headlines.retain(|headline| !headline.values.is_empty());
    headlines
}

/// A headline with one figure a layout: ratios are of those, and there is no interval.
fn headline(
    summary: &Summary,
    what: String,
    unit: Unit,
    kind: Kind,
    values: impl Iterator<Item = (String, f64)>,
) -> Headline {
    let values: Vec<(String, f64)> = values.collect();
    let reference = values.iter().find(|(layout, _)| *layout == summary.reference).map(|(_, value)| *value);
    let reference = reference.filter(|value| *value > 0.0);
    let value = |(layout, value): (String, f64)| {
        let ratio = reference.map(|reference| value / reference);
        Value { layout, value, ratio, interval: None, against_best: None, more: None }
    };
    // Of what is counted in bytes the backing is no part.
    let backing = if kind == Kind::OneProcess { summary.backing.clone() } else { String::new() };
    Headline { what, unit, kind, backing, values: values.into_iter().map(value).collect() }
}

/// What the records are made of that a line reads; empty if it reads none. Layouts whose records lie elsewhere are in their names.
fn backing(line: &LookupLine) -> String {
    let reads = line.group.op.reads_records(line.group.mode);
    let kind =
        |cell: &crate::analysis::summary::LookupCell| cell.backing.split('+').next().unwrap_or_default().to_owned();
    line.cells.first().filter(|_| reads).map(kind).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::LookupOp;
    use crate::case::Pattern;
    use crate::record::row::tests::row;

    #[test]
    fn the_first_place_is_shared_with_whom_no_verdict_calls_slower() {
        let value = |layout: &str, value, against_best| Value {
            layout: layout.into(),
            value,
            ratio: None,
            interval: None,
            against_best,
            more: None,
        };
        let of = |kind, values| Headline { what: String::new(), unit: Unit::Ns, kind, backing: String::new(), values };
        let values = vec![
            value("c", 3.0, Some(Verdict::Slower)),
            value("a", 1.0, None),
            value("b", 1.5, Some(Verdict::Undecided)),
            value("d", 1.02, Some(Verdict::Slower)),
        ];
        let judged = of(Kind::Judged, values.clone());
        let ranks = judged.ranks();
        assert_eq!(ranks.iter().map(|rank| rank.layouts.join(" ")).collect::<Vec<_>>(), ["a b", "d", "c"]);
        assert!((ranks[1].more - 0.02).abs() < 1e-9 && judged.is_undecided());
        assert_eq!(of(Kind::OneProcess, values).ranks()[0].layouts, ["a"]);
        assert!(of(Kind::Judged, Vec::new()).ranks().is_empty());
    }

    #[test]
    fn the_rows_that_are_kept_give_the_same_headlines() {
        let mut rows = vec![
            row("a", "footprint", "index", Some(4096.0)),
            row("a", "footprint", "records_needed", Some(64.0)),
            row("a", "own_cost", "add_p50", Some(1.0)),
        ];
        rows.iter_mut().for_each(|row| row.memory = Some(Memory::Boot));
        for op in [LookupOp::PfnValid, LookupOp::NextValidPfn] {
            for pattern in [Pattern::Random, Pattern::Sequential] {
                let timed = Row { sample: Some(0), ..row("a", "", "time", Some(2.0)) };
                rows.push(timed.with_lookup(&LookupGroup::plain(op, pattern), Memory::Boot));
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
