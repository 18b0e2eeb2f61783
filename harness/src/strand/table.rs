//! Ranges by block sizes.

use super::candidates::{Candidate, Candidates};
use super::loss::{Loss, loss};
use super::{BLOCK_SIZES, LARGEST_BLOCK};
use crate::map::PhysicalMap;
use serde::Serialize;

/// What one range loses with each block size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RangeLosses {
    /// The range.
    #[serde(flatten)]
    pub range: Candidate,
    /// Losses in the order of [`Stranding::block_sizes`].
    pub losses: Vec<Loss>,
}

/// What the ranges of a machine lose with each block size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stranding {
    /// Block sizes in bytes, in ascending order.
    pub block_sizes: Vec<u64>,
    /// Losses of each range.
    pub ranges: Vec<RangeLosses>,
    /// Total length of the ranges in bytes.
    pub total_bytes: u64,
    /// Bytes that all ranges lose together, by block size.
    pub lost_bytes: Vec<u64>,
    /// Number of memory blocks of the whole machine, by block size: those with boot RAM and the whole ones of
    /// the ranges.
    pub blocks: Vec<u64>,
    /// The largest power of two that loses nothing, in bytes, at most 2 GiB; `None` if even pages do, or if
    /// there are no ranges.
    pub lossless_bytes: Option<u64>,
}

impl Stranding {
    /// Computes the losses of ranges with [`BLOCK_SIZES`] and with `more`, block sizes that are powers of two of
    /// at least a page. `map` has the boot RAM of the machine. The cost is proportional to the number of ranges.
    pub fn new(candidates: &Candidates, map: &PhysicalMap, more: &[u64]) -> Self {
        let mut block_sizes: Vec<u64> = BLOCK_SIZES.iter().chain(more).copied().collect();
        block_sizes.sort_unstable();
        block_sizes.dedup();
        let ranges: Vec<RangeLosses> = candidates
            .ranges
            .iter()
            .map(|range| RangeLosses {
                range: range.clone(),
                losses: block_sizes.iter().map(|&block| loss(range.span, block)).collect(),
            })
            .collect();
        let total = |size: usize, of: fn(Loss) -> u64| ranges.iter().map(|range| of(range.losses[size])).sum::<u64>();
        let lost_bytes = (0..block_sizes.len()).map(|size| total(size, Loss::bytes)).collect();
        // With `include ram`, boot RAM is among the ranges; its blocks are counted once.
        let added = |size: usize| {
            let is_added = |range: &&RangeLosses| range.range.kind != super::CandidateKind::Ram;
            ranges.iter().filter(is_added).map(|range| range.losses[size].blocks).sum::<u64>()
        };
        let blocks =
            block_sizes.iter().enumerate().map(|(size, &block)| map.nr_sections(block) + added(size)).collect();
        let ends = ranges.iter().fold(0, |ends, range| ends | range.range.span.start | range.range.span.end);
        let lossless = (!ranges.is_empty()).then(|| (ends | LARGEST_BLOCK).trailing_zeros());
        Self {
            total_bytes: candidates.bytes(),
            lost_bytes,
            blocks,
            lossless_bytes: lossless.filter(|&order| order >= 12).map(|order| 1 << order),
            ranges,
            block_sizes,
        }
    }

    /// Bytes lost and number of memory blocks of the machine with a block size; `None` if it is not in
    /// [`block_sizes`](Self::block_sizes).
    pub fn at(&self, block_bytes: u64) -> Option<(u64, u64)> {
        let size = self.block_sizes.iter().position(|&block| block == block_bytes)?;
        Some((self.lost_bytes[size], self.blocks[size]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::tests::{map, span};
    use super::*;
    use crate::map::Kind;
    use crate::map::inventory::Inventory;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn stranding(ranges: &[(u64, u64, Kind)], more: &[u64]) -> Stranding {
        let map = map(ranges);
        Stranding::new(&Candidates::new(&map, &Inventory::default(), false), &map, more)
    }

    #[test]
    fn the_largest_size_without_loss_is_the_common_alignment_of_all_ends() {
        let lossless = |ranges: &[(u64, u64, Kind)]| stranding(ranges, &[]).lossless_bytes;
        assert_eq!(lossless(&[(0xc0_5000_0000, 0xfc_f000_0000, Kind::Window)]), Some(256 << 20));
        let hole = [(4 * GIB, 7 * GIB, Kind::SoftReserved), (8 * GIB, 9 * GIB, Kind::SoftReserved)];
        assert_eq!(lossless(&hole), Some(GIB));
        assert_eq!(lossless(&[(64 * GIB, 128 * GIB, Kind::Persistent)]), Some(2 * GIB), "at most 2 GiB");
        assert_eq!(lossless(&[(0x1000, 0x3000, Kind::Persistent)]), Some(4096));
        assert_eq!(lossless(&[(0x1800, 0x3000, Kind::Persistent)]), None);
        assert_eq!(lossless(&[(0, GIB, Kind::Ram)]), None, "nothing can strand");
    }

    #[test]
    fn the_number_of_blocks_is_that_of_the_machine() {
        let ranges = [(0, 3 * GIB, Kind::Ram), (4 * GIB, 7 * GIB, Kind::SoftReserved)];
        let stranding = stranding(&ranges, &[4 * GIB]);
        assert_eq!(stranding.at(128 << 20), Some((0, 24 + 24)));
        assert_eq!(stranding.at(2 * GIB), Some((GIB, 2 + 1)));
        assert_eq!(stranding.at(4 * GIB), Some((3 * GIB, 1)), "a size of one's own");
        assert_eq!(stranding.at(3), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_up_to_the_size_without_loss(
            parts in prop::collection::vec((1u64..1 << 12, 1u64..1 << 12), 1..6), shift in 20u32..31,
        ) {
            let mut at = 0;
            let mut ranges = Vec::new();
            for (gap, len) in parts {
                ranges.push(((at + gap) << shift, (at + gap + len) << shift, Kind::Persistent));
                at += gap + len;
            }
            let told = stranding(&ranges, &[]);
            let best = told.lossless_bytes.unwrap();
            for (size, &block) in told.block_sizes.iter().enumerate() {
                prop_assert_eq!(told.lost_bytes[size] == 0, block <= best, "{} {}", block, best);
                let whole = told.ranges.iter().map(|range| range.losses[size].blocks * block).sum::<u64>();
                prop_assert_eq!(told.lost_bytes[size] + whole, told.total_bytes);
            }
            prop_assert!(told.lost_bytes.is_sorted() && told.blocks.is_sorted_by(|a, b| a >= b));
        }
    }

    #[test]
    fn ranges_near_the_end_of_the_address_space_do_not_overflow() {
        let at = Candidates {
            ranges: vec![Candidate::given(span(u64::MAX - (1 << 30), u64::MAX))],
            ..Candidates::default()
        };
        let told = Stranding::new(&at, &map(&[]), &[1 << 36]);
        assert_eq!(told.lost_bytes.last(), Some(&(1 << 30)));
    }
}
