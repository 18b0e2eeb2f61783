//! A run on disk: `results/<machine>/<UTC>-<commit>/`. While the run is in progress, the name ends
//! in `.partial` and the folder holds everything measured so far. A complete run gets its final
//! name and `SHA256SUMS`.
//!
//! | file | what |
//! | --- | --- |
//! | `schedule.json` | the whole workload, filters, maps and seed, from which the run can be repeated |
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

use super::files::{LATENCIES, MANIFEST, PARTIAL, PLAN, PROGRESS, SAMPLES, SCHEDULE, SUMS, sha256};
use super::folder_error::{FolderError, written};
use super::histogram_log;
use super::journal::Step;
use super::manifest::{Manifest, Tool};
use super::reader::{Problem, ReadError, parse_rows};
use super::unit::Finished;
use crate::files::replace;
use crate::record::row::Row;
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A run folder that is being written. If it is dropped before anything was measured, it is
/// removed. Afterwards it stays, with the suffix `.partial`.
#[derive(Debug)]
pub struct RunFolder {
    pub(super) partial: PathBuf,
    machine_dir: PathBuf,
    name: String,
    made: MadeDirs,
    pub(super) samples: File,
    pub(super) progress: File,
    pub(super) samples_bytes: u64,
    pub(super) progress_bytes: u64,
    pub(super) steps: Vec<Step>,
    finished: bool,
}

/// Folders that were created for this run, deepest first. Dropping it removes those that are still
/// empty.
#[derive(Debug, Default)]
pub(super) struct MadeDirs(Vec<PathBuf>);

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

    pub(super) fn open(
        partial: PathBuf,
        machine_dir: PathBuf,
        name: String,
        made: MadeDirs,
    ) -> Result<Self, FolderError> {
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

    /// Current path of the folder, which ends in `.partial`.
    pub fn path(&self) -> &Path {
        &self.partial
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

    /// Writes `schedule.json`: what the run did, for whoever repeats it.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_schedule(&self, schedule: &impl Serialize) -> Result<(), FolderError> {
        self.write(SCHEDULE, &serde_json::to_vec(schedule).expect("a schedule has string keys only"))
    }

    /// Writes `manifest.json`.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), FolderError> {
        let json = serde_json::to_vec_pretty(manifest).expect("a manifest has string keys only");
        self.write(MANIFEST, &json)
    }

    /// Reads the rows back from disk, so that the analysis sees exactly what is stored.
    ///
    /// # Errors
    /// Fails if the rows cannot be read or parsed.
    pub fn rows(&self) -> Result<Vec<Row>, FolderError> {
        let failed = |problem| ReadError { folder: self.partial.clone(), problem };
        let samples = fs::read(self.partial.join(SAMPLES))
            .map_err(|source| failed(Problem::Unreadable { file: SAMPLES.to_owned(), source }))?;
        let row = |(first, row): (usize, serde_json::Result<Row>)| {
            row.map_err(|source| failed(Problem::Rows { count: 1, first, source }).into())
        };
        parse_rows(&samples).map(row).collect()
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
        histogram_log::write(&mut log, &histograms).map_err(|source| written(&path, source))?;
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::record::row::tests::row;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Serializer, V2Serializer};

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn unit(name: &str, nr_rows: usize) -> Finished {
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
    fn an_error_names_the_path_that_cannot_be_written() {
        let error = RunFolder::begin(Path::new("/proc/nowhere"), "m").unwrap_err().to_string();
        assert!(error.contains("/proc/nowhere"), "{error}");
    }
}
