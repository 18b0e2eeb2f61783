//! The memory of a race: which sections of the map have records, and where memory is hot-added.

use crate::map::PhysicalMap;
use memmap_layouts::{BackedSections, BootError, BootMap, ByteSize, Geometry, PAGE_RECORD_BYTES, PfnRange};
use thiserror::Error;

/// Sizes in bytes of the window in which hotplug is timed. The preferred one is 64 GiB and 1 GiB
/// for alignment, since additions need not begin at a section. The other is the minimum.
const LATENCY_BYTES: [u64; 2] = [65 << 30, 1 << 30];

/// Limit in bytes on the records of all layouts that lookups use. Every process of a run
/// initialises them again.
const LOOKUPS_BYTES: u64 = 512 << 20;

/// The limit on records is divided by this number even if fewer layouts take part. A case then uses
/// the same records whichever layouts are raced, so that runs can be compared.
const LAYOUTS: u64 = 16;

/// Alignment of the windows for added memory, which lie above everything in the map.
const WINDOW_ALIGN_BYTES: u64 = 1 << 30;

/// Why the memory of a race could not be planned.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MemoryPlanError {
    /// The limit is below the records of one boot section and one hot-added section of each layout.
    #[error(
        "--records-limit {} is below the minimum of {}, the records of one boot section and one hot-added section \
         of each layout",
        ByteSize(*limit), ByteSize(*need)
    )]
    LimitTooSmall {
        /// The limit that was given, in bytes.
        limit: u64,
        /// The smallest sufficient limit, in bytes.
        need: u64,
    },
}

/// What a race needs of a memory map.
#[derive(Clone, Debug)]
pub struct MapMemory {
    /// Memory that is present at boot.
    pub boot: BootMap,
    /// End of all memory in bytes, device memory included.
    pub end_bytes: u64,
    /// RAM that is added later, by ranges.
    pub later: Vec<PfnRange>,
}

impl MapMemory {
    /// The memory of a map.
    ///
    /// # Errors
    /// Ranges of the map overlap.
    pub fn new(map: &PhysicalMap) -> Result<Self, BootError> {
        Ok(Self { boot: map.boot_map()?, end_bytes: map.end(), later: map.added_ram() })
    }
}

/// The memory of a race. Section numbers are sorted.
#[derive(Clone, Debug)]
pub struct MemoryPlan {
    /// Memory that is present at boot.
    pub boot: BootMap,
    /// Numbers of the sections that hold boot memory.
    pub boot_sections: Vec<u64>,
    /// The boot sections that have records.
    pub backed_boot: Vec<u64>,
    /// Memory that is hot-added for lookups: as many whole sections as at boot, if the address
    /// space has room. Usually one piece above the map. If boot memory is scattered, each hot-added
    /// section follows a boot section. On a map without boot memory, what the map says is added
    /// later, which may be parts of sections.
    pub added: Vec<PfnRange>,
    /// The sections of `added` that have records.
    pub backed_added: Vec<u64>,
    /// The window in which additions and removals are timed: 65 GiB, or 1 GiB if the address space
    /// is almost full. Every section of it has records once it is added.
    pub latency: Option<PfnRange>,
    /// All sections with records.
    pub backed: BackedSections,
}

/// Selects `count` of `items`, evenly spaced.
fn spread(items: &[u64], count: u64) -> Vec<u64> {
    let len = items.len() as u64;
    let count = count.min(len);
    (0..count).map(|i| items[(u128::from(i) * u128::from(len) / u128::from(count)) as usize]).collect()
}

impl MemoryPlan {
    /// Boots of each of `layouts` layouts within a limit in bytes: `wanted`, or 1 if the limit is
    /// too low for that.
    pub fn boots<G: Geometry>(limit: u64, layouts: usize, wanted: u32) -> u32 {
        if sections_of_each::<G>(limit, layouts, wanted) < 2 { 1 } else { wanted.max(1) }
    }

