//! Files of limits: the maximum number of instructions per operation, by toolchain.
//!
//! ```toml
//! ["1.95.0-x86_64-unknown-linux-gnu"]
//! "pfn_valid/boot/flat" = 5
//! "hot_add/2MiB/subsection" = 1210.5
//! ```

use crate::case::{LookupOp, current_name};
use crate::files::{excerpt, line_of, replace};
use crate::record::instructions::{InstructionRow, Toolchain, Update, cases};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::Spanned;

/// Factor between the counts of updates and their limits. Updates call the C library, whose
/// allocator differs between machines even with the same compiler. Lookups call nothing and need no
/// headroom.
pub const UPDATE_HEAD_ROOM: f64 = 1.1;

/// Limits by toolchain, then by case.
type Limits = BTreeMap<String, BTreeMap<String, f64>>;

/// An error while a file of limits is read or written.
#[derive(Debug, Error)]
pub enum LimitsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The file is not TOML, or not tables of numbers.
    #[error("{}: {what}", path.display())]
    Toml {
        /// Path of the file.
        path: PathBuf,
        /// The message of the `toml` crate: line and column, an excerpt, and what is wrong.
        what: String,
    },
    /// A name of a case or a limit is invalid.
    #[error("{}:{line}: {what}\n{excerpt}", path.display())]
    Malformed {
        /// Path of the file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong, and what is expected.
        what: String,
        /// The line, with carets below the invalid part.
        excerpt: String,
    },
}

/// The reasons why rows cannot be checked against limits.
#[derive(Debug, Error)]
pub enum CannotJudge {
    /// There are no rows.
    #[error("there are no counts to judge")]
    NoRows,
    /// The counts are not from a plain release build.
    #[error("the counted code was {0}, but limits hold for plain release builds only; unset RUSTFLAGS and count again")]
    Unusual(String),
    /// The file has no limits for the toolchain.
    #[error("no limits for {toolchain}; there are some for {}; --write makes them from these counts", known.join(", "))]
    NoSuchToolchain {
        /// Toolchain of the rows.
        toolchain: String,
        /// Toolchains in the file.
        known: Vec<String>,
    },
}

/// The parsed contents of a file of limits.
#[derive(Clone, Debug)]
pub struct LimitsFile {
    path: PathBuf,
    text: String,
    limits: Limits,
}

/// A count and its limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// Name of the case, e.g. `pfn_valid/boot/flat`.
    pub name: String,
    /// The limit, in instructions per operation.
    pub limit: f64,
    /// The count, in instructions per operation.
    pub measured: f64,
    /// The count minus the limit; above 0 exceeds the limit.
    pub difference: f64,
}

/// The result of checking counts against limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// Toolchain of the counts and of the limits.
    pub toolchain: String,
    /// Number of limits that hold.
    pub held: usize,
    /// Counts above their limits.
    pub exceeded: Vec<Judged>,
    /// Counts below their limits. Updates are not listed, because their limits include headroom.
    pub below: Vec<Judged>,
    /// Cases with a limit that were not counted.
    pub not_counted: Vec<String>,
    /// Cases that were counted and have no limit.
    pub without_limit: Vec<String>,
}

/// Replaces old names of cases by current ones. Lines keep their numbers.
fn with_current_names(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((name, rest)) => format!("\"{}\"{rest}", current_name(name)),
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// Describes what is wrong with a case name, and what is expected; `None` if the name is valid.
fn wrong_name(name: &str) -> Option<String> {
    let cases = cases();
    if cases.iter().any(|case| case.limit_name() == name) {
        return None;
    }
    let op = name.split('/').next().unwrap_or_default();
    let mut offered: Vec<String> = match op_exists(op) {
        true => cases.iter().filter(|case| case.counted.op() == op).map(|case| case.limit_name()).collect(),
        false => return Some(format!("there is no operation {op:?}; there are {}", operations().join(", "))),
    };
    offered.dedup();
    Some(format!("there is no case {name:?}; of {op} there are {}", offered.join(", ")))
}

fn operations() -> Vec<&'static str> {
    LookupOp::COUNTED.map(LookupOp::name).into_iter().chain(Update::ALL.map(Update::name)).collect()
}

fn op_exists(op: &str) -> bool {
    operations().contains(&op)
}

