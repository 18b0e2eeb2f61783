//! The kernel version whose rules a VMEMMAP layout and its machine follow: before the sub-section
//! series, the series as posted, or since the merge.
//!
//! Rules are zero-sized types, not run-time switches: each rule is resolved when the layout is
//! compiled. A set of rules is written as its differences from [`RuleSet::MERGED`]. The bugs (B-…)
//! are those found after the series was posted.

use crate::descriptors::Descriptors;
use crate::kernel_code::{BitTest, Guard, KernelCode};
use crate::memmap::Validity;
use crate::section::SECTION_MARKED_PRESENT;
use std::fmt::Debug;

/// The rules of one kernel version. To define your own, start with [`RuleSet::MERGED`] and change
/// fields one by one.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::rules::{RuleSet, Rules};
/// use memmap_layouts::{BootMap, Config, Memmap, RecordStore, X86_64};
///
/// /// The merged series, without the flag for sections that mix device memory with other memory.
/// #[derive(Clone, Copy, Debug, Default)]
/// struct Linux5_3;
///
/// impl Rules for Linux5_3 {
///     const LAYOUT_ID: Option<&'static str> = Some("linux-5.3");
///     const ABOUT: &'static str = "SPARSEMEM_VMEMMAP as in Linux 5.3";
///     const SET: RuleSet = {
///         let mut rules = RuleSet::MERGED;
///         rules.taints_mixed_sections = false;
///         rules
///     };
/// }
///
/// type Layout = Subsection<X86_64, Linux5_3>;
/// Layout::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// assert_eq!(Layout::ID, "linux-5.3");
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
pub trait Rules: Copy + Debug + Default + Send + Sync + 'static {
    /// Name of the layout that follows these rules with records in RAM, e.g. `vmemmap-section`.
    /// `None` for the current rules: the placement of the records then names the layout
    /// (`subsection`, `dax`, `dax-x86`).
    const LAYOUT_ID: Option<&'static str>;
    /// One-line description for people; empty if [`LAYOUT_ID`](Self::LAYOUT_ID) is `None`.
    const ABOUT: &'static str;
    /// The rules themselves.
    const SET: RuleSet;
    /// How a kernel's lookups get to the answer; `None` for the idea in Rust.
    const CODE: Option<KernelCode> = None;
    /// How section descriptors lie in a root page.
    const DESCRIPTORS: Descriptors = Descriptors::TODAY;
}

/// One boolean or value per rule. The field comments state the meaning of `true`.
///
/// ```
/// use memmap_layouts::rules::{Before, RuleSet, Rules};
///
/// // Before the series, hotplug worked in whole sections and namespaces were padded to them.
/// assert!(Before::SET.whole_sections && Before::SET.pads_namespaces);
/// assert!(!RuleSet::MERGED.whole_sections && !RuleSet::MERGED.pads_namespaces);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// The unit of memory for which `pfn_valid` is true.
    pub validity: Validity,
    /// Memory is added and removed in whole sections, and a mapping is rounded outwards to them.
    pub whole_sections: bool,
    /// Names the origin of the alignment rule, for error messages.
    pub grid: &'static str,
    /// A misaligned range is refused. Otherwise it is tracked by as many sub-sections as its size
    /// covers.
    pub checks_grid: bool,
    /// The map of a section has 64 bits whatever the section's size, so a sub-section is a 64th of
    /// it.
    pub map_is_one_long: bool,
    /// Ranges of boot memory in one section are all recorded; otherwise only the last one counts
    /// (B-01).
    pub boot_bits_add_up: bool,
    /// Adding memory that is present is an error; otherwise it is skipped and reported as success
    /// (B-04).
    pub overlap_is_an_error: bool,
    /// Records of a boot section are released only with the whole section; otherwise also with each
    /// removed part, while the section lives on (B-07).
    pub boot_records_go_whole: bool,
    /// `section_mem_map` holds the coded address of the map, and is cleared once the section is
    /// empty (B-13).
    pub word_is_kept_right: bool,
    /// Removal trusts the caller on whether memory blocks are concerned (patch 6 of the series as
    /// posted).
    pub removal_takes_restrictions: bool,
    /// A section that mixes device memory with other memory is marked, and `pfn_to_online_page`
    /// consults the device mappings (B-06).
    pub taints_mixed_sections: bool,
    /// The span of ZONE_DEVICE never shrinks, because shrinking it would read records that may be
    /// uninitialised (B-05).
    pub device_zone_only_grows: bool,
    /// Onlining a memory block with holes fails with EBUSY (`pages_correctly_probed`, until 5.6);
    /// since then with EINVAL.
    pub block_with_holes_is_busy: bool,
    /// A namespace is padded to whole sections if others share its sections (until 5.2; patch 12 of
    /// the series).
    pub pads_namespaces: bool,
    /// Writing a new info block keeps the old contents of its flags and padding (until 5.2; patch
    /// 11 of the series).
    pub keeps_stale_fields: bool,
    /// A namespace with an unusable info block becomes a raw block device (B-15); since then it is
    /// refused.
    pub unusable_block_is_raw: bool,
    /// A DAX device without a whole memory block is bound to `kmem` and adds nothing (until 5.14);
    /// since then it is refused.
    pub kmem_accepts_nothing: bool,
    /// The ranges of a DAX device that is RAM are removed together or not at all (queued); until 7.2
    /// those that are offline go.
    pub kmem_removes_all_or_nothing: bool,
    /// Soft-reserved memory is no resource until a device claims it (7.x), so that the "RAM buffer"
    /// behind RAM also covers what of it lies there.
    pub ram_buffer_covers_soft_reserved: bool,
    /// Records of the tail pages of compound device memory share a page (since 5.18), where no altmap
    /// has them.
    pub shares_tail_records: bool,
    /// A section has the flag `SECTION_MARKED_PRESENT`; queued changes drop it.
    pub marks_present: bool,
    /// `pfn_valid` holds `rcu_read_lock_sched`, which disables preemption: since Linux 6.8, which
    /// also fixed B-09 thereby.
    pub pfn_valid_disables_preemption: bool,
    /// Records are backed and written before a sub-section is visible. In a live section the kernel
    /// sets the bit first (D-1). Not public, because lookups rely on it.
    pub(crate) populate_first: bool,
    /// Records are released after a grace period; the kernel unmaps them at once (D-2). Not public,
    /// because lookups rely on it.
    pub(crate) grace_for_records: bool,
}

