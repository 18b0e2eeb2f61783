//! How close the cost of a model is to that of the kernel that it models, from a run with both.

use super::compare::Run;
use super::judge::Verdict;
use super::summary::Summary;
use serde::Serialize;

/// A lookup of a kernel and its model on one map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Id of the kernel's own code, e.g. `compiled-6.1`.
    pub kernel: String,
    /// Id of the layout that models it.
    pub model: String,
    /// Name of the map.
    pub map: String,
    /// Name of the case, e.g. `pfn_valid/added/random`.
    pub case: String,
    /// Time of the model divided by that of the kernel; `None` if either is close to the empty loop.
    pub ratio: Option<f64>,
    /// Its 95 % confidence interval.
    pub interval_95: Option<(f64, f64)>,
    /// Equal if the difference is within the margin.
    pub verdict: Verdict,
}

/// The cells of a run for pairs of a kernel and its model. Times that differ by less than `margin`, a
/// fraction, are equal.
pub fn cells(run: &Run, pairs: &[(String, String)], margin: f64) -> Vec<Cell> {
    let of_map = |map: &String, (kernel, model): &(String, String)| {
        let summary = Summary::judged(&run.on(map), kernel, margin);
        let cell = |line: &super::summary::LookupLine| {
            let pair = line.pair(model, kernel)?;
            Some(Cell {
                kernel: kernel.clone(),
                model: model.clone(),
                map: map.clone(),
                case: line.group.name(line.memory),
                ratio: pair.ratio,
                interval_95: pair.interval_95,
                verdict: pair.verdict,
            })
        };
        summary.lookups.iter().filter_map(cell).collect::<Vec<_>>()
    };
    pairs.iter().flat_map(|pair| run.maps.iter().flat_map(move |map| of_map(map, pair))).collect()
}

/// Number of cells within the margin, of cells that are decided, and of all.
pub fn counts(cells: &[Cell]) -> (usize, usize, usize) {
    let within = cells.iter().filter(|cell| cell.verdict == Verdict::Equal).count();
    let decided = cells.iter().filter(|cell| cell.verdict.is_decided()).count();
    (within, decided, cells.len())
}
