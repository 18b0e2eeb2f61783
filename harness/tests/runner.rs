//! Runs that are interrupted, hang, die, or fill the disk: completed measurements are kept.

mod common;

use common::{SMALL_MAP, file, folder, json, pfnbench, refused, smoke, wait};
use pfnbench::record::files;
use pfnbench::record::instructions::{self, InstructionRow, Toolchain};
use pfnbench::record::reader::read_instructions;
use pfnbench::record::row::SCHEMA;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Run folders below `results`.
fn runs(dir: &Path) -> Vec<PathBuf> {
    let machines = fs::read_dir(dir.join("results")).into_iter().flatten().flatten();
    machines.flat_map(|machine| fs::read_dir(machine.path()).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

fn rows(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("samples.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Starts a run of the default tier on a small map, in the background.
fn begin(dir: &Path, more: &[&str]) -> Child {
    fs::write(dir.join("small.txt"), SMALL_MAP).unwrap();
    Process::new(env!("CARGO_BIN_EXE_pfnbench"))
        .args(["run", "--records-limit", "64M", "--map", "small.txt"])
        .args(more)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn interrupt(child: &Child) {
    let interrupted = Process::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success(), "it had ended already");
}

/// Child processes of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let list = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Waits until a run has stored measurements.
fn until_measured(dir: &Path) -> PathBuf {
    for _ in 0..6000 {
        let partial = runs(dir)
            .into_iter()
            .find(|run| fs::metadata(run.join("progress.jsonl")).is_ok_and(|progress| progress.len() > 0));
        if let Some(partial) = partial {
            return partial;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing was measured");
}

#[test]
fn ctrl_c_before_the_first_measurement_leaves_no_files() {
    for after in [30, 200] {
        let dir = folder();
        let mut child = begin(dir.path(), &[]);
        std::thread::sleep(Duration::from_millis(after));
        interrupt(&child);
        let status = wait(&mut child);
        // Without a signal handler yet, the signal ends the process.
        let by_signal = std::os::unix::process::ExitStatusExt::signal(&status) == Some(2);
        assert!(status.code() == Some(130) || by_signal, "after {after} ms: {status}");
        let measured = runs(dir.path()).iter().any(|run| run.join("progress.jsonl").exists());
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert!(measured || left == 1, "after {after} ms");
    }
}

#[test]
fn ctrl_c_keeps_measurements_and_resume_completes_the_run() {
    let dir = folder();
    let (_, counts) = instruction_counts(&dir, "counts.jsonl", &Toolchain::this());
    let only = "^(pfn_valid|next_valid_pfn)/.*(flat|subsection)$";
    let filter = ["--filter", only, "--processes", "2", "--instructions", &counts];
    let mut child = begin(dir.path(), &filter);
    let partial = until_measured(dir.path());
    interrupt(&child);
    assert_eq!(wait(&mut child).code(), Some(130));
    assert!(children(child.id()).is_empty());
    assert!(partial.to_string_lossy().ends_with(".partial") && !partial.join("SHA256SUMS").exists());
    let before = fs::read_to_string(partial.join("samples.jsonl")).unwrap();
    assert!(!before.is_empty());
    // A partial folder is not a run.
    refused(&dir, pfnbench().arg("compare").arg(&partial), &["not a complete run"]);

    let resumed = json(pfnbench().current_dir(&dir).args(["run", "--json", "--resume"]).arg(&partial));
    assert!(!partial.exists());
    let run = dir.path().join(resumed["run"].as_str().unwrap());
    let after = fs::read_to_string(run.join("samples.jsonl")).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len());
    assert!(run.join("SHA256SUMS").exists() && !run.join("progress.jsonl").exists() && !run.join("plan.json").exists());
    assert_eq!(fs::read(run.join(instructions::FILE_NAME)).unwrap(), fs::read(&counts).unwrap(), "as it was begun");
    // Every slice was measured once.
    let mut slices: Vec<String> = rows(&run)
        .iter()
        .filter(|row| row["metric"] == "time" && row["status"] == "ok")
        .map(|row| {
            let keys = [
                "process",
                "boot",
                "op",
                "mode",
                "memory",
                "pattern",
                "layout",
                "sample",
                "tables",
                "records",
                "population",
            ];
            keys.map(|key| row[key].to_string()).join(" ")
        })
        .collect();
    let count = slices.len();
    slices.sort();
    slices.dedup();
    assert_eq!(slices.len(), count);
    for process in [0, 1] {
        assert!(rows(&run).iter().any(|row| row["process"] == process && row["op"] == "next_valid_pfn"));
    }
    refused(&dir, pfnbench().args(["run", "--resume"]).arg(&run), &["cannot resume", "complete"]);
}

#[test]
fn runs_that_cannot_be_resumed_are_refused() {
    let dir = folder();
    refused(&dir, pfnbench().args(["run", "--resume", "nowhere"]), &["cannot resume nowhere", "plan.json"]);
    for other in [["--tier", "smoke"], ["--instructions", "x"]] {
        refused(&dir, pfnbench().args(["run", "--resume", "x"]).args(other), &["--resume", "--help"]);
    }
    let mut child = begin(dir.path(), &["--op", "pfn_valid"]);
    let partial = until_measured(dir.path());
    interrupt(&child);
    wait(&mut child);
    let plan = fs::read_to_string(partial.join("plan.json")).unwrap();
    let resume = |words: &[&str]| refused(&dir, pfnbench().args(["run", "--resume"]).arg(&partial), words);
    fs::write(partial.join("plan.json"), plan.replacen("\"machine_id\":\"", "\"machine_id\":\"other-", 1)).unwrap();
    resume(&["was started on machine other-"]);
    fs::write(partial.join("plan.json"), plan.replacen("\"commit\":\"", "\"commit\":\"0", 1)).unwrap();
    resume(&["resume it with that build"]);
}

/// Writes a file of counts, and returns the counts and its path.
fn instruction_counts(dir: &TempDir, name: &str, toolchain: &Toolchain) -> (Vec<InstructionRow>, String) {
    let rows: Vec<_> =
        instructions::cases().iter().map(|case| InstructionRow::new(case, 7168, 1024, toolchain)).collect();
    let path = dir.path().join(name);
    instructions::write(&path, &rows).unwrap();
    (rows, path.to_str().unwrap().to_owned())
}

#[test]
fn instruction_counts_are_stored_and_checksummed_with_the_run() {
    let dir = folder();
    let (rows, counts) = instruction_counts(&dir, "counts.jsonl", &Toolchain::this());
    // The parsed rows are written, not the file.
    fs::write(&counts, format!("\n{}\n", fs::read_to_string(&counts).unwrap())).unwrap();
    let assert = smoke(&dir, &["--json", "--filter", "^pfn_valid", "--instructions", &counts]).assert().success();
    let output = assert.get_output();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("the counts are of"), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = dir.path().join(result["run"].as_str().unwrap());
    assert_eq!(read_instructions(&run).unwrap(), rows);
    let written = fs::read(run.join("instructions.jsonl")).unwrap();
    assert_eq!(written, instructions::lines(&rows));
    let line = format!("{}  instructions.jsonl\n", files::sha256(&written));
    assert!(fs::read_to_string(run.join("SHA256SUMS")).unwrap().contains(&line));
    let manifest: Value = serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap();
    assert!(manifest["command"].as_str().unwrap().contains(" --instructions counts.jsonl"), "{manifest}");
    // The folder is accepted too; counts of another compiler cause a warning.
    let old = Toolchain { rustc: "1.0.0".to_owned(), ..Toolchain::this() };
    let other = dir.path().join("other");
    instruction_counts(&dir, "other/instructions.jsonl", &old);
    let other = other.to_str().unwrap();
    let assert = smoke(&dir, &["--json", "--filter", "^pfn_valid/boot/random", "--instructions", other]).assert();
    assert.success().stderr(contains("warning").and(contains("the counts are from a build by 1.0.0-")));
}

#[test]
fn unreadable_counts_are_refused_before_measuring() {
    let dir = folder();
    let (_, counts) = instruction_counts(&dir, "counts.jsonl", &Toolchain::this());
    let row = fs::read_to_string(&counts).unwrap();
    let twice = row.repeat(2);
    for (name, text, words) in [
        ("empty.jsonl", "\n", ["empty.jsonl", "the file has no rows"]),
        ("torn.jsonl", &row[..row.len() - 9], ["torn.jsonl:", "not a row"]),
        ("twice.jsonl", &twice[..], ["twice.jsonl:", "a second row"]),
    ] {
        let bad = file(&dir, name, text);
        refused(&dir, &mut smoke(&dir, &["--instructions", &bad]), &words);
    }
    refused(&dir, &mut smoke(&dir, &["--instructions", "nowhere.jsonl"]), &["nowhere.jsonl"]);
}

#[test]
fn a_case_beyond_its_time_limit_is_aborted_and_reported() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let mut command = pfnbench();
    // Hotplug of every layout takes much longer.
    command.current_dir(&dir).args(["run", "--records-limit", "64M", "--map", &map, "--case-timeout", "1"]);
    let assert = command.args(["--filter", "^hotplug|^own_cost"]).assert().code(1);
    assert.stderr(contains("not measured: hotplug").and(contains("timed out after 1 s")));
    let run = runs(dir.path()).pop().unwrap();
    assert!(run.join("SHA256SUMS").exists(), "the rest of the run is complete");
    let failed: Vec<Value> = rows(&run).into_iter().filter(|row| row["status"] == "error").collect();
    assert!(!failed.is_empty() && failed.iter().all(|row| row["value"].is_null()), "{failed:?}");
}

#[test]
fn a_process_that_dies_loses_only_its_case() {
    let dir = folder();
    let mut child = begin(dir.path(), &["--filter", "^pfn_valid|^hotplug/2MiB"]);
    until_measured(dir.path());
    let measuring = children(child.id());
    assert_eq!(measuring.len(), 1);
    assert!(Process::new("kill").args(["-KILL", &measuring[0].to_string()]).status().unwrap().success());
    assert_eq!(wait(&mut child).code(), Some(1));
    let run = runs(dir.path()).pop().unwrap();
    let rows = rows(&run);
    let failed: Vec<&Value> = rows.iter().filter(|row| row["status"] == "error").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0]["reason"].as_str().unwrap().contains("signal: 9"), "{failed:?}");
    assert!(rows.iter().any(|row| row["op"] == "hot_add" && row["status"] == "ok"), "what came after was measured");
}

#[test]
fn a_full_disk_ends_the_run_and_keeps_measurements() {
    let dir = folder();
    let mount = dir.path().join("full");
    fs::create_dir(&mount).unwrap();
    let mounted = Process::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount a tmpfs to fill up");
        return;
    }
    let map = file(&dir, "small.txt", SMALL_MAP);
    let output = mount.to_str().unwrap();
    let mut command = pfnbench();
    command.args(["run", "--records-limit", "64M", "--op", "pfn_valid", "--map", &map, "-o", output]);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        command.current_dir(&dir).assert().code(2).stderr(contains("no space left").and(contains("--resume")));
        let partial = fs::read_dir(&mount).unwrap().map(|machine| machine.unwrap().path()).next().unwrap();
        let partial = fs::read_dir(partial).unwrap().map(|run| run.unwrap().path()).next().unwrap();
        assert!(partial.to_string_lossy().ends_with(".partial"));
        let kept = rows(&partial);
        assert!(!kept.is_empty() && kept.iter().all(|row| row["v"] == SCHEMA), "whole rows only");
        // With free space, the run resumes.
        assert!(Process::new("mount").args(["-o", "remount,size=64m"]).arg(&mount).status().unwrap().success());
        let resumed = json(pfnbench().current_dir(&dir).args(["run", "--json", "--resume"]).arg(&partial));
        assert!(rows(&dir.path().join(resumed["run"].as_str().unwrap())).len() > kept.len());
    }));
    assert!(Process::new("umount").arg(&mount).status().unwrap().success());
    outcome.unwrap();
}

