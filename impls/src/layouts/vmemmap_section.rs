//! SPARSEMEM_VMEMMAP as it was before the sub-section series: the reference for what the
//! sub-section map costs.
//!
//! Source: Linux 5.2, `include/linux/mmzone.h`, `mm/sparse.c`, `mm/sparse-vmemmap.c`.
//!
//! ```text
//!  root table ──▶ root page ──▶ { word, usage }
//!
//!  vmemmap ──▶ | record of pfn 0 | … 64 B a pfn, reserved for the whole space, memory where memory is … |
//! ```
//!
//! **Load chain** of `pfn_valid`: root pointer, section word (2 loads, 2 lines), for boot memory
//! and added memory alike. `pfn_to_page` and `page_to_pfn`: no load; the reader holds the base of
//! the array.
//!
//! **Cost.** As `subsection`.
//!
//! **Hotplug.** Whole sections of 128 MiB. A section with any memory is valid as a whole.

use crate::geometry::X86_64;
use crate::layouts::Subsection;
use crate::rules::Before;

/// SPARSEMEM_VMEMMAP with whole-section validity.
///
/// ```
/// use memmap_layouts::layouts::VmemmapSection;
/// use memmap_layouts::{AddParams, BootMap, Config, Hotplug, Memmap, PfnRange, RecordStore};
///
/// let layout = <VmemmapSection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// let add = |nr_pages| layout.add(PfnRange::from_len(0x100000, nr_pages).unwrap(), &AddParams::default(), &mut ());
/// assert!(add(512).is_err(), "a single sub-section is refused");
/// assert!(add(0x8000).is_ok(), "a whole section is added");
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
pub type VmemmapSection<G = X86_64> = Subsection<G, Before>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memmap::*;
    use crate::pfn::{Pfn, PfnRange};
    use crate::store::RecordStore;

    #[test]
    fn a_partly_present_section_accepts_no_addition() {
        // RAM ends inside a section, where a device begins: the case that the series fixed.
        let ram = BootRange { range: PfnRange::new(0x100000, 0x1fc000).unwrap(), node: 0 };
        let map = BootMap::new([ram]).unwrap();
        let layout = <VmemmapSection>::boot(&map, &Config::default(), RecordStore::unlimited()).unwrap();
        let device = PfnRange::new(0x1fc000, 0x1fc000 + 0x10000).unwrap();
        let error = layout.add(device, &AddParams::default(), &mut ()).unwrap_err();
        assert!(error.errno() == 22 && error.to_string().contains("128 MiB"), "{error}");
        let rounded = device.round_out(0x8000);
        assert_eq!(layout.add(rounded, &AddParams::default(), &mut ()).unwrap_err().errno(), 17);
        assert!(layout.reader().pfn_valid(Pfn(0x1fffff)) && !layout.reader().pfn_valid(Pfn(0x200000)));
    }

    #[test]
    fn hot_added_sections_answer_without_the_map() {
        let layout = <VmemmapSection>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let section = PfnRange::from_len(0x8000, 0x8000).unwrap();
        layout.add(section, &AddParams::default(), &mut ()).unwrap();
        assert!((0x8000..0x10000).all(|pfn| layout.reader().pfn_valid(Pfn(pfn))));
        layout.remove(section, &RemoveParams::default(), &mut ()).unwrap();
        assert!(!layout.reader().pfn_valid(Pfn(0x8000)));
    }
}
