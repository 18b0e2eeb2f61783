//! The kernels whose rules are compared.

use super::HOST;
use crate::kernel_version::KernelVersion;
use memmap_layouts::nvdimm::Host;
use memmap_layouts::rules::RuleSet;

/// The kernel whose rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelRules {
    /// Linux up to 5.2: memory is hot-added in whole sections of 128 MiB.
    Before,
    /// Linux since 5.3, with all fixes: memory is hot-added in sub-sections of 2 MiB.
    Merged,
    /// A version of Linux.
    Version(KernelVersion),
}

impl KernelRules {
    /// The two sides of the sub-section series, in chronological order.
    pub const ALL: [KernelRules; 2] = [KernelRules::Before, KernelRules::Merged];

    /// The version whose rules these are.
    pub fn version(self) -> KernelVersion {
        match self {
            KernelRules::Before => KernelVersion::BEFORE_SERIES,
            KernelRules::Merged => KernelVersion::CURRENT,
            KernelRules::Version(version) => version,
        }
    }

    /// The individual rules of that kernel.
    pub fn rule_set(self) -> RuleSet {
        match self {
            KernelRules::Merged => RuleSet::MERGED,
            _ => self.version().rule_set(),
        }
    }

    /// The host that creates namespaces: the space for a record on the medium depends on the version. To
    /// read an info block, the kernel compares that space with the size of its own records, which is
    /// [`HOST`]'s.
    pub fn host(self) -> Host {
        Host { record_bytes: self.version().medium_record_bytes(), ..HOST }
    }

    /// The name on the command line and in JSON.
    pub fn name(self) -> String {
        match self {
            KernelRules::Before => "before".to_owned(),
            KernelRules::Merged => "merged".to_owned(),
            KernelRules::Version(version) => version.precise(),
        }
    }

    /// The heading in tables.
    pub fn heading(self) -> String {
        match self {
            KernelRules::Before => "before (Linux ≤ 5.2)".to_owned(),
            KernelRules::Merged => "merged (Linux ≥ 5.4)".to_owned(),
            KernelRules::Version(version) => version.heading(),
        }
    }
}
