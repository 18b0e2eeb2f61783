//! Reports: reads run folders and writes an HTML page, Markdown and figures. Everything comes from
//! the folders, so a report can be made on another machine than the runs.
//!
//! [`input`] reads folders. [`headline`](crate::analysis::headline) and [`finding`] determine the winners, [`heat`] compares
//! all cases with a reference, and [`figures`] draws. [`html`], [`markdown`] and [`splice`] write.

pub mod data;
pub mod figure;
pub mod figures;
pub mod finding;
pub mod heat;
pub mod html;
pub mod input;
pub mod markdown;
pub mod picture;
pub mod splice;

use crate::analysis::cover_letter::{self, Cost};
use crate::analysis::judge::MARGIN;
use crate::analysis::summary::Summary;
use crate::case::{HOT_ADD, HOT_REMOVE, Memory};
use crate::record::row::Row;
use data::Data;
use figure::{Figure, View};
use figures::trend::Short;
use heat::HeatLine;
use input::{Depth, InputError, RunInput};
use picture::DrawError;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use thiserror::Error;

/// The reasons why a report cannot be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// No folder could be read.
    #[error("{0}")]
    NoRun(#[from] InputError),
    /// The run did not measure the reference layout.
    #[error("{run} has no layout {reference:?}; it has {}", layouts.join(", "))]
    NoReference {
        /// Name of the run.
        run: String,
        /// Id of the requested reference layout.
        reference: String,
        /// Ids of the layouts that the run measured.
        layouts: Vec<String>,
    },
    /// None of several runs measured the reference layout.
    #[error("none of the runs has a layout {0:?}")]
    NoneHas(String),
    /// A figure or its data cannot be generated.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

/// The newest run of a machine, in detail.
#[derive(Debug)]
pub struct Part {
    /// The run, without its rows, which have been summarised in `maps`.
    pub run: RunInput,
    /// Name and summary of each map, the main one first.
    pub maps: Vec<(String, Summary)>,
    /// The cost of the sub-section map, by map, memory and state of the tables.
    pub costs: Vec<Cost>,
    /// The main finding in sentences.
    pub sentences: Vec<String>,
    /// The table of winners.
    pub winners: Vec<finding::Winner>,
    /// Notes on the table of winners.
    pub notes: Vec<String>,
    /// Lines of the heat table.
    pub heat: Vec<HeatLine>,
    /// The heat table as data.
    pub heat_data: Data,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Summaries of all given runs of this machine, the oldest first.
    pub runs: Vec<Short>,
}

/// A report on one or several runs.
#[derive(Debug)]
pub struct Report {
    /// One part per machine, in the order of the folders.
    pub parts: Vec<Part>,
    /// Figure that compares the machines, if there are several.
    pub machines: Option<Figure>,
    /// Figure of the capacity that persistent memory loses. It follows from rules, not from a run.
    pub capacity: Figure,
    /// Id of the layout that ratios are relative to.
    pub reference: String,
    /// Messages about folders that could not be read.
    pub unread: Vec<String>,
}

impl Part {
    /// The data of the run from which figures are drawn.
    pub fn view(&self) -> View<'_> {
        View { run: &self.run, maps: &self.maps }
    }

    /// The summary of the newest run.
    pub fn short(&self) -> &Short {
        &self.runs[self.runs.len() - 1]
    }

    /// Summarises a run and draws its figures.
    fn new(mut run: RunInput, reference: Option<&str>) -> Result<Self, ReportError> {
        let maps: Vec<(String, Summary)> = summaries(&run, reference);
        let costs = cover_letter::costs(maps.iter().map(|(map, summary)| (map.as_str(), summary)));
        for of_map in &mut run.maps {
            of_map.rows = Vec::new();
        }
        let view = View { run: &run, maps: &maps };
        let main = view.main();
        if let Some(reference) = reference.filter(|reference| !main.layouts.iter().any(|layout| layout == reference)) {
            let (name, layouts, reference) = (run.name.clone(), main.layouts.clone(), reference.to_owned());
            return Err(ReportError::NoReference { run: name, reference, layouts });
        }
        let heat = heat::lines(view);
        let figures = vec![
            figures::lookups::figure(view, Memory::Added)?,
            figures::lookups::figure(view, Memory::Boot)?,
            figures::scale::figure(view)?,
            figures::chain::figure(view)?,
            figures::percentiles::figure(view, HOT_ADD)?,
            figures::percentiles::figure(view, HOT_REMOVE)?,
            figures::phases::figure(view)?,
            figures::readers::figure(view)?,
            figures::pareto::figure(view)?,
            figures::map::figure(view)?,
        ];
        let headlines = crate::analysis::headline::all(main);
        let (sentences, winners) = (finding::sentences(view, &costs), finding::winners(&headlines));
        let runs = vec![short(&run, main)];
        let (heat_data, notes) = (heat::data(&heat), finding::notes(view));
        Ok(Self { notes, sentences, winners, heat, heat_data, figures, costs, runs, maps, run })
    }
}

