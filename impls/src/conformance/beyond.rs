//! Guarantees beyond single cases: random operations agree with the oracle (T-39), walks (T-70),
//! and every refused or failed change leaves no trace.

use super::adding::six_in_section_1;
use super::*;
use crate::byte_size::ByteSize;
use crate::fault::{Faults, Seam};
use crate::machine::{AddMemory, PagemapKind, PagemapSpec, Resource, ResourceKind};
use crate::page::Zone;
use crate::store::RecordBudget;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

pub(super) fn t_39_random_operations<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    random_operations_agree_with_the_oracle::<L>(1000, 1)
}

pub(super) fn t_70_walk<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (s, u) = (s::<L>(), u::<L>());
    let layout = boot::<L>(&boot_map(&[(2 * s, 2 * s + 10 * u)]))?;
    six_in_section_1(&layout)?;
    walk_agrees(&layout, 0, 4 * s)?;
    // From the middle of an absent sub-section to the middle of a present one.
    walk_agrees(&layout, s + 9 * u + u / 2, s + 12 * u + u / 2)?;
    let reader = layout.reader();
    let beyond = reader.next_valid_pfn(Pfn(3 * s), Pfn(u64::MAX));
    check!(beyond.is_none(), "next_valid_pfn finds {beyond:?} after the last section");
    Ok(())
}

pub(super) fn added_memory_appears_and_disappears<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let map = small_machine();
    let layout = boot::<L>(&map)?;
    let mut oracle = Oracle::boot(&map);
    let unit = granule::<L>();
    let start = L::Geometry::section_start(8);
    let empty = accounts(&layout);
    // Alone in its section; then neighbours before and after it, across section borders.
    let ranges = [range(start, unit), range(start + 2 * unit, 140 * unit), range(start - unit, unit)];
    for range in ranges {
        add(&layout, range).map_err(|e| e.to_string())?;
        oracle.add(range);
        agree(&layout, &oracle)?;
    }
    let on_device = layout.footprint().device_record_bytes > 0;
    let whole_section_added = ranges[1].round_in(L::Geometry::PAGES_PER_SECTION).is_some();
    let expected = match L::CAPS.records_on_device {
        DeviceRecords::Never => false,
        DeviceRecords::WholeSections => whole_section_added,
        DeviceRecords::Always => true,
    };
    check!(on_device == expected, "records on the device: {on_device}, not {expected}");
    walk_agrees(&layout, start - unit - 1, start + 3 * unit)?;
    for range in ranges {
        remove(&layout, range).map_err(|e| e.to_string())?;
        oracle.remove(range);
        agree(&layout, &oracle)?;
    }
    let after = accounts(&layout);
    check!(after == empty, "after removal the accounts are {after:?}, not {empty:?} as before");
    Ok(())
}

pub(super) fn refusals_change_nothing<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&small_machine())?;
    let (unit, top) = (granule::<L>(), L::Geometry::NR_PFNS);
    let start = L::Geometry::section_start(16);
    add(&layout, range(start, unit)).map_err(|e| e.to_string())?;
    let adds = [
        (range(start + unit, 0), EINVAL),
        (range(start + unit + 1, unit), EINVAL),
        (range(start + unit, unit + 1), EINVAL),
        (range(start + unit, unit / 2), EINVAL),
        (range(start, unit), EEXIST),
        (range(start - unit, 3 * unit), EEXIST),
        (range(0, unit), EEXIST),
        (range(top - unit, 2 * unit), ERANGE),
        (range(top, unit), ERANGE),
        (range(u64::MAX - 2 * unit + 1, unit), ERANGE),
        (range(u64::MAX - 1, 1), ERANGE),
    ];
    for (range, errno) in adds {
        // Without an altmap, because the range is refused wherever its records would be stored.
        refused(&layout, format!("adding {range}"), errno, || layout.add(range, &AddParams::default(), &mut ()))?;
    }
    let removes = [
        (range(start, 0), EINVAL),
        (range(start + 1, unit), EINVAL),
        (range(start, 2 * unit), EINVAL),
        (range(start + unit, unit), EINVAL),
        (range(top, unit), ERANGE),
        (range(u64::MAX - 1, 1), ERANGE),
    ];
    for (range, errno) in removes {
        refused(&layout, format!("removing {range}"), errno, || remove(&layout, range))?;
    }
    // The records are unchanged too.
    let mut oracle = Oracle::boot(&small_machine());
    oracle.add(range(start, unit));
    agree(&layout, &oracle)
}

