//! Workloads: TOML files that say which cases are measured on which map. The files of
//! `harness/workloads` are built in.
//!
//! ```toml
//! about = "Whether a page frame has a record"
//!
//! [[lookups]]                           # every combination is a case
//! tier = "default"                      # the shortest tier that runs it
//! maps = ["this-machine"]               # this-machine (default), builtin:NAME, or a file
//! layouts = ["flat", "subsection"]      # default: all
//! ops = ["pfn_valid"]
//! modes = ["independent", "chained"]    # default: the first mode of each lookup
//! memory = ["boot", "added"]            # default: both
//! patterns = ["sequential", "random"]
//! invalid_percent = [0, 30]             # default: 0
//! tables = ["hot"]                      # default: hot
//! records = ["l1", "cache", "memory"]   # for lookups that read records; default: cache
//! population = ["common", "disputed"]   # default: common; disputed: pfn_valid in holes of boot sections
//!
//! [[hotplug]]                           # on the main map of a run
//! tier = "full"
//! sizes = ["2 MiB", "1 GiB"]
//! positions = ["first", "later"]        # default: first; impossible combinations are skipped
//! addresses = ["again", "growth"]       # again (a re-add, default), growth, fresh
//! several_threads = true                # also 2, 4, … threads initialise records, up to one per CPU
//!
//! [[readers]]                           # readers beside a writer
//! tier = "full"
//! every_number = true                   # 1 to all CPUs; default: one less than all CPUs
//!
//! [[own_cost]]                          # hot-add compared with a bare populate
//! tier = "full"
//!
//! [[expect]]                            # answers that are checked before anything is timed
//! map = "builtin:with-holes"
//! pfn = 0x100000
//! span = true                           # answer of layouts that call the whole span valid
//! section = true                        # of layouts that call whole sections valid
//! subsection = true                     # of layouts that check sub-sections
//! ```

use crate::case::{
    Addresses, HotplugGroup, LookupGroup, LookupOp, Memory, Mode, Pattern, Population, Position, ReadersGroup, Records,
    THIS_MACHINE, Tables, layouts, several_threads,
};
use crate::files::{excerpt, line_of};
use crate::map::builtin;
use crate::map::source::Source;
use crate::size::parse_size;
use crate::workload::tier::Tier;
use crate::workload::work::Work;
mod cases;
pub mod tier;
pub mod work;

pub use cases::{lookup_cases, names, names_without_layouts};
use memmap_layouts::{Geometry, Pfn, Validity, X86_64};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;

/// The built-in workloads: name and TOML text.
const BUILTIN: [(&str, &str); 8] = [
    ("pfn_valid", include_str!("../../workloads/pfn_valid.toml")),
    ("pfn_to_page", include_str!("../../workloads/pfn_to_page.toml")),
    ("page_to_pfn", include_str!("../../workloads/page_to_pfn.toml")),
    ("scale", include_str!("../../workloads/scale.toml")),
    ("walkers", include_str!("../../workloads/walkers.toml")),
    ("holes", include_str!("../../workloads/holes.toml")),
    ("hotplug", include_str!("../../workloads/hotplug.toml")),
    ("answers", include_str!("../../workloads/answers.toml")),
];

/// Every addition is a multiple of this many bytes: a sub-section.
const SMALLEST_ADDITION: u64 = X86_64::PAGES_PER_SUBSECTION << X86_64::PAGE_SHIFT;

