//! The checks that decide whether a machine accepts memory. They read numbers and the ranges that
//! are in use, and no records.
//!
//! [`Machine`](super::Machine) makes them before it changes anything. [`AddressSpace`] makes the
//! same ones without a layout, so it judges a machine of any size in microseconds.
//!
//! Source: `mm/memory_hotplug.c`, `mm/memremap.c`, `drivers/dax/kmem.c`.

mod address_space;

pub use address_space::AddressSpace;

use super::{AddMemory, Intersection, MachineError, PagemapError, Resource, ResourceKind, ResourceTree, whole_blocks};
use crate::error::HotplugError;
use crate::geometry::Geometry;
use crate::pfn::PfnRange;
use crate::request::{Grid, Space};
use crate::rules::RuleSet;
use std::ops::Range;

/// What decides whether memory is accepted, apart from the memory that is there: numbers of the
/// architecture and the rules of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionRules {
    /// log2 of the page size in bytes.
    pub page_shift: u32,
    /// log2 of the section size in bytes.
    pub section_bits: u32,
    /// log2 of the sub-section size in bytes.
    pub subsection_bits: u32,
    /// Width in bits of the physical addresses that can have a record.
    pub physical_bits: u32,
    /// Size of a memory block in bytes: a power of two of at least a section.
    pub block_bytes: u64,
    /// Hot-added RAM starts and ends at multiples of this many bytes: memory blocks since Linux
    /// 4.17, sections before.
    pub ram_unit_bytes: u64,
    /// `mem=`: RAM that ends above this physical address (in bytes) cannot be added.
    pub mem_limit_bytes: Option<u64>,
    /// Number of possible NUMA nodes, numbered from 0.
    pub nodes: u8,
    /// The rules of the kernel.
    pub set: RuleSet,
}

/// What occupies the address space of a machine.
pub(super) trait Occupied {
    /// The physical address ranges.
    fn resources(&self) -> &ResourceTree;
    /// The first existing memory block with one of these numbers.
    fn block_in(&self, numbers: Range<u64>) -> Option<u64>;
    /// A mapped range that overlaps `range`.
    fn mapping_in(&self, range: PfnRange) -> Option<PfnRange>;
}

impl AdmissionRules {
    /// The rules of a kernel on an architecture, with memory blocks of `block_bytes`: RAM is added
    /// in whole blocks, to any of four nodes.
    pub fn new<G: Geometry>(set: RuleSet, block_bytes: u64) -> Self {
        Self {
            page_shift: G::PAGE_SHIFT,
            section_bits: G::SECTION_SIZE_BITS,
            subsection_bits: G::SUBSECTION_SHIFT,
            physical_bits: G::VMEMMAP_BITS,
            block_bytes,
            ram_unit_bytes: block_bytes,
            mem_limit_bytes: None,
            nodes: 4,
            set,
        }
    }

    fn pages(&self, bytes: u64) -> u64 {
        bytes >> self.page_shift
    }

    fn section_pages(&self) -> u64 {
        1 << (self.section_bits - self.page_shift)
    }

    /// The physical range of a memory block.
    pub(super) fn block_range(&self, block: u64) -> PfnRange {
        let pages = self.pages(self.block_bytes);
        PfnRange::from_len(block.saturating_mul(pages), pages).expect("blocks are inside the physical address space")
    }

    /// Numbers of the memory blocks that share a page with a range.
    fn block_numbers(&self, range: PfnRange) -> Range<u64> {
        let pages = self.pages(self.block_bytes);
        range.start() / pages..range.end().div_ceil(pages)
    }

    /// The part of a range that a DAX device adds as RAM: its whole memory blocks. `None` if it has
    /// none. Source: `dax_kmem_range`.
    pub fn whole_blocks(&self, range: PfnRange) -> Option<PfnRange> {
        whole_blocks(range, self.pages(self.block_bytes))
    }

