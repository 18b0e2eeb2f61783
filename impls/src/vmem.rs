//! Reserved address space for records, and the memory behind it.
//!
//! One mapping, readable and writable from the start but without memory (`MAP_NORESERVE`): 1 TiB for the records of a
//! 46-bit physical space. Memory comes with `MADV_POPULATE_WRITE` and goes with `MADV_DONTNEED` (private memory) or
//! `MADV_REMOVE` (tmpfs). A range that is reserved without access and opened by `mprotect` would cost half as much
//! again a hot-add, and stop at `max_map_count` islands.
//!
//! Memory comes and goes in units: pages of the architecture, or of the host where those are larger. The records of a
//! sub-section may be less than a unit (2 KiB of 64 KiB pages), so that a unit has several owners: [`Units`] counts what is
//! in use of it, and it goes with the last of them. What is given up in a unit that stays is filled with 0xFD, as the
//! kernel marks unused parts of a leaf.
//!
//! | state of a page | private | tmpfs | device |
//! | --- | --- | --- | --- |
//! | reserved | untouched, reads the zero page | hole in the file | as private or tmpfs |
//! | backed | `MADV_POPULATE_WRITE` | `fallocate`, then populate | device mapped over it |
//! | reserved again | `MADV_DONTNEED` | `MADV_REMOVE` | a fresh reservation mapped over it |

use crate::backing::{DaxDevice, RamBacking, TmpfsError, unnamed_tmpfs_file};
use crate::bytes::Bytes;
use crate::fault::{Faults, Seam};
use crate::store::{BudgetExceeded, RecordBudget, RecordStore};
use crate::units::{Stretch, Units};
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ffi::c_void;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Alignment of the array: a section's records fill exactly one last-level page table.
const BASE_ALIGN: u64 = 2 << 20;

/// What fills the unused part of a unit. Source: `PAGE_UNUSED` of `mm/sparse-vmemmap.c` and `arch/x86/mm/init_64.c`.
const PAGE_UNUSED: u64 = 0xfdfd_fdfd_fdfd_fdfd;

/// Why address space or memory was refused.
#[derive(Debug, Error)]
pub enum VmemError {
    /// The kernel gives no address space.
    #[error("cannot reserve {} of address space for records: {source}{hint}", Bytes(*len))]
    Reserve {
        /// Bytes asked for.
        len: u64,
        /// The cause.
        source: io::Error,
        /// Which limit it was, and the command that lifts it.
        hint: String,
    },
    /// The kernel gives no memory.
    #[error("cannot back {} of records with memory: {source}", Bytes(*len))]
    Populate {
        /// Bytes asked for.
        len: u64,
        /// The cause.
        source: io::Error,
    },
    /// This kernel cannot populate on request.
    #[error("this kernel does not know MADV_POPULATE_WRITE; Linux 5.14 or later is needed")]
    NoPopulate,
    /// The tmpfs is full.
    #[error(
        "the tmpfs of {} has no room for {} of records; enlarge it (mount -o remount,size=…), name another with \
         --backing tmpfs:DIR, or lower --records-limit",
        place, Bytes(*len)
    )]
    TmpfsFull {
        /// The tmpfs.
        place: String,
        /// Bytes asked for.
        len: u64,
    },
    /// No file on a tmpfs.
    #[error(transparent)]
    Tmpfs(#[from] TmpfsError),
    /// The limit for all layouts together.
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    /// Device mappings make islands, and the kernel allows only so many.
    #[error(
        "the process has as many mappings as vm.max_map_count allows ({limit}); each separate range on a device needs \
         two (sysctl vm.max_map_count=…)"
    )]
    TooManyMappings {
        /// `vm.max_map_count`.
        limit: u64,
    },
    /// A device could not be mapped.
    #[error("cannot map {} of {device}: {source}", Bytes(*len))]
    MapDevice {
        /// The device.
        device: String,
        /// Bytes to be mapped.
        len: u64,
        /// The cause.
        source: io::Error,
    },
    /// A device does not map in pieces so small.
    #[error("{device} maps in units of {}, and {} of records at {offset:#x} of it are no whole units", Bytes(*align), Bytes(*len))]
    DeviceUnit {
        /// The device.
        device: String,
        /// Its mapping unit in bytes.
        align: u64,
        /// Where on the device.
        offset: u64,
        /// Bytes to be mapped.
        len: u64,
    },
    /// A fault on purpose.
    #[error("memory for {} of records was refused on purpose", Bytes(*len))]
    Injected {
        /// Bytes asked for.
        len: u64,
    },
}

