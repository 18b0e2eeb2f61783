//! What a layout supports: its rule of validity, its hotplug granule, records on a device.

/// What a layout supports.
///
/// ```
/// use memmap_layouts::layouts::{Dax, Flat, Subsection};
/// use memmap_layouts::{DeviceRecords, Memmap, Validity};
///
/// // Adds and removes memory in units of 512 page frames, i.e. 2 MiB.
/// assert_eq!(<Subsection>::CAPS.hotplug_granule_pages, Some(512));
/// assert_eq!(<Flat>::CAPS.hotplug_granule_pages, None);
/// assert_eq!(<Flat>::CAPS.validity, Validity::Span);
/// assert_eq!(<Dax>::CAPS.records_on_device, DeviceRecords::Always);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The unit of memory for which `pfn_valid` is true.
    pub validity: Validity,
    /// Minimum size and alignment of a hot-added range, in page frames; `None` if the layout has no
    /// hotplug.
    pub hotplug_granule_pages: Option<u64>,
    /// Which records of added memory can be stored on the added device, through an
    /// [`Altmap`](crate::altmap::Altmap).
    pub records_on_device: DeviceRecords,
    /// True if `page_to_pfn` reads the record. It may then be called for backed sections only.
    pub page_to_pfn_reads_record: bool,
}

/// Which records can be stored on the device that they describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRecords {
    /// No records: all are in RAM.
    Never,
    /// Records of whole sections; all others are in RAM.
    WholeSections,
    /// All records, down to those of a single sub-section.
    Always,
}

impl DeviceRecords {
    /// True if any records can be stored on the device.
    pub const fn any(self) -> bool {
        !matches!(self, Self::Never)
    }
}

/// The unit of memory for which `pfn_valid` is true. The oracle of the conformance suite models the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Everything from the architecture's first page frame to the highest page of boot memory,
    /// holes included.
    Span,
    /// Everything from the lowest to the highest page of boot memory, holes included. For layouts
    /// without hotplug: the oracle does not extend it.
    MemorySpan,
    /// The pages of boot memory, holes excluded to the page. For layouts without hotplug: the oracle
    /// does not extend it.
    Ranges,
    /// Whole sections.
    Section,
    /// Every pfn of a sub-section that is present; whole boot sections if `early_is_whole`.
    Subsection {
        /// True if every pfn of a section with boot memory is valid, holes included.
        early_is_whole: bool,
    },
}
