//! The common start of the `cargo bench` targets: arguments, names, and the layouts on this machine's map.
//!
//! `cargo bench` hands the same arguments to every target, so each must bear those that another one knows, and a filter
//! is judged against the names of all of them. Without `--bench` (`cargo test --all-targets`) a target verifies its cases
//! once and writes nothing.

use anyhow::{Context, bail};
use clap::Parser;
use memmap_layouts::backing::{DaxDevice, RamBacking};
use memmap_layouts::{Bytes, Geometry, X86_64};
use pfnbench::backing_arg::{self, BackingArg};
use pfnbench::cases;
pub use pfnbench::cases::{HotplugCase, LookupCase, hotplug_cases};
use pfnbench::contestant::entries;
use pfnbench::field::{Field, Means};
use pfnbench::interrupt::Interrupt;
use pfnbench::map::PhysicalMap;
use pfnbench::map::source::Source;
use pfnbench::probe::lookup::LookupOp;
use pfnbench::queries::Pattern;
use pfnbench::race::Served;
use regex::Regex;
use std::sync::Arc;

/// What the targets understand of the arguments. The rest is criterion's, and only listed so that it is not taken for a
/// filter.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --", disable_version_flag = true)]
pub struct Arguments {
    /// Run only the cases whose name this regular expression finds.
    filter: Option<String>,
    /// The filter is a whole name.
    #[arg(long)]
    exact: bool,
    /// Print the names of the cases and do nothing.
    #[arg(long)]
    list: bool,
    /// Save the results under a name; write it as --save-baseline=NAME.
    #[arg(long, value_name = "NAME")]
    pub save_baseline: Option<String>,
    /// Compare with the results of that name.
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
    #[command(flatten)]
    criterion: Criterion,
}

/// Options of criterion alone.
#[derive(Debug, clap::Args)]
#[allow(dead_code, reason = "criterion reads them from the process's arguments itself")]
struct Criterion {
    #[arg(long, hide = true)]
    warm_up_time: Option<String>,
    #[arg(long, hide = true)]
    measurement_time: Option<String>,
    #[arg(long, hide = true)]
    sample_size: Option<String>,
    #[arg(long, hide = true)]
    nresamples: Option<String>,
    #[arg(long, hide = true)]
    noise_threshold: Option<String>,
    #[arg(long, hide = true)]
    confidence_level: Option<String>,
    #[arg(long, hide = true)]
    significance_level: Option<String>,
    #[arg(long, hide = true)]
    profile_time: Option<String>,
    #[arg(long, hide = true)]
    load_baseline: Option<String>,
    #[arg(long, hide = true)]
    baseline_lenient: Option<String>,
    #[arg(long, hide = true)]
    plotting_backend: Option<String>,
    #[arg(long, hide = true)]
    output_format: Option<String>,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    noplot: bool,
    #[arg(long, hide = true)]
    quick: bool,
    #[arg(long, hide = true)]
    discard_baseline: bool,
    #[arg(long, short, hide = true)]
    quiet: bool,
    #[arg(long, short, hide = true)]
    verbose: bool,
    #[arg(long, short = 'n', hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    show_output: bool,
    /// For `cargo test`, whose runner takes it.
    #[arg(long, hide = true)]
    test_threads: Option<String>,
}

/// A case of the physical space: additions and removals of one size, in a space of 46 bits and in one of 52.
#[derive(Clone, Copy, Debug)]
pub struct SpaceCase {
    /// Size in bytes.
    pub size: u64,
    /// The layout.
    pub layout: &'static str,
}

impl SpaceCase {
    /// `space/2MiB/dax`.
    pub fn name(&self) -> String {
        format!("space/{}/{}", Bytes(self.size).to_string().replace(' ', ""), self.layout)
    }
}

