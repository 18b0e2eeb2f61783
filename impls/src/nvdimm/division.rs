//! How a namespace is divided: head, records, data, and padding at both ends.
//!
//! ```text
//!  start                                                              end
//!  | start_pad | 8 KiB head | records (map=dev) | to align | data … | end_trunc |
//!              '---------------- dataoff ---------------'
//! ```
//!
//! Before the sub-section series, a namespace that shared a 128 MiB section with RAM or another
//! region was padded to the section boundary, by up to 126 MiB at each end. Since then, its start
//! is a multiple of a sub-section, and only its end is trimmed.
//!
//! Source: `nd_pfn_init`, `trim_pfn_device` (until 5.2), `__nvdimm_setup_pfn`.

use super::{Extent, HEAD_BYTES, Host, RecordsOn, list_sizes};
use crate::byte_size::ByteSize;
use crate::rules::RuleSet;
use rustix::io::Errno;
use thiserror::Error;

/// The physical ranges around a namespace, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Ranges of RAM.
    pub ram: &'a [Extent],
    /// Other regions of persistent memory.
    pub regions: &'a [Extent],
}

/// An overlap of a namespace with other memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The other range.
    pub other: Extent,
    /// True if the other range is RAM, false if it is a region of persistent memory.
    pub is_ram: bool,
    /// Size of the overlap in bytes.
    pub by: u64,
}

impl Surroundings<'_> {
    /// The first RAM range, or else region, that overlaps a namespace; `None` if there is none.
    pub fn overlap(&self, namespace: &Extent) -> Option<Overlap> {
        let by = |other: &Extent| namespace.end().min(other.end()).saturating_sub(namespace.start.max(other.start));
        let named = |others: &[Extent], is_ram| {
            let other = others.iter().find(|other| by(other) > 0)?;
            Some(Overlap { other: *other, is_ram, by: by(other) })
        };
        named(self.ram, true).or_else(|| named(self.regions, false))
    }

    /// Whether RAM or another region overlaps `[start, end)`, which contains the namespace.
    fn collides(&self, start: u64, end: u64) -> bool {
        self.ram.iter().chain(self.regions).any(|other| other.start < end && start < other.end())
    }
}

/// The result of dividing a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Padding at the start in bytes.
    pub start_pad: u64,
    /// Bytes from the end of `start_pad` to the data.
    pub dataoff: u64,
    /// Padding at the end in bytes.
    pub end_trunc: u64,
    /// Number of data pages, of `page_bytes` each.
    pub npfns: u64,
    /// Size of a data page in bytes: the host's page size; before the series 4 KiB on every host.
    pub page_bytes: u64,
    /// Minor version of the info block that stores this division.
    pub minor: u16,
}

impl Division {
    /// Size of the data in bytes.
    pub fn usable(&self) -> u64 {
        self.npfns * self.page_bytes
    }
}

/// Page size in bytes that info blocks used before the series, on every host.
const OLD_PAGE_BYTES: u64 = 4096;

/// Minimum size in bytes of a namespace with records. Source: `nd_namespace_store`.
pub const MIN_HOST_BYTES: u64 = 16 << 20;

