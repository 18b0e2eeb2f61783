//! One part of a file: lines of one or several formats, detected line by line.

use super::{
    Found, Kind, Line, MAX_PHYS_BITS, MapError, NoBase, Table, acpi, dmesg, iomem, json, lsmem, not_a_range, plain,
};
use memmap_layouts::ByteSize;

/// The content of one part of a file.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) tables: Vec<(Table, Vec<Found>)>,
    /// Memory whose source gives only the size.
    pub(super) no_base: Vec<NoBase>,
    pub(super) warnings: Vec<String>,
    /// Number of SRAT ranges where memory may be added later.
    pub(super) windows: u64,
    /// Number of windows beyond any physical address space.
    pub(super) beyond: u64,
    /// Bytes of memory in offline blocks.
    pub(super) offline_bytes: u64,
    /// True if the part contains any known format, with or without memory.
    pub(super) understood: bool,
}

impl Part {
    /// Adds warnings about what was left out.
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
            let bytes = ByteSize(self.offline_bytes);
            self.warnings.push(format!("{bytes} of the memory blocks are offline; they are taken as RAM"));
        }
    }

    pub(super) fn push(&mut self, table: Table, found: Found) {
        match self.tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, ranges)) => ranges.push(found),
            None => self.tables.push((table, vec![found])),
        }
    }

    /// Removes the last range of a table if it comes from one of the few lines before `line`;
    /// returns whether it did.
    pub(super) fn pop(&mut self, table: Table, line: usize) -> bool {
        let last = self.tables.iter_mut().find(|(known, _)| *known == table).map(|(_, ranges)| ranges);
        last.is_some_and(|ranges| ranges.pop_if(|found| found.line + 8 > line).is_some())
    }

    /// The ranges of one table, to be modified.
    pub(super) fn table_mut(&mut self, table: Table) -> &mut [Found] {
        let found = self.tables.iter_mut().find(|(known, _)| *known == table);
        found.map_or(&mut [], |(_, ranges)| ranges)
    }
}

/// Parses a part. A part in the form of `/proc/iomem` has named ranges from its first line on and
/// no other known format. Any other line in it is an error. Logs and dumps may contain unknown
/// lines.
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
    /// Parses a line in a format that may be mixed with others; returns false if it is in none.
    fn line(&mut self, line: Line<'_>, part: &mut Part) -> Result<bool, MapError> {
        Ok(dmesg::line(line, part)?
            || self.lsmem.line(line, part)?
            || self.tables.line(line, part)?
            || plain::line(line, part)?)
    }
}

/// The kind of memory that a name stands for, in the kernel's terms or in common ones; `None` if it
/// is not memory.
///
/// Drivers append their name in parentheses, and capitalisation has changed over the years.
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
