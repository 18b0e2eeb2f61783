//! Whose rules a VMEMMAP layout and its machine follow: Linux before the sub-section series, the series as posted, or since.
//!
//! Zero-sized types, not switches: what a rule decides is decided when the layout is compiled. A set of rules is written
//! down as what differs from [`RuleSet::MERGED`]; the bugs (B-…) are those found after the series was posted.

use crate::memmap::Validity;
use std::fmt::Debug;

/// Rules of a time. A set of one's own begins as [`RuleSet::MERGED`] and changes fields of it.
pub trait Rules: Copy + Debug + Default + Send + Sync + 'static {
    /// Name of the layout that follows them with records in RAM; `None` for the rules of today, which need no name.
    const LAYOUT_ID: Option<&'static str>;
    /// One line for people, where the layout has a name of its own.
    const ABOUT: &'static str;
    /// What they say.
    const SET: RuleSet;
}

/// What rules decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// What is valid.
    pub validity: Validity,
    /// Memory comes and goes in whole sections, and a mapping is rounded outwards to them.
    pub whole_sections: bool,
    /// Whose grid it is, for messages.
    pub grid: &'static str,
    /// A range off the grid is refused; otherwise it is tracked by the sub-sections that it covers in size.
    pub checks_grid: bool,
    /// The map of a section has 64 bits whatever the section's size, so a sub-section is a 64th of it.
    pub map_is_one_long: bool,
    /// Ranges of boot memory that meet in a section add up; otherwise the last one alone counts (B-01).
    pub boot_bits_add_up: bool,
    /// Adding what is there is an error; otherwise it is skipped, and reported as success (B-04).
    pub overlap_is_an_error: bool,
    /// Records of a boot section go with the section only; otherwise also with each part removed, while it lives on (B-07).
    pub boot_records_go_whole: bool,
    /// The word of a section holds the map's address, and is blank once the section is empty (B-13).
    pub word_is_kept_right: bool,
    /// Removal takes the caller's word for whether memory blocks are concerned (patch 6 of the series as posted).
    pub removal_takes_restrictions: bool,
    /// A section that mixes device memory with other memory is marked, and `pfn_to_online_page` asks the mappings (B-06).
    pub taints_mixed_sections: bool,
    /// The span of ZONE_DEVICE never shrinks, for its records may not be initialised (B-05).
    pub device_zone_only_grows: bool,
    /// Putting a block online that is not whole fails with EBUSY (`pages_correctly_probed`, until 5.6), since then EINVAL.
    pub block_with_holes_is_busy: bool,
    /// A namespace is padded to whole sections where others share them (until 5.2; patch 12 of the series).
    pub pads_namespaces: bool,
    /// What lay in the flags and the padding of an info block stays there when a new one is written (until 5.2; patch 11 of the
    /// series).
    pub keeps_stale_fields: bool,
    /// A namespace whose info block cannot be used is a raw block device (B-15); since then it is refused.
    pub unusable_block_is_raw: bool,
    /// `pfn_valid` holds `rcu_read_lock_sched`, which disables preemption: since Linux 6.8, which fixed B-09 with it.
    pub pfn_valid_disables_preemption: bool,
    /// Records are backed and written before a sub-section is seen; the kernel sets the bit first in a live section (D-1). Not
    /// to be chosen from outside: lookups lean on it.
    pub(crate) populate_first: bool,
    /// Records go after the readers of before have gone; the kernel unmaps them at once (D-2). As above.
    pub(crate) grace_for_records: bool,
}

impl RuleSet {
    /// Linux 5.3 (v10 of the series) with every fix since, and with our deviations D-1 to D-4, which are strictly stronger.
    pub const MERGED: RuleSet = RuleSet {
        validity: Validity::Subsection { early_is_whole: true },
        whole_sections: false,
        grid: "VMEMMAP adds and removes sub-sections, since Linux 5.3",
        checks_grid: true,
        map_is_one_long: false,
        boot_bits_add_up: true,
        overlap_is_an_error: true,
        boot_records_go_whole: true,
        word_is_kept_right: true,
        removal_takes_restrictions: false,
        taints_mixed_sections: true,
        device_zone_only_grows: true,
        block_with_holes_is_busy: false,
        pads_namespaces: false,
        keeps_stale_fields: false,
        unusable_block_is_raw: false,
        pfn_valid_disables_preemption: true,
        populate_first: true,
        grace_for_records: true,
    };
}

/// Linux 5.2: a section is valid or not, and hotplug knows nothing smaller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before;

impl Rules for Before {
    const LAYOUT_ID: Option<&'static str> = Some("vmemmap-section");
    const ABOUT: &'static str =
        "SPARSEMEM_VMEMMAP before the series: whole-section validity over the same virtual array";
    const SET: RuleSet = RuleSet {
        validity: Validity::Section,
        whole_sections: true,
        grid: "VMEMMAP added and removed whole sections before Linux 5.3",
        taints_mixed_sections: false,
        block_with_holes_is_busy: true,
        pads_namespaces: true,
        keeps_stale_fields: true,
        unusable_block_is_raw: true,
        pfn_valid_disables_preemption: false,
        ..RuleSet::MERGED
    };
}

/// The series as merged in Linux 5.3 (v10), with the fixes since.
#[derive(Clone, Copy, Debug, Default)]
pub struct Merged;

impl Rules for Merged {
    const LAYOUT_ID: Option<&'static str> = None;
    const ABOUT: &'static str = "";
    const SET: RuleSet = RuleSet::MERGED;
}

/// The series as posted (v6, April 2019), with its bugs: the foil that the conformance suite must see through.
///
/// It carries the bugs that give a wrong answer. Those that crashed are left out, since a foil must live: B-03 (a descriptor
/// looked up before its root was made) and B-09 (a usage freed under its readers). Records that it would free although pages
/// need them stay, and are counted ([`Accounting::records_lost_bytes`](crate::Accounting::records_lost_bytes)). How v6 knew a
/// boot section (by the kind of page its usage lay in) is not imitated: the flag stands for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct V6;

impl Rules for V6 {
    const LAYOUT_ID: Option<&'static str> = Some("v6");
    const ABOUT: &'static str = "the series as posted in v6, with its bugs";
    const SET: RuleSet = RuleSet {
        grid: "v6 checked no grid",
        checks_grid: false,
        map_is_one_long: true,
        boot_bits_add_up: false,
        overlap_is_an_error: false,
        boot_records_go_whole: false,
        word_is_kept_right: false,
        removal_takes_restrictions: true,
        taints_mixed_sections: false,
        device_zone_only_grows: false,
        block_with_holes_is_busy: true,
        ..V6Lookups::SET
    };
}

/// The lookups of v6 over tables that are kept as today: boot memory reads the sub-section map too, as the cover letter
/// meant it when it called the cost negligible. For races.
#[derive(Clone, Copy, Debug, Default)]
pub struct V6Lookups;

impl Rules for V6Lookups {
    const LAYOUT_ID: Option<&'static str> = Some("subsection-v6");
    const ABOUT: &'static str = "SPARSEMEM_VMEMMAP with the lookups of v6: boot memory reads the sub-section map too";
    const SET: RuleSet = RuleSet {
        validity: Validity::Subsection { early_is_whole: false },
        pfn_valid_disables_preemption: false,
        ..RuleSet::MERGED
    };
}
