//! Starts the two workers of a pair, writes their scripts, and detects workers that hang or die.

use crate::engine::duel::arena::{Arena, Outcome, Side, Step};
use crate::engine::duel::{Hello, Lane, Order, PROTOCOL};
use crate::engine::job::Job;
use crate::interrupt::{Interrupt, Interrupted};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a duel was aborted.
#[derive(Debug, Error)]
pub enum DuelError {
    /// The user asked to stop. Not `transparent`, so that the cause can be found in the error
    /// chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// A build could not be started, or the shared memory could not be made.
    #[error("{side}: {source}")]
    Io {
        /// Which build: `old` or `new`.
        side: &'static str,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A build is not a worker of this protocol version.
    #[error("{side} ({}) does not speak version {PROTOCOL} of the duel protocol: {said}; build it from a commit whose version matches", program.display())]
    Version {
        /// Which build: `old` or `new`.
        side: &'static str,
        /// Path of the program.
        program: PathBuf,
        /// What the program printed instead.
        said: String,
    },
    /// A build refused to take part.
    #[error("{side} cannot take part: {reason}")]
    Refused {
        /// Which build: `old` or `new`.
        side: &'static str,
        /// The reason, as a sentence without a full stop.
        reason: String,
    },
    /// A build died.
    #[error("{side} ended with {status} while {doing}{said}")]
    Died {
        /// Which build: `old` or `new`.
        side: &'static str,
        /// Exit status or signal.
        status: ExitStatus,
        /// The step that the build was measuring.
        doing: String,
        /// The build's standard error.
        said: String,
    },
    /// A build hung.
    #[error("{side} made no progress for {} s while {doing}; raise --time-limit if the machine is slow", time_limit.as_secs())]
    Hung {
        /// Which build: `old` or `new`.
        side: &'static str,
        /// The step that the build was measuring.
        doing: String,
        /// The time limit that it exceeded.
        time_limit: Duration,
    },
    /// The two builds gave different answers to the same queries.
    #[error("the builds give different answers: the sum for {case}/{layout} is {old:#x} in old and {new:#x} in new")]
    Answers {
        /// Name of the case, e.g. `pfn_valid/boot/random/flat`.
        case: String,
        /// Id of the layout, e.g. `subsection`.
        layout: String,
        /// Sum of the answers of the old build.
        old: u64,
        /// Sum of the answers of the new build.
        new: u64,
    },
    /// The builds were given different queries, or different numbers of them.
    #[error("the builds look up different pages in {case}/{layout}, so their times cannot be compared")]
    Queries {
        /// Name of the case, e.g. `pfn_valid/boot/random/flat`.
        case: String,
        /// Id of the layout, e.g. `subsection`.
        layout: String,
    },
    /// The builds have different layouts, so their queries would differ.
    #[error("old has the layouts {}, new has {}", old.join(", "), new.join(", "))]
    Layouts {
        /// Layouts of the old build.
        old: Vec<String>,
        /// Layouts of the new build.
        new: Vec<String>,
    },
    /// The builds have no lane in common.
    #[error("the builds share no case on this map that the filter keeps: old has the layouts {old}, new has {new}")]
    NothingShared {
        /// Layouts of the old build.
        old: String,
        /// Layouts of the new build.
        new: String,
    },
}

/// A running worker; dropping it kills the process.
struct Worker {
    side: Side,
    child: Child,
    hello: Hello,
    said: mpsc::Receiver<String>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Killing a process that has already ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    fn start(
        side: Side,
        program: &Path,
        arena: &Arena,
        order: &str,
        time_limit: Duration,
        interrupt: &Interrupt,
    ) -> Result<Self, DuelError> {
        let failed = |source| DuelError::Io { side: side.name(), source };
        let mut command = Command::new(program);
        command.args(["duel-worker", "--side", side.name(), "--arena", &arena.number().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let mut input = child.stdin.take().expect("the pipe was requested");
        // A thread writes, since a program that does not read would block us. If the program died,
        // its exit status says more than the write error.
        let order = order.to_owned();
        thread::spawn(move || drop(input.write_all(order.as_bytes())));
        let output = BufReader::new(child.stdout.take().expect("the pipe was requested"));
        let mut errors = child.stderr.take().expect("the pipe was requested");
        let ((to, lines), (to_said, said)) = (mpsc::channel(), mpsc::channel());
        thread::spawn(move || output.lines().map_while(Result::ok).take(1).for_each(|line| drop(to.send(line))));
        thread::spawn(move || {
            let mut text = Vec::new();
            // An unreadable standard error is no reason to abort.
            let _ = errors.read_to_end(&mut text);
            drop(to_said.send(String::from_utf8_lossy(&text).trim().to_owned()));
        });
        let hello = Hello { protocol: 0, version: String::new(), lanes: Vec::new(), layouts: Vec::new(), error: None };
        let mut worker = Self { side, child, hello, said };
        let begin = Instant::now();
        let line = loop {
            interrupt.check()?;
            match lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Timeout) if begin.elapsed() < time_limit => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(DuelError::Hung { side: side.name(), doing: "booting".to_owned(), time_limit });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = loop {
                        interrupt.check()?;
                        match worker.child.try_wait().map_err(failed)? {
                            Some(status) => break status,
                            None if begin.elapsed() < time_limit => thread::sleep(Duration::from_millis(50)),
                            None => {
                                return Err(DuelError::Hung {
                                    side: side.name(),
                                    doing: "booting".to_owned(),
                                    time_limit,
                                });
                            }
                        }
                    };
                    let said = worker.last_words();
                    // Exit code 2 is a usage error: the build does not know the command.
                    if status.code() == Some(2) && !said.contains("cannot take part") {
                        let said = said.lines().next().unwrap_or("no error message").to_owned();
                        return Err(DuelError::Version { side: side.name(), program: program.to_owned(), said });
                    }
                    return Err(worker.died(status, "booting".to_owned(), &said));
                }
            }
        };
        let version = |said: String| DuelError::Version { side: side.name(), program: program.to_owned(), said };
        let value: serde_json::Value =
            serde_json::from_str(&line).map_err(|_| version("its first line is not JSON".to_owned()))?;
        match value.get("protocol").and_then(serde_json::Value::as_u64) {
            Some(protocol) if protocol == u64::from(PROTOCOL) => {}
            Some(other) => return Err(version(format!("it speaks version {other}"))),
            None => return Err(version("its first line names no version".to_owned())),
        }
        worker.hello = serde_json::from_value(value).map_err(|error| version(error.to_string()))?;
        match worker.hello.error.take() {
            Some(reason) => Err(DuelError::Refused { side: side.name(), reason }),
            None => Ok(worker),
        }
    }

