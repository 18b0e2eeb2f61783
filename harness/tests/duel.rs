//! Duels of a build with itself, and with programs that are not workers, use another protocol, die
//! or hang.

mod common;

use common::{SMALL_MAP, file, folder, json, pfnbench, refused};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

/// A duel of two programs on a small map.
fn duel(dir: &TempDir, old: &str, new: &str, more: &[&str]) -> assert_cmd::Command {
    let map = file(dir, "small.txt", SMALL_MAP);
    let mut command = pfnbench();
    command.current_dir(dir).args(["duel", old, new, "--map", &map, "--op", "pfn_valid"]);
    command.args(["--layout", "subsection", "--layout", "vmemmap-section", "--no-instructions"]).args(more);
    command
}

/// Path of the program under test.
fn this() -> &'static str {
    env!("CARGO_BIN_EXE_pfnbench")
}

/// Writes a shell script, and returns its path.
fn script(dir: &TempDir, name: &str, lines: &str) -> String {
    let path = file(dir, name, &format!("#!/bin/sh\n{lines}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_build_against_itself_is_judged_case_by_case() {
    let dir = folder();
    let assert = duel(&dir, this(), this(), &["--pairs", "5", "--json"]).assert();
    // On a busy machine there may be no verdict, but a program must not be slower than itself.
    let output = assert.get_output();
    assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts = result["verdicts"].as_array().unwrap();
    assert!(verdicts.len() >= 8, "{result}");
    for record in verdicts {
        assert!(["equal", "undecided"].contains(&record["verdict"].as_str().unwrap()), "{record}");
        assert!(
            record["old"].as_f64().unwrap() > 0.0 && record["new"].as_f64().unwrap() > 0.0 && record["ratio"].is_f64(),
            "{record}"
        );
        if cfg!(target_arch = "x86_64") {
            assert_eq!(record["code"], "same", "{record}");
        }
    }
    assert!(result["new_layouts"].as_array().unwrap().is_empty() && result["pairs"] == 5);
    assert!(fs::read_dir(dir.path()).unwrap().count() == 1, "a duel leaves nothing");
}

#[test]
fn a_duel_prints_a_table_or_markdown() {
    let dir = folder();
    let said = |more: &[&str]| {
        let few = ["--pairs", "1", "--all-cases", "--filter", "^pfn_valid/added/random/"];
        let output = duel(&dir, this(), this(), &[&few[..], more].concat()).assert().code(2);
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let plain = said(&[]);
    assert!(plain.contains("Verdicts need 5 pairs of workers; there are 1.") && plain.contains("undecided"), "{plain}");
    let markdown = said(&["--markdown"]);
    assert!(markdown.contains("| case | old | new | verdict | ratio | instructions | code |\n| --- |"), "{markdown}");
    assert!(markdown.contains("| pfn_valid/added/random/subsection |"), "{markdown}");
}

/// All layouts together reserve more address space than valgrind provides, so they are counted in
/// groups.
#[test]
fn instructions_of_all_layouts_are_counted() {
    if std::process::Command::new("valgrind").arg("--version").output().is_err() {
        common::skipped("valgrind is not installed");
        return;
    }
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let filter = "^pfn_valid/(boot|added)/random/[a-z0-9-]+$";
    let mut command = pfnbench();
    command.current_dir(&dir).args([
        "duel",
        this(),
        this(),
        "--map",
        &map,
        "--pairs",
        "1",
        "--json",
        "--filter",
        filter,
    ]);
    let output = command.assert().code(2).get_output().stdout.clone();
    let result: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(result["instructions_not_counted"], Value::Null, "{result}");
    let verdicts = result["verdicts"].as_array().unwrap();
    assert!(verdicts.len() >= 13, "too few cases: {result}");
    for verdict in verdicts {
        let counts = &verdict["instructions"];
        assert!(counts[0].is_number() && counts[0] == counts[1], "the counts of one build differ: {verdict}");
    }
    // The sub-section map costs instructions.
    let count = |layout: &str| {
        let is_case = |row: &&Value| row["case"] == "pfn_valid/added/random" && row["layout"] == layout;
        verdicts.iter().find(is_case).unwrap()["instructions"][0].as_f64().unwrap()
    };
    let (with, without) = (count("subsection"), count("vmemmap-section"));
    assert!(without > 3.0 && with > without + 5.0, "{with} {without}");
}

#[test]
fn programs_that_are_not_workers_are_refused_with_a_reason() {
    let dir = folder();
    let against = |program: &str, words: &[&str]| {
        refused(&dir, &mut duel(&dir, this(), program, &["--pairs", "1"]), words);
        refused(&dir, &mut duel(&dir, program, this(), &["--pairs", "1"]), &["old"]);
    };
    refused(&dir, &mut duel(&dir, this(), "nowhere", &[]), &["\"nowhere\" is neither a program nor a commit"]);
    let other = script(&dir, "other", "cat > /dev/null; echo '{\"protocol\":999}'");
    against(&other, &["new", "does not speak version 1", "speaks version 999"]);
    let older = script(&dir, "older", "echo \"error: unrecognized subcommand 'duel-worker'\" >&2; exit 2");
    against(&older, &["does not speak version 1", "unrecognized subcommand"]);
    let chatty = script(&dir, "chatty", "cat > /dev/null; echo hello");
    against(&chatty, &["not JSON"]);
    let dying = script(&dir, "dying", "cat > /dev/null; echo boom >&2; exit 3");
    against(&dying, &["ended with exit status: 3", "boom"]);
    // Closes its output without a word, and hangs.
    let silent = script(&dir, "silent", "exec > /dev/null; exec sleep 600");
    refused(
        &dir,
        &mut duel(&dir, this(), &silent, &["--pairs", "1", "--time-limit", "2"]),
        &["new made no progress for 2 s"],
    );
}

/// A worker that sends its hello message, and then hangs or ends.
#[test]
fn a_worker_that_hangs_or_crashes_ends_the_duel() {
    let dir = folder();
    let worker = |name: &str, then: &str| {
        // Prints the hello message of a real worker. A shell redirects the standard input of
        // background processes, so the input is passed as another descriptor; low numbers belong to
        // the arena.
        let lines = format!(
            "exec 9<&0\n'{}' \"$@\" <&9 > \"$0.out\" 2> /dev/null &\npid=$!\n\
             while ! [ -s \"$0.out\" ]; do sleep 0.05; done\nsleep 0.5\nkill -9 $pid\ncat \"$0.out\"\n{then}",
            this()
        );
        script(&dir, name, &lines)
    };
    let started = std::time::Instant::now();
    let hanging = worker("hanging", "exec sleep 600");
    let assert = duel(&dir, this(), &hanging, &["--pairs", "1", "--time-limit", "20"]).assert().code(2);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("new made no progress for 20 s while measuring"), "{said}");
    let crashing = worker("crashing", "exit 7");
    let assert = duel(&dir, this(), &crashing, &["--pairs", "1"]).assert().code(2);
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("new ended with exit status: 7 while measuring"), "{said}");
    assert!(started.elapsed().as_secs() < 500, "the duel waited for a worker that hangs");
}

#[test]
fn invalid_duel_arguments_are_refused() {
    let dir = folder();
    for (more, words) in [
        (&["--pairs", "0"][..], &["--pairs"][..]),
        (&["--margin", "0"], &["0.1 to 50 %"]),
        (&["--layout", "holey"], &["holey"]),
        (&["--filter", "no_such_case"], &["selects no case"]),
        (&["--filter", "/cold"], &["cached tables"]),
    ] {
        refused(&dir, &mut duel(&dir, this(), this(), more), words);
    }
    let listed = json(pfnbench().args(["list", "--json"]));
    assert!(listed["layouts"].as_array().unwrap().len() >= 7);
}

/// Building a commit takes minutes, so a fake cargo copies the program under test instead.
#[test]
fn a_commit_is_built_once_and_the_work_tree_is_unchanged() {
    let dir = folder();
    let git = |args: &[&str]| {
        let command = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args)
            .current_dir(&dir)
            .output();
        command.ok().filter(|output| output.status.success())
    };
    let made = [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "one"], &["tag", "v1"]];
    if made.into_iter().any(|args| git(args).is_none()) {
        eprintln!("skipped: git is not installed");
        return;
    }
    fs::write(dir.path().join("mine.txt"), "not committed").unwrap();
    fs::create_dir(dir.path().join("bin")).unwrap();
    let lines = format!(
        "pwd >> '{0}/built'\nmkdir -p \"$CARGO_TARGET_DIR/release\"\ncp '{1}' \"$CARGO_TARGET_DIR/release/pfnbench\"",
        dir.path().display(),
        this()
    );
    script(&dir, "bin/cargo", &lines);
    let path = format!("{}/bin:{}", dir.path().display(), std::env::var("PATH").unwrap());
    for _ in 0..2 {
        let mut command = duel(&dir, "v1", "HEAD", &["--pairs", "1", "--filter", "^pfn_valid/added/random/", "--json"]);
        let output = command.env("PATH", &path).assert().code(2).get_output().stdout.clone();
        let result: Value = serde_json::from_slice(&output).unwrap();
        assert!(result["old"]["name"].as_str().unwrap().starts_with("v1 ("), "{}", result["old"]);
        assert!(!result["verdicts"].as_array().unwrap().is_empty());
    }
    let built = fs::read_to_string(dir.path().join("built")).unwrap();
    assert_eq!(built.lines().count(), 1, "the commit was built more than once: {built}");
    assert!(built.contains("target/duel/"), "the commit was built outside target/duel: {built}");
    let trees = git(&["worktree", "list"]).unwrap().stdout;
    assert_eq!(String::from_utf8(trees).unwrap().lines().count(), 1, "a work tree was left behind");
    assert_eq!(fs::read_to_string(dir.path().join("mine.txt")).unwrap(), "not committed");
}

