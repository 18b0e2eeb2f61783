//! Ctrl-C: the first one asks the work to stop and clean up, the second one ends the process.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The number of the signal that asked the work to stop; 0 until then.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

/// The user asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted {
    /// The signal.
    pub signal: u8,
}

impl Interrupted {
    /// Exit status of a process that a signal ended, as shells tell it.
    pub fn exit_status(self) -> u8 {
        128 + self.signal
    }
}

impl Interrupt {
    /// Listens to SIGINT and SIGTERM.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let (asked, again) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag set and ends the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
            flag::register(signal, Arc::clone(&again))?;
            flag::register_usize(signal, Arc::clone(&asked), signal as usize)?;
        }
        Ok(Self(asked))
    }

    /// As if the user had asked already.
    #[cfg(test)]
    pub(crate) fn asked() -> Self {
        Self(Arc::new(AtomicUsize::new(SIGINT as usize)))
    }

    /// To be asked between slices.
    ///
    /// # Errors
    /// [`Interrupted`] once the user asked to stop.
    pub fn check(&self) -> Result<(), Interrupted> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Interrupted { signal: signal as u8 }),
        }
    }
}
