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

/// How many cells are within the margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Cells that are equal within the margin.
    pub within: usize,
    /// Cells with a verdict.
    pub decided: usize,
    /// All cells.
    pub cells: usize,
}

impl Counts {
    /// Counts cells.
    pub fn of(cells: &[Cell]) -> Self {
        let within = cells.iter().filter(|cell| cell.verdict == Verdict::Equal).count();
        let decided = cells.iter().filter(|cell| cell.verdict.is_decided()).count();
        Self { within, decided, cells: cells.len() }
    }

    /// True if nine in ten decided cells are within the margin; `None` if none is decided.
    pub fn suffice(self) -> Option<bool> {
        (self.decided > 0).then_some(self.within * 10 >= self.decided * 9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_in_ten_decided_cells_suffice() {
        let counts = |verdicts: &[(Verdict, usize)]| {
            let cells = verdicts.iter().flat_map(|&(verdict, nr)| {
                let (kernel, model) = ("compiled-6.1".to_owned(), "linux-6.1".to_owned());
                let (map, case) = ("m".to_owned(), "c".to_owned());
                vec![Cell { kernel, model, map, case, ratio: None, interval_95: None, verdict }; nr]
            });
            Counts::of(&cells.collect::<Vec<_>>())
        };
        let (equal, slower, faster) = (Verdict::Equal, Verdict::Slower, Verdict::Faster);
        assert_eq!(counts(&[(equal, 9), (slower, 1), (Verdict::Undecided, 5)]).suffice(), Some(true));
        assert_eq!(counts(&[(equal, 8), (slower, 1)]).suffice(), Some(false));
        assert_eq!(counts(&[(equal, 8), (faster, 1)]).suffice(), Some(false), "too fast is as wrong");
        let undecided = counts(&[(Verdict::Undecided, 3)]);
        assert_eq!((undecided, undecided.suffice()), (Counts { within: 0, decided: 0, cells: 3 }, None));
    }
}
