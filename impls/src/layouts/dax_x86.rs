//! `dax` with the rules of x86-64: records of whole sections on the device, those of partial
//! sections in RAM.
//!
//! Source: `vmemmap_populate` of `arch/x86/mm/init_64.c`. It maps the records of less than a
//! section with base pages, and takes those from RAM even if an altmap is given. A whole section
//! fails if the altmap has no 2 MiB block for it; there is no fallback.
//!
//! ```text
//!  vmemmap ──▶ | boot: RAM | … | part: RAM | section | section | part: RAM | …
//!                                            └───────┴── mapped from ──▶ device: | info block | 2 MiB | 2 MiB | data … |
//! ```
//!
//! **Load chain.** Identical to `subsection`.
//!
//! **Cost.** As `dax`, plus RAM for the partial sections at the ends of a range: 32 KiB of records
//! for each 2 MiB of memory.
//!
//! **Hotplug.** In units of 2 MiB. A device with a mapping unit of 2 MiB is sufficient.

use crate::geometry::X86_64;
use crate::layouts::Subsection;
use crate::page::Page;
use crate::placement::{OnDevice, WholeSections};
use crate::rules::Merged;

/// SPARSEMEM_VMEMMAP with sub-sections, records of whole sections on the device.
pub type DaxX86<G = X86_64> = Subsection<G, Merged, Page, OnDevice<WholeSections>>;
