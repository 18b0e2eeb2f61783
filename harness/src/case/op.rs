//! The operations that are timed, and how consecutive lookups depend on each other.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A lookup operation that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupOp {
    /// Tests whether a pfn has a record.
    PfnValid,
    /// Computes the address of the record of a valid pfn.
    PfnToPage,
    /// Computes the pfn of a record.
    PageToPfn,
    /// The idiom of walkers: `pfn_valid`, then `pfn_to_page` if it is valid.
    ValidToPage,
    /// A walk over a map with holes: finds the next valid pfn, in steps of a sub-section. Times are
    /// per section of memory walked.
    NextValidPfn,
    /// A walk that visits every valid pfn. Times are per section of memory walked.
    WalkEveryPfn,
    /// A scan of memory at pageblock stride: asks for the first and the last pfn of each block, as
    /// Linux does after each hot-add and hot-remove. Times are per section of memory scanned.
    ScanPageblocks,
    /// Whether a range of memory is contiguous. A layout without an answer of its own scans at
    /// pageblock stride. Times are per answer.
    IsContiguous,
}

impl LookupOp {
    /// All operations, in the order of reports.
    pub const ALL: [LookupOp; 8] = [
        Self::PfnValid,
        Self::PfnToPage,
        Self::PageToPfn,
        Self::ValidToPage,
        Self::NextValidPfn,
        Self::WalkEveryPfn,
        Self::ScanPageblocks,
        Self::IsContiguous,
    ];

    /// The operations whose instructions are counted: those on one page frame, or one step of a walk.
    pub const COUNTED: [LookupOp; 5] =
        [Self::PfnValid, Self::PfnToPage, Self::PageToPfn, Self::ValidToPage, Self::NextValidPfn];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::PfnValid => "pfn_valid",
            Self::PfnToPage => "pfn_to_page",
            Self::PageToPfn => "page_to_pfn",
            Self::ValidToPage => "valid_to_page",
            Self::NextValidPfn => "next_valid_pfn",
            Self::WalkEveryPfn => "walk_every_pfn",
            Self::ScanPageblocks => "scan_pageblocks",
            Self::IsContiguous => "is_contiguous",
        }
    }

    /// The supported modes. The first is the default, which case names leave out.
    pub fn modes(self) -> &'static [Mode] {
        match self {
            Self::PfnValid => &[Mode::Independent, Mode::Chained, Mode::Branching, Mode::Called],
            Self::PfnToPage | Self::PageToPfn => &[Mode::Independent, Mode::Chained],
            Self::ValidToPage => &[Mode::Touching, Mode::Chained],
            Self::NextValidPfn | Self::WalkEveryPfn => &[Mode::Chained],
            Self::ScanPageblocks | Self::IsContiguous => &[Mode::Independent],
        }
    }

    /// True for an operation on a range of memory instead of single pfns.
    pub fn is_walk(self) -> bool {
        matches!(self, Self::NextValidPfn | Self::WalkEveryPfn | Self::ScanPageblocks | Self::IsContiguous)
    }

    /// True for a walk over one piece of memory without holes.
    pub fn is_of_contiguous_memory(self) -> bool {
        matches!(self, Self::ScanPageblocks | Self::IsContiguous)
    }

    /// The default mode, which case names leave out.
    pub fn usual_mode(self) -> Mode {
        self.modes()[0]
    }

    /// True if any layout reads the record in this mode; such cases run only where records have
    /// backing memory.
    pub fn reads_records(self, mode: Mode) -> bool {
        self == Self::PageToPfn || self == Self::ValidToPage && mode == Mode::Touching
    }

    /// True if the operation may be given an invalid pfn.
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

/// How consecutive lookups depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// No lookup waits for another, so that the CPU overlaps them.
    Independent,
    /// Each address depends on the answer of the lookup before.
    Chained,
    /// No lookup waits for another; the record that was found is read.
    Touching,
    /// No lookup waits for another; the caller branches on the answer.
    Branching,
    /// No lookup waits for another; the lookup is a function of its own, and not inlined.
    Called,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 5] = [Self::Independent, Self::Chained, Self::Touching, Self::Branching, Self::Called];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Chained => "chained",
            Self::Touching => "touching",
            Self::Branching => "branching",
            Self::Called => "called",
        }
    }
}

/// An operation with its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The operation.
    pub op: LookupOp,
    /// How consecutive lookups depend on each other; one of [`LookupOp::modes`].
    pub mode: Mode,
    /// True to raise the preemption count around `pfn_valid`, for layouts whose kernel does so.
    pub preempt: bool,
}

impl Asked {
    /// The operation in its default mode, without the preemption count.
    pub fn plain(op: LookupOp) -> Self {
        Self { op, mode: op.usual_mode(), preempt: false }
    }
}
