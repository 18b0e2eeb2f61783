//! The commands `list`, `verify`, `map`, `doctor`, `run` and `compare`.

mod common;

use assert_cmd::Command;
use common::{SMALL_MAP, file, folder, json, pfnbench, reference_run, refused, smoke, wait};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

fn run_folders(dir: &Path) -> Vec<std::path::PathBuf> {
    let machines = fs::read_dir(dir.join("results")).into_iter().flatten().flatten();
    machines.flat_map(|machine| fs::read_dir(machine.path()).unwrap()).map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn list_names_the_layouts() {
    let list = json(pfnbench().args(["list", "--json"]));
    let layouts = list["layouts"].as_array().unwrap();
    let granule = |id: &str| &layouts.iter().find(|layout| layout["id"] == id).unwrap()["hotplug_granule_bytes"];
    assert_eq!(granule("flat"), &Value::Null);
    assert_eq!(granule("sparse"), 128 << 20);
    assert_eq!((granule("subsection"), granule("dax")), (&Value::from(2 << 20), &Value::from(2 << 20)));
    let loads = |id: &str, lookup: &str| {
        let layout = layouts.iter().find(|layout| layout["id"] == id).unwrap();
        let loads = layout["load_chain"][lookup].as_array().unwrap();
        loads
            .iter()
            .map(|load| format!("{} {}", load["what"].as_str().unwrap(), load["when"].as_str().unwrap()))
            .collect()
    };
    let map_of_hot_added: Vec<String> = loads("subsection", "pfn_valid");
    assert_eq!(map_of_hot_added[1..3], ["section word always", "usage pointer hot-added"]);
    assert_eq!([loads("flat", "pfn_valid"), loads("dax", "pfn_to_page")], [vec![], vec![]] as [Vec<String>; 2]);
    assert_eq!(loads("sparse", "page_to_pfn").len(), 3);
    pfnbench().arg("list").assert().success().stdout(contains("FLATMEM").and(contains("dax:/dev/daxX.Y")));
}

#[test]
fn verify_reports_by_map_and_by_layout() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let verdict = json(pfnbench().args(["verify", "--json", "--map", &map]));
    let maps = verdict["maps"].as_array().unwrap();
    assert!(maps.iter().all(|check| check["status"] == "agrees"), "{maps:#?}");
    let layouts = verdict["layouts"].as_array().unwrap();
    let is_checked_on_both = |id: &Value| maps.iter().filter(|check| check["layout"] == *id).count() == 2;
    let named =
        ["linux-5.3", "linux-5.10", "linux-7.2", "linux-next", "sections-24", "sections-24-mask", "sections-32"]
            .map(Value::from);
    for id in layouts.iter().map(|layout| &layout["layout"]).chain(&named) {
        assert!(is_checked_on_both(id), "{id} is checked on the map and on the one with holes");
    }
    for layout in layouts {
        assert!(!layout["run"].as_array().unwrap().is_empty() && layout["failed"].as_array().unwrap().is_empty());
    }
    let flat = layouts.iter().find(|layout| layout["layout"] == "flat").unwrap();
    assert!(!flat["skipped"].as_array().unwrap().is_empty(), "flat has no hotplug");
}

#[test]
fn verify_takes_standard_input_and_names_lines_that_were_not_understood() {
    pfnbench().args(["verify", "--map", "-"]).write_stdin(SMALL_MAP).assert().success().stdout(contains("stdin"));
    let empty = pfnbench().args(["verify", "--map", "-"]).write_stdin("# nothing\n").assert().code(2);
    empty.stderr(contains("no line names memory"));
    let words = format!("{SMALL_MAP}some words\n");
    let line = format!("lines that were not understood: {}", SMALL_MAP.lines().count() + 1);
    pfnbench().args(["verify", "--map", "-"]).write_stdin(words).assert().success().stderr(contains(line));
}

