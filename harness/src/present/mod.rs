//! Output for people: tables in the terminal, and reports as HTML pages and Markdown.

pub mod instructions;
pub mod report;
pub mod table;
