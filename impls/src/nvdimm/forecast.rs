//! What a machine would say of a mapping before it makes it: the place, who shares what is added, and room for the records.
//!
//! An info block that is good is not enough: before the series whole sections were added, so that a neighbour within the first or the
//! last one was in the way, and a namespace that a shift moved off their borders needed the records of one section more than its block
//! leaves room for (F3 of the cover letter's failures).
//!
//! Source: `devm_memremap_pages`, `altmap_alloc_block_buf` (until 5.2 `vmem_altmap_alloc`).

use super::division::Surroundings;
use super::info_block::Settings;
use super::namespace::altmap_shape;
use super::{Extent, Host, RecordsOn};
use crate::bytes::Bytes;
use crate::geometry::{Geometry, X86_64};
use crate::page::PAGE_RECORD_BYTES;
use crate::rules::RuleSet;
use rustix::io::Errno;
use thiserror::Error;

/// Bytes of the physical space of a machine: x86-64 with page tables of four levels.
pub const MACHINE_SPACE_BYTES: u64 = X86_64::NR_PFNS << X86_64::PAGE_SHIFT;

/// What would be mapped of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Without pads.
    pub extent: Extent,
    /// Bytes from there to the data.
    pub dataoff: u64,
    /// Where the records lie.
    pub records: RecordsOn,
}

impl Mapped {
    /// Of a namespace whose info block was read.
    pub fn of(settings: &Settings, namespace: Extent) -> Self {
        Self { extent: settings.mapped(namespace), dataoff: settings.dataoff, records: settings.records }
    }
}

/// Why it would not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ForecastError {
    /// Beyond the physical space of the machine.
    #[error("it ends {} beyond the physical space of the machine", Bytes(*beyond))]
    Beyond {
        /// How far.
        beyond: u64,
    },
    /// RAM or another mapping is in what is added.
    #[error("what is added, {:#x}-{:#x}, is shared with {:#x}-{:#x}", added.start, added.end() - 1, with.start, with.end() - 1)]
    Shared {
        /// Whole sections, or sub-sections.
        added: Extent,
        /// Who has it.
        with: Extent,
        /// RAM, and no mapping.
        is_ram: bool,
    },
    /// The altmap has no room.
    #[error("{need} pages are needed on the medium for the records of its sections, and {left} are left")]
    Records {
        /// Pages for the first section that finds none.
        need: u64,
        /// Pages left for it.
        left: u64,
    },
}

impl ForecastError {
    /// The kernel's.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Beyond { .. } => Errno::RANGE,
            Self::Shared { is_ram: true, .. } => Errno::NXIO,
            Self::Shared { .. } | Self::Records { .. } => Errno::NOMEM,
        }
    }
}

/// A range, out to the borders of a grid.
fn out_to(extent: &Extent, grid: u64) -> Extent {
    let start = extent.start - extent.start % grid;
    Extent { start, size: extent.end().next_multiple_of(grid) - start }
}

fn meets(one: &Extent, other: &Extent) -> bool {
    one.start < other.end() && other.start < one.end()
}

/// Would a machine with the layout of a kernel of these rules map it, beside RAM and what is mapped of others? Since the series by the rules of x86-64, where the records of
/// parts of sections are in RAM; those of arm64 ask more of the altmap.
///
/// # Errors
/// [`ForecastError`], in the kernel's order.
pub fn forecast(mapped: &Mapped, around: &Surroundings<'_>, host: &Host, rules: &RuleSet) -> Result<(), ForecastError> {
    let beyond = mapped.extent.end().saturating_sub(MACHINE_SPACE_BYTES);
    if beyond > 0 {
        return Err(ForecastError::Beyond { beyond });
    }
    let grid = if rules.whole_sections { host.section_bytes } else { host.compat_bytes };
    let added = out_to(&mapped.extent, grid);
    // What is added is whole pieces of the grid, so others need not be rounded to meet it.
    let first = |others: &[Extent], is_ram| match others.iter().find(|other| meets(other, &added)) {
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

/// A naturally aligned block of records for each whole section of what is added, one behind the other; those of parts are in RAM.
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
