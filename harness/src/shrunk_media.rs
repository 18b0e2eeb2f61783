//! A medium that becomes shorter while it is mapped: the next look at what it lost is a SIGBUS.

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;
use std::io;
use std::os::fd::BorrowedFd;

const SAID: &[u8] =
    b"pfnbench: the medium became shorter while it was mapped, and the records on it are gone; give it back its \
    length, and check it with pfnbench namespace check\n";

/// From now on such a look ends the process with a sentence and exit code 1.
///
/// # Errors
/// The handler cannot be installed.
pub fn end_with_a_sentence() -> io::Result<()> {
    let handler = || {
        // SAFETY: standard error is never closed here; if somebody did, the write fails.
        let stderr = unsafe { BorrowedFd::borrow_raw(2) };
        let _ = rustix::io::write(stderr, SAID);
        low_level::exit(1)
    };
    // SAFETY: the handler writes and ends the process, both by calls that may be made from any place of a program.
    unsafe { low_level::register(SIGBUS, handler) }.map(drop)
}
