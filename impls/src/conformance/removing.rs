//! Cases of removing: T-27 to T-36, T-38.

use super::adding::{four_in_section_1, six_in_section_1};
use super::*;

pub(super) fn t_27_last_part_blanks_the_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    four_in_section_1(&layout)?;
    let added = range(s::<L>() + 10 * u::<L>(), 4 * u::<L>());
    remove(&layout, added).map_err(text)?;
    let left = layout.section_state(1);
    check!(left.is_none(), "the state of section 1 is {left:x?}, not blank");
    check!(accounts(&layout) == Accounting::default(), "{:?}", layout.accounting());
    check!((s::<L>()..2 * s::<L>()).all(|pfn| !valid(&layout, pfn)), "a page frame of the emptied section is valid");
    Ok(())
}

pub(super) fn t_28_part_goes_neighbours_stay<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let (s, u) = (s::<L>(), u::<L>());
    four_in_section_1(&layout)?;
    add(&layout, range(s + 14 * u, 2 * u)).map_err(text)?;
    let before = accounted_bytes(&layout);
    remove(&layout, range(s + 12 * u, 2 * u)).map_err(text)?;
    check!(map(&layout, 1) == 0xcc00, "map(1) is {:#x}", map(&layout, 1));
    check!(layout.accounting().heap_usages == 1, "removing part of a section freed its usage");
    check!(
        before - accounted_bytes(&layout) == taking(records_of::<L>(16 * 64), 0),
        "{} bytes of records",
        accounted_bytes(&layout)
    );
    all_readable(&layout, range(s + 10 * u, 2 * u))?;
    all_readable(&layout, range(s + 14 * u, 2 * u))
}

pub(super) fn t_29_partly_inactive_range_is_refused_whole<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    six_in_section_1(&layout)?;
    let (s, u) = (s::<L>(), u::<L>());
    refused(&layout, "removing a range that is partly present", EINVAL, || remove(&layout, range(s + 9 * u, 2 * u)))?;
    check!(map(&layout, 1) == 0xfc00, "map(1) is {:#x}", map(&layout, 1));
    // Across sections too: the first is present as a whole, the second not at all.
    refused(&layout, "removing a range across sections that is partly present", EINVAL, || {
        remove(&layout, range(s + 15 * u, s))
    })
}

pub(super) fn t_30_twice_never_misaligned<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let (s, unit) = (s::<L>(), granule::<L>());
    let (first, second) = (range(s, unit), range(2 * s, unit));
    for range in [first, second] {
        add(&layout, range).map_err(text)?;
    }
    remove(&layout, first).map_err(text)?;
    refused(&layout, "removing twice", EINVAL, || remove(&layout, first))?;
    refused(&layout, "removing a range that was never present", EINVAL, || remove(&layout, range(40 * s, unit)))?;
    refused(&layout, "removing a range without a root page", EINVAL, || remove(&layout, range(4000 * s, unit)))?;
    for (start, nr_pages) in [(2 * s + 1, unit), (2 * s, unit - 1), (2 * s, unit / 2), (2 * s, 0)] {
        let part = range(start, nr_pages);
        refused(&layout, format!("removing {part}"), EINVAL, || remove(&layout, part))?;
    }
    Ok(())
}

/// The state of T-31: the device of T-23 was added and removed. Returns the accounts before and
/// after.
fn device_came_and_went<L: Hotplug + Inspect + SectionFlags>() -> Result<(L, Accounting, Accounting), String> {
    let layout = boot::<L>(&ram_before_a_device())?;
    let before = accounts(&layout);
    add(&layout, the_device()).map_err(text)?;
    remove(&layout, the_device()).map_err(text)?;
    let after = accounts(&layout);
    Ok((layout, before, after))
}

