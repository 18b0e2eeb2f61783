//! Where a region's medium and labels are, and how it is opened.

use crate::cli::Json;
use crate::refusal::files_error::FilesError;
use crate::refusal::{Refusal, Subject};
use crate::shrunk_media;
use crate::units::parse_size;
use anyhow::Context;
use clap::Args;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::region::Region;
use memmap_layouts::nvdimm::storage::{Access, Medium};
use serde_json::json;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Where a medium and its labels are.
#[derive(Args, Clone, Debug)]
pub(super) struct PathArgs {
    /// The medium: a file, or /dev/daxX.Y.
    #[arg(value_name = "MEDIUM")]
    pub(super) medium: PathBuf,
    /// The file of its labels; MEDIUM.labels if the medium is a file.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

impl PathArgs {
    pub(super) fn is_device(&self) -> bool {
        std::fs::metadata(&self.medium).is_ok_and(|metadata| metadata.file_type().is_char_device())
    }

    /// One file under two names is one file.
    fn is_medium(&self, labels: &Path) -> bool {
        let file = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        labels == self.medium || file(labels).is_some_and(|labels| file(&self.medium) == Some(labels))
    }

    pub(super) fn labels(&self) -> Result<PathBuf, FilesError> {
        match &self.labels {
            Some(labels) if self.is_medium(labels) => Err(FilesError::OneFile { path: labels.clone() }),
            Some(labels) => Ok(labels.clone()),
            None if self.is_device() => Err(FilesError::NoPlaceForLabels { device: self.medium.clone() }),
            None => {
                let mut name = self.medium.as_os_str().to_owned();
                name.push(".labels");
                Ok(name.into())
            }
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::of(format!("the region of {}", self.medium.display()))
    }
}

/// A region that is there.
#[derive(Args, Clone, Debug)]
pub(super) struct MediumArgs {
    #[command(flatten)]
    pub(super) paths: PathArgs,
    /// Where the firmware puts the region now, if not where it was made.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    at: Option<u64>,
}

impl MediumArgs {
    pub(super) fn open(&self, access: Access, json: Json) -> anyhow::Result<Region<Medium>> {
        self.prepare_for_less(json).context("cannot prepare for media that become shorter")?;
        let labels = self.paths.labels()?;
        let medium = Medium::open(&self.paths.medium, access)?;
        if !labels.try_exists().unwrap_or(true) {
            let (medium, is_named) = (self.paths.medium.clone(), self.paths.labels.is_some());
            return Err(FilesError::NoLabels { medium, labels, is_named }.into());
        }
        let labels = Medium::open(&labels, access)?;
        let region = Region::open(medium, labels, self.at).with_context(|| self.paths.subject())?;
        if let Some(damage) = region.damaged_copy() {
            let medium = self.paths.medium.display();
            eprintln!(
                "warning: one of the two copies of the labels of {medium} is {damage}; the other serves, and the next change mends it"
            );
        }
        Ok(region)
    }

    fn prepare_for_less(&self, json: Json) -> std::io::Result<()> {
        let refusal = Refusal::of_shrunk_medium(&self.paths.subject());
        match json.json {
            true => shrunk_media::end_with(1, format!("{:#}\n", json!({ "error": refusal.json() }))),
            false => shrunk_media::end_with(2, format!("{refusal}\n")),
        }
    }
}

/// Other namespaces of a region.
pub(super) fn around(region: &Region<Medium>, except: Option<&[u8; 16]>) -> Vec<(String, Extent)> {
    let others = region.labels().iter().filter(|label| Some(&label.uuid) != except);
    others.map(|label| (label.name.clone(), region.namespace(label))).collect()
}

/// A namespace as what is asked about.
pub(super) fn subject(region: &Region<Medium>, label: &Label) -> Subject {
    Subject::at(&label.name, region.namespace(label)).among(around(region, Some(&label.uuid)))
}
