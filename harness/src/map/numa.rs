//! Memory of NUMA nodes in boot logs: early node ranges, SRAT, and spans of nodes.
//!
//! Source: `free_area_init` of `mm/mm_init.c`, `acpi_numa_memory_affinity_init` of
//! `drivers/acpi/numa/srat.c`.

use super::PAGE_BYTES;
use super::address::{exclusive, inclusive, memory};
use super::error::{MapError, not_a_range};
use super::inventory::Span;
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{HotplugWindow, MapPart, Table};
use regex::{Captures, Regex};
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

const MEM: &str = r"\[mem (0x[0-9a-fA-F]+)-(0x[0-9a-fA-F]+)\]";

/// A word that each of the patterns of entries has. Most lines of a log have none, and need no other
/// search.
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"node\s|SRAT:|Initmem setup|->"));

/// `  node   0: [mem 0x…-0x…]`
static NODE: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"(?:^|\s)node\s+(\d+): {MEM}")));

/// Until Linux 3.4, in page frames with exclusive ends: `    0: 0x00000010 -> 0x0000009d`.
static OLD_NODE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:^|\s)(\d{1,4}): 0x([0-9a-fA-F]{8,16}) -> 0x([0-9a-fA-F]{8,16})\s*$"));

/// `ACPI: SRAT: Node 0 PXM 0 [mem 0x…-0x…] hotplug`; from Xen `SRAT: Node 0 PXM 0 [start, end]`;
/// before Linux 3.4 `SRAT: Node 0 PXM 0 0-a0000`.
static SRAT: LazyLock<Regex> = LazyLock::new(|| {
    let hex = "((?:0x)?[0-9a-fA-F]+)";
    pattern(&format!(r"SRAT: Node (\d+) PXM \d+ (?:\[(?:mem )?{hex}(?:-|, ){hex}\]|{hex}-{hex}\b)(.*)$"))
});

/// `Initmem setup node 0 [mem 0x…-0x…]`: the span of a node, from its first to its last page.
static SPAN: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"Initmem setup node (\d+) {MEM}")));

/// The beginning of one of these lines, to detect lines that are cut off or damaged.
static BEGUN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:^|[\s\]])node\s+\d+: \[mem\b|SRAT: Node \d+ PXM \d+(?: \[[^\]]*)?$|Initmem setup node \d+ \[mem[^\]]*$",
    )
});

/// The same, cut off so early that it may be anything.
static OPEN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:^|[\s\]])node\s+\d+:\s*$|SRAT:(?: Node(?: \d+(?: PXM)?)?)?\s*$|Initmem setup(?: node(?: \d+)?)?\s*$")
});

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"Early memory (?:node|PFN) ranges|early_node_map\[\d+\]|Zone (?:PFN )?ranges:|Movable zone start|^\s*(?:DMA|DMA32|Normal|Movable|Device|HighMem)\s+(?:\[mem|empty|0x[0-9a-f]+ ->)",
    )
});

fn node(line: usize, fields: &Captures<'_>) -> Result<Option<u8>, MapError> {
    let number = fields[1].parse().map_err(|_| MapError::BadAddress { line, text: fields[1].to_owned() })?;
    Ok(Some(number))
}

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if !WORD.is_match(text) {
        return Form::Other;
    }
    if [&*NODE, &*OLD_NODE, &*SRAT, &*SPAN].iter().any(|entry| entry.is_match(text)) {
        Form::Whole
    } else if BEGUN.is_match(text) || OPEN.is_match(text) {
        Form::Open
    } else {
        Form::Other
    }
}

/// Parses a line; `None` if it is not of this format.
pub(super) fn line(line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
    let Line { number, text, .. } = line;
    if !WORD.is_match(text) {
        return Ok(HEAD.is_match(text).then_some(Seen::Skipped("headings")));
    }
    let table = if let Some(fields) = NODE.captures(text) {
        let ends = inclusive(number, &fields[2], &fields[3])?;
        part.push(Table::EarlyNodes, memory(number, ends, Kind::Ram, node(number, &fields)?)?);
        Table::EarlyNodes
    } else if let Some(fields) = OLD_NODE.captures(text) {
        if let Some((first, last)) = exclusive(number, &fields[2], &fields[3])? {
            let bytes = |pfn: u64| pfn.checked_mul(PAGE_BYTES);
            let ends = bytes(first).zip(last.checked_add(1).and_then(bytes));
            let (start, end) = ends.ok_or_else(|| MapError::BadAddress { line: number, text: fields[3].to_owned() })?;
            part.push(Table::EarlyNodes, memory(number, (start, end - 1), Kind::Ram, node(number, &fields)?)?);
        }
        Table::EarlyNodes
    } else if let Some(fields) = SRAT.captures(text) {
        srat(number, &fields, part)?;
        Table::Srat
    } else if let Some(fields) = SPAN.captures(text) {
        let ends = inclusive(number, &fields[2], &fields[3])?;
        // A node without memory spans 0-0.
        if ends != (0, 0) {
            part.push(Table::NodeSpans, memory(number, ends, Kind::Ram, node(number, &fields)?)?);
        }
        Table::NodeSpans
    } else if BEGUN.is_match(text) {
        return Err(not_a_range(line));
    } else {
        return Ok(HEAD.is_match(text).then_some(Seen::Skipped("headings")));
    };
    part.sources.note(table.listing(), number);
    Ok(Some(Seen::Entry))
}

fn srat(line: usize, fields: &Captures<'_>, part: &mut MapPart) -> Result<(), MapError> {
    let ends = match fields.get(2) {
        Some(_) => Some(inclusive(line, &fields[2], &fields[3])?),
        // Kernels before 3.4 wrote the last byte or the one behind it.
        None if fields[5].to_ascii_lowercase().ends_with("fff") => Some(inclusive(line, &fields[4], &fields[5])?),
        None => exclusive(line, &fields[4], &fields[5])?,
    };
    let Some(ends) = ends else { return Ok(()) };
    let (what, node) = (&fields[6], node(line, fields)?);
    if what.contains("hotplug") {
        // Addresses where memory may appear later. Firmware often declares windows up to 2^50.
        let span = Span::new(ends.0, ends.1.saturating_add(1));
        part.hotplug_windows.extend(span.map(|span| HotplugWindow { span, node }));
        return Ok(());
    }
    let kind = if what.contains("non-volatile") { Kind::Persistent } else { Kind::Ram };
    part.push(Table::Srat, memory(line, ends, kind, node)?);
    Ok(())
}
