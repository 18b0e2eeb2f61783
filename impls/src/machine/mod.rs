//! A machine around a layout: physical address ranges, zones, memory blocks and device mappings.
//!
//! ```text
//!   RAM:     add_memory ─▶ resource ─▶ records ─▶ blocks (offline) ─▶ online ─▶ zone, IS_ONLINE
//!   devices: memremap_pages ─▶ conflicts? RAM? ─▶ records, TAINT ─▶ ZONE_DEVICE        (never a block, never online)
//! ```
//! Source: `mm/memory_hotplug.c`, `drivers/base/memory.c`, `mm/memremap.c`. The layout determines
//! the kernel rules ([`SectionFlags::Rules`]).
//!
//! One lock serialises all changes, as `device_hotplug_lock` and `mem_hotplug_lock` together do in
//! Linux. A thread that holds a reader of the layout gets EDEADLK, because the change would wait
//! for that reader.
//!
//! Zones are read from records, so every section that a machine manages must be backed
//! ([`BackedSections::All`](crate::BackedSections::All)).

mod admission;
mod block;
mod block_choice;
mod error;
mod kmem;
mod memmap_on_memory;
mod pgmap;
mod ram_buffer;
mod resource;
mod zone;

pub use admission::{AddressSpace, AdmissionRules};
pub use block::{BlockSizeAdvice, BlockSizeError, Blocks, MemoryBlock, Transition, check_block_size, whole_blocks};
pub use block_choice::{BlockSize, BlockSizeHost, BlockSizeReason, X86BlockRule, cxl_advice, probe_block_size};
pub use error::{MachineError, PagemapError};
pub use pgmap::{Pagemap, PagemapKind, PagemapRef, PagemapSpec};
pub use resource::{Intersection, Resource, ResourceKind, ResourceTree};
pub use zone::{Span, ZoneId, ZoneState};

use crate::error::HotplugError;
use crate::geometry::Geometry;
use crate::grace::GraceError;
use crate::memmap::*;
use crate::page::{PageLinks, Zone};
use crate::page_record::{HotplugRecord, PageRecord};
use crate::pfn::{Pfn, PfnRange, PhysSpan};
use crate::rules::Rules;
use crate::section::{SECTION_IS_ONLINE, SECTION_TAINT_ZONE_DEVICE};
use crate::store::RecordStore;
use admission::Occupied;
use pgmap::Pgmaps;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use zone::{ShrinkRules, Zones};

/// Configuration of a machine before it boots.
#[derive(Clone, Copy, Debug)]
pub struct MachineConfig {
    /// Memory block size in bytes, as set before the kernel chooses; `None` leaves the choice to
    /// [`probe_block_size`].
    pub block_bytes: Option<u64>,
    /// The machine is not a guest of a hypervisor.
    pub bare_metal: bool,
    /// The maximum block size that drivers advise.
    pub block_advice: BlockSizeAdvice,
    /// `mem=`: RAM that ends above this physical address (in bytes) cannot be added.
    pub mem_limit_bytes: Option<u64>,
    /// Number of possible NUMA nodes, numbered from 0.
    pub nodes: u8,
}

impl Default for MachineConfig {
    fn default() -> Self {
        let block_advice = BlockSizeAdvice::default();
        Self { block_bytes: None, bare_metal: true, block_advice, mem_limit_bytes: None, nodes: 4 }
    }
}

/// Options of [`Machine::add_memory`].
#[derive(Clone, Debug, Default)]
pub struct AddMemory {
    /// NUMA node of the added memory.
    pub node: u8,
    /// Resource name of driver-managed RAM, e.g. `System RAM (kmem)`; `None` for plain `System
    /// RAM`.
    pub driver_name: Option<String>,
    /// Keep the records of each block in the block itself (`MHP_MEMMAP_ON_MEMORY`). A tmpfs file in
    /// this folder stands for that memory. Ignored where unsupported, as in Linux since 6.8.
    pub memmap_on_memory: Option<PathBuf>,
}

