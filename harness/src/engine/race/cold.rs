//! Lookups with cold tables: the tables are in memory, but in no cache.
//!
//! Each round first writes a buffer larger than the caches, which evicts everything else. Then
//! every layout looks up one page of each section, once. Layouts share no tables, so one eviction
//! serves one slice of each. Boot and hot-added sections share the upper tables, so each kind has
//! its own eviction. Before each slice the same loop does one lookup in a section far from the
//! others; otherwise the slice would include fetching its code. Each round has a new random order,
//! because the first layout is about 6 % slower. The query arrays are evicted too; the time of the
//! empty loop includes that.

use super::lookups::{Lane, floor, until_undisturbed};
use super::{Race, RaceError};
use crate::analysis::statistics::median;
use crate::case::Memory;
use crate::engine::probe::lookup::{self, Queries};
use crate::record::environment::Environment;
use crate::record::row::Row;
use memmap_layouts::{Geometry, Pfn};
use rand::seq::SliceRandom;
use std::time::{Duration, Instant};

/// Least size of the buffer in bytes, used if the cache sizes are unknown.
const LEAST_BYTES: usize = 64 << 20;

/// Largest size of the buffer in bytes, since a shared cache can be too large for one process to
/// evict.
const MOST_BYTES: usize = 1 << 30;

/// Words of 8 bytes in a cache line.
const LINE_WORDS: usize = 8;

/// A buffer that evicts everything else from the caches.
pub(super) struct Evictor(Vec<u64>);

impl Evictor {
    /// Allocates a buffer of twice the largest cache of this machine.
    pub(super) fn new() -> Self {
        let largest = Environment::look().caches.iter().map(|cache| cache.bytes as usize).max().unwrap_or(0);
        Self(vec![0; (2 * largest).clamp(LEAST_BYTES, MOST_BYTES) / size_of::<u64>()])
    }

    /// Writes every cache line of the buffer.
    pub(super) fn empty_caches(&mut self) {
        for line in self.0.chunks_mut(LINE_WORDS) {
            line[0] = line[0].wrapping_add(1);
        }
        std::hint::black_box(&mut self.0);
    }
}

impl<G: Geometry> Race<'_, G> {
    /// Slices of one pass, each with cold tables. Ends after the rounds that the effort sets, or
    /// after `share` of the time.
    pub(super) fn cold_slices(&mut self, lanes: &mut [(Lane, Row)], share: Option<Duration>) -> Result<(), RaceError> {
        self.cold_rounds(&mut Evictor::new(), lanes, share)
    }

    fn cold_rounds(
        &mut self,
        evictor: &mut Evictor,
        lanes: &mut [(Lane, Row)],
        share: Option<Duration>,
    ) -> Result<(), RaceError> {
        let begin = Instant::now();
        let mut floors = Vec::new();
        for round in 0..self.settings.job.effort.cold_rounds {
            if round > 0 && share.is_some_and(|share| begin.elapsed() > share) {
                break;
            }
            lanes.shuffle(&mut self.rng);
            for memory in Memory::ALL {
                if !lanes.iter().any(|(lane, _)| lane.memory == memory) {
                    continue;
                }
                self.interrupt.check()?;
                evictor.empty_caches();
                for (lane, blank) in lanes.iter().filter(|(lane, _)| lane.memory == memory) {
                    let in_time = || round == 0 || share.is_none_or(|share| begin.elapsed() <= share);
                    let sample = until_undisturbed(in_time, |retaken| {
                        if retaken > 0 {
                            evictor.empty_caches();
                        }
                        self.warm_code(lane);
                        self.pass(lane)
                    })?;
                    self.push_sample(blank, round, sample);
                }
            }
            if let Some((lane, _)) = lanes.first() {
                evictor.empty_caches();
                if let Some(decoy) = &lane.decoy {
                    std::hint::black_box(lookup::floor(decoy, decoy.pass()));
                }
                floors.extend(floor(lane, 1));
            }
        }
        if let (Some((_, blank)), Some(floor)) = (lanes.first(), median(floors.into_iter())) {
            self.push_floor(blank, floor);
        }
        Ok(())
    }
}

/// Sections in groups of this size may have their table entries in the same cache line. Includes a
/// margin, since prefetchers fetch lines in pairs.
const NEAR_SECTIONS: u64 = 8;