#[test]
fn a_layout_named_twice_is_compared_with_itself() {
    let dir = folder();
    let layouts = ["--layout", "subsection", "--layout", "subsection", "--filter", "^pfn_valid"];
    let result = json(&mut smoke(&dir, &[&["--json"][..], &layouts].concat()));
    assert_eq!(result["summary"]["layouts"], serde_json::json!(["subsection", "subsection#2", "no-check"]));
    for line in result["summary"]["lookups"].as_array().unwrap() {
        assert!(line["cells"][1]["ratio"].as_f64().unwrap() > 0.0, "{line}");
    }
}

#[test]
fn a_workload_is_read_from_a_file() {
    let dir = folder();
    let workload = "about = \"mine\"\n[[lookups]]\ntier = \"smoke\"\nmaps = [\"this-machine\", \"builtin:scattered-64\"]\n\
                    layouts = [\"subsection\", \"flat\"]\nops = [\"pfn_valid\"]\npatterns = [\"zipf\"]\n\
                    invalid_percent = [30]\n[[expect]]\nmap = \"builtin:scattered-64\"\npfn = 0\nspan = true\n\
                    section = false\nsubsection = false\n";
    let mine = file(&dir, "mine.toml", workload);
    let mut command = pfnbench();
    command.current_dir(&dir).args([
        "run",
        "--tier",
        "smoke",
        "--json",
        "--filter",
        "pfn_valid",
        "--records-limit",
        "64M",
    ]);
    let result = json(command.args(["--workload", &mine]));
    assert_eq!(result["other_maps"][0]["map"], "scattered-64");
    let line = &result["summary"]["lookups"][0];
    assert_eq!((&line["pattern"], &line["invalid_percent"]), (&"zipf".into(), &30.into()));
    pfnbench()
        .args(["list", "--cases", "--workload", &mine])
        .assert()
        .success()
        .stdout(contains("pfn_valid/boot/zipf/30%invalid/flat").and(contains("page_to_pfn").not()));
    let wrong = file(&dir, "wrong.toml", &workload.replace("section = false\nsub", "section = true\nsub"));
    refused(&dir, pfnbench().args(["run", "--workload", &wrong]), &["workload wrong", "whole sections"]);
    let unknown = file(&dir, "unknown.toml", &workload.replace("zipf", "zapf"));
    refused(
        &dir,
        pfnbench().args(["run", "--workload", &unknown]),
        &["unknown.toml: TOML parse error at line 7, column ", "^^^^", "`stride`"],
    );
    refused(&dir, pfnbench().args(["list", "--cases", "--workload", "no.toml"]), &["no.toml"]);
}

