//! What every layout tests before it adds or removes a range.

use crate::altmap::Binding;
use crate::error::HotplugError;
use crate::geometry::Geometry;
use crate::grace::{Grace, GraceError};
use crate::memmap::AddParams;
use crate::pfn::PfnRange;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// The grid on which ranges may be added and removed.
pub(crate) struct Grid {
    /// Multiples of this many page frames.
    pub(crate) granule_pages: u64,
    /// Whose rule it is, for messages.
    pub(crate) rule: &'static str,
}

impl Grid {
    /// A range that is not empty, on the grid and inside the physical space: `check_pfn_span`.
    pub(crate) fn check<G: Geometry>(&self, range: PfnRange) -> Result<(), HotplugError> {
        check_space::<G>(range)?;
        let span = range.phys(G::PAGE_SHIFT);
        let off = |pfn: u64| (pfn % self.granule_pages) << G::PAGE_SHIFT;
        if off(range.start()) != 0 || off(range.end()) != 0 {
            return Err(HotplugError::Misaligned {
                span,
                granule_bytes: self.granule_pages << G::PAGE_SHIFT,
                rule: self.rule,
                start_off_bytes: off(range.start()),
                end_off_bytes: off(range.end()),
            });
        }
        Ok(())
    }
}

/// A range that is not empty, and inside the physical space.
pub(crate) fn check_space<G: Geometry>(range: PfnRange) -> Result<(), HotplugError> {
    let span = range.phys(G::PAGE_SHIFT);
    if range.is_empty() {
        return Err(HotplugError::Empty { span });
    }
    if range.end() > G::NR_PFNS {
        let beyond = u128::from(range.end() - G::NR_PFNS) << G::PAGE_SHIFT;
        let beyond_bytes = u64::try_from(beyond).unwrap_or(u64::MAX);
        return Err(HotplugError::BeyondPhysicalSpace { span, bits: G::VMEMMAP_BITS, beyond_bytes });
    }
    Ok(())
}

/// The altmap of an addition, if any, belongs to the range: the first checks of `__add_pages`. It is the layout's as long as the
/// addition goes on, and from then on if it holds records.
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

/// The writer's lock. A thread that holds a reader does not wait for it: the one who has it may be waiting for that reader.
pub(crate) fn lock_writer<'a, T>(writer: &'a Mutex<T>, grace: &Grace) -> Result<MutexGuard<'a, T>, HotplugError> {
    if !grace.held_by_this_thread() {
        return writer.lock().map_err(|_| HotplugError::Poisoned);
    }
    writer.try_lock().map_err(|error| match error {
        TryLockError::Poisoned(_) => HotplugError::Poisoned,
        TryLockError::WouldBlock => GraceError::ReaderHeld.into(),
    })
}
