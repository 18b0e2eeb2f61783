//! Labels: the list of namespaces of a region. A file beside the medium holds two copies, so that
//! one is valid at any time.
//!
//! ```text
//!  0        512                                32 KiB                             64 KiB
//!  | header | label 0 | label 1 | … label 125 | header | label 0 | … label 125 |
//!  '-------------- copy 0 --------------------' '----------- copy 1 ------------'
//! ```
//!
//! | header | bytes | field |
//! | --- | --- | --- |
//! | 0 | 16 | `PFNBENCH LABELS`, and a zero |
//! | 16, 20 | 4 each | version, 2; number of labels |
//! | 24 | 8 | sequence: the good copy with the higher one counts |
//! | 32, 40, 48 | 8 each | of the region: physical start, bytes, alignment of namespaces |
//! | 56 | 4 | number of DIMMs that back the region; 0 in files of older versions stands for 1 |
//! | 60 | 444 | zero |
//! | 504 | 8 | checksum over the copy, computed with zero in this field: `mixed64` of `checksum.rs` |
//!
//! | label | bytes | field |
//! | --- | --- | --- |
//! | 0 | 16 | uuid |
//! | 16 | 64 | name in UTF-8, padded with zeros |
//! | 80, 88 | 8 each | bytes from the region's start; bytes |
//! | 96 | 4 | 0 raw, 1 fsdax, 2 devdax |
//! | 100 | 4 | 1 if it was disabled |
//! | 104 | 152 | zero |
//!
//! Fields are little-endian. A change overwrites the copy that is not current, then issues a
//! barrier. Until its last sector is written, the other copy stays current. Then the change is
//! written to the other copy too, so that later damage to either loses nothing. The kernel's labels
//! (`drivers/nvdimm/label.c`) alternate between two index blocks in the same way.

use super::checksum::mixed64;
use super::region_align::RegionAlign;
use super::storage::Storage;
use crate::byte_size::ByteSize;
use std::io;
use thiserror::Error;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Size of the label file in bytes.
pub const LABEL_FILE_BYTES: u64 = 2 * COPY_BYTES as u64;

/// Maximum number of namespaces in a region.
pub const MAX_LABELS: usize = 126;

/// Minimum alignment in bytes of regions and namespaces, whatever the host's page size.
pub(super) const PAGE_BYTES: u64 = 4096;

const COPY_BYTES: usize = size_of::<Copy>();
const MAGIC: &[u8; 16] = b"PFNBENCH LABELS\0";
const VERSION: u32 = 2;
const DISABLED: u32 = 1;

/// The kind of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    /// A block device without records.
    Raw,
    /// A block device with records, for file systems.
    FsDax,
    /// A character device that processes map.
    DevDax,
}

impl NamespaceKind {
    const ALL: [NamespaceKind; 3] = [Self::Raw, Self::FsDax, Self::DevDax];

    /// The name that `ndctl` uses, e.g. `fsdax`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::FsDax => "fsdax",
            Self::DevDax => "devdax",
        }
    }
}

/// A namespace, as described by its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// UUID of the namespace: the parent UUID in its info block.
    pub uuid: [u8; 16],
    /// Name of the namespace: at most 64 bytes of UTF-8.
    pub name: String,
    /// Bytes from the start of the region.
    pub offset: u64,
    /// Length in bytes.
    pub size: u64,
    /// The kind of the namespace.
    pub kind: NamespaceKind,
    /// True if the namespace must not be enabled.
    pub is_disabled: bool,
}

impl Label {
    /// One past its last byte, in bytes from the start of the region.
    pub fn end(&self) -> u64 {
        self.offset + self.size
    }
}

/// A region and its namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Physical address of the region when it was created.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// Alignment of the starts and sizes of namespaces.
    pub align: RegionAlign,
    /// The labels, sorted by offset.
    pub labels: Vec<Label>,
}

/// Why the labels could not be read or written.
#[derive(Debug, Error)]
pub enum LabelError {
    /// The file cannot be read or written.
    #[error("cannot {what} the labels: {source}")]
    Io {
        /// The operation that failed.
        what: &'static str,
        /// What the operating system reported.
        source: io::Error,
    },
    /// Neither copy is valid.
    #[error(
        "both copies of the labels are damaged ({}; {}); restore the label file from a backup, or create the \
         region again",
        .0[0], .0[1]
    )]
    Damaged([CopyError; 2]),
    /// The labels are inconsistent.
    #[error("the labels are inconsistent: {0}")]
    Invalid(#[from] InvalidTable),
}