#[test]
fn map_shows_the_parsed_ranges() {
    let listing = r#"[{"dev":"region1","size":1082331758592,"type":"pmem","numa_node":0,"target_node":3}]"#;
    let mut command = pfnbench();
    let shown = command.args(["map", "-"]).write_stdin(listing).assert().success();
    shown
        .stdout(contains("1008 GiB").and(contains("persistent memory (base assumed)")))
        .stderr(contains("region1 has a size (1008 GiB) but no address: base assumed at 0x100000000"));
    let map = json(pfnbench().args(["map", "--json", "-"]).write_stdin(SMALL_MAP));
    assert_eq!((map["ranges"].as_array().unwrap().len(), map["sections"]["in_part"].as_u64()), (2, Some(2)));
    assert_eq!(map["holes"][1], serde_json::json!({ "start": 0xa_0000, "end": 0x10_0000 }));
    pfnbench().args(["map", "builtin:scattered-64"]).assert().success().stdout(contains("8 GiB of RAM"));
    let dir = folder();
    let damaged = file(&dir, "damaged.txt", "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000");
    pfnbench().args(["map", &damaged]).assert().code(2).stderr(contains("line 1").and(contains("known formats are")));
}

#[test]
fn doctor_fails_only_with_strict() {
    let examination = json(pfnbench().args(["doctor", "--json"]));
    assert!(examination["findings"].as_array().unwrap().len() > 10);
    let strict = pfnbench().args(["doctor", "--strict"]).assert();
    let expected = if examination["verdict"] == "ok" { 0 } else { 1 };
    strict.code(expected);
}

