//! Latency percentiles of hot-add and hot-remove, from histograms.

use crate::analysis::headline::SIZES;
use crate::case::HOT_ADD;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Axis, DrawError, Key, Labels, at, chart, head};
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
    let title = format!("Latency of {what} by percentile");
    let caption = format!(
        "Latency of {what} of {}, from re-adds in one process. Lower is better; both axes are logarithmic. At p99, one \
         operation in 100 took longer. A flat curve means a stable latency, and a steep end means a long tail. A curve \
         ends where fewer than {SAMPLES_BEYOND} samples are slower. There are no confidence intervals.",
        panels.iter().map(|(size, _)| bytes(*size as f64)).collect::<Vec<_>>().join(" (left) and of "),
    );
    let missing = || {
        let of_log: Vec<&str> =
            view.run.troubles.iter().filter(|trouble| trouble.contains(LATENCIES)).map(String::as_str).collect();
        format!("Missing: {LATENCIES} has no histogram of {what} of 2 MiB or 128 MiB. {}", of_log.join(" "))
            .trim_end()
            .to_owned()
    };
    Figure::new((name, title), caption, data, missing, 400, |area, marks, title| {
        let mut shown: Vec<&String> =
            panels.iter().flat_map(|(_, curves)| curves.iter().map(|curve| &curve.layout)).collect();
        shown.sort_by_key(|layout| view.main().layouts.iter().position(|other| other == *layout));
        shown.dedup();
        let legend: Vec<(Key, String)> =
            shown.iter().map(|layout| (Key::Layout(view.look(layout)), (*layout).clone())).collect();
        let body = head(area, title, &legend)?;
        let areas = body.split_evenly((1, panels.len()));
        for ((size, curves), area) in panels.iter().zip(&areas) {
            let all = || curves.iter().flat_map(|curve| &curve.points);
            let rarest = all().map(|(slower, _)| *slower).fold(1.0, f64::min);
            let ticks = [0.5, 0.1, 0.01, 0.001, 0.0001].into_iter().filter(|slower| *slower >= rarest);
            // The axis is the reciprocal of the fraction that is slower, so that rare events are at the right.
            let x = Axis::log(all().map(|(slower, _)| 1.0 / slower), 1.0, 1.3);
            let x = x.with_ticks(ticks.map(|slower| 1.0 / slower).collect());
            let y = Axis::log(all().map(|(_, ns)| *ns), 1.3, 1.3);
            let x_name = format!("percentile of {what} of {}", bytes(*size as f64));
            let x_labels = Labels { name: &x_name, tick: &|x| percentile(1.0 / x) };
            let y_labels = Labels { name: "time per operation", tick: &time };
            let mut chart = chart(area, (x, Some(x_labels)), (y, y_labels))?;
            for curve in curves {
                let look = view.look(&curve.layout);
                let points = curve.points.iter().map(|(slower, ns)| (1.0 / slower, *ns));
                chart.draw_series(LineSeries::new(points, look.colour().stroke_width(2)))?;
                let (slower, ns) = curve.points[curve.points.len() - 1];
                chart.draw_series([EmptyElement::at((1.0 / slower, ns)) + look.marker((0, 0))])?;
                for (slower, ns) in &curve.points {
                    let hover = format!(
                        "{what} of {}, {}: {} {}",
                        bytes(*size as f64),
                        curve.layout,
                        percentile(*slower),
                        time(*ns)
                    );
                    marks.point(at(&chart, 1.0 / slower, *ns), hover);
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_their_usual_names() {
        assert_eq!([0.5, 0.1, 0.025, 0.001, 0.0001].map(percentile), ["p50", "p90", "p97.5", "p99.9", "p99.99"]);
    }
}
