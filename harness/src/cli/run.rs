//! The command `pfnbench run`, which is also the default without a command.

use super::show::{is_newest, newest_run};
use super::subject::SubjectArgs;
use super::{Answer, Json, KeptIn, print_json, print_raw, tell};
use crate::analysis::huge_pages;
use crate::analysis::running_ratio::RunningRatio;
use crate::case::layouts;
use crate::engine::compiled;
use crate::engine::index_pages::IndexPagesArg;
use crate::engine::interference::wait_until_idle;
use crate::engine::runner::Progress;
use crate::engine::schedule::Schedule;
use crate::files::replace;
use crate::interrupt::Interrupt;
use crate::present::cover_letter;
use crate::present::report::{Report, html};
use crate::present::terminal::outcome::Outcome;
use crate::present::terminal::{columns, columns_of_messages, screen};
use crate::record::row::Row;
use crate::run::{Facts, Run, RunResult};
use crate::size::parse_size;
use crate::workload::tier::Tier;
use anyhow::Context;
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use memmap_layouts::{PAGE_RECORD_BYTES, X86_64};
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench run --tier smoke                         a few seconds
  pfnbench run --layout dax --layout subsection     two layouts
  pfnbench run --filter '^pfn_valid/added' --exclude dax
  pfnbench run --map builtin:amd-genoa-2s-1536g     another machine's memory map
  pfnbench run --wide                               every result, not a summary
  pfnbench run --wait-quiet --strict                fail if there is no verdict
  pfnbench run --resume results/MACHINE/RUN.partial
  pfnbench run --repeat results/MACHINE/RUN         the same again, anywhere

The run folder is results/MACHINE/RUN. Times are in ns, sizes in KiB to TiB.

Exit codes: 0 success; 1 a layout failed a check, or a case could not be
measured; 2 no verdict (with --strict), an error or a usage error; 130 Ctrl-C.
All codes: pfnbench explain exit-codes")]
pub(super) struct RunArgs {
    /// How much to measure
    #[arg(long, value_enum, default_value_t)]
    tier: Tier,
    /// Measure the cases of this TOML workload instead of the built-in ones; repeatable
    #[arg(long, value_name = "FILE")]
    workload: Vec<PathBuf>,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Maximum memory for the records of all layouts together, e.g. 512M. Default: 1 GiB, or one
    /// eighth of the available memory if that is less; twice that with --tier full
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    records_limit: Option<u64>,
    /// Also measure Linux's own lookups of this version, e.g. 6.1, which `pfnbench kernel add`
    /// compiled; repeatable
    #[arg(long, value_name = "VERSION")]
    kernel: Vec<String>,
    /// Raise the preemption count around pfn_valid, for layouts that follow Linux 6.8 or later
    #[arg(long)]
    preempt: bool,
    /// Page size of index tables. Default: huge where the machine has transparent huge pages, else
    /// base
    #[arg(long, value_name = "PAGES", value_enum, default_value_t, hide_default_value = true)]
    index_pages: IndexPagesArg,
    /// Number of processes that measure lookups, each with its own seed: 1 to 100. Verdicts and
    /// intervals need at least 5. Default: 1 with --tier smoke, 5 without --tier, 7 with --tier
    /// quick or full. Without this option, the default and quick tiers add processes while time
    /// remains; with it, there is no time limit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    processes: Option<u32>,
    /// Wait until the machine is idle, for at most this many minutes; without a number, 10
    #[arg(long, value_name = "MINUTES", num_args = 0..=1, require_equals = true, default_missing_value = "10",
          value_parser = clap::value_parser!(u64).range(1..=1440))]
    wait_quiet: Option<u64>,
    /// Print every result, as `pfnbench show` does, instead of a summary
    #[arg(long)]
    wide: bool,
    /// Exit with code 2 if the headline comparison has no verdict
    #[arg(long)]
    strict: bool,
    /// Abort a group of cases that takes longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    case_timeout: u64,
    /// Store these instruction counts with the run: an instructions.jsonl that `cargo bench --bench
    /// instructions` wrote at the same commit, or a folder that contains one
    #[arg(long, value_name = "FILE")]
    instructions: Option<PathBuf>,
    /// Resume the interrupted run in this folder, with its original arguments
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "tier", "workload", "layout", "op", "filter", "exclude", "map", "records_limit", "preempt", "backing", "index_pages",
        "seed", "processes", "margin", "case_timeout", "instructions", "output",
    ])]
    resume: Option<PathBuf>,
    /// Repeat the run in this folder, made here or on another machine: the same cases, maps, layouts,
    /// processes and seed. Without a folder, the newest run
    #[arg(long, value_name = "RUN", num_args = 0..=1, conflicts_with_all = [
        "resume", "tier", "workload", "layout", "op", "filter", "exclude", "map", "records_limit", "preempt", "kernel",
        "index_pages", "seed", "processes", "margin", "case_timeout", "instructions",
    ])]
    repeat: Option<Option<PathBuf>>,
    /// Folder in which to create the run folder. Default: results, or
    /// ~/.local/share/pfnbench/results if the current folder is not writable
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
            kernel: Vec::new(),
            index_pages: IndexPagesArg::default(),
            processes: None,
            wait_quiet: None,
            wide: false,
            strict: false,
            case_timeout: 120,
            instructions: None,
            resume: None,
            repeat: None,
            output: None,
            json: Json::default(),
        }
    }
}

