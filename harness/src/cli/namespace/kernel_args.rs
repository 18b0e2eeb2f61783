//! Arguments for the kernels whose rules apply.

use crate::kernel_version::KernelVersion;
use crate::pmem::KernelRules;
use clap::{Args, ValueEnum};

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum RulesArg {
    /// Linux up to 5.2
    Before,
    /// Linux since 5.3, with later fixes
    Merged,
}

impl RulesArg {
    pub(super) fn rules(self) -> KernelRules {
        match self {
            RulesArg::Before => KernelRules::Before,
            RulesArg::Merged => KernelRules::Merged,
        }
    }
}

/// The kernel whose rules apply.
#[derive(Args, Clone, Debug)]
pub(super) struct OneKernelArgs {
    /// Kernels whose rules apply: one side of the patch series
    #[arg(long, value_enum, default_value_t = RulesArg::Merged)]
    rules: RulesArg,
    /// Version of Linux whose rules apply, e.g. 6.1 or the output of uname -r
    #[arg(long, value_name = "VERSION", conflicts_with = "rules")]
    kernel: Option<KernelVersion>,
}

impl OneKernelArgs {
    pub(super) fn rules(&self) -> KernelRules {
        self.kernel.map_or_else(|| self.rules.rules(), KernelRules::Version)
    }
}

/// The kernels whose rules are compared.
#[derive(Args, Clone, Debug)]
pub(super) struct KernelsArgs {
    /// Show one side of the patch series; default: both
    #[arg(long, value_enum)]
    rules: Option<RulesArg>,
    /// Version of Linux whose rules apply, e.g. 6.1 or the output of uname -r;
    /// repeatable, to compare versions
    #[arg(long, value_name = "VERSION", conflicts_with = "rules")]
    kernel: Vec<KernelVersion>,
}

impl KernelsArgs {
    /// The kernels, each once, in the order in which they were given.
    pub(super) fn kernels(&self) -> Vec<KernelRules> {
        match (self.rules, self.kernel.as_slice()) {
            (Some(rules), _) => vec![rules.rules()],
            (None, []) => KernelRules::ALL.to_vec(),
            (None, versions) => {
                let mut kernels: Vec<KernelRules> = Vec::new();
                for rules in versions.iter().copied().map(KernelRules::Version) {
                    if !kernels.contains(&rules) {
                        kernels.push(rules);
                    }
                }
                kernels
            }
        }
    }

    /// True if the results are those of both sides of the series, as without arguments.
    pub(super) fn are_both_sides(&self) -> bool {
        self.rules.is_none() && self.kernel.is_empty()
    }
}
