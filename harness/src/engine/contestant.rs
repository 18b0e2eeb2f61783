//! Layouts of different types side by side: the type is erased once a slice, never a lookup.

use crate::case::{Asked, CONTROL, Dependency, Layout, LookupOp, Memory, Position};
use crate::engine::probe::hotplug::{self, HotplugProbeError, Latencies, Manner};
use crate::engine::probe::lookup::{self, Prepared, Queries, Window};
use crate::engine::probe::place::{NoPlace, Place, place};
use crate::engine::probe::query_array::Placement;
use crate::engine::probe::tail;
use hdrhistogram::Histogram;
use memmap_layouts::backing::{DaxDevice, DaxError, RamBacking};
use memmap_layouts::conformance::{self, Run};
use memmap_layouts::layouts::{BuiltIn, Family, Visitor};
use memmap_layouts::machine_code::{YesForm, pfn_valid_answer};
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    Arm64Pages4K, BootError, BootMap, Bytes, Capabilities, Config, DeviceRecords, Footprint, Geometry, Hotplug,
    HotplugError, Inspect, LoadChain, Lookup, Memmap, PAGE_RECORD_BYTES, Pfn, PfnRange, RecordStore, RemoveParams,
    SectionFlags, X86_64,
};
use std::any::{Any, TypeId};
use std::sync::{Arc, OnceLock};

/// A layout that was booted for a race.
pub trait Contestant<G: Geometry>: Sync {
    /// Its name.
    fn id(&self) -> &'static str;
    /// What it can do.
    fn caps(&self) -> Capabilities;
    /// How a positive answer of `pfn_valid` reaches what waits for it, read off the machine code; `None` on machines whose
    /// code cannot be read ([`pfn_valid_answer`]).
    fn dependency(&self, memory: Memory) -> Option<Dependency>;
    /// The bytes it occupies.
    fn footprint(&self) -> Footprint;
    /// Bytes of its records that lie in huge pages, if those were asked for.
    fn bytes_in_huge_pages(&self) -> Option<u64>;
    /// Bytes of the memory of its index tables that lie in huge pages, if those were requested.
    fn index_bytes_in_huge_pages(&self) -> Option<u64>;
    /// Compares its answers with the oracle's, and the records of backed sections with their pfns.
    ///
    /// # Errors
    /// The first wrong answer.
    fn agree(&self, oracle: &Oracle<G>) -> Result<(), String>;
    /// Checks queries one by one before they are timed, and copies them to where `placement` says.
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
    /// The same for page frames that must be valid, whatever an oracle knows of them.
    ///
    /// # Errors
    /// The first wrong answer.
    fn prepare(&self, op: LookupOp, pfns: &[Pfn]) -> Result<Prepared, String>;
    /// Is there a record? For answers that are known beforehand.
    fn pfn_valid(&self, pfn: Pfn) -> bool;
    /// Runs the queries of a window; the sum of the answers.
    fn run(&self, prepared: &Prepared, window: Window) -> u64;
    /// Address of the loop that [`run`](Self::run) runs for a lookup.
    fn lookup_code(&self, asked: Asked) -> usize;
    /// Runs short batches of `valid_to_page`, each timed; the sum of the answers.
    fn time_batches(&self, pfns: &[Pfn], into: &mut Histogram<u64>) -> u64;
    /// Its hotplug, if it has any.
    fn hotplug(&self) -> Option<&dyn HotplugContestant>;
}

