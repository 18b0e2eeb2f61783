//! Results of lookups: a line for each group and kind of memory, with a cell for each layout, which
//! is judged against the reference.

use crate::analysis::judge::{Comparison, Family, Verdict, judge};
use crate::analysis::statistics::{Estimate, LEAST_SAMPLES, low_quartile, mean, median, noise_floor, quantile, sorted};
use crate::case::{COMPILED, CONTROL, Dependency, LookupGroup, LookupOp, Memory, Mode, NO_CHECK, Pattern, Population};
use crate::record::row::Row;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Headline cases: those of the finding and of the table of winners.
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

/// The headline group of an operation: random order, or sequential for a walk.
pub fn headline_group(op: LookupOp) -> LookupGroup {
    LookupGroup::plain(op, if op.is_walk() { Pattern::Sequential } else { Pattern::Random })
}

/// Linux as compilers make it, with sub-sections and before the series. The first is a model of a
/// current kernel.
pub const LINUX: (&str, &str) = ("linux-6.1", "linux-5.2");

/// The idea of the patch series in Rust: with the sub-section map, and the same without it.
pub const SERIES: (&str, &str) = ("subsection", "vmemmap-section");

/// The first model of Linux with a walk over valid page frames.
pub const WALKER: &str = "linux-7.2";

/// The fastest layout with everything that Linux keeps of a section.
pub const WINNER: &str = "validmap";

/// The patch series as posted: boot memory reads the sub-section map too.
pub const AS_POSTED: &str = "subsection-v6";

/// Times below this multiple of the empty loop's time have no ratio, because the loop would
/// dominate it.
const LEAST_FLOORS: f64 = 3.0;

/// True if a time is less than three times that of the empty loop.
pub fn is_near_loop(ns: f64, loop_ns: Option<f64>) -> bool {
    loop_ns.is_some_and(|floor| ns < LEAST_FLOORS * floor)
}

/// Results of one lookup case on one layout.
#[derive(Clone, Debug, Serialize)]
pub struct LookupCell {
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// Median over processes in ns per operation. The value of a process is the mean over its boots
    /// of the lower quartile of the samples.
    pub median_ns: Option<f64>,
    /// Lower and upper quartile over all undisturbed samples, in ns per operation.
    pub quartiles_ns: Option<(f64, f64)>,
    /// 95 % confidence interval over processes of the time, in ns; it holds `median_ns`. `None` with too few
    /// processes.
    pub interval_ns: Option<(f64, f64)>,
    /// Geometric mean over processes of the ratio to the reference layout in the same rounds; above
    /// 1 is slower. `None` if either time is less than three times that of the empty loop.
    pub ratio: Option<f64>,
    /// Corrected confidence interval of the ratio, if there are enough processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_interval: Option<(f64, f64)>,
    /// Mean over processes of the difference to the reference layout, in ns per operation; above 0
    /// is slower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference_ns: Option<f64>,
    /// Verdict against the reference; `None` for the reference itself and without a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Percentage of samples that were disturbed and are therefore not used.
    #[serde(skip_serializing_if = "is_zero")]
    pub disturbed_percent: f64,
    /// How the answer of a chained lookup reached the next address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependency: Option<Dependency>,
    /// Total size in bytes of the distinct records that were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// Backing store of the layout's records.
    pub backing: String,
    /// Why there is no time; `None` if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn is_zero(percent: &f64) -> bool {
    *percent == 0.0
}

impl LookupCell {
    /// True if the answer of a chained lookup reaches the next address as a branch, at least if it
    /// is no. Then there is no chain of data.
    pub fn is_branch(&self) -> bool {
        matches!(self.dependency, Some(Dependency::Branch | Dependency::Mixed))
    }

    fn keep(&mut self, pair: &Pair) {
        (self.ratio, self.ratio_interval) = (pair.ratio, pair.interval);
        (self.difference_ns, self.verdict) = (pair.difference_ns, Some(pair.verdict));
    }
}

