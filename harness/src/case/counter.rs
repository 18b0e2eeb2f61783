//! Hardware and kernel event counters, read by `perf_event_open`.

/// A kind of event that is counted while operations run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// CPU cycles, in user mode.
    Cycles,
    /// Instructions retired.
    Instructions,
    /// Loads that missed the L1 data cache.
    L1dMisses,
    /// Loads that missed the last-level cache.
    LlcMisses,
    /// Loads whose translation was not in the TLB.
    DtlbMisses,
    /// Mispredicted branches.
    BranchMisses,
    /// Page faults; counted by the kernel.
    PageFaults,
    /// CPU time in nanoseconds; counted by the kernel.
    TaskClock,
}

impl CounterKind {
    /// All kinds, in the order of reports.
    pub const ALL: [CounterKind; 8] = [
        Self::Cycles,
        Self::Instructions,
        Self::L1dMisses,
        Self::LlcMisses,
        Self::DtlbMisses,
        Self::BranchMisses,
        Self::PageFaults,
        Self::TaskClock,
    ];

    /// Value of the `metric` field in rows, e.g. `l1d_misses`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
            Self::L1dMisses => "l1d_misses",
            Self::LlcMisses => "llc_misses",
            Self::DtlbMisses => "dtlb_misses",
            Self::BranchMisses => "branch_misses",
            Self::PageFaults => "page_faults",
            Self::TaskClock => "task_clock",
        }
    }

    /// Unit of a count per operation: `ns/op` or `events/op`.
    pub fn unit(self) -> &'static str {
        if self == Self::TaskClock { "ns/op" } else { "events/op" }
    }

    /// True for hardware events; false for those that the kernel counts in software.
    pub fn is_of_processor(self) -> bool {
        !matches!(self, Self::PageFaults | Self::TaskClock)
    }
}
