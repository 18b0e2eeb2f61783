//! Output on a terminal: colours, widths and progress.

mod common;

use assert_cmd::Command;
use common::{folder, reference_run, skipped};

const ESCAPE: char = '\u{1b}';

/// The output of the command on a terminal of 120 columns; `None` if `script` is not available.
fn on_a_terminal(arguments: &str, no_color: Option<&str>) -> Option<String> {
    let known = std::process::Command::new("script").arg("--version").output();
    if !known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("util-linux")) {
        skipped("colours: script of util-linux is not installed");
        return None;
    }
    let dir = folder();
    let line = format!("stty cols 120; exec '{}' {arguments}", env!("CARGO_BIN_EXE_pfnbench"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(&dir);
    command.timeout(std::time::Duration::from_secs(60));
    command.env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.len() > 100, "{arguments}: {said} {}", String::from_utf8_lossy(&output.stderr));
    Some(said)
}

/// Arguments of commands whose output has colours or bold text.
fn coloured() -> [String; 5] {
    let compare = format!("compare '{}'", reference_run().display());
    ["doctor", &compare, "--help", "run --help", "frobnicate"].map(str::to_owned)
}

#[test]
fn a_terminal_gets_colours() {
    for arguments in coloured() {
        for no_color in [None, Some("")] {
            let Some(said) = on_a_terminal(&arguments, no_color) else { return };
            assert!(said.contains(ESCAPE), "{arguments}: {said}");
        }
    }
}

#[test]
fn a_terminal_gets_no_escape_sequences_with_no_color() {
    for arguments in coloured().iter().map(String::as_str).chain(["list", "map builtin:scattered-64"]) {
        let Some(said) = on_a_terminal(arguments, Some("1")) else { return };
        assert!(!said.contains(ESCAPE), "{arguments}: {}", said.escape_debug());
    }
}

#[test]
fn tables_fit_the_terminal_with_and_without_colours() {
    for no_color in [None, Some("1")] {
        let Some(said) = on_a_terminal("doctor", no_color) else { return };
        let mut rows = said.lines().filter(|line| line.starts_with(['┌', '└']));
        assert!(rows.all(|line| (80..=120).contains(&line.chars().count())), "{said}");
    }
}

#[test]
fn enabling_a_namespace_shows_progress_on_a_terminal() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let medium = dir.path().join("pmem0");
    let run = |verb: &str, arguments: &[&str]| {
        common::pfnbench().args(["namespace", verb]).arg(&medium).args(arguments).assert().success();
    };
    run("region", &["--size", "32G"]);
    run("create", &["--size", "32G", "--mode", "devdax"]);
    let Some(said) = on_a_terminal(&format!("namespace enable {} namespace0.0", medium.display()), None) else {
        return;
    };
    for part in ["ing records", "of 8,388,608 page frames", "left", "512 MiB on the medium"] {
        assert!(said.contains(part), "{part}: {}", said.escape_debug());
    }
}

#[test]
fn a_pipe_gets_no_escape_sequences() {
    for arguments in [&["doctor"][..], &["--help"], &["compare", reference_run().to_str().unwrap()]] {
        let output = common::pfnbench().args(arguments).env_remove("NO_COLOR").output().unwrap();
        assert!(!String::from_utf8(output.stdout).unwrap().contains(ESCAPE), "{arguments:?}");
    }
}
