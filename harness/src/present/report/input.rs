//! Reads a run folder for a report: everything that is readable, with a reason for everything that
//! is missing.
//!
//! [`compare`](crate::analysis::compare) rejects an incomplete folder, because a verdict must not
//! rest on part of the data. A report shows what there is and states what is missing.

use crate::analysis::headline;
use crate::map::{MAX_PHYS_BITS, MapRange, PhysicalMap};
use crate::record::environment::Environment;
use crate::record::examination::Examination;
use crate::record::instructions::{self, InstructionRow};
use crate::record::layout_note::LayoutNote;
use crate::record::row::{self, Row};
use crate::record::run_folder::{self, LATENCIES, MapNote, PARTIAL, SAMPLES, SUMS, Tool, sha256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The reasons why nothing in a folder can be read.
#[derive(Debug, Error)]
pub enum InputError {
    /// The path is not a readable folder.
    #[error("cannot read {}: {source}; give the folder of a run", path.display())]
    Folder {
        /// The path that was given.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The folder contains neither a manifest nor a row.
    #[error("{} is no run folder: it has neither a manifest.json nor a samples.jsonl that can be read", path.display())]
    Nothing {
        /// Path of the folder.
        path: PathBuf,
    },
}

/// Beginning of the message about a run that did not finish.
pub const STOPPED: &str = "The run was stopped";

/// Upper limit for plausible times in nanoseconds, about eleven days.
const LONGEST_NS: f64 = 1e15;

/// Upper limit for plausible counts and sizes in bytes.
const LARGEST: f64 = u64::MAX as f64;

/// How much of a run is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All rows.
    Whole,
    /// Only rows needed for the headlines on the main map, for runs that are shown beside others.
    Headlines,
}

/// The contents of the manifest. Parts that are missing or invalid are `None` or empty.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The program that made the run.
    pub tool: Option<Tool>,
    /// Command line that repeats the run.
    pub command: Option<String>,
    /// The tier of the run, i.e. how much was measured.
    pub tier: Option<String>,
    /// Seed of all random numbers.
    pub seed: Option<u64>,
    /// Number of processes that measured.
    pub processes: Option<u32>,
    /// Margin of equality as a fraction of the time.
    pub margin: Option<f64>,
    /// Start of the run in UTC.
    pub started: Option<String>,
    /// The machine that the run was made on.
    pub environment: Option<Environment>,
    /// Checks of the doctor before the run.
    pub doctor_before: Option<Examination>,
    /// Checks of the doctor after the run.
    pub doctor_after: Option<Examination>,
    /// Architecture whose page and section sizes the layouts use.
    pub geometry: Option<String>,
    /// The main physical memory map.
    pub map: Option<PhysicalMap>,
    /// Summaries of the further maps.
    pub other_maps: Vec<MapNote>,
    /// Descriptions of the layouts.
    pub layouts: Vec<LayoutNote>,
}

/// The rows of a map.
#[derive(Clone, Debug)]
pub struct MapRows {
    /// Name of the map.
    pub map: String,
    /// Rows measured on the map.
    pub rows: Vec<Row>,
}

/// A run as read from its folder.
#[derive(Clone, Debug)]
pub struct RunInput {
    /// Name of the run's folder.
    pub name: String,
    /// Id of the machine that made the run.
    pub machine: String,
    /// The contents of the manifest.
    pub known: Known,
    /// Rows by map, the main one first.
    pub maps: Vec<MapRows>,
    /// Histograms by tag, in nanoseconds.
    pub histograms: BTreeMap<String, Histogram<u64>>,
    /// Instruction counts stored with the run.
    pub instructions: Vec<InstructionRow>,
    /// Problems with the folder, in sentences.
    pub troubles: Vec<String>,
}

impl RunInput {
    /// Name of the main map.
    pub fn main_map(&self) -> &str {
        self.maps.first().map_or("", |of_map| &of_map.map)
    }
}

/// Reads a file that may be missing.
fn optional(path: &Path, troubles: &mut Vec<String>) -> Option<Vec<u8>> {
    // Not opened, because reading a pipe could block forever.
    let is_other = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    let read = if is_other { Err(io::Error::other("it is no file")) } else { fs::read(path) };
    match read {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            troubles.push(format!("{name} cannot be read: {error}."));
            None
        }
    }
}

