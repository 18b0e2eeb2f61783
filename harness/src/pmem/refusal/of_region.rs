//! Refusals of media, labels and regions.

use super::rule::{self, Rule};
use super::shell::word;
use super::{NotOne, Refusal, Subject, distance, holder, of_info_block, of_plan, range};
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::division::DivisionError;
use memmap_layouts::nvdimm::label::{InvalidTable, LABEL_FILE_BYTES, LabelError, MAX_LABELS};
use memmap_layouts::nvdimm::region::RegionError;
use memmap_layouts::nvdimm::storage::StorageError;
use rustix::io::Errno;
use std::io::ErrorKind;
use std::path::Path;

pub(super) fn of_storage(error: &StorageError) -> Refusal {
    let by = |rule: &'static Rule, path: &std::path::Path| {
        Refusal::by(rule, &Subject::of(path.display().to_string())).errno(error.errno())
    };
    match error {
        StorageError::Io { path, source, .. }
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            by(&rule::READ_ONLY, path)
                .off_by(source.to_string())
                .cost("nothing; the medium is as it was")
                .fix("a user who may, or a medium and labels with the rights; list and check need to read them only")
        }
        StorageError::Io { path, what, source }
            if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded)
                || source.raw_os_error() == Some(Errno::IO.raw_os_error()) =>
        {
            by(&rule::MEDIUM_IO, path)
                .off_by(format!("cannot {what} it: {source}"))
                .cost("nothing was made")
                .fix("a smaller size, or a folder in a file system with room for it")
        }
        StorageError::Io { path, what, source } => {
            let refusal = by(&rule::NO_FILE, path).off_by(format!("cannot {what} it: {source}"));
            refusal.fix(match source.kind() {
                ErrorKind::NotFound => of_nothing(path),
                ErrorKind::AlreadyExists => "another name, or the file out of the way".to_owned(),
                _ => "what the system says is in the way".to_owned(),
            })
        }
        StorageError::NoMedium { path, found } => by(&rule::NO_MEDIUM, path)
            .off_by(format!("it is {found}"))
            .fix("a file that pfnbench namespace region has made, or /dev/daxX.Y (daxctl list shows them)"),
        StorageError::Busy { path } => by(&rule::BUSY, path)
            .who(holder::of(path))
            .cost("nothing; the medium is as it was")
            .fix("wait until the other has ended, or end it"),
        StorageError::Device(error) => Refusal::by(&rule::NO_MEDIUM, &Subject::of("the device"))
            .off_by(error.to_string())
            .fix("a device that maps in units of at most 2 MiB and may be read and written"),
    }
}

/// The refusal for a label file in which no region can be made.
pub(super) fn of_label_file(error: &StorageError) -> Refusal {
    match error {
        StorageError::Io { path, source, .. } if source.kind() == ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("."));
            of_storage(error).fix(format!("a folder that is there: mkdir -p {}", word(folder)))
        }
        error => of_storage(error),
    }
}

/// Advice if the file does not exist.
fn of_nothing(path: &Path) -> String {
    let makes = format!("pfnbench namespace region {} --size 4G makes a region", word(path));
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        Some(folder) => format!("a path that is there; {makes} after mkdir -p {}", word(folder)),
        None => format!("a path that is there; {makes}"),
    }
}

pub(super) fn of_name(error: &NotOne, subject: &Subject) -> Refusal {
    let asked = Subject::of(format!("namespace {:?} of {subject}", error.name));
    let refusal = Refusal::by(&rule::NO_NAMESPACE, &asked);
    match (error.found.len(), error.there.as_slice()) {
        (0, []) => refusal.fix("the region has none; pfnbench namespace create makes one"),
        (0, there) => refusal.fix(format!("there are {}", there.join(", "))),
        (several, _) => refusal
            .off_by(format!("{several} have this name"))
            .fix(format!("one of the uuids {}", error.found.join(", "))),
    }
}

fn of_table(error: &InvalidTable, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::by(rule, subject).off_by(error.to_string());
    match error {
        InvalidTable::TooMany(_) => by(&rule::FULL)
            .cost("what is free in the region stays so")
            .fix(format!("destroy one of the {MAX_LABELS}; larger ones need fewer")),
        InvalidTable::Region { .. } => {
            by(&rule::BEYOND).works_or(subject, "a start and a size whose sum is at most 64 PiB (2^56)")
        }
        InvalidTable::Start(_) => by(&rule::START_PAGE).works_or(subject, "a start on a page"),
        InvalidTable::Align(_) => by(&rule::REGION_ALIGN).fix("16M, the kernel's choice, or 4K"),
        InvalidTable::Name { .. } | InvalidTable::DuplicateUuid(..) => {
            by(&rule::NAME).works_or(subject, "a name such as namespace0.1")
        }
        _ => by(&rule::INVALID_LABELS).fix("a copy of the labels from before, or the region made again"),
    }
}

/// Names of the first three neighbours.
fn named(subject: &Subject) -> Option<String> {
    let names: Vec<_> =
        subject.around.iter().take(3).map(|(name, extent)| format!("{name} at {}", range(extent))).collect();
    let more = subject.around.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("{}{more}", names.join(", ")))
}

