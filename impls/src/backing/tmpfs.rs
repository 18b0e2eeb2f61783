//! Unnamed files on a tmpfs: nothing is left behind, however the process ends.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `TMPFS_MAGIC` of `include/uapi/linux/magic.h`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Why there is no file on a tmpfs.
#[derive(Debug, Error)]
pub enum TmpfsError {
    /// The directory is on another kind of file system.
    #[error("{} is not on a tmpfs; name a directory of one, e.g. /dev/shm", .0.display())]
    NotTmpfs(PathBuf),
    /// The directory or the file could not be opened.
    #[error("cannot make a file on the tmpfs at {}: {source}; name a directory of a tmpfs that you may write to, e.g. /dev/shm", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A sparse file of `len` bytes without a name, on the tmpfs of `dir`. It takes no memory until blocks are reserved.
///
/// # Errors
/// `dir` is not on a tmpfs, or the file cannot be made there.
pub fn unnamed_tmpfs_file(dir: &Path, len: u64) -> Result<File, TmpfsError> {
    let io = |errno: rustix::io::Errno| TmpfsError::Io { dir: dir.to_owned(), source: errno.into() };
    let kind = rustix::fs::statfs(dir).map_err(io)?.f_type;
    #[allow(clippy::unnecessary_cast, reason = "the type of f_type differs by architecture")]
    if kind as i64 != TMPFS_MAGIC {
        return Err(TmpfsError::NotTmpfs(dir.to_owned()));
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(dir, flags, Mode::RUSR | Mode::WUSR).map_err(io)?);
    rustix::fs::ftruncate(&file, len).map_err(io)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tmpfs_will_do() {
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
