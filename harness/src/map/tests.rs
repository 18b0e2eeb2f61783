use super::*;

fn ok(text: &str) -> PhysicalMap {
    read("test", "test", text).unwrap()
}

fn ranges(text: &str) -> Vec<(u64, u64, Kind)> {
    ok(text).ranges.iter().map(|r| (r.start, r.end, r.kind)).collect()
}

fn error(text: &str) -> String {
    read("test", "test", text).unwrap_err().to_string()
}

#[test]
fn iomem_ends_are_inclusive_and_children_count_once() {
    let text = "\
00000000-00000fff : Reserved
00001000-0009ffff : System RAM
00100000-54d93fff : System RAM
  01000000-01556eb4 : Kernel code
  03000000-0c8fffff : System RAM
c0000000-cfffffff : PCI Bus 0000:00
  00000000-00000000 : PCI Bus 0000:00
100000000-17fffffff : System RAM
";
    let ram = |start, end| (start, end, Kind::Ram);
    assert_eq!(ranges(text), [ram(0x1000, 0xa0000), ram(0x10_0000, 0x54d9_4000), ram(0x1_0000_0000, 0x1_8000_0000)]);
}

#[test]
fn pieces_that_meet_inside_a_page_are_one_region() {
    let text = "00100000-0a6f3017 : System RAM\n0a6f3018-0a6f5057 : System RAM\n0a6f5058-0e655ffe : System RAM\n";
    let map = ok(text);
    assert_eq!(map.ranges.len(), 1);
    let boot = map.boot_map().unwrap();
    assert_eq!((boot.ranges()[0].range.start(), boot.ranges()[0].range.end()), (0x100, 0xe655));
    assert!(map.warnings.is_empty(), "{:?}", map.warnings);
    let tiny = ok("00001000-0009ffff : System RAM\n00100800-00101bfe : System RAM\n");
    assert!(tiny.warnings[0].contains("no whole page: 1"), "{:?}", tiny.warnings);
}

#[test]
fn memory_of_devices_is_added_later() {
    let text = "\
240000000-33fdfffff : Persistent Memory
  240000000-2403fffff : namespace0.0
  280000000-2bfffffff : dax0.0
    280000000-2bfffffff : System RAM
400000000-4ffffffff : Soft Reserved
  400000000-4ffffffff : dax1.0
    400000000-4ffffffff : System RAM (kmem)
500000000-5ffffffff : soft reserved
";
    let kinds: Vec<_> = ranges(text).into_iter().map(|(_, _, kind)| kind).collect();
    assert!(!kinds.contains(&Kind::Ram), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|k| **k == Kind::HotplugRam).count(), 2);
    assert_eq!(ok(text).boot_map().unwrap().nr_pages(), 0);
    // RAM made of a device counts with the device, once.
    assert_eq!(ok(text).added().len(), 3);
    assert!(ok(text).summary().ends_with("GiB added later"), "{}", ok(text).summary());
}

#[test]
fn an_iomem_part_holds_ranges_only() {
    let text = "00001000-0009ffff : System RAM\nsome words\n";
    assert!(error(text).starts_with("line 2: \"some words\" is not a memory range"), "{}", error(text));
    let text = "some words\n00001000-0009ffff : System RAM\n";
    assert!(error(text).starts_with("line 1:"), "{}", error(text));
    assert!(error("nothing of any format\n").starts_with("line 1:"));
    assert!(error("00001000-0009ffff : System RAM\n00\u{fffd}00-0fff : System RAM\n").starts_with("line 2:"));
    assert!(error("00001000-0009ffff : System RAM\n00100000-1fff\n").starts_with("line 2:"), "a truncated line");
}

#[test]
fn tabs_and_line_ends_of_other_systems_are_borne() {
    assert_eq!(
        ranges("\t00001000-0009ffff\t:\tSystem RAM\r\n  2000-2fff : Kernel code\r\n"),
        [(0x1000, 0xa0000, Kind::Ram)]
    );
}

#[test]
fn comments_and_parts() {
    let text = "\
# a comment
00001000-0009ffff : System RAM

--- dmesg
nd_pmem pfn1.0: namespace1.0 alignment collision, truncate 67108864 bytes
--- ndctl
  Error: namespace1.0: failed to enable
";
    assert_eq!(ranges(text), [(0x1000, 0xa0000, Kind::Ram)]);
    assert_eq!(ok(text).warnings.len(), 1, "{:?}", ok(text).warnings);
    let empty = ok("# only a comment\n");
    assert!(empty.ranges.is_empty() && empty.warnings == ["there is no memory in this map"]);
}

