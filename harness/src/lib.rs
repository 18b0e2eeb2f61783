//! pfnbench: races the ways an operating system finds the record of a physical page.
//!
//! The layouts are in [`memmap_layouts`]; this crate reads physical memory maps, checks the layouts on them, measures
//! them, and writes down what it found. Data goes one way: [`map`] → [`plan`] → [`field`] → [`race`] (through
//! [`contestant`] and [`probe`]) → [`row`] → [`summary`] → [`table`] and [`report`].

pub mod backing_arg;
pub mod cases;
pub mod cli;
pub mod compare;
pub mod contestant;
pub mod doctor;
pub mod environment;
pub mod field;
pub mod huge_pages;
pub mod interrupt;
pub mod map;
pub mod plan;
pub mod probe;
pub mod processes;
pub mod queries;
pub mod race;
pub mod report;
pub mod row;
pub mod run_folder;
pub mod statistics;
pub mod summary;
pub mod table;
pub mod units;
pub mod verify;
