//! Media and labels that are damaged, full, or may not be written.

use super::*;

#[test]
fn a_damaged_copy_of_the_labels_is_reported_and_repaired() {
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
fn a_read_only_medium_can_be_checked_and_not_changed() {
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
        // root ignores permissions.
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
fn a_medium_that_shrinks_while_it_is_mapped_is_refused_without_a_crash() {
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
    // At varying points in time, until an access to the missing part raised SIGBUS once with text
    // and once with JSON.
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
        // The info block was not cut off.
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

/// On a full tmpfs of 1 MiB; skipped where it cannot be mounted.
#[test]
fn a_full_file_system_has_its_own_code() {
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
