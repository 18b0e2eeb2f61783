//! Sizes as tools print them.

/// What a letter without `i` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// `1K` is 1024 bytes (`lsmem`).
    Binary,
    /// `1 KB` is 1000 bytes (`ndctl -u`).
    Decimal,
}

/// Bytes of `134217728`, `0x8000000`, `128M`, `2.6G`, `250.00 MiB (262.14 MB)`; `None` for anything else.
pub(super) fn parse(text: &str, unit: Unit) -> Option<u64> {
    let text = text.split('(').next()?.trim();
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let (number, word) = (text[..digits].replace(',', "."), text[digits..].trim());
    let word = word.to_ascii_lowercase();
    let (letter, rest) = match word.chars().next() {
        None | Some('b') if word.len() <= 1 => return number.parse().ok(),
        Some(letter) => (letter, &word[letter.len_utf8()..]),
        None => return None,
    };
    let power = "kmgtpe".find(letter)? as i32 + 1;
    let base: f64 = match (rest, unit) {
        ("ib", _) | ("" | "b", Unit::Binary) => 1024.0,
        ("b", Unit::Decimal) => 1000.0,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * base.powi(power);
    (bytes < 2f64.powi(63)).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_tools() {
        for (text, unit, bytes) in [
            ("134217728", Unit::Binary, Some(134_217_728)),
            ("0B", Unit::Binary, Some(0)),
            ("0x8000000", Unit::Decimal, Some(134_217_728)),
            ("128M", Unit::Binary, Some(128 << 20)),
            ("2,5G", Unit::Binary, Some(5 << 29)),
            ("250.00 MiB (262.14 MB)", Unit::Decimal, Some(250 << 20)),
            ("1.5 TB", Unit::Decimal, Some(1_500_000_000_000)),
            ("16 parsecs", Unit::Binary, None),
            ("12 GiBs", Unit::Binary, None),
            ("", Unit::Binary, None),
            ("1.2.3G", Unit::Binary, None),
            ("-5", Unit::Binary, None),
            ("99999E", Unit::Binary, None),
        ] {
            assert_eq!(parse(text, unit), bytes, "{text:?}");
        }
    }
}
