//! Windows, regions, namespaces, devices and memory blocks.

use super::*;

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
fn decoders_of_endpoints_have_the_addresses_of_their_region() {
    let text = r#"[{"decoder":"decoder0.0","resource":17179869184,"size":"64.00 GiB (68.72 GB)","max_available_extent":"32.00 GiB (34.36 GB)"},
        {"endpoint":"endpoint2","decoders:endpoint2":[{"decoder":"decoder2.0","resource":17179869184,"size":34359738368,"region":"region0","mode":"ram"}]}]"#;
    let reading = read_machine("test", "test", text).unwrap();
    assert_eq!(reading.inventory.windows[0].available_bytes, Some(32 * GIB));
    let region = &reading.inventory.regions[0];
    assert_eq!((region.name.as_str(), region.span.unwrap().start, region.bytes), ("region0", 16 * GIB, 32 * GIB));
    assert_eq!(reading.unused.iter().map(|part| part.span.bytes()).sum::<u64>(), 32 * GIB);
}

#[test]
fn a_region_is_located_outside_of_others() {
    let device = r#"{"path":"/platform/cxl/region0/dax_region0","id":0,"size":8589934592,"devices":[
        {"chardev":"dax0.0","size":4294967296,"mode":"devdax","mappings":[{"start":19327352832,"end":23622320127}]}]}"#;
    for text in [
        // Nearly all of the persistent memory, of which another region has a part.
        "207000000-606fffffff : region1\n---\n140000000-23e1fffff : Persistent Memory\n---\n\
         {\"dev\":\"region0\",\"size\":4263510016,\"type\":\"pmem\"}\n"
            .to_owned(),
        // Around a device, where another region begins.
        format!("[{device},{{\"region\":\"region1\",\"resource\":23622320128,\"size\":17179869184,\"type\":\"ram\"}}]"),
    ] {
        let regions = read_machine("test", "test", &text).unwrap().inventory.regions;
        let spans: Vec<Span> = regions.iter().map(|region| region.span.unwrap()).collect();
        assert!(spans.len() == 2 && !spans[0].overlaps(spans[1]), "{spans:x?}");
    }
}
