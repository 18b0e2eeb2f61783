//! What is looked up, and how: queries prepared for a layout, every answer checked before any is timed.

use super::loops;
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{Geometry, Lookup, Memmap, Page, Pfn, PfnRange};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ptr::NonNull;
use std::str::FromStr;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupOp {
    /// Is there a record?
    PfnValid,
    /// Where is the record of a valid pfn?
    PfnToPage,
    /// Whose record is this?
    PageToPfn,
    /// The walker's idiom: valid, then the record.
    ValidToPage,
    /// The walk over a map with holes: the next valid pfn, one of each sub-section. Its unit is a section of memory walked.
    NextValidPfn,
}

impl LookupOp {
    /// All lookups, in the order of reports.
    pub const ALL: [LookupOp; 5] =
        [Self::PfnValid, Self::PfnToPage, Self::PageToPfn, Self::ValidToPage, Self::NextValidPfn];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::PfnValid => "pfn_valid",
            Self::PfnToPage => "pfn_to_page",
            Self::PageToPfn => "page_to_pfn",
            Self::ValidToPage => "valid_to_page",
            Self::NextValidPfn => "next_valid_pfn",
        }
    }

    /// How its lookups can depend on each other; the first is what its name alone means.
    pub fn modes(self) -> &'static [Mode] {
        match self {
            Self::PfnValid | Self::PfnToPage | Self::PageToPfn => &[Mode::Independent, Mode::Chained],
            Self::ValidToPage => &[Mode::Touching, Mode::Chained],
            Self::NextValidPfn => &[Mode::Chained],
        }
    }

    /// The mode that its name alone means.
    pub fn usual_mode(self) -> Mode {
        self.modes()[0]
    }

    /// True if some layout reads the record in this mode, so that it is driven only where records are backed.
    pub fn reads_records(self, mode: Mode) -> bool {
        self == Self::PageToPfn || self == Self::ValidToPage && mode == Mode::Touching
    }

    /// May it be asked for an invalid pfn?
    pub fn bears_invalid(self) -> bool {
        matches!(self, Self::PfnValid | Self::ValidToPage)
    }
}

impl fmt::Display for LookupOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LookupOp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|op| op.name() == text)
            .ok_or(format!("no such lookup; there are {}", all.join(", ")))
    }
}

/// How lookups depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// None waits for another: a processor overlaps them.
    Independent,
    /// The next address waits for the answer.
    Chained,
    /// None waits for another, and the record that was found is read.
    Touching,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 3] = [Self::Independent, Self::Chained, Self::Touching];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Chained => "chained",
            Self::Touching => "touching",
        }
    }
}

/// One kind of lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The lookup.
    pub op: LookupOp,
    /// How lookups depend on each other; one of [`LookupOp::modes`].
    pub mode: Mode,
    /// With the pair of preemption counts around each `pfn_valid`.
    pub preempt: bool,
}

impl Asked {
    /// The lookup as its name alone means it.
    pub fn plain(op: LookupOp) -> Self {
        Self { op, mode: op.usual_mode(), preempt: false }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Queries {
    /// These page frames.
    Pfns(Vec<Pfn>),
    /// A walk over a range that holds memory in so many sections.
    Walk {
        /// From its start, which begins a sub-section, to its end.
        range: PfnRange,
        /// Sections of memory in it: what a time is divided by, the same for every layout.
        nr_sections: u64,
    },
}

impl Queries {
    /// True if there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Pfns(pfns) => pfns.is_empty(),
            Self::Walk { range, nr_sections } => range.is_empty() || *nr_sections == 0,
        }
    }
}

/// Queries for one layout, with the answer that they must add up to.
#[derive(Debug)]
pub struct Prepared {
    asked: Asked,
    pfns: Vec<Pfn>,
    /// For `page_to_pfn`: the records of `pfns`. They stay as long as their sections do.
    pages: Vec<NonNull<Page>>,
    walk: Option<(PfnRange, u64)>,
    expected: u64,
}

