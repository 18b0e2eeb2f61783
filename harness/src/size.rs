//! Parses sizes and addresses in bytes. All of pfnbench uses this grammar.
//!
//! | written | bytes |
//! | --- | --- |
//! | `4096`, `4096B`, `0x1000` | 4096 |
//! | `2M`, `2m`, `2MiB` | 2 · 1024² |
//! | `2MB` | 2 · 1000² |
//! | `1.5G`, `1,5G` | 1.5 · 1024³ |
//!
//! Units are K, M, G, T, P and E. A letter alone is a power of 1024, as in `lsmem`, `ndctl` and
//! kernel parameters. A letter with `B` is an SI unit, a power of 1000. Fractions of a byte are
//! truncated.

use std::ops::Range;
use thiserror::Error;

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// It is not a number, or its unit is unknown.
    #[error(
        "{0:?} is not a size; sizes are bytes or a number with a unit: K, M, G, T, P, E (powers of 1024) or KB, MB, … (powers of 1000); try 512M"
    )]
    NotASize(String),
    /// It starts with `0x`, and the rest is not a hexadecimal number of at most 64 bits.
    #[error("{0:?} is not a hexadecimal number of at most 64 bits; try 0x100000000")]
    NotHexadecimal(String),
    /// It is 2^64 bytes or more.
    #[error("{0:?} is 2^64 bytes or more; the largest unit is E, try 4E")]
    TooLarge(String),
}

/// Number of decimals that are read; further decimals are ignored.
const MOST_DECIMALS: usize = 15;

/// Parses a size or an address, and returns it in bytes.
///
/// ```
/// use pfnbench::size::parse_size;
/// assert_eq!(parse_size("3T"), Ok(3 << 40));
/// assert_eq!(parse_size("3TB"), Ok(3_000_000_000_000));
/// ```
///
/// # Errors
/// Returns a [`SizeError`] that names the rule and a valid size.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let (trimmed, told) = (text.trim(), || text.to_owned());
    if let Some(hex) = trimmed.strip_prefix("0x").or_else(|| trimmed.strip_prefix("0X")) {
        // `from_str_radix` would accept a sign.
        let hex = Some(hex).filter(|hex| hex.starts_with(|digit: char| digit.is_ascii_hexdigit()));
        let number = hex.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        return number.ok_or_else(|| SizeError::NotHexadecimal(told()));
    }
    let digits = trimmed.find(|char: char| !(char.is_ascii_digit() || ".,".contains(char))).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let (whole, parts) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(parts) {
        return Err(SizeError::NotASize(told()));
    }
    let unit = unit_bytes(unit.trim()).ok_or_else(|| SizeError::NotASize(told()))?;
    let parts = &parts[..parts.len().min(MOST_DECIMALS)];
    // Less than 10^15 times 2^60, which fits in 128 bits.
    let behind = parts.parse::<u128>().unwrap_or(0) * unit / 10u128.pow(parts.len() as u32);
    let whole = whole.parse::<u64>().ok().map(|whole| u128::from(whole) * unit);
    whole.and_then(|whole| u64::try_from(whole + behind).ok()).ok_or_else(|| SizeError::TooLarge(told()))
}

/// Bytes of a unit; `None` if the unit is unknown.
fn unit_bytes(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let letter = match unit.chars().next() {
        None | Some('b') if unit.len() <= 1 => return Some(1),
        letter => letter?,
    };
    let power = 1 + "kmgtpe".find(letter)? as u32;
    match &unit[1..] {
        "" | "ib" => Some(1024u128.pow(power)),
        "b" => Some(1000u128.pow(power)),
        _ => None,
    }
}

/// Why a text is not a range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RangeError {
    /// It is neither two addresses nor an address and a size.
    #[error("{0:?} is not a range; try 0x100000000-0x1fbffffff (first and last byte) or 0x100000000+4032M")]
    NotARange(String),
    /// It is not a range of at least one byte.
    #[error("{0:?} is not a range of at least one byte; try 0x100000000+4032M")]
    Empty(String),
    /// Its last byte is before its first.
    #[error("{0:?} is not a range: it ends before it starts; try 0x100000000-0x1fbffffff")]
    Backwards(String),
    /// It ends at 2^64 or above.
    #[error("{0:?} ends at 2^64 or above; choose a lower start or a smaller size")]
    TooLarge(String),
}

