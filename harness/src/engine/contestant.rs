//! Layouts of different types behind one trait. Dynamic dispatch happens once per slice, never once
//! per lookup.

use crate::case::{Asked, CONTROL, Dependency, Layout, LookupGroup, LookupOp, Memory, Position};
use crate::engine::blame::of_layout;
use crate::engine::probe::hotplug::{self, HotplugProbeError, Latencies, Manner};
use crate::engine::probe::lookup::{self, Prepared, Queries, Window};
use crate::engine::probe::place::{NoPlace, Place, place};
use crate::engine::probe::query_array::Placement;
use crate::engine::probe::tail;
use hdrhistogram::Histogram;
use memmap_layouts::backing::{DaxDevice, DaxError, RamBacking};
use memmap_layouts::layouts::{Family, Visitor};
use memmap_layouts::machine_code::{YesForm, pfn_valid_answer};
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    BootError, BootMap, ByteSize, Capabilities, Config, DeviceRecords, Footprint, Geometry, Hotplug, HotplugError,
    Inspect, LoadChain, Lookup, Memmap, Pfn, PfnRange, RecordStore, RemoveParams, SectionFlags, record_bytes,
};
use std::sync::Arc;

/// A booted layout that takes part in a race, with its type erased.
pub trait Contestant<G: Geometry>: Sync {
    /// Id in rows and reports, e.g. `subsection`; `control` or `subsection#2` for a further boot.
    fn id(&self) -> &'static str;
    /// Id of the layout itself, the same for all its boots.
    fn layout_id(&self) -> &'static str;
    /// What the layout supports: hotplug, its granule, its rule of validity.
    fn caps(&self) -> Capabilities;
    /// Whether a positive answer of `pfn_valid` is a data or a branch dependency, as found in the
    /// machine code. `None` on machines whose code cannot be read ([`pfn_valid_answer`]).
    fn dependency(&self, memory: Memory) -> Option<Dependency>;
    /// Bytes of tables and records that the layout occupies.
    fn footprint(&self) -> Footprint;
    /// Bytes of records in huge pages; `None` if huge pages were not requested.
    fn bytes_in_huge_pages(&self) -> Option<u64>;
    /// Bytes of index-table memory in huge pages; `None` if huge pages were not requested.
    fn index_bytes_in_huge_pages(&self) -> Option<u64>;
    /// Compares the layout's answers with the oracle's, and the records of backed sections with
    /// their pfns.
    ///
    /// # Errors
    /// The first wrong answer.
    fn agree(&self, oracle: &Oracle<G>) -> Result<(), String>;
    /// Checks every query before any is timed, and copies the queries to an address that
    /// `placement` chooses.
    ///
    /// # Errors
    /// The first wrong answer.
    fn prepare_checked(
        &self,
        asked: Asked,
        queries: &Queries,
        oracle: &Oracle<G>,
        placement: &mut Placement,
    ) -> Result<Prepared, String>;
    /// As [`prepare_checked`](Self::prepare_checked), for page frames that must be valid; no oracle
    /// is consulted.
    ///
    /// # Errors
    /// The first wrong answer.
    fn prepare(&self, op: LookupOp, pfns: &[Pfn]) -> Result<Prepared, String>;
    /// `pfn_valid` of one page frame, untimed, to compare it with a known answer.
    fn pfn_valid(&self, pfn: Pfn) -> bool;
    /// Runs the queries of a window and returns the wrapping sum of the answers.
    fn run(&self, prepared: &Prepared, window: Window) -> u64;
    /// Address of the machine code of the loop that [`run`](Self::run) uses for a lookup.
    fn lookup_code(&self, asked: Asked) -> usize;
    /// Runs short batches of `valid_to_page` and records the time of each in ns. Returns the sum of
    /// the answers.
    fn time_batches(&self, pfns: &[Pfn], into: &mut Histogram<u64>) -> u64;
    /// The layout's hotplug operations; `None` if it has no hotplug.
    fn hotplug(&self) -> Option<&dyn HotplugContestant>;
    /// Why the layout does not have the lookups of a group; `None` if it has them.
    fn lacks(&self, _: &LookupGroup) -> Option<&'static str> {
        None
    }
    /// Why additions are not timed, and lookups do not run beside a writer; `None` if they are and do.
    fn not_beside_a_writer(&self) -> Option<&'static str> {
        None
    }
}

