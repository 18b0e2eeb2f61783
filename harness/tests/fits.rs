//! The command `fits`, and its verdicts compared with those of a modelled machine.

mod common;

use common::{file, folder, json, pfnbench};
use memmap_layouts::layouts::Subsection;
use memmap_layouts::machine::{AddMemory, Machine, MachineConfig, PagemapSpec};
use memmap_layouts::rules::{Before, Linux5_10, Linux7_2, Rules};
use memmap_layouts::{Config, PfnRange, RecordStore, X86_64};
use pfnbench::hotplug_check::architecture::Architecture;
use pfnbench::hotplug_check::machine::MachineDescription;
use pfnbench::hotplug_check::request::{Request, RequestKind};
use pfnbench::map::read;
use predicates::prelude::*;
use predicates::str::contains;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use std::fmt::Write as _;

/// Runs `fits` and returns its exit code and its output.
fn fits(args: &[&str]) -> (i32, String) {
    let output = pfnbench().arg("fits").args(args).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

fn holds(args: &[&str], code: i32, parts: &[&str]) {
    let (found, text) = fits(args);
    assert_eq!(found, code, "{args:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{args:?}: {part:?} is missing in:\n{text}");
    }
}

/// A guest of QEMU with 64 GiB of RAM: it ends at 65 GiB.
const GUEST: &str = "00001000-bfffffff : System RAM\n100000000-103fffffff : System RAM\n";

#[test]
fn a_dimm_behind_a_guest_of_64_gib() {
    holds(
        &["0x1040000000+2G", "--block-size", "2G"],
        1,
        &[
            "error[MB101]",
            "start 0x1040000000 is 1 GiB past 0x1000000000, 1 GiB short of 0x1080000000",
            "size 2 GiB is a multiple of 2 GiB",
            "0x1080000000+2G",
            "0x1000000000+2G",
            "--block-size 1G",
            "only block, section and address rules apply",
            "memory blocks: 2 GiB: as given",
        ],
    );
    let dir = folder();
    let map = file(&dir, "guest.txt", GUEST);
    // 4.17 chooses 1 GiB, because the end of RAM is a multiple of it; 4.16 chose 2 GiB.
    for kernel in ["4.17", "5.8", "7.2"] {
        let says = ["memory blocks: 1 GiB: the largest size", "accepted", "memory65 to memory66"];
        holds(&["0x1040000000+2G", "--map", &map, "--guest", "--kernel", kernel], 0, &says);
    }
    let bare = ["0x1040000000+2G", "--map", &map];
    holds(&bare, 1, &["memory blocks: 2 GiB: RAM ends at 0x1040000000", "on bare metal", "System RAM at 0x100000000"]);
    // The block below has RAM, so the DIMM must be above.
    assert!(!fits(&bare).1.contains("0x1000000000+2G"));
    holds(&[&bare[..], &["--kernel", "4.16"]].concat(), 0, &["a memory block is there in part only"]);
}

#[test]
fn a_dimm_of_an_arm64_guest_with_blocks_of_1_gib() {
    let args = ["0xc8000000+1G", "--arch", "arm64", "--kernel"];
    let refused = [&args[..], &["5.10"]].concat();
    holds(
        &refused,
        1,
        &["memory blocks: 1 GiB", "128 MiB past 0xc0000000", "896 MiB short of 0x100000000", "0x100000000+1G"],
    );
    holds(&[&args[..], &["5.12"]].concat(), 0, &["memory blocks: 128 MiB"]);
    let told = json_of(&refused, 1);
    let nearest = told["steps"][0]["add"]["nearest"].as_array().unwrap();
    assert_eq!(nearest.last().unwrap()["argument"], "0x100000000+1G");
}

