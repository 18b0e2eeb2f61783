//! Instruction counts: the names of their cases, and the rows of `instructions.jsonl`.
//!
//! A row is one case on one layout. Counts depend on the compiler and not on the machine, so each
//! row names its toolchain instead of a machine. Fields that also occur in a
//! [`Row`](crate::record::row::Row) have the same names.

use crate::case::{Layout, LookupOp, Memory, layouts};
use crate::files::replace;
use crate::record::reader::{ReadError, read_instructions};
use memmap_layouts::{ByteSize, Geometry, X86_64};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Version of the row format, as in [`InstructionRow::v`].
pub const SCHEMA: u32 = 2;

/// Name of the file, in the output of the benchmark and in a run folder.
pub const FILE_NAME: &str = "instructions.jsonl";

/// The metric of every row.
pub const METRIC: &str = "instructions";
/// The unit of [`METRIC`].
pub const UNIT: &str = "instructions/op";

/// Prefix of case names.
const PREFIX: &str = "instructions/";

/// An update of a layout's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Update {
    /// Memory is added.
    HotAdd,
    /// Memory is removed.
    HotRemove,
}

impl Update {
    /// Both updates, in the order of reports.
    pub const ALL: [Update; 2] = [Update::HotAdd, Update::HotRemove];

    /// Name in case names and rows: `hot_add` or `hot_remove`.
    pub fn name(self) -> &'static str {
        match self {
            Update::HotAdd => "hot_add",
            Update::HotRemove => "hot_remove",
        }
    }
}

/// The operation whose instructions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A lookup, on boot or added sections.
    Lookup(LookupOp, Memory),
    /// An addition or removal of this many bytes. Only work on the index is counted, not work on
    /// the records.
    Update(Update, u64),
}

impl Counted {
    /// Name of the operation, e.g. `pfn_valid` or `hot_add`.
    pub fn op(self) -> &'static str {
        match self {
            Counted::Lookup(op, _) => op.name(),
            Counted::Update(update, _) => update.name(),
        }
    }
}

/// Formats the operation as in case names, e.g. `pfn_valid/boot` or `hot_add/2MiB`.
impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Counted::Lookup(op, memory) => write!(f, "{op}/{}", memory.name()),
            Counted::Update(update, size) => {
                write!(f, "{}/{}", update.name(), ByteSize(*size).to_string().replace(' ', ""))
            }
        }
    }
}

/// An operation on one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The operation.
    pub counted: Counted,
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
}

impl Case {
    /// Name of the case, e.g. `instructions/pfn_valid/boot/subsection`.
    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.limit_name())
    }

    /// Name of the case in files of limits, without the prefix: `pfn_valid/boot/subsection`.
    pub fn limit_name(&self) -> String {
        format!("{}/{}", self.counted, self.layout)
    }
}

/// The cases of one layout. Updates have the size of the layout's hotplug granule and of a whole
/// section.
pub fn cases_of<G: Geometry>(layout: &Layout) -> Vec<Case> {
    let granule = layout.caps.hotplug_granule_pages;
    let mut counted = Vec::new();
    for memory in Memory::ALL {
        if memory == Memory::Boot || granule.is_some() {
            counted.extend(LookupOp::COUNTED.map(|op| Counted::Lookup(op, memory)));
        }
    }
    let mut sizes: Vec<u64> = granule.into_iter().flat_map(|granule| [granule, G::PAGES_PER_SECTION]).collect();
    sizes.dedup();
    for size in sizes {
        counted.extend(Update::ALL.map(|update| Counted::Update(update, size << G::PAGE_SHIFT)));
    }
    counted.into_iter().map(|counted| Case { counted, layout: layout.id }).collect()
}

/// The cases of every layout, layout by layout.
pub fn cases() -> Vec<Case> {
    layouts::<X86_64>().iter().flat_map(cases_of::<X86_64>).collect()
}

/// The compiler and settings that instruction counts depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Toolchain {
    /// Release of rustc, e.g. `1.95.0`.
    pub rustc: String,
    /// Target triple, e.g. `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// Cargo build profile, e.g. `release`.
    pub profile: String,
    /// Compiler flags that change the generated code, where the build was told any; left out if
    /// empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rustflags: String,
}

