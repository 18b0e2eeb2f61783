//! The verdicts of a duel: each layout of the new build compared with the same layout of the old
//! one.

use super::referee::Samples;
use crate::analysis::judge::{Comparison, Family, Verdict, judge};
use crate::analysis::statistics::{Estimate, low_quartile, mean, median, noise_floor};
use crate::analysis::summary::is_near_loop;
use crate::engine::duel::Lane;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The change in time, in ns per operation, that placement of code and data alone can cause: about
/// a third of a cycle. In the shortest lookups (0.2 ns) 3 % were observed.
const PLACEMENT_NS: f64 = 0.1;

/// The same as a fraction of the time, for instructions that moved. In walks (110 ns) 7 % were
/// observed.
const PLACEMENT_PARTS: f64 = 0.1;

/// How the machine code of a loop differs between the builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Code {
    /// The same instructions at the same offset in a cache line.
    Same,
    /// The same instructions at another offset in a cache line; the time may change although the
    /// code did not.
    Moved,
    /// The instructions differ.
    Changed,
    /// Machine code cannot be read on this architecture.
    Unknown,
}

impl Code {
    fn from_lanes(old: &Lane, new: &Lane) -> Self {
        match (old.code, new.code) {
            (Some(a), Some(b)) if a != b => Self::Changed,
            (Some(_), Some(_)) if old.offset_in_line != new.offset_in_line => Self::Moved,
            (Some(_), Some(_)) => Self::Same,
            _ => Self::Unknown,
        }
    }

    /// The name in tables, e.g. `same`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Moved => "moved",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }
}

/// The comparison of one layout in one case between the builds.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Name of the case without the layout.
    pub case: String,
    /// Id of the layout, e.g. `subsection`.
    pub layout: String,
    /// The reference of the comparison; always `old`.
    pub reference: &'static str,
    /// Time of the old build, in ns per operation; `None` if every slice was disturbed.
    pub old: Option<f64>,
    /// Time of the new build, in ns per operation; `None` if every slice was disturbed.
    pub new: Option<f64>,
    /// The verdict on the new build.
    pub verdict: Verdict,
    /// Time of the new build divided by the old build's: above 1 is slower. Absent if either time
    /// is within three times the empty loop's.
    pub ratio: Option<f64>,
    /// Time of the new build minus the old build's, in ns per operation.
    pub difference_ns: Option<f64>,
    /// Interval of the ratio, corrected for multiple comparisons.
    pub interval: Option<(f64, f64)>,
    /// Difference between two boots of the old build, as a fraction of the time.
    pub noise_floor: Option<f64>,
    /// How the machine code differs.
    pub code: Code,
    /// Instructions per operation in the old build and in the new one, including the loop. Present
    /// if valgrind counted them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<(f64, f64)>,
    /// Pairs of workers that measured the case; cases with wide intervals are measured in more.
    pub pairs: usize,
    /// Samples that were disturbed, in percent.
    pub disturbed_percent: f64,
}

impl Record {
    /// True if the instructions are the same and the difference is small enough to come from
    /// placement.
    fn may_be_placement(&self) -> bool {
        let parts = match self.code {
            Code::Same => 0.0,
            Code::Moved => PLACEMENT_PARTS,
            Code::Changed | Code::Unknown => return false,
        };
        let least = self.old.map_or(PLACEMENT_NS, |old| PLACEMENT_NS.max(parts * old));
        self.verdict.is_difference() && self.difference_ns.is_some_and(|ns| ns.abs() < least)
    }
}

/// The result of a duel.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// True if enough was measured for a verdict.
    pub can_judge: bool,
    /// Why there is no verdict; empty if there is one.
    pub reasons: Vec<String>,
    /// One comparison for each case and layout.
    pub verdicts: Vec<Record>,
    /// Layouts that only the new build has.
    pub new_layouts: Vec<String>,
    /// Layouts that only the old build has.
    pub removed_layouts: Vec<String>,
    /// Layouts whose machine code is the same in every case that was measured.
    pub same_code: Vec<String>,
    /// Number of pairs of workers that were measured.
    pub pairs: usize,
}

/// Times of one boot of a lane in one pair of workers: of the old build and of the new one.
fn boot_times(samples: &Samples) -> Option<(f64, f64)> {
    let rounds = || samples.rounds.iter().filter_map(|(old, new)| old.zip(*new));
    Some((low_quartile(rounds().map(|round| round.0))?, low_quartile(rounds().map(|round| round.1))?))
}

/// The values of all pairs for a layout in a case.
#[derive(Default)]
struct Values {
    old_ns: Vec<f64>,
    new_ns: Vec<f64>,
    /// Logarithms of the ratio of new to old; and of one boot of the old build to another.
    logs: Vec<f64>,
    differences: Vec<f64>,
    control: Vec<f64>,
    /// Time of the loop without a lookup, in ns per operation.
    loop_ns: Option<f64>,
    samples: usize,
    disturbed: usize,
    code: BTreeSet<Code>,
}

