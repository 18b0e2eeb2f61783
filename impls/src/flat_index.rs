//! A flat index: one reserved array that holds, for the whole physical address space, what lookups
//! read of a section.
//!
//! ```text
//!  validmap:      | states, a byte a section | descriptor 0, valid bits 0 | descriptor 1, valid bits 1 | … | summaries |
//!  flat-section:  | descriptor 0, valid bits 0 | descriptor 1, valid bits 1 | …                            | summaries |
//!  bitmap:        | valid bits of sections 0, 1, 2 … | descriptors 0, 1, 2 …                               | summaries |
//! ```
//!
//! A descriptor has 8 bytes: the usage pointer, shifted, and the flags. A valid bit stands for 2 MiB.
//! The bits of a boot section are all ones while the section is there, so that one load answers for
//! boot and added memory. The map in the usage object says what of the section is present, which
//! `pfn_to_online_page` reads.
//!
//! Nothing in the array is ever freed or moved, so lookups hold no guard. Pages without a section
//! have no memory: they read as zero, as Linux maps one page of zeroes for the shadow of KASAN. A
//! page is backed when the first of its sections is added, and stays. What is published and hidden
//! in which order, and what readers may see, is described at
//! [`ValidMap`](crate::layouts::ValidMap).

mod paged_words;
mod shape;
mod valid_bits;

pub use shape::{Apart, Inline, Shape};
pub(crate) use valid_bits::ValidBits;

use crate::error::BootError;
use crate::fault::{Faults, Seam};
use crate::geometry::Geometry;
use crate::index_memory::IndexMemory;
use crate::memmap::Config;
use crate::pfn::PfnRange;
use crate::section::{Descriptor, NoMemory, PackedSection, SectionIndex, Usages};
use crate::store::RecordStore;
use paged_words::PagedWords;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use valid_bits::Words;

/// The array of a layout, and the usage objects that its descriptors point to.
#[derive(Debug)]
pub struct FlatIndex<G: Geometry, S: Shape> {
    words: PagedWords,
    usages: Usages<G::SubsectionMap>,
    /// A bit for each page of descriptors whose sections have all their memory. The page itself may be
    /// backed before, in a huge page.
    complete: Box<[AtomicU64]>,
    nr_pages_of_descriptors: AtomicU64,
    /// End of the physical address space, as a page frame.
    end: u64,
    faults: Faults,
    shape: PhantomData<fn() -> S>,
}

/// The array as a reader holds it.
#[derive(Debug)]
pub(crate) struct FlatWords<'a> {
    base: NonNull<crate::sync::AtomicU64>,
    lifetime: PhantomData<&'a PagedWords>,
}

impl Clone for FlatWords<'_> {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for FlatWords<'_> {}

impl<'a> Words<'a> for FlatWords<'a> {
    #[inline(always)]
    fn word(self, at: u64) -> &'a crate::sync::AtomicU64 {
        // SAFETY: `ValidBits` asks for words of sections in the physical address space and their
        // summaries, for all of which the array was reserved. Words without memory read as zero.
        unsafe { self.base.add(at as usize).as_ref() }
    }

    #[inline(always)]
    fn state(self, nr: u64) -> &'a crate::sync::AtomicU8 {
        // SAFETY: as for words. The states come first, and nobody accesses them as words.
        unsafe { self.base.cast::<crate::sync::AtomicU8>().add(nr as usize).as_ref() }
    }
}

