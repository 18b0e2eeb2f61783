//! A run on disk: `results/<machine>/<UTC>-<commit>/`. While the run is in progress, the name ends
//! in `.partial` and the folder holds everything measured so far. A complete run gets its final
//! name and `SHA256SUMS`.
//!
//! | file | what |
//! | --- | --- |
//! | `manifest.json` | tool, toolchain, command, seed, machine, doctor before and after, map |
//! | `samples.jsonl` | one [`Row`] a line |
//! | `instructions.jsonl` | counts that were put beside the run |
//! | `latency.hlog` | histograms of hotplug in HdrHistogram's interval log (compressed V2), a tag a case, nanoseconds |
//! | `SHA256SUMS` | of all of them, written last |
//! | `report.html` | made from them afterwards, and can be made again |
//!
//! A partial folder also contains two files that are needed to resume the run. `plan.json` says
//! what the run is to do. `progress.jsonl` says what it has done: one line per unit, written after
//! the unit's rows, with the length of `samples.jsonl` at that point. Rows beyond the last such
//! length are incomplete; resuming truncates them.

use super::unit::Finished;
use crate::files::replace;
use crate::map::PhysicalMap;
use crate::record::environment::Environment;
use crate::record::examination::Examination;
use crate::record::layout_note::LayoutNote;
use crate::record::row::Row;
use crate::workload::tier::Tier;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// Version of the manifest format, as in [`Manifest::schema`].
pub const SCHEMA: u32 = 2;

/// The program that made the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Tool {
    /// Name of the program: `pfnbench`.
    pub name: Cow<'static, str>,
    /// Version of the program, e.g. `0.1.0`.
    pub version: Cow<'static, str>,
    /// Git commit that the program was built from.
    pub commit: Cow<'static, str>,
    /// Compiler, as `rustc --version` prints it.
    pub rustc: Cow<'static, str>,
    /// Cargo build profile, e.g. `release`.
    pub profile: Cow<'static, str>,
}

impl Tool {
    /// The program that is running.
    pub const THIS: Tool = Tool {
        name: Cow::Borrowed("pfnbench"),
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        commit: Cow::Borrowed(env!("PFNBENCH_COMMIT")),
        rustc: Cow::Borrowed(env!("PFNBENCH_RUSTC")),
        profile: Cow::Borrowed(env!("PFNBENCH_PROFILE")),
    };
}

/// `manifest.json`: everything about a run that is not a measured value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    #[schemars(description = "Version of the manifest.", extend("const" = SCHEMA))]
    pub schema: u32,
    /// The program that made the run.
    pub tool: Tool,
    /// Command line that repeats the run. Paths are reduced to file names; `DIR` stands for a
    /// folder.
    pub command: String,
    /// How much was measured: the tier of the run.
    pub tier: Tier,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Number of processes that measured.
    pub processes: u32,
    /// Start of the run in UTC, e.g. `2026-01-31T12:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
    /// End of the run in UTC, e.g. `2026-01-31T12:00:00Z`.
    #[schemars(extend("format" = "date-time"))]
    pub ended: String,
    /// The machine that the run was made on.
    pub environment: Environment,
    /// Checks of the doctor before the run.
    pub doctor_before: Examination,
    /// Checks of the doctor after the run.
    pub doctor_after: Examination,
    /// Limit on the memory for the records of all layouts together, in bytes.
    pub records_limit: u64,
    /// Margin of equality, as a fraction of the time: 0.02 means that differences up to 2 % are
    /// negligible. Left out in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Architecture whose page and section sizes the layouts use.
    pub geometry: Cow<'static, str>,
    /// The main physical memory map, reduced to ranges of memory.
    pub map: PhysicalMap,
    /// Further maps that the run measured on.
    pub other_maps: Vec<MapNote>,
    /// The layouts that were measured; left out in runs of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layouts: Vec<LayoutNote>,
}

/// Summary of a physical memory map. Runs of earlier versions have no sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MapNote {
    /// Name of the map, as in the rows.
    pub name: String,
    /// Where the map comes from.
    pub origin: String,
    /// The memory of the map, in words.
    pub summary: String,
    /// Physical address of the end of the last range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_bytes: Option<u64>,
    /// Size of the boot memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// Number of sections that contain boot memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nr_sections: Option<u64>,
}

