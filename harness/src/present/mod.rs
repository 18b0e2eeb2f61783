//! Output for people: tables in the terminal, and reports as HTML pages and Markdown.

pub mod answer;
pub mod audit;
pub(crate) mod bidi;
pub mod cover_letter;
pub mod explain;
pub mod gain;
pub mod instructions;
pub mod ratio;
pub mod report;
pub mod table;
pub mod terminal;
