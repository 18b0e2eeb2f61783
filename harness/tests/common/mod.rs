//! Helpers of the command line tests.
#![allow(dead_code, reason = "each test file uses a part")]

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A memory map with 320 MiB of RAM.
pub const SMALL_MAP: &str = "\
00001000-0009ffff : System RAM
00100000-13ffffff : System RAM
  01000000-01556eb4 : Kernel code
";

/// A `pfnbench` command without arguments.
pub fn pfnbench() -> Command {
    Command::cargo_bin("pfnbench").unwrap()
}

/// An empty temporary folder.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes a file to the folder, and returns its path.
pub fn file(dir: &TempDir, name: &str, contents: &str) -> String {
    let path = dir.path().join(name);
    fs::write(&path, contents).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs a command that must succeed, and returns its JSON output.
pub fn json(command: &mut Command) -> Value {
    let output = command.assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

/// A run of the tier smoke on [`SMALL_MAP`] in `dir`.
pub fn smoke(dir: &TempDir, more: &[&str]) -> Command {
    let map = file(dir, "small.txt", SMALL_MAP);
    let mut command = pfnbench();
    command.current_dir(dir).args(["run", "--tier", "smoke", "--records-limit", "64M", "--map", &map]).args(more);
    command
}

/// Asserts exit code 2, an error that contains the words, no output, and no new files in the
/// folder.
pub fn refused(dir: &TempDir, command: &mut Command, words: &[&str]) {
    let before: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let assert = command.current_dir(dir).assert().code(2);
    let output = assert.get_output();
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in: {said}");
    }
    let errors = said.lines().filter(|line| !line.contains("warning")).count();
    let may_be_long = ["Usage", "--help", "^"].iter().any(|mark| said.contains(mark));
    assert!(errors <= 1 || may_be_long, "the error has more than one line: {said}");
    assert!(output.stdout.is_empty());
    let after: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(after, before, "files were left behind");
}

/// Path of the committed reference run.
pub fn reference_run() -> PathBuf {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/reference");
    let folders =
        |dir: &Path| fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let runs = folders(&reference).flat_map(|machine| folders(&machine).collect::<Vec<_>>());
    runs.filter(|run| run.join("SHA256SUMS").is_file()).min().expect("a complete run in results/reference")
}

/// Reports a skipped test. Writes to standard error directly, because the test harness captures the
/// output of `eprintln!`.
pub fn skipped(what: &str) {
    let mut past = std::io::stderr();
    writeln!(past, "skipped: {what}").unwrap();
}

/// Waits for a child process. Kills it and panics after 60 s.
pub fn wait(child: &mut std::process::Child) -> std::process::ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the process did not end within 60 s");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
