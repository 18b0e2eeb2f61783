//! Slices of additions, each followed by its removal.

use super::lane::Lane;
use super::window::HotplugWindow;
use crate::case::{Addresses, HotplugGroup};
use crate::engine::field::FieldError;
use crate::engine::probe::hotplug::{HotplugProbeError, Manner, Touch};
use crate::engine::race::{Race, RaceError};
use memmap_layouts::{Geometry, PfnRange};
use std::time::Instant;

impl<G: Geometry> Race<'_, G> {
    /// Adds the neighbour range of a lane's place, and removes that of its previous place.
    pub(super) fn hold(&self, lane: &mut Lane, beside: Option<PfnRange>) -> Result<(), RaceError> {
        if lane.held == beside {
            return Ok(());
        }
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        let failed =
            |source: HotplugProbeError| RaceError::from(FieldError::Hotplug { layout: layout.layout_id(), source });
        if let Some(held) = lane.held.take() {
            hotplug.remove_window(held).map_err(|error| failed(error.into()))?;
        }
        if let Some(beside) = beside {
            match hotplug.add_window(beside, None) {
                Ok(()) => lane.held = Some(beside),
                Err(error) if error.is_too_large() => lane.too_large = Some(error.to_string()),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Adds and removes ranges for the length of two slices, or until the lane has its samples.
    /// With fresh addresses, the place moves on after each addition.
    pub(super) fn slice_of_hotplug(
        &self,
        group: &HotplugGroup,
        lane: &mut Lane,
        window: &mut HotplugWindow,
        samples: u64,
    ) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        let used = &mut window.layouts[lane.layout];
        let begin = Instant::now();
        while begin.elapsed() < 2 * self.settings.job.effort.slice && lane.iterations() < samples.max(2) {
            self.interrupt.check()?;
            self.hold(lane, lane.place.beside)?;
            if lane.too_large.is_some() {
                return Ok(());
            }
            let fresh_blocks = match group.addresses {
                Addresses::Again | Addresses::Growth => None,
                Addresses::Fresh => self.field.device(lane.layout, lane.place.range)?,
            };
            let device = fresh_blocks.as_ref().or(used.device.as_ref());
            let touch = if lane.iterations().is_multiple_of(2) { Touch::Read } else { Touch::Write };
            let manner = Manner { init_threads: group.init_threads, touch: Some(touch), ..Manner::plain(device) };
            match hotplug.time(lane.place.range, manner, &mut lane.latencies) {
                Ok(()) => {}
                Err(error) if error.is_too_large() && lane.iterations() == 0 => {
                    lane.too_large = Some(error.to_string());
                    return Ok(());
                }
                Err(source) => return Err(FieldError::Hotplug { layout: layout.layout_id(), source }.into()),
            }
            let section_end = lane.place.range.end().next_multiple_of(G::PAGES_PER_SECTION);
            used.fresh_start = used.fresh_start.max(section_end);
            if group.addresses == Addresses::Fresh {
                let rest = PfnRange::new(used.fresh_start, lane.fresh_end);
                match rest.map(|rest| hotplug.place(rest, group.size_bytes, group.position)) {
                    Some(Ok(place)) => lane.place = place,
                    _ => {
                        lane.at_end = true;
                        break;
                    }
                }
            }
        }
        lane.spent += begin.elapsed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{SECTION, on_the_reference, value};
    use super::*;
    use crate::case::Position;
    use crate::engine::race::test_support::settings;
    use crate::record::row::Status;
    use std::num::NonZeroU32;
    use std::time::Duration;

    #[test]
    fn fresh_addresses_are_used_once() {
        let mut settings = settings();
        (settings.job.effort.hotplug_samples, settings.job.effort.hotplug_time) = (100, Duration::from_secs(60));
        on_the_reference(&settings, |race, window| {
            let fresh = HotplugGroup { addresses: Addresses::Fresh, ..HotplugGroup::plain(2 << 20) };
            let start = window.range.start();
            for round in 1..=2 {
                race.latency_group(&fresh, Some(&mut *window)).unwrap();
                // A tenth of the samples, each in a new section.
                assert_eq!(window.layouts[0].fresh_start, start + round * 10 * SECTION);
            }
            assert_eq!(value(race, "hot_add", "p50").n_ops, Some(10));
            // Addresses that the default group has used no longer count as fresh.
            let plain = HotplugGroup::plain(128 << 20);
            window.layouts[0].fresh_start = start;
            race.latency_group(&plain, Some(&mut *window)).unwrap();
            assert_eq!(window.layouts[0].fresh_start, start + SECTION);
        });
    }

    #[test]
    fn a_lane_uses_half_of_the_fresh_addresses() {
        let mut settings = settings();
        (settings.job.effort.hotplug_samples, settings.job.effort.hotplug_time) = (1000, Duration::from_secs(60));
        on_the_reference(&settings, |race, window| {
            let start = window.range.start();
            window.range = PfnRange::from_len(start, 8 * SECTION).unwrap();
            let fresh = HotplugGroup { addresses: Addresses::Fresh, ..HotplugGroup::plain(2 << 20) };
            race.latency_group(&fresh, Some(&mut *window)).unwrap();
            assert_eq!(window.layouts[0].fresh_start, start + 4 * SECTION, "half is left for later groups");
            assert_eq!(value(race, "hot_add", "p50").status, Status::TooFew);
            window.layouts[0].fresh_start = window.range.end();
            race.outcome.rows.clear();
            race.latency_group(&fresh, Some(&mut *window)).unwrap();
            let row = value(race, "hot_add_write", "p50");
            assert_eq!(row.status, Status::NotOffered);
            assert!(row.reason.as_deref().unwrap().contains("no fresh addresses"), "{row:?}");
        });
    }

    #[test]
    fn neighbour_ranges_are_removed_after_the_group() {
        on_the_reference(&settings(), |race, window| {
            let before = race.field.layouts[0].hotplug().unwrap().digest();
            let threads = NonZeroU32::new(2).unwrap();
            for (position, size) in [(Position::Later, 16 << 20), (Position::Unaligned, 128 << 20)] {
                for addresses in Addresses::ALL {
                    let group = HotplugGroup { size_bytes: size, position, addresses, init_threads: threads };
                    race.latency_group(&group, Some(&mut *window)).unwrap();
                    assert_eq!(race.field.layouts[0].hotplug().unwrap().digest(), before, "{group:?}");
                }
            }
            assert!(race.outcome.rows.iter().all(|row| row.status != Status::NotOffered));
        });
    }
}
