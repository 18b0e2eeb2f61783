//! Load chains: the memory loads of each lookup, as a layout declares them.

/// The loads that each lookup of a layout executes in program order when its answer is yes. Fields
/// of the reader (globals in the kernel) are not counted. A lookup that loops lists the loads of
/// one step, with [`When::EachStep`].
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{Memmap, When};
///
/// let loads = <Subsection>::LOAD_CHAIN.pfn_valid;
/// let named = |when| loads.iter().filter(|load| load.when == when).map(|load| load.what).collect::<Vec<_>>();
/// assert_eq!(named(When::Always), ["root pointer", "section word"]);
/// assert_eq!(named(When::HotAdded), ["usage pointer", "word of the sub-section map"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadChain {
    /// Loads of [`Lookup::pfn_valid`](crate::Lookup::pfn_valid).
    pub pfn_valid: &'static [Load],
    /// Loads of [`Lookup::pfn_to_page`](crate::Lookup::pfn_to_page).
    pub pfn_to_page: &'static [Load],
    /// Loads of [`Lookup::page_to_pfn`](crate::Lookup::page_to_pfn).
    pub page_to_pfn: &'static [Load],
}

/// One load of a [`LoadChain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Description of the value that is loaded, for reports.
    pub what: &'static str,
    /// Name of the cache line that it touches. Loads with the same name touch the same line.
    pub line: &'static str,
    /// For which memory, and how often, the load is executed.
    pub when: When,
}

impl Load {
    /// Name of the line of the record itself. Loads of any other line are loads from index tables.
    pub const RECORD_LINE: &'static str = "record";
}

/// When a [`Load`] is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, for boot memory and added memory.
    Always,
    /// Once per step of a loop: a search, a hash chain, the levels of a tree. The number of steps
    /// may grow with the map.
    EachStep,
    /// Added memory only. For boot memory the earlier loads suffice.
    HotAdded,
    /// Sections of added memory that are valid in part. For others the earlier loads suffice.
    InPart,
}
