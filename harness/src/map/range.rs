//! Ranges of physical memory.

use super::PAGE_BYTES;
use super::inventory::Span;
use super::kind::Kind;
use memmap_layouts::{ByteSize, PfnRange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A range of physical memory, in bytes; `end` is excluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MapRange {
    /// Physical address of the first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// Kind of the memory.
    pub kind: Kind,
    /// NUMA node; `None` if the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u8>,
    /// True if the source gives only the size; the address is then an assumption.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub base_assumed: bool,
}

impl MapRange {
    /// The range of a span, whose start is known.
    pub fn new(span: Span, kind: Kind, node: Option<u8>) -> Self {
        Self { start: span.start, end: span.end, kind, node, base_assumed: false }
    }

    /// The parts of the range that overlap none of `others`.
    pub fn without<'a>(&self, others: impl Iterator<Item = &'a MapRange>) -> Vec<MapRange> {
        let mut left = vec![self.clone()];
        for other in others {
            let cut = |part: MapRange| {
                let before = MapRange { end: part.end.min(other.start), ..part.clone() };
                let after = MapRange { start: part.start.max(other.end), ..part };
                [before, after].into_iter().filter(|part| part.start < part.end)
            };
            left = left.into_iter().flat_map(cut).collect();
        }
        left
    }

    /// Its addresses.
    pub fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }

    /// The whole pages inside the range; `None` if there are none.
    pub fn pages(&self) -> Option<PfnRange> {
        let range = PfnRange::new(self.start.div_ceil(PAGE_BYTES), self.end / PAGE_BYTES)?;
        (!range.is_empty()).then_some(range)
    }
}

impl fmt::Display for MapRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, last) = (self.start, self.end - 1);
        write!(f, "{start:#014x}-{last:#014x} {} ({})", self.kind, ByteSize(self.end - self.start))?;
        if self.base_assumed { f.write_str(", base assumed") } else { Ok(()) }
    }
}