/// The hotplug of a layout in a race.
pub trait HotplugContestant: Sync {
    /// Adds a window that stays, its records on `device` if the layout can.
    ///
    /// # Errors
    /// The layout or the device refuses.
    fn add_window(&self, window: PfnRange, device: Option<&Arc<DaxDevice>>) -> Result<(), HotplugProbeError>;
    /// Removes it.
    ///
    /// # Errors
    /// The layout refuses.
    fn remove_window(&self, window: PfnRange) -> Result<(), HotplugError>;
    /// The first place of a size and position in a window.
    ///
    /// # Errors
    /// Why there is none.
    fn place(&self, window: PfnRange, size_bytes: u64, position: Position) -> Result<Place, NoPlace>;
    /// Adds and removes a range once, timed.
    ///
    /// # Errors
    /// The layout or the device refuses.
    fn time(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError>;
    /// Adds a range, timed, and leaves it there.
    ///
    /// # Errors
    /// The layout or the device refuses, or records are missing.
    fn time_add(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError>;
    /// A number made from all its state.
    fn digest(&self) -> u64;
}

/// A booted layout, and its hotplug if it has any.
struct Booted<L> {
    id: &'static str,
    layout: L,
    hotplug: fn(&L) -> Option<&dyn HotplugContestant>,
}

/// Answers as the oracle, and records that are their pfns' own. For verification: every probe is looked at.
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

impl<L: Memmap> Booted<L> {
    /// Whether the record of a page frame can be read.
    fn is_backed(&self) -> impl Fn(Pfn) -> bool {
        |pfn| self.layout.backed().contains(L::Geometry::section_nr(pfn.0))
    }
}

impl<G: Geometry, L: Memmap<Geometry = G>> Contestant<G> for Booted<L> {
    fn id(&self) -> &'static str {
        self.id
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
        self.layout.footprint()
    }
    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.layout.bytes_in_huge_pages()
    }
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.layout.index_bytes_in_huge_pages()
    }
    fn agree(&self, oracle: &Oracle<G>) -> Result<(), String> {
        agree(&self.layout, oracle)
    }
    fn prepare_checked(
        &self,
        asked: Asked,
        queries: &Queries,
        oracle: &Oracle<G>,
        placement: &mut Placement,
    ) -> Result<Prepared, String> {
        lookup::prepare(&self.layout, asked, queries, oracle, self.is_backed(), placement)
    }
    fn prepare(&self, op: LookupOp, pfns: &[Pfn]) -> Result<Prepared, String> {
        lookup::prepare_valid(&self.layout, op, pfns, self.is_backed())
    }
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.layout.reader().pfn_valid(pfn)
    }
    fn run(&self, prepared: &Prepared, window: Window) -> u64 {
        lookup::run(&self.layout, prepared, window)
    }
    fn lookup_code(&self, asked: Asked) -> usize {
        lookup::code::<L>(asked)
    }
    fn time_batches(&self, pfns: &[Pfn], into: &mut Histogram<u64>) -> u64 {
        tail::time_batches(&self.layout, pfns, into)
    }
    fn hotplug(&self) -> Option<&dyn HotplugContestant> {
        (self.hotplug)(&self.layout)
    }
}

impl<L: Hotplug + Inspect> HotplugContestant for L {
    fn add_window(&self, window: PfnRange, device: Option<&Arc<DaxDevice>>) -> Result<(), HotplugProbeError> {
        let how = hotplug::add_params(window, device, self)?;
        Ok(Hotplug::add(self, window, &how, &mut ())?)
    }
    fn remove_window(&self, window: PfnRange) -> Result<(), HotplugError> {
        Hotplug::remove(self, window, &RemoveParams::default(), &mut ())
    }
    fn place(&self, window: PfnRange, size_bytes: u64, position: Position) -> Result<Place, NoPlace> {
        place::<L>(window, size_bytes, position)
    }
    fn time(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError> {
        hotplug::add_and_remove(self, range, manner, into)
    }
    fn time_add(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError> {
        hotplug::add(self, range, manner, into)
    }
    fn digest(&self) -> u64 {
        Inspect::digest(self)
    }
}

type Boot<G> = fn(&'static str, &BootMap, &Config, RecordStore) -> Result<Box<dyn Contestant<G>>, BootError>;

/// What a layout is, without booting it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<G: Geometry> {
    /// Its name.
    pub id: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What it can do.
    pub caps: Capabilities,
    /// What its lookups load.
    pub load_chain: LoadChain,
    /// Bytes of records that a machine with this map needs to boot.
    pub boot_record_bytes: fn(&BootMap) -> u64,
    boot: Boot<G>,
}

impl<G: Geometry> Entry<G> {
    /// What it is, without the means to boot it.
    pub fn layout(&self) -> Layout {
        Layout { id: self.id, about: self.about, caps: self.caps, load_chain: self.load_chain }
    }

    /// Boots it.
    ///
    /// # Errors
    /// [`BootError`].
    pub fn boot(
        &self,
        map: &BootMap,
        config: &Config,
        store: RecordStore,
    ) -> Result<Box<dyn Contestant<G>>, BootError> {
        (self.boot)(self.id, map, config, store)
    }

    /// Why it cannot have its records on a backing; `None` if it can.
    pub fn refuses(&self, backing: &RamBacking) -> Option<String> {
        let reason = backing.refuses_devices().filter(|_| self.caps.records_on_device.any())?;
        Some(format!("--backing {backing}: {reason}"))
    }
}

struct Collect<G: Geometry>(Vec<Entry<G>>);

impl<G: Geometry> Collect<G> {
    fn push<L: Memmap<Geometry = G>>(&mut self, boot: Boot<G>) {
        let (id, about, caps, load_chain) = (L::ID, L::ABOUT, L::CAPS, L::LOAD_CHAIN);
        self.0.push(Entry { id, about, caps, load_chain, boot_record_bytes: L::boot_record_bytes, boot });
    }
}

impl<G: Geometry> Visitor<G> for Collect<G> {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {
        self.push::<L>(|id, map, config, store| {
            Ok(Box::new(Booted { id, layout: L::boot(map, config, store)?, hotplug: |_| None }))
        });
    }
    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        self.push::<L>(|id, map, config, store| {
            Ok(Box::new(Booted { id, layout: L::boot(map, config, store)?, hotplug: |layout| Some(layout) }))
        });
    }
}

/// The entries of a family, for one architecture.
fn entries_of<F: Family, G: Geometry>() -> Vec<Entry<G>> {
    let mut collect = Collect(Vec::new());
    F::show::<G>(&mut collect);
    collect.0
}

/// Layouts of another crate, for [`crate::main_with`]. The macro [`layouts!`](crate::layouts!) makes them.
#[derive(Clone, Copy, Debug)]
pub struct Layouts {
    x86_64: fn() -> Vec<Entry<X86_64>>,
    arm64: fn() -> Vec<Entry<Arm64Pages4K>>,
    conformance: fn() -> Vec<Run>,
}

impl Layouts {
    /// The layouts of a family.
    pub fn new<F: Family>() -> Self {
        Self {
            x86_64: entries_of::<F, X86_64>,
            arm64: entries_of::<F, Arm64Pages4K>,
            conformance: conformance::run_family::<F>,
        }
    }

