//! A layout of one's own: an array of records from the first page of memory to the last. Runs the
//! conformance suite over it.
//!
//! ```sh
//! cargo run -p memmap-layouts --example own_layout
//! ```

use memmap_layouts::conformance::{Outcome, run_family};
use memmap_layouts::vmem::{Stretch, Vmem};
use memmap_layouts::*;
use std::marker::PhantomData;
use std::process::ExitCode;
use std::ptr::NonNull;

struct OneArray<G: Geometry> {
    records: Vmem,
    memory: PfnRange,
    backed: BackedSections,
    geometry: PhantomData<G>,
}

/// From the first page of memory to the last; empty on a machine without memory.
fn memory(map: &BootMap) -> PfnRange {
    let first = map.ranges().first().map_or(0, |boot| boot.range.start());
    PfnRange::new(first, map.end_pfn()).expect("memory starts below its end")
}

impl<G: Geometry> Memmap for OneArray<G> {
    const ID: &'static str = "one-array";
    const ABOUT: &'static str = "one array from the first page of memory to the last";
    const CAPS: Capabilities = Capabilities {
        validity: Validity::MemorySpan,
        hotplug_granule_pages: None,
        records_on_device: DeviceRecords::Never,
        page_to_pfn_reads_record: false,
    };
    const LOAD_CHAIN: LoadChain = LoadChain { pfn_valid: &[], pfn_to_page: &[], page_to_pfn: &[] };
    type Geometry = G;
    type Record = Page;
    type Reader<'a> = Reader<'a>;

    fn boot(map: &BootMap, _: &Config, store: RecordStore) -> Result<Self, BootError> {
        map.check::<G>()?;
        let (memory, need_bytes) = (memory(map), Self::boot_record_bytes(map));
        let have_bytes = map.nr_pages() << G::PAGE_SHIFT;
        if need_bytes > have_bytes {
            return Err(BootError::WouldNotBoot { need_bytes, have_bytes });
        }
        let records = Vmem::reserve(need_bytes, G::PAGE_SIZE, &store)?;
        let layout = Self { records, memory, backed: store.backed, geometry: PhantomData };
        for part in memory.split_at_multiples(G::PAGES_PER_SECTION) {
            let offset = (part.start() - memory.start()) * PAGE_RECORD_BYTES;
            let stretch = Stretch { offset, len: part.nr_pages() * PAGE_RECORD_BYTES };
            if !layout.backed.contains(G::section_nr(part.start())) {
                layout.records.leave_unbacked(stretch)?;
                continue;
            }
            layout.records.populate(stretch)?;
            for pfn in (part.start()..part.end()).map(Pfn) {
                let links = PageLinks::new(map.node_of(pfn).unwrap_or(0), Zone::Normal);
                // SAFETY: the page frame is in the array, and its record was just backed.
                unsafe { layout.reader().pfn_to_page(pfn).as_ref() }.init(links, pfn, Life::BOOT);
            }
        }
        Ok(layout)
    }

    fn reader(&self) -> Reader<'_> {
        Reader { records: self.records.base().cast(), memory: self.memory, layout: PhantomData }
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            reserved_bytes: self.records.len_bytes(),
            page_table_bytes: self.records.page_table_bytes(),
            ram_record_bytes: self.records.ram_bytes(),
            ..Footprint::default()
        }
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.records.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        &self.backed
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        memory(map).nr_pages().saturating_mul(PAGE_RECORD_BYTES)
    }
}

/// What a kernel would keep in global variables.
struct Reader<'a> {
    records: NonNull<Page>,
    memory: PfnRange,
    layout: PhantomData<&'a ()>,
}

// SAFETY: a valid page frame is in the array, which lives as long as the layout.
unsafe impl Lookup for Reader<'_> {
    type Record = Page;

    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.memory.contains(pfn)
    }

    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page> {
        // SAFETY: the page frame is valid, so the index is inside the array.
        unsafe { self.records.add((pfn.0 - self.memory.start()) as usize) }
    }

    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn {
        // SAFETY: the record is in this array.
        Pfn(self.memory.start() + unsafe { page.offset_from_unsigned(self.records) } as u64)
    }

    fn section_flags(&self, _: Pfn) -> u64 {
        0
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.pfn_valid(pfn)
    }

    // The default tries every page frame, which takes minutes across a large hole.
    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        let wanted = PfnRange::new(from.0, end.0)?.intersect(self.memory)?;
        Some(Pfn(wanted.start()))
    }
}

memmap_layouts::layout_family!(Mine: OneArray);

fn main() -> ExitCode {
    let mut passed = 0;
    let mut failed = 0;
    for run in run_family::<Mine>() {
        match run.outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(reason) => {
                failed += 1;
                println!("{} failed: {reason}", run.name);
            }
            // For example, a layout without hotplug skips all cases of hotplug.
            Outcome::Skipped(_) => {}
        }
    }
    println!("{passed} cases passed, {failed} failed");
    ExitCode::from(u8::from(failed > 0))
}
