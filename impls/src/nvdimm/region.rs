//! A region: a contiguous range of persistent memory, divided into namespaces by its labels.
//!
//! ```text
//!  physical start                                               end
//!  | namespace a | free | namespace b        | …               |      medium: bytes 0 … size
//!  '-- offset, size in the labels; info block 4 KiB from its start
//! ```
//!
//! Labels store offsets from the region's start. If another firmware moves the region, its
//! namespaces move with it.
//!
//! **Write ordering.** A new region's label file gets its name once it is complete. To create a
//! namespace, three steps are needed: write the info block into free bytes, a barrier, write the
//! labels. To destroy, disable or enable a namespace, only the labels are written. A process issues
//! a barrier before its first change, because what it read may be from a process that was killed
//! before its own barrier. So at any time the labels are the old ones or the new ones, and a
//! namespace that they list has a complete info block. See [`storage`](super::storage) for the
//! assumptions about a medium.
//!
//! Source: `drivers/nvdimm/region_devs.c`, `namespace_devs.c`, `pfn_devs.c`.

mod error;
mod lifecycle;
mod placement;
mod probe;

pub use super::region_align::{DEFAULT_ALIGN, RegionAlign};
pub use error::{CreateRegionError, RegionError};
pub use placement::NamespaceSpec;
pub use probe::Personality;

use super::label::{CopyError, Current, InvalidTable, LABEL_FILE_BYTES, Label, PAGE_BYTES, Table};
use super::storage::{Storage, StorageFile};
use super::{Extent, Host};
use std::path::Path;

/// A UUID in the byte order of the medium.
pub type Uuid = [u8; 16];

/// An open region.
///
/// ```
/// use memmap_layouts::layouts::DaxX86;
/// use memmap_layouts::machine::{Machine, MachineConfig};
/// use memmap_layouts::nvdimm::label::{LABEL_FILE_BYTES, NamespaceKind};
/// use memmap_layouts::nvdimm::region::{DEFAULT_ALIGN, NamespaceSpec, Region};
/// use memmap_layouts::nvdimm::storage::StorageFile;
/// use memmap_layouts::nvdimm::{Host, RecordsOn, division::Surroundings, namespace};
/// use memmap_layouts::rules::RuleSet;
/// use memmap_layouts::{BootMap, Config, RecordStore};
///
/// // A region of 256 MiB at 4 GiB, in two files: the medium and its labels.
/// let dir = tempfile::tempdir_in("/dev/shm")?;
/// let medium = StorageFile::create(&dir.path().join("pmem0"), 256 << 20)?;
/// let labels = StorageFile::create(&dir.path().join("pmem0.labels"), LABEL_FILE_BYTES)?;
/// let mut region = Region::create(medium, labels, 4 << 30, DEFAULT_ALIGN, &Host::X86_64)?;
///
/// // A namespace of 128 MiB that keeps its records on the medium.
/// let wanted = NamespaceSpec {
///     size: 128 << 20,
///     align: 2 << 20,
///     kind: NamespaceKind::FsDax,
///     records: RecordsOn::Medium,
///     name: "namespace0.0".to_owned(),
///     uuid: [1; 16],
///     instance: [2; 16],
///     skips_to_sub_section: false,
/// };
/// let division = region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED)?;
/// assert_eq!(division.ok_or("it has records")?.usable(), 124 << 20);
///
/// // A machine maps it, as at boot.
/// let (config, layout) = (MachineConfig::default(), Config::default());
/// let machine = Machine::<DaxX86>::boot(&BootMap::default(), config, &layout, RecordStore::unlimited())?;
/// let enabled = namespace::enable(&region, &region.labels()[0], &Host::X86_64, &machine, &mut ())?;
/// namespace::disable(&enabled, &machine)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Region<S> {
    medium: S,
    labels: S,
    table: Table,
    current: Current,
    /// Why one copy of the labels was invalid when the region was opened; `None` if both were
    /// valid.
    damaged: Option<CopyError>,
    /// True if a barrier has made the labels that were read durable.
    is_settled: bool,
    start: u64,
}

