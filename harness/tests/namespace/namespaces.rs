//! Namespaces from creation to destruction.

use super::*;

#[test]
fn a_namespace_from_creation_to_destruction() {
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
    pmem.run("destroy", &["big"]).code(1).stderr(contains("pmem0 big, then retry"));
    pmem.run("disable", &["big"]).success();
    pmem.run("destroy", &["big"]).success();
    pmem.run("destroy", &["big"]).code(2).stderr(contains("namespace0.0, namespace0.1"));
    let list = pmem.run("list", &["--json"]).success().get_output().stdout.clone();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["namespaces"].as_array().unwrap().len(), 2);
}

#[test]
fn namespaces_are_enabled_together() {
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
    // Before the series, the first namespace of a section occupies all of it.
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
fn json_has_the_parts_of_a_refusal() {
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
fn codes_are_explained() {
    namespace(&["explain", "ns312"]).success().stdout(contains("nd_pfn_validate").and(contains("exit    1")));
    namespace(&["explain"]).success().stdout(contains("NS101").and(contains("NS504")));
    namespace(&["explain", "NS999"]).code(1).stdout("").stderr(contains("NS505").and(contains("lists all codes")));
    namespace(&["explain", "NS100"]).code(1).stderr(contains("the nearest is NS101"));
    namespace(&["explain", "\u{1b}[31mhello"])
        .code(1)
        .stderr(contains("lists all codes").and(contains("\u{1b}").not()));
    let from_input = |text: &str| {
        let mut command = Command::cargo_bin("pfnbench").unwrap();
        command.args(["namespace", "explain", "-"]).write_stdin(text.to_owned()).assert()
    };
    from_input("error[NS312]: namespace0.0 has misaligned data\n  rule    the sum").success().stdout(contains("NS312"));
    from_input("").code(1).stderr(contains("lists all codes"));
}

#[test]
fn a_refused_request_changes_nothing() {
    let pmem = Pmem::new("64M");
    pmem.run("create", &["--size", "16M"]).success();
    let before = pmem.bytes();
    for (args, code, says) in [
        (vec!["--size", "17M"], 2, "--size 16M or --size 32M works"),
        (vec!["--size", "16M", "--align", "3M"], 2, "4 KiB, 2 MiB, 1 GiB"),
        (vec!["--size", "1G"], 1, "976 MiB more than the largest free range of 48 MiB"),
        (vec!["--size", "16M", "--align", "1G"], 1, "--align 2M"),
        (vec!["--size", "0"], 2, "--size 16M"),
        (vec!["--size", "16M", "--name", "a\nb"], 2, "invisible"),
    ] {
        pmem.run("create", &args).code(code).stderr(contains(says)).stdout("");
    }
    pmem.run("region", &["--size", "64M"]).code(2).stderr(contains("NS417"));
    assert!(pmem.bytes() == before);
    // Another process has locked it.
    let held = StorageFile::open(&pmem.path(), Access::Write).unwrap();
    pmem.run("create", &["--size", "16M"]).code(1).stderr(contains("is in use by another process"));
    drop(held);
    let odd = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    odd.run("region", &["--size", "64M", "--align", "3M"])
        .code(2)
        .stderr(contains("NS103").and(contains("--align 16M or --align 2M works")));
    odd.run("region", &["--size", "0"]).code(2).stderr(contains("NS108"));
    assert_eq!(fs::read_dir(odd.dir.path()).unwrap().count(), 0, "no files remain");
    odd.run("list", &[]).code(2).stderr(contains("pmem0"));
    fs::File::options().write(true).open(pmem.path()).unwrap().set_len(8192).unwrap();
    pmem.run("check", &[]).code(1).stderr(contains("are missing at its end"));
    fs::write(pmem.dir.path().join("pmem0.labels"), [0; 65536]).unwrap();
    pmem.run("list", &[]).code(1).stderr(contains("NS401"));
}

#[test]
fn a_suggested_size_works() {
    let pmem = Pmem::new("8G");
    let output = pmem.run("create", &["--size", "1G", "--align", "1G", "--json"]).code(1).get_output().stdout.clone();
    let error: Value = serde_json::from_slice(&output).unwrap();
    let suggested = error["error"]["works"][0].as_str().unwrap().strip_prefix("--size ").unwrap().to_owned();
    pmem.run("create", &["--size", &suggested, "--align", "1G"]).success().stdout(contains("1 GiB of "));
}

#[test]
fn suggestions_for_a_refused_namespace_work() {
    let mut typed = 0;
    for (region, first) in [
        (&["--size", "64M"][..], &[][..]),
        (&["--size", "64M", "--align", "4K"], &[]),
        // The next namespace would not start on a sub-section boundary.
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
                for suggestion in suggestions(&error["error"]) {
                    let typed_args = replaced(&args, &suggestion);
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
fn namespaces_below_16_mib_have_no_records() {
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
fn a_namespace_overlaps_nothing() {
    let pmem = Pmem::new("256M");
    for more in [["--ram", "0x100000000+64M"], ["--region", "0x102000000+256M"]] {
        pmem.run("create", &[&["--size", "64M"], &more[..]].concat()).code(1).stderr(contains("NS205"));
    }
    pmem.run("create", &["--size", "64M", "--region", "0x102000000+256M"]).stderr(contains("--size 16M or --size 32M"));
    let end = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    end.run("region", &["--size", "1G", "--start", "0x3ffff0000000"]).success();
    end.run("create", &["--size", "512M"]).code(2).stderr(contains("NS104").and(contains("--size 16M")));
    // Namespaces that are smaller than an info block, followed by others and not.
    let small = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    small.run("region", &["--size", "64K"]).success();
    for size in ["4K", "56K", "4K"] {
        small.run("create", &["--size", size, "--mode", "raw"]).success();
    }
    small.run("check", &[]).success();
    small.run("enable", &["all"]).success();
}
