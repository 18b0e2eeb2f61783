//! A range of addresses, and the system calls that change its memory.

use super::error::BackingError;
use crate::stretch::Stretch;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::fs::{self, File};
use std::io;

/// A range of addresses within one [`Memory`](super::Memory). Only `Memory` creates such ranges, so
/// replacing or discarding one affects no other mapping. The caller must ensure that no reader can
/// reach records there. Records are atomics, and a grace period ends all earlier readers (see
/// `grace`).
#[derive(Clone, Copy, Debug)]
pub(super) struct AddressRange {
    address: *mut c_void,
    offset: u64,
    len: u64,
}

impl AddressRange {
    /// # Safety
    /// The range is in a mapping that the caller owns for as long as the value is used.
    pub(super) unsafe fn new(address: *mut c_void, offset: u64, len: u64) -> Self {
        Self { address, offset, len }
    }

    /// Offset in bytes from the start of the file behind the range.
    pub(super) fn offset(self) -> u64 {
        self.offset
    }

    /// Length in bytes.
    pub(super) fn len(self) -> u64 {
        self.len
    }

    /// Offset and length, in bytes from the base of its [`Memory`](super::Memory).
    pub(super) fn stretch(self) -> Stretch {
        Stretch { offset: self.offset, len: self.len }
    }

    /// The part of this range at `stretch`. Panics if `stretch` is not inside.
    pub(super) fn within(self, stretch: Stretch) -> Self {
        let inside = self.offset <= stretch.offset && stretch.end() <= self.offset + self.len;
        assert!(inside, "{stretch:?} is outside of {:?}", self.stretch());
        let address = self.address.wrapping_byte_add((stretch.offset - self.offset) as usize);
        Self { address, offset: stretch.offset, len: stretch.len }
    }

    /// The range rounded out to multiples of `unit` bytes, a power of two.
    ///
    /// # Safety
    /// Its [`Memory`](super::Memory) begins at a multiple of `unit`, and consists of whole units.
    pub(super) unsafe fn round_out(self, unit: u64) -> Self {
        let offset = self.offset & !(unit - 1);
        let end = (self.offset + self.len).next_multiple_of(unit);
        let address = self.address.wrapping_byte_sub((self.offset - offset) as usize);
        Self { address, offset, len: end - offset }
    }

    pub(super) fn advise(self, advice: Advice) -> Result<(), Errno> {
        loop {
            // SAFETY: the range is in a mapping that the caller of `new` owns.
            match unsafe { rustix::mm::madvise(self.address, self.len as usize, advice) } {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Replaces the pages of an aligned block by a huge page with the same contents.
    pub(super) fn collapse(self) -> Result<(), Errno> {
        /// Since Linux 6.1. Source: `include/uapi/asm-generic/mman-common.h`.
        const MADV_COLLAPSE: libc::c_int = 25;
        // SAFETY: the range is in a mapping that the caller of `new` owns, and contents stay.
        match unsafe { libc::madvise(self.address, self.len as usize, MADV_COLLAPSE) } {
            0 => Ok(()),
            _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
        }
    }

    /// Backs every page, with its page tables, and keeps existing contents (`MADV_POPULATE_WRITE`).
    pub(super) fn populate(self) -> Result<(), BackingError> {
        self.advise(Advice::LinuxPopulateWrite).map_err(|errno| match errno {
            Errno::INVAL => BackingError::NoPopulate,
            errno => BackingError::populate(self.len, errno),
        })
    }

    /// Discards the memory with an `madvise` call. If that fails, unlocks the pages and tries once
    /// more, because the kernel does not drop locked pages.
    pub(super) fn discard(self, advice: Advice) -> Result<(), Errno> {
        let Err(first) = self.advise(advice) else { return Ok(()) };
        // SAFETY: the range is in a mapping that the caller of `new` owns, and unlocking changes no contents.
        match unsafe { rustix::mm::munlock(self.address, self.len as usize) } {
            Ok(()) => self.advise(advice),
            Err(_) => Err(first),
        }
    }

    /// Replaces the range by a private mapping without memory.
    pub(super) fn map_private(self, advice: Advice) -> Result<(), BackingError> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::FIXED | MapFlags::NORESERVE);
        // SAFETY: MAP_FIXED replaces only addresses in a mapping that the caller of `new` owns.
        let mapped =
            unsafe { rustix::mm::mmap_anonymous(self.address, self.len as usize, prot, flags | MapFlags::PRIVATE) };
        self.mapped(mapped, advice)
    }

    /// Replaces the range by a shared mapping of the file at the same offset.
    pub(super) fn map_shared(self, file: &File, advice: Advice) -> Result<(), BackingError> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::FIXED | MapFlags::NORESERVE);
        let (address, len) = (self.address, self.len as usize);
        // SAFETY: MAP_FIXED replaces only addresses in a mapping that the caller of `new` owns.
        let mapped = unsafe { rustix::mm::mmap(address, len, prot, flags | MapFlags::SHARED, file, self.offset) };
        self.mapped(mapped, advice)
    }

    fn mapped(self, mapped: Result<*mut c_void, Errno>, advice: Advice) -> Result<(), BackingError> {
        mapped.map_err(|errno| too_many_mappings(errno).unwrap_or(BackingError::populate(self.len, errno)))?;
        // The same advice as its neighbours lets the kernel merge it with them. EINVAL means that
        // the kernel has no huge pages; it is ignored.
        let _ = self.advise(advice);
        Ok(())
    }
}

/// Translates ENOMEM of a fixed mapping to [`BackingError::TooManyMappings`] if the process has
/// reached `vm.max_map_count`.
pub(crate) fn too_many_mappings(errno: Errno) -> Option<BackingError> {
    let limit: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let now = fs::read_to_string("/proc/self/maps").ok()?.lines().count() as u64;
    (errno == Errno::NOMEM && now + 2 >= limit).then_some(BackingError::TooManyMappings { limit })
}
