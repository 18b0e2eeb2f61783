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
        (["plan", "--size", "17M"], "16M or 32M works"),
        (["plan", "--size", "0"], "16M works"),
        (["plan", "--size", "many"], "is not a size"),
        (["plan", "--usable", "0"], "NS106"),
        (["plan", "--usable", "65536T"], "is the most that can be had"),
        (["plan", "--size", "65536T"], "NS104"),
        (["plan", "--size", "0x"], "hexadecimal"),
    ] {
        namespace(&args).code(2).stderr(contains(says)).stdout("");
    }
    namespace(&["plan", "--size", "1G", "--align", "16G"]).code(2).stderr(contains("4 KiB, 2 MiB, 1 GiB"));
    namespace(&["plan", "--size", "1G", "--region-align", "3M"]).code(2).stderr(contains("power of two"));
    namespace(&["plan", "--size", "1G", "--ram", "9-1"]).code(2).stderr(contains("is no range"));
    let refused = contains("refused").and(contains("no room")).and(contains("fix     2G works"));
    namespace(&["plan", "--size", "1G", "--align", "1G"]).code(1).stdout(refused);
    // The cause, whatever is asked for.
    for size in ["--size", "--usable"] {
        namespace(&["plan", size, "1G", "--start", "0x100100000"]).code(1).stdout(contains("0x100200000"));
        namespace(&["plan", size, "1G", "--start", "0x100000001"]).code(2).stderr(contains("0x100000000 works"));
        namespace(&["plan", size, "1G", "--start", "0xffffffffffe00000"]).code(2).stderr(contains("physical space"));
    }
    let said = contains("another region").and(contains("at most 256M fits in front"));
    namespace(&["plan", "--size", "1G", "--region", "0x110000000+256M"]).code(1).stdout(said);
    namespace(&["plan", "--usable", "1G", "--region", "0x110000000-0x11fffffff"])
        .code(1)
        .stdout(contains("256 MiB that are free").and(contains("another region behind it, 0x110000000")));
    let odd = namespace(&["plan", "--size", "4097", "--region-align", "4K"]).code(2);
    odd.stderr(contains("--region-align 4K").not().and(contains("works")));
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
        .stderr(contains("a start of 0x101000000 or 0x101200000"));
    pmem.run("destroy", &["big"]).code(1).stderr(contains("pfnbench namespace disable FILE big"));
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
        (vec!["--size", "17M"], 2, "16M or 32M works"),
        (vec!["--size", "16M", "--align", "3M"], 2, "4 KiB, 2 MiB, 1 GiB"),
        (vec!["--size", "1G"], 1, "976 MiB more than the largest free piece of 48 MiB"),
        (vec!["--size", "16M", "--align", "1G"], 1, "a smaller alignment (--align 2M)"),
        (vec!["--size", "0"], 2, "16M works"),
        (vec!["--size", "16M", "--name", "a\nb"], 2, "control characters"),
    ] {
        pmem.run("create", &args).code(code).stderr(contains(says)).stdout("");
    }
    pmem.run("region", &["--size", "64M"]).code(2).stderr(contains("exists"));
    assert!(pmem.bytes() == before);
    // Another process has it.
    let held = Medium::open(&pmem.path(), Access::Write).unwrap();
    pmem.run("create", &["--size", "16M"]).code(1).stderr(contains("is open elsewhere"));
    drop(held);
    let odd = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    odd.run("region", &["--size", "64M", "--align", "3M"])
        .code(2)
        .stderr(contains("NS103").and(contains("--align 16M works")));
    odd.run("region", &["--size", "0"]).code(2).stderr(contains("NS104"));
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
    let enabled = run("enable", &["namespace0.0"], 0);
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
    let named = error["error"]["fix"].as_str().unwrap().strip_suffix(" works").unwrap().to_owned();
    pmem.run("create", &["--size", &named, "--align", "1G"]).success().stdout(contains("1 GiB of "));
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
    pmem.run("list", &[]).code(2).stderr(contains("pmem0.labels cannot be opened"));
    let itself = pmem.path();
    pmem.run("list", &["--labels", itself.to_str().unwrap()]).code(2).stderr(contains("the medium and its labels"));
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
fn a_medium_that_shrinks_while_it_is_mapped_is_an_answer_and_no_crash() {
    let pmem = Pmem::new("8G");
    pmem.run("create", &["--size", "8G", "--mode", "devdax"]).success();
    let medium = fs::File::options().write(true).open(pmem.path()).unwrap();
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    let enable = || {
        std::process::Command::new(&program)
            .args(["namespace", "enable"])
            .arg(pmem.path())
            .args(["namespace0.0", "--layout", "dax"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let start = Instant::now();
    assert!(enable().wait().unwrap().success());
    let whole = start.elapsed();
    // At every point of its life, until one look at what is gone was a signal.
    let was_a_signal = (0..200).any(|nr| {
        let child = enable();
        std::thread::sleep(whole.mul_f64(f64::from(nr % 40) / 40.0));
        medium.set_len(16 << 20).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
        medium.set_len(8 << 30).unwrap();
        // What was cut off took nothing of the info block with it.
        pmem.run("check", &[]).success();
        String::from_utf8(output.stderr).unwrap().contains("became shorter while it was mapped")
    });
    assert!(was_a_signal, "in 200 tries");
}
