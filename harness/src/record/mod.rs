//! What is stored of a run: rows, the manifest, instruction counts, and the folder that holds them.

pub mod environment;
pub mod examination;
pub mod instructions;
pub mod layout_note;
pub mod row;
pub mod run_folder;
pub mod schema;
pub mod unit;
