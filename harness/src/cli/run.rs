//! `pfnbench run`, and `pfnbench` alone.

use super::{Answer, BackingArg, CasesArgs, Json, Tier, print, print_json};
use crate::cases::Filter;
use crate::doctor::{Verdict, examine};
use crate::environment::Environment;
use crate::field::{FieldError, Means, default_records_limit};
use crate::huge_pages;
use crate::interrupt::Interrupt;
use crate::map::PhysicalMap;
use crate::map::builtin;
use crate::map::source::Source;
use crate::probe::lookup::LookupOp;
use crate::processes;
use crate::race::{self, Effort, Outcome, Progress, Served, Settings};
use crate::report::{self, plot};
use crate::row::{Row, Sections, Status};
use crate::run_folder::{Manifest, RunFolder, SCHEMA, Tool, now};
use crate::statistics::PROCESSES_FOR_INTERVAL;
use crate::summary::Summary;
use crate::table;
use crate::units::parse_size;
use crate::verify::{self, MapOutcome, architecture_note, on_map};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use memmap_layouts::{Arm64Pages4K, Geometry, X86_64};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// How much to measure.
    #[arg(long, value_enum, default_value_t)]
    tier: Tier,
    /// Race only this layout; may be given several times.
    #[arg(long, value_name = "ID")]
    layout: Vec<String>,
    /// Race only this lookup; may be given several times. Hotplug is always measured.
    #[arg(long, value_name = "LOOKUP")]
    op: Vec<LookupOp>,
    #[command(flatten)]
    cases: CasesArgs,
    /// Memory map: a file, - for standard input, or builtin:NAME; this machine's by default.
    #[arg(long, value_name = "FILE")]
    map: Option<Source>,
    /// Bytes of records that all layouts together may take; by default 1 GiB, or an eighth of the available memory if that
    /// is less.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    records_limit: Option<u64>,
    /// Where records lie: anon, tmpfs[:DIR], tmpfs-huge[:DIR], thp, hugetlb, file:DIR or dax:/dev/daxX.Y (`pfnbench list`
    /// says what each is).
    #[arg(long, default_value_t)]
    backing: BackingArg,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processes in which lookups are measured, with a seed each; from 5 on ratios have intervals. 5 by default with --tier
    /// quick, else 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    processes: Option<u32>,
    /// Be this process of a run: the map comes as JSON on standard input, and rows go to standard output.
    #[arg(long, hide = true)]
    as_process: Option<u32>,
    /// Folder for run folders.
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    output: PathBuf,
    #[command(flatten)]
    json: Json,
}

impl Default for RunArgs {
    fn default() -> Self {
        Self {
            tier: Tier::default(),
            layout: Vec::new(),
            op: Vec::new(),
            cases: CasesArgs::default(),
            map: None,
            records_limit: None,
            backing: BackingArg::default(),
            seed: 1,
            processes: None,
            as_process: None,
            output: "results".into(),
            json: Json::default(),
        }
    }
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
        self.bar.set_prefix(format!("{:>2.0} s", left.as_secs_f64()));
        self.bar.set_message(what.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The processes after the first say nothing.
struct Silent;

impl Progress for Silent {
    fn stage(&mut self, _: &str, _: Duration) {}
}

impl RunArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let filter = self.cases.filter()?;
        if let Some(number) = self.as_process {
            return self.run_as_process(number, filter);
        }
        let map = self.map.clone().unwrap_or_default().load()?;
        for warning in map.warnings.iter().cloned().chain(architecture_note(&map)) {
            eprintln!("pfnbench: warning: {warning}");
        }
        if map.boot_map()?.ranges().is_empty() {
            bail!("the map {} has no memory that is there at boot, so there is nothing to race on", map.name);
        }
        // From here on there is something to clean up.
        let interrupt = Interrupt::listen()?;
        let started = now();
        let environment = Environment::look();
        let doctor_before = examine(&environment);
        let (backing, device) = self.backing.open()?;
        let means = Means {
            backing,
            device,
            records_limit: self.records_limit.unwrap_or_else(default_records_limit),
            seed: self.seed,
        };
        let doctor = doctor_before.verdict().to_string();
        let settings = self.settings(means, filter, 0, &map, &environment, doctor);
        let folder = RunFolder::begin(&self.output, &environment.machine_id)?;
        let mut bar = Bar::new();
        let raced = self.race(&map, &settings, &interrupt, &mut bar);
        let raced = raced.and_then(|(mut outcome, geometry)| {
            self.more_processes(&map, &settings, &interrupt, &mut bar, &mut outcome)?;
            Ok((outcome, geometry))
        });
        drop(bar);
        let (outcome, geometry) = raced?;
        interrupt.check()?;
        huge_pages::warnings(&outcome.rows).iter().for_each(|warning| eprintln!("pfnbench: warning: {warning}"));
        let manifest = Manifest {
            schema: SCHEMA,
            tool: Tool::THIS,
            command: self.command(&map, settings.means.records_limit),
            seed: self.seed,
            processes: self.nr_processes(),
            started,
            ended: now(),
            doctor_after: examine(&environment),
            environment,
            doctor_before,
            records_limit: settings.means.records_limit,
            geometry,
            map,
        };
        let summary = Summary::of(&outcome.rows);
        let path = write(folder, &outcome, &summary, &manifest)?;
        let report = path.join("report.html");
        if self.json.json {
            print_json(&json!({ "summary": summary, "run": path, "report": report }))?;
        } else {
            print(format!("{}: {}", manifest.map.name, manifest.map.summary()))?;
            print(table::draw(&summary))?;
            for line in table::legend(&summary) {
                print(line)?;
            }
            if manifest.doctor_before.verdict() != Verdict::Ok {
                let verdict = manifest.doctor_before.verdict();
                print(format!("This machine is {verdict} for measuring; pfnbench doctor says why."))?;
            }
            print(format!("run     {}\nreport  {}", path.display(), report.display()))?;
        }
        Ok(Answer::Yes)
    }

