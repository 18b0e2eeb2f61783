//! Bytes that outlive a process, and what is promised of them when it is interrupted.
//!
//! **Failure model.** A sector of 512 bytes is written whole or not at all; of a device that is mapped, eight aligned bytes. Units that
//! were written since the last barrier land in any order, each or none. What was written before a barrier is there.

mod device;
mod file;

pub use device::DeviceStorage;
pub use file::FileStorage;
pub(crate) use file::Hole;

use crate::backing::{DaxDevice, DaxError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fmt::Debug;
use std::fs::{File, FileType};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// What a file or a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;

/// What a mapped device writes whole or not at all: an aligned store.
pub const STORE_BYTES: usize = 8;

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
    /// Neither a file nor a DAX device.
    #[error("{} is {found}, and a medium is a regular file (on tmpfs or a disk) or a DAX device (/dev/daxX.Y)", path.display())]
    NoMedium {
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
    /// A device that does not serve.
    #[error(transparent)]
    Device(#[from] DaxError),
}

impl StorageError {
    fn no_medium(path: &Path, kind: FileType) -> Self {
        let found = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_char_device() => "a character device",
            () if kind.is_block_device() => "a block device",
            () => "no regular file",
        };
        Self::NoMedium { path: path.to_owned(), found }
    }

    /// The kernel's.
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

/// May it be written?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looked at only; shared with others who look.
    Read,
    /// Changed; shared with nobody.
    Write,
}

/// One owner who writes, or many who look.
fn lock(file: &File, path: &Path, access: Access) -> Result<(), StorageError> {
    let how = match access {
        Access::Read => FlockOperation::NonBlockingLockShared,
        Access::Write => FlockOperation::NonBlockingLockExclusive,
    };
    rustix::fs::flock(file, how).map_err(|errno| match errno {
        Errno::WOULDBLOCK => StorageError::Busy { path: path.to_owned() },
        errno => StorageError::Io { path: path.to_owned(), what: "lock", source: errno.into() },
    })
}

/// A regular file or a DAX device, locked while it is open.
#[derive(Debug)]
pub enum Medium {
    /// Read and written.
    File(FileStorage),
    /// Mapped.
    Device(DeviceStorage),
}

impl Medium {
    /// Opens what is there.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn open(path: &Path, access: Access) -> Result<Self, StorageError> {
        let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
        Ok(match kind.is_ok_and(|kind| kind.is_char_device()) {
            true => Self::Device(DeviceStorage::open(path, access)?),
            false => Self::File(FileStorage::open(path, access)?),
        })
    }

    /// Makes a sparse file of `len` bytes that is not there yet, and lasts when this returns.
    ///
    /// # Errors
    /// [`StorageError`]; nothing was made then.
    pub fn create(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create(path, len)?))
    }

    /// The same, but it goes again unless [`Medium::stays`] is called.
    ///
    /// # Errors
    /// [`StorageError`]; nothing was made then.
    pub fn create_for_now(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create_for_now(path, len)?))
    }

    /// What was made or lengthened for now stays.
    pub fn stays(&mut self) {
        if let Self::File(file) = self {
            file.stays();
        }
    }

    /// Makes a file of `len` bytes that gets its name when [`Medium::give_name`] is called, and is gone if that is not.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create_nameless(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create_nameless(path, len)?))
    }

    /// Gives it its name, if it has none.
    ///
    /// # Errors
    /// There is a file of that name, or the system's.
    pub fn give_name(&mut self) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.give_name(),
            Self::Device(_) => Ok(()),
        }
    }

    /// Gives an empty file its length; it is empty again unless [`Medium::stays`] is called.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn lengthen_for_now(&mut self, len: u64) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.lengthen_for_now(len),
            Self::Device(_) => Ok(()),
        }
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Device(device) => device.path(),
        }
    }

    /// Physical address of its first byte, if it has one and the kernel tells it.
    pub fn physical_start(&self) -> Option<u64> {
        match self {
            Self::File(_) => None,
            Self::Device(device) => device.device().physical_start(),
        }
    }

    /// A range of a sparse file as a hole, if it is one.
    pub(crate) fn hole(&self, range: Range<u64>) -> Option<Hole> {
        match self {
            Self::File(file) => file.hole(range),
            Self::Device(_) => None,
        }
    }

    /// Makes it a hole again.
    pub(crate) fn dig(&self, hole: &Hole) {
        if let Self::File(file) = self {
            file.dig(hole);
        }
    }

    /// A part of it that holds records: `len` bytes that begin `before` bytes in front of `offset`. What lies in front of the medium
    /// must never be mapped: it is the reserve of an altmap whose grid begins before its namespace.
    pub(crate) fn part(&self, name: String, offset: u64, before: u64, len: u64) -> DaxDevice {
        match self {
            Self::File(file) => DaxDevice::over_file(Arc::clone(file.file()), name, offset, before, len),
            Self::Device(device) => device.device().part(name, offset, before, len),
        }
    }

    fn storage(&self) -> &dyn Storage {
        match self {
            Self::File(file) => file,
            Self::Device(device) => device,
        }
    }
}

impl Storage for Medium {
    fn len_bytes(&self) -> io::Result<u64> {
        self.storage().len_bytes()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.storage().read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.storage().write_at(bytes, offset)
    }
    fn barrier(&self) -> io::Result<()> {
        self.storage().barrier()
    }
}
