//! The hotplug baseline: the time to populate and write the records, which every hot-add must do.
//! The cost of a layout is its time above the baseline.

use memmap_layouts::backing::{BackingError, Memory, RamBacking, Stretch};
use memmap_layouts::{Life, Page, PageLinks, Pfn, Zone};
use memmap2::MmapOptions;
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Memory for a number of records, on the same backing as a layout's, without any tables.
#[derive(Debug)]
pub struct BaselineRecords {
    memory: Memory,
    nr_records: usize,
}

/// Why the hotplug baseline could not be measured.
#[derive(Debug, Error)]
#[error("the hotplug baseline could not be measured: {0}")]
pub struct BaselineError(#[from] BackingError);

impl BaselineRecords {
    /// Reserves address space for `nr_records`. The first round creates the last-level page table,
    /// which then stays, as in a layout.
    ///
    /// # Errors
    /// The address space cannot be mapped; see [`BaselineError`].
    pub fn new(nr_records: usize, backing: &RamBacking) -> Result<Self, BaselineError> {
        let memory = Memory::reserve((nr_records * size_of::<Page>()) as u64, backing)?;
        Ok(Self { memory, nr_records })
    }

    /// Populates the memory and initialises the records, then gives the memory back. Returns the
    /// time of populating and initialising.
    ///
    /// # Errors
    /// The kernel cannot provide memory.
    pub fn round(&self, first_pfn: u64) -> Result<Duration, BaselineError> {
        let len = (self.nr_records * size_of::<Page>()) as u64;
        let whole = |unit: u64| Stretch { offset: 0, len: len.next_multiple_of(unit).min(self.memory.len_bytes()) };
        let begin = Instant::now();
        self.memory.populate(whole(self.memory.unit_bytes()))?;
        // SAFETY: the memory is populated, holds this many records, is aligned, and is private to
        // `self`; zero bytes are a valid record.
        unsafe { write(self.memory.base().cast(), self.nr_records, first_pfn) };
        let elapsed = begin.elapsed();
        // A layout also gives back whole huge pages when no other records use them.
        self.memory.give_back(whole(self.memory.first_touch_bytes()))?;
        Ok(elapsed)
    }
}

/// Initialises `nr_records` records from `base` on, for consecutive pfns.
///
/// # Safety
/// `base` points to writable memory for `nr_records` records that nobody else accesses. Zero is a
/// valid value of every field.
unsafe fn write(base: NonNull<Page>, nr_records: usize, first_pfn: u64) {
    let links = PageLinks::new(0, Zone::Device);
    for index in 0..nr_records {
        // SAFETY: the caller promises that the memory holds `nr_records` valid records.
        let page = unsafe { base.add(index).as_ref() };
        page.init(links, Pfn(first_pfn + index as u64), Life::BOOT);
    }
}

/// Measures the baseline on part of a file: maps it, populates it in one call, and writes the
/// records. Returns the time of these steps. Then it unmaps the part; the file keeps its blocks.
///
/// # Errors
/// The file cannot be mapped at that offset, or the file system is full.
pub fn round_on_file(file: &File, offset: u64, nr_records: usize, first_pfn: u64) -> io::Result<Duration> {
    let begin = Instant::now();
    let mapping = MmapOptions::new().offset(offset).len(nr_records * size_of::<Page>()).populate().map_raw(file)?;
    let base = NonNull::new(mapping.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the mapping holds `nr_records` records, begins at a page, and nobody else uses that
    // part of the file.
    unsafe { write(base.cast(), nr_records, first_pfn) };
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_time_and_leaves_nothing() {
        let shm = || "/dev/shm".into();
        let here = || env!("CARGO_MANIFEST_DIR").into();
        for backing in [
            RamBacking::Anon,
            RamBacking::Linux,
            RamBacking::Thp,
            RamBacking::Hugetlb,
            RamBacking::Tmpfs(shm()),
            RamBacking::TmpfsHuge(shm()),
            RamBacking::File(here()),
        ] {
            let records = BaselineRecords::new(512, &backing);
            let timed = records.and_then(|records| records.round(0x100000).map(|time| (records, time)));
            let (records, time) = match timed {
                Ok(done) => done,
                Err(error) => {
                    eprintln!("skipped: {backing}: {error}");
                    continue;
                }
            };
            assert!(time > Duration::ZERO);
            records.memory.populate(Stretch { offset: 0, len: records.memory.unit_bytes() }).unwrap();
            // SAFETY: the memory was populated, and any bytes are a valid u8.
            assert_eq!(unsafe { records.memory.base().as_ptr().read_volatile() }, 0, "{backing}");
            records.round(0x100000).unwrap();
        }
    }
}
