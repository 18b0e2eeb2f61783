//! Where in its section an addition begins.

use memmap_layouts::Geometry;
use serde::{Deserialize, Serialize};

/// Where in its section an addition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// With a section that is not there yet.
    First,
    /// Behind the first sub-section of a section, which is there already.
    Later,
    /// In the middle of a section, and it ends inside another; neither is there yet.
    Unaligned,
}

impl Position {
    /// All, in the order of reports.
    pub const ALL: [Position; 3] = [Self::First, Self::Later, Self::Unaligned];

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Later => "later",
            Self::Unaligned => "unaligned",
        }
    }

    /// Can an addition of a size be of this position, whatever the layout?
    pub fn has<G: Geometry>(self, size_bytes: u64) -> bool {
        let section_bytes = G::PAGES_PER_SECTION << G::PAGE_SHIFT;
        let first_bytes = G::PAGES_PER_SUBSECTION << G::PAGE_SHIFT;
        match self {
            Self::First => size_bytes > 0,
            Self::Later => size_bytes > 0 && size_bytes.saturating_add(first_bytes) <= section_bytes,
            // From the middle of a section by whole sections leads to the middle of one.
            Self::Unaligned => size_bytes > 0 && size_bytes.is_multiple_of(section_bytes),
        }
    }
}
