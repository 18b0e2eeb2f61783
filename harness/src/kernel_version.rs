//! Versions of Linux: the parser that every command uses, and the rules of a version.

use memmap_layouts::machine::X86BlockRule;
use memmap_layouts::rules::{Before, Linux5_10, Linux6_1, Linux7_2, RuleSet, Rules};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A version of Linux, such as 6.12: the first two numbers of a release.
///
/// The rules of one version changed within its stable releases: see [`medium_record_bytes`]. Releases
/// of 6.1 before and since that change are different versions, which [`precise`](Self::precise) tells
/// apart.
///
/// [`medium_record_bytes`]: Self::medium_record_bytes
///
/// ```
/// use pfnbench::kernel_version::KernelVersion;
///
/// let version: KernelVersion = "6.12.63+deb13-amd64".parse()?;
/// assert_eq!(version, KernelVersion::new(6, 12));
/// assert!(version.rule_set().taints_mixed_sections && version < KernelVersion::CURRENT);
/// # Ok::<(), pfnbench::kernel_version::UnknownVersion>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    major: u16,
    minor: u16,
    /// True for 6.1.12 and later releases of 6.1.
    is_since_6_1_12: bool,
}

/// Why a text is not a version of Linux.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a version of Linux from {} on; try {}", KernelVersion::OLDEST, KernelVersion::CURRENT)]
pub struct UnknownVersion {
    text: String,
}

impl KernelVersion {
    /// The oldest version that is accepted: before it, persistent memory had no records.
    pub const OLDEST: Self = Self::new(4, 0);
    /// The last version before the sub-section series.
    pub const BEFORE_SERIES: Self = Self::new(5, 2);
    /// The newest version whose rules were read in its source.
    pub const CURRENT: Self = Self::new(7, 2);

    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor, is_since_6_1_12: false }
    }

    /// The version with the first release that has its rules: `6.1.12` for 6.1 since that release, else
    /// as [`Display`](fmt::Display).
    pub fn precise(self) -> String {
        format!("{self}{}", if self.is_since_6_1_12 { ".12" } else { "" })
    }

    /// The version for headings: for 6.1, with the releases that it stands for.
    pub fn heading(self) -> String {
        match (self.major, self.minor, self.is_since_6_1_12) {
            (6, 1, false) => format!("Linux {self} (≤ 6.1.11)"),
            (6, 1, true) => format!("Linux {self} (≥ 6.1.12)"),
            _ => format!("Linux {self}"),
        }
    }

    /// The rules of this version. They are those of its last stable release.
    pub fn rule_set(self) -> RuleSet {
        let mut rules = match self {
            version if version <= Self::BEFORE_SERIES => return Before::SET,
            version if version < Self::new(5, 12) => Linux5_10::SET,
            version if version < Self::new(7, 0) => Linux6_1::SET,
            _ => Linux7_2::SET,
        };
        // Source: `pages_correctly_probed`, removed in 5.6.
        rules.block_with_holes_is_busy = self < Self::new(5, 6);
        // Source: `dev_dax_kmem_probe`, "too small after alignment".
        rules.kmem_accepts_nothing = self < Self::new(5, 15);
        // Source: `vmemmap_populate_compound_pages`.
        rules.shares_tail_records = self >= Self::new(5, 18);
        rules
    }

    /// How this version chooses the size of memory blocks on x86-64. Before 4.6 the rule was another one,
    /// which also gave 2 GiB to machines with 64 GiB and more.
    ///
    /// Source: `probe_memory_block_size` of `arch/x86/mm/init_64.c`.
    pub fn x86_block_rule(self) -> X86BlockRule {
        match self {
            version if version < Self::new(4, 17) => X86BlockRule::LargeMachine,
            version if version < Self::new(5, 9) => X86BlockRule::EndOfRam,
            version if version < Self::new(6, 15) => X86BlockRule::BareMetal,
            _ => X86BlockRule::Advised,
        }
    }

    /// Bytes that libnvdimm reserves on the medium for the record of a page. Linux 6.1 to 6.1.11 and the
    /// release candidates of 6.2 reserved 128, so that a namespace could be mapped by kernels with
    /// KMSAN, whose records are larger. Linux 6.1.12 and 6.2 reserve 64 again.
    ///
    /// Source: `MAX_STRUCT_PAGE_SIZE` in `drivers/nvdimm/nd.h`; commits 6e9f05dc66f9 (6.1) and
    /// c91d71363084 (6.2, and 6.1.12).
    pub fn medium_record_bytes(self) -> u16 {
        if self == Self::new(6, 1) { 128 } else { 64 }
    }
}

impl FromStr for KernelVersion {
    type Err = UnknownVersion;

