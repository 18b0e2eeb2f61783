//! A regular file as storage.
//!
//! A file that must be complete or absent is created without a name, and linked once it is written
//! (`O_TMPFILE`, `linkat`). On file systems without unnamed files it is created under a temporary
//! name in the same folder, and renamed.
//!
//! Files are accessed by system calls, not through a mapping: if a file was truncated, that returns
//! an error instead of raising a signal.

use super::Storage;
use super::access::{Access, lock};
use super::error::StorageError;
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::{File, Permissions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempPath;

/// A regular file, locked while it is open.
#[derive(Debug)]
pub struct FileStorage {
    file: Arc<File>,
    path: PathBuf,
    /// What happens to the file on drop, while the lock is still held.
    on_drop: OnDrop,
}

#[derive(Debug)]
enum OnDrop {
    Keep,
    /// The file has no name yet, so the kernel deletes it.
    Unnamed,
    /// The file has a temporary name, which is removed.
    TemporaryName(TempPath),
    /// The file was created temporarily, and is removed.
    Remove,
    /// The file was empty before, and is truncated to length 0.
    Truncate,
}

/// A range of a file without data.
#[derive(Debug)]
pub(crate) struct Hole {
    range: Range<u64>,
    /// Number of 512-byte blocks that the whole file had.
    blocks: u64,
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        match self.on_drop {
            OnDrop::Keep | OnDrop::Unnamed | OnDrop::TemporaryName(_) => {}
            // A file of the same name that another process created has another inode.
            OnDrop::Remove if self.is_at(&self.path) => {
                let _ = std::fs::remove_file(&self.path);
            }
            OnDrop::Remove => {}
            OnDrop::Truncate => {
                let _ = self.file.set_len(0);
            }
        }
    }
}