/// Why a workload cannot be used.
#[derive(Debug, Error)]
pub enum WorkloadError {
    /// The file cannot be read.
    #[error("cannot read the workload {file}: {source}")]
    Io {
        /// The file, as it was named.
        file: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The file is not TOML, or has an unknown key or value.
    #[error("{file}: {what}")]
    Toml {
        /// The file, as it was named.
        file: String,
        /// The message of the `toml` crate: line and column, an excerpt, and the allowed values.
        what: String,
    },
    /// A value is invalid, or does not go with the others.
    #[error("{file}:{line}: {what}\n{excerpt}")]
    Malformed {
        /// The file, as it was named.
        file: String,
        /// Line number, from 1.
        line: usize,
        /// The error, with the values that are allowed.
        what: String,
        /// The line, with carets below the invalid part.
        excerpt: String,
    },
    /// The workload measures nothing.
    #[error("{file}: there is nothing to do; add [[lookups]], [[hotplug]], [[readers]], [[own_cost]] or [[expect]]")]
    Empty {
        /// The file, as it was named.
        file: String,
    },
}

/// A parsed workload.
///
/// ```
/// use pfnbench::workload::tier::Tier;
/// use pfnbench::workload::{Workload, everything, names};
///
/// let text = "about = 'one lookup'\n[[lookups]]\ntier = 'smoke'\nops = ['pfn_valid']\npatterns = ['random']\n\
///             layouts = ['flat']\nmemory = ['boot']\n";
/// let workload = Workload::parse("mine.toml", text)?;
/// assert_eq!(names(&everything(&[workload], Some(Tier::Smoke))), ["pfn_valid/boot/random/flat"]);
/// # Ok::<(), pfnbench::workload::WorkloadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Workload {
    /// Name of the workload: the file name without folder and extension.
    pub name: String,
    /// One-line description for listings.
    pub about: String,
    /// Groups of lookups, one for each combination in the file.
    pub lookups: Vec<LookupWork>,
    /// Groups of additions and removals, each with the shortest tier that runs it.
    pub hotplug: Vec<(Tier, HotplugGroup)>,
    /// Groups of readers beside a writer, each with the shortest tier that runs it.
    pub readers: Vec<(Tier, ReadersGroup)>,
    /// The shortest tier that compares hot-add with a bare populate; `None` if no tier does.
    pub own_cost: Option<Tier>,
    /// Answers to check before anything is timed.
    pub expect: Vec<Expectation>,
}

/// A group of lookups on a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupWork {
    /// The shortest tier that runs the group.
    pub tier: Tier,
    /// The map: `this-machine`, `builtin:NAME` or a file.
    pub map: String,
    /// Ids of layouts; empty for all.
    pub layouts: Vec<String>,
    /// Operation, mode, pattern and state of the caches.
    pub group: LookupGroup,
    /// Boot memory, added memory, or both.
    #[serde(alias = "sections")]
    pub memory: Vec<Memory>,
}

/// The expected answers of `pfn_valid` for a page frame of a map, at boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The map: `builtin:NAME`, or a file.
    pub map: String,
    /// The pfn to look up.
    pub pfn: u64,
    /// Expected answer of layouts that call everything below the highest page valid.
    pub span: bool,
    /// Expected answer of layouts that call whole sections valid.
    pub section: bool,
    /// Expected answer of layouts that check sub-sections in boot sections too.
    pub subsection: bool,
}

impl Expectation {
    /// The page frame as a [`Pfn`].
    pub fn pfn(&self) -> Pfn {
        Pfn(self.pfn)
    }

