//! Cases of device mappings (`dev_pagemap`): T-24, T-57 to T-59.

use super::*;
use crate::machine::{PagemapSpec, Resource, ResourceKind};
use crate::rules::Rules;
use std::time::Duration;

fn mapping_refused<L: Hotplug + Inspect + SectionFlags>(machine: &Machine<L>, mapped: PfnRange, errno: i32) -> Check {
    refused(machine, format!("mapping {mapped}"), errno, || machine.memremap_pages(PagemapSpec::device(mapped)))
}

pub(super) fn t_24_device_pages_of_a_mixed_section_are_not_online<L: Hotplug + Inspect + SectionFlags>(
    _: &Held,
) -> Check {
    let machine = machine::<L>(&ram_before_a_device())?;
    let pagemap = machine.memremap_pages(PagemapSpec::device(the_device())).map_err(text)?;
    let online = |pfn| machine.pfn_to_online_page(&machine.layout().reader(), Pfn(pfn)).is_some();
    check!(!online(0x1fc000), "a device page is online");
    check!(online(0x1f8000), "a RAM page in the same section is not online");
    check!(!online(0x200000), "a page of a section that only has device memory is online");
    refused(&machine, "soft_offline of a device page", EIO, || machine.soft_offline(Pfn(0x1fc000)))?;
    let poisoned = |pfn| machine.layout().reader().valid_to_page(Pfn(pfn)).is_some_and(HotplugRecord::is_hwpoison);
    check!(!poisoned(0x1fc000), "soft_offline poisoned a device page");
    machine.soft_offline(Pfn(0x1f8000)).map_err(text)?;
    check!(poisoned(0x1f8000), "soft_offline did not poison a RAM page");
    machine.memunmap_pages(&pagemap).map_err(text)?;
    check!(!online(0x1fc000) && online(0x1f8000), "after unmapping, a device page is online or a RAM page is not");
    Ok(())
}

pub(super) fn t_57_mappings_do_not_overlap<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = machine::<L>(&BootMap::default())?;
    let u = u::<L>();
    let first = range(0x100000, 8 * u);
    let pagemap = machine.memremap_pages(PagemapSpec::device(first)).map_err(text)?;
    mapping_refused(&machine, range(first.end() - u, u), ENOMEM)?;
    let beside = machine.memremap_pages(PagemapSpec::device(range(first.end(), u))).map_err(text)?;
    // A mapping that contains the first one: found although both of its ends are free.
    mapping_refused(&machine, range(first.start() - 4 * u, 16 * u), ENOMEM)?;
    let found = machine.get_dev_pagemap(Pfn(first.start()));
    check!(
        found.is_some_and(|found| Arc::ptr_eq(found.pagemap(), &pagemap)),
        "get_dev_pagemap does not find the first mapping"
    );
    all_readable(machine.layout(), first)?;
    machine.memunmap_pages(&beside).map_err(text)?;
    check!(
        machine.get_dev_pagemap(Pfn(first.end())).is_none(),
        "get_dev_pagemap finds the second mapping after it was unmapped"
    );
    check!(machine.get_dev_pagemap(Pfn(first.end() - 1)).is_some(), "unmapping the second mapping removed the first");
    Ok(())
}

pub(super) fn t_58_ram_is_not_mapped<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (s, unit) = (s::<L>(), granule::<L>());
    let machine = machine::<L>(&boot_map(&[(s, 2 * s)]))?;
    // One page of RAM, nested in another resource.
    let window = Resource::new(range(8 * s, 4 * s), ResourceKind::Window, "CXL Window 0", false);
    machine.insert_resource(window).map_err(text)?;
    let one_page = range(9 * s, 1);
    let kmem = Resource::new(one_page, ResourceKind::SystemRam, "System RAM (kmem)", true);
    machine.insert_resource(kmem).map_err(text)?;
    mapping_refused(&machine, range(2 * s - unit, 2 * unit), ENXIO)?;
    // Overlapping by one page.
    mapping_refused(&machine, range(2 * s - 1, unit), ENXIO)?;
    mapping_refused(&machine, range(9 * s - unit, unit + unit), ENXIO)?;
    let off_the_grid = range(16 * s + 256, unit);
    match <L::Rules as Rules>::SET.whole_sections {
        // Rounded outwards to whole sections, which costs one more section.
        true => machine.memremap_pages(PagemapSpec::device(off_the_grid)).map(drop).map_err(text)?,
        false => mapping_refused(&machine, off_the_grid, EINVAL)?,
    }
    machine.memremap_pages(PagemapSpec::device(range(2 * s, unit))).map(drop).map_err(text)
}

pub(super) fn t_59_unmapping_waits_for_references<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = Arc::new(machine::<L>(&BootMap::default())?);
    let mapped = range(16 * s::<L>(), granule::<L>());
    let first = Pfn(mapped.start());
    let pagemap = machine.memremap_pages(PagemapSpec::device(mapped)).map_err(text)?;
    let reference = machine.get_dev_pagemap(first).ok_or("get_dev_pagemap does not find the mapping")?;
    let unmapping = std::thread::spawn({
        let (machine, pagemap) = (Arc::clone(&machine), Arc::clone(&pagemap));
        move || machine.memunmap_pages(&pagemap).map_err(text)
    });
    // Unmapping first stops new references; nothing is released yet.
    while machine.get_dev_pagemap(first).is_some() && !unmapping.is_finished() {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(5));
    let waits = !unmapping.is_finished() && valid(machine.layout(), first.0);
    let twice = refused(&*machine, "unmapping twice", EINVAL, || machine.memunmap_pages(&pagemap));
    drop(reference);
    unmapping.join().map_err(|_| "the unmapping thread panicked".to_owned())??;
    check!(waits, "the mapping was removed while a reference was held");
    twice?;
    check!(machine.get_dev_pagemap(first).is_none(), "get_dev_pagemap finds the mapping after it was unmapped");
    check!(!valid(machine.layout(), first.0), "a page frame is valid after its mapping was removed");
    check!(accounts(machine.layout()) == Accounting::default(), "{:?}", machine.layout().accounting());
    Ok(())
}
