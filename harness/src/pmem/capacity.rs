//! How the bytes of a namespace are used, before the sub-section series and since.

use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::division::{Division, DivisionError, Overlap, Surroundings, Terms};
use memmap_layouts::nvdimm::forecast::{ForecastError, MACHINE_SPACE_BYTES, Mapped, forecast};
use memmap_layouts::nvdimm::{Extent, HEAD_BYTES, Host, RecordsOn};
use memmap_layouts::rules::{Before, RuleSet, Rules};
use serde::Serialize;
use thiserror::Error;

/// The machine for which namespaces are planned.
pub const HOST: Host = Host::X86_64;

/// A namespace to be divided into padding, head, records and data.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Physical address of its first byte.
    pub start: u64,
    /// Alignment of its data in bytes.
    pub align: u64,
    /// Whether its records lie in RAM or on the medium.
    pub records: RecordsOn,
    /// RAM and regions around it.
    pub around: Surroundings<'a>,
}

/// The kernel whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Time {
    /// Linux up to 5.2.
    Before,
    /// Linux since 5.3, with later fixes.
    Merged,
}

impl Time {
    /// Both values, in chronological order.
    pub const BOTH: [Time; 2] = [Time::Before, Time::Merged];

    /// The rules of that kernel.
    pub fn rules(self) -> RuleSet {
        match self {
            Time::Before => Before::SET,
            Time::Merged => RuleSet::MERGED,
        }
    }

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Time::Before => "before",
            Time::Merged => "merged",
        }
    }

    /// The heading in tables.
    pub fn heading(self) -> &'static str {
        match self {
            Time::Before => "before (Linux ≤ 5.2)",
            Time::Merged => "merged (Linux ≥ 5.4)",
        }
    }
}

