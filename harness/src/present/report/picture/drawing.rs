//! A drawing: a legend and panels. A page lays the panels out; a file holds them in two columns, with title, caption
//! and source.

use super::legend::{Entry, Key, lines};
use super::text::{Hang, LABEL, LETTER, fitting, text};
use super::{Area, DrawError, Marks, PANEL, Svg, picture};
use crate::present::bidi::without_controls;

/// Space between panels and around them.
const GAP: u32 = 8;

/// Height of the title of a panel.
const TITLE_HEIGHT: u32 = 24;

/// Font sizes of the title and of the caption of a file.
const TITLE: f64 = 20.0;
const CAPTION: f64 = 13.0;

/// Distances between lines of the title and of the caption.
const TITLE_LINE: i32 = 22;
const CAPTION_LINE: i32 = 15;

/// The words of a figure in a file.
#[derive(Clone, Debug)]
pub struct FileWords<'a> {
    /// Title of the figure.
    pub title: &'a str,
    /// Caption of the figure; empty if the text around the file has it.
    pub caption: &'a str,
    /// Which run and program the figure comes from.
    pub source: &'a str,
}

/// A legend and panels.
#[derive(Clone, Debug, Default)]
pub struct Drawing {
    legend: Vec<Entry>,
    panels: Vec<Svg>,
}

impl Drawing {
    /// Adds an entry to the legend.
    ///
    /// # Errors
    /// Fails if the symbol cannot be drawn.
    pub fn key(&mut self, key: Key, name: impl Into<String>) -> Result<(), DrawError> {
        self.legend.push(Entry::new(key, name.into())?);
        Ok(())
    }

    /// Adds a panel with a title, of [`PANEL`] by `height` SVG user units. `draw` gets the area below the title.
    ///
    /// # Errors
    /// Fails if `draw` fails.
    pub fn panel(
        &mut self,
        title: &str,
        height: u32,
        draw: impl FnOnce(&Area<'_>, &mut Marks) -> Result<(), DrawError>,
    ) -> Result<(), DrawError> {
        self.untitled_panel(title, height + TITLE_HEIGHT, |area, marks| {
            text(area, &fitting(title, PANEL as i32 - 20, LABEL), (10, 12), LABEL, Hang::Right)?;
            draw(&area.split_vertically(TITLE_HEIGHT).1, marks)
        })
    }

    /// Adds a panel without a title, with an accessible name for screen readers.
    ///
    /// # Errors
    /// Fails if `draw` fails.
    pub fn untitled_panel(
        &mut self,
        label: &str,
        height: u32,
        draw: impl FnOnce(&Area<'_>, &mut Marks) -> Result<(), DrawError>,
    ) -> Result<(), DrawError> {
        self.panels.push(picture(label, (PANEL, height), draw)?);
        Ok(())
    }

    /// The entries of the legend.
    pub fn legend(&self) -> &[Entry] {
        &self.legend
    }

    /// The panels, in the order of reading.
    pub fn panels(&self) -> &[Svg] {
        &self.panels
    }

    /// One SVG with a white background, so that it is readable in any viewer.
    ///
    /// # Errors
    /// Fails if the words cannot be drawn.
    pub fn for_file(&self, words: &FileWords<'_>) -> Result<String, DrawError> {
        let columns = self.panels.len().clamp(1, 2);
        // A single panel is enlarged, so that there is room for words.
        let panel_width = if columns == 1 { PANEL * 3 / 2 } else { PANEL };
        let width = columns as u32 * (panel_width + GAP) + GAP;
        let scaled = |panel: &Svg| panel.height * panel_width / panel.width;
        let rows: Vec<&[Svg]> = self.panels.chunks(columns).collect();
        let heights: Vec<u32> = rows.iter().map(|row| row.iter().map(scaled).max().unwrap_or(0)).collect();
        let wrapped = |words: &str, size: f64| -> Vec<String> {
            let letters = (f64::from(width - 20) / (size * LETTER)) as usize;
            textwrap::wrap(words, letters).into_iter().map(std::borrow::Cow::into_owned).collect()
        };
        let (title, caption, source) =
            (wrapped(words.title, TITLE), wrapped(words.caption, CAPTION), wrapped(words.source, CAPTION));
        let below_title = 8 + TITLE_LINE * title.len() as i32;
        let top = lines(None, &self.legend, (width as i32, below_title))? as u32 + GAP;
        let below = top + heights.iter().map(|height| height + GAP).sum::<u32>();
        let all = below as i32 + CAPTION_LINE * (caption.len() + source.len()) as i32 + 16;
        let frame = picture(words.title, (width, all as u32), |area, _| {
            for (nr, line) in title.iter().enumerate() {
                text(area, line, (10, 16 + TITLE_LINE * nr as i32), TITLE, Hang::Right)?;
            }
            lines(Some(area), &self.legend, (width as i32, below_title))?;
            for (nr, line) in caption.iter().chain(&source).enumerate() {
                let after = if nr >= caption.len() { 6 } else { 0 };
                let y = below as i32 + 6 + CAPTION_LINE * nr as i32 + after;
                text(area, line, (10, y), CAPTION, Hang::Right)?;
            }
            Ok(())
        })?;
        let mut file = String::new();
        let mut y = top;
        for (row, height) in rows.iter().zip(heights) {
            for (nr, panel) in row.iter().enumerate() {
                let x = GAP + nr as u32 * (panel_width + GAP);
                let (at, size) = (format!("x=\"{x}\" y=\"{y}\""), (panel_width, scaled(panel)));
                let opening = format!("<svg {at} width=\"{}\" height=\"{}\" ", size.0, size.1);
                file.push_str(&panel.as_str().replacen("<svg ", &opening, 1));
                file.push('\n');
            }
            y += height + GAP;
        }
        let opening = format!("<svg width=\"{width}\" height=\"{all}\" ");
        let frame = frame.as_str().replacen("<svg ", &opening, 1);
        let (start, rest) = frame.split_once('>').unwrap_or((&frame, ""));
        let body = rest.trim_end().trim_end_matches("</svg>");
        let file = format!("{start}>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>{body}{file}</svg>\n");
        Ok(without_controls(&file).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::report::picture::text::FONT;
    use plotters::prelude::BLACK;

    #[test]
    fn a_file_holds_legend_panels_caption_and_source() {
        let mut drawing = Drawing::default();
        drawing.key(Key::Block(BLACK), "<b>a block</b>").unwrap();
        for title in ["one", "two", "three"] {
            drawing.panel(title, 100, |area, _| text(area, "inside", (10, 60), LABEL, Hang::Right)).unwrap();
        }
        let words = FileWords { title: "<i>T", caption: &"word ".repeat(60), source: "Source: here" };
        let file = drawing.for_file(&words).unwrap();
        assert_eq!(file.matches("<svg").count(), 4);
        assert_eq!(file.matches("</svg>").count(), 4);
        assert_eq!(file.matches("inside").count(), 3);
        for said in ["&lt;b&gt;a block", "&lt;i&gt;T", "Source: here", "fill=\"#ffffff\""] {
            assert!(file.contains(said), "{said}: {file}");
        }
        assert!(!file.contains("<b>") && !file.contains("<i>"));
        assert!(file.matches("word word").count() > 1, "the caption is wrapped");
        assert!(file.contains(&format!("font-family=\"{FONT}\"")));
    }
}
