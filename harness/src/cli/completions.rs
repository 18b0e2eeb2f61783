//! The command `pfnbench completions`.

use super::{Answer, Cli};
use crate::case::LookupOp;
use crate::map::builtin;
use crate::pmem::refusal::rule;
use crate::present::explain;
use crate::workload::{self, Workload};
use clap::builder::PossibleValuesParser;
use clap::{Arg, Args, Command, CommandFactory};
use std::io::{self, Write};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(pfnbench completions bash)
  pfnbench completions fish > ~/.config/fish/completions/pfnbench.fish

Completions offer the names of layouts, lookups, built-in maps, cases, error
codes and terms; make them again after an update.

Exit codes: 0 success; 2 a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct CompletionsArgs {
    /// Shell for which to print completions
    shell: clap_complete::Shell,
}

/// Completions of bash begin at the last of these characters. Without the colon among them, `builtin:NAME` is one
/// word.
const BASH: &str = "COMP_WORDBREAKS=${COMP_WORDBREAKS//:/}\n";

/// What completions offer for a value.
struct Offers {
    layouts: Vec<String>,
    ops: Vec<String>,
    maps: Vec<String>,
    cases: Vec<String>,
    codes: Vec<String>,
    words: Vec<String>,
}

impl Offers {
    fn collect() -> Self {
        let work = workload::everything(&Workload::builtin(), None);
        let cases = workload::names_without_layouts(&work);
        // A word of a shell has no spaces; the command understands hyphens in their place.
        let words = explain::words().into_iter().map(|word| word.replace(' ', "-")).chain(cases.iter().cloned());
        Self {
            layouts: explain::all_layouts().iter().map(|layout| layout.id.to_owned()).collect(),
            ops: LookupOp::ALL.iter().map(|op| op.name().to_owned()).collect(),
            maps: builtin::names().map(|name| format!("builtin:{name}")).collect(),
            codes: rule::RULES.iter().map(|rule| rule.code.to_owned()).collect(),
            words: words.collect(),
            cases,
        }
    }

    /// The values that a command line offers for an argument, from the name of its value.
    fn of(&self, arg: &Arg) -> Option<&[String]> {
        let value = arg.get_value_names()?.first()?.as_str();
        match (value, arg.get_id().as_str()) {
            ("ID", _) => Some(&self.layouts),
            ("LOOKUP", _) => Some(&self.ops),
            ("REGEX", _) => Some(&self.cases),
            ("CODE", _) => Some(&self.codes),
            ("WORD", _) => Some(&self.words),
            ("FILE", "map" | "sources" | "from") | ("FILE|RANGE", _) => Some(&self.maps),
            _ => None,
        }
    }

    /// The command with these values. It is not for parsing: other values are accepted too.
    fn in_command(&self, command: Command) -> Command {
        let offered = |arg: Arg| match self.of(&arg) {
            // The parser wants values that live as long as the program, which ends soon.
            Some(values) => {
                arg.value_parser(PossibleValuesParser::new(values.iter().map(|value| &*value.clone().leak())))
            }
            None => arg,
        };
        command.mut_args(offered).mut_subcommands(|command| self.in_command(command))
    }
}

impl CompletionsArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut command = Offers::collect().in_command(Cli::command());
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "pfnbench", &mut script);
        if self.shell == clap_complete::Shell::Bash {
            script.extend_from_slice(BASH.as_bytes());
        }
        io::stdout().write_all(&script)?;
        Ok(Answer::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_name_is_offered_and_help_is_unchanged() {
        let command = Offers::collect().in_command(Cli::command());
        let offered = |path: &[&str], arg: &str| -> Vec<String> {
            let command = path.iter().fold(&command, |command, name| command.find_subcommand(name).unwrap());
            let arg = command.get_arguments().find(|known| known.get_id() == arg).unwrap();
            arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
        };
        for (path, arg, value) in [
            (&["run"][..], "layout", "validmap"),
            (&["run"], "layout", "linux-next"),
            (&["run"], "op", "pfn_to_page"),
            (&["run"], "map", "builtin:vm-20g"),
            (&["run"], "filter", "pfn_valid/added/random"),
            (&["show"], "reference", "subsection"),
            (&["compare"], "reference", "subsection"),
            (&["report"], "reference", "subsection"),
            (&["verify"], "map", "builtin:vm-20g"),
            (&["map"], "map", "builtin:vm-20g"),
            (&["strand"], "input", "builtin:vm-20g"),
            (&["audit"], "sources", "builtin:vm-20g"),
            (&["fits"], "map", "builtin:vm-20g"),
            (&["namespace", "plan"], "from", "builtin:vm-20g"),
            (&["explain"], "word", "NS101"),
            (&["explain"], "word", "noise-floor"),
            (&["explain"], "word", "pfn_valid/added/random"),
            (&["namespace", "explain"], "code", "NS101"),
        ] {
            assert!(offered(path, arg).contains(&value.to_owned()), "{path:?} {arg}: {:?}", offered(path, arg));
        }
        for word in Offers::collect().words {
            assert!(explain::explain(&word).is_some() && !word.contains(' '), "{word}");
        }
    }
}
