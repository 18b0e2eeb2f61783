//! Why there is no memory for records.

use super::tmpfs::TmpfsError;
use crate::bytes::Bytes;
use std::io;
use thiserror::Error;

/// Why address space or memory of a backing was refused.
#[derive(Debug, Error)]
pub enum BackingError {
    /// The kernel gives no address space.
    #[error("cannot reserve {} of address space for records: {source}{hint}", Bytes(*len))]
    Reserve {
        /// Bytes asked for.
        len: u64,
        /// The cause.
        source: io::Error,
        /// Which limit it was, and the command that lifts it.
        hint: String,
    },
    /// The kernel gives no memory, or does not take it back.
    #[error("cannot back {} of records with memory: {source}", Bytes(*len))]
    Populate {
        /// Bytes asked for.
        len: u64,
        /// The cause.
        source: io::Error,
    },
    /// This kernel cannot populate on request.
    #[error("this kernel does not know MADV_POPULATE_WRITE; Linux 5.14 or later is needed")]
    NoPopulate,
    /// The file system is full.
    #[error(
        "{place} has no room for {} of records; {mend}, name another with --backing {backing}:DIR, or lower \
         --records-limit",
        Bytes(*len)
    )]
    Full {
        /// The file system.
        place: String,
        /// Bytes asked for.
        len: u64,
        /// How to get room.
        mend: &'static str,
        /// The backing.
        backing: &'static str,
    },
    /// The pool of huge pages is empty.
    #[error(
        "{} of records need huge pages of {}, of which {free} are free and {total} there in all; make more of them (sysctl \
         vm.nr_hugepages={}), or lower --records-limit",
        Bytes(*len), Bytes(*page), total + more
    )]
    HugePages {
        /// Bytes asked for.
        len: u64,
        /// Bytes of a huge page.
        page: u64,
        /// Huge pages that are free.
        free: u64,
        /// Huge pages in the pool.
        total: u64,
        /// How many more would do.
        more: u64,
    },
    /// The machine does not have it, or not there.
    #[error("this machine cannot give the backing {backing}: {reason}")]
    Unavailable {
        /// The backing.
        backing: &'static str,
        /// Why, and the command that mends it.
        reason: String,
    },
    /// The file would be longer than the file system or the user's limit allows.
    #[error(
        "a file in {dir} cannot be {} long ({reason}), and that is what the records of the whole physical space may need",
        Bytes(*len)
    )]
    TooLong {
        /// The folder.
        dir: String,
        /// Bytes of the file.
        len: u64,
        /// Whose limit it is.
        reason: &'static str,
    },
    /// No file in a folder.
    #[error("cannot make a file in {dir}: {source}; name a folder that you may write to")]
    File {
        /// The folder.
        dir: String,
        /// The cause.
        source: io::Error,
    },
    /// No file on a tmpfs.
    #[error(transparent)]
    Tmpfs(#[from] TmpfsError),
    /// Device mappings make islands, and the kernel allows only so many.
    #[error(
        "the process has as many mappings as vm.max_map_count allows ({limit}); each separate range on a device needs \
         two (sysctl vm.max_map_count=…)"
    )]
    TooManyMappings {
        /// `vm.max_map_count`.
        limit: u64,
    },
}

impl BackingError {
    pub(super) fn populate(len: u64, source: impl Into<io::Error>) -> Self {
        Self::Populate { len, source: source.into() }
    }
}
