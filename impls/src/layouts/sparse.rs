//! Classic SPARSEMEM_EXTREME: each section's records are allocated separately, and its descriptor
//! points to them.
//!
//! Source: `include/asm-generic/memory_model.h`, `include/linux/mmzone.h`, `mm/sparse.c` without
//! VMEMMAP.
//!
//! ```text
//!  root table ──▶ root page ──▶ section word = coded pointer | flags ──▶ slots of 2 MiB, packed, in shuffled order
//!                                                                        | section 9 | section 2 | section 33 | …
//! ```
//! The slots are shuffled on purpose. In one linear array all coded pointers would be equal, so a
//! wrong section number would still give the right record.
//!
//! **Load chain.** The reader holds the root table. `pfn_valid`: root pointer, section word (2
//! loads, 2 lines). `pfn_to_page`: the same two. `page_to_pfn`: `page->flags` (the record's own
//! line), root pointer, section word.
//!
//! **Cost.** Index: 16 KiB of root pointers, 4 KiB per touched 32 GiB, and a usage object of 48 B
//! per section. Records: 2 MiB per touched section. A span of 64 TiB that holds 1 TiB in 8192
//! scattered sections takes about 8.5 MiB of index.
//!
//! **Hotplug.** Whole sections of 128 MiB. History by now: in Linux 6.12 `MEMORY_HOTPLUG` needs
//! SPARSEMEM, in 7.2 SPARSEMEM_VMEMMAP (`mm/Kconfig`).

use crate::error::{BootError, HotplugError};
use crate::geometry::{Geometry, X86_64};
use crate::grace::{Grace, ReadGuard};
use crate::initialise::in_threads;
use crate::memmap::*;
use crate::page::{Life, PAGE_RECORD_BYTES, Page, PageLinks, Zone};
use crate::pfn::{Pfn, PfnRange};
use crate::request::{Grid, check_altmap, lock_writer};
use crate::rules::{Merged, Rules};
use crate::section::*;
use crate::store::{BackedSections, RecordStore};
use crate::stretch::Stretch;
use crate::subsection_map::NoSubsections;
use crate::vmem::Vmem;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Number of slots that are shuffled together.
const SLOTS_PER_DEAL: u64 = 256;

/// Classic SPARSEMEM_EXTREME: a two-level section table, and separate records per section.
///
/// ```
/// use memmap_layouts::layouts::Sparse;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Lookup, Memmap, Pfn, PfnRange, RecordStore, RemoveParams};
///
/// let layout: Sparse = Sparse::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // Memory is added and removed in whole sections, here section 32 of 128 MiB.
/// let section = PfnRange::from_len(0x100000, 0x8000).unwrap();
/// layout.add(section, &AddParams::default(), &mut ())?;
/// assert!(layout.reader().pfn_valid(Pfn(0x107fff)));
/// layout.remove(section, &RemoveParams::default(), &mut ())?;
/// assert!(!layout.reader().pfn_valid(Pfn(0x107fff)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Sparse<G: Geometry = X86_64> {
    table: SectionTable<G, NoSubsections>,
    arena: Vmem,
    backed: BackedSections,
    grace: Grace,
    writer: Mutex<Writer>,
}

/// State that only the writer uses.
#[derive(Debug)]
struct Writer {
    slots: Slots,
    life: Life,
}

/// Allocator of slots for the records of sections. It reuses released slots first, then shuffles
/// the next [`SLOTS_PER_DEAL`] slots. A slot that was left without memory is only reused without
/// memory, because on a tmpfs something else is mapped there.
#[derive(Debug)]
struct Slots {
    free: Vec<u64>,
    unbacked: Vec<u64>,
    dealt: u64,
    rng: Pcg64Mcg,
}

