//! The page frames that lookups ask for.

use crate::case::{Pattern, Records};
use memmap_layouts::{Geometry, Pfn};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeSet;

/// Queries in a set on a map with few sections: 128 KiB of pfns, read in order. The cost of reading
/// them is the same for all layouts.
pub const NR_QUERIES: usize = 1 << 14;

/// Queries in a set on a map with more than [`FEW_SECTIONS`] sections, so that a set covers most
/// sections.
pub const NR_QUERIES_OF_LARGE_MAPS: usize = 1 << 16;

/// Queries in a set whose answers must be unpredictable. A branch predictor cannot memorise so
/// many, and no slice repeats the previous one.
pub const NR_UNPREDICTABLE_QUERIES: usize = 1 << 19;

/// A map with at most this many sections counts as small.
pub const FEW_SECTIONS: usize = 2048;

/// Distinct records in the working set of "records in cache": 128 KiB, less than the L2 cache of
/// supported machines.
pub const NR_CACHED_RECORDS: usize = 2048;

/// Distinct records in the working set of "records in L1": 16 KiB, half of the smallest first-level
/// data cache of supported machines.
pub const NR_L1_RECORDS: usize = 256;

/// Distinct records in the working set of "records in memory"; each is flushed, then read once.
pub const NR_FLUSHED_RECORDS: usize = 4096;

/// Queries in a set for cold tables; each section occurs at most once.
pub const NR_COLD_QUERIES: usize = 2048;

/// Exponent of the Zipf distribution of pages; 0.99 is common in cache benchmarks.
const ZIPF_EXPONENT: f64 = 0.99;

/// Queries in a set on a map with this many sections.
pub fn nr_queries(sections: usize) -> usize {
    if sections > FEW_SECTIONS { NR_QUERIES_OF_LARGE_MAPS } else { NR_QUERIES }
}

/// The sections that contain memory.
fn with_memory<G: Geometry>(sections: &[u64], is_memory: &impl Fn(Pfn) -> bool) -> Vec<u64> {
    sections.iter().copied().filter(|&nr| memory_of::<G>(nr, is_memory).next().is_some()).collect()
}

fn memory_of<G: Geometry>(nr: u64, is_memory: &impl Fn(Pfn) -> bool) -> impl Iterator<Item = Pfn> + Clone {
    (G::section_start(nr)..G::section_start(nr + 1)).map(Pfn).filter(move |&pfn| is_memory(pfn))
}

/// A random page of memory in a section that contains some.
fn draw_in<G: Geometry>(rng: &mut Pcg64Mcg, nr: u64, is_memory: &impl Fn(Pfn) -> bool) -> Pfn {
    let start = G::section_start(nr);
    // The number of random tries is bounded, since only few pages of the section may be memory.
    let mut tries = (0..64).map(|_| Pfn(start + rng.random_range(0..G::PAGES_PER_SECTION)));
    let drawn = tries.find(|&pfn| is_memory(pfn));
    drawn.or_else(|| memory_of::<G>(nr, is_memory).next()).expect("the section holds memory")
}

/// `nr` page frames of `sections` that `is_memory` accepts, the same for every layout. Empty if
/// there are none.
pub fn queries<G: Geometry>(
    pattern: Pattern,
    sections: &[u64],
    nr: usize,
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
        Pattern::Sequential => sections.iter().flat_map(|&nr| memory(nr)).cycle().take(nr).collect(),
        Pattern::Stride => {
            let subsections = sections.iter().flat_map(|&nr| {
                let starts = (G::section_start(nr)..G::section_start(nr + 1)).step_by(G::PAGES_PER_SUBSECTION as usize);
                starts.filter_map(|start| (start..start + G::PAGES_PER_SUBSECTION).map(Pfn).find(|&pfn| is_memory(pfn)))
            });
            subsections.cycle().take(nr).collect()
        }
        Pattern::Random => {
            let draw = || {
                let section = sections[rng.random_range(0..sections.len())];
                draw_in::<G>(&mut rng, section, &is_memory)
            };
            std::iter::repeat_with(draw).take(nr).collect()
        }
        Pattern::Zipf => {
            let nr_pages = sections.len() as u64 * G::PAGES_PER_SECTION;
            let ranks = Zipf::new(nr_pages as f64, ZIPF_EXPONENT).expect("at least one rank, and an exponent above 0");
            let draw = || {
                let rank = (ranks.sample(&mut rng) as u64).clamp(1, nr_pages) - 1;
                let page = scattered(rank, nr_pages);
                let nr = sections[(page / G::PAGES_PER_SECTION) as usize];
                let pfn = Pfn(G::section_start(nr) + page % G::PAGES_PER_SECTION);
                if is_memory(pfn) { pfn } else { draw_in::<G>(&mut rng, nr, &is_memory) }
            };
            std::iter::repeat_with(draw).take(nr).collect()
        }
    }
}

