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
//! | [`pmem`] | persistent memory: capacity, regions, namespaces, and why a request is refused |
//! | [`engine`] | processes of a run, layouts booted side by side, the timed loops |
//! | [`run`] | a duel of two builds |
//! | [`present`] | tables in the terminal, the report as a page and as Markdown; never imports `engine` |
//! | [`cli`] | arguments and printing |
//!
//! A program that reads maps or run folders needs less than all of it. Without default features there are `case`, `map`,
//! `workload`, `record` and `analysis`; the features `pmem`, `present`, `engine` (with `run`) and `cli` add the others.
//! They are features and not crates because all of them change together and share one vocabulary.

pub mod analysis;
pub mod case;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod engine;
pub mod files;
#[cfg(any(feature = "engine", feature = "pmem"))]
pub mod interrupt;
pub mod map;
#[cfg(feature = "pmem")]
pub mod pmem;
#[cfg(feature = "present")]
pub mod present;
pub mod record;
#[cfg(feature = "engine")]
pub mod run;
pub mod size;
pub mod units;
pub mod workload;

#[cfg(feature = "cli")]
pub use cli::main_with;
#[cfg(feature = "engine")]
pub use engine::layouts::Layouts;
#[doc(hidden)]
pub use memmap_layouts;
#[cfg(feature = "engine")]
pub use run::Run;

/// Names layouts of other crates for `main_with` or [`Layouts::register`]: paths of types that take a
/// [`Geometry`](memmap_layouts::Geometry). See [`memmap_layouts::layout_family!`].
#[cfg(feature = "engine")]
#[macro_export]
macro_rules! layouts {
    ($($($layout:ident)::+),+ $(,)?) => {{
        $crate::memmap_layouts::layout_family!(Outside: $($($layout)::+),+);
        $crate::Layouts::new::<Outside>()
    }};
}

/// Version and commit of this build: `0.1.0 (d634b07)`.
pub fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("PFNBENCH_COMMIT"), ")")
}
