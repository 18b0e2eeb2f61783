//! Zones and nodes: the spans that hold pages, and how they grow and shrink.
//!
//! Source: `mm/memory_hotplug.c`: `resize_zone_range`, `shrink_zone_span`, `update_pgdat_span`.

use crate::page::Zone;
use crate::pfn::PfnRange;
use std::collections::BTreeMap;

/// A span of page frames. An empty span has both fields 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First page frame (`zone_start_pfn`).
    pub start: u64,
    /// Number of page frames, holes included (`spanned_pages`).
    pub spanned: u64,
}

impl Span {
    /// One past the last page frame.
    pub fn end(self) -> u64 {
        self.start + self.spanned
    }

    /// The span from `start` to `end`, which is not in it.
    fn from_bounds(start: u64, end: u64) -> Self {
        Self { start, spanned: end - start }
    }

    /// The smallest span that covers `self` and `range`.
    fn grown(self, range: PfnRange) -> Self {
        match self.spanned {
            0 => Self::from_bounds(range.start(), range.end()),
            _ => Self::from_bounds(self.start.min(range.start()), self.end().max(range.end())),
        }
    }
}

/// Span and page counts of one zone of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ZoneState {
    /// From the first to the last page of the zone, holes included.
    pub span: Span,
    /// Number of online pages; always 0 for device memory.
    pub present_pages: u64,
    /// How many of `present_pages` are boot memory (`present_early_pages`).
    pub present_early_pages: u64,
}

/// Identifies a zone: NUMA node and zone type.
pub type ZoneId = (u8, Zone);

/// Kernel-version rules for shrinking a zone's span.
#[derive(Clone, Copy, Debug)]
pub struct ShrinkRules {
    /// Page frames between two probes: a section, or a sub-section since the series.
    pub step_pages: u64,
    /// Never shrink the span of ZONE_DEVICE (since 5.6).
    pub device_only_grows: bool,
}

/// The zones of all nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Zones {
    zones: BTreeMap<(u8, u8), ZoneState>,
}

impl Zones {
    /// A zone by node and type; empty if it never had a page.
    pub fn get(&self, (node, zone): ZoneId) -> ZoneState {
        self.zones.get(&(node, zone as u8)).copied().unwrap_or_default()
    }

    fn entry(&mut self, (node, zone): ZoneId) -> &mut ZoneState {
        self.zones.entry((node, zone as u8)).or_default()
    }

    /// The smallest span that covers all zones of a node that are not empty.
    pub fn node_span(&self, node: u8) -> Span {
        let zones = self.zones.range((node, 0)..=(node, u8::MAX)).map(|(_, zone)| zone.span);
        let ranges = zones.filter(|span| span.spanned > 0).filter_map(|span| PfnRange::new(span.start, span.end()));
        ranges.fold(Span::default(), Span::grown)
    }

    /// Widens a zone's span to cover `range`. Source: `move_pfn_range_to_zone`.
    pub fn grow(&mut self, id: ZoneId, range: PfnRange) {
        let zone = self.entry(id);
        zone.span = zone.span.grown(range);
    }

    /// Adds pages that went online to the counts.
    pub fn add_present(&mut self, id: ZoneId, nr_pages: u64, early: bool) {
        let zone = self.entry(id);
        zone.present_pages += nr_pages;
        zone.present_early_pages += if early { nr_pages } else { 0 };
    }

    /// Subtracts pages that went offline from the counts.
    pub fn sub_present(&mut self, id: ZoneId, nr_pages: u64, early: bool) {
        let zone = self.entry(id);
        zone.present_pages -= nr_pages;
        zone.present_early_pages -= if early { nr_pages } else { 0 };
    }