#[test]
fn the_largest_part_that_is_free_is_named() {
    let dir = folder();
    let text = "00001000-bfffffff : System RAM\n100000000-17fffffff : System RAM\n180000000-1bfffffff : Persistent Memory\n\
                2010000000-204fffffff : CXL Window 0\n  2010000000-201fffffff : region0\n";
    let map = file(&dir, "machine.txt", text);
    let with_map = |args: &[&'static str]| [args, &["--map", &map, "--block-size", "128M"]].concat();
    // Not inside of persistent memory, although Linux would accept a DIMM there, and says so.
    holds(&with_map(&["0x140000000+4G"]), 1, &["0x1c0000000+4G or 0x1c0000000+2G works"]);
    let other = "yet Persistent Memory at 0x180000000-0x1bfffffff (1 GiB) is of another device";
    holds(&with_map(&["0x180000000+1G"]), 0, &[other]);
    holds(&with_map(&["0x180000000+1G", "--as", "kmem"]), 0, &["RAM     0x180000000"]);
    // A region is as large as the rest of its window; the window itself is not in the way.
    let args = with_map(&["0x2030000000+1G", "--as", "cxl"]);
    holds(&args, 1, &["MB111", "0x2030000000+512M works"]);
    assert!(!fits(&args).1.contains("MB105"));
    holds(&with_map(&["0x2010000000+1G", "--as", "cxl"]), 1, &["0x2020000000+768M works"]);
    let there = "at 0x2010000000-0x201fffffff (256 MiB), so it is there already";
    holds(&with_map(&["0x2010000000+256M", "--as", "cxl"]), 1, &[there]);
    holds(&with_map(&["0x170000000+1G", "--as", "device"]), 1, &["0x180000000+768M works"]);
}

#[test]
fn proposals_are_near() {
    let large_pages = ["0x100000000+128M", "--arch", "arm64", "--page-size", "64K"];
    holds(&large_pages, 1, &["0x100000000+512M", "0x120000000+512M"]);
    assert!(!fits(&large_pages).1.contains("0xffffe"), "not the end of the address space");
    let dir = folder();
    let map = file(
        &dir,
        "pmem.txt",
        "00100000-7fffffff : System RAM\n100000000-187fffffff : System RAM\n1880000000-d57fffffff : Persistent Memory\n",
    );
    let in_pmem = ["0x1900000000+1G", "--map", &map, "--block-size", "1G"];
    assert!(!fits(&["0x1860000000+1G", "--map", &map]).1.contains("0x80000000"), "not below 4 GiB");
    holds(&in_pmem, 0, &["is of another device"]);
    // Blocks as large as half of all addresses.
    holds(&["0x100000000+128M", "--block-size", "8E"], 1, &["MB101"]);
    holds(&["0x100000000+2P"], 1, &["choose a size of at most 64 TiB"]);
    // The namespace has the first 300 GiB of its region.
    let region = r#"{"dev":"region0","size":811748818944,"resource":105226698752,"type":"pmem","available_size":489626271744,"namespaces":[
        {"dev":"namespace0.0","mode":"fsdax","map":"dev","size":317087285248,"align":2097152}]}"#;
    let map = file(&dir, "region.txt", &format!("100000000-187fffffff : System RAM\n{region}\n"));
    holds(&["0x1900000000+1G", "--as", "device", "--map", &map], 1, &["namespace0.0 at 0x1880000000"]);
    holds(&["0x6700000000+1G", "--as", "device", "--map", &map], 0, &["mapped"]);
}

#[test]
fn a_namespace_whose_data_is_ram_is_there_without_a_warning() {
    let dir = folder();
    let text = "00001000-bfffffff : System RAM\n490000000-49fffffff : Persistent Memory\n\
                \x20 490000000-49fffffff : namespace0.0\n    498000000-49fffffff : System RAM (kmem)\n";
    let map = file(&dir, "machine.txt", text);
    let (code, told) = fits(&["0x490000000+128M", "--as", "device", "--map", &map]);
    assert_eq!(code, 1, "{told}");
    assert!(told.contains("namespace0.0 at 0x490000000-0x497ffffff") && !told.contains("ignored"), "{told}");
}

