//! Estimates and confidence intervals: how values are computed from samples.
//!
//! **Estimator.** Noise on a machine is one-sided: interference only makes a slice slower. The
//! estimate for one boot of a layout is therefore the lower quartile of its samples, not the
//! median. It stays stable while fewer than about half of the slices suffer interference that the
//! system does not report. Ratios use only rounds in which neither layout was disturbed.
//!
//! **Model.** The unit of replication is the process. A process contributes one value per
//! comparison: the mean over its boots of the log ratio. These values are assumed to be normally
//! distributed about the true log ratio. Intervals use Student's t distribution, with one degree of
//! freedom less than there are processes. Boots are nested in processes, so variation due to memory
//! placement is part of the spread. `statistics/coverage.rs` simulates bias and coverage.

#[cfg(test)]
mod coverage;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Minimum number of processes for a confidence interval.
pub const PROCESSES_FOR_INTERVAL: usize = 5;

/// Minimum number of undisturbed samples for a boot to be used.
pub const LEAST_SAMPLES: usize = 2;

/// The quantile of the samples of a boot that is its estimate.
const LOW: f64 = 0.25;

/// Lower bound on the standard error of a log ratio, so that values that agree by chance do not
/// give an interval of zero width. It is far below what a clock with a resolution of 1 ns can show
/// for a slice.
const LEAST_ERROR: f64 = 1e-6;

/// Sorts values in ascending order.
pub fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The quantile of a sorted list at a fraction from 0 to 1, by linear interpolation.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(low + (high - low) * at.fract())
}

/// The median of the values; `None` if there are none.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// The narrowest interval between two values of a sorted list, equally far from its ends, that holds the median of the
/// population with a probability of at least 95 %. It needs no distribution: the number of values below the median
/// is binomial. `None` for fewer than six values.
pub fn median_interval(sorted: &[f64]) -> Option<(f64, f64)> {
    let mut outside = 0.0;
    // The probability that exactly k values are below the median.
    let mut exactly = 0.5f64.powi(i32::try_from(sorted.len()).ok()?);
    let mut from_the_end = None;
    for k in 0..sorted.len() / 2 {
        outside += 2.0 * exactly;
        if outside > 0.05 {
            break;
        }
        from_the_end = Some(k);
        exactly *= (sorted.len() - k) as f64 / (k + 1) as f64;
    }
    let k = from_the_end?;
    Some((sorted[k], sorted[sorted.len() - 1 - k]))
}

/// The arithmetic mean of the values; `None` if there are none.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The estimate of a boot from its samples: their lower quartile. `None` for fewer than [`LEAST_SAMPLES`].
pub fn low_quartile(samples: impl Iterator<Item = f64>) -> Option<f64> {
    let samples = sorted(samples);
    if samples.len() < LEAST_SAMPLES { None } else { quantile(&samples, LOW) }
}

/// A mean over processes, with its standard error.
///
/// ```
/// use pfnbench::analysis::statistics::Estimate;
///
/// // The logarithms of a ratio in five processes.
/// let logs = [1.02f64, 1.04, 1.03, 1.05, 1.01].map(f64::ln);
/// let estimate = Estimate::from_processes(&logs).ok_or("too few processes")?;
/// let (low, high) = estimate.interval(0.05);
/// assert!(low.exp() > 1.0 && high.exp() < 1.06);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Mean of the values of the processes.
    pub mean: f64,
    /// Standard error of the mean.
    pub error: f64,
    /// Degrees of freedom of the error.
    pub freedom: f64,
}

impl Estimate {
    /// Estimates from one value per process; `None` for fewer than [`PROCESSES_FOR_INTERVAL`].
    pub fn from_processes(values: &[f64]) -> Option<Self> {
        let nr = values.len();
        let mean = mean(values).filter(|_| nr >= PROCESSES_FOR_INTERVAL)?;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (nr - 1) as f64;
        let error = (variance / nr as f64).sqrt().max(LEAST_ERROR);
        Some(Self { mean, error, freedom: (nr - 1) as f64 })
    }

    /// Estimates the difference between the means of two independent groups of processes (Welch's t
    /// test).
    pub fn difference(one: &[f64], other: &[f64]) -> Option<Self> {
        let (one, other) = (Self::from_processes(one)?, Self::from_processes(other)?);
        let (a, b) = (one.error.powi(2), other.error.powi(2));
        let freedom = (a + b).powi(2) / (a * a / one.freedom + b * b / other.freedom);
        Some(Self { mean: one.mean - other.mean, error: (a + b).sqrt(), freedom })
    }

    /// The confidence interval that misses the true mean with probability `alpha`, half of it on
    /// each side.
    pub fn interval(&self, alpha: f64) -> (f64, f64) {
        let reach = self.error * t_quantile(1.0 - alpha / 2.0, self.freedom);
        (self.mean - reach, self.mean + reach)
    }

