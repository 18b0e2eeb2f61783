//! `pfnbench namespace`.

mod files;
mod plan;
mod scene;

use super::{Answer, in_one_line};
use clap::{Args, Subcommand, ValueEnum};
use memmap_layouts::nvdimm::RecordsOn;
use memmap_layouts::nvdimm::division::DivisionError;
use memmap_layouts::nvdimm::namespace::NamespaceError;
use memmap_layouts::nvdimm::region::RegionError;
use memmap_layouts::nvdimm::storage::StorageError;

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
    Region(files::RegionArgs),
    /// Make a namespace in a region.
    Create(files::CreateArgs),
    /// Show the namespaces of a region, and what is free.
    List(files::ListArgs),
    /// Tell of every namespace whether a kernel would take it, here or at another physical address.
    Check(files::CheckArgs),
    /// Bring a namespace up on a machine, read the record of each of its pages, and mark it as enabled.
    Enable(files::EnableArgs),
    /// Mark a namespace as one that is not brought up.
    Disable(files::OneArgs),
    /// Take a disabled namespace out of the labels.
    Destroy(files::OneArgs),
    /// Play a scene of the cover letter on real files, with the expected end beside the observed one.
    Scene(scene::SceneArgs),
}

impl NamespaceArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        match self.ask() {
            Err(error) if is_answer(&error) => {
                eprintln!("pfnbench: {}", in_one_line(&error));
                Ok(Answer::No)
            }
            answer => answer,
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
        }
    }
}

/// Does an error say what a medium says no to? The rest is of the arguments: sizes, alignments and names that cannot be, files that are
/// not there.
fn is_answer(error: &anyhow::Error) -> bool {
    let of_medium = |error: &RegionError| match error {
        RegionError::Align { .. } | RegionError::Size { .. } | RegionError::Wanted(_) => false,
        RegionError::Division(error) => !matches!(error, DivisionError::Align { .. }),
        _ => true,
    };
    let busy = |error: &StorageError| matches!(error, StorageError::Busy { .. });
    error.downcast_ref::<NamespaceError>().is_some()
        || error.downcast_ref::<RegionError>().is_some_and(of_medium)
        || error.downcast_ref::<StorageError>().is_some_and(busy)
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
