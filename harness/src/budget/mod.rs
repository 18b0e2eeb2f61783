//! What a guest needs to add memory: records and page tables, where they live, and how much fits.
//!
//! When RAM is hot-added, its records (`struct page`) and the page tables that map it are allocated before it is
//! online, from memory that the guest already has, unless the records are on the device (altmap) or in the added
//! block itself (`memmap_on_memory`). Page tables are always in RAM. Everything here takes plain values and
//! prints nothing.
//!
//! | module | contents |
//! | --- | --- |
//! | [`request`] | what is added, to which guest, and how; the rules of Linux for it |
//! | [`need`] | records and page tables of added memory, in bytes |
//! | [`plan`] | whether it fits, the largest step, the largest total |
//! | [`step_time`] | how long a step takes, from measured hot-adds |
//!
//! Source: `arch/x86/mm/init.c` (`split_mem_range`), `arch/x86/mm/init_64.c` (`phys_pud_init`,
//! `vmemmap_populate`), `mm/sparse-vmemmap.c`, `mm/memory_hotplug.c` (`add_memory_resource`,
//! `create_altmaps_and_memory_blocks`, `mhp_supports_memmap_on_memory`), all of Linux 7.2.

pub mod need;
pub mod plan;
pub mod request;
pub mod step_time;

pub use need::Need;
pub use plan::{Budget, Free, Way};
pub use request::{DirectMap, RecordsIn, Request, RequestError};
pub use step_time::{HotAddTimes, StepTime};
