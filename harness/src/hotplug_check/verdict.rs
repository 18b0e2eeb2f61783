//! Accepted, or refused with every broken rule.

use super::broken_rule::BrokenRule;
use super::machine::PreparedMachine;
use super::nearest::Nearest;
use super::request::{Request, RequestKind};
use super::{CXL_UNIT_BYTES, EXTENT_UNIT_BYTES};
use crate::kernel_version::KernelVersion;
use crate::map::inventory::Span;
use crate::pmem::refusal::Refusal;
use crate::pmem::refusal::rule::{self, Rule};
use memmap_layouts::machine::{AddMemory, MachineError, PagemapError, Resource, ResourceKind};
use memmap_layouts::{ByteSize, PfnRange};
use serde_json::{Value, json};

/// What a machine says to a request.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The request.
    pub request: Request,
    /// Every rule that it breaks; empty if it is accepted.
    pub refusals: Vec<Refusal>,
    /// What would be RAM, mapped, or a window, in bytes.
    pub accepted: Vec<Span>,
    /// Bytes of the request that are neither.
    pub lost_bytes: u64,
    /// Remarks on an accepted request.
    pub notes: Vec<String>,
    /// The nearest requests that would be accepted; each was tried.
    pub nearest: Vec<Nearest>,
}

impl Verdict {
    /// True if the request is accepted.
    pub fn is_accepted(&self) -> bool {
        self.refusals.is_empty()
    }

    /// The verdict as JSON, for programs. Addresses and sizes are in bytes; `end` is excluded.
    pub fn json(&self) -> Value {
        json!({
            "kind": self.request.kind.name(),
            "ranges": self.request.spans,
            "node": self.request.node,
            "accepted": self.is_accepted(),
            "refusals": self.refusals.iter().map(Refusal::json).collect::<Vec<Value>>(),
            "added": self.accepted,
            "lost_bytes": self.lost_bytes,
            "notes": self.notes,
            "nearest": self.nearest.iter().map(Nearest::json).collect::<Vec<Value>>(),
        })
    }
}

/// What becomes of a request that is accepted.
struct Admitted {
    spans: Vec<Span>,
    notes: Vec<String>,
}

/// The first release with support for a kind of memory.
fn supported_since(kind: RequestKind) -> Option<KernelVersion> {
    match kind {
        RequestKind::VirtioMem => Some(KernelVersion::new(5, 8)),
        RequestKind::Kmem => Some(KernelVersion::new(5, 1)),
        RequestKind::Cxl | RequestKind::Extent => Some(KernelVersion::new(6, 0)),
        RequestKind::Dimm | RequestKind::Device | RequestKind::CxlWindow => None,
    }
}