/// Looks the queries up one by one, checks every answer against the oracle's, and adds them up.
///
/// Where `backed` says that a record can be read, it is, and it must be its pfn's own.
///
/// # Errors
/// The first wrong answer.
pub fn prepare<L: Memmap>(
    layout: &L,
    asked: Asked,
    queries: &Queries,
    oracle: &Oracle<L::Geometry>,
    backed: impl Fn(Pfn) -> bool,
) -> Result<Prepared, String> {
    match queries {
        Queries::Pfns(pfns) => prepare_pfns(layout, asked, pfns, |pfn| oracle.pfn_valid(L::CAPS.validity, pfn), backed),
        Queries::Walk { range, nr_sections } => {
            let found = loops::walk(layout, Pfn(range.start()), Pfn(range.end()));
            let expected = walk_of::<L::Geometry>(&oracle.valid_runs(L::CAPS.validity), *range);
            if found != expected {
                return Err(format!(
                    "{}: the pages of a walk over {range} add up to {found:#x}, not {expected:#x}",
                    L::ID
                ));
            }
            Ok(Prepared { asked, pfns: Vec::new(), pages: Vec::new(), walk: Some((*range, *nr_sections)), expected })
        }
    }
}

/// Sum of the first page frame of every sub-section of `range` that lies in one of the runs.
fn walk_of<G: Geometry>(runs: &[PfnRange], range: PfnRange) -> u64 {
    let mut sum = 0u64;
    for run in runs {
        let (start, end) = (run.start().max(range.start()), run.end().min(range.end()));
        if start >= end {
            continue;
        }
        let (first, last) = (start >> G::PFN_SUBSECTION_SHIFT, (end - 1) >> G::PFN_SUBSECTION_SHIFT);
        let count = u128::from(last - first + 1);
        let subsections = (u128::from(first) + u128::from(last)) * count / 2;
        sum = sum.wrapping_add((subsections << G::PFN_SUBSECTION_SHIFT) as u64);
    }
    sum
}

/// Page frames that the oracle knows to be valid or not for this layout.
fn prepare_pfns<L: Memmap>(
    layout: &L,
    asked: Asked,
    pfns: &[Pfn],
    is_valid: impl Fn(Pfn) -> bool,
    backed: impl Fn(Pfn) -> bool,
) -> Result<Prepared, String> {
    let reader = layout.reader();
    let (op, pages) = (asked.op, Vec::new());
    let mut prepared = Prepared { asked, pfns: pfns.to_vec(), pages, walk: None, expected: 0 };
    for &pfn in pfns {
        let expected = is_valid(pfn);
        if reader.pfn_valid(pfn) != expected {
            return Err(format!("{}: pfn_valid({:#x}) is {}, the oracle says {expected}", L::ID, pfn.0, !expected));
        }
        if !expected {
            if !op.bears_invalid() {
                return Err(format!("{}: {op} was to be driven over invalid {pfn}", L::ID));
            }
            continue;
        }
        // SAFETY: the pfn is valid under this reader.
        let page = unsafe { reader.pfn_to_page(pfn) };
        let mut flags = 0;
        if backed(pfn) {
            // SAFETY: the record of a valid pfn of a backed section lives as long as the reader.
            let record = unsafe { page.as_ref() };
            // What the info block of a device reserves has records that are never initialised.
            if !(record.is_of(pfn) || L::CAPS.records_on_device.any() && record.is_poisoned()) {
                return Err(format!("{}: pfn_to_page({:#x}) is the record of {:?}", L::ID, pfn.0, record.identity()));
            }
            // SAFETY: as above.
            let back = unsafe { reader.page_to_pfn(page) };
            if back != pfn {
                return Err(format!("{}: page_to_pfn(pfn_to_page({:#x})) is {:#x}", L::ID, pfn.0, back.0));
            }
            flags = record.flags();
        } else if op.reads_records(asked.mode) {
            return Err(format!("{}: {op} was to be driven over unbacked {pfn}", L::ID));
        }
        let answer = match (op, asked.mode) {
            (LookupOp::PfnValid, _) => 1,
            (LookupOp::PageToPfn, _) => pfn.0,
            (LookupOp::ValidToPage, Mode::Touching) => flags,
            (LookupOp::PfnToPage | LookupOp::ValidToPage, _) => page.as_ptr().addr() as u64,
            (LookupOp::NextValidPfn, _) => return Err(format!("{}: {op} is a walk, not a list of page frames", L::ID)),
        };
        prepared.expected = prepared.expected.wrapping_add(answer);
        if op == LookupOp::PageToPfn {
            prepared.pages.push(page);
        }
    }
    Ok(prepared)
}

