use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

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
    assert!(tiny.warnings[0].contains("contain no whole page: 1"), "{:?}", tiny.warnings);
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
    // RAM made of a device counts once, as part of the device.
    assert_eq!(ok(text).added().len(), 3);
    assert!(ok(text).summary().ends_with("GiB added later"), "{}", ok(text).summary());
}

#[test]
fn a_damaged_resource_is_an_error() {
    // Words among resources are reported; damaged resources are errors.
    let reading = read_machine("test", "test", "00001000-0009ffff : System RAM\nsome words\n").unwrap();
    assert_eq!(
        (reading.map.ranges.len(), reading.unknown[0].line, reading.unknown[0].text.as_str()),
        (1, 2, "some words")
    );
    assert!(error("nothing of any format\n").starts_with("line 1:"));
    assert!(error("00001000-0009ffff : System RAM\n00\u{fffd}00-0fff : System RAM\n").starts_with("line 2:"));
    assert!(error("00001000-0009ffff : System RAM\n00100000-1fff\n").starts_with("line 2:"), "a truncated line");
}

#[test]
fn tabs_and_carriage_returns_are_accepted() {
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
    let reading = read_machine("test", "test", text).unwrap();
    assert_eq!(line_numbers(reading.unknown.iter().map(|line| line.line)), "5, 7");
    let logged = error("[    0.000000] x\n[    0.1] y\n");
    assert!(logged.starts_with("no line names memory, only other lines of a log (lines: 2, the first is line 1)"));
    assert!(error("# only a comment\n").starts_with("no line names memory"), "{}", error("# only a comment\n"));
}

#[test]
fn impossible_addresses_are_errors() {
    assert!(
        error("0009ffff-00001000 : System RAM\n")
            .contains("line 1: the range ends at 0x1000, before its start at 0x9ffff")
    );
    assert!(error("00001000-ffffffffffffffff : System RAM\n").contains("not an address of at most 52 bits"));
    assert!(error("00001000-fffffffffffffffff : System RAM\n").contains("\"fffffffffffffffff\" is not an address"));
    assert!(ok("00001000-ffffffffffffffff : PCI Bus 0000:00\n1000-1fff : System RAM\n").ranges.len() == 1);
}

#[test]
fn partial_overlap_is_an_error_and_nesting_is_not() {
    let text = "00001000-0009ffff : System RAM\n00050000-000fffff : System RAM\n";
    let error = error(text);
    assert!(error.starts_with("line 2:") && error.contains("of line 1"), "{error}");
    assert_eq!(ranges("1000-9fff : System RAM\n2000-2fff : System RAM\n1000-9fff : System RAM\n").len(), 1);
    // Resources other than memory do overlap on real machines.
    assert_eq!(ranges("c0000-c7fff : Video ROM\nc4000-cbfff : PCI Bus 0000:00\n100000-1fffff : System RAM\n").len(), 1);
    // RAM of a device stays apart from RAM around the device.
    let text = "100000-9fffff : System RAM (kmem)\n  200000-7fffff : Persistent Memory\n    \
                300000-3fffff : System RAM (kmem)\n    300000-3fffff : System RAM (kmem)\n";
    assert_eq!(
        ranges(text),
        [
            (0x10_0000, 0xa0_0000, Kind::HotplugRam),
            (0x20_0000, 0x80_0000, Kind::Persistent),
            (0x30_0000, 0x40_0000, Kind::HotplugRam)
        ]
    );
    // The same table in two parts counts as two sources.
    assert_eq!(ranges("1000-9fff : System RAM\n---\n5000-ffff : System RAM\n"), [(0x1000, 0x10000, Kind::Ram)]);
}

