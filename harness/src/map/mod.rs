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
mod address;
mod blocks;
pub mod builtin;
mod combine;
mod consistency;
mod coverage;
pub mod decoration;
mod e820;
mod efi;
mod error;
mod formats;
mod human_size;
mod identity;
pub mod inventory;
mod iomem;
mod json;
mod json_text;
mod kind;
mod known_lines;
mod line;
pub mod listing;
mod locate;
mod lsmem;
mod memblock;
mod nodes;
mod numa;
mod part;
mod physical_map;
mod plain;
mod range;
pub mod reading;
pub mod source;
mod windows;

pub use error::{FORMATS, MapError, line_numbers};
pub use kind::Kind;
pub use physical_map::PhysicalMap;
pub use range::MapRange;
pub use reading::Reading;

use combine::{best_table, distinct_additions, drop_contradicting, merge, no_partial_overlap};
use decoration::Tally;
use inventory::Span;
use line::parts;
use memmap_layouts::ByteSize;
use part::{Found, MapPart, Table};
use std::collections::BTreeSet;

/// Page size of the maps in bytes: parsers return bytes, layouts take frames of 4 KiB.
pub const PAGE_BYTES: u64 = 4096;

/// The widest physical address of any architecture, in bits.
pub const MAX_PHYS_BITS: u32 = 52;

/// The most lines of a text. The log of a large machine has some hundred thousand.
const MOST_LINES: usize = 1 << 22;

/// The most entries of all listings in a text. A machine of 16 TiB has as many memory blocks of 128 MiB.
const MOST_ENTRIES: usize = 1 << 17;

/// Parses a map; `name` and `origin` are stored in it.
///
/// ```
/// use memmap_layouts::Pfn;
/// use pfnbench::map::read;
///
/// let text = "00001000-3fffffff : System RAM\n100000000-13fffffff : Persistent Memory\n";
/// let map = read("small", "an example", text)?;
/// assert_eq!(map.ram_bytes(), (1 << 30) - 4096);
/// assert!(map.added()[0].contains(Pfn(0x100000)));
/// # Ok::<(), pfnbench::map::MapError>(())
/// ```
///
/// # Errors
/// As [`read_machine`].
pub fn read(name: &str, origin: &str, text: &str) -> Result<PhysicalMap, MapError> {
    read_machine(name, origin, text).map(|reading| reading.map)
}

/// Parses the description of a machine. Every line is read, known to say nothing of memory, or listed
/// as not understood.
///
/// ```
/// let text = "> 100000000-13fffffff : CXL Window 0\n> 100000000-11fffffff : region0\n";
/// let reading = pfnbench::map::read_machine("small", "an example", text)?;
/// assert_eq!(reading.unused[0].span.bytes(), 512 << 20);
/// assert_eq!(reading.undone[0].lines, 2); // quote marks
/// # Ok::<(), pfnbench::map::MapError>(())
/// ```
///
/// # Errors
/// [`MapError`], with the number of the line that is damaged or impossible; or no line names memory,
/// a window, a region, a device or a memory block.
pub fn read_machine(name: &str, origin: &str, text: &str) -> Result<Reading, MapError> {
    read_decoded(name, origin, text, Tally::default())
}