#[test]
fn a_run_folder_is_complete_and_matches_its_checksums() {
    let dir = folder();
    let result = json(&mut smoke(&dir, &["--json"]));
    let path = dir.path().join(result["run"].as_str().unwrap());
    assert_eq!(run_folders(dir.path()), std::slice::from_ref(&path));
    for name in ["manifest.json", "samples.jsonl", "latency.hlog", "report.html", "SHA256SUMS"] {
        assert!(path.join(name).is_file(), "{name}");
    }
    let check = Process::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&path).status();
    assert!(check.unwrap().success());
    let manifest: Value = serde_json::from_str(&fs::read_to_string(path.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["map"]["name"], "small");
    assert!(!manifest.to_string().contains(dir.path().to_str().unwrap()), "the manifest names a folder of the user");

    // Every layout has a row for every lookup on boot and on added memory, measured or not offered.
    let rows = fs::read_to_string(path.join("samples.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for layout in ["flat", "sparse", "subsection", "dax"] {
        for op in ["pfn_valid", "pfn_to_page", "page_to_pfn", "valid_to_page"] {
            for memory in ["boot", "added"] {
                let is_case = |row: &&Value| row["layout"] == layout && row["op"] == op && row["memory"] == memory;
                let measured = rows.iter().filter(is_case).filter(|row| row["status"] == "ok").count();
                let offered = !(layout == "flat" && memory == "added");
                assert_eq!(measured > 0, offered, "{layout} {op} {memory}");
            }
        }
    }
    assert!(rows.iter().all(|row| row["status"] != "ok" || row["value"].as_f64().is_some_and(|v| v >= 0.0)));
    // A counter has a value for every layout, or a reason; without hardware it has no value instead
    // of 0.
    for counter in ["cycles", "instructions", "dtlb_misses", "branch_misses", "page_faults", "task_clock"] {
        let counted: Vec<&Value> = rows.iter().filter(|row| row["metric"] == counter).collect();
        assert!(!counted.is_empty(), "{counter} has no row");
        for row in counted {
            let told = row["status"] == "ok" && row["value"].is_f64()
                || row["status"] == "not_counted" && row["value"].is_null() && row["reason"].is_string();
            assert!(told, "{row}");
        }
    }
    let own_cost = rows.iter().find(|row| row["metric"] == "add_over_bare").unwrap();
    assert!(own_cost["value"].as_f64().unwrap() > 0.5, "{own_cost}");

    // The report has figures, and loads nothing from a network.
    let report = fs::read_to_string(path.join("report.html")).unwrap();
    assert!(report.matches("<svg role=\"img\"").count() >= 2);
    let without_facts =
        report.replace("http://www.w3.org/2000/svg", "").replace("href=\"data:", "").replace("href=\"#", "");
    assert!(!["src=", "href=", "url(", "@import"].iter().any(|outside| without_facts.contains(outside)));
}

#[test]
fn a_run_can_be_limited_to_a_layout_and_a_lookup() {
    let dir = folder();
    let result = json(&mut smoke(&dir, &["--json", "--layout", "sparse", "--op", "pfn_valid"]));
    assert_eq!(result["summary"]["layouts"], serde_json::json!(["sparse", "no-check"]));
    let lookups = result["summary"]["lookups"].as_array().unwrap();
    assert!(lookups.iter().all(|line| line["op"] == "pfn_valid"));
    assert_eq!(result["summary"]["own_cost"], Value::Null, "the reference was not measured");
}

#[test]
fn ratios_over_five_processes_have_intervals() {
    let dir = folder();
    let result = json(&mut smoke(&dir, &["--json", "--processes", "5", "--filter", "^pfn_valid/.*/random"]));
    assert_eq!(result["summary"]["processes"], 5);
    let line = &result["summary"]["lookups"][0];
    for cell in line["cells"].as_array().unwrap() {
        // Times near that of the empty loop have no ratio; the reference has no interval.
        let (Some(bounds), Some(ratio)) = (cell["ratio_interval"].as_array(), cell["ratio"].as_f64()) else {
            assert!(cell["difference_ns"].is_f64(), "{cell}");
            continue;
        };
        let bounds: Vec<f64> = bounds.iter().filter_map(Value::as_f64).collect();
        assert!(bounds.len() == 2 && bounds[0] <= ratio && ratio <= bounds[1], "{cell}");
    }
    assert!(line["noise_floor"].as_f64().is_some_and(|floor| floor > 0.0), "{line}");
    // The list has all verdicts; each is one of four words.
    let verdicts = result["verdicts"].as_array().unwrap();
    assert!(verdicts.len() >= 12, "{verdicts:?}");
    for record in verdicts {
        let word = record["verdict"].as_str().unwrap();
        assert!(["faster", "slower", "equal", "undecided"].contains(&word), "{record}");
        assert!(
            record["case"].is_string() && record["layout"].is_string() && record["reference"].is_string(),
            "{record}"
        );
    }
    let headline = &verdicts[0];
    assert_eq!(
        (headline["case"].as_str(), headline["reference"].as_str()),
        (Some("pfn_valid/added/random"), Some("linux-5.2"))
    );
    assert_eq!(result["can_judge"].as_bool().unwrap(), result["reasons"].as_array().unwrap().is_empty());
    let path = dir.path().join(result["run"].as_str().unwrap());
    let rows = fs::read_to_string(path.join("samples.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for process in 0..5 {
        let times: Vec<&Value> =
            rows.iter().filter(|row| row["process"] == process && row["metric"] == "time").collect();
        assert!(!times.is_empty(), "process {process}");
        for row in times.iter().filter(|row| row["status"] == "ok") {
            // The verdict of the doctor in a row is about that row.
            let expected = if row["disturbed"] == true { "unfit" } else { "ok" };
            assert_eq!(row["doctor"], expected, "{row}");
            assert!(row["evidence"]["wall_ns"].as_u64().is_some_and(|ns| ns > 0), "{row}");
        }
    }
    let manifest = fs::read_to_string(path.join("manifest.json")).unwrap();
    assert!(manifest.contains("--processes 5") && manifest.contains("--filter"), "{manifest}");
    refused(&dir, smoke(&dir, &["--processes", "0"]).arg("--json"), &["--processes"]);
}

/// One process has no interval, so there is no verdict. The run is kept, and only `--strict` exits
/// with 2.
#[test]
fn a_run_without_a_verdict_says_why() {
    let dir = folder();
    let few = ["--filter", "^pfn_valid/added/random/(subsection|vmemmap-section)$"];
    let told = smoke(&dir, &few).assert().success();
    let told = String::from_utf8(told.get_output().stdout.clone()).unwrap();
    assert!(
        told.contains("No verdict on the headline") && told.replace("\n  ", " ").contains("1 of the 5 processes"),
        "{told}"
    );
    let result = json(&mut smoke(&dir, &[&few[..], &["--json"]].concat()));
    assert!(result["can_judge"] == false && !result["reasons"].as_array().unwrap().is_empty());
    smoke(&dir, &[&few[..], &["--strict"]].concat()).assert().code(2);
    assert_eq!(run_folders(dir.path()).len(), 3, "a run without a verdict was not kept");
}

#[test]
fn comparable_runs_are_compared_and_others_refused() {
    let dir = folder();
    let few = ["--json", "--filter", "^pfn_valid/.*/random"];
    let run = |more: &[&str]| {
        let result = json(&mut smoke(&dir, &[&few[..], more].concat()));
        dir.path().join(result["run"].as_str().unwrap())
    };
    let (before, after) = (run(&["--processes", "5"]), run(&["--processes", "5", "--seed", "9"]));
    let compare = |arguments: &[&Path]| {
        let mut command = pfnbench();
        command.current_dir(dir.path()).arg("compare").args(arguments);
        command
    };
    // The same code on the same machine; how close ratios are to 1 depends on the machine.
    let result = json(compare(&[&before, &after]).arg("--json"));
    let cases = result["comparison"]["cases"].as_array().unwrap();
    assert!(cases.len() >= 13 && result["comparison"]["unshared"] == 0, "{result}");
    for case in cases {
        assert!(case["difference_ns"].is_number(), "{case}");
        // Times near that of the empty loop have neither ratio nor interval. Layouts with tables
        // take longer.
        let has_ratio = case["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0);
        assert_eq!(has_ratio, case["interval"].is_array(), "{case}");
        assert!(has_ratio || case["layout"] != "subsection", "{case}");
    }
    assert_eq!(result["verdicts"].as_array().unwrap().len(), cases.len());
    // Schema 1 called added memory `hot`. A folder as it wrote them compares and reports as well.
    let old = before.with_file_name("old");
    fs::create_dir(&old).unwrap();
    for entry in fs::read_dir(&before).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), old.join(entry.file_name())).unwrap();
    }
    let rewrite = |name: &str, changes: &[(&str, &str)]| {
        let text = fs::read_to_string(old.join(name)).unwrap();
        let changed = changes.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to));
        assert_ne!(changed, text, "{name}");
        fs::write(old.join(name), changed).unwrap();
    };
    let memory = [("\"memory\":\"added\"", "\"sections\":\"hot\""), ("\"memory\":\"boot\"", "\"sections\":\"boot\"")];
    rewrite("samples.jsonl", &[&memory[..], &[("\"v\":2", "\"v\":1")]].concat());
    rewrite("manifest.json", &[("\"schema\": 2", "\"schema\": 1")]);
    Process::new("sh").args(["-c", "sha256sum *.* > SHA256SUMS"]).current_dir(&old).status().unwrap();
    assert_eq!(json(compare(&[&old, &after]).arg("--json"))["comparison"], result["comparison"]);
    let mut report = pfnbench();
    report.current_dir(dir.path()).args(["report", "-o", "old.html"]).arg(&old).assert().success();
    compare(&[&before, &after]).assert().success().stdout(contains("Geometric mean").and(contains("subsection")));
    // Any layout of a run can be the reference.
    let within = json(compare(&[&before]).args(["--reference", "flat", "--json"]));
    assert_eq!(within["summary"]["reference"], "flat");
    let flat = &within["summary"]["lookups"][0]["cells"][0];
    assert_eq!((flat["layout"].as_str(), flat["difference_ns"].as_f64()), (Some("flat"), Some(0.0)));
    refused(&dir, compare(&[&before]).args(["--reference", "nothing"]), &["no layout \"nothing\"", "subsection"]);
    // Runs that are modified, from another machine, or incomplete.
    let rows = after.join("samples.jsonl");
    let text = fs::read_to_string(&rows).unwrap();
    fs::write(&rows, text.replace("\"machine\":\"", "\"machine\":\"other-")).unwrap();
    refused(&dir, &mut compare(&[&before, &after]), &["samples.jsonl", "SHA256SUMS"]);
    Process::new("sh").args(["-c", "sha256sum *.* > SHA256SUMS"]).current_dir(&after).status().unwrap();
    refused(&dir, &mut compare(&[&before, &after]), &["different machines", "--across-machines"]);
    compare(&[&before, &after]).arg("--across-machines").assert().success();
    fs::remove_file(after.join("SHA256SUMS")).unwrap();
    refused(&dir, &mut compare(&[&before, &after]), &["not a complete run"]);
    refused(&dir, &mut compare(&[Path::new("nowhere")]), &["nowhere"]);
}

