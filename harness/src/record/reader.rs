//! The one reader of run folders: for comparing, reports, the gate, and resuming.
//!
//! A verdict must not rest on part of the data, so a comparison reads strictly. A report shows what there is and states
//! what is missing, so it reads leniently. A folder of a newer schema is refused in either way: a later version may
//! have changed what a field means.

use super::files::{LATENCIES, MANIFEST, PARTIAL, SAMPLES, SUMS, sha256};
use super::histogram_log;
use super::instructions::{self, InstructionRow, InstructionsError};
use super::manifest::{self, ManifestFields};
use super::row::{self, Row};
use hdrhistogram::Histogram;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What happens when a part of a run is missing, damaged or implausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// The first problem is an error.
    Strict,
    /// Problems are collected, and what remains is read.
    Lenient,
}

/// Upper limit for plausible times in nanoseconds, about eleven days.
const LONGEST_NS: f64 = 1e15;

/// Upper limit for plausible counts and sizes in bytes.
const LARGEST: f64 = u64::MAX as f64;

/// A problem with a run folder. The message does not name the folder.
#[derive(Debug, Error)]
pub enum Problem {
    /// The path is not a readable folder.
    #[error("not a readable folder ({0}); give the folder of a run")]
    NotAFolder(io::Error),
    /// The folder has neither a manifest nor rows.
    #[error("not a run folder: neither {MANIFEST} nor {SAMPLES} can be read; give the folder of a run")]
    NotARun,
    /// A later version of the program wrote the folder. It is refused even by a lenient reader.
    #[error("{file} has schema version {found}, but this pfnbench reads versions up to {known}; use a newer pfnbench")]
    Newer {
        /// Name of the file.
        file: &'static str,
        /// Schema version of the file.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
    },
    /// A file is missing.
    #[error("{file} is missing: {effect}")]
    Missing {
        /// Name of the file.
        file: &'static str,
        /// What is unknown without it.
        effect: &'static str,
    },
    /// A file cannot be read.
    #[error("{file} cannot be read: {source}")]
    Unreadable {
        /// Name of the file.
        file: String,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The run was interrupted.
    #[error("not a complete run: it was interrupted, and only what it had measured until then is known")]
    Interrupted,
    /// The list of checksums is missing or does not name all files.
    #[error("not a complete run: {SUMS}, which is written last, is missing or incomplete")]
    NoChecksums,
    /// A file that has a checksum is missing.
    #[error("{0} is missing, although {SUMS} lists it")]
    ListedButMissing(String),
    /// The checksum of a file does not match.
    #[error("{0} was changed after the run: its checksum in {SUMS} differs")]
    Changed(String),
    /// The manifest is not a JSON object.
    #[error("{MANIFEST} is not a JSON object: {0}")]
    Manifest(String),
    /// A field of the manifest is invalid.
    #[error("{MANIFEST}: invalid field {name}: {reason}")]
    Field {
        /// Name of the field.
        name: &'static str,
        /// Why it is invalid.
        reason: String,
    },
    /// Lines of `samples.jsonl` are not valid rows.
    #[error("{SAMPLES}: {count} lines are not valid rows; the first is line {first}: {source}")]
    Rows {
        /// Number of such lines. A strict reader stops at the first.
        count: usize,
        /// Number of the first, from 1.
        first: usize,
        /// Where its JSON goes wrong, and how.
        source: serde_json::Error,
    },
    /// Values of rows are implausible.
    #[error(
        "{SAMPLES}: {count} values are implausible; the first is in line {first}. Times are above 0 and below 11 days, and \
         nothing is negative"
    )]
    Implausible {
        /// Number of such rows. A strict reader stops at the first.
        count: usize,
        /// Line of the first, from 1.
        first: usize,
    },
    /// There are no rows.
    #[error("{SAMPLES} has no rows: there are no figures")]
    NoRows,
    /// Histograms are damaged.
    #[error("{LATENCIES}: {0} intervals are damaged")]
    Histograms(usize),
    /// Instruction counts are invalid.
    #[error("instruction counts: {0}")]
    Instructions(String),
}

