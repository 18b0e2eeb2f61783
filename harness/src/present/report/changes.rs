//! What changed between two runs of a machine: every case that both have, those that changed first.

use super::ReportError;
use crate::analysis::compare::{self, Compared};
use crate::analysis::judge::{MARGIN, Verdict};
use crate::present::ratio;
use crate::units::{percent, signed_time, time};
use std::path::Path;

/// The most cases of a list. Beyond, `pfnbench compare` has them.
const MOST: usize = 400;

/// A case in both runs.
#[derive(Clone, Debug)]
pub struct Change {
    /// Operation, mode and where tables and records are.
    pub case: String,
    /// `boot` or `added` memory, the order of queries and, if it is not the main one, the map.
    pub place: String,
    /// Id of the layout.
    pub layout: String,
    /// Time in the earlier run.
    pub before: String,
    /// Time in the later run.
    pub after: String,
    /// Difference of the times, with its sign.
    pub difference: String,
    /// Time after divided by time before, with its interval.
    pub ratio: String,
    /// The verdict on the later run.
    pub verdict: Verdict,
}

/// The comparison of two runs of a machine.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Name of the earlier run.
    pub before: String,
    /// Name of the later run.
    pub after: String,
    /// The result in sentences.
    pub sentences: Vec<String>,
    /// Cases that are faster or slower, the largest change first.
    pub changed: Vec<Change>,
    /// Cases that are equal or undecided, the largest change first.
    pub unchanged: Vec<Change>,
    /// Says how many cases are not listed; empty if all are.
    pub left_out: String,
}

impl Changes {
    /// Compares two complete runs.
    ///
    /// # Errors
    /// Fails if a run is incomplete or was changed after it was measured.
    pub fn between(before: &Path, after: &Path) -> Result<Self, ReportError> {
        let (before, after) = (compare::read(before)?, compare::read(after)?);
        let margin = after.margin.unwrap_or(MARGIN);
        let comparison = compare::compare(&before, &after, margin);
        let sorted = comparison.by_change();
        let all = sorted.len();
        let (changed, unchanged): (Vec<&Compared>, Vec<&Compared>) =
            sorted.into_iter().partition(|compared| compared.is_change());
        let of = |verdict: Verdict| comparison.cases.iter().filter(|case| case.verdict == verdict).count();
        let mut sentences = vec![format!(
            "{} compared with {}, case by case: {} slower, {} faster, {} equal (within {}), {} undecided.",
            after.name,
            before.name,
            of(Verdict::Slower),
            of(Verdict::Faster),
            of(Verdict::Equal),
            percent(margin),
            of(Verdict::Undecided)
        )];
        if !comparison.geometric_means.is_empty() {
            let means = ratio::by_layout(&comparison.geometric_means);
            sentences.push(format!("Geometric means over operations (above 1 is slower): {means}."));
        }
        if comparison.unshared > 0 {
            sentences.push(format!("Cases that only one of the runs has: {}.", comparison.unshared));
        }
        let listed = changed.len().min(MOST) + unchanged.len().min(MOST);
        let left_out = match all - listed {
            0 => String::new(),
            nr => format!("{nr} of {all} cases are not listed, those that changed least; pfnbench compare lists all."),
        };
        let list = |cases: Vec<&Compared>| -> Vec<Change> {
            cases.into_iter().take(MOST).map(|case| change(case, after.map())).collect()
        };
        let (changed, unchanged) = (list(changed), list(unchanged));
        Ok(Self { before: before.name, after: after.name, sentences, changed, unchanged, left_out })
    }
}

fn change(compared: &Compared, main_map: &str) -> Change {
    let case = &compared.case;
    let mut places = vec![case.memory.name().to_owned(), case.group.pattern.to_string()];
    if case.map != main_map {
        places.push(case.map.clone());
    }
    Change {
        case: case.group.label(),
        place: places.join(", "),
        layout: case.layout.clone(),
        before: time(compared.before_ns),
        after: time(compared.after_ns),
        difference: signed_time(compared.difference_ns),
        ratio: ratio::or_dash(compared.ratio, compared.interval),
        verdict: compared.verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{CONTROL, LookupGroup, LookupOp, Memory, Pattern};
    use crate::present::report::tests::{folder_with_sums, report_on};
    use crate::present::report::{html, markdown};
    use crate::record::row::Row;
    use crate::record::row::tests::row;
    use std::path::PathBuf;

    #[test]
    fn cases_that_changed_come_first_and_the_others_are_folded() {
        let base = tempfile::tempdir().unwrap();
        let run = |name: &str, started: &str, slow: f64| -> PathBuf {
            let mut rows = Vec::new();
            for process in 0..7 {
                for (layout, ns) in [
                    ("subsection", 4.0),
                    ("flat", 2.0 * slow),
                    ("sparse", 3.0 / slow),
                    ("segments", 2.0 * slow * slow),
                    ("linux-5.2", 4.0),
                    ("linux-6.1", 4.0),
                    ("validmap", 4.0),
                    (CONTROL, 4.0),
                ] {
                    let ns = ns * (1.0 + 0.0001 * f64::from(process));
                    let control_of = (layout == CONTROL).then(|| "subsection".to_owned());
                    let timed = Row { process, sample: Some(0), control_of, ..row(layout, "", "time", Some(ns)) };
                    rows.push(
                        timed.with_lookup(&LookupGroup::plain(LookupOp::PfnValid, Pattern::Random), Memory::Boot),
                    );
                }
            }
            folder_with_sums(base.path(), name, started, &rows)
        };
        let folders = [run("after", "2026-02-01T00:00:00Z", 1.5), run("before", "2026-01-01T00:00:00Z", 1.0)];
        let report = report_on(&folders);
        let changes = report.changes.as_ref().unwrap().as_ref().unwrap();
        assert_eq!((changes.before.as_str(), changes.after.as_str()), ("before", "after"), "by start, not by argument");
        let told = |changes: &[Change]| -> Vec<(String, Verdict)> {
            changes.iter().map(|change| (change.layout.clone(), change.verdict)).collect()
        };
        let changed = told(&changes.changed);
        assert_eq!(changed.len(), 3, "{changed:?} {:?}", changes.unchanged);
        assert_eq!(changed[0], ("segments".to_owned(), Verdict::Slower), "the largest change is first: {changed:?}");
        assert!(changed.contains(&("flat".to_owned(), Verdict::Slower)), "{changed:?}");
        assert!(changed.contains(&("sparse".to_owned(), Verdict::Faster)), "{changed:?}");
        assert_eq!(told(&changes.unchanged).len(), 4);
        let page = html::page(&report).unwrap();
        assert!(page.contains("id=\"changes\"") && page.contains("4 cases without a change"), "{page}");
        assert!(markdown::report(&report, "p", "c").contains("## Changes from before to after"));
        // A run that is not complete.
        std::fs::remove_file(folders[1].join("SHA256SUMS")).unwrap();
        let report = report_on(&folders);
        assert!(report.changes.as_ref().unwrap().is_err());
        assert!(html::page(&report).unwrap().contains("cannot be compared"));
    }
}
