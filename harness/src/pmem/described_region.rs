//! A region of persistent memory that a text describes: a memory map, or a listing of a machine's parts.

use super::{HOST, NearbyMemory};
use crate::map::inventory::{Inventory, Region, RegionKind, Span};
use crate::map::{Kind, MapRange, Reading};
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::region::RegionAlign;
use thiserror::Error;

/// A region that a text describes, and the memory around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedRegion {
    /// Name, e.g. `region0`.
    pub name: String,
    /// Physical address of its first byte; `None` if the text states only its size.
    pub start: Option<u64>,
    /// True if its start is an assumption.
    pub is_start_assumed: bool,
    /// Size in bytes, not 0.
    pub size: u64,
    /// Bytes that no namespace has, if the text states it.
    pub available: Option<u64>,
    /// Alignment of its namespaces, and the number of its DIMMs. The alignment is the kernel's default if
    /// the text does not state it.
    pub align: RegionAlign,
    /// RAM and other regions.
    pub nearby: NearbyMemory,
}

/// Why a text does not describe the region.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DescriptionError {
    /// It describes no region of persistent memory.
    #[error("{origin} describes no region of persistent memory{}", others(volatile))]
    NoRegions {
        /// Where the text comes from.
        origin: String,
        /// Names of its regions of volatile memory.
        volatile: Vec<String>,
    },
    /// It describes several regions, and none is chosen.
    #[error("{origin} describes {} regions of persistent memory; choose one: --region-name {}", names.len(), names.join(" or "))]
    Several {
        /// Where the text comes from.
        origin: String,
        /// Their names.
        names: Vec<String>,
    },
    /// It describes no region with this name.
    #[error("{origin} describes no region of persistent memory {name:?}; it has {}", names.join(", "))]
    Unknown {
        /// Where the text comes from.
        origin: String,
        /// The name.
        name: String,
        /// Names of the regions that it describes.
        names: Vec<String>,
    },
    /// It states the size of the region only.
    #[error(
        "{name} has {}, but {origin} does not state its physical address; add the /proc/iomem of the machine to it, or \
         give the address: --start for plan, --at for check and create",
        ByteSize(*size)
    )]
    NoStart {
        /// Where the text comes from.
        origin: String,
        /// Name of the region.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The region is empty, or exceeds the largest physical address space.
    #[error("{name} has {} at {start:#x}, which is empty or ends above 2^56", ByteSize(*size))]
    Range {
        /// Name of the region.
        name: String,
        /// Physical address of its first byte.
        start: u64,
        /// Its size in bytes.
        size: u64,
    },
}

fn others(volatile: &[String]) -> String {
    match volatile {
        [] => String::new(),
        names => format!("; {} is volatile memory, which has no namespaces", names.join(", ")),
    }
}

/// The regions of persistent memory that a text describes. If it names none, the ranges of persistent
/// memory in its map are `region0`, `region1`, …, in order of their addresses.
pub fn regions(reading: &Reading) -> Vec<DescribedRegion> {
    let named = reading.inventory.regions.iter().filter(|region| region.kind == RegionKind::Persistent);
    let named: Vec<_> = named.filter_map(|region| from_inventory(region, reading)).collect();
    if !named.is_empty() {
        return named;
    }
    let ranges = reading.map.ranges.iter().filter(|range| range.kind == Kind::Persistent);
    let spans = ranges.filter_map(|range| Some((range, Span::new(range.start, range.end)?)));
    let region = |(nr, (range, span)): (usize, (&MapRange, Span))| DescribedRegion {
        name: format!("region{nr}"),
        start: Some(span.start),
        is_start_assumed: range.base_assumed,
        size: span.bytes(),
        available: None,
        align: RegionAlign::default_for(span.bytes(), 1, HOST.page_bytes),
        nearby: nearby(reading, Some(span)),
    };
    spans.enumerate().map(region).collect()
}

/// The region with a name; without a name the only one.
///
/// # Errors
/// [`DescriptionError`]: there is no such region, or there are several.
pub fn find_region(reading: &Reading, name: Option<&str>) -> Result<DescribedRegion, DescriptionError> {
    let origin = reading.map.origin.clone();
    let mut regions = regions(reading);
    let names: Vec<String> = regions.iter().map(|region| region.name.clone()).collect();
    let position = match (name, regions.len()) {
        (_, 0) => return Err(DescriptionError::NoRegions { origin, volatile: volatile(&reading.inventory) }),
        (None, 1) => Some(0),
        (None, _) => return Err(DescriptionError::Several { origin, names }),
        (Some(name), _) => names.iter().position(|other| other == name),
    };
    match (position, name) {
        (Some(at), _) => Ok(regions.swap_remove(at)),
        (None, name) => Err(DescriptionError::Unknown { origin, name: name.unwrap_or_default().to_owned(), names }),
    }
}