#[test]
fn dmesg_lines_may_have_any_prefix() {
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
fn ram_comes_from_the_best_table_and_devices_from_e820() {
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
fn srat_gives_nodes_and_its_hotplug_windows_are_ignored() {
    let text = "\
ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x7fffffff]
SRAT: Node 1 PXM 1 [0000063e80000000, 000006be7fffffff]
ACPI: SRAT: Node 0 PXM 0 [mem 0x1000000000000-0x13fffffffffff] hotplug
";
    let map = ok(text);
    assert_eq!(map.ranges.len(), 2);
    assert_eq!((map.ranges[1].start, map.ranges[1].node), (0x63e_8000_0000, Some(1)));
    assert!(
        map.warnings[0].contains("SRAT windows for hotplug ignored, since they contain no memory yet: 1"),
        "{:?}",
        map.warnings
    );
    assert!(error("ACPI: SRAT: Node 0 PXM 0 [mem 0x80000000-0x7fffffff]\n").contains("before its start"));
    assert!(ok("ACPI: SRAT: Node 0 PXM 0 [mem 0x0-0x3fffffff] hotplug\n").ranges.is_empty());
}

const GIB: u64 = 1 << 30;

#[test]
fn logs_of_old_kernels_and_of_xen() {
    let old = "\
 BIOS-e820: 0000000000000000 - 000000000009f400 (usable)
 BIOS-e820: 000000000009f400 - 00000000000a0000 (reserved)
[    0.000000]  BIOS-e820: 0000000000100000 - 00000000bfff0000 (usable)
";
    assert_eq!(ranges(old), [(0, 0x9_f400, Kind::Ram), (0x10_0000, 0xbfff_0000, Kind::Ram)]);
    let nodes = format!(
        "{old}early_node_map[2] active PFN ranges\n    0: 0x00000010 -> 0x0000009f\n    1: 0x00000100 -> 0x000bfff0\n"
    );
    let map = ok(&nodes);
    assert_eq!((map.ranges[0].start, map.ranges[0].end), (0x1_0000, 0x9_f000), "page frames, and the better table");
    assert_eq!(map.ranges[1].node, Some(1));
    let xen = "\
(XEN) Xen-e820 RAM map:
(XEN)  [0000000000000000, 000000000009fbff] (usable)
(XEN)  [00000000000f0000, 00000000000fffff] (reserved)
(XEN)  0000000000100000 - 0000000040000000 (usable)
";
    assert_eq!(ranges(xen), [(0, 0x9_fc00, Kind::Ram), (0x10_0000, GIB, Kind::Ram)]);
    let srat = "(XEN) SRAT: Node 0 PXM 0 0-a0000\nSRAT: Node 1 PXM 1 [mem 0x100000000-0x1ffffffff] non-volatile\n";
    assert_eq!(ranges(srat), [(0, 0xa_0000, Kind::Ram), (4 * GIB, 8 * GIB, Kind::Persistent)]);
    let spans = ok("Initmem setup node 0 [mem 0x0000000000001000-0x000000007fffffff]\n");
    assert!(spans.ranges.len() == 1 && spans.warnings[0].contains("holes inside them count as RAM"), "{spans:?}");
}

#[test]
fn a_truncated_range_is_an_error_with_its_line() {
    for (text, line) in [
        ("a log\n[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x00000", 2),
        ("  node   0: [mem 0x0000000000001000-0x00000\u{fffd}9efff]\n", 1),
        ("ACPI: SRAT: Node 0 PXM 0 [mem 0x000000", 1),
        ("BIOS-e820: [mem 0x0-0x9fbff] usable\n00001000-0009ffff : System RAM\n00100000-54d", 3),
        ("Window base address : 000000C050000000\n", 1),
        ("{\"dev\":\"region1\",\n\"size\":108233", 2),
    ] {
        assert!(error(text).starts_with(&format!("line {line}:")), "{text:?}: {}", error(text));
    }
}

#[test]
fn lsmem_in_columns_and_as_json() {
    let text = "\
RANGE                                  SIZE  STATE REMOVABLE BLOCK NODE ZONES
0x0000000000000000-0x00000000bfffffff   3G  online       yes  0-23    0 DMA32
0x0000000100000000-0x00000001a7ffffff  2.6G offline              32-52  1 Normal/Movable

Memory block size:       128M
Total online memory:       3G
";
    let map = ok(text);
    assert_eq!(
        map.ranges.iter().map(|r| (r.end, r.node)).collect::<Vec<_>>(),
        [(3 * GIB, Some(0)), (0x1_a800_0000, Some(1))]
    );
    assert!(map.warnings[0].contains("2.62 GiB of the memory blocks are offline"), "{:?}", map.warnings);
    let json = r#"{
   "memory": [
      {"range": "0x0000000000000000-0x0000000007ffffff", "size": "128M", "state": "online", "block": "0", "node": 0},
      {"range": "0x0000000008000000-0x000000000fffffff", "size": 134217728, "state": "online", "block": "1", "node": 0}
   ]
}"#;
    assert_eq!(ranges(json), [(0, 256 << 20, Kind::Ram)]);
    let wrong = json.replace("\"128M\"", "\"128K\"");
    assert!(
        error(&wrong).starts_with("line 3: the size 128K does not match its range, which spans 128 MiB"),
        "{}",
        error(&wrong)
    );
    // Ranges whose size cannot be represented either.
    for widest in
        ["0x0-0xffffffffffffffff  7E online", "{\"memory\":[{\"range\":\"0x0-0xffffffffffffffff\",\"size\":5}]}"]
    {
        assert!(error(widest).contains("not an address of at most 52 bits"), "{}", error(widest));
    }
    let wrong = text.replace("2.6G", "2.6X");
    assert!(error(&wrong).contains("line 3: \"2.6X\" is not a size"), "{}", error(&wrong));
}

#[test]
fn listings_of_persistent_memory() {
    // One object or an array; numbers or strings; addresses only for root.
    let plain = r#"{"dev":"region0","size":1082331758592,"type":"pmem","numa_node":0,"iset_id":-4242,
        "namespaces":[{"dev":"namespace0.0","mode":"fsdax","size":1065418227712}]}"#;
    let map = ok(plain);
    assert_eq!(map.ranges.len(), 1, "a namespace is part of its region");
    assert!(map.ranges[0].base_assumed && map.ranges[0].start == 4 * GIB && map.ranges[0].node == Some(0));
    assert!(
        map.warnings[0].contains("base assumed at 0x100000000") && map.ranges[0].to_string().ends_with("base assumed")
    );
    let human = r#"[{"dev":"region0","size":"252.00 GiB (270.58 GB)","type":"pmem","resource":"0x140000000"}]"#;
    assert_eq!(ranges(human), [(5 * GIB, 257 * GIB, Kind::Persistent)]);
    let buses = r#"[{"provider":"ACPI.NFIT","dev":"ndbus0","dimms":[{"dev":"nmem0","id":"x"}],
        "regions":[{"dev":"region1","size":1073741824,"resource":8589934592,"type":"pmem"}]}]"#;
    assert_eq!(ranges(buses), [(8 * GIB, 9 * GIB, Kind::Persistent)]);
    let wrong = human.replace("252.00 GiB (270.58 GB)", "252 bananas");
    assert!(error(&wrong).contains("line 1: \"\\\"252 bananas\\\"\" is not a size"), "{}", error(&wrong));
    assert!(error(r#"{"dev":"region0","size":-5}"#).contains("is not a size"));
    assert!(
        error(r#"{"dev":"region0","size":32,"resource":18446744073709551600}"#)
            .contains("exceed the 64-bit address space")
    );
    assert!(error(r#"{"dev":"region0","size":16,"resource":1152921504606846976}"#).contains("at most 52 bits"));
}

#[test]
fn memory_without_an_address_is_placed_around_known_ranges() {
    let text = "\
100000000-17fffffff : System RAM
--- daxctl
{\"chardev\":\"dax0.0\",\"size\":1073741824,\"target_node\":1,\"mode\":\"system-ram\"}
{\"chardev\":\"dax1.0\",\"size\":1073741824,\"mode\":\"devdax\",
 \"mappings\":[{\"page_offset\":0,\"start\":8589934592,\"end\":9663676415,\"size\":1073741824}]}
";
    assert_eq!(
        ranges(text),
        [(4 * GIB, 6 * GIB, Kind::Ram), (6 * GIB, 7 * GIB, Kind::HotplugRam), (8 * GIB, 9 * GIB, Kind::SoftReserved)]
    );
}

#[test]
fn cxl_regions_count_and_the_windows_around_them_do_not() {
    let list = r#"[{"bus":"root0","provider":"ACPI.CXL","decoders:root0":[
        {"decoder":"decoder0.0","resource":17179869184,"size":8589934592,"max_available_extent":-139586437121,
         "regions:decoder0.0":[{"region":"region0","resource":17179869184,"size":4294967296,"type":"ram"}]},
        {"decoder":"decoder0.1","resource":34359738368,"size":4294967296},
        {"decoder":"decoder0.2","resource":18014398509481984,"size":4294967296}],
        "endpoints:root0":[{"endpoint":"endpoint1","memdev":{"memdev":"mem0","ram_size":4294967296,"serial":0},
          "decoders:endpoint1":[{"decoder":"decoder1.0","resource":17179869184,"size":4294967296}]}]}]"#;
    let map = ok(list);
    let found: Vec<_> = map.ranges.iter().map(|r| (r.start, r.end, r.kind)).collect();
    assert_eq!(found, [(16 * GIB, 20 * GIB, Kind::SoftReserved), (32 * GIB, 36 * GIB, Kind::Window)]);
    assert!(map.warnings[0].contains("windows ignored because they lie beyond 52 bits: 1"), "{:?}", map.warnings);
    let devices = r#"[{"memdev":"mem0","pmem_size":268435456,"ram_size":268435456,"host":"0000:35:00.0"}]"#;
    let reading = read_machine("test", "test", devices).unwrap();
    let dimm = &reading.inventory.dimms[0];
    assert_eq!((reading.map.ranges.len(), dimm.volatile_bytes, dimm.persistent_bytes), (0, 256 << 20, 256 << 20));
    assert!(error("[{\"region\":\"region0\",\n \"size\":}]").starts_with("line 2: this is not the JSON"));
    assert!(error("{\"region\":\"r\",\"size\":1} and more\n").starts_with("line 1:"));
}

#[test]
fn a_region_is_memory_wherever_the_text_has_its_window() {
    let window = "100000000-2ffffffff : CXL Window 0\n";
    let region = "200000000-2ffffffff : region0\n";
    let memory = [(8 * GIB, 12 * GIB, Kind::SoftReserved)];
    for text in [format!("{window}  {region}"), format!("{region}---\n{window}"), format!("{window}---\n{region}")] {
        assert_eq!(ranges(&text), memory, "{text}");
    }
    // Without a window, it is a part of persistent memory.
    assert_eq!(read_machine("test", "test", region).unwrap().map.ranges, []);
}

#[test]
fn a_region_lies_around_its_device() {
    let text = r#"[{"path":"/platform/cxl/region0/dax_region0","id":0,"size":8589934592,"devices":[
        {"chardev":"dax0.0","size":4294967296,"mode":"devdax","mappings":[{"start":19327352832,"end":23622320127}]}]}]"#;
    let reading = read_machine("test", "test", text).unwrap();
    let region = &reading.inventory.regions[0];
    assert_eq!(
        (region.span.map(|span| (span.start, span.end)), region.base_assumed),
        (Some((18 * GIB, 26 * GIB)), true)
    );
    assert_eq!(reading.map.disjoint().iter().map(|range| range.span().bytes()).sum::<u64>(), 8 * GIB, "counted once");
}

