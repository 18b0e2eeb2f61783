//! The rules by which requests are refused; each has a stable code.

use serde::Serialize;

/// A rule. Its code is never used for another rule, in later versions either.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `MB1xx` is about memory blocks and hot-added memory. `NS1xx` is about the request, `NS2xx` about its range, `NS3xx` about the info block, `NS4xx`
    /// about medium and labels, `NS5xx` about the machine.
    pub code: &'static str,
    /// The violation, as the end of a sentence that begins with the request.
    pub wrong: &'static str,
    /// The condition that must hold.
    pub rule: &'static str,
    /// The source of the rule, e.g. a kernel function, and since which version it holds.
    pub source: &'static str,
    /// Exit code of the command line. 1: the medium, the region or the machine refuses. 2: the
    /// request is invalid on any of them.
    pub exit_code: u8,
}

impl Rule {
    /// The command that explains it.
    pub fn command(&self) -> String {
        let verb = if self.code.starts_with("NS") { "namespace explain" } else { "explain" };
        format!("pfnbench {verb} {}", self.code)
    }
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
    WHOLE_BLOCKS 1 "MB101" "does not consist of whole memory blocks"
        "hot-added RAM starts and ends at multiples of the memory block size; before Linux 4.17, of the section size"
        "mm/memory_hotplug.c check_hotplug_memory_range, EINVAL"
    NO_WHOLE_BLOCK 1 "MB102" "contains no whole memory block"
        "memory of a driver is cut inwards to whole memory blocks, range by range, and at least one must remain"
        "drivers/dax/kmem.c dev_dax_kmem_probe, EINVAL; Linux since 5.15, which before bound the driver and added nothing"
    MAPPABLE 1 "MB103" "ends above the highest address that can be mapped"
        "added memory ends within the addresses that can have records"
        "mm/memory_hotplug.c mhp_range_allowed; Linux since 5.12, check_hotplug_memory_addressable before"
    NODE 1 "MB104" "names a NUMA node that does not exist"
        "RAM is added to a node that the firmware announced at boot"
        "mm/memory_hotplug.c add_memory_resource, EINVAL"
    OCCUPIED 1 "MB105" "overlaps memory that is in use"
        "a physical address has one owner"
        "mm/memory_hotplug.c register_memory_resource, EEXIST; kernel/resource.c"
    BLOCK_EXISTS 1 "MB106" "shares a memory block with RAM"
        "a memory block is added once, as a whole"
        "drivers/base/memory.c create_memory_block_devices, EEXIST"
    WHOLE_PAGES 1 "MB107" "does not consist of whole pages"
        "memory starts and ends at multiples of the page size"
        "include/linux/pfn.h"
    WHOLE_SUB_SECTIONS 1 "MB108" "does not consist of whole sub-sections"
        "a device mapping starts and ends at multiples of 2 MiB, a sub-section"
        "mm/memory_hotplug.c check_pfn_span, EINVAL; Linux since 5.3"
    CXL_UNIT 1 "MB109" "is not a multiple of 256 MiB"
        "base and size of CXL windows and regions are multiples of 256 MiB"
        "drivers/cxl/acpi.c cxl_acpi_cfmws_verify, drivers/cxl/core/region.c alloc_hpa, EINVAL"
    EXTENT_UNIT 1 "MB110" "is not a multiple of 2 MiB"
        "start and length of an extent of dynamic capacity are multiples of 2 MiB, else its whole group is dropped"
        "CXL dynamic capacity as posted (v11, 2026), PMD_SIZE; not in Linux 7.2"
    OUTSIDE_WINDOWS 1 "MB111" "is outside of all CXL windows"
        "CXL memory appears inside a window that the firmware describes (CFMWS)"
        "drivers/cxl/core/region.c alloc_hpa"
    NO_SUPPORT 1 "MB112" "is a kind of memory that this kernel cannot add"
        "virtio-mem needs Linux 5.8, DAX devices as RAM 5.1, CXL regions 6.0, riscv64 6.11 for any memory"
        "drivers/virtio/virtio_mem.c, drivers/dax/kmem.c, drivers/cxl/core/region.c"
    REMOVABLE 1 "MB113" "is not memory that was added"
        "memory is removed as it was added: whole memory blocks that are offline, or a whole mapping"
        "mm/memory_hotplug.c try_remove_memory, mm/memremap.c memunmap_pages"

