//! Lookups: a line for each group and kind of memory, a cell for each layout, each cell judged against the reference.

use crate::analysis::judge::{Comparison, Family, Verdict, judge};
use crate::analysis::statistics::{Estimate, LEAST_SAMPLES, low_quartile, mean, median, noise_floor, quantile, sorted};
use crate::case::{CONTROL, Dependency, LookupGroup, LookupOp, Memory, Mode, Pattern, Population};
use crate::record::row::Row;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Lookups that are read first: those of the finding and of the table of winners.
pub const HEADLINES: [(LookupOp, Memory); 8] = [
    (LookupOp::PfnValid, Memory::Added),
    (LookupOp::PfnValid, Memory::Boot),
    (LookupOp::PfnToPage, Memory::Added),
    (LookupOp::PfnToPage, Memory::Boot),
    (LookupOp::PageToPfn, Memory::Added),
    (LookupOp::ValidToPage, Memory::Added),
    (LookupOp::ValidToPage, Memory::Boot),
    (LookupOp::NextValidPfn, Memory::Boot),
];

/// The group that stands for a lookup among the headlines: pages in random order; a walk has an order of its own.
pub fn headline_group(op: LookupOp) -> LookupGroup {
    LookupGroup::plain(op, if op == LookupOp::NextValidPfn { Pattern::Sequential } else { Pattern::Random })
}

/// The two layouts that the series is about: with the sub-section map, and the same without it.
pub const SERIES: (&str, &str) = ("subsection", "vmemmap-section");

/// The series as it was posted: boot memory reads the map too.
pub const AS_POSTED: &str = "subsection-v6";

/// Figures and references below so many times the loop alone have no ratio: it would be one of loops.
const LEAST_FLOORS: f64 = 3.0;

/// Is a figure within three times that of the loop alone?
pub fn is_near_loop(ns: f64, loop_ns: Option<f64>) -> bool {
    loop_ns.is_some_and(|floor| ns < LEAST_FLOORS * floor)
}

/// A lookup of one layout.
#[derive(Clone, Debug, Serialize)]
pub struct LookupCell {
    /// The layout.
    pub layout: String,
    /// Median over processes, in ns an operation; of a process it is the mean over boots of the lower quartile of the samples.
    pub median_ns: Option<f64>,
    /// Lower and upper quartile over all samples that were not disturbed.
    pub quartiles_ns: Option<(f64, f64)>,
    /// Geometric mean over processes of the ratio to the reference layout in the same rounds. Absent where either figure is within three
    /// times that of the loop alone.
    pub ratio: Option<f64>,
    /// Corrected interval of the ratio over processes, if there are enough of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_interval: Option<(f64, f64)>,
    /// Mean over processes of the difference to the reference layout, in ns an operation; above 0 is slower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_ns: Option<f64>,
    /// What may be said of it against the reference; absent for the reference itself and where there is no figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Samples that were disturbed, in percent: they are not used.
    #[serde(skip_serializing_if = "is_zero")]
    pub disturbed_percent: f64,
    /// How the answer of a chained lookup reached the next address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Dependency>,
    /// Bytes of the records that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// What records of this row were made of.
    pub backing: String,
    /// Why there is no figure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn is_zero(percent: &f64) -> bool {
    *percent == 0.0
}

impl LookupCell {
    /// Did the answer of a chained lookup reach the next address as a branch, at least where it is no? There is no data chain then.
    pub fn is_branch(&self) -> bool {
        matches!(self.dependency, Some(Dependency::Branch | Dependency::Mixed))
    }

    fn keep(&mut self, pair: &Pair) {
        (self.ratio, self.ratio_interval) = (pair.ratio, pair.interval);
        (self.difference_ns, self.verdict) = (pair.difference_ns, Some(pair.verdict));
    }
}