impl VmemError {
    /// True if there was no room: the limit on records or a full tmpfs refused. Less would have done.
    pub fn is_no_room(&self) -> bool {
        matches!(self, Self::Budget(_) | Self::TmpfsFull { .. })
    }
}

/// Who unmaps the range.
#[derive(Debug)]
enum Mapping {
    Owned(MmapRaw),
    Hinted { ptr: *mut c_void, len: usize },
}

impl Mapping {
    fn ptr(&self) -> *mut u8 {
        match self {
            Self::Owned(map) => map.as_mut_ptr(),
            Self::Hinted { ptr, .. } => ptr.cast(),
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if let Self::Hinted { ptr, len } = *self {
            // SAFETY: the range was mapped by `reserve_hinted` and nobody else unmaps it.
            let unmapped = unsafe { rustix::mm::munmap(ptr, len) };
            debug_assert!(unmapped.is_ok(), "munmap of an own range");
        }
    }
}

/// Reserved address space, backed piece by piece.
#[derive(Debug)]
pub struct Vmem {
    mapping: Mapping,
    base: NonNull<u8>,
    len: u64,
    /// The tmpfs file behind the range, with its place for messages; `None` for private memory.
    file: Option<(File, PathBuf)>,
    budget: RecordBudget,
    faults: Faults,
    units: Mutex<Units>,
    ram_bytes: AtomicU64,
    device_bytes: AtomicU64,
    /// One bit a last-level page table that was ever needed; the kernel keeps them until the range is unmapped.
    tables: Box<[AtomicU64]>,
    nr_tables: AtomicU64,
}

// SAFETY: the range is plain memory that is only accessed through atomics or by system calls; the bookkeeping is atomic.
unsafe impl Send for Vmem {}
// SAFETY: as above.
unsafe impl Sync for Vmem {}

impl Vmem {
    /// Reserves `len` bytes of address space, to be backed in units of `unit` bytes (a power of two) or of the host's pages,
    /// whichever are larger.
    ///
    /// # Errors
    /// No address space (`ulimit -v`, strict overcommit), or no file on the tmpfs.
    pub(crate) fn reserve(len: u64, unit: u64, store: &RecordStore) -> Result<Self, VmemError> {
        let refused = |source: io::Error| VmemError::Reserve { len, hint: reservation_hint(len), source };
        let too_large = || refused(io::ErrorKind::OutOfMemory.into());
        let whole = len.max(1).checked_next_multiple_of(BASE_ALIGN).ok_or_else(too_large)?;
        // One unit more, so that the base can be aligned.
        let mapped_len =
            whole.checked_add(BASE_ALIGN).and_then(|len| usize::try_from(len).ok()).ok_or_else(too_large)?;
        let len = whole;
        let (mapping, file) = match &store.backing {
            RamBacking::Anon => (reserve_anon(mapped_len).map_err(refused)?, None),
            RamBacking::Tmpfs(dir) => {
                let file = unnamed_tmpfs_file(dir, mapped_len as u64)?;
                let map = MmapOptions::new().len(mapped_len).no_reserve_swap().map_raw(&file).map_err(refused)?;
                (Mapping::Owned(map), Some((file, dir.clone())))
            }
        };
        let start = mapping.ptr();
        let pad = start.addr().next_multiple_of(BASE_ALIGN as usize) - start.addr();
        // SAFETY: the mapping is BASE_ALIGN longer than `len`, and `pad` is less than BASE_ALIGN.
        let base = unsafe { NonNull::new_unchecked(start.add(pad)) };
        let words = (len / BASE_ALIGN).div_ceil(64) as usize;
        let vmem = Self {
            mapping,
            base,
            len,
            file,
            budget: store.budget.clone(),
            faults: store.faults.clone(),
            units: Mutex::new(Units::new(unit.max(rustix::param::page_size() as u64))),
            ram_bytes: AtomicU64::new(0),
            device_bytes: AtomicU64::new(0),
            tables: std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect(),
            nr_tables: AtomicU64::new(0),
        };
        // Records are measured in base pages, whatever the machine's default for huge pages. EINVAL: there are none.
        let _ = vmem.advise(Stretch { offset: 0, len }, Advice::LinuxNoHugepage);
        Ok(vmem)
    }

    /// First byte of the range; aligned to 2 MiB.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes of address space.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len
    }

    /// Bytes backed by RAM.
    pub(crate) fn ram_bytes(&self) -> u64 {
        self.ram_bytes.load(Ordering::Relaxed)
    }

