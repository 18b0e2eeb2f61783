//! One layout in a group of additions.

use super::growth::Walk;
use super::window::HotplugWindow;
use crate::case::{Addresses, HotplugGroup};
use crate::engine::probe::disturbance::Slices;
use crate::engine::probe::hotplug::Latencies;
use crate::engine::probe::place::{NoPlace, Place};
use crate::engine::race::Race;
use memmap_layouts::{ByteSize, Geometry, PfnRange};
use std::time::Duration;

/// One layout in a group of additions. All lanes of a group take turns.
pub(super) struct Lane {
    /// Index of the layout in the field.
    pub(super) layout: usize,
    pub(super) place: Place,
    /// The neighbour range of `place`; it stays added while additions are timed.
    pub(super) held: Option<PfnRange>,
    /// The current walk; used only in growth groups.
    pub(super) walk: Walk,
    /// End (exclusive) of the fresh addresses that this group may use. Later groups use the rest.
    pub(super) fresh_end: u64,
    pub(super) latencies: Latencies,
    /// Time of the slices so far.
    pub(super) spent: Duration,
    /// Evidence of disturbance in the slices.
    pub(super) seen: Slices,
    /// True if the lane has used all its addresses.
    pub(super) at_end: bool,
    /// Why the lane stopped: its records are too large for this run. This is not a wrong answer.
    pub(super) too_large: Option<String>,
}

impl Lane {
    /// Number of additions that were recorded.
    pub(super) fn iterations(&self) -> u64 {
        self.latencies.add.len()
    }
}

impl<G: Geometry> Race<'_, G> {
    /// The lane of the layout at index `at`, or the reason why it cannot have one.
    pub(super) fn lane(&self, at: usize, group: &HotplugGroup, window: Option<&HotplugWindow>) -> Result<Lane, String> {
        let hotplug = self.field.layouts[at].hotplug().ok_or_else(|| NoPlace::NoHotplug.to_string())?;
        if let Some(reason) = self.field.layouts[at].not_beside_a_writer() {
            return Err(reason.to_owned());
        }
        let window = window.ok_or("the physical address space has no room above the map")?;
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
        let (need, limit) = (place.range.nr_pages() * place.bytes_a_record, self.settings.means.records_limit);
        if need > limit {
            let (need, limit) = (ByteSize(need), ByteSize(limit));
            return Err(format!("the records take {need}, more than --records-limit {limit}; raise the limit"));
        }
        let (latencies, spent) = (Latencies::default(), Duration::ZERO);
        let walk = Walk::default();
        let (seen, at_end, too_large) = (Slices::default(), false, None);
        Ok(Lane { layout: at, place, held: None, walk, fresh_end, latencies, spent, seen, at_end, too_large })
    }
}
