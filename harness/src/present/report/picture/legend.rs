//! The legend of a picture.

use super::look::Look;
use super::text::{Hang, LABEL, fitting, text, text_width};
use super::{Area, DrawError, picture};
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

/// Side of the square that holds a symbol.
const SYMBOL: i32 = 16;

/// Distance between lines of a legend.
const LINE: i32 = 20;

/// An entry of a legend.
#[derive(Clone, Debug)]
pub struct Entry {
    key: Key,
    /// What the symbol means.
    pub name: String,
    symbol: String,
}

impl Entry {
    /// Makes an entry.
    ///
    /// # Errors
    /// Fails if the symbol cannot be drawn.
    pub fn new(key: Key, name: String) -> Result<Self, DrawError> {
        let side = SYMBOL as u32;
        let symbol = picture("", (side, side), |area, _| draw(area, &key, (2, SYMBOL / 2)))?;
        // The name says what the picture shows.
        let symbol = symbol.as_str().replacen("role=\"img\" aria-label=\"\"", "aria-hidden=\"true\" class=\"key\"", 1);
        Ok(Self { key, name, symbol })
    }

    /// The symbol as SVG, for a page.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }
}

/// Draws a symbol to the right of a point.
fn draw(area: &Area<'_>, key: &Key, (x, y): (i32, i32)) -> Result<(), DrawError> {
    match key {
        Key::Layout(look) => area.draw(&look.marker((x + 6, y)))?,
        Key::Block(colour) => area.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour.filled()))?,
        Key::Dashes => {
            area.draw(&DashedPathElement::new([(x, y), (x + 13, y)], 4, 3, BLACK.mix(0.6).stroke_width(1)))?;
        }
        Key::Band => area.draw(&Rectangle::new([(x, y - 6), (x + 12, y + 6)], band()))?,
    }
    Ok(())
}

/// Draws the entries from left to right below `top`, in as many lines as the width needs. Returns the end.
///
/// # Errors
/// Fails if an entry cannot be drawn.
pub(super) fn lines(area: Option<&Area<'_>>, entries: &[Entry], (width, top): (i32, i32)) -> Result<i32, DrawError> {
    let (left, right) = (12, width - 10);
    let (mut x, mut y) = (left, top + LINE / 2);
    for entry in entries {
        let name = fitting(&entry.name, right - left - 24, LABEL);
        let needed = 20 + text_width(&name, LABEL) + 10;
        if x + needed > right && x > left {
            (x, y) = (left, y + LINE);
        }
        if let Some(area) = area {
            draw(area, &entry.key, (x, y))?;
            text(area, &name, (x + 20, y), LABEL, Hang::Right)?;
        }
        x += needed;
    }
    Ok(if entries.is_empty() { top } else { y + LINE / 2 })
}
