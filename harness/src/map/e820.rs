//! The firmware's memory map in boot logs: e820 of Linux and of Xen. Any prefix of a log is skipped.
//!
//! Source: `e820__print_table` and `e820_print_type` of `arch/x86/kernel/e820.c`, of Linux 2.6 to
//! 7.2, and `print_e820_memory_map` of Xen.

use super::address::{exclusive, inclusive, memory};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

const START: &str = r"(?:^|[\s\]:;(=])";
const SOURCE: &str = "(?P<source>BIOS-e820|BIOS-88|BIOS-e801|Xen|user|modified|extended|reserve setup_data)";

/// A word that each of the patterns below has. Most lines of a log have none, and need no other search.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"BIOS-|Xen:|user:|modified:|extended:|reserve setup_data:|\(XEN\)|[eE]820|RAM map"));

/// Since Linux 3.5, ends inclusive: `BIOS-e820: [mem 0x…-0x…] usable`. Linux 7.0 writes two spaces
/// before the type, and `gap` for a hole.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"{START}{SOURCE}: \[(?P<what>mem|gap) (?P<first>0x[0-9a-fA-F]+)-(?P<last>0x[0-9a-fA-F]+)\]\s*(?P<type>.*?)\s*$"
    ))
});

/// Until Linux 3.4 and Xen 4.13, ends exclusive: `BIOS-e820: 0000000000000000 - 000000000009f400
/// (usable)`.
static OLD_ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?:{START}{SOURCE}:|\(XEN\)(?:\s\[[^\]]*\])?)\s+(?P<first>[0-9a-fA-F]{{8,16}}) - (?P<end>[0-9a-fA-F]{{8,16}}) \(?(?P<type>[^()]+?)\)?\s*$"
    ))
});

/// The hypervisor Xen since 4.14, ends inclusive: `(XEN)  [0000000000000000, 000000000009fbff]
/// (usable)`.
static XEN_ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\(XEN\)(?:\s\[[^\]]*\])?\s+\[(?P<first>[0-9a-fA-F]{8,16}), (?P<last>[0-9a-fA-F]{8,16})\] \(?(?P<type>[^()]+?)\)?\s*$",
    )
});

/// The beginning of an entry.
static BEGUN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"{START}{SOURCE}: (?:\[(?:mem|gap)\b|\[$|[0-9a-fA-F]{{8,16}} -)|\(XEN\)(?:\s\[[^\]]*\])?\s+\[?[0-9a-fA-F]{{16}}(?:,| -)"
    ))
});

/// The same, cut off so early that it may be anything.
static OPEN: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"{START}{SOURCE}:\s*$|\(XEN\)\s*$")));

/// Changes of the table, which the tables that follow contain.
static CHANGE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:^|[\s\]])e820(?: range)?:? (?:update|remove|reserve|register)\b|reserve setup_data: \[mem [^\]]*\]$")
});

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:physical RAM map|(?:RAM|e820) map|TBOOT RAM map|e820 map has \d+ items|out of order E820 entry)[:!]?\s*$",
    )
});

/// Types of e820 in the words of all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Memory(Kind),
    Other,
}

const TYPES: [(&str, Type); 13] = [
    ("usable", Type::Memory(Kind::Ram)),
    ("system ram", Type::Memory(Kind::Ram)),
    ("kernel usable ram", Type::Memory(Kind::Ram)),
    ("soft reserved", Type::Memory(Kind::SoftReserved)),
    ("persistent", Type::Memory(Kind::Persistent)),
    ("reserved", Type::Other),
    ("device reserved", Type::Other),
    ("acpi data", Type::Other),
    ("acpi nvs", Type::Other),
    ("acpi tables", Type::Other),
    ("unusable", Type::Other),
    ("type ", Type::Other),
    ("(type ", Type::Other),
];

/// The type that words begin with, or that they begin: the second is false for a cut word.
fn type_of(words: &str) -> Option<(Type, bool)> {
    let words = words.to_ascii_lowercase();
    // A word ends where no letter follows, or where the next line was glued to it.
    let begins = |name: &str| words.strip_prefix(name).is_some();
    if let Some((_, kind)) = TYPES.iter().find(|(name, _)| begins(name)) {
        return Some((*kind, true));
    }
    let is_cut = |name: &str| words.len() >= 3 && name.starts_with(words.as_str());
    TYPES.iter().find(|(name, _)| is_cut(name)).map(|(_, kind)| (*kind, false))
}

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if !WORD.is_match(text) {
        return Form::Other;
    }
    if let Some(fields) = ENTRY.captures(text) {
        let is_whole = &fields["what"] == "gap" || matches!(type_of(&fields["type"]), Some((_, true)));
        return if is_whole { Form::Whole } else { Form::Open };
    }
    let words = OLD_ENTRY.captures(text).or_else(|| XEN_ENTRY.captures(text));
    if let Some(fields) = words {
        return if matches!(type_of(&fields["type"]), Some((_, true))) { Form::Whole } else { Form::Open };
    }
    if BEGUN.is_match(text) || OPEN.is_match(text) { Form::Open } else { Form::Other }
}

fn table(source: Option<&str>) -> Table {
    match source {
        Some("user" | "modified") => Table::UserE820,
        Some("extended" | "reserve setup_data") => Table::ExtendedE820,
        Some("Xen") => Table::GuestE820,
        _ => Table::FirmwareE820,
    }
}

/// Parses a line; `None` if it is not of this format.
pub(super) fn line(line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
    let Line { number, text, .. } = line;
    if !WORD.is_match(text) {
        return Ok(None);
    }
    let (fields, ends) = if let Some(fields) = ENTRY.captures(text) {
        let ends = inclusive(number, &fields["first"], &fields["last"])?;
        if &fields["what"] == "gap" {
            return Ok(Some(Seen::Entry));
        }
        (fields, Some(ends))
    } else if let Some(fields) = OLD_ENTRY.captures(text) {
        let ends = exclusive(number, &fields["first"], &fields["end"])?;
        (fields, ends)
    } else if let Some(fields) = XEN_ENTRY.captures(text) {
        let ends = inclusive(number, &fields["first"], &fields["last"])?;
        (fields, Some(ends))
    } else if CHANGE.is_match(text) {
        return Ok(Some(Seen::Skipped("changes of the firmware's map")));
    } else if BEGUN.is_match(text) {
        return Err(not_a_range(line));
    } else if HEAD.is_match(text) {
        return Ok(Some(Seen::Skipped("headings")));
    } else {
        return Ok(None);
    };
    let table = table(fields.name("source").map(|source| source.as_str()));
    match (type_of(&fields["type"]), ends) {
        (Some((Type::Memory(kind), true)), Some(ends)) => part.push(table, memory(number, ends, kind, None)?),
        (Some((_, true)) | Some((Type::Other, false)), _) => {}
        // A type that is cut off or missing would lose memory.
        (Some((Type::Memory(_), false)), _) => return Err(not_a_range(line)),
        (None, _) if fields["type"].is_empty() => return Err(not_a_range(line)),
        (None, _) => return Ok(None),
    }
    part.sources.note(table.listing(), number);
    Ok(Some(Seen::Entry))
}