pub(super) fn a_reader_holds_up_removal_and_its_own_thread_is_told<L: Hotplug + Inspect + SectionFlags>(
    _: &Held,
) -> Check {
    let layout = boot::<L>(&small_machine())?;
    let added = range(L::Geometry::section_start(16), granule::<L>());
    add(&layout, added).map_err(|e| e.to_string())?;
    let reader = layout.reader();
    refused(&layout, "removing while this thread holds a reader", EDEADLK, || remove(&layout, added))?;
    refused(&layout, "synchronising while this thread holds a reader", EDEADLK, || layout.synchronize())?;
    drop(reader);
    writers_under_a_waiting_removal_are_told(&layout, added)?;
    add(&layout, added).map_err(|e| e.to_string())?;
    std::thread::scope(|scope| {
        let reader = layout.reader();
        let last = Pfn(added.end() - 1);
        let page = reader.valid_to_page(last).ok_or("the page frame is not valid")?;
        let remover = scope.spawn(|| remove(&layout, added).map_err(|e| e.to_string()));
        // The bits are cleared at once; the memory stays as long as the reader lives.
        while reader.pfn_valid(Pfn(added.start())) && !remover.is_finished() {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
        let alive = page.is_of(last) && !remover.is_finished();
        drop(reader);
        remover.join().map_err(|_| "the remover panicked".to_owned())??;
        check!(alive, "the record was released while its reader was alive");
        Ok(())
    })?;
    check!(!layout.reader().pfn_valid(Pfn(added.start())), "the page frame is valid after removal");
    layout.synchronize().map_err(|e| e.to_string())
}

/// While a removal on another thread waits for this thread's reader, reads still work, but any
/// change would wait for itself and must be refused.
fn writers_under_a_waiting_removal_are_told<L: Hotplug + Inspect>(layout: &L, added: PfnRange) -> Check {
    std::thread::scope(|scope| {
        let reader = layout.reader();
        let remover = scope.spawn(|| remove(layout, added).map_err(|e| e.to_string()));
        while reader.pfn_valid(Pfn(added.start())) && !remover.is_finished() {
            std::thread::yield_now();
        }
        let elsewhere = range(added.end(), added.nr_pages());
        // The bits are cleared and the removal is waiting: from here on the state during that wait
        // is observed.
        std::thread::sleep(std::time::Duration::from_millis(5));
        let plain = AddParams::default();
        let adding = refused(layout, "adding", EDEADLK, || layout.add(elsewhere, &plain, &mut ()));
        let waiting = refused(layout, "synchronising", EDEADLK, || layout.synchronize());
        drop(reader);
        remover.join().map_err(|_| "the remover panicked".to_owned())??;
        adding.and(waiting)
    })
}

pub(super) fn every_life_of_a_record_is_new<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let added = range(L::Geometry::section_start(3), granule::<L>());
    let mut lives = Vec::new();
    for _ in 0..4 {
        add(&layout, added).map_err(|e| e.to_string())?;
        let reader = layout.reader();
        for pfn in added.start()..added.end() {
            let page = reader.valid_to_page(Pfn(pfn)).ok_or_else(|| format!("pfn {pfn:#x} is not valid"))?;
            check!(is_right::<L>(page, Pfn(pfn)), "the record of pfn {pfn:#x} {}", says(page));
        }
        lives.extend(reader.valid_to_page(Pfn(added.end() - 1)).map(|page| page.life()));
        drop(reader);
        remove(&layout, added).map_err(|e| e.to_string())?;
    }
    lives.dedup();
    check!(lives.len() == 4, "records of 4 additions have the lives {lives:?}, not 4 different ones");
    Ok(())
}

