//! The two generations of kernel rules that are compared.

use memmap_layouts::rules::{Before, RuleSet, Rules};

/// The kernel whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelRules {
    /// Linux up to 5.2: memory is hot-added in whole sections of 128 MiB.
    Before,
    /// Linux since 5.3, with the fixes up to 5.7: memory is hot-added in sub-sections of 2 MiB.
    Merged,
}

impl KernelRules {
    /// Both values, in chronological order.
    pub const ALL: [KernelRules; 2] = [KernelRules::Before, KernelRules::Merged];

    /// The individual rules of that kernel.
    pub fn rule_set(self) -> RuleSet {
        match self {
            KernelRules::Before => Before::SET,
            KernelRules::Merged => RuleSet::MERGED,
        }
    }

    /// The name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            KernelRules::Before => "before",
            KernelRules::Merged => "merged",
        }
    }

    /// The heading in tables.
    pub fn heading(self) -> &'static str {
        match self {
            KernelRules::Before => "before (Linux ≤ 5.2)",
            KernelRules::Merged => "merged (Linux ≥ 5.4)",
        }
    }
}
