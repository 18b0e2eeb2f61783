//! The address window in which additions are timed.

use crate::engine::field::{Field, FieldError};
use crate::engine::race::{Race, RaceError};
use memmap_layouts::backing::DaxDevice;
use memmap_layouts::{Geometry, PfnRange};
use std::sync::Arc;

/// The address window in which additions are timed, and its use by each layout.
pub(in crate::engine::race) struct HotplugWindow {
    pub(super) range: PfnRange,
    /// In the order of the field's layouts.
    pub(super) layouts: Vec<LayoutUse>,
}

/// The use of the window by one layout.
pub(super) struct LayoutUse {
    /// The device for the records, the same for all additions; `None` if they lie in RAM.
    pub(super) device: Option<Arc<DaxDevice>>,
    /// Page frames from this one on were never added.
    pub(super) fresh_start: u64,
}

impl HotplugWindow {
    pub(super) fn new<G: Geometry>(field: &Field<G>, range: PfnRange) -> Result<Self, FieldError> {
        let used = |at| Ok(LayoutUse { device: field.device(at, range)?, fresh_start: range.start() });
        let layouts = (0..field.layouts.len()).map(used).collect::<Result<_, FieldError>>()?;
        Ok(Self { range, layouts })
    }
}

impl<G: Geometry> Race<'_, G> {
    /// The window in which additions are timed; `None` if the address space has no room.
    pub(in crate::engine::race) fn hotplug_window(&self) -> Result<Option<HotplugWindow>, RaceError> {
        let window = self.field.plan.latency.map(|range| HotplugWindow::new(&self.field, range));
        Ok(window.transpose()?)
    }
}
