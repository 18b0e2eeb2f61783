//! Handles a medium that becomes shorter while it is mapped: the next access beyond its end is a
//! SIGBUS.

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// Installs a SIGBUS handler that writes a text to a file descriptor and ends the process with exit
/// code 1.
///
/// # Errors
/// The handler cannot be installed.
pub fn end_with(descriptor: RawFd, text: String) -> io::Result<()> {
    let handler = move || {
        // SAFETY: standard output and error are never closed here; if somebody did, the write
        // fails.
        let to = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let _ = rustix::io::write(to, text.as_bytes());
        low_level::exit(1)
    };
    // SAFETY: the handler only writes a text prepared before and exits; both calls are
    // async-signal-safe.
    unsafe { low_level::register(SIGBUS, handler) }.map(drop)
}
