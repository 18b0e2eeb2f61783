//! Why records could not be backed with memory.

use crate::byte_size::ByteSize;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a backing store could not provide address space or memory.
#[derive(Debug, Error)]
pub enum BackingError {
    /// The kernel refused to reserve address space.
    #[error("cannot reserve {} of address space: {source}{hint}", ByteSize(*len))]
    Reserve {
        /// Bytes requested.
        len: u64,
        /// What the operating system reported.
        source: io::Error,
        /// Which limit was reached, and the command that raises it; may be empty.
        hint: String,
    },
    /// The kernel refused to provide memory or to take it back.
    #[error("cannot populate or release {} of records: {source}", ByteSize(*len))]
    Populate {
        /// Bytes requested.
        len: u64,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The kernel lacks `MADV_POPULATE_WRITE` (Linux 5.14).
    #[error("this kernel lacks MADV_POPULATE_WRITE; Linux 5.14 or later is needed")]
    NoPopulate,
    /// The file system has too little free space.
    #[error(
        "{place} has no room for {} of records; {remedy}, name another with --backing {backing}:DIR, or lower \
         --records-limit",
        ByteSize(*len)
    )]
    Full {
        /// The file system, e.g. `the tmpfs of /dev/shm`.
        place: String,
        /// Bytes requested.
        len: u64,
        /// How to make room.
        remedy: &'static str,
        /// Name of the backing store, e.g. `tmpfs`.
        backing: &'static str,
    },
    /// The hugetlb pool has too few free pages.
    #[error(
        "the pool has too few huge pages of {} for {} of records: {free} of {total} are free; add pages (sysctl \
         vm.nr_hugepages={}), or lower --records-limit",
        ByteSize(*page), ByteSize(*len), total + more
    )]
    HugePages {
        /// Bytes requested.
        len: u64,
        /// Size of a huge page in bytes.
        page: u64,
        /// Number of free huge pages that are not reserved.
        free: u64,
        /// Number of huge pages in the pool.
        total: u64,
        /// Number of additional huge pages needed.
        more: u64,
    },
    /// The machine, or the file system named, lacks this backing store.
    #[error("backing {backing} is unavailable on this machine: {reason}")]
    Unavailable {
        /// Name of the backing store, e.g. `thp`.
        backing: &'static str,
        /// The cause, and a command or choice that helps.
        reason: String,
    },
    /// The file would be longer than the file system or the user's limit allows.
    #[error(
        "a file in {dir} cannot have {} ({reason}), the size of the records of the whole physical address space",
        ByteSize(*len)
    )]
    TooLong {
        /// The folder as the user named it.
        dir: String,
        /// Required file length in bytes.
        len: u64,
        /// The limit that applies.
        reason: &'static str,
    },
    /// A file could not be created in the folder.
    #[error("cannot create a file in {dir}: {source}; name a folder that you can write to")]
    File {
        /// The folder as the user named it.
        dir: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A file could not be created on a tmpfs.
    #[error(transparent)]
    Tmpfs(#[from] TmpfsError),
    /// The process reached `vm.max_map_count`. Each separate range mapped from a device needs two
    /// mappings.
    #[error(
        "the process has as many mappings as vm.max_map_count allows ({limit}); each separate range on a device needs \
         two; raise the limit (sysctl vm.max_map_count={})",
        limit.saturating_mul(2)
    )]
    TooManyMappings {
        /// The value of `vm.max_map_count`.
        limit: u64,
    },
}

impl BackingError {
    pub(super) fn populate(len: u64, source: impl Into<io::Error>) -> Self {
        Self::Populate { len, source: source.into() }
    }
}

/// Why a file could not be created on a tmpfs.
#[derive(Debug, Error)]
pub enum TmpfsError {
    /// The directory is on another kind of file system.
    #[error("{} is not on a tmpfs; name a directory on one, e.g. /dev/shm", .0.display())]
    NotTmpfs(PathBuf),
    /// The directory or the file could not be opened.
    #[error(
        "cannot create a file on the tmpfs at {}: {source}; name a directory on a tmpfs that you can write \
         to, e.g. /dev/shm",
        dir.display()
    )]
    Io {
        /// The directory as the caller named it.
        dir: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
}