/// Why a namespace cannot be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DivisionError {
    /// The host does not support the alignment. EINVAL.
    #[error(
        "data alignment {} is not supported on this host with pages of {}; supported are {}",
        ByteSize(*align), ByteSize(*page), list_sizes(aligns)
    )]
    Align {
        /// The requested alignment in bytes.
        align: u64,
        /// Page size in bytes.
        page: u64,
        /// Supported alignments in bytes.
        aligns: &'static [u64],
    },
    /// The start is not a multiple of a sub-section. EINVAL.
    #[error(
        "the namespace begins at {start:#x}, {} past a multiple of {}: only whole sub-sections can be mapped; \
         a start of {:#x} works",
        ByteSize(*off), ByteSize(*compat), start - off + compat
    )]
    StartMisaligned {
        /// Physical address of the start.
        start: u64,
        /// Bytes from the multiple below to the start.
        off: u64,
        /// The required alignment in bytes.
        compat: u64,
    },
    /// The namespace is smaller than [`MIN_HOST_BYTES`]. ENXIO.
    #[error(
        "namespace size {} is below the minimum of {} for a namespace with records",
        ByteSize(*size), ByteSize(MIN_HOST_BYTES)
    )]
    BelowMinimum {
        /// Size of the namespace in bytes.
        size: u64,
    },
    /// No room is left for data. ENXIO.
    #[error(
        "a namespace of {} has no room for data aligned to {}: head, records, alignment and padding take {}{}",
        ByteSize(*size), ByteSize(*align), ByteSize(*taken),
        works.map_or_else(String::new, |works| format!("; {} works", ByteSize(works)))
    )]
    TooSmall {
        /// Size of the namespace in bytes.
        size: u64,
        /// Alignment of the data in bytes.
        align: u64,
        /// Bytes taken by head, records, alignment and padding.
        taken: u64,
        /// A larger size in bytes that works at this start, if one was found.
        works: Option<u64>,
    },
}

impl DivisionError {
    /// The error number that the kernel returns for the same refusal.
    pub fn errno(&self) -> Errno {
        match self {
            DivisionError::Align { .. } | DivisionError::StartMisaligned { .. } => Errno::INVAL,
            DivisionError::TooSmall { .. } | DivisionError::BelowMinimum { .. } => Errno::NXIO,
        }
    }
}

/// The inputs of a division.
///
/// ```
/// use memmap_layouts::nvdimm::division::{Surroundings, Terms};
/// use memmap_layouts::nvdimm::{Extent, Host, RecordsOn};
/// use memmap_layouts::rules::{Before, RuleSet, Rules};
///
/// // A namespace of 1 GiB that ends in the same section in which RAM begins.
/// let namespace = Extent { start: 4 << 30, size: (1 << 30) - (64 << 20) };
/// let ram = [Extent { start: namespace.end(), size: 1 << 30 }];
/// let around = Surroundings { ram: &ram, regions: &[] };
/// let usable = |rules: &RuleSet| {
///     Terms { align: 2 << 20, records: RecordsOn::Ram, host: &Host::X86_64, around, rules }.usable(namespace)
/// };
/// // Before the series, the namespace was cut to whole sections.
/// assert_eq!(usable(&RuleSet::MERGED) - usable(&Before::SET), 64 << 20);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Alignment of the data in bytes.
    pub align: u64,
    /// Where to keep the records.
    pub records: RecordsOn,
    /// The machine that the kernel runs on.
    pub host: &'a Host,
    /// RAM and other regions around the namespace.
    pub around: Surroundings<'a>,
    /// The rules of the kernel version.
    pub rules: &'a RuleSet,
}

