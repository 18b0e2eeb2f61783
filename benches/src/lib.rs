//! Common setup of the `cargo bench` targets: arguments, names, and the layouts on this machine's
//! map.
//!
//! `cargo bench` passes the same arguments to every target, so each must accept the options of the
//! others. A filter is checked against the names of all targets. Without `--bench` (`cargo test
//! --all-targets`) a target verifies its cases once and writes nothing.

use anyhow::{Context, bail};
use clap::Parser;
use memmap_layouts::backing::{DaxDevice, RamBacking};
use memmap_layouts::{ByteSize, Geometry, X86_64};
use pfnbench::case;
pub use pfnbench::case::{HotplugCase, LookupCase, LookupGroup};
use pfnbench::case::{LookupOp, Mode as LookupMode, Pattern};
use pfnbench::engine::backing_arg::{self, BackingArg};
use pfnbench::engine::field::{Field, Lineup, Means};
use pfnbench::engine::index_pages::IndexPagesArg;
use pfnbench::engine::layouts::entries;
use pfnbench::engine::memory_plan::MapMemory;
use pfnbench::engine::race::Served;
use pfnbench::interrupt::Interrupt;
use pfnbench::map::PhysicalMap;
use pfnbench::map::source::Source;
use pfnbench::workload::tier::Tier;
use pfnbench::workload::{LookupWork, Workload};
use regex::Regex;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Arguments of the targets. The options of criterion are listed only so that they are not mistaken
/// for a filter.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --", disable_version_flag = true)]
pub struct Arguments {
    /// Run only cases whose name matches this regular expression
    filter: Option<String>,
    /// The filter is a full name
    #[arg(long)]
    exact: bool,
    /// Print the names of the cases and exit
    #[arg(long)]
    list: bool,
    /// Save the results under this name; write it as --save-baseline=NAME
    #[arg(long, value_name = "NAME")]
    pub save_baseline: Option<String>,
    /// Compare with the results saved under this name
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    #[arg(long, hide = true)]
    bench: bool,
    #[arg(long, hide = true)]
    test: bool,
    #[command(flatten)]
    criterion: Criterion,
    /// Options of iai-callgrind alone.
    #[command(flatten)]
    pub callgrind: Callgrind,
}

/// Options that only iai-callgrind knows. Each is written with an equals sign, so that other
/// targets can skip it as one word.
#[derive(Debug, clap::Args)]
pub struct Callgrind {
    #[arg(long, hide = true, require_equals = true, num_args = 0..=1, default_missing_value = "yes")]
    allow_aslr: Option<String>,
    #[arg(long, hide = true, require_equals = true)]
    callgrind_args: Option<String>,
    #[arg(long, hide = true, require_equals = true)]
    valgrind_args: Option<String>,
}

impl Callgrind {
    /// The options of `Callgrind`, as they are written.
    const NAMES: [&str; 3] = ["--allow-aslr", "--callgrind-args", "--valgrind-args"];

    /// The arguments that these were.
    pub fn to_arguments(&self) -> Vec<String> {
        let values = [&self.allow_aslr, &self.callgrind_args, &self.valgrind_args];
        let given = Self::NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// True if the argument is one of these options.
    fn knows(argument: &str) -> bool {
        Self::NAMES.contains(&argument.split('=').next().unwrap_or_default())
    }
}

/// Options that only criterion knows.
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
    /// Accepted for `cargo test`, whose test runner knows it
    #[arg(long, hide = true)]
    test_threads: Option<String>,
}

/// Restarts the process without the options that only iai-callgrind knows. Criterion reads the
/// arguments itself and would reject them.
///
/// # Errors
/// Fails if the process cannot be restarted.
pub fn restart_without_callgrind_options() -> anyhow::Result<()> {
    let (dropped, kept): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| Callgrind::knows(argument));
    if dropped.is_empty() {
        return Ok(());
    }
    Err(Command::new(std::env::current_exe()?).args(kept).exec()).context("cannot restart the bench")
}