impl<G: Geometry, S: Shape> FlatIndex<G, S> {
    /// The array for a reader.
    pub(crate) fn valid_bits(&self) -> ValidBits<G, S, FlatWords<'_>> {
        ValidBits::new(FlatWords { base: self.words.base().cast(), lifetime: PhantomData }, self.end)
    }

    /// The sections whose descriptors lie in one page with that of section `nr`.
    fn neighbours(&self, nr: u64) -> Range<u64> {
        let page = self.words.words_per_page();
        let first = S::descriptor::<G>(nr) / page * page;
        let start = S::section_of::<G>(first);
        start..S::section_of::<G>(first + page).min(G::NR_MEM_SECTIONS)
    }

    /// The bit of [`complete`](Self::complete) for the page of a section's descriptor.
    fn complete(&self, nr: u64) -> (&AtomicU64, u64) {
        let page = (S::descriptor::<G>(nr) - S::descriptor::<G>(0)) / self.words.words_per_page();
        (&self.complete[(page / 64) as usize], 1 << (page % 64))
    }

    fn is_complete(&self, nr: u64) -> bool {
        let (word, bit) = self.complete(nr);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn descriptor(&self, nr: u64) -> &PackedSection<G::SubsectionMap> {
        // SAFETY: the array has a descriptor for each section; callers checked the number. Zeroed
        // memory is a blank descriptor.
        unsafe { self.words.base().add(S::descriptor::<G>(nr) as usize).cast().as_ref() }
    }
}

impl<G: Geometry, S: Shape> SectionIndex<G> for FlatIndex<G, S> {
    type Section = PackedSection<G::SubsectionMap>;

    fn new(nr_boot_sections: usize, config: &Config, store: &RecordStore) -> Result<Self, BootError> {
        let words = valid_bits::len::<G, S>();
        let usages = Usages::<G::SubsectionMap>::most_bytes(nr_boot_sections, G::NR_MEM_SECTIONS);
        let memory = IndexMemory::reserve(usages, config, store)?;
        let words = PagedWords::reserve(words, config, store)?;
        let descriptors = S::descriptor::<G>(G::NR_MEM_SECTIONS - 1) + 1 - S::descriptor::<G>(0);
        let nr_pages = descriptors.div_ceil(words.words_per_page());
        Ok(Self {
            words,
            usages: Usages::new(memory, nr_boot_sections, store.faults.clone())?,
            complete: std::iter::repeat_with(AtomicU64::default).take(nr_pages.div_ceil(64) as usize).collect(),
            nr_pages_of_descriptors: AtomicU64::new(0),
            end: ValidBits::<G, S, FlatWords<'_>>::END,
            faults: store.faults.clone(),
            shape: PhantomData,
        })
    }

    #[inline]
    fn section(&self, nr: u64) -> Option<&Self::Section> {
        (nr < G::NR_MEM_SECTIONS).then(|| self.descriptor(nr))
    }

    /// Backs the pages for all sections whose descriptors lie in one page, or none of them.
    fn section_or_new(&self, nr: u64) -> Result<&Self::Section, NoMemory> {
        assert!(nr < G::NR_MEM_SECTIONS, "section {nr} is above the physical address space");
        if !self.is_complete(nr) {
            let descriptor = S::descriptor::<G>(nr);
            let sections = self.neighbours(nr);
            let parts = valid_bits::words_of::<G, S>(sections).chain(std::iter::once(descriptor..descriptor + 1));
            let allow = || self.faults.allow(Seam::Root);
            self.words.back(parts, allow).map_err(|_| NoMemory("a page of section descriptors"))?;
            let (word, bit) = self.complete(nr);
            word.fetch_or(bit, Ordering::Relaxed);
            self.nr_pages_of_descriptors.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.descriptor(nr))
    }

    fn sections(&self) -> impl Iterator<Item = (u64, &Self::Section)> {
        let step = self.neighbours(0).end.max(1) as usize;
        let pages = (0..G::NR_MEM_SECTIONS).step_by(step);
        let complete = pages.filter(|&nr| self.is_complete(nr));
        complete.flat_map(|nr| self.neighbours(nr).map(|nr| (nr, self.descriptor(nr))))
    }

    fn usages(&self) -> &Usages<G::SubsectionMap> {
        &self.usages
    }

    fn nr_pages_of_descriptors(&self) -> u64 {
        self.nr_pages_of_descriptors.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.words.bytes() + self.usages.bytes()
    }

    fn bytes_in_huge_pages(&self) -> Option<u64> {
        Some(self.usages.bytes_in_huge_pages()? + self.words.bytes_in_huge_pages()?)
    }

    fn show(&self, pfns: PfnRange) {
        self.valid_bits().show(pfns);
    }

    fn hide(&self, pfns: PfnRange) {
        self.valid_bits().hide(pfns);
    }
}