    /// What they are, in their order.
    pub fn layouts(&self) -> Vec<Layout> {
        (self.x86_64)().iter().map(Entry::layout).collect()
    }

    /// The entries for an architecture; empty for one that no map is raced on.
    fn entries<G: Geometry>(&self) -> Vec<Entry<G>> {
        let entries: Box<dyn Any> = match TypeId::of::<G>() {
            id if id == TypeId::of::<X86_64>() => Box::new((self.x86_64)()),
            id if id == TypeId::of::<Arm64Pages4K>() => Box::new((self.arm64)()),
            _ => return Vec::new(),
        };
        entries.downcast::<Vec<Entry<G>>>().map_or_else(|_| Vec::new(), |entries| *entries)
    }
}

/// What other crates have added to the list.
static OUTSIDE: OnceLock<Layouts> = OnceLock::new();

/// Adds layouts behind the built-in ones, once in the life of the process.
///
/// # Errors
/// It was done before; nothing is changed.
pub(crate) fn add_layouts(outside: Layouts) -> Result<(), Layouts> {
    OUTSIDE.set(outside)
}

/// Every layout, for one architecture: the built-in ones in the order of reports, then those of other crates.
pub fn entries<G: Geometry>() -> Vec<Entry<G>> {
    let mut all = entries_of::<BuiltIn, G>();
    all.extend(OUTSIDE.get().into_iter().flat_map(Layouts::entries::<G>));
    all
}

/// Runs the conformance suite on every layout.
pub fn conformance_runs() -> Vec<Run> {
    let mut runs = conformance::run_all();
    runs.extend(OUTSIDE.get().into_iter().flat_map(|outside| (outside.conformance)()));
    runs
}

/// The same layout once more, under a name of its own (`subsection#2`): what two of the same differ by is what a comparison
/// cannot see. The name is kept for as long as the process lives.
pub fn again<G: Geometry>(entry: Entry<G>, nr: usize) -> Entry<G> {
    Entry { id: Box::leak(format!("{}#{nr}", entry.id).into_boxed_str()), ..entry }
}

/// The control of a race: the entry once more, named `control`.
pub fn control<G: Geometry>(entry: Entry<G>) -> Entry<G> {
    Entry { id: CONTROL, ..entry }
}

/// A file on the tmpfs of `dir` that plays the device of `window`: as large as the memory it stands for; sparse, so it takes
/// what its records take.
///
/// # Errors
/// No tmpfs.
pub fn device_on_tmpfs<G: Geometry>(dir: &std::path::Path, window: PfnRange) -> Result<Arc<DaxDevice>, DaxError> {
    Ok(Arc::new(DaxDevice::on_tmpfs(dir, window.nr_pages() << G::PAGE_SHIFT)?))
}

/// Why a device cannot hold the records of a layout that would put them there; `None` if it can, or need not.
pub fn unserved<G: Geometry>(entry: &Entry<G>, device: &DaxDevice) -> Option<String> {
    let smallest = entry.caps.hotplug_granule_pages? * PAGE_RECORD_BYTES;
    let too_coarse = entry.caps.records_on_device == DeviceRecords::Always && !smallest.is_multiple_of(device.align());
    too_coarse.then(|| {
        let (align, name) = (Bytes(device.align()), device.name());
        format!("{name} maps in units of {align}, and the records of the smallest addition are {}", Bytes(smallest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Merged rules answer for boot memory before they read the sub-section map.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn only_boot_memory_of_merged_rules_is_answered_by_a_branch() {
        for entry in entries::<X86_64>() {
            let layout = entry.boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
            let boot = if ["subsection", "dax", "dax-x86"].contains(&entry.id) {
                Dependency::Branch
            } else {
                Dependency::Data
            };
            assert_eq!(layout.dependency(Memory::Boot), Some(boot), "{}", entry.id);
            assert_eq!(layout.dependency(Memory::Added), Some(Dependency::Data), "{}", entry.id);
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
