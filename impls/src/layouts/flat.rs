//! FLATMEM: one array from the first pfn to the last, holes included.
//!
//! Source: `include/asm-generic/memory_model.h`, `alloc_node_mem_map` of `mm/mm_init.c`. Used by
//! 32-bit x86 up to 5.x, and still by small machines.
//!
//! ```text
//!  mem_map ──▶ | RAM | hole | RAM | RAM | … hole … | RAM |
//!              ARCH_PFN_OFFSET                     max_pfn
//! ```
//!
//! **Load chain.** The reader holds the base of the array and the number of entries (the kernel's
//! globals `mem_map` and `max_mapnr`). `pfn_valid`: no load, one or two compares. `pfn_to_page`: no
//! load. `page_to_pfn`: no load.
//!
//! **Cost.** No index. Records: 64 B for every pfn below the highest, holes included, rounded to 4
//! MiB of memory. That is 16 MiB per GiB of span; a span of 64 TiB takes 1 TiB.
//!
//! **Hotplug.** None: the array cannot grow, and the type does not implement `Hotplug`.

use crate::error::BootError;
use crate::geometry::{Geometry, X86_64};
use crate::memmap::{BootMap, Capabilities, Config, DeviceRecords, Footprint, LoadChain, Lookup, Memmap, Validity};
use crate::page::{Life, Page, PageLinks, Zone};
use crate::page_record::{PageRecord, record_bytes};
use crate::pfn::{Pfn, PfnRange};
use crate::store::{BackedSections, RecordStore};
use crate::stretch::Stretch;
use crate::vmem::Vmem;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The array covers whole blocks of the buddy allocator's largest order: this many pages.
const MAX_ORDER_NR_PAGES: u64 = 1024;

/// FLATMEM: a record for every pfn below the end of boot memory. The parameters are the
/// architecture and the type of the records.
///
/// ```
/// use memmap_layouts::layouts::Flat;
/// use memmap_layouts::{BootMap, BootRange, Config, Lookup, Memmap, Pfn, PfnRange, RecordStore};
///
/// let range = |start, end| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 };
/// let map = BootMap::new([range(0, 0x4000), range(0x8000, 0xc000)])?;
/// let layout: Flat = Flat::boot(&map, &Config::default(), RecordStore::unlimited())?;
/// let reader = layout.reader();
/// assert!(reader.pfn_valid(Pfn(0x6000)), "a hole is valid");
/// assert!(!reader.pfn_valid(Pfn(0xc000)), "beyond the end of memory");
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Debug)]
pub struct Flat<G: Geometry = X86_64, T: PageRecord = Page> {
    mem_map: Vmem,
    max_mapnr: u64,
    backed: BackedSections,
    kinds: PhantomData<(G, fn() -> T)>,
}

/// The pfns that the array covers: from the architecture's first pfn to the rounded end of memory.
fn span<G: Geometry>(map: &BootMap) -> PfnRange {
    let start = G::ARCH_PFN_OFFSET & !(MAX_ORDER_NR_PAGES - 1);
    PfnRange::new(start, map.end_pfn().max(start))
        .expect("the end is at or above the start")
        .round_out(MAX_ORDER_NR_PAGES)
}

impl<G: Geometry, T: PageRecord> Memmap for Flat<G, T> {
    const ID: &'static str = "flat";
    const ABOUT: &'static str = "FLATMEM: one array over the whole span, holes included; no hotplug";
    const CAPS: Capabilities = Capabilities {
        validity: Validity::Span,
        hotplug_granule_pages: None,
        records_on_device: DeviceRecords::Never,
        page_to_pfn_reads_record: false,
    };
    const LOAD_CHAIN: LoadChain = LoadChain { pfn_valid: &[], pfn_to_page: &[], page_to_pfn: &[] };
    type Geometry = G;
    type Record = T;
    type Reader<'a> = FlatReader<'a, G, T>;

    fn boot(map: &BootMap, _: &Config, store: RecordStore) -> Result<Self, BootError> {
        map.check::<G>()?;
        let span = span::<G>(map);
        let need_bytes = Self::boot_record_bytes(map);
        let have_bytes = map.nr_pages() << G::PAGE_SHIFT;
        if need_bytes > have_bytes {
            return Err(BootError::WouldNotBoot { need_bytes, have_bytes });
        }
        let mem_map = Vmem::reserve(need_bytes, G::PAGE_SIZE, &store)?;
        let max_mapnr = map.end_pfn().saturating_sub(G::ARCH_PFN_OFFSET);
        let flat = Self { mem_map, max_mapnr, backed: store.backed, kinds: PhantomData };
        for part in span.split_at_multiples(G::PAGES_PER_SECTION) {
            let offset = (part.start() - span.start()) * record_bytes::<T>();
            let stretch = Stretch { offset, len: part.nr_pages() * record_bytes::<T>() };
            if !flat.backed.contains(G::section_nr(part.start())) {
                flat.mem_map.leave_unbacked(stretch)?;
            } else {
                flat.mem_map.populate(stretch)?;
                let node = map.ranges().iter().find(|r| r.range.end() > part.start()).map_or(0, |r| r.node);
                for pfn in part.start()..part.end() {
                    // SAFETY: the pfn lies in the span, so its record lies in the array, which was
                    // just backed.
                    let page = unsafe { flat.record(pfn).as_ref() };
                    page.init(PageLinks::new(node, Zone::Normal), Pfn(pfn), Life::BOOT);
                }
            }
        }
        Ok(flat)
    }

