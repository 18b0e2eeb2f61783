//! The known formats of machine descriptions, tried line by line. One text may mix them.

use super::error::MapError;
use super::line::{Form, Line, Seen};
use super::part::MapPart;
use super::{acpi, e820, efi, iomem, json, json_text, known_lines, lsmem, memblock, numa, plain};

/// What the formats make of a line.
pub(super) fn form(text: &str) -> Form {
    let forms = [e820::form, efi::form, numa::form, memblock::form, iomem::form, lsmem::form, acpi::form, plain::form];
    let mut best = Form::Other;
    for form in forms {
        best = best.max(form(text));
        if best == Form::Whole {
            break;
        }
    }
    best
}

/// Whether a line is an entry of a listing, or begins JSON.
pub(super) fn is_entry(text: &str) -> bool {
    form(text) == Form::Whole || json_text::begins_json(text)
}

/// Parses a part.
///
/// # Errors
/// A line begins as an entry of a listing, and is damaged, cut off, or impossible.
pub(super) fn read_part(lines: &[Line<'_>]) -> Result<MapPart, MapError> {
    let mut part = MapPart::default();
    let mut parsers = FormatParsers::default();
    let mut others = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        part.check_entries()?;
        if let Some(taken) = json::read(&lines[at..], &mut part)? {
            (others, at) = (true, at + taken);
            continue;
        }
        at += 1;
        if known_lines::is_removed(line) {
            part.skip("lines that a diff removes", line.number);
            continue;
        }
        let mut seen = parsers.resources.line(line, &mut part)?;
        if seen.is_none() {
            seen = parsers.line(line, &mut part)?;
            others |= seen == Some(Seen::Entry);
        }
        match seen.or_else(|| known_lines::kind(line).map(Seen::Skipped)) {
            Some(Seen::Entry) => {}
            Some(Seen::Skipped(kind)) => part.skip(kind, line.number),
            Some(Seen::NotUnderstood) | None => part.unknown_line(line),
        }
    }
    parsers.resources.finish(&mut part, others)?;
    parsers.tables.finish()?;
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
    /// Parses a line in a format other than `/proc/iomem`; `None` if it is in none.
    fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
        for parse in [e820::line, efi::line, numa::line, memblock::line] {
            if let Some(seen) = parse(line, part)? {
                return Ok(Some(seen));
            }
        }
        if let Some(seen) = self.lsmem.line(line, part)? {
            return Ok(Some(seen));
        }
        if let Some(seen) = self.tables.line(line, part)? {
            return Ok(Some(seen));
        }
        plain::line(line, part)
    }
}
