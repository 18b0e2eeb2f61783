//! What a run found, in sentences and in a table of winners, made from its figures.

use super::figure::View;
use super::headline::{Headline, Rank, memory};
use crate::compare::geometric_means;
use crate::cover_letter::Cost;
use crate::row::{Sections, Tables};
use crate::summary::Summary;
use crate::table::is_best;
use crate::units::{three_digits, time};

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
        let next = match (others.is_empty(), best.layouts.len()) {
            (true, 1) => "no other".to_owned(),
            (true, _) => "all the same".to_owned(),
            (false, _) => rank(others.first()),
        };
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

/// Who is fastest over the lookups on one kind of memory.
fn fastest(summary: &Summary, sections: Sections) -> Option<String> {
    let (mut means, nr) = geometric_means(summary, |line| line.sections == sections);
    means.sort_by(|a, b| a.1.total_cmp(&b.1));
    let [(_, best), _, ..] = means.as_slice() else { return None };
    // Layouts that are as fast as each other are named together.
    let near = |mean: f64, of: &[&(String, f64)]| {
        let is_near = |layout: &&String| of.iter().any(|(other, own)| other == *layout && is_best(*own, mean));
        let near: Vec<String> = summary.layouts.iter().filter(is_near).cloned().collect();
        format!("{}, {}×", names(&near), three_digits(mean))
    };
    let all: Vec<&(String, f64)> = means.iter().collect();
    let mut sentence = format!(
        "Over {nr} lookups on {}, geometric mean against {}: fastest is {} the time",
        memory(sections),
        summary.reference,
        near(*best, &all),
    );
    let plugged: Vec<&(String, f64)> = means.iter().filter(|(layout, _)| has_hotplug(summary, layout)).collect();
    if let Some((_, mean)) = plugged.first().filter(|(_, mean)| plugged.len() < means.len() && !is_best(*mean, *best)) {
        sentence.push_str(&format!("; of those whose memory can come and go {}", near(*mean, &plugged)));
    }
    if let Some((last, mean)) = means.last().filter(|(_, mean)| !is_best(*mean, *best)) {
        sentence.push_str(&format!("; last is {last}, {}×", three_digits(*mean)));
    }
    Some(sentence + ".")
}

/// What the run found, the shortest way.
pub fn sentences(view: View<'_>, costs: &[Cost]) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let of = |sections| {
        let is_it =
            |cost: &&Cost| cost.map == view.main_map() && cost.sections == sections && cost.tables == Tables::Hot;
        costs.iter().find(is_it).map(|cost| cost.merged)
    };
    let hot = of(Sections::Hot).map(|ratio| format!("{ratio} as long on hot-added memory, where the map is read"));
    let boot = of(Sections::Boot).map(|ratio| format!("{ratio} on boot memory, where early sections are told apart"));
    let both: Vec<String> = [hot, boot].into_iter().flatten().collect();
    if !both.is_empty() {
        sentences.push(format!(
            "With the sub-section map pfn_valid takes {} (subsection over vmemmap-section, tables in the caches).",
            both.join(", and ")
        ));
    }
    sentences.extend([Sections::Hot, Sections::Boot].into_iter().filter_map(|of| fastest(view.main(), of)));
    sentences
}

/// What is to be known of the table of winners.
pub fn notes(view: View<'_>) -> Vec<String> {
    let summary = view.main();
    let mut notes = vec![
        "Lookups are of page frames in random order, with tables in the caches; medians. Layouts that are within 3 % of the first, or \
         whose intervals meet, are named together."
            .to_owned(),
    ];
    if let Some(floor) = floor(summary) {
        notes.push(format!("The loop around a lookup takes {} of each figure.", time(floor)));
    }
    let fixed = summary.layouts.iter().filter(|layout| !has_hotplug(summary, layout)).cloned().collect::<Vec<_>>();
    if !fixed.is_empty() && fixed.len() < summary.layouts.len() {
        notes.push(format!("Memory cannot be added to or removed from {}.", fixed.join(", ")));
    }
    if summary.on_device {
        notes.push(
            "Layouts with records on a device use its blocks again, where RAM is zeroed anew for each addition."
                .to_owned(),
        );
    }
    notes
}

/// What the loop alone takes, in ns.
pub fn floor(summary: &Summary) -> Option<f64> {
    summary.lookups.iter().filter_map(|line| line.floor_ns).reduce(f64::min)
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
        assert_eq!(lines[1].next, "no other");
        let many: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(names(&many), "a and 4 more");
    }
}
