//! `pfnbench namespace` on files.

use assert_cmd::Command;
use memmap_layouts::nvdimm::Host;
use memmap_layouts::nvdimm::region::{Personality, Region};
use memmap_layouts::nvdimm::storage::{Access, Medium};
use memmap_layouts::rules::RuleSet;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn namespace(args: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("pfnbench").unwrap().arg("namespace").args(args).assert()
}

fn json(args: &[&str]) -> Value {
    let output = namespace(args).success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn a_plan_shows_where_bytes_go_and_what_to_ask_for() {
    namespace(&["plan", "--size", "1500G"]).success().stdout(contains("1.44 TiB").and(contains("records")));
    let plan = json(&["plan", "--size", "1500G", "--json"]);
    assert_eq!(plan["rules"]["merged"]["division"]["usable_bytes"], 1_585_444_814_848u64);
    let inverse = json(&["plan", "--usable", "1500G", "--json"]);
    let size = inverse["rules"]["merged"]["size_bytes"].as_u64().unwrap();
    assert!(inverse["rules"]["merged"]["division"]["usable_bytes"].as_u64().unwrap() >= 1500 << 30);
    let less = json(&["plan", "--size", &(size - (16 << 20)).to_string(), "--json"]);
    assert!(less["rules"]["merged"]["division"]["usable_bytes"].as_u64().unwrap() < 1500 << 30);
    // RAM in the same section, as in the cover letter.
    let args = ["plan", "--size", "4G", "--start", "0x1fc000000", "--ram", "0x100000000-0x1fbffffff", "--json"];
    let beside = json(&args);
    assert_eq!(beside["rules"]["before"]["division"]["start_pad_bytes"], 64 << 20);
    assert_eq!(beside["rules"]["before"]["division"]["usable_bytes"], 3966u64 << 20);
    assert_eq!(beside["rules"]["merged"]["division"]["usable_bytes"], 4030u64 << 20);
}

#[test]
fn a_plan_that_cannot_be_is_told_apart_from_one_that_does_not_fit() {
    for (args, says) in [
        (["plan", "--size", "17M"], "--size 16M or --size 32M works"),
        (["plan", "--size", "0"], "--size 16M"),
        (["plan", "--size", "many"], "is not a size"),
        (["plan", "--usable", "0"], "NS106"),
        (["plan", "--usable", "65536T"], "NS207"),
        (["plan", "--size", "65536T"], "NS104"),
        (["plan", "--size", "0x"], "hexadecimal"),
    ] {
        namespace(&args).code(2).stderr(contains(says)).stdout("");
    }
    namespace(&["plan", "--size", "1G", "--align", "16G"]).code(2).stderr(contains("4 KiB, 2 MiB, 1 GiB"));
    namespace(&["plan", "--size", "1G", "--region-align", "3M"]).code(2).stderr(contains("power of two"));
    namespace(&["plan", "--size", "1G", "--ram", "9-1"]).code(2).stderr(contains("is no range"));
    let refused = contains("refused")
        .and(contains("no room"))
        .and(contains("fix     --size 2G or --map mem --align 1G works").or(contains("fix     --size 2G")));
    namespace(&["plan", "--size", "1G", "--align", "1G"]).code(1).stdout(refused);
    // The cause, whatever is asked for.
    for size in ["--size", "--usable"] {
        namespace(&["plan", size, "1G", "--start", "0x100100000"]).code(1).stdout(contains("0x100200000"));
        namespace(&["plan", size, "1G", "--start", "0x100000001"]).code(2).stderr(contains("--start 0x100000000"));
        namespace(&["plan", size, "1G", "--start", "0xffffffffffe00000"]).code(2).stderr(contains("physical space"));
    }
    let said = contains("another region").and(contains("--size 256M or --start 0x120000000 works"));
    namespace(&["plan", "--size", "1G", "--region", "0x110000000+256M"]).code(1).stdout(said);
    namespace(&["plan", "--usable", "1G", "--region", "0x110000000-0x11fffffff"])
        .code(1)
        .stdout(contains("256 MiB that are free").and(contains("another region behind it, 0x110000000")));
    let odd = namespace(&["plan", "--size", "4097", "--region-align", "4K"]).code(2);
    odd.stderr(contains("--size 16M works"));
}

#[test]
fn every_sub_section_of_a_section_has_its_loss() {
    let lost = json(&["lost", "--json"]);
    assert_eq!(lost.as_array().unwrap().len(), 64 * 3);
    namespace(&["lost"]).success().stdout(contains("126 MiB").and(contains("refused")));
}

#[test]
fn every_scene_ends_as_expected_under_both_rule_sets() {
    for scene in ["sub-section", "ndctl-76", "shift", "ram-collision", "chained", "zero-fields"] {
        for rules in ["before", "merged"] {
            let played = json(&["scene", scene, "--rules", rules, "--json"]);
            assert_eq!(played["holds"], true, "{scene} {rules}");
        }
    }
    namespace(&["scene", "shift", "--rules", "before"]).success().stdout(contains("observed ENOMEM"));
    namespace(&["scene", "shift", "--dir", "/does/not/exist"]).code(2).stderr(contains("--dir"));
    namespace(&["scene", "nothing"]).code(2).stderr(contains("ram-collision"));
}

/// A region on tmpfs.
struct Pmem {
    dir: TempDir,
}

impl Pmem {
    fn new(size: &str) -> Self {
        let pmem = Self { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        pmem.run("region", &["--size", size]).success();
        pmem
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("pmem0")
    }

    fn run(&self, verb: &str, args: &[&str]) -> assert_cmd::assert::Assert {
        Command::cargo_bin("pfnbench").unwrap().args(["namespace", verb]).arg(self.path()).args(args).assert()
    }

    fn bytes(&self) -> (Vec<u8>, Vec<u8>) {
        (fs::read(self.path()).unwrap(), fs::read(self.dir.path().join("pmem0.labels")).unwrap())
    }
}

#[test]
fn a_namespace_from_its_making_to_its_end() {
    let pmem = Pmem::new("2G");
    pmem.run("create", &["--size", "16M"]).success().stdout(contains("namespace0.0: 14 MiB of 16 MiB usable"));
    pmem.run("create", &["--size", "1G", "--mode", "devdax", "--name", "big"]).success();
    pmem.run("create", &["--size", "16M", "--mode", "raw"]).success().stdout(contains("16 MiB of 16 MiB"));
    pmem.run("list", &[]).success().stdout(contains("big").and(contains("devdax")).and(contains("free")));
    pmem.run("check", &[]).success().stdout(contains("a raw block device"));
    pmem.run("check", &["--at", "0x104000000"]).success();
    pmem.run("check", &["--at", "0x100100000"]).code(1).stdout(contains("1 MiB past 0x100200000"));
    pmem.run("enable", &["big"])
        .success()
        .stdout(contains("16 MiB on the medium").or(contains("14 MiB on the medium")));
    pmem.run("enable", &["big", "--layout", "vmemmap-section"]).success().stdout(contains("0 B on the medium"));
    pmem.run("enable", &["big", "--at", "0x100100000"])
        .code(1)
        .stderr(contains("--at 0x100000000 or --at 0x100200000 works"));
    pmem.run("destroy", &["big"]).code(1).stderr(contains("pmem0 big, then this again"));
    pmem.run("disable", &["big"]).success();
    pmem.run("destroy", &["big"]).success();
    pmem.run("destroy", &["big"]).code(2).stderr(contains("namespace0.0, namespace0.1"));
    let list = pmem.run("list", &["--json"]).success().get_output().stdout.clone();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["namespaces"].as_array().unwrap().len(), 2);
}

#[test]
fn what_is_refused_changes_nothing() {
    let pmem = Pmem::new("64M");
    pmem.run("create", &["--size", "16M"]).success();
    let before = pmem.bytes();
    for (args, code, says) in [
        (vec!["--size", "17M"], 2, "--size 16M or --size 32M works"),
        (vec!["--size", "16M", "--align", "3M"], 2, "4 KiB, 2 MiB, 1 GiB"),
        (vec!["--size", "1G"], 1, "976 MiB more than the largest free piece of 48 MiB"),
        (vec!["--size", "16M", "--align", "1G"], 1, "--align 2M"),
        (vec!["--size", "0"], 2, "--size 16M"),
        (vec!["--size", "16M", "--name", "a\nb"], 2, "not seen"),
    ] {
        pmem.run("create", &args).code(code).stderr(contains(says)).stdout("");
    }
    pmem.run("region", &["--size", "64M"]).code(2).stderr(contains("NS417"));
    assert!(pmem.bytes() == before);
    // Another process has it.
    let held = Medium::open(&pmem.path(), Access::Write).unwrap();
    pmem.run("create", &["--size", "16M"]).code(1).stderr(contains("is open elsewhere"));
    drop(held);
    let odd = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    odd.run("region", &["--size", "64M", "--align", "3M"])
        .code(2)
        .stderr(contains("NS103").and(contains("--align 16M or --align 2M works")));
    odd.run("region", &["--size", "0"]).code(2).stderr(contains("NS108"));
    assert_eq!(fs::read_dir(odd.dir.path()).unwrap().count(), 0, "nothing half-made is left");
    odd.run("list", &[]).code(2).stderr(contains("pmem0"));
    fs::File::options().write(true).open(pmem.path()).unwrap().set_len(8192).unwrap();
    pmem.run("check", &[]).code(1).stderr(contains("are missing at its end"));
    fs::write(pmem.dir.path().join("pmem0.labels"), [0; 65536]).unwrap();
    pmem.run("list", &[]).code(1).stderr(contains("NS401"));
}

#[test]
fn programs_are_told_the_same() {
    let pmem = Pmem::new("256M");
    let run = |verb: &str, args: &[&str], code: i32| {
        let output = pmem.run(verb, &[args, &["--json"]].concat()).code(code).stderr("").get_output().stdout.clone();
        serde_json::from_slice::<Value>(&output).unwrap()
    };
    assert_eq!(run("create", &["--size", "64M"], 0)["usable_bytes"], 62 << 20);
    let error = &run("create", &["--size", "17M"], 2)["error"];
    assert_eq!((&error["code"], &error["errno"]), (&"NS101".into(), &22.into()));
    for part in ["what", "rule", "source", "off_by", "cost", "fix"] {
        assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {error}");
    }
    let error = &run("create", &["--size", "1G"], 1)["error"];
    assert!(error["who"].as_str().unwrap().contains("namespace0.0 at 0x100000000-0x103ffffff"), "{error}");
    let checked = &run("check", &[], 0)["namespaces"][0];
    assert_eq!((&checked["is"], &checked["data_bytes"]), (&"pages".into(), &(62 << 20).into()));
    let checked = &run("check", &["--at", "0x100001000"], 1)["namespaces"][0];
    assert_eq!((&checked["is"], &checked["error"]["code"]), (&"refused".into(), &"NS312".into()));
    let enabled = run("enable", &["namespace0.0"], 0)["namespaces"][0].clone();
    assert_eq!((&enabled["page_frames"], &enabled["dax"]), (&16384.into(), &true.into()));
    assert_eq!(run("destroy", &["namespace0.0"], 1)["error"]["code"], "NS409");
    assert_eq!(run("disable", &["namespace0.0"], 0)["is"], "disabled");
    assert_eq!(run("destroy", &["other"], 2)["error"]["code"], "NS408");
    assert_eq!(run("destroy", &["namespace0.0"], 0)["is"], "destroyed");
    let plan = ["plan", "--size", "1G", "--start", "0x100100000", "--json"];
    let plan: Value = serde_json::from_slice(&namespace(&plan).code(1).get_output().stdout).unwrap();
    assert_eq!(plan["rules"]["merged"]["division"]["refused"]["code"], "NS201");
}

#[test]
fn a_size_that_is_named_is_had() {
    let pmem = Pmem::new("8G");
    let output = pmem.run("create", &["--size", "1G", "--align", "1G", "--json"]).code(1).get_output().stdout.clone();
    let error: Value = serde_json::from_slice(&output).unwrap();
    let named = error["error"]["works"][0].as_str().unwrap().strip_prefix("--size ").unwrap().to_owned();
    pmem.run("create", &["--size", &named, "--align", "1G"]).success().stdout(contains("1 GiB of "));
}

/// Arguments with those of a remedy in place of their own.
fn instead(args: &[&str], remedy: &str) -> Vec<String> {
    let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let mut words = remedy.split_whitespace().peekable();
    while let Some(option) = words.next() {
        let value = words.next_if(|next| !next.starts_with("--"));
        // Who says how much data he wants and is told a size says one of them.
        let had = args.iter().position(|arg| arg == option);
        match (had, value) {
            (Some(at), Some(value)) => args[at + 1] = value.to_owned(),
            (Some(_), None) => {}
            (None, value) => args.extend([Some(option), value].into_iter().flatten().map(str::to_owned)),
        }
    }
    args
}

/// What a refusal names, from its JSON.
fn works(error: &Value) -> Vec<String> {
    error["works"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_refused_plan_names_is_had() {
    let mut typed = 0;
    let beside = ["--ram", "0x100000000-0x17fffffff", "--region", "0x190000000+256M", "--region", "0x1a0100000+1G"];
    for size in ["--size", "--usable"] {
        for wanted in ["0", "4097", "1M", "17M", "16M", "1G", "1000T", "65536T"] {
            for rest in [
                &[][..],
                &["--align", "1G"],
                &["--align", "3M"],
                &["--region-align", "4K"],
                &["--region-align", "3M"],
                &["--start", "0x180000001"],
                &["--start", "0x180100000"],
                &["--start", "0x180100000", "--region-align", "4K"],
                &["--start", "0x17fe00000"],
                &["--start", "0x18f000000"],
                &["--start", "0x190000000", "--align", "1G"],
                &["--start", "0x1a1000000"],
                &["--start", "0x3ffffff00000"],
                &["--start", "0x3fffffe00000", "--map", "mem"],
            ] {
                let mut args = vec!["plan", size, wanted];
                args.extend(beside.iter().chain(rest));
                let run = |args: &[String]| -> Value {
                    let mut command = Command::cargo_bin("pfnbench").unwrap();
                    let output = command.arg("namespace").args(args).arg("--json").output().unwrap();
                    assert!(matches!(output.status.code(), Some(0..=2)), "{args:?}");
                    let said = String::from_utf8_lossy(&output.stderr);
                    let told = serde_json::from_slice(&output.stdout);
                    told.unwrap_or_else(|error| panic!("{args:?}: {error}: {said}"))
                };
                let told = run(&instead(&args, ""));
                let refused = |told: &Value, time: &str| told["rules"][time]["division"]["refused"].clone();
                // Said before any rules are asked: what works does so by the new ones.
                let of_all = Some(("merged", told["error"].clone())).filter(|(_, error)| error.is_object());
                let of_times = ["before", "merged"].map(|time| (time, refused(&told, time)));
                for (time, error) in of_times.into_iter().filter(|(_, error)| error.is_object()).chain(of_all) {
                    for remedy in works(&error) {
                        let typed_args = instead(&args, &remedy);
                        let told = run(&typed_args);
                        assert!(
                            told.get("error").is_none() && refused(&told, time).is_null(),
                            "{time}: {typed_args:?}, named for {args:?}: {told:#}"
                        );
                        typed += 1;
                    }
                }
            }
        }
    }
    assert!(typed > 150, "{typed}");
}

#[test]
fn what_a_refused_namespace_names_is_had() {
    let mut typed = 0;
    for (region, first) in [
        (&["--size", "64M"][..], &[][..]),
        (&["--size", "64M", "--align", "4K"], &[]),
        // Off the grid of sub-sections.
        (&["--size", "64M", "--align", "4K"], &["--size", "8K", "--mode", "raw"]),
        (&["--size", "64M", "--start", "0x100100000"], &[]),
        (&["--size", "64M", "--start", "0x100100000", "--align", "4K"], &[]),
        (&["--size", "3G"], &["--size", "512M"]),
        // Nothing is free.
        (&["--size", "64M"], &["--size", "64M"]),
    ] {
        for size in ["0", "5000", "2M", "17M", "1G"] {
            for rest in [
                &[][..],
                &["--align", "1G"],
                &["--align", "3M"],
                &["--map", "mem", "--name", " "],
                &["--align", "8K"],
                &["--rules", "before"],
                &["--next-sub-section"],
            ] {
                let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
                pmem.run("region", region).success();
                if !first.is_empty() {
                    pmem.run("create", first).success();
                }
                let args = [&["--size", size], rest, &["--json"]].concat();
                let output = pmem.run("create", &args).get_output().clone();
                if output.status.success() {
                    continue;
                }
                let error: Value = serde_json::from_slice(&output.stdout).unwrap();
                let before = fs::read(pmem.dir.path().join("pmem0.labels")).unwrap();
                for remedy in works(&error["error"]) {
                    let typed_args = instead(&args, &remedy);
                    let typed_args: Vec<_> = typed_args.iter().map(String::as_str).collect();
                    pmem.run("create", &typed_args).success();
                    fs::write(pmem.dir.path().join("pmem0.labels"), &before).unwrap();
                    typed += 1;
                }
            }
        }
    }
    assert!(typed > 100, "{typed}");
}

#[test]
fn what_a_refused_region_names_is_had() {
    let mut typed = 0;
    for args in [
        &[][..],
        &["--size", "1"],
        &["--size", "4095", "--align", "4K"],
        &["--size", "5000", "--align", "16M"],
        &["--size", "64M", "--align", "3M"],
        &["--size", "64M", "--start", "0x100000001"],
        &["--size", "64M", "--start", "0xfffffffffff000"],
        &["--size", "64M", "--start", "0xffffffffffffffff"],
        &["--size", "64M", "--start", "0xffffffffffffe000"],
        &["--size", "4096T", "--start", "0xf1000000000000"],
    ] {
        let args = [args, &["--json"]].concat();
        let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        let error: Value = serde_json::from_slice(&pmem.run("region", &args).code(2).get_output().stdout).unwrap();
        assert_eq!(fs::read_dir(pmem.dir.path()).unwrap().count(), 0, "nothing half-made is left");
        for remedy in works(&error["error"]) {
            let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
            let typed_args = instead(&args, &remedy);
            pmem.run("region", &typed_args.iter().map(String::as_str).collect::<Vec<_>>()).success();
            typed += 1;
        }
    }
    assert!(typed > 12, "{typed}");
}

#[test]
fn a_region_is_made_of_a_file_that_is_there() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    fs::write(pmem.path(), vec![0xa5; 32 << 20]).unwrap();
    pmem.run("list", &[]).code(2).stderr(contains("NS413").and(contains("makes a region of it")));
    pmem.run("region", &["--size", "16M"]).code(2).stderr(contains("NS416").and(contains("it has 32 MiB")));
    pmem.run("region", &[]).success().stdout(contains("its bytes are as they were"));
    assert!(fs::read(pmem.path()).unwrap().iter().all(|byte| *byte == 0xa5));
    pmem.run("create", &["--size", "16M"]).success();
    pmem.run("region", &["--size", "32M"]).code(2).stderr(contains("NS417").and(contains("pfnbench namespace list")));
    // What the refusal of damaged labels says.
    let labels = pmem.dir.path().join("pmem0.labels");
    fs::write(&labels, [0; 65536]).unwrap();
    pmem.run("list", &[]).code(1).stderr(contains("NS401").and(contains("remove them")));
    fs::remove_file(&labels).unwrap();
    let medium = fs::read(pmem.path()).unwrap();
    pmem.run("region", &["--size", "32M"]).success();
    assert!(fs::read(pmem.path()).unwrap() == medium);
    // An empty file is given its length, once the rest can be.
    let empty = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    fs::write(empty.path(), []).unwrap();
    empty.run("region", &[]).code(2).stderr(contains("NS416"));
    empty.run("region", &["--size", "64M", "--align", "3M"]).code(2);
    assert_eq!(fs::metadata(empty.path()).unwrap().len(), 0);
    empty.run("region", &["--size", "64M"]).success();
    // A path that a shell would take apart, in a folder that is not there.
    namespace(&["list", "/dev/shm/no such/pmem0"]).code(2).stderr(contains(
        "pfnbench namespace region '/dev/shm/no such/pmem0' --size 4G makes a region after mkdir -p '/dev/shm/no such'",
    ));
}

#[test]
fn starts_that_are_named_for_a_moved_namespace_work() {
    let pmem = Pmem::new("4G");
    pmem.run("create", &["--size", "16M"]).success();
    pmem.run("create", &["--size", "2G", "--align", "1G", "--mode", "devdax"]).success();
    let mut typed = 0;
    for at in ["0x100001000", "0x100100000", "0x104000000", "0x140100000", "0x3fffff00000"] {
        let args = ["--at", at, "--json"];
        let checked: Value = serde_json::from_slice(&pmem.run("check", &args).get_output().stdout).unwrap();
        for one in checked["namespaces"].as_array().unwrap().iter().filter(|one| one["is"] == "refused") {
            let name = one["name"].as_str().unwrap();
            let enabled = pmem.run("enable", &[&[name], &args[..]].concat()).code(1).get_output().stdout.clone();
            let enabled: Value = serde_json::from_slice(&enabled).unwrap();
            assert_eq!(works(&enabled["namespaces"][0]["error"]), works(&one["error"]), "{at} {name}");
            for remedy in works(&one["error"]) {
                let remedy: Vec<_> = remedy.split(' ').collect();
                pmem.run("enable", &[&[name], &remedy[..]].concat()).success();
                let again = pmem.run("check", &[&remedy[..], &["--json"]].concat()).get_output().stdout.clone();
                let again: Value = serde_json::from_slice(&again).unwrap();
                let its = again["namespaces"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
                assert_eq!(its["is"], "pages", "{at} {name} {remedy:?}: {again}");
                typed += 1;
            }
        }
    }
    assert!(typed >= 10, "{typed}");
    // A place where others are is not named.
    let ram = ["--at", "0x100100000", "--ram", "0x100000000-0x10fffffff", "--json"];
    let checked: Value = serde_json::from_slice(&pmem.run("check", &ram).code(1).get_output().stdout).unwrap();
    assert_eq!(works(&checked["namespaces"][0]["error"]), Vec::<String>::new(), "{checked}");
    for verb in ["list", "check", "create"] {
        let size = if verb == "create" { &["--size", "16M"][..] } else { &[] };
        pmem.run(verb, &[&["--at", "0x100000001"], size].concat()).code(2).stderr(contains("NS105"));
    }
}

/// What `check` says of old kernels is what a machine with their rules does.
#[test]
fn old_kernels_are_foretold_as_they_are_played() {
    let mut nr_typed = 0;
    for (start, sizes) in [
        ("0x100000000", &["1G"][..]),
        ("0x104000000", &["1G"]),
        ("0x100200000", &["256M"]),
        ("0x100000000", &["16M", "16M", "112M"]),
    ] {
        let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        pmem.run("region", &["--size", "2G", "--start", start]).success();
        for size in sizes {
            pmem.run("create", &["--size", size, "--rules", "before"]).success();
        }
        for args in [&[][..], &["--at", "0x110000000"], &["--at", "0x104000000"], &["--ram", "0xfc000000-0xffffffff"]] {
            let run = |verb: &str, more: &[&str]| -> Vec<(String, Value)> {
                let output = pmem.run(verb, &[args, more, &["--json"]].concat()).get_output().stdout.clone();
                let told: Value = serde_json::from_slice(&output).unwrap();
                let of = |one: &Value| (one["is"].as_str().unwrap().to_owned(), one["error"]["code"].clone());
                told["namespaces"].as_array().unwrap().iter().map(of).collect()
            };
            let played = run("enable", &["all", "--layout", "section-dax"]);
            assert_eq!(run("check", &["--rules", "before"]), played, "{start} {sizes:?} {args:?}");
            // Alone, it is had where the refusal says.
            let told =
                pmem.run("check", &[args, &["--rules", "before", "--json"]].concat()).get_output().stdout.clone();
            let told: Value = serde_json::from_slice(&told).unwrap();
            for one in told["namespaces"].as_array().unwrap().iter().filter(|one| one["is"] == "refused") {
                for remedy in works(&one["error"]).iter().filter(|_| one["error"]["code"] == "NS504") {
                    let typed: Vec<_> = ["--layout", "section-dax"].into_iter().chain(remedy.split(' ')).collect();
                    pmem.run("enable", &[&[one["name"].as_str().unwrap()], &typed[..]].concat()).success();
                    nr_typed += 1;
                }
            }
        }
    }
    assert!(nr_typed > 3, "{nr_typed}");
    // The plan of the same says so too, and what it names is had.
    namespace(&["plan", "--size", "1G", "--start", "0x104000000"])
        .success()
        .stdout(contains("before (Linux ≤ 5.2): error[NS504]").and(contains("--start 0x108000000")));
}

#[test]
fn neighbours_are_named_for_what_is_created_and_checked() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    pmem.run("region", &["--size", "1G", "--start", "0x104000000"]).success();
    let ram = ["--ram", "0x100000000-0x103ffffff"];
    pmem.run("create", &[&["--size", "512M", "--rules", "before"], &ram[..]].concat()).success();
    pmem.run("check", &["--rules", "before"]).success().stdout(contains("a block device without DAX"));
    pmem.run("check", &[&["--rules", "before"], &ram[..]].concat()).success();
    pmem.run("enable", &[&["all", "--layout", "section-dax"], &ram[..]].concat()).success();
    // What nobody padded meets the RAM.
    pmem.run("disable", &["namespace0.0"]).success();
    pmem.run("create", &["--size", "256M", "--rules", "before", "--map", "mem"]).success();
    let region = ["--region", "0x134000000+64M"];
    pmem.run("check", &[&["--rules", "before"], &region[..]].concat()).code(1).stdout(contains("NS502"));
    pmem.run("check", &region).success();
}

#[test]
fn less_than_16_mib_has_no_records() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    pmem.run("region", &["--size", "64M", "--align", "4K"]).success();
    for more in [&[][..], &["--map", "mem", "--mode", "devdax", "--align", "4K"], &["--rules", "before"]] {
        let refused = pmem.run("create", &[&["--size", "16380K"], more].concat()).code(2);
        refused.stderr(contains("NS109").and(contains("4 KiB short of 16 MiB")).and(contains("--size 16M")));
    }
    pmem.run("create", &["--size", "16380K", "--mode", "raw"]).success();
    namespace(&["plan", "--size", "4M", "--region-align", "4K"]).code(2).stderr(contains("NS109"));
}

#[test]
fn what_is_no_medium_or_holds_no_labels_is_left_alone() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    let path = |name: &str| pmem.dir.path().join(name);
    fs::create_dir(path("folder")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    std::os::unix::fs::symlink("nothing", path("link")).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::cargo_bin("pfnbench").unwrap();
        command.current_dir(pmem.dir.path()).arg("namespace").args(args).assert()
    };
    for what in ["folder", "pipe", "/dev/null"] {
        for size in [&[][..], &["--size", "64M"]] {
            let said = run(&[&["region", what, "--labels", "l"], size].concat()).code(2);
            said.stderr(contains("truncate").not());
        }
        run(&["list", what, "--labels", "l"]).code(2).stderr(contains("NS406"));
    }
    run(&["region", "folder", "--size", "64M"]).code(2).stderr(contains("NS406").and(contains("a directory")));
    for labels in ["folder", "pipe", "link"] {
        for verb in ["region", "list"] {
            let more = if verb == "region" { &["--size", "64M"][..] } else { &[] };
            if verb == "list" {
                fs::write(path("medium"), [0; 4096]).unwrap();
            }
            run(&[&[verb, "medium", "--labels", labels], more].concat()).code(2).stderr(contains("NS418"));
            let _ = fs::remove_file(path("medium"));
        }
    }
    run(&["region", "link"]).code(2).stderr(contains("works").not());
    // An empty file whose labels cannot be made stays empty.
    fs::write(path("empty"), []).unwrap();
    run(&["region", "empty", "--size", "64M", "--labels", "none/l"]).code(2).stderr(contains("mkdir -p none"));
    assert_eq!(fs::metadata(path("empty")).unwrap().len(), 0);
    run(&["region", "medium", "--size", "64M", "--labels", "l"]).success();
    run(&["region", "medium", "--labels", "l"])
        .code(2)
        .stderr(contains("pfnbench namespace list medium --labels l shows"));
    run(&["create", "medium", "--labels", "l", "--size", "16M", "--name", "a b"]).success();
    run(&["destroy", "medium", "--labels", "l", "a b"])
        .code(1)
        .stderr(contains("pfnbench namespace disable medium --labels l 'a b', then"));
    let mut left: Vec<_> = fs::read_dir(pmem.dir.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["empty", "folder", "l", "link", "medium", "pipe"]);
}

