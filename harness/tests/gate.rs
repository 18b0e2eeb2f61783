//! `pfnbench gate`.

use assert_cmd::Command;
use pfnbench::record::instructions::{FILE_NAME, InstructionRow, Toolchain, cases, write};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with counts of every case, and limits made from them.
struct Scene {
    dir: TempDir,
}

fn toolchain() -> Toolchain {
    Toolchain {
        rustc: "1.95.0".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        profile: "release".to_owned(),
        rustflags: String::new(),
    }
}

fn counts(value: f64) -> Vec<InstructionRow> {
    let row = |case| InstructionRow { value, ..InstructionRow::new(case, 0, 1024, &toolchain()) };
    cases().iter().map(row).collect()
}

impl Scene {
    fn new() -> Self {
        let scene = Self { dir: tempfile::tempdir().unwrap() };
        scene.count(&counts(7.0));
        scene.gate(&["--write"]).success().stdout(contains("limits for 1.95.0-x86_64-unknown-linux-gnu"));
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn count(&self, rows: &[InstructionRow]) {
        write(&self.path(FILE_NAME), rows).unwrap();
    }

    /// Runs the gate on the limits and counts of the scene.
    fn gate(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        let limits = self.path("limits.toml");
        let mut command = pfnbench();
        command.arg("gate").arg("--limits").arg(limits).arg(self.path(FILE_NAME)).args(arguments).assert()
    }

    fn edit_limits(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("limits.toml")).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.path("limits.toml"), text.replace(from, to)).unwrap();
    }
}

fn pfnbench() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pfnbench"));
    // The gate starts no program, so PATH does not matter.
    command.env("PATH", "/nowhere").env_remove("CARGO_TARGET_DIR");
    command
}

#[test]
fn counts_equal_to_their_limits_hold() {
    let scene = Scene::new();
    scene.gate(&[]).success().stdout(contains(format!("{} limits hold, 0 exceeded", cases().len())));
    // A folder with the file is accepted too.
    pfnbench().arg("gate").arg("--limits").arg(scene.path("limits.toml")).arg(scene.dir.path()).assert().success();
}

#[test]
fn a_count_just_above_its_limit_fails_and_is_named() {
    let scene = Scene::new();
    let mut rows = counts(7.0);
    rows[1].value += 1.0 / 1024.0;
    scene.count(&rows);
    let line = format!("{:<36} limit 7, measured 7.0009765625, difference +0.0009765625", rows[1].limit_name());
    scene.gate(&[]).code(1).stdout(contains(line).and(contains("1 exceeded")));
    let output = scene.gate(&["--json"]).code(1).get_output().stdout.clone();
    let json: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(json["answer"], "exceeded");
    let exceeded = &json["judgement"]["exceeded"][0];
    assert_eq!((&exceeded["name"], &exceeded["limit"]), (&rows[1].limit_name().into(), &7.0.into()));
    assert_eq!((&exceeded["measured"], &exceeded["difference"]), (&rows[1].value.into(), &(1.0 / 1024.0).into()));
}

#[test]
fn counts_below_their_limits_hold_and_are_listed() {
    let scene = Scene::new();
    scene.count(&counts(6.0));
    scene.gate(&[]).success().stdout(contains("--write lowers the limits").and(contains("difference -1")));
    scene.gate(&["--write"]).success();
    scene.gate(&[]).success().stdout(contains("--write").not());
}

#[test]
fn counts_that_cannot_be_judged_exit_with_2() {
    let scene = Scene::new();
    scene.count(&counts(7.0)[1..]);
    scene.gate(&[]).code(2).stderr(contains("no counts of pfn_valid/boot/flat"));
    scene.gate(&["--json"]).code(2).stdout(contains("cannot judge"));
    scene.count(&[]);
    scene.gate(&[]).code(2).stderr(contains("no counts to judge"));
    scene.gate(&["--write"]).code(2).stderr(contains("no counts to judge"));
    let mut other = counts(7.0);
    other.iter_mut().for_each(|row| row.toolchain.rustc = "1.96.0".to_owned());
    scene.count(&other);
    let says = contains("no limits for 1.96.0-x86_64-unknown-linux-gnu").and(contains("there are some for 1.95.0-x86"));
    scene.gate(&[]).code(2).stderr(says);
    other.iter_mut().for_each(|row| row.toolchain.rustflags = "-C target-cpu=native".to_owned());
    scene.count(&other);
    scene.gate(&[]).code(2).stderr(contains("-C target-cpu=native"));
}

#[test]
fn a_case_without_a_limit_holds_and_is_listed() {
    let scene = Scene::new();
    scene.edit_limits("\"pfn_valid/boot/flat\" = 7\n", "");
    scene.gate(&[]).success().stdout(contains("Cases without a limit; --write adds one: pfn_valid/boot/flat"));
}

#[test]
fn malformed_files_are_shown_with_line_and_caret() {
    let scene = Scene::new();
    scene.edit_limits("\"pfn_valid/boot/flat\" = 7\n", "\"pfn_vaild/boot/flat\" = 7\n");
    let says = contains("limits.toml:2: there is no operation \"pfn_vaild\"; there are pfn_valid, ");
    scene.gate(&[]).code(2).stderr(says);
    scene.gate(&["--write"]).code(2).stderr(contains("limits.toml:2: "));
    let picture = "\n  |\n2 | \"pfn_vaild/boot/flat\" = 7\n  | ^^^^^^^^^^^^^^^^^^^^^\n";
    scene.gate(&[]).code(2).stderr(contains(picture));
    scene.edit_limits("\"pfn_vaild/boot/flat\" = 7\n", "\"pfn_valid/boot/flat\" = -7\n");
    let picture = "\n  |\n2 | \"pfn_valid/boot/flat\" = -7\n  |                         ^^\n";
    scene.gate(&[]).code(2).stderr(contains("limits.toml:2: ").and(contains(picture)));
    scene.edit_limits("\"pfn_valid/boot/flat\" = -7\n", "\"pfn_valid/boot/flat\" = seven\n");
    let error = "limits.toml: TOML parse error at line 2, column 25\n";
    let picture = "  |\n2 | \"pfn_valid/boot/flat\" = seven\n  |                         ^^^^^\n";
    scene.gate(&[]).code(2).stderr(contains(format!("{error}{picture}")));
    fs::write(scene.path(FILE_NAME), "\n{\"v\":1}\n").unwrap();
    scene.gate(&[]).code(2).stderr(contains("instructions.jsonl:2: not a row"));
    fs::write(scene.path(FILE_NAME), [0xff, 0xfe]).unwrap();
    scene.gate(&[]).code(2).stderr(contains("instructions.jsonl: "));
}

#[test]
fn missing_files_are_named() {
    let scene = Scene::new();
    fs::remove_file(scene.path("limits.toml")).unwrap();
    scene.gate(&[]).code(2).stderr(contains("limits.toml: No such file"));
    fs::remove_file(scene.path(FILE_NAME)).unwrap();
    scene.gate(&[]).code(2).stderr(contains("instructions.jsonl: No such file"));
    let says = contains("cargo bench --bench instructions writes it");
    pfnbench().arg("gate").current_dir(scene.dir.path()).assert().code(2).stderr(says);
}

#[test]
fn the_committed_limits_cover_every_case() {
    let limits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/limits.toml");
    // A new layout may have no limits yet.
    let judgement = pfnbench::analysis::limits::LimitsFile::read(&limits).unwrap().judge(&counts(0.0)).unwrap();
    assert!(judgement.held > 0 && judgement.not_counted.is_empty(), "{judgement:?}");
}
