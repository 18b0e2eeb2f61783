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

use crate::error::{BootError, HotplugError};
use crate::fault::{Faults, Seam};
use crate::geometry::Geometry;
use crate::index_memory::{Array, IndexMemory, slab_bytes};
use crate::memmap::{Accounting, Config, Load, SectionState, UsageKind, When};
use crate::pfn::PfnRange;
use crate::request::Grid;
use crate::rules::{Merged, Rules};
use crate::store::RecordStore;
use crate::subsection_map::SubsectionMap;
use std::alloc::Layout;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::{self, NonNull};
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

/// `struct mem_section`: the first 16 bytes of the descriptor of a section. What follows them in
/// larger [`Descriptors`](crate::Descriptors) is unused.
#[derive(Debug)]
#[repr(C)]
pub struct MemSection<M: SubsectionMap> {
    section_mem_map: AtomicU64,
    usage: AtomicPtr<SectionUsage<M>>,
}

const _: () = assert!(size_of::<MemSection<crate::subsection_map::BitWords<1>>>() == 16);
const _: () = assert!(size_of::<SectionUsage<crate::subsection_map::BitWords<1>>>() == 56);

impl<M: SubsectionMap> MemSection<M> {
    /// The coded pointer and flags. An acquire load: what was written before the word was set is
    /// visible.
    #[inline(always)]
    pub fn word(&self) -> u64 {
        self.section_mem_map.load(Ordering::Acquire)
    }

    /// The usage object; `None` if the section has none.
    ///
    /// # Safety
    /// The caller must be a reader of the layout or its writer, so that the object is not freed
    /// meanwhile.
    #[inline(always)]
    pub unsafe fn usage(&self) -> Option<&SectionUsage<M>> {
        // SAFETY: the pointer is null or was published after the object was built; the caller keeps
        // it alive.
        unsafe { self.usage.load(Ordering::Acquire).as_ref() }
    }

    /// The usage pointer, or null, with an acquire load.
    #[inline(always)]
    pub(crate) fn usage_acquire(&self) -> *const SectionUsage<M> {
        self.usage.load(Ordering::Acquire)
    }

    /// Publishes a word with a release store: a reader that sees it also sees everything written
    /// before.
    pub fn set_word(&self, word: u64) {
        self.section_mem_map.store(word, Ordering::Release);
    }

    /// Publishes a usage object, or null, with a release store.
    pub fn set_usage(&self, usage: *mut SectionUsage<M>) {
        self.usage.store(usage, Ordering::Release);
    }

    /// Publishes sub-sections whose records are backed and initialised. The order is the reverse of
    /// a reader's: usage pointer (unless `new_usage` is null), taint of a live section (D-3), bits,
    /// word of a cleared section, with `SECTION_HAS_MEM_MAP` added. Writer only.
    pub fn publish(&self, new_usage: *mut SectionUsage<M>, bits: Range<u32>, taint: u64, new_word: u64) {
        if !new_usage.is_null() {
            self.set_usage(new_usage);
        }
        let word = self.word();
        let lives = word & SECTION_HAS_MEM_MAP != 0;
        if lives && word & taint != taint {
            self.set_word(word | taint);
        }
        // SAFETY: only the writer frees usages.
        let usage = unsafe { self.usage() }.expect("a published section has a usage");
        usage.subsection_map.set(bits);
        if !lives {
            self.set_word(new_word | SECTION_HAS_MEM_MAP | taint);
        }
    }

    /// The raw usage pointer, or null. The writer uses it to restore or free the object.
    pub fn usage_ptr(&self) -> *mut SectionUsage<M> {
        self.usage.load(Ordering::Relaxed)
    }
}

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
/// use memmap_layouts::section::SectionTable;
/// use memmap_layouts::{BitWords, Config, RecordStore, SECTION_HAS_MEM_MAP, X86_64};
///
/// let table = SectionTable::<X86_64, BitWords<1>>::new(0, &Config::default(), &RecordStore::unlimited())?;
/// let section = table.section_or_new_root(32).map_err(|no| no.0)?;
/// let usage = table.reserve_usage(section, 0..4, || table.new_heap_usage()).map_err(|error| format!("{error:?}"))?;
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
    /// Usage objects of boot sections: one block, never freed individually.
    boot_usages: Array<SectionUsage<M>>,
    /// `__highest_present_section_nr` plus one. It never shrinks.
    end_section: AtomicU64,
    nr_roots: AtomicU64,
    nr_heap_usages: AtomicU64,
    faults: Faults,
    memory: IndexMemory,
    kinds: PhantomData<(G, R)>,
}

