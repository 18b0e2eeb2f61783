//! The conformance suite: requirements on every layout, run for each layout of the list.
//!
//! The numbered cases (T-01 to T-59, T-70, T-73) state what Linux's memmap does at boot, on hot-add
//! and on hot-remove. The others state what this project guarantees in addition. A case is a
//! function over the traits, so it is the same for all layouts. A case that needs a feature which a
//! layout lacks, by its [`CAPS`](crate::Memmap::CAPS), is skipped with the reason.
//!
//! T-16 and T-37 cannot be tested through the public API. They are unit tests of `section.rs` and
//! `vmem.rs`.

mod adding;
mod altmap;
mod beyond;
mod blocks;
mod boot;
mod concurrent;
mod foil;
mod initialising;
mod pagemaps;
mod refusal;
mod removing;
mod zones;

pub use beyond::random_operations_agree_with_the_oracle;
pub use foil::{FoilRun, FoilVerdict, V6_FAILS, run_foil};

use crate::altmap::{Altmap, INFO_BLOCK_PAGES};
use crate::backing::{DaxDevice, RamBacking};
use crate::error::HotplugError;
use crate::geometry::{Arm64Pages64K, Geometry, X86_64};
use crate::layouts::{BuiltIn, Family, Visitor};
use crate::machine::{Machine, MachineConfig};
use crate::memmap::*;
use crate::oracle::Oracle;
use crate::page::{PAGE_RECORD_BYTES, Page};
use crate::pfn::{Pfn, PfnRange};
use crate::store::{BackedSections, RecordStore};
use crate::subsection_map::BitWords;
use refusal::*;
use std::cell::RefCell;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::Arc;

/// Result of a case on a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check of the case held.
    Passed,
    /// The case does not apply to the layout; the string says why.
    Skipped(&'static str),
    /// A check failed; the string says which, with the values found.
    Failed(String),
}

/// The result of one case on one layout.
#[derive(Clone, Debug)]
pub struct Run {
    /// Id of the layout, e.g. `subsection`.
    pub layout: &'static str,
    /// Number of the case, e.g. `T-14`, or the name of a case without a number.
    pub case: &'static str,
    /// Name of the case, e.g. `t_14_add_across_two_sections`.
    pub name: &'static str,
    /// The result.
    pub outcome: Outcome,
}

impl Run {
    /// True for cases with a number (`T-…`).
    pub fn is_numbered(&self) -> bool {
        self.case.starts_with("T-")
    }
}

type Check = Result<(), String>;

/// Ends the case with a failure and a message unless the condition holds.
macro_rules! check {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}
use check;

/// The requirements on a layout: its own `CAPS` for layouts of the list, those of the merged rules
/// for the foil.
#[derive(Clone, Copy, Debug)]
struct Held {
    caps: Capabilities,
    early_is_whole: bool,
}

impl Held {
    fn to(caps: Capabilities) -> Self {
        let early_is_whole = caps.validity != (Validity::Subsection { early_is_whole: false });
        Self { caps, early_is_whole }
    }
}

/// The feature of a layout that a case requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Span,
    Hotplug,
    WholeSections,
    Subsections,
    DeviceRecords,
    DeviceRecordsByX86,
}

impl Needs {
    /// Why a layout lacks the feature; `None` if it has it.
    fn lacking<G: Geometry>(self, caps: &Capabilities) -> Option<&'static str> {
        let granule = caps.hotplug_granule_pages;
        let (has, why) = match self {
            Self::Nothing => return None,
            Self::Span => {
                (matches!(caps.validity, Validity::Span | Validity::MemorySpan), "its memory is no single span")
            }
            _ if granule.is_none() => (false, "the layout has no hotplug"),
            Self::Hotplug => return None,
            Self::WholeSections => (granule == Some(G::PAGES_PER_SECTION), "it adds less than whole sections"),
            Self::Subsections => (granule < Some(G::PAGES_PER_SECTION), "it adds whole sections only"),
            Self::DeviceRecords => (caps.records_on_device.any(), "its records cannot lie on a device"),
            Self::DeviceRecordsByX86 => match caps.records_on_device {
                DeviceRecords::WholeSections => return None,
                DeviceRecords::Always => (false, "its records of parts of sections lie on the device too"),
                DeviceRecords::Never => (false, "its records cannot lie on a device"),
            },
        };
        (!has).then_some(why)
    }
}

