//! The kernel log: e820 (firmware's and user's), SRAT and early node ranges, behind any prefix that a log puts before
//! them. Lines that are none of these are not ours.

use super::{Kind, Line, MapError, Part, Table, inclusive, memory};
use regex::{Captures, Regex};
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// `BIOS-e820: [mem 0x…-0x…] usable`; `Xen:` stands for the firmware's table, `user:` for the one after `memmap=`.
static E820: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|[\s\]])(BIOS-e820|Xen|user): \[mem (0x[0-9a-fA-F]+)-(0x[0-9a-fA-F]+)\] (.+?)\s*$"));

/// `  node   0: [mem 0x…-0x…]`
static NODE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|\s)node\s+(\d+): \[mem (0x[0-9a-fA-F]+)-(0x[0-9a-fA-F]+)\]"));

/// `ACPI: SRAT: Node 0 PXM 0 [mem 0x…-0x…] hotplug`, and Xen's `SRAT: Node 0 PXM 0 [start, end]`.
static SRAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"SRAT: Node (\d+) PXM \d+ \[(?:mem )?((?:0x)?[0-9a-fA-F]+)(?:-|, )((?:0x)?[0-9a-fA-F]+)\](.*)$")
});

pub(super) fn is_range(line: &str) -> bool {
    E820.is_match(line) || NODE.is_match(line) || SRAT.is_match(line)
}

/// The kind of memory that an e820 type stands for.
fn e820_kind(words: &str) -> Option<Kind> {
    match words {
        "usable" => Some(Kind::Ram),
        "soft reserved" => Some(Kind::SoftReserved),
        words if words.starts_with("persistent") => Some(Kind::Persistent),
        _ => None,
    }
}

fn node(line: usize, fields: &Captures<'_>) -> Result<Option<u8>, MapError> {
    let number = fields[1].parse().map_err(|_| MapError::BadAddress { line, text: fields[1].to_owned() })?;
    Ok(Some(number))
}

pub(super) fn read(lines: &[Line<'_>]) -> Result<Part, MapError> {
    let mut part = Part::default();
    let mut windows = 0;
    for &Line { number, text } in lines {
        if let Some(fields) = E820.captures(text) {
            let ends = inclusive(number, &fields[2], &fields[3])?;
            let table = if &fields[1] == "user" { Table::UserE820 } else { Table::FirmwareE820 };
            if let Some(kind) = e820_kind(&fields[4]) {
                part.push(table, memory(number, ends, kind, None)?);
            }
        } else if let Some(fields) = NODE.captures(text) {
            let ends = inclusive(number, &fields[2], &fields[3])?;
            part.push(Table::EarlyNodes, memory(number, ends, Kind::Ram, node(number, &fields)?)?);
        } else if let Some(fields) = SRAT.captures(text) {
            let ends = inclusive(number, &fields[2], &fields[3])?;
            if fields[4].contains("hotplug") {
                // Where memory may come one day, up to 2^50: never a size to go by.
                windows += 1;
            } else {
                part.push(Table::Srat, memory(number, ends, Kind::Ram, node(number, &fields)?)?);
            }
        }
    }
    if windows > 0 {
        part.warnings.push(format!("{windows} SRAT windows for hotplug are left out: they are no memory yet"));
    }
    Ok(part)
}