pub(super) fn t_31_remove_from_a_boot_section<L: Hotplug + Inspect + SectionFlags>(held: &Held) -> Check {
    let (layout, before, after) = device_came_and_went::<L>()?;
    check!(map(&layout, 0x3f) == 0xffff_ffff, "map(0x3f) is {:#x}", map(&layout, 0x3f));
    let hole = 0x1fc000;
    check!(valid(&layout, hole) == held.early_is_whole, "pfn_valid of the hole should be {}", held.early_is_whole);
    check!(!layout.reader().pfn_section_valid(Pfn(hole)), "pfn_section_valid is true for the hole");
    check!(!valid(&layout, 0x200000), "a section of the removed device is valid");
    check!(after == before, "the accounts are {after:?}, not {before:?} as before");
    Ok(())
}

pub(super) fn t_32_add_to_it_again<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (layout, before, _) = device_came_and_went::<L>()?;
    add(&layout, the_device()).map_err(text)?;
    let in_boot_section = range(0x1fc000, 0x4000);
    {
        let reader = layout.reader();
        for pfn in (in_boot_section.start()..in_boot_section.end()).map(Pfn) {
            reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?.set_reserved();
        }
    }
    // Freed memory would be reused by now: allocate memory, write it, and check again.
    let other = boot::<L>(&boot_map(&[(0, 4 * s::<L>())]))?;
    all_readable(&other, range(0, 4 * s::<L>()))?;
    all_readable(&layout, in_boot_section)?;
    let reader = layout.reader();
    // Records of the altmap's reserve are never initialised, so they cannot be written.
    let is_kept =
        |pfn: u64, page: &L::Record| page.is_reserved() || is_right::<L>(page, Pfn(pfn)) && page.is_poisoned();
    let kept = |pfn| reader.valid_to_page(Pfn(pfn)).is_some_and(|page| is_kept(pfn, page));
    check!((in_boot_section.start()..in_boot_section.end()).all(kept), "records lost what was written to them");
    drop(reader);
    remove(&layout, the_device()).map_err(text)?;
    check!(accounts(&layout) == before, "the accounts are {:?}, not {before:?} as before", accounts(&layout));
    Ok(())
}

pub(super) fn t_33_boot_section_goes_whole<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let s = s::<L>();
    let layout = boot::<L>(&boot_map(&[(8 * s, 10 * s)]))?;
    remove(&layout, range(8 * s, s)).map_err(text)?;
    check!(!valid(&layout, 8 * s) && valid(&layout, 9 * s), "the removed section is valid, or its neighbour is not");
    let state = layout.section_state(8).ok_or("the emptied boot section has no usage")?;
    check!(state.section_mem_map == 0, "the word of the emptied section is {:#x}, not 0", state.section_mem_map);
    check!(state.usage == Some(UsageKind::Boot), "the usage of the section is {:?}, not Boot", state.usage);
    check!(
        state.subsection_map.iter().all(|&word| word == 0),
        "the sub-section map is {:x?}, not empty",
        state.subsection_map
    );
    check!(
        accounted_bytes(&layout) == records_of::<L>(s),
        "{} bytes of records for the one section that is left",
        accounted_bytes(&layout)
    );
    Ok(())
}

pub(super) fn t_34_emptied_boot_section_is_an_ordinary_one<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (s, u) = (s::<L>(), u::<L>());
    let layout = boot::<L>(&boot_map(&[(8 * s, 9 * s)]))?;
    remove(&layout, range(8 * s, s)).map_err(text)?;
    for round in 0..100 {
        add(&layout, range(8 * s, 2 * u)).map_err(text)?;
        check!(flags(&layout, 8) & crate::section::SECTION_IS_EARLY == 0, "round {round}: the section is early again");
        check!(
            valid(&layout, 8 * s) && !valid(&layout, 8 * s + 2 * u),
            "round {round}: pfn_valid disagrees with what was added"
        );
        all_readable(&layout, range(8 * s, 2 * u))?;
        remove(&layout, range(8 * s, 2 * u)).map_err(text)?;
        let usage = layout.section_state(8).and_then(|state| state.usage);
        check!(usage == Some(UsageKind::Boot), "round {round}: the usage is {usage:?}, not Boot");
    }
    check!(accounts(&layout) == Accounting::default(), "{:?}", layout.accounting());
    Ok(())
}

