//! SPARSEMEM_VMEMMAP with a flat index: one reserved array answers `pfn_valid`.
//!
//! | layout | what `pfn_valid` reads | answer |
//! | --- | --- | --- |
//! | `validmap` ([`ValidMap`]) | a byte for the section; in a section that is valid in part, its bits beside the descriptor | a branch |
//! | `bitmap` ([`Bitmap`]) | a bitmap of valid sub-sections | the value of the bit |
//! | `bitmap-branch` ([`BitmapBranch`]) | the same bitmap | a branch |
//! | `flat-section` ([`FlatSection`]) | the bits beside the descriptor, 16 bytes a section | the value of the bit |
//!
//! Rules, records and hotplug are those of [`Subsection`]; only the index differs ([`FlatIndex`]).
//! The group bitmap of Xen (`pdx_group_valid`) is the same idea for units of 2 GiB or more, without
//! removal.
//!
//! **Load chain** of `pfn_valid`: the byte or the word; `validmap` loads both in a section that is
//! valid in part. The reader holds the base of the array. `pfn_to_page` and `page_to_pfn`: no load.
//!
//! **Cost.** Index: 8 bytes of valid bits, 8 of descriptor and 56 of usage object a section, and a
//! byte of state in `validmap`; all but the usage objects in pages of 4 KiB that are backed on first
//! use, with at least one page of summaries. Records: as `subsection`.
//!
//! **Hotplug.** In units of 2 MiB, as `subsection`.

use crate::flat_index::{Apart, FlatIndex, FlatWords, Inline, Shape, ValidBits};
use crate::geometry::{Geometry, X86_64};
use crate::grace::ReadGuard;
use crate::layouts::subsection::{IndexForm, Subsection};
use crate::layouts::{Family, Visitor};
use crate::memmap::{Load, Lookup, Validity, When};
use crate::page::Page;
use crate::page_record::HotplugRecord;
use crate::pfn::{Pfn, PfnRange};
use crate::placement::InMemory;
use crate::rules::{Merged, Rules};
use crate::section::{Descriptor, SECTION_HAS_MEM_MAP, SectionIndex};
use crate::subsection_map::SubsectionMap;
use std::fmt::Debug;
use std::ptr::NonNull;

/// One byte a section; yes is a branch.
#[doc = include_str!("../../validmap.md")]
pub type ValidMap<G = X86_64> = FlatIndexed<G, StatesByBranch>;
/// One bitmap of valid sub-sections; the answer is the value of the bit.
pub type Bitmap<G = X86_64> = FlatIndexed<G, BitmapByValue>;
/// One bitmap of valid sub-sections; yes is a branch.
pub type BitmapBranch<G = X86_64> = FlatIndexed<G, BitmapByBranch>;
/// Sections of 16 bytes with their valid bits, in a flat array.
pub type FlatSection<G = X86_64> = FlatIndexed<G, SectionsByValue>;

/// VMEMMAP with a flat index.
pub type FlatIndexed<G, F> = Subsection<G, Merged, Page, InMemory, F>;

/// A form of the flat index: its shape, and how it answers.
pub trait FlatForm: Debug + Send + Sync + 'static {
    /// Name of the layout and its description.
    const NAMES: (&'static str, &'static str);
    /// What `pfn_valid` reads, and how a yes depends on it.
    const ANSWER: Answer;
    /// Where states, bits and descriptors are.
    type Shape: Shape;
}

/// What `pfn_valid` reads, and how a yes depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value of the bit.
    Bit,
    /// A branch on the bit.
    BranchOnBit,
    /// A branch on the state of the section, and in a section that is valid in part, on the bit.
    BranchOnState,
}

macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $shape:ty, $answer:ident, $id:literal, $about:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl FlatForm for $name {
            const NAMES: (&'static str, &'static str) = ($id, $about);
            const ANSWER: Answer = Answer::$answer;
            type Shape = $shape;
        }
    };
}