impl PreparedMachine<'_> {
    /// What the machine says to a request; nothing is changed.
    pub fn judge(&self, request: &Request) -> Verdict {
        let broken = self.broken_rules(request);
        if !broken.is_empty() {
            return self.refuse(request, &broken);
        }
        let mut after = self.clone();
        match after.admit(request) {
            Ok(admitted) => accept(request, admitted),
            Err(broken) => self.refuse(request, &[broken]),
        }
    }

    /// Adds memory if it is accepted, so that it is there for later requests.
    pub fn add(&mut self, request: &Request) -> Verdict {
        let broken = self.broken_rules(request);
        if !broken.is_empty() {
            return self.refuse(request, &broken);
        }
        let before = self.clone();
        match self.admit(request) {
            Ok(admitted) => {
                self.is_unchanged = false;
                accept(request, admitted)
            }
            Err(broken) => {
                let verdict = before.refuse(request, &[broken]);
                *self = before;
                verdict
            }
        }
    }

    /// Whether a request would be accepted.
    pub(super) fn accepts(&self, request: &Request) -> bool {
        self.broken_rules(request).is_empty()
    }

    fn refuse(&self, request: &Request, broken: &[BrokenRule]) -> Verdict {
        let nearest = self.nearest(request, broken.iter().any(BrokenRule::depends_on_blocks));
        let is_range = |nearest: &&Nearest| nearest.block_bytes.is_none();
        let works: Vec<String> = nearest.iter().filter(is_range).map(|nearest| nearest.argument.clone()).collect();
        // Several checks may find the same resource in the way.
        let mut refusals: Vec<Refusal> = Vec::new();
        for refusal in broken.iter().map(|broken| broken.refusal(request, self, &works)) {
            let key = |refusal: &Refusal| (refusal.rule.code, refusal.off_by.clone(), refusal.who.clone());
            if !refusals.iter().any(|known| key(known) == key(&refusal)) {
                refusals.push(refusal);
            }
        }
        Verdict {
            request: request.clone(),
            refusals,
            accepted: Vec::new(),
            lost_bytes: request.bytes(),
            notes: Vec::new(),
            nearest,
        }
    }

    fn how(request: &Request) -> AddMemory {
        let driver_name = request.kind.driver_name();
        AddMemory { node: request.node.unwrap_or(0), driver_name, ..AddMemory::default() }
    }

    /// The whole memory blocks inside a range.
    fn whole_blocks(&self, span: Span) -> Option<PfnRange> {
        self.rules().whole_blocks(self.pages_inside(span)?)
    }

    /// Bytes of the whole memory blocks inside the ranges of a request.
    pub(super) fn whole_block_bytes(&self, request: &Request) -> u64 {
        let whole = request.spans.iter().filter_map(|span| self.whole_blocks(*span));
        whole.map(|pages| self.span(pages).bytes()).fold(0, u64::saturating_add)
    }

    /// The resources right below and right above a range.
    pub(super) fn neighbours(&self, span: Span) -> Option<String> {
        let all = || self.space.resources().iter().filter(|resource| resource.kind != ResourceKind::Window);
        let name = |resource: &Resource| format!("{} at {}", resource.name, self.span(resource.range));
        let below = all().filter(|resource| self.span(resource.range).end <= span.start);
        let below = below.max_by_key(|resource| resource.range.end()).map(|found| format!("below it {}", name(found)));
        let above = all().filter(|resource| self.span(resource.range).start >= span.end);
        let above =
            above.min_by_key(|resource| resource.range.start()).map(|found| format!("above it {}", name(found)));
        let both: Vec<String> = below.into_iter().chain(above).collect();
        (!both.is_empty()).then(|| both.join(", "))
    }

    /// Every rule that a request breaks.
    fn broken_rules(&self, request: &Request) -> Vec<BrokenRule> {
        let mut broken = Vec::new();
        let kernel = self.description.kernel;
        let since = [supported_since(request.kind), self.description.architecture.hot_add_since()];
        let since = since.into_iter().flatten().max().filter(|since| kernel < *since);
        broken.extend(since.map(|since| BrokenRule::Unsupported { since }));
        let page_bytes = 1u64 << self.rules().page_shift;
        let is_of_pages = |span: &Span| span.start.is_multiple_of(page_bytes) && span.end.is_multiple_of(page_bytes);
        if matches!(request.kind, RequestKind::Dimm | RequestKind::Device) {
            broken.extend(
                request.spans.iter().filter(|span| !is_of_pages(span)).map(|span| BrokenRule::Pages { span: *span }),
            );
        }
        match request.kind {
            RequestKind::Dimm => {
                for &span in &request.spans {
                    let refusals = self.space.ram_refusals(self.pages_around(span), &Self::how(request));
                    broken.extend(refusals.into_iter().map(|error| BrokenRule::Ram { span, error }));
                }
                broken.extend(self.overlap_within(request));
            }
            RequestKind::VirtioMem => {
                for &span in &request.spans {
                    let in_the_way = self.space.resources().in_the_way(self.pages_around(span));
                    broken.extend(in_the_way.map(|at| self.occupied(span, at)));
                }
                broken.extend(self.broken_by_blocks(request));
                broken.extend(self.overlap_within(request));
            }
            RequestKind::Kmem => broken.extend(self.broken_by_blocks(request)),
            RequestKind::Device => {
                let ranges: Vec<PfnRange> = request.spans.iter().map(|span| self.pages_around(*span)).collect();
                broken.extend(self.space.mapping_refusals(&ranges).into_iter().map(BrokenRule::Mapping));
            }
            RequestKind::CxlWindow => {
                broken.extend(broken_units(request, CXL_UNIT_BYTES, &rule::CXL_UNIT));
                broken.extend(self.taken(request));
                broken.extend(self.overlap_within(request));
            }
            RequestKind::Cxl => {
                broken.extend(broken_units(request, CXL_UNIT_BYTES, &rule::CXL_UNIT));
                broken.extend(self.outside_windows(request));
                broken.extend(self.taken(request));
                broken.extend(self.overlap_within(request));
                broken.extend(self.broken_by_blocks(request));
            }
            RequestKind::Extent => {
                broken.extend(broken_units(request, EXTENT_UNIT_BYTES, &rule::EXTENT_UNIT));
                broken.extend(self.outside_windows(request));
                for &span in &request.spans {
                    let in_the_way = self.space.resources().in_the_way(self.pages_around(span));
                    broken.extend(in_the_way.map(|at| self.occupied(span, at)));
                }
                broken.extend(self.overlap_within(request));
                broken.extend(self.broken_by_blocks(request));
            }
        }
        broken
    }

    fn occupied(&self, span: Span, at: &Resource) -> BrokenRule {
        let shift = self.rules().page_shift;
        let error = MachineError::ResourceBusy {
            span: self.pages_around(span).phys(shift),
            at: at.range.phys(shift),
            name: at.name.clone(),
        };
        BrokenRule::Ram { span, error }
    }

    /// What a range overlaps, apart from the window that it is in.
    fn taken(&self, request: &Request) -> Vec<BrokenRule> {
        let mut broken = Vec::new();
        for &span in &request.spans {
            let pages = self.pages_around(span);
            let counts = |resource: &&Resource| {
                let is_other = resource.kind != ResourceKind::Window || request.kind == RequestKind::CxlWindow;
                resource.range.overlaps(pages) && is_other
            };
            broken.extend(self.space.resources().iter().find(counts).map(|at| self.occupied(span, at)));
        }
        broken
    }

    /// A range of the request that overlaps an earlier one.
    fn overlap_within(&self, request: &Request) -> Vec<BrokenRule> {
        let mut broken = Vec::new();
        for (nr, &span) in request.spans.iter().enumerate() {
            let other = request.spans[..nr].iter().find(|other| other.overlaps(span));
            broken.extend(other.map(|other| {
                let name = "another range of the request";
                let at = Resource::new(self.pages_around(*other), ResourceKind::Other, name, true);
                self.occupied(span, &at)
            }));
        }
        broken
    }

    fn outside_windows(&self, request: &Request) -> Vec<BrokenRule> {
        let is_outside = |span: &&Span| !self.windows.iter().any(|window| window.contains(**span));
        match self.windows.is_empty() {
            true => Vec::new(),
            false => {
                request.spans.iter().filter(is_outside).map(|span| BrokenRule::OutsideWindows { span: *span }).collect()
            }
        }
    }

    /// What keeps a driver from adding the whole blocks of the ranges: nothing is whole, or the first
    /// range that has whole blocks cannot be added.
    fn broken_by_blocks(&self, request: &Request) -> Vec<BrokenRule> {
        let inside: Vec<PfnRange> = request.spans.iter().filter_map(|span| self.pages_inside(*span)).collect();
        let mut after = self.space.clone();
        if after.add_device_memory(&inside, &Self::how(request)).is_ok() {
            return Vec::new();
        }
        let whole = request.spans.iter().find_map(|span| Some((*span, self.whole_blocks(*span)?)));
        // What ends outside of its window is refused for that.
        let is_window = |error: &MachineError| match error {
            MachineError::ResourceBusy { at, .. } => self.windows.contains(&self.span(at.range)),
            _ => false,
        };
        match whole {
            Some((span, pages)) => {
                let mut refusals = self.space.ram_refusals(pages, &Self::how(request));
                refusals.retain(|error| self.outside_windows(request).is_empty() || !is_window(error));
                refusals.into_iter().map(|error| BrokenRule::Ram { span, error }).collect()
            }
            None => {
                let largest = request.spans.iter().max_by_key(|span| span.bytes());
                let error = || MachineError::NoWholeBlock { block_bytes: self.block_size.bytes };
                largest.into_iter().map(|span| BrokenRule::Ram { span: *span, error: error() }).collect()
            }
        }
    }

    /// Adds the memory of a request that breaks no rule.
    fn admit(&mut self, request: &Request) -> Result<Admitted, BrokenRule> {
        let mut notes = Vec::new();
        let how = Self::how(request);
        let inside: Vec<PfnRange> = request.spans.iter().filter_map(|span| self.pages_inside(*span)).collect();
        let ram = |error| BrokenRule::Ram { span: request.spans[0], error };
        let spans = match request.kind {
            RequestKind::Dimm => {
                for &pages in &inside {
                    self.space.add_memory(pages, &how).map_err(ram)?;
                }
                inside
            }
            RequestKind::Device => {
                self.space.memremap_pages("device", &inside).map_err(BrokenRule::Mapping)?;
                inside
            }
            RequestKind::CxlWindow => {
                for &pages in &inside {
                    let window = Resource::new(pages, ResourceKind::Window, "CXL Window", false);
                    self.space.insert_resource(window).map_err(ram)?;
                }
                self.windows.extend(&request.spans);
                inside
            }
            RequestKind::VirtioMem | RequestKind::Cxl | RequestKind::Extent | RequestKind::Kmem => {
                let added = self.space.add_device_memory(&inside, &how).map_err(ram)?;
                let asked = inside.iter().filter_map(|pages| self.rules().whole_blocks(*pages));
                let left_out = asked.filter(|whole| !added.contains(whole)).map(|whole| self.span(whole));
                notes.extend(left_out.map(|span| format!("{span} is left out: it cannot be added")));
                if added.is_empty() {
                    notes.push("the driver is bound and adds nothing; since Linux 5.15 it is refused".to_owned());
                }
                added
            }
        };
        let spans: Vec<Span> = spans.into_iter().map(|pages| self.span(pages)).collect();
        if request.kind.becomes_ram() {
            notes.extend(self.lost_at_ends(request, &spans));
            if self.rules().ram_unit_bytes < self.rules().block_bytes {
                let is_whole = |span: &Span| {
                    span.start.is_multiple_of(self.block_size.bytes) && span.end.is_multiple_of(self.block_size.bytes)
                };
                if !spans.iter().all(is_whole) {
                    notes.push(
                        "a memory block is there in part only: Linux before 4.17 accepts sections, but cannot put \
                         such a block online"
                            .to_owned(),
                    );
                }
            }
        }
        notes.extend(self.of_another_device(request).map(|there| {
            format!("Linux accepts it, yet {} at {} is of another device", there.name, self.span(there.range))
        }));
        if request.kind == RequestKind::Extent {
            notes.push("by the rules as posted (v11); Linux 7.2 has no dynamic capacity".to_owned());
        }
        if request.kind == RequestKind::VirtioMem {
            notes.push("RAM is what the device can add at most; it adds what is requested of it".to_owned());
        }
        Ok(Admitted { spans, notes })
    }

    /// What is cut off at the ends of each range.
    fn lost_at_ends(&self, request: &Request, added: &[Span]) -> Vec<String> {
        let mut notes = Vec::new();
        for span in &request.spans {
            let Some(whole) = added.iter().find(|added| span.contains(**added)) else { continue };
            for (bytes, from, end) in
                [(whole.start - span.start, span.start, "front"), (span.end - whole.end, whole.end, "end")]
            {
                if bytes > 0 {
                    notes.push(format!(
                        "{} are lost at the {end}, from {from:#x} on: less than a memory block of {}",
                        ByteSize(bytes),
                        ByteSize(self.block_size.bytes)
                    ));
                }
            }
        }
        notes
    }
}

