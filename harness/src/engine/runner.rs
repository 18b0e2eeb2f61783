//! Runs the processes of a schedule one after another. Each unit is written to disk as soon as it
//! is done.
//!
//! With a time limit, the scheduled processes share 60 % of it for lookups. Work that is measured
//! in one process must start before 85 %. The remaining time goes to additional processes. Each of
//! those measures the lookups whose intervals are still wide, the widest first. A case stops when
//! its interval is narrow; the measured value has no influence. `statistics/coverage.rs` simulates
//! how this stopping rule affects the coverage of intervals.

use crate::analysis::running_ratio::{self, RunningRatio};
use crate::analysis::summary::Summary;
use crate::case::{BOOT, layouts};
use crate::engine::job::Event;
use crate::engine::schedule::{Leg, MOST_PROCESSES, Schedule, Scope};
use crate::interrupt::{Interrupt, Interrupted};
use crate::record::examination::Verdict;
use crate::record::folder_error::FolderError;
use crate::record::row::{AGREES, Row, SCHEMA, Status};
use crate::record::run_folder::RunFolder;
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

/// The least time that booting all layouts may take.
const LEAST_BOOT_LIMIT: Duration = Duration::from_secs(60);

/// Why a run did not complete. Everything measured before the error is in the run folder.
#[derive(Debug, Error)]
pub enum RunnerError {
    /// The user asked to stop. Not `transparent`, so that the cause can be found in the error
    /// chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// The run folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A process could not be started, or communication with it failed.
    #[error("process {process} of the run on {map}: {source}")]
    Io {
        /// Number of the process in the run.
        process: u32,
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// Every selected layout answers wrongly. Holds their ids and wrong answers.
    #[error("wrong answer: {0}")]
    NoneIsRight(String),
    /// A process reported an error and ended. Holds the message.
    #[error("{0}")]
    Failed(String),
    /// A process died before it completed a unit.
    #[error("process {process} of the run on {map} ended with {status} while measuring {unit}")]
    Died {
        /// Number of the process in the run.
        process: u32,
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// Exit status or signal.
        status: ExitStatus,
        /// The unit that was being measured.
        unit: String,
    },
    /// A process hung before it completed a unit.
    #[error("process {process} of the run on {map} did not finish booting within {} s; raise --case-timeout", timeout.as_secs())]
    Hung {
        /// Number of the process in the run.
        process: u32,
        /// Name of the map, e.g. `this-machine`.
        map: String,
        /// The time limit of a unit.
        timeout: Duration,
    },
}

/// Receives the progress of a run.
pub trait Progress {
    /// A new step begins; `left` is the estimated time until the run ends.
    fn stage(&mut self, what: &str, left: Duration);

    /// True if [`ratios`](Self::ratios) shows something. Otherwise nothing is computed for it.
    fn shows_ratios(&self) -> bool {
        false
    }

    /// What was measured of the headline so far; called after each process on the main map. The default ignores
    /// it.
    fn ratios(&mut self, _ratios: &[RunningRatio]) {}

