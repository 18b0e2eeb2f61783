//! Which kernels would have created a namespace with the capacity that another program states.

use super::{Breakdown, CapacityPlan};
use crate::kernel_version::KernelVersion;
use crate::pmem::KernelRules;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::region::RegionAlign;
use memmap_layouts::nvdimm::{Extent, RecordsOn};

/// Versions of Linux that divide namespaces alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Creator {
    /// One of these versions.
    pub kernel: KernelVersion,
    /// All of these versions, as text.
    pub versions: &'static str,
}

/// All versions of Linux, in groups that divide namespaces alike.
pub const CREATORS: [Creator; 3] = [
    Creator { kernel: KernelVersion::BEFORE_SERIES, versions: "Linux up to 5.2" },
    Creator { kernel: KernelVersion::CURRENT, versions: "Linux 5.3 to 6.0, 6.1 since 6.1.12, and since 6.2" },
    Creator { kernel: KernelVersion::new(6, 1), versions: "Linux 6.1 up to 6.1.11" },
];

impl Creator {
    /// Bytes that these versions reserve on the medium for the record of a page.
    pub fn medium_record_bytes(self) -> u16 {
        self.kernel.medium_record_bytes()
    }
}

/// The capacity of a namespace as a program such as `ndctl` states it.
///
/// ```
/// use memmap_layouts::nvdimm::{Extent, RecordsOn};
/// use memmap_layouts::nvdimm::division::Surroundings;
/// use pfnbench::pmem::capacity::StatedCapacity;
///
/// let stated = StatedCapacity {
///     extent: Extent { start: 0xa_9000_0000, size: 256 << 20 },
///     region_align: (16 << 20).into(),
///     align: 2 << 20,
///     records: RecordsOn::Medium,
///     usable_bytes: 257_949_696,
///     around: Surroundings::default(),
/// };
/// let [(creator, breakdown)] = &stated.creators()[..] else { return Err("not one") };
/// assert_eq!((creator.versions, creator.medium_record_bytes()), ("Linux 6.1 up to 6.1.11", 128));
/// assert_eq!(breakdown.raw_bytes - breakdown.usable_bytes, 10 << 20);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StatedCapacity<'a> {
    /// Physical range of the namespace, or of a region that consists of this namespace.
    pub extent: Extent,
    /// Alignment of the region: the namespace has the whole multiples of it in `extent`.
    pub region_align: RegionAlign,
    /// Alignment of the data in bytes.
    pub align: u64,
    /// Where its records are.
    pub records: RecordsOn,
    /// Bytes of data.
    pub usable_bytes: u64,
    /// RAM and other regions around it; they matter up to Linux 5.2.
    pub around: Surroundings<'a>,
}

impl StatedCapacity<'_> {
    /// The kernels that leave exactly this much data, each with where the other bytes go. Empty if none
    /// does. The namespace is taken to be as large as the range, or as the whole multiples of the region's
    /// alignment in it.
    pub fn creators(&self) -> Vec<(Creator, Breakdown)> {
        let Extent { start, size } = self.extent;
        let plan = CapacityPlan { start, align: self.align, records: self.records, around: self.around, region: None };
        let aligned = size - size.checked_rem(self.region_align.bytes).unwrap_or(0);
        let found = CREATORS.into_iter().filter_map(|creator| {
            let breakdown = |size| plan.breakdown(size, KernelRules::Version(creator.kernel)).ok();
            let fits = |breakdown: &Breakdown| breakdown.usable_bytes == self.usable_bytes;
            let breakdown = [aligned, size].into_iter().filter_map(breakdown).find(fits)?;
            Some((creator, breakdown))
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn stated(start: u64, size: u64, align: u64, usable_bytes: u64) -> StatedCapacity<'static> {
        StatedCapacity {
            extent: Extent { start, size },
            region_align: (16 * MIB).into(),
            align,
            records: RecordsOn::Medium,
            usable_bytes,
            around: Surroundings::default(),
        }
    }

    fn versions(stated: &StatedCapacity<'_>) -> Vec<&'static str> {
        stated.creators().iter().map(|(creator, _)| creator.versions).collect()
    }

    /// A report of the nvdimm list, November 2022: the region is not a multiple of its alignment.
    #[test]
    fn a_namespace_of_linux_6_1_is_recognised_by_its_capacity() {
        let report = stated(0x1_4000_0000, 4_263_510_016, 4096, 4_127_195_136);
        let creators = report.creators();
        assert_eq!(versions(&report), ["Linux 6.1 up to 6.1.11"]);
        let (creator, breakdown) = &creators[0];
        assert_eq!((creator.medium_record_bytes(), breakdown.raw_bytes), (128, 4_261_412_864));
        assert_eq!(breakdown.lost_bytes(), 128 * MIB);
        // Within the region, other kernels leave 64 MiB more.
        let others = stated(0x1_4000_0000, 4_263_510_016, 4096, 4_127_195_136 + 64 * MIB);
        assert_eq!(versions(&others), [CREATORS[0].versions, CREATORS[1].versions]);
        assert!(stated(0x1_4000_0000, 4_263_510_016, 4096, 4_127_195_135).creators().is_empty());
    }

    #[test]
    fn what_a_kernel_leaves_is_attributed_to_it() {
        let mut ambiguous = 0;
        for creator in CREATORS {
            for (size, records) in [
                (16 * MIB, RecordsOn::Medium),
                (GIB, RecordsOn::Medium),
                (252 * GIB, RecordsOn::Medium),
                (GIB, RecordsOn::Ram),
            ] {
                let one = StatedCapacity { records, ..stated(4 * GIB, size, 2 * MIB, 0) };
                let plan = CapacityPlan {
                    start: one.extent.start,
                    align: one.align,
                    records,
                    around: one.around,
                    region: None,
                };
                let usable = plan.breakdown(size, KernelRules::Version(creator.kernel)).unwrap().usable_bytes;
                let found = StatedCapacity { usable_bytes: usable, ..one }.creators();
                assert!(found.iter().any(|(one, _)| *one == creator), "{creator:?} {size}");
                ambiguous += usize::from(found.len() > 1);
            }
        }
        assert!(ambiguous > 0, "records in RAM leave the same under all rules");
    }

    /// The groups cover every version, and each version belongs to the group with its rules.
    #[test]
    fn every_version_divides_as_its_group_does() {
        let plan = CapacityPlan {
            start: 4 * GIB + 64 * MIB,
            align: 2 * MIB,
            records: RecordsOn::Medium,
            around: Surroundings { ram: &[Extent { start: 4 * GIB, size: 64 * MIB }], regions: &[] },
            region: None,
        };
        let divide = |version| plan.breakdown(GIB, KernelRules::Version(version)).unwrap();
        let group = |text: &str| match text.parse::<KernelVersion>().unwrap() {
            version if version <= KernelVersion::BEFORE_SERIES => CREATORS[0],
            version if version == KernelVersion::new(6, 1) => CREATORS[2],
            _ => CREATORS[1],
        };
        for text in ["4.5", "5.2", "5.3", "5.7", "5.12", "6.0", "6.1", "6.1.11", "6.1.12", "6.2", "6.6", "7.0", "7.2"] {
            assert_eq!(divide(text.parse().unwrap()), divide(group(text).kernel), "{text}");
        }
    }
}
