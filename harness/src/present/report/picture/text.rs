//! Text in a picture: its font, size, position and width.

use super::{Area, DrawError};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) const FONT: &str = "sans-serif";

/// Font size of labels. The backend divides sizes by 1.24 to get SVG user units.
pub const LABEL: f64 = 15.0;

/// Estimated width of a letter in SVG user units as a fraction of the font size, for common sans-serif fonts.
pub(super) const LETTER: f64 = 0.5;

/// Position of text relative to its anchor point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hang {
    /// To the right of the point, vertically centred.
    Right,
    /// To the left of the point, vertically centred.
    Left,
    /// Below the point, horizontally centred.
    Below,
    /// Above the point, horizontally centred.
    Above,
}

/// Draws text at a point of the picture.
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
    // `at` is relative to the picture, but drawing is relative to the area.
    let (left, top) = area.get_base_pixel();
    Ok(area.draw(&Text::new(text, (at.0 - left, at.1 - top), style))?)
}

/// Replaces control characters, which are invalid in XML.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter }).collect()
}

/// Estimated width of text in SVG user units, rounded up.
pub fn text_width(text: &str, size: f64) -> i32 {
    (text.chars().count() as f64 * size * LETTER).ceil() as i32
}

/// Shortens text to an estimated width in SVG user units, with an ellipsis at the end.
pub fn fitting(text: &str, width: i32, size: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let letters = (f64::from(width) / (size * LETTER)).floor() as usize;
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}
