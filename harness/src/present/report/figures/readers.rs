//! Time of lookups beside a writer, relative to that beside an equally busy thread.

use crate::analysis::summary::ReadersCell;
use crate::present::ratio;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{Axis, DrawError, Labels, at, most_letters, place_of_bar, plain, rows};
use crate::units::three_digits;
use plotters::prelude::*;
use serde_json::json;

/// A ratio of times and its interval. The rows hold the ratio of throughputs, whose inverse this is.
fn slower(cell: &ReadersCell) -> (f64, Option<(f64, f64)>) {
    (1.0 / cell.ratio, cell.ratio_interval.map(|(low, high)| (1.0 / high, 1.0 / low)))
}

/// Draws a dot and its interval for each layout, with one panel per number of readers.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let summary = view.main();
    let mut data = Data::new(&[
        "layout",
        "readers",
        "time_ratio",
        "ratio_low",
        "ratio_high",
        "lookups_per_s_beside_a_writer",
        "lookups_per_s_beside_a_busy_thread",
        "lookups_per_s_alone",
        "p999_writer_over_busy",
    ]);
    for cell in &summary.readers {
        let (ratio, interval) = slower(cell);
        let (low, high) = interval.unzip();
        data.push([
            json!(cell.layout),
            json!(cell.readers),
            json!(ratio),
            json!(low),
            json!(high),
            json!(cell.beside_a_writer),
            json!(cell.beside_a_busy_thread),
            json!(cell.alone),
            json!(cell.tail_ratio("p99.9")),
        ]);
    }
    let groups: Vec<&[ReadersCell]> = summary.readers.chunk_by(|a, b| a.mode == b.mode).collect();
    let reasons: Vec<String> = groups
        .iter()
        .filter_map(|group| Some(format!("{}: {}.", group[0].mode, group[0].reason.as_deref()?)))
        .collect();
    let words = Words {
        name: "readers",
        title: "What a writer costs readers".to_owned(),
        caption:
            "Time of a lookup beside a writer that adds and removes memory, divided by that beside an equally busy \
                  thread; right of 1 is slower."
                .to_owned(),
        whiskers: "95 % intervals over slices of one process",
        reading: format!(
            "The readers query the memory next to a range that the writer adds and removes 100 times per second. The \
             busy thread touches no layout, so the ratio is what the synchronisation of the layout costs. Slices \
             beside the writer and beside the busy thread alternate; the ratio is the median over pairs of \
             neighbours, and the interval is the order statistics that hold this median with a probability of 95 % or \
             more. {}",
            reasons.join(" ")
        )
        .trim_end()
        .to_owned(),
    };
    Figure::new(
        words,
        data,
        || view.no_rows_of("readers"),
        |drawing| {
            let ends = |cell: &ReadersCell| {
                let (ratio, interval) = slower(cell);
                let (low, high) = interval.unwrap_or((ratio, ratio));
                [low, ratio, high]
            };
            let all = || summary.readers.iter().flat_map(ends);
            let (low, high) = (all().fold(1.0, f64::min), all().fold(1.0, f64::max));
            let letters = most_letters(summary.readers.iter().map(|cell| cell.layout.as_str()));
            for group in &groups {
                let title = match group[0].readers {
                    Some(1) => "1 reader".to_owned(),
                    Some(nr) => format!("{nr} readers"),
                    None => group[0].mode.clone(),
                };
                drawing.panel(&title, 56 + 18 * group.len() as u32, |area, marks| {
                    let labels = Labels { name: "time / time beside a busy thread", tick: &plain };
                    let names: Vec<&str> = group.iter().map(|cell| cell.layout.as_str()).collect();
                    let mut chart = rows(area, (Axis::around_one(low, high), labels), &names, letters)?;
                    let one = [(1.0, 0.0), (1.0, group.len() as f64)];
                    chart.draw_series([PathElement::new(one, BLACK.mix(0.6).stroke_width(1))])?;
                    for (nr, cell) in group.iter().enumerate() {
                        let y = place_of_bar(nr, group.len()) + 0.5;
                        let (ratio, interval) = slower(cell);
                        let look = view.look(&cell.layout);
                        if let Some((low, high)) = interval {
                            marks.whisker(at(&chart, low, y), at(&chart, high, y), look.colour());
                        }
                        chart.draw_series([EmptyElement::at((ratio, y)) + look.marker((0, 0))])?;
                        let hover = format!(
                            "{}, {}: {} beside a writer; {} million lookups/s",
                            cell.layout,
                            cell.mode,
                            ratio::with_interval(ratio, interval),
                            three_digits(cell.beside_a_writer / 1e6),
                        );
                        marks.point(at(&chart, ratio, y), hover);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        },
    )
}
