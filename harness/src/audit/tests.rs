use super::*;
use crate::map::{Kind, builtin, read_machine};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn audited(text: &str, options: Options) -> Audit {
    let reading = read_machine("test", "a test", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let audit = audit(&reading, &options);
    adds_up(&audit);
    audit
}

/// Rows add up, and what is known of addresses is disjoint.
fn adds_up(audit: &Audit) {
    let all: u64 = audit.rows.iter().map(|row| row.bytes).sum();
    let usable: u64 = audit.rows.iter().filter(|row| row.loss.is_none()).map(|row| row.bytes).sum();
    assert_eq!((all, usable), (audit.total_bytes, audit.usable_bytes), "{audit:#?}");
    assert!(audit.rows.iter().all(|row| row.bytes > 0), "{audit:#?}");
    let mut spans: Vec<Span> = audit.rows.iter().filter_map(|row| row.span).collect();
    spans.sort_unstable();
    assert!(spans.windows(2).all(|two| !two[0].overlaps(two[1])), "{spans:?}");
    for row in &audit.rows {
        assert!(row.span.is_none_or(|span| span.bytes() == row.bytes), "{row:?}");
        assert_eq!(row.loss.is_none(), row.stage == Stage::Usable, "{row:?}");
        let won = row.loss.as_ref().and_then(|loss| loss.win_back.as_ref());
        assert!(won.is_none_or(|won| won.bytes > 0), "{row:?}");
    }
}

fn bytes(audit: &Audit, what: &str) -> u64 {
    audit.rows.iter().filter(|row| row.what == what).map(|row| row.bytes).sum()
}

const REGION: &str = r#"{"regions":[{"dev":"region0","size":274877906944,"resource":5368709120,"align":16777216,
  "available_size":AVAILABLE,"type":"pmem","namespaces":[NAMESPACES]}]}"#;

fn region(available: u64, namespaces: &str) -> String {
    REGION.replace("AVAILABLE", &available.to_string()).replace("NAMESPACES", namespaces)
}

#[test]
fn a_namespace_is_divided_as_the_kernel_did() {
    // 256 GiB with records on the medium: 64 bytes for each page.
    let usable = 256 * GIB - 4 * GIB - 2 * MIB;
    let namespace = format!(r#"{{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":{usable},"align":2097152}}"#);
    let audit = audited(&region(0, &namespace), Options::default());
    assert_eq!((audit.total_bytes, audit.usable_bytes), (256 * GIB, usable));
    assert_eq!(bytes(&audit, "header with info block"), 8192);
    // Room for records of the records themselves is reserved, and stays empty.
    assert_eq!(bytes(&audit, "records on the medium"), usable / 64);
    assert_eq!(bytes(&audit, "alignment of the data"), 256 * GIB - usable - usable / 64 - 8192);
    let records = audit.rows.iter().find(|row| row.what == "records on the medium").unwrap();
    assert_eq!(records.loss.as_ref().unwrap().win_back, None, "with map=mem, RAM would lose as much");
}

#[test]
fn a_namespace_of_6_1_is_recognised_and_a_later_kernel_wins_back_half_of_its_records() {
    let text = r#"{"dev":"region0","size":268435456,"resource":45365592064,"align":16777216,"available_size":0,"type":"pmem",
        "namespaces":[{"dev":"namespace0.0","mode":"devdax","map":"dev","size":257949696,"align":2097152}]}"#;
    let audit = audited(text, Options::default());
    assert_eq!((audit.total_bytes, audit.usable_bytes), (256 * MIB, 246 * MIB));
    let loss = audit.rows.iter().find(|row| row.what == "records on the medium").unwrap().loss.clone().unwrap();
    assert!(loss.cause.contains("128 bytes") && loss.cause.contains("6.1.11"), "{}", loss.cause);
    assert_eq!(loss.win_back.unwrap().bytes, 4 * MIB);
}