impl RuleSet {
    /// Linux 5.3 (v10 of the series) with every fix since, and with this project's deviations D-1
    /// to D-4, which give strictly stronger guarantees.
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
        kmem_accepts_nothing: false,
        kmem_removes_all_or_nothing: false,
        ram_buffer_covers_soft_reserved: false,
        shares_tail_records: true,
        marks_present: true,
        pfn_valid_disables_preemption: true,
        populate_first: true,
        grace_for_records: true,
    };

    /// `SECTION_MARKED_PRESENT`, or 0 if sections have no such flag.
    pub const fn present_flag(&self) -> u64 {
        if self.marks_present { SECTION_MARKED_PRESENT } else { 0 }
    }
}

/// Linux 5.2: a section is valid or not, and hotplug works in whole sections.
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
        kmem_accepts_nothing: true,
        shares_tail_records: false,
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

/// The series as posted (v6, April 2019), with its bugs: the foil, which the conformance suite must
/// detect.
///
/// The foil has the bugs that give a wrong answer. Those that crash are left out, because the foil
/// must keep running: B-03 (a descriptor is looked up before its root exists) and B-09 (a usage is
/// freed under its readers). Records that v6 would free although pages need them stay, and are
/// counted ([`Accounting::records_lost_bytes`](crate::Accounting::records_lost_bytes)). v6
/// recognised a boot section by the kind of page that holds its usage. Here the flag
/// `SECTION_IS_EARLY` is used instead.
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
        shares_tail_records: false,
        device_zone_only_grows: false,
        block_with_holes_is_busy: true,
        ..V6Lookups::SET
    };
}

/// The lookups of v6 over tables that follow the current rules: boot memory reads the sub-section
/// map too. This is the lookup whose cost the cover letter called negligible. For benchmarks.
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

/// Linux 5.2, with the code that a compiler makes of it for 46 bits of physical address. No package
/// has its headers, so its steps come from the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux5_2;

impl Rules for Linux5_2 {
    const LAYOUT_ID: Option<&'static str> = Some("linux-5.2");
    const ABOUT: &'static str = "Linux 5.2, before the series: whole-section validity, with the kernel's checks";
    const SET: RuleSet = Before::SET;
    const CODE: Option<KernelCode> = Some(KernelCode {
        checks_pfn: false,
        width_is_patched: false,
        checks_root: false,
        guard: Guard::None,
        checks_usage: false,
        bit_test: BitTest::Memory,
        has_walk: false,
    });
}

/// Linux 5.3, the first with the series: the rules of [`Linux5_10`], and lookups that hold no guard
/// and trust the usage pointer (B-09). No package has its headers, so its steps come from the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux5_3;

impl Rules for Linux5_3 {
    const LAYOUT_ID: Option<&'static str> = Some("linux-5.3");
    const ABOUT: &'static str = "Linux 5.3, the first with the series: no guard, bit test in memory; no taint flag";
    const SET: RuleSet = Linux5_10::SET;
    // The same checks as before the series, then the map.
    const CODE: Option<KernelCode> = Linux5_2::CODE;
}

