//! Output on a terminal: colours, widths and progress.

mod common;

use assert_cmd::Command;
use common::{folder, reference_run, skipped};

const ESCAPE: char = '\u{1b}';

/// The output of the command on a terminal of 120 columns; `None` if `script` is not available.
fn on_a_terminal(arguments: &str, no_color: Option<&str>) -> Option<String> {
    on_a_terminal_of((120, 24), arguments, &[("NO_COLOR", no_color)])
}

/// The output of the command on a terminal of a size in columns and rows, with environment variables that are set
/// or removed.
fn on_a_terminal_of(
    (columns, rows): (u32, u32),
    arguments: &str,
    variables: &[(&str, Option<&str>)],
) -> Option<String> {
    let known = std::process::Command::new("script").arg("--version").output();
    if !known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("util-linux")) {
        skipped("colours: script of util-linux is not installed");
        return None;
    }
    let dir = folder();
    let line = format!("stty cols {columns} rows {rows}; exec '{}' {arguments}", env!("CARGO_BIN_EXE_pfnbench"));
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(&dir);
    command.timeout(std::time::Duration::from_secs(60));
    command.env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PAGER", "COLUMNS"] {
        command.env_remove(name);
    }
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.len() > 100, "{arguments}: {said} {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() || arguments == "frobnicate", "{arguments}: {said}");
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
        let Some(said) = on_a_terminal("list", no_color) else { return };
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

/// The lines that a terminal shows, without colours.
fn lines(said: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut letters = said.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ESCAPE => {
                letters.by_ref().find(char::is_ascii_alphabetic);
            }
            '\r' => {}
            letter => plain.push(letter),
        }
    }
    plain.lines().map(str::to_owned).collect()
}

/// A run ends with its finding on the screen, whatever the width.
#[test]
fn the_summary_of_a_run_fits_the_screen() {
    let show = format!("show '{}' --summary", reference_run().display());
    for columns in [60, 80, 100, 120, 200] {
        let Some(said) = on_a_terminal_of((columns, 24), &show, &[]) else { return };
        let lines = lines(&said);
        let is_path = |line: &str| line.starts_with("run ") || line.starts_with("report ");
        for line in lines.iter().filter(|line| !is_path(line)) {
            assert!(line.chars().count() <= columns as usize, "{columns}: {line}");
        }
        let rows: usize = lines.iter().map(|line| line.chars().count().max(1).div_ceil(columns as usize)).sum();
        assert!(rows <= 23, "{rows} rows of {columns} columns:\n{}", lines.join("\n"));
        let text = lines.join(" ");
        assert!(text.trim_end().ends_with("ns)."), "the finding is last: {text}");
        for layout in ["flat", "segments", "sparse", "vmemmap-section", "subsection-v6", "linux-5.2", "dax-x86"] {
            assert!(text.contains(layout), "{layout}: {text}");
        }
    }
}

#[test]
fn every_command_is_readable_at_any_width() {
    let run = reference_run();
    let (run, compare) = (run.display(), format!("compare '{}'", run.display()));
    let commands =
        [format!("show '{run}'"), format!("show '{run}' --summary"), compare, "list".to_owned(), "doctor".to_owned()];
    for columns in [1, 7, 20, 40, 59, 60, 73, 100] {
        for arguments in &commands {
            let Some(said) = on_a_terminal_of((columns, 24), arguments, &[("PAGER", Some("cat"))]) else { return };
            for line in lines(&said) {
                let width = line.chars().count();
                // A word that is longer than the line stays whole.
                let is_one_word = line.split_whitespace().count() <= 2;
                assert!(width <= columns as usize || is_one_word || columns < 20, "{columns}, {arguments}: {line}");
                let is_row = line.starts_with(['│', '┌', '└', '╞']);
                assert!(!is_row || columns >= 60, "{columns}, {arguments}: a table: {line}");
            }
        }
    }
}

#[test]
fn unusual_terminals_and_pagers_are_borne() {
    let show = format!("show '{}'", reference_run().display());
    for variables in [
        &[("TERM", Some("dumb")), ("PAGER", Some("cat"))][..],
        &[("COLUMNS", Some("0")), ("PAGER", Some(""))],
        &[("LC_ALL", None), ("LANG", None), ("PAGER", Some("cat"))],
        &[("PAGER", Some("pfnbench-has-no-such-pager")), ("TERM", Some("dumb"))],
        &[("PAGER", Some("cat -u"))],
    ] {
        let Some(said) = on_a_terminal_of((80, 24), &show, variables) else { return };
        assert!(said.contains("pfn_valid") && !said.contains("panicked"), "{variables:?}: {said}");
        let is_plain = variables.contains(&("TERM", Some("dumb")));
        assert!(!is_plain || !said.contains(ESCAPE), "{variables:?}: {}", said.escape_debug());
        if variables[0].1 == Some("pfnbench-has-no-such-pager") {
            assert!(said.contains("cannot be started"), "{said}");
        }
    }
}

/// Ctrl-C reaches the pager and pfnbench, which waits for it.
#[test]
fn ctrl_c_is_left_to_the_pager() {
    let show = format!("show '{}'", reference_run().display());
    let pager = "sh -c 'trap : INT; cat > /dev/null; kill -INT 0; sleep 0.3; printf \"%0100d the pager ended\" 0'";
    let Some(said) = on_a_terminal_of((80, 24), &show, &[("PAGER", Some(pager))]) else { return };
    assert!(said.contains("the pager ended"), "{}", said.escape_debug());
}

/// A run shows what it found so far, and ends with a screen that fits.
#[test]
fn a_run_shows_its_progress_and_its_summary() {
    let arguments =
        "run --tier smoke --records-limit 64M --map builtin:vm-20g -o . --layout linux-5.2 --layout linux-6.1";
    for columns in [60, 80, 100, 120, 200] {
        let Some(said) = on_a_terminal_of((columns, 24), arguments, &[("NO_COLOR", Some("1"))]) else { return };
        for part in ["no ratio yet", "left", "(1 of 5 processes)", "so far: added "] {
            assert!(said.contains(part), "{columns}: {part}: {}", said.escape_debug());
        }
        // After the last redrawn line of the progress.
        let screen = lines(&said[said.rfind("vm-20g: ").unwrap()..]);
        let is_path = |line: &str| line.starts_with("run ") || line.starts_with("report ");
        let is_too_long = |line: &&String| line.chars().count() > columns as usize && !is_path(line);
        assert_eq!(screen.iter().find(is_too_long), None, "{columns}");
        let rows: usize = screen.iter().map(|line| line.chars().count().max(1).div_ceil(columns as usize)).sum();
        assert!(rows <= 23, "{columns}: {rows} rows:\n{}", screen.join("\n"));
        let text = screen.join(" ");
        assert!(text.contains("linux-6.1") && text.contains("pfn_valid with sub-sections"), "{columns}: {text}");
    }
}

#[test]
fn a_pipe_gets_no_escape_sequences() {
    for arguments in [&["doctor"][..], &["--help"], &["compare", reference_run().to_str().unwrap()]] {
        let output = common::pfnbench().args(arguments).env_remove("NO_COLOR").output().unwrap();
        assert!(!String::from_utf8(output.stdout).unwrap().contains(ESCAPE), "{arguments:?}");
    }
}
