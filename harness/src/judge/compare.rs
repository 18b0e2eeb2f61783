//! Compares the state of a model with a snapshot of the kernel.

use super::log::Answers;
use super::model::Model;
use super::verdict::Verdict;
use crate::running::Snapshot;
use memmap_layouts::rules::Rules;
use memmap_layouts::section::SECTION_FLAGS;
use memmap_layouts::{
    Geometry, Hotplug, Inspect, Lookup, PageLinks, PageRecord, Pfn, PfnRange, SECTION_IS_EARLY,
    SECTION_TAINT_ZONE_DEVICE, SectionFlags, X86_64, Zone,
};
use std::collections::{BTreeMap, BTreeSet};

/// One comparison: where differences are noted.
struct Comparison<'a> {
    snapshot: &'a str,
    scene: &'a str,
    verdict: &'a mut Verdict,
}

impl Comparison<'_> {
    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: &'static str, which: &str, kernel: T, model: T) {
        self.verdict.compared(what, 1);
        if kernel != model {
            let told = format!("after {}: {which}: the kernel has {kernel:x?}, the model {model:x?}", self.snapshot);
            self.verdict.differs(what, self.scene, told);
        }
    }
}

/// Compares everything that a snapshot holds.
pub(super) fn compare<L>(model: &Model<L>, name: &str, snapshot: &Snapshot, scene: &str, verdict: &mut Verdict)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let mut comparison = Comparison { snapshot: name, scene, verdict };
    sections(model, snapshot, &mut comparison);
    blocks(model, snapshot, &mut comparison);
    zones(model, snapshot, &mut comparison);
    namespaces(model, snapshot, &mut comparison);
    memmap_pages(model, snapshot, &mut comparison);
}

/// Compares the answers of the kernel's own functions, page frame by page frame.
pub(super) fn answers<L>(model: &Model<L>, answers: &Answers, scene: &str, verdict: &mut Verdict)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let reader = model.machine.layout().reader();
    let of_model = |pfn: u64| {
        let zone = |page: &L::Record| page.links().and_then(PageLinks::zone).map_or(0, |zone| zone as u64);
        match model.machine.pfn_to_online_page(&reader, Pfn(pfn)) {
            _ if !reader.pfn_valid(Pfn(pfn)) => 0,
            None => 1,
            Some(page) => 3 + 4 * zone(page),
        }
    };
    // The model has one zone for all memory that is neither movable nor of a device. Where a boot section
    // has no memory, the kernel gives records that nobody uses.
    let has_memory = |pfn: u64| {
        let is_early = reader.section_flags(Pfn(pfn)) & SECTION_IS_EARLY != 0;
        !is_early || model.boot.iter().any(|range| range.contains(Pfn(pfn)))
    };
    let normal = |(pfn, answer): (u64, u64)| match answer & 3 {
        3 if has_memory(pfn) => (pfn, answer.max(3 + 4 * Zone::Normal as u64)),
        3 => (pfn, of_model(pfn) & !3 | 3),
        _ => (pfn, answer),
    };
    let mut wrong: Option<(u64, u64, u64, u64)> = None;
    let mut at = 0;
    let gap = (PfnRange::new(answers.end, answers.end).expect("empty"), 0);
    for (range, answer) in answers.runs.iter().chain([&gap]) {
        let before = (at..range.start()).map(|pfn| (pfn, 0));
        for (pfn, kernel) in before.chain((range.start()..range.end()).map(|pfn| normal((pfn, *answer)))) {
            let model = of_model(pfn);
            if model != kernel {
                wrong = Some(wrong.map_or((pfn, kernel, model, 1), |(first, k, m, nr)| (first, k, m, nr + 1)));
            }
        }
        at = range.end();
    }
    verdict.asked_pfns += answers.end;
    if let Some((pfn, kernel, model, nr)) = wrong {
        let told = format!("{nr} page frames from {pfn:#x} on: the kernel answers {kernel}, the model {model}");
        verdict.differs("kernel's functions", scene, told);
    }
}

