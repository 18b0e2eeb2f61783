//! Section and sub-section constants of an architecture.

use crate::subsection_map::{BitWords, SubsectionMap};
use std::fmt::Debug;

/// How an architecture divides its physical address space. A zero-sized type, so that no lookup pays for the choice.
///
/// Source: `include/linux/mmzone.h` and each architecture's `sparsemem.h`.
///
/// # Safety
/// Tables are sized and walked by these constants. Those with a default are derived from the others and must be left as
/// they are (but for `ARCH_PFN_OFFSET`); `SubsectionMap` has `SUBSECTIONS_PER_SECTION` bits; `SECTION_SIZE_BITS` is above
/// `SUBSECTION_SHIFT`, which is above `PAGE_SHIFT`, and `MAX_PHYSMEM_BITS` is at most 52.
pub unsafe trait Geometry: Copy + Debug + Default + Send + Sync + 'static {
    /// Name in reports, e.g. `x86-64`.
    const ID: &'static str;
    /// log2 of the page size in bytes.
    const PAGE_SHIFT: u32;
    /// log2 of the section size in bytes.
    const SECTION_SIZE_BITS: u32;
    /// Width of a physical address.
    const MAX_PHYSMEM_BITS: u32;
    /// First pfn of FLATMEM's array.
    const ARCH_PFN_OFFSET: u64 = 0;
    /// log2 of the sub-section size in bytes: 2 MiB on every architecture since v10 of the series, so that a
    /// namespace laid out on one can be mapped on another.
    const SUBSECTION_SHIFT: u32 = 21;

    /// The sub-section map of one section.
    type SubsectionMap: SubsectionMap;

    /// Page size in bytes.
    const PAGE_SIZE: u64 = 1 << Self::PAGE_SHIFT;
    /// From a pfn to its section number.
    const PFN_SECTION_SHIFT: u32 = Self::SECTION_SIZE_BITS - Self::PAGE_SHIFT;
    /// Page frames of a section.
    const PAGES_PER_SECTION: u64 = 1 << Self::PFN_SECTION_SHIFT;
    /// From a pfn to its sub-section, counted from pfn 0.
    const PFN_SUBSECTION_SHIFT: u32 = Self::SUBSECTION_SHIFT - Self::PAGE_SHIFT;
    /// Page frames of a sub-section.
    const PAGES_PER_SUBSECTION: u64 = 1 << Self::PFN_SUBSECTION_SHIFT;
    /// Sub-sections of a section: the bits of the map.
    const SUBSECTIONS_PER_SECTION: u32 = 1 << (Self::SECTION_SIZE_BITS - Self::SUBSECTION_SHIFT);
    /// Sections of the physical address space.
    const NR_MEM_SECTIONS: u64 = 1 << (Self::MAX_PHYSMEM_BITS - Self::SECTION_SIZE_BITS);
    /// Page frames of the physical address space.
    const NR_PFNS: u64 = 1 << (Self::MAX_PHYSMEM_BITS - Self::PAGE_SHIFT);
    /// Bits of a section number, as kept in `page->flags` by classic SPARSEMEM.
    const SECTIONS_WIDTH: u32 = Self::MAX_PHYSMEM_BITS - Self::SECTION_SIZE_BITS;
    /// Section descriptors (16 bytes each) in one root page.
    const SECTIONS_PER_ROOT: u64 = Self::PAGE_SIZE / 16;
    /// Entries of the root table.
    const NR_SECTION_ROOTS: u64 = Self::NR_MEM_SECTIONS.div_ceil(Self::SECTIONS_PER_ROOT);

    /// Section number of a pfn.
    #[inline(always)]
    fn section_nr(pfn: u64) -> u64 {
        pfn >> Self::PFN_SECTION_SHIFT
    }

    /// First pfn of a section.
    #[inline(always)]
    fn section_start(nr: u64) -> u64 {
        nr << Self::PFN_SECTION_SHIFT
    }

    /// Bit of a pfn's sub-section in the map of its section.
    #[inline(always)]
    fn subsection_index(pfn: u64) -> u32 {
        ((pfn & (Self::PAGES_PER_SECTION - 1)) >> Self::PFN_SUBSECTION_SHIFT) as u32
    }
}

/// x86-64 with 4-level page tables: sections of 128 MiB, 64 sub-sections each, 46 bits of physical address.
#[derive(Clone, Copy, Debug, Default)]
pub struct X86_64;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of a section.
unsafe impl Geometry for X86_64 {
    const ID: &'static str = "x86-64";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 46;
    type SubsectionMap = BitWords<1>;
}

/// x86-64 with 5-level page tables: the same sections in 52 bits of physical address. The records of the whole space take
/// 64 TiB of addresses, so a process holds one layout of it at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct X86_64La57;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of a section.
unsafe impl Geometry for X86_64La57 {
    const ID: &'static str = "x86-64-la57";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 52;
    type SubsectionMap = BitWords<1>;
}

/// arm64 with 4 KiB pages, since Linux 5.12: sections of 128 MiB, 48 bits of physical address.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages4K;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of a section.
unsafe impl Geometry for Arm64Pages4K {
    const ID: &'static str = "arm64-4k";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<1>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86_64_numbers_are_those_of_the_kernel() {
        assert_eq!(X86_64::section_nr(0x1c0000), 56);
        assert_eq!(X86_64::subsection_index(0x1c0200), 1);
        assert_eq!(X86_64::subsection_index(0x1c7fff), 63);
        assert_eq!(X86_64::SUBSECTIONS_PER_SECTION, 64);
        assert_eq!(X86_64::NR_MEM_SECTIONS, 524_288);
        assert_eq!(X86_64::NR_SECTION_ROOTS, 2048);
        assert_eq!(X86_64::SECTIONS_WIDTH, 19);
        assert_eq!(X86_64::PAGES_PER_SUBSECTION * 64, 32 << 10);
        assert_eq!(<X86_64 as Geometry>::SubsectionMap::BITS, X86_64::SUBSECTIONS_PER_SECTION);
    }
}