#[test]
fn a_scene_that_is_interrupted_leaves_nothing() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("pfnbench"))
            .args(["namespace", "scene", "shift", "--dir"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Once its first step is told, it is on its way.
        let mut first = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()), "{:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "pfnbench: interrupted; nothing was written\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{signal:?} left files");
    }
    let told = namespace(&["scene", "shift", "--dir", "/does/not/exist", "--json"]).code(2).get_output().stdout.clone();
    assert_eq!(serde_json::from_slice::<Value>(&told).unwrap()["error"]["code"], "NS407");
}

#[test]
fn a_damaged_copy_of_the_labels_is_said_and_mended() {
    let pmem = Pmem::new("64M");
    pmem.run("create", &["--size", "16M"]).success();
    let labels = pmem.dir.path().join("pmem0.labels");
    for at in [100, 40_000] {
        let mut bytes = fs::read(&labels).unwrap();
        bytes[at] ^= 1;
        fs::write(&labels, bytes).unwrap();
        pmem.run("list", &[])
            .success()
            .stdout(contains("namespace0.0"))
            .stderr(contains("warning: one of the two copies"));
        pmem.run("disable", &["namespace0.0"]).success();
        pmem.run("list", &[]).success().stderr("");
    }
}

#[test]
fn namespaces_are_enabled_beside_each_other() {
    let pmem = Pmem::new("256M");
    for _ in 0..10 {
        pmem.run("create", &["--size", "16M"]).success();
    }
    for layout in ["subsection", "subsection-v6", "dax", "dax-x86"] {
        let all = pmem.run("enable", &["all", "--layout", layout, "--json"]).success().get_output().stdout.clone();
        let all: Value = serde_json::from_slice(&all).unwrap();
        assert!(all["namespaces"].as_array().unwrap().iter().all(|one| one["page_frames"] == 4096), "{layout}: {all}");
    }
    pmem.run("enable", &["all", "--layout", "sparse"]).code(1).stderr(contains("NS505").and(contains("128 MiB")));
    // Before the series the first of a section has it.
    let old = Pmem::new("256M");
    for _ in 0..10 {
        old.run("create", &["--size", "16M", "--rules", "before"]).success();
    }
    for layout in ["vmemmap-section", "section-dax"] {
        let some = old.run("enable", &["all", "--layout", layout, "--json"]).code(1).get_output().stdout.clone();
        let some: Value = serde_json::from_slice(&some).unwrap();
        let is = |nr: usize| some["namespaces"][nr]["is"].as_str().unwrap().to_owned();
        let up: Vec<_> = (0..10).filter(|nr| is(*nr) == "pages").collect();
        assert_eq!(up, [0, 8], "{layout}: {some}");
        assert_eq!(some["namespaces"][1]["error"]["code"], "NS502", "{some}");
    }
    pmem.run("enable", &["namespace0.3", "namespace0.3", "namespace0.4"]).success().stdout(contains("namespace0.4"));
    pmem.run("enable", &["namespace0.3", "none"]).code(2).stderr(contains("NS408"));
}