/// A problem, with the folder that has it.
#[derive(Debug, Error)]
#[error("{}: {problem}", folder.display())]
pub struct ReadError {
    /// Path of the folder.
    pub folder: PathBuf,
    /// What is wrong with it, without the path.
    pub problem: Problem,
}

impl ReadError {
    /// The message with the last component of the folder's path only: pages are published, and paths may name people.
    pub fn without_path(&self) -> String {
        let name = self.folder.file_name().unwrap_or(self.folder.as_os_str()).to_string_lossy();
        format!("{name}: {}", self.problem)
    }
}

/// Reads the parts of a run folder.
///
/// ```
/// use pfnbench::record::manifest::SCHEMA;
/// use pfnbench::record::reader::{RunReader, Strictness};
/// use pfnbench::record::row::Row;
///
/// // A folder of which only the rows are left.
/// let folder = tempfile::tempdir()?;
/// let row = Row { v: SCHEMA, layout: "flat".into(), metric: "time".into(), value: Some(0.8), ..Row::default() };
/// std::fs::write(folder.path().join("samples.jsonl"), serde_json::to_string(&row)?)?;
///
/// let mut run = RunReader::open(folder.path(), Strictness::Lenient)?;
/// let rows = run.rows(|row| row.metric == "time")?;
/// assert_eq!((rows.len(), rows[0].value), (1, Some(0.8)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RunReader {
    folder: PathBuf,
    name: String,
    strictness: Strictness,
    problems: Vec<Problem>,
    /// `samples.jsonl`, once it was read for its checksum.
    samples: Option<Vec<u8>>,
}

impl RunReader {
    /// Opens a folder. Nothing in it is read yet.
    ///
    /// # Errors
    /// The path is not a folder.
    pub fn open(folder: &Path, strictness: Strictness) -> Result<Self, ReadError> {
        let refused = |source| ReadError { folder: folder.to_owned(), problem: Problem::NotAFolder(source) };
        // `.` and `..` have names too.
        let path = fs::canonicalize(folder).map_err(refused)?;
        if !path.is_dir() {
            return Err(refused(io::ErrorKind::NotADirectory.into()));
        }
        let name = path.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
        Ok(Self { folder: folder.to_owned(), name, strictness, problems: Vec::new(), samples: None })
    }

    /// Name of the folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a lenient reader has found so far.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// An error for this folder.
    pub fn error(&self, problem: Problem) -> ReadError {
        ReadError { folder: self.folder.clone(), problem }
    }

    fn report(&mut self, problem: Problem) -> Result<(), ReadError> {
        match self.strictness {
            Strictness::Strict => Err(self.error(problem)),
            Strictness::Lenient => {
                self.problems.push(problem);
                Ok(())
            }
        }
    }

    fn refuse_newer(&self, file: &'static str, found: u32, known: u32) -> Result<(), ReadError> {
        if found > known { Err(self.error(Problem::Newer { file, found, known })) } else { Ok(()) }
    }

