//! The physical address space of a machine without its records.

use super::{AdmissionRules, Occupied};
use crate::boot_map::BootMap;
use crate::error::HotplugError;
use crate::machine::ram_buffer::ram_buffers;
use crate::machine::{AddMemory, MachineError, PagemapError, Resource, ResourceKind, ResourceTree};
use crate::pfn::PfnRange;
use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges of numbers by their first; they do not overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// The first number in `numbers` that belongs to a range.
    fn first_in(&self, numbers: Range<u64>) -> Option<u64> {
        if numbers.is_empty() {
            return None;
        }
        let before = self.0.range(..=numbers.start).next_back().filter(|(_, end)| **end > numbers.start);
        match before {
            Some(_) => Some(numbers.start),
            None => self.0.range(numbers).next().map(|(first, _)| *first),
        }
    }

    /// The first number in `numbers` that belongs to no range.
    fn first_missing(&self, numbers: Range<u64>) -> Option<u64> {
        let mut next = numbers.start;
        while next < numbers.end {
            match self.0.range(..=next).next_back().filter(|(_, end)| **end > next) {
                Some((_, end)) => next = *end,
                None => return Some(next),
            }
        }
        None
    }

    fn remove(&mut self, numbers: Range<u64>) {
        let touched: Vec<(u64, u64)> = self.0.range(..numbers.end).map(|(first, end)| (*first, *end)).collect();
        for (first, end) in touched.into_iter().filter(|(_, end)| *end > numbers.start) {
            self.0.remove(&first);
            if first < numbers.start {
                self.0.insert(first, numbers.start);
            }
            if end > numbers.end {
                self.0.insert(numbers.end, end);
            }
        }
    }

    fn insert(&mut self, numbers: Range<u64>) {
        self.remove(numbers.clone());
        self.0.insert(numbers.start, numbers.end);
    }

    /// Inserts numbers as a part of the ranges that they touch.
    fn merge(&mut self, numbers: Range<u64>) {
        self.remove(numbers.clone());
        let end = self.0.remove(&numbers.end).unwrap_or(numbers.end);
        match self.0.range_mut(..numbers.start).next_back().filter(|(_, last)| **last == numbers.start) {
            Some((_, last)) => *last = end,
            None => {
                self.0.insert(numbers.start, end);
            }
        }
    }
}

/// The physical address space of a machine without its records: what occupies it, and whether more
/// memory would be accepted.
///
/// A request has the verdict and the error of the method of the same name of
/// [`Machine`](crate::machine::Machine); only lack of memory for records is left out. The `_refusals`
/// methods tell every rule that a request breaks, the first being that error. Hot-added memory is
/// offline, boot memory is online.
///
/// Cost: a request takes time in proportion to the number of resources, whatever their size.
///
/// ```
/// use memmap_layouts::machine::{AddMemory, AddressSpace, AdmissionRules, MachineError};
/// use memmap_layouts::rules::RuleSet;
/// use memmap_layouts::{BootMap, BootRange, PfnRange, X86_64};
///
/// // 4 TiB of RAM, in blocks of 2 GiB.
/// let ram = BootRange { range: PfnRange::from_len(0, 1 << 30).unwrap(), node: 0 };
/// let rules = AdmissionRules::new::<X86_64>(RuleSet::MERGED, 2 << 30);
/// let mut space = AddressSpace::new(rules, &BootMap::new([ram])?);
/// let (off, taken) = (PfnRange::from_len((1 << 30) + 512, 1 << 19), PfnRange::from_len(0, 1 << 19));
/// let told = space.add_memory(off.unwrap(), &AddMemory::default()).unwrap_err();
/// assert!(matches!(told, MachineError::NotBlocks { start_off_bytes: 0x20_0000, .. }));
/// assert_eq!(space.ram_refusals(taken.unwrap(), &AddMemory::default()).len(), 2, "busy, and a block is there");
/// space.add_memory(PfnRange::from_len(1 << 30, 1 << 19).unwrap(), &AddMemory::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSpace {
    rules: AdmissionRules,
    boot: BootMap,
    resources: ResourceTree,
    /// Numbers of the memory blocks that are online: those with boot memory.
    online: Ranges,
    /// Numbers of the other memory blocks.
    offline: Ranges,
    mappings: Ranges,
}

impl Occupied for AddressSpace {
    fn resources(&self) -> &ResourceTree {
        &self.resources
    }

    fn block_in(&self, numbers: Range<u64>) -> Option<u64> {
        let first = [&self.online, &self.offline].map(|blocks| blocks.first_in(numbers.clone()));
        first.into_iter().flatten().min()
    }

