//! What is wrong with the files that a region is asked to be of.

use std::path::PathBuf;
use thiserror::Error;

/// Medium and labels do not go together, or say too little.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilesError {
    /// Labels over the medium would destroy it.
    #[error("{} cannot be the medium and its labels", path.display())]
    OneFile {
        /// Of both.
        path: PathBuf,
    },
    /// A device keeps no file beside it.
    #[error("{} keeps no labels; name a file for them", device.display())]
    NoPlaceForLabels {
        /// The device.
        device: PathBuf,
    },
    /// The medium is there and its labels are not.
    #[error("{} has no labels at {}", medium.display(), labels.display())]
    NoLabels {
        /// The medium.
        medium: PathBuf,
        /// Where they were looked for.
        labels: PathBuf,
        /// With `--labels`.
        is_named: bool,
    },
    /// A new region where there is one.
    #[error("{} is a region already: {} has its labels", medium.display(), labels.display())]
    IsRegion {
        /// The medium.
        medium: PathBuf,
        /// Its labels.
        labels: PathBuf,
        /// With `--labels`.
        is_named: bool,
    },
    /// What is there holds no labels.
    #[error("{} cannot hold labels: it is {found}", labels.display())]
    NotForLabels {
        /// The path.
        labels: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A file that is not there, or is empty, needs one.
    #[error("the size of {} is missing", medium.display())]
    SizeMissing {
        /// The medium.
        medium: PathBuf,
    },
    /// What is there has its own.
    #[error("{} has its own size", medium.display())]
    OwnSize {
        /// The medium.
        medium: PathBuf,
        /// Its bytes, if it is a file.
        len: Option<u64>,
        /// What was asked for.
        size: u64,
    },
    /// No files can be made there.
    #[error("no files can be made in {}: {why}", dir.display())]
    NoFolder {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        why: String,
    },
}
