//! Compares machines side by side, without averaging them.

use super::trend::{Short, data};
use crate::present::ratio;
use crate::present::report::data::Data;
use crate::present::report::figure::Figure;
use crate::present::report::picture::{Axis, DrawError, Hang, Key, LABEL, Labels, Look, at, chart, head, plain, text};
use plotters::prelude::*;

/// The headline that is drawn.
const SHOWN: &str = "pfn_valid, added memory";

/// Maximum number of machines in the drawing; the data contain all of them.
const MOST: usize = 12;

/// Draws the ratios of layouts to the reference on each machine, from its newest run.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(machines: &[&Short], reference: &str) -> Result<Figure, DrawError> {
    // Ratios to another reference are not comparable.
    let is_shown = |run: &Short| run.headline(SHOWN).is_some() && run.reference == reference;
    let shown: Vec<(usize, &Short)> = machines
        .iter()
        .enumerate()
        .filter(|(_, run)| is_shown(run))
        .map(|(at, run)| (at + 1, *run))
        .take(MOST)
        .collect();
    let data = match shown.is_empty() {
        true => Data::default(),
        // With many machines, all headlines would make the page too large.
        false => data(machines, |what| machines.len() <= MOST || what == SHOWN),
    };
    let mut layouts: Vec<String> = Vec::new();
    for layout in machines.iter().flat_map(|run| &run.layouts) {
        if !layouts.contains(layout) {
            layouts.push(layout.clone());
        }
    }
    let left_out = machines.len() - shown.len();
    let caption = format!(
        "Time of {SHOWN} as a ratio to the time of {reference} on the same machine in the same run; above 1 is slower. \
         Vertical lines are corrected confidence intervals. Machines are numbered as in the table above. Values are \
         not averaged over machines.{}",
        match left_out {
            0 => String::new(),
            nr => format!(
                " Not drawn: {nr} machines, which are beyond the maximum of {MOST}, or have no time of {SHOWN}, or no \
                 {reference}."
            ),
        }
    );
    let missing = || format!("Missing: no machine has a ratio of {SHOWN} to {reference}.");
    let name = ("machines", format!("Comparison of machines: {SHOWN}"));
    Figure::new(name, caption, data, missing, 380, |area, marks, title| {
        let look = |layout: &str| Look::new(layout, &layouts);
        let has = |layout: &&String| {
            shown.iter().any(|(_, run)| run.headline(SHOWN).is_some_and(|headline| headline.value_of(layout).is_some()))
        };
        let with: Vec<&String> = layouts.iter().filter(has).collect();
        let legend: Vec<(Key, String)> =
            with.iter().map(|layout| (Key::Layout(look(layout)), (*layout).clone())).collect();
        let body = head(area, title, &legend)?;
        let ratios = shown.iter().filter_map(|(_, run)| run.headline(SHOWN)).flat_map(|headline| &headline.values);
        let ends = ratios
            .flat_map(|value| [value.ratio, value.interval.map(|(low, _)| low), value.interval.map(|(_, high)| high)]);
        let y = Axis::log(ends.flatten(), 1.2, 1.2);
        let low = y.low();
        let y_name = format!("time relative to {reference}");
        let labels = Labels { name: &y_name, tick: &|ratio| format!("{}×", plain(ratio)) };
        let mut chart = chart(&body, (Axis::places(shown.len()), None), (y, labels))?;
        for (nr, (number, run)) in shown.iter().enumerate() {
            let Some(headline) = run.headline(SHOWN) else { continue };
            for (place, layout) in with.iter().enumerate() {
                let Some(value) = headline.value_of(layout) else { continue };
                let Some(ratio) = value.ratio else { continue };
                let x = nr as f64 + 0.15 + 0.7 * (place as f64 + 0.5) / with.len() as f64;
                let look = look(layout);
                if let Some((from, to)) = value.interval {
                    chart.draw_series([PathElement::new([(x, from), (x, to)], look.colour().stroke_width(2))])?;
                }
                chart.draw_series([EmptyElement::at((x, ratio)) + look.marker((0, 0))])?;
                let ratio_in_words = ratio::with_interval(ratio, value.interval);
                let hover = format!("{}, {layout}: {ratio_in_words}", run.machine);
                marks.point(at(&chart, x, ratio), hover);
            }
            let (x, y) = at(&chart, nr as f64 + 0.5, low);
            text(area, &format!("machine {number}"), (x, y + 6), LABEL, Hang::Below)?;
        }
        Ok(())
    })
}
