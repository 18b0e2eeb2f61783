//! Memory blocks and RAM of drivers: what they add to the ranges of a map, and the size of a block.

use super::coverage::{Containers, Coverage};
use super::inventory::{BlockRange, Device, Inventory, Region, Span, line_of};
use super::kind::Kind;
use super::physical_map::disjoint;
use super::range::MapRange;
use memmap_layouts::ByteSize;

/// Adds memory blocks that are online and that no other source has. Returns what contradicts, as
/// sentences.
pub(super) fn add_missing(blocks: &[BlockRange], ranges: &mut Vec<MapRange>) -> Vec<String> {
    let memory = ranges.iter().filter(|range| range.kind != Kind::Window);
    let known: Coverage = memory.map(MapRange::span).collect();
    let is_missing = |block: &BlockRange| !known.overlaps(block.span);
    add_online(blocks, is_missing, Kind::Ram, "no other source has them", ranges)
}

/// Adds memory blocks that are online inside of persistent memory: a driver made RAM of it. Returns what
/// contradicts, as sentences: another source should have that RAM.
pub(super) fn add_inside_devices(blocks: &[BlockRange], ranges: &mut Vec<MapRange>) -> Vec<String> {
    let is_other = |range: &&MapRange| !matches!(range.kind, Kind::Window | Kind::Persistent);
    let others: Coverage = ranges.iter().filter(is_other).map(MapRange::span).collect();
    let persistent: Containers =
        ranges.iter().filter(|range| range.kind == Kind::Persistent).map(MapRange::span).collect();
    let is_inside = |block: &BlockRange| persistent.contain(block.span) && !others.overlaps(block.span);
    add_online(blocks, is_inside, Kind::HotplugRam, "another source has persistent memory there", ranges)
}

/// Adds the online blocks that are meant, as memory of a kind.
fn add_online(
    blocks: &[BlockRange],
    is_meant: impl Fn(&BlockRange) -> bool,
    kind: Kind,
    but: &str,
    ranges: &mut Vec<MapRange>,
) -> Vec<String> {
    let meant: Vec<&BlockRange> = blocks.iter().filter(|block| block.online && is_meant(block)).collect();
    ranges.extend(meant.iter().map(|block| MapRange::new(block.span, kind, block.node)));
    let contradiction = |block: &&BlockRange| {
        format!("the memory blocks {} of line {} are online, and {but}", block.span, line_of(&block.sources))
    };
    meant.iter().map(contradiction).collect()
}

/// Derives the size of memory blocks from devices that state how many they have, if no source states it.
pub(super) fn derive_size(inventory: &mut Inventory, contradictions: &mut Vec<String>) {
    const SMALLEST: u64 = 16 << 20;
    const LARGEST: u64 = 64 << 30;
    // At both ends, less than a block is cut off.
    let fits = |device: &Device, block: u64| {
        let total = device.total_blocks?;
        let bytes = total.checked_mul(block)?;
        Some(bytes <= device.bytes && device.bytes - bytes < block.saturating_mul(2))
    };
    let devices =
        inventory.devices.iter().filter(|device| device.enabled && device.total_blocks.is_some_and(|nr| nr > 0));
    let sizes = || std::iter::successors(Some(LARGEST), |bytes| Some(bytes / 2)).take_while(|bytes| *bytes >= SMALLEST);
    let mut derived: Option<u64> = None;
    for device in devices {
        let of_device = sizes().find(|block| fits(device, *block) == Some(true));
        let known = inventory.block_bytes.or(derived);
        match (known, of_device) {
            (Some(known), Some(block)) if fits(device, known) != Some(true) => contradictions.push(format!(
                "{} in line {} has {} memory blocks, which are {} each, and others have {}; the latter is used",
                device.name,
                line_of(&device.sources),
                device.total_blocks.unwrap_or(0),
                ByteSize(block),
                ByteSize(known)
            )),
            (None, block) => derived = block,
            _ => {}
        }
    }
    inventory.block_bytes = inventory.block_bytes.or(derived);
}

/// Makes added RAM of the ranges of devices that a driver made RAM of.
pub(super) fn mark_added_ram(devices: &[Device], regions: &[Region], ranges: &mut Vec<MapRange>) {
    let of_region = |device: &Device| {
        let region = regions.iter().find(|region| device.region.as_ref() == Some(&region.name));
        region.and_then(|region| region.span).filter(|span| span.bytes() >= device.bytes && device.spans.is_empty())
    };
    let ram: Coverage = ranges.iter().filter(|range| range.kind == Kind::Ram).map(MapRange::span).collect();
    // Added RAM around a device is not that of the device.
    let added = disjoint(ranges).into_iter().filter(|range| range.kind == Kind::HotplugRam);
    let mut known: Coverage = added.map(|range| range.span()).collect();
    for device in devices.iter().filter(|device| device.is_ram && device.enabled) {
        // RAM of a device whose place in its region is unknown.
        let around = of_region(device);
        for span in device.spans.iter().copied().chain(around) {
            if ram.overlaps(span) {
                let is_in = |range: &MapRange| range.kind == Kind::Ram && range.span().overlaps(span);
                let parts: Vec<MapRange> = ranges.extract_if(.., |range| is_in(range)).collect();
                ranges.extend(parts.into_iter().flat_map(|range| divided(range, span)));
            } else if !known.overlaps(span) && around.is_none() {
                known.insert(span);
                ranges.push(MapRange::new(span, Kind::HotplugRam, device.node));
            }
        }
    }
}

/// RAM, divided into what is inside of a span, which is added RAM, and what is outside.
fn divided(range: MapRange, span: Span) -> Vec<MapRange> {
    let Some(inner) = range.span().intersect(span).filter(|_| range.kind == Kind::Ram) else { return vec![range] };
    let part = |start, end, kind| (start < end).then(|| MapRange { start, end, kind, ..range.clone() });
    let parts = [
        part(range.start, inner.start, Kind::Ram),
        part(inner.start, inner.end, Kind::HotplugRam),
        part(inner.end, range.end, Kind::Ram),
    ];
    parts.into_iter().flatten().collect()
}
