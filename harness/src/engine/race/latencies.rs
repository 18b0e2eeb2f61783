//! Hotplug latencies, measured layout by layout in turn.

use super::{Race, RaceError};
use crate::case::{Addresses, HotplugCase, HotplugGroup, processors};
use crate::engine::field::{Field, FieldError};
use crate::engine::probe::disturbance::Slices;
use crate::engine::probe::hotplug::{HotplugProbeError, Latencies, Manner, PERCENTILES, Touch, percentile};
use crate::engine::probe::place::{NoPlace, Place};
use crate::record::row::{Row, Status};
use memmap_layouts::backing::{DaxDevice, RamBacking};
use memmap_layouts::{ByteSize, Geometry, HotplugError, PAGE_RECORD_BYTES, PfnRange};
use rand::seq::SliceRandom;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The address window in which additions are timed, and its use by each layout.
pub(super) struct Ground {
    window: PfnRange,
    plots: Vec<Plot>,
}

/// The use of the window by one layout.
struct Plot {
    /// The device for the records, the same for all additions; `None` if they lie in RAM.
    device: Option<Arc<DaxDevice>>,
    /// First pfn from which on nothing was ever added.
    untouched: u64,
}

impl Ground {
    pub(super) fn new<G: Geometry>(field: &Field<G>, window: PfnRange) -> Result<Self, FieldError> {
        let plot = |at| Ok(Plot { device: field.device(at, window)?, untouched: window.start() });
        Ok(Self { window, plots: (0..field.layouts.len()).map(plot).collect::<Result<_, FieldError>>()? })
    }
}

/// A layout in a group; the operations of all lanes take turns.
struct Lane {
    layout: usize,
    place: Place,
    /// The range that was added beside the place; it stays while additions are timed there.
    held: Option<PfnRange>,
    /// The current walk, in a group of growth.
    walk: Walk,
    /// End (exclusive) of the fresh addresses that a walk may use; the rest is left to later
    /// groups.
    fresh_end: u64,
    latencies: Latencies,
    spent: Duration,
    /// Evidence of disturbance in the slices.
    seen: Slices,
    /// True if no addresses are left for the lane.
    at_end: bool,
    /// Why the lane cannot continue: its records are too large for this run. This is no wrong
    /// answer.
    too_large: Option<String>,
}

/// A series of additions, each behind the last, which all stay until the walk ends. Empty in groups
/// other than growth.
#[derive(Default)]
struct Walk {
    /// Number of additions at which a walk ends.
    most: u64,
    /// Number of additions so far.
    added: u64,
    /// Everything that was added, in order, including ranges beside additions.
    stays: Vec<PfnRange>,
    /// The next place; `None` if the window has no room for another.
    next: Option<Place>,
    /// One device for each later addition of the walk, if the layout puts records on a device.
    devices: Vec<Arc<DaxDevice>>,
    /// True if an earlier walk used these addresses. The first walk creates page tables and is not
    /// recorded.
    is_warm: bool,
}

/// Least number of additions in a walk: with fewer, growth is the same as a re-add.
const SHORTEST_WALK: u64 = 2;

/// A device is divided in units of this many bytes; alignment may cost an addition as much.
const DEVICE_UNIT: u64 = 2 << 20;

impl Lane {
    fn iterations(&self) -> u64 {
        self.latencies.add.len()
    }
}

