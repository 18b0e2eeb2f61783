//! Physical memory maps: what memory a machine has, where, and of which kind.
//!
//! [`read`] parses text in any known format and detects the format; one file may mix several. Known
//! are `/proc/iomem`, boot logs of Linux and Xen, `lsmem`, the listings of `ndctl`, `daxctl` and
//! `cxl`, disassembled ACPI tables, and plain ranges. `#` starts a comment, and a line that begins
//! with `---` starts a new part. [`source`] gets the text from this machine, a file or standard
//! input.
//!
//! Tables of one machine describe the same memory in several ways. RAM is taken from the most
//! trustworthy table. Later additions are the union of all tables, without RAM.

mod acpi;
pub mod builtin;
mod dmesg;
mod iomem;
mod json;
mod lsmem;
mod part;
mod plain;
pub mod source;

use memmap_layouts::{BootError, BootMap, BootRange, ByteSize, PfnRange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Page size of the maps in bytes: parsers return bytes, layouts take frames of 4 KiB.
pub const PAGE_BYTES: u64 = 4096;

/// The widest physical address of any architecture, in bits.
pub const MAX_PHYS_BITS: u32 = 52;

/// The kind of a range of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// RAM that is present at boot.
    Ram,
    /// RAM that a driver added later, e.g. `System RAM (kmem)`.
    HotplugRam,
    /// Persistent memory, e.g. an NVDIMM.
    Persistent,
    /// Memory reserved for a purpose by the firmware and offered through DAX (`EFI_MEMORY_SP`).
    SoftReserved,
    /// Addresses at which memory may appear later (a CXL window).
    Window,
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
            Kind::Window => "window for memory",
        })
    }
}

/// A range of physical memory, in bytes; `end` is excluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MapRange {
    /// Physical address of the first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Kind of the memory.
    pub kind: Kind,
    /// NUMA node; `None` if the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u8>,
    /// True if the source gives only the size; the address is then an assumption.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base_assumed: bool,
}

impl MapRange {
    /// The parts of the range that overlap none of `others`.
    fn without<'a>(&self, others: impl Iterator<Item = &'a MapRange>) -> Vec<MapRange> {
        let mut left = vec![self.clone()];
        for other in others {
            let cut = |part: MapRange| {
                let before = MapRange { end: part.end.min(other.start), ..part.clone() };
                let after = MapRange { start: part.start.max(other.end), ..part };
                [before, after].into_iter().filter(|part| part.start < part.end)
            };
            left = left.into_iter().flat_map(cut).collect();
        }
        left
    }

    /// The whole pages inside the range; `None` if there are none.
    fn pages(&self) -> Option<PfnRange> {
        let range = PfnRange::new(self.start.div_ceil(PAGE_BYTES), self.end / PAGE_BYTES)?;
        (!range.is_empty()).then_some(range)
    }
}

impl fmt::Display for MapRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, last) = (self.start, self.end - 1);
        write!(f, "{start:#014x}-{last:#014x} {} ({})", self.kind, ByteSize(self.end - self.start))?;
        if self.base_assumed { f.write_str(", base assumed") } else { Ok(()) }
    }
}

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
    /// Remarks on the text, e.g. on assumptions that were made.
    pub warnings: Vec<String>,
}

/// Why a map could not be parsed. Every message contains the line number.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MapError {
    /// The line is neither a range nor in another known format.
    #[error("line {line}: {text:?} is not a memory range; known formats are {FORMATS}")]
    NotARange {
        /// Line number, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
    /// The text is not an address, or is wider than [`MAX_PHYS_BITS`].
    #[error(
        "line {line}: {text:?} is not an address of at most {MAX_PHYS_BITS} bits, the widest that a machine has; correct it or leave the line out"
    )]
    BadAddress {
        /// Line number, from 1.
        line: usize,
        /// The text that should be a number.
        text: String,
    },
    /// The text is not a size.
    #[error("line {line}: {text:?} is not a size; sizes are bytes, or a number with a unit such as 128M or 250.00 MiB")]
    BadSize {
        /// Line number, from 1.
        line: usize,
        /// The text that should be a size.
        text: String,
    },
    /// The size given beside a range differs from the range.
    #[error("line {line}: the size is told as {text}, and the range holds {}; one of them is wrong, or in another unit", ByteSize(*bytes))]
    SizeOfRange {
        /// Line number, from 1.
        line: usize,
        /// The size as given.
        text: String,
        /// Size of the range in bytes.
        bytes: u64,
    },
    /// The range wraps around the end of the address space.
    #[error("line {line}: {bytes:#x} bytes from {start:#x} on run past the last address")]
    Wraps {
        /// Line number, from 1.
        line: usize,
        /// Physical address of the first byte.
        start: u64,
        /// Length in bytes.
        bytes: u64,
    },
    /// A listing is not valid JSON.
    #[error("line {line}: this is not the JSON that ndctl, daxctl, cxl and lsmem print: {reason}")]
    Json {
        /// Line number, from 1.
        line: usize,
        /// The error message of the parser.
        reason: String,
    },
    /// The end of a range lies before its start.
    #[error(
        "line {line}: the range ends at {end:#x}, before its start at {start:#x}; the form is start-end with the last byte as end: correct it or leave the line out"
    )]
    Backwards {
        /// Line number, from 1.
        line: usize,
        /// Physical address of the first byte.
        start: u64,
        /// Physical address of the last byte.
        end: u64,
    },
    /// Two ranges of one table partly overlap; neither contains the other.
    #[error(
        "line {line}: {second} overlaps {first} of line {first_line}; within one table, ranges may be nested but not overlap in part"
    )]
    Overlap {
        /// Line number of the second range.
        line: usize,
        /// The second range.
        second: MapRange,
        /// Line number of the first range.
        first_line: usize,
        /// The first range.
        first: MapRange,
    },
    /// Every range is 0-0: the kernel hides addresses from users other than root.
    #[error(
        "every range is 0-0: the kernel shows /proc/iomem without addresses to users other than root; read it as root (sudo cat /proc/iomem)"
    )]
    Hidden,
}

