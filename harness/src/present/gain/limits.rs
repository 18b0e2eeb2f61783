//! What the figures do not say.

use super::{Page, ns};
use crate::analysis::summary::{LINUX, SERIES, WINNER};
use crate::case::Mode;
use crate::units::ratio;

impl Page<'_> {
    /// By how much another flat index is faster at most, and in which cell; of cells in which no
    /// lookup waits for another. Empty if it is faster in none.
    fn faster_at_most(&self, layout: &str, in_part: bool) -> String {
        let times = |cell: &super::lookups::Cell<'_>| Some(ns(cell.line, WINNER)? / ns(cell.line, layout)?);
        let cells = self.cells().filter(|cell| cell.line.group.mode == Mode::Independent);
        let cells = cells.filter(|cell| cell.is_valid_in_part() == in_part);
        let most = cells.filter_map(|cell| Some((times(&cell)?, cell))).max_by(|a, b| a.0.total_cmp(&b.0));
        most.filter(|(times, _)| *times > 1.0)
            .map_or_else(String::new, |(times, cell)| format!("up to {} times, in {}", ratio(times), cell.in_words()))
    }

    /// How the kernel's code compares with the same checks in Rust; empty if the run lacks one of them.
    fn model(&self) -> String {
        let times = |cell: super::lookups::Cell<'_>| Some(ns(cell.line, LINUX.0)? / ns(cell.line, &self.linux)?);
        let mut ratios: Vec<f64> = self.cells().filter_map(times).collect();
        ratios.sort_by(f64::total_cmp);
        let (Some(least), Some(most), true) = (ratios.first(), ratios.last(), self.linux != LINUX.0) else {
            return String::new();
        };
        format!(
            " `{}`, the kernel's checks in Rust, takes {} to {} of the time of `{}` (median {}). So the difference between \
             `{}` and `{}` is nearly all those checks, and not the compiler.",
            LINUX.0,
            ratio(*least),
            ratio(*most),
            self.linux,
            ratio(ratios[ratios.len() / 2]),
            self.linux,
            SERIES.0
        )
    }

    fn other_indexes(&self) -> String {
        let mut found = String::new();
        let by_value = self.faster_at_most("bitmap", false);
        if !by_value.is_empty() {
            found.push_str(&format!(
                "- `bitmap`, which returns the answer as a value, is faster than `{WINNER}` where answers cannot be predicted, \
                 nobody branches on them and no lookup waits for the one before: {by_value}.\n"
            ));
        }
        let in_part = self.faster_at_most("bitmap-branch", true);
        if !in_part.is_empty() {
            found.push_str(&format!(
                "- `bitmap-branch`, which has no states, is faster in sections that are valid in part: {in_part}.\n"
            ));
        }
        found
    }

    pub(super) fn limits(&self) -> String {
        format!(
            "## Limits\n\n\
             - One machine, one processor model, user space. No kernel was changed or timed.\n\
             - A module (`scripts/judge/validmap`) keeps the same bytes in real kernels. It fills them by asking `pfn_valid` \
             after each hotplug operation has returned, and then compares both for every page frame. That shows that no \
             answer changes elsewhere; it tests neither the order of publishing nor the places at which a kernel would set a \
             state. The machines of these comparisons have a few GiB. It also counts instructions of both lookups \
             under emulation, and says nothing of time (`results/kernel-judge.md`).\n\
             - `{linux}` is compiled from the headers and runs on tables of this process; its count of preemption is this \
             process's. Kernels with `CONFIG_PREEMPT_COUNT`, as distributions have it for `PREEMPT_DYNAMIC`, count in every \
             lookup; without it, their lookups are shorter and the gain is smaller. That was not measured.\n\
             - `{WINNER}` and `{idea}` are Rust code, inlined into the loop.{model}\n\
             - A lookup alone is timed, in a loop, with tables in the caches unless the cell says cold. In a kernel other \
             work evicts the tables. How much of a workload is `pfn_valid` was not measured.\n\
             - The page of zeroes that a kernel would map below untouched parts of the array was not built in a kernel. Nor \
             was the flush of TLBs when a page of the array is backed. Five-level page tables, where the states take 32 MiB of \
             addresses, were not measured.\n\
             - A walk over every page frame is not shown: since Linux 6.16 `for_each_valid_pfn` asks only at borders of \
             sub-sections, and the comparison here would ask after each page frame.\n\
             {others}\
             - Readers beside a writer are in the report of this run, from one process, and not here.\n",
            linux = self.linux,
            idea = SERIES.0,
            others = self.other_indexes(),
            model = self.model(),
        )
    }
}
