//! Programs under callgrind, as child processes with a time limit.

use crate::interrupt::{Interrupt, Interrupted};
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Time after which a program counts as hung; counting takes less than a minute.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// Why instructions were not counted.
#[derive(Debug, Error)]
pub enum CountError {
    /// The user asked to stop.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// Valgrind is not installed.
    #[error("valgrind is not installed, so instructions cannot be counted; install the package valgrind")]
    NoValgrind,
    /// A process, a pipe or a file failed.
    #[error("valgrind: {0}")]
    Io(#[from] io::Error),
    /// The counted program refused, hung or died, or its output could not be parsed. Holds the
    /// message.
    #[error("{0}")]
    Worker(String),
}

/// Runs `program` under callgrind, which writes its counts to `out` and files beside it. The caller
/// adds the arguments and pipes.
pub(super) fn command<'a>(options: impl IntoIterator<Item = &'a str>, out: &Path, program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]).args(options);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(program);
    command
}

/// Starts a command of [`command`].
///
/// # Errors
/// Valgrind is not installed, or the process cannot be started.
pub(super) fn spawn(command: &mut Command) -> Result<Child, CountError> {
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CountError::NoValgrind,
        _ => CountError::Io(error),
    })
}

/// Waits for a child. If the user asks to stop, or after the time limit, the child is killed.
///
/// # Errors
/// The user asked to stop, or the child hung.
pub(super) fn wait(mut child: Child, interrupt: &Interrupt) -> Result<ExitStatus, CountError> {
    let begin = Instant::now();
    loop {
        let ended = child.try_wait()?;
        let stopped = interrupt.check();
        if ended.is_some() || stopped.is_err() || begin.elapsed() > TIME_LIMIT {
            // Killing a process that has already ended is no error.
            let _ = child.kill();
            let _ = child.wait();
            stopped?;
            let hung = || CountError::Worker(format!("did not end within {} s under valgrind", TIME_LIMIT.as_secs()));
            return ended.ok_or_else(hung);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