impl Slots {
    fn take(&mut self, backed: bool) -> u64 {
        if !backed && let Some(slot) = self.unbacked.pop() {
            return slot;
        }
        if self.free.is_empty() {
            self.free.extend(self.dealt..self.dealt + SLOTS_PER_DEAL);
            self.free.shuffle(&mut self.rng);
            self.dealt += SLOTS_PER_DEAL;
        }
        self.free.pop().expect("a deal is not empty")
    }

    fn give_back(&mut self, slot: u64, backed: bool) {
        if backed { self.free.push(slot) } else { self.unbacked.push(slot) }
    }
}

/// Size of a slot: bytes of the records of one section.
fn slot_bytes<G: Geometry>() -> u64 {
    G::PAGES_PER_SECTION * PAGE_RECORD_BYTES
}

fn decode(word: u64, pfn: u64) -> *mut Page {
    let address = (word & SECTION_MAP_MASK).wrapping_add(pfn.wrapping_mul(PAGE_RECORD_BYTES));
    std::ptr::with_exposed_provenance_mut(address as usize)
}

const GRID: &str = "classic SPARSEMEM adds and removes whole sections";

impl<G: Geometry> Memmap for Sparse<G> {
    const ID: &'static str = "sparse";
    const ABOUT: &'static str =
        "classic SPARSEMEM_EXTREME: two-level table, coded map pointers, 128 MiB hotplug (not in 7.2)";
    const CAPS: Capabilities = Capabilities {
        validity: Validity::Section,
        hotplug_granule_pages: Some(G::PAGES_PER_SECTION),
        records_on_device: DeviceRecords::Never,
        page_to_pfn_reads_record: true,
    };
    const LOAD_CHAIN: LoadChain = LoadChain {
        pfn_valid: &[ROOT_POINTER, SECTION_WORD],
        pfn_to_page: &[ROOT_POINTER, SECTION_WORD],
        page_to_pfn: &[
            Load { what: "page->flags", line: Load::RECORD_LINE, when: When::Always },
            ROOT_POINTER,
            SECTION_WORD,
        ],
    };
    const PFN_VALID_DISABLES_PREEMPTION: bool = Merged::SET.pfn_valid_disables_preemption;
    type Geometry = G;
    type Record = Page;
    type Reader<'a> = SparseReader<'a, G>;

    fn boot(map: &BootMap, config: &Config, store: RecordStore) -> Result<Self, BootError> {
        map.check::<G>()?;
        let sections = map.sections::<G>();
        // Space for every section that the machine can have, and for the last deal.
        let arena_bytes = G::NR_PFNS * PAGE_RECORD_BYTES + SLOTS_PER_DEAL * slot_bytes::<G>();
        let arena = Vmem::reserve(arena_bytes, G::PAGE_SIZE, &store)?;
        // Coded pointers are integers, so the array's provenance is exposed once.
        arena.base().as_ptr().expose_provenance();
        let sparse = Self {
            table: SectionTable::new(sections.len(), config, &store)?,
            arena,
            backed: store.backed,
            grace: Grace::default(),
            writer: Mutex::new(Writer {
                slots: Slots {
                    free: Vec::new(),
                    unbacked: Vec::new(),
                    dealt: 0,
                    rng: Pcg64Mcg::seed_from_u64(config.seed),
                },
                life: Life::BOOT,
            }),
        };
        let mut writer = sparse.writer().expect("no other thread has the layout yet");
        for (index, (nr, node)) in sections.into_iter().enumerate() {
            let section = sparse
                .table
                .section_or_new(nr)
                .map_err(|no| BootError::NoMemory { what: no.0, bytes: G::PAGE_SIZE })?;
            let slot = writer.slots.take(sparse.backed.contains(nr));
            sparse.back(nr, slot)?;
            let whole = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION)
                .expect("inside the physical address space");
            sparse.init_records(whole, slot, PageLinks::new(node, Zone::Normal), Life::BOOT);
            sparse.table.note_present(nr);
            section.set_usage(sparse.table.usages().of_boot(index));
            let flags = SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
            section.set_word(sparse.coded(nr, slot) | flags);
        }
        drop(writer);
        Ok(sparse)
    }

    fn reader(&self) -> SparseReader<'_, G> {
        SparseReader { roots: self.table.roots(), end_section: self.table.end_section(), _guard: self.grace.read() }
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            reserved_bytes: self.arena.len_bytes(),
            index_bytes: self.table.bytes(),
            page_table_bytes: self.arena.page_table_bytes(),
            ram_record_bytes: self.arena.ram_bytes(),
            device_record_bytes: 0,
        }
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.arena.bytes_in_huge_pages()
    }

    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.table.bytes_in_huge_pages()
    }

    fn backed(&self) -> &BackedSections {
        &self.backed
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        map.nr_sections::<G>().saturating_mul(slot_bytes::<G>())
    }
}

