//! Who else is near the addresses of a message, by a map of the machine.

use super::SECTION_BYTES;
use super::place::Place;
use super::recognise::Recognised;
use crate::map::Reading;
use crate::map::inventory::{Inventory, Span};
use serde::Serialize;

/// The most neighbours that are listed.
const MOST_NEIGHBOURS: usize = 16;

/// How a range lies to the addresses of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It is the same range.
    Same,
    /// It contains the addresses.
    Contains,
    /// It lies within the addresses.
    Inside,
    /// It has a part of the addresses.
    Overlaps,
    /// It ends where the addresses start, or starts where they end.
    Touches,
    /// It ends below the addresses.
    Below,
    /// It starts above the addresses.
    Above,
}

/// A range of the map near the addresses of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// What it is, e.g. `RAM` or `namespace0.0`.
    pub name: String,
    /// Its addresses.
    pub span: Span,
    /// How it lies to the addresses.
    pub relation: Relation,
    /// Bytes between it and the addresses; 0 if they overlap or touch.
    pub distance_bytes: u64,
    /// True if a section of 128 MiB has bytes of both. False for a range that contains the addresses or lies
    /// within them: that shares sections by itself.
    pub shares_section: bool,
    /// The same for a memory block; `None` if the block size is unknown.
    pub shares_block: Option<bool>,
}

/// Ranges of the map that contain, overlap or touch the addresses of a line or share a section or memory
/// block with them, and the nearest on each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Neighbourhood {
    /// The addresses.
    pub span: Span,
    /// Where the addresses are from: `line`, or the name of a device that the map has.
    pub from: String,
    /// The addresses, rounded out to sections of 128 MiB.
    pub sections: Span,
    /// The addresses, rounded out to memory blocks; `None` if the block size is unknown.
    pub blocks: Option<Span>,
    /// The ranges, nearest first; at most 16.
    pub neighbours: Vec<Neighbour>,
    /// Number of further ranges.
    pub nr_more: usize,
}

/// A range rounded out to whole units. It is cut at the end of the address space.
fn rounded_out(span: Span, unit: u64) -> Span {
    let end = span.end.checked_next_multiple_of(unit).unwrap_or(u64::MAX);
    Span { start: span.start - span.start % unit, end }
}

/// All ranges of a reading with their names.
fn named(reading: &Reading) -> Vec<(String, Span)> {
    let Inventory { dimms: _, windows, regions, namespaces, devices, blocks, block_bytes: _ } = &reading.inventory;
    let ranges = reading.map.ranges.iter().map(|range| (range.kind.to_string(), Span::new(range.start, range.end)));
    let windows = windows.iter().map(|window| (window.name.clone(), Some(window.span)));
    let regions = regions.iter().map(|region| (region.name.clone(), region.span));
    let namespaces = namespaces.iter().map(|namespace| (namespace.name.clone(), namespace.span));
    let devices = devices.iter().flat_map(|device| device.spans.iter().map(|span| (device.name.clone(), Some(*span))));
    let blocks = blocks.iter().map(|blocks| {
        let state = match (blocks.configured, blocks.online) {
            (false, _) => "memory blocks, not configured",
            (true, true) => "memory blocks, online",
            (true, false) => "memory blocks, offline",
        };
        (state.to_owned(), Some(blocks.span))
    });
    let all = ranges.chain(windows).chain(regions).chain(namespaces).chain(devices).chain(blocks);
    all.filter_map(|(name, span)| Some((name, span.filter(|span| span.start < span.end)?))).collect()
}

fn relation(place: Span, other: Span) -> (Relation, u64) {
    if place == other {
        (Relation::Same, 0)
    } else if other.contains(place) {
        (Relation::Contains, 0)
    } else if place.contains(other) {
        (Relation::Inside, 0)
    } else if place.overlaps(other) {
        (Relation::Overlaps, 0)
    } else if other.end == place.start || other.start == place.end {
        (Relation::Touches, 0)
    } else if other.end < place.start {
        (Relation::Below, place.start - other.end)
    } else {
        (Relation::Above, other.start - place.end)
    }
}

/// The neighbours of a range, with the size of a memory block if it is known.
fn around(place: Span, from: String, block_bytes: Option<u64>, ranges: Vec<(String, Span)>) -> Neighbourhood {
    let sections = rounded_out(place, SECTION_BYTES);
    let blocks = block_bytes.filter(|bytes| *bytes > 0).map(|bytes| rounded_out(place, bytes));
    // One that has all of the addresses shares every unit with them by itself: that says nothing.
    let shares = |unit: Span, other: Span, relation| {
        !matches!(relation, Relation::Same | Relation::Contains | Relation::Inside) && unit.overlaps(other)
    };
    let mut neighbours: Vec<Neighbour> = ranges
        .into_iter()
        .map(|(name, span)| {
            let (relation, distance_bytes) = relation(place, span);
            let shares_section = shares(sections, span, relation);
            let shares_block = blocks.map(|blocks| shares(blocks, span, relation));
            Neighbour { name, span, relation, distance_bytes, shares_section, shares_block }
        })
        .collect();
    neighbours.sort_by_key(|other| (other.distance_bytes, other.relation, other.span.bytes()));
    let mut nearest = [Relation::Below, Relation::Above]
        .map(|side| neighbours.iter().filter(|other| other.relation == side).map(|other| other.distance_bytes).min());
    let mut keep = |other: &Neighbour| {
        let side = match other.relation {
            Relation::Below => &mut nearest[0],
            Relation::Above => &mut nearest[1],
            _ => return true,
        };
        // The nearest on each side is taken once.
        let is_nearest = *side == Some(other.distance_bytes);
        *side = side.filter(|_| !is_nearest);
        is_nearest || other.shares_section || other.shares_block == Some(true)
    };
    neighbours.retain(|other| keep(other));
    let nr_more = neighbours.len().saturating_sub(MOST_NEIGHBOURS);
    neighbours.truncate(MOST_NEIGHBOURS);
    Neighbourhood { span: place, from, sections, blocks, neighbours, nr_more }
}

