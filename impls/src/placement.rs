//! Where the records of added memory are stored: in RAM, or on the added device.
//!
//! Architectures differ in which records they store in an altmap (`mm/sparse-vmemmap.c` and each
//! `vmemmap_populate`):
//!
//! | | whole section | part of a section |
//! | --- | --- | --- |
//! | arm64 ([`AnyPart`]) | one block; else base pages of the altmap | base pages of the altmap |
//! | x86-64 ([`WholeSections`]) | one block of 2 MiB, no fallback | RAM |

use crate::altmap::Altmap;
use crate::fault::Seam;
use crate::memmap::DeviceRecords;
use crate::stretch::Stretch;
use crate::vmem::{Vmem, VmemError};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

/// Decides where records are stored. It is a type, not a run-time switch, so that lookups are not
/// affected.
pub trait Placement: Debug + Default + Send + 'static {
    /// Name of the VMEMMAP layout with this placement, e.g. `dax`.
    const LAYOUT_ID: &'static str;
    /// One-line description for people.
    const ABOUT: &'static str;
    /// Which records can be stored on the device.
    const ON_DEVICE: DeviceRecords;

    /// Backs the records of a stretch. `whole_section` says whether they are all the records of a
    /// section.
    ///
    /// # Errors
    /// [`PlaceError`]. The stretch is then reserved as before, and the altmap's counts are
    /// unchanged.
    fn populate(
        &mut self,
        vmem: &Vmem,
        stretch: Stretch,
        whole_section: bool,
        altmap: Option<&Arc<Altmap>>,
    ) -> Result<(), PlaceError>;

    /// Releases the records of `stretches`, in RAM and on devices.
    ///
    /// # Errors
    /// The kernel refuses a mapping. All records are then still mapped, with their contents.
    fn depopulate(&mut self, vmem: &Vmem, stretches: &[Stretch]) -> Result<(), VmemError>;
}

/// Why records could not be backed.
#[derive(Debug)]
pub enum PlaceError {
    /// The altmap has too few pages left.
    AltmapExhausted {
        /// Pages of the block that could not be allocated.
        need: u64,
        /// Free pages in the altmap.
        left: u64,
    },
    /// Memory or address space could not be provided.
    Vmem(VmemError),
}

impl From<VmemError> for PlaceError {
    fn from(error: VmemError) -> Self {
        Self::Vmem(error)
    }
}

/// Stores all records in RAM, and ignores an altmap.
#[derive(Debug, Default)]
pub struct InMemory;

impl Placement for InMemory {
    const LAYOUT_ID: &'static str = "subsection";
    const ABOUT: &'static str = "SPARSEMEM_VMEMMAP with the sub-section map: one virtual array, 2 MiB hotplug";
    const ON_DEVICE: DeviceRecords = DeviceRecords::Never;

    fn populate(&mut self, vmem: &Vmem, stretch: Stretch, _: bool, _: Option<&Arc<Altmap>>) -> Result<(), PlaceError> {
        Ok(vmem.populate(stretch)?)
    }

    fn depopulate(&mut self, vmem: &Vmem, stretches: &[Stretch]) -> Result<(), VmemError> {
        stretches.iter().try_for_each(|&stretch| vmem.depopulate(stretch))
    }
}

/// Which records an architecture stores in an altmap.
pub trait AltmapPolicy: Debug + Default + Send + 'static {
    /// Name of the VMEMMAP layout with this policy.
    const LAYOUT_ID: &'static str;
    /// One-line description for people.
    const ABOUT: &'static str;
    /// Which records are stored in the altmap.
    const SERVES: DeviceRecords;
    /// True if base pages are used when the altmap has no aligned block.
    const BASE_PAGES: bool;
}

/// All records, in base pages if necessary, as on arm64.
#[derive(Debug, Default)]
pub struct AnyPart;

impl AltmapPolicy for AnyPart {
    const LAYOUT_ID: &'static str = "dax";
    const ABOUT: &'static str = "SPARSEMEM_VMEMMAP with the records of a device on the device itself (altmap)";
    const SERVES: DeviceRecords = DeviceRecords::Always;
    const BASE_PAGES: bool = true;
}

