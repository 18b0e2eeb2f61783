//! The command `pfnbench explain`.

use super::{Answer, Json, print, print_json, tell};
use crate::present::explain::{Explanation, Loads, explain, like, words};
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench explain NS101                   the rule behind an error code
  pfnbench explain pfn_valid/chained/added/random/validmap
  pfnbench explain validmap                a layout and what it loads
  pfnbench explain noise floor             a term of the glossary
  pfnbench explain                         every word that it knows

Exit codes: 0 success; 1 the word is unknown; 2 a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ExplainArgs {
    /// Error code, name of a case or part of one, layout, or term
    word: Vec<String>,
    #[command(flatten)]
    json: Json,
}

impl ExplainArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if self.word.is_empty() {
            match self.json.json {
                true => print_json(&words())?,
                false => print(words().join(", "))?,
            }
            return Ok(Answer::Yes);
        }
        let word = self.word.join(" ");
        let Some(found) = explain(&word) else {
            let like = like(&word);
            let hint = match &like[..] {
                [] => "pfnbench explain lists every word".to_owned(),
                like => format!("did you mean {}?", like.join(", ")),
            };
            tell(&format!("there is no explanation of {word:?}; {hint}"));
            return Ok(Answer::No);
        };
        if self.json.json {
            print_json(&found)?;
        } else {
            show(&found)?;
        }
        Ok(Answer::Yes)
    }
}

fn show(found: &Explanation) -> anyhow::Result<()> {
    match found {
        Explanation::Rule { rule } => super::namespace::print_rule(rule),
        Explanation::Case { parts, how, loads } => {
            parts.iter().try_for_each(|part| print(format!("{}: {}.", part.part, part.means)))?;
            how.iter().try_for_each(|how| print(format!("measured: {how}.")))?;
            chains("loads from memory, by layout:", loads)
        }
        Explanation::Layout { id, about, loads } => {
            print(format!("{id}: {about}."))?;
            chains("loads from memory, by lookup:", loads)
        }
        Explanation::Term { term, definition } => print(format!("{term}: {definition}.")),
    }
}

fn chains(heading: &str, loads: &[Loads]) -> anyhow::Result<()> {
    if loads.is_empty() {
        return Ok(());
    }
    print(heading)?;
    let width = loads.iter().map(|loads| loads.of.len()).max().unwrap_or(0);
    loads.iter().try_for_each(|loads| print(format!("  {:width$}  {}", loads.of, loads.loads.join(" → "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{self, Workload};

    #[test]
    fn every_case_is_explained() {
        let work = workload::everything(&Workload::builtin(), None);
        for name in workload::names(&work) {
            assert!(explain(&name).is_some(), "{name}");
        }
    }
}