    /// Shrinks the span of a zone after `range` left it. A range in the middle leaves the span as
    /// it is. `belongs` tells whether a page is in the zone. It is called only for pages outside
    /// `range` and inside the ranges that `populated` returns in ascending order.
    ///
    /// Cost: linear in the memory between `range` and the nearest remaining page of the zone. The
    /// kernel walks holes too.
    pub fn shrink<I: DoubleEndedIterator<Item = PfnRange>>(
        &mut self,
        id: ZoneId,
        range: PfnRange,
        rules: ShrinkRules,
        populated: impl FnOnce(PfnRange) -> I,
        belongs: impl Fn(u64) -> bool,
    ) {
        let span = self.get(id).span;
        if span.spanned == 0 || id.1 == Zone::Device && rules.device_only_grows {
            return;
        }
        let step = rules.step_pages;
        let shrunk = if range.start() <= span.start {
            // `find_smallest_section_pfn`
            let rest = PfnRange::new(range.end().max(span.start), span.end());
            let first = rest.and_then(|rest| {
                let probes = populated(rest).filter_map(|part| part.intersect(rest));
                probes.flat_map(|part| (part.start()..part.end()).step_by(step as usize)).find(|&pfn| belongs(pfn))
            });
            first.map_or(Span::default(), |pfn| Span::from_bounds(pfn, span.end()))
        } else if range.end() >= span.end() {
            // Each step is represented by its last page (`find_biggest_section_pfn`).
            let rest = PfnRange::new(span.start, range.start());
            let last = rest.and_then(|rest| {
                let probes = populated(rest).rev().filter_map(|part| part.intersect(rest));
                let lasts =
                    |part: PfnRange| (0..part.nr_pages()).step_by(step as usize).map(move |at| part.end() - 1 - at);
                probes.flat_map(lasts).find(|&pfn| belongs(pfn))
            });
            last.map_or(Span::default(), |pfn| Span::from_bounds(span.start, pfn + 1))
        } else {
            return;
        };
        self.entry(id).span = shrunk;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pfn::Pfn;
    use std::cell::Cell;
    use std::iter::once;

    const NORMAL: ZoneId = (0, Zone::Normal);
    const RULES: ShrinkRules = ShrinkRules { step_pages: 512, device_only_grows: true };

    fn range(start: u64, end: u64) -> PfnRange {
        PfnRange::new(start * 512, end * 512).unwrap()
    }

    fn span(zones: &Zones, id: ZoneId) -> (u64, u64) {
        let span = zones.get(id).span;
        assert!((span.start | span.spanned).is_multiple_of(512));
        (span.start / 512, span.spanned / 512)
    }

    #[test]
    fn spans_grow_over_holes_and_shrink_to_the_next_page_of_the_zone() {
        let mut zones = Zones::default();
        zones.grow(NORMAL, range(10, 20));
        zones.grow(NORMAL, range(30, 40));
        assert_eq!(span(&zones, NORMAL), (10, 30));
        let mut shrink = |from, to, rest: &[(u64, u64)]| {
            let belongs = |pfn: u64| rest.iter().any(|&(from, to)| from * 512 <= pfn && pfn < to * 512);
            zones.shrink(NORMAL, range(from, to), RULES, once, belongs);
            span(&zones, NORMAL)
        };
        assert_eq!(shrink(10, 20, &[(30, 40)]), (30, 10));
        assert_eq!(shrink(34, 36, &[(30, 34), (36, 40)]), (30, 10), "a range in the middle");
        assert_eq!(shrink(36, 40, &[(30, 34)]), (30, 4), "down to the hole that was made before");
        assert_eq!(shrink(30, 34, &[]), (0, 0));
        assert_eq!(shrink(30, 34, &[]), (0, 0), "an empty zone stays empty");
    }

    /// The number of probes depends on the sub-sections with memory, not on the width of the hole.
    #[test]
    fn holes_are_not_walked() {
        let (near, far, between) = (range(0, 2), range(1 << 31, (1 << 31) + 3), range(9, 10));
        for (taken, stays) in [(near, far), (far, near)] {
            let mut zones = Zones::default();
            zones.grow(NORMAL, near);
            zones.grow(NORMAL, far);
            let asked = Cell::new(0);
            let belongs = |pfn| {
                asked.set(asked.get() + 1);
                stays.contains(Pfn(pfn))
            };
            zones.shrink(NORMAL, taken, RULES, |_| [near, between, far].into_iter(), belongs);
            assert_eq!(zones.get(NORMAL).span, Span { start: stays.start(), spanned: stays.nr_pages() });
            assert_eq!(asked.get(), 2, "the range outside the zone, and the first one inside");
        }
    }

    #[test]
    fn zone_device_shrinks_by_sub_sections_in_the_series_and_not_at_all_since_5_6() {
        let device = (0, Zone::Device);
        for (device_only_grows, expected) in [(true, (8, 8)), (false, (9, 7))] {
            let mut zones = Zones::default();
            zones.grow(device, range(8, 16));
            let rules = ShrinkRules { device_only_grows, ..RULES };
            zones.shrink(device, range(8, 9), rules, once, |pfn| (9 * 512..16 * 512).contains(&pfn));
            assert_eq!(span(&zones, device), expected);
        }
    }

    #[test]
    fn a_node_spans_its_zones_and_no_others() {
        let mut zones = Zones::default();
        zones.grow((1, Zone::Normal), range(10, 20));
        zones.grow((1, Zone::Device), range(50, 60));
        zones.grow((2, Zone::Normal), range(90, 99));
        assert_eq!(zones.node_span(1), Span { start: 10 * 512, spanned: 50 * 512 });
        assert_eq!(zones.node_span(3), Span::default());
    }
}
