//! The known formats of memory maps, tried line by line.

use super::error::{MapError, not_a_range};
use super::line::Line;
use super::part::MapPart;
use super::{acpi, dmesg, iomem, json, lsmem, plain};

/// Parses a part. A part in the form of `/proc/iomem` has named ranges from its first line on and
/// no other known format. Any other line in it is an error. Logs and dumps may contain unknown
/// lines.
pub(super) fn read_part(lines: &[Line<'_>]) -> Result<MapPart, MapError> {
    let mut part = MapPart::default();
    let mut parsers = FormatParsers::default();
    let mut unknown: Option<Line<'_>> = None;
    let mut others = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(taken) = json::read(&lines[at..], &mut part)? {
            (others, at) = (true, at + taken);
            continue;
        }
        if parsers.resources.line(line, &mut part)? {
        } else if parsers.line(line, &mut part)? {
            others = true;
        } else {
            unknown = unknown.or(Some(line));
        }
        at += 1;
    }
    match unknown {
        Some(line) if parsers.resources.any() && !others => return Err(not_a_range(line)),
        _ => {}
    }
    part.understood = others || parsers.resources.any();
    parsers.resources.finish(&mut part, others)?;
    parsers.tables.finish()?;
    part.add_warnings();
    Ok(part)
}

/// The formats whose parsers keep state between lines.
#[derive(Default)]
struct FormatParsers {
    resources: iomem::Resources,
    tables: acpi::Tables,
    lsmem: lsmem::Columns,
}

impl FormatParsers {
    /// Parses a line in a format that may be mixed with others; returns false if it is in none.
    fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<bool, MapError> {
        Ok(dmesg::line(line, part)?
            || self.lsmem.line(line, part)?
            || self.tables.line(line, part)?
            || plain::line(line, part)?)
    }
}
