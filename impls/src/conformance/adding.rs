//! Cases of adding: T-03, T-05, T-11 to T-15, T-17 to T-23, T-25, T-26.

use super::*;
use crate::fault::{Faults, Seam};
use crate::rules::Rules;
use crate::section::*;

/// The state of T-11: four sub-sections of section 1, starting with the tenth.
pub(super) fn four_in_section_1<L: Hotplug>(layout: &L) -> Check {
    add(layout, range(s::<L>() + 10 * u::<L>(), 4 * u::<L>())).map_err(text)
}

/// The state of T-12: that of T-11 with two more sub-sections.
pub(super) fn six_in_section_1<L: Hotplug>(layout: &L) -> Check {
    four_in_section_1(layout)?;
    add(layout, range(s::<L>() + 14 * u::<L>(), 2 * u::<L>())).map_err(text)
}

/// A layout with fault injection.
fn with_faults<L: Memmap>() -> Result<(L, Faults), String> {
    let faults = Faults::planned();
    let store = RecordStore { faults: faults.clone(), ..store() };
    Ok((boot_with(&BootMap::default(), store)?, faults))
}

pub(super) fn t_03_one_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let s = s::<L>();
    add(&layout, range(s, s)).map_err(text)?;
    let beyond = [s - 1, 2 * s, s | 1 << 52, s + L::Geometry::NR_PFNS, s | 1 << 63];
    check!(valid(&layout, s) && valid(&layout, 2 * s - 1), "a page frame of the added section is not valid");
    check!(beyond.iter().all(|&pfn| !valid(&layout, pfn)), "a page frame outside the added section is valid");
    all_readable(&layout, range(s, s))
}

pub(super) fn t_05_whole_sections_only<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let (s, u) = (s::<L>(), u::<L>());
    add(&layout, range(s, s)).map_err(text)?;
    check!((s..2 * s).all(|pfn| valid(&layout, pfn)), "a page frame of the added section is not valid");
    refused(&layout, "adding part of a section", EINVAL, || add(&layout, range(2 * s, u)))?;
    refused(&layout, "adding a section at a misaligned start", EINVAL, || add(&layout, range(s + u, s)))?;
    refused(&layout, "adding twice", EEXIST, || add(&layout, range(s, s)))?;
    let reader = layout.reader();
    for pfn in (s..2 * s).map(Pfn) {
        let page = reader.valid_to_page(pfn).ok_or("not valid")?;
        // SAFETY: the page came from this reader for a valid pfn; every section is backed.
        check!(unsafe { reader.page_to_pfn(page.into()) } == pfn, "page_to_pfn does not return {pfn}");
    }
    Ok(())
}

pub(super) fn t_11_part_of_a_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    four_in_section_1(&layout)?;
    let (s, u) = (s::<L>(), u::<L>());
    check!(map(&layout, 1) == 0x3c00, "map(1) is {:#x}", map(&layout, 1));
    let added = range(s + 10 * u, 4 * u);
    check!(
        (0..3 * s).all(|pfn| valid(&layout, pfn) == added.contains(Pfn(pfn))),
        "the valid page frames are not exactly the added ones"
    );
    check!(
        accounted_bytes(&layout) == taking(records_of::<L>(32 * 64), 1),
        "{} bytes of records",
        accounted_bytes(&layout)
    );
    check!(layout.accounting().heap_usages == 1, "{:?}", layout.accounting());
    let flags = flags(&layout, 1);
    let taint = if <L::Rules as Rules>::SET.taints_mixed_sections { SECTION_TAINT_ZONE_DEVICE } else { 0 };
    check!(flags == <L::Rules as Rules>::SET.present_flag() | SECTION_HAS_MEM_MAP | taint, "flags {flags:#x}");
    // The word contains the address that the record of pfn 0 would have.
    let word = layout.section_state(1).map_or(0, |state| state.section_mem_map & SECTION_MAP_MASK);
    let reader = layout.reader();
    let page = reader.valid_to_page(Pfn(added.start())).ok_or("not valid")?;
    let base = (std::ptr::from_ref(page).addr() as u64).wrapping_sub(records_of::<L>(added.start()));
    check!(word == base, "the section word codes the address {word:#x}, but the record of pfn 0 would be at {base:#x}");
    Ok(())
}

