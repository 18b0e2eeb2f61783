//! Storage that outlives a process, and its crash consistency.
//!
//! **Failure model.** The atomic unit of a write is a sector of 512 bytes or, on a mapped device,
//! eight aligned bytes. After a crash, any subset of the units written since the last barrier may
//! be there. Everything written before a barrier is there.

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

/// Atomic write unit in bytes of a file or a disk.
pub const SECTOR_BYTES: usize = 512;

/// Atomic write unit in bytes of a mapped device: one aligned store.
pub const STORE_BYTES: usize = 8;

/// Bytes that can be read, written and made durable.
pub trait Storage: Debug {
    /// Present size in bytes.
    ///
    /// # Errors
    /// The operating system reported an error.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Fills a buffer with the bytes at `offset`.
    ///
    /// # Errors
    /// The storage ends too early (`UnexpectedEof`), or the operating system reported an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes whole sectors.
    ///
    /// # Errors
    /// The storage is read-only or full, or the operating system reported an error. Some sectors
    /// may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written so far durable: it survives a power failure once this returns.
    ///
    /// # Errors
    /// The operating system reported an error. It is then unknown what was written.
    fn barrier(&self) -> io::Result<()>;
}

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
    #[error("{} is {found}, and a medium is a regular file (on tmpfs or a disk) or a DAX device (/dev/daxX.Y)", path.display())]
    NoMedium {
        /// The refused path.
        path: PathBuf,
        /// What the path is instead.
        found: &'static str,
    },
    /// Another process has the file open.
    #[error("{} is open in another process, and a region has one owner: wait until it has ended (`fuser {}` names it)", path.display(), path.display())]
    Busy {
        /// Path of the file.
        path: PathBuf,
    },
    /// The DAX device cannot be used.
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

/// Read or write access, and the lock that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read-only, with a lock that other readers can share.
    Read,
    /// Read and write, with an exclusive lock.
    Write,
}

/// Locks a file: one writer, or any number of readers.
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
    /// A regular file, accessed by read and write system calls.
    File(FileStorage),
    /// A DAX device, accessed through a mapping.
    Device(DeviceStorage),
}

impl Medium {
    /// Opens an existing file or device.
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

    /// Creates a new sparse file of `len` bytes, which is durable on return.
    ///
    /// # Errors
    /// [`StorageError`]; no file was created.
    pub fn create(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create(path, len)?))
    }

    /// Like [`create`](Self::create), but the file is removed on drop unless [`Medium::stays`] is
    /// called.
    ///
    /// # Errors
    /// [`StorageError`]; no file was created.
    pub fn create_for_now(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create_for_now(path, len)?))
    }

    /// Keeps a file that was created or lengthened temporarily.
    pub fn stays(&mut self) {
        if let Self::File(file) = self {
            file.stays();
        }
    }

    /// Creates a file of `len` bytes without a name. It vanishes on drop unless
    /// [`Medium::give_name`] is called.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn create_nameless(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create_nameless(path, len)?))
    }

    /// Gives the file its name, if it has none yet.
    ///
    /// # Errors
    /// A file of that name exists, or the operating system reported an error.
    pub fn give_name(&mut self) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.give_name(),
            Self::Device(_) => Ok(()),
        }
    }

    /// Extends an empty file to `len` bytes. It is truncated again on drop unless [`Medium::stays`]
    /// is called.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn lengthen_for_now(&mut self, len: u64) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.lengthen_for_now(len),
            Self::Device(_) => Ok(()),
        }
    }

    /// Path of the file or device, for messages.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Device(device) => device.path(),
        }
    }

    /// Physical address of the first byte, if it is a device and the kernel reveals it.
    pub fn physical_start(&self) -> Option<u64> {
        match self {
            Self::File(_) => None,
            Self::Device(device) => device.device().physical_start(),
        }
    }

    /// The hole at a range of a sparse file; `None` if the range has data.
    pub(crate) fn hole(&self, range: Range<u64>) -> Option<Hole> {
        match self {
            Self::File(file) => file.hole(range),
            Self::Device(_) => None,
        }
    }

    /// Punches the hole again.
    pub(crate) fn dig(&self, hole: &Hole) {
        if let Self::File(file) = self {
            file.dig(hole);
        }
    }

    /// A part of it that holds records: `len` bytes that begin `before` bytes in front of `offset`.
    /// What lies in front of the medium must never be mapped: it is the reserve of an altmap whose
    /// grid begins before its namespace.
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
