//! Verdicts: the only place where a comparison of times is turned into faster, slower, equal or
//! undecided.
//!
//! | verdict | if |
//! | --- | --- |
//! | equal | the 90 % interval is within ± the margin (two one-sided tests at 5 %), and so is the noise floor |
//! | faster, slower | the corrected interval lies beyond the larger of margin and noise floor |
//! | undecided | otherwise |
//!
//! Many comparisons are judged at once, so the intervals of differences are corrected. The few that
//! are read first (headline and winners) form a family of their own: the probability of any wrong
//! difference in it is at most 5 % (Bonferroni). Among all other differences, at most 5 % are
//! expected to be wrong. Benjamini and Hochberg's procedure selects them, and their intervals have
//! the level that Benjamini and Yekutieli give for selected intervals (J. Am. Stat. Assoc. 100,
//! 2005).

use crate::analysis::statistics::Estimate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Default margin of equality, as a fraction of the time: differences up to 2 % are negligible.
pub const MARGIN: f64 = 0.02;

/// Permitted probability of any wrong difference (headline), or expected share of wrong differences
/// (rest).
const ALPHA: f64 = 0.05;

/// The verdict on one layout (or run) in comparison with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It takes less time, by more than the margin and the noise floor.
    Faster,
    /// It takes more time, by more than the margin and the noise floor.
    Slower,
    /// The difference is within the margin.
    Equal,
    /// The data do not support any of the others.
    Undecided,
}

impl Verdict {
    /// True unless it is [`Self::Undecided`].
    pub fn is_decided(self) -> bool {
        self != Self::Undecided
    }

    /// True for [`Self::Faster`] and [`Self::Slower`].
    pub fn is_difference(self) -> bool {
        matches!(self, Self::Faster | Self::Slower)
    }

    /// The verdict with the two sides exchanged.
    pub fn inverted(self) -> Self {
        match self {
            Self::Faster => Self::Slower,
            Self::Slower => Self::Faster,
            Self::Equal | Self::Undecided => self,
        }
    }

    /// Name in reports, e.g. `faster`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Equal => "equal",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The correction for multiple comparisons that applies to a set of comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The probability of any wrong difference is at most 5 %. The correction is for this number of
    /// comparisons, or for the number that are judged if that is larger. Comparing the best of
    /// several layouts with the others counts as comparing all pairs.
    Headline(usize),
    /// At most 5 % of the differences are expected to be wrong.
    Rest,
}

/// A comparison to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Estimate of the log of the ratio; `None` if there are too few processes.
    pub log_ratio: Option<Estimate>,
    /// Noise floor as a fraction of the time; `None` without a control.
    pub noise_floor: Option<f64>,
}

/// The result of judging a [`Comparison`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Corrected confidence interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// The 95 % confidence interval of this comparison alone, without correction.
    pub interval_95: Option<(f64, f64)>,
    /// The noise floor that was applied, as a fraction of the time; `None` without a control.
    pub noise_floor: Option<f64>,
}

/// Judges the comparisons of a family. `margin` is the margin of equality, as a fraction of the
/// time.
///
/// ```
/// use pfnbench::analysis::judge::{Comparison, Family, MARGIN, Verdict, judge};
/// use pfnbench::analysis::statistics::Estimate;
///
/// // 20 % more time, in five processes, on a machine with a noise floor of 1 %.
/// let logs = [1.19f64, 1.21, 1.20, 1.20, 1.22].map(f64::ln);
/// let comparison = Comparison { log_ratio: Estimate::from_processes(&logs), noise_floor: Some(0.01) };
/// assert_eq!(judge(Family::Rest, &[comparison], MARGIN)[0].verdict, Verdict::Slower);
/// ```
pub fn judge(family: Family, comparisons: &[Comparison], margin: f64) -> Vec<Judged> {
    let alpha = corrected(family, comparisons, margin);
    comparisons.iter().map(|comparison| comparison.judged(alpha, margin)).collect()
}

/// The error level of each corrected interval of a family.
fn corrected(family: Family, comparisons: &[Comparison], margin: f64) -> f64 {
    let mut ps: Vec<f64> = comparisons
        .iter()
        .filter_map(|comparison| Some(comparison.log_ratio?.p_beyond(comparison.threshold(margin))))
        .collect();
    let nr = ps.len().max(1) as f64;
    match family {
        Family::Headline(possible) => ALPHA / nr.max(possible as f64),
        Family::Rest => {
            ps.sort_by(f64::total_cmp);
            let is_selected = |(at, p): &(usize, &f64)| **p <= ALPHA * (at + 1) as f64 / nr;
            let selected = ps.iter().enumerate().filter(is_selected).map(|(at, _)| at + 1).max().unwrap_or(1);
            ALPHA * selected as f64 / nr
        }
    }
}

