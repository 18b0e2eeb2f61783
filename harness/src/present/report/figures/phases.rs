//! Time of each phase of hot-add and hot-remove.

use crate::analysis::headline::SIZES;
use crate::analysis::summary::PhaseLine;
use crate::case::HotplugGroup;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Axis, DrawError, Key, Labels, bar, bars, colour, head, place_of_bar};
use crate::units::{bytes, time};
use plotters::prelude::*;
use serde_json::json;

/// The operations and their phases, in the order of execution.
const PHASES: [(&str, &[&str]); 2] = [
    ("hot-add", &["reserve", "populate", "initialise", "publish"]),
    ("hot-remove", &["unpublish", "grace", "depopulate"]),
];

/// Colour of a phase, by its position among all phases.
fn look(phase: &str) -> RGBColor {
    let all = PHASES.iter().flat_map(|(_, phases)| phases.iter());
    // Colour 0 is grey, in which a thin slice is hard to see.
    colour(1 + all.take_while(|other| **other != phase).count())
}

/// Draws stacked bars of the medians of phases, by size and layout.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let summary = view.main();
    let mut data = Data::new(&["operation", "size_bytes", "layout", "phase", "median_ns", "samples"]);
    let mut panels: Vec<(&str, u64, Vec<&PhaseLine>)> = Vec::new();
    for size in SIZES {
        let of_size: Vec<&PhaseLine> =
            summary.phases.iter().filter(|line| line.group == HotplugGroup::plain(size)).collect();
        for (operation, phases) in PHASES {
            for line in &of_size {
                for phase in phases {
                    if let Some(ns) = line.ns(phase) {
                        data.push([
                            json!(operation),
                            json!(size),
                            json!(line.layout),
                            json!(phase),
                            json!(ns),
                            json!(line.samples),
                        ]);
                    }
                }
            }
            if !of_size.is_empty() {
                panels.push((operation, size, of_size.clone()));
            }
        }
    }
    let caption = "The median of each phase of a re-add, from one process. Shorter is better. Medians of phases do not \
                   add up to the median of the whole operation, so the end of a bar is not the latency of hot-add or \
                   hot-remove. Hot-add reserves a range, backs its records with memory, initialises them and publishes \
                   them to readers. Hot-remove unpublishes them, waits for a grace period and frees the memory. Point \
                   at a bar to see the times of its phases.";
    let name = ("phases", "Phases of hot-add and hot-remove".to_owned());
    let most = panels.iter().map(|(_, _, lines)| lines.len()).max().unwrap_or(0) as u32;
    let rows = panels.len().div_ceil(2).max(1) as u32;
    let height = 60 + rows * (70 + 24 * most);
    Figure::new(
        name,
        caption,
        data,
        || view.no_rows_of("phases"),
        height,
        |area, marks, title| {
            let shown = PHASES.iter().flat_map(|(_, phases)| phases.iter());
            let legend: Vec<(Key, String)> =
                shown.map(|phase| (Key::Block(look(phase)), (*phase).to_owned())).collect();
            let body = head(area, title, &legend)?;
            let areas = body.split_evenly((rows as usize, 2));
            for ((operation, size, lines), area) in panels.iter().zip(&areas) {
                let phases = PHASES.iter().find(|(known, _)| known == operation).map_or(&[][..], |(_, phases)| phases);
                let total = |line: &PhaseLine| phases.iter().filter_map(|phase| line.ns(phase)).sum::<f64>();
                let x = Axis::from_zero(lines.iter().map(|line| total(line)).fold(0.0, f64::max));
                let x_name = format!("{operation} of {}", bytes(*size as f64));
                let x_labels = Labels { name: &x_name, tick: &|ns| if ns == 0.0 { "0".to_owned() } else { time(ns) } };
                let names: Vec<&str> = lines.iter().map(|line| line.layout.as_str()).collect();
                let mut chart = bars(area, (x, x_labels), &names)?;
                for (nr, line) in lines.iter().enumerate() {
                    let place = place_of_bar(nr, lines.len());
                    let mut from = 0.0;
                    for phase in phases {
                        let Some(ns) = line.ns(phase) else { continue };
                        let corners = [(from, place + 0.15), (from + ns, place + 0.85)];
                        let hover = format!("{x_name}, {}: {phase}, median {}", line.layout, time(ns));
                        bar(&mut chart, marks, corners, look(phase), hover)?;
                        from += ns;
                    }
                }
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
        let figure = report.machines[0].figures.iter().find(|figure| figure.name == "phases").unwrap();
        assert!(figure.caption.contains("median of each phase"), "{}", figure.caption);
        assert!(figure.caption.contains("do not add up"), "{}", figure.caption);
        assert!(figure.data.csv().unwrap().starts_with("operation,size_bytes,layout,phase,median_ns,samples"));
    }
}
