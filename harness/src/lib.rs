//! pfnbench: races the ways an operating system finds the record of a physical page.
//!
//! The layouts are in [`memmap_layouts`]; this crate reads physical memory maps, checks the layouts on them, measures
//! them, and writes down what it found. Data goes one way: [`map`] and [`workload`] → [`schedule`] → [`runner`] → [`job`], a process
//! each: [`plan`] → [`field`] → [`race`] (through [`contestant`] and [`probe`]) → [`row`] → [`run_folder`] → [`summary`], where
//! [`judge`] makes verdicts from [`statistics`] → [`verdicts`], [`table`] and [`report`]. A [`duel`] measures two builds.

pub mod backing_arg;
pub mod capacity;
pub mod cases;
pub mod cli;
pub mod compare;
pub mod contestant;
pub mod cover_letter;
pub mod doctor;
pub mod duel;
pub mod environment;
pub mod field;
pub mod files;
pub mod huge_pages;
pub mod index_pages;
pub mod instructions;
pub mod interference;
pub mod interrupt;
pub mod job;
pub mod judge;
pub mod layout_note;
pub mod limits;
pub mod map;
pub mod pinning;
pub mod plan;
pub mod probe;
pub mod queries;
pub mod race;
pub mod refusal;
pub mod report;
pub mod row;
pub mod run_folder;
pub mod runner;
pub mod schedule;
pub mod schema;
pub mod shrunk_media;
pub mod size;
pub mod statistics;
pub mod summary;
pub mod table;
pub mod tier;
pub mod units;
pub mod verdicts;
pub mod verify;
pub mod work;
pub mod workload;
