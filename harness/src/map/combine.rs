//! Combines the tables of a map file into one list of ranges.

use super::MAX_PHYS_BITS;
use super::coverage::Coverage;
use super::error::MapError;
use super::inventory::Span;
use super::kind::Kind;
use super::part::{Found, Table};
use super::range::MapRange;
use memmap_layouts::ByteSize;
use std::collections::HashMap;

/// Memory of which only the size is known.
#[derive(Clone, Debug)]
pub(super) struct NoBase {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) kind: Kind,
    pub(super) node: Option<u8>,
}

/// Checks that ranges nest or are apart.
///
/// # Errors
/// Two ranges overlap partly.
pub(super) fn no_partial_overlap(found: &[Found]) -> Result<(), MapError> {
    let mut sorted: Vec<&Found> = found.iter().collect();
    sorted.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    // The ranges that contain the current one, outermost first.
    let mut around: Vec<&Found> = Vec::new();
    for next in sorted {
        while around.last().is_some_and(|outer| outer.range.end <= next.range.start) {
            around.pop();
        }
        if let Some(outer) = around.last().filter(|outer| outer.range.end < next.range.end) {
            return Err(MapError::Overlap {
                line: next.line,
                second: next.range.clone(),
                first_line: outer.line,
                first: outer.range.clone(),
            });
        }
        around.push(next);
    }
    Ok(())
}

/// The RAM of the most trustworthy table, without what a still better table has as other memory.
/// Several parts may have that table; they are combined.
pub(super) fn best_table(
    tables: Vec<(Table, Vec<Found>)>,
    added: &[(Table, Vec<Found>)],
    warnings: &mut Vec<String>,
) -> Vec<MapRange> {
    let best = tables.iter().map(|(table, _)| *table).min();
    if best == Some(Table::NodeSpans) {
        warnings.push("the log gives only the spans of nodes; holes inside them count as RAM".to_owned());
    }
    let better = added.iter().filter(|(table, _)| Some(*table) < best).flat_map(|(_, found)| found);
    let other: Coverage =
        better.filter(|found| found.range.kind != Kind::Window).map(|found| found.range.span()).collect();
    let ranges = tables.into_iter().filter(|(table, _)| Some(*table) == best).flat_map(|(_, found)| found);
    let parts = ranges.flat_map(|Found { range, .. }| {
        let part = |Span { start, end }| MapRange { start, end, ..range.clone() };
        other.gaps(range.span()).into_iter().map(part).collect::<Vec<_>>()
    });
    parts.collect()
}

/// Removes regions of listings that exceed the persistent memory of `/proc/iomem` at the same start.
/// Returns what contradicts, as sentences.
pub(super) fn drop_contradicting(added: &mut [(Table, Vec<Found>)]) -> Vec<String> {
    let is_persistent = |found: &&Found| found.range.kind == Kind::Persistent;
    let of_iomem = added.iter().filter(|(table, _)| *table == Table::Iomem).flat_map(|(_, found)| found);
    let known: HashMap<u64, Found> =
        of_iomem.filter(is_persistent).map(|found| (found.range.start, found.clone())).collect();
    let mut told = Vec::new();
    for (_, found) in added.iter_mut().filter(|(table, _)| *table == Table::Devices) {
        found.retain(|found| match known.get(&found.range.start).filter(|_| is_persistent(&found)) {
            Some(known) if found.range.end > known.range.end => {
                let (first, second) = (&known.range, &found.range);
                told.push(format!(
                    "{first} in line {} and {second} in line {}; the first is used",
                    known.line, found.line
                ));
                false
            }
            _ => true,
        });
    }
    told
}

/// The memory that is added later. Each table adds what the previous ones do not contain and what
/// is not RAM. A window that contains known memory is left out.
pub(super) fn distinct_additions(mut tables: Vec<(Table, Vec<Found>)>, ram: &[MapRange]) -> Vec<MapRange> {
    tables.sort_by_key(|(table, _)| *table);
    let mut known: Coverage = ram.iter().map(MapRange::span).collect();
    let mut additions: Vec<MapRange> = Vec::new();
    for (_, found) in tables {
        // Ranges of one table may nest: RAM in a device, a device in a window.
        let before = additions.len();
        for Found { range, .. } in found {
            if range.kind != Kind::Window || !known.overlaps(range.span()) {
                let part = |Span { start, end }| MapRange { start, end, ..range.clone() };
                additions.extend(known.gaps(range.span()).into_iter().map(part));
            }
        }
        additions[before..].iter().for_each(|range| known.insert(range.span()));
    }
    let is_memory = |range: &MapRange| range.kind != Kind::Window;
    let memory: Coverage = additions.iter().filter(|range| is_memory(range)).map(MapRange::span).collect();
    additions.retain(|range| is_memory(range) || !memory.overlaps(range.span()));
    additions
}

