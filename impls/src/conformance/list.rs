//! The list of cases, and what each needs of a layout.

use super::*;

/// The requirements on a layout: its own `CAPS` for layouts of the list, those of the merged rules
/// for the foil.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) caps: Capabilities,
    pub(super) early_is_whole: bool,
}

impl Held {
    pub(super) fn to(caps: Capabilities) -> Self {
        let early_is_whole =
            !matches!(caps.validity, Validity::Subsection { early_is_whole: false } | Validity::Ranges);
        Self { caps, early_is_whole }
    }
}

/// The feature of a layout that a case requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
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
    pub(super) fn lacking<G: Geometry>(self, caps: &Capabilities) -> Option<&'static str> {
        let granule = caps.hotplug_granule_pages;
        let (has, why) = match self {
            Self::Nothing => return None,
            Self::Span => (
                matches!(caps.validity, Validity::Span | Validity::MemorySpan),
                "its valid memory is not a single span",
            ),
            _ if granule.is_none() => (false, "the layout has no hotplug"),
            Self::Hotplug => return None,
            Self::WholeSections => (granule == Some(G::PAGES_PER_SECTION), "it can add less than whole sections"),
            Self::Subsections => (granule < Some(G::PAGES_PER_SECTION), "it can add whole sections only"),
            Self::DeviceRecords => (caps.records_on_device.any(), "its records cannot be on a device"),
            Self::DeviceRecordsByX86 => match caps.records_on_device {
                DeviceRecords::WholeSections => return None,
                DeviceRecords::Always => (false, "the records of parts of sections are on the device too"),
                DeviceRecords::Never => (false, "its records cannot be on a device"),
            },
        };
        (!has).then_some(why)
    }
}

/// x86-64 with memory that begins at 1 MiB, not at pfn 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FromMegabyteOne;

// SAFETY: the derived constants are left alone, and the map has 64 bits for 64 sub-sections.
unsafe impl Geometry for FromMegabyteOne {
    const ID: &'static str = "x86-64-from-1m";
    const PAGE_SHIFT: u32 = 12;
    const SECTION_SIZE_BITS: u32 = 27;
    const MAX_PHYSMEM_BITS: u32 = 46;
    const ARCH_PFN_OFFSET: u64 = 0x100;
    type SubsectionMap = BitWords<1>;
}

/// A case of the suite, with the feature that it needs.
pub(super) struct Case<F> {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    pub(super) run: F,
}

pub(super) type Runner = fn(&Held) -> Check;

/// A list of cases, one per line: id, function, and the feature that it needs. Only the cases of the
/// lists that are used on an architecture are compiled for it.
macro_rules! cases {
    ($layout:ty; $($id:literal $module:ident::$name:ident needs $needs:ident;)*) => {
        vec![$( Case {
            id: $id,
            name: stringify!($name),
            needs: Needs::$needs,
            run: $module::$name::<$layout> as Runner,
        } ),*]
    };
}

/// Cases on memory that does not begin at pfn 0, for FLATMEM.
pub(super) fn cases_from_megabyte_one<L: Memmap>() -> Vec<Case<Runner>> {
    cases! { L;
        "T-04" boot::t_04_flat_is_valid_over_its_span needs Span;
    }
}

/// Cases with hotplug on 64 KiB pages, where several sub-sections share a page of records.
pub(super) fn cases_with_pages_of_64k<L: Hotplug + Inspect + SectionFlags>() -> Vec<Case<Runner>> {
    cases! { L;
        "T-38" removing::t_38_shared_page_of_records needs Subsections;
    }
}

/// Cases that do not need hotplug.
pub(super) fn cases_for_all<L: Memmap>() -> Vec<Case<Runner>> {
    cases! { L;
        "record_addresses" boot::records_lie_where_memory_can needs Nothing;
        "T-01" boot::t_01_numbers_of_the_geometry needs Nothing;
        "T-02" boot::t_02_empty_machine_knows_no_page needs Nothing;
        "T-06" boot::t_06_round_trips needs Nothing;
        "boot_records" boot::records_of_boot_name_their_node_zone_and_section needs Nothing;
        "boot_map" boot::boot_map_is_answered_as_by_the_oracle needs Nothing;
        "boot_beyond_the_space" boot::memory_beyond_the_space_does_not_boot needs Nothing;
        "footprint" footprint::footprint_of_boot_memory needs Nothing;
        "backed_sections" boot::only_backed_sections_take_memory needs Nothing;
    }
}

/// Cases that need hotplug. They are skipped for layouts without it.
pub(super) fn cases_with_hotplug<L: Hotplug + Inspect + SectionFlags>() -> Vec<Case<Runner>> {
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
        "footprint_added" footprint::footprint_of_added_memory needs Hotplug;
        "refusals" beyond::refusals_change_nothing needs Hotplug;
        "every_allocation_may_fail" beyond::every_allocation_may_fail needs Hotplug;
        "readers_hold_up_removal" beyond::a_reader_holds_up_removal_and_its_own_thread_is_told needs Hotplug;
        "lives" beyond::every_life_of_a_record_is_new needs Hotplug;
        "over_the_limit" beyond::what_cannot_be_backed_is_not_half_added needs Hotplug;
        "initialising_threads" initialising::threads_write_what_one_would needs Hotplug;
        "machine_refusals" beyond::a_machine_refuses_and_stays needs Hotplug;
    }
}
