//! The page "What Linux could gain": Linux as compiled, the idea in Rust, the fastest layout and the
//! bound, cell by cell, in the form of a cover letter. Everything in it that is a number comes from
//! one run.

use crate::analysis::judge::Verdict;
use crate::analysis::summary::{LINUX, LookupLine, Pair, SERIES, Summary, WALKER, WINNER};
use crate::case::{COMPILED, LookupGroup, LookupOp, Memory, NO_CHECK, Pattern, Population};
use crate::map::builtin;
use crate::present::report::MachineReport;
use crate::present::report::markdown::{escaped, table};
use crate::units::{bytes, interval, ratio, time};
use memmap_layouts::{Geometry, X86_64};
use std::collections::BTreeMap;
use thiserror::Error;

/// Why the page cannot be made.
#[derive(Debug, Error)]
pub enum GainError {
    /// The run did not measure the layouts that are compared.
    #[error("run {run} did not measure {missing}; try pfnbench run --kernel 6.1 --layout {} --layout {WINNER}", SERIES.0)]
    Missing {
        /// Name of the run.
        run: String,
        /// The layout that is missing.
        missing: &'static str,
    },
}

/// A map with holes that was walked: section runs that were added, and the holes between them.
struct Holes {
    runs: u64,
    sections: u64,
    subsections: u64,
    hole_bytes: u64,
}

impl Holes {
    /// The holes of a built-in map without boot memory; `None` for any other map.
    fn of_map(map: &str) -> Option<Self> {
        let map = builtin::by_name(map)?;
        let added = map.added_ram();
        let [first, second, ..] = added[..] else { return None };
        if map.ram_bytes() > 0 {
            return None;
        }
        let mut sections: Vec<u64> = added
            .iter()
            .flat_map(|run| X86_64::section_nr(run.start())..X86_64::section_nr(run.end() - 1) + 1)
            .collect();
        sections.dedup();
        Some(Self {
            runs: added.len() as u64,
            sections: sections.len() as u64,
            subsections: added.iter().map(|run| run.nr_pages() >> X86_64::PFN_SUBSECTION_SHIFT).sum(),
            hole_bytes: (second.start() - first.end()) << X86_64::PAGE_SHIFT,
        })
    }
}

/// How often a verdict was reached.
#[derive(Default)]
struct Tally {
    faster: u32,
    equal: u32,
    slower: Vec<String>,
    undecided: u32,
}

impl Tally {
    fn add(&mut self, verdict: Verdict, cell: impl FnOnce() -> String) {
        match verdict {
            Verdict::Faster => self.faster += 1,
            Verdict::Slower => self.slower.push(cell()),
            Verdict::Equal => self.equal += 1,
            Verdict::Undecided => self.undecided += 1,
        }
    }

    fn in_words(&self, than: &str) -> String {
        let all = self.faster + self.equal + self.slower.len() as u32 + self.undecided;
        let slower = match &self.slower[..] {
            [] => "slower in none".to_owned(),
            cells => format!("slower in {}: {}", cells.len(), cells.join("; ")),
        };
        format!(
            "Of {all} cells, `{WINNER}` is faster than {than} in {}, equal in {}, {slower}, and {} are undecided.",
            self.faster, self.equal, self.undecided
        )
    }
}

/// How often one time contains the other, with the 95 % interval: `2.83× [2.80, 2.86]`.
fn times_faster(pair: Option<Pair>) -> String {
    let Some((whole, ends)) = pair.and_then(|pair| pair.whole) else { return "–".to_owned() };
    let ends = ends.map(|(low, high)| format!(" {}", interval((high.recip(), low.recip())))).unwrap_or_default();
    format!("{}×{ends}", ratio(whole.recip()))
}

fn verdict(pair: Option<Pair>) -> &'static str {
    match pair.map(|pair| pair.verdict) {
        Some(Verdict::Faster) => "faster",
        Some(Verdict::Slower) => "**slower**",
        Some(Verdict::Equal) => "equal",
        Some(Verdict::Undecided) => "undecided",
        None => "–",
    }
}

fn ns(line: &LookupLine, layout: &str) -> Option<f64> {
    line.cell(layout)?.median_ns
}

fn ns_in_words(line: &LookupLine, layout: &str) -> String {
    ns(line, layout).map_or_else(|| "–".to_owned(), time)
}

