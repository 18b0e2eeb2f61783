//! The command `pfnbench kernel snapshot`.

use crate::cli::{Answer, print};
use crate::running::{RunningSections, Snapshot};
use crate::size::parse_size;
use anyhow::Context;
use clap::Args;

/// Print the state of the running kernel's memory as one line of JSON
///
/// The section table is read from /proc/kcore, memory blocks, zones and devices from sysfs and /proc.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sudo pfnbench kernel snapshot
  sudo pfnbench kernel snapshot --below 0x180000

Exit codes: 0 success; 2 the table cannot be read (only root may read it), or a
usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct SnapshotArgs {
    /// Sections below this page frame
    #[arg(long, value_name = "PFN", default_value = "0x400000000", value_parser = parse_size)]
    below: u64,
    /// Print a snapshot for each line of standard input
    #[arg(long)]
    each: bool,
}

impl SnapshotArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let table = RunningSections::open()?;
        let snapshot = || anyhow::Ok(print(serde_json::to_string(&Snapshot::take(&table, self.below)?)?)?);
        if !self.each {
            snapshot()?;
        } else {
            for line in std::io::stdin().lines() {
                line.context("cannot read standard input")?;
                snapshot()?;
            }
        }
        Ok(Answer::Yes)
    }
}
