//! Measuring: loops over lookups, counters, and stopwatches around hotplug. A probe knows layouts through the traits alone.

pub mod bare;
pub mod counters;
pub mod hotplug;
pub mod lookup;
mod loops;
pub mod place;
pub mod tail;