fn number(value: &toml::Value) -> Option<f64> {
    let number = match value {
        // Counts never exceed 2^53, so the conversion is exact.
        toml::Value::Integer(number) => *number as f64,
        toml::Value::Float(number) => *number,
        _ => return None,
    };
    (number >= 0.0 && number.is_finite()).then_some(number)
}

impl LimitsFile {
    /// Reads a file of limits.
    ///
    /// # Errors
    /// Returns a [`LimitsError`] that names the file, and the line if one is wrong.
    pub fn read(path: &Path) -> Result<Self, LimitsError> {
        let text = fs::read_to_string(path).map_err(|source| LimitsError::Io { path: path.to_owned(), source })?;
        Self::parse(path, text)
    }

    /// Reads a file of limits, or starts an empty one if it does not exist.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_or_new(path: &Path) -> Result<Self, LimitsError> {
        match Self::read(path) {
            Err(LimitsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::parse(path, String::new())
            }
            read => read,
        }
    }

    fn parse(path: &Path, text: String) -> Result<Self, LimitsError> {
        let text = with_current_names(&text);
        let wrong = |span: Range<usize>, what: String| LimitsError::Malformed {
            path: path.to_owned(),
            line: line_of(&text, span.start),
            what,
            excerpt: excerpt(&text, span),
        };
        let spanned: BTreeMap<String, BTreeMap<Spanned<String>, Spanned<toml::Value>>> = toml::from_str(&text)
            .map_err(|error| LimitsError::Toml {
                path: path.to_owned(),
                what: error.to_string().trim_end().to_owned(),
            })?;
        let mut limits = Limits::new();
        for (toolchain, section) in spanned {
            let of_toolchain = limits.entry(toolchain).or_default();
            for (name, value) in section {
                if let Some(what) = wrong_name(name.get_ref()) {
                    return Err(wrong(name.span(), what));
                }
                let limit = number(value.get_ref()).ok_or_else(|| {
                    let what =
                        format!("the limit of {} must be a number of at least 0; write e.g. 7 or 12.5", name.get_ref());
                    wrong(value.span(), what)
                })?;
                of_toolchain.insert(name.into_inner(), limit);
            }
        }
        Ok(Self { path: path.to_owned(), text, limits })
    }

    /// Checks counts against the limits of their toolchain.
    ///
    /// # Errors
    /// Returns a [`CannotJudge`] if there are no rows, no limits for the toolchain, or no plain
    /// release build.
    pub fn judge(&self, rows: &[InstructionRow]) -> Result<Judgement, CannotJudge> {
        let toolchain = plain(rows)?;
        let Some(limits) = self.limits.get(&toolchain) else {
            return Err(CannotJudge::NoSuchToolchain { toolchain, known: self.limits.keys().cloned().collect() });
        };
        let mut judgement = Judgement { toolchain, ..Judgement::default() };
        for row in rows {
            let name = row.limit_name();
            let Some(&limit) = limits.get(&name) else {
                judgement.without_limit.push(name);
                continue;
            };
            let judged = Judged { name, limit, measured: row.value, difference: row.value - limit };
            judgement.held += usize::from(judged.difference <= 0.0);
            if judged.difference > 0.0 {
                judgement.exceeded.push(judged);
            } else if judged.difference < 0.0 && !is_update(row) {
                judgement.below.push(judged);
            }
        }
        let counted: Vec<String> = rows.iter().map(InstructionRow::limit_name).collect();
        judgement.not_counted = limits.keys().filter(|name| !counted.contains(name)).cloned().collect();
        Ok(judgement)
    }

    /// Replaces the section of a toolchain with limits made from counts. Other parts of the file
    /// are unchanged.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    ///
    /// Returns [`CannotJudge`] if limits cannot be made from the rows.
    pub fn write(&self, rows: &[InstructionRow]) -> Result<(), WriteError> {
        let text = with_section(&self.text, &plain(rows)?, rows);
        // The new text must be a valid file of limits.
        let (path, again) = (self.path.clone(), Self::parse(&self.path, text)?);
        replace(&path, again.text.as_bytes()).map_err(|source| LimitsError::Io { path, source })?;
        Ok(())
    }
}