/// The hotplug of a layout in a race.
pub trait HotplugContestant: Sync {
    /// Hot-adds a window and leaves it, with its records on `device` if the layout supports that.
    ///
    /// # Errors
    /// The layout or the device refuses the addition.
    fn add_window(&self, window: PfnRange, device: Option<&Arc<DaxDevice>>) -> Result<(), HotplugProbeError>;
    /// Hot-removes a window that was added.
    ///
    /// # Errors
    /// The layout refuses the removal.
    fn remove_window(&self, window: PfnRange) -> Result<(), HotplugError>;
    /// The first place in a window for an addition of this size and position.
    ///
    /// # Errors
    /// The window has no such place; [`NoPlace`] says why.
    fn place(&self, window: PfnRange, size_bytes: u64, position: Position) -> Result<Place, NoPlace>;
    /// Adds and removes a range once, and records both times.
    ///
    /// # Errors
    /// The layout or the device refuses.
    fn time(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError>;
    /// Adds a range, records the time, and leaves the range in place.
    ///
    /// # Errors
    /// The layout or the device refuses the addition, or records are missing.
    fn time_add(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError>;
    /// Hash of the layout's whole state, to compare it before and after an operation.
    fn digest(&self) -> u64;
}

/// A booted layout, with access to its hotplug if it has any.
struct BootedLayout<L> {
    id: &'static str,
    layout: L,
    hotplug: fn(&L) -> Option<&dyn HotplugContestant>,
}

/// Checks that `pfn_valid` agrees with the oracle, and that the record of each valid page frame of
/// a backed section belongs to its pfn. Every probe of the oracle is checked; for verification.
pub fn agree<L: Memmap>(layout: &L, oracle: &Oracle<L::Geometry>) -> Result<(), String> {
    let reader = layout.reader();
    let probes = oracle.probes();
    oracle
        .compare(L::CAPS.validity, &reader, &probes)
        .map_err(|wrong| format!("{}: pfn_valid({:#x}) should be {}", L::ID, wrong.pfn.0, wrong.expected))?;
    let valid: Vec<Pfn> = probes.into_iter().filter(|&pfn| reader.pfn_valid(pfn)).collect();
    drop(reader);
    let backed = |pfn: Pfn| layout.backed().contains(L::Geometry::section_nr(pfn.0));
    lookup::prepare_valid(layout, LookupOp::PfnToPage, &valid, backed).map(drop)
}

impl<L: Memmap> BootedLayout<L> {
    /// Whether the record of a page frame can be read.
    fn is_backed(&self) -> impl Fn(Pfn) -> bool {
        |pfn| self.layout.backed().contains(L::Geometry::section_nr(pfn.0))
    }
}

impl<G: Geometry, L: Memmap<Geometry = G>> Contestant<G> for BootedLayout<L> {
    fn id(&self) -> &'static str {
        self.id
    }
    fn layout_id(&self) -> &'static str {
        L::ID
    }
    fn caps(&self) -> Capabilities {
        L::CAPS
    }
    fn dependency(&self, memory: Memory) -> Option<Dependency> {
        let answer = pfn_valid_answer::<L>()?;
        let form = match memory {
            Memory::Boot => answer.boot,
            Memory::Added => answer.added,
        };
        Some(match form {
            YesForm::Data => Dependency::Data,
            YesForm::Branch => Dependency::Branch,
        })
    }
    fn footprint(&self) -> Footprint {
        of_layout(L::ID, || self.layout.footprint())
    }
    fn bytes_in_huge_pages(&self) -> Option<u64> {
        of_layout(L::ID, || self.layout.bytes_in_huge_pages())
    }
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        of_layout(L::ID, || self.layout.index_bytes_in_huge_pages())
    }
    fn agree(&self, oracle: &Oracle<G>) -> Result<(), String> {
        of_layout(L::ID, || agree(&self.layout, oracle))
    }
    fn prepare_checked(
        &self,
        asked: Asked,
        queries: &Queries,
        oracle: &Oracle<G>,
        placement: &mut Placement,
    ) -> Result<Prepared, String> {
        of_layout(L::ID, || lookup::prepare(&self.layout, asked, queries, oracle, self.is_backed(), placement))
    }
    fn prepare(&self, op: LookupOp, pfns: &[Pfn]) -> Result<Prepared, String> {
        of_layout(L::ID, || lookup::prepare_valid(&self.layout, op, pfns, self.is_backed()))
    }
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        of_layout(L::ID, || self.layout.reader().pfn_valid(pfn))
    }
    fn run(&self, prepared: &Prepared, window: Window) -> u64 {
        of_layout(L::ID, || lookup::run(&self.layout, prepared, window))
    }
    fn lookup_code(&self, asked: Asked) -> usize {
        lookup::code::<L>(asked)
    }
    fn time_batches(&self, pfns: &[Pfn], into: &mut Histogram<u64>) -> u64 {
        of_layout(L::ID, || tail::time_batches(&self.layout, pfns, into))
    }
    fn hotplug(&self) -> Option<&dyn HotplugContestant> {
        (self.hotplug)(&self.layout)
    }
}

