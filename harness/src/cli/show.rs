//! The command `pfnbench show`.

use super::run::failure_in_words;
use super::{Answer, margin_percent, print_raw};
use crate::analysis::compare;
use crate::analysis::verdicts;
use crate::present::terminal::outcome::Outcome;
use crate::present::terminal::{columns, pager, screen};
use crate::record::default_results::{default_results, newest};
use crate::record::files::SCHEDULE;
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench show                                     the newest run
  pfnbench show results/MACHINE/RUN
  pfnbench show --summary                           what the run printed
  pfnbench show --reference vmemmap-section
  PAGER= pfnbench show                              without a pager
  pfnbench compare results/MACHINE/RUN --json       the same for programs

Tables fold to the width of the terminal. Without a terminal, they have the
width that they need; COLUMNS limits it.

Exit codes: 0 success; 2 there is no such run, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ShowArgs {
    /// Run folder. Default: the newest one below results, or below
    /// ~/.local/share/pfnbench/results
    run: Option<PathBuf>,
    /// Layout that the ratios refer to [default: subsection, or the first layout]
    #[arg(long, value_name = "ID")]
    reference: Option<String>,
    /// Print the summary that ends a run
    #[arg(long)]
    summary: bool,
    /// Margin in percent, 0.1 to 50: times that differ by less are equal [default: that of the run]
    #[arg(long, value_name = "PERCENT", value_parser = margin_percent)]
    margin: Option<f64>,
}

impl ShowArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let folder = self.run.clone().map_or_else(newest_run, Ok)?;
        let run = compare::read(&folder)?;
        let summaries = compare::summaries(&run, self.reference.as_deref(), self.margin)?;
        let report = folder.join("report.html");
        let failed: Vec<String> = run.failed().map(failure_in_words).collect();
        let outcome = Outcome {
            maps: &run.maps_in_words,
            kernels: &run.kernels,
            summaries: &summaries,
            verdicts: &verdicts::collect(&summaries),
            interference: run.interference.as_deref(),
            advice: None,
            failed: &failed,
            is_newest: is_newest(&folder),
            run: &folder,
            can_repeat: folder.join(SCHEDULE).is_file(),
            report: report.exists().then_some(report.as_path()),
        };
        if self.summary {
            let (columns, rows) = screen();
            print_raw(outcome.first_screen(columns, rows))?;
        } else {
            pager::print(&outcome.every_result(columns())).context("cannot write to standard output")?;
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

/// Whether `pfnbench show` finds this run by itself.
pub(super) fn is_newest(run: &Path) -> bool {
    newest_run().is_ok_and(|newest| newest == run)
}
