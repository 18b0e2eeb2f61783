//! Measuring: loops over lookups, and stopwatches around hotplug. A probe knows layouts through the traits alone.

pub mod bare;
pub mod hotplug;
pub mod lookup;
