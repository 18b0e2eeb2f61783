//! The command `pfnbench explain` on pasted lines.

mod common;

use common::{file, folder, json, pfnbench};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

const BLOCK: &str = "Block size [0x80000000] unaligned hotplug range: start 0x1040000000, size 0x80000000";

fn explain(args: &[&str]) -> assert_cmd::assert::Assert {
    pfnbench().arg("explain").args(args).assert()
}

fn explain_input(input: impl Into<Vec<u8>>, args: &[&str]) -> assert_cmd::assert::Assert {
    pfnbench().args(["explain", "-"]).args(args).write_stdin(input).assert()
}

#[test]
fn real_lines_are_explained_with_their_numbers() {
    for (line, texts) in [
        (
            "[    0.396551] Block size [0x40000000] unaligned hotplug range: start 0xc8000000, size 0x40000000",
            &["128 MiB (0x8000000) past 0xc0000000", "896 MiB (0x38000000)", "check_hotplug_memory_range", "4.17"][..],
        ),
        (BLOCK, &["1 GiB (0x40000000) past 0x1000000000", "blocks of 1 GiB (0x40000000) or less"]),
        ("nd_pmem pfn1.0: namespace1.0 alignment collision, truncate 67108864 bytes", &["64 MiB (0x4000000)", "NS502"]),
        ("Error: '--size=' must align to interleave-width: 6 and alignment: 2097152", &["12 MiB (0xc00000)", "NS101"]),
        ("dax_pmem: probe of dax0.0 failed with error -12", &["ENOMEM", "Cannot allocate memory"]),
        (
            "Failed to offline .../memory272/state: Device or resource busy",
            &["EBUSY", "memory block 272", "0x880000000-0x887ffffff"],
        ),
    ] {
        let shown = String::from_utf8(explain(&[line]).success().get_output().stdout.clone()).unwrap();
        // Lines are wrapped at 80 columns.
        let joined = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in texts {
            assert!(joined.contains(text), "{text} is missing in:\n{shown}");
        }
    }
    explain(&["acpi", "PNP0C80:01:", "add_memory", "failed"]).success().stdout(contains("acpi-add-memory-failed"));
    explain(&["--", "-bash: echo: write error: Invalid argument"]).success().stdout(contains("EINVAL"));
    explain(&["'--size=' must be >= 16MiB for 'fsdax' mode; $(x) `y` \\ | &"]).success().stdout(contains("NS109"));
    explain(&["hotplug-block-unaligned"]).success().stdout(contains("check_hotplug_memory_range"));
}

/// Lines that users met and could not explain, with the id of the message.
#[test]
fn lines_that_users_asked_about_are_known() {
    for (line, id) in [
        ("x86/mm: Memory block size: 2048MB", "x86-memory-block-size"),
        ("[    0.3] x86/mm: Memory block size: 2048MB", "x86-memory-block-size"),
        ("nd_pmem pfn0.0: unable to satisfy requested alignment", "pfn-unable-to-satisfy-align"),
        ("chmem: Memory Block 3 (0x18000000-0x1fffffff) disable failed: Device or resource busy", "chmem-failed"),
        (
            "Unable to complete 10 samples in 5.0s. You may wish to increase target time to 89.5s or reduce sample \
             count to 10",
            "criterion-too-few-samples",
        ),
        ("    Performance has regressed.", "criterion-regressed"),
        ("change: [+10.943% +11.216% +12.001%] (p = 0.00 < 0.05)", "criterion-change"),
        ("Unexpected error while launching valgrind. Error: No such file (os error 2)", "valgrind-not-started"),
        ("thread 'main' panicked at 'no entry found for key', src/lib.rs:162:40", "iai-no-entry"),
        ("Failed to open event 1: No such file or directory", "perf-event-missing"),
        ("Note: perf_event_open failed, so the ins/op columns are missing.", "perf-event-missing"),
        ("Permission denied", "permission-denied"),
    ] {
        explain(&[line]).success().stdout(contains(format!("{id}, ")));
    }
    explain(&["ls: cannot open the directory /root: Permission denied by policy"]).code(1);
    explain(&[""]).code(1).stderr(contains("the text is empty"));
}

#[test]
fn an_unknown_line_is_told_with_the_nearest_ones() {
    explain(&["Block sise [0x40000000] unaligned hot-plug range: start 0xc8000000"])
        .code(1)
        .stdout("")
        .stderr(contains("no explanation").and(contains("hotplug-block-unaligned")));
    explain(&["usb 1-1: new high-speed USB device number 4"]).code(1).stderr(contains("--messages"));
    explain_input("nothing\nknown\n", &[]).code(1).stderr(contains("none of the 2 lines"));
    explain_input("", &[]).code(1).stderr(contains("the text is empty"));
    let output = explain(&["kmem dax0.0: mapping0: too small after alignement", "--json"]).code(1);
    let found: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(found["unknown"][0]["nearest"][0], "kmem-too-small-after-align");
}

