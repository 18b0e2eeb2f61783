//! Boot logs of Linux and Xen: e820 (of the firmware and of the user), SRAT, early node ranges, and
//! spans of nodes. Any prefix that a log adds to its lines is skipped. Other lines are ignored.

use super::PAGE_BYTES;
use super::address::{exclusive, inclusive, memory};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::Line;
use super::part::{MapPart, Table};
use regex::{Captures, Regex};
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

const START: &str = r"(?:^|[\s\]])";
const MEM: &str = r"\[mem (0x[0-9a-fA-F]+)-(0x[0-9a-fA-F]+)\]";

/// `BIOS-e820: [mem 0x…-0x…] usable`. `Xen:` is the firmware's table; `user:` is the table after
/// `memmap=`.
static E820: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"{START}(BIOS-e820|Xen|user): {MEM} (.+?)\s*$")));

/// Until Linux 3.4 and Xen 4.13: `BIOS-e820: 0000000000000000 - 000000000009f400 (usable)`, ends
/// exclusive.
static OLD_E820: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"{START}(?:(BIOS-e820|user):|\(XEN\))\s+([0-9a-fA-F]{{8,16}}) - ([0-9a-fA-F]{{8,16}}) \((.+?)\)\s*$"
    ))
});

/// The form of the Xen hypervisor: `(XEN)  [0000000000000000, 000000000009fbff] (usable)`.
static XEN_E820: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\(XEN\)\s+\[([0-9a-fA-F]{8,16}), ([0-9a-fA-F]{8,16})\] \((.+?)\)\s*$"));

/// `  node   0: [mem 0x…-0x…]`
static NODE: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"(?:^|\s)node\s+(\d+): {MEM}")));

/// Until Linux 3.4, in page frames with exclusive ends: `    0: 0x00000010 -> 0x0000009d`.
static OLD_NODE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|\s)(\d{1,4}): 0x([0-9a-fA-F]{8,16}) -> 0x([0-9a-fA-F]{8,16})\s*$"));

/// `ACPI: SRAT: Node 0 PXM 0 [mem 0x…-0x…] hotplug`; from Xen `SRAT: Node 0 PXM 0 [start, end]`;
/// before Linux 3.4 `SRAT: Node 0 PXM 0 0-a0000`, end exclusive.
static SRAT: LazyLock<Regex> = LazyLock::new(|| {
    let hex = "((?:0x)?[0-9a-fA-F]+)";
    pattern(&format!(r"SRAT: Node (\d+) PXM \d+ (?:\[(?:mem )?{hex}(?:-|, ){hex}\]|{hex}-{hex})(.*)$"))
});

/// `Initmem setup node 0 [mem 0x…-0x…]`: the span of a node, from its first to its last page.
static SPAN: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"Initmem setup node (\d+) {MEM}")));

/// The beginning of one of these lines, to detect lines that are cut off or damaged.
static BEGUN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(r"{START}(?:BIOS-e820|Xen|user): \[mem|{START}node\s+\d+: \[mem|SRAT: Node \d+ PXM \d+ \["))
});

/// The kind of memory of an e820 type; `None` if it is not memory.
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

/// Parses a line. Returns false if it is in none of these formats.
pub(super) fn line(line: Line<'_>, part: &mut MapPart) -> Result<bool, MapError> {
    let Line { number, text } = line;
    if let Some(fields) = E820.captures(text) {
        let ends = inclusive(number, &fields[2], &fields[3])?;
        let table = if &fields[1] == "user" { Table::UserE820 } else { Table::FirmwareE820 };
        if let Some(kind) = e820_kind(&fields[4]) {
            part.push(table, memory(number, ends, kind, None)?);
        }
    } else if let Some(fields) = OLD_E820.captures(text) {
        let table = if fields.get(1).is_some_and(|source| source.as_str() == "user") {
            Table::UserE820
        } else {
            Table::FirmwareE820
        };
        if let (Some(ends), Some(kind)) = (exclusive(number, &fields[2], &fields[3])?, e820_kind(&fields[4])) {
            part.push(table, memory(number, ends, kind, None)?);
        }
    } else if let Some(fields) = XEN_E820.captures(text) {
        let ends = inclusive(number, &fields[1], &fields[2])?;
        if let Some(kind) = e820_kind(&fields[3]) {
            part.push(Table::FirmwareE820, memory(number, ends, kind, None)?);
        }
    } else if let Some(fields) = NODE.captures(text) {
        let ends = inclusive(number, &fields[2], &fields[3])?;
        part.push(Table::EarlyNodes, memory(number, ends, Kind::Ram, node(number, &fields)?)?);
    } else if let Some(fields) = OLD_NODE.captures(text) {
        if let Some((first, last)) = exclusive(number, &fields[2], &fields[3])? {
            let bytes = |pfn: u64| pfn.checked_mul(PAGE_BYTES);
            let ends = bytes(first).zip(last.checked_add(1).and_then(bytes));
            let (start, end) = ends.ok_or_else(|| MapError::BadAddress { line: number, text: fields[3].to_owned() })?;
            part.push(Table::EarlyNodes, memory(number, (start, end - 1), Kind::Ram, node(number, &fields)?)?);
        }
    } else if let Some(fields) = SRAT.captures(text) {
        let ends = match fields.get(2) {
            Some(_) => Some(inclusive(number, &fields[2], &fields[3])?),
            None => exclusive(number, &fields[4], &fields[5])?,
        };
        let Some(ends) = ends else { return Ok(true) };
        let what = &fields[6];
        if what.contains("hotplug") {
            // Addresses where memory may appear later. Firmware often declares windows up to 2^50.
            part.windows += 1;
        } else {
            let kind = if what.contains("non-volatile") { Kind::Persistent } else { Kind::Ram };
            part.push(Table::Srat, memory(number, ends, kind, node(number, &fields)?)?);
        }
    } else if let Some(fields) = SPAN.captures(text) {
        let ends = inclusive(number, &fields[2], &fields[3])?;
        part.push(Table::NodeSpans, memory(number, ends, Kind::Ram, node(number, &fields)?)?);
    } else if BEGUN.is_match(text) {
        return Err(not_a_range(line));
    } else {
        return Ok(false);
    }
    Ok(true)
}
