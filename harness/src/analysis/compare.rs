//! Reads complete runs, and compares two of them.

use crate::analysis::judge::{Comparison as Judgeable, Family, MARGIN, Verdict, judge};
use crate::analysis::statistics::{Estimate, mean, median};
use crate::analysis::summary::{
    LookupLine, Summary, headline_group, is_near_loop, is_of_means, noise_floor_of, process_times,
};
use crate::case::{CONTROL, LookupGroup, LookupOp, Memory};
use crate::record::reader::{ReadError, RunReader, Strictness};
use crate::record::row::{Row, Status, failures};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use thiserror::Error;

/// A complete run, read from its folder.
///
/// ```
/// use pfnbench::analysis::compare::{compare, read};
/// use pfnbench::analysis::judge::MARGIN;
/// use pfnbench::record::reader::ReadError;
/// use std::path::Path;
///
/// /// Prints how the lookups of two run folders compare.
/// fn print(before: &Path, after: &Path) -> Result<(), ReadError> {
///     for compared in compare(&read(before)?, &read(after)?, MARGIN).cases {
///         println!("{} on {}: {}", compared.case.layout, compared.case.map, compared.verdict);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    /// Name of the run's folder.
    pub name: String,
    /// Id of the machine that made the run.
    pub machine: String,
    /// Names of the maps that were measured on, the main one first.
    pub maps: Vec<String>,
    /// The memory of each of these maps in words, e.g. `24 GiB of RAM below 25 GiB`; empty if it is unknown.
    pub maps_in_words: Vec<String>,
    /// The kernels whose compiled lookups took part, in words.
    pub kernels: Vec<String>,
    /// The margin that the run was judged with, a fraction; `None` in runs of earlier versions.
    pub margin: Option<f64>,
    /// CPU time that other programs and the hypervisor took during the run, as a sentence.
    pub interference: Option<String>,
    /// All rows of `samples.jsonl`.
    pub rows: Vec<Row>,
}

impl Run {
    /// Name of the main map; empty if there is none.
    pub fn map(&self) -> &str {
        self.maps.first().map_or("", String::as_str)
    }

    /// Failures, one row for each: a layout that was left out, or cases that hung or died.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        failures(&self.rows, self.map())
    }

    /// The rows measured on a map.
    pub fn on(&self, map: &str) -> Vec<Row> {
        self.rows.iter().filter(|row| row.map == map).cloned().collect()
    }
}

/// Reads a run folder, after checking that it is complete and unchanged.
///
/// # Errors
/// The first problem of the folder, or that it is of a newer schema.
pub fn read(folder: &Path) -> Result<Run, ReadError> {
    let mut reader = RunReader::open(folder, Strictness::Strict)?;
    reader.check_complete()?;
    let manifest = reader.manifest()?.unwrap_or_default();
    let maps: Vec<String> = manifest.map_names().map(str::to_owned).collect();
    let maps_in_words = maps.iter().map(|map| manifest.map_in_words(map).unwrap_or_default()).collect();
    let kernels = manifest.kernels().map(|(id, kernel)| format!("{id}: {kernel}.")).collect();
    let (margin, interference) = (manifest.margin, manifest.interference.clone());
    let rows = reader.rows(|_| true)?;
    let machine = rows.first().map(|row| row.machine.clone()).unwrap_or_default();
    Ok(Run { name: reader.name().to_owned(), machine, maps, maps_in_words, kernels, margin, interference, rows })
}

/// Why the layouts of a run cannot be compared.
#[derive(Debug, Error)]
pub enum CompareError {
    /// The manifest names no map.
    #[error("the run {0} names no map in its manifest.json, so there is nothing to compare")]
    NoMap(String),
    /// The run did not measure the reference.
    #[error("the run {run} has no layout {reference:?}; it has {}", layouts.join(", "))]
    NoLayout {
        /// Name of the run.
        run: String,
        /// Id of the reference.
        reference: String,
        /// Ids of the layouts that the run has.
        layouts: Vec<String>,
    },
}