impl MapNote {
    /// Summarises a map that is measured with sections of `section_bytes`.
    pub fn of(map: &PhysicalMap, section_bytes: u64) -> Self {
        Self {
            name: map.name.clone(),
            origin: map.origin.clone(),
            summary: map.summary(),
            end_bytes: Some(map.end()),
            ram_bytes: Some(map.ram_bytes()),
            nr_sections: Some(map.nr_sections(section_bytes)),
        }
    }
}

/// SHA-256 of `contents` in lower-case hexadecimal, as in `SHA256SUMS`.
pub fn sha256(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error while a run folder is written or read.
#[derive(Debug, Error)]
pub enum FolderError {
    /// A file or folder cannot be written.
    #[error("cannot write the run folder {}: {source}; choose another place with --output", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The disk or quota is full. Results that were measured before are intact.
    #[error("no room left in {}: {source}; what was measured until then is there", path.display())]
    Full {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The run cannot be resumed.
    #[error("cannot take up {}: {reason}", path.display())]
    Resume {
        /// Path of the folder.
        path: PathBuf,
        /// The reason, as a sentence without a full stop.
        reason: String,
    },
}

impl FolderError {
    /// True if the user has no permission to write there, or if the file system is read-only.
    pub fn is_not_allowed(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self, Self::Write { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
    }
}

/// Suffix of the folder's name until the run is complete.
pub const PARTIAL: &str = ".partial";

/// Name of the file with the histograms.
pub const LATENCIES: &str = "latency.hlog";
/// Name of the file with the rows.
pub const SAMPLES: &str = "samples.jsonl";
const PROGRESS: &str = "progress.jsonl";
const PLAN: &str = "plan.json";
/// Name of the file with the checksums. It is written last and marks a complete folder.
pub const SUMS: &str = "SHA256SUMS";

/// A line of `progress.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct Step {
    /// Part of the run: one process on one map.
    leg: String,
    /// Name of the unit that was finished.
    unit: String,
    /// Length of `samples.jsonl` in bytes after the unit's rows.
    samples_bytes: u64,
    /// Encoded histograms of the unit, each with its tag.
    histograms: Vec<(String, Vec<u8>)>,
}

/// A run folder that is being written. If it is dropped before anything was measured, it is
/// removed. Afterwards it stays, with the suffix `.partial`.
#[derive(Debug)]
pub struct RunFolder {
    partial: PathBuf,
    machine_dir: PathBuf,
    name: String,
    made: MadeDirs,
    samples: File,
    progress: File,
    samples_bytes: u64,
    progress_bytes: u64,
    steps: Vec<Step>,
    finished: bool,
}

/// Folders that were created for this run, deepest first. Dropping it removes those that are still
/// empty.
#[derive(Debug, Default)]
struct MadeDirs(Vec<PathBuf>);

impl MadeDirs {
    fn make(dir: &Path) -> io::Result<Self> {
        let missing: Vec<PathBuf> = dir.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        fs::create_dir_all(dir)?;
        Ok(Self(missing.into_iter().filter(|dir| !dir.as_os_str().is_empty()).collect()))
    }
}

impl Drop for MadeDirs {
    fn drop(&mut self) {
        for dir in &self.0 {
            // Fails if something else is in the folder now, which must not be removed.
            let _ = fs::remove_dir(dir);
        }
    }
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The current time in the format of manifests, e.g. `2026-01-31T12:00:00Z`.
pub fn now() -> String {
    utc(Timestamp::now())
}

fn written(path: &Path, source: io::Error) -> FolderError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            FolderError::Full { path, source }
        }
        _ => FolderError::Write { path, source },
    }
}

/// Appends `bytes` to a file of length `len` and syncs it. If not all of them fit, the file is
/// truncated to `len`.
fn append(file: &mut File, len: &mut u64, bytes: &[u8]) -> io::Result<()> {
    match file.write_all(bytes) {
        // The data must be on disk before the next step refers to it.
        Ok(()) => file.sync_data().map(|()| *len += bytes.len() as u64),
        Err(error) => {
            // If this fails too, the length in `progress.jsonl` still says where valid data ends.
            let _ = file.set_len(*len);
            Err(error)
        }
    }
}

