//! Probes: timed loops over lookups, counters, and timers around hotplug. A probe accesses layouts
//! only through their traits.

pub mod baseline;
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
