//! The memory of a layout: what backs its records, the limit on them, the sections whose records
//! are backed, and the account of its index tables.

use crate::backing::RamBacking;
use crate::byte_size::ByteSize;
use crate::fault::Faults;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where and how one layout allocates the memory for its records and its index.
///
/// ```
/// use memmap_layouts::backing::RamBacking;
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{BackedSections, BootMap, BootRange, Config, Memmap, PfnRange, RecordBudget, RecordStore};
///
/// // A machine with 8 TiB, of which the records of two sections are in memory: huge pages if there are any, and at
/// // most 16 MiB.
/// let store = RecordStore {
///     backing: RamBacking::like_linux(),
///     backed: BackedSections::only([0, 40_000]),
///     budget: RecordBudget::new(16 << 20),
///     ..RecordStore::unlimited()
/// };
/// let ram = BootRange { range: PfnRange::from_len(0, 1 << 31).unwrap(), node: 0 };
/// let layout = <Subsection>::boot(&BootMap::new([ram])?, &Config::default(), store.clone())?;
/// assert_eq!(layout.footprint().ram_record_bytes, 4 << 20);
/// assert_eq!(layout.footprint().index_bytes, store.index.bytes());
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordStore {
    /// Backing store of records in RAM.
    pub backing: RamBacking,
    /// The limit in bytes, shared by all layouts that hold a clone of it.
    pub budget: RecordBudget,
    /// The sections whose records are backed; all except in sampled runs.
    pub backed: BackedSections,
    /// Fault injection: which allocations fail on purpose.
    pub faults: Faults,
    /// Bytes of index tables that the layout has allocated.
    pub index: IndexAccount,
}

impl RecordStore {
    /// Anonymous private memory for every section, without a limit.
    pub fn unlimited() -> Self {
        Self {
            backing: RamBacking::Anon,
            budget: RecordBudget::new(u64::MAX),
            backed: BackedSections::All,
            faults: Faults::none(),
            index: IndexAccount::default(),
        }
    }
}

/// Counts the bytes of index tables. [`IndexMemory`](crate::index_memory::IndexMemory) keeps it;
/// the conformance suite compares it with
/// [`Footprint::index_bytes`](crate::Footprint::index_bytes). Clones share one count.
///
/// ```
/// use memmap_layouts::index_memory::IndexMemory;
/// use memmap_layouts::{Config, RecordStore};
///
/// let store = RecordStore::unlimited();
/// let memory = IndexMemory::reserve(1 << 20, &Config::default(), &store)?;
/// let table = memory.array_of(&[1u64, 2, 3]).ok_or("no memory")?;
/// assert_eq!(store.index.bytes(), 24);
/// drop(table);
/// assert_eq!(store.index.bytes(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct IndexAccount(Arc<AtomicU64>);

impl IndexAccount {
    /// Bytes that are allocated now, without what alignment and size classes add.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn allocated(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn freed(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The sections whose records are backed by memory.
///
/// The index of a simulated large machine fits into memory, but its records do not. The index
/// therefore covers every section, and only a sample of sections has readable records. The sample
/// is chosen before any layout boots and is the same for all layouts.
///
/// ```
/// use memmap_layouts::BackedSections;
///
/// let backed = BackedSections::only([9, 2, 9]);
/// assert!(backed.contains(2) && backed.contains(9) && !backed.contains(3));
/// assert!(BackedSections::All.contains(3));
/// ```
#[derive(Clone, Debug)]
pub enum BackedSections {
    /// Every section.
    All,
    /// These section numbers, sorted.
    Only(Arc<[u64]>),
}

impl BackedSections {
    /// Only the given section numbers, in any order; duplicates are ignored.
    pub fn only(sections: impl IntoIterator<Item = u64>) -> Self {
        let mut sections: Vec<u64> = sections.into_iter().collect();
        sections.sort_unstable();
        sections.dedup();
        Self::Only(sections.into())
    }

    /// True if the records of section `nr` are backed. Cost: a binary search.
    pub fn contains(&self, nr: u64) -> bool {
        match self {
            Self::All => true,
            Self::Only(sections) => sections.binary_search(&nr).is_ok(),
        }
    }
}

/// A shared limit on the bytes of records, in RAM and on devices. Clones share one budget.
///
/// ```
/// use memmap_layouts::layouts::{Sparse, Subsection};
/// use memmap_layouts::{BootMap, BootRange, Config, Memmap, PfnRange, RecordBudget, RecordStore};
///
/// // 4 MiB of records for both layouts together; each section of 128 MiB needs 2 MiB.
/// let store = RecordStore { budget: RecordBudget::new(4 << 20), ..RecordStore::unlimited() };
/// let ram = BootRange { range: PfnRange::from_len(0, 0x10000).unwrap(), node: 0 };
/// let map = BootMap::new([ram])?;
/// let first = <Subsection>::boot(&map, &Config::default(), store.clone())?;
/// assert_eq!(store.budget.used(), 4 << 20);
/// assert!(<Sparse>::boot(&map, &Config::default(), store.clone()).is_err());
/// drop(first);
/// assert!(<Sparse>::boot(&map, &Config::default(), store).is_ok());
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordBudget {
    state: Arc<BudgetState>,
}

#[derive(Debug)]
struct BudgetState {
    limit: u64,
    used: AtomicU64,
}

/// Error: an allocation would exceed the [`RecordBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} more of records would exceed the limit of {} ({} in use)", ByteSize(*need), ByteSize(*limit), ByteSize(*used))]
pub struct BudgetExceeded {
    /// Bytes requested.
    pub need: u64,
    /// Bytes in use at the time of the request.
    pub used: u64,
    /// The limit in bytes.
    pub limit: u64,
}

impl RecordBudget {
    /// Creates a budget of `limit` bytes; `u64::MAX` means no limit.
    pub fn new(limit: u64) -> Self {
        Self { state: Arc::new(BudgetState { limit, used: AtomicU64::new(0) }) }
    }

    /// Bytes in use by all clones together.
    pub fn used(&self) -> u64 {
        self.state.used.load(Ordering::Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u64 {
        self.state.limit
    }

    pub(crate) fn charge(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        let limit = self.state.limit;
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= limit);
        self.state
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|used| BudgetExceeded { need: bytes, used, limit })
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.state.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_and_exact() {
        let budget = RecordBudget::new(100);
        let other = budget.clone();
        budget.charge(60).unwrap();
        assert_eq!(other.charge(41), Err(BudgetExceeded { need: 41, used: 60, limit: 100 }));
        other.charge(40).unwrap();
        assert_eq!(budget.charge(u64::MAX).unwrap_err().used, 100);
        budget.release(100);
        assert_eq!(other.used(), 0);
    }

    #[test]
    fn a_sample_knows_its_sections() {
        let backed = BackedSections::only([7, 3, 3]);
        assert!(backed.contains(3) && backed.contains(7) && !backed.contains(5));
    }
}
