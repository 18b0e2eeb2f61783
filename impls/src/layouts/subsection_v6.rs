//! SPARSEMEM_VMEMMAP with the lookups of v6 of the series: boot memory reads the sub-section map like any other.
//!
//! Source: `[PATCH v6 03/12]` and `[PATCH v6 09/12]`. The cover letter's sentence on the cost of `pfn_valid` was written about
//! this lookup; the shortcut for boot sections came with v10, to keep old users of whole sections alive (B-02). Its tables
//! are kept by the rules of today, so that it can be raced on any map; the foil with every bug of v6 is
//! [`V6`](crate::rules::V6).
//!
//! ```text
//!  root table ──▶ root page ──▶ { word, usage } ──▶ { rcu, subsection_map, pageblock_flags }
//!
//!  vmemmap ──▶ | record of pfn 0 | … |
//! ```
//!
//! **Load chain** of `pfn_valid`: root pointer, section word, usage pointer, word of the map: 4 loads on 3 lines for boot and
//! hot-added memory alike. `pfn_to_page` and `page_to_pfn`: no load beyond the base of the array.
//!
//! **Cost.** That of `subsection`.
//!
//! **Hotplug.** 2 MiB. Holes of boot sections are not valid.

use crate::geometry::X86_64;
use crate::layouts::Subsection;
use crate::placement::InMemory;
use crate::rules::V6Lookups;

/// SPARSEMEM_VMEMMAP that reads the sub-section map for boot memory too.
pub type SubsectionV6<G = X86_64> = Subsection<G, V6Lookups, InMemory>;
