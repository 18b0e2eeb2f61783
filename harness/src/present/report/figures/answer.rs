//! The answer in one picture: `pfn_valid` by the size of memory, without an index, before the series and
//! in Linux today.

use super::scale::{SERIES, ram_bytes};
use crate::analysis::headline::memory_label;
use crate::analysis::summary::LINUX;
use crate::case::{LookupGroup, LookupOp, Memory, Pattern};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{
    Area, Axis, Beside, CurvePoint, DrawError, Labels, Marks, at, beside, chart, curve, plain, room_for_names,
};
use crate::units::{bytes, time};
use serde_json::json;

/// What each layout is called in the picture.
const SHOWN: [(&str, &str); 3] = [("flat", "flat array"), (LINUX.1, "before: Linux 5.2"), (LINUX.0, "Linux 6.1")];

const GIB: f64 = (1u64 << 30) as f64;

struct Point {
    ram_gib: f64,
    ns: f64,
    /// Confidence interval over processes, if there are enough.
    interval: Option<(f64, f64)>,
}

struct Panel {
    memory: Memory,
    /// Points by layout, in the order of [`SHOWN`].
    curves: Vec<Vec<Point>>,
}

/// Draws a panel for boot and one for added memory.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let mut data = Data::new(&["memory", "map", "ram_bytes", "layout", "time_ns", "time_low", "time_high"]);
    let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
    let mut panels = Vec::new();
    for memory in [Memory::Boot, Memory::Added] {
        let mut curves: Vec<Vec<Point>> = Vec::new();
        for (layout, _) in SHOWN {
            let mut points = Vec::new();
            for (map, summary) in view.maps.iter().filter(|(map, _)| map.starts_with(SERIES)) {
                let cell = summary.lookup(group, memory).and_then(|line| line.cell(layout));
                let (Some(ram), Some(cell)) = (ram_bytes(&view.run.known.layouts, summary), cell) else { continue };
                let Some(ns) = cell.median_ns else { continue };
                let (low, high) = cell.interval_ns.unzip();
                data.push([json!(memory), json!(map), json!(ram), json!(layout), json!(ns), json!(low), json!(high)]);
                points.push(Point { ram_gib: ram / GIB, ns, interval: cell.interval_ns });
            }
            points.sort_by(|a, b| a.ram_gib.total_cmp(&b.ram_gib));
            curves.push(points);
        }
        if curves.iter().any(|points| points.len() > 1) {
            panels.push(Panel { memory, curves });
        }
    }
    if panels.is_empty() {
        data = Data::default();
    }
    let words = Words {
        name: "answer",
        title: "What pfn_valid costs, by the size of memory".to_owned(),
        caption: "pfn_valid by the size of memory, independent lookups in random order; lower is better. The axis of \
                  sizes is logarithmic. A flat array has no memory added later."
            .to_owned(),
        whiskers: "95 % intervals over processes",
        reading: "The sections are scattered over 64 TiB. Linux 5.2 is before the series, the other Linux after it."
            .to_owned(),
    };
    let missing = || {
        format!(
            "{} It needs lookups on several maps; run pfnbench run --tier full.",
            view.no_rows_of("pfn_valid on scattered maps")
        )
    };
    let tops = panels.iter().flat_map(|panel| panel.curves.iter().flatten());
    let top = tops.map(|point| point.interval.map_or(point.ns, |(_, high)| high)).fold(0.0, f64::max);
    Figure::new(words, data, missing, |drawing| {
        for panel in &panels {
            drawing.panel(memory_label(panel.memory), 270, |area, marks| draw(view, panel, top, area, marks))?;
        }
        Ok(())
    })
}

fn draw(view: View<'_>, panel: &Panel, top: f64, area: &Area<'_>, marks: &mut Marks) -> Result<(), DrawError> {
    let all = || panel.curves.iter().flatten();
    // Names of curves stand to the right of them.
    let most = all().map(|point| point.ram_gib).fold(0.0, f64::max);
    let least = all().map(|point| point.ram_gib).fold(most, f64::min);
    let x = Axis::log([least, most].into_iter(), 1.6, room_for_names(most / least));
    let ticks =
        (-6..=18).step_by(6).map(|power| 2f64.powi(power)).filter(|tick| x.holds(*tick) && *tick <= most * 1.01);
    let x = x.clone().with_ticks(ticks.collect());
    let x_labels = Labels { name: "RAM", tick: &|tick| bytes(tick * GIB) };
    let y = Axis::from_zero(top);
    let mut chart = chart(area, (x, Some(x_labels)), (y, Labels { name: "ns per lookup", tick: &plain }))?;
    let (mut names, mut right) = (Vec::new(), 0);
    for ((layout, called), points) in SHOWN.iter().zip(&panel.curves) {
        let of_curve = |point: &Point| CurvePoint { x: point.ram_gib, y: point.ns, interval: point.interval };
        let drawn: Vec<CurvePoint> = points.iter().map(of_curve).collect();
        let Some((x, y)) = curve(&mut chart, marks, view.look(layout), &drawn)? else { continue };
        right = right.max(x);
        names.push(Beside { y, text: (*called).to_owned() });
        for point in points {
            let hover = format!(
                "{layout}, {} of {} memory: {}",
                bytes(point.ram_gib * GIB),
                panel.memory.name(),
                time(point.ns)
            );
            marks.point(at(&chart, point.ram_gib, point.ns), hover);
        }
    }
    let (upper, lower) = (at(&chart, most, top).1, at(&chart, most, 0.0).1 - 6);
    beside(area, &names, right, (upper, lower))
}
