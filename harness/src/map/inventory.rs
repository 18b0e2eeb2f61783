//! What a machine's memory consists of, apart from its address ranges: DIMMs and expanders, windows,
//! regions, namespaces, DAX devices and memory blocks, each with the sources that name it.

use memmap_layouts::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A range of physical addresses in bytes; `end` is excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Physical address of the first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Span {
    /// A range; `None` if it is empty.
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Its length in bytes.
    pub fn bytes(self) -> u64 {
        self.end - self.start
    }

    /// Whether the two ranges share a byte.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether `other` lies inside this range.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The part that both ranges have; `None` if there is none.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x} ({})", self.start, self.end - 1, ByteSize(self.bytes()))
    }
}

/// A listing or table that a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Listing {
    /// `/proc/iomem`.
    Iomem,
    /// The firmware's map in a boot log: e820, of Linux or of Xen, and EFI.
    BootMap,
    /// Early node ranges in a boot log.
    EarlyNodes,
    /// `memblock=debug`.
    Memblock,
    /// ACPI SRAT, in a boot log or disassembled.
    Srat,
    /// ACPI CEDT, disassembled.
    Cedt,
    /// ACPI NFIT, disassembled.
    Nfit,
    /// `lsmem`.
    Lsmem,
    /// `ndctl list`.
    Ndctl,
    /// `daxctl list`.
    Daxctl,
    /// `cxl list`.
    Cxl,
    /// Ranges written by hand.
    Plain,
    /// What `pfnbench map --json` prints.
    Pfnbench,
}

impl Listing {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iomem => "/proc/iomem",
            Self::BootMap => "firmware map",
            Self::EarlyNodes => "early node ranges",
            Self::Memblock => "memblock",
            Self::Srat => "SRAT",
            Self::Cedt => "CEDT",
            Self::Nfit => "NFIT",
            Self::Lsmem => "lsmem",
            Self::Ndctl => "ndctl",
            Self::Daxctl => "daxctl",
            Self::Cxl => "cxl",
            Self::Plain => "ranges",
            Self::Pfnbench => "pfnbench",
        }
    }
}

/// A line of the text that names something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Mention {
    /// The listing.
    pub listing: Listing,
    /// Line number, from 1.
    pub line: usize,
}

/// The number of the first line that names something; 0 if none does.
pub(super) fn line_of(sources: &[Mention]) -> usize {
    sources.first().map_or(0, |source| source.line)
}

/// A DIMM, or a CXL memory expander.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dimm {
    /// Name, e.g. `nmem0` or `mem0`.
    pub name: String,
    /// Volatile capacity in bytes.
    pub volatile_bytes: u64,
    /// Persistent capacity in bytes.
    pub persistent_bytes: u64,
    /// NUMA node, if known.
    pub node: Option<u8>,
    /// Lines that name it.
    pub sources: Vec<Mention>,
}

/// A window of addresses in which memory may appear: a CXL root decoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Name, e.g. `CXL Window 0` or `decoder0.0`.
    pub name: String,
    /// Its addresses.
    pub span: Span,
    /// Largest free extent that the source states, in bytes.
    pub available_bytes: Option<u64>,
    /// Number of host bridges that share it.
    pub ways: Option<u64>,
    /// Lines that name it.
    pub sources: Vec<Mention>,
}

/// The kind of memory in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegionKind {
    /// Persistent memory.
    Persistent,
    /// RAM of CXL expanders, or memory that the firmware reserved for a purpose.
    Volatile,
}

/// A region: a contiguous range that DIMMs or expanders back together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// Name, e.g. `region0`.
    pub name: String,
    /// Its addresses, if a source states them.
    pub span: Option<Span>,
    /// True if the start was assumed.
    pub base_assumed: bool,
    /// Size in bytes.
    pub bytes: u64,
    /// Kind of memory.
    pub kind: RegionKind,
    /// False if it is disabled: its memory is not mapped.
    pub enabled: bool,
    /// Bytes that no namespace uses, as the source states.
    pub available_bytes: Option<u64>,
    /// Alignment of namespaces in bytes, as the source states.
    pub align: Option<u64>,
    /// Number of DIMMs or expanders that take turns.
    pub ways: Option<u64>,
    /// DIMMs or expanders that back it, each with the bytes that it contributes, if stated.
    pub mappings: Vec<Mapping>,
    /// NUMA node, if known.
    pub node: Option<u8>,
    /// Lines that name it.
    pub sources: Vec<Mention>,
}

/// The share of a DIMM in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mapping {
    /// Name of the DIMM or expander.
    pub dimm: String,
    /// Bytes that it contributes, if stated.
    pub bytes: Option<u64>,
}

impl Region {
    /// A region without further facts.
    pub fn new(name: impl Into<String>, bytes: u64, kind: RegionKind, sources: Vec<Mention>) -> Self {
        Self {
            name: name.into(),
            span: None,
            base_assumed: false,
            bytes,
            kind,
            enabled: true,
            available_bytes: None,
            align: None,
            ways: None,
            mappings: Vec::new(),
            node: None,
            sources,
        }
    }
}

