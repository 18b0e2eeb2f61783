//! A figure: a picture, its data, and how to read it.

use super::data::Data;
use super::input::RunInput;
use super::picture::{Area, DrawError, Look, Marks, Svg, picture};
use crate::analysis::summary::Summary;

/// A figure of a report.
#[derive(Debug)]
pub struct Figure {
    /// Name, used for files and as anchor in the page.
    pub name: &'static str,
    /// Title: what the figure shows.
    pub title: String,
    /// Caption: how to read the figure.
    pub caption: String,
    /// The drawing, or a message that says which data are missing and why.
    pub drawing: Result<Svg, String>,
    /// The data that the figure is drawn from.
    pub data: Data,
}

impl Figure {
    /// Draws a figure if it has data; otherwise it shows the message `missing`.
    ///
    /// # Errors
    /// Fails if the figure cannot be drawn.
    pub fn new(
        (name, title): (&'static str, String),
        caption: impl Into<String>,
        data: Data,
        missing: impl FnOnce() -> String,
        height: u32,
        draw: impl FnOnce(&Area<'_>, &mut Marks, &str) -> Result<(), DrawError>,
    ) -> Result<Self, DrawError> {
        let drawing = match data.is_empty() {
            true => Err(missing()),
            false => Ok(picture(&title, height, |area, marks| draw(area, marks, &title))?),
        };
        Ok(Self { name, title, caption: caption.into(), drawing, data })
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
