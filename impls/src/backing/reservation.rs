//! Address space that is reserved and has no memory yet.

use crate::byte_size::ByteSize;
use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{MapFlags, ProtFlags};
use std::ffi::c_void;
use std::fs;
use std::io;
use std::ptr;

/// A reserved range of addresses, unmapped on drop.
#[derive(Debug)]
pub(super) enum Reservation {
    Owned(MmapRaw),
    /// Created by [`reserve_hinted`].
    Hinted {
        ptr: *mut c_void,
        len: usize,
    },
}

impl Reservation {
    pub(super) fn ptr(&self) -> *mut u8 {
        match self {
            Self::Owned(map) => map.as_mut_ptr(),
            Self::Hinted { ptr, .. } => ptr.cast(),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Self::Hinted { ptr, len } = *self {
            // SAFETY: the range was mapped by `reserve_hinted` and nobody else unmaps it.
            let unmapped = unsafe { rustix::mm::munmap(ptr, len) };
            debug_assert!(unmapped.is_ok(), "munmap of a range that we own");
        }
    }
}

/// Reserves private address space. Valgrind refuses 64 GiB or more at an address that it chooses,
/// but accepts an address hint.
pub(super) fn reserve_private(len: usize) -> io::Result<Reservation> {
    match MmapOptions::new().len(len).no_reserve_swap().map_anon() {
        Ok(map) => Ok(Reservation::Owned(map.into())),
        Err(first) => [16, 32, 48].into_iter().find_map(|tib| reserve_hinted(len, tib << 40).ok()).ok_or(first),
    }
}

fn reserve_hinted(len: usize, hint: usize) -> io::Result<Reservation> {
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // SAFETY: without MAP_FIXED the address is only a hint; no existing mapping is replaced.
    let ptr = unsafe { rustix::mm::mmap_anonymous(ptr::without_provenance_mut(hint), len, prot, flags)? };
    Ok(Reservation::Hinted { ptr, len })
}

/// Names the limit that refused `len` bytes of address space, and the command that raises it.
pub(super) fn reservation_hint(len: u64) -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    if let Some(limit) = limit.filter(|&limit| limit < len.saturating_mul(8)) {
        return format!(
            "; the address space of this process is limited to {}; run ulimit -v unlimited, in a shell whose \
             hard limit allows it",
            ByteSize(limit)
        );
    }
    let strict = fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "2");
    if strict {
        return "; vm.overcommit_memory is 2, which counts reserved address space as memory; run sysctl \
                vm.overcommit_memory=0"
            .to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_hint_is_accepted() {
        let reservation = reserve_hinted(1 << 30, 32 << 40).unwrap();
        assert!(!reservation.ptr().is_null());
    }
}
