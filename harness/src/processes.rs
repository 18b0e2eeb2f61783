//! More processes of a race: where code and memory lie differs from one process to the next, and so do times. Each is this
//! program again; it gets the map on its standard input and gives the rows of its lookups on its standard output.

use crate::interrupt::{Interrupt, Interrupted};
use crate::map::PhysicalMap;
use crate::row::Row;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use thiserror::Error;

/// Why a process gave nothing.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The user asked to stop. Not transparent, so that the cause can be found in the chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// It could not be started, or talked to.
    #[error("process {number} of the run: {source}")]
    Io {
        /// Which one.
        number: u32,
        /// The cause.
        source: io::Error,
    },
    /// It failed; it has said why.
    #[error("process {number} of the run ended with {status}")]
    Failed {
        /// Which one.
        number: u32,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// It said something else than rows.
    #[error("process {number} of the run gave no rows: {source}")]
    Rows {
        /// Which one.
        number: u32,
        /// The cause.
        source: serde_json::Error,
    },
}

/// Ends with its owner: an error on our side leaves no process behind.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // One that has ended already is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs process `number` with `arguments` and reads its rows.
///
/// # Errors
/// [`ProcessError`]; the process has ended.
pub fn rows_of(
    number: u32,
    arguments: &[String],
    map: &PhysicalMap,
    interrupt: &Interrupt,
) -> Result<Vec<Row>, ProcessError> {
    let failed = |source| ProcessError::Io { number, source };
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Guarded(command.spawn().map_err(failed)?);
    let mut input = child.0.stdin.take().expect("it was asked for");
    let map = serde_json::to_string(map).map_err(|source| ProcessError::Rows { number, source })?;
    let written = input.write_all(map.as_bytes());
    drop(input);
    let mut output = child.0.stdout.take().expect("it was asked for");
    // Read while it runs: a pipe holds less than its rows.
    let reading = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let status = loop {
        interrupt.check()?;
        match child.0.try_wait().map_err(failed)? {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    if !status.success() {
        return Err(ProcessError::Failed { number, status });
    }
    written.map_err(failed)?;
    let text = reading.join().map_err(|_| failed(io::Error::other("its output could not be read")))?.map_err(failed)?;
    let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<Row>, _>>();
    rows.map_err(|source| ProcessError::Rows { number, source })
}