impl Toolchain {
    /// The toolchain that built this binary.
    pub fn this() -> Self {
        Self {
            // `rustc 1.95.0 (59807616e 2026-04-14)`.
            rustc: env!("PFNBENCH_RUSTC").split(' ').nth(1).unwrap_or("unknown").to_owned(),
            target: env!("PFNBENCH_TARGET").to_owned(),
            profile: env!("PFNBENCH_PROFILE").to_owned(),
            rustflags: env!("PFNBENCH_RUSTFLAGS").to_owned(),
        }
    }

    /// Name of the toolchain in rustup, e.g. `1.95.0-x86_64-unknown-linux-gnu`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.rustc, self.target)
    }

    /// Why counts made with this toolchain differ from those of a plain release build; `None` if
    /// they do not.
    pub fn unusual(&self) -> Option<String> {
        match (self.profile.as_str(), self.rustflags.as_str()) {
            ("release", "") => None,
            ("release", flags) => Some(format!("built with the flags {flags:?}")),
            (profile, _) => Some(format!("built in the profile {profile:?}")),
        }
    }
}

/// A row of `instructions.jsonl`. Unknown fields are ignored, because later versions may have more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, description = "A line of `instructions.jsonl`.")]
pub struct InstructionRow {
    /// [`SCHEMA`].
    #[schemars(description = "Version of the rows.", extend("const" = SCHEMA))]
    pub v: u32,
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// The operation: a lookup (`pfn_valid`, `pfn_to_page`, `page_to_pfn`, `valid_to_page`,
    /// `next_valid_pfn`), `hot_add` or `hot_remove`.
    pub op: String,
    /// For a lookup, whether boot or added memory is queried.
    #[serde(default, alias = "sections", skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// For `hot_add` and `hot_remove`, the size of the added or removed memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// [`METRIC`].
    #[schemars(description = "What the value is.", extend("const" = METRIC))]
    pub metric: String,
    /// [`UNIT`].
    #[schemars(description = "Its unit.", extend("const" = UNIT))]
    pub unit: String,
    /// Instructions per operation. The value is exact: a whole number of instructions divided by
    /// `n_ops`, a power of two.
    pub value: f64,
    /// Number of operations that the instructions were counted over.
    pub n_ops: u64,
    /// The toolchain that compiled the counted code, or the program around a compiled kernel.
    #[serde(flatten)]
    pub toolchain: Toolchain,
    /// For a compiled kernel, the compiler of its code, e.g. `gcc (Debian 12.2.0-14) 12.2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
}

impl InstructionRow {
    /// Makes the row of a case that took `instructions` for `n_ops` operations.
    pub fn new(case: &Case, instructions: u64, n_ops: u64, toolchain: &Toolchain) -> Self {
        let (memory, size_bytes) = match case.counted {
            Counted::Lookup(_, memory) => (Some(memory), None),
            Counted::Update(_, size) => (None, Some(size)),
        };
        Self {
            v: SCHEMA,
            layout: case.layout.to_owned(),
            op: case.counted.op().to_owned(),
            memory,
            size_bytes,
            metric: METRIC.to_owned(),
            unit: UNIT.to_owned(),
            value: instructions as f64 / n_ops as f64,
            n_ops,
            toolchain: toolchain.clone(),
            compiler: None,
        }
    }

    /// Name of the case in files of limits, e.g. `pfn_valid/boot/subsection`.
    pub fn limit_name(&self) -> String {
        let on = match (self.memory, self.size_bytes) {
            (Some(memory), _) => memory.name().to_owned(),
            (None, size) => ByteSize(size.unwrap_or(0)).to_string().replace(' ', ""),
        };
        format!("{}/{on}/{}", self.op, self.layout)
    }
}

/// Instructions that one pass of operations takes, without the loop around them. Each argument
/// holds the totals of one pass and of two passes.
///
/// Subtracting one pass from two cancels everything that happens once per run. Subtracting the
/// empty loop cancels the cost of the loop. `None` if a total is smaller than one that must be
/// below it.
pub fn instructions(operation: [u64; 2], empty: [u64; 2]) -> Option<u64> {
    let pass = |[once, twice]: [u64; 2]| twice.checked_sub(once);
    pass(operation)?.checked_sub(pass(empty)?)
}

