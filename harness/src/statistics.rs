//! Medians, quantiles, and intervals over processes.

use crate::units::three_digits;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use std::fmt;

/// Processes from which on an interval is told.
pub const PROCESSES_FOR_INTERVAL: usize = 5;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// Values in order.
pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value at a share of a sorted list, by linear interpolation.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// The middle of some values.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// 95 % interval of the median of process medians: a percentile bootstrap over processes, and over the samples within each, for
/// both are of chance. `None` for fewer than [`PROCESSES_FOR_INTERVAL`]. The same values give the same interval.
pub fn interval(of_processes: &[Vec<f64>]) -> Option<(f64, f64)> {
    let nr = of_processes.len();
    if nr < PROCESSES_FOR_INTERVAL {
        return None;
    }
    let mut rng = Pcg64Mcg::seed_from_u64(nr as u64);
    let mut resample = || {
        let of_process = (0..nr).filter_map(|_| {
            let samples = &of_processes[rng.random_range(0..nr)];
            median((0..samples.len()).map(|_| samples[rng.random_range(0..samples.len())]))
        });
        let medians: Vec<f64> = of_process.collect();
        median(medians.into_iter())
    };
    let medians = sorted((0..RESAMPLES).filter_map(|_| resample()));
    quantile(&medians, 0.025).zip(quantile(&medians, 0.975))
}

/// 95 % interval of the ratio of the medians of two figures of which each process of each run gave one value. `None` if either
/// has fewer than [`PROCESSES_FOR_INTERVAL`].
pub fn interval_of_ratio(of: &[f64], to: &[f64]) -> Option<(f64, f64)> {
    if of.len().min(to.len()) < PROCESSES_FOR_INTERVAL {
        return None;
    }
    let mut rng = Pcg64Mcg::seed_from_u64((of.len() + to.len()) as u64);
    let mut resample = |values: &[f64]| median((0..values.len()).map(|_| values[rng.random_range(0..values.len())]));
    let ratios = (0..RESAMPLES).filter_map(|_| Some(resample(of)? / resample(to)?));
    let ratios = sorted(ratios);
    quantile(&ratios, 0.025).zip(quantile(&ratios, 0.975))
}

/// A ratio of times, with its 95 % interval over processes if there are enough of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Median of process medians of ratios of neighbouring slices.
    pub median: f64,
    /// The interval.
    pub interval: Option<(f64, f64)>,
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×", three_digits(self.median))?;
        match self.interval {
            Some(ends) => write!(f, " {}", interval_in_words(ends)),
            None => Ok(()),
        }
    }
}

/// `[1.66, 1.68]`.
pub fn interval_in_words((low, high): (f64, f64)) -> String {
    format!("[{}, {}]", three_digits(low), three_digits(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(quantile(&[7.0], 0.75), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
    }

    #[test]
    fn an_interval_needs_five_processes_and_holds_their_middle() {
        let one_each = |values: &[f64]| values.iter().map(|&value| vec![value]).collect::<Vec<_>>();
        assert_eq!(interval(&one_each(&[1.0, 1.1, 1.2, 1.3])), None);
        let values = one_each(&[1.0, 1.01, 1.02, 1.03, 1.5]);
        let (low, high) = interval(&values).unwrap();
        assert!(low < 1.02 && 1.02 < high && low >= 1.0 && high <= 1.5, "{low} {high}");
        assert_eq!(interval(&values), interval(&values));
        assert_eq!(interval(&one_each(&[2.0; 5])), Some((2.0, 2.0)));
    }

    #[test]
    fn samples_that_scatter_widen_an_interval() {
        let scattered = vec![vec![0.9, 1.0, 1.1, 0.95, 1.06]; 5];
        let (low, high) = interval(&scattered).unwrap();
        assert!(low < 1.0 && 1.0 < high, "{low} {high}");
    }
}
