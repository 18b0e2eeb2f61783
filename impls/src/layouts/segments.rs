//! Physical segments: a sorted table of the ranges of memory, searched for each lookup.
//!
//! Source: `vm_phys_segs` and `vm_phys_paddr_to_segind` of FreeBSD's `sys/vm/vm_phys.c`; Redox
//! stores its memory in the same way. Each segment has an array of records of its own. There are as
//! many segments as ranges of memory: about ten on most machines, and far more where firmware
//! reserves many small ranges.
//!
//! ```text
//!  segments ──▶ | start, nr, records | start, nr, records | …        binary search by start
//!                             │                  │
//!                 | records of segment 0 | records of segment 1 | …  one array, no holes
//! ```
//!
//! **Load chain.** The reader holds the address and length of the table. `pfn_valid`: the start of one segment per step
//! of the search, then start and length of the segment found. `pfn_to_page`: the same search, then
//! the segment's encoded pointer. `page_to_pfn`: a search by address. FreeBSD reads the physical
//! address from the record instead; the records here have no such field.
//!
//! **Cost.** 32 B of index per range of memory. Records: 64 B for every page of memory and none for holes. A lookup
//! takes one load more each time the number of segments doubles.
//!
//! **Hotplug.** None: inserting a segment moves all later ones, which FreeBSD does at boot only.

use crate::error::BootError;
use crate::geometry::{Geometry, X86_64};
use crate::index_memory::{Array, IndexMemory};
use crate::memmap::{
    BootMap, BootRange, Capabilities, Config, DeviceRecords, Footprint, Load, LoadChain, Lookup, Memmap, Validity,
    When, keep_branch,
};
use crate::page::{Life, PAGE_RECORD_BYTES, Page, PageLinks, Zone};
use crate::pfn::{Pfn, PfnRange};
use crate::store::{BackedSections, RecordStore};
use crate::vmem::{Stretch, Vmem};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A range of memory on one node.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
struct Segment {
    /// First page frame.
    start: u64,
    /// Number of page frames.
    nr_pages: u64,
    /// Address of the record that pfn 0 would have in this segment's array. It may wrap below 0.
    records_of_pfn_0: u64,
    /// Address of the first record.
    first_record: u64,
}

/// Physical segments with binary search.
///
/// ```
/// use memmap_layouts::layouts::Segments;
/// use memmap_layouts::{BootMap, BootRange, Config, Lookup, Memmap, Pfn, PfnRange, RecordStore};
///
/// let range = |start, end| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 };
/// let map = BootMap::new([range(0, 0x4000), range(0x8000, 0xc000)])?;
/// let layout: Segments = Segments::boot(&map, &Config::default(), RecordStore::unlimited())?;
/// let reader = layout.reader();
/// assert!(reader.pfn_valid(Pfn(0x3fff)) && reader.pfn_valid(Pfn(0x8000)));
/// assert!(!reader.pfn_valid(Pfn(0x6000)), "a hole is not valid");
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Debug)]
pub struct Segments<G: Geometry = X86_64> {
    /// Sorted by start and by first record. Never empty: a machine without memory has one segment
    /// without pages.
    segments: Array<Segment>,
    index: IndexMemory,
    records: Vmem,
    backed: BackedSections,
    geometry: PhantomData<G>,
}

/// Ranges of memory; those that adjoin on one node are one.
fn merged(map: &BootMap) -> Vec<BootRange> {
    let mut merged: Vec<BootRange> = Vec::new();
    for &boot in map.ranges() {
        match merged.last_mut() {
            Some(last) if last.range.end() == boot.range.start() && last.node == boot.node => {
                last.range = PfnRange::new(last.range.start(), boot.range.end()).expect("the end is above the start");
            }
            _ => merged.push(boot),
        }
    }
    merged
}

/// The loads of a search: the starts that it compares, and what it reads of the segment found.
const STEP: Load = Load { what: "start of a segment", line: "segment of a step", when: When::EachStep };
const fn found(what: &'static str) -> Load {
    Load { what, line: "segment", when: When::Always }
}