/// A machine whose memory can be hot-added and hot-removed.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::machine::{AddMemory, Machine, MachineConfig, PagemapSpec};
/// use memmap_layouts::{BootMap, BootRange, Config, PfnRange, RecordStore};
///
/// let ram = BootRange { range: PfnRange::from_len(0, 0x10000).unwrap(), node: 0 };
/// let (config, layout) = (MachineConfig::default(), Config::default());
/// let machine = Machine::<Subsection>::boot(&BootMap::new([ram])?, config, &layout, RecordStore::unlimited())?;
///
/// // 128 MiB of RAM at 4 GiB: memory block 32, which is put online as through sysfs.
/// machine.add_memory(PfnRange::from_len(0x100000, 0x8000).unwrap(), &AddMemory::default())?;
/// machine.write_state(32, "online_movable")?;
/// assert_eq!(machine.read_state(32)?, "online");
///
/// // 16 MiB of a device behind it.
/// let pagemap = machine.memremap_pages(PagemapSpec::device(PfnRange::from_len(0x108000, 0x1000).unwrap()))?;
/// machine.memunmap_pages(&pagemap)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Machine<L> {
    layout: L,
    boot: BootMap,
    admission: AdmissionRules,
    block_pages: u64,
    state: Mutex<State>,
    pgmaps: Pgmaps,
}

/// The state that the hotplug lock protects.
#[derive(Clone, Debug)]
struct State {
    resources: ResourceTree,
    zones: Zones,
    blocks: Blocks,
    auto_online: Transition,
    max_pfn: u64,
}

impl<L: Hotplug + SectionFlags + Inspect> Machine<L> {
    /// Boots a machine with the memory of `map`.
    ///
    /// # Errors
    /// The layout fails to boot, or the configured block size is invalid.
    pub fn boot(
        map: &BootMap,
        mut config: MachineConfig,
        layout: &Config,
        store: RecordStore,
    ) -> Result<Self, MachineError> {
        let shift = L::Geometry::PAGE_SHIFT;
        let section_bytes = L::Geometry::PAGES_PER_SECTION << shift;
        let block_bytes = match config.block_bytes {
            Some(bytes) => check_block_size(section_bytes, bytes)?,
            None => {
                let advice = config.block_advice.settle();
                probe_block_size(section_bytes, map.end_pfn() << shift, config.bare_metal, advice)
            }
        };
        config.block_advice.settle();
        let layout = L::boot(map, layout, store)?;
        let mut state = State {
            resources: ResourceTree::default(),
            zones: Zones::default(),
            blocks: Blocks::new(),
            auto_online: Transition::Offline,
            max_pfn: map.end_pfn(),
        };
        let block_pages = block_bytes >> shift;
        let (mem_limit_bytes, nodes) = (config.mem_limit_bytes, config.nodes);
        let rules = AdmissionRules::new::<L::Geometry>(<L::Rules as Rules>::SET, block_bytes);
        let admission = AdmissionRules { mem_limit_bytes, nodes, ..rules };
        for boot in map.ranges() {
            let ram = Resource::new(boot.range, ResourceKind::SystemRam, "System RAM", true);
            state.resources.insert(ram).expect("ranges of a boot map do not overlap");
            state.zones.grow((boot.node, Zone::Normal), boot.range);
            state.zones.add_present((boot.node, Zone::Normal), boot.range.nr_pages(), true);
            let (first, last) = (boot.range.start() / block_pages, (boot.range.end() - 1) / block_pages);
            for block in first..=last {
                let (zone, node) = (Some(Zone::Normal), boot.node);
                let early = MemoryBlock { zone, node, early: true, ..MemoryBlock::default() };
                let of_block = state.blocks.entry(block).or_insert(early);
                of_block.several_nodes |= of_block.node != node;
                let ram =
                    PfnRange::from_len(block * block_pages, block_pages).and_then(|all| all.intersect(boot.range));
                of_block.ram_pages += ram.map_or(0, PfnRange::nr_pages);
            }
        }
        Ok(Self {
            layout,
            boot: map.clone(),
            admission,
            block_pages,
            state: Mutex::new(state),
            pgmaps: Pgmaps::default(),
        })
    }

