//! Page-frame numbers and ranges of them.

use crate::byte_size::ByteSize;
use std::fmt;

/// A page-frame number: a physical address divided by the page size of a
/// [`Geometry`](crate::Geometry).
///
/// Any `u64` may be asked about; a lookup answers "not valid" for numbers that no machine has.
///
/// ```
/// use memmap_layouts::{Geometry, Pfn, X86_64};
///
/// let pfn = Pfn(0x1_4020_0000 >> X86_64::PAGE_SHIFT);
/// assert_eq!(pfn.to_string(), "pfn 0x140200");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Pfn(pub u64);

impl fmt::Display for Pfn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pfn {:#x}", self.0)
    }
}

/// Page frames from `start` (included) to `end` (excluded). `start <= end` always holds.
///
/// ```
/// use memmap_layouts::{Geometry, Pfn, PfnRange, X86_64};
///
/// // 256 MiB from 64 MiB on: the second half of section 0, all of section 1, half of section 2.
/// let range = PfnRange::from_len(0x4000, 0x10000).unwrap();
/// assert!(range.contains(Pfn(0x13fff)) && !range.contains(Pfn(range.end())));
/// let sections: Vec<u64> = range.split_at_multiples(X86_64::PAGES_PER_SECTION).map(PfnRange::nr_pages).collect();
/// assert_eq!(sections, [0x4000, 0x8000, 0x4000]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PfnRange {
    start: u64,
    end: u64,
}

impl PfnRange {
    /// The range `[start, end)`; `None` if `start > end`.
    pub const fn new(start: u64, end: u64) -> Option<Self> {
        if start <= end { Some(Self { start, end }) } else { None }
    }

    /// The range of `nr_pages` frames that begins at `start`; `None` if its end would overflow a
    /// `u64`.
    pub const fn from_len(start: u64, nr_pages: u64) -> Option<Self> {
        match start.checked_add(nr_pages) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// The first pfn of the range; equal to [`end`](Self::end) if it is empty.
    pub const fn start(self) -> u64 {
        self.start
    }

    /// The pfn after the last one of the range.
    pub const fn end(self) -> u64 {
        self.end
    }

    /// Number of page frames in the range.
    pub const fn nr_pages(self) -> u64 {
        self.end - self.start
    }

    /// True if the range has no page frames.
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// True if `pfn` lies in the range.
    pub const fn contains(self, pfn: Pfn) -> bool {
        self.start <= pfn.0 && pfn.0 < self.end
    }

    /// True if the ranges share a page frame.
    pub const fn overlaps(self, other: PfnRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// True if every frame of `other` lies in the range.
    pub const fn contains_range(self, other: PfnRange) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The page frames that are in both ranges; `None` if there are none.
    pub fn intersect(self, other: PfnRange) -> Option<PfnRange> {
        let both = PfnRange { start: self.start.max(other.start), end: self.end.min(other.end) };
        (both.start < both.end).then_some(both)
    }

    /// The range widened to multiples of `granule_pages` (a power of two); saturates at the last
    /// number.
    pub const fn round_out(self, granule_pages: u64) -> PfnRange {
        let mask = granule_pages - 1;
        let end = match self.end.checked_add(mask) {
            Some(end) => end & !mask,
            None => !mask,
        };
        PfnRange { start: self.start & !mask, end }
    }

    /// The range shrunk to multiples of `granule_pages` (a power of two); `None` if nothing is
    /// left.
    pub fn round_in(self, granule_pages: u64) -> Option<PfnRange> {
        let mask = granule_pages - 1;
        let start = self.start.checked_add(mask)? & !mask;
        let end = self.end & !mask;
        (start < end).then_some(PfnRange { start, end })
    }

    /// Splits the range at multiples of `granule_pages` (a power of two); the pieces are in
    /// ascending order.
    pub fn split_at_multiples(self, granule_pages: u64) -> impl DoubleEndedIterator<Item = PfnRange> + Clone {
        let first = self.start / granule_pages;
        let last = if self.is_empty() { first } else { (self.end - 1) / granule_pages + 1 };
        (first..last).map(move |nr| {
            let from = nr * granule_pages;
            PfnRange { start: self.start.max(from), end: self.end.min(from.saturating_add(granule_pages)) }
        })
    }

    /// The range as physical addresses, for messages.
    pub const fn phys(self, page_shift: u32) -> PhysSpan {
        PhysSpan { range: self, page_shift }
    }
}

impl fmt::Display for PfnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pfns {:#x}..{:#x}", self.start, self.end)
    }
}

/// A [`PfnRange`] that prints as physical addresses and a size, e.g. `0x140000000-0x1401fffff (2
/// MiB)`. The end is inclusive.
///
/// ```
/// use memmap_layouts::PfnRange;
///
/// let range = PfnRange::from_len(0x140000, 512).unwrap();
/// assert_eq!(range.phys(12).to_string(), "0x140000000-0x1401fffff (2 MiB)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysSpan {
    /// The page frames.
    pub range: PfnRange,
    /// log2 of the page size in bytes.
    pub page_shift: u32,
}

impl fmt::Display for PhysSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 128 bits: the physical address of a pfn near u64::MAX does not fit into 64.
        let start = u128::from(self.range.start) << self.page_shift;
        let end = u128::from(self.range.end) << self.page_shift;
        let size = u64::try_from(end - start).unwrap_or(u64::MAX);
        if start == end {
            write!(f, "{start:#x} (empty)")
        } else {
            write!(f, "{start:#x}-{:#x} ({})", end - 1, ByteSize(size))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_never_wrap() {
        assert_eq!(PfnRange::new(2, 1), None);
        assert_eq!(PfnRange::from_len(u64::MAX, 2), None);
        let edge = PfnRange::from_len(u64::MAX - 1, 1).unwrap();
        assert_eq!(edge.round_out(512).end(), !511);
        assert_eq!(edge.round_in(512), None);
        assert_eq!(edge.split_at_multiples(512).count(), 1);
    }

    #[test]
    fn pieces_cover_the_range_and_stop_at_multiples() {
        let range = PfnRange::new(700, 2000).unwrap();
        let pieces: Vec<_> = range.split_at_multiples(512).map(|p| (p.start(), p.end())).collect();
        assert_eq!(pieces, [(700, 1024), (1024, 1536), (1536, 2000)]);
        assert_eq!(PfnRange::new(5, 5).unwrap().split_at_multiples(512).count(), 0);
    }

    #[test]
    fn spans_print_like_iomem_with_a_size() {
        let span = PfnRange::from_len(0x140000, 512).unwrap().phys(12);
        assert_eq!(span.to_string(), "0x140000000-0x1401fffff (2 MiB)");
    }
}