/// Name and summary of each map of a run, the main one first. Ratios are to `reference`, by default
/// `subsection` or else the first layout. Times that differ by less than `margin`, a fraction, are equal;
/// the default is that of the run.
///
/// # Errors
/// The run has no map, or lacks the reference.
pub fn summaries(
    run: &Run,
    reference: Option<&str>,
    margin: Option<f64>,
) -> Result<Vec<(String, Summary)>, CompareError> {
    let main = run.maps.first().map(|map| run.on(map)).unwrap_or_default();
    let reference = reference.unwrap_or_else(|| Summary::default_reference(&main));
    let margin = margin.or(run.margin).unwrap_or(MARGIN);
    let summaries: Vec<(String, Summary)> =
        run.maps.iter().map(|map| (map.clone(), Summary::judged(&run.on(map), reference, margin))).collect();
    let Some((_, main)) = summaries.first() else { return Err(CompareError::NoMap(run.name.clone())) };
    if !main.layouts.iter().any(|layout| layout == reference) {
        let (reference, layouts) = (reference.to_owned(), main.layouts.clone());
        return Err(CompareError::NoLayout { run: run.name.clone(), reference, layouts });
    }
    Ok(summaries)
}

/// A lookup case of one layout on one map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Case {
    /// Name of the map.
    pub map: String,
    /// Operation, mode, pattern, and where tables and records are.
    #[serde(flatten)]
    pub group: LookupGroup,
    /// Whether boot or added memory is queried.
    pub memory: Memory,
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Backing store of the layout's records.
    pub backing: String,
}

/// A case that two runs share.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// The case.
    #[serde(flatten)]
    pub case: Case,
    /// Median over the processes of the earlier run, in ns per operation.
    pub before_ns: f64,
    /// Median over the processes of the later run, in ns per operation.
    pub after_ns: f64,
    /// Time after divided by time before; above 1 is slower. `None` if either time is less than
    /// three times that of the empty loop.
    pub ratio: Option<f64>,
    /// Time after minus time before, in ns per operation.
    pub difference_ns: f64,
    /// Corrected confidence interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// The larger noise floor of the two runs, widened by the change that most cases share.
    pub noise_floor: Option<f64>,
    /// Verdict on the later run.
    pub verdict: Verdict,
}

/// The comparison of two runs.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Cases that both runs contain.
    pub cases: Vec<Compared>,
    /// Geometric mean of the ratios by layout, over the operations that both runs contain.
    /// Operations have equal weight. Included are lookups of pages in random order and the walk, on
    /// boot and on added memory of each map.
    pub geometric_means: Vec<(String, f64)>,
    /// Number of cases that only one of the runs contains.
    pub unshared: usize,
}

impl Compared {
    /// True if the later run is proven faster or slower.
    pub fn is_change(&self) -> bool {
        matches!(self.verdict, Verdict::Faster | Verdict::Slower)
    }
}

impl Comparison {
    /// The cases: those that are faster or slower first, and by the size of the change.
    pub fn by_change(&self) -> Vec<&Compared> {
        let mut cases: Vec<&Compared> = self.cases.iter().collect();
        let size = |compared: &Compared| (compared.after_ns / compared.before_ns).ln().abs();
        cases.sort_by(|a, b| b.is_change().cmp(&a.is_change()).then(size(b).total_cmp(&size(a))));
        cases
    }
}

/// The rows of every lookup that was timed.
fn timed(rows: &[Row]) -> BTreeMap<Case, Vec<&Row>> {
    let mut timed: BTreeMap<Case, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metric == "time" && row.status == Status::Ok) {
        let (Some(group), Some(memory)) = (row.lookup_group(), row.memory) else { continue };
        let (map, layout, backing) = (row.map.clone(), row.layout.clone(), row.backing.clone());
        timed.entry(Case { map, group, memory, layout, backing }).or_default().push(row);
    }
    timed
}

