//! Accounting of memory units that several owners share: which units to back before a stretch of
//! records is used, and which ones nobody uses once it is released.
//!
//! ```text
//!  units    |       0       |       1       |       2       |
//!  records  | section 1 ……………… | section 2 ……………… |               56-byte records, leaves of 2 MiB
//!                           └─ unit 1 has two owners, and is released with the last
//! ```

use crate::stretch::Stretch;
use std::collections::BTreeMap;

/// Bytes in use of the units that have several owners.
///
/// | units of a stretch | in the table |
/// | --- | --- |
/// | none, or all of a unit, in use | absent |
/// | in part | bytes in use |
#[derive(Debug)]
pub struct SharedUnits {
    len: u64,
    used: BTreeMap<u64, u64>,
}

impl SharedUnits {
    /// A table for units of `len` bytes, a power of two.
    pub fn new(len: u64) -> Self {
        debug_assert!(len.is_power_of_two());
        Self { len, used: BTreeMap::new() }
    }

    /// True if the stretch consists of whole units and shares none. This is the common case and
    /// takes the fast path.
    fn shares_none(&self, stretch: Stretch) -> bool {
        (stretch.offset | stretch.len) & (self.len - 1) == 0
    }

    /// Size of a unit in bytes.
    pub fn unit_bytes(&self) -> u64 {
        self.len
    }

    /// Number of units that are partly in use.
    #[cfg(test)]
    pub fn nr_shared(&self) -> usize {
        self.used.len()
    }

    /// The units that a stretch fills only in part, at most its first and last: unit number and
    /// bytes.
    fn edges(&self, stretch: Stretch) -> impl Iterator<Item = (u64, u64)> + use<> {
        let unit = self.len;
        let (first, last) = (stretch.offset / unit, stretch.end().saturating_sub(1) / unit);
        let head = stretch.end().min((first + 1) * unit) - stretch.offset;
        let tail = stretch.end() - stretch.offset.max(last * unit);
        let edges = [(first, head), (last, tail)];
        edges.into_iter().take(if first == last { 1 } else { 2 }).filter(move |&(_, bytes)| bytes < unit)
    }

    /// The units that a stretch touches, without those at its edges for which `is_shared` is true:
    /// another owner uses them too.
    fn whole(&self, stretch: Stretch, is_shared: impl Fn(u64, u64) -> bool) -> Option<Stretch> {
        if self.shares_none(stretch) {
            return Some(stretch);
        }
        let unit = self.len;
        let (mut from, mut to) = (stretch.offset / unit, stretch.end().div_ceil(unit));
        for (edge, bytes) in self.edges(stretch) {
            if is_shared(edge, bytes) {
                // If one unit is both first and last, nothing is left.
                (from, to) = if edge == from { (from + 1, to) } else { (from, to - 1) };
            }
        }
        Stretch::from_to(from * unit, to * unit)
    }

    /// The units that must be backed before `stretch` is used; `None` if all are.
    pub fn to_back(&self, stretch: Stretch) -> Option<Stretch> {
        self.whole(stretch, |edge, _| self.used.contains_key(&edge))
    }

    /// The units that nobody uses once `stretch` is released; `None` if there are none.
    pub fn to_drop(&self, stretch: Stretch) -> Option<Stretch> {
        self.whole(stretch, |edge, bytes| self.used.get(&edge).unwrap_or(&self.len) > &bytes)
    }

    /// Records that `stretch` is in use. It must not be in use yet.
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

    /// Records that `stretch` is no longer in use. It must be in use.
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
