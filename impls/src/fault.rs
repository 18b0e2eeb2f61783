//! Faults on purpose: a seam at every allocation of a layout, so that a test can make each of them fail.
//!
//! A layout gets its [`Faults`] with its [`RecordStore`](crate::RecordStore) and asks it before each allocation. Without a plan
//! (always but in tests) the answer is a test of a pointer for null.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is allocated.
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
}

impl Seam {
    /// Every seam.
    pub const ALL: [Seam; 4] = [Seam::Root, Seam::Usage, Seam::Records, Seam::AltmapBlock];
}

/// Which allocation fails.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<[Point; 4]>>);

/// Allocations of one kind.
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
    /// No faults, nothing counted.
    pub fn none() -> Self {
        Self(None)
    }

    /// Counts allocations, and fails those that [`fail`](Self::fail) names.
    pub fn planned() -> Self {
        Self(Some(Arc::default()))
    }

    /// From now on the `nth` allocation of a kind fails (0: the next), once.
    pub fn fail(&self, seam: Seam, nth: u64) {
        if let Some(points) = &self.0 {
            let point = &points[seam as usize];
            point.fail_at.store(point.asked.load(Ordering::Relaxed) + nth, Ordering::Relaxed);
        }
    }

    /// Allocations of a kind so far, failed ones included; 0 without a plan.
    pub fn asked(&self, seam: Seam) -> u64 {
        self.0.as_ref().map_or(0, |points| points[seam as usize].asked.load(Ordering::Relaxed))
    }

    /// An allocation is about to be made: false if it is to fail.
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
