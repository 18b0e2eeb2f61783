//! SPARSEMEM_VMEMMAP with the sub-section map: records in one virtual array, validity by section and 2 MiB sub-section.
//!
//! Source: the series "mm: Sub-section memory hotplug support" in its merged form (v10, Linux 5.3) with later fixes, as
//! in 6.12: `include/linux/mmzone.h`, `mm/sparse.c`, `mm/sparse-vmemmap.c`. It is the thing to be measured, so it keeps
//! the kernel's structure, its loads in their order and its checks, and no others.
//!
//! ```text
//!  root table ──▶ root page ──▶ { word, usage } ──▶ { rcu, subsection_map, pageblock_flags }
//!
//!  vmemmap ──▶ | record of pfn 0 | … 64 B a pfn, 1 TiB reserved for 46 bits, memory only where memory is … |
//! ```
//!
//! **Load chain** of `pfn_valid`; the reader holds the root table, which the kernel loads from a global:
//!
//! | load | what | line |
//! | --- | --- | --- |
//! | 1 | root pointer | root table |
//! | 2 | section word; without HAS_MEM_MAP: no; with IS_EARLY: yes, no further load | descriptor |
//! | 3 | usage pointer | the same |
//! | 4 | word of the sub-section map | usage, a heap object of its own |
//!
//! `pfn_to_page` and `page_to_pfn`: no load beyond the base of the array, which the reader holds.
//!
//! **Cost.** Index: 16 KiB of root pointers, 4 KiB a touched 32 GiB, 56 B a section. Records: 16 MiB/GiB of memory
//! (boot: whole sections); last-level page tables 4 KiB a section. A span of 64 TiB that holds 1 TiB in 8192 scattered
//! sections: about 8.5 MiB of index.
//!
//! **Hotplug.** 2 MiB. Additions to a boot section reuse its records. Unlike the kernel, records are populated and
//! initialised before their bits are set, and memory goes back after a grace period, not before.

use crate::altmap::Used;
use crate::error::{BootError, HotplugError};
use crate::geometry::{Geometry, X86_64};
use crate::grace::{Grace, GraceError, ReadGuard};
use crate::memmap::*;
use crate::page::{Life, PAGE_RECORD_BYTES, Page, PageLinks, Zone};
use crate::pfn::{Pfn, PfnRange, PhysSpan};
use crate::placement::{InMemory, PlaceError, Placement};
use crate::request::{Grid, check_altmap, lock_writer};
use crate::rules::{Merged, Rules};
use crate::section::*;
use crate::store::{BackedSections, RecordStore};
use crate::subsection_map::SubsectionMap;
use crate::vmem::{Stretch, Vmem};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard};

/// SPARSEMEM_VMEMMAP, for an architecture, the rules of a time and a place of records.
#[derive(Debug)]
pub struct Subsection<G: Geometry = X86_64, R: Rules = Merged, P: Placement = InMemory> {
    table: SectionTable<G, G::SubsectionMap>,
    vmemmap: Vmem,
    backed: BackedSections,
    grace: Grace,
    writer: Mutex<Writer<P>>,
    rules: PhantomData<R>,
}

/// What the writer alone needs: `mem_hotplug_lock` and what it protects.
#[derive(Debug)]
struct Writer<P> {
    placement: P,
    life: Life,
}

/// The part of a request that lies in one section, and what was reserved for it.
struct Chunk<'a, M: SubsectionMap> {
    pfns: PfnRange,
    section: &'a MemSection<M>,
    /// Allocated for this addition.
    new_usage: *mut SectionUsage<M>,
}

fn stretch(pfns: PfnRange) -> Stretch {
    Stretch { offset: pfns.start() * PAGE_RECORD_BYTES, len: pfns.nr_pages() * PAGE_RECORD_BYTES }
}

impl<G: Geometry, R: Rules, P: Placement> Subsection<G, R, P> {
    const GRID: Grid = Grid {
        granule_pages: if R::WHOLE_SECTIONS { G::PAGES_PER_SECTION } else { G::PAGES_PER_SUBSECTION },
        rule: R::GRID,
    };

