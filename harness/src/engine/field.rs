//! The field of a race: layouts booted side by side on one map, and the page frames that lookups
//! ask for.

use crate::case::{LookupGroup, LookupOp, Memory, Population, Tables};
use crate::engine::contestant::{Contestant, Entry, HotplugContestant, device_on_tmpfs};
use crate::engine::layouts::is_built_in;
use crate::engine::memory_plan::{MapMemory, MemoryPlan, MemoryPlanError};
use crate::engine::probe::hotplug::HotplugProbeError;
use crate::engine::probe::lookup::Queries;
use crate::engine::queries::{
    NR_UNPREDICTABLE_QUERIES, cold_queries, mix_invalid, nr_queries, queries, reading_queries,
};
use crate::engine::verify::tmpfs_dir;
use crate::interrupt::{Interrupt, Interrupted};
use crate::record::environment::available_memory;
use crate::workload::tier::Tier;
use memmap_layouts::altmap::INFO_BLOCK_PAGES;
use memmap_layouts::backing::{DaxDevice, DaxError, RamBacking};
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    BootError, Config, Geometry, HotplugError, IndexPages, Pfn, PfnRange, RecordBudget, RecordStore, Validity,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeSet;
use std::sync::Arc;
use thiserror::Error;

/// The memory that the layouts use, and the seed.
#[derive(Clone, Debug)]
pub struct Means {
    /// Backing store of the records that lie in RAM.
    pub backing: RamBacking,
    /// Page size of the memory for index tables.
    pub index_pages: IndexPages,
    /// A DAX device for the layouts that can use one; if `None`, a file on a tmpfs replaces it.
    pub device: Option<Arc<DaxDevice>>,
    /// Limit on the records of all layouts together, in bytes.
    pub records_limit: u64,
    /// Seed of every random choice.
    pub seed: u64,
}

/// The default limit on records: 1 GiB, or an eighth of the available memory if that is less. The
/// full tier has twice that, since the records of 64 GiB of memory alone take 1 GiB.
pub fn default_records_limit(tier: Tier) -> u64 {
    let share = available_memory().map_or(1 << 30, |bytes| (bytes / 8).min(1 << 30));
    if tier == Tier::Full { 2 * share } else { share }
}

