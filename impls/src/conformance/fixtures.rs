//! Machines, devices and checks that cases share.

use super::*;

thread_local! {
    /// Backing of the records in the cases that this thread runs. It is thread-local because no
    /// case depends on it.
    pub(super) static BACKING: RefCell<RamBacking> = const { RefCell::new(RamBacking::Anon) };
}

/// The backing of this run without a limit, every section backed.
pub(super) fn store() -> RecordStore {
    RecordStore { backing: BACKING.with_borrow(Clone::clone), ..RecordStore::unlimited() }
}

/// Page frames per section.
pub(super) fn s<L: Memmap>() -> u64 {
    L::Geometry::PAGES_PER_SECTION
}

/// Page frames per sub-section.
pub(super) fn u<L: Memmap>() -> u64 {
    L::Geometry::PAGES_PER_SUBSECTION
}

/// Minimum size of a hot-added range, in page frames; a section for layouts without hotplug.
pub(super) fn granule<L: Hotplug>() -> u64 {
    L::CAPS.hotplug_granule_pages.unwrap_or(L::Geometry::PAGES_PER_SECTION)
}

pub(super) fn boot_map(ranges: &[(u64, u64)]) -> BootMap {
    let ranges = ranges.iter().filter_map(|&(start, end)| PfnRange::new(start, end));
    BootMap::new(ranges.map(|range| BootRange { range, node: 0 })).expect("ranges of the suite's maps do not overlap")
}

/// 120 MiB of memory: low memory with a hole, a partly present section, and a whole section.
pub(super) fn small_machine() -> BootMap {
    boot_map(&[(0, 0xa0), (0x100, 0x1400), (0x2800, 0x6a64), (0x8000, 0xa400)])
}

/// RAM from 4 GiB on that ends inside section 0x3f, where a device begins.
pub(super) fn ram_before_a_device() -> BootMap {
    boot_map(&[(0x100000, 0x1fc000)])
}

/// The device that follows [`ram_before_a_device`], 4 GiB long.
pub(super) fn the_device() -> PfnRange {
    range(0x1fc000, 0x100000)
}

pub(super) fn boot_with<L: Memmap>(map: &BootMap, store: RecordStore) -> Result<L, String> {
    L::boot(map, &Config::default(), store).map_err(|error| format!("boot: {error}"))
}

pub(super) fn boot<L: Memmap>(map: &BootMap) -> Result<L, String> {
    boot_with(map, store())
}

pub(super) fn machine<L: Hotplug + Inspect + SectionFlags>(map: &BootMap) -> Result<Machine<L>, String> {
    Machine::boot(map, MachineConfig::default(), &Config::default(), store()).map_err(text)
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) fn range(start: u64, nr_pages: u64) -> PfnRange {
    PfnRange::from_len(start, nr_pages).expect("ranges of the suite do not overflow")
}

/// A tmpfs file that emulates the device of a range.
pub(super) fn device<L: Memmap>(range: PfnRange) -> Result<Arc<DaxDevice>, String> {
    let bytes = range.nr_pages() << L::Geometry::PAGE_SHIFT;
    Ok(Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), bytes).map_err(text)?))
}

/// Parameters with which this suite adds a range: with the records on a device if the layout
/// supports it.
pub(super) fn params<L: Memmap>(range: PfnRange, backed: &BackedSections) -> Result<AddParams, String> {
    if !L::CAPS.records_on_device.any() {
        return Ok(AddParams::default());
    }
    let altmap = Altmap::for_range::<L::Geometry>(device::<L>(range)?, range, backed).map_err(text)?;
    Ok(AddParams { altmap: Some(Arc::new(altmap)), ..AddParams::default() })
}

pub(super) fn add<L: Hotplug>(layout: &L, range: PfnRange) -> Result<(), HotplugError> {
    layout.add(range, &params_if_possible::<L>(range, layout.backed()), &mut ())
}

/// As [`params`], but without an altmap for ranges that no machine has, and if the page size is not
/// the host's.
pub(super) fn params_if_possible<L: Memmap>(range: PfnRange, backed: &BackedSections) -> AddParams {
    let host = rustix::param::page_size() as u64;
    let possible = host == L::Geometry::PAGE_SIZE && !range.is_empty() && range.end() <= L::Geometry::NR_PFNS;
    match possible.then(|| params::<L>(range, backed)) {
        Some(Ok(how)) => how,
        Some(Err(error)) => panic!("cannot make a device for {range}: {error}"),
        None => AddParams::default(),
    }
}

pub(super) fn remove<L: Hotplug>(layout: &L, range: PfnRange) -> Result<(), HotplugError> {
    layout.remove(range, &RemoveParams::default(), &mut ())
}

/// The first word of a section's sub-section map; 0 if it has none.
pub(super) fn map<L: Inspect>(layout: &L, nr: u64) -> u64 {
    layout.section_state(nr).and_then(|state| state.subsection_map.first().copied()).unwrap_or(0)
}

/// The flags of a section's word.
pub(super) fn flags<L: Memmap>(layout: &L, nr: u64) -> u64 {
    layout.reader().section_flags(Pfn(L::Geometry::section_start(nr)))
}

/// Bytes of records, in RAM and on devices.
pub(super) fn accounted_bytes<L: Inspect>(layout: &L) -> u64 {
    let accounting = layout.accounting();
    accounting.ram_record_bytes + accounting.device_record_bytes
}