#[test]
fn a_place_that_no_machine_has_is_refused_by_both_who_look() {
    let pmem = Pmem::new("64M");
    pmem.run("create", &["--size", "16M"]).success();
    for at in ["0x3fffff800000", "0x800000000000"] {
        pmem.run("check", &["--at", at]).code(1).stdout(contains("NS104"));
        for layout in ["dax-x86", "dax", "subsection"] {
            pmem.run("enable", &["namespace0.0", "--at", at, "--layout", layout]).code(1).stderr(contains("NS104"));
        }
    }
    pmem.run("check", &["--at", "0x3fffff000000"]).success();
}

#[test]
fn a_medium_that_may_not_be_written_says_no_and_may_be_looked_at() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let pmem = Pmem::new("64M");
    pmem.run("create", &["--size", "16M"]).success();
    let before = pmem.bytes();
    let labels = pmem.dir.path().join("pmem0.labels");
    for (path, mode) in [(pmem.path(), 0o444), (labels, 0o444), (pmem.dir.path().to_owned(), 0o755)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = |verb: &str, args: &[&str]| {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("pfnbench"));
        command.args(["namespace", verb]).arg(pmem.path()).args(args).current_dir("/");
        // Who may write everything is somebody else for a while.
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command.output()
    };
    for (verb, args) in
        [("create", &["--size", "16M"][..]), ("disable", &["namespace0.0"]), ("enable", &["namespace0.0"])]
    {
        let output = match run(verb, args) {
            Ok(output) => output,
            Err(error) => {
                eprintln!("skipped: another user cannot run this program here: {error}");
                return;
            }
        };
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("NS412"), "{verb}: {said}");
    }
    assert!(run("check", &[]).unwrap().status.success());
    assert!(pmem.bytes() == before);
}

