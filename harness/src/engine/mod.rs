//! The measurement engine: the processes of a run, layouts booted side by side, and timed loops.

pub mod backing_arg;
pub mod blame;
#[cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), path = "compiled/elsewhere.rs")]
pub mod compiled;
pub mod conditions;
pub mod contestant;
pub mod doctor;
pub mod duel;
pub mod field;
pub mod index_pages;
pub mod instructions;
pub mod interference;
pub mod job;
pub mod layouts;
pub mod memory_plan;
pub mod no_check;
pub mod pinning;
pub mod probe;
pub mod process;
pub mod queries;
pub mod race;
pub mod runner;
pub mod schedule;
pub mod verify;
