//! Lookups whose tables are in memory and in no cache.
//!
//! Once a round a buffer that is larger than the caches is written, then every layout is asked for one page of each section,
//! once. The tables of one layout are no other's, so one emptying serves a slice of each; boot and hot-added sections share
//! the upper tables and have an emptying each. What a slice contains beside the tables, its queries and its code, is as cold,
//! and is in the floor too.

use super::lookups::{Lane, floor};
use super::{Race, RaceError};
use crate::environment::Environment;
use crate::row::{Row, Sections};
use memmap_layouts::Geometry;
use std::time::Duration;

/// The least that is written, where the caches are unknown.
const LEAST_BYTES: usize = 64 << 20;

/// The most, since machines share caches that no one process can empty.
const MOST_BYTES: usize = 1 << 30;

/// A cache line, in words.
const LINE_WORDS: usize = 8;

/// Empties the caches.
pub(super) struct Evictor(Vec<u64>);

impl Evictor {
    /// For the caches of this machine: twice the largest.
    pub(super) fn new() -> Self {
        let largest = Environment::look().caches.iter().map(|cache| cache.bytes as usize).max().unwrap_or(0);
        Self(vec![0; (2 * largest).clamp(LEAST_BYTES, MOST_BYTES) / size_of::<u64>()])
    }

    /// Writes every line.
    pub(super) fn empty_caches(&mut self) {
        for line in self.0.chunks_mut(LINE_WORDS) {
            line[0] = line[0].wrapping_add(1);
        }
        std::hint::black_box(&mut self.0);
    }
}

impl<G: Geometry> Race<'_, G> {
    /// Slices of one pass, each with cold tables.
    pub(super) fn cold_slices(&mut self, lanes: &mut [(Lane, Row)]) -> Result<(), RaceError> {
        let mut evictor = Evictor::new();
        let mut least = Duration::MAX;
        for round in 0..self.settings.effort.cold_rounds {
            for sections in Sections::ALL {
                if !lanes.iter().any(|(lane, _)| lane.sections == sections) {
                    continue;
                }
                self.interrupt.check()?;
                evictor.empty_caches();
                for (lane, blank) in lanes.iter().filter(|(lane, _)| lane.sections == sections) {
                    let elapsed = self.slice(lane, lane.passes)?;
                    self.push_slice(lane, blank, round, elapsed);
                }
            }
            if let Some((lane, _)) = lanes.first() {
                evictor.empty_caches();
                least = least.min(floor(lane, 1).unwrap_or(Duration::MAX));
            }
            lanes.reverse();
        }
        // Reversed as often as there were rounds; whichever lane is first, the loop is the same.
        if let Some((lane, blank)) = lanes.first().filter(|_| least < Duration::MAX) {
            self.push_floor(lane, blank, least);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_writes_every_line() {
        let mut evictor = Evictor::new();
        evictor.empty_caches();
        assert!(evictor.0.len() * 8 >= LEAST_BYTES && evictor.0.iter().step_by(LINE_WORDS).all(|&word| word == 1));
    }
}
