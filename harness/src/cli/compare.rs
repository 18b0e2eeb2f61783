//! The command `pfnbench compare`.

use super::margin_percent;
use super::{Answer, Json, print, print_json, tell};
use crate::analysis::compare::{self, Compared, Comparison, Run};
use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::Summary;
use crate::analysis::verdicts;
use crate::present::terminal::{Cell, Grid};
use crate::present::{ratio, table};
use crate::units::{percent, signed_time, time};
use anyhow::bail;
use clap::Args;
use comfy_table::Color;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench compare results/MACHINE/RUN                             one run
  pfnbench compare results/MACHINE/RUN --reference vmemmap-section
  pfnbench compare results/MACHINE/BEFORE results/MACHINE/AFTER    two runs

A ratio is the time divided by that of the reference layout, or of the first
run; above 1 is slower.

Exit codes: 0 success, whatever the verdicts; 2 the runs cannot be compared, or
a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct CompareArgs {
    /// Run folder
    run: PathBuf,
    /// Folder of a later run to compare with the first
    after: Option<PathBuf>,
    /// Reference layout when a single run is compared [default: subsection, or the first layout]
    #[arg(long, value_name = "ID", conflicts_with = "after")]
    reference: Option<String>,
    /// Compare the runs even if they are from different machines
    #[arg(long)]
    across_machines: bool,
    /// Margin in percent, 0.1 to 50: times that differ by less are equal
    #[arg(long, value_name = "PERCENT", default_value = "2", value_parser = margin_percent)]
    margin: f64,
    #[command(flatten)]
    json: Json,
}

impl CompareArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let run = compare::read(&self.run)?;
        match &self.after {
            None => self.within(&run),
            Some(after) => self.side_by_side(&run, &compare::read(after)?),
        }
    }

    fn within(&self, run: &Run) -> anyhow::Result<Answer> {
        let summaries = compare::summaries(run, self.reference.as_deref(), Some(self.margin))?;
        let main = &summaries[0].1;
        let reference = &main.reference;
        if self.json.json {
            let means = |summary: &Summary| compare::geometric_means(summary, |_| true).0;
            let others: Vec<_> = summaries[1..]
                .iter()
                .map(|(map, summary)| json!({ "map": map, "summary": summary, "geometric_means": means(summary) }))
                .collect();
            let judged = verdicts::collect(&summaries);
            print_json(&json!({
                "can_judge": judged.can_judge,
                "reasons": judged.reasons,
                "verdicts": judged.verdicts,
                "run": run.name,
                "machine": run.machine,
                "map": run.map(),
                "summary": main,
                "geometric_means": means(main),
                "other_maps": others,
            }))?;
            return Ok(Answer::Yes);
        }
        for (map, summary) in &summaries {
            print(format!("{} on the map {map}", run.name))?;
            print(table::draw(summary))?;
            table::legend(summary).into_iter().try_for_each(print)?;
            let (means, nr) = compare::geometric_means(summary, |_| true);
            if !means.is_empty() {
                let means = ratio::by_layout(&means);
                print(format!(
                    "Geometric mean of the ratios to {reference} over {nr} lookups (above 1 is slower): {means}. \
                     It covers the walk, and the lookups in random order that all layouts offer; each has the same weight."
                ))?;
            }
        }
        Ok(Answer::Yes)
    }

    fn side_by_side(&self, before: &Run, after: &Run) -> anyhow::Result<Answer> {
        if before.machine != after.machine && !self.across_machines {
            bail!(
                "the runs are from different machines ({} and {}), so their times do not compare the code; add \
                 --across-machines to compare them anyway",
                before.machine,
                after.machine
            );
        }
        if before.map() != after.map() {
            let (before, after) = (before.map(), after.map());
            tell(&format!(
                "warning: the runs have different main maps, {before} and {after}, whose cases are not compared"
            ));
        }
        let comparison = compare::compare(before, after, self.margin);
        if comparison.cases.is_empty() {
            bail!(
                "the runs {} and {} share no case: the same lookup, layout, backing and map",
                before.name,
                after.name
            );
        }
        if self.json.json {
            let verdicts: Vec<_> = comparison.cases.iter().map(|compared| record(compared, before, after)).collect();
            let reasons: Vec<String> = why_not(&comparison).into_iter().collect();
            print_json(&json!({
                "can_judge": reasons.is_empty(),
                "reasons": reasons,
                "verdicts": verdicts,
                "before": before.name,
                "after": after.name,
                "comparison": comparison,
            }))?;
            return Ok(Answer::Yes);
        }
        let mut table = Grid::new();
        table.set_header(["case", "layout", "before → after", "ratio", "verdict"]);
        for compared in comparison.by_change() {
            table.add_row(row(compared, after.map()));
        }
        table.right_align(2..4);
        print(table)?;
        print(format!(
            "{} compared with {}. A ratio above 1 is slower; brackets hold its interval, corrected for {} comparisons. \
             Differences of less than {} are negligible.",
            after.name,
            before.name,
            comparison.cases.len(),
            percent(self.margin)
        ))?;
        if !comparison.geometric_means.is_empty() {
            let means = ratio::by_layout(&comparison.geometric_means);
            print(format!("Geometric mean over operations, each with the same weight: {means}."))?;
        }
        if comparison.unshared > 0 {
            print(format!("Cases that only one of the runs has: {}.", comparison.unshared))?;
        }
        if let Some(reason) = why_not(&comparison) {
            print(format!("These runs give no verdict: {reason}"))?;
        }
        let lacks = |compared: &Compared| {
            compared.noise_floor.is_none() || compared.ratio.is_some() && compared.interval.is_none()
        };
        if comparison.cases.iter().any(lacks) {
            print(format!(
                "A verdict needs {PROCESSES_FOR_INTERVAL} processes and a control in each run, as pfnbench run makes without --tier."
            ))?;
        }
        Ok(Answer::Yes)
    }
}