/// One lookup on one kind of sections in one order.
#[derive(Clone, Debug, Serialize)]
pub struct LookupLine {
    /// What is compared.
    #[serde(flatten)]
    pub group: LookupGroup,
    /// Boot or hot-added memory.
    pub memory: Memory,
    /// The loop without a lookup, in ns an operation.
    pub floor_ns: Option<f64>,
    /// How far apart the same layout can be from itself, as a share of the time; `None` without a control or enough processes.
    pub noise_floor: Option<f64>,
    /// Pages that are asked for, in percent of those of the sections; `None` where it is all that are valid for every layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<f64>,
    /// By layout.
    pub cells: Vec<LookupCell>,
    /// Samples by layout.
    #[serde(skip)]
    samples: BTreeMap<String, Samples>,
    /// Log ratios of controls to their namesake, one a process, by the layout that serves as one.
    #[serde(skip)]
    controls: BTreeMap<String, Vec<f64>>,
    /// Every pair of layouts that was judged, each once, in the order of their importance: the one that is judged first.
    #[serde(skip)]
    pairs: Vec<([String; 2], Pair)>,
}

/// A comparison of two layouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Geometric mean over processes of the ratio; absent where either figure is within three times that of the loop alone.
    pub ratio: Option<f64>,
    /// Corrected interval of the ratio; absent with too few processes, and where there is no ratio.
    pub interval: Option<(f64, f64)>,
    /// The 95 % interval of this ratio alone, likewise.
    pub interval_95: Option<(f64, f64)>,
    /// Mean over processes of the difference, in ns an operation; absent if every sample was disturbed.
    pub difference_ns: Option<f64>,
    /// What may be said of it.
    pub verdict: Verdict,
    /// The noise floor that it was held against, as a share of the time.
    pub noise_floor: Option<f64>,
    /// Processes with enough undisturbed samples.
    pub processes: usize,
}

impl Pair {
    /// The same comparison the other way round.
    fn inverted(self) -> Self {
        let inverse = |(low, high): (f64, f64)| (1.0 / high, 1.0 / low);
        Self {
            ratio: self.ratio.map(f64::recip),
            interval: self.interval.map(inverse),
            interval_95: self.interval_95.map(inverse),
            difference_ns: self.difference_ns.map(|ns| -ns),
            verdict: self.verdict.inverted(),
            ..self
        }
    }
}

impl LookupLine {
    /// The cell of a layout.
    pub fn cell(&self, layout: &str) -> Option<&LookupCell> {
        self.cells.iter().find(|cell| cell.layout == layout)
    }

