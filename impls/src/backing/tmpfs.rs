//! Unnamed files on a tmpfs: nothing is left behind, however the process ends.

use super::address_range::AddressRange;
use super::backing_store::BackingStore;
use super::error::{BackingError, TmpfsError};
use super::huge;
use super::shared::SharedFile;
use rustix::fs::{Mode, OFlags, StatFs};
use rustix::io::Errno;
use rustix::mm::Advice;
use std::fs::File;
use std::path::{Path, PathBuf};

/// `TMPFS_MAGIC` of `include/uapi/linux/magic.h`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

#[allow(clippy::unnecessary_cast, reason = "the type of f_type differs by architecture")]
fn is_tmpfs(fs: &StatFs) -> bool {
    fs.f_type as i64 == TMPFS_MAGIC
}

/// Whether a file is on a tmpfs; false if its file system cannot be queried.
pub(super) fn is_on_tmpfs(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|fs| is_tmpfs(&fs))
}

/// Creates an unnamed sparse file of `len` bytes on the tmpfs of `dir`. It takes no memory until
/// blocks are reserved.
///
/// # Errors
/// `dir` is not on a tmpfs, or the file cannot be created there.
pub(crate) fn unnamed_tmpfs_file(dir: &Path, len: u64) -> Result<File, TmpfsError> {
    let io = |errno: Errno| TmpfsError::Io { dir: dir.to_owned(), source: errno.into() };
    if !is_tmpfs(&rustix::fs::statfs(dir).map_err(io)?) {
        return Err(TmpfsError::NotTmpfs(dir.to_owned()));
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map_err(io)?);
    rustix::fs::ftruncate(&file, len).map_err(io)?;
    Ok(file)
}

/// An unnamed file on a tmpfs, as backing store.
#[derive(Debug)]
pub(super) struct Tmpfs {
    file: SharedFile,
    dir: PathBuf,
    huge_page: Option<u64>,
}

impl Tmpfs {
    /// Creates a file of `len` bytes that uses base pages.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(super) fn in_base_pages(dir: &Path, len: u64) -> Result<Self, BackingError> {
        let file = SharedFile::new(unnamed_tmpfs_file(dir, len)?, Advice::LinuxNoHugepage);
        Ok(Self { file, dir: dir.to_owned(), huge_page: None })
    }

    /// Creates a file of `len` bytes that uses transparent huge pages where the kernel finds them.
    ///
    /// # Errors
    /// The file cannot be created, or the tmpfs does not allow huge pages.
    pub(super) fn in_huge_pages(dir: &Path, len: u64) -> Result<Self, BackingError> {
        let file = SharedFile::new(unnamed_tmpfs_file(dir, len)?, Advice::LinuxHugepage);
        match huge::tmpfs_refuses_huge_pages(dir) {
            Some(reason) => Err(BackingError::Unavailable { backing: "tmpfs-huge", reason }),
            None => Ok(Self { file, dir: dir.to_owned(), huge_page: Some(huge::page_bytes()) }),
        }
    }

    fn reserve_blocks(&self, range: AddressRange) -> Result<(), BackingError> {
        self.file.reserve_blocks(range).map_err(|errno| match errno {
            Errno::NOSPC => {
                full(&format!("the tmpfs of {}", self.dir.display()), range.len(), self.huge_page.is_some())
            }
            errno => BackingError::populate(range.len(), errno),
        })
    }
}

/// The error for a tmpfs with less than `len` bytes free.
pub(crate) fn full(place: &str, len: u64, huge: bool) -> BackingError {
    let backing = if huge { "tmpfs-huge" } else { "tmpfs" };
    BackingError::Full { place: place.to_owned(), len, remedy: "enlarge it (mount -o remount,size=…)", backing }
}

impl BackingStore for Tmpfs {
    fn huge_page_bytes(&self) -> Option<u64> {
        self.huge_page
    }

    fn first_touch_bytes(&self) -> u64 {
        self.huge_page.unwrap_or(self.unit_bytes())
    }

    /// Reading a hole would allocate a page, or raise SIGBUS on a full tmpfs.
    fn has_zero_page(&self) -> bool {
        false
    }

    fn map(&self, range: AddressRange) -> Result<(), BackingError> {
        self.file.map(range)
    }

    fn populate(&self, range: AddressRange) -> Result<(), BackingError> {
        if self.huge_page.is_none() {
            self.reserve_blocks(range)?;
            return range.populate();
        }
        // Reserving blocks ignores the mapping's advice and takes base pages on a mount with
        // huge=advise. So it is used only to find out why populating failed.
        range.populate().or_else(|error| self.reserve_blocks(range).and(Err(error)))
    }

    fn give_back(&self, range: AddressRange) -> Result<(), BackingError> {
        self.file.give_back(range)
    }

    #[cfg(test)]
    fn blocks(&self) -> u64 {
        self.file.blocks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_other_file_systems_are_refused() {
        assert!(matches!(unnamed_tmpfs_file(Path::new("/proc"), 4096), Err(TmpfsError::NotTmpfs(_))));
        assert!(matches!(unnamed_tmpfs_file(Path::new("/does/not/exist"), 4096), Err(TmpfsError::Io { .. })));
    }

    #[test]
    fn the_file_has_its_length_and_no_name() {
        let file = unnamed_tmpfs_file(Path::new("/dev/shm"), 1 << 40).unwrap();
        let status = rustix::fs::fstat(&file).unwrap();
        assert_eq!((status.st_size, status.st_blocks, status.st_nlink), (1 << 40, 0, 0));
    }
}