/// Resolves symbolic links in the path of a folder.
fn real_folder(folder: &Path) -> Result<PathBuf, InputError> {
    let refused = |source| InputError::Folder { path: folder.to_owned(), source };
    let path = fs::canonicalize(folder).map_err(refused)?;
    if path.is_dir() { Ok(path) } else { Err(refused(io::ErrorKind::NotADirectory.into())) }
}

/// Reads a run folder.
///
/// # Errors
/// Fails if the path is not a folder, or if nothing in it can be read.
pub fn read(folder: &Path, depth: Depth) -> Result<RunInput, InputError> {
    // `.` and `..` have names too.
    let named = real_folder(folder)?;
    let name = named.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut troubles = Vec::new();
    let manifest = optional(&folder.join("manifest.json"), &mut troubles);
    let samples = optional(&folder.join(SAMPLES), &mut troubles);
    check_sums(folder, &name, &samples, &mut troubles);
    let known = manifest.as_deref().and_then(|bytes| known(bytes, &mut troubles));
    if manifest.is_none() {
        troubles.push(
            "There is no manifest.json: machine, map, command and seed are not known, and the map that has the most rows is \
             taken for the main one."
                .to_owned(),
        );
    }
    let main = known.as_ref().and_then(|known| Some(known.map.as_ref()?.name.clone()));
    let is_kept = |row: &Row| {
        let is_headline = || main.as_ref().is_none_or(|main| row.map == *main) && headline::is_row_of_one(row);
        depth == Depth::Whole || is_headline()
    };
    let rows = rows(samples.as_deref(), is_kept, &mut troubles);
    drop(samples);
    if rows.is_empty() && known.is_none() {
        return Err(InputError::Nothing { path: folder.to_owned() });
    }
    let known = known.unwrap_or_default();
    let machine = known.environment.as_ref().map(|environment| environment.machine_id.clone());
    let machine = machine.or_else(|| Some(rows.first()?.machine.clone())).unwrap_or_else(|| "unknown".to_owned());
    let (mut histograms, mut counts) = (BTreeMap::new(), Vec::new());
    if depth == Depth::Whole {
        match optional(&folder.join(LATENCIES), &mut troubles) {
            Some(log) => histograms = read_histograms(&log, &mut troubles),
            None => troubles.push(format!("There is no {LATENCIES}: percentile curves are missing.")),
        }
        if folder.join(instructions::FILE_NAME).exists() {
            match instructions::read(folder) {
                Ok(read) => counts = read,
                Err(error) => {
                    troubles.push(format!("Instruction counts are left out: {}.", without_folder(&error, folder)))
                }
            }
        }
    }
    let maps = by_map(rows, &known, &mut troubles);
    Ok(RunInput { name, machine, known, maps, histograms, instructions: counts, troubles })
}

/// An error with the name of the folder it happened in alone: pages are published, and folders may name people.
pub fn without_folder(error: &impl std::fmt::Display, folder: &Path) -> String {
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
    error.to_string().replace(&folder.display().to_string(), &name)
}

/// Checks the files against `SHA256SUMS`, and reports every difference.
fn check_sums(folder: &Path, name: &str, samples: &Option<Vec<u8>>, troubles: &mut Vec<String>) {
    if name.ends_with(PARTIAL) {
        troubles.push(format!("{STOPPED} before its end: what it had measured until then is shown."));
        return;
    }
    let Some(sums) = optional(&folder.join(SUMS), troubles) else {
        troubles.push(format!("There is no {SUMS}, which is written last: the run may not be whole."));
        return;
    };
    let sums = String::from_utf8_lossy(&sums).into_owned();
    let lines: Vec<(&str, &str)> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
    if !["manifest.json", SAMPLES].iter().all(|file| lines.iter().any(|(_, name)| name == file)) {
        troubles.push(format!("{SUMS} does not name manifest.json and {SAMPLES}: the run may not be whole."));
    }
    for (sum, file) in lines {
        // Names of files beside it, nothing else.
        if file.contains('/') {
            continue;
        }
        let is_same = match (file, samples) {
            (SAMPLES, Some(samples)) => sha256(samples) == sum,
            _ => match optional(&folder.join(file), troubles) {
                Some(bytes) => sha256(&bytes) == sum,
                None => {
                    troubles.push(format!("{file} is named in {SUMS} but is not there."));
                    continue;
                }
            },
        };
        if !is_same {
            troubles.push(format!("{file} is not what the run wrote: its sum in {SUMS} is another."));
        }
    }
}

