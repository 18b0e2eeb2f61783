//! Hot-add and hot-remove latencies. The layouts take turns, one slice at a time.

mod add_and_remove;
mod growth;
mod lane;
mod rows;
#[cfg(test)]
pub(super) mod test_support;
mod window;

use self::lane::Lane;
pub(super) use self::window::HotplugWindow;
use super::{Race, RaceError};
use crate::case::{Addresses, HotplugCase, HotplugGroup};
use memmap_layouts::backing::RamBacking;
use memmap_layouts::{ByteSize, Geometry};
use rand::seq::SliceRandom;

impl<G: Geometry> Race<'_, G> {
    /// Measures additions and removals of one group, for every layout that supports it and that the
    /// filter selects.
    pub(super) fn latency_group(
        &mut self,
        group: &HotplugGroup,
        window: Option<&mut HotplugWindow>,
    ) -> Result<(), RaceError> {
        self.stage(&format!(
            "hot-add and hot-remove of {}{}",
            ByteSize(group.size_bytes),
            group.variant().replace('/', ", ")
        ));
        let ids: Vec<&'static str> = self.field.layouts.iter().map(|layout| layout.id()).collect();
        let wants = |&at: &usize| {
            self.settings.job.conditions.filter.wants(&HotplugCase { group: *group, layout: ids[at] }.name())
        };
        let wanted: Vec<usize> = (0..ids.len()).filter(wants).collect();
        let (mut lanes, mut refused): (Vec<Lane>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
        for at in wanted {
            match self.lane(at, group, window.as_deref()) {
                Ok(lane) => lanes.push(lane),
                Err(reason) => refused.push((at, reason)),
            }
        }
        if let (Addresses::Growth, Some(window)) = (group.addresses, window.as_deref()) {
            let nr_lanes = lanes.len() as u64;
            let (ready, short) = self.growth(group, lanes, window, nr_lanes);
            lanes = ready;
            refused.extend(short);
        }
        lanes.shuffle(&mut self.rng);
        if let Some(window) = window {
            self.take_turns(group, &mut lanes, window)?;
        }
        for lane in lanes {
            match lane.too_large {
                Some(reason) => refused.push((lane.layout, reason)),
                None => self.latency_rows(group, &lane),
            }
        }
        for (at, reason) in refused {
            for op in group.ops() {
                let blank = self.latency_row(ids[at], op, "p50", "ns", group);
                self.not_offered(blank, &reason);
            }
        }
        Ok(())
    }

    /// Runs slices, forwards and backwards, until every lane has its samples or has used its time.
    /// Then removes the neighbour ranges.
    fn take_turns(
        &self,
        group: &HotplugGroup,
        lanes: &mut [Lane],
        window: &mut HotplugWindow,
    ) -> Result<(), RaceError> {
        let (samples, time) = self.settings.job.effort.hotplug(group);
        let is_open = |lane: &Lane| {
            // At least one addition with a read and one with a write.
            let more = lane.iterations() < 2 || lane.iterations() < samples && lane.spent < time;
            more && !lane.at_end && lane.too_large.is_none()
        };
        // A thread that waits for other threads or for a disk yields the processor without being
        // disturbed.
        let waits = group.init_threads.get() > 1 || matches!(self.settings.means.backing, RamBacking::File(_));
        while lanes.iter().any(is_open) {
            for lane in lanes.iter_mut().filter(|lane| is_open(lane)) {
                let (done, evidence) = self.watch.time(|| match group.addresses {
                    Addresses::Growth => self.slice_of_growth(group, lane, window, samples),
                    Addresses::Again | Addresses::Fresh => self.slice_of_hotplug(group, lane, window, samples),
                });
                done?;
                if !waits {
                    lane.seen.add(evidence);
                }
            }
            lanes.reverse();
        }
        lanes.iter_mut().try_for_each(|lane| {
            self.end_walk(lane)?;
            self.hold(lane, None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::test_support::{on_the_reference, value};
    use crate::case::HotplugGroup;
    use crate::engine::race::test_support::settings;
    use crate::record::row::Status;

    #[test]
    fn additions_that_are_too_large_are_reported_and_leave_nothing() {
        on_the_reference(&settings(), |race, window| {
            let hotplug = race.field.layouts[0].hotplug().unwrap().digest();
            for (size, reason) in [(8 << 30, "more than --records-limit"), (4 << 30, "would exceed the limit")] {
                race.outcome.rows.clear();
                race.latency_group(&HotplugGroup::plain(size), Some(&mut *window)).unwrap();
                assert_eq!(race.outcome.rows.len(), HotplugGroup::plain(size).ops().count());
                let row = value(race, "hot_add", "p50");
                assert!(row.reason.as_deref().is_some_and(|said| said.contains(reason)), "{row:?}");
            }
            assert_eq!(race.field.layouts[0].hotplug().unwrap().digest(), hotplug);
            let no_ground = race.latency_group(&HotplugGroup::plain(2 << 20), None);
            assert!(no_ground.is_ok() && race.outcome.rows.iter().all(|row| row.status == Status::NotOffered));
        });
    }
}