    /// The layout that holds the records.
    pub fn layout(&self) -> &L {
        &self.layout
    }

    /// Size of a memory block in bytes.
    pub fn block_bytes(&self) -> u64 {
        self.block_pages << L::Geometry::PAGE_SHIFT
    }

    /// What sysfs shows in `block_size_bytes`: hexadecimal without `0x`, e.g. `8000000`.
    pub fn block_size_text(&self) -> String {
        format!("{:x}", self.block_bytes())
    }

    /// A snapshot of a zone; empty if it never had a page.
    ///
    /// # Errors
    /// The calling thread holds a reader, or an earlier change panicked. All queries of the state
    /// share these errors.
    pub fn zone(&self, id: ZoneId) -> Result<ZoneState, HotplugError> {
        Ok(self.lock()?.zones.get(id))
    }

    /// The span of a node: the smallest one that covers its zones.
    ///
    /// # Errors
    /// As [`zone`](Self::zone).
    pub fn node_span(&self, node: u8) -> Result<Span, HotplugError> {
        Ok(self.lock()?.zones.node_span(node))
    }

    /// One past the highest pfn of RAM or mapped device memory, except device-private memory
    /// (B-25). It never shrinks.
    ///
    /// # Errors
    /// As [`zone`](Self::zone).
    pub fn max_pfn(&self) -> Result<u64, HotplugError> {
        Ok(self.lock()?.max_pfn)
    }

    /// A snapshot of the memory blocks, by number.
    ///
    /// # Errors
    /// As [`zone`](Self::zone).
    pub fn blocks(&self) -> Result<Blocks, HotplugError> {
        Ok(self.lock()?.blocks.clone())
    }

    /// A snapshot of the physical address ranges, as `/proc/iomem` shows them.
    ///
    /// # Errors
    /// As [`zone`](Self::zone).
    pub fn resources(&self) -> Result<ResourceTree, HotplugError> {
        Ok(self.lock()?.resources.clone())
    }

    /// The address space without the records, for questions about more memory.
    ///
    /// # Errors
    /// As [`zone`](Self::zone).
    pub fn address_space(&self) -> Result<AddressSpace, HotplugError> {
        let state = self.lock()?;
        let blocks = state.blocks.iter().map(|(number, block)| (*number, block.zone.is_some()));
        let (resources, mapped) = (state.resources.clone(), self.pgmaps.ranges());
        Ok(AddressSpace::from_parts(self.admission, &self.boot, resources, blocks, mapped))
    }

    /// A hash of the machine's state without the contents of records. Use it to check that a
    /// refused change had no effect.
    ///
    /// # Errors
    /// As [`zone`](Self::zone).
    pub fn digest(&self) -> Result<u64, HotplugError> {
        let state = self.lock()?;
        let mut hasher = DefaultHasher::new();
        (self.layout.digest(), &state.resources, &state.zones, state.max_pfn, state.auto_online).hash(&mut hasher);
        for (number, block) in &state.blocks {
            let altmap = block.altmap.as_ref().map(|altmap| (altmap.base_pfn(), altmap.used()));
            (number, block.zone, block.node, block.several_nodes, block.early, altmap).hash(&mut hasher);
        }
        self.pgmaps.digest(&mut hasher);
        Ok(hasher.finish())
    }

    /// Names a physical range, e.g. one that the firmware reports as persistent memory.
    ///
    /// # Errors
    /// The range is empty, or another resource is in the way.
    pub fn insert_resource(&self, resource: Resource) -> Result<(), MachineError> {
        let range = resource.range;
        if range.is_empty() {
            return Err(HotplugError::Empty { span: range.phys(L::Geometry::PAGE_SHIFT) }.into());
        }
        let mut state = self.lock()?;
        state.resources.insert(resource).map_err(|at| self.admission.busy(range, &at))
    }