    fn writer(&self) -> Result<MutexGuard<'_, Writer<P>>, HotplugError> {
        lock_writer(&self.writer, &self.grace)
    }

    fn record(&self, pfn: u64) -> NonNull<Page> {
        // SAFETY: the array was reserved for every pfn of the physical space, and callers checked the pfn against it.
        unsafe { self.vmemmap.base().cast::<Page>().add(pfn as usize) }
    }

    fn init_records(&self, pfns: PfnRange, links: PageLinks, life: Life) {
        for pfn in pfns.start()..pfns.end() {
            // SAFETY: the caller backed these records; they are atomics, so readers of a boot section may look on.
            unsafe { self.record(pfn).as_ref() }.init(links, Pfn(pfn), life);
        }
    }

    /// The word of a section: under VMEMMAP the coded pointer is the base of the array. Nobody translates by it, but
    /// crash dump tools read it.
    fn coded(&self) -> u64 {
        self.vmemmap.base().as_ptr().addr() as u64
    }

    /// Are the records of a section backed as a whole since boot? Then additions to it need no memory, and removals
    /// give none back until the section is empty.
    fn has_boot_records(&self, section: &MemSection<G::SubsectionMap>, nr: u64) -> bool {
        section.word() & SECTION_IS_EARLY != 0 && self.backed.contains(nr)
    }

    fn at(pfn: u64, bit: u32) -> PhysSpan {
        let start = G::section_start(G::section_nr(pfn)) + u64::from(bit) * G::PAGES_PER_SUBSECTION;
        PfnRange::from_len(start, G::PAGES_PER_SUBSECTION).expect("inside the space").phys(G::PAGE_SHIFT)
    }

    /// The first sub-section of a chunk that is (not) active.
    fn find(section: Option<&MemSection<G::SubsectionMap>>, chunk: PfnRange, active: bool) -> Option<u32> {
        let bits = subsection_bits::<G>(chunk.start(), chunk.end());
        // SAFETY: the writer asks, and only the writer frees usages.
        match section.and_then(|section| unsafe { section.usage() }) {
            Some(usage) => usage.subsection_map.find(bits, active),
            None => (!active).then_some(bits.start),
        }
    }

    /// Adds a range that lies on the grid, all or nothing.
    fn add_range(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        let span = range.phys(G::PAGE_SHIFT);
        let mut writer = self.writer()?;
        let roots = self.table.roots();
        for chunk in range.split_at_multiples(G::PAGES_PER_SECTION) {
            let section = roots.section(G::section_nr(chunk.start()));
            if let Some(bit) = Self::find(section, chunk, true) {
                return Err(HotplugError::Overlaps { span, at: Self::at(chunk.start(), bit) });
            }
        }
        let altmap_before = how.altmap.as_ref().map(|altmap| altmap.used());
        let mut chunks: Vec<Chunk<'_, G::SubsectionMap>> = Vec::new();
        for pfns in range.split_at_multiples(G::PAGES_PER_SECTION) {
            match self.reserve(pfns) {
                Ok(chunk) => chunks.push(chunk),
                Err(no) => {
                    self.undo_add(&mut writer, &chunks, 0, how, altmap_before);
                    return Err(HotplugError::NoMemory { span, what: no.0 });
                }
            }
        }
        phases.ended(Phase::Reserve);
        for done in 0..chunks.len() {
            if let Err(error) = self.populate(&mut writer, &chunks[done], how) {
                self.undo_add(&mut writer, &chunks, done, how, altmap_before);
                return Err(match error {
                    PlaceError::AltmapExhausted { need, left } => HotplugError::AltmapExhausted { span, need, left },
                    PlaceError::Vmem(source) => HotplugError::Vmem { span, source },
                });
            }
        }
        phases.ended(Phase::Populate);
        writer.life = writer.life.next();
        let zone = match how.kind {
            MemoryKind::Ram => Zone::Normal,
            MemoryKind::Device => Zone::Device,
        };
        let links = PageLinks::new(how.node, zone);
        for chunk in &chunks {
            if self.is_recorded(chunk) {
                self.init_records(chunk.pfns, links, writer.life);
            }
        }
        phases.ended(Phase::Initialise);
        for chunk in &chunks {
            self.publish(chunk);
        }
        phases.ended(Phase::Publish);
        Ok(())
    }

    /// Descriptor and usage of a chunk.
    fn reserve(&self, pfns: PfnRange) -> Result<Chunk<'_, G::SubsectionMap>, NoMemory> {
        let section = self.table.section_or_new_root(G::section_nr(pfns.start()))?;
        let new_usage = if section.usage_ptr().is_null() { self.table.new_heap_usage()? } else { ptr::null_mut() };
        Ok(Chunk { pfns, section, new_usage })
    }

    /// Records of sections outside the sample are not there.
    fn is_recorded(&self, chunk: &Chunk<'_, G::SubsectionMap>) -> bool {
        self.backed.contains(G::section_nr(chunk.pfns.start()))
    }

    fn populate(
        &self,
        writer: &mut Writer<P>,
        chunk: &Chunk<'_, G::SubsectionMap>,
        how: &AddParams,
    ) -> Result<(), PlaceError> {
        let nr = G::section_nr(chunk.pfns.start());
        if !self.is_recorded(chunk) {
            return Ok(self.vmemmap.leave_unbacked(stretch(chunk.pfns))?);
        }
        if self.has_boot_records(chunk.section, nr) {
            return Ok(());
        }
        writer.placement.populate(&self.vmemmap, stretch(chunk.pfns), how.altmap.as_ref())
    }

    fn undo_add(
        &self,
        writer: &mut Writer<P>,
        chunks: &[Chunk<'_, G::SubsectionMap>],
        populated: usize,
        how: &AddParams,
        altmap_before: Option<Used>,
    ) {
        for chunk in &chunks[..populated] {
            let nr = G::section_nr(chunk.pfns.start());
            if self.is_recorded(chunk) && !self.has_boot_records(chunk.section, nr) {
                let undone = writer.placement.depopulate(&self.vmemmap, &[stretch(chunk.pfns)]);
                debug_assert!(undone.is_ok(), "{undone:?}");
            }
        }
        for chunk in chunks {
            // SAFETY: not published yet; null is left alone.
            unsafe { self.table.retire_usage(chunk.new_usage) };
        }
        if let (Some(altmap), Some(before)) = (&how.altmap, altmap_before) {
            altmap.restore(before);
        }
    }

    /// The records are there and written: usage, bits, word, in the order in which a reader follows them back.
    fn publish(&self, chunk: &Chunk<'_, G::SubsectionMap>) {
        let bits = subsection_bits::<G>(chunk.pfns.start(), chunk.pfns.end());
        if !chunk.new_usage.is_null() {
            chunk.section.set_usage(chunk.new_usage);
        }
        // SAFETY: only the writer frees usages.
        let usage = unsafe { chunk.section.usage() }.expect("reserved above");
        usage.subsection_map.set(bits);
        let word = chunk.section.word();
        if word & SECTION_HAS_MEM_MAP == 0 {
            chunk.section.set_word(self.coded() | SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP);
        }
    }
}

