//! What is stored of a run: rows, the manifest, instruction counts, and the folder that holds them.

pub mod default_results;
pub mod environment;
pub mod examination;
pub mod files;
pub mod folder_error;
pub mod histogram_log;
pub mod instructions;
mod journal;
pub mod layout_note;
pub mod manifest;
pub mod reader;
pub mod row;
pub mod run_folder;
pub mod schema;
pub mod unit;
