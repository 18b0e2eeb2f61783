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

pub use engine::contestant::Layouts;
#[doc(hidden)]
pub use memmap_layouts;
pub use run::Run;
use std::process::ExitCode;

/// Names layouts of other crates for [`main_with`]: paths of types that take a
/// [`Geometry`](memmap_layouts::Geometry). See [`memmap_layouts::layout_family!`].
#[macro_export]
macro_rules! layouts {
    ($($($layout:ident)::+),+ $(,)?) => {{
        $crate::memmap_layouts::layout_family!(Outside: $($($layout)::+),+);
        $crate::Layouts::new::<Outside>()
    }};
}

/// The command line of `pfnbench` with layouts of other crates beside the built-in ones: `list`, `verify`, `run`,
/// `compare`, `report` and the others know them by their ids.
///
/// ```no_run
/// use memmap_layouts::layouts::Flat as Mine;
///
/// fn main() -> std::process::ExitCode {
///     pfnbench::main_with(pfnbench::layouts![Mine])
/// }
/// ```
///
/// Call it first in `main`, once: the processes of a run are this program again. An id that another layout
/// has, or that is not lower case, digits and hyphens, ends the program with an error and exit code 1.
pub fn main_with(layouts: Layouts) -> ExitCode {
    let outside = layouts.layouts();
    if let Err(wrong) = wrong_id(&outside) {
        eprintln!("pfnbench: {wrong}");
        return ExitCode::from(1);
    }
    if case::add_layouts(outside).is_err() || engine::contestant::add_layouts(layouts).is_err() {
        eprintln!("pfnbench: layouts can be added once in the life of a program");
        return ExitCode::from(2);
    }
    cli::main()
}

/// The first id that cannot be one.
fn wrong_id(outside: &[case::Layout]) -> Result<(), String> {
    let mut known: Vec<&str> =
        case::layouts_of::<memmap_layouts::layouts::BuiltIn, memmap_layouts::X86_64>().iter().map(|of| of.id).collect();
    known.push(case::CONTROL);
    for id in outside.iter().map(|layout| layout.id) {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if id.is_empty() || !id.bytes().all(is_plain) {
            return Err(format!(
                "layout id {id:?} is not lower case, digits and hyphens; try one such as \"my-layout\""
            ));
        }
        if known.contains(&id) {
            return Err(format!(
                "layout id {id:?} is taken; give Memmap::ID another value ({} are taken)",
                known.join(", ")
            ));
        }
        known.push(id);
    }
    Ok(())
}

/// Version and commit of this build: `0.1.0 (d634b07)`.
pub fn version() -> &'static str {
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("PFNBENCH_COMMIT"), ")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_of_one_layout_each() {
        let of = |ids: &[&'static str]| {
            let flat = case::layouts::<memmap_layouts::X86_64>()[0];
            wrong_id(&ids.iter().map(|&id| case::Layout { id, ..flat }).collect::<Vec<_>>())
        };
        assert_eq!(of(&["mine", "theirs-2"]), Ok(()));
        for (ids, says) in [
            (&["mine", "mine"][..], "\"mine\" is taken"),
            (&["subsection"], "\"subsection\" is taken"),
            (&["control"], "\"control\" is taken"),
            (&["My Layout"], "not lower case"),
            (&[""], "not lower case"),
        ] {
            assert!(of(ids).unwrap_err().contains(says), "{ids:?}");
        }
    }
}