pub(super) fn what_cannot_be_backed_is_not_half_added<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let limit = records_of::<L>(5 * s::<L>() / 2);
    let budget = RecordBudget::new(limit);
    let layout = boot_with::<L>(&BootMap::default(), RecordStore { budget, ..store() })?;
    // Records of three sections, where two and a half fit.
    let three = range(L::Geometry::section_start(40), 3 * L::Geometry::PAGES_PER_SECTION);
    let mut said = String::new();
    refused(&layout, "adding beyond the limit", ENOMEM, || {
        add(&layout, three).inspect_err(|error| said = error.to_string())
    })?;
    let limit = ByteSize(limit);
    check!(said.contains(&format!("limit of {limit}")), "the error does not name the limit of {limit}: {said}");
    agree(&layout, &Oracle::boot(&BootMap::default()))?;
    let two = range(three.start(), 2 * L::Geometry::PAGES_PER_SECTION);
    add(&layout, two).map_err(|e| format!("after a failed addition: {e}"))
}

/// Random additions and removals, checked against the oracle after each.
pub fn random_operations_agree_with_the_oracle<L: Hotplug + Inspect>(operations: u64, seed: u64) -> Check {
    let map = small_machine();
    let layout = boot::<L>(&map)?;
    let mut oracle = Oracle::<L::Geometry>::boot(&map);
    let booted = layout.accounting();
    let unit = granule::<L>();
    let per_section = L::Geometry::PAGES_PER_SECTION / unit;
    // From the last boot section on, so that early sections are extended and emptied too. A section
    // that boot memory fills only in part differs between a layout without sub-sections and the
    // oracle.
    let last = L::Geometry::section_nr(map.end_pfn() - 1);
    let base = L::Geometry::section_start(if per_section > 1 { last } else { last + 1 });
    let nr_granules = 4 * per_section.max(4) + per_section + 2;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut there: Vec<PfnRange> = Vec::new();
    for step in 0..operations {
        let nr = if rng.random_ratio(1, 50) { rng.random_range(1..=per_section + 2) } else { rng.random_range(1..=4) };
        let range = range(base + rng.random_range(0..4 * per_section.max(4)) * unit, nr * unit);
        let before = layout.digest();
        let (done, expected) = if rng.random_bool(0.5) {
            let done = add(&layout, range);
            let expected = oracle.add(range);
            there.extend(expected.then_some(range));
            (done, expected)
        } else if !there.is_empty() && rng.random_bool(0.7) {
            let range = there.swap_remove(rng.random_range(0..there.len()));
            let expected = oracle.remove(range);
            (remove(&layout, range), expected)
        } else {
            let expected = oracle.remove(range);
            (remove(&layout, range), expected)
        };
        check!(done.is_ok() == expected, "step {step}, {range}: the layout returns {done:?}, the oracle {expected}");
        check!(expected || layout.digest() == before, "step {step}, {range}: a refused operation changed the layout");
        let errno = done.map_or_else(|error| error.errno(), |()| 0);
        check!([0, 17, 22].contains(&errno), "step {step}, {range}: errno {errno}, not 0, 17 or 22");
        let reader = layout.reader();
        for granule in 0..nr_granules {
            let pfn = Pfn(base + granule * unit);
            let valid = oracle.pfn_valid(L::CAPS.validity, pfn);
            check!(reader.pfn_valid(pfn) == valid, "step {step}: pfn_valid({pfn}) should be {valid}");
        }
        for edge in [range.start(), range.end()] {
            for pfn in [edge - 1, edge, edge + 1] {
                let valid = oracle.pfn_valid(L::CAPS.validity, Pfn(pfn));
                check!(reader.pfn_valid(Pfn(pfn)) == valid, "step {step}: pfn_valid({pfn:#x}) should be {valid}");
                if let Some(page) = reader.valid_to_page(Pfn(pfn)) {
                    check!(is_right::<L>(page, Pfn(pfn)), "step {step}: the record of pfn {pfn:#x} {}", says(page));
                }
            }
        }
        drop(reader);
        runs_agree(&layout, &oracle, base).map_err(|error| format!("step {step}: {error}"))?;
        if step % 250 == 0 {
            agree(&layout, &oracle)?;
        }
    }
    let left = base..base + nr_granules * unit;
    for granule in (left.start..left.end).step_by(unit as usize) {
        let part = range(granule, unit);
        if oracle.remove(part) {
            remove(&layout, part).map_err(|e| e.to_string())?;
        }
    }
    agree(&layout, &oracle)?;
    let after = layout.accounting();
    check!(
        (after.heap_usages, after.device_record_bytes) == (0, 0) && after.ram_record_bytes <= booted.ram_record_bytes,
        "after everything was removed, the accounts are {after:?}; at boot they were {booted:?}"
    );
    Ok(())
}

