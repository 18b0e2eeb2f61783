//! Reserved address space for records, and the memory that backs parts of it.

use super::address_range::AddressRange;
use super::backing_store::BackingStore;
use super::error::BackingError;
use super::file::Plain;
use super::huge;
use super::hugetlb::Hugetlb;
use super::linux::Linux;
use super::private::Private;
use super::ram_backing::RamBacking;
use super::reservation::{Reservation, reservation_hint, reserve_private};
use super::tmpfs::Tmpfs;
use crate::stretch::Stretch;
use rustix::mm::Advice;
use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

/// Alignment of the base address in bytes. The records of an x86-64 section then fill exactly one
/// last-level page table.
pub(crate) const BASE_ALIGN: u64 = 2 << 20;

/// Reserved address space, readable and writable, whose parts are backed with one kind of memory.
///
/// Stretches are in bytes from the base and consist of whole units. Only private memory can be read
/// where it is not backed. Elsewhere such a read allocates memory, or faults if there is none.
#[derive(Debug)]
pub struct Memory {
    /// Unmaps the whole range on drop.
    _reservation: Reservation,
    base: NonNull<u8>,
    len: u64,
    store: Box<dyn BackingStore>,
}

// SAFETY: the range is plain memory that is only accessed through atomics or by system calls, which
// may come from any thread.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`; shared access goes through atomics and system calls too.
unsafe impl Sync for Memory {}

impl Memory {
    /// Reserves at least `len` bytes of address space.
    ///
    /// # Errors
    /// There is no address space (`ulimit -v`, strict overcommit), or the backing is unavailable.
    pub fn reserve(len: u64, backing: &RamBacking) -> Result<Self, BackingError> {
        let refused = |source: io::Error| BackingError::Reserve { len, hint: reservation_hint(len), source };
        let too_large = || refused(io::ErrorKind::OutOfMemory.into());
        let whole = len.max(1).checked_next_multiple_of(BASE_ALIGN).ok_or_else(too_large)?;
        // Reserve more than needed, to align the base and to keep what follows out of this mapping.
        let mapped_len =
            whole.checked_add(BASE_ALIGN).and_then(|len| usize::try_from(len).ok()).ok_or_else(too_large)?;
        let reservation = reserve_private(mapped_len).map_err(refused)?;
        let start = reservation.ptr();
        let pad = start.addr().next_multiple_of(BASE_ALIGN as usize) - start.addr();
        // SAFETY: the mapping is BASE_ALIGN longer than `whole`, and `pad` is less than BASE_ALIGN.
        let base = unsafe { NonNull::new_unchecked(start.add(pad)) };
        let store: Box<dyn BackingStore> = match backing {
            RamBacking::Anon => Box::new(Private::in_base_pages()),
            RamBacking::Linux => Box::new(Linux::new()?),
            RamBacking::Thp => Box::new(Private::in_huge_pages()?),
            RamBacking::Hugetlb => Box::new(Hugetlb::open(whole)?),
            RamBacking::Tmpfs(dir) => Box::new(Tmpfs::in_base_pages(dir, whole)?),
            RamBacking::TmpfsHuge(dir) => Box::new(Tmpfs::in_huge_pages(dir, whole)?),
            RamBacking::File(dir) => Box::new(Plain::open(dir, whole)?),
        };
        let memory = Self { _reservation: reservation, base, len: whole, store };
        memory.store.reserve(memory.range(Stretch { offset: 0, len: whole }))?;
        Ok(memory)
    }

    /// Address of the first byte, aligned to 2 MiB.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Size of the address space in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Smallest unit in bytes that can be populated or released.
    pub fn unit_bytes(&self) -> u64 {
        self.store.unit_bytes()
    }

    /// Size in bytes of the huge pages that it may use; `None` for base pages only.
    pub(crate) fn huge_page_bytes(&self) -> Option<u64> {
        self.store.huge_page_bytes()
    }

    /// Bytes, aligned, that one first access may back: a unit, or a whole huge page with
    /// [`RamBacking::Thp`] and [`RamBacking::TmpfsHuge`].
    pub fn first_touch_bytes(&self) -> u64 {
        self.store.first_touch_bytes()
    }

