//! What people read: tables in the terminal, the report as a page and as Markdown.

pub mod instructions;
pub mod report;
pub mod table;
