//! The cost of the sub-section map to `pfn_valid`, which the cover letter of the patch series expects to be negligible.
//!
//! The layouts are compared within one run:
//!
//! | pair | what it is |
//! | --- | --- |
//! | `linux-6.1` and `linux-5.2` | Linux as compilers make it, with sub-sections and before the series |
//! | `compiled-VERSION` and `linux-5.2` | Linux's own code; no package has headers of 5.2 |
//! | `subsection` and `vmemmap-section` | the idea in Rust: what a better compiler or a small patch could have |
//! | `subsection-v6` and `vmemmap-section` | the series as posted, which reads the map on boot memory too |

use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{AS_POSTED, LINUX, Pair, SERIES, Summary};
use crate::case::{COMPILED, LookupGroup, LookupOp, Memory, Pattern, Tables};
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
    /// Linux as compiled, compared with Linux before the series: the model, and then the compiled
    /// kernels of the run, by their ids.
    pub linux: Vec<(String, Pair)>,
    /// `subsection` compared with `vmemmap-section`; `None` if it was not measured.
    pub merged: Option<Pair>,
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
    linux: Vec<LinuxRecord>,
    merged: Option<Ratio>,
    is_near_loop: bool,
    difference_ns: Option<f64>,
    verdict: Option<Verdict>,
    noise_floor: Option<f64>,
    posted: Option<Ratio>,
    posted_difference_ns: Option<f64>,
    posted_verdict: Option<Verdict>,
}

/// A layout that is Linux as compiled, compared with `linux-5.2`.
#[derive(Serialize)]
struct LinuxRecord {
    layout: String,
    ratio: Option<Ratio>,
    difference_ns: Option<f64>,
    verdict: Verdict,
    noise_floor: Option<f64>,
}

impl From<Cost> for CostRecord {
    fn from(cost: Cost) -> Self {
        let ratio = |pair: &Pair| pair.ratio.map(|ratio| Ratio { ratio, interval: pair.interval });
        Self {
            map: cost.map,
            memory: cost.memory,
            tables: cost.tables,
            linux: cost
                .linux
                .iter()
                .map(|(layout, pair)| LinuxRecord {
                    layout: layout.clone(),
                    ratio: ratio(pair),
                    difference_ns: pair.difference_ns,
                    verdict: pair.verdict,
                    noise_floor: pair.noise_floor,
                })
                .collect(),
            merged: cost.merged.as_ref().and_then(ratio),
            is_near_loop: cost.merged.is_some_and(|pair| pair.ratio.is_none()),
            difference_ns: cost.merged.and_then(|pair| pair.difference_ns),
            verdict: cost.merged.map(|pair| pair.verdict),
            noise_floor: cost.merged.and_then(|pair| pair.noise_floor),
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
                let Some(line) = line else { continue };
                let merged = line.pair(SERIES.0, SERIES.1);
                let posted = line.pair(AS_POSTED, SERIES.1);
                let compiled = line.cells.iter().map(|cell| &*cell.layout).filter(|id| id.starts_with(COMPILED));
                let linux = [LINUX.0].into_iter().chain(compiled);
                let linux: Vec<_> = linux.filter_map(|id| Some((id.to_owned(), line.pair(id, LINUX.1)?))).collect();
                if merged.is_some() || !linux.is_empty() {
                    costs.push(Cost { map: map.to_owned(), memory, tables, linux, merged, posted });
                }
            }
        }
    }
    costs
}

impl Cost {
    /// The cost of the idea as text: `slower by 0.51 ns, 1.54× [1.52, 1.56]`, or `undecided` with
    /// the reason.
    pub fn in_words(&self) -> Option<String> {
        self.merged.as_ref().map(in_words)
    }