/// Why a copy of the labels was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CopyError {
    /// The signature is not that of labels.
    #[error("its signature is not that of labels")]
    Signature,
    /// The copy is torn or damaged: its checksum does not match.
    #[error("its checksum is {found:#018x}, but its contents give {computed:#018x}")]
    Checksum {
        /// The checksum stored in the copy.
        found: u64,
        /// The checksum of the copy's contents.
        computed: u64,
    },
    /// The format version is that of a later pfnbench.
    #[error("its format version is {0}, but only {VERSION} is supported")]
    Version(u32),
    /// The copy cannot be read, or the file is too short.
    #[error("it cannot be read ({0})")]
    Unread(io::ErrorKind),
}

/// Why a table of labels is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidTable {
    /// There are more than [`MAX_LABELS`] namespaces.
    #[error("{0} namespaces exceed the limit of {MAX_LABELS} per region")]
    TooMany(u64),
    /// The region is empty, or exceeds the physical address space.
    #[error(
        "a region of {} at {start:#x} is empty or ends above 2^56, the largest physical address space",
        ByteSize(*size)
    )]
    Region {
        /// Physical address of the start.
        start: u64,
        /// Size in bytes.
        size: u64,
    },
    /// The start of the region is not a multiple of 4 KiB.
    #[error("region start {:#x} is not a multiple of 4 KiB; {:#x} works", .0, .0 - .0 % PAGE_BYTES)]
    Start(u64),
    /// The alignment is not a power of two times the number of DIMMs, is less than 4 KiB on each of them,
    /// or exceeds the region.
    #[error(
        "namespace alignment {} is not {}, with at least 4 KiB on each DIMM, up to the region size; {} works",
        ByteSize(.0.bytes), .0.condition(), ByteSize(RegionAlign::from_per_mapping(PAGE_BYTES, .0.mappings).bytes)
    )]
    Align(RegionAlign),
    /// The number of DIMMs is too large.
    #[error("{0} DIMMs exceed the limit of 65535 per region")]
    Mappings(u32),
    /// A name is invalid.
    #[error(
        "namespace {nr} has an invalid name: a name has 1 to 64 bytes of UTF-8 with a visible character and without \
         control or formatting characters, and is neither a UUID nor `all`; namespace0.{nr} works"
    )]
    Name {
        /// Number of the label.
        nr: usize,
    },
    /// A kind is unknown.
    #[error("namespace {nr} has the unknown kind {kind}; known are 0 (raw), 1 (fsdax) and 2 (devdax)")]
    Kind {
        /// Number of the label.
        nr: usize,
        /// The value in the label.
        kind: u32,
    },
    /// A namespace is empty, not a multiple of 4 KiB, or exceeds the region.
    #[error(
        "namespace {nr} has {} at offset {offset:#x} of a region of {}: offset and size must be multiples of \
         4 KiB inside the region, and the size not 0",
        ByteSize(*size), ByteSize(*region)
    )]
    Place {
        /// Number of the label.
        nr: usize,
        /// Bytes from the start of the region.
        offset: u64,
        /// Size in bytes.
        size: u64,
        /// Size of the region in bytes.
        region: u64,
    },
    /// Two namespaces overlap.
    #[error(
        "namespaces {first} and {second} overlap by {}: {second} begins at offset {at:#x}, before the end of \
         {first}",
        ByteSize(*by)
    )]
    Overlap {
        /// Name of the namespace that begins first.
        first: String,
        /// Name of the namespace that begins later.
        second: String,
        /// Where `second` begins.
        at: u64,
        /// Size of the overlap in bytes.
        by: u64,
    },
    /// The sequence number overflowed.
    #[error("the label sequence number overflowed; create the region again")]
    Sequence,
    /// Two namespaces have the same UUID.
    #[error("namespaces {0} and {1} have the same UUID; UUIDs must be unique")]
    DuplicateUuid(String, String),
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 16],
    version: U32,
    nr_labels: U32,
    sequence: U64,
    start: U64,
    size: U64,
    align: U64,
    mappings: U32,
    zero: [u8; 444],
    checksum: U64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawLabel {
    uuid: [u8; 16],
    name: [u8; 64],
    offset: U64,
    size: U64,
    kind: U32,
    flags: U32,
    zero: [u8; 152],
}

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Copy {
    header: Header,
    labels: [RawLabel; MAX_LABELS],
}

