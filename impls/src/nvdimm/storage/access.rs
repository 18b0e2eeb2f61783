//! How a file or device is opened, and the lock that it then has.

use super::error::StorageError;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// Read or write access, and the lock that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read-only, with a lock that other readers can share.
    Read,
    /// Read and write, with an exclusive lock.
    Write,
}

/// Locks a file: one writer, or any number of readers.
pub(super) fn lock(file: &File, path: &Path, access: Access) -> Result<(), StorageError> {
    let operation = match access {
        Access::Read => FlockOperation::NonBlockingLockShared,
        Access::Write => FlockOperation::NonBlockingLockExclusive,
    };
    rustix::fs::flock(file, operation).map_err(|errno| match errno {
        Errno::WOULDBLOCK => StorageError::Busy { path: path.to_owned() },
        errno => StorageError::Io { path: path.to_owned(), what: "lock", source: errno.into() },
    })
}
