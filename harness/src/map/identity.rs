//! One thing for what several sources tell of it: the same region, device or block is recognised by
//! its addresses, by its size and name, or by what contains it.

use super::combine::{NoBase, Places};
use super::coverage::{Containers, Coverage};
use super::inventory::{BlockRange, Device, Inventory, Listing, Mention, Region, RegionKind, Span, Window};
use super::kind::Kind;
use super::part::{Found, HotplugWindow, Table};
use super::physical_map::disjoint;
use super::range::MapRange;
use super::reading::{Reading, UnusedPart};
use memmap_layouts::ByteSize;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Unites what is named several times. Contradictions are sentences.
pub(super) fn unite(inventory: &mut Inventory, contradictions: &mut Vec<String>) {
    let windows = std::mem::take(&mut inventory.windows);
    inventory.windows = by_key(
        windows,
        |window: &Window| window.span,
        |known, window| {
            known.available_bytes = known.available_bytes.or(window.available_bytes);
            known.ways = known.ways.or(window.ways);
            merge_sources(&mut known.sources, window.sources);
        },
    );
    inventory.windows.sort_by_key(|window| window.span);
    let dimms = std::mem::take(&mut inventory.dimms);
    inventory.dimms = by_key(
        dimms,
        |dimm| dimm.name.clone(),
        |known, dimm| {
            known.volatile_bytes = known.volatile_bytes.max(dimm.volatile_bytes);
            known.persistent_bytes = known.persistent_bytes.max(dimm.persistent_bytes);
            known.node = known.node.or(dimm.node);
            merge_sources(&mut known.sources, dimm.sources);
        },
    );
    let blocks = std::mem::take(&mut inventory.blocks);
    inventory.blocks = by_key(
        blocks,
        |block| block.span,
        |known, block| {
            known.memmap_on_memory = known.memmap_on_memory.or(block.memmap_on_memory);
            known.node = known.node.or(block.node);
            merge_sources(&mut known.sources, block.sources);
        },
    );
    // Rows of another listing may cut the same blocks differently.
    let mut known = Coverage::default();
    let blocks = std::mem::take(&mut inventory.blocks);
    for block in blocks {
        for span in known.gaps(block.span) {
            known.insert(span);
            inventory.blocks.push(BlockRange { span, ..block.clone() });
        }
    }
    inventory.blocks.sort_by_key(|block| block.span);
    unite_regions(inventory, contradictions);
    unite_devices(inventory, contradictions);
    unite_namespaces(inventory, contradictions);
}

fn by_key<T, K: Hash + Eq>(items: Vec<T>, key: impl Fn(&T) -> K, mut merge: impl FnMut(&mut T, T)) -> Vec<T> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut united: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        match places.get(&key(&item)) {
            Some(&place) => merge(&mut united[place], item),
            None => {
                places.insert(key(&item), united.len());
                united.push(item);
            }
        }
    }
    united
}

fn merge_sources(known: &mut Vec<Mention>, more: Vec<Mention>) {
    known.extend(more);
    known.sort_unstable();
    known.dedup();
}

fn line_of(sources: &[Mention]) -> usize {
    sources.first().map_or(0, |source| source.line)
}

/// Regions with the same addresses are one. One without addresses is that of the same name and size,
/// or else the first of the same size that no other claims: tools number regions differently.
fn unite_regions(inventory: &mut Inventory, contradictions: &mut Vec<String>) {
    let (mut placed, mut floating): (Vec<Region>, Vec<Region>) =
        std::mem::take(&mut inventory.regions).into_iter().partition(|region| region.span.is_some());
    placed = by_key(placed, |region| region.span, merge_region);
    placed = by_key(
        placed,
        |region| (region.name.clone(), region.kind, region.span.map(|span| span.start)),
        |known, region| {
            let is_larger = region.bytes > known.bytes;
            contradictions.push(format!(
                "{} has {} in line {} and {} in line {}; the larger is used",
                region.name,
                ByteSize(known.bytes),
                line_of(&known.sources),
                ByteSize(region.bytes),
                line_of(&region.sources)
            ));
            let mut regions = (region, known.clone());
            if !is_larger {
                std::mem::swap(&mut regions.0, &mut regions.1);
            }
            merge_region(&mut regions.0, regions.1);
            *known = regions.0;
        },
    );
    placed = without_partial_overlaps(placed, contradictions);
    let mut first_of_name: HashMap<(&str, RegionKind), &Region> = HashMap::new();
    for region in &placed {
        let first = *first_of_name.entry((&region.name, region.kind)).or_insert(region);
        let same = (first.span != region.span).then_some(first);
        if let (Some(other), Some(span)) = (same, region.span)
            && let Some(first) = other.span
        {
            contradictions.push(format!(
                "{} is at {first} in line {} and at {span} in line {}; both are kept",
                region.name,
                line_of(&other.sources),
                line_of(&region.sources)
            ));
        }
    }
    let mut claimed = vec![false; placed.len()];
    let mut left: Vec<Region> = Vec::new();
    // A listing names a region once, so that equal sizes of one listing are different regions.
    for by_name in [true, false] {
        let name = |region: &Region| by_name.then(|| region.name.clone());
        let mut places: HashMap<(u64, Option<String>), VecDeque<usize>> = HashMap::new();
        for (nr, known) in placed.iter().enumerate().filter(|(nr, _)| !claimed[*nr]) {
            places.entry((known.bytes, name(known))).or_default().push_back(nr);
        }
        for region in std::mem::take(if by_name { &mut floating } else { &mut left }) {
            match places.get_mut(&(region.bytes, name(&region))).and_then(VecDeque::pop_front) {
                Some(place) => {
                    claimed[place] = true;
                    merge_region(&mut placed[place], region);
                }
                None => left.push(region),
            }
        }
    }
    let left = by_key(left, |region| (region.name.clone(), region.bytes), merge_region);
    placed.extend(left);
    inventory.regions = placed;
}

