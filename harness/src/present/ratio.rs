//! Ratios as text, in the terminal and in the report. Every printed ratio comes from here.

use crate::units;

/// A ratio: `1.53×`.
pub fn times(ratio: f64) -> String {
    format!("{}×", units::ratio(ratio))
}

/// A ratio with its confidence interval, if it has one: `1.53× [1.47, 1.60]`.
pub fn with_interval(ratio: f64, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some(ends) => format!("{} {}", times(ratio), units::interval(ends)),
        None => times(ratio),
    }
}

/// Ratios by layout: `flat 0.98×, sparse 1.05×`.
pub fn by_layout(ratios: &[(String, f64)]) -> String {
    ratios.iter().map(|(layout, ratio)| format!("{layout} {}", times(*ratio))).collect::<Vec<_>>().join(", ")
}

/// As [`with_interval`], or a dash without a ratio: a time is close to that of the empty loop.
pub fn or_dash(ratio: Option<f64>, interval: Option<(f64, f64)>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| with_interval(ratio, interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_near_1_have_three_decimals() {
        assert_eq!((times(1.004), times(1.5312), times(23.4)), ("1.004×".into(), "1.53×".into(), "23.4×".into()));
        assert_eq!(by_layout(&[("a".to_owned(), 2.0), ("b".to_owned(), 0.5)]), "a 2.00×, b 0.50×");
        assert_eq!(with_interval(1.5312, Some((1.469, 1.601))), "1.53× [1.46, 1.61]");
        assert_eq!((or_dash(None, Some((1.0, 2.0))), or_dash(Some(2.0), None)), ("–".into(), "2.00×".into()));
    }
}
