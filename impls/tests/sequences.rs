//! Random sequences of what can happen to a machine's memory, against a model of plain sets.
//!
//! Boot ranges; RAM added, removed, onlined, offlined; devices mapped and unmapped; and, below the machine, ranges added to
//! and taken from the layout by others. After each step the answers at every sub-section border and beside it, the error
//! numbers, and the accounts by formula must be the model's; what was refused must have changed nothing; at the end nothing
//! may be left.

use memmap_layouts::altmap::Altmap;
use memmap_layouts::backing::DaxDevice;
use memmap_layouts::layouts::{Visitor, visit};
use memmap_layouts::machine::{AddMemory, Machine, MachineConfig, Pagemap, PagemapSpec};
use memmap_layouts::rules::Rules;
use memmap_layouts::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as ProptestConfig, TestCaseError, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

type G = X86_64;
const S: u64 = G::PAGES_PER_SECTION;
const U: u64 = G::PAGES_PER_SUBSECTION;
/// Sections in which everything happens; also memory blocks, of 128 MiB.
const SECTIONS: std::ops::Range<u64> = 1..7;

const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const EBUSY: i32 = 16;
const ENOMEM: i32 = 12;
const ENXIO: i32 = 6;

/// One thing that happens. Places and sizes are in sub-sections from the first section on, or in blocks.
#[derive(Clone, Debug)]
enum Op {
    AddRam { block: u64, nr: u64 },
    RemoveRam { block: u64, nr: u64 },
    Write { block: u64, word: &'static str },
    Map { at: u64, nr: u64, altmap: bool, off_the_grid: bool },
    Unmap { which: usize },
    Add { at: u64, nr: u64, faithful: bool },
    Remove { at: u64, nr: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    let block = SECTIONS.start - 1..SECTIONS.end + 1;
    let at = 0..(SECTIONS.end - SECTIONS.start) * 64;
    let nr = prop_oneof![8 => 1..6u64, 1 => 1..200u64];
    let word = prop_oneof![Just("online"), Just("online_movable"), Just("online_kernel"), Just("offline")];
    prop_oneof![
        2 => (block.clone(), 1..3u64).prop_map(|(block, nr)| Op::AddRam { block, nr }),
        2 => (block.clone(), 1..3u64).prop_map(|(block, nr)| Op::RemoveRam { block, nr }),
        4 => (block, word).prop_map(|(block, word)| Op::Write { block, word }),
        4 => (at.clone(), nr.clone(), any::<bool>(), prop::bool::weighted(0.05))
            .prop_map(|(at, nr, altmap, off_the_grid)| Op::Map { at, nr, altmap, off_the_grid }),
        3 => any::<usize>().prop_map(|which| Op::Unmap { which }),
        3 => (at.clone(), nr.clone(), prop::bool::weighted(0.3))
            .prop_map(|(at, nr, faithful)| Op::Add { at, nr, faithful }),
        4 => (at, nr).prop_map(|(at, nr)| Op::Remove { at, nr }),
    ]
}

/// Boot memory: up to three ranges, some whole sections, most with ends inside a sub-section.
fn boot_ranges() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let whole = (SECTIONS.start..4).prop_map(|nr| (nr * S, S));
    prop::collection::vec(prop_oneof![2 => (S..4 * S, 1..S).boxed(), 1 => whole.boxed()], 0..4)
}

/// What is expected of the machine, in sets of numbers.
struct Model {
    /// Page frames of the layout's smallest addition.
    unit: u64,
    validity: Validity,
    rules: rules::RuleSet,
    /// Units that are there, by their first page frame divided by the unit.
    active: BTreeSet<u64>,
    /// Boot sections that were never emptied, and sections that ever were boot sections.
    early: BTreeSet<u64>,
    boot: BTreeSet<u64>,
    /// Sections whose word says online.
    online: BTreeSet<u64>,
    /// Sections with a part of a device, until they are empty.
    tainted: BTreeSet<u64>,
    /// RAM by page frames.
    ram: Vec<(u64, u64)>,
    /// Blocks, and whether they are online.
    blocks: BTreeMap<u64, bool>,
    mapped: Vec<(PfnRange, Arc<Pagemap>)>,
}

fn whole(nr: u64) -> PfnRange {
    PfnRange::from_len(nr * S, S).unwrap()
}

impl Model {
    fn boot<L: SectionFlags>(map: &BootMap) -> Self {
        let unit = L::CAPS.hotplug_granule_pages.unwrap();
        let sections: BTreeSet<u64> = map.sections::<G>().into_iter().map(|(nr, _)| nr).collect();
        let units = |boot: &BootRange| boot.range.start() / unit..boot.range.end().div_ceil(unit);
        Self {
            unit,
            validity: L::CAPS.validity,
            rules: <L::Rules as Rules>::SET,
            active: map.ranges().iter().flat_map(units).collect(),
            early: sections.clone(),
            boot: sections.clone(),
            online: sections.clone(),
            tainted: BTreeSet::new(),
            ram: map.ranges().iter().map(|boot| (boot.range.start(), boot.range.end())).collect(),
            blocks: sections.into_iter().map(|nr| (nr, true)).collect(),
            mapped: Vec::new(),
        }
    }

