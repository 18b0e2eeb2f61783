//! `/proc/iomem` and text in its form: `start-end : name` with inclusive ends; children are
//! indented below their parents.

use super::address::{inclusive, memory};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::Line;
use super::part::{Found, MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

/// A file name may precede the line, for instance from `grep`.
static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    let hex = "((?:0[xX])?[0-9a-fA-F]+)";
    Regex::new(&format!(r"^\s*(?:/proc/iomem:\s*)?{hex}-{hex}\s+:\s+(.+)$")).expect("a valid pattern")
});

/// The beginning of a resource without a complete range: a number, a dash or a stray byte.
static BEGUN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*(?:0[xX])?[0-9a-fA-F]{4,}[^\s:]*-\S*(?:\s+:.*)?$").expect("a valid pattern"));

/// The lines of a part in the form of `/proc/iomem`.
#[derive(Default)]
pub(super) struct Resources {
    /// Number of lines; and of those that are not 0-0.
    lines: usize,
    shown: usize,
}

impl Resources {
    pub(super) fn any(&self) -> bool {
        self.lines > 0
    }

    pub(super) fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<bool, MapError> {
        let Some(fields) = RANGE.captures(line.text) else {
            // A damaged line is an error: as a line of an unknown format it would be skipped.
            return match BEGUN.is_match(line.text) && self.lines > 0 {
                true => Err(not_a_range(line)),
                false => Ok(false),
            };
        };
        self.lines += 1;
        let ends = inclusive(line.number, &fields[1], &fields[2])?;
        // Unassigned resources are 0-0; to users other than root every resource is.
        if ends == (0, 0) {
            return Ok(true);
        }
        self.shown += 1;
        if let Some(kind) = Kind::from_name(fields[3].trim()) {
            part.push(Table::Iomem, memory(line.number, ends, kind, None)?);
        }
        Ok(true)
    }

    /// Finishes the part. RAM inside a device is RAM that a driver made of that device.
    pub(super) fn finish(self, part: &mut MapPart, others: bool) -> Result<(), MapError> {
        if self.lines > 0 && self.shown == 0 && !others {
            return Err(MapError::Hidden);
        }
        let found = part.table_mut(Table::Iomem);
        let device = |f: &&Found| !matches!(f.range.kind, Kind::Ram | Kind::Window);
        let devices: Vec<_> = found.iter().filter(device).map(|f| f.range.clone()).collect();
        for entry in found {
            let range = &mut entry.range;
            if range.kind == Kind::Ram && devices.iter().any(|d| d.start <= range.start && range.end <= d.end) {
                range.kind = Kind::HotplugRam;
            }
        }
        Ok(())
    }
}
