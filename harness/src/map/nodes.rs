//! NUMA nodes of ranges, as other sources than theirs state them.

use super::inventory::{Inventory, Span};
use super::kind::Kind;
use super::part::{Found, HotplugWindow};
use super::range::MapRange;
use std::collections::HashSet;

/// Fills in nodes that another source states: SRAT, memory blocks, regions and devices.
pub(super) fn assign(ranges: &mut Vec<MapRange>, inventory: &Inventory, srat: &[Found], windows: &[HotplugWindow]) {
    let of_srat = srat.iter().map(|found| (found.range.span(), found.range.node));
    let of_windows = windows.iter().map(|window| (window.span, window.node));
    let of_blocks = inventory.blocks.iter().map(|block| (block.span, block.node));
    let of_regions = inventory.regions.iter().filter_map(|region| Some((region.span?, region.node)));
    let of_devices = inventory.devices.iter().flat_map(|device| device.spans.iter().map(|span| (*span, device.node)));
    let stated = of_devices.chain(of_regions).chain(of_blocks).chain(of_srat).chain(of_windows);
    let mut stated: Vec<(Span, u8)> = stated.filter_map(|(span, node)| Some((span, node?))).collect();
    // The smallest range around a range knows best.
    stated.sort_by_key(|(span, _)| span.bytes());
    let node_of = |span: Span| stated.iter().find(|(around, _)| around.contains(span)).map(|(_, node)| *node);
    let mut parts = Vec::with_capacity(ranges.len());
    for range in std::mem::take(ranges) {
        let span = range.span();
        match range.node.or_else(|| node_of(span)) {
            None if range.kind == Kind::Ram => parts.extend(of_nodes(range, &stated, node_of)),
            node => parts.push(MapRange { node, ..range }),
        }
    }
    *ranges = parts;
}

/// RAM that several nodes share, divided where their ranges begin and end; else the whole range.
fn of_nodes(range: MapRange, stated: &[(Span, u8)], node_of: impl Fn(Span) -> Option<u8>) -> Vec<MapRange> {
    let span = range.span();
    let inner = stated.iter().filter(|(around, _)| around.overlaps(span));
    let inside = |edge: &u64| (span.start + 1..span.end).contains(edge);
    let mut edges: Vec<u64> = inner.flat_map(|(around, _)| [around.start, around.end]).filter(inside).collect();
    edges.extend([span.start, span.end]);
    edges.sort_unstable();
    edges.dedup();
    let part = |ends: &[u64]| {
        let node = Span::new(ends[0], ends[1]).and_then(&node_of);
        MapRange { start: ends[0], end: ends[1], node, ..range.clone() }
    };
    let parts: Vec<MapRange> = edges.windows(2).map(part).collect();
    let nodes: HashSet<u8> = parts.iter().filter_map(|part| part.node).collect();
    if nodes.len() > 1 { parts } else { vec![range] }
}
