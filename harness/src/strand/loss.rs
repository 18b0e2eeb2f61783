//! What one range loses when it is cut inwards to whole memory blocks.

use crate::map::inventory::Span;
use memmap_layouts::machine::whole_blocks;
use memmap_layouts::{Geometry, PfnRange, X86_64};
use serde::Serialize;

/// What a range loses with one block size, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Bytes before the first block boundary in the range; all of a range without a boundary.
    pub front_bytes: u64,
    /// Bytes behind the last whole block; all behind the boundary in a range without a whole block.
    pub behind_bytes: u64,
    /// Number of whole blocks.
    pub blocks: u64,
}

impl Loss {
    /// Bytes lost in front and behind.
    pub fn bytes(self) -> u64 {
        self.front_bytes + self.behind_bytes
    }
}

/// What a range loses with memory blocks of `block_bytes`, a power of two of at least a page (4 KiB).
///
/// ```
/// use pfnbench::map::inventory::Span;
/// use pfnbench::strand::loss;
///
/// let window = Span::new(0xc0_5000_0000, 0xfc_f000_0000).unwrap();
/// let lost = loss(window, 2 << 30);
/// assert_eq!((lost.front_bytes >> 20, lost.behind_bytes >> 20), (768, 1792));
/// ```
pub fn loss(span: Span, block_bytes: u64) -> Loss {
    let shift = X86_64::PAGE_SHIFT;
    let pages = PfnRange::new(span.start.div_ceil(X86_64::PAGE_SIZE), span.end >> shift);
    let whole = pages.and_then(|pages| whole_blocks(pages, (block_bytes >> shift).max(1)));
    // The end of the range is a u64, so the addresses of its pages are too.
    let (first, end, blocks) = match whole {
        Some(whole) => {
            let (start, end) = (whole.start() << shift, whole.end() << shift);
            (start, end, (end - start) / block_bytes)
        }
        None => {
            let boundary = span.start.checked_next_multiple_of(block_bytes).map_or(span.end, |at| at.min(span.end));
            (boundary, boundary, 0)
        }
    };
    Loss { front_bytes: first - span.start, behind_bytes: span.end - end, blocks }
}

#[cfg(test)]
mod tests {
    use super::super::BLOCK_SIZES;
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    /// Published losses in MiB, by block size.
    ///
    /// Sources: lkml 2503.0/03273 (CXL window), docs.kernel.org/driver-api/cxl/platform/bios-and-efi.html (two
    /// parts around a hole), pmem/ndctl issues 276 and 76, patchwork.kernel.org/comment/23521259 (arm64),
    /// awslabs/damo pull request 84, kata-containers issue 1841, hikalium/liumos issue 18 (NVDIMM-N).
    #[test]
    fn published_ranges_lose_what_is_published() {
        for (first, last, total, lost) in [
            (0xc0_5000_0000, 0xfc_efff_ffff, 248_320, [0, 0, 0, 0, 512, 1536, 2560]),
            (0x1_0000_0000, 0x1_bfff_ffff, 3072, [0, 0, 0, 0, 0, 0, 1024]),
            (0x2_0000_0000, 0x2_3fff_ffff, 1024, [0, 0, 0, 0, 0, 0, 1024]),
            (0x4c_9000_0000, 0x4c_afff_ffff, 512, [0, 0, 0, 0, 512, 512, 512]),
            (0x60_7c00_0000, 0x9f_7bff_ffff, 258_048, [0, 0, 128, 256, 512, 1024, 2048]),
            (0x9f_7c00_0000, 0xde_7bff_ffff, 258_048, [0, 0, 128, 256, 512, 1024, 2048]),
            (0x2_4000_0000, 0x3_3fdf_ffff, 4094, [0, 14, 126, 254, 510, 1022, 2046]),
            (0x1_4820_0000, 0x3_3fff_ffff, 8062, [0, 14, 126, 126, 382, 894, 1918]),
            (0xc800_0000, 0x1_07ff_ffff, 1024, [0, 0, 0, 256, 512, 1024, 1024]),
            (0xc_c000_0000, 0x10_bfff_ffff, 16_384, [0, 0, 0, 0, 0, 0, 2048]),
        ] {
            let span = Span::new(first, last + 1_u64).unwrap();
            assert_eq!(span.bytes() / MIB, total, "{span}");
            let computed = BLOCK_SIZES.map(|block| loss(span, block).bytes() / MIB);
            assert_eq!(computed, lost, "{span}");
        }
    }

    #[test]
    fn a_range_without_a_whole_block_is_split_at_the_boundary_in_it() {
        let lost = |start, end| loss(Span::new(start, end).unwrap(), 128 * MIB);
        assert_eq!(lost(64 * MIB, 192 * MIB), Loss { front_bytes: 64 * MIB, behind_bytes: 64 * MIB, blocks: 0 });
        assert_eq!(lost(MIB, 2 * MIB), Loss { front_bytes: MIB, behind_bytes: 0, blocks: 0 });
        assert_eq!(lost(1, 2).bytes(), 1, "less than a page");
        assert_eq!(lost(u64::MAX - 1, u64::MAX).bytes(), 1);
    }

    #[test]
    fn parts_of_pages_are_lost_too() {
        let lost = loss(Span::new(1, (256 * MIB) + 5).unwrap(), 128 * MIB);
        assert_eq!(lost, Loss { front_bytes: 128 * MIB - 1, behind_bytes: 5, blocks: 1 });
    }

    proptest! {
        #[test]
        fn parts_add_up_and_larger_blocks_never_lose_less(start: u64, len in 1u64.., order in 12u32..40) {
            let Some(span) = start.checked_add(len).and_then(|end| Span::new(start, end)) else { return Ok(()) };
            let (small, large) = (loss(span, 1 << order), loss(span, 2 << order));
            prop_assert_eq!(small.bytes() + (small.blocks << order), span.bytes());
            prop_assert!(small.bytes() <= large.bytes());
            prop_assert!(small.blocks > 0 || small.bytes() < 2 << order);
            if small.blocks > 0 {
                prop_assert!(small.front_bytes < 1 << order && small.behind_bytes < 1 << order);
                prop_assert_eq!((span.start + small.front_bytes) % (1 << order), 0);
            }
        }
    }
}
