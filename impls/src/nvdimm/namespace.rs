//! A namespace on a machine: mapped with its records in RAM or on its own medium.
//!
//! ```text
//!  | reserve: to the grid, unused page, info block | free: records (map=dev) | data … | end_trunc
//!  base_pfn                                                                  dataoff
//! ```
//! Source: `nvdimm_setup_pfn`, `__nvdimm_setup_pfn`, `pmem_attach_disk`.

use super::info_block::{Settings, Signature};
use super::label::Label;
use super::region::{Personality, Region, RegionError};
use super::storage::Medium;
use super::{Extent, HEAD_BYTES, Host, RecordsOn};
use crate::altmap::Altmap;
use crate::backing::DaxError;
use crate::geometry::Geometry;
use crate::machine::{Machine, Pagemap, PagemapError, PagemapKind, PagemapSpec};
use crate::memmap::{Hotplug, Inspect, Lookup, Memmap, PhaseSink, SectionFlags};
use crate::pfn::{Pfn, PfnRange};
use crate::rules::{RuleSet, Rules};
use rustix::io::Errno;
use std::sync::Arc;
use thiserror::Error;

/// Why a namespace does not come up or go down.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// Of its region, label or info block.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The medium cannot hold records.
    #[error(transparent)]
    Medium(#[from] DaxError),
    /// The machine does not map it.
    #[error(transparent)]
    Pagemap(#[from] PagemapError),
    /// It was disabled.
    #[error("namespace {name} is disabled; enable it first")]
    Disabled {
        /// Its name.
        name: String,
    },
    /// What is mapped is no whole number of pages.
    #[error("{start:#x} to {end:#x} are no whole pages")]
    Pages {
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
}

impl NamespaceError {
    /// The kernel's.
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

/// The altmap of a namespace, in pages of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltmapShape {
    /// First page of the mapping, on the grid of what is added.
    pub base_pfn: u64,
    /// Pages that must not be used: to the grid, and the head with the info block.
    pub reserve: u64,
    /// Pages for records.
    pub free: u64,
}

/// The altmap of a namespace with records on the medium. The head takes whole pages of the host: 8 KiB are none of 64 KiB, and
/// records would overwrite the info block (B-22).
pub fn altmap_shape(mapped: Extent, dataoff: u64, host: &Host, rules: &RuleSet) -> AltmapShape {
    let grid = if rules.whole_sections { host.section_bytes } else { host.compat_bytes };
    let page = host.page_bytes;
    let base = mapped.start - mapped.start % grid;
    let head = HEAD_BYTES.next_multiple_of(page);
    AltmapShape {
        base_pfn: base / page,
        reserve: (head + mapped.start - base) / page,
        free: dataoff.saturating_sub(head) / page,
    }
}

/// A namespace that a machine has.
#[derive(Debug)]
pub struct Enabled {
    /// What is mapped; nothing of a raw namespace.
    pub mapping: Option<Mapping>,
    /// What it is.
    pub personality: Personality,
}

/// The mapping of a namespace with records.
#[derive(Debug)]
pub struct Mapping {
    /// On the machine.
    pub pagemap: Arc<Pagemap>,
    /// The page frames.
    pub range: PfnRange,
    /// The records' place on the medium, if they are there.
    pub altmap: Option<Arc<Altmap>>,
}

/// Brings a namespace up on a machine, by the rules of its layout. `phases` is told how far the records are.
///
/// # Errors
/// [`NamespaceError`]; nothing is mapped, and where a sparse medium had no records it has none.
pub fn enable<L: Hotplug + SectionFlags + Inspect>(
    region: &Region<Medium>,
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
    let spec = PagemapSpec { name: label.name.clone(), ranges: vec![range], kind, altmap: altmap.clone(), node: 0 };
    let records = label.offset + settings.start_pad + HEAD_BYTES..label.offset + settings.block_io_offset();
    let hole = region.medium().hole(records);
    let pagemap = machine.memremap_pages_watched(spec, phases).map_err(|error| {
        hole.iter().for_each(|hole| region.medium().dig(hole));
        // A medium that became shorter on the way is why its records found no place.
        region.check_medium().err().map_or(NamespaceError::Pagemap(error), NamespaceError::Region)
    })?;
    Ok(Enabled { mapping: Some(Mapping { pagemap, range, altmap }), personality })
}

/// Takes a namespace down.
///
/// # Errors
/// The machine refuses; it is still there.
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
    /// The first page frame whose record is missing or another's. The records of the head are never initialised and not looked at.
    ///
    /// Reads every record; `done` is told after each section how many page frames were looked at.
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

/// The page frames of what is mapped of a namespace, where a machine has them.
fn mapped_pages<G: Geometry>(mapped: Extent) -> Result<PfnRange, NamespaceError> {
    let (start, end) = (mapped.start, mapped.end());
    let whole = start.is_multiple_of(G::PAGE_SIZE) && end.is_multiple_of(G::PAGE_SIZE);
    let range = PfnRange::new(start >> G::PAGE_SHIFT, end >> G::PAGE_SHIFT).filter(|_| whole);
    let range = range.ok_or(NamespaceError::Pages { start, end })?;
    match range.end().checked_sub(G::NR_PFNS) {
        // Source: `mhp_range_allowed`. Asked here too, before the altmap is.
        Some(beyond) if beyond > 0 => Err(NamespaceError::Pagemap(PagemapError::BeyondMappable {
            span: range.phys(G::PAGE_SHIFT),
            beyond_bytes: beyond << G::PAGE_SHIFT,
        })),
        _ => Ok(range),
    }
}

fn altmap<G: Geometry>(
    region: &Region<Medium>,
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
