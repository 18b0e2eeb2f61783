//! A regular file or a DAX device behind one type.

use super::Storage;
use super::access::Access;
use super::device::DeviceStorage;
use super::error::StorageError;
use super::file::{FileStorage, Hole};
use crate::backing::DaxDevice;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

/// An open file that holds a region or its labels: a regular file or the node of a DAX device. It is
/// locked while it is open.
#[derive(Debug)]
pub enum StorageFile {
    /// A regular file, accessed by read and write system calls.
    File(FileStorage),
    /// A DAX device, accessed through a mapping.
    Device(DeviceStorage),
}

impl StorageFile {
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

    /// Like [`create`](Self::create), but the file is removed on drop unless [`StorageFile::keep`] is
    /// called.
    ///
    /// # Errors
    /// [`StorageError`]; no file was created.
    pub fn create_temporary(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create_temporary(path, len)?))
    }

    /// Keeps a file that was created or extended temporarily.
    pub fn keep(&mut self) {
        if let Self::File(file) = self {
            file.keep();
        }
    }

    /// Creates a file of `len` bytes without a name. It vanishes on drop unless
    /// [`StorageFile::link`] is called.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) fn create_unnamed(path: &Path, len: u64) -> Result<Self, StorageError> {
        Ok(Self::File(FileStorage::create_unnamed(path, len)?))
    }

    /// Gives the file its name, if it has none yet.
    ///
    /// # Errors
    /// A file of that name exists, or the operating system reported an error.
    pub(crate) fn link(&mut self) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.link(),
            Self::Device(_) => Ok(()),
        }
    }

    /// Extends an empty file to `len` bytes. It is truncated again on drop unless [`StorageFile::keep`]
    /// is called.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn extend_temporarily(&mut self, len: u64) -> Result<(), StorageError> {
        match self {
            Self::File(file) => file.extend_temporarily(len),
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
    pub(crate) fn punch(&self, hole: &Hole) {
        if let Self::File(file) = self {
            file.punch(hole);
        }
    }

    /// A mappable part that holds records: `len` bytes from `before` bytes below `offset`. Bytes
    /// before the start of the medium must never be mapped. They are the reserve of an altmap whose
    /// range begins before its namespace.
    pub(crate) fn part(&self, name: String, offset: u64, before: u64, len: u64) -> DaxDevice {
        match self {
            Self::File(file) => DaxDevice::from_file(Arc::clone(file.file()), name, offset, before, len),
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

impl Storage for StorageFile {
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
