//! Ctrl-C: the first one asks the work to stop and clean up, the second one ends the process.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a process that stopped on request: 128 + SIGINT.
pub const EXIT_INTERRUPTED: u8 = 130;

/// Set once the user wants the work to stop.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The user asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; nothing was written")]
pub struct Interrupted;

impl Interrupt {
    /// Listens to SIGINT and SIGTERM.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag set and ends the process.
            flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED.into(), Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// As if the user had asked already.
    #[cfg(test)]
    pub(crate) fn asked() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// To be asked between slices.
    ///
    /// # Errors
    /// [`Interrupted`] once the user asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        if self.0.load(Ordering::Relaxed) { Err(Interrupted) } else { Ok(()) }
    }
}
