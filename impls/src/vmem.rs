//! The virtual address range for a layout's records, and the account of the memory that backs it.
//!
//! The range is one mapping, readable and writable from the start but without memory
//! (`MAP_NORESERVE`): 1 TiB for the records of a 46-bit physical address space. [`Memory`]
//! implements populating and releasing for each kind of backing. This module counts the bytes, and
//! maps devices over the range. A range reserved with `PROT_NONE` and opened by `mprotect` would
//! make a hot-add half as expensive again. It would also limit the number of separate backed ranges
//! to `max_map_count`.
//!
//! Memory is populated and released in units: pages of the architecture, or of the backing where
//! those are larger. The records of a sub-section may be smaller than a unit (2 KiB of 64 KiB
//! pages, 32 KiB of a huge page), so that several owners share a unit. `SharedUnits` counts the
//! bytes in use per unit, and the last owner releases it. Bytes that are released in a unit that
//! stays are filled with 0xFD, as the kernel marks unused parts of a leaf.
//!
//! Transparent huge pages have base pages as units, so that a part of one can be released, which
//! splits it. But the kernel may allocate a whole huge page at the first touch of a part. A second
//! table therefore counts the users of each huge page. When the last one leaves, the bytes that
//! were never charged are released too. With the `linux` backing the kernel never backs more than
//! was requested, so that table is not needed.
//!
//! | state of a page | in RAM | device |
//! | --- | --- | --- |
//! | reserved | not backed | the same |
//! | backed | populated | mapped over it |
//! | reserved again | given back | a fresh reservation mapped over it |

mod compound;

use crate::backing::{BASE_ALIGN, BackingError, DaxDevice, Memory, reserve_blocks, tmpfs_is_full, too_many_mappings};
use crate::byte_size::ByteSize;
use crate::fault::{Faults, Seam};
use crate::shared_tails::SharedTails;
use crate::shared_units::SharedUnits;
use crate::store::{BudgetExceeded, RecordBudget, RecordStore};
pub use crate::stretch::Stretch;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Fill pattern for the unused part of a unit. Source: `PAGE_UNUSED` of `mm/sparse-vmemmap.c` and
/// `arch/x86/mm/init_64.c`.
const PAGE_UNUSED: u64 = 0xfdfd_fdfd_fdfd_fdfd;

/// Huge pages that a benchmark run needs in addition to the records under its limit: those of the
/// baseline.
const SPARE_HUGE_PAGES: u64 = 16;

/// Huge pages to suggest when the budget has no limit: enough for verification of a memory map.
const HUGE_PAGES_WITHOUT_LIMIT: u64 = 64;

