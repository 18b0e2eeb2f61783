//! Bytes that outlive a process, and what is promised of them when it is interrupted.
//!
//! **Failure model.** A sector of 512 bytes is written whole or not at all. Sectors that were written since the last barrier land in
//! any order, each or none. What was written before a barrier is there.
//!
//! Files are read and written by system calls, not through a mapping: one that became shorter is an error, not a signal.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// What is written whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// Bytes that can be read, written and made to last.
pub trait Storage: Debug {
    /// Bytes now.
    ///
    /// # Errors
    /// The system's.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Fills a buffer.
    ///
    /// # Errors
    /// There are fewer bytes (`UnexpectedEof`), or the system's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes whole sectors.
    ///
    /// # Errors
    /// Read-only, full, or the system's; some sectors may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns once everything that was written will be there after a loss of power.
    ///
    /// # Errors
    /// The system's; nothing is known then of what was written.
    fn barrier(&self) -> io::Result<()>;
}

/// Why a file does not serve.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The system's.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// Not a file.
    #[error("{} is {found}, and a medium is a regular file (on tmpfs or a disk)", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Another process has it.
    #[error("{} is open in another process, and a region has one owner: wait until it has ended (`fuser {}` names it)", path.display(), path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
}

impl StorageError {
    /// The kernel's.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Io { source, .. } => Errno::from_io_error(source).unwrap_or(Errno::IO),
            Self::NotAFile { .. } => Errno::NODEV,
            Self::Busy { .. } => Errno::BUSY,
        }
    }
}

/// May it be written?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looked at only; shared with others who look.
    Read,
    /// Changed; shared with nobody.
    Write,
}

/// A regular file, locked while it is open.
#[derive(Debug)]
pub struct FileStorage {
    file: Arc<File>,
    path: PathBuf,
}

impl FileStorage {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(path: &Path, access: Access) -> Result<Self, StorageError> {
        let write = access == Access::Write;
        let file = File::options().read(true).write(write).open(path);
        let file = file.map_err(|source| StorageError::Io { path: path.to_owned(), what: "open", source })?;
        Self::of(file, path, access)
    }

    /// Makes a sparse file of `len` bytes that is not there yet. What was made goes again if it does not serve.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create(path: &Path, len: u64) -> Result<Self, StorageError> {
        let io = |what| move |source| StorageError::Io { path: path.to_owned(), what, source };
        let made = File::options().read(true).write(true).create_new(true).open(path).map_err(io("make"))?;
        let storage =
            made.set_len(len).map_err(io("give its length to")).and_then(|()| Self::of(made, path, Access::Write));
        if storage.is_err() {
            let _ = std::fs::remove_file(path);
        }
        storage
    }

    fn of(file: File, path: &Path, access: Access) -> Result<Self, StorageError> {
        let io = |what| move |source: io::Error| StorageError::Io { path: path.to_owned(), what, source };
        let kind = file.metadata().map_err(io("ask"))?.file_type();
        if !kind.is_file() {
            let found = match () {
                () if kind.is_dir() => "a directory",
                () if kind.is_char_device() => "a character device",
                () if kind.is_block_device() => "a block device",
                () => "no regular file",
            };
            return Err(StorageError::NotAFile { path: path.to_owned(), found });
        }
        let lock = match access {
            Access::Read => FlockOperation::NonBlockingLockShared,
            Access::Write => FlockOperation::NonBlockingLockExclusive,
        };
        match rustix::fs::flock(&file, lock) {
            Ok(()) => Ok(Self { file: Arc::new(file), path: path.to_owned() }),
            Err(Errno::WOULDBLOCK) => Err(StorageError::Busy { path: path.to_owned() }),
            Err(errno) => Err(io("lock")(errno.into())),
        }
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Storage for FileStorage {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn barrier(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
