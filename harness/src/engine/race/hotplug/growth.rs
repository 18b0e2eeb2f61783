//! Growth: each addition lies behind the previous one, and all stay until the walk ends.

use super::lane::Lane;
use super::window::HotplugWindow;
use crate::case::HotplugGroup;
use crate::engine::field::FieldError;
use crate::engine::probe::hotplug::{Latencies, Manner, Touch};
use crate::engine::probe::place::Place;
use crate::engine::race::{Race, RaceError};
use memmap_layouts::backing::{DaxDevice, RamBacking};
use memmap_layouts::{ByteSize, Geometry, HotplugError, PfnRange};
use std::sync::Arc;
use std::time::Instant;

/// A series of additions at rising addresses, which all stay until the walk ends. Unused outside
/// growth groups.
#[derive(Default)]
pub(super) struct Walk {
    /// Number of additions at which a walk ends.
    pub(super) most: u64,
    /// Number of additions so far.
    pub(super) added: u64,
    /// Every range that was added, in order, including neighbour ranges.
    pub(super) stays: Vec<PfnRange>,
    /// The next place; `None` if the window has no room for another.
    pub(super) next: Option<Place>,
    /// One device for each later addition of the walk, if the layout puts records on a device.
    pub(super) devices: Vec<Arc<DaxDevice>>,
    /// True if an earlier walk used these addresses. The first walk creates page tables and is not
    /// recorded.
    pub(super) is_warm: bool,
}

/// Least number of additions in a walk: with fewer, growth would equal a repeated addition.
const SHORTEST_WALK: u64 = 2;

/// Devices are divided in units of this many bytes. Alignment wastes at most one unit per addition.
const DEVICE_UNIT: u64 = 2 << 20;