    /// Something that the user should know, such as a map that was read in part. The default prints
    /// it to standard error.
    fn warning(&mut self, warning: &str) {
        eprintln!("pfnbench: warning: {warning}");
    }
}

/// Kills its process when dropped, so that an error in the parent leaves no process behind.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // Killing a process that has already ended is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A layout that answered wrongly, failed a check, or panicked.
#[derive(Clone, Debug)]
pub struct Faulty {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// When it failed: in [`VERIFICATION`] or a unit of work.
    pub during: String,
    /// What it did and on which map, as a sentence without a full stop.
    pub reason: String,
}

/// How a process of the run ended.
enum End {
    /// It completed its job.
    Done,
    /// It hung or died in a unit.
    GaveUp { unit: String, reason: String },
    /// A layout is at fault.
    Faulty(Faulty),
}

/// Share of the time limit for lookups in the scheduled processes.
const LOOKUPS_SHARE: f64 = 0.6;

/// Work that is measured in one process starts before this share of the time limit, or not at all.
const REST_SHARE: f64 = 0.85;

/// A case may stop on a narrow interval only from this number of processes on. With fewer, too many
/// intervals are narrow by chance.
const LEAST_TO_STOP: usize = 7;

/// Least time for a process of lookups: enough to boot and to measure the headline cases.
const LEAST_OF_A_PROCESS: Duration = Duration::from_secs(2);

/// Runs the remaining work of a schedule. Abandoned units become rows with the status `error` and
/// the reason.
///
/// # Errors
/// [`RunnerError`]; all child processes have ended.
pub fn run(
    schedule: &mut Schedule,
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
        let work = schedule.work(leg);
        do_leg(schedule, leg, work, time_limit, folder, interrupt, progress, later)?;
        if leg.scope == Scope::Lookups {
            longest = longest.max(begun.elapsed());
            tell_ratios(schedule, leg, folder, progress)?;
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
        let name = "additional processes for cases with wide intervals";
        progress.stage(name, left);
        do_leg(schedule, leg, work, Some(left), folder, interrupt, progress, Duration::ZERO)?;
        tell_ratios(schedule, leg, folder, progress)?;
    }
    Ok(())
}

/// Reports the headline ratios on the main map.
fn tell_ratios(
    schedule: &Schedule,
    leg: Leg,
    folder: &RunFolder,
    progress: &mut dyn Progress,
) -> Result<(), RunnerError> {
    if leg.map == 0 && progress.shows_ratios() {
        let map = &schedule.maps[0].map.name;
        let rows: Vec<Row> = folder.rows()?.into_iter().filter(|row| row.map == *map).collect();
        progress.ratios(&running_ratio::of_headline(&rows));
    }
    Ok(())
}

/// The lookups of a leg whose intervals are still wider than the margin, the widest first; `None`
/// if there are none.
fn widest(schedule: &Schedule, leg: Leg, folder: &RunFolder) -> Result<Option<Work>, RunnerError> {
    let map = &schedule.maps[leg.map].map.name;
    let rows: Vec<Row> = folder.rows()?.into_iter().filter(|row| row.map == *map).collect();
    let summary = Summary::from_rows(&rows);
    let mut work = schedule.work(leg);
    let wide = schedule.margin / 2.0;
    let mut widths: Vec<(f64, crate::workload::LookupWork)> = Vec::new();
    for lookups in work.lookups.drain(..) {
        let lines = lookups.memory.iter().filter_map(|&memory| summary.lookup(lookups.group, memory));
        let known: Vec<_> = lines.collect();
        // A case that no process has measured yet counts as the widest.
        let width = match known.is_empty() {
            true => f64::INFINITY,
            false => known.iter().map(|line| line.half_width(&summary.reference, LEAST_TO_STOP)).fold(0.0, f64::max),
        };
        if width > wide {
            widths.push((width, lookups));
        }
    }
    widths.sort_by(|a, b| b.0.total_cmp(&a.0));
    work.lookups = widths.into_iter().map(|(_, lookups)| lookups).collect();
    Ok((!work.lookups.is_empty()).then_some(work))
}

/// Runs the remaining work of a leg, in as many processes as needed.
#[expect(clippy::too_many_arguments, reason = "a leg, and what all legs share")]
fn do_leg(
    schedule: &mut Schedule,
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
            // Another process runs the rest of the leg. A unit that hung or died is not retried.
            End::GaveUp { unit, reason } => {
                // If a finished unit could be abandoned, its process would be restarted forever.
                if folder.done(&name).any(|done| done == unit) {
                    return Err(RunnerError::Failed(format!("{unit} failed after it was stored: {reason}")));
                }
                let row = error_row(schedule, leg, &unit, reason);
                folder.keep(&name, &Finished { unit, rows: vec![row], histograms: Vec::new() })?;
            }
            // The others repeat the unit without it.
            End::Faulty(faulty) => {
                progress.warning(&format!("{} {}; the run continues without it", faulty.layout, faulty.reason));
                leave_out(schedule, &[faulty], folder)?;
            }
        }
    }
}