impl Terms<'_> {
    /// Divides a namespace.
    ///
    /// # Errors
    /// The alignment is invalid, the start is misaligned, or no room is left for data. In the last
    /// case the error names a size that works, if one is found.
    pub fn divide(&self, namespace: Extent) -> Result<Division, DivisionError> {
        let mut result = self.attempt(namespace);
        if let Err(DivisionError::TooSmall { works, .. }) = &mut result {
            // The overhead is at most head, records, and at each end less than a section plus two
            // alignments.
            let grid = self.align.max(self.host.compat_bytes);
            let nr_grids = 4 * self.host.section_bytes.max(grid) / grid;
            let ends = (1..=nr_grids).map(|nr| down(namespace.end(), grid) + nr * grid);
            let mut larger = ends.filter_map(|end| Extent::new(namespace.start, end - namespace.start));
            *works = larger.find(|larger| self.attempt(*larger).is_ok()).map(|larger| larger.size);
        }
        result
    }

    /// Size of the data in bytes; 0 if the namespace cannot be divided. Cheaper than
    /// [`divide`](Self::divide) if it fails: it looks for no size that works.
    pub fn usable(&self, namespace: Extent) -> u64 {
        self.attempt(namespace).map_or(0, |division| division.usable())
    }

    /// Like [`divide`](Self::divide), but its errors name no size that works.
    fn attempt(&self, namespace: Extent) -> Result<Division, DivisionError> {
        let (align, host) = (self.align, self.host);
        if !host.aligns.contains(&align) {
            return Err(DivisionError::Align { align, page: host.page_bytes, aligns: host.aligns });
        }
        if namespace.size < MIN_HOST_BYTES {
            return Err(DivisionError::BelowMinimum { size: namespace.size });
        }
        match self.rules.pads_namespaces {
            true => self.padded(namespace),
            false => self.trimmed(namespace),
        }
    }

    /// The rules since the series: only the end is trimmed.
    fn trimmed(&self, namespace: Extent) -> Result<Division, DivisionError> {
        let Self { align, records, host, .. } = *self;
        let (Extent { start, size }, compat) = (namespace, host.compat_bytes);
        let off = start % compat;
        if off != 0 {
            return Err(DivisionError::StartMisaligned { start, off, compat });
        }
        let grid = align.max(compat);
        let end_trunc = namespace.end() % grid;
        let records_bytes = match records {
            RecordsOn::Medium => size.saturating_sub(HEAD_BYTES) / host.page_bytes * u64::from(host.record_bytes),
            RecordsOn::Ram => 0,
        };
        let dataoff = up(start + HEAD_BYTES + records_bytes, grid) - start;
        let taken = dataoff + end_trunc;
        if taken >= size {
            return Err(DivisionError::TooSmall { size, align, taken, works: None });
        }
        Ok(Division {
            start_pad: 0,
            dataoff,
            end_trunc,
            npfns: (size - taken) / host.page_bytes,
            page_bytes: host.page_bytes,
            minor: super::info_block::MINOR,
        })
    }

    /// The rules until 5.2: pads to whole sections that are shared with other memory.
    fn padded(&self, namespace: Extent) -> Result<Division, DivisionError> {
        let Self { align, records, host, around, .. } = *self;
        let (Extent { start, size }, end, section) = (namespace, namespace.end(), host.section_bytes);
        let start_pad = match around.collides(down(start, section), end) {
            true => up(start, section) - start,
            false => 0,
        };
        let end_trunc = match around.collides(start, up(end, section)) || end % align != 0 {
            true => end - down(end, section).min(down(end, align)),
            false => 0,
        };
        let reserve = up(HEAD_BYTES, host.page_bytes);
        let too_small = |taken| DivisionError::TooSmall { size, align, taken, works: None };
        let left =
            size.checked_sub(start_pad + end_trunc + reserve).ok_or(too_small(start_pad + end_trunc + reserve))?;
        let begin = start + start_pad;
        let dataoff = match records {
            RecordsOn::Medium => {
                let npfns = up(left / host.page_bytes, section / host.page_bytes);
                up(begin + reserve + u64::from(host.record_bytes) * npfns, align.max(host.pmd_bytes)) - begin
            }
            RecordsOn::Ram => up(begin + reserve, align) - begin,
        };
        let taken = dataoff + start_pad + end_trunc;
        if taken >= size {
            return Err(too_small(taken));
        }
        let page_bytes = OLD_PAGE_BYTES;
        Ok(Division { start_pad, dataoff, end_trunc, npfns: (size - taken) / page_bytes, page_bytes, minor: 2 })
    }
}

fn up(value: u64, to: u64) -> u64 {
    value.next_multiple_of(to)
}