    /// Takes the hotplug lock; fails if the calling thread holds a reader.
    fn lock(&self) -> Result<MutexGuard<'_, State>, HotplugError> {
        if self.layout.held_by_this_thread() {
            return Err(GraceError::ReaderHeld.into());
        }
        self.state.lock().map_err(|_| HotplugError::Poisoned)
    }

    fn block_range(&self, block: u64) -> PfnRange {
        self.admission.block_range(block)
    }

    fn block_span(&self, block: u64) -> PhysSpan {
        self.block_range(block).phys(L::Geometry::PAGE_SHIFT)
    }

    fn block_numbers(&self, range: PfnRange) -> std::ops::Range<u64> {
        range.start() / self.block_pages..range.end() / self.block_pages
    }

    /// What the checks of new memory look at.
    fn occupied<'a>(&'a self, state: &'a State) -> impl Occupied + 'a {
        MachineSpace { state, pgmaps: &self.pgmaps }
    }

    /// Hot-adds RAM in whole memory blocks, all or nothing. If `auto_online_blocks` says so, it
    /// then puts each block online, and ignores those that fail.
    ///
    /// Source: `add_memory_resource`.
    ///
    /// # Errors
    /// [`MachineError`]; nothing has changed.
    pub fn add_memory(&self, range: PfnRange, how: &AddMemory) -> Result<(), MachineError> {
        first_refusal(self.admission.ram_request(range, how))?;
        let mut state = self.lock()?;
        first_refusal(self.admission.ram_place(range, &self.occupied(&state)))?;
        let name = how.driver_name.as_deref().unwrap_or("System RAM");
        let ram = Resource::new(range, ResourceKind::SystemRam, name, true);
        state.resources.request(ram).map_err(|at| self.admission.busy(range, &at))?;
        let altmaps = self.add_records(range, how).inspect_err(|_| {
            state.resources.remove(range, ResourceKind::SystemRam);
        })?;
        state.max_pfn = state.max_pfn.max(range.end());
        for (block, altmap) in self.block_numbers(range).zip(altmaps) {
            state.blocks.insert(
                block,
                MemoryBlock { node: how.node, altmap, ram_pages: self.block_pages, ..MemoryBlock::default() },
            );
        }
        if state.auto_online != Transition::Offline {
            let transition = state.auto_online;
            for block in self.block_numbers(range) {
                // As in the kernel, the added memory stays: a block that failed to go online can be
                // retried.
                let _ = self.change_state(&mut state, block, transition);
            }
        }
        Ok(())
    }

    /// Hot-removes RAM: whole memory blocks, all of which must be offline.
    ///
    /// Source: `remove_memory`, `try_remove_memory`.
    ///
    /// # Errors
    /// [`MachineError`]; nothing has changed.
    pub fn remove_memory(&self, range: PfnRange) -> Result<(), MachineError> {
        self.admission.check_blocks(range)?;
        let mut state = self.lock()?;
        self.check_offline(&state, range)?;
        self.layout.remove(range, &RemoveParams { memblock_api: true }, &mut ())?;
        for block in self.block_numbers(range) {
            state.blocks.remove(&block);
        }
        state.resources.release_ram(range);
        Ok(())
    }

    /// Checks that a range consists of blocks that are offline.
    fn check_offline(&self, state: &State, range: PfnRange) -> Result<(), MachineError> {
        for block in self.block_numbers(range) {
            match state.blocks.get(&block) {
                None => return Err(MachineError::NoSuchBlock { block }),
                Some(MemoryBlock { zone: Some(_), .. }) => {
                    return Err(MachineError::BlockOnline { span: self.block_span(block), block });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Checks that RAM could be removed.
    pub(super) fn check_removable(&self, range: PfnRange) -> Result<(), MachineError> {
        self.admission.check_blocks(range)?;
        let state = self.lock()?;
        self.check_offline(&state, range)
    }

    /// Reads the `state` of a block: `online` or `offline`.
    ///
    /// # Errors
    /// There is no such block, or the state cannot be locked.
    pub fn read_state(&self, block: u64) -> Result<&'static str, MachineError> {
        let state = self.lock()?;
        state.blocks.get(&block).map(MemoryBlock::state).ok_or(MachineError::NoSuchBlock { block })
    }

    /// Writes `offline`, `online`, `online_kernel` or `online_movable` to the `state` of a block.
    ///
    /// # Errors
    /// [`MachineError`]; the block keeps its state.
    pub fn write_state(&self, block: u64, word: &str) -> Result<(), MachineError> {
        let transition = word.parse().map_err(|()| MachineError::UnknownState { word: word.trim_end().to_owned() })?;
        let mut state = self.lock()?;
        self.change_state(&mut state, block, transition)
    }

    /// Writes to `auto_online_blocks`: the transition that [`add_memory`](Self::add_memory) applies
    /// to new blocks.
    ///
    /// # Errors
    /// `word` is not a state of a memory block, or the state cannot be locked.
    pub fn write_auto_online(&self, word: &str) -> Result<(), MachineError> {
        let transition = word.parse().map_err(|()| MachineError::UnknownState { word: word.trim_end().to_owned() })?;
        self.lock()?.auto_online = transition;
        Ok(())
    }

    /// Writes a physical address to `probe`: adds the block of RAM that starts there, on node 0.
    ///
    /// # Errors
    /// The address is not the start of a block, or [`add_memory`](Self::add_memory) fails.
    pub fn probe(&self, address: u64) -> Result<(), MachineError> {
        let (block_bytes, shift) = (self.block_bytes(), L::Geometry::PAGE_SHIFT);
        let off_bytes = address % block_bytes;
        let range = PfnRange::from_len(address >> shift, self.block_pages).filter(|_| off_bytes == 0);
        let range = range.ok_or(MachineError::ProbeMisaligned { address, block_bytes, off_bytes })?;
        self.add_memory(range, &AddMemory::default())
    }

    fn change_state(&self, state: &mut State, number: u64, transition: Transition) -> Result<(), MachineError> {
        let block = state.blocks.get(&number).ok_or(MachineError::NoSuchBlock { block: number })?.clone();
        if block.zone.is_some() == transition.zone().is_some() {
            let (span, state) = (self.block_span(number), block.state());
            return Err(MachineError::AlreadyInState { span, block: number, state, asked: transition });
        }
        if block.several_nodes && transition == Transition::Offline {
            return Err(MachineError::SeveralNodes { span: self.block_span(number), block: number });
        }
        let range = self.block_range(number);
        self.check_holes(&block, number, transition)?;
        match (transition.zone(), block.zone) {
            (Some(zone), _) => {
                let id = (block.node, zone);
                let before = self.layout.reader().valid_to_page(Pfn(range.start())).and_then(zone_of::<L>);
                self.set_zone(range, zone);
                self.layout.set_online(range, true).inspect_err(|_| {
                    if let Some(before) = before {
                        self.set_zone(range, before);
                    }
                })?;
                state.zones.grow(id, range);
                state.zones.add_present(id, range.nr_pages(), block.early);
            }
            (None, Some(zone)) => {
                let id = (block.node, zone);
                self.layout.set_online(range, false)?;
                state.zones.sub_present(id, range.nr_pages(), block.early);
                self.shrink_zone(state, id, range);
            }
            (None, None) => unreachable!("refused above: the block is already offline"),
        }
        state.blocks.insert(number, MemoryBlock { zone: transition.zone(), ..block });
        Ok(())
    }

    /// Checks that every page of the block is RAM and present, because a block goes online and
    /// offline as a whole. Source: `offline_pages`; in kernels from the time of the series
    /// `pages_correctly_probed`.
    fn check_holes(&self, block: &MemoryBlock, number: u64, transition: Transition) -> Result<(), MachineError> {
        let (range, reader) = (self.block_range(number), self.layout.reader());
        let granule = L::Geometry::PAGES_PER_SUBSECTION;
        let is_there = |part: &PfnRange| reader.pfn_section_valid(Pfn(part.start()));
        let there: u64 = range.split_at_multiples(granule).filter(is_there).map(PfnRange::nr_pages).sum();
        let ram = block.ram_pages.min(there);
        if ram == range.nr_pages() {
            let sections = || range.split_at_multiples(L::Geometry::PAGES_PER_SECTION);
            let shared = |part: &PfnRange| reader.section_flags(Pfn(part.start())) & SECTION_TAINT_ZONE_DEVICE != 0;
            return match sections().find(shared).filter(|_| transition != Transition::Offline) {
                Some(at) => {
                    let (span, at) = (self.block_span(number), at.phys(L::Geometry::PAGE_SHIFT));
                    Err(HotplugError::NotWholeRam { span, at }.into())
                }
                None => Ok(()),
            };
        }
        let (ram_bytes, block_bytes) = (ram << L::Geometry::PAGE_SHIFT, self.block_bytes());
        let busy = transition != Transition::Offline && <L::Rules as Rules>::SET.block_with_holes_is_busy;
        let span = self.block_span(number);
        Err(MachineError::Holes { span, block: number, ram_bytes, block_bytes, busy })
    }

    fn set_zone(&self, range: PfnRange, zone: Zone) {
        let reader = self.layout.reader();
        for pfn in range.start()..range.end() {
            if let Some(page) = reader.valid_to_page(Pfn(pfn)) {
                page.set_zone(zone);
            }
        }
    }

    /// Shrinks a zone's span after a range left it. Source: `remove_pfn_range_from_zone`; in 5.3
    /// `shrink_zone_span`.
    fn shrink_zone(&self, state: &mut State, id: ZoneId, range: PfnRange) {
        let set = <L::Rules as Rules>::SET;
        let rules = ShrinkRules {
            step_pages: match set.whole_sections {
                true => L::Geometry::PAGES_PER_SECTION,
                false => L::Geometry::PAGES_PER_SUBSECTION,
            },
            device_only_grows: set.device_zone_only_grows,
        };
        let reader = self.layout.reader();
        let blocks = &state.blocks;
        let belongs = |pfn: u64| {
            let pfn = Pfn(pfn);
            let page = match id.1 {
                Zone::Device => reader.valid_to_page(pfn),
                _ => self.pfn_to_online_page(&reader, pfn),
            };
            // The node of RAM is that of its block, or of its boot range: not all flags have room
            // for it. For device memory the record is read, as in 5.3, even if it is not
            // initialised (B-05).
            let node = |page: &L::Record| match (id.1, blocks.get(&(pfn.0 / self.block_pages))) {
                (Zone::Device, _) => page.links().map(PageLinks::node),
                (_, Some(block)) if block.several_nodes => self.boot.node_of(pfn),
                (_, block) => block.map(|block| block.node),
            };
            page.is_some_and(|page| zone_of::<L>(page) == Some(id.1) && node(page) == Some(id.0))
        };
        let populated = |rest: PfnRange| self.populated(blocks, id.1, rest).into_iter();
        state.zones.shrink(id, range, rules, populated, belongs);
    }

    /// The ranges that may have pages of a zone, in ascending order.
    fn populated(&self, blocks: &Blocks, zone: Zone, within: PfnRange) -> Vec<PfnRange> {
        if zone == Zone::Device {
            return self.pgmaps.ranges().into_iter().map(|range| self.admission.added_for(range)).collect();
        }
        let nrs = within.start() / self.block_pages..within.end().div_ceil(self.block_pages);
        let of_block = |(nr, _): (&u64, &_)| PfnRange::from_len(nr * self.block_pages, self.block_pages);
        blocks.range(nrs).filter_map(of_block).collect()
    }

    /// Shrinks a zone while the records of the range can still be read, then removes the records.
    fn remove_from_zone(&self, state: &mut State, id: ZoneId, range: PfnRange) -> Result<(), HotplugError> {
        let before = state.zones.clone();
        self.shrink_zone(state, id, range);
        self.layout.remove(range, &RemoveParams::default(), &mut ()).inspect_err(|_| state.zones = before)
    }

    /// The record of a page that is online, i.e. initialised and in use by the system. `None` for
    /// device memory, even if it shares a section with RAM.
    ///
    /// Source: `pfn_to_online_page`. It tests which ranges are mapped, not whether a mapping is
    /// alive, so pages of a mapping that is being taken down do not look online.
    pub fn pfn_to_online_page<'r>(&self, reader: &'r L::Reader<'_>, pfn: Pfn) -> Option<&'r L::Record> {
        let flags = reader.section_flags(pfn);
        if flags & SECTION_IS_ONLINE == 0 {
            return None;
        }
        if !<L::Rules as Rules>::SET.taints_mixed_sections {
            return reader.valid_to_page(pfn);
        }
        if !reader.pfn_section_valid(pfn) || flags & SECTION_TAINT_ZONE_DEVICE != 0 && self.pgmaps.covers(pfn) {
            return None;
        }
        reader.valid_to_page(pfn)
    }

    /// Marks a failing page as poisoned, to take it out of use. Source: `soft_offline_page`.
    ///
    /// # Errors
    /// The page is not online: the system cannot retire device memory (B-06).
    pub fn soft_offline(&self, pfn: Pfn) -> Result<(), MachineError> {
        let reader = self.layout.reader();
        let page = self.pfn_to_online_page(&reader, pfn).ok_or(MachineError::NotOnline { pfn })?;
        page.set_hwpoison();
        Ok(())
    }

    /// Creates an offline block without its memory, as a kernel without early checks could be made
    /// to do. Used by the scene of the series that shows this bug.
    pub(crate) fn force_block(&self, range: PfnRange, node: u8) -> Result<u64, MachineError> {
        let number = range.start() / self.block_pages;
        let mut state = self.lock()?;
        state.blocks.insert(number, MemoryBlock { node, ..MemoryBlock::default() });
        Ok(number)
    }

    /// Removes part of boot RAM without its memory block, as `arch_remove_memory` does for its
    /// callers.
    pub(crate) fn take_away(&self, range: PfnRange, id: ZoneId) -> Result<(), MachineError> {
        Ok(self.remove_from_zone(&mut *self.lock()?, id, range)?)
    }
}

/// What occupies the address space of a machine, while its state is locked.
struct MachineSpace<'a> {
    state: &'a State,
    pgmaps: &'a Pgmaps,
}

impl Occupied for MachineSpace<'_> {
    fn resources(&self) -> &ResourceTree {
        &self.state.resources
    }

    fn block_in(&self, numbers: std::ops::Range<u64>) -> Option<u64> {
        self.state.blocks.range(numbers).next().map(|(number, _)| *number)
    }

    fn mapping_in(&self, range: PfnRange) -> Option<PfnRange> {
        self.pgmaps.find(range).map(|(mapped, _)| mapped)
    }
}