    /// Parses a version or a release: `6.1`, `v6.1`, `6.1.12`, `6.1.0-57-cloud-amd64`, `6.12-rc3`.
    ///
    /// A release such as `6.1.0-57-cloud-amd64` is that of a distribution, whose number does not state the
    /// stable release; it is taken for a late one.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let unknown = || UnknownVersion { text: text.chars().take(60).collect() };
        let trimmed = text.trim();
        let number = trimmed.strip_prefix("Linux ").unwrap_or(trimmed).trim_start_matches(['v', 'V']);
        let (major, rest) = number.split_once('.').ok_or_else(unknown)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (minor, rest) = rest.split_at(digits);
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(major) || !(rest.is_empty() || rest.starts_with(['.', '-', '+', '~', '_'])) {
            return Err(unknown());
        }
        let version = Self::new(major.parse().map_err(|_| unknown())?, minor.parse().map_err(|_| unknown())?);
        let is_since_6_1_12 = version == Self::new(6, 1) && is_since_12(rest);
        let version = Self { is_since_6_1_12, ..version };
        if version < Self::OLDEST { Err(unknown()) } else { Ok(version) }
    }
}

/// Whether the end of a release, after its first two numbers, is that of stable release 12 or later, or of
/// a distribution that leaves it open.
fn is_since_12(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('.') else { return false };
    let (point, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let is_distribution = rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    match point.parse::<u64>() {
        Ok(0) => is_distribution,
        Ok(point) => point >= 12,
        Err(_) => false,
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for KernelVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_versions_are_parsed() {
        for (text, major, minor) in [
            ("5.2", 5, 2),
            ("v6.12", 6, 12),
            ("6.12.117+deb13-amd64", 6, 12),
            ("7.3-rc2", 7, 3),
            (" 4.18.0-348.el8.x86_64 ", 4, 18),
            ("Linux 6.6", 6, 6),
        ] {
            assert_eq!(text.parse(), Ok(KernelVersion::new(major, minor)), "{text}");
        }
        for text in
            ["", "6", "6.", ".1", "6.x", "six.one", "6.1x", "-6.1", "3.10", "99999.1", "6.99999", "before", "6.1;ls"]
        {
            let error = text.parse::<KernelVersion>().unwrap_err().to_string();
            assert!(error.contains("is not a version of Linux from 4.0 on; try 7.2"), "{text}: {error}");
        }
    }

    #[test]
    fn rules_change_with_the_version_that_changed_them() {
        let rules = |text: &str| text.parse::<KernelVersion>().unwrap().rule_set();
        assert!(rules("4.18").pads_namespaces && rules("5.2").pads_namespaces && !rules("5.3").pads_namespaces);
        assert!(rules("5.5").block_with_holes_is_busy && !rules("5.6").block_with_holes_is_busy);
        assert!(!rules("5.11").taints_mixed_sections && rules("5.12").taints_mixed_sections);
        assert!(rules("5.14").kmem_accepts_nothing && !rules("5.15").kmem_accepts_nothing);
        assert!(!rules("5.17").shares_tail_records && rules("5.18").shares_tail_records);
        assert!(!rules("6.12").ram_buffer_covers_soft_reserved && rules("7.2").ram_buffer_covers_soft_reserved);
        let bytes = |text: &str| text.parse::<KernelVersion>().unwrap().medium_record_bytes();
        assert_eq!(["6.0", "6.1", "6.2", "6.3"].map(bytes), [64, 128, 64, 64]);
    }

    #[test]
    fn releases_of_6_1_before_and_since_the_change_are_told_apart() {
        let parse = |text: &str| text.parse::<KernelVersion>().unwrap();
        for text in ["6.1", "v6.1", "6.1-rc3", "6.1.0", "6.1.0-rc3", "6.1.11", "6.1.7-200.fc37.x86_64", "6.1.x"] {
            assert_eq!((parse(text), parse(text).medium_record_bytes()), (KernelVersion::new(6, 1), 128), "{text}");
        }
        for text in ["6.1.12", "6.1.192", "6.1.12+", "6.1.0-57-cloud-amd64", "6.1.52-1-lts"] {
            let version = parse(text);
            assert_eq!((version.medium_record_bytes(), version.precise().as_str()), (64, "6.1.12"), "{text}");
            assert_eq!((version.to_string().as_str(), parse(&version.precise())), ("6.1", version));
            assert!(KernelVersion::new(6, 1) < version && version < KernelVersion::new(6, 2));
            assert_eq!(version.rule_set(), KernelVersion::new(6, 1).rule_set());
        }
        // Other versions have no such change.
        assert_eq!(parse("6.12.12"), KernelVersion::new(6, 12));
        assert_eq!((parse("6.2.0").precise(), parse("6.2.0").heading()), ("6.2".to_owned(), "Linux 6.2".to_owned()));
    }
}
