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

use super::division::{Division, DivisionError, Overlap, Surroundings, Terms};
use super::forecast::MACHINE_SPACE_BYTES;
use super::info_block::{Contents, INFO_BLOCK_BYTES, InfoBlock, InfoBlockError, Settings, Signature};
use super::label::{
    CopyError, Current, InvalidTable, LABEL_FILE_BYTES, Label, LabelError, NamespaceKind, PAGE_BYTES, Table,
};
use super::storage::{Medium, Storage, StorageError};
use super::{Data, Extent, Host, INFO_BLOCK_OFFSET, RecordsOn};
use crate::bytes::Bytes;
use crate::rules::RuleSet;
use rustix::io::Errno;
use std::io;
use std::path::Path;
use thiserror::Error;
use zerocopy::IntoBytes;

/// Default alignment in bytes of the starts and sizes of namespaces. Source: `default_align`.
pub const DEFAULT_ALIGN: u64 = 16 << 20;

/// A UUID in the byte order of the medium.
pub type Uuid = [u8; 16];

/// Why an operation on a region or one of its namespaces failed.
#[derive(Debug, Error)]
pub enum RegionError {
    /// The labels cannot be read or written.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The medium cannot be read or written.
    #[error("cannot {what} the medium at {at:#x}: {source}")]
    Medium {
        /// The operation that failed.
        what: &'static str,
        /// Offset in bytes from the start of the medium.
        at: u64,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The medium is shorter than its region.
    #[error("the medium has {} and its labels describe {}: {} are missing at its end", Bytes(*len), Bytes(*size), Bytes(size - len))]
    Truncated {
        /// Size of the medium in bytes.
        len: u64,
        /// Size of the region in bytes.
        size: u64,
    },
    /// The alignment is invalid for this region.
    #[error("a region of {} cannot be aligned to {}: a power of two from {} to its size works, as {}", Bytes(*size), Bytes(*align), Bytes(*page), Bytes(DEFAULT_ALIGN.min(*size)))]
    Align {
        /// The requested value in bytes.
        align: u64,
        /// Size of the region in bytes.
        size: u64,
        /// Page size in bytes.
        page: u64,
    },
    /// The medium is smaller than a page.
    #[error("a region of {} is none: it has at least a page of {}", Bytes(*size), Bytes(*page))]
    Smaller {
        /// Size of the medium in bytes.
        size: u64,
        /// Page size in bytes.
        page: u64,
    },
    /// The start is not a multiple of a page.
    #[error("a region cannot begin at {start:#x}, {} past a page of {}", Bytes(*off), Bytes(*page))]
    StartOffPage {
        /// The requested value in bytes.
        start: u64,
        /// Bytes from the page boundary below to the start.
        off: u64,
        /// Page size in bytes.
        page: u64,
    },
    /// The size is not a multiple of the region's alignment.
    #[error("a namespace of {} is refused: sizes are multiples of the region's alignment of {}, and this is {} past one; {} works", Bytes(*size), Bytes(*align), Bytes(size % align), Bytes(size.div_ceil(*align).max(1).saturating_mul(*align)))]
    Size {
        /// The requested value in bytes.
        size: u64,
        /// Alignment of the region in bytes.
        align: u64,
    },
    /// No free piece is large enough.
    #[error("a namespace of {} does not fit: the largest free piece has {}", Bytes(*size), Bytes(*largest))]
    NoSpace {
        /// The requested value in bytes.
        size: u64,
        /// Size of the largest free piece in bytes.
        largest: u64,
    },
    /// RAM or another region overlaps the namespace.
    #[error(
        "{} of the namespace at {:#x} are within {:#x}-{:#x}",
        Bytes(overlap.by), namespace.start, overlap.other.start, overlap.other.end() - 1
    )]
    Taken {
        /// Where the namespace would be.
        namespace: Extent,
        /// The overlapping RAM or region.
        overlap: Overlap,
    },
    /// The namespace exceeds the machine's physical address space.
    #[error("the namespace ends {} beyond the physical space of the machine", Bytes(*beyond))]
    Beyond {
        /// Bytes above the top of that space.
        beyond: u64,
    },
    /// The change would make the labels invalid.
    #[error("that cannot be: {0}")]
    Wanted(InvalidTable),
    /// The namespace cannot be divided.
    #[error(transparent)]
    Division(#[from] DivisionError),
    /// The info block is invalid.
    #[error(transparent)]
    InfoBlock(#[from] InfoBlockError),
    /// There is no namespace with this UUID.
    #[error("there is no such namespace")]
    NoSuchNamespace,
    /// The namespace is enabled.
    #[error("namespace {name} is enabled; disable it first")]
    Enabled {
        /// Name of the namespace.
        name: String,
    },
}

impl RegionError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> Errno {
        let of_io = |source: &io::Error| Errno::from_io_error(source).unwrap_or(Errno::IO);
        match self {
            Self::Label(LabelError::Io { source, .. }) => of_io(source),
            Self::Label(LabelError::Damaged(_)) | Self::Truncated { .. } | Self::NoSuchNamespace => Errno::NXIO,
            Self::Label(LabelError::Invalid(_)) | Self::Wanted(_) | Self::Align { .. } | Self::Size { .. } => {
                Errno::INVAL
            }
            Self::Smaller { .. } | Self::StartOffPage { .. } => Errno::INVAL,
            // `nd_pfn_validate` returns ENXIO for any read error.
            Self::Medium { what: "read", .. } => Errno::NXIO,
            Self::Medium { source, .. } => of_io(source),
            Self::NoSpace { .. } => Errno::NOSPC,
            Self::Taken { .. } => Errno::BUSY,
            Self::Beyond { .. } => Errno::RANGE,
            Self::Division(error) => error.errno(),
            Self::InfoBlock(error) => error.errno(),
            Self::Enabled { .. } => Errno::BUSY,
        }
    }
}