/// Why a namespace cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The namespace cannot be divided.
    #[error(transparent)]
    Division(#[from] DivisionError),
    /// A machine would not map the namespace.
    #[error(transparent)]
    Machine(#[from] ForecastError),
    /// The size is not a multiple of the region's alignment.
    #[error("{} ({size} bytes) are no multiple of the region's alignment of {}", Bytes(*size), Bytes(*step))]
    Size {
        /// The requested size in bytes.
        size: u64,
        /// The region's alignment in bytes.
        step: u64,
    },
    /// The value is not a valid alignment of a region.
    #[error("a region cannot be aligned to {}", Bytes(*align))]
    RegionAlign {
        /// The requested alignment in bytes.
        align: u64,
    },
    /// The start is not aligned to a page.
    #[error("{start:#x} is {} past a page", Bytes(*off))]
    StartOffPage {
        /// The requested start address.
        start: u64,
        /// Bytes past the last page boundary.
        off: u64,
    },
    /// The requested amount of data is 0.
    #[error("0 B of data need no namespace")]
    NothingWanted,
    /// The namespace exceeds the physical address space.
    #[error("{} at {start:#x} leave the physical space of 46 bits, or are none", Bytes(*size))]
    BeyondSpace {
        /// Physical address of its first byte.
        start: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The namespace overlaps RAM or another region.
    #[error("{} at {start:#x} are refused: {:#x}-{:#x} is in the way", Bytes(*size), overlap.other.start, overlap.other.end() - 1)]
    Overlaps {
        /// Physical address of its first byte.
        start: u64,
        /// Its size in bytes.
        size: u64,
        /// The RAM or region that it overlaps.
        overlap: Overlap,
    },
    /// No size at this start holds the requested data.
    #[error("no namespace at {start:#x} has {} of data: {} are free there; {} is the most that can be had", Bytes(*wanted), Bytes(*room), Bytes(*most))]
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

/// Where the bytes of a namespace go. The other fields add up to `raw_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waterfall {
    /// Size of the namespace in bytes.
    pub raw_bytes: u64,
    /// Padding at the start, up to the end of a section that is shared with others.
    pub start_pad_bytes: u64,
    /// A reserved page and the info block.
    pub head_bytes: u64,
    /// Records of the pages of data, if they lie on the medium.
    pub records_bytes: u64,
    /// Lost to the alignment of the data, and to records of pages that do not exist: the old rules
    /// reserve records for whole sections.
    pub alignment_bytes: u64,
    /// Truncated at the end.
    pub end_trunc_bytes: u64,
    /// The rest at the end, less than a page.
    pub rest_bytes: u64,
    /// Bytes left for data.
    pub usable_bytes: u64,
}

impl Waterfall {
    fn of(size: u64, records: RecordsOn, division: &Division) -> Self {
        let needed = match records {
            RecordsOn::Ram => 0,
            RecordsOn::Medium => division.npfns * u64::from(HOST.record_bytes),
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

    /// Labels and bytes of the table's lines, from top to bottom.
    pub fn lines(&self) -> [(&'static str, u64); 8] {
        [
            ("namespace", self.raw_bytes),
            ("- padding in front (start_pad)", self.start_pad_bytes),
            ("- head with the info block", self.head_bytes),
            ("- records of its pages", self.records_bytes),
            ("- alignment of the data", self.alignment_bytes),
            ("- cut off behind (end_trunc)", self.end_trunc_bytes),
            ("- less than a page", self.rest_bytes),
            ("= usable", self.usable_bytes),
        ]
    }

    /// All bytes that are not usable for data.
    pub fn lost_bytes(&self) -> u64 {
        self.raw_bytes - self.usable_bytes
    }
}

impl PlanError {
    /// True if no machine could hold the namespace, whatever its neighbours.
    pub fn is_beyond_space(&self) -> bool {
        match self {
            Self::BeyondSpace { .. } => true,
            Self::NoSize { start, room, .. } => start + room == MACHINE_SPACE_BYTES,
            _ => false,
        }
    }
}

impl Plan<'_> {
    fn terms<'a>(&'a self, rules: &'a RuleSet) -> Terms<'a> {
        Terms { align: self.align, records: self.records, host: &HOST, around: self.around, rules }
    }

    /// Divides a namespace of `size` bytes.
    ///
    /// # Errors
    /// The namespace exceeds the physical address space, overlaps something, or cannot be divided
    /// under these rules.
    pub fn waterfall(&self, size: u64, time: Time) -> Result<Waterfall, PlanError> {
        let start = self.start;
        let namespace = Extent::new(start, size).filter(|namespace| namespace.end() <= MACHINE_SPACE_BYTES);
        let namespace = namespace.ok_or(PlanError::BeyondSpace { start, size })?;
        if let Some(overlap) = self.around.overlap(&namespace) {
            return Err(PlanError::Overlaps { start, size, overlap });
        }
        let division = self.terms(&time.rules()).divide(namespace)?;
        self.forecast(&namespace, &division, time)?;
        Ok(Waterfall::of(size, self.records, &division))
    }

    /// Checks whether a machine would map the namespace without its padding.
    fn forecast(&self, namespace: &Extent, division: &Division, time: Time) -> Result<(), ForecastError> {
        let Division { start_pad, dataoff, end_trunc, .. } = *division;
        let extent = Extent { start: namespace.start + start_pad, size: namespace.size - start_pad - end_trunc };
        forecast(&Mapped { extent, dataoff, records: self.records }, &self.around, &HOST, &time.rules())
    }

    /// Bytes from the start to the next neighbour, or to the end of the physical address space.
    fn room(&self) -> u64 {
        let others = self.around.ram.iter().chain(self.around.regions);
        let ends = others.filter(|other| other.end() > self.start).map(|other| other.start);
        ends.min().unwrap_or(MACHINE_SPACE_BYTES).saturating_sub(self.start)
    }

    /// The smallest size, a multiple of `step`, with at least `wanted` bytes of data.
    ///
    /// Cost: it tries all sizes from less than a section and three alignments below the first
    /// match; at most about 800,000.
    ///
    /// # Errors
    /// No size is large enough; or the reason why no size holds any data.
    pub fn size_for(&self, wanted: u64, step: u64, time: Time) -> Result<u64, PlanError> {
        let (room, rules) = (self.room(), time.rules());
        let terms = self.terms(&rules);
        let of = |size| terms.usable(Extent { start: self.start, size });
        let enough = |nr: &u64| of(nr * step) >= wanted;
        let last = room / step;
        let no_size = || match self.waterfall((last * step).max(step), time) {
            Ok(all) => PlanError::NoSize { start: self.start, wanted, room, most: all.usable_bytes },
            Err(error) => error,
        };
        let least = wanted.div_ceil(step).max(1);
        if least > last {
            return Err(no_size());
        }
        // As the end crosses boundaries of alignments and sections, the loss at the end jumps up
        // and down, by at most this much. So if two sizes differ by this much, the larger one holds
        // more data.
        let loss = (HOST.section_bytes.max(self.align) + 2 * self.align.max(HOST.compat_bytes)) / 63 * 64;
        let window = loss / step + 1;
        let slack = (wanted / 63).saturating_add(2 * loss) / step + 2;
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
        // Some sizes that hold the data would not be mapped: before the series this depends on
        // where they end within a section.
        let is_had = |nr: &u64| enough(nr) && self.waterfall(nr * step, time).is_ok();
        (least..=least.saturating_add(window).min(last)).find(is_had).map(|nr| nr * step).ok_or_else(no_size)
    }

    /// The nearest valid sizes since the series, in multiples of `step`: the one below, if any, and
    /// the one above.
    pub fn sizes_beside(&self, size: u64, step: u64) -> (Option<u64>, Option<u64>) {
        let is_had = |size: &u64| self.waterfall(*size, Time::Merged).is_ok();
        let below = Some(size - size % step).filter(is_had);
        let above = size.checked_next_multiple_of(step).filter(is_had);
        let least = || self.size_for(1, step, Time::Merged).ok().filter(|least| *least > size);
        (below, above.or_else(least))
    }
}

/// The neighbours of a namespace that share its sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Neighbours {
    /// RAM that ends where the namespace begins.
    Front,
    /// Another region that begins where the namespace ends.
    Behind,
    /// RAM in front and a region behind.
    Both,
}

impl Neighbours {
    /// All values, in the order of the table.
    pub const ALL: [Neighbours; 3] = [Neighbours::Front, Neighbours::Behind, Neighbours::Both];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Neighbours::Front => "RAM in front",
            Neighbours::Behind => "a region behind",
            Neighbours::Both => "both",
        }
    }
}

/// The capacity that a namespace loses at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Offset of its start within its section, in bytes.
    pub offset_bytes: u64,
    /// Size of the namespace in bytes.
    pub size_bytes: u64,
    /// The neighbours that share its sections.
    pub neighbours: Neighbours,
    /// Bytes lost up to Linux 5.2; all of them if the namespace was refused.
    pub before_bytes: u64,
    /// True if Linux up to 5.2 refuses the namespace.
    pub before_refused: bool,
    /// Bytes lost since Linux 5.3; all of them if the namespace is refused.
    pub merged_bytes: u64,
    /// True if Linux since 5.3 refuses the namespace.
    pub merged_refused: bool,
}