impl<G: Geometry> Sparse<G> {
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, HotplugError> {
        lock_writer(&self.writer, &self.grace)
    }

    fn stretch(slot: u64) -> Stretch {
        Stretch { offset: slot * slot_bytes::<G>(), len: slot_bytes::<G>() }
    }

    fn slot_base(&self, slot: u64) -> NonNull<Page> {
        // SAFETY: slot numbers are below the number that the arena was reserved for.
        unsafe { self.arena.base().add((slot * slot_bytes::<G>()) as usize).cast() }
    }

    /// The coded pointer: the address that the record of pfn 0 would have.
    fn coded(&self, nr: u64, slot: u64) -> u64 {
        let base = self.slot_base(slot).as_ptr().addr() as u64;
        base.wrapping_sub(G::section_start(nr).wrapping_mul(PAGE_RECORD_BYTES))
    }

    fn slot_of(&self, nr: u64, word: u64) -> u64 {
        let base = decode(word, G::section_start(nr)).addr() - self.arena.base().as_ptr().addr();
        base as u64 / slot_bytes::<G>()
    }

    fn back(&self, nr: u64, slot: u64) -> Result<(), crate::vmem::VmemError> {
        match self.backed.contains(nr) {
            true => self.arena.populate(Self::stretch(slot)),
            false => self.arena.leave_unbacked(Self::stretch(slot)),
        }
    }

    fn unback(&self, nr: u64, slot: u64) -> Result<(), crate::vmem::VmemError> {
        if self.backed.contains(nr) { self.arena.depopulate(Self::stretch(slot)) } else { Ok(()) }
    }

    /// Initialises the records of `part`, a range within the section that owns `slot`.
    fn init_records(&self, part: PfnRange, slot: u64, links: PageLinks, life: Life) {
        let nr = G::section_nr(part.start());
        if !self.backed.contains(nr) {
            return;
        }
        let links = links.with_section(nr, G::SECTIONS_WIDTH);
        for pfn in part.start()..part.end() {
            // SAFETY: the slot holds the records of the section, of which this is one, and was just
            // backed.
            let page = unsafe { self.slot_base(slot).add((pfn - G::section_start(nr)) as usize).as_ref() };
            page.init(links, Pfn(pfn), life);
        }
    }

