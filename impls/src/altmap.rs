//! Altmaps: records stored on the device that they describe.
//!
//! ```text
//!  device   | reserve      | free                                   | data …
//!  pfn      base_pfn       base_pfn+reserve                         base_pfn+reserve+free
//!           info block     blocks handed out, naturally aligned     described by the records in `free`
//! ```
//! Source: `struct vmem_altmap`, `altmap_alloc_block_buf` (`mm/sparse-vmemmap.c`).
//!
//! The kernel returns pages by lowering `alloc` only, which is correct as long as a mapping is torn
//! down as a whole. Here ranges are removed individually, so blocks are reused only once all of
//! them have been returned.

use crate::backing::{DaxDevice, DaxError};
use crate::geometry::Geometry;
use crate::page::PAGE_RECORD_BYTES;
use crate::pfn::PfnRange;
use crate::store::BackedSections;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pages of a device that are set aside for the records of its range.
///
/// ```
/// use memmap_layouts::altmap::Altmap;
/// use memmap_layouts::backing::DaxDevice;
/// use memmap_layouts::layouts::Dax;
/// use memmap_layouts::{AddParams, BackedSections, BootMap, Config, Hotplug, Memmap, PfnRange, RecordStore, X86_64};
/// use std::sync::Arc;
///
/// // A tmpfs file stands for a device of 16 MiB at 4 GiB.
/// let device = Arc::new(DaxDevice::on_tmpfs("/dev/shm".as_ref(), 16 << 20)?);
/// let range = PfnRange::from_len(0x100000, 4096).unwrap();
/// let altmap = Altmap::for_range::<X86_64>(device, range, &BackedSections::All)?;
/// let how = AddParams { altmap: Some(Arc::new(altmap)), ..AddParams::default() };
///
/// let layout = <Dax>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// layout.add(range, &how, &mut ())?;
/// let footprint = layout.footprint();
/// assert_eq!((footprint.device_record_bytes, footprint.ram_record_bytes), (4096 * 64, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Altmap {
    device: Arc<DaxDevice>,
    page_shift: u32,
    base_pfn: u64,
    reserve: u64,
    free: u64,
    used: Mutex<Used>,
    /// The layout that uses the altmap, if any.
    owner: Mutex<Owner>,
}

/// Pages that the device driver reserves for its info block. They are never allocated, and their
/// records never initialised.
pub const INFO_BLOCK_PAGES: u64 = 2;

/// Pages in use and pages lost to alignment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Used {
    /// Pages that currently hold records.
    pub alloc: u64,
    /// Pages skipped for alignment since the altmap was last empty.
    pub align: u64,
    /// Pages that were returned while others stayed in use.
    returned: u64,
}

impl Used {
    fn next(&self) -> u64 {
        self.alloc + self.returned + self.align
    }
}

impl Altmap {
    /// Creates the altmap of a range that begins at `base_pfn`: its first `reserve` pages are never
    /// used, and the `free` pages after them hold records.
    ///
    /// A device has at most one altmap at a time, because each counts pages from the device's
    /// start.
    ///
    /// # Errors
    /// The device has fewer than `reserve + free` pages or already has an altmap; the range exceeds
    /// the physical address space; the host's page size is not the geometry's.
    pub fn new<G: Geometry>(device: Arc<DaxDevice>, base_pfn: u64, reserve: u64, free: u64) -> Result<Self, DaxError> {
        let host = rustix::param::page_size() as u64;
        if host != G::PAGE_SIZE {
            return Err(DaxError::HostPage { host, page: G::PAGE_SIZE });
        }
        let claimed = reserve.saturating_add(free);
        if base_pfn.saturating_add(claimed) > G::NR_PFNS {
            return Err(DaxError::BeyondPhysicalSpace { base_pfn });
        }
        let need = claimed * G::PAGE_SIZE;
        let name = || device.name().to_owned();
        if need > device.len_bytes() {
            return Err(DaxError::TooSmall { name: name(), len: device.len_bytes(), need });
        }
        if !device.claim() {
            return Err(DaxError::InUse { name: name() });
        }
        Ok(Self {
            device,
            page_shift: G::PAGE_SHIFT,
            base_pfn,
            reserve,
            free,
            used: Mutex::default(),
            owner: Mutex::default(),
        })
    }

