//! What a run found, in a few sentences, and how far it can be trusted.

use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{LINUX, LookupLine, Pair, SERIES, Summary, WINNER};
use crate::analysis::verdicts::Verdicts;
use crate::case::{LookupOp, Memory, NO_CHECK};
use crate::present::table;
use crate::units::{percent, ratio, time};

/// How a layout compares with another, as the end of a sentence:
/// `2.69× slower on added memory (1.86 ns instead of 0.69 ns)`.
fn told(line: &LookupLine, pair: &Pair, layout: &str, than: &str) -> String {
    let on = format!("on {} memory", line.memory.name());
    let ns = |layout: &str| line.cell(layout)?.median_ns.map(time);
    let times =
        ns(layout).zip(ns(than)).map(|(this, other)| format!(" ({this} instead of {other})")).unwrap_or_default();
    let word = match pair.verdict {
        Verdict::Undecided => return format!("undecided {on}{times}"),
        Verdict::Equal => return format!("equal {on}{times}"),
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
    };
    let as_times = |ratio: f64| if pair.verdict == Verdict::Slower { ratio } else { ratio.recip() };
    // The loop is in both times, so close to it the ratio is a lower bound.
    match (pair.ratio, pair.whole) {
        (Some(exact), _) => format!("{}× {word} {on}{times}", ratio(as_times(exact))),
        (None, Some((whole, _))) => format!("at least {}× {word} {on}{times}", ratio(as_times(whole))),
        (None, None) => format!("{word} {on}{times}"),
    }
}

/// `pfn_valid` of a layout and of another that it is compared with.
type Compared = (&'static str, &'static str);

/// The comparison on added and on boot memory.
fn pairs(main: &Summary, (layout, than): Compared) -> impl Iterator<Item = (&LookupLine, Pair)> {
    let lines = [Memory::Added, Memory::Boot].into_iter().filter_map(|on| main.headline(LookupOp::PfnValid, on));
    lines.filter_map(move |line| Some((line, line.pair(layout, than)?)))
}

/// The comparisons of the finding: Linux with and without the series, and Linux with the layout that beats it.
fn of_finding(main: &Summary) -> [Option<Compared>; 2] {
    let has = |pair: &Compared| pairs(main, *pair).next().is_some();
    [[LINUX, SERIES].into_iter().find(has), [(LINUX.0, WINNER), (SERIES.0, WINNER)].into_iter().find(has)]
}

/// What the run found, in at most three sentences.
pub fn findings(main: &Summary) -> Vec<String> {
    let both = |pair: Compared| {
        pairs(main, pair).map(|(line, found)| told(line, &found, pair.0, pair.1)).collect::<Vec<_>>().join(", and ")
    };
    let [series, winner] = of_finding(main);
    let mut sentences = Vec::new();
    if let Some((with, without)) = series {
        let both = both((with, without));
        sentences.push(format!("pfn_valid with sub-sections ({with}) against without ({without}): {both}."));
    }
    if let Some((linux, winner)) = winner {
        sentences.push(format!("{linux} against {winner}, one byte a section: {}.", both((linux, winner))));
    }
    if sentences.is_empty() {
        sentences.extend(table::findings(main).into_iter().take(3));
    }
    sentences
}

/// The most reasons that are printed for a headline without a verdict.
const REASONS: usize = 2;