    /// Adds whole sections; on an error nothing is changed.
    fn add_sections(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        let span = range.phys(G::PAGE_SHIFT);
        let mut writer = self.writer()?;
        let numbers = G::section_nr(range.start())..G::section_nr(range.end());
        let roots = self.table.roots();
        for nr in numbers.clone() {
            if roots.section(nr).is_some_and(|section| section.word() & SECTION_MARKED_PRESENT != 0) {
                let at = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION)
                    .expect("inside the physical address space");
                return Err(HotplugError::Overlaps { span, at: at.phys(G::PAGE_SHIFT) });
            }
        }
        let mut added: Vec<(u64, u64, *mut SectionUsage<NoSubsections>)> = Vec::new();
        let undo = |writer: &mut Writer, added: &[(u64, u64, *mut SectionUsage<NoSubsections>)], backed: usize| {
            for &(nr, slot, _) in &added[..backed] {
                let undone = self.unback(nr, slot);
                debug_assert!(undone.is_ok(), "{undone:?}");
            }
            for &(nr, slot, usage) in added.iter().rev() {
                writer.slots.give_back(slot, self.backed.contains(nr));
                // SAFETY: not published yet; a boot usage is left alone.
                unsafe { self.table.usages().retire(usage) };
            }
        };
        for nr in numbers.clone() {
            let reserved = self.table.section_or_new(nr).and_then(|section| match section.usage_ptr() {
                usage if usage.is_null() => self.table.usages().allocate(),
                boot_usage => Ok(boot_usage),
            });
            match reserved {
                Ok(usage) => added.push((nr, writer.slots.take(self.backed.contains(nr)), usage)),
                Err(no) => {
                    undo(&mut writer, &added, 0);
                    return Err(HotplugError::NoMemory { span, what: no.0 });
                }
            }
        }
        phases.ended(Phase::Reserve);
        for backed in 0..added.len() {
            let (nr, slot, _) = added[backed];
            if let Err(source) = self.back(nr, slot) {
                undo(&mut writer, &added, backed);
                return Err(HotplugError::Vmem { span, source });
            }
        }
        phases.ended(Phase::Populate);
        writer.life = writer.life.next();
        let zone = match how.kind {
            MemoryKind::Ram => Zone::Normal,
            MemoryKind::Device => Zone::Device,
        };
        let (links, life) = (PageLinks::new(how.node, zone), writer.life);
        let slots: Vec<u64> = added.iter().map(|&(_, slot, _)| slot).collect();
        let init = |part: PfnRange| {
            self.init_records(part, slots[(G::section_nr(part.start()) - numbers.start) as usize], links, life);
        };
        let initialised = |nr_pages| phases.progressed(Phase::Initialise, nr_pages);
        in_threads::<G>(range.split_at_multiples(G::PAGES_PER_SECTION), how.init_threads, init, initialised);
        phases.ended(Phase::Initialise);
        for (nr, slot, usage) in added {
            let section = roots.section(nr).expect("its root was made above");
            self.table.note_present(nr);
            section.set_usage(usage);
            section.set_word(self.coded(nr, slot) | SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP);
        }
        phases.ended(Phase::Publish);
        Ok(())
    }
}

impl<G: Geometry> Hotplug for Sparse<G> {
    fn add(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        Grid { granule_pages: G::PAGES_PER_SECTION, rule: GRID }.check::<G>(range)?;
        let _bound = check_altmap::<G>(range, how, &self.grace)?;
        match how.mode {
            AddMode::Transactional => self.add_sections(range, how, phases),
            AddMode::Faithful => range
                .split_at_multiples(G::PAGES_PER_SECTION)
                .try_for_each(|section| self.add_sections(section, how, phases)),
        }
    }