/// Why address space or memory could not be provided.
///
/// ```
/// use memmap_layouts::vmem::{Stretch, Vmem};
/// use memmap_layouts::{RecordBudget, RecordStore, VmemError};
///
/// let store = RecordStore { budget: RecordBudget::new(4096), ..RecordStore::unlimited() };
/// let vmem = Vmem::reserve(1 << 20, 4096, &store)?;
/// let error = vmem.populate(Stretch { offset: 0, len: 8192 }).unwrap_err();
/// assert!(matches!(error, VmemError::Budget(_)) && error.is_no_room());
/// # Ok::<(), VmemError>(())
/// ```
#[derive(Debug, Error)]
pub enum VmemError {
    /// The backing store refused.
    #[error(transparent)]
    Backing(#[from] BackingError),
    /// The limit on the records of all layouts would be exceeded.
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    /// `mmap` of a device failed.
    #[error("cannot map {} of {device}: {source}", ByteSize(*len))]
    MapDevice {
        /// Name of the device, e.g. `dax0.0`.
        device: String,
        /// Length of the mapping in bytes.
        len: u64,
        /// What the operating system reported.
        source: io::Error,
    },
    /// The requested mapping is not a multiple of the device's mapping unit.
    #[error("{device} maps in units of {}, but {} of records at offset {offset:#x} are not a whole number of units", ByteSize(*align), ByteSize(*len))]
    DeviceUnit {
        /// Name of the device, e.g. `dax0.0`.
        device: String,
        /// Its mapping unit in bytes.
        align: u64,
        /// Offset on the device in bytes.
        offset: u64,
        /// Length of the mapping in bytes.
        len: u64,
    },
    /// An injected fault: the allocation failed on purpose.
    #[error("fault injection: no memory for {} of records", ByteSize(*len))]
    Injected {
        /// Bytes requested.
        len: u64,
    },
}

impl VmemError {
    /// True if there was not enough room: the limit on records, a full file system, or an exhausted
    /// huge page pool. A smaller request may succeed.
    pub fn is_no_room(&self) -> bool {
        let of_backing =
            |error: &BackingError| matches!(error, BackingError::Full { .. } | BackingError::HugePages { .. });
        match self {
            Self::Budget(_) => true,
            Self::Backing(error) => of_backing(error),
            _ => false,
        }
    }
}

/// Which bytes of the range are in use.
#[derive(Debug)]
struct Usage {
    units: SharedUnits,
    /// The same per transparent huge page, if the backing may allocate those; they are larger than
    /// its units.
    huge: Option<SharedUnits>,
}

impl Usage {
    /// Extends `goes`, the units that are released with `given_up`, by the rest of the huge pages
    /// that nobody else uses.
    fn with_huge_pages(&self, goes: Stretch, given_up: Stretch, end: u64) -> Stretch {
        let Some(whole) = self.huge.as_ref().and_then(|huge| huge.to_drop(given_up)) else { return goes };
        let offset = goes.offset.min(whole.offset);
        Stretch { offset, len: goes.end().max(whole.end()).min(end) - offset }
    }
}

/// Reserved virtual address space for records, backed on demand.
///
/// ```
/// use memmap_layouts::RecordStore;
/// use memmap_layouts::vmem::{Stretch, Vmem};
///
/// // 1 TiB of addresses, of which one page is backed.
/// let vmem = Vmem::reserve(1 << 40, 4096, &RecordStore::unlimited())?;
/// let page = Stretch { offset: 1 << 39, len: 4096 };
/// vmem.populate(page)?;
/// assert_eq!((vmem.len_bytes(), vmem.ram_bytes()), (1 << 40, 4096));
/// vmem.depopulate(page)?;
/// assert_eq!(vmem.ram_bytes(), 0);
/// # Ok::<(), memmap_layouts::VmemError>(())
/// ```
#[derive(Debug)]
pub struct Vmem {
    memory: Memory,
    budget: RecordBudget,
    faults: Faults,
    usage: Mutex<Usage>,
    tails: Mutex<SharedTails>,
    ram_bytes: AtomicU64,
    device_bytes: AtomicU64,
    /// One bit per last-level page table that was ever needed. The kernel keeps such tables until
    /// the range is unmapped.
    tables: Box<[AtomicU64]>,
    nr_tables: AtomicU64,
}

impl Vmem {
    /// Reserves `len` bytes of address space. They are backed in units of `unit` bytes (a power of
    /// two) or of the backing's pages, whichever are larger.
    ///
    /// # Errors
    /// No address space (`ulimit -v`, strict overcommit), or the machine does not have the backing.
    pub fn reserve(len: u64, unit: u64, store: &RecordStore) -> Result<Self, VmemError> {
        let memory = Memory::reserve(len, &store.backing)?;
        let words = (memory.len_bytes() / BASE_ALIGN).div_ceil(64) as usize;
        let unit = unit.max(memory.unit_bytes());
        let huge = Some(memory.first_touch_bytes()).filter(|&page| page > unit);
        Ok(Self {
            memory,
            budget: store.budget.clone(),
            faults: store.faults.clone(),
            usage: Mutex::new(Usage { units: SharedUnits::new(unit), huge: huge.map(SharedUnits::new) }),
            tails: Mutex::default(),
            ram_bytes: AtomicU64::new(0),
            device_bytes: AtomicU64::new(0),
            tables: std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect(),
            nr_tables: AtomicU64::new(0),
        })
    }

    /// First byte of the range; aligned to 2 MiB.
    pub fn base(&self) -> NonNull<u8> {
        self.memory.base()
    }

