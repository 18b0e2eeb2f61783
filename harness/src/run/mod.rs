//! Whole measurements: a run from its facts to its folder ([`Run`]), and a duel of two builds ([`duel`]).

pub mod duel;
mod facts;
pub mod instructions;
mod measure;

pub use facts::Facts;
pub use measure::{Quiet, Run, RunResult};

use crate::engine::field::Means;
use crate::engine::job::{self, Job, JobError};
use crate::engine::race::RaceError;
use crate::engine::runner::{AS_PROCESS, RunnerError};
use crate::engine::schedule::ScheduleError;
use crate::engine::verify::VerifyError;
use crate::interrupt::Interrupt;
use crate::record::folder_error::FolderError;
use crate::record::instructions::InstructionsError;
use crate::record::manifest::Tool;
use crate::workload::WorkloadError;
use anyhow::Context;
use std::path::PathBuf;
use std::process::ExitCode;
use thiserror::Error;

/// Why a run could not be begun, or did not come to its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// A workload cannot be used.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// Nothing is to be measured, or a map or an expectation is wrong.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// There is no such layout.
    #[error(transparent)]
    Race(#[from] RaceError),
    /// This machine does not have the backing.
    #[error(transparent)]
    Backing(anyhow::Error),
    /// No layout can have its records on the backing.
    #[error("none of the layouts asked for can have its records there")]
    NoLayout,
    /// The instruction counts cannot be used.
    #[error(transparent)]
    Instructions(#[from] InstructionsError),
    /// The run folder cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The run to resume was begun on another machine.
    #[error("the run of {} was begun on the machine {theirs}, and this is {ours}", folder.display())]
    OtherMachine {
        /// The partial folder.
        folder: PathBuf,
        /// Fingerprint of the machine that began it.
        theirs: String,
        /// Fingerprint of this machine.
        ours: String,
    },
    /// The run to resume was begun by another build.
    #[error(
        "the run of {} was begun by pfnbench of commit {theirs}, and this is {}: one run is of one program",
        folder.display(),
        Tool::THIS.commit
    )]
    OtherCommit {
        /// The partial folder.
        folder: PathBuf,
        /// Commit of the build that began it.
        theirs: String,
    },
    /// The layouts could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A map cannot be raced on.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The run did not come to its end.
    #[error(transparent)]
    Runner(#[from] RunnerError),
}

/// Does the work of a process of a run if this program was started as one, and returns its exit code; `None` otherwise.
///
/// A program that measures through [`Run`] calls it first in `main`. [`main_with`](crate::main_with) does so itself.
pub fn process_of_a_run() -> Option<ExitCode> {
    let is_process = std::env::args_os().skip(1).eq(AS_PROCESS);
    is_process.then(|| match as_process() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("pfnbench: {error:#}");
            ExitCode::from(2)
        }
    })
}

/// Measures the job on standard input, with an event a line on standard output; false if the job failed, which the
/// process that asked has been told.
pub(crate) fn as_process() -> anyhow::Result<bool> {
    // If whoever asked is gone, nobody needs the rest. Where the system does not know this, the next unit's pipe ends it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    let job: Job = serde_json::from_reader(std::io::stdin().lock()).context("the job on standard input")?;
    let interrupt = Interrupt::listen()?;
    let (backing, device) = job.backing.open()?;
    let (index_pages, records_limit) = (job.index_pages.into(), job.records_limit);
    let means = Means { backing, index_pages, device, records_limit, seed: job.seed };
    Ok(job::run(job, means, &interrupt, std::io::stdout().lock()).is_ok())
}
