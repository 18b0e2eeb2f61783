//! Where the bytes of a namespace go, before the sub-section series and since.

use clap::ValueEnum;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::division::{Division, DivisionError, Overlap, Surroundings, Terms};
use memmap_layouts::nvdimm::forecast::{ForecastError, MACHINE_SPACE_BYTES, Mapped, forecast};
use memmap_layouts::nvdimm::{Extent, HEAD_BYTES, Host, RecordsOn};
use memmap_layouts::rules::{Before, RuleSet, Rules};
use serde::Serialize;
use thiserror::Error;

/// The machine that is planned for.
pub const HOST: Host = Host::X86_64;

/// A namespace to be divided.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Where it begins in the physical space.
    pub start: u64,
    /// Alignment of its data.
    pub align: u64,
    /// Where its records lie.
    pub records: RecordsOn,
    /// What lies around it.
    pub around: Surroundings<'a>,
}

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Time {
    /// Linux until 5.2.
    Before,
    /// Linux since 5.3, with its fixes.
    Merged,
}

impl Time {
    /// Both, in their order.
    pub const BOTH: [Time; 2] = [Time::Before, Time::Merged];

    /// The rules.
    pub fn rules(self) -> RuleSet {
        match self {
            Time::Before => Before::SET,
            Time::Merged => RuleSet::MERGED,
        }
    }

    /// For programs and the command line.
    pub fn name(self) -> &'static str {
        match self {
            Time::Before => "before",
            Time::Merged => "merged",
        }
    }

    /// For people.
    pub fn heading(self) -> &'static str {
        match self {
            Time::Before => "before (Linux ≤ 5.2)",
            Time::Merged => "merged (Linux ≥ 5.4)",
        }
    }
}

/// Why a namespace cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// It cannot be divided.
    #[error(transparent)]
    Division(#[from] DivisionError),
    /// No machine would map it.
    #[error(transparent)]
    Machine(#[from] ForecastError),
    /// No multiple of the region's alignment.
    #[error("{} ({size} bytes) are no multiple of the region's alignment of {}", Bytes(*size), Bytes(*step))]
    Size {
        /// What was asked for.
        size: u64,
        /// Of the region.
        step: u64,
    },
    /// No alignment of a region.
    #[error("a region cannot be aligned to {}", Bytes(*align))]
    RegionAlign {
        /// What was asked for.
        align: u64,
    },
    /// Off the grid of pages.
    #[error("{start:#x} is {} past a page", Bytes(*off))]
    StartOffPage {
        /// What was asked for.
        start: u64,
        /// How far past.
        off: u64,
    },
    /// No data is wanted.
    #[error("0 B of data need no namespace")]
    NothingWanted,
    /// It leaves the physical space.
    #[error("{} at {start:#x} leave the physical space of 46 bits, or are none", Bytes(*size))]
    BeyondSpace {
        /// Where it begins.
        start: u64,
        /// Its bytes.
        size: u64,
    },
    /// Something else is there.
    #[error("{} at {start:#x} are refused: {:#x}-{:#x} is in the way", Bytes(*size), overlap.other.start, overlap.other.end() - 1)]
    Overlaps {
        /// Where it begins.
        start: u64,
        /// Its bytes.
        size: u64,
        /// RAM or another region.
        overlap: Overlap,
    },
    /// No size has so much data there.
    #[error("no namespace at {start:#x} has {} of data: {} are free there; {} is the most that can be had", Bytes(*wanted), Bytes(*room), Bytes(*most))]
    NoSize {
        /// Where it begins.
        start: u64,
        /// Bytes of data that are wanted.
        wanted: u64,
        /// Bytes up to the next neighbour or the end of the physical space.
        room: u64,
        /// Bytes of data in all of them.
        most: u64,
    },
}

/// From raw bytes to usable ones: the parts add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waterfall {
    /// Of the namespace.
    pub raw_bytes: u64,
    /// Left out at the start, to the end of a section that others share.
    pub start_pad_bytes: u64,
    /// An unused page and the info block.
    pub head_bytes: u64,
    /// Records of the pages of the data.
    pub records_bytes: u64,
    /// Lost to the alignment of the data, and to records of pages that are none: old rules set them aside for whole sections.
    pub alignment_bytes: u64,
    /// Left out at the end.
    pub end_trunc_bytes: u64,
    /// Less than a page.
    pub rest_bytes: u64,
    /// Data.
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

    /// Its lines, from the top.
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

    /// All but the data.
    pub fn lost_bytes(&self) -> u64 {
        self.raw_bytes - self.usable_bytes
    }
}

impl PlanError {
    /// Could no machine hold it, whatever lies around?
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

    /// Where the bytes of a namespace of `size` go.
    ///
    /// # Errors
    /// It leaves the physical space, something is in the way, or it cannot be divided under these rules.
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

