//! The errors of map parsers.

use super::line::Line;
use super::range::MapRange;
use super::reading::{Skipped, UnknownLine};
use super::{MAX_PHYS_BITS, MOST_ENTRIES, MOST_LINES};
use memmap_layouts::ByteSize;
use thiserror::Error;

/// Why a map could not be parsed. Every message contains the line number.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MapError {
    /// It is no text.
    #[error("this is a binary file, not text; known formats are {FORMATS}")]
    Binary,
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
    /// The two units of a size contradict each other.
    #[error("line {line}: the two units of {text:?} are not the same size; correct one of them")]
    UnitsDiffer {
        /// Line number, from 1.
        line: usize,
        /// The size as given.
        text: String,
    },
    /// No line names memory, or a window, region, device or block.
    #[error("{}", nothing(.unknown, *.lines, *.entries, .skipped))]
    Nothing {
        /// Lines that were not understood.
        unknown: Vec<UnknownLine>,
        /// Number of all lines.
        lines: usize,
        /// Number of entries of known listings.
        entries: usize,
        /// Lines that are known and say nothing of memory, by kind.
        skipped: Vec<Skipped>,
    },
    /// The text has more lines than any listing.
    #[error("the text has {lines} lines, more than the limit of {MOST_LINES}; give the part with the memory map")]
    TooManyLines {
        /// Number of lines.
        lines: usize,
    },
    /// The listings have more entries than any machine.
    #[error(
        "the listings have more than {MOST_ENTRIES} entries, the limit for one machine; give those of one machine, \
         and lsmem without --all"
    )]
    TooManyEntries,
    /// Every range is 0-0: the kernel hides addresses from users other than root.
    #[error(
        "every range is 0-0: the kernel shows the addresses of /proc/iomem only to root; read it as \
         root (sudo cat /proc/iomem)"
    )]
    Hidden,
}

/// The supported formats, for error messages.
pub const FORMATS: &str = "/proc/iomem (`00001000-0009ffff : System RAM`), boot logs (e820, EFI, SRAT, \
                           early node ranges, memblock=debug), \
                           lsmem, the JSON of ndctl, daxctl, cxl and lsmem, disassembled CEDT, NFIT and SRAT, \
                           `base size`, and `start -> end type`";

/// The error for a line in no known format.
pub(super) fn not_a_range(line: Line<'_>) -> MapError {
    MapError::NotARange { line: line.number, text: shortened(line.text) }
}

/// The beginning of a line.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let text = text.trim();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Line numbers in words: `3, 5-9`.
pub fn line_numbers(lines: impl IntoIterator<Item = usize>) -> String {
    const SHOWN: usize = 8;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        match runs.last_mut() {
            Some((_, last)) if line == *last || line == *last + 1 => *last = line,
            _ => runs.push((line, line)),
        }
    }
    let text =
        |(first, last): &(usize, usize)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let shown: Vec<String> = runs.iter().take(SHOWN).map(text).collect();
    let more = if runs.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn nothing(unknown: &[UnknownLine], lines: usize, entries: usize, skipped: &[Skipped]) -> String {
    const SHOWN: usize = 4;
    let head = match (unknown.first(), entries) {
        (Some(first), 0) => format!("line {}: {:?} is not a memory range", first.line, first.text),
        (_, 0) if lines == 0 => "the text is empty".to_owned(),
        (_, 0) if skipped.is_empty() => "no line names memory".to_owned(),
        (_, 0) => {
            let told = |skipped: &Skipped| {
                format!("{} (lines: {}, the first is line {})", skipped.kind, skipped.lines, skipped.first)
            };
            format!("no line names memory, only {}", skipped.iter().map(told).collect::<Vec<_>>().join(", "))
        }
        (_, entries) => format!("of the {entries} entries that were read, none is memory"),
    };
    let begin = usize::from(entries == 0);
    let rest = unknown.iter().skip(begin);
    let shown: Vec<String> =
        rest.clone().take(SHOWN).map(|line| format!("line {} {:?}", line.line, line.text)).collect();
    let others = match rest.count() {
        0 => String::new(),
        nr if nr <= SHOWN => format!("; also not understood: {}", shown.join(", ")),
        _ => format!(
            "; also not understood: {}, and lines {}",
            shown.join(", "),
            line_numbers(unknown.iter().skip(begin + SHOWN).map(|line| line.line))
        ),
    };
    let is_picture =
        |line: &UnknownLine| ["![", "<img", "://", ".png", ".jpg"].iter().any(|mark| line.text.contains(mark));
    let hint = match unknown.iter().any(is_picture) {
        true => "; a picture or a link holds no listing: paste its text",
        false => "",
    };
    format!("{head}{others}{hint}; known formats are {FORMATS}")
}
