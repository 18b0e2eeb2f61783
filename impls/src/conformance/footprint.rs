//! Compares every value of the footprint with what is allocated.

use super::*;
use crate::memmap::{Footprint, Load};
use crate::store::{IndexAccount, RecordBudget};

/// Bytes of records that one last-level page table of the host maps.
fn bytes_per_table() -> u64 {
    let page = rustix::param::page_size() as u64;
    page * page / size_of::<u64>() as u64
}

/// What the layout has allocated, as its store counts it.
struct Allocated {
    budget: RecordBudget,
    index: IndexAccount,
}

impl Allocated {
    fn agree<L: Memmap>(&self, layout: &L, oracle: &Oracle<L::Geometry>, when: &str) -> Check {
        let footprint = layout.footprint();
        let Footprint { reserved_bytes, index_bytes, page_table_bytes, .. } = footprint;
        let records = footprint.ram_record_bytes + footprint.device_record_bytes;
        let charged = self.budget.used();
        check!(records == charged, "{when}: the footprint has {records} B of records, the store charged {charged} B");
        let allocated = self.index.bytes();
        check!(
            index_bytes == allocated,
            "{when}: the footprint has {index_bytes} B of index tables, but {allocated} B are allocated from IndexMemory"
        );

        // The address range of the records, and the page tables that map it.
        let reader = layout.reader();
        let (mut first, mut end, mut nr_valid) = (u64::MAX, 0, 0);
        let mut tables = std::collections::BTreeSet::new();
        for run in oracle.valid_runs(L::CAPS.validity) {
            nr_valid += run.nr_pages();
            for pfn in run.start()..run.end() {
                // SAFETY: it is valid by the oracle, and other cases check that the layout agrees.
                let at = unsafe { reader.pfn_to_page(Pfn(pfn)) }.addr().get() as u64;
                (first, end) = (first.min(at), end.max(at + record_bytes::<L::Record>()));
                tables.insert(at / bytes_per_table());
            }
        }
        drop(reader);
        let least = records_of::<L>(nr_valid);
        check!(records >= least, "{when}: {nr_valid} records take {least} B, the footprint has {records} B");
        let span = end.saturating_sub(first);
        check!(
            reserved_bytes >= span,
            "{when}: records span {span} B, but the footprint has {reserved_bytes} B of reserved address space"
        );
        if BACKING.with_borrow(|backing| *backing == RamBacking::Anon) {
            let least = tables.len() as u64 * rustix::param::page_size() as u64;
            check!(
                (least..=least.max(records)).contains(&page_table_bytes),
                "{when}: records are mapped by {} page tables, {least} B; the footprint has {page_table_bytes} B",
                tables.len()
            );
        }
        let is_table = |load: &Load| load.line != Load::RECORD_LINE;
        let chain = L::LOAD_CHAIN;
        let loads = [chain.pfn_valid, chain.pfn_to_page, chain.page_to_pfn];
        if nr_valid > 0 && loads.into_iter().flatten().any(is_table) {
            check!(index_bytes > 0, "{when}: lookups load from tables, but the footprint has no index");
        }
        Ok(())
    }
}

fn booted<L: Memmap>(map: &BootMap) -> Result<(L, Allocated), String> {
    let store = store();
    let allocated = Allocated { budget: store.budget.clone(), index: store.index.clone() };
    Ok((boot_with(map, store)?, allocated))
}

/// Memory from section 2 on: a whole section, a hole of one section, and part of a section.
fn memory_from_section_2<L: Memmap>() -> BootMap {
    boot_map(&[(2 * s::<L>(), 3 * s::<L>()), (4 * s::<L>(), 4 * s::<L>() + 5 * u::<L>())])
}

pub(super) fn footprint_of_boot_memory<L: Memmap>(_: &Held) -> Check {
    let map = memory_from_section_2::<L>();
    let (layout, allocated) = booted::<L>(&map)?;
    allocated.agree(&layout, &Oracle::boot(&map), "after boot")?;
    drop(layout);
    let left = allocated.budget.used();
    check!(left == 0, "{left} B of records are still charged after the layout was dropped");
    Ok(())
}

pub(super) fn footprint_of_added_memory<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let map = memory_from_section_2::<L>();
    let (layout, allocated) = booted::<L>(&map)?;
    let mut oracle = Oracle::boot(&map);
    let added = range(8 * s::<L>(), s::<L>() + granule::<L>());
    add(&layout, added).map_err(text)?;
    oracle.add(added);
    allocated.agree(&layout, &oracle, "after hot-add")?;
    remove(&layout, added).map_err(text)?;
    oracle.remove(added);
    allocated.agree(&layout, &oracle, "after hot-remove")
}