#[test]
fn nodes_of_the_srat_divide_ram() {
    let text = "ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x17ffffffff]\nACPI: SRAT: Node 1 PXM 1 [mem 0x1800000000-0x2fffffffff]\n\
                100000000-2fffffffff : System RAM\n";
    let found: Vec<_> = ok(text).ranges.iter().map(|range| (range.start, range.end, range.node)).collect();
    assert_eq!(found, [(4 * GIB, 96 * GIB, Some(0)), (96 * GIB, 192 * GIB, Some(1))]);
}

#[test]
fn blocks_of_a_device_tell_the_block_size() {
    let device = |more: &str| {
        format!(
            "{{\"chardev\":\"dax0.0\",\"size\":266352984064,\"mode\":\"system-ram\",\"online_memblocks\":100,\"total_memblocks\":124}}\n{more}"
        )
    };
    let reading = read_machine("test", "test", &device("")).unwrap();
    assert_eq!(reading.inventory.block_bytes, Some(2 * GIB));
    let text = device("Memory block size:       128M\n0x0000000100000000-0x0000000107ffffff 128M online yes 32\n");
    let reading = read_machine("test", "test", &text).unwrap();
    assert!(reading.contradictions.iter().any(|told| told.contains("2 GiB each")), "{:?}", reading.contradictions);
}

