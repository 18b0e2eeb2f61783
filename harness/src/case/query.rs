//! Which page frames a lookup is asked for, and in which order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// In which order page frames are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// One after the other.
    Sequential,
    /// One of each sub-section, one sub-section after the other: what a walker of huge pages asks for.
    Stride,
    /// Uniformly at random over all sections.
    Random,
    /// Some pages far more often than others; which ones is random.
    Zipf,
}

impl Pattern {
    /// All patterns, in the order of reports.
    pub const ALL: [Pattern; 4] = [Pattern::Sequential, Pattern::Stride, Pattern::Random, Pattern::Zipf];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Pattern::Sequential => "sequential",
            Pattern::Stride => "stride",
            Pattern::Random => "random",
            Pattern::Zipf => "zipf",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where the records are that a lookup reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Records {
    /// In the caches: [`NR_CACHED_RECORDS`] at most are read again and again.
    Cache,
    /// In memory: [`NR_FLUSHED_RECORDS`] at most are flushed before each slice, and each is read once.
    Memory,
}

impl Records {
    /// Both, in the order of reports.
    pub const ALL: [Records; 2] = [Records::Cache, Records::Memory];
}

/// Which pages are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Population {
    /// Pages that are valid for every layout that takes part.
    #[default]
    Common,
    /// Pages of boot sections that some layouts call valid and others do not: holes inside sections.
    Disputed,
}

impl Population {
    /// Is it the default?
    pub fn is_common(&self) -> bool {
        *self == Self::Common
    }
}