impl<S: Storage> Region<S> {
    /// Creates a region without namespaces on a medium. Overwrites the label file. A number for `align`
    /// is the alignment in bytes of a region on one DIMM.
    ///
    /// # Errors
    /// Start, size or alignment is invalid, or the labels cannot be written.
    pub fn create(
        medium: S,
        labels: S,
        start: u64,
        align: impl Into<RegionAlign>,
        host: &Host,
    ) -> Result<Self, RegionError> {
        let align = align.into();
        let size = medium.len_bytes().map_err(|source| RegionError::Medium { what: "query", at: 0, source })?;
        check_region(start, size, align, host)?;
        let mut table = Table { start, size, align, labels: Vec::new() };
        table.check().map_err(RegionError::InvalidTable)?;
        // Make the medium's length and name durable before labels refer to them.
        medium.barrier().map_err(|source| RegionError::Medium { what: "flush", at: 0, source })?;
        let current = table.write(&labels, Current::NONE)?;
        Ok(Self { medium, labels, table, current, damaged: None, is_settled: true, start })
    }

    /// Opens a region at `start`, or if `None` where it was created.
    ///
    /// # Errors
    /// The labels are damaged, or the medium is shorter than the region.
    pub fn open(medium: S, labels: S, start: Option<u64>) -> Result<Self, RegionError> {
        let (table, current, damaged) = Table::read(&labels)?;
        let start = start.unwrap_or(table.start);
        let (off, page) = (start % PAGE_BYTES, PAGE_BYTES);
        if off != 0 {
            return Err(RegionError::StartOffPage { start, off, page });
        }
        let size = table.size;
        Extent::new(start, size).ok_or(RegionError::InvalidTable(InvalidTable::Region { start, size }))?;
        let region = Self { medium, labels, table, current, damaged, is_settled: false, start };
        region.check_medium()?;
        Ok(region)
    }

    pub(super) fn check_medium(&self) -> Result<(), RegionError> {
        let len = self.medium.len_bytes().map_err(|source| RegionError::Medium { what: "query", at: 0, source })?;
        match len < self.table.size {
            true => Err(RegionError::Truncated { len, size: self.table.size }),
            false => Ok(()),
        }
    }

    /// The physical range of the region.
    pub fn extent(&self) -> Extent {
        Extent { start: self.start, size: self.table.size }
    }

    /// Physical start of the region when it was created.
    pub fn original_start(&self) -> u64 {
        self.table.start
    }

    /// Alignment of its namespaces in bytes.
    pub fn align(&self) -> u64 {
        self.table.align.bytes
    }

    /// Number of DIMMs that back it.
    pub fn mappings(&self) -> u16 {
        self.table.align.mappings
    }

    /// The labels of its namespaces, sorted by offset.
    pub fn labels(&self) -> &[Label] {
        &self.table.labels
    }

    /// Why one of the two copies of the labels is invalid, if one is. The next change repairs it.
    pub fn damaged_copy(&self) -> Option<CopyError> {
        self.damaged
    }

    /// The medium that holds the region.
    pub fn medium(&self) -> &S {
        &self.medium
    }

    /// The label of a namespace.
    ///
    /// # Errors
    /// There is no namespace with this UUID.
    pub fn label(&self, uuid: &Uuid) -> Result<&Label, RegionError> {
        self.table.labels.iter().find(|label| label.uuid == *uuid).ok_or(RegionError::NoSuchNamespace)
    }

    /// The physical range of a namespace.
    pub fn namespace(&self, label: &Label) -> Extent {
        Extent { start: self.start + label.offset, size: label.size }
    }

    /// The table after a change, if the result is valid.
    fn changed(&self, change: impl FnOnce(&mut Table)) -> Result<Table, RegionError> {
        let mut table = self.table.clone();
        change(&mut table);
        table.check().map_err(RegionError::InvalidTable)?;
        Ok(table)
    }
}

impl Region<StorageFile> {
    /// Path of its label file.
    pub fn label_path(&self) -> &Path {
        self.labels.path()
    }

