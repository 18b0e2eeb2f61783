//! VMEMMAP with the records of device memory stored on the device itself: `subsection` with an
//! altmap.
//!
//! Source: `mm/memremap.c`, `vmem_altmap`. Base pages come from the altmap, as on arm64. (x86 takes
//! the records of partial sections from RAM.)
//!
//! ```text
//!  vmemmap ──▶ | boot: RAM | … | records of the device's pfns | …
//!                                └── mapped from ──▶ device: | info block | records | data … |
//! ```
//!
//! **Load chain.** Identical to `subsection`, because page tables alone determine where a record is
//! stored. What differs is the memory behind the record, and the cost of adding it.
//!
//! **Cost.** As `subsection`, but the records of added memory take space on the device. The index
//! is always in RAM. Each separate range on the device is one mapping, or two with the reservation
//! that follows it. Linux limits them to `vm.max_map_count`.
//!
//! **Hotplug.** In units of 2 MiB. The device must support mappings of base pages, because the
//! records of a sub-section take 32 KiB.

use crate::geometry::X86_64;
use crate::layouts::Subsection;
use crate::page::Page;
use crate::placement::OnDevice;
use crate::rules::Merged;

/// SPARSEMEM_VMEMMAP with sub-sections and records on the device.
///
/// ```
/// use memmap_layouts::altmap::Altmap;
/// use memmap_layouts::backing::DaxDevice;
/// use memmap_layouts::layouts::Dax;
/// use memmap_layouts::{AddParams, BackedSections, BootMap, Config, Hotplug, Memmap, PfnRange, RecordStore, X86_64};
/// use std::sync::Arc;
///
/// let layout = <Dax>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// // A section and a sub-section, with all records on the device.
/// let range = PfnRange::from_len(0x100000, 0x8200).unwrap();
/// let device = Arc::new(DaxDevice::on_tmpfs("/dev/shm".as_ref(), 8 << 20)?);
/// let altmap = Arc::new(Altmap::for_range::<X86_64>(device, range, &BackedSections::All)?);
/// layout.add(range, &AddParams { altmap: Some(altmap), ..AddParams::default() }, &mut ())?;
/// let footprint = layout.footprint();
/// assert_eq!((footprint.device_record_bytes, footprint.ram_record_bytes), (0x8200 * 64, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Dax<G = X86_64> = Subsection<G, Merged, Page, OnDevice>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::altmap::Altmap;
    use crate::backing::DaxDevice;
    use crate::geometry::Geometry;
    use crate::memmap::*;
    use crate::pfn::{Pfn, PfnRange};
    use crate::store::{BackedSections, RecordBudget, RecordStore};
    use std::path::Path;
    use std::sync::Arc;

    const U: u64 = X86_64::PAGES_PER_SUBSECTION;

    fn boot(store: RecordStore) -> Dax {
        Dax::boot(&BootMap::default(), &Config::default(), store).unwrap()
    }

    fn how(range: PfnRange, device_bytes: u64) -> AddParams {
        let device = Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), device_bytes).unwrap());
        let altmap = Altmap::for_range::<X86_64>(device, range, &BackedSections::All).unwrap();
        AddParams { altmap: Some(Arc::new(altmap)), ..AddParams::default() }
    }

    fn range(start: u64, nr: u64) -> PfnRange {
        PfnRange::from_len(start, nr).unwrap()
    }

    #[test]
    fn records_are_on_the_device_until_the_removal() {
        let layout = boot(RecordStore::unlimited());
        // 16 MiB before a section border, a whole section, 16 MiB after it.
        let range = range(0x40000 - 8 * U, X86_64::PAGES_PER_SECTION + 16 * U);
        let how = how(range, 16 << 20);
        layout.add(range, &how, &mut ()).unwrap();
        let footprint = layout.footprint();
        assert_eq!((footprint.device_record_bytes, footprint.ram_record_bytes), (range.nr_pages() * 64, 0));
        let reader = layout.reader();
        // The first two pages are the info block, whose records are never initialised.
        for pfn in (range.start() + 2..range.end()).step_by(63) {
            assert!(reader.valid_to_page(Pfn(pfn)).is_some_and(|page| page.is_of(Pfn(pfn))), "{pfn:#x}");
        }
        drop(reader);
        let altmap = how.altmap.as_ref().unwrap();
        assert_eq!(altmap.used().alloc, range.nr_pages() * 64 / 4096);
        assert_eq!(altmap.nr_free(), 0, "the altmap has exactly the size that is needed");
        // Removal takes no altmap parameter: the layout remembers it.
        layout.remove(range, &RemoveParams::default(), &mut ()).unwrap();
        assert_eq!((altmap.used().alloc, layout.footprint().device_record_bytes), (0, 0));
    }

    #[test]
    fn an_altmap_of_another_range_or_too_large_is_refused() {
        let layout = boot(RecordStore::unlimited());
        let elsewhere = how(range(0x40000, U), 1 << 20);
        let before = layout.digest();
        let error = layout.add(range(0x40000 + U, U), &elsewhere, &mut ()).unwrap_err();
        assert!(error.errno() == 22 && error.to_string().contains("altmap begins at pfn 0x40000"), "{error}");
        let device = Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), 4 << 20).unwrap());
        let altmap = Some(Arc::new(Altmap::new::<X86_64>(device, 0x40000, 2, U - 1).unwrap()));
        let too_large = AddParams { altmap, ..AddParams::default() };
        let error = layout.add(range(0x40000, U), &too_large, &mut ()).unwrap_err();
        assert!(error.errno() == 22 && error.to_string().contains("claims 513 pages"), "{error}");
        assert_eq!(layout.digest(), before);
    }

    #[test]
    fn a_failed_addition_leaves_the_altmap_as_it_was() {
        let range = range(0x40000, 4 * X86_64::PAGES_PER_SECTION);
        let budget = RecordBudget::new(3 << 20);
        let layout = boot(RecordStore { budget: budget.clone(), ..RecordStore::unlimited() });
        let how = how(range, 16 << 20);
        let (before, used) = (layout.digest(), how.altmap.as_ref().unwrap().used());
        let error = layout.add(range, &how, &mut ()).unwrap_err();
        assert!(error.to_string().contains("limit of 3 MiB"), "{error}");
        assert_eq!((layout.digest(), how.altmap.as_ref().unwrap().used(), budget.used()), (before, used, 0));
    }

    #[test]
    fn records_of_a_sample_of_sections_are_on_the_device() {
        let backed = BackedSections::only([9]);
        let layout = boot(RecordStore { backed, ..RecordStore::unlimited() });
        let range = range(8 * X86_64::PAGES_PER_SECTION, 3 * X86_64::PAGES_PER_SECTION);
        layout.add(range, &how(range, 16 << 20), &mut ()).unwrap();
        assert_eq!(layout.footprint().device_record_bytes, 2 << 20);
        assert!((8..11).all(|nr| layout.reader().pfn_valid(Pfn(nr * X86_64::PAGES_PER_SECTION))));
        layout.remove(range, &RemoveParams::default(), &mut ()).unwrap();
        assert_eq!(layout.footprint().device_record_bytes, 0);
    }
}
