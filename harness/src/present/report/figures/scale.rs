//! Time of a lookup by the size of memory.

use crate::analysis::headline::memory_label;
use crate::analysis::summary::Summary;

use super::together::{Group, is_near, together};
use crate::case::{LookupGroup, LookupOp, Memory, Pattern};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{
    Area, Axis, Beside, CurvePoint, DrawError, Hang, Key, LABEL, Labels, Marks, at, beside, chart, curve, plain,
    room_for_names, text, text_width,
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
    interval: Option<(f64, f64)>,
}

const GIB: f64 = (1u64 << 30) as f64;

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

/// The curves of a panel, where those that coincide on every map are one. The values are points by size.
fn curves<'a>(view: View<'a>, panel: &'a Panel) -> Vec<Group<'a, &'a Point>> {
    let points = |layout: &'a String| -> (&'a str, Vec<&'a Point>) {
        let mut points: Vec<&Point> = panel.points.iter().filter(|point| point.layout == *layout).collect();
        points.sort_by(|a, b| a.ram_bytes.total_cmp(&b.ram_bytes));
        (layout, points)
    };
    let drawn = view.main().layouts.iter().map(points).filter(|(_, points)| !points.is_empty());
    together(drawn, |a, b| a.map == b.map && is_near(a.ns, b.ns))
}

/// Draws one panel per lookup and kind of memory.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let columns = [
        "op",
        "memory",
        "map",
        "ram_bytes",
        "layout",
        "time_ns",
        "time_low",
        "time_high",
        "ratio",
        "ratio_low",
        "ratio_high",
    ];
    let mut data = Data::new(&columns);
    let mut panels = Vec::new();
    let is_series = |map: &str| map.starts_with(SERIES);
    let has_series = view.maps.iter().filter(|(map, _)| is_series(map)).count() > 1;
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
                    let (time_low, time_high) = cell.interval_ns.unzip();
                    data.push([
                        json!(op.name()),
                        json!(memory),
                        json!(map),
                        json!(ram),
                        json!(cell.layout),
                        json!(ns),
                        json!(time_low),
                        json!(time_high),
                        json!(cell.ratio),
                        json!(low),
                        json!(high),
                    ]);
                    // Sections of other maps share cache lines, so that a curve through all of them would mislead.
                    if is_series(map) || !has_series {
                        let (map, layout, interval) = (map.clone(), cell.layout.clone(), cell.interval_ns);
                        points.push(Point { map, ram_bytes: ram, layout, ns, interval });
                    }
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
    let drawn: Vec<Lines> = panels.iter().filter_map(|panel| lines(view, panel.op, panel.memory)).collect();
    let mut names: Vec<&str> = drawn.iter().map(|lines| lines.layout.as_str()).collect();
    names.dedup();
    let caches = match names.is_empty() {
        true => String::new(),
        false => format!(
            " Dashed lines are computed, not measured: the size at which the cache lines that lookups touch fill a \
             cache of this machine (layout: {}). A cache without a line is beyond the axis.",
            names.join(" for pfn_valid, ") + if names.len() > 1 { " for pfn_to_page" } else { "" }
        ),
    };
    let words = Words {
        name: "scale",
        title: "Time of a lookup by the size of memory".to_owned(),
        caption: "Time of independent lookups in random order, by the RAM of the map; lower is better. Both axes are \
                  logarithmic."
            .to_owned(),
        whiskers: "95 % intervals over processes",
        reading: format!(
            "{} On each map, as much memory again was added. Layouts within 3 % of each other on every map share a curve, \
             which is no verdict: “a +2” is a and the two layouts that the legend names with it.{caches}",
            if has_series {
                "The sections of these maps are scattered over 64 TiB. Maps of real machines, whose sections share \
                 cache lines, are in the data and in the table of all operations."
            } else {
                "The maps are those of the run."
            }
        ),
    };
    let missing = || {
        format!(
            "{} The figure needs lookups on several maps; run pfnbench run --tier full.",
            view.no_rows_of("a lookup on more than one map")
        )
    };
    Figure::new(words, data, missing, |drawing| {
        let mut shared = BTreeSet::new();
        let drawn: Vec<_> = panels.iter().map(|panel| (panel, curves(view, panel))).collect();
        for (_, groups) in &drawn {
            for group in groups.iter().filter(|group| group.layouts.len() > 1) {
                if shared.insert(group.names()) {
                    let names = format!("{}: {}", group.label(), group.names());
                    drawing.key(Key::Layout(view.look(group.layouts[0])), names)?;
                }
            }
        }
        for (panel, groups) in &drawn {
            let title = format!("{} on {}", panel.op, memory_label(panel.memory));
            drawing.panel(&title, 300, |area, marks| draw(view, (panel, groups), area, marks))?;
        }
        Ok(())
    })
}