impl Comparison {
    /// The absolute log ratio above which a difference counts: the larger of margin and noise
    /// floor.
    fn threshold(&self, margin: f64) -> f64 {
        self.noise_floor.map_or(margin, |floor| floor.max(margin)).ln_1p()
    }

    fn judged(&self, alpha: f64, margin: f64) -> Judged {
        let (interval, interval_95, noise_floor) = (None, None, self.noise_floor);
        let undecided = Judged { verdict: Verdict::Undecided, interval, interval_95, noise_floor };
        let Some(estimate) = self.log_ratio else { return undecided };
        let (low, high) = estimate.interval(alpha);
        let of_ratio = |(low, high): (f64, f64)| Some((low.exp(), high.exp()));
        let undecided =
            Judged { interval: of_ratio((low, high)), interval_95: of_ratio(estimate.interval(ALPHA)), ..undecided };
        let Some(floor) = self.noise_floor else { return undecided };
        let (threshold, negligible) = (self.threshold(margin), margin.ln_1p());
        // Two one-sided tests at 5 % each.
        let (inner_low, inner_high) = estimate.interval(2.0 * ALPHA);
        let verdict = if high < -threshold {
            Verdict::Faster
        } else if low > threshold {
            Verdict::Slower
        } else if floor <= margin && -negligible <= inner_low && inner_high <= negligible {
            Verdict::Equal
        } else {
            Verdict::Undecided
        };
        Judged { verdict, ..undecided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(mean: f64, error: f64, floor: f64) -> Comparison {
        Comparison { log_ratio: Some(Estimate { mean, error, freedom: 6.0 }), noise_floor: Some(floor) }
    }

    fn alone(comparison: Comparison) -> Verdict {
        judge(Family::Headline(1), &[comparison], MARGIN)[0].verdict
    }

    #[test]
    fn each_verdict_has_its_conditions() {
        assert_eq!(alone(comparison(0.4, 0.01, 0.01)), Verdict::Slower);
        assert_eq!(alone(comparison(-0.4, 0.01, 0.01)), Verdict::Faster);
        assert_eq!(alone(comparison(0.001, 0.003, 0.01)), Verdict::Equal);
        assert_eq!(alone(comparison(0.001, 0.02, 0.01)), Verdict::Undecided, "too wide to be equal");
        assert_eq!(alone(comparison(0.03, 0.01, 0.01)), Verdict::Undecided, "too close to the margin to be slower");
    }

    #[test]
    fn differences_within_the_noise_floor_are_undecided() {
        assert_eq!(alone(comparison(0.05, 0.001, 0.01)), Verdict::Slower);
        assert_eq!(alone(comparison(0.05, 0.001, 0.06)), Verdict::Undecided);
        // If the control differs from itself by more than the margin, nothing is equal.
        assert_eq!(alone(comparison(0.001, 0.003, 0.03)), Verdict::Undecided);
        assert_eq!(alone(Comparison { noise_floor: None, ..comparison(0.4, 0.01, 0.0) }), Verdict::Undecided);
        assert_eq!(alone(Comparison { log_ratio: None, noise_floor: Some(0.01) }), Verdict::Undecided);
    }

    #[test]
    fn more_comparisons_widen_each_interval() {
        let near = comparison(0.055, 0.01, 0.01);
        assert_eq!(alone(near), Verdict::Slower);
        let mut family = vec![near];
        family.extend(vec![comparison(0.0, 0.01, 0.01); 50]);
        assert_eq!(judge(Family::Headline(1), &family, MARGIN)[0].verdict, Verdict::Undecided);
        assert_eq!(judge(Family::Rest, &family, MARGIN)[0].verdict, Verdict::Undecided);
        // The false-discovery rate permits a less clear difference among many clear ones.
        let mut clear = vec![near];
        clear.extend(vec![comparison(0.5, 0.01, 0.01); 50]);
        assert_eq!(judge(Family::Rest, &clear, MARGIN)[0].verdict, Verdict::Slower);
        assert_eq!(judge(Family::Headline(1), &clear, MARGIN)[0].verdict, Verdict::Undecided);
    }

    #[test]
    fn a_wider_margin_calls_more_equal() {
        let comparison = comparison(0.03, 0.006, 0.01);
        assert_eq!(judge(Family::Rest, &[comparison], 0.02)[0].verdict, Verdict::Undecided);
        assert_eq!(judge(Family::Rest, &[comparison], 0.05)[0].verdict, Verdict::Equal);
    }
}
