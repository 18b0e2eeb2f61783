//! What a run prints: the screen that ends it (winners, trust, the paths, what to type next, and the finding
//! last), or every result.

use super::{Cell, Grid, wrapped};
use crate::analysis::headline::{self, Headline, Kind};
use crate::analysis::summary::Summary;
use crate::analysis::verdicts::Verdicts;
use crate::case::NO_CHECK;
use crate::present::answer::{findings, trust};
use crate::present::bidi::without_controls;
use crate::present::{cover_letter, table};
use comfy_table::Color;
use std::path::Path;

/// The most rows of winners.
const ROWS: usize = 12;

/// The screen is not wider, since longer lines are hard to read.
const WIDEST: usize = 100;

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The memory of each map in words, e.g. `24 GiB of RAM below 25 GiB`.
    pub maps: &'a [String],
    /// The kernels whose compiled lookups took part, in words.
    pub kernels: &'a [String],
    /// Name and summary of each map, the main one first.
    pub summaries: &'a [(String, Summary)],
    /// All verdicts of the run.
    pub verdicts: &'a Verdicts,
    /// What disturbed the run, as a sentence.
    pub interference: Option<&'a str>,
    /// What to do if there is no verdict.
    pub advice: Option<&'a str>,
    /// True if `pfnbench show` finds the run by itself.
    pub is_newest: bool,
    /// The run folder.
    pub run: &'a Path,
    /// True if `pfnbench run --repeat` can repeat the run. Folders of earlier versions lack what it needs.
    pub can_repeat: bool,
    /// Layouts that were left out and cases that failed, as sentences. Empty if the caller prints them.
    pub failed: &'a [String],
    /// The report.
    pub report: Option<&'a Path>,
}

impl Outcome<'_> {
    /// Every result: a table and its legend for each map, what follows from them, and the paths. Prose is
    /// wrapped and tables fold to `columns`, or have the width that they need.
    pub fn every_result(&self, columns: Option<usize>) -> String {
        let mut text = Vec::new();
        for ((map, summary), words) in self.summaries.iter().zip(self.maps) {
            text.push(format!("{map}: {words}"));
            text.push(table::draw(summary).fitted(columns));
            text.extend(table::legend(summary));
        }
        text.extend(self.kernels.iter().cloned());
        text.extend(self.failed.iter().cloned());
        let costs = cover_letter::costs(self.summaries.iter().map(|(map, summary)| (map.as_str(), summary)));
        text.extend(cover_letter::sentences(&costs));
        if self.verdicts.can_judge {
            text.extend(self.interference.map(str::to_owned));
        } else {
            text.push("This run gives no verdict on its headline comparison:".to_owned());
            let known = |text: &str| self.verdicts.reasons.iter().any(|reason| reason == text);
            let interference = self.interference.filter(|interference| !known(interference));
            let reasons = self.verdicts.reasons.iter().map(String::as_str).chain(interference).chain(self.advice);
            text.extend(reasons.map(|reason| format!("  {reason}")));
        }
        let fitted = |line: String| columns.map_or_else(|| vec![line.clone()], |columns| wrapped(&line, columns, 2));
        let mut text: Vec<String> = text.into_iter().flat_map(fitted).collect();
        text.extend(self.paths(columns));
        without_controls(&text.join("\n")).into_owned()
    }

    /// The screen for a terminal of a size. A screen of 80 by 24 is never scrolled, unless paths or
    /// names of layouts are very long.
    pub fn first_screen(&self, columns: usize, rows: usize) -> String {
        let Some((name, main)) = self.summaries.first() else { return String::new() };
        let columns = columns.min(WIDEST);
        let others = self.summaries.len() - 1;
        let others = match others {
            0 => String::new(),
            1 => "; and 1 other map".to_owned(),
            nr => format!("; and {nr} other maps"),
        };
        let map = self.maps.first().map_or("", String::as_str);
        let title = format!("{name}: {map}{others}");
        let mut below = Vec::new();
        let (bound, raced): (Vec<&str>, Vec<&str>) =
            main.layouts.iter().map(String::as_str).partition(|layout| *layout == NO_CHECK);
        let bound = if bound.is_empty() { "" } else { "; no-check is the bound, not a layout" };
        let not_booted = main.bytes.iter().filter(|usage| usage.would_not_boot.is_some());
        let not_booted: Vec<&str> = not_booted.map(|usage| usage.layout.as_str()).collect();
        let not_booted =
            if not_booted.is_empty() { String::new() } else { format!("; would not boot: {}", not_booted.join(", ")) };
        below.extend(wrapped(&format!("Raced: {}{bound}{not_booted}.", raced.join(", ")), columns, 2));
        let trust = trust(main, self.verdicts, self.interference, self.advice);
        below.extend(wrapped(&trust, columns, 2));
        below.extend(self.paths(Some(columns)));
        for failed in self.failed {
            below.extend(wrapped(failed, columns, 2));
        }
        let run = if self.is_newest { "" } else { " RUN" };
        below.extend(wrapped(&format!("next    pfnbench show{run}: every result"), columns, 2));
        for sentence in findings(main) {
            below.extend(wrapped(&sentence, columns, 0));
        }
        let title = wrapped(&title, columns, 2);
        // One line is left for the prompt that follows.
        let lines = |text: &[String]| {
            text.iter().map(|line| line.chars().count().div_ceil(columns.max(1)).max(1)).sum::<usize>()
        };
        let room = rows.saturating_sub(lines(&title) + lines(&below) + 1);
        let winners = winners(&headline::all(main), columns);
        let most = winners.rows.len();
        let table = |nr: usize| {
            let mut text = winners.rows(nr).fitted(Some(columns));
            if nr < most {
                let more = format!("  + {} more in pfnbench show{run}", most - nr);
                text.push_str(&format!("\n{}", wrapped(&more, columns, 2).join("\n")));
            }
            text
        };
        // On a narrow screen a row takes several lines.
        let table = (2..=ROWS.min(most))
            .rev()
            .map(table)
            .find(|table| table.lines().count() <= room)
            .unwrap_or_else(|| table(1));
        let mut screen = title;
        screen.push(table);
        screen.extend(below);
        without_controls(&screen.join("\n")).into_owned()
    }

    /// Where the run and its report are, and how to repeat it. Paths are not wrapped, so that they can be copied.
    fn paths(&self, columns: Option<usize>) -> Vec<String> {
        let mut lines = vec![format!("run     {}", self.run.display())];
        match self.report {
            Some(report) => lines.push(format!("report  {}", report.display())),
            None => {
                let none = "report  none yet: pfnbench report RUN -o report.html";
                lines.extend(wrapped(none, columns.unwrap_or(usize::MAX), 2));
            }
        }
        if !self.can_repeat {
            return lines;
        }
        let repeat = |run: &str| format!("repeat  pfnbench run --repeat {run}").trim_end().to_owned();
        let whole = repeat(&self.run.display().to_string());
        let fits = columns.is_none_or(|columns| whole.chars().count() <= columns);
        // The line above has the path.
        let short = repeat(if self.is_newest { "" } else { "RUN" });
        lines.extend(if fits { vec![whole] } else { wrapped(&short, columns.unwrap_or(usize::MAX), 2) });
        lines
    }
}