/// The architecture that a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    X86,
    /// 64 KiB pages, where several sub-sections share a page of records.
    Pages64K,
    /// Memory that does not begin at pfn 0, for FLATMEM.
    FromMegabyteOne,
}

/// x86-64 with memory that begins at 1 MiB.
#[derive(Clone, Copy, Debug, Default)]
struct FromMegabyteOne;

// SAFETY: the derived constants are left alone, and the map has 64 bits for 64 sub-sections.
unsafe impl Geometry for FromMegabyteOne {
    const ID: &'static str = "x86-64-from-1m";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 46;
    const ARCH_PFN_OFFSET: u64 = 0x100;
    type SubsectionMap = BitWords<1>;
}

/// A case of the suite, with the machine and the feature that it needs.
struct Case<F> {
    id: &'static str,
    name: &'static str,
    on: On,
    needs: Needs,
    run: F,
}

type Runner = fn(&Held) -> Check;

/// A list of cases: `"T-02" empty_machine(Needs) on Machine;`.
macro_rules! cases {
    ($layout:ty; $($id:literal $module:ident::$name:ident needs $needs:ident $(on $on:ident)?;)*) => {
        vec![$( Case {
            id: $id,
            name: stringify!($name),
            on: cases!(@on $($on)?),
            needs: Needs::$needs,
            run: $module::$name::<$layout> as Runner,
        } ),*]
    };
    (@on) => { On::X86 };
    (@on $on:ident) => { On::$on };
}

/// Cases that do not need hotplug.
fn cases_for_all<L: Memmap>() -> Vec<Case<Runner>> {
    cases! { L;
        "record_addresses" boot::records_lie_where_memory_can needs Nothing;
        "T-01" boot::t_01_numbers_of_the_geometry needs Nothing;
        "T-02" boot::t_02_empty_machine_knows_no_page needs Nothing;
        "T-04" boot::t_04_flat_is_valid_over_its_span needs Span on FromMegabyteOne;
        "T-06" boot::t_06_round_trips needs Nothing;
        "boot_records" boot::records_of_boot_name_their_node_and_zone needs Nothing;
        "boot_map" boot::boot_map_is_answered_as_by_the_oracle needs Nothing;
        "boot_beyond_the_space" boot::memory_beyond_the_space_does_not_boot needs Nothing;
        "backed_sections" boot::only_backed_sections_take_memory needs Nothing;
    }
}

