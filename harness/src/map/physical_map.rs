//! The physical memory map of a machine, and what follows from its ranges.

use super::kind::Kind;
use super::range::MapRange;
use memmap_layouts::{BootError, BootMap, BootRange, ByteSize, PfnRange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};

/// The physical memory map of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PhysicalMap {
    /// Short name for reports.
    pub name: String,
    /// One-line description of where the map comes from.
    pub origin: String,
    /// The memory ranges, sorted; adjacent RAM of one node is merged.
    pub ranges: Vec<MapRange>,
    /// Warnings about the text, e.g. on assumptions that were made.
    pub warnings: Vec<String>,
}

impl PhysicalMap {
    /// The memory that is present at boot, in whole pages.
    ///
    /// # Errors
    /// Ranges overlap. Maps from [`read`](crate::map::read) never do; a map built by hand may.
    pub fn boot_map(&self) -> Result<BootMap, BootError> {
        let boot = self.ranges.iter().filter(|range| range.kind == Kind::Ram);
        BootMap::new(boot.filter_map(|range| Some(BootRange { range: range.pages()?, node: range.node.unwrap_or(0) })))
    }

    /// The ranges that are added after boot, without those inside another: RAM that a driver made
    /// of a device is part of the device.
    fn outermost_added(&self) -> impl Iterator<Item = &MapRange> {
        let added = || self.ranges.iter().filter(|range| range.kind.is_added());
        let is_device = |range: &MapRange| range.kind != Kind::HotplugRam;
        // Outer ranges come first, and of equal ones the devices.
        let mut sorted: Vec<(u64, Reverse<u64>, bool)> =
            added().map(|range| (range.start, Reverse(range.end), !is_device(range))).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut inner: HashSet<(u64, u64, bool)> = HashSet::new();
        // The last of the ranges with the highest end so far.
        let mut outer: Option<(u64, Reverse<u64>, bool)> = None;
        for range in sorted {
            if outer.is_some_and(|outer| outer.1.0 >= range.1.0) {
                inner.insert((range.0, range.1.0, range.2));
            } else {
                outer = Some(range);
            }
        }
        added().filter(move |range| !inner.contains(&(range.start, range.end, !is_device(range))))
    }

    /// The ranges that are added after boot, in whole pages.
    pub fn added(&self) -> Vec<PfnRange> {
        self.outermost_added().filter_map(MapRange::pages).collect()
    }

    /// The ranges with memory, without windows, so that each byte is in one of them: of ranges that nest,
    /// the inner one has the byte. Sorted.
    pub fn disjoint(&self) -> Vec<MapRange> {
        disjoint(&self.ranges)
    }

    /// RAM that is added after boot, in whole pages.
    pub fn added_ram(&self) -> Vec<PfnRange> {
        self.ranges.iter().filter(|range| range.kind == Kind::HotplugRam).filter_map(MapRange::pages).collect()
    }

    /// One past the highest byte of memory.
    pub fn end(&self) -> u64 {
        self.ranges.iter().map(|range| range.end).max().unwrap_or(0)
    }

    /// Bytes of memory that is present at boot.
    pub fn ram_bytes(&self) -> u64 {
        let ram = self.ranges.iter().filter(|range| range.kind == Kind::Ram);
        ram.map(|range| range.end - range.start).sum()
    }

    /// Number of sections of `section_bytes` that contain boot memory.
    pub fn nr_sections(&self, section_bytes: u64) -> u64 {
        let (mut count, mut next) = (0, 0);
        for range in self.ranges.iter().filter(|range| range.kind == Kind::Ram && range.start < range.end) {
            let (first, end) = ((range.start / section_bytes).max(next), range.end.div_ceil(section_bytes));
            count += end.saturating_sub(first);
            next = next.max(end);
        }
        count
    }

    /// A summary of the map in a few words.
    pub fn summary(&self) -> String {
        let bytes = |is_counted: &dyn Fn(&MapRange) -> bool| -> u64 {
            self.outermost_added().filter(|range| is_counted(range)).map(|range| range.span().bytes()).sum()
        };
        let added = bytes(&|range| range.kind != Kind::Window);
        let windows = bytes(&|range| range.kind == Kind::Window);
        let mut summary = format!("{} of RAM below {}", ByteSize(self.ram_bytes()), ByteSize(self.end()));
        if added > 0 {
            summary.push_str(&format!(", {} added later", ByteSize(added)));
        }
        if windows > 0 {
            summary.push_str(&format!(", windows of {} without memory", ByteSize(windows)));
        }
        summary
    }
}

/// [`PhysicalMap::disjoint`] of ranges.
pub(super) fn disjoint(ranges: &[MapRange]) -> Vec<MapRange> {
    let ranges: Vec<&MapRange> = ranges.iter().filter(|range| range.kind != Kind::Window).collect();
    // Of equal ranges, the use of a device counts more than the device.
    let rank = |range: &MapRange| (range.span().bytes(), range.kind != Kind::HotplugRam);
    let mut edges: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * ranges.len());
    for (nr, range) in ranges.iter().enumerate() {
        edges.extend([(range.start, true, nr), (range.end, false, nr)]);
    }
    edges.sort_unstable();
    let mut open: BTreeSet<(u64, bool, usize)> = BTreeSet::new();
    let mut parts: Vec<(usize, MapRange)> = Vec::new();
    let mut at = 0;
    for (place, begins, nr) in edges {
        if let Some((_, _, inner)) = open.first().filter(|_| at < place) {
            match parts.last_mut() {
                Some((last, part)) if last == inner && part.end == at => part.end = place,
                _ => parts.push((*inner, MapRange { start: at, end: place, ..ranges[*inner].clone() })),
            }
        }
        at = place;
        let (bytes, is_device) = rank(ranges[nr]);
        match begins {
            true => drop(open.insert((bytes, is_device, nr))),
            false => drop(open.remove(&(bytes, is_device, nr))),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}
