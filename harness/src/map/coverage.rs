//! Sets of addresses. Searches take logarithmic time: a text may have a hundred thousand ranges.

use super::inventory::Span;
use std::collections::BTreeMap;

/// Addresses, as ranges that neither overlap nor touch: ends by starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage(BTreeMap<u64, u64>);

impl Coverage {
    /// Adds the addresses of a range.
    pub(super) fn insert(&mut self, span: Span) {
        let Span { mut start, mut end } = span;
        while let Some((&first, &last)) = self.0.range(..=end).next_back().filter(|(_, last)| **last >= start) {
            self.0.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.0.insert(start, end);
    }

    /// The ranges of the set that share a byte with `span`, ascending.
    pub(super) fn overlapping(&self, span: Span) -> impl Iterator<Item = Span> {
        let around = self.0.range(..=span.start).next_back().filter(move |(_, end)| **end > span.start);
        let inside = span.start.checked_add(1).filter(|next| *next < span.end).map(|next| self.0.range(next..span.end));
        around.into_iter().chain(inside.into_iter().flatten()).map(|(&start, &end)| Span { start, end })
    }

    /// Whether the set has a byte of `span`.
    pub(super) fn overlaps(&self, span: Span) -> bool {
        self.overlapping(span).next().is_some()
    }

    /// The parts of `span` that the set does not have.
    pub(super) fn gaps(&self, span: Span) -> Vec<Span> {
        let mut at = span.start;
        let mut gaps = Vec::new();
        for taken in self.overlapping(span) {
            gaps.extend(Span::new(at, taken.start));
            at = taken.end;
        }
        gaps.extend(Span::new(at, span.end));
        gaps
    }
}

impl FromIterator<Span> for Coverage {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut coverage = Self::default();
        spans.into_iter().for_each(|span| coverage.insert(span));
        coverage
    }
}

/// Ranges that may contain others.
#[derive(Debug)]
pub(super) struct Containers {
    /// Starts, ascending, each with the highest end of all ranges that start there or before.
    ends: Vec<(u64, u64)>,
}

impl Containers {
    /// Whether one of the ranges contains `span`.
    pub(super) fn contain(&self, span: Span) -> bool {
        let nr = self.ends.partition_point(|(start, _)| *start <= span.start);
        nr > 0 && self.ends[nr - 1].1 >= span.end
    }
}

impl FromIterator<Span> for Containers {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut ends: Vec<(u64, u64)> = spans.into_iter().map(|span| (span.start, span.end)).collect();
        ends.sort_unstable();
        let mut highest = 0;
        for (_, end) in &mut ends {
            highest = highest.max(*end);
            *end = highest;
        }
        Self { ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    fn random(rng: &mut Pcg64Mcg) -> Span {
        let start = rng.random_range(0..60);
        Span { start, end: start + rng.random_range(1..9) }
    }

    #[test]
    fn sets_have_the_bytes_that_were_inserted() {
        let mut rng = Pcg64Mcg::seed_from_u64(3);
        for _ in 0..2000 {
            let spans: Vec<Span> = (0..rng.random_range(0..8)).map(|_| random(&mut rng)).collect();
            let (coverage, containers) =
                (spans.iter().copied().collect::<Coverage>(), spans.iter().copied().collect::<Containers>());
            let asked = random(&mut rng);
            let is_in = |byte: u64| spans.iter().any(|span| (span.start..span.end).contains(&byte));
            let bytes = |spans: Vec<Span>| spans.into_iter().flat_map(|span| span.start..span.end).collect::<Vec<_>>();
            let free: Vec<u64> = (asked.start..asked.end).filter(|byte| !is_in(*byte)).collect();
            assert_eq!(bytes(coverage.gaps(asked)), free, "{spans:?} {asked:?}");
            assert_eq!(coverage.overlaps(asked), (asked.start..asked.end).any(is_in), "{spans:?} {asked:?}");
            assert_eq!(containers.contain(asked), spans.iter().any(|span| span.contains(asked)), "{spans:?} {asked:?}");
        }
    }
}