/// Drops regions that partly overlap a lower one. They may nest: a region of persistent memory in one of CXL.
pub(super) fn without_partial_overlaps(placed: Vec<Region>, contradictions: &mut Vec<String>) -> Vec<Region> {
    let placed_at = placed.iter().enumerate().filter_map(|(nr, region)| Some((region.span?, nr)));
    let mut by_start: Vec<(Span, usize)> = placed_at.collect();
    by_start.sort_unstable_by_key(|(span, nr)| (span.start, std::cmp::Reverse(span.end), *nr));
    let mut around: Vec<(Span, usize)> = Vec::new();
    let mut dropped = HashSet::new();
    for (span, nr) in by_start {
        while around.pop_if(|(outer, _)| outer.end <= span.start).is_some() {}
        match around.last() {
            Some((outer, other)) if span.end > outer.end => {
                dropped.insert(nr);
                let (lower, region) = (&placed[*other], &placed[nr]);
                contradictions.push(format!(
                    "{} at {span} in line {} partly overlaps {} at {outer} in line {}; the lower is used",
                    region.name,
                    line_of(&region.sources),
                    lower.name,
                    line_of(&lower.sources)
                ));
            }
            _ => around.push((span, nr)),
        }
    }
    let kept = placed.into_iter().enumerate().filter(|(nr, _)| !dropped.contains(nr));
    kept.map(|(_, region)| region).collect()
}

fn merge_region(known: &mut Region, region: Region) {
    // `ndctl` and `cxl` know what a region is; `/proc/iomem` only where it is.
    if region.kind == RegionKind::Persistent {
        known.kind = region.kind;
    }
    known.span = known.span.or(region.span);
    known.enabled &= region.enabled;
    known.available_bytes = known.available_bytes.or(region.available_bytes);
    known.align = known.align.or(region.align);
    known.ways = known.ways.or(region.ways);
    known.node = known.node.or(region.node);
    if known.mappings.is_empty() {
        known.mappings = region.mappings;
    }
    merge_sources(&mut known.sources, region.sources);
}

fn unite_devices(inventory: &mut Inventory, contradictions: &mut Vec<String>) {
    let devices = std::mem::take(&mut inventory.devices);
    inventory.devices = by_key(
        devices,
        |device| device.name.clone(),
        |known, device| {
            if !known.spans.is_empty() && !device.spans.is_empty() && known.spans != device.spans {
                contradictions.push(format!(
                    "{} is at {} in line {} and at {} in line {}; the first is used",
                    device.name,
                    known.spans[0],
                    line_of(&known.sources),
                    device.spans[0],
                    line_of(&device.sources)
                ));
            } else if known.spans.is_empty() {
                known.spans = device.spans;
            }
            known.bytes = known.bytes.max(device.bytes);
            known.region = known.region.take().or(device.region);
            known.is_ram |= device.is_ram;
            known.enabled &= device.enabled;
            known.align = known.align.or(device.align);
            known.node = known.node.or(device.node);
            known.online_blocks = known.online_blocks.or(device.online_blocks);
            known.total_blocks = known.total_blocks.or(device.total_blocks);
            merge_sources(&mut known.sources, device.sources);
        },
    );
}

