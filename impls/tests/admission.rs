//! The checks without a layout (`AddressSpace`) and those of a machine give the same verdicts, on
//! random boot maps, for random changes.

use memmap_layouts::layouts::Subsection;
use memmap_layouts::machine::{
    AddMemory, AddressSpace, AdmissionRules, Machine, MachineConfig, MachineError, Pagemap, PagemapError, PagemapSpec,
    Resource, ResourceKind,
};
use memmap_layouts::rules::{Before, Linux5_10, Linux7_2, Merged, Rules};
use memmap_layouts::{
    Arm64Pages4K, Arm64Pages64K, BackedSections, BootMap, BootRange, Config, Geometry, HotplugError, PfnRange,
    Ppc64Pages64K, RecordStore, S390, X86_64,
};
use proptest::prelude::*;
use std::sync::Arc;

/// A change of a machine. Starts and sizes are in quarters of a sub-section, or if `coarse` in
/// halves of a block.
#[derive(Clone, Copy, Debug)]
struct Change {
    what: u8,
    start: u64,
    size: u64,
    coarse: bool,
    node: u8,
    /// Puts the range at the end of the physical address space.
    high: bool,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = (0..7u8, 0..24u64, 0..6u64, prop::bool::weighted(0.7), 0..5u8, prop::bool::weighted(0.1));
    let change =
        change.prop_map(|(what, start, size, coarse, node, high)| Change { what, start, size, coarse, node, high });
    prop::collection::vec(change, 1..12)
}

/// Boot memory in eighths of a section.
fn boot() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..40u64, 1..20u64), 0..3)
}

fn told<T, E: std::fmt::Display>(result: Result<T, E>, errno: impl Fn(&E) -> i32) -> Option<(String, i32)> {
    result.err().map(|error| (error.to_string(), errno(&error)))
}

fn ram<T>(result: Result<T, MachineError>) -> Option<(String, i32)> {
    told(result, MachineError::errno)
}

fn mapping<T>(result: Result<T, PagemapError>) -> Option<(String, i32)> {
    if let Err(PagemapError::Layout(error @ HotplugError::Overlaps { .. })) = &result {
        // Which part of a section is named depends on how the layout divides it.
        return Some(("part of the request overlaps".to_owned(), error.errno()));
    }
    told(result, PagemapError::errno)
}

/// Plays the changes on both, and compares every result.
fn compare<G: Geometry, R: Rules>(boot: &[(u64, u64)], blocks_of_sections: u64, changes: &[Change]) {
    let eighth = G::PAGES_PER_SECTION / 8;
    let mut end = 0;
    let ranges = boot.iter().enumerate().map(|(nr, &(gap, size))| {
        let start = end + gap * eighth;
        end = start + size * eighth;
        BootRange { range: PfnRange::new(start, end).unwrap(), node: nr as u8 }
    });
    let map = BootMap::new(ranges).unwrap();
    let block_bytes = (G::PAGES_PER_SECTION << G::PAGE_SHIFT) * blocks_of_sections;
    let config = MachineConfig { block_bytes: Some(block_bytes), ..MachineConfig::default() };
    let store = RecordStore { backed: BackedSections::All, ..RecordStore::unlimited() };
    let machine = Machine::<Subsection<G, R>>::boot(&map, config, &Config::default(), store).unwrap();
    let mut space = AddressSpace::new(AdmissionRules::new::<G>(R::SET, block_bytes), &map);
    let window = PfnRange::from_len(12 * G::PAGES_PER_SECTION, 2 * G::PAGES_PER_SECTION + G::PAGES_PER_SUBSECTION);
    let window = Resource::new(window.unwrap(), ResourceKind::Window, "CXL Window 0", false);
    assert_eq!(ram(machine.insert_resource(window.clone())), ram(space.insert_resource(window)));
    machine.claim_ram_buffers().unwrap();
    space.claim_ram_buffers();

    let mut mapped: Vec<(Arc<Pagemap>, Vec<PfnRange>)> = Vec::new();
    for change in changes {
        let fine = (G::PAGES_PER_SUBSECTION / 4).max(1);
        let unit = if change.coarse { (block_bytes >> G::PAGE_SHIFT) / 2 } else { fine };
        let base = if change.high { G::NR_PFNS - 8 * unit } else { 0 };
        let range = PfnRange::from_len(base + change.start * unit, change.size * unit).unwrap();
        let behind = PfnRange::from_len(range.end() + unit, change.size * unit).unwrap();
        let how = AddMemory { node: change.node, ..AddMemory::default() };
        match change.what {
            0 | 1 => {
                let refusals = space.ram_refusals(range, &how);
                let first = ram(refusals.into_iter().next().map_or(Ok(()), Err));
                let told = ram(space.add_memory(range, &how));
                assert_eq!(first, told);
                assert_eq!(ram(machine.add_memory(range, &how)), told, "add {range}");
            }
            2 => {
                let how = AddMemory { driver_name: Some("System RAM (kmem)".to_owned()), ..how };
                let (theirs, ours) = (
                    machine.add_device_memory(&[range, behind], &how),
                    space.add_device_memory(&[range, behind], &how),
                );
                assert_eq!(theirs.as_ref().ok(), ours.as_ref().ok());
                assert_eq!(ram(theirs), ram(ours), "kmem {range} {behind}");
            }
            3 | 4 => {
                let ranges = if change.what == 3 { vec![range] } else { vec![range, behind] };
                let ours = mapping(space.memremap_pages("dax0.0", &ranges));
                let spec = PagemapSpec { ranges: ranges.clone(), ..PagemapSpec::device(range) };
                match machine.memremap_pages(spec) {
                    Ok(pagemap) => {
                        assert_eq!(None, ours, "map {ranges:?}");
                        mapped.push((pagemap, ranges));
                    }
                    Err(error) => assert_eq!(mapping::<()>(Err(error)), ours, "map {ranges:?}"),
                }
            }
            5 => assert_eq!(ram(machine.remove_memory(range)), ram(space.remove_memory(range)), "remove {range}"),
            _ => {
                if let Some((pagemap, ranges)) = mapped.pop() {
                    machine.memunmap_pages(&pagemap).unwrap();
                    space.memunmap_pages(&ranges).unwrap();
                }
                assert!(space.memunmap_pages(&[PfnRange::from_len(range.start(), 1).unwrap()]).is_err());
            }
        }
        assert_eq!(machine.address_space().unwrap(), space, "after {change:?}");
    }
}

