//! Lookups in random order: ratios to the reference as dots with intervals.

use crate::analysis::headline::memory_label;
use crate::analysis::summary::{LookupCell, LookupLine};
use crate::case::{Memory, Pattern};
use crate::present::ratio;
use crate::present::report::data::{COMPARED, Data, compared};
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Axis, DrawError, Key, Labels, at, band, head, place_of_bar, plain, rows};
use crate::units::{signed_time, time};
use plotters::prelude::*;
use serde_json::json;

/// Markers closer than this share of their values overlap. This is not a verdict.
const NEAR: f64 = 0.03;

/// Ratio of a layout to the reference and its interval, the loop around the lookups included.
#[derive(Clone, Copy)]
struct Dot {
    ratio: f64,
    ends: Option<(f64, f64)>,
}

/// Layouts that are drawn as one: their dots coincide on every line.
struct Group<'a> {
    layouts: Vec<&'a String>,
    /// A dot for each line; `None` without a time.
    dots: Vec<Option<Dot>>,
}

fn dot(line: &LookupLine, layout: &str, reference: &str) -> Option<Dot> {
    if layout == reference {
        line.cell(layout)?.median_ns?;
        return Some(Dot { ratio: 1.0, ends: None });
    }
    let (ratio, ends) = line.pair(layout, reference)?.whole?;
    Some(Dot { ratio, ends })
}

fn groups<'a>(view: View<'a>, lines: &[&LookupLine]) -> Vec<Group<'a>> {
    let (summary, mut groups) = (view.main(), Vec::<Group<'a>>::new());
    for layout in &summary.layouts {
        let dots: Vec<Option<Dot>> = lines.iter().map(|line| dot(line, layout, &summary.reference)).collect();
        if dots.iter().all(Option::is_none) {
            continue;
        }
        let is_near = |(a, b): (&Option<Dot>, &Option<Dot>)| match (a, b) {
            (Some(a), Some(b)) => (a.ratio / b.ratio).ln().abs() < NEAR,
            (None, None) => true,
            _ => false,
        };
        match groups.iter_mut().find(|group| group.dots.iter().zip(&dots).all(is_near)) {
            Some(group) => group.layouts.push(layout),
            None => groups.push(Group { layouts: vec![layout], dots }),
        }
    }
    groups
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
    let mut data = Data::new(&[&["op", "layout"][..], &COMPARED, &["noise_floor"]].concat());
    for line in &lines {
        for cell in line.cells.iter().filter(|cell| cell.median_ns.is_some()) {
            let values = compared(cell.median_ns, cell.ratio, cell.ratio_interval, cell.difference_ns, cell.verdict);
            let place = [json!(line.group.op.name()), json!(cell.layout)];
            data.push(place.into_iter().chain(values).chain([json!(line.noise_floor)]));
        }
    }
    let reference = &summary.reference;
    let (name, special) = match memory {
        Memory::Boot => ("lookups-boot", "The series as posted reads the sub-section map here too."),
        Memory::Added => ("lookups-added", ""),
    };
    let caption = format!(
        "Each row is a lookup, each mark a layout; left of 1 is faster than {reference}. Whiskers: 95 % intervals, mostly \
         narrower than the marks. The loop around a lookup is in both times, so fast lookups are further from 1 than drawn. \
         {special}"
    );
    let caption = caption.trim_end();
    let title = format!("Lookups on {}, compared with {reference}", memory_label(memory));
    let missing = || view.no_rows_of(&format!("lookups in random order on {}", memory_label(memory)));
    let groups = groups(view, &lines);
    // Room for a marker of each group.
    let height = 100 + 22 * (groups.len().div_ceil(4)) as u32 + (lines.len() * (14 + 9 * groups.len())) as u32;
    Figure::new((name, title), caption, data, missing, height, |area, marks, title| {
        let legend = groups.iter().map(|group| {
            let names: Vec<&str> = group.layouts.iter().map(|layout| layout.as_str()).collect();
            (Key::Layout(view.look(group.layouts[0])), names.join(" = "))
        });
        let has_floor = lines.iter().any(|line| line.noise_floor.is_some());
        let floor = has_floor.then(|| (Key::Band, "noise floor".to_owned()));
        let legend: Vec<(Key, String)> = legend.chain(floor).collect();
        let body = head(area, title, &legend)?;
        let ends = |dot: &Dot| dot.ends.map_or(dot.ratio, |(_, high)| high);
        let top = groups.iter().flat_map(|group| group.dots.iter().flatten()).map(ends).fold(1.0, f64::max);
        let names: Vec<&str> = lines.iter().map(|line| line.group.op.name()).collect();
        let labels =
            Labels { name: &format!("time divided by that of {reference} (left of 1 is faster)"), tick: &plain };
        let mut chart = rows(&body, (Axis::from_zero(top), labels), &names)?;
        for (nr, line) in lines.iter().enumerate() {
            let low = place_of_bar(nr, lines.len());
            if let Some(floor) = line.noise_floor {
                let near = [(1.0 / (1.0 + floor), low + 0.04), (1.0 + floor, low + 0.96)];
                chart.draw_series([Rectangle::new(near, band())])?;
            }
        }
        for border in 1..lines.len() {
            let across = [(0.0, border as f64), (top * 1.04, border as f64)];
            chart.draw_series([PathElement::new(across, BLACK.mix(0.35).stroke_width(1))])?;
        }
        let one = [(1.0, 0.0), (1.0, lines.len() as f64)];
        chart.draw_series([PathElement::new(one, BLACK.mix(0.6).stroke_width(1))])?;
        for (nr, line) in lines.iter().enumerate() {
            for (place, group) in groups.iter().enumerate() {
                let Some(dot) = group.dots[nr] else { continue };
                let y = place_of_bar(nr, lines.len()) + 0.92 - 0.84 * (place as f64 + 0.5) / groups.len() as f64;
                let look = view.look(group.layouts[0]);
                if let Some((low, high)) = dot.ends {
                    let whisker = PathElement::new([(low, y), (high, y)], look.colour().stroke_width(2));
                    chart.draw_series([whisker])?;
                }
                chart.draw_series([EmptyElement::at((dot.ratio, y)) + look.marker((0, 0))])?;
                for layout in &group.layouts {
                    let Some(cell) = line.cell(layout) else { continue };
                    let Some(ns) = cell.median_ns else { continue };
                    marks.point(at(&chart, dot.ratio, y), hover(&line.group.label(), cell, ns));
                }
            }
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
