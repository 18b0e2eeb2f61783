//! The receiver of a race's progress and results.

use crate::record::unit::Unit;
use std::io;
use std::time::Duration;

/// Receives the progress and the results of a race.
pub trait Sink {
    /// A unit or its next step begins. `what` describes it; `left` is the estimated time until the
    /// race ends.
    fn begin(&mut self, unit: &str, what: &str, left: Duration);
    /// A unit is done, with its rows.
    ///
    /// # Errors
    /// The unit cannot be stored; this ends the race.
    fn done(&mut self, unit: Unit) -> io::Result<()>;
}