/// Makes each allocation of an operation fail in turn; the operation must then leave no trace.
pub(super) fn every_allocation_may_fail<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    // Across two section boundaries, beginning and ending inside a section if the layout supports
    // it. The section in the middle already has a usage.
    let (s, unit) = (s::<L>(), granule::<L>());
    let over_borders = match unit < s {
        true => range(9 * s - 4 * unit, s + 8 * unit),
        false => range(8 * s, 3 * s),
    };
    let fresh = || -> Result<(L, Faults), String> {
        let faults = Faults::planned();
        let store = RecordStore { faults: faults.clone(), ..store() };
        let layout = boot_with::<L>(&small_machine(), store)?;
        if unit < s {
            add(&layout, range(10 * s + 40 * unit, unit)).map_err(text)?;
        }
        Ok((layout, faults))
    };
    let (layout, faults) = fresh()?;
    let before = Seam::ALL.map(|seam| faults.asked(seam));
    add(&layout, over_borders).map_err(text)?;
    let mut tried = 0;
    for (seam, before) in Seam::ALL.into_iter().zip(before) {
        for nth in 0..faults.asked(seam) - before {
            let (layout, faults) = fresh()?;
            faults.fail(seam, nth);
            let what = format!("adding while allocation {nth} of {seam:?} fails");
            refused(&layout, &what, ENOMEM, || add(&layout, over_borders))?;
            agree(&layout, &{
                let mut oracle = Oracle::boot(&small_machine());
                (unit < s).then(|| oracle.add(range(10 * s + 40 * unit, unit)));
                oracle
            })?;
            add(&layout, over_borders).map_err(|error| format!("after {what}: {error}"))?;
            all_readable(&layout, over_borders)?;
            let (layout, faults) = fresh()?;
            let kept = faithful_failure_keeps_whole_parts(&layout, &faults, (seam, nth), over_borders)?;
            let (twin, _) = fresh()?;
            if !kept.is_empty() {
                add(&twin, kept).map_err(text)?;
            }
            let (left, should) = (accounts(&layout), accounts(&twin));
            check!(left == should, "in faithful mode, {what} left the accounts {left:?}, not {should:?}");
            tried += 1;
        }
    }
    check!(tried >= 4, "only {tried} allocations could be made to fail, not 4 or more");
    Ok(())
}

/// The same in [`AddMode::Faithful`]: the sections before the failing one stay, and the failing one
/// is unchanged. Returns what stayed.
fn faithful_failure_keeps_whole_parts<L: Hotplug + Inspect>(
    layout: &L,
    faults: &Faults,
    (seam, nth): (Seam, u64),
    over_borders: PfnRange,
) -> Result<PfnRange, String> {
    let parts: Vec<PfnRange> = over_borders.split_at_multiples(s::<L>()).collect();
    let states = || parts.iter().map(|part| layout.section_state(L::Geometry::section_nr(part.start())));
    let before: Vec<_> = states().collect();
    let mode = AddMode::Faithful;
    let how = AddParams { mode, ..params_if_possible::<L>(over_borders, layout.backed()) };
    faults.fail(seam, nth);
    let what = format!("adding in faithful mode while allocation {nth} of {seam:?} fails");
    is_refused(&what, ENOMEM, layout.add(over_borders, &how, &mut ()))?;
    let is_there = |part: &&PfnRange| layout.reader().pfn_section_valid(Pfn(part.start()));
    let nr_kept = parts.iter().take_while(is_there).count();
    let after: Vec<_> = states().collect();
    check!(
        before[nr_kept..] == after[nr_kept..],
        "{what}: the sections from the failing one on changed from {before:x?} to {after:x?}"
    );
    check!(nr_kept < parts.len(), "{what}: every part was added");
    let end = parts[nr_kept].start();
    let kept = range(over_borders.start(), end - over_borders.start());
    all_readable(layout, kept)?;
    Ok(kept)
}