/// A section that a removal touches: its part of the range, its word of before, and whether nothing is left in it.
struct Leaving<'a, M: SubsectionMap> {
    pfns: PfnRange,
    section: &'a MemSection<M>,
    usage: &'a SectionUsage<M>,
    word: u64,
    empty: bool,
}

impl<G: Geometry, R: Rules, P: Placement> Subsection<G, R, P> {
    /// Hides a chunk: bits, then HAS_MEM_MAP if none is left.
    fn unpublish<'a>(
        section: &'a MemSection<G::SubsectionMap>,
        usage: &'a SectionUsage<G::SubsectionMap>,
        pfns: PfnRange,
    ) -> Leaving<'a, G::SubsectionMap> {
        let word = section.word();
        usage.subsection_map.clear(subsection_bits::<G>(pfns.start(), pfns.end()));
        let empty = usage.subsection_map.is_empty();
        if empty {
            section.set_word(word & !SECTION_HAS_MEM_MAP);
        }
        Leaving { pfns, section, usage, word, empty }
    }

    fn publish_again(leaving: &[Leaving<'_, G::SubsectionMap>]) {
        for chunk in leaving {
            chunk.usage.subsection_map.set(subsection_bits::<G>(chunk.pfns.start(), chunk.pfns.end()));
            chunk.section.set_word(chunk.word);
        }
    }

    /// The records that go with a chunk: its own; the whole section's when a boot section is emptied; none when a boot
    /// section lives on.
    fn records_that_go(&self, chunk: &Leaving<'_, G::SubsectionMap>) -> Option<PfnRange> {
        let nr = G::section_nr(chunk.pfns.start());
        if !self.backed.contains(nr) {
            None
        } else if chunk.word & SECTION_IS_EARLY == 0 {
            Some(chunk.pfns)
        } else {
            let whole = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION);
            whole.filter(|_| chunk.empty)
        }
    }
}

