//! Descriptions of layouts as run folders and lists contain them, so that results can be read
//! without the code.

use crate::case::Layout;
use memmap_layouts::{Geometry, Load, LoadChain, PAGE_RECORD_BYTES, Validity, When};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Description of a layout that took part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LayoutNote {
    /// Id of the layout, as in the rows, e.g. `vmemmap-section`.
    pub id: String,
    /// Which page frames the layout calls valid: `span`, `span of memory`, `ranges of memory`,
    /// `section`, `sub-section`, or `sub-section (boot sections as a whole)`.
    pub validity: String,
    /// Smallest size and alignment of memory that can be hot-added, in bytes; left out if the
    /// layout does not support hotplug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hotplug_granule_bytes: Option<u64>,
    /// Bytes of the record of a page; left out if it has the 64 of `struct page`.
    #[serde(default = "page_record_bytes", skip_serializing_if = "is_page_record")]
    pub record_bytes: u64,
    /// The memory loads of each lookup.
    pub load_chain: LoadChainNote,
    /// The kernel whose compiled lookups the layout runs; left out for a layout of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelNote>,
}

/// A kernel whose compiled lookups took part in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct KernelNote {
    /// `UTS_RELEASE`, e.g. `6.1.0-57-cloud-amd64`.
    pub release: String,
    /// The compiler that made the lookups, as it calls itself.
    pub compiler: String,
    /// The compiler that built the kernel itself, as its configuration says.
    pub kernel_compiler: String,
    /// Levels of page tables for which the kernel's code was patched: 4 or 5.
    pub paging_levels: u32,
    /// SHA-256 of the compiled lookups.
    pub sha256: String,
}

impl std::fmt::Display for KernelNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { release, compiler, paging_levels, .. } = self;
        write!(f, "the lookups of Linux {release}, compiled by {compiler}, for {paging_levels}-level page tables")
    }
}

fn page_record_bytes() -> u64 {
    PAGE_RECORD_BYTES
}

fn is_page_record(bytes: &u64) -> bool {
    *bytes == PAGE_RECORD_BYTES
}

impl LayoutNote {
    /// Describes a layout. `G` supplies the page size.
    pub fn new<G: Geometry>(layout: &Layout) -> Self {
        Self {
            id: layout.id.to_owned(),
            validity: validity(layout.caps.validity).to_owned(),
            hotplug_granule_bytes: layout.caps.hotplug_granule_pages.map(|pages| pages << G::PAGE_SHIFT),
            record_bytes: layout.record_bytes,
            load_chain: LoadChainNote::new(&layout.load_chain),
            kernel: None,
        }
    }
}

/// Which page frames a layout calls valid, in words.
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

/// The memory loads of each lookup with a positive answer, in order. Variables that are globals in
/// a kernel are not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LoadChainNote {
    /// Loads of `pfn_valid`, which tests whether a pfn has a record.
    pub pfn_valid: Vec<LoadNote>,
    /// Loads of `pfn_to_page`, which computes the address of the record of a pfn.
    pub pfn_to_page: Vec<LoadNote>,
    /// Loads of `page_to_pfn`, which computes the pfn of a record.
    pub page_to_pfn: Vec<LoadNote>,
}

impl LoadChainNote {
    /// Describes the loads of a layout.
    pub fn new(chain: &LoadChain) -> Self {
        let notes = |loads: &[Load]| loads.iter().map(LoadNote::new).collect();
        Self {
            pfn_valid: notes(chain.pfn_valid),
            pfn_to_page: notes(chain.pfn_to_page),
            page_to_pfn: notes(chain.page_to_pfn),
        }
    }
}

/// One memory load of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LoadNote {
    /// The field or table entry that is loaded.
    pub what: String,
    /// Name of the cache line. Loads of one chain with the same name touch the same cache line.
    pub line: String,
    /// For which memory the load happens.
    pub when: WhenNote,
}

impl LoadNote {
    fn new(load: &Load) -> Self {
        let when = match load.when {
            When::Always => WhenNote::Always,
            When::HotAdded => WhenNote::HotAdded,
            When::InPart => WhenNote::InPart,
            When::EachStep => WhenNote::EachStep,
        };
        Self { what: load.what.to_owned(), line: load.line.to_owned(), when }
    }
}

/// For which memory a load happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenNote {
    /// For boot memory and for added memory.
    Always,
    /// For added memory only: for boot memory, the loads before have already given the answer.
    HotAdded,
    /// For added memory only, in sections that are valid in part.
    InPart,
    /// Once per step of a loop, whose length may grow with the map: the steps of a binary search.
    EachStep,
}