pub(super) fn t_12_overlap_is_refused_neighbours_are_not<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    four_in_section_1(&layout)?;
    let (s, u) = (s::<L>(), u::<L>());
    refused(&layout, "adding an overlapping range", EEXIST, || add(&layout, range(s + 13 * u, 2 * u)))?;
    let before = accounted_bytes(&layout);
    add(&layout, range(s + 14 * u, 2 * u)).map_err(text)?;
    check!(map(&layout, 1) == 0xfc00, "map(1) is {:#x}", map(&layout, 1));
    check!(
        accounted_bytes(&layout) - before == taking(records_of::<L>(16 * 64), 0),
        "{} bytes of records",
        accounted_bytes(&layout)
    );
    Ok(())
}

pub(super) fn t_13_misaligned_is_refused<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let (s, u) = (s::<L>(), u::<L>());
    for (start, nr_pages) in [(s + 1, u), (s, u + 1), (s, u / 2), (s + u / 2, u), (s, 0)] {
        let range = range(start, nr_pages);
        refused(&layout, format!("adding {range}"), EINVAL, || add(&layout, range))?;
    }
    Ok(())
}

pub(super) fn t_14_add_across_two_sections<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    add(&layout, range(s::<L>() + 63 * u::<L>(), 2 * u::<L>())).map_err(text)?;
    let maps = (map(&layout, 1), map(&layout, 2));
    check!(maps == (1 << 63, 1), "maps {maps:x?}");
    Ok(())
}

/// In terms of the unit in which records are backed (base pages here): the account matches what the
/// parts need.
pub(super) fn t_15_parts_and_a_whole_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let added = range(s::<L>() + 32 * u::<L>(), 2 * s::<L>());
    add(&layout, added).map_err(text)?;
    let maps = [1, 2, 3, 4].map(|nr| map(&layout, nr));
    check!(maps == [0xffff_ffff_0000_0000, u64::MAX, 0xffff_ffff, 0], "maps {maps:x?}");
    let bytes = accounted_bytes(&layout);
    check!(bytes == taking(records_of::<L>(2 * s::<L>()), 3), "{bytes} bytes of records");
    all_readable(&layout, added)
}

pub(super) fn t_17_no_memory_for_usage_or_root<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    for seam in [Seam::Usage, Seam::Root] {
        let (layout, faults) = with_faults::<L>()?;
        let added = range(s::<L>(), granule::<L>());
        faults.fail(seam, 0);
        refused(&layout, format!("adding while the allocation of a {seam:?} fails"), ENOMEM, || add(&layout, added))?;
        check!(layout.section_state(1).is_none(), "the state of section 1 is {:?}, not blank", layout.section_state(1));
        let roots = layout.accounting().roots;
        check!(roots == u64::from(seam == Seam::Usage), "{roots} root pages after the allocation of a {seam:?} failed");
        check!(accounts(&layout) == Accounting::default(), "{:?}", layout.accounting());
        add(&layout, added).map_err(text)?;
    }
    Ok(())
}

pub(super) fn t_18_no_memory_for_records<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (layout, faults) = with_faults::<L>()?;
    let added = range(s::<L>(), granule::<L>());
    // Records in RAM, even if the layout could store them on a device.
    faults.fail(Seam::Records, 0);
    let in_ram = || layout.add(added, &AddParams::default(), &mut ());
    refused(&layout, "adding while the allocation of records fails", ENOMEM, in_ram)?;
    check!(layout.section_state(1).is_none(), "the state of section 1 is {:?}, not blank", layout.section_state(1));
    check!(accounts(&layout) == Accounting::default(), "{:?}", layout.accounting());
    add(&layout, added).map_err(text)
}

