//! A regular file as a medium.
//!
//! One that must be whole or not there is made without a name and gets it when it is written
//! (`O_TMPFILE`, `linkat`); where a file system has no such files, under a name beside its own, and
//! renamed.
//!
//! It is read and written by system calls, not through a mapping: one that became shorter is an
//! error, not a signal.

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
    /// What becomes of it when this goes; its lock is still held then.
    fate: Fate,
}

#[derive(Debug)]
enum Fate {
    Stays,
    /// It has no name yet, and vanishes on drop.
    HasNoName,
    /// It has a temporary name, which is removed on drop.
    HasAnother(TempPath),
    /// It was created temporarily, and is removed on drop.
    IsRemoved,
    /// It was empty before, and is truncated on drop.
    IsEmptied,
}

/// A range without data, and the blocks of its file.
#[derive(Debug)]
pub(crate) struct Hole {
    range: Range<u64>,
    blocks: u64,
}

impl Drop for FileStorage {
    fn drop(&mut self) {
        match self.fate {
            Fate::Stays | Fate::HasNoName | Fate::HasAnother(_) => {}
            // Somebody else's file has another inode.
            Fate::IsRemoved if self.is_at(&self.path) => {
                let _ = std::fs::remove_file(&self.path);
            }
            Fate::IsRemoved => {}
            Fate::IsEmptied => {
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
    pub fn open(path: &Path, access: Access) -> Result<Self, StorageError> {
        // Before it is opened: a pipe would wait for its other end.
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
    pub fn create(path: &Path, len: u64) -> Result<Self, StorageError> {
        let mut storage = Self::create_temporary(path, len)?;
        storage.keep();
        Ok(storage)
    }

    /// The same, but it goes again unless [`FileStorage::keep`] is called. It has its lock before
    /// its name, so that nobody else ever has it in between.
    ///
    /// # Errors
    /// [`StorageError`]; no file was created.
    pub fn create_temporary(path: &Path, len: u64) -> Result<Self, StorageError> {
        let mut storage = Self::create_unnamed(path, len)?;
        storage.link()?;
        storage.fate = Fate::IsRemoved;
        Ok(storage)
    }

    /// Keeps a file that was created or lengthened temporarily.
    pub fn keep(&mut self) {
        self.fate = Fate::Stays;
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
    pub fn create_unnamed(path: &Path, len: u64) -> Result<Self, StorageError> {
        let io = |what| move |source| StorageError::Io { path: path.to_owned(), what, source };
        let (file, fate) = match without_a_name(path) {
            // A file system that has no such files.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => with_another(path).map_err(io("make"))?,
            made => (made.map_err(|errno| io("make")(errno.into()))?, Fate::HasNoName),
        };
        let storage = Self { file: Arc::new(file), path: path.to_owned(), fate };
        lock(&storage.file, path, Access::Write)?;
        storage.file.set_len(len).map_err(io("give its length to"))?;
        Ok(storage)
    }

    /// Gives a file its name that has none yet, once what is written lasts. A file of that name
    /// stays.
    ///
    /// # Errors
    /// There is one of that name, or the system's; it has no name then.
    pub fn link(&mut self) -> Result<(), StorageError> {
        let path = &self.path.clone();
        let io = |what| move |source: io::Error| StorageError::Io { path: path.clone(), what, source };
        self.file.sync_all().map_err(io("keep"))?;
        match std::mem::replace(&mut self.fate, Fate::IsRemoved) {
            Fate::HasNoName => self.linkat().map_err(|errno| io("name")(errno.into()))?,
            Fate::HasAnother(name) => name.persist_noclobber(path).map_err(|error| io("name")(error.error))?,
            fate => {
                self.fate = fate;
                return Ok(());
            }
        }
        // The name lasts when its folder does; until then it goes with this.
        File::open(folder(path)).and_then(|folder| folder.sync_all()).map_err(io("keep the name of"))?;
        self.fate = Fate::Stays;
        Ok(())
    }

    fn linkat(&self) -> rustix::io::Result<()> {
        let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match rustix::fs::linkat(CWD, from, CWD, &self.path, AtFlags::SYMLINK_FOLLOW) {
            // Without /proc, for who may.
            Err(Errno::NOENT) => rustix::fs::linkat(&self.file, "", CWD, &self.path, AtFlags::EMPTY_PATH),
            named => named,
        }
    }

    /// Gives an empty file its length, which lasts when this returns; it is empty again unless
    /// [`FileStorage::keep`] is called.
    ///
    /// # Errors
    /// The system's.
    pub fn extend_temporarily(&mut self, len: u64) -> Result<(), StorageError> {
        self.fate = Fate::IsEmptied;
        let lengthened = self.file.set_len(len).and_then(|()| self.file.sync_all());
        lengthened.map_err(|source| StorageError::Io { path: self.path.clone(), what: "give its length to", source })
    }

    fn from_file(file: File, path: &Path, access: Access) -> Result<Self, StorageError> {
        let io = |what| move |source: io::Error| StorageError::Io { path: path.to_owned(), what, source };
        let kind = file.metadata().map_err(io("ask"))?.file_type();
        if !kind.is_file() {
            return Err(StorageError::no_medium(path, kind));
        }
        lock(&file, path, access)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), fate: Fate::Stays })
    }

    /// A range as a hole, if it is one. Cheap: the first data ends the search.
    pub(super) fn hole(&self, range: Range<u64>) -> Option<Hole> {
        let blocks = self.file.metadata().ok()?.blocks();
        let is_hole = match rustix::fs::seek(&self.file, SeekFrom::Data(range.start)) {
            Ok(data) => data >= range.end,
            // There is none behind.
            Err(Errno::NXIO) => true,
            Err(_) => false,
        };
        is_hole.then_some(Hole { range, blocks })
    }

    /// Gives back the data that lies in a hole since. What was reserved before stays: if some of
    /// the data is in such blocks, so does all of it. What the file system does not take back stays
    /// too: it is room, and no data.
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
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        for part in data {
            let _ = rustix::fs::fallocate(&self.file, how, part.start, part.end - part.start);
        }
    }

    /// The open file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Permissions of new files, before the umask applies.
const MODE: u32 = 0o666;

/// A file without a name in the folder of `path`.
fn without_a_name(path: &Path) -> rustix::io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(folder(path), flags, Mode::from_raw_mode(MODE)).map(File::from)
}

/// A file in the folder of `path`, under a name that no other has.
fn with_another(path: &Path) -> io::Result<(File, Fate)> {
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(MODE)).tempfile_in(folder(path))?;
    let (file, name) = file.into_parts();
    Ok((file, Fate::HasAnother(name)))
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
    fn a_name_is_had_once_the_file_is_whole_and_is_taken_from_nobody() {
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
    fn what_is_made_for_now_goes_and_nobody_elses_file_does() {
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
        // Another file has the name now.
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
    fn a_hole_is_dug_again_and_a_reservation_stays() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("medium");
        let file = FileStorage::create(&path, 1 << 20).unwrap();
        let blocks = || std::fs::metadata(&path).unwrap().blocks();
        let reserve = |at, len| rustix::fs::fallocate(file.file(), FallocateFlags::KEEP_SIZE, at, len).unwrap();
        reserve(0, 64 << 10);
        let (had, hole) = (blocks(), file.hole(0..1 << 20).unwrap());
        // Beyond the reservation alone.
        file.write_at(&[1; 8192], 128 << 10).unwrap();
        file.punch(&hole);
        assert_eq!(blocks(), had);
        // In both.
        file.write_at(&[1; 8192], 0).unwrap();
        file.write_at(&[1; 8192], 128 << 10).unwrap();
        file.punch(&hole);
        assert_eq!(blocks(), had + 16);
        assert!(file.hole(0..1 << 20).is_none() && file.hole(512 << 10..1 << 20).is_some());
    }

    /// As on a file system without files that have no name.
    #[test]
    fn so_it_is_with_a_name_beside_its_own() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("labels");
        let nr_names = || std::fs::read_dir(dir.path()).unwrap().count();
        let with_other_name = || {
            let (file, fate) = with_another(&path).unwrap();
            FileStorage { file: Arc::new(file), path: path.clone(), fate }
        };
        drop(with_other_name());
        assert_eq!(nr_names(), 0);
        with_other_name().link().unwrap();
        assert!(path.exists() && nr_names() == 1);
        assert_eq!(with_other_name().link().unwrap_err().errno(), Errno::EXIST);
        assert_eq!(nr_names(), 1);
    }
}
