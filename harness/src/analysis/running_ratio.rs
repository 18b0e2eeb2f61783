//! The ratios of the headline while a run goes on, so that a user sees their intervals tighten.

use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{LINUX, SERIES, Summary};
use crate::case::{CONTROL, LookupOp, Memory};
use crate::record::row::Row;
use crate::units::{interval, ratio};

/// The time of `pfn_valid` with sub-sections divided by that without, from what was measured so far.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningRatio {
    /// Whether boot or added memory is queried.
    pub memory: Memory,
    /// Id of the layout with sub-sections.
    pub layout: &'static str,
    /// Id of the layout without.
    pub than: &'static str,
    /// The ratio of times, loop included; above 1 is slower.
    pub ratio: f64,
    /// Its 95 % confidence interval; `None` with too few processes.
    pub interval: Option<(f64, f64)>,
    /// Number of processes that measured both.
    pub processes: usize,
}

impl RunningRatio {
    /// In few words: `added 2.69× [2.61, 2.77]`.
    pub fn in_words(&self) -> String {
        let interval = self.interval.map_or_else(
            || format!(" ({} of {PROCESSES_FOR_INTERVAL} processes)", self.processes),
            |ends| format!(" {}", interval(ends)),
        );
        format!("{} {}×{interval}", self.memory.name(), ratio(self.ratio))
    }
}

/// The ratios on added and on boot memory of the first pair that was measured: Linux with and without the series,
/// or the same in Rust. `rows` are those of one map.
pub fn of_headline(rows: &[Row]) -> Vec<RunningRatio> {
    let compared: Vec<&str> = [LINUX, SERIES].into_iter().flat_map(|(with, without)| [with, without]).collect();
    let is_compared = |row: &&Row| {
        row.op == LookupOp::PfnValid.name() && (row.layout == CONTROL || compared.contains(&row.layout.as_str()))
    };
    let rows: Vec<Row> = rows.iter().filter(is_compared).cloned().collect();
    for (layout, than) in [LINUX, SERIES] {
        let summary = Summary::against(&rows, than);
        let of = |memory: Memory| {
            let pair = summary.headline(LookupOp::PfnValid, memory)?.pair(layout, than)?;
            let (ratio, interval) = pair.whole?;
            Some(RunningRatio { memory, layout, than, ratio, interval, processes: pair.processes })
        };
        let ratios: Vec<RunningRatio> = [Memory::Added, Memory::Boot].into_iter().filter_map(of).collect();
        if !ratios.is_empty() {
            return ratios;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{LookupGroup, Pattern};
    use crate::record::row::tests::row;

    #[test]
    fn intervals_come_with_enough_processes_and_tighten() {
        let rows = |processes: u32| -> Vec<Row> {
            let timed = |process: u32, layout: &str, ns: f64| {
                let ns = ns * (1.0 + 0.01 * f64::from(process % 3));
                let timed = Row { process, sample: Some(0), ..row(layout, "", "time", Some(ns)) };
                timed.with_lookup(&LookupGroup::plain(LookupOp::PfnValid, Pattern::Random), Memory::Added)
            };
            (0..processes)
                .flat_map(|process| {
                    [timed(process, SERIES.0, 2.0), timed(process, SERIES.1, 1.0 + 0.01 * f64::from(process % 2))]
                })
                .collect()
        };
        assert_eq!(of_headline(&[]), []);
        let few = &of_headline(&rows(2))[0];
        assert_eq!((few.layout, few.than, few.interval), (SERIES.0, SERIES.1, None));
        assert!(few.in_words().starts_with("added 1.99×") && few.in_words().contains("(2 of 5 processes)"), "{few:?}");
        let width = |processes| {
            let (low, high) = of_headline(&rows(processes))[0].interval.unwrap();
            high - low
        };
        assert!(width(20) < width(5), "{} {}", width(20), width(5));
    }
}
