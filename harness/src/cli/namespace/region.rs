//! The command `pfnbench namespace region`.

use super::media::{PathArgs, beside, is_there};
use super::remedy::{Tried, tried};
use crate::cli::{Answer, Json, print, print_json};
use crate::interrupt::Interrupt;
use crate::pmem::capacity::HOST;
use crate::pmem::refusal::Subject;
use crate::pmem::refusal::files_error::FilesError;
use crate::size::{argument, parse_size};
use anyhow::Context;
use clap::Args;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::PHYSICAL_SPACE_BYTES;
use memmap_layouts::nvdimm::label::InvalidTable;
use memmap_layouts::nvdimm::region::{DEFAULT_ALIGN, Region, RegionError, check_region};
use memmap_layouts::nvdimm::storage::{Access, Storage, StorageError, StorageFile};
use rustix::fs::Access as May;
use serde_json::json;
use std::io::ErrorKind;
use std::path::Path;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace region /dev/shm/pmem0 --size 4G
  pfnbench namespace region pmem0 --size 252G --start 0x187c000000
  pfnbench namespace region image                       a file that is there; its bytes stay as they are
  pfnbench namespace region /dev/dax0.0 --labels dax0.0.labels")]
pub(super) struct RegionArgs {
    #[command(flatten)]
    paths: PathArgs,
    /// Size of the sparse file to create, e.g. 64G; an existing file or device keeps its own size
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// Physical address of the first byte. Default: the device's if the kernel reports it, else
    /// 0x100000000
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    start: Option<u64>,
    /// Alignment of namespaces. Default: 16 MiB, or 4 KiB if the region is smaller
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    align: Option<u64>,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Default physical start address of a region in bytes: 4 GiB.
const DEFAULT_START: u64 = 4 << 30;

/// The requested properties of a region.
#[derive(Clone, Copy)]
struct Shape {
    start: u64,
    size: u64,
    align: Option<u64>,
}

impl Shape {
    fn align(&self) -> u64 {
        self.align.unwrap_or(if self.size < DEFAULT_ALIGN { HOST.page_bytes } else { DEFAULT_ALIGN })
    }

    fn check(&self) -> Result<(), RegionError> {
        check_region(self.start, self.size, self.align(), &HOST)
    }

    /// Arguments that would work instead.
    fn remedies(&self, error: &RegionError, has_own_size: bool) -> Vec<String> {
        let align = |align| Tried::new(format!("--align {}", argument(align)), Self { align: Some(align), ..*self });
        let start = |start: u64| Tried::new(format!("--start {start:#x}"), Self { start, ..*self });
        let size = |size| Tried::new(format!("--size {}", argument(size)), Self { size, ..*self });
        let mut candidates = match error {
            RegionError::Align { .. } => vec![align(DEFAULT_ALIGN), align(HOST.compat_bytes), align(HOST.page_bytes)],
            RegionError::StartOffPage { start: at, off, .. } => {
                let below = at - at % HOST.compat_bytes;
                vec![start(below), start(below.saturating_add(HOST.compat_bytes)), start(at - off)]
            }
            RegionError::InvalidTable(InvalidTable::Region { .. }) => {
                let last = PHYSICAL_SPACE_BYTES.saturating_sub(self.size);
                let room = PHYSICAL_SPACE_BYTES.saturating_sub(self.start);
                vec![start(last - last % HOST.compat_bytes), size(room - room % DEFAULT_ALIGN), start(DEFAULT_START)]
            }
            RegionError::TooSmall { .. } => vec![size(HOST.page_bytes), size(DEFAULT_ALIGN)],
            _ => Vec::new(),
        };
        candidates.retain(|candidate| !has_own_size || candidate.request.size == self.size);
        tried(candidates, |shape| shape.check().is_ok())
    }
}

impl RegionArgs {
    /// Checks start, size and alignment before anything is created.
    fn shape(&self, size: u64, physical_start: Option<u64>, has_own_size: bool) -> anyhow::Result<Shape> {
        let start = self.start.or(physical_start).unwrap_or(DEFAULT_START);
        let shape = Shape { start, size, align: self.align };
        shape.check().map_err(|error| {
            let subject = self.paths.subject().with(shape.remedies(&error, has_own_size));
            anyhow::Error::new(error).context(subject)
        })?;
        Ok(shape)
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let interrupt = Interrupt::listen().context("cannot listen to signals")?;
        let is_medium_made_by_another = |error: &anyhow::Error| {
            let is_there = |source: &std::io::Error| source.kind() == ErrorKind::AlreadyExists;
            let error = error.downcast_ref::<StorageError>();
            matches!(error, Some(StorageError::Io { path, source, .. }) if *path == self.paths.medium && is_there(source))
        };
        match self.make(&interrupt) {
            // Another process created the file first. It is now used or refused like any existing
            // file.
            Err(error) if is_medium_made_by_another(&error) && self.paths.medium.is_file() => self.make(&interrupt),
            made => made,
        }
    }