fn unite_namespaces(inventory: &mut Inventory, contradictions: &mut Vec<String>) {
    let namespaces = std::mem::take(&mut inventory.namespaces);
    inventory.namespaces = by_key(
        namespaces,
        |namespace| namespace.name.clone(),
        |known, namespace| {
            // The resource of a device namespace is only its header and records.
            if let (Some(first), Some(second)) = (known.mode.as_ref(), namespace.mode.as_ref())
                && (first != second || known.bytes != namespace.bytes)
            {
                contradictions.push(format!(
                    "{} has {} in line {} and {} in line {}; the first is used",
                    namespace.name,
                    ByteSize(known.bytes),
                    line_of(&known.sources),
                    ByteSize(namespace.bytes),
                    line_of(&namespace.sources)
                ));
            }
            if known.mode.is_none() && namespace.mode.is_some() {
                known.bytes = namespace.bytes;
            }
            known.span = known.span.or(namespace.span);
            known.mode = known.mode.take().or(namespace.mode);
            known.region = known.region.take().or(namespace.region);
            known.records = known.records.or(namespace.records);
            known.align = known.align.or(namespace.align);
            known.node = known.node.or(namespace.node);
            known.enabled &= namespace.enabled;
            merge_sources(&mut known.sources, namespace.sources);
        },
    );
}

/// Finds the addresses of what has only a size, among the ranges that other sources tell, and assumes
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
    // What is placed tells nothing of where anything else is.
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
    let claimed: Claimed = regions.iter().filter_map(|region| region.span).collect();
    for region in regions.iter_mut().filter(|region| region.span.is_none() && region.enabled) {
        let (kind, node) = (Kind::SoftReserved, region.node);
        let wanted = Wanted { bytes: region.bytes, kind, node, in_blocks };
        let Some(start) = start_of_devices(region, devices) else { continue };
        let Some(span) = Span::new(start, start.saturating_add(region.bytes)) else { continue };
        if same_size(&wanted, ranges, &claimed).is_some() {
            continue;
        }
        warnings.push(format!(
            "line {}: {} has a size ({}) but no address: base assumed at {start:#x}, where its first device begins",
            line_of(&region.sources),
            region.name,
            ByteSize(region.bytes)
        ));
        (region.span, region.base_assumed) = (Some(span), true);
        ranges.push(MapRange { start: span.start, end: span.end, kind, node, base_assumed: true });
    }
}

/// The lowest address of the devices of a region, if the region may begin there.
fn start_of_devices(region: &Region, devices: &[Device]) -> Option<u64> {
    let of_region = devices.iter().filter(|device| device.region.as_ref() == Some(&region.name));
    let spans: Vec<Span> = of_region.flat_map(|device| device.spans.iter().copied()).collect();
    let start = spans.iter().map(|span| span.start).min()?;
    let end = spans.iter().map(|span| span.end).max()?;
    let last = start.checked_add(region.bytes)?;
    (region.kind == RegionKind::Volatile && end <= last && last >> super::MAX_PHYS_BITS == 0).then_some(start)
}

/// Finds the addresses of a device. Returns its memory if no other source tells of it.
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

/// Whether a range may be memory of this kind, as another source tells it. Memory blocks do not tell
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
    let around = container(wanted, ranges, claimed)?;
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

/// Adds memory blocks that are online and that no other source has. Returns what contradicts, as
/// sentences.
pub(super) fn add_blocks(blocks: &[BlockRange], ranges: &mut Vec<MapRange>) -> Vec<String> {
    let memory = ranges.iter().filter(|range| range.kind != Kind::Window);
    let known: Coverage = memory.map(MapRange::span).collect();
    let missing = blocks.iter().filter(|block| block.online && !known.overlaps(block.span));
    let missing: Vec<&BlockRange> = missing.collect();
    let range = |block: &&BlockRange| MapRange {
        start: block.span.start,
        end: block.span.end,
        kind: Kind::Ram,
        node: block.node,
        base_assumed: false,
    };
    ranges.extend(missing.iter().map(range));
    let told = |block: &&BlockRange| {
        format!(
            "the memory blocks {} of line {} are online, and no other source has them",
            block.span,
            line_of(&block.sources)
        )
    };
    missing.iter().map(told).collect()
}

