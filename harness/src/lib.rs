//! pfnbench: benchmarks how an operating system finds the record (`struct page`) of a physical
//! page.
//!
//! The layouts are in [`memmap_layouts`]. This crate reads physical memory maps, checks the layouts
//! on them, measures them, and reports the results. A module may use only modules above it in this
//! table; the test `rooms` enforces it:
//!
//! | module | contents |
//! | --- | --- |
//! | [`kernel_version`] | versions of Linux, and their rules |
//! | [`case`] | operations, modes, patterns, kinds of memory, and the names of cases |
//! | [`map`] | physical memory maps: parsers, and built-in maps |
//! | [`strand`] | memory that is lost to the size of memory blocks |
//! | [`workload`] | which cases are measured on which map, and for how long |
//! | [`record`] | rows, the manifest, and the run folder |
//! | [`analysis`] | estimates and intervals, verdicts, comparisons, limits |
//! | [`budget`] | memory that a guest needs to add memory, and the time that it takes |
//! | [`pmem`] | persistent memory: capacity, regions, namespaces, reasons of refusals |
//! | [`audit`] | where the memory of a machine went, row by row |
//! | [`message`] | messages of Linux, ndctl, daxctl, cxl and QEMU, and what they mean |
//! | [`hotplug_check`] | whether a machine would accept more memory, and every rule against it |
//! | [`kernel`] | Linux's own lookups, compiled from the headers of a kernel |
//! | [`running`] | the tables of the running kernel, read from its memory |
//! | [`judge`] | models compared with real kernels, by the logs of virtual machines |
//! | [`engine`] | worker processes, layouts booted together, the timed loops |
//! | [`run`] | a run, and a duel of two builds |
//! | [`present`] | tables in the terminal, reports in HTML and Markdown; never uses `engine` |
//! | [`cli`] | arguments, and output to the terminal |
//!
//! This looks up a page frame on this machine's map:
//!
//! ```
//! use memmap_layouts::{BackedSections, Config, Lookup, Memmap, Pfn, RecordStore, layouts::Subsection};
//! use pfnbench::map::source::Source;
//!
//! let map = Source::ThisMachine.load()?.boot_map()?;
//! // The answer needs the index only, so no section has records in memory.
//! let store = RecordStore { backed: BackedSections::only([]), ..RecordStore::unlimited() };
//! let layout = <Subsection>::boot(&map, &Config::default(), store)?;
//! println!("{}", layout.reader().pfn_valid(Pfn(0x100)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without default features, the crate has `kernel_version`, `case`, `map`, `strand`, `workload`, `record`, `analysis`
//! and `budget`, which suffice to read maps and run folders. The features `pmem`, `present`, `engine` (with
//! `kernel` and `run`) and `cli` add the others. They are features instead of crates because they change
//! together.

pub mod analysis;
#[cfg(feature = "pmem")]
pub mod audit;
pub mod budget;
pub mod case;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod engine;
pub mod files;
#[cfg(feature = "pmem")]
pub mod hotplug_check;
#[cfg(any(feature = "engine", feature = "pmem"))]
pub mod interrupt;
#[cfg(all(feature = "engine", feature = "pmem", target_arch = "x86_64", target_os = "linux"))]
pub mod judge;
#[cfg(all(feature = "engine", target_arch = "x86_64", target_os = "linux"))]
pub mod kernel;
pub mod kernel_version;
pub mod map;
#[cfg(feature = "pmem")]
pub mod message;
#[cfg(feature = "pmem")]
pub mod pmem;
#[cfg(feature = "present")]
pub mod present;
pub mod record;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(all(feature = "engine", target_arch = "x86_64", target_os = "linux"))]
pub mod running;
pub mod size;
pub mod strand;
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

/// Lists layouts of other crates for `main_with` or [`Layouts::register`]. The arguments are paths
/// of types with a [`Geometry`](memmap_layouts::Geometry) parameter; see
/// [`memmap_layouts::layout_family!`].
///
/// ```
/// // Layouts of your own crate go where Flat and Sparse are here.
/// use memmap_layouts::layouts::{Flat, Sparse};
///
/// let layouts = pfnbench::layouts![Flat, Sparse];
/// let ids: Vec<&str> = layouts.layouts().iter().map(|layout| layout.id).collect();
/// assert_eq!(ids, ["flat", "sparse"]);
/// ```
#[cfg(feature = "engine")]
#[macro_export]
macro_rules! layouts {
    ($($($layout:ident)::+),+ $(,)?) => {{
        $crate::memmap_layouts::layout_family!(Outside: $($($layout)::+),+);
        $crate::Layouts::new::<Outside>()
    }};
}

/// Version and commit of this build, e.g. `0.1.0 (d634b07)`.
pub fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("PFNBENCH_COMMIT"), ")")
}
