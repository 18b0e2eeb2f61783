//! Where the bytes of a namespace go, before the sub-section series and since.

use memmap_layouts::nvdimm::division::{Division, DivisionError, Surroundings, divide};
use memmap_layouts::nvdimm::{Extent, HEAD_BYTES, Host, RecordsOn};
use memmap_layouts::rules::{Before, RuleSet, Rules};
use serde::Serialize;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Time {
    /// Linux until 5.2.
    Before,
    /// Linux since 5.3, with its fixes.
    Merged,
}

impl Time {
    /// Both, in their order.
    pub const BOTH: [Time; 2] = [Time::Before, Time::Merged];

    fn rules(self) -> RuleSet {
        match self {
            Time::Before => Before::SET,
            Time::Merged => RuleSet::MERGED,
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

/// From raw bytes to usable ones: the parts add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waterfall {
    /// Of the namespace.
    pub raw_bytes: u64,
    /// Left out at the start, to the end of a section that others share.
    pub start_pad_bytes: u64,
    /// An unused page and the info block.
    pub head_bytes: u64,
    /// Room for the records that the data needs, as it was computed.
    pub records_bytes: u64,
    /// Lost to the alignment of the data.
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
            // Of the pages that the data has; what was reserved beyond them is alignment.
            RecordsOn::Medium => division.npfns * 64,
        };
        let records_bytes = needed.min(division.dataoff - HEAD_BYTES);
        Self {
            raw_bytes: size,
            start_pad_bytes: division.start_pad,
            head_bytes: HEAD_BYTES,
            records_bytes,
            alignment_bytes: division.dataoff - HEAD_BYTES - records_bytes,
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

impl Plan<'_> {
    /// Where the bytes of a namespace of `size` go.
    ///
    /// # Errors
    /// It cannot be divided under these rules.
    pub fn waterfall(&self, size: u64, time: Time) -> Result<Waterfall, DivisionError> {
        let namespace = Extent { start: self.start, size };
        let division = divide(namespace, self.align, self.records, &Host::X86_64, &self.around, &time.rules())?;
        Ok(Waterfall::of(size, self.records, &division))
    }

    /// The least size, a multiple of `step`, with at least `usable` bytes of data; `None` if the physical space has none.
    pub fn size_for(&self, usable: u64, step: u64, time: Time) -> Option<u64> {
        let enough = |nr: u64| {
            let size = nr.checked_mul(step).filter(|size| Extent::new(self.start, *size).is_some())?;
            Some(self.waterfall(size, time).is_ok_and(|waterfall| waterfall.usable_bytes >= usable))
        };
        // Records take a 64th, and every loss is below a section and two alignments at each end: the answer is in between.
        let least = usable.div_ceil(step).max(1);
        let slack = usable / 60 + 4 * self.align.max(128 << 20);
        let most = least.checked_add(slack.div_ceil(step))?;
        // Not monotone where an end comes to lie on a border: from below, one by one where steps are coarse.
        let (mut low, mut high) = (least, most);
        enough(high)?.then_some(())?;
        while low < high {
            let middle = low + (high - low) / 2;
            match enough(middle)? {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        // A smaller one may do, for what is cut off behind grows and shrinks with the size.
        let window = self.align.max(128 << 20).div_ceil(step).min(4096);
        let first = low.saturating_sub(window).max(least);
        (first..=low).find(|nr| enough(*nr) == Some(true)).map(|nr| nr * step)
    }
}

/// What namespaces lose at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Of the start within its section.
    pub offset_bytes: u64,
    /// Of the namespace.
    pub size_bytes: u64,
    /// Under the old rules, with neighbours on both sides; all of it if it was refused.
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

/// Capacity lost at each of the 64 sub-sections of a section, between RAM that ends where the namespace begins and a region
/// that begins where it ends; records on the medium, data aligned to 2 MiB.
pub fn lost() -> Vec<Lost> {
    let (base, sub_section) = (4u64 << 30, 2u64 << 20);
    let one = |offset_bytes: u64, size_bytes: u64| {
        let start = base + offset_bytes;
        let ram = [Extent { start: 0, size: start }];
        let regions = [Extent { start: start + size_bytes, size: 1 << 30 }];
        let around = Surroundings { ram: &ram, regions: &regions };
        let plan = Plan { start, align: sub_section, records: RecordsOn::Medium, around };
        let of = |time| plan.waterfall(size_bytes, time).map_or((size_bytes, true), |w| (w.lost_bytes(), false));
        let ((before_bytes, before_refused), (merged_bytes, merged_refused)) = (of(Time::Before), of(Time::Merged));
        Lost { offset_bytes, size_bytes, before_bytes, before_refused, merged_bytes, merged_refused }
    };
    let offsets = (0..64).map(|nr| nr * sub_section);
    offsets.flat_map(|offset| LOST_SIZES.map(|size| one(offset, size))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn plan(start: u64) -> Plan<'static> {
        Plan { start, align: 2 * MIB, records: RecordsOn::Medium, around: Surroundings::default() }
    }

    #[test]
    fn public_figures_come_out() {
        for (size, usable) in [
            (16 * MIB, 14 * MIB),
            (256 * MIB, 250 * MIB),
            (126 * GIB, 133_175_443_456),
            (128 * GIB, 135_289_372_672),
            (1008 * GIB, 1_065_418_227_712),
            (1500 * GIB, 1_585_444_814_848),
        ] {
            assert_eq!(plan(4 * GIB).waterfall(size, Time::Merged).unwrap().usable_bytes, usable);
        }
    }

    #[test]
    fn parts_add_up_and_the_inverse_is_the_least() {
        for start in [4 * GIB, 4 * GIB + 2 * MIB, 4 * GIB + 64 * MIB] {
            for usable in [1, MIB, 14 * MIB, 14 * MIB + 1, GIB, 1500 * GIB] {
                for time in Time::BOTH {
                    let (plan, step) = (plan(start), 16 * MIB);
                    let size = plan.size_for(usable, step, time).unwrap();
                    let waterfall = plan.waterfall(size, time).unwrap();
                    let parts: u64 = waterfall.lines()[1..].iter().map(|(_, bytes)| bytes).sum();
                    assert!(parts == size && waterfall.usable_bytes >= usable, "{start:#x} {usable} {waterfall:?}");
                    let smaller = (1..size / step).map(|nr| nr * step).rev().take(80);
                    for size in smaller {
                        assert!(!plan.waterfall(size, time).is_ok_and(|less| less.usable_bytes >= usable), "{size}");
                    }
                }
            }
        }
        assert_eq!(plan(4 * GIB).size_for(u64::MAX, 16 * MIB, Time::Merged), None);
        assert_eq!(plan(4 * GIB).size_for(1 << 56, 16 * MIB, Time::Merged), None);
    }

    #[test]
    fn the_series_lost_less_at_every_place() {
        let lost = lost();
        assert_eq!(lost.len(), 64 * 3);
        for one in &lost {
            assert!(one.merged_bytes <= one.before_bytes && !one.merged_refused, "{one:?}");
        }
        // 64 MiB into a section, 1 GiB: 64 MiB at each end and records that whole sections need.
        let middle = lost.iter().find(|one| (one.offset_bytes, one.size_bytes) == (64 * MIB, GIB)).unwrap();
        assert_eq!((middle.before_bytes, middle.merged_bytes), (64 * MIB + 64 * MIB + 16 * MIB, 18 * MIB));
        assert!(lost.iter().any(|one| one.before_refused && one.size_bytes == 16 * MIB));
    }
}
