//! Units of memory that several owners share: which must be backed before a stretch of records is used, and which nobody uses
//! once it is given up.
//!
//! ```text
//!  units    |       0       |       1       |       2       |
//!  records  | section 1 ……………… | section 2 ……………… |               56-byte records, leaves of 2 MiB
//!                           └─ unit 1 has two owners, and goes with the last of them
//! ```

use std::collections::BTreeMap;

/// A stretch of the reserved range, in bytes from its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Stretch {
    /// One past the last byte.
    pub fn end(self) -> u64 {
        self.offset + self.len
    }

    /// From one offset to another; `None` if nothing lies between.
    pub fn from_to(offset: u64, end: u64) -> Option<Self> {
        (offset < end).then(|| Self { offset, len: end - offset })
    }

    /// The whole units (a power of two) inside; `None` if there are none.
    pub fn round_in(self, unit: u64) -> Option<Self> {
        Self::from_to((self.offset + (unit - 1)) & !(unit - 1), self.end() & !(unit - 1))
    }
}

/// What is in use of units that have several owners.
///
/// | units of a stretch | in the table |
/// | --- | --- |
/// | none, or all of a unit, in use | absent |
/// | in part | bytes in use |
#[derive(Debug)]
pub struct Units {
    len: u64,
    used: BTreeMap<u64, u64>,
}

impl Units {
    /// A table for units of `len` bytes, a power of two.
    pub fn new(len: u64) -> Self {
        debug_assert!(len.is_power_of_two());
        Self { len, used: BTreeMap::new() }
    }

    /// A stretch of whole units shares none: the usual case, and the cheap one.
    fn shares_none(&self, stretch: Stretch) -> bool {
        (stretch.offset | stretch.len) & (self.len - 1) == 0
    }

    /// Bytes of a unit.
    pub fn unit_bytes(&self) -> u64 {
        self.len
    }

    /// Units that are in use in part.
    #[cfg(test)]
    pub fn nr_shared(&self) -> usize {
        self.used.len()
    }

    /// The units that a stretch fills in part, at most its first and last: number and bytes.
    fn edges(&self, stretch: Stretch) -> impl Iterator<Item = (u64, u64)> + use<> {
        let unit = self.len;
        let (first, last) = (stretch.offset / unit, stretch.end().saturating_sub(1) / unit);
        let head = stretch.end().min((first + 1) * unit) - stretch.offset;
        let tail = stretch.end() - stretch.offset.max(last * unit);
        let edges = [(first, head), (last, tail)];
        edges.into_iter().take(if first == last { 1 } else { 2 }).filter(move |&(_, bytes)| bytes < unit)
    }

    /// The whole units of a stretch, less those at its edges that `stays` says are another's too.
    fn whole(&self, stretch: Stretch, stays: impl Fn(u64, u64) -> bool) -> Option<Stretch> {
        if self.shares_none(stretch) {
            return Some(stretch);
        }
        let unit = self.len;
        let (mut from, mut to) = (stretch.offset / unit, stretch.end().div_ceil(unit));
        for (edge, bytes) in self.edges(stretch) {
            if stays(edge, bytes) {
                // One edge that is both first and last leaves nothing.
                (from, to) = if edge == from { (from + 1, to) } else { (from, to - 1) };
            }
        }
        Stretch::from_to(from * unit, to * unit)
    }

    /// The units that must be backed before a stretch is used.
    pub fn to_back(&self, stretch: Stretch) -> Option<Stretch> {
        self.whole(stretch, |edge, _| self.used.contains_key(&edge))
    }

    /// The units that nobody uses once a stretch is given up.
    pub fn to_drop(&self, stretch: Stretch) -> Option<Stretch> {
        self.whole(stretch, |edge, bytes| self.used.get(&edge).unwrap_or(&self.len) > &bytes)
    }

    /// A stretch is in use from now on; it was not.
    pub fn enter(&mut self, stretch: Stretch) {
        if self.shares_none(stretch) {
            return;
        }
        for (edge, bytes) in self.edges(stretch) {
            let used = self.used.remove(&edge).unwrap_or(0) + bytes;
            debug_assert!(used <= self.len, "unit {edge} is used twice");
            if used < self.len {
                self.used.insert(edge, used);
            }
        }
    }

    /// A stretch is in use no more; it was.
    pub fn leave(&mut self, stretch: Stretch) {
        if self.shares_none(stretch) {
            return;
        }
        for (edge, bytes) in self.edges(stretch) {
            let used = self.used.remove(&edge).unwrap_or(self.len) - bytes;
            if used > 0 {
                self.used.insert(edge, used);
            }
        }
    }
}
