//! Architectures, and how their page size and kernel divide the physical address space.

use crate::kernel_version::KernelVersion;
use crate::size::argument;
use memmap_layouts::machine::AdmissionRules;
use memmap_layouts::{
    Arm64Pages4K, Arm64Pages4KOf2019, Arm64Pages16K, Arm64Pages64K, Ppc64Pages4K, Ppc64Pages64K, RiscV64, S390, X86_64,
    X86_64La57,
};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64 with 4-level page tables.
    X86_64,
    /// x86-64 with 5-level page tables.
    X86_64La57,
    /// arm64.
    Arm64,
    /// ppc64, as little-endian ppc64le.
    Ppc64,
    /// s390.
    S390,
    /// riscv64 with 4-level page tables.
    RiscV64,
}

/// A name that is no architecture.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name:?} is not a known architecture; try {}", Architecture::ALL.map(Architecture::name).join(", "))]
pub struct UnknownArchitecture {
    name: String,
}

/// A page size that the architecture does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{architecture} has no pages of {}; try {}", argument(*page_bytes), sizes(*architecture))]
pub struct NoSuchPageSize {
    architecture: Architecture,
    page_bytes: u64,
}

fn sizes(architecture: Architecture) -> String {
    let sizes: Vec<String> = architecture.page_sizes().iter().map(|bytes| argument(*bytes)).collect();
    sizes.join(", ")
}

impl Architecture {
    /// All architectures.
    pub const ALL: [Self; 6] = [Self::X86_64, Self::X86_64La57, Self::Arm64, Self::Ppc64, Self::S390, Self::RiscV64];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::X86_64La57 => "x86-64-la57",
            Self::Arm64 => "arm64",
            Self::Ppc64 => "ppc64",
            Self::S390 => "s390",
            Self::RiscV64 => "riscv64",
        }
    }

    /// True for x86-64 with any page tables.
    pub fn is_x86(self) -> bool {
        matches!(self, Self::X86_64 | Self::X86_64La57)
    }

    /// The first release that can add memory, where it is among those that are accepted; `None` if
    /// all of them can, or if it is not known.
    pub(super) fn hot_add_since(self) -> Option<KernelVersion> {
        (self == Self::RiscV64).then_some(KernelVersion::new(6, 11))
    }

    /// Page sizes in bytes, the most common one first.
    pub fn page_sizes(self) -> &'static [u64] {
        match self {
            Self::Arm64 => &[4 * KIB, 16 * KIB, 64 * KIB],
            Self::Ppc64 => &[64 * KIB, 4 * KIB],
            _ => &[4 * KIB],
        }
    }

    /// The rules of a kernel, with memory blocks of one section. Until Linux 4.16 hot-added RAM
    /// consisted of sections, since then it consists of memory blocks.
    ///
    /// Source: `SECTION_SIZE_BITS` of each architecture. arm64 had sections of 1 GiB before Linux
    /// 5.12, s390 of 256 MiB before 6.13.
    ///
    /// # Errors
    /// The architecture has no pages of this size.
    pub fn rules(self, page_bytes: u64, kernel: KernelVersion) -> Result<AdmissionRules, NoSuchPageSize> {
        let set = kernel.rule_set();
        let before = |major, minor| kernel < KernelVersion::new(major, minor);
        let mut rules = match (self, page_bytes / KIB) {
            _ if !self.page_sizes().contains(&page_bytes) => {
                return Err(NoSuchPageSize { architecture: self, page_bytes });
            }
            (Self::X86_64, _) => AdmissionRules::new::<X86_64>(set, 0),
            (Self::X86_64La57, _) => AdmissionRules::new::<X86_64La57>(set, 0),
            (Self::Arm64, 4) if before(5, 12) => AdmissionRules::new::<Arm64Pages4KOf2019>(set, 0),
            (Self::Arm64, 4) => AdmissionRules::new::<Arm64Pages4K>(set, 0),
            (Self::Arm64, 16) => AdmissionRules::new::<Arm64Pages16K>(set, 0),
            (Self::Arm64, _) => AdmissionRules::new::<Arm64Pages64K>(set, 0),
            (Self::Ppc64, 4) => AdmissionRules::new::<Ppc64Pages4K>(set, 0),
            (Self::Ppc64, _) => AdmissionRules::new::<Ppc64Pages64K>(set, 0),
            (Self::S390, _) => AdmissionRules::new::<S390>(set, 0),
            (Self::RiscV64, _) => AdmissionRules::new::<RiscV64>(set, 0),
        };
        match self {
            Self::Arm64 if before(5, 12) => rules.section_bits = 30,
            Self::S390 if !before(6, 13) => rules.section_bits = (128 * MIB).ilog2(),
            _ => {}
        }
        rules.block_bytes = 1 << rules.section_bits;
        rules.ram_unit_bytes = rules.block_bytes;
        Ok(rules)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, UnknownArchitecture> {
        let unknown = || UnknownArchitecture { name: name.chars().take(40).collect() };
        match name {
            "x86_64" => Ok(Self::X86_64),
            "aarch64" => Ok(Self::Arm64),
            "ppc64le" => Ok(Self::Ppc64),
            "s390x" => Ok(Self::S390),
            _ => Self::ALL.into_iter().find(|known| known.name() == name).ok_or_else(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_depend_on_page_size_and_kernel() {
        let section = |architecture: Architecture, page: u64, kernel: &str| {
            (1u64 << architecture.rules(page << 10, kernel.parse().unwrap()).unwrap().section_bits) >> 20
        };
        for (architecture, page, kernel, mib) in [
            (Architecture::X86_64, 4, "4.4", 128),
            (Architecture::X86_64La57, 4, "7.2", 128),
            (Architecture::Arm64, 4, "5.11", 1024),
            (Architecture::Arm64, 64, "5.11", 1024),
            (Architecture::Arm64, 4, "5.12", 128),
            (Architecture::Arm64, 16, "5.12", 128),
            (Architecture::Arm64, 64, "6.1", 512),
            (Architecture::Ppc64, 64, "6.1", 16),
            (Architecture::Ppc64, 4, "6.1", 16),
            (Architecture::S390, 4, "6.12", 256),
            (Architecture::S390, 4, "6.13", 128),
            (Architecture::RiscV64, 4, "7.2", 128),
        ] {
            assert_eq!(section(architecture, page, kernel), mib, "{architecture} {page}K {kernel}");
        }
    }

    #[test]
    fn unknown_architectures_and_page_sizes_are_errors_with_an_example() {
        let error = Architecture::X86_64.rules(64 << 10, KernelVersion::CURRENT).unwrap_err().to_string();
        assert_eq!(error, "x86-64 has no pages of 64K; try 4K");
        assert_eq!("aarch64".parse(), Ok(Architecture::Arm64));
        let error = "sparc".parse::<Architecture>().unwrap_err().to_string();
        assert!(error.contains("\"sparc\" is not a known architecture; try x86-64,"), "{error}");
        for architecture in Architecture::ALL {
            assert_eq!(architecture.name().parse(), Ok(architecture));
            for page_bytes in architecture.page_sizes() {
                let rules = architecture.rules(*page_bytes, KernelVersion::OLDEST).unwrap();
                assert_eq!(1 << rules.page_shift, *page_bytes, "{architecture}");
            }
        }
    }
}
