//! Completions, man pages, version and citation; and a binary that runs on its own.

mod common;

use common::{folder, pfnbench, skipped};
use regex::Regex;
use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use tempfile::TempDir;

fn printed(arguments: &[&str]) -> String {
    String::from_utf8(pfnbench().args(arguments).assert().success().get_output().stdout.clone()).unwrap()
}

/// Names of the commands, from the help.
fn verbs() -> Vec<String> {
    let verbs = commands_of(&["--help"]);
    assert!(["run", "gate", "man"].iter().all(|verb| verbs.iter().any(|known| known == verb)), "{verbs:?}");
    verbs
}

/// Names of the commands that a help page lists.
fn commands_of(args: &[&str]) -> Vec<String> {
    let help = printed(args);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let listed = Regex::new(r"^  ([a-z-]+)(?: |$)").unwrap();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    let verbs: Vec<String> = lines.filter_map(|line| Some(listed.captures(line)?[1].to_owned())).collect();
    verbs.into_iter().filter(|verb| verb != "help").collect()
}

fn is_there(program: &str) -> bool {
    Process::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Names and texts of the man pages.
fn man_pages() -> (TempDir, Vec<String>) {
    let dir = folder();
    pfnbench().args(["man", "--dir"]).arg(dir.path().join("man1")).assert().success().stdout("");
    let pages = fs::read_dir(dir.path().join("man1")).unwrap();
    let mut names: Vec<String> = pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    (dir, names)
}

#[test]
fn every_command_has_a_man_page() {
    let (dir, names) = man_pages();
    let mut expected: Vec<String> = verbs().iter().map(|verb| format!("pfnbench-{verb}.1")).collect();
    expected.push("pfnbench.1".to_owned());
    for (group, at_least) in [("namespace", 10), ("kernel", 3)] {
        let commands = commands_of(&[group, "--help"]);
        assert!(commands.len() >= at_least, "{commands:?}");
        expected.extend(commands.iter().map(|command| format!("pfnbench-{group}-{command}.1")));
    }
    expected.sort();
    assert_eq!(names, expected);
    let whole = fs::read_to_string(dir.path().join("man1/pfnbench.1")).unwrap();
    assert_eq!(whole, printed(&["man"]));
    for verb in verbs() {
        let escaped = verb.replace('-', "\\-");
        assert!(whole.contains(&format!("pfnbench\\-{escaped}(1)")), "{verb} is missing in: {whole}");
    }
    for name in names {
        let page = fs::read_to_string(dir.path().join("man1").join(&name)).unwrap();
        let sections: Vec<&str> = page.split("\n.SH ").skip(1).collect();
        assert!(sections.len() >= 4, "{name}: {page}");
        for section in sections {
            let (heading, text) = section.split_once('\n').unwrap_or((section, ""));
            assert!(!text.trim().is_empty(), "{name}: the section {heading} is empty");
        }
    }
}

#[test]
fn man_pages_format_without_warnings() {
    let (dir, names) = man_pages();
    let typesetters: [&[&str]; 3] = [
        &["groff", "-man", "-ww", "-z", "-Tutf8"],
        &["mandoc", "-Tlint", "-Wwarning"],
        &["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"],
    ];
    for typesetter in typesetters {
        if !is_there(typesetter[0]) {
            skipped(&format!("man pages: {} is not installed", typesetter[0]));
            continue;
        }
        for name in &names {
            let mut command = Process::new(typesetter[0]);
            command.args(&typesetter[1..]).arg(dir.path().join("man1").join(name)).env("LC_ALL", "C.UTF-8");
            let output = command.stdin(Stdio::null()).output().unwrap();
            let said =
                String::from_utf8(if typesetter[0] == "mandoc" { output.stdout } else { output.stderr }).unwrap();
            // Ignores warnings about lists of values, which clap_mangen causes. The exit code of
            // mandoc is that of its worst warning.
            let said: Vec<&str> = said.lines().filter(|line| !line.contains("skipping paragraph macro: br")).collect();
            assert!(said.is_empty(), "{} {name}: {said:#?}", typesetter[0]);
            assert!(
                output.status.success() || typesetter[0] == "mandoc",
                "{} {name}: {}",
                typesetter[0],
                output.status
            );
        }
    }
}

#[test]
fn man_pages_that_cannot_be_written_are_refused() {
    let dir = folder();
    common::refused(&dir, pfnbench().args(["man", "--dir", "/proc/nowhere"]), &["man pages", "/proc/nowhere"]);
}

#[test]
fn completions_contain_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for verb in verbs() {
            assert!(Regex::new(&format!(r"\b{verb}\b")).unwrap().is_match(&script), "{shell}: {verb}");
        }
    }
}

#[test]
fn shells_load_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        if !is_there(shell) {
            skipped(&format!("completions of {shell}: it is not installed"));
            continue;
        }
        let dir = folder();
        let script = common::file(&dir, "completions", &printed(&["completions", shell]));
        let output = Process::new(shell).args(["-n", &script]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
}

#[test]
fn the_version_contains_the_commit() {
    let version = printed(&["--version"]);
    let form = format!(r"^pfnbench {} \(([0-9a-f]{{7,40}}(-dirty)?|unknown)\)\n$", env!("CARGO_PKG_VERSION"));
    assert!(Regex::new(&form).unwrap().is_match(&version), "{version:?}");
}

#[test]
fn the_citation_has_the_current_version() {
    let citation = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../CITATION.cff")).unwrap();
    let value = |key: &str| {
        let mut values = citation.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = values.next().unwrap_or_else(|| panic!("CITATION.cff has no {key}")).trim();
        assert_eq!(values.next(), None, "{key} occurs twice");
        value.trim_matches('"')
    };
    assert_eq!((value("cff-version"), value("version")), ("1.2.0", env!("CARGO_PKG_VERSION")));
    assert_eq!((value("title"), value("type")), ("pfnbench", "software"));
    for key in ["message", "abstract", "authors", "license", "keywords"] {
        value(key);
    }
    for license in env!("CARGO_PKG_LICENSE").split(" OR ") {
        assert!(citation.contains(&format!("\n  - {license}\n")), "{license}");
    }
}

#[test]
fn the_binary_runs_without_the_repository() {
    let dir = folder();
    let (bin, empty) = (dir.path().join("bin"), dir.path().join("empty"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&empty).unwrap();
    // Another process copies it: while this process has the file open for writing, a concurrent
    // fork would make it fail to run (ETXTBSY).
    let copied = Process::new("cp").arg(env!("CARGO_BIN_EXE_pfnbench")).arg(&bin).status();
    assert!(copied.unwrap().success());
    for (arguments, expected) in [
        (&["list"][..], "FLATMEM"),
        (&["verify", "--map", "builtin:surface-pro-7-16g"], "agrees with the oracle"),
        (&["completions", "bash"], "complete"),
        (&["man"], ".TH pfnbench"),
        (&["schema"], "json-schema.org"),
    ] {
        let mut command = assert_cmd::Command::new(bin.join("pfnbench"));
        command.args(arguments).env_clear().env("HOME", &empty).current_dir(&empty);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.assert().success().stdout(predicates::str::contains(expected)).stderr("");
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "{arguments:?} left files behind");
    }
}
