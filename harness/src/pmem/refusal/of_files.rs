//! Refusals of files that cannot form a region.

use super::files_error::FilesError;
use super::rule::{self, Rule};
use super::shell::word;
use super::{Refusal, Subject};
use crate::size::argument;
use memmap_layouts::Bytes;
use rustix::io::Errno;
use std::path::Path;

/// Medium and labels as command-line arguments.
pub fn arguments(medium: &Path, labels: &Path, is_named: bool) -> String {
    match is_named {
        true => format!("{} --labels {}", word(medium), word(labels)),
        false => word(medium),
    }
}

pub(super) fn refusal(error: &FilesError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule, path: &Path| Refusal::by(rule, &Subject::of(path.display().to_string()));
    match error {
        FilesError::OneFile { path } => by(&rule::ONE_FILE, path)
            .cost("its first 64 KiB, if it were both")
            .fix(format!("--labels {}.labels, or any other file", word(path))),
        FilesError::NoPlaceForLabels { device } => by(&rule::LABELS_PLACE, device).fix(format!(
            "a file on a disk, as --labels {}.labels: /dev forgets files",
            device.file_name().map_or_else(|| "dax0.0".to_owned(), |name| word(name.as_ref()))
        )),
        FilesError::NoLabels { medium, labels, is_named } => {
            by(&rule::NO_LABELS, medium)
                .errno(Errno::NOENT)
                .off_by(format!("{} is not there", labels.display()))
                .cost("nobody knows where its namespaces begin; its bytes are as they were")
                .fix(format!(
                    "--labels FILE, if they are elsewhere; pfnbench namespace region {} makes a region of it, without \
                     namespaces, and leaves its bytes as they are",
                    arguments(medium, labels, *is_named)
                ))
        }
        FilesError::NoFolder { dir, why } => by(&rule::NO_FILE, dir)
            .off_by(format!("no files can be made in it: {why}"))
            .fix("another folder with --dir; /dev/shm and /tmp are there as a rule"),
        FilesError::NotForLabels { labels, found } => by(&rule::LABELS_FILE, labels)
            .off_by(format!("it is {found}"))
            .fix("another name with --labels, or this one out of the way"),
        FilesError::IsRegion { medium, labels, is_named } => by(&rule::IS_REGION, medium)
            .errno(Errno::EXIST)
            .who(Some(format!("its labels, {}", labels.display())))
            .fix(format!(
                "pfnbench namespace list {} shows its namespaces; to begin anew rm {} first: the bytes of the medium stay",
                arguments(medium, labels, *is_named),
                word(labels)
            )),
        FilesError::SizeMissing { medium } => by(&rule::MEDIUM_SIZE, medium)
            .off_by("it is not there, or empty, and no size is said")
            .works_or(subject, "a size, as --size 4G"),
        FilesError::OwnSize { medium, len, size } => {
            let refusal = by(&rule::MEDIUM_SIZE, medium);
            let fix = "no --size: what is there is taken as it is";
            match len {
                Some(len) => refusal
                    .off_by(format!("it has {} ({len} bytes), and {} are asked for", Bytes(*len), Bytes(*size)))
                    .fix(format!("{fix}; or truncate -s {} {} first", argument(*size), word(medium))),
                None => refusal.off_by("it is a device").fix(fix),
            }
        }
    }
}
