//! Axes: their range, linear or logarithmic, and their ticks.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// An axis: from, to, linear or logarithmic, and where its ticks are.
#[derive(Clone, Debug)]
pub struct Axis {
    range: Range<f64>,
    is_log: bool,
    pub(super) ticks: Vec<f64>,
}

impl Axis {
    /// From zero to a little more than `top`.
    pub fn from_zero(top: f64) -> Self {
        // Far above anything that was measured a step would be no number.
        let top = if top > 0.0 && top < 1e100 { top } else { 1.0 };
        let rough = top / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let end = (top * 1.04 / step).ceil() * step;
        let ticks = (0..=(end / step).round() as u32).map(|nr| f64::from(nr) * step).collect();
        Self { range: 0.0..end, is_log: false, ticks }
    }

    /// Logarithmic, with room around the values.
    pub fn log(values: impl Iterator<Item = f64>, low_room: f64, high_room: f64) -> Self {
        let values: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        let (low, high) = if low.is_finite() { (low / low_room, high * high_room) } else { (1.0, 10.0) };
        Self { ticks: decimal_ticks(low, high), range: low..high, is_log: true }
    }

    /// Linear, with room around two values and three ticks.
    pub fn between(low: f64, high: f64) -> Self {
        let room = ((high - low) * 0.2).max(high.abs() * 0.01).max(f64::MIN_POSITIVE);
        let range = low - room..high + room;
        let ticks = [0.15, 0.5, 0.85].map(|share| range.start + share * (range.end - range.start));
        Self { ticks: ticks.into(), range, is_log: false }
    }

    /// The same with ticks at powers of two, at most five of them.
    pub fn with_binary_ticks(self) -> Self {
        let powers = |every: usize| -> Vec<f64> {
            let powers = (-60..=60).step_by(every).map(|power| 2f64.powi(power));
            powers.filter(|tick| self.holds(*tick)).collect()
        };
        let ticks = (1..=30).map(powers).find(|ticks| ticks.len() <= 5).unwrap_or_default();
        Self { ticks, ..self }
    }

    /// The same with half of the ticks, for where there is little room.
    pub fn with_every_other_tick(self) -> Self {
        Self { ticks: self.ticks.iter().step_by(2).copied().collect(), ..self }
    }

    /// The same with ticks of its own.
    pub fn with_ticks(self, ticks: Vec<f64>) -> Self {
        Self { ticks, ..self }
    }

    /// Places 0, 1, … side by side, each one wide.
    pub fn places(nr: usize) -> Self {
        Self { range: 0.0..nr.max(1) as f64, is_log: false, ticks: Vec::new() }
    }

    /// Where it begins.
    pub fn low(&self) -> f64 {
        self.range.start
    }

    /// Where it ends.
    pub fn high(&self) -> f64 {
        self.range.end
    }

    /// Is a value on it?
    pub fn holds(&self, value: f64) -> bool {
        (self.range.start..=self.range.end).contains(&value)
    }
}

/// Round numbers between two values, as many as there are up to eight.
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

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = match self.is_log {
            true => (value / self.range.start).ln() / (self.range.end / self.range.start).ln(),
            false => (value - self.range.start) / (self.range.end - self.range.start),
        };
        // Beyond the axis is drawn at its edge, and what is no number at its beginning.
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

/// A number beside a tick, with no more digits than it needs.
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
        for top in [0.0, 0.7, 1.0, 123.0, 9.99e8, f64::NAN] {
            let axis = Axis::from_zero(top);
            assert!((3..=8).contains(&axis.ticks.len()) && axis.range.end >= top.max(0.0), "{top}: {axis:?}");
        }
    }
}
