//! The command `pfnbench show`.

use super::{Answer, margin_percent, print_raw};
use crate::analysis::compare;
use crate::analysis::summary::Summary;
use crate::analysis::verdicts::{self, Verdicts};
use crate::case::REFERENCE;
use crate::present::terminal::first_screen::FirstScreen;
use crate::present::terminal::{pager, prose, screen};
use crate::present::{cover_letter, table};
use crate::record::default_results::{default_results, newest};
use anyhow::Context;
use clap::Args;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench show                                     the newest run
  pfnbench show results/MACHINE/RUN
  pfnbench show --summary                           what the run printed
  pfnbench show --reference vmemmap-section
  PAGER= pfnbench show                              without a pager

Tables fold to the width of the terminal. Without a terminal, they have the
width that they need; COLUMNS limits it.

Exit codes: 0 success; 2 there is no such run, or a usage error.")]
pub(super) struct ShowArgs {
    /// Run folder. Default: the newest one below results, or below
    /// ~/.local/share/pfnbench/results
    run: Option<PathBuf>,
    /// Layout that the ratios refer to
    #[arg(long, value_name = "ID", default_value = REFERENCE)]
    reference: String,
    /// Print the summary that ends a run
    #[arg(long)]
    summary: bool,
    /// Margin in percent, 0.1 to 50: times that differ by less are equal
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = margin_percent)]
    margin: f64,
}

impl ShowArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let folder = self.run.clone().map_or_else(newest_run, Ok)?;
        let run = compare::read(&folder)?;
        let summaries = compare::summaries(&run, &self.reference, self.margin)?;
        let verdicts = verdicts::collect(&summaries);
        if self.summary {
            let (columns, rows) = screen();
            let report = folder.join("report.html");
            let is_default = newest_run().is_ok_and(|newest| newest == folder);
            let next = next(is_default);
            let first = FirstScreen {
                map: &run.map_in_words,
                summaries: &summaries,
                verdicts: &verdicts,
                interference: None,
                advice: None,
                next,
                run: &folder,
                report: report.exists().then_some(report.as_path()),
            };
            print_raw(first.fitted(columns, rows))?;
        } else {
            let text = format!("{}\n{}", folder.display(), all_results(&summaries, &verdicts, None));
            pager::print(&text).context("cannot write to standard output")?;
        }
        Ok(Answer::Yes)
    }
}

/// The newest run in the folders that runs are written to by default.
pub(super) fn newest_run() -> anyhow::Result<PathBuf> {
    let folders = default_results();
    newest(&folders).with_context(|| {
        let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("there is no run below {}; make one with pfnbench run, or name its folder", folders.join(" or "))
    })
}

/// What to type after a run.
pub(super) fn next(is_newest: bool) -> &'static str {
    match is_newest {
        true => "pfnbench show, for every result; or open the report",
        false => "pfnbench show RUN, for every result; or open the report",
    }
}

/// Every result: a table and its legend for each map, and what follows from them.
pub(super) fn all_results(summaries: &[(String, Summary)], verdicts: &Verdicts, interference: Option<&str>) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        writeln!(text, "{}", prose(line)).expect("a string grows");
    };
    for (map, summary) in summaries {
        line(&format!("Map {map}"));
        line(&table::draw(summary).to_string());
        table::legend(summary).iter().for_each(|note| line(note));
    }
    let costs = cover_letter::costs(summaries.iter().map(|(map, summary)| (map.as_str(), summary)));
    cover_letter::sentences(&costs).iter().for_each(|sentence| line(sentence));
    if verdicts.can_judge {
        interference.into_iter().for_each(line);
    } else {
        line("This run gives no verdict on its headline comparison:");
        verdicts.reasons.iter().for_each(|reason| line(&format!("  {reason}")));
    }
    text.trim_end().to_owned()
}
