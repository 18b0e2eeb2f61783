//! Loops over lookups, generic over the layout and compiled once for each.
//!
//! A lookup takes less than a nanosecond, so batches are timed, never single calls. A register barrier an operation keeps
//! a loop from being vectorised or optimised away; it costs no instruction. One reader a batch, as a walker would.

use memmap_layouts::{Lookup, Memmap, Page, Pfn};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ptr::NonNull;
use std::str::FromStr;

/// Lookups under one reader.
const BATCH: usize = 1024;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupOp {
    /// Is there a record?
    PfnValid,
    /// Where is the record of a valid pfn?
    PfnToPage,
    /// Whose record is this?
    PageToPfn,
    /// The walker's idiom: valid, then the record, and a look at its flags.
    ValidToPage,
}

impl LookupOp {
    /// All lookups, in the order of reports.
    pub const ALL: [LookupOp; 4] = [Self::PfnValid, Self::PfnToPage, Self::PageToPfn, Self::ValidToPage];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::PfnValid => "pfn_valid",
            Self::PfnToPage => "pfn_to_page",
            Self::PageToPfn => "page_to_pfn",
            Self::ValidToPage => "valid_to_page",
        }
    }

    /// Some layout reads the record for it, so it is driven only where records are backed.
    pub fn reads_records(self) -> bool {
        matches!(self, Self::PageToPfn | Self::ValidToPage)
    }
}

impl fmt::Display for LookupOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LookupOp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|op| op.name() == text)
            .ok_or(format!("no such lookup; there are {}", all.join(", ")))
    }
}

/// Queries for one layout, with the answer that they must add up to.
#[derive(Debug)]
pub struct Prepared {
    op: LookupOp,
    pfns: Vec<Pfn>,
    /// For `page_to_pfn`: the records of `pfns`. They stay as long as their sections do.
    pages: Vec<NonNull<Page>>,
    expected: u64,
}

/// The value in a register, unknown to the optimiser.
#[inline(always)]
fn opaque(mut value: u64) -> u64 {
    // SAFETY: an empty template changes nothing; the operand says that it might.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The same for the address of a record.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block, reason = "the template does not look at what the pointer points to")]
fn opaque_page(page: NonNull<Page>) -> NonNull<Page> {
    let mut address = page.as_ptr();
    // SAFETY: as in `opaque`.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) address, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the template changed nothing, so the address is still not null.
    unsafe { NonNull::new_unchecked(address) }
}

/// Looks the queries up one by one, checks every answer, and adds them up.
///
/// `must_be_valid` are pfns that the oracle knows to be valid for this layout. Where `backed` says that a record can be
/// read, it is, and it must be its pfn's own.
///
/// # Errors
/// The first wrong answer.
pub fn prepare<L: Memmap>(
    layout: &L,
    op: LookupOp,
    must_be_valid: &[Pfn],
    backed: impl Fn(Pfn) -> bool,
) -> Result<Prepared, String> {
    let reader = layout.reader();
    let mut prepared = Prepared { op, pfns: must_be_valid.to_vec(), pages: Vec::new(), expected: 0 };
    for &pfn in must_be_valid {
        if !reader.pfn_valid(pfn) {
            return Err(format!("{}: pfn_valid({:#x}) is false, the oracle says true", L::ID, pfn.0));
        }
        // SAFETY: the pfn is valid under this reader.
        let page = unsafe { reader.pfn_to_page(pfn) };
        let mut flags = 0;
        if backed(pfn) {
            // SAFETY: the record of a valid pfn of a backed section lives as long as the reader.
            let record = unsafe { page.as_ref() };
            // What the info block of a device reserves has records that are never initialised.
            if !(record.is_of(pfn) || L::CAPS.records_on_device.any() && record.is_poisoned()) {
                return Err(format!("{}: pfn_to_page({:#x}) is the record of {:?}", L::ID, pfn.0, record.identity()));
            }
            // SAFETY: as above.
            let back = unsafe { reader.page_to_pfn(page) };
            if back != pfn {
                return Err(format!("{}: page_to_pfn(pfn_to_page({:#x})) is {:#x}", L::ID, pfn.0, back.0));
            }
            flags = record.flags();
        } else if op.reads_records() {
            return Err(format!("{}: {op} was to be driven over unbacked {pfn}", L::ID));
        }
        let answer = match op {
            LookupOp::PfnValid => 1,
            LookupOp::PfnToPage => page.as_ptr().addr() as u64,
            LookupOp::PageToPfn => pfn.0,
            LookupOp::ValidToPage => flags,
        };
        prepared.expected = prepared.expected.wrapping_add(answer);
        if op == LookupOp::PageToPfn {
            prepared.pages.push(page);
        }
    }
    Ok(prepared)
}

impl Prepared {
    /// Lookups in one pass.
    pub fn len(&self) -> u64 {
        self.pfns.len() as u64
    }

    /// True if there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.pfns.is_empty()
    }

    /// The lookup they are for.
    pub fn op(&self) -> LookupOp {
        self.op
    }

    /// What `passes` passes add up to.
    pub fn expected(&self, passes: u64) -> u64 {
        self.expected.wrapping_mul(passes)
    }
}