/// Parses one part of the manifest, or reports why it is invalid.
fn part<T: DeserializeOwned>(manifest: &Value, name: &str, troubles: &mut Vec<String>) -> Option<T> {
    let value = manifest.get(name)?;
    serde_json::from_value(value.clone())
        .map_err(|error| troubles.push(format!("manifest.json: {name} is not understood: {error}.")))
        .ok()
}

fn known(bytes: &[u8], troubles: &mut Vec<String>) -> Option<Known> {
    let manifest: Value = serde_json::from_slice(bytes)
        .map_err(|error| troubles.push(format!("manifest.json cannot be read: {error}.")))
        .ok()?;
    if !manifest.is_object() {
        troubles.push("manifest.json is no JSON object: nothing is known of the run.".to_owned());
        return None;
    }
    let map: Option<PhysicalMap> = part(&manifest, "map", troubles);
    let is_possible = |range: &MapRange| range.start < range.end && range.end <= 1 << MAX_PHYS_BITS;
    let map = map.filter(|map| {
        let impossible = map.ranges.iter().find(|range| !is_possible(range));
        if let Some(MapRange { start, end, .. }) = impossible {
            troubles.push(format!(
                "manifest.json: the map has a range that cannot be, {start:#x} to {end:#x}: it is left out."
            ));
        }
        impossible.is_none()
    });
    let schema: Option<u32> = part(&manifest, "schema", troubles);
    if let Some(schema) = schema.filter(|schema| *schema > run_folder::SCHEMA) {
        troubles.push(format!(
            "manifest.json is of schema {schema}, and this pfnbench knows {}: what it understands is shown; a newer pfnbench \
             shows the rest.",
            run_folder::SCHEMA
        ));
    }
    Some(Known {
        tool: part(&manifest, "tool", troubles),
        command: part(&manifest, "command", troubles),
        tier: part(&manifest, "tier", troubles),
        seed: part(&manifest, "seed", troubles),
        processes: part(&manifest, "processes", troubles),
        margin: part(&manifest, "margin", troubles).filter(|margin| (0.0..=1.0).contains(margin)),
        started: part(&manifest, "started", troubles),
        environment: part(&manifest, "environment", troubles),
        doctor_before: part(&manifest, "doctor_before", troubles),
        doctor_after: part(&manifest, "doctor_after", troubles),
        geometry: part(&manifest, "geometry", troubles),
        map,
        other_maps: part(&manifest, "other_maps", troubles).unwrap_or_default(),
        layouts: part(&manifest, "layouts", troubles).unwrap_or_default(),
    })
}

/// Rows that are kept, as far as lines are some.
fn rows(samples: Option<&[u8]>, is_kept: impl Fn(&Row) -> bool, troubles: &mut Vec<String>) -> Vec<Row> {
    let Some(samples) = samples else {
        troubles.push(format!("There is no {SAMPLES}: there are no figures."));
        return Vec::new();
    };
    let (mut rows, mut bad, mut newer, mut impossible) = (Vec::new(), Vec::new(), None, 0);
    for (at, line) in samples.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        match serde_json::from_slice::<Row>(line) {
            Ok(row) => {
                newer = newer.max(Some(row.v).filter(|version| *version > row::SCHEMA));
                if !is_possible(&row) {
                    impossible += 1;
                } else if is_kept(&row) {
                    rows.push(row);
                }
            }
            Err(_) => bad.push(at + 1),
        }
    }
    if let Some(version) = newer {
        troubles.push(format!(
            "{SAMPLES} has rows of version {version}, and this pfnbench knows {}: what it understands is shown.",
            row::SCHEMA
        ));
    }
    if let Some(first) = bad.first() {
        let nr = bad.len();
        troubles.push(format!("{SAMPLES}: {nr} lines are no rows and left out, the first is line {first}."));
    }
    if impossible > 0 {
        troubles.push(format!(
            "{SAMPLES}: {impossible} values cannot be and are left out: a time is above zero and below eleven days, and nothing is \
             below zero."
        ));
    }
    if rows.is_empty() {
        troubles.push(format!("{SAMPLES} has no rows: there are no figures."));
    }
    rows
}

