//! The nearest requests that would be accepted. Only requests that were tried are named.

use super::machine::{MachineDescription, PreparedMachine};
use super::request::{Request, RequestKind, spans_argument};
use super::{CXL_UNIT_BYTES, EXTENT_UNIT_BYTES};
use crate::map::inventory::Span;
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::machine::{Resource, ResourceKind};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where the addresses end that x86 keeps for devices.
const DEVICE_HOLE_END: u64 = 4 << 30;

/// The most requests that are tried on either side.
const MOST_TRIES: usize = 256;

/// A request near a refused one that would be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// What to type instead of the range, or in addition to it.
    pub argument: String,
    /// The ranges.
    pub spans: Vec<Span>,
    /// The memory block size, if it is another one.
    pub block_bytes: Option<u64>,
}

impl Nearest {
    fn new(request: Request, with_node: &str) -> Self {
        let argument = format!("{}{with_node}", spans_argument(&request.spans));
        Self { argument, spans: request.spans, block_bytes: None }
    }

    /// As JSON, for programs.
    pub fn json(&self) -> Value {
        json!({ "argument": self.argument, "ranges": self.spans, "block_bytes": self.block_bytes })
    }
}

/// What a request keeps of the refused one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Below,
    SameStart,
    Above,
}

/// The request with its lowest start at `to`, and with a last range of `last_bytes`.
fn moved(request: &Request, to: u64, last_bytes: u64) -> Option<Request> {
    let from = request.start();
    let mut spans = Vec::new();
    for span in &request.spans {
        let start = span.start.checked_sub(from)?.checked_add(to)?;
        spans.push(Span::new(start, start.checked_add(span.bytes())?)?);
    }
    let last = spans.last_mut()?;
    *last = Span::new(last.start, last.start.checked_add(last_bytes)?)?;
    Some(Request { spans, ..request.clone() })
}

