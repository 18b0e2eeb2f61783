//! The files of a region: its medium, and the label file beside it or elsewhere.

mod error;

pub use error::RegionFilesError;

use super::PmemError;
use super::refusal::shell::path_word;
use super::refusal::{Refusal, Subject};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::region::Region;
use memmap_layouts::nvdimm::storage::{Access, StorageError, StorageFile};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Paths of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionFiles {
    /// The medium: a regular file or a DAX device.
    pub medium: PathBuf,
    /// The label file; `None` for [`default_label_file`].
    pub labels: Option<PathBuf>,
}

impl RegionFiles {
    /// True if the medium is a character device, such as `/dev/dax0.0`.
    pub fn is_device(&self) -> bool {
        fs::metadata(&self.medium).is_ok_and(|metadata| metadata.file_type().is_char_device())
    }

    /// Path of the label file.
    ///
    /// # Errors
    /// The label file is the medium itself, or the medium is a device and no label file is given.
    pub fn label_file(&self) -> Result<PathBuf, RegionFilesError> {
        match &self.labels {
            Some(labels) if self.is_medium(labels) => Err(RegionFilesError::OneFile { path: labels.clone() }),
            Some(labels) => Ok(labels.clone()),
            None if self.is_device() => Err(RegionFilesError::NoDefaultLabels { device: self.medium.clone() }),
            None => Ok(default_label_file(&self.medium)),
        }
    }

    /// Opens the region and locks both files.
    ///
    /// `start` is the physical address in bytes at which firmware places the region now; `None` for
    /// the address with which it was created. [`Region::damaged_copy`] tells whether one of the two
    /// copies of the labels is damaged.
    ///
    /// # Errors
    /// [`PmemError::Refused`]: a file is missing or in use, the labels are damaged, the medium is
    /// shorter than the region, or `start` is not a multiple of 4 KiB.
    pub fn open(&self, start: Option<u64>, access: Access) -> Result<Region<StorageFile>, PmemError> {
        let labels = self.label_file()?;
        let medium = StorageFile::open(&self.medium, access)?;
        if !label_file_exists(&labels)? {
            let (medium, is_named) = (self.medium.clone(), self.labels.is_some());
            return Err(RegionFilesError::NoLabels { medium, labels, is_named }.into());
        }
        let labels = StorageFile::open(&labels, access)?;
        Ok(Region::open(medium, labels, start).map_err(|error| Refusal::from_region(&error, &self.subject()))?)
    }

    /// The region as the subject of a refusal.
    pub fn subject(&self) -> Subject {
        region_subject(&self.medium)
    }

    /// True if both paths lead to the same file.
    fn is_medium(&self, labels: &Path) -> bool {
        let file = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
        labels == self.medium || file(labels).is_some_and(|labels| file(&self.medium) == Some(labels))
    }
}

/// Default path of the labels of a file: `FILE.labels`, where `FILE` is the target if the path is a
/// symbolic link.
pub fn default_label_file(medium: &Path) -> PathBuf {
    let is_link = medium.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    let target = Some(medium).filter(|_| is_link).and_then(|link| link.canonicalize().ok());
    let mut name = target.unwrap_or_else(|| medium.to_owned()).into_os_string();
    name.push(".labels");
    name.into()
}

/// True if a label file exists at the path, or something that cannot be inspected.
///
/// # Errors
/// [`RegionFilesError::NotForLabels`] if something other than a regular file is there.
pub fn label_file_exists(labels: &Path) -> Result<bool, RegionFilesError> {
    let found = match (fs::metadata(labels), labels.symlink_metadata()) {
        (Ok(metadata), _) if metadata.is_file() => return Ok(true),
        (Ok(metadata), _) if metadata.is_dir() => "a directory",
        (Ok(_), _) => "not a regular file",
        (Err(error), Ok(_)) if error.kind() == ErrorKind::NotFound => "a dangling symbolic link",
        // If permission is missing, opening the file reports it.
        (Err(_), Ok(_)) => return Ok(true),
        (Err(_), Err(_)) => return Ok(false),
    };
    Err(RegionFilesError::NotForLabels { labels: labels.to_owned(), found })
}

/// The files of a region as command-line arguments, quoted for a shell.
pub(super) fn arguments(medium: &Path, labels: &Path, is_named: bool) -> String {
    match is_named {
        true => format!("{} --labels {}", path_word(medium), path_word(labels)),
        false => path_word(medium),
    }
}

/// The region of a medium as the subject of a refusal.
pub(super) fn region_subject(medium: &Path) -> Subject {
    Subject::new(format!("the region of {}", medium.display()))
}

/// Names and extents of the region's namespaces, except the one with the UUID `except`.
pub(super) fn named_namespaces(region: &Region<StorageFile>, except: Option<&[u8; 16]>) -> Vec<(String, Extent)> {
    let others = region.labels().iter().filter(|label| Some(&label.uuid) != except);
    others.map(|label| (label.name.clone(), region.namespace(label))).collect()
}

/// A namespace as the subject of a refusal.
pub(super) fn namespace_subject(region: &Region<StorageFile>, label: &Label) -> Subject {
    let (medium, labels) = (region.medium().path(), region.label_path());
    let arguments = arguments(medium, labels, labels != default_label_file(medium));
    Subject::at(&label.name, region.namespace(label))
        .with_neighbours(named_namespaces(region, Some(&label.uuid)))
        .with_region_arguments(arguments)
}

impl From<RegionFilesError> for PmemError {
    fn from(error: RegionFilesError) -> Self {
        Refusal::from_region_files(&error, &Subject::default()).into()
    }
}

impl From<StorageError> for PmemError {
    fn from(error: StorageError) -> Self {
        Refusal::from_storage(&error).into()
    }
}