/// Refusals by the machine's interface, each with its error number and without a trace.
pub(super) fn a_machine_refuses_and_stays<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    const E2BIG: i32 = 7;
    let (s, top) = (s::<L>(), L::Geometry::NR_PFNS);
    let config = MachineConfig { mem_limit_bytes: Some(64 << 30), ..MachineConfig::default() };
    let store = store();
    let machine = Machine::<L>::boot(&boot_map(&[(s, 2 * s)]), config, &Config::default(), store).map_err(text)?;
    let plain = AddMemory::default();
    let on_node = |node| AddMemory { node, ..AddMemory::default() };
    let named = |name: &str| AddMemory { driver_name: Some(name.to_owned()), ..AddMemory::default() };
    let adding = |range, how: &AddMemory, errno| {
        refused(&machine, format!("adding {range}"), errno, || machine.add_memory(range, how))
    };
    adding(range(s, s), &plain, EEXIST)?;
    adding(range(0, 2 * s), &plain, EEXIST)?;
    adding(range(8 * s, s), &on_node(9), EINVAL)?;
    adding(range(8 * s, s), &named("kmem"), EINVAL)?;
    adding(range(8 * s, s), &named("System RAM ()"), EINVAL)?;
    adding(range((64 << 30) / 4096, s), &plain, E2BIG)?;
    adding(range(top, s), &plain, E2BIG)?;
    adding(range(u64::MAX - 2 * s + 1, s), &plain, E2BIG)?;
    adding(range(u64::MAX - 1, 1), &plain, EINVAL)?;
    refused(&machine, "probing an address inside a block", EINVAL, || machine.probe((8 << 27) + 4096))?;
    refused(&machine, "probing the last byte", EINVAL, || machine.probe(u64::MAX))?;
    refused(&machine, "onlining a block that does not exist", EINVAL, || machine.write_state(u64::MAX, "online"))?;
    refused(&machine, "writing an unknown word to auto_online_blocks", EINVAL, || machine.write_auto_online("maybe"))?;
    let over = [
        (vec![], PagemapKind::Generic, EINVAL),
        (vec![range(top, s)], PagemapKind::Generic, EINVAL),
        (vec![range(u64::MAX - 1, 1)], PagemapKind::Generic, EINVAL),
        (vec![range(2 * s, 0)], PagemapKind::Generic, EINVAL),
        (vec![range(s + 5, 0)], PagemapKind::Generic, EINVAL),
        (vec![range(16 * s, s), range(32 * s, 0)], PagemapKind::Generic, EINVAL),
    ];
    let private = (vec![range(16 * s, s)], PagemapKind::Private { has_owner: false }, EINVAL);
    // The second of two ranges is RAM, so the first must not stay either.
    let second_is_ram = (vec![range(16 * s, s), range(s, s)], PagemapKind::Generic, 6);
    let second_overlaps = (vec![range(16 * s, 2 * s), range(17 * s, s)], PagemapKind::Generic, 16);
    for (ranges, kind, errno) in over.into_iter().chain([private, second_is_ram, second_overlaps]) {
        let what = format!("mapping {ranges:?}");
        let spec = PagemapSpec { name: "dax0.0".into(), ranges, kind, altmap: None, node: 0, vmemmap_shift: 0 };
        refused(&machine, what, errno, || machine.memremap_pages(spec))?;
    }
    machine_claims_are_its_own::<L>()?;
    second_range_fails::<L>()?;
    // Device-private memory does not raise max_pfn (B-25), RAM does.
    let kind = PagemapKind::Private { has_owner: true };
    let private = PagemapSpec { kind, ..PagemapSpec::device(range(16 * s, s)) };
    let private = machine.memremap_pages(private).map_err(text)?;
    check!(machine.max_pfn().map_err(text)? == 2 * s, "max_pfn is {:#x}", machine.max_pfn().map_err(text)?);
    machine.memunmap_pages(&private).map_err(text)?;
    // With a reader on this thread every change is refused, and so is removing a mapping.
    let pagemap = machine.memremap_pages(PagemapSpec::device(range(16 * s, s))).map_err(text)?;
    // An empty mapping at the same start does not replace it.
    let empty = PagemapSpec::device(range(16 * s, 0));
    refused(&machine, "mapping an empty range at the start of a mapping", EINVAL, || machine.memremap_pages(empty))?;
    let before = machine.digest().map_err(text)?;
    let reader = machine.layout().reader();
    is_refused("adding while this thread holds a reader", EDEADLK, machine.add_memory(range(8 * s, s), &plain))?;
    is_refused("offlining while this thread holds a reader", EDEADLK, machine.write_state(1, "offline"))?;
    is_refused("unmapping while this thread holds a reader", EDEADLK, machine.memunmap_pages(&pagemap))?;
    is_refused("computing the digest while this thread holds a reader", EDEADLK, machine.digest())?;
    drop(reader);
    check!(
        machine.digest().map_err(text)? == before,
        "an operation that was refused because of a reader changed the machine"
    );
    check!(machine.get_dev_pagemap(Pfn(16 * s)).is_some(), "a refused unmapping stopped new references to the mapping");
    machine.memunmap_pages(&pagemap).map_err(text)?;
    machine.add_memory(range(24 * s, s), &named("System RAM (kmem)")).map_err(text)?;
    check!(machine.max_pfn().map_err(text)? == 25 * s, "max_pfn is {:#x}", machine.max_pfn().map_err(text)?);
    machine.remove_memory(range(24 * s, s)).map_err(text)?;
    own_records_fail_halfway::<L>()?;
    let normal = machine.zone((0, Zone::Normal)).map_err(text)?;
    check!(normal.present_pages == s && normal.present_early_pages == s, "{normal:?}");
    Ok(())
}