#[test]
fn regions_do_not_overlap_partly() {
    let text =
        "  200000020-2ffffffff : region1\n---\n100000000-3ffffffff : CXL Window 1\n  200000000-2dfffffff : region1\n";
    let reading = read_machine("test", "test", text).unwrap();
    let regions: Vec<_> = reading.inventory.regions.iter().map(|region| region.span.unwrap().start).collect();
    assert_eq!(regions, [8 * GIB]);
    assert!(reading.contradictions[0].contains("partly overlaps region1"), "{:?}", reading.contradictions);
    let nested = "200000000-2ffffffff : region0\n  200000000-27fffffff : region1\n";
    assert_eq!(read_machine("test", "test", nested).unwrap().inventory.regions.len(), 2);
}

#[test]
fn disassembled_acpi_tables() {
    let cedt = "\
[030h 0048   1]                Subtable Type : 01 [CXL Fixed Memory Window Structure]
[038h 0056   8]          Window base address : 000000C050000000
[040h 0064   8]                  Window size : 0000003CA0000000
[048h 0072   1]     Interleave Members (2^n) : 01
";
    assert_eq!(ranges(cedt), [(0xc0_5000_0000, 0xfc_f000_0000, Kind::Window)]);
    // The same range in several tables counts once, with its most specific kind.
    let twice = format!("{cedt}BIOS-e820: [mem 0x000000c050000000-0x000000fcefffffff] soft reserved\n");
    assert_eq!(ranges(&twice), [(0xc0_5000_0000, 0xfc_f000_0000, Kind::SoftReserved)]);
    let as_ram = format!("{twice}/proc/iomem: c050000000-fcefffffff : System RAM\n");
    assert_eq!(ranges(&as_ram), [(0xc0_5000_0000, 0xfc_f000_0000, Kind::Ram)]);
    let nfit = "\
                Subtable Type : 0000 [System Physical Address Range]
             Region Type GUID : 66F0D379-B4F3-4074-AC43-0D3318B78CDB
           Address Range Base : 0000000480000000
         Address Range Length : 0000000400000000
                Subtable Type : 0000 [System Physical Address Range]
             Region Type GUID : 92F701F6-B434-405D-910B-299367D8234C
           Address Range Base : 00000000FED00000
         Address Range Length : 0000000000001000
SPARange #: 0x2
  Base: 0xCC0000000
  Length: 0x400000000
";
    let pmem = |start, end| (start * GIB, end * GIB, Kind::Persistent);
    assert_eq!(ranges(nfit), [pmem(18, 34), pmem(51, 67)]);
    let srat = "\
                Subtable Type : 01 [Memory Affinity]
             Proximity Domain : 00000001
                 Base Address : 0000000100000000
               Address Length : 0000000080000000
                      Enabled : 1
                Hot Pluggable : 0
                Subtable Type : 01 [Memory Affinity]
                 Base Address : 0004000000000000
               Address Length : 0001000000000000
                Hot Pluggable : 1
";
    let map = ok(srat);
    assert_eq!(map.ranges.iter().map(|r| (r.start, r.end, r.node)).collect::<Vec<_>>(), [(4 * GIB, 6 * GIB, Some(1))]);
    assert!(
        map.warnings[0].contains("SRAT windows for hotplug ignored, since they contain no memory yet: 1"),
        "{:?}",
        map.warnings
    );
    assert!(error("Window base address : 10000000\nWindow size : ffffffffffffffff\n").starts_with("line 2:"));
}

