//! `lsmem`: memory blocks as a table of ranges. (`json.rs` parses its JSON.)

use super::address::{inclusive, memory};
use super::error::MapError;
use super::kind::Kind;
use super::line::Line;
use super::part::{Found, MapPart, Table};
use crate::size::parse_size;
use regex::Regex;
use std::sync::LazyLock;

static ROW: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(0[xX][0-9a-fA-F]+)-(0[xX][0-9a-fA-F]+)\s+([0-9][0-9.,]*\s?[A-Za-z]*)(?:\s+(.*))?$")
        .expect("a valid pattern")
});

/// The column names of the table that is being parsed.
#[derive(Default)]
pub(super) struct Columns(Vec<String>);

impl Columns {
    /// Parses a line. Returns false if it is not part of the table.
    pub(super) fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<bool, MapError> {
        let words: Vec<&str> = line.text.split_whitespace().collect();
        if words.first() == Some(&"RANGE") && words.contains(&"SIZE") {
            self.0 = words.into_iter().map(str::to_owned).collect();
            return Ok(true);
        }
        let Some(fields) = ROW.captures(line.text) else { return Ok(false) };
        let node = self.0.iter().position(|name| name == "NODE").and_then(|at| words.get(at)?.parse().ok());
        // The range is checked first: beyond the address space not even the size can be
        // represented.
        let found = memory(line.number, inclusive(line.number, &fields[1], &fields[2])?, Kind::Ram, node)?;
        check_size(&found, &fields[3])?;
        push(part, found, words.contains(&"offline"));
        Ok(true)
    }
}

/// Stores a block range of `lsmem`, from the table or from JSON.
pub(super) fn push(part: &mut MapPart, found: Found, offline: bool) {
    if offline {
        part.offline_bytes += found.range.end - found.range.start;
    }
    part.push(Table::Blocks, found);
}

/// Checks that the size beside a range matches the range, up to rounding.
pub(super) fn check_size(found: &Found, text: &str) -> Result<(), MapError> {
    let (line, bytes) = (found.line, found.range.end - found.range.start);
    let given = parse_size(text).map_err(|_| MapError::BadSize { line, text: text.to_owned() })?;
    // One decimal, truncated or rounded: the error is below a tenth of the unit, and the size is at
    // least one unit.
    if given.abs_diff(bytes) > bytes / 10 {
        return Err(MapError::SizeOfRange { line, text: text.trim().to_owned(), bytes });
    }
    Ok(())
}
