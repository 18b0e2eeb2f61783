//! Creates a region on a new or an existing file, or on a device.

use super::refusal::{Refusal, Subject};
use super::region_files::{RegionFiles, RegionFilesError, default_label_file, label_file_exists};
use super::suggestion::{Candidate, working};
use super::{HOST, PmemError};
use crate::interrupt::Interrupt;
use crate::size::argument;
use memmap_layouts::nvdimm::PHYSICAL_SPACE_BYTES;
use memmap_layouts::nvdimm::label::InvalidTable;
use memmap_layouts::nvdimm::region::{
    CreateRegionError, DEFAULT_ALIGN, Region, RegionAlign, RegionError, check_region,
};
use memmap_layouts::nvdimm::storage::{Access, Storage, StorageError, StorageFile};
use rustix::fs::Access as Permission;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Default physical start of a region in bytes: 4 GiB.
pub const DEFAULT_START: u64 = 4 << 30;

/// A region to create.
#[derive(Clone, Debug)]
pub struct NewRegion {
    /// Its medium and its label file.
    pub files: RegionFiles,
    /// Size in bytes of a new or empty file; an existing medium keeps its own.
    pub size: Option<u64>,
    /// Physical address of the first byte; `None` for the address that the kernel reports for a
    /// device, else [`DEFAULT_START`].
    pub start: Option<u64>,
    /// Alignment in bytes of the starts and sizes of namespaces; `None` for the default of the kernel:
    /// 16 MiB, or a page if the region is smaller than that, times the number of DIMMs if that does not
    /// divide it.
    pub align: Option<u64>,
    /// Number of DIMMs that take turns; 1 for a region that is not interleaved.
    pub mappings: u16,
}

/// A region that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedRegion {
    /// Path of the label file.
    pub labels: PathBuf,
    /// Physical address of the first byte.
    pub start: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Alignment of namespaces in bytes.
    pub align_bytes: u64,
    /// Number of DIMMs that take turns.
    pub mappings: u16,
    /// True if the medium is a file that existed before and was not empty. Its contents are
    /// unchanged.
    pub is_existing_file: bool,
    /// Bytes from the last sub-section boundary to the start. Unless 0, namespaces that do not
    /// start on a sub-section boundary cannot have records since Linux 5.3.
    pub past_sub_section_bytes: u64,
}

/// Start, size and alignment of a region, in bytes.
#[derive(Clone, Copy)]
struct Shape {
    start: u64,
    size: u64,
    align: Option<u64>,
    mappings: u16,
}

impl Shape {
    fn align(&self) -> RegionAlign {
        match self.align {
            Some(align) => RegionAlign::new(align, self.mappings),
            None => RegionAlign::default_for(self.size, self.mappings, HOST.page_bytes),
        }
    }

    fn check(&self) -> Result<(), RegionError> {
        check_region(self.start, self.size, self.align(), &HOST)
    }

    /// Arguments that would work instead. The size of an existing medium cannot be changed.
    fn suggestions(&self, error: &RegionError, has_own_size: bool) -> Vec<String> {
        let align =
            |align| Candidate::new(format!("--align {}", argument(align)), Self { align: Some(align), ..*self });
        let start = |start: u64| Candidate::new(format!("--start {start:#x}"), Self { start, ..*self });
        let size = |size| Candidate::new(format!("--size {}", argument(size)), Self { size, ..*self });
        let mut candidates = match error {
            RegionError::Align { .. } => {
                let default = RegionAlign::default_for(self.size, self.mappings, HOST.page_bytes);
                let per_dimm = |bytes| RegionAlign::from_per_mapping(bytes, self.mappings);
                let aligns = [default, per_dimm(HOST.compat_bytes), per_dimm(HOST.page_bytes)];
                // A larger region, if it has no room for any of them.
                let larger = size(RegionAlign::default_for(u64::MAX, self.mappings, HOST.page_bytes).bytes);
                aligns.into_iter().map(|one| align(one.bytes)).chain([larger]).collect()
            }
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
        working(candidates, |shape| shape.check().is_ok())
    }
}

impl NewRegion {
    /// Creates the region. The label file gets its name last, so an interruption leaves a complete
    /// region or none.
    ///
    /// # Errors
    /// [`PmemError::Refused`]: start, size or alignment is invalid; the files are in use, are a
    /// region already, or cannot be created. [`PmemError::Interrupted`] if the user asked to stop.
    /// A file that was created for the region is deleted again.
    pub fn create(&self, interrupt: &Interrupt) -> Result<CreatedRegion, PmemError> {
        let path = &self.files.medium;
        let labels = self.files.label_file()?;
        let (mut medium, is_new) = self.open_or_create_medium(true)?;
        // The medium is locked: from here on, no other process can create a region on it.
        self.refuse_existing_labels(&labels)?;
        let len = medium.len_bytes();
        let len = len.map_err(|source| PmemError::MediumSize { path: path.clone(), source })?;
        let is_device = self.files.is_device();
        let size = match self.size {
            None if len == 0 => return Err(self.size_missing().into()),
            None => len,
            Some(size) if len == 0 || len == size && !is_device => size,
            Some(size) => {
                let (medium, len) = (path.clone(), Some(len).filter(|_| !is_device));
                return Err(RegionFilesError::OwnSize { medium, len, size }.into());
            }
        };
        let is_existing = !is_new && len > 0;
        let shape = self.shape(size, medium.physical_start(), is_existing)?;
        if len == 0 {
            medium.extend_temporarily(size)?;
        }
        interrupt.check()?;
        let region = Region::create_with_label_file(medium, &labels, shape.start, shape.align(), &HOST);
        let region = region.map_err(|error| match error {
            CreateRegionError::Region(error) => Refusal::from_region(&error, &self.files.subject()),
            CreateRegionError::Storage(error) => Refusal::from_label_file(&error),
        })?;
        Ok(CreatedRegion {
            labels,
            start: region.extent().start,
            size_bytes: region.extent().size,
            align_bytes: region.align(),
            mappings: region.mappings(),
            is_existing_file: is_existing && !is_device,
            past_sub_section_bytes: shape.start % HOST.compat_bytes,
        })
    }

