//! What a hot-add cannot do without: populate the memory of the records and write them. The yardstick for what a layout
//! puts on top.

use memmap_layouts::backing::{BackingError, Memory, RamBacking, Stretch};
use memmap_layouts::{Life, Page, PageLinks, Pfn, Zone};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Memory for a number of records, on the same kind of backing as a layout's, and nothing else.
#[derive(Debug)]
pub struct BareRecords {
    memory: Memory,
    nr_records: usize,
}

/// Why the yardstick could not be laid.
#[derive(Debug, Error)]
#[error("bare populate: {0}")]
pub struct BareError(#[from] BackingError);

impl BareRecords {
    /// Address space for `nr_records`. Its last-level page table exists after the first round, as it does under a layout.
    ///
    /// # Errors
    /// [`BareError`].
    pub fn new(nr_records: usize, backing: &RamBacking) -> Result<Self, BareError> {
        let memory = Memory::reserve((nr_records * size_of::<Page>()) as u64, backing)?;
        Ok(Self { memory, nr_records })
    }

    /// Populates and initialises the records, timed, then gives the memory back.
    ///
    /// # Errors
    /// The kernel refuses memory.
    pub fn round(&self, first_pfn: u64) -> Result<Duration, BareError> {
        let len = (self.nr_records * size_of::<Page>()) as u64;
        let whole = |unit: u64| Stretch { offset: 0, len: len.next_multiple_of(unit).min(self.memory.len_bytes()) };
        let begin = Instant::now();
        self.memory.populate(whole(self.memory.unit_bytes()))?;
        let links = PageLinks::new(0, Zone::Device);
        for index in 0..self.nr_records {
            // SAFETY: the memory holds this many records, is aligned, and zero is a value of every field.
            let page = unsafe { self.memory.base().cast::<Page>().add(index).as_ref() };
            page.init(links, Pfn(first_pfn + index as u64), Life::BOOT);
        }
        let elapsed = begin.elapsed();
        // As a layout does when nobody else uses the huge page.
        let grain = self.memory.huge_page_bytes().unwrap_or(1).max(self.memory.unit_bytes());
        self.memory.give_back(whole(grain))?;
        Ok(elapsed)
    }
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
            RamBacking::Thp,
            RamBacking::Hugetlb,
            RamBacking::Tmpfs(shm()),
            RamBacking::TmpfsHuge(shm()),
            RamBacking::File(here()),
        ] {
            let bare = BareRecords::new(512, &backing).and_then(|bare| bare.round(0x100000).map(|time| (bare, time)));
            let (bare, time) = match bare {
                Ok(done) => done,
                Err(error) => {
                    eprintln!("skipped: {backing}: {error}");
                    continue;
                }
            };
            assert!(time > Duration::ZERO);
            bare.memory.populate(Stretch { offset: 0, len: bare.memory.unit_bytes() }).unwrap();
            // SAFETY: the memory is backed.
            assert_eq!(unsafe { bare.memory.base().as_ptr().read_volatile() }, 0, "{backing}");
            bare.round(0x100000).unwrap();
        }
    }
}