    /// The altmap that the device driver would make for `range`: two pages for the info block, then
    /// a naturally aligned block for the records of each backed section. It is never larger than
    /// the range itself.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_range<G: Geometry>(
        device: Arc<DaxDevice>,
        range: PfnRange,
        backed: &BackedSections,
    ) -> Result<Self, DaxError> {
        if range.end() > G::NR_PFNS {
            return Err(DaxError::BeyondPhysicalSpace { base_pfn: range.start() });
        }
        let chunks = range.split_at_multiples(G::PAGES_PER_SECTION);
        let first = range.start() + INFO_BLOCK_PAGES;
        let end = chunks.filter(|chunk| backed.contains(G::section_nr(chunk.start()))).fold(first, |next, chunk| {
            let nr_pages = (chunk.nr_pages() * PAGE_RECORD_BYTES).div_ceil(G::PAGE_SIZE);
            next.next_multiple_of(natural_alignment(nr_pages)) + nr_pages
        });
        let free = (end - first).min(range.nr_pages().saturating_sub(INFO_BLOCK_PAGES));
        Self::new::<G>(device, range.start(), INFO_BLOCK_PAGES, free)
    }

    /// First pfn of the range that the altmap describes.
    pub fn base_pfn(&self) -> u64 {
        self.base_pfn
    }

    /// Number of pages at the start that hold no data: `reserve + free`.
    pub(crate) fn offset_pages(&self) -> u64 {
        self.reserve + self.free
    }

    /// First pfn after the reserve, and first pfn of data.
    pub(crate) fn data_borders(&self) -> (u64, u64) {
        (self.base_pfn + self.reserve, self.base_pfn + self.offset_pages())
    }

    /// Pages currently in use and lost to alignment.
    pub fn used(&self) -> Used {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device whose pages the altmap allocates.
    pub fn device(&self) -> &Arc<DaxDevice> {
        &self.device
    }

    /// Pages that can still be allocated, as single pages.
    pub fn nr_free(&self) -> u64 {
        self.free - self.used().next()
    }

    /// Allocates a block of `nr_pages`, aligned to the lowest set bit of its size. Returns the pfn
    /// of its first page; `None` if it does not fit or is empty.
    pub(crate) fn alloc_block(&self, nr_pages: u64) -> Option<u64> {
        if nr_pages == 0 {
            return None;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let next_pfn = self.base_pfn + self.reserve + used.next();
        let skip = next_pfn.next_multiple_of(natural_alignment(nr_pages)) - next_pfn;
        if nr_pages.checked_add(skip)? > self.free - used.next() {
            return None;
        }
        used.alloc += nr_pages;
        used.align += skip;
        Some(next_pfn + skip)
    }

    /// Returns `nr_pages` pages. They are reused once every page has been returned.
    pub(crate) fn free_block(&self, nr_pages: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert!(used.alloc >= nr_pages, "more pages returned than allocated");
        used.alloc -= nr_pages;
        used.returned += nr_pages;
        if used.alloc == 0 {
            *used = Used::default();
        }
    }

    /// Resets the counts to what [`used`](Self::used) returned before a failed addition.
    pub(crate) fn restore(&self, before: Used) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = before;
    }

    /// Binds the altmap to a layout during an addition, so that two layouts do not mix their
    /// allocations. `None` if another layout uses it. It stays bound as long as a page of it is
    /// allocated.
    pub(crate) fn bind(&self, layout: u64) -> Option<Binding<'_>> {
        let mut owner = self.owner();
        let is_free = owner.additions == 0 && self.used() == Used::default();
        if !is_free && owner.layout.is_some_and(|bound| bound != layout) {
            return None;
        }
        owner.layout = Some(layout);
        owner.additions += 1;
        Some(Binding(self))
    }

    fn owner(&self) -> MutexGuard<'_, Owner> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Byte offset of an altmap page on the device.
    pub(crate) fn device_offset(&self, pfn: u64) -> u64 {
        (pfn - self.base_pfn) << self.page_shift
    }
}

/// The layout that an altmap is bound to.
#[derive(Debug, Default)]
struct Owner {
    layout: Option<u64>,
    /// Additions in progress.
    additions: u64,
}

