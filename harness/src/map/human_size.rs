//! Sizes as the tools of `ndctl` print them for people: `250.00 MiB (262.14 MB)`, rounded in both
//! units.

use crate::size::parse_size;

/// Why a text is not such a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotASize {
    /// It is not a size.
    Unreadable,
    /// No number of bytes rounds to both of its units.
    Contradicting,
}

/// The bytes that a size may stand for, first and last.
type Interval = (u64, u64);

/// Parses a size that is rounded. Of the numbers that it may stand for, a whole number of its unit is
/// taken, or else the multiple of `align`, of 2 MiB, or of 4 KiB that is in the middle.
pub(super) fn parse(text: &str, align: Option<u64>) -> Result<u64, NotASize> {
    let (first, second) = match text.split_once('(') {
        Some((first, second)) => (first, Some(second.trim_end().trim_end_matches(')'))),
        None => (text, None),
    };
    let (low, high) = interval(first)?;
    let (low, high) = match second.map(interval).transpose()? {
        Some((second_low, second_high)) => (low.max(second_low), high.min(second_high)),
        None => (low, high),
    };
    if low > high {
        return Err(NotASize::Contradicting);
    }
    let whole = first.trim().split_once(['.', ',']).and_then(|(whole, decimals)| {
        let (decimals, unit) = decimals.split_at(decimals.bytes().take_while(u8::is_ascii_digit).count());
        decimals.bytes().all(|digit| digit == b'0').then(|| parse_size(&format!("{whole}{unit}")).ok())?
    });
    if let Some(bytes) = whole.filter(|bytes| (low..=high).contains(bytes)) {
        return Ok(bytes);
    }
    let middle = low + (high - low) / 2;
    let steps = [align.unwrap_or(0), 2 << 20, 4096];
    let nearest = |step: u64| {
        let below = middle - middle % step;
        let candidates = [Some(below), below.checked_add(step)];
        let inside = candidates.into_iter().flatten().filter(|bytes| (low..=high).contains(bytes));
        inside.min_by_key(|bytes| bytes.abs_diff(middle))
    };
    Ok(steps.into_iter().filter(|step| *step > 0).find_map(nearest).unwrap_or(middle))
}

/// The bytes that round to a number with a unit. A number without a fraction is exact.
fn interval(text: &str) -> Result<Interval, NotASize> {
    let text = text.trim();
    let exact = parse_size(text).map_err(|_| NotASize::Unreadable)?;
    let Some((whole, rest)) = text.split_once(['.', ',']) else { return Ok((exact, exact)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (decimals, unit) = rest.split_at(digits.min(6));
    // There are no parts of a byte.
    if unit.trim_start_matches(|char: char| char.is_ascii_digit()).trim().is_empty() {
        return Err(NotASize::Unreadable);
    }
    // Half a step of the last decimal, in bytes, rounded outwards.
    let unit = parse_size(&format!("1{}", unit.trim_start_matches(|char: char| char.is_ascii_digit()).trim()));
    let unit = u128::from(unit.map_err(|_| NotASize::Unreadable)?);
    let scale = 10u128.pow(decimals.len() as u32);
    let number: u128 = format!("{whole}{decimals}").parse().map_err(|_| NotASize::Unreadable)?;
    let bytes =
        |doubled: u128| u64::try_from(doubled.saturating_mul(unit) / (2 * scale)).map_err(|_| NotASize::Unreadable);
    Ok((bytes((2 * number).saturating_sub(1))?, bytes(2 * number + 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_units_are_respected() {
        assert_eq!(parse("1488.37 GiB (1598.13 GB)", Some(2 << 20)), Ok(1_598_128_390_144));
        assert_eq!(parse("250.00 MiB (262.14 MB)", None), Ok(250 << 20));
        assert_eq!(parse("252.00 GiB (270.58 GB)", None), Ok(252 << 30));
        assert_eq!(parse("16.00 MiB (16.78 MB)", None), Ok(16 << 20));
        assert_eq!(parse("4096", None), Ok(4096));
        assert_eq!(parse("250.00 MiB (362.14 MB)", None), Err(NotASize::Contradicting));
        assert_eq!(parse("250 bananas", None), Err(NotASize::Unreadable));
        assert_eq!(parse("1.5", None), Err(NotASize::Unreadable));
        assert_eq!(parse("99999999999.00 EiB", None), Err(NotASize::Unreadable));
    }

    #[test]
    fn a_printed_size_is_found_again() {
        // As `ndctl -u` prints it.
        let printed = |bytes: u64| {
            let (binary, decimal, letter) = if bytes >= 2 << 30 { (30, 1e9, 'G') } else { (20, 1e6, 'M') };
            let of = |unit: f64| bytes as f64 / unit;
            format!("{:.2} {letter}iB ({:.2} {letter}B)", of((1u64 << binary) as f64), of(decimal))
        };
        for step in [2 << 20, 16 << 20, 1 << 30] {
            for bytes in (3..40).chain([127, 1021, 2047]).map(|nr| nr * step) {
                let found = parse(&printed(bytes), Some(step)).unwrap();
                assert_eq!((printed(found), found % step), (printed(bytes), 0), "{bytes}");
                // Below 2 GiB, the decimals tell multiples of 2 MiB apart.
                assert!(found == bytes || bytes >= 2 << 30 && step < 1 << 30, "{bytes} {found}");
            }
        }
    }
}
