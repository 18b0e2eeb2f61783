//! Pictures as SVG: panels with marks that show their value when pointed at, and their legend.

mod axis;
mod chart;
mod drawing;
mod legend;
mod look;
mod pdf;
mod text;

pub use axis::{Axis, plain, room_for_names};
pub use chart::{Chart, CurvePoint, Labels, at, bar, chart, curve, most_letters, place_of_bar, rows};
pub use drawing::{Drawing, FileWords};
pub use legend::{Entry, Key, band};
pub use look::{Look, colour};
pub use pdf::{PdfError, pdf};
pub use text::{Beside, Hang, LABEL, beside, fitting, text, text_width};

use askama::Template;
use plotters::coord::Shift;
use plotters::prelude::*;
use text::{FONT, printable};
use thiserror::Error;

/// The reason why a picture, a table of data or a page cannot be generated.
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

/// Width of a panel in SVG user units: legible on a phone without scaling, and two fit side by side in a column of text.
pub const PANEL: u32 = 360;

/// The canvas on which a picture is drawn, or a part of it.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel as SVG, with black lines and text on a transparent background, whose style sheet colours them for the light
/// or dark theme of a page.
#[derive(Clone, Debug)]
pub struct Svg {
    text: String,
    width: u32,
    height: u32,
    has_whiskers: bool,
}

impl Svg {
    /// The SVG.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if an interval is drawn.
    pub fn has_whiskers(&self) -> bool {
        self.has_whiskers
    }
}

/// An area of a picture that shows its value when the pointer is over it. Coordinates are in SVG user units.
#[derive(Debug)]
enum Mark {
    Point { x: i32, y: i32, title: String },
    Block { x: i32, y: i32, width: i32, height: i32, title: String },
}

/// An interval that is drawn as a line between two points.
#[derive(Debug)]
struct Whisker {
    from: (i32, i32),
    to: (i32, i32),
    colour: String,
}

/// The intervals of a picture, and its areas that show a value, in the order in which they were drawn.
#[derive(Debug, Default)]
pub struct Marks {
    whiskers: Vec<Whisker>,
    marks: Vec<Mark>,
}

impl Marks {
    /// Draws an interval as a line, with the class `whisker`.
    pub fn whisker(&mut self, from: (i32, i32), to: (i32, i32), RGBColor(red, green, blue): RGBColor) {
        // In capitals, as the backend writes colours.
        let colour = format!("#{red:02X}{green:02X}{blue:02X}");
        self.whiskers.push(Whisker { from, to, colour });
    }

    /// Adds a circle around a point. `title` is the text that is shown.
    pub fn point(&mut self, (x, y): (i32, i32), title: String) {
        self.marks.push(Mark::Point { x, y, title: printable(&title) });
    }

    /// Adds a rectangle with two opposite corners. `title` is the text that is shown.
    pub fn block(&mut self, a: (i32, i32), b: (i32, i32), title: String) {
        let (x, y) = (a.0.min(b.0), a.1.min(b.1));
        // A bar without height needs an area that the pointer can hit.
        let (width, height) = ((a.0 - b.0).abs().max(3), (a.1 - b.1).abs().max(3));
        self.marks.push(Mark::Block { x, y, width, height, title: printable(&title) });
    }
}

#[derive(Template)]
#[template(
    ext = "svg",
    escape = "html",
    source = r##"<g class="whiskers" fill="none" stroke-width="2">
{%- for whisker in whiskers %}
<line class="whisker" x1="{{ whisker.from.0 }}" y1="{{ whisker.from.1 }}" x2="{{ whisker.to.0 }}" y2="{{ whisker.to.1 }}" stroke="{{ whisker.colour }}"/>
{%- endfor %}
</g>
<g class="hits" fill="#000" fill-opacity="0" stroke="none">
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
    whiskers: &'a [Whisker],
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

/// Removes redundant attributes that the backend writes on every element: the default opacity, the font that the root
/// element sets, and decimals of font sizes beyond the first.
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

/// Draws a panel of these SVG user units. `label` is its accessible name, for screen readers.
///
/// # Errors
/// Fails if `draw` fails.
pub fn picture(
    label: &str,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>, &mut Marks) -> Result<(), DrawError>,
) -> Result<Svg, DrawError> {
    let (mut svg, mut marks) = (String::new(), Marks::default());
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        draw(&area, &mut marks)?;
        area.present()?;
    }
    // Without a fixed size, the picture scales with its container.
    let fixed = format!("<svg width=\"{width}\" height=\"{height}\"");
    let opening = Opening { label: &printable(label), font: FONT }.render()?;
    let svg = shortened(&svg).replacen(&fixed, &opening, 1);
    let body = svg.trim_end().trim_end_matches("</svg>");
    let hits = Hits { whiskers: &marks.whiskers, marks: &marks.marks }.render()?;
    Ok(Svg { text: format!("{body}{hits}"), width, height, has_whiskers: !marks.whiskers.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_not_markup() {
        let svg = picture("<b>\"&", (100, 100), |area, marks| {
            text(area, "<script>\u{1}", (10, 10), LABEL, Hang::Right)?;
            marks.point((5, 5), "<i>&\"".to_owned());
            marks.whisker((1, 1), (2, 2), BLACK);
            Ok(())
        });
        let svg = svg.unwrap().text;
        assert!(!svg.contains('\u{1}'), "control characters are invalid in XML");
        assert!(!svg.contains("<b>") && !svg.contains("<script>") && !svg.contains("<i>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && svg.starts_with("<svg role=\"img\"") && svg.ends_with("</svg>"));
        assert!(svg.contains("class=\"whisker\"") && svg.contains("stroke=\"#000000\""), "{svg}");
        assert_eq!(svg.matches("<svg").count(), 1);
    }
}
