//! The alignment of the namespaces of a region that one or several DIMMs back together.
//!
//! Interleaved DIMMs take turns, so a namespace that is aligned on each of them is aligned to a
//! multiple of their number: with six DIMMs to 6 × 16 MiB = 96 MiB by default.
//!
//! Source: `align_store` and `default_align` in `drivers/nvdimm/region_devs.c`; Linux since 5.7.

use crate::byte_size::ByteSize;
use std::fmt;

/// Default alignment in bytes of the starts and sizes of namespaces on each DIMM of a region. Source:
/// `default_align`.
pub const DEFAULT_ALIGN: u64 = 16 << 20;

/// The alignment of the starts and sizes of a region's namespaces.
///
/// ```
/// use memmap_layouts::nvdimm::region::RegionAlign;
///
/// let (size, page) = (1536 << 30, 4096);
/// let six = RegionAlign::default_for(size, 6, page);
/// assert_eq!((six.bytes, six.per_mapping()), (96 << 20, Some(16 << 20)));
/// assert!(six.is_valid(size, page));
/// // 16 MiB is not a multiple of six.
/// assert!(!RegionAlign::new(16 << 20, 6).is_valid(size, page));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionAlign {
    /// The alignment in bytes.
    pub bytes: u64,
    /// Number of DIMMs that back the region, at least 1. The kernel calls them mappings.
    pub mappings: u16,
}

impl From<u64> for RegionAlign {
    /// The alignment in bytes of a region on one DIMM.
    fn from(bytes: u64) -> Self {
        Self::new(bytes, 1)
    }
}

impl RegionAlign {
    /// An alignment, valid or not. As in the kernel, 0 mappings count as 1.
    pub fn new(bytes: u64, mappings: u16) -> Self {
        Self { bytes, mappings: mappings.max(1) }
    }

    /// The alignment that the kernel gives to a new region of `size` bytes, with pages of `page` bytes.
    /// It may exceed the size: no namespace fits then. With many DIMMs, the share of each may be below a
    /// page.
    pub fn default_for(size: u64, mappings: u16, page: u64) -> Self {
        let bytes = if size < DEFAULT_ALIGN { page } else { DEFAULT_ALIGN };
        let ways = u64::from(mappings.max(1));
        Self::new(if bytes.is_multiple_of(ways) { bytes } else { bytes * ways }, mappings)
    }

    /// The alignment that is `bytes` on each DIMM.
    pub fn from_per_mapping(bytes: u64, mappings: u16) -> Self {
        Self::new(bytes.saturating_mul(u64::from(mappings.max(1))), mappings)
    }

    /// The alignment in bytes on each DIMM; `None` if it cannot be divided by their number.
    pub fn per_mapping(self) -> Option<u64> {
        let ways = u64::from(self.mappings.max(1));
        self.bytes.is_multiple_of(ways).then(|| self.bytes / ways)
    }

    /// Whether a region of `size` bytes can be given it: on each DIMM, it is a power of two of at least
    /// `page` bytes.
    pub fn is_valid(self, size: u64, page: u64) -> bool {
        let per_mapping = self.per_mapping().unwrap_or(0);
        per_mapping.is_power_of_two() && per_mapping >= page && self.bytes <= size
    }

    /// Whether a region of `size` bytes can have it: it is valid, or the default.
    pub fn is_possible(self, size: u64, page: u64) -> bool {
        self.is_valid(size, page) || self == Self::default_for(size, self.mappings, page) && self.bytes <= size
    }

    /// An alignment that a region of `size` bytes can have instead: the default, or one page on each
    /// DIMM; `None` if the region is smaller than that.
    pub fn works(self, size: u64, page: u64) -> Option<Self> {
        let candidates = [Self::default_for(size, self.mappings, page), Self::from_per_mapping(page, self.mappings)];
        candidates.into_iter().find(|align| align.is_possible(size, page))
    }

    /// The condition that a valid alignment satisfies, as the end of a sentence.
    pub(super) fn condition(self) -> impl fmt::Display {
        Condition(self.mappings)
    }
}

impl fmt::Display for RegionAlign {
    /// The size, and how it is composed if there are several DIMMs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mappings, self.per_mapping()) {
            (2.., Some(each)) => write!(f, "{} ({} × {})", ByteSize(self.bytes), self.mappings, ByteSize(each)),
            _ => write!(f, "{}", ByteSize(self.bytes)),
        }
    }
}

struct Condition(u16);

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            2.. => write!(f, "{} times a power of two", self.0),
            _ => f.write_str("a power of two"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn the_default_depends_on_the_number_of_dimms() {
        let default = |size, mappings| RegionAlign::default_for(size, mappings, 4096).bytes;
        let found = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16].map(|mappings| default(1536 * GIB, mappings) / MIB);
        assert_eq!(found, [16, 16, 16, 48, 16, 80, 96, 16, 192, 16]);
        // A region below 16 MiB is aligned to pages.
        assert_eq!([1, 2, 6].map(|mappings| default(16 * MIB - 4096, mappings)), [4 * KIB, 4 * KIB, 24 * KIB]);
        assert_eq!(default(16 * MIB, 6), 96 * MIB);
    }

    #[test]
    fn the_share_of_a_dimm_is_a_power_of_two_of_at_least_a_page() {
        let is_valid = |bytes, mappings| RegionAlign::new(bytes, mappings).is_valid(GIB, 4096);
        for mappings in 1..=24 {
            for power in 0..64 {
                let each = 1u64 << power;
                let Some(bytes) = each.checked_mul(u64::from(mappings)) else { continue };
                assert_eq!(is_valid(bytes, mappings), each >= 4096 && bytes <= GIB, "{bytes} {mappings}");
            }
        }
        // Six DIMMs: neither a power of two, nor a share that is none.
        for bytes in [0, 16 * MIB, 12 * KIB, 18 * MIB, 96 * MIB + 1, u64::MAX] {
            assert!(!is_valid(bytes, 6), "{bytes}");
        }
        assert!(is_valid(24 * KIB, 6) && is_valid(12 * MIB, 6) && is_valid(96 * MIB, 6));
        // The default is possible wherever it fits, even where it could not be stored.
        for size in [MIB, 1 << 45] {
            for mappings in 1..=64 {
                let default = RegionAlign::default_for(size, mappings, 4096);
                assert!(default.is_possible(size, 4096) == (default.bytes <= size), "{mappings}");
            }
        }
        let two = RegionAlign::default_for(MIB, 2, 4096);
        assert!(two.is_possible(MIB, 4096) && !two.is_valid(MIB, 4096) && !two.is_possible(GIB, 4096));
    }
}