/// As [`prepare`], for page frames that must be valid.
///
/// # Errors
/// The first wrong answer.
pub fn prepare_valid<L: Memmap>(
    layout: &L,
    op: LookupOp,
    must_be_valid: &[Pfn],
    backed: impl Fn(Pfn) -> bool,
) -> Result<Prepared, String> {
    prepare_pfns(layout, Asked::plain(op), must_be_valid, |_| true, backed)
}

impl Prepared {
    /// Operations in one pass: lookups, or sections walked.
    pub fn len(&self) -> u64 {
        self.walk.map_or(self.pfns.len() as u64, |(_, nr_sections)| nr_sections)
    }

    /// True if there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lookup they are for.
    pub fn op(&self) -> LookupOp {
        self.asked.op
    }

    /// What `passes` passes add up to.
    pub fn expected(&self, passes: u64) -> u64 {
        self.expected.wrapping_mul(passes)
    }
}

/// Runs `passes` passes over the queries; the sum of the answers. The layout is the one they were prepared on, and nothing
/// was removed from it since.
pub fn run<L: Memmap>(layout: &L, prepared: &Prepared, passes: u64) -> u64 {
    let mut sum = 0u64;
    for _ in 0..passes {
        sum = sum.wrapping_add(pass(layout, prepared));
    }
    sum
}

fn pass<L: Memmap>(layout: &L, prepared: &Prepared) -> u64 {
    let (pfns, pages) = (&prepared.pfns[..], &prepared.pages[..]);
    let is_chained = prepared.asked.mode == Mode::Chained;
    match (prepared.asked.op, is_chained, prepared.asked.preempt) {
        (LookupOp::PfnValid, false, false) => loops::pfn_valid::<L, false>(layout, pfns),
        (LookupOp::PfnValid, false, true) => loops::pfn_valid::<L, true>(layout, pfns),
        (LookupOp::PfnValid, true, false) => loops::pfn_valid_chained::<L, false>(layout, pfns),
        (LookupOp::PfnValid, true, true) => loops::pfn_valid_chained::<L, true>(layout, pfns),
        // SAFETY: `prepare` saw every one of them valid, and nothing is removed while lookups are timed.
        (LookupOp::PfnToPage, false, _) => unsafe { loops::pfn_to_page(layout, pfns) },
        // SAFETY: as above.
        (LookupOp::PfnToPage, true, _) => unsafe { loops::pfn_to_page_chained(layout, pfns) },
        // SAFETY: `prepare` got them from this layout for valid pfns of backed sections, and nothing is removed while lookups
        // are timed.
        (LookupOp::PageToPfn, false, _) => unsafe { loops::page_to_pfn(layout, pages) },
        // SAFETY: as above.
        (LookupOp::PageToPfn, true, _) => unsafe { loops::page_to_pfn_chained(layout, pages) },
        (LookupOp::ValidToPage, false, false) => loops::valid_to_page::<L, false>(layout, pfns),
        (LookupOp::ValidToPage, false, true) => loops::valid_to_page::<L, true>(layout, pfns),
        (LookupOp::ValidToPage, true, false) => loops::valid_to_page_chained::<L, false>(layout, pfns),
        (LookupOp::ValidToPage, true, true) => loops::valid_to_page_chained::<L, true>(layout, pfns),
        (LookupOp::NextValidPfn, ..) => {
            prepared.walk.map_or(0, |(range, _)| loops::walk(layout, Pfn(range.start()), Pfn(range.end())))
        }
    }
}