/// Why no field could be set up.
#[derive(Debug, Error)]
pub enum FieldError {
    /// The user asked to stop. Not `transparent`, so that the cause can be found in the error
    /// chain.
    #[error("stopped")]
    Interrupted(#[from] Interrupted),
    /// The memory of the race cannot be planned; the limit on records is too small.
    #[error(transparent)]
    Plan(#[from] MemoryPlanError),
    /// A layout did not boot.
    #[error("{layout}: {source}")]
    Boot {
        /// Id of the layout, e.g. `subsection`.
        layout: &'static str,
        /// Why the layout did not boot.
        source: BootError,
    },
    /// A layout gave a wrong answer, so nothing that it measures can be trusted.
    #[error("wrong answer: {wrong}")]
    WrongAnswer {
        /// Id of the layout, e.g. `subsection`.
        layout: &'static str,
        /// The question and both answers, for messages.
        wrong: String,
    },
    /// A layout refused an addition or removal that it should support.
    #[error("{layout}: {source}")]
    Hotplug {
        /// Id of the layout, e.g. `subsection`.
        layout: &'static str,
        /// Why memory could not be added or removed.
        source: HotplugProbeError,
    },
    /// No device for the records of added memory could be made.
    #[error(transparent)]
    Device(#[from] DaxError),
}

impl FieldError {
    /// Id of the layout that is at fault; `None` if the machine or the user's input is.
    pub fn faulty_layout(&self) -> Option<&'static str> {
        match self {
            Self::WrongAnswer { layout, .. } => Some(layout),
            Self::Hotplug { layout, source } => (!source.is_of_the_machine()).then_some(layout),
            // Boot memory is known to fit, so the machine lacks memory for a built-in layout.
            Self::Boot { layout, .. } => (!is_built_in(layout)).then_some(layout),
            Self::Interrupted(_) | Self::Plan(_) | Self::Device(_) => None,
        }
    }
}

/// A layout that cannot boot on this map.
#[derive(Debug)]
pub struct Refused {
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
    /// Bytes of records that the layout would need.
    pub need_bytes: u64,
    /// The reason, for a row.
    pub reason: String,
}

/// The layouts that take part, and how often each is booted.
#[derive(Debug)]
pub struct Lineup<'a, G: Geometry> {
    /// The layouts, in the order of reports.
    pub entries: &'a [Entry<G>],
    /// A second copy of one layout, under an id of its own. The difference between the two is
    /// noise.
    pub control: Option<Entry<G>>,
    /// Boots of each layout, each with its own tables, records and queries. Fewer if the limit on
    /// records is low.
    pub boots: u32,
}

impl<'a, G: Geometry> Lineup<'a, G> {
    /// Each layout booted once, without a control.
    pub fn once(entries: &'a [Entry<G>]) -> Self {
        Self { entries, control: None, boots: 1 }
    }
}

/// One boot of a layout.
pub struct Instance<G: Geometry> {
    /// The booted layout.
    pub layout: Box<dyn Contestant<G>>,
    /// Which boot of the layout this is, from 0.
    pub boot: u32,
    /// The share of this boot of the user's device.
    part: Option<Arc<DaxDevice>>,
}

/// All layouts of a race, booted on one map.
pub struct Field<G: Geometry> {
    /// Which sections are boot memory, which are hot-added, and which have records.
    pub plan: MemoryPlan,
    /// The first boot of each layout that booted, in the order of reports.
    pub layouts: Vec<Box<dyn Contestant<G>>>,
    /// The layouts that could not boot.
    pub refused: Vec<Refused>,
    /// Further boots of the layouts, and all boots of the control.
    more: Vec<Instance<G>>,
    means: Means,
    /// For each layout that puts records on the device: its share of the device.
    parts: Vec<Option<Arc<DaxDevice>>>,
    oracle: Oracle<G>,
    /// Padding of random sizes between the tables of layouts.
    apart: Vec<Vec<u8>>,
}

/// The most padding between the tables of two layouts, in bytes. It spans many cache lines and
/// pages, and is below the allocator's `mmap` threshold.
const MOST_APART: usize = 96 << 10;

impl<G: Geometry> Field<G> {
    /// Boots the layouts and checks their answers on boot memory. A layout that cannot boot on this
    /// map is listed in `refused` and is no error.
    ///
    /// # Errors
    /// [`FieldError`]; everything that was mapped has been unmapped.
    pub fn boot(
        map: MapMemory,
        lineup: &Lineup<'_, G>,
        means: &Means,
        interrupt: &Interrupt,
    ) -> Result<Self, FieldError> {
        let entries: Vec<Entry<G>> = lineup.entries.iter().copied().chain(lineup.control).collect();
        let boots = MemoryPlan::boots::<G>(means.records_limit, entries.len(), lineup.boots);
        let nr_on_device = entries.iter().filter(|entry| entry.caps.records_on_device.any()).count().max(1) as u64;
        let mut parts = match &means.device {
            Some(device) => device.split(nr_on_device * u64::from(boots))?,
            None => Vec::new(),
        };
        let device_bytes = parts.first().map_or(u64::MAX, DaxDevice::len_bytes);
        let plan = MemoryPlan::new::<G>(map, means.records_limit, device_bytes, entries.len(), boots)?;
        let oracle = Oracle::<G>::boot(&plan.boot);
        let mut field = Self {
            plan,
            layouts: Vec::new(),
            refused: Vec::new(),
            more: Vec::new(),
            means: means.clone(),
            parts: Vec::new(),
            oracle,
            apart: Vec::new(),
        };
        let budget = RecordBudget::new(means.records_limit);
        // Random order and random padding: otherwise the placement of two layouts would differ in
        // the same way in every process.
        let mut rng = Pcg64Mcg::seed_from_u64(means.seed);
        let mut order: Vec<(u32, usize)> =
            (0..boots).flat_map(|boot| (0..entries.len()).map(move |at| (boot, at))).collect();
        order.shuffle(&mut rng);
        let mut booted: Vec<((u32, usize), Instance<G>)> = Vec::new();
        for (boot, at) in order {
            let entry = &entries[at];
            interrupt.check()?;
            field.apart.push(vec![0; rng.random_range(0..MOST_APART)]);
            let (backing, backed) = (means.backing.clone(), field.plan.backed.clone());
            let store = RecordStore { backing, budget: budget.clone(), backed, ..RecordStore::unlimited() };
            // A seed for each boot, so that its index tables use random cache sets.
            let config = Config { seed: rng.random(), index_pages: means.index_pages };
            match entry.boot(&field.plan.boot, &config, store) {
                Ok(layout) => {
                    let part = if entry.caps.records_on_device.any() { parts.pop() } else { None };
                    booted.push(((boot, at), Instance { layout, boot, part: part.map(Arc::new) }));
                }
                Err(BootError::WouldNotBoot { .. }) if boot > 0 || at >= lineup.entries.len() => {}
                Err(error @ BootError::WouldNotBoot { need_bytes, .. }) => {
                    field.refused.push(Refused { layout: entry.id, need_bytes, reason: error.to_string() });
                }
                Err(source) => return Err(FieldError::Boot { layout: entry.id, source }),
            }
        }
        booted.sort_by_key(|(key, _)| *key);
        for ((boot, at), instance) in booted {
            if boot == 0 && at < lineup.entries.len() {
                field.layouts.push(instance.layout);
                field.parts.push(instance.part);
            } else {
                field.more.push(instance);
            }
        }
        field.refused.sort_by_key(|refused| entries.iter().position(|entry| entry.id == refused.layout));
        field.verify(|_| true, interrupt)?;
        Ok(field)
    }

