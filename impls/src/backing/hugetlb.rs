//! Backing store of huge pages from the hugetlb pool.
//!
//! It uses a memfd rather than `MAP_HUGETLB`. `fallocate` takes the pages and returns ENOSPC if the
//! pool is empty, where a fault would raise SIGBUS. A child process does not copy the pages on
//! write. The mapping is `MAP_NORESERVE`; otherwise the pool would have to hold the records of the
//! whole physical address space.

use super::address_range::AddressRange;
use super::backing_store::BackingStore;
use super::error::BackingError;
use super::shared::{SharedFile, set_len};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::Advice;
use std::fs::{self, File};
use std::path::Path;

/// Size of a huge page in bytes.
const PAGE: u64 = 2 << 20;

/// Folder of the pool's counters in sysfs.
const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// A memfd of 2 MiB huge pages.
#[derive(Debug)]
pub(super) struct Hugetlb(SharedFile);

impl Hugetlb {
    /// Creates a memfd of `len` bytes, rounded up to whole pages. It takes no page yet.
    ///
    /// # Errors
    /// The kernel has no huge pages of this size, or the file cannot be that long.
    pub(super) fn open(len: u64) -> Result<Self, BackingError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        let file = rustix::fs::memfd_create("records", flags).map_err(|errno| BackingError::Unavailable {
            backing: "hugetlb",
            reason: format!("the kernel has no huge pages of 2 MiB ({errno})"),
        })?;
        let file = File::from(file);
        set_len(&file, len.next_multiple_of(PAGE), Path::new("memory"))?;
        // `MADV_NORMAL`: advice on transparent huge pages does not apply to hugetlb. Errors from it
        // are ignored.
        Ok(Self(SharedFile::new(file, Advice::Normal)))
    }
}

fn pool(what: &str) -> u64 {
    fs::read_to_string(format!("{POOL}/{what}")).ok().and_then(|nr| nr.trim().parse().ok()).unwrap_or(0)
}

/// Number of free pages that are not reserved, and number of all pages in the pool.
fn free_and_total() -> (u64, u64) {
    (pool("free_hugepages").saturating_sub(pool("resv_hugepages")), pool("nr_hugepages"))
}

impl BackingStore for Hugetlb {
    fn unit_bytes(&self) -> u64 {
        PAGE
    }

    fn huge_page_bytes(&self) -> Option<u64> {
        Some(PAGE)
    }

    /// Reading a hole would take a page, or raise SIGBUS.
    fn has_zero_page(&self) -> bool {
        false
    }

    fn map(&self, range: AddressRange) -> Result<(), BackingError> {
        self.0.map(range)
    }

    fn populate(&self, range: AddressRange) -> Result<(), BackingError> {
        let (free, total) = free_and_total();
        self.0.reserve_blocks(range).map_err(|errno| match errno {
            Errno::NOSPC | Errno::NOMEM => {
                let (len, more) = (range.len(), range.len().div_ceil(PAGE).saturating_sub(free).max(1));
                BackingError::HugePages { len, page: PAGE, free, total, more }
            }
            errno => BackingError::populate(range.len(), errno),
        })?;
        range.populate()
    }

    fn give_back(&self, range: AddressRange) -> Result<(), BackingError> {
        self.0.give_back(range)
    }
}
