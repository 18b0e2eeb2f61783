//! Versions of Linux whose rules apply, and interleaved regions.

use super::*;

/// A report: `ndctl` states 257949696 bytes for a namespace of 256 MiB, of Linux 6.1.
#[test]
fn linux_6_1_reserves_more_space_on_the_medium() {
    let plan = ["plan", "--size", "256M", "--start", "0xa90000000"];
    let usable = |version: &str| {
        let told = json(&[&plan[..], &["--kernel", version, "--json"]].concat());
        let rules = told["rules"].as_object().unwrap();
        assert_eq!(rules.len(), 1, "{version}");
        rules.values().next().unwrap()["division"]["usable_bytes"].as_u64().unwrap()
    };
    assert_eq!([usable("6.1"), usable("v6.1.7")], [257_949_696; 2]);
    for version in ["5.3", "6.0", "6.1.12", "6.1.0-57-cloud-amd64", "6.2", "6.12", "7.2"] {
        assert_eq!(usable(version), 262_144_000, "{version}");
    }
    // The data starts 10 MiB after the start: a range that a driver can make RAM of.
    namespace(&[&plan[..], &["--kernel", "6.1"]].concat())
        .success()
        .stdout(contains("257949696 bytes usable, from 10 MiB on at 0xa90a00000"));
    let both = namespace(&[&plan[..], &["--kernel", "5.2", "--kernel", "6.1", "--kernel", "6.12"]].concat()).success();
    both.stdout(
        contains("Linux 5.2")
            .and(contains("Linux 6.1 (≤ 6.1.11): 257949696 bytes"))
            .and(contains("Linux 6.12: 262144000 bytes")),
    );
}

