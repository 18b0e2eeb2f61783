//! Cases of RAM in memory blocks: T-10, T-53 to T-56, T-73.

use super::*;
use crate::machine::{AddMemory, BlockSizeAdvice, PagemapSpec, probe_block_size};
use crate::page::Zone;
use crate::rules::Rules;

pub(super) fn t_10_online_pages_come_and_go<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = machine::<L>(&BootMap::default())?;
    let s = s::<L>();
    machine.add_memory(range(8 * s, s), &AddMemory::default()).map_err(text)?;
    let online = || machine.pfn_to_online_page(&machine.layout().reader(), Pfn(8 * s + 7)).is_some();
    check!(!online(), "a page is online before its memory block is");
    machine.write_state(8, "online").map_err(text)?;
    check!(online(), "a page is not online although its memory block is");
    machine.write_state(8, "offline").map_err(text)?;
    check!(!online(), "a page is online although its memory block is offline");
    machine.remove_memory(range(8 * s, s)).map_err(text)?;
    check!(!online() && !valid(machine.layout(), 8 * s), "a page is online or valid after its removal");
    Ok(())
}

pub(super) fn t_53_ram_comes_in_blocks<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = machine::<L>(&BootMap::default())?;
    let (s, plain) = (s::<L>(), AddMemory::default());
    check!(machine.block_size_text() == "8000000", "block_size_bytes is {}, not 8000000", machine.block_size_text());
    let part = range(8 * s, 8 * u::<L>());
    refused(&machine, "adding 16 MiB of RAM", EINVAL, || machine.add_memory(part, &plain))?;
    refused(&machine, "adding an empty range of RAM", EINVAL, || machine.add_memory(range(8 * s, 0), &plain))?;
    let block = range(8 * s, s);
    machine.add_memory(block, &plain).map_err(text)?;
    let state = machine.read_state(8).map_err(text)?;
    check!(state == "offline", "the new block is {state}, not offline");
    refused(&machine, "adding the block again", EEXIST, || machine.add_memory(block, &plain))?;
    machine.write_state(8, "online\n").map_err(text)?;
    refused(&machine, "removing the block while it is online", EBUSY, || machine.remove_memory(block))?;
    refused(&machine, "removing part of the block", EINVAL, || machine.remove_memory(part))?;
    machine.write_state(8, "offline").map_err(text)?;
    machine.remove_memory(block).map_err(text)?;
    refused(&machine, "removing the block again", EINVAL, || machine.remove_memory(block))?;
    check!(accounts(machine.layout()) == Accounting::default(), "{:?}", machine.layout().accounting());
    Ok(())
}

/// The scenario in the comments on the series: 16 MiB in a memory block that only a kernel without
/// checks at its hotplug interface would register. The block must stay offline.
pub(super) fn t_54_block_that_is_not_whole_stays_offline<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = machine::<L>(&BootMap::default())?;
    let forced = range(8 * s::<L>() + 16 * u::<L>(), 8 * u::<L>());
    let how = AddParams { kind: MemoryKind::Ram, ..AddParams::default() };
    machine.layout().add(forced, &how, &mut ()).map_err(text)?;
    let block = machine.force_block(forced, 0).map_err(text)?;
    let errno = if <L::Rules as Rules>::SET.block_with_holes_is_busy { EBUSY } else { EINVAL };
    for word in ["online", "online_kernel", "online_movable"] {
        refused(&machine, word, errno, || machine.write_state(block, word))?;
        let state = machine.read_state(block).map_err(text)?;
        check!(state == "offline", "after {word} failed, the block is {state}, not offline");
    }
    let reader = machine.layout().reader();
    check!(machine.pfn_to_online_page(&reader, Pfn(forced.start())).is_none(), "a page of the offline block is online");
    drop(reader);
    // Onlining the section in the layout itself, below the machine's interface, is refused too.
    let whole = range(8 * s::<L>(), s::<L>());
    refused(&machine, "onlining the section in the layout", EINVAL, || machine.layout().set_online(whole, true))
}

pub(super) fn t_55_block_with_holes_stays_online<L: Hotplug + Inspect + SectionFlags>(held: &Held) -> Check {
    let s = s::<L>();
    let machine = machine::<L>(&boot_map(&[(s, s + s / 2)]))?;
    refused(&machine, "offlining a block with a hole", EINVAL, || machine.write_state(1, "offline"))?;
    if held.caps.hotplug_granule_pages < Some(s) {
        machine.memremap_pages(PagemapSpec::device(range(s + s / 2, s / 2))).map_err(text)?;
        refused(&machine, "offlining a block that is partly device memory", EINVAL, || {
            machine.write_state(1, "offline")
        })?;
    }
    refused(&machine, "onlining a block that is online", EINVAL, || machine.write_state(1, "online"))?;
    refused(&machine, "writing an unknown state", EINVAL, || machine.write_state(1, "on-line"))?;
    refused(&machine, "onlining a block that does not exist", EINVAL, || machine.write_state(9, "online"))?;
    check!(machine.read_state(1).map_err(text)? == "online", "a refused change took the block offline");
    block_of_two_nodes_stays_online::<L>()
}