/// The lookup cases that criterion measures: in random order all of them, one after another what a walker does. `pfnbench run`
/// has the rest; these must end within minutes.
pub fn lookup_cases() -> Vec<LookupCase> {
    let is_benched = |case: &LookupCase| case.pattern == Pattern::Random || case.op == LookupOp::ValidToPage;
    cases::lookup_cases().into_iter().filter(is_benched).collect()
}

/// A case of the physical space for every layout with hotplug: the smallest addition, where anything that grows with the
/// space shows most.
pub fn space_cases() -> Vec<SpaceCase> {
    let cases = entries::<X86_64>().into_iter().filter_map(|entry| {
        let size = entry.caps.hotplug_granule_pages? << X86_64::PAGE_SHIFT;
        Some(SpaceCase { size, layout: entry.id })
    });
    cases.collect()
}

/// What a target is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Print names.
    List,
    /// Verify once, write nothing.
    Test,
    /// Measure.
    Bench,
}

/// Which cases of a target to run, and how.
#[derive(Debug)]
pub struct Start {
    /// The arguments.
    pub arguments: Arguments,
    /// What to do.
    pub mode: Mode,
    /// What records are made of.
    pub backing: BackingArg,
    /// What names end with: the backing, if one was asked for.
    suffix: String,
    filter: Option<Regex>,
}

impl Start {
    /// Reads the process's arguments, and `PFNBENCH_BACKING`.
    ///
    /// # Errors
    /// A filter that is no regular expression, or finds no case in any target; no such backing.
    pub fn new() -> anyhow::Result<Self> {
        Self::from(Arguments::parse(), backing_arg::from_environment()?)
    }

    fn from(arguments: Arguments, backing: Option<BackingArg>) -> anyhow::Result<Self> {
        let mode = match (arguments.list, arguments.bench && !arguments.test) {
            (true, _) => Mode::List,
            (false, true) => Mode::Bench,
            (false, false) => Mode::Test,
        };
        let pattern = arguments.filter.as_ref().map(|filter| match arguments.exact {
            true => format!("^{}$", regex::escape(filter)),
            false => filter.clone(),
        });
        let filter = pattern.map(|p| Regex::new(&p).with_context(|| format!("the filter {p:?}"))).transpose()?;
        let suffix = backing.as_ref().map(BackingArg::suffix).unwrap_or_default();
        let start = Self { arguments, mode, backing: backing.unwrap_or_default(), suffix, filter };
        let lookups = lookup_cases().into_iter().map(|case| case.name());
        let names = lookups.chain(hotplug_cases().into_iter().map(|case| case.name()));
        let names = names.chain(space_cases().into_iter().map(|case| case.name()));
        // In a test run the filter is meant for the tests of the workspace.
        if mode != Mode::Test && !names.into_iter().any(|name| start.wants(name)) {
            bail!(
                "the filter {:?} selects no case of any target; names are like pfn_valid/boot/random/flat, \
                 hotplug/2MiB/subsection and space/2MiB/subsection{}, and --list prints them",
                start.arguments.filter.as_deref().unwrap_or_default(),
                if start.suffix.is_empty() {
                    String::new()
                } else {
                    format!(", each with {} at its end", start.suffix)
                }
            );
        }
        Ok(start)
    }

    /// A name, or the last part of one, with the backing if one was asked for: `pfn_valid/boot/random/subsection@tmpfs`.
    pub fn name(&self, of: impl Into<String>) -> String {
        of.into() + &self.suffix
    }

