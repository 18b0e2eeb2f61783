//! Formatting of sizes in bytes for people.

use std::fmt;

/// A number of bytes, printed with the largest binary unit that keeps it exact, else with two
/// decimals.
///
/// ```
/// use memmap_layouts::ByteSize;
/// assert_eq!(ByteSize(2 << 20).to_string(), "2 MiB");
/// assert_eq!(ByteSize(2621440).to_string(), "2.50 MiB");
/// assert_eq!(ByteSize(17).to_string(), "17 B");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 == 0 {
            return f.pad("0 B");
        }
        let unit = (self.0.ilog2() / 10) as usize;
        let scale = 1u64 << (10 * unit);
        let text = if self.0.is_multiple_of(scale) {
            format!("{} {}", self.0 / scale, UNITS[unit])
        } else {
            format!("{:.2} {}", self.0 as f64 / scale as f64, UNITS[unit])
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn the_edges_print() {
        assert_eq!(ByteSize(0).to_string(), "0 B");
        assert_eq!(ByteSize(1023).to_string(), "1023 B");
        assert_eq!(ByteSize(1 << 40).to_string(), "1 TiB");
        assert_eq!(ByteSize(u64::MAX).to_string(), "16.00 EiB");
        assert_eq!(format!("{:>8}", ByteSize(1 << 10)), "   1 KiB");
    }
}