/// The supported formats, for error messages.
pub const FORMATS: &str = "/proc/iomem (`00001000-0009ffff : System RAM`), dmesg (e820, SRAT, early node ranges), lsmem, the JSON \
                           of ndctl, daxctl, cxl and lsmem, CEDT, NFIT and SRAT in words, `base size`, and `start -> end type`";

/// Memory whose source gives only the size.
#[derive(Clone, Debug)]
struct NoBase {
    line: usize,
    name: String,
    bytes: u64,
    kind: Kind,
    node: Option<u8>,
}

/// A range as a parser found it, with its line.
#[derive(Clone, Debug)]
struct Found {
    line: usize,
    range: MapRange,
}

/// The table that a range comes from, the most trustworthy first. Tables of one source describe the
/// same memory in different ways, so the best one is used, not their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    /// /proc/iomem.
    Iomem,
    /// `node N: [mem …]`: the kernel's summary of all the other tables.
    EarlyNodes,
    /// The e820 map after `memmap=` and `mem=`.
    UserE820,
    /// The e820 map of the firmware.
    FirmwareE820,
    /// Memory blocks, as `lsmem` shows them.
    Blocks,
    /// ACPI SRAT: memory affinity.
    Srat,
    /// Plain ranges: `start -> end type` and `base size`.
    Plain,
    /// Spans of nodes, from the first to the last page, holes included.
    NodeSpans,
    /// Listings of `ndctl`, `daxctl` and `cxl`.
    Devices,
    /// ACPI NFIT: persistent memory.
    Nfit,
    /// ACPI CEDT, and CXL decoders.
    Cedt,
}

/// A line that may contain a range.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