    fn mapping_in(&self, range: PfnRange) -> Option<PfnRange> {
        let (start, end) = self.mappings.0.range(..range.end()).next_back()?;
        PfnRange::new(*start, *end).filter(|mapped| mapped.overlaps(range))
    }
}

impl AddressSpace {
    /// A machine with the memory of `boot`, which is online.
    pub fn new(rules: AdmissionRules, boot: &BootMap) -> Self {
        let mut resources = ResourceTree::default();
        let mut online = Ranges::default();
        for boot in boot.ranges() {
            let ram = Resource::new(boot.range, ResourceKind::SystemRam, "System RAM", true);
            resources.request(ram).expect("ranges of a boot map do not overlap");
            online.merge(rules.block_numbers(boot.range));
        }
        let (offline, mappings) = (Ranges::default(), Ranges::default());
        Self { rules, boot: boot.clone(), resources, online, offline, mappings }
    }

    /// What a machine has: its resources, the numbers of its memory blocks with whether each is
    /// online, and its mappings.
    pub(crate) fn from_parts(
        rules: AdmissionRules,
        boot: &BootMap,
        resources: ResourceTree,
        blocks: impl Iterator<Item = (u64, bool)>,
        mapped: Vec<PfnRange>,
    ) -> Self {
        let (mut online, mut offline, mut mappings) = (Ranges::default(), Ranges::default(), Ranges::default());
        for (block, is_online) in blocks {
            let of_state = if is_online { &mut online } else { &mut offline };
            of_state.merge(block..block + 1);
        }
        mapped.into_iter().for_each(|range| mappings.insert(range.start()..range.end()));
        Self { rules, boot: boot.clone(), resources, online, offline, mappings }
    }

    /// The rules that it applies.
    pub fn rules(&self) -> &AdmissionRules {
        &self.rules
    }

    /// The physical address ranges, as `/proc/iomem` shows them.
    pub fn resources(&self) -> &ResourceTree {
        &self.resources
    }

    /// Mapped ranges, in ascending order.
    pub fn mappings(&self) -> impl Iterator<Item = PfnRange> {
        self.mappings.0.iter().filter_map(|(start, end)| PfnRange::new(*start, *end))
    }

    /// Names a physical range, as [`Machine::insert_resource`](crate::machine::Machine::insert_resource)
    /// does.
    ///
    /// # Errors
    /// The range is empty, or another resource is in the way.
    pub fn insert_resource(&mut self, resource: Resource) -> Result<(), MachineError> {
        let range = resource.range;
        if range.is_empty() {
            return Err(HotplugError::Empty { span: range.phys(self.rules.page_shift) }.into());
        }
        self.resources.insert(resource).map_err(|at| self.rules.busy(range, &at))
    }

    /// Places RAM that was added before: its memory blocks are offline. No rule is checked, because
    /// the kernel that added it may have had other memory blocks.
    ///
    /// # Errors
    /// The range is empty, or another resource is in the way.
    pub fn insert_added_ram(&mut self, range: PfnRange) -> Result<(), MachineError> {
        if range.is_empty() {
            return Err(HotplugError::Empty { span: range.phys(self.rules.page_shift) }.into());
        }
        let ram = Resource::new(range, ResourceKind::SystemRam, "System RAM", true);
        self.resources.request(ram).map_err(|at| self.rules.busy(range, &at))?;
        self.offline.merge(self.rules.block_numbers(range));
        Ok(())
    }

    /// Claims the RAM buffers, as
    /// [`Machine::claim_ram_buffers`](crate::machine::Machine::claim_ram_buffers) does.
    pub fn claim_ram_buffers(&mut self) {
        if self.rules.set.ram_buffer_covers_soft_reserved {
            for buffer in ram_buffers(&self.boot, &self.resources, self.rules.page_shift) {
                // It is free, so nothing is in the way.
                let _ = self.resources.request(buffer);
            }
        }
    }

    /// Every rule that [`add_memory`](Self::add_memory) would break.
    pub fn ram_refusals(&self, range: PfnRange, how: &AddMemory) -> Vec<MachineError> {
        let mut refusals = self.rules.ram_request(range, how);
        if !range.is_empty() {
            refusals.extend(self.rules.ram_place(range, self));
        }
        refusals
    }

    /// Hot-adds RAM; it is offline.
    ///
    /// # Errors
    /// As [`Machine::add_memory`](crate::machine::Machine::add_memory); nothing has changed.
    pub fn add_memory(&mut self, range: PfnRange, how: &AddMemory) -> Result<(), MachineError> {
        if let Some(refusal) = self.ram_refusals(range, how).into_iter().next() {
            return Err(refusal);
        }
        let name = how.driver_name.as_deref().unwrap_or("System RAM");
        let ram = Resource::new(range, ResourceKind::SystemRam, name, true);
        self.resources.request(ram).map_err(|at| self.rules.busy(range, &at))?;
        self.offline.merge(self.rules.block_numbers(range));
        Ok(())
    }

