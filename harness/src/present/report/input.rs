//! What a report takes from a run folder: everything that is readable, with a message for everything that is missing.

use crate::analysis::headline;
use crate::record::files::SCHEDULE;
use crate::record::instructions::InstructionRow;
use crate::record::manifest::ManifestFields;
use crate::record::reader::{Problem, ReadError, RunReader, Strictness};
use crate::record::row::Row;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::path::Path;

/// How much of a run is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All rows.
    Whole,
    /// Only rows needed for the headlines on the main map, for runs that are shown beside others.
    Headlines,
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
    pub known: ManifestFields,
    /// Rows by map, the main one first.
    pub maps: Vec<MapRows>,
    /// Histograms by tag, in nanoseconds.
    pub histograms: BTreeMap<String, Histogram<u64>>,
    /// Instruction counts stored with the run.
    pub instructions: Vec<InstructionRow>,
    /// True if the folder holds what `pfnbench run --repeat` needs.
    pub has_schedule: bool,
    /// False if the run was interrupted or its rows are incomplete.
    pub has_all_rows: bool,
    /// Problems with the folder, in sentences.
    pub troubles: Vec<String>,
}

impl RunInput {
    /// Name of the main map.
    pub fn main_map(&self) -> &str {
        self.maps.first().map_or("", |first| &first.map)
    }
}

/// Reads a run folder.
///
/// # Errors
/// The path is not a folder, nothing in it can be read, or it is of a newer schema.
pub fn read(folder: &Path, depth: Depth) -> Result<RunInput, ReadError> {
    let mut reader = RunReader::open(folder, Strictness::Lenient)?;
    reader.check_complete()?;
    let known = reader.manifest()?;
    let main = known.as_ref().and_then(|known| Some(known.map.as_ref()?.name.clone()));
    let is_kept = |row: &Row| {
        let is_headline = || main.as_ref().is_none_or(|main| row.map == *main) && headline::is_row_of_one(row);
        depth == Depth::Whole || is_headline()
    };
    let rows = reader.rows(is_kept)?;
    if rows.is_empty() && known.is_none() {
        return Err(reader.error(Problem::NotARun));
    }
    let known = known.unwrap_or_default();
    let machine = known.environment.as_ref().map(|environment| environment.machine_id.clone());
    let machine = machine.or_else(|| Some(rows.first()?.machine.clone())).unwrap_or_else(|| "unknown".to_owned());
    let (histograms, instructions) = match depth {
        Depth::Whole => (reader.histograms()?, reader.instructions()?),
        Depth::Headlines => (BTreeMap::new(), Vec::new()),
    };
    let mut troubles: Vec<String> = reader.problems().iter().map(|problem| format!("{problem}.")).collect();
    let has_all_rows = !reader.problems().iter().any(is_about_rows);
    let maps = by_map(rows, &known, &mut troubles);
    Ok(RunInput {
        has_schedule: folder.join(SCHEDULE).is_file(),
        name: reader.name().to_owned(),
        machine,
        known,
        maps,
        histograms,
        instructions,
        has_all_rows,
        troubles,
    })
}

/// True if rows may be missing because of a problem.
fn is_about_rows(problem: &Problem) -> bool {
    use crate::record::files::SAMPLES;
    match problem {
        Problem::Interrupted | Problem::Rows { .. } | Problem::Implausible { .. } | Problem::NoRows => true,
        Problem::Missing { file, .. } => *file == SAMPLES,
        Problem::Unreadable { file, .. } | Problem::Changed(file) | Problem::ListedButMissing(file) => file == SAMPLES,
        _ => false,
    }
}

fn by_map(rows: Vec<Row>, known: &ManifestFields, troubles: &mut Vec<String>) -> Vec<MapRows> {
    let mut maps: Vec<MapRows> = Vec::new();
    for name in known.map_names() {
        maps.push(MapRows { map: name.to_owned(), rows: Vec::new() });
    }
    for row in rows {
        match maps.iter_mut().find(|map| map.map == row.map) {
            Some(map) => map.rows.push(row),
            None => maps.push(MapRows { map: row.map.clone(), rows: vec![row] }),
        }
    }
    // An interrupted run may not have reached its main map.
    let main = known.map.as_ref().map(|map| map.name.clone());
    if !maps.iter().any(|map| Some(&map.map) == main.as_ref() && !map.rows.is_empty()) {
        maps.sort_by_key(|map| std::cmp::Reverse(map.rows.len()));
        if let Some((main, first)) = main.zip(maps.first()).filter(|(_, first)| !first.rows.is_empty()) {
            troubles.push(format!("The main map, {main}, has no rows; the figures show {}.", first.map));
        }
    }
    maps.retain(|map| !map.rows.is_empty());
    maps
}