fn accept(request: &Request, admitted: Admitted) -> Verdict {
    let Admitted { spans, notes } = admitted;
    let lost_bytes = request.bytes() - spans.iter().map(|span| span.bytes()).sum::<u64>();
    Verdict { request: request.clone(), refusals: Vec::new(), accepted: spans, lost_bytes, notes, nearest: Vec::new() }
}

/// Ranges whose start or size is not a multiple of `unit`.
fn broken_units(request: &Request, unit: u64, rule: &'static Rule) -> Vec<BrokenRule> {
    let is_off = |span: &&Span| !span.start.is_multiple_of(unit) || !span.bytes().is_multiple_of(unit);
    request.spans.iter().filter(is_off).map(|span| BrokenRule::Unit { span: *span, unit, rule }).collect()
}

/// The removal of memory that was added before.
#[derive(Clone, Debug)]
pub struct Removal {
    /// The ranges to remove.
    pub spans: Vec<Span>,
    /// Why they stay; `None` if they are gone.
    pub refusal: Option<Refusal>,
}

impl PreparedMachine<'_> {
    /// Removes RAM that was added, whose blocks then go offline, or takes a mapping down: all of the
    /// ranges, or none.
    pub fn remove(&mut self, request: &Request) -> Removal {
        let before = self.clone();
        let refusal = match self.try_remove(request) {
            Ok(()) => {
                self.is_unchanged = false;
                None
            }
            Err(broken) => {
                *self = before;
                Some(broken.refusal(request, self, &[]))
            }
        };
        Removal { spans: request.spans.clone(), refusal }
    }

    fn try_remove(&mut self, request: &Request) -> Result<(), BrokenRule> {
        let inside: Vec<PfnRange> = request.spans.iter().map(|span| self.pages_around(*span)).collect();
        match self.space.memunmap_pages(&inside) {
            Ok(()) => return Ok(()),
            Err(PagemapError::NotMapped { .. }) => {}
            Err(other) => return Err(BrokenRule::Mapping(other)),
        }
        for (&pages, &span) in inside.iter().zip(&request.spans) {
            self.space.remove_memory(pages).map_err(|error| BrokenRule::Ram { span, error })?;
        }
        Ok(())
    }
}
