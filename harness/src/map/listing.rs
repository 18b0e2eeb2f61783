//! What `pfnbench map --json` prints of a machine.

use super::coverage::Coverage;
use super::decoration::Undone;
use super::inventory::{BlockRange, Device, Dimm, Inventory, Namespace, Region, Span, Window};
use super::range::MapRange;
use super::reading::{Reading, Skipped, SourceLines, UnknownLine, UnusedPart};
use schemars::JsonSchema;
use serde::Serialize;

/// A machine as JSON. Addresses and sizes are in bytes; `end` is excluded. It can be read again as a
/// map.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MachineListing {
    /// Short name.
    pub name: String,
    /// One-line description of where the text comes from.
    pub origin: String,
    /// Bytes of RAM that is present at boot.
    pub ram_bytes: u64,
    /// One past the highest byte of memory.
    pub end: u64,
    /// Ranges of memory, sorted. Each byte is in one range: RAM that a driver made of a device is not in
    /// the range of the device.
    pub ranges: Vec<MapRange>,
    /// Windows: addresses in which memory may appear.
    pub windows: Vec<Window>,
    /// The parts of windows that nothing uses.
    pub unused: Vec<UnusedPart>,
    /// Addresses that SRAT reserves for memory that may be added.
    pub hotplug_windows: Vec<Span>,
    /// Capacity that nothing uses.
    pub free: Vec<FreeCapacity>,
    /// DIMMs and CXL expanders.
    pub dimms: Vec<Dimm>,
    /// Regions.
    pub regions: Vec<Region>,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// DAX devices.
    pub devices: Vec<Device>,
    /// Memory blocks.
    pub blocks: Vec<BlockRange>,
    /// Size of a memory block in bytes, if the text states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_bytes: Option<u64>,
    /// RAM by NUMA node.
    pub nodes: Vec<NodeRam>,
    /// RAM by section.
    pub sections: Sections,
    /// Address ranges below `end` without memory.
    pub holes: Vec<Span>,
    /// The listings of the text.
    pub sources: Vec<SourceLines>,
    /// Decorations that were undone.
    pub undone: Vec<Undone>,
    /// Lines that are known and say nothing of memory.
    pub skipped: Vec<Skipped>,
    /// Lines that were not understood.
    pub not_understood: Vec<UnknownLine>,
    /// Statements of sources that contradict each other.
    pub contradictions: Vec<String>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Capacity that nothing uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FreeCapacity {
    /// Name of the expander, region or block that has it.
    pub of: String,
    /// Bytes.
    pub bytes: u64,
    /// Why it is free.
    pub cause: FreeCause,
}

/// Why capacity is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FreeCause {
    /// No region uses the expander or DIMM.
    NoRegion,
    /// No namespace uses this part of a region.
    NoNamespace,
    /// The region is disabled.
    RegionDisabled,
    /// The memory blocks are not configured.
    NotConfigured,
}

/// RAM of a NUMA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeRam {
    /// Number of the node.
    pub node: u8,
    /// Bytes of RAM that is present at boot.
    pub ram_bytes: u64,
}

/// How RAM is distributed over sections and sub-sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sections {
    /// Architecture whose sections are counted.
    pub architecture: &'static str,
    /// Number of sections with RAM.
    pub with_ram: u64,
    /// Number of sections that are only partly RAM.
    pub in_part: u64,
    /// Number of sub-sections with RAM.
    pub subsections_with_ram: u64,
    /// Number of sub-sections that are only partly RAM.
    pub subsections_in_part: u64,
}

/// Bytes of memory in windows that belongs to no region: the firmware has mapped it, or it is known only as
/// soft reserved.
fn outside_regions(reading: &Reading) -> u64 {
    let Inventory { windows, regions, .. } = &reading.inventory;
    let windows: Coverage = windows.iter().map(|window| window.span).collect();
    let of_regions = regions.iter().filter(|region| region.enabled).filter_map(|region| region.span);
    let of_regions: Coverage = of_regions.collect();
    let memory = reading.map.disjoint().into_iter().filter(|range| !range.base_assumed).map(|range| range.span());
    let outside = memory.flat_map(|span| of_regions.gaps(span));
    let bytes = outside.map(|span| {
        let inside = windows.overlapping(span).filter_map(|window| window.intersect(span));
        inside.map(Span::bytes).fold(0, u64::saturating_add)
    });
    bytes.fold(0, u64::saturating_add)
}