#[test]
fn cases_can_be_filtered() {
    let listed = pfnbench()
        .args(["list", "--cases", "--filter", "^pfn_valid/added/random", "--exclude", "dax"])
        .assert()
        .success();
    let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    let names: Vec<&str> = listed.lines().collect();
    assert!(
        names.contains(&"pfn_valid/added/random/subsection") && names.iter().all(|name| !name.contains("dax")),
        "{listed}"
    );
    let dir = folder();
    let filter = ["--json", "--filter", "^pfn_valid/added/random|^hotplug/2MiB/subsection$"];
    let result = json(&mut smoke(&dir, &filter));
    let path = dir.path().join(result["run"].as_str().unwrap());
    let rows = fs::read_to_string(path.join("samples.jsonl")).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let measured = |op: &str| rows.iter().filter(|row| row["op"] == op && row["status"] == "ok").count();
    assert!(measured("pfn_valid") > 0 && measured("hot_add") > 0);
    assert_eq!((measured("pfn_to_page"), measured("readers"), measured("own_cost")), (0, 0, 0));
    assert!(rows.iter().all(|row| row["op"] != "hot_add" || row["layout"] == "subsection"));
    refused(&dir, smoke(&dir, &["--filter", "no_such_case"]).arg("--json"), &["selects no case", "list --cases"]);
    refused(&dir, smoke(&dir, &["--filter", "["]).arg("--json"), &["regex"]);
}

