//! `pfnbench run`, and `pfnbench` alone.

use super::subject::SubjectArgs;
use super::{Answer, BackingArg, Json, KeptIn, print, print_json};
use crate::analysis::cover_letter;
use crate::analysis::huge_pages;
use crate::analysis::judge::MARGIN;
use crate::analysis::summary::Summary;
use crate::analysis::verdicts;
use crate::engine::doctor::examine;
use crate::engine::field::{FieldError, Means, default_records_limit};
use crate::engine::index_pages::IndexPagesArg;
use crate::engine::interference::{Snapshot, wait_until_idle};
use crate::engine::job::{self, Job, JobError};
use crate::engine::race::{self, Served};
use crate::engine::runner::{self, Progress};
use crate::engine::schedule::{Schedule, Wanted, check_expectations};
use crate::engine::verify::{MapOutcome, architecture_note, on_map};
use crate::files::replace;
use crate::interrupt::Interrupt;
use crate::map::builtin;
use crate::map::source::Source;
use crate::present::report::{Report, html};
use crate::present::table;
use crate::record::environment::Environment;
use crate::record::instructions::{self, InstructionRow};
use crate::record::row::{Row, Status};
use crate::record::run_folder::{FolderError, Manifest, MapNote, RunFolder, SCHEMA, Tool, now};
use crate::size::parse_size;
use crate::workload::Workload;
use crate::workload::tier::Tier;
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use memmap_layouts::X86_64;
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// How much to measure.
    #[arg(long, value_enum, default_value_t)]
    tier: Tier,
    /// Take the cases from this workload, a TOML file, instead of those that are built in; may be given several times.
    #[arg(long, value_name = "FILE")]
    workload: Vec<PathBuf>,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Bytes of records that all layouts together may take; by default 1 GiB, or an eighth of the available memory if that
    /// is less; twice that with --tier full.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    records_limit: Option<u64>,
    /// Count preemption around pfn_valid, for layouts that follow Linux 6.8 or later.
    #[arg(long)]
    preempt: bool,
    /// Pages of the memory for index tables. Default: huge where the machine has transparent huge pages, else base.
    #[arg(long, value_name = "PAGES", value_enum, default_value_t, hide_default_value = true)]
    index_pages: IndexPagesArg,
    /// Processes in which lookups are measured, each with a seed of its own; from 5 on there are intervals and verdicts. By default 5,
    /// with --tier quick and full 7, with --tier smoke 1; the default and quick tiers add more while there is time, unless a number
    /// is given, which then takes as long as it takes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    processes: Option<u32>,
    /// Wait until other programs leave the machine idle, so many minutes at most (10 if none are given).
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, require_equals = true, default_missing_value = "10",
          value_parser = clap::value_parser!(u64).range(1..=1440))]
    wait_quiet: Option<u64>,
    /// Exit with 2 if the run cannot judge its headline.
    #[arg(long)]
    strict: bool,
    /// Give up a group of cases that takes longer.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    case_timeout: u64,
    /// Put these counts beside the run: an instructions.jsonl that cargo bench --bench instructions made of the same commit, or a
    /// folder with one.
    #[arg(long, value_name = "FILE")]
    instructions: Option<PathBuf>,
    /// Take up the run of this folder, which was stopped; its own arguments hold.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "tier", "workload", "layout", "op", "filter", "exclude", "map", "records_limit", "preempt", "backing", "index_pages",
        "seed", "processes", "margin", "case_timeout", "instructions", "output",
    ])]
    resume: Option<PathBuf>,
    /// Be a process of a run: a job comes on standard input, and events go to standard output.
    #[arg(long, hide = true, exclusive = true)]
    as_process: bool,
    /// Folder for run folders. Default: results, or ~/.local/share/pfnbench/results where the current folder cannot be written.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self {
            tier: Tier::default(),
            workload: Vec::new(),
            subject: SubjectArgs::default(),
            records_limit: None,
            preempt: false,
            index_pages: IndexPagesArg::default(),
            processes: None,
            wait_quiet: None,
            strict: false,
            case_timeout: 120,
            instructions: None,
            resume: None,
            as_process: false,
            output: None,
            json: Json::default(),
        }
    }
}