    SIZE 2 "NS101" "has a size that is not a multiple of the region's alignment"
        "the size of a namespace is a positive multiple of the region's alignment"
        "drivers/nvdimm/namespace_devs.c __size_store, region_devs.c align_store; Linux since 5.7"
    DATA_ALIGN 2 "NS102" "requests an unsupported data alignment"
        "the data alignment is a size that one page table entry maps: 4 KiB, 2 MiB or 1 GiB with 4 KiB pages"
        "drivers/nvdimm/pfn_devs.c nd_pfn_supported_alignments"
    REGION_ALIGN 2 "NS103" "has an invalid alignment"
        "the alignment of a region is a power of two of at least one page for each of its DIMMs, times their number, up to the size of the region"
        "drivers/nvdimm/region_devs.c align_store; Linux since 5.7"
    BEYOND 2 "NS104" "exceeds the physical address space, or is empty"
        "a range ends within the physical address space: 46 bits on x86-64 for machines and plans, 56 bits for regions"
        "mm/memory_hotplug.c mhp_range_allowed"
    START_PAGE 2 "NS105" "does not start on a page boundary"
        "physical ranges start at a page frame, a multiple of 4 KiB"
        "include/linux/pfn.h"
    NOTHING 2 "NS106" "would hold no data"
        "a namespace holds at least one byte of data"
        "pfnbench"
    NAME 2 "NS107" "has a name or UUID that a label cannot hold"
        "a name has 1 to 64 bytes of UTF-8 without invisible or reordering characters; UUIDs are unique"
        "label format of pfnbench"
    REGION_SIZE 2 "NS108" "is smaller than a page"
        "a region has at least one page of 4 KiB"
        "include/linux/pfn.h"
    MINIMUM 2 "NS109" "is too small for records"
        "a namespace with records has at least 16 MiB; a raw one has no records"
        "drivers/nvdimm/claim.c nd_namespace_store, ENXIO"

    START 1 "NS201" "does not start on a sub-section boundary"
        "a mapping starts at a multiple of 2 MiB, a sub-section: the smallest unit with records of its own"
        "drivers/nvdimm/pfn_devs.c nd_pfn_init and nd_pfn_validate; Linux since 5.7, and memremap_pages since 5.3"
    END 1 "NS202" "does not end on a sub-section boundary"
        "a mapping ends at a multiple of 2 MiB, a sub-section"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate; Linux since 5.7, and memremap_pages since 5.3"
    ROOM 1 "NS203" "has no room for data"
        "header, records and padding leave at least one aligned unit for data"
        "drivers/nvdimm/pfn_devs.c nd_pfn_init"
    FREE 1 "NS204" "does not fit into the region"
        "a namespace is one contiguous range of its region"
        "drivers/nvdimm/dimm_devs.c nd_pmem_max_contiguous_dpa"
    TAKEN 1 "NS205" "overlaps a range that is in use"
        "a physical address has one owner"
        "kernel/resource.c request_resource"
    NO_SIZE 1 "NS206" "cannot hold that much data here"
        "header, records, padding and data fit below the next neighbour"
        "drivers/nvdimm/pfn_devs.c nd_pfn_init"
    NO_SIZE_AT_ALL 2 "NS207" "cannot hold that much data at any address"
        "x86-64 with 4-level page tables has a physical address space of 46 bits"
        "mm/memory_hotplug.c mhp_range_allowed"
    FULL 1 "NS208" "needs one label more than the region has"
        "a region has at most 126 namespaces"
        "label format of pfnbench; Linux has as many as the label area of the DIMMs holds"

    SIGNATURE 1 "NS301" "has no info block of its mode"
        "the info block at 4 KiB starts with NVDIMM_PFN_INFO (fsdax) or NVDIMM_DAX_INFO (devdax)"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    CHECKSUM 1 "NS302" "has a damaged info block"
        "the Fletcher checksum in the info block matches its contents"
        "drivers/nvdimm/pfn_devs.c nd_sb_checksum"
    PARENT 1 "NS303" "has the info block of another namespace"
        "the parent UUID of the info block is the UUID of the namespace"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    MODE 1 "NS304" "has an info block with an invalid mode"
        "the mode is 1 (records in RAM) or 2 (records on the medium)"
        "drivers/nvdimm/pfn.h, nd.h enum nd_pfn_mode"
    PAGE_SIZE 1 "NS305" "was created for larger pages than this kernel has"
        "the page size in the info block is at most that of the kernel, if records are on the medium"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate; Linux since 5.4"
    RECORD_SIZE 1 "NS306" "has too little space for this kernel's records"
        "each record has at least the space of the kernel's struct page, if records are on the medium"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate; Linux since 5.4"
    SERVED 1 "NS307" "has a data alignment that this kernel does not support"
        "the data alignment is a size that one page table entry of this kernel maps"
        "drivers/nvdimm/pfn_devs.c nd_supported_alignment"
    INSTANCE 1 "NS308" "has another info block than at the previous probe"
        "the UUID of the info block does not change while the namespace exists"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    CHANGED 1 "NS309" "has an info block that changed since the previous probe"
        "alignment and mode do not change while the namespace exists"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    ALIGN_EXCEEDS 1 "NS310" "is smaller than the alignment of its data"
        "at least one unit of the data alignment fits into the namespace"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    DATA_BEYOND 1 "NS311" "ends before its data starts"
        "the data starts within the namespace"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    OFFSET 1 "NS312" "has misaligned data"
        "the sum of start, start_pad and dataoff is a multiple of the data alignment"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate"
    NOTHING_LEFT 1 "NS313" "consists of padding only"
        "start_pad and end_trunc together are smaller than the namespace"
        "drivers/nvdimm/pfn_devs.c __nvdimm_setup_pfn"
    HEAD 1 "NS314" "has data that starts within its header"
        "the data starts after the header of 8 KiB, rounded up to whole pages"
        "drivers/nvdimm/pfn_devs.c __nvdimm_setup_pfn, EINVAL"

