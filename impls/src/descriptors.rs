//! How section descriptors lie in a root page: their size, and how many of them.
//!
//! Linux fills a root page with 16-byte descriptors (32 bytes with `CONFIG_PAGE_EXTENSION`), so the
//! number of descriptors is a power of two and the index of a section is a mask. A change that is
//! queued drops that requirement: with descriptors of 24 bytes, 170 fill a page, and the root and the
//! index are a multiplication by the reciprocal and a second multiplication.
//!
//! Source: `include/linux/mmzone.h`; "mm/sparse: drop power-of-2 size requirement for struct
//! mem_section", patch 21 of 49 of a series posted on 2026-04-05.

use crate::geometry::Geometry;

/// The form of a root page.
///
/// ```
/// use memmap_layouts::{Descriptors, X86_64};
///
/// assert_eq!(Descriptors::TODAY.per_root::<X86_64>(), 256);
/// assert_eq!(Descriptors::new(24, true).per_root::<X86_64>(), 170);
/// assert_eq!(Descriptors::new(24, false).per_root::<X86_64>(), 128);
/// assert_eq!(Descriptors::new(32, true).per_root::<X86_64>(), 128);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Size of a descriptor in bytes: 16 for the word and the usage pointer, and other fields.
    bytes: u64,
    /// As many descriptors as fit, even if that is no power of two.
    fills_page: bool,
}

impl Descriptors {
    /// Linux without `CONFIG_PAGE_EXTENSION`: 16 bytes.
    pub const TODAY: Self = Self::new(16, true);

    /// Descriptors of `bytes`, a multiple of 8 from 16 to 256. If `fills_page`, as many as fit a
    /// page, otherwise the greatest power of two of them.
    pub const fn new(bytes: u64, fills_page: bool) -> Self {
        assert!(bytes >= 16 && bytes <= 256 && bytes.is_multiple_of(8));
        Self { bytes, fills_page }
    }

    /// Size of a descriptor in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// Descriptors in a root page.
    pub const fn per_root<G: Geometry>(self) -> u64 {
        let most = G::PAGE_SIZE / self.bytes;
        if self.fills_page { most } else { 1 << most.ilog2() }
    }

    /// Root pages of the physical address space: the entries of the root table.
    pub const fn nr_roots<G: Geometry>(self) -> u64 {
        G::NR_MEM_SECTIONS.div_ceil(self.per_root::<G>())
    }

    /// The descriptor with an index in a root page, which has a descriptor's first fields as `T`.
    ///
    /// # Safety
    /// The root page has a descriptor with this index.
    #[inline(always)]
    pub(crate) unsafe fn descriptor<T>(self, root: *mut T, index: u64) -> *mut T {
        // The same address; of the first form compilers know that it is aligned.
        match size_of::<T>() as u64 == self.bytes {
            // SAFETY: the caller's promise.
            true => unsafe { root.add(index as usize) },
            // SAFETY: the caller's promise.
            false => unsafe { root.byte_add((index * self.bytes) as usize) },
        }
    }

    /// [`descriptor`](Self::descriptor) as an address that a compiler takes for null or not.
    #[inline(always)]
    pub(crate) fn descriptor_or_null<T>(self, root: *mut T, index: u64) -> *mut T {
        match size_of::<T>() as u64 == self.bytes {
            true => root.wrapping_add(index as usize),
            false => root.wrapping_byte_add((index * self.bytes) as usize),
        }
    }

    /// The root of a section, and its index there.
    #[inline(always)]
    pub const fn place<G: Geometry>(self, nr: u64) -> (u64, u64) {
        (nr / self.per_root::<G>(), nr % self.per_root::<G>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::X86_64;

    #[test]
    fn every_section_has_a_place_of_its_own() {
        for form in [Descriptors::TODAY, Descriptors::new(24, true), Descriptors::new(24, false)] {
            let places = |nr| form.place::<X86_64>(nr);
            let all: std::collections::BTreeSet<_> = (0..1000).map(places).collect();
            assert_eq!(all.len(), 1000);
            let (root, index) = places(X86_64::NR_MEM_SECTIONS - 1);
            assert!(root == form.nr_roots::<X86_64>() - 1 && index < form.per_root::<X86_64>());
            assert!(form.per_root::<X86_64>() * form.bytes() <= X86_64::PAGE_SIZE);
        }
    }
}
