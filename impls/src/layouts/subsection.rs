//! SPARSEMEM_VMEMMAP with the sub-section map: records in one virtual array, validity per section
//! and 2 MiB sub-section.
//!
//! Source: the series "mm: Sub-section memory hotplug support" in its merged form (v10, Linux 5.3)
//! with later fixes, as in 6.12: `include/linux/mmzone.h`, `mm/sparse.c`, `mm/sparse-vmemmap.c`.
//! This is the layout under test. It therefore keeps the kernel's structure, loads, load order and
//! checks, and adds none.
//!
//! ```text
//!  root table ──▶ root page ──▶ { word, usage } ──▶ { rcu, subsection_map, pageblock_flags }
//!
//!  vmemmap ──▶ | record of pfn 0 | … 64 B a pfn, 1 TiB reserved for 46 bits, memory only where memory is … |
//! ```
//!
//! **Load chain** of `pfn_valid`. The reader holds the root table, which the kernel loads from a
//! global:
//!
//! | load | what | line |
//! | --- | --- | --- |
//! | 1 | root pointer | root table |
//! | 2 | section word; without HAS_MEM_MAP: no; with IS_EARLY: yes, no further load | descriptor |
//! | 3 | usage pointer | the same |
//! | 4 | word of the sub-section map | usage, a heap object of its own |
//!
//! `pfn_to_page` and `page_to_pfn`: no load; the reader holds the base of the array.
//!
//! **Cost.** Index: 16 KiB of root pointers, 4 KiB per touched 32 GiB, 56 B per section. Records:
//! 16 MiB per GiB of memory (boot memory: of whole sections). Last-level page tables: 4 KiB per
//! section. A span of 64 TiB that holds 1 TiB in 8192 scattered sections takes about 8.5 MiB of
//! index.
//!
//! **Variants.** The same code implements other layouts. With other rules it is VMEMMAP [before the
//! series](crate::rules::Before) or [as posted](crate::rules::V6). With another
//! [placement](crate::placement) the records are stored on the device.
//!
//! **Hotplug.** In units of 2 MiB. Additions to a boot section reuse its records. Unlike the
//! kernel, this code populates and initialises records before it sets their bits. It releases
//! memory only after a grace period.

mod hotplug;
mod index_form;
mod reader;

pub use index_form::{IndexForm, TwoLevels};

use self::reader::loads_of_pfn_valid;
use crate::backing::{BackingError, RamBacking};
use crate::error::{BootError, HotplugError};
use crate::geometry::{Geometry, X86_64};
use crate::grace::Grace;
use crate::memmap::*;
use crate::page::{Life, PAGE_RECORD_BYTES, Page, PageLinks, Zone};
use crate::page_record::{HotplugRecord, record_bytes};
use crate::pfn::{Pfn, PfnRange};
use crate::placement::{InMemory, PlaceError, Placement};
use crate::request::{Grid, lock_writer};
use crate::rules::{Merged, Rules};
use crate::section::*;
use crate::store::{BackedSections, RecordStore};
use crate::stretch::Stretch;
use crate::subsection_map::SubsectionMap;
use crate::vmem::{Vmem, VmemError};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// SPARSEMEM_VMEMMAP with sub-sections. The parameters are the architecture, the kernel's rules,
/// the type of the records, and where they are stored. Records on a device have 64 bytes.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Lookup, Memmap, Pfn, PfnRange, RecordStore};
///
/// let layout: Subsection = Subsection::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // One sub-section of 2 MiB; the rest of its section stays invalid.
/// layout.add(PfnRange::from_len(0x100200, 512).unwrap(), &AddParams::default(), &mut ())?;
/// let reader = layout.reader();
/// assert!(reader.pfn_valid(Pfn(0x100200)) && !reader.pfn_valid(Pfn(0x100400)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Subsection<
    G: Geometry = X86_64,
    R: Rules = Merged,
    T: HotplugRecord = Page,
    P: Placement = InMemory,
    I: IndexForm = TwoLevels,
