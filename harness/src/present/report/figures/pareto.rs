//! Memory overhead against lookup time, with the Pareto front.

use crate::analysis::headline::memory_label;
use crate::case::{LookupGroup, LookupOp, Memory, Pattern};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Axis, DrawError, Key, Labels, at, chart, head, plain};
use crate::units::{bytes, time};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use serde_json::json;

/// The lookup that represents speed: a validity check, then the record.
const OP: LookupOp = LookupOp::ValidToPage;

struct Point {
    layout: String,
    /// Overhead: bytes of the index, and of records of holes.
    bytes: f64,
    /// Time per lookup.
    ns: f64,
    is_on_front: bool,
}

/// Marks the points on the Pareto front: no other point is better in one respect and at least as good in the other.
fn mark_front(points: &mut [Point]) {
    let all: Vec<(f64, f64)> = points.iter().map(|point| (point.bytes, point.ns)).collect();
    for point in points {
        let beats = |&(bytes, ns): &(f64, f64)| {
            bytes <= point.bytes && ns <= point.ns && (bytes < point.bytes || ns < point.ns)
        };
        point.is_on_front = !all.iter().any(beats);
    }
}

/// The corners of the front as a step line, by ascending bytes.
fn front(points: &[Point]) -> Vec<(f64, f64)> {
    let mut on: Vec<(f64, f64)> =
        points.iter().filter(|point| point.is_on_front).map(|point| (point.bytes, point.ns)).collect();
    on.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for (bytes, ns) in on {
        if let Some(&(_, before)) = corners.last() {
            corners.push((bytes, before));
        }
        corners.push((bytes, ns));
    }
    corners
}

/// Draws one panel for boot memory and one for added memory.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let summary = view.main();
    let mut data = Data::new(&["memory", "layout", "overhead_bytes", "time_ns", "on_front"]);
    let mut panels = Vec::new();
    for memory in Memory::ALL {
        let line = summary.lookup(LookupGroup::plain(OP, Pattern::Random), memory);
        let mut points: Vec<Point> = Vec::new();
        for cell in line.iter().flat_map(|line| &line.cells) {
            let usage = summary.bytes.iter().find(|usage| usage.layout == cell.layout);
            let bytes = usage.and_then(|usage| summary.overhead(usage, memory));
            let (Some(ns), Some(bytes)) = (cell.median_ns, bytes) else { continue };
            points.push(Point { layout: cell.layout.clone(), bytes, ns, is_on_front: false });
        }
        mark_front(&mut points);
        for point in &points {
            data.push([
                json!(memory),
                json!(point.layout),
                json!(point.bytes),
                json!(point.ns),
                json!(point.is_on_front),
            ]);
        }
        if !points.is_empty() {
            panels.push((memory, points));
        }
    }
    let caption = "Memory overhead against the time of valid_to_page in random order. Left and down is better. \
                   Overhead is what a layout needs beyond one record per page of each section with memory: its index \
                   and, for flat, records of holes. The dashed line is the Pareto front: for a layout on it, no other \
                   layout is better in one respect and at least as good in the other. For the second panel, as much \
                   memory again was hot-added.";
    let name = ("pareto", "Memory overhead against time of valid_to_page".to_owned());
    Figure::new(
        name,
        caption,
        data,
        || view.no_rows_of("valid_to_page, or of the memory use of layouts,"),
        400,
        |area, marks, title| {
            let mut legend: Vec<(Key, String)> = Vec::new();
            for layout in &summary.layouts {
                if panels.iter().any(|(_, points)| points.iter().any(|point| point.layout == *layout)) {
                    legend.push((Key::Layout(view.look(layout)), layout.clone()));
                }
            }
            legend.push((Key::Dashes, "Pareto front".to_owned()));
            let body = head(area, title, &legend)?;
            let areas = body.split_evenly((1, panels.len()));
            for ((memory, points), area) in panels.iter().zip(&areas) {
                let mib = |bytes: f64| bytes / f64::from(1 << 20);
                let (least, most) = points.iter().fold((f64::INFINITY, 0.0f64), |(least, most), point| {
                    (least.min(mib(point.bytes)), most.max(mib(point.bytes)))
                });
                // Depending on the map, layouts differ by 0.1 % or by a factor of 100.
                let x = match most / least < 3.0 || least <= 0.0 {
                    true => Axis::between(least, most),
                    false => Axis::log([least, most].into_iter(), 1.6, 1.6).with_binary_ticks(),
                };
                let y = Axis::from_zero(points.iter().map(|point| point.ns).fold(0.0, f64::max));
                let x_name = format!("overhead; {}", memory_label(*memory));
                let x_labels = Labels { name: &x_name, tick: &|mib| bytes((mib * f64::from(1 << 20)).round()) };
                let y_labels = Labels { name: "ns per valid_to_page", tick: &plain };
                let mut chart = chart(area, (x, Some(x_labels)), (y, y_labels))?;
                let line: Vec<(f64, f64)> = front(points).into_iter().map(|(bytes, ns)| (mib(bytes), ns)).collect();
                chart.draw_series(std::iter::once(DashedPathElement::new(
                    line,
                    5,
                    4,
                    BLACK.mix(0.6).stroke_width(1),
                )))?;
                for point in points {
                    let look = view.look(&point.layout);
                    chart.draw_series([EmptyElement::at((mib(point.bytes), point.ns)) + look.marker((0, 0))])?;
                    let on = if point.is_on_front { ", on the Pareto front" } else { "" };
                    let hover = format!(
                        "{}, {}: {}, {}{on}",
                        point.layout,
                        memory_label(*memory),
                        bytes(point.bytes),
                        time(point.ns)
                    );
                    marks.point(at(&chart, mib(point.bytes), point.ns), hover);
                }
            }
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_point_beats_one_on_the_front() {
        let point = |bytes, ns| Point { layout: String::new(), bytes, ns, is_on_front: false };
        let mut points = vec![point(1.0, 5.0), point(2.0, 2.0), point(3.0, 2.0), point(4.0, 1.0), point(1.0, 5.0)];
        mark_front(&mut points);
        assert_eq!(points.iter().map(|point| point.is_on_front).collect::<Vec<_>>(), [true, true, false, true, true]);
        assert_eq!(front(&points).first(), Some(&(1.0, 5.0)));
        assert_eq!(front(&points).last(), Some(&(4.0, 1.0)));
    }
}
