//! The ranges of a machine that can lose memory to the block size, each once.

use crate::map::inventory::{Inventory, RegionKind, Span};
use crate::map::{Kind, PhysicalMap};
use serde::Serialize;
use std::fmt;

/// The kind of a range that can strand. The first kinds describe memory more exactly: a device in a region
/// stands for the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateKind {
    /// A range that was given by hand.
    Given,
    /// RAM that is present at boot. The kernel does not cut it; it is here only if asked for.
    Ram,
    /// A range of a DAX device.
    Device,
    /// A region of persistent memory.
    PersistentRegion,
    /// A region of RAM of CXL expanders.
    VolatileRegion,
    /// Soft-reserved memory that no device or region covers.
    SoftReserved,
    /// Persistent memory that no device or region covers.
    Persistent,
    /// RAM that a driver added: it has been cut already.
    HotplugRam,
    /// A window without memory in it.
    Window,
}

impl fmt::Display for CandidateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Given => "given",
            Self::Ram => "boot RAM",
            Self::Device => "DAX device",
            Self::PersistentRegion => "pmem region",
            Self::VolatileRegion => "CXL region",
            Self::SoftReserved => "soft reserved",
            Self::Persistent => "pmem",
            Self::HotplugRam => "hot-added RAM",
            Self::Window => "window",
        })
    }
}

/// A range that loses what is not a whole memory block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its name, e.g. `dax0.0`; `None` if no source names it.
    pub name: Option<String>,
    /// Its kind.
    pub kind: CandidateKind,
    /// Its addresses.
    #[serde(flatten)]
    pub span: Span,
    /// True if the start was assumed: the loss depends on it.
    pub base_assumed: bool,
}

impl Candidate {
    /// A range that was given by hand.
    pub fn given(span: Span) -> Self {
        Self { name: None, kind: CandidateKind::Given, span, base_assumed: false }
    }
}

/// The ranges of a machine that can lose memory, and what cannot be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Candidates {
    /// The ranges, sorted by address. None overlaps another.
    pub ranges: Vec<Candidate>,
    /// Parts of windows, regions and ranges beside the ranges in them: free capacity, headers and records.
    /// They are not judged, because they are no range that could be added.
    pub beside: Vec<Candidate>,
    /// Regions and devices without a known start.
    pub unplaced: Vec<String>,
}

impl Candidates {
    /// Finds the ranges in a map and an inventory: DAX devices, regions, soft-reserved and persistent memory,
    /// added RAM and windows; with `with_ram`, boot RAM too. Where ranges overlap, the one that describes the
    /// memory more exactly counts, and what is left of the other is in [`beside`](Self::beside).
    pub fn new(map: &PhysicalMap, inventory: &Inventory, with_ram: bool) -> Self {
        let (mut told, unplaced) = of_inventory(inventory);
        told.extend(map.ranges.iter().filter_map(|range| {
            let kind = match range.kind {
                Kind::Ram => Some(CandidateKind::Ram).filter(|_| with_ram)?,
                Kind::HotplugRam => CandidateKind::HotplugRam,
                Kind::Persistent => CandidateKind::Persistent,
                Kind::SoftReserved => CandidateKind::SoftReserved,
                Kind::Window => CandidateKind::Window,
            };
            let span = Span::new(range.start, range.end)?;
            Some(Candidate { name: None, kind, span, base_assumed: range.base_assumed })
        }));
        // Of ranges of one kind, the first and longest counts.
        told.sort_by_key(|told| (told.kind, told.span.start, std::cmp::Reverse(told.span.end), told.name.is_none()));
        let (mut ranges, mut dropped) = (Vec::new(), Vec::new());
        for candidate in told {
            if without(candidate.span, &ranges) == [candidate.span] {
                insert(&mut ranges, candidate);
            } else {
                dropped.push(candidate);
            }
        }
        let mut beside = Vec::new();
        for candidate in dropped {
            let parts = without(candidate.span, &ranges);
            for part in parts.into_iter().flat_map(|part| without(part, &beside)).collect::<Vec<Span>>() {
                insert(&mut beside, Candidate { span: part, ..candidate.clone() });
            }
        }
        Self { ranges, beside, unplaced }
    }

