//! `--backing` on the command line. An unavailable backing must be an error that names the cause.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SMALL_MAP: &str = "00001000-0009ffff : System RAM\n00100000-13ffffff : System RAM\n";

/// Every backing, with a part of the error on machines that lack it.
const BACKINGS: [(&str, &str); 7] = [
    ("anon", ""),
    ("linux", "transparent"),
    ("thp", "transparent"),
    ("hugetlb", "huge pages"),
    ("tmpfs", "tmpfs"),
    ("tmpfs-huge", "mount -t tmpfs"),
    ("file:.", "name a folder"),
];

fn folder() -> TempDir {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(dir.path().join("small.txt"), SMALL_MAP).unwrap();
    dir
}

fn pfnbench(dir: &TempDir, verb: &str, backing: &str) -> Command {
    let mut command = Command::cargo_bin("pfnbench").unwrap();
    command.current_dir(dir).args([verb, "--map", "small.txt", "--backing", backing]);
    command
}

fn rows(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("samples.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_records_its_backing_in_every_row_and_leaves_no_files() {
    for (backing, lacks) in BACKINGS {
        let dir = folder();
        let mut command = pfnbench(&dir, "run", backing);
        command.args(["--tier", "smoke", "--records-limit", "64M", "--op", "pfn_valid", "--json"]);
        command.args(["--layout", "subsection", "--layout", "flat"]);
        let output = command.output().unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(2) && !lacks.is_empty() && said.contains(lacks), "{backing}: {said}");
            eprintln!("skipped: {backing}: {said}");
            continue;
        }
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let rows = rows(&dir.path().join(answer["run"].as_str().unwrap()));
        let kind = backing.split(':').next().unwrap();
        assert!(rows.iter().all(|row| row["backing"] == kind), "{backing}");
        assert!(rows.iter().any(|row| row["op"] == "hot_add" && row["status"] == "ok"), "{backing}");
        let told = rows.iter().any(|row| row["metric"] == "records_in_huge_pages");
        assert_eq!(told, ["linux", "thp", "hugetlb", "tmpfs-huge"].contains(&kind), "{backing}");
        let mut left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["results", "small.txt"], "{backing}");
    }
}

#[test]
fn index_tables_use_the_requested_page_size() {
    for (pages, told) in [("huge", true), ("base", false)] {
        let dir = folder();
        let mut command = pfnbench(&dir, "run", "anon");
        command.args(["--tier", "smoke", "--records-limit", "64M", "--op", "pfn_valid", "--json"]);
        command.args(["--layout", "subsection", "--layout", "flat", "--index-pages", pages]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        let run = dir.path().join(answer["run"].as_str().unwrap());
        let rows = rows(&run);
        let layouts = rows.iter().filter(|row| row["metric"] == "index_in_huge_pages").map(|row| &row["layout"]);
        let layouts: Vec<_> = layouts.collect();
        assert_eq!(!layouts.is_empty(), told, "{pages}");
        assert!(layouts.iter().all(|layout| **layout == "subsection"), "flat has no index: {layouts:?}");
    }
}

#[test]
fn verify_takes_a_file_and_huge_pages() {
    let dir = folder();
    for backing in ["linux", "thp", "file:."] {
        let output = pfnbench(&dir, "verify", backing).arg("--json").output().unwrap();
        match output.status.code() {
            Some(0) => {
                let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert!(verdict["maps"].as_array().unwrap().iter().all(|check| check["status"] == "agrees"));
            }
            code => {
                assert_eq!(code, Some(2), "{backing}");
                eprintln!("skipped: {backing}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }
}

#[test]
fn invalid_and_unavailable_backings_are_errors_with_a_reason() {
    let dir = folder();
    let forms = contains("tmpfs-huge[:DIR]").and(contains("file:DIR")).and(contains("hugetlb"));
    pfnbench(&dir, "run", "memory").assert().code(2).stderr(forms);
    for (backing, says) in [("file:/does/not/exist", "/does/not/exist"), ("tmpfs:/proc", "not on a tmpfs")] {
        pfnbench(&dir, "verify", backing).assert().code(2).stderr(contains(says));
    }
    let list = Command::cargo_bin("pfnbench").unwrap().arg("list").assert().success();
    list.stdout(contains("file:DIR").and(contains("PFNBENCH_BACKING")));
}