    /// The page frames whose records are added for a device mapping: the range itself, or before
    /// the series the whole sections around it.
    pub fn added_for(&self, range: PfnRange) -> PfnRange {
        if self.set.whole_sections { range.round_out(self.section_pages()) } else { range }
    }

    /// Alignment of a device mapping in bytes: a sub-section. Before the series a mapping was
    /// widened to sections, so it could begin at any page.
    pub fn mapping_unit_bytes(&self) -> u64 {
        if self.set.whole_sections { 1 << self.page_shift } else { 1 << self.subsection_bits }
    }

    fn space(&self) -> Space {
        Space { page_shift: self.page_shift, bits: self.physical_bits }
    }

    /// Checks that a range consists of whole units of hot-added RAM. Source:
    /// `check_hotplug_memory_range`.
    ///
    /// # Errors
    /// [`MachineError::NotBlocks`].
    pub fn check_blocks(&self, range: PfnRange) -> Result<(), MachineError> {
        let unit = self.pages(self.ram_unit_bytes);
        let off = |pfn: u64| (pfn % unit) << self.page_shift;
        let (start_off_bytes, end_off_bytes) = (off(range.start()), off(range.end()));
        if range.is_empty() || start_off_bytes != 0 || end_off_bytes != 0 {
            let (span, block_bytes) = (range.phys(self.page_shift), self.ram_unit_bytes);
            return Err(MachineError::NotBlocks { span, block_bytes, start_off_bytes, end_off_bytes });
        }
        Ok(())
    }

    fn check_node(&self, range: PfnRange, node: u8) -> Result<(), MachineError> {
        if node < self.nodes {
            return Ok(());
        }
        Err(MachineError::NoSuchNode { span: range.phys(self.page_shift), node, nodes: self.nodes })
    }

    /// Source: `register_memory_resource`, `mhp_range_allowed`.
    fn check_mappable(&self, range: PfnRange) -> Result<(), MachineError> {
        let space = 1u128 << self.physical_bits;
        let limit = self.mem_limit_bytes.map_or(space, |bytes| space.min(bytes.into()));
        let end = u128::from(range.end()) << self.page_shift;
        if end <= limit {
            return Ok(());
        }
        let beyond_bytes = u64::try_from(end - limit).unwrap_or(u64::MAX);
        Err(MachineError::BeyondMappable { span: range.phys(self.page_shift), limit, beyond_bytes })
    }

    /// Every reason to refuse RAM that depends on the request alone, in the order of the kernel's
    /// checks.
    pub(super) fn ram_request(&self, range: PfnRange, how: &AddMemory) -> Vec<MachineError> {
        let checks = [
            self.check_blocks(range),
            self.check_node(range, how.node),
            check_driver_name(how.driver_name.as_deref()),
            self.check_mappable(range),
        ];
        checks.into_iter().filter_map(Result::err).collect()
    }

    /// Every reason to refuse RAM that depends on what is there, in the order of the kernel's
    /// checks.
    pub(super) fn ram_place(&self, range: PfnRange, there: &impl Occupied) -> Vec<MachineError> {
        let mut refusals = Vec::new();
        let busy = there.resources().first_busy(range);
        refusals.extend(busy.map(|at| self.busy(range, at)));
        let block = if self.ram_unit_bytes < self.block_bytes {
            // A block of several sections gets its sections one by one.
            None
        } else {
            there.block_in(self.block_numbers(range))
        };
        refusals.extend(block.map(|block| {
            let span = self.block_range(block).phys(self.page_shift);
            MachineError::BlockExists { span, block }
        }));
        let in_the_way = there.resources().in_the_way(range).filter(|_| busy.is_none());
        refusals.extend(in_the_way.map(|at| self.busy(range, at)));
        refusals
    }

