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
pub mod builtin;
mod combine;
mod dmesg;
mod error;
mod formats;
pub mod inventory;
mod iomem;
mod json;
mod kind;
mod line;
mod lsmem;
mod part;
mod physical_map;
mod plain;
mod range;
mod reading;
pub mod source;

pub use error::{FORMATS, MapError};
pub use kind::Kind;
pub use physical_map::PhysicalMap;
pub use range::MapRange;
pub use reading::Reading;

use combine::{best_table, distinct_additions, merge, no_partial_overlap, place};
use error::not_a_range;
use line::{Line, parts};
use part::{Found, Table};

/// Page size of the maps in bytes: parsers return bytes, layouts take frames of 4 KiB.
pub const PAGE_BYTES: u64 = 4096;

/// The widest physical address of any architecture, in bits.
pub const MAX_PHYS_BITS: u32 = 52;

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
/// [`MapError`], with the number of the wrong line.
pub fn read(name: &str, origin: &str, text: &str) -> Result<PhysicalMap, MapError> {
    let mut ram: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut added: Vec<(Table, Vec<Found>)> = Vec::new();
    let mut no_base = Vec::new();
    let mut warnings = Vec::new();
    let mut unknown: Option<Line<'_>> = None;
    let mut understood = false;
    for lines in parts(text) {
        let part = formats::read_part(&lines)?;
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
    let additions = distinct_additions(added, &ranges);
    ranges.extend(additions);
    place(no_base, &mut ranges, &mut warnings);
    if let Some(line) = unknown {
        if !understood {
            return Err(not_a_range(line));
        }
        warnings.push(format!("line {}: ignored a part without ranges in a known format", line.number));
    }
    let ranges = merge(ranges);
    if ranges.is_empty() {
        warnings.push("the map contains no memory".to_owned());
    }
    let tiny = ranges.iter().filter(|range| range.pages().is_none()).count();
    if tiny > 0 {
        warnings.push(format!("ranges ignored because they contain no whole page: {tiny}"));
    }
    Ok(PhysicalMap { name: name.to_owned(), origin: origin.to_owned(), ranges, warnings })
}

#[cfg(test)]
mod tests;