    fn settings(
        &self,
        means: Means,
        filter: Filter,
        process: u32,
        map: &PhysicalMap,
        environment: &Environment,
        doctor: String,
    ) -> Settings {
        Settings {
            effort: match self.tier {
                Tier::Smoke => Effort::SMOKE,
                Tier::Default | Tier::Quick => Effort::DEFAULT,
            },
            means,
            layouts: self.layout.clone(),
            ops: self.op.clone(),
            filter,
            process,
            map_name: map.name.clone(),
            machine: environment.machine_id.clone(),
            doctor,
        }
    }

    fn nr_processes(&self) -> u32 {
        self.processes.unwrap_or(if self.tier == Tier::Quick { PROCESSES_FOR_INTERVAL as u32 } else { 1 })
    }

    /// The processes after this one, one at a time.
    fn more_processes(
        &self,
        map: &PhysicalMap,
        settings: &Settings,
        interrupt: &Interrupt,
        bar: &mut Bar,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let nr = self.nr_processes();
        for number in 1..nr {
            let left = settings.effort.estimate_lookups(8) * (nr - number);
            bar.stage(&format!("process {} of {nr}", number + 1), left);
            let mut arguments: Vec<String> = ["run", "--as-process", &number.to_string()].map(str::to_owned).into();
            let seed = self.seed.wrapping_add(number.into());
            let mut push = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
            push("--seed", seed.to_string());
            push("--records-limit", settings.means.records_limit.to_string());
            push("--backing", self.backing.to_string());
            if self.tier == Tier::Smoke {
                push("--tier", "smoke".to_owned());
            }
            self.layout.iter().for_each(|id| push("--layout", id.clone()));
            self.op.iter().for_each(|op| push("--op", op.to_string()));
            self.cases.arguments().into_iter().for_each(|(option, value)| push(option, value));
            let rows = processes::rows_of(number, &arguments, map, interrupt)?;
            let doctor = &settings.doctor;
            outcome.rows.extend(rows.into_iter().map(|row| Row { doctor: doctor.clone(), ..row }));
        }
        Ok(())
    }

    /// What a process after the first does.
    fn run_as_process(&self, number: u32, filter: Filter) -> anyhow::Result<Answer> {
        let map: PhysicalMap = serde_json::from_reader(std::io::stdin().lock()).context("the map on standard input")?;
        let interrupt = Interrupt::listen()?;
        let (backing, device) = self.backing.open()?;
        let records_limit = self.records_limit.unwrap_or_else(default_records_limit);
        let means = Means { backing, device, records_limit, seed: self.seed };
        let settings = self.settings(means, filter, number, &map, &Environment::look(), String::new());
        let (outcome, _) = self.race(&map, &settings, &interrupt, &mut Silent)?;
        for row in outcome.rows.iter().filter(|row| row.metric == "time" && row.status == Status::Ok) {
            print(serde_json::to_string(row)?)?;
        }
        Ok(Answer::Yes)
    }

