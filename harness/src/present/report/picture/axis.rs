//! Axes: their range, linear or logarithmic, and their ticks.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// An axis with a range, a linear or logarithmic scale, and ticks.
#[derive(Clone, Debug)]
pub struct Axis {
    range: Range<f64>,
    is_log: bool,
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// A linear axis from zero to slightly more than `top`, with round ticks.
    pub fn from_zero(top: f64) -> Self {
        // Beyond the range of measured values, the step could overflow.
        let top = if top > 0.0 && top < 1e100 { top } else { 1.0 };
        let step = round_step(top / 5.0);
        let end = (top * 1.04 / step).ceil() * step;
        let ticks = (0..=(end / step).round() as u32).map(|nr| f64::from(nr) * step).collect();
        Self { range: 0.0..end, is_log: false, ticks }
    }

    /// A logarithmic axis over the positive values. Its range extends below the lowest by the
    /// factor `low_room`, and above the highest by the factor `high_room`. Without positive values
    /// it is from 1 to 10.
    pub fn log(values: impl Iterator<Item = f64>, low_room: f64, high_room: f64) -> Self {
        let values: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        let (low, high) = if low.is_finite() { (low / low_room, high * high_room) } else { (1.0, 10.0) };
        Self { ticks: decimal_ticks(low, high), range: low..high, is_log: true }
    }

    /// A linear axis around two values, with a margin on both sides and three ticks.
    pub fn between(low: f64, high: f64) -> Self {
        let room = ((high - low) * 0.2).max(high.abs() * 0.01).max(f64::MIN_POSITIVE);
        let range = low - room..high + room;
        let ticks = [0.15, 0.5, 0.85].map(|share| range.start + share * (range.end - range.start));
        Self { ticks: ticks.into(), range, is_log: false }
    }

    /// A linear axis for ratios from `low` to `high`, with 1 on it and round ticks.
    pub fn around_one(low: f64, high: f64) -> Self {
        // An unknown end is that of a narrow axis.
        let known = |end: f64, other: f64| if end.is_nan() { other } else { end };
        let (low, high) = (known(low, 0.95).clamp(0.0, 0.95), known(high, 1.05).clamp(1.05, 1e6));
        let step = round_step((high - low) / 4.0);
        let (first, last) = ((low / step).floor() as i32, (high / step).ceil() as i32);
        let ticks: Vec<f64> = (first..=last).map(|nr| f64::from(nr) * step).collect();
        Self { range: f64::from(first) * step..f64::from(last) * step, is_log: false, ticks }
    }

    /// Replaces the ticks with at most five powers of two.
    pub fn with_binary_ticks(self) -> Self {
        let powers = |every: usize| -> Vec<f64> {
            let powers = (-60..=60).step_by(every).map(|power| 2f64.powi(power));
            powers.filter(|tick| self.holds(*tick)).collect()
        };
        let ticks = (1..=30).map(powers).find(|ticks| ticks.len() <= 5).unwrap_or_default();
        Self { ticks, ..self }
    }

    /// Removes every second tick, for narrow charts.
    pub fn with_every_other_tick(self) -> Self {
        Self { ticks: self.ticks.iter().step_by(2).copied().collect(), ..self }
    }

    /// Replaces the ticks.
    pub fn with_ticks(self, ticks: Vec<f64>) -> Self {
        Self { ticks, ..self }
    }

    /// An axis of `nr` categories, each one unit wide, without ticks.
    pub fn places(nr: usize) -> Self {
        Self { range: 0.0..nr.max(1) as f64, is_log: false, ticks: Vec::new() }
    }

    /// Lower end of the range.
    pub fn low(&self) -> f64 {
        self.range.start
    }

    /// Upper end of the range.
    pub fn high(&self) -> f64 {
        self.range.end
    }

    /// True if the value is within the range, ends included.
    pub fn holds(&self, value: f64) -> bool {
        (self.range.start..=self.range.end).contains(&value)
    }
}

/// Round numbers between two positive values: the finest choice with at most eight ticks.
fn decimal_ticks(low: f64, high: f64) -> Vec<f64> {
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let within = |(steps, every): &(&[f64], i32)| -> Vec<f64> {
        let decades = exponents.clone().filter(|exponent| exponent.rem_euclid(*every) == 0);
        let all = decades.flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let choices: [(&[f64], i32); 6] = [
        (&[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0], 1),
        (&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], 1),
        (&[1.0, 2.0, 5.0], 1),
        (&[1.0, 3.0], 1),
        (&[1.0], 1),
        (&[1.0], 3),
    ];
    choices.iter().map(within).find(|ticks| ticks.len() <= 8).unwrap_or_default()
}

/// The smallest round distance of ticks that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= least).unwrap_or(least)
}

/// The factor by which a logarithmic axis over values that span the factor `span` extends at its end, so that names of
/// layouts fit beside the last points of a panel.
pub fn room_for_names(span: f64) -> f64 {
    // The names take less than half of the width.
    span.max(1.1).powf(0.45 / 0.55)
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = match self.is_log {
            true => (value / self.range.start).ln() / (self.range.end / self.range.start).ln(),
            false => (value - self.range.start) / (self.range.end - self.range.start),
        };
        // Values outside the range are drawn just beyond its ends; NaN is drawn at the start.
        let share = if share.is_nan() { 0.0 } else { share.clamp(-0.01, 1.01) };
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// Formats a number for a tick with up to three decimals, without trailing zeros.
pub fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_a_few_ticks_within_them() {
        for (low, high) in [(0.3, 3.0), (1.0, 1e9), (5.0, 6.0), (0.01, 0.012)] {
            let axis = Axis::log([low, high].into_iter(), 1.5, 1.5);
            assert!(axis.ticks.len() <= 8, "{low} {high}: {:?}", axis.ticks);
            assert!(axis.ticks.iter().all(|tick| axis.holds(*tick)));
        }
        for (low, high) in [(0.999, 1.001), (0.2, 3.0), (0.97, 1e5), (f64::NAN, f64::NAN)] {
            let axis = Axis::around_one(low, high);
            assert!((2..=8).contains(&axis.ticks.len()) && axis.holds(1.0), "{low} {high}: {axis:?}");
        }
        for top in [0.0, 0.7, 1.0, 123.0, 9.99e8, f64::NAN] {
            let axis = Axis::from_zero(top);
            assert!((3..=8).contains(&axis.ticks.len()) && axis.range.end >= top.max(0.0), "{top}: {axis:?}");
        }
    }
}
