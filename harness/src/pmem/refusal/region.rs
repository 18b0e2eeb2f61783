//! Refusals of labels, regions and names of namespaces.

use super::rule::{self, Rule};
use super::{Refusal, Subject, distance};
use crate::pmem::HOST;
use crate::pmem::namespaces::NameError;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::division::DivisionError;
use memmap_layouts::nvdimm::label::{InvalidTable, LABEL_FILE_BYTES, LabelError, MAX_LABELS};
use memmap_layouts::nvdimm::region::{RegionAlign, RegionError};
use rustix::io::Errno;
use std::io::ErrorKind;

const RESTORE_LABELS: &str = "restore a backup of the labels; or remove them, and pfnbench namespace region creates \
                              the region again, without namespaces, and leaves the medium unchanged";

impl Refusal {
    /// The refusal of a name that not exactly one namespace of the region `subject` has.
    pub fn from_name(error: &NameError, subject: &Subject) -> Self {
        let requested = Subject::new(format!("namespace {:?} of {subject}", error.name));
        let refusal = Self::new(&rule::NO_NAMESPACE, &requested);
        match (error.uuids.len(), error.existing.as_slice()) {
            (0, []) => refusal.fix("the region has no namespaces; pfnbench namespace create creates one"),
            (0, existing) => refusal.fix(format!("use one of the names {}", existing.join(", "))),
            (several, _) => refusal
                .off_by(format!("{several} namespaces have this name"))
                .fix(format!("use one of the UUIDs {}", error.uuids.join(", "))),
        }
    }

