//! Capacity that a namespace loses, by its offset in a section and by its neighbours.

use super::CapacityPlan;
use crate::pmem::{HOST, KernelRules};
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::region::RegionAlign;
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

/// [`LOSS_SIZES`] in a region with this alignment: each rounded up to a multiple of it.
pub fn loss_sizes(align: RegionAlign) -> [u64; 3] {
    LOSS_SIZES.map(|size| size.next_multiple_of(align.bytes.max(1)))
}

/// The capacity that a namespace loses at one offset in a section, under the rules of several kernels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelLoss {
    /// Offset of its start within its section, in bytes.
    pub offset_bytes: u64,
    /// Size of the namespace in bytes.
    pub size_bytes: u64,
    /// The neighbours that share its sections.
    pub neighbours: NeighbourPlacement,
    /// What it loses, one for each kernel.
    pub losses: Vec<LossOfKernel>,
}

/// The capacity that a namespace loses under the rules of one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LossOfKernel {
    /// Name of the rules, e.g. `6.1` or `merged`.
    pub kernel: String,
    /// Bytes lost; all of them if the namespace is refused.
    pub lost_bytes: u64,
    /// True if the kernel refuses the namespace.
    pub refused: bool,
}

impl LossOfKernel {
    /// What a namespace of `size` bytes loses under these rules.
    pub fn new(plan: &CapacityPlan<'_>, size: u64, rules: KernelRules) -> Self {
        let breakdown = plan.breakdown(size, rules);
        let (lost_bytes, refused) = breakdown.map_or((size, true), |breakdown| (breakdown.lost_bytes(), false));
        Self { kernel: rules.name(), lost_bytes, refused }
    }
}

/// Capacity lost at each of the 64 sub-sections of a section under the rules of each of `kernels`, for
/// each of [`loss_sizes`]: sorted by offset, then by size. Records are on the medium, and data is aligned
/// to 2 MiB.
pub fn kernel_losses(neighbours: NeighbourPlacement, align: RegionAlign, kernels: &[KernelRules]) -> Vec<KernelLoss> {
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
        let plan = CapacityPlan { start, align: sub_section, records: RecordsOn::Medium, around, region: None };
        let losses = kernels.iter().map(|rules| LossOfKernel::new(&plan, size_bytes, *rules)).collect();
        KernelLoss { offset_bytes, size_bytes, neighbours, losses }
    };
    let (offsets, sizes) = ((0..64).map(|nr| nr * sub_section), loss_sizes(align));
    offsets.flat_map(|offset| sizes.map(|size| one(offset, size))).collect()
}

/// Capacity lost at each of the 64 sub-sections of a section before the series and since, for each of
/// [`LOSS_SIZES`]: sorted by offset, then by size. Records are on the medium, and data is aligned to 2 MiB.
pub fn capacity_losses(neighbours: NeighbourPlacement) -> Vec<CapacityLoss> {
    let losses = kernel_losses(neighbours, HOST.page_bytes.into(), &KernelRules::ALL);
    losses.iter().filter_map(CapacityLoss::of_both_sides).collect()
}

impl CapacityLoss {
    /// The losses under the rules [`KernelRules::ALL`]; `None` if they are those of other kernels.
    pub fn of_both_sides(loss: &KernelLoss) -> Option<Self> {
        let [before, merged] = &loss.losses[..] else { return None };
        let names = KernelRules::ALL.map(KernelRules::name);
        (names == [before, merged].map(|one| one.kernel.clone())).then_some(Self {
            offset_bytes: loss.offset_bytes,
            size_bytes: loss.size_bytes,
            neighbours: loss.neighbours,
            before_bytes: before.lost_bytes,
            before_refused: before.refused,
            merged_bytes: merged.lost_bytes,
            merged_refused: merged.refused,
        })
    }
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
    #[test]
    fn every_kernel_has_its_own_loss() {
        let kernels = ["5.2", "6.0", "6.1", "6.1.12"].map(|text| KernelRules::Version(text.parse().unwrap()));
        for loss in kernel_losses(NeighbourPlacement::Both, (16 * MIB).into(), &kernels) {
            let [before, narrow, wide, later] = &loss.losses[..] else { panic!("{loss:?}") };
            assert_eq!([&before.kernel, &wide.kernel, &later.kernel], ["5.2", "6.1", "6.1.12"]);
            assert!(narrow.lost_bytes <= wide.lost_bytes && narrow.lost_bytes <= before.lost_bytes, "{loss:?}");
            assert_eq!((narrow.lost_bytes, narrow.refused), (later.lost_bytes, later.refused));
            // 1 GiB has 16 MiB of records, or 32 MiB.
            if loss.size_bytes == GIB {
                assert_eq!(wide.lost_bytes - narrow.lost_bytes, 16 * MIB);
            }
        }
        let six = RegionAlign::default_for(1 << 40, 6, 4096);
        let losses = kernel_losses(NeighbourPlacement::Front, six, &kernels);
        assert_eq!(loss_sizes(six).map(|size| size / MIB), [96, 1056, 65_568]);
        assert!(losses.iter().all(|loss| loss.size_bytes % six.bytes == 0) && losses.len() == 3 * 64);
    }
}
