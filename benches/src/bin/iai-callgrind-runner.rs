//! The runner of iai-callgrind, built with the benches, so that it need not be installed and always
//! matches the version of the library.

use iai_callgrind_runner::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Err(error) = iai_callgrind_runner::runner::run() else { return ExitCode::SUCCESS };
    match error.downcast_ref::<Error>() {
        Some(Error::RegressionError(_)) => ExitCode::from(3),
        _ => {
            eprintln!("iai-callgrind-runner: {error:#}");
            ExitCode::FAILURE
        }
    }
}
