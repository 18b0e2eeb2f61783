//! Reports: reads run folders and writes an HTML page, Markdown and figures. Everything comes from
//! the folders, so a report can be made on another machine than the runs.
//!
//! [`input`] reads folders. [`headline`](crate::analysis::headline) and [`finding`] determine the
//! winners, [`heat`] compares all cases with a reference, and [`figures`] draws. [`html`],
//! [`markdown`] and [`splice`] write.

pub mod changes;
pub mod data;
pub mod figure;
pub mod figures;
pub mod finding;
mod folders;
pub(in crate::present) mod glossary;
pub mod heat;
pub mod html;
pub mod input;
mod machine;
pub mod markdown;
pub mod picture;
pub mod splice;

use crate::record::reader::ReadError;
use changes::Changes;
use figure::Figure;
use picture::{DrawError, FileWords, PdfError};
use thiserror::Error;

pub use machine::MachineReport;

/// The reasons why a report cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// No folder could be read.
    #[error("{0}")]
    NoRun(#[from] ReadError),
    /// The run did not measure the reference layout.
    #[error("run {run} did not measure the layout {reference:?}; it has {}", layouts.join(", "))]
    NoReference {
        /// Name of the run.
        run: String,
        /// Id of the requested reference layout.
        reference: String,
        /// Ids of the layouts that the run measured.
        layouts: Vec<String>,
    },
    /// None of several runs measured the reference layout.
    #[error("no run measured the layout {0:?}; choose another --reference")]
    NoneHas(String),
    /// A figure or its data cannot be generated.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

/// A report on one or several runs.
#[derive(Debug)]
pub struct Report {
    /// The machines, in the order of the folders.
    pub machines: Vec<MachineReport>,
    /// Figure that compares the machines, if there are several.
    pub comparison: Option<Figure>,
    /// What changed between the runs, or why they cannot be compared; `None` unless these are two runs of one machine.
    pub changes: Option<Result<Changes, String>>,
    /// Figure of the capacity that persistent memory loses. It follows from rules, not from a run.
    pub capacity: Figure,
    /// Id of the layout that ratios are relative to.
    pub reference: String,
    /// Messages about folders that could not be read.
    pub unread: Vec<String>,
}

impl Report {
    /// All figures, with the number of their machine, or 0 for those of no machine.
    pub fn figures(&self) -> impl Iterator<Item = (&Figure, usize)> {
        let of_machines = self.machines.iter().enumerate();
        let of_machines =
            of_machines.flat_map(|(at, machine)| machine.figures.iter().map(move |figure| (figure, at + 1)));
        of_machines.chain(self.comparison.iter().chain([&self.capacity]).map(|figure| (figure, 0)))
    }

    /// Which run the figures of a machine come from, in a sentence. Number 0 is for figures of no machine. The program
    /// is the one that measured, so that the same run gives the same file.
    pub fn source(&self, number: usize) -> String {
        let Some(machine) = number.checked_sub(1).and_then(|at| self.machines.get(at)) else {
            return concat!("Source: pfnbench ", env!("CARGO_PKG_VERSION"), ".").to_owned();
        };
        let run = &machine.run;
        let tool = run.known.tool.as_ref().map(|tool| format!(", by pfnbench {} ({})", tool.version, tool.commit));
        format!("Source: run {} on {}{}.", run.name, run.machine, tool.unwrap_or_default())
    }

    /// Finds a figure by name, with the number of its machine.
    fn figure(&self, name: &str) -> Result<(&Figure, usize), FigureError> {
        self.figures().find(|(figure, _)| figure.name() == name).ok_or_else(|| {
            let mut names: Vec<&str> = self.figures().map(|(figure, _)| figure.name()).collect();
            names.sort_unstable();
            names.dedup();
            FigureError::Unknown { name: name.to_owned(), names: names.join(", ") }
        })
    }

    /// One figure as SVG, with its caption and its source.
    ///
    /// # Errors
    /// Says which figures there are if none has this name, or why the figure is not drawn.
    pub fn figure_svg(&self, name: &str) -> Result<String, FigureError> {
        let (figure, number) = self.figure(name)?;
        let drawing = figure.drawing.as_ref();
        let drawing = drawing.map_err(|why| FigureError::NotDrawn { name: figure.name(), why: why.clone() })?;
        let words = &figure.words;
        Ok(drawing.for_file(&FileWords {
            title: &words.title,
            caption: &words.caption,
            source: &self.source(number),
        })?)
    }

    /// One figure as PDF, with its caption and its source.
    ///
    /// # Errors
    /// As [`figure_svg`](Self::figure_svg), and if the font of a PDF lacks a letter.
    pub fn figure_pdf(&self, name: &str) -> Result<Vec<u8>, FigureError> {
        let svg = self.figure_svg(name)?;
        Ok(picture::pdf(&svg, &self.figure(name)?.0.words.title)?)
    }
}

/// The reasons why a figure cannot be written.
#[derive(Debug, Error)]
pub enum FigureError {
    /// No figure has this name.
    #[error("a report has no figure {name:?}; it has {names}")]
    Unknown {
        /// The requested name.
        name: String,
        /// The names of all figures.
        names: String,
    },
    /// The figure has no drawing.
    #[error("the figure {name} is not drawn: {why}")]
    NotDrawn {
        /// Name of the figure.
        name: &'static str,
        /// Why there is no drawing.
        why: String,
    },
    /// The drawing cannot be generated.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// The drawing cannot be converted to PDF.
    #[error(transparent)]
    Pdf(#[from] PdfError),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::{CONTROL, HOT_ADD, HOT_REMOVE, LookupGroup, LookupOp, Memory, Pattern};
    use crate::record::files::{SAMPLES, sha256};
    use crate::record::histogram_log;
    use crate::record::manifest::SCHEMA;
    use crate::record::row::Row;
    use crate::record::row::tests::row;
    use hdrhistogram::Histogram;
    use serde_json::json;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A layout whose name contains markup. Its rows take twice the time of the reference.
    pub(crate) const SLOW: &str = "<b>slow&\"|</b>";

    pub(super) fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for (layout, factor) in [("subsection", 1.0), ("vmemmap-section", 0.5), (SLOW, 2.0)] {
            for memory in Memory::ALL {
                for (metric, bytes) in [("index", 1e6 * factor), ("records_needed", 4e8)] {
                    rows.push(Row { memory: Some(memory), ..row(layout, "footprint", metric, Some(bytes)) });
                }
                for op in [LookupOp::PfnValid, LookupOp::PfnToPage, LookupOp::ValidToPage] {
                    let timed = |layout: &str, process| {
                        let timed = Row { process, sample: Some(0), ..row(layout, "", "time", Some(factor)) };
                        timed.with_lookup(&LookupGroup::plain(op, Pattern::Random), memory)
                    };
                    rows.extend((0..5).map(|process| timed(layout, process)));
                    // The control takes the time of the reference.
                    if layout == "subsection" {
                        rows.extend((0..5).map(|process| timed(CONTROL, process)));
                    }
                }
            }
            for (metric, value) in [("phase_populate", 9.0), ("phase_grace", 1.0)] {
                rows.push(Row { size_bytes: Some(2 << 20), ..row(layout, "hotplug", metric, Some(value * factor)) });
            }
            for op in [HOT_ADD, HOT_REMOVE] {
                let median = row(layout, op, "p50", Some(1e4 * factor));
                rows.push(Row { size_bytes: Some(2 << 20), n_ops: Some(100), ..median });
            }
            for metric in ["beside_a_writer", "beside_a_busy_thread", "alone"] {
                let read = row(layout, "readers", metric, Some(1e9 / factor));
                rows.push(Row { sample: Some(0), threads: Some(1), ..read });
            }
        }
        rows
    }

    fn manifest(machine: &str, started: &str) -> serde_json::Value {
        json!({
            "schema": 1,
            "tool": { "name": "pfnbench", "version": "0", "commit": "abc1234", "rustc": "r", "profile": "release" },
            "command": "pfnbench run",
            "started": started,
            "processes": 5,
            "environment": {
                "machine_id": machine, "arch": "x86_64", "cpu": "c", "cpus": 2,
                "caches": [{ "level": 1, "kind": "Data", "bytes": 32768 }],
                "memory_bytes": 1, "page_bytes": 4096, "kernel": "6", "virtualisation": "none",
                "transparent_hugepages": "never", "governor": "unknown",
            },
            "map": {
                "name": "m", "origin": "o", "warnings": [],
                "ranges": [{ "start": 0, "end": 0x1000_0000, "kind": "ram" }],
            },
            "other_maps": [],
        })
    }

    /// Writes a run folder of `machine` below `base`.
    pub(super) fn folder(base: &Path, name: &str, machine: &str, started: &str) -> PathBuf {
        let folder = base.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.json"), manifest(machine, started).to_string()).unwrap();
        let lines: Vec<String> = rows().iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n") + "\n").unwrap();
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(10_000, 1000).unwrap();
        let tagged = [HOT_ADD, HOT_REMOVE].map(|op| (format!("{op}/subsection/2097152"), histogram.clone()));
        let mut log = Vec::new();
        histogram_log::write(&mut log, &tagged).unwrap();
        fs::write(folder.join("latency.hlog"), log).unwrap();
        folder
    }

    /// A complete run folder of the machine `x` with these rows.
    pub(crate) fn folder_with_sums(base: &Path, name: &str, started: &str, rows: &[Row]) -> PathBuf {
        let folder = folder(base, name, "x", started);
        let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n") + "\n").unwrap();
        let sums: Vec<String> = ["manifest.json", SAMPLES, "latency.hlog"]
            .iter()
            .map(|name| format!("{}  {name}\n", sha256(&fs::read(folder.join(name)).unwrap())))
            .collect();
        fs::write(folder.join("SHA256SUMS"), sums.concat()).unwrap();
        folder
    }

    /// A folder of a run with only these rows.
    pub(crate) fn folder_of(base: &Path, rows: &[Row]) -> PathBuf {
        let folder = folder(base, "r", "x", "2026-01-01T00:00:00Z");
        let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n") + "\n").unwrap();
        folder
    }

    pub(crate) fn report_on(folders: &[PathBuf]) -> Report {
        Report::from_folders(folders, None, |_| {}).unwrap()
    }

    /// A report of one small run.
    pub(crate) fn report() -> Report {
        let base = tempfile::tempdir().unwrap();
        report_on(&[folder(base.path(), "r", "x", "2026-01-01T00:00:00Z")])
    }

    pub(super) fn figure<'a>(report: &'a Report, name: &str) -> &'a Figure {
        report.machines[0].figures.iter().find(|figure| figure.name() == name).unwrap()
    }

    #[test]
    fn missing_data_are_reported_and_the_rest_is_shown() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r", "x", "2026-01-01T00:00:00Z");
        let said = |report: &Report| report.machines[0].run.troubles.join(" ");
        // A newer schema: its fields may mean something else.
        let mut without_map = manifest("x", "2026-01-01T00:00:00Z");
        without_map["schema"] = json!(SCHEMA + 1);
        fs::write(folder.join("manifest.json"), without_map.to_string()).unwrap();
        let refused = Report::from_folders(std::slice::from_ref(&folder), None, |_| {}).unwrap_err().to_string();
        assert!(refused.contains("schema version 3") && refused.contains("up to 2"), "{refused}");
        // An invalid map.
        without_map["schema"] = json!(SCHEMA);
        without_map["map"] = json!("elsewhere");
        fs::write(folder.join("manifest.json"), without_map.to_string()).unwrap();
        let report = report_on(std::slice::from_ref(&folder));
        assert!(said(&report).contains("invalid field map"), "{}", said(&report));
        assert!(figure(&report, "map").drawing.is_err() && figure(&report, "phases").drawing.is_ok());
        // Truncated rows and histograms.
        let samples = fs::read(folder.join(SAMPLES)).unwrap();
        fs::write(folder.join(SAMPLES), &samples[..samples.len() - 9]).unwrap();
        let log = fs::read(folder.join("latency.hlog")).unwrap();
        fs::write(folder.join("latency.hlog"), &log[..log.len() - 30]).unwrap();
        let report = report_on(std::slice::from_ref(&folder));
        assert!(
            said(&report).contains("1 lines are not valid rows") && said(&report).contains("1 intervals are damaged")
        );
        assert!(figure(&report, "hot-add-percentiles").drawing.is_ok());
        assert!(figure(&report, "hot-remove-percentiles").drawing.is_err());
        // No manifest, no histograms.
        fs::remove_file(folder.join("manifest.json")).unwrap();
        fs::remove_file(folder.join("latency.hlog")).unwrap();
        let report = report_on(std::slice::from_ref(&folder));
        assert!(said(&report).contains("manifest.json is missing"));
        assert!(figure(&report, "hot-add-percentiles").drawing.as_ref().unwrap_err().contains("latency.hlog"));
        assert!(html::page(&report).unwrap().contains("manifest.json is missing"));
        // Only a manifest.
        fs::remove_file(folder.join(SAMPLES)).unwrap();
        assert!(matches!(
            Report::from_folders(std::slice::from_ref(&folder), None, |_| {}),
            Err(ReportError::NoRun(_))
        ));
        fs::write(folder.join("manifest.json"), without_map.to_string()).unwrap();
        let report = report_on(&[folder]);
        assert!(report.machines[0].figures.iter().all(|figure| figure.drawing.is_err()));
        assert!(html::page(&report).unwrap().contains("there are no values to compare"));
        assert!(markdown::report(&report, "p", "c").contains("neither lookups nor hotplug"));
    }

    #[test]
    fn implausible_values_are_left_out_and_reported() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r", "x", "2026-01-01T00:00:00Z");
        let mut rows = rows();
        for (row, value) in rows.iter_mut().filter(|row| row.metric == "time").zip([0.0, -1.0, 1e300]) {
            row.value = Some(value);
        }
        rows[0].process = u32::MAX;
        let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n")).unwrap();
        for (start, end) in [(2, 1), (5, 5), (0, u64::MAX)] {
            let mut manifest = manifest("x", "2026-01-01T00:00:00Z");
            manifest["map"]["ranges"] = json!([{ "start": start, "end": end, "kind": "ram" }]);
            fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
            let report = report_on(std::slice::from_ref(&folder));
            let said = report.machines[0].run.troubles.join(" ");
            assert!(said.contains("3 values are implausible") && said.contains("impossible range"), "{said}");
            assert!(figure(&report, "map").drawing.is_err());
            let page = html::page(&report).unwrap();
            assert!(!page.contains("NaN") && !page.contains("inf×"));
        }
        fs::write(folder.join("manifest.json"), "[]").unwrap();
        assert!(report_on(&[folder]).machines[0].run.troubles.join(" ").contains("not a JSON object"));
    }

    #[test]
    fn a_stopped_run_shows_the_data_it_has() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r.partial", "x", "2026-01-01T00:00:00Z");
        // The run stopped before its main map and before any footprint.
        let there = rows().into_iter().filter(|row| row.metric == "time");
        let lines: Vec<String> =
            there.map(|row| serde_json::to_string(&Row { map: "other".into(), ..row }).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n")).unwrap();
        let report = report_on(&[folder]);
        let (machine, said) = (&report.machines[0], report.machines[0].run.troubles.join(" "));
        assert!(
            said.contains("it was interrupted")
                && said.contains("The main map, m, has no rows; the figures show other")
        );
        assert_eq!(
            machine.heat[0].cells.iter().filter(|cell| cell.ratio.is_some()).count(),
            3,
            "{:?}",
            machine.heat[0]
        );
        assert!(figure(&report, "lookups-added").drawing.is_ok());
        let missing = figure(&report, "phases").drawing.as_ref().unwrap_err();
        assert!(missing.contains("the run folder is incomplete"), "{missing}");
    }

    #[test]
    fn a_changed_folder_is_detected() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r", "x", "2026-01-01T00:00:00Z");
        let sums = ["manifest.json", SAMPLES].map(|name| {
            let sum = sha256(&fs::read(folder.join(name)).unwrap());
            format!("{sum}  {name}\n")
        });
        fs::write(folder.join("SHA256SUMS"), sums.concat()).unwrap();
        let troubles = |folder: &PathBuf| report_on(std::slice::from_ref(folder)).machines[0].run.troubles.clone();
        assert!(troubles(&folder).is_empty(), "{:?}", troubles(&folder));
        fs::write(folder.join("manifest.json"), manifest("x", "2027").to_string()).unwrap();
        assert!(troubles(&folder)[0].contains("was changed after the run"));
    }
}
