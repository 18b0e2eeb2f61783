//! Hot-add and hot-remove of [`Subsection`].

use super::{Divided, IndexForm, SectionOf, Subsection, Writer, whole_section};
use crate::altmap::Used;
use crate::error::HotplugError;
use crate::geometry::Geometry;
use crate::grace::GraceError;
use crate::initialise::in_threads;
use crate::memmap::*;
use crate::page::{Life, PageLinks, Zone};
use crate::page_record::{HotplugRecord, record_bytes};
use crate::pfn::{Pfn, PfnRange, PhysSpan};
use crate::placement::{PlaceError, Placement};
use crate::request::{Grid, check_altmap};
use crate::rules::Rules;
use crate::section::*;
use crate::shared_tails::CompoundRecords;
use crate::stretch::Stretch;
use crate::subsection_map::SubsectionMap;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::Ordering;

/// Pages of records of a compound page that are backed for it alone. Source: `VMEMMAP_RESERVE_NR`.
const OWN_PAGES: u64 = 2;

/// The part of a hot-add that lies in one section, and what was allocated for it.
struct Chunk<'a, D: Descriptor> {
    pfns: PfnRange,
    bits: Range<u32>,
    nr: u64,
    section: &'a D,
    /// The usage object allocated for this addition; null if the section already has one.
    new_usage: *mut SectionUsage<D::Map>,
}

/// A section that a removal touches: its part of the range, its word before the removal, and
/// whether it is now empty.
struct Leaving<'a, D: Descriptor> {
    pfns: PfnRange,
    bits: Range<u32>,
    nr: u64,
    section: &'a D,
    usage: &'a SectionUsage<D::Map>,
    word: u64,
    empty: bool,
}

/// The same for the sections of an index.
type ChunkOf<'a, G, R, I> = Chunk<'a, SectionOf<G, R, I>>;
type LeavingOf<'a, G, R, I> = Leaving<'a, SectionOf<G, R, I>>;

