//! Section descriptors, usage objects and the two-level table that finds them. All SPARSEMEM
//! layouts share this module.
//!
//! ```text
//!  roots: NR_SECTION_ROOTS pointers        a root: one page of descriptors           usage object (56 bytes)
//!  ┌───┬───┬───┬───┐                       ┌──────────────────────┬─────────┐        ┌────────────────────┐
//!  │ · │ 0 │ · │ 0 │  root = nr / 256  ──▶ │ section_mem_map word │ usage · ├──────▶ │ rcu (16)           │
//!  └───┴───┴───┴───┘                       ├──────────────────────┼─────────┤        │ subsection_map (8) │
//!                                          │ …          nr % 256  │         │        │ pageblock_flags(32)│
//!                                          └──────────────────────┴─────────┘        └────────────────────┘
//! ```
//!
//! Values of the `section_mem_map` word:
//!
//! | state | value |
//! | --- | --- |
//! | never seen, or emptied | 0 |
//! | boot | coded pointer, PRESENT, HAS_MEM_MAP, IS_ONLINE, IS_EARLY |
//! | hot-added | coded pointer, PRESENT, HAS_MEM_MAP |
//! | its block onlined, offlined | with IS_ONLINE, without |
//! | device memory begins or ends inside | with TAINT_ZONE_DEVICE, until it is empty |
//! | being removed, readers may still be there | as before without HAS_MEM_MAP |
//!
//! The coded pointer is the address that the record of pfn 0 would have, so that adding a pfn gives
//! its record. Source: `include/linux/mmzone.h`, `mm/sparse.c`.

mod descriptor;
mod index;
mod usages;

pub use descriptor::{Descriptor, MemSection, PackedSection};
pub use index::SectionIndex;
pub use usages::Usages;

use crate::error::BootError;
use crate::fault::Seam;
use crate::geometry::Geometry;
use crate::index_memory::{Array, IndexMemory};
use crate::memmap::{Config, Load, When};
use crate::rules::{Merged, Rules};
use crate::store::RecordStore;
use crate::subsection_map::SubsectionMap;
use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The section exists.
pub const SECTION_MARKED_PRESENT: u64 = 1 << 0;
/// The section has records; `section_mem_map` and the usage object are valid.
pub const SECTION_HAS_MEM_MAP: u64 = 1 << 1;
/// Boot memory, or onlined through a memory block.
pub const SECTION_IS_ONLINE: u64 = 1 << 2;
/// The section was created at boot.
pub const SECTION_IS_EARLY: u64 = 1 << 3;
/// Device memory shares the section with other memory (Linux 5.12).
pub const SECTION_TAINT_ZONE_DEVICE: u64 = 1 << 4;
/// Mask of all flag bits in `section_mem_map`.
pub const SECTION_FLAGS: u64 = !SECTION_MAP_MASK;
/// Mask of the coded pointer in `section_mem_map`; the 6 low bits are flags.
pub const SECTION_MAP_MASK: u64 = !((1 << 6) - 1);

/// Name of a section descriptor's cache line, in load chains.
pub const DESCRIPTOR: &str = "descriptor";
/// The load that [`Roots::section`] executes.
pub const ROOT_POINTER: Load = Load { what: "root pointer", line: "root table", when: When::Always };
/// The load that [`MemSection::word`] executes.
pub const SECTION_WORD: Load = Load { what: "section word", line: DESCRIPTOR, when: When::Always };

/// `struct mem_section_usage`: the sub-section map and pageblock flags of a section.
#[derive(Debug, Default)]
#[repr(C)]
pub struct SectionUsage<M: SubsectionMap> {
    /// `rcu_head`: the kernel frees usages after a grace period through it. Here the remover waits,
    /// so the field only keeps the object's size.
    rcu: [AtomicU64; 2],
    /// A set bit for each present sub-section.
    pub subsection_map: M,
    /// 4 bits for each pageblock of 2 MiB; 256 bits on x86-64. Unused; it keeps the object's size.
    pageblock_flags: [AtomicU64; 4],
}

const _: () = assert!(size_of::<SectionUsage<crate::subsection_map::BitWords<1>>>() == 56);

/// The root table as a reader holds it: the start of every lookup. The kernel loads this pointer
/// from a global.
#[derive(Debug)]
pub struct Roots<'a, G: Geometry, M: SubsectionMap, R: Rules = Merged> {
    table: NonNull<AtomicPtr<MemSection<M>>>,
    lifetime: PhantomData<(&'a M, G, R)>,
}

impl<G: Geometry, M: SubsectionMap, R: Rules> Clone for Roots<'_, G, M, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: Geometry, M: SubsectionMap, R: Rules> Copy for Roots<'_, G, M, R> {}

