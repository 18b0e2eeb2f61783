//! Checks of refusals: the error number is right, and nothing has changed.

use super::{Check, text};
use crate::error::HotplugError;
use crate::machine::{Machine, MachineError, PagemapError};
use crate::memmap::*;
use std::fmt::Display;

pub(super) const EBUSY: i32 = 16;
pub(super) const EDEADLK: i32 = 35;
pub(super) const EEXIST: i32 = 17;
pub(super) const EINVAL: i32 = 22;
pub(super) const EIO: i32 = 5;
pub(super) const ENOMEM: i32 = 12;
pub(super) const ENXIO: i32 = 6;
pub(super) const ERANGE: i32 = 34;

/// An error with the kernel's error number.
pub(super) trait Refusal: Display {
    fn number(&self) -> i32;
}

macro_rules! refusals {
    ($($error:ty),*) => { $(
        impl Refusal for $error {
            fn number(&self) -> i32 {
                self.errno()
            }
        }
    )* };
}
refusals!(HotplugError, MachineError, PagemapError);

/// A hash of everything that a refused change must not alter.
pub(super) trait Digested {
    fn digest_now(&self) -> Result<u64, String>;
}

impl<L: Inspect> Digested for L {
    fn digest_now(&self) -> Result<u64, String> {
        Ok(self.digest())
    }
}

impl<L: Hotplug + Inspect + SectionFlags> Digested for Machine<L> {
    fn digest_now(&self) -> Result<u64, String> {
        self.digest().map_err(text)
    }
}

/// Checks that a change is refused with this error number and leaves the layout or machine
/// unchanged.
pub(super) fn refused<T, E: Refusal>(
    of: &impl Digested,
    what: impl Display,
    errno: i32,
    change: impl FnOnce() -> Result<T, E>,
) -> Check {
    let before = of.digest_now()?;
    is_refused(&what, errno, change())?;
    match of.digest_now()? == before {
        true => Ok(()),
        false => Err(format!("{what} was refused, but changed something")),
    }
}

/// Checks the error number only.
pub(super) fn is_refused<T, E: Refusal>(what: impl Display, errno: i32, done: Result<T, E>) -> Check {
    match done {
        Ok(_) => Err(format!("{what} succeeded; errno {errno} was expected")),
        Err(error) if error.number() != errno => {
            Err(format!("{what} failed with errno {} ({error}), not {errno}", error.number()))
        }
        Err(_) => Ok(()),
    }
}
