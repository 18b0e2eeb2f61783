//! The cost of the sub-section map to `pfn_valid`, which the cover letter of the patch series expects to be negligible.
//!
//! The layouts are compared within one run. `subsection` reads the map on hot-added memory.
//! `vmemmap-section` is the same layout without the map. `subsection-v6`, the series as posted,
//! also reads the map on boot memory.

use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{AS_POSTED, Pair, SERIES, Summary};
use crate::case::{LookupGroup, LookupOp, Memory, Pattern, Tables};
use crate::present::ratio;
use crate::units::{percent, signed_time, time};
use serde::Serialize;

/// The cost of the sub-section map on one map and kind of memory.
#[derive(Clone, Debug, Serialize)]
#[serde(into = "CostRecord")]
pub struct Cost {
    /// Name of the physical memory map, e.g. `this-machine`.
    pub map: String,
    /// Whether boot or added memory was queried.
    pub memory: Memory,
    /// Whether the section tables were in the caches.
    pub tables: Tables,
    /// `subsection` compared with `vmemmap-section`.
    pub merged: Pair,
    /// `subsection-v6` compared with `vmemmap-section`; `None` if it was not measured.
    pub posted: Option<Pair>,
}

/// A ratio and its corrected confidence interval.
#[derive(Serialize)]
struct Ratio {
    /// The geometric mean over processes. The key keeps the name that it has had in JSON.
    #[serde(rename = "median")]
    ratio: f64,
    interval: Option<(f64, f64)>,
}

/// The serialised form of [`Cost`].
#[derive(Serialize)]
struct CostRecord {
    map: String,
    memory: Memory,
    tables: Tables,
    merged: Option<Ratio>,
    is_near_loop: bool,
    difference_ns: Option<f64>,
    verdict: Verdict,
    noise_floor: Option<f64>,
    posted: Option<Ratio>,
    posted_difference_ns: Option<f64>,
    posted_verdict: Option<Verdict>,
}

impl From<Cost> for CostRecord {
    fn from(cost: Cost) -> Self {
        let ratio = |pair: &Pair| pair.ratio.map(|ratio| Ratio { ratio, interval: pair.interval });
        Self {
            map: cost.map,
            memory: cost.memory,
            tables: cost.tables,
            merged: ratio(&cost.merged),
            is_near_loop: cost.merged.ratio.is_none(),
            difference_ns: cost.merged.difference_ns,
            verdict: cost.merged.verdict,
            noise_floor: cost.merged.noise_floor,
            posted: cost.posted.as_ref().and_then(ratio),
            posted_difference_ns: cost.posted.and_then(|pair| pair.difference_ns),
            posted_verdict: cost.posted.map(|pair| pair.verdict),
        }
    }
}

/// The costs on all maps of a run, from independent lookups in random order. Chained lookups are
/// excluded, because on boot memory their result reaches the next address through a branch.
pub fn costs<'a>(maps: impl IntoIterator<Item = (&'a str, &'a Summary)>) -> Vec<Cost> {
    let mut costs = Vec::new();
    for (map, summary) in maps {
        for tables in [Tables::Hot, Tables::Cold] {
            for memory in Memory::ALL {
                let group = LookupGroup { tables, ..LookupGroup::plain(LookupOp::PfnValid, Pattern::Random) };
                let preempt = LookupGroup { preempt: true, ..group };
                let line = summary.lookup(group, memory).or_else(|| summary.lookup(preempt, memory));
                let Some(merged) = line.and_then(|line| line.pair(SERIES.0, SERIES.1)) else { continue };
                let posted = line.and_then(|line| line.pair(AS_POSTED, SERIES.1));
                costs.push(Cost { map: map.to_owned(), memory, tables, merged, posted });
            }
        }
    }
    costs
}

impl Cost {
    /// The cost as text: `slower by 0.51 ns, 1.54× [1.52, 1.56]`, or `undecided` with the reason.
    pub fn in_words(&self) -> String {
        in_words(&self.merged)
    }

    /// The cost of the series as posted, as text.
    pub fn posted_in_words(&self) -> Option<String> {
        self.posted.as_ref().map(in_words)
    }
}

fn in_words(pair: &Pair) -> String {
    let difference = pair.difference_ns.map_or_else(|| "no undisturbed sample".to_owned(), signed_time);
    let ratio = |interval| match pair.ratio {
        None => "no ratio: close to the empty loop".to_owned(),
        Some(ratio) => ratio::with_interval(ratio, interval),
    };
    let compared = ratio(pair.interval);
    match (pair.verdict, pair.difference_ns) {
        (Verdict::Undecided, _) => match pair.noise_floor {
            _ if pair.processes < PROCESSES_FOR_INTERVAL => {
                format!("undecided ({difference}, {}; too few processes)", ratio(None))
            }
            None => format!("undecided ({difference}, {compared}; no control)"),
            Some(floor) => format!("undecided ({difference}, {compared}; noise floor {})", percent(floor)),
        },
        (Verdict::Faster | Verdict::Slower, Some(ns)) => {
            format!("{} by {}, {compared}", pair.verdict, time(ns.abs()))
        }
        (verdict, _) => format!("{verdict} ({difference}, {compared})"),
    }
}

