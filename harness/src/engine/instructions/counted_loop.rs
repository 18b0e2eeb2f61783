//! The loops in which callgrind counts, found by their names.

use super::counter::Counter;
use std::hint::black_box;

/// An operation. `query` is its argument, and `context` the object that it works on. A compiled
/// kernel's lookup, which has no such object, is a leaf that does not look at its second argument.
///
/// # Safety
/// Each leaf documents what `context` must point to, and which queries are allowed.
pub(in crate::engine) type Leaf = unsafe extern "C" fn(query: u64, context: *const ()) -> u64;

/// The parts of a case.
pub(in crate::engine) struct Task<'a> {
    pub leaf: Leaf,
    /// For an update, the operation that undoes it.
    pub undo: Option<Leaf>,
    pub context: *const (),
    pub queries: &'a [u64],
    /// Expected sum of the answers of a pass; `None` for an empty leaf, which has no answer.
    pub expected: Option<u64>,
}

/// The loop for lookups. Its name can be given to callgrind, and link-time optimisation keeps its
/// signature.
///
/// # Safety
/// `context` and `queries` fulfil the requirements of `leaf`.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_lookup_loop(leaf: Leaf, context: *const (), queries: &[u64], passes: u64) -> u64 {
    let mut sum = 0u64;
    for _ in 0..passes {
        for &query in queries {
            // SAFETY: the caller's promise.
            sum = sum.wrapping_add(unsafe { leaf(query, context) });
        }
    }
    sum
}

/// The loop for updates. Each update is undone at once; only the update is counted.
///
/// # Safety
/// `context` and `queries` fulfil the requirements of both leaves, called in turn.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_update_loop(leaf: Leaf, undo: Leaf, context: *const (), queries: &[u64], passes: u64) -> u64 {
    let mut sum = 0u64;
    for _ in 0..passes {
        for &query in queries {
            // SAFETY: the caller's promise.
            sum = sum.wrapping_add(unsafe { leaf(query, context) });
            // SAFETY: the caller's promise.
            sum = sum.wrapping_add(unsafe { pfnbench_undo(undo, context, query) });
        }
    }
    sum
}

/// Calls a leaf while callgrind does not count.
///
/// # Safety
/// `context` and `query` fulfil the requirements of `leaf`.
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_undo(leaf: Leaf, context: *const (), query: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { leaf(query, context) }
}

/// Runs a task for a number of passes, and returns the sum of the answers.
///
/// # Safety
/// As for [`Task::run`].
// SAFETY: no other function of the process has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn pfnbench_total(task: &Task<'_>, passes: u64) -> u64 {
    let (leaf, queries) = (black_box(task.leaf), task.queries);
    // SAFETY: the caller promises that leaves, context and queries belong together.
    unsafe {
        match task.undo {
            None => pfnbench_lookup_loop(leaf, task.context, queries, passes),
            Some(undo) => pfnbench_update_loop(leaf, black_box(undo), task.context, queries, passes),
        }
    }
}

impl Task<'_> {
    /// Runs the task for one pass and for two, which gives the counter a total of each.
    ///
    /// # Safety
    /// The leaves, the context and the queries belong together, as each leaf documents.
    pub unsafe fn run(&self, counter: &mut Counter) -> Result<(), String> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.warm_up() };
        for passes in [1, 2] {
            // SAFETY: as above.
            let sum = counter.total(|| unsafe { pfnbench_total(black_box(self), black_box(passes)) });
            match self.expected.map(|once| once.wrapping_mul(passes)) {
                Some(expected) if expected != sum => {
                    return Err(format!("the answers add up to {sum:#x} instead of {expected:#x}"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Runs the updates once, uncounted, so that later ones find the memory that the first
    /// allocates.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn warm_up(&self) {
        let Some(undo) = self.undo else { return };
        for &query in self.queries {
            // SAFETY: the caller promises that leaves, context and queries belong together.
            unsafe {
                (self.leaf)(query, self.context);
                undo(query, self.context);
            }
        }
    }
}