    /// The refusal for an error of a region or of one of its namespaces.
    pub fn from_region(error: &RegionError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule| Self::new(rule, subject).errno(error.errno());
        match error {
            RegionError::Label(LabelError::Io { source, .. }) if source.kind() == ErrorKind::UnexpectedEof => {
                by(&rule::DAMAGED_LABELS)
                    .off_by(format!("the label file is shorter than {}", ByteSize(LABEL_FILE_BYTES)))
                    .cost("the starts of its namespaces are unknown; their data is still on the medium")
                    .fix(RESTORE_LABELS)
            }
            // Source: fsync(2): after an error it is unknown what was written.
            RegionError::Label(LabelError::Io { what: "flush", source }) => by(&rule::MEDIUM_IO)
                .off_by(format!("cannot make the labels durable: {source}"))
                .cost("the change was made completely or not at all")
                .fix("run pfnbench namespace list to see which; then retry on a medium without errors"),
            RegionError::Label(LabelError::Io { what, source }) => by(&rule::MEDIUM_IO)
                .off_by(format!("cannot {what} the labels: {source}"))
                .cost("nothing; the labels are unchanged")
                .fix("make the label file readable and writable, on a file system with free space"),
            RegionError::Label(LabelError::Damaged(copies)) => by(&rule::DAMAGED_LABELS)
                .off_by(format!("{} and {}", copies[0], copies[1]))
                .cost("the starts of its namespaces are unknown; their data is still on the medium")
                .fix(RESTORE_LABELS),
            RegionError::Label(LabelError::Invalid(error)) => {
                let who = match error {
                    InvalidTable::Overlap { first, second, .. } => Some(format!("{first} and {second}")),
                    _ => None,
                };
                Self::new(&rule::INVALID_LABELS, subject)
                    .errno(Errno::INVAL)
                    .off_by(error.to_string())
                    .who(who)
                    .cost("no namespace of the region can be used; the medium is unchanged")
                    .fix(RESTORE_LABELS)
            }
            RegionError::Medium { what, at, source } => by(&rule::MEDIUM_IO)
                .off_by(format!("cannot {what} the medium at {at:#x}: {source}"))
                .cost("no namespace was created or changed; the labels are unchanged")
                .fix("make the medium readable and writable, on a file system with space for its holes"),
            RegionError::Truncated { len, size } => by(&rule::TRUNCATED)
                .off_by(format!(
                    "it has {} of {}: {} are missing at its end",
                    ByteSize(*len),
                    ByteSize(*size),
                    ByteSize(size - len)
                ))
                .cost("the data in the missing part; the rest is unchanged")
                .fix(format!("restore its length: truncate -s {size} on the file")),
            RegionError::Align { align, size, page } => {
                let dimms = match align.mappings {
                    2.. => format!(" on {} DIMMs", align.mappings),
                    _ => String::new(),
                };
                by(&rule::REGION_ALIGN)
                    .off_by(format!("{} for a region of {}{dimms}", ByteSize(align.bytes), ByteSize(*size)))
                    .works_or(
                        subject,
                        match align.works(*size, *page) {
                            Some(works) => format!("use {works}"),
                            None => format!(
                                "use a region of at least {}",
                                RegionAlign::from_per_mapping(*page, align.mappings)
                            ),
                        },
                    )
            }
            RegionError::TooSmall { size, page } => by(&rule::REGION_SIZE)
                .off_by(format!("{} bytes short of {}", page.saturating_sub(*size), ByteSize(*page)))
                .works_or(subject, "enlarge the medium: truncate -s 4G on the file"),
            RegionError::StartOffPage { start, off, page } => by(&rule::START_PAGE)
                .off_by(format!("{start:#x} is {}", distance(*start, *off, *page)))
                .works_or(subject, "choose a start that is a multiple of 4 KiB"),
            RegionError::Size { size, align } => Self::from_size(*size, *align, subject),
            RegionError::NoSpace { size, largest } => by(&rule::FREE)
                .off_by(format!(
                    "{} more than the largest free range of {}",
                    ByteSize(size - largest),
                    ByteSize(*largest)
                ))
                .who(subject.first_neighbours())
                .works_or(subject, "no smaller size fits: destroy a namespace, or create another region"),
            RegionError::Taken { overlap, .. } => Self::from_overlap(overlap, subject),
            RegionError::Beyond { beyond } => by(&rule::BEYOND)
                .off_by(format!("it ends {} above the physical address space", ByteSize(*beyond)))
                .works_or(subject, "choose a smaller size, or create the region at a lower start"),
            RegionError::InvalidTable(error) => from_invalid_table(error, subject).errno(Errno::INVAL),
            RegionError::Division(DivisionError::StartMisaligned { start, off, compat }) => by(&rule::START)
                .off_by(format!("the first free address is {start:#x}, {}", distance(*start, *off, *compat)))
                .who(subject.below(*start))
                .works_or(
                    subject,
                    "create a region that starts on a sub-section boundary of 2 MiB, or with a smaller --align",
                ),
            RegionError::Division(error) => Self::from_division(error, subject),
            RegionError::InfoBlock(error) => Self::from_info_block(error, subject),
            RegionError::NoSuchNamespace => {
                by(&rule::NO_NAMESPACE).fix("pfnbench namespace list shows the existing ones")
            }
            RegionError::Enabled { name } => by(&rule::ENABLED)
                .cost("nothing; it is unchanged")
                .fix(format!("run pfnbench namespace disable {}, then retry", subject.arguments_for(name))),
        }
    }
}

/// The refusal of a label table that a request would produce.
fn from_invalid_table(error: &InvalidTable, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::new(rule, subject).off_by(error.to_string());
    match error {
        InvalidTable::TooMany(_) => by(&rule::FULL)
            .cost("the free space of the region stays unused")
            .fix(format!("destroy one of the {MAX_LABELS} namespaces; fewer, larger ones need fewer labels")),
        InvalidTable::Region { .. } => {
            by(&rule::BEYOND).works_or(subject, "choose a start and a size whose sum is at most 64 PiB (2^56)")
        }
        InvalidTable::Start(_) => by(&rule::START_PAGE).works_or(subject, "choose a start that is a multiple of 4 KiB"),
        InvalidTable::Align(align) => by(&rule::REGION_ALIGN).fix(format!(
            "use {}, the default of Linux",
            RegionAlign::default_for(u64::MAX, align.mappings, HOST.page_bytes)
        )),
        InvalidTable::Name { .. } | InvalidTable::DuplicateUuid(..) => {
            by(&rule::NAME).works_or(subject, "choose a name such as namespace0.1")
        }
        _ => by(&rule::INVALID_LABELS).fix("restore a backup of the labels, or create the region again"),
    }
}
