//! Runs a schedule: one process after another, keeping each unit on disk as soon as it is done.
//!
//! With a time limit the processes of the schedule share 60 % of it, what is measured once gets its share of the rest,
//! and what is left then goes to more processes. Each of those measures the lookups whose intervals are still wide, the widest
//! first, so a case stops when its interval is narrow: by its width, never by what it says. `statistics/coverage.rs` simulates what
//! that costs the coverage of intervals.

use crate::analysis::summary::Summary;
use crate::case::{BOOT, layouts};
use crate::engine::job::Event;
use crate::engine::schedule::{Leg, MOST_PROCESSES, Schedule, Scope};
use crate::interrupt::{Interrupt, Interrupted};
use crate::record::examination::Verdict;
use crate::record::row::{Row, SCHEMA, Status};
use crate::record::run_folder::{FolderError, RunFolder};
use crate::record::unit::Finished;
use crate::workload::work::Work;
use memmap_layouts::X86_64;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a run did not come to its end. What was measured until then is in its folder.
#[derive(Debug, Error)]
pub enum RunnerError {
    /// The user asked to stop. Not transparent, so that the cause can be found in the chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// Nothing can be kept.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A process could not be started, or talked to.
    #[error("process {process} of the run on {map}: {source}")]
    Io {
        /// Which process.
        process: u32,
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// Every layout that was asked for answers wrongly.
    #[error("wrong answer: {0}")]
    NoneIsRight(String),
    /// A process says that it cannot go on.
    #[error("{0}")]
    Failed(String),
    /// A process ended before it had done anything.
    #[error("process {process} of the run on {map} ended with {status} while {unit} was measured")]
    Died {
        /// Which process.
        process: u32,
        /// The map.
        map: String,
        /// How it ended.
        status: ExitStatus,
        /// What it was doing.
        unit: String,
    },
    /// A process hung before it had done anything.
    #[error("process {process} of the run on {map} was still booting after {} s; --case-timeout sets how long", timeout.as_secs())]
    Hung {
        /// Which process.
        process: u32,
        /// The map.
        map: String,
        /// How long it had.
        timeout: Duration,
    },
}

/// Is told how far the run is.
pub trait Progress {
    /// A new stretch of work begins, with what is left by estimate.
    fn stage(&mut self, what: &str, left: Duration);
}

/// Ends with its owner: an error on our side leaves no process behind.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a process ended.
enum End {
    /// It did all of it.
    Done,
    /// It did not get on with a unit, and why.
    GaveUp { unit: String, reason: String },
}

/// Share of the time limit for the lookups of the processes of the schedule.
const LOOKUPS_SHARE: f64 = 0.6;

/// Share of the time limit by which everything that is measured once has begun.
const REST_SHARE: f64 = 0.85;

/// Processes from which on a narrow interval ends a case: with fewer, too many are narrow by chance.
const LEAST_TO_STOP: usize = 7;

/// A process of lookups gets at least this much: it boots and measures the headline.
const LEAST_OF_A_PROCESS: Duration = Duration::from_secs(2);

/// Does what is left of a schedule. Cases that were given up are rows with the status `error` and the reason.
///
/// # Errors
/// [`RunnerError`]; no process is left behind.
pub fn run(
    schedule: &Schedule,
    folder: &mut RunFolder,
    interrupt: &Interrupt,
    progress: &mut dyn Progress,
) -> Result<(), RunnerError> {
    let begin = Instant::now();
    let legs = schedule.legs();
    let nr_lookups = legs.iter().filter(|leg| leg.scope == Scope::Lookups).count() as u32;
    let mut longest = Duration::ZERO;
    for (at, &leg) in legs.iter().enumerate() {
        let later: Duration = legs[at + 1..].iter().map(|&leg| schedule.estimate(leg)).sum();
        let left = |share: f64| schedule.time_limit.map(|limit| limit.mul_f64(share).saturating_sub(begin.elapsed()));
        let time_limit = match leg.scope {
            Scope::Lookups => left(LOOKUPS_SHARE).map(|left| (left / (nr_lookups - at as u32)).max(LEAST_OF_A_PROCESS)),
            Scope::Rest => left(REST_SHARE),
        };
        let begun = Instant::now();
        do_leg(schedule, leg, schedule.work(leg), time_limit, folder, interrupt, progress, later)?;
        if leg.scope == Scope::Lookups {
            longest = longest.max(begun.elapsed());
        }
    }
    let Some(limit) = schedule.time_limit else { return Ok(()) };
    for process in schedule.processes..MOST_PROCESSES {
        let left = limit.saturating_sub(begin.elapsed());
        let leg = Leg { process, map: 0, scope: Scope::Lookups };
        if nr_lookups == 0 || left < longest.max(LEAST_OF_A_PROCESS) {
            break;
        }
        let Some(work) = widest(schedule, leg, folder)? else { break };
        let name = "more processes where intervals are wide";
        progress.stage(name, left);
        do_leg(schedule, leg, work, Some(left), folder, interrupt, progress, Duration::ZERO)?;
    }
    Ok(())
}

/// Lookups of a leg whose intervals are wider than the margin can tell, the widest first; `None` if there are none.
fn widest(schedule: &Schedule, leg: Leg, folder: &RunFolder) -> Result<Option<Work>, RunnerError> {
    let map = &schedule.maps[leg.map].map.name;
    let rows: Vec<Row> = folder.rows()?.into_iter().filter(|row| row.map == *map).collect();
    let summary = Summary::of(&rows);
    let mut work = schedule.work(leg);
    let wide = schedule.margin / 2.0;
    let mut widths: Vec<(f64, crate::workload::LookupWork)> = Vec::new();
    for of in work.lookups.drain(..) {
        let lines = of.memory.iter().filter_map(|&memory| summary.lookup(of.group, memory));
        let known: Vec<_> = lines.collect();
        // What no process has reached yet is the widest of all.
        let width = match known.is_empty() {
            true => f64::INFINITY,
            false => known.iter().map(|line| line.half_width(&summary.reference, LEAST_TO_STOP)).fold(0.0, f64::max),
        };
        if width > wide {
            widths.push((width, of));
        }
    }
    widths.sort_by(|a, b| b.0.total_cmp(&a.0));
    work.lookups = widths.into_iter().map(|(_, of)| of).collect();
    Ok((!work.lookups.is_empty()).then_some(work))
}

/// Does what is left of a leg, in as many processes as it takes.
#[expect(clippy::too_many_arguments, reason = "a leg, and what all legs share")]
fn do_leg(
    schedule: &Schedule,
    leg: Leg,
    work: Work,
    time_limit: Option<Duration>,
    folder: &mut RunFolder,
    interrupt: &Interrupt,
    progress: &mut dyn Progress,
    later: Duration,
) -> Result<(), RunnerError> {
    let name = schedule.leg_name(leg);
    loop {
        let done = folder.done(&name).map(str::to_owned).collect();
        let job = schedule.job(leg, work.clone(), done, time_limit);
        if job.work.units().iter().all(|unit| job.done.contains(unit)) {
            return Ok(());
        }
        let job = serde_json::to_string(&job).map_err(|error| io_error(schedule, leg, error.into()))?;
        match one_process(schedule, leg, &job, folder, interrupt, progress, later)? {
            End::Done => return Ok(()),
            // The rest of the leg in another process; what hung or died is not tried again.
            End::GaveUp { unit, reason } => {
                // What is done cannot be given up: a process that says so would be started for ever.
                if folder.done(&name).any(|done| done == unit) {
                    return Err(RunnerError::Failed(format!("{unit}, which was measured already: {reason}")));
                }
                let row = error_row(schedule, leg, &unit, reason);
                folder.keep(&name, &Finished { unit, rows: vec![row], histograms: Vec::new() })?;
            }
        }
    }
}

fn io_error(schedule: &Schedule, leg: Leg, source: io::Error) -> RunnerError {
    RunnerError::Io { process: leg.process, map: schedule.maps[leg.map].map.name.clone(), source }
}

/// The arguments by which a process of a run is started.
pub const AS_PROCESS: [&str; 2] = ["run", "--as-process"];

/// The leg of the folder that tells which layouts were left out.
const VERIFY: &str = "verify";

/// Takes layouts that answer wrongly out of a schedule; the folder tells why, in a row of each.
///
/// # Errors
/// None is left, or the folder cannot be written.
pub fn leave_out(
    schedule: &mut Schedule,
    wrong: &[(&'static str, String)],
    folder: &mut RunFolder,
) -> Result<(), RunnerError> {
    let is_wrong = |id: &str| wrong.iter().any(|(layout, _)| *layout == id);
    let asked: Vec<String> = match schedule.layouts.is_empty() {
        true => layouts::<X86_64>().iter().map(|layout| layout.id.to_owned()).collect(),
        false => schedule.layouts.clone(),
    };
    schedule.layouts = asked.into_iter().filter(|id| !is_wrong(id)).collect();
    if schedule.layouts.is_empty() {
        let all: Vec<String> = wrong.iter().map(|(layout, reason)| format!("{layout} {reason}")).collect();
        return Err(RunnerError::NoneIsRight(all.join("; ")));
    }
    let leg = Leg { process: 0, map: 0, scope: Scope::Lookups };
    for (layout, reason) in wrong {
        let row = error_row(schedule, leg, VERIFY, format!("{layout} {reason}"));
        let row = Row { layout: (*layout).to_owned(), metric: "agrees".to_owned(), unit: "ratio".to_owned(), ..row };
        // A run that is resumed finds the same again.
        if !folder.done(VERIFY).any(|done| done == *layout) {
            let finished = Finished { unit: (*layout).to_owned(), rows: vec![row], histograms: Vec::new() };
            folder.keep(VERIFY, &finished)?;
        }
    }
    Ok(())
}

/// A row for what could not be measured.
fn error_row(schedule: &Schedule, leg: Leg, unit: &str, reason: String) -> Row {
    Row {
        v: SCHEMA,
        layout: "all".to_owned(),
        op: unit.to_owned(),
        map: schedule.maps[leg.map].map.name.clone(),
        backing: schedule.backing.kind(),
        process: leg.process,
        metric: "time".to_owned(),
        unit: "ns/op".to_owned(),
        status: Status::Error,
        reason: Some(schedule.backing.published_message(&reason)),
        machine: schedule.environment.machine_id.clone(),
        doctor: Verdict::Unknown.to_string(),
        ..Row::default()
    }
}

/// The file of this program. Without `/proc` it is what it was called by, if that is a path.
fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe().or_else(|error| {
        let called = std::env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1);
        called.ok_or(error)
    })
}

fn one_process(
    schedule: &Schedule,
    leg: Leg,
    job: &str,
    folder: &mut RunFolder,
    interrupt: &Interrupt,
    progress: &mut dyn Progress,
    later: Duration,
) -> Result<End, RunnerError> {
    let failed = |source| io_error(schedule, leg, source);
    let map = || schedule.maps[leg.map].map.name.clone();
    let (name, process) = (schedule.leg_name(leg), leg.process);
    let mut command = Command::new(this_program().map_err(failed)?);
    command.args(AS_PROCESS).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Guarded(command.spawn().map_err(failed)?);
    let mut input = child.0.stdin.take().expect("it was asked for");
    // A process that died does not read; how it ended says more than that.
    let _ = input.write_all(job.as_bytes());
    drop(input);
    let output = BufReader::new(child.0.stdout.take().expect("it was asked for"));
    // Read while it runs: a pipe holds less than the rows of a unit.
    let (to, events) = mpsc::channel();
    let reading = thread::spawn(move || {
        for line in output.lines() {
            let event = line.and_then(|line| Ok(serde_json::from_str::<Event>(&line)?));
            if to.send(event).is_err() {
                break;
            }
        }
    });
    let mut unit = BOOT.to_owned();
    let mut begun = Instant::now();
    let end = loop {
        interrupt.check()?;
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(event) => match event.map_err(failed)? {
                Event::Begin { unit: next, what, left_ms } => {
                    let left = later + Duration::from_millis(left_ms);
                    let of = match (schedule.processes, schedule.maps.len()) {
                        (1, 1) => String::new(),
                        (1, _) => format!("{}: ", map()),
                        (nr, 1) => format!("process {} of {nr}: ", process + 1),
                        (nr, _) => format!("process {} of {nr}, {}: ", process + 1, map()),
                    };
                    progress.stage(&format!("{of}{what}"), left);
                    // A unit has its time as a whole, however many stretches it has.
                    if next != unit {
                        (unit, begun) = (next, Instant::now());
                    }
                }
                Event::Done(mut finished) => {
                    for reason in finished.rows.iter_mut().filter_map(|row| row.reason.as_mut()) {
                        *reason = schedule.backing.published_message(reason);
                    }
                    folder.keep(&name, &finished)?;
                    begun = Instant::now();
                }
                Event::Failed { reason, wrong_answer } => {
                    if wrong_answer {
                        // Not under the unit's own name: if the run is taken up, it is asked again.
                        let unit = format!("{unit}, wrong answer");
                        let row = error_row(schedule, leg, &unit, reason.clone());
                        folder.keep(&name, &Finished { unit, rows: vec![row], histograms: Vec::new() })?;
                    }
                    return Err(RunnerError::Failed(reason));
                }
            },
            Err(RecvTimeoutError::Timeout) if begun.elapsed() > schedule.case_timeout => {
                let timeout = schedule.case_timeout;
                if unit == BOOT {
                    return Err(RunnerError::Hung { process, map: map(), timeout });
                }
                break End::GaveUp { unit, reason: format!("timed out after {} s", timeout.as_secs()) };
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.0.wait().map_err(failed)?;
                // The same signal goes to all processes of a terminal.
                interrupt.check()?;
                if status.success() {
                    break End::Done;
                }
                if unit == BOOT {
                    return Err(RunnerError::Died { process, map: map(), status, unit });
                }
                break End::GaveUp { unit, reason: format!("the process ended with {status}") };
            }
        }
    };
    drop(child);
    // Its output has ended with it.
    reading.join().map_err(|_| failed(io::Error::other("its output could not be read")))?;
    Ok(end)
}
