//! Why a race could not be completed.

use crate::case::NO_CHECK;
use crate::engine::field::FieldError;
use crate::engine::probe::baseline::BaselineError;
use crate::interrupt::Interrupted;
use std::io;
use thiserror::Error;

/// Why a race could not be completed.
#[derive(Debug, Error)]
pub enum RaceError {
    /// A layout did not boot, answered wrongly, or refused hotplug.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The user asked to stop. Not `transparent`, so that the cause can be found in the error
    /// chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// A result could not be stored.
    #[error("cannot store the results: {0}")]
    Keep(#[from] io::Error),
    /// The clock of the machine stands still.
    #[error("the clock did not advance during a slice of lookups")]
    Clock,
    /// The hotplug baseline could not be measured.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// No layout has this id.
    #[error("unknown layout {name:?}; known layouts are {known}")]
    NoSuchLayout {
        /// The requested id.
        name: String,
        /// The known ids, separated by commas.
        known: String,
    },
    /// Nothing but the bound was named.
    #[error("{NO_CHECK} is no layout: it takes part in every race of lookups as the bound; name a layout to race")]
    OnlyTheBound,
}
