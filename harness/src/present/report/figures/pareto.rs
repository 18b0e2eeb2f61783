//! Memory overhead against lookup time, with the Pareto front.

use super::scale::ram_bytes;
use crate::analysis::headline::memory_label;
use crate::analysis::summary::{LookupCell, Summary};
use crate::case::{LookupGroup, LookupOp, Memory, Pattern};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{Area, Axis, DrawError, Key, Labels, Marks, at, chart, plain};
use crate::units::{bytes, percent, time};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use serde_json::json;

/// The lookups that represent speed; the first that was measured is drawn. A validity check, then the record, is what
/// a walker does.
const OPS: [LookupOp; 2] = [LookupOp::ValidToPage, LookupOp::PfnValid];

/// Differences of memory or time below this share are no trade-off that anyone would make.
const NEGLIGIBLE: f64 = 0.1;

struct Point {
    layout: String,
    /// Overhead: bytes of the index, and of records of holes.
    bytes: f64,
    /// Time per lookup.
    ns: f64,
    /// Interval of the time.
    interval: Option<(f64, f64)>,
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

/// True if less time costs more memory for two layouts on the front.
fn is_trade_off(points: &[Point]) -> bool {
    let on = || points.iter().filter(|point| point.is_on_front);
    let is_more = |a: f64, b: f64| a > b * (1.0 + NEGLIGIBLE);
    on().any(|one| on().any(|other| is_more(one.bytes, other.bytes) && is_more(other.ns, one.ns)))
}

fn points(summary: &Summary, op: LookupOp, memory: Memory) -> Vec<Point> {
    let line = summary.lookup(LookupGroup::plain(op, Pattern::Random), memory);
    let point = |cell: &LookupCell| {
        let usage = summary.bytes.iter().find(|usage| usage.layout == cell.layout)?;
        let (ns, bytes) = (cell.median_ns?, summary.overhead(usage, memory)?);
        Some(Point { layout: cell.layout.clone(), bytes, ns, interval: cell.interval_ns, is_on_front: false })
    };
    let mut points: Vec<Point> = line.iter().flat_map(|line| &line.cells).filter_map(point).collect();
    mark_front(&mut points);
    points
}

/// Draws one panel for boot memory and one for added memory, on the largest map of the run.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let sized = view.maps.iter().map(|(map, summary)| (map, summary, ram_bytes(&view.run.known.layouts, summary)));
    let panels = |summary: &Summary, op: LookupOp| -> Vec<(Memory, Vec<Point>)> {
        let panels = Memory::ALL.map(|memory| (memory, points(summary, op, memory)));
        panels.into_iter().filter(|(_, points)| !points.is_empty()).collect()
    };
    let op_of = |summary: &Summary| OPS.into_iter().find(|op| !panels(summary, *op).is_empty());
    let with_points = sized.filter_map(|(map, summary, ram)| Some((map, summary, op_of(summary)?, ram)));
    let largest = with_points.max_by(|a, b| a.3.unwrap_or(0.0).total_cmp(&b.3.unwrap_or(0.0)));
    let (map, op, panels) = match largest {
        Some((map, summary, op, _)) => (map.as_str(), op, panels(summary, op)),
        None => (view.main_map(), OPS[0], Vec::new()),
    };
    let mut data =
        Data::new(&["map", "op", "memory", "layout", "overhead_bytes", "time_ns", "time_low", "time_high", "on_front"]);
    for (memory, points) in &panels {
        for point in points {
            let (low, high) = point.interval.unzip();
            data.push([
                json!(map),
                json!(op.name()),
                json!(memory),
                json!(point.layout),
                json!(point.bytes),
                json!(point.ns),
                json!(low),
                json!(high),
                json!(point.is_on_front),
            ]);
        }
    }
    let words = Words {
        name: "pareto",
        title: format!("Memory overhead against time of {op}, on {map}"),
        caption: format!(
            "Time of {op} in random order by the memory that a layout needs beyond its records; left and down is \
             better. On the dashed line, less of one costs more of the other."
        ),
        whiskers: "95 % intervals over processes",
        reading:
            "The map is the largest of the run. Overhead is what a layout needs beyond one record per page of each \
                  section with memory: its index and, for flat, records of holes. The dashed line is the Pareto front: \
                  for a layout on it, no other is better in one respect and at least as good in the other. For added \
                  memory, as much memory again was added. A panel is left out if one layout has the least of both."
                .to_owned(),
    };
    let traded: Vec<&(Memory, Vec<Point>)> = panels.iter().filter(|(_, points)| is_trade_off(points)).collect();
    if !data.is_empty() && traded.is_empty() {
        return Ok(Figure { words, drawing: Err(no_trade_off(map, &panels)), data });
    }
    Figure::new(
        words,
        data,
        || view.no_rows_of("lookups in random order, or of the memory use of layouts,"),
        |drawing| {
            for layout in view.layouts() {
                if traded.iter().any(|(_, points)| points.iter().any(|point| point.layout == layout)) {
                    drawing.key(Key::Layout(view.look(&layout)), layout)?;
                }
            }
            drawing.key(Key::Dashes, "Pareto front")?;
            for (memory, points) in traded {
                drawing.panel(memory_label(*memory), 300, |area, marks| draw(view, (*memory, points), area, marks))?;
            }
            Ok(())
        },
    )
}

