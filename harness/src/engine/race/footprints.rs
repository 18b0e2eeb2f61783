//! Rows on the memory that layouts occupy.

use super::Race;
use crate::analysis::huge_pages::{IN_HUGE_PAGES, INDEX_IN_HUGE_PAGES};
use crate::case::{Memory, NO_CHECK};
use crate::engine::contestant::{Contestant, Entry};
use crate::record::row::{Row, Status};
use memmap_layouts::Geometry;

impl<G: Geometry> Race<'_, G> {
    fn push_bytes(&mut self, layout: &str, memory: Memory, bytes: &[(&str, u64)]) {
        for (metric, bytes) in bytes {
            let mut row = self.row(layout, "footprint", metric, "bytes");
            (row.memory, row.value) = (Some(memory), Some(*bytes as f64));
            self.outcome.rows.push(row);
        }
    }

    /// The layouts that have this memory, without the bound: its tables are those of the layout below it.
    fn owners(&self, memory: Memory) -> impl Iterator<Item = &dyn Contestant<G>> {
        let layouts = self.field.layouts.iter().map(|layout| &**layout).filter(|layout| layout.id() != NO_CHECK);
        layouts.filter(move |layout| memory == Memory::Boot || self.field.takes_added(*layout))
    }

    /// Adds rows with the bytes of records and index tables in huge pages, if those were requested.
    pub(super) fn push_huge_pages(&mut self, memory: Memory) {
        let found: Vec<_> = self
            .owners(memory)
            .flat_map(|l| {
                let records = (IN_HUGE_PAGES, l.bytes_in_huge_pages());
                let index = (INDEX_IN_HUGE_PAGES, l.index_bytes_in_huge_pages());
                [records, index].map(|(metric, bytes)| (l.id(), metric, bytes))
            })
            .collect();
        for (layout, metric, bytes) in found {
            if let Some(bytes) = bytes {
                self.push_bytes(layout, memory, &[(metric, bytes)]);
            }
        }
    }

    pub(super) fn footprint_of_boot(&mut self, entries: &[Entry<G>]) {
        for entry in entries.iter().filter(|entry| entry.id != NO_CHECK) {
            let refused = self.field.refused.iter().find(|refused| refused.layout == entry.id);
            if let Some(refused) = refused {
                let row = Row {
                    value: Some(refused.need_bytes as f64),
                    status: Status::WouldNotBoot,
                    reason: Some(refused.reason.clone()),
                    ..self.row(entry.id, "boot", "records_needed", "bytes")
                };
                self.outcome.rows.push(row);
            } else if let Some(layout) = self.field.layouts.iter().find(|layout| layout.id() == entry.id) {
                let footprint = layout.footprint();
                let bytes = [
                    ("records_needed", (entry.boot_record_bytes)(&self.field.plan.boot)),
                    ("records_backed", footprint.ram_record_bytes),
                    ("index", footprint.index_bytes),
                    ("page_tables", footprint.page_table_bytes),
                    ("reserved", footprint.reserved_bytes),
                ];
                self.push_bytes(entry.id, Memory::Boot, &bytes);
            }
        }
    }

    pub(super) fn footprint_of_added(&mut self) {
        let footprints: Vec<_> = self.owners(Memory::Added).map(|layout| (layout.id(), layout.footprint())).collect();
        for (layout, footprint) in footprints {
            let bytes = [
                ("index", footprint.index_bytes),
                ("records_backed", footprint.ram_record_bytes + footprint.device_record_bytes),
                ("records_on_device", footprint.device_record_bytes),
            ];
            self.push_bytes(layout, Memory::Added, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory_plan::MapMemory;
    use crate::engine::race::test_support::{machine, settings, with_race};
    use crate::interrupt::Interrupt;
    use crate::map::builtin;
    use memmap_layouts::{BootMap, PfnRange};

    /// A layout that adds whole sections only does not have memory that is added in parts.
    #[test]
    fn layouts_without_the_added_memory_have_no_rows_of_it() {
        let map = MapMemory::new(&builtin::by_name("holes-2m").unwrap()).unwrap();
        with_race(map, &settings(), |race| {
            assert!(race.field.hot_add(&Interrupt::default()).unwrap());
            race.footprint_of_added();
            let has = |layout: &str| race.outcome.rows.iter().any(|row| row.layout == layout && row.metric == "index");
            assert!(has("subsection") && has("validmap"));
            assert!(!has("sparse") && !has("vmemmap-section") && !has("linux-5.2") && !has(NO_CHECK));
        });
    }

    #[test]
    fn memory_in_parts_that_no_layout_adds_is_not_added() {
        let later = vec![PfnRange::new(0x8100, 0x8180).unwrap()];
        let map = MapMemory { end_bytes: 0x8180 << 12, later, ..machine(BootMap::default()) };
        with_race(map, &settings(), |race| assert!(!race.field.hot_add(&Interrupt::default()).unwrap()));
    }
}
