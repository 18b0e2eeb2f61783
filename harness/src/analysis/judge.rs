//! Verdicts: the one place where a comparison of times becomes a word.
//!
//! | verdict | if |
//! | --- | --- |
//! | equal | the 90 % interval lies within ± the margin (two one-sided tests at 5 %), and the noise floor is within it too |
//! | faster, slower | the corrected interval lies beyond the larger of margin and noise floor |
//! | undecided | else |
//!
//! Many comparisons are judged at once, so intervals of differences are corrected. The few that are read first (headline and
//! winners) are a family of their own in which the probability of any wrong difference is at most 5 % (Bonferroni). Of the differences
//! among all others at most 5 % are expected to be wrong: Benjamini and Hochberg select them, and their intervals have the level
//! that Benjamini and Yekutieli give to selected intervals (J. Am. Stat. Assoc. 100, 2005).

use crate::analysis::statistics::Estimate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Differences below this are negligible, unless the user says otherwise: 2 %.
pub const MARGIN: f64 = 0.02;

/// Probability of a wrong difference in a family, or expected share of them.
const ALPHA: f64 = 0.05;

/// What may be said of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Takes less time, by more than is negligible and more than noise.
    Faster,
    /// Takes more.
    Slower,
    /// The difference is negligible.
    Equal,
    /// The run cannot tell.
    Undecided,
}

impl Verdict {
    /// Does it say anything?
    pub fn is_decided(self) -> bool {
        self != Self::Undecided
    }

    /// Is it faster or slower?
    pub fn is_difference(self) -> bool {
        matches!(self, Self::Faster | Self::Slower)
    }

    /// What it is the other way round.
    pub fn inverted(self) -> Self {
        match self {
            Self::Faster => Self::Slower,
            Self::Slower => Self::Faster,
            Self::Equal | Self::Undecided => self,
        }
    }

    /// In reports.
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

/// How many comparisons are corrected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// At most 5 % for any wrong difference among so many comparisons, or among those that are judged if they are more. Whoever judges
    /// the best of some against the others has compared all of them.
    Headline(usize),
    /// At most 5 % of the differences wrong, on average.
    Rest,
}

/// A comparison to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// The log of the ratio; `None` with too few processes.
    pub log_ratio: Option<Estimate>,
    /// How far apart the same layout was from itself, as a share of the time; `None` without a control.
    pub noise_floor: Option<f64>,
}

/// A comparison that was judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The corrected interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// The 95 % interval of this comparison alone.
    pub interval_95: Option<(f64, f64)>,
    /// The noise floor that it was held against, as a share of the time; `None` without a control.
    pub noise_floor: Option<f64>,
}

/// Judges the comparisons of a family; `margin` is what is negligible, as a share of the time.
pub fn judge(family: Family, comparisons: &[Comparison], margin: f64) -> Vec<Judged> {
    let alpha = corrected(family, comparisons, margin);
    comparisons.iter().map(|of| of.judged(alpha, margin)).collect()
}

/// The probability with which each interval of a family may miss.
fn corrected(family: Family, comparisons: &[Comparison], margin: f64) -> f64 {
    let mut ps: Vec<f64> =
        comparisons.iter().filter_map(|of| Some(of.log_ratio?.p_beyond(of.threshold(margin)))).collect();
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
    /// The log of the ratio beyond which there is a difference.
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

    fn of(mean: f64, error: f64, floor: f64) -> Comparison {
        Comparison { log_ratio: Some(Estimate { mean, error, freedom: 6.0 }), noise_floor: Some(floor) }
    }

    fn alone(comparison: Comparison) -> Verdict {
        judge(Family::Headline(1), &[comparison], MARGIN)[0].verdict
    }

    #[test]
    fn one_of_four_words() {
        assert_eq!(alone(of(0.4, 0.01, 0.01)), Verdict::Slower);
        assert_eq!(alone(of(-0.4, 0.01, 0.01)), Verdict::Faster);
        assert_eq!(alone(of(0.001, 0.003, 0.01)), Verdict::Equal);
        assert_eq!(alone(of(0.001, 0.02, 0.01)), Verdict::Undecided, "too wide to be equal");
        assert_eq!(alone(of(0.03, 0.01, 0.01)), Verdict::Undecided, "too near the margin to be slower");
    }

    #[test]
    fn nothing_is_said_inside_the_noise_floor() {
        assert_eq!(alone(of(0.05, 0.001, 0.01)), Verdict::Slower);
        assert_eq!(alone(of(0.05, 0.001, 0.06)), Verdict::Undecided);
        // Nothing is equal where the same is not.
        assert_eq!(alone(of(0.001, 0.003, 0.03)), Verdict::Undecided);
        assert_eq!(alone(Comparison { noise_floor: None, ..of(0.4, 0.01, 0.0) }), Verdict::Undecided);
        assert_eq!(alone(Comparison { log_ratio: None, noise_floor: Some(0.01) }), Verdict::Undecided);
    }

    #[test]
    fn many_comparisons_make_each_harder() {
        let near = of(0.055, 0.01, 0.01);
        assert_eq!(alone(near), Verdict::Slower);
        let mut family = vec![near];
        family.extend(vec![of(0.0, 0.01, 0.01); 50]);
        assert_eq!(judge(Family::Headline(1), &family, MARGIN)[0].verdict, Verdict::Undecided);
        assert_eq!(judge(Family::Rest, &family, MARGIN)[0].verdict, Verdict::Undecided);
        // Among many clear differences one more that is less clear is let through, as the rate allows.
        let mut clear = vec![near];
        clear.extend(vec![of(0.5, 0.01, 0.01); 50]);
        assert_eq!(judge(Family::Rest, &clear, MARGIN)[0].verdict, Verdict::Slower);
        assert_eq!(judge(Family::Headline(1), &clear, MARGIN)[0].verdict, Verdict::Undecided);
    }

    #[test]
    fn a_wider_margin_calls_more_equal() {
        let comparison = of(0.03, 0.006, 0.01);
        assert_eq!(judge(Family::Rest, &[comparison], 0.02)[0].verdict, Verdict::Undecided);
        assert_eq!(judge(Family::Rest, &[comparison], 0.05)[0].verdict, Verdict::Equal);
    }
}