    /// The layout that takes the least time.
    pub fn fastest(&self) -> Option<&LookupCell> {
        let timed = self.cells.iter().filter_map(|cell| Some((cell, cell.median_ns?)));
        timed.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(cell, _)| cell)
    }

    /// Two layouts compared with each other directly, not by way of the reference. `None` if the pair was not judged: either has no
    /// samples, or nothing reads it.
    pub fn pair(&self, of: &str, to: &str) -> Option<Pair> {
        self.pairs.iter().find_map(|([a, b], pair)| match (a.as_str(), b.as_str()) {
            names if names == (of, to) => Some(*pair),
            names if names == (to, of) => Some(pair.inverted()),
            _ => None,
        })
    }

    /// The pairs that were judged: the layout that is judged, the one that it is compared with, and what was found.
    pub fn pairs(&self) -> impl Iterator<Item = ([&str; 2], &Pair)> {
        self.pairs.iter().map(|([of, to], pair)| ([of.as_str(), to.as_str()], pair))
    }

    /// Is it one of those that are read first?
    fn is_headline(&self) -> bool {
        let group = LookupGroup { preempt: false, ..self.group };
        HEADLINES.iter().any(|(op, on)| group == headline_group(*op) && self.memory == *on)
    }

    /// The pairs that some table, sentence or program reads, each once, and whether they are of the headline family.
    fn asked_pairs(&self, reference: &str) -> Vec<([String; 2], bool)> {
        let is_timed = |layout: &str| self.samples.get(layout).is_some_and(|samples| !samples.is_empty());
        let is_headline = self.is_headline();
        let layouts = || self.cells.iter().map(|cell| cell.layout.as_str());
        let of_series = self.group.op == LookupOp::PfnValid && self.group.mode == Mode::Independent;
        let series = [[SERIES.0, SERIES.1], [AS_POSTED, SERIES.1]].into_iter().filter(|_| of_series);
        let best = self.fastest().map(|cell| cell.layout.as_str()).filter(|_| is_headline);
        let with_best = layouts().filter_map(|layout| Some([layout, best?]));
        let like = layouts().filter(|layout| self.is_like(layout, reference));
        let with_reference = like.map(|layout| [layout, reference]);
        let first = series.chain(with_best).map(|pair| (pair, is_headline));
        let mut asked: Vec<([String; 2], bool)> = Vec::new();
        for ([of, to], is_first) in first.chain(with_reference.map(|pair| (pair, false))) {
            let is_known = asked.iter().any(|(pair, _)| pair == &[of, to] || pair == &[to, of]);
            if of != to && is_timed(of) && is_timed(to) && !is_known {
                asked.push(([of.to_owned(), to.to_owned()], is_first));
            }
        }
        asked
    }

    /// Is the figure of a layout within three times that of the loop alone?
    fn is_near_loop(&self, layout: &str) -> bool {
        let ns = self.cell(layout).and_then(|cell| cell.median_ns);
        ns.is_some_and(|ns| is_near_loop(ns, self.floor_ns))
    }

    /// Do the answers of two layouts reach the next address alike? A branch that is predicted is no chain, and no ratio to one.
    fn is_like(&self, a: &str, b: &str) -> bool {
        let is_branch = |layout| self.cell(layout).is_some_and(LookupCell::is_branch);
        is_branch(a) == is_branch(b)
    }

    /// The widest half of the uncorrected 95 % intervals of the log ratios to a reference; without end where a layout was measured in
    /// fewer than `least` processes.
    pub fn half_width(&self, reference: &str, least: usize) -> f64 {
        let Some(to) = self.samples.get(reference) else { return 0.0 };
        let measured = self.samples.iter().filter(|(layout, of)| *layout != reference && !of.is_empty());
        let width = |of: &Samples| {
            let logs = compared(of, to).0;
            let estimate = Estimate::of_processes(&logs).filter(|_| logs.len() >= least);
            estimate.map_or(f64::INFINITY, |estimate| {
                let (low, high) = estimate.interval(0.05);
                (high - low) / 2.0
            })
        };
        measured.filter(|(layout, _)| self.is_like(layout, reference)).map(|(_, of)| width(of)).fold(0.0, f64::max)
    }

    /// How far apart the same layout can be from itself, for a verdict on two: neither is a control for itself.
    fn noise_floor_for(&self, pair: [&str; 2]) -> Option<f64> {
        let others = self.controls.iter().filter(|(layout, _)| !pair.contains(&layout.as_str()));
        noise_floor(&others.map(|(_, logs)| logs.clone()).collect::<Vec<_>>())
    }

    /// True if the queries are chained by an answer of which the rows do not tell whether it is data or a branch.
    pub fn is_unlabelled(&self) -> bool {
        self.group.op == LookupOp::PfnValid
            && self.group.mode == Mode::Chained
            && self.cells.iter().any(|cell| cell.median_ns.is_some() && cell.dependency.is_none())
    }
}

/// Times in ns an operation by process and boot, then by sample; `None` where a slice was disturbed.
type Samples = BTreeMap<(u32, u32), BTreeMap<u32, Option<f64>>>;

fn samples<'a>(rows: impl Iterator<Item = &'a &'a Row>) -> Samples {
    let mut samples = Samples::new();
    for row in rows.filter(|row| row.value.is_some()) {
        let of_boot = samples.entry((row.process, row.boot.unwrap_or(0))).or_default();
        of_boot.insert(row.sample.unwrap_or(0), row.value.filter(|_| !row.disturbed));
    }
    samples
}

/// The estimate of a boot of which so many samples were taken. Only runs of earlier versions, and cold tables, have one sample.
fn low(values: &[f64], taken: usize) -> Option<f64> {
    if taken < LEAST_SAMPLES { values.first().copied() } else { low_quartile(values.iter().copied()) }
}

/// Log ratio and difference of two layouts, one of each a process: the means over boots of those of the lower quartiles. Only samples
/// of rounds in which neither was disturbed count.
fn compared(of: &Samples, to: &Samples) -> (Vec<f64>, Vec<f64>) {
    let mut by_process: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for ((process, boot), of_boot) in of {
        let Some(to_boot) = to.get(&(*process, *boot)) else { continue };
        let pairs = of_boot.iter().filter_map(|(sample, of)| of.zip(*to_boot.get(sample)?));
        let (of_pairs, to_pairs): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let taken = of_boot.len().max(to_boot.len());
        let Some((of, to)) = low(&of_pairs, taken).zip(low(&to_pairs, taken)) else { continue };
        by_process.entry(*process).or_default().push(((of / to).ln(), of - to));
    }
    let means = by_process.values().filter_map(|boots| {
        let (logs, differences): (Vec<f64>, Vec<f64>) = boots.iter().copied().unzip();
        mean(&logs).zip(mean(&differences))
    });
    means.unzip()
}