/// Parses a range of addresses, and returns its first byte and one past its last: first and last
/// byte as in `/proc/iomem`, or a start and a size. Addresses are hexadecimal, with or without `0x`.
///
/// ```
/// use pfnbench::size::parse_range;
/// assert_eq!(parse_range("0xc8000000+1G"), Ok(0xc800_0000..0x1_0800_0000));
/// assert_eq!(parse_range("c8000000-cfffffff"), Ok(0xc800_0000..0xd000_0000));
/// ```
///
/// # Errors
/// Returns a [`RangeError`] that names the rule and a valid range.
pub fn parse_range(text: &str) -> Result<Range<u64>, RangeError> {
    let told = || text.chars().take(80).collect::<String>();
    let not_a_range = || RangeError::NotARange(told());
    let hex = |part: &str| {
        let part = part.trim();
        let digits = part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")).unwrap_or(part);
        let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u64::from_str_radix(digits, 16) {
            Ok(number) => Ok(number),
            Err(_) if is_hex => Err(RangeError::TooLarge(told())),
            Err(_) => Err(not_a_range()),
        }
    };
    match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), None) => {
            let (first, last) = (hex(first)?, hex(last)?);
            let end = last.checked_add(1).ok_or_else(|| RangeError::TooLarge(told()))?;
            if last < first { Err(RangeError::Backwards(told())) } else { Ok(first..end) }
        }
        (None, Some((start, size))) => {
            let start = hex(start)?;
            let size = parse_size(size).map_err(|error| match error {
                SizeError::TooLarge(_) => RangeError::TooLarge(told()),
                _ => not_a_range(),
            })?;
            let end = start.checked_add(size).ok_or_else(|| RangeError::TooLarge(told()))?;
            if size == 0 { Err(RangeError::Empty(told())) } else { Ok(start..end) }
        }
        _ => Err(not_a_range()),
    }
}

/// Formats a size as a command line argument: exact, in the largest possible unit up to T.
///
/// ```
/// use pfnbench::size::{argument, parse_size};
/// assert_eq!(argument(2032 << 20), "2032M");
/// assert_eq!(parse_size(&argument(4097)), Ok(4097));
/// ```
pub fn argument(bytes: u64) -> String {
    let units = [(40, "T"), (30, "G"), (20, "M"), (10, "K")];
    let exact = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    exact.map_or_else(|| bytes.to_string(), |(shift, suffix)| format!("{}{suffix}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_power_of_1024_or_with_b_of_1000() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("0B", 0),
            ("64K", 64 << 10),
            ("2MiB", 2 << 20),
            ("1g", 1 << 30),
            ("3T", 3 << 40),
            ("3TB", 3_000_000_000_000),
            ("15E", 15 << 60),
            ("250.00 MiB", 250 << 20),
            ("2,5G", 5 << 29),
            ("1.5 TB", 1_500_000_000_000),
            ("1.3K", 1331),
            ("0.0000000000000000001E", 0),
            ("0x1f", 31),
            ("0x8000000", 134_217_728),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn ranges_are_two_addresses_or_a_start_and_a_size() {
        for (text, start, end) in [
            ("0x100000000-0x1fbffffff", 1 << 32, 0x1_fc00_0000),
            ("100000000 - 1fbffffff", 1 << 32, 0x1_fc00_0000),
            ("0X100000000+4032M", 1 << 32, 0x1_fc00_0000),
            ("0-0", 0, 1),
            ("0x0+1", 0, 1),
            ("fffffffffffffffe-fffffffffffffffe", u64::MAX - 1, u64::MAX),
        ] {
            assert_eq!(parse_range(text), Ok(start..end), "{text}");
        }
        type Wrong = fn(String) -> RangeError;
        let cases: [(&[&str], Wrong); 4] = [
            (
                &["", "0x1000", "-", "+", "0x-0x", "0x1000+", "x+1G", "1-2-3", "0x1000+1Q", "1+-1", "0x+1"],
                RangeError::NotARange,
            ),
            (&["0x1000+0", "0x1000+0G"], RangeError::Empty),
            (&["0x2000-0x1fff"], RangeError::Backwards),
            (&["0xffffffffffffffff+2", "0-ffffffffffffffff", "0x1+16E", "10000000000000000+1"], RangeError::TooLarge),
        ];
        for (texts, error) in cases {
            for text in texts {
                assert_eq!(parse_range(text), Err(error((*text).to_owned())), "{text}");
            }
        }
    }

    #[test]
    fn invalid_sizes_are_errors_with_a_valid_example() {
        for text in ["", "x", "M", "1Q", "-1", "-5", "1.2.3G", "1.", ".5G", "16 parsecs", "12 GiBs", "5µ", "1kk"] {
            assert_eq!(parse_size(text), Err(SizeError::NotASize(text.to_owned())), "{text}");
        }
        for text in ["99999999999999999999", "18446744073709551615T", "16E", "99999E"] {
            assert_eq!(parse_size(text), Err(SizeError::TooLarge(text.to_owned())), "{text}");
        }
        for text in ["0x", "0x+1", "0x1G", "0x10000000000000000"] {
            assert_eq!(parse_size(text), Err(SizeError::NotHexadecimal(text.to_owned())), "{text}");
        }
        let works = SizeError::TooLarge("16E".to_owned()).to_string();
        assert_eq!(parse_size(works.rsplit(' ').next().unwrap()), Ok(4 << 60), "the example in the message is valid");
    }
}
