//! The reference model that every layout is compared with: sets of numbers without tables, atomics
//! or records.

use crate::geometry::Geometry;
use crate::memmap::{BootMap, Lookup, Validity};
use crate::pfn::{Pfn, PfnRange};
use std::collections::BTreeSet;
use std::marker::PhantomData;

/// The sub-sections that are present, and the sections that are early.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::oracle::Oracle;
/// use memmap_layouts::{BootMap, BootRange, Config, Memmap, Pfn, PfnRange, RecordStore, X86_64};
///
/// // 1 MiB less than two sections.
/// let ram = BootRange { range: PfnRange::from_len(0, 0xff00).unwrap(), node: 0 };
/// let map = BootMap::new([ram])?;
/// let layout = <Subsection>::boot(&map, &Config::default(), RecordStore::unlimited())?;
/// let oracle = Oracle::<X86_64>::boot(&map);
/// let validity = <Subsection>::CAPS.validity;
/// assert_eq!(oracle.compare(validity, &layout.reader(), &oracle.probes()), Ok(()));
/// // Boot sections are valid as a whole, holes included.
/// assert!(oracle.pfn_valid(validity, Pfn(0xffff)) && !oracle.pfn_valid(validity, Pfn(0x10000)));
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Oracle<G> {
    /// Present sub-sections as runs `[start, end)`, counted from pfn 0; sorted, never adjacent.
    active: Vec<(u64, u64)>,
    /// Sections of boot memory that have never been emptied.
    early: BTreeSet<u64>,
    /// The pfns `[start, end)` of FLATMEM's array.
    span: (u64, u64),
    /// Pages of boot memory, in order.
    boot: Vec<PfnRange>,
    geometry: PhantomData<G>,
}

/// A pfn for which a layout's `pfn_valid` differs from the oracle's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The pfn that was queried.
    pub pfn: Pfn,
    /// The oracle's answer; the layout gave the opposite.
    pub expected: bool,
}

impl<G: Geometry> Oracle<G> {
    /// The state of a machine that has booted with `map`.
    pub fn boot(map: &BootMap) -> Self {
        let mut oracle = Self {
            active: Vec::new(),
            early: map.sections::<G>().into_iter().map(|(nr, _)| nr).collect(),
            span: (G::ARCH_PFN_OFFSET, map.end_pfn().max(G::ARCH_PFN_OFFSET)),
            boot: map.ranges().iter().map(|boot| boot.range).collect(),
            geometry: PhantomData,
        };
        for boot in map.ranges() {
            oracle.insert(Self::subsections(boot.range));
        }
        oracle
    }

    fn subsections(range: PfnRange) -> (u64, u64) {
        let whole = range.round_out(G::PAGES_PER_SUBSECTION);
        (whole.start() >> G::PFN_SUBSECTION_SHIFT, whole.end() >> G::PFN_SUBSECTION_SHIFT)
    }

    /// Runs that overlap or adjoin `[start, end)`, as indices into `active`.
    fn touching(&self, (start, end): (u64, u64)) -> std::ops::Range<usize> {
        let first = self.active.partition_point(|run| run.1 < start);
        first..first + self.active[first..].partition_point(|run| run.0 <= end)
    }

    fn insert(&mut self, mut new: (u64, u64)) {
        let at = self.touching(new);
        for run in &self.active[at.clone()] {
            new = (new.0.min(run.0), new.1.max(run.1));
        }
        self.active.splice(at, [new]);
    }

    fn is_active(&self, subsection: u64) -> bool {
        let at = self.active.partition_point(|run| run.1 <= subsection);
        self.active.get(at).is_some_and(|run| run.0 <= subsection)
    }

    /// True if any sub-section of `range` is present.
    pub fn any_active(&self, range: PfnRange) -> bool {
        let (start, end) = Self::subsections(range);
        let at = self.active.partition_point(|run| run.1 <= start);
        self.active.get(at).is_some_and(|run| run.0 < end)
    }

    /// True if every sub-section of `range` is present.
    pub fn all_active(&self, range: PfnRange) -> bool {
        let (start, end) = Self::subsections(range);
        let at = self.active.partition_point(|run| run.1 <= start);
        start == end || self.active.get(at).is_some_and(|run| run.0 <= start && end <= run.1)
    }

    /// Adds `range`. Returns false and changes nothing if it is empty or any of it is present.
    pub fn add(&mut self, range: PfnRange) -> bool {
        let free = !range.is_empty() && !self.any_active(range);
        if free {
            self.insert(Self::subsections(range));
        }
        free
    }

