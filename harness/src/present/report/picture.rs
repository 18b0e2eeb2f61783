//! What all pictures share: a canvas of SVG, axes, the legend, a colour and a marker for each layout, and marks that tell their
//! value when pointed at. The colours are Okabe and Ito's, which colour-blind readers can tell apart.

use crate::case::layouts;
use askama::Template;
use memmap_layouts::X86_64;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::ops::Range;
use thiserror::Error;

/// A picture or page that could not be made.
#[derive(Debug, Error)]
#[error("cannot draw: {0}")]
pub struct DrawError(String);

impl From<askama::Error> for DrawError {
    fn from(error: askama::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<csv::Error> for DrawError {
    fn from(error: csv::Error) -> Self {
        Self(error.to_string())
    }
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for DrawError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}

/// Width of every picture, in its own units; it is shown as wide as there is room.
pub const WIDTH: u32 = 720;

const FONT: &str = "sans-serif";

/// Size of labels; the backend takes 1.24 of them for one unit of the picture.
pub const LABEL: f64 = 15.0;

/// Width of a letter, in the picture's units, over the size of a label, in the fonts that stand for sans-serif.
const LETTER: f64 = 0.5;

/// The picture's ground while it is drawn.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart of two axes.
pub type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// A picture as SVG: transparent, with lines and letters in black.
#[derive(Clone, Debug)]
pub struct Svg(String);

impl Svg {
    /// For a page, which is light or dark and colours lines and letters itself.
    pub fn for_page(&self) -> &str {
        &self.0
    }

    /// For a file that is shown anywhere: on a white ground of its own.
    pub fn for_file(&self) -> String {
        let Some((start, rest)) = self.0.split_once('>') else { return self.0.clone() };
        format!("{start}>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{rest}")
    }
}

/// What tells its value when pointed at: circle or rectangle, in the picture's units.
#[derive(Debug)]
enum Mark {
    Point { x: i32, y: i32, title: String },
    Block { x: i32, y: i32, width: i32, height: i32, title: String },
}

/// The marks of a picture.
#[derive(Debug, Default)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Marks a point.
    pub fn point(&mut self, (x, y): (i32, i32), title: String) {
        self.0.push(Mark::Point { x, y, title: printable(&title) });
    }

    /// Marks a rectangle by two corners.
    pub fn block(&mut self, a: (i32, i32), b: (i32, i32), title: String) {
        let (x, y) = (a.0.min(b.0), a.1.min(b.1));
        // A block of no height can still be pointed at.
        let (width, height) = ((a.0 - b.0).abs().max(3), (a.1 - b.1).abs().max(3));
        self.0.push(Mark::Block { x, y, width, height, title: printable(&title) });
    }
}

#[derive(Template)]
#[template(
    ext = "svg",
    escape = "html",
    source = r##"<g class="hits" fill="#000" fill-opacity="0" stroke="none">
{%- for mark in marks %}
{%- match mark %}
{%- when Mark::Point { x, y, title } %}
<circle cx="{{ x }}" cy="{{ y }}" r="9"><title>{{ title }}</title></circle>
{%- when Mark::Block { x, y, width, height, title } %}
<rect x="{{ x }}" y="{{ y }}" width="{{ width }}" height="{{ height }}"><title>{{ title }}</title></rect>
{%- endmatch %}
{%- endfor %}
</g>
</svg>"##
)]
struct Hits<'a> {
    marks: &'a [Mark],
}

#[derive(Template)]
#[template(
    ext = "svg",
    escape = "html",
    source = r#"<svg role="img" aria-label="{{ label }}" font-family="{{ font }}""#
)]
struct Opening<'a> {
    label: &'a str,
    font: &'a str,
}

/// Without what the backend writes at every element: the value that is the default, the font that the picture names once, and
/// more digits of a size than can be seen.
fn shortened(svg: &str) -> String {
    const SIZE: &str = "font-size=\"";
    let font = format!(" font-family=\"{FONT}\"");
    let plain = svg.replace(" opacity=\"1\"", "").replace(&font, "");
    let mut pieces = plain.split(SIZE);
    let mut short = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (size, rest) = piece.split_once('"').unwrap_or((piece, ""));
        match size.parse::<f64>() {
            Ok(points) => short.push_str(&format!("{SIZE}{points:.1}\"{rest}")),
            Err(_) => short.extend([SIZE, piece]),
        }
    }
    short
}