/// Default name of the folder for run folders.
const RESULTS: &str = "results";

/// Where programs keep data for the user, as the XDG base directory specification has it.
fn user_data_folder() -> Option<PathBuf> {
    let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).and_then(absolute);
    let home = || std::env::home_dir().and_then(absolute).map(|home| home.join(".local/share"));
    Some(data.or_else(home)?.join("pfnbench"))
}

/// A bar with the time left on a terminal, nothing elsewhere.
struct Bar {
    bar: ProgressBar,
    begin: Instant,
}

impl Bar {
    fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {bar:24} {prefix} left")
            .expect("a valid template")
            .progress_chars("━╸ ");
        let bar = ProgressBar::new(1000).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, begin: Instant::now() }
    }
}

impl Progress for Bar {
    fn stage(&mut self, what: &str, left: Duration) {
        let done = self.begin.elapsed().as_secs_f64();
        self.bar.set_position((1000.0 * done / (done + left.as_secs_f64()).max(1e-3)) as u64);
        self.bar.set_prefix(HumanDuration(left).to_string());
        self.bar.set_message(what.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl RunArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if self.as_process {
            return as_process();
        }
        let counts = self.counts()?;
        let laid_out = self.resume.is_none().then(|| self.lay_out()).transpose()?;
        // From here on there is something to clean up.
        let interrupt = Interrupt::listen()?;
        self.wait(&interrupt)?;
        let (schedule, mut folder) = match (laid_out, &self.resume) {
            (None, Some(partial)) => take_up(partial)?,
            (Some(schedule), _) => {
                let folder = self.begin(&schedule.environment.machine_id)?;
                folder.write_plan(&schedule)?;
                // From the beginning, so that they are there however often the run is taken up.
                if let Some(counts) = counts {
                    folder.write(instructions::FILE_NAME, &instructions::lines(&counts))?;
                }
                (schedule, folder)
            }
            (None, None) => unreachable!("a run is laid out or taken up"),
        };
        let estimate: Duration = schedule.legs().into_iter().map(|leg| schedule.estimate(leg)).sum();
        if std::io::stderr().is_terminal() {
            eprintln!("pfnbench: {}", plan_in_words(&schedule, estimate));
        }
        let before = Snapshot::take();
        let mut bar = Bar::new();
        bar.stage("verifying a map with holes", estimate);
        verify_holes(&schedule, &interrupt)?;
        let ran = runner::run(&schedule, &mut folder, &interrupt, &mut bar);
        drop(bar);
        ran.map_err(|error| told_what_is_kept(error.into(), &folder))?;
        let interference = Snapshot::take().zip(before).map(|(after, before)| after.since(&before));
        let interference = interference.filter(|seen| seen.is_notable()).map(|seen| seen.in_words());
        self.finish(schedule, folder, interference)
    }

    /// Makes the run folder. A checkout that belongs to somebody else is no reason to measure nothing.
    fn begin(&self, machine_id: &str) -> Result<RunFolder, FolderError> {
        if let Some(output) = &self.output {
            return RunFolder::begin(output, machine_id);
        }
        match (RunFolder::begin(Path::new(RESULTS), machine_id), user_data_folder()) {
            (Err(error), Some(folder)) if error.is_not_allowed() => {
                let output = folder.join(RESULTS);
                eprintln!(
                    "pfnbench: warning: the current folder cannot be written: the run goes to {}",
                    output.display()
                );
                RunFolder::begin(&output, machine_id)
            }
            (begun, _) => begun,
        }
    }

    /// Waits until the machine is idle, if that is asked for.
    fn wait(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let Some(minutes) = self.wait_quiet else { return Ok(()) };
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let seen = wait_until_idle(Duration::from_secs(60 * minutes), interrupt, |seen, left| {
            bar.set_message(format!("waiting for an idle machine, {} left. {}", HumanDuration(left), seen.in_words()));
        });
        bar.finish_and_clear();
        match seen? {
            Some(seen) if seen.is_notable() => {
                eprintln!("pfnbench: warning: still busy after {minutes} minutes: {}", seen.in_words());
            }
            Some(_) => {}
            None => eprintln!("pfnbench: warning: this system does not tell whether it is idle: there is no /proc"),
        }
        Ok(())
    }

    /// The counts that are to lie beside the run.
    fn counts(&self) -> anyhow::Result<Option<Vec<InstructionRow>>> {
        let Some(path) = &self.instructions else { return Ok(None) };
        let counts = instructions::read_some(path)?;
        if let Some(other) = instructions::of_another_build(&counts) {
            eprintln!("pfnbench: warning: {}: {other}", path.display());
        }
        Ok(Some(counts))
    }

    /// The arguments of a run that lays out the lookups of a duel.
    pub(super) fn of_duel(subject: SubjectArgs) -> Self {
        let tier = if subject.cases.arguments().is_empty() { Tier::Default } else { Tier::Full };
        // Lookups are of the one map.
        let subject = SubjectArgs { map: Some(subject.map.unwrap_or_default()), ..subject };
        Self { tier, subject, ..Self::default() }
    }

    /// Lays out a run.
    pub(super) fn lay_out(&self) -> anyhow::Result<Schedule> {
        let workloads = Workload::chosen(&self.workload)?;
        let layouts = race::chosen::<X86_64>(&self.subject.layout)?;
        check_expectations(&workloads)?;
        let wanted = Wanted {
            tier: self.tier,
            ops: self.subject.op.clone(),
            filter: self.subject.cases.filter(),
            preempt: self.preempt,
            map: self.subject.map.clone(),
        };
        let maps = wanted.maps(&workloads)?;
        for map in maps.iter().map(|of| &of.map) {
            for warning in map.warnings.iter().cloned().chain(architecture_note(map)) {
                eprintln!("pfnbench: warning: {warning}");
            }
        }
        let started = now();
        let environment = Environment::look();
        let doctor_before = examine(&environment);
        let records_limit = self.records_limit.unwrap_or_else(|| default_records_limit(self.tier));
        let (backing, device) = self.subject.backing.open()?;
        let index_pages = self.index_pages.into();
        let means = Means { backing, index_pages, device, records_limit, seed: self.subject.seed };
        let served = Served::of(layouts, &means);
        for (id, reason) in &served.left_out {
            eprintln!("pfnbench: warning: {id} is left out: {reason}");
        }
        if served.entries.is_empty() {
            bail!("none of the layouts asked for can have its records there");
        }
        Ok(Schedule {
            commit: Tool::THIS.commit.into_owned(),
            command: self.command(&maps[0].map.name, records_limit),
            started,
            doctor_before,
            tier: self.tier,
            effort: self.tier.effort(),
            seed: self.subject.seed,
            processes: self.processes.unwrap_or(self.tier.processes()),
            // Whoever names a number of processes gets that number.
            time_limit: self.tier.time_limit().filter(|_| self.processes.is_none()),
            margin: self.subject.margin,
            records_limit,
            backing: self.subject.backing.absolute()?,
            index_pages: self.index_pages,
            layouts: self.subject.layout.clone(),
            filter: wanted.filter,
            case_timeout: Duration::from_secs(self.case_timeout),
            maps,
            environment,
        })
    }

    /// Analyses what is on disk, and completes the folder.
    fn finish(&self, schedule: Schedule, folder: RunFolder, interference: Option<String>) -> anyhow::Result<Answer> {
        let rows = folder.rows()?;
        let main = &schedule.maps[0].map;
        let architecture = job::architecture_of(main)?;
        let mut layouts = architecture.notes(&schedule.layouts)?;
        // Some may have been left out.
        layouts.retain(|note| rows.iter().any(|row| row.layout == note.id));
        let note = |map| Ok(MapNote::of(map, job::architecture_of(map)?.section_bytes));
        let other_maps = schedule.maps[1..].iter().map(|of| note(&of.map)).collect::<Result<_, JobError>>()?;
        let manifest = Manifest {
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
            records_limit: schedule.records_limit,
            geometry: architecture.id.into(),
            map: main.clone(),
            other_maps,
            layouts,
        };
        let summaries: Vec<(String, Summary)> = schedule
            .maps
            .iter()
            .map(|of| {
                let of_map: Vec<Row> = rows.iter().filter(|row| row.map == of.map.name).cloned().collect();
                let reference = Summary::usual_reference(&of_map);
                (of.map.name.clone(), Summary::judged(&of_map, reference, schedule.margin))
            })
            .collect();
        huge_pages::warnings(&rows).iter().for_each(|warning| eprintln!("pfnbench: warning: {warning}"));
        let summary = &summaries[0].1;
        let costs = cover_letter::costs(summaries.iter().map(|(map, summary)| (map.as_str(), summary)));
        let answer = cover_letter::sentences(&costs);
        let mut judged = verdicts::of_run(&summaries);
        if !judged.can_judge && judged.has_headline {
            judged.reasons.extend(interference.clone());
        }
        let (path, report) = write(folder, &manifest)?;
        // Also of what was given up before the run was taken up again.
        let failed: Vec<&Row> = rows.iter().filter(|row| row.status == Status::Error).collect();
        if self.json.json {
            let others: Vec<_> =
                summaries[1..].iter().map(|(map, summary)| json!({ "map": map, "summary": summary })).collect();
            print_json(&json!({
                "can_judge": judged.can_judge,
                "reasons": judged.reasons,
                "verdicts": judged.verdicts,
                "summary": summary,
                "other_maps": others,
                "cover_letter": costs,
                "run": path,
                "report": report,
            }))?;
        } else {
            for (of, (_, summary)) in schedule.maps.iter().zip(&summaries) {
                print(format!("{}: {}", of.map.name, of.map.summary()))?;
                print(table::draw(summary))?;
                for line in table::legend(summary) {
                    print(line)?;
                }
            }
            answer.iter().try_for_each(print)?;
            match judged.can_judge {
                true => interference.iter().try_for_each(print)?,
                false => {
                    print("This run cannot judge its headline:")?;
                    judged.reasons.iter().try_for_each(|reason| print(format!("  {reason}")))?;
                    print(format!("  {}", self.what_to_do(&schedule, judged.has_headline)))?;
                }
            }
            print(format!("run     {}\nreport  {}", path.display(), report.display()))?;
        }
        for row in &failed {
            let reason = row.reason.as_deref().unwrap_or_default();
            eprintln!("pfnbench: not measured: {} on {}, process {}: {reason}", row.op, row.map, row.process + 1);
        }
        Ok(match (failed.is_empty(), self.strict && !judged.can_judge) {
            (false, _) => Answer::No,
            (true, true) => Answer::CannotJudge,
            (true, false) => Answer::Yes,
        })
    }

    /// What helps a run that cannot judge.
    fn what_to_do(&self, schedule: &Schedule, has_headline: bool) -> &'static str {
        match (schedule.tier, self.wait_quiet) {
            _ if !has_headline => "The verdicts on the cases that were chosen hold all the same.",
            (Tier::Smoke, _) => "The smoke tier has one process; run without --tier.",
            (_, None) => "Stop other programs, or let --wait-quiet wait for them; --tier quick measures longer.",
            (_, Some(_)) => "Stop other programs; --tier quick measures longer.",
        }
    }