    DAMAGED_LABELS 1 "NS401" "has damaged labels"
        "at least one copy of the labels has a valid signature, version and checksum"
        "label format of pfnbench; drivers/nvdimm/label.c likewise has two index blocks"
    INVALID_LABELS 1 "NS402" "has inconsistent labels"
        "labels describe ranges of the region that are whole pages and do not overlap"
        "drivers/nvdimm/namespace_devs.c, select_pmem_id and scan_labels"
    TRUNCATED 1 "NS403" "has a medium that is too short"
        "a medium has at least the size that its labels describe"
        "drivers/nvdimm/pfn_devs.c nd_pfn_validate, ENXIO of a read"
    MEDIUM_IO 1 "NS404" "cannot be read or written"
        "the operating system can read and write the file"
        "errno of the operating system"
    BUSY 1 "NS405" "is in use by another process"
        "a region is opened by one process that changes it, or by several that read it"
        "flock(2)"
    NO_MEDIUM 2 "NS406" "is not a valid medium"
        "a medium is a regular file (on tmpfs or a disk) or a DAX device (/dev/daxX.Y)"
        "pfnbench"
    NO_FILE 2 "NS407" "cannot be opened or created"
        "the operating system can open or create the file"
        "errno of the operating system"
    NO_NAMESPACE 2 "NS408" "does not exist"
        "a namespace is given by its name or UUID"
        "pfnbench"
    ENABLED 1 "NS409" "is enabled"
        "only a disabled namespace can be destroyed"
        "drivers/nvdimm/namespace_devs.c, EBUSY of size_store and uuid_store"
    DISABLED 1 "NS410" "is disabled"
        "a namespace that is marked as disabled is not mapped"
        "pfnbench"
    DEVICE 1 "NS411" "cannot hold records on this medium"
        "records occupy whole mapping units of the medium, each used by one namespace"
        "drivers/dax/device.c check_vma"
    READ_ONLY 1 "NS412" "cannot be opened with the permissions of this user"
        "changing a region needs read and write permission, inspecting it read permission"
        "open(2), EACCES and EROFS"
    NO_LABELS 2 "NS413" "has no labels"
        "the labels of a region are in a file beside its medium"
        "pfnbench"
    ONE_FILE 2 "NS414" "cannot be both the medium and its labels"
        "medium and labels are two different files"
        "pfnbench"
    LABELS_PLACE 2 "NS415" "has no default label file"
        "the label file of a device is given with --labels"
        "pfnbench"
    MEDIUM_SIZE 2 "NS416" "is given a wrong size, or none"
        "a new file needs a size, and an existing medium keeps its own"
        "pfnbench"
    IS_REGION 2 "NS417" "is a region already"
        "a region is created once, and existing labels are not overwritten"
        "pfnbench"
    LABELS_FILE 2 "NS418" "cannot hold labels"
        "labels are in a regular file"
        "pfnbench"

    MACHINE 1 "NS501" "is not mapped by the machine"
        "memremap_pages accepts ranges that are not in use"
        "mm/memremap.c"
    CONFLICT 1 "NS502" "shares a unit of added memory with another mapping"
        "each unit belongs to one mapping: a section of 128 MiB before Linux 5.3, a sub-section of 2 MiB since"
        "mm/memremap.c pagemap_range, Conflicting mapping"
    RAM 1 "NS503" "shares a unit of added memory with RAM"
        "no unit contains System RAM: a section of 128 MiB before Linux 5.3, a sub-section of 2 MiB since"
        "mm/memremap.c, attempted on mixed region"
    ALTMAP 1 "NS504" "has too little space on its medium for all records"
        "the altmap holds a naturally aligned block of records for each section or partial section"
        "mm/sparse-vmemmap.c altmap_alloc_block_buf"
    GRID 1 "NS505" "does not fit the hotplug granularity of this layout"
        "a layout adds memory in whole units: sub-sections of 2 MiB, or sections of 128 MiB"
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