/// Cases that need hotplug. They are skipped for layouts without it.
fn cases_with_hotplug<L: Hotplug + Inspect + SectionFlags>() -> Vec<Case<Runner>> {
    cases! { L;
        "T-03" adding::t_03_one_section needs Hotplug;
        "T-05" adding::t_05_whole_sections_only needs WholeSections;
        "T-07" boot::t_07_boot_range_that_ends_inside_a_section needs Subsections;
        "T-08" boot::t_08_boot_ranges_add_up needs Subsections;
        "T-09" boot::t_09_boot_range_rounds_outwards needs Subsections;
        "T-10" blocks::t_10_online_pages_come_and_go needs Hotplug;
        "T-11" adding::t_11_part_of_a_section needs Subsections;
        "T-12" adding::t_12_overlap_is_refused_neighbours_are_not needs Subsections;
        "T-13" adding::t_13_misaligned_is_refused needs Subsections;
        "T-14" adding::t_14_add_across_two_sections needs Subsections;
        "T-15" adding::t_15_parts_and_a_whole_section needs Subsections;
        "T-17" adding::t_17_no_memory_for_usage_or_root needs Hotplug;
        "T-18" adding::t_18_no_memory_for_records needs Hotplug;
        "T-19" adding::t_19_no_memory_in_a_live_section needs Subsections;
        "T-20" adding::t_20_whole_section_over_what_is_there needs Subsections;
        "T-21" adding::t_21_faithful_mode_leaves_what_it_added needs Hotplug;
        "T-22" adding::t_22_transactional_mode_leaves_nothing needs Hotplug;
        "T-23" adding::t_23_add_to_a_boot_section needs Subsections;
        "T-24" pagemaps::t_24_device_pages_of_a_mixed_section_are_not_online needs Subsections;
        "T-25" adding::t_25_two_regions_share_a_section needs Subsections;
        "T-26" adding::t_26_beyond_the_physical_space needs Hotplug;
        "T-27" removing::t_27_last_part_blanks_the_section needs Subsections;
        "T-28" removing::t_28_part_goes_neighbours_stay needs Subsections;
        "T-29" removing::t_29_partly_inactive_range_is_refused_whole needs Subsections;
        "T-30" removing::t_30_twice_never_misaligned needs Hotplug;
        "T-31" removing::t_31_remove_from_a_boot_section needs Subsections;
        "T-32" removing::t_32_add_to_it_again needs Subsections;
        "T-33" removing::t_33_boot_section_goes_whole needs Hotplug;
        "T-34" removing::t_34_emptied_boot_section_is_an_ordinary_one needs Subsections;
        "T-35" removing::t_35_part_of_a_boot_section needs Subsections;
        "T-36" removing::t_36_halves_of_a_section needs Subsections;
        "T-38" removing::t_38_shared_page_of_records needs Subsections on Pages64K;
        "T-39" beyond::t_39_random_operations needs Hotplug;
        "T-40" concurrent::t_40_neighbour_stays_while_another_toggles needs Subsections;
        "T-41" concurrent::t_41_toggled_memory_is_never_seen_half needs Hotplug;
        "T-42" concurrent::t_42_usage_goes_while_it_is_asked needs Hotplug;
        "T-43" altmap::t_43_no_room_for_a_block needs DeviceRecords;
        "T-44" altmap::t_44_block_is_aligned needs DeviceRecords;
        "T-45" altmap::t_45_odd_sizes needs DeviceRecords;
        "T-46" altmap::t_46_altmap_must_fit_its_range needs DeviceRecords;
        "T-47" altmap::t_47_x86_takes_whole_sections needs DeviceRecordsByX86;
        "T-48" altmap::t_48_shifted_namespace needs DeviceRecords;
        "T-49" altmap::t_49_reserve_is_never_initialised needs DeviceRecords;
        "T-50" zones::t_50_zone_shrinks_from_its_ends needs Hotplug;
        "T-51" zones::t_51_zone_of_sub_sections needs Subsections;
        "T-52" zones::t_52_device_memory_is_never_present needs Hotplug;
        "T-53" blocks::t_53_ram_comes_in_blocks needs Hotplug;
        "T-54" blocks::t_54_block_that_is_not_whole_stays_offline needs Subsections;
        "T-55" blocks::t_55_block_with_holes_stays_online needs Hotplug;
        "T-56" blocks::t_56_block_size needs Hotplug;
        "T-57" pagemaps::t_57_mappings_do_not_overlap needs Subsections;
        "T-58" pagemaps::t_58_ram_is_not_mapped needs Hotplug;
        "T-59" pagemaps::t_59_unmapping_waits_for_references needs Hotplug;
        "T-70" beyond::t_70_walk needs Subsections;
        "T-73" blocks::t_73_memmap_on_memory needs DeviceRecords;
        "appear_and_disappear" beyond::added_memory_appears_and_disappears needs Hotplug;
        "refusals" beyond::refusals_change_nothing needs Hotplug;
        "every_allocation_may_fail" beyond::every_allocation_may_fail needs Hotplug;
        "readers_hold_up_removal" beyond::a_reader_holds_up_removal_and_its_own_thread_is_told needs Hotplug;
        "lives" beyond::every_life_of_a_record_is_new needs Hotplug;
        "over_the_limit" beyond::what_cannot_be_backed_is_not_half_added needs Hotplug;
        "initialising_threads" initialising::threads_write_what_one_would needs Hotplug;
        "machine_refusals" beyond::a_machine_refuses_and_stays needs Hotplug;
    }
}

thread_local! {
    /// Backing of the records in the cases that this thread runs. It is thread-local because no
    /// case depends on it.
    static BACKING: RefCell<RamBacking> = const { RefCell::new(RamBacking::Anon) };
}

/// The backing of this run without a limit, every section backed.
fn store() -> RecordStore {
    RecordStore { backing: BACKING.with_borrow(Clone::clone), ..RecordStore::unlimited() }
}

