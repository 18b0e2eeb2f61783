//! Formats times, ratios, intervals, fractions and sizes for people.

use memmap_layouts::ByteSize;

/// Formats a time in nanoseconds with three digits, in ns, µs, ms or s: `14.2 µs`.
///
/// ```
/// assert_eq!(pfnbench::units::time(14_240.0), "14.2 µs");
/// ```
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// Formats a difference in nanoseconds with its sign: `+0.51 ns`. What rounds to zero has none.
pub fn signed_time(ns: f64) -> String {
    let size = time(ns.abs());
    match ns {
        _ if size == "0.00 ns" => size,
        ns if ns < 0.0 => format!("-{size}"),
        _ => format!("+{size}"),
    }
}

/// Formats a fraction of 1 as percent with one decimal: `1.2 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Formats a number with three digits; below 1, with two decimals.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Formats a ratio with two decimals, or with three if it is close to 1: `1.53`, `1.004`.
pub fn ratio(ratio: f64) -> String {
    if (0.9..=1.1).contains(&ratio) { format!("{ratio:.3}") } else { three_digits(ratio) }
}

/// Formats an interval such as `[1.66, 1.68]`, or `[0.998, 1.003]` close to 1. Bounds are rounded
/// outwards, so that the printed interval contains the exact one.
pub fn interval((low, high): (f64, f64)) -> String {
    let is_near_one = (0.8..=1.25).contains(&low) && (0.8..=1.25).contains(&high);
    let decimals = |value: f64| match value.abs() {
        _ if is_near_one => 3,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    let outwards = |value: f64, round: fn(f64) -> f64| {
        let scale = 10f64.powi(decimals(value));
        // A value that differs from a rounded one only by its last bits is not rounded outwards.
        let scaled = value * scale;
        let rounded = if (scaled - scaled.round()).abs() < 1e-6 { scaled.round() } else { round(scaled) };
        format!("{:.*}", decimals(value) as usize, rounded / scale)
    };
    format!("[{}, {}]", outwards(low, f64::floor), outwards(high, f64::ceil))
}

/// Formats a number of bytes that is stored as a float: `2 MiB`.
pub fn bytes(value: f64) -> String {
    ByteSize(value as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        assert_eq!(time(0.6123), "0.61 ns");
        assert_eq!(time(14_240.0), "14.2 µs");
        assert_eq!(time(9_876_543.0), "9.88 ms");
        assert_eq!(time(2.5e9), "2.50 s");
        assert_eq!(time(123.4), "123 ns");
        assert_eq!((signed_time(0.512).as_str(), signed_time(-1234.0).as_str()), ("+0.51 ns", "-1.23 µs"));
        assert_eq!((signed_time(-0.001).as_str(), signed_time(0.0).as_str()), ("0.00 ns", "0.00 ns"));
        assert_eq!(percent(0.0123), "1.2 %");
    }

    #[test]
    fn intervals_are_rounded_outwards() {
        assert_eq!(interval((1.0001, 1.0049)), "[1.000, 1.005]");
        assert_eq!(interval((0.9999, 1.0001)), "[0.999, 1.001]");
        assert_eq!(interval((1.66, 1.68)), "[1.66, 1.68]");
        assert_eq!(interval((1.661, 42.21)), "[1.66, 42.3]");
    }
}