/// Says which layout needs the least time and memory.
fn no_trade_off(map: &str, panels: &[(Memory, Vec<Point>)]) -> String {
    let best = |(memory, points): &(Memory, Vec<Point>)| {
        let on: Vec<&str> =
            points.iter().filter(|point| point.is_on_front).map(|point| point.layout.as_str()).collect();
        (!on.is_empty()).then(|| format!("on {}: {}", memory_label(*memory), on.join(", ")))
    };
    let best: Vec<String> = panels.iter().filter_map(best).collect();
    format!(
        "No trade-off on the map {map}: the fastest layouts need no more memory than others, within {}. Least of both \
         {}.",
        percent(NEGLIGIBLE),
        best.join("; ")
    )
}

fn draw(
    view: View<'_>,
    (memory, points): (Memory, &[Point]),
    area: &Area<'_>,
    marks: &mut Marks,
) -> Result<(), DrawError> {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let (least, most) = points.iter().fold((f64::INFINITY, 0.0f64), |(least, most), point| {
        (least.min(mib(point.bytes)), most.max(mib(point.bytes)))
    });
    // Depending on the map, layouts differ by a few percent or by a factor of 100.
    let x = match most / least < 3.0 || least <= 0.0 {
        true => Axis::between(least, most),
        false => Axis::log([least, most].into_iter(), 1.6, 1.6).with_binary_ticks(),
    };
    let ends = || points.iter().flat_map(|point| point.interval.map_or([point.ns; 2], |(low, high)| [low, high]));
    let (fastest, slowest) = (ends().fold(f64::INFINITY, f64::min), ends().fold(0.0, f64::max));
    // A search takes a hundred times what a table takes.
    let y = match slowest / fastest < 10.0 {
        true => Axis::from_zero(slowest),
        false => Axis::log(ends(), 1.5, 1.5),
    };
    let x_labels = Labels { name: "overhead", tick: &|mib| bytes((mib * f64::from(1 << 20)).round()) };
    let mut chart = chart(area, (x, Some(x_labels)), (y, Labels { name: "ns per lookup", tick: &plain }))?;
    let line: Vec<(f64, f64)> = front(points).into_iter().map(|(bytes, ns)| (mib(bytes), ns)).collect();
    chart.draw_series([DashedPathElement::new(line, 5, 4, BLACK.mix(0.6).stroke_width(1))])?;
    for point in points {
        let (look, x) = (view.look(&point.layout), mib(point.bytes));
        if let Some((low, high)) = point.interval {
            marks.whisker(at(&chart, x, low), at(&chart, x, high), look.colour());
        }
        chart.draw_series([EmptyElement::at((x, point.ns)) + look.marker((0, 0))])?;
        let on = if point.is_on_front { ", on the Pareto front" } else { "" };
        let (memory, bytes, time) = (memory_label(memory), bytes(point.bytes), time(point.ns));
        marks.point(at(&chart, x, point.ns), format!("{}, {memory}: {bytes}, {time}{on}", point.layout));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_point_beats_one_on_the_front() {
        let point = |bytes, ns| Point { layout: String::new(), bytes, ns, interval: None, is_on_front: false };
        let mut points = vec![point(1.0, 5.0), point(2.0, 2.0), point(3.0, 2.0), point(4.0, 1.0), point(1.0, 5.0)];
        mark_front(&mut points);
        assert_eq!(points.iter().map(|point| point.is_on_front).collect::<Vec<_>>(), [true, true, false, true, true]);
        assert!(is_trade_off(&points));
        let mut equal = vec![point(1.0, 5.0), point(1.05, 2.0)];
        mark_front(&mut equal);
        assert!(!is_trade_off(&equal), "5 % of memory is negligible");
        assert_eq!(front(&points).first(), Some(&(1.0, 5.0)));
        assert_eq!(front(&points).last(), Some(&(4.0, 1.0)));
    }
}
