//! The journal of a run in progress: its plan, and which units are finished. From it a run that was interrupted is
//! resumed.

use super::files::{PARTIAL, PLAN, PROGRESS, SAMPLES, SUMS};
use super::folder_error::written;
use super::run_folder::{MadeDirs, RunFolder};
use super::unit::Finished;
use crate::record::folder_error::FolderError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A line of `progress.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Step {
    /// Part of the run: one process on one map.
    pub(super) leg: String,
    /// Name of the unit that was finished.
    pub(super) unit: String,
    /// Length of `samples.jsonl` in bytes after the unit's rows.
    pub(super) samples_bytes: u64,
    /// Encoded histograms of the unit, each with its tag.
    pub(super) histograms: Vec<(String, Vec<u8>)>,
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

    /// True if at least one unit was measured.
    pub fn has_units(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Names of the finished units of a leg.
    pub fn done(&self, leg: &str) -> impl Iterator<Item = &str> {
        let leg = leg.to_owned();
        self.steps.iter().filter(move |step| step.leg == leg).map(|step| step.unit.as_str())
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::run_folder::tests::unit;
    use std::fs::OpenOptions;

    #[test]
    fn an_interrupted_run_is_resumed_where_it_stopped() {
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
    fn an_error_says_why_a_run_cannot_be_resumed() {
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
    fn a_failed_append_leaves_the_file_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::write(&path, "kept").unwrap();
        // Opened for reading: every write fails.
        let (mut file, mut len) = (File::open(&path).unwrap(), 4);
        assert!(append(&mut file, &mut len, b"lost").is_err());
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), len), ("kept", 4));
        assert!(matches!(written(&path, io::ErrorKind::StorageFull.into()), FolderError::Full { .. }));
    }
}
