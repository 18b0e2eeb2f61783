//! Complete measurements: a run that writes a run folder ([`Run`]), and a duel of two builds
//! ([`duel`]).

pub mod callgrind;
pub mod duel;
mod facts;
pub mod instructions;
mod measure;

pub use facts::Facts;
pub use measure::{Quiet, Run, RunResult};

use crate::engine::compiled::{self, KernelError};
use crate::engine::job::Job;
use crate::engine::process::{self, JobError};
use crate::engine::race::RaceError;
use crate::engine::runner::{AS_PROCESS, RunnerError};
use crate::engine::schedule::{RepeatError, ScheduleError};
use crate::engine::verify::VerifyError;
use crate::interrupt::Interrupt;
use crate::record::folder_error::FolderError;
use crate::record::instructions::InstructionsError;
use crate::record::manifest::Tool;
use crate::workload::WorkloadError;
use anyhow::Context;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use thiserror::Error;

/// Why a run could not be started or completed.
#[derive(Debug, Error)]
pub enum RunError {
    /// A workload cannot be used.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// There is nothing to measure, a map is unusable, or an expected answer is wrong.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// There is no layout with the given id.
    #[error(transparent)]
    Race(#[from] RaceError),
    /// The backing is unavailable on this machine.
    #[error(transparent)]
    Backing(anyhow::Error),
    /// No selected layout supports the backing.
    #[error("none of the selected layouts supports this backing; try --backing anon")]
    NoLayout,
    /// The instruction counts cannot be used.
    #[error(transparent)]
    Instructions(#[from] InstructionsError),
    /// The run folder cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run to resume was started on another machine.
    #[error("the run in {} was started on machine {theirs}, and this is machine {ours}; resume it there", folder.display())]
    OtherMachine {
        /// The partial folder.
        folder: PathBuf,
        /// Fingerprint of the machine that started the run.
        theirs: String,
        /// Fingerprint of this machine.
        ours: String,
    },
    /// The run to resume was started by another build.
    #[error(
        "the run in {} was started by pfnbench of commit {theirs}, and this is commit {}; resume it with that build",
        folder.display(),
        Tool::THIS.commit
    )]
    OtherCommit {
        /// The partial folder.
        folder: PathBuf,
        /// Commit of the build that started the run.
        theirs: String,
    },
    /// A run cannot be repeated.
    #[error(transparent)]
    Repeat(#[from] RepeatError),
    /// The path of the backing store was not published with the run.
    #[error("the run in {} used {backing}, whose path is private; give yours with --backing", folder.display())]
    PrivateBacking {
        /// The run folder.
        folder: PathBuf,
        /// The backing store with a placeholder, e.g. `tmpfs:DIR`.
        backing: String,
    },
    /// A compiled kernel cannot take part.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The layouts could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A map cannot be measured on.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The run was interrupted, or a worker process failed.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}

/// Does the work of a worker process if a run, or [`instructions::count`], started this program as
/// one, and returns the exit code; `None` otherwise.
///
/// A program that uses either must call this first in `main`, unless it calls
/// [`main_with`](crate::main_with).
pub fn process_of_a_run() -> Option<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match &arguments[..] {
        [worker, layout, kernel @ ..] if worker == instructions::WORKER => instructions::as_counted(layout, kernel),
        _ if arguments == AS_PROCESS => as_process(),
        _ => return None,
    };
    Some(match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("pfnbench: {error:#}");
            ExitCode::from(2)
        }
    })
}

/// Measures the job on standard input, and writes one event per line to standard output. Returns
/// false if the job failed; an event has reported why.
fn as_process() -> anyhow::Result<bool> {
    // Ends this process with its parent. On systems without this signal, writing to the closed pipe
    // ends it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    let job: Job = serde_json::from_reader(std::io::stdin().lock()).context("cannot read the job on standard input")?;
    let interrupt = Interrupt::listen()?;
    compiled::register(&job.conditions.kernels, job.seed)?;
    let means = job.conditions.means(job.seed)?;
    Ok(process::run(job, means, &interrupt, std::io::stdout().lock()).is_ok())
}
