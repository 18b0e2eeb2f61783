//! Lookups, layouts in turn.

use super::counters::Counters;
use super::{Race, RaceError, cold};
use crate::cases::{LookupCase, LookupGroup, on_map};
use crate::contestant::Contestant;
use crate::field::FieldError;
use crate::probe::lookup::{self, LookupOp, Mode, Prepared, Queries};
use crate::queries::Pattern;
use crate::row::{Dependency, Row, Sections, Tables};
use crate::work::unit_of;
use crate::workload::LookupWork;
use memmap_layouts::Geometry;
use rand::seq::SliceRandom;
use std::time::{Duration, Instant};

/// Passes before each slice that refill the caches; where a pass takes long, one leaves much to the next.
const WARM_PASSES: u64 = 4;

/// A layout in a group of slices that are compared.
pub(super) struct Lane {
    layout: usize,
    pub(super) sections: Sections,
    pub(super) prepared: Prepared,
    /// Lookups through the same code that find none of the tables of `prepared`: they fetch the code, untimed.
    pub(super) decoy: Option<Prepared>,
    pub(super) passes: u64,
}

impl Lane {
    /// Lookups of a slice.
    pub(super) fn nr_ops(&self) -> u64 {
        self.passes * self.prepared.len()
    }
}

impl<G: Geometry> Race<'_, G> {
    /// All lookups. Boot and hot-added sections take turns with the layouts, so that they can be compared too.
    pub(super) fn lookups(&mut self, has_hot: bool, counters: &mut Counters) -> Result<(), RaceError> {
        let settings = self.settings;
        for work in &settings.work.lookups {
            self.unit(&unit_of(work), |race| {
                let mut lanes = race.lanes(work, has_hot)?;
                match work.group.tables {
                    Tables::Hot => race.hot_slices(&work.group, &mut lanes, counters),
                    Tables::Cold => race.cold_slices(&mut lanes),
                }
            })?;
        }
        Ok(())
    }

    /// A lane for each layout and kind of sections, with the row that its figures go into; those that cannot take part
    /// are told.
    pub(super) fn lanes(&mut self, work: &LookupWork, has_hot: bool) -> Result<Vec<(Lane, Row)>, RaceError> {
        let mut lanes = Vec::new();
        for &sections in &work.sections {
            let is_hot = sections == Sections::Hot;
            let nothing = is_hot && !has_hot;
            let queries = if nothing { Queries::Pfns(Vec::new()) } else { self.field.queries(&work.group, sections) };
            let (decoy, queries) = match work.group.tables {
                Tables::Hot => (None, queries),
                Tables::Cold => cold::with_decoy::<G>(queries),
            };
            for layout in 0..self.field.layouts.len() {
                let contestant = &self.field.layouts[layout];
                let case = LookupCase { group: work.group, sections, layout: contestant.id() };
                let is_asked = work.layouts.is_empty() || work.layouts.iter().any(|id| id == contestant.id());
                if !is_asked || !self.settings.filter.wants(&on_map(&case.name(), &work.map)) {
                    continue;
                }
                let blank = self.row(contestant.id(), "", "time", "ns/op");
                // Hot-added memory in many pieces has its records in RAM, whatever the layout does with those of one.
                let in_ram = is_hot && self.field.plan.hot_window().is_none();
                let backing = if in_ram { self.settings.means.backing.to_string() } else { blank.backing.clone() };
                let blank = Row {
                    backing,
                    dependency: dependency(&**contestant, &work.group, sections),
                    ..work.group.label_row(sections, blank)
                };
                if is_hot && contestant.hotplug().is_none() {
                    self.not_offered(blank, "the layout has no hotplug");
                } else if nothing {
                    self.not_offered(blank, "the physical space has no room above the map");
                } else if queries.is_empty() {
                    self.not_offered(blank, "the map leaves nothing to look up");
                } else {
                    let prepare = |queries: &Queries| {
                        let prepared = contestant.prepare_checked(work.group.asked(), queries, self.field.oracle());
                        prepared.map_err(FieldError::WrongAnswer)
                    };
                    let (prepared, decoy) = (prepare(&queries)?, decoy.as_ref().map(prepare).transpose()?);
                    lanes.push((Lane { layout, sections, prepared, decoy, passes: 1 }, blank));
                }
            }
        }
        lanes.shuffle(&mut self.rng);
        Ok(lanes)
    }

    /// Slices with tables in the caches, forwards and backwards: the two of a layout are a sample, so that it does not matter who
    /// came before whom.
    fn hot_slices(
        &mut self,
        group: &LookupGroup,
        lanes: &mut [(Lane, Row)],
        counters: &mut Counters,
    ) -> Result<(), RaceError> {
        let slice = self.settings.effort.slice;
        for (lane, _) in &mut *lanes {
            lane.passes = self.calibrate(lane, slice)?;
        }
        for pair in 0..self.settings.effort.pairs {
            self.interrupt.check()?;
            let mut elapsed = vec![Duration::ZERO; lanes.len()];
            for at in (0..lanes.len()).chain((0..lanes.len()).rev()) {
                let (lane, _) = &lanes[at];
                // Not timed: what the slices before took from the caches is not this one's to fetch.
                self.slice(lane, WARM_PASSES)?;
                elapsed[at] += self.slice(lane, lane.passes)?;
            }
            for ((lane, blank), elapsed) in lanes.iter().zip(elapsed) {
                self.push_sample(blank, pair, elapsed, 2 * lane.nr_ops());
            }
        }
        if group.is_plain() && group.pattern == Pattern::Random {
            self.count(counters, lanes)?;
        }
        let floor = lanes.first().and_then(|(lane, blank)| Some((lane, blank, floor(lane, 3)?)));
        if let Some((lane, blank, elapsed)) = floor {
            self.push_floor(lane, blank, elapsed);
        }
        Ok(())
    }

    /// Keeps the time of so many operations.
    pub(super) fn push_sample(&mut self, blank: &Row, sample: u32, elapsed: Duration, nr_ops: u64) {
        self.outcome.rows.push(Row {
            sample: Some(sample),
            value: Some(elapsed.as_secs_f64() * 1e9 / nr_ops as f64),
            n_ops: Some(nr_ops),
            ..blank.clone()
        });
    }

    /// Keeps the time of the loop alone, once a group, so that a reader can see what is in every figure.
    pub(super) fn push_floor(&mut self, lane: &Lane, blank: &Row, elapsed: Duration) {
        self.outcome.rows.push(Row {
            layout: "loop".to_owned(),
            metric: "floor".to_owned(),
            value: Some(elapsed.as_secs_f64() * 1e9 / lane.nr_ops() as f64),
            n_ops: Some(lane.nr_ops()),
            dependency: None,
            ..blank.clone()
        });
    }

    /// Passes that fill a slice.
    fn calibrate(&self, lane: &Lane, slice: Duration) -> Result<u64, RaceError> {
        let mut passes = 1;
        loop {
            let elapsed = self.slice(lane, passes)?;
            if elapsed >= slice / 4 {
                let fill = slice.as_secs_f64() / elapsed.as_secs_f64() * passes as f64;
                return Ok((fill.round() as u64).max(1));
            }
            passes *= 2;
        }
    }

    /// Fetches the code of a lane, and none of its tables.
    pub(super) fn warm_code(&self, lane: &Lane) {
        if let Some(decoy) = &lane.decoy {
            std::hint::black_box(self.field.layouts[lane.layout].run(decoy, 1));
        }
    }

    pub(super) fn slice(&self, lane: &Lane, passes: u64) -> Result<Duration, RaceError> {
        let layout = &self.field.layouts[lane.layout];
        let begin = Instant::now();
        let sum = layout.run(&lane.prepared, passes);
        let elapsed = begin.elapsed();
        let expected = lane.prepared.expected(passes);
        if sum != expected || elapsed.is_zero() {
            let (id, op) = (layout.id(), lane.prepared.op());
            return Err(FieldError::WrongAnswer(format!(
                "{id}: {op} added up to {sum:#x} in {elapsed:?}, the answers that were checked add up to {expected:#x}"
            ))
            .into());
        }
        Ok(elapsed)
    }
}

