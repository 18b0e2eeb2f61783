//! The paths of a region's medium and labels, and how the region is opened.

use super::remedy::{Tried, tried};
use crate::cli::Json;
use crate::pmem::capacity::HOST;
use crate::pmem::refusal::files_error::FilesError;
use crate::pmem::refusal::of_files::arguments;
use crate::pmem::refusal::{Refusal, Subject};
use crate::pmem::shrunk_media;
use crate::size::parse_size;
use anyhow::Context;
use clap::Args;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::forecast::{Mapped, forecast};
use memmap_layouts::nvdimm::info_block::InfoBlockError;
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::region::{Personality, Region, RegionError};
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use memmap_layouts::rules::RuleSet;
use serde_json::json;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The paths of a medium and its labels.
#[derive(Args, Clone, Debug)]
pub(super) struct PathArgs {
    /// The medium: a file, or /dev/daxX.Y.
    #[arg(value_name = "MEDIUM")]
    pub(super) medium: PathBuf,
    /// The file with the labels; MEDIUM.labels if the medium is a file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// Default path of the labels of a file: beside the file itself, after links are resolved.
pub(super) fn beside(medium: &Path) -> PathBuf {
    let is_link = medium.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    let itself = Some(medium).filter(|_| is_link).and_then(|link| link.canonicalize().ok());
    let mut name = itself.unwrap_or_else(|| medium.to_owned()).into_os_string();
    name.push(".labels");
    name.into()
}

impl PathArgs {
    pub(super) fn is_device(&self) -> bool {
        std::fs::metadata(&self.medium).is_ok_and(|metadata| metadata.file_type().is_char_device())
    }

    /// True if both paths lead to the same file.
    fn is_medium(&self, labels: &Path) -> bool {
        let file = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        labels == self.medium || file(labels).is_some_and(|labels| file(&self.medium) == Some(labels))
    }

    pub(super) fn labels(&self) -> Result<PathBuf, FilesError> {
        match &self.labels {
            Some(labels) if self.is_medium(labels) => Err(FilesError::OneFile { path: labels.clone() }),
            Some(labels) => Ok(labels.clone()),
            None if self.is_device() => Err(FilesError::NoPlaceForLabels { device: self.medium.clone() }),
            None => Ok(beside(&self.medium)),
        }
    }

    pub(super) fn are_labels_named(&self) -> bool {
        self.labels.is_some()
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::of(format!("the region of {}", self.medium.display()))
    }
}

/// True if the labels exist.
///
/// # Errors
/// Fails if the path exists and contains no labels.
pub(super) fn is_there(labels: &Path) -> Result<bool, FilesError> {
    let found = match (std::fs::metadata(labels), labels.symlink_metadata()) {
        (Ok(metadata), _) if metadata.is_file() => return Ok(true),
        (Ok(metadata), _) if metadata.is_dir() => "a directory",
        (Ok(_), _) => "no regular file",
        (Err(error), Ok(_)) if error.kind() == ErrorKind::NotFound => "a symbolic link to nothing",
        // If permission is missing, opening the file reports it.
        (Err(_), Ok(_)) => return Ok(true),
        (Err(_), Err(_)) => return Ok(false),
    };
    Err(FilesError::NotForLabels { labels: labels.to_owned(), found })
}

/// Paths of an existing region.
#[derive(Args, Clone, Debug)]
pub(super) struct MediumArgs {
    #[command(flatten)]
    pub(super) paths: PathArgs,
    /// Physical address at which firmware places the region now, if it is not where it was created
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    at: Option<u64>,
}

impl MediumArgs {
    pub(super) fn open(&self, access: Access, json: Json) -> anyhow::Result<Region<StorageFile>> {
        self.prepare_for_less(json).context("cannot prepare for media that become shorter")?;
        let labels = self.paths.labels()?;
        let medium = StorageFile::open(&self.paths.medium, access)?;
        if !is_there(&labels)? {
            let (medium, is_named) = (self.paths.medium.clone(), self.paths.are_labels_named());
            return Err(FilesError::NoLabels { medium, labels, is_named }.into());
        }
        let labels = StorageFile::open(&labels, access)?;
        let region = Region::open(medium, labels, self.at).with_context(|| self.paths.subject())?;
        if let Some(damage) = region.damaged_copy() {
            let medium = self.paths.medium.display();
            eprintln!(
                "warning: one of the two copies of the labels of {medium} is invalid: {damage}; the other is used, and the next change repairs it"
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

/// Names and extents of the region's namespaces, except one.
pub(super) fn around(region: &Region<StorageFile>, except: Option<&[u8; 16]>) -> Vec<(String, Extent)> {
    let others = region.labels().iter().filter(|label| Some(&label.uuid) != except);
    others.map(|label| (label.name.clone(), region.namespace(label))).collect()
}

/// A namespace as what is asked about.
pub(super) fn subject(region: &Region<StorageFile>, label: &Label) -> Subject {
    let (medium, labels) = (region.medium().path(), region.label_path());
    let named = arguments(medium, labels, labels != beside(medium));
    Subject::at(&label.name, region.namespace(label)).among(around(region, Some(&label.uuid))).of_region(named)
}

/// Starts of the region (--at) with which a namespace would be mapped: where it was made, those beside its own that put its data back on
/// the grid, and those with which it begins with a section. `own` is what is mapped of its region, which moves with it.
pub(super) fn places(
    region: &Region<StorageFile>,
    label: &Label,
    error: Option<&RegionError>,
    around: &Surroundings<'_>,
    own: &[Extent],
    rules: &RuleSet,
) -> Vec<String> {
    let start = region.extent().start;
    let (off, grid) = match error {
        Some(RegionError::InfoBlock(InfoBlockError::BadOffset { off, align, .. })) => (*off, *align),
        Some(RegionError::InfoBlock(InfoBlockError::StartMisaligned { off, compat, .. })) => (*off, *compat),
        Some(_) => return Vec::new(),
        None => ((start + label.offset) % HOST.section_bytes, HOST.section_bytes),
    };
    let candidates = [Some(region.original_start()), start.checked_sub(off), start.checked_add(grid - off)];
    let would_be_mapped = |place: &u64| {
        let namespace = place.checked_add(label.offset).and_then(|start| Extent::new(start, label.size));
        let personality = region.probe_at(*place, label, &HOST, rules).ok();
        let Some((Personality::Pages(_, settings), namespace)) = personality.zip(namespace) else { return false };
        let moved = own.iter().map(|own| Extent { start: own.start - start + place, size: own.size });
        let regions: Vec<_> = moved.chain(around.regions.iter().copied()).collect();
        let around = Surroundings { ram: around.ram, regions: &regions };
        forecast(&Mapped::new(&settings, namespace), &around, &HOST, rules).is_ok()
    };
    let candidates = candidates.into_iter().flatten().filter(|place| *place != start);
    tried(candidates.map(|place| Tried::new(format!("--at {place:#x}"), place)), would_be_mapped)
}