impl DescribedRegion {
    /// Its physical range; `start` replaces the start that the text states.
    ///
    /// # Errors
    /// No start is known, or the range exceeds the physical address space. `origin` says where the text
    /// comes from.
    pub fn extent(&self, start: Option<u64>, origin: &str) -> Result<Extent, DescriptionError> {
        let (name, size) = (self.name.clone(), self.size);
        let Some(start) = start.or(self.start) else {
            return Err(DescriptionError::NoStart { origin: origin.to_owned(), name, size });
        };
        Extent::new(start, size).ok_or(DescriptionError::Range { name, start, size })
    }

    /// Size in bytes of a namespace that uses as much of the region as its alignment allows; 0 if there is
    /// none.
    pub fn largest_namespace(&self) -> u64 {
        self.size - self.size.checked_rem(self.align.bytes).unwrap_or(0)
    }
}

fn volatile(inventory: &Inventory) -> Vec<String> {
    let volatile = inventory.regions.iter().filter(|region| region.kind == RegionKind::Volatile);
    volatile.map(|region| region.name.clone()).collect()
}

/// `None` for a region without memory.
fn from_inventory(region: &Region, reading: &Reading) -> Option<DescribedRegion> {
    let size = region.span.map_or(region.bytes, Span::bytes);
    let mappings = match region.mappings.len() as u64 {
        0 => region.ways.unwrap_or(1),
        nr => nr,
    };
    let mappings = u16::try_from(mappings).unwrap_or(u16::MAX);
    let align = match region.align {
        Some(align) if align > 0 => RegionAlign::new(align, mappings),
        _ => RegionAlign::default_for(size, mappings, HOST.page_bytes),
    };
    (size > 0).then(|| DescribedRegion {
        name: region.name.clone(),
        start: region.span.map(|span| span.start),
        is_start_assumed: region.base_assumed,
        size,
        available: region.available_bytes.filter(|available| *available <= region.bytes),
        align,
        nearby: nearby(reading, region.span),
    })
}

