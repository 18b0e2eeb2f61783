//! Counters of the processor and of the kernel.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// Cycles of the processor, in user mode.
    Cycles,
    /// Instructions retired.
    Instructions,
    /// Loads that missed the first level of cache.
    L1dMisses,
    /// Loads that missed the last level.
    LlcMisses,
    /// Loads whose translation was not in the TLB.
    DtlbMisses,
    /// Branches that were predicted wrongly.
    BranchMisses,
    /// Page faults; counted by the kernel.
    PageFaults,
    /// Nanoseconds on a processor; counted by the kernel.
    TaskClock,
}

impl CounterKind {
    /// All of them, in the order of reports.
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

    /// Name in rows.
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

    /// Unit of a count divided by operations.
    pub fn unit(self) -> &'static str {
        if self == Self::TaskClock { "ns/op" } else { "events/op" }
    }

    /// False for what the kernel counts by itself.
    pub fn is_of_processor(self) -> bool {
        !matches!(self, Self::PageFaults | Self::TaskClock)
    }
}
