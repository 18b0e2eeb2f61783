//! Regions: their media, their labels, and concurrent creation.

use super::*;

#[test]
fn suggestions_for_a_refused_region_work() {
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
        assert_eq!(fs::read_dir(pmem.dir.path()).unwrap().count(), 0, "no files remain");
        for suggestion in suggestions(&error["error"]) {
            let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
            let typed_args = replaced(&args, &suggestion);
            pmem.run("region", &typed_args.iter().map(String::as_str).collect::<Vec<_>>()).success();
            typed += 1;
        }
    }
    assert!(typed > 12, "{typed}");
}

#[test]
fn a_region_is_created_on_an_existing_file() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    fs::write(pmem.path(), vec![0xa5; 32 << 20]).unwrap();
    pmem.run("list", &[]).code(2).stderr(contains("NS413").and(contains("creates a region without namespaces")));
    pmem.run("region", &["--size", "16M"]).code(2).stderr(contains("NS416").and(contains("it has 32 MiB")));
    pmem.run("region", &[]).success().stdout(contains("its contents are unchanged"));
    assert!(fs::read(pmem.path()).unwrap().iter().all(|byte| *byte == 0xa5));
    pmem.run("create", &["--size", "16M"]).success();
    pmem.run("region", &["--size", "32M"]).code(2).stderr(contains("NS417").and(contains("pfnbench namespace list")));
    // The advice for damaged labels works.
    let labels = pmem.dir.path().join("pmem0.labels");
    fs::write(&labels, [0; 65536]).unwrap();
    pmem.run("list", &[]).code(1).stderr(contains("NS401").and(contains("remove them")));
    fs::remove_file(&labels).unwrap();
    let medium = fs::read(pmem.path()).unwrap();
    pmem.run("region", &["--size", "32M"]).success();
    assert!(fs::read(pmem.path()).unwrap() == medium);
    // An empty file is extended only if the request is valid.
    let empty = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    fs::write(empty.path(), []).unwrap();
    empty.run("region", &[]).code(2).stderr(contains("NS416"));
    empty.run("region", &["--size", "64M", "--align", "3M"]).code(2);
    assert_eq!(fs::metadata(empty.path()).unwrap().len(), 0);
    empty.run("region", &["--size", "64M"]).success();
    // A path with a space, in a folder that does not exist.
    namespace(&["list", "/dev/shm/no such/pmem0"]).code(2).stderr(contains(
        "pfnbench namespace region '/dev/shm/no such/pmem0' --size 4G creates a region \
         after mkdir -p '/dev/shm/no such'",
    ));
}

#[test]
fn files_that_are_no_medium_or_labels_stay_unchanged() {
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
    // An empty file stays empty if its labels cannot be created.
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
        .stderr(contains("pfnbench namespace disable medium --labels l 'a b', then retry"));
    let mut left: Vec<_> = fs::read_dir(pmem.dir.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["empty", "folder", "l", "link", "medium", "pipe"]);
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
    pmem.run("list", &[]).code(2).stderr(contains("NS413").and(contains("pmem0.labels does not exist")));
    let itself = pmem.path();
    pmem.run("list", &["--labels", itself.to_str().unwrap()]).code(2).stderr(contains("NS414"));
    fs::write(&labels, [0; 100]).unwrap();
    pmem.run("list", &["--labels", labels.to_str().unwrap()]).code(1).stderr(contains("NS401").and(contains("64 KiB")));
}

#[test]
fn a_medium_holds_one_region_under_all_its_names() {
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

/// On tmpfs, write barriers take no time and processes hardly overlap; so also on a disk.
#[test]
fn one_of_three_concurrent_region_commands_succeeds_and_its_files_remain() {
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
            // The others find the file in use, or a region.
            let refused = both.iter().filter(|output| !output.status.success());
            let said: Vec<_> = refused.map(|output| String::from_utf8_lossy(&output.stderr)).collect();
            assert!(said.iter().all(|said| said.contains("NS405") || said.contains("NS417")), "{said:?}");
            pmem.run("create", &["--size", "16M"]).success();
            assert_eq!(fs::metadata(pmem.path()).unwrap().len(), 64 << 20);
            assert_eq!(fs::read_dir(pmem.dir.path()).unwrap().count(), 2, "no other files remain");
        }
    }
}