/// A table of plain text.
fn plain_table(head: &[&str], lines: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| escaped(cell)).collect();
    table(&head, lines)
}

/// The page about a machine's newest run.
struct Page<'a> {
    machine: &'a MachineReport,
    /// Linux as compiled: a kernel of the run, or the model.
    linux: String,
    /// Linux with a walk over valid page frames, if the run has one.
    walker: Option<String>,
}

/// Makes the page, in Markdown.
///
/// # Errors
/// The run lacks a layout.
pub fn page(machine: &MachineReport, command: &str) -> Result<String, GainError> {
    let layouts = machine.view().layouts();
    let has = |id: &str| layouts.iter().any(|layout| layout == id);
    let missing = [WINNER, SERIES.0].into_iter().find(|id| !has(id));
    let first_kernel = layouts.iter().find(|id| id.starts_with(COMPILED)).cloned();
    let linux = first_kernel.or_else(|| has(LINUX.0).then(|| LINUX.0.to_owned()));
    let missing = missing.or(linux.is_none().then_some(LINUX.0));
    if let Some(missing) = missing {
        return Err(GainError::Missing { run: machine.run.name.clone(), missing });
    }
    let walks =
        |id: &&String| machine.maps.iter().any(|(_, summary)| walk(summary).is_some_and(|line| ns(line, id).is_some()));
    let walker = layouts.iter().filter(|id| id.starts_with(COMPILED)).find(walks).cloned();
    let walker = walker.or_else(|| layouts.iter().find(|id| *id == WALKER && walks(id)).cloned());
    Ok(Page { machine, linux: linux.expect("checked above"), walker }.text(command))
}

/// The walk of a summary over added memory.
fn walk(summary: &Summary) -> Option<&LookupLine> {
    summary.lookup(LookupGroup::plain(LookupOp::NextValidPfn, Pattern::Sequential), Memory::Added)
}

