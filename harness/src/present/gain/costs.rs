//! What the index costs: instructions, bytes and hotplug.

use super::{Page, plain_table};
use crate::analysis::summary::{SERIES, WINNER};
use crate::case::{HOT_ADD, HOT_REMOVE, LookupOp};
use crate::present::report::markdown::escaped;
use crate::units::{bytes, ratio, time};
use std::collections::BTreeMap;

impl Page<'_> {
    pub(super) fn instructions(&self) -> String {
        let rows = &self.machine.run.instructions;
        let layouts: Vec<&str> = [self.linux.as_str(), SERIES.0, WINNER]
            .into_iter()
            .filter(|layout| rows.iter().any(|row| row.layout == *layout))
            .collect();
        if !layouts.contains(&WINNER) {
            return String::new();
        }
        let mut cases: BTreeMap<(bool, String, String), BTreeMap<&str, f64>> = BTreeMap::new();
        for row in rows.iter().filter(|row| layouts.contains(&row.layout.as_str())) {
            let is_lookup = LookupOp::COUNTED.iter().any(|op| op.name() == row.op);
            let what = match (row.memory, row.size_bytes) {
                (Some(memory), _) if is_lookup => format!("{} memory", memory.name()),
                (_, Some(size)) if !is_lookup => bytes(size as f64),
                _ => continue,
            };
            cases.entry((!is_lookup, row.op.clone(), what)).or_default().insert(&row.layout, row.value);
        }
        let line = |((_, op, what), counts): ((bool, String, String), BTreeMap<&str, f64>)| {
            let count = |layout: &&str| counts.get(layout).map_or_else(|| "–".to_owned(), f64::to_string);
            [op, what].into_iter().chain(layouts.iter().map(count)).collect::<Vec<String>>()
        };
        let lines: Vec<Vec<String>> = cases.into_iter().map(line).collect();
        let head: Vec<&str> = ["operation", "of"].into_iter().chain(layouts.iter().copied()).collect();
        format!(
            "## Instructions\n\n\
             Instructions of a lookup as a function of its own, and of an update of the index without the records, counted by \
             callgrind without those of an empty function. `{}` is Rust code here; the same lookup in C in a kernel takes a few more \
             (`results/kernel-judge.md`). No count: the kernel has no such function, or its hotplug was not compiled.\n\n{}",
            WINNER,
            plain_table(&head, &lines)
        )
    }

    pub(super) fn memory(&self) -> String {
        let mut lines = Vec::new();
        for (map, summary) in &self.machine.maps {
            let usage = |layout: &str| summary.bytes.iter().find(|usage| usage.layout == layout);
            let (Some(idea), Some(winner)) = (usage(SERIES.0), usage(WINNER)) else { continue };
            let huge = [idea, winner].map(|usage| usage.index_in_huge_pages.map_or_else(|| "–".to_owned(), bytes));
            for (when, index) in [
                ("boot", [idea.index, winner.index]),
                ("with added memory", [idea.index_with_added, winner.index_with_added]),
            ] {
                // A map without boot memory has no tables at boot.
                let [Some(idea), Some(winner)] = index.map(|bytes| bytes.filter(|&bytes| bytes > 0.0)) else {
                    continue;
                };
                let cells =
                    [escaped(map), when.to_owned(), bytes(idea), bytes(winner), format!("{}×", ratio(idea / winner))];
                lines.push(cells.into_iter().chain(huge.clone()).collect());
            }
        }
        if lines.is_empty() {
            return String::new();
        }
        let huge = [SERIES.0, WINNER].map(|layout| format!("{layout} in huge pages"));
        let head = ["map", "when", SERIES.0, WINNER, "ratio", &huge[0], &huge[1]];
        format!(
            "## Memory\n\n\
             Bytes of the index: root table, descriptors and usage objects of `{}`, as in Linux 6.1; states, descriptors with \
             bits, summaries and usage objects of `{WINNER}`, in whole pages. The page tables that a kernel needs for the \
             reserved addresses come on top, and are not counted. Ratio: `{}` divided by `{WINNER}`, so below 1 `{WINNER}` is larger. \
             Huge pages are whole ones that back tables, as the kernel reported them to one process; a layout may fill only \
             part of one, other processes may get another number, and its states may share one with other tables, which a kernel's \
             array of states would not.\n\n{}",
            SERIES.0,
            SERIES.0,
            plain_table(&head, &lines)
        )
    }

    pub(super) fn hotplug(&self) -> String {
        let summary = self.machine.view().main();
        let mut lines = Vec::new();
        for line in summary
            .hotplug
            .iter()
            .filter(|line| line.group.is_plain() && [HOT_ADD, HOT_REMOVE].contains(&line.op.as_str()))
        {
            let (Some(idea), Some(winner)) = (line.ns(SERIES.0, "p50"), line.ns(WINNER, "p50")) else { continue };
            lines.push(vec![line.op.replace('_', "-"), bytes(line.group.size_bytes as f64), time(idea), time(winner)]);
        }
        if lines.is_empty() {
            return String::new();
        }
        let head = ["operation", "size", SERIES.0, WINNER];
        format!(
            "## Hotplug\n\n\
             Medians of one process, without interval and verdict. Most of an addition is the memory of the records. Memory is \
             added again where it was removed: the first addition to 512 GiB, which backs a page of states and flushes the \
             TLBs, was not timed.\n\n{}",
            plain_table(&head, &lines)
        )
    }
}
