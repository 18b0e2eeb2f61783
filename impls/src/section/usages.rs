//! The usage objects of a layout: one block for boot sections, and one object for each section that
//! was added later.

use super::{Descriptor, NoMemory, ReserveError, SectionUsage};
use crate::error::BootError;
use crate::fault::{Faults, Seam};
use crate::index_memory::{Array, IndexMemory, slab_bytes};
use crate::memmap::UsageKind;
use crate::subsection_map::SubsectionMap;
use std::alloc::Layout;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// Allocates and frees usage objects, and knows where each came from.
#[derive(Debug)]
pub struct Usages<M: SubsectionMap> {
    /// Objects of boot sections: one block, never freed individually.
    boot: Array<SectionUsage<M>>,
    nr_heap: AtomicU64,
    faults: Faults,
    memory: IndexMemory,
}

impl<M: SubsectionMap> Usages<M> {
    const BYTES: u64 = size_of::<SectionUsage<M>>() as u64;

    /// Upper bound, in bytes, of the memory for the objects of so many sections.
    pub(crate) const fn most_bytes(nr_boot_sections: usize, nr_sections: u64) -> u64 {
        nr_boot_sections as u64 * Self::BYTES + slab_bytes(nr_sections, Self::BYTES)
    }

    /// Objects for `nr_boot_sections`, and the memory for others.
    ///
    /// # Errors
    /// [`BootError::NoMemory`].
    pub fn new(memory: IndexMemory, nr_boot_sections: usize, faults: Faults) -> Result<Self, BootError> {
        // SAFETY: zero is a value for every field (atomics).
        let boot = unsafe { memory.array(nr_boot_sections) };
        let bytes = nr_boot_sections as u64 * Self::BYTES;
        let boot = boot.ok_or(BootError::NoMemory { what: "the usages of boot sections", bytes })?;
        Ok(Self { boot, nr_heap: AtomicU64::new(0), faults, memory })
    }

    /// The memory that the objects lie in.
    pub(super) fn memory(&self) -> &IndexMemory {
        &self.memory
    }

    /// Bytes of its memory that huge pages back; see [`IndexMemory::bytes_in_huge_pages`].
    pub(crate) fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.memory.bytes_in_huge_pages()
    }

    /// Which allocations fail on purpose.
    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The object at `index` in the boot block; panics if out of range.
    pub fn of_boot(&self, index: usize) -> *mut SectionUsage<M> {
        // All fields are atomics, so a pointer from a shared reference may be used for writes.
        ptr::from_ref(&self.boot[index]).cast_mut()
    }

    /// Allocates a zeroed object, as `kzalloc` does.
    ///
    /// # Errors
    /// The allocation failed.
    pub fn allocate(&self) -> Result<*mut SectionUsage<M>, NoMemory> {
        if !self.faults.allow(Seam::Usage) {
            return Err(NoMemory("a section usage object"));
        }
        // Zero is a value for every field (atomics).
        let usage = self.memory.alloc::<SectionUsage<M>>(Layout::new::<SectionUsage<M>>());
        let usage = usage.ok_or(NoMemory("a section usage object"))?;
        self.nr_heap.fetch_add(1, Ordering::Relaxed);
        Ok(usage.as_ptr())
    }

    /// Reserves what an addition to a section needs: checks that none of `bits` is set, and
    /// allocates an object with `new` if the section has none; otherwise returns null. This is the
    /// first half of `section_activate`. On an error nothing is changed.
    ///
    /// # Errors
    /// [`ReserveError`]; a newly allocated object is freed.
    pub fn reserve(
        &self,
        section: &impl Descriptor<Map = M>,
        bits: Range<u32>,
        new: impl FnOnce() -> Result<*mut SectionUsage<M>, NoMemory>,
    ) -> Result<*mut SectionUsage<M>, ReserveError> {
        let present = section.usage_ptr();
        let new = if present.is_null() { new()? } else { ptr::null_mut() };
        let usage = if present.is_null() { new } else { present };
        // SAFETY: this is the writer: nobody else frees the section's usage, and a new usage is not
        // shared yet.
        match unsafe { &*usage }.subsection_map.find(bits, true) {
            None => Ok(new),
            Some(bit) => {
                // SAFETY: not published; null is left alone.
                unsafe { self.retire(new) };
                Err(ReserveError::Active(bit))
            }
        }
    }

    /// Where an object was allocated. The address decides, not the section's flags: a boot section
    /// that was emptied and added again is an ordinary section with a boot usage. `None` for null.
    pub fn kind(&self, usage: *const SectionUsage<M>) -> Option<UsageKind> {
        if usage.is_null() {
            None
        } else if self.boot.as_ptr_range().contains(&usage) {
            Some(UsageKind::Boot)
        } else {
            Some(UsageKind::Heap)
        }
    }

    /// Frees an object from the heap. Null and objects of the boot block are ignored.
    ///
    /// # Safety
    /// No reader can reach it: it was never published, or it was hidden and a grace period has
    /// passed.
    pub unsafe fn retire(&self, usage: *mut SectionUsage<M>) {
        if self.kind(usage) == Some(UsageKind::Heap) {
            let usage = NonNull::new(usage).expect("a usage with a kind is not null");
            // SAFETY: allocated by `allocate` with this layout; the caller says that nobody can
            // reach it.
            unsafe { self.memory.free(usage, Layout::new::<SectionUsage<M>>()) };
            self.nr_heap.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Number of objects on the heap.
    pub fn nr_heap(&self) -> u64 {
        self.nr_heap.load(Ordering::Relaxed)
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> u64 {
        size_of_val(&*self.boot) as u64 + self.nr_heap() * Self::BYTES
    }
}