/// The neighbours of the addresses in a line, or else of the devices that the line names, on a map. The
/// size of a memory block is that of the line, or else of the map. Empty if the line has no addresses and
/// names no device of the map.
pub fn neighbours(found: &Recognised, reading: &Reading) -> Vec<Neighbourhood> {
    let block_bytes = found.number("block").filter(|_| found.message.place.is_some()).or(reading.inventory.block_bytes);
    let ranges = named(reading);
    if let Some(Place { span, .. }) = found.place() {
        return vec![around(span, "line".to_owned(), block_bytes, ranges)];
    }
    let names = found.device_names();
    let is_named = |name: &str| names.contains(&name);
    let of_devices = ranges.iter().filter(|(name, _)| is_named(name)).cloned().collect::<Vec<_>>();
    let others = |name: &str| ranges.iter().filter(|(other, _)| other != name).cloned().collect();
    of_devices.into_iter().map(|(name, span)| around(span, name.clone(), block_bytes, others(&name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::inventory::Namespace;
    use crate::map::{self, Reading};
    use crate::message::recognise;

    fn reading(text: &str) -> Reading {
        map::read_machine("test", "a test", text).unwrap()
    }

    fn of_line(line: &str, reading: &Reading) -> Vec<Neighbourhood> {
        neighbours(&recognise(line).unwrap(), reading)
    }

    #[test]
    fn a_range_names_who_shares_its_section_and_its_block() {
        // RAM ends 64 MiB into the section in which the device starts; a second one is far above.
        let machine = reading(
            "100000000-13bffffff : System RAM\n13c000000-1ffffffff : Persistent Memory\n\
             800000000-8ffffffff : Persistent Memory\n",
        );
        let line = "Block size [0x80000000] unaligned hotplug range: start 0x13c000000, size 0x40000000";
        let found = of_line(line, &machine);
        let [Neighbourhood { neighbours, sections, blocks, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!((sections.start, sections.end), (0x1_3800_0000, 0x1_8000_0000));
        assert_eq!(blocks.map(|blocks| (blocks.start, blocks.end)), Some((0x1_0000_0000, 0x1_8000_0000)));
        let told: Vec<_> = neighbours
            .iter()
            .map(|other| (&*other.name, other.relation, other.shares_section, other.shares_block))
            .collect();
        assert_eq!(
            told,
            [
                ("persistent memory", Relation::Contains, false, Some(false)),
                ("RAM", Relation::Touches, true, Some(true)),
                ("persistent memory", Relation::Above, false, Some(false)),
            ]
        );
        assert_eq!(neighbours[2].distance_bytes, 0x8_0000_0000 - 0x1_7c00_0000);
    }

    #[test]
    fn a_device_that_the_map_names_stands_for_addresses() {
        let mut machine = reading("100000000-13bffffff : System RAM\n13c000000-1ffffffff : Persistent Memory\n");
        machine.inventory.namespaces.push(Namespace {
            name: "namespace1.0".to_owned(),
            region: None,
            span: Span::new(0x1_3c00_0000, 0x2_0000_0000),
            mode: None,
            enabled: true,
            records: None,
            bytes: 0xc400_0000,
            align: None,
            node: None,
            sources: Vec::new(),
        });
        let line = "nd_pmem pfn1.0: namespace1.0 alignment collision, truncate 67108864 bytes";
        let found = of_line(line, &machine);
        assert_eq!(found[0].from, "namespace1.0");
        let ram = found[0].neighbours.iter().find(|other| other.name == "RAM").unwrap();
        assert!(ram.shares_section && ram.shares_block.is_none() && ram.relation == Relation::Touches);
        assert!(of_line("nd_pmem pfn1.0: namespace7.0 alignment collision, truncate 1 bytes", &machine).is_empty());
    }

    #[test]
    fn many_ranges_are_counted_and_extreme_addresses_are_no_problem() {
        let islands: String =
            (0..40u64).map(|nr| format!("{:x}-{:x} : System RAM\n", nr << 20, (nr << 20) + 4095)).collect();
        let found = of_line("Unknown target node for memory at 0x80000, assuming node 0", &reading(&islands));
        assert_eq!((found[0].neighbours.len(), found[0].nr_more), (16, 24));
        let last = "kmem dax0.0: mapping0: 0xffffffff00000000-0xfffffffffffffffe memory add failed";
        let found = of_line(last, &reading(&islands));
        assert_eq!(found[0].neighbours.len(), 1, "the nearest below");
    }
}