/// Parses a map; `name` and `origin` are stored in it.
///
/// # Errors
/// [`MapError`], with the number of the line at fault.
pub fn read(name: &str, origin: &str, text: &str) -> Result<PhysicalMap, MapError> {
    let mut ram: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut added: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut no_base = Vec::new();
    let mut warnings = Vec::new();
    let mut unknown: Option<Line<'_>> = None;
    let mut understood = false;
    for lines in parts(text) {
        let part = part::read(&lines)?;
        if !part.understood {
            unknown = unknown.or(lines.first().copied());
            continue;
        }
        understood = true;
        warnings.extend(part.warnings);
        no_base.extend(part.no_base);
        for (table, found) in part.tables {
            no_partial_overlap(&found)?;
            let (boot, later): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.range.kind == Kind::Ram);
            ram.extend((!boot.is_empty()).then_some((table, boot)));
            added.extend((!later.is_empty()).then_some((table, later)));
        }
    }
    let mut ranges = best_table(ram, &mut warnings);
    let told = told_once(added, &ranges);
    ranges.extend(told);
    place(no_base, &mut ranges, &mut warnings);
    if let Some(line) = unknown {
        if !understood {
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

/// The error for a line in no known format; a long line is shortened.
fn not_a_range(line: Line<'_>) -> MapError {
    const SHOWN: usize = 60;
    let text = line.text.trim();
    let text = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    MapError::NotARange { line: line.number, text }
}

/// Splits text into parts, without comments and blank lines.
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

/// Parses a hexadecimal number, with or without `0x`.
fn address(line: usize, text: &str) -> Result<u64, MapError> {
    let digits = text.trim_start_matches("0x").trim_start_matches("0X");
    u64::from_str_radix(digits, 16).map_err(|_| MapError::BadAddress { line, text: text.to_owned() })
}

/// Parses a range whose last byte is `end`.
fn inclusive(line: usize, start: &str, end: &str) -> Result<(u64, u64), MapError> {
    let (start, end) = (address(line, start)?, address(line, end)?);
    if end < start {
        return Err(MapError::Backwards { line, start, end });
    }
    Ok((start, end))
}

/// Parses a range that ends before `end`; returns its first and last byte, or `None` if it is
/// empty.
fn exclusive(line: usize, start: &str, end: &str) -> Result<Option<(u64, u64)>, MapError> {
    let (start, end) = (address(line, start)?, address(line, end)?);
    if end < start {
        return Err(MapError::Backwards { line, start, end });
    }
    Ok((start < end).then(|| (start, end - 1)))
}

/// The first and last byte of a range of `bytes` bytes; `None` if it is empty.
fn sized(line: usize, start: u64, bytes: u64) -> Result<Option<(u64, u64)>, MapError> {
    let Some(more) = bytes.checked_sub(1) else { return Ok(None) };
    let last = start.checked_add(more).ok_or(MapError::Wraps { line, start, bytes })?;
    Ok(Some((start, last)))
}

/// A memory range from its first and last byte.
fn memory(line: usize, (start, last): (u64, u64), kind: Kind, node: Option<u8>) -> Result<Found, MapError> {
    if last >> MAX_PHYS_BITS != 0 {
        return Err(MapError::BadAddress { line, text: format!("{last:#x}") });
    }
    Ok(Found { line, range: MapRange { start, end: last + 1, kind, node, base_assumed: false } })
}

fn no_partial_overlap(found: &[Found]) -> Result<(), MapError> {
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

/// The RAM of the most trustworthy table. Several parts may have that table; they are combined.
fn best_table(tables: Vec<(Table, Vec<Found>)>, warnings: &mut Vec<String>) -> Vec<MapRange> {
    let best = tables.iter().map(|(table, _)| *table).min();
    if best == Some(Table::NodeSpans) {
        warnings.push("only the spans of nodes are told: holes inside them are taken as RAM".to_owned());
    }
    let ranges = tables.into_iter().filter(|(table, _)| Some(*table) == best).flat_map(|(_, found)| found);
    ranges.map(|found| found.range).collect()
}

/// The memory that is added later. Each table adds what the previous ones do not contain and what
/// is not RAM. A window that contains known memory is left out.
fn told_once(mut tables: Vec<(Table, Vec<Found>)>, ram: &[MapRange]) -> Vec<MapRange> {
    tables.sort_by_key(|(table, _)| *table);
    let mut told: Vec<MapRange> = Vec::new();
    for (_, found) in tables {
        // Ranges of one table may nest: RAM in a device, a device in a window.
        let known = told.clone();
        for Found { range, .. } in found {
            let overlaps = |other: &MapRange| other.start < range.end && range.start < other.end;
            let is_told = known.iter().chain(ram).any(overlaps);
            if range.kind != Kind::Window || !is_told {
                told.extend(range.without(known.iter().chain(ram)));
            }
        }
    }
    let is_memory = |range: &MapRange| range.kind != Kind::Window;
    let memory: Vec<MapRange> = told.iter().filter(|range| is_memory(range)).cloned().collect();
    told.retain(|range| is_memory(range) || !memory.iter().any(|m| m.start < range.end && range.start < m.end));
    told
}

/// Assigns addresses to memory of which only the size is known: one after another from 4 GiB on,
/// around existing ranges.
fn place(no_base: Vec<NoBase>, ranges: &mut Vec<MapRange>, warnings: &mut Vec<String>) {
    let mut start = 4u64 << 30;
    for NoBase { line, name, bytes, kind, node } in no_base {
        while let Some(in_the_way) = ranges.iter().find(|r| r.start < start.saturating_add(bytes) && start < r.end) {
            start = in_the_way.end;
        }
        let end = start.saturating_add(bytes);
        if end >> MAX_PHYS_BITS != 0 {
            warnings.push(format!("line {line}: no place for the {} of {name}, which is left out", ByteSize(bytes)));
            continue;
        }
        warnings.push(format!(
            "line {line}: only the size of {name} is told ({}): base assumed at {start:#x}",
            ByteSize(bytes)
        ));
        ranges.push(MapRange { start, end, kind, node, base_assumed: true });
        start = end;
    }
}

/// Sorts the ranges, unites nested ones and joins adjacent RAM of one node. It works on bytes,
/// before any rounding: sources often list RAM in pieces that meet inside a page. Adjacent devices
/// stay separate, since each is added and removed by itself.
fn merge(mut ranges: Vec<MapRange>) -> Vec<MapRange> {
    ranges.sort_by_key(|range| (range.kind, range.start, std::cmp::Reverse(range.end)));
    let mut merged: Vec<MapRange> = Vec::new();
    for range in ranges {
        match merged.last_mut().filter(|last| last.kind == range.kind) {
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

impl PhysicalMap {
    /// The memory that is present at boot, in whole pages.
    ///
    /// # Errors
    /// Ranges overlap. Maps from [`read`] never do; a map built by hand may.
    pub fn boot_map(&self) -> Result<BootMap, BootError> {
        let boot = self.ranges.iter().filter(|range| range.kind == Kind::Ram);
        BootMap::new(boot.filter_map(|range| Some(BootRange { range: range.pages()?, node: range.node.unwrap_or(0) })))
    }

    /// The ranges that are added after boot, without those inside another: RAM that a driver made
    /// of a device is part of the device.
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
        let added: u64 = self.outermost_added().map(|range| range.end - range.start).sum();
        let ram = format!("{} of RAM below {}", ByteSize(self.ram_bytes()), ByteSize(self.end()));
        if added == 0 { ram } else { format!("{ram}, {} added later", ByteSize(added)) }
    }
}

#[cfg(test)]
mod tests;