    /// A command that makes the run again. Names of files only: folders may name people.
    fn command(&self, map: &str, records_limit: u64) -> String {
        let mut command = format!("pfnbench run --seed {} --records-limit {records_limit}", self.subject.seed);
        let mut push = |option: &str, value: &str| {
            command.push_str(&format!(" {option}{}{value}", if value.is_empty() { "" } else { " " }));
        };
        if self.tier != Tier::default() {
            push("--tier", self.tier.name());
        }
        if let Some(processes) = self.processes {
            push("--processes", &processes.to_string());
        }
        if self.subject.margin != MARGIN {
            push("--margin", &(100.0 * self.subject.margin).to_string());
        }
        for path in &self.workload {
            push("--workload", &path.file_name().unwrap_or_default().to_string_lossy());
        }
        for (option, value) in self.subject.cases.arguments() {
            push(option, &format!("'{value}'"));
        }
        if self.preempt {
            push("--preempt", "");
        }
        if self.subject.backing != BackingArg::default() {
            push("--backing", &self.subject.backing.published());
        }
        if self.index_pages != IndexPagesArg::default() {
            push("--index-pages", self.index_pages.name());
        }
        if let Some(path) = &self.instructions {
            let name = if path.is_dir() { None } else { path.file_name() };
            push("--instructions", &name.map_or(instructions::FILE_NAME.into(), |name| name.to_string_lossy()));
        }
        self.subject.layout.iter().for_each(|id| push("--layout", id));
        self.subject.op.iter().for_each(|op| push("--op", op.name()));
        match &self.subject.map {
            None => {}
            Some(Source::Builtin(name)) => push("--map", &format!("builtin:{name}")),
            Some(Source::Stdin) => push("--map", "-"),
            Some(_) => push("--map", map),
        }
        command
    }
}

