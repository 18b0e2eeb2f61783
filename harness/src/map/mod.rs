//! Physical memory maps: what memory a machine has, where, and of which kind.
//!
//! [`read`] takes text in any known format, several of them in one file: `#` starts a comment, and a line that begins with
//! `---` starts a part whose format is found anew. [`source`] gets the text from this machine, a file or standard input.

pub mod builtin;
mod dmesg;
mod iomem;
pub mod source;

use memmap_layouts::{BootError, BootMap, BootRange, Bytes, PfnRange};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Page size of the maps: readers give bytes, layouts take 4 KiB frames.
pub const PAGE_BYTES: u64 = 4096;

/// No architecture has physical addresses wider than this.
const MAX_PHYS_BITS: u32 = 52;

/// What a range of physical memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// RAM that is there at boot.
    Ram,
    /// RAM that a driver added later, e.g. `System RAM (kmem)`.
    HotplugRam,
    /// Persistent memory.
    Persistent,
    /// Memory set aside for a purpose, offered through DAX.
    SoftReserved,
}

impl Kind {
    /// True for memory that is added after boot.
    pub fn is_added(self) -> bool {
        self != Kind::Ram
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Ram => "RAM",
            Kind::HotplugRam => "hot-added RAM",
            Kind::Persistent => "persistent memory",
            Kind::SoftReserved => "soft reserved",
        })
    }
}

/// A range of physical memory, in bytes; `end` is excluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// What it is.
    pub kind: Kind,
    /// NUMA node, where the source tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u8>,
}

impl MapRange {
    /// The whole pages in it.
    fn pages(&self) -> Option<PfnRange> {
        let range = PfnRange::new(self.start.div_ceil(PAGE_BYTES), self.end / PAGE_BYTES)?;
        (!range.is_empty()).then_some(range)
    }
}

impl fmt::Display for MapRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, last) = (self.start, self.end - 1);
        write!(f, "{start:#014x}-{last:#014x} {} ({})", self.kind, Bytes(self.end - self.start))
    }
}

/// The memory of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhysicalMap {
    /// Short name for reports.
    pub name: String,
    /// Where it comes from, for people.
    pub origin: String,
    /// Memory only, sorted, touching RAM of one node merged.
    pub ranges: Vec<MapRange>,
    /// What was noticed while reading.
    pub warnings: Vec<String>,
}

/// Why a map was not understood. Every variant names the line.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MapError {
    /// Neither a range nor anything else known.
    #[error(
        "line {line}: {text:?} is not a memory range; known formats are /proc/iomem (`00001000-0009ffff : System RAM`) and dmesg (e820, SRAT and early node ranges)"
    )]
    NotARange {
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A number that is none.
    #[error(
        "line {line}: {text:?} is not an address of at most {MAX_PHYS_BITS} bits, the widest that a machine has; correct it or leave the line out"
    )]
    BadAddress {
        /// Line number, from 1.
        line: usize,
        /// The number.
        text: String,
    },
    /// The end lies before the start.
    #[error(
        "line {line}: the range ends at {end:#x}, before its start at {start:#x}; the form is start-end with the last byte as end: correct it or leave the line out"
    )]
    Backwards {
        /// Line number, from 1.
        line: usize,
        /// First byte.
        start: u64,
        /// Last byte.
        end: u64,
    },
    /// Two ranges of one table share memory, and neither lies in the other.
    #[error(
        "line {line}: {second} overlaps {first} of line {first_line}; within one table, ranges may be nested but not overlap in part"
    )]
    Overlap {
        /// Line of the second range.
        line: usize,
        /// The second range.
        second: MapRange,
        /// Line of the first range.
        first_line: usize,
        /// The first range.
        first: MapRange,
    },
    /// Every range is 0-0.
    #[error(
        "every range is 0-0: the kernel shows /proc/iomem without addresses to users other than root; read it as root (sudo cat /proc/iomem)"
    )]
    Hidden,
}

/// A range as a reader found it.
#[derive(Clone, Debug)]
struct Found {
    line: usize,
    range: MapRange,
}

