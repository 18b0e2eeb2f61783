//! Windows: the memory that regions put into them, and the parts that nothing uses.

use super::coverage::{Containers, Coverage};
use super::inventory::{Inventory, Listing, Mention, RegionKind, Span, Window};
use super::kind::Kind;
use super::part::Found;
use super::range::MapRange;
use super::reading::{Reading, UnusedPart};

/// Volatile regions of `/proc/iomem` in windows, which may be in other parts of the text. Elsewhere a
/// region is part of persistent memory.
pub(super) fn regions_in_windows(inventory: &Inventory) -> Vec<Found> {
    let windows: Containers = inventory.windows.iter().map(|window| window.span).collect();
    let of_iomem = |source: &&Mention| source.listing == Listing::Iomem;
    let regions = inventory.regions.iter().filter(|region| region.enabled && region.kind == RegionKind::Volatile);
    let found = regions.filter_map(|region| {
        let span = region.span.filter(|span| windows.contain(*span))?;
        let range = MapRange::new(span, Kind::SoftReserved, region.node);
        Some(Found { range, line: region.sources.iter().find(of_iomem)?.line })
    });
    found.collect()
}

/// The parts of windows that neither memory nor another resource uses.
pub(super) fn unused_parts(inventory: &Inventory, ranges: &[MapRange], others: &[Span]) -> Vec<UnusedPart> {
    let is_memory = |range: &&MapRange| range.kind != Kind::Window && !range.base_assumed;
    let memory = ranges.iter().filter(is_memory).map(MapRange::span);
    let enabled = inventory.regions.iter().filter(|region| region.enabled && !region.base_assumed);
    let regions = enabled.filter_map(|region| region.span);
    let windows: Containers = inventory.windows.iter().map(|window| window.span).collect();
    let inside = others.iter().copied().filter(|span| windows.contain(*span));
    let used: Coverage = memory.chain(regions).chain(inside).collect();
    let part = |window: &Window, span| UnusedPart { window: window.name.clone(), span };
    let parts = inventory.windows.iter().map(|window| (window, used.gaps(window.span)));
    parts.flat_map(|(window, gaps)| gaps.into_iter().map(move |span| part(window, span))).collect()
}

/// Makes windows of the ranges of a map that comes from no text.
pub(super) fn windows_of_map(reading: &mut Reading) {
    let windows = reading.map.ranges.iter().filter(|range| range.kind == Kind::Window).enumerate();
    let window = |(nr, range): (usize, &MapRange)| Window {
        name: format!("window {nr}"),
        span: range.span(),
        available_bytes: None,
        ways: None,
        sources: Vec::new(),
    };
    reading.inventory.windows = windows.map(window).collect();
    reading.unused = unused_parts(&reading.inventory, &reading.map.ranges, &[]);
}
