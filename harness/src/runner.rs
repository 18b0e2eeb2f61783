//! Runs a schedule: one process after another, keeping each unit on disk as soon as it is done.

use crate::interrupt::{Interrupt, Interrupted};
use crate::job::{Event, Finished};
use crate::row::{Row, SCHEMA, Status};
use crate::run_folder::{FolderError, RunFolder};
use crate::schedule::{Leg, Schedule};
use crate::work::BOOT;
use std::io::{self, BufRead, BufReader, Write};
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
        /// The map.
        map: String,
        /// The cause.
        source: io::Error,
    },
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
    let legs = schedule.legs();
    for (at, &leg) in legs.iter().enumerate() {
        let later: Duration = legs[at + 1..].iter().map(|&leg| schedule.estimate(leg)).sum();
        let name = schedule.leg_name(leg);
        loop {
            let done = folder.done(&name).map(str::to_owned).collect();
            let job = schedule.job(leg, done);
            if job.work.units().iter().all(|unit| job.done.contains(unit)) {
                break;
            }
            let job = serde_json::to_string(&job).map_err(|error| io_error(schedule, leg, error.into()))?;
            match one_process(schedule, leg, &job, folder, interrupt, progress, later)? {
                End::Done => break,
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
    Ok(())
}

fn io_error(schedule: &Schedule, leg: Leg, source: io::Error) -> RunnerError {
    RunnerError::Io { process: leg.process, map: schedule.maps[leg.map].map.name.clone(), source }
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
        doctor: schedule.doctor_before.verdict().to_string(),
        ..Row::default()
    }
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
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["run", "--as-process"]).stdin(Stdio::piped()).stdout(Stdio::piped());
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
