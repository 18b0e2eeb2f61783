//! Namespaces at the address of the firmware, and their neighbours.

use super::*;

#[test]
fn suggested_starts_of_a_moved_namespace_work() {
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
            assert_eq!(suggestions(&enabled["namespaces"][0]["error"]), suggestions(&one["error"]), "{at} {name}");
            for suggestion in suggestions(&one["error"]) {
                let suggestion: Vec<_> = suggestion.split(' ').collect();
                pmem.run("enable", &[&[name], &suggestion[..]].concat()).success();
                let again = pmem.run("check", &[&suggestion[..], &["--json"]].concat()).get_output().stdout.clone();
                let again: Value = serde_json::from_slice(&again).unwrap();
                let its = again["namespaces"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
                assert_eq!(its["is"], "pages", "{at} {name} {suggestion:?}: {again}");
                typed += 1;
            }
        }
    }
    assert!(typed >= 10, "{typed}");
    // A start at which RAM is in the way is not suggested.
    let ram = ["--at", "0x100100000", "--ram", "0x100000000-0x10fffffff", "--json"];
    let checked: Value = serde_json::from_slice(&pmem.run("check", &ram).code(1).get_output().stdout).unwrap();
    assert_eq!(suggestions(&checked["namespaces"][0]["error"]), Vec::<String>::new(), "{checked}");
    for verb in ["list", "check", "create"] {
        let size = if verb == "create" { &["--size", "16M"][..] } else { &[] };
        pmem.run(verb, &[&["--at", "0x100000001"], size].concat()).code(2).stderr(contains("NS105"));
    }
}

/// `check --rules before` predicts what a machine with these rules does.
#[test]
fn the_prediction_for_old_kernels_matches_the_simulation() {
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
                let result = |one: &Value| (one["is"].as_str().unwrap().to_owned(), one["error"]["code"].clone());
                told["namespaces"].as_array().unwrap().iter().map(result).collect()
            };
            let simulated = run("enable", &["all", "--layout", "section-dax"]);
            assert_eq!(run("check", &["--rules", "before"]), simulated, "{start} {sizes:?} {args:?}");
            // On its own, the namespace is enabled at the suggested start.
            let told =
                pmem.run("check", &[args, &["--rules", "before", "--json"]].concat()).get_output().stdout.clone();
            let told: Value = serde_json::from_slice(&told).unwrap();
            for one in told["namespaces"].as_array().unwrap().iter().filter(|one| one["is"] == "refused") {
                for suggestion in suggestions(&one["error"]).iter().filter(|_| one["error"]["code"] == "NS504") {
                    let typed: Vec<_> = ["--layout", "section-dax"].into_iter().chain(suggestion.split(' ')).collect();
                    pmem.run("enable", &[&[one["name"].as_str().unwrap()], &typed[..]].concat()).success();
                    nr_typed += 1;
                }
            }
        }
    }
    assert!(nr_typed > 3, "{nr_typed}");
    // The plan for the same start is refused alike.
    namespace(&["plan", "--size", "1G", "--start", "0x104000000"])
        .success()
        .stdout(contains("before (Linux ≤ 5.2): error[NS504]").and(contains("--start 0x108000000")));
}

#[test]
fn neighbours_matter_to_create_and_check() {
    let pmem = Pmem { dir: tempfile::tempdir_in("/dev/shm").unwrap() };
    pmem.run("region", &["--size", "1G", "--start", "0x104000000"]).success();
    let ram = ["--ram", "0x100000000-0x103ffffff"];
    pmem.run("create", &[&["--size", "512M", "--rules", "before"], &ram[..]].concat()).success();
    pmem.run("check", &["--rules", "before"]).success().stdout(contains("a block device without DAX"));
    pmem.run("check", &[&["--rules", "before"], &ram[..]].concat()).success();
    pmem.run("enable", &[&["all", "--layout", "section-dax"], &ram[..]].concat()).success();
    // A namespace without padding shares a section with the neighbour.
    pmem.run("disable", &["namespace0.0"]).success();
    pmem.run("create", &["--size", "256M", "--rules", "before", "--map", "mem"]).success();
    let region = ["--region", "0x134000000+64M"];
    pmem.run("check", &[&["--rules", "before"], &region[..]].concat()).code(1).stdout(contains("NS502"));
    pmem.run("check", &region).success();
}

#[test]
fn check_and_enable_refuse_an_address_above_the_physical_address_space() {
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
