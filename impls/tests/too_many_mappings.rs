//! Compound device memory beyond `vm.max_map_count`. The only test of its process, whose mappings it uses
//! up.

use memmap_layouts::layouts::Linux6_1;
use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Inspect, Lookup, Memmap, Pfn, PfnRange, RecordStore};

#[test]
fn too_many_shared_pages_are_refused_and_nothing_stays() {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let limit: u64 = limit.trim().parse().unwrap();
    if limit > 1 << 20 {
        eprintln!("skipped: vm.max_map_count is {limit}, more than this test uses up");
        return;
    }
    let layout: Linux6_1 = Linux6_1::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
    let before = layout.digest();
    // Seven mappings for each 2 MiB, in whole sections.
    let range = PfnRange::from_len(0x100000, (limit / 7 * 512).next_multiple_of(0x8000) + 0x8000).unwrap();
    let how = AddParams { vmemmap_shift: 9, ..AddParams::default() };
    let error = layout.add(range, &how, &mut ()).unwrap_err();
    assert!(format!("{error:?}").contains("TooManyMappings"), "{error}");
    assert_eq!(layout.digest(), before);
    assert!(!layout.reader().pfn_valid(Pfn(range.start())));
    // There is room for less.
    let range = PfnRange::from_len(0x100000, 0x8000).unwrap();
    layout.add(range, &how, &mut ()).unwrap();
    assert_eq!(layout.accounting().ram_record_bytes, 128 * 4096);
}