/// The reasons why a section cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// Limits cannot be made from the rows.
    #[error(transparent)]
    CannotJudge(#[from] CannotJudge),
    /// The file cannot be parsed or written.
    #[error(transparent)]
    Limits(#[from] LimitsError),
}

/// Name of the rows' toolchain, if limits apply to it.
fn plain(rows: &[InstructionRow]) -> Result<String, CannotJudge> {
    let toolchain: &Toolchain = &rows.first().ok_or(CannotJudge::NoRows)?.toolchain;
    toolchain.unusual().map_or_else(|| Ok(toolchain.name()), |how| Err(CannotJudge::Unusual(how)))
}

fn is_update(row: &InstructionRow) -> bool {
    row.size_bytes.is_some()
}

/// The limit for a count: the count itself, or with headroom for updates.
fn limit(row: &InstructionRow) -> f64 {
    if is_update(row) { (row.value * UPDATE_HEAD_ROOM).ceil() } else { row.value }
}

/// Replaces the section of a toolchain in the text, or appends it.
fn with_section(text: &str, toolchain: &str, rows: &[InstructionRow]) -> String {
    let header = format!("[\"{toolchain}\"]");
    let mut section = format!("{header}\n");
    for row in rows {
        section.push_str(&format!("\"{}\" = {}\n", row.limit_name(), limit(row)));
    }
    let lines: Vec<&str> = text.lines().collect();
    let Some(first) = lines.iter().position(|line| line.trim() == header) else {
        let before = text.trim_end();
        return if before.is_empty() { section } else { format!("{before}\n\n{section}") };
    };
    // A section ends before the next header, or before the comment above that header.
    let next = lines[first + 1..].iter().position(|line| line.trim_start().starts_with('['));
    let mut end = next.map_or(lines.len(), |at| first + 1 + at);
    while end > first + 1 && (lines[end - 1].trim().is_empty() || lines[end - 1].trim_start().starts_with('#')) {
        end -= 1;
    }
    let after = lines[end..].join("\n");
    let after = after.trim_start_matches('\n');
    let before = lines[..first].join("\n");
    let before = if before.is_empty() { before } else { before + "\n" };
    if after.is_empty() { before + &section } else { format!("{before}{section}\n{after}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::instructions::cases;

    fn toolchain(rustc: &str) -> Toolchain {
        let owned = |text: &str| text.to_owned();
        Toolchain { rustc: owned(rustc), target: owned("t"), profile: owned("release"), rustflags: String::new() }
    }

    /// Every case with the same count.
    fn rows(rustc: &str, value: f64) -> Vec<InstructionRow> {
        let row = |case| InstructionRow { value, ..InstructionRow::new(case, 0, 1, &toolchain(rustc)) };
        cases().iter().map(row).collect()
    }

    fn parse(text: &str) -> Result<LimitsFile, LimitsError> {
        LimitsFile::parse(Path::new("limits.toml"), text.to_owned())
    }

    fn written(text: &str, rows: &[InstructionRow]) -> LimitsFile {
        parse(&with_section(text, &plain(rows).unwrap(), rows)).unwrap()
    }

    #[test]
    fn limits_made_from_counts_hold_for_them_to_the_digit() {
        let counts = rows("1.0.0", 13.000_976_562_5);
        let judged = written("", &counts).judge(&counts).unwrap();
        assert_eq!((judged.held, judged.toolchain.as_str()), (counts.len(), "1.0.0-t"));
        assert_eq!((&judged.exceeded[..], &judged.below[..]), (&[][..], &[][..]));
    }

    #[test]
    fn limits_of_schema_1_hold_for_the_cases_of_today() {
        let old = parse("# kept\n[\"1.0.0-t\"]\n\"pfn_valid/hot/subsection\" = 31\n").unwrap();
        let judged = old.judge(&rows("1.0.0", 32.0)).unwrap();
        let exceeded: Vec<&str> = judged.exceeded.iter().map(|judged| judged.name.as_str()).collect();
        assert_eq!(exceeded, ["pfn_valid/added/subsection"]);
        assert!(old.text.starts_with("# kept\n[") && old.text.contains("\"pfn_valid/added/subsection\" = 31"));
    }

    #[test]
    fn one_instruction_in_a_thousand_lookups_is_seen() {
        let file = written("", &rows("1.0.0", 13.0));
        let judged = file.judge(&rows("1.0.0", 13.0 + 1.0 / 1024.0)).unwrap();
        let lookups =
            cases().iter().filter(|case| LookupOp::COUNTED.iter().any(|op| op.name() == case.counted.op())).count();
        assert_eq!(judged.exceeded.len(), lookups, "updates have head-room");
        assert_eq!(judged.exceeded[0].difference, 1.0 / 1024.0);
        let judged = file.judge(&rows("1.0.0", 12.0)).unwrap();
        assert_eq!((judged.exceeded.len(), judged.below.len(), judged.below[0].difference), (0, lookups, -1.0));
    }

    #[test]
    fn cases_without_a_count_or_a_limit_are_named() {
        let all = rows("1.0.0", 1.0);
        let judged = written("", &all).judge(&all[1..]).unwrap();
        assert_eq!(judged.not_counted, [all[0].limit_name()]);
        let judged = written("", &all[1..]).judge(&all).unwrap();
        assert_eq!(judged.without_limit, [all[0].limit_name()]);
    }

    #[test]
    fn counts_of_something_else_are_not_judged() {
        let file = written("", &rows("1.0.0", 1.0));
        let mut other = rows("2.0.0", 1.0);
        let error = file.judge(&other).unwrap_err().to_string();
        assert!(error.contains("no limits for 2.0.0-t; there are some for 1.0.0-t"), "{error}");
        other[0].toolchain.rustflags = "-C target-cpu=native".to_owned();
        assert!(file.judge(&other).unwrap_err().to_string().contains("target-cpu=native"));
        other[0].toolchain.profile = "debug".to_owned();
        assert!(file.judge(&other).unwrap_err().to_string().contains("debug"));
        assert!(matches!(file.judge(&[]), Err(CannotJudge::NoRows)));
    }

    #[test]
    fn writing_a_section_leaves_the_others() {
        let text = "# Ours.\n\n[\"1.0.0-t\"]\n\"pfn_valid/boot/flat\" = 1\n# Old.\n\"pfn_valid/boot/dax\" = 1\n\n\
                    # Theirs.\n[\"2.0.0-t\"]\n\"pfn_valid/boot/flat\" = 2\n";
        let row = |rustc| vec![InstructionRow { value: 7.5, ..rows(rustc, 0.0).remove(0) }];
        assert_eq!(
            written(text, &row("1.0.0")).text,
            "# Ours.\n\n[\"1.0.0-t\"]\n\"pfn_valid/boot/flat\" = 7.5\n\n# Theirs.\n[\"2.0.0-t\"]\n\"pfn_valid/boot/flat\" = 2\n"
        );
        assert!(
            written(text, &row("2.0.0")).text.ends_with("# Theirs.\n[\"2.0.0-t\"]\n\"pfn_valid/boot/flat\" = 7.5\n")
        );
        let third = written(text, &row("3.0.0"));
        assert_eq!(third.text, format!("{text}\n[\"3.0.0-t\"]\n\"pfn_valid/boot/flat\" = 7.5\n"));
        assert_eq!(written(&third.text, &row("3.0.0")).text, third.text, "written twice, the same");
    }

    #[test]
    fn malformed_files_are_shown_with_line_caret_and_allowed_values() {
        let section = "# limits\n[\"1.0.0-t\"]\n";
        for (line, says) in [
            (
                "\"pfn_vaild/boot/flat\" = 1",
                "there are pfn_valid, pfn_to_page, page_to_pfn, valid_to_page, next_valid_pfn",
            ),
            ("\"pfn_valid/boot/flatter\" = 1", "pfn_valid/boot/flat, "),
            ("\"pfn_valid/added/flat\" = 1", "there is no case"),
            ("\"pfn_valid/boot/flat\" = -1", "a number of at least 0"),
            ("\"pfn_valid/boot/flat\" = nan", "a number of at least 0"),
            ("\"pfn_valid/boot/flat\" = \"5\"", "a number of at least 0"),
            ("\"pfn_valid/boot/flat\" = ", ""),
            ("what is this", ""),
        ] {
            let error = parse(&format!("{section}{line}\n")).unwrap_err().to_string();
            let places = ["limits.toml:3: ", "limits.toml: TOML parse error at line 3, column "];
            assert!(places.iter().any(|place| error.starts_with(place)) && error.contains(says), "{line}: {error}");
            assert!(error.contains(&format!("\n3 | {line}\n  | ")) && error.contains('^'), "{line}: {error}");
        }
        let error = parse("\"pfn_valid/boot/flat\" = 1\n").unwrap_err().to_string();
        assert!(error.starts_with("limits.toml: TOML parse error at line 1, column "), "{error}");
    }
}
