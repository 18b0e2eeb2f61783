//! Instructions per lookup in each build, counted under callgrind. The count is exact, even on a
//! busy machine.
//!
//! The worker runs the queries of one lane after the other and calls
//! [`mark`](crate::engine::duel::mark) before each. Callgrind dumps its counts whenever that
//! function is called. The count between two marks belongs to one lane: its loop, its lookups, and
//! a few instructions around them.

use crate::engine::duel::{Hello, MARK, Order, PROTOCOL};
use crate::engine::job::Job;
use crate::interrupt::Interrupt;
use crate::run::callgrind::{self, CountError};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread;

/// Layouts counted in one run. Each layout reserves 1 TiB of address space for its records, and
/// valgrind leaves a program less than 8 TiB.
pub const LAYOUTS_AT_ONCE: usize = 3;

/// Instructions per operation, by case name and layout id.
pub type Counts = BTreeMap<(String, String), f64>;

/// Counts the instructions of every lane of a job in a build.
///
/// # Errors
/// [`CountError`]; no process or file is left behind.
pub fn count(program: &Path, job: &Job, interrupt: &Interrupt) -> Result<Counts, CountError> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("counts");
    let mut command = callgrind::command([&*format!("--dump-before={MARK}")], &out, program);
    command.args(["duel-worker", "--side", "old", "--count"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = callgrind::spawn(&mut command)?;
    let order = Order { protocol: PROTOCOL, job: job.clone(), processor: None };
    let order = serde_json::to_string(&order).map_err(|error| CountError::Worker(error.to_string()))?;
    let mut input = child.stdin.take().expect("the pipe was requested");
    // A thread writes, since a program that does not read would block us. A write error means that
    // the program died, which its exit status shows.
    thread::spawn(move || drop(input.write_all(order.as_bytes())));
    let mut output = child.stdout.take().expect("the pipe was requested");
    let reading = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let status = callgrind::wait(child, interrupt)?;
    let text = reading.join().map_err(|_| CountError::Worker("its output could not be read".to_owned()))??;
    let hello = text.lines().next().and_then(|line| serde_json::from_str::<Hello>(line).ok());
    if !status.success() {
        let reason = hello.and_then(|hello| hello.error).map_or_else(String::new, |reason| format!(": {reason}"));
        return Err(CountError::Worker(format!("ended with {status} under valgrind{reason}")));
    }
    let hello = hello.ok_or_else(|| CountError::Worker("its first line is not a hello message".to_owned()))?;
    let mut counts = Counts::new();
    // The first dump holds the counts before the first lane.
    for (nr, lane) in (2..).zip(&hello.lanes) {
        let path = out.with_extension(nr.to_string());
        let dump = fs::read_to_string(path)?;
        if let (Some(total), Some(ops)) = (total(&dump), lane.counted_ops.filter(|&ops| ops > 0)) {
            counts.insert((lane.case.clone(), lane.layout.clone()), total as f64 / ops as f64);
        }
    }
    match counts.is_empty() {
        true => Err(CountError::Worker("callgrind wrote no counts".to_owned())),
        false => Ok(counts),
    }
}

/// The total number of instructions in a callgrind dump.
fn total(dump: &str) -> Option<u64> {
    let line = dump.lines().find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_dump_is_parsed() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 34211\n\nfn=(1) x\n1 2\n"), Some(34211));
        assert_eq!(total("events: Ir\nfn=(1) x\n1 2\ntotals: 7 8\n"), Some(7));
        assert_eq!(total("nothing"), None);
    }
}
