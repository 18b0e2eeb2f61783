//! The command `pfnbench completions`.

use super::{Answer, Cli};
use clap::{Args, CommandFactory};
use std::io::{self, Write};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell to print completions for
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