impl<G: Geometry> Race<'_, G> {
    /// The window in which additions are timed; `None` if the address space has no room.
    pub(super) fn ground(&self) -> Result<Option<Ground>, RaceError> {
        let ground = self.field.plan.latency.map(|window| Ground::new(&self.field, window));
        Ok(ground.transpose()?)
    }

    /// Measures additions and removals of one group, for every layout that supports it and that the
    /// filter selects.
    pub(super) fn latency_group(&mut self, group: &HotplugGroup, ground: Option<&mut Ground>) -> Result<(), RaceError> {
        self.stage(&format!(
            "hot-add and hot-remove of {}{}",
            ByteSize(group.size_bytes),
            group.variant().replace('/', ", ")
        ));
        let ids: Vec<&'static str> = self.field.layouts.iter().map(|layout| layout.id()).collect();
        let wants = |&at: &usize| self.settings.filter.wants(&HotplugCase { group: *group, layout: ids[at] }.name());
        let wanted: Vec<usize> = (0..ids.len()).filter(wants).collect();
        let (mut lanes, mut refused): (Vec<Lane>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
        for at in wanted {
            match self.lane(at, group, ground.as_deref()) {
                Ok(lane) => lanes.push(lane),
                Err(reason) => refused.push((at, reason)),
            }
        }
        if let (Addresses::Growth, Some(ground)) = (group.addresses, ground.as_deref()) {
            let nr_lanes = lanes.len() as u64;
            let (ready, short) = self.growth(group, lanes, ground, nr_lanes);
            lanes = ready;
            refused.extend(short);
        }
        lanes.shuffle(&mut self.rng);
        if let Some(ground) = ground {
            self.take_turns(group, &mut lanes, ground)?;
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

    /// The lane of a layout, or the reason why there is none.
    fn lane(&self, at: usize, group: &HotplugGroup, ground: Option<&Ground>) -> Result<Lane, String> {
        let hotplug = self.field.layouts[at].hotplug().ok_or_else(|| NoPlace::NoHotplug.to_string())?;
        let ground = ground.ok_or("the physical space has no room above the map")?;
        let (window, untouched) = (ground.window, ground.plots[at].untouched);
        let fresh_end = untouched + (window.end() - untouched) / 2;
        let from = match group.addresses {
            Addresses::Again | Addresses::Growth => window.start(),
            Addresses::Fresh => untouched,
        };
        let rest = PfnRange::new(from, window.end()).ok_or_else(|| "no fresh addresses are left".to_owned())?;
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

    /// Splits the lanes into those with room for walks and those without, with the reason. The rest
    /// of the limit on records is divided equally, since the walks of all layouts exist at the same
    /// time.
    fn growth(
        &self,
        group: &HotplugGroup,
        lanes: Vec<Lane>,
        ground: &Ground,
        nr_lanes: u64,
    ) -> (Vec<Lane>, Vec<(usize, String)>) {
        let footprints = self.field.layouts.iter().map(|layout| layout.footprint());
        let used: u64 = footprints.map(|bytes| bytes.ram_record_bytes + bytes.device_record_bytes).sum();
        let share = self.settings.means.records_limit.saturating_sub(used) / nr_lanes.max(1);
        let (samples, _) = self.settings.effort.hotplug(group);
        let (mut ready, mut short) = (Vec::new(), Vec::new());
        for mut lane in lanes {
            let place = lane.place;
            let each = match self.settings.means.backing {
                RamBacking::Anon | RamBacking::Tmpfs(_) | RamBacking::File(_) => place.record_bytes(),
                // Part of a section takes a whole huge page, but the limit counts only its records.
                _ => place.nr_sections::<G>() * G::PAGES_PER_SECTION * PAGE_RECORD_BYTES,
            };
            let device = ground.plots[lane.layout].device.as_ref();
            let on_device = device.map_or(u64::MAX, |device| {
                device.len_bytes() / (place.record_bytes().next_multiple_of(DEVICE_UNIT) + DEVICE_UNIT)
            });
            let reason = if share / each < SHORTEST_WALK {
                Some(format!(
                    "growth keeps at least {SHORTEST_WALK} additions, whose records take {} each; \
                     --records-limit leaves {} for each layout",
                    ByteSize(each),
                    ByteSize(share)
                ))
            } else if on_device < SHORTEST_WALK {
                Some(format!(
                    "growth keeps at least {SHORTEST_WALK} additions; the device has room for the records of {on_device}"
                ))
            } else if self.next_place(group, &lane, ground.window, place).is_none() {
                Some(format!(
                    "growth keeps at least {SHORTEST_WALK} additions; the physical space above the map has room for one"
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

    /// The next place after another, in a section of its own; `None` at the end of the window.
    fn next_place(&self, group: &HotplugGroup, lane: &Lane, window: PfnRange, place: Place) -> Option<Place> {
        let hotplug = self.field.layouts[lane.layout].hotplug().expect("lanes have hotplug");
        let rest = PfnRange::new(place.range.end(), window.end())?;
        hotplug.place(rest, group.size_bytes, group.position).ok()
    }

    /// Runs slices, forwards and backwards, until every lane has its samples or has used its time.
    /// Then removes what was added beside the places.
    fn take_turns(&self, group: &HotplugGroup, lanes: &mut [Lane], ground: &mut Ground) -> Result<(), RaceError> {
        let (samples, time) = self.settings.effort.hotplug(group);
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
                    Addresses::Growth => self.slice_of_growth(group, lane, ground, samples),
                    Addresses::Again | Addresses::Fresh => self.slice_of_hotplug(group, lane, ground, samples),
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

    fn slice_of_growth(
        &self,
        group: &HotplugGroup,
        lane: &mut Lane,
        ground: &mut Ground,
        samples: u64,
    ) -> Result<(), RaceError> {
        let begin = Instant::now();
        // The time of the first walk is not counted. It ends by itself, and the limit on records
        // bounds its length.
        let was_warm = lane.walk.is_warm;
        while begin.elapsed() < 2 * self.settings.effort.slice && lane.iterations() < samples.max(2) {
            self.interrupt.check()?;
            self.grow(group, lane, ground)?;
            if lane.too_large.is_some() {
                return Ok(());
            }
        }
        if was_warm {
            lane.spent += begin.elapsed();
        }
        Ok(())
    }

    /// Adds behind the last addition. At the end of a walk it first removes everything, and the
    /// next walk begins.
    fn grow(&self, group: &HotplugGroup, lane: &mut Lane, ground: &mut Ground) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        if lane.walk.added == lane.walk.most || lane.walk.next.is_none() {
            self.end_walk(lane)?;
            (lane.walk.next, lane.walk.is_warm) = (Some(lane.place), true);
        }
        if lane.walk.added == 0 {
            let device = self.field.device(lane.layout, ground.window)?;
            let parts = device.map(|device| device.split(lane.walk.most)).transpose().map_err(FieldError::from)?;
            lane.walk.devices = parts.into_iter().flatten().rev().map(Arc::new).collect();
        }
        let Some(place) = lane.walk.next else { return Ok(()) };
        let device = lane.walk.devices.pop();
        let touch = if lane.iterations().is_multiple_of(2) { Touch::Read } else { Touch::Write };
        let manner = Manner { device: device.as_ref(), init_threads: group.init_threads, touch: Some(touch) };
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
                // There is less room than estimated, so further walks end here.
                lane.walk.most = lane.walk.added;
                return Ok(());
            }
            Err(error) if error.is_too_large() => {
                lane.too_large = Some(error.to_string());
                return Ok(());
            }
            Err(source) => return Err(FieldError::Hotplug { layout: layout.id(), source }.into()),
        }
        lane.walk.stays.push(place.range);
        lane.walk.added += 1;
        lane.walk.next = self.next_place(group, lane, ground.window, place);
        let plot = &mut ground.plots[lane.layout];
        plot.untouched = plot.untouched.max(place.range.end().next_multiple_of(G::PAGES_PER_SECTION));
        Ok(())
    }

    /// Removes the additions of a walk, the last one first. Free lists are LIFO, so the next walk
    /// starts with the pages that were used longest ago.
    fn end_walk(&self, lane: &mut Lane) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        while let Some(range) = lane.walk.stays.pop() {
            let hotplug = layout.hotplug().expect("lanes have hotplug");
            let failed = |error: HotplugError| FieldError::Hotplug { layout: layout.id(), source: error.into() };
            hotplug.remove_window(range).map_err(failed)?;
        }
        lane.walk.added = 0;
        Ok(())
    }

    /// Adds the range beside a lane's place, and removes the one beside its previous place.
    fn hold(&self, lane: &mut Lane, beside: Option<PfnRange>) -> Result<(), RaceError> {
        if lane.held == beside {
            return Ok(());
        }
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        let failed = |source: HotplugProbeError| RaceError::from(FieldError::Hotplug { layout: layout.id(), source });
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

    fn slice_of_hotplug(
        &self,
        group: &HotplugGroup,
        lane: &mut Lane,
        ground: &mut Ground,
        samples: u64,
    ) -> Result<(), RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let hotplug = layout.hotplug().expect("lanes have hotplug");
        let plot = &mut ground.plots[lane.layout];
        let begin = Instant::now();
        while begin.elapsed() < 2 * self.settings.effort.slice && lane.iterations() < samples.max(2) {
            self.interrupt.check()?;
            self.hold(lane, lane.place.beside)?;
            if lane.too_large.is_some() {
                return Ok(());
            }
            let fresh_blocks = match group.addresses {
                Addresses::Again | Addresses::Growth => None,
                Addresses::Fresh => self.field.device(lane.layout, lane.place.range)?,
            };
            let device = fresh_blocks.as_ref().or(plot.device.as_ref());
            let touch = if lane.iterations().is_multiple_of(2) { Touch::Read } else { Touch::Write };
            let manner = Manner { device, init_threads: group.init_threads, touch: Some(touch) };
            match hotplug.time(lane.place.range, manner, &mut lane.latencies) {
                Ok(()) => {}
                Err(error) if error.is_too_large() && lane.iterations() == 0 => {
                    lane.too_large = Some(error.to_string());
                    return Ok(());
                }
                Err(source) => return Err(FieldError::Hotplug { layout: layout.id(), source }.into()),
            }
            let section_end = lane.place.range.end().next_multiple_of(G::PAGES_PER_SECTION);
            plot.untouched = plot.untouched.max(section_end);
            if group.addresses == Addresses::Fresh {
                let rest = PfnRange::new(plot.untouched, lane.fresh_end);
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

    /// An empty row of a group.
    fn latency_row(&self, id: &str, op: &str, metric: &str, unit: &str, group: &HotplugGroup) -> Row {
        let crowded = group.init_threads.get() > processors();
        Row {
            size_bytes: Some(group.size_bytes),
            mode: Some(group.addresses.name().to_owned()),
            position: Some(group.position.name().to_owned()),
            threads: Some(group.init_threads.get()),
            reason: crowded
                .then(|| "oversubscribed: more threads initialise records than there are processors".to_owned()),
            ..self.row(id, op, metric, unit)
        }
    }

    fn latency_rows(&mut self, group: &HotplugGroup, lane: &Lane) {
        let (id, latencies, seen) = (self.field.layouts[lane.layout].id(), &lane.latencies, &lane.seen);
        // Percentiles with samples above them.
        let judged =
            |row: Row, above: f64| Row { evidence: seen.evidence(), doctor: seen.verdict(above).to_string(), ..row };
        for (op, histogram) in latencies.by_op() {
            if group.ops().all(|timed| timed != op) {
                continue;
            }
            let row = |metric| Row { n_ops: Some(histogram.len()), ..self.latency_row(id, op, metric, "ns", group) };
            let mut rows = Vec::new();
            for (metric, p) in PERCENTILES {
                rows.push(match percentile(histogram, p) {
                    Ok(ns) => Row { value: Some(ns as f64), ..judged(row(metric), 1.0 - p) },
                    Err(_) => Row { status: Status::TooFew, ..row(metric) },
                });
            }
            rows.push(match histogram.is_empty() {
                false => Row { value: Some(histogram.max() as f64), ..judged(row("max"), 0.0) },
                true => Row { status: Status::TooFew, ..row("max") },
            });
            self.outcome.rows.extend(rows);
            let tag = format!("{op}/{id}/{}{}", group.size_bytes, group.variant());
            self.outcome.histograms.push((tag, histogram.clone()));
        }
        for (phase, histogram) in latencies.phases.by_phase() {
            let metric = format!("phase_{phase:?}").to_lowercase();
            let mut row = judged(self.latency_row(id, "hotplug", &metric, "ns", group), 0.5);
            row.n_ops = Some(histogram.len());
            match percentile(histogram, 0.5) {
                Ok(ns) => row.value = Some(ns as f64),
                Err(_) => row.status = Status::TooFew,
            }
            self.outcome.rows.push(row);
        }
        let mut row = self.latency_row(id, "hotplug", "records_on_device", "ratio", group);
        row.value = Some(latencies.on_device);
        if latencies.on_device > 0.0 {
            let blocks = match (group.addresses, &self.settings.means.device) {
                (Addresses::Fresh | Addresses::Growth, None) => "fresh blocks for every addition",
                (Addresses::Growth, Some(_)) => "blocks of a device, reused from one walk to the next",
                _ => "blocks reused from one addition to the next",
            };
            row.reason = Some(blocks.to_owned());
        }
        self.outcome.rows.push(row);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Settings;
    use super::super::tests::{Kept, settings, small_machine};
    use super::*;
    use crate::case::Position;
    use crate::engine::field::Lineup;
    use crate::engine::layouts::entries;
    use crate::interrupt::Interrupt;
    use memmap_layouts::X86_64;
    use std::num::NonZeroU32;

    const SECTION: u64 = X86_64::PAGES_PER_SECTION;

    /// A race of the reference layout alone, with its own window.
    pub(in crate::engine::race) fn on_the_reference(
        settings: &Settings,
        test: impl FnOnce(&mut Race<'_, X86_64>, &mut Ground),
    ) {
        on(&[super::super::REFERENCE], settings, test);
    }

    /// A race of these layouts, with its own window.
    fn on(layouts: &[&str], settings: &Settings, test: impl FnOnce(&mut Race<'_, X86_64>, &mut Ground)) {
        let entries: Vec<_> = entries::<X86_64>().into_iter().filter(|entry| layouts.contains(&entry.id)).collect();
        let (interrupt, mut kept) = (Interrupt::default(), Kept::default());
        let map_end = small_machine().end_pfn() << 12;
        let field =
            Field::boot(small_machine(), map_end, &Lineup::once(&entries), &settings.means, &interrupt).unwrap();
        let mut ground = Ground::new(&field, field.plan.latency.unwrap()).unwrap();
        test(&mut Race::new(field, settings, &interrupt, &mut kept), &mut ground);
    }

    fn value(race: &Race<'_, X86_64>, op: &str, metric: &str) -> Row {
        race.outcome.rows.iter().find(|row| row.op == op && row.metric == metric).unwrap().clone()
    }

    #[test]
    fn fresh_addresses_are_used_once() {
        let mut settings = settings();
        (settings.effort.hotplug_samples, settings.effort.hotplug_time) = (100, Duration::from_secs(60));
        on_the_reference(&settings, |race, ground| {
            let fresh = HotplugGroup { addresses: Addresses::Fresh, ..HotplugGroup::plain(2 << 20) };
            let start = ground.window.start();
            for round in 1..=2 {
                race.latency_group(&fresh, Some(&mut *ground)).unwrap();
                // A tenth of the samples, each in a new section.
                assert_eq!(ground.plots[0].untouched, start + round * 10 * SECTION);
            }
            assert_eq!(value(race, "hot_add", "p50").n_ops, Some(10));
            // Addresses that the default group has used are not fresh any more.
            let plain = HotplugGroup::plain(128 << 20);
            ground.plots[0].untouched = start;
            race.latency_group(&plain, Some(&mut *ground)).unwrap();
            assert_eq!(ground.plots[0].untouched, start + SECTION);
        });
    }

    #[test]
    fn a_walk_over_fresh_addresses_ends_with_the_window() {
        let mut settings = settings();
        (settings.effort.hotplug_samples, settings.effort.hotplug_time) = (1000, Duration::from_secs(60));
        on_the_reference(&settings, |race, ground| {
            let start = ground.window.start();
            ground.window = PfnRange::from_len(start, 8 * SECTION).unwrap();
            let fresh = HotplugGroup { addresses: Addresses::Fresh, ..HotplugGroup::plain(2 << 20) };
            race.latency_group(&fresh, Some(&mut *ground)).unwrap();
            assert_eq!(ground.plots[0].untouched, start + 4 * SECTION, "half is left to others");
            assert_eq!(value(race, "hot_add", "p50").status, Status::TooFew);
            ground.plots[0].untouched = ground.window.end();
            race.outcome.rows.clear();
            race.latency_group(&fresh, Some(&mut *ground)).unwrap();
            let row = value(race, "hot_add_write", "p50");
            assert_eq!(row.status, Status::NotOffered);
            assert!(row.reason.as_deref().unwrap().contains("no fresh addresses"), "{row:?}");
        });
    }

    #[test]
    fn a_phase_is_the_median_of_its_samples() {
        let median = |samples| {
            let mut settings = settings();
            (settings.effort.hotplug_samples, settings.effort.hotplug_time) = (samples, Duration::from_secs(60));
            let mut rows = Vec::new();
            on_the_reference(&settings, |race, ground| {
                race.latency_group(&HotplugGroup::plain(2 << 20), Some(&mut *ground)).unwrap();
                rows = ["phase_populate", "phase_grace"].map(|phase| value(race, "hotplug", phase)).to_vec();
                // A phase is shorter than the whole addition in each sample, and so is its median.
                if let (Some(part), Some(whole)) = (rows[0].value, value(race, "hot_add", "p50").value) {
                    assert!(part <= whole, "{part} {whole}");
                }
            });
            rows
        };
        let enough = median(40);
        assert!(
            enough.iter().all(|row| row.n_ops == Some(40) && row.value.is_some() && row.unit == "ns"),
            "{enough:?}"
        );
        let few = median(10);
        assert!(few.iter().all(|row| row.status == Status::TooFew && row.value.is_none()), "{few:?}");
    }

    const GROWTH: HotplugGroup = HotplugGroup { addresses: Addresses::Growth, ..HotplugGroup::plain(2 << 20) };

    #[test]
    fn growth_keeps_every_addition_until_the_walk_ends() {
        let mut settings = settings();
        (settings.effort.hotplug_samples, settings.effort.hotplug_time) = (50, Duration::from_secs(60));
        for id in ["subsection", "dax", "dax-x86"] {
            on(&[id], &settings, |race, ground| {
                let records = |race: &Race<'_, X86_64>| {
                    let footprint = race.field.layouts[0].footprint();
                    (footprint.ram_record_bytes + footprint.device_record_bytes) >> 10
                };
                let (before, digest) = (records(race), race.field.layouts[0].hotplug().unwrap().digest());
                let lane = race.lane(0, &GROWTH, Some(&*ground)).unwrap_or_else(|reason| panic!("{reason}"));
                let (mut lanes, short) = race.growth(&GROWTH, vec![lane], ground, 1);
                let mut lane = lanes.pop().unwrap_or_else(|| panic!("{short:?}"));
                assert_eq!(lane.walk.most, 5, "a tenth of the samples");
                // Two walks: the first creates page tables and is not recorded.
                for (walk, recorded) in [(0, 0), (1, 5), (2, 10)] {
                    for nr in 1..=5 {
                        race.grow(&GROWTH, &mut lane, ground).unwrap();
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
    fn growth_has_rows_and_histograms_of_its_own_and_no_removals() {
        let mut settings = settings();
        (settings.effort.hotplug_samples, settings.effort.hotplug_time) = (400, Duration::from_secs(60));
        on(&["subsection", "dax"], &settings, |race, ground| {
            let digests = |race: &Race<'_, X86_64>| {
                race.field.layouts.iter().map(|layout| layout.hotplug().unwrap().digest()).collect::<Vec<_>>()
            };
            let before = digests(race);
            race.latency_group(&GROWTH, Some(&mut *ground)).unwrap();
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
            // These addresses are not fresh any more.
            assert!(ground.plots[0].untouched > ground.window.start());
        });
    }

    #[test]
    fn a_walk_of_growth_ends_with_the_limit_on_records_and_with_the_window() {
        let mut settings = settings();
        (settings.effort.hotplug_samples, settings.effort.hotplug_time) = (10_000, Duration::from_secs(60));
        settings.means.records_limit = 48 << 20;
        let most = |race: &Race<'_, X86_64>, ground: &Ground, nr_lanes| {
            let group = HotplugGroup { size_bytes: 128 << 20, ..GROWTH };
            let lane = race.lane(0, &group, Some(ground)).unwrap_or_else(|reason| panic!("{reason}"));
            let (lanes, short) = race.growth(&group, vec![lane], ground, nr_lanes);
            match lanes.first() {
                Some(lane) => Ok(lane.walk.most),
                None => Err(short[0].1.clone()),
            }
        };
        on_the_reference(&settings, |race, ground| {
            let left = (48 << 20) - race.field.layouts[0].footprint().ram_record_bytes;
            assert_eq!(most(race, ground, 1), Ok(left / (2 << 20)));
            assert_eq!(most(race, ground, 4), Ok(left / (8 << 20)));
            let too_many = most(race, ground, 12).unwrap_err();
            assert!(too_many.contains("--records-limit"), "{too_many}");
            let start = ground.window.start();
            ground.window = PfnRange::from_len(start, SECTION).unwrap();
            let too_small = most(race, ground, 1).unwrap_err();
            assert!(too_small.contains("room for one"), "{too_small}");
            // The window has three sections: walks of three additions, repeated.
            ground.window = PfnRange::from_len(start, 3 * SECTION).unwrap();
            race.latency_group(&GROWTH, Some(&mut *ground)).unwrap();
            assert_eq!(value(race, "hot_add", "p50").n_ops, Some(1000));
            assert_eq!(ground.plots[0].untouched, start + 3 * SECTION);
        });
    }

    #[test]
    fn what_lies_beside_comes_and_goes_with_the_group() {
        on_the_reference(&settings(), |race, ground| {
            let before = race.field.layouts[0].hotplug().unwrap().digest();
            let threads = NonZeroU32::new(2).unwrap();
            for (position, size) in [(Position::Later, 16 << 20), (Position::Unaligned, 128 << 20)] {
                for addresses in Addresses::ALL {
                    let group = HotplugGroup { size_bytes: size, position, addresses, init_threads: threads };
                    race.latency_group(&group, Some(&mut *ground)).unwrap();
                    assert_eq!(race.field.layouts[0].hotplug().unwrap().digest(), before, "{group:?}");
                }
            }
            assert!(race.outcome.rows.iter().all(|row| row.status != Status::NotOffered));
        });
    }

    #[test]
    fn too_large_is_said_and_nothing_stays() {
        on_the_reference(&settings(), |race, ground| {
            let hotplug = race.field.layouts[0].hotplug().unwrap().digest();
            for (size, reason) in [(8 << 30, "more than --records-limit"), (4 << 30, "would exceed the limit")] {
                race.outcome.rows.clear();
                race.latency_group(&HotplugGroup::plain(size), Some(&mut *ground)).unwrap();
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