/// Adds memory blocks that are online inside of persistent memory: a driver made RAM of it. Returns what
/// contradicts, as sentences: another source should have that RAM.
pub(super) fn add_blocks_of_devices(blocks: &[BlockRange], ranges: &mut Vec<MapRange>) -> Vec<String> {
    let is_other = |range: &&MapRange| !matches!(range.kind, Kind::Window | Kind::Persistent);
    let others: Coverage = ranges.iter().filter(is_other).map(MapRange::span).collect();
    let persistent: Containers =
        ranges.iter().filter(|range| range.kind == Kind::Persistent).map(MapRange::span).collect();
    let is_within =
        |block: &&BlockRange| block.online && persistent.contain(block.span) && !others.overlaps(block.span);
    let within: Vec<&BlockRange> = blocks.iter().filter(is_within).collect();
    ranges.extend(within.iter().map(|block| MapRange {
        start: block.span.start,
        end: block.span.end,
        kind: Kind::HotplugRam,
        node: block.node,
        base_assumed: false,
    }));
    let told = |block: &&BlockRange| {
        format!(
            "the memory blocks {} of line {} are online, and another source has persistent memory there",
            block.span,
            line_of(&block.sources)
        )
    };
    within.iter().map(told).collect()
}

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

/// Derives the size of memory blocks from devices that state how many they have, if no source states it.
pub(super) fn derive_block_size(inventory: &mut Inventory, contradictions: &mut Vec<String>) {
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

/// Volatile regions of `/proc/iomem` in windows, which may be in another part of the text. Elsewhere a
/// region is part of persistent memory.
pub(super) fn regions_in_windows(inventory: &Inventory) -> Vec<Found> {
    let windows: Containers = inventory.windows.iter().map(|window| window.span).collect();
    let of_iomem = |source: &&Mention| source.listing == Listing::Iomem;
    let regions = inventory.regions.iter().filter(|region| region.enabled && region.kind == RegionKind::Volatile);
    let found = regions.filter_map(|region| {
        let Span { start, end } = region.span.filter(|span| windows.contain(*span))?;
        let range = MapRange { start, end, kind: Kind::SoftReserved, node: region.node, base_assumed: false };
        Some(Found { range, line: region.sources.iter().find(of_iomem)?.line })
    });
    found.collect()
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
                let (kind, node) = (Kind::HotplugRam, device.node);
                ranges.push(MapRange { start: span.start, end: span.end, kind, node, base_assumed: false });
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

/// Fills in nodes that another source tells: SRAT, memory blocks, regions and devices.
pub(super) fn assign_nodes(
    ranges: &mut Vec<MapRange>,
    inventory: &Inventory,
    srat: &[Found],
    windows: &[HotplugWindow],
) {
    let of_srat = srat.iter().map(|found| (found.range.span(), found.range.node));
    let of_windows = windows.iter().map(|window| (window.span, window.node));
    let of_blocks = inventory.blocks.iter().map(|block| (block.span, block.node));
    let of_regions = inventory.regions.iter().filter_map(|region| Some((region.span?, region.node)));
    let of_devices = inventory.devices.iter().flat_map(|device| device.spans.iter().map(|span| (*span, device.node)));
    let told = of_devices.chain(of_regions).chain(of_blocks).chain(of_srat).chain(of_windows);
    let mut told: Vec<(Span, u8)> = told.filter_map(|(span, node)| Some((span, node?))).collect();
    // The smallest range around a range knows best.
    told.sort_by_key(|(span, _)| span.bytes());
    let node_of = |span: Span| told.iter().find(|(around, _)| around.contains(span)).map(|(_, node)| *node);
    let mut parts = Vec::with_capacity(ranges.len());
    for range in std::mem::take(ranges) {
        let span = range.span();
        match range.node.or_else(|| node_of(span)) {
            None if range.kind == Kind::Ram => parts.extend(of_nodes(range, &told, node_of)),
            node => parts.push(MapRange { node, ..range }),
        }
    }
    *ranges = parts;
}

/// RAM that several nodes share, divided where their ranges begin and end; else the whole range.
fn of_nodes(range: MapRange, told: &[(Span, u8)], node_of: impl Fn(Span) -> Option<u8>) -> Vec<MapRange> {
    let span = range.span();
    let inner = told.iter().filter(|(around, _)| around.overlaps(span));
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

/// Windows that are said to be full, although no source names what uses a part of them.
pub(super) fn full_windows(inventory: &Inventory, unused: &[UnusedPart]) -> Vec<String> {
    let full = inventory.windows.iter().filter(|window| window.available_bytes == Some(0));
    let told = full.filter_map(|window| {
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
    told.collect()
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

/// What two tables of the same RAM disagree about, if it is much.
pub(super) fn disagreement(tables: &[(Table, Vec<Found>)]) -> Option<String> {
    let total = |wanted: &[Table]| {
        let found = tables.iter().filter(|(table, _)| wanted.contains(table)).map(|(table, _)| *table).min()?;
        let ranges = tables.iter().filter(|(table, _)| *table == found).flat_map(|(_, found)| found);
        let ranges = super::combine::merge(ranges.map(|found| found.range.clone()).collect());
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