    /// Every booted layout: the first boots in the order of reports, then the others.
    pub fn instances(&self) -> impl Iterator<Item = (&dyn Contestant<G>, u32)> {
        let first = self.layouts.iter().map(|layout| (&**layout, 0));
        first.chain(self.more.iter().map(|instance| (&*instance.layout, instance.boot)))
    }

    /// Which boot of its layout an element of [`instances`](Self::instances) is, from 0.
    pub fn boot_of(&self, at: usize) -> u32 {
        at.checked_sub(self.layouts.len()).map_or(0, |more| self.more[more].boot)
    }

    /// The element of [`instances`](Self::instances) at an index.
    ///
    /// # Panics
    /// The index is out of range.
    pub fn instance(&self, at: usize) -> &dyn Contestant<G> {
        match at.checked_sub(self.layouts.len()) {
            None => &*self.layouts[at],
            Some(more) => &*self.more[more].layout,
        }
    }

    /// Compares the layouts that `which` selects with the oracle.
    fn verify(&self, which: impl Fn(&dyn Contestant<G>) -> bool, interrupt: &Interrupt) -> Result<(), FieldError> {
        for (layout, _) in self.instances().filter(|(layout, _)| which(*layout)) {
            interrupt.check()?;
            let id = layout.layout_id();
            layout.agree(&self.oracle).map_err(|wrong| FieldError::WrongAnswer { layout: id, wrong })?;
        }
        Ok(())
    }

    /// The layouts with hotplug, each with its index in `layouts`.
    pub fn plugged(&self) -> impl Iterator<Item = (usize, &dyn HotplugContestant)> {
        self.layouts.iter().enumerate().filter_map(|(at, layout)| Some((at, layout.hotplug()?)))
    }

    /// Hot-adds as many sections as there are boot sections, to every layout with hotplug. Returns
    /// false if there is nothing to add, or no layout adds memory in parts as small.
    ///
    /// # Errors
    /// A layout refuses the addition, or answers wrongly afterwards.
    pub fn hot_add(&mut self, interrupt: &Interrupt) -> Result<bool, FieldError> {
        if self.plan.added.is_empty() || !self.layouts.iter().any(|layout| self.takes_added(&**layout)) {
            return Ok(false);
        }
        for (at, (instance, _)) in self.instances().enumerate() {
            let (Some(hotplug), layout) = (instance.hotplug(), instance.layout_id()) else { continue };
            if !self.takes_added(instance) {
                continue;
            }
            // Added memory in many pieces has its records in RAM: each piece would need its own
            // device.
            let device = self.plan.added_window().map_or(Ok(None), |window| self.device(at, window))?;
            for &window in &self.plan.added {
                interrupt.check()?;
                hotplug.add_window(window, device.as_ref()).map_err(|source| FieldError::Hotplug { layout, source })?;
            }
        }
        for &window in &self.plan.added {
            self.oracle.add(window);
        }
        // Layouts without hotplug do not have the added memory.
        let added = self.plan.added.clone();
        self.verify(|layout| takes(layout, &added), interrupt)?;
        Ok(true)
    }