form!(
    /// States first, bits beside the descriptors; a branch on the state.
    StatesByBranch, Inline<true>, BranchOnState,
    "validmap", "VMEMMAP with one byte a section: absent, whole, or in part by its bits; walks skip any hole"
);
form!(
    /// Bits apart; the answer is the value of the bit.
    BitmapByValue, Apart, Bit,
    "bitmap", "VMEMMAP with one flat bitmap of valid sub-sections, whose bit is the answer"
);
form!(
    /// Bits apart; yes is a branch.
    BitmapByBranch, Apart, BranchOnBit,
    "bitmap-branch", "VMEMMAP with one flat bitmap of valid sub-sections, and a branch on its bit"
);
form!(
    /// Bits beside the descriptor; the answer is the value of the bit.
    SectionsByValue, Inline<false>, Bit,
    "flat-section", "VMEMMAP with a flat array of 16-byte sections that hold their sub-section map"
);

const WORD: Load = Load { what: "word of valid bits", line: "valid bits", when: When::Always };
const STATE: Load = Load { what: "state of the section", line: "states", when: When::Always };

impl<F: FlatForm> IndexForm for F {
    const LAYOUT: Option<(&'static str, &'static str)> = Some(F::NAMES);
    // Nothing that `pfn_valid` reads is ever freed.
    const IS_GUARDED: bool = false;
    const PFN_VALID: Option<&'static [Load]> = Some(match F::ANSWER {
        Answer::Bit | Answer::BranchOnBit => &[WORD],
        Answer::BranchOnState => &[STATE, Load { when: When::InPart, ..WORD }],
    });

    type Index<G: Geometry, R: Rules> = FlatIndex<G, F::Shape>;
    type Reader<'a, G: Geometry, R: Rules, T: HotplugRecord> = FlatReader<'a, G, F, T>;

    fn reader<'a, G: Geometry, R: Rules, T: HotplugRecord>(
        index: &'a FlatIndex<G, F::Shape>,
        vmemmap: NonNull<T>,
        guard: ReadGuard<'a>,
    ) -> FlatReader<'a, G, F, T> {
        const {
            assert!(matches!(R::SET.validity, Validity::Subsection { early_is_whole: true }));
            assert!(R::SET.checks_grid && R::SET.populate_first && R::SET.grace_for_records);
        }
        FlatReader { bits: index.valid_bits(), index, vmemmap, _guard: guard }
    }
}

/// The lookups of a flat index. `pfn_valid` takes one load, or two in a section that is valid in part;
/// `pfn_to_page` and `page_to_pfn` take none.
#[derive(Debug)]
pub struct FlatReader<'a, G: Geometry, F: FlatForm, T> {
    bits: ValidBits<G, F::Shape, FlatWords<'a>>,
    index: &'a FlatIndex<G, F::Shape>,
    vmemmap: NonNull<T>,
    _guard: ReadGuard<'a>,
}

// SAFETY: records are backed and written before their valid bits are set, and stay until the bits
// were cleared and a grace period has passed, which this reader holds up. A boot section keeps its
// records as long as its bits are set.
unsafe impl<G: Geometry, F: FlatForm, T: HotplugRecord> Lookup for FlatReader<'_, G, F, T> {
    type Record = T;

    #[inline(always)]
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        match F::ANSWER {
            Answer::Bit => self.bits.bit(pfn.0),
            Answer::BranchOnBit => self.bits.branch_on_bit(pfn.0),
            Answer::BranchOnState => self.bits.branch_on_state(pfn.0),
        }
    }

    #[inline(always)]
    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<T> {
        // SAFETY: a valid pfn lies in the physical space, for all of which the array was reserved.
        unsafe { self.vmemmap.add(pfn.0 as usize) }
    }

    #[inline(always)]
    unsafe fn page_to_pfn(&self, page: NonNull<T>) -> Pfn {
        // SAFETY: the page came from this array.
        Pfn(unsafe { page.offset_from_unsigned(self.vmemmap) } as u64)
    }

    fn section_flags(&self, pfn: Pfn) -> u64 {
        self.index.section(G::section_nr(pfn.0)).map_or(0, Descriptor::word)
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        let Some(section) = self.index.section(G::section_nr(pfn.0)) else { return false };
        // SAFETY: a usage is freed after a grace period, which this reader holds up.
        let usage = unsafe { section.usage() }.filter(|_| section.word() & SECTION_HAS_MEM_MAP != 0);
        usage.is_some_and(|usage| usage.subsection_map.test(G::subsection_index(pfn.0)))
    }

    #[inline(always)]
    fn next_valid_pfn(&self, from: Pfn, end: Pfn) -> Option<Pfn> {
        self.bits.first_valid(from.0, end.0).map(Pfn)
    }

    /// No scan: the summaries say which sections are valid as a whole.
    fn is_contiguous(&self, range: PfnRange, _: u64) -> bool {
        self.bits.first_invalid(range.start(), range.end()).is_none()
    }
}

