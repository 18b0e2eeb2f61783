//! The errors of map parsers.

use super::MAX_PHYS_BITS;
use super::line::Line;
use super::range::MapRange;
use memmap_layouts::ByteSize;
use thiserror::Error;

/// Why a map could not be parsed. Every message contains the line number.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MapError {
    /// The line is neither a range nor in another known format.
    #[error("line {line}: {text:?} is not a memory range; known formats are {FORMATS}")]
    NotARange {
        /// Line number, from 1.
        line: usize,
        /// The text of the line.
        text: String,
    },
    /// The text is not an address, or is wider than [`MAX_PHYS_BITS`].
    #[error(
        "line {line}: {text:?} is not an address of at most {MAX_PHYS_BITS} bits, the widest of any \
         machine; correct it or delete the line"
    )]
    BadAddress {
        /// Line number, from 1.
        line: usize,
        /// The text that should be a number.
        text: String,
    },
    /// The text is not a size.
    #[error("line {line}: {text:?} is not a size; sizes are bytes, or a number with a unit such as 128M or 250.00 MiB")]
    BadSize {
        /// Line number, from 1.
        line: usize,
        /// The text that should be a size.
        text: String,
    },
    /// The size given beside a range differs from the range.
    #[error("line {line}: the size {text} does not match its range, which spans {}; correct one of them", ByteSize(*bytes))]
    SizeOfRange {
        /// Line number, from 1.
        line: usize,
        /// The size as given.
        text: String,
        /// Size of the range in bytes.
        bytes: u64,
    },
    /// The range wraps around the end of the address space.
    #[error("line {line}: {bytes:#x} bytes from {start:#x} exceed the 64-bit address space; correct base or size")]
    Wraps {
        /// Line number, from 1.
        line: usize,
        /// Physical address of the first byte.
        start: u64,
        /// Length in bytes.
        bytes: u64,
    },
    /// A listing is not valid JSON.
    #[error("line {line}: this is not the JSON that ndctl, daxctl, cxl and lsmem print: {reason}")]
    Json {
        /// Line number, from 1.
        line: usize,
        /// The error message of the parser.
        reason: String,
    },
    /// The end of a range lies before its start.
    #[error(
        "line {line}: the range ends at {end:#x}, before its start at {start:#x}; write start-end, \
         where end is the last byte"
    )]
    Backwards {
        /// Line number, from 1.
        line: usize,
        /// Physical address of the first byte.
        start: u64,
        /// Physical address of the last byte.
        end: u64,
    },
    /// Two ranges of one table partly overlap; neither contains the other.
    #[error(
        "line {line}: {second} partly overlaps {first} of line {first_line}; ranges of one table \
         may nest but not overlap partly"
    )]
    Overlap {
        /// Line number of the second range.
        line: usize,
        /// The second range.
        second: MapRange,
        /// Line number of the first range.
        first_line: usize,
        /// The first range.
        first: MapRange,
    },
    /// Every range is 0-0: the kernel hides addresses from users other than root.
    #[error(
        "every range is 0-0: the kernel shows the addresses of /proc/iomem only to root; read it as \
         root (sudo cat /proc/iomem)"
    )]
    Hidden,
}

/// The supported formats, for error messages.
pub const FORMATS: &str = "/proc/iomem (`00001000-0009ffff : System RAM`), dmesg (e820, SRAT, early node ranges), \
                           lsmem, the JSON of ndctl, daxctl, cxl and lsmem, disassembled CEDT, NFIT and SRAT, \
                           `base size`, and `start -> end type`";

/// The error for a line in no known format; a long line is shortened.
pub(super) fn not_a_range(line: Line<'_>) -> MapError {
    const SHOWN: usize = 60;
    let text = line.text.trim();
    let text = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    MapError::NotARange { line: line.number, text }
}
