//! The command `pfnbench namespace explain`.

use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::refusal::rule::{RULES, Rule, find};
use crate::present::terminal::Grid;
use anyhow::anyhow;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace explain NS201
  pfnbench namespace explain               all codes

Exit codes: 0 success; 2 there is no such code, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ExplainArgs {
    /// Code of a refusal, e.g. NS201; default: list all codes
    #[arg(value_name = "CODE", value_parser = parse_code)]
    code: Option<&'static Rule>,
    #[command(flatten)]
    pub(super) json: Json,
}

fn parse_code(text: &str) -> anyhow::Result<&'static Rule> {
    find(text)
        .ok_or_else(|| anyhow!("{text:?} is not a code such as NS201; pfnbench namespace explain lists all codes"))
}

impl ExplainArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        match (self.code, self.json.json) {
            (Some(rule), true) => print_json(rule)?,
            (Some(rule), false) => print_rule(rule)?,
            (None, true) => print_json(&RULES)?,
            (None, false) => {
                let mut table = Grid::new();
                table.set_header(["code", "the request", "exit"]);
                for rule in RULES {
                    table.add_row([rule.code.to_owned(), rule.wrong.to_owned(), rule.exit_code.to_string()]);
                }
                print(table)?;
            }
        }
        Ok(Answer::Yes)
    }
}

/// Prints a rule, its source and the exit code of commands that it stops.
pub(in crate::cli) fn print_rule(rule: &Rule) -> anyhow::Result<()> {
    let exit = match rule.exit_code {
        1 => "1: the medium, the region or the machine refuses",
        _ => "2: the request is invalid on any of them",
    };
    let Rule { code, wrong, rule, source, .. } = rule;
    print(format!("{code}: the request {wrong}\n  rule    {rule}\n  source  {source}\n  exit    {exit}"))
}