impl<G: Geometry, M: SubsectionMap, R: Rules> SectionTable<G, M, R> {
    const NR_ROOTS: u64 = R::DESCRIPTORS.nr_roots::<G>();

    /// An empty table with usage objects for `nr_boot_sections`, available through
    /// [`boot_usage`](Self::boot_usage).
    ///
    /// # Errors
    /// [`BootError::NoMemory`] if a table cannot be reserved or allocated.
    pub fn new(nr_boot_sections: usize, config: &Config, store: &RecordStore) -> Result<Self, BootError> {
        let usage = size_of::<SectionUsage<M>>() as u64;
        let root_table = Self::NR_ROOTS * size_of::<AtomicPtr<MemSection<M>>>() as u64;
        // Twice the root pages: aligning each one may skip up to a page after a slab, which is
        // smaller.
        let most = root_table
            + nr_boot_sections as u64 * usage
            + 2 * Self::NR_ROOTS * G::PAGE_SIZE
            + slab_bytes(G::NR_MEM_SECTIONS, usage);
        let none = |what, bytes| BootError::NoMemory { what, bytes };
        let memory = IndexMemory::reserve(most, config, store);
        let memory = memory.map_err(|_| none("address space for the section index", most))?;
        // SAFETY: zero is a null pointer.
        let roots = unsafe { memory.array(Self::NR_ROOTS as usize) };
        // SAFETY: zero is a value for every field (atomics).
        let boot_usages = unsafe { memory.array(nr_boot_sections) };
        let roots: Array<AtomicPtr<MemSection<M>>> = roots.ok_or(none("the table of section roots", root_table))?;
        Ok(Self {
            mem_section: AtomicPtr::new(roots.as_ptr().cast_mut()),
            roots,
            boot_usages: boot_usages.ok_or(none("the usages of boot sections", nr_boot_sections as u64 * usage))?,
            end_section: AtomicU64::new(0),
            nr_roots: AtomicU64::new(0),
            nr_heap_usages: AtomicU64::new(0),
            faults: store.faults.clone(),
            memory,
            kinds: PhantomData,
        })
    }

