//! The command `pfnbench duel`, and the worker process that it starts.

use super::run::{RunArgs, warn};
use super::subject::SubjectArgs;
use super::{Answer, Json, print, print_json, print_raw};
use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::headline_group;
use crate::case::Tables;
use crate::engine::duel::arena::{Arena, Side};
use crate::engine::duel::{Hello, Order, PROTOCOL};
use crate::engine::interference::Snapshot;
use crate::engine::job::Job;
use crate::engine::process;
use crate::engine::schedule::{Leg, Schedule, Scope};
use crate::interrupt::{Interrupt, Interrupted};
use crate::map::builtin;
use crate::map::source::Source;
use crate::present::ratio;
use crate::present::terminal::{Cell, Grid};
use crate::run::callgrind::CountError;
use crate::run::duel::instructions::{self, Counts, LAYOUTS_AT_ONCE};
use crate::run::duel::referee::{DuelError, PairOutcome, Samples, pair};
use crate::run::duel::source::{Build, build};
use crate::run::duel::verdict::{self, Code, Outcome, Record};
use crate::units::{percent, signed_time, time};
use anyhow::{Context, bail};
use clap::Args;
use comfy_table::Color;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

/// Value of the map option that selects all built-in maps.
const ALL_MAPS: &str = "all";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench duel HEAD~1 HEAD                did the last commit slow a lookup?
  pfnbench duel old/pfnbench target/release/pfnbench --op pfn_valid
  pfnbench duel HEAD HEAD                  A/A test: every case should be equal
  pfnbench duel v0.1 HEAD --markdown       a table for the mail with a patch
  pfnbench duel HEAD~1 HEAD --maps all     on which map does it cost most?

A ratio is the time of NEW divided by that of OLD; above 1 is slower.

Exit codes: 0 no case is slower beyond the margin; 1 a case is slower; 2 no
verdict (e.g. more than 10 % of the cases are undecided), an error or a usage
error; 130 Ctrl-C.
All codes: pfnbench explain exit-codes")]
pub(super) struct DuelArgs {
    /// The build to compare with: a program, or a commit of this checkout; a commit is built once
    /// and kept in target/duel
    old: String,
    /// The build to judge: a program, or a commit
    new: String,
    #[command(flatten)]
    subject: SubjectArgs,
    /// `all` measures on every built-in map, and ranks the maps by the cost of the change
    #[arg(long, value_name = "all", value_parser = [ALL_MAPS], conflicts_with = "map")]
    maps: Option<String>,
    /// Number of pairs of workers, each with its own placement of code and memory: 1 to 100.
    /// Verdicts need at least 5. Default: 7, then more for up to 2 minutes while intervals are
    /// wide; 5 with --maps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: Option<u32>,
    /// Abort if a build makes no progress for this many seconds, 1 to 3600
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    time_limit: u64,
    /// Print Markdown, e.g. for the mail with a patch
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Skip the count of instructions, which needs valgrind and takes about a minute
    #[arg(long)]
    no_instructions: bool,
    /// Show every case in the table, not only those that changed or are undecided
    #[arg(long)]
    all_cases: bool,
    #[command(flatten)]
    json: Json,
}

/// The built-in map on which instructions are counted.
const SMALL_MAP: &str = "vm-20g";

/// Pairs without `--pairs`: the minimum, the maximum, and the time during which pairs are added.
const PAIRS: (u32, u32, Duration) = (7, 40, Duration::from_secs(120));

/// Number of pairs on each map when maps are ranked.
const PAIRS_OF_A_MAP: u32 = PROCESSES_FOR_INTERVAL as u32;

/// Ids of the layouts of the old build, and of the new one.
type Layouts = (Vec<String>, Vec<String>);

/// Number of rounds that a pair of workers measures.
const ROUNDS: u32 = 5;

/// Length of a slice. A handover takes a few microseconds, which should be below 1 % of a slice.
const SLICE: Duration = Duration::from_micros(500);

