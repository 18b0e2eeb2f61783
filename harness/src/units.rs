//! Figures as people read them.

use memmap_layouts::Bytes;

/// Nanoseconds with three digits and the unit that fits.
pub fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A difference in nanoseconds with its sign, in the unit that fits.
pub fn signed_time(ns: f64) -> String {
    let sign = if ns < 0.0 { '-' } else { '+' };
    format!("{sign}{}", time(ns.abs()))
}

/// A share as percent: `1.2 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A number with three digits.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Bytes that were kept as a number.
pub fn bytes(value: f64) -> String {
    Bytes(value as u64).to_string()
}

/// A size as an argument: exact, with the largest suffix that keeps it so.
///
/// ```
/// use pfnbench::units::{argument, parse_size};
/// assert_eq!(argument(2032 << 20), "2032M");
/// assert_eq!(parse_size(&argument(4097)), Ok(4097));
/// ```
pub fn argument(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let exact = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    exact.map_or_else(|| bytes.to_string(), |(shift, suffix)| format!("{}{suffix}", bytes >> shift))
}

/// `2M`, `512MiB`, `1g`, `0x1fc000000`: a size or an address from the command line.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if let Some(hex) = text.strip_prefix("0x") {
        // A sign is no digit, though the library takes one.
        let hex = Some(hex).filter(|hex| hex.starts_with(|digit: char| digit.is_ascii_hexdigit()));
        let number = hex.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        return number.ok_or_else(|| format!("{text:?} is no hexadecimal number of at most 64 bits"));
    }
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("{text:?} is not a size; write 512M or 1G")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a size; write 512M or 1G"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(time(0.6123), "0.61 ns");
        assert_eq!(time(14_240.0), "14.2 µs");
        assert_eq!(time(9_876_543.0), "9.88 ms");
        assert_eq!(time(2.5e9), "2.50 s");
        assert_eq!(time(123.4), "123 ns");
        assert_eq!((signed_time(0.512).as_str(), signed_time(-1234.0).as_str()), ("+0.51 ns", "-1.23 µs"));
        assert_eq!(percent(0.0123), "1.2 %");
    }

    #[test]
    fn sizes_are_read() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 64 << 10),
            ("2MiB", 2 << 20),
            ("1g", 1 << 30),
            ("3TB", 3 << 40),
            ("0x1f", 31),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in
            ["", "x", "M", "1Q", "-1", "1.5G", "99999999999999999999", "18446744073709551615T", "0x", "0x+1", "0x1G"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
