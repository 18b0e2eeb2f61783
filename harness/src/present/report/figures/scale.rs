//! Time of a lookup by the size of memory.

use crate::analysis::headline::memory_label;
use crate::analysis::summary::Summary;

use crate::case::{LookupGroup, LookupOp, Memory, Pattern};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{
    Area, Axis, DrawError, Hang, Key, LABEL, Labels, Marks, at, chart, head, plain, text, text_width,
};
use crate::record::environment::Environment;
use crate::record::layout_note::{LayoutNote, WhenNote};
use crate::units::{bytes, three_digits, time};
use memmap_layouts::{Geometry, X86_64};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

/// Lookups that are shown.
const OPS: [LookupOp; 2] = [LookupOp::PfnValid, LookupOp::PfnToPage];

/// Prefix of the names of maps that differ only in size. The figure connects their points.
pub(super) const SERIES: &str = "scattered-";

/// Size of a cache line in bytes.
const LINE_BYTES: u64 = 64;

/// Name of the root table in load chains.
const ROOTS: &str = "root table";

struct Point {
    map: String,
    ram_bytes: f64,
    layout: String,
    ns: f64,
}

struct Panel {
    op: LookupOp,
    memory: Memory,
    points: Vec<Point>,
}

/// RAM of a map in bytes, derived from the size of the records of its boot memory. Partly filled
/// sections count as full.
pub(super) fn ram_bytes(layouts: &[LayoutNote], summary: &Summary) -> Option<f64> {
    // The flat array also has records for holes. It has no index, so it is excluded.
    let booted = summary
        .bytes
        .iter()
        .filter(|usage| usage.would_not_boot.is_none() && usage.index.is_some_and(|index| index > 0.0));
    let bytes_a_record = |id: &str| layouts.iter().find(|note| note.id == id).map(|note| note.record_bytes as f64);
    let pages = booted.filter_map(|usage| Some(usage.records_needed? / bytes_a_record(&usage.layout)?));
    let pages = pages.fold(f64::INFINITY, f64::min);
    pages.is_finite().then_some(pages * (1u64 << X86_64::PAGE_SHIFT) as f64)
}

/// Cache lines that the lookups of a layout touch in scattered memory.
struct Lines {
    /// Id of the layout.
    layout: String,
    /// True if lookups read the root table, which all sections share.
    has_roots: bool,
    /// Number of cache lines per section.
    a_section: u64,
}

/// Number of cache lines of the root table that this many sections touch. The table has one pointer per page of
/// descriptors; scattered sections touch different lines until all are in use.
fn root_lines(sections: u64) -> u64 {
    sections.min(X86_64::NR_SECTION_ROOTS * size_of::<u64>() as u64 / LINE_BYTES)
}

/// Cache lines of the reference, or of the first layout with loads if the reference has none.
fn lines(view: View<'_>, op: LookupOp, memory: Memory) -> Option<Lines> {
    // Added memory consists of whole sections there.
    let is_made = |when| match when {
        WhenNote::HotAdded => memory == Memory::Added,
        WhenNote::InPart => false,
        WhenNote::Always | WhenNote::EachStep => true,
    };
    let touched = |note: &LayoutNote| {
        let chain = if op == LookupOp::PfnValid { &note.load_chain.pfn_valid } else { &note.load_chain.pfn_to_page };
        let lines: BTreeSet<&str> =
            chain.iter().filter(|load| is_made(load.when)).map(|load| load.line.as_str()).collect();
        let has_roots = lines.contains(ROOTS);
        let a_section = lines.len() as u64 - u64::from(has_roots);
        (a_section > 0).then(|| Lines { layout: note.id.clone(), has_roots, a_section })
    };
    let notes = &view.run.known.layouts;
    let reference = notes.iter().find(|note| note.id == view.main().reference);
    reference.into_iter().chain(notes).find_map(touched)
}

/// Bytes of scattered memory at which the cache lines of its sections fill a cache.
fn filling(lines: &Lines, cache_bytes: u64) -> f64 {
    let room = cache_bytes / LINE_BYTES;
    // First assume one root line per section. With many sections, the root table is complete.
    let alone = room / (lines.a_section + u64::from(lines.has_roots));
    let sections = match lines.has_roots && root_lines(alone) < alone {
        true => room.saturating_sub(root_lines(u64::MAX)) / lines.a_section,
        false => alone,
    };
    sections as f64 * (X86_64::PAGES_PER_SECTION << X86_64::PAGE_SHIFT) as f64
}