    /// Removes `range`. Returns false and changes nothing if it is empty or any of it is absent.
    pub fn remove(&mut self, range: PfnRange) -> bool {
        if range.is_empty() || !self.all_active(range) {
            return false;
        }
        let (start, end) = Self::subsections(range);
        let at = self.active.partition_point(|run| run.1 <= start);
        let run = self.active[at];
        let left = [(run.0, start), (end, run.1)];
        self.active.splice(at..=at, left.into_iter().filter(|run| run.0 < run.1));
        for section in range.split_at_multiples(G::PAGES_PER_SECTION) {
            let nr = G::section_nr(section.start());
            let whole = section.round_out(G::PAGES_PER_SECTION);
            if !self.any_active(whole) {
                self.early.remove(&nr);
            }
        }
        true
    }

    /// From the lowest to the highest page of boot memory; `None` on a machine without memory.
    fn memory_span(&self) -> Option<PfnRange> {
        PfnRange::new(self.boot.first()?.start(), self.boot.last()?.end())
    }

    /// Is a pfn valid for a layout with this validity?
    pub fn pfn_valid(&self, validity: Validity, pfn: Pfn) -> bool {
        if pfn.0 >= G::NR_PFNS {
            return false;
        }
        let nr = G::section_nr(pfn.0);
        let section =
            PfnRange::from_len(G::section_start(nr), G::PAGES_PER_SECTION).expect("inside the physical address space");
        match validity {
            Validity::Span => self.span.0 <= pfn.0 && pfn.0 < self.span.1,
            Validity::MemorySpan => self.memory_span().is_some_and(|span| span.contains(pfn)),
            Validity::Ranges => {
                let at = self.boot.partition_point(|range| range.end() <= pfn.0);
                self.boot.get(at).is_some_and(|range| range.contains(pfn))
            }
            Validity::Section => self.any_active(section),
            Validity::Subsection { early_is_whole } => {
                early_is_whole && self.early.contains(&nr) || self.is_active(pfn.0 >> G::PFN_SUBSECTION_SHIFT)
            }
        }
    }

    /// All valid pfns of a layout with this validity, as runs; sorted, never adjacent.
    pub fn valid_runs(&self, validity: Validity) -> Vec<PfnRange> {
        let sub = |run: &(u64, u64)| (run.0 << G::PFN_SUBSECTION_SHIFT, run.1 << G::PFN_SUBSECTION_SHIFT);
        let sections = |(start, end): (u64, u64)| {
            (G::section_start(G::section_nr(start)), G::section_start(G::section_nr(end - 1) + 1))
        };
        let mut runs: Vec<(u64, u64)> = match validity {
            Validity::Span => vec![self.span],
            Validity::MemorySpan => self.memory_span().iter().map(|span| (span.start(), span.end())).collect(),
            Validity::Ranges => self.boot.iter().map(|range| (range.start(), range.end())).collect(),
            Validity::Section => self.active.iter().map(|run| sections(sub(run))).collect(),
            Validity::Subsection { early_is_whole } => {
                let early = self.early.iter().filter(|_| early_is_whole);
                let early = early.map(|&nr| (G::section_start(nr), G::section_start(nr + 1)));
                self.active.iter().map(sub).chain(early).collect()
            }
        };
        runs.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for run in runs.into_iter().filter(|run| run.0 < run.1) {
            match merged.last_mut() {
                Some(last) if run.0 <= last.1 => last.1 = last.1.max(run.1),
                _ => merged.push(run),
            }
        }
        merged.into_iter().filter_map(|(start, end)| PfnRange::new(start, end)).collect()
    }

    /// Pfns at which a wrong answer is likely: the first, middle and last pfn of every section with
    /// memory and of its neighbours, the edges of each sub-section in partly present sections, and
    /// the limits of the number space. The count grows with the memory, not with the physical
    /// address space.
    pub fn probes(&self) -> Vec<Pfn> {
        let mut sections = BTreeSet::new();
        for &(start, end) in &self.active {
            let first = G::section_nr(start << G::PFN_SUBSECTION_SHIFT);
            let last = G::section_nr((end << G::PFN_SUBSECTION_SHIFT) - 1);
            sections.extend(first.saturating_sub(1)..=last + 1);
        }
        let (s, u) = (G::PAGES_PER_SECTION, G::PAGES_PER_SUBSECTION);
        let mut probes = vec![0, 1, self.span.1, G::NR_PFNS - 1, G::NR_PFNS, 1 << 52, 1 << 63, u64::MAX];
        for range in &self.boot {
            probes.extend([range.start().saturating_sub(1), range.start(), range.end() - 1, range.end()]);
        }
        for nr in sections {
            let start = G::section_start(nr);
            let whole = PfnRange::from_len(start, s).expect("inside the physical address space");
            let in_part = self.any_active(whole) && !self.all_active(whole);
            let step = if in_part { u } else { s / 2 };
            // An alias of each number beyond the physical address space: it must not be valid.
            probes.push(start | 1 << 53);
            probes.extend((start..start + s).step_by(step as usize).flat_map(|at| [at, at + 1, at + step - 1]));
        }
        probes.into_iter().map(Pfn).collect()
    }

