//! Time of each phase of hot-add and hot-remove.

use crate::analysis::headline::SIZES;
use crate::analysis::summary::PhaseLine;
use crate::case::HotplugGroup;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{Axis, DrawError, Labels, bar, most_letters, place_of_bar, rows};
use crate::units::{bytes, time};
use serde_json::json;

/// The operations and their phases, in the order of execution.
const PHASES: [(&str, &[&str]); 2] = [
    ("hot-add", &["reserve", "populate", "initialise", "publish"]),
    ("hot-remove", &["unpublish", "grace", "depopulate"]),
];

/// The medians of a phase for one size, by layout.
struct Panel<'a> {
    operation: &'static str,
    phase: &'static str,
    size: u64,
    lines: Vec<(&'a PhaseLine, f64)>,
}

/// Draws bars of the median of each phase, a panel per size and phase.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let summary = view.main();
    let mut data = Data::new(&["operation", "size_bytes", "layout", "phase", "median_ns", "samples"]);
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for size in SIZES {
        let of_size: Vec<&PhaseLine> =
            summary.phases.iter().filter(|line| line.group == HotplugGroup::plain(size)).collect();
        for (operation, phases) in PHASES {
            for phase in phases {
                let lines: Vec<(&PhaseLine, f64)> =
                    of_size.iter().filter_map(|line| Some((*line, line.ns(phase)?))).collect();
                for (line, ns) in &lines {
                    let (layout, samples) = (json!(line.layout), json!(line.samples));
                    data.push([json!(operation), json!(size), layout, json!(phase), json!(ns), samples]);
                }
                if !lines.is_empty() {
                    panels.push(Panel { operation, phase, size, lines });
                }
            }
        }
    }
    let words = Words {
        name: "phases",
        title: "Phases of hot-add and hot-remove".to_owned(),
        caption:
            "Median time of each phase of a re-add, from one process; shorter is better. Each panel has an axis of \
                  its own."
                .to_owned(),
        whiskers: "",
        reading: "Hot-add reserves a range, populates memory for its records, initialises the records and publishes \
                  them to readers. Hot-remove unpublishes them, waits for a grace period and depopulates the memory. \
                  Medians of phases do not add up to the median of the whole operation. There are no intervals, \
                  because one process measures hotplug: compare with care."
            .to_owned(),
    };
    Figure::new(
        words,
        data,
        || view.no_rows_of("phases"),
        |drawing| {
            let letters =
                most_letters(panels.iter().flat_map(|panel| &panel.lines).map(|(line, _)| line.layout.as_str()));
            for panel in &panels {
                let title = format!("{}: {} of {}", panel.operation, panel.phase, bytes(panel.size as f64));
                drawing.panel(&title, 50 + 16 * panel.lines.len() as u32, |area, marks| {
                    let x = Axis::from_zero(panel.lines.iter().map(|(_, ns)| *ns).fold(0.0, f64::max));
                    let tick = |ns| if ns == 0.0 { "0".to_owned() } else { time(ns) };
                    let names: Vec<&str> = panel.lines.iter().map(|(line, _)| line.layout.as_str()).collect();
                    let mut chart =
                        rows(area, (x.with_every_other_tick(), Labels { name: "", tick: &tick }), &names, letters)?;
                    for (nr, (line, ns)) in panel.lines.iter().enumerate() {
                        let place = place_of_bar(nr, panel.lines.len());
                        let corners = [(0.0, place + 0.2), (*ns, place + 0.8)];
                        let hover = format!("{title}, {}: median {}", line.layout, time(*ns));
                        bar(&mut chart, marks, corners, view.look(&line.layout).colour(), hover)?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        },
    )
}

#[cfg(test)]
mod tests {
    use crate::present::report::tests::report;

    #[test]
    fn phases_are_medians_that_do_not_add_up() {
        let report = report();
        let figure = report.machines[0].figures.iter().find(|figure| figure.name() == "phases").unwrap();
        assert!(figure.words.caption.contains("Median time of each phase"), "{}", figure.words.caption);
        assert!(figure.words.reading.contains("do not add up"), "{}", figure.words.reading);
        assert!(figure.data.csv().unwrap().starts_with("operation,size_bytes,layout,phase,median_ns,samples"));
    }
}