/// The records that a removal releases.
#[derive(Default)]
struct Going {
    stretches: Vec<Stretch>,
    /// Bytes of records that the foil would release although page frames need them.
    lost_bytes: u64,
}

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> Hotplug for Subsection<G, R, T, P, I> {
    fn add(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        Self::GRID.check::<G>(range)?;
        let _bound = check_altmap::<G>(range, how, &self.grace)?;
        if how.mode == AddMode::Transactional && R::SET.overlap_is_an_error {
            return self.add_range(range, how, phases);
        }
        range.split_at_multiples(G::PAGES_PER_SECTION).try_for_each(|part| match self.add_range(part, how, phases) {
            Err(HotplugError::Overlaps { .. }) if !R::SET.overlap_is_an_error => Ok(()),
            done => done,
        })
    }

    fn remove(&self, range: PfnRange, how: &RemoveParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        Self::GRID.check::<G>(range)?;
        if R::SET.removal_takes_restrictions && how.memblock_api {
            const RULE: &str = "v6 removes whole sections where there are memory blocks";
            Grid { granule_pages: G::PAGES_PER_SECTION, rule: RULE }.check::<G>(range)?;
        }
        if self.grace.held_by_this_thread() {
            return Err(GraceError::ReaderHeld.into());
        }
        let mut writer = self.writer()?;
        let leaving = self.unpublish(range)?;
        phases.ended(Phase::Unpublish);
        let going = self.records_that_go(&leaving);
        let depopulate = |writer: &mut Writer<P>| match writer.placement.depopulate(&self.vmemmap, &going.stretches) {
            Ok(()) => Ok(()),
            Err(source) => {
                self.publish_again(&leaving);
                Err(HotplugError::Vmem { span: range.phys(G::PAGE_SHIFT), source })
            }
        };
        if !R::SET.grace_for_records {
            depopulate(&mut writer)?;
        }
        if let Err(error) = self.grace.synchronize() {
            self.publish_again(&leaving);
            return Err(error.into());
        }
        phases.ended(Phase::Grace);
        if R::SET.grace_for_records {
            depopulate(&mut writer)?;
        }
        self.records_lost_bytes.fetch_add(going.lost_bytes, Ordering::Relaxed);
        leaving.iter().for_each(|part| self.retire(part));
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

impl<G: Geometry, R: Rules, T: HotplugRecord, P: Placement, I: IndexForm> Subsection<G, R, T, P, I> {
    /// True if every record of a section has been backed since boot. Additions to such a section
    /// need no memory, and removals release none until the section is empty.
    fn has_boot_records(&self, section: &SectionOf<G, R, I>, nr: u64) -> bool {
        section.word() & SECTION_IS_EARLY != 0 && self.backed.contains(nr)
    }

    fn at(nr: u64, bit: u32) -> PhysSpan {
        let start = G::section_start(nr) + u64::from(bit) * Divided::<G, R>::PAGES;
        PfnRange::from_len(start, Divided::<G, R>::PAGES)
            .expect("inside the physical address space")
            .phys(G::PAGE_SHIFT)
    }

    /// The parts of a range per section: section number, pfns and bits as the map records them.
    fn parts(range: PfnRange) -> impl Iterator<Item = (u64, PfnRange, Range<u32>)> + Clone {
        range.split_at_multiples(G::PAGES_PER_SECTION).map(|part| {
            let pfns = Divided::<G, R>::tracked(part);
            (G::section_nr(pfns.start()), pfns, Divided::<G, R>::bits(pfns))
        })
    }

    /// The first of `bits` that is set (`active`) or clear.
    fn find(section: Option<&SectionOf<G, R, I>>, bits: Range<u32>, active: bool) -> Option<u32> {
        // SAFETY: the writer asks, and only the writer frees usages.
        match section.and_then(|section| unsafe { section.usage() }) {
            Some(usage) => usage.subsection_map.find(bits, active),
            None => (!active).then_some(bits.start),
        }
    }

    /// Adds a range; on an error nothing is changed.
    fn add_range(&self, range: PfnRange, how: &AddParams, phases: &mut impl PhaseSink) -> Result<(), HotplugError> {
        let span = range.phys(G::PAGE_SHIFT);
        let mut writer = self.writer()?;
        for (nr, _, bits) in Self::parts(range) {
            if let Some(bit) = Self::find(self.index.section(nr), bits, true) {
                return Err(HotplugError::Overlaps { span, at: Self::at(nr, bit) });
            }
        }
        let altmap_before = how.altmap.as_ref().map(|altmap| altmap.used());
        let mut chunks: Vec<ChunkOf<'_, G, R, I>> = Vec::new();
        for (nr, pfns, bits) in Self::parts(range) {
            match self.reserve(nr, pfns, bits) {
                Ok(chunk) => chunks.push(chunk),
                Err(no) => {
                    self.undo_add(&mut writer, &chunks, 0, how, altmap_before);
                    return Err(match no {
                        ReserveError::Active(bit) => HotplugError::Overlaps { span, at: Self::at(nr, bit) },
                        ReserveError::NoMemory(no) => HotplugError::NoMemory { span, what: no.0 },
                    });
                }
            }
        }
        phases.ended(Phase::Reserve);
        if !R::SET.populate_first {
            chunks.iter().for_each(|chunk| self.publish(chunk, how));
        }
        let compound = self.compound(range, how, &chunks);
        let mut populated = 0;
        for done in 0..chunks.len() {
            if let Err(error) = self.populate(&mut writer, &chunks[done], how, compound) {
                self.undo_add(&mut writer, &chunks, done, how, altmap_before);
                return Err(match error {
                    PlaceError::AltmapExhausted { need, left } => HotplugError::AltmapExhausted { span, need, left },
                    PlaceError::Vmem(source) => HotplugError::Vmem { span, source },
                });
            }
            populated += chunks[done].pfns.nr_pages();
            phases.progressed(Phase::Populate, populated);
        }
        phases.ended(Phase::Populate);
        writer.life = writer.life.next();
        let backed = chunks.iter().filter(|chunk| self.backed.contains(chunk.nr)).map(|chunk| chunk.pfns);
        let life = writer.life;
        let initialised = |nr_pages| phases.progressed(Phase::Initialise, nr_pages);
        let init = |part: PfnRange| match compound {
            Some(compound) if !self.is_of_boot(part) => self.init_own_records(part, how, life, compound),
            _ => self.init_records(part, how, life),
        };
        in_threads::<G>(backed, how.init_threads, init, initialised);
        phases.ended(Phase::Initialise);
        if R::SET.populate_first {
            chunks.iter().for_each(|chunk| self.publish(chunk, how));
        }
        phases.ended(Phase::Publish);
        Ok(())
    }

    /// Reserves the descriptor and usage object of one section's part.
    fn reserve(&self, nr: u64, pfns: PfnRange, bits: Range<u32>) -> Result<ChunkOf<'_, G, R, I>, ReserveError> {
        let section = self.index.section_or_new(nr)?;
        let new_usage = self.index.usages().reserve(section, bits.clone(), || self.index.usages().allocate())?;
        Ok(Chunk { pfns, bits, nr, section, new_usage })
    }

    fn populate(
        &self,
        writer: &mut Writer<P>,
        chunk: &ChunkOf<'_, G, R, I>,
        how: &AddParams,
        compound: Option<CompoundRecords>,
    ) -> Result<(), PlaceError> {
        // Records of sections outside the sample are not backed.
        if !self.backed.contains(chunk.nr) {
            return Ok(self.vmemmap.leave_unbacked(Self::stretch(chunk.pfns))?);
        }
        if self.has_boot_records(chunk.section, chunk.nr) {
            return Ok(());
        }
        if let Some(compound) = compound {
            return Ok(self.vmemmap.populate_compound(Self::stretch(chunk.pfns), compound)?);
        }
        let whole_section = chunk.pfns.nr_pages() == G::PAGES_PER_SECTION;
        writer.placement.populate(&self.vmemmap, Self::stretch(chunk.pfns), whole_section, how.altmap.as_ref())
    }

    /// How the records of a range share pages; `None` if they do not. Source:
    /// `vmemmap_can_optimize`.
    ///
    /// A compound page of several sections shares only if all of them get new records: another section
    /// would have no page to share, or one of boot.
    fn compound(&self, range: PfnRange, how: &AddParams, chunks: &[ChunkOf<'_, G, R, I>]) -> Option<CompoundRecords> {
        let is_new =
            |chunk: &Chunk<'_, _>| self.backed.contains(chunk.nr) && !self.has_boot_records(chunk.section, chunk.nr);
        let bytes = record_bytes::<T>() << how.vmemmap_shift.min(G::PFN_SECTION_SHIFT + 16);
        let can = R::SET.shares_tail_records
            && how.kind == MemoryKind::Device
            && how.altmap.is_none()
            && bytes > OWN_PAGES * G::PAGE_SIZE
            && self.vmemmap.shares_pages(G::PAGE_SIZE)
            && (bytes <= G::PAGES_PER_SECTION * record_bytes::<T>() || chunks.iter().all(is_new));
        can.then(|| CompoundRecords { bytes, origin: Self::stretch(range).offset })
    }

    /// True if the records of a part of one section have been there since boot, and share nothing.
    fn is_of_boot(&self, part: PfnRange) -> bool {
        let nr = G::section_nr(part.start());
        self.index.section(nr).is_some_and(|section| self.has_boot_records(section, nr))
    }

    /// Initialises the records of compound pages that have pages of their own, or share one first. In
    /// a boot section all are initialised (B-26). Source: `memmap_init_compound`.
    fn init_own_records(&self, pfns: PfnRange, how: &AddParams, life: Life, compound: CompoundRecords) {
        let [own, all] = [OWN_PAGES * G::PAGE_SIZE, compound.bytes].map(|bytes| bytes / record_bytes::<T>());
        let mut at = pfns.start();
        while at < pfns.end() {
            let begin = compound.begin(at * record_bytes::<T>()) / record_bytes::<T>();
            if let Some(part) = PfnRange::new(at, (begin + own).min(pfns.end())) {
                self.init_records(part, how, life);
            }
            at = begin + all;
        }
    }

    /// Initialises records. Records of the pages that an altmap reserves at its base stay
    /// uninitialised, and the pages that hold records are marked reserved. Source:
    /// `memmap_init_range`, `memmap_init_zone_device`.
    fn init_records(&self, pfns: PfnRange, how: &AddParams, life: Life) {
        let zone = match how.kind {
            MemoryKind::Ram => Zone::Normal,
            MemoryKind::Device => Zone::Device,
        };
        let links = PageLinks::new(how.node, zone);
        // SAFETY: the caller backed these records. They are atomics, so readers of a boot section
        // may read them concurrently.
        let page = |pfn| unsafe { self.record(pfn).as_ref() };
        let (reserve_end, records_end) = how.altmap.as_ref().map_or((0, 0), |altmap| altmap.data_borders());
        let [reserve_end, records_end] = [reserve_end, records_end].map(|end| end.clamp(pfns.start(), pfns.end()));
        for pfn in pfns.start()..reserve_end {
            page(pfn).poison();
        }
        // A loop without branches, because it is most of the cost of an addition.
        for pfn in reserve_end..pfns.end() {
            page(pfn).init(links, Pfn(pfn), life);
        }
        for pfn in reserve_end..records_end {
            page(pfn).set_reserved();
        }
    }

    fn undo_add(
        &self,
        writer: &mut Writer<P>,
        chunks: &[ChunkOf<'_, G, R, I>],
        populated: usize,
        how: &AddParams,
        altmap_before: Option<Used>,
    ) {
        for chunk in &chunks[..populated] {
            if self.backed.contains(chunk.nr) && !self.has_boot_records(chunk.section, chunk.nr) {
                let undone = writer.placement.depopulate(&self.vmemmap, &[Self::stretch(chunk.pfns)]);
                debug_assert!(undone.is_ok(), "{undone:?}");
            }
        }
        if !R::SET.populate_first && self.hide_again(chunks).is_err() {
            // A reader can never end: leak the usages rather than free them under it.
            return;
        }
        for chunk in chunks {
            // SAFETY: not published yet, or hidden again; null is left alone.
            unsafe { self.index.usages().retire(chunk.new_usage) };
        }
        if let (Some(altmap), Some(before)) = (&how.altmap, altmap_before) {
            altmap.restore(before);
        }
    }

    /// Hides what was published. Only for rules that publish before they populate, which no index with
    /// lookups of its own has.
    fn hide_again(&self, chunks: &[ChunkOf<'_, G, R, I>]) -> Result<(), GraceError> {
        for chunk in chunks {
            // SAFETY: only the writer frees usages.
            if let Some(usage) = unsafe { chunk.section.usage() } {
                usage.subsection_map.clear(chunk.bits.clone());
            }
            if !chunk.new_usage.is_null() {
                chunk.section.set_word(0);
                chunk.section.set_usage(ptr::null_mut());
            }
        }
        self.grace.synchronize()
    }

    /// Makes a part visible to readers. Its records must be backed and initialised.
    fn publish(&self, chunk: &ChunkOf<'_, G, R, I>, how: &AddParams) {
        let in_part = chunk.pfns.nr_pages() < G::PAGES_PER_SECTION;
        let taint = match R::SET.taints_mixed_sections && in_part && how.kind == MemoryKind::Device {
            true => SECTION_TAINT_ZONE_DEVICE,
            false => 0,
        };
        self.index.note_present(chunk.nr);
        let is_early = chunk.section.word() & SECTION_IS_EARLY != 0;
        let word = self.coded(chunk.nr) | R::SET.present_flag();
        chunk.section.publish(chunk.new_usage, chunk.bits.clone(), taint, word);
        // A boot section is valid as a whole already.
        if !is_early {
            self.index.show(chunk.pfns);
        }
    }

    /// The page frames that become invalid when a part of a section goes: all of a boot section if
    /// nothing else is left of it, and otherwise none of it.
    fn becomes_invalid(part: &LeavingOf<'_, G, R, I>) -> Option<PfnRange> {
        match part.word & SECTION_IS_EARLY != 0 {
            false => Some(part.pfns),
            true => part.empty.then(|| whole_section::<G>(part.nr)),
        }
    }

    /// Hides a range: clears its bits, then HAS_MEM_MAP of sections that become empty. On an error
    /// nothing is changed.
    fn unpublish(&self, range: PfnRange) -> Result<Vec<LeavingOf<'_, G, R, I>>, HotplugError> {
        for (nr, _, bits) in Self::parts(range) {
            if let Some(bit) = Self::find(self.index.section(nr), bits, false) {
                return Err(HotplugError::NotPresent { span: range.phys(G::PAGE_SHIFT), at: Self::at(nr, bit) });
            }
        }
        let hide = |(nr, pfns, bits): (u64, PfnRange, Range<u32>)| {
            let section = self.index.section(nr).expect("found above");
            // SAFETY: only the writer frees usages, and it does so at the end of the removal.
            let usage = unsafe { section.usage() }.expect("found above");
            let word = section.word();
            let others = [0..bits.start, bits.end..G::SubsectionMap::BITS];
            let empty = others.into_iter().all(|others| usage.subsection_map.find(others, true).is_none());
            let part = Leaving { pfns, bits, nr, section, usage, word, empty };
            if let Some(pfns) = Self::becomes_invalid(&part) {
                self.index.hide(pfns);
            }
            usage.subsection_map.clear(part.bits.clone());
            if empty {
                section.set_word(word & !SECTION_HAS_MEM_MAP);
            }
            part
        };
        Ok(Self::parts(range).map(hide).collect())
    }

    fn publish_again(&self, leaving: &[LeavingOf<'_, G, R, I>]) {
        for part in leaving {
            part.usage.subsection_map.set(part.bits.clone());
            part.section.set_word(part.word);
            if let Some(pfns) = Self::becomes_invalid(part) {
                self.index.show(pfns);
            }
        }
    }

    /// The records to release. A hot-added section releases those of the removed part. A boot
    /// section releases all of its records once it is empty, and none before.
    fn records_that_go(&self, leaving: &[LeavingOf<'_, G, R, I>]) -> Going {
        let mut going = Going::default();
        for part in leaving.iter().filter(|part| self.backed.contains(part.nr)) {
            if part.word & SECTION_IS_EARLY == 0 {
                going.stretches.push(Self::stretch(part.pfns));
            } else if part.empty {
                going.stretches.push(Self::stretch(whole_section::<G>(part.nr)));
            } else if !R::SET.boot_records_go_whole {
                going.lost_bytes += Self::stretch(part.pfns).len;
            }
        }
        going
    }

    /// Clears the descriptor of a section that became empty, and frees its usage object if that
    /// came from the heap.
    fn retire(&self, part: &LeavingOf<'_, G, R, I>) {
        if !part.empty {
            return;
        }
        let usage = part.section.usage_ptr();
        if self.index.usages().kind(usage) == Some(UsageKind::Heap) {
            part.section.set_usage(ptr::null_mut());
            // SAFETY: hidden since HAS_MEM_MAP was cleared, and a grace period has passed.
            unsafe { self.index.usages().retire(usage) };
        }
        part.section.set_word(if R::SET.word_is_kept_right { 0 } else { self.coded(part.nr) });
    }
}