/// Page frames whose records are read, in the order of a pattern. The working set bounds the number
/// of distinct ones. With [`Records::Memory`] each occurs once; otherwise they repeat.
pub fn reading_queries<G: Geometry>(
    pattern: Pattern,
    records: Records,
    sections: &[u64],
    seed: u64,
    is_memory: impl Fn(Pfn) -> bool,
) -> Vec<Pfn> {
    let distinct = match records {
        Records::L1 => NR_L1_RECORDS,
        Records::Cache => NR_CACHED_RECORDS,
        Records::Memory => NR_FLUSHED_RECORDS,
    };
    // More are drawn than needed, since some are duplicates.
    let drawn = queries::<G>(
        if pattern == Pattern::Zipf { Pattern::Random } else { pattern },
        sections,
        2 * distinct,
        seed,
        is_memory,
    );
    let mut known = BTreeSet::new();
    let population: Vec<Pfn> = drawn.into_iter().filter(|&pfn| known.insert(pfn)).take(distinct).collect();
    if population.is_empty() || records == Records::Memory {
        return population;
    }
    let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0x5e7);
    match pattern {
        Pattern::Sequential | Pattern::Stride => population.iter().copied().cycle().take(NR_QUERIES).collect(),
        Pattern::Random => {
            let draw = || population[rng.random_range(0..population.len())];
            std::iter::repeat_with(draw).take(NR_QUERIES).collect()
        }
        Pattern::Zipf => {
            let ranks =
                Zipf::new(population.len() as f64, ZIPF_EXPONENT).expect("at least one rank, and an exponent above 0");
            let draw = || population[(ranks.sample(&mut rng) as usize).clamp(1, population.len()) - 1];
            std::iter::repeat_with(draw).take(NR_QUERIES).collect()
        }
    }
}

