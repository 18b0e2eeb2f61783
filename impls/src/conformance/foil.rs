//! The series as posted, held to the merged rules: it must fail where its bugs are, and nowhere else.

use super::*;
use crate::layouts::Subsection;
use crate::placement::InMemory;
use crate::rules::V6;

/// The cases in which v6 fails, each with what fails it. A case that is not here must pass, and one that is here must fail.
pub const V6_FAILS: &[(&str, &str)] = &[
    ("T-07", "B-02: boot sections are not valid as a whole"),
    ("T-08", "B-01: the last range that touches a section overwrites the bits of those before"),
    ("T-09", "B-02: boot sections are not valid as a whole; B-04: what is there is added with success"),
    ("T-11", "B-13: the word codes a null map"),
    ("T-12", "B-04: an overlap is reported as success"),
    ("T-13", "patch 8: additions are not checked against a grid (the check came with v7 to v10)"),
    ("T-20", "B-04: an overlap is reported as success"),
    ("T-21", "B-04: an overlap is reported as success"),
    ("T-22", "B-04: an overlap is reported as success"),
    ("T-23", "B-06: a section that mixes a device with RAM is not marked"),
    ("T-24", "B-06: pfn_to_online_page stops at the section, so pages of a device in it look online"),
    ("T-27", "B-13: the word of an emptied section keeps a pointer"),
    ("T-30", "patch 8: a removal off the grid is carried out where no memory blocks are concerned"),
    ("T-31", "B-02: boot sections are not valid as a whole; B-07: records of a boot section go with a part of it"),
    ("T-32", "B-07: records of a boot section go with a part of it, and are used again without being there"),
    ("T-33", "B-13: the word of an emptied section keeps a pointer"),
    ("T-35", "B-02: boot sections are not valid as a whole; B-07: records of a boot section go with a part of it"),
    ("T-39", "B-01: boot ranges do not add up; B-04: overlaps succeed"),
    ("T-51", "B-05: the span of ZONE_DEVICE shrinks, by records that may not be initialised"),
    ("T-58", "patch 8: a mapping that begins 1 MiB past a sub-section is not refused"),
];

/// How the foil did in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoilVerdict {
    /// It fails where it must; the rule that fails it, and how it shows.
    FailsAsItMust {
        /// The bug.
        rule: &'static str,
        /// What the case found.
        found: String,
    },
    /// It passes where it may.
    Passes,
    /// It does not apply.
    Skipped(&'static str),
    /// It passes a case that it must fail, or fails another: foil or case is not what it is thought to be.
    Unexpected(String),
}

/// One case on the foil.
#[derive(Clone, Debug)]
pub struct FoilRun {
    /// The case.
    pub case: &'static str,
    /// How it did.
    pub verdict: FoilVerdict,
}

/// Runs the cases on v6.
pub fn run_foil() -> Vec<FoilRun> {
    type Foil = Subsection<X86_64, V6, InMemory>;
    // The merged rules, not its own, say what it should do.
    let mut suite = Suite { on: On::X86, runs: Vec::new() };
    let merged = <Subsection as Memmap>::CAPS;
    suite.run::<X86_64>(Foil::ID, merged, cases_for_all::<Foil>());
    suite.run::<X86_64>(Foil::ID, merged, cases_with_hotplug::<Foil>());
    let verdict = |run: &Run| {
        let rule = V6_FAILS.iter().find(|(case, _)| *case == run.case).map(|(_, rule)| *rule);
        match (run.outcome.clone(), rule) {
            (Outcome::Failed(found), Some(rule)) => FoilVerdict::FailsAsItMust { rule, found },
            (Outcome::Failed(found), None) => FoilVerdict::Unexpected(format!("fails: {found}")),
            (_, Some(rule)) => FoilVerdict::Unexpected(format!("does not fail, though: {rule}")),
            (Outcome::Passed, None) => FoilVerdict::Passes,
            (Outcome::Skipped(why), None) => FoilVerdict::Skipped(why),
        }
    };
    // What goes beyond the numbered cases is this project's, and v6 never promised it.
    let numbered = suite.runs.iter().filter(|run| run.is_numbered());
    numbered.map(|run| FoilRun { case: run.case, verdict: verdict(run) }).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn v6_fails_exactly_where_it_must() {
        let runs = run_foil();
        let unexpected: Vec<_> = runs.iter().filter(|run| matches!(run.verdict, FoilVerdict::Unexpected(_))).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
        for run in &runs {
            if let FoilVerdict::FailsAsItMust { rule, found } = &run.verdict {
                println!("{} fails: {found} [{rule}]", run.case);
            }
        }
        let listed: std::collections::BTreeSet<_> = V6_FAILS.iter().map(|(case, _)| *case).collect();
        assert_eq!(listed.len(), V6_FAILS.len(), "each case once");
        for case in ["T-07", "T-08", "T-12", "T-13", "T-20", "T-31"] {
            assert!(listed.contains(case), "{case}");
        }
    }
}