    /// Is it valid for a layout with this validity? `None` if the workload does not say.
    pub fn answer(&self, validity: Validity) -> Option<bool> {
        match validity {
            Validity::Span => Some(self.span),
            // At boot every section is a boot section.
            Validity::Section | Validity::Subsection { early_is_whole: true } => Some(self.section),
            Validity::Subsection { early_is_whole: false } => Some(self.subsection),
            Validity::MemorySpan | Validity::Ranges => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    about: String,
    #[serde(default)]
    lookups: Vec<LookupsTable>,
    #[serde(default)]
    hotplug: Vec<HotplugTable>,
    #[serde(default)]
    readers: Vec<ReadersTable>,
    #[serde(default)]
    own_cost: Vec<OwnCostTable>,
    #[serde(default)]
    expect: Vec<Spanned<Expectation>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookupsTable {
    tier: Tier,
    #[serde(default = "this_machine")]
    maps: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    layouts: Vec<Spanned<String>>,
    ops: Spanned<Vec<LookupOp>>,
    modes: Option<Spanned<Vec<Mode>>>,
    #[serde(default = "boot_and_added", alias = "sections")]
    memory: Spanned<Vec<Memory>>,
    patterns: Spanned<Vec<Pattern>>,
    #[serde(default = "all_valid")]
    invalid_percent: Spanned<Vec<u32>>,
    #[serde(default = "hot_tables")]
    tables: Spanned<Vec<Tables>>,
    records: Option<Spanned<Vec<Records>>>,
    #[serde(default = "common_population")]
    population: Spanned<Vec<Population>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HotplugTable {
    tier: Tier,
    sizes: Spanned<Vec<Spanned<String>>>,
    #[serde(default = "with_a_section")]
    positions: Spanned<Vec<Position>>,
    #[serde(default = "same_addresses")]
    addresses: Spanned<Vec<Addresses>>,
    #[serde(default)]
    several_threads: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadersTable {
    tier: Tier,
    #[serde(default)]
    every_number: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnCostTable {
    tier: Tier,
}

fn with_a_section() -> Spanned<Vec<Position>> {
    Spanned::new(0..0, vec![Position::First])
}

fn same_addresses() -> Spanned<Vec<Addresses>> {
    Spanned::new(0..0, vec![Addresses::Again])
}

fn this_machine() -> Spanned<Vec<Spanned<String>>> {
    Spanned::new(0..0, vec![Spanned::new(0..0, THIS_MACHINE.to_owned())])
}

fn boot_and_added() -> Spanned<Vec<Memory>> {
    Spanned::new(0..0, Memory::ALL.to_vec())
}

fn all_valid() -> Spanned<Vec<u32>> {
    Spanned::new(0..0, vec![0])
}

fn hot_tables() -> Spanned<Vec<Tables>> {
    Spanned::new(0..0, vec![Tables::Hot])
}

fn common_population() -> Spanned<Vec<Population>> {
    Spanned::new(0..0, vec![Population::Common])
}

/// A file that is being parsed.
struct Reading<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reading<'_> {
    fn error<T>(&self, at: &Spanned<T>, what: String) -> WorkloadError {
        let (line, excerpt) = (line_of(self.text, at.span().start), excerpt(self.text, at.span()));
        WorkloadError::Malformed { file: self.file.to_owned(), line, what, excerpt }
    }

    /// Rejects an empty list, which would silently produce no case.
    fn check_filled<T>(&self, name: &str, list: &Spanned<Vec<T>>) -> Result<(), WorkloadError> {
        match list.get_ref().is_empty() {
            true => Err(self
                .error(list, format!("the list {name} is empty, so there is no case; leave it out for the default"))),
            false => Ok(()),
        }
    }

    fn check_map(&self, map: &Spanned<String>) -> Result<(), WorkloadError> {
        let name = map.get_ref();
        match name.strip_prefix("builtin:") {
            Some(known) if builtin::by_name(known).is_none() => {
                let all = builtin::names().map(|name| format!("builtin:{name}")).collect::<Vec<_>>().join(", ");
                Err(self.error(map, format!("there is no map {name:?}; there are {THIS_MACHINE}, {all}, and files")))
            }
            None if name.is_empty() || name == "-" => {
                Err(self.error(map, format!("{name:?} is not a map; write {THIS_MACHINE}, builtin:NAME, or a file")))
            }
            _ => Ok(()),
        }
    }

    fn check_layout(&self, layout: &Spanned<String>) -> Result<(), WorkloadError> {
        let known: Vec<&str> = layouts::<X86_64>().iter().map(|entry| entry.id).collect();
        if known.contains(&layout.get_ref().as_str()) {
            return Ok(());
        }
        let what = format!("there is no layout {:?}; there are {}", layout.get_ref(), known.join(", "));
        Err(self.error(layout, what))
    }

    /// Every combination of the lists, in order. A combination that makes no sense is an error if
    /// it was requested explicitly.
    fn lookups(&self, table: &LookupsTable) -> Result<Vec<LookupWork>, WorkloadError> {
        table.maps.get_ref().iter().try_for_each(|map| self.check_map(map))?;
        table.layouts.iter().try_for_each(|layout| self.check_layout(layout))?;
        if let Some(percent) = table.invalid_percent.get_ref().iter().find(|&&percent| percent > 100) {
            let what = format!("invalid_percent {percent} is above 100; write 0 to 100");
            return Err(self.error(&table.invalid_percent, what));
        }
        self.check_filled("ops", &table.ops)?;
        self.check_filled("patterns", &table.patterns)?;
        self.check_filled("invalid_percent", &table.invalid_percent)?;
        self.check_filled("tables", &table.tables)?;
        self.check_filled("memory", &table.memory)?;
        table.modes.as_ref().map_or(Ok(()), |modes| self.check_filled("modes", modes))?;
        self.check_filled("maps", &table.maps)?;
        self.check_filled("population", &table.population)?;
        table.records.as_ref().map_or(Ok(()), |records| self.check_filled("records", records))?;
        let mut works = Vec::new();
        for &op in table.ops.get_ref() {
            let usual = [op.usual_mode()];
            let modes = table.modes.as_ref().map_or(&usual[..], |modes| modes.get_ref());
            for &mode in modes {
                if !op.modes().contains(&mode) {
                    let known = op.modes().iter().map(|mode| mode.name()).collect::<Vec<_>>().join(", ");
                    let what = format!("{op} has no mode {}; it has {known}", mode.name());
                    return Err(self.error(table.modes.as_ref().unwrap_or(&Spanned::new(0..0, vec![])), what));
                }
                for &pattern in table.patterns.get_ref() {
                    for &invalid_percent in table.invalid_percent.get_ref() {
                        for &tables in table.tables.get_ref() {
                            let plain =
                                LookupGroup { mode, invalid_percent, tables, ..LookupGroup::plain(op, pattern) };
                            for group in self.variants(table, plain)? {
                                self.check_group(table, &group)?;
                                works.extend(table.maps.get_ref().iter().map(|map| LookupWork {
                                    tier: table.tier,
                                    map: map.get_ref().clone(),
                                    layouts: table.layouts.iter().map(|layout| layout.get_ref().clone()).collect(),
                                    group,
                                    memory: table.memory.get_ref().clone(),
                                }));
                            }
                        }
                    }
                }
            }
        }
        Ok(works)
    }

    /// The group with each requested state of the records and each requested population.
    fn variants(&self, table: &LookupsTable, group: LookupGroup) -> Result<Vec<LookupGroup>, WorkloadError> {
        let reads = group.op.reads_records(group.mode);
        let records = match &table.records {
            Some(asked) if !reads => {
                let (op, mode) = (group.op, group.mode.name());
                return Err(
                    self.error(asked, format!("the lookup {op} in the mode {mode} reads no record; leave records out"))
                );
            }
            // Evicting tables from the caches evicts records too.
            _ if reads && group.tables == Tables::Cold => vec![Some(Records::Memory)],
            Some(asked) => asked.get_ref().iter().copied().map(Some).collect(),
            None if reads => vec![Some(Records::Cache)],
            None => vec![None],
        };
        let mut variants = Vec::new();
        for &population in table.population.get_ref() {
            if population == Population::Disputed && (group.op != LookupOp::PfnValid || group.invalid_percent > 0) {
                let what = "population \"disputed\" goes only with pfn_valid and invalid_percent 0";
                return Err(self.error(&table.population, what.to_owned()));
            }
            variants.extend(records.iter().map(|&records| LookupGroup { records, population, ..group }));
        }
        Ok(variants)
    }

    /// Every valid combination. Fresh addresses come first, since larger additions would use them
    /// up.
    fn hotplug(&self, table: &HotplugTable) -> Result<Vec<(Tier, HotplugGroup)>, WorkloadError> {
        self.check_filled("sizes", &table.sizes)?;
        self.check_filled("positions", &table.positions)?;
        self.check_filled("addresses", &table.addresses)?;
        let mut groups = Vec::new();
        let threads = if table.several_threads { several_threads() } else { Vec::new() };
        for &addresses in table.addresses.get_ref() {
            for &position in table.positions.get_ref() {
                for text in table.sizes.get_ref() {
                    let size = parse_size(text.get_ref()).map_err(|error| self.error(text, error.to_string()))?;
                    if size == 0 || !size.is_multiple_of(SMALLEST_ADDITION) {
                        let what =
                            format!("the size {:?} cannot be hot-added; write a multiple of 2 MiB", text.get_ref());
                        return Err(self.error(text, what));
                    }
                    if !position.has::<X86_64>(size) {
                        continue;
                    }
                    let plain = HotplugGroup { addresses, position, ..HotplugGroup::plain(size) };
                    groups.push((table.tier, plain));
                    groups.extend(
                        threads.iter().map(|&init_threads| (table.tier, HotplugGroup { init_threads, ..plain })),
                    );
                }
            }
        }
        Ok(groups)
    }

    fn check_group(&self, table: &LookupsTable, group: &LookupGroup) -> Result<(), WorkloadError> {
        let op = group.op;
        if group.invalid_percent > 0 && !op.bears_invalid() {
            let what = format!(
                "{op} accepts only valid page frames; write invalid_percent = [0], or pfn_valid or valid_to_page"
            );
            return Err(self.error(&table.invalid_percent, what));
        }
        if group.tables == Tables::Cold && (group.pattern != Pattern::Random || group.invalid_percent > 0) {
            let what = "cold tables go only with the pattern random and invalid_percent 0";
            return Err(self.error(&table.tables, what.to_owned()));
        }
        if op.is_walk() && (group.pattern != Pattern::Sequential || group.tables == Tables::Cold) {
            let what = format!("{op} is a walk; write patterns = [\"sequential\"] and tables = [\"hot\"]");
            return Err(self.error(&table.patterns, what));
        }
        Ok(())
    }
}

impl Workload {
    /// Parses a workload; error messages call it `file`.
    ///
    /// # Errors
    /// [`WorkloadError`], with the line and the allowed values.
    pub fn parse(file: &str, text: &str) -> Result<Self, WorkloadError> {
        let source = Reading { file, text };
        let parsed: File = toml::from_str(text).map_err(|error| WorkloadError::Toml {
            file: file.to_owned(),
            what: error.to_string().trim_end().to_owned(),
        })?;
        let mut lookups = Vec::new();
        for table in &parsed.lookups {
            lookups.extend(source.lookups(table)?);
        }
        let mut hotplug: Vec<(Tier, HotplugGroup)> = Vec::new();
        for table in &parsed.hotplug {
            hotplug.extend(source.hotplug(table)?);
        }
        let readers_groups = |table: &ReadersTable| {
            let groups = if table.every_number { ReadersGroup::every() } else { vec![ReadersGroup::usual()] };
            groups.into_iter().map(|group| (table.tier, group)).collect::<Vec<_>>()
        };
        let readers: Vec<(Tier, ReadersGroup)> = parsed.readers.iter().flat_map(readers_groups).collect();
        let own_cost = parsed.own_cost.iter().map(|table| table.tier).min();
        for expectation in &parsed.expect {
            let map = Spanned::new(expectation.span(), expectation.get_ref().map.clone());
            source.check_map(&map)?;
            if expectation.get_ref().map == THIS_MACHINE {
                let what = "the answers on this-machine differ between machines; name a map, e.g. builtin:with-holes";
                return Err(source.error(&map, what.to_owned()));
            }
        }
        let beside = !hotplug.is_empty() || !readers.is_empty() || own_cost.is_some();
        if lookups.is_empty() && !beside && parsed.expect.is_empty() {
            return Err(WorkloadError::Empty { file: file.to_owned() });
        }
        let name = Path::new(file).file_stem().map_or_else(|| file.to_owned(), |stem| stem.to_string_lossy().into());
        let expect = parsed.expect.into_iter().map(Spanned::into_inner).collect();
        Ok(Self { name, about: parsed.about, lookups, hotplug, readers, own_cost, expect })
    }

    /// Reads and parses the workload in a file.
    ///
    /// # Errors
    /// The file cannot be read or is not a valid workload; see [`WorkloadError`].
    pub fn read(path: &Path) -> Result<Self, WorkloadError> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| WorkloadError::Io { file: file.clone(), source })?;
        Self::parse(&file, &text)
    }

    /// The workloads in these files; the built-in ones if there are no paths.
    ///
    /// # Errors
    /// A file cannot be read or is not a valid workload; see [`WorkloadError`].
    pub fn chosen(paths: &[PathBuf]) -> Result<Vec<Self>, WorkloadError> {
        match paths.is_empty() {
            true => Ok(Self::builtin()),
            false => paths.iter().map(|path| Self::read(path)).collect(),
        }
    }

    /// The built-in workloads, parsed.
    pub fn builtin() -> Vec<Self> {
        let parse = |(name, text)| Self::parse(&format!("{name}.toml"), text).expect("tests read them all");
        BUILTIN.into_iter().map(parse).collect()
    }
}

/// All work of the workloads up to a tier, on any map. Each group occurs once, in the order of
/// first occurrence.
pub fn everything(workloads: &[Workload], tier: Option<Tier>) -> Work {
    let runs = |shortest: Tier| tier.is_none_or(|tier| shortest <= tier);
    let mut work = Work::default();
    for workload in workloads {
        work.lookups.extend(workload.lookups.iter().filter(|work| runs(work.tier)).cloned());
        for (_, group) in workload.hotplug.iter().filter(|(tier, _)| runs(*tier)) {
            if !work.hotplug.contains(group) {
                work.hotplug.push(*group);
            }
        }
        for (_, group) in workload.readers.iter().filter(|(tier, _)| runs(*tier)) {
            if !work.readers.contains(group) {
                work.readers.push(*group);
            }
        }
        work.own_cost |= workload.own_cost.is_some_and(runs);
    }
    // Fresh addresses come first, before larger additions use them up.
    work.hotplug.sort_by_key(|group| group.addresses != Addresses::Fresh);
    work
}

/// Parses the name of a workload's map: `this-machine`, `builtin:NAME` or a file.
pub fn source_of(map: &str) -> Source {
    match map {
        THIS_MACHINE => Source::ThisMachine,
        other => other.parse().unwrap_or_else(|never: std::convert::Infallible| match never {}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_workloads_parse_and_name_each_case_once() {
        let works: Vec<LookupWork> = Workload::builtin().into_iter().flat_map(|workload| workload.lookups).collect();
        let mut names: Vec<String> = works
            .iter()
            .flat_map(|work| work.memory.iter().map(|&on| format!("{} {}", work.map, work.group.name(on))))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "two entries define the same case");
        for op in LookupOp::ALL {
            for &mode in op.modes() {
                let has = |work: &&LookupWork| work.group.op == op && work.group.mode == mode;
                assert!(works.iter().any(|work| has(&work)), "{op} {}", mode.name());
            }
        }
    }

    /// Each line of the figure has both lookups at every size. The sizes are close enough that no
    /// step between them is missed.
    #[test]
    fn the_scale_workload_covers_1_gib_to_4_tib() {
        let works: Vec<LookupWork> = Workload::builtin().into_iter().flat_map(|workload| workload.lookups).collect();
        for op in [LookupOp::PfnValid, LookupOp::PfnToPage] {
            let group = LookupGroup::plain(op, Pattern::Random);
            let scale = works.iter().filter(|work| work.group == group && work.map.starts_with("builtin:scattered-"));
            let mut bytes: Vec<u64> = scale
                .map(|work| {
                    assert_eq!(work.memory, Memory::ALL);
                    source_of(&work.map).load().unwrap().ram_bytes()
                })
                .collect();
            bytes.sort_unstable();
            assert_eq!((bytes[0], bytes[bytes.len() - 1]), (1 << 30, 4 << 40), "{op}");
            assert!(bytes.windows(2).all(|pair| pair[0] < pair[1] && pair[1] <= 8 * pair[0]), "{op}: {bytes:?}");
        }
    }

    fn parse_error(text: &str) -> String {
        Workload::parse("w.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_malformed_workload_is_shown_with_file_line_caret_and_allowed_values() {
        let lookups = |more: &str| format!("about = \"x\"\n[[lookups]]\ntier = \"full\"\n{more}");
        for (text, line, allowed) in [
            (lookups("ops = [\"pfn_vaild\"]\npatterns = [\"random\"]"), 4, "`pfn_to_page`"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"randm\"]"), 5, "`zipf`"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"random\"]\nmodes = [\"touching\"]"), 6, "chained"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"random\"]\nlayouts = [\"holey\"]"), 6, "subsection"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"random\"]\nmaps = [\"builtin:x\"]"), 6, "this-machine"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"random\"]\ninvalid_percent = [101]"), 6, "0 to 100"),
            (lookups("ops = [\"pfn_to_page\"]\npatterns = [\"random\"]\ninvalid_percent = [2]"), 6, "pfn_valid"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"zipf\"]\ntables = [\"cold\"]"), 6, "random"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"random\"]\npattern = 1"), 6, "`patterns`"),
            ("about = \"x\"\n[[hotplug]]\ntier = \"full\"\nsizes = [\"3 MiB\"]".to_owned(), 4, "multiple of 2 MiB"),
            ("about = \"x\"\n[[hotplug]]\ntier = \"full\"\nsizes = [\"two\"]".to_owned(), 4, "512M"),
            ("about = \"x\"\n[[hotplug]]\ntier = \"full\"\nsizes = [\"2M\"]\naddresses = [\"grow\"]".to_owned(), 5, "`growth`"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = []"), 5, "list patterns is empty"),
            (lookups("ops = [\"pfn_valid\"]\npatterns = [\"zipf\"]\nmemory = []"), 6, "list memory is empty"),
            ("about = \"x\"\n[[lookup]]\n".to_owned(), 2, "`lookups`"),
            ("about = \"x\"\n\n[[lookups]\n".to_owned(), 3, "]"),
            ("[[lookups]]\ntier = \"fast\"\n".to_owned(), 2, "`quick`"),
            ("about = \"x\"\n[[expect]]\nmap = \"this-machine\"\npfn = 1\nspan = true\nsection = true\nsubsection = true".to_owned(), 2, "name a map"),
        ] {
            let what = parse_error(&text);
            let places = [format!("w.toml:{line}: "), format!("w.toml: TOML parse error at line {line}, column ")];
            assert!(places.iter().any(|place| what.starts_with(place)) && what.contains(allowed), "{text}\n{what}");
            let shown = format!("\n{line} | {}\n  | ", text.lines().nth(line - 1).unwrap());
            assert!(what.contains(&shown) && what.contains('^'), "{text}\n{what}");
        }
        assert!(parse_error("about = \"nothing\"").contains("nothing to do"));
        assert!(Workload::read(Path::new("/no/such.toml")).unwrap_err().to_string().contains("/no/such.toml"));
    }

    #[test]
    fn a_longer_tier_includes_the_work_of_shorter_ones() {
        let workloads = Workload::builtin();
        let up_to = |tier| everything(&workloads, Some(tier));
        let full = up_to(Tier::Full);
        for tier in Tier::ALL {
            let shorter = up_to(tier);
            assert!(shorter.hotplug.iter().all(|group| full.hotplug.contains(group)), "{tier}");
            assert!(shorter.readers.iter().all(|group| full.readers.contains(group)) && shorter.own_cost, "{tier}");
        }
        assert!(full.hotplug.contains(&HotplugGroup::plain(64 << 30)));
        assert!(full.readers.iter().any(ReadersGroup::is_oversubscribed));
        let fresh = full.hotplug.iter().map(|group| group.addresses == Addresses::Fresh).collect::<Vec<_>>();
        assert!(fresh[0] && fresh.is_sorted_by_key(|fresh| !fresh), "fresh addresses first");
        let growth = |tier, size| {
            let group = HotplugGroup { addresses: Addresses::Growth, ..HotplugGroup::plain(size) };
            up_to(tier).hotplug.contains(&group)
        };
        assert!([2 << 20, 128 << 20].into_iter().all(|size| growth(Tier::Default, size) && !growth(Tier::Smoke, size)));
    }

    #[test]
    fn every_combination_is_a_case() {
        let text = "about = \"x\"\n[[lookups]]\ntier = \"quick\"\nmaps = [\"this-machine\", \"builtin:scattered-64\"]\n\
                    ops = [\"pfn_valid\"]\nmodes = [\"independent\", \"chained\"]\npatterns = [\"random\", \"zipf\"]\n\
                    invalid_percent = [0, 2, 30]\n";
        assert_eq!(Workload::parse("dir/w.toml", text).unwrap().lookups.len(), 2 * 2 * 2 * 3);
        assert_eq!(Workload::parse("dir/w.toml", text).unwrap().name, "w");
    }
}
