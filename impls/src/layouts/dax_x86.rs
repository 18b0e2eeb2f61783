//! `dax` by the rules of x86-64: records of whole sections on the device, those of sub-sections in RAM.
//!
//! Source: `vmemmap_populate` of `arch/x86/mm/init_64.c`, which maps less than a section with base pages and takes those from
//! RAM, whatever altmap is given; a section that cannot have its 2 MiB of the altmap fails, without a fallback.
//!
//! ```text
//!  vmemmap ──▶ | boot: RAM | … | part: RAM | section | section | part: RAM | …
//!                                            └───────┴── mapped from ──▶ device: | info block | 2 MiB | 2 MiB | data … |
//! ```
//!
//! **Load chain.** That of `subsection`, load for load.
//!
//! **Cost.** As `dax`; each part of a section at the ends of a range takes 32 KiB of RAM for each 2 MiB.
//!
//! **Hotplug.** 2 MiB. A device that maps in units of 2 MiB will do.

use crate::geometry::X86_64;
use crate::layouts::Subsection;
use crate::placement::{OnDevice, WholeSections};
use crate::rules::Merged;

/// SPARSEMEM_VMEMMAP with sub-sections, records of whole sections on the device.
pub type DaxX86<G = X86_64> = Subsection<G, Merged, OnDevice<WholeSections>>;
