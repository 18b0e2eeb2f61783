//! Enables and disables a namespace on a machine, with its records in RAM or on its own medium.
//!
//! ```text
//!  | reserve: to the grid, unused page, info block | free: records (map=dev) | data … | end_trunc
//!  base_pfn                                                                  dataoff
//! ```
//! Source: `nvdimm_setup_pfn`, `__nvdimm_setup_pfn`, `pmem_attach_disk`.

use super::altmap_shape::{AltmapShape, altmap_shape};
use super::info_block::{Settings, Signature};
use super::label::Label;
use super::region::{Personality, Region, RegionError};
use super::storage::StorageFile;
use super::{Extent, HEAD_BYTES, Host, RecordsOn};
use crate::altmap::Altmap;
use crate::backing::DaxError;
use crate::geometry::Geometry;
use crate::machine::{Machine, Pagemap, PagemapError, PagemapKind, PagemapSpec};
use crate::memmap::{Hotplug, Inspect, Lookup, Memmap, PhaseSink, SectionFlags};
use crate::page_record::PageRecord;
use crate::pfn::{Pfn, PfnRange};
use crate::rules::Rules;
use rustix::io::Errno;
use std::sync::Arc;
use thiserror::Error;

/// Why a namespace could not be enabled or disabled.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// Its region, label or info block is invalid.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The medium cannot hold the records.
    #[error(transparent)]
    Medium(#[from] DaxError),
    /// The machine refused to map or unmap it.
    #[error(transparent)]
    Pagemap(#[from] PagemapError),
    /// The label marks the namespace as disabled. ENXIO.
    #[error("namespace {name} is disabled; enable it first")]
    Disabled {
        /// Name of the namespace.
        name: String,
    },
    /// The range to map does not begin and end on page boundaries. EINVAL.
    #[error("the mapping from {start:#x} to {end:#x} does not begin and end on page boundaries")]
    Pages {
        /// Physical address of the first byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
}

impl NamespaceError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Region(error) => error.errno(),
            Self::Medium(_) => Errno::NOMEM,
            Self::Pagemap(error) => Errno::from_raw_os_error(error.errno()),
            Self::Disabled { .. } => Errno::NXIO,
            Self::Pages { .. } => Errno::INVAL,
        }
    }
}

/// An enabled namespace.
#[derive(Debug)]
pub struct Enabled {
    /// The mapping; `None` for a raw namespace.
    pub mapping: Option<Mapping>,
    /// What the namespace's info block says it is.
    pub personality: Personality,
}

/// The mapping of a namespace with records.
#[derive(Debug)]
pub struct Mapping {
    /// The device mapping on the machine.
    pub pagemap: Arc<Pagemap>,
    /// The mapped page frames.
    pub range: PfnRange,
    /// Where the records are on the medium; `None` if they are in RAM.
    pub altmap: Option<Arc<Altmap>>,
}

/// Enables a namespace on a machine, by the rules of its layout. `phases` receives the progress of
/// adding the records.
///
/// # Errors
/// [`NamespaceError`]; nothing is mapped. Holes of a sparse medium that records filled are
/// restored.
pub fn enable<L: Hotplug + SectionFlags + Inspect>(
    region: &Region<StorageFile>,
    label: &Label,
    host: &Host,
    machine: &Machine<L>,
    phases: &mut impl PhaseSink,
) -> Result<Enabled, NamespaceError> {
    if label.is_disabled {
        return Err(NamespaceError::Disabled { name: label.name.clone() });
    }
    let rules = <L::Rules as Rules>::SET;
    let personality = region.probe(label, host, &rules)?;
    let Personality::Pages(signature, settings) = personality else {
        return Ok(Enabled { mapping: None, personality });
    };
    let mapped = settings.mapped(region.namespace(label));
    let range = mapped_pages::<L::Geometry>(mapped)?;
    let altmap = match settings.records {
        RecordsOn::Ram => None,
        RecordsOn::Medium => Some(Arc::new(altmap::<L::Geometry>(
            region,
            label,
            &settings,
            altmap_shape(mapped, settings.dataoff, host, &rules),
        )?)),
    };
    let kind = match signature {
        Signature::Pfn => PagemapKind::FsDax,
        Signature::Dax => PagemapKind::Generic,
    };
    // A DAX device is used in pages of its alignment. Source: `dev_dax_probe`.
    let vmemmap_shift = match kind {
        PagemapKind::Generic => settings.align.max(1).ilog2().saturating_sub(L::Geometry::PAGE_SHIFT),
        _ => 0,
    };
    let (name, ranges, altmap_of_it) = (label.name.clone(), vec![range], altmap.clone());
    let spec = PagemapSpec { name, ranges, kind, altmap: altmap_of_it, node: 0, vmemmap_shift };
    let records = label.offset + settings.start_pad + HEAD_BYTES..label.offset + settings.block_io_offset();
    let hole = region.medium().hole(records);
    let pagemap = machine.memremap_pages_watched(spec, phases).map_err(|error| {
        hole.iter().for_each(|hole| region.medium().punch(hole));
        // If the medium was truncated meanwhile, that is the cause to report.
        region.check_medium().err().map_or(NamespaceError::Pagemap(error), NamespaceError::Region)
    })?;
    Ok(Enabled { mapping: Some(Mapping { pagemap, range, altmap }), personality })
}

