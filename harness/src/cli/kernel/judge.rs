//! The command `pfnbench kernel judge`.

use crate::cli::{Answer, Json, print, print_json};
use crate::judge::{Log, Verdict, judge};
use crate::present::terminal::Grid;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

/// Compare a model with real kernels, by the logs of virtual machines
///
/// scripts/kernel-judge boots the virtual machines and writes the logs. Each operation is played on
/// a modelled machine, and after it every page frame, section, block, zone and namespace is compared
/// with what the kernel had.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel judge logs/6.1-hmem.log logs/6.1-kmem.log
  pfnbench kernel judge logs/*.log -o table.md
  pfnbench kernel judge --layout v6 logs/6.1-hmem.log    must differ

Exit codes: 0 nothing differs; 1 something differs; 2 a log cannot be judged, or
a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct JudgeArgs {
    /// Logs of virtual machines
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Compare this layout instead of the one with the rules of the kernel
    #[arg(long, value_name = "ID")]
    layout: Option<String>,
    /// Write the table as Markdown to this file
    #[arg(short, long, value_name = "FILE", conflicts_with = "json")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

impl JudgeArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut verdicts = Vec::new();
        for path in &self.logs {
            let judged = || anyhow::Ok(judge(&Log::read(path)?, self.layout.as_deref())?);
            verdicts.push((path.display().to_string(), judged().with_context(|| path.display().to_string())?));
        }
        let agree = verdicts.iter().all(|(_, verdict)| verdict.agrees());
        if self.json.json {
            let in_json = |(log, verdict): &(String, Verdict)| serde_json::json!({ "log": log, "verdict": verdict });
            print_json(&verdicts.iter().map(in_json).collect::<Vec<_>>())?;
        } else {
            show(&verdicts)?;
        }
        if let Some(path) = &self.output {
            std::fs::write(path, markdown(&verdicts)).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(if agree { Answer::Yes } else { Answer::No })
    }
}

/// The scene of a log, e.g. `hmem` of `logs/6.1-hmem.log`.
fn scene(log: &str) -> &str {
    let name = log.rsplit('/').next().unwrap_or(log).trim_end_matches(".log");
    name.split_once('-').map_or(name, |(_, scene)| scene)
}

/// The table as Markdown, with the totals of all logs.
fn markdown(verdicts: &[(String, Verdict)]) -> String {
    let mut text = "| kernel | scene | model | operations | snapshots | page frames | of them near an operation | \
                    asked of its own functions | compared by validmap | other comparisons | differences |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    let numbers = |verdict: &Verdict| {
        let (others, differences) = (verdict.compared.values().sum(), verdict.nr_differences.values().sum());
        let Verdict { operations, snapshots, pfns, near_pfns, asked_pfns, map_pfns, .. } = *verdict;
        [operations, snapshots, pfns, near_pfns, asked_pfns, map_pfns, others, differences]
    };
    let mut total = [0; 8];
    for (log, verdict) in verdicts {
        let numbers = numbers(verdict);
        total.iter_mut().zip(numbers).for_each(|(total, number)| *total += number);
        let numbers = numbers.map(|number| number.to_string()).join(" | ");
        text += &format!("| {} | {} | {} | {numbers} |\n", verdict.release, scene(log), verdict.layout);
    }
    text + &format!("| all | | | {} |\n", total.map(|number| number.to_string()).join(" | "))
}

fn show(verdicts: &[(String, Verdict)]) -> anyhow::Result<()> {
    let mut drawn = Grid::new();
    drawn.set_header(["log", "layout", "operations", "snapshots", "page frames", "differences"]);
    drawn.right_align(2..6);
    for (log, verdict) in verdicts {
        let name = log.rsplit('/').next().unwrap_or(log).trim_end_matches(".log");
        let numbers =
            [verdict.operations, verdict.snapshots, verdict.pfns, verdict.nr_differences.values().sum::<u64>()];
        let numbers = numbers.map(|number| number.to_string());
        drawn.add_row([&[name.to_owned(), verdict.layout.clone()][..], &numbers[..]].concat());
    }
    print(drawn)?;
    for (log, verdict) in verdicts {
        for (what, number) in &verdict.nr_differences {
            print(format!("{log}: {what} differs {number} times"))?;
        }
        for difference in &verdict.differences {
            print(format!("  {} ({}): {}", difference.what, difference.scene, difference.told))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_totals_of_all_logs() {
        let verdict = |pfns, differences: &[(&'static str, u64)]| Verdict {
            release: "6.1.0".to_owned(),
            layout: "linux-6.1".to_owned(),
            pfns,
            nr_differences: differences.iter().copied().collect(),
            ..Verdict::default()
        };
        let verdicts = [
            ("logs/6.1-hmem.log".to_owned(), verdict(5, &[])),
            ("logs/6.1-ram-buffer.log".to_owned(), verdict(7, &[("zone", 2), ("block", 1)])),
        ];
        let table = markdown(&verdicts);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[2], "| 6.1.0 | hmem | linux-6.1 | 0 | 0 | 5 | 0 | 0 | 0 | 0 | 0 |");
        assert_eq!(lines[3], "| 6.1.0 | ram-buffer | linux-6.1 | 0 | 0 | 7 | 0 | 0 | 0 | 0 | 3 |");
        assert_eq!(lines[4], "| all | | | 0 | 0 | 12 | 0 | 0 | 0 | 0 | 3 |");
    }
}
