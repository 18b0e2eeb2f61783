//! A run on disk: `results/<machine>/<UTC>-<commit>/`, complete or not there.
//!
//! | file | what |
//! | --- | --- |
//! | `manifest.json` | tool, toolchain, command, seed, machine, doctor before and after, map |
//! | `samples.jsonl` | one [`Row`] a line |
//! | `latency.hlog` | histograms of hotplug in HdrHistogram's interval log, a tag a case, nanoseconds |
//! | `*.svg`, `report.html` | the pictures and the page |
//! | `SHA256SUMS` | of all of them, written last |

use crate::doctor::Examination;
use crate::environment::Environment;
use crate::map::PhysicalMap;
use crate::row::Row;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use thiserror::Error;

/// Version of the manifest.
pub const SCHEMA: u32 = 1;

/// What made the run.
#[derive(Clone, Debug, Serialize)]
pub struct Tool {
    /// `pfnbench`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its commit.
    pub commit: &'static str,
    /// The compiler.
    pub rustc: &'static str,
    /// The build profile.
    pub profile: &'static str,
}

impl Tool {
    /// This binary.
    pub const THIS: Tool = Tool {
        name: "pfnbench",
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("PFNBENCH_COMMIT"),
        rustc: env!("PFNBENCH_RUSTC"),
        profile: env!("PFNBENCH_PROFILE"),
    };
}

/// Everything about a run that is not a figure.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What made it.
    pub tool: Tool,
    /// A command that makes it again.
    pub command: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Processes that measured.
    pub processes: u32,
    /// UTC.
    pub started: String,
    /// UTC.
    pub ended: String,
    /// The machine.
    pub environment: Environment,
    /// The doctor before the run.
    pub doctor_before: Examination,
    /// The doctor after it.
    pub doctor_after: Examination,
    /// Bytes of records of all layouts together.
    pub records_limit: u64,
    /// Architecture of the layouts.
    pub geometry: &'static str,
    /// The map: memory only.
    pub map: PhysicalMap,
}

/// As `SHA256SUMS` has it.
pub fn sha256(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A run folder that could not be written.
#[derive(Debug, Error)]
#[error("cannot write the run folder {}: {source}; choose another place with --output", path.display())]
pub struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// A run folder in the making. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct RunFolder {
    // Declared before `made`: the files go before the folders that were made for them.
    partial: TempDir,
    machine_dir: PathBuf,
    made: MadeDirs,
}

/// Folders that were made for this run, deepest first; those still empty go with it.
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
            // Fails where something else has come to lie in it, which is then not ours to remove.
            let _ = fs::remove_dir(dir);
        }
    }
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, as manifests write it.
pub fn now() -> String {
    utc(Timestamp::now())
}

impl RunFolder {
    /// Begins a folder below `results` for a machine, so that a place that cannot be written shows before the race.
    ///
    /// # Errors
    /// The place cannot be written.
    pub fn begin(results: &Path, machine_id: &str) -> Result<Self, FolderError> {
        let machine_dir = results.join(machine_id);
        let error = |source| FolderError { path: machine_dir.clone(), source };
        let made = MadeDirs::make(&machine_dir).map_err(error)?;
        let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(&machine_dir).map_err(error)?;
        Ok(Self { partial, machine_dir, made })
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, contents: &[u8]) -> Result<(), FolderError> {
        let path = self.partial.path().join(name);
        fs::write(&path, contents).map_err(|source| FolderError { path, source })
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), FolderError> {
        let json = serde_json::to_vec_pretty(manifest).expect("a manifest has string keys only");
        self.write("manifest.json", &json)
    }

