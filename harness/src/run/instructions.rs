//! Instruction counts of layouts, each in a process of its own under callgrind. A layout that
//! answers wrongly, panics or is killed costs no other layout its counts.

use crate::case::Layout;
use crate::engine::instructions::OPTIONS;
use crate::engine::instructions::profile::{rows, totals};
use crate::interrupt::{Interrupt, Interrupted};
use crate::record::instructions::{InstructionRow, Toolchain, cases_of};
use memmap_layouts::X86_64;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Arguments of the process that is counted, before the id of its layout.
pub const WORKER: &str = "instructions-worker";

/// Time after which a layout counts as hung; counting one takes a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Why nothing was counted.
#[derive(Debug, Error)]
pub enum CountError {
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Valgrind is not installed.
    #[error("valgrind is not installed, so instructions cannot be counted; install the package valgrind")]
    NoValgrind,
    /// A process or a temporary folder could not be made.
    #[error("valgrind could not be started: {0}")]
    Io(#[from] io::Error),
}

/// The counts of some layouts.
#[derive(Debug, Default)]
pub struct Counts {
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
) -> Result<Counts, CountError> {
    let mut counts = Counts::default();
    for layout in layouts {
        progress(layout.id);
        match count_one(program, layout, interrupt)? {
            Ok(rows) => counts.rows.extend(rows),
            Err(reason) => counts.failed.push(FailedCount { layout: layout.id, reason }),
        }
    }
    Ok(counts)
}

fn count_one(
    program: &Path,
    layout: &Layout,
    interrupt: &Interrupt,
) -> Result<Result<Vec<InstructionRow>, String>, CountError> {
    let folder = tempfile::tempdir()?;
    let (profile, errors) = (folder.path().join("profile"), folder.path().join("errors"));
    fs::create_dir(&profile)?;
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--cache-sim=no"]).args(OPTIONS);
    command.arg(format!("--callgrind-out-file={}", profile.join("out").display()));
    command.arg(program).args([WORKER, layout.id]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?);
    let Some(status) = wait(&mut command, interrupt)? else {
        return Ok(Err(format!("did not end within {} s under valgrind", TIME_LIMIT.as_secs())));
    };
    if !status.success() {
        let said = fs::read_to_string(&errors)?;
        return Ok(Err(why(&said, status)));
    }
    let files: Result<Vec<String>, io::Error> =
        fs::read_dir(&profile)?.map(|file| fs::read_to_string(file?.path())).collect();
    let counted = totals(&files?).and_then(|totals| rows(&cases_of::<X86_64>(layout), &totals, &Toolchain::this()));
    Ok(counted)
}

/// Runs a command; `None` if it hung.
fn wait(command: &mut Command, interrupt: &Interrupt) -> Result<Option<ExitStatus>, CountError> {
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CountError::NoValgrind,
        _ => CountError::Io(error),
    })?;
    let begin = Instant::now();
    loop {
        let ended = child.try_wait()?;
        let stopped = interrupt.check();
        if ended.is_some() || stopped.is_err() || begin.elapsed() > TIME_LIMIT {
            // Killing a process that has already ended is no error.
            let _ = child.kill();
            let _ = child.wait();
            stopped?;
            return Ok(ended);
        }
        thread::sleep(Duration::from_millis(20));
    }
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
