//! The options of a run, and the schedule that they give.

use super::RunError;
use super::measure::{Run, RunResult};
use crate::analysis::judge::MARGIN;
use crate::case::{Filter, LookupOp};
use crate::engine::backing_arg::BackingArg;
use crate::engine::compiled;
use crate::engine::conditions::Conditions;
use crate::engine::contestant::Entry;
use crate::engine::doctor::examine;
use crate::engine::field::default_records_limit;
use crate::engine::index_pages::IndexPagesArg;
use crate::engine::race::{self, Served};
use crate::engine::runner::Progress;
use crate::engine::schedule::{Schedule, Wanted, check_expectations};
use crate::engine::verify::architecture_note;
use crate::interrupt::Interrupt;
use crate::map::source::Source;
use crate::record::environment::Environment;
use crate::record::instructions::{self, InstructionRow};
use crate::record::manifest::{Tool, now};
use crate::workload::Workload;
use crate::workload::tier::Tier;
use memmap_layouts::X86_64;
use std::path::PathBuf;
use std::time::Duration;

/// Options of a run. [`Facts::default`] has the options of `pfnbench run` without arguments.
///
/// ```
/// use pfnbench::Run;
/// use pfnbench::workload::tier::Tier;
///
/// let facts = Run::builder().tier(Tier::Smoke).layout("flat").layout("subsection").map("builtin:vm-20g".parse()?);
/// // What the run would measure; nothing is measured or written yet.
/// let schedule = facts.lay_out(&mut |warning| eprintln!("{warning}"))?;
/// assert_eq!((schedule.conditions.layouts.len(), schedule.maps[0].map.name.as_str()), (2, "vm-20g"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Facts {
    /// How much to measure.
    pub tier: Tier,
    /// Paths of TOML workloads; empty for the built-in ones.
    pub workloads: Vec<PathBuf>,
    /// Ids of layouts; empty for all. An id that occurs twice makes the run an A/A test.
    pub layouts: Vec<String>,
    /// Kernels whose compiled lookups take part: versions such as `6.1`, or releases.
    pub kernels: Vec<String>,
    /// Lookups to measure; empty for all.
    pub ops: Vec<LookupOp>,
    /// Selects cases by name.
    pub filter: Filter,
    /// The only memory map to use; `None` for the maps of the workloads, which include this
    /// machine's.
    pub map: Option<Source>,
    /// Backing store of the records.
    pub backing: BackingArg,
    /// Page size of the memory for index tables.
    pub index_pages: IndexPagesArg,
    /// Seed of all random numbers; 1 by default.
    pub seed: u64,
    /// Times that differ by less than this fraction are equal; 0.02 by default.
    pub margin: f64,
    /// Maximum memory for the records of all layouts together, in bytes; `None` for the default of
    /// the tier and the machine.
    pub records_limit: Option<u64>,
    /// True to raise the preemption count around `pfn_valid`, for layouts that follow Linux 6.8 or
    /// later.
    pub preempt: bool,
    /// Number of processes that measure lookups; `None` for the number of the tier, and more while
    /// its time limit allows.
    pub processes: Option<u32>,
    /// Time after which a group of cases is aborted; 120 s by default.
    pub case_timeout: Duration,
    /// Instruction counts to store with the run: a file, or a folder with `instructions.jsonl`.
    pub instructions: Option<PathBuf>,
    /// Folder in which to create the run folder; `None` for `results`, or the data folder of the
    /// user if the current folder is not writable.
    pub output: Option<PathBuf>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            tier: Tier::default(),
            workloads: Vec::new(),
            layouts: Vec::new(),
            kernels: Vec::new(),
            ops: Vec::new(),
            filter: Filter::default(),
            map: None,
            backing: BackingArg::default(),
            index_pages: IndexPagesArg::default(),
            seed: 1,
            margin: MARGIN,
            records_limit: None,
            preempt: false,
            processes: None,
            case_timeout: Duration::from_secs(120),
            instructions: None,
            output: None,
        }
    }
}

/// Checks that this machine can serve layouts under the conditions of a run. `warn` receives the reasons of those
/// that it cannot.
///
/// # Errors
/// It can serve none, or lacks the backing store.
pub(super) fn serve(
    layouts: Vec<Entry<X86_64>>,
    conditions: &Conditions,
    seed: u64,
    warn: &mut dyn FnMut(&str),
) -> Result<(), RunError> {
    let means = conditions.means(seed).map_err(RunError::Backing)?;
    let served = Served::new(layouts, &means);
    for (id, reason) in &served.left_out {
        warn(&format!("{id} is left out: {reason}"));
    }
    if served.entries.is_empty() {
        return Err(RunError::NoLayout);
    }
    Ok(())
}

impl Facts {
    /// Sets how much to measure.
    pub fn tier(self, tier: Tier) -> Self {
        Self { tier, ..self }
    }

    /// Adds the id of a layout to measure. Without any, all layouts are measured.
    pub fn layout(mut self, id: impl Into<String>) -> Self {
        self.layouts.push(id.into());
        self
    }

    /// Adds the compiled lookups of a kernel, e.g. `6.1`, which `pfnbench kernel add` made.
    pub fn kernel(mut self, version: impl Into<String>) -> Self {
        self.kernels.push(version.into());
        self
    }

    /// Sets the only memory map to use.
    pub fn map(self, map: Source) -> Self {
        Self { map: Some(map), ..self }
    }

