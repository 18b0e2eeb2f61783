//! The command `pfnbench kernel`: compiled kernels, and real ones to compare the models with.

mod add;
mod cost;
#[cfg(feature = "pmem")]
mod judge;
mod package;
mod show;
mod snapshot;

use super::{Answer, Json, print, print_json};
use crate::kernel::cache::Cache;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel add 6.1
  pfnbench run --kernel 6.1 --layout subsection
  pfnbench kernel list
  pfnbench kernel judge guest.log

Compiled kernel code is under the GPL. It stays in your cache folder
($XDG_CACHE_HOME/pfnbench/kernels); pfnbench never ships it.

Exit codes: 0 success; 2 an error or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct KernelArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(add::AddArgs),
    List(ListArgs),
    Remove(RemoveArgs),
    Show(show::ShowArgs),
    Cost(cost::CostArgs),
    Image(package::ImageArgs),
    Snapshot(snapshot::SnapshotArgs),
    #[cfg(feature = "pmem")]
    Judge(judge::JudgeArgs),
}

/// List the kernels that were added
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel list
  pfnbench kernel list --json

Exit codes: 0 success; 2 an error or a usage error.
All codes: pfnbench explain exit-codes")]
struct ListArgs {
    #[command(flatten)]
    json: Json,
}

/// Remove a kernel that was added
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench kernel remove 6.1

Exit codes: 0 success; 2 an error or a usage error.
All codes: pfnbench explain exit-codes")]
struct RemoveArgs {
    /// Version or release
    version: String,
}

impl KernelArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        match &self.action {
            Action::Add(args) => args.run(),
            Action::List(args) => args.run(),
            Action::Remove(args) => args.run(),
            Action::Show(args) => args.run(),
            Action::Cost(args) => args.run(),
            Action::Image(args) => args.run(),
            Action::Snapshot(args) => args.run(),
            #[cfg(feature = "pmem")]
            Action::Judge(args) => args.run(),
        }
    }
}

impl ListArgs {
    fn run(&self) -> anyhow::Result<Answer> {
        let kernels = Cache::from_user()?.kernels()?;
        if self.json.json {
            print_json(&kernels)?;
        } else if kernels.is_empty() {
            print("no kernel was added; try pfnbench kernel add 6.1")?;
        }
        if !self.json.json {
            for kernel in &kernels {
                print(format!("{:<6} {}, compiled by {}", kernel.version, kernel.release, kernel.compiler))?;
            }
        }
        Ok(Answer::Yes)
    }
}

impl RemoveArgs {
    fn run(&self) -> anyhow::Result<Answer> {
        let cache = Cache::from_user()?;
        cache.remove(&cache.find(&self.version)?)?;
        Ok(Answer::Yes)
    }
}