/// Which table of its source a range comes from. Tables of one source tell the same memory in different ways, so the
/// best one is taken, not their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    /// /proc/iomem.
    Iomem,
    /// `node N: [mem …]`: what the kernel made of all the others.
    EarlyNodes,
    /// The e820 map after `memmap=` and `mem=`.
    UserE820,
    /// The e820 map of the firmware.
    FirmwareE820,
    /// ACPI SRAT.
    Srat,
}

/// What one part of a file gave.
#[derive(Debug, Default)]
struct Part {
    tables: Vec<(Table, Vec<Found>)>,
    warnings: Vec<String>,
}

impl Part {
    fn push(&mut self, table: Table, found: Found) {
        match self.tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, ranges)) => ranges.push(found),
            None => self.tables.push((table, vec![found])),
        }
    }
}

/// A line that may hold a range.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

/// Reads a map.
///
/// # Errors
/// [`MapError`], with the line.
pub fn read(name: &str, origin: &str, text: &str) -> Result<PhysicalMap, MapError> {
    let mut ram: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut added: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut warnings = Vec::new();
    let mut unknown: Option<Line<'_>> = None;
    for lines in parts(text) {
        let Some(part) = read_part(&lines)? else {
            unknown = unknown.or(lines.first().copied());
            continue;
        };
        warnings.extend(part.warnings);
        for (table, found) in part.tables {
            no_partial_overlap(&found)?;
            let (boot, later): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.range.kind == Kind::Ram);
            ram.extend((!boot.is_empty()).then_some((table, boot)));
            added.extend((!later.is_empty()).then_some((table, later)));
        }
    }
    let mut ranges = best_table(ram);
    ranges.extend(best_table(added));
    if let Some(line) = unknown {
        if ranges.is_empty() && warnings.is_empty() {
            return Err(not_a_range(line));
        }
        warnings.push(format!("line {}: a part without ranges of a known format is left out", line.number));
    }
    let ranges = merge(ranges);
    if ranges.is_empty() {
        warnings.push("there is no memory in this map".to_owned());
    }
    let tiny = ranges.iter().filter(|range| range.pages().is_none()).count();
    if tiny > 0 {
        warnings.push(format!("ranges left out because they hold no whole page: {tiny}"));
    }
    Ok(PhysicalMap { name: name.to_owned(), origin: origin.to_owned(), ranges, warnings })
}

/// The error for a line, of which a long one is shown in part.
fn not_a_range(line: Line<'_>) -> MapError {
    const SHOWN: usize = 60;
    let text = line.text.trim();
    let text = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    MapError::NotARange { line: line.number, text }
}

/// The lines of each part, without comments and blank lines.
fn parts(text: &str) -> Vec<Vec<Line<'_>>> {
    let mut parts = vec![Vec::new()];
    for (index, text) in text.lines().enumerate() {
        let content = text.trim();
        if content.starts_with("---") {
            parts.push(Vec::new());
        } else if !content.is_empty() && !content.starts_with('#') {
            parts.last_mut().expect("there is always a part").push(Line { number: index + 1, text });
        }
    }
    parts
}