/// Addresses that are free for memory of which only the size is known.
#[derive(Debug)]
pub(super) struct Places {
    taken: Coverage,
    /// Bytes and start of the last place. Before it, there is none for as many bytes or more.
    last: Option<(u64, u64)>,
    /// The fewest bytes that fitted nowhere.
    too_large: Option<u64>,
}

impl Places {
    /// The places around some ranges, and around others that are known not to be memory.
    pub(super) fn around(ranges: &[MapRange], others: impl Iterator<Item = Span>) -> Self {
        Self { taken: ranges.iter().map(MapRange::span).chain(others).collect(), last: None, too_large: None }
    }

    /// Assigns addresses: one after another from 4 GiB on, around existing ranges, on multiples of
    /// 2 MiB. Returns the range; `None` if it fits nowhere.
    pub(super) fn place(&mut self, memory: &NoBase, warnings: &mut Vec<String>) -> Option<MapRange> {
        let NoBase { line, name, bytes, kind, node } = memory;
        let size = ByteSize(*bytes);
        let Some(span) = self.next(*bytes) else {
            warnings.push(format!("line {line}: ignored {name}: its {size} do not fit below 2^{MAX_PHYS_BITS}"));
            return None;
        };
        let Span { start, end } = span;
        warnings.push(format!("line {line}: {name} has a size ({size}) but no address: base assumed at {start:#x}"));
        self.taken.insert(span);
        Some(MapRange { start, end, kind: *kind, node: *node, base_assumed: true })
    }

    fn next(&mut self, bytes: u64) -> Option<Span> {
        const STEP: u64 = 2 << 20;
        if self.too_large.is_some_and(|too_large| bytes >= too_large) {
            return None;
        }
        let mut start = self.last.filter(|(least, _)| bytes >= *least).map_or(4 << 30, |(_, start)| start);
        loop {
            let end = start.checked_add(bytes).filter(|end| end >> MAX_PHYS_BITS == 0);
            let Some(span) = end.and_then(|end| Span::new(start, end)) else {
                self.too_large = Some(bytes);
                return None;
            };
            match self.taken.overlapping(span).next() {
                Some(in_the_way) => start = in_the_way.end.next_multiple_of(STEP),
                None => {
                    self.last = Some((bytes, start));
                    return Some(span);
                }
            }
        }
    }
}

/// Sorts the ranges, unites nested ones and joins adjacent RAM of one node. It works on bytes,
/// before any rounding: sources often list RAM in pieces that meet inside a page. Adjacent devices
/// stay separate, since each is added and removed by itself.
pub(super) fn merge(mut ranges: Vec<MapRange>) -> Vec<MapRange> {
    let mut merged = extract_apart(&mut ranges);
    let nr_apart = merged.len();
    ranges.sort_by_key(|range| (range.kind, range.start, std::cmp::Reverse(range.end)));
    for range in ranges {
        match merged[nr_apart..].last_mut().filter(|last| last.kind == range.kind) {
            Some(last) if range.end <= last.end => {}
            Some(last) if last.end >= range.start && last.node == range.node && range.kind == Kind::Ram => {
                last.end = range.end;
            }
            Some(last) if last.end > range.start => {
                // The same memory from two parts with different boundaries.
                let rest = MapRange { start: last.end, ..range };
                merged.push(rest);
            }
            _ => merged.push(range),
        }
    }
    merged.sort_by_key(|range| range.start);
    merged
}

/// Takes out the ranges that are apart from the ones of their kind around them, since a range of another
/// kind is in between: RAM of a device, in RAM that contains the device.
fn extract_apart(ranges: &mut Vec<MapRange>) -> Vec<MapRange> {
    ranges.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end), range.kind == Kind::HotplugRam, range.kind));
    // The ends and kinds of the ranges that contain the current one, outermost first, and the number of
    // each kind.
    let mut around: Vec<(u64, Kind)> = Vec::new();
    let mut nr_of_kind = [0usize; Kind::NR];
    let is_apart = |range: &mut MapRange| {
        while let Some((_, kind)) = around.pop_if(|(end, _)| *end < range.end || *end <= range.start) {
            nr_of_kind[kind as usize] -= 1;
        }
        let is_same = around.last().is_some_and(|(_, kind)| *kind == range.kind);
        let is_apart = !is_same && nr_of_kind[range.kind as usize] > 0;
        around.push((range.end, range.kind));
        nr_of_kind[range.kind as usize] += 1;
        is_apart
    };
    ranges.extract_if(.., is_apart).collect()
}
