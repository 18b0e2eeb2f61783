//! `pfnbench namespace`.

mod plan;
mod scene;

use super::Answer;
use clap::{Args, Subcommand};

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
    /// Play a scene of the cover letter on real files, with the expected end beside the observed one.
    Scene(scene::SceneArgs),
}

impl NamespaceArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        match &self.command {
            Command::Plan(args) => args.run(),
            Command::Lost(args) => args.run(),
            Command::Scene(args) => args.run(),
        }
    }
}