/// Finds the format of a part and reads it; `None` if it has no range of a known format.
fn read_part(lines: &[Line<'_>]) -> Result<Option<Part>, MapError> {
    let begins_as_iomem = lines.first().is_some_and(|line| iomem::is_range(line.text));
    if !begins_as_iomem && lines.iter().any(|line| dmesg::is_range(line.text)) {
        return dmesg::read(lines).map(Some);
    }
    if lines.iter().any(|line| iomem::is_range(line.text)) {
        return iomem::read(lines).map(Some);
    }
    Ok(None)
}

/// A range of at most 52 bits whose last byte is `end`.
fn inclusive(line: usize, start: &str, end: &str) -> Result<(u64, u64), MapError> {
    let address = |text: &str| {
        let digits = text.trim_start_matches("0x").trim_start_matches("0X");
        let number = u64::from_str_radix(digits, 16).ok();
        number.ok_or_else(|| MapError::BadAddress { line, text: text.to_owned() })
    };
    let (start, end) = (address(start)?, address(end)?);
    if end < start {
        return Err(MapError::Backwards { line, start, end });
    }
    Ok((start, end))
}

/// A memory range from inclusive ends.
fn memory(line: usize, (start, last): (u64, u64), kind: Kind, node: Option<u8>) -> Result<Found, MapError> {
    if last >> MAX_PHYS_BITS != 0 {
        return Err(MapError::BadAddress { line, text: format!("{last:#x}") });
    }
    Ok(Found { line, range: MapRange { start, end: last + 1, kind, node } })
}

fn no_partial_overlap(found: &[Found]) -> Result<(), MapError> {
    let mut sorted: Vec<&Found> = found.iter().collect();
    sorted.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    // Ranges that the current one lies in, from the outside in.
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

/// The ranges of the most trustworthy table; several parts may have it.
fn best_table(tables: Vec<(Table, Vec<Found>)>) -> Vec<MapRange> {
    let best = tables.iter().map(|(table, _)| *table).min();
    let ranges = tables.into_iter().filter(|(table, _)| Some(*table) == best).flat_map(|(_, found)| found);
    ranges.map(|found| found.range).collect()
}

/// Sorts, unites nested ranges and joins touching RAM of one node. In bytes, before anything is rounded: RAM is often told
/// in pieces that meet inside a page. Devices that touch stay apart: each comes and goes by itself.
fn merge(mut ranges: Vec<MapRange>) -> Vec<MapRange> {
    ranges.sort_by_key(|range| (range.kind, range.start, std::cmp::Reverse(range.end)));
    let mut merged: Vec<MapRange> = Vec::new();
    for range in ranges {
        match merged.last_mut().filter(|last| last.kind == range.kind) {
            Some(last) if range.end <= last.end => {}
            Some(last) if last.end >= range.start && last.node == range.node && !range.kind.is_added() => {
                last.end = range.end;
            }
            Some(last) if last.end > range.start => {
                // The same memory from two parts, cut differently.
                let rest = MapRange { start: last.end, ..range };
                merged.push(rest);
            }
            _ => merged.push(range),
        }
    }
    merged.sort_by_key(|range| range.start);
    merged
}

impl PhysicalMap {
    /// The memory that is there at boot, in whole pages.
    ///
    /// # Errors
    /// Never for maps from [`read`]; a map made by hand may overlap.
    pub fn boot_map(&self) -> Result<BootMap, BootError> {
        let boot = self.ranges.iter().filter(|range| range.kind == Kind::Ram);
        BootMap::new(boot.filter_map(|range| Some(BootRange { range: range.pages()?, node: range.node.unwrap_or(0) })))
    }

    /// Ranges that are added after boot, without those that lie in another: RAM that a driver made of a device is memory of
    /// that device.
    fn outermost_added(&self) -> impl Iterator<Item = &MapRange> {
        let added = || self.ranges.iter().filter(|range| range.kind.is_added());
        added().filter(move |inner| {
            let is_around = |outer: &MapRange| {
                let larger = outer.end - outer.start > inner.end - inner.start;
                let device_of = outer.kind != Kind::HotplugRam && inner.kind == Kind::HotplugRam;
                outer.start <= inner.start && inner.end <= outer.end && (larger || device_of)
            };
            !added().any(is_around)
        })
    }

    /// The ranges that are added after boot, in whole pages.
    pub fn added(&self) -> Vec<PfnRange> {
        self.outermost_added().filter_map(MapRange::pages).collect()
    }

    /// One past the highest byte of memory.
    pub fn end(&self) -> u64 {
        self.ranges.iter().map(|range| range.end).max().unwrap_or(0)
    }

    /// Bytes of memory that is there at boot.
    pub fn ram_bytes(&self) -> u64 {
        let ram = self.ranges.iter().filter(|range| range.kind == Kind::Ram);
        ram.map(|range| range.end - range.start).sum()
    }

    /// What it is, in a few words.
    pub fn summary(&self) -> String {
        let added: u64 = self.outermost_added().map(|range| range.end - range.start).sum();
        let ram = format!("{} of RAM below {}", Bytes(self.ram_bytes()), Bytes(self.end()));
        if added == 0 { ram } else { format!("{ram}, {} added later", Bytes(added)) }
    }
}

#[cfg(test)]
mod tests;
