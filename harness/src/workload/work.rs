//! The work on one map: which groups of cases are measured.

use crate::case::{BOOT, HotplugGroup, Memory, OWN_COST, ReadersGroup, Tables};
use crate::workload::tier::Effort;
use crate::workload::{Expectation, LookupWork};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Estimated time to evict the caches once.
const COLD_ROUND: Duration = Duration::from_millis(30);

/// The groups of cases to measure on one map.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// Groups of lookups.
    pub lookups: Vec<LookupWork>,
    /// True to count processor events around lookups.
    pub counters: bool,
    /// Groups of additions and removals.
    pub hotplug: Vec<HotplugGroup>,
    /// Groups of readers beside a writer.
    pub readers: Vec<ReadersGroup>,
    /// True to compare hot-add with a bare populate.
    pub own_cost: bool,
    /// Answers that are checked before anything is timed.
    pub expect: Vec<Expectation>,
}

impl Work {
    /// True if there is nothing to measure.
    pub fn is_empty(&self) -> bool {
        self.lookups.is_empty() && self.hotplug.is_empty() && self.readers.is_empty() && !self.own_cost
    }

    /// Names of the units of this work, in order. A unit is stored on disk as a whole or not at
    /// all.
    pub fn units(&self) -> Vec<String> {
        let mut units = vec![BOOT.to_owned()];
        units.extend(self.lookups.iter().map(unit_of));
        units.extend(self.hotplug.iter().map(HotplugGroup::name));
        units.extend(self.readers.iter().map(ReadersGroup::name));
        units.extend(self.own_cost.then(|| OWN_COST.to_owned()));
        units
    }

    /// An upper estimate of the timed part, for this many layouts.
    pub fn estimate(&self, effort: &Effort, layouts: usize) -> Duration {
        let nr = layouts as u32;
        let lookups = self.lookups.iter().map(|work| lookups(work, effort, nr));
        let hotplug = self.hotplug.iter().map(|group| effort.hotplug(group).1 * nr).sum::<Duration>();
        // Three kinds of other thread, each once for throughput and half as long for the tail.
        let readers = effort.readers_slice * effort.readers_rounds * 9 / 2 * nr * self.readers.len() as u32;
        let own_cost = if self.own_cost { effort.hotplug_time } else { Duration::ZERO };
        lookups.sum::<Duration>() + hotplug + readers + own_cost
    }
}

fn lookups(work: &LookupWork, effort: &Effort, layouts: u32) -> Duration {
    let kinds = work.memory.len() as u32;
    match work.group.tables {
        Tables::Hot => effort.slice * 2 * effort.pairs * layouts * kinds,
        Tables::Cold => COLD_ROUND * effort.cold_rounds * kinds,
    }
}

/// The unit of a group of lookups; boot and added memory take turns in it.
pub fn unit_of(work: &LookupWork) -> String {
    let names = work.memory.iter().map(|&memory: &Memory| work.group.name(memory));
    names.collect::<Vec<_>>().join(" ")
}
