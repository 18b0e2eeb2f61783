//! Pictures as SVG. One colour and one marker a layout, everywhere; the colours are Okabe and Ito's, which colour-blind
//! readers can tell apart.

use crate::cases::LookupGroup;
use crate::contestant::entries;
use crate::queries::Pattern;
use crate::row::Sections;
use crate::summary::{HotplugCell, Summary};
use crate::units::{three_digits, time};
use memmap_layouts::{Bytes, X86_64};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use thiserror::Error;

/// A picture or page that could not be made.
#[derive(Debug, Error)]
#[error("cannot draw: {0}")]
pub struct PlotError(String);

impl From<askama::Error> for PlotError {
    fn from(error: askama::Error) -> Self {
        Self(error.to_string())
    }
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// What the picture stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The page, which is light or dark and colours lines and letters itself.
    Page,
    /// White of its own: a file that is shown anywhere.
    White,
}

/// Colours in the order of layouts.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xb8, 0xa8, 0x00),
];

const SIZE: (u32, u32) = (700, 370);
const FONT: &str = "sans-serif";

/// Where the bars of lookups begin: no lookup takes less, the loop around it does not.
const FLOOR: f64 = 0.1;

fn colour(place: usize) -> RGBColor {
    COLOURS[place % COLOURS.len()]
}

/// The place of a layout in the list, whichever of them a run has: its colour and marker are the same in every picture.
fn place(layout: &str) -> usize {
    let all = entries::<X86_64>();
    all.iter().position(|entry| entry.id == layout).unwrap_or(all.len())
}

fn prepare<'a>(
    svg: &'a mut String,
    ground: Ground,
) -> Result<DrawingArea<SVGBackend<'a>, plotters::coord::Shift>, PlotError> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    if ground == Ground::White {
        area.fill(&WHITE)?;
    }
    Ok(area)
}

/// The SVG element, scaling with its surroundings.
fn scaling(svg: String) -> String {
    let fixed = format!("<svg width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1);
    svg.replacen(&fixed, "<svg role=\"img\"", 1)
}

/// Is a lookup in the bars?
fn is_shown(group: &LookupGroup) -> bool {
    group.is_plain() && group.pattern == Pattern::Random
}

/// Bars of every lookup in random order, layouts side by side.
///
/// # Errors
/// The picture cannot be drawn.
pub fn lookups(summary: &Summary, sections: Sections, ground: Ground) -> Result<String, PlotError> {
    let groups: Vec<_> =
        summary.lookups.iter().filter(|line| line.sections == sections && is_shown(&line.group)).collect();
    let medians = groups.iter().flat_map(|line| &line.cells).filter_map(|cell| cell.median_ns);
    let top = medians.fold(0.0, f64::max).max(1.0) * 2.5;
    let mut svg = String::new();
    {
        let area = prepare(&mut svg, ground)?;
        let memory = if sections == Sections::Boot { "boot memory" } else { "hot-added memory" };
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("ns per lookup on {memory}, random order"), (FONT, 17))
            .margin(10)
            .x_label_area_size(30)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..groups.len().max(1) as f64, (FLOOR..top).log_scale())?;
        let names = |x: &f64| groups.get(x.floor() as usize).map_or_else(String::new, |line| line.group.op.to_string());
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .x_labels(0)
            .y_desc("ns per operation (logarithmic)")
            .y_labels(6)
            .y_label_formatter(&|y| three_digits(*y))
            .axis_desc_style((FONT, 14))
            .label_style((FONT, 14))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let has_bar = |layout: &&String| {
            let cells = groups.iter().flat_map(|line| &line.cells);
            cells.filter(|cell| cell.layout == **layout).any(|cell| cell.median_ns.is_some())
        };
        let shown: Vec<&String> = summary.layouts.iter().filter(has_bar).collect();
        let width = 0.84 / shown.len().max(1) as f64;
        let bar_pixels = chart.plotting_area().dim_in_pixel().0 as f64 / groups.len().max(1) as f64 * width;
        for (at, &layout) in shown.iter().enumerate() {
            let bars = groups.iter().enumerate().filter_map(|(group, line)| {
                let ns = line.cells.iter().find(|cell| cell.layout == *layout)?.median_ns?;
                Some((group as f64 + 0.08 + at as f64 * width, ns))
            });
            let bars: Vec<_> = bars.collect();
            let fill = colour(place(layout)).filled();
            let rectangles =
                bars.iter().map(|&(x, ns)| Rectangle::new([(x, FLOOR), (x + width * 0.92, ns.max(FLOOR))], fill));
            chart
                .draw_series(rectangles)?
                .label(layout)
                .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], fill));
            // As wide as its bar: four digits of about 0.6 of their height.
            let size = (bar_pixels / (4.0 * 0.6)).clamp(7.0, 13.0);
            let style = (FONT, size).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
            chart.draw_series(bars.iter().map(|&(x, ns)| {
                Text::new(three_digits(ns), (x + width * 0.46, ns.max(FLOOR) * 1.04), style.clone())
            }))?;
        }
        let style = (FONT, 14).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        let plot = chart.plotting_area();
        for group in 0..groups.len() {
            let centre = plot.map_coordinate(&(group as f64 + 0.5, FLOOR));
            area.draw(&Text::new(names(&(group as f64)), (centre.0, centre.1 + 8), style.clone()))?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft, ground)?;
        area.present()?;
    }
    Ok(scaling(svg))
}

