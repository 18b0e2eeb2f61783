//! Values that a message carries, by the names of the groups in its pattern.

use super::errno;
use super::fact::sized;
use crate::size::parse_size;
use serde::Serialize;

/// The unit of a value. It follows from the name of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A physical address.
    Address,
    /// An address that is not physical: of kernel or process, or within a device.
    OtherAddress,
    /// Bytes: decimal, hexadecimal with `0x`, or with a unit.
    Bytes,
    /// Bytes in hexadecimal, with or without `0x`.
    HexBytes,
    /// Mebibytes.
    Mebibytes,
    /// A page frame number in hexadecimal.
    Frame,
    /// A decimal number.
    Count,
    /// An error number or its text.
    Errno,
    /// A name or a word.
    Text,
}

impl Unit {
    /// The unit of a group; `None` if the name is unknown. A test asks for the names in the table.
    pub(super) fn of_group(name: &str) -> Option<Self> {
        Some(match name {
            "start" | "end" | "base" | "min" | "max" | "last" => Self::Address,
            "virtual" | "virtual_end" | "dpa" | "dpa_end" => Self::OtherAddress,
            "size" | "block" | "align" | "bytes" | "page" | "cache" | "offset" | "mask" | "granularity" | "want"
            | "maxmem" => Self::Bytes,
            "align_hex" | "size_hex" | "used_hex" | "total_hex" => Self::HexBytes,
            "mib" | "block_mib" | "covered_mib" | "ram_mib" => Self::Mebibytes,
            "pfn" | "start_pfn" | "end_pfn" => Self::Frame,
            "pages" | "old" | "new" | "node" | "order" | "bits" | "ways" | "blocks" | "mapping" | "pxm" | "count"
            | "number" | "type" | "ret" | "line" => Self::Count,
            "errno" => Self::Errno,
            "action" | "decoder" | "device" | "dimm" | "driver" | "flags" | "function" | "kind" | "memdev" | "mode"
            | "name" | "namespace" | "path" | "port" | "property" | "reason" | "region" | "side" | "state" | "task"
            | "text" | "unit" | "who" | "window" => Self::Text,
            _ => return None,
        })
    }

    fn is_number(self) -> bool {
        !matches!(self, Self::Errno | Self::Text)
    }
}

/// The name of a value, without the `_2` of an alternative group for the same value.
pub(super) fn canonical(group: &str) -> &str {
    group.strip_suffix("_2").unwrap_or(group)
}

/// A value in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// Its name in the rule, e.g. `start`.
    pub name: &'static str,
    /// As the line has it.
    pub text: String,
    /// Its unit.
    pub unit: Unit,
    /// The number: an address, bytes (for mebibytes too), a page frame or a count. `None` for texts,
    /// negative numbers, and numbers that need more than 64 bits.
    pub number: Option<u64>,
    /// For people: sizes in binary units and in hex, errors with their names.
    pub shown: String,
}

/// Parses hexadecimal digits. Old kernels print `0x` twice.
fn hex(text: &str) -> Option<u64> {
    let digits = text.trim_start_matches("0x");
    // `from_str_radix` would accept a sign.
    let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hex { u64::from_str_radix(digits, 16).ok() } else { None }
}

impl Value {
    /// A value from the text of a group.
    pub(super) fn new(group: &'static str, text: &str) -> Self {
        let name = canonical(group);
        let unit = Unit::of_group(name).unwrap_or(Unit::Text);
        let text = text.trim();
        let number = match unit {
            Unit::Address | Unit::OtherAddress | Unit::HexBytes | Unit::Frame => hex(text),
            Unit::Bytes => parse_size(text).ok(),
            Unit::Mebibytes => text.parse::<u64>().ok().and_then(|mib| mib.checked_mul(1 << 20)),
            Unit::Count => text.parse().ok(),
            Unit::Errno | Unit::Text => None,
        };
        let (text, shown) = match (unit, number) {
            (Unit::Address | Unit::OtherAddress, Some(number)) => (text, format!("{number:#x}")),
            (Unit::Bytes | Unit::HexBytes | Unit::Mebibytes, Some(number)) => (text, sized(number)),
            (Unit::Frame, Some(number)) => (text, format!("{number:#x}")),
            (Unit::Errno, _) => errno_of(text),
            _ => (text, text.to_owned()),
        };
        Self { name, text: text.to_owned(), unit, number, shown }
    }

    /// Whether it is a number that needs more than 64 bits.
    pub fn is_too_large(&self) -> bool {
        let digits = || self.text.bytes().all(|char| char.is_ascii_hexdigit() || char == b'x');
        self.number.is_none() && self.unit.is_number() && self.text.len() > 16 && digits()
    }
}

/// The text of an error without what follows it in the line, and the error with its name.
fn errno_of(text: &str) -> (&str, String) {
    match (errno::by_number(text), errno::by_text(text)) {
        (Some(errno), _) => (text, format!("{text} ({}, {})", errno.name, errno.text)),
        (None, Some(errno)) => (errno.text, format!("{} ({}, -{})", errno.text, errno.name, errno.number)),
        (None, None) => (text, text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parsed_by_their_names() {
        let value = |group, text| Value::new(group, text);
        let number = |group, text| value(group, text).number;
        assert_eq!(number("start", "0x0000000140000000"), Some(0x1_4000_0000));
        assert_eq!(number("start_2", "0x0x108000000"), Some(0x1_0800_0000), "0x twice, and an alternative group");
        assert_eq!(value("start_2", "0x10").name, "start");
        assert_eq!(number("bytes", "118 MiB"), Some(118 << 20));
        assert_eq!(number("align", "16G"), Some(16 << 30));
        assert_eq!(number("align_hex", "40000000"), Some(1 << 30), "hexadecimal without 0x");
        assert_eq!(number("pfn", "140a3f"), Some(0x140a3f));
        assert_eq!(number("ram_mib", "8185"), Some(8185 << 20));
        assert_eq!(number("node", "-1"), None);
        assert_eq!(value("size", "0x40000000").shown, "1 GiB (0x40000000)");
        assert_eq!(value("errno", "-12").shown, "-12 (ENOMEM, Cannot allocate memory)");
        let errno = value("errno", "Device or resource busy and more");
        assert_eq!((&*errno.text, &*errno.shown), ("Device or resource busy", "Device or resource busy (EBUSY, -16)"));
    }

    #[test]
    fn a_number_beyond_64_bits_is_none_and_is_told_from_a_text() {
        let long = Value::new("start", "0x123456789abcdef012");
        assert_eq!((long.number, long.is_too_large()), (None, true));
        assert!(Value::new("bytes", "99999999999999999999").is_too_large());
        for (group, text) in [("start", "0x..."), ("node", "-1"), ("device", "PNP0C80:0123456789abcdef")] {
            assert!(!Value::new(group, text).is_too_large(), "{text}");
        }
    }
}
