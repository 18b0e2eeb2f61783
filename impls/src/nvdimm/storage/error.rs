//! Why a file or device cannot be used as storage.

use crate::backing::DaxError;
use rustix::io::Errno;
use std::fs::FileType;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file or device cannot be used as storage.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The operating system reported an error.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// The operation that failed.
        what: &'static str,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The path is neither a regular file nor a DAX device.
    #[error("{} is {found}; a medium must be a regular file or a DAX device (/dev/daxX.Y)", path.display())]
    NoMedium {
        /// The refused path.
        path: PathBuf,
        /// What the path is instead.
        found: &'static str,
    },
    /// Another process has the file open.
    #[error(
        "{} is open in another process, and only one process can change a region; wait until that process \
         ends (`fuser {}` shows it)",
        path.display(), path.display()
    )]
    Busy {
        /// Path of the file.
        path: PathBuf,
    },
    /// The DAX device cannot be used.
    #[error(transparent)]
    Device(#[from] DaxError),
}

impl StorageError {
    pub(super) fn no_medium(path: &Path, kind: FileType) -> Self {
        let found = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_char_device() => "a character device",
            () if kind.is_block_device() => "a block device",
            () => "neither a regular file nor a device",
        };
        Self::NoMedium { path: path.to_owned(), found }
    }

    /// The error number that the kernel returns for the same failure.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Io { source, .. } => Errno::from_io_error(source).unwrap_or(Errno::IO),
            Self::NoMedium { .. } => Errno::NODEV,
            Self::Device(DaxError::Io { source, .. }) => Errno::from_io_error(source).unwrap_or(Errno::IO),
            Self::Device(_) => Errno::NODEV,
            Self::Busy { .. } => Errno::BUSY,
        }
    }
}
