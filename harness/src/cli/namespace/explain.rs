//! The command `pfnbench namespace explain`.

use crate::cli::{Answer, Json, print, print_json, tell};
use crate::pmem::refusal::rule::{RULES, Rule, find};
use crate::present::terminal::Grid;
use anyhow::Context;
use clap::Args;
use std::io::{self, Read};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace explain NS201
  pfnbench namespace explain - < refusal.txt   the code in a refusal
  pfnbench namespace explain                   all codes

Exit codes: 0 success; 1 there is no such code; 2 a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ExplainArgs {
    /// Code of a refusal, e.g. NS201, or - for standard input; default: list all
    /// codes
    #[arg(value_name = "CODE")]
    code: Option<String>,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Maximum number of bytes that are read from standard input.
const MAX_INPUT_BYTES: u64 = 64 << 10;

/// The rule that a text names: the text is a code, or contains one, as a refusal does.
fn named_rule(text: &str) -> Option<&'static Rule> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric());
    find(text).or_else(|| words.into_iter().find_map(find))
}

/// The code that is most like an unknown one: the nearest number, or the most similar text.
fn nearest(text: &str) -> &'static str {
    let number = |code: &str| code.trim_start_matches(|char: char| !char.is_ascii_digit()).parse::<u64>().ok();
    let difference = |rule: &Rule| {
        let distance = number(text.trim()).zip(number(rule.code)).map(|(one, other)| one.abs_diff(other));
        distance.map_or_else(
            || 1.0 - strsim::jaro_winkler(&rule.code.to_lowercase(), &text.trim().to_lowercase()),
            |distance| distance as f64,
        )
    };
    // Of another family, a code with the same number means something else.
    let is_other =
        |rule: &Rule| !text.trim().get(..2).is_some_and(|family| rule.code.starts_with(&family.to_uppercase()));
    let key = |rule: &Rule| (is_other(rule), difference(rule));
    let nearest = RULES.iter().min_by(|one, other| {
        let (one, other) = (key(one), key(other));
        one.0.cmp(&other.0).then(one.1.total_cmp(&other.1))
    });
    nearest.map_or("", |rule| rule.code)
}

impl ExplainArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let text = match self.code.as_deref() {
            Some("-") => Some(read_input()?),
            code => code.map(str::to_owned),
        };
        match (text, self.json.json) {
            (Some(text), json) => {
                let Some(rule) = named_rule(&text) else {
                    let shown: String = text.trim().chars().take(60).collect();
                    let nearest = nearest(&text);
                    tell(&format!(
                        "{shown:?} is not the code of a refusal; the nearest is {nearest}, and pfnbench namespace explain \
                         lists all codes"
                    ));
                    return Ok(Answer::No);
                };
                if json { print_json(rule)? } else { print_rule(rule)? }
            }
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

fn read_input() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    io::stdin().take(MAX_INPUT_BYTES).read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
