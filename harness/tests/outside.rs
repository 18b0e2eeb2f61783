//! Layouts of another crate: wrong ones are named, and do not affect the others.

mod common;

use assert_cmd::Command;
use common::{SMALL_MAP, file, folder};
use serde_json::{Value, json};
use std::path::PathBuf;

const BUILT_IN: [&str; 11] = [
    "flat",
    "segments",
    "sparse",
    "vmemmap-section",
    "subsection",
    "subsection-v6",
    "linux-5.2",
    "linux-6.1",
    "validmap",
    "dax",
    "dax-x86",
];

/// The layouts of the example `bad_layouts`.
const DEFECTIVE: [&str; 12] = [
    "answers-wrongly",
    "panics",
    "no-record",
    "declares-hotplug",
    "wrong-node",
    "add-fails",
    "add-panics",
    "add-forgets",
    "hides-index",
    "forgets-later",
    "panics-later",
    "answers-wrongly-later",
];

/// Runs an example that `cargo test` has built.
fn example(name: &str) -> Command {
    let target = PathBuf::from(env!("CARGO_BIN_EXE_pfnbench"));
    let program = target.parent().unwrap().join("examples").join(name);
    assert!(program.exists(), "{} does not exist; run cargo build --package pfnbench --examples", program.display());
    Command::new(program)
}

/// The example with defective layouts.
fn bad_layouts() -> Command {
    example("bad_layouts")
}

#[test]
fn wrong_layouts_are_named_and_the_others_measured() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let mut command = bad_layouts();
    command.current_dir(&dir).args(["run", "--tier", "smoke", "--map", &map, "-o", "r", "--json"]);
    command.args(["--filter", "^pfn_valid/boot/random/"]);
    let output = command.assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    for words in [
        &["answers-wrongly on", "pfn_valid(0x", "should be true"][..],
        &["panics on", "the layout panicked", "this layout panics"],
        &["no-record on", "pfn_to_page(0x", "too low for a record"],
        &["add-fails on", "was not added", "a table that nobody needs"],
        &["add-panics on", "the layout panicked", "this layout panics on addition"],
        &["add-forgets on", "after adding", "pfn_valid(0x", "should be true"],
        &["declares-hotplug fails the conformance case hotplug_traits", "does not implement all of Hotplug"],
        &["wrong-node fails the conformance case boot_records", "has node 200, not"],
        &["hides-index fails the conformance case footprint", "after boot", "the footprint has 0 B of index tables"],
    ] {
        assert!(told.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {told}");
    }
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let layouts: Vec<&str> =
        result["summary"]["layouts"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    // Those two are right until additions are timed.
    assert_eq!(layouts, [&BUILT_IN[..], &["forgets-later", "panics-later", "no-check"]].concat());
}

#[test]
fn layouts_that_fail_while_they_are_measured_are_left_out() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let faulty = ["forgets-later", "panics-later", "answers-wrongly-later"];
    let mut command = bad_layouts();
    command.current_dir(&dir).args(["run", "--tier", "smoke", "--map", &map, "-o", "r", "--json"]);
    command.args(["--filter", "^(pfn_valid/boot/random|hotplug/2MiB)/"]);
    for id in faulty.into_iter().chain(["flat", "sparse", "subsection"]) {
        command.args(["--layout", id]);
    }
    let output = command.assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    for words in [
        &["left out: forgets-later in hotplug/2MiB on small", "cannot be removed", "is not present"][..],
        &["left out: panics-later in hotplug/2MiB on small", "this layout panics on its 100th addition"],
        &["left out: answers-wrongly-later in ", "pfn_valid/boot/random", "on small: wrong answer", "sum to"],
    ] {
        assert!(told.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {told}");
    }
    assert!(!told.contains("not measured"), "{told}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = &result["summary"];
    assert_eq!(summary["layouts"], json!(["flat", "sparse", "subsection", "no-check"]));
    let cells = |lines: &str| {
        let cells = summary[lines].as_array().unwrap().iter().flat_map(|line| line["cells"].as_array().unwrap());
        cells.map(|cell| cell["layout"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for lines in ["lookups", "hotplug"] {
        assert!(cells(lines).iter().any(|id| id == "subsection"), "{summary}");
        assert!(!cells(lines).iter().any(|id| faulty.contains(&id.as_str())), "{summary}");
    }
    // A report of the folder leaves them out as well.
    let run = result["run"].as_str().unwrap();
    let output = bad_layouts().current_dir(&dir).args(["report", run, "-o", "r.md"]).assert().success();
    drop(output);
    let report = std::fs::read_to_string(dir.path().join("r.md")).unwrap();
    assert!(report.contains("Layout left out: forgets-later in hotplug/2MiB"), "{report}");
    assert!(report.contains("subsection") && !report.contains("| forgets-later"), "{report}");
}

#[test]
fn verify_names_the_failed_case_and_continues() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let output = bad_layouts().args(["verify", "--map", &map, "--json"]).assert().code(1).get_output().clone();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = result.to_string();
    for id in BUILT_IN.iter().chain(&DEFECTIVE) {
        assert!(text.contains(&format!("\"{id}\"")), "{id}");
    }
    assert!(text.contains("this layout panics"), "{text}");
    let maps = result["maps"].as_array().unwrap();
    let reason = |id: &str| maps.iter().find(|check| check["layout"] == id).unwrap()["reason"].to_string();
    for (id, words) in [
        ("add-fails", ["was not added", "a table that nobody needs"]),
        ("add-panics", ["the layout panicked", "this layout panics on addition"]),
        ("add-forgets", ["after adding", "should be true"]),
    ] {
        assert!(words.iter().all(|word| reason(id).contains(word)), "{id}: {}", reason(id));
    }
    let failed = |id: &str| {
        let layouts = result["layouts"].as_array().unwrap();
        layouts.iter().find(|check| check["layout"] == id).unwrap()["failed"].to_string()
    };
    assert!(failed("declares-hotplug").contains("does not implement all of Hotplug"));
    assert!(failed("wrong-node").contains("has node 200, not"));
    assert!(failed("hides-index").contains("the footprint has 0 B of index tables"), "{}", failed("hides-index"));
    for id in BUILT_IN {
        assert!(maps.iter().filter(|check| check["layout"] == id).all(|check| check["status"] == "agrees"), "{id}");
        assert_eq!(failed(id), "[]", "{id}");
    }
}

#[test]
fn layouts_of_other_crates_are_listed() {
    let output = bad_layouts().args(["list", "--json"]).assert().success().get_output().stdout.clone();
    let listed: Value = serde_json::from_slice(&output).unwrap();
    let ids: Vec<&str> =
        listed["layouts"].as_array().unwrap().iter().filter_map(|layout| layout["id"].as_str()).collect();
    assert_eq!(ids[ids.len() - DEFECTIVE.len()..], DEFECTIVE);
}

#[test]
fn the_examples_run() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let output = example("race").args(["results", &map]).current_dir(&dir).assert().success().get_output().clone();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("pfn_valid/added/random subsection compared with vmemmap-section"), "{told}");
    let folder = dir.path().join(told.lines().last().unwrap());
    assert!(folder.join("SHA256SUMS").exists(), "the folder is complete");
    let looked_up = example("lookup").args(["0x100", map.as_str()]).assert().success().get_output().stdout.clone();
    assert!(String::from_utf8(looked_up).unwrap().contains(": valid, node 0"));
}

/// True if valgrind is installed; says so if not.
fn has_valgrind() -> bool {
    let found = std::process::Command::new("valgrind").arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: valgrind is not installed, so no instructions are counted");
    }
    found
}

#[test]
fn instructions_of_wrong_layouts_are_not_counted_and_those_of_others_are() {
    if !has_valgrind() {
        return;
    }
    let dir = folder();
    let mut command = bad_layouts();
    command.current_dir(&dir).args(["instructions", "-o", "counts.jsonl", "--json"]);
    command.args(["--layout", "flat", "--layout", "panics", "--layout", "no-record"]);
    let output = command.assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    for words in [
        ["panics was not counted", "this layout panics"],
        ["no-record was not counted: instructions/pfn_valid/boot/no-record", "too low for a record"],
    ] {
        assert!(told.lines().any(|line| words.iter().all(|word| line.contains(word))), "{words:?}: {told}");
    }
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = result["rows"].as_array().unwrap();
    assert!(rows.len() == 5 && rows.iter().all(|row| row["layout"] == "flat"), "{rows:?}");
    assert!(dir.path().join("counts.jsonl").exists());
}

#[test]
fn an_unknown_layout_is_not_counted() {
    let dir = folder();
    let mut command = bad_layouts();
    command.current_dir(&dir).args(["instructions", "--layout", "nobodys", "-o", "counts.jsonl"]);
    let output = command.assert().code(2).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("\"nobodys\"") && told.contains("subsection"), "{told}");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "nothing is written");
}