pub(super) fn t_19_no_memory_in_a_live_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (layout, faults) = with_faults::<L>()?;
    let (s, u) = (s::<L>(), u::<L>());
    layout.add(range(s, u), &AddParams::default(), &mut ()).map_err(text)?;
    faults.fail(Seam::Records, 0);
    let in_ram = || layout.add(range(s + u, u), &AddParams::default(), &mut ());
    refused(&layout, "adding while the allocation of records fails", ENOMEM, in_ram)?;
    check!(map(&layout, 1) == 1, "map(1) is {:#x}", map(&layout, 1));
    check!(
        valid(&layout, s) && !valid(&layout, s + u),
        "pfn_valid disagrees with the sub-section map after a failed addition"
    );
    all_readable(&layout, range(s, u))
}

pub(super) fn t_20_whole_section_over_what_is_there<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&ram_before_a_device())?;
    let s = s::<L>();
    four_in_section_1(&layout)?;
    refused(&layout, "adding a section of which a part is present", EEXIST, || add(&layout, range(s, s)))?;
    refused(&layout, "adding a section that is partly boot memory", EEXIST, || add(&layout, range(0x1f8000, s)))?;
    refused(&layout, "adding a section that is boot memory", EEXIST, || add(&layout, range(0x100000, s)))
}

/// The last granule of section 4, which is present when sections 3 and 4 are added.
fn last_of_section_4<L: Hotplug>() -> PfnRange {
    range(5 * s::<L>() - granule::<L>(), granule::<L>())
}

pub(super) fn t_21_faithful_mode_leaves_what_it_added<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let s = s::<L>();
    add(&layout, last_of_section_4::<L>()).map_err(text)?;
    let (section_4, accounts_4) = (layout.section_state(4), layout.accounting());
    let how = AddParams { mode: AddMode::Faithful, ..AddParams::default() };
    let errno = layout.add(range(3 * s, 2 * s), &how, &mut ()).map_err(|error| error.errno());
    check!(errno == Err(EEXIST), "adding a range that is partly present returns {errno:?}, not EEXIST");
    check!((3 * s..4 * s).all(|pfn| valid(&layout, pfn)), "section 3 was not added");
    check!(layout.section_state(4) == section_4, "the section that could not be added has changed");
    let added = Accounting {
        heap_usages: accounts_4.heap_usages + 1,
        ram_record_bytes: accounts_4.ram_record_bytes + records_of::<L>(s),
        ..accounts_4
    };
    check!(layout.accounting() == added, "the accounts are {:?}, not {added:?}", layout.accounting());
    all_readable(&layout, range(3 * s, s))
}

pub(super) fn t_22_transactional_mode_leaves_nothing<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let s = s::<L>();
    add(&layout, last_of_section_4::<L>()).map_err(text)?;
    let records = accounted_bytes(&layout);
    refused(&layout, "adding a range that is partly present", EEXIST, || add(&layout, range(3 * s, 2 * s)))?;
    check!(!valid(&layout, 3 * s) && accounted_bytes(&layout) == records, "a failed addition left section 3 behind");
    Ok(())
}

