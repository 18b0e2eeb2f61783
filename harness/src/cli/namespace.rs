//! `pfnbench namespace`.

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

/// Persistent-memory namespaces: where their bytes go, and what happened to them before the series and since.
#[derive(Debug, Args)]
pub(super) struct NamespaceArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where the bytes of a namespace go under old and new rules, and what size to ask for.
    Plan(plan::PlanArgs),
    /// Show the capacity lost at every sub-section of a section, before the series and since.
    Lost(plan::LostArgs),
    /// Make a region: a sparse file, and its labels beside it.
    Region(region::RegionArgs),
    /// Make a namespace in a region.
    Create(create::CreateArgs),
    /// Show the namespaces of a region, and what is free.
    List(list::ListArgs),
    /// Tell of every namespace whether a kernel would take it, here or at another physical address.
    Check(list::CheckArgs),
    /// Bring namespaces up on one machine, read the record of each of their pages, and mark them as enabled.
    Enable(enable::EnableArgs),
    /// Mark a namespace as one that is not brought up.
    Disable(one::OneArgs),
    /// Take a disabled namespace out of the labels.
    Destroy(one::OneArgs),
    /// Play a scene of the cover letter on real files, with the expected end beside the observed one.
    Scene(scene::SceneArgs),
    /// Explain a code of a refusal, or list all of them.
    Explain(explain::ExplainArgs),
}

impl NamespaceArgs {
    /// Refusals are said here, in their parts; other errors are the caller's.
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

/// Where records lie.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MapArg {
    /// On the medium, in front of the data.
    Dev,
    /// In RAM.
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
