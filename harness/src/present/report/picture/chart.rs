//! Charts with two axes, and charts of bars.

use super::axis::Axis;
use super::look::Look;
use super::text::{FONT, LABEL, LETTER, fitting};
use super::{Area, DrawError, Marks};
use plotters::prelude::*;

/// Width of the names of rows, in SVG user units, beyond which they are shortened.
const MOST_FOR_NAMES: i32 = 118;

/// A chart with two axes.
pub type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// Labels of an axis.
pub struct Labels<'a> {
    /// Quantity and unit.
    pub name: &'a str,
    /// Formats the value of a tick.
    pub tick: &'a dyn Fn(f64) -> String,
}

/// Makes a chart with two labelled axes and a grid. Without labels for `x`, the caller labels its categories.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn chart<'a>(
    area: &Area<'a>,
    (x, x_labels): (Axis, Option<Labels<'_>>),
    (y, y_labels): (Axis, Labels<'_>),
) -> Result<Chart<'a>, DrawError> {
    let widest = y.ticks.iter().map(|tick| (y_labels.tick)(*tick).chars().count()).max().unwrap_or(0);
    chart_with_room(area, (x, x_labels), (y, y_labels), widest)
}

/// As [`chart`], with room for this number of letters at the vertical axis.
fn chart_with_room<'a>(
    area: &Area<'a>,
    (x, x_labels): (Axis, Option<Labels<'_>>),
    (y, y_labels): (Axis, Labels<'_>),
    widest: usize,
) -> Result<Chart<'a>, DrawError> {
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(28)
        .x_label_area_size(if x_labels.is_some() { 42 } else { 24 })
        .y_label_area_size(if y_labels.name.is_empty() { 16 } else { 30 } + (widest as f64 * LABEL * LETTER) as u32)
        .build_cartesian_2d(x, y)?;
    let (x_name, no_tick) = (x_labels.as_ref().map_or("", |labels| labels.name), |_: f64| String::new());
    let x_tick = x_labels.as_ref().map_or(&no_tick as &dyn Fn(f64) -> String, |labels| labels.tick);
    let mut mesh = chart.configure_mesh();
    if x_labels.is_none() {
        mesh.disable_x_mesh().set_tick_mark_size(LabelAreaPosition::Bottom, 0);
    }
    // The backend would draw an empty element for an empty name.
    if !x_name.is_empty() {
        mesh.x_desc(x_name);
    }
    if !y_labels.name.is_empty() {
        mesh.y_desc(y_labels.name);
    }
    mesh.x_label_formatter(&|value| x_tick(*value))
        .y_label_formatter(&|value| (y_labels.tick)(*value))
        .axis_desc_style((FONT, LABEL))
        .label_style((FONT, LABEL))
        .bold_line_style(BLACK.mix(0.12))
        .light_line_style(TRANSPARENT)
        .draw()?;
    Ok(chart)
}

/// Makes a chart with one row per name from top to bottom, as wide as the area. [`place_of_bar`] gives the positions
/// of rows. The names have room for `letters`, so that panels with the same number are aligned.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn rows<'a>(
    area: &Area<'a>,
    (x, x_labels): (Axis, Labels<'_>),
    names: &[&str],
    letters: usize,
) -> Result<Chart<'a>, DrawError> {
    let tick = |y: f64| {
        let name = names.len().checked_sub(1 + y as usize).and_then(|nr| names.get(nr));
        name.map_or_else(String::new, |name| fitting(name, MOST_FOR_NAMES, LABEL))
    };
    let y = Axis::places(names.len()).with_ticks((0..names.len()).map(|nr| nr as f64 + 0.5).collect());
    let letters = letters.min((f64::from(MOST_FOR_NAMES) / (LABEL * LETTER)) as usize);
    chart_with_room(area, (x, Some(x_labels)), (y, Labels { name: "", tick: &tick }), letters)
}

/// The number of letters of the longest name.
pub fn most_letters<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0)
}

/// Lower end of the category of bar number `nr` on the vertical axis. Bar 0 is at the top.
pub fn place_of_bar(nr: usize, nr_bars: usize) -> f64 {
    (nr_bars - 1 - nr) as f64
}

/// Draws a bar between two opposite corners of a chart, and adds a mark with the text `hover`.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn bar(
    chart: &mut Chart<'_>,
    marks: &mut Marks,
    corners: [(f64, f64); 2],
    colour: RGBColor,
    hover: String,
) -> Result<(), DrawError> {
    chart.draw_series([Rectangle::new(corners, colour.filled())])?;
    let [a, b] = corners.map(|(x, y)| at(chart, x, y));
    marks.block(a, b, hover);
    Ok(())
}

/// A point of a curve, and its interval on the vertical axis.
#[derive(Clone, Copy, Debug)]
pub struct CurvePoint {
    /// Position on the horizontal axis.
    pub x: f64,
    /// Position on the vertical axis.
    pub y: f64,
    /// Interval of `y`, if there is one.
    pub interval: Option<(f64, f64)>,
}

/// Draws a curve with a marker and an interval at each point. Returns the place of its end in the picture; `None`
/// without points.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn curve(
    chart: &mut Chart<'_>,
    marks: &mut Marks,
    look: Look,
    points: &[CurvePoint],
) -> Result<Option<(i32, i32)>, DrawError> {
    let line = || points.iter().map(|point| (point.x, point.y));
    chart.draw_series(LineSeries::new(line(), look.colour().stroke_width(2)))?;
    chart.draw_series(line().map(|point| EmptyElement::at(point) + look.marker((0, 0))))?;
    for point in points {
        if let Some((low, high)) = point.interval {
            marks.whisker(at(chart, point.x, low), at(chart, point.x, high), look.colour());
        }
    }
    Ok(points.last().map(|last| at(chart, last.x, last.y)))
}

/// Converts coordinates of a chart to coordinates of the picture.
pub fn at(chart: &Chart<'_>, x: f64, y: f64) -> (i32, i32) {
    chart.plotting_area().map_coordinate(&(x, y))
}
