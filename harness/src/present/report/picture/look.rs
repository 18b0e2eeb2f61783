//! A colour and a marker for each layout, and colours for other series. The colours of layouts are
//! those of Okabe and Ito, which colour-blind readers can distinguish, and more that differ from them in brightness.

use crate::case::layouts;
use memmap_layouts::X86_64;
use plotters::prelude::*;

/// Colours of layouts, in the order of the list of layouts.
const COLOURS: [RGBColor; 13] = [
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0x6a, 0x5a, 0xcd),
    RGBColor(0x8b, 0xc3, 0x4a),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xb8, 0xa8, 0x00),
    RGBColor(0x8d, 0x5a, 0x2b),
    RGBColor(0x17, 0xae, 0xbf),
];

/// Colours of series that are not layouts: Paul Tol's light scheme, distinct from [`COLOURS`].
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

/// A colour by number, for series that are not layouts. Number 0 is grey.
pub fn colour(nr: usize) -> RGBColor {
    OTHERS[nr % OTHERS.len()]
}

/// Colour and marker of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look(usize);

impl Look {
    /// The look of a layout, by its position in the list of built-in layouts, so that it is the same in every picture.
    /// Layouts outside the list follow in the order of `others`; built-in layouts in `others` are ignored.
    pub fn new(layout: &str, others: &[String]) -> Self {
        let known: Vec<&str> = layouts::<X86_64>().iter().map(|entry| entry.id).collect();
        let place = known.iter().position(|id| *id == layout);
        let unknown = others.iter().filter(|other| !known.contains(&other.as_str()));
        Self(place.unwrap_or_else(|| known.len() + unknown.take_while(|other| *other != layout).count()))
    }

    /// Colour of the layout.
    pub fn colour(self) -> RGBColor {
        COLOURS[self.0 % COLOURS.len()]
    }

    /// The colour in CSS notation, e.g. `#e69f00`.
    pub fn css(self) -> String {
        let RGBColor(red, green, blue) = self.colour();
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    /// Corners of the marker relative to its centre.
    fn shape(self) -> &'static [(i32, i32)] {
        match (self.0 % COLOURS.len() + 3 * (self.0 / COLOURS.len())) % 8 {
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

    /// The marker of the layout. 64 layouts have distinct pairs of shape and colour.
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
}