/// Sizes of namespaces in the table, in bytes.
pub const LOST_SIZES: [u64; 3] = [16 << 20, 1 << 30, 64 << 30];

/// Capacity lost at each of the 64 sub-sections of a section, for each of [`LOST_SIZES`]. Records
/// lie on the medium, and data is aligned to 2 MiB.
pub fn lost(neighbours: Neighbours) -> Vec<Lost> {
    let (base, sub_section) = (4u64 << 30, 2u64 << 20);
    let one = |offset_bytes: u64, size_bytes: u64| {
        let start = base + offset_bytes;
        let (ram, regions) =
            ([Extent { start: 0, size: start }], [Extent { start: start + size_bytes, size: 1 << 30 }]);
        let around = match neighbours {
            Neighbours::Front => Surroundings { ram: &ram, regions: &[] },
            Neighbours::Behind => Surroundings { ram: &[], regions: &regions },
            Neighbours::Both => Surroundings { ram: &ram, regions: &regions },
        };
        let plan = Plan { start, align: sub_section, records: RecordsOn::Medium, around };
        let of = |time| plan.waterfall(size_bytes, time).map_or((size_bytes, true), |w| (w.lost_bytes(), false));
        let ((before_bytes, before_refused), (merged_bytes, merged_refused)) = (of(Time::Before), of(Time::Merged));
        Lost { offset_bytes, size_bytes, neighbours, before_bytes, before_refused, merged_bytes, merged_refused }
    };
    let offsets = (0..64).map(|nr| nr * sub_section);
    offsets.flat_map(|offset| LOST_SIZES.map(|size| one(offset, size))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn plan(start: u64) -> Plan<'static> {
        Plan { start, align: 2 * MIB, records: RecordsOn::Medium, around: Surroundings::default() }
    }

    #[test]
    fn parts_add_up_whatever_the_size() {
        for start in [4 * GIB, 4 * GIB + 2 * MIB, 4 * GIB + 64 * MIB] {
            for size in [16 * MIB, 126 * MIB, GIB, GIB + 4 * KIB, 1500 * GIB] {
                for time in Time::BOTH {
                    let Ok(waterfall) = plan(start).waterfall(size, time) else { continue };
                    let parts: u64 = waterfall.lines()[1..].iter().map(|(_, bytes)| bytes).sum();
                    assert_eq!(parts, size, "{start:#x} {waterfall:?}");
                    assert_eq!(waterfall.lost_bytes() + waterfall.usable_bytes, size);
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
                            let plan = Plan { start, align, records, around: Surroundings { ram, regions: &[] } };
                            for time in Time::BOTH {
                                let usable =
                                    |nr: u64| plan.waterfall(nr * step, time).map_or(0, |all| all.usable_bytes);
                                let all: Vec<u64> = (1..=most / step).map(usable).collect();
                                for wanted in
                                    [1, MIB, 14 * MIB, 126 * MIB + 1, 250 * MIB, 400 * MIB, GIB, 3 * GIB + 5 * KIB]
                                {
                                    let Some(least) = all.iter().position(|usable| *usable >= wanted) else { continue };
                                    let least = (least as u64 + 1) * step;
                                    assert_eq!(
                                        plan.size_for(wanted, step, time),
                                        Ok(least),
                                        "{plan:?} {time:?} {wanted}"
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
        let end = Plan { start: (1 << 46) - 512 * MIB, ..plan(0) };
        let all = end.waterfall(512 * MIB, Time::Merged).unwrap().usable_bytes;
        assert_eq!(end.size_for(all, 16 * MIB, Time::Merged), Ok(512 * MIB));
        let error = end.size_for(all + 1, 16 * MIB, Time::Merged).unwrap_err();
        assert_eq!(error, PlanError::NoSize { start: end.start, wanted: all + 1, room: 512 * MIB, most: all });
        for wanted in [1 << 56, u64::MAX] {
            assert!(matches!(plan(4 * GIB).size_for(wanted, 16 * MIB, Time::Merged), Err(PlanError::NoSize { .. })));
        }
        for start in [u64::MAX, 1 << 46, 1 << 56, u64::MAX - (2 * MIB - 1)] {
            for time in Time::BOTH {
                let plan = plan(start);
                assert!(matches!(plan.size_for(GIB, 16 * MIB, time), Err(PlanError::BeyondSpace { .. })), "{start:#x}");
                assert!(matches!(plan.waterfall(GIB, time), Err(PlanError::BeyondSpace { .. })));
            }
        }
        let regions = [Extent { start: 4 * GIB + 256 * MIB, size: GIB }];
        let beside = Plan { around: Surroundings { ram: &[], regions: &regions }, ..plan(4 * GIB) };
        let error = beside.waterfall(GIB, Time::Merged).unwrap_err();
        assert!(matches!(error, PlanError::Overlaps { overlap, .. } if overlap.by == 768 * MIB), "{error}");
        assert!(matches!(beside.size_for(GIB, 16 * MIB, Time::Merged), Err(PlanError::NoSize { .. })));
        let within = Plan { start: 5 * GIB, ..beside };
        let error = within.size_for(GIB, 16 * MIB, Time::Merged).unwrap_err();
        assert!(matches!(error, PlanError::Overlaps { start, .. } if start == 5 * GIB), "{error}");
        // The error is the cause, not that no size fits.
        let error = plan(4 * GIB + MIB).size_for(GIB, 16 * MIB, Time::Merged).unwrap_err();
        assert!(matches!(error, PlanError::Division(DivisionError::StartMisaligned { .. })), "{error}");
    }

    #[test]
    fn sizes_that_are_named_can_be_had() {
        for (size, step) in
            [(0, 16 * MIB), (17 * MIB, 16 * MIB), (4097, 4 * KIB), (GIB + 1, 4 * KIB), (3 * MIB, 2 * MIB)]
        {
            let (below, above) = plan(4 * GIB).sizes_beside(size, step);
            assert!(above.is_some_and(|above| above > size), "{size}: {above:?}");
            for named in below.into_iter().chain(above) {
                assert!(named % step == 0 && plan(4 * GIB).waterfall(named, Time::Merged).is_ok(), "{size}: {named}");
            }
        }
    }

    #[test]
    fn the_series_lost_less_at_every_place() {
        for neighbours in Neighbours::ALL {
            let lost = lost(neighbours);
            assert_eq!(lost.len(), 64 * 3);
            for one in &lost {
                assert!(one.merged_bytes <= one.before_bytes && !one.merged_refused, "{one:?}");
            }
        }
        // As the end of the section comes closer, padding in front shrinks and padding behind
        // grows.
        let of = |neighbours, offset| {
            lost(neighbours).into_iter().find(|one| (one.offset_bytes, one.size_bytes) == (offset, GIB))
        };
        let padded = |neighbours, offset| of(neighbours, offset).unwrap().before_bytes / (2 * MIB) * 2;
        let (front, behind) = (padded(Neighbours::Front, 2 * MIB), padded(Neighbours::Behind, 2 * MIB));
        assert!(front >= 126 + 16 && behind < 32, "{front} {behind}");
        assert!(padded(Neighbours::Front, 126 * MIB) < 32 && padded(Neighbours::Behind, 126 * MIB) >= 126 + 16);
        let lost = lost(Neighbours::Both);
        // A namespace of 1 GiB, 64 MiB into a section: it loses 64 MiB at each end, and records for
        // whole sections.
        let middle = lost.iter().find(|one| (one.offset_bytes, one.size_bytes) == (64 * MIB, GIB)).unwrap();
        assert_eq!((middle.before_bytes, middle.merged_bytes), (64 * MIB + 64 * MIB + 16 * MIB, 18 * MIB));
        assert!(lost.iter().any(|one| one.before_refused && one.size_bytes == 16 * MIB));
    }
}