/// Splits off the first query as the decoy, and keeps the queries for sections far from it. If no
/// section is far, all queries are kept and there is no decoy.
pub(super) fn with_decoy<G: Geometry>(queries: Queries) -> (Option<Queries>, Queries) {
    let Queries::Pfns(pfns) = &queries else { return (None, queries) };
    let Some(&decoy) = pfns.first() else { return (None, queries) };
    let near = |pfn: Pfn| G::section_nr(pfn.0) / NEAR_SECTIONS;
    let far: Vec<Pfn> = pfns.iter().copied().filter(|&pfn| near(pfn) != near(decoy)).collect();
    match far.is_empty() {
        true => (None, queries),
        false => (Some(Queries::Pfns(vec![decoy])), Queries::Pfns(far)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Tables;
    use crate::engine::race::test_support::{settings, small_machine, with_race};
    use memmap_layouts::X86_64;
    use std::collections::BTreeSet;

    #[test]
    fn caches_are_emptied_before_each_round_and_before_its_floor() {
        let mut settings = settings();
        settings.job.effort.cold_rounds = 3;
        let is_cold = |work: &&crate::workload::LookupWork| work.group.tables == Tables::Cold;
        let work = settings.job.work.lookups.iter().find(is_cold).unwrap();
        with_race(small_machine(), &settings, |race| {
            let mut lanes = race.lanes(work, false).unwrap();
            let nr_lanes = lanes.len();
            assert!(nr_lanes > 1 && lanes.iter().all(|(lane, _)| lane.memory == Memory::Boot));
            let mut evictor = Evictor(vec![0; LINE_WORDS]);
            race.outcome.rows.clear();
            race.cold_rounds(&mut evictor, &mut lanes, None).unwrap();
            let retaken =
                race.outcome.rows.iter().filter_map(|row| Some(u64::from(row.evidence?.retaken))).sum::<u64>();
            assert_eq!(evictor.0[0], 3 * 2 + retaken, "one eviction serves all layouts");
            assert_eq!(race.outcome.rows.len(), 3 * nr_lanes + 1);
        });
    }

    #[test]
    fn every_round_has_a_new_random_order() {
        let mut settings = settings();
        settings.job.effort.cold_rounds = 12;
        let is_cold = |work: &&crate::workload::LookupWork| work.group.tables == Tables::Cold;
        let work = settings.job.work.lookups.iter().find(is_cold).unwrap();
        with_race(small_machine(), &settings, |race| {
            let mut lanes = race.lanes(work, false).unwrap();
            let nr_lanes = lanes.len();
            race.outcome.rows.clear();
            race.cold_rounds(&mut Evictor(vec![0; LINE_WORDS]), &mut lanes, None).unwrap();
            let timed: Vec<&Row> = race.outcome.rows.iter().filter(|row| row.metric == "time").collect();
            let orders: BTreeSet<Vec<&str>> =
                timed.chunks(nr_lanes).map(|round| round.iter().map(|row| row.layout.as_str()).collect()).collect();
            assert!(orders.len() >= 10, "{} orders in 12 rounds", orders.len());
            let firsts: BTreeSet<&str> = orders.iter().map(|order| order[0]).collect();
            assert!(firsts.len() >= 3, "{firsts:?}");
        });
    }

    #[test]
    fn the_decoy_is_far_from_the_timed_sections() {
        let section = |nr: u64| Pfn(X86_64::section_start(nr));
        let (decoy, rest) = with_decoy::<X86_64>(Queries::Pfns([9, 3, 15, 16, 8].map(section).to_vec()));
        let pfns = |queries: Queries| if let Queries::Pfns(pfns) = queries { pfns } else { Vec::new() };
        assert_eq!((pfns(decoy.unwrap()), pfns(rest)), (vec![section(9)], vec![section(3), section(16)]));
        let (decoy, rest) = with_decoy::<X86_64>(Queries::Pfns([1, 2].map(section).to_vec()));
        assert!(decoy.is_none() && pfns(rest).len() == 2);
    }

    #[test]
    fn emptying_the_caches_writes_every_line() {
        let mut evictor = Evictor::new();
        evictor.empty_caches();
        assert!(evictor.0.len() * 8 >= LEAST_BYTES && evictor.0.iter().step_by(LINE_WORDS).all(|&word| word == 1));
    }
}
