//! The command line interface.

mod architecture_arg;
mod audit;
mod budget;
mod compare;
mod completions;
mod doctor;
mod duel;
mod explain;
mod fits;
mod gate;
mod instructions;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod kernel;
mod list;
mod man;
mod map;
mod namespace;
mod new_layout;
mod range_arg;
mod report;
mod run;
mod schema;
mod show;
mod strand;
mod subject;
mod verify;

use crate::case::Filter;
use crate::engine::backing_arg::BackingArg;
use crate::engine::layouts::Layouts;
#[cfg(doc)]
use crate::engine::layouts::RegisterError;
use crate::interrupt::Interrupted;
use crate::present::bidi::without_controls;
use crate::present::terminal;
use crate::run::process_of_a_run;
use anyhow::Context;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use regex::Regex;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  pfnbench                                 measure on this machine's memory map
  pfnbench run --tier smoke                the same in a few seconds
  pfnbench run --map iomem.txt --op pfn_valid
  ssh server sudo cat /proc/iomem | pfnbench verify --map -
  sudo ndctl list -RNv | pfnbench map -    show how a memory map is parsed
  pfnbench run --backing dax:/dev/dax0.0
  pfnbench namespace plan --size 1500G     where the bytes of a namespace go
  pfnbench audit machine.txt               where the memory of a machine went
  pfnbench fits 0xc8000000+1G              whether memory would be accepted
  dmesg | pfnbench explain -               what the lines of a log mean
  pfnbench show                            all results of the newest run
  pfnbench doctor                          what this machine can measure

Exit codes: 0 success; 1 a check failed; 2 no verdict or a usage error.
All codes: pfnbench explain exit-codes";

/// Benchmarks how an operating system finds the record (struct page) of a physical page
///
/// Without a command: verifies the layouts, measures them on this machine's physical memory map,
/// prints a summary, and writes a run folder with a report. This takes less than a minute.
#[derive(Debug, Parser)]
#[command(name = "pfnbench", version = crate::version(), after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify and measure the layouts, and write a run folder
    Run(Box<run::RunArgs>),
    /// List layouts, operations, workloads, backings and maps, or the names of cases
    List(list::ListArgs),
    /// Show how a physical memory map is parsed: ranges, kinds, nodes, sections, holes
    Map(map::MapArgs),
    /// Check the answers of every layout against a naive model, without timing
    Verify(verify::VerifyArgs),
    /// Show all results of a run, in a pager on a terminal
    Show(show::ShowArgs),
    /// Compare the layouts of a run, or two runs
    Compare(compare::CompareArgs),
    /// Compare the speed of two builds of pfnbench: two programs, or two commits
    Duel(Box<duel::DuelArgs>),
    /// Internal: run as one of the two builds of a duel
    #[command(hide = true)]
    DuelWorker(duel::WorkerArgs),
    /// Write an HTML page, or Markdown with figures, from run folders
    Report(report::ReportArgs),
    /// Count the instructions of lookups and updates under callgrind
    Instructions(instructions::InstructionsArgs),
    /// Compile Linux's own lookups of a kernel, to measure them beside the layouts
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Kernel(kernel::KernelArgs),
    /// Check instruction counts against a file of limits
    Gate(gate::GateArgs),
    /// Plan, create, check and enable persistent-memory namespaces
    Namespace(namespace::NamespaceArgs),
    /// Show where the memory of a machine went: every byte in one row
    Audit(audit::AuditArgs),
    /// Show what memory is lost to the size of memory blocks
    Strand(strand::StrandArgs),
    /// Show how much memory can be hot-added to a guest
    Budget(budget::BudgetArgs),
    /// Show whether a machine would accept more memory: a DIMM, virtio-mem, CXL, a DAX device
    Fits(fits::FitsArgs),
    /// Explain an error code, a case, a layout, a term, or a line of a log
    Explain(explain::ExplainArgs),
    /// Create a crate with a layout of your own that builds and passes its tests
    NewLayout(new_layout::NewLayoutArgs),
    /// Show what this machine can and cannot measure, why, and how to fix it
    Doctor(doctor::DoctorArgs),
    /// Print the JSON Schema of run folders
    Schema(schema::SchemaArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
    /// Print the man page, or write the pages of all commands to a folder
    Man(man::ManArgs),
}

