//! Unnamed files on a file system with blocks, e.g. ext4 or xfs. Records are in the page cache; the
//! kernel writes them back to disk at any time.

use super::address_range::AddressRange;
use super::backing_store::BackingStore;
use super::error::BackingError;
use super::shared::{SharedFile, punch_hole, reserve_blocks, set_len};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::Advice;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// `HUGETLBFS_MAGIC` of `include/uapi/linux/magic.h`.
const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// An unnamed file in a folder, as backing store.
#[derive(Debug)]
pub(super) struct Plain {
    file: SharedFile,
    dir: PathBuf,
}

impl Plain {
    /// Creates a sparse file of `len` bytes in `dir`.
    ///
    /// # Errors
    /// The file cannot be created or cannot be that long, or the file system cannot reserve or
    /// release blocks.
    pub(super) fn open(dir: &Path, len: u64) -> Result<Self, BackingError> {
        let io = |errno: Errno| BackingError::File { dir: dir.display().to_string(), source: errno.into() };
        let lacks = |what: &str| BackingError::Unavailable {
            backing: "file",
            reason: format!("the file system of {} {what}; name a folder on ext4, xfs or btrfs", dir.display()),
        };
        if rustix::fs::statfs(dir).map_err(io)?.f_type as u32 == HUGETLBFS_MAGIC {
            return Err(lacks("has only huge pages (use --backing hugetlb for those)"));
        }
        let file = unnamed_file(dir).map_err(io)?;
        set_len(&file, len, dir)?;
        let page = rustix::param::page_size() as u64;
        match reserve_blocks(&file, 0, page) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(lacks("cannot reserve blocks (fallocate)")),
            Err(Errno::NOSPC) => return Err(full(dir, page)),
            Err(errno) => return Err(io(errno)),
        }
        match punch_hole(&file, 0, page) {
            Ok(()) => Ok(Self { file: SharedFile::new(file, Advice::LinuxNoHugepage), dir: dir.to_owned() }),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(lacks("cannot release blocks (FALLOC_FL_PUNCH_HOLE)")),
            Err(errno) => Err(io(errno)),
        }
    }
}

/// Creates a file without a name. On file systems without `O_TMPFILE`, its name exists for a
/// moment.
fn unnamed_file(dir: &Path) -> Result<File, Errno> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    match rustix::fs::open(dir, flags | OFlags::TMPFILE, mode) {
        // Kernels without `O_TMPFILE` return EISDIR, file systems without it EOPNOTSUPP.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
        other => return Ok(File::from(other?)),
    }
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let (process, nr) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = dir.join(format!(".records-{process}-{nr}"));
        match rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode) {
            Err(Errno::EXIST) => {}
            other => {
                let file = File::from(other?);
                rustix::fs::unlinkat(CWD, &path, AtFlags::empty())?;
                return Ok(file);
            }
        }
    }
}

fn full(dir: &Path, len: u64) -> BackingError {
    let place = format!("the file system of {}", dir.display());
    BackingError::Full { place, len, remedy: "make room there", backing: "file" }
}

impl BackingStore for Plain {
    /// Reading a hole allocates a page of the page cache, which stays.
    fn has_zero_page(&self) -> bool {
        false
    }

    fn map(&self, range: AddressRange) -> Result<(), BackingError> {
        self.file.map(range)
    }

    fn populate(&self, range: AddressRange) -> Result<(), BackingError> {
        self.file.reserve_blocks(range).map_err(|errno| match errno {
            Errno::NOSPC | Errno::DQUOT => full(&self.dir, range.len()),
            errno => BackingError::populate(range.len(), errno),
        })?;
        range.populate()
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
    fn unusable_folders_are_refused_by_name() {
        for (dir, says) in [
            ("/does/not/exist", "No such file"),
            ("/proc", "cannot create a file in /proc"),
            ("/proc/self/status", "/proc/self/status"),
        ] {
            let error = Plain::open(Path::new(dir), 1 << 20).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("name a folder"), "{error}");
        }
    }
}
