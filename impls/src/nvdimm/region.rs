//! A region: persistent memory in one piece, divided into namespaces by its labels.
//!
//! ```text
//!  physical start                                               end
//!  | namespace a | free | namespace b        | …               |      medium: bytes 0 … size
//!  '-- offset, size in the labels; info block 4 KiB from its start
//! ```
//!
//! A namespace is where its label says, counted from the region's start: a region that another firmware puts elsewhere takes its
//! namespaces along.
//!
//! **What is changed in which order.** A region is made by labels that get their name once they are whole. A namespace is created: the
//! info block into free bytes, a barrier, then the labels. Destroyed, disabled, enabled: the labels alone. Before the first change of a
//! process there is a barrier, for what it read may be from another that was killed before its own. So at any time the labels are the
//! old ones or the new ones, and a namespace that they name has a whole info block (see [`storage`](super::storage) for what is assumed
//! of a medium).
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

/// Starts and sizes of namespaces are multiples of this, unless somebody says otherwise. Source: `default_align`.
pub const DEFAULT_ALIGN: u64 = 16 << 20;

/// A uuid.
pub type Uuid = [u8; 16];

/// Why a region or a namespace of it cannot be had.
#[derive(Debug, Error)]
pub enum RegionError {
    /// Of its labels.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The medium cannot be read or written.
    #[error("cannot {what} the medium at {at:#x}: {source}")]
    Medium {
        /// What was tried.
        what: &'static str,
        /// Bytes from its start.
        at: u64,
        /// The cause.
        source: io::Error,
    },
    /// The medium ends before its region does.
    #[error("the medium has {} and its labels describe {}: {} are missing at its end", Bytes(*len), Bytes(*size), Bytes(size - len))]
    Truncated {
        /// Bytes of the medium.
        len: u64,
        /// Bytes of the region.
        size: u64,
    },
    /// No alignment of a region.
    #[error("a region of {} cannot be aligned to {}: a power of two from {} to its size works, as {}", Bytes(*size), Bytes(*align), Bytes(*page), Bytes(DEFAULT_ALIGN.min(*size)))]
    Align {
        /// What was asked for.
        align: u64,
        /// Bytes of the region.
        size: u64,
        /// Bytes of a page.
        page: u64,
    },
    /// It has not one page.
    #[error("a region of {} is none: it has at least a page of {}", Bytes(*size), Bytes(*page))]
    Smaller {
        /// Bytes of the medium.
        size: u64,
        /// Bytes of a page.
        page: u64,
    },
    /// It begins within a page.
    #[error("a region cannot begin at {start:#x}, {} past a page of {}", Bytes(*off), Bytes(*page))]
    StartOffPage {
        /// What was asked for.
        start: u64,
        /// How far past.
        off: u64,
        /// Bytes of a page.
        page: u64,
    },
    /// No size of a namespace of this region.
    #[error("a namespace of {} is refused: sizes are multiples of the region's alignment of {}, and this is {} past one; {} works", Bytes(*size), Bytes(*align), Bytes(size % align), Bytes(size.div_ceil(*align).max(1).saturating_mul(*align)))]
    Size {
        /// What was asked for.
        size: u64,
        /// Of the region.
        align: u64,
    },
    /// Nothing so large is free.
    #[error("a namespace of {} does not fit: the largest free piece has {}", Bytes(*size), Bytes(*largest))]
    NoSpace {
        /// What was asked for.
        size: u64,
        /// The most that works.
        largest: u64,
    },
    /// Somebody else has the place.
    #[error(
        "{} of the namespace at {:#x} are within {:#x}-{:#x}",
        Bytes(overlap.by), namespace.start, overlap.other.start, overlap.other.end() - 1
    )]
    Taken {
        /// Where it would lie.
        namespace: Extent,
        /// RAM, or another region.
        overlap: Overlap,
    },
    /// A machine has no page frames for all of it.
    #[error("the namespace ends {} beyond the physical space of the machine", Bytes(*beyond))]
    Beyond {
        /// How far.
        beyond: u64,
    },
    /// What is asked for cannot be.
    #[error("that cannot be: {0}")]
    Wanted(InvalidTable),
    /// It cannot be divided.
    #[error(transparent)]
    Division(#[from] DivisionError),
    /// The info block is not good.
    #[error(transparent)]
    InfoBlock(#[from] InfoBlockError),
    /// There is none.
    #[error("there is no such namespace")]
    NoSuchNamespace,
    /// It is in use.
    #[error("namespace {name} is enabled; disable it first")]
    Enabled {
        /// Its name.
        name: String,
    },
}

impl RegionError {
    /// The kernel's.
    pub fn errno(&self) -> Errno {
        let of_io = |source: &io::Error| Errno::from_io_error(source).unwrap_or(Errno::IO);
        match self {
            Self::Label(LabelError::Io { source, .. }) => of_io(source),
            Self::Label(LabelError::Damaged(_)) | Self::Truncated { .. } | Self::NoSuchNamespace => Errno::NXIO,
            Self::Label(LabelError::Invalid(_)) | Self::Wanted(_) | Self::Align { .. } | Self::Size { .. } => {
                Errno::INVAL
            }
            Self::Smaller { .. } | Self::StartOffPage { .. } => Errno::INVAL,
            // Source: `nd_pfn_validate`: whatever the cause.
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

/// A namespace that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Bytes.
    pub size: u64,
    /// Alignment of its data.
    pub align: u64,
    /// What for.
    pub kind: NamespaceKind,
    /// Where its records shall lie; a raw one has none.
    pub records: RecordsOn,
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: Uuid,
    /// The uuid of its info block.
    pub instance: Uuid,
    /// What is free in front of the first sub-section of a piece stays free, if a namespace with records could not begin there. Linux
    /// takes it, and refuses the namespace.
    pub skips_to_sub_section: bool,
}

/// What a namespace turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// A block device from its first byte to its last.
    Raw,
    /// One with records.
    Pages(Signature, Settings),
}

/// A namespace that is not written yet.
struct Placed {
    label: Label,
    after: Table,
    division: Option<(Signature, Division)>,
}

/// A region that is open.
#[derive(Debug)]
pub struct Region<S> {
    medium: S,
    labels: S,
    table: Table,
    current: Current,
    /// A copy of the labels that did not count when it was opened.
    damaged: Option<CopyError>,
    /// What was read is there after a loss of power.
    is_settled: bool,
    start: u64,
}

fn check_align(align: u64, size: u64, host: &Host) -> Result<(), RegionError> {
    match align.is_power_of_two() && align >= host.page_bytes && align <= size {
        true => Ok(()),
        false => Err(RegionError::Align { align, size, page: host.page_bytes }),
    }
}

/// Can a region be of this start, size and alignment?
///
/// # Errors
/// What cannot be.
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
    /// Makes a region of a medium, without namespaces. The file of labels is overwritten.
    ///
    /// # Errors
    /// Start, size or alignment cannot be; the labels cannot be written.
    pub fn create(medium: S, labels: S, start: u64, align: u64, host: &Host) -> Result<Self, RegionError> {
        let size = medium.len_bytes().map_err(|source| RegionError::Medium { what: "ask", at: 0, source })?;
        check_region(start, size, align, host)?;
        let mut table = Table { start, size, align, labels: Vec::new() };
        table.check().map_err(RegionError::Wanted)?;
        // Its length and its name are there before labels speak of them.
        medium.barrier().map_err(|source| RegionError::Medium { what: "keep", at: 0, source })?;
        let current = table.write(&labels, Current::NONE)?;
        Ok(Self { medium, labels, table, current, damaged: None, is_settled: true, start })
    }

    /// Opens a region, where it was or at another physical start.
    ///
    /// # Errors
    /// The labels are damaged, or the medium ends before the region.
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

    /// Where it is in the physical space.
    pub fn extent(&self) -> Extent {
        Extent { start: self.start, size: self.table.size }
    }

    /// Alignment of its namespaces.
    pub fn align(&self) -> u64 {
        self.table.align
    }

    /// Its namespaces, by offset.
    pub fn labels(&self) -> &[Label] {
        &self.table.labels
    }

    /// What is wrong with one of the two copies of the labels, if that is; the next change mends it.
    pub fn damaged_copy(&self) -> Option<CopyError> {
        self.damaged
    }

    /// The medium.
    pub fn medium(&self) -> &S {
        &self.medium
    }

    /// A namespace.
    ///
    /// # Errors
    /// There is none.
    pub fn label(&self, uuid: &Uuid) -> Result<&Label, RegionError> {
        self.table.labels.iter().find(|label| label.uuid == *uuid).ok_or(RegionError::NoSuchNamespace)
    }

    /// Where a namespace is in the physical space.
    pub fn namespace(&self, label: &Label) -> Extent {
        Extent { start: self.start + label.offset, size: label.size }
    }

    /// Pieces that no namespace has, as offset and bytes, on the grid of the region.
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

    /// The table after a change, if that can be.
    fn changed(&self, change: impl FnOnce(&mut Table)) -> Result<Table, RegionError> {
        let mut table = self.table.clone();
        change(&mut table);
        table.check().map_err(RegionError::Wanted)?;
        Ok(table)
    }

    /// What was read may be from a process that was killed before its barrier: a change over the copy that lasts must not come first.
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

    /// Sets the alignment of namespaces to come. Source: `align_store` of a region.
    ///
    /// # Errors
    /// No power of two, less than a page, more than the region.
    pub fn set_align(&mut self, align: u64, host: &Host) -> Result<(), RegionError> {
        check_align(align, self.table.size, host)?;
        self.change(|table| table.align = align)
    }

    /// Makes a namespace in the first free piece that holds it; how it was divided, if it has records.
    ///
    /// # Errors
    /// [`RegionError`]; no namespace is there then. Refusals write nothing.
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

    /// Would it be made? Nothing is written.
    pub fn would_hold(&self, wanted: &Wanted, around: &Surroundings<'_>, host: &Host, rules: &RuleSet) -> bool {
        self.place(wanted, around, host, rules).is_ok()
    }

    /// Where a namespace comes to lie.
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

    /// Free pieces as offset and bytes, from the first place of each where a namespace of a kind may begin. If it may begin nowhere, all
    /// of them.
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

    /// The bytes where the info block of a namespace is, or would be.
    ///
    /// # Errors
    /// The medium cannot be read there.
    pub fn read_info_block(&self, label: &Label) -> Result<[u8; INFO_BLOCK_BYTES], RegionError> {
        let at = label.offset + INFO_BLOCK_OFFSET;
        let mut bytes = [0; INFO_BLOCK_BYTES];
        self.medium.read_at(&mut bytes, at).map_err(|source| RegionError::Medium { what: "read", at, source })?;
        Ok(bytes)
    }

    /// What a namespace is. A label that says pages is never taken for raw here. Linux goes on to a raw block device for a block that is
    /// none of its kind (`ENODEV`: signature, checksum, parent), and before 5.7 for whatever it did not understand (B-15).
    ///
    /// # Errors
    /// The medium cannot be read, or the info block is not one to go by.
    pub fn probe(&self, label: &Label, host: &Host, rules: &RuleSet) -> Result<Personality, RegionError> {
        self.probe_at(self.start, label, host, rules)
    }

    /// What it would be if the region began elsewhere.
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

    /// Its data, for block I/O.
    pub fn data(&self, label: &Label, personality: &Personality) -> Data<'_, S> {
        Data::of(&self.medium, label.offset, self.namespace(label), personality)
    }

    /// Where the region was when it was made.
    pub fn made_at(&self) -> u64 {
        self.table.start
    }

    /// Marks a namespace as one that is brought up, or not.
    ///
    /// # Errors
    /// There is none, or the labels cannot be written.
    pub fn set_disabled(&mut self, uuid: &Uuid, is_disabled: bool) -> Result<(), RegionError> {
        self.label(uuid)?;
        self.change(|table| {
            for label in table.labels.iter_mut().filter(|label| label.uuid == *uuid) {
                label.is_disabled = is_disabled;
            }
        })
    }

    /// Takes a namespace out of the labels. Its bytes stay on the medium until another has them.
    ///
    /// # Errors
    /// There is none, it is enabled, or the labels cannot be written.
    pub fn destroy_namespace(&mut self, uuid: &Uuid) -> Result<(), RegionError> {
        let label = self.label(uuid)?;
        if !label.is_disabled {
            return Err(RegionError::Enabled { name: label.name.clone() });
        }
        self.change(|table| table.labels.retain(|label| label.uuid != *uuid))
    }
}

impl Region<Medium> {
    /// The file of its labels.
    pub fn label_path(&self) -> &Path {
        self.labels.path()
    }

    /// Makes a region whose labels get their name when they are whole: whenever it is interrupted, there are labels or none. A medium that
    /// was made or lengthened for now stays.
    ///
    /// # Errors
    /// Start, size or alignment cannot be; labels are there already, or cannot be written.
    pub fn found(medium: Medium, labels: &Path, start: u64, align: u64, host: &Host) -> Result<Self, FoundError> {
        let labels = Medium::create_nameless(labels, LABEL_FILE_BYTES)?;
        let mut region = Self::create(medium, labels, start, align, host)?;
        region.labels.give_name()?;
        region.medium.stays();
        Ok(region)
    }
}

/// Why there is no new region.
#[derive(Debug, Error)]
pub enum FoundError {
    /// Of a file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Of what is asked for.
    #[error(transparent)]
    Region(#[from] RegionError),
}

fn contents(wanted: &Wanted, signature: Signature, division: &Division, host: &Host) -> Contents {
    // Pads are below a section or the alignment of the data, 1 GiB at most.
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