#[test]
fn two_devices_share_a_section_since_5_3() {
    let args = ["0x100000000+64M", "0x104000000+64M", "--as", "device", "--kernel"];
    let says = ["NS502", "0x100000000-0x103ffffff (64 MiB), in the same section", "0x108000000+64M"];
    holds(&[&args[..], &["5.2"]].concat(), 1, &says);
    holds(&[&args[..], &["5.3"]].concat(), 0, &["mapped  0x104000000-0x107ffffff (64 MiB)"]);
    let aligned = ["0x100100000+64M", "--as", "namespace"];
    holds(&aligned, 1, &["MB108", "1 MiB past 0x100000000, 1 MiB short of 0x100200000", "0x100200000+64M"]);
}

#[test]
fn a_dax_device_as_ram_loses_what_is_no_whole_block() {
    let args = ["0xa90a00000-0xa9fffffff", "--as", "kmem"];
    let says = ["RAM     0xa98000000-0xa9fffffff (128 MiB), memory339", "lost    118 MiB of 246 MiB", "at the front"];
    holds(&args, 0, &says);
    let small = ["0xa90a00000+64M", "--as", "kmem"];
    holds(&small, 1, &["MB102", "0xa90000000+128M"]);
    holds(&[&small[..], &["--kernel", "5.13"]].concat(), 0, &["adds nothing"]);
    // Two ranges that touch each other are cut one by one.
    holds(&["0x100000000+64M,0x104000000+64M", "--as", "kmem"], 1, &["MB102"]);
}

