//! The lookups that are timed, and how one depends on the next.

use serde::{Deserialize, Serialize};
use std::fmt;
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
            Self::PfnValid => &[Mode::Independent, Mode::Chained, Mode::Branching],
            Self::PfnToPage | Self::PageToPfn => &[Mode::Independent, Mode::Chained],
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
    /// None waits for another, and the caller branches on the answer.
    Branching,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 4] = [Self::Independent, Self::Chained, Self::Touching, Self::Branching];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Chained => "chained",
            Self::Touching => "touching",
            Self::Branching => "branching",
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
    /// With the preemption count around `pfn_valid`, where the kernel that the layout follows has it.
    pub preempt: bool,
}

impl Asked {
    /// The lookup as its name alone means it.
    pub fn plain(op: LookupOp) -> Self {
        Self { op, mode: op.usual_mode(), preempt: false }
    }
}
