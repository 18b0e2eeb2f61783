//! Latency percentiles of hot-add and hot-remove, from histograms.

use super::together::{is_near, together};
use crate::analysis::headline::SIZES;
use crate::case::HOT_ADD;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{
    Area, Axis, Beside, DrawError, Labels, Marks, at, beside, chart, room_for_names,
};
use crate::record::files::LATENCIES;
use crate::units::{bytes, time};
use plotters::prelude::*;
use serde_json::json;

/// The points of a curve, as the fraction of operations that are slower.
const SLOWER: [f64; 14] = [0.9, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.025, 0.01, 0.005, 0.0025, 0.001, 0.0001];

/// Minimum number of slower samples for a percentile.
const SAMPLES_BEYOND: f64 = 10.0;

struct Curve {
    layout: String,
    /// Fraction of operations that are slower, and latency in nanoseconds.
    points: Vec<(f64, f64)>,
}

/// Name of a percentile by the fraction of slower operations, e.g. `p99` for 0.01.
fn percentile(slower: f64) -> String {
    let percent = 100.0 * (1.0 - slower);
    let text = format!("{percent:.2}");
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Draws one curve per layout: a sub-section at the left, a section at the right.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>, op: &'static str) -> Result<Figure, DrawError> {
    let mut data = Data::new(&["op", "size_bytes", "layout", "percentile", "latency_ns", "samples"]);
    let mut panels: Vec<(u64, Vec<Curve>)> = Vec::new();
    for size in SIZES {
        let mut curves = Vec::new();
        for layout in &view.main().layouts {
            let Some(histogram) = view.run.histograms.get(&format!("{op}/{layout}/{size}")) else { continue };
            let samples = histogram.len();
            let enough = |slower: &&f64| samples as f64 * **slower >= SAMPLES_BEYOND;
            let point = |slower: &f64| (*slower, histogram.value_at_quantile(1.0 - slower).max(1) as f64);
            let points: Vec<(f64, f64)> = SLOWER.iter().filter(enough).map(point).collect();
            for (slower, ns) in &points {
                data.push([
                    json!(op),
                    json!(size),
                    json!(layout),
                    json!(percentile(*slower)),
                    json!(ns),
                    json!(samples),
                ]);
            }
            if !points.is_empty() {
                curves.push(Curve { layout: layout.clone(), points });
            }
        }
        if !curves.is_empty() {
            panels.push((size, curves));
        }
    }
    let (name, what) = match op == HOT_ADD {
        true => ("hot-add-percentiles", "hot-add"),
        false => ("hot-remove-percentiles", "hot-remove"),
    };
    let words = Words {
        name,
        title: format!("Latency of {what} by percentile"),
        caption: format!(
            "Time of {what}, from re-adds in one process; lower is better. At p99, one operation in 100 took longer. \
             Both axes are logarithmic."
        ),
        whiskers: "",
        reading: format!(
            "A flat curve means a stable latency, and a steep end means a long tail. A curve ends where fewer than \
             {SAMPLES_BEYOND} samples are slower. Curves that lie within 3 % of each other are drawn once and named \
             together. There are no intervals, because one process measures hotplug."
        ),
    };
    let missing = || {
        let of_log: Vec<&str> =
            view.run.troubles.iter().filter(|trouble| trouble.contains(LATENCIES)).map(String::as_str).collect();
        format!("Missing: {LATENCIES} has no histogram of {what} of 2 MiB or 128 MiB. {}", of_log.join(" "))
            .trim_end()
            .to_owned()
    };
    Figure::new(words, data, missing, |drawing| {
        for (size, curves) in &panels {
            let title = format!("{what} of {}", bytes(*size as f64));
            drawing.panel(&title, 300, |area, marks| draw(view, (&title, curves), area, marks))?;
        }
        Ok(())
    })
}

/// Draws the curves of one size, each with its name at its end.
fn draw(view: View<'_>, (what, curves): (&str, &[Curve]), area: &Area<'_>, marks: &mut Marks) -> Result<(), DrawError> {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let rarest = all().map(|(slower, _)| *slower).fold(1.0, f64::min);
    let ticks = [0.5, 0.1, 0.01, 0.001, 0.0001].into_iter().filter(|slower| *slower >= rarest);
    // The axis is the reciprocal of the fraction that is slower, so that rare events are at the right.
    let reciprocals: Vec<f64> = all().map(|(slower, _)| 1.0 / slower).collect();
    let span = reciprocals.iter().copied().fold(1.0, f64::max) / reciprocals.iter().copied().fold(1e9, f64::min);
    let x = Axis::log(reciprocals.iter().copied(), 1.0, room_for_names(span));
    let x = x.with_ticks(ticks.map(|slower| 1.0 / slower).collect());
    let y = Axis::log(all().map(|(_, ns)| *ns), 1.3, 1.3);
    let x_labels = Labels { name: "percentile", tick: &|x| percentile(1.0 / x) };
    let y_labels = Labels { name: "time per operation", tick: &time };
    let (low, high) = (y.low(), y.high());
    let mut chart = chart(area, (x, Some(x_labels)), (y, y_labels))?;
    let drawn =
        together(curves.iter().map(|curve| (curve.layout.as_str(), curve.points.clone())), |(at, a), (other, b)| {
            at == other && is_near(*a, *b)
        });
    let mut names = Vec::new();
    let mut right = 0;
    for group in &drawn {
        let look = view.look(group.layouts[0]);
        let points: Vec<(f64, f64)> = group.values.iter().map(|(slower, ns)| (1.0 / slower, *ns)).collect();
        let Some(last) = points.last().copied() else { continue };
        chart.draw_series(LineSeries::new(points, look.colour().stroke_width(2)))?;
        chart.draw_series([EmptyElement::at(last) + look.marker((0, 0))])?;
        let (x, y) = at(&chart, last.0, last.1);
        right = right.max(x);
        names.push(Beside { y, text: group.label() });
    }
    for curve in curves {
        for (slower, ns) in &curve.points {
            let hover = format!("{what}, {}: {} {}", curve.layout, percentile(*slower), time(*ns));
            marks.point(at(&chart, 1.0 / slower, *ns), hover);
        }
    }
    let (top, bottom) = (at(&chart, 1.0, high).1 + 6, at(&chart, 1.0, low).1 - 6);
    beside(area, &names, right, (top, bottom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_their_usual_names() {
        assert_eq!([0.5, 0.1, 0.025, 0.001, 0.0001].map(percentile), ["p50", "p90", "p97.5", "p99.9", "p99.99"]);
    }
}
