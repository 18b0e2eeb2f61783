//! Whose rules a VMEMMAP layout follows: Linux before the sub-section series, or since.
//!
//! Zero-sized types, not switches: what a rule decides is decided when the layout is compiled.

use crate::memmap::Validity;
use std::fmt::Debug;

/// Rules of a time.
pub trait Rules: Copy + Debug + Default + Send + Sync + 'static {
    /// Name of the layout that follows them with records in RAM; `None` for the rules of today, which need no name.
    const LAYOUT_ID: Option<&'static str>;
    /// One line for people, where the layout has a name of its own.
    const ABOUT: &'static str;
    /// What is valid.
    const VALIDITY: Validity;
    /// Memory comes and goes in whole sections.
    const WHOLE_SECTIONS: bool;
    /// Whose grid it is, for messages.
    const GRID: &'static str;
}

/// Linux 5.2: a section is valid or not, and hotplug knows nothing smaller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before;

impl Rules for Before {
    const LAYOUT_ID: Option<&'static str> = Some("vmemmap-section");
    const ABOUT: &'static str =
        "SPARSEMEM_VMEMMAP before the series: whole-section validity over the same virtual array";
    const VALIDITY: Validity = Validity::Section;
    const WHOLE_SECTIONS: bool = true;
    const GRID: &'static str = "VMEMMAP added and removed whole sections before Linux 5.3";
}

/// The series as merged in Linux 5.3 (v10), with the fixes since.
#[derive(Clone, Copy, Debug, Default)]
pub struct Merged;

impl Rules for Merged {
    const LAYOUT_ID: Option<&'static str> = None;
    const ABOUT: &'static str = "";
    const VALIDITY: Validity = Validity::Subsection { early_is_whole: true };
    const WHOLE_SECTIONS: bool = false;
    const GRID: &'static str = "VMEMMAP adds and removes sub-sections, since Linux 5.3";
}
