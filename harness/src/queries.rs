//! The page frames that lookups are asked for.

use memmap_layouts::{Geometry, Pfn};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of queries in a set: 512 KiB of numbers, streamed in order; a cost that all layouts share.
pub const NR_QUERIES: usize = 1 << 16;

/// In which order page frames are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pattern {
    /// One after the other.
    Sequential,
    /// Uniformly at random over all sections.
    Random,
}

impl Pattern {
    /// All patterns, in the order of reports.
    pub const ALL: [Pattern; 2] = [Pattern::Sequential, Pattern::Random];
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Pattern::Sequential => "sequential",
            Pattern::Random => "random",
        })
    }
}

/// [`NR_QUERIES`] page frames of `sections` that `is_memory` accepts. The same for every layout; empty if there are none.
pub fn queries<G: Geometry>(
    pattern: Pattern,
    sections: &[u64],
    seed: u64,
    is_memory: impl Fn(Pfn) -> bool,
) -> Vec<Pfn> {
    let memory = |nr: u64| (G::section_start(nr)..G::section_start(nr + 1)).map(Pfn).filter(|&pfn| is_memory(pfn));
    // A section in which nothing is memory, or little, must not make the random draw go on for ever.
    let sections: Vec<u64> = sections.iter().copied().filter(|&nr| memory(nr).next().is_some()).collect();
    if sections.is_empty() {
        return Vec::new();
    }
    match pattern {
        Pattern::Sequential => sections.iter().flat_map(|&nr| memory(nr)).cycle().take(NR_QUERIES).collect(),
        Pattern::Random => {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            let draw = || {
                let nr = sections[rng.random_range(0..sections.len())];
                let start = G::section_start(nr);
                let mut tries = (0..64).map(|_| Pfn(start + rng.random_range(0..G::PAGES_PER_SECTION)));
                tries.find(|&pfn| is_memory(pfn)).or_else(|| memory(nr).next()).expect("the section holds memory")
            };
            std::iter::repeat_with(draw).take(NR_QUERIES).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::X86_64;

    #[test]
    fn queries_are_memory_and_repeat_with_their_seed() {
        let is_memory = |pfn: Pfn| pfn.0.is_multiple_of(2) && pfn.0 != 0;
        for pattern in Pattern::ALL {
            let make = |seed| queries::<X86_64>(pattern, &[0, 7], seed, is_memory);
            assert_eq!(make(3).len(), NR_QUERIES);
            assert!(make(3).iter().all(|&pfn| is_memory(pfn) && [0, 7].contains(&X86_64::section_nr(pfn.0))));
            assert_eq!(make(3), make(3));
        }
        assert_ne!(
            queries::<X86_64>(Pattern::Random, &[0, 7], 3, is_memory),
            queries::<X86_64>(Pattern::Random, &[0, 7], 4, is_memory)
        );
        assert!(queries::<X86_64>(Pattern::Random, &[5], 1, |_| false).is_empty());
        assert_eq!(queries::<X86_64>(Pattern::Random, &[5], 1, |pfn| pfn.0 == 5 << 15).len(), NR_QUERIES);
    }
}