#[test]
fn other_kinds_have_their_own_rules() {
    let dir = folder();
    let map = file(&dir, "cxl.txt", "00001000-bfffffff : System RAM\n2010000000-204fffffff : CXL Window 0\n");
    let with_map = |args: &[&'static str]| fits(&[args, &["--map", &map]].concat());
    for (args, code, says) in [
        (&["0x2010000000+1G", "--as", "cxl"][..], 0, "RAM     0x2010000000"),
        (&["0x2018000000+128M", "--as", "cxl"], 1, "MB109"),
        (&["0x3010000000+256M", "--as", "cxl"], 1, "MB111"),
        (&["0x2010000000+256M", "--as", "cxl", "--kernel", "5.19"], 1, "MB112"),
        (&["0x2010200000+256M", "--as", "extent"], 0, "as posted (v11)"),
        (&["0x2010100000+256M", "--as", "extent"], 1, "MB110"),
        (&["0x40000000+256M", "--as", "extent"], 1, "System RAM at 0x1000"),
        (&["0x100100000+1G", "--as", "virtio-mem"], 0, "127 MiB are lost at the front"),
        (&["0x100100000+1G", "--as", "virtio-mem", "--kernel", "5.7"], 1, "Linux 5.8"),
        (&["0x1fc0000000+256M", "--as", "cxl-window"], 0, "window  0x1fc0000000"),
        (&["0x1fc8000000+256M", "--as", "cxl-window"], 1, "MB109"),
        (&["0x2040000000+512M", "--as", "cxl-window"], 1, "CXL Window at 0x2010000000"),
        (&["0x40000000+256M"], 1, "System RAM at 0x1000"),
        (&["0x400000000000+1G"], 1, "MB103"),
        (&["0x400000000000+1G", "--arch", "x86-64-la57"], 0, "accepted"),
        (&["0x100000001+1G"], 1, "MB107"),
        (&["0x100000000+1G", "--node", "3"], 0, "accepted"),
    ] {
        let (found, text) = with_map(args);
        assert_eq!(found, code, "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {says:?} is missing in:\n{text}");
    }
    let nodes =
        file(&dir, "nodes.txt", "node   0: [mem 0x00001000-0x3fffffff]\nnode   1: [mem 0x40000000-0x7fffffff]\n");
    holds(&["0x100000000+1G", "--map", &nodes, "--node", "2"], 1, &["MB104", "nodes 0 to 1"]);
    holds(&["0x100000000+1G", "--map", &nodes, "--node", "1"], 0, &["accepted"]);
}

#[test]
fn a_refusal_lists_every_broken_rule() {
    let dir = folder();
    let map = file(&dir, "map.txt", "node   0: [mem 0x00001000-0xbfffffff]\n");
    let args = ["0xb8100000+1G", "--map", &map, "--node", "7", "--block-size", "1G"];
    let codes: Vec<String> = refused_codes(&args);
    assert_eq!(codes, ["MB101", "MB104", "MB105", "MB106"]);
    for code in &codes {
        pfnbench().args(["explain", code]).assert().success().stdout(contains(code.as_str()));
    }
    let (_, text) = fits(&args);
    assert!(codes.iter().all(|code| text.contains(&format!("error[{code}]"))), "{text}");
    for label in ["rule", "off by", "who", "cost", "fix", "see     pfnbench explain MB101", "accepted instead"] {
        assert!(text.contains(label), "{label}: {text}");
    }
}

fn json_of(args: &[&str], code: i32) -> Value {
    let assert = pfnbench().arg("fits").args(args).arg("--json").assert().code(code);
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

fn refused_codes(args: &[&str]) -> Vec<String> {
    let told = json_of(args, 1);
    let refusals = told["steps"][0]["add"]["refusals"].as_array().unwrap();
    refusals.iter().map(|refusal| refusal["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn json_has_the_block_size_with_its_reason() {
    let dir = folder();
    let map = file(&dir, "guest.txt", GUEST);
    let told = json(pfnbench().args(["fits", "0x1040000000+2G", "--guest", "--json", "--map", &map]));
    assert_eq!((&told["block_size"]["bytes"], &told["block_size"]["origin"]), (&(1 << 30).into(), &"chosen".into()));
    assert_eq!((&told["map"], &told["kernel"], &told["accepted"]), (&"guest".into(), &"7.2".into(), &true.into()));
    assert_eq!(told["steps"][0]["add"]["added"][0]["start"], 0x10_4000_0000u64);
    assert_eq!(told["present"][0]["what"], "RAM");
    let assumed = json(pfnbench().args(["fits", "0x100000000+1G", "--json"]));
    assert_eq!((&assumed["block_size"]["origin"], &assumed["map"]), (&"assumed".into(), &Value::Null));
}

#[test]
fn suggestions_are_accepted() {
    let dir = folder();
    let map = file(&dir, "guest.txt", GUEST);
    for args in [
        &["0x1040000000+2G", "--block-size", "2G"][..],
        &["0x103f000000+3G"],
        &["0x100100000+16M", "--as", "device"],
        &["0x100100000+16M", "--as", "device", "--kernel", "5.2"],
        &["0x1040000000+64M", "--as", "kmem"],
        &["0x3fffff000000+1G"],
    ] {
        let args = [args, &["--map", &map]].concat();
        let told = json_of(&args, 1);
        let nearest = told["steps"][0]["add"]["nearest"].as_array().unwrap();
        assert!(!nearest.is_empty(), "{args:?}");
        for nearest in nearest {
            let argument = nearest["argument"].as_str().unwrap();
            let again = match argument.strip_prefix("--block-size ") {
                Some(bytes) => {
                    let without: Vec<&str> =
                        args.iter().copied().filter(|arg| !["--block-size", "2G"].contains(arg)).collect();
                    [&without[..], &["--block-size", bytes]].concat()
                }
                None => [&[argument], &args[1..]].concat(),
            };
            assert_eq!(fits(&again).0, 0, "{again:?}");
        }
    }
}

#[test]
fn a_sequence_is_played_line_by_line() {
    let dir = folder();
    let text = "\
# two DIMMs, the second of which is in the way of a third
add 0x100000000+1G
add 0x140000000+1G as dimm node 0
add 0x160000000+512M
remove 0x140000000+1G
add 0x160000000+512M
add 0x1a0000000+64M,0x1a8000000+64M as device
";
    let path = file(&dir, "sequence.txt", text);
    holds(
        &["--sequence", &path],
        1,
        &[
            "line 2: add 0x100000000+1G as dimm",
            "line 5: remove 0x140000000+1G",
            "at the end, apart from the map (1 of 6 refused):",
            "0x160000000-0x17fffffff (512 MiB)  RAM",
            "0x1a8000000-0x1abffffff (64 MiB)  device mapping",
        ],
    );
    let told = json_of(&["--sequence", &path], 1);
    let accepted: Vec<bool> = told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["add"].as_object().or(step["remove"].as_object()).unwrap()["accepted"] == true)
        .collect();
    assert_eq!(accepted, [true, true, false, true, true, true]);
    pfnbench()
        .args(["fits", "--sequence", "-"])
        .write_stdin("add 0x100000000+1G\n")
        .assert()
        .success()
        .stdout(contains("line 1").and(contains("accepted")));
}

#[test]
fn bad_input_is_a_usage_error() {
    let dir = folder();
    let hidden = file(&dir, "hidden.txt", "00000000-00000000 : System RAM\n");
    let windows = file(&dir, "windows.txt", "2010000000-204fffffff : CXL Window 0\n");
    let line = file(&dir, "line.txt", "add 0x100000000+1G\nadd nonsense as dimm\n");
    let binary = file(&dir, "binary.txt", "add \u{0}\u{7f} as dimm\n");
    for (args, says) in [
        (&["0x100000000+0"][..], "is not a range of at least one byte"),
        (&["0x200000000-0x100000000"], "ends before it starts"),
        (&["0xffffffffffffffff+1G"], "ends at 2^64 or above"),
        (&["0x10000000000000000+1G"], "ends at 2^64 or above"),
        (&["0-ffffffffffffffff"], "ends at 2^64 or above"),
        (&["one gigabyte"], "is not a range"),
        (&["0x0+-1G"], "is not a range"),
        (&["0x0+1G,0x80000000+1G"], "a dimm has one range"),
        (&["0x0+1G,", "--as", "kmem"], "is not a range"),
        (&["0x0+1G", "--block-size", "3G"], "not a power of two"),
        (&["0x0+1G", "--block-size", "0"], "not a power of two"),
        (&["0x0+1G", "--block-size", "64M"], "below the minimum of one section"),
        (&["0x0+1G", "--arch", "sparc"], "possible values: x86-64"),
        (&["0x0+1G", "--as", "dim"], "possible values: dimm"),
        (&["0x0+1G", "--page-size", "64K"], "x86-64 has no pages of 64K; try 4K"),
        (&["0x0+1G", "--page-size", "8K", "--arch", "arm64"], "arm64 has no pages of 8K; try 4K, 16K, 64K"),
        (&["0x0+1G", "--kernel", "2.6"], "is not a version of Linux"),
        (&["0x0+1G", "--map", "/does/not/exist"], "/does/not/exist"),
        (&["0x0+1G", "--map", "builtin:nothing"], "no built-in map"),
        (&["0x0+1G", "--map", &hidden], "root"),
        (&["0x0+1G", "--map", &windows], "has no RAM"),
        (&["0x0+1G", "--node", "256"], "--node"),
        (&["--sequence", &line], "line 2: \"nonsense\" is not a range"),
        (&["--sequence", &binary], "line 1"),
        (&["--sequence", "/does/not/exist"], "/does/not/exist"),
        (&["--sequence", "/dev/zero"], "larger than the limit of 4 MiB"),
        (&["--sequence", &line, "0x0+1G"], "cannot be used with"),
        (&["--sequence", "-", "--map", "-"], "both read standard input"),
        (&[], "RANGE"),
    ] {
        holds(args, 2, &[says]);
    }
}

/// Whatever the range, there is an answer.
#[test]
fn extreme_ranges_have_verdicts() {
    for range in ["0x0+1", "0x0+15E", "0xfffffffffffff000+1K", "0-fffffffffffffffe", "0x3ffffffff000+2K"] {
        for kind in RequestKind::ALL {
            for architecture in Architecture::ALL {
                for kernel in ["4.4", "5.2", "5.10", "7.2"] {
                    let kernel = kernel.parse().unwrap();
                    let machine = MachineDescription { kernel, ..MachineDescription::new(architecture) };
                    let verdict = machine.prepare().unwrap().judge(&Request::parse(range, kind).unwrap());
                    let accepted: u64 = verdict.accepted.iter().map(|span| span.bytes()).sum();
                    assert_eq!(accepted + verdict.lost_bytes, verdict.request.bytes(), "{range} {kind} {architecture}");
                }
            }
        }
    }
}

/// Random requests on random maps have the verdict and the error number of the modelled machine.
fn compare<R: Rules>(kernel: &str, seed: u64) -> [usize; 2] {
    const MIB: u64 = 1 << 20;
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(seed);
    let (mut text, mut at) = (String::new(), 0);
    for _ in 0..random.random_range(1..4) {
        let start = at + random.random_range(0..20u64) * 16 * MIB;
        at = start + random.random_range(1..20u64) * 16 * MIB;
        writeln!(text, "{start:x}-{:x} : System RAM", at - 1).unwrap();
    }
    let map = read("random", "random", &text).unwrap();
    let (kernel, map_ref) = (kernel.parse().unwrap(), Some(&map));
    let description = MachineDescription { kernel, map: map_ref, ..MachineDescription::new(Architecture::X86_64) };
    let mut prepared = description.prepare().unwrap();
    let config = MachineConfig { block_bytes: Some(prepared.block_size().bytes), ..MachineConfig::default() };
    let boot = map.boot_map().unwrap();
    let machine = Machine::<Subsection<X86_64, R>>::boot(&boot, config, &Config::default(), RecordStore::unlimited());
    let machine = machine.unwrap();
    machine.claim_ram_buffers().unwrap();
    let mut verdicts = [0; 2];
    for _ in 0..20 {
        let unit = [2 * MIB, 64 * MIB, 128 * MIB][random.random_range(0..3)];
        let (start, bytes) = (random.random_range(0..20u64) * unit, random.random_range(1..4u64) * unit);
        let kind = [RequestKind::Dimm, RequestKind::Kmem, RequestKind::Device][random.random_range(0..3)];
        let request = Request::parse(&format!("{start:#x}+{bytes}"), kind).unwrap();
        let pages = PfnRange::from_len(start >> 12, bytes >> 12).unwrap();
        let errno = match kind {
            RequestKind::Dimm => machine.add_memory(pages, &AddMemory::default()).err().map(|error| error.errno()),
            RequestKind::Kmem => {
                let driver_name = Some("System RAM (kmem)".to_owned());
                let how = AddMemory { driver_name, ..AddMemory::default() };
                machine.add_device_memory(&[pages], &how).err().map(|error| error.errno())
            }
            _ => machine.memremap_pages(PagemapSpec::device(pages)).err().map(|error| error.errno()),
        };
        let before = prepared.judge(&request);
        let verdict = prepared.add(&request);
        assert_eq!(before.is_accepted(), verdict.is_accepted());
        let told = verdict.refusals.first().map(|refusal| refusal.errno.unwrap());
        assert_eq!(told, errno, "{request} on Linux {kernel} and\n{text}{:?}", verdict.refusals);
        verdicts[usize::from(verdict.is_accepted())] += 1;
    }
    verdicts
}

#[test]
fn verdicts_are_those_of_the_modelled_machine() {
    let mut verdicts = [0; 2];
    for seed in 0..40 {
        for found in
            [compare::<Before>("5.2", seed), compare::<Linux5_10>("5.10", seed), compare::<Linux7_2>("7.2", seed)]
        {
            verdicts = [verdicts[0] + found[0], verdicts[1] + found[1]];
        }
    }
    assert!(verdicts[0] > 400 && verdicts[1] > 200, "{verdicts:?}");
}