/// Linux 5.3 to 5.11 with the fixes of its stable releases: as [`Merged`], but without the flag for
/// sections that mix device memory with other memory. The code is that of Debian's 5.10.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux5_10;

impl Rules for Linux5_10 {
    const LAYOUT_ID: Option<&'static str> = Some("linux-5.10");
    const ABOUT: &'static str = "Linux 5.10 as compiled: rcu_read_lock, bit test in memory; no taint flag";
    const SET: RuleSet = RuleSet {
        taints_mixed_sections: false,
        kmem_accepts_nothing: true,
        shares_tail_records: false,
        pfn_valid_disables_preemption: false,
        ..RuleSet::MERGED
    };
    const CODE: Option<KernelCode> = Some(KernelCode {
        checks_pfn: false,
        width_is_patched: false,
        checks_root: false,
        guard: Guard::RcuCall,
        checks_usage: true,
        bit_test: BitTest::Memory,
        has_walk: false,
    });
}

/// Linux 5.12 to 6.x with the code that gcc makes of Debian's configuration, on a machine with four
/// levels of page tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux6_1;

impl Rules for Linux6_1 {
    const LAYOUT_ID: Option<&'static str> = Some("linux-6.1");
    const ABOUT: &'static str = "Linux 6.1 as compiled: patched width, preemption count, bit test in memory";
    // The count is part of the code, so that it is not added again.
    const SET: RuleSet = RuleSet { pfn_valid_disables_preemption: false, ..RuleSet::MERGED };
    const CODE: Option<KernelCode> = Some(KernelCode {
        checks_pfn: true,
        width_is_patched: true,
        checks_root: true,
        guard: Guard::PreemptCount,
        checks_usage: true,
        bit_test: BitTest::Memory,
        has_walk: false,
    });
}

/// Linux 7.x: as [`Linux6_1`], with later rules and a walk over valid page frames. The code of its
/// lookups is the same. Read in the source of 7.2.13.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux7_2;

impl Rules for Linux7_2 {
    const LAYOUT_ID: Option<&'static str> = Some("linux-7.2");
    const ABOUT: &'static str = "Linux 7.2 as compiled: as linux-6.1, with later rules";
    const SET: RuleSet = RuleSet { ram_buffer_covers_soft_reserved: true, ..Linux6_1::SET };
    const CODE: Option<KernelCode> = match Linux6_1::CODE {
        Some(code) => Some(KernelCode { has_walk: true, ..code }),
        None => None,
    };
}

/// What is queued after 7.2, as far as it changes answers. Each rule says where it was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Next;

impl Rules for Next {
    const LAYOUT_ID: Option<&'static str> = Some("linux-next");
    const ABOUT: &'static str = "Linux as queued in 2026-10: rules after 7.2, lookups as linux-6.1";
    const SET: RuleSet = RuleSet {
        // "mm/sparse: remove SECTION_MARKED_PRESENT", commit list of mm-unstable, 2026-10-07.
        marks_present: false,
        // "dax/kmem: atomic whole-device hotplug", v6, 2026-06-30; in the same lists.
        kmem_removes_all_or_nothing: true,
        ..Linux7_2::SET
    };
    const CODE: Option<KernelCode> = Linux7_2::CODE;
}

macro_rules! descriptor_form {
    ($(#[$doc:meta])* $name:ident, $id:literal, $about:literal, $form:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Rules for $name {
            const LAYOUT_ID: Option<&'static str> = Some($id);
            const ABOUT: &'static str = $about;
            const SET: RuleSet = Next::SET;
            const CODE: Option<KernelCode> = Linux7_2::CODE;
            const DESCRIPTORS: Descriptors = $form;
        }
    };
}

descriptor_form!(
    /// [`Next`] with the change to `struct mem_section` that is queued, as it was posted: "mm/sparse:
    /// drop power-of-2 size requirement for struct mem_section", 2026-04-05.
    Sections24,
    "sections-24",
    "linux-next with 24-byte section descriptors, 170 in a root page, as a queued change has it",
    Descriptors::new(24, true)
);
descriptor_form!(
    /// [`Next`] with 24-byte descriptors, of which a root page has a power of two.
    Sections24Mask,
    "sections-24-mask",
    "linux-next with 24-byte section descriptors, 128 in a root page",
    Descriptors::new(24, false)
);
descriptor_form!(
    /// [`Next`] with `CONFIG_PAGE_EXTENSION`: descriptors of 32 bytes.
    Sections32,
    "sections-32",
    "linux-next with 32-byte section descriptors, as with page extensions",
    Descriptors::new(32, true)
);