    /// The contents of a file; `None` if there is none.
    fn file(&mut self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        let path = self.folder.join(name);
        // Not opened, because reading a pipe could block forever.
        let is_other = fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file());
        let read = if is_other { Err(io::Error::other("not a regular file")) } else { fs::read(&path) };
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => self.report(Problem::Unreadable { file: name.to_owned(), source }).map(|()| None),
        }
    }

    /// Checks that the run is complete and its files are unchanged.
    ///
    /// # Errors
    /// A strict reader returns the first problem.
    pub fn check_complete(&mut self) -> Result<(), ReadError> {
        if self.name.ends_with(PARTIAL) {
            return self.report(Problem::Interrupted);
        }
        let Some(sums) = self.file(SUMS)? else { return self.report(Problem::NoChecksums) };
        let sums = String::from_utf8_lossy(&sums).into_owned();
        let lines: Vec<(&str, &str)> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
        let is_listed = |file: &&str| lines.iter().any(|(_, name)| name == file);
        let is_whole = [MANIFEST, SAMPLES].iter().all(is_listed) && lines.len() == sums.lines().count();
        if !is_whole {
            self.report(Problem::NoChecksums)?;
        }
        // Files beside the list, nothing else.
        for (sum, name) in lines.into_iter().filter(|(_, name)| !name.contains('/')) {
            let Some(bytes) = self.file(name)? else {
                self.report(Problem::ListedButMissing(name.to_owned()))?;
                continue;
            };
            if sha256(&bytes) != sum {
                self.report(Problem::Changed(name.to_owned()))?;
            }
            if name == SAMPLES {
                self.samples = Some(bytes);
            }
        }
        Ok(())
    }

    /// The fields of the manifest. A lenient reader leaves out what is missing or invalid; `None` if nothing is known.
    ///
    /// # Errors
    /// The manifest is of a newer schema. A strict reader returns the first problem.
    pub fn manifest(&mut self) -> Result<Option<ManifestFields>, ReadError> {
        let Some(bytes) = self.file(MANIFEST)? else {
            let effect =
                "the machine, map, command and seed are unknown, and the map with the most rows counts as the main map";
            return self.report(Problem::Missing { file: MANIFEST, effect }).map(|()| None);
        };
        let value: Value = match serde_json::from_slice(&bytes) {
            Ok(value @ Value::Object(_)) => value,
            Ok(_) => return self.report(Problem::Manifest("it is another value".to_owned())).map(|()| None),
            Err(error) => return self.report(Problem::Manifest(error.to_string())).map(|()| None),
        };
        let schema = value.get("schema").and_then(Value::as_u64).unwrap_or(1);
        self.refuse_newer(MANIFEST, schema.try_into().unwrap_or(u32::MAX), manifest::SCHEMA)?;
        let (fields, problems) = ManifestFields::from_json(&value);
        for (name, reason) in problems {
            self.report(Problem::Field { name, reason })?;
        }
        Ok(Some(fields))
    }

    /// The rows for which `is_kept` holds.
    ///
    /// # Errors
    /// A row is of a newer schema. A strict reader returns the first problem.
    pub fn rows(&mut self, is_kept: impl Fn(&Row) -> bool) -> Result<Vec<Row>, ReadError> {
        let samples = match self.samples.take() {
            Some(samples) => samples,
            None => match self.file(SAMPLES)? {
                Some(samples) => samples,
                None => {
                    let problem = Problem::Missing { file: SAMPLES, effect: "there are no figures" };
                    return self.report(problem).map(|()| Vec::new());
                }
            },
        };
        let (mut rows, mut is_empty, mut invalid, mut implausible) = (Vec::new(), true, Vec::new(), Vec::new());
        for (line, row) in parse_rows(&samples) {
            match row {
                Ok(row) => {
                    self.refuse_newer(SAMPLES, row.v, row::SCHEMA)?;
                    if !is_plausible(&row) {
                        implausible.push(line);
                    } else {
                        is_empty = false;
                        rows.extend(Some(row).filter(&is_kept));
                    }
                }
                Err(error) => invalid.push((line, error)),
            }
            if self.strictness == Strictness::Strict && invalid.len() + implausible.len() > 0 {
                break;
            }
        }
        let count = invalid.len();
        if let Some((first, source)) = invalid.into_iter().next() {
            self.report(Problem::Rows { count, first, source })?;
        }
        if let Some(&first) = implausible.first() {
            self.report(Problem::Implausible { count: implausible.len(), first })?;
        }
        if is_empty {
            self.report(Problem::NoRows)?;
        }
        Ok(rows)
    }

    /// The histograms of hotplug and readers by tag, in nanoseconds.
    ///
    /// # Errors
    /// A strict reader returns the first problem.
    pub fn histograms(&mut self) -> Result<BTreeMap<String, Histogram<u64>>, ReadError> {
        let Some(log) = self.file(LATENCIES)? else {
            let problem = Problem::Missing { file: LATENCIES, effect: "there are no percentile curves" };
            return self.report(problem).map(|()| BTreeMap::new());
        };
        let (histograms, damaged) = histogram_log::read(&log);
        if damaged > 0 {
            self.report(Problem::Histograms(damaged))?;
        }
        Ok(histograms)
    }

    /// The instruction counts that were put beside the run; none if there are none.
    ///
    /// # Errors
    /// A strict reader returns the first problem.
    pub fn instructions(&mut self) -> Result<Vec<InstructionRow>, ReadError> {
        let path = self.folder.join(instructions::FILE_NAME);
        if !path.exists() {
            return Ok(Vec::new());
        }
        match instructions::read(&path) {
            Ok(rows) => Ok(rows),
            // The message names the path of the file; the folder is named elsewhere.
            Err(error) => {
                let message = error.to_string().replace(&format!("{}/", self.folder.display()), "");
                self.report(Problem::Instructions(message)).map(|()| Vec::new())
            }
        }
    }

    /// Id of the machine and start of the run: from the manifest, else from the first row.
    ///
    /// # Errors
    /// Nothing in the folder can be read.
    pub fn machine_and_start(&mut self) -> Result<(String, String), ReadError> {
        let manifest = self.file(MANIFEST)?.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let started = text(manifest.as_ref().and_then(|manifest| manifest.get("started"))).unwrap_or_default();
        let machine = text(manifest.as_ref().and_then(|manifest| manifest.get("environment")?.get("machine_id")));
        if let Some(machine) = machine {
            return Ok((machine, started));
        }
        let samples = self.folder.join(SAMPLES);
        let samples = if samples.is_file() { File::open(samples) } else { Err(io::ErrorKind::NotFound.into()) };
        let samples = samples.map(BufReader::new);
        let lines = samples.into_iter().flat_map(|samples| samples.split(b'\n').map_while(Result::ok));
        let first = lines.take(1000).find_map(|line| serde_json::from_slice::<Row>(&line).ok());
        match (first, manifest) {
            (Some(row), _) => Ok((row.machine, started)),
            (None, Some(_)) => Ok(("unknown".to_owned(), started)),
            (None, None) => Err(self.error(Problem::NotARun)),
        }
    }
}

