//! `/proc/iomem`: inclusive ends, children indented below their parents.

use super::{Found, Kind, Line, MapError, Part, Table, inclusive, memory, not_a_range};
use regex::Regex;
use std::sync::LazyLock;

static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*((?:0[xX])?[0-9a-fA-F]+)-((?:0[xX])?[0-9a-fA-F]+)\s+:\s+(.+)$").expect("a valid pattern")
});

/// Has the line the form of a range, whatever its numbers?
pub(super) fn is_range(line: &str) -> bool {
    RANGE.is_match(line)
}

/// The kind of memory that a resource name stands for; `None` for what is no memory.
///
/// Drivers add their name in parentheses, and the capitals changed over the years.
fn kind(name: &str) -> Option<Kind> {
    let (base, driver) = match name.split_once(" (") {
        Some((base, driver)) => (base, Some(driver)),
        None => (name, None),
    };
    match base.to_ascii_lowercase().as_str() {
        "system ram" if driver.is_some() => Some(Kind::HotplugRam),
        "system ram" => Some(Kind::Ram),
        "persistent memory" => Some(Kind::Persistent),
        "soft reserved" => Some(Kind::SoftReserved),
        _ => None,
    }
}

/// Reads a part in which every line is a range.
pub(super) fn read(lines: &[Line<'_>]) -> Result<Part, MapError> {
    let mut part = Part::default();
    let mut found: Vec<Found> = Vec::new();
    let mut shown = 0;
    for &line in lines {
        let Line { number, text } = line;
        let Some(fields) = RANGE.captures(text) else {
            return Err(not_a_range(line));
        };
        let ends = inclusive(number, &fields[1], &fields[2])?;
        // Resources that are not assigned, and all of them for users other than root.
        if ends == (0, 0) {
            continue;
        }
        shown += 1;
        if let Some(kind) = kind(fields[3].trim()) {
            found.push(memory(number, ends, kind, None)?);
        }
    }
    if shown == 0 {
        return Err(MapError::Hidden);
    }
    // RAM inside a device is RAM that a driver made of it.
    let devices: Vec<_> = found.iter().filter(|f| f.range.kind != Kind::Ram).map(|f| f.range.clone()).collect();
    for entry in &mut found {
        let range = &mut entry.range;
        if range.kind == Kind::Ram && devices.iter().any(|d| d.start <= range.start && range.end <= d.end) {
            range.kind = Kind::HotplugRam;
        }
    }
    found.into_iter().for_each(|entry| part.push(Table::Iomem, entry));
    Ok(part)
}