impl<G: Geometry> Race<'_, G> {
    /// Splits the lanes into those with room for a walk and those without, with the reason. The
    /// walks of all layouts exist at the same time, so they share the remaining limit on records
    /// equally.
    pub(super) fn growth(
        &self,
        group: &HotplugGroup,
        lanes: Vec<Lane>,
        window: &HotplugWindow,
        nr_lanes: u64,
    ) -> (Vec<Lane>, Vec<(usize, String)>) {
        let footprints = self.field.layouts.iter().map(|layout| layout.footprint());
        let used: u64 = footprints.map(|bytes| bytes.ram_record_bytes + bytes.device_record_bytes).sum();
        let share = self.settings.means.records_limit.saturating_sub(used) / nr_lanes.max(1);
        let (samples, _) = self.settings.job.effort.hotplug(group);
        let (mut ready, mut short) = (Vec::new(), Vec::new());
        for mut lane in lanes {
            let place = lane.place;
            let each = match self.settings.means.backing {
                RamBacking::Anon | RamBacking::Tmpfs(_) | RamBacking::File(_) => place.record_bytes(),
                // Part of a section occupies a whole huge page, although the limit counts only its
                // records.
                _ => place.nr_sections::<G>() * G::PAGES_PER_SECTION * place.bytes_a_record,
            };
            let device = window.layouts[lane.layout].device.as_ref();
            let on_device = device.map_or(u64::MAX, |device| {
                device.len_bytes() / (place.record_bytes().next_multiple_of(DEVICE_UNIT) + DEVICE_UNIT)
            });
            let reason = if share / each < SHORTEST_WALK {
                Some(format!(
                    "growth needs room for {SHORTEST_WALK} additions whose records take {} each, \
                     but --records-limit leaves {} for each layout; raise the limit",
                    ByteSize(each),
                    ByteSize(share)
                ))
            } else if on_device < SHORTEST_WALK {
                Some(format!(
                    "growth needs {SHORTEST_WALK} additions, but the device has room for the records of {on_device}"
                ))
            } else if self.next_place(group, &lane, window.range, place).is_none() {
                Some(format!(
                    "growth needs {SHORTEST_WALK} additions, but the address space above the map has room for one"
                ))
            } else {
                None
            };
            match reason {
                Some(reason) => short.push((lane.layout, reason)),
                None => {
                    lane.walk.most = (share / each).min(on_device).min(samples.max(SHORTEST_WALK));
                    lane.walk.next = Some(place);
                    ready.push(lane);
                }
            }
        }
        (ready, short)
    }

    /// The place behind `place`, in a section of its own; `None` at the end of the window.
    fn next_place(&self, group: &HotplugGroup, lane: &Lane, window: PfnRange, place: Place) -> Option<Place> {
        let hotplug = self.field.layouts[lane.layout].hotplug().expect("lanes have hotplug");
        let rest = PfnRange::new(place.range.end(), window.end())?;
        hotplug.place(rest, group.size_bytes, group.position).ok()
    }

    /// Adds ranges for the length of two slices, or until the lane has its samples.
    pub(super) fn slice_of_growth(
        &self,
        group: &HotplugGroup,
        lane: &mut Lane,
        window: &mut HotplugWindow,
        samples: u64,
    ) -> Result<(), RaceError> {
        let begin = Instant::now();
        // The time of the first walk is not counted. It ends by itself, and the limit on records
        // bounds its length.
        let was_warm = lane.walk.is_warm;
        while begin.elapsed() < 2 * self.settings.job.effort.slice && lane.iterations() < samples.max(2) {
            self.interrupt.check()?;
            self.grow(group, lane, window)?;
            if lane.too_large.is_some() {
                return Ok(());
            }
        }
        if was_warm {
            lane.spent += begin.elapsed();
        }
        Ok(())
    }

    /// Adds the next place of the walk. At the end of a walk, it first removes all ranges and
    /// starts the next walk.
    fn grow(&self, group: &HotplugGroup, lane: &mut Lane, window: &mut HotplugWindow) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        if lane.walk.added == lane.walk.most || lane.walk.next.is_none() {
            self.end_walk(lane)?;
            (lane.walk.next, lane.walk.is_warm) = (Some(lane.place), true);
        }
        if lane.walk.added == 0 {
            let device = self.field.device(lane.layout, window.range)?;
            let parts = device.map(|device| device.split(lane.walk.most)).transpose().map_err(FieldError::from)?;
            lane.walk.devices = parts.into_iter().flatten().rev().map(Arc::new).collect();
        }
        let Some(place) = lane.walk.next else { return Ok(()) };
        let device = lane.walk.devices.pop();
        let touch = if lane.iterations().is_multiple_of(2) { Touch::Read } else { Touch::Write };
        let manner = Manner { init_threads: group.init_threads, touch: Some(touch), ..Manner::plain(device.as_ref()) };
        let mut not_kept = Latencies::default();
        let into = if lane.walk.is_warm { &mut lane.latencies } else { &mut not_kept };
        let beside = place.beside.map_or(Ok(()), |beside| {
            hotplug.add_window(beside, None)?;
            lane.walk.stays.push(beside);
            Ok(())
        });
        match beside.and_then(|()| hotplug.time_add(place.range, manner, into)) {
            Ok(()) => {}
            Err(error) if error.is_too_large() && lane.walk.added >= SHORTEST_WALK => {
                // There is less room than estimated. This and later walks end here.
                lane.walk.most = lane.walk.added;
                return Ok(());
            }
            Err(error) if error.is_too_large() => {
                lane.too_large = Some(error.to_string());
                return Ok(());
            }
            Err(source) => return Err(FieldError::Hotplug { layout: layout.layout_id(), source }.into()),
        }
        lane.walk.stays.push(place.range);
        lane.walk.added += 1;
        lane.walk.next = self.next_place(group, lane, window.range, place);
        let used = &mut window.layouts[lane.layout];
        used.fresh_start = used.fresh_start.max(place.range.end().next_multiple_of(G::PAGES_PER_SECTION));
        Ok(())
    }

    /// Removes the additions of a walk, the last one first. The kernel's free lists are LIFO,
    /// so the next walk starts with the pages of the first additions.
    pub(super) fn end_walk(&self, lane: &mut Lane) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        while let Some(range) = lane.walk.stays.pop() {
            let hotplug = layout.hotplug().expect("lanes have hotplug");
            let failed = |error: HotplugError| FieldError::Hotplug { layout: layout.layout_id(), source: error.into() };
            hotplug.remove_window(range).map_err(failed)?;
        }
        lane.walk.added = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{SECTION, on, on_the_reference, value};
    use super::*;
    use crate::case::Addresses;
    use crate::engine::race::test_support::settings;
    use crate::record::row::Row;
    use memmap_layouts::X86_64;
    use std::time::Duration;

    const GROWTH: HotplugGroup = HotplugGroup { addresses: Addresses::Growth, ..HotplugGroup::plain(2 << 20) };

    #[test]
    fn growth_keeps_every_addition_until_the_walk_ends() {
        let mut settings = settings();
        (settings.job.effort.hotplug_samples, settings.job.effort.hotplug_time) = (50, Duration::from_secs(60));
        for id in ["subsection", "dax", "dax-x86"] {
            on(&[id], &settings, |race, window| {
                let records = |race: &Race<'_, X86_64>| {
                    let footprint = race.field.layouts[0].footprint();
                    (footprint.ram_record_bytes + footprint.device_record_bytes) >> 10
                };
                let (before, digest) = (records(race), race.field.layouts[0].hotplug().unwrap().digest());
                let lane = race.lane(0, &GROWTH, Some(&*window)).unwrap_or_else(|reason| panic!("{reason}"));
                let (mut lanes, short) = race.growth(&GROWTH, vec![lane], window, 1);
                let mut lane = lanes.pop().unwrap_or_else(|| panic!("{short:?}"));
                assert_eq!(lane.walk.most, 5, "a tenth of the samples");
                // Two walks: the first creates page tables and is not recorded.
                for (walk, recorded) in [(0, 0), (1, 5), (2, 10)] {
                    for nr in 1..=5 {
                        race.grow(&GROWTH, &mut lane, window).unwrap();
                        assert_eq!(records(race), before + 32 * nr, "{id}: walk {walk}");
                    }
                    let memory = lane.walk.stays.iter().map(|range| range.start() / SECTION);
                    assert!(memory.collect::<Vec<_>>().windows(2).all(|pair| pair[1] == pair[0] + 1), "{id}");
                    assert_eq!(lane.iterations(), recorded, "{id}: walk {walk}");
                }
                race.end_walk(&mut lane).unwrap();
                assert_eq!(records(race), before);
                assert_eq!(race.field.layouts[0].hotplug().unwrap().digest(), digest, "{id}");
            });
        }
    }

    #[test]
    fn growth_has_its_own_rows_and_no_removals() {
        let mut settings = settings();
        (settings.job.effort.hotplug_samples, settings.job.effort.hotplug_time) = (400, Duration::from_secs(60));
        on(&["subsection", "dax"], &settings, |race, window| {
            let digests = |race: &Race<'_, X86_64>| {
                race.field.layouts.iter().map(|layout| layout.hotplug().unwrap().digest()).collect::<Vec<_>>()
            };
            let before = digests(race);
            race.latency_group(&GROWTH, Some(&mut *window)).unwrap();
            assert_eq!(digests(race), before);
            for id in ["subsection", "dax"] {
                let of_layout: Vec<&Row> = race.outcome.rows.iter().filter(|row| row.layout == id).collect();
                assert!(of_layout.iter().all(|row| row.mode.as_deref() == Some("growth")), "{of_layout:?}");
                assert!(of_layout.iter().all(|row| row.op != "hot_remove"), "{of_layout:?}");
                let median = of_layout.iter().find(|row| row.op == "hot_add" && row.metric == "p50").unwrap();
                assert_eq!((median.n_ops, median.value.is_some()), (Some(40), true));
                let of_removal = |row: &&&Row| row.metric == "phase_grace" || row.metric == "phase_depopulate";
                assert_eq!(of_layout.iter().filter(of_removal).count(), 0);
            }
            let on_device = race.outcome.rows.iter().find(|row| row.layout == "dax" && row.op == "hotplug");
            assert!(on_device.is_some());
            let share = race.outcome.rows.iter().find(|row| row.layout == "dax" && row.metric == "records_on_device");
            assert_eq!(share.unwrap().value, Some(1.0));
            let tags: Vec<&str> = race.outcome.histograms.iter().map(|(tag, _)| tag.as_str()).collect();
            assert!(tags.contains(&"hot_add/subsection/2097152/growth"), "{tags:?}");
            assert!(tags.iter().all(|tag| !tag.starts_with("hot_remove")), "{tags:?}");
            // The addresses of a walk no longer count as fresh.
            assert!(window.layouts[0].fresh_start > window.range.start());
        });
    }

    #[test]
    fn the_records_limit_and_the_window_bound_a_walk() {
        let mut settings = settings();
        (settings.job.effort.hotplug_samples, settings.job.effort.hotplug_time) = (10_000, Duration::from_secs(60));
        settings.means.records_limit = 72 << 20;
        let most = |race: &Race<'_, X86_64>, window: &HotplugWindow, nr_lanes| {
            let group = HotplugGroup { size_bytes: 128 << 20, ..GROWTH };
            let lane = race.lane(0, &group, Some(window)).unwrap_or_else(|reason| panic!("{reason}"));
            let (lanes, short) = race.growth(&group, vec![lane], window, nr_lanes);
            match lanes.first() {
                Some(lane) => Ok(lane.walk.most),
                None => Err(short[0].1.clone()),
            }
        };
        on_the_reference(&settings, |race, window| {
            let left = (72 << 20) - race.field.layouts[0].footprint().ram_record_bytes;
            assert_eq!(most(race, window, 1), Ok(left / (2 << 20)));
            assert_eq!(most(race, window, 4), Ok(left / (8 << 20)));
            let too_many = most(race, window, 40).unwrap_err();
            assert!(too_many.contains("--records-limit"), "{too_many}");
            let start = window.range.start();
            window.range = PfnRange::from_len(start, SECTION).unwrap();
            let too_small = most(race, window, 1).unwrap_err();
            assert!(too_small.contains("room for one"), "{too_small}");
            // The window has three sections: walks of three additions, repeated.
            window.range = PfnRange::from_len(start, 3 * SECTION).unwrap();
            race.latency_group(&GROWTH, Some(&mut *window)).unwrap();
            assert_eq!(value(race, "hot_add", "p50").n_ops, Some(1000));
            assert_eq!(window.layouts[0].fresh_start, start + 3 * SECTION);
        });
    }
}