/// The data caches by name, with the memory in bytes that fills each.
fn cache_marks(view: View<'_>, lines: &Lines) -> Vec<(String, f64)> {
    let caches = view.run.known.environment.iter().flat_map(Environment::data_caches);
    caches.map(|cache| (cache.in_words(), filling(lines, cache.bytes))).collect()
}

/// Layouts whose points coincide, i.e. differ by less than 3 % on every map. Names are joined by "and".
fn coinciding(view: View<'_>, panel: &Panel) -> Vec<String> {
    let points_of = |layout: &str| -> Vec<(&str, f64)> {
        let points = panel.points.iter().filter(|point| point.layout == layout);
        points.map(|point| (point.map.as_str(), point.ns)).collect()
    };
    let mut groups: Vec<Vec<&String>> = Vec::new();
    for layout in &view.main().layouts {
        let points = points_of(layout);
        let lies_on = |first: &str| {
            let others = points_of(first);
            // Markers this close overlap. This is not a verdict.
            let is_near = |a: f64, b: f64| (a / b).ln().abs() < 0.03;
            let is_same = |(a, b): (&(&str, f64), &(&str, f64))| a.0 == b.0 && is_near(a.1, b.1);
            points.len() == others.len() && points.iter().zip(&others).all(is_same)
        };
        match groups.iter_mut().find(|group| !points.is_empty() && lies_on(group[0])) {
            Some(group) => group.push(layout),
            None => groups.push(vec![layout]),
        }
    }
    let together = groups.into_iter().filter(|group| group.len() > 1);
    together.map(|group| group.into_iter().cloned().collect::<Vec<_>>().join(" and ")).collect()
}

/// Draws one panel per lookup and kind of memory.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let mut data =
        Data::new(&["op", "memory", "map", "ram_bytes", "layout", "time_ns", "ratio", "ratio_low", "ratio_high"]);
    let mut panels = Vec::new();
    for op in OPS {
        for memory in [Memory::Added, Memory::Boot] {
            let mut points = Vec::new();
            for (map, summary) in view.maps {
                let group = LookupGroup::plain(op, Pattern::Random);
                let (Some(ram), Some(line)) =
                    (ram_bytes(&view.run.known.layouts, summary), summary.lookup(group, memory))
                else {
                    continue;
                };
                for cell in &line.cells {
                    let Some(ns) = cell.median_ns else { continue };
                    let (low, high) = cell.ratio_interval.unzip();
                    data.push([
                        json!(op.name()),
                        json!(memory),
                        json!(map),
                        json!(ram),
                        json!(cell.layout),
                        json!(ns),
                        json!(cell.ratio),
                        json!(low),
                        json!(high),
                    ]);
                    points.push(Point { map: map.clone(), ram_bytes: ram, layout: cell.layout.clone(), ns });
                }
            }
            // A single map does not show a trend.
            if points.iter().map(|point| &point.map).collect::<BTreeSet<_>>().len() > 1 {
                panels.push(Panel { op, memory, points });
            }
        }
    }
    if panels.is_empty() {
        data = Data::default();
    }
    let mut caption = "Time of independent lookups in random order, by the RAM of the map. Lower is better; both axes \
                       are logarithmic. Lines connect maps whose sections are scattered over 64 TiB. Markers without a \
                       line are maps of real machines, whose sections share cache lines. On each map, as much memory \
                       again was hot-added."
        .to_owned();
    if let Some(panel) = panels.first() {
        let together = coinciding(view, panel);
        if !together.is_empty() {
            let what = format!("{} on {}", panel.op, memory_label(panel.memory));
            caption.push_str(&format!(" In the panel of {what}, these coincide: {}.", together.join("; ")));
        }
        let drawn: Vec<Lines> = panels.iter().filter_map(|panel| lines(view, panel.op, panel.memory)).collect();
        let mut names: Vec<&str> = drawn.iter().map(|lines| lines.layout.as_str()).collect();
        names.dedup();
        if !names.is_empty() {
            caption.push_str(&format!(
                " The dashed lines are computed, not measured. They show how much scattered memory fills a cache of \
                 this machine with the cache lines that lookups touch (layout: {}). A cache without a line is beyond \
                 the axis.",
                names.join(" for pfn_valid, ") + if names.len() > 1 { " for pfn_to_page" } else { "" }
            ));
        }
    }
    let name = ("scale", "Time of a lookup by the size of memory".to_owned());
    let missing = || {
        format!(
            "{} The figure needs lookups on several maps; run pfnbench run --tier full.",
            view.no_rows_of("a lookup on more than one map")
        )
    };
    let rows = panels.len().div_ceil(2).max(1);
    Figure::new(name, caption, data, missing, 70 + 300 * rows as u32, |area, marks, title| {
        let is_there =
            |layout: &&String| panels.iter().any(|panel| panel.points.iter().any(|point| point.layout == **layout));
        let legend = view.main().layouts.iter().filter(is_there);
        let legend: Vec<(Key, String)> =
            legend.map(|layout| (Key::Layout(view.look(layout)), layout.clone())).collect();
        let body = head(area, title, &legend)?;
        for (panel, area) in panels.iter().zip(&body.split_evenly((rows, 2))) {
            draw(view, panel, area, marks)?;
        }
        Ok(())
    })
}