#[test]
fn a_kernel_is_one_side_of_the_series_or_a_version() {
    let plan = ["plan", "--size", "1G"];
    let rules = |more: &[&str]| {
        let told = json(&[&plan[..], more, &["--json"]].concat());
        told["rules"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(rules(&[]), ["before", "merged"]);
    assert_eq!(rules(&["--rules", "before"]), ["before"]);
    assert_eq!(rules(&["--kernel", "6.12", "--kernel", "6.12.1"]), ["6.12"]);
    assert_eq!(rules(&["--kernel", "6.1", "--kernel", "6.1.12"]), ["6.1", "6.1.12"]);
    let pmem = Pmem::new("64M");
    for verb in ["plan", "lost"] {
        let size = if verb == "plan" { &["--size", "1G"][..] } else { &[] };
        namespace(&[&[verb], size, &["--kernel", "6.1", "--rules", "merged"]].concat())
            .code(2)
            .stderr(contains("cannot be used with"));
        namespace(&[&[verb], size, &["--kernel", "3.2"]].concat()).code(2).stderr(contains("from 4.0 on; try 7.2"));
    }
    for (verb, args) in [("check", &[][..]), ("create", &["--size", "16M"])] {
        let both = [args, &["--rules", "before", "--kernel", "5.2"]].concat();
        pmem.run(verb, &both).code(2).stderr(contains("cannot be used with"));
        pmem.run(verb, &[args, &["--kernel", "six"]].concat()).code(2).stderr(contains("is not a version of Linux"));
    }
    pmem.run("enable", &["all", "--kernel", "5.2", "--layout", "dax"]).code(2).stderr(contains("cannot be used with"));
    // Possible means under every kernel that is given: up to 5.2, the section must be its own.
    let shared = ["plan", "--size", "16M", "--start", "0x104000000", "--ram", "0x100000000-0x103ffffff"];
    namespace(&[&shared[..], &["--kernel", "6.12"]].concat()).success();
    namespace(&shared).success();
    namespace(&[&shared[..], &["--kernel", "5.2", "--kernel", "6.12"]].concat()).code(1);
}

#[test]
fn a_namespace_of_linux_6_1_is_usable_on_every_kernel() {
    let pmem = Pmem::new("512M");
    pmem.run("create", &["--size", "256M", "--kernel", "6.1"]).success().stdout(contains("246 MiB of 256 MiB usable"));
    pmem.run("create", &["--size", "256M", "--kernel", "6.12"]).success().stdout(contains("250 MiB of 256 MiB"));
    let medium = fs::read(pmem.path()).unwrap();
    // Source: `page_struct_size` of `struct nd_pfn_sb`, after 88 bytes and the page size.
    let record_bytes = |namespace: usize| {
        let at = (namespace << 28) + 4096 + 92;
        u16::from_le_bytes([medium[at], medium[at + 1]])
    };
    assert_eq!((record_bytes(0), record_bytes(1)), (128, 64));
    for kernel in ["5.2", "5.3", "5.10", "6.0", "6.1", "6.1.12", "6.12", "7.2"] {
        let checked = pmem.run("check", &["--kernel", kernel, "--json"]).success().get_output().stdout.clone();
        let checked: Value = serde_json::from_slice(&checked).unwrap();
        let data = [0, 1].map(|nr| checked["namespaces"][nr]["data_bytes"].as_u64().unwrap());
        assert_eq!(data, [246 << 20, 250 << 20], "{kernel}");
        pmem.run("enable", &["all", "--kernel", kernel]).success();
    }
}

#[test]
fn the_loss_is_given_for_every_version() {
    let lost = json(&["lost", "--kernel", "6.0", "--kernel", "6.1", "--json"]);
    let lost = lost.as_array().unwrap();
    assert_eq!(lost.len(), 64 * 3);
    let gib = lost.iter().find(|one| one["size_bytes"] == 1 << 30).unwrap();
    assert_eq!((&gib["losses"][0]["kernel"], &gib["losses"][1]["kernel"]), (&"6.0".into(), &"6.1".into()));
    assert_eq!(gib["losses"][0]["lost_bytes"], 18 << 20);
    assert_eq!(gib["losses"][1]["lost_bytes"], 34 << 20);
    let csv = namespace(&["lost", "--kernel", "6.1", "--csv"]).success().get_output().stdout.clone();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.starts_with("offset_bytes,size_bytes,neighbours,kernel,lost_bytes,refused\n"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 64 * 3);
    namespace(&["lost", "--kernel", "6.1"]).success().stdout(contains("1 GiB 6.1"));
    // Without versions, the columns are those of the series.
    let csv = namespace(&["lost", "--csv"]).success().get_output().stdout.clone();
    assert!(String::from_utf8(csv).unwrap().contains("before_bytes"));
    namespace(&["lost", "--interleave", "6"]).success().stdout(contains("96 MiB since"));
}

/// Reports of ndctl and of pmem-csi: six DIMMs take turns.
#[test]
fn sizes_are_multiples_of_the_alignment_of_all_dimms() {
    let six = ["plan", "--interleave", "6", "--json"];
    let error = |args: &[&str], code| {
        let output = namespace(&[&six[..], args].concat()).code(code).get_output().stdout.clone();
        serde_json::from_slice::<Value>(&output).unwrap()["error"].clone()
    };
    // The next multiple of 6 × 2 MiB.
    let told = error(&["--size", "4295000000", "--region-align", "12M"], 2);
    assert_eq!((told["code"].as_str(), suggestions(&told)[1].as_str()), (Some("NS101"), "--size 4104M"));
    assert_eq!(4104 << 20, 4_303_355_904u64);
    let plan = json(&[&six[..], &["--size", "4303355904", "--region-align", "12M"]].concat());
    assert_eq!((&plan["mappings"], &plan["region_align_bytes"]), (&6.into(), &(12 << 20).into()));
    // The default alignment is 6 × 16 MiB.
    let told = error(&["--size", "16M"], 2);
    assert_eq!(suggestions(&told), ["--size 96M"]);
    namespace(&["plan", "--interleave", "6", "--size", "96M"]).success();
    let usable = json(&[&six[..], &["--usable", "700G"]].concat());
    assert_eq!(usable["rules"]["merged"]["size_bytes"].as_u64().unwrap() % (96 << 20), 0);
    // 16 MiB cannot be divided by 6. What is named works.
    for (align, size) in [("16M", "96M"), ("16M", "64M"), ("5M", "1G"), ("12K", "96M"), ("0", "96M")] {
        let told = error(&["--region-align", align, "--size", size], 2);
        assert_eq!(told["code"], "NS103", "{align}");
        assert!(told["rule"].as_str().unwrap().contains("for each of its DIMMs"), "{told}");
        assert!(told["off_by"].as_str().unwrap().contains("6 times a power of two"), "{told}");
        let works = suggestions(&told);
        assert!(!works.is_empty(), "{told}");
        for one in works {
            let args = replaced(&[&six[..], &["--region-align", align, "--size", size]].concat(), &one);
            json(&args.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    namespace(&["plan", "--size", "16M", "--interleave", "0"]).code(2);
}

#[test]
fn an_interleaved_region_keeps_its_number_of_dimms() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    pmem.run("region", &["--size", "1G", "--interleave", "6", "--align", "16M", "--json"]).code(2);
    let output = pmem.run("region", &["--size", "1G", "--interleave", "6", "--align", "16M"]).code(2);
    output.stderr(contains("NS103").and(contains("on 6 DIMMs")).and(contains("--align 96M or --align 12M works")));
    pmem.run("region", &["--size", "1G", "--interleave", "6"]).success().stdout(contains("multiples of 96 MiB"));
    pmem.run("create", &["--size", "128M"])
        .code(2)
        .stderr(contains("NS101").and(contains("--size 96M or --size 192M works")));
    for start in ["0x100000000", "0x106000000"] {
        pmem.run("create", &["--size", "96M"]).success().stdout(contains(start));
    }
    pmem.run("check", &[]).success();
    pmem.run("enable", &["all"]).success();
    let list = pmem.run("list", &["--json"]).success().get_output().stdout.clone();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!((&list["mappings"], &list["align_bytes"]), (&6.into(), &(96 << 20).into()));
    // 1 GiB is 10 × 96 MiB and a rest, which no namespace can use.
    assert_eq!(list["free_bytes"], (8 * 96) << 20);
    // A region that is smaller than the alignment has no room for it.
    let small = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    let told = small.run("region", &["--size", "64M", "--interleave", "6", "--json"]).code(2);
    let told: Value = serde_json::from_slice(&told.get_output().stdout).unwrap();
    for one in suggestions(&told["error"]) {
        let small = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
        let args = replaced(&["--size", "64M", "--interleave", "6"], &one);
        small.run("region", &args.iter().map(String::as_str).collect::<Vec<_>>()).success();
    }
    assert!(!suggestions(&told["error"]).is_empty());
}
