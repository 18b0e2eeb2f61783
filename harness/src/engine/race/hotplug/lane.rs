//! A layout in a group of additions.

use super::growth::Walk;
use super::window::HotplugWindow;
use crate::case::{Addresses, HotplugGroup};
use crate::engine::probe::disturbance::Slices;
use crate::engine::probe::hotplug::Latencies;
use crate::engine::probe::place::{NoPlace, Place};
use crate::engine::race::Race;
use memmap_layouts::{ByteSize, Geometry, PAGE_RECORD_BYTES, PfnRange};
use std::time::Duration;

/// A layout in a group; the operations of all lanes take turns.
pub(super) struct Lane {
    pub(super) layout: usize,
    pub(super) place: Place,
    /// The range that was added beside the place; it stays while additions are timed there.
    pub(super) held: Option<PfnRange>,
    /// The current walk, in a group of growth.
    pub(super) walk: Walk,
    /// End (exclusive) of the fresh addresses that a walk may use; the rest is left to later
    /// groups.
    pub(super) fresh_end: u64,
    pub(super) latencies: Latencies,
    pub(super) spent: Duration,
    /// Evidence of disturbance in the slices.
    pub(super) seen: Slices,
    /// True if no addresses are left for the lane.
    pub(super) at_end: bool,
    /// Why the lane cannot continue: its records are too large for this run. This is no wrong
    /// answer.
    pub(super) too_large: Option<String>,
}

impl Lane {
    /// Number of additions that were recorded.
    pub(super) fn iterations(&self) -> u64 {
        self.latencies.add.len()
    }
}

impl<G: Geometry> Race<'_, G> {
    /// The lane of a layout, or the reason why there is none.
    pub(super) fn lane(&self, at: usize, group: &HotplugGroup, window: Option<&HotplugWindow>) -> Result<Lane, String> {
        let hotplug = self.field.layouts[at].hotplug().ok_or_else(|| NoPlace::NoHotplug.to_string())?;
        let window = window.ok_or("the physical space has no room above the map")?;
        let (range, fresh_start) = (window.range, window.layouts[at].fresh_start);
        let fresh_end = fresh_start + (range.end() - fresh_start) / 2;
        let from = match group.addresses {
            Addresses::Again | Addresses::Growth => range.start(),
            Addresses::Fresh => fresh_start,
        };
        let rest = PfnRange::new(from, range.end()).ok_or_else(|| "no fresh addresses are left".to_owned())?;
        let place = hotplug.place(rest, group.size_bytes, group.position).map_err(|error| match group.addresses {
            Addresses::Fresh if matches!(error, NoPlace::NoRoom { .. }) => {
                format!("no fresh addresses are left: {error}")
            }
            _ => error.to_string(),
        })?;
        let (need, limit) = (place.range.nr_pages() * PAGE_RECORD_BYTES, self.settings.means.records_limit);
        if need > limit {
            let (need, limit) = (ByteSize(need), ByteSize(limit));
            return Err(format!("its records take {need}, more than --records-limit ({limit})"));
        }
        let (latencies, spent) = (Latencies::default(), Duration::ZERO);
        let walk = Walk::default();
        let (seen, at_end, too_large) = (Slices::default(), false, None);
        Ok(Lane { layout: at, place, held: None, walk, fresh_end, latencies, spent, seen, at_end, too_large })
    }
}
