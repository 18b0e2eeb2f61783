//! Ctrl-C and SIGTERM: the first signal asks the work to stop and clean up, the second one ends the
//! process.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The number of the signal that asked the work to stop, or 0. Clones share it.
///
/// ```
/// use pfnbench::interrupt::Interrupt;
///
/// let interrupt = Interrupt::listen()?;
/// for _ in 0..3 {
///     // An error once the user has pressed Ctrl-C.
///     interrupt.check()?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

/// The user asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted {
    /// Number of the signal, e.g. 2 for SIGINT.
    pub signal: u8,
}

impl Interrupted {
    /// The exit code that shells report for a process ended by the signal: 128 plus its number.
    pub fn exit_status(self) -> u8 {
        128 + self.signal
    }
}

impl Interrupt {
    /// Installs handlers for SIGINT and SIGTERM.
    ///
    /// # Errors
    /// Returns an error if a handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let (asked, again) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: only the second signal finds the flag set, and ends the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&asked), signal as usize)?;
        }
        Ok(Self(asked))
    }

    /// An interrupt after SIGINT, for tests.
    #[cfg(test)]
    pub(crate) fn asked() -> Self {
        Self(Arc::new(AtomicUsize::new(SIGINT as usize)))
    }

    /// Checks for a signal. Costs one relaxed load; call it between slices.
    ///
    /// # Errors
    /// Returns [`Interrupted`] after a signal.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Interrupted { signal: signal as u8 }),
        }
    }
}