/// A progress bar with the remaining time, and below it what was found so far; drawn only on a terminal.
struct Bar {
    bar: ProgressBar,
    begin: Instant,
    found: Arc<Mutex<String>>,
}

impl Bar {
    fn new() -> Self {
        let found = Arc::new(Mutex::new("no ratio yet".to_owned()));
        let shown = Arc::clone(&found);
        let style = ProgressStyle::with_template("{spinner} {wide_msg} {bar:24} {prefix} left\n  {found}")
            .expect("a valid template")
            .with_key("found", move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
                let found = shown.lock().unwrap_or_else(PoisonError::into_inner);
                // A line that wraps would not be cleared.
                let room = columns_of_messages().unwrap_or(80).saturating_sub(3);
                let _ = write!(line, "{}", found.chars().take(room).collect::<String>());
            })
            .progress_chars("━╸ ");
        let bar = ProgressBar::new(1000).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, begin: Instant::now(), found }
    }
}

impl Progress for Bar {
    fn stage(&mut self, what: &str, left: Duration) {
        let done = self.begin.elapsed().as_secs_f64();
        self.bar.set_position((1000.0 * done / (done + left.as_secs_f64()).max(1e-3)) as u64);
        self.bar.set_prefix(HumanDuration(left).to_string());
        self.bar.set_message(what.to_owned());
    }

    fn shows_ratios(&self) -> bool {
        !self.bar.is_hidden()
    }

    fn ratios(&mut self, ratios: &[RunningRatio]) {
        let Some(first) = ratios.first() else { return };
        let words: Vec<String> = ratios.iter().map(RunningRatio::in_words).collect();
        let found = format!("pfn_valid so far: {} ({} / {})", words.join(", "), first.layout, first.than);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        self.bar.tick();
    }

    fn warning(&mut self, text: &str) {
        self.bar.suspend(|| warn(text));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Prints a warning to standard error.
pub(super) fn warn(text: &str) {
    tell(&format!("warning: {text}"));
}

impl RunArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        // From here on, an interrupt must keep or remove files.
        let interrupt = Interrupt::listen()?;
        let mut run = match (&self.resume, &self.repeat) {
            (Some(partial), _) => Run::resume(partial)?,
            (None, Some(run)) => self.repeat(run.as_deref())?,
            (None, None) => Run::begin(&self.facts(), &mut warn)?,
        };
        self.wait(&interrupt)?;
        if std::io::stderr().is_terminal() {
            tell(&plan_in_words(run.schedule(), run.estimate()));
        }
        let mut bar = Bar::new();
        let measured = run.measure(&interrupt, &mut bar);
        drop(bar);
        measured.map_err(|error| with_folder(error.into(), &run))?;
        self.finish(run.finish()?)
    }

