//! Cost against the size of the physical space.

use crate::cases::LookupGroup;
use crate::layout_note::WhenNote;
use crate::probe::lookup::LookupOp;
use crate::queries::Pattern;
use crate::report::data::Data;
use crate::report::figure::{Figure, View};
use crate::report::headline::memory;
use crate::report::picture::{
    Area, Axis, DrawError, Hang, Key, LABEL, Labels, Marks, at, chart, head, plain, text, text_width,
};
use crate::row::Sections;
use crate::units::{bytes, three_digits, time};
use memmap_layouts::{Geometry, PAGE_RECORD_BYTES, X86_64};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

/// Lookups whose cost is shown.
const OPS: [LookupOp; 2] = [LookupOp::PfnValid, LookupOp::PfnToPage];

/// What names of maps begin with that differ in size alone: a line goes through them.
const SERIES: &str = "scattered-";

/// Bytes of a cache line.
const LINE_BYTES: u64 = 64;

struct Point {
    map: String,
    ram_bytes: f64,
    layout: String,
    ns: f64,
}

struct Panel {
    op: LookupOp,
    sections: Sections,
    points: Vec<Point>,
}

/// RAM of a map: records of its boot memory, at 64 bytes a page. Sections are counted as a whole.
fn ram_bytes(summary: &crate::summary::Summary) -> Option<f64> {
    // That of flat has the holes in it.
    let of = summary.bytes.iter().filter(|of| of.would_not_boot.is_none() && of.index.is_some_and(|index| index > 0.0));
    let records = of.filter_map(|of| of.records_needed).fold(f64::INFINITY, f64::min);
    let pages = records / PAGE_RECORD_BYTES as f64;
    records.is_finite().then_some(pages * (1u64 << X86_64::PAGE_SHIFT) as f64)
}

/// Memory whose sections' cache lines fill each data cache: what a lookup of the reference touches in scattered memory.
fn cache_marks(view: View<'_>, op: LookupOp, sections: Sections) -> Vec<(String, f64)> {
    let Some(note) = view.run.known.layouts.iter().find(|note| note.id == view.main().reference) else {
        return Vec::new();
    };
    let chain = if op == LookupOp::PfnValid { &note.load_chain.pfn_valid } else { &note.load_chain.pfn_to_page };
    let is_made = |when| sections == Sections::Hot || when == WhenNote::Always;
    let lines: BTreeSet<&str> = chain.iter().filter(|load| is_made(load.when)).map(|load| load.line.as_str()).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let section_bytes = (X86_64::PAGES_PER_SECTION << X86_64::PAGE_SHIFT) as f64;
    let bytes_a_section = (lines.len() as u64 * LINE_BYTES) as f64;
    let caches = view.run.known.environment.iter().flat_map(|environment| &environment.caches);
    let data = caches.filter(|cache| cache.kind != "Instruction");
    let mark = |cache: &crate::environment::Cache| {
        (
            format!("L{} {}", cache.level, bytes(cache.bytes as f64)),
            cache.bytes as f64 / bytes_a_section * section_bytes,
        )
    };
    data.map(mark).collect()
}

/// A panel for each lookup on boot and on hot-added memory.
///
/// # Errors
/// It cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let mut data =
        Data::new(&["op", "sections", "map", "ram_bytes", "layout", "time_ns", "ratio", "ratio_low", "ratio_high"]);
    let mut panels = Vec::new();
    for op in OPS {
        for sections in [Sections::Hot, Sections::Boot] {
            let mut points = Vec::new();
            for (map, summary) in view.maps {
                let group = LookupGroup::plain(op, Pattern::Random);
                let (Some(ram), Some(line)) = (ram_bytes(summary), summary.lookup(group, sections)) else { continue };
                for cell in &line.cells {
                    let Some(ns) = cell.median_ns else { continue };
                    let (low, high) = cell.ratio_interval.unzip();
                    data.push([
                        json!(op.name()),
                        json!(sections),
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
            // One map is no scale.
            if points.iter().map(|point| &point.map).collect::<BTreeSet<_>>().len() > 1 {
                panels.push(Panel { op, sections, points });
            }
        }
    }
    if panels.is_empty() {
        data = Data::default();
    }
    let caption = format!(
        "Independent lookups in random order against the RAM of the map; lower is better, both axes are logarithmic. A line goes \
         through maps of sections that are scattered over 64 TiB; markers without a line are the memory of real machines, whose \
         sections share cache lines. As much memory again was hot-added on each. Dashed: the memory at which the cache lines that \
         a lookup of {} touches, one set a section, fill a cache of this machine.",
        view.main().reference
    );
    let name = ("scale", "Cost of a lookup by the size of memory".to_owned());
    let missing = || {
        format!(
            "{} It takes lookups on several maps: pfnbench run --tier full.",
            view.no_rows_of("a lookup on more than one map")
        )
    };
    let rows = panels.len().div_ceil(2).max(1);
    Figure::new(name, caption, data, missing, 70 + 300 * rows as u32, |area, marks, title| {
        let is_there =
            |layout: &&String| panels.iter().any(|of| of.points.iter().any(|point| point.layout == **layout));
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
    // Room for the names of caches above the highest point.
    let y = Axis::log(all().map(|point| point.ns), 1.3, 2.2);
    let name = format!("RAM; {} on {}", panel.op, memory(panel.sections));
    let x_labels = Labels { name: &name, tick: &|tick| bytes(tick * gib) };
    let (x_axis, y_top) = (x.clone(), y.high());
    let mut chart = chart(area, (x, Some(x_labels)), (y, Labels { name: "ns per lookup", tick: &plain }))?;
    let mut last_end = i32::MIN;
    for (cache, ram) in cache_marks(view, panel.op, panel.sections) {
        let x = ram / gib;
        if !x_axis.holds(x) {
            continue;
        }
        let low = chart.plotting_area().get_y_range().start;
        let line = [(x, low), (x, y_top)];
        chart.draw_series(std::iter::once(DashedPathElement::new(line, 4, 4, BLACK.mix(0.5).stroke_width(1))))?;
        let (right, top) = at(&chart, x, y_top);
        // Where two caches are close, the second name has its own line.
        let width = text_width(&cache, LABEL - 2.0);
        let y = if right - width - 4 < last_end { top + 22 } else { top + 8 };
        text(area, &cache, (right - 3, y), LABEL - 2.0, Hang::Left)?;
        last_end = right;
    }
    for layout in &view.main().layouts {
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