/// Summarises each map of a run. The main map is included even without rows.
fn summaries(run: &RunInput, reference: Option<&str>) -> Vec<(String, Summary)> {
    let margin = run.known.margin.unwrap_or(MARGIN);
    let summary = |rows: &[Row]| Summary::judged(rows, reference.unwrap_or(Summary::default_reference(rows)), margin);
    let mut maps: Vec<(String, Summary)> =
        run.maps.iter().map(|of_map| (of_map.map.clone(), summary(&of_map.rows))).collect();
    if maps.is_empty() {
        maps.push((String::new(), summary(&[])));
    }
    maps
}

fn short(run: &RunInput, main: &Summary) -> Short {
    Short {
        run: run.name.clone(),
        machine: run.machine.clone(),
        started: run.known.started.clone().unwrap_or_default(),
        commit: run.known.tool.as_ref().map_or_else(|| "unknown".to_owned(), |tool| tool.commit.to_string()),
        map: run.main_map().to_owned(),
        reference: main.reference.clone(),
        layouts: main.layouts.clone(),
        troubles: run.troubles.clone(),
        headlines: crate::analysis::headline::all(main),
    }
}

/// The result of reading a folder.
enum Reading {
    Whole(Box<Part>),
    Short(Box<Short>),
}

/// The machine and start of a run, known before the folder is read completely.
struct Peeked {
    folder: PathBuf,
    machine: String,
    started: String,
}