impl<'a, G: Geometry, M: SubsectionMap, R: Rules> Roots<'a, G, M, R> {
    /// The descriptor of section `nr`: `__nr_to_section`. Loads the root pointer; checks the
    /// section number and the root.
    #[inline(always)]
    pub fn section(self, nr: u64) -> Option<&'a MemSection<M>> {
        if nr >= G::NR_MEM_SECTIONS {
            return None;
        }
        let (root, index) = R::DESCRIPTORS.place::<G>(nr);
        // SAFETY: nr is below NR_MEM_SECTIONS, so root is below the number of roots, the length of
        // the table.
        let root = unsafe { self.table.add(root as usize).as_ref() }.load(Ordering::Acquire);
        if root.is_null() {
            return None;
        }
        // SAFETY: a root holds that many descriptors, is published after it was zeroed and lives as
        // long as the table, which outlives 'a.
        Some(unsafe { &*R::DESCRIPTORS.descriptor(root, index) })
    }

    /// The descriptor for an arbitrary pfn: `pfn_to_section` after the checks of `pfn_valid`.
    #[inline(always)]
    pub fn section_of_any(self, pfn: u64) -> Option<&'a MemSection<M>> {
        // PHYS_PFN(PFN_PHYS(pfn)) != pfn
        if pfn << G::PAGE_SHIFT >> G::PAGE_SHIFT != pfn {
            return None;
        }
        self.section(G::section_nr(pfn))
    }
}

/// A root page or usage object could not be allocated. The string names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory(pub &'static str);

/// Why a section cannot accept an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// The sub-section with this index in the section is already present.
    Active(u32),
    /// A root page or usage object could not be allocated.
    NoMemory(NoMemory),
}

impl From<NoMemory> for ReserveError {
    fn from(no: NoMemory) -> Self {
        Self::NoMemory(no)
    }
}

/// The section table with its roots and usages, as the writer manages it.
///
/// ```
/// use memmap_layouts::section::{Descriptor, SectionIndex, SectionTable};
/// use memmap_layouts::{BitWords, Config, RecordStore, SECTION_HAS_MEM_MAP, X86_64};
///
/// let table = SectionTable::<X86_64, BitWords<1>>::new(0, &Config::default(), &RecordStore::unlimited())?;
/// let section = table.section_or_new(32).map_err(|no| no.0)?;
/// let usage = table.usages().reserve(section, 0..4, || table.usages().allocate()).map_err(|error| format!("{error:?}"))?;
/// table.note_present(32);
/// section.publish(usage, 0..4, 0, 0);
///
/// let found = table.roots().section_of_any(0x100000).ok_or("section 32 was added")?;
/// assert_ne!(found.word() & SECTION_HAS_MEM_MAP, 0);
/// assert!(table.roots().section(33).is_some_and(|section| section.word() == 0), "a blank descriptor");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SectionTable<G: Geometry, M: SubsectionMap, R: Rules = Merged> {
    roots: Array<AtomicPtr<MemSection<M>>>,
    /// `mem_section`: the address of the root table, which a kernel loads from a global.
    mem_section: AtomicPtr<AtomicPtr<MemSection<M>>>,
    /// `__highest_present_section_nr` plus one. It never shrinks.
    end_section: AtomicU64,
    nr_roots: AtomicU64,
    usages: Usages<M>,
    kinds: PhantomData<(G, R)>,
}

impl<G: Geometry, M: SubsectionMap, R: Rules> SectionTable<G, M, R> {
    const NR_ROOTS: u64 = R::DESCRIPTORS.nr_roots::<G>();

    /// The root table for a reader.
    pub fn roots(&self) -> Roots<'_, G, M, R> {
        // SAFETY: a slice pointer is not null.
        let table = unsafe { NonNull::new_unchecked(self.roots.as_ptr().cast_mut()) };
        Roots { table, lifetime: PhantomData }
    }

    /// The address of the root table, as a kernel has it.
    pub(crate) fn mem_section(&self) -> &AtomicPtr<AtomicPtr<MemSection<M>>> {
        &self.mem_section
    }

    /// One past the highest section number that was ever present: the bound for walks.
    pub fn end_section(&self) -> &AtomicU64 {
        &self.end_section
    }

    fn root_layout() -> Layout {
        Layout::from_size_align(G::PAGE_SIZE as usize, G::PAGE_SIZE as usize).expect("a page is a valid layout")
    }
}

impl<G: Geometry, M: SubsectionMap, R: Rules> SectionIndex<G> for SectionTable<G, M, R> {
    type Section = MemSection<M>;