    /// Plans a race of `layouts` layouts, each booted `boots` times. All records together take at
    /// most `limit` bytes. Those of added memory take at most `device_bytes` for each layout.
    /// The windows lie above the end of all memory in the map.
    ///
    /// # Errors
    /// The limit is below two sections of records for each boot of each layout.
    pub fn new<G: Geometry>(
        map: MapMemory,
        limit: u64,
        device_bytes: u64,
        layouts: usize,
        boots: u32,
    ) -> Result<Self, MemoryPlanError> {
        let section_bytes = G::PAGES_PER_SECTION * PAGE_RECORD_BYTES;
        let per_layout = sections_of_each::<G>(limit, layouts, boots);
        if per_layout < 2 {
            let need = 2 * section_bytes * (layouts as u64).max(LAYOUTS) * u64::from(boots.max(1));
            return Err(MemoryPlanError::LimitTooSmall { limit, need });
        }
        let MapMemory { boot, end_bytes: map_end, later } = map;
        let boot_sections: Vec<u64> = boot.sections::<G>().into_iter().map(|(nr, _)| nr).collect();
        let nr_boot = boot_sections.len() as u64;

        let window_align = (WINDOW_ALIGN_BYTES >> G::SECTION_SIZE_BITS).max(1);
        let above = |nr: u64| nr.next_multiple_of(window_align);
        let section_bytes_phys = 1u64 << G::SECTION_SIZE_BITS;
        // The window for timing comes first. If the address space is nearly full, lookups lose some
        // sections, but hotplug can still be timed.
        let latency_start = above(map_end.div_ceil(section_bytes_phys));
        let latency_sections = LATENCY_BYTES.map(|bytes| (bytes >> G::SECTION_SIZE_BITS).max(1));
        // The large window is used only if the memory for lookups also fits.
        let wanted = match latency_start.checked_add(latency_sections[0] + window_align + nr_boot) {
            Some(end) if end <= G::NR_MEM_SECTIONS => latency_sections[0],
            _ => latency_sections[1],
        };
        let latency = window::<G>(latency_start, wanted).filter(|w| w.nr_pages() >> G::PFN_SECTION_SHIFT == wanted);
        let added_start = above(latency_start + wanted);
        let of_map = boot_sections.is_empty() && !later.is_empty();
        let added = if of_map {
            later.into_iter().filter(|range| !range.is_empty()).collect()
        } else if is_scattered(&boot_sections) {
            runs::<G>(&behind_each::<G>(&boot_sections, latency))
        } else {
            window::<G>(added_start, nr_boot.max(1)).into_iter().collect()
        };
        let added_sections = sections_of::<G>(&added);

        // The hot-added sections are removed before hotplug is timed, so both use the same share in
        // turn.
        let added_share = (per_layout / 2).max(per_layout.saturating_sub(nr_boot));
        // A device also holds an info block, and alignment costs up to one block.
        let on_device = (device_bytes / section_bytes).saturating_sub(1);
        let backed_boot = spread(&boot_sections, per_layout - added_share);
        let backed_added = spread(&added_sections, added_share.min(on_device));
        let timed = latency.map(|w| sections::<G>(w)).into_iter().flatten();
        let backed = BackedSections::only(backed_boot.iter().chain(&backed_added).copied().chain(timed));
        Ok(Self { boot, boot_sections, backed_boot, added, backed_added, latency, backed })
    }

    /// True if some boot sections have no records because of the limit.
    pub fn is_sampled(&self) -> bool {
        self.backed_boot.len() < self.boot_sections.len()
    }

    /// Numbers of the hot-added sections.
    pub fn added_sections<G: Geometry>(&self) -> Vec<u64> {
        sections_of::<G>(&self.added)
    }

    /// From the first to the last hot-added page frame, if no boot memory lies between them.
    pub fn added_span(&self) -> Option<PfnRange> {
        let span = PfnRange::new(self.added.first()?.start(), self.added.last()?.end())?;
        self.boot.ranges().iter().all(|boot| !boot.range.overlaps(span)).then_some(span)
    }

    /// The added memory if it is one contiguous piece.
    pub fn added_window(&self) -> Option<PfnRange> {
        match self.added[..] {
            [window] => Some(window),
            _ => None,
        }
    }
}

/// Sections with records for each boot of each layout, within `limit` bytes.
fn sections_of_each<G: Geometry>(limit: u64, layouts: usize, boots: u32) -> u64 {
    let section_bytes = G::PAGES_PER_SECTION * PAGE_RECORD_BYTES;
    // The part of the limit above `LOOKUPS_BYTES` is only for large additions.
    let sections = limit.min(LOOKUPS_BYTES) / section_bytes;
    sections / ((layouts as u64).max(LAYOUTS) * u64::from(boots.max(1)))
}

