//! The memory of `memblock`, the allocator of the early boot, as `memblock=debug` prints it.
//!
//! Source: `memblock_dump` of `mm/memblock.c`.

use super::address::{inclusive, memory};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

/// What each pattern of an entry has. Most lines of a log do not, and need no other search.
const WORD: &str = "[0x";

/// ` memory[0x0]<TAB>[0x…-0x…], 0x… bytes on node 0 flags: 0x0`. Older kernels write fewer digits.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?:^|[\s\]])(?P<table>memory|reserved|physmem)\[(?P<nr>0x[0-9a-fA-F]+)\]\s+\[(?P<first>0x[0-9a-fA-F]+)-(?P<last>0x[0-9a-fA-F]+)\](?P<rest>.*)$",
    )
    .expect("a valid pattern")
});

static NODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"on node (\d+)").expect("a valid pattern"));

static BEGUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?:^|[\s\]])memory\[0x[0-9a-fA-F]+\]\s*\[?[^\]]*$").expect("a valid pattern"));

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"MEMBLOCK configuration:|(?:^|[\s\]])memory size = 0x|(?:memory|reserved|physmem)\.cnt\s*=|memblock_(?:reserve|add|remove|free|alloc\w*|phys_\w+):",
    )
    .expect("a valid pattern")
});

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if !text.contains(WORD) {
        return Form::Other;
    }
    match ENTRY.captures(text) {
        // A mail client wraps behind the comma.
        Some(fields) if fields["rest"].trim() == "," => Form::Open,
        Some(_) => Form::Whole,
        None if BEGUN.is_match(text) => Form::Open,
        None => Form::Other,
    }
}

/// Parses a line; `None` if it is not of this format.
pub(super) fn line(line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
    let Line { number, text, .. } = line;
    let Some(fields) = Some(text).filter(|text| text.contains(WORD)).and_then(|text| ENTRY.captures(text)) else {
        return match () {
            () if HEAD.is_match(text) => Ok(Some(Seen::Skipped("headings"))),
            () if text.contains(WORD) && BEGUN.is_match(text) => Err(not_a_range(line)),
            () => Ok(None),
        };
    };
    let ends = inclusive(number, &fields["first"], &fields["last"])?;
    if &fields["table"] != "memory" {
        // Memory that the kernel took for itself is no hole.
        return Ok(Some(Seen::Skipped("reservations of memblock")));
    }
    // The dump is printed several times; each replaces the one before.
    if fields["nr"].trim_start_matches("0x").chars().all(|digit| digit == '0') {
        part.clear(Table::Memblock);
    }
    let node = NODE.captures(&fields["rest"]).and_then(|node| node[1].parse().ok());
    part.push(Table::Memblock, memory(number, ends, Kind::Ram, node)?);
    part.sources.note(Table::Memblock.listing(), number);
    Ok(Some(Seen::Entry))
}