    fn units(&self, range: PfnRange) -> std::ops::Range<u64> {
        range.start() / self.unit..range.end().div_ceil(self.unit)
    }

    fn any_active(&self, range: PfnRange) -> bool {
        self.active.range(self.units(range)).next().is_some()
    }

    fn all_active(&self, range: PfnRange) -> bool {
        self.units(range).all(|unit| self.active.contains(&unit))
    }

    fn is_on_grid(&self, range: PfnRange) -> bool {
        (range.start() | range.end()).is_multiple_of(self.unit)
    }

    /// Pages of RAM in a range.
    fn ram_in(&self, range: PfnRange) -> u64 {
        let parts = self.ram.iter().filter_map(|&(start, end)| PfnRange::new(start, end)?.intersect(range));
        parts.map(PfnRange::nr_pages).sum()
    }

    fn is_mapped(&self, range: PfnRange) -> bool {
        self.mapped.iter().any(|(mapped, _)| mapped.overlaps(range))
    }

    /// What is added for a mapping.
    fn added_for(&self, range: PfnRange) -> PfnRange {
        if self.rules.whole_sections { range.round_out(S) } else { range }
    }

    fn layout_add(&mut self, range: PfnRange, kind: MemoryKind) -> Result<(), i32> {
        if !self.is_on_grid(range) {
            return Err(EINVAL);
        }
        if self.any_active(range) {
            return Err(EEXIST);
        }
        self.active.extend(self.units(range));
        if kind == MemoryKind::Device && self.rules.taints_mixed_sections {
            let parts = range.split_at_multiples(S).filter(|part| part.nr_pages() < S);
            self.tainted.extend(parts.map(|part| part.start() / S));
        }
        Ok(())
    }

    fn layout_remove(&mut self, range: PfnRange) -> Result<(), i32> {
        if !self.is_on_grid(range) || !self.all_active(range) {
            return Err(EINVAL);
        }
        for unit in self.units(range) {
            self.active.remove(&unit);
        }
        for section in range.split_at_multiples(S) {
            let nr = section.start() / S;
            if !self.any_active(whole(nr)) {
                self.early.remove(&nr);
                self.online.remove(&nr);
                self.tainted.remove(&nr);
            }
        }
        Ok(())
    }

    fn add_ram(&mut self, range: PfnRange) -> Result<(), i32> {
        let blocks = range.start() / S..range.end() / S;
        let taken = self.ram_in(range) > 0 || self.is_mapped(range);
        if taken || blocks.clone().any(|block| self.blocks.contains_key(&block)) {
            return Err(EEXIST);
        }
        self.layout_add(range, MemoryKind::Ram)?;
        self.ram.push((range.start(), range.end()));
        self.blocks.extend(blocks.map(|block| (block, false)));
        Ok(())
    }

    fn remove_ram(&mut self, range: PfnRange) -> Result<(), i32> {
        let blocks = range.start() / S..range.end() / S;
        for block in blocks.clone() {
            match self.blocks.get(&block) {
                None => return Err(EINVAL),
                Some(true) => return Err(EBUSY),
                Some(false) => {}
            }
        }
        self.layout_remove(range)?;
        self.blocks.retain(|block, _| !blocks.contains(block));
        let cut = |&(start, end): &(u64, u64)| [(start, end.min(range.start())), (start.max(range.end()), end)];
        self.ram = self.ram.iter().flat_map(cut).filter(|(start, end)| start < end).collect();
        Ok(())
    }

