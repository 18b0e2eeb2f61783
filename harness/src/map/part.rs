//! The ranges that parsers find in one part of a map file.

use super::MAX_PHYS_BITS;
use super::kind::Kind;
use super::range::MapRange;
use memmap_layouts::ByteSize;

/// Memory whose source gives only the size.
#[derive(Clone, Debug)]
pub(super) struct NoBase {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) kind: Kind,
    pub(super) node: Option<u8>,
}

/// A range as a parser found it, with its line.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) range: MapRange,
}

/// The table that a range comes from, the most trustworthy first. Tables of one source describe the
/// same memory in different ways, so the best one is used, not their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// /proc/iomem.
    Iomem,
    /// `node N: [mem …]`: the kernel's summary of all the other tables.
    EarlyNodes,
    /// The e820 map after `memmap=` and `mem=`.
    UserE820,
    /// The e820 map of the firmware.
    FirmwareE820,
    /// Memory blocks, as `lsmem` shows them.
    Blocks,
    /// ACPI SRAT: memory affinity.
    Srat,
    /// Plain ranges: `start -> end type` and `base size`.
    Plain,
    /// Spans of nodes, from the first to the last page, holes included.
    NodeSpans,
    /// Listings of `ndctl`, `daxctl` and `cxl`.
    Devices,
    /// ACPI NFIT: persistent memory.
    Nfit,
    /// ACPI CEDT, and CXL decoders.
    Cedt,
}

/// The content of one part of a file.
#[derive(Debug, Default)]
pub(super) struct MapPart {
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

impl MapPart {
    /// Adds warnings about ranges that were ignored or reinterpreted.
    pub(super) fn add_warnings(&mut self) {
        if self.windows > 0 {
            let nr = self.windows;
            self.warnings.push(format!("SRAT windows for hotplug ignored, since they contain no memory yet: {nr}"));
        }
        if self.beyond > 0 {
            let nr = self.beyond;
            self.warnings.push(format!("windows ignored because they lie beyond {MAX_PHYS_BITS} bits: {nr}"));
        }
        if self.offline_bytes > 0 {
            let bytes = ByteSize(self.offline_bytes);
            self.warnings.push(format!("{bytes} of the memory blocks are offline; they count as RAM"));
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