/// Draws the curves of a panel, each with its name at its end, and where its tables fill the caches.
fn draw(
    view: View<'_>,
    (panel, groups): (&Panel, &[Group<'_, &Point>]),
    area: &Area<'_>,
    marks: &mut Marks,
) -> Result<(), DrawError> {
    let all = || panel.points.iter();
    let most = all().map(|point| point.ram_bytes / GIB).fold(0.0, f64::max);
    let least = all().map(|point| point.ram_bytes / GIB).fold(most, f64::min);
    let x = Axis::log([least, most].into_iter(), 1.6, room_for_names(most / least));
    let ticks =
        (-6..=16).step_by(6).map(|power| 2f64.powi(power)).filter(|tick| x.holds(*tick) && *tick <= most * 1.01);
    let x = x.clone().with_ticks(ticks.collect());
    // The upper margin has room for the names of caches.
    let y = Axis::log(all().map(|point| point.ns), 1.3, 2.2);
    let x_labels = Labels { name: "RAM", tick: &|tick| bytes(tick * GIB) };
    let (x_axis, y_low, y_top) = (x.clone(), y.low(), y.high());
    let mut chart = chart(area, (x, Some(x_labels)), (y, Labels { name: "ns per lookup", tick: &plain }))?;
    let marked = lines(view, panel.op, panel.memory).map(|lines| cache_marks(view, &lines)).unwrap_or_default();
    let mut last_end = i32::MIN;
    for (cache, ram) in marked {
        let x = ram / GIB;
        if !x_axis.holds(x) {
            continue;
        }
        let line = [(x, y_low), (x, y_top)];
        chart.draw_series(std::iter::once(DashedPathElement::new(line, 4, 4, BLACK.mix(0.5).stroke_width(1))))?;
        let (right, top) = at(&chart, x, y_top);
        // If two caches are close, the second name goes to the next line.
        let width = text_width(&cache, LABEL - 2.0);
        let y = if right - width - 4 < last_end { top + 22 } else { top + 8 };
        text(area, &cache, (right - 3, y), LABEL - 2.0, Hang::Left)?;
        last_end = right;
    }
    let (mut names, mut end) = (Vec::new(), 0);
    for group in groups {
        let point = |point: &&Point| CurvePoint { x: point.ram_bytes / GIB, y: point.ns, interval: point.interval };
        let points: Vec<CurvePoint> = group.values.iter().map(point).collect();
        let Some((x, y)) = curve(&mut chart, marks, view.look(group.layouts[0]), &points)? else { continue };
        end = end.max(x);
        names.push(Beside { y, text: group.label() });
    }
    for point in all() {
        let gib = three_digits(point.ram_bytes / GIB);
        let hover = format!("{} on {} ({gib} GiB), {}: {}", panel.op, point.map, point.layout, time(point.ns));
        marks.point(at(&chart, point.ram_bytes / GIB, point.ns), hover);
    }
    let (upper, lower) = (at(&chart, most, y_top).1 + 34, at(&chart, most, y_low).1 - 6);
    beside(area, &names, end, (upper, lower))
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