    /// The cost in a layout that is Linux as compiled, as text.
    pub fn linux_in_words(&self, layout: &str) -> Option<String> {
        self.linux.iter().find(|(id, _)| id == layout).map(|(_, pair)| in_words(pair))
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

/// The layouts of the costs that are Linux as compiled, the model before compiled kernels.
pub fn linux_layouts(costs: &[Cost]) -> Vec<&str> {
    let mut layouts: Vec<&str> = costs.iter().flat_map(|cost| &cost.linux).map(|(id, _)| &**id).collect();
    layouts.sort_unstable_by_key(|id| (id.starts_with(COMPILED), *id));
    layouts.dedup();
    layouts
}

/// The costs in sentences for each map and state of the tables: of Linux as compiled, of the idea in
/// Rust, and of the series as posted.
pub fn sentences(costs: &[Cost]) -> Vec<String> {
    let same = |a: &Cost, b: &Cost| a.map == b.map && a.tables == b.tables;
    let mut sentences = Vec::new();
    for costs in costs.chunk_by(same) {
        let on = |memory, name: &str, told: &dyn Fn(&Cost) -> Option<String>| {
            let cost = costs.iter().find(|cost| cost.memory == memory)?;
            Some(format!("on {name} {}", told(cost)?))
        };
        let on_both = |told: &dyn Fn(&Cost) -> Option<String>| {
            let both = [on(Memory::Added, "added memory", told), on(Memory::Boot, "boot memory", told)];
            let both = both.into_iter().flatten().collect::<Vec<_>>().join("; ");
            Some(both).filter(|both| !both.is_empty())
        };
        let (map, tables) = (&costs[0].map, if costs[0].tables == Tables::Hot { "cached" } else { "not cached" });
        let place = format!("{map}, section tables {tables}");
        // The first sentence of a place names it.
        let mut of_place = Vec::new();
        for layout in linux_layouts(costs) {
            let what = match layout.strip_prefix(COMPILED) {
                Some(version) => format!("Linux {version}'s own code"),
                None => "Linux as compiled".to_owned(),
            };
            if let Some(both) = on_both(&|cost| cost.linux_in_words(layout)) {
                of_place.push((what, [layout, LINUX.1], both));
            }
        }
        if let Some(both) = on_both(&Cost::in_words) {
            of_place.push(("Rust, without the kernel's checks".to_owned(), [SERIES.0, SERIES.1], both));
        }
        if let Some(both) = on_both(&Cost::posted_in_words) {
            of_place.push(("the series as posted, in Rust".to_owned(), [AS_POSTED, SERIES.1], both));
        }
        sentences.extend(of_place.into_iter().enumerate().map(|(at, (what, [layout, to], both))| match at {
            0 => format!("Cost of sub-sections to pfn_valid in {what} ({layout} compared with {to}; {place}): {both}."),
            _ => format!("In {what} ({layout} compared with {to}): {both}."),
        }));
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
    fn linux_as_compiled_comes_first_and_its_own_code_after_the_model() {
        let mut measured = Vec::new();
        for process in 0..5 {
            for (memory, own) in [(Memory::Boot, 3.0), (Memory::Added, 5.0)] {
                let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
                let times = [("linux-6.1", 4.0), (CONTROL, 4.0), ("linux-5.2", 2.0), ("compiled-6.1", own)];
                let timed = times.map(|(layout, ns)| {
                    let control_of = (layout == CONTROL).then(|| "linux-6.1".to_owned());
                    let timed = Row { process, sample: Some(0), control_of, ..row(layout, "", "time", Some(ns)) };
                    timed.with_lookup(&group, memory)
                });
                measured.extend(timed);
            }
        }
        for layout in ["linux-6.1", "linux-5.2", "compiled-6.1"] {
            measured.push(row(layout, "footprint", "index", Some(1.0)));
        }
        let summary = Summary::from_rows(&measured);
        let said = sentences(&costs([("m", &summary)]));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("in Linux as compiled (linux-6.1 compared with linux-5.2"), "{}", said[0]);
        assert!(said[0].contains("added memory slower by 2.00 ns, 2.00×"), "{}", said[0]);
        assert!(said[1].contains("In Linux 6.1's own code (compiled-6.1 compared"), "{}", said[1]);
        assert!(said[1].contains("boot memory slower by 1.00 ns, 1.50×"), "{}", said[1]);
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
        assert!(said[0].contains("added memory slower by 1.00 ns, 1.50×"), "{}", said[0]);
        assert!(said[0].contains("boot memory equal (0.00 ns, 1.000×"), "{}", said[0]);
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