    fn make(&self, interrupt: &Interrupt) -> anyhow::Result<Answer> {
        let (path, labels) = (&self.paths.medium, self.paths.labels()?);
        // Opening an existing file reports whether it can be used.
        let is_new = std::fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let mut medium = match (is_new, self.size) {
            (true, None) => return Err(self.size_missing()),
            (true, Some(size)) => {
                self.shape(size, None, false)?;
                StorageFile::create_temporary(path, size)?
            }
            (false, _) => StorageFile::open(path, Access::Write)?,
        };
        // From here on, no other process can create a region on it.
        self.refuse_labels(&labels)?;
        let len = medium.len_bytes().with_context(|| format!("cannot ask {} for its size", path.display()))?;
        let is_device = self.paths.is_device();
        let size = match self.size {
            None if len == 0 => return Err(self.size_missing()),
            None => len,
            Some(size) if len == 0 || len == size && !is_device => size,
            Some(size) => {
                let (medium, len) = (path.clone(), Some(len).filter(|_| !is_device));
                return Err(FilesError::OwnSize { medium, len, size }.into());
            }
        };
        let is_as_found = !is_new && len > 0;
        let shape = self.shape(size, medium.physical_start(), is_as_found)?;
        if len == 0 {
            medium.extend_temporarily(size)?;
        }
        interrupt.check()?;
        let region = Region::create_with_label_file(medium, &labels, shape.start, shape.align(), &HOST);
        let region = region.with_context(|| self.paths.subject())?;
        let off = shape.start % HOST.compat_bytes;
        if off != 0 {
            eprintln!(
                "warning: the region begins {} past a sub-section of {}: namespaces of it that begin off one have no records \
                 (--mode raw of create), since Linux 5.3",
                Bytes(off),
                Bytes(HOST.compat_bytes)
            );
        }
        self.say(&region, &labels, is_as_found && !is_device)
    }

    /// Refuses if these labels, or the default labels of the file, exist already. Two regions on
    /// one medium would overwrite each other.
    fn refuse_labels(&self, labels: &Path) -> Result<(), FilesError> {
        let medium = || self.paths.medium.clone();
        if is_there(labels)? {
            let is_named = self.paths.are_labels_named();
            return Err(FilesError::IsRegion { medium: medium(), labels: labels.to_owned(), is_named });
        }
        let usual = beside(&self.paths.medium);
        match !self.paths.is_device() && is_there(&usual).unwrap_or(false) {
            true => Err(FilesError::IsRegion { medium: medium(), labels: usual, is_named: false }),
            false => Ok(()),
        }
    }

    fn size_missing(&self) -> anyhow::Error {
        let (start, size) = (self.start.unwrap_or(DEFAULT_START), 4 << 30);
        let works = [Tried::new("--size 4G", Shape { start, size, align: self.align })];
        let works = tried(works, |shape| shape.check().is_ok() && self.can_be_made());
        let error = FilesError::SizeMissing { medium: self.paths.medium.clone() };
        anyhow::Error::new(error).context(Subject::default().with(works))
    }

    /// True if the parent folder is writable, and the path is free or a regular file.
    fn can_be_made(&self) -> bool {
        let path = &self.paths.medium;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        rustix::fs::access(folder, May::WRITE_OK | May::EXEC_OK).is_ok()
            && (path.is_file() || path.symlink_metadata().is_err())
    }

    fn say(&self, region: &Region<StorageFile>, labels: &Path, is_as_found: bool) -> anyhow::Result<Answer> {
        let (extent, align) = (region.extent(), region.align());
        match self.json.json {
            true => print_json(&json!({
                "medium": self.paths.medium, "labels": labels, "start": extent.start, "size_bytes": extent.size,
                "align_bytes": align, "medium_was_there": is_as_found,
            }))?,
            false => print(format!(
                "region of {} at {:#x}, namespaces on multiples of {}{}",
                Bytes(extent.size),
                extent.start,
                Bytes(align),
                if is_as_found { "; the file was there, and its bytes are as they were" } else { "" }
            ))?,
        }
        Ok(Answer::Yes)
    }
}