    /// The refusal of a range because of a resource in the way.
    pub(super) fn busy(&self, range: PfnRange, at: &Resource) -> MachineError {
        let (span, name) = (range.phys(self.page_shift), at.name.clone());
        MachineError::ResourceBusy { span, at: at.range.phys(self.page_shift), name }
    }

    /// Adds the whole memory blocks of each range of a DAX device with `add`, and returns what was
    /// added. A range that fails after one was added is left out. Source: `dev_dax_kmem_probe`.
    pub(super) fn add_whole_blocks(
        &self,
        ranges: &[PfnRange],
        mut add: impl FnMut(PfnRange) -> Result<(), MachineError>,
    ) -> Result<Vec<PfnRange>, MachineError> {
        let whole: Vec<PfnRange> = ranges.iter().filter_map(|&range| self.whole_blocks(range)).collect();
        if whole.is_empty() && !self.set.kmem_accepts_nothing {
            return Err(MachineError::NoWholeBlock { block_bytes: self.block_bytes });
        }
        let mut added = Vec::new();
        for range in whole {
            match add(range) {
                Ok(()) => added.push(range),
                Err(_) if !added.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(added)
    }

    /// Checks that a range to map is not empty and inside the physical address space: rounding
    /// could move an empty range beyond it. Source: `mhp_range_allowed`.
    pub(super) fn mapping_space(&self, range: PfnRange) -> Result<(), PagemapError> {
        match self.space().check(range) {
            Err(HotplugError::BeyondPhysicalSpace { span, beyond_bytes, .. }) => {
                Err(PagemapError::BeyondMappable { span, beyond_bytes })
            }
            checked => Ok(checked?),
        }
    }

    /// Every reason to refuse a device mapping because of other mappings and RAM in the page frames
    /// that it would add, in the order of the kernel's checks. Source: `pagemap_range`.
    pub(super) fn mapping_place(&self, range: PfnRange, there: &impl Occupied) -> Vec<PagemapError> {
        let (span, added) = (range.phys(self.page_shift), self.added_for(range));
        let why = if added == range { "" } else { ", in the same section" };
        let mut refusals = Vec::new();
        if let Some(at) = there.mapping_in(added) {
            refusals.push(PagemapError::Conflict { span, at: at.phys(self.page_shift), why });
        }
        let resources = there.resources();
        if resources.region_intersects(added, ResourceKind::SystemRam) != Intersection::Disjoint {
            let ram = resources.first(added, ResourceKind::SystemRam).and_then(|ram| ram.range.intersect(added));
            let at = ram.unwrap_or(added).phys(self.page_shift);
            refusals.push(PagemapError::OverlapsRam { span, at, why });
        }
        refusals
    }

    /// The refusal of a mapping because a resource has claimed part of its range.
    pub(super) fn claimed(&self, range: PfnRange, at: &Resource) -> PagemapError {
        let (span, name) = (range.phys(self.page_shift), at.name.clone());
        PagemapError::Claimed { span, at: at.range.phys(self.page_shift), name }
    }

    /// Checks the alignment of a mapping as it is added. Source: `check_pfn_span`.
    fn mapping_grid(&self, range: PfnRange) -> Result<(), HotplugError> {
        let granule_pages = match (self.set.checks_grid, self.set.whole_sections) {
            (false, _) => 1,
            (true, true) => self.section_pages(),
            (true, false) => 1 << (self.subsection_bits - self.page_shift),
        };
        Grid { granule_pages, rule: self.set.grid }.check_in(self.space(), self.added_for(range))
    }
}

/// Checks that the name of driver-managed RAM has the form `System RAM (driver)`.
fn check_driver_name(name: Option<&str>) -> Result<(), MachineError> {
    let Some(name) = name else { return Ok(()) };
    let of_driver = name.strip_prefix("System RAM (").and_then(|rest| rest.strip_suffix(')'));
    match of_driver.is_none_or(str::is_empty) {
        true => Err(MachineError::ResourceName { name: name.to_owned() }),
        false => Ok(()),
    }
}