/// The namespace to create.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Length in bytes.
    pub size: u64,
    /// Alignment of its data in bytes.
    pub align: u64,
    /// The kind of namespace.
    pub kind: NamespaceKind,
    /// Where to keep its records; a raw namespace has none.
    pub records: RecordsOn,
    /// Name of the namespace.
    pub name: String,
    /// UUID of the namespace.
    pub uuid: Uuid,
    /// UUID of the instance, for its info block.
    pub instance: Uuid,
    /// Skip free bytes below the first sub-section of a piece if a namespace with records cannot
    /// begin there. Linux takes them, and then refuses the namespace.
    pub skips_to_sub_section: bool,
}

/// What a probe finds a namespace to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// A raw block device that uses the whole namespace.
    Raw,
    /// A namespace with records.
    Pages(Signature, Settings),
}

/// A namespace with a place that is not written to the medium yet.
struct Placed {
    label: Label,
    after: Table,
    division: Option<(Signature, Division)>,
}

/// An open region.
#[derive(Debug)]
pub struct Region<S> {
    medium: S,
    labels: S,
    table: Table,
    current: Current,
    /// Why one copy of the labels was invalid when the region was opened; `None` if both were
    /// valid.
    damaged: Option<CopyError>,
    /// A barrier has made the labels that were read durable.
    is_settled: bool,
    start: u64,
}

fn check_align(align: u64, size: u64, host: &Host) -> Result<(), RegionError> {
    match align.is_power_of_two() && align >= host.page_bytes && align <= size {
        true => Ok(()),
        false => Err(RegionError::Align { align, size, page: host.page_bytes }),
    }
}

/// Checks start, size and alignment of a region, all in bytes.
///
/// # Errors
/// [`RegionError`] for the first invalid value.
pub fn check_region(start: u64, size: u64, align: u64, host: &Host) -> Result<(), RegionError> {
    let page = host.page_bytes;
    if size < page {
        return Err(RegionError::Smaller { size, page });
    }
    if !start.is_multiple_of(page) {
        return Err(RegionError::StartOffPage { start, off: start % page, page });
    }
    Extent::new(start, size).ok_or(RegionError::Wanted(InvalidTable::Region { start, size }))?;
    check_align(align, size, host)
}

fn signature(kind: NamespaceKind) -> Option<Signature> {
    match kind {
        NamespaceKind::Raw => None,
        NamespaceKind::FsDax => Some(Signature::Pfn),
        NamespaceKind::DevDax => Some(Signature::Dax),
    }
}

impl<S: Storage> Region<S> {
    /// Creates a region without namespaces on a medium. Overwrites the label file.
    ///
    /// # Errors
    /// Start, size or alignment is invalid, or the labels cannot be written.
    pub fn create(medium: S, labels: S, start: u64, align: u64, host: &Host) -> Result<Self, RegionError> {
        let size = medium.len_bytes().map_err(|source| RegionError::Medium { what: "ask", at: 0, source })?;
        check_region(start, size, align, host)?;
        let mut table = Table { start, size, align, labels: Vec::new() };
        table.check().map_err(RegionError::Wanted)?;
        // Make the medium's length and name durable before labels refer to them.
        medium.barrier().map_err(|source| RegionError::Medium { what: "keep", at: 0, source })?;
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
        Extent::new(start, size).ok_or(RegionError::Wanted(InvalidTable::Region { start, size }))?;
        let region = Self { medium, labels, table, current, damaged, is_settled: false, start };
        region.check_medium()?;
        Ok(region)
    }