    /// Bytes of address space.
    pub fn len_bytes(&self) -> u64 {
        self.memory.len_bytes()
    }

    /// Bytes backed by RAM.
    pub fn ram_bytes(&self) -> u64 {
        self.ram_bytes.load(Ordering::Relaxed)
    }

    /// Bytes mapped from devices.
    pub(crate) fn device_bytes(&self) -> u64 {
        self.device_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of last-level page tables: one page for each 2 MiB of the range that was ever backed.
    /// Pages of the hugetlb pool need none. The kernel keeps one for each transparent huge page, in
    /// case it is split.
    pub fn page_table_bytes(&self) -> u64 {
        self.nr_tables.load(Ordering::Relaxed) * rustix::param::page_size() as u64
    }

    /// Granularity, in bytes, of backing and releasing memory.
    pub(crate) fn unit_bytes(&self) -> u64 {
        self.usage().units.unit_bytes()
    }

    /// Bytes that huge pages back, as the kernel reports; `None` if the backing does not use any.
    pub fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.memory.bytes_in_huge_pages()
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        // A panic under the lock leaves the value consistent: it is changed in one step.
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault injection of the layout.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Backs a stretch that is not in use with RAM. It is zeroed, except in units that another
    /// stretch shares.
    ///
    /// # Errors
    /// Over budget, file system full, no memory. The stretch is then reserved as before.
    pub fn populate(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        let mut usage = self.usage();
        if !self.faults.allow(Seam::Records) {
            return Err(VmemError::Injected { len: stretch.len });
        }
        if let Some(new) = usage.units.to_back(stretch) {
            self.budget.charge(new.len)?;
            if let Err(error) = self.memory.populate(new) {
                self.budget.release(new.len);
                self.enter_huge(&mut usage, stretch);
                self.leave_huge(&mut usage, stretch);
                return Err(self.foresee(error).into());
            }
            self.ram_bytes.fetch_add(new.len, Ordering::Relaxed);
            self.note_tables(new);
        }
        usage.units.enter(stretch);
        self.enter_huge(&mut usage, stretch);
        Ok(())
    }

    /// Releases the RAM of a stretch, except units that another stretch shares; there it is filled
    /// with 0xFD.
    ///
    /// # Errors
    /// The kernel refuses to drop the pages in any way; the stretch is then in use as before.
    pub fn depopulate(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        let mut tails = self.tails();
        if !tails.is_empty() && self.depopulate_compound(&mut tails, stretch)? {
            return Ok(());
        }
        drop(tails);
        let mut usage = self.usage();
        let gone = usage.units.to_drop(stretch);
        if let Some(gone) = gone {
            self.memory.give_back(usage.with_huge_pages(gone, stretch, self.len_bytes()))?;
            self.ram_bytes.fetch_sub(gone.len, Ordering::Relaxed);
            self.budget.release(gone.len);
        }
        // The parts of the stretch that stay backed are before and after what was released.
        let (left, right) = gone.map_or((stretch.end(), stretch.end()), |gone| (gone.offset, gone.end()));
        let kept = [Stretch::from_to(stretch.offset, left), Stretch::from_to(right, stretch.end())];
        kept.into_iter().flatten().for_each(|kept| self.mark_unused(kept));
        usage.units.leave(stretch);
        if let Some(huge) = &mut usage.huge {
            huge.leave(stretch);
        }
        Ok(())
    }

    fn enter_huge(&self, usage: &mut Usage, stretch: Stretch) {
        if let Some(huge) = &mut usage.huge {
            huge.enter(stretch);
        }
    }

    /// Removes a stretch that is not backed itself. The rest of huge pages whose last user it was
    /// is released.
    fn leave_huge(&self, usage: &mut Usage, stretch: Stretch) {
        if usage.huge.as_ref().and_then(|huge| huge.to_drop(stretch)).is_some_and(|whole| whole != stretch) {
            // If this fails, some uncharged memory stays allocated until the next release.
            let _ = self.memory.give_back(usage.with_huge_pages(stretch, stretch, self.len_bytes()));
        }
        if let Some(huge) = &mut usage.huge {
            huge.leave(stretch);
        }
    }

    /// Raises the number of huge pages that the error suggests, so that it also covers the layouts
    /// that boot next.
    fn foresee(&self, error: BackingError) -> BackingError {
        let BackingError::HugePages { len, page, free, total, more } = error else { return error };
        let to_come = match self.budget.limit() {
            u64::MAX => HUGE_PAGES_WITHOUT_LIMIT,
            limit => limit.saturating_sub(self.budget.used()).div_ceil(page) + SPARE_HUGE_PAGES,
        };
        BackingError::HugePages { len, page, free, total, more: more.max(to_come.saturating_sub(free)) }
    }

    /// Fills a stretch of a unit that stays, so that a reader can tell that no record is there.
    fn mark_unused(&self, stretch: Stretch) {
        let word = size_of::<AtomicU64>() as u64;
        for offset in (stretch.offset..stretch.end()).step_by(word as usize) {
            // SAFETY: the stretch lies in the range, is backed, and consists of whole words, as
            // records do.
            let word = unsafe { self.base().add(offset as usize).cast::<AtomicU64>().as_ref() };
            word.store(PAGE_UNUSED, Ordering::Relaxed);
        }
    }

    /// Charges bytes of a device to the budget, before they are mapped.
    ///
    /// # Errors
    /// The budget is exceeded.
    pub(crate) fn charge_device(&self, len: u64) -> Result<(), VmemError> {
        self.budget.charge(len)?;
        self.device_bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// Undoes [`charge_device`](Self::charge_device), after the bytes were unmapped. This is
    /// separate from unmapping, so that the bytes can be mapped again without another layout having
    /// taken their share of the budget.
    pub(crate) fn release_device(&self, len: u64) {
        self.device_bytes.fetch_sub(len, Ordering::Relaxed);
        self.budget.release(len);
    }

    /// Maps part of a device over a stretch. [`charge_device`](Self::charge_device) must have
    /// counted the bytes.
    ///
    /// # Errors
    /// The tmpfs that emulates the device is full, or there are too many mappings. The stretch is
    /// then reserved as before.
    pub(crate) fn map_device(&self, stretch: Stretch, device: &DaxDevice, device_offset: u64) -> Result<(), VmemError> {
        self.check(stretch);
        if !(stretch.offset | stretch.len | device_offset).is_multiple_of(device.align()) {
            let (align, offset, len) = (device.align(), device_offset, stretch.len);
            return Err(VmemError::DeviceUnit { device: device.name().to_owned(), align, offset, len });
        }
        let mapped = self.map_device_over(stretch, device, device_offset);
        match &mapped {
            Ok(()) => {
                self.enter_huge(&mut self.usage(), stretch);
                self.note_tables(stretch);
            }
            // When a driver's mmap fails, the kernel has already removed the reservation.
            Err(_) => self.memory.reserve_again(stretch)?,
        }
        mapped
    }

    /// Replaces the device mapping of a stretch by a fresh reservation.
    ///
    /// # Errors
    /// Too many mappings. The device then stays mapped.
    pub(crate) fn unmap_device(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        self.memory.reserve_again(stretch)?;
        self.leave_huge(&mut self.usage(), stretch);
        Ok(())
    }

    /// Makes a stretch that will never be backed readable without allocating memory: records of
    /// sections outside the sample. Private memory is readable already. In a file, reading a hole
    /// would allocate a page, or end in SIGBUS if none is free.
    ///
    /// # Errors
    /// Too many mappings.
    pub fn leave_unbacked(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        match stretch.round_in(self.unit_bytes()) {
            Some(units) => Ok(self.memory.leave_unbacked(units)?),
            None => Ok(()),
        }
    }

    fn check(&self, stretch: Stretch) {
        let inside = stretch.offset.checked_add(stretch.len).is_some_and(|end| end <= self.len_bytes());
        assert!(inside, "{stretch:?} is outside the range");
    }

    fn map_device_over(&self, stretch: Stretch, device: &DaxDevice, offset: u64) -> Result<(), VmemError> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        let (address, len) = (self.memory.address(stretch), stretch.len as usize);
        // SAFETY: MAP_FIXED replaces part of our own reservation, which holds no record that a
        // reader can reach.
        let mapped = unsafe { rustix::mm::mmap(address, len, prot, flags, device.file(), device.file_offset(offset)) };
        mapped.map_err(|errno| match too_many_mappings(errno) {
            Some(error) => error.into(),
            None => VmemError::MapDevice { device: device.name().to_owned(), len: stretch.len, source: errno.into() },
        })?;
        let populate = |how| loop {
            // SAFETY: the stretch is the device that was just mapped; populating changes no
            // contents.
            match unsafe { rustix::mm::madvise(address, len, how) } {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        // A read fault maps many existing blocks of a file at once; on tmpfs that suffices.
        let populated = match device.read_maps_for_writers() {
            true => populate(Advice::LinuxPopulateRead),
            false => populate(Advice::LinuxPopulateWrite),
        };
        let failed = |errno: Errno| VmemError::from(BackingError::Populate { len: stretch.len, source: errno.into() });
        match populated {
            Ok(()) => Ok(()),
            Err(cause) if device.is_file() => {
                // Finds the cause, such as a full file system. Populating reports only EFAULT, and
                // writing would end in SIGBUS.
                match reserve_blocks(device.file(), device.file_offset(offset), stretch.len) {
                    Err(Errno::NOSPC) => {
                        Err(tmpfs_is_full(&format!("the tmpfs of {}", device.name()), stretch.len, false).into())
                    }
                    Err(errno) => Err(failed(errno)),
                    // The kernel lacks this advice: the blocks are allocated now, and writing the
                    // records maps them.
                    Ok(()) if cause == Errno::INVAL => Ok(()),
                    Ok(()) => Err(failed(cause)),
                }
            }
            // A driver may not support it.
            Err(Errno::INVAL) => Ok(()),
            Err(cause) => Err(failed(cause)),
        }
    }

    fn note_tables(&self, stretch: Stretch) {
        if self.memory.unit_bytes() >= BASE_ALIGN {
            return;
        }
        for table in stretch.offset / BASE_ALIGN..stretch.end().div_ceil(BASE_ALIGN) {
            let (word, bit) = (&self.tables[(table / 64) as usize], 1 << (table % 64));
            if word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
                self.nr_tables.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Vmem {
    fn drop(&mut self) {
        self.budget.release(self.ram_bytes() + self.device_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::RamBacking;
    use std::path::Path;

    const UNIT: u64 = 32 << 10;

    fn store(backing: &RamBacking, limit: u64) -> RecordStore {
        RecordStore { backing: backing.clone(), budget: RecordBudget::new(limit), ..RecordStore::unlimited() }
    }

    fn vmem(backing: &RamBacking, limit: u64) -> Vmem {
        Vmem::reserve(1 << 40, 4096, &store(backing, limit)).unwrap()
    }

    fn tmpfs() -> RamBacking {
        RamBacking::Tmpfs("/dev/shm".into())
    }

    /// The backings with base-page units that this machine supports; for huge pages see
    /// `tests/backings.rs`.
    fn backings() -> impl Iterator<Item = RamBacking> {
        let file = RamBacking::File(env!("CARGO_MANIFEST_DIR").into());
        [RamBacking::Anon, RamBacking::Linux, RamBacking::Thp, tmpfs(), file].into_iter().filter(|backing| {
            let error = Memory::reserve(1, backing).err();
            error.inspect(|error| eprintln!("skipped: {backing}: {error}")).is_none()
        })
    }

    fn word(vmem: &Vmem, offset: u64) -> &AtomicU64 {
        // SAFETY: the offset is inside the range and aligned; the range is readable and writable
        // throughout.
        unsafe { vmem.base().add(offset as usize).cast().as_ref() }
    }

    #[test]
    fn released_memory_reads_as_zero_and_is_not_charged() {
        for backing in backings() {
            let vmem = vmem(&backing, u64::MAX);
            let stretch = Stretch { offset: (1 << 39) + UNIT, len: UNIT };
            vmem.populate(stretch).unwrap();
            assert_eq!(word(&vmem, stretch.offset).swap(7, Ordering::Relaxed), 0);
            assert_eq!((vmem.ram_bytes(), vmem.page_table_bytes()), (UNIT, 4096));
            vmem.depopulate(stretch).unwrap();
            assert_eq!((vmem.ram_bytes(), vmem.budget.used()), (0, 0));
            vmem.populate(stretch).unwrap();
            assert_eq!(word(&vmem, stretch.offset).load(Ordering::Relaxed), 0, "{backing}");
        }
    }

    #[test]
    fn the_budget_is_enforced_and_returned() {
        let vmem = vmem(&RamBacking::Anon, UNIT);
        let budget = vmem.budget.clone();
        vmem.populate(Stretch { offset: 0, len: UNIT }).unwrap();
        let error = vmem.populate(Stretch { offset: UNIT, len: UNIT }).unwrap_err();
        assert!(matches!(error, VmemError::Budget(_)), "{error}");
        assert_eq!(vmem.ram_bytes(), UNIT);
        drop(vmem);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_device_is_mapped_over_the_reservation_and_unmapped() {
        for backing in backings() {
            let vmem = vmem(&backing, u64::MAX);
            let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 20).unwrap();
            let stretch = Stretch { offset: 2 << 20, len: UNIT };
            for kept in [0, 9] {
                vmem.map_device(stretch, &device, UNIT).unwrap();
                assert_eq!(word(&vmem, stretch.offset).swap(9, Ordering::Relaxed), kept, "the device keeps its data");
                vmem.unmap_device(stretch).unwrap();
                assert_eq!(word(&vmem, stretch.offset).load(Ordering::Relaxed), 0);
            }
        }
    }

    /// The rest of a huge page is released with its last user. If device mappings did not count as
    /// users, their contents would be lost.
    #[test]
    fn a_device_within_a_huge_page_keeps_its_data() {
        for backing in backings() {
            let vmem = vmem(&backing, u64::MAX);
            let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 20).unwrap();
            let (in_ram, on_device) =
                (Stretch { offset: 2 << 20, len: UNIT }, Stretch { offset: (2 << 20) + 4 * UNIT, len: UNIT });
            vmem.populate(in_ram).unwrap();
            vmem.map_device(on_device, &device, 0).unwrap();
            word(&vmem, on_device.offset).store(9, Ordering::Relaxed);
            vmem.depopulate(in_ram).unwrap();
            assert_eq!(word(&vmem, on_device.offset).load(Ordering::Relaxed), 9, "{backing}");
            vmem.unmap_device(on_device).unwrap();
            assert_eq!((vmem.bytes_in_huge_pages().unwrap_or(0), vmem.memory.blocks()), (0, 0), "{backing}");
            vmem.map_device(on_device, &device, 0).unwrap();
            assert_eq!(word(&vmem, on_device.offset).load(Ordering::Relaxed), 9, "{backing}");
        }
    }

    #[test]
    fn a_failed_device_mapping_leaves_the_reservation() {
        let vmem = vmem(&RamBacking::Anon, u64::MAX);
        let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 20).unwrap();
        let stretch = Stretch { offset: 2 << 20, len: UNIT };
        // mmap refuses an offset that is not page-aligned.
        assert!(vmem.map_device(stretch, &device, 1).is_err());
        assert_eq!(word(&vmem, stretch.offset).load(Ordering::Relaxed), 0, "still readable");
    }

    #[test]
    fn locked_memory_is_released() {
        for backing in backings() {
            let vmem = vmem(&backing, u64::MAX);
            let stretch = Stretch { offset: 0, len: 2 * UNIT };
            vmem.populate(stretch).unwrap();
            word(&vmem, UNIT).store(7, Ordering::Relaxed);
            // Only the second half is kept: the kernel drops the first half before it reaches the
            // pages that it refuses to drop.
            let half = Stretch { offset: UNIT, len: UNIT };
            // SAFETY: the stretch is backed.
            if unsafe { rustix::mm::mlock(vmem.memory.address(half), UNIT as usize) }.is_err() {
                eprintln!("skipped: this user may not lock memory");
                continue;
            }
            vmem.depopulate(stretch).unwrap();
            assert_eq!((word(&vmem, UNIT).load(Ordering::Relaxed), vmem.ram_bytes()), (0, 0), "{backing}");
        }
    }

    #[test]
    fn unbacked_memory_reads_as_zero_and_takes_no_tmpfs_space() {
        let vmem = vmem(&tmpfs(), u64::MAX);
        vmem.leave_unbacked(Stretch { offset: 0, len: 2 << 20 }).unwrap();
        for offset in (0..2 << 20).step_by(4096) {
            assert_eq!(word(&vmem, offset).load(Ordering::Relaxed), 0);
        }
        assert_eq!(vmem.memory.blocks(), 0);
    }

    #[test]
    #[should_panic(expected = "is outside")]
    fn a_stretch_outside_the_range_panics() {
        let vmem = vmem(&RamBacking::Anon, u64::MAX);
        let _ = vmem.depopulate(Stretch { offset: vmem.len_bytes(), len: 4096 });
    }

    /// T-37: records of 56 bytes make the map of a section 1.75 MiB, so sections share leaves of 2
    /// MiB.
    #[test]
    fn t_37_records_of_56_bytes_share_leaves() {
        let vmem = Vmem::reserve(1 << 30, 2 << 20, &RecordStore::unlimited()).unwrap();
        let section = |nr: u64| Stretch { offset: nr * 0x8000 * 56, len: 0x8000 * 56 };
        let (one, two) = (section(1), section(2));
        assert!(two.offset % (2 << 20) != 0 && one.end() == two.offset, "they share a leaf");
        vmem.populate(one).unwrap();
        assert_eq!(vmem.ram_bytes(), 4 << 20, "leaves 0 and 1");
        vmem.populate(two).unwrap();
        assert_eq!(vmem.ram_bytes(), 6 << 20, "and leaf 2; leaf 1 is backed already");
        for offset in (two.offset..two.end()).step_by(8) {
            word(&vmem, offset).store(offset, Ordering::Relaxed);
        }
        vmem.depopulate(one).unwrap();
        assert_eq!(vmem.ram_bytes(), 4 << 20, "leaf 0 was released, leaf 1 has another owner");
        assert_eq!(
            word(&vmem, two.offset - 8).load(Ordering::Relaxed),
            PAGE_UNUSED,
            "the released part is marked as unused"
        );
        for offset in (two.offset..two.end()).step_by(8) {
            assert_eq!(word(&vmem, offset).load(Ordering::Relaxed), offset);
        }
        vmem.populate(one).unwrap();
        vmem.depopulate(two).unwrap();
        vmem.depopulate(one).unwrap();
        assert_eq!((vmem.ram_bytes(), vmem.usage().units.nr_shared()), (0, 0));
    }

    /// Any sequence of stretches: a unit is backed as long as any of it is in use.
    #[test]
    fn a_unit_is_released_with_its_last_owner() {
        const PIECES: u64 = 40;
        let vmem = Vmem::reserve(1 << 20, 16 << 10, &RecordStore::unlimited()).unwrap();
        let piece = 3 << 10;
        let mut used = [false; PIECES as usize];
        // A walk that visits every piece many times, in runs of 1 to 11 pieces.
        let mut at = 7;
        for step in 0..5000u64 {
            at = (at * 5 + 13) % PIECES;
            let nr = (step % 11 + 1).min(PIECES - at);
            let run = at as usize..(at + nr) as usize;
            let stretch = Stretch { offset: at * piece, len: nr * piece };
            if used[run.clone()].iter().all(|used| !used) {
                vmem.populate(stretch).unwrap();
                used[run].fill(true);
            } else if used[run.clone()].iter().all(|used| *used) {
                vmem.depopulate(stretch).unwrap();
                used[run].fill(false);
            }
            let backed = (0..PIECES * piece).step_by(16 << 10).filter(|unit| {
                (unit / piece..(unit + (16 << 10)).div_ceil(piece).min(PIECES)).any(|piece| used[piece as usize])
            });
            assert_eq!(vmem.ram_bytes(), backed.count() as u64 * (16 << 10), "step {step}");
        }
    }
}
