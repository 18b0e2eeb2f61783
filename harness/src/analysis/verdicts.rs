//! The verdicts of a run as programs read them, and whether the run can judge what it is for.

use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{LookupLine, Pair, SERIES, Summary};
use crate::case::{LookupOp, Memory, THIS_MACHINE, on_map};
use crate::units::percent;
use serde::Serialize;

/// A verdict on a layout in a case.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The case without the layout: `pfn_valid/added/random`, on other maps `pfn_valid/added/random@scattered-64`.
    pub case: String,
    /// The layout that is judged.
    pub layout: String,
    /// The layout that it is compared with.
    pub reference: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Ratio of the times; above 1 is slower. Absent near the time of the loop alone.
    pub ratio: Option<f64>,
    /// Difference of the times in ns an operation.
    pub difference_ns: Option<f64>,
    /// Corrected interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// The 95 % interval of this ratio alone.
    pub interval_95: Option<(f64, f64)>,
    /// How far apart the same layout can be from itself, as a share of the time.
    pub noise_floor: Option<f64>,
}

/// All verdicts of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdicts {
    /// Are the verdicts of the headline decided?
    pub can_judge: bool,
    /// Why not, in sentences.
    pub reasons: Vec<String>,
    /// Was the headline measured at all? Whoever chose other cases did not ask for it.
    #[serde(skip)]
    pub has_headline: bool,
    /// Every verdict, the headline first.
    pub verdicts: Vec<Record>,
}

/// The lines that the headline is made of.
fn headline_lines(summary: &Summary) -> impl Iterator<Item = &LookupLine> {
    [Memory::Added, Memory::Boot].into_iter().filter_map(|on| summary.headline(LookupOp::PfnValid, on))
}

/// The verdicts of the maps of a run, the main one first.
pub fn of_run(maps: &[(String, Summary)]) -> Verdicts {
    let mut headline = Vec::new();
    let mut reasons = Vec::new();
    if let Some((_, main)) = maps.first() {
        for line in headline_lines(main) {
            let case = line.group.name(line.memory);
            let Some(pair) = line.pair(SERIES.0, SERIES.1) else { continue };
            if !pair.verdict.is_decided() {
                reasons.push(format!("{case}: {}.", why_undecided(line, &pair, main.margin)));
            }
            headline.push(record(case, [SERIES.0, SERIES.1], &pair));
        }
    }
    let nr_headline = headline.len();
    if nr_headline == 0 {
        let (with, without) = SERIES;
        reasons.push(format!(
            "The cases that were chosen leave out the headline, pfn_valid/added/random and pfn_valid/boot/random of {with} and {without}."
        ));
    }
    let mut verdicts = headline;
    for (at, (map, summary)) in maps.iter().enumerate() {
        for line in &summary.lookups {
            let case = on_map(&line.group.name(line.memory), if at == 0 { THIS_MACHINE } else { map });
            for (names, pair) in line.pairs() {
                let is_known = |of: &Record| of.case == case && names == [of.layout.as_str(), of.reference.as_str()];
                if !verdicts.iter().take(nr_headline).any(is_known) {
                    verdicts.push(record(case.clone(), names, pair));
                }
            }
        }
    }
    Verdicts { can_judge: reasons.is_empty(), has_headline: nr_headline > 0, reasons, verdicts }
}

fn record(case: String, [layout, reference]: [&str; 2], pair: &Pair) -> Record {
    Record {
        case,
        layout: layout.to_owned(),
        reference: reference.to_owned(),
        verdict: pair.verdict,
        ratio: pair.ratio,
        difference_ns: pair.difference_ns,
        interval: pair.interval,
        interval_95: pair.interval_95,
        noise_floor: pair.noise_floor,
    }
}

/// Why nothing can be said of a pair.
fn why_undecided(line: &LookupLine, pair: &Pair, margin: f64) -> String {
    let disturbed = line.cells.iter().map(|cell| cell.disturbed_percent).fold(0.0, f64::max);
    let dropped =
        if disturbed > 0.0 { format!("; up to {disturbed:.0} % of the samples were disturbed") } else { String::new() };
    let Some(floor) = pair.noise_floor else {
        return format!("there is no control to tell the noise floor by{dropped}");
    };
    if pair.processes < PROCESSES_FOR_INTERVAL {
        return format!(
            "{} of the {PROCESSES_FOR_INTERVAL} processes that an interval needs had enough undisturbed samples{dropped}",
            pair.processes
        );
    }
    let interval = pair.interval.map(|(low, high)| format!(", {low:.3} to {high:.3},")).unwrap_or_default();
    format!(
        "the interval of the ratio{interval} is neither within the margin of {} nor beyond the noise floor of {}{dropped}",
        percent(margin),
        percent(floor)
    )
}