/// RAM and other regions: what the map and the inventory have outside `region`. What is inside consists of
/// the region's own memory, under another name.
fn nearby(reading: &Reading, region: Option<Span>) -> NearbyMemory {
    let outside = |span: Span| match region {
        Some(region) => {
            [Span::new(span.start, span.end.min(region.start)), Span::new(span.start.max(region.end), span.end)]
        }
        None => [Some(span), None],
    };
    let extents = |spans: &mut dyn Iterator<Item = Span>| -> Vec<Extent> {
        let outside = spans.flat_map(outside).flatten();
        outside.filter_map(|span| Extent::new(span.start, span.bytes())).collect()
    };
    let ranges = |is_meant: fn(Kind) -> bool| {
        let ranges = reading.map.ranges.iter().filter(move |range| is_meant(range.kind));
        ranges.filter_map(|range| Span::new(range.start, range.end))
    };
    let ram = extents(&mut ranges(|kind| matches!(kind, Kind::Ram | Kind::HotplugRam)));
    let mut regions = extents(&mut ranges(|kind| matches!(kind, Kind::Persistent | Kind::SoftReserved)));
    let named = extents(&mut reading.inventory.regions.iter().filter_map(|region| region.span));
    for extent in named {
        let is_within = |other: &Extent| other.start <= extent.start && extent.end() <= other.end();
        if !regions.iter().any(is_within) {
            regions.push(extent);
        }
    }
    NearbyMemory { ram, regions }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::PhysicalMap;
    use crate::map::inventory::Mapping;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn range(start: u64, size: u64, kind: Kind) -> MapRange {
        MapRange { start, end: start + size, kind, node: None, base_assumed: false }
    }

    fn region(name: &str, start: u64, bytes: u64) -> Region {
        Region {
            name: name.to_owned(),
            span: Span::new(start, start + bytes),
            base_assumed: false,
            bytes,
            kind: RegionKind::Persistent,
            enabled: true,
            available_bytes: None,
            align: None,
            ways: None,
            mappings: Vec::new(),
            node: None,
            sources: Vec::new(),
        }
    }

    fn reading(ranges: Vec<MapRange>, regions: Vec<Region>) -> Reading {
        let map = PhysicalMap { name: "x".into(), origin: "the file x".into(), ranges, warnings: Vec::new() };
        Reading { inventory: Inventory { regions, ..Inventory::default() }, ..Reading::of_map(map) }
    }

    #[test]
    fn an_interleaved_region_has_the_alignment_of_its_dimms() {
        let mapping = |nr: u64| Mapping { dimm: format!("nmem{nr}"), bytes: None };
        let six = Region { mappings: (0..6).map(mapping).collect(), ..region("region0", 4 * GIB, 756 * GIB) };
        let found = |one: Region| find_region(&reading(Vec::new(), vec![one]), None).unwrap();
        assert_eq!(found(six.clone()).align, RegionAlign::new(96 * MIB, 6));
        assert_eq!(found(six.clone()).largest_namespace(), 756 * GIB - 756 * GIB % (96 * MIB));
        // What the text states counts more than the default.
        assert_eq!(found(Region { align: Some(12 * MIB), ..six }).align, RegionAlign::new(12 * MIB, 6));
        let ways = Region { ways: Some(3), ..region("region0", 4 * GIB, 6 * GIB) };
        assert_eq!(found(ways).align, RegionAlign::new(48 * MIB, 3));
    }

    #[test]
    fn neighbours_are_what_is_outside_the_region() {
        let ranges = vec![
            range(0, 4 * GIB, Kind::Ram),
            range(4 * GIB, 8 * GIB, Kind::Persistent),
            // A device of the first region that a driver made RAM of.
            range(5 * GIB, GIB, Kind::HotplugRam),
            range(20 * GIB, GIB, Kind::SoftReserved),
            range(30 * GIB, GIB, Kind::Window),
        ];
        let regions = vec![region("region0", 4 * GIB, 4 * GIB), region("region1", 8 * GIB, 4 * GIB)];
        let reading = reading(ranges, regions);
        let first = find_region(&reading, Some("region0")).unwrap();
        assert_eq!(first.nearby.ram, [Extent { start: 0, size: 4 * GIB }]);
        let others = [Extent { start: 8 * GIB, size: 4 * GIB }, Extent { start: 20 * GIB, size: GIB }];
        assert_eq!(first.nearby.regions, others);
        let second = find_region(&reading, Some("region1")).unwrap();
        assert_eq!(second.nearby.ram.len(), 2);
        assert_eq!(second.nearby.regions[0], Extent { start: 4 * GIB, size: 4 * GIB });
    }

    #[test]
    fn ranges_of_a_map_are_regions_if_the_text_names_none() {
        let ranges = vec![range(0, GIB, Kind::Ram), range(4 * GIB, GIB, Kind::Persistent), {
            MapRange { base_assumed: true, ..range(8 * GIB, GIB, Kind::Persistent) }
        }];
        let reading = reading(ranges, Vec::new());
        let error = find_region(&reading, None).unwrap_err().to_string();
        assert_eq!(
            error,
            "the file x describes 2 regions of persistent memory; choose one: --region-name region0 or region1"
        );
        let second = find_region(&reading, Some("region1")).unwrap();
        assert_eq!((second.start, second.size, second.is_start_assumed), (Some(8 * GIB), GIB, true));
        assert_eq!(second.align, RegionAlign::from(16 * MIB));
        assert_eq!(second.nearby.regions, [Extent { start: 4 * GIB, size: GIB }]);
        let error = find_region(&reading, Some("region7")).unwrap_err().to_string();
        assert!(error.contains("\"region7\"; it has region0, region1"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_an_error() {
        let volatile = Region { kind: RegionKind::Volatile, ..region("region9", 4 * GIB, GIB) };
        let error = find_region(&reading(Vec::new(), vec![volatile]), None).unwrap_err().to_string();
        assert!(error.contains("no region") && error.contains("region9 is volatile"), "{error}");
        let unplaced = Region { span: None, ..region("region0", 0, GIB) };
        let found = find_region(&reading(Vec::new(), vec![unplaced]), None).unwrap();
        let error = found.extent(None, "the file x").unwrap_err().to_string();
        assert!(error.contains("does not state its physical address") && error.contains("--start"), "{error}");
        assert_eq!(found.extent(Some(4 * GIB), "x"), Ok(Extent { start: 4 * GIB, size: GIB }));
        assert!(matches!(found.extent(Some(u64::MAX), "x"), Err(DescriptionError::Range { .. })));
        // Nothing panics on the largest numbers.
        let huge = Region { ways: Some(u64::MAX), bytes: u64::MAX, span: None, ..region("region0", 0, GIB) };
        let found = find_region(&reading(Vec::new(), vec![huge]), None).unwrap();
        assert!(found.largest_namespace() > 0 && found.extent(Some(0), "x").is_err());
    }
}
