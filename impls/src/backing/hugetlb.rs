//! Pages of the hugetlb pool.
//!
//! A file in memory rather than `MAP_HUGETLB`: its pages are taken by `fallocate`, which says ENOSPC where the pool is empty,
//! and a fault would be SIGBUS. Nor does a child of the process copy them on write. Mapped without reservation, or the pool
//! would have to hold the records of the whole physical space.

use super::error::BackingError;
use super::memory::Medium;
use super::part::Part;
use super::shared::{SharedFile, set_len};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::Advice;
use std::fs::{self, File};
use std::path::Path;

/// Bytes of a huge page.
const PAGE: u64 = 2 << 20;

/// What the kernel tells about the pool.
const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Huge pages of 2 MiB.
#[derive(Debug)]
pub(super) struct Hugetlb(SharedFile);

impl Hugetlb {
    /// A file for `len` bytes. It takes no page yet.
    ///
    /// # Errors
    /// The kernel has no huge pages of this size.
    pub(super) fn open(len: u64) -> Result<Self, BackingError> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB | MemfdFlags::HUGE_2MB;
        let file = rustix::fs::memfd_create("records", flags).map_err(|errno| BackingError::Unavailable {
            backing: "hugetlb",
            reason: format!("the kernel has no huge pages of 2 MiB ({errno})"),
        })?;
        let file = File::from(file);
        set_len(&file, len.next_multiple_of(PAGE), Path::new("memory"))?;
        // Advice on transparent huge pages is none of its business; the kernel refuses it and nothing is lost.
        Ok(Self(SharedFile::new(file, Advice::Normal)))
    }
}

fn pool(what: &str) -> u64 {
    fs::read_to_string(format!("{POOL}/{what}")).ok().and_then(|nr| nr.trim().parse().ok()).unwrap_or(0)
}

/// Pages of the pool that are free and promised to nobody, and all pages of it.
fn free_and_total() -> (u64, u64) {
    (pool("free_hugepages").saturating_sub(pool("resv_hugepages")), pool("nr_hugepages"))
}

impl Medium for Hugetlb {
    fn unit_bytes(&self) -> u64 {
        PAGE
    }

    fn huge_page_bytes(&self) -> Option<u64> {
        Some(PAGE)
    }

    /// A look at a hole would take a page, or end in SIGBUS.
    fn has_zero_page(&self) -> bool {
        false
    }

    fn map(&self, part: Part) -> Result<(), BackingError> {
        self.0.map(part)
    }

    fn populate(&self, part: Part) -> Result<(), BackingError> {
        let (free, total) = free_and_total();
        self.0.reserve_blocks(part).map_err(|errno| match errno {
            Errno::NOSPC | Errno::NOMEM => {
                let (len, more) = (part.len(), part.len().div_ceil(PAGE).saturating_sub(free).max(1));
                BackingError::HugePages { len, page: PAGE, free, total, more }
            }
            errno => BackingError::populate(part.len(), errno),
        })?;
        part.populate()
    }

    fn give_back(&self, part: Part) -> Result<(), BackingError> {
        self.0.give_back(part)
    }
}