impl RunFolder {
    /// Creates a partial folder below `results`. This happens before the race, so that a read-only
    /// place is noticed early.
    ///
    /// # Errors
    /// Fails if the folder cannot be created.
    pub fn begin(results: &Path, machine_id: &str) -> Result<Self, FolderError> {
        let machine_dir = results.join(machine_id);
        let error = |source| written(&machine_dir, source);
        let made = MadeDirs::make(&machine_dir).map_err(error)?;
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        for suffix in 1.. {
            let name = match suffix {
                1 => format!("{stamp}-{}", Tool::THIS.commit),
                _ => format!("{stamp}-{}-{suffix}", Tool::THIS.commit),
            };
            let partial = machine_dir.join(format!("{name}{PARTIAL}"));
            if machine_dir.join(&name).exists() {
                continue;
            }
            match fs::create_dir(&partial) {
                Ok(()) => return Self::open(partial, machine_dir, name, made),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(error(source)),
            }
        }
        unreachable!("some number is free")
    }

    fn open(partial: PathBuf, machine_dir: PathBuf, name: String, made: MadeDirs) -> Result<Self, FolderError> {
        let file = |name: &str| {
            let path = partial.join(name);
            OpenOptions::new().create(true).append(true).open(&path).map_err(|source| written(&path, source))
        };
        let (samples, progress) = (file(SAMPLES)?, file(PROGRESS)?);
        // The lock is held until the folder is closed, so that no other process resumes the run
        // meanwhile.
        rustix::fs::flock(&progress, FlockOperation::NonBlockingLockExclusive).map_err(|_| FolderError::Resume {
            path: partial.clone(),
            reason: "another pfnbench is writing it".to_owned(),
        })?;
        let (samples_bytes, progress_bytes, steps) = (0, 0, Vec::new());
        let finished = false;
        Ok(Self { partial, machine_dir, name, made, samples, progress, samples_bytes, progress_bytes, steps, finished })
    }

