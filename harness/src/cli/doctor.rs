//! The command `pfnbench doctor`.

use super::{Answer, Json, print, print_json};
use crate::engine::doctor::examine;
use crate::present::terminal::coloured;
use crate::record::environment::Environment;
use crate::record::examination::{Finding, Verdict};
use anstyle::AnsiColor;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench doctor
  pfnbench doctor --strict && pfnbench run --strict
  sudo pfnbench doctor                     also checks what needs root
  pfnbench doctor --json

Exit codes: 0 success; 1 with --strict, the machine is unfit or unknown; 2 an
error or a usage error.")]
pub(super) struct DoctorArgs {
    /// Exit with code 1 unless the machine is fit for measuring
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    json: Json,
}

impl DoctorArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let environment = Environment::look();
        let examination = examine(&environment);
        let verdict = examination.verdict();
        if self.json.json {
            print_json(&json!({
                "verdict": verdict, "findings": examination.findings, "environment": environment,
            }))?;
        } else {
            let [spoils, enables] = examination.lists();
            print(in_lines("What spoils this measurement", "Nothing spoils this measurement.", &spoils.findings))?;
            print("")?;
            print(in_lines("What would enable more", "Nothing is missing that would enable more.", &enables.findings))?;
            print(format!("\n{}", conclusion(verdict, &environment.machine_id)))?;
        }
        Ok(if self.strict && verdict != Verdict::Ok { Answer::No } else { Answer::Yes })
    }
}

/// A line for each finding that is not as it should be, the heaviest first, then the others in one.
fn in_lines(heading: &str, none: &str, findings: &[&Finding]) -> String {
    let (fine, mut open): (Vec<&&Finding>, Vec<&&Finding>) =
        findings.iter().partition(|finding| finding.verdict == Verdict::Ok);
    open.sort_by_key(|finding| finding.verdict != Verdict::Unfit);
    let mut lines = vec![if open.is_empty() { none.to_owned() } else { format!("{heading}:") }];
    let width = open.iter().map(|finding| finding.word().len()).max().unwrap_or(0);
    for finding in open {
        let colour = match (finding.verdict, finding.matters) {
            (Verdict::Unfit, true) => AnsiColor::Red,
            (Verdict::Unfit, false) => AnsiColor::Yellow,
            _ => AnsiColor::BrightBlack,
        };
        let word = format!("{:width$}", finding.word());
        let advice = if finding.advice.is_empty() { String::new() } else { format!(": {}", finding.advice) };
        lines.push(format!("  {}  {} ({}){advice}", coloured(&word, colour), finding.point, finding.seen));
    }
    if !fine.is_empty() {
        let fine: Vec<&str> = fine.iter().map(|finding| finding.point.as_str()).collect();
        lines.push(format!("As it should be: {}.", fine.join(", ")));
    }
    lines.join("\n")
}

/// What the findings mean for a run now. The verdicts of a run come from what it measures.
fn conclusion(verdict: Verdict, machine: &str) -> String {
    let now = match verdict {
        Verdict::Ok => "is fit for measuring now",
        Verdict::Unfit => "is unfit for measuring now, as said above; a run takes longer, and more of it is undecided",
        Verdict::Unknown => {
            "does not tell everything about itself, which is usual in a virtual machine and no obstacle"
        }
    };
    format!("This machine ({machine}) {now}. Whether a run can judge is decided by what it measures.")
}