impl FileStorage {
    /// Opens an existing file.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self, StorageError> {
        // Check before opening: opening a pipe would wait for its other end.
        let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
        if let Some(kind) = kind.ok().filter(|kind| !kind.is_file()) {
            return Err(StorageError::no_medium(path, kind));
        }
        let write = access == Access::Write;
        let file = File::options().read(true).write(write).open(path);
        let file = file.map_err(|source| StorageError::Io { path: path.to_owned(), what: "open", source })?;
        Self::from_file(file, path, access)
    }

    /// Creates a new sparse file of `len` bytes, which is durable on return.
    ///
    /// # Errors
    /// [`StorageError`]; no file was created.
    pub(crate) fn create(path: &Path, len: u64) -> Result<Self, StorageError> {
        let mut storage = Self::create_temporary(path, len)?;
        storage.keep();
        Ok(storage)
    }

    /// Like [`create`](Self::create), but the file is removed on drop unless [`FileStorage::keep`]
    /// is called. The file is locked before it gets its name, so no other process can lock it first.
    ///
    /// # Errors
    /// [`StorageError`]; no file was created.
    pub(crate) fn create_temporary(path: &Path, len: u64) -> Result<Self, StorageError> {
        let mut storage = Self::create_unnamed(path, len)?;
        storage.link()?;
        storage.on_drop = OnDrop::Remove;
        Ok(storage)
    }

    /// Keeps a file that was created or extended temporarily.
    pub(crate) fn keep(&mut self) {
        self.on_drop = OnDrop::Keep;
    }

    /// Whether `path` names this file.
    fn is_at(&self, path: &Path) -> bool {
        let inode = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let (mine, named) = (self.file.metadata().map(inode), std::fs::symlink_metadata(path).map(inode));
        mine.ok().zip(named.ok()).is_some_and(|(mine, named)| mine == named)
    }

    /// Creates a file of `len` bytes without a name. It vanishes on drop unless
    /// [`FileStorage::link`] is called.
    ///
    /// # Errors
    /// [`StorageError`].
    pub(crate) fn create_unnamed(path: &Path, len: u64) -> Result<Self, StorageError> {
        let io = |what| move |source| StorageError::Io { path: path.to_owned(), what, source };
        let (file, on_drop) = match open_unnamed(path) {
            // This file system does not support unnamed files.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                open_with_temporary_name(path).map_err(io("create"))?
            }
            made => (made.map_err(|errno| io("create")(errno.into()))?, OnDrop::Unnamed),
        };
        let storage = Self { file: Arc::new(file), path: path.to_owned(), on_drop };
        lock(&storage.file, path, Access::Write)?;
        storage.file.set_len(len).map_err(io("set the length of"))?;
        Ok(storage)
    }

    /// Gives an unnamed file its name, after its contents are durable. Does nothing if the file has
    /// its name already, and never replaces another file.
    ///
    /// # Errors
    /// A file of that name exists, or the operating system reported an error; the file has no name
    /// then.
    pub(crate) fn link(&mut self) -> Result<(), StorageError> {
        let path = &self.path.clone();
        let io = |what| move |source: io::Error| StorageError::Io { path: path.clone(), what, source };
        self.file.sync_all().map_err(io("flush"))?;
        match std::mem::replace(&mut self.on_drop, OnDrop::Remove) {
            OnDrop::Unnamed => self.linkat().map_err(|errno| io("create")(errno.into()))?,
            OnDrop::TemporaryName(name) => name.persist_noclobber(path).map_err(|error| io("create")(error.error))?,
            other => {
                self.on_drop = other;
                return Ok(());
            }
        }
        // The name is durable once the folder is. Until then it is removed on drop.
        File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(io("flush the folder of"))?;
        self.on_drop = OnDrop::Keep;
        Ok(())
    }

    fn linkat(&self) -> rustix::io::Result<()> {
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match rustix::fs::linkat(CWD, from, CWD, &self.path, AtFlags::SYMLINK_FOLLOW) {
            // Works without /proc, but needs CAP_DAC_READ_SEARCH.
            Err(Errno::NOENT) => rustix::fs::linkat(&self.file, "", CWD, &self.path, AtFlags::EMPTY_PATH),
            named => named,
        }
    }

    /// Extends an empty file to `len` bytes, which is durable on return. The file is truncated again
    /// on drop unless [`FileStorage::keep`] is called.
    ///
    /// # Errors
    /// The operating system reported an error.
    pub(crate) fn extend_temporarily(&mut self, len: u64) -> Result<(), StorageError> {
        self.on_drop = OnDrop::Truncate;
        let lengthened = self.file.set_len(len).and_then(|()| self.file.sync_all());
        lengthened.map_err(|source| StorageError::Io { path: self.path.clone(), what: "set the length of", source })
    }

    fn from_file(file: File, path: &Path, access: Access) -> Result<Self, StorageError> {
        let io = |what| move |source: io::Error| StorageError::Io { path: path.to_owned(), what, source };
        let kind = file.metadata().map_err(io("query"))?.file_type();
        if !kind.is_file() {
            return Err(StorageError::no_medium(path, kind));
        }
        lock(&file, path, access)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), on_drop: OnDrop::Keep })
    }

    /// Returns the range if it is a hole. Cost: one `lseek`, which stops at the first data.
    pub(super) fn hole(&self, range: Range<u64>) -> Option<Hole> {
        let blocks = self.file.metadata().ok()?.blocks();
        let is_hole = match rustix::fs::seek(&self.file, SeekFrom::Data(range.start)) {
            Ok(data) => data >= range.end,
            // There is no data at or after the offset.
            Err(Errno::NXIO) => true,
            Err(_) => false,
        };
        is_hole.then_some(Hole { range, blocks })
    }

    /// Punches the hole again, by releasing the blocks that were written to it since. Blocks that
    /// were reserved before must stay reserved, so if the file grew by less than its new data,
    /// nothing is released. If the file system cannot release blocks, they stay: that wastes space,
    /// but loses no data.
    pub(super) fn punch(&self, Hole { range, blocks }: &Hole) {
        let (mut data, mut at) = (Vec::new(), range.start);
        while at < range.end {
            let Ok(begin) = rustix::fs::seek(&self.file, SeekFrom::Data(at)) else { break };
            let end = rustix::fs::seek(&self.file, SeekFrom::Hole(begin)).unwrap_or(range.end).min(range.end);
            if begin >= end {
                break;
            }
            data.push(begin..end);
            at = end;
        }
        let nr_bytes: u64 = data.iter().map(|part| part.end - part.start).sum();
        let more = self.file.metadata().map_or(0, |metadata| metadata.blocks().saturating_sub(*blocks)) * 512;
        if more < nr_bytes {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for part in data {
            let _ = rustix::fs::fallocate(&self.file, flags, part.start, part.end - part.start);
        }
    }

    /// The open file.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Permissions of new files, before the umask applies.
const MODE: u32 = 0o666;

/// Creates an unnamed file in the folder of `path`.
fn open_unnamed(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(folder(path), flags, Mode::from_raw_mode(MODE)).map(File::from)
}

/// Creates a file with a unique temporary name in the folder of `path`.
fn open_with_temporary_name(path: &Path) -> io::Result<(File, OnDrop)> {
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(MODE)).tempfile_in(folder(path))?;
    let (file, name) = file.into_parts();
    Ok((file, OnDrop::TemporaryName(name)))
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_linked_when_complete_and_replaces_no_other() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("labels");
        let nr_names = || std::fs::read_dir(dir.path()).unwrap().count();
        drop(FileStorage::create_unnamed(&path, 4096).unwrap());
        assert_eq!(nr_names(), 0);
        let mut file = FileStorage::create_unnamed(&path, 4096).unwrap();
        file.write_at(&[7; 512], 0).unwrap();
        assert!(!path.exists());
        file.link().unwrap();
        assert_eq!((nr_names(), std::fs::read(&path).unwrap()[511]), (1, 7));
        drop(file);
        let mut other = FileStorage::create_unnamed(&path, 4096).unwrap();
        assert_eq!(other.link().unwrap_err().errno(), Errno::EXIST);
        drop(other);
        assert_eq!((nr_names(), std::fs::read(&path).unwrap()[511]), (1, 7));
        let nowhere = FileStorage::create_unnamed(&dir.path().join("none/labels"), 4096).unwrap_err();
        assert_eq!(nowhere.errno(), Errno::NOENT);
    }

    #[test]
    fn temporary_files_are_removed_and_files_of_others_are_not() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("medium");
        drop(FileStorage::create_temporary(&path, 4096).unwrap());
        assert!(!path.exists());
        let mut made = FileStorage::create_temporary(&path, 4096).unwrap();
        assert!(matches!(FileStorage::open(&path, Access::Write), Err(StorageError::Busy { .. })));
        made.keep();
        drop(made);
        assert_eq!(FileStorage::create_temporary(&path, 8192).unwrap_err().errno(), Errno::EXIST);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
        // Another file takes the name.
        std::fs::remove_file(&path).unwrap();
        let made = FileStorage::create_temporary(&path, 4096).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"another").unwrap();
        drop(made);
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        std::fs::write(&path, []).unwrap();
        let mut empty = FileStorage::open(&path, Access::Write).unwrap();
        empty.extend_temporarily(4096).unwrap();
        drop(empty);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn a_hole_is_punched_again_and_reserved_blocks_stay() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("medium");
        let file = FileStorage::create(&path, 1 << 20).unwrap();
        let blocks = || std::fs::metadata(&path).unwrap().blocks();
        let reserve = |at, len| rustix::fs::fallocate(file.file(), FallocateFlags::KEEP_SIZE, at, len).unwrap();
        reserve(0, 64 << 10);
        let (had, hole) = (blocks(), file.hole(0..1 << 20).unwrap());
        // Data outside of the reserved blocks only.
        file.write_at(&[1; 8192], 128 << 10).unwrap();
        file.punch(&hole);
        assert_eq!(blocks(), had);
        // Data inside and outside of them.
        file.write_at(&[1; 8192], 0).unwrap();
        file.write_at(&[1; 8192], 128 << 10).unwrap();
        file.punch(&hole);
        assert_eq!(blocks(), had + 16);
        assert!(file.hole(0..1 << 20).is_none() && file.hole(512 << 10..1 << 20).is_some());
    }

    /// The fallback for file systems without unnamed files.
    #[test]
    fn the_fallback_with_a_temporary_name_behaves_the_same() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("labels");
        let nr_names = || std::fs::read_dir(dir.path()).unwrap().count();
        let with_temporary_name = || {
            let (file, on_drop) = open_with_temporary_name(&path).unwrap();
            FileStorage { file: Arc::new(file), path: path.clone(), on_drop }
        };
        drop(with_temporary_name());
        assert_eq!(nr_names(), 0);
        with_temporary_name().link().unwrap();
        assert!(path.exists() && nr_names() == 1);
        assert_eq!(with_temporary_name().link().unwrap_err().errno(), Errno::EXIST);
        assert_eq!(nr_names(), 1);
    }
}
