//! Refusals of plans, and of how namespaces are divided.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance, range};
use crate::capacity::PlanError;
use crate::units::argument;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::division::DivisionError;
use memmap_layouts::nvdimm::{Extent, PHYSICAL_SPACE_BYTES};

/// Sizes as arguments.
fn sizes(sizes: &[u64]) -> String {
    sizes.iter().map(|size| argument(*size)).collect::<Vec<_>>().join(" or ")
}

/// What is said of a size that is no multiple: how far off, what rounding costs, and what works.
pub(super) fn of_size(size: u64, step: u64, works: &[u64], subject: &Subject) -> Refusal {
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
    let finer = if step > 4096 && size > 0 && size.is_multiple_of(4096) {
        "; a region aligned to 4 KiB takes this size (--region-align 4K of plan, --align 4K of region)"
    } else {
        ""
    };
    match works.is_empty() {
        true => refusal.fix(format!("a multiple of {}{finer}", argument(step))),
        false => refusal.fix(format!("{} works{finer}", sizes(works))),
    }
}

pub(super) fn of_division(error: &DivisionError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::by(rule, subject).errno(error.errno());
    match *error {
        DivisionError::Align { align, aligns, .. } => {
            let names: Vec<_> = aligns.iter().map(|align| Bytes(*align).to_string()).collect();
            by(&rule::DATA_ALIGN)
                .off_by(format!("{} is none of {}", Bytes(align), names.join(", ")))
                .fix(format!("--align {}", sizes(aligns)))
        }
        DivisionError::StartMisaligned { start, off, compat } => by(&rule::START)
            .off_by(format!("{start:#x} is {}", distance(start, off, compat)))
            .who(subject.in_front_of(start))
            .cost(format!("{} in front, if it begins on the next one", Bytes(compat - off)))
            .fix(format!("a start of {:#x} works", start - off + compat)),
        DivisionError::TooSmall { size, align, taken, works } => {
            let refusal = by(&rule::ROOM).cost(format!(
                "{} are taken before the data and at the ends, for data aligned to {}",
                Bytes(taken),
                Bytes(align)
            ));
            match works {
                Some(works) => refusal
                    .off_by(format!("{} short of {}", Bytes(works.saturating_sub(size)), Bytes(works)))
                    .fix(format!("{} works", argument(works))),
                None => refusal.off_by(format!("{} are taken of {}", Bytes(taken), Bytes(size))).fix(
                    "no size works in what is free here; records in RAM (--map mem) or a smaller alignment (--align 2M) need less",
                ),
            }
        }
    }
}

/// A plan that cannot be had.
pub fn refusal(error: &PlanError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::by(rule, subject);
    match error {
        PlanError::Division(error) => of_division(error, subject),
        PlanError::Size { size, step, works } => of_size(*size, *step, works, subject),
        PlanError::RegionAlign { align } => Refusal::by(&rule::REGION_ALIGN, &Subject::of("a region"))
            .off_by(format!("{} is no power of two from 4 KiB on", Bytes(*align)))
            .fix("--region-align 16M, the kernel's choice, or 4K"),
        PlanError::StartOffPage { start, off } => by(&rule::START_PAGE)
            .off_by(format!("{start:#x} is {}", distance(*start, *off, 4096)))
            .fix(format!("{:#x} works", start - off)),
        PlanError::NothingWanted => by(&rule::NOTHING).fix("a size, as --usable 1G"),
        PlanError::BeyondSpace { start, size } => {
            let end = u128::from(*start) + u128::from(*size);
            let beyond = end.saturating_sub(u128::from(PHYSICAL_SPACE_BYTES));
            let beyond = u64::try_from(beyond).unwrap_or(u64::MAX);
            let room = PHYSICAL_SPACE_BYTES.saturating_sub(*start);
            by(&rule::BEYOND).off_by(format!("it ends {} behind the end of the space", Bytes(beyond))).fix(match room {
                0 => format!("a start below {PHYSICAL_SPACE_BYTES:#x}"),
                _ => format!("at most {} fits at {start:#x}", argument(room)),
            })
        }
        PlanError::Overlaps { start, what, other, by: bytes, .. } => {
            let fix = match *start < other.start {
                true => format!("at most {} fits in front of it", argument(other.start - start)),
                false => format!("a start of {:#x} is behind it", other.end()),
            };
            by(&rule::TAKEN)
                .off_by(format!("{} of it are within", Bytes(*bytes)))
                .who(Some(format!("{what} at {}", range(other))))
                .fix(fix)
        }
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
                .fix(format!("--usable {} is the most that can be had at {start:#x}", argument(*most)))
        }
    }
}

/// A plan as what is asked for.
pub fn subject(start: u64, size: Option<u64>, around: Vec<(String, Extent)>) -> Subject {
    match size.map(|size| (size, Extent::new(start, size))) {
        Some((_, Some(extent))) => Subject::at("a namespace", extent),
        Some((size, None)) => Subject::of(format!("a namespace of {} ({size} bytes) at {start:#x}", Bytes(size))),
        None => Subject::of(format!("a namespace at {start:#x}")),
    }
    .among(around)
}