/// A range that the machine claims must not contain a named resource, or RAM could not be released
/// block by block.
fn machine_claims_are_its_own<L: Hotplug + Inspect + SectionFlags>() -> Check {
    let s = s::<L>();
    let machine = machine::<L>(&BootMap::default())?;
    let window = |start| Resource::new(range(start, s), ResourceKind::Window, "CXL Window 0", false);
    refused(&machine, "inserting a resource with an empty range", EINVAL, || {
        machine.insert_resource(Resource::new(range(s, 0), ResourceKind::Other, "nothing", false))
    })?;
    machine.insert_resource(window(8 * s + s / 2)).map_err(text)?;
    let (over, plain) = (range(8 * s, 2 * s), AddMemory::default());
    refused(&machine, "adding RAM over a window", EEXIST, || machine.add_memory(over, &plain))?;
    refused(&machine, "mapping over a window", EBUSY, || machine.memremap_pages(PagemapSpec::device(over)))?;
    // Inside a window, RAM is released block by block.
    machine
        .insert_resource(Resource::new(range(16 * s, 4 * s), ResourceKind::Window, "CXL Window 1", false))
        .map_err(text)?;
    machine.add_memory(range(16 * s, 3 * s), &plain).map_err(text)?;
    machine.remove_memory(range(17 * s, s)).map_err(text)?;
    let resources = machine.resources().map_err(text)?;
    let nr_pages = resources.nr_pages(range(16 * s, 4 * s), ResourceKind::SystemRam);
    check!(nr_pages == 2 * s, "the window has {nr_pages:#x} pages of RAM, not {:#x}", 2 * s);
    // A named RAM resource is neither a window from which RAM can be released, nor the RAM of a
    // block.
    let named = Resource::new(range(32 * s, 4 * s), ResourceKind::SystemRam, "a name", false);
    machine.insert_resource(named).map_err(text)?;
    for block in [32, 33] {
        machine.add_memory(range(block * s, s), &plain).map_err(text)?;
    }
    machine.remove_memory(range(32 * s, s)).map_err(text)?;
    machine.remove_memory(range(33 * s, s)).map_err(text)?;
    name_in_a_hole_is_no_ram::<L>()
}

