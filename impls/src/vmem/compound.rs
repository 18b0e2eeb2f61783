//! Records of compound pages in the array: backed, mapped many times, and released.

use super::{Vmem, VmemError};
use crate::backing::{BackingError, too_many_mappings};
use crate::shared_tails::{CompoundRecords, Run, SharedTails};
use crate::stretch::Stretch;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

impl Vmem {
    pub(super) fn tails(&self) -> MutexGuard<'_, SharedTails> {
        // A panic under the lock leaves a page that is counted and not used, at worst.
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if records of compound pages can share pages of `page_bytes`: memory is backed in exactly
    /// such pages.
    pub(crate) fn shares_pages(&self, page_bytes: u64) -> bool {
        let usage = self.usage();
        usage.units.unit_bytes() == page_bytes && usage.huge.is_none()
    }

    /// Backs the records of compound pages: two pages for each, of which the second is mapped wherever
    /// records of further tail pages are. Memory must be backed in pages of the architecture
    /// ([`shares_pages`](Self::shares_pages)).
    ///
    /// # Errors
    /// As for [`populate`](Self::populate), or too many mappings. The stretch is then reserved as
    /// before.
    pub(crate) fn populate_compound(&self, stretch: Stretch, compound: CompoundRecords) -> Result<(), VmemError> {
        self.check(stretch);
        let mut from = stretch.offset;
        while from < stretch.end() {
            let begin = compound.begin(from);
            let end = (begin + compound.bytes).min(stretch.end());
            if let Err(error) = self.populate_one(Stretch { offset: from, len: end - from }, begin) {
                if let Some(done) = Stretch::from_to(stretch.offset, from) {
                    self.undo(done);
                }
                return Err(error);
            }
            from = end;
        }
        self.note_tables(stretch);
        Ok(())
    }

    /// Backs records of the compound page whose records begin at `begin`: all from there on, or a later
    /// part.
    fn populate_one(&self, part: Stretch, begin: u64) -> Result<(), VmemError> {
        if part.offset > begin {
            return self.share(part, begin);
        }
        let head = Stretch { offset: begin, len: self.unit_bytes() };
        self.populate(head)?;
        let Some(tail) = Stretch::from_to(head.end(), part.end()) else { return Ok(()) };
        self.share(tail, begin).inspect_err(|_| self.undo(head))
    }

    /// Releases what was backed before an error.
    fn undo(&self, backed: Stretch) {
        let undone = self.depopulate(backed);
        debug_assert!(undone.is_ok(), "{undone:?}");
    }

    /// Maps the shared page of the compound page at `begin` all over a stretch. On an error it is
    /// reserved as before.
    fn share(&self, stretch: Stretch, begin: u64) -> Result<(), VmemError> {
        let page_bytes = self.unit_bytes();
        let nr_mappings = stretch.len / page_bytes;
        let mut tails = self.tails();
        tails.reserve_mappings(nr_mappings).map_err(|limit| BackingError::TooManyMappings { limit })?;
        let known = tails.page_below(stretch.offset, begin);
        let mapped = match known {
            Some(page) => Ok(page),
            None => self.new_shared_page(&mut tails),
        }
        .and_then(|page| {
            let done = self.map_page_over(stretch, tails.file().map_err(|errno| failed(stretch, errno))?, page);
            if done.is_err() && known.is_none() {
                tails.free_page(page, page_bytes);
                self.ram_bytes.fetch_sub(page_bytes, Ordering::Relaxed);
                self.budget.release(page_bytes);
            }
            done.map(|()| page)
        });
        match mapped {
            Ok(page) => tails.enter(stretch.offset, Run { begin, len: stretch.len, page }),
            Err(_) => {
                tails.release_mappings(nr_mappings);
                self.memory.reserve_again(stretch)?;
            }
        }
        mapped.map(|_| ())
    }

    /// A page of the file, charged to the budget.
    fn new_shared_page(&self, tails: &mut SharedTails) -> Result<u64, VmemError> {
        let page_bytes = self.unit_bytes();
        self.budget.charge(page_bytes)?;
        let page = tails.new_page(page_bytes).inspect_err(|_| self.budget.release(page_bytes));
        let page = page.map_err(|errno| BackingError::Populate { len: page_bytes, source: errno.into() })?;
        self.ram_bytes.fetch_add(page_bytes, Ordering::Relaxed);
        Ok(page)
    }

    fn map_page_over(&self, stretch: Stretch, file: &File, page: u64) -> Result<(), VmemError> {
        let page_bytes = self.unit_bytes();
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        for offset in (stretch.offset..stretch.end()).step_by(page_bytes as usize) {
            let address = self.memory.address(Stretch { offset, len: page_bytes });
            // SAFETY: MAP_FIXED replaces part of our own reservation, which holds no record that a
            // reader can reach.
            unsafe { rustix::mm::mmap(address, page_bytes as usize, prot, flags, file, page) }
                .map_err(|errno| failed(stretch, errno))?;
        }
        let (address, len) = (self.memory.address(stretch), stretch.len as usize);
        loop {
            // SAFETY: the stretch was just mapped; populating changes no contents.
            match unsafe { rustix::mm::madvise(address, len, Advice::LinuxPopulateWrite) } {
                Err(Errno::INTR) => {}
                other => break other.map_err(|errno| failed(stretch, errno)),
            }
        }
    }

    /// Releases a stretch with records of compound pages. False if it has none.
    pub(super) fn depopulate_compound(&self, tails: &mut SharedTails, stretch: Stretch) -> Result<bool, VmemError> {
        let runs = tails.within(stretch);
        if runs.is_empty() {
            return Ok(false);
        }
        let page_bytes = self.unit_bytes();
        let part = |offset: u64, run: &Run| Stretch { offset, len: run.len };
        let map_again = |runs: &[(u64, Run)], tails: &mut SharedTails| {
            for (offset, run) in runs {
                let again = tails.file().map(|file| self.map_page_over(part(*offset, run), file, run.page).is_ok());
                debug_assert!(again == Ok(true), "the mappings were there a moment ago");
            }
        };
        // Shared pages first: until the own pages go, everything can be restored.
        for (done, (offset, run)) in runs.iter().enumerate() {
            if let Err(error) = self.memory.reserve_again(part(*offset, run)) {
                map_again(&runs[..done], tails);
                return Err(error.into());
            }
        }
        if let Err(error) = self.memory.give_back(stretch) {
            map_again(&runs, tails);
            return Err(error.into());
        }
        let own = stretch.len - runs.iter().map(|(_, run)| run.len).sum::<u64>();
        let gone = own + tails.leave(stretch, page_bytes) * page_bytes;
        self.ram_bytes.fetch_sub(gone, Ordering::Relaxed);
        self.budget.release(gone);
        Ok(true)
    }
}

fn failed(stretch: Stretch, errno: Errno) -> VmemError {
    let failed = || BackingError::Populate { len: stretch.len, source: errno.into() };
    too_many_mappings(errno).unwrap_or_else(failed).into()
}
