//! The findings of a run, in sentences and in a table of winners.

use super::figure::View;
use crate::analysis::headline::{Headline, Kind, Rank};
use crate::analysis::summary::{AS_POSTED, SERIES, Summary};
use crate::case::{Memory, Tables};
use crate::present::cover_letter::{self, Cost};
use crate::present::table;
use crate::units::{percent, time};

/// A line of the table of winners.
#[derive(Clone, Debug)]
pub struct Winner {
    /// The measure, in words.
    pub what: String,
    /// The layouts that share the first place.
    pub wins: String,
    /// Their value, with its unit.
    pub takes: String,
    /// The next layout, and its difference to the best.
    pub next: String,
    /// The last layout and its difference, unless it is `next`.
    pub last: String,
}

/// Maximum number of layout names in a cell.
const NAMES: usize = 3;

fn names(layouts: &[String]) -> String {
    match layouts.len() {
        nr if nr > NAMES => format!("{} and {} more", layouts[0], nr - 1),
        _ => layouts.join(", "),
    }
}

/// Makes the table of winners, one line per headline.
pub fn winners(headlines: &[Headline]) -> Vec<Winner> {
    let winner = |headline: &Headline| {
        let ranks = headline.ranks();
        let (best, others) = ranks.split_first()?;
        let rank = |rank: Option<&Rank>| {
            let more = |rank: &Rank| headline.unit.in_words(rank.more);
            rank.map_or_else(String::new, |rank| format!("{}, {} more", names(&rank.layouts), more(rank)))
        };
        let next = match (others.is_empty(), best.layouts.len()) {
            (true, 1) => "no other".to_owned(),
            (true, _) if headline.is_undecided() => "none proven slower".to_owned(),
            (true, _) => "all equal".to_owned(),
            (false, _) => rank(others.first()),
        };
        let wins = match headline.kind {
            Kind::OneProcess => format!("lowest median: {}", names(&best.layouts)),
            Kind::Judged if headline.is_undecided() => format!("undecided among {}", names(&best.layouts)),
            Kind::Judged | Kind::Counted => names(&best.layouts),
        };
        let what = match headline.backing.as_str() {
            "" => headline.what.clone(),
            backing => format!("{} (backing: {backing})", headline.what),
        };
        Some(Winner {
            what,
            wins,
            takes: headline.unit.in_words(best.value),
            next,
            last: if others.len() > 1 { rank(others.last()) } else { String::new() },
        })
    };
    headlines.iter().filter_map(winner).collect()
}

/// True if the layout supports hotplug.
fn has_hotplug(summary: &Summary, layout: &str) -> bool {
    let added = summary.lookups.iter().filter(|line| line.memory == Memory::Added);
    added.flat_map(|line| &line.cells).any(|cell| cell.layout == layout && cell.median_ns.is_some())
        || summary.hotplug.iter().any(|line| line.ns(layout, "p50").is_some())
}

/// The main finding about the main map with hot tables, as short as possible.
pub fn sentences(view: View<'_>, costs: &[Cost]) -> Vec<String> {
    let is_it = |cost: &&Cost| cost.map == view.main_map() && cost.tables == Tables::Hot;
    let mut sentences = cover_letter::sentences(&costs.iter().filter(is_it).cloned().collect::<Vec<_>>());
    sentences.extend(kernels(view));
    sentences
}

/// What the compiled kernels of a run are: version, compiler, configuration.
fn kernels(view: View<'_>) -> impl Iterator<Item = String> {
    view.run.known.kernels().map(|(id, kernel)| format!("{id}: {kernel}."))
}

/// Notes on the table of winners.
pub fn notes(view: View<'_>) -> Vec<String> {
    let summary = view.main();
    let mut notes = vec![format!(
        "Lookups query page frames in random order, with tables and records in the caches. A layout shares the first \
         place unless a direct comparison finds it slower than the fastest, by more than {} and by more than the noise \
         floor. The probability of any wrong verdict in this table and in the finding above is at most 5 %. Hotplug \
         values are medians of one process, without verdicts.",
        percent(summary.margin)
    )];
    if let Some(floor) = floor(summary) {
        notes.push(format!(
            "The empty loop takes {} per operation. Times below three times that have no ratio.",
            time(floor)
        ));
    }
    notes.push(
        "Memory overhead is what a layout needs beyond one record per page of each section with memory: its index, and \
         records of holes."
            .to_owned(),
    );
    let fixed = summary.layouts.iter().filter(|layout| !has_hotplug(summary, layout)).cloned().collect::<Vec<_>>();
    if !fixed.is_empty() && fixed.len() < summary.layouts.len() {
        notes.push(format!("Layouts without hotplug: {}.", fixed.join(", ")));
    }
    notes.extend(table::not_measured(summary));
    notes.extend(summary.left_out.iter().map(|reason| format!("Layout left out: {reason}.")));
    if summary.on_device {
        notes.push(
            "Layouts with records on a device reuse its blocks. In RAM, records are allocated and zeroed for each \
             addition."
                .to_owned(),
        );
    }
    notes
}