/// Memory used by `bytes` of records: with huge pages, the huge pages that they touch.
pub(super) fn taking(bytes: u64, nr_huge_pages: u64) -> u64 {
    match BACKING.with_borrow(|backing| *backing == RamBacking::Hugetlb) {
        true => nr_huge_pages * (2 << 20),
        false => bytes,
    }
}

/// Bytes of the records of `nr_pages` page frames.
pub(super) fn records_of<L: Memmap>(nr_pages: u64) -> u64 {
    nr_pages * record_bytes::<L::Record>()
}

/// What a record says it is, for messages.
pub(super) fn says(page: &impl PageRecord) -> String {
    match page.pfn() {
        Some(pfn) => format!("is that of pfn {pfn}"),
        None => "is not initialised".to_owned(),
    }
}

/// Accounts without the root pages, which stay once allocated.
pub(super) fn accounts<L: Inspect>(layout: &L) -> Accounting {
    Accounting { roots: 0, ..layout.accounting() }
}

pub(super) fn valid<L: Memmap>(layout: &L, pfn: u64) -> bool {
    layout.reader().pfn_valid(Pfn(pfn))
}

/// True if the record belongs to `pfn`, or if it lies in the reserve of an altmap and was never
/// initialised. This suite puts the reserve at the start of a range, which is the start of a
/// sub-section.
pub(super) fn is_right<L: Memmap>(page: &L::Record, pfn: Pfn) -> bool {
    let in_reserve = L::CAPS.records_on_device.any() && pfn.0 % u::<L>() < INFO_BLOCK_PAGES;
    page.is_of(pfn) || in_reserve && page.is_poisoned()
}

/// Checks that every pfn of a range is valid and has its own record.
pub(super) fn all_readable<L: Memmap>(layout: &L, range: PfnRange) -> Check {
    let reader = layout.reader();
    for pfn in (range.start()..range.end()).map(Pfn) {
        let page = reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?;
        check!(is_right::<L>(page, pfn), "the record of {pfn} {}", says(page));
    }
    Ok(())
}

/// Checks that `pfn_valid` agrees with the oracle, and that valid pfns of backed sections translate
/// to their own record and back.
pub(super) fn agree<L: Memmap>(layout: &L, oracle: &Oracle<L::Geometry>) -> Check {
    let reader = layout.reader();
    let probes = oracle.probes();
    oracle
        .compare(L::CAPS.validity, &reader, &probes)
        .map_err(|wrong| format!("pfn_valid({:#x}) should be {}", wrong.pfn.0, wrong.expected))?;
    for pfn in probes {
        let Some(page) = reader.valid_to_page(pfn) else { continue };
        if !layout.backed().contains(L::Geometry::section_nr(pfn.0)) {
            continue;
        }
        check!(is_right::<L>(page, pfn), "the record of {pfn} {}", says(page));
        if page.is_poisoned() && L::CAPS.page_to_pfn_reads_record {
            continue;
        }
        // SAFETY: the page came from this reader for a valid pfn of a backed section.
        let back = unsafe { reader.page_to_pfn(page.into()) };
        check!(back == pfn, "page_to_pfn(pfn_to_page({:#x})) is {:#x}", pfn.0, back.0);
    }
    Ok(())
}

/// Checks that `next_valid_pfn` visits exactly the valid pfns of a range.
pub(super) fn walk_agrees<L: Memmap>(layout: &L, from: u64, end: u64) -> Check {
    let reader = layout.reader();
    let mut at = from;
    for pfn in (from..end).filter(|&pfn| reader.pfn_valid(Pfn(pfn))) {
        let next = reader.next_valid_pfn(Pfn(at), Pfn(end));
        check!(next == Some(Pfn(pfn)), "next_valid_pfn from {at:#x} finds {next:?}, not {pfn:#x}");
        at = pfn + 1;
    }
    let rest = reader.next_valid_pfn(Pfn(at), Pfn(end));
    check!(rest.is_none(), "next_valid_pfn from {at:#x} finds {rest:?}, but nothing is valid from there on");
    Ok(())
}

/// Checks that a walk finds the runs of valid page frames from `from` on, that each of them is
/// contiguous, and that none is with what adjoins it.
pub(super) fn runs_agree<L: Memmap>(layout: &L, oracle: &Oracle<L::Geometry>, from: u64) -> Check {
    let reader = layout.reader();
    let block = L::Geometry::PAGES_PER_SUBSECTION;
    let mut at = from;
    for run in oracle.valid_runs(L::CAPS.validity) {
        let behind = PfnRange::new(run.start().max(from), run.end());
        let Some(run) = behind.filter(|run| !run.is_empty()) else { continue };
        let found = reader.next_valid_pfn(Pfn(at), Pfn(run.end()));
        check!(found == Some(Pfn(run.start())), "next_valid_pfn from {at:#x} finds {found:?}, not {:#x}", run.start());
        check!(reader.is_contiguous(run, block), "{run} is valid, but not contiguous");
        let longer = PfnRange::new(run.start(), run.end() + block).expect("longer than a run");
        check!(!reader.is_contiguous(longer, block), "{longer} is contiguous, but ends in a hole");
        at = run.end();
    }
    Ok(())
}