/// Runs every case on every layout of the list, with records in anonymous private memory.
pub fn run_all() -> Vec<Run> {
    run_all_on(&RamBacking::Anon)
}

/// Runs every case on every layout of the list, with records in the given backing.
pub fn run_all_on(backing: &RamBacking) -> Vec<Run> {
    run_family_on::<BuiltIn>(backing)
}

/// Runs every case on the layouts of a family, such as one of another crate, with records in private memory. A case that
/// panics has failed.
pub fn run_family<F: Family>() -> Vec<Run> {
    run_family_on::<F>(&RamBacking::Anon)
}

/// The same with records on a backing.
pub fn run_family_on<F: Family>(backing: &RamBacking) -> Vec<Run> {
    let before = BACKING.replace(backing.clone());
    let runs = run_in_this_thread::<F>();
    BACKING.set(before);
    runs
}

fn run_in_this_thread<F: Family>() -> Vec<Run> {
    let mut suite = Suite { on: On::X86, unreadable: None, runs: Vec::new() };
    F::show::<X86_64>(&mut suite);
    suite.on = On::Pages64K;
    F::show::<Arm64Pages64K>(&mut suite);
    suite.on = On::FromMegabyteOne;
    F::show::<FromMegabyteOne>(&mut suite);
    // By layout, in the order of the list; then by number.
    let order: Vec<&str> = suite.runs.iter().map(|run| run.layout).collect();
    let place = |run: &Run| order.iter().position(|layout| *layout == run.layout);
    suite.runs.sort_by_key(|run| (place(run), !run.is_numbered(), run.is_numbered().then_some(run.case)));
    suite.runs
}

struct Suite {
    on: On,
    /// The layout whose records cannot be read.
    unreadable: Option<&'static str>,
    runs: Vec<Run>,
}

impl Suite {
    fn run<G: Geometry>(&mut self, layout: &'static str, caps: Capabilities, cases: Vec<Case<Runner>>) {
        let held = Held::to(caps);
        let refused = BACKING.with_borrow(RamBacking::refuses_devices).filter(|_| caps.records_on_device.any());
        for case in cases.into_iter().filter(|case| case.on == self.on) {
            let unreadable = self.unreadable.filter(|id| *id == layout).map(|_| "its records are nowhere");
            let outcome = match refused.or(unreadable).or(case.needs.lacking::<G>(&caps)) {
                Some(why) => Outcome::Skipped(why),
                None => match catch_unwind(|| (case.run)(&held)) {
                    Ok(done) => done.map_or_else(Outcome::Failed, |()| Outcome::Passed),
                    Err(panic) => Outcome::Failed(format!("a panic: {}", panic_message(&*panic))),
                },
            };
            // Whatever reads such a record ends the process.
            if case.id == "record_addresses" && matches!(outcome, Outcome::Failed(_)) {
                self.unreadable = Some(layout);
            }
            self.runs.push(Run { layout, case: case.id, name: case.name, outcome });
        }
    }
}

/// No record lies below this address, for nothing is mapped there: the default of `vm.mmap_min_addr`.
pub const LEAST_ADDRESS: usize = 1 << 16;

/// What a panic said.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

impl<G: Geometry> Visitor<G> for Suite {
    fn fixed<L: Memmap<Geometry = G>>(&mut self) {
        self.run::<G>(L::ID, L::CAPS, cases_for_all::<L>());
        // The names come from a layout that has hotplug; none of the cases is run.
        let with_hotplug = cases_with_hotplug::<crate::layouts::Subsection<G>>();
        debug_assert!(with_hotplug.iter().all(|case| case.needs.lacking::<G>(&L::CAPS).is_some()));
        self.run::<G>(L::ID, L::CAPS, with_hotplug);
    }

    fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
        self.run::<G>(L::ID, L::CAPS, cases_for_all::<L>());
        self.run::<G>(L::ID, L::CAPS, cases_with_hotplug::<L>());
    }
}

/// Page frames per section.
fn s<L: Memmap>() -> u64 {
    L::Geometry::PAGES_PER_SECTION
}

/// Page frames per sub-section.
fn u<L: Memmap>() -> u64 {
    L::Geometry::PAGES_PER_SUBSECTION
}

