//! Measuring: loops over lookups, counters, and stopwatches around hotplug. A probe knows layouts through the traits alone.

pub mod bare;
pub mod counters;
pub mod disturbance;
mod flush;
pub mod hotplug;
pub mod lookup;
pub(crate) mod loops;
pub mod place;
mod preempt;
pub mod query_array;
pub mod tail;
