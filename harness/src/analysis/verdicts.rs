//! The verdicts of a run in machine-readable form, and whether its headline is decided.

use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{LINUX, LookupLine, Pair, SERIES, Summary};
use crate::case::{LookupOp, Memory, THIS_MACHINE, on_map};
use crate::units::{interval, percent};
use serde::Serialize;

/// The verdict on one layout in one case.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Name of the case without the layout: `pfn_valid/added/random`, or on other maps
    /// `pfn_valid/added/random@scattered-64`.
    pub case: String,
    /// Id of the layout that is judged.
    pub layout: String,
    /// Id of the layout that it is compared with.
    pub reference: String,
    /// Whether `layout` is faster or slower than `reference`.
    pub verdict: Verdict,
    /// Time of `layout` over that of `reference`; above 1 is slower. `None` if either time is close
    /// to that of the empty loop.
    pub ratio: Option<f64>,
    /// Time of `layout` minus that of `reference`, in ns per operation.
    pub difference_ns: Option<f64>,
    /// Corrected confidence interval of the ratio.
    pub interval: Option<(f64, f64)>,
    /// The 95 % confidence interval of this ratio alone, without correction.
    pub interval_95: Option<(f64, f64)>,
    /// Noise floor as a fraction of the time; `None` without a control.
    pub noise_floor: Option<f64>,
}

/// All verdicts of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdicts {
    /// True if the headline was measured and all its verdicts are decided.
    pub can_judge: bool,
    /// Why `can_judge` is false, in sentences; empty if it is true.
    pub reasons: Vec<String>,
    /// True if the headline was measured. It is false if the user selected other cases.
    #[serde(skip)]
    pub has_headline: bool,
    /// Every verdict, the headline first.
    pub verdicts: Vec<Record>,
}

/// The lines of the headline: `pfn_valid` on added and on boot memory.
fn headline_lines(summary: &Summary) -> impl Iterator<Item = &LookupLine> {
    [Memory::Added, Memory::Boot].into_iter().filter_map(|on| summary.headline(LookupOp::PfnValid, on))
}

/// Collects the verdicts of all maps of a run. The first map is the main one.
pub fn collect(maps: &[(String, Summary)]) -> Verdicts {
    let mut headline = Vec::new();
    let mut reasons = Vec::new();
    if let Some((_, main)) = maps.first() {
        for line in headline_lines(main) {
            let case = line.group.name(line.memory);
            for (with, without) in [LINUX, SERIES] {
                let Some(pair) = line.pair(with, without) else { continue };
                if !pair.verdict.is_decided() {
                    reasons.push(format!("{case}: {}.", why_undecided(line, &pair, main.margin)));
                }
                headline.push(record(case.clone(), [with, without], &pair));
            }
        }
    }
    let nr_headline = headline.len();
    if nr_headline == 0 {
        let [linux, idea] = [LINUX, SERIES].map(|(with, without)| format!("{with} and {without}"));
        reasons.push(format!(
            "The selected cases do not include the headline: pfn_valid/added/random and pfn_valid/boot/random of \
             {linux}, or of {idea}."
        ));
    }
    let mut verdicts = headline;
    for (at, (map, summary)) in maps.iter().enumerate() {
        for line in &summary.lookups {
            let case = on_map(&line.group.name(line.memory), if at == 0 { THIS_MACHINE } else { map });
            for (names, pair) in line.pairs() {
                let is_known =
                    |known: &Record| known.case == case && names == [known.layout.as_str(), known.reference.as_str()];
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

/// Explains why the verdict on a pair is undecided.
fn why_undecided(line: &LookupLine, pair: &Pair, margin: f64) -> String {
    let disturbed = line.cells.iter().map(|cell| cell.disturbed_percent).fold(0.0, f64::max);
    let dropped =
        if disturbed > 0.0 { format!("; up to {disturbed:.0} % of the samples were disturbed") } else { String::new() };
    let Some(floor) = pair.noise_floor else {
        return format!("there is no control, so the noise floor is unknown{dropped}");
    };
    if pair.processes < PROCESSES_FOR_INTERVAL {
        return format!(
            "only {} of the {PROCESSES_FOR_INTERVAL} processes that an interval needs had enough undisturbed \
             samples{dropped}",
            pair.processes
        );
    }
    let interval = pair.interval.map(|ends| format!(" {}", interval(ends))).unwrap_or_default();
    format!(
        "the interval of the ratio{interval} is neither within the margin of {} nor beyond the noise floor of \
         {}{dropped}",
        percent(margin),
        percent(floor)
    )
}