#[test]
fn both_sides_of_the_series_differ_by_the_padding() {
    // RAM ends 64 MiB inside of a section, where the region begins.
    let text = "00000000-143ffffff : System RAM\n---\n\
        {\"dev\":\"region0\",\"size\":4294967296,\"resource\":5435817984,\"align\":16777216,\"available_size\":0,\"type\":\"pmem\",\
         \"namespaces\":[{\"dev\":\"namespace0.0\",\"mode\":\"fsdax\",\"map\":\"dev\",\"size\":4225761280,\"align\":2097152}]}\n";
    let of = |text: &str, kernel: &str| {
        audited(text, Options { kernel: Some(kernel.parse().unwrap()), ..Options::default() })
    };
    let (before, since) = (of(text, "5.2"), of(text, "6.12"));
    assert_eq!(before.total_bytes, since.total_bytes);
    assert_eq!(bytes(&before, "padding at the start"), 64 * MIB);
    assert_eq!(bytes(&since, "padding at the start"), 0);
    assert_eq!(since.usable_bytes - before.usable_bytes, 64 * MIB);
}

#[test]
fn namespaces_of_a_list_without_regions_are_those_of_the_only_persistent_memory() {
    let namespace = r#"[{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":8453619712,"align":2097152}]"#;
    let iomem = "100000000-23fffffff : System RAM\n240000000-43fffffff : Persistent Memory\n";
    let resource = "  240000000-43fffffff : namespace0.0\n";
    for text in [format!("{iomem}---\n{namespace}"), format!("{iomem}{resource}---\n{namespace}")] {
        let audit = audited(&text, Options::default());
        assert_eq!((bytes(&audit, "data, fsdax"), bytes(&audit, "namespaces unknown")), (8_453_619_712, 0), "{text}");
        assert_eq!(bytes(&audit, "records on the medium"), 8_453_619_712 / 64);
    }
    // Of two ranges, nothing tells which one it is.
    let two = format!("{iomem}500000000-5ffffffff : Persistent Memory\n---\n{namespace}");
    assert_eq!(bytes(&audited(&two, Options::default()), "namespaces unknown"), 12 * GIB);
}

#[test]
fn a_device_that_is_ram_loses_what_is_no_whole_block() {
    // The public report of 256 MiB at 0xa90000000 with blocks of 128 MiB.
    let text = r#"{"dev":"region0","size":268435456,"resource":45365592064,"align":16777216,"available_size":0,"type":"pmem",
        "namespaces":[{"dev":"namespace0.0","mode":"devdax","map":"dev","size":257949696,"align":2097152,"chardev":"dax0.0"}]}
        {"chardev":"dax0.0","size":257949696,"target_node":1,"align":2097152,"mode":"system-ram","online_memblocks":0,"total_memblocks":1}"#;
    let options = Options { block_bytes: Some(128 * MIB), ..Options::default() };
    let audit = audited(text, options);
    let front = audit.rows.iter().find(|row| row.what == "in front of whole blocks").unwrap();
    assert_eq!(front.bytes, 118 * MIB);
    assert_eq!(front.span.map(|span| span.start), Some(0xa_90a0_0000));
    assert_eq!(bytes(&audit, "blocks offline"), 128 * MIB);
    assert_eq!((audit.total_bytes, audit.usable_bytes), (256 * MIB, 0));
}

#[test]
fn free_capacity_is_won_back_by_what_was_tried() {
    let audit = audited(&region(64 * GIB, ""), Options::default());
    let free = &audit.rows[0];
    assert_eq!((free.what, free.bytes), ("in no namespace", 256 * GIB));
    let won = free.loss.as_ref().unwrap().win_back.as_ref().unwrap();
    assert_eq!(won.bytes, 256 * GIB - 4 * GIB - 2 * MIB);
    let expander = "[{\"memdev\":\"mem0\",\"ram_size\":137438953472},{\"decoder\":\"decoder0.0\",\"resource\":825975898112,\"size\":34359738368}]";
    let audit = audited(expander, Options::default());
    assert_eq!((audit.total_bytes, audit.usable_bytes), (128 * GIB, 0));
    let won = audit.rows[0].loss.as_ref().unwrap().win_back.as_ref().unwrap();
    assert_eq!(won.bytes, 32 * GIB, "the window has no more room");
}