#[test]
fn a_paste_with_wrapped_lines_is_explained_and_unknown_lines_are_counted() {
    let mail = "After device_add I see this in the log of the guest:\n\n\
        [   12.345678] Block size [0x80000000] unaligned hotplug\nrange: start 0x1040000000, size 0x80000000\n\
        [   12.345679] acpi PNP0C80:00: add_memory failed\n";
    explain_input(mail, &[])
        .success()
        .stdout(contains("line 3: ").and(contains("hotplug-block-unaligned")).and(contains("line 5: ")))
        .stderr(contains("lines without a known message: 1").and(contains("line 1")));
    explain_input("NS101\n", &[]).success().stdout(contains("NS101: the request"));
}

#[test]
fn json_has_rule_values_facts_and_neighbours() {
    let found = json(pfnbench().args(["explain", BLOCK, "--json"]));
    assert_eq!((&found["kind"], &found["unknown_lines"]), (&"lines".into(), &0.into()));
    let message = &found["messages"][0];
    assert_eq!((&message["id"], &message["program"]), (&"hotplug-block-unaligned".into(), &"linux".into()));
    assert_eq!(message["values"]["start"]["number"], 0x10_4000_0000u64);
    assert_eq!(message["values"]["block"]["unit"], "bytes");
    let facts = message["facts"].as_array().unwrap();
    assert!(facts.iter().any(|fact| fact["numbers"]["past_bytes"] == 1 << 30), "{facts:?}");
    assert!(message["rule"].as_str().unwrap().contains("0x1040000000"));
    assert!(message["map"].is_null() && message["check"].is_array() && message["kernels"] == "Linux 4.17 and later");

    let dir = folder();
    let map = file(&dir, "iomem.txt", "00001000-9fffffff : System RAM\n100000000-103fffffff : System RAM\n");
    let found = json(pfnbench().args(["explain", BLOCK, "--json", "--map", &map]));
    let neighbour = &found["messages"][0]["map"][0]["neighbours"][0];
    assert_eq!((&neighbour["name"], &neighbour["relation"]), (&"RAM".into(), &"touches".into()));
    assert_eq!((&neighbour["shares_block"], &neighbour["shares_section"]), (&true.into(), &false.into()));
}

#[test]
fn with_a_map_the_neighbour_is_named() {
    let dir = folder();
    let map = "100000000-13bffffff : System RAM\n13c000000-1ffffffff : Persistent Memory\n";
    let line = "devm_memremap_pages attempted on mixed region [mem 0x13c000000-0x1ffffffff flags 0x200]";
    let path = file(&dir, "map.txt", map);
    for args in [[line, "--map", &path], [line, "--map", "-"]] {
        let shown = pfnbench().arg("explain").args(args).write_stdin(map).assert().success();
        shown.stdout(contains("RAM 0x100000000-0x13bffffff").and(contains("a section of 128")));
    }
    explain_input(line, &["--map", &path]).success().stdout(contains("touches it"));
    explain_input(line, &["--map", "-"]).code(2).stderr(contains("cannot be both"));
    explain(&[line, "--map", "/does/not/exist"]).code(2).stderr(contains("/does/not/exist"));
    explain(&["acpi PNP0C80:01: add_memory failed", "--map", &path]).success().stdout(contains("has no address"));
}

#[test]
fn damaged_input_is_no_problem() {
    let mut bytes = b"\xff\xfe\x00 acpi PNP0C80:01: add_memory failed\n\xc3\n".to_vec();
    explain_input(bytes.clone(), &[]).success().stdout(contains("acpi-add-memory-failed"));
    bytes.extend(std::iter::repeat_n(b'x', 10 << 20));
    bytes.extend_from_slice(b"\nreconfigured 0 devices\n");
    explain_input(bytes, &[])
        .success()
        .stdout(contains("daxctl-reconfigured-count"))
        .stderr(contains("longer than 4096 bytes"));
    let long = "Block size [0x8000000] unaligned hotplug range: start 0x123456789abcdef01234, size 0x40000000";
    explain(&[long]).success().stdout(contains("more than 64 bits"));
}

#[test]
fn messages_are_listed_by_program() {
    explain(&["--messages"]).success().stdout(contains("Linux\n").and(contains("  qemu-no-maxmem\n")));
    explain(&[]).success().stdout(contains("NS101").and(contains("Messages: Linux ")));
    let all = json(pfnbench().args(["explain", "--messages", "--json"]));
    assert!(all.as_array().unwrap().iter().all(|message| message["example"].is_string()));
    explain(&["--messages", "NS101"]).code(2);
}

#[test]
fn a_text_of_too_many_lines_is_refused() {
    let text = "a\n".repeat((1 << 18) + 1);
    let output = pfnbench().args(["explain", "-"]).write_stdin(text).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("262145 lines, more than the limit of 262144"), "{told}");
}