/// Judges the results of the pairs of workers. Relative differences up to `margin` are negligible.
pub fn judged(pairs: &[Vec<Samples>], margin: f64) -> Vec<Record> {
    let mut values: BTreeMap<(String, String), Values> = BTreeMap::new();
    for pair in pairs {
        let mut lanes: BTreeMap<(String, String), Vec<&Samples>> = BTreeMap::new();
        for samples in pair {
            lanes.entry((samples.old.case.clone(), samples.old.layout.clone())).or_default().push(samples);
        }
        for (key, boots) in lanes {
            let cell = values.entry(key).or_default();
            for samples in &boots {
                cell.samples += samples.rounds.len();
                cell.disturbed += samples.rounds.iter().filter(|(old, new)| old.is_none() || new.is_none()).count();
                cell.code.insert(Code::from_lanes(&samples.old, &samples.new));
                cell.loop_ns = cell.loop_ns.into_iter().chain(samples.old.loop_ns).reduce(f64::min);
            }
            let times: Vec<(f64, f64)> = boots.iter().filter_map(|samples| boot_times(samples)).collect();
            let logs: Vec<f64> = times.iter().map(|(old, new)| (new / old).ln()).collect();
            let differences: Vec<f64> = times.iter().map(|(old, new)| new - old).collect();
            cell.logs.extend(mean(&logs));
            cell.differences.extend(mean(&differences));
            cell.old_ns.extend(mean(&times.iter().map(|time| time.0).collect::<Vec<_>>()));
            cell.new_ns.extend(mean(&times.iter().map(|time| time.1).collect::<Vec<_>>()));
            if let [first, second, ..] = times[..] {
                // A mean of two boots varies less than one boot, by a factor of the square root of
                // two.
                cell.control.push((first.0 / second.0).ln() / std::f64::consts::SQRT_2);
            }
        }
    }
    // The noise between two boots is estimated best from all layouts of a case together.
    let mut controls: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
    for ((case, _), cell) in &values {
        controls.entry(case).or_default().push(cell.control.clone());
    }
    let floors: BTreeMap<String, Option<f64>> =
        controls.into_iter().map(|(case, controls)| (case.to_owned(), noise_floor(&controls))).collect();
    let mut comparisons = Vec::new();
    let mut records = Vec::new();
    for ((case, layout), cell) in values {
        let floor = floors.get(&case).copied().flatten();
        comparisons.push(Comparison { log_ratio: Estimate::from_processes(&cell.logs), noise_floor: floor });
        let (old, new) = (median(cell.old_ns.iter().copied()), median(cell.new_ns.iter().copied()));
        let is_near_loop = [old, new].into_iter().flatten().any(|ns| is_near_loop(ns, cell.loop_ns));
        records.push(Record {
            reference: "old",
            old,
            new,
            verdict: Verdict::Undecided,
            ratio: mean(&cell.logs).map(f64::exp).filter(|_| !is_near_loop),
            difference_ns: mean(&cell.differences),
            interval: None,
            noise_floor: floor,
            // The largest change among the processes.
            code: cell.code.last().copied().unwrap_or(Code::Unknown),
            instructions: None,
            pairs: cell.logs.len(),
            disturbed_percent: 100.0 * cell.disturbed as f64 / cell.samples.max(1) as f64,
            case,
            layout,
        });
    }
    for (record, judged) in records.iter_mut().zip(judge(Family::Rest, &comparisons, margin)) {
        (record.verdict, record.interval) = (judged.verdict, judged.interval.filter(|_| record.ratio.is_some()));
        if record.may_be_placement() {
            record.verdict = Verdict::Undecided;
        }
    }
    records
}