    /// Is the case of this name (without a backing) to run?
    pub fn wants(&self, name: impl Into<String>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_match(&self.name(name)))
    }

    /// This machine's map with the layouts booted on it. In test mode a small part of it has records.
    ///
    /// # Errors
    /// A layout does not come up, the map reaches beyond what is benched here, or this machine does not have the backing.
    pub fn field(&self) -> anyhow::Result<Field<X86_64>> {
        let map: PhysicalMap = Source::ThisMachine.load()?;
        for warning in &map.warnings {
            eprintln!("warning: {warning}");
        }
        let records_limit = if self.mode == Mode::Test { 64 << 20 } else { pfnbench::field::default_records_limit() };
        let (backing, device) = self.open()?;
        let means = Means { backing, device, records_limit, seed: 1 };
        let served = Served::of(entries::<X86_64>(), &means);
        for (layout, reason) in &served.left_out {
            eprintln!("skipped: {layout}: {reason}");
        }
        Ok(Field::boot(map.boot_map()?, map.end(), &served.entries, &means, &Interrupt::default())?)
    }

    /// Memory for records in RAM, and a device if one was asked for.
    ///
    /// # Errors
    /// This machine does not have it.
    pub fn open(&self) -> anyhow::Result<(RamBacking, Option<Arc<DaxDevice>>)> {
        self.backing.open().with_context(|| format!("{}={}", backing_arg::VARIABLE, self.backing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(arguments: &[&str]) -> anyhow::Result<Start> {
        let all = std::iter::once(&"bench").chain(arguments);
        Start::from(Arguments::try_parse_from(all)?, None)
    }

    #[test]
    fn names_end_with_the_backing_that_was_asked_for() {
        let start = |arguments: &[&str]| {
            let all = std::iter::once(&"bench").chain(arguments);
            Start::from(Arguments::try_parse_from(all)?, Some("tmpfs:/mnt/a".parse().unwrap()))
        };
        let all = start(&["--bench"]).unwrap();
        assert_eq!(all.name("hotplug/2MiB/dax"), "hotplug/2MiB/dax@tmpfs=mnt-a");
        let exact = start(&["--bench", "--exact", "hotplug/2MiB/dax@tmpfs=mnt-a"]).unwrap();
        assert!(exact.wants("hotplug/2MiB/dax") && !exact.wants("hotplug/2MiB/dax-x86"));
        let error = start(&["--bench", "hotplug/2MiB/dax$"]).unwrap_err().to_string();
        assert!(error.contains("with @tmpfs=mnt-a at its end"), "{error}");
    }

    #[test]
    fn names_are_distinct_and_every_layout_has_some() {
        let mut names: Vec<_> = lookup_cases().iter().map(LookupCase::name).collect();
        names.extend(hotplug_cases().iter().map(HotplugCase::name));
        names.extend(space_cases().iter().map(SpaceCase::name));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(lookup_cases().len() <= 80, "criterion takes a second and a half for each");
        for entry in entries::<X86_64>() {
            assert!(names.iter().any(|name| name.ends_with(entry.id)), "{}", entry.id);
        }
    }

    #[test]
    fn a_filter_that_selects_nothing_anywhere_is_an_error() {
        let error = start(&["--bench", "nothing_like_it"]).unwrap_err().to_string();
        assert!(error.contains("nothing_like_it") && error.contains("selects no case"), "{error}");
        assert!(start(&["--bench", "["]).is_err());
        let hotplug_only = start(&["--bench", "hotplug/2MiB"]).unwrap();
        assert!(lookup_cases().iter().all(|case| !hotplug_only.wants(case.name())));
        assert!(start(&["some_unit_test"]).unwrap().mode == Mode::Test, "tests of the workspace may be filtered");
    }

    #[test]
    fn arguments_of_the_other_target_are_borne() {
        let start = start(&["--bench", "--sample-size", "20", "--noplot", "--save-baseline=x", "pfn_valid"]).unwrap();
        assert_eq!(start.arguments.save_baseline.as_deref(), Some("x"));
        assert_eq!(start.arguments.filter.as_deref(), Some("pfn_valid"));
        assert_eq!(start.mode, Mode::Bench);
        assert!(Arguments::try_parse_from(["bench", "--no-such-option"]).is_err());
    }

    #[test]
    fn exact_names_match_alone() {
        let start = start(&["--bench", "--exact", "pfn_valid/boot/random/flat"]).unwrap();
        assert!(start.wants("pfn_valid/boot/random/flat") && !start.wants("pfn_valid/boot/random/flatter"));
    }
}