/// True if memory is scattered over the physical address space: in more ranges than real machines
/// have, or in single sections.
fn is_scattered(sections: &[u64]) -> bool {
    let gaps = sections.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
    let alone = gaps + 1 == sections.len() && gaps > 4;
    alone || gaps > 16 && gaps > sections.len() / 16
}

/// For each section the next free one, so that hot-added sections are as far apart as boot
/// sections. Sections in `kept` are not used.
fn behind_each<G: Geometry>(sections: &[u64], kept: Option<PfnRange>) -> Vec<u64> {
    let is_kept = |nr: u64| kept.is_some_and(|kept| kept.contains(memmap_layouts::Pfn(G::section_start(nr))));
    let mut found: Vec<u64> = Vec::new();
    for &nr in sections {
        let from = found.last().map_or(nr + 1, |last| (nr + 1).max(last + 1));
        let is_free = |nr: &u64| sections.binary_search(nr).is_err() && !is_kept(*nr);
        found.extend((from..G::NR_MEM_SECTIONS).find(is_free));
    }
    found
}

/// Merges consecutive section numbers into ranges.
fn runs<G: Geometry>(sections: &[u64]) -> Vec<PfnRange> {
    let pieces = sections.chunk_by(|a, b| *b == a + 1);
    let range = |piece: &[u64]| PfnRange::new(G::section_start(*piece.first()?), G::section_start(piece.last()? + 1));
    pieces.filter_map(range).collect()
}

/// The range of up to `count` sections from section `start`, cut off at the end of the physical
/// address space; `None` if it is empty.
fn window<G: Geometry>(start: u64, count: u64) -> Option<PfnRange> {
    let end = start.checked_add(count)?.min(G::NR_MEM_SECTIONS);
    let range = PfnRange::new(G::section_start(start), G::section_start(end))?;
    (!range.is_empty()).then_some(range)
}

/// The sections that a non-empty range touches.
fn sections<G: Geometry>(window: PfnRange) -> impl Iterator<Item = u64> {
    G::section_nr(window.start())..G::section_nr(window.end() - 1) + 1
}

