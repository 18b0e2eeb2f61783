//! Which page frames are queried, and in which order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The order in which page frames are queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// Every pfn in ascending order.
    Sequential,
    /// One pfn per sub-section, in ascending order, as a walker of huge pages does.
    Stride,
    /// Uniformly random over all sections.
    Random,
    /// A Zipf distribution: a few randomly chosen pfns are queried far more often than the others.
    Zipf,
}

impl Pattern {
    /// All patterns, in the order of reports. Rows of a pattern that is missing here belong to no
    /// group.
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
    /// In the first-level data cache: at most 256 distinct records, 16 KiB, are read, again and again.
    L1,
    /// In the caches: at most 2048 distinct records are read, again and again.
    Cache,
    /// In memory: at most 4096 records are flushed from the caches before each slice, and each is
    /// read once.
    Memory,
}

impl Records {
    /// All places, in the order of reports.
    pub const ALL: [Records; 3] = [Records::L1, Records::Cache, Records::Memory];
}

/// Which page frames are queried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Population {
    /// Page frames that are valid for every layout in the comparison.
    #[default]
    Common,
    /// Page frames in boot sections that some layouts call valid and others do not: holes inside a
    /// section.
    Disputed,
}

impl Population {
    /// True for [`Self::Common`], the default.
    pub fn is_common(&self) -> bool {
        *self == Self::Common
    }
}
