//! Errors of a run folder that is being written.

use super::reader::ReadError;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// An error while a run folder is written or read.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A file or folder cannot be written.
    #[error("cannot write the run folder {}: {source}; choose another place with --output", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The disk or quota is full. Results that were measured before are intact.
    #[error("no space left for {}: {source}; earlier results are kept", path.display())]
    Full {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The rows of the folder cannot be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The run cannot be resumed.
    #[error("cannot resume {}: {reason}", path.display())]
    Resume {
        /// Path of the folder.
        path: PathBuf,
        /// The reason, as a sentence without a full stop.
        reason: String,
    },
}

impl FolderError {
    /// True if the user has no permission to write there, or if the file system is read-only.
    pub fn is_not_allowed(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self, Self::Write { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
    }
}

pub(super) fn written(path: &Path, source: io::Error) -> FolderError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            FolderError::Full { path, source }
        }
        _ => FolderError::Write { path, source },
    }
}