/// Path of a baseline of this name in a folder.
///
/// # Errors
/// Fails if the name is not a valid file name.
pub fn baseline_path(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    if name.is_empty() || name.contains(['/', '\\']) || name.starts_with('.') {
        bail!("{name:?} is not a valid name of a baseline; it must be a file name, e.g. before");
    }
    Ok(folder.join(name))
}

/// A physical-space case: additions and removals of one size, with physical addresses of 46 bits
/// and of 52 bits.
#[derive(Clone, Copy, Debug)]
pub struct SpaceCase {
    /// Size in bytes.
    pub size: u64,
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
}

impl SpaceCase {
    /// Name of the case, e.g. `space/2MiB/dax`.
    pub fn name(&self) -> String {
        format!("space/{}/{}", ByteSize(self.size).to_string().replace(' ', ""), self.layout)
    }
}

/// A namespace case: creating and enabling one, compared with a bare populate that writes the same
/// records.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceCase {
    /// Size in bytes.
    pub size: u64,
    /// Id of the layout of the machine.
    pub layout: &'static str,
    /// True if records are on the device, false if they are in RAM.
    pub on_medium: bool,
}

impl NamespaceCase {
    /// Name of the case, e.g. `namespace/64GiB/dax-x86/dev`.
    pub fn name(&self) -> String {
        let size = ByteSize(self.size).to_string().replace(' ', "");
        format!("namespace/{size}/{}/{}", self.layout, if self.on_medium { "dev" } else { "mem" })
    }
}

/// Cases with 64 GiB of persistent memory, and records on the device or in RAM.
pub fn namespace_cases() -> [NamespaceCase; 3] {
    [("dax-x86", true), ("dax", true), ("subsection", false)].map(|(layout, on_medium)| NamespaceCase {
        size: 64 << 30,
        layout,
        on_medium,
    })
}

/// A case of device memory: additions and removals of one size, in pages of one alignment.
#[derive(Clone, Copy, Debug)]
pub struct CompoundCase {
    /// Size in bytes.
    pub size: u64,
    /// Bytes of a page of the device.
    pub align: u64,
}

impl CompoundCase {
    /// Name of the case, e.g. `compound/1GiB/2MiB/linux-6.1`.
    pub fn name(&self) -> String {
        let word = |bytes| ByteSize(bytes).to_string().replace(' ', "");
        format!("compound/{}/{}/linux-6.1", word(self.size), word(self.align))
    }

    /// Base-2 logarithm of the page frames of a page of the device.
    pub fn vmemmap_shift(&self) -> u32 {
        self.align.ilog2() - X86_64::PAGE_SHIFT
    }
}

/// A gigabyte of device memory in single pages, then in compound pages of both sizes that x86-64 maps.
pub fn compound_cases() -> [CompoundCase; 3] {
    [4 << 10, 2 << 20, 1 << 30].map(|align| CompoundCase { size: 1 << 30, align })
}

/// The lookup cases for criterion: random order, `pfn_valid` also chained, and the walk. They must
/// finish within minutes. `pfnbench run` has the others: `page_to_pfn`, and cold tables, which
/// criterion's loop cannot provide.
pub fn lookup_cases() -> Vec<LookupCase> {
    let works: Vec<LookupWork> = Workload::builtin().into_iter().flat_map(|workload| workload.lookups).collect();
    let is_benched = |group: &LookupGroup| {
        let random = LookupGroup::plain(group.op, Pattern::Random);
        let chained = LookupGroup { mode: LookupMode::Chained, ..random };
        let walk = LookupGroup::plain(LookupOp::NextValidPfn, Pattern::Sequential);
        let is_forward = group.op != LookupOp::PageToPfn;
        *group == random && is_forward || *group == walk || *group == chained && group.op == LookupOp::PfnValid
    };
    pfnbench::workload::lookup_cases(&works).into_iter().filter(|case| is_benched(&case.group)).collect()
}