#[test]
fn numbers_that_cannot_be() {
    assert!(
        error("0009ffff-00001000 : System RAM\n")
            .contains("line 1: the range ends at 0x1000, before its start at 0x9ffff")
    );
    assert!(error("00001000-ffffffffffffffff : System RAM\n").contains("not an address of at most 52 bits"));
    assert!(error("00001000-fffffffffffffffff : System RAM\n").contains("\"fffffffffffffffff\" is not an address"));
    assert!(ok("00001000-ffffffffffffffff : PCI Bus 0000:00\n1000-1fff : System RAM\n").ranges.len() == 1);
}

#[test]
fn overlap_in_part_is_an_error_and_nesting_is_not() {
    let text = "00001000-0009ffff : System RAM\n00050000-000fffff : System RAM\n";
    let error = error(text);
    assert!(error.starts_with("line 2:") && error.contains("of line 1"), "{error}");
    assert_eq!(ranges("1000-9fff : System RAM\n2000-2fff : System RAM\n1000-9fff : System RAM\n").len(), 1);
    // Resources that are no memory do overlap on real machines.
    assert_eq!(ranges("c0000-c7fff : Video ROM\nc4000-cbfff : PCI Bus 0000:00\n100000-1fffff : System RAM\n").len(), 1);
    // One table in two parts is two sources.
    assert_eq!(ranges("1000-9fff : System RAM\n---\n5000-ffff : System RAM\n"), [(0x1000, 0x10000, Kind::Ram)]);
}

#[test]
fn dmesg_is_read_behind_any_prefix() {
    for prefix in [
        "",
        "[    0.000000] ",
        "[    0.000000] localhost kernel: ",
        "Jun 30 21:12:14 localhost kernel: ",
        "kern  :info  : [Fri Apr  7 00:04:12 2023] ",
        "[Sat Oct 16 18:15:28 2021] ",
    ] {
        let text =
            format!("{prefix}some line\n{prefix}BIOS-e820: [mem 0x0000000000100000-0x0000000071392fff] usable\n");
        assert_eq!(ranges(&text), [(0x10_0000, 0x7139_3000, Kind::Ram)], "{prefix:?}");
    }
}

#[test]
fn the_best_table_of_a_log_tells_the_ram_and_e820_the_devices() {
    let text = "\
BIOS-e820: [mem 0x0000000100000000-0x000000043fffffff] usable
BIOS-e820: [mem 0x0000000000000000-0x000000000009ebff] reserved
user: [mem 0x0000000100000000-0x00000001ffffffff] usable
user: [mem 0x0000000200000000-0x00000003ffffffff] persistent (type 12)
user: [mem 0x0000000400000000-0x000000043fffffff] usable
reserve setup_data: [mem 0x0000000000000000-0x0000000000000fff] usable
";
    let expected = [
        (0x1_0000_0000, 0x2_0000_0000, Kind::Ram),
        (0x2_0000_0000, 0x4_0000_0000, Kind::Persistent),
        (0x4_0000_0000, 0x4_4000_0000, Kind::Ram),
    ];
    assert_eq!(ranges(text), expected);
    let with_nodes = format!("{text}  node   1: [mem 0x0000000100000000-0x00000001fffeffff]\n");
    let map = ok(&with_nodes);
    assert_eq!((map.ranges[0].end, map.ranges[0].node), (0x1_ffff_0000, Some(1)));
    assert_eq!(map.ranges[1].kind, Kind::Persistent);
}

#[test]
fn srat_tells_nodes_but_not_what_may_come() {
    let text = "\
ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x7fffffff]
SRAT: Node 1 PXM 1 [0000063e80000000, 000006be7fffffff]
ACPI: SRAT: Node 0 PXM 0 [mem 0x1000000000000-0x13fffffffffff] hotplug
";
    let map = ok(text);
    assert_eq!(map.ranges.len(), 2);
    assert_eq!((map.ranges[1].start, map.ranges[1].node), (0x63e_8000_0000, Some(1)));
    assert!(map.warnings[0].contains("1 SRAT windows"), "{:?}", map.warnings);
    assert!(error("ACPI: SRAT: Node 0 PXM 0 [mem 0x80000000-0x7fffffff]\n").contains("before its start"));
    assert!(ok("ACPI: SRAT: Node 0 PXM 0 [mem 0x0-0x3fffffff] hotplug\n").ranges.is_empty());
}