/// The loop of these queries without a lookup; `None` for a walk, which has no loop but its own.
pub fn floor(prepared: &Prepared, passes: u64) -> Option<u64> {
    if prepared.walk.is_some() {
        return None;
    }
    let pass = |_| match prepared.asked.mode {
        Mode::Chained => loops::chained_floor(&prepared.pfns),
        Mode::Independent | Mode::Touching => loops::floor(&prepared.pfns),
    };
    Some((0..passes).map(pass).fold(0, u64::wrapping_add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::{Flat, Sparse, Subsection};
    use memmap_layouts::{BootMap, BootRange, Config, RecordStore, X86_64};

    fn map() -> BootMap {
        let range = |start, end| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 };
        BootMap::new([range(0x8000, 0x10000), range(0x20000, 0x25200)]).unwrap()
    }

    fn boot<L: Memmap>() -> L {
        L::boot(&map(), &Config::default(), RecordStore::unlimited()).unwrap()
    }

    fn every_loop<L: Memmap<Geometry = X86_64>>() {
        let (layout, oracle) = (boot::<L>(), Oracle::<X86_64>::boot(&map()));
        for op in LookupOp::ALL {
            for &mode in op.modes() {
                for preempt in [false, true] {
                    // Every seventh: 0x10000 to 0x1ffff is a hole.
                    let to = if op.bears_invalid() && mode == Mode::Chained { 0x25000 } else { 0x10000 };
                    let pfns = (0x8000..to).step_by(7).map(Pfn).collect();
                    let queries = match op {
                        LookupOp::NextValidPfn => {
                            Queries::Walk { range: PfnRange::new(0, 0x28000).unwrap(), nr_sections: 2 }
                        }
                        _ => Queries::Pfns(pfns),
                    };
                    let asked = Asked { op, mode, preempt };
                    let prepared = prepare(&layout, asked, &queries, &oracle, |_| true).unwrap();
                    assert_eq!(run(&layout, &prepared, 3), prepared.expected(3), "{} {asked:?}", L::ID);
                    assert_eq!(floor(&prepared, 1).is_none(), op == LookupOp::NextValidPfn);
                }
            }
        }
    }

    #[test]
    fn every_loop_gives_the_answer_that_was_checked_one_by_one() {
        every_loop::<Sparse>();
        every_loop::<Subsection>();
        every_loop::<Flat>();
    }

    #[test]
    fn a_walk_visits_a_page_of_each_subsection() {
        let runs = [PfnRange::new(0x200, 0x600).unwrap(), PfnRange::new(0x8000, 0x8001).unwrap()];
        assert_eq!(walk_of::<X86_64>(&runs, PfnRange::new(0, 0x10000).unwrap()), 0x200 + 0x400 + 0x8000);
        assert_eq!(walk_of::<X86_64>(&runs, PfnRange::new(0x400, 0x8000).unwrap()), 0x400);
        let (layout, oracle) = (boot::<Subsection>(), Oracle::<X86_64>::boot(&BootMap::default()));
        let walk = Queries::Walk { range: PfnRange::new(0, 0x28000).unwrap(), nr_sections: 2 };
        let error = prepare(&layout, Asked::plain(LookupOp::NextValidPfn), &walk, &oracle, |_| true).unwrap_err();
        assert!(error.contains("add up to"), "{error}");
    }

    #[test]
    fn a_wrong_answer_is_found_before_anything_is_timed() {
        let layout: Subsection = boot();
        let error = prepare_valid(&layout, LookupOp::PfnValid, &[Pfn(0x7fff)], |_| true).unwrap_err();
        assert!(error.contains("pfn_valid(0x7fff) is false"), "{error}");
        let error = prepare_valid(&layout, LookupOp::PageToPfn, &[Pfn(0x8000)], |_| false).unwrap_err();
        assert!(error.contains("unbacked"), "{error}");
        let (oracle, asked) = (Oracle::<X86_64>::boot(&map()), Asked::plain(LookupOp::PfnToPage));
        let error = prepare(&layout, asked, &Queries::Pfns(vec![Pfn(0x7fff)]), &oracle, |_| true).unwrap_err();
        assert!(error.contains("invalid"), "{error}");
    }
}