/// Takes up a run that was stopped.
fn take_up(partial: &Path) -> anyhow::Result<(Schedule, RunFolder)> {
    let (folder, schedule): (RunFolder, Schedule) = RunFolder::resume(partial)?;
    let environment = Environment::look();
    if schedule.environment.machine_id != environment.machine_id {
        bail!(
            "the run of {} was begun on the machine {}, and this is {}",
            partial.display(),
            schedule.environment.machine_id,
            environment.machine_id
        );
    }
    if schedule.commit != Tool::THIS.commit {
        bail!(
            "the run of {} was begun by pfnbench of commit {}, and this is {}: one run is of one program",
            partial.display(),
            schedule.commit,
            Tool::THIS.commit
        );
    }
    Ok((schedule, folder))
}

/// What a run will do, in a line.
fn plan_in_words(schedule: &Schedule, estimate: Duration) -> String {
    let lookups: usize = schedule.maps.iter().map(|of| of.work.lookups.len()).sum();
    let maps = schedule.maps.iter().map(|of| of.map.name.as_str()).collect::<Vec<_>>().join(", ");
    format!(
        "{lookups} groups of lookups on {maps}, in {} process{}; about {}",
        schedule.processes,
        if schedule.processes == 1 { "" } else { "es" },
        HumanDuration(estimate)
    )
}

