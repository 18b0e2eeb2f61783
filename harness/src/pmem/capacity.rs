//! Where the bytes of a namespace go, under the rules before the sub-section series and since.

mod creators;
mod loss;
mod request;

pub use creators::{CREATORS, Creator, StatedCapacity};
pub use loss::{
    CapacityLoss, KernelLoss, LOSS_SIZES, LossOfKernel, NeighbourPlacement, capacity_losses, kernel_losses, loss_sizes,
};
pub use request::{CapacityRequest, CapacityResult, CapacityTarget};

use super::{HOST, KernelRules};
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::division::{Division, DivisionError, Overlap, Surroundings, Terms};
use memmap_layouts::nvdimm::forecast::{ForecastError, Mapped, forecast};
use memmap_layouts::nvdimm::region::RegionAlign;
use memmap_layouts::nvdimm::{Extent, HEAD_BYTES, Host, MACHINE_SPACE_BYTES, RecordsOn};
use memmap_layouts::rules::RuleSet;
use serde::Serialize;
use thiserror::Error;

/// A namespace whose size is still open: its start, and what decides how it is divided into padding,
/// header, records and data.
#[derive(Clone, Copy, Debug)]
pub struct CapacityPlan<'a> {
    /// Physical address of its first byte.
    pub start: u64,
    /// Alignment of its data in bytes.
    pub align: u64,
    /// Where its records are stored: in RAM or on the medium.
    pub records: RecordsOn,
    /// RAM and other regions around it.
    pub around: Surroundings<'a>,
    /// Its region; `None` if the region has no known end.
    pub region: Option<Extent>,
}

/// Why a namespace has no capacity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CapacityError {
    /// The namespace cannot be divided.
    #[error(transparent)]
    Division(#[from] DivisionError),
    /// A machine would not map the namespace after it is divided.
    #[error(transparent)]
    Machine(#[from] ForecastError),
    /// The size is not a multiple of the region's alignment.
    #[error(
        "size {} ({size} bytes) is not a positive multiple of the region's alignment of {}; try --size {}",
        ByteSize(*size), ByteSize(*step), argument(next_multiple(*size, *step))
    )]
    Size {
        /// The requested size in bytes.
        size: u64,
        /// The region's alignment in bytes.
        step: u64,
    },
    /// The value is not a valid alignment of a region.
    #[error(
        "region alignment {} is not a power of two of at least 4 KiB for each of {} DIMMs; try --region-align {}",
        ByteSize(align.bytes), align.mappings,
        argument(RegionAlign::default_for(u64::MAX, align.mappings, HOST.page_bytes).bytes)
    )]
    RegionAlign {
        /// The requested alignment.
        align: RegionAlign,
    },
    /// The namespace is not within its region.
    #[error(
        "{} at {start:#x} are not within the region {:#x}-{:#x}",
        ByteSize(*size), region.start, region.end() - 1
    )]
    OutsideRegion {
        /// Physical address of its first byte.
        start: u64,
        /// Its size in bytes.
        size: u64,
        /// The region.
        region: Extent,
    },
    /// The start is not aligned to a page.
    #[error("start {start:#x} is {} past a page boundary; try --start {:#x}", ByteSize(*off), start - off)]
    StartOffPage {
        /// The requested start address.
        start: u64,
        /// Bytes past the last page boundary.
        off: u64,
    },
    /// The requested amount of data is 0.
    #[error("0 bytes of data are requested, and a namespace holds at least 1; try --usable 1G")]
    NothingWanted,
    /// The namespace exceeds the physical address space.
    #[error(
        "{} at {start:#x} exceed the physical address space of 46 bits, or are empty; choose a range below {:#x}",
        ByteSize(*size), MACHINE_SPACE_BYTES
    )]
    BeyondSpace {
        /// Physical address of its first byte.
        start: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The namespace overlaps RAM or another region.
    #[error(
        "{} at {start:#x} overlap {:#x}-{:#x}; choose a free range",
        ByteSize(*size), overlap.other.start, overlap.other.end() - 1
    )]
    Overlaps {
        /// Physical address of its first byte.
        start: u64,
        /// Its size in bytes.
        size: u64,
        /// The RAM or region that it overlaps.
        overlap: Overlap,
    },
    /// No size at this start holds the requested data.
    #[error(
        "not enough space for {} of data at {start:#x}: {} are free, for at most {} of data; try --usable {}",
        ByteSize(*wanted), ByteSize(*room), ByteSize(*most), argument(*most)
    )]
    NoSize {
        /// Physical address of the first byte.
        start: u64,
        /// Bytes of data that were requested.
        wanted: u64,
        /// Bytes up to the next neighbour or the end of the physical address space.
        room: u64,
        /// Bytes of data in a namespace that uses all of the room.
        most: u64,
    },
}

