//! Boot logs and tables of the firmware.

use super::*;

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
fn nodes_of_the_srat_divide_ram() {
    let text = "ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x17ffffffff]\nACPI: SRAT: Node 1 PXM 1 [mem 0x1800000000-0x2fffffffff]\n\
                100000000-2fffffffff : System RAM\n";
    let found: Vec<_> = ok(text).ranges.iter().map(|range| (range.start, range.end, range.node)).collect();
    assert_eq!(found, [(4 * GIB, 96 * GIB, Some(0)), (96 * GIB, 192 * GIB, Some(1))]);
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