    fn write(&mut self, block: u64, word: &str) -> Result<(), i32> {
        let online = word != "offline";
        let before = *self.blocks.get(&block).ok_or(EINVAL)?;
        if before == online {
            return Err(EINVAL);
        }
        let parts = whole(block).split_at_multiples(U).filter(|part| self.all_active(*part));
        let there: u64 = parts.map(PfnRange::nr_pages).sum();
        if self.ram_in(whole(block)).min(there) < S {
            return Err(if online && self.rules.block_with_holes_is_busy { EBUSY } else { EINVAL });
        }
        if online && self.tainted.contains(&block) {
            return Err(EINVAL);
        }
        self.blocks.insert(block, online);
        if online {
            self.online.insert(block)
        } else {
            self.online.remove(&block)
        };
        Ok(())
    }

    fn map(&mut self, range: PfnRange) -> Result<(), i32> {
        let added = self.added_for(range);
        if self.is_mapped(added) {
            return Err(ENOMEM);
        }
        if self.ram_in(added) > 0 {
            return Err(ENXIO);
        }
        self.layout_add(added, MemoryKind::Device)
    }

    fn unmap(&mut self, which: usize) -> Result<(), i32> {
        self.layout_remove(self.added_for(self.mapped[which].0))?;
        self.mapped.remove(which);
        Ok(())
    }

    fn pfn_valid(&self, pfn: u64) -> bool {
        let nr = pfn / S;
        match self.validity {
            Validity::Span | Validity::MemorySpan | Validity::Ranges => unreachable!("it has no hotplug"),
            Validity::Section => self.any_active(whole(nr)),
            Validity::Subsection { early_is_whole } => {
                early_is_whole && self.early.contains(&nr) || self.active.contains(&(pfn / self.unit))
            }
        }
    }

    fn is_online(&self, pfn: u64) -> bool {
        if !self.online.contains(&(pfn / S)) {
            return false;
        }
        if !self.rules.taints_mixed_sections {
            return self.pfn_valid(pfn);
        }
        self.active.contains(&(pfn / self.unit)) && !self.is_mapped(PfnRange::from_len(pfn, 1).unwrap())
    }

    /// Bytes of records: 64 a page, of whole sections for boot memory, of what is there for the rest. Usages on the heap: one
    /// for each section that is there and never was a boot section.
    fn accounts(&self) -> (u64, u64) {
        let (mut pages, mut heap_usages) = (0, 0);
        for nr in SECTIONS.start - 1..SECTIONS.end + 4 {
            let there = self.active.range(self.units(whole(nr))).count() as u64 * self.unit;
            pages += if self.early.contains(&nr) { S } else { there };
            heap_usages += u64::from(there > 0 && !self.boot.contains(&nr));
        }
        (pages * PAGE_RECORD_BYTES, heap_usages)
    }
}

/// A machine and what is expected of it.
struct Pair<L: Hotplug + Inspect + SectionFlags> {
    machine: Machine<L>,
    model: Model,
    budget: RecordBudget,
}

type Step = Result<(), TestCaseError>;
type Errno = Result<(), i32>;

impl<L: Hotplug<Geometry = G> + Inspect + SectionFlags> Pair<L> {
    fn boot(ranges: &[(u64, u64)]) -> Self {
        let mut boot: Vec<BootRange> = Vec::new();
        for &(start, nr) in ranges {
            let range = PfnRange::from_len(start, nr).unwrap();
            if boot.iter().all(|other| !other.range.overlaps(range)) {
                boot.push(BootRange { range, node: 0 });
            }
        }
        let map = BootMap::new(boot).unwrap();
        let store = RecordStore::unlimited();
        let budget = store.budget.clone();
        let machine = Machine::boot(&map, MachineConfig::default(), &Config::default(), store).unwrap();
        Self { machine, model: Model::boot::<L>(&map), budget }
    }