fn io_error(schedule: &Schedule, leg: Leg, source: io::Error) -> RunnerError {
    RunnerError::Io { process: leg.process, map: schedule.maps[leg.map].map.name.clone(), source }
}

/// The arguments that start this program as a process of a run.
pub const AS_PROCESS: [&str; 2] = ["run", "--as-process"];

/// What a run does before it measures; also the name of the leg whose units are the layouts that
/// were left out.
pub const VERIFICATION: &str = "verify";

/// Removes faulty layouts from a schedule, and those that the folder says were left out before. The
/// folder gets a row with the reason for each layout and map, so that no row of the layout is
/// trusted.
///
/// # Errors
/// No layout is left, or the folder cannot be written.
pub fn leave_out(schedule: &mut Schedule, faulty: &[Faulty], folder: &mut RunFolder) -> Result<(), RunnerError> {
    for Faulty { layout, during, reason } in faulty {
        if folder.done(VERIFICATION).any(|done| done == layout) {
            continue;
        }
        let reason = format!("{layout} {reason}");
        let row = |map| {
            let leg = Leg { process: 0, map, scope: Scope::Lookups };
            let row = error_row(schedule, leg, during, reason.clone());
            Row { layout: layout.clone(), metric: AGREES.to_owned(), unit: "ratio".to_owned(), ..row }
        };
        let rows = (0..schedule.maps.len()).map(row).collect();
        folder.keep(VERIFICATION, &Finished { unit: layout.clone(), rows, histograms: Vec::new() })?;
    }
    let asked: Vec<String> = match schedule.conditions.layouts.is_empty() {
        true => layouts::<X86_64>().iter().map(|layout| layout.id.to_owned()).collect(),
        false => schedule.conditions.layouts.clone(),
    };
    let is_left = |id: &String| !folder.done(VERIFICATION).any(|done| done == id);
    let left: Vec<String> = asked.iter().filter(|id| is_left(id)).cloned().collect();
    if left.is_empty() {
        let of_main = |row: &Row| row.is_of_faulty_layout() && row.map == schedule.maps[0].map.name;
        let reasons = folder.rows()?.into_iter().filter(of_main).filter_map(|row| row.reason);
        return Err(RunnerError::NoneIsRight(reasons.collect::<Vec<_>>().join("; ")));
    }
    // An empty list means all layouts, also those that are not listed.
    if left.len() < asked.len() {
        schedule.conditions.layouts = left;
    }
    Ok(())
}

/// A row for a unit that could not be measured.
fn error_row(schedule: &Schedule, leg: Leg, unit: &str, reason: String) -> Row {
    Row {
        v: SCHEMA,
        layout: "all".to_owned(),
        op: unit.to_owned(),
        map: schedule.maps[leg.map].map.name.clone(),
        backing: schedule.conditions.backing.kind(),
        process: leg.process,
        metric: "time".to_owned(),
        unit: "ns/op".to_owned(),
        status: Status::Error,
        reason: Some(schedule.conditions.backing.published_message(&reason)),
        machine: schedule.environment.machine_id.clone(),
        doctor: Verdict::Unknown.to_string(),
        ..Row::default()
    }
}

