//! Pictures as SVG: a canvas, and marks that show their value when pointed at.

mod axis;
mod chart;
mod legend;
mod look;
mod text;

pub use axis::{Axis, plain};
pub use chart::{Chart, Labels, at, bar, bars, chart, place_of_bar, rows};
pub use legend::{Key, band, head};
pub use look::{Look, colour};
pub use text::{Hang, LABEL, fitting, text, text_width};

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

/// Width of every picture in SVG user units. A page scales it to the available width.
pub const WIDTH: u32 = 720;

/// The canvas on which a picture is drawn, or a part of it.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A picture as SVG, with black lines and text on a transparent background.
#[derive(Clone, Debug)]
pub struct Svg(String);

impl Svg {
    /// The SVG for a page, whose style sheet colours lines and text for its light or dark theme.
    pub fn for_page(&self) -> &str {
        &self.0
    }

    /// The SVG for a file, with a white background so that it is readable in any viewer.
    pub fn for_file(&self) -> String {
        let Some((start, rest)) = self.0.split_once('>') else { return self.0.clone() };
        format!("{start}>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{rest}")
    }
}

/// An area of a picture that shows its value when the pointer is over it. Coordinates are in SVG user units.
#[derive(Debug)]
enum Mark {
    Point { x: i32, y: i32, title: String },
    Block { x: i32, y: i32, width: i32, height: i32, title: String },
}

/// The areas of a picture that show a value, in the order in which they were drawn.
#[derive(Debug, Default)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Adds a circle around a point. `title` is the text that is shown.
    pub fn point(&mut self, (x, y): (i32, i32), title: String) {
        self.0.push(Mark::Point { x, y, title: printable(&title) });
    }

    /// Adds a rectangle with two opposite corners. `title` is the text that is shown.
    pub fn block(&mut self, a: (i32, i32), b: (i32, i32), title: String) {
        let (x, y) = (a.0.min(b.0), a.1.min(b.1));
        // A bar without height needs an area that the pointer can hit.
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

/// Draws a picture of [`WIDTH`] by `height` units. `label` is its accessible name, for screen readers.
///
/// # Errors
/// Fails if `draw` fails.
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
    // Without a fixed size, the picture scales with its container.
    let fixed = format!("<svg width=\"{WIDTH}\" height=\"{height}\"");
    let opening = Opening { label: &printable(label), font: FONT }.render()?;
    let svg = shortened(&svg).replacen(&fixed, &opening, 1);
    let body = svg.trim_end().trim_end_matches("</svg>");
    Ok(Svg(format!("{body}{}", Hits { marks: &marks.0 }.render()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text_not_markup() {
        let svg = picture("<b>\"&", 100, |area, marks| {
            text(area, "<script>\u{1}", (10, 10), LABEL, Hang::Right)?;
            marks.point((5, 5), "<i>&\"".to_owned());
            Ok(())
        });
        let svg = svg.unwrap().for_file();
        assert!(!svg.contains('\u{1}'), "control characters are invalid in XML");
        assert!(!svg.contains("<b>") && !svg.contains("<script>") && !svg.contains("<i>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;") && svg.starts_with("<svg role=\"img\"") && svg.ends_with("</svg>"));
        assert_eq!(svg.matches("<svg").count(), 1);
    }
}