#[test]
fn ranges_written_by_hand() {
    assert_eq!(ranges("0000001000000000 0000000400000000\n"), [(64 * GIB, 80 * GIB, Kind::Ram)]);
    assert_eq!(ranges("0x100000000 0x40000000 Persistent Memory\n"), [(4 * GIB, 5 * GIB, Kind::Persistent)]);
    assert_eq!(
        ranges("0x100000000-0x13fffffff : CXL\n0x140000000-0x17fffffff : hole\n"),
        [(4 * GIB, 5 * GIB, Kind::SoftReserved)]
    );
    let arrows = "[info] 0x0 -> 0x9fc00 usable\n0x9fc00 -> 0xa0000 (reserved)\n0x100000 -> 0x40000000 : Usable\n0x5 -> 0x5 usable\n";
    assert_eq!(ranges(arrows), [(0, 0x9_fc00, Kind::Ram), (0x10_0000, GIB, Kind::Ram)]);
    assert!(error("0x2000 -> 0x1000 usable\n").contains("before its start"));
    assert!(error("0xffffffffffff0000 0x20000\n").contains("exceed the 64-bit address space"));
    assert!(error("one two\n").starts_with("line 1:"));
}

#[test]
fn windows_count_only_where_no_other_memory_is_known() {
    let text = "\
c050000000-fcefffffff : CXL Window 0
  c050000000-d04fffffff : region0
    c050000000-d04fffffff : dax0.0
      c050000000-d04fffffff : System RAM (kmem)
200000000000-200fffffffff : CXL Window 1
";
    let map = ok(text);
    assert_eq!(map.ranges.iter().map(|r| r.kind).collect::<Vec<_>>(), [Kind::HotplugRam, Kind::Window]);
    assert_eq!(map.added().len(), 2);
}

/// Any damage to a map leads to a parsed map or an error: no overflow, and no slice inside a UTF-8
/// character.
#[test]
fn damaged_maps_give_a_map_or_an_error() {
    let whole = [
        "00001000-0009ffff : System RAM\n240000000-33fdfffff : Persistent Memory\n  280000000-2bfffffff : System RAM (kmem)\n",
        "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x0000000071392fff] usable\n  node   0: [mem 0x1000-0x9ffff]\n\
         ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x7fffffff] hotplug\n    0: 0x00000010 -> 0x0000009d\n",
        "RANGE SIZE STATE NODE\n0x0000000000000000-0x00000000bfffffff 3G online 0\n",
        "{\"memory\":[{\"range\":\"0x0-0x7ffffff\",\"size\":\"128M\",\"state\":\"offline\"}]}",
        "[{\"dev\":\"region0\",\"size\":\"252.00 GiB\",\"resource\":\"0x140000000\"},{\"chardev\":\"dax0.0\",\"size\":9,\
         \"mappings\":[{\"start\":8589934592,\"end\":9663676415}]},{\"memdev\":\"mem0\",\"ram_size\":4096}]",
        "Subtable Type : 01 [Memory Affinity]\nBase Address : 0000000100000000\nAddress Length : 0000000080000000\n\
         Window base address : 000000C050000000\nWindow size : 0000003CA0000000\n",
        "0000001000000000 0000000400000000\n0x100000 -> 0x40000000 usable\n",
    ];
    const SIGNS: [char; 16] = ['f', '0', '9', 'E', '-', '>', ' ', '\n', '"', '{', '}', '[', 'x', ':', '\u{0}', 'é'];
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    for round in 0..14_000 {
        let mut text: Vec<char> = whole[round % whole.len()].chars().collect();
        for _ in 0..rng.random_range(1..12) {
            let at = rng.random_range(0..text.len().max(1)).min(text.len());
            match rng.random_range(0..3) {
                0 if at < text.len() => text[at] = SIGNS[rng.random_range(0..SIGNS.len())],
                1 if at < text.len() => drop(text.remove(at)),
                _ => text.insert(at, SIGNS[rng.random_range(0..SIGNS.len())]),
            }
        }
        let text: String = text.into_iter().collect();
        match read("damaged", "test", &text) {
            Ok(map) => {
                map.boot_map().unwrap();
                assert!(map.ranges.iter().all(|range| range.start < range.end), "{text:?}");
                assert!(!map.summary().is_empty());
            }
            Err(error) => assert!(!error.to_string().is_empty(), "{text:?}"),
        }
    }
}

#[test]
fn sections_with_memory_are_counted_as_layouts_count_them() {
    use memmap_layouts::{Geometry, X86_64};
    // Two ranges share a section, one ends where the next section begins, and a device contains
    // none.
    let map = ok("00000000-00000fff : System RAM\n00100000-07ffffff : System RAM\n08001000-10000fff : System RAM\n\
                  80000000-8fffffff : Persistent Memory\n");
    assert_eq!((map.nr_sections(128 << 20), map.nr_sections(1 << 30)), (3, 1));
    for name in builtin::names() {
        let map = builtin::by_name(name).unwrap();
        let counted = map.boot_map().unwrap().nr_sections::<X86_64>();
        assert_eq!(map.nr_sections(1 << X86_64::SECTION_SIZE_BITS), counted, "{name}");
    }
}

