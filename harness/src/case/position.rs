//! Where in its section an addition begins.

use memmap_layouts::Geometry;
use serde::{Deserialize, Serialize};

/// Where in its section an addition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// At the start of a section that has no memory yet.
    First,
    /// After the first sub-section of a section; that sub-section is already present.
    Later,
    /// In the middle of a section, with the end inside another. Neither section has memory yet.
    Unaligned,
}

impl Position {
    /// All positions, in the order of reports.
    pub const ALL: [Position; 3] = [Self::First, Self::Later, Self::Unaligned];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Later => "later",
            Self::Unaligned => "unaligned",
        }
    }

    /// True if an addition of `size_bytes` can have this position, whatever the layout supports.
    pub fn has<G: Geometry>(self, size_bytes: u64) -> bool {
        let section_bytes = G::PAGES_PER_SECTION << G::PAGE_SHIFT;
        let first_bytes = G::PAGES_PER_SUBSECTION << G::PAGE_SHIFT;
        match self {
            Self::First => size_bytes > 0,
            Self::Later => size_bytes > 0 && size_bytes.saturating_add(first_bytes) <= section_bytes,
            // Whole sections, counted from the middle of one, end in the middle of another.
            Self::Unaligned => size_bytes > 0 && size_bytes.is_multiple_of(section_bytes),
        }
    }
}
