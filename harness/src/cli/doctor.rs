//! `pfnbench doctor`.

use super::{Answer, Json, print, print_json};
use crate::doctor::{Verdict, examine};
use crate::environment::Environment;
use crate::table;
use clap::Args;
use comfy_table::{Cell, Color, ContentArrangement};
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Exit with 1 unless the machine is fit.
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
            let mut table = table::empty();
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(["point", "verdict", "seen", "what to do"]);
            for finding in &examination.findings {
                let colour = match finding.verdict {
                    Verdict::Ok => Color::Green,
                    Verdict::Unfit if finding.matters => Color::Red,
                    Verdict::Unfit => Color::Yellow,
                    Verdict::Unknown => Color::DarkGrey,
                };
                let verdict = Cell::new(finding.verdict).fg(colour);
                table.add_row([
                    Cell::new(&finding.point),
                    verdict,
                    Cell::new(&finding.seen),
                    Cell::new(&finding.advice),
                ]);
            }
            print(&table)?;
            print(format!("This machine is {verdict} for measuring ({}).", environment.machine_id))?;
        }
        Ok(if self.strict && verdict != Verdict::Ok { Answer::No } else { Answer::Yes })
    }
}
