//! The protocol between the referee of a duel and its two workers. A duel compares two builds of
//! pfnbench; each worker runs one of them.

pub mod arena;

use super::job::Job;
use crate::case::{LookupGroup, Memory, current_name};
use serde::ser::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::hint::black_box;

/// Version of the protocol between referee and worker. It changes with [`Job`], [`Hello`] and the
/// arena.
pub const PROTOCOL: u32 = 1;

/// The request that a worker reads from its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// [`PROTOCOL`] version of the referee.
    pub protocol: u32,
    /// What to boot and measure, serialised in the terms of protocol 1.
    #[serde(serialize_with = "job_as_in_protocol_1")]
    pub job: Job,
    /// The processor to which the worker pins itself; `None` to run on any.
    pub processor: Option<usize>,
}

fn with_current_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(current_name(&String::deserialize(deserializer)?))
}

/// Builds of protocol 1 call added memory `hot`; every later build accepts that name too.
fn as_in_protocol_1<S: Serializer>(memory: &Memory, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match memory {
        Memory::Boot => "boot",
        Memory::Added => "hot",
    })
}

/// Serialises lookups in the terms of protocol 1. A filter for added memory also matches the cases
/// of builds that call it `hot`.
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

/// The reply of a worker after it has booted: a line of JSON on its standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] version of the worker.
    pub protocol: u32,
    /// Version and commit of the worker's build.
    pub version: String,
    /// The lanes that the worker can measure. Steps refer to a lane by its index here.
    pub lanes: Vec<Lane>,
    /// Ids of the layouts that booted.
    pub layouts: Vec<String>,
    /// Why the worker cannot take part; `None` if it can.
    pub error: Option<String>,
}

/// The lookups of one case on one boot of a layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// Name of the case without the layout, in current terms even from an old build.
    #[serde(deserialize_with = "with_current_name")]
    pub case: String,
    /// The group of lookups.
    pub group: LookupGroup,
    /// Boot or added memory, in the terms of protocol 1: `sections`, `boot` or `hot`.
    #[serde(rename = "sections", serialize_with = "as_in_protocol_1")]
    pub memory: Memory,
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Which boot of the layout, from 0.
    pub boot: u32,
    /// Batches of queries in a slice.
    pub batches: u64,
    /// Batches in one pass over all queries.
    pub nr_batches: u64,
    /// Hash of the pfns that are looked up; `None` from a build that does not send it.
    #[serde(default)]
    pub queries: Option<u64>,
    /// Sum of all answers of a pass; `None` if answers are addresses, which differ between
    /// processes.
    pub answers: Option<u64>,
    /// Hash of the loop's machine code, independent of its address; `None` if this program cannot
    /// read the code.
    pub code: Option<u64>,
    /// Offset of the loop's first byte in its cache line.
    pub offset_in_line: u64,
    /// Lookups in the batch that a worker runs to count instructions; `None` if it counts none.
    #[serde(default)]
    pub counted_ops: Option<u64>,
    /// Time of the loop without a lookup, in ns per operation; `None` for a walk, or from a build
    /// that does not send it.
    #[serde(default)]
    pub loop_ns: Option<f64>,
}

impl Lane {
    /// Case, layout and boot: lanes of two workers with equal keys are compared.
    pub fn key(&self) -> (String, String, u32) {
        (self.case.clone(), self.layout.clone(), self.boot)
    }
}

/// Symbol name of [`mark`], for callgrind.
pub const MARK: &str = "pfnbench_duel_mark";

/// Marks the end of a lane. Callgrind dumps its counts whenever this function is called.
#[inline(never)]
#[unsafe(export_name = "pfnbench_duel_mark")]
pub extern "C" fn mark(lane: u64) {
    black_box(lane);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Filter, LookupOp, Pattern};
    use crate::engine::conditions::Conditions;
    use crate::engine::schedule::tests::job;
    use regex::Regex;

    /// Covers both directions with builds that call added memory `hot`.
    #[test]
    fn orders_and_replies_use_the_terms_of_protocol_1() {
        let filter = Filter::new(Some(Regex::new("^pfn_valid/added").unwrap()), None);
        let conditions = Conditions { filter, ..job().conditions };
        let order = Order { protocol: PROTOCOL, job: Job { conditions, ..job() }, processor: None };
        let told = serde_json::to_value(&order).unwrap();
        assert_eq!(told["job"]["work"]["lookups"][0]["sections"], serde_json::json!(["boot", "hot"]));
        assert_eq!(told["job"]["filter"]["only"], "^pfn_valid/(?:added|hot)");
        let read: Order = serde_json::from_value(told).unwrap();
        assert_eq!(read.job.work.lookups[0].memory, Memory::ALL);
        assert!(read.job.conditions.filter.wants("pfn_valid/added/random/flat"));

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
