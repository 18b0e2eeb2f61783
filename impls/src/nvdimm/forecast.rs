//! Predicts whether a machine would accept a mapping. It checks the physical range, conflicts with
//! other memory, and room for the records.
//!
//! A valid info block is not enough. Before the series, whole sections were added, so a neighbour
//! in the first or last section was a conflict. If a shift moved a namespace off section
//! boundaries, it needed records of one more section than its info block has room for (F3 of the
//! cover letter's failures).
//!
//! Source: `devm_memremap_pages`, `altmap_alloc_block_buf` (until 5.2 `vmem_altmap_alloc`).

use super::altmap_shape::altmap_shape;
use super::division::Surroundings;
use super::info_block::Settings;
use super::{Extent, Host, MACHINE_SPACE_BYTES, RecordsOn};
use crate::byte_size::ByteSize;
use crate::page::PAGE_RECORD_BYTES;
use crate::rules::RuleSet;
use rustix::io::Errno;
use thiserror::Error;

/// The part of a namespace that would be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Its physical range, without padding at either end.
    pub extent: Extent,
    /// Bytes from the start of `extent` to the data.
    pub dataoff: u64,
    /// Where the records are kept.
    pub records: RecordsOn,
}

impl Mapped {
    /// Computes it from the contents of the info block.
    pub fn new(settings: &Settings, namespace: Extent) -> Self {
        Self { extent: settings.mapped(namespace), dataoff: settings.dataoff, records: settings.records }
    }
}

/// Why the machine would refuse the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ForecastError {
    /// It ends above the top of the machine's physical address space. ERANGE.
    #[error(
        "the mapping ends {} above the top of the physical address space ({MACHINE_SPACE_BYTES:#x})",
        ByteSize(*beyond)
    )]
    Beyond {
        /// Bytes above the top.
        beyond: u64,
    },
    /// RAM or another mapping overlaps the added range. ENXIO for RAM, ENOMEM otherwise.
    #[error(
        "the added range {:#x}-{:#x} overlaps {} at {:#x}-{:#x}",
        added.start, added.end() - 1, if *is_ram { "RAM" } else { "a mapping" }, with.start, with.end() - 1
    )]
    Shared {
        /// The added range: whole sections before the series, else whole sub-sections.
        added: Extent,
        /// The overlapping range.
        with: Extent,
        /// True if that range is RAM, false if it is a mapping.
        is_ram: bool,
    },
    /// The altmap is too small for the records. ENOMEM.
    #[error("the records of the next section need {need} pages on the medium, but {left} are left")]
    Records {
        /// Pages needed for the first section that does not fit.
        need: u64,
        /// Pages left for that section.
        left: u64,
    },
}

impl ForecastError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Beyond { .. } => Errno::RANGE,
            Self::Shared { is_ram: true, .. } => Errno::NXIO,
            Self::Shared { .. } | Self::Records { .. } => Errno::NOMEM,
        }
    }
}

/// Rounds a range out to multiples of `grid` bytes.
fn round_out(extent: &Extent, grid: u64) -> Extent {
    let start = extent.start - extent.start % grid;
    Extent { start, size: extent.end().next_multiple_of(grid) - start }
}

fn overlaps(one: &Extent, other: &Extent) -> bool {
    one.start < other.end() && other.start < one.end()
}

/// Predicts whether a machine with these kernel rules would map it, given the RAM and mappings
/// around it. Since the series, the rules are those of x86-64, where records of parts of sections
/// are in RAM. The rules of arm64 need more room in the altmap.
///
/// # Errors
/// [`ForecastError`]: the first cause in the order in which the kernel checks.
pub fn forecast(mapped: &Mapped, around: &Surroundings<'_>, host: &Host, rules: &RuleSet) -> Result<(), ForecastError> {
    let beyond = mapped.extent.end().saturating_sub(MACHINE_SPACE_BYTES);
    if beyond > 0 {
        return Err(ForecastError::Beyond { beyond });
    }
    let grid = if rules.whole_sections { host.section_bytes } else { host.compat_bytes };
    let added = round_out(&mapped.extent, grid);
    // The added range is aligned to the grid, so the other ranges need no rounding.
    let first = |others: &[Extent], is_ram| match others.iter().find(|other| overlaps(other, &added)) {
        Some(with) => Err(ForecastError::Shared { added, with: *with, is_ram }),
        None => Ok(()),
    };
    first(around.regions, false)?;
    first(around.ram, true)?;
    match mapped.records {
        RecordsOn::Medium => records_fit(mapped, &added, host, rules),
        RecordsOn::Ram => Ok(()),
    }
}

/// Checks room for one naturally aligned block of records per whole added section, one after the
/// other. Records of parts of sections are in RAM.
fn records_fit(mapped: &Mapped, added: &Extent, host: &Host, rules: &RuleSet) -> Result<(), ForecastError> {
    let section = host.section_bytes;
    let nr_whole = (added.end() / section).saturating_sub(added.start.div_ceil(section));
    let need = section / host.page_bytes * PAGE_RECORD_BYTES / host.page_bytes;
    let shape = altmap_shape(mapped.extent, mapped.dataoff, host, rules);
    let begin = shape.base_pfn + shape.reserve;
    let end = begin + shape.free;
    let room = end.saturating_sub(begin.next_multiple_of(need));
    let fit = room / need;
    match fit < nr_whole {
        true => Err(ForecastError::Records { need, left: room % need }),
        false => Ok(()),
    }
}
