//! The per-CPU data of the kernel's compiled code. In user space each thread has a block of its own,
//! so that preemption counts are not shared.

use super::support::PER_CPU;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::cell::{Cell, RefCell};
use std::io;
use std::ptr::{self, NonNull};

/// A copy of the per-CPU data, on a page of its own above all images. The heap may lie below them, as
/// under valgrind.
struct Block(NonNull<u8>);

impl Block {
    const BYTES: usize = 4096;

    fn new() -> io::Result<Self> {
        const { assert!(PER_CPU.len() <= Self::BYTES) };
        let above = ptr::without_provenance_mut(1 << 33);
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without MAP_FIXED the address is a wish, and nothing is replaced.
        let at = unsafe { mmap_anonymous(above, Self::BYTES, access, MapFlags::PRIVATE) }?;
        let block = Self(NonNull::new(at.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?);
        // SAFETY: the page was just mapped for this block, and has room for the data.
        unsafe { block.0.copy_from_nonoverlapping(NonNull::from(&PER_CPU).cast(), PER_CPU.len()) };
        Ok(block)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the page is this block's, whose thread ends.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), Self::BYTES) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

thread_local! {
    static BLOCK: RefCell<Option<Block>> = const { RefCell::new(None) };
    /// Where the symbols of the image begin that this thread's `%gs` refers to; 0 for none.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// Makes `%gs:symbol` of the image whose per-CPU data begin at `start` this thread's own block.
/// Costs a system call when the image changes.
///
/// # Errors
/// The kernel does not allow it.
pub fn enter(start: usize) -> io::Result<()> {
    const ARCH_SET_GS: i64 = 0x1001;
    if CURRENT.get() == start {
        return Ok(());
    }
    let block = BLOCK.with_borrow_mut(|block| match block {
        Some(block) => Ok(block.0.addr().get()),
        None => Block::new().map(|new| block.insert(new).0.addr().get()),
    })?;
    let base = block.checked_sub(start).ok_or(io::ErrorKind::AddrNotAvailable)?;
    // SAFETY: neither Rust nor the C library uses %gs on x86-64.
    match unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) } {
        0 => {
            CURRENT.set(start);
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}