impl<G: Geometry, R: Rules, P: Placement> Memmap for Subsection<G, R, P> {
    const ID: &'static str = match R::LAYOUT_ID {
        Some(id) => id,
        None => P::LAYOUT_ID,
    };
    const ABOUT: &'static str = match R::LAYOUT_ID {
        Some(_) => R::ABOUT,
        None => P::ABOUT,
    };
    const CAPS: Capabilities = Capabilities {
        validity: R::VALIDITY,
        hotplug_granule_pages: Some(Self::GRID.granule_pages),
        records_on_device: P::ON_DEVICE,
        page_to_pfn_reads_record: false,
    };
    type Geometry = G;
    type Reader<'a> = SubsectionReader<'a, G, R>;

    fn boot(map: &BootMap, _: &Config, store: RecordStore) -> Result<Self, BootError> {
        map.check::<G>()?;
        let sections = map.sections::<G>();
        let vmemmap = Vmem::reserve(G::NR_PFNS * PAGE_RECORD_BYTES, &store.backing, store.budget)?;
        let layout = Self {
            table: SectionTable::new(sections.len()),
            vmemmap,
            backed: store.backed,
            grace: Grace::default(),
            writer: Mutex::new(Writer { placement: P::default(), life: Life::BOOT }),
            rules: PhantomData,
        };
        let mut writer = layout.writer().expect("nobody else has it yet");
        for (index, &(nr, node)) in sections.iter().enumerate() {
            let section = layout
                .table
                .section_or_new_root(nr)
                .map_err(|no| BootError::NoMemory { what: no.0, bytes: G::PAGE_SIZE })?;
            let whole = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION).expect("inside the space");
            if !layout.backed.contains(nr) {
                layout.vmemmap.leave_unbacked(stretch(whole))?;
            } else {
                match writer.placement.populate(&layout.vmemmap, stretch(whole), None) {
                    Ok(()) => layout.init_records(whole, PageLinks::new(node, Zone::Normal), Life::BOOT),
                    Err(PlaceError::Vmem(error)) => return Err(error.into()),
                    Err(PlaceError::AltmapExhausted { .. }) => unreachable!("boot memory has no altmap"),
                }
            }
            section.set_usage(layout.table.boot_usage(index));
        }
        // Several ranges may touch one section, so bits are added; a sub-section that is there in part counts.
        for boot in map.ranges() {
            // Before the series a section was there or not.
            let range = if R::WHOLE_SECTIONS { boot.range.round_out(G::PAGES_PER_SECTION) } else { boot.range };
            for part in range.split_at_multiples(G::PAGES_PER_SECTION) {
                let section = layout.table.roots().section(G::section_nr(part.start()));
                // SAFETY: there are no readers yet.
                let usage = section.and_then(|section| unsafe { section.usage() }).expect("made above");
                usage.subsection_map.set(subsection_bits::<G>(part.start(), part.end()));
            }
        }
        for (nr, _) in sections {
            let flags = SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
            layout.table.roots().section(nr).expect("made above").set_word(layout.coded() | flags);
        }
        drop(writer);
        Ok(layout)
    }

    fn reader(&self) -> SubsectionReader<'_, G, R> {
        SubsectionReader {
            roots: self.table.roots(),
            vmemmap: self.record(0),
            rules: PhantomData,
            _guard: self.grace.read(),
        }
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            reserved_bytes: self.vmemmap.len_bytes(),
            index_bytes: self.table.index_bytes(),
            page_table_bytes: self.vmemmap.page_table_bytes(),
            ram_record_bytes: self.vmemmap.ram_bytes(),
            device_record_bytes: self.vmemmap.device_bytes(),
        }
    }

    fn backed(&self) -> &BackedSections {
        &self.backed
    }

    fn boot_record_bytes(map: &BootMap) -> u64 {
        map.nr_sections::<G>().saturating_mul(G::PAGES_PER_SECTION * PAGE_RECORD_BYTES)
    }
}

