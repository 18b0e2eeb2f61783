//! Text in a picture: its font, size, position and width.

use super::{Area, DrawError};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) const FONT: &str = "sans-serif";

/// Size of labels; the backend takes 1.24 of them for one unit of the picture.
pub const LABEL: f64 = 15.0;

/// Width of a letter, in the picture's units, over the size of a label, in the fonts that stand for sans-serif.
pub(super) const LETTER: f64 = 0.5;

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
pub(super) fn printable(text: &str) -> String {
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
