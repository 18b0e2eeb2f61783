//! The valid bits of a flat index, and three levels of summaries above them.
//!
//! A summary has a bit for each unit of 1, 64 and 4096 sections that says "some of it is valid", and for
//! each unit of 64 and 4096 sections one that says "all of it is valid". A walk uses the first to skip
//! holes and the second to skip memory. Past a hole it loads at most two words of each level below the
//! top, and of the top level one for each 32 TiB of the hole: at most six words in 46 bits of physical
//! address, 132 in 52.

use super::shape::{ALIGN_WORDS, Shape, State};
use crate::geometry::Geometry;
use crate::memmap::{keep_branch, unlikely};
use crate::pfn::PfnRange;
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use std::marker::PhantomData;
use std::ops::Range;

/// Returns `answer`, and makes yes a branch that was taken.
#[inline(always)]
fn yes_by_branch(answer: bool) -> bool {
    if !answer {
        return false;
    }
    keep_branch();
    true
}

/// An array of words.
pub(crate) trait Words<'a>: Copy {
    /// The word with a number, behind the states. It is in the array.
    fn word(self, at: u64) -> &'a AtomicU64;
    /// The state of a section, if the shape has states.
    fn state(self, nr: u64) -> &'a AtomicU8;
}

/// Levels of summaries. A bit of the top level stands for 4096 sections.
const LEVELS: u32 = 3;

/// What a summary bit says. The value is its place in a pair of words, above the first level.
#[derive(Clone, Copy)]
enum Says {
    SomeValid = 0,
    AllValid = 1,
}

/// Units of a level in the physical address space.
const fn units<G: Geometry>(level: u32) -> u64 {
    G::NR_MEM_SECTIONS.div_ceil(1 << (6 * level))
}

/// First word of a level. The top level is first: on most machines one page has all summaries.
const fn summary_start<G: Geometry>(len_of_shape: u64, level: u32) -> u64 {
    let mut start = len_of_shape;
    let mut above = LEVELS - 1;
    while above > level {
        start += 2 * units::<G>(above).div_ceil(64);
        above -= 1;
    }
    start
}

/// The word of a summary bit.
#[inline(always)]
fn summary_word<G: Geometry, S: Shape>(level: u32, unit: u64, says: Says) -> u64 {
    let start = summary_start::<G>(S::len::<G>(), level);
    if level == 0 { start + unit / 64 } else { start + unit / 64 * 2 + says as u64 }
}

/// Number of words of the whole array.
pub(super) fn len<G: Geometry, S: Shape>() -> u64 {
    let end = summary_start::<G>(S::len::<G>(), 0) + units::<G>(0).div_ceil(64);
    end.next_multiple_of(ALIGN_WORDS)
}

/// The words with the states, valid bits and summaries of some sections.
pub(super) fn words_of<G: Geometry, S: Shape>(sections: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let (first, last) = (sections.start, sections.end - 1);
    let start = S::valid_bit::<G>(G::section_start(first)).0;
    let end = S::valid_bit::<G>(G::section_start(last) + G::PAGES_PER_SECTION - 1).0;
    let summaries = (0..LEVELS).map(move |level| {
        let word = |nr: u64, says| summary_word::<G, S>(level, nr >> (6 * level), says);
        word(first, Says::SomeValid)..word(last, Says::AllValid) + 1
    });
    let states = S::HAS_STATES.then(|| first / 8..last / 8 + 1);
    states.into_iter().chain(std::iter::once(start..end + 1)).chain(summaries)
}

/// The valid bits and their summaries. One writer at a time, any number of readers.
#[derive(Debug)]
pub(crate) struct ValidBits<G, S, W> {
    words: W,
    /// [`END`](Self::END) as a value that the compiler does not know: one comparison with a register,
    /// where a constant of more than 32 bits takes a copy and a shift too.
    end: u64,
    kinds: PhantomData<fn() -> (G, S)>,
}

impl<G, S, W: Copy> Clone for ValidBits<G, S, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G, S, W: Copy> Copy for ValidBits<G, S, W> {}