/// Arguments that select cases by name.
#[derive(Args, Clone, Debug, Default)]
struct CasesArgs {
    /// Select cases whose name matches this regular expression, e.g. '^pfn_valid/added' (`pfnbench
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

/// Runs the command line of `pfnbench` with layouts of other crates in addition to the built-in
/// ones. All commands accept the ids of these layouts.
///
/// ```no_run
/// use memmap_layouts::layouts::Flat as Mine;
///
/// fn main() -> std::process::ExitCode {
///     pfnbench::main_with(pfnbench::layouts![Mine])
/// }
/// ```
///
/// Call it once, before anything else in `main`: a run starts this program again as its worker
/// processes. If a layout cannot be registered ([`RegisterError`]), the exit code is 1.
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
    if let Some(code) = process_of_a_run() {
        return code;
    }
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let hint = misplaced(&error);
        match error.print() {
            Err(broken) if broken.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("pfnbench: cannot print the usage: {broken}");
            }
            _ => {}
        }
        hint.iter().for_each(|hint| tell(hint));
        std::process::exit(error.exit_code());
    });
    let answer = match cli.command.unwrap_or_else(|| Command::Run(Box::default())) {
        Command::Run(args) => args.run(),
        Command::List(args) => args.run(),
        Command::Map(args) => args.run(),
        Command::Verify(args) => args.run(),
        Command::Show(args) => args.run(),
        Command::Compare(args) => args.run(),
        Command::Duel(args) => args.run(),
        Command::DuelWorker(args) => args.run(),
        Command::Report(args) => args.run(),
        Command::Instructions(args) => args.run(),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Command::Kernel(args) => args.run(),
        Command::Gate(args) => args.run(),
        Command::Namespace(args) => args.run(),
        Command::Audit(args) => args.run(),
        Command::Strand(args) => args.run(),
        Command::Budget(args) => args.run(),
        Command::Fits(args) => args.run(),
        Command::Explain(args) => args.run(),
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
                Some(interrupted) if kept.is_none() => tell(&format!("{interrupted}; nothing was written")),
                Some(interrupted) => tell(&interrupted.to_string()),
                None => tell(&without_repetition(&error)),
            }
            if let Some(kept) = kept {
                tell(&kept.to_string());
            }
            ExitCode::from(interrupted.map_or(2, |interrupted| interrupted.exit_status()))
        }
    }
}

/// The most commands that are named for a misplaced option.
const MOST_COMMANDS: usize = 6;

/// For an option that the command does not have: the commands that have it.
fn misplaced(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let long = option.strip_prefix("--")?;
    fn having(command: &clap::Command, path: &str, long: &str, found: &mut Vec<String>) {
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let path = format!("{path} {}", command.get_name());
            if command.get_arguments().any(|arg| arg.get_long() == Some(long)) {
                found.push(path.clone());
            }
            having(command, &path, long, found);
        }
    }
    let mut found = Vec::new();
    having(&Cli::command(), "pfnbench", long, &mut found);
    let shown = found.iter().take(MOST_COMMANDS).cloned().collect::<Vec<_>>().join(", ");
    let more = match found.len().saturating_sub(MOST_COMMANDS) {
        0 => String::new(),
        nr => format!(" and {nr} other commands"),
    };
    (!found.is_empty()).then(|| format!("{option} is an option of {shown}{more}"))
}

/// The folder of an interrupted run, as context of the error that ended the run.
#[derive(Debug)]
struct KeptIn(PathBuf);

impl std::fmt::Display for KeptIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "completed measurements are kept; resume with: pfnbench run --resume {}", self.0.display())
    }
}

/// Formats an error and its causes without repetition: many messages already include their cause.
fn without_repetition(error: &anyhow::Error) -> String {
    let mut message = String::new();
    let skipped = usize::from(error.downcast_ref::<KeptIn>().is_some());
    for cause in error.chain().skip(skipped).map(ToString::to_string) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// True if the reader of the output closed the pipe, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Prints text as it is to standard output: for programs.
fn print_raw(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(io::stdout().lock(), "{text}").context("cannot write to standard output")
}

/// Prints text to standard output. On a terminal, lines that are too long are wrapped between words.
fn print(text: impl std::fmt::Display) -> anyhow::Result<()> {
    print_raw(without_controls(&terminal::prose(&text.to_string())))
}

/// Prints a message to standard error, wrapped between words on a terminal.
fn tell(text: &str) {
    eprintln!("{}", without_controls(&terminal::message(&format!("pfnbench: {text}"))));
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print_raw(serde_json::to_string_pretty(value)?)
}

/// Parses a margin in percent and returns it as a fraction.
fn margin_percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text
        .trim_end_matches('%')
        .trim()
        .parse()
        .map_err(|_| format!("the margin {text:?} is not a number; try --margin 2"))?;
    match (0.1..=50.0).contains(&percent) {
        true => Ok(percent / 100.0),
        false => Err(format!("the margin {percent} % is outside the range 0.1 to 50 %; try --margin 2")),
    }
}

/// Argument for machine-readable output.
#[derive(Clone, Copy, Debug, Default, Args)]
struct Json {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_help(command: &clap::Command) {
        let (name, help) = (command.get_name(), command.clone().term_width(80).render_long_help().to_string());
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{name} exceeds 80 columns:\n{help}");
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&text), "{name} wraps its examples:\n{help}");
        let has_examples = text.starts_with("Examples:\n") && text.contains("\nExit codes: 0 ");
        assert!(has_examples || name == "namespace", "{name} has no examples or exit codes:\n{help}");
        command.get_subcommands().filter(|sub| !sub.is_hide_set()).for_each(check_help);
    }

    #[test]
    fn every_help_page_has_examples_and_exit_codes_and_fits_80_columns() {
        check_help(&Cli::command().disable_help_subcommand(true));
    }
}
