//! `pfnbench namespace region`.

use super::media::{PathArgs, beside, is_there};
use super::remedy::{Tried, tried};
use crate::capacity::HOST;
use crate::cli::{Answer, Json, print, print_json};
use crate::interrupt::Interrupt;
use crate::refusal::Subject;
use crate::refusal::files_error::FilesError;
use crate::units::{argument, parse_size};
use anyhow::{Context, bail};
use clap::Args;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::PHYSICAL_SPACE_BYTES;
use memmap_layouts::nvdimm::label::InvalidTable;
use memmap_layouts::nvdimm::region::{DEFAULT_ALIGN, Region, RegionError, check_region};
use memmap_layouts::nvdimm::storage::{Access, Medium, Storage, StorageError};
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
    /// Bytes of the file to be made, sparse, e.g. 64G; a file or a device that is there has its own.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: Option<u64>,
    /// Physical address of the first byte: the device's if the kernel tells it, else 0x100000000.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    start: Option<u64>,
    /// Namespaces begin at multiples of this; 16 MiB, or 4 KiB if the region is smaller.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    align: Option<u64>,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Where a region begins if nobody says it.
const DEFAULT_START: u64 = 4 << 30;

/// What a region is asked to be.
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

    /// What works instead.
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
            RegionError::Wanted(InvalidTable::Region { .. }) => {
                let last = PHYSICAL_SPACE_BYTES.saturating_sub(self.size);
                let room = PHYSICAL_SPACE_BYTES.saturating_sub(self.start);
                vec![start(last - last % HOST.compat_bytes), size(room - room % DEFAULT_ALIGN), start(DEFAULT_START)]
            }
            RegionError::Smaller { .. } => vec![size(HOST.page_bytes), size(DEFAULT_ALIGN)],
            _ => Vec::new(),
        };
        candidates.retain(|candidate| !has_own_size || candidate.request.size == self.size);
        tried(candidates, |shape| shape.check().is_ok())
    }
}

/// What the medium is before anything is done.
enum Found {
    Device,
    /// A file with its own length.
    File(u64),
    /// An empty file, or none: it is given its length.
    Nothing {
        is_there: bool,
    },
    /// Nothing that could be a medium.
    Other,
}

impl RegionArgs {
    fn find(&self) -> Found {
        match std::fs::metadata(&self.paths.medium) {
            _ if self.paths.is_device() => Found::Device,
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Found::Nothing { is_there: true },
            Ok(metadata) if metadata.is_file() => Found::File(metadata.len()),
            Ok(_) => Found::Other,
            Err(error) if error.kind() != ErrorKind::NotFound => Found::Other,
            Err(_) => Found::Nothing { is_there: false },
        }
    }

    /// Start, size and alignment, checked before anything is made.
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
            // Another process came first: what is there now is taken, or refused, as such.
            Err(error) if is_medium_made_by_another(&error) && self.paths.medium.is_file() => self.make(&interrupt),
            made => made,
        }
    }

    fn make(&self, interrupt: &Interrupt) -> anyhow::Result<Answer> {
        let (path, labels) = (&self.paths.medium, self.paths.labels()?);
        let check_labels = || match is_there(&labels)? {
            true => {
                let (medium, labels, is_named) = (path.clone(), labels.clone(), self.paths.are_labels_named());
                Err(FilesError::IsRegion { medium, labels, is_named })
            }
            false => Ok(()),
        };
        check_labels()?;
        // Nor under other labels: two regions of one medium would write over each other.
        let usual = beside(path);
        if !self.paths.is_device() && usual != labels && is_there(&usual).unwrap_or(false) {
            return Err(FilesError::IsRegion { medium: path.clone(), labels: usual, is_named: false }.into());
        }
        let found = self.find();
        let (medium, shape) = match (&found, self.size) {
            // It says what it is when it is opened.
            (Found::Other, _) => {
                let medium = Medium::open(path, Access::Write)?;
                bail!("{} is no medium", medium.path().display());
            }
            (Found::Nothing { .. }, None) => {
                let (start, size) = (self.start.unwrap_or(DEFAULT_START), 4 << 30);
                let works = [Tried::new("--size 4G", Shape { start, size, align: self.align })];
                let works = tried(works, |shape| shape.check().is_ok() && self.can_be_made());
                return Err(FilesError::SizeMissing { medium: path.clone() }).context(Subject::default().with(works));
            }
            (Found::Nothing { is_there }, Some(size)) => {
                let shape = self.shape(size, None, false)?;
                let medium = match is_there {
                    true => self.lengthened(size)?,
                    false => Medium::create_for_now(path, size)?,
                };
                (medium, shape)
            }
            (Found::Device, Some(size)) => {
                return Err(FilesError::OwnSize { medium: path.clone(), len: None, size }.into());
            }
            (Found::File(len), Some(size)) if *len != size => {
                return Err(FilesError::OwnSize { medium: path.clone(), len: Some(*len), size }.into());
            }
            (Found::Device | Found::File(_), _) => {
                let medium = Medium::open(path, Access::Write)?;
                let shape = self.shape(self.len_of(&medium)?, medium.physical_start(), true)?;
                (medium, shape)
            }
        };
        // Once more, now that nobody else can make it a region.
        check_labels()?;
        interrupt.check()?;
        let region = Region::found(medium, &labels, shape.start, shape.align(), &HOST);
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
        self.say(&region, &labels, matches!(found, Found::File(_)))
    }

    fn len_of(&self, medium: &Medium) -> anyhow::Result<u64> {
        medium.len_bytes().with_context(|| format!("cannot ask {} for its size", self.paths.medium.display()))
    }

    /// An empty file with a length, unless another process gave it one in between.
    fn lengthened(&self, size: u64) -> anyhow::Result<Medium> {
        let path = &self.paths.medium;
        let mut medium = Medium::open(path, Access::Write)?;
        match self.len_of(&medium)? {
            0 => medium.lengthen_for_now(size)?,
            len if len == size => {}
            len => return Err(FilesError::OwnSize { medium: path.clone(), len: Some(len), size }.into()),
        }
        Ok(medium)
    }

    /// Is there a folder for it, and nothing in the way?
    fn can_be_made(&self) -> bool {
        let path = &self.paths.medium;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        rustix::fs::access(folder, May::WRITE_OK | May::EXEC_OK).is_ok()
            && (path.is_file() || path.symlink_metadata().is_err())
    }

    fn say(&self, region: &Region<Medium>, labels: &Path, is_as_found: bool) -> anyhow::Result<Answer> {
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
