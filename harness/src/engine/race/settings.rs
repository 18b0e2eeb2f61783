//! Everything that defines a race on one map.

use crate::engine::field::Means;
use crate::engine::job::Job;

/// Everything that defines a race on one map.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is measured, on which map, and how much.
    pub job: Job,
    /// The memory that the layouts use, and the seed.
    pub means: Means,
}
