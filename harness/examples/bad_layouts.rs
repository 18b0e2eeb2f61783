//! Layouts with one defect each, in a program of their own. Shows how `pfnbench` reports defects.
//!
//! ```sh
//! cargo run --release --example bad_layouts -- verify
//! ```

use memmap_layouts::layouts::{Flat, Subsection};
use memmap_layouts::*;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// FLATMEM with a defect.
struct Defective<G: Geometry, const DEFECT: u8> {
    layout: Flat<G>,
    /// Readers so far.
    readers: AtomicU64,
}

/// Says that the last page of memory is not valid.
type AnswersWrongly<G> = Defective<G, 0>;
/// Panics at boot.
type Panics<G> = Defective<G, 1>;
/// Returns an address at which no record can be.
type NoRecord<G> = Defective<G, 2>;
/// Declares hotplug, but does not implement it.
type DeclaresHotplug<G> = Defective<G, 3>;
/// Initialises the records of boot memory with another node.
type WrongNode<G> = Defective<G, 4>;
/// Says from its 64th reader on that no page is valid. No verification has as many readers.
type AnswersWronglyLater<G> = Defective<G, 5>;

impl<G: Geometry, const DEFECT: u8> Memmap for Defective<G, DEFECT> {
    const ID: &'static str =
        ["answers-wrongly", "panics", "no-record", "declares-hotplug", "wrong-node", "answers-wrongly-later"]
            [DEFECT as usize];
    const ABOUT: &'static str = "has a defect on purpose";
    const CAPS: Capabilities = Capabilities {
        hotplug_granule_pages: if DEFECT == 3 { Some(G::PAGES_PER_SUBSECTION) } else { None },
        ..Flat::<G>::CAPS
    };
    const LOAD_CHAIN: LoadChain = Flat::<G>::LOAD_CHAIN;
    type Geometry = G;
    type Record = Page;
    type Reader<'a> = Reader<'a, G, DEFECT>;

    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError> {
        assert!(DEFECT != 1, "this layout panics");
        let flat = Flat::<G>::boot(map, config, store)?;
        if DEFECT == 4 {
            let reader = flat.reader();
            let pfns = map.ranges().iter().flat_map(|boot| boot.range.start()..boot.range.end()).map(Pfn);
            for pfn in pfns.filter(|pfn| flat.backed().contains(G::section_nr(pfn.0))) {
                let links = PageLinks::new(200, Zone::Normal);
                reader.valid_to_page(pfn).into_iter().for_each(|page| page.init(links, pfn, Life::BOOT));
            }
        }
        Ok(Self { layout: flat, readers: AtomicU64::new(0) })
    }

    fn reader(&self) -> Reader<'_, G, DEFECT> {
        let flat = self.layout.reader();
        let is_blind = DEFECT == 5 && self.readers.fetch_add(1, Ordering::Relaxed) >= 64;
        let last = match DEFECT {
            0 => (0..1 << 20).map(Pfn).take_while(|&pfn| flat.pfn_valid(pfn)).last(),
            _ => None,
        };
        Reader { flat, last, is_blind }
    }

    fn footprint(&self) -> Footprint {
        self.layout.footprint()
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.layout.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        self.layout.backed()
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        Flat::<G>::boot_record_bytes(map)
    }
}

struct Reader<'a, G: Geometry, const DEFECT: u8> {
    flat: <Flat<G> as Memmap>::Reader<'a>,
    last: Option<Pfn>,
    is_blind: bool,
}

// SAFETY: the contract is broken on purpose. Nothing reads the records of `NoRecord`, because the
// conformance suite rejects their addresses first.
unsafe impl<G: Geometry, const DEFECT: u8> Lookup for Reader<'_, G, DEFECT> {
    type Record = Page;

    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.flat.pfn_valid(pfn) && self.last != Some(pfn) && !self.is_blind
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

/// SPARSEMEM_VMEMMAP with the sub-section map, and with a defect.
struct DefectiveHotplug<G: Geometry, const DEFECT: u8> {
    layout: Subsection<G>,
    /// Additions so far.
    additions: AtomicU64,
}

