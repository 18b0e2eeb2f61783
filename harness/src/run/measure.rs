//! A run: measures a schedule and writes the run folder.

use super::RunError;
use super::facts::{Facts, serve};
use crate::analysis::summary::Summary;
use crate::analysis::verdicts::{self, Verdicts};
use crate::engine::backing_arg::BackingArg;
use crate::engine::compiled;
use crate::engine::doctor::examine;
use crate::engine::interference::Snapshot;
use crate::engine::process::{self, JobError};
use crate::engine::race;
use crate::engine::runner::{self, Faulty, Progress, VERIFICATION};
use crate::engine::schedule::Schedule;
use crate::engine::verify::{MapOutcome, before_a_race, on_map};
use crate::interrupt::Interrupt;
use crate::map::builtin;
use crate::record::default_results::{RESULTS, user_data_folder};
use crate::record::environment::Environment;
use crate::record::folder_error::FolderError;
use crate::record::instructions;
use crate::record::manifest::{Manifest, MapNote, SCHEMA, Tool, now};
use crate::record::row::{Row, failures};
use crate::record::run_folder::RunFolder;
use memmap_layouts::X86_64;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A run that has a schedule and a partial folder.
///
/// A run starts this program again as its worker processes. Another program that uses `Run` must
/// call [`process_of_a_run`](super::process_of_a_run) or [`main_with`](crate::main_with) first in
/// `main`.
///
/// ```no_run
/// use pfnbench::interrupt::Interrupt;
/// use pfnbench::run::{Quiet, Run, process_of_a_run};
/// use pfnbench::workload::tier::Tier;
///
/// fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
///     if let Some(code) = process_of_a_run() {
///         return Ok(code);
///     }
///     let result = Run::builder().tier(Tier::Smoke).run(&Interrupt::listen()?, &mut Quiet)?;
///     for verdict in &result.verdicts.verdicts {
///         println!("{} {}: {:?}", verdict.case, verdict.layout, verdict.verdict);
///     }
///     println!("{}", result.folder.display());
///     Ok(std::process::ExitCode::SUCCESS)
/// }
/// ```
pub struct Run {
    schedule: Schedule,
    folder: RunFolder,
    interference: Option<String>,
}

/// The result of a run.
#[derive(Debug)]
pub struct RunResult {
    /// The complete run folder.
    pub folder: PathBuf,
    /// What the run was scheduled to measure.
    pub schedule: Schedule,
    /// All rows, in the order of measurement.
    pub rows: Vec<Row>,
    /// Name and summary of each map, the main map first.
    pub summaries: Vec<(String, Summary)>,
    /// Verdicts, and whether there is one on the headline comparison.
    pub verdicts: Verdicts,
    /// CPU time that other programs and the hypervisor took, as a sentence; `None` if it is
    /// negligible.
    pub interference: Option<String>,
}

impl RunResult {
    /// Failures, one row for each: a layout that was left out, or a group of cases that hung or
    /// died.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        failures(&self.rows, &self.schedule.maps[0].map.name)
    }
}

/// Discards progress and warnings.
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

impl Progress for Quiet {
    fn stage(&mut self, _: &str, _: Duration) {}
    fn warning(&mut self, _: &str) {}
}

/// Creates the run folder. Without `output`, falls back to the data folder of the user if the
/// current folder is not writable.
fn begin_folder(output: Option<&Path>, machine_id: &str, warn: &mut dyn FnMut(&str)) -> Result<RunFolder, FolderError> {
    if let Some(output) = output {
        return RunFolder::begin(output, machine_id);
    }
    match (RunFolder::begin(Path::new(RESULTS), machine_id), user_data_folder()) {
        (Err(error), Some(folder)) if error.is_not_allowed() => {
            let output = folder.join(RESULTS);
            warn(&format!("the current folder is not writable, so the run is written to {}", output.display()));
            RunFolder::begin(&output, machine_id)
        }
        (begun, _) => begun,
    }
}

impl Run {
    /// The options of `pfnbench run` without arguments.
    pub fn builder() -> Facts {
        Facts::default()
    }