    /// Verifies, then races, for the architecture whose space holds the map.
    fn race(
        &self,
        map: &PhysicalMap,
        settings: &Settings,
        interrupt: &Interrupt,
        bar: &mut dyn Progress,
    ) -> anyhow::Result<(Outcome, &'static str)> {
        match verify::width(map) {
            ..=46 => self.race_as::<X86_64>(map, settings, interrupt, bar),
            47..=48 => self.race_as::<Arm64Pages4K>(map, settings, interrupt, bar),
            bits => bail!(
                "the map {} reaches beyond the physical space of 48 bits (it needs {bits}): the records of a 52-bit space \
                 take 64 TiB of addresses a layout, so layouts do not fit one process side by side; check it with \
                 pfnbench verify --map",
                map.name
            ),
        }
    }

    fn race_as<G: Geometry>(
        &self,
        map: &PhysicalMap,
        settings: &Settings,
        interrupt: &Interrupt,
        bar: &mut dyn Progress,
    ) -> anyhow::Result<(Outcome, &'static str)> {
        let served = Served::of(race::chosen::<G>(&settings.layouts)?, &settings.means);
        for (id, reason) in &served.left_out {
            eprintln!("pfnbench: warning: {id} is left out: {reason}");
        }
        if served.entries.is_empty() {
            bail!("none of the layouts asked for can have its records there");
        }
        if settings.process == 0 {
            bar.stage("verifying a map with holes", settings.effort.estimate(4));
            for check in on_map(&builtin::with_holes(), &settings.means.backing, interrupt)? {
                if let MapOutcome::Failed { reason } = check.outcome {
                    let wrong = format!("{} on {}: {reason}", check.layout, check.map);
                    return Err(FieldError::WrongAnswer(wrong).into());
                }
            }
        }
        let boot = map.boot_map().with_context(|| format!("map {}", map.name))?;
        Ok((race::race::<G>(boot, map.end(), settings, interrupt, bar)?, G::ID))
    }

    /// A command that makes the run again. Names of files only: folders may name people.
    fn command(&self, map: &PhysicalMap, records_limit: u64) -> String {
        let mut command = format!("pfnbench run --seed {} --records-limit {records_limit}", self.seed);
        if self.tier == Tier::Smoke {
            command.push_str(" --tier smoke");
        }
        if self.nr_processes() > 1 {
            command.push_str(&format!(" --processes {}", self.nr_processes()));
        }
        self.cases
            .arguments()
            .into_iter()
            .for_each(|(option, value)| command.push_str(&format!(" {option} '{value}'")));
        if self.backing != BackingArg::default() {
            command.push_str(&format!(" --backing {}", self.backing));
        }
        self.layout.iter().for_each(|id| command.push_str(&format!(" --layout {id}")));
        self.op.iter().for_each(|op| command.push_str(&format!(" --op {op}")));
        match &self.map {
            None => {}
            Some(Source::Builtin(name)) => command.push_str(&format!(" --map builtin:{name}")),
            Some(Source::Stdin) => command.push_str(" --map -"),
            Some(_) => command.push_str(&format!(" --map {}", map.name)),
        }
        command
    }
}

fn write(folder: RunFolder, outcome: &Outcome, summary: &Summary, manifest: &Manifest) -> anyhow::Result<PathBuf> {
    folder.write_manifest(manifest)?;
    folder.write_rows(&outcome.rows)?;
    folder.write_histograms(&outcome.histograms)?;
    for (name, svg) in [
        ("lookups-boot.svg", plot::lookups(summary, Sections::Boot, plot::Ground::White)?),
        ("lookups-hot.svg", plot::lookups(summary, Sections::Hot, plot::Ground::White)?),
        ("hot-add.svg", plot::hotplug(summary, "hot_add", plot::Ground::White)?),
        ("hot-remove.svg", plot::hotplug(summary, "hot_remove", plot::Ground::White)?),
    ] {
        folder.write(name, svg.as_bytes())?;
    }
    folder.write("report.html", report::page(summary, manifest)?.as_bytes())?;
    Ok(folder.finish()?)
}
