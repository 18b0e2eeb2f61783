//! The lines of a text, and its parts.

use super::decoration::CleanLine;

/// A line that may contain a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// True if a logger wrote it.
    pub(super) is_logged: bool,
}

/// What a format makes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// It is not of this format.
    Other,
    /// It begins as an entry, and the rest is missing.
    Open,
    /// It is an entry, or a head of a table.
    Whole,
}

/// What a parser did with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is an entry of a listing.
    Entry,
    /// It is known, and says nothing of memory; the kind of such lines.
    Skipped(&'static str),
    /// It is of a listing, and what it says is unknown.
    NotUnderstood,
}

/// Splits lines into parts, without comments. A line that begins with `---` starts a part.
pub(super) fn parts(lines: &[CleanLine]) -> Vec<Vec<Line<'_>>> {
    let mut parts = vec![Vec::new()];
    for line in lines {
        let content = line.text.trim_start();
        if content.starts_with("---") {
            parts.push(Vec::new());
        } else if !content.starts_with('#') {
            parts.last_mut().expect("there is always a part").push(line.as_line());
        }
    }
    parts
}