#[test]
fn codes_are_explained() {
    namespace(&["explain", "ns312"]).success().stdout(contains("nd_pfn_validate").and(contains("exit    1")));
    namespace(&["explain"]).success().stdout(contains("NS101").and(contains("NS504")));
    namespace(&["explain", "NS999"]).code(2).stderr(contains("lists them"));
}

#[test]
fn a_device_needs_a_file_for_its_labels() {
    namespace(&["list", "/dev/null"]).code(2).stderr(contains("--labels null.labels"));
    namespace(&["region", "/dev/null", "--labels", "/dev/shm/none"]).code(2).stderr(contains("NS406"));
    assert!(!std::path::Path::new("/dev/shm/none").exists());
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    let labels = pmem.dir.path().join("elsewhere");
    pmem.run("region", &["--size", "64M", "--labels", labels.to_str().unwrap()]).success();
    assert!(labels.exists() && !pmem.dir.path().join("pmem0.labels").exists());
    pmem.run("list", &["--labels", labels.to_str().unwrap()]).success();
    pmem.run("list", &[]).code(2).stderr(contains("NS413").and(contains("pmem0.labels is not there")));
    let itself = pmem.path();
    pmem.run("list", &["--labels", itself.to_str().unwrap()]).code(2).stderr(contains("NS414"));
    fs::write(&labels, [0; 100]).unwrap();
    pmem.run("list", &["--labels", labels.to_str().unwrap()]).code(1).stderr(contains("NS401").and(contains("64 KiB")));
}