fn draw(view: View<'_>, panel: &Panel, area: &Area<'_>, marks: &mut Marks) -> Result<(), DrawError> {
    let all = || panel.points.iter();
    let gib = f64::from(1 << 30);
    let x = Axis::log(all().map(|point| point.ram_bytes / gib), 1.6, 1.6);
    let ticks = (-6..=16).step_by(3).map(|power| 2f64.powi(power)).filter(|tick| x.holds(*tick)).collect();
    let x = x.with_ticks(ticks);
    // The upper margin has room for the names of caches.
    let y = Axis::log(all().map(|point| point.ns), 1.3, 2.2);
    let name = format!("RAM; {} on {}", panel.op, memory_label(panel.memory));
    let x_labels = Labels { name: &name, tick: &|tick| bytes(tick * gib) };
    let (x_axis, y_top) = (x.clone(), y.high());
    let mut chart = chart(area, (x, Some(x_labels)), (y, Labels { name: "ns per lookup", tick: &plain }))?;
    let marked = lines(view, panel.op, panel.memory).map(|lines| cache_marks(view, &lines)).unwrap_or_default();
    let mut last_end = i32::MIN;
    for (cache, ram) in marked {
        let x = ram / gib;
        if !x_axis.holds(x) {
            continue;
        }
        let low = chart.plotting_area().get_y_range().start;
        let line = [(x, low), (x, y_top)];
        chart.draw_series(std::iter::once(DashedPathElement::new(line, 4, 4, BLACK.mix(0.5).stroke_width(1))))?;
        let (right, top) = at(&chart, x, y_top);
        // If two caches are close, the second name goes to the next line.
        let width = text_width(&cache, LABEL - 2.0);
        let y = if right - width - 4 < last_end { top + 22 } else { top + 8 };
        text(area, &cache, (right - 3, y), LABEL - 2.0, Hang::Left)?;
        last_end = right;
    }
    // The reference is drawn last, so that coinciding markers do not hide it.
    let is_reference = |layout: &&String| **layout == view.main().reference;
    let (last, first): (Vec<&String>, Vec<&String>) = view.main().layouts.iter().partition(is_reference);
    for layout in first.into_iter().chain(last) {
        let look = view.look(layout);
        let mut of_layout: Vec<&Point> = all().filter(|point| point.layout == *layout).collect();
        of_layout.sort_by(|a, b| a.ram_bytes.total_cmp(&b.ram_bytes));
        let series = of_layout.iter().filter(|point| point.map.starts_with(SERIES));
        let series: Vec<(f64, f64)> = series.map(|point| (point.ram_bytes / gib, point.ns)).collect();
        chart.draw_series(LineSeries::new(series, look.colour().stroke_width(2)))?;
        let points = of_layout.iter().map(|point| (point.ram_bytes / gib, point.ns));
        chart.draw_series(points.map(|point| EmptyElement::at(point) + look.marker((0, 0))))?;
    }
    for point in all() {
        let ratio = three_digits(point.ram_bytes / gib);
        let hover = format!("{} on {} ({ratio} GiB), {}: {}", panel.op, point.map, point.layout, time(point.ns));
        marks.point(at(&chart, point.ram_bytes / gib, point.ns), hover);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_filled_by_the_lines_of_sections_and_the_roots_they_share() {
        let lines = |has_roots, a_section| Lines { layout: String::new(), has_roots, a_section };
        let sections = |bytes: f64| bytes / f64::from(128 << 20);
        // 64 TiB have 2048 roots, 256 lines of them.
        assert_eq!(root_lines(u64::MAX), 256);
        assert_eq!(sections(filling(&lines(true, 1), 48 << 10)), 512.0);
        assert_eq!(sections(filling(&lines(true, 2), 1 << 20)), 8064.0);
        assert_eq!(sections(filling(&lines(true, 1), 8 << 10)), 64.0, "a root each");
        assert_eq!(sections(filling(&lines(false, 1), 64)), 1.0);
    }
}
