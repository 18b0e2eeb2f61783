//! Ends the process cleanly when a mapped medium becomes shorter: the next access beyond its end
//! raises SIGBUS.

use signal_hook::consts::SIGBUS;
use signal_hook::low_level;
use std::io;
use std::os::fd::AsFd;

/// Installs a SIGBUS handler that writes `text` to `stream` and ends the process with exit code 1.
/// `stream` is written to without its buffer and its lock.
///
/// # Errors
/// The handler cannot be installed.
pub fn exit_on_sigbus(stream: impl AsFd + Send + Sync + 'static, text: String) -> io::Result<()> {
    let handler = move || {
        let _ = rustix::io::write(&stream, text.as_bytes());
        low_level::exit(1)
    };
    // SAFETY: the handler only writes a text that exists already and exits; both calls are
    // async-signal-safe.
    unsafe { low_level::register(SIGBUS, handler) }.map(drop)
}
