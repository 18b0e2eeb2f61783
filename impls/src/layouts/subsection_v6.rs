//! SPARSEMEM_VMEMMAP with the lookups of v6 of the series: the sub-section map is read for boot
//! memory as well.
//!
//! Source: `[PATCH v6 03/12]` and `[PATCH v6 09/12]`. The cover letter's statement on the cost of
//! `pfn_valid` was written about this lookup. The shortcut for boot sections came with v10, for
//! existing users that rely on whole sections (B-02). The tables follow the current rules, so that
//! it can be benchmarked on any memory map. The foil with every bug of v6 is
//! [`V6`](crate::rules::V6).
//!
//! ```text
//!  root table ──▶ root page ──▶ { word, usage } ──▶ { rcu, subsection_map, pageblock_flags }
//!
//!  vmemmap ──▶ | record of pfn 0 | … |
//! ```
//!
//! **Load chain** of `pfn_valid`: root pointer, section word, usage pointer, word of the map. These
//! are 4 loads on 3 lines for boot memory and added memory alike. `pfn_to_page` and `page_to_pfn`:
//! no load; the reader holds the base of the array.
//!
//! **Cost.** As `subsection`.
//!
//! **Hotplug.** In units of 2 MiB. Holes of boot sections are not valid.

use crate::geometry::X86_64;
use crate::layouts::Subsection;
use crate::rules::V6Lookups;

/// SPARSEMEM_VMEMMAP that reads the sub-section map for boot memory too.
///
/// ```
/// use memmap_layouts::layouts::{Subsection, SubsectionV6};
/// use memmap_layouts::{BootMap, BootRange, Config, Lookup, Memmap, Pfn, PfnRange, RecordStore};
///
/// // RAM in the first half of a section.
/// let ram = BootRange { range: PfnRange::from_len(0, 0x4000).unwrap(), node: 0 };
/// let map = BootMap::new([ram])?;
/// let v6 = <SubsectionV6>::boot(&map, &Config::default(), RecordStore::unlimited())?;
/// let merged = <Subsection>::boot(&map, &Config::default(), RecordStore::unlimited())?;
/// // The hole is valid in the merged version only.
/// assert!(merged.reader().pfn_valid(Pfn(0x4000)) && !v6.reader().pfn_valid(Pfn(0x4000)));
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
pub type SubsectionV6<G = X86_64> = Subsection<G, V6Lookups>;