    /// True if a layout has the added memory: it supports hotplug in units that divide it.
    pub fn takes_added(&self, layout: &dyn Contestant<G>) -> bool {
        takes(layout, &self.plan.added)
    }

    /// Removes the hot-added sections again.
    ///
    /// # Errors
    /// A layout refuses the removal, or answers wrongly afterwards.
    pub fn hot_remove(&mut self, interrupt: &Interrupt) -> Result<(), FieldError> {
        for (instance, _) in self.instances().filter(|(instance, _)| self.takes_added(*instance)) {
            let (Some(hotplug), layout) = (instance.hotplug(), instance.layout_id()) else { continue };
            let failed = |error: HotplugError| FieldError::Hotplug { layout, source: error.into() };
            self.plan.added.iter().try_for_each(|&window| hotplug.remove_window(window)).map_err(failed)?;
        }
        for &window in &self.plan.added {
            self.oracle.remove(window);
        }
        self.verify(|_| true, interrupt)
    }

    /// A device for the records of `window` in the layout at index `at`, if that layout can use
    /// one. It is the layout's share of the user's device, or else a file on a tmpfs.
    ///
    /// # Errors
    /// There is no tmpfs for the file.
    pub fn device(&self, at: usize, window: PfnRange) -> Result<Option<Arc<DaxDevice>>, FieldError> {
        if !self.instance(at).caps().records_on_device.any() {
            return Ok(None);
        }
        let part = at.checked_sub(self.layouts.len()).map_or_else(|| &self.parts[at], |more| &self.more[more].part);
        match part {
            Some(part) => Ok(Some(Arc::clone(part))),
            None => Ok(Some(device_on_tmpfs::<G>(tmpfs_dir(&self.means.backing), window)?)),
        }
    }

    /// The backing store of a layout's records, as text.
    pub fn backing_of(&self, layout: &str) -> String {
        let on_device = self.instances().any(|(l, _)| l.id() == layout && l.caps().records_on_device.any());
        match (&self.means.device, on_device) {
            (Some(device), true) => format!("{}+{}", self.means.backing, device.kind()),
            (None, true) => format!("{}+dax-on-tmpfs", self.means.backing),
            (_, false) => self.means.backing.to_string(),
        }
    }

    /// The model of the answers that the layouts must give at present.
    pub fn oracle(&self) -> &Oracle<G> {
        &self.oracle
    }

    /// The queries of a group, the same for every layout; empty if the map has no such page frames.
    pub fn queries(&self, group: &LookupGroup, memory: Memory) -> Queries {
        let is_added = memory == Memory::Added;
        if group.op.is_of_contiguous_memory() {
            return self.contiguous(group.op, is_added);
        }
        if group.op.is_walk() {
            return self.walk(is_added);
        }
        let reads = group.op.reads_records(group.mode);
        let numbers = match (is_added, reads) {
            (false, true) => self.plan.backed_boot.clone(),
            (false, false) => self.plan.boot_sections.clone(),
            (true, true) => self.plan.backed_added.clone(),
            (true, false) => self.plan.added_sections::<G>(),
        };
        // The records of an info block's pages are never initialised.
        let reserve = self.plan.added_window().map_or(u64::MAX - INFO_BLOCK_PAGES, |window| window.start());
        let is_reserve = |pfn: Pfn| (reserve..reserve + INFO_BLOCK_PAGES).contains(&pfn.0);
        let validities = self.validities(is_added);
        let is_memory = |pfn: Pfn| match group.population {
            Population::Common => self.is_common(&validities, pfn) && !(is_added && is_reserve(pfn)),
            Population::Disputed => !is_added && self.is_disputed(&validities, pfn),
        };
        if group.tables == Tables::Cold {
            return Queries::Pfns(cold_queries::<G>(&numbers, self.means.seed, is_memory));
        }
        if let Some(records) = group.records.filter(|_| group.invalid_percent == 0) {
            return Queries::Pfns(reading_queries::<G>(group.pattern, records, &numbers, self.means.seed, is_memory));
        }
        let unpredictable = group.invalid_percent > 0;
        let nr = if unpredictable { NR_UNPREDICTABLE_QUERIES } else { nr_queries(numbers.len()) };
        let mut pfns = queries::<G>(group.pattern, &numbers, nr, self.means.seed, is_memory);
        if unpredictable {
            let absent = self.absent_sections(reads);
            if absent.is_empty() {
                return Queries::Pfns(Vec::new());
            }
            mix_invalid::<G>(&mut pfns, group.invalid_percent, &absent, self.means.seed);
        }
        Queries::Pfns(pfns)
    }