/// The time of a layout in each process, in ns an operation: the mean over boots of the lower quartile.
fn by_process(samples: &Samples) -> BTreeMap<u32, f64> {
    let mut boots: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for ((process, _), of_boot) in samples {
        let undisturbed: Vec<f64> = of_boot.values().flatten().copied().collect();
        boots.entry(*process).or_default().extend(low(&undisturbed, of_boot.len()));
    }
    boots.into_iter().filter_map(|(process, boots)| Some((process, mean(&boots)?))).collect()
}

/// Process times of every layout of a line, for comparisons between runs.
pub(crate) fn process_times(rows: &[&Row]) -> Vec<f64> {
    by_process(&samples(rows.iter())).into_values().collect()
}

/// The noise floor of rows of one group and kind of memory: of the control against its namesake.
pub(crate) fn noise_floor_of(rows: &[&Row]) -> Option<f64> {
    let layouts: BTreeSet<&str> = rows.iter().map(|row| row.layout.as_str()).collect();
    let of = |layout: &str| samples(rows.iter().filter(|row| row.layout == layout));
    let by_layout: BTreeMap<String, Samples> =
        layouts.iter().map(|layout| ((*layout).to_owned(), of(layout))).collect();
    noise_floor(&controls(&by_layout, rows).into_values().collect::<Vec<_>>())
}

/// Log ratios of the controls to their namesake, by the layout that serves as one.
fn controls(by_layout: &BTreeMap<String, Samples>, rows: &[&Row]) -> BTreeMap<String, Vec<f64>> {
    let namesake = rows.iter().find_map(|row| row.control_of.as_deref()).unwrap_or(crate::case::REFERENCE);
    let Some(to) = by_layout.get(namesake).filter(|_| by_layout.get(CONTROL).is_some_and(|of| !of.is_empty())) else {
        return BTreeMap::new();
    };
    // A layout that runs the very same code over tables of its own is one more control, unless it reads records, which may lie elsewhere.
    let same_code: BTreeSet<&str> = rows
        .iter()
        .filter(|row| row.same_code)
        .map(|row| row.layout.as_str())
        .filter(|layout| *layout != CONTROL)
        .collect();
    let all = same_code.into_iter().chain([CONTROL]);
    all.filter_map(|layout| Some((layout.to_owned(), compared(by_layout.get(layout)?, to).0))).collect()
}

/// The lines of all lookups, those with every default first.
pub(super) fn lines(rows: &[Row], layouts: &[String], reference: &str, margin: f64) -> Vec<LookupLine> {
    let mut timed: BTreeMap<(LookupGroup, Memory), Vec<&Row>> = BTreeMap::new();
    let mut floors: BTreeMap<LookupGroup, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let (Some(group), Some(memory)) = (row.lookup_group(), row.memory) else { continue };
        match (row.metric.as_str(), row.value) {
            ("time", _) => timed.entry((group, memory)).or_default().push(row),
            ("floor", Some(floor)) => floors.entry(group).or_default().push(floor),
            _ => {}
        }
    }
    let mut lines: Vec<LookupLine> = timed
        .into_iter()
        .map(|((group, memory), rows)| {
            let floor_ns = floors.get(&group).and_then(|of| median(of.iter().copied()));
            line(group, memory, &rows, layouts, floor_ns)
        })
        .collect();
    lines.sort_by_key(|line| (!line.group.is_plain(), line.group.op, line.group.mode, line.memory, line.group));
    judge_pairs(&mut lines, reference, margin);
    compare_with(&mut lines, reference);
    lines
}

