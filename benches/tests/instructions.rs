//! Instruction counts are exact: every process gives the same counts, regardless of where its
//! memory is.

use memmap_layouts::{Load, When, X86_64};
use pfnbench::case::layouts;
use pfnbench::engine::instructions::OPTIONS;
use pfnbench::engine::instructions::profile::{rows, totals};
use pfnbench::engine::layouts::count_instructions;
use pfnbench::record::instructions::{InstructionRow, Toolchain, cases};
use std::fs;
use std::io::ErrorKind;
use std::process::Command;

/// The program that the other test runs under callgrind.
#[test]
#[ignore = "another test runs it under callgrind"]
fn counted() {
    count_instructions(None).unwrap();
}

/// True if a load is repeated in a loop, whose length depends on the pfn.
fn is_in_loop(load: &Load) -> bool {
    load.when == When::EachStep
}

/// Counts in a process of its own, with its own random addresses; `None` without valgrind.
fn count() -> Option<Vec<InstructionRow>> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--cache-sim=no"])
        .args(OPTIONS)
        .arg(format!("--callgrind-out-file={}", dir.path().join("out").display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "counted", "--ignored", "--test-threads=1"])
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = fs::read_dir(dir.path()).unwrap();
    let files: Vec<String> = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    Some(rows(&cases(), &totals(&files).unwrap(), &Toolchain::this()).unwrap())
}

#[test]
fn counts_of_two_runs_are_identical() {
    let (Some(one), Some(two)) = (count(), count()) else {
        eprintln!("skipped: valgrind is not installed (apt install valgrind), so no instructions are counted");
        return;
    };
    assert_eq!(one, two);
    let value = |name: &str| one.iter().find(|row| row.limit_name() == name).unwrap().value;
    assert!(
        value("pfn_valid/added/subsection") > value("pfn_valid/added/vmemmap-section"),
        "the sub-section map costs no instruction"
    );
    assert!(
        value("pfn_to_page/boot/sparse") > value("pfn_to_page/boot/flat"),
        "the table of sparse costs no instruction"
    );
    assert!(one.iter().all(|row| row.value > 0.0), "{one:?}");
    // A lookup without a loop has the same count for every page.
    let all = layouts::<X86_64>();
    let loops = |row: &InstructionRow| {
        let chain = all.iter().find(|layout| layout.id == row.layout).unwrap().load_chain;
        [chain.pfn_valid, chain.pfn_to_page, chain.page_to_pfn].iter().any(|loads| loads.iter().any(is_in_loop))
    };
    let mut straight = one.iter().filter(|row| row.memory.is_some() && !loops(row));
    assert!(straight.all(|row| row.value.fract() == 0.0), "{one:?}");
}