#[test]
fn counts_of_layouts_of_other_crates_are_held_against_limits() {
    if !has_valgrind() {
        return;
    }
    let dir = folder();
    let small = || {
        let mut command = example("small_records");
        command.current_dir(&dir);
        command
    };
    small().args(["instructions", "-o", "counts.jsonl", "--layout", "subsection-8b"]).assert().success();
    // Limits are for release builds. This one may be another, whose counts are as exact.
    let counts = dir.path().join("counts.jsonl");
    let text = std::fs::read_to_string(&counts).unwrap();
    std::fs::write(&counts, text.replace("\"profile\":\"debug\"", "\"profile\":\"release\"")).unwrap();
    small().args(["gate", "--limits", "limits.toml", "--write", "counts.jsonl"]).assert().success();
    let output = small().args(["gate", "--limits", "limits.toml", "counts.jsonl"]).assert().success();
    let told = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(told.contains("14 limits hold"), "{told}");
}

#[test]
fn records_of_8_bytes_are_verified_and_raced() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let mut command = example("small_records");
    command.current_dir(&dir).args(["run", "--tier", "smoke", "--map", &map, "-o", "results", "--json"]);
    command.args(["--layout", "subsection", "--layout", "subsection-8b"]);
    let output = command.assert().success().get_output().clone();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let needed = |id: &str| {
        let bytes = result["summary"]["bytes"].as_array().unwrap();
        bytes.iter().find(|usage| usage["layout"] == id).unwrap()["records_needed"].as_f64().unwrap()
    };
    assert_eq!(needed("subsection"), 8.0 * needed("subsection-8b"));
    let hotplug = result["summary"]["hotplug"].to_string();
    assert!(hotplug.contains("subsection-8b"), "{hotplug}");
}