#[test]
fn notes_behind_a_name_do_not_lose_memory() {
    let ram = [(0x10_0000, 0xbffe_0000, Kind::Ram)];
    for note in ["", " <-- this one", " // RAM", " !!!!here", " (2 GiB)", " |", "  here"] {
        assert_eq!(ranges(&format!("00100000-bffdffff : System RAM{note}\n")), ram, "{note:?}");
    }
    assert_eq!(ranges("00100000-bffdffff : System RAM (kmem) *\n")[0].2, Kind::HotplugRam);
    for other in ["System RAMs", "RAM buffer", "Reserved"] {
        let map = ok(&format!("00100000-bffdffff : {other}\n"));
        assert!(map.ranges.is_empty() && map.warnings[0].contains("none of them memory: 1"), "{:?}", map.warnings);
    }
    assert!(error("00100000-bffdffff : Reserved\nsome words\n").contains("none is memory"));
}

#[test]
fn forms_in_which_logs_and_listings_are_kept() {
    let ram = [(0x10_0000, 0xbffe_0000, Kind::Ram)];
    let entry = "BIOS-e820: [mem 0x0000000000100000-0x00000000bffdffff] usable";
    for text in [
        format!("[\n  \"{entry}\"\n]\n"),
        format!("_TRANSPORT=kernel\nMESSAGE={entry}\n"),
        format!("vm-1  | [    0.000000] {entry}\n"),
        entry.replace('[', "\\[").replace(']', "\\]"),
        "| 00100000-bffdffff : System RAM |\n".to_owned(),
        "@@ -1 +1 @@\n-00100000-3fffffff : System RAM\n+00100000-bffdffff : System RAM\n".to_owned(),
        "Address Range                          Size (MB)  State    Removable  Device\n====\n\
         0x0000000000100000-0x00000000bffdffff       3070  online   no         0\n"
            .to_owned(),
    ] {
        let reading = read_machine("test", "test", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let found: Vec<_> = reading.map.ranges.iter().map(|r| (r.start, r.end, r.kind)).collect();
        assert_eq!((found.as_slice(), reading.unknown.len()), (&ram[..], 0), "{text}\n{:?}", reading.unknown);
    }
    let told = error("![Image](https://example.org/a.png)\n");
    assert!(told.contains("a picture or a link holds no listing"), "{told}");
}

/// Trees that /proc/iomem shows for one CXL window, by version and configuration.
#[test]
fn each_byte_of_a_window_is_used_once() {
    let device = "850000000-284fffffff : dax0.0\n850000000-284fffffff : System RAM (kmem)\n";
    for tree in [
        "850000000-284fffffff : CXL Window 0\n850000000-284fffffff : region0\n",
        "850000000-284fffffff : CXL Window 0\n850000000-284fffffff : Soft Reserved\n",
        "850000000-284fffffff : CXL Window 0\n850000000-284fffffff : region3\n850000000-284fffffff : Soft Reserved\n",
        "850000000-284fffffff : Soft Reserved\n850000000-284fffffff : CXL Window 0\n850000000-284fffffff : region0\n",
    ] {
        let reading = read_machine("test", "test", &format!("{tree}{device}")).unwrap();
        let disjoint = reading.map.disjoint();
        assert_eq!(
            disjoint.iter().map(|r| (r.start, r.end, r.kind)).collect::<Vec<_>>(),
            [(0x8_5000_0000, 0x28_5000_0000, Kind::HotplugRam)],
            "{tree}"
        );
        assert!(reading.unused.is_empty(), "{tree}");
    }
    // A guest's device of which parts are plugged, and dynamic capacity.
    let plugged = "140000000-333ffffff : virtio0\n  140000000-147ffffff : System RAM (virtio_mem)\n";
    assert_eq!(ranges(plugged), [(0x1_4000_0000, 0x1_4800_0000, Kind::HotplugRam)]);
    let extents = r#"[{"region":"region0","resource":"0x1290000000","size":"4.00 GiB (4.29 GB)","decode_state":"commit","type":"ram",
        "extents":[{"offset":"0x48000000","length":"256.00 MiB (268.44 MB)"},{"offset":"0","length":"512.00 MiB (536.87 MB)"}]}]"#;
    let found: Vec<_> = ranges(extents).into_iter().map(|(start, end, _)| (start, end - start)).collect();
    assert_eq!(found, [(0x12_9000_0000, 512 << 20), (0x12_d800_0000, 256 << 20)]);
    // Blocks of a DAX device in lsmem are that device.
    let blocks = "RANGE SIZE STATE NODE\n0x0000000100000000-0x000000207fffffff 126G online 0\n\
        0x0000002080000000-0x000000227fffffff 8G online 1\n\
        [{\"path\":\"\\/platform\\/hmem.0\",\"size\":8589934592,\"devices\":[{\"chardev\":\"dax0.0\",\"size\":8589934592,\"mode\":\"system-ram\"}]}]\n";
    assert_eq!(ranges(blocks)[1], (0x20_8000_0000, 0x22_8000_0000, Kind::HotplugRam));
    assert_eq!(ranges(blocks).len(), 2);
}

