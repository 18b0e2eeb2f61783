//! The command `pfnbench namespace` and its subcommands.

mod create;
mod device_kind;
mod disable_destroy;
mod enable;
mod explain;
mod from_args;
mod kernel_args;
mod list_check;
mod lost;
mod memory_args;
mod plan;
mod records_bar;
mod region;
mod region_args;
mod scene;

pub(super) use explain::print_rule;

use super::{Answer, print_json};
use crate::pmem::PmemError;
use crate::present::terminal;
use clap::{Args, Subcommand};
use serde_json::json;

/// Plan, create, check and enable persistent-memory namespaces
#[derive(Debug, Args)]
pub(super) struct NamespaceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where the bytes of a namespace go, and which size to request
    ///
    /// Compares the rules before the patch series with those since, or those of
    /// versions of Linux.
    Plan(plan::PlanArgs),
    /// Show the capacity lost at every sub-section of a section
    ///
    /// Compares the rules before the patch series with those since, or those of
    /// versions of Linux.
    Lost(lost::LostArgs),
    /// Create a region: a sparse file, and a file with its labels
    Region(region::RegionArgs),
    /// Create a namespace in a region
    Create(create::CreateArgs),
    /// Show the namespaces of a region, and its free space
    List(list_check::ListArgs),
    /// Show whether a kernel would accept the namespaces of a region
    ///
    /// The region is where it was created, or at another physical address (--at).
    Check(list_check::CheckArgs),
    /// Enable namespaces together on one machine, and mark them as enabled
    ///
    /// Writes the record of every page frame, then reads and compares it.
    Enable(enable::EnableArgs),
    /// Mark a namespace as disabled
    #[command(after_help = "\
Examples:
  pfnbench namespace disable pmem0 namespace0.0

Exit codes: 0 success; 1 the medium or its labels cannot be used; 2 a file or
the namespace does not exist, or a usage error.
All codes: pfnbench explain exit-codes")]
    Disable(disable_destroy::NamespaceOfRegionArgs),
    /// Delete a disabled namespace from the labels
    #[command(after_help = "\
Examples:
  pfnbench namespace destroy pmem0 namespace0.0

Exit codes: 0 success; 1 the namespace is enabled, or the medium or its labels
cannot be used; 2 a file or the namespace does not exist, or a usage error.
All codes: pfnbench explain exit-codes")]
    Destroy(disable_destroy::NamespaceOfRegionArgs),
    /// Replay a scenario of the cover letter on files
    ///
    /// Prints the expected and the observed result of each step.
    Scene(scene::SceneArgs),
    /// Explain the code of a refusal, or list all codes
    Explain(explain::ExplainArgs),
}

impl NamespaceArgs {
    /// Runs the subcommand. Prints refusals itself; returns other errors to the caller.
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        self.dispatch().or_else(|error| {
            let Some(PmemError::Refused(refusal)) = error.downcast_ref::<PmemError>() else { return Err(error) };
            match self.wants_json() {
                true => print_json(&json!({ "error": refusal.json() }))?,
                false => eprintln!("{}", terminal::message(&refusal.to_string())),
            }
            Ok(if refusal.rule.exit_code == 1 { Answer::No } else { Answer::CannotJudge })
        })
    }

    fn wants_json(&self) -> bool {
        match &self.command {
            Command::Plan(args) => args.json.json,
            Command::Lost(args) => args.json.json,
            Command::Region(args) => args.json.json,
            Command::Create(args) => args.json.json,
            Command::List(args) => args.json.json,
            Command::Check(args) => args.json.json,
            Command::Enable(args) => args.json.json,
            Command::Disable(args) | Command::Destroy(args) => args.json.json,
            Command::Scene(args) => args.json.json,
            Command::Explain(args) => args.json.json,
        }
    }

    fn dispatch(&self) -> anyhow::Result<Answer> {
        match &self.command {
            Command::Plan(args) => args.run(),
            Command::Lost(args) => args.run(),
            Command::Region(args) => args.run(),
            Command::Create(args) => args.run(),
            Command::List(args) => args.run(),
            Command::Check(args) => args.run(),
            Command::Enable(args) => args.run(),
            Command::Disable(args) => args.disable(),
            Command::Destroy(args) => args.destroy(),
            Command::Scene(args) => args.run(),
            Command::Explain(args) => args.run(),
        }
    }
}