    /// Compares a reader's `pfn_valid` with the oracle at the given pfns; the error is the first
    /// difference.
    pub fn compare(&self, validity: Validity, reader: &impl Lookup, probes: &[Pfn]) -> Result<(), Disagreement> {
        let wrong = probes.iter().map(|&pfn| (pfn, self.pfn_valid(validity, pfn)));
        let mut wrong = wrong.filter(|&(pfn, expected)| reader.pfn_valid(pfn) != expected);
        wrong.next().map_or(Ok(()), |(pfn, expected)| Err(Disagreement { pfn, expected }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::X86_64;
    use crate::memmap::BootRange;
    use proptest::prelude::*;

    type Model = Oracle<X86_64>;

    proptest! {
        /// Compares the runs with a plain set of sub-sections.
        #[test]
        fn runs_are_a_set(ops in prop::collection::vec((any::<bool>(), 0u64..200, 1u64..40), 1..60)) {
            let mut model = Model::boot(&BootMap::default());
            let mut set = BTreeSet::new();
            for (add, start, len) in ops {
                let range = PfnRange::from_len(start * 512, len * 512).unwrap();
                let subs: Vec<u64> = (start..start + len).collect();
                if add {
                    let free = subs.iter().all(|sub| !set.contains(sub));
                    prop_assert_eq!(model.add(range), free);
                    if free { set.extend(subs) }
                } else {
                    let there = subs.iter().all(|sub| set.contains(sub));
                    prop_assert_eq!(model.remove(range), there);
                    if there { subs.iter().for_each(|sub| { set.remove(sub); }) }
                }
                for sub in 0..250 {
                    prop_assert_eq!(model.is_active(sub), set.contains(&sub), "{}", sub);
                }
            }
        }
    }

    #[test]
    fn runs_hold_exactly_what_is_valid() {
        let range = |start, end| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 };
        let mut model = Model::boot(&BootMap::new([range(0x8000, 0x10000), range(0x20000, 0x25200)]).unwrap());
        assert!(model.add(PfnRange::new(0x30000, 0x30400).unwrap()));
        let sub = |early_is_whole| Validity::Subsection { early_is_whole };
        for validity in [Validity::Span, Validity::Section, sub(true), sub(false)] {
            let runs = model.valid_runs(validity);
            assert!(runs.windows(2).all(|pair| pair[0].end() < pair[1].start()), "{validity:?} {runs:?}");
            for pfn in (0..0x48000).step_by(0x100).flat_map(|at| [at, at + 1, at + 0xff]).map(Pfn) {
                let held = runs.iter().any(|run| run.contains(pfn));
                assert_eq!(held, model.pfn_valid(validity, pfn), "{validity:?} {pfn}");
            }
        }
    }

    #[test]
    fn the_three_kinds_of_validity_differ_where_they_should() {
        let boot = BootRange { range: PfnRange::new(0x100000, 0x1fc000).unwrap(), node: 0 };
        let model = Model::boot(&BootMap::new([boot]).unwrap());
        let sub = |early_is_whole| Validity::Subsection { early_is_whole };
        for (pfn, span, section, whole, bits) in [
            (0x1fbfff, true, true, true, true),
            (0x1fc000, false, true, true, false),
            (0x1fffff, false, true, true, false),
            (0x200000, false, false, false, false),
            (0x0, true, false, false, false),
        ] {
            let answers =
                [Validity::Span, Validity::Section, sub(true), sub(false)].map(|v| model.pfn_valid(v, Pfn(pfn)));
            assert_eq!(answers, [span, section, whole, bits], "{pfn:#x}");
        }
    }

    /// Layouts without hotplug are raced beside others whose memory grows.
    #[test]
    fn added_memory_does_not_count_for_spans_and_ranges_of_boot_memory() {
        let ram = BootRange { range: PfnRange::new(0x100, 0x8000).unwrap(), node: 0 };
        let mut oracle = Oracle::<X86_64>::boot(&BootMap::new([ram]).unwrap());
        let rules = [Validity::Span, Validity::MemorySpan, Validity::Ranges];
        let runs = rules.map(|validity| oracle.valid_runs(validity));
        assert!(oracle.add(PfnRange::from_len(0x20000, 0x400).unwrap()));
        assert_eq!(rules.map(|validity| oracle.valid_runs(validity)), runs);
        assert!(rules.iter().all(|&validity| !oracle.pfn_valid(validity, Pfn(0x20000))));
        assert!(oracle.pfn_valid(Validity::Section, Pfn(0x20000)));
    }
}