/// Guard that keeps an altmap bound to its layout during an addition.
pub(crate) struct Binding<'a>(&'a Altmap);

impl Drop for Binding<'_> {
    fn drop(&mut self) {
        self.0.owner().additions -= 1;
    }
}

impl Drop for Altmap {
    fn drop(&mut self) {
        self.device.release_claim();
    }
}

/// Alignment of a block in pages: the lowest set bit of its size.
fn natural_alignment(nr_pages: u64) -> u64 {
    1 << nr_pages.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::X86_64;
    use std::path::Path;

    fn altmap(free: u64) -> Altmap {
        let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 30).unwrap();
        Altmap::new::<X86_64>(Arc::new(device), 0x100000, 2, free).unwrap()
    }

    #[test]
    fn blocks_are_naturally_aligned() {
        let small = altmap(510);
        assert_eq!(small.alloc_block(512), None);
        assert_eq!(small.alloc_block(1), Some(0x100002));

        let large = altmap(1022);
        assert_eq!(large.alloc_block(512), Some(0x100200));
        assert_eq!((large.used().alloc, large.used().align), (512, 510));
        assert_eq!(large.alloc_block(1), None);

        let mixed = altmap(1022);
        assert_eq!(mixed.alloc_block(1), Some(0x100002));
        assert_eq!(mixed.alloc_block(512), Some(0x100200));
        assert_eq!(mixed.used().align, 509);
        assert_eq!(altmap(10).alloc_block(3), Some(0x100002), "odd sizes need no alignment");
        assert_eq!(altmap(10).alloc_block(0), None);
        assert_eq!(altmap(10).alloc_block(u64::MAX), None);
    }

    #[test]
    fn a_block_is_reused_only_after_all_are_returned() {
        let map = altmap(64);
        let first = map.alloc_block(8).unwrap();
        let second = map.alloc_block(8).unwrap();
        map.free_block(8);
        let third = map.alloc_block(8).unwrap();
        assert!(third > second, "the second block still holds records");
        map.free_block(16);
        assert_eq!(map.used(), Used::default());
        assert_eq!(map.alloc_block(8), Some(first));
    }

    #[test]
    fn a_device_has_one_altmap_and_an_altmap_one_layout() {
        let device = Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 20).unwrap());
        let first = Altmap::new::<X86_64>(Arc::clone(&device), 0x40000, 2, 8).unwrap();
        let second = Altmap::new::<X86_64>(Arc::clone(&device), 0x40200, 2, 8);
        assert!(matches!(second, Err(DaxError::InUse { .. })), "{second:?}");
        let (one, again) = (first.bind(1), first.bind(1));
        assert!(one.is_some() && again.is_some() && first.bind(2).is_none());
        drop(one);
        assert!(first.bind(2).is_none(), "an addition is in progress");
        drop(again);
        assert!(first.bind(2).is_some(), "no page is allocated");
        let taking = first.bind(1).unwrap();
        first.alloc_block(1).unwrap();
        drop(taking);
        assert!(first.bind(2).is_none(), "a block holds records of the first layout");
        first.free_block(1);
        assert!(first.bind(2).is_some(), "all pages were returned");
        drop(first);
        assert!(Altmap::new::<X86_64>(device, 0x40200, 2, 8).is_ok());
    }

    #[test]
    fn an_altmap_cannot_exceed_its_device() {
        let device = Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 20).unwrap());
        assert!(Altmap::new::<X86_64>(Arc::clone(&device), 0, 2, 254).is_ok());
        assert!(matches!(
            Altmap::new::<X86_64>(Arc::clone(&device), 0, 2, 255),
            Err(DaxError::TooSmall { need: 1_052_672, .. })
        ));
        assert!(Altmap::new::<X86_64>(Arc::clone(&device), 0, u64::MAX, u64::MAX).is_err());
        assert!(Altmap::new::<X86_64>(Arc::clone(&device), u64::MAX, 1, 1).is_err());
        let edge = PfnRange::from_len(u64::MAX - 1, 1).unwrap();
        assert!(Altmap::for_range::<X86_64>(device, edge, &BackedSections::All).is_err());
    }
}
