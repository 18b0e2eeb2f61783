//! `pfnbench strand` and `pfnbench budget`.

mod common;

use assert_cmd::Command;
use common::{file, folder, json, pfnbench, reference_run, refused};
use pfnbench::analysis::compare;
use pfnbench::budget::RecordsIn;
use pfnbench::budget::step_time::{HotAddTimes, REFERENCE_HOT_ADDS};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

fn strand(args: &[&str]) -> Command {
    let mut command = pfnbench();
    command.arg("strand").args(args);
    command
}

fn budget(args: &[&str]) -> Command {
    let mut command = pfnbench();
    command.arg("budget").args(args);
    command
}

/// The JSON of a command, whatever it answers.
fn json_with_code(command: &mut Command, code: i32) -> Value {
    let output = command.arg("--json").assert().code(code).get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

fn fits_80_columns(command: &mut Command) -> String {
    let output = command.assert().get_output().stdout.clone();
    let text = String::from_utf8(output).unwrap();
    for line in text.lines().filter(|line| line.starts_with(' ') || line.contains("  ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    text
}

/// MiB lost with blocks of 2M, 16M, 128M, 256M, 512M, 1G and 2G.
fn lost_mib(told: &Value) -> Vec<u64> {
    let lost = told["stranding"]["lost_bytes"].as_array().unwrap();
    lost.iter().map(|bytes| bytes.as_u64().unwrap() >> 20).collect()
}

#[test]
fn built_in_maps_lose_what_was_published() {
    for (map, lost) in [
        ("cxl-memory-hole-4g", [0, 0, 0, 0, 0, 0, 2048]),
        ("cxl-qemu-512m", [0, 0, 0, 0, 512, 512, 512]),
        ("ndctl-76-model", [0, 0, 256, 512, 1024, 2048, 4096]),
        ("arm64-vm-pmem-4g", [0, 14, 126, 254, 510, 1022, 2046]),
        ("hpe-dl380-nvdimm-n-32g", [0, 0, 0, 0, 0, 0, 2048]),
    ] {
        let code = i32::from(lost[6] > 0);
        let told = json_with_code(&mut strand(&[&format!("builtin:{map}"), "--block-size", "2G"]), code);
        assert_eq!(lost_mib(&told), lost, "{map}");
    }
}

#[test]
fn ranges_are_given_by_hand() {
    let window = "0xc050000000-0xfcefffffff";
    strand(&[window, "--block-size", "256M"]).assert().success().stdout(contains("Nothing of 242.50 GiB is lost"));
    strand(&[window, "--block-size", "2G"]).assert().code(1).stdout(
        contains("768 MiB in front, 1.75 GiB behind").and(contains("loses nothing is 256 MiB. Number of blocks: 970")),
    );
    let told = json_with_code(&mut strand(&["0x148200000-33fffffff", "--block-size", "128M"]), 1);
    assert_eq!(lost_mib(&told), [0, 14, 126, 126, 382, 894, 1918]);
    let two = json_with_code(&mut strand(&["0xc8000000+1G", "200000000+1G", "--block-size", "1G"]), 1);
    assert_eq!(lost_mib(&two)[5], 1024);
}

#[test]
fn without_a_block_size_only_what_holds_for_all_is_an_answer() {
    for (range, code) in [("0x100000000+2G", 0), ("0x100200000+2G", 1), ("0xc050000000+242G", 2)] {
        strand(&[range]).assert().code(code).stdout(contains("The block size is unknown"));
    }
}

#[test]
fn the_block_size_follows_from_the_map_and_the_kernel() {
    let dir = folder();
    // RAM ends at a multiple of 256 MiB, the window begins there.
    let text = "00100000-c04fffffff : System RAM\nc050000000-fcefffffff : CXL Window 0\n";
    let map = file(&dir, "genoa.txt", text);
    let block = |args: &[&str], code| {
        let told = json_with_code(strand(&[&map]).args(args), code);
        assert_eq!(told["applies"]["from"], "kernel");
        told["applies"]["block_bytes"].as_u64().unwrap() >> 20
    };
    assert_eq!(block(&[], 0), 256, "the window advises");
    assert_eq!(block(&["--kernel", "6.12"], 1), 2048);
    assert_eq!(block(&["--kernel", "6.12", "--guest"], 0), 256);
    strand(&[&map, "--kernel", "6.12"])
        .assert()
        .code(1)
        .stdout(contains("as Linux 6.12 on x86-64 chooses on bare metal"));
    // The map is around a range that is given by hand.
    let told = json_with_code(&mut strand(&["0xc050000000+1G", "--map", &map]), 0);
    assert_eq!(told["stranding"]["total_bytes"], 1u64 << 30);
    let with_ram = json_with_code(&mut strand(&[&map, "--include", "ram"]), 1);
    assert_eq!(with_ram["stranding"]["ranges"].as_array().unwrap().len(), 2);
}

#[test]
fn the_data_of_a_namespace_is_judged_and_not_its_region() {
    let dir = folder();
    let region = r#"{"dev":"region0","size":268435456,"resource":19595788288,"type":"pmem","available_size":0,"namespaces":[
        {"dev":"namespace0.0","mode":"devdax","map":"dev","size":257949696,"align":2097152,"chardev":"dax0.0"}]}"#;
    let map = file(&dir, "region.json", region);
    let told = json_with_code(&mut strand(&[&map, "--block-size", "128M"]), 1);
    let judged = &told["stranding"]["ranges"][0];
    // 10 MiB of the region are header and records, so the device begins inside of a block.
    assert_eq!((&judged["name"], &judged["start"]), (&"dax0.0".into(), &0x4_90a0_0000u64.into()));
    assert_eq!(lost_mib(&told)[2], 118);
    assert_eq!(told["namespaces"][0]["is_multiple"], serde_json::json!([true, true, false]));
    strand(&[&map, "--block-size", "128M"]).assert().code(1).stdout(contains("namespace0.0").and(contains("yes")));
    // Without the start of the region, nothing follows.
    let map = file(&dir, "no-base.json", &region.replace(r#""resource":19595788288,"#, ""));
    strand(&[&map, "--block-size", "128M"])
        .assert()
        .stdout(contains("Alignment unknown, because no source states where the region starts: namespace0.0."));
}

#[test]
fn csv_has_a_line_for_each_range_and_size() {
    let output = strand(&["builtin:cxl-memory-hole-4g", "--csv", "--block-size", "2G"]).assert().code(1);
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1 + 2 * 7, "{text}");
    assert!(text.contains(",soft reserved,0x100000000,0x1bfffffff,3221225472,2147483648,0,1073741824,1"), "{text}");
}

#[test]
fn output_fits_80_columns() {
    for map in ["ndctl-76-model", "cxl-flexible-7-windows", "optane-ice-lake-2s-2016g", "amd-genoa-2s-1536g"] {
        fits_80_columns(&mut strand(&[&format!("builtin:{map}")]));
    }
    fits_80_columns(&mut budget(&["--guest", "2G", "--add", "1T", "--step", "128M", "--free", "1234567"]));
    fits_80_columns(&mut budget(&[
        "--guest",
        "31.7T",
        "--add",
        "128T",
        "--direct-map",
        "base",
        "--altmap",
        "--arch",
        "x86-64-la57",
    ]));
}

#[test]
fn strand_refuses_bad_input() {
    let dir = folder();
    let ram = file(&dir, "ram.txt", common::SMALL_MAP);
    let missing = dir.path().join("missing.txt").display().to_string();
    for (args, words) in [
        (&["0x100000000+0"][..], &["not a range of at least one byte"][..]),
        (&["0x10000000000000+4G"], &["52 bits", "try 0xc050000000+242G"]),
        (&["0xffffffffffffffff+1"], &["ends at 2^64 or above"]),
        (&["0x100000000+1G", "--block-size", "0"], &["block size 0 B", "try --block-size 128M"]),
        (&["0x100000000+1G", "--block-size", "3M"], &["not a power of two"]),
        (&["0x100000000+1G", "--block-size", "1M"], &["from 2 MiB to 64 GiB"]),
        (&["0x100000000+1G", "--kernel", "banana"], &["is not a version of Linux"]),
        (&["0x100000000+1G", "0x120000000+1G"], &["overlap"]),
        (&["builtin:nowhere"], &["there is no built-in map"]),
        (&[&missing], &["cannot read the map", "missing.txt"]),
        (&[&ram, &ram], &["two maps"]),
        (&[&ram], &["no range can strand", "pfnbench strand 0xc050000000+242G"]),
        (&[&ram, "--csv"], &["no range can strand"]),
        (&[], &["Usage"]),
    ] {
        refused(&dir, &mut strand(args), words);
    }
}

#[test]
fn budgets_agree_with_what_was_published() {
    // kata-containers pull request 4862, and kata-containers/runtime issue 1244.
    let told = json(budget(&["--guest", "256M", "--add", "12G"]).arg("--json"));
    assert_eq!(told["budget"]["need"]["ram_records"], 192 << 20);
    assert_eq!(told["budget"]["kata_bytes"], 12u64 << 30);
    budget(&["--guest", "2G", "--add", "120G"]).assert().code(1).stdout(contains("It does not fit."));
    budget(&["--guest", "4G", "--add", "120G"])
        .assert()
        .success()
        .stdout(contains("It fits.").and(contains("order 9 (2 MiB)")).and(contains("reference machine, not yours")));
}

#[test]
fn steps_that_are_online_make_room_for_the_next() {
    let args = ["--guest", "2G", "--add", "1T", "--step", "128M"];
    budget(&args).assert().code(1).stdout(contains("no, step 769 fails"));
    budget(&args).arg("--auto-online").assert().success();
    budget(&["--guest", "2G", "--add", "1T", "--auto-online"]).assert().code(1);
}

#[test]
fn records_can_live_elsewhere() {
    let args = ["--guest", "2G", "--add", "1T"];
    let altmap = json(budget(&args).args(["--altmap", "--json"]));
    assert_eq!(altmap["budget"]["need"]["ram_records"], 0);
    assert_eq!(altmap["budget"]["need"]["device_records"], 16u64 << 30);
    assert_eq!(altmap["times"]["layout"], "dax-x86");
    let block = json(budget(&args).args(["--memmap-on-memory", "--json"]));
    assert_eq!(block["budget"]["usable_bytes"], (1u64 << 40) - (16 << 30), "2 MiB of each block of 128 MiB");
    budget(&args).args(["--memmap-on-memory", "--kernel", "6.1"]).assert().code(2).stderr(contains("try --step 128M"));
}

#[test]
fn the_largest_total_is_what_fits_would_accept() {
    for (arch, end) in [("x86-64", 1u64 << 46), ("x86-64-la57", 1 << 52)] {
        let args = ["--guest", "2T", "--add", "1T", "--altmap", "--direct-map", "1G", "--arch", arch];
        let told = json(budget(&args).arg("--json"));
        let [start, largest] =
            [&told["budget"]["request"]["start"], &told["budget"]["largest_step_bytes"]].map(|n| n.as_u64().unwrap());
        assert_eq!(start + largest, end, "{arch}");
        let range = |bytes: u64| format!("{start:#x}-{:#x}", start + bytes - 1);
        let fits = |bytes| pfnbench().args(["fits", "--arch", arch, "--guest", &range(bytes)]).assert();
        fits(largest).success();
        fits(largest + (128 << 20)).code(1);
    }
    // Sections, hence blocks, of 1 GiB.
    let old = json(budget(&["--guest", "2G", "--add", "1G", "--arch", "arm64", "--kernel", "5.10"]).arg("--json"));
    assert_eq!(old["budget"]["request"]["block_bytes"], 1 << 30);
}

#[test]
fn the_time_of_a_step_is_that_of_its_records() {
    let time = |page: &str| {
        let args = ["--guest", "8G", "--add", "16G", "--step", "2G", "--page-size", page];
        json(budget(&args).arg("--json"))["step_time"].clone()
    };
    let (small, large) = (time("4K"), time("64K"));
    assert_eq!((&small["measured_bytes"], &large["measured_bytes"]), (&(1 << 30).into(), &(128 << 20).into()));
    assert!(large["p50_ns"].as_f64().unwrap() < small["p50_ns"].as_f64().unwrap());
    let args = ["--guest", "8G", "--add", "16G", "--step", "2G", "--page-size", "64K"];
    budget(&args).assert().success().stdout(contains("as many records as 128 MiB"));
}

#[test]
fn budget_refuses_bad_input() {
    let dir = folder();
    let missing = dir.path().join("missing").display().to_string();
    let base = ["--guest", "2G", "--add", "64G"];
    for (args, words) in [
        (&["--guest", "0", "--add", "64G"][..], &["--guest is 0; try --guest 2G"][..]),
        (&["--guest", "2G", "--add", "0"], &["--add is 0"]),
        (&["--guest", "2G", "--add", "64T"], &["address space of 64 TiB", "try a smaller --add"]),
        (&["--guest", "15E", "--add", "1G"], &["address space of 64 TiB"]),
        (&["--guest", "2G", "--add", "100M"], &["not a multiple of the block size 128 MiB", "try --add 128M"]),
        (&["--guest", "2G"], &["--add"]),
        (&["--guest", "2G", "--add", "-1"], &["--add"]),
    ] {
        refused(&dir, &mut budget(args), words);
    }
    for (more, words) in [
        (&["--step", "0"][..], &["--step is 0"][..]),
        (&["--step", "1000M"], &["--step 1000M is not a multiple", "try --step 896M"]),
        (&["--block-size", "0"], &["block size 0 B"]),
        (&["--page-size", "8K"], &["arm64 has no pages of 8K; try 4K, 16K, 64K"]),
        (&["--page-size", "64K", "--arch", "x86-64"], &["x86-64 has no pages of 64K; try 4K"]),
        (&["--arch", "s390"], &["invalid value 's390'"]),
        (&["--record-bytes", "0"], &["record size 0 bytes"]),
        (&["--record-bytes", "4096"], &["record size 4096 bytes"]),
        (&["--free", "3G"], &["more than the guest's 2 GiB"]),
        (&["--start", "0x100001000"], &["--start", "not a multiple"]),
        (&["--page-size", "64K", "--memmap-on-memory"], &["memmap_on_memory is not possible"]),
        (&["--altmap", "--memmap-on-memory"], &["cannot be used with"]),
        (&["--kernel", "5.12", "--memmap-on-memory"], &["since 5.13"]),
        (&["--run", &missing], &["not a readable folder"]),
    ] {
        refused(&dir, budget(&base).args(more), words);
    }
}

#[test]
fn times_are_those_of_the_run() {
    let run = reference_run();
    let told = json(budget(&["--guest", "2G", "--add", "64G", "--step", "1G", "--json", "--run"]).arg(&run));
    assert_eq!(told["times"]["from"], run.file_name().unwrap().to_str().unwrap());
    assert_eq!(told["step_time"]["measured_bytes"], 1 << 30);
    assert!(told["step_time"]["p50_ns"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_run_without_hot_adds_gives_no_times() {
    let dir = folder();
    common::smoke(&dir, &["--filter", "^pfn_valid"]).assert().success();
    let machine = fs::read_dir(dir.path().join("results")).unwrap().next().unwrap().unwrap().path();
    let run = fs::read_dir(machine).unwrap().next().unwrap().unwrap().path();
    let mut command = budget(&["--guest", "2G", "--add", "64G", "--run"]);
    refused(&dir, command.arg(&run), &["has no median of a hot-add of linux-6.1 or subsection", "leave out --run"]);
}

/// The times that the program brings along are those of the reference run. To renew them, replace the lines of
/// `harness/src/budget/reference-hot-adds.csv` with those that a failure prints.
#[test]
fn the_times_of_the_reference_machine_are_those_of_the_reference_run() {
    let run = compare::read(&reference_run()).unwrap();
    let of_run = [RecordsIn::Ram, RecordsIn::Device].map(|place| HotAddTimes::of_run(&run, place).unwrap().to_csv());
    let known: Vec<&str> = REFERENCE_HOT_ADDS.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = of_run.concat();
    assert_eq!(known, expected.lines().collect::<Vec<_>>(), "the lines should be:\n{expected}");
}
