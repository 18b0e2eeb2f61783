//! What the two workers of a duel and its referee say to each other, and the memory that they share.

pub mod arena;

use super::job::Job;
use crate::case::{LookupGroup, Sections};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// Version of what referee and worker say to each other. It changes with [`Job`], [`Hello`] and the arena.
pub const PROTOCOL: u32 = 1;

/// What a worker is asked to do, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// [`PROTOCOL`] of the referee.
    pub protocol: u32,
    /// What is booted and measured.
    pub job: Job,
    /// The processor that the worker keeps to.
    pub processor: Option<usize>,
}

/// What a worker says once it has booted, a line of JSON on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the worker.
    pub protocol: u32,
    /// Its version and commit.
    pub version: String,
    /// What it can measure; the place in the list is the number of the lane.
    pub lanes: Vec<Lane>,
    /// Ids of its layouts.
    pub layouts: Vec<String>,
    /// Why it cannot take part.
    pub error: Option<String>,
}

/// Lookups of one boot of a layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// The case without the layout, by name.
    pub case: String,
    /// The lookup.
    pub group: LookupGroup,
    /// Boot or hot-added memory.
    pub sections: Sections,
    /// The layout.
    pub layout: String,
    /// Which boot of it.
    pub boot: u32,
    /// Batches of queries that fill a slice.
    pub batches: u64,
    /// Batches of all queries.
    pub nr_batches: u64,
    /// Fingerprint of the page frames that are asked for; `None` from a build that gives none.
    #[serde(default)]
    pub queries: Option<u64>,
    /// Sum of all answers; `None` where answers are addresses, which differ from one process to the next.
    pub answers: Option<u64>,
    /// Fingerprint of the machine code of the loop, whatever its address; `None` where this program cannot read it.
    pub code: Option<u64>,
    /// Where the loop begins in its cache line.
    pub offset_in_line: u64,
    /// Lookups that a worker runs that counts instructions.
    #[serde(default)]
    pub counted_ops: Option<u64>,
    /// The loop without a lookup, in ns an operation; `None` for a walk, and from a build that does not tell.
    #[serde(default)]
    pub loop_ns: Option<f64>,
}

impl Lane {
    /// What both workers must have to be compared.
    pub fn key(&self) -> (String, String, u32) {
        (self.case.clone(), self.layout.clone(), self.boot)
    }
}

/// Name of [`mark`] for callgrind.
pub const MARK: &str = "pfnbench_duel_mark";

/// Ends a lane for callgrind, which writes what it has counted whenever this function is called.
#[inline(never)]
#[unsafe(export_name = "pfnbench_duel_mark")]
pub extern "C" fn mark(lane: u64) {
    black_box(lane);
}
