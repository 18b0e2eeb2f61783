//! Makes a report from run folders, which are read in parallel.

use super::changes::Changes;
use super::figures::{self, trend::Short};
use super::input::{self, Depth};
use super::machine::{MachineReport, short, summaries};
use super::{Report, ReportError};
use crate::record::reader::{Problem, ReadError, RunReader, Strictness};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// The result of reading a folder.
enum Reading {
    Whole(Box<MachineReport>),
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
            match RunReader::open(folder, Strictness::Lenient).and_then(|mut reader| reader.machine_and_start()) {
                Ok((machine, started)) => peeked.push(Peeked { folder: folder.clone(), machine, started }),
                Err(error) => {
                    unread.push(error.without_path());
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
        let mut machines: Vec<(usize, MachineReport)> = Vec::new();
        let mut shorts: Vec<(usize, Short)> = Vec::new();
        for (at, read) in read_all(&peeked, &whole, reference, progress) {
            match read {
                Ok(Reading::Whole(machine)) => machines.push((at, *machine)),
                Ok(Reading::Short(short)) => shorts.push((at, *short)),
                Err(ReportError::NoRun(error)) => {
                    unread.push(error.without_path());
                    first_error.get_or_insert(error);
                }
                // With a single run this is the error of the report; with several, it concerns only
                // one of them.
                Err(error @ ReportError::NoReference { .. }) if peeked.len() > 1 => unread.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        machines.sort_by_key(|(at, _)| whole.iter().position(|other| other == at));
        let Some((_, first)) = machines.first() else {
            let folder = folders.first().cloned().unwrap_or_default();
            return Err(match (first_error, reference) {
                (Some(error), _) => error.into(),
                (None, Some(reference)) => ReportError::NoneHas(reference.to_owned()),
                (None, None) => ReadError { folder, problem: Problem::NotARun }.into(),
            });
        };
        let reference = reference.map_or_else(|| first.view().main().reference.clone(), str::to_owned);
        shorts.sort_by(|(a, one), (b, other)| (&one.started, a).cmp(&(&other.started, b)));
        for (at, machine) in &mut machines {
            let is_older = |(other, _): &&(usize, Short)| peeked[*other].machine == peeked[*at].machine;
            let mut runs: Vec<Short> = shorts.iter().filter(is_older).map(|(_, short)| short.clone()).collect();
            let of_older = runs.iter().flat_map(|run| run.troubles.iter().map(|said| format!("{}: {said}", run.run)));
            machine.run.troubles.extend(of_older);
            runs.append(&mut machine.runs);
            machine.runs = runs;
            if machine.runs.len() > 1 {
                machine.figures.push(figures::trend::figure(&machine.runs.iter().collect::<Vec<_>>())?);
            }
        }
        let machines: Vec<MachineReport> = machines.into_iter().map(|(_, machine)| machine).collect();
        let comparison = match machines.len() {
            1 => None,
            _ => Some(figures::machines::figure(
                &machines.iter().map(MachineReport::short).collect::<Vec<_>>(),
                &reference,
            )?),
        };
        let capacity = figures::capacity::figure()?;
        let changes = match &mut peeked[..] {
            [one, other] if one.machine == other.machine => {
                if one.started > other.started {
                    std::mem::swap(one, other);
                }
                Some(Changes::between(&one.folder, &other.folder).map_err(|error| match error {
                    // Folders may name people.
                    ReportError::NoRun(error) => error.without_path(),
                    other => other.to_string(),
                }))
            }
            _ => None,
        };
        Ok(Self { machines, comparison, changes, capacity, reference, unread })
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
        return Ok(Reading::Whole(Box::new(MachineReport::new(run, reference)?)));
    }
    let run = input::read(folder, Depth::Headlines)?;
    let maps = summaries(&run, reference);
    Ok(Reading::Short(Box::new(short(&run, &maps[0].1))))
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::report::tests::{folder, report_on, rows};
    use crate::present::report::{html, markdown};
    use crate::record::files::SAMPLES;

    #[test]
    fn a_run_without_the_common_reference_is_not_drawn() {
        let base = tempfile::tempdir().unwrap();
        let folders = [folder(base.path(), "a/r", "x", "2026"), folder(base.path(), "b/r", "y", "2026")];
        let without = rows().into_iter().filter(|row| row.layout != "subsection");
        let lines: Vec<String> = without.map(|row| serde_json::to_string(&row).unwrap()).collect();
        fs::write(folders[1].join(SAMPLES), lines.join("\n")).unwrap();
        let report = report_on(&folders);
        let machines = report.comparison.as_ref().unwrap();
        let panels = machines.drawing.as_ref().unwrap().panels();
        let svg: String = panels.iter().map(|panel| panel.as_str()).collect();
        assert!(svg.contains("machine 1") && !svg.contains("machine 2"), "{svg}");
        assert!(machines.words.reading.contains("Not drawn"), "{}", machines.words.reading);
        let asked = Report::from_folders(&folders, Some("subsection"), |_| {}).unwrap();
        assert_eq!((asked.machines.len(), asked.unread.len()), (1, 1), "{:?}", asked.unread);
        let twice = Report::from_folders(&[folders[0].clone(), folders[0].join(".")], None, |_| {}).unwrap();
        assert_eq!(twice.machines[0].runs.len(), 1, "the same folder twice is one run");
    }

    #[test]
    fn machines_are_compared_and_runs_of_a_machine_are_in_order() {
        let base = tempfile::tempdir().unwrap();
        let folders = [
            folder(base.path(), "new", "x", "2026-03-01T00:00:00Z"),
            folder(base.path(), "old", "x", "2026-01-01T00:00:00Z"),
            folder(base.path(), "other", "y", "2026-02-01T00:00:00Z"),
            base.path().join("nowhere"),
        ];
        let report = report_on(&folders);
        assert_eq!(report.machines.iter().map(|machine| machine.run.machine.as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(report.machines[0].runs.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["old", "new"]);
        assert_eq!(report.machines[0].run.name, "new", "the newest is shown in detail");
        let of_old = report.machines[0].run.troubles.iter().filter(|said| said.starts_with("old: ")).count();
        assert_eq!(of_old, 1, "problems of older runs are reported too: {:?}", report.machines[0].run.troubles);
        assert!(report.machines[0].figures.iter().any(|figure| figure.name() == "trend" && figure.drawing.is_ok()));
        assert!(report.machines[1].figures.iter().all(|figure| figure.name() != "trend"));
        assert!(report.comparison.as_ref().unwrap().drawing.is_ok());
        assert!(report.unread.len() == 1 && report.unread[0].contains("nowhere"));
        assert!(!report.unread[0].contains('/'), "folders may name people: {:?}", report.unread);
        for (figure, _) in report.figures() {
            let words = &figure.words;
            let nr = words.caption.split_whitespace().count();
            assert!(nr <= 40, "the caption of {} has {nr} words: {}", words.name, words.caption);
        }
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
    fn ratios_are_relative_to_the_requested_layout() {
        let base = tempfile::tempdir().unwrap();
        let folders = [folder(base.path(), "r", "x", "2026")];
        let report = Report::from_folders(&folders, Some("vmemmap-section"), |_| {}).unwrap();
        let line = &report.machines[0].heat[0];
        let ratio = |layout: &str| line.cells.iter().find(|cell| cell.layout == layout).unwrap().ratio;
        assert_eq!((ratio("subsection"), ratio("vmemmap-section")), (Some(2.0), Some(1.0)));
        let error = Report::from_folders(&folders, Some("none"), |_| {}).unwrap_err().to_string();
        assert!(error.contains("\"none\"") && error.contains("subsection, vmemmap-section"), "{error}");
    }
}