    /// Makes the schedule of a run and creates its folder. `warn` receives warnings for the user.
    ///
    /// # Errors
    /// Returns a [`RunError`]; no folder is left behind.
    pub fn begin(facts: &Facts, warn: &mut dyn FnMut(&str)) -> Result<Self, RunError> {
        let counts = facts.counts(warn)?;
        let schedule = facts.lay_out(warn)?;
        let folder = begin_folder(facts.output.as_deref(), &schedule.environment.machine_id, warn)?;
        folder.write_plan(&schedule)?;
        // Written first, so that a resumed run has them too.
        if let Some(counts) = counts {
            folder.write(instructions::FILE_NAME, &instructions::lines(&counts))?;
        }
        Ok(Self { schedule, folder, interference: None })
    }

    /// Resumes a run that was stopped, from its partial folder.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the folder does not exist, or is from another machine or build.
    pub fn resume(partial: &Path) -> Result<Self, RunError> {
        let (folder, schedule): (RunFolder, Schedule) = RunFolder::resume(partial)?;
        let environment = Environment::look();
        if schedule.environment.machine_id != environment.machine_id {
            return Err(RunError::OtherMachine {
                folder: partial.to_owned(),
                theirs: schedule.environment.machine_id,
                ours: environment.machine_id,
            });
        }
        compiled::register(&schedule.conditions.kernels, schedule.seed)?;
        if schedule.commit != Tool::THIS.commit {
            return Err(RunError::OtherCommit { folder: partial.to_owned(), theirs: schedule.commit });
        }
        Ok(Self { schedule, folder, interference: None })
    }

