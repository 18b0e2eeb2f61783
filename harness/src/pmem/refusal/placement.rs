//! Refusals that plans and regions share: sizes, overlaps, and the division of a namespace.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance, range};
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES, Overlap};

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
}