    /// Sets the filter that selects cases.
    pub fn filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// Sets the folder in which the run folder is created.
    pub fn output(self, folder: impl Into<PathBuf>) -> Self {
        Self { output: Some(folder.into()), ..self }
    }

    /// Starts a run, measures, and completes its folder. `progress` observes it and receives
    /// warnings.
    ///
    /// # Errors
    /// Returns a [`RunError`]. Completed measurements are kept in a partial folder, which
    /// [`Run::resume`] accepts.
    pub fn run(&self, interrupt: &Interrupt, progress: &mut dyn Progress) -> Result<RunResult, RunError> {
        let mut run = Run::begin(self, &mut |warning| progress.warning(warning))?;
        run.measure(interrupt, progress)?;
        run.finish()
    }

    /// Makes the schedule of a run: loads the maps, examines the machine, and checks the answers
    /// that the workloads expect. `warn` receives warnings for the user.
    ///
    /// # Errors
    /// Returns a [`RunError`]; nothing has been written.
    pub fn lay_out(&self, warn: &mut dyn FnMut(&str)) -> Result<Schedule, RunError> {
        let workloads = Workload::chosen(&self.workloads)?;
        let kernels = compiled::choose(&self.kernels, self.seed)?;
        let mut ids =
            if self.layouts.is_empty() { race::of_tier(self.tier) } else { race::without_bound(&self.layouts)? };
        // No ids mean the default layouts, with the compiled ones among them.
        if !ids.is_empty() {
            let new = kernels.iter().map(|kernel| kernel.id.clone());
            let known = ids.clone();
            ids.extend(new.filter(|id| !known.contains(id)));
        }
        let layouts = race::contestants::<X86_64>(&ids)?;
        check_expectations(&workloads)?;
        let wanted = Wanted {
            tier: self.tier,
            ops: self.ops.clone(),
            filter: self.filter.clone(),
            preempt: self.preempt,
            map: self.map.clone(),
        };
        let maps = wanted.maps(&workloads)?;
        for map in maps.iter().map(|scheduled| &scheduled.map) {
            map.warnings.iter().cloned().chain(architecture_note(map)).for_each(|warning| warn(&warning));
        }
        let started = now();
        let environment = Environment::look();
        let doctor_before = examine(&environment);
        let records_limit = self.records_limit.unwrap_or_else(|| default_records_limit(self.tier));
        let conditions = Conditions {
            records_limit,
            backing: self.backing.absolute().map_err(|error| RunError::Backing(error.into()))?,
            index_pages: self.index_pages,
            layouts: ids,
            kernels,
            filter: self.filter.clone(),
        };
        serve(layouts, &conditions, self.seed, warn)?;
        Ok(Schedule {
            commit: Tool::THIS.commit.into_owned(),
            command: self.command(&maps[0].map.name, records_limit),
            started,
            doctor_before,
            tier: self.tier,
            effort: self.tier.effort(),
            seed: self.seed,
            processes: self.processes.unwrap_or(self.tier.processes()),
            // An explicit number of processes is not limited by time.
            time_limit: self.tier.time_limit().filter(|_| self.processes.is_none()),
            margin: self.margin,
            conditions,
            case_timeout: self.case_timeout,
            maps,
            environment,
        })
    }

    /// Reads the instruction counts to store with the run.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or has no counts.
    pub(super) fn counts(&self, warn: &mut dyn FnMut(&str)) -> Result<Option<Vec<InstructionRow>>, RunError> {
        let Some(path) = &self.instructions else { return Ok(None) };
        let counts = instructions::read_some(path)?;
        if let Some(other) = instructions::of_another_build(&counts) {
            warn(&format!("{}: {other}", path.display()));
        }
        Ok(Some(counts))
    }

    /// The command that repeats the run. Paths are reduced to file names, because folders may
    /// contain names of people.
    fn command(&self, map: &str, records_limit: u64) -> String {
        let mut command = format!("pfnbench run --seed {} --records-limit {records_limit}", self.seed);
        let mut push = |option: &str, value: &str| {
            command.push_str(&format!(" {option}{}{value}", if value.is_empty() { "" } else { " " }));
        };
        if self.tier != Tier::default() {
            push("--tier", self.tier.name());
        }
        if let Some(processes) = self.processes {
            push("--processes", &processes.to_string());
        }
        if self.margin != MARGIN {
            push("--margin", &(100.0 * self.margin).to_string());
        }
        for path in &self.workloads {
            push("--workload", &path.file_name().unwrap_or_default().to_string_lossy());
        }
        for (option, value) in self.filter.arguments() {
            push(option, &format!("'{value}'"));
        }
        if self.preempt {
            push("--preempt", "");
        }
        if self.backing != BackingArg::default() {
            push("--backing", &self.backing.published());
        }
        if self.index_pages != IndexPagesArg::default() {
            push("--index-pages", self.index_pages.name());
        }
        if let Some(path) = &self.instructions {
            let name = if path.is_dir() { None } else { path.file_name() };
            push("--instructions", &name.map_or(instructions::FILE_NAME.into(), |name| name.to_string_lossy()));
        }
        self.layouts.iter().for_each(|id| push("--layout", id));
        self.kernels.iter().for_each(|version| push("--kernel", version));
        self.ops.iter().for_each(|op| push("--op", op.name()));
        match &self.map {
            None => {}
            Some(Source::Builtin(name)) => push("--map", &format!("builtin:{name}")),
            Some(Source::Stdin) => push("--map", "-"),
            Some(_) => push("--map", map),
        }
        command
    }
}
