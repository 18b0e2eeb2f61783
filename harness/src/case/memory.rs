//! Boot or added memory, hot or cold tables, and how one lookup depends on the answer of another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether memory was there at boot or was hot-added. Linux answers lookups for the two by
/// different paths.
///
/// Rows of schema 1 call added memory `hot`; that name is still accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Memory {
    /// Memory that is there when the machine boots.
    Boot,
    /// Memory that was hot-added later.
    #[serde(alias = "hot")]
    Added,
}

impl Memory {
    /// Both kinds, in the order of reports.
    pub const ALL: [Memory; 2] = [Memory::Boot, Memory::Added];

    /// Name in cases and rows: `boot` or `added`.
    pub fn name(self) -> &'static str {
        match self {
            Memory::Boot => "boot",
            Memory::Added => "added",
        }
    }
}

/// Whether a layout's tables are in the CPU caches when a lookup begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tables {
    /// In the caches: earlier lookups have loaded them.
    Hot,
    /// In memory: the caches were flushed, and each section is queried only once.
    Cold,
}

/// How the answer of one lookup reaches the address of the next, in a chain of lookups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dependency {
    /// As a value: the next address waits for the loads of this lookup.
    Data,
    /// As a branch: if it is predicted correctly, the next lookup does not wait.
    Branch,
    /// As a value if the answer is yes, as a branch if it is no.
    Mixed,
}