/// Boot memory ends in the middle of a block, and another resource names the rest RAM.
fn name_in_a_hole_is_no_ram<L: Hotplug + Inspect + SectionFlags>() -> Check {
    let s = s::<L>();
    let machine = machine::<L>(&boot_map(&[(s, s + s / 2)]))?;
    let hole = range(s + s / 2, s / 2);
    machine.insert_resource(Resource::new(hole, ResourceKind::SystemRam, "a name", true)).map_err(text)?;
    if granule::<L>() < s {
        let how = AddParams { kind: MemoryKind::Ram, ..AddParams::default() };
        machine.layout().add(hole, &how, &mut ()).map_err(text)?;
    }
    refused(&machine, "offlining a block whose hole is named RAM", EINVAL, || machine.write_state(1, "offline"))
}

/// A mapping of two ranges, one of which gets no memory for its records.
fn second_range_fails<L: Hotplug + Inspect + SectionFlags>() -> Check {
    let s = s::<L>();
    let faults = Faults::planned();
    let store = RecordStore { faults: faults.clone(), ..store() };
    let machine = Machine::<L>::boot(&BootMap::default(), MachineConfig::default(), &Config::default(), store);
    let machine = machine.map_err(text)?;
    let spec = PagemapSpec { ranges: vec![range(16 * s, s), range(20 * s, s)], ..PagemapSpec::device(range(0, s)) };
    for nth in 0..2 {
        faults.fail(Seam::Records, nth);
        let what = format!("mapping while allocating the records of range {nth} fails");
        refused(&machine, what, ENOMEM, || machine.memremap_pages(spec.clone()))?;
        check!(accounts(machine.layout()) == Accounting::default(), "{:?}", machine.layout().accounting());
        for pfn in [16 * s, 20 * s] {
            check!(!valid(machine.layout(), pfn), "pfn {pfn:#x} is valid after the mapping failed");
            check!(machine.get_dev_pagemap(Pfn(pfn)).is_none(), "pfn {pfn:#x} is mapped after the mapping failed");
        }
        check!(
            machine.resources().map_err(text)?.iter().count() == 0,
            "a resource is still claimed after the mapping failed"
        );
    }
    machine.memremap_pages(spec).map(drop).map_err(text)
}

/// RAM of several blocks that hold their own records, where one block fails. The blocks before it
/// must be undone with the altmaps that they were added with (B-28).
fn own_records_fail_halfway<L: Hotplug + Inspect + SectionFlags>() -> Check {
    if !L::CAPS.records_on_device.any() {
        return Ok(());
    }
    let s = s::<L>();
    let how = AddMemory { memmap_on_memory: Some("/dev/shm".into()), ..AddMemory::default() };
    for nth in 0..3 {
        let faults = Faults::planned();
        let store = RecordStore { faults: faults.clone(), ..store() };
        let machine = Machine::<L>::boot(&BootMap::default(), MachineConfig::default(), &Config::default(), store);
        let machine = machine.map_err(text)?;
        faults.fail(Seam::AltmapBlock, nth);
        let adding = || machine.add_memory(range(8 * s, 3 * s), &how);
        refused(&machine, format!("adding while the altmap of block {nth} has no space"), ENOMEM, adding)?;
        check!(accounts(machine.layout()) == Accounting::default(), "{:?}", machine.layout().accounting());
        machine.add_memory(range(8 * s, 3 * s), &how).map_err(text)?;
    }
    Ok(())
}
