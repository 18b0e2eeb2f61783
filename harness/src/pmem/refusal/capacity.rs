//! Refusals of plans: how large a namespace must be, and where it fits.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance, range};
use crate::pmem::HOST;
use crate::pmem::capacity::CapacityError;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::MACHINE_SPACE_BYTES;
use memmap_layouts::nvdimm::region::RegionAlign;

impl Refusal {
    /// The refusal of a capacity request.
    pub fn from_capacity(error: &CapacityError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule| Self::new(rule, subject);
        match error {
            CapacityError::Division(error) => Self::from_division(error, subject),
            CapacityError::Machine(error) => Self::from_forecast(error, subject),
            CapacityError::Size { size, step } => Self::from_size(*size, *step, subject),
            CapacityError::RegionAlign { align } => Self::new(&rule::REGION_ALIGN, &Subject::new("a region"))
                .off_by(match align.mappings {
                    2.. => format!(
                        "{} is not {} times a power of two of at least 4 KiB",
                        ByteSize(align.bytes),
                        align.mappings
                    ),
                    _ => format!("{} is not a power of two of at least 4 KiB", ByteSize(align.bytes)),
                })
                .works_or(subject, {
                    let default = RegionAlign::default_for(u64::MAX, align.mappings, HOST.page_bytes);
                    format!("use {default}, the default of Linux, and a size that is a multiple of it")
                }),
            CapacityError::OutsideRegion { start, size, region } => by(&rule::FREE)
                .off_by(match start.checked_add(*size) {
                    _ if *start < region.start => {
                        format!("it starts {} before the region", ByteSize(region.start - start))
                    }
                    Some(end) => format!("it ends {} after the region", ByteSize(end.saturating_sub(region.end()))),
                    None => "it ends after the region".to_owned(),
                })
                .who(Some(format!("the region at {}", range(region))))
                .works_or(subject, "choose a range within the region"),
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
