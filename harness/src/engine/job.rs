//! The job of one process of a run, and the events that it sends.
//!
//! Addresses of code and data differ from one process to the next, and so do times. A process that
//! hangs or dies must not affect other results. Therefore each map of each process of a run has its
//! own operating-system process. It runs this program again, which reads a [`Job`] from standard
//! input and writes one [`Event`] per line to standard output.

use crate::engine::conditions::Conditions;
use crate::map::PhysicalMap;
use crate::record::unit::Finished;
use crate::workload::tier::Effort;
use crate::workload::work::Work;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// The work of one process on one map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Number of the process in the run, from 0.
    pub process: u32,
    /// The physical memory map on which the layouts boot.
    pub map: PhysicalMap,
    /// The groups of cases to measure.
    pub work: Work,
    /// Samples and durations for each kind of case.
    pub effort: Effort,
    /// Seed of every random choice in this process.
    pub seed: u64,
    /// What it has in common with the other processes of the run.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Units that were measured already and are skipped.
    pub done: BTreeSet<String>,
    /// Wall-clock time that lookups may take; `None` for no limit.
    pub time_limit: Option<Duration>,
    /// Fingerprint of the machine, for rows.
    pub machine: String,
}

/// A message from a process of a run to its parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A unit of work or its next step begins.
    Begin {
        /// Name of the unit: `boot`, or a group of cases.
        unit: String,
        /// The step, for the progress line.
        what: String,
        /// Estimated time until the job ends, in ms.
        left_ms: u64,
    },
    /// A unit is done. Holds its rows and histograms.
    Done(Finished),
    /// The job cannot continue.
    Failed {
        /// The reason, as a sentence without a full stop.
        reason: String,
        /// Id of the layout at fault, without which the job can be done; `None` if there is none.
        layout: Option<String>,
    },
}
