//! Measures two layouts as a library, and prints the verdicts.
//!
//! ```sh
//! cargo run --release --example race -- /tmp/results builtin:vm-20g
//! ```

use pfnbench::interrupt::Interrupt;
use pfnbench::run::{Quiet, Run, process_of_a_run};
use pfnbench::workload::tier::Tier;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    // A run starts this program again, as its measuring processes.
    if let Some(code) = process_of_a_run() {
        return Ok(code);
    }
    let mut arguments = std::env::args().skip(1);
    let (Some(output), Some(map)) = (arguments.next(), arguments.next()) else {
        return Err("usage: race FOLDER MAP, e.g. race /tmp/results builtin:vm-20g".into());
    };
    let run = Run::builder().tier(Tier::Smoke).output(output).map(map.parse()?);
    let run = run.layout("vmemmap-section").layout("subsection");
    let result = run.run(&Interrupt::listen()?, &mut Quiet)?;
    for found in &result.verdicts.verdicts {
        println!("{} {} compared with {}: {}", found.case, found.layout, found.reference, found.verdict);
    }
    println!("{}", result.folder.display());
    Ok(ExitCode::SUCCESS)
}
