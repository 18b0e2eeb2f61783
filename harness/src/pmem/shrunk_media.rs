//! A medium that becomes shorter while it is mapped: the next look at what it lost is a SIGBUS.

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// From now on such a look writes a text to a descriptor and ends the process with exit code 1.
///
/// # Errors
/// The handler cannot be installed.
pub fn end_with(descriptor: RawFd, text: String) -> io::Result<()> {
    let handler = move || {
        // SAFETY: standard output and error are never closed here; if somebody did, the write fails.
        let to = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let _ = rustix::io::write(to, text.as_bytes());
        low_level::exit(1)
    };
    // SAFETY: the handler writes what was made before and ends the process, both by calls that may be made from any place of a program.
    unsafe { low_level::register(SIGBUS, handler) }.map(drop)
}