/// Every page frame up to the last section that either has, its flags and its map.
fn sections<L>(model: &Model<L>, snapshot: &Snapshot, comparison: &mut Comparison<'_>)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let layout = model.machine.layout();
    let reader = layout.reader();
    let kernel: BTreeMap<u64, _> = snapshot.sections.iter().map(|section| (section.nr, section)).collect();
    let last = kernel.keys().chain(&model.touched).max().copied().unwrap_or(0);
    // A kernel before 5.12 has no taint flag, and a rule set without it sets none.
    let has_taint = <L::Rules as Rules>::SET.taints_mixed_sections && snapshot.flags.taint != 0;
    let mask = if has_taint { SECTION_FLAGS } else { SECTION_FLAGS & !SECTION_TAINT_ZONE_DEVICE };
    for nr in 0..=last {
        let section = kernel.get(&nr).copied().copied().unwrap_or_default();
        let state = layout.section_state(nr);
        let which = format!("section {nr}");
        let word = state.as_ref().map_or(0, |state| state.section_mem_map & mask);
        comparison.equal("section flags", &which, snapshot.flags.normalised(section.word) & mask, word);
        let map = state.as_ref().and_then(|state| state.subsection_map.first()).copied().unwrap_or(0);
        comparison.equal("sub-section map", &which, section.map, map);
        let valid = snapshot.valid_sub_sections(&section);
        let first = X86_64::section_start(nr);
        let mut wrong = Vec::new();
        for pfn in first..first + X86_64::PAGES_PER_SECTION {
            let kernel = valid >> X86_64::subsection_index(pfn) & 1 == 1;
            if reader.pfn_valid(Pfn(pfn)) != kernel {
                wrong.push((pfn, kernel));
            }
        }
        comparison.verdict.pfns += X86_64::PAGES_PER_SECTION;
        comparison.verdict.near_pfns += if model.touched.contains(&nr) { X86_64::PAGES_PER_SECTION } else { 0 };
        if let Some((pfn, kernel)) = wrong.first() {
            let told = format!(
                "after {}: section {nr}: {} page frames from {pfn:#x} on, where the kernel says {kernel}",
                comparison.snapshot,
                wrong.len()
            );
            comparison.verdict.differs("pfn_valid", comparison.scene, told);
        }
        // The walk, from the beginning of each section.
        let end = first + X86_64::PAGES_PER_SECTION;
        let expected =
            (valid != 0).then(|| Pfn(first + u64::from(valid.trailing_zeros()) * X86_64::PAGES_PER_SUBSECTION));
        comparison.equal("next valid pfn", &which, expected, reader.next_valid_pfn(Pfn(first), Pfn(end)));
    }
}

fn blocks<L>(model: &Model<L>, snapshot: &Snapshot, comparison: &mut Comparison<'_>)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let blocks = model.machine.blocks().unwrap_or_default();
    let numbers: BTreeSet<u64> = blocks.keys().chain(snapshot.blocks.keys()).copied().collect();
    for nr in numbers {
        let kernel = snapshot.blocks.get(&nr).map_or("none", String::as_str);
        let model = blocks.get(&nr).map_or("none", |block| block.state());
        comparison.equal("memory block", &format!("block {nr}"), kernel, model);
    }
}

fn zones<L>(model: &Model<L>, snapshot: &Snapshot, comparison: &mut Comparison<'_>)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let of_model = |zone| model.machine.zone((0, zone)).unwrap_or_default();
    for (name, zone) in [("Device", Zone::Device), ("Movable", Zone::Movable)] {
        let kernel = snapshot.zones.iter().find(|zone| zone.node == 0 && zone.name == name);
        let Some(kernel) = kernel else { continue };
        let model = of_model(zone);
        comparison.equal(
            "zone",
            &format!("pages of {name}"),
            (kernel.spanned, kernel.present),
            (model.span.spanned, model.present_pages),
        );
        // The kernel prints no start for a zone without present pages.
        if let Some(start) = kernel.start.filter(|_| kernel.spanned > 0) {
            comparison.equal("zone", &format!("start of {name}"), start, model.span.start);
        }
    }
    // The model has one zone for all memory that is neither movable nor of a device.
    let normal =
        snapshot.zones.iter().filter(|zone| zone.node == 0 && ["DMA", "DMA32", "Normal"].contains(&&*zone.name));
    let present = normal.map(|zone| zone.present).sum::<u64>();
    comparison.equal("zone", "present pages of DMA, DMA32 and Normal", present, of_model(Zone::Normal).present_pages);
}

/// Pages of records that were allocated since boot, in kernels that count them.
fn memmap_pages<L>(model: &Model<L>, snapshot: &Snapshot, comparison: &mut Comparison<'_>)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let Some(kernel) = snapshot.memmap_pages else { return };
    let now = model.machine.layout().accounting().ram_record_bytes as i64;
    // Fewer than at boot, if a boot section was removed.
    let model = (now - model.boot_record_bytes as i64) / X86_64::PAGE_SIZE as i64;
    comparison.equal("pages of records", "nr_memmap_pages", kernel as i64, model);
}

/// Places and sizes of namespaces, and of the devices that are built on them.
fn namespaces<L>(model: &Model<L>, snapshot: &Snapshot, comparison: &mut Comparison<'_>)
where
    L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags,
{
    let Some(region) = model.region.as_ref().map(|model| &model.region) else { return };
    for (key, namespace) in &model.namespaces {
        let Ok(label) = region.label(&namespace.uuid) else { continue };
        let extent = region.namespace(label);
        let name = format!("nd/{}", namespace.kernel_name);
        let kernel = snapshot.devices.iter().find(|device| device.name == name);
        comparison.equal("namespace", &format!("size of {key}"), kernel.map(|device| device.size), Some(extent.size));
        if let Some(start) = kernel.and_then(|device| device.start) {
            comparison.equal("namespace", &format!("place of {key}"), start, extent.start);
        }
    }
}