/// Disables a namespace: unmaps it from the machine.
///
/// # Errors
/// The machine refuses; the namespace stays enabled.
pub fn disable<L: Hotplug + SectionFlags + Inspect>(
    enabled: &Enabled,
    machine: &Machine<L>,
) -> Result<(), NamespaceError> {
    match &enabled.mapping {
        Some(mapping) => Ok(machine.memunmap_pages(&mapping.pagemap)?),
        None => Ok(()),
    }
}

impl Mapping {
    /// The first page frame whose record is missing or belongs to another page frame. Records of
    /// the head are never initialised, so they are skipped.
    ///
    /// Cost: reads every record. After each section, `done` gets the number of page frames checked
    /// so far.
    pub fn first_wrong_record<L: Memmap>(&self, layout: &L, mut done: impl FnMut(u64)) -> Option<Pfn> {
        let reader = layout.reader();
        let first = self.range.start() + HEAD_BYTES.div_ceil(L::Geometry::PAGE_SIZE);
        let is_wrong = |pfn: &Pfn| !reader.valid_to_page(*pfn).is_some_and(|page| page.is_of(*pfn));
        let data = PfnRange::new(first, self.range.end())?;
        data.split_at_multiples(L::Geometry::PAGES_PER_SECTION).find_map(|part| {
            let wrong = (part.start()..part.end()).map(Pfn).find(is_wrong);
            done(part.end() - self.range.start());
            wrong
        })
    }
}

/// The page frames of a mapping, if it consists of whole pages within the physical address space.
fn mapped_pages<G: Geometry>(mapped: Extent) -> Result<PfnRange, NamespaceError> {
    let (start, end) = (mapped.start, mapped.end());
    let whole = start.is_multiple_of(G::PAGE_SIZE) && end.is_multiple_of(G::PAGE_SIZE);
    let range = PfnRange::new(start >> G::PAGE_SHIFT, end >> G::PAGE_SHIFT).filter(|_| whole);
    let range = range.ok_or(NamespaceError::Pages { start, end })?;
    match range.end().checked_sub(G::NR_PFNS) {
        // Source: `mhp_range_allowed`. Checked here as well, before the altmap is created.
        Some(beyond) if beyond > 0 => Err(NamespaceError::Pagemap(PagemapError::BeyondMappable {
            span: range.phys(G::PAGE_SHIFT),
            beyond_bytes: beyond << G::PAGE_SHIFT,
        })),
        _ => Ok(range),
    }
}

fn altmap<G: Geometry>(
    region: &Region<StorageFile>,
    label: &Label,
    settings: &Settings,
    shape: AltmapShape,
) -> Result<Altmap, NamespaceError> {
    let medium = region.medium();
    let begin = label.offset + settings.start_pad;
    let before = region.extent().start + begin - (shape.base_pfn << G::PAGE_SHIFT);
    let name = format!("{} of {}", label.name, medium.path().display());
    let len = (shape.reserve + shape.free) << G::PAGE_SHIFT;
    let device = medium.part(name, begin, before, len);
    Ok(Altmap::new::<G>(Arc::new(device), shape.base_pfn, shape.reserve, shape.free)?)
}
