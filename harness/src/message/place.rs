//! The physical range that a line names.

use super::recognise::Recognised;
use crate::map::PAGE_BYTES;
use crate::map::inventory::Span;
use serde::{Deserialize, Serialize};

/// How a message gives a physical range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PlaceForm {
    /// `start` and `size`.
    StartSize,
    /// `start` and `end`, the last byte.
    StartEnd,
    /// `start` and `end`, one past the last byte.
    StartEndExcluded,
    /// `start` and `end`, or `start` and `size` in old kernels.
    StartEndOrSize,
    /// `start` only.
    Start,
    /// The first and the last page frame: `start_pfn` and `end_pfn`.
    Frames,
    /// A page frame and a number of pages: `pfn` and `pages`.
    FramePages,
    /// One page frame: `pfn`.
    Frame,
}

/// A physical range that a line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The range; one byte if only the address is known.
    pub span: Span,
    /// True if the line gives an address without a size.
    pub is_address_only: bool,
}

impl PlaceForm {
    /// The range in a line; `None` if a number is missing or too large, or if the range is empty.
    pub(super) fn place(self, found: &Recognised) -> Option<Place> {
        let number = |name| found.number(name);
        let last = |last: u64| last.checked_add(1);
        let from = |start: u64, bytes: u64| Some((start, start.checked_add(bytes)?));
        let frame = |frame: u64| frame.checked_mul(PAGE_BYTES);
        let address_only = |(start, end)| Some(Place { span: Span::new(start, end)?, is_address_only: true });
        let (start, end) = match self {
            Self::StartSize => from(number("start")?, number("size")?)?,
            Self::StartEnd => (number("start")?, last(number("end")?)?),
            Self::StartEndExcluded => (number("start")?, number("end")?),
            Self::StartEndOrSize => match number("end") {
                Some(end) => (number("start")?, last(end)?),
                None => from(number("start")?, number("size")?)?,
            },
            Self::Start => return address_only(from(number("start")?, 1)?),
            Self::Frames => (frame(number("start_pfn")?)?, frame(last(number("end_pfn")?)?)?),
            Self::FramePages => from(frame(number("pfn")?)?, frame(number("pages")?)?)?,
            Self::Frame => from(frame(number("pfn")?)?, PAGE_BYTES)?,
        };
        Some(Place { span: Span::new(start, end)?, is_address_only: false })
    }
}

#[cfg(test)]
mod tests {
    use crate::map::inventory::Span;
    use crate::message::recognise;

    fn span(line: &str) -> Option<Span> {
        recognise(line).unwrap().place().map(|place| place.span)
    }

    #[test]
    fn ends_are_included_or_not_as_the_message_prints_them() {
        assert_eq!(
            span("Block size [0x8000000] unaligned hotplug range: start 0xc8000000, size 0x40000000"),
            Span::new(0xc800_0000, 0x1_0800_0000)
        );
        assert_eq!(
            span("nd_pmem namespace1.0: [mem 0x5c2042c000-0x5ff7ffffff flags 0x200] misaligned, unable to map"),
            Span::new(0x5c_2042_c000, 0x5f_f800_0000)
        );
        assert_eq!(
            span(
                "Hotplug memory [0x240000000000-0x242000000000] exceeds maximum addressable range [0x0-0xaffffffffff]"
            ),
            Span::new(0x2400_0000_0000, 0x2420_0000_0000)
        );
        assert_eq!(
            span("Misaligned __add_pages start: 0x240100 end: 0x27ffff"),
            Span::new(0x2_4010_0000, 0x2_8000_0000)
        );
        assert_eq!(
            span("nd_pmem btt0.0: could not reserve region [0x0x108000000:0x1200000]"),
            Span::new(0x1_0800_0000, 0x1_0920_0000)
        );
    }

    #[test]
    fn impossible_ranges_are_no_place() {
        for line in [
            "Block size [0x8000000] unaligned hotplug range: start 0xffffffffffffffff, size 0x40000000",
            "Block size [0x8000000] unaligned hotplug range: start 0xc8000000, size 0x0",
            "kmem dax0.0: mapping0: 0x33fffffff-0x240000000 memory add failed",
            "kmem dax0.0: mapping0: 0x240000000-0xffffffffffffffff memory add failed",
            "failed to isolate pfn ffffffffffffffff",
        ] {
            assert_eq!(span(line), None, "{line}");
        }
    }
}
