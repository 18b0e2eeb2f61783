//! How often the model and the kernel were compared, and where they differ.

use serde::Serialize;
use std::collections::BTreeMap;

/// Where the model and the kernel differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs, e.g. `pfn_valid`.
    pub what: &'static str,
    /// The scene in which it does.
    pub scene: String,
    /// The snapshot or the operation, and both answers.
    pub told: String,
}

/// What a log said of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Release of the kernel.
    pub release: String,
    /// The layout that was compared.
    pub layout: String,
    /// Operations whose outcome was compared.
    pub operations: u64,
    /// Snapshots that were compared.
    pub snapshots: u64,
    /// Page frames whose validity was compared, summed over the snapshots.
    pub pfns: u64,
    /// How many of them are in sections that an operation touched, or next to one.
    pub near_pfns: u64,
    /// Page frames for which the kernel's own functions were asked, summed likewise.
    pub asked_pfns: u64,
    /// Page frames for which the module `validmap` compared its map with `pfn_valid`, summed likewise.
    pub map_pfns: u64,
    /// Sections, blocks, zones and namespaces that were compared, by name.
    pub compared: BTreeMap<&'static str, u64>,
    /// Number of differences by what differs.
    pub nr_differences: BTreeMap<&'static str, u64>,
    /// The first differences of each kind.
    pub differences: Vec<Difference>,
}

/// Differences of one kind that are described; the others are counted.
const DESCRIBED: u64 = 8;

impl Verdict {
    /// True if nothing differs.
    pub fn agrees(&self) -> bool {
        self.nr_differences.is_empty()
    }

    /// Adds to a count of comparisons.
    pub(super) fn compared(&mut self, what: &'static str, number: u64) {
        *self.compared.entry(what).or_default() += number;
    }

    /// Counts a difference, and describes it if it is one of the first.
    pub(super) fn differs(&mut self, what: &'static str, scene: &str, told: String) {
        let number = self.nr_differences.entry(what).or_default();
        *number += 1;
        if *number <= DESCRIBED {
            self.differences.push(Difference { what, scene: scene.to_owned(), told });
        }
    }
}
