//! Compares machines side by side, without averaging them.

use super::trend::{Short, data};
use crate::present::ratio;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, Words};
use crate::present::report::picture::{
    Axis, DrawError, Key, Labels, Look, at, most_letters, place_of_bar, plain, rows,
};
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
    let words = Words {
        name: "machines",
        title: format!("Comparison of machines: {SHOWN}"),
        caption: format!(
            "Time of {SHOWN}, divided by that of {reference} on the same machine in the same run; left of 1 is faster."
        ),
        whiskers: "confidence intervals over processes, corrected for all comparisons",
        reading: format!(
            "Machines are numbered as in the table above. Values are not averaged over machines. The axis is \
             logarithmic.{}",
            match left_out {
                0 => String::new(),
                nr => format!(
                    " Not drawn: {nr} machines, which are beyond the maximum of {MOST}, or have no time of {SHOWN}, or \
                     no {reference}."
                ),
            }
        ),
    };
    let missing = || format!("Missing: no machine has a ratio of {SHOWN} to {reference}.");
    Figure::new(words, data, missing, |drawing| {
        let look = |layout: &str| Look::new(layout, &layouts);
        let has = |layout: &&String| {
            shown.iter().any(|(_, run)| run.headline(SHOWN).is_some_and(|headline| headline.value_of(layout).is_some()))
        };
        let with: Vec<&String> = layouts.iter().filter(has).collect();
        for layout in &with {
            drawing.key(Key::Layout(look(layout)), layout.as_str())?;
        }
        let ratios = shown.iter().filter_map(|(_, run)| run.headline(SHOWN)).flat_map(|headline| &headline.values);
        let ends: Vec<f64> = ratios
            .flat_map(|value| [value.ratio, value.interval.map(|(low, _)| low), value.interval.map(|(_, high)| high)])
            .flatten()
            .chain([1.0])
            .collect();
        let half = shown.len().div_ceil(2).max(1);
        for machines in shown.chunks(half) {
            let height = 56 + half as u32 * (16 + 9 * with.len() as u32);
            let names: Vec<String> = machines.iter().map(|(number, _)| format!("machine {number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            drawing.untitled_panel(&names.join(", "), height, |area, marks| {
                let x = Axis::log(ends.iter().copied(), 1.2, 1.2);
                let name = format!("time / time of {reference}");
                let mut chart = rows(
                    area,
                    (x, Labels { name: &name, tick: &plain }),
                    &names,
                    most_letters(["machine 12"].into_iter()),
                )?;
                let one = [(1.0, 0.0), (1.0, machines.len() as f64)];
                chart.draw_series([PathElement::new(one, BLACK.mix(0.6).stroke_width(1))])?;
                for (nr, (_, run)) in machines.iter().enumerate() {
                    let Some(headline) = run.headline(SHOWN) else { continue };
                    for (place, layout) in with.iter().enumerate() {
                        let Some(value) = headline.value_of(layout) else { continue };
                        let Some(ratio) = value.ratio else { continue };
                        let y =
                            place_of_bar(nr, machines.len()) + 0.92 - 0.84 * (place as f64 + 0.5) / with.len() as f64;
                        let look = look(layout);
                        if let Some((from, to)) = value.interval {
                            marks.whisker(at(&chart, from, y), at(&chart, to, y), look.colour());
                        }
                        chart.draw_series([EmptyElement::at((ratio, y)) + look.marker((0, 0))])?;
                        let in_words = ratio::with_interval(ratio, value.interval);
                        marks.point(at(&chart, ratio, y), format!("{}, {layout}: {in_words}", run.machine));
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}
