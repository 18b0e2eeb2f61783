//! Lookups in random order: ratios to the reference as dots with intervals.

use super::together::{Group, is_near, together};
use crate::analysis::headline::memory_label;
use crate::analysis::summary::{LINUX, LookupCell, LookupLine, Summary};
use crate::case::{Memory, Pattern};
use crate::present::ratio;
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{
    Axis, DrawError, Hang, Key, LABEL, Labels, at, band, most_letters, place_of_bar, plain, rows, text,
};
use crate::units::{three_digits, time};
use plotters::prelude::*;
use serde_json::json;

/// The axis ends at this ratio at the latest.
const MOST: f64 = 4.0;

/// Ratio of a layout to the reference and its interval, the loop around the lookups included.
#[derive(Clone, Copy)]
struct Dot {
    ratio: f64,
    ends: Option<(f64, f64)>,
}

fn dot(line: &LookupLine, layout: &str, reference: &str) -> Option<Dot> {
    if layout == reference {
        line.cell(layout)?.median_ns?;
        return Some(Dot { ratio: 1.0, ends: None });
    }
    line.cell(layout)?.median_ns?;
    let (ratio, ends) = line.whole_ratio(layout, reference)?;
    Some(Dot { ratio, ends })
}

/// The layout that dots are compared with: that of the finding, or else the reference of the tables.
fn compared_with<'a>(summary: &'a Summary, lines: &[&LookupLine]) -> &'a str {
    let is_timed = |line: &&LookupLine| line.cell(LINUX.1).is_some_and(|cell| cell.median_ns.is_some());
    if lines.iter().any(is_timed) { LINUX.1 } else { &summary.reference }
}

/// The layouts with a dot, grouped where their dots coincide on every line.
fn groups<'a>(view: View<'a>, lines: &[&LookupLine], reference: &str) -> Vec<Group<'a, Option<Dot>>> {
    let summary = view.main();
    let dots = |layout: &'a String| -> (&'a str, Vec<Option<Dot>>) {
        (layout, lines.iter().map(|line| dot(line, layout, reference)).collect())
    };
    let drawn = summary.layouts.iter().map(dots).filter(|(_, dots)| dots.iter().any(Option::is_some));
    together(drawn, |a, b| match (a, b) {
        (Some(a), Some(b)) => is_near(a.ratio, b.ratio),
        (None, None) => true,
        _ => false,
    })
}

