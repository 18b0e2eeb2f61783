//! Walks over valid page frames, and the question whether all of a range is valid.

use super::{Page, ns, ns_in_words, plain_table, verdict};
use crate::analysis::summary::{LookupLine, SERIES, Summary, WINNER};
use crate::case::{LookupGroup, LookupOp, Memory, Pattern};
use crate::map::builtin;
use crate::present::report::markdown::escaped;
use crate::units::{bytes, time};
use memmap_layouts::{Geometry, X86_64};

/// A map with holes that was walked: section runs that were added, and the holes between them.
pub(super) struct Holes {
    runs: u64,
    sections: u64,
    subsections: u64,
    hole_bytes: u64,
}

impl Holes {
    /// The holes of a built-in map without boot memory; `None` for any other map.
    pub(super) fn of_map(map: &str) -> Option<Self> {
        let map = builtin::by_name(map)?;
        let added = map.added_ram();
        let [first, second, ..] = added[..] else { return None };
        if map.ram_bytes() > 0 {
            return None;
        }
        let mut sections: Vec<u64> = added
            .iter()
            .flat_map(|run| X86_64::section_nr(run.start())..X86_64::section_nr(run.end() - 1) + 1)
            .collect();
        sections.dedup();
        Some(Self {
            runs: added.len() as u64,
            sections: sections.len() as u64,
            subsections: added.iter().map(|run| run.nr_pages() >> X86_64::PFN_SUBSECTION_SHIFT).sum(),
            hole_bytes: (second.start() - first.end()) << X86_64::PAGE_SHIFT,
        })
    }

    /// Whether sections are valid in part.
    pub(super) fn is_within_sections(&self) -> bool {
        self.subsections < self.sections * u64::from(X86_64::SUBSECTIONS_PER_SECTION)
    }
}

/// The walk of a summary over added memory.
pub(super) fn walk(summary: &Summary) -> Option<&LookupLine> {
    summary.lookup(LookupGroup::plain(LookupOp::NextValidPfn, Pattern::Sequential), Memory::Added)
}

/// Lower quartile, median and upper quartile in ns.
fn spread(line: &LookupLine, layout: &str) -> Option<[f64; 3]> {
    let median = ns(line, layout)?;
    let (low, high) = line.cell(layout)?.quartiles_ns.unwrap_or((median, median));
    Some([low.min(median), median, high.max(median)])
}

impl Page<'_> {
    /// The walk over memory without holes, per sub-section, by layout.
    fn dense(&self, layout: &str) -> Option<[f64; 3]> {
        let summary = self.machine.maps.iter().find(|(map, _)| map == "added-512g")?;
        Some(spread(walk(&summary.1)?, layout)?.map(|ns| ns / f64::from(X86_64::SUBSECTIONS_PER_SECTION)))
    }

    /// Time of one hole: the median, and what the quartiles of both walks permit.
    fn hole(&self, holes: &Holes, line: &LookupLine, layout: &str) -> Option<String> {
        let [low, median, high] = spread(line, layout)?;
        let dense = self.dense(layout)?;
        let of = |walk: f64, dense: f64| {
            (walk * holes.sections as f64 - dense * holes.subsections as f64) / (holes.runs - 1) as f64
        };
        let [low, median, high] = [of(low, dense[2]), of(median, dense[1]), of(high, dense[0])];
        Some(format!("{} [{}, {}]", time(median), time(low.max(0.0)), time(high)))
    }

    pub(super) fn walks(&self) -> String {
        let layouts: Vec<&str> = self.walker.iter().map(String::as_str).chain([SERIES.0, WINNER]).collect();
        let mut lines: Vec<(u64, Vec<String>)> = Vec::new();
        for (map, summary) in &self.machine.maps {
            let (Some(holes), Some(line)) = (Holes::of_map(map), walk(summary)) else { continue };
            let over = self.walker.as_deref().unwrap_or(SERIES.0);
            let cells = layouts.iter().map(|layout| self.hole(&holes, line, layout).unwrap_or_else(|| "–".to_owned()));
            let mut cells: Vec<String> = std::iter::once(bytes(holes.hole_bytes as f64)).chain(cells).collect();
            cells.push(verdict(self.gain(line, over)).to_owned());
            lines.push((holes.hole_bytes, cells));
        }
        if lines.is_empty() {
            return String::new();
        }
        lines.sort_by_key(|(hole, _)| *hole);
        let dense = |layout: &&str| Some(format!("`{layout}` {}", time(self.dense(layout)?[1])));
        let dense: Vec<String> = layouts.iter().filter_map(dense).collect();
        let whole = format!("whole walk against {}", self.walker.as_deref().unwrap_or(SERIES.0));
        let head: Vec<&str> = std::iter::once("hole").chain(layouts.iter().copied()).chain([whole.as_str()]).collect();
        let lines: Vec<Vec<String>> = lines.into_iter().map(|(_, cells)| cells).collect();
        format!(
            "## Walks\n\n\
             Time of one hole when the next valid page frame is asked for: a walk that visits the first page frame of each \
             valid sub-section, less the same visits on memory without holes ({} a sub-section), divided by the number of \
             holes. Brackets hold what the quartiles of both walks permit. The maps are synthetic. The memory was added; with \
             holes of 2 MiB its sections are valid in part.\n\n\
             No loop of Linux does this: `for_each_valid_pfn` visits all 512 page frames of a sub-section, so holes are a \
             small part of its time unless they are large and memory is little. In holes of 1 TiB and more, most of the time in Linux \
             goes, section by section, over roots that are missing; to skip a missing root (256 sections) takes a few lines and \
             no new array, and was not measured. At 8 and 32 GiB every root is there, and this would not help.\n\n{}",
            dense.join(", "),
            plain_table(&head, &lines)
        )
    }

    pub(super) fn contiguous(&self) -> String {
        let mut lines = Vec::new();
        for (map, summary) in &self.machine.maps {
            for (op, what) in [
                (LookupOp::ScanPageblocks, "scan at pageblock stride, per section"),
                (LookupOp::IsContiguous, "is all of it valid, per answer"),
            ] {
                let group = LookupGroup::plain(op, Pattern::Sequential);
                let Some(line) = summary.lookup(group, Memory::Added) else { continue };
                lines.push(vec![
                    escaped(map),
                    what.to_owned(),
                    ns_in_words(line, SERIES.0),
                    ns_in_words(line, WINNER),
                    verdict(self.gain(line, SERIES.0)).to_owned(),
                ]);
            }
        }
        if lines.is_empty() {
            return String::new();
        }
        let head = ["map", "what", SERIES.0, WINNER, "verdict"];
        format!(
            "## Is all of a range valid?\n\n\
             `set_zone_contiguous` scans a zone at pageblock stride, at boot and again whenever a range joins or leaves the zone: \
             it asks `pfn_valid` of each block's last page frame (Linux 6.1: of the first, too) and `pfn_to_online_page` of the \
             first, and compares the zone of both. The `pfn_valid` part would gain, the rest would not. Summaries know \
             neither zones nor online state, so they cannot replace the scan; they can end it early with a \"no\". Posted patches avoid the rescan without touching `pfn_valid` (Tianyou Li, \
             November 2025; Yuan Liu, March 2026). Here the scan asks for validity alone; `{}` answers the second line by the \
             same scan, `{WINNER}` by its summaries. No kernel's code takes part.\n\n{}",
            SERIES.0,
            plain_table(&head, &lines)
        )
    }
}