pub(super) fn t_35_part_of_a_boot_section<L: Hotplug + Inspect + SectionFlags>(held: &Held) -> Check {
    let (s, u) = (s::<L>(), u::<L>());
    let layout = boot::<L>(&boot_map(&[(8 * s, 9 * s)]))?;
    let before = accounts(&layout);
    remove(&layout, range(8 * s + 3 * u, 2 * u)).map_err(text)?;
    check!(map(&layout, 8) == !(0b11 << 3), "map(8) is {:#x}", map(&layout, 8));
    check!(accounts(&layout) == before, "the accounts are {:?}, not {before:?} as before", accounts(&layout));
    let gone = 8 * s + 3 * u;
    check!(valid(&layout, gone) == held.early_is_whole, "pfn_valid should be {}", held.early_is_whole);
    check!(!layout.reader().pfn_section_valid(Pfn(gone)), "pfn_section_valid is true for the removed part");
    Ok(())
}

/// In terms of the unit in which records are backed: the account follows the halves.
pub(super) fn t_36_halves_of_a_section<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let s = s::<L>();
    let layout = boot::<L>(&BootMap::default())?;
    let (lower, upper) = (range(s, s / 2), range(s + s / 2, s / 2));
    add(&layout, range(s, s)).map_err(text)?;
    check!(
        accounted_bytes(&layout) == records_of::<L>(s),
        "{} bytes of records for a section",
        accounted_bytes(&layout)
    );
    remove(&layout, lower).map_err(text)?;
    check!(
        accounted_bytes(&layout) == taking(records_of::<L>(s / 2), 1),
        "{} bytes of records for half a section",
        accounted_bytes(&layout)
    );
    all_readable(&layout, upper)?;
    remove(&layout, upper).map_err(text)?;
    check!(accounts(&layout) == Accounting::default(), "{:?}", layout.accounting());
    add(&layout, lower).map_err(text)?;
    check!(
        accounted_bytes(&layout) == taking(records_of::<L>(s / 2), 1),
        "{} bytes of records for half a section",
        accounted_bytes(&layout)
    );
    all_readable(&layout, lower)
}

/// The records of a sub-section take 2 KiB, and a page of records is 64 KiB.
pub(super) fn t_38_shared_page_of_records<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (s, u) = (s::<L>(), u::<L>());
    let layout = boot::<L>(&BootMap::default())?;
    let (first, second) = (range(s, u), range(s + u, u));
    let page = taking(L::Geometry::PAGE_SIZE, 1);
    add(&layout, first).map_err(text)?;
    add(&layout, second).map_err(text)?;
    check!(accounted_bytes(&layout) == page, "{} bytes of records", accounted_bytes(&layout));
    remove(&layout, first).map_err(text)?;
    check!(
        accounted_bytes(&layout) == page,
        "the shared page of records was released while the second sub-section used it"
    );
    check!(!valid(&layout, first.start()), "the removed sub-section is valid");
    all_readable(&layout, second)?;
    add(&layout, first).map_err(text)?;
    all_readable(&layout, range(s, 2 * u))?;
    remove(&layout, second).map_err(text)?;
    all_readable(&layout, first)?;
    remove(&layout, first).map_err(text)?;
    check!(accounts(&layout) == Accounting::default(), "{:?}", layout.accounting());
    // A boot section shares no page of records, because the records of a whole section fill pages.
    let layout = boot::<L>(&boot_map(&[(0, s)]))?;
    let before = accounts(&layout);
    add(&layout, second).map_err(text)?;
    remove(&layout, second).map_err(text)?;
    all_readable(&layout, range(0, s))?;
    check!(accounts(&layout) == before, "{:?}", layout.accounting());
    Ok(())
}
