//! Throughput of readers with and without a writer.

use crate::analysis::summary::ReadersCell;
use crate::present::ratio;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Axis, DrawError, Key, Labels, bar, bars, colour, head, place_of_bar, plain};
use crate::units::three_digits;
use plotters::prelude::*;
use serde_json::json;

/// Returns the throughput of readers in lookups per second.
type Throughput = fn(&ReadersCell) -> Option<f64>;

/// The companion threads of readers.
const COMPANIES: [(&str, Throughput); 3] = [
    ("alone", |cell| cell.alone),
    ("beside a busy thread that touches no layout", |cell| Some(cell.beside_a_busy_thread)),
    ("beside a writer", |cell| Some(cell.beside_a_writer)),
];

/// Draws bars of throughput by layout and companion thread, with one panel per number of readers.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let summary = view.main();
    let mut data =
        Data::new(&["layout", "readers", "company", "lookups_per_s", "writer_over_busy", "p999_writer_over_busy"]);
    for cell in &summary.readers {
        for (company, throughput) in COMPANIES {
            if let Some(rate) = throughput(cell) {
                data.push([
                    json!(cell.layout),
                    json!(cell.readers),
                    json!(company),
                    json!(rate),
                    json!(cell.ratio),
                    json!(cell.tail_ratio("p99.9")),
                ]);
            }
        }
    }
    let groups: Vec<&[ReadersCell]> = summary.readers.chunk_by(|a, b| a.mode == b.mode).collect();
    let reasons: Vec<&str> = groups.iter().filter_map(|group| group[0].reason.as_deref()).collect();
    let caption = format!(
        "Lookups per second of all readers together; longer is better. The readers query the memory next to a range \
         that the writer adds and removes 100 times per second. The writer's bar divided by the busy thread's bar \
         shows what the synchronisation of the layout costs readers; below 1 is slower.{}",
        if reasons.is_empty() { String::new() } else { format!(" {}.", reasons.join("; ")) }
    );
    let most = groups.iter().map(|group| group.len()).max().unwrap_or(0) as u32;
    let height = 90 + 40 * most;
    let name = ("readers", "Throughput of readers, million lookups/s".to_owned());
    Figure::new(
        name,
        caption,
        data,
        || view.no_rows_of("readers"),
        height,
        |area, marks, title| {
            let legend: Vec<(Key, String)> = COMPANIES
                .iter()
                .enumerate()
                .map(|(nr, (company, _))| (Key::Block(company_colour(nr)), (*company).to_owned()))
                .collect();
            let body = head(area, title, &legend)?;
            let areas = body.split_evenly((1, groups.len()));
            for (group, area) in groups.iter().zip(&areas) {
                let rates =
                    group.iter().flat_map(|cell| COMPANIES.iter().filter_map(|(_, rate)| Some(rate(cell)? / 1e6)));
                let x = Axis::from_zero(rates.fold(0.0, f64::max));
                let x_name = format!("million lookups/s, {}", group[0].mode);
                let x_labels = Labels { name: &x_name, tick: &plain };
                let names: Vec<&str> = group.iter().map(|cell| cell.layout.as_str()).collect();
                let mut chart = bars(area, (x, x_labels), &names)?;
                for (nr, cell) in group.iter().enumerate() {
                    let place = place_of_bar(nr, group.len());
                    for (nth, (company, rate)) in COMPANIES.iter().enumerate() {
                        let Some(rate) = rate(cell) else { continue };
                        let top = place + 0.9 - 0.27 * nth as f64;
                        let corners = [(0.0, top - 0.25), (rate / 1e6, top)];
                        let hover = format!(
                            "{}, {}, {company}: {} million lookups/s (beside a writer {} that beside a busy thread)",
                            cell.layout,
                            cell.mode,
                            three_digits(rate / 1e6),
                            ratio::times(cell.ratio)
                        );
                        bar(&mut chart, marks, corners, company_colour(nth), hover)?;
                    }
                }
            }
            Ok(())
        },
    )
}

fn company_colour(nr: usize) -> RGBColor {
    colour([0, 1, 2][nr % 3])
}
