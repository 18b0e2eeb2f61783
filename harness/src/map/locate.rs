//! Addresses of what has only a size, among the ranges of other sources; else assumed ones.

use super::MAX_PHYS_BITS;
use super::combine::{NoBase, Places};
use super::coverage::Coverage;
use super::inventory::{Device, Inventory, Region, RegionKind, Span, line_of};
use super::kind::Kind;
use super::range::MapRange;
use memmap_layouts::ByteSize;
use std::collections::HashSet;

/// Finds the addresses of what has only a size, among the ranges of other sources, and assumes
/// addresses for the rest.
pub(super) fn locate(
    inventory: &mut Inventory,
    ranges: &mut Vec<MapRange>,
    in_blocks: bool,
    warnings: &mut Vec<String>,
) {
    let Inventory { regions, namespaces, devices, .. } = inventory;
    surround_devices(regions, devices, ranges, in_blocks, warnings);
    let mut places = Places::around(ranges, regions.iter().filter_map(|region| region.span));
    // What is assumed says nothing of where anything else is.
    let mut assumed: Vec<MapRange> = Vec::new();
    let mut claimed: Claimed = regions.iter().filter_map(|region| region.span).collect();
    let is_ram: HashSet<String> =
        devices.iter().filter(|device| device.is_ram).filter_map(|device| device.region.clone()).collect();
    for region in regions.iter_mut().filter(|region| region.span.is_none() && region.enabled) {
        let kind = match region.kind {
            RegionKind::Persistent => Kind::Persistent,
            RegionKind::Volatile if is_ram.contains(&region.name) => Kind::HotplugRam,
            RegionKind::Volatile => Kind::SoftReserved,
        };
        let wanted = Wanted { bytes: region.bytes, kind, node: region.node, in_blocks };
        match same_size(&wanted, ranges, &claimed) {
            Some(span) => {
                region.span = Some(span);
                claimed.insert(span);
            }
            None if let Some(around) = nearly_all(&wanted, ranges, &claimed) => {
                let span = Span { start: around.start, end: around.start + region.bytes };
                warnings.push(format!(
                    "line {}: {} has {}, and is taken for {around}, the only such range",
                    line_of(&region.sources),
                    region.name,
                    ByteSize(region.bytes)
                ));
                region.span = Some(span);
                claimed.insert(around);
            }
            None => {
                let line = line_of(&region.sources);
                let memory = NoBase { line, name: region.name.clone(), bytes: region.bytes, kind, node: region.node };
                if let Some(range) = places.place(&memory, warnings) {
                    (region.span, region.base_assumed) = (Some(range.span()), true);
                    claimed.insert(range.span());
                    assumed.push(range);
                }
            }
        }
    }
    let mut claimed: Claimed = namespaces.iter().filter_map(|namespace| namespace.span).collect();
    for namespace in namespaces.iter_mut().filter(|namespace| namespace.span.is_none() && namespace.region.is_none()) {
        let owner = inside(namespace.bytes, RegionKind::Persistent, regions);
        if let Some(region) = owner {
            namespace.region = Some(region);
            continue;
        }
        let (kind, node) = (Kind::Persistent, namespace.node);
        if container(&Wanted { bytes: namespace.bytes, kind, node, in_blocks }, ranges, &claimed).is_some() {
            continue;
        }
        let line = line_of(&namespace.sources);
        let memory = NoBase { line, name: namespace.name.clone(), bytes: namespace.bytes, kind, node };
        if let Some(range) = places.place(&memory, warnings) {
            namespace.span = Some(range.span());
            claimed.insert(range.span());
            assumed.push(range);
        }
    }
    let mut claimed: Claimed = devices.iter().flat_map(|device| device.spans.iter().copied()).collect();
    for device in devices.iter_mut().filter(|device| device.spans.is_empty()) {
        let Some(memory) = locate_device(device, regions, ranges, &mut claimed, in_blocks) else { continue };
        if let Some(range) = places.place(&memory, warnings) {
            device.spans.push(range.span());
            claimed.insert(range.span());
            assumed.push(range);
        }
    }
    ranges.extend(assumed);
}

/// The addresses that are known to be of something.
#[derive(Debug, Default)]
struct Claimed {
    spans: HashSet<Span>,
    bytes: Coverage,
}

impl Claimed {
    fn insert(&mut self, span: Span) {
        self.spans.insert(span);
        self.bytes.insert(span);
    }
}

impl FromIterator<Span> for Claimed {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut claimed = Self::default();
        spans.into_iter().for_each(|span| claimed.insert(span));
        claimed
    }
}

/// Places volatile regions around their devices, whose addresses are known.
fn surround_devices(
    regions: &mut [Region],
    devices: &[Device],
    ranges: &mut Vec<MapRange>,
    in_blocks: bool,
    warnings: &mut Vec<String>,
) {
    let mut claimed: Claimed = regions.iter().filter_map(|region| region.span).collect();
    for region in regions.iter_mut().filter(|region| region.span.is_none() && region.enabled) {
        let (kind, node) = (Kind::SoftReserved, region.node);
        let wanted = Wanted { bytes: region.bytes, kind, node, in_blocks };
        let Some(span) = span_around(region, devices).filter(|span| !claimed.bytes.overlaps(*span)) else { continue };
        if same_size(&wanted, ranges, &claimed).is_some() {
            continue;
        }
        claimed.insert(span);
        warnings.push(format!(
            "line {}: {} has a size ({}) but no address: base assumed at {:#x}, where its first device begins",
            line_of(&region.sources),
            region.name,
            ByteSize(region.bytes),
            span.start
        ));
        (region.span, region.base_assumed) = (Some(span), true);
        ranges.push(MapRange { base_assumed: true, ..MapRange::new(span, kind, node) });
    }
}