/// A physical-space case for every layout with hotplug, with the smallest addition. There, a cost
/// that grows with the space is most visible.
pub fn space_cases() -> Vec<SpaceCase> {
    let cases = entries::<X86_64>().into_iter().filter_map(|entry| {
        let size = entry.caps.hotplug_granule_pages? << X86_64::PAGE_SHIFT;
        Some(SpaceCase { size, layout: entry.id })
    });
    cases.collect()
}

/// What a target does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Print the names of the cases.
    List,
    /// Verify each case once, and write nothing.
    Test,
    /// Measure the cases.
    Bench,
}

/// The configuration of a target: which cases to run, and how.
#[derive(Debug)]
pub struct Start {
    /// The parsed command-line arguments.
    pub arguments: Arguments,
    /// Whether to list, verify or measure.
    pub mode: Mode,
    /// Backing store of records.
    pub backing: BackingArg,
    /// Suffix of names: `@` and the backing, if one was requested.
    suffix: String,
    filter: Option<Regex>,
}

/// The hotplug cases to measure: the default ones, without variants.
pub fn hotplug_cases() -> Vec<HotplugCase> {
    case::hotplug_cases(&case::plain_groups())
}

impl Start {
    /// Reads the arguments of the process, and the environment variable `PFNBENCH_BACKING`.
    ///
    /// # Errors
    /// Fails if the filter is not a regular expression or matches no case of any target, or if the
    /// backing is unknown.
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
        let filter = pattern
            .map(|p| Regex::new(&p).with_context(|| format!("the filter {p:?} is not a regular expression")))
            .transpose()?;
        let suffix = backing.as_ref().map(BackingArg::suffix).unwrap_or_default();
        let start = Self { arguments, mode, backing: backing.unwrap_or_default(), suffix, filter };
        let lookups = lookup_cases().into_iter().map(|case| case.name());
        let names = lookups.chain(hotplug_cases().into_iter().map(|case| case.name()));
        let names = names.chain(space_cases().into_iter().map(|case| case.name()));
        let names = names.chain(namespace_cases().into_iter().map(|case| case.name()));
        let names = names.chain(compound_cases().into_iter().map(|case| case.name()));
        let names = names.chain(pfnbench::record::instructions::cases().into_iter().map(|case| case.name()));
        // In test mode, the filter is meant for the tests of the workspace.
        if mode != Mode::Test && !names.into_iter().any(|name| start.wants(name)) {
            bail!(
                "the filter {:?} selects no case; names are like pfn_valid/boot/random/flat, hotplug/2MiB/subsection, \
                 space/2MiB/subsection, compound/1GiB/2MiB/linux-6.1, namespace/64GiB/dax-x86/dev and \
                 instructions/pfn_valid/boot/subsection{}; --list prints all",
                start.arguments.filter.as_deref().unwrap_or_default(),
                if start.suffix.is_empty() { String::new() } else { format!(", each followed by {}", start.suffix) }
            );
        }
        Ok(start)
    }

    /// A name, or the last part of one, followed by the backing if `PFNBENCH_BACKING` is set, e.g.
    /// `pfn_valid/boot/random/subsection@tmpfs`.
    pub fn name(&self, case: impl Into<String>) -> String {
        case.into() + &self.suffix
    }

    /// True if the case of this name (without a backing) is selected.
    pub fn wants(&self, name: impl Into<String>) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_match(&self.name(name)))
    }

    /// Boots the layouts on this machine's map. In test mode, only a small part of it has records.
    ///
    /// # Errors
    /// Fails if a layout does not boot, the map exceeds the supported range, or the backing is
    /// unavailable.
    pub fn field(&self) -> anyhow::Result<Field<X86_64>> {
        let map: PhysicalMap = Source::ThisMachine.load()?;
        for warning in &map.warnings {
            eprintln!("warning: {warning}");
        }
        let records_limit = if self.mode == Mode::Test {
            64 << 20
        } else {
            pfnbench::engine::field::default_records_limit(Tier::Default)
        };
        let (backing, device) = self.open()?;
        let index_pages = IndexPagesArg::default().into();
        let means = Means { backing, index_pages, device, records_limit, seed: 1 };
        let served = Served::new(entries::<X86_64>(), &means);
        for (layout, reason) in &served.left_out {
            eprintln!("skipped: {layout}: {reason}");
        }
        Ok(Field::boot(MapMemory::new(&map)?, &Lineup::once(&served.entries), &means, &Interrupt::default())?)
    }

    /// Opens the backing for records in RAM, and a device if one was requested.
    ///
    /// # Errors
    /// Fails if the backing is unavailable on this machine.
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
    fn names_end_with_the_requested_backing() {
        let start = |arguments: &[&str]| {
            let all = std::iter::once(&"bench").chain(arguments);
            Start::from(Arguments::try_parse_from(all)?, Some("tmpfs:/mnt/a".parse().unwrap()))
        };
        let all = start(&["--bench"]).unwrap();
        assert_eq!(all.name("hotplug/2MiB/dax"), "hotplug/2MiB/dax@tmpfs=mnt-a");
        let exact = start(&["--bench", "--exact", "hotplug/2MiB/dax@tmpfs=mnt-a"]).unwrap();
        assert!(exact.wants("hotplug/2MiB/dax") && !exact.wants("hotplug/2MiB/dax-x86"));
        let error = start(&["--bench", "hotplug/2MiB/dax$"]).unwrap_err().to_string();
        assert!(error.contains("followed by @tmpfs=mnt-a"), "{error}");
    }

    #[test]
    fn names_are_distinct_and_every_layout_has_some() {
        let mut names: Vec<_> = lookup_cases().iter().map(LookupCase::name).collect();
        names.extend(hotplug_cases().iter().map(HotplugCase::name));
        names.extend(space_cases().iter().map(SpaceCase::name));
        names.extend(compound_cases().iter().map(CompoundCase::name));
        names.extend(pfnbench::record::instructions::cases().iter().map(|case| case.name()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(lookup_cases().len() <= 100, "too many cases: criterion takes 1.5 s for each");
        for entry in entries::<X86_64>() {
            assert!(names.iter().any(|name| name.ends_with(entry.id)), "{}", entry.id);
        }
    }

    #[test]
    fn a_filter_that_selects_no_case_is_an_error() {
        let error = start(&["--bench", "nothing_like_it"]).unwrap_err().to_string();
        assert!(error.contains("nothing_like_it") && error.contains("selects no case"), "{error}");
        assert!(start(&["--bench", "["]).is_err());
        let hotplug_only = start(&["--bench", "hotplug/2MiB"]).unwrap();
        assert!(lookup_cases().iter().all(|case| !hotplug_only.wants(case.name())));
        assert!(
            start(&["some_unit_test"]).unwrap().mode == Mode::Test,
            "a filter in test mode may name a test of the workspace"
        );
    }

    #[test]
    fn options_of_other_targets_are_accepted() {
        let start = start(&["--bench", "--sample-size", "20", "--noplot", "--save-baseline=x", "pfn_valid"]).unwrap();
        assert_eq!(start.arguments.save_baseline.as_deref(), Some("x"));
        assert_eq!(start.arguments.filter.as_deref(), Some("pfn_valid"));
        assert_eq!(start.mode, Mode::Bench);
        assert!(Arguments::try_parse_from(["bench", "--no-such-option"]).is_err());
        let ours = ["--allow-aslr", "--callgrind-args=--dump-instr=yes", "--valgrind-args=-v"];
        let callgrind = Arguments::try_parse_from(["bench"].iter().chain(&ours)).unwrap().callgrind;
        assert_eq!(callgrind.to_arguments(), ["--allow-aslr=yes", ours[1], ours[2]]);
        assert!(ours.into_iter().all(Callgrind::knows) && !Callgrind::knows("--baseline=x"));
    }

    #[test]
    fn an_exact_filter_matches_one_name() {
        let start = start(&["--bench", "--exact", "pfn_valid/boot/random/flat"]).unwrap();
        assert!(start.wants("pfn_valid/boot/random/flat") && !start.wants("pfn_valid/boot/random/flatter"));
    }
}
