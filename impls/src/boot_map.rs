//! The boot memory of a machine.

use crate::error::BootError;
use crate::geometry::Geometry;
use crate::pfn::{Pfn, PfnRange};

/// A range of boot memory on one NUMA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootRange {
    /// The page frames of the range.
    pub range: PfnRange,
    /// NUMA node number.
    pub node: u8,
}

/// The boot memory of a machine: page-aligned ranges, sorted, without overlap.
///
/// ```
/// use memmap_layouts::{BootError, BootMap, BootRange, Pfn, PfnRange, X86_64};
///
/// let range = |start, end, node| BootRange { range: PfnRange::new(start, end).unwrap(), node };
/// // 2 GiB on node 0, a hole below 4 GiB, 1 GiB on node 1.
/// let map = BootMap::new([range(0x100000, 0x140000, 1), range(0, 0x80000, 0)])?;
/// assert_eq!((map.nr_pages(), map.nr_sections::<X86_64>()), (0xc0000, 24));
/// assert_eq!((map.node_of(Pfn(0x100000)), map.node_of(Pfn(0x80000))), (Some(1), None));
/// // Ranges must not overlap.
/// assert!(matches!(BootMap::new([range(0, 9, 0), range(8, 12, 0)]), Err(BootError::Overlap { .. })));
/// # Ok::<(), BootError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootMap {
    ranges: Vec<BootRange>,
}

impl BootMap {
    /// Sorts the ranges and drops empty ones.
    ///
    /// # Errors
    /// [`BootError::Overlap`] if two ranges share a page.
    pub fn new(ranges: impl IntoIterator<Item = BootRange>) -> Result<Self, BootError> {
        let mut ranges: Vec<_> = ranges.into_iter().filter(|r| !r.range.is_empty()).collect();
        ranges.sort_by_key(|r| r.range.start());
        match ranges.windows(2).find(|pair| pair[0].range.overlaps(pair[1].range)) {
            Some(pair) => Err(BootError::Overlap { first: pair[0].range, second: pair[1].range }),
            None => Ok(Self { ranges }),
        }
    }

    /// The ranges, by ascending address.
    pub fn ranges(&self) -> &[BootRange] {
        &self.ranges
    }

    /// One past the highest pfn of boot memory; 0 for a machine without memory.
    pub fn end_pfn(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.range.end())
    }

    /// The NUMA node of a pfn; `None` if it is not boot memory.
    pub fn node_of(&self, pfn: Pfn) -> Option<u8> {
        let at = self.ranges.partition_point(|boot| boot.range.end() <= pfn.0);
        self.ranges.get(at).filter(|boot| boot.range.contains(pfn)).map(|boot| boot.node)
    }

    /// Page frames of boot memory, holes excluded.
    pub fn nr_pages(&self) -> u64 {
        self.ranges.iter().map(|r| r.range.nr_pages()).sum()
    }

    /// Number of sections that hold memory. Lists none of them, so it is cheap for a map of any
    /// size.
    pub fn nr_sections<G: Geometry>(&self) -> u64 {
        let (mut count, mut next) = (0, 0);
        for boot in &self.ranges {
            let first = G::section_nr(boot.range.start()).max(next);
            let end = G::section_nr(boot.range.end() - 1) + 1;
            count += end.saturating_sub(first);
            next = next.max(end);
        }
        count
    }

    /// The sections that hold memory, in ascending order, each with the node of its first page. The
    /// length is bounded by the amount of memory, not by the physical address space.
    pub fn sections<G: Geometry>(&self) -> Vec<(u64, u8)> {
        let mut sections: Vec<(u64, u8)> = Vec::new();
        for boot in &self.ranges {
            let first = G::section_nr(boot.range.start());
            let last = G::section_nr(boot.range.end() - 1);
            let from = first.max(sections.last().map_or(0, |&(nr, _)| nr + 1));
            sections.extend((from..=last).map(|nr| (nr, boot.node)));
        }
        sections
    }

    /// Checks that all memory lies within the physical address space of an architecture.
    ///
    /// # Errors
    /// [`BootError::BeyondPhysicalSpace`] names the first range that does not.
    pub fn check<G: Geometry>(&self) -> Result<(), BootError> {
        match self.ranges.iter().find(|r| r.range.end() > G::NR_PFNS) {
            Some(r) => Err(BootError::BeyondPhysicalSpace {
                span: r.range.phys(G::PAGE_SHIFT),
                bits: G::VMEMMAP_BITS,
                geometry: G::ID,
            }),
            None => Ok(()),
        }
    }
}
