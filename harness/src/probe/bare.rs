//! What a hot-add cannot do without: populate the memory of the records and write them. The yardstick for what a layout
//! puts on top.

use memmap_layouts::backing::{RamBacking, TmpfsError, unnamed_tmpfs_file};
use memmap_layouts::{Life, Page, PageLinks, Pfn, Zone};
use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Memory for a number of records, on the same kind of backing as a layout's, and nothing else.
#[derive(Debug)]
pub struct BareRecords {
    map: MmapRaw,
    file: Option<File>,
    nr_records: usize,
}

/// Why the yardstick could not be laid.
#[derive(Debug, Error)]
pub enum BareError {
    /// No file on the tmpfs.
    #[error(transparent)]
    Tmpfs(#[from] TmpfsError),
    /// The kernel refuses memory.
    #[error("bare populate: {0}")]
    Io(#[from] io::Error),
}

/// As large as the stretch that one last-level page table maps, so that it exists after the first round, as it does
/// under a layout.
const MAP_BYTES: usize = 4 << 20;

impl BareRecords {
    /// Address space for `nr_records`.
    ///
    /// # Errors
    /// [`BareError`].
    pub fn new(nr_records: usize, backing: &RamBacking) -> Result<Self, BareError> {
        let len = MAP_BYTES.max(nr_records * size_of::<Page>());
        let mut options = MmapOptions::new();
        options.len(len).no_reserve_swap();
        let (map, file) = match backing {
            RamBacking::Anon => (MmapRaw::from(options.map_anon()?), None),
            RamBacking::Tmpfs(dir) => {
                let file = unnamed_tmpfs_file(dir, len as u64)?;
                (options.map_raw(&file)?, Some(file))
            }
        };
        // As the layouts do; a kernel without huge pages does not know it.
        let _ = map.advise(Advice::NoHugePage);
        Ok(Self { map, file, nr_records })
    }

    /// Populates and initialises the records, timed, then gives the memory back.
    ///
    /// # Errors
    /// The kernel refuses memory.
    pub fn round(&self, first_pfn: u64) -> Result<Duration, BareError> {
        let len = self.nr_records * size_of::<Page>();
        let begin = Instant::now();
        if let Some(file) = &self.file {
            rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len as u64).map_err(io::Error::from)?;
        }
        self.map.advise_range(Advice::PopulateWrite, 0, len)?;
        let links = PageLinks::new(0, Zone::Device);
        for index in 0..self.nr_records {
            // SAFETY: the mapping holds this many records, is page-aligned, and zero is a value of every field.
            let page = unsafe { &*self.map.as_mut_ptr().cast::<Page>().add(index) };
            page.init(links, Pfn(first_pfn + index as u64), Life::BOOT);
        }
        let elapsed = begin.elapsed();
        let give_back = if self.file.is_some() { UncheckedAdvice::Remove } else { UncheckedAdvice::DontNeed };
        // SAFETY: no reference into the mapping is left.
        unsafe { self.map.unchecked_advise_range(give_back, 0, len)? };
        Ok(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_time_and_leaves_nothing() {
        for backing in [RamBacking::Anon, RamBacking::Tmpfs("/dev/shm".into())] {
            let bare = BareRecords::new(512, &backing).unwrap();
            assert!(bare.round(0x100000).unwrap() > Duration::ZERO);
            // SAFETY: the mapping is readable; the records were given back, so it reads as zero.
            assert_eq!(unsafe { bare.map.as_ptr().read_volatile() }, 0, "{backing}");
            bare.round(0x100000).unwrap();
        }
    }
}