/// The loop of a lane without a lookup, the shortest of some tries; `None` for a walk.
pub(super) fn floor(lane: &Lane, tries: u32) -> Option<Duration> {
    let once = |_| {
        let begin = Instant::now();
        std::hint::black_box(lookup::floor(&lane.prepared, lane.passes)?);
        Some(begin.elapsed())
    };
    (0..tries).filter_map(once).min()
}

/// How the answer of a chained lookup reaches the next address.
fn dependency<G: Geometry>(
    contestant: &dyn Contestant<G>,
    group: &LookupGroup,
    sections: Sections,
) -> Option<Dependency> {
    let is_branch = match group.op {
        LookupOp::ValidToPage => true,
        LookupOp::PfnValid => sections == Sections::Boot && contestant.caps().answers_early_by_branch(),
        LookupOp::PfnToPage | LookupOp::PageToPfn => false,
        // The walk is a loop over branches and the page frame found.
        LookupOp::NextValidPfn => return None,
    };
    let dependency = match is_branch {
        true => Dependency::Branch,
        // No to a section that is not there is a branch, whatever yes is.
        false if group.invalid_percent > 0 => Dependency::Mixed,
        false => Dependency::Data,
    };
    (group.mode == Mode::Chained).then_some(dependency)
}

#[cfg(test)]
mod tests {
    use crate::cases::LookupGroup;
    use crate::probe::lookup::LookupOp;
    use crate::queries::Pattern;
    use crate::race::tests::{settings, small_machine, with_race};

    /// What was checked one by one before the race is held against what was timed.
    #[test]
    fn answers_that_do_not_add_up_in_a_slice_end_the_race() {
        let settings = settings();
        let group = LookupGroup::plain(LookupOp::PfnToPage, Pattern::Random);
        let work = settings.work.lookups.iter().find(|work| work.group == group).unwrap();
        with_race(small_machine(), &settings, |race| {
            let mut lanes = race.lanes(work, false).unwrap();
            let (lane, _) = &mut lanes[0];
            race.slice(lane, 2).unwrap();
            // The records of another layout lie elsewhere.
            lane.layout = (lane.layout + 1) % race.field.layouts.len();
            let error = race.slice(lane, 2).unwrap_err().to_string();
            assert!(error.contains("pfn_to_page added up to"), "{error}");
        });
    }
}