/// Path of this program's executable. Without `/proc` it is `argv[0]`, if that is a path.
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
    let mut input = child.0.stdin.take().expect("it is piped");
    // Fails if the process has died. Its exit status, checked below, says more.
    let _ = input.write_all(job.as_bytes());
    drop(input);
    let output = BufReader::new(child.0.stdout.take().expect("it is piped"));
    // The output is read while the process runs: a pipe holds less than the rows of one unit.
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
    // Booting is no case, and takes as long as the machine needs.
    let limit = |unit: &str| match unit {
        BOOT => schedule.case_timeout.max(LEAST_BOOT_LIMIT),
        _ => schedule.case_timeout,
    };
    let end = loop {
        interrupt.check()?;
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(event) => match event.map_err(failed)? {
                Event::Begin { unit: next, what, left_ms } => {
                    let left = later + Duration::from_millis(left_ms);
                    let position = match (schedule.processes, schedule.maps.len()) {
                        (1, 1) => String::new(),
                        (1, _) => format!("{}: ", map()),
                        (nr, 1) => format!("process {} of {nr}: ", process + 1),
                        (nr, _) => format!("process {} of {nr}, {}: ", process + 1, map()),
                    };
                    progress.stage(&format!("{position}{what}"), left);
                    // The time limit applies to the whole unit, over all its steps.
                    if next != unit {
                        (unit, begun) = (next, Instant::now());
                    }
                }
                Event::Done(mut finished) => {
                    for reason in finished.rows.iter_mut().filter_map(|row| row.reason.as_mut()) {
                        *reason = schedule.conditions.backing.published_message(reason);
                    }
                    folder.keep(&name, &finished)?;
                    begun = Instant::now();
                }
                Event::Failed { reason, layout: None } => return Err(RunnerError::Failed(reason)),
                Event::Failed { reason, layout: Some(layout) } => {
                    let reason = format!("in {unit} on {}: {reason}", map());
                    break End::Faulty(Faulty { layout, during: unit, reason });
                }
            },
            Err(RecvTimeoutError::Timeout) if begun.elapsed() > limit(&unit) => {
                let timeout = limit(&unit);
                if unit == BOOT {
                    return Err(RunnerError::Hung { process, map: map(), timeout });
                }
                break End::GaveUp { unit, reason: format!("timed out after {} s", timeout.as_secs()) };
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let status = child.0.wait().map_err(failed)?;
                // A terminal sends the signal to all processes of the group.
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
    // The reader ends when the output closes.
    reading.join().map_err(|_| failed(io::Error::other("the thread that reads the output of the process panicked")))?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::REFERENCE;
    use crate::engine::schedule::MapWork;
    use crate::engine::schedule::tests::{job, schedule};
    use crate::workload::tier::Tier;

    fn two_maps() -> Schedule {
        let first = job();
        let second = crate::map::PhysicalMap { name: "another".to_owned(), ..first.map.clone() };
        let work = |map| MapWork { map, work: first.work.clone() };
        schedule(Tier::Smoke, vec![work(first.map.clone()), work(second)])
    }

    fn faulty(layout: &str) -> Faulty {
        let (during, reason) = ("hotplug/2MiB".to_owned(), "forgets what was added".to_owned());
        Faulty { layout: layout.to_owned(), during, reason }
    }

    #[test]
    fn a_faulty_layout_is_left_out_also_when_the_run_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::begin(dir.path(), "machine").unwrap();
        let mut known = two_maps();
        leave_out(&mut known, &[], &mut folder).unwrap();
        assert!(known.conditions.layouts.is_empty() && !folder.has_units(), "nothing is left out");
        for _ in 0..2 {
            leave_out(&mut known, &[faulty("sparse")], &mut folder).unwrap();
        }
        let rows = folder.rows().unwrap();
        assert_eq!(rows.iter().map(|row| row.map.as_str()).collect::<Vec<_>>(), [&known.maps[0].map.name, "another"]);
        for row in &rows {
            assert!(row.is_of_faulty_layout() && row.layout == "sparse" && row.op == "hotplug/2MiB");
            assert_eq!(row.reason.as_deref(), Some("sparse forgets what was added"));
        }
        // The plan of a resumed run still has every layout.
        let mut resumed = two_maps();
        leave_out(&mut resumed, &[], &mut folder).unwrap();
        for schedule in [&known, &resumed] {
            let left = &schedule.conditions.layouts;
            assert!(left.iter().any(|id| id == REFERENCE) && !left.iter().any(|id| id == "sparse"), "{left:?}");
        }
        resumed.conditions.layouts = vec!["flat".to_owned(), "sparse".to_owned()];
        let error = leave_out(&mut resumed, &[faulty("flat")], &mut folder).unwrap_err().to_string();
        assert_eq!(error, "wrong answer: sparse forgets what was added; flat forgets what was added");
    }
}
