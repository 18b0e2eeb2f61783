//! Where a flat index keeps the valid bits, the descriptor and the state of a section.

use crate::geometry::Geometry;
use std::fmt::Debug;

/// The arrangement of a flat index. Places are numbers of 64-bit words in its array.
pub trait Shape: Copy + Debug + Default + Send + Sync + 'static {
    /// True if the array begins with a byte for each section, its [`State`].
    const HAS_STATES: bool;

    /// The word and the bit in it that say whether a page frame is valid. The page frame lies in the
    /// physical address space.
    fn valid_bit<G: Geometry>(pfn: u64) -> (u64, u32);

    /// The word of a section's descriptor.
    fn descriptor<G: Geometry>(nr: u64) -> u64;

    /// The first section whose descriptor is at this word or behind it.
    fn section_of<G: Geometry>(word: u64) -> u64;

    /// Number of words, a multiple of [`ALIGN_WORDS`].
    fn len<G: Geometry>() -> u64;
}

/// What of a section is valid, as a byte that lookups compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Nothing.
    Absent = 0,
    /// What the valid bits say.
    InPart = 1,
    /// All of it: boot memory, or memory that was added up to a whole section.
    Whole = 2,
}

/// Parts of the array begin at multiples of so many words, i.e. of the largest base page (64 KiB).
pub(super) const ALIGN_WORDS: u64 = (64 << 10) / 8;

/// The valid bits in a bitmap of their own, and the descriptors behind it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apart;

impl Apart {
    /// Words of the bitmap.
    const fn nr_words<G: Geometry>() -> u64 {
        let bits = G::NR_MEM_SECTIONS * G::SUBSECTIONS_PER_SECTION as u64;
        bits.div_ceil(64).next_multiple_of(ALIGN_WORDS)
    }
}

impl Shape for Apart {
    const HAS_STATES: bool = false;

    #[inline(always)]
    fn valid_bit<G: Geometry>(pfn: u64) -> (u64, u32) {
        (pfn >> (G::PFN_SUBSECTION_SHIFT + 6), ((pfn >> G::PFN_SUBSECTION_SHIFT) % 64) as u32)
    }

    #[inline(always)]
    fn descriptor<G: Geometry>(nr: u64) -> u64 {
        Self::nr_words::<G>() + nr
    }

    fn section_of<G: Geometry>(word: u64) -> u64 {
        word.saturating_sub(Self::nr_words::<G>())
    }

    fn len<G: Geometry>() -> u64 {
        Self::nr_words::<G>() + G::NR_MEM_SECTIONS.next_multiple_of(ALIGN_WORDS)
    }
}

/// The valid bits of a section right behind its descriptor: 16 bytes on x86-64, as `struct
/// mem_section`. With `STATES`, a byte for each section comes first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline<const STATES: bool>;

impl<const STATES: bool> Inline<STATES> {
    /// Words from one section to the next: a descriptor and its valid bits.
    const fn stride<G: Geometry>() -> u64 {
        (1 + (G::SUBSECTIONS_PER_SECTION as u64).div_ceil(64)).next_power_of_two()
    }

    /// Words of the states, in front of the first descriptor.
    const fn first<G: Geometry>() -> u64 {
        if STATES { G::NR_MEM_SECTIONS.div_ceil(8).next_multiple_of(ALIGN_WORDS) } else { 0 }
    }
}

impl<const STATES: bool> Shape for Inline<STATES> {
    const HAS_STATES: bool = STATES;

    #[inline(always)]
    fn valid_bit<G: Geometry>(pfn: u64) -> (u64, u32) {
        let sub = (pfn % G::PAGES_PER_SECTION) >> G::PFN_SUBSECTION_SHIFT;
        (Self::descriptor::<G>(G::section_nr(pfn)) + 1 + sub / 64, (sub % 64) as u32)
    }

    #[inline(always)]
    fn descriptor<G: Geometry>(nr: u64) -> u64 {
        Self::first::<G>() + nr * Self::stride::<G>()
    }

    fn section_of<G: Geometry>(word: u64) -> u64 {
        word.saturating_sub(Self::first::<G>()).div_ceil(Self::stride::<G>())
    }

    fn len<G: Geometry>() -> u64 {
        Self::first::<G>() + (G::NR_MEM_SECTIONS * Self::stride::<G>()).next_multiple_of(ALIGN_WORDS)
    }
}