    pub(super) fn check_medium(&self) -> Result<(), RegionError> {
        let len = self.medium.len_bytes().map_err(|source| RegionError::Medium { what: "ask", at: 0, source })?;
        match len < self.table.size {
            true => Err(RegionError::Truncated { len, size: self.table.size }),
            false => Ok(()),
        }
    }

    /// The physical range of the region.
    pub fn extent(&self) -> Extent {
        Extent { start: self.start, size: self.table.size }
    }

    /// Alignment of its namespaces in bytes.
    pub fn align(&self) -> u64 {
        self.table.align
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

    /// Free pieces as (offset, size) in bytes, both multiples of the region's alignment.
    pub fn free(&self) -> Vec<(u64, u64)> {
        let (mut free, mut begin) = (Vec::new(), 0u64);
        let ends = self.table.labels.iter().map(|label| (label.offset, label.end()));
        for (offset, end) in ends.chain([(self.table.size, self.table.size)]) {
            let first = begin.next_multiple_of(self.table.align);
            let len = offset.saturating_sub(first) / self.table.align * self.table.align;
            if len > 0 {
                free.push((first, len));
            }
            begin = end;
        }
        free
    }

    /// The table after a change, if the result is valid.
    fn changed(&self, change: impl FnOnce(&mut Table)) -> Result<Table, RegionError> {
        let mut table = self.table.clone();
        change(&mut table);
        table.check().map_err(RegionError::Wanted)?;
        Ok(table)
    }

    /// Makes the labels that were read durable before the first change. They may be from a process
    /// that was killed before its barrier, so a change must not yet overwrite the durable copy.
    fn settle(&mut self) -> Result<(), RegionError> {
        if !self.is_settled {
            self.medium.barrier().map_err(|source| RegionError::Medium { what: "keep", at: 0, source })?;
            self.labels.barrier().map_err(|source| LabelError::Io { what: "keep what was in", source })?;
            self.is_settled = true;
        }
        Ok(())
    }

    fn keep(&mut self, table: Table) -> Result<(), RegionError> {
        self.settle()?;
        self.current = table.write(&self.labels, self.current)?;
        self.damaged = None;
        self.table = table;
        Ok(())
    }

    fn change(&mut self, change: impl FnOnce(&mut Table)) -> Result<(), RegionError> {
        let table = self.changed(change)?;
        self.keep(table)
    }

    /// Sets the alignment in bytes of future namespaces. Source: `align_store` of a region.
    ///
    /// # Errors
    /// The alignment is not a power of two, is below a page, or exceeds the region.
    pub fn set_align(&mut self, align: u64, host: &Host) -> Result<(), RegionError> {
        check_align(align, self.table.size, host)?;
        self.change(|table| table.align = align)
    }

    /// Creates a namespace in the first free piece that holds it. Returns how it was divided, if it
    /// has records.
    ///
    /// # Errors
    /// [`RegionError`]; no namespace is created. A refusal writes nothing.
    pub fn create_namespace(
        &mut self,
        wanted: &Wanted,
        around: &Surroundings<'_>,
        host: &Host,
        rules: &RuleSet,
    ) -> Result<Option<Division>, RegionError> {
        let Placed { label, after, division } = self.place(wanted, around, host, rules)?;
        self.settle()?;
        if let Some((signature, division)) = &division {
            self.write_info_block(&label, &contents(wanted, *signature, division, host), rules)?;
        }
        self.keep(after)?;
        Ok(division.map(|(_, division)| division))
    }

    /// Whether the namespace could be created. Writes nothing.
    pub fn would_hold(&self, wanted: &Wanted, around: &Surroundings<'_>, host: &Host, rules: &RuleSet) -> bool {
        self.place(wanted, around, host, rules).is_ok()
    }

    /// Chooses the place of a namespace.
    fn place(
        &self,
        wanted: &Wanted,
        around: &Surroundings<'_>,
        host: &Host,
        rules: &RuleSet,
    ) -> Result<Placed, RegionError> {
        let (size, align, kind) = (wanted.size, self.table.align, wanted.kind);
        if !host.aligns.contains(&wanted.align) {
            let (align, page, aligns) = (wanted.align, host.page_bytes, host.aligns);
            return Err(DivisionError::Align { align, page, aligns }.into());
        }
        if size == 0 || size % align != 0 {
            return Err(RegionError::Size { size, align });
        }
        let free = if wanted.skips_to_sub_section { self.room_for(kind, host, rules) } else { self.free() };
        let largest = free.iter().map(|(_, len)| *len).max().unwrap_or(0);
        let (offset, _) =
            free.into_iter().find(|(_, len)| *len >= size).ok_or(RegionError::NoSpace { size, largest })?;
        let label = Label { uuid: wanted.uuid, name: wanted.name.clone(), offset, size, kind, is_disabled: false };
        let after = self.changed(|table| table.labels.push(label.clone()))?;
        let namespace = self.namespace(&label);
        if let Some(overlap) = around.overlap(&namespace) {
            return Err(RegionError::Taken { namespace, overlap });
        }
        let beyond = namespace.end().saturating_sub(MACHINE_SPACE_BYTES);
        if beyond > 0 && signature(kind).is_some() {
            return Err(RegionError::Beyond { beyond });
        }
        let divided = |signature| {
            let terms = Terms { align: wanted.align, records: wanted.records, host, around: *around, rules };
            terms.divide(namespace).map(|division| (signature, division))
        };
        let division = signature(kind).map(divided).transpose()?;
        Ok(Placed { label, after, division })
    }

    /// Free pieces as (offset, size) in bytes, each from the first place where a namespace of the
    /// kind may begin. If there is no such place, all free pieces.
    pub fn room_for(&self, kind: NamespaceKind, host: &Host, rules: &RuleSet) -> Vec<(u64, u64)> {
        let (free, align) = (self.free(), self.table.align);
        if signature(kind).is_none() || rules.pads_namespaces {
            return free;
        }
        let on_grid = |&(offset, len): &(u64, u64)| {
            let skipped = (self.start + offset).next_multiple_of(host.compat_bytes) - self.start - offset;
            (skipped.is_multiple_of(align) && skipped < len).then(|| (offset + skipped, len - skipped))
        };
        let room: Vec<_> = free.iter().filter_map(on_grid).collect();
        if room.is_empty() { free } else { room }
    }

    fn write_info_block(&self, label: &Label, contents: &Contents, rules: &RuleSet) -> Result<(), RegionError> {
        self.check_medium()?;
        let at = label.offset + INFO_BLOCK_OFFSET;
        let medium = |what| move |source| RegionError::Medium { what, at, source };
        let mut block = contents.block();
        if rules.keeps_stale_fields {
            let stale = self.read_info_block(label)?;
            if let Some(stale) = InfoBlock::read(&stale) {
                block = block.over(stale);
            }
        }
        self.medium.write_at(block.as_bytes(), at).map_err(medium("write"))?;
        self.medium.barrier().map_err(medium("keep"))
    }

    /// Reads the bytes where the info block of a namespace is, or would be.
    ///
    /// # Errors
    /// The medium cannot be read there.
    pub fn read_info_block(&self, label: &Label) -> Result<[u8; INFO_BLOCK_BYTES], RegionError> {
        let at = label.offset + INFO_BLOCK_OFFSET;
        let mut bytes = [0; INFO_BLOCK_BYTES];
        self.medium.read_at(&mut bytes, at).map_err(|source| RegionError::Medium { what: "read", at, source })?;
        Ok(bytes)
    }

    /// What a namespace is. A label that says pages is never taken for raw here. Linux goes on to a
    /// raw block device for a block that is none of its kind (`ENODEV`: signature, checksum,
    /// parent), and before 5.7 for whatever it did not understand (B-15).
    ///
    /// # Errors
    /// The medium cannot be read, or the info block is not one to go by.
    pub fn probe(&self, label: &Label, host: &Host, rules: &RuleSet) -> Result<Personality, RegionError> {
        self.probe_at(self.start, label, host, rules)
    }

    /// Like [`probe`](Self::probe), as if the region began elsewhere.
    ///
    /// # Errors
    /// As [`probe`](Self::probe); the namespace would leave the physical space.
    pub fn probe_at(
        &self,
        start: u64,
        label: &Label,
        host: &Host,
        rules: &RuleSet,
    ) -> Result<Personality, RegionError> {
        let size = label.size;
        let namespace = start.checked_add(label.offset).and_then(|start| Extent::new(start, size));
        let namespace = namespace.ok_or(RegionError::Wanted(InvalidTable::Region { start, size }))?;
        if size < INFO_BLOCK_OFFSET + INFO_BLOCK_BYTES as u64 {
            // What lies there is not its own.
            return match label.kind {
                NamespaceKind::Raw => Ok(Personality::Raw),
                _ => Err(InfoBlockError::Signature.into()),
            };
        }
        let bytes = self.read_info_block(label)?;
        let Some(block) = InfoBlock::read(&bytes) else { return Ok(Personality::Raw) };
        let as_of = |signature| block.validate(signature, &label.uuid, namespace, host, None, rules);
        let tried = match signature(label.kind) {
            Some(signature) => as_of(signature).map(|settings| (signature, settings)),
            None => match as_of(Signature::Pfn) {
                Err(error) if error.errno() == Errno::NODEV => {
                    as_of(Signature::Dax).map(|settings| (Signature::Dax, settings))
                }
                tried => tried.map(|settings| (Signature::Pfn, settings)),
            },
        };
        let forgotten = |error: &InfoBlockError| {
            rules.unusable_block_is_raw || label.kind == NamespaceKind::Raw && error.errno() == Errno::NODEV
        };
        match tried {
            Ok((signature, settings)) => Ok(Personality::Pages(signature, settings)),
            Err(error) if forgotten(&error) => Ok(Personality::Raw),
            Err(error) => Err(error.into()),
        }
    }

    /// The data of a namespace, for block I/O.
    pub fn data(&self, label: &Label, personality: &Personality) -> Data<'_, S> {
        Data::of(&self.medium, label.offset, self.namespace(label), personality)
    }

