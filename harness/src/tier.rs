//! How much is measured.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How much is measured; a tier runs what the ones before it do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, ValueEnum, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Under 10 seconds: shows that everything works.
    Smoke,
    /// Under 60 seconds: what `pfnbench` alone runs.
    #[default]
    Default,
    /// Under 2 minutes: lookups in seven processes, so that ratios have intervals.
    Quick,
    /// Under 20 minutes: every mode and pattern, on maps of other machines too, in seven processes.
    Full,
}

impl Tier {
    /// All tiers, the shortest first.
    pub const ALL: [Tier; 4] = [Tier::Smoke, Tier::Default, Tier::Quick, Tier::Full];

    /// Name on the command line and in workloads.
    pub fn name(self) -> &'static str {
        match self {
            Tier::Smoke => "smoke",
            Tier::Default => "default",
            Tier::Quick => "quick",
            Tier::Full => "full",
        }
    }

    /// Processes in which lookups are measured.
    pub fn processes(self) -> u32 {
        match self {
            Tier::Smoke | Tier::Default => 1,
            // With five of the same there is one chance in sixteen that all lie on one side; with seven one in 64.
            Tier::Quick | Tier::Full => 7,
        }
    }

    /// How much of each case.
    pub fn effort(self) -> Effort {
        let default = Effort {
            slice: Duration::from_millis(2),
            pairs: 20,
            cold_rounds: 30,
            hotplug_samples: 10_000,
            hotplug_time: Duration::from_millis(1000),
            readers_slice: Duration::from_millis(100),
            readers_rounds: 6,
        };
        match self {
            Tier::Smoke => Effort {
                slice: Duration::from_millis(1),
                pairs: 3,
                cold_rounds: 4,
                hotplug_samples: 1_000,
                hotplug_time: Duration::from_millis(150),
                readers_slice: Duration::from_millis(50),
                readers_rounds: 2,
            },
            Tier::Default => default,
            Tier::Quick => Effort { pairs: 12, cold_rounds: 40, ..default },
            // Fewer and longer slices: a run is kept and published, and a row a slice is enough of them.
            Tier::Full => Effort { slice: Duration::from_millis(6), pairs: 4, cold_rounds: 12, ..default },
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How much of each case is measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Effort {
    /// Length of a slice of lookups.
    pub slice: Duration,
    /// Pairs of rounds, one forwards and one backwards, in which each layout has a slice: a sample each.
    pub pairs: u32,
    /// Rounds in which the caches are emptied and each layout is asked once.
    pub cold_rounds: u32,
    /// Hotplug stops at this many samples a layout and size,
    pub hotplug_samples: u64,
    /// or after this long.
    pub hotplug_time: Duration,
    /// Length of a slice of readers beside a writer.
    pub readers_slice: Duration,
    /// Rounds in which they have a slice beside the writer and one beside a busy thread.
    pub readers_rounds: u32,
}
