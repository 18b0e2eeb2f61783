//! What a layout occupies and has allocated.

/// Bytes that a layout occupies, by use.
///
/// ```
/// use memmap_layouts::layouts::{Flat, Subsection};
/// use memmap_layouts::{BootMap, BootRange, Config, Memmap, PfnRange, RecordStore};
///
/// // Two ranges of 256 MiB with a hole of 3.5 GiB between them.
/// let range = |start| BootRange { range: PfnRange::from_len(start, 0x10000).unwrap(), node: 0 };
/// let map = BootMap::new([range(0), range(0xf0000)])?;
/// let boot = (&map, &Config::default(), RecordStore::unlimited());
/// let flat = <Flat>::boot(boot.0, boot.1, boot.2.clone())?.footprint();
/// let subsection = <Subsection>::boot(boot.0, boot.1, boot.2)?.footprint();
/// // FLATMEM has records for the hole too; with sections it has none, but an index.
/// assert_eq!((flat.ram_record_bytes, subsection.ram_record_bytes), (64 << 20, 8 << 20));
/// assert!(flat.index_bytes == 0 && subsection.index_bytes > 0);
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
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
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Inspect, Memmap, PfnRange, RecordStore};
///
/// let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// layout.add(PfnRange::from_len(0x100000, 512).unwrap(), &AddParams::default(), &mut ())?;
/// let accounting = layout.accounting();
/// assert_eq!((accounting.roots, accounting.heap_usages), (1, 1));
/// assert_eq!(accounting.ram_record_bytes, 512 * 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Inspect, Memmap, PfnRange, RecordStore};
/// use memmap_layouts::{SECTION_IS_EARLY, UsageKind};
///
/// let layout = <Subsection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // The second and third sub-section of section 32.
/// layout.add(PfnRange::from_len(0x100200, 1024).unwrap(), &AddParams::default(), &mut ())?;
/// let state = layout.section_state(32).ok_or("section 32 was added")?;
/// assert_eq!((state.usage, state.subsection_map), (Some(UsageKind::Heap), vec![0b110]));
/// assert_eq!(state.section_mem_map & SECTION_IS_EARLY, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