/// The rows of winners, in order of importance.
struct Winners {
    columns: usize,
    rows: Vec<[Cell; 4]>,
}

impl Winners {
    fn rows(&self, nr: usize) -> Grid {
        let mut grid = Grid::plain();
        let head: &[&str] = if self.columns < super::NARROWEST { &[] } else { &["", "fastest", "time", "slowest"] };
        grid.set_header(head.iter().copied());
        self.rows.iter().take(nr).for_each(|row| grid.add_row(row.clone()));
        grid
    }
}

/// A headline in few words.
fn short(what: &str) -> String {
    what.replace("added memory", "added")
        .replace("boot memory", "boot")
        .replace("walk over the map (next_valid_pfn), per section", "walk, a section")
        .replace("memory overhead at boot", "memory overhead")
}

/// As many names as fit, then how many more there are.
fn names(layouts: &[String], room: usize) -> String {
    for shown in (1..=layouts.len()).rev() {
        let more = layouts.len() - shown;
        let mut text = layouts[..shown].join(", ");
        if more > 0 {
            text = format!("{text} + {more}");
        }
        if text.chars().count() <= room || shown == 1 {
            return text;
        }
    }
    String::new()
}

fn winners(headlines: &[Headline], columns: usize) -> Winners {
    let is_layout = |layout: &str| layout != NO_CHECK;
    let mut found = Vec::new();
    for headline in headlines {
        let mut headline = headline.clone();
        headline.values.retain(|value| is_layout(&value.layout));
        let ranks = headline.ranks();
        let Some((best, others)) = ranks.split_first() else { continue };
        let value = headline.unit.in_words(best.value);
        let is_undecided = headline.kind == Kind::Judged && headline.is_undecided();
        let last = match others.last() {
            Some(last) => format!("{} +{}", last.layouts[0], headline.unit.in_words(last.more)),
            None if best.layouts.len() == 1 => String::new(),
            None if is_undecided => "none proven slower".to_owned(),
            None => "all equal".to_owned(),
        };
        found.push((short(&headline.what), best.layouts.clone(), value, last, is_undecided, headline.kind));
    }
    let width = |of: &dyn Fn(usize) -> usize| (0..found.len()).map(of).max().unwrap_or(0);
    let others = width(&|nr| found[nr].0.chars().count())
        + width(&|nr| found[nr].2.chars().count()).max(4)
        + width(&|nr| found[nr].3.chars().count()).max(7);
    let room = columns.saturating_sub(others + 8);
    let rows = found.into_iter().map(|(what, layouts, value, last, is_undecided, kind)| {
        let (best, colour) = match (is_undecided, kind) {
            (true, _) => {
                let all = format!("undecided: {}", layouts.join(", "));
                let fits = all.chars().count() <= room;
                (if fits { all } else { format!("undecided among {}", layouts.len()) }, Some(Color::Yellow))
            }
            (false, Kind::Judged) => (names(&layouts, room), Some(Color::Green)),
            (false, Kind::Counted) => (names(&layouts, room), None),
            // No verdict says which is slower.
            (false, Kind::OneProcess) => ("not judged".to_owned(), None),
        };
        let is_proven = last.contains('+');
        let last = if kind == Kind::OneProcess { String::new() } else { last };
        let best = colour.into_iter().fold(Cell::new(best), Cell::fg);
        let last = Cell::new(last);
        let last = if kind == Kind::Judged && is_proven { last.fg(Color::Red) } else { last };
        [Cell::new(what), best, Cell::new(value).right(), last]
    });
    Winners { columns, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::verdicts;
    use crate::case::{CONTROL, LookupGroup, LookupOp, Memory, Pattern};
    use crate::record::row::Row;
    use crate::record::row::tests::row;
    use std::path::PathBuf;

    fn summary() -> Summary {
        let layouts = [
            "flat",
            "segments",
            "sparse",
            "vmemmap-section",
            "subsection",
            "linux-5.2",
            "linux-6.1",
            "validmap",
            "dax-x86",
        ];
        let mut rows = Vec::new();
        for process in 0..7 {
            for (nr, layout) in layouts.iter().copied().chain([CONTROL]).enumerate() {
                let nr = if layout == CONTROL { 4 } else { nr };
                for op in [LookupOp::PfnValid, LookupOp::PfnToPage, LookupOp::PageToPfn, LookupOp::ValidToPage] {
                    for memory in Memory::ALL {
                        let ns = 2.0 + nr as f64 * 0.5 + f64::from(process) * 0.001;
                        let control_of = (layout == CONTROL).then(|| "subsection".to_owned());
                        let timed = Row { process, sample: Some(0), control_of, ..row(layout, "", "time", Some(ns)) };
                        rows.push(timed.with_lookup(&LookupGroup::plain(op, Pattern::Random), memory));
                    }
                }
            }
        }
        for layout in layouts {
            for size in headline::SIZES {
                for op in ["hot_add", "hot_remove"] {
                    rows.push(Row { size_bytes: Some(size), ..row(layout, op, "p50", Some(5000.0)) });
                }
            }
            rows.push(row(layout, "footprint", "index", Some(1.0)));
        }
        Summary::from_rows(&rows)
    }

    #[test]
    fn the_screen_fits_80_by_24_with_the_finding_last() {
        let summaries = vec![("this-machine".to_owned(), summary())];
        let judged = verdicts::collect(&summaries);
        let run = PathBuf::from("results/x86_64-2cpu-24g-935ce8ff/20261130T032845Z-46446f2");
        let report = run.join("report.html");
        let maps = ["24 GiB of RAM below 25 GiB".to_owned()];
        let outcome = Outcome {
            maps: &maps,
            kernels: &[],
            summaries: &summaries,
            verdicts: &judged,
            interference: Some(
                "Other programs used 59 % of the processor time; the hypervisor withheld 0 % (steal time).",
            ),
            advice: None,
            is_newest: true,
            run: &run,
            failed: &[],
            report: Some(&report),
            can_repeat: true,
        };
        for columns in [80, 100, 120, 200] {
            let text = outcome.first_screen(columns, 24);
            assert!(text.lines().count() < 24, "{}:\n{text}", text.lines().count());
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}:\n{text}");
            for layout in &summaries[0].1.layouts {
                assert!(text.contains(layout.as_str()), "{layout}:\n{text}");
            }
            let last = text.lines().last().unwrap();
            assert!(last.ends_with(")."), "{last}");
            assert!(
                text.replace('\n', " ")
                    .contains("against without (linux-5.2): 1.11× slower on added memory (5.00 ns instead of 4.50 ns)"),
                "{text}"
            );
        }
        assert!(outcome.first_screen(100, 24).contains(&format!("repeat  pfnbench run --repeat {}", run.display())));
        assert!(outcome.first_screen(80, 24).contains("repeat  pfnbench run --repeat\n"));
        for columns in 1..80 {
            assert!(!outcome.first_screen(columns, 24).is_empty());
        }
    }
}
