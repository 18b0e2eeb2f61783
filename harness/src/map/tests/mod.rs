//! Tests of maps: any text to the machine that it describes.

mod devices;
mod logs;

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

const GIB: u64 = 1 << 30;

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
fn an_entry_without_a_name_does_not_take_the_next_one() {
    let text = "00100000-7fffffff : System RAM\n100000000-23fffffff :\n240000000-33fffffff : System RAM\n";
    match read_machine("test", "test", text) {
        Ok(reading) => {
            assert!(reading.map.ranges.iter().any(|range| range.start == 9 * GIB) && !reading.unknown.is_empty());
        }
        Err(error) => assert!(error.to_string().starts_with("line 2:"), "{error}"),
    }
}