    /// The distinct rules of validity among the layouts that can be asked for boot memory, or for
    /// added memory if `is_added`.
    fn validities(&self, is_added: bool) -> Vec<Validity> {
        let mut validities: Vec<Validity> = Vec::new();
        for layout in self.layouts.iter().filter(|layout| !is_added || self.takes_added(&***layout)) {
            let validity = layout.caps().validity;
            if !validities.contains(&validity) {
                validities.push(validity);
            }
        }
        validities
    }

    /// True if a page is valid by every one of the rules.
    fn is_common(&self, validities: &[Validity], pfn: Pfn) -> bool {
        validities.iter().all(|&validity| self.oracle.pfn_valid(validity, pfn))
    }

    /// True if a page is valid by some of the rules and not by others.
    fn is_disputed(&self, validities: &[Validity], pfn: Pfn) -> bool {
        !self.is_common(validities, pfn) && validities.iter().any(|&validity| self.oracle.pfn_valid(validity, pfn))
    }

    /// Share of the pages of boot sections, in percent, on whose validity the layouts disagree.
    pub fn disputed_percent(&self) -> f64 {
        let validities = self.validities(false);
        let sections = &self.plan.boot_sections;
        // Between two edges, the answer of each rule is constant.
        let runs = validities.iter().flat_map(|&validity| self.oracle.valid_runs(validity));
        let mut edges: BTreeSet<u64> = runs.flat_map(|run| [run.start(), run.end()]).collect();
        edges.extend(sections.iter().flat_map(|&nr| [G::section_start(nr), G::section_start(nr + 1)]));
        let edges: Vec<u64> = edges.into_iter().collect();
        let disputed = edges.windows(2).filter(|edge| {
            let of_boot = sections.binary_search(&G::section_nr(edge[0])).is_ok();
            of_boot && self.is_disputed(&validities, Pfn(edge[0]))
        });
        let disputed: u64 = disputed.map(|edge| edge[1] - edge[0]).sum();
        let pages = sections.len() as u64 * G::PAGES_PER_SECTION;
        100.0 * disputed as f64 / pages.max(1) as f64
    }

    /// A walk from the first page frame to the end of boot memory, or over added memory.
    fn walk(&self, is_added: bool) -> Queries {
        let boot = || PfnRange::new(0, self.plan.boot.end_pfn().next_multiple_of(G::PAGES_PER_SECTION));
        // Added memory that is interleaved with boot memory has no walk of its own.
        let range = if is_added { self.plan.added_span() } else { boot() };
        let range = range.unwrap_or_else(|| PfnRange::from_len(0, 0).expect("nothing is a range"));
        let sections = if is_added { self.plan.added_sections::<G>() } else { self.plan.boot_sections.clone() };
        Queries::Walk { range, nr_sections: sections.len() as u64 }
    }

    /// The longest range of whole sections that every layout calls valid.
    fn contiguous(&self, op: LookupOp, is_added: bool) -> Queries {
        let sections = if is_added { self.plan.added_sections::<G>() } else { self.plan.boot_sections.clone() };
        let validities = self.validities(is_added);
        let is_whole = |nr: &u64| {
            let mut blocks =
                (G::section_start(*nr)..G::section_start(nr + 1)).step_by(G::PAGES_PER_SUBSECTION as usize);
            blocks.all(|start| {
                let ends = [start, start + G::PAGES_PER_SUBSECTION - 1];
                ends.into_iter().all(|pfn| self.is_common(&validities, Pfn(pfn)))
            })
        };
        let whole: Vec<u64> = sections.into_iter().filter(is_whole).collect();
        let longest = whole.chunk_by(|a, b| *b == a + 1).max_by_key(|run| run.len()).unwrap_or_default();
        let (first, nr_sections) = (longest.first().copied().unwrap_or(0), longest.len() as u64);
        let range = PfnRange::from_len(G::section_start(first), nr_sections * G::PAGES_PER_SECTION);
        let range = range.expect("inside the physical address space");
        // An answer is one operation, however large the range is.
        let nr_sections = if op == LookupOp::IsContiguous { nr_sections.min(1) } else { nr_sections };
        Queries::Walk { range, nr_sections }
    }