/// Parses a text that was decoded already.
pub(crate) fn read_decoded(name: &str, origin: &str, text: &str, tally: Tally) -> Result<Reading, MapError> {
    let lines = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    if lines > MOST_LINES {
        return Err(MapError::TooManyLines { lines });
    }
    let clean = decoration::undo(text, tally);
    let mut all = MapPart::default();
    let mut ram: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut added: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut srat = Vec::new();
    for lines in parts(&clean.lines) {
        let mut part = formats::read_part(&lines)?;
        for (table, mut found) in std::mem::take(&mut part.tables) {
            match no_partial_overlap(&found) {
                // Listings of devices may contradict each other; the first counts.
                Err(MapError::Overlap { line, second, first_line, first }) if table == Table::Devices => {
                    all.contradictions
                        .push(format!("{second} of line {line} partly overlaps {first} of line {first_line}"));
                    found.retain(|found| found.range != second);
                }
                checked => checked?,
            }
            srat.extend(found.iter().filter(|_| table == Table::Srat).cloned());
            let (boot, later): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.range.kind == Kind::Ram);
            ram.extend((!boot.is_empty()).then_some((table, boot)));
            added.extend((!later.is_empty()).then_some((table, later)));
        }
        all.absorb(part);
        all.check_entries()?;
    }
    all.contradictions.extend(consistency::disagreement(&ram));
    let mut warnings = all.warnings;
    let in_blocks = ram.iter().map(|(table, _)| *table).min() == Some(Table::Blocks);
    all.contradictions.extend(drop_contradicting(&mut added));
    let mut ranges = best_table(ram, &added, &mut warnings);
    added.push((Table::Iomem, windows::regions_in_windows(&all.inventory)));
    let additions = distinct_additions(added, &ranges);
    ranges.extend(additions);
    let mut inventory = all.inventory;
    identity::unite(&mut inventory, &mut all.contradictions);
    consistency::check_sizes(&inventory, &mut all.contradictions);
    all.contradictions.extend(all.lsmem_totals.check(&inventory.blocks));
    blocks::derive_size(&mut inventory, &mut all.contradictions);
    if !in_blocks {
        all.contradictions.extend(blocks::add_missing(&inventory.blocks, &mut ranges));
    }
    all.contradictions.extend(blocks::add_inside_devices(&inventory.blocks, &mut ranges));
    locate::locate(&mut inventory, &mut ranges, in_blocks, &mut warnings);
    blocks::mark_added_ram(&inventory.devices, &inventory.regions, &mut ranges);
    nodes::assign(&mut ranges, &inventory, &srat, &all.hotplug_windows);
    let ranges = merge(ranges);
    if ranges.is_empty() && !inventory.names_memory() && all.hotplug_windows.is_empty() {
        let (unknown, entries) = (all.unknown, all.sources.entries());
        if entries == 0 || !unknown.is_empty() {
            return Err(MapError::Nothing { unknown, lines: clean.lines.len(), entries, skipped: all.skipped });
        }
        // The text says itself that there is none.
        warnings.push(format!("the map contains no memory: entries that were read, none of them memory: {entries}"));
        all.unknown = unknown;
    }
    let memory = |range: &&MapRange| range.kind != Kind::Window;
    let hotplug_windows: BTreeSet<Span> = all.hotplug_windows.iter().map(|window| window.span).collect();
    let hotplug_windows: Vec<Span> = hotplug_windows.into_iter().collect();
    let is_empty = |window: &&Span| !ranges.iter().filter(memory).any(|range| window.overlaps(range.span()));
    let nr_empty = hotplug_windows.iter().filter(is_empty).count();
    if nr_empty > 0 {
        warnings.push(format!("SRAT windows for hotplug ignored, since they contain no memory yet: {nr_empty}"));
    }
    if all.beyond > 0 {
        warnings.push(format!("windows ignored because they lie beyond {MAX_PHYS_BITS} bits: {}", all.beyond));
    }
    let offline: u64 =
        inventory.blocks.iter().filter(|block| block.configured && !block.online).map(|block| block.span.bytes()).sum();
    if offline > 0 {
        warnings.push(format!("{} of the memory blocks are offline; the map has them as RAM", ByteSize(offline)));
    }
    if !clean.cuts.is_empty() {
        let lines = line_numbers(clean.cuts.iter().copied());
        warnings.push(format!("the text says that something was left out (line {lines}): totals may be too small"));
    }
    let tiny = ranges.iter().filter(|range| range.pages().is_none()).count();
    if tiny > 0 {
        warnings.push(format!("ranges ignored because they contain no whole page: {tiny}"));
    }
    let unused = windows::unused_parts(&inventory, &ranges, &all.others);
    all.contradictions.extend(consistency::full_windows(&inventory, &unused));
    all.contradictions.extend(consistency::block_counts(&inventory));
    Ok(Reading {
        map: PhysicalMap { name: name.to_owned(), origin: origin.to_owned(), ranges, warnings },
        inventory,
        hotplug_windows,
        unused,
        sources: all.sources.into_lines(),
        undone: clean.undone,
        skipped: all.skipped,
        unknown: all.unknown,
        contradictions: all.contradictions,
    })
}

#[cfg(test)]
mod tests;