    /// Creates a region. The label file gets its name only when complete, so an interruption leaves
    /// complete labels or none. A medium that was created or extended for this remains.
    ///
    /// # Errors
    /// Start, size or alignment is invalid, or labels exist already or cannot be written.
    pub fn create_with_label_file(
        medium: StorageFile,
        labels: &Path,
        start: u64,
        align: impl Into<RegionAlign>,
        host: &Host,
    ) -> Result<Self, CreateRegionError> {
        let labels = StorageFile::create_unnamed(labels, LABEL_FILE_BYTES)?;
        let mut region = Self::create(medium, labels, start, align, host)?;
        region.labels.link()?;
        region.medium.keep();
        Ok(region)
    }
}

/// Checks start, size and alignment of a region, all in bytes. A number for `align` is the alignment of
/// a region on one DIMM.
///
/// # Errors
/// [`RegionError`] for the first invalid value.
pub fn check_region(start: u64, size: u64, align: impl Into<RegionAlign>, host: &Host) -> Result<(), RegionError> {
    let align = align.into();
    let page = host.page_bytes;
    if size < page {
        return Err(RegionError::TooSmall { size, page });
    }
    if !start.is_multiple_of(page) {
        return Err(RegionError::StartOffPage { start, off: start % page, page });
    }
    Extent::new(start, size).ok_or(RegionError::InvalidTable(InvalidTable::Region { start, size }))?;
    match align.is_possible(size, page) {
        true => Ok(()),
        false => Err(RegionError::Align { align, size, page }),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::nvdimm::storage::Access;
    use crate::nvdimm::tests::{GIB, KIB, MIB, Media};
    use rustix::io::Errno;

    #[test]
    fn creating_a_region_on_an_existing_file_keeps_its_bytes() {
        let media = Media::new();
        std::fs::write(media.medium(), vec![0xa5; 1 << 20]).unwrap();
        let create = || {
            let medium = media.open_medium(Access::Write);
            Region::create_with_label_file(medium, &media.labels(), 4 * GIB, 4 * KIB, &Host::X86_64)
        };
        let region = create().unwrap();
        assert_eq!((region.extent().size, region.labels().len()), (1 << 20, 0));
        drop(region);
        assert!(std::fs::read(media.medium()).unwrap().iter().all(|byte| *byte == 0xa5));
        let error = create().unwrap_err();
        assert!(matches!(&error, CreateRegionError::Storage(error) if error.errno() == Errno::EXIST), "{error}");
        assert_eq!(std::fs::read_dir(media.dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_region_has_at_least_a_page_and_starts_on_a_page_boundary() {
        let media = Media::new();
        std::fs::write(media.medium(), [0; 4095]).unwrap();
        let create = |start| {
            let medium = media.open_medium(Access::Write);
            Region::create_with_label_file(medium, &media.labels(), start, 4 * KIB, &Host::X86_64).map(drop)
        };
        assert!(matches!(create(4 * GIB), Err(CreateRegionError::Region(RegionError::TooSmall { size: 4095, .. }))));
        std::fs::write(media.medium(), [0; 4096]).unwrap();
        assert!(matches!(
            create(4 * GIB + 1),
            Err(CreateRegionError::Region(RegionError::StartOffPage { off: 1, .. }))
        ));
        assert!(!media.labels().exists());
        create(4 * GIB).unwrap();
    }

    #[test]
    fn a_region_cannot_be_opened_off_a_page_boundary() {
        let media = Media::new();
        drop(media.region(4 * GIB, 256 * MIB, 16 * MIB));
        for start in [4 * GIB + 1, 4 * GIB + 2048, 4095] {
            let error = media.open(Some(start), Access::Write).unwrap_err();
            assert!(matches!(error, RegionError::StartOffPage { .. }), "{error}");
        }
        let mut forged = Table { start: 4 * GIB + 1, size: GIB, align: 4096.into(), labels: Vec::new() };
        assert_eq!(forged.check(), Err(InvalidTable::Start(4 * GIB + 1)));
    }
}
