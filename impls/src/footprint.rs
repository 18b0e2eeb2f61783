//! What a layout occupies and has allocated.

/// Bytes that a layout occupies, by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Virtual address space reserved for records.
    pub reserved_bytes: u64,
    /// Index tables: roots, section descriptors, usage objects.
    pub index_bytes: u64,
    /// Page-table pages (last level) that map the records.
    pub page_table_bytes: u64,
    /// Records backed by RAM.
    pub ram_record_bytes: u64,
    /// Records stored on a device.
    pub device_record_bytes: u64,
}

/// Number and bytes of a layout's allocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accounting {
    /// Pages of section descriptors that the root table points to.
    pub roots: u64,
    /// Usage objects (`struct mem_section_usage`) on the heap. Those of boot memory are one block
    /// and not counted.
    pub heap_usages: u64,
    /// Bytes of records backed by RAM.
    pub ram_record_bytes: u64,
    /// Bytes of records stored on a device.
    pub device_record_bytes: u64,
    /// Bytes of records that were released although page frames still need them, since boot.
    /// Nonzero only with the foil [`V6`](crate::rules::V6), which keeps and counts them.
    pub records_lost_bytes: u64,
}

/// Where a section's usage object was allocated. It is independent of the section's flags: a boot
/// section that was emptied and added again is no longer early, but still has its boot usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKind {
    /// Part of the block allocated at boot; never freed individually.
    Boot,
    /// Allocated by a hot-add; freed with the last sub-section of its section.
    Heap,
}

/// The decoded fields of a section descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SectionState {
    /// `section_mem_map` as stored: the encoded pointer to the section's records, and flags.
    pub section_mem_map: u64,
    /// Origin of its usage object; `None` if it has none.
    pub usage: Option<UsageKind>,
    /// The words of the sub-section map, lowest bits first. Empty if the layout has no such map or
    /// the section no usage object.
    pub subsection_map: Vec<u64>,
}
