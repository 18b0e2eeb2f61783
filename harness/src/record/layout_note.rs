//! What a layout is, as run folders and lists tell it: beside its figures, so that who has them need not have its code.

use crate::case::Layout;
use memmap_layouts::{Geometry, Load, LoadChain, Validity, When};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A layout, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LayoutNote {
    /// Its name, as in the rows.
    pub id: String,
    /// What it calls valid, in words.
    pub validity: String,
    /// Smallest memory that can be hot-added, and its alignment; left out if it has no hotplug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotplug_granule_bytes: Option<u64>,
    /// What its lookups load.
    pub load_chain: LoadChainNote,
}

impl LayoutNote {
    /// The note of a layout on an architecture.
    pub fn new<G: Geometry>(layout: &Layout) -> Self {
        Self {
            id: layout.id.to_owned(),
            validity: validity(layout.caps.validity).to_owned(),
            hotplug_granule_bytes: layout.caps.hotplug_granule_pages.map(|pages| pages << G::PAGE_SHIFT),
            load_chain: LoadChainNote::new(&layout.load_chain),
        }
    }
}

/// What a layout calls valid, in words.
pub fn validity(validity: Validity) -> &'static str {
    match validity {
        Validity::Span => "span",
        Validity::MemorySpan => "span of memory",
        Validity::Ranges => "ranges of memory",
        Validity::Section => "section",
        Validity::Subsection { early_is_whole: true } => "sub-section (boot sections as a whole)",
        Validity::Subsection { early_is_whole: false } => "sub-section",
    }
}

/// The loads of a layout's lookups whose answer is yes, in their order. What a kernel has in globals is not among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LoadChainNote {
    /// Is there a record?
    pub pfn_valid: Vec<LoadNote>,
    /// Where is the record of a page frame?
    pub pfn_to_page: Vec<LoadNote>,
    /// Whose record is this?
    pub page_to_pfn: Vec<LoadNote>,
}

impl LoadChainNote {
    /// The note of a chain.
    pub fn new(chain: &LoadChain) -> Self {
        let notes = |loads: &[Load]| loads.iter().map(LoadNote::new).collect();
        Self {
            pfn_valid: notes(chain.pfn_valid),
            pfn_to_page: notes(chain.pfn_to_page),
            page_to_pfn: notes(chain.page_to_pfn),
        }
    }
}

/// A load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LoadNote {
    /// What is loaded.
    pub what: String,
    /// Where it lies: loads of a chain with the same name here touch the same cache line.
    pub line: String,
    /// For which memory it is made.
    pub when: WhenNote,
}

impl LoadNote {
    fn new(load: &Load) -> Self {
        let when = match load.when {
            When::Always => WhenNote::Always,
            When::HotAdded => WhenNote::HotAdded,
        };
        Self { what: load.what.to_owned(), line: load.line.to_owned(), when }
    }
}

/// For which memory a load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenNote {
    /// For all.
    Always,
    /// For hot-added memory alone: for memory of boot the loads before have answered.
    HotAdded,
}