    /// Total length of the ranges in bytes.
    pub fn bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.span.bytes()).sum()
    }
}

fn of_inventory(inventory: &Inventory) -> (Vec<Candidate>, Vec<String>) {
    let (mut told, mut unplaced) = (Vec::new(), Vec::new());
    for device in &inventory.devices {
        if device.spans.is_empty() {
            unplaced.push(device.name.clone());
        }
        let (name, kind) = (Some(device.name.clone()), CandidateKind::Device);
        told.extend(device.spans.iter().map(|&span| Candidate { name: name.clone(), kind, span, base_assumed: false }));
    }
    for region in &inventory.regions {
        let kind = match region.kind {
            RegionKind::Persistent => CandidateKind::PersistentRegion,
            RegionKind::Volatile => CandidateKind::VolatileRegion,
        };
        match region.span {
            Some(span) => {
                let name = Some(region.name.clone());
                told.push(Candidate { name, kind, span, base_assumed: region.base_assumed });
            }
            None => unplaced.push(region.name.clone()),
        }
    }
    told.extend(inventory.windows.iter().map(|window| Candidate {
        name: Some(window.name.clone()),
        kind: CandidateKind::Window,
        span: window.span,
        base_assumed: false,
    }));
    told.retain(|candidate| candidate.span.start < candidate.span.end);
    (told, unplaced)
}

/// The parts of a range that none of the sorted, disjoint ranges covers.
fn without(span: Span, ranges: &[Candidate]) -> Vec<Span> {
    let first = ranges.partition_point(|range| range.span.end <= span.start);
    let (mut left, mut at) = (Vec::new(), span.start);
    for range in ranges[first..].iter().take_while(|range| range.span.start < span.end) {
        left.extend(Span::new(at, range.span.start));
        at = at.max(range.span.end);
    }
    left.extend(Span::new(at, span.end));
    left
}

