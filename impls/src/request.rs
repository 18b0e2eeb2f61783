//! The checks that every layout makes before it adds or removes a range.

use crate::altmap::Binding;
use crate::error::HotplugError;
use crate::geometry::Geometry;
use crate::grace::{Grace, GraceError};
use crate::memmap::AddParams;
use crate::pfn::PfnRange;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// The alignment rule for added and removed ranges.
pub(crate) struct Grid {
    /// Start and end must be multiples of this many page frames.
    pub(crate) granule_pages: u64,
    /// Origin of the rule, for error messages.
    pub(crate) rule: &'static str,
}

impl Grid {
    /// Checks that the range is not empty, aligned and inside the physical address space:
    /// `check_pfn_span`.
    pub(crate) fn check<G: Geometry>(&self, range: PfnRange) -> Result<(), HotplugError> {
        self.check_in(Space::of::<G>(), range)
    }

    /// The same in a physical address space that is known only at run time.
    pub(crate) fn check_in(&self, space: Space, range: PfnRange) -> Result<(), HotplugError> {
        space.check(range)?;
        let span = range.phys(space.page_shift);
        let off = |pfn: u64| (pfn % self.granule_pages) << space.page_shift;
        if off(range.start()) != 0 || off(range.end()) != 0 {
            return Err(HotplugError::Misaligned {
                span,
                granule_bytes: self.granule_pages << space.page_shift,
                rule: self.rule,
                start_off_bytes: off(range.start()),
                end_off_bytes: off(range.end()),
            });
        }
        Ok(())
    }
}

/// A physical address space.
#[derive(Clone, Copy)]
pub(crate) struct Space {
    /// log2 of the page size in bytes.
    pub(crate) page_shift: u32,
    /// Width in bits of the physical addresses that can have a record.
    pub(crate) bits: u32,
}

impl Space {
    fn of<G: Geometry>() -> Self {
        Self { page_shift: G::PAGE_SHIFT, bits: G::VMEMMAP_BITS }
    }

    /// Checks that the range is not empty and inside the physical address space.
    pub(crate) fn check(self, range: PfnRange) -> Result<(), HotplugError> {
        let span = range.phys(self.page_shift);
        if range.is_empty() {
            return Err(HotplugError::Empty { span });
        }
        let nr_pfns = 1 << (self.bits - self.page_shift);
        if range.end() > nr_pfns {
            let beyond = u128::from(range.end() - nr_pfns) << self.page_shift;
            let beyond_bytes = u64::try_from(beyond).unwrap_or(u64::MAX);
            return Err(HotplugError::BeyondPhysicalSpace { span, bits: self.bits, beyond_bytes });
        }
        Ok(())
    }
}

/// Checks that the altmap of an addition, if any, matches the range: the first checks of
/// `__add_pages`. The altmap is bound to the layout during the addition, and afterwards as long as
/// it holds records.
pub(crate) fn check_altmap<'a, G: Geometry>(
    range: PfnRange,
    how: &'a AddParams,
    layout: &Grace,
) -> Result<Option<Binding<'a>>, HotplugError> {
    let Some(altmap) = &how.altmap else { return Ok(None) };
    let span = range.phys(G::PAGE_SHIFT);
    if altmap.base_pfn() != range.start() {
        return Err(HotplugError::AltmapElsewhere { span, altmap_base: altmap.base_pfn() });
    }
    if altmap.offset_pages() > range.nr_pages() {
        return Err(HotplugError::AltmapTooLarge { span, claimed: altmap.offset_pages() });
    }
    altmap.bind(layout.id()).map(Some).ok_or(HotplugError::AltmapOfAnother { span })
}

/// Takes the writer's lock. A thread that holds a reader does not wait for the lock, because its
/// owner may be waiting for that reader.
pub(crate) fn lock_writer<'a, T>(writer: &'a Mutex<T>, grace: &Grace) -> Result<MutexGuard<'a, T>, HotplugError> {
    if !grace.held_by_this_thread() {
        return writer.lock().map_err(|_| HotplugError::Poisoned);
    }
    writer.try_lock().map_err(|error| match error {
        TryLockError::Poisoned(_) => HotplugError::Poisoned,
        TryLockError::WouldBlock => GraceError::ReaderHeld.into(),
    })
}