/// Noise floors by map, lookup and kind of memory.
fn noise_floors(rows: &[Row]) -> BTreeMap<(String, LookupGroup, Memory), f64> {
    let mut lines: BTreeMap<(String, LookupGroup, Memory), Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metric == "time" && row.status == Status::Ok) {
        let (Some(group), Some(memory)) = (row.lookup_group(), row.memory) else { continue };
        lines.entry((row.map.clone(), group, memory)).or_default().push(row);
    }
    lines.into_iter().filter_map(|(key, rows)| Some((key, noise_floor_of(&rows)?))).collect()
}

/// Time of the empty loop in ns per operation, by map and lookup.
fn loops(rows: &[Row]) -> BTreeMap<(String, LookupGroup), f64> {
    let mut loops: BTreeMap<(String, LookupGroup), f64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metric == "floor") {
        let Some((group, ns)) = row.lookup_group().zip(row.value) else { continue };
        let least = loops.entry((row.map.clone(), group)).or_insert(ns);
        *least = least.min(ns);
    }
    loops
}

/// Compares the lookups of two runs. Differences up to `margin` are negligible. Runs are not
/// paired, so a difference can be due to a change in the machine between them. The change that most
/// cases share is attributed to the machine and widens the noise floor.
pub fn compare(before: &Run, after: &Run, margin: f64) -> Comparison {
    let floors = [noise_floors(&before.rows), noise_floors(&after.rows)];
    let loops = [loops(&before.rows), loops(&after.rows)];
    let (before, after) = (timed(&before.rows), timed(&after.rows));
    let names: BTreeSet<&Case> = before.keys().chain(after.keys()).filter(|case| case.layout != CONTROL).collect();
    let (mut cases, mut judgeable) = (Vec::new(), Vec::new());
    for case in &names {
        let (Some(old), Some(new)) = (before.get(case), after.get(case)) else { continue };
        let (old, new) = (process_times(old), process_times(new));
        let (Some(before_ns), Some(after_ns)) = (median(old.iter().copied()), median(new.iter().copied())) else {
            continue;
        };
        let logs = |times: &[f64]| times.iter().map(|ns| ns.ln()).collect::<Vec<_>>();
        let key = (case.map.clone(), case.group, case.memory);
        let noise_floor = match floors.each_ref().map(|floors| floors.get(&key).copied()) {
            [Some(a), Some(b)] => Some(a.max(b)),
            _ => None,
        };
        judgeable.push(Judgeable { log_ratio: Estimate::difference(&logs(&new), &logs(&old)), noise_floor });
        cases.push(Compared {
            case: (*case).clone(),
            before_ns,
            after_ns,
            ratio: None,
            difference_ns: after_ns - before_ns,
            interval: None,
            noise_floor,
            verdict: Verdict::Undecided,
        });
    }
    let drift = median(judgeable.iter().filter_map(|pair| Some(pair.log_ratio?.mean.abs()))).unwrap_or(0.0).exp() - 1.0;
    for (compared, pair) in cases.iter_mut().zip(&mut judgeable) {
        pair.noise_floor = pair.noise_floor.map(|floor| floor + drift);
        compared.noise_floor = pair.noise_floor;
        let case = (compared.case.map.clone(), compared.case.group);
        let near = |ns: f64, at: usize| is_near_loop(ns, loops[at].get(&case).copied());
        let has_ratio = !near(compared.before_ns, 0) && !near(compared.after_ns, 1);
        let ratio = pair.log_ratio.map_or(compared.after_ns / compared.before_ns, |estimate| estimate.mean.exp());
        compared.ratio = Some(ratio).filter(|_| has_ratio);
    }
    for (compared, judged) in cases.iter_mut().zip(judge(Family::Rest, &judgeable, margin)) {
        (compared.interval, compared.verdict) = (judged.interval.filter(|_| compared.ratio.is_some()), judged.verdict);
    }
    let is_of_means = |case: &Case| case.group == headline_group(case.group.op);
    let layouts: BTreeSet<String> = cases.iter().map(|compared| compared.case.layout.clone()).collect();
    let geometric_mean = |layout: String| {
        let of_layout = cases.iter().filter(|c| c.case.layout == layout && is_of_means(&c.case));
        let logs = of_layout.filter_map(|c| Some((c.case.group.op, c.ratio?.ln())));
        mean_of_operations(logs).map(|mean| (layout, mean))
    };
    let geometric_means = layouts.into_iter().filter_map(geometric_mean).collect();
    Comparison { unshared: names.len() - cases.len(), geometric_means, cases }
}

