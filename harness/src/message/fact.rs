//! What follows from the numbers of a message.

use memmap_layouts::ByteSize;
use serde::Serialize;
use std::collections::BTreeMap;

/// A sentence about the numbers of a message, and the numbers in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// The sentence, with sizes in binary units and in hex, without a full stop.
    pub says: String,
    /// The computed numbers by name. Names end with their unit: `_bytes`, `_address`, or a count.
    pub numbers: BTreeMap<&'static str, u64>,
}

impl Fact {
    /// A sentence with its numbers.
    pub(super) fn new<const NR: usize>(says: String, numbers: [(&'static str, u64); NR]) -> Self {
        Self { says, numbers: numbers.into_iter().collect() }
    }
}

/// A size in a binary unit and in hex, e.g. `128 MiB (0x8000000)`. Less than a kibibyte is in bytes only.
pub(super) fn sized(bytes: u64) -> String {
    if bytes < 1024 { ByteSize(bytes).to_string() } else { format!("{} ({bytes:#x})", ByteSize(bytes)) }
}

/// `1 block`, `2 blocks`.
pub(super) fn counted(nr: u64, noun: &str) -> String {
    if nr == 1 { format!("1 {noun}") } else { format!("{nr} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_both_forms() {
        assert_eq!(sized(0), "0 B");
        assert_eq!(sized(64), "64 B");
        assert_eq!(sized(128 << 20), "128 MiB (0x8000000)");
        assert_eq!(counted(1, "block"), "1 block");
        assert_eq!(counted(0, "block"), "0 blocks");
    }
}