impl Copy {
    fn sum(&self) -> u64 {
        let (header, labels) = self.as_bytes().split_at(size_of::<Header>());
        mixed64(&[&header[..size_of::<Header>() - 8], &[0; 8], labels])
    }

    fn check(&self) -> Result<(), CopyError> {
        if self.header.magic != *MAGIC {
            return Err(CopyError::Signature);
        }
        let (found, computed) = (self.header.checksum.get(), self.sum());
        if found != computed {
            return Err(CopyError::Checksum { found, computed });
        }
        match self.header.version.get() {
            VERSION => Ok(()),
            version => Err(CopyError::Version(version)),
        }
    }
}

/// The correct checksum of a 32 KiB copy; `None` if `copy` is shorter.
pub fn checksum_of(copy: &[u8]) -> Option<u64> {
    Copy::ref_from_prefix(copy).ok().map(|(copy, _)| copy.sum())
}

/// Whether a name is visible and unambiguous: neither a UUID nor the word for all namespaces.
fn is_name(name: &str) -> bool {
    let is_seen = name.chars().any(|char| !char.is_whitespace()) && !name.contains(is_hidden);
    let is_uuid = name.len() == 36 && name.chars().all(|char| char.is_ascii_hexdigit() || char == '-');
    is_seen && name.len() <= 64 && !is_uuid && name != "all"
}

/// Whether a character is invisible or moves other characters. Source:
/// `Default_Ignorable_Code_Point` of Unicode, and its line and paragraph separators.
fn is_hidden(char: char) -> bool {
    let ignorable = matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    ignorable || char.is_control()
}

fn parse_name(bytes: &[u8; 64]) -> Option<String> {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let name = std::str::from_utf8(&bytes[..len]).ok()?;
    (bytes[len..].iter().all(|byte| *byte == 0) && is_name(name)).then(|| name.to_owned())
}

