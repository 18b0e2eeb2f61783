//! Lookups in random order, layouts side by side.

use crate::analysis::headline::memory_label;
use crate::analysis::summary::{LookupCell, LookupLine};
use crate::case::{Memory, Pattern};
use crate::present::ratio;
use crate::present::report::data::{COMPARED, Data, compared};
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Axis, DrawError, Hang, Key, LABEL, Labels, at, band, chart, head, plain, text};
use crate::units::{signed_time, three_digits, time};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use serde_json::json;

/// Lower end of the axis in ns. No lookup takes less, because the loop around it takes longer.
const FLOOR_NS: f64 = 0.1;

/// Draws bars for every lookup on one kind of memory.
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
    let mut data = Data::new(&[&["op", "layout"][..], &COMPARED, &["noise_floor"]].concat());
    for line in &lines {
        for cell in line.cells.iter().filter(|cell| cell.median_ns.is_some()) {
            let values = compared(cell.median_ns, cell.ratio, cell.ratio_interval, cell.difference_ns, cell.verdict);
            let place = [json!(line.group.op.name()), json!(cell.layout)];
            data.push(place.into_iter().chain(values).chain([json!(line.noise_floor)]));
        }
    }
    let (name, caption) = match memory {
        Memory::Boot => (
            "lookups-boot",
            "Page frames are queried in random order. Lower is better; the axis is logarithmic. For boot sections, \
             Linux since 5.3 answers after two loads and does not read the sub-section map. The flat layout loads \
             nothing. The series as posted (subsection-v6) reads the map here too.",
        ),
        Memory::Added => (
            "lookups-added",
            "Page frames are queried in random order. Lower is better; the axis is logarithmic. On hot-added memory, \
             the sub-section map is read. A layout without a bar does not support hotplug.",
        ),
    };
    let title = format!("Time of a lookup on {}, ns", memory_label(memory));
    let missing = || view.no_rows_of(&format!("lookups in random order on {}", memory_label(memory)));
    Figure::new((name, title), caption, data, missing, 400, |area, marks, title| {
        let has_bar = |layout: &&String| {
            let cells = lines.iter().flat_map(|line| &line.cells);
            cells.filter(|cell| cell.layout == **layout).any(|cell| cell.median_ns.is_some())
        };
        let shown: Vec<&String> = summary.layouts.iter().filter(has_bar).collect();
        let legend: Vec<(Key, String)> =
            shown.iter().map(|layout| (Key::Layout(view.look(layout)), (*layout).clone())).collect();
        let legend: Vec<(Key, String)> = legend.into_iter().chain([(Key::Dashes, "empty loop".to_owned())]).collect();
        let has_floor = lines.iter().any(|line| line.noise_floor.is_some());
        let floor = || (Key::Band, format!("noise floor around {}", summary.reference));
        let legend: Vec<(Key, String)> = legend.into_iter().chain(has_floor.then(floor)).collect();
        let body = head(area, title, &legend)?;
        let medians = lines.iter().flat_map(|line| &line.cells).filter_map(|cell| cell.median_ns);
        let y = Axis::log(medians.chain([FLOOR_NS]), 1.0, 1.6);
        let labels = Labels { name: "ns per lookup", tick: &plain };
        let mut chart = chart(&body, (Axis::places(lines.len()), None), (y, labels))?;
        let width = 0.9 / shown.len().max(1) as f64;
        let bar_pixels = f64::from(chart.plotting_area().dim_in_pixel().0) / lines.len() as f64 * width;
        // The label is as wide as its bar: four digits, each about 0.6 times as wide as high.
        let size = (bar_pixels / 2.6).clamp(7.0, LABEL);
        for (place, line) in lines.iter().enumerate() {
            let of_reference = line.cell(&summary.reference).and_then(|cell| cell.median_ns);
            if let Some((ns, floor)) = of_reference.zip(line.noise_floor) {
                let near = [(place as f64 + 0.02, ns / (1.0 + floor)), (place as f64 + 0.98, ns * (1.0 + floor))];
                chart.draw_series([Rectangle::new(near, band())])?;
            }
            for (nr, layout) in shown.iter().enumerate() {
                let Some(cell) = line.cells.iter().find(|cell| cell.layout == **layout) else { continue };
                let Some(ns) = cell.median_ns else { continue };
                let left = place as f64 + 0.05 + nr as f64 * width;
                let corners = [(left, FLOOR_NS), (left + width * 0.9, ns.max(FLOOR_NS))];
                chart.draw_series([Rectangle::new(corners, view.look(layout).colour().filled())])?;
                let (low, high) = (at(&chart, corners[0].0, corners[0].1), at(&chart, corners[1].0, corners[1].1));
                marks.block(low, high, hover(&line.group.label(), cell, ns));
                text(area, &three_digits(ns), ((low.0 + high.0) / 2, high.1 - 3), size, Hang::Above)?;
            }
            if let Some(floor) = line.floor_ns {
                let ends = [(place as f64 + 0.02, floor), (place as f64 + 0.98, floor)];
                let dashes = DashedPathElement::new(ends, 4, 3, BLACK.mix(0.7).stroke_width(1));
                chart.draw_series(std::iter::once(dashes))?;
            }
            let middle = at(&chart, place as f64 + 0.5, FLOOR_NS);
            text(area, line.group.op.name(), (middle.0, middle.1 + 6), LABEL, Hang::Below)?;
        }
        Ok(())
    })
}

fn hover(label: &str, cell: &LookupCell, ns: f64) -> String {
    let ratio = |ratio| format!(", {}", ratio::with_interval(ratio, cell.ratio_interval));
    let ratio = cell.ratio.map_or_else(String::new, ratio);
    let verdict = cell.verdict.zip(cell.difference_ns);
    let verdict = verdict.map_or_else(String::new, |(verdict, ns)| format!(", {verdict} {}", signed_time(ns)));
    format!("{label}, {}: {}{ratio}{verdict}", cell.layout, time(ns))
}
