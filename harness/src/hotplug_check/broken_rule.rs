//! A rule that a request breaks, and its refusal.

use super::machine::PreparedMachine;
use super::request::{Request, RequestKind};
use crate::kernel_version::KernelVersion;
use crate::map::inventory::Span;
use crate::pmem::refusal::rule::{self, Rule};
use crate::pmem::refusal::{Refusal, distance};
use crate::size::argument;
use memmap_layouts::machine::{MachineError, PagemapError};
use memmap_layouts::{ByteSize, HotplugError};
use rustix::io::Errno;

/// A rule that a request breaks.
#[derive(Debug)]
pub(super) enum BrokenRule {
    /// The kernel has no support for this kind of memory.
    Unsupported { since: KernelVersion },
    /// A range does not consist of whole pages.
    Pages { span: Span },
    /// A range is not a multiple of the unit of its kind.
    Unit { span: Span, unit: u64, rule: &'static Rule },
    /// The map has windows, and a range is in none of them.
    OutsideWindows { span: Span },
    /// The machine refuses RAM.
    Ram { span: Span, error: MachineError },
    /// The machine refuses a mapping.
    Mapping(PagemapError),
}

/// The distance of both ends of a range to multiples of `unit`.
fn distances(span: Span, unit: u64) -> String {
    let start = match span.start % unit {
        0 => format!("start {:#x} is a multiple of {}", span.start, ByteSize(unit)),
        off => format!("start {:#x} is {}", span.start, distance(span.start, off, unit)),
    };
    let size = span.bytes();
    let size = match size % unit {
        0 => format!("size {} is a multiple of {}", ByteSize(size), ByteSize(unit)),
        off => format!(
            "size {} is {} past a multiple of {}, {} short of the next",
            ByteSize(size),
            ByteSize(off),
            ByteSize(unit),
            ByteSize(unit - off)
        ),
    };
    format!("{start}; {size}")
}

/// The nodes of a map, by their number.
fn nodes_of(nodes: u8) -> String {
    match nodes {
        0 | 1 => "node 0 only".to_owned(),
        nodes => format!("nodes 0 to {}", nodes - 1),
    }
}

impl BrokenRule {
    fn rule(&self, kind: RequestKind) -> &'static Rule {
        match self {
            Self::Unsupported { .. } => &rule::NO_SUPPORT,
            Self::Pages { .. } => &rule::WHOLE_PAGES,
            Self::Unit { rule, .. } => rule,
            Self::OutsideWindows { .. } => &rule::OUTSIDE_WINDOWS,
            Self::Ram { error, .. } => match error {
                MachineError::NotBlocks { .. } => &rule::WHOLE_BLOCKS,
                MachineError::NoWholeBlock { .. } => &rule::NO_WHOLE_BLOCK,
                MachineError::BeyondMappable { .. } => &rule::MAPPABLE,
                MachineError::NoSuchNode { .. } => &rule::NODE,
                MachineError::BlockExists { .. } => &rule::BLOCK_EXISTS,
                MachineError::NoSuchBlock { .. } | MachineError::BlockOnline { .. } => &rule::REMOVABLE,
                _ => &rule::OCCUPIED,
            },
            Self::Mapping(error) => match error {
                PagemapError::BeyondMappable { .. } => &rule::MAPPABLE,
                PagemapError::Conflict { .. } | PagemapError::Layout(HotplugError::Overlaps { .. }) => &rule::CONFLICT,
                PagemapError::OverlapsRam { .. } => &rule::RAM,
                PagemapError::Layout(HotplugError::Misaligned { .. }) => &rule::WHOLE_SUB_SECTIONS,
                PagemapError::NotMapped { .. } => &rule::REMOVABLE,
                _ if kind == RequestKind::Device => &rule::OCCUPIED,
                _ => &rule::MACHINE,
            },
        }
    }

    /// Whether another block size may mend it.
    pub(super) fn depends_on_blocks(&self) -> bool {
        let Self::Ram { error, .. } = self else { return false };
        matches!(
            error,
            MachineError::NotBlocks { .. } | MachineError::NoWholeBlock { .. } | MachineError::BlockExists { .. }
        )
    }