/// Time of the empty loop, in ns per operation.
pub fn floor(summary: &Summary) -> Option<f64> {
    summary.lookups.iter().filter_map(|line| line.floor_ns).reduce(f64::min)
}

/// The costs of sub-sections, with a line per map and state of the tables.
#[derive(Clone, Debug, Default)]
pub struct CostTable {
    /// Headings of the columns of [`CostLine::cells`]: those in which a line has something.
    pub columns: Vec<String>,
    /// The lines.
    pub lines: Vec<CostLine>,
}

/// The costs on one map, with the section tables in one state.
#[derive(Clone, Debug, Default)]
pub struct CostLine {
    /// Name of the map, e.g. `this-machine`.
    pub map: String,
    /// `cached`, or `not cached` if the section tables are read from memory.
    pub tables: &'static str,
    /// Verdicts, by column.
    pub cells: Vec<String>,
}

/// Caption of the table of costs.
pub const COSTS_CAPTION: &str = "Time of pfn_valid in random order. linux-6.1 and compiled kernels are compared with \
                                 linux-5.2, Linux before the series; subsection and subsection-v6 with \
                                 vmemmap-section, which is the same in Rust without the sub-section map. subsection \
                                 reads the map on added memory only; subsection-v6 is the series as posted, which \
                                 also reads it on boot memory. Above 1 is slower. Brackets hold the confidence \
                                 interval over processes, corrected for all verdicts on that map.";

/// The costs as a table.
pub fn cost_table(costs: &[Cost]) -> CostTable {
    let layouts = cover_letter::linux_layouts(costs).into_iter().chain([SERIES.0, AS_POSTED]);
    let told = |cost: &Cost, layout: &str| match layout {
        _ if layout == SERIES.0 => cost.in_words(),
        AS_POSTED => cost.posted_in_words(),
        _ => cost.linux_in_words(layout),
    };
    let both = layouts.flat_map(|layout| [(layout, Memory::Added), (layout, Memory::Boot)]);
    let has_cell = |(layout, memory): &(&str, Memory)| {
        costs.iter().any(|cost| cost.memory == *memory && told(cost, layout).is_some())
    };
    let columns: Vec<(&str, Memory)> = both.filter(has_cell).collect();
    let same = |a: &Cost, b: &Cost| a.map == b.map && a.tables == b.tables;
    let line = |costs: &[Cost]| {
        let cell = |&(layout, memory): &(&str, Memory)| {
            costs.iter().find(|cost| cost.memory == memory).and_then(|cost| told(cost, layout)).unwrap_or_default()
        };
        CostLine {
            map: costs[0].map.clone(),
            tables: if costs[0].tables == Tables::Hot { "cached" } else { "not cached" },
            cells: columns.iter().map(cell).collect(),
        }
    };
    let lines = costs.chunk_by(same).map(line).collect();
    let heading = |(layout, memory): &(&str, Memory)| match memory {
        Memory::Added => format!("{layout}, added"),
        Memory::Boot => format!("{layout}, boot"),
    };
    CostTable { columns: columns.iter().map(heading).collect(), lines }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::headline::{Unit, Value};
    use crate::analysis::judge::Verdict;

    #[test]
    fn a_winner_has_its_lead_and_ties_are_listed_together() {
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
            |kind, values| Headline { what: "x".into(), unit: Unit::Ns, kind, backing: String::new(), values };
        let slower = Some(Verdict::Slower);
        let timed = vec![
            value("a", 1.0, None),
            value("b", 1.01, Some(Verdict::Equal)),
            value("c", 2.0, slower),
            value("d", 4.0, slower),
        ];
        let unclear = vec![value("a", 1.0, None), value("b", 1.5, Some(Verdict::Undecided))];
        let lines = winners(&[
            headline(Kind::Judged, timed),
            headline(Kind::Judged, vec![value("a", 1.0, None)]),
            headline(Kind::Judged, vec![]),
            headline(Kind::Judged, unclear.clone()),
            headline(Kind::OneProcess, unclear),
        ]);
        assert_eq!(lines.len(), 4);
        let first = &lines[0];
        assert_eq!((first.wins.as_str(), first.takes.as_str()), ("a, b", "1.00 ns"));
        assert_eq!((first.next.as_str(), first.last.as_str()), ("c, 1.00 ns more", "d, 3.00 ns more"));
        assert_eq!(lines[1].next, "no other");
        assert_eq!((lines[2].wins.as_str(), lines[2].next.as_str()), ("undecided among a, b", "none proven slower"));
        assert_eq!(lines[3].wins, "lowest median: a");
        let many: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(names(&many), "a and 4 more");
    }
}
