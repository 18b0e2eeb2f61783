//! Ranges written by hand: `base size` in hexadecimal, and `start -> end type` with an exclusive
//! end.

use super::address::{exclusive, memory, sized};
use super::error::MapError;
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

/// Both numbers with `0x`, or both as wide as printed addresses. Other pairs of numbers may be
/// anything.
static BASE_SIZE: LazyLock<Regex> = LazyLock::new(|| {
    let hex = "[0-9a-fA-F]";
    Regex::new(&format!(
        r"^\s*(?:0[xX]({hex}{{1,16}})\s+0[xX]({hex}{{1,16}})|({hex}{{8,16}})\s+({hex}{{8,16}}))(?:\s+(\S.*?))?\s*$"
    ))
    .expect("a valid pattern")
});

static ARROW: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[\s\]:])(0[xX][0-9a-fA-F]+)\s*->\s*(0[xX][0-9a-fA-F]+)[\s:]+\(?([A-Za-z][A-Za-z ()]*?)\)?\s*$")
        .expect("a valid pattern")
});

static OPEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:^|[\s\]:])0[xX][0-9a-fA-F]+\s*->\s*(?:0[xX][0-9a-fA-F]*)?\s*$").expect("a valid pattern")
});

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    let has_arrow = text.contains("->");
    if has_arrow && ARROW.is_match(text) || BASE_SIZE.is_match(text) {
        Form::Whole
    } else if has_arrow && OPEN.is_match(text) {
        Form::Open
    } else {
        Form::Other
    }
}

/// Parses a line; `None` if it is in none of these formats.
pub(super) fn line(line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
    let Line { number, text, .. } = line;
    if let Some(fields) = Some(text).filter(|text| text.contains("->")).and_then(|text| ARROW.captures(text)) {
        if let (Some(ends), Some(kind)) = (exclusive(number, &fields[1], &fields[2])?, Kind::from_name(&fields[3])) {
            part.push(Table::Plain, memory(number, ends, kind, None)?);
        }
        part.sources.note(Table::Plain.listing(), number);
        return Ok(Some(Seen::Entry));
    }
    let Some(fields) = BASE_SIZE.captures(text) else { return Ok(None) };
    let field =
        |with_0x: usize| fields.get(with_0x).or_else(|| fields.get(with_0x + 2)).map_or("", |field| field.as_str());
    let hex = |text: &str| {
        u64::from_str_radix(text, 16).map_err(|_| MapError::BadAddress { line: number, text: text.to_owned() })
    };
    let kind = match fields.get(5) {
        None => Some(Kind::Ram),
        Some(name) => Kind::from_name(name.as_str()),
    };
    // With an unknown type, the line may come from anything with three columns, e.g. a stack dump.
    let Some(kind) = kind else { return Ok(None) };
    if let Some(ends) = sized(number, hex(field(1))?, hex(field(2))?)? {
        part.push(Table::Plain, memory(number, ends, kind, None)?);
    }
    part.sources.note(Table::Plain.listing(), number);
    Ok(Some(Seen::Entry))
}