    /// Would a machine map what is left of it?
    fn forecast(&self, namespace: &Extent, division: &Division, time: Time) -> Result<(), ForecastError> {
        let Division { start_pad, dataoff, end_trunc, .. } = *division;
        let extent = Extent { start: namespace.start + start_pad, size: namespace.size - start_pad - end_trunc };
        forecast(&Mapped { extent, dataoff, records: self.records }, &self.around, &HOST, &time.rules())
    }

    /// Bytes from the start to the next neighbour, or to the end of the physical space.
    fn room(&self) -> u64 {
        let others = self.around.ram.iter().chain(self.around.regions);
        let ends = others.filter(|other| other.end() > self.start).map(|other| other.start);
        ends.min().unwrap_or(MACHINE_SPACE_BYTES).saturating_sub(self.start)
    }

    /// The least size, a multiple of `step`, with at least `wanted` bytes of data.
    ///
    /// Tries sizes within less than a section and three alignments below the first that is found: at most some 800,000.
    ///
    /// # Errors
    /// There is none; or the cause that no size has any data.
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
        // What is lost at an end jumps, up and down, as the end goes over borders of alignments and sections, and by no more than
        // this. So of two sizes so far apart the larger one has more data.
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
        // Of sizes that hold the data some would not be mapped: before the series, by where they end within a section.
        let is_had = |nr: &u64| enough(nr) && self.waterfall(nr * step, time).is_ok();
        (least..=least.saturating_add(window).min(last)).find(is_had).map(|nr| nr * step).ok_or_else(no_size)
    }

    /// The sizes beside one, multiples of `step`, that can be had since the series: the one below, if any, and the one above.
    pub fn sizes_beside(&self, size: u64, step: u64) -> (Option<u64>, Option<u64>) {
        let is_had = |size: &u64| self.waterfall(*size, Time::Merged).is_ok();
        let below = Some(size - size % step).filter(is_had);
        let above = size.checked_next_multiple_of(step).filter(is_had);
        let least = || self.size_for(1, step, Time::Merged).ok().filter(|least| *least > size);
        (below, above.or_else(least))
    }
}

/// Who lies beside a namespace and shares its sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Neighbours {
    /// RAM that ends where it begins.
    Front,
    /// Another region, which begins where it ends.
    Behind,
    /// Both.
    Both,
}

impl Neighbours {
    /// All, in their order.
    pub const ALL: [Neighbours; 3] = [Neighbours::Front, Neighbours::Behind, Neighbours::Both];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Neighbours::Front => "RAM in front",
            Neighbours::Behind => "a region behind",
            Neighbours::Both => "both",
        }
    }
}

/// What a namespace loses at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Of the start within its section.
    pub offset_bytes: u64,
    /// Of the namespace.
    pub size_bytes: u64,
    /// Who is beside it.
    pub neighbours: Neighbours,
    /// Under the old rules; all of it if it was refused.
    pub before_bytes: u64,
    /// It was refused.
    pub before_refused: bool,
    /// Since.
    pub merged_bytes: u64,
    /// It is refused.
    pub merged_refused: bool,
}

/// Sizes of the table.
pub const LOST_SIZES: [u64; 3] = [16 << 20, 1 << 30, 64 << 30];

/// Capacity lost at each of the 64 sub-sections of a section, for each of [`LOST_SIZES`]; records on the medium, data aligned to 2 MiB.
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

    /// Against every size, one by one.
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
        // The cause is told, not that there is no size.
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
        // Padding in front shrinks as the section ends, that behind grows.
        let of = |neighbours, offset| {
            lost(neighbours).into_iter().find(|one| (one.offset_bytes, one.size_bytes) == (offset, GIB))
        };
        let padded = |neighbours, offset| of(neighbours, offset).unwrap().before_bytes / (2 * MIB) * 2;
        let (front, behind) = (padded(Neighbours::Front, 2 * MIB), padded(Neighbours::Behind, 2 * MIB));
        assert!(front >= 126 + 16 && behind < 32, "{front} {behind}");
        assert!(padded(Neighbours::Front, 126 * MIB) < 32 && padded(Neighbours::Behind, 126 * MIB) >= 126 + 16);
        let lost = lost(Neighbours::Both);
        // 64 MiB into a section, 1 GiB: 64 MiB at each end and records that whole sections need.
        let middle = lost.iter().find(|one| (one.offset_bytes, one.size_bytes) == (64 * MIB, GIB)).unwrap();
        assert_eq!((middle.before_bytes, middle.merged_bytes), (64 * MIB + 64 * MIB + 16 * MIB, 18 * MIB));
        assert!(lost.iter().any(|one| one.before_refused && one.size_bytes == 16 * MIB));
    }
}
