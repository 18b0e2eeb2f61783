//! The command `pfnbench kernel cost`.

use crate::analysis::compare;
use crate::analysis::model_cost::{Cell, Counts, cells};
use crate::case::COMPILED;
use crate::cli::{Answer, Json, margin_percent, print, print_json};
use crate::kernel::release::layout_of;
use crate::present::ratio;
use crate::present::terminal::Grid;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Show how close the cost of the models is to that of their kernels
///
/// Reads runs with a kernel's own code and the layout that models it. A ratio is the time of the
/// model divided by that of the kernel; below 1, the model is faster.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench run --tier quick --layout linux-6.1 --layout subsection --kernel 6.1
  pfnbench kernel cost results/MACHINE/RUN
  pfnbench kernel cost results/MACHINE/RUN -o table.md

Exit codes: 0 nine in ten decided cells are within the margin; 1 fewer are;
2 nothing is decided, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct CostArgs {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Margin in percent, 0.1 to 50: times that differ by less are equal
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = margin_percent)]
    margin: f64,
    /// Write the table as Markdown to this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

impl CostArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut all = Vec::new();
        for path in &self.runs {
            let run = compare::read(path)?;
            all.extend(cells(&run, &pairs(&run), self.margin));
        }
        if all.is_empty() {
            bail!(
                "no run has a kernel's own code beside its model; try pfnbench run --kernel 6.1 --layout linux-6.1 \
                 --layout subsection"
            );
        }
        let counts = Counts::of(&all);
        if self.json.json {
            print_json(
                &json!({ "margin": self.margin, "within": counts.within, "decided": counts.decided, "cells": all }),
            )?;
        } else {
            let mut drawn = Grid::new();
            drawn.set_header(["kernel", "model", "map", "case", "ratio", "verdict"]);
            for cell in &all {
                drawn.add_row(words(cell));
            }
            print(drawn)?;
        }
        let total = format!(
            "{} of {} decided cells are within {:.0} %; {} of {} are undecided.",
            counts.within,
            counts.decided,
            self.margin * 100.0,
            counts.cells - counts.decided,
            counts.cells
        );
        if !self.json.json {
            print(&total)?;
        }
        if let Some(path) = &self.output {
            std::fs::write(path, markdown(&all, &total)).with_context(|| format!("cannot write {}", path.display()))?;
        }
        match counts.suffice() {
            Some(true) => Ok(Answer::Yes),
            Some(false) => Ok(Answer::No),
            None => bail!("no cell is decided; measure in more processes, or on a quieter machine"),
        }
    }
}

/// The kernels of a run, each with the layout that models it, if the run has that too.
fn pairs(run: &compare::Run) -> Vec<(String, String)> {
    let mut ids: Vec<&str> = run.rows.iter().map(|row| row.layout.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let pair = |id: &&str| {
        let model = layout_of(id.strip_prefix(COMPILED)?);
        ids.contains(&model).then(|| ((*id).to_owned(), model.to_owned()))
    };
    ids.iter().filter_map(pair).collect()
}

/// A cell in words.
fn words(cell: &Cell) -> [String; 6] {
    let Cell { kernel, model, map, case, .. } = cell.clone();
    [kernel, model, map, case, ratio::or_dash(cell.ratio, cell.interval_95), cell.verdict.to_string()]
}

fn markdown(cells: &[Cell], total: &str) -> String {
    let mut text =
        "| kernel | model | map | case | ratio | verdict |\n| --- | --- | --- | --- | --- | --- |\n".to_owned();
    for cell in cells {
        text += &format!("| {} |\n", words(cell).join(" | "));
    }
    format!("{text}\n{total}\n")
}