/// Minimum size of a hot-added range, in page frames; a section for layouts without hotplug.
fn granule<L: Hotplug>() -> u64 {
    L::CAPS.hotplug_granule_pages.unwrap_or(L::Geometry::PAGES_PER_SECTION)
}

fn boot_map(ranges: &[(u64, u64)]) -> BootMap {
    let ranges = ranges.iter().filter_map(|&(start, end)| PfnRange::new(start, end));
    BootMap::new(ranges.map(|range| BootRange { range, node: 0 })).expect("the suite's maps do not overlap")
}

/// 120 MiB of memory: low memory with a hole, a partly present section, and a whole section.
fn small_machine() -> BootMap {
    boot_map(&[(0, 0xa0), (0x100, 0x1400), (0x2800, 0x6a64), (0x8000, 0xa400)])
}

/// RAM from 4 GiB on that ends inside section 0x3f, where a device begins.
fn ram_before_a_device() -> BootMap {
    boot_map(&[(0x100000, 0x1fc000)])
}

/// The device that follows [`ram_before_a_device`], 4 GiB long.
fn the_device() -> PfnRange {
    range(0x1fc000, 0x100000)
}

fn boot_with<L: Memmap>(map: &BootMap, store: RecordStore) -> Result<L, String> {
    L::boot(map, &Config::default(), store).map_err(|error| format!("boot: {error}"))
}

fn boot<L: Memmap>(map: &BootMap) -> Result<L, String> {
    boot_with(map, store())
}

fn machine<L: Hotplug + Inspect + SectionFlags>(map: &BootMap) -> Result<Machine<L>, String> {
    Machine::boot(map, MachineConfig::default(), &Config::default(), store()).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn range(start: u64, nr_pages: u64) -> PfnRange {
    PfnRange::from_len(start, nr_pages).expect("the suite's ranges do not wrap")
}

/// A tmpfs file that emulates the device of a range.
fn device<L: Memmap>(range: PfnRange) -> Result<Arc<DaxDevice>, String> {
    let bytes = range.nr_pages() << L::Geometry::PAGE_SHIFT;
    Ok(Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), bytes).map_err(text)?))
}

/// Parameters with which this suite adds a range: with the records on a device if the layout
/// supports it.
fn params<L: Memmap>(range: PfnRange, backed: &BackedSections) -> Result<AddParams, String> {
    if !L::CAPS.records_on_device.any() {
        return Ok(AddParams::default());
    }
    let altmap = Altmap::for_range::<L::Geometry>(device::<L>(range)?, range, backed).map_err(text)?;
    Ok(AddParams { altmap: Some(Arc::new(altmap)), ..AddParams::default() })
}

fn add<L: Hotplug>(layout: &L, range: PfnRange) -> Result<(), HotplugError> {
    layout.add(range, &params_if_possible::<L>(range, layout.backed()), &mut ())
}

/// As [`params`], but without an altmap for ranges that no machine has, and if the page size is not
/// the host's.
fn params_if_possible<L: Memmap>(range: PfnRange, backed: &BackedSections) -> AddParams {
    let host = rustix::param::page_size() as u64;
    let possible = host == L::Geometry::PAGE_SIZE && !range.is_empty() && range.end() <= L::Geometry::NR_PFNS;
    match possible.then(|| params::<L>(range, backed)) {
        Some(Ok(how)) => how,
        Some(Err(error)) => panic!("a device for {range}: {error}"),
        None => AddParams::default(),
    }
}

fn remove<L: Hotplug>(layout: &L, range: PfnRange) -> Result<(), HotplugError> {
    layout.remove(range, &RemoveParams::default(), &mut ())
}

/// The first word of a section's sub-section map; 0 if it has none.
fn map<L: Inspect>(layout: &L, nr: u64) -> u64 {
    layout.section_state(nr).and_then(|state| state.subsection_map.first().copied()).unwrap_or(0)
}

/// The flags of a section's word.
fn flags<L: Memmap>(layout: &L, nr: u64) -> u64 {
    layout.reader().section_flags(Pfn(L::Geometry::section_start(nr)))
}

/// Bytes of records, in RAM and on devices.
fn record_bytes<L: Inspect>(layout: &L) -> u64 {
    let accounting = layout.accounting();
    accounting.ram_record_bytes + accounting.device_record_bytes
}

