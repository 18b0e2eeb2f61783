//! What finds the descriptors of sections, as the writer of a layout uses it.

use super::{Descriptor, NoMemory, SECTION_HAS_MEM_MAP, SECTION_IS_ONLINE, SECTION_TAINT_ZONE_DEVICE, Usages};
use crate::error::{BootError, HotplugError};
use crate::geometry::Geometry;
use crate::memmap::{Accounting, Config, SectionState};
use crate::pfn::PfnRange;
use crate::request::Grid;
use crate::store::RecordStore;
use crate::subsection_map::SubsectionMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// The sections of a layout: their descriptors and usage objects, and whatever else its lookups
/// read. One writer at a time; any number of readers.
pub trait SectionIndex<G: Geometry>: Debug + Sized + Send + Sync + 'static {
    /// The descriptor of a section.
    type Section: Descriptor;

    /// An index without sections, with usage objects for `nr_boot_sections`.
    ///
    /// # Errors
    /// [`BootError::Vmem`] if there is no address space, [`BootError::NoMemory`] if a table cannot be
    /// allocated.
    fn new(nr_boot_sections: usize, config: &Config, store: &RecordStore) -> Result<Self, BootError>;

    /// The descriptor of section `nr`. `None` if it was never made, or if `nr` is above the
    /// physical address space.
    fn section(&self, nr: u64) -> Option<&Self::Section>;

    /// The descriptor of section `nr`; allocates what it lies in if needed: `sparse_index_init`.
    /// Such memory is never freed before the index. Writer only; `nr` must lie in the physical
    /// address space.
    ///
    /// # Errors
    /// No memory.
    fn section_or_new(&self, nr: u64) -> Result<&Self::Section, NoMemory>;

    /// Every descriptor that was made, with its section number. Call it as the writer, or while
    /// nothing changes.
    fn sections(&self) -> impl Iterator<Item = (u64, &Self::Section)>;

    /// The usage objects.
    fn usages(&self) -> &Usages<<Self::Section as Descriptor>::Map>;

    /// Number of pages of descriptors that were allocated.
    fn nr_pages_of_descriptors(&self) -> u64;

    /// Bytes of all tables.
    fn bytes(&self) -> u64;

    /// Bytes of the tables that huge pages back; see
    /// [`Memmap::index_bytes_in_huge_pages`](crate::Memmap::index_bytes_in_huge_pages).
    fn bytes_in_huge_pages(&self) -> Option<u64>;

    /// Called before section `nr` becomes visible, e.g. to extend the bound of walks. Writer only.
    fn note_present(&self, _nr: u64) {}

    /// Makes page frames of one section valid, for lookups that do not read descriptors. Called
    /// once the descriptor and its map are published. Writer only.
    fn show(&self, _pfns: PfnRange) {}

    /// Undoes [`show`](Self::show). Called before the descriptor and its map change. Writer only.
    fn hide(&self, _pfns: PfnRange) {}

    /// Marks whole sections online or offline. Writer only. A section can go online if each bit of
    /// its map in `whole` is set, and no device memory shares it.
    ///
    /// # Errors
    /// The range is not made of whole sections, or a section is absent or cannot go online. Nothing
    /// is changed.
    fn set_online(&self, range: PfnRange, online: bool, whole: Range<u32>) -> Result<(), HotplugError> {
        const RULE: &str = "sections go online and offline as a whole";
        Grid { granule_pages: G::PAGES_PER_SECTION, rule: RULE }.check::<G>(range)?;
        let span = range.phys(G::PAGE_SHIFT);
        let there = |part: PfnRange| {
            let section = self.section(G::section_nr(part.start()));
            let section = section.filter(|section| section.word() & SECTION_HAS_MEM_MAP != 0);
            let section = section.ok_or(HotplugError::NotPresent { span, at: part.phys(G::PAGE_SHIFT) })?;
            // SAFETY: only the writer frees usages.
            let usage = unsafe { section.usage() };
            let has_hole = usage.is_some_and(|usage| usage.subsection_map.find(whole.clone(), false).is_some());
            match online && (has_hole || section.word() & SECTION_TAINT_ZONE_DEVICE != 0) {
                true => Err(HotplugError::NotWholeRam { span, at: part.phys(G::PAGE_SHIFT) }),
                false => Ok(section),
            }
        };
        let sections = range.split_at_multiples(G::PAGES_PER_SECTION).map(there).collect::<Result<Vec<_>, _>>()?;
        for section in sections {
            let word = section.word() & !SECTION_IS_ONLINE;
            section.set_word(if online { word | SECTION_IS_ONLINE } else { word });
        }
        Ok(())
    }

    /// The decoded descriptor of section `nr`; `None` if it is blank (word 0, no usage object). The
    /// caller must be the writer or hold a reader of the layout.
    fn state(&self, nr: u64) -> Option<SectionState> {
        let section = self.section(nr)?;
        // SAFETY: the caller is the writer or holds a reader, so no usage is freed meanwhile.
        let subsection_map = unsafe { section.usage() }.map_or_else(Vec::new, |u| u.subsection_map.words());
        let usage = self.usages().kind(section.usage_ptr());
        let section_mem_map = section.word();
        (section_mem_map != 0 || usage.is_some()).then_some(SectionState { section_mem_map, usage, subsection_map })
    }

    /// A hash of all descriptors that are not blank, and of the accounts. The number of pages of
    /// descriptors is left out, because they stay even if the addition that needed them failed.
    /// Call it as the writer, or while nothing changes.
    fn digest(&self, accounting: &Accounting) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (nr, _) in self.sections() {
            if let Some(state) = self.state(nr) {
                (nr, state).hash(&mut hasher);
            }
        }
        Accounting { roots: 0, ..*accounting }.hash(&mut hasher);
        hasher.finish()
    }
}