    /// Bytes mapped from devices.
    pub(crate) fn device_bytes(&self) -> u64 {
        self.device_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of last-level page tables: one page for each 2 MiB of the range that was ever backed.
    pub(crate) fn page_table_bytes(&self) -> u64 {
        self.nr_tables.load(Ordering::Relaxed) * rustix::param::page_size() as u64
    }

    /// Bytes that are backed and given back at once.
    pub(crate) fn unit_bytes(&self) -> u64 {
        self.units().unit_bytes()
    }

    fn units(&self) -> MutexGuard<'_, Units> {
        // Whoever panicked under it left it whole: it is changed in one step.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults of the layout.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Backs a stretch that is not in use with RAM: zeroed, but for units that another stretch shares.
    ///
    /// # Errors
    /// Over budget, tmpfs full, no memory. The stretch is then reserved as before.
    pub(crate) fn populate(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        let mut units = self.units();
        if !self.faults.allow(Seam::Records) {
            return Err(VmemError::Injected { len: stretch.len });
        }
        if let Some(new) = units.to_back(stretch) {
            self.budget.charge(new.len)?;
            if let Err(error) = self.back_with_ram(new) {
                // Whatever part was backed goes back; the range was reserved before, so this cannot fail.
                let _ = self.unback_ram(new);
                self.budget.release(new.len);
                return Err(error);
            }
            self.ram_bytes.fetch_add(new.len, Ordering::Relaxed);
            self.note_tables(new);
        }
        units.enter(stretch);
        Ok(())
    }

    /// Gives the RAM of a stretch back, but for units that another stretch shares: there it is filled with 0xFD.
    ///
    /// # Errors
    /// The kernel refuses to drop the pages in any way; the stretch is then in use as before.
    pub(crate) fn depopulate(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        let mut units = self.units();
        let gone = units.to_drop(stretch);
        if let Some(gone) = gone {
            self.unback_ram(gone)?;
            self.ram_bytes.fetch_sub(gone.len, Ordering::Relaxed);
            self.budget.release(gone.len);
        }
        // What stays of the stretch lies before and after what went.
        let (left, right) = gone.map_or((stretch.end(), stretch.end()), |gone| (gone.offset, gone.end()));
        let kept = [Stretch::from_to(stretch.offset, left), Stretch::from_to(right, stretch.end())];
        kept.into_iter().flatten().for_each(|kept| self.mark_unused(kept));
        units.leave(stretch);
        Ok(())
    }

    /// Fills a stretch of a unit that stays: whoever reads it sees that no record is there.
    fn mark_unused(&self, stretch: Stretch) {
        let word = size_of::<AtomicU64>() as u64;
        for offset in (stretch.offset..stretch.end()).step_by(word as usize) {
            // SAFETY: the stretch lies in the range, is backed, and consists of whole words, as records do.
            let word = unsafe { self.base.add(offset as usize).cast::<AtomicU64>().as_ref() };
            word.store(PAGE_UNUSED, Ordering::Relaxed);
        }
    }

    /// Counts bytes of a device against the limit, before they are mapped.
    ///
    /// # Errors
    /// Over budget.
    pub(crate) fn charge_device(&self, len: u64) -> Result<(), VmemError> {
        self.budget.charge(len)?;
        self.device_bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// Takes them off again, after they were unmapped. Apart from mapping, so that what is unmapped can be mapped again
    /// without another layout having taken its share.
    pub(crate) fn release_device(&self, len: u64) {
        self.device_bytes.fetch_sub(len, Ordering::Relaxed);
        self.budget.release(len);
    }

    /// Maps a piece of a device over a stretch. The bytes were counted by [`charge_device`](Self::charge_device).
    ///
    /// # Errors
    /// No room on the tmpfs that plays the device, too many mappings. The stretch is then reserved as before.
    pub(crate) fn map_device(&self, stretch: Stretch, device: &DaxDevice, device_offset: u64) -> Result<(), VmemError> {
        self.check(stretch);
        if !(stretch.offset | stretch.len | device_offset).is_multiple_of(device.align()) {
            let (align, offset, len) = (device.align(), device_offset, stretch.len);
            return Err(VmemError::DeviceUnit { device: device.name().to_owned(), align, offset, len });
        }
        if device.is_tmpfs() {
            reserve_blocks(device.file(), device.file_offset(device_offset), stretch.len, device.name())?;
        }
        let mapped = self.map_device_over(stretch, device, device_offset);
        match &mapped {
            Ok(()) => self.note_tables(stretch),
            // A driver that refuses does so after the kernel has taken the reservation away.
            Err(_) => self.reserve_over(stretch)?,
        }
        mapped
    }

    /// Maps a fresh reservation over a stretch that a device was mapped to.
    ///
    /// # Errors
    /// Too many mappings; the device then stays mapped.
    pub(crate) fn unmap_device(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.check(stretch);
        self.reserve_over(stretch)
    }

    /// Makes a stretch that will never be backed readable without taking memory: records of sections outside the sample.
    /// Private memory is so already; on a tmpfs a look at a hole would take a page, or end in SIGBUS on a full one.
    ///
    /// # Errors
    /// Too many mappings.
    pub(crate) fn leave_unbacked(&self, stretch: Stretch) -> Result<(), VmemError> {
        if self.file.is_none() {
            return Ok(());
        }
        self.check(stretch);
        match stretch.round_in(self.unit_bytes()) {
            Some(units) => self.map_reservation(units, None),
            None => Ok(()),
        }
    }

    fn check(&self, stretch: Stretch) {
        assert!(stretch.offset.checked_add(stretch.len).is_some_and(|end| end <= self.len), "{stretch:?} is outside");
    }

    fn address(&self, stretch: Stretch) -> *mut c_void {
        // SAFETY: `check` held: the stretch lies in the mapping.
        unsafe { self.base.as_ptr().add(stretch.offset as usize).cast() }
    }

    fn advise(&self, stretch: Stretch, advice: Advice) -> Result<(), Errno> {
        loop {
            // SAFETY: the stretch lies in our own mapping. Advice that discards data is given only for stretches whose
            // records no reader can reach any more (the caller's duty, see `grace`).
            match unsafe { rustix::mm::madvise(self.address(stretch), stretch.len as usize, advice) } {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    fn back_with_ram(&self, stretch: Stretch) -> Result<(), VmemError> {
        if let Some((file, dir)) = &self.file {
            // Blocks first: a full tmpfs then says ENOSPC, where populating would say EFAULT.
            reserve_blocks(file, self.file_offset(stretch), stretch.len, &dir.display().to_string())?;
        }
        self.advise(stretch, Advice::LinuxPopulateWrite).map_err(|errno| match errno {
            Errno::INVAL => VmemError::NoPopulate,
            errno => VmemError::Populate { len: stretch.len, source: errno.into() },
        })
    }

    /// Locked pages are unlocked first, and what the kernel will not drop on advice goes with its mapping.
    fn unback_ram(&self, stretch: Stretch) -> Result<(), VmemError> {
        let advice = if self.file.is_some() { Advice::LinuxRemove } else { Advice::LinuxDontNeed };
        if self.advise(stretch, advice).is_ok() {
            return Ok(());
        }
        // SAFETY: the stretch lies in our own mapping, and unlocking changes no contents.
        let unlocked = unsafe { rustix::mm::munlock(self.address(stretch), stretch.len as usize) };
        if unlocked.is_ok() && self.advise(stretch, advice).is_ok() {
            return Ok(());
        }
        if let Some((file, _)) = &self.file {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let punched = rustix::fs::fallocate(file, hole, self.file_offset(stretch), stretch.len);
            return punched.map_err(|e| VmemError::Populate { len: stretch.len, source: e.into() });
        }
        self.reserve_over(stretch)
    }

    fn file_offset(&self, stretch: Stretch) -> u64 {
        (self.base.as_ptr().addr() - self.mapping.ptr().addr()) as u64 + stretch.offset
    }

    fn map_device_over(&self, stretch: Stretch, device: &DaxDevice, offset: u64) -> Result<(), VmemError> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        let (address, len) = (self.address(stretch), stretch.len as usize);
        // SAFETY: MAP_FIXED replaces part of our own reservation, which holds no record that a reader can reach.
        let mapped = unsafe { rustix::mm::mmap(address, len, prot, flags, device.file(), device.file_offset(offset)) };
        mapped.map_err(|errno| {
            self.too_many_mappings(errno).unwrap_or_else(|| VmemError::MapDevice {
                device: device.name().to_owned(),
                len: stretch.len,
                source: errno.into(),
            })
        })?;
        match self.advise(stretch, Advice::LinuxPopulateWrite) {
            // A driver may not support it; the blocks are there and writing the records maps them.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(VmemError::Populate { len: stretch.len, source: errno.into() }),
        }
    }

    /// A fresh reservation over a stretch, of the kind that the range began with.
    fn reserve_over(&self, stretch: Stretch) -> Result<(), VmemError> {
        self.map_reservation(stretch, self.file.as_ref().map(|(file, _)| file))
    }

    fn map_reservation(&self, stretch: Stretch, file: Option<&File>) -> Result<(), VmemError> {
        let (prot, fixed) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::FIXED | MapFlags::NORESERVE);
        let (address, len) = (self.address(stretch), stretch.len as usize);
        let mapped = match file {
            // SAFETY: MAP_FIXED replaces part of our own range, which holds no record that a reader can reach.
            None => unsafe { rustix::mm::mmap_anonymous(address, len, prot, fixed | MapFlags::PRIVATE) },
            Some(file) => {
                let offset = self.file_offset(stretch);
                // SAFETY: as above.
                unsafe { rustix::mm::mmap(address, len, prot, fixed | MapFlags::SHARED, file, offset) }
            }
        };
        mapped.map_err(|errno| {
            let source = errno.into();
            self.too_many_mappings(errno).unwrap_or(VmemError::Populate { len: stretch.len, source })
        })?;
        // With the same advice as its neighbours it merges with them into one mapping.
        let _ = self.advise(stretch, Advice::LinuxNoHugepage);
        Ok(())
    }

    /// ENOMEM from a fixed mapping is the limit on their number if the process is at it.
    fn too_many_mappings(&self, errno: Errno) -> Option<VmemError> {
        let limit: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
        let now = fs::read_to_string("/proc/self/maps").ok()?.lines().count() as u64;
        (errno == Errno::NOMEM && now + 2 >= limit).then_some(VmemError::TooManyMappings { limit })
    }

    fn note_tables(&self, stretch: Stretch) {
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

/// Reserves private address space. Valgrind refuses 64 GiB and more at an address of its own choice, but grants hints.
fn reserve_anon(len: usize) -> io::Result<Mapping> {
    match MmapOptions::new().len(len).no_reserve_swap().map_anon() {
        Ok(map) => Ok(Mapping::Owned(map.into())),
        Err(first) => [16, 32, 48].into_iter().find_map(|tib| reserve_hinted(len, tib << 40).ok()).ok_or(first),
    }
}

fn reserve_hinted(len: usize, hint: usize) -> io::Result<Mapping> {
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // SAFETY: without MAP_FIXED the address is a wish; nothing that exists is replaced.
    let ptr = unsafe { rustix::mm::mmap_anonymous(ptr::without_provenance_mut(hint), len, prot, flags)? };
    Ok(Mapping::Hinted { ptr, len })
}

fn reserve_blocks(file: &File, offset: u64, len: u64, place: &str) -> Result<(), VmemError> {
    loop {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::NOSPC) => return Err(VmemError::TmpfsFull { place: place.to_owned(), len }),
            Err(errno) => return Err(VmemError::Populate { len, source: errno.into() }),
        }
    }
}

/// Which limit refused `len` bytes of address space, and the command that lifts it.
fn reservation_hint(len: u64) -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    if let Some(limit) = limit.filter(|&limit| limit < len.saturating_mul(8)) {
        return format!(
            "; the address space of this process is limited to {}; lift it with ulimit -v unlimited, in a shell whose hard limit allows it",
            Bytes(limit)
        );
    }
    let strict = fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "2");
    if strict {
        return "; vm.overcommit_memory is 2, which counts reserved address space as memory (sysctl \
                vm.overcommit_memory=0)"
            .to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn word(vmem: &Vmem, offset: u64) -> &AtomicU64 {
        // SAFETY: the offset is inside the range and aligned; the range is readable and writable throughout.
        unsafe { vmem.base().add(offset as usize).cast().as_ref() }
    }

    #[test]
    fn what_was_given_back_reads_as_zero_and_costs_nothing() {
        for backing in [RamBacking::Anon, tmpfs()] {
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
    fn the_budget_is_kept_and_given_back() {
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
    fn a_device_comes_and_goes_over_the_reservation() {
        for backing in [RamBacking::Anon, tmpfs()] {
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

    #[test]
    fn a_device_that_will_not_map_leaves_the_reservation() {
        let vmem = vmem(&RamBacking::Anon, u64::MAX);
        let device = DaxDevice::on_tmpfs(Path::new("/dev/shm"), 1 << 20).unwrap();
        let stretch = Stretch { offset: 2 << 20, len: UNIT };
        // An offset that is not on a page is refused by mmap.
        assert!(vmem.map_device(stretch, &device, 1).is_err());
        assert_eq!(word(&vmem, stretch.offset).load(Ordering::Relaxed), 0, "still readable");
    }

    #[test]
    fn locked_memory_is_given_back_too() {
        for backing in [RamBacking::Anon, tmpfs()] {
            let vmem = vmem(&backing, u64::MAX);
            let stretch = Stretch { offset: 0, len: 2 * UNIT };
            vmem.populate(stretch).unwrap();
            word(&vmem, UNIT).store(7, Ordering::Relaxed);
            // Only the second half: the first is dropped before the kernel meets what it may not drop.
            let half = Stretch { offset: UNIT, len: UNIT };
            // SAFETY: the stretch is backed.
            if unsafe { rustix::mm::mlock(vmem.address(half), UNIT as usize) }.is_err() {
                eprintln!("skipped: this user may not lock memory");
                continue;
            }
            vmem.depopulate(stretch).unwrap();
            assert_eq!((word(&vmem, UNIT).load(Ordering::Relaxed), vmem.ram_bytes()), (0, 0), "{backing}");
        }
    }

    #[test]
    fn what_is_left_unbacked_reads_as_zero_and_takes_nothing_of_a_tmpfs() {
        let vmem = vmem(&tmpfs(), u64::MAX);
        vmem.leave_unbacked(Stretch { offset: 0, len: 2 << 20 }).unwrap();
        for offset in (0..2 << 20).step_by(4096) {
            assert_eq!(word(&vmem, offset).load(Ordering::Relaxed), 0);
        }
        let (file, _) = vmem.file.as_ref().unwrap();
        assert_eq!(rustix::fs::fstat(file).unwrap().st_blocks, 0);
    }

    #[test]
    #[should_panic(expected = "is outside")]
    fn a_stretch_outside_the_range_is_never_touched() {
        let vmem = vmem(&RamBacking::Anon, u64::MAX);
        let _ = vmem.depopulate(Stretch { offset: vmem.len_bytes(), len: 4096 });
    }

    #[test]
    fn more_address_space_than_there_is_is_an_error() {
        assert!(Vmem::reserve(u64::MAX, 4096, &RecordStore::unlimited()).is_err());
        let error = Vmem::reserve(1 << 50, 4096, &RecordStore::unlimited()).unwrap_err();
        assert!(error.to_string().contains("cannot reserve 1 PiB of address space"), "{error}");
    }

    /// T-37: records of 56 bytes make the map of a section 1.75 MiB, so sections share leaves of 2 MiB.
    #[test]
    fn t_37_records_of_56_bytes_share_leaves() {
        let vmem = Vmem::reserve(1 << 30, 2 << 20, &RecordStore::unlimited()).unwrap();
        let section = |nr: u64| Stretch { offset: nr * 0x8000 * 56, len: 0x8000 * 56 };
        let (one, two) = (section(1), section(2));
        assert!(two.offset % (2 << 20) != 0 && one.end() == two.offset, "they meet inside a leaf");
        vmem.populate(one).unwrap();
        assert_eq!(vmem.ram_bytes(), 4 << 20, "leaves 0 and 1");
        vmem.populate(two).unwrap();
        assert_eq!(vmem.ram_bytes(), 6 << 20, "and 2; leaf 1 is there already");
        for offset in (two.offset..two.end()).step_by(8) {
            word(&vmem, offset).store(offset, Ordering::Relaxed);
        }
        vmem.depopulate(one).unwrap();
        assert_eq!(vmem.ram_bytes(), 4 << 20, "leaf 0 went, leaf 1 has another owner");
        assert_eq!(word(&vmem, two.offset - 8).load(Ordering::Relaxed), PAGE_UNUSED, "given up, and marked so");
        for offset in (two.offset..two.end()).step_by(8) {
            assert_eq!(word(&vmem, offset).load(Ordering::Relaxed), offset);
        }
        vmem.populate(one).unwrap();
        vmem.depopulate(two).unwrap();
        vmem.depopulate(one).unwrap();
        assert_eq!((vmem.ram_bytes(), vmem.units().nr_shared()), (0, 0));
    }

    /// Any sequence of stretches: a unit is backed as long as any of it is in use.
    #[test]
    fn a_unit_goes_with_its_last_owner() {
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

    #[test]
    fn a_hinted_reservation_works_like_any() {
        let mapping = reserve_hinted(1 << 30, 32 << 40).unwrap();
        assert!(!mapping.ptr().is_null());
    }
}