impl Page<'_> {
    fn text(&self, command: &str) -> String {
        let sections = [
            self.letter(),
            self.lookups(),
            self.walks(),
            self.contiguous(),
            self.instructions(),
            self.memory(),
            self.hotplug(),
            self.limits(),
            format!("## How this page was made\n\n```console\n$ {command}\n```\n"),
        ];
        sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// The lines of the table of lookups, with their maps.
    fn cells(&self) -> impl Iterator<Item = (&str, &LookupLine)> {
        self.machine.maps.iter().flat_map(|(map, summary)| {
            let is_shown = |line: &&LookupLine| {
                let is_lookup = matches!(line.group.op, LookupOp::PfnValid | LookupOp::ValidToPage);
                is_lookup && line.group.population == Population::Common && ns(line, WINNER).is_some()
            };
            summary.lookups.iter().filter(is_shown).map(move |line| (map.as_str(), line))
        })
    }

    /// `WINNER` compared with a layout; `None` if the next query waits for the answer of one and not of
    /// the other.
    fn gain(&self, line: &LookupLine, over: &str) -> Option<Pair> {
        let dependency = |layout| line.cell(layout).and_then(|cell| cell.dependency);
        line.pair(WINNER, over).filter(|_| dependency(WINNER) == dependency(over))
    }

    /// Linux as compiled, in words.
    fn linux_in_words(&self) -> String {
        match self.linux.strip_prefix(COMPILED) {
            Some(version) => format!("Linux {version}'s own code (`{}`)", self.linux),
            None => format!("the model of Linux as compiled (`{}`)", self.linux),
        }
    }

    fn letter(&self) -> String {
        let (mut over_linux, mut over_idea) = (Tally::default(), Tally::default());
        for (map, line) in self.cells() {
            let cell = || format!("{} of {} memory on {map}", line.group.label(), line.memory.name());
            for (tally, over) in [(&mut over_linux, self.linux.as_str()), (&mut over_idea, SERIES.0)] {
                if let Some(pair) = self.gain(line, over) {
                    tally.add(pair.verdict, cell);
                }
            }
        }
        let run = &self.machine.run;
        let kernels = run.known.layouts.iter().filter_map(|layout| Some((&layout.id, layout.kernel.as_ref()?)));
        let mut kernels: String = kernels.map(|(id, kernel)| format!("- `{id}`: {kernel}.\n")).collect();
        if !self.linux.starts_with(COMPILED) {
            kernels = format!("- `{}`: a model of the code that compilers make of Linux.\n{kernels}", self.linux);
        }
        format!(
            "# What Linux could gain: one byte a section for `pfn_valid`\n\n\
             `pfn_valid` walks from the root table to the section and, for memory that was added, to its usage object and a \
             bit of the sub-section map. `{WINNER}` keeps beside these tables one byte for each section of the physical address space: nothing \
             is valid, all is, or the bits decide. A lookup compares that byte. The array is never freed, so a lookup \
             needs no RCU read lock and no preemption count. Early, online and taint flags, `pfn_to_online_page`, \
             removal, and validity in units of 2 MiB stay as they are. The design is in `impls/validmap.md`.\n\n\
             {}\n{}\n\n\
             Compared in user space, in one run ({} on {}, {} processes), as `impls/validmap.md` has it in full: the \
             descriptors hold the map too and there is no root table. The byte alone, beside today's tables, gives the \
             lookups of sections that are valid as a whole, and neither the figures of sections that are valid in part, nor \
             the walks, nor the bytes.\n\n\
             {kernels}- `{}`: the idea of the series in Rust, with the kernel's loads and without its other checks.\n\
             - `{WINNER}`: the flat index, in Rust.\n- `{NO_CHECK}`: base plus shift, the bound.\n",
            over_linux.in_words(&self.linux_in_words()),
            over_idea.in_words(&format!("the same rules without the kernel's checks (`{}`)", SERIES.0)),
            escaped(&run.name),
            escaped(&run.machine),
            self.machine.view().main().processes,
            SERIES.0,
        )
    }

    fn lookups(&self) -> String {
        let head = [
            "map",
            "lookup",
            "memory",
            &self.linux,
            SERIES.0,
            WINNER,
            NO_CHECK,
            &format!("times faster than {}", self.linux),
            "verdict",
            &format!("times faster than {}", SERIES.0),
            "verdict",
        ];
        let line = |(map, line): (&str, &LookupLine)| {
            let (over_linux, over_idea) = (self.gain(line, &self.linux), self.gain(line, SERIES.0));
            vec![
                escaped(map),
                escaped(&line.group.label()),
                line.memory.name().to_owned(),
                ns_in_words(line, &self.linux),
                ns_in_words(line, SERIES.0),
                ns_in_words(line, WINNER),
                ns_in_words(line, NO_CHECK),
                times_faster(over_linux),
                verdict(over_linux).to_owned(),
                times_faster(over_idea),
                verdict(over_idea).to_owned(),
            ]
        };
        let lines: Vec<Vec<String>> = self.cells().map(line).collect();
        let floors: Vec<f64> = self.cells().filter_map(|(_, line)| line.floor_ns).collect();
        let floor = floors.iter().copied().reduce(f64::min).zip(floors.iter().copied().reduce(f64::max));
        let floor = floor.map_or_else(String::new, |(least, most)| {
            format!(
                " The loop around a lookup takes {} to {} by itself and overlaps with it, so times hold part of the loop.",
                time(least),
                time(most),
            )
        });
        format!(
            "## Lookups\n\nTimes are medians over processes of each one's lower quartile, for a lookup. Brackets hold the 95 % interval of this ratio \
             alone; a verdict holds for all cells together, against the noise floor and a margin of {} %.{floor} In \
             chained `pfn_valid` the next query waits for the answer where it is data, and for nothing where it is a \
             predicted branch: such times are compared only if both are of one kind, and have no ratio otherwise. There is no \
             bound where invalid page frames are asked for.\n\n{}",
            self.machine.view().main().margin * 100.0,
            plain_table(&head, &lines)
        )
    }

    /// The walk over memory without holes, per sub-section, by layout.
    fn dense(&self, layout: &str) -> Option<f64> {
        let summary = self.machine.maps.iter().find(|(map, _)| map == "added-512g")?;
        Some(ns(walk(&summary.1)?, layout)? / f64::from(X86_64::SUBSECTIONS_PER_SECTION))
    }

    fn walks(&self) -> String {
        let layouts: Vec<&str> = self.walker.iter().map(String::as_str).chain([SERIES.0, WINNER]).collect();
        let mut lines: Vec<(u64, Vec<String>)> = Vec::new();
        for (map, summary) in &self.machine.maps {
            let (Some(holes), Some(line)) = (Holes::of_map(map), walk(summary)) else { continue };
            let hole = |layout: &str| {
                let all = ns(line, layout)? * holes.sections as f64;
                Some((all - self.dense(layout)? * holes.subsections as f64) / (holes.runs - 1) as f64)
            };
            let pair = self.walker.as_deref().and_then(|walker| self.gain(line, walker));
            let pair = pair.or_else(|| self.gain(line, SERIES.0));
            let cells = layouts.iter().map(|layout| hole(layout).map_or_else(|| "–".to_owned(), time));
            let mut cells: Vec<String> = std::iter::once(bytes(holes.hole_bytes as f64)).chain(cells).collect();
            cells.extend([times_faster(pair), verdict(pair).to_owned()]);
            lines.push((holes.hole_bytes, cells));
        }
        if lines.is_empty() {
            return String::new();
        }
        lines.sort_by_key(|(hole, _)| *hole);
        let dense = |layout: &&str| Some(format!("`{layout}` {}", time(self.dense(layout)?)));
        let dense: Vec<String> = layouts.iter().filter_map(dense).collect();
        let over = self.walker.as_deref().unwrap_or(SERIES.0);
        let whole = format!("whole walk, times faster than {over}");
        let head: Vec<&str> =
            std::iter::once("hole").chain(layouts.iter().copied()).chain([whole.as_str(), "verdict"]).collect();
        let lines: Vec<Vec<String>> = lines.into_iter().map(|(_, cells)| cells).collect();
        format!(
            "## Walks\n\nTime of one hole in a walk that visits one page frame of each valid sub-section by `next_valid_pfn`: \
             the whole walk, less the same visits on memory without holes ({} a \
             sub-section), divided by the number of holes. The memory was added; with holes of 2 MiB its sections are \
             valid in part. The ratio is of the whole walk, visits included.\n\n{}",
            dense.join(", "),
            plain_table(&head, &lines)
        )
    }

    fn contiguous(&self) -> String {
        let ops = [LookupOp::WalkEveryPfn, LookupOp::ScanPageblocks, LookupOp::IsContiguous];
        let mut lines = Vec::new();
        for (map, summary) in &self.machine.maps {
            for op in ops {
                let group = LookupGroup::plain(op, Pattern::Sequential);
                let Some(line) = summary.lookup(group, Memory::Added) else { continue };
                let what = match op {
                    LookupOp::WalkEveryPfn => "walk over every page frame, per section",
                    LookupOp::ScanPageblocks => "scan at pageblock stride, per section",
                    _ => "is all of it valid, per answer",
                };
                lines.push(vec![
                    escaped(map),
                    what.to_owned(),
                    ns_in_words(line, SERIES.0),
                    ns_in_words(line, WINNER),
                    verdict(self.gain(line, SERIES.0)).to_owned(),
                ]);
            }
        }
        if lines.is_empty() {
            return String::new();
        }
        let head = ["map", "what", SERIES.0, WINNER, "verdict"];
        format!(
            "## Is all of a range valid?\n\nThis is a part of what `set_zone_contiguous` checks when memory goes online or offline: \
             it scans the zone at pageblock stride, once, with the online state and the zone of both ends of each block. \
             Later questions read a flag. Here the scan asks for validity alone. `{}` answers by the same scan, `{WINNER}` \
             by its summaries; neither looks at zones. No kernel's code takes part.\n\n{}",
            SERIES.0,
            plain_table(&head, &lines)
        )
    }

    fn instructions(&self) -> String {
        let rows = &self.machine.run.instructions;
        let layouts: Vec<&str> = [self.linux.as_str(), SERIES.0, WINNER]
            .into_iter()
            .filter(|layout| rows.iter().any(|row| row.layout == *layout))
            .collect();
        if !layouts.contains(&WINNER) {
            return String::new();
        }
        let mut cases: BTreeMap<(String, String), BTreeMap<&str, f64>> = BTreeMap::new();
        for row in rows.iter().filter(|row| layouts.contains(&row.layout.as_str())) {
            let memory = row.memory.map_or_else(String::new, |memory| memory.name().to_owned());
            if LookupOp::COUNTED.iter().any(|op| op.name() == row.op) {
                cases.entry((row.op.clone(), memory)).or_default().insert(&row.layout, row.value);
            }
        }
        let line = |((op, memory), counts): ((String, String), BTreeMap<&str, f64>)| {
            let count = |layout: &&str| counts.get(layout).map_or_else(|| "–".to_owned(), f64::to_string);
            [op, memory].into_iter().chain(layouts.iter().map(count)).collect::<Vec<String>>()
        };
        let lines: Vec<Vec<String>> = cases.into_iter().map(line).collect();
        let head: Vec<&str> = ["lookup", "memory"].into_iter().chain(layouts.iter().copied()).collect();
        format!(
            "## Instructions\n\nInstructions of a lookup as a function of its own, counted by callgrind, without those of an \
             empty function. A kernel without the lookup has none.\n\n{}",
            plain_table(&head, &lines)
        )
    }

    fn memory(&self) -> String {
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
        let head = ["map", "when", SERIES.0, WINNER, "times smaller", &huge[0], &huge[1]];
        format!(
            "## Memory\n\nBytes of the index: root table, descriptors and usage objects of `{}`, as in Linux; states, descriptors with \
             bits, summaries and usage objects of `{WINNER}`, in whole pages. Huge pages are whole ones that back \
             tables, as the kernel reports them, and a layout may fill only part of one.\n\n{}",
            SERIES.0,
            plain_table(&head, &lines)
        )
    }

    fn hotplug(&self) -> String {
        let summary = self.machine.view().main();
        let mut lines = Vec::new();
        for line in summary.hotplug.iter().filter(|line| line.group.is_plain()) {
            let (Some(idea), Some(winner)) = (line.ns(SERIES.0, "p50"), line.ns(WINNER, "p50")) else { continue };
            lines.push(vec![
                line.op.replace('_', "-"),
                bytes(line.group.size_bytes as f64),
                time(idea),
                time(winner),
                format!("{}×", ratio(idea / winner)),
            ]);
        }
        if lines.is_empty() {
            return String::new();
        }
        let head = ["operation", "size", SERIES.0, WINNER, "times faster"];
        format!(
            "## Hotplug\n\nMedians of one process, without a verdict. Most of an \
             addition is the memory of the records.\n\n{}",
            plain_table(&head, &lines)
        )
    }

    fn limits(&self) -> String {
        format!(
            "## Limits\n\n\
             - This is user space on one machine and one processor model. No kernel was changed or timed. A module \
             (`scripts/judge/validmap`) keeps the same bytes in real kernels, compares them with `pfn_valid` for every page \
             frame, and counts instructions of both lookups under emulation (`results/kernel-judge.md`); it says nothing of \
             time.\n\
             - `{}` is compiled from the headers and runs on tables of this process; its count of preemption is this \
             process's. `{WINNER}` and `{}` are Rust code, inlined into the loop. Part of a gain over the kernel's code is \
             the compiler's and the loop's: the column `{}` shows how much.\n\
             - A lookup alone is timed, in a loop, with tables in the caches unless the cell says cold. In a kernel other \
             work evicts the tables. How much of a workload is `pfn_valid` was not measured.\n\
             - The page of zeroes that a kernel would map below untouched parts of the array was not built in a kernel. \
             Nor was the flush of \
             TLBs when a page of the array is backed. Five-level page tables, where the states take 32 MiB of addresses, \
             were not measured.\n\
             - The machine is a virtual one of two processors, and other programs may have run beside it: slices that were \
             disturbed are repeated, and the manifest has what was seen before and after.\n\
             - `{}` counts preemption if its configuration does; where it does not, the kernel's lookups are shorter.\n\
             - The other flat indexes of the run are in its report. `bitmap`, which returns the answer as a value, is faster \
             than `{WINNER}` where answers cannot be predicted and nobody branches on them.\n\
             - Readers beside a writer are in the report of a full run, not here.\n",
            self.linux, SERIES.0, SERIES.0, self.linux
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Dependency;
    use crate::present::report::tests::{folder_of, report_on};
    use crate::record::row::Row;
    use crate::record::row::tests::row;

    /// Rows of a run on this machine's map and on maps with holes; times of `validmap` are a third.
    fn rows(layouts: &[(&str, f64)]) -> Vec<Row> {
        let mut rows = Vec::new();
        for process in 0..5 {
            let jitter = 0.998 + 0.001 * f64::from(process);
            for (layout, ns) in layouts {
                let lookup = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
                let timed = |map: &str, ns: f64| Row {
                    process,
                    sample: Some(0),
                    map: map.to_owned(),
                    ..row(layout, "", "time", Some(ns * jitter))
                };
                for memory in Memory::ALL {
                    rows.push(timed("m", *ns).with_lookup(&lookup, memory));
                }
                let walk = LookupGroup::plain(LookupOp::NextValidPfn, Pattern::Sequential);
                rows.push(timed("added-512g", 64.0 * ns).with_lookup(&walk, Memory::Added));
                // 64 visits, and a hole of 100 times the lookup.
                rows.push(timed("holes-1t", 64.0 * ns + 100.0 * ns * 47.0 / 48.0).with_lookup(&walk, Memory::Added));
            }
        }
        rows
    }

    fn page_of(layouts: &[(&str, f64)]) -> Result<String, GainError> {
        let base = tempfile::tempdir().unwrap();
        let report = report_on(&[folder_of(base.path(), &rows(layouts))]);
        page(&report.machines[0], "pfnbench report r --page gain -o gain.md")
    }

    #[test]
    fn every_figure_of_the_page_comes_from_the_run() {
        let page = page_of(&[
            ("compiled-6.1", 6.0),
            ("subsection", 3.0),
            ("validmap", 1.0),
            ("no-check", 0.5),
            ("control", 3.0),
        ])
        .unwrap();
        assert!(page.contains("| m | pfn\\_valid | added | 6.00 ns | 3.00 ns | 1.00 ns | 0.50 ns | 6.00×"), "{page}");
        assert!(
            page.contains("Of 2 cells, `validmap` is faster than Linux 6.1's own code (`compiled-6.1`) in 2"),
            "{page}"
        );
        // A hole takes 100 lookups of each layout.
        assert!(page.contains("| 1 TiB | 600 ns | 300 ns | 100 ns |"), "{page}");
        assert!(page.contains("$ pfnbench report r --page gain -o gain.md"));
        assert!(
            !page.contains("## Instructions") && !page.contains("## Memory"),
            "what was not measured has no section"
        );
    }

    #[test]
    fn a_slower_cell_is_named() {
        let page = page_of(&[("linux-6.1", 6.0), ("subsection", 3.0), ("validmap", 4.0), ("control", 3.0)]).unwrap();
        assert!(page.contains("slower in 2: pfn_valid of boot memory on m; pfn_valid of added memory on m"), "{page}");
        assert!(page.contains("**slower**") && page.contains("the model of Linux as compiled (`linux-6.1`)"), "{page}");
    }

    /// A chained lookup whose answer is data and one whose answer is a branch are not compared.
    #[test]
    fn lookups_of_different_dependency_have_no_ratio() {
        let layouts = [("linux-6.1", 6.0), ("subsection", 3.0), ("validmap", 1.0), ("control", 3.0)];
        let mut rows = rows(&layouts);
        for row in rows.iter_mut().filter(|row| row.map == "m" && row.memory == Some(Memory::Added)) {
            let kind = if row.layout == "validmap" { Dependency::Branch } else { Dependency::Mixed };
            row.dependency = Some(kind);
        }
        let base = tempfile::tempdir().unwrap();
        let report = report_on(&[folder_of(base.path(), &rows)]);
        let page = page(&report.machines[0], "x").unwrap();
        let line =
            |memory: &str| page.lines().find(|line| line.contains(&format!("pfn\\_valid | {memory} |"))).unwrap();
        assert!(line("added").ends_with("| – | – | – | – |"), "{}", line("added"));
        assert!(line("boot").contains("faster"), "{}", line("boot"));
        assert!(page.contains("Of 1 cells"), "{page}");
    }

    #[test]
    fn a_run_without_the_layouts_is_refused_with_the_command_that_has_them() {
        let error = page_of(&[("subsection", 3.0), ("linux-6.1", 2.0)]).unwrap_err().to_string();
        assert!(error.contains("did not measure validmap; try pfnbench run"), "{error}");
    }
}