#[test]
fn a_filter_for_a_longer_tier_says_so() {
    let dir = folder();
    refused(&dir, smoke(&dir, &["--filter", "zipf"]).arg("--json"), &["selects no case", "--tier full"]);
}

/// A user can measure from the checkout of another user.
#[test]
fn without_a_writable_folder_the_run_goes_to_the_data_folder() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let (checkout, home) = (folder(), folder());
    fs::write(checkout.path().join("small.txt"), SMALL_MAP).unwrap();
    fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let run = |more: &[&str]| {
        let mut command = Process::new(env!("CARGO_BIN_EXE_pfnbench"));
        command.args(["run", "--tier", "smoke", "--records-limit", "64M", "--map", "small.txt"]).args(more);
        command.current_dir(checkout.path()).env("HOME", home.path()).env_remove("XDG_DATA_HOME");
        // Root ignores permissions.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(home.path(), Some(65534), Some(65534)).unwrap();
            fs::set_permissions(checkout.path(), fs::Permissions::from_mode(0o755)).unwrap();
            command.uid(65534).gid(65534);
        }
        command.output()
    };
    let output = match run(&[]) {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: another user cannot run this program here: {error}");
            return;
        }
    };
    let said = String::from_utf8(output.stderr).unwrap();
    let data = home.path().join(".local/share/pfnbench");
    assert!(
        output.status.success() && said.contains(&format!("the run is written to {}", data.join("results").display())),
        "{said}"
    );
    assert_eq!(runs(&data).len(), 1);
    assert!(!checkout.path().join("results").exists());
    // There is no fallback for --output.
    let refused = run(&["-o", "here"]).unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("choose another place with --output"), "{said}");
    assert_eq!(runs(&data).len(), 1);
}

