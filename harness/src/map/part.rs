//! One part of a file: lines of one or several formats, told apart line by line.

use super::{
    Found, Kind, Line, MAX_PHYS_BITS, MapError, NoBase, Table, acpi, dmesg, iomem, json, lsmem, not_a_range, plain,
};
use memmap_layouts::Bytes;

/// What one part of a file gave.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) tables: Vec<(Table, Vec<Found>)>,
    /// Memory of which only the size is told.
    pub(super) no_base: Vec<NoBase>,
    pub(super) warnings: Vec<String>,
    /// Ranges of SRAT where memory may come one day.
    pub(super) windows: u64,
    /// Windows beyond any physical space.
    pub(super) beyond: u64,
    /// Memory in blocks that are offline.
    pub(super) offline_bytes: u64,
    /// Something of a known format was in it, memory or not.
    pub(super) understood: bool,
}

impl Part {
    /// What is to be said of what was left out.
    fn say(&mut self) {
        if self.windows > 0 {
            let nr = self.windows;
            self.warnings.push(format!("{nr} SRAT windows for hotplug are left out: they are no memory yet"));
        }
        if self.beyond > 0 {
            let nr = self.beyond;
            self.warnings.push(format!("{nr} windows beyond {MAX_PHYS_BITS} bits are left out"));
        }
        if self.offline_bytes > 0 {
            let bytes = Bytes(self.offline_bytes);
            self.warnings.push(format!("{bytes} of the memory blocks are offline; they are taken as RAM"));
        }
    }

    pub(super) fn push(&mut self, table: Table, found: Found) {
        match self.tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, ranges)) => ranges.push(found),
            None => self.tables.push((table, vec![found])),
        }
    }

    /// Takes the last range of a table away again, if it stands on one of the few lines before `line`.
    pub(super) fn pop(&mut self, table: Table, line: usize) -> bool {
        let last = self.tables.iter_mut().find(|(known, _)| *known == table).map(|(_, ranges)| ranges);
        last.is_some_and(|ranges| ranges.pop_if(|found| found.line + 8 > line).is_some())
    }

    /// The ranges of one table.
    pub(super) fn table_mut(&mut self, table: Table) -> &mut [Found] {
        let found = self.tables.iter_mut().find(|(known, _)| *known == table);
        found.map_or(&mut [], |(_, ranges)| ranges)
    }
}

/// Reads a part. A part of `/proc/iomem` (ranges with names, from its first line on, and nothing else that is known) holds
/// ranges only, so a line that is none is an error. Logs and dumps hold lines that are not ours.
pub(super) fn read(lines: &[Line<'_>]) -> Result<Part, MapError> {
    let mut part = Part::default();
    let mut readers = Readers::default();
    let mut unknown: Option<Line<'_>> = None;
    let mut others = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(taken) = json::read(&lines[at..], &mut part)? {
            (others, at) = (true, at + taken);
            continue;
        }
        if readers.resources.line(line, &mut part)? {
        } else if readers.line(line, &mut part)? {
            others = true;
        } else {
            unknown = unknown.or(Some(line));
        }
        at += 1;
    }
    match unknown {
        Some(line) if readers.resources.any() && !others => return Err(not_a_range(line)),
        _ => {}
    }
    part.understood = others || readers.resources.any();
    readers.resources.finish(&mut part, others)?;
    readers.tables.finish()?;
    part.say();
    Ok(part)
}

#[derive(Default)]
struct Readers {
    resources: iomem::Resources,
    tables: acpi::Tables,
    lsmem: lsmem::Columns,
}

impl Readers {
    /// True if a line is of one of the formats that stand beside others.
    fn line(&mut self, line: Line<'_>, part: &mut Part) -> Result<bool, MapError> {
        Ok(dmesg::line(line, part)?
            || self.lsmem.line(line, part)?
            || self.tables.line(line, part)?
            || plain::line(line, part)?)
    }
}

/// The kind of memory that a name stands for, as the kernel's resources and people call it; `None` for what is no memory.
///
/// Drivers add their name in parentheses, and the capitals changed over the years.
pub(super) fn kind_of(name: &str) -> Option<Kind> {
    let (base, driver) = match name.split_once(" (") {
        Some((base, driver)) => (base, Some(driver)),
        None => (name, None),
    };
    let base = base.trim().to_ascii_lowercase();
    match base.as_str() {
        "system ram" if driver.is_some() => Some(Kind::HotplugRam),
        "system ram" | "ram" | "usable" | "available" | "free" | "conventional" => Some(Kind::Ram),
        "persistent memory" | "pmem" | "persistent" => Some(Kind::Persistent),
        "soft reserved" => Some(Kind::SoftReserved),
        _ if base.starts_with("cxl window") => Some(Kind::Window),
        _ if base.split(|c: char| !c.is_ascii_alphanumeric()).next() == Some("cxl") => Some(Kind::SoftReserved),
        _ => None,
    }
}