impl<L: Hotplug + Inspect> HotplugContestant for L {
    fn add_window(&self, window: PfnRange, device: Option<&Arc<DaxDevice>>) -> Result<(), HotplugProbeError> {
        let how = hotplug::add_params(window, device, self)?;
        Ok(of_layout(L::ID, || Hotplug::add(self, window, &how, &mut ()))?)
    }
    fn remove_window(&self, window: PfnRange) -> Result<(), HotplugError> {
        of_layout(L::ID, || Hotplug::remove(self, window, &RemoveParams::default(), &mut ()))
    }
    fn place(&self, window: PfnRange, size_bytes: u64, position: Position) -> Result<Place, NoPlace> {
        place::<L>(window, size_bytes, position)
    }
    fn time(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError> {
        of_layout(L::ID, || hotplug::add_and_remove(self, range, manner, into))
    }
    fn time_add(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError> {
        of_layout(L::ID, || hotplug::add(self, range, manner, into))
    }
    fn digest(&self) -> u64 {
        of_layout(L::ID, || Inspect::digest(self))
    }
}

/// Boots the layout with the second id under the first, which differs for a further boot.
pub type Boot<G> =
    fn(&'static str, &'static str, &BootMap, &Config, RecordStore) -> Result<Box<dyn Contestant<G>>, BootError>;

/// A layout that can be booted, with static facts about it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<G: Geometry> {
    /// Id in rows and reports, e.g. `subsection`.
    pub id: &'static str,
    /// One-line description for help and reports.
    pub about: &'static str,
    /// What the layout supports: hotplug, its granule, its rule of validity.
    pub caps: Capabilities,
    /// The dependent loads of one lookup.
    pub load_chain: LoadChain,
    /// Bytes of the record of a page: 8, 16, 32 or 64.
    pub record_bytes: u64,
    /// Returns the bytes of records that the layout needs to boot on a map.
    pub boot_record_bytes: fn(&BootMap) -> u64,
    /// Id of the layout itself, the same for a control and for `subsection#2`.
    own_id: &'static str,
    boot: Boot<G>,
}

impl<G: Geometry> Entry<G> {
    /// A layout that is booted by `boot`.
    pub fn new(layout: Layout, boot_record_bytes: fn(&BootMap) -> u64, boot: Boot<G>) -> Self {
        let Layout { id, about, caps, load_chain, record_bytes } = layout;
        Self { id, about, caps, load_chain, record_bytes, boot_record_bytes, own_id: id, boot }
    }

    /// Id of the layout itself, the same for a control and for `subsection#2`.
    pub fn own_id(&self) -> &'static str {
        self.own_id
    }

    /// The static facts alone, without the function that boots the layout.
    pub fn layout(&self) -> Layout {
        let Self { id, about, caps, load_chain, record_bytes, .. } = *self;
        Layout { id, about, caps, load_chain, record_bytes }
    }

    /// Boots the layout on a map.
    ///
    /// # Errors
    /// The map does not fit the layout, or memory is not available; see [`BootError`].
    pub fn boot(
        &self,
        map: &BootMap,
        config: &Config,
        store: RecordStore,
    ) -> Result<Box<dyn Contestant<G>>, BootError> {
        (self.boot)(self.id, self.own_id, map, config, store)
    }

    /// Why the layout does not support a backing; `None` if it does.
    pub fn refuses(&self, backing: &RamBacking) -> Option<String> {
        let reason = backing.refuses_devices().filter(|_| self.caps.records_on_device.any())?;
        Some(format!("--backing {backing}: {reason}"))
    }
}

struct Collect<G: Geometry>(Vec<Entry<G>>);

