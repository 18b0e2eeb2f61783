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
error or a usage error.
All codes: pfnbench explain exit-codes")]
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

/// A line for each finding that is not as it should be, in order of weight, then the unknown ones, then the others
/// in one.
fn in_lines(heading: &str, none: &str, findings: &[&Finding]) -> String {
    let of = |verdict: Verdict| findings.iter().filter(move |finding| finding.verdict == verdict);
    let open: Vec<&&Finding> = of(Verdict::Unfit).collect();
    let mut lines = vec![if open.is_empty() { none.to_owned() } else { format!("{heading}:") }];
    let width = open.iter().map(|finding| finding.word().len()).max().unwrap_or(0);
    for finding in open {
        let colour = if finding.matters { AnsiColor::Red } else { AnsiColor::Yellow };
        let word = format!("{:width$}", finding.word());
        lines.push(format!("  {}  {}", coloured(&word, colour), told(finding)));
    }
    // What is not known, or is as it should be and yet limits what can be said.
    for finding in of(Verdict::Unknown).chain(of(Verdict::Ok).filter(|finding| !finding.advice.is_empty())) {
        let word = if finding.verdict == Verdict::Unknown { "Unknown" } else { "Note" };
        lines.push(format!("{word}: {}", told(finding)));
    }
    let fine: Vec<String> = of(Verdict::Ok)
        .filter(|finding| finding.advice.is_empty())
        .map(|finding| format!("{} ({})", finding.point, finding.seen))
        .collect();
    if !fine.is_empty() {
        lines.push(format!("As it should be: {}.", fine.join(", ")));
    }
    lines.join("\n")
}

/// The finding and its advice.
fn told(finding: &Finding) -> String {
    let advice = if finding.advice.is_empty() { String::new() } else { format!(": {}", finding.advice) };
    format!("{} ({}){advice}", finding.point, finding.seen)
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