/// Median latency against size, with a line up to the highest percentile that has samples enough.
///
/// # Errors
/// The picture cannot be drawn.
pub fn hotplug(summary: &Summary, op: &str, ground: Ground) -> Result<String, PlotError> {
    let lines: Vec<_> = summary.hotplug.iter().filter(|line| line.op == op && line.group.is_plain()).collect();
    let all = || lines.iter().flat_map(|line| &line.cells).flat_map(known);
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(0.0, f64::max);
    let (low, high) = if low.is_finite() { (low / 2.0, high * 3.0) } else { (1.0, 10.0) };
    let sizes = lines.iter().map(|line| line.group.size_bytes as f64);
    let (first, last) = (sizes.clone().fold(f64::INFINITY, f64::min), sizes.fold(1.0, f64::max));
    let (first, last) = if first.is_finite() { (first / 1.7, last * 1.7) } else { (1.0, 10.0) };
    let mut svg = String::new();
    {
        let area = prepare(&mut svg, ground)?;
        let what = if op == "hot_add" { "hot-add" } else { "hot-remove" };
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("latency of {what} by size"), (FONT, 17))
            .margin(10)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(76)
            .build_cartesian_2d((first..last).log_scale(), (low..high).log_scale())?;
        let ticks: Vec<f64> = lines.iter().map(|line| line.group.size_bytes as f64).collect();
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .x_label_formatter(&|_| String::new())
            .set_tick_mark_size(LabelAreaPosition::Bottom, 0)
            .x_desc("memory added or removed at once")
            .y_desc("time for one operation")
            .y_labels(8)
            .y_label_formatter(&|y| time(*y))
            .axis_desc_style((FONT, 14))
            .label_style((FONT, 14))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (at, layout) in summary.layouts.iter().enumerate() {
            series(&mut chart, at, layout, &lines)?;
        }
        let style = (FONT, 13).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        let plot = chart.plotting_area();
        for size in ticks {
            let at = plot.map_coordinate(&(size, low));
            area.draw(&Text::new(Bytes(size as u64).to_string(), (at.0, at.1 + 6), style.clone()))?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft, ground)?;
        area.present()?;
    }
    Ok(scaling(svg))
}

type LogChart<'a> = ChartContext<
    'a,
    SVGBackend<'a>,
    Cartesian2d<plotters::coord::combinators::LogCoord<f64>, plotters::coord::combinators::LogCoord<f64>>,
>;

/// Percentiles that have a value, the extreme left out: one interrupt makes it, and it is in the table.
fn known(cell: &HotplugCell) -> impl Iterator<Item = f64> + '_ {
    cell.percentiles.iter().filter(|p| p.name != "max").filter_map(|p| p.ns)
}

fn series(
    chart: &mut LogChart<'_>,
    at: usize,
    layout: &str,
    lines: &[&crate::summary::HotplugLine],
) -> Result<(), PlotError> {
    // Side by side, or the layouts would hide each other.
    let shift = 1.0 + 0.07 * (at as f64 - 1.5);
    let points: Vec<(f64, f64, f64)> = lines
        .iter()
        .filter_map(|line| {
            let cell = line.cells.iter().find(|cell| cell.layout == layout)?;
            Some((line.group.size_bytes as f64 * shift, cell.ns("p50")?, known(cell).fold(0.0, f64::max)))
        })
        .collect();
    if points.is_empty() {
        return Ok(());
    }
    let place = place(layout);
    let stroke = colour(place).stroke_width(2);
    chart.draw_series(points.iter().map(|&(x, p50, high)| PathElement::new([(x, p50), (x, high)], stroke)))?;
    let path = points.iter().map(|&(x, p50, _)| (x, p50)).collect::<Vec<_>>();
    chart
        .draw_series(std::iter::once(DashedPathElement::new(path.clone(), 4, 3, colour(place).stroke_width(1))))?
        .label(layout)
        .legend(move |(x, y)| EmptyElement::at((x + 6, y)) + marker(place, (0, 0)));
    chart.draw_series(path.into_iter().map(|point| EmptyElement::at(point) + marker(place, (0, 0))))?;
    Ok(())
}

/// The marker of a layout: a shape of its own beside its colour.
fn marker(place: usize, at: (i32, i32)) -> Polygon<(i32, i32)> {
    let shape: &[(i32, i32)] = match place % 5 {
        0 => &[(-5, -5), (5, -5), (5, 5), (-5, 5)],
        1 => &[(0, -6), (6, 5), (-6, 5)],
        2 => &[(-2, -6), (2, -6), (6, -2), (6, 2), (2, 6), (-2, 6), (-6, 2), (-6, -2)],
        3 => &[(0, -7), (7, 0), (0, 7), (-7, 0)],
        _ => &[(0, 6), (6, -5), (-6, -5)],
    };
    let points = shape.iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect::<Vec<_>>();
    Polygon::new(points, colour(place).filled())
}

fn legend<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
    ground: Ground,
) -> Result<(), PlotError>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let ground = if ground == Ground::White { WHITE.mix(0.8) } else { TRANSPARENT };
    chart
        .configure_series_labels()
        .position(position)
        .label_font((FONT, 14))
        .background_style(ground)
        .border_style(TRANSPARENT)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_a_colour_of_its_own_whichever_run_it_is_in() {
        let of = |RGBColor(red, green, blue)| (red, green, blue);
        let mut colours: Vec<_> = entries::<X86_64>().iter().map(|entry| of(colour(place(entry.id)))).collect();
        let count = colours.len();
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(colours.len(), count);
        assert_eq!(place("subsection"), entries::<X86_64>().iter().position(|e| e.id == "subsection").unwrap());
    }
}