    fn reader(&self) -> FlatReader<'_, G, T> {
        FlatReader { mem_map: self.record(G::ARCH_PFN_OFFSET), max_mapnr: self.max_mapnr, flat: PhantomData }
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            reserved_bytes: self.mem_map.len_bytes(),
            index_bytes: 0,
            page_table_bytes: self.mem_map.page_table_bytes(),
            ram_record_bytes: self.mem_map.ram_bytes(),
            device_record_bytes: 0,
        }
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.mem_map.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        &self.backed
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        if map.ranges().is_empty() { 0 } else { span::<G>(map).nr_pages().saturating_mul(record_bytes::<T>()) }
    }
}

impl<G: Geometry, T: PageRecord> Flat<G, T> {
    /// Address of the record of `pfn`, which must be in the span.
    fn record(&self, pfn: u64) -> NonNull<T> {
        let index = pfn - (G::ARCH_PFN_OFFSET & !(MAX_ORDER_NR_PAGES - 1));
        // SAFETY: the array reaches from the rounded offset over the span; the caller's pfn lies in
        // it.
        unsafe { self.mem_map.base().cast::<T>().add(index as usize) }
    }
}

/// The lookups of [`Flat`]. No hotplug, hence no grace period: the reader is only a pointer and a
/// length.
#[derive(Debug)]
pub struct FlatReader<'a, G, T = Page> {
    mem_map: NonNull<T>,
    max_mapnr: u64,
    flat: PhantomData<&'a G>,
}

// SAFETY: a valid pfn is below max_mapnr, so its record lies in the array, which lives and stays as
// long as the layout.
unsafe impl<G: Geometry, T: PageRecord> Lookup for FlatReader<'_, G, T> {
    type Record = T;

    #[inline(always)]
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        // One compare for both bounds: below the offset the subtraction wraps to a number above any
        // map.
        pfn.0.wrapping_sub(G::ARCH_PFN_OFFSET) < self.max_mapnr
    }

    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<T> {
        // SAFETY: the pfn is valid, so the index is inside the array.
        unsafe { self.mem_map.add((pfn.0 - G::ARCH_PFN_OFFSET) as usize) }
    }

    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<T>) -> Pfn {
        // SAFETY: the page came from this array.
        Pfn(unsafe { page.offset_from_unsigned(self.mem_map) } as u64 + G::ARCH_PFN_OFFSET)
    }

    fn section_flags(&self, _: Pfn) -> u64 {
        0
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.pfn_valid(pfn)
    }

    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        let first = from.0.max(G::ARCH_PFN_OFFSET);
        (first < end.0.min(G::ARCH_PFN_OFFSET + self.max_mapnr)).then_some(Pfn(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memmap::BootRange;
    use crate::subsection_map::BitWords;

    /// An architecture whose memory does not begin at pfn 0.
    #[derive(Clone, Copy, Debug, Default)]
    struct FromMegabyteOne;
    // SAFETY: the derived constants are left alone, and the map has 64 bits for 64 sub-sections.
    unsafe impl Geometry for FromMegabyteOne {
        const ID: &'static str = "offset";
        const PAGE_SHIFT: u32 = 12;
        const SECTION_SIZE_BITS: u32 = 27;
        const MAX_PHYSMEM_BITS: u32 = 46;
        const ARCH_PFN_OFFSET: u64 = 0x100;
        type SubsectionMap = BitWords<1>;
    }

    fn boot<G: Geometry>(ranges: &[(u64, u64)]) -> Result<Flat<G>, BootError> {
        let ranges =
            ranges.iter().map(|&(start, end)| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 });
        Flat::boot(&BootMap::new(ranges)?, &Config::default(), RecordStore::unlimited())
    }

    #[test]
    fn the_span_is_valid_from_the_offset_on_holes_included() {
        let flat = boot::<FromMegabyteOne>(&[(0x100, 0x400), (0x800, 0x1100)]).unwrap();
        let reader = flat.reader();
        for (pfn, valid) in
            [(0xff, false), (0x100, true), (0x7ff, true), (0x10ff, true), (0x1100, false), (u64::MAX, false)]
        {
            assert_eq!(reader.pfn_valid(Pfn(pfn)), valid, "{pfn:#x}");
        }
        for pfn in 0x100..0x1100 {
            let page = reader.valid_to_page(Pfn(pfn)).unwrap();
            assert!(page.is_of(Pfn(pfn)));
            // SAFETY: the page is the reader's.
            assert_eq!(unsafe { reader.page_to_pfn(page.into()) }, Pfn(pfn));
        }
    }

    #[test]
    fn a_span_that_outgrows_the_memory_would_not_boot() {
        // 512 MiB at 64 TiB less 512 MiB: the array would take 1 TiB.
        let error = boot::<X86_64>(&[((1 << 34) - (1 << 17), 1 << 34)]).unwrap_err();
        assert!(matches!(error, BootError::WouldNotBoot { need_bytes, .. } if need_bytes == 1 << 40), "{error}");
    }

    #[test]
    fn a_machine_without_memory_boots_and_has_no_valid_pfn() {
        let flat = boot::<X86_64>(&[]).unwrap();
        assert!(!flat.reader().pfn_valid(Pfn(0)));
        assert_eq!(flat.footprint().ram_record_bytes, 0);
    }
}