/// Records of whole sections only, a block of 2 MiB each, as on x86-64.
#[derive(Debug, Default)]
pub struct WholeSections;

impl AltmapPolicy for WholeSections {
    const LAYOUT_ID: &'static str = "dax-x86";
    const ABOUT: &'static str =
        "as dax by the rules of x86: whole sections from the altmap, the records of sub-sections from RAM";
    const SERVES: DeviceRecords = DeviceRecords::WholeSections;
    const BASE_PAGES: bool = false;
}

/// Stores records on the device if an altmap is given and the policy allows it; otherwise in RAM.
#[derive(Debug, Default)]
pub struct OnDevice<A: AltmapPolicy = AnyPart> {
    /// Device mappings, by the offset of their first byte in the records' address range.
    extents: BTreeMap<u64, Extent>,
    policy: PhantomData<A>,
}

/// Records that are contiguous on one device.
#[derive(Clone, Debug)]
struct Extent {
    len: u64,
    altmap: Arc<Altmap>,
    /// Pfn of the first altmap page that holds them.
    pfn: u64,
}

impl Extent {
    fn device_offset(&self) -> u64 {
        self.altmap.device_offset(self.pfn)
    }

    /// The part of `len` bytes that begins at offset `skip`.
    fn part(&self, skip: u64, len: u64, page_bytes: u64) -> Extent {
        Extent { len, altmap: Arc::clone(&self.altmap), pfn: self.pfn + skip / page_bytes }
    }
}

fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

impl<A: AltmapPolicy> OnDevice<A> {
    /// The extents that overlap a stretch, clipped to it, with their offsets.
    fn cut(&self, stretch: Stretch) -> Vec<(u64, Extent)> {
        // The extent that begins before the stretch may overlap it.
        let from = self.extents.range(..=stretch.offset).next_back().map_or(stretch.offset, |(&offset, _)| offset);
        let touching = self.extents.range(from..stretch.end());
        let cut = touching.filter_map(|(&offset, extent)| {
            let start = offset.max(stretch.offset);
            let end = (offset + extent.len).min(stretch.end());
            (start < end).then(|| (start, extent.part(start - offset, end - start, page_bytes())))
        });
        cut.collect()
    }

    /// Removes a piece that [`cut`](Self::cut) returned. The rest of its extent on either side
    /// stays.
    fn forget(&mut self, offset: u64, len: u64) {
        let Some((&start, _)) = self.extents.range(..=offset).next_back() else { return };
        let Some(whole) = self.extents.remove(&start) else { return };
        if start < offset {
            self.extents.insert(start, whole.part(0, offset - start, page_bytes()));
        }
        let (end, whole_end) = (offset + len, start + whole.len);
        if end < whole_end {
            self.extents.insert(end, whole.part(end - start, whole_end - end, page_bytes()));
        }
    }

    /// Allocates `nr_pages` in as few pieces as possible: one aligned block, else single pages, as
    /// arm64 falls back to base pages. Adjacent pages are merged into one piece, because a mapping
    /// costs more than its pages.
    fn blocks(vmem: &Vmem, altmap: &Altmap, nr_pages: u64) -> Result<Vec<(u64, u64)>, PlaceError> {
        if !vmem.faults().allow(Seam::AltmapBlock) {
            return Err(PlaceError::AltmapExhausted { need: nr_pages, left: altmap.nr_free() });
        }
        if let Some(pfn) = altmap.alloc_block(nr_pages) {
            return Ok(vec![(pfn, nr_pages)]);
        }
        let left = altmap.nr_free();
        if left < nr_pages || !A::BASE_PAGES {
            return Err(PlaceError::AltmapExhausted { need: nr_pages, left });
        }
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        for _ in 0..nr_pages {
            let pfn = altmap.alloc_block(1).ok_or(PlaceError::AltmapExhausted { need: 1, left: 0 })?;
            match pieces.last_mut() {
                Some((first, len)) if *first + *len == pfn => *len += 1,
                _ => pieces.push((pfn, 1)),
            }
        }
        Ok(pieces)
    }
}