/// The smallest positive multiple of `step` that is at least `size`.
fn next_multiple(size: u64, step: u64) -> u64 {
    size.max(1).checked_next_multiple_of(step).unwrap_or(step)
}

/// Where the bytes of a namespace go, in bytes. The other fields add up to `raw_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Breakdown {
    /// Size of the namespace in bytes.
    pub raw_bytes: u64,
    /// Padding at the start (`start_pad`), up to the end of a section that is shared with RAM or
    /// another region.
    pub start_pad_bytes: u64,
    /// The header: a reserved page and the info block.
    pub head_bytes: u64,
    /// Records of the data pages, if they are on the medium.
    pub records_bytes: u64,
    /// Lost to the alignment of the data, and to records of pages that do not exist: the rules
    /// before the series reserve records for whole sections.
    pub alignment_bytes: u64,
    /// Padding at the end (`end_trunc`).
    pub end_trunc_bytes: u64,
    /// Remainder at the end, less than a page.
    pub rest_bytes: u64,
    /// Bytes left for data.
    pub usable_bytes: u64,
}

impl Breakdown {
    fn from_division(size: u64, records: RecordsOn, division: &Division, host: &Host) -> Self {
        let needed = match records {
            RecordsOn::Ram => 0,
            RecordsOn::Medium => division.npfns * u64::from(host.record_bytes),
        };
        let behind_head = division.dataoff - HEAD_BYTES;
        let records_bytes = needed.min(behind_head);
        Self {
            raw_bytes: size,
            start_pad_bytes: division.start_pad,
            head_bytes: HEAD_BYTES,
            records_bytes,
            alignment_bytes: behind_head - records_bytes,
            end_trunc_bytes: division.end_trunc,
            rest_bytes: size - division.start_pad - division.dataoff - division.end_trunc - division.usable(),
            usable_bytes: division.usable(),
        }
    }

