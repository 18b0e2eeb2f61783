//! Byte ranges of the reserved address range.

/// A byte range of the reserved address range, relative to its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Offset of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Stretch {
    /// Offset one past the last byte.
    pub fn end(self) -> u64 {
        self.offset + self.len
    }

    /// The stretch `[offset, end)`; `None` if it is empty.
    pub(crate) fn from_to(offset: u64, end: u64) -> Option<Self> {
        (offset < end).then(|| Self { offset, len: end - offset })
    }

    /// The stretch shrunk to whole units of `unit` bytes (a power of two); `None` if nothing is
    /// left.
    pub fn round_in(self, unit: u64) -> Option<Self> {
        Self::from_to((self.offset + (unit - 1)) & !(unit - 1), self.end() & !(unit - 1))
    }
}