    /// Writes the rows.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write_rows(&self, rows: &[Row]) -> Result<(), FolderError> {
        let mut lines = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut lines, row).expect("a row has string keys only");
            lines.push(b'\n');
        }
        self.write("samples.jsonl", &lines)
    }

    /// Writes the histograms as one interval log, in nanoseconds.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_histograms(&self, histograms: &[(String, Histogram<u64>)]) -> Result<(), FolderError> {
        let mut log = Vec::new();
        interval_log(&mut log, histograms)
            .map_err(|source| FolderError { path: self.partial.path().join("latency.hlog"), source })?;
        self.write("latency.hlog", &log)
    }

    /// Sums every file, then gives the folder its name.
    ///
    /// # Errors
    /// A file cannot be read or written; nothing is left behind.
    pub fn finish(mut self) -> Result<PathBuf, FolderError> {
        let partial = self.partial.path().to_owned();
        let error = |source| FolderError { path: partial.clone(), source };
        let mut names: Vec<_> = fs::read_dir(&partial)
            .map_err(error)?
            .map(|e| Ok(e?.file_name()))
            .collect::<io::Result<_>>()
            .map_err(error)?;
        names.sort();
        let mut sums = String::new();
        for name in names {
            let contents = fs::read(partial.join(&name)).map_err(error)?;
            let sum = sha256(&contents);
            sums.push_str(&format!("{sum}  {}\n", name.to_string_lossy()));
        }
        self.write("SHA256SUMS", sums.as_bytes())?;
        // The temporary folder is closed to others; results are to be read.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&partial, mode).map_err(error)?;
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let name = format!("{stamp}-{}", Tool::THIS.commit);
        for suffix in 1.. {
            let target = match suffix {
                1 => self.machine_dir.join(&name),
                _ => self.machine_dir.join(format!("{name}-{suffix}")),
            };
            // Renaming replaces an empty folder but never one with files in it.
            match fs::rename(&partial, &target) {
                Ok(()) => {
                    self.made.0.clear();
                    self.partial.disable_cleanup(true);
                    return Ok(target);
                }
                Err(e) if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists].contains(&e.kind()) => {}
                Err(e) => return Err(error(e)),
            }
        }
        unreachable!("some number is free")
    }
}

/// HdrHistogram's interval log: one interval a histogram, tagged.
pub fn interval_log(into: &mut impl Write, histograms: &[(String, Histogram<u64>)]) -> io::Result<()> {
    let mut serializer = V2Serializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("pfnbench hotplug latencies in nanoseconds")
        .with_start_time(SystemTime::now())
        .begin_log_with(into, &mut serializer)?;
    for (tag, histogram) in histograms {
        let tag = Tag::new(tag).ok_or_else(|| io::Error::other(format!("{tag:?} cannot be a tag")))?;
        // Start and length are of no meaning here: cases take turns.
        log.write_histogram(histogram, Duration::ZERO, Duration::ZERO, Some(tag))
            .map_err(|e| io::Error::other(format!("{e:?}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_complete_or_not_there() {
        let base = tempfile::tempdir().unwrap();
        let results = base.path().join("a/b");
        drop(RunFolder::begin(&results, "machine").unwrap());
        assert!(entries(base.path()).is_empty(), "folders made for it go with it");

        let folder = RunFolder::begin(&results, "machine").unwrap();
        folder.write("x", b"hello").unwrap();
        let path = folder.finish().unwrap();
        assert_eq!(entries(&path), ["SHA256SUMS", "x"]);
        let sums = fs::read_to_string(path.join("SHA256SUMS")).unwrap();
        assert_eq!(sums, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  x\n");

        let second = RunFolder::begin(&results, "machine").unwrap();
        drop(second);
        assert_eq!(entries(&results.join("machine")).len(), 1, "the finished one stays");
    }

    #[test]
    fn two_runs_in_one_second_do_not_meet() {
        let base = tempfile::tempdir().unwrap();
        let finish = || {
            let folder = RunFolder::begin(base.path(), "m").unwrap();
            folder.write("x", b"").unwrap();
            folder.finish().unwrap()
        };
        let paths = [finish(), finish(), finish()];
        assert!(paths[0] != paths[1] && paths[1] != paths[2], "{paths:?}");
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
                    let bytes = interval.encoded_histogram();
                    Some((interval.tag().map(|tag| tag.as_str().to_owned()), !bytes.is_empty()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(tags, [(Some("hot_add/dax/2097152".to_owned()), true)]);
    }
}