    /// Physical start of the region when it was created.
    pub fn made_at(&self) -> u64 {
        self.table.start
    }

    /// Marks a namespace as disabled or enabled in its label.
    ///
    /// # Errors
    /// There is no such namespace, or the labels cannot be written.
    pub fn set_disabled(&mut self, uuid: &Uuid, is_disabled: bool) -> Result<(), RegionError> {
        self.label(uuid)?;
        self.change(|table| {
            for label in table.labels.iter_mut().filter(|label| label.uuid == *uuid) {
                label.is_disabled = is_disabled;
            }
        })
    }

    /// Removes a namespace from the labels. Its bytes stay on the medium until another namespace
    /// overwrites them.
    ///
    /// # Errors
    /// There is no such namespace, it is enabled, or the labels cannot be written.
    pub fn destroy_namespace(&mut self, uuid: &Uuid) -> Result<(), RegionError> {
        let label = self.label(uuid)?;
        if !label.is_disabled {
            return Err(RegionError::Enabled { name: label.name.clone() });
        }
        self.change(|table| table.labels.retain(|label| label.uuid != *uuid))
    }
}

impl Region<Medium> {
    /// Path of its label file.
    pub fn label_path(&self) -> &Path {
        self.labels.path()
    }

    /// Creates a region. The label file gets its name only when complete, so an interruption leaves
    /// complete labels or none. A medium that was created or extended for this remains.
    ///
    /// # Errors
    /// Start, size or alignment is invalid, or labels exist already or cannot be written.
    pub fn found(medium: Medium, labels: &Path, start: u64, align: u64, host: &Host) -> Result<Self, FoundError> {
        let labels = Medium::create_nameless(labels, LABEL_FILE_BYTES)?;
        let mut region = Self::create(medium, labels, start, align, host)?;
        region.labels.give_name()?;
        region.medium.stays();
        Ok(region)
    }
}

/// Why a region could not be created.
#[derive(Debug, Error)]
pub enum FoundError {
    /// A file could not be opened, created or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The region could not be created as requested.
    #[error(transparent)]
    Region(#[from] RegionError),
}

fn contents(wanted: &Wanted, signature: Signature, division: &Division, host: &Host) -> Contents {
    // Padding is less than a section or the alignment of the data, so 1 GiB at most.
    let narrow = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
    Contents {
        signature,
        uuid: wanted.instance,
        parent_uuid: wanted.uuid,
        minor: division.minor,
        dataoff: division.dataoff,
        npfns: division.npfns,
        records: wanted.records,
        start_pad: narrow(division.start_pad),
        end_trunc: narrow(division.end_trunc),
        align: narrow(wanted.align),
        page_bytes: narrow(host.page_bytes),
        record_bytes: host.record_bytes,
    }
}