impl<A: AltmapPolicy> Placement for OnDevice<A> {
    const LAYOUT_ID: &'static str = A::LAYOUT_ID;
    const ABOUT: &'static str = A::ABOUT;
    const ON_DEVICE: DeviceRecords = A::SERVES;

    fn populate(
        &mut self,
        vmem: &Vmem,
        stretch: Stretch,
        whole_section: bool,
        altmap: Option<&Arc<Altmap>>,
    ) -> Result<(), PlaceError> {
        // A page that several owners share must not come from the altmap of one of them (B-16).
        let alone = stretch.round_in(vmem.unit_bytes()) == Some(stretch);
        let served = alone && (whole_section || A::SERVES == DeviceRecords::Always);
        let Some(altmap) = altmap.filter(|_| served) else { return Ok(vmem.populate(stretch)?) };
        let before = altmap.used();
        vmem.charge_device(stretch.len)?;
        let mut mapped: Vec<(u64, Extent)> = Vec::new();
        let result = Self::blocks(vmem, altmap, stretch.len / page_bytes()).and_then(|pieces| {
            let mut offset = stretch.offset;
            for (pfn, nr_pages) in pieces {
                let len = nr_pages * page_bytes();
                let extent = Extent { len, altmap: Arc::clone(altmap), pfn };
                vmem.map_device(Stretch { offset, len }, altmap.device(), extent.device_offset())?;
                mapped.push((offset, extent));
                offset += len;
            }
            Ok(())
        });
        match result {
            Ok(()) => self.extents.extend(mapped),
            Err(_) => {
                for (offset, extent) in mapped {
                    // This restores the mappings of a moment ago, so the mapping limit cannot be
                    // exceeded.
                    let undone = vmem.unmap_device(Stretch { offset, len: extent.len });
                    debug_assert!(undone.is_ok(), "{undone:?}");
                }
                vmem.release_device(stretch.len);
                altmap.restore(before);
            }
        }
        result
    }

    fn depopulate(&mut self, vmem: &Vmem, stretches: &[Stretch]) -> Result<(), VmemError> {
        // Device mappings first: until the last one is removed, all of them can be restored,
        // because the devices keep the records.
        let on_device: Vec<(u64, Extent)> = stretches.iter().flat_map(|&stretch| self.cut(stretch)).collect();
        for (done, (offset, extent)) in on_device.iter().enumerate() {
            if let Err(error) = vmem.unmap_device(Stretch { offset: *offset, len: extent.len }) {
                Self::map_again(vmem, &on_device[..done]);
                return Err(error);
            }
        }
        // Then the records in RAM, which the kernel can drop in several ways.
        for (done, stretch) in self.in_ram(stretches).into_iter().enumerate() {
            if let Err(error) = vmem.depopulate(stretch) {
                debug_assert!(done == 0, "{stretch:?}: {error}");
                Self::map_again(vmem, &on_device);
                return Err(error);
            }
        }
        for (offset, extent) in on_device {
            self.forget(offset, extent.len);
            vmem.release_device(extent.len);
            extent.altmap.free_block(extent.len / page_bytes());
        }
        Ok(())
    }
}

impl<A: AltmapPolicy> OnDevice<A> {
    /// The parts of `stretches` that no extent covers.
    fn in_ram(&self, stretches: &[Stretch]) -> Vec<Stretch> {
        let mut in_ram = Vec::new();
        for &stretch in stretches {
            let mut from = stretch.offset;
            for (offset, extent) in self.cut(stretch) {
                in_ram.push(Stretch { offset: from, len: offset - from });
                from = offset + extent.len;
            }
            in_ram.push(Stretch { offset: from, len: stretch.end() - from });
        }
        in_ram.retain(|stretch| stretch.len > 0);
        in_ram
    }