/// Names of the namespaces of a region; each must be what its label says.
fn names(pmem: &Pmem) -> BTreeSet<(String, bool)> {
    let labels = pmem.dir.path().join("pmem0.labels");
    let open = |path| Medium::open(path, Access::Read).unwrap();
    let region = Region::open(open(&pmem.path()), open(&labels), None).unwrap();
    for label in region.labels() {
        let found = region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap();
        assert!(matches!(found, Personality::Pages(..)), "{} became raw", label.name);
    }
    region.labels().iter().map(|label| (label.name.clone(), label.is_disabled)).collect()
}

#[test]
fn a_process_killed_at_any_time_leaves_the_old_state_or_the_new_one() {
    let pmem = Pmem::new("256M");
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    let (mut done, mut undone, mut millis) = (0, 0, 7u64);
    for nr in 0..500u64 {
        let before = names(&pmem);
        let first = before.first().cloned();
        let (args, after): (Vec<String>, BTreeSet<_>) = match (before.len() < 8, first) {
            // Each third one comes back.
            (_, Some((name, true))) if nr % 3 == 0 => {
                let change = |one: &(String, bool)| (one.0.clone(), one.1 && one.0 != name);
                (vec!["enable".into(), name.clone()], before.iter().map(change).collect())
            }
            (false, Some((name, true))) => {
                (vec!["destroy".into(), name.clone()], before.iter().filter(|one| one.0 != name).cloned().collect())
            }
            (false, Some((name, false))) => {
                let change = |one: &(String, bool)| (one.0.clone(), one.1 || one.0 == name);
                (vec!["disable".into(), name.clone()], before.iter().map(change).collect())
            }
            _ => {
                let name = format!("n{nr:03}");
                let after = before.iter().cloned().chain([(name.clone(), false)]).collect();
                (["create", "--size", "16M", "--name", &name].map(str::to_owned).to_vec(), after)
            }
        };
        let mut child = std::process::Command::new(&program)
            .args(["namespace", &args[0]])
            .arg(pmem.path())
            .args(&args[1..])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From a start that is too early to one that is too late, in an order of no pattern.
        millis = (millis * 1_103_515_245 + 12_345) % (1 << 31);
        std::thread::sleep(Duration::from_micros(millis % 12_000));
        child.kill().unwrap();
        child.wait().unwrap();
        match names(&pmem) {
            found if found == after => done += 1,
            found if found == before => undone += 1,
            found => panic!("a third state after {args:?}: {found:?}, neither {before:?} nor {after:?}"),
        }
    }
    assert!(done > 0 && undone > 0, "{done} came to their end and {undone} did not");
}