impl<'a, G: Geometry, S: Shape, W: Words<'a>> ValidBits<G, S, W> {
    /// Page frames of the physical address space.
    pub(crate) const END: u64 = G::NR_MEM_SECTIONS * G::PAGES_PER_SECTION;

    /// `end` is [`END`](Self::END).
    #[inline(always)]
    pub(crate) fn new(words: W, end: u64) -> Self {
        Self { words, end, kinds: PhantomData }
    }

    /// True if a page frame is valid, for any number: the value of its bit. One load.
    #[inline(always)]
    pub(crate) fn bit(self, pfn: u64) -> bool {
        if pfn >= self.end {
            unlikely();
            return false;
        }
        self.bit_below_end(pfn)
    }

    #[inline(always)]
    fn bit_below_end(self, pfn: u64) -> bool {
        let (word, bit) = S::valid_bit::<G>(pfn);
        self.words.word(word).load(Ordering::Acquire) >> bit & 1 != 0
    }

    /// The same, but yes is a branch that was taken, as in a kernel whose callers have `if
    /// (pfn_valid(pfn))`.
    #[inline(always)]
    pub(crate) fn branch_on_bit(self, pfn: u64) -> bool {
        yes_by_branch(self.bit(pfn))
    }

    /// The same by the state of the section, and only in a section that is valid in part by its bit.
    /// Yes is a branch. One load, or two that do not depend on each other.
    #[inline(always)]
    pub(crate) fn branch_on_state(self, pfn: u64) -> bool {
        if pfn >= self.end {
            unlikely();
            return false;
        }
        let state = self.words.state(G::section_nr(pfn)).load(Ordering::Acquire);
        if state < State::Whole as u8 {
            unlikely();
            return state == State::InPart as u8 && yes_by_branch(self.bit_below_end(pfn));
        }
        yes_by_branch(true)
    }

    /// The words that hold the valid bits of a range inside one section, each with the mask of those
    /// bits.
    fn spans(pfns: PfnRange) -> impl Iterator<Item = (u64, u64)> {
        let (first_word, first) = S::valid_bit::<G>(pfns.start());
        let (last_word, last) = S::valid_bit::<G>(pfns.end() - 1);
        (first_word..=last_word).map(move |word| {
            let from = if word == first_word { first } else { 0 };
            let to = if word == last_word { last } else { 63 };
            (word, (u64::MAX >> (63 - (to - from))) << from)
        })
    }