/// An error while rows are read or written.
#[derive(Debug, Error)]
pub enum InstructionsError {
    /// The run folder cannot be read.
    #[error(transparent)]
    Folder(#[from] ReadError),
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A line is not a valid row.
    #[error("{}:{line}: not a row of instructions.jsonl: {source}", path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The JSON error, with its position.
        source: serde_json::Error,
    },
    /// The file contains no rows.
    #[error("{}: the file has no rows; cargo bench --bench instructions writes them", path.display())]
    Empty {
        /// Path of the file.
        path: PathBuf,
    },
    /// A row contradicts itself, the format or an earlier row.
    #[error("{}:{line}: {what}", path.display())]
    Impossible {
        /// Path of the file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with the row, and what is allowed.
        what: String,
    },
}

/// Reads the rows of a file, which may be empty. [`read_instructions`] also reads a folder.
///
/// # Errors
/// Returns an [`InstructionsError`] that names the file, and the line if one is wrong.
pub fn read(path: &Path) -> Result<Vec<InstructionRow>, InstructionsError> {
    let path = path.to_owned();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(InstructionsError::Io { path, source }),
    };
    let mut rows: Vec<InstructionRow> = Vec::new();
    for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line = at + 1;
        let row: InstructionRow = match serde_json::from_str(text) {
            Ok(row) => row,
            Err(source) => return Err(InstructionsError::Malformed { path, line, source }),
        };
        if let Some(what) = broken_rule(&row, &rows) {
            return Err(InstructionsError::Impossible { path, line, what });
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The rule that a row breaks, given the rows before it; `None` if the row is valid.
fn broken_rule(row: &InstructionRow, before: &[InstructionRow]) -> Option<String> {
    if row.v > SCHEMA {
        return Some(format!("the row has version {}; this program reads versions 1 to {SCHEMA}", row.v));
    }
    if (row.metric.as_str(), row.unit.as_str()) != (METRIC, UNIT) {
        return Some(format!(
            "the row has metric {:?} in {:?}; it must be {METRIC:?} in {UNIT:?}",
            row.metric, row.unit
        ));
    }
    if !(row.value >= 0.0 && row.value.is_finite()) {
        return Some(format!("the value is {}; it must be a number of at least 0", row.value));
    }
    if row.memory.is_some() == row.size_bytes.is_some() {
        return Some("a row must have either memory (a lookup) or size_bytes (an update)".to_owned());
    }
    let first = before.first()?;
    if first.toolchain != row.toolchain {
        let (this, first) = (row.toolchain.name(), first.toolchain.name());
        return Some(format!(
            "the toolchain {this} or its flags differ from the first row's, {first}; a file has one toolchain"
        ));
    }
    let name = row.limit_name();
    before.iter().any(|known| known.limit_name() == name).then(|| format!("a second row of {name}"))
}

/// Like [`read`], but a file without rows is an error. For rows that are to be stored with a run.
///
/// # Errors
/// The errors of [`read`], and [`InstructionsError::Empty`].
pub fn read_some(path: &Path) -> Result<Vec<InstructionRow>, InstructionsError> {
    let rows = read_instructions(path)?;
    if rows.is_empty() { Err(InstructionsError::Empty { path: path.to_owned() }) } else { Ok(rows) }
}

/// Describes how the toolchain of the counts differs from that of this binary: compiler, flags or
/// profile. The commit is not compared. `None` if there is no difference.
pub fn of_another_build(rows: &[InstructionRow]) -> Option<String> {
    let (counted, this) = (&rows.first()?.toolchain, Toolchain::this());
    let words = |toolchain: &Toolchain| {
        let flags = match toolchain.rustflags.as_str() {
            "" => String::new(),
            flags => format!(" with {flags}"),
        };
        format!("{} in the profile {}{flags}", toolchain.name(), toolchain.profile)
    };
    let other =
        || format!("the counts are from a build by {}, but this program was built by {}", words(counted), words(&this));
    (*counted != this).then(other)
}

/// Serialises rows as JSON lines.
pub fn lines(rows: &[InstructionRow]) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).expect("a row has string keys only");
        lines.push(b'\n');
    }
    lines
}

