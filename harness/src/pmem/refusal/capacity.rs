//! Refusals of sizes, of overlaps, and of the division of a namespace.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance, range};
use crate::pmem::capacity::CapacityError;
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES, Overlap};
use memmap_layouts::nvdimm::forecast::MACHINE_SPACE_BYTES;

impl Refusal {
    /// The refusal of a size that is not a multiple of `step`: the distances, and the cost of rounding.
    pub(super) fn from_size(size: u64, step: u64, subject: &Subject) -> Self {
        let off = size.checked_rem(step).unwrap_or(0);
        let refusal = Self::new(&rule::SIZE, subject).errno(rustix::io::Errno::INVAL);
        let refusal = match size {
            0 => refusal.off_by("0 bytes"),
            _ => refusal
                .off_by(format!(
                    "{} past a multiple of {}, {} short of the next",
                    ByteSize(off),
                    ByteSize(step),
                    ByteSize(step - off)
                ))
                .cost(format!(
                    "rounding up uses {} more of the region, rounding down {} less",
                    ByteSize(step - off),
                    ByteSize(off)
                )),
        };
        refusal.works_or(subject, format!("choose a multiple of {} that fits", argument(step)))
    }

    /// The refusal of a range that overlaps RAM or another region.
    pub(super) fn from_overlap(overlap: &Overlap, subject: &Subject) -> Self {
        let what = if overlap.is_ram { "RAM" } else { "another region" };
        Self::new(&rule::TAKEN, subject)
            .errno(rustix::io::Errno::BUSY)
            .off_by(format!("{} of it overlap", ByteSize(overlap.by)))
            .who(Some(format!("{what} at {}", range(&overlap.other))))
            .works_or(subject, "choose a range that is not in use")
    }

    /// The refusal of a namespace that cannot be divided into padding, header, records and data.
    pub(super) fn from_division(error: &DivisionError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule| Self::new(rule, subject).errno(error.errno());
        match *error {
            DivisionError::Align { align, aligns, .. } => {
                let names: Vec<_> = aligns.iter().map(|align| ByteSize(*align).to_string()).collect();
                by(&rule::DATA_ALIGN)
                    .off_by(format!("{} is not one of {}", ByteSize(align), names.join(", ")))
                    .works_or(subject, "use an alignment of 2 MiB, in a namespace that is large enough")
            }
            DivisionError::StartMisaligned { start, off, compat } => by(&rule::START)
                .off_by(format!("{start:#x} is {}", distance(start, off, compat)))
                .who(subject.below(start))
                .cost(format!("starting at the next boundary leaves {} unused", ByteSize(compat - off)))
                .works_or(subject, format!("use the start {:#x} if it is free", start - off + compat)),
            DivisionError::BelowMinimum { size } => by(&rule::MINIMUM)
                .off_by(format!(
                    "{} short of {}",
                    ByteSize(MIN_HOST_BYTES.saturating_sub(size)),
                    ByteSize(MIN_HOST_BYTES)
                ))
                .works_or(subject, format!("choose {} or more", argument(MIN_HOST_BYTES))),
            DivisionError::TooSmall { size, align, taken, works } => {
                let refusal = by(&rule::ROOM).cost(format!(
                    "header, records and padding take {} for data aligned to {}",
                    ByteSize(taken),
                    ByteSize(align)
                ));
                let refusal = match works {
                    Some(works) => {
                        refusal.off_by(format!("{} short of {}", ByteSize(works.saturating_sub(size)), ByteSize(works)))
                    }
                    None => refusal.off_by(format!(
                        "header, records and padding take {} of {}",
                        ByteSize(taken),
                        ByteSize(size)
                    )),
                };
                refusal.works_or(subject, "no larger size fits here: choose another start, or destroy the neighbour")
            }
        }
    }

    /// The refusal of a capacity request.
    pub fn from_capacity(error: &CapacityError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule| Self::new(rule, subject);
        match error {
            CapacityError::Division(error) => Self::from_division(error, subject),
            CapacityError::Machine(error) => Self::from_forecast(error, subject),
            CapacityError::Size { size, step } => Self::from_size(*size, *step, subject),
            CapacityError::RegionAlign { align } => Self::new(&rule::REGION_ALIGN, &Subject::new("a region"))
                .off_by(format!("{} is not a power of two of at least 4 KiB", ByteSize(*align)))
                .works_or(subject, "use --region-align 16M, the default of Linux, or 4K"),
            CapacityError::StartOffPage { start, off } => by(&rule::START_PAGE)
                .off_by(format!("{start:#x} is {}", distance(*start, *off, 4096)))
                .works_or(subject, "choose a start that is a multiple of 4 KiB and not in use"),
            CapacityError::NothingWanted => by(&rule::NOTHING).works_or(subject, "give a size, e.g. --usable 1G"),
            CapacityError::BeyondSpace { start, size } => {
                let end = u128::from(*start) + u128::from(*size);
                let beyond = end.saturating_sub(u128::from(MACHINE_SPACE_BYTES));
                let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
                by(&rule::BEYOND)
                    .off_by(format!("it ends {} above the end of the physical address space", ByteSize(beyond)))
                    .works_or(subject, format!("choose a range that ends at or below {MACHINE_SPACE_BYTES:#x}"))
            }
            CapacityError::Overlaps { overlap, .. } => Self::from_overlap(overlap, subject),
            CapacityError::NoSize { start, wanted, room, most } => {
                let rule = if error.is_beyond_space() { &rule::NO_SIZE_AT_ALL } else { &rule::NO_SIZE };
                by(rule)
                    .off_by(format!("{} more than is possible here", ByteSize(wanted.saturating_sub(*most))))
                    .who(subject.above(*start))
                    .cost(format!(
                        "header, records and padding would take {} of the {} that are free",
                        ByteSize(room.saturating_sub(*most)),
                        ByteSize(*room)
                    ))
                    .works_or(subject, "choose another start: the free range here has no room for data")
            }
        }
    }
}