#[test]
fn a_medium_is_one_region_whatever_name_it_has() {
    let pmem = Pmem::new("256M");
    pmem.run("create", &["--size", "64M"]).success();
    let other = pmem.dir.path().join("other");
    std::os::unix::fs::symlink(pmem.path(), &other).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::cargo_bin("pfnbench").unwrap();
        command.current_dir(pmem.dir.path()).arg("namespace").args(args).assert()
    };
    run(&["region", "other"]).code(2).stderr(contains("NS417"));
    run(&["region", "pmem0", "--labels", "l"]).code(2).stderr(contains("NS417").and(contains("list pmem0 shows")));
    run(&["list", "other"]).success().stdout(contains("namespace0.0"));
    assert!(!pmem.dir.path().join("other.labels").exists() && !pmem.dir.path().join("l").exists());
}

#[test]
fn what_is_created_is_where_nobody_is() {
    let pmem = Pmem::new("256M");
    for more in [["--ram", "0x100000000+64M"], ["--region", "0x102000000+256M"]] {
        pmem.run("create", &[&["--size", "64M"], &more[..]].concat()).code(1).stderr(contains("NS205"));
    }
    pmem.run("create", &["--size", "64M", "--region", "0x102000000+256M"]).stderr(contains("--size 16M or --size 32M"));
    let end = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    end.run("region", &["--size", "1G", "--start", "0x3ffff0000000"]).success();
    end.run("create", &["--size", "512M"]).code(2).stderr(contains("NS104").and(contains("--size 16M")));
    // Less than an info block, with others behind it and without.
    let small = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    small.run("region", &["--size", "64K"]).success();
    for size in ["4K", "56K", "4K"] {
        small.run("create", &["--size", size, "--mode", "raw"]).success();
    }
    small.run("check", &[]).success();
    small.run("enable", &["all"]).success();
}

