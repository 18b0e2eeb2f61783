//! Layouts with one defect each, in a program of their own. Shows how `pfnbench` reports defects.
//!
//! ```sh
//! cargo run --release --example bad_layouts -- verify
//! ```

use memmap_layouts::layouts::Flat;
use memmap_layouts::*;
use std::ptr::NonNull;

/// FLATMEM with a defect.
struct Defective<G: Geometry, const DEFECT: u8>(Flat<G>);

/// Says that the last page of memory is not valid.
type AnswersWrongly<G> = Defective<G, 0>;
/// Panics at boot.
type Panics<G> = Defective<G, 1>;
/// Returns an address at which no record can be.
type NoRecord<G> = Defective<G, 2>;

impl<G: Geometry, const DEFECT: u8> Memmap for Defective<G, DEFECT> {
    const ID: &'static str = ["answers-wrongly", "panics", "no-record"][DEFECT as usize];
    const ABOUT: &'static str = "has a defect on purpose";
    const CAPS: Capabilities = Flat::<G>::CAPS;
    const LOAD_CHAIN: LoadChain = Flat::<G>::LOAD_CHAIN;
    type Geometry = G;
    type Record = Page;
    type Reader<'a> = Reader<'a, G, DEFECT>;

    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError> {
        assert!(DEFECT != 1, "this layout panics");
        Flat::boot(map, config, store).map(Self)
    }

    fn reader(&self) -> Reader<'_, G, DEFECT> {
        let flat = self.0.reader();
        let last = (0..1 << 20).map(Pfn).take_while(|&pfn| flat.pfn_valid(pfn)).last();
        Reader { flat, last }
    }

    fn footprint(&self) -> Footprint {
        self.0.footprint()
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.0.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        self.0.backed()
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        Flat::<G>::boot_record_bytes(map)
    }
}

struct Reader<'a, G: Geometry, const DEFECT: u8> {
    flat: <Flat<G> as Memmap>::Reader<'a>,
    last: Option<Pfn>,
}

// SAFETY: the contract is broken on purpose. Nothing reads the records of `NoRecord`, because the
// conformance suite rejects their addresses first.
unsafe impl<G: Geometry, const DEFECT: u8> Lookup for Reader<'_, G, DEFECT> {
    type Record = Page;

    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.flat.pfn_valid(pfn) && !(DEFECT == 0 && self.last == Some(pfn))
    }

    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page> {
        // SAFETY: the caller's pfn is valid for this reader, hence for the array.
        if DEFECT == 2 { NonNull::dangling() } else { unsafe { self.flat.pfn_to_page(pfn) } }
    }

    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn {
        // SAFETY: the record came from the array.
        unsafe { self.flat.page_to_pfn(page) }
    }

    fn section_flags(&self, pfn: Pfn) -> u64 {
        self.flat.section_flags(pfn)
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.flat.pfn_section_valid(pfn)
    }
}

fn main() -> std::process::ExitCode {
    pfnbench::main_with(pfnbench::layouts![AnswersWrongly, Panics, NoRecord])
}