fn down(value: u64, to: u64) -> u64 {
    value - value % to
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Before, Rules};

    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn merged(start: u64, size: u64, align: u64, records: RecordsOn) -> Result<Division, DivisionError> {
        let (namespace, around) = (Extent::new(start, size).unwrap(), Surroundings::default());
        Terms { align, records, host: &Host::X86_64, around, rules: &RuleSet::MERGED }.divide(namespace)
    }

    #[test]
    fn t61_namespaces_are_divided_as_the_kernel_divides_them() {
        let on_medium = |start, size, align| {
            let division = merged(start, size, align, RecordsOn::Medium).map_err(|error| error.errno())?;
            assert_eq!((division.start_pad, division.minor), (0, 4));
            Ok((division.dataoff, division.end_trunc, division.npfns))
        };
        assert_eq!(on_medium(4 * GIB, 16 * MIB, 2 * MIB), Ok((0x20_0000, 0, 0xe00)));
        assert_eq!(on_medium(4 * GIB, 128 * MIB, 2 * MIB), Ok((0x40_0000, 0, 0x7c00)));
        assert_eq!(on_medium(4 * GIB, GIB, 2 * MIB), Ok((0x120_0000, 0, 0x3_ee00)));
        assert_eq!(on_medium(4 * GIB, 64 * GIB, 2 * MIB), Ok((0x4020_0000, 0, 0xfb_fe00)));
        assert_eq!(on_medium(0x1_fc00_0000, 4 * GIB, 2 * MIB), Ok((0x420_0000, 0, 0xf_be00)));
        assert_eq!(on_medium(4 * GIB, GIB, GIB), Err(Errno::NXIO));
        assert_eq!(on_medium(4 * GIB, 2 * GIB, GIB), Ok((0x4000_0000, 0, 0x4_0000)));
        assert_eq!(on_medium(0x1_2000_0000, 3 * GIB, GIB), Ok((0x2000_0000, 0x2000_0000, 0x8_0000)));
        assert_eq!(on_medium(4 * GIB, 2 * MIB, 2 * MIB), Err(Errno::NXIO));
        assert_eq!(on_medium(4 * GIB, GIB + 8 * KIB, 4 * KIB), Ok((0x120_0000, 0x2000, 0x3_ee00)));
        assert_eq!(on_medium(5 * GIB + 8 * KIB, GIB + 8 * KIB, 4 * KIB), Err(Errno::INVAL));
    }

    #[test]
    fn t62_the_old_scheme_padded_to_whole_sections() {
        let namespace = Extent::new(0x1_fc00_0000, 4 * GIB).unwrap();
        let ram = [Extent::new(4 * GIB, 0xfc00_0000).unwrap()];
        let on_medium = |around| Terms {
            align: 2 * MIB,
            records: RecordsOn::Medium,
            host: &Host::X86_64,
            around,
            rules: &Before::SET,
        };
        let before = |around| on_medium(around).divide(namespace).unwrap();
        let division = before(Surroundings { ram: &ram, regions: &[] });
        assert_eq!((division.start_pad, division.dataoff, division.npfns), (0x400_0000, 0x420_0000, 0xf_7e00));
        assert_eq!((division.end_trunc, division.minor), (0, 2));
        // 3966 MiB then, 4030 MiB now.
        assert_eq!(division.usable() / MIB, 3966);
        assert_eq!(merged(namespace.start, namespace.size, 2 * MIB, RecordsOn::Medium).unwrap().usable() / MIB, 4030);
        // Without neighbours nothing is padded.
        assert_eq!(before(Surroundings::default()).start_pad, 0);
        // The neighbours of issue 76 of ndctl: the second region begins in the middle of a section.
        let first = [Extent::new(0x18_7c00_0000, 252 * GIB).unwrap()];
        let second = Extent::new(0x57_7c00_0000, 252 * GIB).unwrap();
        let around = Surroundings { ram: &[], regions: &first };
        let division = on_medium(around).divide(second).unwrap();
        assert_eq!(division.start_pad, 64 * MIB);
    }

    #[test]
    fn usable_bytes_match_public_reports() {
        for (size, usable) in [
            (16 * MIB, 14 * MIB),
            (256 * MIB, 250 * MIB),
            (126 * GIB, 133_175_443_456),
            (128 * GIB, 135_289_372_672),
            (1008 * GIB, 1_065_418_227_712),
            (1500 * GIB, 1_585_444_814_848),
        ] {
            assert_eq!(
                merged(4 * GIB, size, 2 * MIB, RecordsOn::Medium).unwrap().usable(),
                usable,
                "{}",
                ByteSize(size)
            );
        }
        assert_eq!(merged(4 * GIB, 64 * MIB, 2 * MIB, RecordsOn::Ram).unwrap().usable(), 62 * MIB);
    }

    #[test]
    fn invalid_alignments_and_sizes_are_refused() {
        for align in [0, 1, 3 * MIB, 2 * KIB, 16 * GIB, u64::MAX] {
            let error = merged(4 * GIB, GIB, align, RecordsOn::Ram).unwrap_err();
            assert!(matches!(error, DivisionError::Align { .. }), "{align}: {error}");
        }
        for rules in [RuleSet::MERGED, Before::SET] {
            for records in [RecordsOn::Ram, RecordsOn::Medium] {
                let (host, around) = (&Host::X86_64, Surroundings::default());
                let terms = |align| Terms { align, records, host, around, rules: &rules };
                for size in [1, 4096, 8192, 12288, 2 * MIB, 16 * MIB - 4096] {
                    let error = terms(2 * MIB).divide(Extent::new(0, size).unwrap()).unwrap_err();
                    assert_eq!((error, error.errno()), (DivisionError::BelowMinimum { size }, Errno::NXIO));
                }
                for size in [16 * MIB, 1016 * MIB, GIB] {
                    let (namespace, terms) = (Extent::new(0, size).unwrap(), terms(GIB));
                    let Err(DivisionError::TooSmall { works, .. }) = terms.divide(namespace) else { panic!("{size}") };
                    // The size that the error names works.
                    assert!(terms.divide(Extent::new(0, works.unwrap()).unwrap()).is_ok(), "{size} {works:?}");
                }
            }
        }
        assert!(Extent::new(1, u64::MAX).is_none() && Extent::new(1 << 56, 1).is_none() && Extent::new(0, 0).is_none());
        let error = merged(4 * GIB + MIB, GIB, 2 * MIB, RecordsOn::Ram).unwrap_err().to_string();
        assert!(error.contains("1 MiB past a multiple of 2 MiB") && error.contains("0x100200000"), "{error}");
    }

    #[test]
    fn npfns_counts_pages_of_the_host() {
        let (namespace, around) = (Extent::new(4 * GIB, GIB).unwrap(), Surroundings::default());
        let divide = |align, rules| {
            let terms = Terms { align, records: RecordsOn::Medium, host: &Host::ARM64_64K, around, rules };
            let division = terms.divide(namespace).unwrap();
            (division.dataoff, division.npfns, division.usable())
        };
        assert_eq!(divide(64 * KIB, &RuleSet::MERGED), (2 * MIB, 1022 * MIB / (64 * KIB), 1022 * MIB));
        assert_eq!(divide(512 * MIB, &RuleSet::MERGED), (512 * MIB, 8192, 512 * MIB));
        // Old info blocks count pages of 4 KiB on every host.
        assert_eq!(divide(64 * KIB, &Before::SET), (512 * MIB, 131_072, 512 * MIB));
    }

    #[test]
    fn every_division_adds_up_and_is_aligned() {
        for start in (0..64).map(|nr| 4 * GIB + nr * 2 * MIB) {
            for size in [16 * MIB, 130 * MIB, GIB, GIB + 4 * KIB, 64 * GIB] {
                for (align, records) in
                    [(2 * MIB, RecordsOn::Medium), (4 * KIB, RecordsOn::Ram), (GIB, RecordsOn::Medium)]
                {
                    let Ok(division) = merged(start, size, align, records) else { continue };
                    assert_eq!((start + division.dataoff) % align.max(2 * MIB), 0);
                    let rest = size - division.dataoff - division.end_trunc - division.usable();
                    assert!(rest < 4 * KIB, "{start:#x} {size}");
                    assert!(division.end_trunc < align.max(2 * MIB));
                }
            }
        }
    }
}
