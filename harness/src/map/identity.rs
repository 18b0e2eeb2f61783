//! One thing for what several sources tell of it: the same region, device or block is recognised by
//! its addresses, by its size and name, or by what contains it.

use super::coverage::Coverage;
use super::inventory::{BlockRange, Inventory, Mention, Region, RegionKind, Span, Window, line_of};
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
fn without_partial_overlaps(placed: Vec<Region>, contradictions: &mut Vec<String>) -> Vec<Region> {
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
            // Sizes for people are rounded.
            let (smaller, larger) = (known.bytes.min(device.bytes), known.bytes.max(device.bytes));
            if smaller > 0 && larger - smaller > larger / 64 {
                contradictions.push(format!(
                    "{} has {} in line {} and {} in line {}; the larger is used",
                    device.name,
                    ByteSize(known.bytes),
                    line_of(&known.sources),
                    ByteSize(device.bytes),
                    line_of(&device.sources)
                ));
            }
            known.bytes = larger;
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