impl Report {
    /// Reads run folders and draws their figures. The newest run of each machine is shown in
    /// detail. `reference` is the layout that ratios are relative to; `None` selects the default.
    /// `progress` is called with the number of finished folders.
    ///
    /// # Errors
    /// Fails if no folder can be read, a run lacks the reference, or a figure cannot be drawn.
    pub fn from_folders(
        folders: &[PathBuf],
        reference: Option<&str>,
        progress: impl Fn(usize) + Sync,
    ) -> Result<Self, ReportError> {
        let (mut peeked, mut unread, mut first_error) = (Vec::new(), Vec::new(), None);
        let mut known = BTreeSet::new();
        for folder in folders {
            // A folder that is given twice counts once.
            if fs::canonicalize(folder).is_ok_and(|path| !known.insert(path)) {
                continue;
            }
            match input::peek(folder) {
                Ok((machine, started)) => peeked.push(Peeked { folder: folder.clone(), machine, started }),
                Err(error) => {
                    unread.push(input::without_folder(&error, folder));
                    first_error.get_or_insert(error);
                }
            }
        }
        let mut order: Vec<&str> = Vec::new();
        for run in &peeked {
            if !order.contains(&run.machine.as_str()) {
                order.push(&run.machine);
            }
        }
        let newest = |machine: &str| {
            let of_machine = peeked.iter().enumerate().filter(|(_, run)| run.machine == machine);
            of_machine.max_by_key(|(at, run)| (run.started.clone(), *at)).map(|(at, _)| at)
        };
        let whole: Vec<usize> = order.iter().filter_map(|machine| newest(machine)).collect();
        let mut parts: Vec<(usize, Part)> = Vec::new();
        let mut shorts: Vec<(usize, Short)> = Vec::new();
        for (at, read) in read_all(&peeked, &whole, reference, progress) {
            match read {
                Ok(Reading::Whole(part)) => parts.push((at, *part)),
                Ok(Reading::Short(short)) => shorts.push((at, *short)),
                Err(ReportError::NoRun(error)) => {
                    unread.push(input::without_folder(&error, &peeked[at].folder));
                    first_error.get_or_insert(error);
                }
                // With a single run this is the error of the report; with several, it concerns only
                // one of them.
                Err(error @ ReportError::NoReference { .. }) if peeked.len() > 1 => unread.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        parts.sort_by_key(|(at, _)| whole.iter().position(|other| other == at));
        let Some((_, first)) = parts.first() else {
            let path = folders.first().cloned().unwrap_or_default();
            return Err(match (first_error, reference) {
                (Some(error), _) => error.into(),
                (None, Some(reference)) => ReportError::NoneHas(reference.to_owned()),
                (None, None) => InputError::Nothing { path }.into(),
            });
        };
        let reference = reference.map_or_else(|| first.view().main().reference.clone(), str::to_owned);
        shorts.sort_by(|(a, one), (b, other)| (&one.started, a).cmp(&(&other.started, b)));
        for (at, part) in &mut parts {
            let is_older = |(other, _): &&(usize, Short)| peeked[*other].machine == peeked[*at].machine;
            let mut runs: Vec<Short> = shorts.iter().filter(is_older).map(|(_, short)| short.clone()).collect();
            let of_older = runs.iter().flat_map(|run| run.troubles.iter().map(|said| format!("{}: {said}", run.run)));
            part.run.troubles.extend(of_older);
            runs.append(&mut part.runs);
            part.runs = runs;
            if part.runs.len() > 1 {
                part.figures.push(figures::trend::figure(&part.runs.iter().collect::<Vec<_>>())?);
            }
        }
        let parts: Vec<Part> = parts.into_iter().map(|(_, part)| part).collect();
        let machines = match parts.len() {
            1 => None,
            _ => Some(figures::machines::figure(&parts.iter().map(Part::short).collect::<Vec<_>>(), &reference)?),
        };
        let capacity = figures::capacity::figure()?;
        Ok(Self { parts, machines, capacity, reference, unread })
    }
}

/// Reads as many folders in parallel as there are CPUs. Rows are freed as soon as they are
/// summarised.
fn read_all(
    peeked: &[Peeked],
    whole: &[usize],
    reference: Option<&str>,
    progress: impl Fn(usize) + Sync,
) -> Vec<(usize, Result<Reading, ReportError>)> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let work = || {
        let sender = sender.clone();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(run) = peeked.get(at) else { return };
            let is_whole = whole.contains(&at);
            let read = read_one(&run.folder, is_whole, reference);
            progress(at + 1);
            // Sending succeeds, because the receiver outlives the threads.
            if sender.send((at, read)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let nr = thread::available_parallelism().map_or(1, usize::from).min(peeked.len());
        for _ in 0..nr {
            scope.spawn(work);
        }
    });
    drop(sender);
    receiver.into_iter().collect()
}

fn read_one(folder: &Path, is_whole: bool, reference: Option<&str>) -> Result<Reading, ReportError> {
    if is_whole {
        let run = input::read(folder, Depth::Whole)?;
        return Ok(Reading::Whole(Box::new(Part::new(run, reference)?)));
    }
    let run = input::read(folder, Depth::Headlines)?;
    let maps = summaries(&run, reference);
    Ok(Reading::Short(Box::new(short(&run, &maps[0].1))))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::case::CONTROL;
    use crate::case::LookupGroup;
    use crate::case::LookupOp;
    use crate::case::Pattern;
    use crate::record::row::tests::row;
    use crate::record::run_folder::{SAMPLES, interval_log};
    use hdrhistogram::Histogram;
    use serde_json::json;

    /// Rows of three layouts, `slow` of them a markup in name and half as fast as the reference.
    pub(crate) const SLOW: &str = "<b>slow&\"|</b>";

    fn rows() -> Vec<Row> {
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
                    // The control is as fast as its namesake.
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

    /// A run folder of `machine` below `base`.
    fn folder(base: &Path, name: &str, machine: &str, started: &str) -> PathBuf {
        let folder = base.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.json"), manifest(machine, started).to_string()).unwrap();
        let lines: Vec<String> = rows().iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n") + "\n").unwrap();
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(10_000, 1000).unwrap();
        let tagged = [HOT_ADD, HOT_REMOVE].map(|op| (format!("{op}/subsection/2097152"), histogram.clone()));
        let mut log = Vec::new();
        interval_log(&mut log, &tagged).unwrap();
        fs::write(folder.join("latency.hlog"), log).unwrap();
        folder
    }

    fn report_on(folders: &[PathBuf]) -> Report {
        Report::from_folders(folders, None, |_| {}).unwrap()
    }

    /// A report of one small run.
    pub(crate) fn report() -> Report {
        let base = tempfile::tempdir().unwrap();
        report_on(&[folder(base.path(), "r", "x", "2026-01-01T00:00:00Z")])
    }

    fn figure<'a>(report: &'a Report, name: &str) -> &'a Figure {
        report.parts[0].figures.iter().find(|figure| figure.name == name).unwrap()
    }

