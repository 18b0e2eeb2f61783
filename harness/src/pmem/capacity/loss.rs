//! Capacity that a namespace loses, by its offset in a section and by its neighbours.

use super::CapacityPlan;
use crate::pmem::KernelRules;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::{Extent, RecordsOn};
use serde::Serialize;

/// Where the neighbours of a namespace are that share its sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighbourPlacement {
    /// RAM ends where the namespace starts.
    Front,
    /// Another region starts where the namespace ends.
    Behind,
    /// RAM in front and another region behind.
    Both,
}

impl NeighbourPlacement {
    /// All values, in the order of the table.
    pub const ALL: [NeighbourPlacement; 3] =
        [NeighbourPlacement::Front, NeighbourPlacement::Behind, NeighbourPlacement::Both];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            NeighbourPlacement::Front => "RAM in front",
            NeighbourPlacement::Behind => "a region behind",
            NeighbourPlacement::Both => "both",
        }
    }
}

/// The capacity that a namespace loses at one offset in a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CapacityLoss {
    /// Offset of its start within its section, in bytes.
    pub offset_bytes: u64,
    /// Size of the namespace in bytes.
    pub size_bytes: u64,
    /// The neighbours that share its sections.
    pub neighbours: NeighbourPlacement,
    /// Bytes lost up to Linux 5.2; all of them if the namespace was refused.
    pub before_bytes: u64,
    /// True if Linux up to 5.2 refuses the namespace.
    pub before_refused: bool,
    /// Bytes lost since Linux 5.3; all of them if the namespace is refused.
    pub merged_bytes: u64,
    /// True if Linux since 5.3 refuses the namespace.
    pub merged_refused: bool,
}

/// Sizes in bytes of the namespaces in [`capacity_losses`].
pub const LOSS_SIZES: [u64; 3] = [16 << 20, 1 << 30, 64 << 30];

/// Capacity lost at each of the 64 sub-sections of a section, for each of [`LOSS_SIZES`]: sorted by
/// offset, then by size. Records are on the medium, and data is aligned to 2 MiB.
pub fn capacity_losses(neighbours: NeighbourPlacement) -> Vec<CapacityLoss> {
    let (base, sub_section) = (4u64 << 30, 2u64 << 20);
    let one = |offset_bytes: u64, size_bytes: u64| {
        let start = base + offset_bytes;
        let (ram, regions) =
            ([Extent { start: 0, size: start }], [Extent { start: start + size_bytes, size: 1 << 30 }]);
        let around = match neighbours {
            NeighbourPlacement::Front => Surroundings { ram: &ram, regions: &[] },
            NeighbourPlacement::Behind => Surroundings { ram: &[], regions: &regions },
            NeighbourPlacement::Both => Surroundings { ram: &ram, regions: &regions },
        };
        let plan = CapacityPlan { start, align: sub_section, records: RecordsOn::Medium, around };
        let loss = |rules| {
            plan.breakdown(size_bytes, rules).map_or((size_bytes, true), |breakdown| (breakdown.lost_bytes(), false))
        };
        let ((before_bytes, before_refused), (merged_bytes, merged_refused)) =
            (loss(KernelRules::Before), loss(KernelRules::Merged));
        CapacityLoss {
            offset_bytes,
            size_bytes,
            neighbours,
            before_bytes,
            before_refused,
            merged_bytes,
            merged_refused,
        }
    };
    let offsets = (0..64).map(|nr| nr * sub_section);
    offsets.flat_map(|offset| LOSS_SIZES.map(|size| one(offset, size))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn the_series_reduced_the_loss_at_every_offset() {
        for neighbours in NeighbourPlacement::ALL {
            let lost = capacity_losses(neighbours);
            assert_eq!(lost.len(), 64 * 3);
            for one in &lost {
                assert!(one.merged_bytes <= one.before_bytes && !one.merged_refused, "{one:?}");
            }
        }
        // The closer the start is to the end of the section, the less padding is at the start, and
        // the more at the end.
        let padded = |neighbours, offset| {
            let losses = capacity_losses(neighbours);
            let loss = losses.iter().find(|one| (one.offset_bytes, one.size_bytes) == (offset, GIB)).unwrap();
            loss.before_bytes / (2 * MIB) * 2
        };
        let (front, behind) = (padded(NeighbourPlacement::Front, 2 * MIB), padded(NeighbourPlacement::Behind, 2 * MIB));
        assert!(front >= 126 + 16 && behind < 32, "{front} {behind}");
        assert!(
            padded(NeighbourPlacement::Front, 126 * MIB) < 32
                && padded(NeighbourPlacement::Behind, 126 * MIB) >= 126 + 16
        );
        let lost = capacity_losses(NeighbourPlacement::Both);
        // A namespace of 1 GiB, 64 MiB into a section: it loses 64 MiB at each end, and records for
        // whole sections.
        let middle = lost.iter().find(|one| (one.offset_bytes, one.size_bytes) == (64 * MIB, GIB)).unwrap();
        assert_eq!((middle.before_bytes, middle.merged_bytes), (64 * MIB + 64 * MIB + 16 * MIB, 18 * MIB));
        assert!(lost.iter().any(|one| one.before_refused && one.size_bytes == 16 * MIB));
    }
}