/// The first of several refusals, if there is one.
fn first_refusal<E>(refusals: Vec<E>) -> Result<(), E> {
    refusals.into_iter().next().map_or(Ok(()), Err)
}

/// The zone that a record names; `None` if it is not initialised.
fn zone_of<L: Hotplug>(page: &L::Record) -> Option<Zone> {
    page.links().and_then(PageLinks::zone)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::geometry::X86_64;
    use crate::layouts::Subsection;

    /// Shrinking a zone visits existing blocks only, not the space between them.
    #[test]
    fn only_blocks_are_looked_at() {
        const S: u64 = X86_64::PAGES_PER_SECTION;
        let section = |nr: u64| PfnRange::from_len(nr * S, S).unwrap();
        let map = BootMap::new([BootRange { range: section(1), node: 0 }]).unwrap();
        let machine =
            Machine::<Subsection>::boot(&map, MachineConfig::default(), &Config::default(), RecordStore::unlimited());
        let machine = machine.unwrap();
        let last = X86_64::NR_MEM_SECTIONS - 1;
        machine.add_memory(section(last), &AddMemory::default()).unwrap();
        machine.write_state(last, "online").unwrap();
        let blocks = machine.blocks().unwrap();
        let all = PfnRange::new(0, X86_64::NR_PFNS).unwrap();
        assert_eq!(machine.populated(&blocks, Zone::Normal, all), [section(1), section(last)]);
        let between = PfnRange::new(2 * S, last * S).unwrap();
        assert_eq!(machine.populated(&blocks, Zone::Normal, between), []);
        machine.write_state(last, "offline").unwrap();
        assert_eq!(machine.zone((0, Zone::Normal)).unwrap().span, Span { start: S, spanned: S });
    }
}