/// Averages log ratios within each operation, then over operations, and returns the result as a
/// ratio. `None` without any log ratios.
fn mean_of_operations(logs: impl Iterator<Item = (LookupOp, f64)>) -> Option<f64> {
    let mut by_operation: BTreeMap<LookupOp, Vec<f64>> = BTreeMap::new();
    logs.for_each(|(op, log)| by_operation.entry(op).or_default().push(log));
    let means: Vec<f64> = by_operation.values().filter_map(|logs| mean(logs)).collect();
    mean(&means).map(f64::exp)
}

/// Geometric means by layout of the ratios to the reference, and the number of lookups they cover.
/// A lookup is included if it is in random order (or is the walk), `wanted` accepts it, and every
/// layout with such lookups has it. Operations have equal weight, whether they were measured on
/// boot memory, on added memory or on both.
pub fn geometric_means(summary: &Summary, wanted: impl Fn(&LookupLine) -> bool) -> (Vec<(String, f64)>, usize) {
    let ratio = |line: &LookupLine, layout: &String| line.cell(layout)?.ratio;
    let lines: Vec<&LookupLine> = summary.lookups.iter().filter(|line| wanted(line) && is_of_means(line)).collect();
    let has_any = |layout: &&String| lines.iter().any(|line| ratio(line, layout).is_some());
    let raced: Vec<&String> = summary.layouts.iter().filter(has_any).collect();
    let is_shared = |line: &&&LookupLine| raced.iter().all(|layout| ratio(line, layout).is_some());
    let shared: Vec<&&LookupLine> = lines.iter().filter(is_shared).collect();
    let mean = |layout: &&String| {
        let logs = shared.iter().filter_map(|line| Some((line.group.op, ratio(line, layout)?.ln())));
        Some(((*layout).clone(), mean_of_operations(logs)?))
    };
    let means = raced.iter().filter_map(mean).collect();
    (means, shared.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::row::tests::row;

    #[test]
    fn operations_weigh_the_same_however_often_they_were_measured() {
        let logs = [(LookupOp::PfnValid, 2f64.ln()), (LookupOp::PfnValid, 8f64.ln()), (LookupOp::PfnToPage, 1f64.ln())];
        assert!((mean_of_operations(logs.into_iter()).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(mean_of_operations(std::iter::empty()), None);
    }

    fn run(layout: &str, per_process: &[f64]) -> Run {
        let timed = |(process, ns): (usize, &f64)| Row {
            process: process as u32,
            memory: Some(Memory::Added),
            pattern: Some("random".into()),
            ..row(layout, "pfn_valid", "time", Some(*ns))
        };
        // The control differs from its namesake by as good as nothing.
        let reference = |layout: &'static str| {
            let sample = move |process: usize| Row {
                layout: layout.into(),
                control_of: Some("reference".into()),
                ..timed((process, &1.0))
            };
            (0..per_process.len()).map(sample)
        };
        let rows = per_process.iter().enumerate().map(timed);
        let rows = rows.chain(reference(CONTROL)).chain(reference("reference")).collect();
        Run {
            name: "r".into(),
            machine: "m".into(),
            maps: vec!["map".into()],
            maps_in_words: Vec::new(),
            kernels: Vec::new(),
            margin: None,
            interference: None,
            rows,
        }
    }

    #[test]
    fn runs_are_judged_like_layouts() {
        let before = run("a", &[1.0, 1.01, 1.02, 0.99, 1.0]);
        let verdict = |per_process: &[f64]| compare(&before, &run("a", per_process), MARGIN).cases[0].verdict;
        assert_eq!(verdict(&[2.0, 2.01, 2.02, 1.99, 2.0]), Verdict::Slower);
        assert_eq!(verdict(&[0.5, 0.51, 0.52, 0.49, 0.5]), Verdict::Faster);
        assert_eq!(verdict(&[1.0, 1.01, 1.02, 0.99, 1.0]), Verdict::Equal);
        assert_eq!(verdict(&[1.0, 0.9, 1.1, 1.0, 1.05]), Verdict::Undecided);
        assert_eq!(verdict(&[2.0]), Verdict::Undecided, "one process has no interval");
    }

    #[test]
    fn the_control_is_not_compared() {
        let comparison = compare(&run("a", &[1.0; 5]), &run("a", &[1.0; 5]), MARGIN);
        let layouts: Vec<&str> = comparison.cases.iter().map(|compared| compared.case.layout.as_str()).collect();
        assert_eq!(layouts, ["a", "reference"]);
    }

    #[test]
    fn means_of_a_run_cover_the_cases_that_every_layout_has() {
        let timed = |layout: &str, memory, ns| Row {
            memory: Some(memory),
            sample: Some(0),
            pattern: Some("random".into()),
            ..row(layout, "pfn_valid", "time", Some(ns))
        };
        let rows = [
            row("flat", "footprint", "index", Some(1.0)),
            row("a", "footprint", "index", Some(1.0)),
            timed("flat", Memory::Boot, 1.0),
            timed("a", Memory::Boot, 4.0),
            timed("a", Memory::Added, 1000.0),
        ];
        let (means, nr) = geometric_means(&Summary::against(&rows, "flat"), |_| true);
        assert_eq!((nr, means.len()), (1, 2));
        assert!((means[1].1 - 4.0).abs() < 1e-9, "{means:?}");
        let (means, nr) = geometric_means(&Summary::against(&rows, "a"), |line| line.memory == Memory::Added);
        assert_eq!((nr, means.as_slice()), (1, &[("a".to_owned(), 1.0)][..]), "flat has none of these");
    }

    #[test]
    fn each_operation_weighs_the_same_in_a_mean() {
        let timed = |layout: &str, pattern: &str, mode: &str, ns| Row {
            memory: Some(Memory::Boot),
            sample: Some(0),
            pattern: Some(pattern.into()),
            mode: Some(mode.into()),
            ..row(layout, "pfn_valid", "time", Some(ns))
        };
        let rows = [
            timed("a", "random", "independent", 1.0),
            timed("b", "random", "independent", 2.0),
            timed("a", "sequential", "independent", 1.0),
            timed("b", "sequential", "independent", 9.0),
            timed("a", "random", "chained", 100.0),
            timed("b", "random", "chained", 1.0),
        ];
        let (means, nr) = geometric_means(&Summary::against(&rows, "a"), |_| true);
        assert_eq!((nr, means[1].0.as_str()), (1, "b"));
        assert!((means[1].1 - 2.0).abs() < 1e-9, "{means:?}");
    }

    #[test]
    fn a_run_is_judged_by_its_own_margin_and_first_layout() {
        let footprint = row("flat", "footprint", "index", Some(1.0));
        let run = Run { margin: Some(0.07), rows: vec![Row { map: "map".into(), ..footprint }], ..run("flat", &[1.0]) };
        let (map, summary) = &summaries(&run, None, None).unwrap()[0];
        assert_eq!((map.as_str(), summary.margin, summary.reference.as_str()), ("map", 0.07, "flat"));
        assert_eq!(summaries(&run, None, Some(0.01)).unwrap()[0].1.margin, 0.01);
        assert!(matches!(summaries(&run, Some("sparse"), None), Err(CompareError::NoLayout { .. })));
        assert!(matches!(summaries(&Run { maps: Vec::new(), ..run }, None, None), Err(CompareError::NoMap(_))));
    }

    #[test]
    fn means_are_over_shared_cases() {
        let (before, mut after) = (run("a", &[1.0]), run("a", &[4.0]));
        after.rows.extend(run("b", &[100.0]).rows);
        let comparison = compare(&before, &after, MARGIN);
        assert_eq!((comparison.cases.len(), comparison.unshared), (2, 1));
        assert_eq!(comparison.geometric_means.len(), 2);
        assert!((comparison.geometric_means[0].1 - 4.0).abs() < 1e-9);
    }
}