#[test]
fn a_listing_of_pfnbench_is_checked_like_any_other() {
    let listing = |key: &str, value: &str| {
        format!(
            "{{\"ranges\":[{{\"start\":4096,\"end\":8192,\"kind\":\"ram\"}}],\"sources\":[],\"windows\":[],\"{key}\":{value}}}"
        )
    };
    let read = |text: &str| read_machine("test", "test", text);
    let block = |start: u64, end: u64| {
        format!(
            "[{{\"span\":{{\"start\":{start},\"end\":{end}}},\"online\":true,\"configured\":true,\"memmap_on_memory\":null,\"node\":null,\"sources\":[]}}]"
        )
    };
    for (start, end) in [(8192, 4096), (4096, 4096), (0, 0), (0, u64::MAX)] {
        let error = read(&listing("blocks", &block(start, end))).unwrap_err().to_string();
        assert!(error.starts_with("line 1:"), "{error}");
    }
    assert_eq!(read(&listing("block_bytes", "0")).unwrap().inventory.block_bytes, None);
    let windows = read(&listing("hotplug_windows", "[{\"start\":8192,\"end\":16384}]")).unwrap().hotplug_windows;
    assert_eq!(windows, [Span { start: 8192, end: 16384 }]);
    assert!(read(&listing("hotplug_windows", "[{\"start\":8192,\"end\":0}]")).is_err());
    // A device that is listed as RAM of the boot stays what it is.
    let device = "[{\"name\":\"dax0.0\",\"region\":null,\"spans\":[{\"start\":4096,\"end\":8192}],\"bytes\":4096,\"is_ram\":false,\
                  \"enabled\":true,\"align\":null,\"node\":null,\"online_blocks\":null,\"total_blocks\":null,\"sources\":[]}]";
    assert_eq!(read(&listing("devices", device)).unwrap().map.ranges[0].kind, Kind::Ram);
    let window = |start: u64, end: u64| {
        format!(
            "{{\"name\":\"w\",\"span\":{{\"start\":{start},\"end\":{end}}},\"available_bytes\":null,\"ways\":null,\"sources\":[]}}"
        )
    };
    let overlapping = listing("x", "0")
        .replace("\"windows\":[]", &format!("\"windows\":[{},{}]", window(0, 8192), window(4096, 16384)));
    assert_eq!(read(&overlapping).unwrap().inventory.windows.len(), 2);
}

#[test]
fn a_window_at_the_end_of_the_address_space_has_bytes() {
    let text = "ACPI: SRAT: Node 0 PXM 0 [mem 0xffffffffffffffff-0xffffffffffffffff] hotplug\n\
                100000000-13fffffff : System RAM\n";
    assert!(read_machine("test", "test", text).unwrap().hotplug_windows.is_empty());
}

#[test]
fn blocks_of_two_listings_count_once() {
    let text = "0x0000000000000000-0x000000007fffffff 2G offline yes 0-15\n\
                0x0000000000000000-0x0000000007ffffff 128M offline yes 0\n\
                0x0000000080000000-0x00000000ffffffff 2G online yes 16-31\n";
    let reading = read_machine("test", "test", text).unwrap();
    let spans: Vec<(u64, u64)> = reading.inventory.blocks.iter().map(|b| (b.span.start, b.span.end)).collect();
    assert_eq!(spans, [(0, 2 * GIB), (2 * GIB, 4 * GIB)]);
    assert!(
        reading.map.warnings[0].starts_with("2 GiB of the memory blocks are offline"),
        "{:?}",
        reading.map.warnings
    );
}

#[test]
fn sizes_beyond_any_machine_do_not_overflow() {
    let region = "{\"region\":\"region0\",\"size\":18446744073709551615}";
    let text = format!("[{region},{},{{\"memdev\":\"mem0\",\"ram_size\":4096}}]", region.replace("region0", "region1"));
    let reading = read_machine("test", "test", &text).unwrap();
    assert!(reading.map.warnings[0].contains("do not fit below 2^52"), "{:?}", reading.map.warnings);
    assert!(listing::free_capacity(&reading).iter().all(|free| free.bytes > 0));
}

#[test]
fn entries_and_lines_are_limited() {
    let rows = |nr: u64| (0..nr).map(|nr| format!("{:#x} 0x1000\n", nr << 13)).collect::<String>();
    assert!(read("test", "test", &rows(20_000)).is_ok());
    assert_eq!(read("test", "test", &rows(1 << 17 | 1)), Err(MapError::TooManyEntries));
    let lines = "\n".repeat(MOST_LINES + 1);
    assert_eq!(read("test", "test", &lines), Err(MapError::TooManyLines { lines: MOST_LINES + 1 }));
}