impl Table {
    /// Checks the region and its namespaces, and sorts them by offset.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&mut self) -> Result<(), InvalidTable> {
        let (start, size) = (self.start, self.size);
        super::Extent::new(start, size).ok_or(InvalidTable::Region { start, size })?;
        if start % PAGE_BYTES != 0 {
            return Err(InvalidTable::Start(start));
        }
        if !self.align.is_possible(size, PAGE_BYTES) {
            return Err(InvalidTable::Align(self.align));
        }
        if self.labels.len() > MAX_LABELS {
            return Err(InvalidTable::TooMany(self.labels.len() as u64));
        }
        for (nr, label) in self.labels.iter().enumerate() {
            if !is_name(&label.name) {
                return Err(InvalidTable::Name { nr });
            }
            let end = label.offset.checked_add(label.size).filter(|end| *end <= size);
            if label.size == 0 || label.offset % PAGE_BYTES != 0 || label.size % PAGE_BYTES != 0 || end.is_none() {
                let (offset, region) = (label.offset, size);
                return Err(InvalidTable::Place { nr, offset, size: label.size, region });
            }
        }
        self.labels.sort_by_key(|label| label.offset);
        for pair in self.labels.windows(2) {
            let (first, second) = (&pair[0], &pair[1]);
            if first.end() > second.offset {
                let by = first.end().min(second.end()) - second.offset;
                let (first, at) = (first.name.clone(), second.offset);
                return Err(InvalidTable::Overlap { first, second: second.name.clone(), at, by });
            }
        }
        let mut by_uuid: Vec<_> = self.labels.iter().collect();
        by_uuid.sort_by_key(|label| label.uuid);
        match by_uuid.windows(2).find(|pair| pair[0].uuid == pair[1].uuid) {
            Some(pair) => Err(InvalidTable::DuplicateUuid(pair[0].name.clone(), pair[1].name.clone())),
            None => Ok(()),
        }
    }

    fn copy(&self, sequence: u64) -> Copy {
        let mut copy = Copy::new_zeroed();
        for (raw, label) in copy.labels.iter_mut().zip(&self.labels) {
            (raw.uuid, raw.offset, raw.size) = (label.uuid, U64::new(label.offset), U64::new(label.size));
            raw.name[..label.name.len()].copy_from_slice(label.name.as_bytes());
            (raw.kind, raw.flags) = (U32::new(label.kind as u32), U32::new(u32::from(label.is_disabled) * DISABLED));
        }
        copy.header = Header {
            magic: *MAGIC,
            version: U32::new(VERSION),
            nr_labels: U32::new(self.labels.len() as u32),
            sequence: U64::new(sequence),
            start: U64::new(self.start),
            size: U64::new(self.size),
            align: U64::new(self.align.bytes),
            mappings: U32::new(u32::from(self.align.mappings)),
            zero: [0; 444],
            checksum: U64::ZERO,
        };
        copy.header.checksum = U64::new(copy.sum());
        copy
    }

    fn from_copy(copy: &Copy) -> Result<Self, InvalidTable> {
        let nr_labels = copy.header.nr_labels.get() as usize;
        let raw = copy.labels.get(..nr_labels).ok_or(InvalidTable::TooMany(nr_labels as u64))?;
        let label = |(nr, raw): (usize, &RawLabel)| {
            let kind = raw.kind.get();
            Ok(Label {
                uuid: raw.uuid,
                name: parse_name(&raw.name).ok_or(InvalidTable::Name { nr })?,
                offset: raw.offset.get(),
                size: raw.size.get(),
                kind: *NamespaceKind::ALL.get(kind as usize).ok_or(InvalidTable::Kind { nr, kind })?,
                is_disabled: raw.flags.get() & DISABLED != 0,
            })
        };
        let labels = raw.iter().enumerate().map(label).collect::<Result<_, InvalidTable>>()?;
        let header = &copy.header;
        let (start, size, mappings) = (header.start.get(), header.size.get(), header.mappings.get());
        let mappings = u16::try_from(mappings).map_err(|_| InvalidTable::Mappings(mappings))?;
        let align = RegionAlign::new(header.align.get(), mappings);
        let mut table = Self { start, size, align, labels };
        table.check()?;
        Ok(table)
    }

    /// Reads the current table, and returns which copy it came from and why the other copy is
    /// invalid, if it is.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn read(storage: &impl Storage) -> Result<(Self, Current, Option<CopyError>), LabelError> {
        let copy = |nr: u64| {
            let mut copy = Copy::new_zeroed();
            storage.read_at(copy.as_mut_bytes(), nr * COPY_BYTES as u64).map(|()| copy)
        };
        let checked = |copy: io::Result<Copy>| {
            let copy = copy.map_err(|error| CopyError::Unread(error.kind()))?;
            copy.check().map(|()| copy)
        };
        let copies = match [copy(0), copy(1)] {
            [Err(source), Err(_)] => return Err(LabelError::Io { what: "read", source }),
            copies => copies.map(checked),
        };
        let (nr, newest, damaged) = match copies {
            [Ok(first), Ok(second)] if second.header.sequence.get() > first.header.sequence.get() => (1, second, None),
            [Ok(first), second] => (0, first, second.err()),
            [Err(damaged), Ok(second)] => (1, second, Some(damaged)),
            [Err(first), Err(second)] => return Err(LabelError::Damaged([first, second])),
        };
        Ok((Self::from_copy(&newest)?, Current { nr, sequence: newest.header.sequence.get() }, damaged))
    }

    /// Writes the table over the copy that is not current and, once that is durable, over the other
    /// copy. Later damage to either copy then loses nothing. Returns which copy is current now.
    ///
    /// # Errors
    /// The file cannot be written. Afterwards either the old or the new table is current.
    pub fn write(&self, storage: &impl Storage, current: Current) -> Result<Current, LabelError> {
        let sequence = current.sequence.checked_add(1).ok_or(InvalidTable::Sequence)?;
        let next = Current { nr: 1 - current.nr, sequence };
        let copy = self.copy(sequence);
        let write = |nr: u64| storage.write_at(copy.as_bytes(), nr * COPY_BYTES as u64);
        write(next.nr).map_err(|source| LabelError::Io { what: "write", source })?;
        storage.barrier().map_err(|source| LabelError::Io { what: "flush", source })?;
        // The change is durable from here on, even if writing the second copy fails.
        let _ = write(current.nr).and_then(|()| storage.barrier());
        Ok(next)
    }
}

/// Which copy is the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    nr: u64,
    sequence: u64,
}

impl Current {
    /// For a label file that has no copy yet.
    pub const NONE: Current = Current { nr: 1, sequence: 0 };
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_and_unambiguous() {
        for name in ["namespace0.0", "größer", "a b", "名前", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "  ",
            "a\nb",
            "a\u{202e}b",
            "\u{200b}",
            "a\u{2066}b",
            "a\u{ad}",
            "\u{3164}",
            "\u{e0041}",
            "all",
            "00000000-0000-0000-0000-000000000000",
            &"x".repeat(65),
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