/// The range of a volatile region that begins with its first device; `None` if its devices do not fit
/// there.
fn span_around(region: &Region, devices: &[Device]) -> Option<Span> {
    let of_region = devices.iter().filter(|device| device.region.as_ref() == Some(&region.name));
    let spans: Vec<Span> = of_region.flat_map(|device| device.spans.iter().copied()).collect();
    let start = spans.iter().map(|span| span.start).min()?;
    let last = spans.iter().map(|span| span.end).max()?;
    let span = Span::new(start, start.checked_add(region.bytes)?)?;
    let fits = last <= span.end && span.end >> MAX_PHYS_BITS == 0;
    (region.kind == RegionKind::Volatile && fits).then_some(span)
}

/// Finds the addresses of a device. Returns its memory if no other source has it.
fn locate_device(
    device: &mut Device,
    regions: &[Region],
    ranges: &[MapRange],
    claimed: &mut Claimed,
    in_blocks: bool,
) -> Option<NoBase> {
    // All of a region.
    let owner = device.region.as_ref().and_then(|name| regions.iter().find(|region| region.name == *name));
    if let Some(span) = owner.filter(|region| region.bytes == device.bytes).and_then(|region| region.span) {
        device.spans.push(span);
        return None;
    }
    if device.region.is_some() {
        return None;
    }
    let kind = if device.is_ram { Kind::HotplugRam } else { Kind::SoftReserved };
    let wanted = Wanted { bytes: device.bytes, kind, node: device.node, in_blocks };
    if let Some(span) = same_size(&wanted, ranges, claimed) {
        device.spans.push(span);
        claimed.insert(span);
        return None;
    }
    if container(&wanted, ranges, claimed).is_some() {
        return None;
    }
    let line = line_of(&device.sources);
    Some(NoBase { line, name: device.name.clone(), bytes: device.bytes, kind, node: device.node })
}

/// Whether a range may be memory of this kind, as another source has it. Memory blocks do not say
/// who added them.
fn may_be(range: &MapRange, kind: Kind, in_blocks: bool) -> bool {
    match kind {
        Kind::HotplugRam if range.kind == Kind::Ram => in_blocks,
        // RAM of a driver may stand inside of what it was.
        Kind::HotplugRam => range.kind != Kind::Window,
        Kind::SoftReserved => matches!(range.kind, Kind::SoftReserved | Kind::HotplugRam | Kind::Persistent),
        kind => range.kind == kind,
    }
}

/// Memory whose addresses are wanted.
#[derive(Clone, Copy)]
struct Wanted {
    bytes: u64,
    kind: Kind,
    node: Option<u8>,
    /// True if RAM comes from a listing of memory blocks.
    in_blocks: bool,
}

/// The first unclaimed range of a size. RAM is in whole memory blocks, so that it may be smaller.
fn same_size(wanted: &Wanted, ranges: &[MapRange], claimed: &Claimed) -> Option<Span> {
    let Wanted { bytes, kind, node, in_blocks } = *wanted;
    const LARGEST_BLOCK: u64 = 2 << 30;
    let free = |range: &&MapRange| !range.base_assumed && !claimed.bytes.overlaps(range.span());
    let candidates = || ranges.iter().filter(|range| may_be(range, kind, in_blocks));
    let of_node = |range: &&MapRange| node.is_none() || range.node.is_none() || range.node == node;
    let exact = candidates().filter(|range| range.span().bytes() == bytes).filter(of_node).find(free);
    let cut = || {
        let is_cut = |range: &&MapRange| {
            let lost = bytes.checked_sub(range.span().bytes());
            range.kind != Kind::Persistent && lost.is_some_and(|lost| lost < 2 * LARGEST_BLOCK && lost < bytes)
        };
        let nearly = |range: &&MapRange| range.node == node && node.is_some();
        candidates().filter(is_cut).filter(nearly).find(free)
    };
    let found = exact.or_else(|| if kind == Kind::HotplugRam { cut() } else { None })?;
    Some(found.span())
}

/// The only unclaimed range of persistent memory, if the wanted memory is most of it: tools and firmware
/// count reserved parts differently.
fn nearly_all(wanted: &Wanted, ranges: &[MapRange], claimed: &Claimed) -> Option<Span> {
    if wanted.kind != Kind::Persistent {
        return None;
    }
    let around = container(wanted, ranges, claimed).filter(|around| !claimed.bytes.overlaps(*around))?;
    (around.bytes() - wanted.bytes <= around.bytes() / 10).then_some(around)
}

/// The only unclaimed range that has room for so many bytes.
fn container(wanted: &Wanted, ranges: &[MapRange], claimed: &Claimed) -> Option<Span> {
    let Wanted { bytes, kind, in_blocks, .. } = *wanted;
    let free = |range: &&MapRange| !range.base_assumed && !claimed.spans.contains(&range.span());
    let has_room = |range: &&MapRange| range.span().bytes() >= bytes && may_be(range, kind, in_blocks);
    let is_addition = |range: &&MapRange| range.kind != Kind::Ram || kind == Kind::HotplugRam;
    let mut candidates = ranges.iter().filter(has_room).filter(is_addition).filter(free);
    let first = candidates.next()?;
    let only = candidates.next().is_none();
    // All added memory is among the RAM of memory blocks, whichever it is.
    (only || kind == Kind::HotplugRam).then(|| first.span())
}

/// The name of the only region with room for so many bytes.
fn inside(bytes: u64, kind: RegionKind, regions: &[Region]) -> Option<String> {
    let mut candidates = regions.iter().filter(|region| region.kind == kind && region.bytes >= bytes);
    let first = candidates.next()?;
    candidates.next().is_none().then(|| first.name.clone())
}
