//! Memmap layouts: the ways in which an operating system finds the record of a physical page. All
//! of them implement one set of traits and use real memory mappings.
//!
//! Linux keeps a 64-byte `struct page` for every physical page. This crate builds, in user space,
//! the tables that find it: [FLATMEM](layouts::Flat), [classic SPARSEMEM](layouts::Sparse), and
//! SPARSEMEM_VMEMMAP [before](layouts::VmemmapSection) and [with](layouts::Subsection)
//! sub-sections, as well as [with the records on the device](layouts::Dax).
//!
//! Lookups and management are separate traits. A walker only needs [`Lookup`]; memory is added and
//! removed through [`Hotplug`].
//!
//! ```
//! use memmap_layouts::*;
//! use memmap_layouts::layouts::Subsection;
//!
//! // A machine with 256 MiB of memory, and 16 MiB of a device added at 4 GiB.
//! let ram = BootRange { range: PfnRange::new(0, 0x10000).unwrap(), node: 0 };
//! let layout: Subsection = Subsection::boot(&BootMap::new([ram])?, &Config::default(), RecordStore::unlimited())?;
//! let device = PfnRange::from_len(0x100000, 8 * 512).unwrap();
//! layout.add(device, &AddParams::default(), &mut ())?;
//!
//! let reader = layout.reader();
//! assert!(reader.valid_to_page(Pfn(0x100000)).is_some());
//! assert!(reader.valid_to_page(Pfn(0x100000 + 8 * 512)).is_none());
//! drop(reader);
//! layout.remove(device, &RemoveParams::default(), &mut ())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(loom, allow(dead_code, unused_imports))]
// Some internal entry points serve persistent memory or the test tools only.
#![cfg_attr(not(all(feature = "nvdimm", feature = "conformance")), allow(dead_code))]

pub mod altmap;
pub mod backing;
mod boot_map;
mod byte_size;
mod capabilities;
#[cfg(feature = "conformance")]
pub mod conformance;
mod descriptors;
pub mod error;
#[cfg(feature = "conformance")]
pub mod fault;
#[cfg(not(feature = "conformance"))]
mod fault;
mod flat_index;
mod footprint;
mod geometry;
pub mod grace;
mod hotplug_params;
pub mod index_memory;
mod initialise;
pub mod kernel_code;
pub mod layouts;
mod load_chain;
pub mod machine;
#[cfg(feature = "conformance")]
pub mod machine_code;
mod memmap;
#[cfg(feature = "nvdimm")]
pub mod nvdimm;
#[cfg(feature = "conformance")]
pub mod oracle;
mod page;
mod page_record;
mod pfn;
mod placement;
pub mod preempt;
mod request;
pub mod rules;
pub mod section;
mod shared_tails;
mod shared_units;
pub mod store;
mod stretch;
mod subsection_map;
mod sync;
#[cfg(all(test, twin))]
mod twins;
pub mod vmem;

pub use byte_size::ByteSize;
pub use descriptors::Descriptors;
pub use error::{BootError, HotplugError};
pub use geometry::{
    Arm64Pages4K, Arm64Pages4KOf2019, Arm64Pages16K, Arm64Pages64K, Geometry, GeometryVisitor, Ppc64Pages4K,
    Ppc64Pages64K, RiscV64, S390, X86_64, X86_64La57, for_each_geometry,
};
pub use memmap::*;
pub use page::{Life, PAGE_RECORD_BYTES, Page, PageLinks, Zone};
pub use page_record::{HotplugRecord, PageRecord, record_bytes};
pub use pfn::{Pfn, PfnRange, PhysSpan};
pub use section::{
    SECTION_HAS_MEM_MAP, SECTION_IS_EARLY, SECTION_IS_ONLINE, SECTION_MARKED_PRESENT, SECTION_TAINT_ZONE_DEVICE,
};
pub use store::{BackedSections, IndexAccount, RecordBudget, RecordStore};
pub use subsection_map::BitWords;
pub use vmem::VmemError;