/// Results of one lookup group on one kind of memory.
#[derive(Clone, Debug, Serialize)]
pub struct LookupLine {
    /// Operation, mode, pattern, and where tables and records are.
    #[serde(flatten)]
    pub group: LookupGroup,
    /// Whether boot or added memory was queried.
    pub memory: Memory,
    /// Time of the empty loop, in ns per operation.
    pub floor_ns: Option<f64>,
    /// Noise floor as a fraction of the time; `None` without a control or with too few processes.
    pub noise_floor: Option<f64>,
    /// Pages in the queried population, as a percentage of the pages of all boot sections; `None`
    /// for the default population.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_percent: Option<f64>,
    /// Results by layout.
    pub cells: Vec<LookupCell>,
    /// Samples by layout.
    #[serde(skip)]
    samples: BTreeMap<String, Samples>,
    /// Log ratios of each control to the layout it repeats, one per process, by id of the control.
    #[serde(skip)]
    controls: BTreeMap<String, Vec<f64>>,
    /// Every judged pair of layouts, once each, in order of importance. The first id is the layout
    /// that is judged.
    #[serde(skip)]
    pairs: Vec<([String; 2], Pair)>,
}

/// A comparison of two layouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Geometric mean over processes of the ratio; above 1, the first layout is slower. `None` if
    /// either time is less than three times that of the empty loop.
    pub ratio: Option<f64>,
    /// Corrected confidence interval of the ratio; `None` with too few processes or without a
    /// ratio.
    pub interval: Option<(f64, f64)>,
    /// The 95 % confidence interval of this ratio alone, without correction.
    pub interval_95: Option<(f64, f64)>,
    /// Ratio of the whole times and its 95 % interval, the loop included: closer to 1 than the ratio
    /// of the lookups, and there even close to the empty loop.
    pub whole: Option<(f64, Option<(f64, f64)>)>,
    /// Mean over processes of the difference in ns per operation; `None` if every sample was
    /// disturbed.
    pub difference_ns: Option<f64>,
    /// Verdict on the first layout.
    pub verdict: Verdict,
    /// The noise floor that was applied, as a fraction of the time.
    pub noise_floor: Option<f64>,
    /// Number of processes with enough undisturbed samples.
    pub processes: usize,
}