/// Inserts a range into sorted, disjoint ones that it does not overlap.
fn insert(ranges: &mut Vec<Candidate>, candidate: Candidate) {
    let at = ranges.partition_point(|range| range.span.start < candidate.span.start);
    ranges.insert(at, candidate);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::map::MapRange;
    use crate::map::inventory::{Device, Region, Window};
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    pub(crate) fn span(start: u64, end: u64) -> Span {
        Span::new(start, end).unwrap()
    }

    pub(crate) fn map(ranges: &[(u64, u64, Kind)]) -> PhysicalMap {
        let range = |&(start, end, kind)| MapRange { start, end, kind, node: None, base_assumed: false };
        let ranges = ranges.iter().map(range).collect();
        PhysicalMap { name: "m".into(), origin: "test".into(), ranges, warnings: Vec::new() }
    }

    pub(crate) fn window(start: u64, end: u64) -> Window {
        Window {
            name: format!("window {start:#x}"),
            span: span(start, end),
            available_bytes: None,
            ways: None,
            sources: Vec::new(),
        }
    }

    pub(crate) fn region(name: &str, at: Option<Span>, kind: RegionKind) -> Region {
        Region {
            name: name.into(),
            span: at,
            base_assumed: false,
            bytes: at.map_or(GIB, Span::bytes),
            kind,
            enabled: true,
            available_bytes: None,
            align: None,
            ways: None,
            mappings: Vec::new(),
            node: None,
            sources: Vec::new(),
        }
    }

    pub(crate) fn device(name: &str, spans: Vec<Span>) -> Device {
        Device {
            region: None,
            name: name.into(),
            bytes: spans.iter().map(|span| span.bytes()).sum(),
            spans,
            is_ram: true,
            enabled: true,
            align: None,
            node: None,
            online_blocks: None,
            total_blocks: None,
            sources: Vec::new(),
        }
    }

    #[test]
    fn a_device_in_a_region_in_a_window_is_one_thing() {
        let all = span(8 * GIB, 16 * GIB);
        let inventory = Inventory {
            windows: vec![window(8 * GIB, 24 * GIB)],
            regions: vec![region("region0", Some(all), RegionKind::Volatile)],
            devices: vec![device("dax0.0", vec![all])],
            ..Inventory::default()
        };
        let told = [(8 * GIB, 16 * GIB, Kind::SoftReserved), (9 * GIB, 16 * GIB, Kind::HotplugRam)];
        let found = Candidates::new(&map(&told), &inventory, false);
        let names: Vec<_> = found.ranges.iter().map(|range| (range.name.as_deref(), range.span)).collect();
        assert_eq!(names, [(Some("dax0.0"), all)]);
        let beside: Vec<_> = found.beside.iter().map(|range| (range.kind, range.span)).collect();
        assert_eq!(beside, [(CandidateKind::Window, span(16 * GIB, 24 * GIB))], "free capacity is not judged");
    }

    #[test]
    fn the_header_of_a_region_is_beside_its_device() {
        let region_span = span(0x1_4000_0000, 0x3_4000_0000);
        let inventory = Inventory {
            regions: vec![region("region0", Some(region_span), RegionKind::Persistent)],
            devices: vec![device("dax0.0", vec![span(0x1_4820_0000, 0x3_4000_0000)])],
            ..Inventory::default()
        };
        let found = Candidates::new(&map(&[(0x1_4000_0000, 0x3_4000_0000, Kind::Persistent)]), &inventory, false);
        assert_eq!(found.ranges.len(), 1);
        assert_eq!(found.beside.iter().map(|part| part.span.bytes() >> 20).collect::<Vec<_>>(), [130]);
    }

    #[test]
    fn what_has_no_start_is_named() {
        let inventory = Inventory {
            regions: vec![region("region7", None, RegionKind::Persistent)],
            devices: vec![device("dax7.0", Vec::new())],
            ..Inventory::default()
        };
        let found = Candidates::new(&map(&[(0, GIB, Kind::Ram)]), &inventory, false);
        assert_eq!((found.ranges.len(), found.unplaced), (0, vec!["dax7.0".to_owned(), "region7".to_owned()]));
    }

    #[test]
    fn boot_ram_is_included_only_if_asked_for() {
        let told = map(&[(0, GIB, Kind::Ram), (4 * GIB, 5 * GIB, Kind::Persistent)]);
        let kinds = |with_ram| {
            let found = Candidates::new(&told, &Inventory::default(), with_ram);
            found.ranges.iter().map(|range| range.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(false), [CandidateKind::Persistent]);
        assert_eq!(kinds(true), [CandidateKind::Ram, CandidateKind::Persistent]);
    }

    proptest! {
        #[test]
        fn no_byte_is_counted_twice_and_none_is_lost(
            told in prop::collection::vec((0u64..64, 1u64..16, 0usize..5), 0..12),
        ) {
            let kinds = [Kind::Ram, Kind::HotplugRam, Kind::Persistent, Kind::SoftReserved, Kind::Window];
            let told: Vec<_> = told.iter().map(|&(start, len, kind)| (start, start + len, kinds[kind])).collect();
            let found = Candidates::new(&map(&told), &Inventory::default(), true);
            let every = || found.ranges.iter().chain(&found.beside);
            for byte in 0..80 {
                let covers = |range: &&Candidate| range.span.start <= byte && byte < range.span.end;
                let expected = told.iter().any(|&(start, end, _)| start <= byte && byte < end);
                prop_assert_eq!(every().filter(covers).count(), usize::from(expected), "byte {}", byte);
            }
            prop_assert!(found.ranges.is_sorted_by_key(|range| range.span.start));
        }
    }
}
