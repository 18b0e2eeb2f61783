//! The command `pfnbench namespace` and its subcommands.

mod around;
mod create;
mod enable;
mod explain;
mod list;
mod media;
mod one;
mod plan;
mod records_bar;
mod region;
mod remedy;
mod scene;
mod verdict;

use super::{Answer, print_json};
use crate::pmem::refusal::Refusal;
use clap::{Args, Subcommand, ValueEnum};
use memmap_layouts::nvdimm::RecordsOn;
use serde_json::json;

/// Persistent-memory namespaces: where their bytes go, before the patch series and since
#[derive(Debug, Args)]
pub(super) struct NamespaceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where the bytes of a namespace go under old and new rules, and which size to request
    Plan(plan::PlanArgs),
    /// Show the capacity lost at every sub-section of a section, before the series and since
    Lost(plan::LostArgs),
    /// Create a region: a sparse file, with a file of labels beside it
    Region(region::RegionArgs),
    /// Create a namespace in a region
    Create(create::CreateArgs),
    /// Show the namespaces of a region, and its free space
    List(list::ListArgs),
    /// Show for every namespace whether a kernel would accept it, here or at another physical
    /// address
    Check(list::CheckArgs),
    /// Enable namespaces together on one machine: read the record of each page, and mark them as
    /// enabled
    Enable(enable::EnableArgs),
    /// Mark a namespace as disabled
    Disable(one::OneArgs),
    /// Delete a disabled namespace from the labels
    Destroy(one::OneArgs),
    /// Replay a scenario of the cover letter on real files, with the expected and the observed
    /// result
    Scene(scene::SceneArgs),
    /// Explain an error code, or list all codes
    Explain(explain::ExplainArgs),
}

impl NamespaceArgs {
    /// Runs the subcommand. Prints structured refusals itself; returns other errors to the caller.
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        self.ask().or_else(|error| {
            let Some(refusal) = Refusal::of(&error) else { return Err(error) };
            match self.wants_json() {
                true => print_json(&json!({ "error": refusal.json() }))?,
                false => eprintln!("{refusal}"),
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

    fn ask(&self) -> anyhow::Result<Answer> {
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

/// Where the records of a namespace are stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MapArg {
    /// On the device, in front of the data
    Dev,
    /// In RAM
    Mem,
}

impl MapArg {
    fn records(self) -> RecordsOn {
        match self {
            MapArg::Dev => RecordsOn::Medium,
            MapArg::Mem => RecordsOn::Ram,
        }
    }
}
