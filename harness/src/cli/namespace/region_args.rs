//! Arguments for the files of a region, and how a command opens it.

use crate::cli::Json;
use crate::pmem::refusal::Refusal;
use crate::pmem::region_files::RegionFiles;
use crate::pmem::shrunk_media::exit_on_sigbus;
use crate::size::parse_size;
use anyhow::Context;
use clap::Args;
use memmap_layouts::nvdimm::region::Region;
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use serde_json::json;
use std::io;
use std::path::PathBuf;

/// Paths of a medium and its label file.
#[derive(Args, Clone, Debug)]
pub(super) struct RegionFilesArgs {
    /// Medium: a file, or /dev/daxX.Y
    #[arg(value_name = "MEDIUM")]
    medium: PathBuf,
    /// File with the labels; default: MEDIUM.labels if the medium is a file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl RegionFilesArgs {
    pub(super) fn files(&self) -> RegionFiles {
        RegionFiles { medium: self.medium.clone(), labels: self.labels.clone() }
    }
}

/// An existing region.
#[derive(Args, Clone, Debug)]
pub(super) struct RegionAtArgs {
    #[command(flatten)]
    files: RegionFilesArgs,
    /// Physical address at which firmware places the region now; default: the
    /// address with which it was created
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    at: Option<u64>,
}

impl RegionAtArgs {
    /// Opens the region. Warns on standard error if one copy of the labels is damaged.
    pub(super) fn open(&self, access: Access, json: Json) -> anyhow::Result<Region<StorageFile>> {
        let files = self.files.files();
        report_shrunk_medium(&files, json).context("cannot install a handler for media that become shorter")?;
        let region = files.open(self.at, access)?;
        if let Some(damage) = region.damaged_copy() {
            let medium = files.medium.display();
            eprintln!(
                "warning: one of the two copies of the labels of {medium} is {damage}; \
                 the other is used, and the next change repairs it"
            );
        }
        Ok(region)
    }
}

/// From now on, a medium that becomes shorter while it is mapped ends the process with a refusal.
fn report_shrunk_medium(files: &RegionFiles, json: Json) -> io::Result<()> {
    let refusal = Refusal::from_shrunk_medium(&files.subject());
    match json.json {
        true => exit_on_sigbus(io::stdout(), format!("{:#}\n", json!({ "error": refusal.json() }))),
        false => exit_on_sigbus(io::stderr(), format!("{refusal}\n")),
    }
}