    /// Sub-sections as page frames on the layout's grid.
    fn range(&self, at: u64, nr: u64) -> PfnRange {
        PfnRange::from_len(S + at * U, nr * U).unwrap().round_out(self.model.unit)
    }

    fn step(&mut self, op: &Op) -> Step {
        let digest = self.machine.digest().unwrap();
        let blocks = |block: u64, nr: u64| PfnRange::from_len(block * S, nr * S).unwrap();
        let (done, expected) = match *op {
            Op::AddRam { block, nr } => {
                let done = self.machine.add_memory(blocks(block, nr), &AddMemory::default());
                (done.map_err(|error| error.errno()), self.model.add_ram(blocks(block, nr)))
            }
            Op::RemoveRam { block, nr } => {
                let done = self.machine.remove_memory(blocks(block, nr));
                (done.map_err(|error| error.errno()), self.model.remove_ram(blocks(block, nr)))
            }
            Op::Write { block, word } => {
                let done = self.machine.write_state(block, word);
                (done.map_err(|error| error.errno()), self.model.write(block, word))
            }
            Op::Map { at, nr, altmap, off_the_grid } => self.map(self.range(at, nr), altmap, off_the_grid),
            Op::Unmap { .. } if self.model.mapped.is_empty() => return Ok(()),
            Op::Unmap { which } => {
                let which = which % self.model.mapped.len();
                let pagemap = Arc::clone(&self.model.mapped[which].1);
                let done = self.machine.memunmap_pages(&pagemap);
                (done.map_err(|error| error.errno()), self.model.unmap(which))
            }
            Op::Add { at, nr, faithful } => {
                let range = self.range(at, nr);
                let mode = if faithful { AddMode::Faithful } else { AddMode::Transactional };
                let done = self.machine.layout().add(range, &AddParams { mode, ..AddParams::default() }, &mut ());
                let mut add = |part| self.model.layout_add(part, MemoryKind::Device);
                let expected = match faithful {
                    // Section by section, and those before the failing one stay.
                    true => range.split_at_multiples(S).try_for_each(add),
                    false => add(range),
                };
                (done.map_err(|error| error.errno()), expected)
            }
            Op::Remove { at, nr } => {
                let range = self.range(at, nr);
                let done = self.machine.layout().remove(range, &RemoveParams::default(), &mut ());
                (done.map_err(|error| error.errno()), self.model.layout_remove(range))
            }
        };
        prop_assert_eq!(done, expected, "{:?}", op);
        if done.is_err() && !matches!(op, Op::Add { faithful: true, .. }) {
            prop_assert_eq!(self.machine.digest().unwrap(), digest, "{:?} was refused and changed something", op);
        }
        self.check(&format!("{op:?}"))
    }

