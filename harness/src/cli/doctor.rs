//! The command `pfnbench doctor`.

use super::{Answer, Json, print, print_json};
use crate::engine::doctor::examine;
use crate::present::table;
use crate::record::environment::Environment;
use crate::record::examination::Verdict;
use clap::Args;
use comfy_table::{Cell, Color, ContentArrangement};
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
            for list in examination.lists() {
                print(format!("{}:", list.heading))?;
                let mut table = table::empty();
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_header(["point", list.column, "seen", "what to do"]);
                for finding in list.findings {
                    let colour = match (finding.verdict, finding.matters) {
                        (Verdict::Ok, _) => Color::Green,
                        (Verdict::Unfit, true) => Color::Red,
                        (Verdict::Unfit, false) => Color::Yellow,
                        (Verdict::Unknown, _) => Color::DarkGrey,
                    };
                    table.add_row([
                        Cell::new(&finding.point),
                        Cell::new(finding.word()).fg(colour),
                        Cell::new(&finding.seen),
                        Cell::new(&finding.advice),
                    ]);
                }
                print(&table)?;
            }
            print(format!(
                "This machine ({}) is {verdict} for measuring now. Each row of a run also records whether it was disturbed.",
                environment.machine_id
            ))?;
        }
        Ok(if self.strict && verdict != Verdict::Ok { Answer::No } else { Answer::Yes })
    }
}