/// Checks every layout on a map with holes, before anything is timed.
fn verify_holes(schedule: &Schedule, interrupt: &Interrupt) -> anyhow::Result<()> {
    for check in on_map(&builtin::with_holes(), &schedule.backing.open()?.0, interrupt)? {
        if let MapOutcome::Failed { reason } = check.outcome {
            let wrong = format!("{} on {}: {reason}", check.layout, check.map);
            return Err(FieldError::WrongAnswer(wrong).into());
        }
    }
    Ok(())
}

/// An error, and where what was measured before it lies.
fn told_what_is_kept(error: anyhow::Error, folder: &RunFolder) -> anyhow::Error {
    if folder.has_units() { error.context(KeptIn(folder.path().to_owned())) } else { error }
}

/// What a process of a run does.
fn as_process() -> anyhow::Result<Answer> {
    // If whoever asked is gone, nobody needs the rest. Where the system does not know this, the next unit's pipe ends it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    let job: Job = serde_json::from_reader(std::io::stdin().lock()).context("the job on standard input")?;
    let interrupt = Interrupt::listen()?;
    let (backing, device) = job.backing.open()?;
    let (index_pages, records_limit) = (job.index_pages.into(), job.records_limit);
    let means = Means { backing, index_pages, device, records_limit, seed: job.seed };
    // Whoever asked is told why, and tells the user.
    match job::run(job, means, &interrupt, std::io::stdout().lock()) {
        Ok(()) => Ok(Answer::Yes),
        Err(_) => Ok(Answer::No),
    }
}

/// Completes the folder, and writes the report that is made from it. The folder is complete without the report, which can be made
/// again: it is not in its sums.
fn write(folder: RunFolder, manifest: &Manifest) -> anyhow::Result<(PathBuf, PathBuf)> {
    folder.write_manifest(manifest)?;
    folder.write_histograms()?;
    let path = folder.finish()?;
    let report = path.join("report.html");
    let page = html::page(&Report::of(std::slice::from_ref(&path), None, |_| {})?)?;
    replace(&report, page.as_bytes()).with_context(|| {
        format!("the run {} is complete, but its report cannot be written to {}", path.display(), report.display())
    })?;
    Ok((path, report))
}