    /// The worker's standard error before it ended.
    fn last_words(&self) -> String {
        self.said.recv_timeout(Duration::from_secs(5)).unwrap_or_default()
    }

    fn died(&self, status: ExitStatus, doing: String, said: &str) -> DuelError {
        let said = said.lines().last().map_or_else(String::new, |line| format!(": {line}"));
        DuelError::Died { side: self.side.name(), status, doing, said }
    }
}

/// The slices of a lane that both builds have, in ns an operation by round; `None` if a slice was
/// disturbed.
#[derive(Clone, Debug)]
pub struct Samples {
    /// The lane of the old build.
    pub old: Lane,
    /// The same lane of the new build.
    pub new: Lane,
    /// One element for each round: the old build's time, and the new build's.
    pub rounds: Vec<(Option<f64>, Option<f64>)>,
}

/// The results of one pair of workers.
#[derive(Debug)]
pub struct PairOutcome {
    /// The samples of each lane.
    pub samples: Vec<Samples>,
    /// The reply of the old build's worker.
    pub old: Hello,
    /// The reply of the new build's worker.
    pub new: Hello,
    /// Share of the CPU time of the workers that was spent on handovers, 0 to 1.
    pub handover_share: Option<f64>,
}

/// Measures `rounds` rounds with a pair of workers. Each round measures every lane in random order,
/// in slices old, new, new, old or the reverse. A worker that makes no progress for `time_limit`
/// counts as hung.
///
/// # Errors
/// [`DuelError`]; no worker is left running.
pub fn pair(
    [old, new]: [&Path; 2],
    job: &Job,
    rounds: u32,
    time_limit: Duration,
    interrupt: &Interrupt,
    mut tell: impl FnMut(u32),
) -> Result<PairOutcome, DuelError> {
    let arena = Arena::create().map_err(|source| DuelError::Io { side: "referee", source })?;
    let processor = rustix::thread::sched_getcpu();
    let order = Order { protocol: PROTOCOL, job: job.clone(), processor: Some(processor) };
    let order =
        serde_json::to_string(&order).map_err(|error| DuelError::Io { side: "referee", source: error.into() })?;
    let mut rng = Pcg64Mcg::seed_from_u64(job.seed);
    // Random boot order: it affects which memory a worker gets.
    let start = |side, program| Worker::start(side, program, &arena, &order, time_limit, interrupt);
    let (mut old, mut new) = match rng.random() {
        true => {
            let old = start(Side::Old, old)?;
            (old, start(Side::New, new)?)
        }
        false => {
            let new = start(Side::New, new)?;
            (start(Side::Old, old)?, new)
        }
    };
    if old.hello.layouts != new.hello.layouts {
        let (old, new) = (old.hello.layouts.clone(), new.hello.layouts.clone());
        return Err(DuelError::Layouts { old, new });
    }
    let mut lanes = shared_lanes(&old.hello, &new.hello)?;
    for round in 0..rounds {
        tell(round);
        lanes.shuffle(&mut rng);
        // The maximum number of lanes in a script.
        for lanes in lanes.chunks_mut(crate::engine::duel::arena::MOST_STEPS / 4) {
            let script: Vec<Step> = lanes.iter_mut().flat_map(|lane| lane.steps(&mut rng)).collect();
            arena.begin(&script);
            watch(&arena, &mut old, &mut new, time_limit, interrupt)?;
            for (lane, outcomes) in lanes.iter_mut().zip(arena.outcomes().chunks(4)) {
                lane.keep(outcomes);
            }
        }
    }
    let samples = lanes.into_iter().map(|lane| lane.samples).collect();
    let (old, new) = (old.hello.clone(), new.hello.clone());
    Ok(PairOutcome { samples, handover_share: arena.handover_share(), old, new })
}

