//! Errors in the files that are given for a region.

use std::path::PathBuf;
use thiserror::Error;

/// Medium and labels contradict each other, or are incomplete.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilesError {
    /// Medium and labels are the same file; labels would overwrite the medium.
    #[error("{} cannot be the medium and its labels", path.display())]
    OneFile {
        /// Path of that file.
        path: PathBuf,
    },
    /// The medium is a device, which has no place for a label file beside it.
    #[error("{} keeps no labels; name a file for them", device.display())]
    NoPlaceForLabels {
        /// Path of the device.
        device: PathBuf,
    },
    /// The medium exists, but its labels do not.
    #[error("{} has no labels at {}", medium.display(), labels.display())]
    NoLabels {
        /// Path of the medium.
        medium: PathBuf,
        /// Path at which the labels were expected.
        labels: PathBuf,
        /// True if `--labels` gave the path.
        is_named: bool,
    },
    /// A new region was requested where one exists.
    #[error("{} is a region already: {} has its labels", medium.display(), labels.display())]
    IsRegion {
        /// Path of the medium.
        medium: PathBuf,
        /// Path of its labels.
        labels: PathBuf,
        /// True if `--labels` gave the path.
        is_named: bool,
    },
    /// The path for the labels is something that cannot hold labels.
    #[error("{} cannot hold labels: it is {found}", labels.display())]
    NotForLabels {
        /// Path for the labels.
        labels: PathBuf,
        /// What the path is instead.
        found: &'static str,
    },
    /// The file does not exist or is empty, so a size is required.
    #[error("the size of {} is missing", medium.display())]
    SizeMissing {
        /// Path of the medium.
        medium: PathBuf,
    },
    /// The medium exists and has a size of its own.
    #[error("{} has its own size", medium.display())]
    OwnSize {
        /// Path of the medium.
        medium: PathBuf,
        /// Its length in bytes, if it is a file.
        len: Option<u64>,
        /// The requested size in bytes.
        size: u64,
    },
    /// No files can be made in the folder.
    #[error("no files can be made in {}: {why}", dir.display())]
    NoFolder {
        /// The folder, as it was named.
        dir: PathBuf,
        /// The error of the operating system.
        why: String,
    },
}