/// Memory used by `bytes` of records: with huge pages, the huge pages that they touch.
fn taking(bytes: u64, nr_huge_pages: u64) -> u64 {
    match BACKING.with_borrow(|backing| *backing == RamBacking::Hugetlb) {
        true => nr_huge_pages * (2 << 20),
        false => bytes,
    }
}

/// Bytes of the records of `nr_pages` page frames.
fn records_of(nr_pages: u64) -> u64 {
    nr_pages * PAGE_RECORD_BYTES
}

/// Accounts without the root pages, which stay once allocated.
fn accounts<L: Inspect>(layout: &L) -> Accounting {
    Accounting { roots: 0, ..layout.accounting() }
}

fn valid<L: Memmap>(layout: &L, pfn: u64) -> bool {
    layout.reader().pfn_valid(Pfn(pfn))
}

/// True if the record belongs to `pfn`, or if it lies in the reserve of an altmap and was never
/// initialised. This suite puts the reserve at the start of a range, which is the start of a
/// sub-section.
fn is_right<L: Memmap>(page: &Page, pfn: Pfn) -> bool {
    let in_reserve = L::CAPS.records_on_device.any() && pfn.0 % u::<L>() < INFO_BLOCK_PAGES;
    page.is_of(pfn) || in_reserve && page.is_poisoned()
}

/// Checks that every pfn of a range is valid and has its own record.
fn all_readable<L: Memmap>(layout: &L, range: PfnRange) -> Check {
    let reader = layout.reader();
    for pfn in (range.start()..range.end()).map(Pfn) {
        let page = reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?;
        check!(is_right::<L>(page, pfn), "the record of {pfn} says {:?}", page.identity());
    }
    Ok(())
}

