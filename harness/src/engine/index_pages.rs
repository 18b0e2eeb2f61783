//! Page size of the memory for index tables, as the user sets it with `--index-pages`.

use memmap_layouts::IndexPages;
use memmap_layouts::backing::RamBacking;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// Page size of the memory for index tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum IndexPagesArg {
    /// Transparent huge pages, as in Linux's direct map.
    Huge,
    /// Base pages of 4 KiB.
    Base,
}

/// `huge` if the machine has transparent huge pages of 2 MiB, else `base`. Only the first call
/// reads sysfs; later calls reuse the result.
impl Default for IndexPagesArg {
    fn default() -> Self {
        static DEFAULT: OnceLock<IndexPagesArg> = OnceLock::new();
        *DEFAULT.get_or_init(|| if RamBacking::like_linux() == RamBacking::Linux { Self::Huge } else { Self::Base })
    }
}

impl From<IndexPagesArg> for IndexPages {
    fn from(pages: IndexPagesArg) -> Self {
        match pages {
            IndexPagesArg::Huge => Self::Huge,
            IndexPagesArg::Base => Self::Base,
        }
    }
}

impl IndexPagesArg {
    /// The value of `--index-pages`: `huge` or `base`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Huge => "huge",
            Self::Base => "base",
        }
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn names_are_those_that_clap_parses() {
        for pages in IndexPagesArg::value_variants() {
            assert_eq!(IndexPagesArg::from_str(pages.name(), false).as_ref(), Ok(pages));
            assert_eq!(serde_json::to_value(pages).unwrap(), pages.name());
        }
    }
}
