//! The memory map of EFI in boot logs, as `efi=debug` prints it.
//!
//! Source: `efi_print_memmap` and `efi_md_typeattr_format` of `drivers/firmware/efi`.

use super::address::{exclusive, inclusive, memory};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

/// The word that each of the patterns below has. Most lines of a log do not, and need no other search.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new("(?i:efi):").expect("a valid pattern"));

/// On x86, `efi: mem00: [Conventional Memory|…] range=[0x…-0x…] (3MB)`; until Linux 4.11 with an
/// exclusive end and `)`; until 3.18 with `type=7, attr=0xf,`.
static X86: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i:efi): mem\d+: (?:\[(?P<type>[^|\]]*)(?P<attributes>[^\]]*)\]|type=(?P<code>\d+), attr=(?P<attr>0x[0-9a-fA-F]+),) range=\[(?P<first>0x[0-9a-fA-F]+)-(?P<last>0x[0-9a-fA-F]+)(?P<end>[)\]])",
    )
    .expect("a valid pattern")
});

/// On other architectures, `efi:   0x010ff788b000-0x010ff788dfff [Conventional Memory|…]`.
static OTHER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i:efi):\s+(?P<first>0x[0-9a-fA-F]{8,16})-(?P<last>0x[0-9a-fA-F]{8,16}) \[(?P<type>[^|\]]*)(?P<attributes>[^\]]*)\]",
    )
    .expect("a valid pattern")
});

static BEGUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i:efi): mem\d+: (?:\[|type=)").expect("a valid pattern"));

/// The same, cut off so early that it may be anything.
static OPEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[\s\]])(?i:efi):(?: mem\d+:)?\s*$").expect("a valid pattern"));

/// `EFI_MEMORY_SP`, memory for a specific purpose.
const SPECIFIC_PURPOSE: u64 = 1 << 18;

/// The types by number, with the name in current kernels and the one in older ones. Source: `memory_type_name` of
/// `drivers/firmware/efi/efi.c`.
const TYPES: [[&str; 2]; 16] = [
    ["reserved", "reserved"],
    ["loader code", "loader code"],
    ["loader data", "loader data"],
    ["boot code", "boot code"],
    ["boot data", "boot data"],
    ["runtime code", "runtime code"],
    ["runtime data", "runtime data"],
    ["conventional", "conventional memory"],
    ["unusable", "unusable memory"],
    ["acpi reclaim", "acpi reclaim memory"],
    ["acpi mem nvs", "acpi memory nvs"],
    ["mmio", "memory mapped i/o"],
    ["mmio port", "mmio port space"],
    ["pal code", "pal code"],
    ["persistent", "persistent memory"],
    ["unaccepted", "unaccepted"],
];

/// The number of a type, by its name or as a number; `None` if it is unknown.
fn type_number(name: &str) -> Option<usize> {
    let name = name.trim().to_ascii_lowercase();
    let number = name.parse().ok().filter(|number| *number < TYPES.len());
    number.or_else(|| TYPES.iter().position(|names| names.contains(&name.as_str())))
}

/// The kind of memory of a type; `None` if it is none that the system uses. Source:
/// `do_add_efi_memmap` of `arch/x86/platform/efi/efi.c`, and `setup_e820` of the boot stub for unaccepted
/// memory, which is RAM of a confidential guest.
fn kind(number: usize, is_specific: bool) -> Option<Kind> {
    match number {
        7 if is_specific => Some(Kind::SoftReserved),
        1..=4 | 7 | 15 => Some(Kind::Ram),
        14 => Some(Kind::Persistent),
        _ => None,
    }
}

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if !WORD.is_match(text) {
        Form::Other
    } else if X86.is_match(text) || OTHER.is_match(text) {
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
        return Ok(None);
    }
    let Some(fields) = X86.captures(text).or_else(|| OTHER.captures(text)) else {
        return if BEGUN.is_match(text) { Err(not_a_range(line)) } else { Ok(None) };
    };
    let word = |name| fields.name(name).map_or("", |word: regex::Match<'_>| word.as_str());
    let ends = match word("end") {
        ")" => exclusive(number, word("first"), word("last"))?,
        _ => Some(inclusive(number, word("first"), word("last"))?),
    };
    let attribute = word("attributes").split('|').any(|flag| flag.trim() == "SP");
    let number_of = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0);
    let coded = number_of(word("attr")) | word("attributes").split_once("attr=").map_or(0, |(_, code)| number_of(code));
    let name = if word("type").is_empty() { word("code") } else { word("type") };
    let Some(number_of_type) = type_number(name) else { return Ok(Some(Seen::NotUnderstood)) };
    if let (Some(kind), Some(ends)) = (kind(number_of_type, attribute || coded & SPECIFIC_PURPOSE != 0), ends) {
        part.push(Table::Efi, memory(number, ends, kind, None)?);
    }
    part.sources.note(Table::Efi.listing(), number);
    Ok(Some(Seen::Entry))
}