/// Checks that `pfn_valid` agrees with the oracle, and that valid pfns of backed sections translate
/// to their own record and back.
fn agree<L: Memmap>(layout: &L, oracle: &Oracle<L::Geometry>) -> Check {
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
        check!(is_right::<L>(page, pfn), "the record of {pfn} says {:?}", page.identity());
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
fn walk_agrees<L: Memmap>(layout: &L, from: u64, end: u64) -> Check {
    let reader = layout.reader();
    let mut at = from;
    for pfn in (from..end).filter(|&pfn| reader.pfn_valid(Pfn(pfn))) {
        let next = reader.next_valid_pfn(Pfn(at), Pfn(end));
        check!(next == Some(Pfn(pfn)), "the walk from {at:#x} finds {next:?}, not {pfn:#x}");
        at = pfn + 1;
    }
    let rest = reader.next_valid_pfn(Pfn(at), Pfn(end));
    check!(rest.is_none(), "the walk from {at:#x} finds {rest:?} where nothing is");
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::geometry::{GeometryVisitor, for_each_geometry};
    use crate::layouts::visit;

    /// The numbered cases that this suite runs: all but the two unit tests.
    fn numbered() -> Vec<String> {
        let numbers = (1..=59).chain([70, 73]).filter(|nr| ![16, 37].contains(nr));
        numbers.map(|nr| format!("T-{nr:02}")).collect()
    }

    #[test]
    fn every_layout_conforms() {
        let runs = run_all();
        let failed: Vec<_> = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_))).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let passed = |case: &str| runs.iter().any(|run| run.case == case && run.outcome == Outcome::Passed);
        let never_run: Vec<_> = numbered().into_iter().filter(|case| !passed(case)).collect();
        assert!(never_run.is_empty(), "no layout runs {never_run:?}");
        let mut skips = std::collections::BTreeMap::<_, Vec<_>>::new();
        for run in &runs {
            if let Outcome::Skipped(why) = run.outcome {
                skips.entry((run.layout, why)).or_default().push(run.case);
            }
        }
        for ((layout, why), cases) in skips {
            println!("{layout} skips {}: {why}: {}", cases.len(), cases.join(" "));
        }
    }

    #[test]
    fn every_case_has_the_number_that_its_name_says() {
        let cases =
            cases_for_all::<crate::layouts::Dax>().into_iter().chain(cases_with_hotplug::<crate::layouts::Dax>());
        let mut ids = Vec::new();
        for case in cases {
            if let Some(number) = case.id.strip_prefix("T-") {
                assert!(case.name.starts_with(&format!("t_{number}_")), "{} is {}", case.id, case.name);
                ids.push(case.id.to_owned());
            }
        }
        ids.sort();
        assert_eq!(ids, numbered(), "each once");
    }

    /// The table in the README that maps patches to files and cases names only files and cases that
    /// exist.
    #[test]
    fn the_readme_names_files_and_cases_that_exist() {
        let readme = include_str!("../../README.md");
        let patches = readme.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
        assert_eq!(patches.count(), 12);
        // T-60 to T-69 are unit tests of namespaces, just as T-16 and T-37 are unit tests.
        let of_namespaces = (60..=69).map(|nr| format!("T-{nr}"));
        let known: Vec<String> =
            numbered().into_iter().chain(["T-16".into(), "T-37".into()]).chain(of_namespaces).collect();
        let words = |text: &'static str| {
            text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c)))
                .map(|word| word.trim_end_matches('.'))
        };
        let named: Vec<&str> = words(readme).filter(|word| word.starts_with("T-")).collect();
        for case in &named {
            assert!(known.iter().any(|known| known == case), "{case} is no case");
        }
        for case in ["T-01", "T-37", "T-59", "T-70", "T-73"] {
            assert!(named.contains(&case), "{case} proves nothing");
        }
        for file in words(readme).filter(|word| word.ends_with(".rs") && word.len() > 3) {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let there = ["src", "."].iter().any(|dir| root.join(dir).join(file).is_file());
            assert!(there, "{file} is not there");
        }
    }

    /// Random operations, and the end of the physical address space, on every architecture:
    /// sections of 16 MiB to 1 GiB, pages of 4 to 64 KiB, maps of 1 to 8 words.
    #[test]
    fn every_layout_agrees_on_every_architecture() {
        struct Geometries(u32);
        struct Layouts(u32);
        impl GeometryVisitor for Geometries {
            fn visit<G: Geometry>(&mut self) {
                let mut layouts = Layouts(0);
                visit::<G>(&mut layouts);
                self.0 += layouts.0;
            }
        }
        impl<G: Geometry> Visitor<G> for Layouts {
            fn fixed<L: Memmap<Geometry = G>>(&mut self) {}
            fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
                let done = random_operations_agree_with_the_oracle::<L>(200, 11);
                assert_eq!(done, Ok(()), "{} on {}", L::ID, G::ID);
                let done = adding::t_26_beyond_the_physical_space::<L>(&Held::to(L::CAPS));
                assert_eq!(done, Ok(()), "{} at the end of {}", L::ID, G::ID);
                self.0 += 1;
            }
        }
        let mut geometries = Geometries(0);
        for_each_geometry(&mut geometries);
        assert!(geometries.0 >= 50, "{} pairs", geometries.0);
    }

    #[test]
    fn every_layout_has_every_case_once() {
        let runs = run_all_names();
        let layouts: std::collections::BTreeSet<_> = runs.iter().map(|(layout, _)| *layout).collect();
        for layout in layouts {
            let mut cases: Vec<_> = runs.iter().filter(|(of, _)| *of == layout).map(|(_, case)| *case).collect();
            let count = cases.len();
            cases.sort_unstable();
            cases.dedup();
            assert_eq!(cases.len(), count, "{layout}");
            assert_eq!(cases.iter().filter(|case| case.starts_with("T-")).count(), numbered().len(), "{layout}");
        }
    }

    /// The layouts and cases, without running any.
    fn run_all_names() -> Vec<(&'static str, &'static str)> {
        struct Names(Vec<(&'static str, &'static str)>);
        impl<G: Geometry> Visitor<G> for Names {
            fn fixed<L: Memmap<Geometry = G>>(&mut self) {
                self.0.extend(cases_for_all::<L>().iter().map(|case| (L::ID, case.id)));
                let rest = cases_with_hotplug::<crate::layouts::Subsection<G>>();
                self.0.extend(rest.iter().map(|case| (L::ID, case.id)));
            }
            fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
                let all = cases_for_all::<L>().into_iter().chain(cases_with_hotplug::<L>());
                self.0.extend(all.map(|case| (L::ID, case.id)));
            }
        }
        let mut names = Names(Vec::new());
        visit::<X86_64>(&mut names);
        names.0
    }
}