fn line(group: LookupGroup, memory: Memory, rows: &[&Row], layouts: &[String], floor_ns: Option<f64>) -> LookupLine {
    let of_layout = |layout: &str| rows.iter().filter(|row| row.layout == layout).copied().collect::<Vec<&Row>>();
    let with_control = layouts.iter().map(String::as_str).chain([CONTROL]);
    let by_layout: BTreeMap<String, Samples> =
        with_control.map(|layout| (layout.to_owned(), samples(of_layout(layout).iter()))).collect();
    let cell = |layout: &String| {
        let rows = of_layout(layout);
        let first = rows.first()?;
        let values = sorted(rows.iter().filter(|row| !row.disturbed).filter_map(|row| row.value));
        let disturbed = rows.iter().filter(|row| row.disturbed).count();
        let of_processes = by_process(&by_layout[layout]);
        let median_ns = median(of_processes.into_values());
        let lost = (median_ns.is_none() && disturbed > 0).then(|| "every sample was disturbed".to_owned());
        Some(LookupCell {
            layout: layout.clone(),
            median_ns,
            quartiles_ns: quantile(&values, 0.25).zip(quantile(&values, 0.75)),
            ratio: None,
            ratio_interval: None,
            difference_ns: None,
            verdict: None,
            disturbed_percent: 100.0 * disturbed as f64 / rows.len() as f64,
            dependency: first.dependency,
            working_set_bytes: first.working_set_bytes,
            backing: first.backing.clone(),
            reason: first.reason.clone().or(lost).filter(|_| median_ns.is_none()),
        })
    };
    let controls = controls(&by_layout, rows);
    LookupLine {
        cells: layouts.iter().filter_map(cell).collect(),
        noise_floor: noise_floor(&controls.values().cloned().collect::<Vec<_>>()),
        controls,
        share_percent: rows.iter().find_map(|row| row.share_percent),
        floor_ns,
        group,
        memory,
        samples: by_layout,
        pairs: Vec::new(),
    }
}

/// Judges every pair: those that are read first (the cost of the sub-section map, and the winner of each headline against the others)
/// as one family, all others as one with a false-discovery rate. The winner is found from the same data, so all pairs of layouts of a
/// headline are corrected for.
fn judge_pairs(lines: &mut [LookupLine], reference: &str, margin: f64) {
    let pairs_of_all = |line: &LookupLine| {
        let timed = line.cells.iter().filter(|cell| cell.median_ns.is_some()).count();
        timed * timed.saturating_sub(1) / 2
    };
    let possible = lines.iter().filter(|line| line.is_headline()).map(pairs_of_all).sum();
    let asked: Vec<Vec<([String; 2], bool)>> = lines.iter().map(|line| line.asked_pairs(reference)).collect();
    for family in [Family::Headline(possible), Family::Rest] {
        let is_of_family = |is_first: bool| is_first == (family != Family::Rest);
        let (mut found, mut comparisons) = (Vec::new(), Vec::new());
        for (at, pair) in (0..).zip(&asked).flat_map(|(at, pairs)| pairs.iter().map(move |pair| (at, pair))) {
            let (line, ([of, to], is_first)): (&LookupLine, _) = (&lines[at], pair);
            if is_of_family(*is_first) {
                let (logs, differences) = compared(&line.samples[of], &line.samples[to]);
                let noise_floor = line.noise_floor_for([of, to]);
                comparisons.push(Comparison { log_ratio: Estimate::of_processes(&logs), noise_floor });
                found.push((at, [of.clone(), to.clone()], logs, differences));
            }
        }
        let judged = judge(family, &comparisons, margin);
        for ((at, names, logs, differences), judged) in found.into_iter().zip(judged) {
            let line = &mut lines[at];
            let has_ratio = !names.iter().any(|layout| line.is_near_loop(layout));
            let pair = Pair {
                ratio: mean(&logs).map(f64::exp).filter(|_| has_ratio),
                interval: judged.interval.filter(|_| has_ratio),
                interval_95: judged.interval_95.filter(|_| has_ratio),
                difference_ns: mean(&differences),
                verdict: judged.verdict,
                noise_floor: judged.noise_floor,
                processes: logs.len(),
            };
            line.pairs.push((names, pair));
        }
    }
}

/// Compares every cell with that of the reference.
fn compare_with(lines: &mut [LookupLine], reference: &str) {
    for line in lines {
        for nr in 0..line.cells.len() {
            let layout = line.cells[nr].layout.clone();
            let pair = line.pair(&layout, reference);
            let has_ratio = !line.is_near_loop(reference);
            let cell = &mut line.cells[nr];
            match pair {
                Some(pair) => cell.keep(&pair),
                None if layout == reference && cell.median_ns.is_some() => {
                    (cell.ratio, cell.difference_ns) = (Some(1.0).filter(|_| has_ratio), Some(0.0));
                }
                None => {}
            }
        }
    }
}