#[test]
fn maps_with_little_memory_can_be_measured() {
    // A map whose flat array exceeds the memory of the machine, and a map without memory.
    let dir = folder();
    let far = file(&dir, "far.txt", "4000000000-400fffffff : System RAM\n");
    let args = ["run", "--tier", "smoke", "--records-limit", "64M", "--op", "pfn_valid", "--map"];
    let far = pfnbench().current_dir(&dir).args(args).arg(far).assert().success();
    far.stdout(contains("would not boot"));
    let none = file(&dir, "none.txt", "# nothing\n");
    refused(&dir, pfnbench().args(args).arg(none), &["none.txt: no line names memory"]);
    let device = file(&dir, "device.txt", "4000000000-400fffffff : Persistent Memory\n");
    refused(&dir, pfnbench().args(args).arg(device), &["has no boot memory"]);
}

#[test]
fn bad_maps_are_refused() {
    for (name, contents, words) in [
        ("words.txt", "hello\nworld\n", &["words.txt", "line 1", "not a memory range"][..]),
        ("late.txt", "00001000-0009ffff : System RAM\n00100000-54d\n", &["late.txt", "line 2"]),
        ("back.txt", "0009ffff-00001000 : System RAM\n", &["line 1", "before its start"]),
        ("twice.txt", "1000-9fff : System RAM\n5000-ffff : System RAM\n", &["line 2", "partly overlaps"]),
        ("wide.txt", "1000-1fffffffffffff : System RAM\n", &["line 1", "52 bits"]),
        ("hidden.txt", "00000000-00000000 : System RAM\n", &["as root"]),
    ] {
        let dir = folder();
        let path = file(&dir, name, contents);
        refused(&dir, pfnbench().args(["run", "--map", &path]), words);
        refused(&dir, pfnbench().args(["verify", "--map", &path]), words);
    }
    let dir = folder();
    refused(&dir, pfnbench().args(["run", "--map", "missing.txt"]), &["missing.txt", "No such file"]);
    refused(&dir, pfnbench().args(["run", "--map", "/"]), &["cannot read the map /"]);
    refused(&dir, pfnbench().args(["run", "--map", "/dev/zero"]), &["/dev/zero is larger than the limit of 64 MiB"]);
    refused(&dir, pfnbench().args(["run", "--map", "builtin:nowhere"]), &["nowhere", "surface-pro-7-16g"]);
    let wide = file(&dir, "wide.txt", "8000000000000-800003fffffff : System RAM\n");
    refused(&dir, pfnbench().args(["run", "--map", &wide]), &["needs 52 physical address bits", "pfnbench verify"]);
}

