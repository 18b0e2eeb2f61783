//! What parsers find in one part of a text.

use super::MOST_ENTRIES;
use super::error::{MapError, shortened};
use super::inventory::{Inventory, Listing, Span};
use super::line::Line;
use super::range::MapRange;
use super::reading::{Skipped, SourceLines, UnknownLine};
use std::collections::BTreeMap;

/// A range as a parser found it, with its line.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) range: MapRange,
}

/// Addresses where memory may appear later, with the node that it will have.
#[derive(Clone, Copy, Debug)]
pub(super) struct HotplugWindow {
    pub(super) span: Span,
    pub(super) node: Option<u8>,
}

/// The table that a range comes from, the most trustworthy first. Tables of one source describe the
/// same memory in different ways, so the best one is used, not their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// The ranges of `pfnbench map --json`, which are those of the best table already.
    Combined,
    /// /proc/iomem.
    Iomem,
    /// `node N: [mem …]`: the kernel's summary of all the other tables.
    EarlyNodes,
    /// The memory of `memblock`, which the nodes are made of.
    Memblock,
    /// The e820 map after `memmap=` and `mem=`.
    UserE820,
    /// The e820 map of the firmware.
    FirmwareE820,
    /// The same map, cut where setup data lies.
    ExtendedE820,
    /// The map of EFI, from which the firmware makes that of e820.
    Efi,
    /// The e820 map of a guest under the hypervisor whose own map stands beside it.
    GuestE820,
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

impl Table {
    /// The listing that the table is a part of. Those of devices have several.
    pub(super) fn listing(self) -> Listing {
        match self {
            Self::Combined => Listing::Pfnbench,
            Self::Iomem => Listing::Iomem,
            Self::EarlyNodes | Self::NodeSpans => Listing::EarlyNodes,
            Self::Memblock => Listing::Memblock,
            Self::UserE820 | Self::FirmwareE820 | Self::ExtendedE820 | Self::GuestE820 | Self::Efi => Listing::BootMap,
            Self::Blocks => Listing::Lsmem,
            Self::Srat => Listing::Srat,
            Self::Plain => Listing::Plain,
            Self::Devices => Listing::Daxctl,
            Self::Nfit => Listing::Nfit,
            Self::Cedt => Listing::Cedt,
        }
    }
}

/// The lines of each listing.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(BTreeMap<Listing, SourceLines>);

impl Sources {
    /// Counts an entry of a listing.
    pub(super) fn note(&mut self, listing: Listing, line: usize) {
        let lines =
            self.0.entry(listing).or_insert(SourceLines { listing, first_line: line, last_line: line, entries: 0 });
        lines.first_line = lines.first_line.min(line);
        lines.last_line = lines.last_line.max(line);
        lines.entries += 1;
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (listing, lines) in other.0 {
            let known = self.0.entry(listing).or_insert(SourceLines { entries: 0, ..lines });
            known.first_line = known.first_line.min(lines.first_line);
            known.last_line = known.last_line.max(lines.last_line);
            known.entries += lines.entries;
        }
    }

    /// Number of entries of all listings.
    pub(super) fn entries(&self) -> usize {
        self.0.values().map(|lines| lines.entries).sum()
    }

    pub(super) fn into_lines(self) -> Vec<SourceLines> {
        self.0.into_values().collect()
    }
}

/// The content of one part of a text.
#[derive(Debug, Default)]
pub(super) struct MapPart {
    pub(super) tables: Vec<(Table, Vec<Found>)>,
    pub(super) warnings: Vec<String>,
    /// SRAT ranges where memory may be added later.
    pub(super) hotplug_windows: Vec<HotplugWindow>,
    /// Number of windows beyond any physical address space.
    pub(super) beyond: u64,
    /// Resources inside windows that are no memory.
    pub(super) others: Vec<Span>,
    pub(super) inventory: Inventory,
    pub(super) sources: Sources,
    pub(super) skipped: Vec<Skipped>,
    /// What `lsmem` states of all its blocks.
    pub(super) lsmem_totals: super::lsmem::Totals,
    pub(super) unknown: Vec<UnknownLine>,
    pub(super) contradictions: Vec<String>,
}

impl MapPart {
    pub(super) fn push(&mut self, table: Table, found: Found) {
        match self.tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, ranges)) => ranges.push(found),
            None => self.tables.push((table, vec![found])),
        }
    }

    /// Adds what another part has, apart from its tables.
    pub(super) fn absorb(&mut self, part: Self) {
        self.warnings.extend(part.warnings);
        self.hotplug_windows.extend(part.hotplug_windows);
        self.beyond += part.beyond;
        self.others.extend(part.others);
        self.inventory.extend(part.inventory);
        self.sources.merge(part.sources);
        self.lsmem_totals.merge(part.lsmem_totals);
        for skipped in part.skipped {
            match self.skipped.iter_mut().find(|known| known.kind == skipped.kind) {
                Some(known) => known.lines += skipped.lines,
                None => self.skipped.push(skipped),
            }
        }
        self.unknown.extend(part.unknown);
        self.contradictions.extend(part.contradictions);
    }

    /// Fails if there are more entries than any machine has.
    pub(super) fn check_entries(&self) -> Result<(), MapError> {
        if self.sources.entries() > MOST_ENTRIES { Err(MapError::TooManyEntries) } else { Ok(()) }
    }

    /// Removes all ranges of a table.
    pub(super) fn clear(&mut self, table: Table) {
        self.tables.retain(|(known, _)| *known != table);
    }

    /// Removes the last range of a table if it comes from one of the few lines before `line`, and
    /// returns it.
    pub(super) fn pop(&mut self, table: Table, line: usize) -> Option<Found> {
        let (_, ranges) = self.tables.iter_mut().find(|(known, _)| *known == table)?;
        ranges.pop_if(|found| found.line + 8 > line)
    }

    /// The ranges of one table, to be modified.
    pub(super) fn table_mut(&mut self, table: Table) -> &mut [Found] {
        let found = self.tables.iter_mut().find(|(known, _)| *known == table);
        found.map_or(&mut [], |(_, ranges)| ranges)
    }

    /// Notes a line that was not understood.
    pub(super) fn unknown_line(&mut self, line: Line<'_>) {
        self.unknown.push(UnknownLine { line: line.number, text: shortened(line.text) });
    }

    /// Counts a line that says nothing of memory.
    pub(super) fn skip(&mut self, kind: &'static str, line: usize) {
        match self.skipped.iter_mut().find(|skipped| skipped.kind == kind) {
            Some(skipped) => skipped.lines += 1,
            None => self.skipped.push(Skipped { kind, lines: 1, first: line }),
        }
    }
}
