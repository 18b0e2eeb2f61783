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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AddMode {
    /// The layout is unchanged after a failure.
    #[default]
    Transactional,
    /// As `__add_pages`: sections are added one by one, and those before the failing one stay.
    Faithful,
}

/// Parameters of [`Hotplug::add`](crate::Hotplug::add).
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
}

impl Default for AddParams {
    fn default() -> Self {
        Self {
            node: 0,
            altmap: None,
            kind: MemoryKind::default(),
            mode: AddMode::default(),
            init_threads: NonZeroU32::MIN,
        }
    }
}

/// Parameters of [`Hotplug::remove`](crate::Hotplug::remove). There is no altmap parameter: the layout remembers where the
/// records of a range are.
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