    /// Labels of the table's lines and their bytes, from top to bottom.
    pub fn lines(&self) -> [(&'static str, u64); 8] {
        [
            ("namespace", self.raw_bytes),
            ("- padding at start (start_pad)", self.start_pad_bytes),
            ("- header with info block", self.head_bytes),
            ("- records of data pages", self.records_bytes),
            ("- data alignment", self.alignment_bytes),
            ("- padding at end (end_trunc)", self.end_trunc_bytes),
            ("- remainder below one page", self.rest_bytes),
            ("= usable", self.usable_bytes),
        ]
    }

    /// Bytes from the start of the namespace to its data.
    pub fn data_offset(&self) -> u64 {
        self.start_pad_bytes + self.head_bytes + self.records_bytes + self.alignment_bytes
    }

    /// All bytes that are not usable for data.
    pub fn lost_bytes(&self) -> u64 {
        self.raw_bytes - self.usable_bytes
    }
}

impl CapacityError {
    /// True if no machine could hold the namespace, whatever its neighbours.
    pub fn is_beyond_space(&self) -> bool {
        match self {
            Self::BeyondSpace { .. } => true,
            Self::NoSize { start, room, .. } => start + room == MACHINE_SPACE_BYTES,
            _ => false,
        }
    }
}

impl CapacityPlan<'_> {
    fn terms<'a>(&'a self, rules: &'a RuleSet, host: &'a Host) -> Terms<'a> {
        Terms { align: self.align, records: self.records, host, around: self.around, rules }
    }

    /// Divides a namespace of `size` bytes.
    ///
    /// # Errors
    /// The namespace exceeds the physical address space, overlaps something, or cannot be divided
    /// under these rules.
    pub fn breakdown(&self, size: u64, rules: KernelRules) -> Result<Breakdown, CapacityError> {
        let start = self.start;
        let namespace = Extent::new(start, size).filter(|namespace| namespace.end() <= MACHINE_SPACE_BYTES);
        let namespace = namespace.ok_or(CapacityError::BeyondSpace { start, size })?;
        if let Some(overlap) = self.around.overlap(&namespace) {
            return Err(CapacityError::Overlaps { start, size, overlap });
        }
        if let Some(region) = self.region.filter(|region| start < region.start || region.end() < namespace.end()) {
            return Err(CapacityError::OutsideRegion { start, size, region });
        }
        let host = rules.host();
        let division = self.terms(&rules.rule_set(), &host).divide(namespace)?;
        self.forecast(&namespace, &division, rules)?;
        Ok(Breakdown::from_division(size, self.records, &division, &host))
    }

    /// Checks that a machine would map the namespace without its padding.
    fn forecast(&self, namespace: &Extent, division: &Division, rules: KernelRules) -> Result<(), ForecastError> {
        let Division { start_pad, dataoff, end_trunc, .. } = *division;
        let extent = Extent { start: namespace.start + start_pad, size: namespace.size - start_pad - end_trunc };
        forecast(&Mapped { extent, dataoff, records: self.records }, &self.around, &HOST, &rules.rule_set())
    }

    /// Bytes from the start to the next neighbour, to the end of the region, or to the end of the physical
    /// address space.
    fn room(&self) -> u64 {
        let others = self.around.ram.iter().chain(self.around.regions);
        let ends = others.filter(|other| other.end() > self.start).map(|other| other.start);
        ends.chain(self.region.map(|region| region.end()))
            .min()
            .unwrap_or(MACHINE_SPACE_BYTES)
            .saturating_sub(self.start)
    }

    /// The smallest size, a multiple of `step`, with at least `wanted` bytes of data.
    ///
    /// Cost: tries at most about 800,000 sizes, those within a section and three alignments below
    /// the first match.
    ///
    /// # Errors
    /// [`CapacityError::NoSize`] if no size is large enough; another error if no size holds data.
    pub fn size_for(&self, wanted: u64, step: u64, rules: KernelRules) -> Result<u64, CapacityError> {
        let (room, rule_set, host) = (self.room(), rules.rule_set(), rules.host());
        let terms = self.terms(&rule_set, &host);
        let enough = |nr: &u64| terms.usable(Extent { start: self.start, size: nr * step }) >= wanted;
        let last = room / step;
        let no_size = || match self.breakdown((last * step).max(step), rules) {
            Ok(all) => CapacityError::NoSize { start: self.start, wanted, room, most: all.usable_bytes },
            Err(error) => error,
        };
        let least = wanted.div_ceil(step).max(1);
        if least > last {
            return Err(no_size());
        }
        // As the end crosses boundaries of alignments and sections, the loss at the end jumps up
        // and down by at most this much. If two sizes differ by that much, the larger one holds more
        // data. One page of records describes this many pages: 64, or 32 where records have 128 bytes.
        let described = host.page_bytes / u64::from(host.record_bytes);
        let ends = HOST.section_bytes.max(self.align) + 2 * self.align.max(HOST.compat_bytes);
        let loss = ends / (described - 1) * described;
        let window = loss / step + 1;
        let slack = (wanted / (described - 1)).saturating_add(2 * loss) / step + 2;
        let most = least.saturating_add(slack).min(last);
        let below = |from: u64| from.saturating_sub(window).max(least);
        let mut high = (below(most)..=most).rev().find(enough).ok_or_else(no_size)?;
        let mut low = least;
        while low < high {
            let middle = low + (high - low) / 2;
            match enough(&middle) {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        let least = (below(low)..=low).find(enough).ok_or_else(no_size)?;
        // Some sizes that hold the data would not be mapped: before the series, this depends on
        // where they end within a section.
        let is_mapped = |nr: &u64| enough(nr) && self.breakdown(nr * step, rules).is_ok();
        (least..=least.saturating_add(window).min(last)).find(is_mapped).map(|nr| nr * step).ok_or_else(no_size)
    }

    /// The nearest valid sizes under some rules, in bytes and multiples of `step`: the one below and the
    /// one above, if any.
    pub fn sizes_beside(&self, size: u64, step: u64, rules: KernelRules) -> (Option<u64>, Option<u64>) {
        let is_mapped = |size: &u64| self.breakdown(*size, rules).is_ok();
        let below = Some(size - size % step).filter(is_mapped);
        let above = size.checked_next_multiple_of(step).filter(is_mapped);
        let least = || self.size_for(1, step, rules).ok().filter(|least| *least > size);
        (below, above.or_else(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_version::KernelVersion;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn plan(start: u64) -> CapacityPlan<'static> {
        let around = Surroundings::default();
        CapacityPlan { start, align: 2 * MIB, records: RecordsOn::Medium, around, region: None }
    }

    /// Kernels that reserve 128 bytes a page on the medium.
    const WIDE: KernelRules = KernelRules::Version(KernelVersion::new(6, 1));

    #[test]
    fn parts_add_up_whatever_the_size() {
        for start in [4 * GIB, 4 * GIB + 2 * MIB, 4 * GIB + 64 * MIB] {
            for size in [16 * MIB, 126 * MIB, GIB, GIB + 4 * KIB, 1500 * GIB] {
                for rules in KernelRules::ALL.into_iter().chain([WIDE]) {
                    let Ok(breakdown) = plan(start).breakdown(size, rules) else { continue };
                    let parts: u64 = breakdown.lines()[1..].iter().map(|(_, bytes)| bytes).sum();
                    assert_eq!(parts, size, "{start:#x} {breakdown:?}");
                    assert_eq!(breakdown.lost_bytes() + breakdown.usable_bytes, size);
                }
            }
        }
    }

    /// Compares the result with a search over every size.
    #[test]
    fn the_inverse_is_the_least_size() {
        let mut asked = 0;
        for (step, most) in [(16 * MIB, 5 * GIB), (2 * MIB, 5 * GIB), (4 * KIB, 450 * MIB)] {
            for align in HOST.aligns.iter().copied() {
                for start in [0, 2 * MIB, 64 * MIB, 126 * MIB].map(|offset| 4 * GIB + offset) {
                    for records in [RecordsOn::Ram, RecordsOn::Medium] {
                        let ram = [Extent { start: 0, size: start }];
                        for ram in [&ram[..], &[]] {
                            let around = Surroundings { ram, regions: &[] };
                            let plan = CapacityPlan { start, align, records, around, region: None };
                            for rules in KernelRules::ALL.into_iter().chain([WIDE]) {
                                let usable =
                                    |nr: u64| plan.breakdown(nr * step, rules).map_or(0, |all| all.usable_bytes);
                                let all: Vec<u64> = (1..=most / step).map(usable).collect();
                                for wanted in
                                    [1, MIB, 14 * MIB, 126 * MIB + 1, 250 * MIB, 400 * MIB, GIB, 3 * GIB + 5 * KIB]
                                {
                                    let Some(least) = all.iter().position(|usable| *usable >= wanted) else { continue };
                                    let least = (least as u64 + 1) * step;
                                    assert_eq!(
                                        plan.size_for(wanted, step, rules),
                                        Ok(least),
                                        "{plan:?} {rules:?} {wanted}"
                                    );
                                    asked += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(asked > 1500, "{asked}");
    }

    #[test]
    fn where_the_space_or_a_neighbour_ends_so_do_the_sizes() {
        let end = CapacityPlan { start: (1 << 46) - 512 * MIB, ..plan(0) };
        let all = end.breakdown(512 * MIB, KernelRules::Merged).unwrap().usable_bytes;
        assert_eq!(end.size_for(all, 16 * MIB, KernelRules::Merged), Ok(512 * MIB));
        let error = end.size_for(all + 1, 16 * MIB, KernelRules::Merged).unwrap_err();
        assert_eq!(error, CapacityError::NoSize { start: end.start, wanted: all + 1, room: 512 * MIB, most: all });
        for wanted in [1 << 56, u64::MAX] {
            assert!(matches!(
                plan(4 * GIB).size_for(wanted, 16 * MIB, KernelRules::Merged),
                Err(CapacityError::NoSize { .. })
            ));
        }
        for start in [u64::MAX, 1 << 46, 1 << 56, u64::MAX - (2 * MIB - 1)] {
            for rules in KernelRules::ALL {
                let plan = plan(start);
                assert!(
                    matches!(plan.size_for(GIB, 16 * MIB, rules), Err(CapacityError::BeyondSpace { .. })),
                    "{start:#x}"
                );
                assert!(matches!(plan.breakdown(GIB, rules), Err(CapacityError::BeyondSpace { .. })));
            }
        }
        let regions = [Extent { start: 4 * GIB + 256 * MIB, size: GIB }];
        let beside = CapacityPlan { around: Surroundings { ram: &[], regions: &regions }, ..plan(4 * GIB) };
        let error = beside.breakdown(GIB, KernelRules::Merged).unwrap_err();
        assert!(matches!(error, CapacityError::Overlaps { overlap, .. } if overlap.by == 768 * MIB), "{error}");
        assert!(matches!(beside.size_for(GIB, 16 * MIB, KernelRules::Merged), Err(CapacityError::NoSize { .. })));
        let within = CapacityPlan { start: 5 * GIB, ..beside };
        let error = within.size_for(GIB, 16 * MIB, KernelRules::Merged).unwrap_err();
        assert!(matches!(error, CapacityError::Overlaps { start, .. } if start == 5 * GIB), "{error}");
        // The error is the cause, not that no size fits.
        let error = plan(4 * GIB + MIB).size_for(GIB, 16 * MIB, KernelRules::Merged).unwrap_err();
        assert!(matches!(error, CapacityError::Division(DivisionError::StartMisaligned { .. })), "{error}");
    }

    #[test]
    fn linux_6_1_reserves_twice_the_space_for_records() {
        let plan = plan(0xa_9000_0000);
        let usable = |text: &str| {
            let rules = KernelRules::Version(text.parse().unwrap());
            plan.breakdown(256 * MIB, rules).unwrap().usable_bytes
        };
        for version in ["5.3", "5.10", "6.0", "6.1.12", "6.1.0-57-cloud-amd64", "6.2", "6.6", "6.12", "7.2"] {
            assert_eq!(usable(version), 262_144_000, "{version}");
        }
        for version in ["6.1", "6.1.11"] {
            assert_eq!(usable(version), 257_949_696, "{version}");
        }
        let breakdown = plan.breakdown(256 * MIB, WIDE).unwrap();
        assert_eq!(breakdown.data_offset(), 10 * MIB);
        // 246 MiB of data have 62,976 pages with 128 bytes each.
        assert_eq!(breakdown.records_bytes, 62_976 * 128);
        let in_ram = CapacityPlan { records: RecordsOn::Ram, ..plan };
        assert_eq!(in_ram.breakdown(256 * MIB, WIDE), in_ram.breakdown(256 * MIB, KernelRules::Merged));
    }

    #[test]
    fn a_namespace_ends_within_its_region() {
        let region = Extent { start: 4 * GIB, size: GIB };
        let within = CapacityPlan { region: Some(region), ..plan(4 * GIB + 512 * MIB) };
        assert!(within.breakdown(512 * MIB, KernelRules::Merged).is_ok());
        for (start, size) in [(within.start, 528 * MIB), (2 * GIB, GIB), (8 * GIB, GIB)] {
            let error = CapacityPlan { start, ..within }.breakdown(size, KernelRules::Merged).unwrap_err();
            assert_eq!(error, CapacityError::OutsideRegion { start, size, region });
        }
        let error = within.size_for(512 * MIB, 16 * MIB, KernelRules::Merged).unwrap_err();
        assert!(matches!(error, CapacityError::NoSize { room, .. } if room == 512 * MIB), "{error}");
    }

    #[test]
    fn sizes_that_are_named_can_be_had() {
        for (size, step) in
            [(0, 16 * MIB), (17 * MIB, 16 * MIB), (4097, 4 * KIB), (GIB + 1, 4 * KIB), (3 * MIB, 2 * MIB)]
        {
            let (below, above) = plan(4 * GIB).sizes_beside(size, step, KernelRules::Merged);
            assert!(above.is_some_and(|above| above > size), "{size}: {above:?}");
            for named in below.into_iter().chain(above) {
                assert!(
                    named % step == 0 && plan(4 * GIB).breakdown(named, KernelRules::Merged).is_ok(),
                    "{size}: {named}"
                );
            }
        }
    }
}