    /// Sections without memory to look up: equally many in holes and beyond all memory, if there
    /// are both. Sections in holes are left out if `reads`: a flat array calls holes valid and has
    /// no records there to read.
    fn absent_sections(&self, reads: bool) -> Vec<u64> {
        const NR: usize = 512;
        let boot = &self.plan.boot_sections;
        let holes = boot.windows(2).filter(|pair| pair[1] - pair[0] > 1).map(|pair| (pair[0] + 1, pair[1]));
        let mut absent: Vec<u64> = Vec::new();
        if !reads {
            let holes: Vec<(u64, u64)> = holes.collect();
            let each = NR / 2 / holes.len().max(1) + 1;
            let added = self.plan.added_sections::<G>();
            let is_absent = |nr: &u64| added.binary_search(nr).is_err();
            let holes = holes.iter().flat_map(|&(start, end)| (start..end).filter(is_absent).take(each));
            absent.extend(holes.take(NR / 2));
        }
        let windows = self.plan.added.last().into_iter().chain(&self.plan.latency).map(|window| window.end());
        let beyond = G::section_nr(windows.max().unwrap_or(self.plan.boot.end_pfn()).max(self.plan.boot.end_pfn())) + 1;
        absent.extend((beyond..G::NR_MEM_SECTIONS).take(NR / 2));
        absent
    }
}

/// True if a layout can hot-add every one of these ranges.
fn takes<G: Geometry>(layout: &dyn Contestant<G>, added: &[PfnRange]) -> bool {
    let granule = layout.caps().hotplug_granule_pages.filter(|_| layout.hotplug().is_some());
    let fits = |granule: u64| added.iter().all(|range| (range.start() | range.end()).is_multiple_of(granule));
    granule.is_some_and(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::layouts::entries;
    use crate::map::builtin;
    use memmap_layouts::X86_64;

    /// Index bytes of two layouts on a map, with as much memory added as it has at boot.
    fn index_bytes(map: &str) -> Option<[u64; 2]> {
        let map = MapMemory::new(&builtin::by_name(map)?).unwrap();
        map.boot.check::<X86_64>().ok()?;
        let compared: Vec<_> =
            entries::<X86_64>().into_iter().filter(|entry| ["subsection", "validmap"].contains(&entry.id)).collect();
        let means = Means {
            backing: RamBacking::Anon,
            index_pages: IndexPages::Base,
            device: None,
            records_limit: 64 << 20,
            seed: 1,
        };
        let interrupt = Interrupt::default();
        let mut field = Field::boot(map, &Lineup::once(&compared), &means, &interrupt).unwrap();
        field.hot_add(&interrupt).unwrap();
        let bytes: Vec<u64> = field.layouts.iter().map(|layout| layout.footprint().index_bytes).collect();
        bytes.try_into().ok()
    }

    /// The array of `validmap` replaces the root table, so on real machines its index is hardly
    /// larger; where single sections are scattered it needs pages of states that hold few of them.
    #[test]
    fn the_index_of_validmap_is_small() {
        let mut compared = 0;
        for map in builtin::names() {
            // A map of 64 TiB has all pages, and takes long.
            if map == "dense-64t" {
                continue;
            }
            let Some([subsection, validmap]) = index_bytes(map) else { continue };
            let is_synthetic = builtin::by_name(map).unwrap().origin.starts_with("synthetic");
            let most = if is_synthetic { 2.1 } else { 1.05 };
            let ratio = validmap as f64 / subsection as f64;
            assert!(ratio <= most, "{map}: {validmap} B, {ratio:.3} times the {subsection} B of subsection");
            compared += 1;
        }
        assert!(compared > 35, "{compared}");
    }
}
