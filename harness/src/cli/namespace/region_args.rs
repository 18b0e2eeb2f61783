//! Arguments for the files of a region, and how a command opens it.

use super::from_args::FromArgs;
use crate::cli::Json;
use crate::pmem::NearbyMemory;
use crate::pmem::refusal::Refusal;
use crate::pmem::region_files::RegionFiles;
use crate::pmem::shrunk_media::exit_on_sigbus;
use crate::size::parse_size;
use anyhow::{Context, bail};
use clap::Args;
use memmap_layouts::ByteSize;
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
        self.open_at(None, access, json)
    }

    /// Opens the region, and takes its physical address from `described` unless `--at` gives it. Returns
    /// the memory around the described region, too.
    pub(super) fn open_described(
        &self,
        from: &FromArgs,
        access: Access,
        json: Json,
    ) -> anyhow::Result<(Region<StorageFile>, Option<NearbyMemory>)> {
        let Some((described, origin)) = from.region(self.at)? else { return Ok((self.open(access, json)?, None)) };
        let start = described.extent(self.at, &origin)?;
        let region = self.open_at(Some(start.start), access, json)?;
        let (has, says) = (region.extent().size, described.size);
        if has != says {
            bail!(
                "the region of {} has {}, and {} in {origin} has {}; choose its region with --region-name, or give \
                 --at, --ram and --region instead of --from",
                self.files.medium.display(),
                ByteSize(has),
                described.name,
                ByteSize(says)
            );
        }
        Ok((region, Some(described.nearby)))
    }

    fn open_at(&self, start: Option<u64>, access: Access, json: Json) -> anyhow::Result<Region<StorageFile>> {
        let files = self.files.files();
        report_shrunk_medium(&files, json).context("cannot install a handler for media that become shorter")?;
        let region = files.open(self.at.or(start), access)?;
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
