//! Section and sub-section constants of an architecture.

use crate::subsection_map::{BitWords, SubsectionMap};
use std::fmt::Debug;

/// How an architecture divides its physical address space. A zero-sized type, so that no lookup pays for the choice.
///
/// Source: `include/linux/mmzone.h` and each architecture's `sparsemem.h`.
///
/// # Safety
/// Tables are sized and walked by these constants. Those with a default are derived from the others and must be left as
/// they are (but for `ARCH_PFN_OFFSET` and `VMEMMAP_BITS`); `SubsectionMap` has `SUBSECTIONS_PER_SECTION` bits or more;
/// `SECTION_SIZE_BITS` is above `SUBSECTION_SHIFT`, which is above `PAGE_SHIFT`; `VMEMMAP_BITS` is at most 52 and not above
/// `MAX_PHYSMEM_BITS`, which is at most 56.
pub unsafe trait Geometry: Copy + Debug + Default + Send + Sync + 'static {
    /// Name in reports, e.g. `x86-64`.
    const ID: &'static str;
    /// log2 of the page size in bytes.
    const PAGE_SHIFT: u32;
    /// log2 of the section size in bytes.
    const SECTION_SIZE_BITS: u32;
    /// Width of a physical address.
    const MAX_PHYSMEM_BITS: u32;
    /// Width of the physical addresses whose records have a place in the virtual array. Less than `MAX_PHYSMEM_BITS` where
    /// the kernel's window for the array is smaller than the physical space: memory beyond it cannot be mapped.
    const VMEMMAP_BITS: u32 = Self::MAX_PHYSMEM_BITS;
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
    /// Sections of the physical address space, which the root table spans.
    const NR_MEM_SECTIONS: u64 = 1 << (Self::MAX_PHYSMEM_BITS - Self::SECTION_SIZE_BITS);
    /// Page frames that can have a record: a pfn from here on is beyond the space.
    const NR_PFNS: u64 = 1 << (Self::VMEMMAP_BITS - Self::PAGE_SHIFT);
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

/// arm64 with 16 KiB pages: the records of a sub-section (8 KiB) are half a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages16K;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of a section.
unsafe impl Geometry for Arm64Pages16K {
    const ID: &'static str = "arm64-16k";
    const PAGE_SHIFT: u32 = 14;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<1>;
}

/// arm64 with 64 KiB pages: sections of 512 MiB with 256 sub-sections, 32 of which share a page of records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages64K;

// SAFETY: the derived constants are left alone, and the map has 256 bits for the 256 sub-sections of a section.
unsafe impl Geometry for Arm64Pages64K {
    const ID: &'static str = "arm64-64k";
    const PAGE_SHIFT: u32 = 16;
    const SECTION_SIZE_BITS: u32 = 29;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<4>;
}

/// arm64 with 4 KiB pages as it was when the series was posted (until Linux 5.12): sections of 1 GiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages4KOf2019;

// SAFETY: the derived constants are left alone, and the map has 512 bits for the 512 sub-sections of a section.
unsafe impl Geometry for Arm64Pages4KOf2019 {
    const ID: &'static str = "arm64-4k-2019";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 30;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<8>;
}

/// ppc64 with 4 KiB pages: sections of 16 MiB, 8 sub-sections each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ppc64Pages4K;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 8 sub-sections of a section.
unsafe impl Geometry for Ppc64Pages4K {
    const ID: &'static str = "ppc64-4k";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 24;
    const MAX_PHYSMEM_BITS: u32 = 46;
    type SubsectionMap = BitWords<1>;
}

/// ppc64 with 64 KiB pages: the records of a section (16 KiB) are a quarter of a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ppc64Pages64K;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 8 sub-sections of a section.
unsafe impl Geometry for Ppc64Pages64K {
    const ID: &'static str = "ppc64-64k";
    const PAGE_SHIFT: u32 = 16;
    const SECTION_SIZE_BITS: u32 = 24;
    const MAX_PHYSMEM_BITS: u32 = 51;
    type SubsectionMap = BitWords<1>;
}

/// s390: sections of 256 MiB, 128 sub-sections each.
#[derive(Clone, Copy, Debug, Default)]
pub struct S390;

// SAFETY: the derived constants are left alone, and the map has 128 bits for the 128 sub-sections of a section.
unsafe impl Geometry for S390 {
    const ID: &'static str = "s390";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 28;
    const MAX_PHYSMEM_BITS: u32 = 46;
    type SubsectionMap = BitWords<2>;
}

/// riscv64 with 4-level page tables (Sv48): 56 bits of physical address, of which the window for records spans 47.
///
/// Source: `VMEMMAP_SIZE` of `arch/riscv/include/asm/pgtable.h`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RiscV64;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of a section.
unsafe impl Geometry for RiscV64 {
    const ID: &'static str = "riscv64-sv48";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 56;
    const VMEMMAP_BITS: u32 = 47;
    type SubsectionMap = BitWords<1>;
}

/// Work to be done for every architecture.
pub trait GeometryVisitor {
    /// One architecture.
    fn visit<G: Geometry>(&mut self);
}

/// Shows a visitor every architecture.
pub fn for_each_geometry(visitor: &mut impl GeometryVisitor) {
    visitor.visit::<X86_64>();
    visitor.visit::<X86_64La57>();
    visitor.visit::<Arm64Pages4K>();
    visitor.visit::<Arm64Pages16K>();
    visitor.visit::<Arm64Pages64K>();
    visitor.visit::<Arm64Pages4KOf2019>();
    visitor.visit::<Ppc64Pages4K>();
    visitor.visit::<Ppc64Pages64K>();
    visitor.visit::<S390>();
    visitor.visit::<RiscV64>();
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
    }

    /// What the table of the kernel's constants says, by architecture: pages of a section and a sub-section, sub-sections of a
    /// section, bytes of records of a sub-section.
    #[test]
    fn every_architecture_has_the_kernels_numbers() {
        struct Table(Vec<(&'static str, [u64; 4])>);
        impl GeometryVisitor for Table {
            fn visit<G: Geometry>(&mut self) {
                assert!(G::SubsectionMap::BITS >= G::SUBSECTIONS_PER_SECTION, "{}", G::ID);
                assert!(G::SUBSECTION_SHIFT < G::SECTION_SIZE_BITS && G::VMEMMAP_BITS <= G::MAX_PHYSMEM_BITS);
                let (sub, subs) = (G::PAGES_PER_SUBSECTION, u64::from(G::SUBSECTIONS_PER_SECTION));
                self.0.push((G::ID, [G::PAGES_PER_SECTION, sub, subs, sub * 64]));
            }
        }
        let mut table = Table(Vec::new());
        for_each_geometry(&mut table);
        let expected = [
            ("x86-64", [32768, 512, 64, 32 << 10]),
            ("x86-64-la57", [32768, 512, 64, 32 << 10]),
            ("arm64-4k", [32768, 512, 64, 32 << 10]),
            ("arm64-16k", [8192, 128, 64, 8 << 10]),
            ("arm64-64k", [8192, 32, 256, 2 << 10]),
            ("arm64-4k-2019", [262_144, 512, 512, 32 << 10]),
            ("ppc64-4k", [4096, 512, 8, 32 << 10]),
            ("ppc64-64k", [256, 32, 8, 2 << 10]),
            ("s390", [65536, 512, 128, 32 << 10]),
            ("riscv64-sv48", [32768, 512, 64, 32 << 10]),
        ];
        assert_eq!(table.0, expected);
    }
}