impl Pair {
    /// The same comparison with the two layouts exchanged.
    fn inverted(self) -> Self {
        let inverse = |(low, high): (f64, f64)| (1.0 / high, 1.0 / low);
        Self {
            ratio: self.ratio.map(f64::recip),
            interval: self.interval.map(inverse),
            interval_95: self.interval_95.map(inverse),
            whole: self.whole.map(|(ratio, interval)| (ratio.recip(), interval.map(inverse))),
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

    /// The cells of layouts; the bound is none.
    pub fn layouts(&self) -> impl Iterator<Item = &LookupCell> {
        self.cells.iter().filter(|cell| cell.layout != NO_CHECK)
    }

    /// The layout with the lowest time.
    pub fn fastest(&self) -> Option<&LookupCell> {
        let timed = self.layouts().filter_map(|cell| Some((cell, cell.median_ns?)));
        timed.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(cell, _)| cell)
    }

    /// The direct comparison of two layouts, not by way of the reference. `None` if the pair was
    /// not judged: a layout has no samples, or no report needs the pair.
    pub fn pair(&self, layout: &str, to: &str) -> Option<Pair> {
        self.pairs.iter().find_map(|([a, b], pair)| match (a.as_str(), b.as_str()) {
            names if names == (layout, to) => Some(*pair),
            names if names == (to, layout) => Some(pair.inverted()),
            _ => None,
        })
    }

    /// The ratio of the whole times of any two layouts and its 95 % interval, the loop included. It describes and is not
    /// judged, so no other comparison widens it. `None` if a layout has no samples.
    pub fn whole_ratio(&self, layout: &str, to: &str) -> Option<(f64, Option<(f64, f64)>)> {
        let (logs, _) = compared(self.samples.get(layout)?, self.samples.get(to)?);
        let interval = Estimate::from_processes(&logs).map(|estimate| estimate.interval(0.05));
        Some((mean(&logs)?.exp(), interval.map(|(low, high)| (low.exp(), high.exp()))))
    }

    /// The judged pairs: the layout that is judged, the one it is compared with, and the result.
    pub fn pairs(&self) -> impl Iterator<Item = ([&str; 2], &Pair)> {
        self.pairs.iter().map(|([layout, to], pair)| ([layout.as_str(), to.as_str()], pair))
    }

    /// True for a headline case.
    fn is_headline(&self) -> bool {
        let group = LookupGroup { preempt: false, ..self.group };
        HEADLINES.iter().any(|(op, on)| group == headline_group(*op) && self.memory == *on)
    }

    /// The pairs that a table, a sentence or a program needs, once each, and whether they belong to
    /// the headline family.
    fn asked_pairs(&self, reference: &str) -> Vec<([String; 2], bool)> {
        let is_timed = |layout: &str| self.samples.get(layout).is_some_and(|samples| !samples.is_empty());
        let is_headline = self.is_headline();
        let layouts = || self.cells.iter().map(|cell| cell.layout.as_str());
        let of_series = self.group.op == LookupOp::PfnValid && self.group.mode == Mode::Independent;
        let series = [[LINUX.0, LINUX.1], [SERIES.0, SERIES.1], [AS_POSTED, SERIES.1]];
        let compiled = layouts().filter(|layout| layout.starts_with(COMPILED)).map(|layout| [layout, LINUX.1]);
        let series = series.into_iter().chain(compiled).filter(|_| of_series);
        let best = self.fastest().map(|cell| cell.layout.as_str()).filter(|_| is_headline);
        let with_best = layouts().filter_map(|layout| Some([layout, best?]));
        let like = layouts().filter(|layout| self.is_like(layout, reference));
        let with_reference = like.map(|layout| [layout, reference]);
        let first = series.chain(with_best).map(|pair| (pair, is_headline));
        // What Linux could gain, and what remains to the bound.
        let is_of_gain = |layout: &&str| layout.starts_with(COMPILED) || [LINUX.0, WALKER, NO_CHECK].contains(layout);
        let of_gain = layouts().filter(is_of_gain).filter(|layout| self.is_like(WINNER, layout));
        let of_gain = of_gain.map(|layout| [WINNER, layout]);
        let mut asked: Vec<([String; 2], bool)> = Vec::new();
        for ([layout, to], is_first) in first.chain(with_reference.chain(of_gain).map(|pair| (pair, false))) {
            let is_known = asked.iter().any(|(pair, _)| pair == &[layout, to] || pair == &[to, layout]);
            if layout != to && is_timed(layout) && is_timed(to) && !is_known {
                asked.push(([layout.to_owned(), to.to_owned()], is_first));
            }
        }
        asked
    }

    /// True if a layout's time is less than three times that of the empty loop.
    fn is_near_loop(&self, layout: &str) -> bool {
        let ns = self.cell(layout).and_then(|cell| cell.median_ns);
        ns.is_some_and(|ns| is_near_loop(ns, self.floor_ns))
    }

    /// True if the answers of both layouts reach the next address in the same way. A predicted
    /// branch is not a chain, so a ratio between the two would be meaningless.
    fn is_like(&self, a: &str, b: &str) -> bool {
        let is_branch = |layout| self.cell(layout).is_some_and(LookupCell::is_branch);
        is_branch(a) == is_branch(b)
    }

    /// The largest half-width of the uncorrected 95 % intervals of the log ratios to a reference.
    /// It is infinite if a layout was measured in fewer than `least` processes.
    pub fn half_width(&self, reference: &str, least: usize) -> f64 {
        let Some(to) = self.samples.get(reference) else { return 0.0 };
        let measured = self.samples.iter().filter(|(layout, samples)| *layout != reference && !samples.is_empty());
        let width = |samples: &Samples| {
            let logs = compared(samples, to).0;
            let estimate = Estimate::from_processes(&logs).filter(|_| logs.len() >= least);
            estimate.map_or(f64::INFINITY, |estimate| {
                let (low, high) = estimate.interval(0.05);
                (high - low) / 2.0
            })
        };
        measured
            .filter(|(layout, _)| self.is_like(layout, reference))
            .map(|(_, samples)| width(samples))
            .fold(0.0, f64::max)
    }

    /// Noise floor for a comparison of two layouts. A layout does not serve as control in its own
    /// comparison.
    fn noise_floor_for(&self, pair: [&str; 2]) -> Option<f64> {
        let others = self.controls.iter().filter(|(layout, _)| !pair.contains(&layout.as_str()));
        noise_floor(&others.map(|(_, logs)| logs.clone()).collect::<Vec<_>>())
    }

    /// True if each query depends on the answer before, and the rows do not say whether as data or
    /// as a branch.
    pub fn is_unlabelled(&self) -> bool {
        self.group.op == LookupOp::PfnValid
            && self.group.mode == Mode::Chained
            && self.cells.iter().any(|cell| cell.median_ns.is_some() && cell.dependency.is_none())
    }
}

/// Times in ns per operation by process and boot, then by sample; `None` if a slice was disturbed.
type Samples = BTreeMap<(u32, u32), BTreeMap<u32, Option<f64>>>;

fn samples<'a>(rows: impl Iterator<Item = &'a &'a Row>) -> Samples {
    let mut samples = Samples::new();
    for row in rows.filter(|row| row.value.is_some()) {
        let of_boot = samples.entry((row.process, row.boot.unwrap_or(0))).or_default();
        of_boot.insert(row.sample.unwrap_or(0), row.value.filter(|_| !row.disturbed));
    }
    samples
}

