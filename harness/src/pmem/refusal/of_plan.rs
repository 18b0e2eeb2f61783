//! Refusals of plans, and of divisions of namespaces.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance, of_machine, range};
use crate::pmem::capacity::PlanError;
use crate::size::argument;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES, Overlap};
use memmap_layouts::nvdimm::forecast::MACHINE_SPACE_BYTES;

/// The refusal of a size that is not a multiple of `step`: the distances, and the cost of rounding.
pub(super) fn of_size(size: u64, step: u64, subject: &Subject) -> Refusal {
    let off = size.checked_rem(step).unwrap_or(0);
    let refusal = Refusal::by(&rule::SIZE, subject).errno(rustix::io::Errno::INVAL);
    let refusal = match size {
        0 => refusal.off_by("0 bytes"),
        _ => refusal
            .off_by(format!(
                "{} past a multiple of {}, {} short of the next",
                Bytes(off),
                Bytes(step),
                Bytes(step - off)
            ))
            .cost(format!("rounded up {} more of the region, rounded down {} less", Bytes(step - off), Bytes(off))),
    };
    refusal.works_or(subject, format!("a multiple of {}, where so much is free", argument(step)))
}

/// The refusal of a range that overlaps RAM or another region.
pub(super) fn of_overlap(overlap: &Overlap, subject: &Subject) -> Refusal {
    let what = if overlap.is_ram { "RAM" } else { "another region" };
    Refusal::by(&rule::TAKEN, subject)
        .errno(rustix::io::Errno::BUSY)
        .off_by(format!("{} of it are within", Bytes(overlap.by)))
        .who(Some(format!("{what} at {}", range(&overlap.other))))
        .works_or(subject, "a place that nobody else has")
}

pub(super) fn of_division(error: &DivisionError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::by(rule, subject).errno(error.errno());
    match *error {
        DivisionError::Align { align, aligns, .. } => {
            let names: Vec<_> = aligns.iter().map(|align| Bytes(*align).to_string()).collect();
            by(&rule::DATA_ALIGN)
                .off_by(format!("{} is none of {}", Bytes(align), names.join(", ")))
                .works_or(subject, "an alignment of 2 MiB, where so much is free")
        }
        DivisionError::StartMisaligned { start, off, compat } => by(&rule::START)
            .off_by(format!("{start:#x} is {}", distance(start, off, compat)))
            .who(subject.in_front_of(start))
            .cost(format!("{} in front, if it begins on the next one", Bytes(compat - off)))
            .works_or(subject, format!("a start of {:#x}, if that is free", start - off + compat)),
        DivisionError::BelowMinimum { size } => by(&rule::MINIMUM)
            .off_by(format!("{} short of {}", Bytes(MIN_HOST_BYTES.saturating_sub(size)), Bytes(MIN_HOST_BYTES)))
            .works_or(subject, format!("{} or more, where so much is free", argument(MIN_HOST_BYTES))),
        DivisionError::TooSmall { size, align, taken, works } => {
            let refusal = by(&rule::ROOM).cost(format!(
                "{} are taken before the data and at the ends, for data aligned to {}",
                Bytes(taken),
                Bytes(align)
            ));
            let refusal = match works {
                Some(works) => {
                    refusal.off_by(format!("{} short of {}", Bytes(works.saturating_sub(size)), Bytes(works)))
                }
                None => refusal.off_by(format!("{} are taken of {}", Bytes(taken), Bytes(size))),
            };
            refusal.works_or(subject, "more than is free here: another place, or destroy what is beside it")
        }
    }
}

/// The refusal for a plan that cannot be carried out.
pub fn refusal(error: &PlanError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::by(rule, subject);
    match error {
        PlanError::Division(error) => of_division(error, subject),
        PlanError::Machine(error) => of_machine::of_forecast(error, subject),
        PlanError::Size { size, step } => of_size(*size, *step, subject),
        PlanError::RegionAlign { align } => Refusal::by(&rule::REGION_ALIGN, &Subject::of("a region"))
            .off_by(format!("{} is no power of two from 4 KiB on", Bytes(*align)))
            .works_or(subject, "--region-align 16M, the kernel's choice, or 4K"),
        PlanError::StartOffPage { start, off } => by(&rule::START_PAGE)
            .off_by(format!("{start:#x} is {}", distance(*start, *off, 4096)))
            .works_or(subject, "a start on a page that nobody else has"),
        PlanError::NothingWanted => by(&rule::NOTHING).works_or(subject, "a size, as --usable 1G"),
        PlanError::BeyondSpace { start, size } => {
            let end = u128::from(*start) + u128::from(*size);
            let beyond = end.saturating_sub(u128::from(MACHINE_SPACE_BYTES));
            let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
            by(&rule::BEYOND)
                .off_by(format!("it ends {} behind the end of the space", Bytes(beyond)))
                .works_or(subject, format!("a range that ends at {MACHINE_SPACE_BYTES:#x} or before"))
        }
        PlanError::Overlaps { overlap, .. } => of_overlap(overlap, subject),
        PlanError::NoSize { start, wanted, room, most } => {
            let rule = if error.is_beyond_space() { &rule::NO_SIZE_AT_ALL } else { &rule::NO_SIZE };
            by(rule)
                .off_by(format!("{} more than can be had", Bytes(wanted.saturating_sub(*most))))
                .who(subject.behind(*start))
                .cost(format!(
                    "{} of the {} that are free there would not be data",
                    Bytes(room.saturating_sub(*most)),
                    Bytes(*room)
                ))
                .works_or(subject, "another start: what is free here holds no data")
        }
    }
}

/// The subject of a plan.
pub fn subject(start: u64, size: Option<u64>, around: Vec<(String, Extent)>) -> Subject {
    match size.map(|size| (size, Extent::new(start, size))) {
        Some((_, Some(extent))) => Subject::at("a namespace", extent),
        Some((size, None)) => Subject::of(format!("a namespace of {} ({size} bytes) at {start:#x}", Bytes(size))),
        None => Subject::of(format!("a namespace at {start:#x}")),
    }
    .among(around)
}
