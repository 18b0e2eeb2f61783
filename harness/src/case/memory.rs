//! Boot or added memory, hot or cold tables, and what an answer depends on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Boot memory or memory that was hot-added: Linux answers for the two by different paths.
///
/// Rows of schema 1 call added memory `hot`; they still read.
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
    /// Both, in the order of reports.
    pub const ALL: [Memory; 2] = [Memory::Boot, Memory::Added];

    /// Name in cases and rows.
    pub fn name(self) -> &'static str {
        match self {
            Memory::Boot => "boot",
            Memory::Added => "added",
        }
    }
}

/// The state of a layout's tables when a lookup begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tables {
    /// In the caches, from the lookups before.
    Hot,
    /// In memory: the caches were emptied, and each section is asked for once.
    Cold,
}

/// How an answer reaches what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dependency {
    /// As a value: the next address waits for the loads of this lookup.
    Data,
    /// As a branch: a processor that predicts it well waits for nothing.
    Branch,
    /// As a value where it is yes, as a branch where it is no.
    Mixed,
}
