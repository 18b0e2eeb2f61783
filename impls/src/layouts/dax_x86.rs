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
///
/// ```
/// use memmap_layouts::altmap::Altmap;
/// use memmap_layouts::backing::DaxDevice;
/// use memmap_layouts::layouts::DaxX86;
/// use memmap_layouts::{AddParams, BackedSections, BootMap, Config, Hotplug, Memmap, PfnRange, RecordStore, X86_64};
/// use std::sync::Arc;
///
/// let layout = <DaxX86>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // The records of the whole section are on the device, those of the sub-section in RAM.
/// let range = PfnRange::from_len(0x100000, 0x8200).unwrap();
/// let device = Arc::new(DaxDevice::on_tmpfs("/dev/shm".as_ref(), 8 << 20)?);
/// let altmap = Arc::new(Altmap::for_range::<X86_64>(device, range, &BackedSections::All)?);
/// layout.add(range, &AddParams { altmap: Some(altmap), ..AddParams::default() }, &mut ())?;
/// let footprint = layout.footprint();
/// assert_eq!((footprint.device_record_bytes, footprint.ram_record_bytes), (0x8000 * 64, 0x200 * 64));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type DaxX86<G = X86_64> = Subsection<G, Merged, Page, OnDevice<WholeSections>>;