/// Draws a picture of a height; `label` says what it is to those who do not see it.
///
/// # Errors
/// What `draw` says.
pub fn picture(
    label: &str,
    height: u32,
    draw: impl FnOnce(&Area<'_>, &mut Marks) -> Result<(), DrawError>,
) -> Result<Svg, DrawError> {
    let (mut svg, mut marks) = (String::new(), Marks::default());
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&area, &mut marks)?;
        area.present()?;
    }
    // It scales with its surroundings.
    let fixed = format!("<svg width=\"{WIDTH}\" height=\"{height}\"");
    let opening = Opening { label: &printable(label), font: FONT }.render()?;
    let svg = shortened(&svg).replacen(&fixed, &opening, 1);
    let body = svg.trim_end().trim_end_matches("</svg>");
    Ok(Svg(format!("{body}{}", Hits { marks: &marks.0 }.render()?)))
}

/// An axis: from, to, linear or logarithmic, and where its ticks are.
#[derive(Clone, Debug)]
pub struct Axis {
    range: Range<f64>,
    is_log: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// From zero to a little more than `top`.
    pub fn from_zero(top: f64) -> Self {
        // Far above anything that was measured a step would be no number.
        let top = if top > 0.0 && top < 1e100 { top } else { 1.0 };
        let rough = top / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let end = (top * 1.04 / step).ceil() * step;
        let ticks = (0..=(end / step).round() as u32).map(|nr| f64::from(nr) * step).collect();
        Self { range: 0.0..end, is_log: false, ticks }
    }

    /// Logarithmic, with room around the values.
    pub fn log(values: impl Iterator<Item = f64>, low_room: f64, high_room: f64) -> Self {
        let values: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        let (low, high) = if low.is_finite() { (low / low_room, high * high_room) } else { (1.0, 10.0) };
        Self { ticks: decimal_ticks(low, high), range: low..high, is_log: true }
    }

    /// Linear, with room around two values and three ticks.
    pub fn between(low: f64, high: f64) -> Self {
        let room = ((high - low) * 0.2).max(high.abs() * 0.01).max(f64::MIN_POSITIVE);
        let range = low - room..high + room;
        let ticks = [0.15, 0.5, 0.85].map(|share| range.start + share * (range.end - range.start));
        Self { ticks: ticks.into(), range, is_log: false }
    }

    /// The same with ticks at powers of two, at most five of them.
    pub fn with_binary_ticks(self) -> Self {
        let powers = |every: usize| -> Vec<f64> {
            let powers = (-60..=60).step_by(every).map(|power| 2f64.powi(power));
            powers.filter(|tick| self.holds(*tick)).collect()
        };
        let ticks = (1..=30).map(powers).find(|ticks| ticks.len() <= 5).unwrap_or_default();
        Self { ticks, ..self }
    }

    /// The same with half of the ticks, for where there is little room.
    pub fn with_every_other_tick(self) -> Self {
        Self { ticks: self.ticks.iter().step_by(2).copied().collect(), ..self }
    }

    /// The same with ticks of its own.
    pub fn with_ticks(self, ticks: Vec<f64>) -> Self {
        Self { ticks, ..self }
    }

    /// Places 0, 1, … side by side, each one wide.
    pub fn places(nr: usize) -> Self {
        Self { range: 0.0..nr.max(1) as f64, is_log: false, ticks: Vec::new() }
    }

    /// Where it begins.
    pub fn low(&self) -> f64 {
        self.range.start
    }

    /// Where it ends.
    pub fn high(&self) -> f64 {
        self.range.end
    }

    /// Is a value on it?
    pub fn holds(&self, value: f64) -> bool {
        (self.range.start..=self.range.end).contains(&value)
    }
}