    /// Begins a run that repeats a complete one, on this machine or another: the same workload, maps,
    /// filters, layouts, processes and seed. `backing` replaces that of the run, which is needed if its folder
    /// or device was not published. `warn` receives warnings for the user.
    ///
    /// # Errors
    /// Returns a [`RunError`] if the folder has no schedule, or if this machine lacks something.
    pub fn repeat(
        run: &Path,
        backing: Option<&BackingArg>,
        output: Option<&Path>,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Self, RunError> {
        let mut schedule = Schedule::read(run)?;
        schedule.commit = Tool::THIS.commit.into_owned();
        schedule.started = now();
        schedule.environment = Environment::look();
        schedule.doctor_before = examine(&schedule.environment);
        if let Some(backing) = backing {
            schedule.conditions.backing = backing.absolute().map_err(|error| RunError::Backing(error.into()))?;
        } else if schedule.conditions.backing.lacks_its_path() {
            let backing = schedule.conditions.backing.published();
            return Err(RunError::PrivateBacking { folder: run.to_owned(), backing });
        }
        let releases: Vec<String> = schedule.conditions.kernels.iter().map(|kernel| kernel.release.clone()).collect();
        schedule.conditions.kernels = compiled::choose(&releases, schedule.seed)?;
        let layouts = race::contestants::<X86_64>(&schedule.conditions.layouts)?;
        serve(layouts, &schedule.conditions, schedule.seed, warn)?;
        let folder = begin_folder(output, &schedule.environment.machine_id, warn)?;
        folder.write_plan(&schedule)?;
        Ok(Self { schedule, folder, interference: None })
    }

    /// What the run measures.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// An upper estimate of the duration.
    pub fn estimate(&self) -> Duration {
        self.schedule.legs().into_iter().map(|leg| self.schedule.estimate(leg)).sum()
    }

    /// The partial folder, which [`resume`](Self::resume) accepts; `None` if it has no
    /// measurements.
    pub fn kept_in(&self) -> Option<&Path> {
        self.folder.has_units().then(|| self.folder.path())
    }

    /// Verifies the layouts and measures those that answer correctly. Layouts that fail, now or
    /// during the measurement, get rows with the status `error` and are left out.
    ///
    /// # Errors
    /// Returns a [`RunError`]. Completed measurements are kept in the folder.
    pub fn measure(&mut self, interrupt: &Interrupt, progress: &mut dyn Progress) -> Result<(), RunError> {
        let before = Snapshot::take();
        // A resumed run goes on without the layouts that it left out before.
        runner::leave_out(&mut self.schedule, &[], &mut self.folder)?;
        progress.stage("verifying the layouts", self.estimate());
        let faulty = self.verify(interrupt)?;
        runner::leave_out(&mut self.schedule, &faulty, &mut self.folder)?;
        runner::run(&mut self.schedule, &mut self.folder, interrupt, progress)?;
        let seen = Snapshot::take().zip(before).map(|(after, before)| after.since(&before));
        self.interference = seen.filter(|seen| seen.is_notable()).map(|seen| seen.in_words());
        Ok(())
    }

    /// Verifies the layouts on a map with holes and on the main map, and those that agree there with
    /// a few conformance cases. Returns those that failed, each with its first reason.
    fn verify(&self, interrupt: &Interrupt) -> Result<Vec<Faulty>, RunError> {
        let faulty = |layout: &str, reason: String| Faulty {
            layout: layout.to_owned(),
            during: VERIFICATION.to_owned(),
            reason,
        };
        let mut found: Vec<Faulty> = Vec::new();
        let backing = self.schedule.conditions.backing.open().map_err(RunError::Backing)?.0;
        for map in [&builtin::with_holes(), &self.schedule.maps[0].map] {
            for check in on_map(map, &self.schedule.conditions.layouts, &backing, interrupt)? {
                if let MapOutcome::Failed { reason } = check.outcome
                    && found.iter().all(|known| known.layout != check.layout)
                {
                    found.push(faulty(check.layout, format!("on {}: {reason}", check.map)));
                }
            }
        }
        let asked = &self.schedule.conditions.layouts;
        let is_open = |id: &str| {
            (asked.is_empty() || asked.iter().any(|asked| asked == id)) && found.iter().all(|known| known.layout != id)
        };
        let mut failed: Vec<Faulty> = Vec::new();
        for check in before_a_race(&is_open) {
            if let Some(case) = check.failed.first() {
                let reason = format!("fails the conformance case {}: {}", case.case, case.reason);
                failed.push(faulty(check.layout, reason));
            }
        }
        found.extend(failed);
        Ok(found)
    }

    /// Analyses the rows in the folder, and completes it.
    ///
    /// # Errors
    /// Returns a [`RunError`]; the folder stays partial.
    pub fn finish(self) -> Result<RunResult, RunError> {
        let Self { schedule, folder, interference } = self;
        let rows = folder.rows()?;
        let summaries: Vec<(String, Summary)> = schedule
            .maps
            .iter()
            .map(|scheduled| {
                let map = &scheduled.map.name;
                let rows: Vec<Row> = rows.iter().filter(|row| row.map == *map).cloned().collect();
                let reference = Summary::default_reference(&rows);
                (map.clone(), Summary::judged(&rows, reference, schedule.margin))
            })
            .collect();
        let mut verdicts = verdicts::collect(&summaries);
        if !verdicts.can_judge && verdicts.has_headline {
            verdicts.reasons.extend(interference.clone());
        }
        folder.write_manifest(&manifest(&schedule, &rows, interference.clone())?)?;
        folder.write_schedule(&schedule.published())?;
        folder.write_histograms()?;
        let folder = folder.finish()?;
        Ok(RunResult { folder, schedule, rows, summaries, verdicts, interference })
    }
}

/// The manifest of a run: everything but its rows.
fn manifest(schedule: &Schedule, rows: &[Row], interference: Option<String>) -> Result<Manifest, RunError> {
    let main = &schedule.maps[0].map;
    let architecture = process::architecture_of(main)?;
    let mut layouts = architecture.notes(&schedule.conditions.layouts)?;
    // Layouts that were left out have no rows.
    layouts.retain(|note| rows.iter().any(|row| row.layout == note.id));
    let note = |map| Ok(MapNote::new(map, process::architecture_of(map)?.section_bytes));
    Ok(Manifest {
        schema: SCHEMA,
        tool: Tool::THIS,
        command: schedule.command.clone(),
        tier: schedule.tier,
        seed: schedule.seed,
        processes: rows.iter().map(|row| row.process + 1).max().unwrap_or(schedule.processes),
        margin: Some(schedule.margin),
        started: schedule.started.clone(),
        ended: now(),
        doctor_after: examine(&schedule.environment),
        environment: schedule.environment.clone(),
        doctor_before: schedule.doctor_before.clone(),
        records_limit: schedule.conditions.records_limit,
        geometry: architecture.id.into(),
        map: main.clone(),
        other_maps: schedule.maps[1..].iter().map(|scheduled| note(&scheduled.map)).collect::<Result<_, JobError>>()?,
        layouts,
        interference,
    })
}