    fn remove(&self, range: PfnRange, _: &RemoveParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        Grid { granule_pages: G::PAGES_PER_SECTION, rule: GRID }.check::<G>(range)?;
        let span = range.phys(G::PAGE_SHIFT);
        if self.grace.held_by_this_thread() {
            return Err(crate::grace::GraceError::ReaderHeld.into());
        }
        let mut writer = self.writer()?;
        let mut sections = Vec::new();
        for nr in G::section_nr(range.start())..G::section_nr(range.end()) {
            match self.table.roots().section(nr).filter(|section| section.word() & SECTION_HAS_MEM_MAP != 0) {
                Some(section) => sections.push((nr, section, section.word())),
                None => {
                    let at = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION)
                        .expect("inside the physical address space");
                    return Err(HotplugError::NotPresent { span, at: at.phys(G::PAGE_SHIFT) });
                }
            }
        }
        for (_, section, word) in &sections {
            section.set_word(word & !SECTION_HAS_MEM_MAP);
        }
        phases.ended(Phase::Unpublish);
        if let Err(error) = self.grace.synchronize() {
            for (_, section, word) in &sections {
                section.set_word(*word);
            }
            return Err(error.into());
        }
        phases.ended(Phase::Grace);
        for (done, (nr, section, word)) in sections.iter().enumerate() {
            let slot = self.slot_of(*nr, *word);
            if let Err(source) = self.unback(*nr, slot) {
                // A failure of the first section is undone completely. Later ones do not fail,
                // because the kernel can drop memory in several ways.
                debug_assert!(done == 0, "section {nr}: {source}");
                for (_, section, word) in &sections[done..] {
                    section.set_word(*word);
                }
                return Err(HotplugError::Vmem { span, source });
            }
            writer.slots.give_back(slot, self.backed.contains(*nr));
            let usage = section.usage_ptr();
            if self.table.usages().kind(usage) == Some(UsageKind::Heap) {
                section.set_usage(std::ptr::null_mut());
                // SAFETY: hidden since the word changed, and a grace period has passed.
                unsafe { self.table.usages().retire(usage) };
            }
            section.set_word(0);
        }
        phases.ended(Phase::Depopulate);
        Ok(())
    }

    fn synchronize(&self) -> Result<(), HotplugError> {
        let _one_at_a_time = self.writer()?;
        Ok(self.grace.synchronize()?)
    }

    fn held_by_this_thread(&self) -> bool {
        self.grace.held_by_this_thread()
    }
}

impl<G: Geometry> SectionFlags for Sparse<G> {
    type Rules = Merged;

    fn set_online(&self, range: PfnRange, online: bool) -> Result<(), HotplugError> {
        let _writer = self.writer()?;
        self.table.set_online(range, online, 0..0)
    }
}

impl<G: Geometry> Inspect for Sparse<G> {
    fn section_state(&self, nr: u64) -> Option<SectionState> {
        // A reader, not the lock: it keeps usages alive, and this thread may already hold one.
        let _guard = self.grace.read();
        self.table.state(nr)
    }

    fn accounting(&self) -> Accounting {
        Accounting {
            roots: self.table.nr_pages_of_descriptors(),
            heap_usages: self.table.usages().nr_heap(),
            ram_record_bytes: self.arena.ram_bytes(),
            device_record_bytes: 0,
            records_lost_bytes: 0,
        }
    }

    fn digest(&self) -> u64 {
        // A reader, not the lock: it keeps usages alive, and this thread may already hold one.
        let _guard = self.grace.read();
        self.table.digest(&self.accounting())
    }
}

/// The lookups of [`Sparse`]. Each loads a root pointer and a section word; `page_to_pfn` also
/// loads `page->flags`.
#[derive(Debug)]
pub struct SparseReader<'a, G: Geometry> {
    roots: Roots<'a, G, NoSubsections>,
    end_section: &'a AtomicU64,
    _guard: ReadGuard<'a>,
}