    /// Opens the folder of an interrupted run to resume it, and reads the plan of the run.
    ///
    /// # Errors
    /// Fails if the folder is not a partial run, is locked by another process, or has a plan of
    /// another version.
    pub fn resume<P: DeserializeOwned>(partial: &Path) -> Result<(Self, P), FolderError> {
        let refused = |reason: String| FolderError::Resume { path: partial.to_owned(), reason };
        let is_partial = partial.file_name().is_some_and(|name| name.to_string_lossy().ends_with(PARTIAL));
        if partial.join(SUMS).exists() && !is_partial {
            return Err(refused("the run is complete".to_owned()));
        }
        let plan = fs::read(partial.join(PLAN))
            .map_err(|error| refused(format!("{PLAN}: {error}; give the folder of a run that was stopped")))?;
        let plan = serde_json::from_slice(&plan).map_err(|error| refused(format!("{PLAN}: {error}")))?;
        let name = partial.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(PARTIAL));
        let name = name.ok_or_else(|| refused(format!("its name does not end in {PARTIAL}")))?.to_owned();
        let machine_dir = match partial.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut folder = Self::open(partial.to_owned(), machine_dir, name, MadeDirs::default())?;
        let text =
            fs::read_to_string(partial.join(PROGRESS)).map_err(|error| refused(format!("{PROGRESS}: {error}")))?;
        // An incomplete last line is not a step.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let step: Step = serde_json::from_str(line).map_err(|error| refused(format!("{PROGRESS}: {error}")))?;
            folder.progress_bytes += line.len() as u64;
            folder.samples_bytes = step.samples_bytes;
            folder.steps.push(step);
        }
        let there = folder.samples.metadata().map_err(|error| refused(format!("{SAMPLES}: {error}")))?.len();
        if there < folder.samples_bytes {
            return Err(refused(format!("{SAMPLES} is shorter than what was measured")));
        }
        // The run was interrupted after its checksums were written and before it was renamed; they
        // are made again.
        let _ = fs::remove_file(partial.join(SUMS));
        let cut = folder.samples.set_len(folder.samples_bytes);
        cut.and_then(|()| folder.progress.set_len(folder.progress_bytes)).map_err(|source| written(partial, source))?;
        Ok((folder, plan))
    }

    /// Current path of the folder, which ends in `.partial`.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// True if at least one unit was measured.
    pub fn has_units(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Names of the finished units of a leg.
    pub fn done(&self, leg: &str) -> impl Iterator<Item = &str> {
        let leg = leg.to_owned();
        self.steps.iter().filter(move |step| step.leg == leg).map(|step| step.unit.as_str())
    }

    /// Writes `contents` to the file `name` in the folder.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), FolderError> {
        let path = self.partial.join(name);
        fs::write(&path, contents).map_err(|source| written(&path, source))
    }

    /// Writes `plan.json`: what the run is to do.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_plan(&self, plan: &impl Serialize) -> Result<(), FolderError> {
        self.write(PLAN, &serde_json::to_vec(plan).expect("a plan has string keys only"))
    }

    /// Writes `manifest.json`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), FolderError> {
        let json = serde_json::to_vec_pretty(manifest).expect("a manifest has string keys only");
        self.write("manifest.json", &json)
    }

    /// Stores a finished unit of a leg: first its rows, then the line in `progress.jsonl` that says
    /// it is done.
    ///
    /// # Errors
    /// Fails if the unit cannot be written; earlier units are unchanged.
    pub fn keep(&mut self, leg: &str, finished: &Finished) -> Result<(), FolderError> {
        let mut lines = Vec::new();
        for row in &finished.rows {
            serde_json::to_writer(&mut lines, row).expect("a row has string keys only");
            lines.push(b'\n');
        }
        let before = self.samples_bytes;
        let path = self.partial.join(SAMPLES);
        append(&mut self.samples, &mut self.samples_bytes, &lines).map_err(|source| written(&path, source))?;
        let step = Step {
            leg: leg.to_owned(),
            unit: finished.unit.clone(),
            samples_bytes: self.samples_bytes,
            histograms: finished.histograms.clone(),
        };
        let mut line = serde_json::to_vec(&step).expect("a step has string keys only");
        line.push(b'\n');
        let path = self.partial.join(PROGRESS);
        if let Err(source) = append(&mut self.progress, &mut self.progress_bytes, &line) {
            self.samples_bytes = before;
            // As in `append`.
            let _ = self.samples.set_len(before);
            return Err(written(&path, source));
        }
        self.steps.push(step);
        Ok(())
    }

    /// Reads the rows back from disk, so that the analysis sees exactly what is stored.
    ///
    /// # Errors
    /// Fails if the rows cannot be read or parsed.
    pub fn rows(&self) -> Result<Vec<Row>, FolderError> {
        let refused = |reason: String| FolderError::Resume { path: self.partial.clone(), reason };
        let text = fs::read_to_string(self.partial.join(SAMPLES)).map_err(|e| refused(format!("{SAMPLES}: {e}")))?;
        let row = |line: &str| serde_json::from_str(line).map_err(|e| refused(format!("{SAMPLES}: {e}")));
        text.lines().map(row).collect()
    }

    /// Writes the histograms of all units as one interval log, in nanoseconds.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_histograms(&self) -> Result<(), FolderError> {
        let path = self.partial.join(LATENCIES);
        let mut histograms = Vec::new();
        for step in &self.steps {
            let finished = Finished { unit: String::new(), rows: Vec::new(), histograms: step.histograms.clone() };
            let decoded = finished.decoded().map_err(|error| written(&path, io::Error::other(error)))?;
            histograms.extend(decoded);
        }
        let mut log = Vec::new();
        interval_log(&mut log, &histograms).map_err(|source| written(&path, source))?;
        self.write(LATENCIES, &log)
    }

    /// Writes the checksums of every file, then renames the folder to its final name.
    ///
    /// # Errors
    /// Fails if a file cannot be read or written; the folder then keeps the suffix `.partial`.
    pub fn finish(mut self) -> Result<PathBuf, FolderError> {
        let partial = self.partial.clone();
        let error = |source| written(&partial, source);
        let is_of_run = |name: &std::ffi::OsStr| ![PLAN, PROGRESS, SUMS].iter().any(|other| name == *other);
        let names = fs::read_dir(&partial).map_err(error)?.map(|entry| Ok(entry?.file_name()));
        let mut names: Vec<_> = names.collect::<io::Result<_>>().map_err(error)?;
        names.retain(|name| is_of_run(name));
        names.sort();
        let mut sums = String::new();
        for name in names {
            let contents = fs::read(partial.join(&name)).map_err(error)?;
            let sum = sha256(&contents);
            sums.push_str(&format!("{sum}  {}\n", name.to_string_lossy()));
        }
        // Written atomically: a list truncated by a full disk would seem complete but leave out
        // files.
        replace(&partial.join(SUMS), sums.as_bytes()).map_err(error)?;
        for name in [PLAN, PROGRESS] {
            match fs::remove_file(partial.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(error(e)),
                _ => {}
            }
        }
        for suffix in 1.. {
            let target = match suffix {
                1 => self.machine_dir.join(&self.name),
                _ => self.machine_dir.join(format!("{}-{suffix}", self.name)),
            };
            // Renaming replaces an empty folder but never one that contains files.
            match fs::rename(&partial, &target) {
                Ok(()) => {
                    self.made.0.clear();
                    self.finished = true;
                    return Ok(target);
                }
                Err(e) if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists].contains(&e.kind()) => {}
                Err(e) => return Err(error(e)),
            }
        }
        unreachable!("some number is free")
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if self.has_units() {
            // Results stay, and so do the folders that contain them.
            self.made.0.clear();
        } else {
            // Nothing was measured. At worst, an empty folder remains.
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// Writes histograms in HdrHistogram's interval log format: one tagged interval per histogram.
pub fn interval_log(into: &mut impl Write, histograms: &[(String, Histogram<u64>)]) -> io::Result<()> {
    // Compressed, because other readers reject uncompressed logs.
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("pfnbench latencies in nanoseconds, a tag a case, compressed V2: any reader of HdrHistogram logs takes them")
        .with_start_time(SystemTime::now())
        .begin_log_with(into, &mut serializer)?;
    for (tag, histogram) in histograms {
        let tag = Tag::new(tag).ok_or_else(|| io::Error::other(format!("{tag:?} cannot be a tag")))?;
        // Start and length have no meaning here, because cases take turns.
        log.write_histogram(histogram, Duration::ZERO, Duration::ZERO, Some(tag))
            .map_err(|e| io::Error::other(format!("{e:?}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::row::tests::row;
    use hdrhistogram::serialization::{Serializer, V2Serializer};

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn unit(name: &str, nr_rows: usize) -> Finished {
        let rows = (0..nr_rows).map(|at| row("a", name, "time", Some(at as f64))).collect();
        let mut histogram: Histogram<u64> = Histogram::new(3).unwrap();
        histogram.record(15_000).unwrap();
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        Finished { unit: name.to_owned(), rows, histograms: vec![(format!("{name}/x"), bytes)] }
    }

    #[test]
    fn a_folder_without_anything_measured_is_not_there() {
        let base = tempfile::tempdir().unwrap();
        let results = base.path().join("a/b");
        let folder = RunFolder::begin(&results, "machine").unwrap();
        folder.write_plan(&1).unwrap();
        drop(folder);
        assert!(entries(base.path()).is_empty(), "folders made for it go with it");
    }

    #[test]
    fn a_complete_folder_has_its_sums_and_neither_plan_nor_progress() {
        let base = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::begin(base.path(), "machine").unwrap();
        folder.write_plan(&1).unwrap();
        folder.write("x", b"hello").unwrap();
        folder.keep("0 m", &unit("u", 2)).unwrap();
        assert_eq!(folder.rows().unwrap().len(), 2);
        folder.write_histograms().unwrap();
        let path = folder.finish().unwrap();
        assert_eq!(entries(&path), ["SHA256SUMS", "latency.hlog", "samples.jsonl", "x"]);
        let sums = fs::read_to_string(path.join("SHA256SUMS")).unwrap();
        assert!(sums.contains("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  x\n"));
        drop(RunFolder::begin(base.path(), "machine").unwrap());
        assert_eq!(entries(&base.path().join("machine")).len(), 1, "the finished one stays");
    }

    #[test]
    fn a_run_that_was_stopped_is_taken_up_where_it_was() {
        let base = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::begin(base.path(), "machine").unwrap();
        folder.write_plan(&"the plan").unwrap();
        folder.keep("0 m", &unit("u", 2)).unwrap();
        folder.keep("0 m", &unit("v", 1)).unwrap();
        folder.keep("1 m", &unit("u", 1)).unwrap();
        let partial = folder.path().to_owned();
        drop(folder);
        assert!(partial.to_string_lossy().ends_with(PARTIAL) && !partial.join("SHA256SUMS").exists());
        // Both were being written when it was stopped.
        for (name, torn) in [(SAMPLES, "{\"v\":1,\"lay"), (PROGRESS, "{\"leg\":\"1 m\",\"un")] {
            let mut file = OpenOptions::new().append(true).open(partial.join(name)).unwrap();
            file.write_all(torn.as_bytes()).unwrap();
        }
        let (mut folder, plan): (_, String) = RunFolder::resume(&partial).unwrap();
        assert_eq!((plan.as_str(), folder.rows().unwrap().len()), ("the plan", 4));
        assert_eq!(folder.done("0 m").collect::<Vec<_>>(), ["u", "v"]);
        folder.keep("1 m", &unit("v", 3)).unwrap();
        assert_eq!(folder.rows().unwrap().len(), 7);
        folder.write_histograms().unwrap();
        let path = folder.finish().unwrap();
        let error = RunFolder::resume::<String>(&path).unwrap_err().to_string();
        assert!(error.contains("complete"), "{error}");
    }

    #[test]
    fn what_cannot_be_taken_up_says_why() {
        let base = tempfile::tempdir().unwrap();
        let refused = |path: &Path| RunFolder::resume::<String>(path).unwrap_err().to_string();
        assert!(refused(base.path()).contains("plan.json"));
        let mut folder = RunFolder::begin(base.path(), "machine").unwrap();
        folder.write_plan(&"p").unwrap();
        folder.keep("0 m", &unit("u", 2)).unwrap();
        let partial = folder.path().to_owned();
        drop(folder);
        fs::write(partial.join(SAMPLES), "").unwrap();
        assert!(refused(&partial).contains("shorter"));
        fs::write(partial.join(PLAN), "{").unwrap();
        assert!(refused(&partial).contains("plan.json"));
    }

    #[test]
    fn what_does_not_fit_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "kept").unwrap();
        // Opened for reading: every write fails.
        let (mut file, mut len) = (File::open(&path).unwrap(), 4);
        assert!(append(&mut file, &mut len, b"lost").is_err());
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), len), ("kept", 4));
        assert!(matches!(written(&path, io::ErrorKind::StorageFull.into()), FolderError::Full { .. }));
    }

    #[test]
    fn two_runs_in_one_second_do_not_meet() {
        let base = tempfile::tempdir().unwrap();
        let finish = || {
            let mut folder = RunFolder::begin(base.path(), "m").unwrap();
            folder.keep("0 m", &unit("u", 1)).unwrap();
            folder.finish().unwrap()
        };
        let paths = [finish(), finish(), finish()];
        assert!(paths[0] != paths[1] && paths[1] != paths[2], "{paths:?}");
        let (a, b) = (RunFolder::begin(base.path(), "m").unwrap(), RunFolder::begin(base.path(), "m").unwrap());
        assert_ne!(a.path(), b.path());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = RunFolder::begin(Path::new("/proc/nowhere"), "m").unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere"), "{error}");
    }

    #[test]
    fn the_log_reads_back_tag_by_tag() {
        use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(15_000, 100).unwrap();
        let mut log = Vec::new();
        interval_log(&mut log, &[("hot_add/dax/2097152".to_owned(), histogram.clone())]).unwrap();
        let tags: Vec<_> = IntervalLogIterator::new(&log)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(interval) => {
                    // What the cookie of compressed V2 looks like in base64.
                    let compressed = interval.encoded_histogram().starts_with("HISTFA");
                    Some((interval.tag().map(|tag| tag.as_str().to_owned()), compressed))
                }
                _ => None,
            })
            .collect();
        assert_eq!(tags, [(Some("hot_add/dax/2097152".to_owned()), true)]);
    }
}
