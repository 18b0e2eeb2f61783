//! What is to be added to a machine.

use crate::map::inventory::Span;
use crate::size::{RangeError, argument, parse_range};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The kind of memory that is to be added. It decides which rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A DIMM, real or of QEMU (`pc-dimm`), that ACPI announces: RAM in whole memory blocks.
    Dimm,
    /// The region of a virtio-mem device, which adds the whole memory blocks inside it.
    VirtioMem,
    /// A CXL region, which becomes a DAX device and then RAM.
    Cxl,
    /// Extents of a CXL device with dynamic capacity that have one tag, which become a DAX device
    /// and then RAM. As posted (v11): not in Linux 7.2.
    Extent,
    /// The ranges of a DAX device that becomes RAM: each is cut inwards to whole memory blocks.
    Kmem,
    /// A device mapping: a namespace, or a DAX device that stays one.
    Device,
    /// A CXL window, as the firmware describes it.
    CxlWindow,
}

/// A kind that is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is not a kind of memory; try {}", RequestKind::ALL.map(RequestKind::name).join(", "))]
pub struct UnknownKind {
    name: String,
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [Self; 7] =
        [Self::Dimm, Self::VirtioMem, Self::Cxl, Self::Extent, Self::Kmem, Self::Device, Self::CxlWindow];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dimm => "dimm",
            Self::VirtioMem => "virtio-mem",
            Self::Cxl => "cxl",
            Self::Extent => "extent",
            Self::Kmem => "kmem",
            Self::Device => "device",
            Self::CxlWindow => "cxl-window",
        }
    }

    /// What messages call it.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Dimm => "DIMM",
            Self::VirtioMem => "virtio-mem region",
            Self::Cxl => "CXL region",
            Self::Extent => "CXL extent",
            Self::Kmem => "DAX device as RAM",
            Self::Device => "device mapping",
            Self::CxlWindow => "CXL window",
        }
    }

    /// True if a request may have several ranges.
    pub fn has_several_ranges(self) -> bool {
        matches!(self, Self::Kmem | Self::Extent | Self::Device)
    }

    /// True if memory blocks of RAM come from it.
    pub fn becomes_ram(self) -> bool {
        !matches!(self, Self::Device | Self::CxlWindow)
    }

    /// The name that its RAM has in `/proc/iomem`; `None` for plain `System RAM`.
    pub(super) fn driver_name(self) -> Option<String> {
        match self {
            Self::Dimm | Self::Device | Self::CxlWindow => None,
            Self::VirtioMem => Some("System RAM (virtio_mem)".to_owned()),
            Self::Cxl | Self::Extent | Self::Kmem => Some("System RAM (kmem)".to_owned()),
        }
    }
}

impl FromStr for RequestKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let unknown = || UnknownKind { name: name.chars().take(40).collect() };
        let name = if name == "namespace" { "device" } else { name };
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(unknown)
    }
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Memory that is to be added at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The ranges, at least one. Several are those of one DAX device, mapping or group of extents.
    pub spans: Vec<Span>,
    /// The kind of memory.
    pub kind: RequestKind,
    /// NUMA node; `None` for one that exists.
    pub node: Option<u8>,
}

/// A range as an argument of the command line: `0xc0000000+1G`.
pub(super) fn span_argument(span: Span) -> String {
    format!("{:#x}+{}", span.start, argument(span.bytes()))
}

/// Ranges as an argument of the command line.
pub(super) fn spans_argument(spans: &[Span]) -> String {
    spans.iter().map(|span| span_argument(*span)).collect::<Vec<_>>().join(",")
}

/// Why a text is not a request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// One of the ranges cannot be used.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// Memory of this kind has one range.
    #[error("a {kind} has one range; several with commas between them are for kmem, extent and device")]
    SeveralRanges {
        /// The kind.
        kind: RequestKind,
    },
}

impl Request {
    /// Parses ranges with commas between them.
    ///
    /// # Errors
    /// One of them is not a range, or the kind has one range only.
    pub fn parse(text: &str, kind: RequestKind) -> Result<Self, RequestError> {
        let spans = text.split(',').map(|part| {
            let range = parse_range(part)?;
            Ok(Span { start: range.start, end: range.end })
        });
        let spans: Vec<Span> = spans.collect::<Result<_, RangeError>>()?;
        if spans.len() > 1 && !kind.has_several_ranges() {
            return Err(RequestError::SeveralRanges { kind });
        }
        Ok(Self { spans, kind, node: None })
    }

    /// Bytes of all ranges.
    pub fn bytes(&self) -> u64 {
        self.spans.iter().map(|span| span.bytes()).fold(0, u64::saturating_add)
    }

    /// One past the highest address.
    pub(super) fn end(&self) -> u64 {
        self.spans.iter().map(|span| span.end).max().unwrap_or(0)
    }

    /// The lowest address.
    pub(super) fn start(&self) -> u64 {
        self.spans.iter().map(|span| span.start).min().unwrap_or(0)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans: Vec<String> = self.spans.iter().map(Span::to_string).collect();
        write!(f, "{} as {}", spans.join(", "), self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_parsed_with_their_kind() {
        let request = Request::parse("0xc8000000+1G,100000000-1000fffff", RequestKind::Kmem).unwrap();
        assert_eq!(request.to_string(), "0xc8000000-0x107ffffff (1 GiB), 0x100000000-0x1000fffff (1 MiB) as kmem");
        assert_eq!(spans_argument(&request.spans), "0xc8000000+1G,0x100000000+1M");
        assert_eq!("namespace".parse(), Ok(RequestKind::Device));
        for kind in RequestKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "dim".parse::<RequestKind>().unwrap_err().to_string();
        assert!(error.contains("\"dim\" is not a kind of memory; try dimm, virtio-mem"), "{error}");
        assert!(Request::parse("0x1000+0", RequestKind::Dimm).is_err());
        let error = Request::parse("0x0+1G,0x80000000+1G", RequestKind::Dimm).unwrap_err().to_string();
        assert!(error.starts_with("a dimm has one range"), "{error}");
    }
}