/// Writes rows and creates the folder if necessary. The file is replaced atomically.
///
/// # Errors
/// Fails if the file cannot be written.
pub fn write(path: &Path, rows: &[InstructionRow]) -> Result<(), InstructionsError> {
    replace(path, &lines(rows)).map_err(|source| InstructionsError::Io { path: path.to_owned(), source })
}

/// Folder in which `cargo bench --bench instructions` stores its rows. It is below the target
/// folder, which is `target` unless `CARGO_TARGET_DIR` says otherwise.
pub fn default_folder(workspace: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("target"));
    workspace.join(target).join("pfnbench-instructions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case { counted: Counted::Lookup(LookupOp::PfnValid, Memory::Boot), layout: "subsection" }
    }

    #[test]
    fn start_up_and_the_loop_are_not_counted() {
        // 100 a run, 7 a turn of the loop, 5 an operation, 1024 of them.
        let total = |passes: u64, operation: u64| 100 + passes * 1024 * (7 + operation);
        let count = instructions([total(1, 5), total(2, 5)], [total(1, 0), total(2, 0)]).unwrap();
        assert_eq!(InstructionRow::new(&case(), count, 1024, &Toolchain::this()).value, 5.0);
        assert_eq!(instructions([5, 9], [3, 7]), Some(0));
        assert_eq!(instructions([9, 5], [3, 7]), None, "two passes take no less than one");
        assert_eq!(instructions([5, 6], [3, 7]), None, "an operation takes no less than none");
    }

    #[test]
    fn values_are_exact_over_a_power_of_two() {
        let value = |count| InstructionRow::new(&case(), count, 1024, &Toolchain::this()).value;
        assert_eq!(value(13 * 1024 + 1), 13.000_976_562_5);
        assert!(value(13 * 1024 + 1) > value(13 * 1024));
        assert_eq!(value(13 * 1024).to_string(), "13");
    }

    #[test]
    fn names_are_distinct_and_a_row_has_its_cases_name() {
        let mut names: Vec<String> = cases().iter().map(Case::limit_name).collect();
        for case in cases() {
            assert_eq!(InstructionRow::new(&case, 1, 1, &Toolchain::this()).limit_name(), case.limit_name());
            assert_eq!(case.name(), format!("instructions/{}", case.limit_name()));
        }
        let has = |name: &str| names.iter().any(|known| known == name);
        assert!(has("pfn_valid/boot/flat") && !has("pfn_valid/added/flat"), "{names:?}");
        assert!(has("hot_add/2MiB/subsection") && has("hot_remove/128MiB/sparse") && !has("hot_add/2MiB/sparse"));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<_> = cases().iter().map(|case| InstructionRow::new(case, 7, 2, &Toolchain::this())).collect();
        let path = dir.path().join("new").join(FILE_NAME);
        write(&path, &rows).unwrap();
        assert_eq!(read(&path).unwrap(), rows);
        assert_eq!(read_instructions(path.parent().unwrap()).unwrap(), rows, "as in a run folder");
    }

    #[test]
    fn an_invalid_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let row = serde_json::to_string(&InstructionRow::new(&case(), 7, 2, &Toolchain::this())).unwrap();
        for (second, says) in [
            ("{".to_owned(), "not a row"),
            (row.clone(), "a second row of pfn_valid/boot/subsection"),
            (row.replace("\"boot\"", "\"added\"").replace("3.5", "-3.5"), "at least 0"),
            (row.replace("instructions/op", "ns/op"), "it must be"),
            (row.replace("\"v\":2", "\"v\":9"), "version 9"),
            (row.replace("\"boot\"", "\"added\"").replace("\"target\":\"", "\"target\":\"not-"), "one toolchain"),
            (row.replace("\"memory\":\"boot\",", ""), "must have either"),
        ] {
            fs::write(&path, format!("{row}\n{second}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("instructions.jsonl:2: ") && error.contains(says), "{error}");
        }
        assert!(read(&dir.path().join("none")).unwrap_err().to_string().contains("none: "));
    }
}