    fn map(&mut self, range: PfnRange, altmap: bool, off_the_grid: bool) -> (Errno, Errno) {
        let shift = u64::from(off_the_grid && !self.model.rules.whole_sections);
        let range = PfnRange::from_len(range.start() + shift, range.nr_pages()).unwrap();
        let mut spec = PagemapSpec::device(range);
        if altmap && L::CAPS.records_on_device.any() {
            let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), range.nr_pages() << 12).unwrap();
            let altmap = Altmap::for_range::<G>(Arc::new(device), range, &BackedSections::All).unwrap();
            spec.altmap = Some(Arc::new(altmap));
        }
        let done = self.machine.memremap_pages(spec);
        let expected = self.model.map(range);
        if let Ok(pagemap) = &done {
            self.model.mapped.push((range, Arc::clone(pagemap)));
        }
        (done.map(drop).map_err(|error| error.errno()), expected)
    }

    /// Answers at every border and beside it, and accounts.
    fn check(&self, after: &str) -> Step {
        let reader = self.machine.layout().reader();
        for border in (SECTIONS.start * S..(SECTIONS.end + 3) * S).step_by(U as usize) {
            for pfn in [border - 1, border, border + 1] {
                let valid = reader.pfn_valid(Pfn(pfn));
                prop_assert_eq!(valid, self.model.pfn_valid(pfn), "pfn_valid({:#x}) after {}", pfn, after);
                if let Some(page) = reader.valid_to_page(Pfn(pfn)) {
                    let right = page.is_of(Pfn(pfn)) || L::CAPS.records_on_device.any() && page.is_poisoned();
                    prop_assert!(right, "the record of {:#x} is that of {:?} after {}", pfn, page.pfn(), after);
                }
            }
            let online = self.machine.pfn_to_online_page(&reader, Pfn(border)).is_some();
            prop_assert_eq!(online, self.model.is_online(border), "online page {:#x} after {}", border, after);
        }
        let accounting = self.machine.layout().accounting();
        let bytes = accounting.ram_record_bytes + accounting.device_record_bytes;
        prop_assert_eq!((bytes, accounting.heap_usages), self.model.accounts(), "accounts after {}", after);
        prop_assert_eq!(accounting.records_lost_bytes, 0);
        Ok(())
    }

    /// Takes everything away.
    fn end(mut self) -> Step {
        let unit = self.model.unit;
        let part = |nr: u64| PfnRange::from_len(nr * unit, unit).unwrap();
        while let Some((mapped, _)) = self.model.mapped.first() {
            // What others took from under a mapping is put back first.
            let units = self.model.units(self.model.added_for(*mapped));
            let missing: Vec<u64> = units.filter(|nr| !self.model.active.contains(nr)).collect();
            for nr in missing {
                self.machine.layout().add(part(nr), &AddParams::default(), &mut ()).unwrap();
                self.model.layout_add(part(nr), MemoryKind::Device).unwrap();
            }
            self.step(&Op::Unmap { which: 0 })?;
        }
        for &nr in &self.model.active {
            self.machine.layout().remove(part(nr), &RemoveParams::default(), &mut ()).unwrap();
        }
        let accounting = Accounting { roots: 0, ..self.machine.layout().accounting() };
        prop_assert_eq!(accounting, Accounting::default(), "left behind");
        drop(self.machine);
        prop_assert_eq!(self.budget.used(), 0, "records are still counted");
        Ok(())
    }
}

fn sequence<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(ranges: &[(u64, u64)], ops: &[Op]) -> Step {
    let mut pair = Pair::<L>::boot(ranges);
    pair.check("boot")?;
    ops.iter().try_for_each(|op| pair.step(op))?;
    pair.end()
}

/// Ordinary run: sequences that proptest shrinks when they fail.
struct Short {
    operations: u64,
}

impl Visitor<G> for Short {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {}

    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        const LEAST: u64 = 60;
        // Whole sections take longer.
        let cases = if L::CAPS.hotplug_granule_pages == Some(S) { 15 } else { 40 };
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let strategy = (boot_ranges(), prop::collection::vec(op(), LEAST as usize..100));
        let outcome = TestRunner::new(config).run(&strategy, |(ranges, ops)| sequence::<L>(&ranges, &ops));
        if let Err(error) = outcome {
            panic!("{}: {error}", L::ID);
        }
        self.operations += u64::from(cases) * LEAST;
    }
}

#[test]
fn random_sequences_agree_with_the_model() {
    let mut short = Short { operations: 0 };
    visit::<G>(&mut short);
    assert!(short.operations >= 10_000, "{} operations at least", short.operations);
}

/// Long run, without shrinking.
struct Long {
    operations: u64,
}

impl Visitor<G> for Long {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {}

    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        const SEQUENCE: usize = 500;
        let sequences = if L::CAPS.hotplug_granule_pages == Some(S) { 40 } else { 520 };
        let mut runner = TestRunner::deterministic();
        let strategy = (boot_ranges(), prop::collection::vec(op(), SEQUENCE));
        for nr in 0..sequences {
            let (ranges, ops) = strategy.new_tree(&mut runner).unwrap().current();
            if let Err(error) = sequence::<L>(&ranges, &ops) {
                panic!("{}, sequence {nr}, boot {ranges:?}: {error}", L::ID);
            }
            self.operations += ops.len() as u64;
        }
        println!("{}: {} operations so far", L::ID, self.operations);
    }
}

#[test]
#[ignore = "the long form, minutes: cargo test --release -p memmap-layouts -- --ignored"]
fn a_million_operations_agree_with_the_model() {
    let mut long = Long { operations: 0 };
    visit::<G>(&mut long);
    assert!(long.operations >= 1_000_000, "{} operations", long.operations);
}
