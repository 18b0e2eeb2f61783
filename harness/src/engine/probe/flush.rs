//! Flushes records from the caches, line by line.
//!
//! Evicting them with a buffer would need twice the size of the largest cache, which other
//! processors share. The instructions available to user space (`clflush`, `dc civac`) flush exactly
//! the given lines.

use super::loops::Record;

/// Bytes of a cache line: a record of [`Page`](memmap_layouts::Page), or several smaller ones.
pub(super) const LINE_BYTES: usize = 64;

/// Start of the cache line of a record.
pub(super) fn line(record: Record) -> Record {
    record.map_addr(|address| (address.get() & !(LINE_BYTES - 1)).try_into().unwrap_or(address))
}

/// Flushes lines of records from every cache; modified lines are written back. Returns
/// false if this architecture has no such instruction.
pub(super) fn lines(records: &[Record]) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        for record in records {
            // SAFETY: every x86-64 processor has clflush; the line holds a record that is mapped,
            // and its contents stay.
            unsafe { std::arch::x86_64::_mm_clflush(record.as_ptr().cast()) };
        }
        // SAFETY: orders the flushes before the loads that are timed.
        unsafe { std::arch::x86_64::_mm_mfence() };
        true
    }
    #[cfg(target_arch = "aarch64")]
    {
        for record in records {
            // SAFETY: Linux lets user space clean and invalidate (SCTLR_EL1.UCI); the line is
            // mapped, and its contents stay.
            unsafe { std::arch::asm!("dc civac, {0}", in(reg) record.as_ptr(), options(nostack, preserves_flags)) };
        }
        // SAFETY: orders the flushes before the loads that are timed.
        unsafe { std::arch::asm!("dsb ish", options(nostack, preserves_flags)) };
        true
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = records;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::layouts::Subsection;
    use memmap_layouts::{BootMap, BootRange, Config, Lookup, Memmap, Pfn, PfnRange, RecordStore};
    use std::ptr::NonNull;

    #[test]
    fn flushed_records_keep_their_contents() {
        let range = PfnRange::new(0x8000, 0x10000).unwrap();
        let map = BootMap::new([BootRange { range, node: 0 }]).unwrap();
        let layout = <Subsection>::boot(&map, &Config::default(), RecordStore::unlimited()).unwrap();
        let reader = layout.reader();
        let found: Vec<_> = (0x8000..0x8100).map(|pfn| reader.valid_to_page(Pfn(pfn)).unwrap()).collect();
        found.iter().for_each(|page| page.set_private(7));
        let flushed = lines(&found.iter().map(|&page| line(NonNull::from(page).cast())).collect::<Vec<_>>());
        assert_eq!(flushed, cfg!(any(target_arch = "x86_64", target_arch = "aarch64")));
        assert!((0x8000..).zip(&found).all(|(pfn, page)| page.is_of(Pfn(pfn))));
    }

    #[test]
    fn small_records_share_a_line() {
        let at = |address: usize| Record::new(std::ptr::without_provenance_mut(address)).unwrap();
        let lines: Vec<usize> = (0x1000..0x1080).step_by(8).map(|address| line(at(address)).addr().get()).collect();
        assert_eq!((&lines[..8], &lines[8..]), (&[0x1000; 8][..], &[0x1040; 8][..]));
    }
}
