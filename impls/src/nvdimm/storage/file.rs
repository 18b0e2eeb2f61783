//! A regular file as a medium.
//!
//! It is read and written by system calls, not through a mapping: one that became shorter is an error, not a signal.

use super::{Access, Storage, StorageError, lock};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        // Before it is opened: a pipe would wait for its other end.
        let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
        if let Some(kind) = kind.ok().filter(|kind| !kind.is_file()) {
            return Err(StorageError::no_medium(path, kind));
        }
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
            return Err(StorageError::no_medium(path, kind));
        }
        lock(&file, path, access)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned() })
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
