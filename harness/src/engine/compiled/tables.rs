//! The section tables that compiled code reads, built to the sizes and offsets of its kernel.

use super::Twin;
use crate::kernel::facts::Facts;
use memmap_layouts::index_memory::{Array, IndexMemory};
use memmap_layouts::section::SECTION_MAP_MASK;
use memmap_layouts::{
    BootError, Config, Geometry, Inspect, RecordStore, SECTION_HAS_MEM_MAP, SECTION_IS_EARLY, SECTION_IS_ONLINE,
    SECTION_MARKED_PRESENT, SECTION_TAINT_ZONE_DEVICE, X86_64,
};
use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::{NonNull, with_exposed_provenance_mut};
use std::sync::atomic::{AtomicU64, Ordering};

/// The root table, section descriptors and usages, to the sizes of a kernel.
pub(super) struct Tables {
    pub(super) memory: IndexMemory,
    roots: Array<AtomicU64>,
    /// Usages, by the number of their section.
    usages: BTreeMap<u64, NonNull<u64>>,
    /// Number of the last section that has a map.
    pub(super) last: u64,
}

// SAFETY: the objects belong to `memory`, which lives as long.
unsafe impl Send for Tables {}

impl Tables {
    /// Empty tables for physical addresses of so many bits.
    pub(super) fn new(
        facts: &Facts,
        physical_bits: u32,
        config: &Config,
        store: &RecordStore,
    ) -> Result<Self, BootError> {
        // The code can ask for every section below this, and for no other.
        let nr_sections = 1u64 << (physical_bits - X86_64::SECTION_SIZE_BITS);
        let nr_roots = nr_sections.div_ceil(facts.sections_per_root);
        let root_bytes = facts.sections_per_root * facts.section_bytes;
        let used = X86_64::NR_MEM_SECTIONS;
        let len = nr_roots * 8 + used.div_ceil(facts.sections_per_root) * root_bytes.next_power_of_two() + used * 128;
        let memory = IndexMemory::reserve(len, config, store)?;
        // SAFETY: 0 is a valid AtomicU64.
        let roots = unsafe { memory.array::<AtomicU64>(nr_roots as usize) };
        let roots = roots.ok_or(BootError::NoMemory { what: "the root table", bytes: nr_roots * 8 })?;
        Ok(Self { memory, roots, usages: BTreeMap::new(), last: 0 })
    }

    fn root_layout(facts: &Facts) -> Layout {
        let bytes = facts.sections_per_root * facts.section_bytes;
        Layout::from_size_align(bytes as usize, 4096).expect("4096 is a power of two")
    }

    /// `kmalloc` aligns to the size class; the flags of the page blocks follow the map.
    fn usage_layout(facts: &Facts) -> Layout {
        let flags = (1 << (X86_64::SECTION_SIZE_BITS - 21)) * 4 / 8;
        Layout::from_size_align((facts.usage_bytes + flags) as usize, 8).expect("8 is a power of two")
    }

    /// Address of the root table.
    pub(super) fn roots(&self) -> u64 {
        self.roots.as_ptr().expose_provenance() as u64
    }

    /// Makes a section what it is in the twin. `None` if there is no memory for it.
    pub(super) fn mirror(&mut self, facts: &Facts, twin: &Twin, nr: u64) -> Option<()> {
        let state = twin.section_state(nr).filter(|state| state.section_mem_map & SECTION_HAS_MEM_MAP != 0);
        let (root, index) = ((nr / facts.sections_per_root) as usize, nr % facts.sections_per_root);
        let slot = &self.roots[root];
        let mut first = slot.load(Ordering::Relaxed);
        if first == 0 {
            if state.is_none() {
                return Some(());
            }
            first = self.memory.alloc::<u8>(Self::root_layout(facts))?.as_ptr().expose_provenance() as u64;
            slot.store(first, Ordering::Relaxed);
        }
        let section = first + index * facts.section_bytes;
        let word = with_exposed_provenance_mut::<u64>((section + facts.section_word_offset) as usize);
        let usage = with_exposed_provenance_mut::<u64>((section + facts.section_usage_offset) as usize);
        let Some(state) = state else {
            // SAFETY: the descriptor lies in its root. No compiled code runs.
            unsafe {
                word.write(0);
                usage.write(0);
            }
            if let Some(old) = self.usages.remove(&nr) {
                // SAFETY: it came from `alloc` with this layout, and nothing refers to it.
                unsafe { self.memory.free(old, Self::usage_layout(facts)) };
            }
            return Some(());
        };
        let object = match self.usages.get(&nr) {
            Some(&object) => object,
            None => {
                let object = self.memory.alloc::<u64>(Self::usage_layout(facts))?;
                self.usages.insert(nr, object);
                object
            }
        };
        let flags = [
            (SECTION_MARKED_PRESENT, facts.flag_present),
            (SECTION_HAS_MEM_MAP, facts.flag_has_map),
            (SECTION_IS_ONLINE, facts.flag_online),
            (SECTION_IS_EARLY, facts.flag_early),
            (SECTION_TAINT_ZONE_DEVICE, facts.flag_taint),
        ];
        let flags =
            flags.iter().filter(|(ours, _)| state.section_mem_map & ours != 0).fold(0, |all, (_, its)| all | its);
        // SAFETY: the usage has room for the map, the descriptor lies in its root, and no compiled
        // code runs.
        unsafe {
            let map = object.as_ptr().cast::<u8>().add(facts.usage_map_offset as usize).cast::<u64>();
            for (at, bits) in state.subsection_map.iter().enumerate() {
                map.add(at).write(*bits);
            }
            usage.write(object.as_ptr().expose_provenance() as u64);
            word.write(state.section_mem_map & SECTION_MAP_MASK & facts.map_mask | flags);
        }
        self.last = self.last.max(nr);
        Some(())
    }
}