const OTHER_LABELS: &str = "a copy of the labels from before; or remove them: pfnbench namespace region then makes the region again, \
                            without namespaces, and leaves the medium as it is";

/// The refusal for an error of a region or of one of its namespaces.
pub fn refusal(error: &RegionError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| Refusal::by(rule, subject).errno(error.errno());
    match error {
        RegionError::Label(LabelError::Io { source, .. }) if source.kind() == ErrorKind::UnexpectedEof => {
            by(&rule::DAMAGED_LABELS)
                .off_by(format!("they end too early: {} are needed", Bytes(LABEL_FILE_BYTES)))
                .cost("nobody knows where its namespaces begin; their bytes are still on the medium")
                .fix(OTHER_LABELS)
        }
        // Source: fsync(2): after an error nothing is known of what was written.
        RegionError::Label(LabelError::Io { what: "flush", source }) => by(&rule::MEDIUM_IO)
            .off_by(format!("cannot flush the labels: {source}"))
            .cost("the change may have been made, or not; no third is possible")
            .fix("pfnbench namespace list tells which; then this again, on a medium without errors"),
        RegionError::Label(LabelError::Io { what, source }) => by(&rule::MEDIUM_IO)
            .off_by(format!("cannot {what} the labels: {source}"))
            .cost("nothing; the next who opens finds the state of before")
            .fix("labels that may be read and written, in a folder with room"),
        RegionError::Label(LabelError::Damaged(copies)) => by(&rule::DAMAGED_LABELS)
            .off_by(format!("{} and {}", copies[0], copies[1]))
            .cost("nobody knows where its namespaces begin; their bytes are still on the medium")
            .fix(OTHER_LABELS),
        RegionError::Label(LabelError::Invalid(error)) => {
            let who = match error {
                InvalidTable::Overlap { first, second, .. } => Some(format!("{first} and {second}")),
                _ => None,
            };
            Refusal::by(&rule::INVALID_LABELS, subject)
                .errno(Errno::INVAL)
                .off_by(error.to_string())
                .who(who)
                .cost("no namespace of the region is brought up; the medium is as it was")
                .fix(OTHER_LABELS)
        }
        RegionError::Medium { what, at, source } => by(&rule::MEDIUM_IO)
            .off_by(format!("cannot {what} the medium at {at:#x}: {source}"))
            .cost("no namespace was made or changed; the labels are as they were")
            .fix("a medium that may be read and written, with room behind its holes"),
        RegionError::Truncated { len, size } => by(&rule::TRUNCATED)
            .off_by(format!("it has {} of {}: {} are missing at its end", Bytes(*len), Bytes(*size), Bytes(size - len)))
            .cost("what was in the missing bytes; nothing else is changed")
            .fix(format!("its length again: truncate -s {size} on the file")),
        RegionError::Align { align, size, .. } => {
            let off_by = format!("{} for a region of {}", Bytes(*align), Bytes(*size));
            by(&rule::REGION_ALIGN)
                .off_by(off_by)
                .works_or(subject, "a power of two from 4 KiB to the size of the region")
        }
        RegionError::TooSmall { size, page } => by(&rule::REGION_SIZE)
            .off_by(format!("{} bytes short of {}", page.saturating_sub(*size), Bytes(*page)))
            .works_or(subject, "a larger medium: truncate -s 4G on the file"),
        RegionError::StartOffPage { start, off, page } => by(&rule::START_PAGE)
            .off_by(format!("{start:#x} is {}", distance(*start, *off, *page)))
            .works_or(subject, "a start on a page"),
        RegionError::Size { size, align } => of_plan::of_size(*size, *align, subject),
        RegionError::NoSpace { size, largest } => by(&rule::FREE)
            .off_by(format!("{} more than the largest free piece of {}", Bytes(size - largest), Bytes(*largest)))
            .who(named(subject))
            .works_or(subject, "nothing near it is free: destroy a namespace, or make another region"),
        RegionError::Taken { overlap, .. } => of_plan::of_overlap(overlap, subject),
        RegionError::Beyond { beyond } => by(&rule::BEYOND)
            .off_by(format!("it ends {} beyond", Bytes(*beyond)))
            .works_or(subject, "a smaller one, or a region at a lower start"),
        RegionError::InvalidTable(error) => of_table(error, subject).errno(Errno::INVAL),
        RegionError::Division(DivisionError::StartMisaligned { start, off, compat }) => by(&rule::START)
            .off_by(format!("the first free place is {start:#x}, {}", distance(*start, *off, *compat)))
            .who(subject.in_front_of(*start))
            .works_or(
                subject,
                "a region that begins on a sub-section of 2 MiB, or smaller ones of it: --start and --align of region",
            ),
        RegionError::Division(error) => of_plan::of_division(error, subject),
        RegionError::InfoBlock(error) => of_info_block::refusal(error, subject),
        RegionError::NoSuchNamespace => {
            by(&rule::NO_NAMESPACE).fix("pfnbench namespace list shows those that are there")
        }
        RegionError::Enabled { name } => by(&rule::ENABLED)
            .cost("nothing; it is as it was")
            .fix(format!("pfnbench namespace disable {}, then this again", subject.named(name))),
    }
}