// SAFETY: a section with a map keeps its records until its word was cleared and a grace period has
// passed, and this reader holds that up.
unsafe impl<G: Geometry> Lookup for SparseReader<'_, G> {
    type Record = Page;

    #[inline(always)]
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.roots.section_of_any(pfn.0).is_some_and(|section| section.word() & SECTION_HAS_MEM_MAP != 0)
    }

    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page> {
        match self.roots.section(G::section_nr(pfn.0)) {
            // SAFETY: the pfn is valid, so the word decodes to a record of the arena, which is not
            // at 0.
            Some(section) => unsafe { NonNull::new_unchecked(decode(section.word(), pfn.0)) },
            // As in the kernel, the checks stay, and a failed one gives a pointer that must not be
            // dereferenced.
            None => NonNull::dangling(),
        }
    }

    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn {
        // SAFETY: the page is a live record of this reader.
        let nr = unsafe { page.as_ref() }.section_nr(G::SECTIONS_WIDTH);
        let base = self.roots.section(nr).map_or(0, |section| section.word() & SECTION_MAP_MASK);
        Pfn((page.as_ptr().addr() as u64).wrapping_sub(base) / PAGE_RECORD_BYTES)
    }

    fn section_flags(&self, pfn: Pfn) -> u64 {
        self.roots.section_of_any(pfn.0).map_or(0, |section| section.word() & SECTION_FLAGS)
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.pfn_valid(pfn)
    }

    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        let end = end.0.min(G::section_start(self.end_section.load(Ordering::Relaxed)));
        let mut pfn = from.0;
        while pfn < end {
            if self.pfn_valid(Pfn(pfn)) {
                return Some(Pfn(pfn));
            }
            pfn = G::section_start(G::section_nr(pfn) + 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = X86_64::PAGES_PER_SECTION;

    fn range(section: u64, nr: u64) -> PfnRange {
        PfnRange::from_len(section * S, nr * S).unwrap()
    }

    #[test]
    fn maps_of_adjacent_sections_are_not_adjacent() {
        let map = BootMap::new([BootRange { range: range(0, 8), node: 0 }]).unwrap();
        let store = RecordStore { backed: BackedSections::only([]), ..RecordStore::unlimited() };
        let sparse = <Sparse>::boot(&map, &Config::default(), store).unwrap();
        let coded: Vec<_> =
            (0..8).map(|nr| sparse.section_state(nr).unwrap().section_mem_map & SECTION_MAP_MASK).collect();
        assert!(coded.windows(2).any(|pair| pair[0] != pair[1]), "{coded:x?}");
        let mut distinct = coded.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 6, "a wrong section number must give a wrong record: {coded:x?}");
    }

    #[test]
    fn a_wrong_section_number_in_a_record_gives_a_wrong_pfn() {
        let sparse = <Sparse>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        sparse.add(range(4, 2), &AddParams::default(), &mut ()).unwrap();
        let reader = sparse.reader();
        let page = reader.valid_to_page(Pfn(4 * S + 7)).unwrap();
        // SAFETY: the page is the reader's.
        assert_eq!(unsafe { reader.page_to_pfn(page.into()) }, Pfn(4 * S + 7));
        page.init(PageLinks::new(0, Zone::Device).with_section(5, X86_64::SECTIONS_WIDTH), Pfn(4 * S + 7), Life::BOOT);
        // SAFETY: as above.
        assert_ne!(unsafe { reader.page_to_pfn(page.into()) }, Pfn(4 * S + 7));
    }

    /// On a tmpfs something else is mapped where nothing is backed. Records written there would go
    /// to private memory that is neither counted nor released.
    #[test]
    fn a_slot_without_memory_is_never_backed_later() {
        let backing = crate::backing::RamBacking::Tmpfs("/dev/shm".into());
        let store = RecordStore { backing, backed: BackedSections::only([4]), ..RecordStore::unlimited() };
        let sparse = <Sparse>::boot(&BootMap::default(), &Config::default(), store).unwrap();
        let slot = |nr| sparse.slot_of(nr, sparse.section_state(nr).unwrap().section_mem_map);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            sparse.add(range(8, 4), &AddParams::default(), &mut ()).unwrap();
            without.extend((8..12).map(slot));
            sparse.remove(range(8, 4), &RemoveParams::default(), &mut ()).unwrap();
            sparse.add(range(4, 1), &AddParams::default(), &mut ()).unwrap();
            with.push(slot(4));
            sparse.remove(range(4, 1), &RemoveParams::default(), &mut ()).unwrap();
        }
        assert!(with.iter().all(|slot| !without.contains(slot)), "{with:?} {without:?}");
    }

    #[test]
    fn released_slots_are_reused() {
        let sparse = <Sparse>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        for _ in 0..3 * SLOTS_PER_DEAL / 100 {
            sparse.add(range(4, 2), &AddParams::default(), &mut ()).unwrap();
            sparse.remove(range(4, 2), &RemoveParams::default(), &mut ()).unwrap();
        }
        assert_eq!(sparse.writer().unwrap().slots.dealt, SLOTS_PER_DEAL);
    }
}