/// The estimate of a boot with this number of samples. Only cold tables and runs of earlier
/// versions have a single sample.
fn low(values: &[f64], taken: usize) -> Option<f64> {
    if taken < LEAST_SAMPLES { values.first().copied() } else { low_quartile(values.iter().copied()) }
}

/// Log ratios and differences of two layouts, one per process: means over boots of the ratio and
/// difference of lower quartiles. Only rounds in which neither layout was disturbed count.
fn compared(samples: &Samples, to: &Samples) -> (Vec<f64>, Vec<f64>) {
    let mut by_process: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for ((process, boot), of_boot) in samples {
        let Some(to_boot) = to.get(&(*process, *boot)) else { continue };
        let pairs = of_boot.iter().filter_map(|(sample, ns)| ns.zip(*to_boot.get(sample)?));
        let (of_pairs, to_pairs): (Vec<f64>, Vec<f64>) = pairs.unzip();
        let taken = of_boot.len().max(to_boot.len());
        let Some((ns, to)) = low(&of_pairs, taken).zip(low(&to_pairs, taken)) else { continue };
        by_process.entry(*process).or_default().push(((ns / to).ln(), ns - to));
    }
    let means = by_process.values().filter_map(|boots| {
        let (logs, differences): (Vec<f64>, Vec<f64>) = boots.iter().copied().unzip();
        mean(&logs).zip(mean(&differences))
    });
    means.unzip()
}

/// Time of a layout in each process, in ns per operation: the mean over boots of the lower
/// quartile.
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

/// Noise floor of rows of one group and kind of memory, from the control and the layout it repeats.
pub(crate) fn noise_floor_of(rows: &[&Row]) -> Option<f64> {
    let layouts: BTreeSet<&str> = rows.iter().map(|row| row.layout.as_str()).collect();
    let of_layout = |layout: &str| samples(rows.iter().filter(|row| row.layout == layout));
    let by_layout: BTreeMap<String, Samples> =
        layouts.iter().map(|layout| ((*layout).to_owned(), of_layout(layout))).collect();
    noise_floor(&controls(&by_layout, rows).into_values().collect::<Vec<_>>())
}

