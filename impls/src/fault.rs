//! Fault injection: every allocation of a layout asks here first, so that a test can make it fail.
//!
//! A layout gets its [`Faults`] with its [`RecordStore`](crate::RecordStore) and consults it before
//! each allocation. Without a plan (always, except in tests) this costs one null check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of allocation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Seam {
    /// A page of section descriptors.
    Root,
    /// A section's usage object on the heap.
    Usage,
    /// Memory for records.
    Records,
    /// Blocks of an altmap.
    AltmapBlock,
    /// A huge page for tables. They stay in base pages without it.
    HugePage,
}

impl Seam {
    /// All kinds of allocation.
    pub const ALL: [Seam; 5] = [Seam::Root, Seam::Usage, Seam::Records, Seam::AltmapBlock, Seam::HugePage];
}

/// The plan of which allocations fail. Clones share it.
///
/// ```
/// use memmap_layouts::fault::{Faults, Seam};
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, HotplugError, Memmap, PfnRange, RecordStore};
///
/// let faults = Faults::planned();
/// let store = RecordStore { faults: faults.clone(), ..RecordStore::unlimited() };
/// let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), store)?;
/// let range = PfnRange::from_len(0, 512).unwrap();
/// faults.fail(Seam::Usage, 0);
/// let failed = layout.add(range, &AddParams::default(), &mut ());
/// assert!(matches!(failed, Err(HotplugError::NoMemory { .. })));
/// // The fault occurs once, and the failed addition changed nothing.
/// layout.add(range, &AddParams::default(), &mut ())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<[Point; Seam::ALL.len()]>>);

/// Counters of one kind of allocation.
#[derive(Debug)]
struct Point {
    asked: AtomicU64,
    fail_at: AtomicU64,
}

impl Default for Point {
    fn default() -> Self {
        Self { asked: AtomicU64::new(0), fail_at: AtomicU64::new(u64::MAX) }
    }
}

impl Faults {
    /// No faults; allocations are not counted.
    pub fn none() -> Self {
        Self(None)
    }

    /// Counts allocations and fails those set by [`fail`](Self::fail).
    pub fn planned() -> Self {
        Self(Some(Arc::default()))
    }

    /// Makes the `nth` allocation of this kind from now on fail once; 0 is the next one. No effect
    /// without a plan.
    pub fn fail(&self, seam: Seam, nth: u64) {
        if let Some(points) = &self.0 {
            let point = &points[seam as usize];
            point.fail_at.store(point.asked.load(Ordering::Relaxed) + nth, Ordering::Relaxed);
        }
    }

    /// Number of allocations of this kind so far, failed ones included; 0 without a plan.
    pub fn asked(&self, seam: Seam) -> u64 {
        self.0.as_ref().map_or(0, |points| points[seam as usize].asked.load(Ordering::Relaxed))
    }

    /// Call before each allocation; false if it must fail.
    #[inline]
    pub(crate) fn allow(&self, seam: Seam) -> bool {
        let Some(points) = &self.0 else { return true };
        let point = &points[seam as usize];
        point.asked.fetch_add(1, Ordering::Relaxed) != point.fail_at.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_allocation_fails_once() {
        let faults = Faults::planned();
        assert!(faults.allow(Seam::Root));
        faults.fail(Seam::Root, 1);
        let allowed: Vec<bool> = (0..4).map(|_| faults.clone().allow(Seam::Root)).collect();
        assert_eq!(allowed, [true, false, true, true]);
        assert_eq!((faults.asked(Seam::Root), faults.asked(Seam::Usage)), (5, 0));
        assert!(Faults::none().allow(Seam::Root));
    }
}
