//! Instruction counts of layouts, each in a process of its own under callgrind. A layout that
//! answers wrongly, panics or is killed costs no other layout its counts.

use crate::case::Layout;
use crate::engine::compiled;
use crate::engine::conditions::ChosenKernel;
use crate::engine::instructions::OPTIONS;
use crate::engine::instructions::profile::{rows, totals};
use crate::engine::layouts::{count_by_time_stamp as by_time_stamp, count_instructions};
use crate::interrupt::Interrupt;
use crate::record::instructions::{InstructionRow, Toolchain, cases_of};
use crate::run::callgrind::{self, CountError};
use memmap_layouts::X86_64;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

/// Arguments of the process that is counted, before the id of its layout.
pub const WORKER: &str = "instructions-worker";

/// The counts of some layouts.
#[derive(Debug, Default)]
pub struct LayoutCounts {
    /// Rows of the layouts that were counted, layout by layout.
    pub rows: Vec<InstructionRow>,
    /// Layouts that were not counted.
    pub failed: Vec<FailedCount>,
}

/// A layout that was not counted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FailedCount {
    /// Id of the layout, e.g. `flat`.
    pub layout: &'static str,
    /// What went wrong: the wrong answer, the panic, the signal, or what callgrind wrote.
    pub reason: String,
}

/// Counts the instructions of every case of `layouts`. `progress` is called with the id of each
/// layout before it is counted. Takes a few seconds per layout.
///
/// The worker processes run `program`, which must be this build.
///
/// # Errors
/// [`CountError`]; no process or file is left behind.
pub fn count(
    program: &Path,
    layouts: &[Layout],
    interrupt: &Interrupt,
    mut progress: impl FnMut(&str),
) -> Result<LayoutCounts, CountError> {
    let mut counts = LayoutCounts::default();
    for layout in layouts {
        progress(layout.id);
        match count_one(program, layout, interrupt) {
            Ok(rows) => counts.rows.extend(rows),
            Err(CountError::Worker(reason)) => counts.failed.push(FailedCount { layout: layout.id, reason }),
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}

fn count_one(program: &Path, layout: &Layout, interrupt: &Interrupt) -> Result<Vec<InstructionRow>, CountError> {
    let folder = tempfile::tempdir()?;
    let (profile, errors) = (folder.path().join("profile"), folder.path().join("errors"));
    fs::create_dir(&profile)?;
    let options = OPTIONS.into_iter().chain(["--cache-sim=no"]);
    let mut command = callgrind::command(options, &profile.join("out"), program);
    command.args([WORKER, layout.id]);
    if let Some(kernel) = compiled::chosen(layout.id) {
        command.arg(serde_json::to_string(&kernel).expect("a kernel can be written"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?);
    let status = callgrind::wait(callgrind::spawn(&mut command)?, interrupt)?;
    if !status.success() {
        return Err(CountError::Worker(why(&fs::read_to_string(&errors)?, status)));
    }
    let files: Result<Vec<String>, io::Error> =
        fs::read_dir(&profile)?.map(|file| fs::read_to_string(file?.path())).collect();
    let cases = compiled::counted_cases(layout.id).unwrap_or_else(|| cases_of::<X86_64>(layout));
    let rows = totals(&files?).and_then(|totals| rows(&cases, &totals, &Toolchain::this()));
    Ok(with_compiler(rows.map_err(CountError::Worker)?))
}

/// Counts the lookups of layouts by the time-stamp counter of this machine, in this process.
///
/// # Errors
/// [`CountError::Worker`]: the time-stamp counter counts time, or a layout gave a wrong answer.
pub fn count_by_time_stamp(layouts: &[Layout]) -> Result<Vec<InstructionRow>, CountError> {
    let mut all = Vec::new();
    for layout in layouts {
        let rows = by_time_stamp(Some(layout.id)).and_then(|(cases, totals)| rows(&cases, &totals, &Toolchain::this()));
        all.extend(rows.map_err(CountError::Worker)?);
    }
    Ok(with_compiler(all))
}

/// Names the compiler in the rows of compiled kernels.
fn with_compiler(mut rows: Vec<InstructionRow>) -> Vec<InstructionRow> {
    for row in &mut rows {
        row.compiler = compiled::note(&row.layout).map(|kernel| kernel.compiler);
    }
    rows
}

/// Does the work of the process that is counted. `kernel` is empty, or a kernel in JSON.
///
/// # Errors
/// The kernel cannot be used, or a wrong answer.
pub(super) fn as_counted(layout: &OsStr, kernel: &[OsString]) -> anyhow::Result<bool> {
    for kernel in kernel {
        let kernel: ChosenKernel = serde_json::from_str(&kernel.to_string_lossy())?;
        compiled::register(&[kernel], 0)?;
    }
    let layout = layout.to_string_lossy();
    count_instructions(Some(&layout)).map(|_| true).map_err(anyhow::Error::msg)
}

/// What a process said before it failed: its own message, else the message of a panic, else how it
/// ended.
fn why(said: &str, status: ExitStatus) -> String {
    let own = said.lines().find_map(|line| line.strip_prefix("pfnbench: "));
    let mut lines = said.lines().skip_while(|line| !line.contains("panicked at"));
    let panic = lines.next().map(|first| match lines.next() {
        // The place is in the first line, the message in the second.
        Some(message) => format!("panicked: {message}"),
        None => first.to_owned(),
    });
    own.map(str::to_owned).or(panic).unwrap_or_else(|| format!("ended with {status} under valgrind"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_failed_process_is_described_by_what_it_said() {
        let failed = ExitStatus::from_raw(2 << 8);
        assert_eq!(why("x\npfnbench: a wrong answer\n", failed), "a wrong answer");
        let panic = "\nthread 'main' (7) panicked at src/lib.rs:1:2:\nthis layout panics\nnote: run with";
        assert_eq!(why(panic, failed), "panicked: this layout panics");
        assert_eq!(why("", ExitStatus::from_raw(11)), "ended with signal: 11 (SIGSEGV) under valgrind");
    }
}
