//! Section and sub-section constants of the architectures.

use crate::subsection_map::{BitWords, SubsectionMap};
use std::fmt::Debug;

/// How an architecture divides its physical address space into sections. Implementations are
/// zero-sized types, so that lookups use compile-time constants.
///
/// Source: `include/linux/mmzone.h` and each architecture's `sparsemem.h`.
///
/// # Safety
/// Tables are sized and walked by these constants. Constants with a default are derived from the
/// others and must be left as they are, except `ARCH_PFN_OFFSET` and `VMEMMAP_BITS`.
/// `SubsectionMap` must have `SUBSECTIONS_PER_SECTION` bits or more. `SECTION_SIZE_BITS` must be
/// above `SUBSECTION_SHIFT`, which must be above `PAGE_SHIFT`. `VMEMMAP_BITS` must be at most 52
/// and at most `MAX_PHYSMEM_BITS`, which must be at most 56.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{BitWords, BootMap, Config, Geometry, Memmap, RecordStore};
///
/// /// 4 KiB pages, sections of 64 MiB with 32 sub-sections each, 40 bits of physical address.
/// #[derive(Clone, Copy, Debug, Default)]
/// struct Small;
///
/// // SAFETY: the derived constants keep their defaults, and the map has 64 bits for 32 sub-sections.
/// unsafe impl Geometry for Small {
///     const ID: &'static str = "small";
///     const PAGE_SHIFT: u32 = 12;
///     const SECTION_SIZE_BITS: u32 = 26;
///     const MAX_PHYSMEM_BITS: u32 = 40;
///     type SubsectionMap = BitWords<1>;
/// }
///
/// assert_eq!((Small::SUBSECTIONS_PER_SECTION, Small::section_nr(0x4000)), (32, 1));
/// let layout = Subsection::<Small>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // 64 bytes for each of the 2^28 page frames.
/// assert_eq!(layout.footprint().reserved_bytes, 16 << 30);
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
pub unsafe trait Geometry: Copy + Debug + Default + Send + Sync + 'static {
    /// Name in reports, e.g. `x86-64`.
    const ID: &'static str;
    /// log2 of the page size in bytes.
    const PAGE_SHIFT: u32;
    /// log2 of the section size in bytes.
    const SECTION_SIZE_BITS: u32;
    /// Width of a physical address in bits.
    const MAX_PHYSMEM_BITS: u32;
    /// Width in bits of the physical addresses that have a record in the virtual array. It is less
    /// than `MAX_PHYSMEM_BITS` where the kernel's virtual address range for the array is smaller
    /// than the physical address space. Memory beyond it cannot be mapped.
    const VMEMMAP_BITS: u32 = Self::MAX_PHYSMEM_BITS;
    /// First pfn that FLATMEM's array has a record for.
    const ARCH_PFN_OFFSET: u64 = 0;
    /// log2 of the sub-section size in bytes: 2 MiB on every architecture since v10 of the series,
    /// so that a namespace laid out on one can be mapped on another.
    const SUBSECTION_SHIFT: u32 = 21;

    /// The sub-section map of one section: a bit per sub-section.
    type SubsectionMap: SubsectionMap;

    /// Page size in bytes.
    const PAGE_SIZE: u64 = 1 << Self::PAGE_SHIFT;
    /// Right shift from a pfn to its section number.
    const PFN_SECTION_SHIFT: u32 = Self::SECTION_SIZE_BITS - Self::PAGE_SHIFT;
    /// Page frames per section.
    const PAGES_PER_SECTION: u64 = 1 << Self::PFN_SECTION_SHIFT;
    /// Right shift from a pfn to its sub-section number, counted from pfn 0.
    const PFN_SUBSECTION_SHIFT: u32 = Self::SUBSECTION_SHIFT - Self::PAGE_SHIFT;
    /// Page frames per sub-section.
    const PAGES_PER_SUBSECTION: u64 = 1 << Self::PFN_SUBSECTION_SHIFT;
    /// Sub-sections per section: the number of bits used in the map.
    const SUBSECTIONS_PER_SECTION: u32 = 1 << (Self::SECTION_SIZE_BITS - Self::SUBSECTION_SHIFT);
    /// Number of sections in the physical address space. The root table covers all of them.
    const NR_MEM_SECTIONS: u64 = 1 << (Self::MAX_PHYSMEM_BITS - Self::SECTION_SIZE_BITS);
    /// Number of page frames that can have a record. A pfn at or above it is never valid.
    const NR_PFNS: u64 = 1 << (Self::VMEMMAP_BITS - Self::PAGE_SHIFT);
    /// Width in bits of a section number, which classic SPARSEMEM stores in `page->flags`.
    const SECTIONS_WIDTH: u32 = Self::MAX_PHYSMEM_BITS - Self::SECTION_SIZE_BITS;
    /// Section descriptors, 16 bytes each, in one root page.
    const SECTIONS_PER_ROOT: u64 = Self::PAGE_SIZE / 16;
    /// Number of entries in the root table.
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

    /// Index of a pfn's sub-section within its section: the bit in the map.
    #[inline(always)]
    fn subsection_index(pfn: u64) -> u32 {
        ((pfn & (Self::PAGES_PER_SECTION - 1)) >> Self::PFN_SUBSECTION_SHIFT) as u32
    }
}

