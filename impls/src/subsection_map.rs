//! The bitmap of a section's present sub-sections.

use crate::sync::{AtomicU64, Ordering};
use std::fmt::Debug;
use std::ops::Range;

/// One bit per sub-section. One writer at a time (the caller holds the layout's writer lock), any
/// number of readers.
///
/// Zeroed memory is an empty map, because usages are allocated zeroed.
///
/// Setting is a release and testing an acquire: a reader that sees a bit also sees the records that
/// were written before it was set.
pub trait SubsectionMap: Default + Debug + Send + Sync + 'static {
    /// Number of bits; 0 for memory models without sub-sections.
    const BITS: u32;
    /// True if `bit` is set. One load.
    fn test(&self, bit: u32) -> bool;
    /// Sets `bits`, with a release store per word.
    fn set(&self, bits: Range<u32>);
    /// Clears `bits`, with a release store per word.
    fn clear(&self, bits: Range<u32>);
    /// The first of `bits` whose value is `value`; `None` if there is none.
    fn find(&self, bits: Range<u32>, value: bool) -> Option<u32>;
    /// The words of the map, lowest bits first.
    fn words(&self) -> Vec<u64>;
    /// True if no bit is set.
    fn is_empty(&self) -> bool {
        self.find(0..Self::BITS, true).is_none()
    }
}

/// `WORDS` × 64 bits: 1 word on x86-64, 4 on arm64 with 64 KiB pages.
///
/// ```
/// use memmap_layouts::{Arm64Pages64K, BitWords, Geometry};
///
/// // arm64 with 64 KiB pages has 256 sub-sections in a section, hence 4 words.
/// type Map = <Arm64Pages64K as Geometry>::SubsectionMap;
/// assert_eq!((Arm64Pages64K::SUBSECTIONS_PER_SECTION, size_of::<Map>()), (256, size_of::<BitWords<4>>()));
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct BitWords<const WORDS: usize>([AtomicU64; WORDS]);

impl<const WORDS: usize> Default for BitWords<WORDS> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// For each word that `bits` touches: its index and the mask of `bits` in it.
fn masks(bits: Range<u32>) -> impl Iterator<Item = (usize, u64)> {
    let words = if bits.is_empty() { 0..0 } else { bits.start / 64..(bits.end - 1) / 64 + 1 };
    words.map(move |word| {
        let from = bits.start.max(word * 64) - word * 64;
        let to = bits.end.min(word * 64 + 64) - word * 64;
        (word as usize, (u64::MAX >> (64 - (to - from))) << from)
    })
}

impl<const WORDS: usize> SubsectionMap for BitWords<WORDS> {
    const BITS: u32 = 64 * WORDS as u32;

    #[inline(always)]
    fn test(&self, bit: u32) -> bool {
        // The bit is masked to the map, so the compiler needs no bounds check, as in the kernel.
        let word = (bit / 64) as usize % WORDS;
        self.0[word].load(Ordering::Acquire) >> (bit % 64) & 1 != 0
    }

    // Plain loads and stores, as in the kernel: writers are serialised, so no read-modify-write is
    // needed.
    fn set(&self, bits: Range<u32>) {
        for (word, mask) in masks(bits) {
            self.0[word].store(self.0[word].load(Ordering::Relaxed) | mask, Ordering::Release);
        }
    }

    fn clear(&self, bits: Range<u32>) {
        for (word, mask) in masks(bits) {
            self.0[word].store(self.0[word].load(Ordering::Relaxed) & !mask, Ordering::Release);
        }
    }

    fn find(&self, bits: Range<u32>, value: bool) -> Option<u32> {
        masks(bits).find_map(|(word, mask)| {
            let set = self.0[word].load(Ordering::Acquire);
            let hits = if value { set } else { !set } & mask;
            (hits != 0).then(|| word as u32 * 64 + hits.trailing_zeros())
        })
    }

    fn words(&self) -> Vec<u64> {
        self.0.iter().map(|word| word.load(Ordering::Acquire)).collect()
    }
}

/// The map of a memory model without sub-sections (classic SPARSEMEM): no bits, and
/// [`test`](SubsectionMap::test) is always true.
#[derive(Debug, Default)]
pub struct NoSubsections;

impl SubsectionMap for NoSubsections {
    const BITS: u32 = 0;
    fn test(&self, _: u32) -> bool {
        true
    }
    fn set(&self, _: Range<u32>) {}
    fn clear(&self, _: Range<u32>) {}
    fn find(&self, _: Range<u32>, _: bool) -> Option<u32> {
        None
    }
    fn words(&self) -> Vec<u64> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_bits_cross_words() {
        let map = BitWords::<4>::default();
        map.set(60..130);
        assert_eq!(map.words(), [0xf << 60, u64::MAX, 0b11, 0]);
        assert!(!map.test(59) && map.test(60) && map.test(129) && !map.test(130));
        assert_eq!(map.find(0..256, true), Some(60));
        assert_eq!(map.find(60..256, false), Some(130));
        assert_eq!(map.find(60..130, false), None);
        map.clear(64..128);
        assert_eq!(map.words(), [0xf << 60, 0, 0b11, 0]);
        map.clear(0..256);
        assert!(map.is_empty());
    }

    #[test]
    fn an_empty_range_touches_nothing() {
        let map = BitWords::<1>::default();
        map.set(5..5);
        assert!(map.is_empty());
        map.set(0..64);
        assert_eq!(map.words(), [u64::MAX]);
    }
}
