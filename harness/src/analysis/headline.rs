//! The few values that summarise a run, for comparing layouts, machines and runs.

use crate::analysis::judge::Verdict;
use crate::analysis::summary::{HEADLINES, LookupLine, Summary, headline_group};
use crate::case::{Addresses, HOT_ADD, HOT_REMOVE, LookupGroup, LookupOp, Memory, Position};
use crate::record::row::Row;
use crate::units::{bytes, time};

/// Hotplug sizes among the headlines in bytes: a sub-section (2 MiB) and a section (128 MiB).
pub const SIZES: [u64; 2] = [2 << 20, 128 << 20];

/// Unit of a headline. Lower values are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Formats a value with three significant digits and its unit.
    pub fn in_words(self, value: f64) -> String {
        match self {
            Unit::Ns => time(value),
            Unit::Bytes => bytes(value),
        }
    }

    /// Name in data files: `ns` or `bytes`.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Ns => "ns",
            Unit::Bytes => "bytes",
        }
    }
}

/// The value of one layout in a headline.
#[derive(Clone, Debug)]
pub struct Value {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// The value, in [`Headline::unit`].
    pub value: f64,
    /// The value divided by that of the reference layout; above 1 is worse.
    pub ratio: Option<f64>,
    /// Corrected confidence interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// 95 % confidence interval over processes of the value.
    pub value_interval: Option<(f64, f64)>,
    /// Verdict of a direct comparison with the layout that has the best value. `None` for that
    /// layout itself, and if the headline is not judged.
    pub against_best: Option<Verdict>,
    /// Difference to the best value in that comparison, in [`Headline::unit`].
    pub more: Option<f64>,
}

/// One measure, with the values of all layouts.
#[derive(Clone, Debug)]
pub struct Headline {
    /// What is measured, in words, e.g. `pfn_valid, boot memory`.
    pub what: String,
    /// Unit of all values.
    pub unit: Unit,
    /// How the values were obtained, which limits what can be concluded from them.
    pub kind: Kind,
    /// Backing store of the records in the compared cases; empty if it does not matter.
    pub backing: String,
    /// Values of the layouts that have one.
    pub values: Vec<Value>,
}

/// How the values of a headline were obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Times from several processes, with verdicts.
    Judged,
    /// Medians from one process: there are no intervals and no verdicts.
    OneProcess,
    /// Exact counts: any difference is real.
    Counted,
}

/// A place in the ranking of a headline.
#[derive(Clone, Debug)]
pub struct Rank {
    /// Ids of the layouts that share the place. The first place may have several, every other place
    /// has one.
    pub layouts: Vec<String>,
    /// The lowest value among them.
    pub value: f64,
    /// Difference to the lowest value of all layouts, in the unit of the headline.
    pub more: f64,
}

impl Headline {
    /// The value of a layout; `None` if it has none.
    pub fn value_of(&self, layout: &str) -> Option<&Value> {
        self.values.iter().find(|value| value.layout == layout)
    }

    /// Ranks the layouts, best first. If values are judged, every layout that no verdict calls
    /// slower than the best shares the first place. Otherwise, only layouts with the same value
    /// share it.
    pub fn ranks(&self) -> Vec<Rank> {
        let mut values: Vec<&Value> = self.values.iter().collect();
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        let Some(best) = values.first().map(|value| value.value) else { return Vec::new() };
        let is_first = |value: &Value| match self.kind {
            Kind::Judged => value.against_best != Some(Verdict::Slower),
            Kind::OneProcess | Kind::Counted => value.value == best,
        };
        let (first, others): (Vec<&Value>, Vec<&Value>) = values.into_iter().partition(|value| is_first(value));
        // The same order as in tables.
        let place = |layout: &String| self.values.iter().position(|value| value.layout == *layout);
        let mut layouts: Vec<String> = first.iter().map(|value| value.layout.clone()).collect();
        layouts.sort_by_key(place);
        let rank = |value: &&Value| {
            let more = value.more.unwrap_or(value.value - best);
            Rank { layouts: vec![value.layout.clone()], value: value.value, more }
        };
        std::iter::once(Rank { layouts, value: best, more: 0.0 }).chain(others.iter().map(rank)).collect()
    }