/// Parses the lines of `samples.jsonl`, each with its number from 1.
pub(super) fn parse_rows(samples: &[u8]) -> impl Iterator<Item = (usize, serde_json::Result<Row>)> {
    let lines = samples.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.is_empty());
    lines.map(|(line, nr)| (nr, serde_json::from_slice(line)))
}

/// True if the value of a row is plausible, or if the row has none.
fn is_plausible(row: &Row) -> bool {
    let Some(value) = row.value else { return true };
    // Means of phases below the resolution of the clock may be zero.
    let is_time = row.unit.starts_with("ns") && !row.metric.starts_with("phase_") && row.metric != "floor";
    match is_time {
        true => value > 0.0 && value <= LONGEST_NS,
        false => (0.0..=LARGEST).contains(&value),
    }
}

/// Reads instruction counts from a file, or from a run folder.
///
/// # Errors
/// [`InstructionsError`], which names the line, or the problem of the folder.
pub fn read_instructions(path: &Path) -> Result<Vec<InstructionRow>, InstructionsError> {
    if !path.is_dir() {
        return instructions::read(path);
    }
    let mut reader = RunReader::open(path, Strictness::Strict)?;
    // The output of the benchmark is a folder without a manifest.
    if path.join(MANIFEST).exists() {
        reader.manifest()?;
    }
    instructions::read(&path.join(instructions::FILE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::row::tests::row;
    use serde_json::json;

    fn folder_with(rows: &[String]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(SAMPLES), rows.join("\n")).unwrap();
        dir
    }

    fn line(value: f64) -> String {
        serde_json::to_string(&row("a", "pfn_valid", "time", Some(value))).unwrap()
    }

    fn strict(dir: &tempfile::TempDir) -> RunReader {
        RunReader::open(dir.path(), Strictness::Strict).unwrap()
    }

    #[test]
    fn a_strict_reader_stops_where_a_lenient_one_goes_on() {
        let dir = folder_with(&[line(1.0), "{".into(), line(-1.0), "[]".into(), line(2.0)]);
        let error = strict(&dir).rows(|_| true).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains(&dir.path().display().to_string()), "{error}");
        let mut lenient = RunReader::open(dir.path(), Strictness::Lenient).unwrap();
        assert_eq!(lenient.rows(|_| true).unwrap().len(), 2);
        let said: Vec<String> = lenient.problems().iter().map(Problem::to_string).collect();
        assert!(said[0].contains("2 lines are not valid rows; the first is line 2"), "{said:?}");
        assert!(said[1].contains("1 values are implausible; the first is in line 3"), "{said:?}");
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        let newer = line(1.0).replace("\"v\":1", &format!("\"v\":{}", row::SCHEMA + 1));
        let dir = folder_with(&[line(1.0), newer]);
        let schema = manifest::SCHEMA + 5;
        fs::write(dir.path().join(MANIFEST), json!({ "schema": schema }).to_string()).unwrap();
        for strictness in [Strictness::Strict, Strictness::Lenient] {
            let mut reader = RunReader::open(dir.path(), strictness).unwrap();
            let said = reader.rows(|_| true).unwrap_err().to_string();
            assert!(said.contains(&format!("version {}", row::SCHEMA + 1)), "{said}");
            assert!(said.contains(&format!("up to {}", row::SCHEMA)), "{said}");
            let said = reader.manifest().unwrap_err().to_string();
            assert!(said.contains(&format!("{MANIFEST} has schema version {schema}")), "{said}");
        }
        fs::write(dir.path().join(instructions::FILE_NAME), "").unwrap();
        let said = read_instructions(dir.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("version {schema}")), "{said}");
    }

    #[test]
    fn a_published_message_has_no_path() {
        let dir = folder_with(&[]);
        let error = strict(&dir).rows(|_| true).unwrap_err();
        assert!(!error.without_path().contains('/') && error.to_string().contains('/'), "{error}");
    }

    #[test]
    fn every_problem_of_completeness_is_found() {
        let dir = folder_with(&[line(1.0)]);
        fs::write(dir.path().join(MANIFEST), "{}").unwrap();
        let check = || strict(&dir).check_complete().map_err(|error| error.to_string());
        assert!(check().unwrap_err().contains("not a complete run"));
        let sum = |name: &str| sha256(&fs::read(dir.path().join(name)).unwrap());
        let sums = format!("{}  {MANIFEST}\n{}  {SAMPLES}\n", sum(MANIFEST), sum(SAMPLES));
        fs::write(dir.path().join(SUMS), &sums).unwrap();
        assert_eq!(check(), Ok(()));
        fs::write(dir.path().join(SUMS), format!("{sums}0  lost\n")).unwrap();
        assert!(check().unwrap_err().contains("lost is missing"));
        fs::write(dir.path().join(SUMS), format!("{sums}torn")).unwrap();
        assert!(check().unwrap_err().contains("incomplete"));
        fs::write(dir.path().join(SUMS), &sums).unwrap();
        fs::write(dir.path().join(MANIFEST), "{ }").unwrap();
        assert!(check().unwrap_err().contains("was changed after the run"));
    }
}
