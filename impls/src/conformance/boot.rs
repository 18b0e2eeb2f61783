//! Cases of geometry and of boot memory: T-01, T-02, T-04, T-06 to T-09.

use super::*;
use crate::page::Zone;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Runs first, because reading a record at an invalid address ends the process.
pub(super) fn records_lie_where_memory_can<L: Memmap>(_: &Held) -> Check {
    let layout = boot::<L>(&small_machine())?;
    let reader = layout.reader();
    for pfn in [0, 0x9f, 0x100, 0x13ff, 0x2800, 0x6a63, 0x8000, 0xa3ff].map(Pfn) {
        // Other cases check which page frames are valid.
        if !reader.pfn_valid(pfn) {
            continue;
        }
        // SAFETY: the page frame is valid under this reader; its record is not read.
        let page = unsafe { reader.pfn_to_page(pfn) };
        let at = page.addr().get();
        check!(at >= LEAST_ADDRESS, "pfn_to_page({:#x}) is {at:#x}, where no record can be", pfn.0);
        check!(
            at.is_multiple_of(align_of::<L::Record>()),
            "pfn_to_page({:#x}) is {at:#x}, which is not aligned",
            pfn.0
        );
    }
    Ok(())
}

pub(super) fn t_01_numbers_of_the_geometry<L: Memmap>(_: &Held) -> Check {
    check!(L::Geometry::section_nr(0x1c0000) == 56, "pfn 0x1c0000 is not in section 56");
    check!(L::Geometry::subsection_index(0x1c0200) == 1, "pfn 0x1c0200 is not in sub-section 1 of its section");
    check!(L::Geometry::subsection_index(0x1c7fff) == 63, "pfn 0x1c7fff is not in sub-section 63 of its section");
    check!(L::Geometry::SUBSECTIONS_PER_SECTION == 64, "a section does not have 64 sub-sections");
    let with_pages = records_of::<L>(u::<L>()) * (PAGE_RECORD_BYTES / record_bytes::<L::Record>());
    check!(with_pages == 32768, "the records of a sub-section do not take 32 KiB at 64 bytes each");
    Ok(())
}

pub(super) fn t_02_empty_machine_knows_no_page<L: Memmap>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let before = layout.footprint();
    let reader = layout.reader();
    for pfn in [0, L::Geometry::NR_PFNS - 1, L::Geometry::NR_PFNS, 1 << 52, u64::MAX] {
        check!(!reader.pfn_valid(Pfn(pfn)), "pfn_valid({pfn:#x}) should be false on a machine without memory");
        check!(
            reader.section_flags(Pfn(pfn)) == 0 && !reader.pfn_section_valid(Pfn(pfn)),
            "pfn {pfn:#x} has a section on a machine without memory"
        );
    }
    // At both ends only: the default of `next_valid_pfn` asks for every page frame in turn.
    for (from, end) in [(0, 4 * s::<L>()), (u64::MAX - s::<L>(), u64::MAX)] {
        check!(
            reader.next_valid_pfn(Pfn(from), Pfn(end)).is_none(),
            "next_valid_pfn finds a page frame on a machine without memory"
        );
    }
    check!(layout.footprint() == before, "lookups allocated memory");
    Ok(())
}

pub(super) fn t_04_flat_is_valid_over_its_span<L: Memmap>(_: &Held) -> Check {
    let layout = boot::<L>(&boot_map(&[(0x100, 0x400), (0x800, 0x1100)]))?;
    let reader = layout.reader();
    for (pfn, expected) in [(0xff, false), (0x100, true), (0x10ff, true), (0x1100, false), (u64::MAX, false)] {
        check!(reader.pfn_valid(Pfn(pfn)) == expected, "pfn_valid({pfn:#x}) should be {expected}");
    }
    check!((0x400..0x800).all(|pfn| reader.pfn_valid(Pfn(pfn))), "a hole inside the span is not valid");
    check!(L::CAPS.hotplug_granule_pages.is_none(), "a layout that is valid over a span must not have hotplug");
    drop(reader);
    all_readable(&layout, range(0x100, 0x1000))
}

pub(super) fn t_06_round_trips<L: Memmap>(_: &Held) -> Check {
    let layout = boot::<L>(&boot_map(&[(0, 0xa0), (0x100, 4 * s::<L>())]))?;
    let reader = layout.reader();
    let mut rng = Pcg64Mcg::seed_from_u64(6);
    let mut base = None;
    for _ in 0..100_000 {
        let pfn = Pfn(rng.random_range(0x100..4 * s::<L>()));
        let page = reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?;
        check!(page.is_of(pfn), "the record of {pfn} {}", says(page));
        // SAFETY: the page came from this reader for a valid pfn; every section is backed.
        let back = unsafe { reader.page_to_pfn(page.into()) };
        check!(back == pfn, "page_to_pfn(pfn_to_page({:#x})) is {:#x}", pfn.0, back.0);
        if L::LOAD_CHAIN.pfn_to_page.is_empty() {
            // Without a load there is only one array, in which the address is the base plus the
            // bytes of a record per pfn.
            let base_now = (std::ptr::from_ref(page).addr() as u64).wrapping_sub(records_of::<L>(pfn.0));
            check!(
                *base.get_or_insert(base_now) == base_now,
                "the record of {pfn} is not at base + pfn * size of a record"
            );
        }
    }
    Ok(())
}