#[test]
fn bad_backings_are_refused() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let run = |backing: &str, words: &[&str]| {
        refused(&dir, pfnbench().args(["run", "--tier", "smoke", "--map", &map, "--backing", backing]), words);
    };
    run("dax:/dev/null", &["/dev/null is not a DAX device", "daxctl list"]);
    run("dax:/does/not/exist", &["/does/not/exist", "No such file"]);
    run("dax:/dev/shm", &["a directory"]);
    run("tmpfs:/proc", &["/proc is not on a tmpfs"]);
    run("tmpfs:/does/not/exist", &["/does/not/exist"]);
    run("floppy", &["backings are linux, anon"]);
}

#[test]
fn bad_arguments_are_refused() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    refused(
        &dir,
        pfnbench().args(["run", "--map", &map, "--layout", "holey"]),
        &["\"holey\"", "flat, segments, sparse"],
    );
    refused(&dir, pfnbench().args(["run", "--op", "pfn_invalid"]), &["pfn_invalid", "pfn_valid, pfn_to_page"]);
    refused(&dir, pfnbench().args(["run", "--records-limit", "lots"]), &["lots"]);
    refused(
        &dir,
        pfnbench().args(["run", "--map", &map, "--records-limit", "1M"]),
        &["--records-limit 1 MiB", "minimum of 64 MiB"],
    );
    refused(&dir, pfnbench().args(["run", "--map", &map, "-o", "/proc/x"]), &["/proc/x"]);
    refused(&dir, pfnbench().args(["frobnicate"]), &["frobnicate"]);
}

#[test]
fn too_little_address_space_is_explained() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    for arguments in [["run", "--tier", "smoke", "--map"].as_slice(), &["verify", "--map"]] {
        let mut command = Command::new("bash");
        command.args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pfnbench")]);
        refused(&dir, command.args(arguments).arg(&map), &["address space", "ulimit -v unlimited"]);
    }
}

#[test]
fn a_tmpfs_that_is_too_small_is_named() {
    let dir = folder();
    let mount = dir.path().join("tmpfs");
    fs::create_dir(&mount).unwrap();
    let mounted = Process::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user cannot mount a tmpfs");
        return;
    }
    let map = file(&dir, "small.txt", SMALL_MAP);
    let backing = format!("tmpfs:{}", mount.display());
    let mut command = pfnbench();
    command.args(["run", "--tier", "smoke", "--records-limit", "64M", "--map", &map, "--backing", &backing]);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        refused(&dir, &mut command, &["the tmpfs of", "no room", "remount,size="]);
        let left = fs::read_dir(&mount).unwrap().count();
        let used = rustix::fs::statvfs(&mount).map(|fs| fs.f_blocks - fs.f_bfree).unwrap();
        assert_eq!((left, used), (0, 0), "files were left on the tmpfs");
    }));
    assert!(Process::new("umount").arg(&mount).status().unwrap().success());
    result.unwrap();
}