/// Refuses every addition.
type AddFails<G> = DefectiveHotplug<G, 0>;
/// Panics on addition.
type AddPanics<G> = DefectiveHotplug<G, 1>;
/// Reports success for an addition, and does nothing.
type AddForgets<G> = DefectiveHotplug<G, 2>;
/// Reports no bytes of index tables.
type HidesIndex<G> = DefectiveHotplug<G, 3>;
/// Reports success for its 100th addition, and does nothing. No verification adds as often.
type ForgetsLater<G> = DefectiveHotplug<G, 4>;
/// Panics on its 100th addition.
type PanicsLater<G> = DefectiveHotplug<G, 5>;

impl<G: Geometry, const DEFECT: u8> Memmap for DefectiveHotplug<G, DEFECT> {
    const ID: &'static str =
        ["add-fails", "add-panics", "add-forgets", "hides-index", "forgets-later", "panics-later"][DEFECT as usize];
    const ABOUT: &'static str = "has a defect on purpose";
    const CAPS: Capabilities = Subsection::<G>::CAPS;
    const LOAD_CHAIN: LoadChain = Subsection::<G>::LOAD_CHAIN;
    type Geometry = G;
    type Record = Page;
    type Reader<'a> = <Subsection<G> as Memmap>::Reader<'a>;

    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError> {
        Ok(Self { layout: Subsection::boot(map, config, store)?, additions: AtomicU64::new(0) })
    }

    fn reader(&self) -> Self::Reader<'_> {
        self.layout.reader()
    }

    fn footprint(&self) -> Footprint {
        let footprint = self.layout.footprint();
        if DEFECT == 3 { Footprint { index_bytes: 0, ..footprint } } else { footprint }
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.layout.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        self.layout.backed()
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        Subsection::<G>::boot_record_bytes(map)
    }
}

impl<G: Geometry, const DEFECT: u8> Hotplug for DefectiveHotplug<G, DEFECT> {
    fn add(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        let additions = self.additions.fetch_add(1, Ordering::Relaxed) + 1;
        match DEFECT {
            0 => Err(HotplugError::NoMemory { span: range.phys(G::PAGE_SHIFT), what: "a table that nobody needs" }),
            1 => panic!("this layout panics on addition"),
            2 => Ok(()),
            4 if additions == 100 => Ok(()),
            5 if additions == 100 => panic!("this layout panics on its 100th addition"),
            _ => self.layout.add(range, how, phases),
        }
    }

    fn remove(&self, range: PfnRange, how: &RemoveParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        self.layout.remove(range, how, phases)
    }

    fn synchronize(&self) -> Result<(), HotplugError> {
        self.layout.synchronize()
    }

    fn held_by_this_thread(&self) -> bool {
        self.layout.held_by_this_thread()
    }
}

impl<G: Geometry, const DEFECT: u8> SectionFlags for DefectiveHotplug<G, DEFECT> {
    type Rules = <Subsection<G> as SectionFlags>::Rules;

    fn set_online(&self, sections: PfnRange, online: bool) -> Result<(), HotplugError> {
        self.layout.set_online(sections, online)
    }
}

impl<G: Geometry, const DEFECT: u8> Inspect for DefectiveHotplug<G, DEFECT> {
    fn section_state(&self, nr: u64) -> Option<SectionState> {
        self.layout.section_state(nr)
    }

    fn accounting(&self) -> Accounting {
        self.layout.accounting()
    }

    fn digest(&self) -> u64 {
        self.layout.digest()
    }
}

fn main() -> std::process::ExitCode {
    pfnbench::main_with(pfnbench::layouts![
        AnswersWrongly,
        Panics,
        NoRecord,
        DeclaresHotplug,
        WrongNode,
        AddFails,
        AddPanics,
        AddForgets,
        HidesIndex,
        ForgetsLater,
        PanicsLater,
        AnswersWronglyLater,
    ])
}