/// Glued entries, names that are found nowhere, and memory without addresses take linear time: with
/// quadratic time, this test would take minutes.
#[test]
fn long_texts_take_linear_time() {
    let glued: String =
        (0..20_000u64).map(|nr| format!("{:09x}-{:09x} : System RAM ", nr << 13, nr << 13 | 0xfff)).collect();
    assert_eq!(ok(&glued).ranges.len(), 20_000);
    let regions: Vec<String> =
        (0..20_000).map(|nr| format!("{{\"region\":\"r\\u0065gion{nr}\",\"size\":2097152}}")).collect();
    let text = format!("[{}]", regions.join(","));
    let map = ok(&text);
    assert_eq!((map.ranges.len(), map.end()), (20_000, (4 << 30) + 20_000 * (2 << 20)));
    assert!(map.warnings[0].starts_with("line 1: region0 has a size"), "{}", map.warnings[0]);
}

#[test]
fn ranges_inside_others_are_added_once() {
    let mut rng = Pcg64Mcg::seed_from_u64(4);
    let kinds = [Kind::Ram, Kind::HotplugRam, Kind::Persistent, Kind::SoftReserved];
    for _ in 0..2000 {
        let range = |rng: &mut Pcg64Mcg| {
            let start = rng.random_range(0..8) * PAGE_BYTES;
            let (end, kind) = (start + rng.random_range(1..8) * PAGE_BYTES, kinds[rng.random_range(0..kinds.len())]);
            MapRange { start, end, kind, node: None, base_assumed: false }
        };
        let nr = rng.random_range(0..7);
        let ranges = combine::merge((0..nr).map(|_| range(&mut rng)).collect());
        let added = || ranges.iter().filter(|range| range.kind.is_added());
        let is_inner = |inner: &MapRange| {
            added().any(|outer| {
                let device_of = outer.kind != Kind::HotplugRam && inner.kind == Kind::HotplugRam;
                let is_larger = outer.span().bytes() > inner.span().bytes();
                outer.span().contains(inner.span()) && (is_larger || device_of)
            })
        };
        let expected: Vec<_> = added().filter(|range| !is_inner(range)).filter_map(MapRange::pages).collect();
        let map =
            PhysicalMap { name: String::new(), origin: String::new(), ranges: ranges.clone(), warnings: Vec::new() };
        assert_eq!(map.added(), expected, "{ranges:x?}");
    }
}

#[test]
fn every_type_of_efi_is_known_and_others_are_not_understood() {
    let of = |name: &str| {
        let text = format!(
            "100000-1fffff : System RAM\nefi: mem00: [{name}|   |  |  |WB|  |  |  ] range=[0x0000000100000000-0x00000004ffffffff] (16384MB)\n"
        );
        let reading = read_machine("test", "test", &text).unwrap();
        (reading.map.ranges.iter().any(|range| range.start == 4 * GIB), reading.unknown.len())
    };
    for name in [
        "Reserved",
        "Runtime Code",
        "Runtime Data",
        "Unusable",
        "Unusable Memory",
        "ACPI Reclaim",
        "ACPI Reclaim Memory",
        "ACPI Mem NVS",
        "ACPI Memory NVS",
        "MMIO",
        "Memory Mapped I/O",
        "MMIO Port",
        "MMIO Port Space",
        "PAL Code",
    ] {
        assert_eq!(of(name), (false, 0), "{name}");
    }
    for name in ["Persistent", "Persistent Memory"] {
        assert_eq!(of(name), (true, 0), "{name}");
    }
    for name in ["Weird Type", "type=2147483649", "99"] {
        assert_eq!(of(name), (false, 1), "{name}");
    }
    for name in ["Conventional Memory", "Conventional  ", "Boot Data", "Unaccepted  "] {
        let text = format!("efi: mem00: [{name}|   |WB] range=[0x0000000100000000-0x00000004ffffffff] (16384MB)\n");
        assert_eq!(ranges(&text), [(4 * GIB, 20 * GIB, Kind::Ram)], "{name}");
    }
}

#[test]
fn an_entry_without_a_name_does_not_take_the_next_one() {
    let text = "00100000-7fffffff : System RAM\n100000000-23fffffff :\n240000000-33fffffff : System RAM\n";
    match read_machine("test", "test", text) {
        Ok(reading) => {
            assert!(reading.map.ranges.iter().any(|range| range.start == 9 * GIB) && !reading.unknown.is_empty());
        }
        Err(error) => assert!(error.to_string().starts_with("line 2:"), "{error}"),
    }
}

#[test]
fn decoders_of_endpoints_have_the_addresses_of_their_region() {
    let text = r#"[{"decoder":"decoder0.0","resource":17179869184,"size":"64.00 GiB (68.72 GB)","max_available_extent":"32.00 GiB (34.36 GB)"},
        {"endpoint":"endpoint2","decoders:endpoint2":[{"decoder":"decoder2.0","resource":17179869184,"size":34359738368,"region":"region0","mode":"ram"}]}]"#;
    let reading = read_machine("test", "test", text).unwrap();
    assert_eq!(reading.inventory.windows[0].available_bytes, Some(32 * GIB));
    let region = &reading.inventory.regions[0];
    assert_eq!((region.name.as_str(), region.span.unwrap().start, region.bytes), ("region0", 16 * GIB, 32 * GIB));
    assert_eq!(reading.unused.iter().map(|part| part.span.bytes()).sum::<u64>(), 32 * GIB);
}