/// The layouts of the family that take part in a race only when they are named.
#[derive(Clone, Copy, Debug)]
pub struct FlatIndexes;

impl Family for FlatIndexes {
    fn show<G: Geometry>(visitor: &mut impl Visitor<G>) {
        visitor.hotplug::<Bitmap<G>>();
        visitor.hotplug::<BitmapBranch<G>>();
        visitor.hotplug::<FlatSection<G>>();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::conformance::{Outcome, run_family};
    use crate::error::HotplugError;
    use crate::fault::{Faults, Seam};
    use crate::geometry::{GeometryVisitor, for_each_geometry};
    use crate::memmap::{AddParams, BootMap, Config, Hotplug, Inspect, Memmap, RemoveParams};
    use crate::store::{BackedSections, RecordStore};
    use std::collections::BTreeSet;

    #[test]
    fn every_case_holds_for_every_form() {
        let runs = run_family::<FlatIndexes>();
        let failed: Vec<_> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        for id in ["bitmap", "bitmap-branch", "flat-section"] {
            let passed = runs.iter().filter(|run| run.layout == id && run.outcome == Outcome::Passed).count();
            assert!(passed > 40, "{id}: {passed}");
        }
    }

    /// Sections on either side of holes of 1, 63, 4095 and more sections, up to the end of the
    /// space: a walk finds each of them from anywhere, and nothing else.
    #[test]
    fn a_walk_finds_every_section_behind_every_hole() {
        struct Each;
        impl GeometryVisitor for Each {
            fn visit<G: Geometry>(&mut self) {
                check::<ValidMap<G>>();
                check::<Bitmap<G>>();
                check::<FlatSection<G>>();
            }
        }
        fn check<L: Hotplug>() {
            let (s, u) = (L::Geometry::PAGES_PER_SECTION, L::Geometry::PAGES_PER_SUBSECTION);
            let nr_sections = L::Geometry::NR_PFNS / s;
            let store = RecordStore { backed: BackedSections::only([]), ..RecordStore::unlimited() };
            let layout = L::boot(&BootMap::default(), &Config::default(), store).unwrap();
            let near = [1, 2, 4, 63, 64, 65, 127, 4095, 4096, 4097, 8192, 262_143, 262_144];
            let far = [nr_sections / 2, nr_sections - 1];
            let sections: BTreeSet<u64> = near.into_iter().chain(far).filter(|&nr| nr < nr_sections).collect();
            let range = |nr: u64| PfnRange::from_len(nr * s, s).unwrap();
            for &nr in &sections {
                layout.add(range(nr), &AddParams::default(), &mut ()).unwrap();
            }
            // Part of a section, so that it is not whole.
            let part = PfnRange::from_len(3 * s + u, u).unwrap();
            layout.add(part, &AddParams::default(), &mut ()).unwrap();
            let reader = layout.reader();
            let mut at = 0;
            for &nr in &sections {
                if at <= part.start() && part.start() < nr * s {
                    assert_eq!(reader.next_valid_pfn(Pfn(at), Pfn(u64::MAX)), Some(Pfn(part.start())));
                    at = part.end();
                }
                assert_eq!(reader.next_valid_pfn(Pfn(at), Pfn(nr * s)), None, "{} on {}", L::ID, L::Geometry::ID);
                assert_eq!(reader.next_valid_pfn(Pfn(at), Pfn(u64::MAX)), Some(Pfn(nr * s)));
                assert!(reader.is_contiguous(range(nr), u));
                assert!(!reader.is_contiguous(PfnRange::new(at, (nr + 1) * s).unwrap(), u) || at == nr * s);
                at = (nr + 1) * s;
            }
            assert_eq!(reader.next_valid_pfn(Pfn(at), Pfn(u64::MAX)), None);
            assert!(!reader.is_contiguous(PfnRange::new(part.start(), part.end() + u).unwrap(), u));
            drop(reader);
            for &nr in &sections {
                layout.remove(range(nr), &RemoveParams::default(), &mut ()).unwrap();
            }
            assert_eq!(layout.reader().next_valid_pfn(Pfn(part.end()), Pfn(u64::MAX)), None);
        }
        for_each_geometry(&mut Each);
    }

    /// An addition over two pages of descriptors that fails at any page of the array leaves everything
    /// as it was but pages without a section, and can be repeated.
    #[test]
    fn an_addition_without_a_page_of_the_array_changes_nothing() {
        fn check<L: Hotplug<Geometry = X86_64> + Inspect>() {
            let s = X86_64::PAGES_PER_SECTION;
            // Pages of descriptors hold 256 or 512 sections.
            let range = PfnRange::new(1023 * s, 1025 * s).unwrap();
            for nth in 0.. {
                let faults = Faults::planned();
                let store = RecordStore { faults: faults.clone(), ..RecordStore::unlimited() };
                let layout = L::boot(&BootMap::default(), &Config::default(), store).unwrap();
                let before = layout.digest();
                faults.fail(Seam::Root, nth);
                let added = layout.add(range, &AddParams::default(), &mut ());
                let nr_pages = layout.accounting().roots;
                if added.is_ok() {
                    assert!(nth >= 3, "{}: both pages were asked for", L::ID);
                    break;
                }
                assert!(matches!(added, Err(HotplugError::NoMemory { .. })), "{}: {added:?}", L::ID);
                assert_eq!(layout.digest(), before, "{}: page {nth}", L::ID);
                assert!(nr_pages <= 2, "{}: {nr_pages} pages of descriptors", L::ID);
                let valid = |from| layout.reader().next_valid_pfn(Pfn(from), Pfn(u64::MAX));
                assert_eq!((valid(0), layout.section_state(1023), layout.section_state(1024)), (None, None, None));
                layout.add(range, &AddParams::default(), &mut ()).unwrap();
                assert_eq!(valid(0), Some(Pfn(range.start())));
            }
        }
        check::<ValidMap>();
        check::<Bitmap>();
        check::<FlatSection>();
    }

    /// 8192 sections that are valid, one after the other: the answer for all of them follows each
    /// change.
    #[test]
    fn contiguous_memory_is_known_at_every_level() {
        let store = RecordStore { backed: BackedSections::only([]), ..RecordStore::unlimited() };
        let layout: ValidMap = ValidMap::boot(&BootMap::default(), &Config::default(), store).unwrap();
        let (s, u) = (X86_64::PAGES_PER_SECTION, X86_64::PAGES_PER_SUBSECTION);
        let all = PfnRange::from_len(0, 8192 * s).unwrap();
        layout.add(all, &AddParams::default(), &mut ()).unwrap();
        let is_whole = |range| layout.reader().is_contiguous(range, u);
        assert!(is_whole(all));
        assert!(!is_whole(PfnRange::new(s, all.end() + 1).unwrap()));
        for pfn in [0, 5 * s + 3 * u, 4095 * s, 4096 * s, all.end() - u] {
            let part = PfnRange::from_len(pfn, u).unwrap();
            layout.remove(part, &RemoveParams::default(), &mut ()).unwrap();
            assert!(!is_whole(all) && !is_whole(part), "{part}");
            assert!(PfnRange::new(part.end(), all.end()).is_none_or(is_whole));
            assert!(PfnRange::new(0, part.start()).is_none_or(is_whole));
            layout.add(part, &AddParams::default(), &mut ()).unwrap();
            assert!(is_whole(all));
        }
    }
}
