//! What the two workers of a duel and its referee say to each other, and the memory that they share.

pub mod arena;

use super::job::Job;
use crate::case::{LookupGroup, Memory, current_name};
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::hint::black_box;

/// Version of what referee and worker say to each other. It changes with [`Job`], [`Hello`] and the arena.
pub const PROTOCOL: u32 = 1;

/// What a worker is asked to do, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// [`PROTOCOL`] of the referee.
    pub protocol: u32,
    /// What is booted and measured, in the words of protocol 1.
    #[serde(serialize_with = "job_as_in_protocol_1")]
    pub job: Job,
    /// The processor that the worker keeps to.
    pub processor: Option<usize>,
}

fn with_current_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(current_name(&String::deserialize(deserializer)?))
}

/// Builds of protocol 1 call added memory `hot`, and every later one understands that.
fn as_in_protocol_1<S: Serializer>(memory: &Memory, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match memory {
        Memory::Boot => "boot",
        Memory::Added => "hot",
    })
}

/// Lookups in the words of protocol 1. A filter for added memory finds the cases of builds that call it `hot` too.
fn job_as_in_protocol_1<S: Serializer>(job: &Job, serializer: S) -> Result<S::Ok, S::Error> {
    let mut job = serde_json::to_value(job).map_err(S::Error::custom)?;
    for lookups in job["work"]["lookups"].as_array_mut().into_iter().flatten() {
        if let Some(lookups) = lookups.as_object_mut()
            && let Some(memory) = lookups.remove("memory")
        {
            let old = |kind: &Value| if kind == "added" { Value::from("hot") } else { kind.clone() };
            let memory = memory.as_array().map(|kinds| kinds.iter().map(old).collect::<Value>());
            lookups.insert("sections".to_owned(), memory.unwrap_or_default());
        }
    }
    for regex in ["only", "but"] {
        if let Value::String(regex) = &mut job["filter"][regex] {
            *regex = regex.replace("added", "(?:added|hot)");
        }
    }
    job.serialize(serializer)
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
    /// The case without the layout, by its name of today whatever the build calls it.
    #[serde(deserialize_with = "with_current_name")]
    pub case: String,
    /// The lookup.
    pub group: LookupGroup,
    /// Boot or added memory, in the words of protocol 1: `sections`, `boot` or `hot`.
    #[serde(rename = "sections", serialize_with = "as_in_protocol_1")]
    pub memory: Memory,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Filter, LookupOp, Pattern};
    use crate::engine::schedule::tests::job;
    use regex::Regex;

    /// Builds from before added memory was called so understand the order and are understood.
    #[test]
    fn old_builds_are_spoken_to_in_their_words() {
        let filter = Filter::new(Some(Regex::new("^pfn_valid/added").unwrap()), None);
        let order = Order { protocol: PROTOCOL, job: Job { filter, ..job() }, processor: None };
        let told = serde_json::to_value(&order).unwrap();
        assert_eq!(told["job"]["work"]["lookups"][0]["sections"], serde_json::json!(["boot", "hot"]));
        assert_eq!(told["job"]["filter"]["only"], "^pfn_valid/(?:added|hot)");
        let read: Order = serde_json::from_value(told).unwrap();
        assert_eq!(read.job.work.lookups[0].memory, Memory::ALL);
        assert!(read.job.filter.wants("pfn_valid/added/random/flat"));

        let lane = serde_json::json!({
            "case": "pfn_valid/hot/random", "group": LookupGroup::plain(LookupOp::PfnValid, Pattern::Random),
            "sections": "hot", "layout": "flat", "boot": 0, "batches": 1, "nr_batches": 1, "answers": null, "code": null,
            "offset_in_line": 0,
        });
        let lane: Lane = serde_json::from_value(lane).unwrap();
        assert_eq!((lane.case.as_str(), lane.memory), ("pfn_valid/added/random", Memory::Added));
        assert_eq!(serde_json::to_value(&lane).unwrap()["sections"], "hot");
    }
}
