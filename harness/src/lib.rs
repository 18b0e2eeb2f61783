//! pfnbench: races the ways an operating system finds the record of a physical page.
//!
//! The layouts are in [`memmap_layouts`]. This crate reads physical memory maps, checks the layouts on them, measures
//! them, and reports what it found. Its rooms follow the data; each knows only rooms above it, which the test `rooms`
//! holds:
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`case`] | the vocabulary of a measurement: operation, mode, pattern, memory, tables, names, filter |
//! | [`map`] | physical memory maps: readers, and the maps that are built in |
//! | [`workload`] | what is measured where and how much, as data |
//! | [`record`] | rows, the manifest, and the run folder that holds them |
//! | [`analysis`] | estimates and intervals, verdicts, comparisons, limits |
//! | [`pmem`] | capacity of persistent memory, and why a range is refused |
//! | [`engine`] | processes of a run, layouts booted side by side, the timed loops |
//! | [`run`] | a duel of two builds |
//! | [`present`] | tables in the terminal, the report as a page and as Markdown; never imports `engine` |
//! | [`cli`] | arguments and printing |

pub mod analysis;
pub mod case;
pub mod cli;
pub mod engine;
pub mod files;
pub mod interrupt;
pub mod map;
pub mod pmem;
pub mod present;
pub mod record;
pub mod run;
pub mod size;
pub mod units;
pub mod workload;

/// Version and commit of this build: `0.1.0 (d634b07)`.
pub fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("PFNBENCH_COMMIT"), ")")
}
