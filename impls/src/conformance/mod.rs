//! The conformance suite: requirements on every layout, run for each layout of the list.
//!
//! The numbered cases (T-01 to T-59, T-70, T-73) state what Linux's memmap does at boot, on hot-add
//! and on hot-remove. The others state what this project guarantees in addition. A case is a
//! function over the traits, so it is the same for all layouts. A case that needs a feature which a
//! layout lacks, by its [`CAPS`](crate::Memmap::CAPS), is skipped with the reason.
//!
//! T-16 and T-37 cannot be tested through the public API. They are unit tests of `section.rs` and
//! `vmem.rs`.
//!
//! ```
//! use memmap_layouts::conformance::{Outcome, run_family};
//!
//! // A layout of your own goes where Flat is here.
//! memmap_layouts::layout_family!(Mine: memmap_layouts::layouts::Flat);
//! for run in run_family::<Mine>() {
//!     if let Outcome::Failed(why) = run.outcome {
//!         panic!("{} fails {}: {why}", run.layout, run.case);
//!     }
//! }
//! ```

mod adding;
mod altmap;
mod beyond;
mod blocks;
mod boot;
mod concurrent;
mod fixtures;
mod foil;
mod footprint;
mod initialising;
mod list;
mod pagemaps;
mod refusal;
mod removing;
mod runner;
mod zones;

pub use beyond::random_operations_agree_with_the_oracle;
pub use foil::{FoilRun, FoilVerdict, V6_FAILS, run_foil};

use crate::altmap::{Altmap, INFO_BLOCK_PAGES};
use crate::backing::{DaxDevice, RamBacking};
use crate::error::HotplugError;
use crate::geometry::{Arm64Pages64K, Geometry, X86_64};
use crate::layouts::{BuiltIn, Family, Visitor};
use crate::machine::{Machine, MachineConfig};
use crate::memmap::*;
use crate::oracle::Oracle;
use crate::page::PAGE_RECORD_BYTES;
use crate::page_record::{HotplugRecord, PageRecord, record_bytes};
use crate::pfn::{Pfn, PfnRange};
use crate::store::{BackedSections, RecordStore};
use crate::subsection_map::BitWords;
use fixtures::*;
use list::Held;
use refusal::*;
use runner::run_in_this_thread;
pub use runner::{Selects, panic_message};
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

/// Result of a case on a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check of the case held.
    Passed,
    /// The case does not apply to the layout; the string says why.
    Skipped(&'static str),
    /// A check failed; the string says which, with the values found.
    Failed(String),
}

/// The result of one case on one layout.
#[derive(Clone, Debug)]
pub struct Run {
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
    /// Number of the case, e.g. `T-14`, or the name of a case without a number.
    pub case: &'static str,
    /// Name of the case, e.g. `t_14_add_across_two_sections`.
    pub name: &'static str,
    /// The result.
    pub outcome: Outcome,
}

impl Run {
    /// True for cases with a number (`T-…`).
    pub fn is_numbered(&self) -> bool {
        self.case.starts_with("T-")
    }
}

type Check = Result<(), String>;

/// Ends the case with a failure and a message unless the condition holds.
macro_rules! check {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}
use check;

/// Runs every case on every layout of the list, with records in anonymous private memory.
pub fn run_all() -> Vec<Run> {
    run_all_on(&RamBacking::Anon)
}

/// Runs every case on every layout of the list, with records in the given backing.
pub fn run_all_on(backing: &RamBacking) -> Vec<Run> {
    run_family_on::<BuiltIn>(backing)
}

/// Runs every case on the layouts of a family, such as one of another crate, with records in
/// private memory. A case that panics has failed.
pub fn run_family<F: Family>() -> Vec<Run> {
    run_family_on::<F>(&RamBacking::Anon)
}

/// Like [`run_family`], with records in the given backing.
pub fn run_family_on<F: Family>(backing: &RamBacking) -> Vec<Run> {
    run_selected_on::<F>(backing, &|_, _| true)
}

/// Like [`run_family`], for the cases that `selects` selects by the id of the layout and the id of
/// the case. The others are not in the result.
///
/// Select `record_addresses` too for layouts that were not verified: a case that reads a record at
/// an invalid address ends the process.
///
/// ```
/// use memmap_layouts::conformance::{Outcome, run_selected};
/// use memmap_layouts::layouts::BuiltIn;
///
/// let runs = run_selected::<BuiltIn>(&|layout, case| layout == "subsection" && case == "footprint");
/// assert!(runs.len() == 1 && runs[0].outcome == Outcome::Passed);
/// ```
pub fn run_selected<F: Family>(selects: Selects<'_>) -> Vec<Run> {
    run_selected_on::<F>(&RamBacking::Anon, selects)
}

/// As [`run_selected`], for the built-in layouts. It is compiled once, in this crate, whereas a
/// family's cases are compiled in every crate that runs them.
pub fn run_built_in(selects: Selects<'_>) -> Vec<Run> {
    run_selected::<BuiltIn>(selects)
}

fn run_selected_on<F: Family>(backing: &RamBacking, selects: Selects<'_>) -> Vec<Run> {
    let before = BACKING.replace(backing.clone());
    let runs = run_in_this_thread::<F>(selects);
    BACKING.set(before);
    runs
}

