//! Tiers: how much of each case is measured.

use crate::case::HotplugGroup;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How much is measured. Each tier includes the work of the tiers before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Under 10 seconds: shows that everything works.
    Smoke,
    /// Under 60 seconds: the default of `pfnbench`. Lookups in five processes or more, so that
    /// verdicts have intervals.
    #[default]
    Default,
    /// Under 2 minutes: adds chained and cold lookups, in seven processes or more.
    Quick,
    /// Under 10 minutes: adds every mode and pattern, and maps of other machines, in seven
    /// processes.
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

    /// Least number of processes that measure lookups.
    pub fn processes(self) -> u32 {
        match self {
            Tier::Smoke => 1,
            Tier::Default => 5,
            Tier::Quick | Tier::Full => 7,
        }
    }

    /// Wall-clock limit for measuring. Processes are added while there is time and intervals are
    /// wide. `None` for no limit: the processes of the tier run to their end.
    pub fn time_limit(self) -> Option<Duration> {
        match self {
            Tier::Default => Some(Duration::from_secs(50)),
            Tier::Quick => Some(Duration::from_secs(105)),
            Tier::Smoke | Tier::Full => None,
        }
    }

    /// Samples and durations for each kind of case.
    pub fn effort(self) -> Effort {
        let default = Effort {
            slice: Duration::from_micros(300),
            boots: 2,
            pairs: 5,
            cold_rounds: 5,
            hotplug_samples: 10_000,
            hotplug_time: Duration::from_millis(250),
            readers_slice: Duration::from_millis(40),
            readers_rounds: 3,
        };
        // Longer tiers have time to measure the tails of hotplug and of readers.
        let long = Effort {
            cold_rounds: 6,
            hotplug_time: Duration::from_millis(600),
            readers_slice: Duration::from_millis(100),
            readers_rounds: 6,
            ..default
        };
        match self {
            Tier::Smoke => Effort {
                slice: Duration::from_micros(200),
                boots: 1,
                pairs: 3,
                cold_rounds: 4,
                hotplug_samples: 1_000,
                hotplug_time: Duration::from_millis(150),
                readers_slice: Duration::from_millis(50),
                readers_rounds: 2,
            },
            Tier::Default => default,
            Tier::Quick => Effort { cold_rounds: 3, ..default },
            Tier::Full => Effort { slice: Duration::from_micros(500), pairs: 4, ..long },
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Non-default groups of hotplug get one part in this many of the samples and of the time.
const SAMPLES_OF_VARIANTS: u64 = 10;
const TIME_OF_VARIANTS: u32 = 5;

/// Samples and durations for each kind of case.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Effort {
    /// Length of a slice of lookups, by the clock.
    pub slice: Duration,
    /// Boots of each layout in a process.
    pub boots: u32,
    /// Pairs of rounds, one forwards and one backwards. In each round every layout has a slice; a
    /// pair is one sample.
    pub pairs: u32,
    /// Rounds in which the caches are evicted and each layout has one slice.
    pub cold_rounds: u32,
    /// Hotplug stops at this many samples for each layout and size, or after
    /// [`hotplug_time`](Self::hotplug_time).
    pub hotplug_samples: u64,
    /// Time after which hotplug stops, for each layout and size.
    pub hotplug_time: Duration,
    /// Length of a slice of readers beside a writer.
    pub readers_slice: Duration,
    /// Rounds of readers; each has a slice beside the writer and one beside a busy thread.
    pub readers_rounds: u32,
}

impl Effort {
    /// Samples and time at which a layout stops; the first one reached counts. Variants get a part
    /// of both.
    pub fn hotplug(&self, group: &HotplugGroup) -> (u64, Duration) {
        let (samples, time) = (self.hotplug_samples, self.hotplug_time);
        if group.is_plain() { (samples, time) } else { (samples / SAMPLES_OF_VARIANTS, time / TIME_OF_VARIANTS) }
    }
}