impl<G: Geometry> Memmap for Segments<G> {
    const ID: &'static str = "segments";
    const ABOUT: &'static str = "sorted segments of physical memory, binary search; no hotplug";
    const CAPS: Capabilities = Capabilities {
        validity: Validity::Ranges,
        hotplug_granule_pages: None,
        records_on_device: DeviceRecords::Never,
        page_to_pfn_reads_record: false,
    };
    const LOAD_CHAIN: LoadChain = LoadChain {
        pfn_valid: &[STEP, found("start"), found("number of pages")],
        pfn_to_page: &[STEP, found("encoded pointer to records")],
        page_to_pfn: &[Load { what: "first record of a segment", ..STEP }, found("encoded pointer to records")],
    };
    type Geometry = G;
    type Record = Page;
    type Reader<'a> = SegmentsReader<'a>;

    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError> {
        map.check::<G>()?;
        let ranges = merged(map);
        let records = Vmem::reserve(Self::boot_record_bytes(map), G::PAGE_SIZE, &store)?;
        let base = records.base().addr().get() as u64;
        let mut segments = Vec::with_capacity(ranges.len().max(1));
        let mut first_record = base;
        for boot in &ranges {
            let (start, nr_pages) = (boot.range.start(), boot.range.nr_pages());
            let records_of_pfn_0 = first_record.wrapping_sub(start.wrapping_mul(PAGE_RECORD_BYTES));
            segments.push(Segment { start, nr_pages, records_of_pfn_0, first_record });
            first_record += nr_pages * PAGE_RECORD_BYTES;
        }
        if segments.is_empty() {
            segments.push(Segment { start: 0, nr_pages: 0, records_of_pfn_0: base, first_record: base });
        }
        let index_bytes = size_of_val(&*segments) as u64;
        let none = || BootError::NoMemory { what: "the table of segments", bytes: index_bytes };
        let index = IndexMemory::reserve(index_bytes, config, &store)?;
        let segments = index.array_of(&segments).ok_or_else(none)?;
        let layout = Self { segments, index, records, backed: store.backed, geometry: PhantomData };
        for (boot, segment) in ranges.iter().zip(layout.segments.iter()) {
            for part in boot.range.split_at_multiples(G::PAGES_PER_SECTION) {
                let before = (part.start() - segment.start) * PAGE_RECORD_BYTES;
                let offset = segment.first_record - base + before;
                let stretch = Stretch { offset, len: part.nr_pages() * PAGE_RECORD_BYTES };
                if !layout.backed.contains(G::section_nr(part.start())) {
                    layout.records.leave_unbacked(stretch)?;
                    continue;
                }
                layout.records.populate(stretch)?;
                let reader = layout.reader();
                for pfn in (part.start()..part.end()).map(Pfn) {
                    // SAFETY: the page frame lies in the segment, and its record was just backed.
                    let page = unsafe { reader.pfn_to_page(pfn).as_ref() };
                    page.init(PageLinks::new(boot.node, Zone::Normal), pfn, Life::BOOT);
                }
            }
        }
        Ok(layout)
    }

    fn reader(&self) -> SegmentsReader<'_> {
        SegmentsReader {
            segments: NonNull::from(&self.segments[0]),
            nr_segments: self.segments.len(),
            records: self.records.base().cast(),
            layout: PhantomData,
        }
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            reserved_bytes: self.records.len_bytes(),
            index_bytes: size_of_val(&*self.segments) as u64,
            page_table_bytes: self.records.page_table_bytes(),
            ram_record_bytes: self.records.ram_bytes(),
            device_record_bytes: 0,
        }
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.records.bytes_in_huge_pages()
    }

    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.index.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        &self.backed
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        map.nr_pages().saturating_mul(PAGE_RECORD_BYTES)
    }
}

/// The lookups of [`Segments`]. No hotplug, hence no grace period.
#[derive(Clone, Copy, Debug)]
pub struct SegmentsReader<'a> {
    segments: NonNull<Segment>,
    nr_segments: usize,
    /// Provenance of all records.
    records: NonNull<Page>,
    layout: PhantomData<&'a ()>,
}

impl SegmentsReader<'_> {
    /// The last segment whose `key` is at most `at`, or the first one.
    #[inline(always)]
    fn find(&self, at: u64, key: impl Fn(&Segment) -> u64) -> &Segment {
        let (mut first, mut nr) = (self.segments, self.nr_segments);
        while nr > 1 {
            let half = nr / 2;
            // SAFETY: the `nr` segments from `first` on are part of the table, and `half` is below
            // `nr`.
            let middle = unsafe { first.add(half) };
            // SAFETY: as above; the table lives as long as the layout, and nobody writes it.
            if key(unsafe { middle.as_ref() }) <= at {
                first = middle;
            }
            nr -= half;
        }
        // SAFETY: the table has at least one segment, and `first` points into it.
        unsafe { first.as_ref() }
    }

    #[inline(always)]
    fn record(&self, segment: &Segment, pfn: Pfn) -> NonNull<Page> {
        let address = segment.records_of_pfn_0.wrapping_add(pfn.0.wrapping_mul(PAGE_RECORD_BYTES));
        let page = self.records.as_ptr().with_addr(address as usize);
        debug_assert!(!page.is_null());
        // SAFETY: the page frame lies in the segment, so the address is that of a record.
        unsafe { NonNull::new_unchecked(page) }
    }
}