/// Explains why two runs give no verdict; `None` if at least half of the cases are decided.
fn why_not(comparison: &Comparison) -> Option<String> {
    let all = comparison.cases.len();
    let undecided = comparison.cases.iter().filter(|compared| !compared.verdict.is_decided()).count();
    (2 * undecided > all).then(|| {
        format!(
            "{undecided} of {all} cases are undecided. Each run needs a control, {PROCESSES_FOR_INTERVAL} processes and an idle machine."
        )
    })
}

/// The JSON record of a compared case.
fn record(compared: &Compared, before: &Run, after: &Run) -> serde_json::Value {
    let case = &compared.case;
    json!({
        "case": crate::case::on_map(&case.group.name(case.memory), &case.map),
        "layout": case.layout,
        "reference": format!("{} in {}", case.layout, before.name),
        "run": after.name,
        "verdict": compared.verdict,
        "ratio": compared.ratio,
        "difference_ns": compared.difference_ns,
        "interval": compared.interval,
        "noise_floor": compared.noise_floor,
    })
}

fn row(compared: &Compared, main_map: &str) -> Vec<Cell> {
    let (word, colour) = match compared.verdict {
        Verdict::Faster => ("faster", Some(Color::Green)),
        Verdict::Slower => ("slower", Some(Color::Red)),
        Verdict::Equal => ("equal", None),
        Verdict::Undecided => ("undecided", Some(Color::DarkGrey)),
    };
    let case = &compared.case;
    let map = if case.map == main_map { String::new() } else { format!(", {}", case.map) };
    let cells = [
        format!("{}, {}, {}{map}", case.group.label(), case.memory.name(), case.group.pattern),
        case.layout.clone(),
        format!("{} → {}", time(compared.before_ns), time(compared.after_ns)),
        ratio::or_dash(compared.ratio, compared.interval),
    ];
    let mut cells: Vec<Cell> = cells.into_iter().map(Cell::new).collect();
    let verdict = Cell::new(format!("{word} {}", signed_time(compared.difference_ns)));
    cells.push(match colour {
        Some(colour) => verdict.fg(colour),
        None => verdict,
    });
    cells
}