#[test]
fn ram_loses_its_records_and_its_offline_blocks() {
    let text =
        "RANGE SIZE STATE\n0x0-0x7fffffff 2G online\n0x80000000-0xffffffff 2G offline\nMemory block size: 128M\n";
    let audit = audited(text, Options::default());
    assert_eq!(audit.block_bytes, 128 * MIB);
    assert_eq!(bytes(&audit, "blocks offline"), 2 * GIB);
    assert_eq!(bytes(&audit, "records of RAM"), 64 * MIB);
    assert_eq!(audit.usable_bytes, 2 * GIB - 64 * MIB);
}

#[test]
fn a_shift_refuses_what_is_no_longer_aligned() {
    let usable = 256 * GIB - 4 * GIB - 2 * MIB;
    let namespace = |align: u64, usable: u64| {
        region(0, &format!(r#"{{"dev":"namespace0.0","mode":"fsdax","map":"dev","size":{usable},"align":{align}}}"#))
    };
    let by = |text: &str, shift| audited(text, Options { shift: Some(shift), ..Options::default() });
    let moved = by(&namespace(2 * MIB, usable), 64 << 20);
    assert_eq!(moved.usable_bytes, usable, "2 MiB still hold: {moved:#?}");
    let moved = by(&namespace(2 * MIB, usable), MIB as i64);
    assert_eq!((moved.usable_bytes, bytes(&moved, "refused at its new address")), (0, 256 * GIB));
    // Data of 1 GiB alignment moves off its grid by 64 MiB.
    let moved = by(&namespace(GIB, 251 * GIB), 64 << 20);
    assert_eq!(moved.usable_bytes, 0, "{moved:#?}");
    assert_eq!(by(&namespace(GIB, 251 * GIB), GIB as i64).usable_bytes, 251 * GIB);
}

/// Every map and every paste: nothing is lost from the sum, and no byte is in two rows.
#[test]
fn rows_add_up_for_every_machine() {
    let kernels =
        [None, Some(KernelVersion::BEFORE_SERIES), Some(KernelVersion::new(6, 1)), Some(KernelVersion::CURRENT)];
    for name in builtin::names() {
        let map = builtin::by_name(name).unwrap();
        let memory: u64 = map.disjoint().iter().map(|range| range.span().bytes()).sum();
        let reading = Reading::of_map(map);
        for kernel in kernels {
            for shift in [None, Some(64 << 20), Some(-(64 << 20))] {
                let audit = audit(&reading, &Options { kernel, shift, ..Options::default() });
                adds_up(&audit);
                assert_eq!(audit.total_bytes, memory, "{name}: all memory of the map, and no more");
            }
        }
    }
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pastes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let reading = crate::map::source::Source::File(path).read().unwrap();
            let memory = reading.map.ranges.iter().any(|range| range.kind != Kind::Window);
            let audit = audit(&reading, &Options::default());
            adds_up(&audit);
            assert_eq!(
                audit.total_bytes > 0,
                memory || !reading.inventory.dimms.is_empty() || !reading.inventory.blocks.is_empty()
            );
        }
    }
}

fn loss<'a>(audit: &'a Audit, what: &str) -> &'a Loss {
    audit.rows.iter().find(|row| row.what == what).unwrap().loss.as_ref().unwrap()
}

#[test]
fn memory_that_the_firmware_maps_is_not_free_capacity_too() {
    let text = "1080000000-207fffffff : CXL Window 0\n  1080000000-207fffffff : Soft Reserved\n    1080000000-207fffffff : dax0.0\n\
                \x20     1080000000-207fffffff : System RAM (kmem)\n\
                [{\"memdev\":\"mem0\",\"ram_size\":68719476736},{\"memdev\":\"mem1\",\"ram_size\":34359738368}]\n";
    let audit = audited(text, Options::default());
    assert_eq!((audit.total_bytes, bytes(&audit, "in no region")), (96 * GIB, 32 * GIB));
}