/// Round numbers between two values, as many as there are up to eight.
fn decimal_ticks(low: f64, high: f64) -> Vec<f64> {
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let within = |(steps, every): &(&[f64], i32)| -> Vec<f64> {
        let decades = exponents.clone().filter(|exponent| exponent.rem_euclid(*every) == 0);
        let all = decades.flat_map(|exponent| steps.iter().map(move |step| step * 10f64.powi(exponent)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let choices: [(&[f64], i32); 6] = [
        (&[1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0], 1),
        (&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], 1),
        (&[1.0, 2.0, 5.0], 1),
        (&[1.0, 3.0], 1),
        (&[1.0], 1),
        (&[1.0], 3),
    ];
    choices.iter().map(within).find(|ticks| ticks.len() <= 8).unwrap_or_default()
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = match self.is_log {
            true => (value / self.range.start).ln() / (self.range.end / self.range.start).ln(),
            false => (value - self.range.start) / (self.range.end - self.range.start),
        };
        // Beyond the axis is drawn at its edge, and what is no number at its beginning.
        let share = if share.is_nan() { 0.0 } else { share.clamp(-0.01, 1.01) };
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// A number beside a tick, with no more digits than it needs.
pub fn plain(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

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

/// Where text hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// Its left end is at the point, half its height above.
    Right,
    /// Its right end is at the point.
    Left,
    /// Its middle is at the point, below it.
    Below,
    /// Its middle is at the point, above it.
    Above,
}

/// Writes text.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn text(area: &Area<'_>, text: &str, at: (i32, i32), size: f64, hang: Hang) -> Result<(), DrawError> {
    if text.is_empty() {
        return Ok(());
    }
    let (h, v) = match hang {
        Hang::Right => (HPos::Left, VPos::Center),
        Hang::Left => (HPos::Right, VPos::Center),
        Hang::Below => (HPos::Center, VPos::Top),
        Hang::Above => (HPos::Center, VPos::Bottom),
    };
    let style = (FONT, size).into_font().color(&BLACK).pos(Pos::new(h, v));
    let text = printable(text);
    // Positions of a text are of the whole picture.
    let (left, top) = area.get_base_pixel();
    Ok(area.draw(&Text::new(text, (at.0 - left, at.1 - top), style))?)
}

/// A text without what XML cannot hold.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// How wide a text is at most.
pub fn text_width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * LETTER).ceil() as i32
}

/// A text cut so that it is no wider, with an ellipsis where something is missing.
pub fn fitting(text: &str, width: i32, size: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let letters = (f64::from(width) / (size * LETTER)).floor() as usize;
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

/// An entry of a legend.
#[derive(Clone, Debug)]
pub enum Key {
    /// A layout's marker.
    Layout(Look),
    /// A block of a colour.
    Block(RGBColor),
    /// A dashed line.
    Dashes,
    /// A band behind what is drawn.
    Band,
}

/// Colour of a band.
pub fn band() -> ShapeStyle {
    BLACK.mix(0.15).filled()
}

/// Writes title and legend, and gives what is left below.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn head<'a>(area: &Area<'a>, title: &str, legend: &[(Key, String)]) -> Result<Area<'a>, DrawError> {
    text(area, title, (10, 14), 20.0, Hang::Right)?;
    let (left, right) = (12, WIDTH as i32 - 10);
    let (mut x, mut y) = (left, 38);
    for (key, name) in legend {
        let name = fitting(name, right - left - 24, LABEL);
        let width = 20 + text_width(&name, LABEL) + 10;
        if x + width > right && x > left {
            (x, y) = (left, y + 20);
        }
        match key {
            Key::Layout(look) => area.draw(&look.marker((x + 6, y)))?,
            Key::Block(colour) => {
                area.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour.filled()))?;
            }
            Key::Dashes => {
                let line = [(x, y), (x + 14, y)];
                area.draw(&DashedPathElement::new(line, 4, 3, BLACK.mix(0.6).stroke_width(1)))?;
            }
            Key::Band => area.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], band()))?,
        }
        text(area, &name, (x + 20, y), LABEL, Hang::Right)?;
        x += width;
    }
    let below = if legend.is_empty() { 28 } else { y + 14 };
    Ok(area.split_vertically(below).1)
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

/// Colours of what is no layout, told apart from those and from each other: Paul Tol's light ones.
const OTHERS: [RGBColor; 9] = [
    RGBColor(0xdd, 0xdd, 0xdd),
    RGBColor(0x77, 0xaa, 0xdd),
    RGBColor(0xee, 0x88, 0x66),
    RGBColor(0xee, 0xdd, 0x88),
    RGBColor(0xff, 0xaa, 0xbb),
    RGBColor(0x99, 0xdd, 0xff),
    RGBColor(0x44, 0xbb, 0x99),
    RGBColor(0xbb, 0xcc, 0x33),
    RGBColor(0xaa, 0xaa, 0x00),
];

/// A colour by number, for what is no layout; the first is grey.
pub fn colour(nr: usize) -> RGBColor {
    OTHERS[nr % OTHERS.len()]
}

/// Colour and marker of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look(usize);

