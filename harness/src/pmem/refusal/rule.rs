//! The rules for refusing namespaces; each has a stable code.

use serde::Serialize;

/// A rule. Its code is never reused for another rule.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `NS1xx` is about the request, `NS2xx` the place, `NS3xx` the info block, `NS4xx` medium and
    /// labels, `NS5xx` the machine.
    pub code: &'static str,
    /// The violation, as the end of a sentence that begins with the request.
    pub wrong: &'static str,
    /// The condition that must hold.
    pub rule: &'static str,
    /// The source of the rule, e.g. a kernel function, and since which version it holds.
    pub source: &'static str,
    /// 1: the medium, the region or the machine refuses. 2: the request is invalid on any of them.
    pub exit_code: u8,
}

macro_rules! rules {
    ($($name:ident $exit:literal $code:literal $wrong:literal $rule:literal $source:literal)*) => {
        $(#[doc = $rule] pub const $name: Rule =
            Rule { code: $code, wrong: $wrong, rule: $rule, source: $source, exit_code: $exit };)*

        /// All rules, sorted by code.
        pub const RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    SIZE 2 "NS101" "has a size off the region's alignment"
        "sizes of namespaces are multiples of the region's alignment, and not 0"
        "drivers/nvdimm/namespace_devs.c __size_store, region_devs.c align_store; Linux since 5.7"
    DATA_ALIGN 2 "NS102" "wants its data on an alignment that is not served"
        "data is aligned to what a page table maps at once: 4 KiB, 2 MiB or 1 GiB with pages of 4 KiB"
        "drivers/nvdimm/pfn_devs.c nd_pfn_supported_alignments"
    REGION_ALIGN 2 "NS103" "has an alignment that cannot be"
        "the alignment of a region is a power of two from a page to its size"
        "drivers/nvdimm/region_devs.c align_store; Linux since 5.7"
    BEYOND 2 "NS104" "leaves the physical space, or is empty"
        "a range of the physical space has an end: 46 bits of x86-64 for machines and plans, 56 at most for a region"
        "mm/memory_hotplug.c mhp_range_allowed"
    START_PAGE 2 "NS105" "begins within a page"
        "physical ranges begin at page frames, of 4 KiB here"
        "include/linux/pfn.h"
    NOTHING 2 "NS106" "would hold no data"
        "a namespace is made for at least one byte of data"
        "of this program"
    NAME 2 "NS107" "cannot be written into a label"
        "names have 1 to 64 bytes of UTF-8, without characters that are not seen or move others, and uuids are unique"
        "the format of labels, of this program"
    REGION_SIZE 2 "NS108" "has less than a page"
        "a region has at least a page, of 4 KiB here"
        "include/linux/pfn.h"
    MINIMUM 2 "NS109" "is too small to have records"
        "a namespace with records has at least 16 MiB; a raw one has none"
        "drivers/nvdimm/claim.c nd_namespace_store, ENXIO"

    START 1 "NS201" "begins off the grid of sub-sections"
        "what is mapped begins at a multiple of 2 MiB, a sub-section: smaller parts have no records of their own"
        "drivers/nvdimm/pfn_devs.c nd_pfn_init and nd_pfn_validate; Linux since 5.7, and memremap_pages since 5.3"
    END 1 "NS202" "ends off the grid of sub-sections"
        "what is mapped ends at a multiple of 2 MiB, a sub-section"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate; Linux since 5.7, and memremap_pages since 5.3"
    ROOM 1 "NS203" "has no room for data"
        "head, records and pads leave at least one aligned piece for data"
        "drivers/nvdimm/pfn_devs.c nd_pfn_init"
    FREE 1 "NS204" "does not fit into the region"
        "a namespace is one free piece of its region"
        "drivers/nvdimm/dimm_devs.c nd_pmem_max_contiguous_dpa"
    TAKEN 1 "NS205" "lies where something else is"
        "a byte of the physical space has one owner"
        "kernel/resource.c request_resource"
    NO_SIZE 1 "NS206" "cannot have so much data"
        "the space up to the next neighbour holds head, records, pads and data"
        "drivers/nvdimm/pfn_devs.c nd_pfn_init"
    NO_SIZE_AT_ALL 2 "NS207" "cannot have so much data in any physical space"
        "x86-64 with page tables of four levels has 46 bits of physical space"
        "mm/memory_hotplug.c mhp_range_allowed"
    FULL 1 "NS208" "needs one label more than there are"
        "a region has at most 126 namespaces"
        "the format of labels, of this program; Linux has as many as the label area of the DIMMs holds"

    SIGNATURE 1 "NS301" "has no info block of its kind"
        "the block at 4 KiB begins with NVDIMM_PFN_INFO (fsdax) or NVDIMM_DAX_INFO (devdax)"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    CHECKSUM 1 "NS302" "has a damaged info block"
        "the Fletcher sum of the block is the one that is written in it"
        "drivers/nvdimm/pfn_devs.c nd_sb_checksum"
    PARENT 1 "NS303" "has the info block of another namespace"
        "the parent uuid of the block is the uuid of the namespace"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    MODE 1 "NS304" "has an info block with records at no place"
        "the mode is 1 (records in RAM) or 2 (records on the medium)"
        "drivers/nvdimm/pfn.h, nd.h enum nd_pfn_mode"
    PAGE_SIZE 1 "NS305" "was made for larger pages than this kernel has"
        "records on the medium were counted for pages no larger than the kernel's"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate; Linux since 5.4"
    RECORD_SIZE 1 "NS306" "has no room for this kernel's records"
        "room on the medium was left for records at least as large as the kernel's struct page"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate; Linux since 5.4"
    SERVED 1 "NS307" "has data on an alignment that is not served here"
        "a device to be mapped is aligned to what a page table of this kernel maps at once"
        "drivers/nvdimm/pfn_devs.c nd_supported_alignment"
    INSTANCE 1 "NS308" "has another info block than was probed before"
        "the uuid of the block does not change while the namespace is there"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    CHANGED 1 "NS309" "has an info block that says something else than before"
        "alignment and mode do not change while the namespace is there"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    ALIGN_EXCEEDS 1 "NS310" "is smaller than the alignment of its data"
        "at least one alignment of data fits"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    DATA_BEYOND 1 "NS311" "ends before its data begins"
        "the data begins within the namespace"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    OFFSET 1 "NS312" "has its data off its alignment"
        "start, start_pad and dataoff together are a multiple of the alignment of the data"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    NOTHING_LEFT 1 "NS313" "leaves everything out"
        "start_pad and end_trunc leave something of the namespace"
        "drivers/nvdimm/pfn_devs.c __nvdimm_setup_pfn"
    HEAD 1 "NS314" "has its data within its head"
        "the data begins behind the 8 KiB of the head, in whole pages"
        "drivers/nvdimm/pfn_devs.c __nvdimm_setup_pfn, EINVAL"

    DAMAGED_LABELS 1 "NS401" "has damaged labels"
        "one copy of the labels has its signature, version and checksum"
        "the format of labels, of this program; drivers/nvdimm/label.c has two index blocks likewise"
    INVALID_LABELS 1 "NS402" "has labels that say what cannot be"
        "labels name pieces of the region that are whole pages and do not overlap"
        "drivers/nvdimm/namespace_devs.c, select_pmem_id and scan_labels"
    TRUNCATED 1 "NS403" "has a medium that is too short"
        "a medium has all bytes that its labels describe"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate, ENXIO of a read"
    MEDIUM_IO 1 "NS404" "cannot be read or written"
        "the system reads and writes the medium"
        "errno of the system"
    BUSY 1 "NS405" "is open elsewhere"
        "one process changes a region, or several look at it"
        "flock(2)"
    NO_MEDIUM 2 "NS406" "is no medium"
        "a medium is a regular file (on tmpfs or a disk) or a DAX device (/dev/daxX.Y)"
        "of this program"
    NO_FILE 2 "NS407" "cannot be opened or made"
        "the system opens or makes the file"
        "errno of the system"
    NO_NAMESPACE 2 "NS408" "is not there"
        "a namespace is named by its name or uuid"
        "of this program"
    ENABLED 1 "NS409" "is enabled"
        "an enabled namespace is not destroyed"
        "drivers/nvdimm/namespace_devs.c, EBUSY of size_store and uuid_store"
    DISABLED 1 "NS410" "is disabled"
        "a disabled namespace is not brought up"
        "of this program"
    DEVICE 1 "NS411" "cannot hold records there"
        "records lie on whole mapping units of the medium, and one namespace has them"
        "drivers/dax/device.c check_vma"
    READ_ONLY 1 "NS412" "may not be opened so"
        "what is changed may be written, and what is looked at read"
        "open(2), EACCES and EROFS"
    NO_LABELS 2 "NS413" "has no labels"
        "the labels of a region lie in a file beside its medium"
        "of this program"
    ONE_FILE 2 "NS414" "cannot be the medium and its labels"
        "medium and labels are two files"
        "of this program"
    LABELS_PLACE 2 "NS415" "keeps no labels"
        "the labels of a device lie in a file that is named"
        "of this program"
    MEDIUM_SIZE 2 "NS416" "is asked for a size that is not its own, or for none"
        "a file that is made needs a size, and what is there has one"
        "of this program"
    IS_REGION 2 "NS417" "is a region already"
        "a region is made once, and its labels are not written over"
        "of this program"
    LABELS_FILE 2 "NS418" "cannot hold labels"
        "labels lie in a regular file"
        "of this program"

    MACHINE 1 "NS501" "is not mapped by the machine"
        "memremap_pages takes ranges that nobody else has"
        "mm/memremap.c"
    CONFLICT 1 "NS502" "shares what is added with another mapping"
        "what is added belongs to one mapping: whole sections of 128 MiB before Linux 5.3, sub-sections of 2 MiB since"
        "mm/memremap.c pagemap_range, Conflicting mapping"
    RAM 1 "NS503" "shares what is added with RAM"
        "what is added has no System RAM in it: whole sections of 128 MiB before Linux 5.3, sub-sections of 2 MiB since"
        "mm/memremap.c, attempted on mixed region"
    ALTMAP 1 "NS504" "has no room on its medium for all records"
        "the altmap holds a naturally aligned block of records for each section or part of one"
        "mm/sparse-vmemmap.c altmap_alloc_block_buf"
    GRID 1 "NS505" "is off the grid of this machine"
        "a layout adds memory in steps of its own: sub-sections of 2 MiB, or whole sections of 128 MiB"
        "mm/memory_hotplug.c check_pfn_span"
}

/// The rule with a code; upper and lower case are equal.
pub fn find(code: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.code.eq_ignore_ascii_case(code.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_one_each_and_in_order() {
        assert!(RULES.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert_eq!(find("ns201"), Some(&START));
        assert_eq!(find("NS999"), None);
        for rule in RULES {
            assert!(matches!(rule.exit_code, 1 | 2) && !rule.wrong.is_empty() && !rule.source.is_empty(), "{rule:?}");
        }
    }
}