/// Maps `rank` by a permutation of `0..len` that moves neighbours far apart.
fn scattered(rank: u64, len: u64) -> u64 {
    let is_coprime = |step: u64| {
        let (mut a, mut b) = (step, len);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    // A step near the golden ratio: its multiples spread evenly over a circle.
    let golden = ((len as f64 * 0.618_033_988_75) as u64).max(1);
    let step = (golden..).find(|&step| is_coprime(step)).unwrap_or(1);
    (u128::from(rank) * u128::from(step) % u128::from(len)) as u64
}

/// Replaces `percent` of the queries, at random positions, with pages of `absent` sections.
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

/// One page of each section, in random order, and at most [`NR_COLD_QUERIES`]. No lookup finds the
/// entry of its section in the cache because of an earlier lookup.
pub fn cold_queries<G: Geometry>(sections: &[u64], seed: u64, is_memory: impl Fn(Pfn) -> bool) -> Vec<Pfn> {
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
    use std::collections::BTreeMap;

    #[test]
    fn queries_are_memory_and_repeat_with_their_seed() {
        let is_memory = |pfn: Pfn| pfn.0.is_multiple_of(2) && pfn.0 != 0;
        for pattern in Pattern::ALL {
            let make = |seed| queries::<X86_64>(pattern, &[0, 7], NR_QUERIES, seed, is_memory);
            assert_eq!(make(3).len(), NR_QUERIES);
            assert!(make(3).iter().all(|&pfn| is_memory(pfn) && [0, 7].contains(&X86_64::section_nr(pfn.0))));
            assert_eq!(make(3), make(3));
            assert!(queries::<X86_64>(pattern, &[5], NR_QUERIES, 1, |_| false).is_empty());
            assert_eq!(queries::<X86_64>(pattern, &[5], NR_QUERIES, 1, |pfn| pfn.0 == 5 << 15).len(), NR_QUERIES);
        }
        assert_ne!(
            queries::<X86_64>(Pattern::Random, &[0, 7], NR_QUERIES, 3, is_memory),
            queries::<X86_64>(Pattern::Random, &[0, 7], NR_QUERIES, 4, is_memory)
        );
    }

    #[test]
    fn a_stride_has_one_page_of_each_subsection() {
        let pfns = queries::<X86_64>(Pattern::Stride, &[3], NR_QUERIES, 1, |pfn| pfn.0 % 512 >= 5);
        assert_eq!((pfns[0], pfns[1].0 - pfns[0].0, pfns[64]), (Pfn((3 << 15) + 5), 512, pfns[0]));
    }

    #[test]
    fn zipf_repeats_few_pages_and_covers_every_section() {
        let sections: Vec<u64> = (0..16).collect();
        let pfns = queries::<X86_64>(Pattern::Zipf, &sections, NR_QUERIES_OF_LARGE_MAPS, 1, |_| true);
        let mut counts: BTreeMap<Pfn, usize> = BTreeMap::new();
        pfns.iter().for_each(|&pfn| *counts.entry(pfn).or_default() += 1);
        let most = counts.values().max().copied().unwrap();
        assert!(most > NR_QUERIES_OF_LARGE_MAPS / 40 && counts.len() > 5_000, "{most} {}", counts.len());
        let asked: BTreeSet<u64> = pfns.iter().map(|pfn| X86_64::section_nr(pfn.0)).collect();
        assert_eq!(asked.len(), 16);
    }

    #[test]
    fn working_sets_are_as_large_as_stated() {
        let sections: Vec<u64> = (0..8).collect();
        for pattern in Pattern::ALL {
            let make = |records| reading_queries::<X86_64>(pattern, records, &sections, 1, |_| true);
            let distinct = |pfns: &[Pfn]| pfns.iter().collect::<BTreeSet<_>>().len();
            let (in_l1, cached, flushed) = (make(Records::L1), make(Records::Cache), make(Records::Memory));
            assert!(distinct(&in_l1) == NR_L1_RECORDS && in_l1.len() == NR_QUERIES, "{pattern}");
            assert!(distinct(&cached) <= NR_CACHED_RECORDS && cached.len() == NR_QUERIES, "{pattern}");
            assert!(distinct(&flushed) == flushed.len() && flushed.len() <= NR_FLUSHED_RECORDS, "{pattern}: each once");
            // A stride takes one page of each sub-section: 8 sections have 512.
            assert!(pattern == Pattern::Stride || flushed.len() == NR_FLUSHED_RECORDS, "{pattern}");
        }
        assert!(reading_queries::<X86_64>(Pattern::Random, Records::Cache, &[5], 1, |_| false).is_empty());
    }

    #[test]
    fn scattering_is_a_permutation() {
        for len in [1, 2, 9, 1000, 1 << 12] {
            let all: BTreeSet<u64> = (0..len).map(|rank| scattered(rank, len)).collect();
            assert_eq!((all.len() as u64, all.last().copied()), (len, Some(len - 1)));
        }
    }

    #[test]
    fn the_requested_share_of_queries_is_invalid() {
        for percent in [0, 2, 30, 100] {
            let mut pfns = vec![Pfn(1); 50_000];
            mix_invalid::<X86_64>(&mut pfns, percent, &[9], 1);
            let invalid = pfns.iter().filter(|pfn| X86_64::section_nr(pfn.0) == 9).count();
            assert!(invalid.abs_diff(500 * percent as usize) < 500, "{percent} {invalid}");
        }
    }

    #[test]
    fn cold_queries_have_each_section_once() {
        let sections: Vec<u64> = (0..300).collect();
        let pfns = cold_queries::<X86_64>(&sections, 1, |pfn| X86_64::section_nr(pfn.0) != 7);
        let asked: BTreeSet<u64> = pfns.iter().map(|pfn| X86_64::section_nr(pfn.0)).collect();
        assert_eq!((pfns.len(), asked.len()), (299, 299));
        assert!(pfns.windows(2).any(|pair| pair[0] > pair[1]), "in random order");
    }
}
