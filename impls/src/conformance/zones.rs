//! Cases of zones: T-50 to T-52.

use super::*;
use crate::machine::{AddMemory, PagemapSpec, Span};
use crate::page::Zone;

const NORMAL: (u8, Zone) = (0, Zone::Normal);
const DEVICE: (u8, Zone) = (0, Zone::Device);

/// RAM in sections 1 to 4, online.
fn four_blocks<L: Hotplug + Inspect + SectionFlags>() -> Result<Machine<L>, String> {
    let machine = machine::<L>(&BootMap::default())?;
    machine.write_auto_online("online").map_err(text)?;
    machine.add_memory(range(s::<L>(), 4 * s::<L>()), &AddMemory::default()).map_err(text)?;
    Ok(machine)
}

pub(super) fn t_50_zone_shrinks_from_its_ends<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let s = s::<L>();
    let machine = four_blocks::<L>()?;
    let offline = |block| machine.write_state(block, "offline").map_err(text);
    let zone = || machine.zone(NORMAL).map_err(text);
    let spans = |start, spanned| -> Check {
        let is = zone()?.span;
        check!(is == Span { start, spanned }, "the zone is {is:x?}, not {spanned:#x} pages from {start:#x}");
        Ok(())
    };
    spans(s, 4 * s)?;
    offline(1)?;
    spans(2 * s, 3 * s)?;
    offline(4)?;
    spans(2 * s, 2 * s)?;
    offline(2)?;
    offline(3)?;
    spans(0, 0)?;
    check!(zone()?.present_pages == 0, "{:?}", zone()?);
    // Offlining in the middle changes nothing; then from the end, across the hole that now exists.
    [1, 2, 3, 4].into_iter().try_for_each(|block| machine.write_state(block, "online")).map_err(text)?;
    offline(3)?;
    spans(s, 4 * s)?;
    offline(4)?;
    spans(s, 2 * s)?;
    check!(zone()?.present_pages == 2 * s, "{:?}", zone()?);
    machine.remove_memory(range(3 * s, 2 * s)).map_err(text)?;
    spans(s, 2 * s)
}

/// With the rules since 5.6. That the span of ZONE_DEVICE shrank in 5.3 is tested by a unit test of
/// `zone.rs`.
pub(super) fn t_51_zone_of_sub_sections<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (s, u) = (s::<L>(), u::<L>());
    let machine = machine::<L>(&boot_map(&[(s, 2 * s)]))?;
    machine.take_away(range(s, u), NORMAL).map_err(text)?;
    let span = machine.zone(NORMAL).map_err(text)?.span;
    check!(span == Span { start: s + u, spanned: s - u }, "without its first 2 MiB the zone is {span:x?}");
    // From the end, across a hole of one sub-section: the span shrinks in steps of a sub-section,
    // not of a section.
    machine.take_away(range(2 * s - 3 * u, u), NORMAL).map_err(text)?;
    machine.take_away(range(2 * s - 2 * u, 2 * u), NORMAL).map_err(text)?;
    let span = machine.zone(NORMAL).map_err(text)?.span;
    check!(span == Span { start: s + u, spanned: s - 4 * u }, "without its last 6 MiB the zone is {span:x?}");
    machine.take_away(range(s + 2 * u, u), NORMAL).map_err(text)?;
    machine.take_away(range(s + u, u), NORMAL).map_err(text)?;
    let span = machine.zone(NORMAL).map_err(text)?.span;
    check!(span == Span { start: s + 3 * u, spanned: s - 6 * u }, "without its first 6 MiB the zone is {span:x?}");
    let device = range(16 * s + 3 * u, 8 * u);
    let pagemap = machine.memremap_pages(PagemapSpec::device(device)).map_err(text)?;
    let beside = range(device.end(), 4 * u);
    machine.memremap_pages(PagemapSpec::device(beside)).map_err(text)?;
    let grown = machine.zone(DEVICE).map_err(text)?.span;
    check!(grown == Span { start: device.start(), spanned: 12 * u }, "ZONE_DEVICE is {grown:x?}");
    machine.memunmap_pages(&pagemap).map_err(text)?;
    let after = machine.zone(DEVICE).map_err(text)?.span;
    check!(after == grown, "ZONE_DEVICE shrank to {after:x?}");
    Ok(())
}

pub(super) fn t_52_device_memory_is_never_present<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let (s, unit) = (s::<L>(), granule::<L>());
    let machine = four_blocks::<L>()?;
    let pagemap = machine.memremap_pages(PagemapSpec::device(range(16 * s, 3 * unit))).map_err(text)?;
    let device = machine.zone(DEVICE).map_err(text)?;
    check!((device.present_pages, device.present_early_pages) == (0, 0), "{device:?}");
    check!(device.span == Span { start: 16 * s, spanned: 3 * unit }, "{:?}", device.span);
    let node = machine.node_span(0).map_err(text)?;
    check!(node == Span { start: s, spanned: 15 * s + 3 * unit }, "the node is {node:x?}");
    machine.memunmap_pages(&pagemap).map_err(text)?;
    check!(
        machine.zone(DEVICE).map_err(text)?.present_pages == 0,
        "ZONE_DEVICE has present pages after the mapping was removed"
    );
    Ok(())
}