    /// Bytes that are in huge pages now. `None` for base pages only, or if the kernel does not
    /// report it. Cost: reads all of `/proc/self/smaps`.
    pub fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.huge_page_bytes()?;
        let start = self.base.as_ptr().addr();
        huge::bytes_in_huge_pages(start..start + self.len as usize)
    }

    /// Backs a stretch with zeroed memory, so that writes there do not fault. No part of the
    /// stretch may be populated: with [`RamBacking::Linux`] existing contents of a huge page would
    /// be lost.
    ///
    /// # Errors
    /// There is no memory, no room on the file system, or no huge page. No part of the stretch is
    /// then backed.
    pub fn populate(&self, stretch: Stretch) -> Result<(), BackingError> {
        let range = self.range(stretch);
        self.store.populate(range).inspect_err(|_| {
            // Release what was backed. The range is reserved already, so this cannot fail.
            let undone = self.store.give_back(range);
            debug_assert!(undone.is_ok(), "{undone:?}");
        })
    }

    /// Releases the memory of a stretch. It reads as zero once it is backed again.
    ///
    /// # Errors
    /// Both the advice and its fallback failed: a new mapping or, for files, a punched hole.
    pub fn give_back(&self, stretch: Stretch) -> Result<(), BackingError> {
        self.store.give_back(self.range(stretch))
    }

    /// Replaces a stretch by a new reservation of the same backing store.
    ///
    /// # Errors
    /// The process has reached `vm.max_map_count`.
    pub(crate) fn reserve_again(&self, stretch: Stretch) -> Result<(), BackingError> {
        self.store.map(self.range(stretch))
    }

    /// Makes a stretch that will never be backed readable without allocating memory.
    ///
    /// # Errors
    /// The process has reached `vm.max_map_count`.
    pub(crate) fn leave_unbacked(&self, stretch: Stretch) -> Result<(), BackingError> {
        if self.store.has_zero_page() {
            return Ok(());
        }
        self.range(stretch).map_private(Advice::LinuxNoHugepage)
    }

    /// True if [`collapse`](Self::collapse) may succeed on this machine: it has transparent huge pages
    /// of 2 MiB.
    pub(crate) fn can_collapse() -> bool {
        huge::transparent_page("index").is_ok_and(|page| page == BASE_ALIGN)
    }

    /// Makes an aligned block of 2 MiB, of which some pages are backed, one transparent huge page.
    /// Its contents stay, and readers may read meanwhile. False if the kernel finds no huge page, or
    /// is older than 6.1. Private memory only.
    pub(crate) fn collapse(&self, block: Stretch) -> bool {
        let range = self.range(block);
        // Pages that must stay base pages are not collapsed.
        let is_huge = range.advise(Advice::LinuxHugepage).is_ok() && range.collapse().is_ok();
        if !is_huge {
            // Only advice: nothing depends on it.
            let _ = range.advise(Advice::LinuxNoHugepage);
        }
        is_huge
    }

    /// Bytes in huge pages, of memory that was reserved in base pages. `None` if the kernel does not
    /// report it.
    pub(crate) fn bytes_collapsed(&self) -> Option<u64> {
        let start = self.base.as_ptr().addr();
        huge::bytes_in_huge_pages(start..start + self.len as usize)
    }

    /// Address of the first byte of a stretch, which must be inside the range.
    pub(crate) fn address(&self, stretch: Stretch) -> *mut c_void {
        assert!(stretch.offset.checked_add(stretch.len).is_some_and(|end| end <= self.len), "{stretch:?} is outside");
        // SAFETY: the stretch lies in the mapping.
        unsafe { self.base.as_ptr().add(stretch.offset as usize).cast() }
    }

    fn range(&self, stretch: Stretch) -> AddressRange {
        // SAFETY: the stretch was checked: it lies in our own mapping, which lives as long as
        // `self`.
        unsafe { AddressRange::new(self.address(stretch), stretch.offset, stretch.len) }
    }

    /// Number of 512-byte blocks allocated to the file behind it; 0 without a file.
    #[cfg(test)]
    pub(crate) fn blocks(&self) -> u64 {
        self.store.blocks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_large_a_reservation_is_an_error() {
        assert!(Memory::reserve(u64::MAX, &RamBacking::Anon).is_err());
        let error = Memory::reserve(1 << 50, &RamBacking::Anon).unwrap_err();
        assert!(error.to_string().contains("cannot reserve 1 PiB of address space"), "{error}");
    }
}