    /// Bytes of the tables that huge pages back; see
    /// [`Memmap::index_bytes_in_huge_pages`](crate::Memmap::index_bytes_in_huge_pages).
    pub fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.memory.bytes_in_huge_pages()
    }

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

    /// The usage object at `index` in the boot block; panics if out of range.
    pub fn boot_usage(&self, index: usize) -> *mut SectionUsage<M> {
        // All fields are atomics, so a pointer from a shared reference may be used for writes.
        ptr::from_ref(&self.boot_usages[index]).cast_mut()
    }

    fn root_layout() -> Layout {
        Layout::from_size_align(G::PAGE_SIZE as usize, G::PAGE_SIZE as usize).expect("a page is a valid layout")
    }

    /// The descriptor of section `nr`; allocates its root page if needed: `sparse_index_init`. Root
    /// pages are never freed before the table. Writer only; `nr` must lie in the physical address
    /// space.
    ///
    /// # Errors
    /// No memory for the root page.
    pub fn section_or_new_root(&self, nr: u64) -> Result<&MemSection<M>, NoMemory> {
        assert!(nr < G::NR_MEM_SECTIONS, "section {nr} is above the physical address space");
        let slot = &self.roots[R::DESCRIPTORS.place::<G>(nr).0 as usize];
        if slot.load(Ordering::Relaxed).is_null() {
            if !self.faults.allow(Seam::Root) {
                return Err(NoMemory("a page of section descriptors"));
            }
            let root = self.memory.alloc::<MemSection<M>>(Self::root_layout());
            let root = root.ok_or(NoMemory("a page of section descriptors"))?;
            // A zeroed descriptor is an unused one: word 0, no usage.
            slot.store(root.as_ptr(), Ordering::Release);
            self.nr_roots.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.roots().section(nr).expect("the root was allocated above"))
    }

    /// Extends the bound of walks to include section `nr`, before it becomes visible. Writer only.
    /// Source: `section_mark_present`, which updates `__highest_present_section_nr`.
    pub fn note_present(&self, nr: u64) {
        if self.end_section.load(Ordering::Relaxed) <= nr {
            self.end_section.store(nr + 1, Ordering::Relaxed);
        }
    }

    /// Allocates a zeroed usage object, as `kzalloc` does.
    ///
    /// # Errors
    /// The allocation failed.
    pub fn new_heap_usage(&self) -> Result<*mut SectionUsage<M>, NoMemory> {
        if !self.faults.allow(Seam::Usage) {
            return Err(NoMemory("a section usage object"));
        }
        // Zero is a value for every field (atomics).
        let usage = self.memory.alloc::<SectionUsage<M>>(Layout::new::<SectionUsage<M>>());
        let usage = usage.ok_or(NoMemory("a section usage object"))?;
        self.nr_heap_usages.fetch_add(1, Ordering::Relaxed);
        Ok(usage.as_ptr())
    }

    /// Reserves what an addition to a section needs: checks that none of `bits` is set, and
    /// allocates a usage object if the section has none; otherwise returns null. This is the first
    /// half of `section_activate`. On an error nothing is changed.
    ///
    /// # Errors
    /// [`ReserveError`]; a newly allocated usage object is freed.
    pub fn reserve_usage(
        &self,
        section: &MemSection<M>,
        bits: Range<u32>,
        new_usage: impl FnOnce() -> Result<*mut SectionUsage<M>, NoMemory>,
    ) -> Result<*mut SectionUsage<M>, ReserveError> {
        let present = section.usage_ptr();
        let new = if present.is_null() { new_usage()? } else { ptr::null_mut() };
        let usage = if present.is_null() { new } else { present };
        // SAFETY: this is the writer: nobody else frees the section's usage, and a new usage is not
        // shared yet.
        match unsafe { &*usage }.subsection_map.find(bits, true) {
            None => Ok(new),
            Some(bit) => {
                // SAFETY: not published; null is left alone.
                unsafe { self.retire_usage(new) };
                Err(ReserveError::Active(bit))
            }
        }
    }

    /// Where a usage object was allocated. The address decides, not the section's flags: a boot
    /// section that was emptied and added again is an ordinary section with a boot usage. `None`
    /// for null.
    pub fn usage_kind(&self, usage: *const SectionUsage<M>) -> Option<UsageKind> {
        if usage.is_null() {
            None
        } else if self.boot_usages.as_ptr_range().contains(&usage) {
            Some(UsageKind::Boot)
        } else {
            Some(UsageKind::Heap)
        }
    }

    /// Frees a usage object from the heap. Null and objects of the boot block are ignored.
    ///
    /// # Safety
    /// No reader can reach it: it was never published, or it was hidden and a grace period has
    /// passed.
    pub unsafe fn retire_usage(&self, usage: *mut SectionUsage<M>) {
        if self.usage_kind(usage) == Some(UsageKind::Heap) {
            let usage = NonNull::new(usage).expect("a usage with a kind is not null");
            // SAFETY: allocated by `new_heap_usage` with this layout; the caller says that nobody
            // can reach it.
            unsafe { self.memory.free(usage, Layout::new::<SectionUsage<M>>()) };
            self.nr_heap_usages.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Marks whole sections online or offline. Writer only. A section can go online if each bit of
    /// its map in `whole` is set, and no device memory shares it.
    ///
    /// # Errors
    /// The range is not made of whole sections, or a section is absent or cannot go online. Nothing
    /// is changed.
    pub fn set_online(&self, range: PfnRange, online: bool, whole: Range<u32>) -> Result<(), HotplugError> {
        const RULE: &str = "sections go online and offline as a whole";
        Grid { granule_pages: G::PAGES_PER_SECTION, rule: RULE }.check::<G>(range)?;
        let (roots, span) = (self.roots(), range.phys(G::PAGE_SHIFT));
        let there = |part: PfnRange| {
            let section = roots.section(G::section_nr(part.start()));
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

    /// Number of root pages allocated so far.
    pub fn nr_roots(&self) -> u64 {
        self.nr_roots.load(Ordering::Relaxed)
    }

    /// Number of usage objects on the heap.
    pub fn nr_heap_usages(&self) -> u64 {
        self.nr_heap_usages.load(Ordering::Relaxed)
    }

    /// Bytes of the root table, root pages and usage objects.
    pub fn index_bytes(&self) -> u64 {
        let roots = size_of_val(&*self.roots) as u64 + self.nr_roots() * G::PAGE_SIZE;
        let heap = self.nr_heap_usages() * size_of::<SectionUsage<M>>() as u64;
        roots + size_of_val(&*self.boot_usages) as u64 + heap
    }

    /// Every descriptor of every root page, with its section number. Call it as the writer, or
    /// while nothing changes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &MemSection<M>)> {
        let present = |&(_, root): &(usize, &AtomicPtr<MemSection<M>>)| !root.load(Ordering::Acquire).is_null();
        self.roots.iter().enumerate().filter(present).flat_map(move |(root, _)| {
            let per_root = R::DESCRIPTORS.per_root::<G>();
            let first = root as u64 * per_root;
            let end = (first + per_root).min(G::NR_MEM_SECTIONS);
            (first..end).filter_map(|nr| self.roots().section(nr).map(|section| (nr, section)))
        })
    }

    /// The decoded descriptor of section `nr`; `None` if it is blank (word 0, no usage object). The
    /// caller must be the writer or hold a reader of the layout.
    pub fn state(&self, nr: u64) -> Option<SectionState> {
        let section = self.roots().section(nr)?;
        // SAFETY: the caller is the writer or holds a reader, so no usage is freed meanwhile.
        let subsection_map = unsafe { section.usage() }.map_or_else(Vec::new, |u| u.subsection_map.words());
        let usage = self.usage_kind(section.usage_ptr());
        let section_mem_map = section.word();
        (section_mem_map != 0 || usage.is_some()).then_some(SectionState { section_mem_map, usage, subsection_map })
    }

    /// A hash of all descriptors that are not blank, and of the accounts. The number of root pages
    /// is left out, because they stay even if the addition that needed them failed. Call it as the
    /// writer, or while nothing changes.
    pub fn digest(&self, accounting: &Accounting) -> u64 {
        let mut hasher = DefaultHasher::new();
        for (nr, _) in self.iter() {
            if let Some(state) = self.state(nr) {
                (nr, state).hash(&mut hasher);
            }
        }
        Accounting { roots: 0, ..*accounting }.hash(&mut hasher);
        hasher.finish()
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
                    self.retire_usage((*section).usage_ptr());
                }
            }
            // SAFETY: allocated by `section_or_new_root` with this layout.
            unsafe { self.memory.free(root, Self::root_layout()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::X86_64;
    use crate::memmap::IndexPages;
    use crate::subsection_map::BitWords;

    type Table = SectionTable<X86_64, BitWords<1>>;

    fn table<M: SubsectionMap>(nr_boot_sections: usize) -> SectionTable<X86_64, M> {
        SectionTable::new(nr_boot_sections, &Config::default(), &RecordStore::unlimited()).unwrap()
    }

    #[test]
    fn numbers_outside_the_physical_space_have_no_section() {
        let table: Table = table(0);
        table.section_or_new_root(0).unwrap();
        for pfn in [1 << 34, 1 << 52, u64::MAX, 1 << 63] {
            assert!(table.roots().section_of_any(pfn).is_none(), "{pfn:#x}");
        }
        assert!(table.roots().section_of_any((1 << 34) - 1).is_none(), "no root there");
        assert!(table.roots().section_of_any(0).is_some());
        assert_eq!(table.nr_roots(), 1, "asking allocates nothing");
    }

    #[test]
    fn roots_are_made_once_and_hold_256_sections() {
        let table: Table = table(0);
        for nr in [0, 1, 255, 256, 0] {
            table.section_or_new_root(nr).unwrap().set_word(nr | SECTION_MARKED_PRESENT);
        }
        assert_eq!(table.nr_roots(), 2);
        let end = || table.end_section().load(Ordering::Relaxed);
        assert_eq!(end(), 0, "a root alone does not lengthen walks");
        [300, 3].into_iter().for_each(|nr| table.note_present(nr));
        assert_eq!(end(), 301);
        assert_eq!(table.iter().filter(|(_, s)| s.word() != 0).map(|(nr, _)| nr).collect::<Vec<_>>(), [0, 1, 255, 256]);
    }

    #[test]
    fn a_boot_usage_is_known_by_where_it_lies_and_never_freed_singly() {
        let table: Table = table(2);
        let section = table.section_or_new_root(8).unwrap();
        section.set_usage(table.boot_usage(1));
        section.set_word(SECTION_MARKED_PRESENT);
        assert_eq!(table.state(8).unwrap().usage, Some(UsageKind::Boot));
        // SAFETY: there are no readers.
        unsafe { table.retire_usage(section.usage_ptr()) };
        let heap = table.new_heap_usage().unwrap();
        assert_eq!((table.usage_kind(heap), table.nr_heap_usages()), (Some(UsageKind::Heap), 1));
        // SAFETY: it was never published.
        unsafe { table.retire_usage(heap) };
        assert_eq!(table.nr_heap_usages(), 0);
    }

    #[test]
    fn the_account_of_tables_does_not_depend_on_their_pages() {
        let config = Config { index_pages: IndexPages::Huge, ..Config::default() };
        let huge: Table = SectionTable::new(3, &config, &RecordStore::unlimited()).unwrap();
        let base: Table = table(3);
        for table in [&huge, &base] {
            let section = table.section_or_new_root(300).unwrap();
            section.set_usage(table.new_heap_usage().unwrap());
            assert_eq!(table.index_bytes(), 2048 * 8 + 3 * 56 + 4096 + 56);
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

    /// A map that records the word of its section when its bits are set.
    #[derive(Default)]
    struct Spy(BitWords<1>);

    thread_local! {
        static SPIED: std::cell::Cell<*const MemSection<Spy>> = const { std::cell::Cell::new(ptr::null()) };
        static SEEN: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
    }

    impl SubsectionMap for Spy {
        const BITS: u32 = 64;
        fn test(&self, bit: u32) -> bool {
            self.0.test(bit)
        }
        fn set(&self, bits: Range<u32>) {
            // SAFETY: the test keeps the section as long as it publishes.
            SEEN.set(Some(unsafe { &*SPIED.get() }.word()));
            self.0.set(bits);
        }
        fn clear(&self, bits: Range<u32>) {
            self.0.clear(bits);
        }
        fn find(&self, bits: Range<u32>, value: bool) -> Option<u32> {
            self.0.find(bits, value)
        }
        fn words(&self) -> Vec<u64> {
            self.0.words()
        }
    }

    /// D-3: a reader that sees a sub-section of a device in a live section must see the section's
    /// taint, so that it consults the device mappings.
    #[test]
    fn a_section_is_marked_before_its_new_bits_and_a_blank_one_announced_after_them() {
        let usage = SectionUsage::<Spy>::default();
        let section = MemSection { section_mem_map: AtomicU64::new(0), usage: AtomicPtr::default() };
        SPIED.set(&section);
        let new = ptr::from_ref(&usage).cast_mut();
        section.publish(new, 0..4, 0, 0x1000);
        assert_eq!(SEEN.take(), Some(0), "the word announced bits that were not set");
        let live = 0x1000 | SECTION_HAS_MEM_MAP;
        assert_eq!(section.word(), live);
        section.publish(ptr::null_mut(), 4..8, SECTION_TAINT_ZONE_DEVICE, 0x1000);
        assert_eq!(SEEN.take(), Some(live | SECTION_TAINT_ZONE_DEVICE), "bits were set before the mark");
        assert_eq!(usage.subsection_map.words(), [0xff]);
    }

    /// T-16: the first addition to an empty section finds its bits already set. The public API
    /// cannot cause this, so the new usage comes with bits that are set.
    #[test]
    fn t_16_a_conflict_on_the_first_addition_leaves_the_section_blank() {
        let table: Table = table(0);
        let section = table.section_or_new_root(8).unwrap();
        let preset = || {
            let usage = table.new_heap_usage()?;
            // SAFETY: just allocated, and ours.
            unsafe { &*usage }.subsection_map.set(12..13);
            Ok(usage)
        };
        assert_eq!(table.reserve_usage(section, 10..14, preset), Err(ReserveError::Active(12)));
        assert_eq!((table.state(8), section.word(), table.nr_heap_usages()), (None, 0, 0));
        // Bits that do not conflict are reserved.
        let usage = table.reserve_usage(section, 13..14, preset).unwrap();
        assert!(!usage.is_null() && table.nr_heap_usages() == 1);
        section.set_usage(usage);
        assert_eq!(table.reserve_usage(section, 13..14, || unreachable!("it has one")), Ok(ptr::null_mut()));
    }
}