impl<G: Geometry, R: Rules, P: Placement> Hotplug for Subsection<G, R, P> {
    fn add(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        Self::GRID.check::<G>(range)?;
        check_altmap::<G>(range, how, &self.grace)?;
        match how.mode {
            AddMode::Transactional => self.add_range(range, how, phases),
            AddMode::Faithful => {
                range.split_at_multiples(G::PAGES_PER_SECTION).try_for_each(|chunk| self.add_range(chunk, how, phases))
            }
        }
    }

    fn remove(&self, range: PfnRange, _: &RemoveParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        Self::GRID.check::<G>(range)?;
        let span = range.phys(G::PAGE_SHIFT);
        if self.grace.held_by_this_thread() {
            return Err(GraceError::ReaderHeld.into());
        }
        let mut writer = self.writer()?;
        let roots = self.table.roots();
        let chunks = range.split_at_multiples(G::PAGES_PER_SECTION);
        for chunk in chunks.clone() {
            if let Some(bit) = Self::find(roots.section(G::section_nr(chunk.start())), chunk, false) {
                return Err(HotplugError::NotPresent { span, at: Self::at(chunk.start(), bit) });
            }
        }
        let mut leaving = Vec::new();
        for pfns in chunks {
            let section = roots.section(G::section_nr(pfns.start())).expect("found above");
            // SAFETY: only the writer frees usages, and it does so below.
            let usage = unsafe { section.usage() }.expect("found above");
            leaving.push(Self::unpublish(section, usage, pfns));
        }
        phases.ended(Phase::Unpublish);
        if let Err(error) = self.grace.synchronize() {
            Self::publish_again(&leaving);
            return Err(error.into());
        }
        phases.ended(Phase::Grace);
        let going: Vec<Stretch> = leaving.iter().filter_map(|chunk| self.records_that_go(chunk)).map(stretch).collect();
        if let Err(source) = writer.placement.depopulate(&self.vmemmap, &going) {
            Self::publish_again(&leaving);
            return Err(HotplugError::Vmem { span, source });
        }
        for chunk in &leaving {
            self.retire(chunk);
        }
        phases.ended(Phase::Depopulate);
        Ok(())
    }

    fn synchronize(&self) -> Result<(), HotplugError> {
        let _one_at_a_time = self.writer()?;
        Ok(self.grace.synchronize()?)
    }
}

impl<G: Geometry, R: Rules, P: Placement> Subsection<G, R, P> {
    /// Blanks the descriptor of a section that became empty. Its usage goes if it came from the heap.
    fn retire(&self, chunk: &Leaving<'_, G::SubsectionMap>) {
        if !chunk.empty {
            return;
        }
        let usage = chunk.section.usage_ptr();
        if self.table.usage_kind(usage) == Some(UsageKind::Heap) {
            chunk.section.set_usage(ptr::null_mut());
            // SAFETY: hidden since HAS_MEM_MAP was cleared, and a grace period has passed.
            unsafe { self.table.retire_usage(usage) };
        }
        chunk.section.set_word(0);
    }
}

impl<G: Geometry, R: Rules, P: Placement> Inspect for Subsection<G, R, P> {
    fn section_state(&self, nr: u64) -> Option<SectionState> {
        // A reader, not the lock: usages stay, and a thread that holds a reader may look.
        let _guard = self.grace.read();
        self.table.state(nr)
    }

    fn accounting(&self) -> Accounting {
        Accounting {
            roots: self.table.nr_roots(),
            heap_usages: self.table.nr_heap_usages(),
            ram_record_bytes: self.vmemmap.ram_bytes(),
            device_record_bytes: self.vmemmap.device_bytes(),
        }
    }

    fn digest(&self) -> u64 {
        // A reader, not the lock: usages stay, and a thread that holds a reader may look.
        let _guard = self.grace.read();
        self.table.digest(&self.accounting())
    }
}

