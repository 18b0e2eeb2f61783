//! The foil: the series as posted, checked against the merged rules. It must fail the cases that
//! its bugs affect, and no others.

use super::list::{cases_for_all, cases_with_hotplug};
use super::runner::Suite;
use super::*;
use crate::layouts::Subsection;
use crate::rules::V6;

/// The cases in which v6 fails, each with the rule that causes the failure. Every case that is not
/// listed must pass, and every listed one must fail.
pub const V6_FAILS: &[(&str, &str)] = &[
    ("T-07", "B-02: boot sections are not valid as a whole"),
    ("T-08", "B-01: the last range of a section overwrites the bits of earlier ones"),
    ("T-09", "B-02: boot sections are not valid as a whole; B-04: adding present memory is reported as success"),
    ("T-11", "B-13: the word codes a null map"),
    ("T-12", "B-04: an overlap is reported as success"),
    ("T-13", "patch 8: the alignment of additions is not checked (the check came with v7 to v10)"),
    ("T-20", "B-04: an overlap is reported as success"),
    ("T-21", "B-04: an overlap is reported as success"),
    ("T-22", "B-04: an overlap is reported as success"),
    ("T-23", "B-06: a section with both device memory and RAM is not marked"),
    ("T-24", "B-06: pfn_to_online_page checks the section only, so device pages in it look online"),
    ("T-27", "B-13: the word of an emptied section keeps a pointer"),
    ("T-30", "patch 8: a misaligned removal is carried out if the caller says that no memory blocks are concerned"),
    ("T-31", "B-02: boot sections are not valid as a whole; B-07: removing part of a boot section releases records"),
    ("T-32", "B-07: removing part of a boot section releases records, which are then used again"),
    ("T-33", "B-13: the word of an emptied section keeps a pointer"),
    ("T-35", "B-02: boot sections are not valid as a whole; B-07: removing part of a boot section releases records"),
    ("T-39", "B-01: boot ranges do not add up; B-04: an overlap is reported as success"),
    ("T-51", "B-05: the span of ZONE_DEVICE shrinks, which reads records that may be uninitialised"),
    ("T-58", "patch 8: a mapping that begins 1 MiB past a sub-section is not refused"),
];

/// Result of a case on the foil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoilVerdict {
    /// It fails as expected.
    FailsAsItMust {
        /// The rule with the bug that causes the failure.
        rule: &'static str,
        /// The failure message of the case.
        found: String,
    },
    /// It passes as expected.
    Passes,
    /// The case does not apply; the string says why.
    Skipped(&'static str),
    /// It passes a case that it must fail, or fails another. Either the foil or the case is wrong.
    Unexpected(String),
}

/// The result of one case on the foil.
#[derive(Clone, Debug)]
pub struct FoilRun {
    /// Id of the conformance case, e.g. `T-14`.
    pub case: &'static str,
    /// The result, compared with [`V6_FAILS`].
    pub verdict: FoilVerdict,
}

/// Runs the numbered cases on the foil, v6.
pub fn run_foil() -> Vec<FoilRun> {
    type Foil = Subsection<X86_64, V6>;
    // The merged rules, not its own, say what it should do.
    let mut suite = Suite::new(&|_, _| true);
    let merged = <Subsection as Memmap>::CAPS;
    suite.run::<X86_64>(Foil::ID, merged, cases_for_all::<Foil>());
    suite.run::<X86_64>(Foil::ID, merged, cases_with_hotplug::<Foil>());
    let verdict = |run: &Run| {
        let rule = V6_FAILS.iter().find(|(case, _)| *case == run.case).map(|(_, rule)| *rule);
        match (run.outcome.clone(), rule) {
            (Outcome::Failed(found), Some(rule)) => FoilVerdict::FailsAsItMust { rule, found },
            (Outcome::Failed(found), None) => FoilVerdict::Unexpected(format!("fails: {found}")),
            (_, Some(rule)) => FoilVerdict::Unexpected(format!("does not fail, although it should: {rule}")),
            (Outcome::Passed, None) => FoilVerdict::Passes,
            (Outcome::Skipped(why), None) => FoilVerdict::Skipped(why),
        }
    };
    // Cases without a number are guarantees of this project, which v6 never made.
    let numbered = suite.runs.iter().filter(|run| run.is_numbered());
    numbered.map(|run| FoilRun { case: run.case, verdict: verdict(run) }).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::geometry::Arm64Pages4KOf2019;
    use crate::rules::Merged;

    type With<G, R> = Subsection<G, R>;

    /// Patch 6 as posted: the caller of a removal says whether memory blocks are concerned; if so,
    /// parts of sections are refused. The merged series looks the blocks up, so a wrong statement
    /// has no effect.
    #[test]
    fn v6_takes_the_callers_word_for_memory_blocks() {
        fn part_with_blocks<R: crate::rules::Rules>() -> Result<(), i32> {
            let layout = boot::<With<X86_64, R>>(&BootMap::default()).unwrap();
            let part = range(0x8000, 0x200);
            add(&layout, part).unwrap();
            let how = RemoveParams { memblock_api: true };
            layout.remove(part, &how, &mut ()).map_err(|error| error.errno())
        }
        assert_eq!(part_with_blocks::<V6>(), Err(EINVAL));
        assert_eq!(part_with_blocks::<Merged>(), Ok(()));
    }

    /// The scenario in the comments on the series: arm64 with sections of 1 GiB, and 16 MiB of a
    /// device added as RAM in the block that begins at 7 GiB. Both v6 (its sub-sections are 64ths)
    /// and the merged series track it. Onlining fails for both, as it should, and the block stays
    /// offline.
    #[test]
    fn sixteen_mebibytes_of_a_gibibyte_do_not_go_online() {
        fn scene<R: crate::rules::Rules>() -> (u64, Result<(), i32>, &'static str) {
            let machine = machine::<With<Arm64Pages4KOf2019, R>>(&BootMap::default()).unwrap();
            let part = range(0x1c0000 + 0x3000, 0x1000);
            let how = AddParams { kind: MemoryKind::Ram, ..AddParams::default() };
            machine.layout().add(part, &how, &mut ()).unwrap();
            let block = machine.force_block(part, 0).unwrap();
            let online = machine.write_state(block, "online_movable").map_err(|error| error.errno());
            (map(machine.layout(), 7), online, machine.read_state(block).unwrap())
        }
        assert_eq!(scene::<V6>(), (1 << 3, Err(16), "offline"));
        assert_eq!(scene::<Merged>(), (0xff << 24, Err(22), "offline"));
    }

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
