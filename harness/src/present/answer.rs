//! What a run found, in a few sentences, and how far it can be trusted.

use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{LINUX, LookupLine, SERIES, Summary, WINNER};
use crate::analysis::verdicts::Verdicts;
use crate::case::{LookupOp, Memory, NO_CHECK};
use crate::present::table;
use crate::units::{percent, ratio, time};

/// How a layout compares with another, as the end of a sentence:
/// `2.69× slower on added memory (1.86 ns instead of 0.69 ns)`.
fn told(line: &LookupLine, layout: &str, than: &str) -> Option<String> {
    let pair = line.pair(layout, than)?;
    let on = format!("on {} memory", line.memory.name());
    let ns = |layout: &str| line.cell(layout)?.median_ns.map(time);
    let times =
        ns(layout).zip(ns(than)).map(|(this, other)| format!(" ({this} instead of {other})")).unwrap_or_default();
    let word = match pair.verdict {
        Verdict::Undecided => return Some(format!("undecided {on}{times}")),
        Verdict::Equal => return Some(format!("equal {on}{times}")),
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
    };
    let as_times = |ratio: f64| if pair.verdict == Verdict::Slower { ratio } else { ratio.recip() };
    // The loop is in both times, so close to it the ratio is a lower bound.
    Some(match (pair.ratio, pair.whole) {
        (Some(exact), _) => format!("{}× {word} {on}{times}", ratio(as_times(exact))),
        (None, Some((whole, _))) => format!("at least {}× {word} {on}{times}", ratio(as_times(whole))),
        (None, None) => format!("{word} {on}{times}"),
    })
}

/// What the run found, in at most three sentences.
pub fn findings(main: &Summary) -> Vec<String> {
    let lines =
        || [Memory::Added, Memory::Boot].into_iter().filter_map(|memory| main.headline(LookupOp::PfnValid, memory));
    let both = |layout: &str, than: &str| {
        let told: Vec<String> = lines().filter_map(|line| told(line, layout, than)).collect();
        (!told.is_empty()).then(|| told.join(", and "))
    };
    let mut sentences = Vec::new();
    let series = [LINUX, SERIES].into_iter().find_map(|pair| Some((pair, both(pair.0, pair.1)?)));
    if let Some(((with, without), both)) = series {
        sentences.push(format!("pfn_valid with sub-sections ({with}) against without ({without}): {both}."));
    }
    let linux = [LINUX.0, SERIES.0].into_iter().find_map(|linux| Some((linux, both(linux, WINNER)?)));
    if let Some((linux, both)) = linux {
        sentences.push(format!("{linux} against {WINNER}, one byte a section: {both}."));
    }
    if sentences.is_empty() {
        sentences.extend(table::findings(main).into_iter().take(3));
    }
    sentences
}

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
        said.push_str(&format!(" the finding is decided{floor};"));
    }
    let nr = verdicts().count();
    said.push_str(&format!(" {decided} of {nr} verdicts are decided, from {}.", processes(main.processes)));
    if !has_headline {
        said.push_str(" The headline was not selected.");
    } else if !can_judge {
        let reasons = reasons.iter().take(2).map(String::as_str).chain(advice);
        said.push_str(&format!(" No verdict on the headline: {}", reasons.collect::<Vec<_>>().join(" ")));
    }
    if let Some(interference) = interference.filter(|_| *can_judge) {
        said.push(' ');
        said.push_str(interference);
    }
    said
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
        assert!(
            said.ends_with("No verdict on the headline: It was busy. Wait.") && !said.contains("the finding"),
            "{said}"
        );
    }
}