/// On tmpfs a barrier takes no time, and who comes second hardly meets the first; so on a disk too.
#[test]
fn of_two_who_make_one_region_one_does_and_its_files_stay() {
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    for folder in ["/dev/shm", env!("CARGO_TARGET_TMPDIR")] {
        for nr in 0..40 {
            let pmem = Pmem { dir: tempfile::tempdir_in(folder).unwrap() };
            if nr % 2 == 1 {
                fs::write(pmem.path(), []).unwrap();
            }
            let run = || {
                let mut command = std::process::Command::new(&program);
                command.args(["namespace", "region"]).arg(pmem.path()).args(["--size", "64M"]);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            };
            let both = [run(), run(), run()].map(|child| child.wait_with_output().unwrap());
            let codes = both.each_ref().map(|output| output.status.code());
            assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{both:?}");
            // Busy, or a region already.
            let refused = both.iter().filter(|output| !output.status.success());
            let said: Vec<_> = refused.map(|output| String::from_utf8_lossy(&output.stderr)).collect();
            assert!(said.iter().all(|said| said.contains("NS405") || said.contains("NS417")), "{said:?}");
            pmem.run("create", &["--size", "16M"]).success();
            assert_eq!(fs::metadata(pmem.path()).unwrap().len(), 64 << 20);
            assert_eq!(fs::read_dir(pmem.dir.path()).unwrap().count(), 2, "nothing else is left");
        }
    }
}

