//! The per-CPU data of the kernel's compiled code. In user space each thread has a block of its own,
//! so that preemption counts are not shared.

use super::support::PER_CPU;
use std::cell::{Cell, RefCell};
use std::io;

/// A cache-line aligned copy of the per-CPU data.
#[repr(align(64))]
struct Block([u8; PER_CPU.len()]);

thread_local! {
    static BLOCK: RefCell<Option<Box<Block>>> = const { RefCell::new(None) };
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
    let block = BLOCK.with_borrow_mut(|block| {
        let block = block.get_or_insert_with(|| Box::new(Block(PER_CPU)));
        block.0.as_mut_ptr().addr()
    });
    // Images lie below 2 GiB, and the heap above them.
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