/// Is a line of lookups whose figures can be averaged over operations: valid pages in random order, or the walk?
pub fn is_of_means(line: &LookupLine) -> bool {
    line.group == headline_group(line.group.op) && line.group.population == Population::Common
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summary::Summary;
    use crate::case::REFERENCE;
    use crate::record::row::tests::row;

    /// A sample of pfn_valid in random order on boot memory.
    fn sample(layout: &str, process: u32, boot: u32, nr: u32, value: f64) -> Row {
        Row {
            process,
            boot: Some(boot),
            sample: Some(nr),
            memory: Some(Memory::Boot),
            pattern: Some("random".into()),
            ..row(layout, "pfn_valid", "time", Some(value))
        }
    }

    /// Processes and boots that differ a little, with a layout that takes `ratio` times as long as the reference.
    fn run(ratio: f64, spread: f64) -> Vec<Row> {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0)), row(REFERENCE, "footprint", "index", Some(2.0))];
        for process in 0..7 {
            for boot in 0..2 {
                for nr in 0..5 {
                    let speed = 1.0 + f64::from(process) / 10.0;
                    let luck = 1.0 + spread * (f64::from((process * 2 + boot) % 3) - 1.0);
                    rows.push(sample(REFERENCE, process, boot, nr, speed));
                    rows.push(sample(CONTROL, process, boot, nr, speed * (1.0 + 0.002 * f64::from(process % 2))));
                    rows.push(sample("a", process, boot, nr, speed * ratio * luck));
                }
            }
        }
        rows
    }

    fn cell(rows: &[Row]) -> LookupCell {
        let summary = Summary::of(rows);
        assert_eq!(summary.layouts, ["a", REFERENCE], "the control is not shown");
        let line = summary.lookup(headline_group(LookupOp::PfnValid), Memory::Boot).unwrap();
        line.cell("a").unwrap().clone()
    }

    #[test]
    fn cells_have_verdicts_intervals_and_differences() {
        let slower = cell(&run(1.5, 0.005));
        assert_eq!(slower.verdict, Some(Verdict::Slower));
        let (low, high) = slower.ratio_interval.unwrap();
        assert!(low < 1.5 && 1.5 < high && high < 1.55, "{low} {high}");
        assert!((slower.difference_ns.unwrap() - 0.5 * 1.3).abs() < 0.02, "{slower:?}");
        assert_eq!(cell(&run(0.7, 0.005)).verdict, Some(Verdict::Faster));
        assert_eq!(cell(&run(1.0, 0.002)).verdict, Some(Verdict::Equal));
        assert_eq!(cell(&run(1.05, 0.1)).verdict, Some(Verdict::Undecided));
    }

    #[test]
    fn a_layout_is_no_control_in_its_own_comparison() {
        let mut rows = run(1.05, 0.005);
        for row in rows.iter_mut().filter(|row| row.layout == "a" && row.metric == "time") {
            row.same_code = true;
        }
        let summary = Summary::of(&rows);
        let line = summary.lookup(headline_group(LookupOp::PfnValid), Memory::Boot).unwrap();
        assert!(line.noise_floor > Some(0.02), "what runs the same code and is off by 5 % is noise for the others");
        assert!(line.pair("a", REFERENCE).unwrap().noise_floor < Some(0.01));
    }

    #[test]
    fn without_a_control_nothing_is_judged() {
        let mut rows = run(1.5, 0.005);
        rows.retain(|row| row.layout != CONTROL);
        let cell = cell(&rows);
        assert_eq!((cell.verdict, cell.ratio.is_some()), (Some(Verdict::Undecided), true));
    }

    #[test]
    fn disturbed_samples_are_dropped_in_pairs_and_on_evidence_alone() {
        let mut rows = run(1.5, 0.005);
        // The reference is slow in one round without evidence, and disturbed in two others.
        for row in rows.iter_mut().filter(|row| row.layout == REFERENCE && row.metric == "time") {
            match row.sample {
                Some(0) => row.value = row.value.map(|value| 4.0 * value),
                Some(1 | 2) => (row.value, row.disturbed) = (row.value.map(|value| 50.0 * value), true),
                _ => {}
            }
        }
        let cell = cell(&rows);
        assert!((cell.ratio.unwrap() - 1.5).abs() < 0.01, "{cell:?}");
        assert_eq!(cell.verdict, Some(Verdict::Slower));
        let all: Vec<Row> = rows.into_iter().map(|row| Row { disturbed: row.metric == "time", ..row }).collect();
        let summary = Summary::of(&all);
        let cell = summary.lookups[0].cell("a").unwrap();
        assert_eq!((cell.median_ns, cell.disturbed_percent), (None, 100.0));
        assert_eq!(cell.verdict, Some(Verdict::Undecided), "what was measured and cannot be used is undecided");
        assert_eq!(cell.reason.as_deref(), Some("every sample was disturbed"));
    }

    /// However a pair is asked for, and whoever is fastest: one judgement.
    #[test]
    fn a_pair_has_one_verdict_whoever_reads_it() {
        for ratio in [0.7, 0.97, 1.0, 1.03, 1.5] {
            let summary = Summary::of(&run(ratio, 0.01));
            let line = &summary.lookups[0];
            let (there, back) = (line.pair("a", REFERENCE).unwrap(), line.pair(REFERENCE, "a").unwrap());
            let cell = line.cell("a").unwrap();
            assert_eq!((Some(there.verdict), there.interval), (cell.verdict, cell.ratio_interval));
            assert_eq!(there.verdict == Verdict::Slower, back.verdict == Verdict::Faster);
            assert_eq!(there.verdict == Verdict::Equal, back.verdict == Verdict::Equal);
            let ((low, high), (back_low, back_high)) = (there.interval.unwrap(), back.interval.unwrap());
            assert!((low * back_high - 1.0).abs() < 1e-9 && (high * back_low - 1.0).abs() < 1e-9);
            assert_eq!(line.pairs().count(), 1, "each once");
        }
    }

    #[test]
    fn near_the_loop_alone_there_is_no_ratio() {
        let mut rows = run(1.5, 0.005);
        let floor = Row { metric: "floor".into(), layout: "loop".into(), ..sample("loop", 0, 0, 0, 0.5) };
        rows.push(floor);
        let near = cell(&rows);
        assert_eq!((near.ratio, near.ratio_interval), (None, None));
        assert!(
            near.difference_ns.is_some() && near.verdict == Some(Verdict::Slower),
            "the difference is none of loops"
        );
        rows.last_mut().unwrap().value = Some(0.4);
        assert!(cell(&rows).ratio.is_some());
    }

    #[test]
    fn layouts_are_compared_directly() {
        let mut rows = run(1.5, 0.005);
        rows.push(row("b", "footprint", "index", Some(1.0)));
        let of_a: Vec<Row> = rows.iter().filter(|row| row.layout == "a" && row.metric == "time").cloned().collect();
        // As scattered as a against the reference, and always 10 % above a.
        rows.extend(of_a.into_iter().map(|row| Row { layout: "b".into(), value: row.value.map(|v| 1.1 * v), ..row }));
        let summary = Summary::of(&rows);
        let line = &summary.lookups[0];
        // The reference is the fastest of the three here, and b against a is read nowhere.
        assert_eq!(line.pair("b", "a"), None);
        let judged = Summary::judged(&rows, "a", 0.02);
        let pair = judged.lookups[0].pair("b", "a").unwrap();
        assert!((pair.ratio.unwrap() - 1.1).abs() < 1e-6 && pair.verdict == Verdict::Slower, "{pair:?}");
        let (low, high) = pair.interval.unwrap();
        assert!(high - low < 0.001, "paired: what a and b share is not in it");
    }

    #[test]
    fn processes_count_once_each() {
        let mut rows = run(1.0, 0.0);
        rows.retain(|row| row.layout != "a" || row.metric != "time");
        // A process with many samples weighs no more than one with few.
        for process in 0..5 {
            for nr in 0..if process == 0 { 5 } else { 2 } {
                let ratio = if process == 0 { 1.0 } else { 3.0 };
                rows.push(sample("a", process, 0, nr, ratio * (1.0 + f64::from(process) / 10.0)));
            }
        }
        let cell = cell(&rows);
        assert!((cell.ratio.unwrap() - (0.8 * 3f64.ln()).exp()).abs() < 1e-6, "{cell:?}");
    }
}
