//! Errors of the files that are given for a region.

use std::path::PathBuf;
use thiserror::Error;

/// Why the given files cannot be used for a region or a scene.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegionFilesError {
    /// Medium and labels are the same file; labels would overwrite the medium.
    #[error("{} cannot be both the medium and its labels; name another file with --labels", path.display())]
    OneFile {
        /// Path of that file.
        path: PathBuf,
    },
    /// The medium is a device, so it has no default label file.
    #[error("the device {} has no default label file; name one with --labels", device.display())]
    NoDefaultLabels {
        /// Path of the device.
        device: PathBuf,
    },
    /// The medium exists, but its labels do not.
    #[error("{} has no labels at {}; name the label file with --labels", medium.display(), labels.display())]
    NoLabels {
        /// Path of the medium.
        medium: PathBuf,
        /// Path at which the labels were expected.
        labels: PathBuf,
        /// True if `--labels` gave the path.
        is_named: bool,
    },
    /// A region was to be created where one exists.
    #[error("{} is a region already: its labels are in {}", medium.display(), labels.display())]
    IsRegion {
        /// Path of the medium.
        medium: PathBuf,
        /// Path of its labels.
        labels: PathBuf,
        /// True if `--labels` gave the path.
        is_named: bool,
    },
    /// The path for the labels is something that cannot hold labels.
    #[error("{} cannot hold labels because it is {found}; name a regular file with --labels", labels.display())]
    NotForLabels {
        /// Path for the labels.
        labels: PathBuf,
        /// What the path is instead.
        found: &'static str,
    },
    /// The file does not exist or is empty, so a size is required.
    #[error("{} is missing or empty and no size is given; try --size 4G", medium.display())]
    SizeMissing {
        /// Path of the medium.
        medium: PathBuf,
    },
    /// The medium exists and has another size than the requested one, or is a device.
    #[error("{} has a size of its own, not {size} bytes; omit --size", medium.display())]
    OwnSize {
        /// Path of the medium.
        medium: PathBuf,
        /// Its length in bytes, if it is a file.
        len: Option<u64>,
        /// The requested size in bytes.
        size: u64,
    },
    /// No files can be created in the folder for temporary files.
    #[error("no files can be created in {}: {why}; try --dir /tmp", dir.display())]
    NoTemporaryFiles {
        /// The folder, as it was given.
        dir: PathBuf,
        /// The error of the operating system.
        why: String,
    },
}