    /// Opens an existing medium or creates a file, and tells whether it created one. Opening
    /// reports whether an existing file can be used.
    fn open_or_create_medium(&self, may_retry: bool) -> Result<(StorageFile, bool), PmemError> {
        let path = &self.files.medium;
        let is_missing = fs::metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound);
        match (is_missing, self.size) {
            (true, None) => Err(self.size_missing().into()),
            (true, Some(size)) => {
                self.shape(size, None, false)?;
                match StorageFile::create_temporary(path, size) {
                    // Another process created the file first. It is used or refused like any
                    // existing file.
                    Err(StorageError::Io { source, .. })
                        if source.kind() == ErrorKind::AlreadyExists && may_retry && path.is_file() =>
                    {
                        self.open_or_create_medium(false)
                    }
                    created => Ok((created?, true)),
                }
            }
            (false, _) => Ok((StorageFile::open(path, Access::Write)?, false)),
        }
    }

    /// Checks start, size and alignment.
    fn shape(&self, size: u64, physical_start: Option<u64>, has_own_size: bool) -> Result<Shape, PmemError> {
        let start = self.start.or(physical_start).unwrap_or(DEFAULT_START);
        let shape = Shape { start, size, align: self.align, mappings: self.mappings };
        shape.check().map_err(|error| {
            let subject = self.files.subject().with_suggestions(shape.suggestions(&error, has_own_size));
            Refusal::from_region(&error, &subject)
        })?;
        Ok(shape)
    }

    /// Refuses if the label file, or the default label file of the medium, exists. Two regions on
    /// one medium would overwrite each other.
    fn refuse_existing_labels(&self, labels: &Path) -> Result<(), RegionFilesError> {
        let medium = || self.files.medium.clone();
        if label_file_exists(labels)? {
            let is_named = self.files.labels.is_some();
            return Err(RegionFilesError::IsRegion { medium: medium(), labels: labels.to_owned(), is_named });
        }
        let default = default_label_file(&self.files.medium);
        match !self.files.is_device() && label_file_exists(&default).unwrap_or(false) {
            true => Err(RegionFilesError::IsRegion { medium: medium(), labels: default, is_named: false }),
            false => Ok(()),
        }
    }

    fn size_missing(&self) -> Refusal {
        let (start, size) = (self.start.unwrap_or(DEFAULT_START), 4 << 30);
        let candidates =
            [Candidate::new("--size 4G", Shape { start, size, align: self.align, mappings: self.mappings })];
        let suggestions = working(candidates, |shape| shape.check().is_ok() && self.can_create_medium());
        let error = RegionFilesError::SizeMissing { medium: self.files.medium.clone() };
        Refusal::from_region_files(&error, &Subject::default().with_suggestions(suggestions))
    }

    /// True if the parent folder is writable, and the path is free or a regular file.
    fn can_create_medium(&self) -> bool {
        let path = &self.files.medium;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        rustix::fs::access(folder, Permission::WRITE_OK | Permission::EXEC_OK).is_ok()
            && (path.is_file() || path.symlink_metadata().is_err())
    }
}