    /// Adds the ranges of a DAX device as RAM, and returns what was added.
    ///
    /// # Errors
    /// As [`Machine::add_device_memory`](crate::machine::Machine::add_device_memory); nothing has
    /// changed.
    pub fn add_device_memory(&mut self, ranges: &[PfnRange], how: &AddMemory) -> Result<Vec<PfnRange>, MachineError> {
        let rules = self.rules;
        rules.add_whole_blocks(ranges, |range| self.add_memory(range, how))
    }

    /// Hot-removes RAM.
    ///
    /// # Errors
    /// As [`Machine::remove_memory`](crate::machine::Machine::remove_memory); nothing has changed.
    pub fn remove_memory(&mut self, range: PfnRange) -> Result<(), MachineError> {
        self.rules.check_blocks(range)?;
        let numbers = self.rules.block_numbers(range);
        let online = self.online.first_in(numbers.clone());
        let mut all = self.offline.clone();
        self.online.0.iter().for_each(|(first, end)| all.merge(*first..*end));
        match (all.first_missing(numbers.clone()), online) {
            (Some(block), online) if online.is_none_or(|online| block < online) => {
                return Err(MachineError::NoSuchBlock { block });
            }
            (_, Some(block)) => {
                let span = self.rules.block_range(block).phys(self.rules.page_shift);
                return Err(MachineError::BlockOnline { span, block });
            }
            _ => {}
        }
        self.offline.remove(numbers);
        self.resources.release_ram(range);
        Ok(())
    }

    /// Every rule that [`memremap_pages`](Self::memremap_pages) would break.
    pub fn mapping_refusals(&self, ranges: &[PfnRange]) -> Vec<PagemapError> {
        if ranges.is_empty() {
            return vec![PagemapError::NoRange];
        }
        let beyond: Vec<_> = ranges.iter().filter_map(|&range| self.rules.mapping_space(range).err()).collect();
        if !beyond.is_empty() {
            return beyond;
        }
        let mut refusals: Vec<_> = ranges.iter().flat_map(|&range| self.rules.mapping_place(range, self)).collect();
        let (mut misplaced, mut claims) = (Vec::new(), self.resources.clone());
        let mut added: Vec<PfnRange> = Vec::new();
        for &range in ranges {
            let claim = Resource::new(range, ResourceKind::Other, "device", true);
            match claims.request(claim) {
                // RAM or a mapping that is in the way was named above.
                Err(at) if refusals.is_empty() => refusals.push(self.rules.claimed(range, &at)),
                _ => {}
            }
            misplaced.extend(self.rules.mapping_grid(range).err());
            let span = range.phys(self.rules.page_shift);
            let records = self.rules.added_for(range);
            let at = added.iter().find_map(|other| other.intersect(records));
            misplaced.extend(at.map(|at| HotplugError::Overlaps { span, at: at.phys(self.rules.page_shift) }));
            added.push(records);
        }
        refusals.extend(misplaced.into_iter().map(PagemapError::from));
        refusals
    }

    /// Maps device memory, all ranges or none; `name` is that of the resource.
    ///
    /// # Errors
    /// As [`Machine::memremap_pages`](crate::machine::Machine::memremap_pages); nothing has changed.
    pub fn memremap_pages(&mut self, name: &str, ranges: &[PfnRange]) -> Result<(), PagemapError> {
        if let Some(refusal) = self.mapping_refusals(ranges).into_iter().next() {
            return Err(refusal);
        }
        for &range in ranges {
            let claim = Resource::new(range, ResourceKind::Other, name, true);
            self.resources.request(claim).map_err(|at| self.rules.claimed(range, &at))?;
            self.mappings.insert(range.start()..range.end());
        }
        Ok(())
    }

    /// Takes a mapping of these ranges down.
    ///
    /// # Errors
    /// One of them is not mapped as a whole; nothing has changed.
    pub fn memunmap_pages(&mut self, ranges: &[PfnRange]) -> Result<(), PagemapError> {
        let is_mapped = |range: &&PfnRange| self.mappings.0.get(&range.start()) == Some(&range.end());
        if let Some(range) = ranges.iter().find(|range| !is_mapped(range)) {
            return Err(PagemapError::NotMapped { span: range.phys(self.rules.page_shift) });
        }
        for &range in ranges {
            self.mappings.remove(range.start()..range.end());
            self.resources.remove(range, ResourceKind::Other);
        }
        Ok(())
    }
}