/// The capacity of a machine that nothing uses, apart from the addresses of windows.
pub fn free_capacity(reading: &Reading) -> Vec<FreeCapacity> {
    let inventory = &reading.inventory;
    let free = |of: &str, bytes: u64, cause| (bytes > 0).then(|| FreeCapacity { of: of.to_owned(), bytes, cause });
    // A region that names no expanders may use any of them.
    let regions = inventory.regions.iter();
    // An expander gives each of its regions an equal share, if the listing does not state it.
    let named = |dimm: &str| {
        let shares = regions.clone().filter(|region| region.enabled).flat_map(|region| {
            let equal = region.bytes.checked_div(region.mappings.len() as u64).unwrap_or(0);
            let of_dimm = region.mappings.iter().filter(move |mapping| mapping.dimm == dimm);
            of_dimm.map(move |mapping| mapping.bytes.unwrap_or(equal))
        });
        shares.fold(None, |sum: Option<u64>, share| Some(sum.unwrap_or(0).saturating_add(share)))
    };
    let unnamed = regions.clone().filter(|region| region.enabled && region.mappings.is_empty());
    let unnamed = unnamed.fold(0, |sum: u64, region| sum.saturating_add(region.bytes));
    let mut taken = unnamed.saturating_add(outside_regions(reading));
    let dimms = inventory.dimms.iter().filter_map(|dimm| {
        let bytes = dimm.volatile_bytes.saturating_add(dimm.persistent_bytes);
        let of_region = named(&dimm.name).unwrap_or_else(|| {
            let share = taken.min(bytes);
            taken -= share;
            share
        });
        free(&dimm.name, bytes.saturating_sub(of_region), FreeCause::NoRegion)
    });
    let mut all: Vec<FreeCapacity> = dimms.collect();
    all.extend(inventory.regions.iter().filter_map(|region| match region.enabled {
        true => free(&region.name, region.available_bytes.unwrap_or(0).min(region.bytes), FreeCause::NoNamespace),
        // An expander in no region has the capacity already.
        false if !inventory.dimms.is_empty() && region.mappings.is_empty() => None,
        false => free(&region.name, region.bytes, FreeCause::RegionDisabled),
    }));
    all.extend(inventory.blocks.iter().filter(|block| !block.configured).filter_map(|block| {
        let name = format!("memory blocks at {:#x}", block.span.start);
        free(&name, block.span.bytes(), FreeCause::NotConfigured)
    }));
    all
}

impl MachineListing {
    /// The listing of a reading, with what was counted of it.
    pub fn new(
        reading: &Reading,
        warnings: Vec<String>,
        nodes: Vec<NodeRam>,
        sections: Sections,
        holes: Vec<Span>,
    ) -> Self {
        let Reading { map, inventory, .. } = reading;
        let Inventory { dimms, windows, regions, namespaces, devices, blocks, block_bytes } = inventory.clone();
        Self {
            name: map.name.clone(),
            origin: map.origin.clone(),
            ram_bytes: map.ram_bytes(),
            end: map.end(),
            ranges: map.disjoint(),
            windows,
            unused: reading.unused.clone(),
            hotplug_windows: reading.hotplug_windows.clone(),
            free: free_capacity(reading),
            dimms,
            regions,
            namespaces,
            devices,
            blocks,
            block_bytes,
            nodes,
            sections,
            holes,
            sources: reading.sources.clone(),
            undone: reading.undone.clone(),
            skipped: reading.skipped.clone(),
            not_understood: reading.unknown.clone(),
            contradictions: reading.contradictions.clone(),
            warnings,
        }
    }
}
