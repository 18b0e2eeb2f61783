//! The page frames that lookups are asked for.

use memmap_layouts::{Geometry, Pfn};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of queries in a set: 512 KiB of numbers, streamed in order; a cost that all layouts share.
pub const NR_QUERIES: usize = 1 << 16;

/// Queries in a set for cold tables: each section at most once.
pub const NR_COLD_QUERIES: usize = 2048;

/// How fast popularity falls with the rank, as usual for caches.
const ZIPF_EXPONENT: f64 = 0.99;

/// In which order page frames are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// One after the other.
    Sequential,
    /// One of each sub-section, one sub-section after the other: what a walker of huge pages asks for.
    Stride,
    /// Uniformly at random over all sections.
    Random,
    /// Some pages far more often than others; which ones is random.
    Zipf,
}

impl Pattern {
    /// All patterns, in the order of reports.
    pub const ALL: [Pattern; 4] = [Pattern::Sequential, Pattern::Stride, Pattern::Random, Pattern::Zipf];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Pattern::Sequential => "sequential",
            Pattern::Stride => "stride",
            Pattern::Random => "random",
            Pattern::Zipf => "zipf",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Sections in which something is memory.
fn with_memory<G: Geometry>(sections: &[u64], is_memory: &impl Fn(Pfn) -> bool) -> Vec<u64> {
    sections.iter().copied().filter(|&nr| memory_of::<G>(nr, is_memory).next().is_some()).collect()
}

fn memory_of<G: Geometry>(nr: u64, is_memory: &impl Fn(Pfn) -> bool) -> impl Iterator<Item = Pfn> + Clone {
    (G::section_start(nr)..G::section_start(nr + 1)).map(Pfn).filter(move |&pfn| is_memory(pfn))
}

/// A page of memory of a section that holds some, at random.
fn draw_in<G: Geometry>(rng: &mut Pcg64Mcg, nr: u64, is_memory: &impl Fn(Pfn) -> bool) -> Pfn {
    let start = G::section_start(nr);
    // A section in which little is memory must not make the draw go on for ever.
    let mut tries = (0..64).map(|_| Pfn(start + rng.random_range(0..G::PAGES_PER_SECTION)));
    let drawn = tries.find(|&pfn| is_memory(pfn));
    drawn.or_else(|| memory_of::<G>(nr, is_memory).next()).expect("the section holds memory")
}

/// [`NR_QUERIES`] page frames of `sections` that `is_memory` accepts. The same for every layout; empty if there are none.
pub fn queries<G: Geometry>(
    pattern: Pattern,
    sections: &[u64],
    seed: u64,
    is_memory: impl Fn(Pfn) -> bool,
) -> Vec<Pfn> {
    let sections = with_memory::<G>(sections, &is_memory);
    if sections.is_empty() {
        return Vec::new();
    }
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let memory = |nr: u64| memory_of::<G>(nr, &is_memory);
    match pattern {
        Pattern::Sequential => sections.iter().flat_map(|&nr| memory(nr)).cycle().take(NR_QUERIES).collect(),
        Pattern::Stride => {
            let subsections = sections.iter().flat_map(|&nr| {
                let starts = (G::section_start(nr)..G::section_start(nr + 1)).step_by(G::PAGES_PER_SUBSECTION as usize);
                starts.filter_map(|start| (start..start + G::PAGES_PER_SUBSECTION).map(Pfn).find(|&pfn| is_memory(pfn)))
            });
            subsections.cycle().take(NR_QUERIES).collect()
        }
        Pattern::Random => {
            let draw = || {
                let nr = sections[rng.random_range(0..sections.len())];
                draw_in::<G>(&mut rng, nr, &is_memory)
            };
            std::iter::repeat_with(draw).take(NR_QUERIES).collect()
        }
        Pattern::Zipf => {
            let nr_pages = sections.len() as u64 * G::PAGES_PER_SECTION;
            let ranks = Zipf::new(nr_pages as f64, ZIPF_EXPONENT).expect("a rank and more, an exponent above 0");
            let draw = || {
                let rank = (ranks.sample(&mut rng) as u64).clamp(1, nr_pages) - 1;
                let page = scattered(rank, nr_pages);
                let nr = sections[(page / G::PAGES_PER_SECTION) as usize];
                let pfn = Pfn(G::section_start(nr) + page % G::PAGES_PER_SECTION);
                if is_memory(pfn) { pfn } else { draw_in::<G>(&mut rng, nr, &is_memory) }
            };
            std::iter::repeat_with(draw).take(NR_QUERIES).collect()
        }
    }
}

/// A permutation of `0..len` that puts neighbours far apart.
fn scattered(rank: u64, len: u64) -> u64 {
    let is_coprime = |step: u64| {
        let (mut a, mut b) = (step, len);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    // Near the golden section, of which multiples fill a circle evenly.
    let golden = ((len as f64 * 0.618_033_988_75) as u64).max(1);
    let step = (golden..).find(|&step| is_coprime(step)).unwrap_or(1);
    (u128::from(rank) * u128::from(step) % u128::from(len)) as u64
}

/// Puts pages of `absent` sections in the places of so many of a hundred queries, at random.
pub fn mix_invalid<G: Geometry>(pfns: &mut [Pfn], percent: u32, absent: &[u64], seed: u64) {
    if absent.is_empty() {
        return;
    }
    let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0x1_7a11d);
    for pfn in pfns {
        if rng.random_range(0..100) < percent {
            let nr = absent[rng.random_range(0..absent.len())];
            *pfn = Pfn(G::section_start(nr) + rng.random_range(0..G::PAGES_PER_SECTION));
        }
    }
}

/// One page of each section, in random order: no lookup finds what the one before brought into the cache for its own section.
/// At most [`NR_COLD_QUERIES`].
pub fn cold_queries<G: Geometry>(sections: &[u64], seed: u64, is_memory: impl Fn(Pfn) -> bool) -> Vec<Pfn> {
    use rand::seq::SliceRandom;
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    let mut sections = sections.to_vec();
    sections.shuffle(&mut rng);
    sections.truncate(NR_COLD_QUERIES);
    let sections = with_memory::<G>(&sections, &is_memory);
    sections.into_iter().map(|nr| draw_in::<G>(&mut rng, nr, &is_memory)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::X86_64;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn queries_are_memory_and_repeat_with_their_seed() {
        let is_memory = |pfn: Pfn| pfn.0.is_multiple_of(2) && pfn.0 != 0;
        for pattern in Pattern::ALL {
            let make = |seed| queries::<X86_64>(pattern, &[0, 7], seed, is_memory);
            assert_eq!(make(3).len(), NR_QUERIES);
            assert!(make(3).iter().all(|&pfn| is_memory(pfn) && [0, 7].contains(&X86_64::section_nr(pfn.0))));
            assert_eq!(make(3), make(3));
            assert!(queries::<X86_64>(pattern, &[5], 1, |_| false).is_empty());
            assert_eq!(queries::<X86_64>(pattern, &[5], 1, |pfn| pfn.0 == 5 << 15).len(), NR_QUERIES);
        }
        assert_ne!(
            queries::<X86_64>(Pattern::Random, &[0, 7], 3, is_memory),
            queries::<X86_64>(Pattern::Random, &[0, 7], 4, is_memory)
        );
    }

    #[test]
    fn a_stride_asks_for_one_page_of_each_subsection() {
        let pfns = queries::<X86_64>(Pattern::Stride, &[3], 1, |pfn| pfn.0 % 512 >= 5);
        assert_eq!((pfns[0], pfns[1].0 - pfns[0].0, pfns[64]), (Pfn((3 << 15) + 5), 512, pfns[0]));
    }

    #[test]
    fn zipf_asks_for_few_pages_often_and_for_pages_of_every_section() {
        let sections: Vec<u64> = (0..16).collect();
        let pfns = queries::<X86_64>(Pattern::Zipf, &sections, 1, |_| true);
        let mut counts: BTreeMap<Pfn, usize> = BTreeMap::new();
        pfns.iter().for_each(|&pfn| *counts.entry(pfn).or_default() += 1);
        let most = counts.values().max().copied().unwrap();
        assert!(most > NR_QUERIES / 40 && counts.len() > 5_000, "{most} {}", counts.len());
        let asked: BTreeSet<u64> = pfns.iter().map(|pfn| X86_64::section_nr(pfn.0)).collect();
        assert_eq!(asked.len(), 16);
    }

    #[test]
    fn scattering_is_a_permutation() {
        for len in [1, 2, 9, 1000, 1 << 12] {
            let all: BTreeSet<u64> = (0..len).map(|rank| scattered(rank, len)).collect();
            assert_eq!((all.len() as u64, all.last().copied()), (len, Some(len - 1)));
        }
    }

    #[test]
    fn as_many_are_invalid_as_were_asked_for() {
        for percent in [0, 2, 30, 100] {
            let mut pfns = vec![Pfn(1); 50_000];
            mix_invalid::<X86_64>(&mut pfns, percent, &[9], 1);
            let invalid = pfns.iter().filter(|pfn| X86_64::section_nr(pfn.0) == 9).count();
            assert!(invalid.abs_diff(500 * percent as usize) < 500, "{percent} {invalid}");
        }
    }

    #[test]
    fn cold_queries_ask_for_each_section_once() {
        let sections: Vec<u64> = (0..300).collect();
        let pfns = cold_queries::<X86_64>(&sections, 1, |pfn| X86_64::section_nr(pfn.0) != 7);
        let asked: BTreeSet<u64> = pfns.iter().map(|pfn| X86_64::section_nr(pfn.0)).collect();
        assert_eq!((pfns.len(), asked.len()), (299, 299));
        assert!(pfns.windows(2).any(|pair| pair[0] > pair[1]), "in random order");
    }
}