    /// True if a layout shares the first place only because its verdict against the best is
    /// undecided.
    pub fn is_undecided(&self) -> bool {
        self.values.iter().any(|value| value.against_best == Some(Verdict::Undecided))
    }
}

/// Name of the kind of memory in reports.
pub fn memory_label(memory: Memory) -> &'static str {
    match memory {
        Memory::Boot => "boot memory",
        Memory::Added => "added memory",
    }
}

/// True if a row is needed to compute headlines.
pub fn is_row_of_one(row: &Row) -> bool {
    if row.is_of_faulty_layout() {
        return true;
    }
    let is_lookup = || {
        row.metric == "time"
            && row.lookup_group().is_some_and(|group| {
                HEADLINES.iter().any(|(op, _)| LookupGroup { preempt: false, ..group } == headline_group(*op))
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

/// The headlines for which a map has values.
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
                value_interval: cell.interval_ns,
                against_best: against_best.map(|pair| pair.verdict),
                more: against_best.and_then(|pair| pair.difference_ns),
            })
        };
        let what = match op {
            LookupOp::NextValidPfn => "walk over the map (next_valid_pfn), per section".to_owned(),
            _ => format!("{op}, {}", memory_label(memory)),
        };
        let values = line.layouts().filter_map(value).collect();
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
    let overhead =
        summary.bytes.iter().filter_map(|usage| Some((usage.layout.clone(), summary.overhead(usage, Memory::Boot)?)));
    headlines.push(headline(summary, "memory overhead at boot".to_owned(), Unit::Bytes, Kind::Counted, overhead));
    headlines.retain(|headline| !headline.values.is_empty());
    headlines
}

/// Makes a headline from one value per layout, with ratios and without intervals.
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
        Value { layout, value, ratio, interval: None, value_interval: None, against_best: None, more: None }
    };
    // Counts of bytes do not depend on the backing store.
    let backing = if kind == Kind::OneProcess { summary.backing.clone() } else { String::new() };
    Headline { what, unit, kind, backing, values: values.into_iter().map(value).collect() }
}

/// Backing store of the records that a line reads; empty if it reads none. Layouts whose records
/// are elsewhere say so in their names.
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
    fn layouts_that_no_verdict_calls_slower_share_the_first_place() {
        let value = |layout: &str, value, against_best| Value {
            layout: layout.into(),
            value,
            ratio: None,
            interval: None,
            value_interval: None,
            against_best,
            more: None,
        };
        let headline =
            |kind, values| Headline { what: String::new(), unit: Unit::Ns, kind, backing: String::new(), values };
        let values = vec![
            value("c", 3.0, Some(Verdict::Slower)),
            value("a", 1.0, None),
            value("b", 1.5, Some(Verdict::Undecided)),
            value("d", 1.02, Some(Verdict::Slower)),
        ];
        let judged = headline(Kind::Judged, values.clone());
        let ranks = judged.ranks();
        assert_eq!(ranks.iter().map(|rank| rank.layouts.join(" ")).collect::<Vec<_>>(), ["a b", "d", "c"]);
        assert!((ranks[1].more - 0.02).abs() < 1e-9 && judged.is_undecided());
        assert_eq!(headline(Kind::OneProcess, values).ranks()[0].layouts, ["a"]);
        assert!(headline(Kind::Judged, Vec::new()).ranks().is_empty());
    }

    #[test]
    fn rows_of_headlines_are_sufficient_for_headlines() {
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
        let headlines = |rows: &[Row]| format!("{:?}", all(&Summary::from_rows(rows)));
        assert_eq!(headlines(&kept), headlines(&rows));
        assert_eq!(all(&Summary::from_rows(&rows)).len(), 4);
    }
}