    fn new(nr_boot_sections: usize, config: &Config, store: &RecordStore) -> Result<Self, BootError> {
        let root_table = Self::NR_ROOTS * size_of::<AtomicPtr<MemSection<M>>>() as u64;
        // Twice the root pages: aligning each one may skip up to a page after a slab, which is
        // smaller.
        let most = root_table
            + 2 * Self::NR_ROOTS * G::PAGE_SIZE
            + Usages::<M>::most_bytes(nr_boot_sections, G::NR_MEM_SECTIONS);
        let none = |what, bytes| BootError::NoMemory { what, bytes };
        let memory = IndexMemory::reserve(most, config, store)?;
        // SAFETY: zero is a null pointer.
        let roots = unsafe { memory.array(Self::NR_ROOTS as usize) };
        let roots: Array<AtomicPtr<MemSection<M>>> = roots.ok_or(none("the table of section roots", root_table))?;
        Ok(Self {
            mem_section: AtomicPtr::new(roots.as_ptr().cast_mut()),
            roots,
            end_section: AtomicU64::new(0),
            nr_roots: AtomicU64::new(0),
            usages: Usages::new(memory, nr_boot_sections, store.faults.clone())?,
            kinds: PhantomData,
        })
    }

    fn section(&self, nr: u64) -> Option<&MemSection<M>> {
        self.roots().section(nr)
    }

    fn section_or_new(&self, nr: u64) -> Result<&MemSection<M>, NoMemory> {
        assert!(nr < G::NR_MEM_SECTIONS, "section {nr} is above the physical address space");
        let slot = &self.roots[R::DESCRIPTORS.place::<G>(nr).0 as usize];
        if slot.load(Ordering::Relaxed).is_null() {
            if !self.usages.faults().allow(Seam::Root) {
                return Err(NoMemory("a page of section descriptors"));
            }
            let root = self.usages.memory().alloc::<MemSection<M>>(Self::root_layout());
            let root = root.ok_or(NoMemory("a page of section descriptors"))?;
            // A zeroed descriptor is an unused one: word 0, no usage.
            slot.store(root.as_ptr(), Ordering::Release);
            self.nr_roots.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.roots().section(nr).expect("the root was allocated above"))
    }

    fn sections(&self) -> impl Iterator<Item = (u64, &MemSection<M>)> {
        let present = |&(_, root): &(usize, &AtomicPtr<MemSection<M>>)| !root.load(Ordering::Acquire).is_null();
        self.roots.iter().enumerate().filter(present).flat_map(move |(root, _)| {
            let per_root = R::DESCRIPTORS.per_root::<G>();
            let first = root as u64 * per_root;
            let end = (first + per_root).min(G::NR_MEM_SECTIONS);
            (first..end).filter_map(|nr| self.roots().section(nr).map(|section| (nr, section)))
        })
    }

    fn usages(&self) -> &Usages<M> {
        &self.usages
    }

    fn nr_pages_of_descriptors(&self) -> u64 {
        self.nr_roots.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        let roots = size_of_val(&*self.roots) as u64 + self.nr_pages_of_descriptors() * G::PAGE_SIZE;
        roots + self.usages.bytes()
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.usages.bytes_in_huge_pages()
    }

    /// Extends the bound of walks. Source: `section_mark_present`, which updates
    /// `__highest_present_section_nr`.
    fn note_present(&self, nr: u64) {
        if self.end_section.load(Ordering::Relaxed) <= nr {
            self.end_section.store(nr + 1, Ordering::Relaxed);
        }
    }
}