/// The sections that sorted ranges touch, each once.
fn sections_of<G: Geometry>(ranges: &[PfnRange]) -> Vec<u64> {
    let mut all: Vec<u64> = ranges.iter().flat_map(|&range| sections::<G>(range)).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::{BootRange, X86_64};

    /// Boot memory up to the end of the map.
    fn boot(start: u64, end: u64) -> MapMemory {
        let range = PfnRange::new(start >> 12, end >> 12).unwrap();
        MapMemory { boot: BootMap::new([BootRange { range, node: 0 }]).unwrap(), end_bytes: end, later: Vec::new() }
    }

    #[test]
    fn backed_sections_stay_within_the_limit_and_are_spread() {
        let limit = 1 << 30;
        let plan = MemoryPlan::new::<X86_64>(boot(0, 24 << 30), limit, u64::MAX, 4, 1).unwrap();
        assert!(plan.is_sampled());
        assert_eq!((plan.boot_sections.len(), plan.backed_boot.len(), plan.backed_added.len()), (192, 8, 8));
        assert_eq!(plan.added_window().unwrap().nr_pages(), 192 * X86_64::PAGES_PER_SECTION);
        assert!(plan.backed_boot.windows(2).all(|pair| pair[1] - pair[0] >= 20));
        assert!(plan.latency.unwrap().start() >= (24 << 30) >> 12);
        assert!(!plan.added_window().unwrap().overlaps(plan.latency.unwrap()));
        assert_eq!(plan.latency.unwrap().nr_pages() << 12, 65 << 30);
    }

    #[test]
    fn a_small_machine_is_backed_completely() {
        let plan = MemoryPlan::new::<X86_64>(boot(0, 1 << 30), 1 << 30, u64::MAX, 4, 1).unwrap();
        assert!(!plan.is_sampled());
        assert_eq!((plan.backed_boot.len(), plan.backed_added.len()), (8, 8));
    }

    #[test]
    fn no_memory_is_added_at_the_top_of_the_address_space() {
        let top = 1u64 << 46;
        let plan = MemoryPlan::new::<X86_64>(boot(top - (2 << 30), top), 1 << 30, u64::MAX, 4, 1).unwrap();
        assert_eq!((plan.added.len(), plan.latency), (0, None));
        let below = top - (3 << 30);
        let plan = MemoryPlan::new::<X86_64>(boot(0, below), 1 << 30, u64::MAX, 4, 1).unwrap();
        assert_eq!(plan.added_window().unwrap().end(), top >> 12, "as many sections as fit");
        assert_eq!(plan.latency.unwrap().nr_pages() << 12, 1 << 30, "lookups have the rest");
    }

    #[test]
    fn memory_added_to_scattered_memory_is_scattered() {
        let map = crate::map::builtin::by_name("scattered-8192").unwrap();
        let plan = MemoryPlan::new::<X86_64>(MapMemory::new(&map).unwrap(), 1 << 30, u64::MAX, 4, 1).unwrap();
        let added = plan.added_sections::<X86_64>();
        assert_eq!((plan.boot_sections.len(), added.len(), plan.added_window()), (8192, 8192, None));
        assert!(added.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(added.iter().all(|nr| plan.boot_sections.binary_search(nr).is_err()));
        assert!(plan.added.len() > 6000, "as far apart as those of boot: {}", plan.added.len());
        let latency = plan.latency.unwrap();
        assert!(plan.added.iter().all(|range| !range.overlaps(latency)));
        // Both ends of the scale.
        for (name, nr) in [("scattered-8", 8), ("scattered-32768", 32768)] {
            let map = crate::map::builtin::by_name(name).unwrap();
            let plan = MemoryPlan::new::<X86_64>(MapMemory::new(&map).unwrap(), 1 << 30, u64::MAX, 7, 1).unwrap();
            assert_eq!((plan.added_sections::<X86_64>().len(), plan.added_window()), (nr, None), "{name}");
            assert!(plan.added.len() > nr * 9 / 10, "{name}: {}", plan.added.len());
        }
    }

    #[test]
    fn a_small_device_backs_few_hot_sections() {
        let plan = MemoryPlan::new::<X86_64>(boot(0, 1 << 30), 1 << 30, 7 << 20, 4, 1).unwrap();
        assert_eq!((plan.backed_boot.len(), plan.backed_added.len(), plan.added_sections::<X86_64>().len()), (8, 2, 8));
    }

    #[test]
    fn a_limit_below_the_minimum_is_refused_with_the_minimum() {
        let error = MemoryPlan::new::<X86_64>(boot(0, 1 << 30), 63 << 20, u64::MAX, 4, 1).unwrap_err();
        assert!(error.to_string().contains("minimum of 64 MiB"), "{error}");
        assert!(MemoryPlan::new::<X86_64>(boot(0, 1 << 30), 64 << 20, u64::MAX, 4, 1).is_ok());
    }

    #[test]
    fn backed_sections_do_not_depend_on_the_number_of_layouts() {
        let backed = |layouts, boots| {
            let plan = MemoryPlan::new::<X86_64>(boot(0, 24 << 30), 1 << 30, u64::MAX, layouts, boots).unwrap();
            (plan.backed_boot, plan.backed_added)
        };
        assert_eq!(backed(1, 2), backed(8, 2));
        assert_ne!(backed(8, 1), backed(8, 2), "they depend on the number of boots");
        assert_eq!([100 << 20, 1 << 30].map(|limit| MemoryPlan::boots::<X86_64>(limit, 8, 2)), [1, 2]);
    }

    #[test]
    fn a_map_without_boot_memory_is_added_as_it_says() {
        let map = crate::map::builtin::by_name("holes-2m").unwrap();
        let plan = MemoryPlan::new::<X86_64>(MapMemory::new(&map).unwrap(), 1 << 30, u64::MAX, 4, 1).unwrap();
        assert!(plan.boot_sections.is_empty() && plan.added.len() == 4096);
        assert!(plan.added.iter().all(|range| range.nr_pages() == X86_64::PAGES_PER_SUBSECTION));
        assert_eq!(plan.added_sections::<X86_64>().len(), 128, "each is valid in part");
        let span = plan.added_span().unwrap();
        assert_eq!((span.start(), span.end()), (plan.added[0].start(), plan.added[4095].end()));
    }
}