/// True if a page frame lies in a segment. Below its start the subtraction wraps to a number above
/// any length.
#[inline(always)]
fn contains(segment: &Segment, pfn: Pfn) -> bool {
    pfn.0.wrapping_sub(segment.start) < segment.nr_pages
}

// SAFETY: a valid pfn lies in a segment, so its record lies in the segment's array, which lives as
// long as the layout.
unsafe impl Lookup for SegmentsReader<'_> {
    type Record = Page;

    #[inline(always)]
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        contains(self.find(pfn.0, |segment| segment.start), pfn)
    }

    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page> {
        self.record(self.find(pfn.0, |segment| segment.start), pfn)
    }

    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn {
        let at = page.addr().get() as u64;
        let segment = self.find(at, |segment| segment.first_record);
        Pfn(at.wrapping_sub(segment.records_of_pfn_0) / PAGE_RECORD_BYTES)
    }

    /// One search for both, as `vm_phys_paddr_to_vm_page` does.
    #[inline(always)]
    fn valid_to_page(&self, pfn: Pfn) -> Option<&Page> {
        let segment = self.find(pfn.0, |segment| segment.start);
        if contains(segment, pfn) {
            keep_branch();
            // SAFETY: the page frame lies in the segment, whose records live as long as the layout.
            Some(unsafe { self.record(segment, pfn).as_ref() })
        } else {
            None
        }
    }

    fn section_flags(&self, _: Pfn) -> u64 {
        0
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.pfn_valid(pfn)
    }

    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        let segment = self.find(from.0, |segment| segment.start);
        if contains(segment, from) {
            return (from.0 < end.0).then_some(from);
        }
        // SAFETY: the segments are a table of this length, which nobody writes.
        let segments = unsafe { std::slice::from_raw_parts(self.segments.as_ptr(), self.nr_segments) };
        let next = segments.iter().skip(segments.partition_point(|segment| segment.start <= from.0));
        next.filter(|segment| segment.nr_pages > 0).map(|segment| Pfn(segment.start)).find(|pfn| pfn.0 < end.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ranges: &[(u64, u64, u8)]) -> BootMap {
        let range = |&(start, end, node)| BootRange { range: PfnRange::new(start, end).unwrap(), node };
        BootMap::new(ranges.iter().map(range)).unwrap()
    }

    #[test]
    fn adjacent_ranges_of_a_node_are_one_segment() {
        let nr = |ranges: &[(u64, u64, u8)]| merged(&map(ranges)).len();
        assert_eq!(nr(&[(0, 10, 0), (10, 20, 0), (20, 30, 1), (31, 40, 1)]), 3);
        assert_eq!(nr(&[]), 0);
    }

    #[test]
    fn the_search_is_right_for_any_number_of_segments() {
        for nr in 0..40u64 {
            let ranges: Vec<_> = (0..nr).map(|i| (0x200 + 0x30 * i, 0x210 + 0x30 * i, 0)).collect();
            let layout: Segments = Segments::boot(&map(&ranges), &Config::default(), RecordStore::unlimited()).unwrap();
            let reader = layout.reader();
            for pfn in 0x1f0..0x220 + 0x30 * nr {
                let is_memory = ranges.iter().any(|&(start, end, _)| (start..end).contains(&pfn));
                assert_eq!(reader.pfn_valid(Pfn(pfn)), is_memory, "{nr} segments, {pfn:#x}");
                let next = ranges.iter().map(|&(start, end, _)| start.max(pfn)..end).find(|left| !left.is_empty());
                assert_eq!(reader.next_valid_pfn(Pfn(pfn), Pfn(u64::MAX)), next.map(|left| Pfn(left.start)));
                if let Some(page) = reader.valid_to_page(Pfn(pfn)) {
                    assert!(page.is_of(Pfn(pfn)));
                    // SAFETY: the page is the reader's.
                    assert_eq!(unsafe { reader.page_to_pfn(page.into()) }, Pfn(pfn));
                }
            }
            assert!(!reader.pfn_valid(Pfn(u64::MAX)));
        }
    }

    #[test]
    fn holes_cost_no_records() {
        let layout: Segments = Segments::boot(
            &map(&[(0, 0x1000, 0), (0x4000_0000, 0x4000_1000, 0)]),
            &Config::default(),
            RecordStore::unlimited(),
        )
        .unwrap();
        let footprint = layout.footprint();
        assert_eq!((footprint.ram_record_bytes, footprint.index_bytes), (0x2000 * PAGE_RECORD_BYTES, 64));
    }
}
