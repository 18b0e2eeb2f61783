//! Parameters of hotplug operations, and their phases.

use crate::altmap::Altmap;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The kind of memory that is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemoryKind {
    /// RAM, which can be onlined.
    Ram,
    /// Device memory (ZONE_DEVICE): it has records but is never onlined.
    #[default]
    Device,
}

/// What state a failed addition leaves.
///
/// ```
/// use memmap_layouts::layouts::Sparse;
/// use memmap_layouts::{AddMode, AddParams, BootMap, Config, Hotplug, Lookup, Memmap, Pfn, PfnRange, RecordStore};
///
/// let layout = <Sparse>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// let sections = |start: u64, nr: u64| PfnRange::from_len(start * 0x8000, nr * 0x8000).unwrap();
/// layout.add(sections(1, 1), &AddParams::default(), &mut ())?;
/// // Section 1 is present, so both additions fail; only the second one leaves section 0.
/// let add = |mode| layout.add(sections(0, 2), &AddParams { mode, ..AddParams::default() }, &mut ()).is_err();
/// assert!(add(AddMode::Transactional) && !layout.reader().pfn_valid(Pfn(0)));
/// assert!(add(AddMode::Faithful) && layout.reader().pfn_valid(Pfn(0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddMode {
    /// The layout is unchanged after a failure.
    #[default]
    Transactional,
    /// As `__add_pages`: sections are added one by one, and those before the failing one stay.
    Faithful,
}

/// Parameters of [`Hotplug::add`](crate::Hotplug::add).
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Lookup, Memmap, MemoryKind, Pfn, PfnRange, RecordStore, Zone};
///
/// let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// let how = AddParams { node: 1, kind: MemoryKind::Ram, ..AddParams::default() };
/// layout.add(PfnRange::from_len(0x100000, 512).unwrap(), &how, &mut ())?;
/// let reader = layout.reader();
/// let page = reader.valid_to_page(Pfn(0x100000)).ok_or("added above")?;
/// assert_eq!((page.node(), page.zone()), (1, Some(Zone::Normal)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AddParams {
    /// NUMA node written to the new records.
    pub node: u8,
    /// Where to store the records; `None` for RAM.
    pub altmap: Option<Arc<Altmap>>,
    /// The kind of memory: RAM or device memory.
    pub kind: MemoryKind,
    /// What state a failure leaves.
    pub mode: AddMode,
    /// Threads that initialise records, the calling one included. No more than one per sub-section
    /// are started.
    pub init_threads: NonZeroU32,
    /// Device memory that is used in compound pages of `1 << vmemmap_shift` page frames, from the start
    /// of the range on; 0 for single pages. Since Linux 5.18 most records of their tail pages share
    /// memory, unless an altmap has them. Layouts without that rule ignore it. Source: `struct
    /// dev_pagemap`.
    pub vmemmap_shift: u32,
}

impl Default for AddParams {
    fn default() -> Self {
        Self {
            node: 0,
            altmap: None,
            kind: MemoryKind::default(),
            mode: AddMode::default(),
            init_threads: NonZeroU32::MIN,
            vmemmap_shift: 0,
        }
    }
}

/// Parameters of [`Hotplug::remove`](crate::Hotplug::remove). There is no altmap parameter: the
/// layout remembers where the records of a range are.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RemoveParams {
    /// True if the range has memory blocks (`MHP_MEMBLOCK_API`). The rules of v6 then refuse parts
    /// of sections; later kernels look the blocks up themselves.
    pub memblock_api: bool,
}

/// A phase of a hotplug operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Check the range; reserve descriptors and record budget.
    Reserve,
    /// Back the records with memory.
    Populate,
    /// Write the records.
    Initialise,
    /// Make the records visible to readers.
    Publish,
    /// Check the range; hide it from readers.
    Unpublish,
    /// Wait for a grace period.
    Grace,
    /// Give the memory of the records back.
    Depopulate,
}

/// Receives the end of each phase. `()` ignores it at no cost.
///
/// The callbacks run in the middle of an operation, under the layout's writer lock. They must not
/// call the layout. If one panics, the layout can no longer be changed
/// ([`HotplugError::Poisoned`](crate::HotplugError::Poisoned)).
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Memmap, PfnRange, Phase, PhaseSink, RecordStore};
/// use std::time::{Duration, Instant};
///
/// /// The duration of each phase.
/// struct Times(Instant, Vec<(Phase, Duration)>);
/// impl PhaseSink for Times {
///     fn ended(&mut self, phase: Phase) {
///         self.1.push((phase, self.0.elapsed()));
///         self.0 = Instant::now();
///     }
/// }
///
/// let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// let mut times = Times(Instant::now(), Vec::new());
/// layout.add(PfnRange::from_len(0, 512).unwrap(), &AddParams::default(), &mut times)?;
/// let phases: Vec<Phase> = times.1.iter().map(|(phase, _)| *phase).collect();
/// assert_eq!(phases, [Phase::Reserve, Phase::Populate, Phase::Initialise, Phase::Publish]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait PhaseSink {
    /// `phase` has just ended.
    fn ended(&mut self, phase: Phase);

    /// `nr_pages` page frames of the running phase are done. Called now and then in the long
    /// phases: populating and initialising.
    #[inline(always)]
    fn progressed(&mut self, phase: Phase, nr_pages: u64) {
        let _ = (phase, nr_pages);
    }
}

impl PhaseSink for () {
    #[inline(always)]
    fn ended(&mut self, _: Phase) {}
}