    /// Converts the arguments.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            tier: self.tier,
            workloads: self.workload.clone(),
            layouts: self.subject.layout.clone(),
            kernels: self.kernel.clone(),
            ops: self.subject.op.clone(),
            filter: self.subject.cases.filter(),
            map: self.subject.map.clone(),
            backing: self.subject.backing.clone().unwrap_or_default(),
            index_pages: self.index_pages,
            seed: self.subject.seed,
            margin: self.subject.margin,
            records_limit: self.records_limit,
            preempt: self.preempt,
            processes: self.processes,
            case_timeout: Duration::from_secs(self.case_timeout),
            instructions: self.instructions.clone(),
            output: self.output.clone(),
        }
    }

    /// Begins a run that repeats another, by default the newest.
    fn repeat(&self, run: Option<&Path>) -> anyhow::Result<Run> {
        let run = run.map_or_else(newest_run, |run| Ok(run.to_owned()))?;
        Ok(Run::repeat(&run, self.subject.backing.as_ref(), self.output.as_deref(), &mut warn)?)
    }

    /// Waits until the machine is idle, if requested.
    fn wait(&self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let Some(minutes) = self.wait_quiet else { return Ok(()) };
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let seen = wait_until_idle(Duration::from_secs(60 * minutes), interrupt, |seen, left| {
            bar.set_message(format!("waiting for an idle machine, {} left: {}", HumanDuration(left), seen.in_words()));
        });
        bar.finish_and_clear();
        match seen? {
            Some(seen) if seen.is_notable() => {
                tell(&format!("warning: the machine is still busy after {minutes} minutes: {}", seen.in_words()));
            }
            Some(_) => {}
            None => tell(
                "warning: --wait-quiet has no effect: without /proc, pfnbench cannot tell whether the machine is idle",
            ),
        }
        Ok(())
    }

    /// The arguments of a run with the schedule of a duel.
    pub(super) fn for_duel(subject: SubjectArgs) -> Self {
        let tier = if subject.cases.filter().arguments().is_empty() { Tier::Default } else { Tier::Full };
        // A duel measures lookups on one map.
        let subject = SubjectArgs { map: Some(subject.map.unwrap_or_default()), ..subject };
        Self { tier, subject, ..Self::default() }
    }

    /// Writes the report, and prints the results.
    fn finish(&self, result: RunResult) -> anyhow::Result<Answer> {
        let RunResult { folder: path, schedule, rows, summaries, verdicts: judged, interference } = &result;
        let layouts = layouts::<X86_64>();
        let record_bytes = |id: &str| {
            layouts.iter().find(|layout| layout.id == id).map_or(PAGE_RECORD_BYTES, |layout| layout.record_bytes)
        };
        huge_pages::warnings(rows, record_bytes).iter().for_each(|warning| warn(warning));
        let summary = &summaries[0].1;
        let costs = cover_letter::costs(summaries.iter().map(|(map, summary)| (map.as_str(), summary)));
        let report = write_report(path)?;
        // Includes failures from before the run was resumed.
        let failed: Vec<&Row> = result.failed().collect();
        failed.iter().for_each(|row| tell(&failure_in_words(row)));
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
            let maps: Vec<String> = schedule.maps.iter().map(|scheduled| scheduled.map.summary()).collect();
            let kernels = schedule.conditions.kernels.iter();
            let kernels: Vec<String> =
                kernels.filter_map(|kernel| Some(format!("{}: {}.", kernel.id, compiled::note(&kernel.id)?))).collect();
            let outcome = Outcome {
                maps: &maps,
                kernels: &kernels,
                summaries,
                verdicts: judged,
                interference: interference.as_deref(),
                advice: (!judged.can_judge).then(|| self.what_to_do(schedule, judged.has_headline)),
                is_newest: is_newest(path),
                run: path,
                // Said above, before the summary.
                failed: &[],
                report: Some(&report),
                can_repeat: true,
            };
            if self.wide {
                print_raw(outcome.every_result(columns()))?;
            } else {
                let (columns, rows) = screen();
                print_raw(outcome.first_screen(columns, rows))?;
            }
        }
        Ok(match (failed.is_empty(), self.strict && !judged.can_judge) {
            (false, _) => Answer::No,
            (true, true) => Answer::CannotJudge,
            (true, false) => Answer::Yes,
        })
    }

    /// Advice for a run whose headline gets no verdict.
    fn what_to_do(&self, schedule: &Schedule, has_headline: bool) -> &'static str {
        match (schedule.tier, self.wait_quiet) {
            _ if !has_headline => "The verdicts on the selected cases are still valid.",
            (Tier::Smoke, _) => "The smoke tier has one process, and a verdict needs 5; run without --tier.",
            (_, None) => "Stop other programs, or wait for them with --wait-quiet; --tier quick measures longer.",
            (_, Some(_)) => "Stop other programs; --tier quick measures longer.",
        }
    }
}

/// Why a layout was left out, or a case was not measured.
pub(super) fn failure_in_words(row: &Row) -> String {
    let reason = row.reason.as_deref().unwrap_or_default();
    match row.is_of_faulty_layout() {
        true => format!("layout left out: {reason}"),
        false => format!("not measured: {} on {}, process {}: {reason}", row.op, row.map, row.process + 1),
    }
}

/// Describes in one line what the run will measure.
fn plan_in_words(schedule: &Schedule, estimate: Duration) -> String {
    let lookups: usize = schedule.maps.iter().map(|scheduled| scheduled.work.lookups.len()).sum();
    let maps = schedule.maps.iter().map(|scheduled| scheduled.map.name.as_str()).collect::<Vec<_>>().join(", ");
    format!(
        "{lookups} groups of lookups on {maps}, in {} process{}; about {}",
        schedule.processes,
        if schedule.processes == 1 { "" } else { "es" },
        HumanDuration(estimate)
    )
}

/// Adds the folder that keeps completed measurements to an error, if there is one.
fn with_folder(error: anyhow::Error, run: &Run) -> anyhow::Error {
    match run.kept_in() {
        Some(folder) => error.context(KeptIn(folder.to_owned())),
        None => error,
    }
}

/// Writes the report of a complete run folder into the folder. The report can be made again, so
/// SHA256SUMS does not list it.
fn write_report(folder: &Path) -> anyhow::Result<PathBuf> {
    let report = folder.join("report.html");
    let page = html::page(&Report::from_folders(&[folder.to_owned()], None, |_| {})?)?;
    replace(&report, page.as_bytes()).with_context(|| {
        format!("the run in {} is complete, but its report cannot be written to {}", folder.display(), report.display())
    })?;
    Ok(report)
}