/// True if the value of a row is plausible, or if the row has none.
fn is_possible(row: &Row) -> bool {
    let Some(value) = row.value else { return true };
    // Means of phases below the resolution of the clock may be zero.
    let is_time = row.unit.starts_with("ns") && !row.metric.starts_with("phase_") && row.metric != "floor";
    match is_time {
        true => value > 0.0 && value <= LONGEST_NS,
        false => (0.0..=LARGEST).contains(&value),
    }
}

fn by_map(rows: Vec<Row>, known: &Known, troubles: &mut Vec<String>) -> Vec<MapRows> {
    let mut maps: Vec<MapRows> = Vec::new();
    let known_names = known.map.iter().map(|map| &map.name).chain(known.other_maps.iter().map(|map| &map.name));
    for name in known_names {
        maps.push(MapRows { map: name.clone(), rows: Vec::new() });
    }
    for row in rows {
        match maps.iter_mut().find(|of_map| of_map.map == row.map) {
            Some(of_map) => of_map.rows.push(row),
            None => maps.push(MapRows { map: row.map.clone(), rows: vec![row] }),
        }
    }
    // An interrupted run may not have reached its main map.
    let main = known.map.as_ref().map(|map| map.name.clone());
    if !maps.iter().any(|of_map| Some(&of_map.map) == main.as_ref() && !of_map.rows.is_empty()) {
        maps.sort_by_key(|of_map| std::cmp::Reverse(of_map.rows.len()));
        if let Some((main, first)) = main.zip(maps.first()).filter(|(_, first)| !first.rows.is_empty()) {
            troubles.push(format!("There are no rows of the main map, {main}: figures are of {}.", first.map));
        }
    }
    maps.retain(|of_map| !of_map.rows.is_empty());
    maps
}

/// The histograms of a log by tag; equal tags are added up.
fn read_histograms(log: &[u8], troubles: &mut Vec<String>) -> BTreeMap<String, Histogram<u64>> {
    let (mut histograms, mut torn) = (BTreeMap::<String, Histogram<u64>>::new(), 0);
    let mut deserializer = Deserializer::new();
    for line in log.split_inclusive(|byte| *byte == b'\n') {
        let mut read = || {
            let LogEntry::Interval(interval) = IntervalLogIterator::new(line).next()?.ok()? else { return None };
            let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).ok()?;
            let histogram: Histogram<u64> = deserializer.deserialize(&mut bytes.as_slice()).ok()?;
            Some((interval.tag()?.as_str().to_owned(), histogram))
        };
        let is_comment = matches!(line.first(), None | Some(b'#' | b'"' | b'\n'));
        match read() {
            Some((tag, histogram)) => match histograms.get_mut(&tag) {
                Some(known) => torn += usize::from(known.add(&histogram).is_err()),
                None => drop(histograms.insert(tag, histogram)),
            },
            None if is_comment => {}
            None => torn += 1,
        }
    }
    if torn > 0 {
        troubles.push(format!("{LATENCIES}: {torn} intervals are torn and left out."));
    }
    histograms
}

/// Id of the machine and beginning of a run, from its manifest, or from its first row.
///
/// # Errors
/// It is no folder, or nothing in it can be read.
pub fn peek(folder: &Path) -> Result<(String, String), InputError> {
    real_folder(folder)?;
    let manifest = optional(&folder.join("manifest.json"), &mut Vec::new());
    let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let word = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let started = word(manifest.as_ref().and_then(|manifest| manifest.get("started"))).unwrap_or_default();
    let machine = word(manifest.as_ref().and_then(|manifest| manifest.get("environment")?.get("machine_id")));
    if let Some(machine) = machine {
        return Ok((machine, started));
    }
    let samples = folder.join(SAMPLES);
    let samples = if samples.is_file() { File::open(samples) } else { Err(io::ErrorKind::NotFound.into()) };
    let samples = samples.map(BufReader::new);
    let lines = samples.into_iter().flat_map(|samples| samples.split(b'\n').map_while(Result::ok));
    let first = lines.take(1000).find_map(|line| serde_json::from_slice::<Row>(&line).ok());
    match (first, manifest) {
        (Some(row), _) => Ok((row.machine, started)),
        (None, Some(_)) => Ok(("unknown".to_owned(), started)),
        (None, None) => Err(InputError::Nothing { path: folder.to_owned() }),
    }
}