/// How far a run can be trusted, and why. `interference` is what disturbed it, and `advice` what to do
/// without a verdict.
pub fn trust(main: &Summary, judged: &Verdicts, interference: Option<&str>, advice: Option<&str>) -> String {
    let Verdicts { can_judge, has_headline, reasons, verdicts } = judged;
    // The bound is no layout, and what differs from it is no finding.
    let verdicts =
        || verdicts.iter().filter(|record| ![&record.layout, &record.reference].contains(&&NO_CHECK.to_owned()));
    let decided = verdicts().filter(|record| record.verdict.is_decided()).count();
    let headline = [Memory::Added, Memory::Boot].into_iter().filter_map(|on| main.headline(LookupOp::PfnValid, on));
    let floor = headline.filter_map(|line| line.noise_floor).reduce(f64::max);
    let mut said = "Trust:".to_owned();
    if *has_headline && *can_judge {
        let floor = floor.map(|floor| format!(" (noise floor {})", percent(floor))).unwrap_or_default();
        let [_, winner] = of_finding(main);
        let is_decided = |pair: Option<Compared>| {
            pair.is_none_or(|pair| pairs(main, pair).all(|(_, found)| found.verdict.is_decided()))
        };
        let what = if is_decided(winner) { "the finding" } else { "the cost of sub-sections" };
        said.push_str(&format!(" {what} is decided{floor};"));
    }
    let nr = verdicts().count();
    said.push_str(&format!(" {decided} of {nr} verdicts are decided, from {}.", processes(main.processes)));
    if !has_headline {
        said.push_str(" The headline was not selected.");
    } else if !can_judge {
        let own = reasons.iter().filter(|reason| Some(reason.as_str()) != interference);
        // With too few processes, nothing else matters.
        let own = if (main.processes as usize) < PROCESSES_FOR_INTERVAL { Vec::new() } else { merged(own) };
        said.push_str(" No verdict on the headline");
        said.push_str(if own.is_empty() { "." } else { ":" });
        own.iter().take(REASONS).for_each(|reason| said.push_str(&format!(" {reason}")));
        if own.len() > REASONS {
            said.push_str(&format!(" (+ {} more)", own.len() - REASONS));
        }
    }
    for more in [interference, advice].into_iter().flatten() {
        said.push_str(&format!(" {more}"));
    }
    if let Some(late) = table::nr_not_measured(main) {
        said.push_str(&format!(" {late}"));
    }
    said
}

/// The reasons, where those of several cases that say the same are one.
fn merged<'a>(reasons: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut merged: Vec<(Vec<&str>, &str)> = Vec::new();
    for reason in reasons {
        let (case, why) = reason.split_once(": ").unwrap_or(("", reason));
        match merged.iter_mut().find(|(_, known)| *known == why) {
            Some((cases, _)) if cases.contains(&case) => {}
            Some((cases, _)) => cases.push(case),
            None => merged.push((vec![case], why)),
        }
    }
    let told = |(cases, why): (Vec<&str>, &str)| match cases[..] {
        [""] => why.to_owned(),
        _ => format!("{}: {why}", cases.join(", ")),
    };
    merged.into_iter().map(told).collect()
}

fn processes(nr: u32) -> String {
    match nr as usize {
        few if few < PROCESSES_FOR_INTERVAL => {
            format!("{nr} of the {PROCESSES_FOR_INTERVAL} processes that an interval needs")
        }
        _ => format!("{nr} processes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::verdicts::Record;

    /// What differs from the bound is no finding.
    #[test]
    fn verdicts_on_the_bound_do_not_count() {
        let record = |layout: &str, reference: &str, verdict| Record {
            case: "pfn_valid/added/random".to_owned(),
            layout: layout.to_owned(),
            reference: reference.to_owned(),
            verdict,
            ratio: None,
            difference_ns: None,
            interval: None,
            interval_95: None,
            noise_floor: None,
        };
        let verdicts = vec![
            record("sparse", "flat", Verdict::Equal),
            record("dax", "flat", Verdict::Undecided),
            record(NO_CHECK, "flat", Verdict::Faster),
            record("flat", NO_CHECK, Verdict::Slower),
        ];
        let judged = Verdicts { can_judge: true, reasons: Vec::new(), has_headline: true, verdicts };
        let main = Summary::from_rows(&[]);
        let said = trust(&main, &judged, Some("Other programs ran."), None);
        assert!(
            said.starts_with("Trust: the finding is decided; 1 of 2 verdicts are decided, from 1 of the 5"),
            "{said}"
        );
        assert!(said.ends_with("Other programs ran."), "{said}");
        let judged = Verdicts { can_judge: false, reasons: vec!["It was busy.".to_owned()], ..judged };
        let said = trust(&main, &judged, None, Some("Wait."));
        assert!(said.ends_with("an interval needs. No verdict on the headline. Wait."), "{said}");
        let main = Summary { processes: 7, ..main };
        let said = trust(&main, &judged, None, Some("Wait."));
        assert!(
            said.ends_with("No verdict on the headline: It was busy. Wait.") && !said.contains("the finding"),
            "{said}"
        );
        let reasons = ["a: Wide.", "a: Wide.", "b: Wide.", "No control.", "Other.", "Programs ran."];
        let judged = Verdicts { reasons: reasons.map(str::to_owned).into(), ..judged };
        let said = trust(&main, &judged, Some("Programs ran."), Some("Wait."));
        assert!(said.ends_with("headline: a, b: Wide. No control. (+ 1 more) Programs ran. Wait."), "{said}");
    }
}