/// Runs `passes` passes over the queries; the sum of the answers. The layout is the one they were prepared on.
pub fn run<L: Memmap>(layout: &L, prepared: &Prepared, passes: u64) -> u64 {
    let mut sum = 0u64;
    for _ in 0..passes {
        let answers = match prepared.op {
            LookupOp::PfnValid => pfn_valid(layout, &prepared.pfns),
            LookupOp::PfnToPage => pfn_to_page(layout, &prepared.pfns),
            LookupOp::PageToPfn => page_to_pfn(layout, &prepared.pages),
            LookupOp::ValidToPage => valid_to_page(layout, &prepared.pfns),
        };
        sum = sum.wrapping_add(answers);
    }
    sum
}

/// Adds up `lookup` over a batch, four written out at a time: of a loop of three instructions, one would time where the
/// compiler happened to place it. More than four would spill what a reader keeps in registers.
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

/// The same over all queries, with a reader of its own for each batch.
#[inline(always)]
fn sum_in_batches<L: Memmap, T: Copy>(layout: &L, all: &[T], lookup: impl Fn(&L::Reader<'_>, T) -> u64) -> u64 {
    let mut sum = 0u64;
    for batch in all.chunks(BATCH) {
        let reader = layout.reader();
        sum = sum.wrapping_add(sum_of(batch, |query| lookup(&reader, query)));
    }
    sum
}

/// The loop alone, without a lookup: what every figure contains.
#[inline(never)]
pub fn floor(prepared: &Prepared, passes: u64) -> u64 {
    let pass = |_| sum_of(&prepared.pfns, |pfn| opaque(opaque(pfn.0)));
    (0..passes).map(pass).fold(0, u64::wrapping_add)
}

#[inline(never)]
fn pfn_valid<L: Memmap>(layout: &L, pfns: &[Pfn]) -> u64 {
    sum_in_batches(layout, pfns, |reader, pfn| opaque(u64::from(reader.pfn_valid(Pfn(opaque(pfn.0))))))
}

#[inline(never)]
fn pfn_to_page<L: Memmap>(layout: &L, pfns: &[Pfn]) -> u64 {
    sum_in_batches(layout, pfns, |reader, pfn| {
        // SAFETY: `prepare` saw every one of them valid, and nothing is removed while lookups are timed.
        let page = unsafe { reader.pfn_to_page(Pfn(opaque(pfn.0))) };
        opaque(page.as_ptr().addr() as u64)
    })
}

#[inline(never)]
fn page_to_pfn<L: Memmap>(layout: &L, pages: &[NonNull<Page>]) -> u64 {
    sum_in_batches(layout, pages, |reader, page| {
        // SAFETY: `prepare` got them from this layout for valid pfns of backed sections, and nothing is removed while
        // lookups are timed.
        let pfn = unsafe { reader.page_to_pfn(opaque_page(page)) };
        opaque(pfn.0)
    })
}

#[inline(never)]
fn valid_to_page<L: Memmap>(layout: &L, pfns: &[Pfn]) -> u64 {
    sum_in_batches(layout, pfns, |reader, pfn| {
        reader.valid_to_page(Pfn(opaque(pfn.0))).map_or(0, |page| opaque(page.flags()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::{Sparse, Subsection};
    use memmap_layouts::{BootMap, BootRange, Config, PfnRange, RecordStore};

    fn boot<L: Memmap>() -> L {
        let range = PfnRange::new(0x8000, 0x10000).unwrap();
        L::boot(&BootMap::new([BootRange { range, node: 0 }]).unwrap(), &Config::default(), RecordStore::unlimited())
            .unwrap()
    }

    #[test]
    fn every_loop_gives_the_answer_that_was_checked_one_by_one() {
        let (sparse, subsection): (Sparse, Subsection) = (boot(), boot());
        let pfns: Vec<Pfn> = (0x8000..0x10000).step_by(7).map(Pfn).collect();
        for op in LookupOp::ALL {
            let prepared = prepare(&sparse, op, &pfns, |_| true).unwrap();
            assert_eq!(run(&sparse, &prepared, 3), prepared.expected(3), "{op}");
            let prepared = prepare(&subsection, op, &pfns, |_| true).unwrap();
            assert_eq!(run(&subsection, &prepared, 3), prepared.expected(3), "{op}");
        }
    }

    #[test]
    fn a_wrong_answer_is_found_before_anything_is_timed() {
        let layout: Subsection = boot();
        let error = prepare(&layout, LookupOp::PfnValid, &[Pfn(0x7fff)], |_| true).unwrap_err();
        assert!(error.contains("pfn_valid(0x7fff) is false"), "{error}");
        let error = prepare(&layout, LookupOp::PageToPfn, &[Pfn(0x8000)], |_| false).unwrap_err();
        assert!(error.contains("unbacked"), "{error}");
    }
}
