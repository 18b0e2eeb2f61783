//! The command line interface.

mod compare;
mod completions;
mod doctor;
mod duel;
mod gate;
mod instructions;
mod list;
mod man;
mod map;
mod namespace;
mod new_layout;
mod report;
mod run;
mod schema;
mod subject;
mod verify;

use crate::case::Filter;
use crate::engine::backing_arg::BackingArg;
use crate::engine::layouts::Layouts;
#[cfg(doc)]
use crate::engine::layouts::RegisterError;
use crate::interrupt::Interrupted;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use regex::Regex;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  pfnbench                                   race the layouts on this machine's memory map
  pfnbench run --tier smoke                  the same in a few seconds
  pfnbench run --map iomem.txt --op pfn_valid
  ssh server sudo cat /proc/iomem | pfnbench verify --map -
  sudo ndctl list -RNv | pfnbench map -      what is understood of a map
  pfnbench run --backing dax:/dev/dax0.0
  pfnbench namespace plan --size 1500G       where the bytes of persistent memory go
  pfnbench doctor                            what this machine can measure

Exit codes: 0 success, 1 a check failed, 2 no verdict or a usage error.";

/// Benchmarks the ways in which an operating system finds the record of a physical page
///
/// Without a command: verifies the layouts, measures them on this machine's physical memory map,
/// prints a table, and writes a run folder with a report. This takes less than a minute.
#[derive(Debug, Parser)]
#[command(name = "pfnbench", version = crate::version(), after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the layouts
    Run(Box<run::RunArgs>),
    /// List layouts, operations, maps and backings
    List(list::ListArgs),
    /// Show how a physical memory map is parsed: ranges, kinds, nodes, sections, holes
    Map(map::MapArgs),
    /// Check every layout against the oracle on a map, without timing.
    Verify(verify::VerifyArgs),
    /// Compare the layouts of a run, or two runs side by side.
    Compare(compare::CompareArgs),
    /// Measure two builds of this program against each other: two files, or two commits of the checkout.
    Duel(Box<duel::DuelArgs>),
    /// Internal: run as one of the two builds of a duel
    #[command(hide = true)]
    DuelWorker(duel::WorkerArgs),
    /// Make an HTML page, Markdown or figures from run folders
    Report(report::ReportArgs),
    /// Count the instructions of lookups and updates under callgrind
    Instructions(instructions::InstructionsArgs),
    /// Internal: the process whose instructions are counted
    #[command(hide = true)]
    InstructionsWorker(instructions::WorkerArgs),
    /// Check instruction counts against a file of limits
    Gate(gate::GateArgs),
    /// Persistent-memory namespaces: where their bytes go, before the patch series and since
    Namespace(namespace::NamespaceArgs),
    /// Write a crate with a layout of your own, which builds, passes and can be raced.
    NewLayout(new_layout::NewLayoutArgs),
    /// What this machine can measure, what it cannot and why, and the command that mends it.
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of run folders
    Schema(schema::SchemaArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
    /// Print the man page, or write the pages of all commands into a folder
    Man(man::ManArgs),
}

/// Arguments that select cases by name.
#[derive(Args, Clone, Debug, Default)]
struct CasesArgs {
    /// Only cases whose name matches this regular expression, e.g. '^pfn_valid/added' (`pfnbench
    /// list --cases` prints names)
    #[arg(long, value_name = "REGEX")]
    filter: Option<Regex>,
    /// Skip cases whose name matches this regular expression
    #[arg(long, value_name = "REGEX")]
    exclude: Option<Regex>,
}

impl CasesArgs {
    fn filter(&self) -> Filter {
        Filter::new(self.filter.clone(), self.exclude.clone())
    }
}

/// The result of a command that did not fail with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// No verdict is possible; the reason has been printed.
    CannotJudge,
}

/// The command line of `pfnbench` with layouts of other crates beside the built-in ones: `list`, `verify`, `run`,
/// `compare`, `report` and the others know them by their ids.
///
/// ```no_run
/// use memmap_layouts::layouts::Flat as Mine;
///
/// fn main() -> std::process::ExitCode {
///     pfnbench::main_with(pfnbench::layouts![Mine])
/// }
/// ```
///
/// Call it first in `main`, once: the processes of a run are this program again. Layouts that cannot be registered
/// ([`RegisterError`]) end the program with an error and exit code 1.
pub fn main_with(layouts: Layouts) -> ExitCode {
    match layouts.register() {
        Ok(()) => main(),
        Err(error) => {
            eprintln!("pfnbench: {error}");
            ExitCode::from(1)
        }
    }
}

/// Parses the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let answer = match cli.command.unwrap_or_else(|| Command::Run(Box::default())) {
        Command::Run(args) => args.run(),
        Command::List(args) => args.run(),
        Command::Map(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Compare(args) => args.run(),
        Command::Duel(args) => args.run(),
        Command::DuelWorker(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Instructions(args) => args.run(),
        Command::InstructionsWorker(args) => args.run(),
        Command::Gate(args) => args.run(),
        Command::Namespace(args) => args.run(),
        Command::NewLayout(args) => args.run(),
        Command::Doctor(args) => args.run(),
        Command::Schema(args) => args.run(),
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
    };
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::CannotJudge) => ExitCode::from(2),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let interrupted = error.chain().find_map(|cause| cause.downcast_ref::<Interrupted>());
            let kept = error.downcast_ref::<KeptIn>();
            match interrupted {
                Some(interrupted) if kept.is_none() => eprintln!("pfnbench: {interrupted}; nothing was written"),
                Some(interrupted) => eprintln!("pfnbench: {interrupted}"),
                None => eprintln!("pfnbench: {}", in_one_line(&error)),
            }
            if let Some(kept) = kept {
                eprintln!("pfnbench: {kept}");
            }
            ExitCode::from(interrupted.map_or(2, |interrupted| interrupted.exit_status()))
        }
    }
}

/// The folder of an interrupted run, attached to the chain of the error that ended it.
#[derive(Debug)]
struct KeptIn(PathBuf);

impl std::fmt::Display for KeptIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "what was measured is kept; go on with: pfnbench run --resume {}", self.0.display())
    }
}

/// Formats an error and its causes without repetition: many messages already include their cause.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut said = String::new();
    let skipped = usize::from(error.downcast_ref::<KeptIn>().is_some());
    for cause in error.chain().skip(skipped).map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// True if the reader of the output closed the pipe, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Prints text or JSON to standard output.
fn print(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}").context("cannot write to standard output")
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// Parses a margin in percent and returns it as a fraction.
fn margin_percent(text: &str) -> Result<f64, String> {
    let percent: f64 =
        text.trim_end_matches('%').trim().parse().map_err(|_| format!("{text:?} is no number; write 2"))?;
    match (0.1..=50.0).contains(&percent) {
        true => Ok(percent / 100.0),
        false => Err(format!("a margin of {percent} % is outside 0.1 to 50 %; the default is 2")),
    }
}

/// Option for machine-readable output.
#[derive(Clone, Copy, Debug, Default, Args)]
struct Json {
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}