pub(super) fn t_23_add_to_a_boot_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&ram_before_a_device())?;
    let before = accounted_bytes(&layout);
    let how = params::<L>(the_device(), layout.backed())?;
    let altmap_used = || how.altmap.as_ref().map_or(0, |altmap| altmap.used().alloc);
    // The part in the boot section needs no memory.
    let in_boot_section = range(0x1fc000, 0x4000);
    layout.add(in_boot_section, &params::<L>(in_boot_section, layout.backed())?, &mut ()).map_err(text)?;
    check!(
        accounted_bytes(&layout) == before,
        "an addition to a boot section allocated records, which the section has already"
    );
    remove(&layout, in_boot_section).map_err(text)?;
    layout.add(the_device(), &how, &mut ()).map_err(text)?;
    check!(map(&layout, 0x3f) == u64::MAX, "map(0x3f) is {:#x}", map(&layout, 0x3f));
    check!(
        (0x40..0x5f).all(|nr| map(&layout, nr) == u64::MAX),
        "a section between the ends of the device is not present as a whole"
    );
    check!(map(&layout, 0x5f) == 0xffff_ffff, "map(0x5f) is {:#x}", map(&layout, 0x5f));
    let pages = (accounted_bytes(&layout) - before) / 4096;
    check!(pages == taking(records_of::<L>(16128 * 64), 32) / 4096, "the addition took {pages} pages for records");
    let from_altmap = match L::CAPS.records_on_device {
        DeviceRecords::Never => 0,
        DeviceRecords::WholeSections => 31 * 512,
        DeviceRecords::Always => 31 * 512 + 256,
    };
    check!(altmap_used() == from_altmap, "{} pages came from the altmap, not {from_altmap}", altmap_used());
    let present = <L::Rules as Rules>::SET.present_flag();
    let boot_flags = present | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
    let shared = flags(&layout, 0x3f);
    check!(shared == boot_flags | SECTION_TAINT_ZONE_DEVICE, "flags of section 0x3f: {shared:#x}");
    let last = flags(&layout, 0x5f);
    check!(last == present | SECTION_HAS_MEM_MAP | SECTION_TAINT_ZONE_DEVICE, "flags of section 0x5f: {last:#x}");
    let whole = flags(&layout, 0x40);
    check!(whole & SECTION_TAINT_ZONE_DEVICE == 0, "a section that only has device memory is tainted");
    Ok(())
}

/// ndctl issue 76: each region of 252 GiB owns half of section 0xaef.
pub(super) fn t_25_two_regions_share_a_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let regions = [range(0x187c000, 0x3f00000), range(0x577c000, 0x3f00000)];
    let edges = regions.map(|region| [region.start(), region.end() - 1].map(L::Geometry::section_nr));
    // The records would take 7.9 GiB, so only the sections at the edges are backed.
    let backed = BackedSections::only(edges.into_iter().flatten());
    let layout = boot_with::<L>(&BootMap::default(), RecordStore { backed, ..store() })?;
    for region in regions {
        add(&layout, region).map_err(text)?;
    }
    check!(map(&layout, 0xaef) == u64::MAX, "map(0xaef) is {:#x}", map(&layout, 0xaef));
    remove(&layout, regions[1]).map_err(text)?;
    check!(map(&layout, 0xaef) == 0xffff_ffff, "map(0xaef) is {:#x}", map(&layout, 0xaef));
    let region = regions[0];
    check!(valid(&layout, region.start()) && valid(&layout, region.end() - 1), "the region that stayed is not valid");
    check!(!valid(&layout, region.end()), "the removed region is valid");
    all_readable(&layout, range(0x577_8000, region.end() - 0x577_8000))
}

pub(super) fn t_26_beyond_the_physical_space<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let (unit, top) = (granule::<L>(), L::Geometry::NR_PFNS);
    for (start, nr_pages) in [(top, unit), (top - unit, 2 * unit), (u64::MAX - 2 * unit + 1, unit), (u64::MAX - 1, 1)] {
        let range = range(start, nr_pages);
        let adding = || layout.add(range, &AddParams::default(), &mut ());
        refused(&layout, format!("adding {range}"), ERANGE, adding)?;
    }
    check!(layout.accounting().roots == 0, "a refused addition allocated a root page");
    // The last pages of the physical address space.
    add(&layout, range(top - unit, unit)).map_err(text)?;
    check!(
        valid(&layout, top - 1) && !valid(&layout, top),
        "the last page frame of the physical address space must be valid, and the one above it not"
    );
    let first = layout.reader().next_valid_pfn(Pfn(0), Pfn(u64::MAX));
    check!(
        first == Some(Pfn(top - unit)),
        "next_valid_pfn from 0 finds {first:?}, not the last sub-section or section"
    );
    Ok(())
}
