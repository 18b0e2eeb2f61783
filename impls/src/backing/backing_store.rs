//! The interface that every kind of backing store implements.

use super::address_range::AddressRange;
use super::error::BackingError;
use std::fmt::Debug;

/// One kind of backing store: how to map, populate and release it.
pub(super) trait BackingStore: Debug + Send + Sync {
    /// Smallest unit in bytes that can be populated or released.
    fn unit_bytes(&self) -> u64 {
        rustix::param::page_size() as u64
    }

    /// Size in bytes of the huge pages that it may use; `None` for base pages only.
    fn huge_page_bytes(&self) -> Option<u64> {
        None
    }

    /// Bytes that one first access may back: a unit, or a whole huge page.
    fn first_touch_bytes(&self) -> u64 {
        self.unit_bytes()
    }

    /// True if reading an unbacked range allocates no memory.
    fn has_zero_page(&self) -> bool;

    /// Maps the whole range for the first time.
    fn reserve(&self, whole: AddressRange) -> Result<(), BackingError> {
        self.map(whole)
    }

    /// Maps a range that has no memory yet.
    fn map(&self, range: AddressRange) -> Result<(), BackingError>;

    /// Backs a range that has no memory yet. After success, writes there must not fault. After an
    /// error, some of the range may be backed.
    fn populate(&self, range: AddressRange) -> Result<(), BackingError>;

    /// Releases the memory of a range. It reads as zero once it is backed again.
    fn give_back(&self, range: AddressRange) -> Result<(), BackingError>;

    /// Number of 512-byte blocks allocated to the file behind it; 0 without a file.
    #[cfg(test)]
    fn blocks(&self) -> u64 {
        0
    }
}
