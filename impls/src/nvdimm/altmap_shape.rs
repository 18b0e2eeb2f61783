//! The altmap of a namespace: which of its pages are reserved, and which hold records.

use super::{Extent, HEAD_BYTES, Host};
use crate::rules::RuleSet;

/// The altmap of a namespace, in pages of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltmapShape {
    /// First page of the altmap: the start of the mapping, rounded down to a sub-section or, before
    /// the series, a section.
    pub base_pfn: u64,
    /// Number of pages that must not be used: those from `base_pfn` to the mapping, and the head
    /// with the info block.
    pub reserve: u64,
    /// Number of pages for records.
    pub free: u64,
}

/// Computes the altmap of a namespace with records on the medium. The head is rounded up to whole
/// pages of the host. With 64 KiB pages, a head of 8 KiB would round to none, and records would
/// overwrite the info block (B-22).
pub fn altmap_shape(mapped: Extent, dataoff: u64, host: &Host, rules: &RuleSet) -> AltmapShape {
    let grid = if rules.whole_sections { host.section_bytes } else { host.compat_bytes };
    let page = host.page_bytes;
    let base = mapped.start - mapped.start % grid;
    let head = HEAD_BYTES.next_multiple_of(page);
    AltmapShape {
        base_pfn: base / page,
        reserve: (head + mapped.start - base) / page,
        free: dataoff.saturating_sub(head) / page,
    }
}