/// A run folder alone, moved elsewhere, is enough to repeat the run.
#[test]
fn a_run_is_repeated_from_its_folder() {
    let (first, second) = (folder(), folder());
    smoke(
        &first,
        &["--filter", "pfn_valid/(added|boot)/random", "--layout", "flat", "--layout", "subsection", "--seed", "7"],
    )
    .assert()
    .success();
    let made = runs(first.path()).remove(0);
    let copy = second.path().join("a copy");
    fs::rename(&made, &copy).unwrap();
    // Its map is in the folder too.
    fs::remove_file(first.path().join("small.txt")).unwrap();
    pfnbench().current_dir(&second).args(["run", "--repeat"]).arg(&copy).assert().success();
    let again = runs(second.path()).remove(0);
    let cases = |run: &Path| {
        let name = |row: &Value| {
            let fields = ["layout", "op", "mode", "memory", "pattern", "map", "metric", "process", "size_bytes"];
            fields.map(|field| row[field].to_string()).join(" ")
        };
        let mut names: Vec<String> = rows(run).iter().map(name).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(cases(&copy), cases(&again));
    let manifest =
        |run: &Path| -> Value { serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap() };
    for field in ["seed", "tier", "command", "records_limit", "map", "margin"] {
        assert_eq!(manifest(&copy)[field], manifest(&again)[field], "{field}");
    }
    assert_eq!(manifest(&again)["seed"], 7);
    // The newest run is repeated without a folder; it is also in SHA256SUMS.
    pfnbench().current_dir(&second).args(["run", "--repeat"]).assert().success();
    assert_eq!(runs(second.path()).len(), 2);
    assert!(fs::read_to_string(again.join("SHA256SUMS")).unwrap().contains("  schedule.json\n"));
    // Bad input.
    let mut no_folder = pfnbench();
    refused(&second, no_folder.args(["run", "--repeat", "nowhere"]), &["nowhere/schedule.json"]);
    fs::write(copy.join("schedule.json"), "{}").unwrap();
    let mut other = pfnbench();
    refused(&second, other.args(["run", "--repeat", "a copy"]), &["not a schedule of this version", "manifest.json"]);
}

/// A private path is not in the run folder, so whoever repeats the run says where.
#[test]
fn a_private_backing_is_asked_for() {
    let dir = folder();
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let backing = format!("tmpfs:{}", place.path().display());
    let filter = ["--filter", "pfn_valid/boot/random", "--layout", "flat"];
    smoke(&dir, &filter).args(["--backing", &backing]).assert().success();
    let run = runs(dir.path()).remove(0);
    let schedule = fs::read_to_string(run.join("schedule.json")).unwrap();
    assert!(!schedule.contains(place.path().to_str().unwrap()), "{schedule}");
    let mut without = pfnbench();
    refused(&dir, without.args(["run", "--repeat"]).arg(&run), &["tmpfs:DIR", "--backing"]);
    // Any backing that is given counts, the default one too.
    pfnbench().current_dir(&dir).args(["run", "--backing", "anon", "--repeat"]).arg(&run).assert().success();
    pfnbench().current_dir(&dir).args(["run", "--backing", &backing, "--repeat"]).arg(&run).assert().success();
}