impl<G: Geometry> Collect<G> {
    fn push<L: Memmap<Geometry = G>>(&mut self, boot: Boot<G>) {
        let (id, about, caps, load_chain) = (L::ID, L::ABOUT, L::CAPS, L::LOAD_CHAIN);
        let record_bytes = record_bytes::<L::Record>();
        let boot_record_bytes = L::boot_record_bytes;
        self.0.push(Entry { id, about, caps, load_chain, record_bytes, boot_record_bytes, own_id: id, boot });
    }
}

impl<G: Geometry> Visitor<G> for Collect<G> {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {
        self.push::<L>(|id, _, map, config, store| {
            let layout = of_layout(L::ID, || L::boot(map, config, store))?;
            Ok(Box::new(BootedLayout { id, layout, hotplug: |_| None }))
        });
    }
    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        self.push::<L>(|id, _, map, config, store| {
            let layout = of_layout(L::ID, || L::boot(map, config, store))?;
            Ok(Box::new(BootedLayout { id, layout, hotplug: |layout| Some(layout) }))
        });
    }
}

/// The entries of a family, for one architecture.
pub(super) fn entries_of<F: Family, G: Geometry>() -> Vec<Entry<G>> {
    let mut collect = Collect(Vec::new());
    F::show::<G>(&mut collect);
    collect.0
}

/// The same layout again with its own id, e.g. `subsection#2`, for an A/A test: the difference
/// between the two is the noise floor. The id is never freed.
pub fn again<G: Geometry>(entry: Entry<G>, nr: usize) -> Entry<G> {
    Entry { id: Box::leak(format!("{}#{nr}", entry.id).into_boxed_str()), ..entry }
}

/// The control of a race: the same layout again, with the id `control`.
pub fn control<G: Geometry>(entry: Entry<G>) -> Entry<G> {
    Entry { id: CONTROL, ..entry }
}

/// A sparse file on the tmpfs of `dir` that replaces a device with the memory `window`. It has the
/// size of that memory, but occupies only the pages that records use.
///
/// # Errors
/// `dir` is not on a tmpfs, or the file cannot be created.
pub fn device_on_tmpfs<G: Geometry>(dir: &std::path::Path, window: PfnRange) -> Result<Arc<DaxDevice>, DaxError> {
    Ok(Arc::new(DaxDevice::on_tmpfs(dir, window.nr_pages() << G::PAGE_SHIFT)?))
}

/// Why a device cannot hold the records of a layout that always puts them there; `None` if it can,
/// or if the layout does not need it.
pub fn unserved<G: Geometry>(entry: &Entry<G>, device: &DaxDevice) -> Option<String> {
    let smallest = entry.caps.hotplug_granule_pages? * entry.record_bytes;
    let too_coarse = entry.caps.records_on_device == DeviceRecords::Always && !smallest.is_multiple_of(device.align());
    too_coarse.then(|| {
        let (align, name) = (ByteSize(device.align()), device.name());
        format!("{name} maps in units of {align}, but the records of the smallest addition take {}", ByteSize(smallest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layouts::entries;
    use memmap_layouts::{Arm64Pages4K, X86_64};

    #[test]
    fn the_list_has_every_layout_once() {
        let mut ids: Vec<_> = entries::<X86_64>().iter().map(|entry| entry.id).collect();
        assert_eq!(entries::<Arm64Pages4K>().len(), ids.len());
        assert!(["flat", "sparse", "subsection", "dax"].iter().all(|id| ids.contains(id)), "{ids:?}");
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    /// The rules of these layouts answer for boot memory before they read the sub-section map.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn only_boot_memory_of_merged_rules_is_answered_by_a_branch() {
        for entry in entries::<X86_64>() {
            let layout = entry.boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
            let boot = if ["subsection", "linux-6.1", "dax", "dax-x86"].contains(&entry.id) {
                Dependency::Branch
            } else {
                Dependency::Data
            };
            // The state of a section is a branch for all memory.
            let (boot, added) = match entry.id {
                "validmap" => (Dependency::Branch, Dependency::Branch),
                _ => (boot, Dependency::Data),
            };
            assert_eq!(layout.dependency(Memory::Boot), Some(boot), "{}", entry.id);
            assert_eq!(layout.dependency(Memory::Added), Some(added), "{}", entry.id);
        }
    }

    #[test]
    fn a_contestant_is_of_the_architecture_asked_for() {
        for entry in entries::<Arm64Pages4K>() {
            let layout = entry.boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
            assert_eq!(layout.hotplug().is_some(), entry.caps.hotplug_granule_pages.is_some(), "{}", layout.id());
        }
    }
}
