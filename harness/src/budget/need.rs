//! Records and page tables of added memory.

use super::request::{DirectMap, RecordsIn, Request};
use serde::Serialize;

/// Bytes that added memory needs before it is online, by where they live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Records in RAM of the guest.
    pub ram_records: u64,
    /// Records on the device (altmap).
    pub device_records: u64,
    /// Records in the added blocks (`memmap_on_memory`).
    pub block_records: u64,
    /// Page tables of the direct map, in RAM.
    pub direct_map_tables: u64,
    /// Page tables of the map of records (vmemmap), in RAM.
    pub vmemmap_tables: u64,
}

impl Need {
    /// Page tables, which are always in RAM.
    pub fn tables(&self) -> u64 {
        self.direct_map_tables + self.vmemmap_tables
    }

    /// Everything that is in RAM of the guest.
    pub fn ram(&self) -> u64 {
        self.ram_records + self.tables()
    }
}

/// Number of aligned units that `[start, end)` touches.
fn touched(start: u64, end: u64, unit: u64) -> u64 {
    end.div_ceil(unit) - start / unit
}

impl Request {
    /// True if the direct map has tables only for gigabytes that a request covers in part. Otherwise every
    /// gigabyte has one: a gigabyte that was begun with 2 MiB pages is filled with them.
    fn whole_gigabytes(&self, step_bytes: u64, total: u64) -> bool {
        let pud = self.pmd_bytes() * self.entries();
        let is_aligned = |bytes: u64| bytes.is_multiple_of(pud);
        let unit = match self.records_in {
            // Each block is a request of its own.
            RecordsIn::Block => self.block_bytes,
            RecordsIn::Ram | RecordsIn::Device => step_bytes,
        };
        self.direct_map == DirectMap::Pud
            && (is_aligned(self.start) && is_aligned(unit) || unit >= total && self.records_in != RecordsIn::Block)
    }

    /// What the first `total` bytes of added memory need, a multiple of the block size, when they are added
    /// `step_bytes` at a time. An upper bound that is exact but for the tables that exist around the ends: at
    /// most one page for each level. The cost does not depend on the sizes.
    pub fn need(&self, total: u64, step_bytes: u64) -> Need {
        if total == 0 {
            return Need::default();
        }
        let (page, pmd) = (self.page_bytes, self.pmd_bytes());
        let (pud, pgd) = (pmd * self.entries(), pmd.saturating_mul(self.entries() * self.entries()));
        let (start, end) = (self.start, self.start + total);
        let lowest = match self.direct_map {
            DirectMap::Base => touched(start, end, pmd) + touched(start, end, pud),
            DirectMap::Pmd => touched(start, end, pud),
            DirectMap::Pud if self.whole_gigabytes(step_bytes, total) => partly_touched(start, end, pud),
            DirectMap::Pud => touched(start, end, pud),
        };
        let direct_map = lowest + touched(start, end, pgd);
        let (first, last) = (self.records_of(start), self.records_of(end));
        // With base pages of 4 KiB records are in 2 MiB pages; arm64 with larger base pages uses those.
        let (leaf, ptes) = if page == 4096 { (pmd, 0) } else { (page, touched(first, last, pmd)) };
        let records = touched(first, last, leaf) * leaf;
        let vmemmap = ptes + touched(first, last, pud) + touched(first, last, pgd);
        let in_place = |place| if self.records_in == place { records } else { 0 };
        Need {
            ram_records: in_place(RecordsIn::Ram),
            device_records: in_place(RecordsIn::Device),
            block_records: in_place(RecordsIn::Block),
            direct_map_tables: direct_map * page,
            vmemmap_tables: vmemmap * page,
        }
    }

    /// Order of the largest allocation of pages: 9, for 2 MiB of records, with base pages of 4 KiB.
    pub fn largest_order(&self) -> u32 {
        match (self.page_bytes, self.records_in) {
            (4096, RecordsIn::Ram) => (self.pmd_bytes() / self.page_bytes).ilog2(),
            _ => 0,
        }
    }

    /// Bytes of page tables that are needed in addition if no allocation of that order succeeds, for `total` bytes
    /// of added memory: one page for each 2 MiB of records. 0 if there is no fallback.
    pub fn fallback_tables(&self, total: u64) -> u64 {
        if self.largest_order() == 0 {
            return 0;
        }
        self.need(total, total.max(1)).ram_records / self.pmd_bytes() * self.page_bytes
    }
}

