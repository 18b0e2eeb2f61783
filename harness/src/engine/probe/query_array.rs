//! Arrays of queries at random addresses.
//!
//! The address of a query array decides which cache sets it shares with the layout's tables.
//! Allocated in the order of the layouts, arrays would have the same accidental placement in every
//! process. Therefore each array begins at a random cache line.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::ops::Range;

/// Size of a cache line in bytes.
const LINE_BYTES: usize = 64;

/// The start of an array is one of this many cache lines: those of four base pages.
const LINES: usize = 256;

/// Chooses the start addresses of query arrays.
#[derive(Debug)]
pub struct Placement(Option<Pcg64Mcg>);

impl Placement {
    /// Arrays start where the allocator puts them; for checks that are not timed.
    pub fn aligned() -> Self {
        Self(None)
    }

    /// Arrays start at random cache lines.
    pub fn random(seed: u64) -> Self {
        Self(Some(Pcg64Mcg::seed_from_u64(seed)))
    }

    /// Copies `queries` into a new array.
    pub fn place<T: Copy>(&mut self, queries: &[T]) -> QueryArray<T> {
        let per_line = (LINE_BYTES / size_of::<T>().max(1)).max(1);
        let start = self.0.as_mut().map_or(0, |rng| rng.random_range(0..LINES) * per_line);
        let Some(&filler) = queries.first() else { return QueryArray::default() };
        let mut items = vec![filler; start];
        items.extend_from_slice(queries);
        QueryArray { items, start }
    }
}

/// Queries after a random number of cache lines of padding.
#[derive(Debug)]
pub struct QueryArray<T> {
    items: Vec<T>,
    start: usize,
}

impl<T> Default for QueryArray<T> {
    fn default() -> Self {
        Self { items: Vec::new(), start: 0 }
    }
}

impl<T> QueryArray<T> {
    /// Number of queries.
    pub fn len(&self) -> usize {
        self.items.len() - self.start
    }

    /// True if there are no queries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queries in an index range, cut off at the end of the array.
    pub fn part(&self, range: Range<usize>) -> &[T] {
        let queries = &self.items[self.start..];
        let end = range.end.min(queries.len());
        &queries[range.start.min(end)..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn arrays_begin_at_different_lines_and_hold_the_same() {
        let queries: Vec<u64> = (0..3000).collect();
        let mut placement = Placement::random(1);
        let arrays: Vec<_> = (0..32).map(|_| placement.place(&queries)).collect();
        let starts: BTreeSet<usize> = arrays.iter().map(|array| array.start).collect();
        assert!(starts.len() > 20, "{starts:?}");
        for array in &arrays {
            assert_eq!((array.len(), array.part(0..usize::MAX)), (3000, &queries[..]));
            assert!(array.start.is_multiple_of(8));
            assert_eq!(array.part(2990..4000), &queries[2990..]);
            assert!(array.part(5000..6000).is_empty());
        }
    }
}
