//! Refusals of files and devices.

use super::rule::{self, Rule};
use super::shell::path_word;
use super::{Refusal, Subject, lock_holders};
use memmap_layouts::nvdimm::storage::StorageError;
use rustix::io::Errno;
use std::io::ErrorKind;
use std::path::Path;

impl Refusal {
    /// The refusal of a medium or a label file that cannot be opened, created or used.
    pub fn from_storage(error: &StorageError) -> Self {
        let by = |rule: &'static Rule, path: &Path| {
            Self::new(rule, &Subject::new(path.display().to_string())).errno(error.errno())
        };
        match error {
            StorageError::Io { path, source, .. }
                if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                by(&rule::READ_ONLY, path)
                    .off_by(source.to_string())
                    .cost("nothing; the medium is unchanged")
                    .fix("run as a user with these permissions; list and check need read permission only")
            }
            StorageError::Io { path, what, source }
                if matches!(
                    source.kind(),
                    ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded
                ) || source.raw_os_error() == Some(Errno::IO.raw_os_error()) =>
            {
                by(&rule::MEDIUM_IO, path)
                    .off_by(format!("cannot {what} it: {source}"))
                    .cost("nothing was created")
                    .fix("choose a smaller size, or a folder on a file system with enough free space")
            }
            StorageError::Io { path, what, source } => {
                let refusal = by(&rule::NO_FILE, path).off_by(format!("cannot {what} it: {source}"));
                refusal.fix(match source.kind() {
                    ErrorKind::NotFound => advice_for_missing(path),
                    ErrorKind::AlreadyExists => "choose another name, or move the existing file".to_owned(),
                    _ => "remove the cause that the operating system reports".to_owned(),
                })
            }
            StorageError::NoMedium { path, found } => by(&rule::NO_MEDIUM, path)
                .off_by(format!("it is {found}"))
                .fix("use a file that pfnbench namespace region created, or /dev/daxX.Y (daxctl list shows them)"),
            StorageError::Busy { path } => by(&rule::BUSY, path)
                .who(lock_holders::describe(path))
                .cost("nothing; the medium is unchanged")
                .fix("wait until the other process has ended, or end it"),
            StorageError::Device(error) => Self::new(&rule::NO_MEDIUM, &Subject::new("the device"))
                .off_by(error.to_string())
                .fix("use a device with a mapping unit of at most 2 MiB and read and write permission"),
        }
    }

    /// The refusal of a new label file.
    pub fn from_label_file(error: &StorageError) -> Self {
        match error {
            StorageError::Io { path, source, .. } if source.kind() == ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(Path::new("."));
                Self::from_storage(error).fix(format!("create the folder: mkdir -p {}", path_word(folder)))
            }
            error => Self::from_storage(error),
        }
    }
}

/// Advice for a file that does not exist.
fn advice_for_missing(path: &Path) -> String {
    let creates = format!("pfnbench namespace region {} --size 4G creates a region", path_word(path));
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        Some(folder) => format!("use an existing path; {creates} after mkdir -p {}", path_word(folder)),
        None => format!("use an existing path; {creates}"),
    }
}
