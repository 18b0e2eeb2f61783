//! The timed loops, generic over the layout and compiled once for each.
//!
//! A lookup takes less than a nanosecond, so batches are timed, never single calls. A register
//! barrier for each operation keeps the compiler from vectorising the loop or removing it; it costs
//! no instruction. Each batch has one reader, as a walker in the kernel would.
//!
//! | loop | what the next lookup waits for |
//! | --- | --- |
//! | independent, touching | nothing |
//! | branching | nothing, if the branch on the answer is predicted |
//! | called | nothing; the lookup is a function of its own |
//! | chained | the answer, shifted to zero and added to the next query: two more instructions per lookup |
//! | walk | the page frame that was found |
//! | scan | nothing |

use super::preempt;
use memmap_layouts::{Geometry, Lookup, Memmap, PageRecord, Pfn, PfnRange};
use std::ptr::NonNull;

/// Address of a record, whatever its type.
pub type Record = NonNull<u8>;

/// Lookups under one reader. Slices consist of whole batches.
pub const BATCH: usize = 1024;

/// Returns the value in a register, opaque to the optimiser.
#[inline(always)]
fn opaque(mut value: u64) -> u64 {
    // SAFETY: the template is empty; the operand only tells the compiler that the value may change.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// [`opaque`] for the address of a record.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block, reason = "the template does not look at what the pointer points to")]
fn opaque_page<T>(page: NonNull<T>) -> NonNull<T> {
    let mut address = page.as_ptr();
    // SAFETY: as in `opaque`.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) address, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the template is empty, so the address is still not null.
    unsafe { NonNull::new_unchecked(address) }
}

/// Sums `lookup` over a batch, unrolled four times. In a loop of three instructions, the time would
/// depend on where the compiler places it. A larger factor would spill registers that hold a
/// reader's state.
#[inline(always)]
fn sum_of<T: Copy>(batch: &[T], mut lookup: impl FnMut(T) -> u64) -> u64 {
    let mut sum = 0u64;
    let (fours, rest) = batch.as_chunks::<4>();
    for &[a, b, c, d] in fours {
        sum = sum.wrapping_add(lookup(a));
        sum = sum.wrapping_add(lookup(b));
        sum = sum.wrapping_add(lookup(c));
        sum = sum.wrapping_add(lookup(d));
    }
    for &one in rest {
        sum = sum.wrapping_add(lookup(one));
    }
    sum
}

/// Sums `lookup` over all queries, with a new reader for each batch.
#[inline(always)]
fn in_batches<L: Memmap, T: Copy>(layout: &L, all: &[T], lookup: impl Fn(&L::Reader<'_>, T) -> u64) -> u64 {
    let mut sum = 0u64;
    for batch in all.chunks(BATCH) {
        let reader = layout.reader();
        sum = sum.wrapping_add(sum_of(batch, |query| lookup(&reader, query)));
    }
    sum
}

/// Returns 0, but only once `answer` is available: a data dependency from one lookup to the next.
/// Answers are below 2^63: a bit, a pfn, or a user-space address.
#[inline(always)]
fn carry(answer: u64) -> u64 {
    opaque(answer) >> 63
}

/// As [`in_batches`], but each lookup depends on the previous one. `lookup` gets the query and the
/// value that the last answer adds to it.
#[inline(always)]
fn chained_in_batches<L: Memmap, T: Copy>(
    layout: &L,
    all: &[T],
    lookup: impl Fn(&L::Reader<'_>, T, u64) -> u64,
) -> u64 {
    let (mut sum, mut carried) = (0u64, 0u64);
    for batch in all.chunks(BATCH) {
        let reader = layout.reader();
        sum = sum.wrapping_add(sum_of(batch, |query| {
            let answer = lookup(&reader, query, carried);
            carried = carry(answer);
            answer
        }));
    }
    sum
}

/// The loop without a lookup, whose time is part of every result.
#[inline(never)]
pub fn floor(pfns: &[Pfn]) -> u64 {
    sum_of(pfns, |pfn| opaque(opaque(pfn.0)))
}

/// The loop of chained lookups without a lookup.
#[inline(never)]
pub fn chained_floor(pfns: &[Pfn]) -> u64 {
    let mut carried = 0u64;
    sum_of(pfns, |pfn| {
        let answer = opaque(opaque(pfn.0 + carried));
        carried = carry(answer);
        answer
    })
}

/// Number of valid page frames among `pfns`, with independent lookups.
#[inline(never)]
pub fn pfn_valid<L: Memmap, const PREEMPT: bool>(layout: &L, pfns: &[Pfn]) -> u64 {
    in_batches(layout, pfns, |reader, pfn| {
        opaque(u64::from(preempt::pfn_valid::<L, PREEMPT>(reader, Pfn(opaque(pfn.0)))))
    })
}

/// As [`pfn_valid`], but each query waits for the previous answer.
#[inline(never)]
pub fn pfn_valid_chained<L: Memmap, const PREEMPT: bool>(layout: &L, pfns: &[Pfn]) -> u64 {
    chained_in_batches(layout, pfns, |reader, pfn, carried| {
        u64::from(preempt::pfn_valid::<L, PREEMPT>(reader, Pfn(opaque(pfn.0 + carried))))
    })
}

/// As [`pfn_valid`], with a branch on each answer, as in a walker with `if (pfn_valid(pfn))`.
#[inline(never)]
pub fn pfn_valid_branching<L: Memmap, const PREEMPT: bool>(layout: &L, pfns: &[Pfn]) -> u64 {
    in_batches(layout, pfns, |reader, pfn| {
        // A barrier in only one arm keeps the compiler from turning the branch into arithmetic.
        if preempt::pfn_valid::<L, PREEMPT>(reader, Pfn(opaque(pfn.0))) { opaque(1) } else { 0 }
    })
}

/// As [`pfn_valid`], with a call for each lookup.
#[inline(never)]
pub fn pfn_valid_called<L: Memmap, const PREEMPT: bool>(layout: &L, pfns: &[Pfn]) -> u64 {
    #[inline(never)]
    extern "C" fn one<L: Memmap, const PREEMPT: bool>(reader: &L::Reader<'_>, pfn: u64) -> u64 {
        u64::from(preempt::pfn_valid::<L, PREEMPT>(reader, Pfn(pfn)))
    }
    in_batches(layout, pfns, |reader, pfn| opaque(one::<L, PREEMPT>(reader, opaque(pfn.0))))
}

/// Sum of the addresses of the records, with independent lookups.
///
/// # Safety
/// Every page frame is valid and stays valid during the call.
#[inline(never)]
pub unsafe fn pfn_to_page<L: Memmap>(layout: &L, pfns: &[Pfn]) -> u64 {
    in_batches(layout, pfns, |reader, pfn| {
        // SAFETY: the caller promises that the pfn is valid.
        let page = unsafe { reader.pfn_to_page(Pfn(opaque(pfn.0))) };
        opaque(page.as_ptr().addr() as u64)
    })
}

/// As [`pfn_to_page`], but each query waits for the previous address.
///
/// # Safety
/// As for [`pfn_to_page`].
#[inline(never)]
pub unsafe fn pfn_to_page_chained<L: Memmap>(layout: &L, pfns: &[Pfn]) -> u64 {
    chained_in_batches(layout, pfns, |reader, pfn, carried| {
        // SAFETY: the caller promises that the pfn is valid; `carried` is 0.
        let page = unsafe { reader.pfn_to_page(Pfn(opaque(pfn.0 + carried))) };
        page.as_ptr().addr() as u64
    })
}

/// Sum of the page frames of records, with independent lookups.
///
/// # Safety
/// Every record came from this layout, for a valid page frame of a backed section, and stays.
#[inline(never)]
pub unsafe fn page_to_pfn<L: Memmap>(layout: &L, pages: &[Record]) -> u64 {
    in_batches(layout, pages, |reader, page| {
        // SAFETY: the caller promises that the record is of this layout.
        let pfn = unsafe { reader.page_to_pfn(opaque_page(page.cast())) };
        opaque(pfn.0)
    })
}

/// As [`page_to_pfn`], but each query waits for the previous page frame.
///
/// # Safety
/// As for [`page_to_pfn`].
#[inline(never)]
pub unsafe fn page_to_pfn_chained<L: Memmap>(layout: &L, pages: &[Record]) -> u64 {
    chained_in_batches(layout, pages, |reader, page, carried| {
        // SAFETY: `carried` is 0, so the address is unchanged and not null.
        let page = unsafe { NonNull::new_unchecked(page.as_ptr().map_addr(|address| address + carried as usize)) };
        // SAFETY: the caller promises that the record is of this layout.
        unsafe { reader.page_to_pfn(opaque_page(page.cast())) }.0
    })
}

/// Sum of the flags of the records of the valid page frames; each record is read.
#[inline(never)]
pub fn valid_to_page<L: Memmap, const PREEMPT: bool>(layout: &L, pfns: &[Pfn]) -> u64 {
    in_batches(layout, pfns, |reader, pfn| {
        preempt::valid_to_page::<L, PREEMPT>(reader, Pfn(opaque(pfn.0))).map_or(0, |page| opaque(page.flags()))
    })
}

/// Sum of the addresses of the records of the valid page frames. Each query waits for the previous
/// address, whereas validity is a branch. No record is read.
#[inline(never)]
pub fn valid_to_page_chained<L: Memmap, const PREEMPT: bool>(layout: &L, pfns: &[Pfn]) -> u64 {
    chained_in_batches(layout, pfns, |reader, pfn, carried| {
        let page = preempt::valid_to_page::<L, PREEMPT>(reader, Pfn(opaque(pfn.0 + carried)));
        page.map_or(0, |page| std::ptr::from_ref(page).addr() as u64)
    })
}

/// Sum of the page frames that a walk visits: the first valid one of each sub-section of `range`. The
/// layout skips holes as far as it can.
#[inline(never)]
pub fn walk<L: Memmap>(layout: &L, range: PfnRange) -> u64 {
    let (reader, end) = (layout.reader(), Pfn(range.end()));
    let (mut sum, mut at) = (0u64, range.start());
    while let Some(found) = reader.next_valid_pfn(Pfn(at), end) {
        sum = sum.wrapping_add(opaque(found.0));
        at = ((found.0 >> L::Geometry::PFN_SUBSECTION_SHIFT) + 1) << L::Geometry::PFN_SUBSECTION_SHIFT;
    }
    sum
}

/// Sum of all valid page frames of `range`.
#[inline(never)]
pub fn walk_every_pfn<L: Memmap>(layout: &L, range: PfnRange) -> u64 {
    let (reader, end) = (layout.reader(), Pfn(range.end()));
    let (mut sum, mut at) = (0u64, range.start());
    while let Some(found) = reader.next_valid_pfn(Pfn(at), end) {
        sum = sum.wrapping_add(opaque(found.0));
        at = found.0 + 1;
    }
    sum
}

/// Number of pageblocks of `range` whose first and last page frames are valid. A pageblock has the
/// size of a sub-section, as on x86-64.
#[inline(never)]
pub fn scan_pageblocks<L: Memmap>(layout: &L, range: PfnRange) -> u64 {
    let (reader, block) = (layout.reader(), L::Geometry::PAGES_PER_SUBSECTION);
    let (mut valid, mut at) = (0u64, range.start());
    while at < range.end() {
        let (first, last) = (Pfn(opaque(at)), Pfn(at + block - 1));
        valid += u64::from(reader.pfn_valid(last) && reader.pfn_valid(first));
        at += block;
    }
    valid
}

/// 1 if `range` is contiguous, by blocks of the size of a sub-section.
#[inline(never)]
pub fn is_contiguous<L: Memmap>(layout: &L, range: PfnRange) -> u64 {
    u64::from(layout.reader().is_contiguous(range, L::Geometry::PAGES_PER_SUBSECTION))
}
