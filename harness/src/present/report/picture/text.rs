//! Text in a picture: its font, size, position and width.

use super::{Area, DrawError, PANEL};
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

/// A label beside a curve.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Vertical position of the end of the curve.
    pub y: i32,
    /// The label.
    pub text: String,
}

/// Distance between labels beside curves.
const APART: i32 = 14;

/// Moves labels apart so that none overlap, all between `top` and `bottom` if they fit. Returns their vertical
/// positions in the order of the labels.
fn apart(labels: &[Beside], (top, bottom): (i32, i32)) -> Vec<i32> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|nr| labels[*nr].y);
    let mut places = vec![0; labels.len()];
    let mut free = top;
    for nr in &order {
        places[*nr] = labels[*nr].y.max(free);
        free = places[*nr] + APART;
    }
    // What was pushed beyond the bottom pushes back.
    let mut free = bottom;
    for nr in order.iter().rev() {
        places[*nr] = places[*nr].min(free);
        free = places[*nr] - APART;
    }
    places
}

/// Writes labels at the right of the ends of curves at `x`, between `top` and `bottom`, and a thin line from each curve
/// to a label that had to move.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn beside(area: &Area<'_>, labels: &[Beside], x: i32, (top, bottom): (i32, i32)) -> Result<(), DrawError> {
    let (left, up) = area.get_base_pixel();
    for (label, y) in labels.iter().zip(apart(labels, (top, bottom))) {
        let line = [(x + 7 - left, label.y - up), (x + 16 - left, y - up)];
        area.draw(&PathElement::new(line, BLACK.mix(0.4).stroke_width(1)))?;
        let name = fitting(&label.text, PANEL as i32 - x - 19, LABEL - 2.0);
        text(area, &name, (x + 19, y), LABEL - 2.0, Hang::Right)?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_beside_curves_do_not_overlap() {
        let labels = |ys: &[i32]| ys.iter().map(|y| Beside { y: *y, text: String::new() }).collect::<Vec<_>>();
        assert_eq!(apart(&labels(&[50, 10]), (0, 100)), [50, 10]);
        assert_eq!(apart(&labels(&[50, 52, 51]), (0, 100)), [50, 78, 64]);
        assert_eq!(apart(&labels(&[95, 97]), (0, 100)), [86, 100]);
        assert!(apart(&labels(&[0; 20]), (0, 100)).windows(2).all(|pair| pair[1] - pair[0] >= APART));
    }
}
