//! The command `pfnbench completions`.

use super::{Answer, Cli};
use clap::{Args, CommandFactory};
use std::io::{self, Write};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(pfnbench completions bash)
  pfnbench completions fish > ~/.config/fish/completions/pfnbench.fish

Exit codes: 0 success; 2 a usage error.")]
pub(super) struct CompletionsArgs {
    /// Shell for which to print completions
    shell: clap_complete::Shell,
}

impl CompletionsArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "pfnbench", &mut script);
        io::stdout().write_all(&script)?;
        Ok(Answer::Yes)
    }
}