#[test]
fn a_region_of_one_expander_is_proposed_only_where_it_fits() {
    let window = |ways: u64| {
        format!(
            "{{\"decoder\":\"decoder0.0\",\"resource\":68719476736,\"size\":137438953472,\"interleave_ways\":{ways},\"max_available_extent\":137438953472}}\n\
             {{\"memdev\":\"mem0\",\"ram_size\":34359738368,\"pmem_size\":68719476736}}\n"
        )
    };
    let won =
        |ways| loss(&audited(&window(ways), Options::default()), "in no region").win_back.clone().map(|won| won.bytes);
    // A volatile region has the volatile capacity only.
    assert_eq!(won(1), Some(32 * GIB));
    assert_eq!(won(2), None, "a window of two ways takes no region of one");
    let disabled = "{\"memdev\":\"mem0\",\"ram_size\":34359738368}\n{\"region\":\"region0\",\"size\":34359738368,\"state\":\"disabled\",\
                    \"mappings\":[{\"position\":0,\"memdev\":\"mem0\"}]}\n";
    let audit = audited(disabled, Options::default());
    let won = audit.rows.iter().find_map(|row| row.loss.as_ref()?.win_back.clone()).unwrap();
    assert_eq!((won.how.as_str(), won.bytes), ("cxl enable-region region0", 32 * GIB));
}

#[test]
fn what_is_disabled_is_lost_until_ndctl_enables_it() {
    let disabled = r#"{"dev":"namespace0.0","mode":"raw","size":274877906944,"state":"disabled"}"#;
    let audit = audited(&region(0, disabled), Options::default());
    assert_eq!((audit.usable_bytes, bytes(&audit, "namespace disabled")), (0, 256 * GIB));
    assert_eq!(
        loss(&audit, "namespace disabled").win_back.as_ref().unwrap().how,
        "ndctl enable-namespace namespace0.0"
    );
    let region = r#"{"dev":"region1","size":274877906944,"resource":5368709120,"type":"pmem","state":"disabled"}"#;
    let audit = audited(region, Options::default());
    assert_eq!(loss(&audit, "region disabled").win_back.as_ref().unwrap().how, "ndctl enable-region region1");
}

#[test]
fn a_sector_namespace_has_a_map_and_no_records() {
    let namespace = r#"{"dev":"namespace0.0","mode":"sector","size":274609471488,"sector_size":4096}"#;
    let audit = audited(&region(0, namespace), Options::default());
    assert_eq!(bytes(&audit, "map and log of sectors"), 256 * MIB);
    assert!(loss(&audit, "map and log of sectors").rule.contains("4 bytes a sector"));
}

#[test]
fn old_kernels_make_no_ram_of_devices() {
    let text = "100000000-4ffffffff : Persistent Memory\n  100000000-4ffffffff : dax0.0\n    100000000-4ffffffff : System RAM (kmem)\n";
    let of = |kernel: &str| {
        let kernel = Some(kernel.parse().unwrap());
        audited(text, Options { kernel, block_bytes: Some(128 * MIB), ..Options::default() })
    };
    assert_eq!((bytes(&of("5.0"), "no driver for RAM"), bytes(&of("5.1"), "no driver for RAM")), (16 * GIB, 0));
}

#[test]
fn a_shift_leaves_nothing_without_an_address() {
    let text = "100000000-4ffffffff : Persistent Memory\n";
    let reading = read_machine("test", "test", text).unwrap();
    assert!(shift::check_shift(&reading, 64 << 20).is_ok() && shift::check_shift(&reading, -(4 << 30)).is_ok());
    for by in [-(5i64 << 30), i64::MIN, 1 << 52] {
        let error = shift::check_shift(&reading, by).unwrap_err().to_string();
        assert!(error.contains("0x100000000-0x4ffffffff"), "{error}");
    }
}