/// The costs in sentences, one per map and state of the tables, each followed by one for the series as posted.
pub fn sentences(costs: &[Cost]) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut at = 0;
    while let Some(first) = costs.get(at) {
        let same: Vec<&Cost> =
            costs[at..].iter().take_while(|cost| cost.map == first.map && cost.tables == first.tables).collect();
        at += same.len();
        let cost_on = |memory| same.iter().find(|cost| cost.memory == memory);
        let tables = if first.tables == Tables::Hot { "cached" } else { "not cached" };
        let added = cost_on(Memory::Added).map(|cost| format!("on hot-added memory {}", cost.in_words()));
        let boot = cost_on(Memory::Boot).map(|cost| format!("on boot memory {}", cost.in_words()));
        let both = [added, boot].into_iter().flatten().collect::<Vec<_>>().join("; ");
        sentences.push(format!(
            "Cost of the sub-section map to pfn_valid ({} compared with {}; {}, section tables {tables}): {both}.",
            SERIES.0, SERIES.1, first.map
        ));
        let posted = |memory, on: &str| Some(format!("on {on} {}", cost_on(memory)?.posted_in_words()?));
        let both = [posted(Memory::Added, "hot-added memory"), posted(Memory::Boot, "boot memory")];
        let both = both.into_iter().flatten().collect::<Vec<_>>().join("; ");
        if !both.is_empty() {
            sentences.push(format!("For the series as posted ({AS_POSTED} compared with {}): {both}.", SERIES.1));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CONTROL;
    use crate::record::row::Row;
    use crate::record::row::tests::row;

    fn rows(process: u32, tables: Tables, memory: Memory, times: [(&str, f64); 4]) -> Vec<Row> {
        let group = LookupGroup { tables, ..LookupGroup::plain(LookupOp::PfnValid, Pattern::Random) };
        let timed = times.into_iter().map(|(layout, ns)| {
            let timed = Row { process, sample: Some(0), ..row(layout, "", "time", Some(ns)) };
            timed.with_lookup(&group, memory)
        });
        let footprint = |layout: &&str| row(layout, "footprint", "index", Some(1.0));
        ["subsection", "vmemmap-section", "subsection-v6"].iter().map(footprint).chain(timed).collect()
    }

    #[test]
    fn each_map_and_state_of_the_tables_has_its_sentence() {
        let times = |merged, posted| {
            [("subsection", merged), (CONTROL, merged), ("vmemmap-section", 2.0), ("subsection-v6", posted)]
        };
        let (mut of_m, mut of_n) = (Vec::new(), Vec::new());
        for process in 0..5 {
            of_m.extend(rows(process, Tables::Hot, Memory::Boot, times(2.0, 3.0)));
            of_m.extend(rows(process, Tables::Hot, Memory::Added, times(3.0, 3.0)));
            of_m.extend(rows(process, Tables::Cold, Memory::Added, times(4.0, 4.0)));
            of_n.extend(rows(process, Tables::Hot, Memory::Added, times(1.0, 1.0)));
        }
        let summaries = [("m", Summary::from_rows(&of_m)), ("n", Summary::from_rows(&of_n))];
        let costs = costs(summaries.iter().map(|(map, summary)| (*map, summary)));
        assert_eq!(costs.len(), 4);
        let said = sentences(&costs);
        assert_eq!(said.len(), 6, "{said:?}");
        assert!(said[0].contains("hot-added memory slower by 1.00 ns, 1.50×"), "{}", said[0]);
        assert!(said[0].contains("boot memory equal (+0.00 ns, 1.000×"), "{}", said[0]);
        assert!(said[1].contains("boot memory slower by 1.00 ns, 1.50×"), "{}", said[1]);
        assert!(said[2].contains("not cached") && !said[2].contains("boot memory"), "{}", said[2]);
        assert!(said[4].contains("faster by 1.00 ns, 0.50×") && said[4].contains("; n,"), "{}", said[4]);
        assert!(sentences(&[]).is_empty());
    }

    /// A sentence claims no more than the verdict.
    #[test]
    fn undecided_costs_have_a_reason() {
        let one = rows(
            0,
            Tables::Hot,
            Memory::Added,
            [("subsection", 21.6), (CONTROL, 20.0), ("vmemmap-section", 2.0), ("subsection-v6", 2.0)],
        );
        let summary = Summary::from_rows(&one);
        let said = sentences(&costs([("m", &summary)])).join("\n");
        assert!(said.contains("undecided (+19.6 ns, 10.8×; too few processes)"), "{said}");
        assert!(!said.contains("slower"), "{said}");
    }
}
