//! What the sources of a machine contradict each other about, as sentences.

use super::combine::merge;
use super::coverage::Coverage;
use super::inventory::{Device, Inventory, Region, Span, line_of};
use super::part::{Found, Table};
use super::range::MapRange;
use super::reading::UnusedPart;
use memmap_layouts::ByteSize;
use std::collections::HashMap;

/// Reports sizes that contradict each other: a namespace larger than its region, more available than there is.
pub(super) fn check_sizes(inventory: &Inventory, contradictions: &mut Vec<String>) {
    let regions: HashMap<&str, &Region> =
        inventory.regions.iter().map(|region| (region.name.as_str(), region)).collect();
    for namespace in &inventory.namespaces {
        let region = namespace.region.as_deref().and_then(|name| regions.get(name));
        if let Some(region) = region.filter(|region| region.bytes < namespace.bytes) {
            contradictions.push(format!(
                "{} in line {} has {}, more than its region {} with {}",
                namespace.name,
                line_of(&namespace.sources),
                ByteSize(namespace.bytes),
                region.name,
                ByteSize(region.bytes)
            ));
        }
    }
    for region in &inventory.regions {
        if let Some(available) = region.available_bytes.filter(|available| *available > region.bytes) {
            contradictions.push(format!(
                "{} in line {} has {}, and {} of it are said to be available; the latter is ignored",
                region.name,
                line_of(&region.sources),
                ByteSize(region.bytes),
                ByteSize(available)
            ));
        }
    }
}

/// Windows that are said to be full, although no source names what uses a part of them.
pub(super) fn full_windows(inventory: &Inventory, unused: &[UnusedPart]) -> Vec<String> {
    let full = inventory.windows.iter().filter(|window| window.available_bytes == Some(0));
    let contradictions = full.filter_map(|window| {
        let is_inside = |part: &&UnusedPart| window.span.contains(part.span);
        let bytes: u64 = unused.iter().filter(is_inside).map(|part| part.span.bytes()).sum();
        (bytes > 0).then(|| {
            format!(
                "{} in line {} is said to be full, and no source names what uses {} of it",
                window.name,
                line_of(&window.sources),
                ByteSize(bytes)
            )
        })
    });
    contradictions.collect()
}

/// What two tables of the same RAM disagree about, if it is much.
pub(super) fn disagreement(tables: &[(Table, Vec<Found>)]) -> Option<String> {
    let total = |wanted: &[Table]| {
        let found = tables.iter().filter(|(table, _)| wanted.contains(table)).map(|(table, _)| *table).min()?;
        let ranges = tables.iter().filter(|(table, _)| *table == found).flat_map(|(_, found)| found);
        let ranges = merge(ranges.map(|found| found.range.clone()).collect());
        Some((found, ranges.iter().map(MapRange::span).collect::<Vec<Span>>()))
    };
    let (first, iomem_spans) = total(&[Table::Iomem])?;
    let (second, firmware_spans) =
        total(&[Table::EarlyNodes, Table::Memblock, Table::UserE820, Table::FirmwareE820, Table::ExtendedE820])?;
    let bytes = |spans: &[Span]| spans.iter().map(|span| span.bytes()).sum::<u64>();
    let (iomem, firmware) = (bytes(&iomem_spans), bytes(&firmware_spans));
    // Firmware and kernel reserve some memory, which one table shows and the other does not.
    let large = (iomem.max(firmware) / 8).max(256 << 20);
    let (first, second) = (first.listing().name(), second.listing().name());
    if iomem.abs_diff(firmware) > large {
        let (iomem, firmware) = (ByteSize(iomem), ByteSize(firmware));
        return Some(format!("{first} has {iomem} of RAM and the {second} has {firmware}; the first is used"));
    }
    let known: Coverage = iomem_spans.iter().copied().collect();
    let elsewhere: u64 = firmware_spans.iter().flat_map(|span| known.gaps(*span)).map(Span::bytes).sum();
    (elsewhere > large / 2).then(|| {
        let elsewhere = ByteSize(elsewhere);
        format!("the {second} has {elsewhere} of RAM where {first} has none; the first is used")
    })
}

/// Devices whose memory blocks are online in other numbers than the blocks that another source lists.
pub(super) fn block_counts(inventory: &Inventory) -> Vec<String> {
    let Some(block_bytes) = inventory.block_bytes else { return Vec::new() };
    let online = |device: &Device| {
        let blocks = device.spans.iter().flat_map(|span| {
            inventory.blocks.iter().filter_map(move |block| Some((block.online, block.span.intersect(*span)?)))
        });
        blocks.fold((0u64, 0u64), |(online, all), (is_online, span)| {
            (online + if is_online { span.bytes() } else { 0 }, all + span.bytes())
        })
    };
    let differs = |device: &Device| {
        let (stated, total) = (device.online_blocks?, device.total_blocks?);
        let (online, all) = online(device);
        let is_listed = all > 0 && all / block_bytes == total;
        (is_listed && online / block_bytes != stated).then(|| {
            format!(
                "{} in line {} has {stated} memory blocks online, and the list of blocks has {}; the former is used",
                device.name,
                line_of(&device.sources),
                online / block_bytes
            )
        })
    };
    inventory.devices.iter().filter_map(differs).collect()
}
