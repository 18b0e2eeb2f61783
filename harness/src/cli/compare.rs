//! `pfnbench compare`.

use super::{Answer, Json, print, print_json};
use crate::compare::{self, Compared, Run, Verdict};
use crate::statistics::{PROCESSES_FOR_INTERVAL, interval_in_words};
use crate::summary::Summary;
use crate::table;
use crate::units::{three_digits, time};
use anyhow::bail;
use clap::Args;
use comfy_table::Color;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench compare results/MACHINE/RUN --reference vmemmap-section    layouts of a run
  pfnbench compare results/MACHINE/BEFORE results/MACHINE/AFTER       two runs")]
pub(super) struct CompareArgs {
    /// Folder of a run.
    run: PathBuf,
    /// Folder of another run, made later.
    after: Option<PathBuf>,
    /// Layout that the others are compared with, within a run.
    #[arg(long, value_name = "ID", conflicts_with = "after")]
    reference: Option<String>,
    /// Compare runs of different machines all the same.
    #[arg(long)]
    across_machines: bool,
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
        let reference = self.reference.as_deref().unwrap_or(crate::race::REFERENCE);
        let summaries: Vec<(&String, Summary)> =
            run.maps.iter().map(|map| (map, Summary::against(&run.on(map), reference))).collect();
        let Some((_, main)) = summaries.first() else { bail!("{} has no map", run.name) };
        if !main.layouts.iter().any(|layout| layout == reference) {
            bail!("{} has no layout {reference:?}; it has {}", run.name, main.layouts.join(", "));
        }
        if self.json.json {
            let means = |summary: &Summary| compare::geometric_means(summary, |_| true).0;
            let others: Vec<_> = summaries[1..]
                .iter()
                .map(|(map, of)| json!({ "map": map, "summary": of, "geometric_means": means(of) }))
                .collect();
            print_json(&json!({
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
                let means = in_words(&means);
                print(format!(
                    "Geometric mean of the ratios to {reference}, over the {nr} lookups that all have and whose answer is no branch: {means}."
                ))?;
            }
        }
        Ok(Answer::Yes)
    }

    fn side_by_side(&self, before: &Run, after: &Run) -> anyhow::Result<Answer> {
        if before.machine != after.machine && !self.across_machines {
            bail!(
                "the runs are of different machines ({} and {}), so their times say nothing of the code; --across-machines \
                 compares them all the same",
                before.machine,
                after.machine
            );
        }
        if before.map() != after.map() {
            let (before, after) = (before.map(), after.map());
            eprintln!(
                "pfnbench: warning: the runs are on different maps, {before} and {after}, so they share no case of those"
            );
        }
        let comparison = compare::compare(before, after);
        if comparison.cases.is_empty() {
            bail!("{} and {} have no case in common: same lookup, layout, backing and map", before.name, after.name);
        }
        if self.json.json {
            print_json(&json!({ "before": before.name, "after": after.name, "comparison": comparison }))?;
            return Ok(Answer::Yes);
        }
        let mut table = table::empty();
        table.set_header(["map", "", "on", "", "layout", "before", "after", "ratio", "95 % interval", "verdict"]);
        for compared in &comparison.cases {
            table.add_row(row(compared));
        }
        table::right_align(&mut table, 5..9);
        print(table)?;
        print(format!(
            "Geometric mean of the ratios, over the {} cases that both have: {}.",
            comparison.cases.len(),
            in_words(&comparison.geometric_means)
        ))?;
        if comparison.unshared > 0 {
            print(format!("Cases that only one of them has: {}.", comparison.unshared))?;
        }
        if comparison.cases.iter().any(|compared| compared.verdict == Verdict::None) {
            print(format!(
                "A verdict needs {PROCESSES_FOR_INTERVAL} processes in each run: pfnbench run --tier quick."
            ))?;
        }
        Ok(Answer::Yes)
    }
}

fn in_words(means: &[(String, f64)]) -> String {
    let each = |(layout, mean): &(String, f64)| format!("{layout} {}×", three_digits(*mean));
    means.iter().map(each).collect::<Vec<_>>().join(", ")
}

fn row(compared: &Compared) -> Vec<comfy_table::Cell> {
    let (word, colour) = match compared.verdict {
        Verdict::Faster => ("faster", Some(Color::Green)),
        Verdict::Slower => ("slower", Some(Color::Red)),
        Verdict::Undecided => ("undecided", None),
        Verdict::None => ("–", None),
    };
    let interval = compared.interval;
    let cells = [
        compared.case.map.clone(),
        compared.case.group.label(),
        compared.case.sections.name().to_owned(),
        compared.case.group.pattern.to_string(),
        compared.case.layout.clone(),
        time(compared.before_ns),
        time(compared.after_ns),
        format!("{}×", three_digits(compared.ratio)),
        interval.map_or_else(|| "–".to_owned(), interval_in_words),
    ];
    let mut cells: Vec<comfy_table::Cell> = cells.into_iter().map(comfy_table::Cell::new).collect();
    let verdict = comfy_table::Cell::new(word);
    cells.push(match colour {
        Some(colour) => verdict.fg(colour),
        None => verdict,
    });
    cells
}