impl Look {
    /// By its place in the one list, whichever layouts a run has, so that it looks the same in every picture. A layout that is
    /// not in the list comes after those that are, `others` being all such.
    pub fn new(layout: &str, others: &[String]) -> Self {
        let known: Vec<&str> = layouts::<X86_64>().iter().map(|entry| entry.id).collect();
        let place = known.iter().position(|id| *id == layout);
        let unknown = others.iter().filter(|other| !known.contains(&other.as_str()));
        Self(place.unwrap_or_else(|| known.len() + unknown.take_while(|other| *other != layout).count()))
    }

    /// The colour.
    pub fn colour(self) -> RGBColor {
        COLOURS[self.0 % COLOURS.len()]
    }

    /// As a page writes it.
    pub fn css(self) -> String {
        let RGBColor(red, green, blue) = self.colour();
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// The corners of the marker around its place.
    fn shape(self) -> &'static [(i32, i32)] {
        match (self.0 + self.0 / COLOURS.len()) % 8 {
            0 => &[(-5, -5), (5, -5), (5, 5), (-5, 5)],
            1 => &[(0, -6), (6, 5), (-6, 5)],
            2 => &[(-2, -6), (2, -6), (6, -2), (6, 2), (2, 6), (-2, 6), (-6, 2), (-6, -2)],
            3 => &[(0, -7), (7, 0), (0, 7), (-7, 0)],
            4 => &[(0, 6), (6, -5), (-6, -5)],
            5 => &[
                (-2, -6),
                (2, -6),
                (2, -2),
                (6, -2),
                (6, 2),
                (2, 2),
                (2, 6),
                (-2, 6),
                (-2, 2),
                (-6, 2),
                (-6, -2),
                (-2, -2),
            ],
            6 => &[(-5, -6), (5, -6), (-5, 6), (5, 6)],
            _ => &[(-7, -3), (7, -3), (7, 3), (-7, 3)],
        }
    }

    /// The marker: a shape of its own beside its colour. Sixty-four layouts have different pairs of both.
    pub fn marker(self, at: (i32, i32)) -> Polygon<(i32, i32)> {
        let points: Vec<(i32, i32)> = self.shape().iter().map(|(x, y)| (at.0 + x, at.1 + y)).collect();
        Polygon::new(points, self.colour().filled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_has_a_colour_of_its_own_whichever_run_it_is_in() {
        let names: Vec<String> = layouts::<X86_64>().iter().map(|entry| entry.id.to_owned()).collect();
        let mut colours: Vec<String> = names.iter().map(|name| Look::new(name, &[]).css()).collect();
        colours.sort_unstable();
        colours.dedup();
        assert_eq!(colours.len(), names.len());
        assert_eq!(Look::new("subsection", &[]), Look::new("subsection", &["zzz".into(), "subsection".into()]));
        let others = ["subsection".to_owned(), "mine".to_owned(), "theirs".to_owned()];
        assert_ne!(Look::new("mine", &others), Look::new("theirs", &others));
        let pair = |nr: usize| (Look(nr).css(), Look(nr).shape());
        let mut pairs: Vec<_> = (0..64).map(pair).collect();
        pairs.sort();
        pairs.dedup();
        assert_eq!(pairs.len(), 64);
    }

    #[test]
    fn names_are_text_not_markup() {
        let svg = picture("<b>\"&", 100, |area, marks| {
            text(area, "<script>\u{1}", (10, 10), LABEL, Hang::Right)?;
            marks.point((5, 5), "<i>&\"".to_owned());
            Ok(())
        });
        let svg = svg.unwrap().for_file();
        assert!(!svg.contains('\u{1}'), "XML cannot hold it");
        assert!(!svg.contains("<b>") && !svg.contains("<script>") && !svg.contains("<i>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && svg.starts_with("<svg role=\"img\"") && svg.ends_with("</svg>"));
        assert_eq!(svg.matches("<svg").count(), 1);
    }

    #[test]
    fn axes_have_a_few_ticks_within_them() {
        for (low, high) in [(0.3, 3.0), (1.0, 1e9), (5.0, 6.0), (0.01, 0.012)] {
            let axis = Axis::log([low, high].into_iter(), 1.5, 1.5);
            assert!(axis.ticks.len() <= 8, "{low} {high}: {:?}", axis.ticks);
            assert!(axis.ticks.iter().all(|tick| axis.holds(*tick)));
        }
        for top in [0.0, 0.7, 1.0, 123.0, 9.99e8, f64::NAN] {
            let axis = Axis::from_zero(top);
            assert!((3..=8).contains(&axis.ticks.len()) && axis.range.end >= top.max(0.0), "{top}: {axis:?}");
        }
    }
}