> {
    index: I::Index<G, R>,
    vmemmap: Vmem,
    backed: BackedSections,
    grace: Grace,
    writer: Mutex<Writer<P>>,
    records_lost_bytes: AtomicU64,
    kinds: PhantomData<(R, fn() -> T)>,
}

/// The descriptor of a section in an index.
type SectionOf<G, R, I> = <<I as IndexForm>::Index<G, R> as SectionIndex<G>>::Section;

/// State that only the writer uses: `mem_hotplug_lock` and what it protects.
#[derive(Debug)]
struct Writer<P> {
    placement: P,
    life: Life,
}

/// How the rules divide a section: in sub-sections of 2 MiB or, in v6, always in 64 parts.
struct Divided<G, R>(PhantomData<(G, R)>);

impl<G: Geometry, R: Rules> Divided<G, R> {
    const SHIFT: u32 = if R::SET.map_is_one_long { G::PFN_SECTION_SHIFT - 6 } else { G::PFN_SUBSECTION_SHIFT };
    /// Page frames per sub-section.
    const PAGES: u64 = 1 << Self::SHIFT;
    /// Sub-sections per section.
    const PER_SECTION: u32 = 1 << (G::PFN_SECTION_SHIFT - Self::SHIFT);

    /// The bit of a pfn's sub-section.
    #[inline(always)]
    fn index(pfn: u64) -> u32 {
        ((pfn & (G::PAGES_PER_SECTION - 1)) >> Self::SHIFT) as u32
    }

    /// The bits of a non-empty range inside one section, rounded outwards.
    fn bits(range: PfnRange) -> Range<u32> {
        debug_assert!(!range.is_empty() && G::section_nr(range.start()) == G::section_nr(range.end() - 1));
        Self::index(range.start())..Self::index(range.end() - 1) + 1
    }

    /// The pfns that the map records for a range inside one section. v6 rounds its start down and
    /// its size up, so that a range which straddles a sub-section boundary loses its last part.
    fn tracked(range: PfnRange) -> PfnRange {
        if R::SET.checks_grid {
            return range;
        }
        let start = range.start() & !(Self::PAGES - 1);
        let section_end = G::section_start(G::section_nr(start) + 1);
        let end = (start + range.nr_pages().next_multiple_of(Self::PAGES)).min(section_end);
        PfnRange::new(start, end).expect("a range of one sub-section or more")
    }
}

