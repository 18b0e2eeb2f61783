//! The command `pfnbench man`.

use super::{Answer, Cli};
use crate::version;
use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench man | man -l -
  pfnbench man --dir ~/.local/share/man/man1

Exit codes: 0 success; 2 the folder cannot be written, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ManArgs {
    /// Write a page for pfnbench and one for each command, e.g. pfnbench-run.1, to this folder
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut command = Cli::command().disable_help_subcommand(true);
        // Sets the full names of the subcommands.
        command.build();
        if let Some(dir) = &self.dir {
            write(&command, dir).with_context(|| format!("cannot write man pages to {}", dir.display()))?;
        } else {
            let mut text = Vec::new();
            page(&command).render(&mut text)?;
            io::stdout().write_all(&text)?;
        }
        Ok(Answer::Yes)
    }
}

/// The man page of a command. Its date is that of the commit.
fn page(command: &Command) -> Man {
    let page = Man::new(command.clone()).date(env!("PFNBENCH_COMMIT_DATE"));
    page.source(format!("pfnbench {}", version())).manual("pfnbench")
}

/// Writes the page of a command, then recursively those of its subcommands.
fn write(command: &Command, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    page(command).generate_to(dir)?;
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| write(sub, dir))
}
