//! `cargo bench --bench instructions`: instructions per lookup and per update of the index, counted
//! by callgrind.
//!
//! ```text
//!  this ──▶ this again, as a bench of iai-callgrind ──▶ its runner ──▶ valgrind ──▶ this, with --iai-run: all cases
//!    ◀────────────────────────── one file per total ◀───────────────────────────────┘
//! ```

use anyhow::{Context, bail};
use pfnbench::engine::instructions::profile::{rows, totals};
use pfnbench::engine::layouts::count_instructions;
use pfnbench::present::instructions::table;
use pfnbench::record::instructions::{Case, FILE_NAME, InstructionRow, Toolchain, cases, default_folder, read, write};
use pfnbench_benches::{Mode, Start, baseline_path};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

/// Environment variable that is set for the second start, whose arguments are meant for
/// iai-callgrind.
const STARTED_FOR_IAI: &str = "PFNBENCH_STARTED_FOR_IAI";

/// The code that the macros of iai-callgrind generate.
mod iai {
    use iai_callgrind::{
        Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
    };
    use pfnbench::engine::instructions::OPTIONS;
    use pfnbench::engine::layouts::count_instructions;

    // All cases run in one process, because valgrind takes longer to start than a layout takes to
    // be counted.
    #[library_benchmark]
    fn every_case() -> usize {
        count_instructions(None).expect("a wrong answer")
    }

    library_benchmark_group!(name = instructions; benchmarks = every_case);

    main!(
        config = LibraryBenchmarkConfig::default().tool(
            Callgrind::with_args(OPTIONS.into_iter().chain(["--cache-sim=no"])).entry_point(EntryPoint::None)
        );
        library_benchmark_groups = instructions
    );

    pub(super) fn start() {
        main();
    }
}

fn main() -> anyhow::Result<ExitCode> {
    if env::args().nth(1).is_some_and(|first| first == "--iai-run") || env::var_os(STARTED_FOR_IAI).is_some() {
        iai::start();
        return Ok(ExitCode::SUCCESS);
    }
    let start = Start::new()?;
    let all = cases();
    let wanted: Vec<&Case> = all.iter().filter(|case| start.wants(case.name())).collect();
    match start.mode {
        Mode::List => wanted.iter().for_each(|case| println!("{}: benchmark", case.name())),
        _ if wanted.is_empty() => {}
        Mode::Test => {
            println!("{} instruction cases verified", count_instructions(None).map_err(anyhow::Error::msg)?)
        }
        Mode::Bench if !has_valgrind() => {
            println!("skipped: valgrind is not installed (apt install valgrind), so no instructions are counted");
        }
        Mode::Bench => return bench(&start, &all, &wanted),
    }
    Ok(ExitCode::SUCCESS)
}

fn has_valgrind() -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join("valgrind").is_file()))
}

fn bench(start: &Start, all: &[Case], wanted: &[&Case]) -> anyhow::Result<ExitCode> {
    let folder = default_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let baseline = match &start.arguments.baseline {
        Some(name) => Some(
            read(&baseline_path(&folder.join("baselines"), name)?)
                .with_context(|| format!("cannot read the baseline {name:?}"))?,
        ),
        None => None,
    };
    let profile = folder.join("callgrind");
    if let Some(code) = count(start, &profile)? {
        return Ok(code);
    }
    let totals = totals(&files_below(&profile)?).map_err(anyhow::Error::msg)?;
    let rows = rows(all, &totals, &Toolchain::this()).map_err(anyhow::Error::msg)?;
    // All cases were counted, even if only some were requested.
    let path = folder.join(FILE_NAME);
    write(&path, &rows)?;
    let names: Vec<String> = wanted.iter().map(|case| case.limit_name()).collect();
    let shown: Vec<InstructionRow> = rows.iter().filter(|row| names.contains(&row.limit_name())).cloned().collect();
    println!("Instructions per operation, compiled with {}", Toolchain::this().name());
    table(&shown).iter().for_each(|table| println!("{table}"));
    println!("hot_add and hot_remove: updates of the index only, without records and system calls.");
    if let Some(baseline) = baseline {
        compare(&baseline, &shown);
    }
    if let Some(name) = &start.arguments.save_baseline {
        write(&baseline_path(&folder.join("baselines"), name)?, &rows)?;
        println!("saved {} counts as baseline {name}", rows.len());
    }
    println!("{}", path.canonicalize()?.display());
    Ok(ExitCode::SUCCESS)
}

/// Runs iai-callgrind, which runs valgrind. Returns an exit code if iai-callgrind reports a
/// problem.
fn count(start: &Start, profile: &Path) -> anyhow::Result<Option<ExitCode>> {
    match fs::remove_dir_all(profile) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("cannot remove the old profile");
        }
        _ => {}
    }
    let mut command = Command::new(env::current_exe()?);
    command
        .args(start.arguments.callgrind.to_arguments())
        .env(STARTED_FOR_IAI, "1")
        .env("IAI_CALLGRIND_HOME", profile)
        // iai-callgrind asks cargo about the package of the current folder.
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // Baselines are handled here, as counts instead of profiles.
    for unasked in ["BASELINE", "SAVE_BASELINE", "LOAD_BASELINE", "FILTER", "LIST"] {
        command.env_remove(format!("IAI_CALLGRIND_{unasked}"));
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(None);
    }
    // The tables of iai-callgrind cover all cases together, so they are shown only with an error.
    eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    match output.status.code() {
        Some(3) => Ok(Some(ExitCode::from(3))),
        _ => bail!("iai-callgrind ended with {}", output.status),
    }
}

/// Reads the files that callgrind wrote below `dir`.
fn files_below(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut dirs: Vec<PathBuf> = vec![dir.to_owned()];
    let mut files = Vec::new();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "out") {
                files.push(fs::read_to_string(&path)?);
            }
        }
    }
    Ok(files)
}

fn compare(before: &[InstructionRow], after: &[InstructionRow]) {
    let before: BTreeMap<String, f64> = before.iter().map(|row| (row.limit_name(), row.value)).collect();
    let known = after.iter().filter_map(|row| Some((row, *before.get(&row.limit_name())?)));
    let changed: Vec<_> = known.filter(|(row, before)| row.value != *before).collect();
    if changed.is_empty() {
        println!("No count differs from the baseline's.");
    }
    for (row, before) in changed {
        println!("{:<40} {before} → {} ({:+})", row.limit_name(), row.value, row.value - before);
    }
}
