//! What a run found, in sentences and in a table of winners, made from its figures.

use super::figure::View;
use super::headline::{Headline, Rank};
use crate::compare::geometric_means;
use crate::cover_letter::Cost;
use crate::row::{Sections, Tables};
use crate::summary::Summary;
use crate::table::is_best;
use crate::units::three_digits;

/// A line of the table of winners.
#[derive(Clone, Debug)]
pub struct Winner {
    /// Of what.
    pub what: String,
    /// The best layouts.
    pub wins: String,
    /// Their value.
    pub takes: String,
    /// Those after them, and how many times the best value they take.
    pub next: String,
    /// The last, unless they are the next.
    pub last: String,
}

/// The most names of layouts in a cell.
const NAMES: usize = 3;

fn names(layouts: &[String]) -> String {
    match layouts.len() {
        nr if nr > NAMES => format!("{} and {} more", layouts[0], nr - 1),
        _ => layouts.join(", "),
    }
}

/// The winners of the headlines.
pub fn winners(headlines: &[Headline]) -> Vec<Winner> {
    let winner = |headline: &Headline| {
        let ranks = headline.ranks();
        let (best, others) = ranks.split_first()?;
        let rank = |rank: Option<&Rank>| {
            let times = |times: f64| if times.is_nan() { String::new() } else { format!(" {}×", three_digits(times)) };
            rank.map_or_else(String::new, |rank| format!("{}{}", names(&rank.layouts), times(rank.times)))
        };
        let next = if others.is_empty() { "all the same".to_owned() } else { rank(others.first()) };
        Some(Winner {
            what: headline.what.clone(),
            wins: names(&best.layouts),
            takes: headline.unit.in_words(best.value),
            next,
            last: if others.len() > 1 { rank(others.last()) } else { String::new() },
        })
    };
    headlines.iter().filter_map(winner).collect()
}

/// Can memory of a layout come and go?
fn has_hotplug(summary: &Summary, layout: &str) -> bool {
    let has_hot = summary.lookups.iter().filter(|line| line.sections == Sections::Hot);
    has_hot.flat_map(|line| &line.cells).any(|cell| cell.layout == layout && cell.median_ns.is_some())
        || summary.hotplug.iter().any(|line| line.ns(layout, "p50").is_some())
}

/// What the run found, the shortest way.
pub fn sentences(view: View<'_>, costs: &[Cost]) -> Vec<String> {
    let summary = view.main();
    let mut sentences = Vec::new();
    let (mut means, nr) = geometric_means(summary);
    means.sort_by(|a, b| a.1.total_cmp(&b.1));
    if let [(first, mean), _, ..] = means.as_slice() {
        // Layouts that are as fast as each other are named together.
        let plugged: Vec<&(String, f64)> = means.iter().filter(|(layout, _)| has_hotplug(summary, layout)).collect();
        let others = match plugged.first() {
            Some((layout, mean)) if layout != first => {
                let is_near =
                    |layout: &&String| plugged.iter().any(|(of, other)| of == *layout && is_best(*other, *mean));
                let near: Vec<String> = summary.layouts.iter().filter(is_near).cloned().collect();
                let (near, mean) = (names(&near), three_digits(*mean));
                format!("; of those whose memory can come and go it is {near} ({mean}×)")
            }
            _ => String::new(),
        };
        let last = means.last().filter(|(layout, _)| layout != first);
        let last =
            last.map_or_else(String::new, |(layout, mean)| format!(" Last is {layout} ({}×).", three_digits(*mean)));
        sentences.push(format!(
            "Over the {nr} lookups that all layouts have on this map, {first} is the fastest: {}× the time of {} in the geometric \
             mean{others}.{last}",
            three_digits(*mean),
            summary.reference,
        ));
    }
    let of = |sections| {
        let is_it =
            |cost: &&Cost| cost.map == view.run.main_map() && cost.sections == sections && cost.tables == Tables::Hot;
        costs.iter().find(is_it)
    };
    let both = [(of(Sections::Hot), "hot-added memory"), (of(Sections::Boot), "boot memory")];
    let both: Vec<String> =
        both.into_iter().filter_map(|(cost, memory)| Some(format!("{} on {memory}", cost?.merged))).collect();
    if !both.is_empty() {
        sentences.push(format!(
            "The sub-section map costs pfn_valid {} (subsection over vmemmap-section, tables in the caches).",
            both.join(" and ")
        ));
    }
    sentences
}

/// What the sub-section map costs on a map, with the section tables in one state.
#[derive(Clone, Debug, Default)]
pub struct CostLine {
    /// The map.
    pub map: String,
    /// Where the section tables are.
    pub tables: &'static str,
    /// `subsection` over `vmemmap-section` on hot-added and on boot memory, then `subsection-v6` on both.
    pub cells: [String; 4],
}

/// Heads of the columns of [`CostLine::cells`].
pub const COSTS: [&str; 4] =
    ["hot-added: the map is read", "boot: it is not", "as posted, hot-added", "as posted, boot"];

/// How to read the costs.
pub const COSTS_CAPTION: &str = "pfn_valid in random order, subsection over vmemmap-section, the same layout without the map; as \
                                 posted is subsection-v6 over the same. In brackets 95 % intervals over processes; below 1 is faster.";

/// The costs as a table, a line a map and state of the tables.
pub fn cost_lines(costs: &[Cost]) -> Vec<CostLine> {
    let same = |a: &Cost, b: &Cost| a.map == b.map && a.tables == b.tables;
    let line = |costs: &[Cost]| {
        let first = costs.first()?;
        let of = |sections| costs.iter().find(|cost| cost.sections == sections);
        let merged = |sections| of(sections).map_or_else(String::new, |cost| cost.merged.to_string());
        let posted = |sections| {
            let ratio = of(sections).and_then(|cost| cost.posted);
            ratio.map_or_else(String::new, |ratio| ratio.to_string())
        };
        let tables = if first.tables == Tables::Hot { "in the caches" } else { "in no cache" };
        let (hot, boot) = (Sections::Hot, Sections::Boot);
        Some(CostLine { map: first.map.clone(), tables, cells: [merged(hot), merged(boot), posted(hot), posted(boot)] })
    };
    costs.chunk_by(same).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::headline::{Unit, Value};

    #[test]
    fn a_winner_is_told_with_its_lead_and_ties_are_told_together() {
        let value = |layout: &str, value| Value { layout: layout.into(), value, ratio: None, interval: None };
        let of = |values| Headline { what: "x".into(), unit: Unit::Ns, values };
        let lines = winners(&[
            of(vec![value("a", 1.0), value("b", 1.01), value("c", 2.0), value("d", 4.0)]),
            of(vec![value("a", 1.0)]),
            of(vec![]),
        ]);
        assert_eq!(lines.len(), 2);
        let first = &lines[0];
        assert_eq!((first.wins.as_str(), first.takes.as_str()), ("a, b", "1.00 ns"));
        assert_eq!((first.next.as_str(), first.last.as_str()), ("c 2.00×", "d 4.00×"));
        assert_eq!(lines[1].next, "all the same");
        let many: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(names(&many), "a and 4 more");
    }
}
