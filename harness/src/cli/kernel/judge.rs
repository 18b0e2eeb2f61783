//! The command `pfnbench kernel judge`.

use crate::cli::{Answer, Json, print, print_json};
use crate::judge::{Log, Verdict, judge};
use crate::present::table;
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
  pfnbench kernel judge --layout v6 logs/6.1-hmem.log    must differ

Exit codes: 0 nothing differs; 1 something differs; 2 a log cannot be judged, or
a usage error.")]
pub(super) struct JudgeArgs {
    /// Logs of virtual machines
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// Compare this layout instead of the one with the rules of the kernel
    #[arg(long, value_name = "ID")]
    layout: Option<String>,
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
        Ok(if agree { Answer::Yes } else { Answer::No })
    }
}

fn show(verdicts: &[(String, Verdict)]) -> anyhow::Result<()> {
    let mut drawn = table::empty();
    drawn.set_header(["log", "layout", "operations", "snapshots", "page frames", "differences"]);
    table::right_align(&mut drawn, 2..6);
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
