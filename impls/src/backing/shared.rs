//! An unnamed file, mapped shared: the common part of the tmpfs, hugetlb and file backings.

use super::address_range::AddressRange;
use super::error::BackingError;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::Advice;
use std::fs::File;
use std::path::Path;

/// A sparse file, as long as the address range that maps it.
#[derive(Debug)]
pub(super) struct SharedFile {
    file: File,
    advice: Advice,
}

impl SharedFile {
    /// Wraps a file. `advice` is applied with `madvise` to each mapping of it.
    pub(super) fn new(file: File, advice: Advice) -> Self {
        Self { file, advice }
    }

    pub(super) fn map(&self, range: AddressRange) -> Result<(), BackingError> {
        range.map_shared(&self.file, self.advice)
    }

    /// Reserves blocks, so that a full file system returns ENOSPC. Otherwise a populate would
    /// return EFAULT, and a write would raise SIGBUS.
    pub(super) fn reserve_blocks(&self, range: AddressRange) -> Result<(), Errno> {
        reserve_blocks(&self.file, range.offset(), range.len())
    }

    /// Punches a hole in the file, and drops its pages from all mappings.
    pub(super) fn give_back(&self, range: AddressRange) -> Result<(), BackingError> {
        if range.discard(Advice::LinuxRemove).is_ok() {
            return Ok(());
        }
        punch_hole(&self.file, range.offset(), range.len()).map_err(|errno| BackingError::populate(range.len(), errno))
    }

    #[cfg(test)]
    pub(super) fn blocks(&self) -> u64 {
        rustix::fs::fstat(&self.file).map_or(u64::MAX, |status| status.st_blocks as u64)
    }
}

/// Reserves blocks for a range of a file, in bytes, without changing its length.
pub(crate) fn reserve_blocks(file: &File, offset: u64, len: u64) -> Result<(), Errno> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, len) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Releases the blocks of a range of a file, in bytes, without changing its length.
pub(super) fn punch_hole(file: &File, offset: u64, len: u64) -> Result<(), Errno> {
    loop {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::fs::fallocate(file, hole, offset, len) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Sets a file's length to `len` bytes without allocating blocks. It checks the user's file size
/// limit first, because above it the kernel would send SIGXFSZ.
pub(super) fn set_len(file: &File, len: u64, dir: &Path) -> Result<(), BackingError> {
    let too_long = |reason| BackingError::TooLong { dir: dir.display().to_string(), len, reason };
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| limit < len) {
        return Err(too_long("it exceeds the file size limit of this user; run ulimit -f unlimited"));
    }
    match rustix::fs::ftruncate(file, len) {
        Ok(()) => Ok(()),
        Err(Errno::FBIG | Errno::INVAL) => Err(too_long("it exceeds the maximum file size of the file system")),
        Err(errno) => Err(BackingError::File { dir: dir.display().to_string(), source: errno.into() }),
    }
}