/// The pfns of section `nr`.
fn whole_section<G: Geometry>(nr: u64) -> PfnRange {
    PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION).expect("inside the physical address space")
}

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> Subsection<G, R, T, P, I> {
    /// Minimum size and alignment of an addition, in page frames.
    const GRANULE: u64 = if R::SET.whole_sections { G::PAGES_PER_SECTION } else { Divided::<G, R>::PAGES };
    const GRID: Grid = Grid { granule_pages: if R::SET.checks_grid { Self::GRANULE } else { 1 }, rule: R::SET.grid };

    fn writer(&self) -> Result<MutexGuard<'_, Writer<P>>, HotplugError> {
        lock_writer(&self.writer, &self.grace)
    }

    /// Where the records of a range lie in the array.
    fn stretch(pfns: PfnRange) -> Stretch {
        Stretch { offset: pfns.start() * record_bytes::<T>(), len: pfns.nr_pages() * record_bytes::<T>() }
    }

    fn record(&self, pfn: u64) -> NonNull<T> {
        // SAFETY: the array was reserved for every pfn of the physical space, and callers checked
        // the pfn against it.
        unsafe { self.vmemmap.base().cast::<T>().add(pfn as usize) }
    }

    /// The coded pointer of a section. Under VMEMMAP it is the base of the array. Lookups do not
    /// use it, but crash dump tools read it. v6 coded a null map.
    fn coded(&self, nr: u64) -> u64 {
        match R::SET.word_is_kept_right {
            true => self.vmemmap.base().as_ptr().addr() as u64,
            false => 0u64.wrapping_sub(G::section_start(nr).wrapping_mul(record_bytes::<T>())),
        }
    }
}

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> Memmap for Subsection<G, R, T, P, I> {
    const ID: &'static str = match (I::LAYOUT, R::LAYOUT_ID) {
        (Some((id, _)), _) | (None, Some(id)) => id,
        (None, None) => P::LAYOUT_ID,
    };
    const ABOUT: &'static str = match (I::LAYOUT, R::LAYOUT_ID) {
        (Some((_, about)), _) => about,
        (None, Some(_)) => R::ABOUT,
        (None, None) => P::ABOUT,
    };
    const CAPS: Capabilities = Capabilities {
        validity: R::SET.validity,
        hotplug_granule_pages: Some(Self::GRANULE),
        records_on_device: P::ON_DEVICE,
        page_to_pfn_reads_record: false,
    };
    const LOAD_CHAIN: LoadChain = LoadChain {
        pfn_valid: match I::PFN_VALID {
            Some(loads) => loads,
            None => loads_of_pfn_valid(R::SET.validity, R::CODE.is_some()),
        },
        pfn_to_page: &[],
        page_to_pfn: &[],
    };
    const PFN_VALID_DISABLES_PREEMPTION: bool = I::IS_GUARDED && R::SET.pfn_valid_disables_preemption;
    type Geometry = G;
    type Record = T;
    type Reader<'a> = I::Reader<'a, G, R, T>;

    fn boot(map: &BootMap, config: &Config, mut store: RecordStore) -> Result<Self, BootError> {
        const {
            let whole = matches!(R::SET.validity, Validity::Section);
            assert!(whole == R::SET.whole_sections, "what is valid is what comes and goes");
            assert!(matches!(R::SET.validity, Validity::Section | Validity::Subsection { .. }));
            assert!((R::SET.checks_grid || !R::SET.whole_sections));
            assert!(
                !P::ON_DEVICE.any() || record_bytes::<T>() == PAGE_RECORD_BYTES,
                "an altmap has room for 64 bytes a page"
            );
        }
        map.check::<G>()?;
        if !R::SET.checks_grid {
            // Without the alignment check some pages are valid whose records were never backed. In
            // private memory they read as zeroes; a hole in a full tmpfs would raise SIGBUS.
            store.backing = RamBacking::Anon;
        }
        if let Some(reason) = store.backing.refuses_devices().filter(|_| P::ON_DEVICE.any()) {
            let error = BackingError::Unavailable { backing: "hugetlb", reason: reason.to_owned() };
            return Err(VmemError::from(error).into());
        }
        let sections = map.sections::<G>();
        let layout = Self {
            vmemmap: Vmem::reserve(G::NR_PFNS * record_bytes::<T>(), G::PAGE_SIZE, &store)?,
            index: SectionIndex::new(sections.len(), config, &store)?,
            backed: store.backed,
            grace: Grace::default(),
            writer: Mutex::new(Writer { placement: P::default(), life: Life::BOOT }),
            records_lost_bytes: AtomicU64::new(0),
            kinds: PhantomData,
        };
        layout.back_boot_sections(&sections)?;
        layout.mark_boot_ranges(map);
        for (nr, _) in sections {
            let flags = R::SET.present_flag() | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
            layout.index.section(nr).expect("made above").set_word(layout.coded(nr) | flags);
            layout.index.show(whole_section::<G>(nr));
        }
        Ok(layout)
    }

    fn reader(&self) -> I::Reader<'_, G, R, T> {
        I::reader(&self.index, self.record(0), self.grace.read())
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            reserved_bytes: self.vmemmap.len_bytes(),
            index_bytes: self.index.bytes(),
            page_table_bytes: self.vmemmap.page_table_bytes(),
            ram_record_bytes: self.vmemmap.ram_bytes(),
            device_record_bytes: self.vmemmap.device_bytes(),
        }
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.vmemmap.bytes_in_huge_pages()
    }

    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.index.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        &self.backed
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        map.nr_sections::<G>().saturating_mul(G::PAGES_PER_SECTION * record_bytes::<T>())
    }
}

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> Subsection<G, R, T, P, I> {
    /// Backs the records of whole boot sections, including their holes: `sparse_init`.
    fn back_boot_sections(&self, sections: &[(u64, u8)]) -> Result<(), BootError> {
        let mut writer = self.writer().expect("no other thread has the layout yet");
        for (index, &(nr, node)) in sections.iter().enumerate() {
            let no_memory = |no: NoMemory| BootError::NoMemory { what: no.0, bytes: G::PAGE_SIZE };
            let section = self.index.section_or_new(nr).map_err(no_memory)?;
            let whole = whole_section::<G>(nr);
            if !self.backed.contains(nr) {
                self.vmemmap.leave_unbacked(Self::stretch(whole))?;
            } else {
                match writer.placement.populate(&self.vmemmap, Self::stretch(whole), true, None) {
                    Ok(()) => {}
                    Err(PlaceError::Vmem(error)) => return Err(error.into()),
                    Err(PlaceError::AltmapExhausted { .. }) => unreachable!("boot memory has no altmap"),
                }
                for pfn in whole.start()..whole.end() {
                    let links = PageLinks::new(node, Zone::Normal);
                    // SAFETY: the record lies in the section that was just backed.
                    unsafe { self.record(pfn).as_ref() }.init(links, Pfn(pfn), Life::BOOT);
                }
            }
            self.index.note_present(nr);
            section.set_usage(self.index.usages().of_boot(index));
        }
        Ok(())
    }

    /// Sets the bits of boot memory. A partly present sub-section counts as present:
    /// `subsection_map_init`.
    fn mark_boot_ranges(&self, map: &BootMap) {
        for boot in map.ranges() {
            // Before the series a section was present as a whole or not at all.
            let range = if R::SET.whole_sections { boot.range.round_out(G::PAGES_PER_SECTION) } else { boot.range };
            for part in range.split_at_multiples(G::PAGES_PER_SECTION) {
                let section = self.index.section(G::section_nr(part.start()));
                // SAFETY: there are no readers yet.
                let usage = section.and_then(|section| unsafe { section.usage() }).expect("made at boot");
                if !R::SET.boot_bits_add_up {
                    usage.subsection_map.clear(0..Divided::<G, R>::PER_SECTION);
                }
                usage.subsection_map.set(Divided::<G, R>::bits(Divided::<G, R>::tracked(part)));
            }
        }
    }
}

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> SectionFlags for Subsection<G, R, T, P, I> {
    type Rules = R;

    fn set_online(&self, range: PfnRange, online: bool) -> Result<(), HotplugError> {
        let _writer = self.writer()?;
        self.index.set_online(range, online, 0..Divided::<G, R>::PER_SECTION)
    }
}

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> Inspect for Subsection<G, R, T, P, I> {
    fn section_state(&self, nr: u64) -> Option<SectionState> {
        // A reader, not the lock: it keeps usages alive, and this thread may already hold one.
        let _guard = self.grace.read();
        let mut state = self.index.state(nr)?;
        // The same for every section, so not every descriptor keeps it. Crash dump tools read it here.
        if !<SectionOf<G, R, I>>::KEEPS_POINTER && state.section_mem_map != 0 {
            state.section_mem_map |= self.coded(nr);
        }
        Some(state)
    }

    fn accounting(&self) -> Accounting {
        Accounting {
            roots: self.index.nr_pages_of_descriptors(),
            heap_usages: self.index.usages().nr_heap(),
            ram_record_bytes: self.vmemmap.ram_bytes(),
            device_record_bytes: self.vmemmap.device_bytes(),
            records_lost_bytes: self.records_lost_bytes.load(Ordering::Relaxed),
        }
    }

    fn digest(&self) -> u64 {
        // A reader, not the lock: it keeps usages alive, and this thread may already hold one.
        let _guard = self.grace.read();
        self.index.digest(&self.accounting())
    }
}