/// x86-64 with 4-level page tables: sections of 128 MiB, 64 sub-sections each, 46 bits of physical
/// address.
#[derive(Clone, Copy, Debug, Default)]
pub struct X86_64;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of
// a section.
unsafe impl Geometry for X86_64 {
    const ID: &'static str = "x86-64";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 46;
    type SubsectionMap = BitWords<1>;
}

/// x86-64 with 5-level page tables: the same sections in 52 bits of physical address. The records
/// of that space take 64 TiB of virtual addresses, so a process can hold only one such layout at a
/// time.
#[derive(Clone, Copy, Debug, Default)]
pub struct X86_64La57;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of
// a section.
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

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of
// a section.
unsafe impl Geometry for Arm64Pages4K {
    const ID: &'static str = "arm64-4k";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<1>;
}

/// arm64 with 16 KiB pages: the records of a sub-section take 8 KiB, half a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages16K;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of
// a section.
unsafe impl Geometry for Arm64Pages16K {
    const ID: &'static str = "arm64-16k";
    const PAGE_SHIFT: u32 = 14;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<1>;
}

/// arm64 with 64 KiB pages: sections of 512 MiB with 256 sub-sections. The records of 32
/// sub-sections share a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages64K;

// SAFETY: the derived constants are left alone, and the map has 256 bits for the 256 sub-sections
// of a section.
unsafe impl Geometry for Arm64Pages64K {
    const ID: &'static str = "arm64-64k";
    const PAGE_SHIFT: u32 = 16;
    const SECTION_SIZE_BITS: u32 = 29;
    const MAX_PHYSMEM_BITS: u32 = 48;
    type SubsectionMap = BitWords<4>;
}

/// arm64 with 4 KiB pages until Linux 5.12, hence also when the series was posted in 2019: sections
/// of 1 GiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arm64Pages4KOf2019;

// SAFETY: the derived constants are left alone, and the map has 512 bits for the 512 sub-sections
// of a section.
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

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 8 sub-sections of a
// section.
unsafe impl Geometry for Ppc64Pages4K {
    const ID: &'static str = "ppc64-4k";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 24;
    const MAX_PHYSMEM_BITS: u32 = 46;
    type SubsectionMap = BitWords<1>;
}

/// ppc64 with 64 KiB pages: the records of a section take 16 KiB, a quarter of a page.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ppc64Pages64K;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 8 sub-sections of a
// section.
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

// SAFETY: the derived constants are left alone, and the map has 128 bits for the 128 sub-sections
// of a section.
unsafe impl Geometry for S390 {
    const ID: &'static str = "s390";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 28;
    const MAX_PHYSMEM_BITS: u32 = 46;
    type SubsectionMap = BitWords<2>;
}

/// riscv64 with 4-level page tables (Sv48): 56 bits of physical address. The virtual address range
/// for records covers 47 of them.
///
/// Source: `VMEMMAP_SIZE` of `arch/riscv/include/asm/pgtable.h`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RiscV64;

// SAFETY: the derived constants are left alone, and the map has 64 bits for the 64 sub-sections of
// a section.
unsafe impl Geometry for RiscV64 {
    const ID: &'static str = "riscv64-sv48";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 56;
    const VMEMMAP_BITS: u32 = 47;
    type SubsectionMap = BitWords<1>;
}

/// A generic operation that is run for every architecture; see [`for_each_geometry`].
///
/// ```
/// use memmap_layouts::{ByteSize, Geometry, GeometryVisitor, for_each_geometry};
///
/// struct Sections(Vec<String>);
/// impl GeometryVisitor for Sections {
///     fn visit<G: Geometry>(&mut self) {
///         self.0.push(format!("{}: {}", G::ID, ByteSize(1 << G::SECTION_SIZE_BITS)));
///     }
/// }
///
/// let mut sections = Sections(Vec::new());
/// for_each_geometry(&mut sections);
/// assert_eq!(sections.0[0], "x86-64: 128 MiB");
/// assert!(sections.0.contains(&"arm64-64k: 512 MiB".to_owned()));
/// ```
pub trait GeometryVisitor {
    /// Called once per architecture.
    fn visit<G: Geometry>(&mut self);
}

/// Calls `visitor` for each architecture of this module.
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

    /// Per architecture: page frames per section and per sub-section, sub-sections per section, and
    /// bytes of records per sub-section, as in the kernel.
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
