//! The lookups of [`Subsection`](super::Subsection).

use super::Divided;
use crate::geometry::Geometry;
use crate::grace::ReadGuard;
use crate::memmap::*;
use crate::page::Page;
use crate::page_record::HotplugRecord;
use crate::pfn::Pfn;
use crate::preempt::Word;
use crate::rules::Rules;
use crate::section::*;
use crate::subsection_map::SubsectionMap;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The loads of `pfn_valid`. If boot sections are valid as a whole, the map is read for added
/// memory only. A kernel's code also loads the address of the root table, which a reader here holds.
pub(super) const fn loads_of_pfn_valid(validity: Validity, is_kernel_code: bool) -> &'static [Load] {
    const GLOBAL: Load = Load { what: "address of the root table", line: "mem_section", when: When::Always };
    const fn usage(when: When) -> Load {
        Load { what: "usage pointer", line: DESCRIPTOR, when }
    }
    const fn map(when: When) -> Load {
        Load { what: "word of the sub-section map", line: "usage", when }
    }
    const WHOLE: &[Load] = &[GLOBAL, ROOT_POINTER, SECTION_WORD];
    const EARLY: &[Load] = &[GLOBAL, ROOT_POINTER, SECTION_WORD, usage(When::HotAdded), map(When::HotAdded)];
    const ALWAYS: &[Load] = &[GLOBAL, ROOT_POINTER, SECTION_WORD, usage(When::Always), map(When::Always)];
    let loads = match validity {
        Validity::Span | Validity::MemorySpan | Validity::Ranges | Validity::Section => WHOLE,
        Validity::Subsection { early_is_whole: true } => EARLY,
        Validity::Subsection { early_is_whole: false } => ALWAYS,
    };
    if is_kernel_code { loads } else { loads.split_at(1).1 }
}

/// The lookups of [`Subsection`]. `pfn_valid` takes up to 4 loads, the other two none.
#[derive(Debug)]
pub struct SubsectionReader<'a, G: Geometry, R: Rules, T: HotplugRecord = Page> {
    pub(super) roots: Roots<'a, G, G::SubsectionMap, R>,
    pub(super) mem_section: &'a AtomicPtr<AtomicPtr<MemSection<G::SubsectionMap>>>,
    pub(super) vmemmap: NonNull<T>,
    pub(super) end_section: &'a AtomicU64,
    pub(super) count: Word,
    pub(super) rules: PhantomData<R>,
    pub(super) _guard: ReadGuard<'a>,
}

impl<G: Geometry, R: Rules, T: HotplugRecord> SubsectionReader<'_, G, R, T> {
    /// Validity of `pfn` in a section with a map: `early_section(ms) || pfn_section_valid(ms,
    /// pfn)`.
    #[inline(always)]
    fn answers(section: &MemSection<G::SubsectionMap>, word: u64, pfn: u64) -> bool {
        match R::SET.validity {
            Validity::Span | Validity::MemorySpan | Validity::Ranges | Validity::Section => true,
            Validity::Subsection { early_is_whole } if early_is_whole && word & SECTION_IS_EARLY != 0 => true,
            Validity::Subsection { .. } => Self::bit(section, pfn),
        }
    }

    /// The bit of a pfn's sub-section.
    #[inline(always)]
    fn bit(section: &MemSection<G::SubsectionMap>, pfn: u64) -> bool {
        // SAFETY: a usage is freed after a grace period, which this reader holds up. Read once: it
        // may become null.
        match unsafe { section.usage() } {
            Some(usage) => usage.subsection_map.test(Divided::<G, R>::index(pfn)),
            None => false,
        }
    }
}

// SAFETY: records are backed and written before their bits are set, and stay until the bits were
// cleared and a grace period has passed, which this reader holds up. A boot section keeps its
// records as long as its word says EARLY. Rules that make more valid than is backed keep records in
// private memory, of which all can be read (see `boot`).
unsafe impl<G: Geometry, R: Rules, T: HotplugRecord> Lookup for SubsectionReader<'_, G, R, T> {
    type Record = T;

    #[inline(always)]
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        if let Some(code) = R::CODE {
            let index = match R::SET.validity {
                Validity::Subsection { .. } => Some(|| Divided::<G, R>::index(pfn.0)),
                Validity::Span | Validity::MemorySpan | Validity::Ranges | Validity::Section => None,
            };
            // SAFETY: this reader holds up grace periods, and cannot leave its thread.
            return unsafe { code.pfn_valid::<G, R, _>(self.mem_section, pfn.0, index, SECTION_IS_EARLY, self.count) };
        }
        let Some(section) = self.roots.section_of_any(pfn.0) else { return false };
        let word = section.word();
        if word & SECTION_HAS_MEM_MAP == 0 {
            return false;
        }
        Self::answers(section, word, pfn.0)
    }

    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<T> {
        // SAFETY: a valid pfn lies in the physical space, for all of which the array was reserved.
        unsafe { self.vmemmap.add(pfn.0 as usize) }
    }

    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<T>) -> Pfn {
        // SAFETY: the page came from this array.
        Pfn(unsafe { page.offset_from_unsigned(self.vmemmap) } as u64)
    }

    fn section_flags(&self, pfn: Pfn) -> u64 {
        self.roots.section_of_any(pfn.0).map_or(0, |section| section.word() & SECTION_FLAGS)
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        let there = self.roots.section_of_any(pfn.0).filter(|section| section.word() & SECTION_HAS_MEM_MAP != 0);
        there.is_some_and(|section| R::SET.validity == Validity::Section || Self::bit(section, pfn.0))
    }

    #[inline]
    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        if let Some(code) = R::CODE.filter(|code| code.has_walk) {
            let tables = (self.mem_section, self.end_section);
            // SAFETY: as in `pfn_valid`.
            let first = unsafe { code.first_valid_pfn::<G, R, _>(tables, from.0, end.0, SECTION_IS_EARLY, self.count) };
            return first.map(Pfn);
        }
        let end = end.0.min(G::section_start(self.end_section.load(Ordering::Relaxed)));
        let mut pfn = from.0;
        while pfn < end {
            let nr = G::section_nr(pfn);
            let section = self.roots.section(nr);
            if let Some(section) = section.filter(|section| section.word() & SECTION_HAS_MEM_MAP != 0) {
                if Self::answers(section, section.word(), pfn) {
                    return Some(Pfn(pfn));
                }
                let bits = Divided::<G, R>::index(pfn)..Divided::<G, R>::PER_SECTION;
                // SAFETY: as in `bit`.
                let next = unsafe { section.usage() }.and_then(|usage| usage.subsection_map.find(bits, true));
                if let Some(bit) = next {
                    let next = G::section_start(nr) + u64::from(bit) * Divided::<G, R>::PAGES;
                    return (next < end).then_some(Pfn(next));
                }
            }
            pfn = G::section_start(nr + 1);
        }
        None
    }
}
