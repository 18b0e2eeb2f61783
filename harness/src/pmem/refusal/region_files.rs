//! Refusals of the files that are given for a region or a scene.

use super::rule::{self, Rule};
use super::shell::path_word;
use super::{Refusal, Subject};
use crate::pmem::region_files::{RegionFilesError, arguments};
use crate::size::argument;
use memmap_layouts::ByteSize;
use rustix::io::Errno;
use std::path::Path;

impl Refusal {
    /// The refusal of the files of a region, or of the folder for a scene.
    pub fn from_region_files(error: &RegionFilesError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule, path: &Path| Self::new(rule, &Subject::new(path.display().to_string()));
        match error {
            RegionFilesError::OneFile { path } => by(&rule::ONE_FILE, path)
                .cost("the labels would overwrite the first 64 KiB of the medium")
                .fix(format!("use --labels {}.labels, or any other file", path_word(path))),
            RegionFilesError::NoDefaultLabels { device } => by(&rule::LABELS_PLACE, device).fix(format!(
                "name a file on a disk, e.g. --labels {}.labels: files in /dev are lost at the next boot",
                device.file_name().map_or_else(|| "dax0.0".to_owned(), |name| path_word(name.as_ref()))
            )),
            RegionFilesError::NoLabels { medium, labels, is_named } => by(&rule::NO_LABELS, medium)
                .errno(Errno::NOENT)
                .off_by(format!("{} does not exist", labels.display()))
                .cost("the starts of its namespaces are unknown; the medium is unchanged")
                .fix(format!(
                    "use --labels FILE if they are elsewhere; pfnbench namespace region {} creates a region without \
                     namespaces and leaves the contents of the medium unchanged",
                    arguments(medium, labels, *is_named)
                )),
            RegionFilesError::NoTemporaryFiles { dir, why } => by(&rule::NO_FILE, dir)
                .off_by(format!("no files can be created in it: {why}"))
                .fix("use another folder with --dir, e.g. /dev/shm or /tmp"),
            RegionFilesError::NotForLabels { labels, found } => by(&rule::LABELS_FILE, labels)
                .off_by(format!("it is {found}"))
                .fix("name another file with --labels, or move this one"),
            RegionFilesError::IsRegion { medium, labels, is_named } => by(&rule::IS_REGION, medium)
                .errno(Errno::EXIST)
                .who(Some(format!("its labels, {}", labels.display())))
                .fix(format!(
                    "pfnbench namespace list {} shows its namespaces; to start over, rm {} first: \
                     the medium stays unchanged",
                    arguments(medium, labels, *is_named),
                    path_word(labels)
                )),
            RegionFilesError::SizeMissing { medium } => by(&rule::MEDIUM_SIZE, medium)
                .off_by("it does not exist or is empty, and no size is given")
                .works_or(subject, "give a size, e.g. --size 4G"),
            RegionFilesError::OwnSize { medium, len, size } => {
                let refusal = by(&rule::MEDIUM_SIZE, medium);
                let fix = "omit --size: an existing medium keeps its size";
                match len {
                    Some(len) => refusal
                        .off_by(format!(
                            "it has {} ({len} bytes), and {} are requested",
                            ByteSize(*len),
                            ByteSize(*size)
                        ))
                        .fix(format!("{fix}; or truncate -s {} {} first", argument(*size), path_word(medium))),
                    None => refusal.off_by("it is a device").fix(fix),
                }
            }
        }
    }
}
