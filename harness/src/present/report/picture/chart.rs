//! Charts with two axes, and charts of bars.

use super::axis::Axis;
use super::text::{FONT, LABEL, LETTER, fitting};
use super::{Area, DrawError, Marks};
use plotters::prelude::*;

/// A chart of two axes.
pub type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// How an axis is labelled.
pub struct Labels<'a> {
    /// What it shows, with its unit.
    pub name: &'a str,
    /// The text of a tick.
    pub tick: &'a dyn Fn(f64) -> String,
}

/// A chart with two labelled axes and a grid. Where `x` has no labels, places are labelled by the caller.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn chart<'a>(
    area: &Area<'a>,
    (x, x_labels): (Axis, Option<Labels<'_>>),
    (y, y_labels): (Axis, Labels<'_>),
) -> Result<Chart<'a>, DrawError> {
    let widest = y.ticks.iter().map(|tick| (y_labels.tick)(*tick).chars().count()).max().unwrap_or(0);
    let mut chart = ChartBuilder::on(area)
        .margin(6)
        .margin_right(30)
        .x_label_area_size(if x_labels.is_some() { 42 } else { 24 })
        .y_label_area_size(30 + (widest as f64 * LABEL * LETTER) as u32)
        .build_cartesian_2d(x, y)?;
    let (x_name, no_tick) = (x_labels.as_ref().map_or("", |labels| labels.name), |_: f64| String::new());
    let x_tick = x_labels.as_ref().map_or(&no_tick as &dyn Fn(f64) -> String, |labels| labels.tick);
    let mut mesh = chart.configure_mesh();
    if x_labels.is_none() {
        mesh.disable_x_mesh().set_tick_mark_size(LabelAreaPosition::Bottom, 0);
    }
    // A name of no letters would be drawn all the same.
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

/// A chart of bars to the right, a place for each name from top to bottom: [`place_of_bar`] says where.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn bars<'a>(area: &Area<'a>, (x, x_labels): (Axis, Labels<'_>), names: &[&str]) -> Result<Chart<'a>, DrawError> {
    let tick = |y: f64| {
        let name = names.len().checked_sub(1 + y as usize).and_then(|nr| names.get(nr));
        name.map_or_else(String::new, |name| fitting(name, 125, LABEL))
    };
    let y = Axis::places(names.len()).with_ticks((0..names.len()).map(|nr| nr as f64 + 0.5).collect());
    // Few ticks: such charts stand side by side.
    chart(area, (x.with_every_other_tick(), Some(x_labels)), (y, Labels { name: "", tick: &tick }))
}

/// Where the place of the bar number `nr` of so many begins: the first is on top.
pub fn place_of_bar(nr: usize, nr_bars: usize) -> f64 {
    (nr_bars - 1 - nr) as f64
}

/// Draws a bar between two corners of a chart, and marks it.
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

/// Where a point of a chart lies in the picture.
pub fn at(chart: &Chart<'_>, x: f64, y: f64) -> (i32, i32) {
    chart.plotting_area().map_coordinate(&(x, y))
}