/// Log ratios of the controls to the layout they repeat, by id of the control.
fn controls(by_layout: &BTreeMap<String, Samples>, rows: &[&Row]) -> BTreeMap<String, Vec<f64>> {
    let namesake = rows.iter().find_map(|row| row.control_of.as_deref()).unwrap_or(crate::case::REFERENCE);
    let Some(to) =
        by_layout.get(namesake).filter(|_| by_layout.get(CONTROL).is_some_and(|samples| !samples.is_empty()))
    else {
        return BTreeMap::new();
    };
    // A layout that runs identical code over its own tables is a further control, unless it reads
    // records, which may be placed differently.
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
            let floor_ns = floors.get(&group).and_then(|floors| median(floors.iter().copied()));
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
        let logs: Vec<f64> = of_processes.values().filter(|ns| **ns > 0.0).map(|ns| ns.ln()).collect();
        let median_ns = median(of_processes.into_values());
        let interval = Estimate::from_processes(&logs).map(|estimate| estimate.interval(0.05));
        let lost = (median_ns.is_none() && disturbed > 0).then(|| "every sample was disturbed".to_owned());
        Some(LookupCell {
            layout: layout.clone(),
            median_ns,
            quartiles_ns: quantile(&values, 0.25).zip(quantile(&values, 0.75)),
            interval_ns: median_ns.zip(interval).map(|(ns, (low, high))| (low.exp().min(ns), high.exp().max(ns))),
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

/// Judges every pair. The headline pairs (the cost of the sub-section map, and the winner of each
/// headline against the others) form one family. All others form a second one with a
/// false-discovery rate. The winner is chosen from the same data, so the correction is for all
/// pairs of layouts of a headline.
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
            let (line, ([layout, to], is_first)): (&LookupLine, _) = (&lines[at], pair);
            if is_of_family(*is_first) {
                let (logs, differences) = compared(&line.samples[layout], &line.samples[to]);
                let noise_floor = line.noise_floor_for([layout, to]);
                comparisons.push(Comparison { log_ratio: Estimate::from_processes(&logs), noise_floor });
                found.push((at, [layout.clone(), to.clone()], logs, differences));
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
                whole: mean(&logs).map(|log| (log.exp(), judged.interval_95)),
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

/// True if the times of the line can be averaged over operations: valid pages in random order, or
/// the walk.
pub fn is_of_means(line: &LookupLine) -> bool {
    let is_usual = line.group == headline_group(line.group.op) && LookupOp::COUNTED.contains(&line.group.op);
    is_usual && line.group.population == Population::Common
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

    /// Rows of processes and boots that differ slightly. The layout `a` takes `ratio` times the time of the reference.
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
        let summary = Summary::from_rows(rows);
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
    fn an_exchanged_pair_has_the_inverted_verdict() {
        let summary = Summary::from_rows(&run(1.5, 0.005));
        let line = summary.lookup(headline_group(LookupOp::PfnValid), Memory::Boot).unwrap();
        let (one, other) = (line.pair("a", REFERENCE).unwrap(), line.pair(REFERENCE, "a").unwrap());
        assert_eq!((one.verdict, other.verdict), (Verdict::Slower, Verdict::Faster));
        assert!((one.ratio.unwrap() * other.ratio.unwrap() - 1.0).abs() < 1e-12);
        assert!(one.difference_ns.unwrap() > 0.0 && other.difference_ns == one.difference_ns.map(|ns| -ns));
        for (one, other) in [(one.interval, other.interval), (one.interval_95, other.interval_95)] {
            let ((low, high), (a, b)) = (one.unwrap(), other.unwrap());
            assert!(1.0 < low && low < high && a < b && b < 1.0 && (a * high - 1.0).abs() < 1e-12);
        }
        assert_eq!((one.noise_floor, one.processes), (other.noise_floor, other.processes));
    }

    #[test]
    fn a_layout_is_not_a_control_in_its_own_comparison() {
        let mut rows = run(1.05, 0.005);
        for row in rows.iter_mut().filter(|row| row.layout == "a" && row.metric == "time") {
            row.same_code = true;
        }
        let summary = Summary::from_rows(&rows);
        let line = summary.lookup(headline_group(LookupOp::PfnValid), Memory::Boot).unwrap();
        assert!(
            line.noise_floor > Some(0.02),
            "a layout with the same code that differs by 5 % raises the noise floor of the others"
        );
        assert!(line.pair("a", REFERENCE).unwrap().noise_floor < Some(0.01));
    }

    #[test]
    fn without_a_control_every_verdict_is_undecided() {
        let mut rows = run(1.5, 0.005);
        rows.retain(|row| row.layout != CONTROL);
        let cell = cell(&rows);
        assert_eq!((cell.verdict, cell.ratio.is_some()), (Some(Verdict::Undecided), true));
    }

    #[test]
    fn disturbed_samples_are_dropped_in_pairs_and_only_if_reported() {
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
        let summary = Summary::from_rows(&all);
        let cell = summary.lookups[0].cell("a").unwrap();
        assert_eq!((cell.median_ns, cell.disturbed_percent), (None, 100.0));
        assert_eq!(cell.verdict, Some(Verdict::Undecided), "unusable samples give the verdict undecided");
        assert_eq!(cell.reason.as_deref(), Some("every sample was disturbed"));
    }

    /// A pair has one verdict, in whichever order it is read and whichever layout is fastest.
    #[test]
    fn a_pair_has_one_verdict_in_both_orders() {
        for ratio in [0.7, 0.97, 1.0, 1.03, 1.5] {
            let summary = Summary::from_rows(&run(ratio, 0.01));
            let line = &summary.lookups[0];
            let (there, back) = (line.pair("a", REFERENCE).unwrap(), line.pair(REFERENCE, "a").unwrap());
            let cell = line.cell("a").unwrap();
            assert_eq!((Some(there.verdict), there.interval), (cell.verdict, cell.ratio_interval));
            assert_eq!(there.verdict == Verdict::Slower, back.verdict == Verdict::Faster);
            assert_eq!(there.verdict == Verdict::Equal, back.verdict == Verdict::Equal);
            let ((low, high), (back_low, back_high)) = (there.interval.unwrap(), back.interval.unwrap());
            assert!((low * back_high - 1.0).abs() < 1e-9 && (high * back_low - 1.0).abs() < 1e-9);
            assert_eq!(line.pairs().count(), 1, "each pair once");
        }
    }

    #[test]
    fn times_close_to_the_empty_loop_have_no_ratio() {
        let mut rows = run(1.5, 0.005);
        let floor = Row { metric: "floor".into(), layout: "loop".into(), ..sample("loop", 0, 0, 0, 0.5) };
        rows.push(floor);
        let near = cell(&rows);
        assert_eq!((near.ratio, near.ratio_interval), (None, None));
        assert!(
            near.difference_ns.is_some() && near.verdict == Some(Verdict::Slower),
            "the empty loop cancels out of the difference"
        );
        rows.last_mut().unwrap().value = Some(0.4);
        assert!(cell(&rows).ratio.is_some());
    }

    #[test]
    fn layouts_are_compared_directly() {
        let mut rows = run(1.5, 0.005);
        rows.push(row("b", "footprint", "index", Some(1.0)));
        let of_a: Vec<Row> = rows.iter().filter(|row| row.layout == "a" && row.metric == "time").cloned().collect();
        // Always 10 % above `a`, with the same spread.
        rows.extend(of_a.into_iter().map(|row| Row { layout: "b".into(), value: row.value.map(|v| 1.1 * v), ..row }));
        let summary = Summary::from_rows(&rows);
        let line = &summary.lookups[0];
        // The reference is the fastest of the three, and nothing needs the pair of b and a.
        assert_eq!(line.pair("b", "a"), None);
        let (whole, (low, high)) = line.whole_ratio("b", "a").map(|(ratio, ends)| (ratio, ends.unwrap())).unwrap();
        assert!((whole - 1.1).abs() < 1e-6 && low <= whole && whole <= high, "a ratio of any two, without a verdict");
        assert_eq!(line.whole_ratio("b", "none"), None);
        let judged = Summary::judged(&rows, "a", 0.02);
        let pair = judged.lookups[0].pair("b", "a").unwrap();
        assert!((pair.ratio.unwrap() - 1.1).abs() < 1e-6 && pair.verdict == Verdict::Slower, "{pair:?}");
        let (low, high) = pair.interval.unwrap();
        assert!(high - low < 0.001, "variation that a and b share cancels out");
    }

    #[test]
    fn processes_have_equal_weight() {
        let mut rows = run(1.0, 0.0);
        rows.retain(|row| row.layout != "a" || row.metric != "time");
        // A process with many samples has the same weight as one with few.
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