impl PreparedMachine<'_> {
    /// Starts and sizes of this kind of memory are multiples of this many bytes.
    fn unit_bytes(&self, kind: RequestKind) -> u64 {
        let rules = self.rules();
        match kind {
            RequestKind::Dimm => rules.ram_unit_bytes,
            RequestKind::VirtioMem | RequestKind::Kmem => rules.block_bytes,
            RequestKind::Device => rules.mapping_unit_bytes(),
            RequestKind::CxlWindow => CXL_UNIT_BYTES,
            RequestKind::Cxl => rules.block_bytes.max(CXL_UNIT_BYTES),
            RequestKind::Extent => rules.block_bytes.max(EXTENT_UNIT_BYTES),
        }
    }

    /// Starts that may be good: the boundaries around the refused one, and around all that is there.
    fn starts(&self, request: &Request, unit: u64, bytes: u64) -> BTreeSet<u64> {
        let section = 1u64 << self.rules().section_bits;
        let (start, end) = (request.start(), 1u128 << self.rules().physical_bits);
        let resources = self.space.resources().iter().map(|resource| self.span(resource.range));
        let mappings = self.space.mappings().map(|pages| self.span(pages));
        let mut anchors = vec![start];
        for there in resources.chain(mappings).chain(self.windows.iter().copied()) {
            anchors.extend([Some(there.end), there.start.checked_sub(bytes), Some(there.start)].into_iter().flatten());
            // Before the series a mapping has its sections for itself.
            if request.kind == RequestKind::Device && self.rules().set.whole_sections {
                anchors.extend(there.end.checked_next_multiple_of(section));
                anchors.extend((there.start / section * section).checked_sub(bytes));
            }
        }
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        // The end of the address space is near only to what exceeds it.
        anchors.extend(end.checked_sub(bytes).filter(|_| request.end() > end));
        for away in (1..=4).filter_map(|nr: u64| unit.checked_mul(nr)) {
            anchors.extend([start.checked_sub(away), start.checked_add(away)].into_iter().flatten());
        }
        let around = |anchor: u64| [Some(anchor / unit * unit), anchor.checked_next_multiple_of(unit)];
        anchors.into_iter().flat_map(around).flatten().collect()
    }

    /// The nearest requests that would be accepted: below, at the same start, above, the largest part,
    /// and with smaller memory blocks.
    pub(super) fn nearest(&self, request: &Request, other_blocks: bool) -> Vec<Nearest> {
        // A node that does not exist is replaced by one that does.
        let node = request.node.filter(|node| *node >= self.rules().nodes).map(|_| 0);
        let with_node = node.map_or_else(String::new, |node| format!(" --node {node}"));
        let request = &Request { node: node.or(request.node), ..request.clone() };
        let unit = self.unit_bytes(request.kind);
        let Some(last) = request.spans.last() else { return Vec::new() };
        let below = last.bytes() / unit * unit;
        let above = last.bytes().checked_next_multiple_of(unit);
        let sizes: BTreeSet<u64> = [Some(below).filter(|bytes| *bytes > 0), above].into_iter().flatten().collect();
        let (start, whole) = (request.start(), request.end().saturating_sub(request.start()));
        let mut candidates: Vec<(u64, u64, u64)> = Vec::new();
        for &bytes in &sizes {
            let whole = whole.saturating_sub(last.bytes()).saturating_add(bytes);
            let changed = bytes.abs_diff(last.bytes());
            let starts = self.starts(request, unit, whole).into_iter().chain([start]);
            candidates.extend(starts.map(|at| (at.abs_diff(start).saturating_add(changed), at, bytes)));
        }
        candidates.sort_unstable();
        candidates.dedup();
        let mut found = Vec::new();
        for side in [Side::Below, Side::SameStart, Side::Above] {
            let is_there = |at: u64| match side {
                Side::Below => at < start,
                Side::SameStart => at == start,
                Side::Above => at > start,
            };
            // Below 4 GiB, x86 has devices that no map of RAM shows.
            let is_hole =
                |at: u64| at < DEVICE_HOLE_END && start >= DEVICE_HOLE_END && self.description.architecture.is_x86();
            let tried = candidates.iter().filter(|(_, at, _)| is_there(*at) && !is_hole(*at));
            let mut tried = tried.filter_map(|(_, at, bytes)| moved(request, *at, *bytes)).take(MOST_TRIES);
            let accepted = tried.find(|one| self.of_another_device(one).is_none() && self.accepts(one));
            found.extend(accepted.map(|accepted| Nearest::new(accepted, &with_node)));
        }
        let part = self.largest_part(request, unit).map(|part| Nearest::new(part, &with_node));
        if let Some(part) = part.filter(|part| !found.contains(part)) {
            found.push(part);
        }
        found.extend(self.smaller_blocks(request, &with_node).filter(|_| other_blocks && self.is_unchanged));
        found
    }

    /// The largest part of a range that would be accepted: between what is there, and in a window.
    fn largest_part(&self, request: &Request, unit: u64) -> Option<Request> {
        let [asked] = request.spans[..] else { return None };
        let section = 1u64 << self.rules().section_bits;
        let in_window = matches!(request.kind, RequestKind::Cxl | RequestKind::Extent) && !self.windows.is_empty();
        let is_in_the_way = |resource: &&Resource| match request.kind {
            RequestKind::CxlWindow => true,
            RequestKind::Kmem | RequestKind::Device => resource.busy,
            _ => resource.kind != ResourceKind::Window,
        };
        let resources = self.space.resources().iter().filter(is_in_the_way).map(|resource| self.span(resource.range));
        let mappings = self.space.mappings().map(|pages| self.span(pages));
        let mut taken: Vec<Span> = resources.chain(mappings).filter(|there| there.overlaps(asked)).collect();
        if request.kind == RequestKind::Device && self.rules().set.whole_sections {
            let whole = |there: Span| {
                let end = there.end.checked_next_multiple_of(section).unwrap_or(u64::MAX);
                Span::new(there.start / section * section, end)
            };
            taken = taken.into_iter().filter_map(whole).collect();
        }
        taken.sort_unstable_by_key(|there| there.start);
        let limit = u64::try_from(1u128 << self.rules().physical_bits).unwrap_or(u64::MAX);
        let everything = Span::new(0, limit)?;
        let places = if in_window { &self.windows[..] } else { &[everything] };
        let mut parts = Vec::new();
        for place in places {
            let Some(place) = place.intersect(asked) else { continue };
            let mut from = place.start;
            let ends = taken.iter().copied().chain(Span::new(place.end, u64::MAX));
            for there in ends.filter(|there| there.end > place.start) {
                let start = from.checked_next_multiple_of(unit);
                let end = there.start.min(place.end) / unit * unit;
                parts.extend(start.and_then(|start| Span::new(start, end)));
                from = from.max(there.end);
            }
        }
        parts.sort_unstable_by_key(|part| (std::cmp::Reverse(part.bytes()), part.start));
        let mut requests =
            parts.into_iter().take(MOST_TRIES).map(|part| Request { spans: vec![part], ..request.clone() });
        requests.find(|part| self.of_another_device(part).is_none() && self.accepts(part))
    }

    /// The persistent or reserved memory in which the RAM of a DIMM, virtio-mem device or extent would be.
    /// Linux accepts it there.
    pub(super) fn of_another_device(&self, request: &Request) -> Option<&Resource> {
        if !matches!(request.kind, RequestKind::Dimm | RequestKind::VirtioMem | RequestKind::Extent) {
            return None;
        }
        let is_a_device = |resource: &&Resource| match resource.kind {
            ResourceKind::PersistentMemory => true,
            ResourceKind::Other => !resource.busy,
            ResourceKind::Window | ResourceKind::SystemRam => false,
        };
        let overlaps = |resource: &Resource| request.spans.iter().any(|span| self.span(resource.range).overlaps(*span));
        self.space.resources().iter().filter(is_a_device).find(|resource| overlaps(resource))
    }

    /// The largest smaller memory blocks with which the request would be accepted.
    fn smaller_blocks(&self, request: &Request, with_node: &str) -> Option<Nearest> {
        let smaller = std::iter::successors(Some(self.block_size.bytes / 2), |bytes| Some(bytes / 2));
        let mut smaller = smaller.take_while(|bytes| bytes >> self.rules().section_bits > 0);
        let accepts = |bytes: &u64| {
            let description = MachineDescription { block_bytes: Some(*bytes), ..self.description };
            description.prepare().is_ok_and(|machine| machine.accepts(request))
        };
        smaller.find(accepts).map(|bytes| Nearest {
            argument: format!("--block-size {}{with_node}", argument(bytes)),
            spans: request.spans.clone(),
            block_bytes: Some(bytes),
        })
    }
}

impl std::fmt::Display for Nearest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.block_bytes {
            Some(bytes) => {
                write!(f, "the same range, if Linux chose memory blocks of {}", ByteSize(bytes))
            }
            None => {
                let spans: Vec<String> = self.spans.iter().map(Span::to_string).collect();
                f.write_str(&spans.join(", "))
            }
        }
    }
}
