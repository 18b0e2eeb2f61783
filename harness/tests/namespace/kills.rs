//! Processes that are killed.

use super::*;

/// Names of the namespaces of a region, and whether they are disabled. Each must have a valid info
/// block.
fn names(pmem: &Pmem) -> BTreeSet<(String, bool)> {
    let labels = pmem.dir.path().join("pmem0.labels");
    let open = |path| StorageFile::open(path, Access::Read).unwrap();
    let region = Region::open(open(&pmem.path()), open(&labels), None).unwrap();
    for label in region.labels() {
        let found = region.probe(label, &Host::X86_64, &RuleSet::MERGED).unwrap();
        assert!(matches!(found, Personality::Pages(..)), "{} became raw", label.name);
    }
    region.labels().iter().map(|label| (label.name.clone(), label.is_disabled)).collect()
}

#[test]
fn a_killed_process_leaves_the_old_or_the_new_state() {
    let pmem = Pmem::new("256M");
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    let (mut done, mut undone, mut millis) = (0, 0, 7u64);
    for nr in 0..500u64 {
        let before = names(&pmem);
        let first = before.first().cloned();
        let (args, after): (Vec<String>, BTreeSet<_>) = match (before.len() < 8, first) {
            // One of three disabled namespaces is enabled again.
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
        // A pseudo-random delay, from before the first write to after the last.
        millis = (millis * 1_103_515_245 + 12_345) % (1 << 31);
        std::thread::sleep(Duration::from_micros(millis % 12_000));
        child.kill().unwrap();
        child.wait().unwrap();
        match names(&pmem) {
            found if found == after => done += 1,
            found if found == before => undone += 1,
            found => panic!("unexpected state after {args:?}: {found:?}, neither {before:?} nor {after:?}"),
        }
    }
    assert!(done > 0 && undone > 0, "{done} changes were made and {undone} were not");
}

#[test]
fn after_a_killed_region_command_the_next_one_succeeds() {
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
        assert_eq!(fs::read_dir(pmem.dir.path()).unwrap().count(), 2, "no other files remain");
    }
    assert!(done > 0 && undone > 0, "{done} changes were made and {undone} were not");
}

/// On a disk, where the write barriers of a new region take time.
#[test]
fn an_interrupted_region_command_leaves_a_region_or_no_files() {
    let program = assert_cmd::cargo::cargo_bin("pfnbench");
    let (mut made, mut interrupted, mut micros) = (0, 0, 7u64);
    for _ in 0..100 {
        let pmem = Pmem { dir: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() };
        let mut child = std::process::Command::new(&program)
            .args(["namespace", "region"])
            .arg(pmem.path())
            .args(["--size", "64M"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        micros = (micros * 1_103_515_245 + 12_345) % (1 << 31);
        std::thread::sleep(Duration::from_micros(micros % 8_000));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        // 130 if it handled the signal; no code if the handler was not installed yet.
        let code = child.wait().unwrap().code();
        let left = fs::read_dir(pmem.dir.path()).unwrap().count();
        match code {
            Some(0) => made += 1,
            _ => interrupted += 1,
        }
        assert_eq!(left, if code == Some(0) { 2 } else { 0 }, "ended with {code:?}");
    }
    assert!(made + interrupted == 100 && interrupted > 0, "{made} {interrupted}");
}