#[test]
fn a_verification_can_be_stopped() {
    let dir = folder();
    let map = file(&dir, "small.txt", SMALL_MAP);
    let mut child = Process::new(env!("CARGO_BIN_EXE_pfnbench"))
        .args(["verify", "--map", &map])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    // SIGTERM, because a process in the background of a shell ignores SIGINT.
    assert!(Process::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    // The signal ended it; how soon depends on the machine.
    let signal = std::os::unix::process::ExitStatusExt::signal(&wait(&mut child));
    assert_eq!(signal, Some(15));
}

#[test]
fn help_version_and_completions_are_printed() {
    pfnbench().arg("--help").assert().success().stdout(contains("Examples:").and(contains("Exit codes:")));
    pfnbench().args(["run", "--help"]).assert().success().stdout(contains("--records-limit"));
    pfnbench().arg("--version").assert().success().stdout(contains("pfnbench 0."));
    for shell in ["bash", "zsh", "fish"] {
        pfnbench().args(["completions", shell]).assert().success().stdout(contains("verify"));
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let status = Process::new("bash")
        .args(["-c", "set -o pipefail; \"$0\" list | head -1 >/dev/null", env!("CARGO_BIN_EXE_pfnbench")])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(status.status.success() && status.stderr.is_empty(), "{status:?}");
}

#[test]
fn show_finds_the_newest_run_and_prints_what_it_printed() {
    let dir = folder();
    let show = |arguments: &[&str]| {
        pfnbench().current_dir(&dir).env("XDG_DATA_HOME", dir.path()).arg("show").args(arguments).assert()
    };
    show(&[]).code(2).stderr(contains("there is no run below results"));
    // Without the default reference.
    let map = file(&dir, "small.txt", SMALL_MAP);
    let run = |arguments: &[&str]| {
        let base = [
            "run",
            "--tier",
            "smoke",
            "--map",
            &map,
            "--filter",
            "^pfn_valid/",
            "--layout",
            "flat",
            "--layout",
            "sparse",
        ];
        let done = pfnbench().current_dir(&dir).args(base).args(arguments).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let printed = run(&[]);
    let text =
        |assert: assert_cmd::assert::Assert| String::from_utf8(assert.success().get_output().stdout.clone()).unwrap();
    let shown = text(show(&["--summary"]));
    let table = |text: &str| text.split("Trust:").next().unwrap().to_owned();
    assert_eq!(table(&shown), table(&printed));
    assert!(shown.contains("next    pfnbench show: every result\n"), "{shown}");
    let every = text(show(&[]));
    assert!(every.contains("repeat  pfnbench run --repeat results/"), "{every}");
    // A run of an earlier version has no schedule, and cannot be repeated like that.
    let old = text(show(&[reference_run().to_str().unwrap()]));
    assert!(!old.contains("--repeat"), "{old}");
    assert!(every.contains("its ratio to flat"), "{every}");
    assert!(every.contains("319.62 MiB of RAM"), "{every}");
    let wide = run(&["--wide"]);
    assert!(
        wide.contains("selected cases are still valid") && wide.contains("its ratio to flat"),
        "the advice is printed: {wide}"
    );
    show(&["nothing"]).code(2);
}

#[test]
fn words_are_explained_and_options_of_other_commands_named() {
    let explain = |word: &str| pfnbench().args(["explain", word]).assert();
    explain("NS101").success().stdout(contains("multiple of the region's alignment"));
    explain("pfn_valid/added/random/subsection")
        .success()
        .stdout(contains("section word → usage pointer (added memory)"));
    explain("noise floor").success().stdout(contains("noise floor:"));
    explain("pfn_vald").code(1).stderr(contains("did you mean pfn_valid"));
    let misplaced = pfnbench().args(["list", "--layout", "flat"]).assert().code(2);
    misplaced.stderr(contains("--layout is an option of pfnbench run"));
    let old = pfnbench().args(["list", "--map", "flat"]).assert().code(2);
    old.stderr(contains("pfnbench run").and(contains("namespace plan").not()));
    pfnbench().args(["run", "--no-such-option"]).assert().code(2).stderr(contains("is an option of").not());
}