/// Draws a dot and its interval for every lookup on one kind of memory and every layout.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>, memory: Memory) -> Result<Figure, DrawError> {
    let summary = view.main();
    let is_shown = |line: &&LookupLine| {
        // The time of a walk is per section or range, not per page.
        let is_lookup = line.group.pattern == Pattern::Random && !line.group.op.is_walk();
        line.memory == memory && line.group.is_plain() && is_lookup
    };
    let lines: Vec<&LookupLine> = summary.lookups.iter().filter(is_shown).collect();
    let reference = compared_with(summary, &lines);
    let columns = ["op", "layout", "time_ns", "compared_with", "ratio", "ratio_low", "ratio_high", "noise_floor"];
    let mut data = Data::new(&columns);
    for line in &lines {
        for cell in &line.cells {
            let Some(Dot { ratio, ends }) = dot(line, &cell.layout, reference) else { continue };
            let (low, high) = ends.unzip();
            let (op, layout) = (json!(line.group.op.name()), json!(cell.layout));
            let ratio = [json!(ratio), json!(low), json!(high), json!(line.noise_floor)];
            data.push([op, layout, json!(cell.median_ns), json!(reference)].into_iter().chain(ratio));
        }
    }
    let name = match memory {
        Memory::Boot => "lookups-boot",
        Memory::Added => "lookups-added",
    };
    let groups = groups(view, &lines, reference);
    let words = Words {
        name,
        title: format!("Lookups on {}, compared with {reference}", memory_label(memory)),
        caption: format!(
            "Time of lookups in random order, divided by that of {reference}; left of 1 is faster. Each mark is a \
             layout. A mark at the edge is beyond it, at the ratio beside it."
        ),
        whiskers: "95 % intervals over processes",
        reading: format!(
            "Each row is a lookup. Layouts whose marks lie within 3 % of each other on every row share a mark; this \
             is no verdict. Whiskers are mostly narrower than the marks. The grey band is the noise floor: how \
             far a copy of {} can be from it by chance. The loop around a lookup is in \
             both times, so fast lookups are further from 1 than drawn; the table of all operations has the ratios \
             without it. linux-5.2 is Linux before the series, linux-6.1 with it, subsection the same in Rust without \
             the kernel's checks. subsection-v6 is the series as posted, which reads the sub-section map on boot \
             memory too.",
            summary.reference
        ),
    };
    let missing = || view.no_rows_of(&format!("lookups in random order on {}", memory_label(memory)));
    Figure::new(words, data, missing, |drawing| {
        for group in &groups {
            drawing.key(Key::Layout(view.look(group.layouts[0])), group.names())?;
        }
        if lines.iter().any(|line| line.noise_floor.is_some()) {
            drawing.key(Key::Band, "noise floor")?;
        }
        let ends = |dot: &Dot| dot.ends.map_or(dot.ratio, |(_, high)| high);
        let top = groups.iter().flat_map(|group| group.values.iter().flatten()).map(ends).fold(1.0, f64::max);
        // One slow layout must not press all others together.
        let top = top.min(MOST);
        // A panel for the first half of the rows and one for the others, on the same axis.
        let letters = most_letters(lines.iter().map(|line| line.group.op.name()));
        let half = lines.len().div_ceil(2).max(1);
        for (panel, shown) in lines.chunks(half).enumerate() {
            // Room for a marker of each group.
            let height = 56 + (half * (14 + 10 * groups.len())) as u32;
            let names: Vec<&str> = shown.iter().map(|line| line.group.op.name()).collect();
            let label = format!("{} on {}", names.join(", "), memory_label(memory));
            drawing.untitled_panel(&label, height, |area, marks| {
                let name = format!("time / time of {reference}");
                let mut chart =
                    rows(area, (Axis::from_zero(top), Labels { name: &name, tick: &plain }), &names, letters)?;
                for (nr, line) in shown.iter().enumerate() {
                    let low = place_of_bar(nr, shown.len());
                    if let Some(floor) = line.noise_floor {
                        let near = [(1.0 / (1.0 + floor), low + 0.04), (1.0 + floor, low + 0.96)];
                        chart.draw_series([Rectangle::new(near, band())])?;
                    }
                }
                for border in 1..shown.len() {
                    let across = [(0.0, border as f64), (top * 1.04, border as f64)];
                    chart.draw_series([PathElement::new(across, BLACK.mix(0.35).stroke_width(1))])?;
                }
                let one = [(1.0, 0.0), (1.0, shown.len() as f64)];
                chart.draw_series([PathElement::new(one, BLACK.mix(0.6).stroke_width(1))])?;
                for (nr, line) in shown.iter().enumerate() {
                    for (place, group) in groups.iter().enumerate() {
                        let Some(dot) = group.values[panel * half + nr] else { continue };
                        let y =
                            place_of_bar(nr, shown.len()) + 0.92 - 0.84 * (place as f64 + 0.5) / groups.len() as f64;
                        let look = view.look(group.layouts[0]);
                        let place = dot.ratio.min(top);
                        if let Some((low, high)) = dot.ends.filter(|_| dot.ratio <= top) {
                            marks.whisker(at(&chart, low, y), at(&chart, high.min(top), y), look.colour());
                        }
                        chart.draw_series([EmptyElement::at((place, y)) + look.marker((0, 0))])?;
                        if dot.ratio > top {
                            let (x, y) = at(&chart, place, y);
                            let beyond = format!("{}× »", three_digits(dot.ratio));
                            text(area, &beyond, (x - 9, y), LABEL - 4.0, Hang::Left)?;
                        }
                        for layout in &group.layouts {
                            let Some(cell) = line.cell(layout) else { continue };
                            let Some(ns) = cell.median_ns else { continue };
                            marks.point(at(&chart, place, y), hover(&line.group.label(), cell, ns, dot, reference));
                        }
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

fn hover(label: &str, cell: &LookupCell, ns: f64, dot: Dot, reference: &str) -> String {
    let ratio = ratio::with_interval(dot.ratio, dot.ends);
    format!("{label}, {}: {}, {ratio} of the time of {reference}", cell.layout, time(ns))
}