pub(super) fn t_07_boot_range_that_ends_inside_a_section<L: Hotplug + Inspect + SectionFlags>(held: &Held) -> Check {
    let machine = machine::<L>(&ram_before_a_device())?;
    let layout = machine.layout();
    check!(map(layout, 0x3f) == 0xffff_ffff, "map(0x3f) is {:#x}", map(layout, 0x3f));
    let reader = layout.reader();
    let hole = Pfn(0x1fc000);
    check!(reader.pfn_valid(hole) == held.early_is_whole, "pfn_valid of the hole should be {}", held.early_is_whole);
    check!(!reader.pfn_section_valid(hole), "pfn_section_valid is true for the hole");
    check!(machine.pfn_to_online_page(&reader, hole).is_none(), "a page of the hole is online");
    check!(machine.pfn_to_online_page(&reader, Pfn(0x1fbfff)).is_some(), "the last page of RAM is not online");
    drop(reader);
    // A boot section has all its records, including those of its holes (B-12).
    match held.early_is_whole {
        true => all_readable(layout, range(0x1f8000, s::<L>())),
        false => all_readable(layout, range(0x1f8000, s::<L>() / 2)),
    }
}

pub(super) fn t_08_boot_ranges_add_up<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&boot_map(&[(0, 0xa0), (0x100, 0x1400), (0x2800, 0x8000)]))?;
    check!(map(&layout, 0) == 0xffff_ffff_fff0_03ff, "map(0) is {:#x}", map(&layout, 0));
    Ok(())
}

pub(super) fn t_09_boot_range_rounds_outwards<L: Hotplug + Inspect + SectionFlags>(held: &Held) -> Check {
    let layout = boot::<L>(&boot_map(&[(0, 0x10064)]))?;
    check!(map(&layout, 2) == 1, "map(2) is {:#x}", map(&layout, 2));
    check!(valid(&layout, 0x17fff) == held.early_is_whole, "pfn_valid(0x17fff) should be {}", held.early_is_whole);
    refused(&layout, "adding a sub-section that is partly present", EEXIST, || add(&layout, range(0x10000, u::<L>())))?;
    add(&layout, range(0x10200, u::<L>())).map_err(text)
}

pub(super) fn records_of_boot_name_their_node_zone_and_section<L: Memmap>(_: &Held) -> Check {
    // Nothing at pfn 0, and several nodes.
    let boot = |start: u64, end: u64, node| PfnRange::new(start, end).map(|range| BootRange { range, node });
    let (section, end) = (s::<L>(), 6 * s::<L>());
    let ranges = [boot(2 * section, 3 * section, 1), boot(3 * section, 5 * section, 3), boot(5 * section, end, 2)];
    let map = BootMap::new(ranges.into_iter().flatten()).map_err(text)?;
    let layout = self::boot::<L>(&map)?;
    let reader = layout.reader();
    for pfn in (2 * section..end).map(Pfn) {
        let page = reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?;
        let node = map.node_of(pfn).unwrap_or_default();
        if let Some(links) = page.links() {
            check!(links.node() == node, "the record of {pfn} has node {}, not {node}", links.node());
            check!(links.zone() == Some(Zone::Normal), "the record of {pfn} has zone {:?}, not Normal", links.zone());
        }
        check!(page.is_of(pfn), "the record of {pfn} {}", says(page));
        // Layouts that keep the section number in the record read it here.
        // SAFETY: the page came from this reader for a valid pfn; every section is backed.
        let back = unsafe { reader.page_to_pfn(page.into()) };
        check!(back == pfn, "page_to_pfn(pfn_to_page({:#x})) is {:#x}", pfn.0, back.0);
    }
    Ok(())
}

pub(super) fn boot_map_is_answered_as_by_the_oracle<L: Memmap>(_: &Held) -> Check {
    let map = small_machine();
    let layout = boot::<L>(&map)?;
    agree(&layout, &Oracle::boot(&map))?;
    walk_agrees(&layout, 0, 4 * s::<L>())?;
    walk_agrees(&layout, 0x27ff, 0x6a70)
}

pub(super) fn memory_beyond_the_space_does_not_boot<L: Memmap>(_: &Held) -> Check {
    let top = L::Geometry::NR_PFNS;
    let Err(error) = L::boot(&boot_map(&[(top - 512, top + 512)]), &Config::default(), store()) else {
        return Err("boot accepted memory beyond the physical address space".into());
    };
    check!(error.to_string().contains("beyond the physical space"), "{error}");
    Ok(())
}

pub(super) fn only_backed_sections_take_memory<L: Memmap>(_: &Held) -> Check {
    let map = small_machine();
    let store = RecordStore { backed: BackedSections::only([1]), ..store() };
    let budget = store.budget.clone();
    let layout = boot_with::<L>(&map, store)?;
    agree(&layout, &Oracle::boot(&map))?;
    let records = layout.footprint().ram_record_bytes;
    check!(
        records > 0 && records <= records_of::<L>(s::<L>()),
        "the records of one section must be backed, but {records} bytes are"
    );
    check!(budget.used() == records, "the budget counts {} bytes, the footprint {records}", budget.used());
    drop(layout);
    check!(budget.used() == 0, "{} bytes are still charged after the layout was dropped", budget.used());
    Ok(())
}