    /// The p-value for a difference: the probability of a mean at least this far beyond ±`delta` if
    /// the true mean is within ±`delta`.
    pub fn p_beyond(&self, delta: f64) -> f64 {
        let t = (self.mean.abs() - delta) / self.error;
        (2.0 * (1.0 - t_distribution(self.freedom).cdf(t))).min(1.0)
    }
}

fn t_distribution(freedom: f64) -> StudentsT {
    StudentsT::new(0.0, 1.0, freedom.max(1.0)).expect("one degree of freedom and more, and a scale of 1")
}

fn t_quantile(p: f64, freedom: f64) -> f64 {
    t_distribution(freedom).inverse_cdf(p)
}

/// The noise floor: the upper 95 % confidence bound of the mean absolute log ratio of controls,
/// each with one value per process. The scatter of several controls is pooled. `None` without
/// enough processes.
pub fn noise_floor(controls: &[Vec<f64>]) -> Option<f64> {
    let estimates: Vec<Estimate> = controls.iter().filter_map(|values| Estimate::from_processes(values)).collect();
    let nr = estimates.len() as f64;
    let off = mean(&estimates.iter().map(|estimate| estimate.mean.abs()).collect::<Vec<_>>())?;
    let error = (estimates.iter().map(|estimate| estimate.error.powi(2)).sum::<f64>() / nr).sqrt();
    let freedom = estimates.iter().map(|estimate| estimate.freedom).sum::<f64>();
    Some((off + error * t_quantile(0.95, freedom)).exp() - 1.0)
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
    fn the_estimate_of_a_boot_is_robust_to_one_sided_noise() {
        let quiet = [1.00, 1.01, 1.02, 1.01, 1.00, 1.02, 1.01, 1.00];
        // Every second slice took two to four times the undisturbed time.
        let busy = [1.00, 3.0, 1.02, 2.0, 1.00, 4.1, 1.01, 2.0];
        let (quiet, busy) = (low_quartile(quiet.into_iter()).unwrap(), low_quartile(busy.into_iter()).unwrap());
        assert!((busy / quiet - 1.0).abs() < 0.01, "{quiet} {busy}");
        assert_eq!(low_quartile([1.0].into_iter()), None);
    }

    #[test]
    fn an_interval_needs_five_processes_and_uses_students_t() {
        assert_eq!(Estimate::from_processes(&[1.0, 1.1, 1.2, 1.3]), None);
        let estimate = Estimate::from_processes(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        // t of 4 degrees of freedom at 97.5 % is 2.776, the standard error sqrt(2.5 / 5).
        let (low, high) = estimate.interval(0.05);
        assert!((low - 1.0368).abs() < 1e-3 && (high - 4.9632).abs() < 1e-3, "{low} {high}");
        assert!(estimate.interval(0.001).0 < low, "a correction widens the interval");
        let (low, high) = Estimate::from_processes(&[2.0; 5]).unwrap().interval(0.05);
        assert!(low < 2.0 && 2.0 < high && high - low < 1e-4);
    }

    #[test]
    fn a_difference_of_groups_uses_welchs_test() {
        let (a, b) = ([27.5, 21.0, 19.0, 23.6, 17.0], [27.1, 22.0, 20.8, 23.4, 23.4, 23.5]);
        let welch = Estimate::difference(&a, &b).unwrap();
        assert!((welch.mean + 1.7467).abs() < 1e-3 && (welch.freedom - 5.753).abs() < 0.01, "{welch:?}");
    }

    #[test]
    fn p_values_are_for_differences_beyond_a_margin() {
        let estimate = Estimate { mean: 0.05, error: 0.01, freedom: 6.0 };
        assert!(estimate.p_beyond(0.0) < 0.01 && estimate.p_beyond(0.02) < 0.05 && estimate.p_beyond(0.05) > 0.9);
    }

    #[test]
    fn the_noise_floor_is_an_upper_bound_that_more_controls_lower() {
        let one = vec![0.001, -0.004, 0.006, -0.003, 0.002];
        let floor = noise_floor(std::slice::from_ref(&one)).unwrap();
        assert!(floor > 0.001 && floor < 0.01, "{floor}");
        assert!(noise_floor(&[one.clone(), one.clone(), one]).unwrap() < floor);
        assert_eq!(noise_floor(&[vec![0.0; 4]]), None);
    }

    #[test]
    fn the_interval_of_a_median_has_the_ranks_of_the_sign_test() {
        // Ranks from tables of the sign test.
        let ranks = |nr: u32| median_interval(&(1..=nr).map(f64::from).collect::<Vec<_>>());
        assert_eq!(ranks(5), None);
        assert_eq!(ranks(6), Some((1.0, 6.0)));
        assert_eq!(ranks(8), Some((1.0, 8.0)));
        assert_eq!(ranks(9), Some((2.0, 8.0)));
        assert_eq!(ranks(20), Some((6.0, 15.0)));
    }
}