/// Lowest address that a record can have: the default of `vm.mmap_min_addr`.
pub const LEAST_ADDRESS: usize = 1 << 16;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::list::{cases_for_all, cases_from_megabyte_one, cases_with_hotplug, cases_with_pages_of_64k};
    use super::*;
    use crate::geometry::{GeometryVisitor, for_each_geometry};
    use crate::layouts::visit;

    /// The numbered cases that this suite runs: all but the two unit tests.
    fn numbered() -> Vec<String> {
        let numbers = (1..=59).chain([70, 73]).filter(|nr| ![16, 37].contains(nr));
        numbers.map(|nr| format!("T-{nr:02}")).collect()
    }

    #[test]
    fn every_layout_conforms() {
        let runs = run_all();
        let failed: Vec<_> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let passed = |case: &str| runs.iter().any(|run| run.case == case && run.outcome == Outcome::Passed);
        let never_run: Vec<_> = numbered().into_iter().filter(|case| !passed(case)).collect();
        assert!(never_run.is_empty(), "no layout runs {never_run:?}");
        let mut cases = std::collections::BTreeMap::<_, Vec<_>>::new();
        runs.iter().filter(|run| run.is_numbered()).for_each(|run| cases.entry(run.layout).or_default().push(run.case));
        for (layout, mut cases) in cases {
            cases.sort_unstable();
            assert_eq!(cases, numbered(), "{layout} has every case once");
        }
        let mut skips = std::collections::BTreeMap::<_, Vec<_>>::new();
        for run in &runs {
            if let Outcome::Skipped(why) = run.outcome {
                skips.entry((run.layout, why)).or_default().push(run.case);
            }
        }
        for ((layout, why), cases) in skips {
            println!("{layout} skips {}: {why}: {}", cases.len(), cases.join(" "));
        }
    }

    #[test]
    fn every_case_has_the_number_that_its_name_says() {
        type L = crate::layouts::Dax;
        let lists = [
            cases_for_all::<L>(),
            cases_from_megabyte_one::<L>(),
            cases_with_hotplug::<L>(),
            cases_with_pages_of_64k::<L>(),
        ];
        let cases = lists.into_iter().flatten();
        let mut ids = Vec::new();
        for case in cases {
            if let Some(number) = case.id.strip_prefix("T-") {
                assert!(case.name.starts_with(&format!("t_{number}_")), "{} is {}", case.id, case.name);
                ids.push(case.id.to_owned());
            }
        }
        ids.sort();
        assert_eq!(ids, numbered(), "each case once");
    }

    /// The table in the README that maps patches to files and cases names only files and cases that
    /// exist.
    #[test]
    fn the_readme_names_files_and_cases_that_exist() {
        let readme = include_str!("../../README.md");
        let patches = readme.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
        assert_eq!(patches.count(), 12);
        // T-60 to T-69 are unit tests of namespaces, just as T-16 and T-37 are unit tests.
        let of_namespaces = (60..=69).map(|nr| format!("T-{nr}"));
        // T-71, T-72 and T-74 are in `tests/compound.rs`.
        let elsewhere = ["T-16", "T-37", "T-71", "T-72", "T-74"].map(str::to_owned);
        let known: Vec<String> = numbered().into_iter().chain(elsewhere).chain(of_namespaces).collect();
        let words = |text: &'static str| {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c)))
                .map(|word| word.trim_end_matches('.'))
        };
        let named: Vec<&str> = words(readme).filter(|word| word.starts_with("T-")).collect();
        for case in &named {
            assert!(known.iter().any(|known| known == case), "{case} is not a case");
        }
        for case in ["T-01", "T-37", "T-59", "T-70", "T-73"] {
            assert!(named.contains(&case), "the README does not name {case}");
        }
        for file in words(readme).filter(|word| word.ends_with(".rs") && word.len() > 3) {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let there = ["src", "."].iter().any(|dir| root.join(dir).join(file).is_file());
            assert!(there, "{file} does not exist");
        }
    }

    /// Random operations, and the end of the physical address space, on every architecture:
    /// sections of 16 MiB to 1 GiB, pages of 4 to 64 KiB, maps of 1 to 8 words.
    #[test]
    fn every_layout_agrees_on_every_architecture() {
        struct Geometries(u32);
        struct Layouts(u32);
        impl GeometryVisitor for Geometries {
            fn visit<G: Geometry>(&mut self) {
                let mut layouts = Layouts(0);
                visit::<G>(&mut layouts);
                self.0 += layouts.0;
            }
        }
        impl<G: Geometry> Visitor<G> for Layouts {
            fn fixed<L: Memmap<Geometry = G>>(&mut self) {}
            fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
                let done = random_operations_agree_with_the_oracle::<L>(200, 11);
                assert_eq!(done, Ok(()), "{} on {}", L::ID, G::ID);
                let done = adding::t_26_beyond_the_physical_space::<L>(&Held::to(L::CAPS));
                assert_eq!(done, Ok(()), "{} at the end of {}", L::ID, G::ID);
                self.0 += 1;
            }
        }
        let mut geometries = Geometries(0);
        for_each_geometry(&mut geometries);
        assert!(geometries.0 >= 50, "only {} pairs of layout and architecture", geometries.0);
    }
}
