//! A figure: a picture, its data, and how to read it.

use super::data::Data;
use super::input::RunInput;
use super::picture::{DrawError, Drawing, Look, Svg};
use crate::analysis::summary::Summary;

/// The name and the words of a figure.
#[derive(Clone, Debug)]
pub struct Words {
    /// Name, used for files and as anchor in the page.
    pub name: &'static str,
    /// Title: what the figure shows.
    pub title: String,
    /// Caption, in at most 40 words with the next field: what the figure shows and which way is better.
    pub caption: String,
    /// What whiskers are, e.g. `95 % intervals over processes`. It joins the caption if any are drawn.
    pub whiskers: &'static str,
    /// How to read the figure, and where its values come from.
    pub reading: String,
}

/// A figure of a report.
#[derive(Debug)]
pub struct Figure {
    /// The name and the words.
    pub words: Words,
    /// The drawing, or a sentence that says why there is none.
    pub drawing: Result<Drawing, String>,
    /// The data that the figure is drawn from.
    pub data: Data,
}

impl Figure {
    /// Draws a figure if it has data; otherwise it shows the message `missing`.
    ///
    /// # Errors
    /// Fails if the figure cannot be drawn.
    pub fn new(
        mut words: Words,
        data: Data,
        missing: impl FnOnce() -> String,
        draw: impl FnOnce(&mut Drawing) -> Result<(), DrawError>,
    ) -> Result<Self, DrawError> {
        if data.is_empty() {
            return Ok(Self { words, drawing: Err(missing()), data });
        }
        let mut drawing = Drawing::default();
        draw(&mut drawing)?;
        if drawing.panels().iter().any(Svg::has_whiskers) {
            words.caption.push_str(&format!(" Whiskers: {}.", words.whiskers));
        }
        Ok(Self { words, drawing: Ok(drawing), data })
    }

    /// Name, used for files and as anchor in the page.
    pub fn name(&self) -> &'static str {
        self.words.name
    }
}

/// The data of a run from which figures are drawn: its summaries by map, the main one first.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The run, without rows.
    pub run: &'a RunInput,
    /// Name and summary of each map.
    pub maps: &'a [(String, Summary)],
}

impl<'a> View<'a> {
    /// The summary of the main map.
    pub fn main(&self) -> &'a Summary {
        &self.maps[0].1
    }

    /// Name of the main map.
    pub fn main_map(&self) -> &'a str {
        &self.maps[0].0
    }

    /// Ids of the layouts of all maps, those of the main map first.
    pub fn layouts(&self) -> Vec<String> {
        let mut layouts: Vec<String> = Vec::new();
        for layout in self.maps.iter().flat_map(|(_, summary)| &summary.layouts) {
            if !layouts.contains(layout) {
                layouts.push(layout.clone());
            }
        }
        layouts
    }

    /// Colour and marker of a layout.
    pub fn look(&self, layout: &str) -> Look {
        Look::new(layout, &self.layouts())
    }

    /// A message that says why there are no rows about `what`.
    pub fn no_rows_of(&self, what: &str) -> String {
        let map = self.main_map();
        let whole = "the run did not request them, or no layout supports the operation";
        let why = if self.run.has_all_rows { whole } else { "the run folder is incomplete, as stated above" };
        format!("Missing: there are no rows of {what} on the map {map}, because {why}.")
    }
}