    #[test]
    fn a_whole_run_has_its_finding_and_its_figures() {
        let report = report();
        let part = &report.parts[0];
        assert_eq!(part.run.troubles.len(), 1, "there are no sums: {:?}", part.run.troubles);
        let said = &part.sentences[0];
        assert!(said.contains("on hot-added memory slower by 0.50 ns, 2.00×"), "{:?}", part.sentences);
        assert!(said.contains("on boot memory slower by 0.50 ns, 2.00×"), "{:?}", part.sentences);
        let valid = part.winners.iter().find(|winner| winner.what == "pfn_valid, hot-added memory").unwrap();
        assert_eq!((valid.wins.as_str(), valid.next.as_str()), ("vmemmap-section", "subsection, 0.50 ns more"));
        for name in ["lookups-added", "lookups-boot", "hot-add-percentiles", "phases", "readers", "pareto", "map"] {
            let figure = figure(&report, name);
            assert!(figure.drawing.is_ok() && !figure.data.is_empty() && !figure.caption.is_empty(), "{name}");
        }
        for name in ["scale", "chain"] {
            let missing = figure(&report, name).drawing.as_ref().unwrap_err();
            assert!(missing.starts_with("Missing: "), "{name}: {missing}");
        }
    }

    #[test]
    fn names_are_text_in_page_and_pictures_and_markdown() {
        let report = report();
        let page = html::page(&report).unwrap();
        assert!(!page.contains("<b>slow") && page.contains("slow&#38;"), "{}", page.matches("slow").count());
        let markdown = markdown::report(&report, "pictures", "pfnbench report RUN");
        assert!(!markdown.contains("<b>slow") && markdown.contains("&lt;b>slow&amp;\"\\|&lt;/b>"));
        for file in markdown::files(&report).unwrap().iter().filter(|file| file.name.ends_with("svg")) {
            assert!(!file.contents.contains("<b>slow"), "{}", file.name);
        }
    }

    #[test]
    fn a_page_needs_no_network_and_is_small() {
        let page = html::page(&report()).unwrap();
        assert!(page.len() < 2_000_000);
        for word in ["http://", "https://", "src=", "@import", "url("] {
            let outside = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            assert!(!outside.contains(word), "{word}");
        }
    }