/// A zone belongs to one node, and a block can only go offline from a single zone.
fn block_of_two_nodes_stays_online<L: Hotplug + Inspect + SectionFlags>() -> Check {
    let s = s::<L>();
    let on = |node, start, nr_pages| BootRange { range: range(start, nr_pages), node };
    let map = BootMap::new([on(0, s, s / 2), on(1, s + s / 2, s / 2), on(1, 2 * s, s)]).map_err(text)?;
    let machine = machine::<L>(&map)?;
    refused(&machine, "offlining a block with memory of two nodes", EINVAL, || machine.write_state(1, "offline"))?;
    // The zone of node 1 shrinks to its half of the shared block, but no further.
    machine.write_state(2, "offline").map_err(text)?;
    let spans = [0, 1].map(|node| machine.zone((node, Zone::Normal)).map(|zone| (zone.span.start, zone.span.spanned)));
    let spans = spans.into_iter().collect::<Result<Vec<_>, _>>().map_err(text)?;
    check!(
        spans == [(s, s / 2), (s + s / 2, s / 2)],
        "the zones span (start, pages) {spans:x?}, not one half of the block each"
    );
    Ok(())
}

pub(super) fn t_56_block_size<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let section = s::<L>() << L::Geometry::PAGE_SHIFT;
    let gib = 1 << 30;
    let probe = |end, bare_metal, advice| probe_block_size(section, end, bare_metal, advice);
    for (size, expected) in [
        (probe(32 * gib, true, None), section),
        (probe(64 * gib, true, None), 2 * gib),
        (probe(65 * gib, false, None), gib),
        (probe(64 * gib + (512 << 20), false, None), 512 << 20),
        (probe(128 * gib, true, Some(256 << 20)), 256 << 20),
    ] {
        check!(size == expected, "the block size is {size:#x} bytes, not {expected:#x}");
    }
    let mut advice = BlockSizeAdvice::default();
    let errno = |advised: Result<(), crate::machine::BlockSizeError>| advised.map_err(|error| error.errno());
    check!(errno(advice.advise(3)) == Err(EINVAL), "a block size of 3 bytes was accepted as advice");
    check!(
        advice.settle().is_none() && errno(advice.advise(gib)) == Err(EBUSY),
        "advice was accepted after the block size had been settled"
    );
    Ok(())
}

pub(super) fn t_73_memmap_on_memory<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = machine::<L>(&BootMap::default())?;
    let s = s::<L>();
    let how = AddMemory { memmap_on_memory: Some("/dev/shm".into()), ..AddMemory::default() };
    machine.add_memory(range(8 * s, 2 * s), &how).map_err(text)?;
    let accounting = machine.layout().accounting();
    check!((accounting.ram_record_bytes, accounting.device_record_bytes) == (0, 4 << 20), "{accounting:?}");
    let blocks = machine.blocks().map_err(text)?;
    let bases: Vec<_> =
        [8, 9].iter().filter_map(|nr| blocks.get(nr)?.altmap.as_ref()).map(|altmap| altmap.base_pfn()).collect();
    check!(bases == [8 * s, 9 * s], "the altmaps begin at pfns {bases:x?}, not at the starts of the blocks");
    let reader = machine.layout().reader();
    for block in [8, 9] {
        let reserved = |pfn| reader.valid_to_page(Pfn(pfn)).is_some_and(|page| page.is_reserved());
        let count = (block * s..(block + 1) * s).take_while(|&pfn| reserved(pfn)).count();
        check!(count == 512, "the records of block {block} take {count} pages of the block, not 512");
    }
    drop(reader);
    for block in [8, 9] {
        machine.write_state(block, "online_movable").map_err(text)?;
        machine.write_state(block, "offline").map_err(text)?;
        machine.remove_memory(range(block * s, s)).map_err(text)?;
    }
    check!(
        machine.zone((0, Zone::Movable)).map_err(text)?.span.spanned == 0,
        "ZONE_MOVABLE is not empty after its blocks were removed"
    );
    check!(accounts(machine.layout()) == Accounting::default(), "{:?}", machine.layout().accounting());
    Ok(())
}