/// Reads sections and sub-section maps.
#[derive(Debug)]
pub struct SubsectionReader<'a, G: Geometry, R: Rules> {
    roots: Roots<'a, G, G::SubsectionMap>,
    vmemmap: NonNull<Page>,
    rules: PhantomData<R>,
    _guard: ReadGuard<'a>,
}

impl<G: Geometry, R: Rules> SubsectionReader<'_, G, R> {
    /// A section with a map answers for a pfn: `early_section(ms) || pfn_section_valid(ms, pfn)`.
    #[inline(always)]
    fn answers(section: &MemSection<G::SubsectionMap>, word: u64, pfn: u64) -> bool {
        match R::VALIDITY {
            Validity::Span | Validity::Section => return true,
            Validity::Subsection { early_is_whole } if early_is_whole && word & SECTION_IS_EARLY != 0 => return true,
            Validity::Subsection { .. } => {}
        }
        // SAFETY: a usage is freed after a grace period, which this reader holds up. Read once: it may become null.
        match unsafe { section.usage() } {
            Some(usage) => usage.subsection_map.test(G::subsection_index(pfn)),
            None => false,
        }
    }
}

// SAFETY: records are backed and written before their bits are set, and stay until the bits were cleared and a grace
// period has passed, which this reader holds up. A boot section keeps its records as long as its word says EARLY.
unsafe impl<G: Geometry, R: Rules> Lookup for SubsectionReader<'_, G, R> {
    #[inline(always)]
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        let Some(section) = self.roots.section_of_any(pfn.0) else { return false };
        let word = section.word();
        if word & SECTION_HAS_MEM_MAP == 0 {
            return false;
        }
        Self::answers(section, word, pfn.0)
    }

    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page> {
        // SAFETY: a valid pfn lies in the physical space, for all of which the array was reserved.
        unsafe { self.vmemmap.add(pfn.0 as usize) }
    }

    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn {
        // SAFETY: the page came from this array.
        Pfn(unsafe { page.offset_from_unsigned(self.vmemmap) } as u64)
    }

    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        let end = end.0.min(G::NR_PFNS);
        let mut pfn = from.0;
        while pfn < end {
            let nr = G::section_nr(pfn);
            let section = self.roots.section(nr);
            if let Some(section) = section.filter(|section| section.word() & SECTION_HAS_MEM_MAP != 0) {
                if Self::answers(section, section.word(), pfn) {
                    return Some(Pfn(pfn));
                }
                let bits = G::subsection_index(pfn)..G::SUBSECTIONS_PER_SECTION;
                // SAFETY: as in `answers`.
                let next = unsafe { section.usage() }.and_then(|usage| usage.subsection_map.find(bits, true));
                if let Some(bit) = next {
                    let next = G::section_start(nr) + u64::from(bit) * G::PAGES_PER_SUBSECTION;
                    return (next < end).then_some(Pfn(next));
                }
            }
            pfn = G::section_start(nr + 1);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = X86_64::PAGES_PER_SECTION;
    const U: u64 = X86_64::PAGES_PER_SUBSECTION;

    fn boot(ranges: &[(u64, u64)]) -> Subsection {
        let ranges =
            ranges.iter().map(|&(start, end)| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 });
        Subsection::boot(&BootMap::new(ranges).unwrap(), &Config::default(), RecordStore::unlimited()).unwrap()
    }

    fn map(layout: &Subsection, nr: u64) -> u64 {
        layout.section_state(nr).map_or(0, |state| state.subsection_map[0])
    }

    fn add(layout: &Subsection, start: u64, nr_pages: u64) -> Result<(), HotplugError> {
        layout.add(PfnRange::from_len(start, nr_pages).unwrap(), &AddParams::default(), &mut ())
    }

    fn remove(layout: &Subsection, start: u64, nr_pages: u64) -> Result<(), HotplugError> {
        layout.remove(PfnRange::from_len(start, nr_pages).unwrap(), &RemoveParams::default(), &mut ())
    }

    #[test]
    fn boot_bits_are_added_up_and_rounded_outwards() {
        let layout = boot(&[(0, 0xa0), (0x100, 0x1400), (0x2800, 0x8000)]);
        assert_eq!(map(&layout, 0), 0xffff_ffff_fff0_03ff);
        let layout = boot(&[(0, 0x10064)]);
        assert_eq!(map(&layout, 2), 1);
        assert!(layout.reader().pfn_valid(Pfn(0x17fff)), "a boot section is valid as a whole");
        assert_eq!(add(&layout, 0x10000, U).unwrap_err().errno(), 17);
        add(&layout, 0x10200, U).unwrap();
    }

    #[test]
    fn an_addition_to_a_boot_section_reuses_its_records() {
        let layout = boot(&[(0x100000, 0x1fc000)]);
        let before = layout.accounting();
        assert_eq!(map(&layout, 0x3f), 0xffff_ffff);
        add(&layout, 0x1fc000, 0x8000).unwrap();
        assert_eq!((map(&layout, 0x3f), map(&layout, 0x40)), (u64::MAX, 0xffff_ffff));
        assert_eq!(layout.accounting().ram_record_bytes - before.ram_record_bytes, 0x4000 * 64);
        remove(&layout, 0x1fc000, 0x8000).unwrap();
        assert_eq!(map(&layout, 0x3f), 0xffff_ffff);
        assert!(layout.reader().pfn_valid(Pfn(0x1fc000)), "a boot section answers for its whole span");
        assert!(!layout.reader().pfn_valid(Pfn(0x200000)));
        assert_eq!(layout.accounting(), Accounting { roots: layout.accounting().roots, ..before });
    }

    #[test]
    fn two_devices_share_a_section() {
        // The boundary of ndctl issue 76: each region owns half of section 0xaef.
        let layout = boot(&[]);
        add(&layout, 0x577_8000, 32 * U).unwrap();
        add(&layout, 0x577_c000, 32 * U).unwrap();
        assert_eq!(map(&layout, 0xaef), u64::MAX);
        remove(&layout, 0x577_c000, 32 * U).unwrap();
        assert_eq!(map(&layout, 0xaef), 0xffff_ffff);
        let reader = layout.reader();
        for pfn in 0x577_8000..0x577_c000 {
            assert!(reader.valid_to_page(Pfn(pfn)).is_some_and(|page| page.is_of(Pfn(pfn))));
        }
    }

    #[test]
    fn an_emptied_boot_section_keeps_its_boot_usage_for_ever() {
        let layout = boot(&[(8 * S, 9 * S)]);
        remove(&layout, 8 * S, S).unwrap();
        let state = layout.section_state(8).unwrap();
        assert_eq!((state.section_mem_map, state.usage), (0, Some(UsageKind::Boot)));
        assert_eq!(layout.accounting().ram_record_bytes, 0);
        for _ in 0..100 {
            add(&layout, 8 * S, 2 * U).unwrap();
            let reader = layout.reader();
            assert!(reader.pfn_valid(Pfn(8 * S)) && !reader.pfn_valid(Pfn(8 * S + 2 * U)), "no longer early");
            drop(reader);
            remove(&layout, 8 * S, 2 * U).unwrap();
        }
        assert_eq!(layout.section_state(8).unwrap().usage, Some(UsageKind::Boot));
        assert_eq!(layout.accounting().heap_usages, 0);
    }

    #[test]
    fn the_faithful_mode_leaves_the_sections_before_the_failing_one() {
        for (mode, left) in [(AddMode::Faithful, u64::MAX), (AddMode::Transactional, 0)] {
            let layout = boot(&[]);
            add(&layout, 4 * S + 63 * U, U).unwrap();
            let how = AddParams { mode, ..AddParams::default() };
            let error = layout.add(PfnRange::from_len(3 * S, 2 * S).unwrap(), &how, &mut ()).unwrap_err();
            assert_eq!((error.errno(), map(&layout, 3)), (17, left), "{mode:?}");
        }
    }

    #[test]
    fn the_last_pages_of_the_physical_space_can_be_added() {
        let layout = boot(&[]);
        add(&layout, (1 << 34) - U, U).unwrap();
        assert!(layout.reader().pfn_valid(Pfn((1 << 34) - 1)) && !layout.reader().pfn_valid(Pfn(1 << 34)));
        assert_eq!(add(&layout, 1 << 34, U).unwrap_err().errno(), 34);
        assert_eq!(layout.reader().next_valid_pfn(Pfn(0), Pfn(u64::MAX)), Some(Pfn((1 << 34) - U)));
    }
}