/// Number of aligned units that `[start, end)` covers in part.
fn partly_touched(start: u64, end: u64, unit: u64) -> u64 {
    let whole = (end / unit).saturating_sub(start.div_ceil(unit));
    touched(start, end, unit) - whole
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::request::tests::request;
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    /// Published: 12 GiB need about 192 MiB (kata-containers pull request 4862), a section of 128 MiB has 2 MiB of
    /// records, and 1 TiB has 16 GiB.
    #[test]
    fn published_sizes_of_records() {
        let records = |bytes| request().need(bytes, bytes).ram_records;
        assert_eq!(records(12 * GIB), 192 * MIB);
        assert_eq!(records(128 * MIB), 2 * MIB);
        assert_eq!(records(1 << 40), 16 * GIB);
    }

    #[test]
    fn page_tables_of_the_direct_map() {
        let tables = |direct_map, total, step| {
            let need = Request { direct_map, ..request() }.need(total, step);
            need.direct_map_tables >> 12
        };
        // A table for each gigabyte, and one above them.
        assert_eq!(tables(DirectMap::Pmd, 12 * GIB, 12 * GIB), 12 + 1);
        assert_eq!(tables(DirectMap::Pmd, 128 * MIB, 128 * MIB), 1 + 1);
        assert_eq!(tables(DirectMap::Pud, 12 * GIB, 12 * GIB), 1);
        assert_eq!(tables(DirectMap::Pud, 12 * GIB + 128 * MIB, 13 * GIB), 1 + 1, "the rest of a request");
        assert_eq!(tables(DirectMap::Pud, GIB, 128 * MIB), 1 + 1, "one gigabyte as eight blocks has a table");
        assert_eq!(tables(DirectMap::Base, GIB, GIB), 512 + 1 + 1);
        let of_blocks = Request { records_in: RecordsIn::Block, direct_map: DirectMap::Pud, ..request() };
        assert_eq!(of_blocks.need(GIB, GIB).direct_map_tables >> 12, 1 + 1, "each block is a request");
        let large = Request { block_bytes: 2 * GIB, ..of_blocks };
        assert_eq!(large.need(2 * GIB, 2 * GIB).direct_map_tables >> 12, 1);
    }

    #[test]
    fn page_tables_of_the_records() {
        // A table of 2 MiB entries maps the records of 64 GiB; the first and the last 60 GiB share none.
        let tables = |total| request().need(total, total).vmemmap_tables >> 12;
        assert_eq!((tables(60 * GIB), tables(64 * GIB)), (1 + 1, 2 + 1));
        let arm = Request { page_bytes: 64 << 10, block_bytes: 512 * MIB, ..request() };
        let need = arm.need(4 * GIB, GIB);
        assert_eq!((need.ram_records, need.vmemmap_tables), (4 * MIB, 3 * (64 << 10)), "base pages, three levels");
        assert_eq!((arm.largest_order(), arm.fallback_tables(4 * GIB)), (0, 0));
    }

    #[test]
    fn records_are_where_they_were_asked_for() {
        let need = |records_in| Request { records_in, ..request() }.need(GIB, GIB);
        let [ram, device, block] = [RecordsIn::Ram, RecordsIn::Device, RecordsIn::Block].map(need);
        assert_eq!((ram.ram_records, device.device_records, block.block_records), (16 * MIB, 16 * MIB, 16 * MIB));
        assert_eq!(ram.ram() - 16 * MIB, device.ram());
        assert_eq!(device.ram(), block.ram(), "page tables stay in RAM");
    }

    #[test]
    fn the_fallback_costs_a_page_for_each_2_mib() {
        assert_eq!((request().largest_order(), request().fallback_tables(12 * GIB)), (9, 96 << 12));
        let altmap = Request { records_in: RecordsIn::Device, ..request() };
        assert_eq!((altmap.largest_order(), altmap.fallback_tables(12 * GIB)), (0, 0), "an altmap has none");
    }

    prop_compose! {
        pub(in crate::budget) fn any_request()(
            order in 27u32..33, start in 0u64..200, page in 0usize..3, record in 8u64..200,
            records_in in 0usize..3, direct_map in 0usize..3, guest in 1u64..1 << 20,
        ) -> Request {
            let page_bytes = [4 << 10, 16 << 10, 64 << 10][page];
            let section_bytes: u64 = if page_bytes == 64 << 10 { 512 << 20 } else { 128 << 20 };
            let block_bytes = 1u64 << order.max(section_bytes.ilog2());
            let direct_maps = [DirectMap::Base, DirectMap::Pmd, DirectMap::Pud];
            let direct_map = direct_maps[if page == 0 { direct_map } else { direct_map.min(1) }];
            Request {
                guest_bytes: guest << 20, start: start * block_bytes, add_bytes: block_bytes, step_bytes: block_bytes,
                block_bytes, page_bytes, record_bytes: record,
                records_in: [RecordsIn::Ram, RecordsIn::Device, RecordsIn::Block][records_in], direct_map,
                section_bytes, address_end: 1 << 52,
            }
        }
    }

    proptest! {
        #[test]
        fn needs_grow_with_the_size_and_are_never_below_the_records(
            request in any_request(), blocks in 1u64..5000, more in 1u64..5000, step in 1u64..64,
        ) {
            let step = step * request.block_bytes;
            let (total, larger) = (blocks * request.block_bytes, (blocks + more) * request.block_bytes);
            let (need, next) = (request.need(total, step), request.need(larger, step));
            let records = need.ram_records + need.device_records + need.block_records;
            prop_assert!(records >= request.records_of(total));
            prop_assert!(records <= request.records_of(total) + 2 * request.pmd_bytes());
            prop_assert_eq!(need.ram(), need.ram_records + need.direct_map_tables + need.vmemmap_tables);
            // A gigabyte that is completed in one request has no table any more.
            prop_assert!(need.ram() <= next.ram() + 2 * request.page_bytes);
            prop_assert!(next.vmemmap_tables >= need.vmemmap_tables);
            // Two parts need as much as the whole, but for what they share at the border. With 1 GiB pages, a part
            // that is one request may need less than the whole in steps.
            let rest = Request { start: request.start + total, ..request };
            let two = need.ram() + rest.need(larger - total, step).ram();
            let is_split = request.direct_map == DirectMap::Pud;
            prop_assert!(is_split || two + 3 * request.page_bytes >= next.ram(), "{} {}", two, next.ram());
        }
    }
}
