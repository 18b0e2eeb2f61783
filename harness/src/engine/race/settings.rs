//! Everything that defines a race on one map.

use crate::case::Filter;
use crate::engine::field::Means;
use crate::workload::tier::Effort;
use crate::workload::work::Work;
use std::collections::BTreeSet;
use std::time::Duration;

/// Everything that defines a race on one map.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Samples and durations for each kind of case.
    pub effort: Effort,
    /// The memory that the layouts use, and the seed.
    pub means: Means,
    /// Ids of the layouts to race; empty for all.
    pub layouts: Vec<String>,
    /// The groups of cases to measure.
    pub work: Work,
    /// Filter on the names of cases.
    pub filter: Filter,
    /// Units that were measured already and are skipped.
    pub done: BTreeSet<String>,
    /// Wall-clock time for lookups, from the start of the process; `None` for no limit. Units that
    /// would start later are not measured.
    pub time_limit: Option<Duration>,
    /// Number of the process in the run, from 0.
    pub process: u32,
    /// Name of the map, for rows.
    pub map_name: String,
    /// Fingerprint of the machine, for rows.
    pub machine: String,
}