fn compare_rules<G: Geometry>(boot: &[(u64, u64)], blocks_of_sections: u64, changes: &[Change]) {
    compare::<G, Before>(boot, blocks_of_sections, changes);
    compare::<G, Linux5_10>(boot, blocks_of_sections, changes);
    compare::<G, Linux7_2>(boot, blocks_of_sections, changes);
    compare::<G, Merged>(boot, blocks_of_sections, changes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_machine_and_its_address_space_agree(boot in boot(), larger in 0..2u32, changes in changes()) {
        compare_rules::<Ppc64Pages64K>(&boot, 1 << larger, &changes);
        compare_rules::<Arm64Pages64K>(&boot, 1 << larger, &changes);
        compare_rules::<X86_64>(&boot, 1 << larger, &changes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn so_do_those_of_other_architectures(boot in boot(), changes in changes()) {
        compare_rules::<S390>(&boot, 1, &changes);
        compare_rules::<Arm64Pages4K>(&boot, 1, &changes);
    }
}

/// A mapping of two ranges in one section: its records would be added twice before the series.
#[test]
fn two_ranges_of_a_mapping_share_a_section_only_since_the_series() {
    const SUB: u64 = X86_64::PAGES_PER_SUBSECTION;
    let ranges = [PfnRange::from_len(8 * SUB, SUB).unwrap(), PfnRange::from_len(10 * SUB, SUB).unwrap()];
    let space = |set| AddressSpace::new(AdmissionRules::new::<X86_64>(set, 128 << 20), &BootMap::default());
    let told = space(Before::SET).memremap_pages("dax0.0", &ranges).unwrap_err();
    assert!(matches!(told, PagemapError::Layout(HotplugError::Overlaps { .. })), "{told}");
    space(Merged::SET).memremap_pages("dax0.0", &ranges).unwrap();
}

/// Before Linux 4.17 the kernel looked at sections only.
#[test]
fn ram_can_be_added_in_sections_if_the_kernel_asks_no_more() {
    let rules = AdmissionRules::new::<X86_64>(Before::SET, 2 << 30);
    let sections = AdmissionRules { ram_unit_bytes: 128 << 20, ..rules };
    let range = PfnRange::from_len(0x10_8000, 0x8000).unwrap();
    let how = AddMemory::default();
    assert!(AddressSpace::new(rules, &BootMap::default()).add_memory(range, &how).is_err());
    let mut space = AddressSpace::new(sections, &BootMap::default());
    space.add_memory(range, &how).unwrap();
    // The block is there, and gets another section.
    space.add_memory(PfnRange::from_len(0x11_0000, 0x8000).unwrap(), &how).unwrap();
    assert!(matches!(space.add_memory(range, &how), Err(MachineError::ResourceBusy { .. })));
}