impl<G: Geometry, S: Shape> Drop for FlatIndex<G, S> {
    fn drop(&mut self) {
        for (_, section) in self.sections() {
            // SAFETY: `&mut self` says that no reader is left.
            unsafe { self.usages.retire(section.usage_ptr()) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::geometry::{Arm64Pages64K, GeometryVisitor, X86_64, for_each_geometry};
    use crate::memmap::IndexPages;
    use crate::section::SECTION_HAS_MEM_MAP;

    fn index<S: Shape>(pages: IndexPages) -> (FlatIndex<X86_64, S>, RecordStore) {
        let store = RecordStore::unlimited();
        let config = Config { index_pages: pages, ..Config::default() };
        (FlatIndex::new(2, &config, &store).unwrap(), store)
    }

    #[test]
    fn a_page_of_descriptors_is_backed_once_with_what_belongs_to_it() {
        let (index, store) = index::<Apart>(IndexPages::Base);
        let empty = index.bytes();
        assert_eq!(empty, 2 * 56, "usages of boot sections alone");
        index.section_or_new(600).unwrap().set_word(SECTION_HAS_MEM_MAP);
        let page = rustix::param::page_size() as u64;
        // Descriptors, valid bits, and the summaries, which lie in one page as far as this.
        assert_eq!((index.bytes() - empty, index.nr_pages_of_descriptors()), (3 * page, 1));
        let last = page / 8 * (600 / (page / 8) + 1) - 1;
        index.section_or_new(last).unwrap();
        assert_eq!(index.bytes() - empty, 3 * page);
        assert_eq!(index.bytes(), store.index.bytes());
        let there: Vec<u64> = index.sections().filter(|(_, s)| s.word() != 0).map(|(nr, _)| nr).collect();
        assert_eq!(there, [600]);
        drop(index);
        assert_eq!(store.index.bytes(), 0);
    }

    /// More addresses than the machine has: an error with its size, and nothing stays mapped.
    #[test]
    fn an_array_without_address_space_is_an_error() {
        let error = PagedWords::reserve(1 << 50, &Config::default(), &RecordStore::unlimited()).unwrap_err();
        let error = BootError::from(error).to_string();
        assert!(error.contains("cannot reserve") && error.contains("of address space"), "{error}");
    }

    /// The index is as before, whichever page has no memory.
    #[test]
    fn a_page_without_memory_leaves_nothing_behind() {
        let store = RecordStore { faults: Faults::planned(), ..RecordStore::unlimited() };
        let index = FlatIndex::<X86_64, Apart>::new(0, &Config::default(), &store).unwrap();
        for nth in 0..3 {
            store.faults.fail(Seam::Root, nth);
            assert!(index.section_or_new(9).is_err(), "page {nth}");
            assert_eq!((index.bytes(), index.nr_pages_of_descriptors(), index.sections().count()), (0, 0, 0));
        }
        assert!(index.section_or_new(9).is_ok());
    }

    #[test]
    fn every_descriptor_and_every_bit_has_a_word_of_its_own() {
        struct Each;
        impl GeometryVisitor for Each {
            fn visit<G: Geometry>(&mut self) {
                check::<G, Apart>();
                check::<G, Inline<false>>();
                check::<G, Inline<true>>();
            }
        }
        fn check<G: Geometry, S: Shape>() {
            let sections = [0, 1, 2, 63, 64, 1000, G::NR_MEM_SECTIONS - 1];
            let mut bits = std::collections::BTreeSet::new();
            let mut descriptors = std::collections::BTreeSet::new();
            let mut nr_bits = 0;
            for nr in sections {
                let start = G::section_start(nr);
                for sub in 0..u64::from(G::SUBSECTIONS_PER_SECTION) {
                    bits.insert(S::valid_bit::<G>(start + sub * G::PAGES_PER_SUBSECTION));
                    nr_bits += 1;
                }
                descriptors.insert(S::descriptor::<G>(nr));
                assert_eq!(S::section_of::<G>(S::descriptor::<G>(nr)), nr, "{}", G::ID);
            }
            assert_eq!((bits.len(), descriptors.len()), (nr_bits, sections.len()), "{}", G::ID);
            assert!(bits.iter().all(|(word, bit)| *bit < 64 && !descriptors.contains(word)), "{}", G::ID);
            let end = valid_bits::len::<G, S>();
            assert!(bits.iter().all(|(word, _)| *word < end) && descriptors.iter().all(|word| *word < end));
        }
        for_each_geometry(&mut Each);
    }

    /// Adds a section for each page of descriptors, from 0 up to 64 TiB, and checks that all their memory is
    /// backed. Returns the bytes in huge pages, or `None` if the machine cannot have any.
    fn in_huge_pages<S: Shape>(faults: Faults) -> Option<u64> {
        let store = RecordStore { faults, ..RecordStore::unlimited() };
        let config = Config { index_pages: IndexPages::Huge, ..Config::default() };
        let index = FlatIndex::<X86_64, S>::new(0, &config, &store).unwrap();
        if !index.words.may_be_huge() {
            eprintln!("skipped: this machine has no transparent huge pages of 2 MiB");
            return None;
        }
        let sections: Vec<u64> = (0..X86_64::NR_MEM_SECTIONS).step_by(index.neighbours(0).end as usize).collect();
        for &nr in &sections {
            index.section_or_new(nr).unwrap().set_word(SECTION_HAS_MEM_MAP);
            let parts = valid_bits::words_of::<X86_64, S>(index.neighbours(nr));
            parts.for_each(|words| assert!(words.into_iter().all(|word| index.words.is_backed(word)), "section {nr}"));
            index.show(PfnRange::from_len(X86_64::section_start(nr), X86_64::PAGES_PER_SECTION).unwrap());
        }
        assert!(sections.iter().all(|&nr| index.section(nr).unwrap().word() == SECTION_HAS_MEM_MAP));
        assert!(sections.iter().all(|&nr| index.valid_bits().bit(X86_64::section_start(nr))));
        assert_eq!(index.nr_pages_of_descriptors(), sections.len() as u64);
        assert_eq!(index.bytes(), store.index.bytes());
        let huge = index.words.bytes_in_huge_pages().unwrap();
        assert!(index.words.bytes() >= huge);
        Some(huge)
    }

    /// A block of 2 MiB becomes a huge page once three quarters of it are backed. Its contents stay, and
    /// what lies in other blocks is backed as before.
    #[test]
    fn a_block_becomes_huge_when_most_of_it_is_backed() {
        for huge in [
            in_huge_pages::<Apart>(Faults::none()),
            in_huge_pages::<Inline<false>>(Faults::none()),
            in_huge_pages::<Inline<true>>(Faults::none()),
        ] {
            match huge {
                Some(0) => eprintln!("skipped: the kernel found no free huge page, or cannot collapse pages"),
                huge => assert!(huge.is_none_or(|bytes| bytes >= 2 << 20), "{huge:?}"),
            }
        }
    }

    #[test]
    fn without_a_huge_page_the_index_stays_in_base_pages() {
        let faults = Faults::planned();
        faults.fail(Seam::HugePage, 0);
        if let Some(huge) = in_huge_pages::<Apart>(faults.clone()) {
            // The first block got none; whether others did depends on the machine.
            let blocks = faults.asked(Seam::HugePage);
            assert!(blocks >= 1 && huge <= (blocks - 1) << 21, "{huge} bytes of {blocks} blocks");
        }
    }

    #[test]
    fn sections_of_several_words_are_shown_as_a_whole() {
        type G = Arm64Pages64K;
        let store = RecordStore::unlimited();
        let index = FlatIndex::<G, Inline<true>>::new(0, &Config::default(), &store).unwrap();
        index.section_or_new(3).unwrap();
        let section = PfnRange::from_len(G::section_start(3), G::PAGES_PER_SECTION).unwrap();
        index.show(section);
        let bits = index.valid_bits();
        assert!((section.start()..section.end()).all(|pfn| bits.bit(pfn)));
        assert_eq!(bits.first_invalid(section.start(), u64::MAX), Some(section.end()));
        index.hide(section);
        assert_eq!(bits.first_valid(0, u64::MAX), None);
    }
}
