//! The page "What Linux could gain": Linux as compiled, the idea in Rust, the fastest layout and the
//! bound, cell by cell, in the form of a cover letter. Everything in it that is a number comes from
//! one run.

mod costs;
mod limits;
mod lookups;
mod walks;

use crate::analysis::judge::Verdict;
use crate::analysis::summary::{LINUX, LookupLine, Pair, SERIES, WALKER, WINNER};
use crate::case::{COMPILED, NO_CHECK};
use crate::present::report::MachineReport;
use crate::present::report::markdown::{escaped, table};
use crate::record::examination::Examination;
use crate::units::{interval, ratio, time};
use lookups::Tally;
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

/// How often one time contains the other, with the 95 % interval: `2.83× [2.80, 2.86]`. The loop is in
/// both times, so close to it the figure is a lower bound: `≥ 2.83×`. A verdict is added where it is
/// not "faster".
fn times_faster(pair: Option<Pair>) -> String {
    let Some(pair) = pair else { return "–".to_owned() };
    let Some((whole, ends)) = pair.whole else { return "–".to_owned() };
    let bound = if pair.ratio.is_none() { "≥ " } else { "" };
    let ends = ends.map(|(low, high)| format!(" {}", interval((high.recip(), low.recip())))).unwrap_or_default();
    let verdict = match pair.verdict {
        Verdict::Faster => "",
        Verdict::Slower => " **slower**",
        Verdict::Equal => " equal",
        Verdict::Undecided => " undecided",
    };
    format!("{bound}{}×{ends}{verdict}", ratio(whole.recip()))
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

/// The version of a compiled kernel as numbers, for sorting: 6.12 is after 6.1.
fn version(layout: &str) -> Vec<u32> {
    let version = layout.trim_start_matches(COMPILED);
    version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The page about a machine's newest run.
struct Page<'a> {
    machine: &'a MachineReport,
    /// Linux as compiled: the oldest kernel of the run, or the model.
    linux: String,
    /// The newest kernel of the run, if it is another.
    newest: Option<String>,
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
    let mut kernels: Vec<&String> = layouts.iter().filter(|id| id.starts_with(COMPILED)).collect();
    kernels.sort_by_key(|id| version(id));
    let linux = kernels.first().map(|id| (*id).clone()).or_else(|| has(LINUX.0).then(|| LINUX.0.to_owned()));
    let missing = missing.or(linux.is_none().then_some(LINUX.0));
    if let Some(missing) = missing {
        return Err(GainError::Missing { run: machine.run.name.clone(), missing });
    }
    let newest = kernels.last().filter(|_| kernels.len() > 1).map(|id| (*id).clone());
    let walks = |id: &&String| {
        machine.maps.iter().any(|(_, summary)| walks::walk(summary).is_some_and(|line| ns(line, id).is_some()))
    };
    let walker = kernels.iter().copied().find(walks).cloned();
    let walker = walker.or_else(|| layouts.iter().find(|id| *id == WALKER && walks(id)).cloned());
    Ok(Page { machine, linux: linux.expect("checked above"), newest, walker }.text(command))
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

    /// `WINNER` compared with a layout; `None` if the next query waits for the answer of one and not of
    /// the other.
    fn gain(&self, line: &LookupLine, over: &str) -> Option<Pair> {
        let dependency = |layout| line.cell(layout).and_then(|cell| cell.dependency);
        line.pair(WINNER, over).filter(|_| dependency(WINNER) == dependency(over))
    }

    /// The layouts that the winner is compared with: Linux as compiled, then the idea in Rust.
    fn compared(&self) -> Vec<&str> {
        [Some(self.linux.as_str()), self.newest.as_deref(), Some(SERIES.0)].into_iter().flatten().collect()
    }

    /// One of them in words.
    fn in_words(layout: &str) -> String {
        match layout.strip_prefix(COMPILED) {
            Some(version) => format!("Linux {version}'s own code (`{layout}`)"),
            None if layout == SERIES.0 => format!("the same rules without the kernel's checks (`{layout}`)"),
            None => format!("the model of Linux as compiled (`{layout}`)"),
        }
    }

    /// What the doctor said of the load before and after the run.
    fn load(&self) -> String {
        let known = &self.machine.run.known;
        let load = |doctor: &Option<Examination>| {
            let finding = doctor.as_ref()?.findings.iter().find(|finding| finding.point == "load")?;
            Some(format!("{} ({})", finding.seen, finding.word()))
        };
        match (load(&known.doctor_before), load(&known.doctor_after)) {
            (Some(before), Some(after)) => {
                format!("the load was {before} before and {after} after the run")
            }
            _ => "the load was not recorded".to_owned(),
        }
    }

    fn letter(&self) -> String {
        let score = |over: &str| {
            let (mut whole, mut in_part) = (Tally::default(), Tally::default());
            for cell in self.cells().filter(lookups::Cell::is_resolved) {
                let tally = if cell.is_valid_in_part() { &mut in_part } else { &mut whole };
                if let Some(pair) = self.gain(cell.line, over) {
                    tally.add(pair.verdict, &cell);
                }
            }
            let in_part = if in_part.all() > 0 {
                format!(" In sections that are valid in part: {}.", in_part.in_words())
            } else {
                String::new()
            };
            format!("- Against {}: {}.{in_part}\n", Self::in_words(over), whole.in_words())
        };
        let scores: String = self.compared().into_iter().map(score).collect();
        let run = &self.machine.run;
        let mut described: String = run.known.kernels().map(|(id, kernel)| format!("- `{id}`: {kernel}.\n")).collect();
        if !self.linux.starts_with(COMPILED) {
            described = format!("- `{}`: a model of the code that compilers make of Linux.\n{described}", self.linux);
        }
        format!(
            "# What Linux could gain: one byte a section for `pfn_valid`\n\n\
             `pfn_valid` walks from the root table to the section (128 MiB on x86-64) and, for memory that was added after \
             boot, to its usage object and a bit of the map of its sub-sections (2 MiB). `{WINNER}` keeps beside these \
             tables one byte for each section of the physical address space: nothing is valid, all is, or the bits decide. \
             A lookup compares that byte. In a section that is valid as a whole, or not at all, it takes no RCU read \
             lock and no preemption count, since the array is never freed; in a section that is valid in part it would \
             take today's path. Early, online and taint flags, `pfn_to_online_page`, removal, and validity in units of \
             2 MiB stay as they are. The design is in `impls/validmap.md`.\n\n\
             Lookups of which `{WINNER}` is faster, by cell (a map, a lookup, boot or added memory):\n\n\
             {scores}\n\
             This is a microbenchmark in user space: one run ({} on {}, {}, {} processes), one lookup in a loop; {}. No \
             caller in a kernel was measured. Compaction, page isolation and memory failure mostly ask \
             `pfn_to_online_page`, which gains nothing here, and `zone->contiguous`, where it is set, spares compaction both questions. \
             The cells are not independent evidence: they are few maps and a few forms of the same lookup.\n\n\
             What was measured is `{WINNER}` with all of `impls/validmap.md`: the descriptors hold the map of sub-sections \
             too, and there is no root table. The byte alone, beside today's tables, was not measured. It would give the \
             lookups of sections that are valid as a whole where one page of states (512 GiB) serves them. Here the states \
             lie in pages of 2 MiB where the machine has them, as Linux's tables do in the direct map, but the design maps \
             them by 4 KiB: its TLB misses in the cold and scattered cells were not measured. Sections that are valid in \
             part would take today's lookup and one load more, and would be slower than today.\n\n\
             {described}- `{}`: the idea of the sub-section hotplug series (Linux 5.3) in Rust, with the kernel's loads and \
             without its other checks.\n\
             - `{WINNER}`: the flat index, in Rust.\n\
             - `{NO_CHECK}`: the bound. It answers without looking: yes, and base plus shift for the record.\n\n\
             The kernels' lookups were compiled on the machine of the run, not by their distribution.\n",
            escaped(&run.name),
            escaped(&run.machine),
            escaped(
                &run.known
                    .environment
                    .as_ref()
                    .map_or_else(|| "unknown processor".to_owned(), |found| found.cpu.clone())
            ),
            self.machine.view().main().processes,
            self.load(),
            SERIES.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Dependency, LookupGroup, LookupOp, Memory, Pattern};
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
        assert!(
            page.contains("| pfn\\_valid | added | – | 6.00 ns | 3.00 ns | 1.00 ns | 0.50 ns | -5.00 ns | 6.00×"),
            "{page}"
        );
        assert!(
            page.contains("- Against Linux 6.1's own code (`compiled-6.1`): 2 of 2, equal in 0, slower in none"),
            "{page}"
        );
        // A hole takes 100 lookups of each layout.
        let holes = page.lines().find(|line| line.starts_with("| 1 TiB |")).unwrap();
        for (column, ns) in ["600 ns [", "300 ns [", "100 ns ["].iter().enumerate() {
            assert!(holes.split(" | ").nth(column + 1).unwrap().starts_with(ns), "{holes}");
        }
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
        assert!(line("added").ends_with("| – | – | – |"), "{}", line("added"));
        assert!(line("boot").contains("6.00×"), "{}", line("boot"));
        assert!(page.contains("1 of 1, equal in 0"), "{page}");
    }

    /// A time below the empty loop is no measurement, and near it a ratio is a lower bound.
    #[test]
    fn lookups_within_the_loop_are_not_compared() {
        let layouts = [("linux-6.1", 6.0), ("subsection", 3.0), ("validmap", 1.0), ("control", 3.0)];
        let with_loop = |ns: f64| {
            let mut rows = rows(&layouts);
            let lookup = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
            let floor = Row { metric: "floor".to_owned(), ..row("loop", "", "floor", Some(ns)) };
            rows.push(Row { map: "m".to_owned(), ..floor }.with_lookup(&lookup, Memory::Boot));
            let base = tempfile::tempdir().unwrap();
            let report = report_on(&[folder_of(base.path(), &rows)]);
            page(&report.machines[0], "x").unwrap()
        };
        let below = with_loop(1.5);
        assert!(below.contains("| 1.00 ns | – | within the loop | within the loop | within the loop |"), "{below}");
        assert!(below.contains("(`linux-6.1`): 0 of 0"), "{below}");
        let near = with_loop(0.5);
        assert!(near.contains("| ≥ 6.00×"), "{near}");
        assert!(near.contains("(`linux-6.1`): 2 of 2"), "{near}");
        assert!(with_loop(0.1).contains("| 6.00×"));
    }

    /// The byte decides nothing where sections are valid in part, so such lookups count apart.
    #[test]
    fn sections_that_are_valid_in_part_count_apart() {
        let layouts = [("linux-6.1", 6.0), ("subsection", 3.0), ("validmap", 1.0), ("control", 3.0)];
        let mut rows = rows(&layouts);
        let in_part: Vec<Row> =
            rows.iter().filter(|row| row.map == "m" && row.memory == Some(Memory::Added)).cloned().collect();
        rows.extend(in_part.into_iter().map(|row| Row { map: "holes-2m".to_owned(), ..row }));
        let base = tempfile::tempdir().unwrap();
        let report = report_on(&[folder_of(base.path(), &rows)]);
        let page = page(&report.machines[0], "x").unwrap();
        assert!(page.contains("(`linux-6.1`): 2 of 2, equal in 0, slower in none, undecided in 0. In sections that are valid in part: 1 of 1"), "{page}");
    }

    #[test]
    fn kernels_are_sorted_by_version() {
        let page = page_of(&[
            ("compiled-6.12", 6.0),
            ("subsection", 3.0),
            ("compiled-6.1", 6.0),
            ("validmap", 1.0),
            ("control", 3.0),
        ])
        .unwrap();
        let (older, newer) = (page.find("Linux 6.1's own code").unwrap(), page.find("Linux 6.12's own code").unwrap());
        assert!(older < newer, "{page}");
    }

    #[test]
    fn a_run_without_the_layouts_is_refused_with_the_command_that_has_them() {
        let error = page_of(&[("subsection", 3.0), ("linux-6.1", 2.0)]).unwrap_err().to_string();
        assert!(error.contains("did not measure validmap; try pfnbench run"), "{error}");
    }
}
