//! Where records get their memory from, how much of it they may take, and which sections have any.

use crate::backing::RamBacking;
use crate::bytes::Bytes;
use crate::fault::Faults;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory for the records of one layout.
#[derive(Clone, Debug)]
pub struct RecordStore {
    /// What backs records in RAM.
    pub backing: RamBacking,
    /// The limit, shared by all layouts that live together.
    pub budget: RecordBudget,
    /// The sections whose records are backed.
    pub backed: BackedSections,
    /// Allocations that fail on purpose.
    pub faults: Faults,
}

impl RecordStore {
    /// Private anonymous memory without a limit, every section backed.
    pub fn unlimited() -> Self {
        Self {
            backing: RamBacking::Anon,
            budget: RecordBudget::new(u64::MAX),
            backed: BackedSections::All,
            faults: Faults::none(),
        }
    }
}

/// The sections whose records have memory behind them.
///
/// The records of a big machine do not fit here, its index does. So the index is always complete, and a sample of
/// sections, chosen before any layout boots and the same for all, has records that can be read.
#[derive(Clone, Debug)]
pub enum BackedSections {
    /// Every section.
    All,
    /// These section numbers, sorted.
    Only(Arc<[u64]>),
}

impl BackedSections {
    /// Only `sections`.
    pub fn only(sections: impl IntoIterator<Item = u64>) -> Self {
        let mut sections: Vec<u64> = sections.into_iter().collect();
        sections.sort_unstable();
        sections.dedup();
        Self::Only(sections.into())
    }

    /// Are the records of section `nr` backed?
    pub fn contains(&self, nr: u64) -> bool {
        match self {
            Self::All => true,
            Self::Only(sections) => sections.binary_search(&nr).is_ok(),
        }
    }
}

/// Bytes of records that all layouts holding a clone may back together, in RAM and on devices.
#[derive(Clone, Debug)]
pub struct RecordBudget {
    state: Arc<BudgetState>,
}

#[derive(Debug)]
struct BudgetState {
    limit: u64,
    used: AtomicU64,
}

/// A budget that would be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} more of records would exceed the limit of {} ({} in use)", Bytes(*need), Bytes(*limit), Bytes(*used))]
pub struct BudgetExceeded {
    /// Bytes asked for.
    pub need: u64,
    /// Bytes in use.
    pub used: u64,
    /// The limit.
    pub limit: u64,
}

impl RecordBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { state: Arc::new(BudgetState { limit, used: AtomicU64::new(0) }) }
    }

    /// Bytes in use.
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