impl<G: Geometry, M: SubsectionMap, R: Rules> Drop for SectionTable<G, M, R> {
    fn drop(&mut self) {
        for root in &*self.roots {
            let Some(root) = NonNull::new(root.load(Ordering::Relaxed)) else { continue };
            for index in 0..R::DESCRIPTORS.per_root::<G>() {
                // SAFETY: the root holds this many descriptors; `&mut self` says that no reader is
                // left.
                unsafe {
                    let section = R::DESCRIPTORS.descriptor(root.as_ptr(), index);
                    self.usages.retire((*section).usage_ptr());
                }
            }
            // SAFETY: allocated by `section_or_new` with this layout.
            unsafe { self.usages.memory().free(root, Self::root_layout()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::X86_64;
    use crate::memmap::{IndexPages, UsageKind};
    use crate::subsection_map::BitWords;
    use std::ptr;

    type Table = SectionTable<X86_64, BitWords<1>>;

    fn table<M: SubsectionMap>(nr_boot_sections: usize) -> SectionTable<X86_64, M> {
        SectionTable::new(nr_boot_sections, &Config::default(), &RecordStore::unlimited()).unwrap()
    }

    #[test]
    fn numbers_outside_the_physical_space_have_no_section() {
        let table: Table = table(0);
        table.section_or_new(0).unwrap();
        for pfn in [1 << 34, 1 << 52, u64::MAX, 1 << 63] {
            assert!(table.roots().section_of_any(pfn).is_none(), "{pfn:#x}");
        }
        assert!(table.roots().section_of_any((1 << 34) - 1).is_none(), "no root there");
        assert!(table.roots().section_of_any(0).is_some());
        assert_eq!(table.nr_pages_of_descriptors(), 1, "asking allocates nothing");
    }

    #[test]
    fn roots_are_made_once_and_hold_256_sections() {
        let table: Table = table(0);
        for nr in [0, 1, 255, 256, 0] {
            table.section_or_new(nr).unwrap().set_word(nr | SECTION_MARKED_PRESENT);
        }
        assert_eq!(table.nr_pages_of_descriptors(), 2);
        let end = || table.end_section().load(Ordering::Relaxed);
        assert_eq!(end(), 0, "a root alone does not lengthen walks");
        [300, 3].into_iter().for_each(|nr| table.note_present(nr));
        assert_eq!(end(), 301);
        assert_eq!(
            table.sections().filter(|(_, s)| s.word() != 0).map(|(nr, _)| nr).collect::<Vec<_>>(),
            [0, 1, 255, 256]
        );
    }

    #[test]
    fn a_boot_usage_is_known_by_where_it_lies_and_never_freed_singly() {
        let table: Table = table(2);
        let section = table.section_or_new(8).unwrap();
        section.set_usage(table.usages().of_boot(1));
        section.set_word(SECTION_MARKED_PRESENT);
        assert_eq!(table.state(8).unwrap().usage, Some(UsageKind::Boot));
        // SAFETY: there are no readers.
        unsafe { table.usages().retire(section.usage_ptr()) };
        let heap = table.usages().allocate().unwrap();
        assert_eq!((table.usages().kind(heap), table.usages().nr_heap()), (Some(UsageKind::Heap), 1));
        // SAFETY: it was never published.
        unsafe { table.usages().retire(heap) };
        assert_eq!(table.usages().nr_heap(), 0);
    }

    #[test]
    fn the_account_of_tables_does_not_depend_on_their_pages() {
        let config = Config { index_pages: IndexPages::Huge, ..Config::default() };
        let huge: Table = SectionTable::new(3, &config, &RecordStore::unlimited()).unwrap();
        let base: Table = table(3);
        for table in [&huge, &base] {
            let section = table.section_or_new(300).unwrap();
            section.set_usage(table.usages().allocate().unwrap());
            assert_eq!(table.bytes(), 2048 * 8 + 3 * 56 + 4096 + 56);
        }
        assert_eq!(base.bytes_in_huge_pages(), None);
        match huge.bytes_in_huge_pages() {
            Some(0) => eprintln!("skipped: no transparent huge page is to be had"),
            bytes => assert_eq!(bytes, Some(2 << 20)),
        }
    }

    /// Otherwise the tables of two layouts of one machine would compete for the same cache sets,
    /// and other layouts would not.
    #[test]
    fn tables_of_different_seeds_begin_at_different_places_of_a_page() {
        let start = |seed| {
            let table: Table =
                SectionTable::new(0, &Config { seed, ..Config::default() }, &RecordStore::unlimited()).unwrap();
            table.roots.as_ptr().addr() % (2 << 20)
        };
        let starts = [1, 2, 3].map(start);
        assert!(starts.iter().all(|start| *start < 1 << 20) && starts[0] != starts[1] && starts[1] != starts[2]);
        assert_eq!(start(1), starts[0]);
    }

    /// T-16: the first addition to an empty section finds its bits already set. The public API
    /// cannot cause this, so the new usage comes with bits that are set.
    #[test]
    fn t_16_a_conflict_on_the_first_addition_leaves_the_section_blank() {
        let table: Table = table(0);
        let section = table.section_or_new(8).unwrap();
        let preset = || {
            let usage = table.usages().allocate()?;
            // SAFETY: just allocated, and ours.
            unsafe { &*usage }.subsection_map.set(12..13);
            Ok(usage)
        };
        assert_eq!(table.usages().reserve(section, 10..14, preset), Err(ReserveError::Active(12)));
        assert_eq!((table.state(8), section.word(), table.usages().nr_heap()), (None, 0, 0));
        // Bits that do not conflict are reserved.
        let usage = table.usages().reserve(section, 13..14, preset).unwrap();
        assert!(!usage.is_null() && table.usages().nr_heap() == 1);
        section.set_usage(usage);
        assert_eq!(table.usages().reserve(section, 13..14, || unreachable!("it has one")), Ok(ptr::null_mut()));
    }
}