impl DuelArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let interrupt = Interrupt::listen()?;
        let bar = bar();
        let find = |name: &str| build(name, &interrupt, |what| bar.set_message(what.to_owned()));
        let (old, new) = (find(&self.old)?, find(&self.new)?);
        match &self.maps {
            Some(_) => self.all_maps(&old, &new, &interrupt, &bar),
            None => self.one_map(&old, &new, &interrupt, &bar),
        }
    }

    /// The schedule of the workers: lookups with hot tables of the default tier, or of every tier
    /// if cases are selected by name.
    fn schedule(&self, map: Option<Source>) -> anyhow::Result<Schedule> {
        let mut schedule = RunArgs::for_duel(SubjectArgs { map, ..self.subject.clone() }).facts().lay_out(&mut warn)?;
        schedule.effort.slice = SLICE;
        for scheduled in &mut schedule.maps {
            scheduled.work.lookups.retain(|work| work.group.tables == Tables::Hot);
        }
        if schedule.maps.iter().all(|scheduled| scheduled.work.lookups.is_empty()) {
            bail!(
                "the filter selects no case of a duel, which measures lookups with cached tables; pfnbench list --cases prints names"
            );
        }
        Ok(schedule)
    }

    /// The job of a pair: all lookups, or only the groups that contain one of `cases`.
    fn job(schedule: &Schedule, nr: u32, cases: Option<&BTreeSet<String>>) -> Job {
        let leg = Leg { process: nr, map: 0, scope: Scope::Lookups };
        let mut lookups = schedule.maps[0].work.lookups.clone();
        if let Some(cases) = cases {
            lookups.retain(|work| work.memory.iter().any(|&on| cases.contains(&work.group.name(on))));
        }
        schedule.job(leg, crate::workload::work::Work { lookups, ..Default::default() }, Default::default(), None)
    }

    /// Runs pairs of workers, one after the other.
    fn pairs(
        &self,
        (old, new): (&Build, &Build),
        schedule: &mut Schedule,
        (least, most): (u32, u32),
        interrupt: &Interrupt,
        tell: &dyn Fn(u32, u32),
    ) -> anyhow::Result<(Vec<PairOutcome>, Layouts)> {
        let mut layouts: Option<Layouts> = None;
        let begin = Instant::now();
        let mut pairs: Vec<PairOutcome> = Vec::new();
        let mut samples: Vec<Vec<Samples>> = Vec::new();
        let mut nr = 0;
        while nr < most {
            // Further pairs measure only cases whose intervals are still wide.
            let wide = (nr >= least).then(|| verdict::wide_cases(&samples, self.subject.margin / 4.0));
            if wide.as_ref().is_some_and(|wide| wide.is_empty() || begin.elapsed() > PAIRS.2) {
                break;
            }
            let job = Self::job(schedule, nr, wide.as_ref());
            let most = Duration::from_secs(self.time_limit);
            match pair([&old.program, &new.program], &job, ROUNDS, most, interrupt, |round| tell(nr, round)) {
                Ok(done) => {
                    layouts.get_or_insert_with(|| (done.old.layouts.clone(), done.new.layouts.clone()));
                    samples.push(done.samples.clone());
                    pairs.push(done);
                    nr += 1;
                }
                // The queries depend on the set of layouts, so only layouts that both builds have
                // are measured.
                Err(DuelError::Layouts { old, new }) if layouts.is_none() => {
                    schedule.conditions.layouts = old.iter().filter(|id| new.contains(id)).cloned().collect();
                    if schedule.conditions.layouts.is_empty() {
                        bail!("the builds share no layout; OLD has {}, NEW has {}", old.join(", "), new.join(", "));
                    }
                    layouts = Some((old, new));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((pairs, layouts.unwrap_or_default()))
    }

    fn one_map(&self, old: &Build, new: &Build, interrupt: &Interrupt, bar: &ProgressBar) -> anyhow::Result<Answer> {
        let mut schedule = self.schedule(self.subject.map.clone())?;
        let before = Snapshot::take();
        let range = self.pairs.map_or((PAIRS.0, PAIRS.1), |pairs| (pairs, pairs));
        let (pairs, layouts) = self.pairs((old, new), &mut schedule, range, interrupt, &|nr, round| {
            bar.set_message(format!("pair {} of workers, round {} of {ROUNDS}", nr + 1, round + 1));
        })?;
        let mut outcome = outcome(&pairs, &layouts, self.subject.margin);
        let not_counted = self.count(&mut outcome, (old, new), &schedule, interrupt, bar)?;
        bar.finish_and_clear();
        let seen = Snapshot::take().zip(before).map(|(after, before)| after.since(&before));
        if let Some(seen) = seen.filter(|seen| !outcome.can_judge && seen.is_notable()) {
            outcome.reasons.push(seen.in_words());
        }
        let handover = pairs.iter().filter_map(|pair| pair.handover_share).reduce(f64::max);
        let (map, versions) = (&schedule.maps[0].map.name, versions(&pairs));
        if self.json.json {
            print_json(&json!({
                "can_judge": outcome.can_judge,
                "reasons": outcome.reasons,
                "verdicts": outcome.verdicts,
                "old": { "name": old.name, "version": versions.0 },
                "new": { "name": new.name, "version": versions.1 },
                "map": map,
                "margin": self.subject.margin,
                "pairs": outcome.pairs,
                "new_layouts": outcome.new_layouts,
                "removed_layouts": outcome.removed_layouts,
                "same_code": outcome.same_code,
                "handover_share": handover,
                "instructions_not_counted": not_counted,
            }))?;
        } else {
            print(paragraph(&outcome, (old, new), map, self.subject.margin))?;
            self.print_table(&outcome)?;
            if let Some(reason) = not_counted.filter(|_| !self.no_instructions) {
                print(format!("Instructions were not counted: {reason}."))?;
            }
            if let Some(share) = handover.filter(|_| !self.markdown) {
                print(format!("Handovers took {:.2} % of the CPU time of the workers.", 100.0 * share))?;
            }
        }
        Ok(answer(&outcome))
    }

    /// Counts the instructions of both builds on a small map with valgrind. If that is impossible,
    /// returns the reason.
    fn count(
        &self,
        outcome: &mut Outcome,
        (old, new): (&Build, &Build),
        schedule: &Schedule,
        interrupt: &Interrupt,
        bar: &ProgressBar,
    ) -> anyhow::Result<Option<String>> {
        if self.no_instructions {
            return Ok(Some("--no-instructions was given".to_owned()));
        }
        let mut job = Self::job(schedule, 0, None);
        // Instruction counts depend on neither the backing nor the size, and valgrind is slow.
        job.map = Source::Builtin(SMALL_MAP.to_owned()).load()?;
        (job.effort.boots, job.conditions.records_limit) = (1, 64 << 20);
        (job.conditions.backing, job.conditions.index_pages) =
            ("anon".parse().map_err(anyhow::Error::msg)?, crate::engine::index_pages::IndexPagesArg::Base);
        let layouts: BTreeSet<String> = outcome.verdicts.iter().map(|record| record.layout.clone()).collect();
        let layouts: Vec<String> = layouts.into_iter().collect();
        let mut counts = [Counts::new(), Counts::new()];
        for (build, counts) in [old, new].into_iter().zip(&mut counts) {
            bar.set_message(format!("counting instructions of {}", build.name));
            for layouts in layouts.chunks(LAYOUTS_AT_ONCE) {
                job.conditions.layouts = layouts.to_vec();
                match instructions::count(&build.program, &job, interrupt) {
                    Ok(counted) => counts.extend(counted),
                    Err(CountError::Interrupted(interrupted)) => return Err(interrupted.into()),
                    Err(error) => return Ok(Some(format!("{}: {error}", build.name))),
                }
            }
        }
        for record in &mut outcome.verdicts {
            let key = (record.case.clone(), record.layout.clone());
            record.instructions = counts[0].get(&key).copied().zip(counts[1].get(&key).copied());
        }
        Ok(None)
    }

    fn print_table(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let is_shown = |record: &&Record| self.all_cases || record.verdict != Verdict::Equal;
        let shown: Vec<&Record> = outcome.verdicts.iter().filter(is_shown).collect();
        if shown.is_empty() {
            return Ok(());
        }
        let cells = |record: &Record| {
            [
                format!("{}/{}", record.case, record.layout),
                record.old.map_or_else(|| "–".to_owned(), time),
                record.new.map_or_else(|| "–".to_owned(), time),
                format!("{} {}", record.verdict, record.difference_ns.map(signed_time).unwrap_or_default()),
                ratio_of(record),
                record.instructions.map_or_else(|| "–".to_owned(), |(old, new)| format!("{old:.1} → {new:.1}")),
                record.code.name().to_owned(),
            ]
        };
        let head = ["case", "old", "new", "verdict", "ratio", "instructions", "code"];
        if self.markdown {
            print_raw(format!("\n| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len())))?;
            return shown.iter().try_for_each(|record| print_raw(format!("| {} |", cells(record).join(" | "))));
        }
        let mut table = Grid::new();
        table.set_header(head);
        for record in shown {
            let colour = match record.verdict {
                Verdict::Faster => Color::Green,
                Verdict::Slower => Color::Red,
                Verdict::Equal | Verdict::Undecided => Color::Reset,
            };
            let mut row: Vec<Cell> = cells(record).into_iter().map(Cell::new).collect();
            row[3] = row[3].clone().fg(colour);
            table.add_row(row);
        }
        table.right_align(1..3);
        print(table)
    }

    /// Compares the builds on every built-in map, and ranks the maps by the largest cost among the
    /// headline's lookups.
    fn all_maps(&self, old: &Build, new: &Build, interrupt: &Interrupt, bar: &ProgressBar) -> anyhow::Result<Answer> {
        let mut ranked: Vec<(String, Outcome)> = Vec::new();
        let mut left_out = Vec::new();
        for name in builtin::names() {
            interrupt.check()?;
            let mut schedule = match self.schedule(Some(Source::Builtin(name.to_owned()))) {
                Ok(schedule) => schedule,
                Err(error) => {
                    left_out.push(format!("{name}: {error}"));
                    continue;
                }
            };
            for scheduled in &mut schedule.maps {
                scheduled.work.lookups.retain(|work| work.group == headline_group(work.group.op));
            }
            if schedule.maps.iter().all(|scheduled| scheduled.work.lookups.is_empty()) {
                bail!(
                    "the filter selects no case for --maps, which measures lookups in random order and the walk; try --filter /random"
                );
            }
            let nr = self.pairs.unwrap_or(PAIRS_OF_A_MAP);
            let pairs = self.pairs((old, new), &mut schedule, (nr, nr), interrupt, &|nr, _| {
                bar.set_message(format!("{name}, pair {} of workers", nr + 1));
            });
            match pairs {
                Ok((pairs, layouts)) => ranked.push((name.to_owned(), outcome(&pairs, &layouts, self.subject.margin))),
                Err(error) if error.chain().any(|cause| cause.is::<Interrupted>()) => return Err(error),
                Err(error) => left_out.push(format!("{name}: {error:#}")),
            }
        }
        bar.finish_and_clear();
        if ranked.is_empty() {
            bail!("no built-in map could be measured: {}", left_out.join("; "));
        }
        let cost = |outcome: &Outcome| worst(outcome).and_then(|record| record.difference_ns).unwrap_or(0.0);
        ranked.sort_by(|a, b| cost(&b.1).total_cmp(&cost(&a.1)));
        if self.json.json {
            let maps: Vec<_> = ranked.iter().map(|(map, outcome)| json!({ "map": map, "outcome": outcome })).collect();
            let verdicts: Vec<_> = ranked
                .iter()
                .flat_map(|(map, outcome)| outcome.verdicts.iter().map(move |record| (map, record)))
                .map(|(map, record)| Record { case: format!("{}@{map}", record.case), ..record.clone() })
                .collect();
            print_json(&json!({
                "can_judge": ranked.iter().all(|(_, outcome)| outcome.can_judge),
                "reasons": left_out,
                "verdicts": verdicts,
                "old": { "name": old.name },
                "new": { "name": new.name },
                "maps": maps,
            }))?;
        } else {
            let mut table = Grid::new();
            table.set_header(["map", "largest slowdown", "by", "undecided"]);
            let mut lines = Vec::new();
            for (map, outcome) in &ranked {
                let undecided = outcome.verdicts.iter().filter(|record| !record.verdict.is_decided()).count();
                let (case, by) = match worst(outcome) {
                    Some(record) => {
                        let by = record.difference_ns.map(signed_time).unwrap_or_default();
                        (format!("{}/{}", record.case, record.layout), by)
                    }
                    None => ("none beyond the margin".to_owned(), String::new()),
                };
                let cells = [map.clone(), case, by, format!("{undecided} of {}", outcome.verdicts.len())];
                lines.push(format!("| {} |", cells.join(" | ")));
                table.add_row(cells);
            }
            print(format!("{} compared with {}, largest slowdown first:", new.name, old.name))?;
            match self.markdown {
                true => {
                    print_raw("\n| map | largest slowdown | by | undecided |\n| --- | --- | --- | --- |")?;
                    lines.iter().try_for_each(print_raw)?;
                }
                false => print(table)?,
            }
            left_out.iter().try_for_each(|line| print(format!("Left out: {line}")))?;
        }
        let slower = ranked.iter().any(|(_, outcome)| answer(outcome) == Answer::No);
        let judged = ranked.iter().all(|(_, outcome)| outcome.can_judge);
        Ok(if slower {
            Answer::No
        } else if judged {
            Answer::Yes
        } else {
            Answer::CannotJudge
        })
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").expect("a valid template"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The versions that the two builds report.
fn versions(pairs: &[PairOutcome]) -> (String, String) {
    pairs.first().map(|pair| (pair.old.version.clone(), pair.new.version.clone())).unwrap_or_default()
}

/// Judges the results of the pairs of workers.
fn outcome(pairs: &[PairOutcome], (old_layouts, new_layouts): &Layouts, margin: f64) -> Outcome {
    let samples: Vec<Vec<Samples>> = pairs.iter().map(|pair| pair.samples.clone()).collect();
    let verdicts = verdict::judged(&samples, margin);
    let without =
        |ids: &[String], other: &[String]| ids.iter().filter(|id| !other.contains(id)).cloned().collect::<Vec<_>>();
    let mut reasons = Vec::new();
    let undecided = verdicts.iter().filter(|record| !record.verdict.is_decided()).count();
    if pairs.len() < PROCESSES_FOR_INTERVAL {
        let nr = pairs.len();
        reasons.push(format!("Verdicts need {PROCESSES_FOR_INTERVAL} pairs of workers; there are {nr}."));
    } else if verdicts.iter().all(|record| record.noise_floor.is_none()) {
        reasons.push(
            "There is no noise floor: memory sufficed for only one boot of each layout, or every slice was disturbed."
                .to_owned(),
        );
    } else if 10 * undecided > verdicts.len() {
        let floors = verdicts.iter().filter_map(|record| record.noise_floor).fold(0.0, f64::max);
        reasons.push(format!(
            "{undecided} of {} cases are undecided; the noise floor is up to {}. Stop other programs, or raise --pairs.",
            verdicts.len(),
            percent(floors)
        ));
    }
    let is_same = |layout: &&String| {
        let mut records = verdicts.iter().filter(|record| record.layout == **layout).peekable();
        records.peek().is_some() && records.all(|record| matches!(record.code, Code::Same | Code::Moved))
    };
    Outcome {
        can_judge: reasons.is_empty(),
        new_layouts: without(new_layouts, old_layouts),
        removed_layouts: without(old_layouts, new_layouts),
        same_code: old_layouts.iter().filter(is_same).cloned().collect(),
        pairs: pairs.len(),
        reasons,
        verdicts,
    }
}

/// The case with the largest slowdown. Undecided cases are ignored.
fn worst(outcome: &Outcome) -> Option<&Record> {
    let slower = outcome.verdicts.iter().filter(|record| record.verdict == Verdict::Slower);
    slower.max_by(|a, b| a.difference_ns.unwrap_or(0.0).total_cmp(&b.difference_ns.unwrap_or(0.0)))
}

fn answer(outcome: &Outcome) -> Answer {
    match outcome.verdicts.iter().any(|record| record.verdict == Verdict::Slower) {
        true => Answer::No,
        false if outcome.can_judge => Answer::Yes,
        false => Answer::CannotJudge,
    }
}

/// The ratio with its interval, or a dash if a time is close to that of the empty loop.
fn ratio_of(record: &Record) -> String {
    ratio::or_dash(record.ratio, record.interval)
}

/// Summarises the outcome in a paragraph.
fn paragraph(outcome: &Outcome, (old, new): (&Build, &Build), map: &str, margin: f64) -> String {
    let count = |verdict| outcome.verdicts.iter().filter(|record| record.verdict == verdict).count();
    let (slower, faster) = (count(Verdict::Slower), count(Verdict::Faster));
    let (equal, undecided) = (count(Verdict::Equal), count(Verdict::Undecided));
    let mut text = format!(
        "{} compared with {} on {map}, {} cases in up to {} pairs of workers: {slower} slower, {faster} faster, {equal} equal within {}, \
         {undecided} undecided.",
        new.name,
        old.name,
        outcome.verdicts.len(),
        outcome.pairs,
        percent(margin)
    );
    if let Some(worst) = worst(outcome) {
        let by = worst.difference_ns.map(signed_time).unwrap_or_default();
        let ratio = if worst.ratio.is_some() { format!(", {}", ratio_of(worst)) } else { String::new() };
        text.push_str(&format!(" The largest slowdown is {}/{}: {by}{ratio}.", worst.case, worst.layout));
    }
    let listed = [
        ("The machine code is the same, possibly at other addresses, for", &outcome.same_code),
        ("Only the new build has", &outcome.new_layouts),
        ("Only the old build has", &outcome.removed_layouts),
    ];
    for (what, layouts) in listed.into_iter().filter(|(_, layouts)| !layouts.is_empty()) {
        text.push_str(&format!(" {what} {}.", layouts.join(", ")));
    }
    if !outcome.can_judge {
        text.push_str(&format!(" This duel gives no verdict: {}", outcome.reasons.join(" ")));
    }
    text
}

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// The build that this process is
    #[arg(long, value_parser = ["old", "new"])]
    side: String,
    /// File descriptor number of the shared memory
    #[arg(long, required_unless_present = "count")]
    arena: Option<i32>,
    /// Run one batch of every lane, for callgrind
    #[arg(long)]
    count: bool,
}

impl WorkerArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        // Without a referee, nobody reads the results.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        let text =
            std::io::read_to_string(std::io::stdin().lock()).context("cannot read the order on standard input")?;
        let value: serde_json::Value =
            serde_json::from_str(&text).context("cannot read the order on standard input")?;
        let protocol = value.get("protocol").and_then(serde_json::Value::as_u64);
        let say = |hello: Hello| {
            let mut out = std::io::stdout().lock();
            serde_json::to_writer(&mut out, &hello)?;
            out.write_all(b"\n")?;
            out.flush()
        };
        let refuse = |reason: String| Hello {
            protocol: PROTOCOL,
            version: crate::version().to_owned(),
            lanes: Vec::new(),
            layouts: Vec::new(),
            error: Some(reason),
        };
        if protocol != Some(u64::from(PROTOCOL)) {
            // The referee reads the version first, even if it understands nothing else.
            say(refuse(format!("this build speaks version {PROTOCOL}")))?;
            return Ok(Answer::CannotJudge);
        }
        let order: Order = serde_json::from_value(value).context("cannot read the order on standard input")?;
        let interrupt = Interrupt::listen()?;
        let side = Side::from_name(&self.side).context("--side must be old or new")?;
        // SAFETY: the referee opened this file descriptor for this process, and nothing here has
        // used it before.
        let arena = self.arena.map(|number| unsafe { Arena::inherited(number) }).transpose();
        let arena = arena.context("cannot map the shared memory")?;
        let _pinned = order.processor.and_then(crate::engine::pinning::pin_to);
        let place = arena.as_ref().map(|arena| (arena, side));
        let result = process::work_in_duel(&order.job, &interrupt, place, &mut |hello| say(hello));
        if let Err(error) = &result {
            if let Some(arena) = &arena {
                arena.fail();
            }
            let reason = error.to_string();
            // Before the hello message, the referee expects the reason; afterwards it reads
            // standard error.
            let _ = say(refuse(reason));
        }
        result?;
        Ok(Answer::Yes)
    }
}