    #[test]
    fn what_is_missing_is_said_and_the_rest_is_shown() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r", "x", "2026-01-01T00:00:00Z");
        let said = |report: &Report| report.parts[0].run.troubles.join(" ");
        // A newer schema, with a part that is not understood.
        let mut newer = manifest("x", "2026-01-01T00:00:00Z");
        newer["schema"] = json!(crate::record::run_folder::SCHEMA + 1);
        newer["map"] = json!("elsewhere");
        fs::write(folder.join("manifest.json"), newer.to_string()).unwrap();
        let report = report_on(std::slice::from_ref(&folder));
        assert!(said(&report).contains("schema 3") && said(&report).contains("map is not understood"));
        assert!(figure(&report, "map").drawing.is_err() && figure(&report, "phases").drawing.is_ok());
        // Rows and histograms that were cut short.
        let samples = fs::read(folder.join(SAMPLES)).unwrap();
        fs::write(folder.join(SAMPLES), &samples[..samples.len() - 9]).unwrap();
        let log = fs::read(folder.join("latency.hlog")).unwrap();
        fs::write(folder.join("latency.hlog"), &log[..log.len() - 30]).unwrap();
        let report = report_on(std::slice::from_ref(&folder));
        assert!(said(&report).contains("1 lines are no rows") && said(&report).contains("1 intervals are torn"));
        assert!(figure(&report, "hot-add-percentiles").drawing.is_ok());
        assert!(figure(&report, "hot-remove-percentiles").drawing.is_err());
        // No manifest, no histograms.
        fs::remove_file(folder.join("manifest.json")).unwrap();
        fs::remove_file(folder.join("latency.hlog")).unwrap();
        let report = report_on(std::slice::from_ref(&folder));
        assert!(said(&report).contains("no manifest.json"));
        assert!(figure(&report, "hot-add-percentiles").drawing.as_ref().unwrap_err().contains("latency.hlog"));
        assert!(html::page(&report).unwrap().contains("no manifest.json"));
        // Nothing but a manifest.
        fs::remove_file(folder.join(SAMPLES)).unwrap();
        assert!(matches!(
            Report::from_folders(std::slice::from_ref(&folder), None, |_| {}),
            Err(ReportError::NoRun(_))
        ));
        fs::write(folder.join("manifest.json"), newer.to_string()).unwrap();
        let report = report_on(&[folder]);
        assert!(report.parts[0].figures.iter().all(|figure| figure.drawing.is_err()));
        assert!(html::page(&report).unwrap().contains("there are no figures to compare"));
        assert!(markdown::report(&report, "p", "c").contains("neither lookups nor hotplug"));
    }

    #[test]
    fn what_cannot_be_is_left_out_and_said() {
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
            let said = report.parts[0].run.troubles.join(" ");
            assert!(said.contains("3 values cannot be") && said.contains("a range that cannot be"), "{said}");
            assert!(figure(&report, "map").drawing.is_err());
            let page = html::page(&report).unwrap();
            assert!(!page.contains("NaN") && !page.contains("inf×"));
        }
        fs::write(folder.join("manifest.json"), "[]").unwrap();
        assert!(report_on(&[folder]).parts[0].run.troubles.join(" ").contains("no JSON object"));
    }

    #[test]
    fn a_run_that_was_stopped_shows_what_it_has() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r.partial", "x", "2026-01-01T00:00:00Z");
        // It had not come to its main map, and to no footprint.
        let there = rows().into_iter().filter(|row| row.metric == "time");
        let lines: Vec<String> =
            there.map(|row| serde_json::to_string(&Row { map: "other".into(), ..row }).unwrap()).collect();
        fs::write(folder.join(SAMPLES), lines.join("\n")).unwrap();
        let report = report_on(&[folder]);
        let (part, said) = (&report.parts[0], report.parts[0].run.troubles.join(" "));
        assert!(
            said.contains("stopped before its end")
                && said.contains("no rows of the main map, m: figures are of other")
        );
        assert_eq!(part.heat[0].cells.iter().filter(|cell| cell.ratio.is_some()).count(), 3, "{:?}", part.heat[0]);
        assert!(figure(&report, "lookups-added").drawing.is_ok());
        let missing = figure(&report, "phases").drawing.as_ref().unwrap_err();
        assert!(missing.contains("the folder is not whole"), "{missing}");
    }

    #[test]
    fn a_run_without_the_common_reference_is_not_drawn_beside_those_that_have_it() {
        let base = tempfile::tempdir().unwrap();
        let folders = [folder(base.path(), "a/r", "x", "2026"), folder(base.path(), "b/r", "y", "2026")];
        let without = rows().into_iter().filter(|row| row.layout != "subsection");
        let lines: Vec<String> = without.map(|row| serde_json::to_string(&row).unwrap()).collect();
        fs::write(folders[1].join(SAMPLES), lines.join("\n")).unwrap();
        let report = report_on(&folders);
        let machines = report.machines.as_ref().unwrap();
        let svg = machines.drawing.as_ref().unwrap().for_page();
        assert!(svg.contains("machine 1") && !svg.contains("machine 2"), "{svg}");
        assert!(machines.caption.contains("Not drawn"), "{}", machines.caption);
        let asked = Report::from_folders(&folders, Some("subsection"), |_| {}).unwrap();
        assert_eq!((asked.parts.len(), asked.unread.len()), (1, 1), "{:?}", asked.unread);
        let twice = Report::from_folders(&[folders[0].clone(), folders[0].join(".")], None, |_| {}).unwrap();
        assert_eq!(twice.parts[0].runs.len(), 1, "the same folder twice is one run");
    }

    #[test]
    fn a_folder_that_was_changed_is_told_apart() {
        let base = tempfile::tempdir().unwrap();
        let folder = folder(base.path(), "r", "x", "2026-01-01T00:00:00Z");
        let sums = ["manifest.json", SAMPLES].map(|name| {
            let sum = crate::record::run_folder::sha256(&fs::read(folder.join(name)).unwrap());
            format!("{sum}  {name}\n")
        });
        fs::write(folder.join("SHA256SUMS"), sums.concat()).unwrap();
        let troubles = |folder: &PathBuf| report_on(std::slice::from_ref(folder)).parts[0].run.troubles.clone();
        assert!(troubles(&folder).is_empty(), "{:?}", troubles(&folder));
        fs::write(folder.join("manifest.json"), manifest("x", "2027").to_string()).unwrap();
        assert!(troubles(&folder)[0].contains("is not what the run wrote"));
    }

    #[test]
    fn machines_stand_side_by_side_and_runs_of_one_in_order() {
        let base = tempfile::tempdir().unwrap();
        let folders = [
            folder(base.path(), "new", "x", "2026-03-01T00:00:00Z"),
            folder(base.path(), "old", "x", "2026-01-01T00:00:00Z"),
            folder(base.path(), "other", "y", "2026-02-01T00:00:00Z"),
            base.path().join("nowhere"),
        ];
        let report = report_on(&folders);
        assert_eq!(report.parts.iter().map(|part| part.run.machine.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(report.parts[0].runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["old", "new"]);
        assert_eq!(report.parts[0].run.name, "new", "the newest is shown in detail");
        let of_old = report.parts[0].run.troubles.iter().filter(|said| said.starts_with("old: ")).count();
        assert_eq!(of_old, 1, "what an older run lacks is said too: {:?}", report.parts[0].run.troubles);
        assert!(report.parts[0].figures.iter().any(|figure| figure.name == "trend" && figure.drawing.is_ok()));
        assert!(report.parts[1].figures.iter().all(|figure| figure.name != "trend"));
        assert!(report.machines.as_ref().unwrap().drawing.is_ok());
        assert!(report.unread.len() == 1 && report.unread[0].contains("nowhere"));
        assert!(!report.unread[0].contains('/'), "folders may name people: {:?}", report.unread);
        let page = html::page(&report).unwrap();
        assert!(page.contains("id=\"figure-phases\"") && page.contains("id=\"figure-phases-2\""));
        let names: Vec<String> = markdown::files(&report).unwrap().into_iter().map(|file| file.name).collect();
        assert!(names.contains(&"phases.svg".to_owned()) && names.contains(&"phases-2.svg".to_owned()));
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    #[test]
    fn ratios_are_to_the_layout_asked_for() {
        let base = tempfile::tempdir().unwrap();
        let folders = [folder(base.path(), "r", "x", "2026")];
        let report = Report::from_folders(&folders, Some("vmemmap-section"), |_| {}).unwrap();
        let line = &report.parts[0].heat[0];
        let ratio = |layout: &str| line.cells.iter().find(|cell| cell.layout == layout).unwrap().ratio;
        assert_eq!((ratio("subsection"), ratio("vmemmap-section")), (Some(2.0), Some(1.0)));
        let error = Report::from_folders(&folders, Some("none"), |_| {}).unwrap_err().to_string();
        assert!(error.contains("\"none\"") && error.contains("subsection, vmemmap-section"), "{error}");
    }
}