#[test]
fn maps_are_ranked_and_unusable_ones_listed() {
    let dir = folder();
    let few = [
        "--pairs",
        "1",
        "--no-instructions",
        "--layout",
        "subsection",
        "--filter",
        "^pfn_valid/boot/random/subsection$",
    ];
    let mut command = pfnbench();
    let output =
        command.current_dir(&dir).args(["duel", this(), this(), "--maps", "all", "--json"]).args(few).assert().code(2);
    let result: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let maps: Vec<&str> =
        result["maps"].as_array().unwrap().iter().map(|ranked| ranked["map"].as_str().unwrap()).collect();
    assert!(maps.len() > 20 && maps.contains(&"amd-genoa-2s-1536g"), "{maps:?}");
    let verdicts = result["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), maps.len());
    assert!(verdicts.iter().all(|verdict| verdict["verdict"] == "undecided"), "one pair gave a verdict");
    assert!(verdicts.iter().any(|verdict| verdict["old"].as_f64() > Some(0.0)), "{verdicts:?}");
    let left_out = result["reasons"].as_array().unwrap();
    // Maps whose RAM was all added are raced, but have no case on boot memory.
    let reasons = ["has no boot memory", "physical address bits", "share no case on this map"];
    let is_told = |reason: &str| reasons.iter().any(|known| reason.contains(known));
    assert!(left_out.iter().all(|reason| is_told(reason.as_str().unwrap())), "{left_out:?}");
}
