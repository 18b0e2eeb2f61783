//! The memory block size that applies on a machine, and why.

use super::architecture::Architecture;
use crate::kernel_version::KernelVersion;
use crate::map::inventory::Span;
use crate::map::{Kind, PhysicalMap};
use memmap_layouts::ByteSize;
use memmap_layouts::machine::{BlockSize, BlockSizeHost, BlockSizeReason, cxl_advice};
use std::fmt;

/// `ibm,lmb-size` of QEMU's pSeries machine, in bytes.
const QEMU_LMB_BYTES: u64 = 256 << 20;

/// Where the memory block size comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSizeOrigin {
    /// It was given.
    Given,
    /// The text of the map states it, as `lsmem` does.
    Stated,
    /// The kernel would choose it.
    Chosen(BlockSizeReason),
    /// It is a guess, because what the kernel looks at is not in the map.
    Assumed(Assumption),
}

/// What a guess of the memory block size assumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assumption {
    /// RAM ends below 64 GiB: there is no map.
    SmallMachine,
    /// The device tree of a ppc64 guest says what QEMU writes there.
    LogicalBlocks,
    /// PowerNV has no range of RAM that reduces its default: there is no map.
    PowerNv,
    /// The increment of the storage of s390 is at most a section.
    Increment,
}

/// The memory block size, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedBlockSize {
    /// Size in bytes.
    pub bytes: u64,
    /// Where it comes from.
    pub origin: BlockSizeOrigin,
}

impl AppliedBlockSize {
    /// The size that a kernel chooses. `end_of_ram` is one past the last whole page of RAM, in
    /// bytes. `windows` are CXL windows that the map does not have, since they are in use.
    pub fn choose(
        architecture: Architecture,
        section_bytes: u64,
        kernel: KernelVersion,
        bare_metal: bool,
        map: Option<(&PhysicalMap, u64)>,
        windows: &[Span],
    ) -> Self {
        let of_kind = |kind: Kind| {
            let ranges = map.into_iter().flat_map(|(map, _)| &map.ranges);
            ranges.filter(move |range| range.kind == kind).map(|range| (range.start, range.end))
        };
        let ram_ranges: Vec<u64> = of_kind(Kind::Ram).map(|(start, end)| end.saturating_sub(start)).collect();
        let (host, assumption) = match architecture {
            Architecture::X86_64 | Architecture::X86_64La57 => {
                let end_of_ram = map.map_or(0, |(_, end_of_ram)| end_of_ram);
                let advice =
                    cxl_advice(of_kind(Kind::Window).chain(windows.iter().map(|window| (window.start, window.end))));
                let rule = kernel.x86_block_rule();
                let host = BlockSizeHost::X86 { rule, end_of_ram, bare_metal, advice };
                (host, map.is_none().then_some(Assumption::SmallMachine))
            }
            Architecture::Arm64 | Architecture::RiscV64 => (BlockSizeHost::Section, None),
            Architecture::Ppc64 if bare_metal => {
                let range_bytes = Some(&ram_ranges[..]).filter(|_| kernel >= KernelVersion::new(6, 6));
                let is_unknown = range_bytes.is_some() && map.is_none();
                (BlockSizeHost::PowerNv { range_bytes }, is_unknown.then_some(Assumption::PowerNv))
            }
            Architecture::Ppc64 => {
                let host = BlockSizeHost::LogicalBlocks { lmb_bytes: QEMU_LMB_BYTES };
                (host, Some(Assumption::LogicalBlocks))
            }
            Architecture::S390 => (BlockSizeHost::S390 { increment_bytes: None }, Some(Assumption::Increment)),
        };
        let BlockSize { bytes, reason } = BlockSize::choose(section_bytes, host);
        let origin = assumption.map_or(BlockSizeOrigin::Chosen(reason), BlockSizeOrigin::Assumed);
        Self { bytes, origin }
    }
}

impl fmt::Display for BlockSizeOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as given with --block-size"),
            Self::Stated => f.write_str("as the map states"),
            Self::Chosen(reason) => reason.fmt(f),
            Self::Assumed(Assumption::SmallMachine) => f.write_str(
                "assumed: without --map the end of RAM is unknown, and from 64 GiB on blocks have up to 2 GiB",
            ),
            Self::Assumed(Assumption::LogicalBlocks) => f.write_str(
                "assumed: ibm,lmb-size of the device tree is not in the map; QEMU sets this. See block_size_bytes in \
                 /sys/devices/system/memory",
            ),
            Self::Assumed(Assumption::PowerNv) => f.write_str(
                "assumed: the default of bare-metal ppc64, which sizes of ranges of RAM may reduce; give --map",
            ),
            Self::Assumed(Assumption::Increment) => f.write_str(
                "assumed: a section; a larger increment of the storage is not in the map. See block_size_bytes in \
                 /sys/devices/system/memory",
            ),
        }
    }
}

impl fmt::Display for AppliedBlockSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", ByteSize(self.bytes), self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::read;

    fn chosen(architecture: Architecture, kernel: &str, bare_metal: bool, text: &str) -> (u64, BlockSizeOrigin) {
        let kernel: KernelVersion = kernel.parse().unwrap();
        let map = read("test", "test", text).unwrap();
        let end = map.ranges.iter().filter(|range| range.kind == Kind::Ram).map(|range| range.end).max().unwrap();
        let section = 1 << architecture.rules(architecture.page_sizes()[0], kernel).unwrap().section_bits;
        let size = AppliedBlockSize::choose(architecture, section, kernel, bare_metal, Some((&map, end)), &[]);
        (size.bytes >> 20, size.origin)
    }

    /// RAM ends at 65 GiB.
    const GUEST: &str = "00001000-bfffffff : System RAM\n100000000-103fffffff : System RAM\n";

    #[test]
    fn x86_looks_at_the_end_of_ram_the_hypervisor_and_windows_by_release() {
        let size = |kernel, bare_metal, text| chosen(Architecture::X86_64, kernel, bare_metal, text).0;
        let by_release =
            |bare_metal, text| ["4.16", "4.17", "5.8", "5.9", "6.14", "6.15"].map(|k| size(k, bare_metal, text));
        assert_eq!(by_release(false, GUEST), [2048, 1024, 1024, 1024, 1024, 1024]);
        assert_eq!(by_release(true, GUEST), [2048, 1024, 1024, 2048, 2048, 2048]);
        let cxl = format!("{GUEST}2010000000-202fffffff : CXL Window 0\n");
        assert_eq!(by_release(true, &cxl), [2048, 1024, 1024, 2048, 2048, 256]);
        assert_eq!(by_release(true, "00001000-bfffffff : System RAM\n"), [128; 6]);
    }

    #[test]
    fn guesses_say_so() {
        let (mib, origin) = chosen(Architecture::Ppc64, "6.1", false, GUEST);
        assert_eq!((mib, origin), (256, BlockSizeOrigin::Assumed(Assumption::LogicalBlocks)));
        assert_eq!(chosen(Architecture::Ppc64, "6.1", true, GUEST).0, 1024);
        assert_eq!(chosen(Architecture::S390, "6.1", true, GUEST).0, 256);
        assert_eq!(chosen(Architecture::Arm64, "5.11", true, GUEST).0, 1024);
        let nothing =
            AppliedBlockSize::choose(Architecture::X86_64, 128 << 20, KernelVersion::CURRENT, true, None, &[]);
        assert!(nothing.to_string().starts_with("128 MiB (assumed: without --map"), "{nothing}");
    }
}