    /// The distance to valid values, what is in the way, and the kernel's error number.
    fn details(&self, kernel: KernelVersion) -> (Option<String>, Option<String>, Option<i32>) {
        match self {
            Self::Unsupported { since } => {
                (Some(format!("Linux {kernel} is asked, and it is there since {since}")), None, None)
            }
            Self::Pages { span } => {
                (Some(format!("start {:#x}, end {:#x}", span.start, span.end)), None, Some(Errno::INVAL.raw_os_error()))
            }
            Self::Unit { span, unit, .. } => (Some(distances(*span, *unit)), None, Some(Errno::INVAL.raw_os_error())),
            Self::OutsideWindows { span } => {
                (Some(format!("{span} is in no CXL window of the map")), None, Some(Errno::NXIO.raw_os_error()))
            }
            Self::Ram { span, error } => {
                let (off_by, who) = match error {
                    MachineError::NotBlocks { block_bytes, .. } => (Some(distances(*span, *block_bytes)), None),
                    MachineError::NoWholeBlock { block_bytes } => (Some(distances(*span, *block_bytes)), None),
                    MachineError::BeyondMappable { limit, beyond_bytes, .. } => {
                        (Some(format!("it ends {} above {limit:#x}", ByteSize(*beyond_bytes))), None)
                    }
                    MachineError::NoSuchNode { node, nodes, .. } => {
                        (Some(format!("node {node} is asked, and the map has {}", nodes_of(*nodes))), None)
                    }
                    MachineError::ResourceBusy { at, name, span: asked } => {
                        let is_same = if at == asked { ", so it is there already" } else { "" };
                        (None, Some(format!("{name} at {at}{is_same}")))
                    }
                    MachineError::BlockExists { span, block } => (None, Some(format!("memory{block} at {span}"))),
                    other => (Some(other.to_string()), None),
                };
                (off_by, who, Some(error.errno()))
            }
            Self::Mapping(error) => {
                let (off_by, who) = match error {
                    PagemapError::Conflict { at, why, .. } => (None, Some(format!("the mapping at {at}{why}"))),
                    PagemapError::OverlapsRam { at, why, .. } => (None, Some(format!("RAM at {at}{why}"))),
                    PagemapError::Claimed { at, name, .. } => (None, Some(format!("{name} at {at}"))),
                    PagemapError::BeyondMappable { beyond_bytes, .. } => {
                        (Some(format!("it ends {} above the physical address space", ByteSize(*beyond_bytes))), None)
                    }
                    PagemapError::Layout(HotplugError::Overlaps { at, .. }) => {
                        (None, Some(format!("another range of the request at {at}")))
                    }
                    PagemapError::Layout(HotplugError::Misaligned { span, granule_bytes, .. }) => {
                        let bytes = |pages: u64| pages << span.page_shift;
                        let span = Span { start: bytes(span.range.start()), end: bytes(span.range.end()) };
                        (Some(distances(span, *granule_bytes)), None)
                    }
                    other => (Some(other.to_string()), None),
                };
                (off_by, who, Some(error.errno()))
            }
        }
    }

    /// What to do, in general.
    fn advice(&self, machine: &PreparedMachine<'_>) -> String {
        let blocks = argument(machine.block_size().bytes);
        match self {
            Self::Unsupported { since } => format!("use Linux {since} or later"),
            Self::Pages { .. } => format!("use multiples of {}", argument(1 << machine.rules().page_shift)),
            Self::Unit { unit, .. } => format!("use multiples of {}", argument(*unit)),
            Self::OutsideWindows { .. } => "choose a range inside a window".to_owned(),
            Self::Ram { error, span } => match error {
                MachineError::NotBlocks { block_bytes, .. } => {
                    format!("start and end at multiples of {}", argument(*block_bytes))
                }
                MachineError::NoWholeBlock { .. } => {
                    format!("use a range with at least {blocks} from a multiple of {blocks} on")
                }
                MachineError::BeyondMappable { limit, beyond_bytes, .. } if *beyond_bytes > span.start => {
                    format!("choose a size of at most {}", ByteSize(u64::try_from(*limit).unwrap_or(u64::MAX)))
                }
                MachineError::BeyondMappable { beyond_bytes, .. } => {
                    format!("choose a start at least {} lower", ByteSize(*beyond_bytes))
                }
                MachineError::NoSuchNode { nodes, .. } => {
                    format!("choose among {}, or let the SRAT announce the node", nodes_of(*nodes))
                }
                MachineError::NoSuchBlock { .. } | MachineError::BlockOnline { .. } => {
                    "remove what was added before".to_owned()
                }
                _ => "choose a range that is free".to_owned(),
            },
            Self::Mapping(PagemapError::Conflict { why, .. } | PagemapError::OverlapsRam { why, .. })
                if !why.is_empty() =>
            {
                "choose another section, or Linux 5.3 or later, which adds sub-sections of 2 MiB".to_owned()
            }
            Self::Mapping(PagemapError::Layout(HotplugError::Misaligned { granule_bytes, .. })) => {
                format!("start and end at multiples of {}", argument(*granule_bytes))
            }
            Self::Mapping(_) => "choose a range that is free".to_owned(),
        }
    }

    /// The refusal of a request; `works` are arguments of requests that were tried and would be
    /// accepted.
    pub(super) fn refusal(&self, request: &Request, machine: &PreparedMachine<'_>, works: &[String]) -> Refusal {
        let rule = self.rule(request.kind);
        let spans: Vec<String> = request.spans.iter().map(Span::to_string).collect();
        let (off_by, who, errno) = self.details(machine.description.kernel);
        let neighbours = match self {
            Self::Ram { error: MachineError::NotBlocks { .. } | MachineError::NoWholeBlock { .. }, span } => {
                machine.neighbours(*span)
            }
            _ => None,
        };
        let cost = match request.kind {
            RequestKind::Device => "no page of it gets a record".to_owned(),
            RequestKind::CxlWindow => "the window is ignored, with all memory in it".to_owned(),
            _ => match machine.whole_block_bytes(request) {
                0 => "no memory block comes from it".to_owned(),
                bytes => format!("none of it is added, though {} of it are whole memory blocks", ByteSize(bytes)),
            },
        };
        let advice = self.advice(machine);
        let fix = match works {
            [] => advice,
            works => format!("{advice}: {} works", works.join(" or ")),
        };
        Refusal {
            rule,
            what: format!("{} at {} {}", request.kind.noun(), spans.join(", "), rule.wrong),
            off_by,
            who: who.or(neighbours),
            cost: Some(cost),
            fix,
            works: works.to_vec(),
            errno,
        }
    }
}