/// A lane that both builds have.
struct SharedLane {
    /// Index of the lane in the old build, and in the new one.
    numbers: [u32; 2],
    samples: Samples,
    /// Which side measured each slice of the round.
    sides: [Side; 4],
}

impl SharedLane {
    /// The four slices of a round; the first side is random. Both sides run the same queries.
    fn steps(&mut self, rng: &mut Pcg64Mcg) -> [Step; 4] {
        let (a, b) = if rng.random() { (Side::Old, Side::New) } else { (Side::New, Side::Old) };
        self.sides = [a, b, b, a];
        let batches = self.samples.old.batches.max(1);
        let first = rng.random_range(0..self.samples.old.nr_batches.max(1));
        self.sides.map(|side| Step { side, lane: self.numbers[usize::from(side == Side::New)], first, batches })
    }

    /// Stores the outcomes of a round. The two slices of a build form a sample; if one was
    /// disturbed, there is no sample.
    fn keep(&mut self, outcomes: &[Option<Outcome>]) {
        let time = |side: Side| {
            let slices: Vec<Option<Outcome>> = outcomes
                .iter()
                .zip(self.sides)
                .filter(|(_, measured)| *measured == side)
                .map(|(outcome, _)| *outcome)
                .collect();
            let clean = slices.iter().all(|outcome| outcome.is_some_and(|outcome| !outcome.disturbed));
            let (ns, ops) =
                slices.iter().flatten().fold((0, 0), |(ns, ops), outcome| (ns + outcome.wall_ns, ops + outcome.nr_ops));
            (clean && ops > 0).then(|| ns as f64 / ops as f64)
        };
        let round = (time(Side::Old), time(Side::New));
        self.samples.rounds.push(round);
    }
}