#[test]
fn a_region_that_is_killed_on_its_way_is_made_by_the_next() {
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    let (mut done, mut undone, mut micros) = (0, 0, 7u64);
    for _ in 0..100 {
        let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        let mut child = std::process::Command::new(&program)
            .args(["namespace", "region"])
            .arg(pmem.path())
            .args(["--size", "64M"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        micros = (micros * 1_103_515_245 + 12_345) % (1 << 31);
        std::thread::sleep(Duration::from_micros(micros % 8_000));
        child.kill().unwrap();
        child.wait().unwrap();
        match pmem.dir.path().join("pmem0.labels").exists() {
            true => done += 1,
            false => {
                undone += 1;
                pmem.run("region", &["--size", "64M"]).success();
            }
        }
        pmem.run("create", &["--size", "16M"]).success();
        assert_eq!(fs::read_dir(pmem.dir.path()).unwrap().count(), 2, "nothing else is left");
    }
    assert!(done > 0 && undone > 0, "{done} came to their end and {undone} did not");
}

#[test]
fn a_medium_that_shrinks_while_it_is_mapped_is_an_answer_and_no_crash() {
    let pmem = Pmem::new("8G");
    pmem.run("create", &["--size", "8G", "--mode", "devdax"]).success();
    let medium = fs::File::options().write(true).open(pmem.path()).unwrap();
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    let enable = |more: &[&str]| {
        std::process::Command::new(&program)
            .args(["namespace", "enable"])
            .arg(pmem.path())
            .args(["namespace0.0", "--layout", "dax"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let start = Instant::now();
    assert!(enable(&[]).wait_with_output().unwrap().status.success());
    let whole = start.elapsed();
    // At every point of its life, until one look at what is gone was a signal, for people and for programs.
    let mut was_a_signal = [false; 2];
    for nr in 0..400 {
        if was_a_signal == [true; 2] {
            break;
        }
        let wants_json = nr % 2 == 1;
        let child = enable(if wants_json { &["--json"] } else { &[] });
        std::thread::sleep(whole.mul_f64(f64::from(nr / 2 % 40) / 40.0));
        medium.set_len(16 << 20).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
        medium.set_len(8 << 30).unwrap();
        // What was cut off took nothing of the info block with it.
        pmem.run("check", &[]).success();
        let told = match wants_json {
            true => serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].to_string(),
            false => String::from_utf8(output.stderr).unwrap(),
        };
        if output.status.code() == Some(1) && told.contains("became shorter while it was mapped") {
            assert!(told.contains("NS403"), "{told}");
            was_a_signal[usize::from(wants_json)] = true;
        }
    }
    assert_eq!(was_a_signal, [true; 2], "in 200 tries each");
}

/// A tmpfs of 1 MiB that is full; only there is one who may mount it.
#[test]
fn a_file_system_without_room_is_told_apart() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let script = r#"
        mount -t tmpfs -o size=1M pmem "$0" && cd "$0" && touch mounted || exit 77
        p() { verb=$1; shift; "$PFNBENCH" namespace $verb "$@"; echo "$verb ended with $?"; }
        p region pmem0 --size 256M
        p create pmem0 --size 128M --mode devdax
        dd if=/dev/zero of=fill bs=4096
        p enable pmem0 namespace0.0 --layout dax
        p create pmem0 --size 16M
        p region pmem1 --size 16M
        p list pmem0
        ls
    "#;
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .arg(dir.path())
        .env("PFNBENCH", assert_cmd::cargo::cargo_bin("pfnbench"))
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        other => {
            eprintln!("skipped: no tmpfs can be mounted here: {other:?}");
            return;
        }
    };
    let (said, refused) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    for ended in ["region ended with 0", "create ended with 0", "enable ended with 1", "create ended with 1"] {
        assert!(said.contains(ended), "{ended}: {said}");
    }
    for ended in ["region ended with 1", "list ended with 0", "128 MiB of 256 MiB free"] {
        assert!(said.contains(ended), "{ended}: {said}");
    }
    assert_eq!(refused.matches("error[NS404]").count(), 3, "{refused}");
    assert!(!said.contains("pmem1") && !refused.contains("--records-limit"), "{said}{refused}");
}