/// Where the records of a namespace are, as `ndctl` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordsPlace {
    /// On the medium (`map=dev`).
    Dev,
    /// In RAM (`map=mem`).
    Mem,
}

/// A namespace of a persistent region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Namespace {
    /// Name, e.g. `namespace0.0`.
    pub name: String,
    /// Its region, if known.
    pub region: Option<String>,
    /// Its addresses, if a source states them.
    pub span: Option<Span>,
    /// Mode, e.g. `fsdax`, `devdax`, `raw`, `sector`.
    pub mode: Option<String>,
    /// False if it is disabled: its data cannot be used.
    pub enabled: bool,
    /// Where its records are.
    pub records: Option<RecordsPlace>,
    /// Size as its source states it, in bytes: the data, without header and records.
    pub bytes: u64,
    /// Alignment of its data in bytes.
    pub align: Option<u64>,
    /// NUMA node, if known.
    pub node: Option<u8>,
    /// Lines that name it.
    pub sources: Vec<Mention>,
}

impl Namespace {
    /// A namespace without further facts.
    pub fn new(name: impl Into<String>, bytes: u64, sources: Vec<Mention>) -> Self {
        Self {
            name: name.into(),
            region: None,
            span: None,
            mode: None,
            enabled: true,
            records: None,
            bytes,
            align: None,
            node: None,
            sources,
        }
    }
}

/// A DAX device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Name, e.g. `dax0.0`.
    pub name: String,
    /// Its region or namespace, if known.
    pub region: Option<String>,
    /// Its ranges of addresses, if a source states them.
    pub spans: Vec<Span>,
    /// Size in bytes.
    pub bytes: u64,
    /// True if a driver made RAM of it (`system-ram`).
    pub is_ram: bool,
    /// False if it is disabled.
    pub enabled: bool,
    /// Alignment in bytes, if stated.
    pub align: Option<u64>,
    /// NUMA node, if known.
    pub node: Option<u8>,
    /// Number of its memory blocks that are online.
    pub online_blocks: Option<u64>,
    /// Number of its memory blocks.
    pub total_blocks: Option<u64>,
    /// Lines that name it.
    pub sources: Vec<Mention>,
}

impl Device {
    /// A device without further facts.
    pub fn new(name: impl Into<String>, bytes: u64, sources: Vec<Mention>) -> Self {
        Self {
            name: name.into(),
            region: None,
            spans: Vec::new(),
            bytes,
            is_ram: false,
            enabled: true,
            align: None,
            node: None,
            online_blocks: None,
            total_blocks: None,
            sources,
        }
    }
}

/// Memory blocks in a row with the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockRange {
    /// Their addresses.
    pub span: Span,
    /// True if they are online.
    pub online: bool,
    /// False if they are not configured: memory in standby, without records.
    pub configured: bool,
    /// True if they hold their own records; `None` if the source does not say.
    pub memmap_on_memory: Option<bool>,
    /// NUMA node, if known.
    pub node: Option<u8>,
    /// Lines that name them.
    pub sources: Vec<Mention>,
}

/// What a machine's memory consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Inventory {
    /// DIMMs and expanders.
    pub dimms: Vec<Dimm>,
    /// Windows.
    pub windows: Vec<Window>,
    /// Regions.
    pub regions: Vec<Region>,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// DAX devices.
    pub devices: Vec<Device>,
    /// Memory blocks.
    pub blocks: Vec<BlockRange>,
    /// Size of a memory block in bytes, if stated.
    pub block_bytes: Option<u64>,
}

impl Inventory {
    /// Adds what another inventory names.
    pub(super) fn extend(&mut self, other: Self) {
        self.dimms.extend(other.dimms);
        self.windows.extend(other.windows);
        self.regions.extend(other.regions);
        self.namespaces.extend(other.namespaces);
        self.devices.extend(other.devices);
        self.blocks.extend(other.blocks);
        self.block_bytes = self.block_bytes.or(other.block_bytes);
    }

    /// All ranges of addresses in it.
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> {
        let Self { windows, regions, namespaces, devices, blocks, .. } = self;
        let windows = windows.iter().map(|window| window.span);
        let regions = regions.iter().filter_map(|region| region.span);
        let namespaces = namespaces.iter().filter_map(|namespace| namespace.span);
        let devices = devices.iter().flat_map(|device| device.spans.iter().copied());
        windows.chain(regions).chain(namespaces).chain(devices).chain(blocks.iter().map(|block| block.span))
    }

    /// True if it names nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// True if it names memory, or what may have some. The size of memory blocks alone does not.
    pub fn names_memory(&self) -> bool {
        !Self { block_bytes: None, ..self.clone() }.is_empty()
    }
}
