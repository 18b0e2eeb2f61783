//! Title and legend of a picture.

use super::look::Look;
use super::text::{Hang, LABEL, fitting, text, text_width};
use super::{Area, DrawError, WIDTH};
use plotters::element::DashedPathElement;
use plotters::prelude::*;

/// The symbol of a legend entry.
#[derive(Clone, Debug)]
pub enum Key {
    /// The marker of a layout.
    Layout(Look),
    /// A filled square.
    Block(RGBColor),
    /// A dashed line.
    Dashes,
    /// A grey band in the background.
    Band,
}

/// Fill of a background band.
pub fn band() -> ShapeStyle {
    BLACK.mix(0.15).filled()
}

/// Draws the title and a legend that wraps to several rows. Returns the remaining area below.
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