    /// The bits of a section, each word with its mask.
    fn section(self, nr: u64) -> impl Iterator<Item = (u64, u64)> {
        let whole = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION);
        let spans = Self::spans(whole.expect("inside the physical address space"));
        spans.map(move |(word, mask)| (self.words.word(word).load(Ordering::Relaxed), mask))
    }

    fn change(self, pfns: PfnRange, change: impl Fn(u64, u64) -> u64) {
        // Plain loads and stores: only the writer stores.
        for (word, mask) in Self::spans(pfns) {
            let word = self.words.word(word);
            word.store(change(word.load(Ordering::Relaxed), mask), Ordering::Release);
        }
    }

    /// True if all of a section is valid.
    #[inline(always)]
    fn is_whole(self, nr: u64) -> bool {
        if S::HAS_STATES {
            return self.words.state(nr).load(Ordering::Acquire) == State::Whole as u8;
        }
        let whole = PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION);
        let mut spans = Self::spans(whole.expect("inside the physical address space"));
        spans.all(|(word, mask)| self.words.word(word).load(Ordering::Acquire) & mask == mask)
    }

    /// The first section from `nr` on that is not valid as a whole, among 64 that share a summary.
    #[inline(always)]
    fn first_in_part(self, nr: u64) -> Option<u64> {
        let end = (nr / 64 * 64 + 64).min(G::NR_MEM_SECTIONS);
        (nr..end).find(|&nr| !self.is_whole(nr))
    }

    fn summary(self, level: u32, unit: u64, says: Says) -> (&'a AtomicU64, u64) {
        (self.words.word(summary_word::<G, S>(level, unit, says)), 1 << (unit % 64))
    }

    fn set_state(self, nr: u64, state: State) {
        if S::HAS_STATES {
            self.words.state(nr).store(state as u8, Ordering::Release);
        }
    }

    /// Makes page frames of one section valid, then updates its state and the summaries. Writer only;
    /// the words are backed.
    pub(crate) fn show(self, pfns: PfnRange) {
        self.change(pfns, |word, mask| word | mask);
        let nr = G::section_nr(pfns.start());
        let is_whole = self.section(nr).all(|(word, mask)| word & mask == mask);
        self.set_state(nr, if is_whole { State::Whole } else { State::InPart });
        for level in 0..LEVELS {
            let (word, bit) = self.summary(level, nr >> (6 * level), Says::SomeValid);
            let before = word.load(Ordering::Relaxed);
            if before & bit != 0 {
                break;
            }
            word.store(before | bit, Ordering::Release);
        }
        if !is_whole || self.first_in_part(nr / 64 * 64).is_some() {
            return;
        }
        for level in 1..LEVELS {
            let (word, bit) = self.summary(level, nr >> (6 * level), Says::AllValid);
            let after = word.load(Ordering::Relaxed) | bit;
            word.store(after, Ordering::Release);
            if after != u64::MAX {
                break;
            }
        }
    }

    /// Makes page frames of one section invalid. Writer only; the words are backed.
    pub(crate) fn hide(self, pfns: PfnRange) {
        let nr = G::section_nr(pfns.start());
        // From the top: a reader must not find a level that still calls all of it valid.
        for level in (1..LEVELS).rev() {
            let (word, bit) = self.summary(level, nr >> (6 * level), Says::AllValid);
            let before = word.load(Ordering::Relaxed);
            if before & bit != 0 {
                word.store(before & !bit, Ordering::Release);
            }
        }
        self.set_state(nr, State::InPart);
        self.change(pfns, |word, mask| word & !mask);
        if self.section(nr).any(|(word, mask)| word & mask != 0) {
            return;
        }
        self.set_state(nr, State::Absent);
        for level in 0..LEVELS {
            let (word, bit) = self.summary(level, nr >> (6 * level), Says::SomeValid);
            let after = word.load(Ordering::Relaxed) & !bit;
            word.store(after, Ordering::Release);
            if after != 0 {
                break;
            }
        }
    }

    /// The first valid page frame of `from..end`.
    #[inline(always)]
    pub(crate) fn first_valid(self, from: u64, end: u64) -> Option<u64> {
        self.first::<true>(from, end.min(Self::END))
    }

    /// The first page frame of `from..end` that is not valid.
    #[inline(always)]
    pub(crate) fn first_invalid(self, from: u64, end: u64) -> Option<u64> {
        // Beyond the physical address space nothing is valid.
        let beyond = from.max(Self::END);
        self.first::<false>(from, end.min(Self::END)).or((beyond < end).then_some(beyond))
    }

    /// The first page frame of `from..end` that is valid (`VALID`) or not.
    #[inline(always)]
    fn first<const VALID: bool>(self, from: u64, end: u64) -> Option<u64> {
        if from >= end {
            return None;
        }
        match self.first_in_section::<VALID>(from) {
            Some(pfn) => (pfn < end).then_some(pfn),
            None => self.first_behind::<VALID>(G::section_nr(from) + 1, end),
        }
    }

    /// The first one from `pfn` on in its section.
    #[inline(always)]
    fn first_in_section<const VALID: bool>(self, pfn: u64) -> Option<u64> {
        if S::HAS_STATES {
            let state = self.words.state(G::section_nr(pfn)).load(Ordering::Acquire);
            if state != State::InPart as u8 {
                return ((state == State::Whole as u8) == VALID).then_some(pfn);
            }
        }
        self.first_bit_in_section::<VALID>(pfn)
    }

    /// The first one from `pfn` on in its section, by the valid bits.
    #[inline(always)]
    fn first_bit_in_section<const VALID: bool>(self, pfn: u64) -> Option<u64> {
        let wanted = |word| {
            let word = self.words.word(word).load(Ordering::Acquire);
            if VALID { word } else { !word }
        };
        let (mut word, bit) = S::valid_bit::<G>(pfn);
        let mut left = wanted(word) >> bit;
        if left & 1 != 0 {
            return Some(pfn);
        }
        // Sub-sections up to the end of the section, which may share a word with others or have
        // several.
        let mut sub = pfn >> G::PFN_SUBSECTION_SHIFT;
        let end = G::section_start(G::section_nr(pfn) + 1) >> G::PFN_SUBSECTION_SHIFT;
        let mut in_word = 64 - u64::from(bit);
        loop {
            if left != 0 {
                sub += u64::from(left.trailing_zeros());
                return (sub < end).then_some(sub << G::PFN_SUBSECTION_SHIFT);
            }
            sub += in_word;
            if sub >= end {
                return None;
            }
            word += 1;
            (left, in_word) = (wanted(word), 64);
        }
    }

    /// The first one in a section from number `nr` on.
    #[inline(never)]
    fn first_behind<const VALID: bool>(self, mut nr: u64, end: u64) -> Option<u64> {
        loop {
            nr = self.next_section::<VALID>(nr)?;
            let start = G::section_start(nr);
            if start >= end {
                return None;
            }
            match self.first_in_section::<VALID>(start) {
                Some(pfn) => return (pfn < end).then_some(pfn),
                // A writer is between the bits and the summaries.
                None => nr += 1,
            }
        }
    }

    /// The first section from `nr` on of which some is valid (`VALID`), or not all is. Up the levels
    /// while a word has no such unit, and down again.
    #[inline(always)]
    fn next_section<const VALID: bool>(self, nr: u64) -> Option<u64> {
        let (mut level, mut unit) = (0, nr);
        loop {
            if unit >= units::<G>(level) {
                return None;
            }
            if level == 0 && !VALID {
                match self.first_in_part(unit) {
                    Some(nr) => return Some(nr),
                    None => (level, unit) = (1, unit / 64 + 1),
                }
                continue;
            }
            let says = if VALID { Says::SomeValid } else { Says::AllValid };
            let word = self.words.word(summary_word::<G, S>(level, unit, says)).load(Ordering::Acquire);
            let left = if VALID { word } else { !word } >> (unit % 64);
            if left != 0 {
                unit += u64::from(left.trailing_zeros());
                if level == 0 {
                    return Some(unit);
                }
                (level, unit) = (level - 1, unit * 64);
            } else if level + 1 < LEVELS {
                (level, unit) = (level + 1, unit / 64 + 1);
            } else {
                unit = (unit / 64 + 1) * 64;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::shape::{Apart, Inline};
    use super::*;
    use crate::geometry::{X86_64, X86_64La57};
    use std::cell::Cell;
    use std::collections::BTreeMap;

    /// The words of a few sections, and how many words were asked for.
    #[derive(Default)]
    struct Counted {
        words: BTreeMap<u64, AtomicU64>,
        states: BTreeMap<u64, AtomicU8>,
        no_word: AtomicU64,
        no_state: AtomicU8,
        asked: Cell<u64>,
    }

    impl<'a> Words<'a> for &'a Counted {
        fn word(self, at: u64) -> &'a AtomicU64 {
            self.asked.set(self.asked.get() + 1);
            self.words.get(&at).unwrap_or(&self.no_word)
        }

        fn state(self, nr: u64) -> &'a AtomicU8 {
            self.states.get(&nr).unwrap_or(&self.no_state)
        }
    }

    /// The largest hole of a physical address space costs as many words as the module says.
    #[test]
    fn a_walk_past_the_largest_hole_loads_few_words() {
        fn words_of_a_walk<G: Geometry, S: Shape>() -> u64 {
            let mut table = Counted::default();
            let sections = [0, G::NR_MEM_SECTIONS - 1];
            for nr in sections {
                table.words.extend(words_of::<G, S>(nr..nr + 1).flatten().map(|word| (word, AtomicU64::new(0))));
                table.states.insert(nr, AtomicU8::new(0));
            }
            let bits = ValidBits::<G, S, _>::new(&table, ValidBits::<G, S, &Counted>::END);
            let section = |nr| PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION).unwrap();
            sections.into_iter().for_each(|nr| bits.show(section(nr)));
            table.asked.set(0);
            let found = bits.first_valid(section(sections[0]).end(), u64::MAX);
            assert_eq!(found, Some(section(sections[1]).start()));
            table.asked.get()
        }
        assert_eq!(words_of_a_walk::<X86_64, Inline<true>>(), 6);
        assert_eq!(words_of_a_walk::<X86_64La57, Inline<true>>(), 132);
        // Without states, the bits of the section on either side too.
        assert_eq!(words_of_a_walk::<X86_64, Apart>(), 8);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::super::shape::Inline;
    use super::*;
    use crate::geometry::X86_64;
    use loom::sync::Arc;
    use loom::thread;

    type Bits<'a> = ValidBits<X86_64, Inline<true>, &'a Table>;

    const SECTION: u64 = X86_64::PAGES_PER_SECTION;
    /// The section that comes and goes, and a sub-section in its middle.
    const NR: u64 = 70;
    const PFN: u64 = NR * SECTION + 5 * X86_64::PAGES_PER_SUBSECTION;

    /// The words that the tests use, by number, and the states of sections.
    struct Table {
        words: Vec<(u64, AtomicU64)>,
        states: Vec<(u64, AtomicU8)>,
        /// The state of any other section.
        absent: AtomicU8,
    }

    impl<'a> Words<'a> for &'a Table {
        fn word(self, at: u64) -> &'a AtomicU64 {
            &self.words.iter().find(|(nr, _)| *nr == at).expect("a word of the test").1
        }

        fn state(self, nr: u64) -> &'a AtomicU8 {
            self.states.iter().find(|(section, _)| *section == nr).map_or(&self.absent, |(_, state)| state)
        }
    }

    fn bits(table: &Table) -> Bits<'_> {
        Bits::new(table, Bits::END)
    }

    impl Table {
        fn new(sections: &[u64]) -> Self {
            let summaries = (0..LEVELS).flat_map(|level| {
                let units = [0..3, 0..1, 0..2][level as usize].clone();
                units.flat_map(move |word| {
                    [Says::SomeValid, Says::AllValid]
                        .map(|says| summary_word::<X86_64, Inline<true>>(level, word * 64, says))
                })
            });
            let bits = sections.iter().map(|nr| Inline::<true>::valid_bit::<X86_64>(nr * SECTION).0);
            Self {
                words: bits.chain(summaries).map(|nr| (nr, AtomicU64::new(0))).collect(),
                states: sections.iter().map(|&nr| (nr, AtomicU8::new(0))).collect(),
                absent: AtomicU8::new(0),
            }
        }
    }

    fn section(nr: u64) -> PfnRange {
        PfnRange::from_len(nr * SECTION, SECTION).unwrap()
    }

    fn sub_section() -> PfnRange {
        PfnRange::from_len(PFN, X86_64::PAGES_PER_SUBSECTION).unwrap()
    }

    /// Runs a writer beside a reader, in every interleaving. `set` runs before both.
    fn beside(
        sections: &'static [u64],
        set: fn(Bits<'_>),
        write: fn(Bits<'_>, &AtomicU64),
        read: fn(Bits<'_>, &AtomicU64),
    ) {
        loom::model(move || {
            // The record of the sub-section: 1 while it may be read.
            let shared = Arc::new((Table::new(sections), AtomicU64::new(0)));
            set(bits(&shared.0));
            let reader = thread::spawn({
                let shared = Arc::clone(&shared);
                move || read(bits(&shared.0), &shared.1)
            });
            write(bits(&shared.0), &shared.1);
            reader.join().unwrap();
        });
    }

    #[test]
    fn valid_bits_announce_the_record() {
        let write = |bits: Bits<'_>, record: &AtomicU64| {
            record.store(1, Ordering::Relaxed);
            bits.show(sub_section());
        };
        beside(
            &[NR],
            |_| (),
            write,
            |bits, record| {
                if bits.branch_on_state(PFN) {
                    assert_eq!(record.load(Ordering::Relaxed), 1);
                }
            },
        );
    }

    /// A walk finds what is being added, or nothing yet; never a page frame that is not valid.
    #[test]
    fn valid_bits_are_walked_beside_an_addition() {
        let write = |bits: Bits<'_>, record: &AtomicU64| {
            record.store(1, Ordering::Relaxed);
            bits.show(sub_section());
            assert_eq!(bits.first_valid(SECTION, u64::MAX), Some(PFN), "added, so a walk finds it");
        };
        beside(
            &[1, NR],
            |_| (),
            write,
            |bits, record| match bits.first_valid(SECTION, u64::MAX) {
                None => {}
                found => {
                    assert_eq!(found, Some(PFN));
                    assert_eq!(record.load(Ordering::Relaxed), 1);
                }
            },
        );
    }

    /// Beside the removal of the only section behind it, a walk ends at the section or finds it.
    #[test]
    fn valid_bits_are_walked_beside_a_removal() {
        let set = |bits: Bits<'_>| bits.show(section(NR));
        let write = |bits: Bits<'_>, _: &AtomicU64| {
            bits.hide(section(NR));
            assert_eq!(bits.first_valid(SECTION, u64::MAX), None);
        };
        beside(&[1, NR], set, write, |bits, _| {
            let found = bits.first_valid(SECTION, u64::MAX);
            assert!(found.is_none_or(|pfn| pfn == NR * SECTION), "{found:?}");
        });
    }

    /// Sections that are valid, from which a sub-section is removed.
    fn contiguous_beside(remove: fn(Bits<'_>)) {
        // The last of 64 that share a summary, and the next 64.
        const FIRST: u64 = 62;
        const ALL: [u64; 66] = {
            let mut all = [0; 66];
            let mut at = 0;
            while at < 66 {
                all[at] = FIRST + at as u64;
                at += 1;
            }
            all
        };
        let set = |bits: Bits<'_>| ALL.into_iter().for_each(|nr| bits.show(section(nr)));
        // The states of 64 sections are read, so that there are too many interleavings for all of them:
        // those with up to three preemptions are tried.
        let mut model = loom::model::Builder::new();
        (model.max_branches, model.preemption_bound) = (100_000, Some(3));
        model.check(move || {
            let table = Arc::new(Table::new(&ALL));
            set(bits(&table));
            let reader = thread::spawn({
                let table = Arc::clone(&table);
                move || {
                    let bits = bits(&table);
                    let gone = !bits.branch_on_state(PFN);
                    let whole = bits.first_invalid(FIRST * SECTION, 128 * SECTION).is_none();
                    assert!(!(gone && whole), "contiguous after a part was seen to be gone");
                }
            });
            remove(bits(&table));
            reader.join().unwrap();
        });
    }

    #[test]
    fn valid_bits_that_are_gone_are_in_no_contiguous_range() {
        contiguous_beside(|bits| bits.hide(sub_section()));
    }

    #[test]
    #[should_panic(expected = "contiguous after a part was seen to be gone")]
    fn valid_bits_that_go_before_their_summaries_are_found_by_the_model() {
        contiguous_beside(|bits| {
            bits.set_state(NR, State::InPart);
            bits.change(sub_section(), |word, mask| word & !mask);
            bits.hide(sub_section());
        });
    }

    /// What a summary calls valid as a whole is valid.
    #[test]
    fn valid_bits_of_a_contiguous_range_are_set() {
        let set = |bits: Bits<'_>| bits.show(PfnRange::new(NR * SECTION, PFN).unwrap());
        let write = |bits: Bits<'_>, record: &AtomicU64| {
            record.store(1, Ordering::Relaxed);
            bits.show(PfnRange::new(PFN, (NR + 1) * SECTION).unwrap());
        };
        beside(&[NR - 1, NR], set, write, |bits, record| {
            if bits.first_invalid(NR * SECTION, (NR + 1) * SECTION).is_none() {
                assert_eq!(record.load(Ordering::Relaxed), 1);
            }
        });
    }
}
