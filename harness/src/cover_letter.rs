//! The answer to the question that the cover letter of the series leaves open: what does the sub-section map cost `pfn_valid`?
//!
//! Both layouts are in the same run: `subsection` reads the map on hot-added memory, `vmemmap-section` is the same without the
//! map, and `subsection-v6`, the series as it was posted, reads it on boot memory too.

use crate::cases::LookupGroup;
use crate::probe::lookup::LookupOp;
use crate::queries::Pattern;
use crate::row::{Row, Sections, Tables};
use crate::statistics::{PROCESSES_FOR_INTERVAL, Ratio};
use crate::summary::Summary;
use serde::Serialize;

/// The layout with the sub-section map.
const WITH_MAP: &str = "subsection";
/// The same without it.
const WITHOUT_MAP: &str = "vmemmap-section";
/// The series as it was posted.
const AS_POSTED: &str = "subsection-v6";

/// What the map costs on one kind of memory of one machine.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Name of the machine's map.
    pub map: String,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// Whether the tables were in the caches.
    pub tables: Tables,
    /// `subsection` over `vmemmap-section`.
    pub merged: Ratio,
    /// `subsection-v6` over `vmemmap-section`.
    pub posted: Option<Ratio>,
}

/// Everything that a run says of it on these maps: independent lookups in random order. Chained ones are not a headline, since
/// their answers on boot memory are branches.
pub fn costs<'a>(rows: &[Row], maps: impl IntoIterator<Item = &'a str>) -> Vec<Cost> {
    let mut costs = Vec::new();
    for map in maps {
        let of_map: Vec<Row> = rows.iter().filter(|row| row.map == map && row.op == "pfn_valid").cloned().collect();
        let layouts = rows.iter().filter(|row| row.map == map && row.op == "footprint").cloned();
        let summary = Summary::against(&layouts.chain(of_map).collect::<Vec<_>>(), WITHOUT_MAP);
        for tables in [Tables::Hot, Tables::Cold] {
            for sections in Sections::ALL {
                let group = LookupGroup { tables, ..LookupGroup::plain(LookupOp::PfnValid, Pattern::Random) };
                let preempt = LookupGroup { preempt: true, ..group };
                let line = summary.lookup(group, sections).or_else(|| summary.lookup(preempt, sections));
                let ratio = |layout: &str| {
                    let cell = line?.cells.iter().find(|cell| cell.layout == layout)?;
                    Some(Ratio { median: cell.ratio?, interval: cell.ratio_interval })
                };
                if let Some(merged) = ratio(WITH_MAP) {
                    costs.push(Cost { map: map.to_owned(), sections, tables, merged, posted: ratio(AS_POSTED) });
                }
            }
        }
    }
    costs
}

/// The answer in sentences, one a map and state of the tables.
pub fn sentences(costs: &[Cost]) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut at = 0;
    while let Some(first) = costs.get(at) {
        let same: Vec<&Cost> =
            costs[at..].iter().take_while(|cost| cost.map == first.map && cost.tables == first.tables).collect();
        at += same.len();
        let of = |sections| same.iter().find(|cost| cost.sections == sections);
        let tables = if first.tables == Tables::Hot { "in the caches" } else { "in no cache" };
        let mut answer =
            format!("What the sub-section map costs pfn_valid on {}, section tables {tables}: ", first.map);
        let hot = of(Sections::Hot).map(|cost| format!("{} on hot-added memory, where the map is read", cost.merged));
        let boot = of(Sections::Boot).map(|cost| format!("{} on boot memory, where it is not", cost.merged));
        let both = [hot, boot].into_iter().flatten().collect::<Vec<_>>().join(", and ");
        answer.push_str(&format!("{WITH_MAP} takes, over {WITHOUT_MAP}, {both}."));
        let hot = of(Sections::Hot).and_then(|cost| Some(format!("{} on hot-added", cost.posted?)));
        let boot = of(Sections::Boot).and_then(|cost| Some(format!("{} on boot memory", cost.posted?)));
        let both = [hot, boot].into_iter().flatten().collect::<Vec<_>>();
        if !both.is_empty() {
            answer.push_str(&format!(" As the series was posted ({AS_POSTED}): {}.", both.join(" and ")));
        }
        sentences.push(answer);
    }
    let has_interval = costs.iter().any(|cost| cost.merged.interval.is_some());
    if has_interval {
        sentences.push(format!(
            "In brackets: 95 % intervals over processes ({PROCESSES_FOR_INTERVAL} or more); below 1 is faster."
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::row;

    fn rows(process: u32, map: &str, tables: Tables, sections: Sections, times: [(&str, f64); 3]) -> Vec<Row> {
        let group = LookupGroup { tables, ..LookupGroup::plain(LookupOp::PfnValid, Pattern::Random) };
        let timed = times.into_iter().map(|(layout, ns)| {
            let timed = Row { process, sample: Some(0), map: map.into(), ..row(layout, "", "time", Some(ns)) };
            group.label_row(sections, timed)
        });
        let footprint = |layout: &&str| Row { map: map.into(), ..row(layout, "footprint", "index", Some(1.0)) };
        ["subsection", "vmemmap-section", "subsection-v6"].iter().map(footprint).chain(timed).collect()
    }

    #[test]
    fn each_map_and_state_of_the_tables_has_its_answer() {
        let times = |merged, posted| [("subsection", merged), ("vmemmap-section", 2.0), ("subsection-v6", posted)];
        let mut all = Vec::new();
        for process in 0..5 {
            all.extend(rows(process, "m", Tables::Hot, Sections::Boot, times(2.0, 3.0)));
            all.extend(rows(process, "m", Tables::Hot, Sections::Hot, times(3.0, 3.0)));
            all.extend(rows(process, "m", Tables::Cold, Sections::Hot, times(4.0, 4.0)));
            all.extend(rows(process, "n", Tables::Hot, Sections::Hot, times(1.0, 1.0)));
        }
        let costs = costs(&all, ["m", "n"]);
        assert_eq!(costs.len(), 4);
        let said = sentences(&costs);
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(said[0].contains("1.50× [1.50, 1.50] on hot-added") && said[0].contains("1.00× [1.00, 1.00] on boot"));
        assert!(
            said[1].contains("2.00×") && said[1].contains("in no cache") && !said[1].contains("boot memory, where")
        );
        assert!(said[2].contains("0.50×") && said[2].contains(" n,"), "{}", said[2]);
        assert!(sentences(&[]).is_empty());
    }
}
