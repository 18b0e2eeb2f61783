//! A figure: a picture, its data, and how to read it.

use super::data::Data;
use super::input::{RunInput, STOPPED};
use super::picture::{Area, DrawError, Look, Marks, Svg, picture};
use crate::analysis::summary::Summary;
use crate::record::run_folder::SAMPLES;

/// A figure of a report.
#[derive(Debug)]
pub struct Figure {
    /// Names its files and its place in the page.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// The picture, or what is missing for it and why.
    pub drawing: Result<Svg, String>,
    /// What the picture was made from.
    pub data: Data,
}

impl Figure {
    /// Draws a figure that has data; without, says `missing`.
    ///
    /// # Errors
    /// It cannot be drawn.
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

/// A run as figures see it: its maps in figures, the main one first.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The run.
    pub run: &'a RunInput,
    /// Its maps.
    pub maps: &'a [(String, Summary)],
}

impl<'a> View<'a> {
    /// The main map's figures.
    pub fn main(&self) -> &'a Summary {
        &self.maps[0].1
    }

    /// The main map's name.
    pub fn main_map(&self) -> &'a str {
        &self.maps[0].0
    }

    /// The layouts of all maps, those of the main one first.
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
        Look::of(layout, &self.layouts())
    }

    /// Why there are no rows of something.
    pub fn no_rows_of(&self, what: &str) -> String {
        let map = self.main_map();
        let whole = "the run was not asked for them, or no layout offers it";
        let is_whole = self.run.troubles.iter().all(|trouble| !trouble.contains(SAMPLES) && !trouble.contains(STOPPED));
        let why = if is_whole { whole } else { "the folder is not whole, as is said above" };
        format!("Missing: there are no rows of {what} on the map {map}: {why}.")
    }
}