/// The cases in which some layout has no interval yet, or in which half an uncorrected interval is
/// `width` or wider.
pub fn wide_cases(pairs: &[Vec<Samples>], width: f64) -> BTreeSet<String> {
    let mut logs: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        let mut pair_logs: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        for samples in pair {
            let boots = pair_logs.entry((&samples.old.case, &samples.old.layout)).or_default();
            boots.extend(boot_times(samples).map(|(old, new)| (new / old).ln()));
        }
        for (key, boots) in pair_logs {
            logs.entry(key).or_default().extend(mean(&boots));
        }
    }
    let is_wide = |logs: &[f64]| {
        let interval = Estimate::from_processes(logs).map(|estimate| estimate.interval(0.05));
        interval.is_none_or(|(low, high)| (high - low) / 2.0 >= width)
    };
    logs.iter().filter(|(_, logs)| is_wide(logs)).map(|((case, _), _)| (*case).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::judge::MARGIN;
    use crate::case::LookupGroup;
    use crate::case::LookupOp;
    use crate::case::Memory;
    use crate::case::Pattern;

    fn lane(layout: &str, boot: u32, code: u64, offset_in_line: u64) -> Lane {
        let group = LookupGroup::plain(LookupOp::PfnValid, Pattern::Random);
        Lane {
            case: group.name(Memory::Added),
            group,
            memory: Memory::Added,
            layout: layout.to_owned(),
            boot,
            batches: 10,
            nr_batches: 16,
            queries: Some(1),
            answers: Some(1),
            code: Some(code),
            offset_in_line,
            counted_ops: None,
            loop_ns: None,
        }
    }

    /// Pairs in which layout `a` of the new build takes `ratio` times the old build's time, and `b`
    /// the same time.
    fn pairs(nr: usize, ratio: f64) -> Vec<Vec<Samples>> {
        let samples = |pair: usize, layout: &str, boot: u32, ratio: f64| {
            let luck = 1.0 + 0.003 * ((pair * 2 + boot as usize) % 3) as f64;
            let (code, offset) = if layout == "a" && ratio != 1.0 { (2, 0) } else { (1, 32) };
            let rounds = (0..5).map(|round| {
                let noise = 1.0 + 0.001 * f64::from(round % 2);
                (Some(luck * noise), if round == 4 { None } else { Some(luck * noise * ratio) })
            });
            Samples { old: lane(layout, boot, 1, 0), new: lane(layout, boot, code, offset), rounds: rounds.collect() }
        };
        let pair = |pair| {
            let boots = (0..2).flat_map(move |boot| [("a", boot, ratio), ("b", boot, 1.0)]);
            boots.map(|(layout, boot, ratio)| samples(pair, layout, boot, ratio)).collect()
        };
        (0..nr).map(pair).collect()
    }

    #[test]
    fn only_the_slower_layout_is_slower() {
        let records = judged(&pairs(7, 1.05), MARGIN);
        let record = |layout: &str| records.iter().find(|record| record.layout == layout).unwrap();
        assert_eq!((record("a").verdict, record("b").verdict), (Verdict::Slower, Verdict::Equal));
        assert_eq!((record("a").code, record("b").code), (Code::Changed, Code::Moved));
        assert!(
            (record("a").ratio.unwrap() - 1.05).abs() < 0.001 && (record("a").disturbed_percent - 20.0).abs() < 1e-9
        );
        assert!(record("a").noise_floor.is_some_and(|floor| floor < 0.01), "{:?}", record("a"));
        assert_eq!(judged(&pairs(7, 0.9), MARGIN)[0].verdict, Verdict::Faster);
        assert_eq!(judged(&pairs(4, 1.5), MARGIN)[0].verdict, Verdict::Undecided, "four pairs are too few");
    }

    #[test]
    fn moved_code_needs_a_larger_difference_than_changed_code() {
        let verdict = |ns: f64, ratio: f64, offset_in_line: u64| {
            let mut pairs = pairs(7, 1.0);
            for samples in pairs.iter_mut().flatten() {
                samples.new.offset_in_line = offset_in_line;
                for (old, new) in &mut samples.rounds {
                    (*old, *new) = (old.map(|old| old * ns), new.map(|new| new * ns * ratio));
                }
            }
            let record = judged(&pairs, MARGIN).remove(0);
            (record.code, record.verdict)
        };
        assert_eq!(verdict(1.0, 1.06, 32), (Code::Moved, Verdict::Undecided), "0.06 ns");
        assert_eq!(verdict(5.0, 1.06, 32), (Code::Moved, Verdict::Undecided), "0.3 ns, but less than 10 %");
        assert_eq!(verdict(5.0, 1.2, 32), (Code::Moved, Verdict::Slower), "20 % is more than placement can cause");
        assert_eq!(verdict(5.0, 1.06, 0), (Code::Same, Verdict::Slower), "the code is at the same offset");
    }

    #[test]
    fn times_near_that_of_the_empty_loop_have_no_ratio() {
        let mut near = pairs(7, 1.5);
        near.iter_mut().flatten().for_each(|samples| samples.old.loop_ns = Some(0.4));
        let record = judged(&near, MARGIN).remove(0);
        assert_eq!((record.ratio, record.interval, record.verdict), (None, None, Verdict::Slower));
        assert!(record.difference_ns.is_some_and(|ns| ns > 0.4));
        near.iter_mut().flatten().for_each(|samples| samples.old.loop_ns = Some(0.3));
        assert!(judged(&near, MARGIN)[0].ratio.is_some());
    }

    #[test]
    fn a_case_is_wide_until_every_layout_has_a_narrow_interval() {
        let case = pairs(1, 1.0)[0][0].old.case.clone();
        let all = BTreeSet::from([case]);
        assert_eq!(wide_cases(&pairs(4, 1.0), 0.01), all, "four pairs are too few");
        assert_eq!(wide_cases(&pairs(7, 1.05), 0.01), BTreeSet::new());
        assert_eq!(wide_cases(&pairs(7, 1.05), 1e-6), all);
        let mut disturbed = pairs(7, 1.0);
        for samples in disturbed.iter_mut().skip(3).flatten().filter(|samples| samples.old.layout == "a") {
            samples.rounds.fill((None, None));
        }
        assert_eq!(wide_cases(&disturbed, 0.01), all, "one layout has three pairs left");
    }
}