/// The lanes that both builds have, after a check that their queries and answers agree.
fn shared_lanes(old: &Hello, new: &Hello) -> Result<Vec<SharedLane>, DuelError> {
    let new_lanes: BTreeMap<_, (u32, &Lane)> =
        (0..).zip(&new.lanes).map(|(nr, lane)| (lane.key(), (nr, lane))).collect();
    let mut shared = Vec::new();
    for (nr, lane) in (0..).zip(&old.lanes) {
        let Some(&(nr_new, lane_new)) = new_lanes.get(&lane.key()) else { continue };
        let (case, layout) = (lane.case.clone(), lane.layout.clone());
        let differ = lane.queries.zip(lane_new.queries).is_some_and(|(old, new)| old != new);
        if differ || lane.nr_batches != lane_new.nr_batches {
            return Err(DuelError::Queries { case, layout });
        }
        if let (Some(old), Some(new)) = (lane.answers, lane_new.answers)
            && old != new
        {
            return Err(DuelError::Answers { case, layout, old, new });
        }
        let samples = Samples { old: lane.clone(), new: lane_new.clone(), rounds: Vec::new() };
        shared.push(SharedLane { numbers: [nr, nr_new], samples, sides: [Side::Referee; 4] });
    }
    if shared.is_empty() {
        return Err(DuelError::NothingShared { old: old.layouts.join(", "), new: new.layouts.join(", ") });
    }
    Ok(shared)
}

/// Waits for the end of a script, and checks that both workers are alive and make progress.
fn watch(
    arena: &Arena,
    old: &mut Worker,
    new: &mut Worker,
    time_limit: Duration,
    interrupt: &Interrupt,
) -> Result<(), DuelError> {
    let doing = |worker: &Worker, step: Option<Step>| {
        let lane =
            step.filter(|step| step.side == worker.side).and_then(|step| worker.hello.lanes.get(step.lane as usize));
        lane.map_or_else(|| "waiting".to_owned(), |lane| format!("measuring {}/{}", lane.case, lane.layout))
    };
    let (mut at, mut since) = (arena.current(), Instant::now());
    loop {
        interrupt.check()?;
        if arena.wait(Side::Referee, Duration::from_millis(100)) && !arena.has_failed() && arena.current().is_none() {
            return Ok(());
        }
        for worker in [&mut *old, &mut *new] {
            let failed = |source| DuelError::Io { side: worker.side.name(), source };
            if let Some(status) = worker.child.try_wait().map_err(failed)? {
                // A terminal sends the signal to all processes of the group.
                interrupt.check()?;
                let doing = doing(worker, arena.current());
                return Err(worker.died(status, doing, &worker.last_words()));
            }
        }
        let now = arena.current();
        if now != at {
            (at, since) = (now, Instant::now());
        } else if since.elapsed() > time_limit {
            let worker = if at.is_some_and(|step| step.side == Side::New) { &*new } else { &*old };
            return Err(DuelError::Hung { side: worker.side.name(), doing: doing(worker, at), time_limit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::LookupGroup;
    use crate::case::LookupOp;
    use crate::case::Memory;
    use crate::case::Pattern;

    /// The reply of a build with one lane whose answers are addresses.
    fn hello(queries: Option<u64>, nr_batches: u64, answers: Option<u64>) -> Hello {
        let group = LookupGroup::plain(LookupOp::PfnToPage, Pattern::Random);
        let lane = Lane {
            case: group.name(Memory::Boot),
            group,
            memory: Memory::Boot,
            layout: "flat".to_owned(),
            boot: 0,
            batches: 4,
            nr_batches,
            queries,
            answers,
            code: None,
            offset_in_line: 0,
            counted_ops: None,
            loop_ns: None,
        };
        let layouts = vec!["flat".to_owned()];
        Hello { protocol: PROTOCOL, version: String::new(), lanes: vec![lane], layouts, error: None }
    }

    #[test]
    fn builds_with_different_queries_are_not_compared() {
        let old = hello(Some(1), 16, None);
        assert_eq!(shared_lanes(&old, &old).unwrap().len(), 1);
        assert_eq!(
            shared_lanes(&old, &hello(None, 16, None)).unwrap().len(),
            1,
            "older builds do not report a hash of the queries"
        );
        for new in [hello(Some(2), 16, None), hello(Some(1), 17, None)] {
            assert!(matches!(shared_lanes(&old, &new), Err(DuelError::Queries { .. })), "{new:?}");
        }
    }

    #[test]
    fn builds_with_different_answers_are_not_compared() {
        let [old, new] = [1, 2].map(|answers| hello(Some(1), 16, Some(answers)));
        assert!(matches!(shared_lanes(&old, &new), Err(DuelError::Answers { old: 1, new: 2, .. })));
        let none = Hello { lanes: Vec::new(), ..hello(None, 16, None) };
        assert!(matches!(shared_lanes(&old, &none), Err(DuelError::NothingShared { .. })));
    }
}