    /// Restores unmapped extents. The mapping limit cannot be exceeded, because they existed a
    /// moment ago.
    fn map_again(vmem: &Vmem, extents: &[(u64, Extent)]) {
        for (offset, extent) in extents {
            let stretch = Stretch { offset: *offset, len: extent.len };
            let again = vmem.map_device(stretch, extent.altmap.device(), extent.device_offset());
            debug_assert!(again.is_ok(), "{again:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::DaxDevice;
    use crate::geometry::X86_64;
    use crate::store::RecordStore;
    use std::path::Path;

    const PAGE: u64 = 4096;

    fn vmem() -> Vmem {
        Vmem::reserve(1 << 30, PAGE, &RecordStore::unlimited()).unwrap()
    }

    fn altmap(free: u64) -> Arc<Altmap> {
        let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 16 << 20).unwrap();
        Arc::new(Altmap::new::<X86_64>(Arc::new(device), 0, 0, free).unwrap())
    }

    #[test]
    fn the_middle_of_an_extent_can_be_released_first() {
        let (vmem, altmap, mut place) = (vmem(), altmap(64), <OnDevice>::default());
        let stretch = |page, nr| Stretch { offset: page * PAGE, len: nr * PAGE };
        place.populate(&vmem, stretch(0, 16), false, Some(&altmap)).unwrap();
        vmem.populate(stretch(16, 8)).unwrap();
        place.depopulate(&vmem, &[stretch(4, 4)]).unwrap();
        assert_eq!((altmap.used().alloc, place.extents.len()), (12, 2));
        place.depopulate(&vmem, &[stretch(8, 16), stretch(0, 4)]).unwrap();
        assert_eq!((altmap.used().alloc, vmem.device_bytes(), vmem.ram_bytes()), (0, 0, 0));
        assert!(place.extents.is_empty());
    }

    #[test]
    fn single_pages_are_used_without_an_aligned_block() {
        let (vmem, altmap, mut place) = (vmem(), altmap(9), <OnDevice>::default());
        altmap.alloc_block(1).unwrap();
        place.populate(&vmem, Stretch { offset: 0, len: 8 * PAGE }, false, Some(&altmap)).unwrap();
        assert_eq!((altmap.used().alloc, place.extents.len()), (9, 1), "neighbouring pages are one piece");
    }

    #[test]
    fn on_x86_the_altmap_holds_whole_sections_in_one_block() {
        let (vmem, altmap, mut place) = (vmem(), altmap(1024), OnDevice::<WholeSections>::default());
        let section = Stretch { offset: 2 << 20, len: 2 << 20 };
        place.populate(&vmem, Stretch { offset: 0, len: 8 * PAGE }, false, Some(&altmap)).unwrap();
        assert_eq!((altmap.used().alloc, vmem.ram_bytes()), (0, 8 * PAGE), "the records of a part are in RAM");
        place.populate(&vmem, section, true, Some(&altmap)).unwrap();
        assert_eq!((altmap.used().alloc, vmem.device_bytes()), (512, 2 << 20));
        altmap.alloc_block(1).unwrap();
        let next = Stretch { offset: 4 << 20, ..section };
        let error = place.populate(&vmem, next, true, Some(&altmap)).unwrap_err();
        assert!(matches!(error, PlaceError::AltmapExhausted { need: 512, left: 511 }), "no fallback: {error:?}");
    }

    #[test]
    fn an_exhausted_altmap_changes_nothing() {
        let (vmem, altmap, mut place) = (vmem(), altmap(12), <OnDevice>::default());
        place.populate(&vmem, Stretch { offset: 0, len: 8 * PAGE }, false, Some(&altmap)).unwrap();
        let before = altmap.used();
        let error =
            place.populate(&vmem, Stretch { offset: 8 * PAGE, len: 8 * PAGE }, false, Some(&altmap)).unwrap_err();
        assert!(matches!(error, PlaceError::AltmapExhausted { need: 8, left: 4 }), "{error:?}");
        assert_eq!((altmap.used(), vmem.device_bytes()), (before, 8 * PAGE));
    }
}
