//! Headline values over the runs of one machine.

use crate::analysis::headline::{Headline, Value};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, Words};
use crate::present::report::picture::{
    Axis, CurvePoint, DrawError, Hang, Key, LABEL, Labels, Look, at, chart, curve, fitting, plain, text,
};
use crate::units::time;
use serde_json::json;

/// The headlines of a run, and what identifies the run.
#[derive(Clone, Debug)]
pub struct Short {
    /// Name of the run's folder.
    pub run: String,
    /// Id of the machine that made the run.
    pub machine: String,
    /// Start of the run in UTC (RFC 3339); empty if unknown.
    pub started: String,
    /// Commit of the pfnbench that made the run.
    pub commit: String,
    /// Name of the main map.
    pub map: String,
    /// Id of the layout that ratios are relative to.
    pub reference: String,
    /// Ids of the layouts on the main map.
    pub layouts: Vec<String>,
    /// Problems with the folder, in sentences.
    pub troubles: Vec<String>,
    /// Headlines on the main map.
    pub headlines: Vec<Headline>,
}

impl Short {
    /// The headline with this name, e.g. `pfn_valid, boot memory`.
    pub fn headline(&self, what: &str) -> Option<&Headline> {
        self.headlines.iter().find(|headline| headline.what == what)
    }
}

/// Values of the headlines that `wanted` accepts, over several runs, as data.
pub(super) fn data(runs: &[&Short], wanted: impl Fn(&str) -> bool) -> Data {
    let mut data = Data::new(&[
        "machine",
        "run",
        "started",
        "commit",
        "map",
        "what",
        "layout",
        "value",
        "value_low",
        "value_high",
        "unit",
        "ratio",
        "ratio_low",
        "ratio_high",
    ]);
    for run in runs {
        for headline in run.headlines.iter().filter(|headline| wanted(&headline.what)) {
            for value in &headline.values {
                let (low, high) = value.interval.unzip();
                data.push([
                    json!(run.machine),
                    json!(run.run),
                    json!(run.started),
                    json!(run.commit),
                    json!(run.map),
                    json!(headline.what),
                    json!(value.layout),
                    json!(value.value),
                    json!(value.value_interval.map(|(low, _)| low)),
                    json!(value.value_interval.map(|(_, high)| high)),
                    json!(headline.unit.name()),
                    json!(value.ratio),
                    json!(low),
                    json!(high),
                ]);
            }
        }
    }
    data
}

/// Maximum number of runs in the picture. Older runs are left out.
const MOST: usize = 100;

/// Headlines that are drawn, with one panel each.
const SHOWN: [&str; 2] = ["pfn_valid, added memory", "pfn_valid, boot memory"];

/// Draws curves over the runs of a machine, the oldest at the left.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(runs: &[&Short]) -> Result<Figure, DrawError> {
    let older = runs.len().saturating_sub(MOST);
    let runs = &runs[older..];
    let mut layouts: Vec<String> = Vec::new();
    for layout in runs.iter().flat_map(|run| &run.layouts) {
        if !layouts.contains(layout) {
            layouts.push(layout.clone());
        }
    }
    let panels: Vec<&str> =
        SHOWN.into_iter().filter(|what| runs.iter().any(|run| run.headline(what).is_some())).collect();
    let data =
        if panels.is_empty() || runs.len() < 2 { Data::default() } else { data(runs, |what| panels.contains(&what)) };
    let maps: std::collections::BTreeSet<&str> = runs.iter().map(|run| run.map.as_str()).collect();
    let words = Words {
        name: "trend",
        title: "Runs of this machine over time".to_owned(),
        caption: "Time of pfn_valid in random order in each run, the oldest at the left; lower is better.".to_owned(),
        whiskers: "95 % intervals over processes",
        reading: format!(
            "{} runs of this machine by start time{}, labelled by commit. Times of different days may differ more than \
             layouts do. Look for a layout that moves relative to the others.{}",
            runs.len(),
            if older > 0 { format!(" ({older} older runs are left out)") } else { String::new() },
            if maps.len() > 1 { " The runs are on different maps, which the data name." } else { "" }
        ),
    };
    let missing = || "Missing: the runs have no times of pfn_valid in random order.".to_owned();
    Figure::new(words, data, missing, |drawing| {
        let look = |layout: &str| Look::new(layout, &layouts);
        let is_there = |layout: &&String| {
            let has_value = |what: &&str| {
                runs.iter().any(|run| run.headline(what).is_some_and(|headline| headline.value_of(layout).is_some()))
            };
            panels.iter().any(has_value)
        };
        for layout in layouts.iter().filter(is_there) {
            drawing.key(Key::Layout(look(layout)), layout)?;
        }
        for what in &panels {
            drawing.panel(what, 270, |area, marks| {
                let values = || runs.iter().filter_map(|run| run.headline(what)).flat_map(|headline| &headline.values);
                let ends = values().flat_map(|value| {
                    let interval = value.value_interval.map(|(low, high)| [low, high]);
                    interval.into_iter().flatten().chain([value.value]).collect::<Vec<f64>>()
                });
                let y = Axis::log(ends, 1.4, 1.4);
                let low = y.low();
                let labels = Labels { name: "ns per lookup", tick: &plain };
                let mut chart = chart(area, (Axis::places(runs.len()), None), (y, labels))?;
                for layout in &layouts {
                    let point = |(nr, run): (usize, &&Short)| {
                        let value = run.headline(what)?.value_of(layout)?.clone();
                        Some((nr as f64 + 0.5, value))
                    };
                    let points: Vec<(f64, Value)> = runs.iter().enumerate().filter_map(point).collect();
                    let of_curve = |(x, value): &(f64, Value)| CurvePoint {
                        x: *x,
                        y: value.value,
                        interval: value.value_interval,
                    };
                    curve(&mut chart, marks, look(layout), &points.iter().map(of_curve).collect::<Vec<_>>())?;
                    for (x, value) in &points {
                        let run = runs[*x as usize];
                        let hover = format!("{what}, {layout}: {} ({} {})", time(value.value), run.started, run.commit);
                        marks.point(at(&chart, *x, value.value), hover);
                    }
                }
                // At most four commits fit below the axis.
                let every = runs.len().div_ceil(4);
                for (nr, run) in runs.iter().enumerate().step_by(every) {
                    let (x, y) = at(&chart, nr as f64 + 0.5, low);
                    text(area, &fitting(&run.commit, 70, LABEL), (x, y + 6), LABEL, Hang::Below)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}
