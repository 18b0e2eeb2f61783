//! Which size a kernel chooses for its memory blocks, and why.
//!
//! | architecture | size of a block |
//! | --- | --- |
//! | x86-64 | [`X86BlockRule`]: by the end of RAM, by whether there is a hypervisor, by advice of CXL windows |
//! | arm64, riscv64 | a section |
//! | ppc64 | `ibm,lmb-size` of the device tree; without it, on bare metal, 1 GiB or less |
//! | s390 | the increment of the storage, at least a section |
//!
//! Source: `memory_block_size_bytes` and `probe_memory_block_size` of each architecture.

use super::block::{BlockSizeAdvice, MAX_BLOCK_BYTES, MEM_SIZE_FOR_LARGE_BLOCK};
use crate::byte_size::ByteSize;
use std::fmt;

const GIB: u64 = 1 << 30;
/// The smallest block of ppc64: one section.
const MIN_PPC64_BLOCK_BYTES: u64 = 16 << 20;

/// How a kernel for x86-64 chooses the size, in chronological order. UV machines have rules of their
/// own, which are not modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum X86BlockRule {
    /// Linux 4.6 to 4.16: 2 GiB if RAM ends at 64 GiB or above, whatever that end is.
    LargeMachine,
    /// Since 4.17: then the largest size up to 2 GiB that divides the end of RAM.
    EndOfRam,
    /// Since 5.9: 2 GiB without a hypervisor, whatever the end of RAM is.
    BareMetal,
    /// Since 6.15: at most what CXL windows advise; with advice the end of RAM counts on bare metal
    /// too.
    Advised,
}

/// What a kernel looks at when it chooses the size of a memory block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSizeHost<'a> {
    /// x86-64.
    X86 {
        /// The rule of its kernel.
        rule: X86BlockRule,
        /// One past the last byte of boot RAM.
        end_of_ram: u64,
        /// There is no hypervisor.
        bare_metal: bool,
        /// The maximum that CXL windows advise, in bytes.
        advice: Option<u64>,
    },
    /// An architecture whose blocks are sections: arm64, riscv64.
    Section,
    /// ppc64 whose device tree has `ibm,dynamic-reconfiguration-memory`: pSeries.
    LogicalBlocks {
        /// `ibm,lmb-size`, in bytes.
        lmb_bytes: u64,
    },
    /// ppc64 on bare metal with radix page tables: PowerNV.
    PowerNv {
        /// Sizes in bytes of the ranges of RAM, if the kernel looks at them: since Linux 6.6.
        range_bytes: Option<&'a [u64]>,
    },
    /// s390.
    S390 {
        /// Increment of the storage in bytes; `None` if it is at most a section, or unknown.
        increment_bytes: Option<u64>,
    },
}

/// Why a memory block has its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSizeReason {
    /// RAM ends below 64 GiB, so a block is a section.
    SmallMachine {
        /// One past the last byte of RAM.
        end_of_ram: u64,
    },
    /// RAM ends at 64 GiB or above, and the kernel looks at nothing else.
    LargeMachine {
        /// One past the last byte of RAM.
        end_of_ram: u64,
    },
    /// RAM ends at 64 GiB or above, and there is no hypervisor.
    BareMetal {
        /// One past the last byte of RAM.
        end_of_ram: u64,
    },
    /// The largest size, up to a maximum, that divides the end of RAM; a section if none does.
    DividesEndOfRam {
        /// One past the last byte of RAM.
        end_of_ram: u64,
        /// The maximum in bytes.
        most: u64,
        /// The maximum is the advice of a CXL window.
        advised: bool,
    },
    /// On this architecture a block is a section.
    Section,
    /// The device tree says so (`ibm,lmb-size`).
    DeviceTree,
    /// The default of PowerNV.
    PowerNvDefault,
    /// The default of PowerNV, reduced because of the size of a range of RAM.
    PowerNvRange {
        /// The size of the last range that reduced it, in bytes.
        range_bytes: u64,
    },
    /// The increment of the storage is larger than a section.
    Increment,
    /// No increment of the storage above a section is known.
    NoIncrement,
}

/// The size of a memory block, and why it is that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize {
    /// Size in bytes.
    pub bytes: u64,
    /// The reason.
    pub reason: BlockSizeReason,
}

impl BlockSize {
    /// The size that a kernel chooses on a host.
    ///
    /// ```
    /// use memmap_layouts::machine::{BlockSize, BlockSizeHost, X86BlockRule};
    ///
    /// // A guest whose RAM ends at 65 GiB.
    /// let guest = |rule| BlockSizeHost::X86 { rule, end_of_ram: 0x10_4000_0000, bare_metal: false, advice: None };
    /// let size = |rule| BlockSize::choose(128 << 20, guest(rule)).bytes;
    /// assert_eq!((size(X86BlockRule::LargeMachine), size(X86BlockRule::EndOfRam)), (2 << 30, 1 << 30));
    /// ```
    pub fn choose(section_bytes: u64, host: BlockSizeHost<'_>) -> Self {
        let size = |bytes: u64, reason| Self { bytes: bytes.max(section_bytes), reason };
        match host {
            BlockSizeHost::X86 { rule, end_of_ram, bare_metal, advice } => {
                x86(section_bytes, rule, end_of_ram, bare_metal, advice)
            }
            BlockSizeHost::Section => size(section_bytes, BlockSizeReason::Section),
            BlockSizeHost::LogicalBlocks { lmb_bytes } => size(lmb_bytes, BlockSizeReason::DeviceTree),
            BlockSizeHost::PowerNv { range_bytes } => {
                let (bytes, reduced_by) = power_nv(range_bytes.unwrap_or_default());
                let reason = reduced_by.map_or(BlockSizeReason::PowerNvDefault, |range_bytes| {
                    BlockSizeReason::PowerNvRange { range_bytes }
                });
                size(bytes, reason)
            }
            BlockSizeHost::S390 { increment_bytes: Some(bytes) } if bytes > section_bytes => {
                size(bytes, BlockSizeReason::Increment)
            }
            BlockSizeHost::S390 { .. } => size(section_bytes, BlockSizeReason::NoIncrement),
        }
    }
}

/// Source: `probe_memory_block_size` in `arch/x86/mm/init_64.c`.
fn x86(section_bytes: u64, rule: X86BlockRule, end_of_ram: u64, bare_metal: bool, advice: Option<u64>) -> BlockSize {
    let largest = MAX_BLOCK_BYTES.max(section_bytes);
    if end_of_ram < MEM_SIZE_FOR_LARGE_BLOCK {
        return BlockSize { bytes: section_bytes, reason: BlockSizeReason::SmallMachine { end_of_ram } };
    }
    if rule == X86BlockRule::LargeMachine {
        return BlockSize { bytes: largest, reason: BlockSizeReason::LargeMachine { end_of_ram } };
    }
    let advice = advice.filter(|_| rule >= X86BlockRule::Advised);
    if bare_metal && advice.is_none() && rule >= X86BlockRule::BareMetal {
        return BlockSize { bytes: largest, reason: BlockSizeReason::BareMetal { end_of_ram } };
    }
    let most = advice.map_or(largest, |advice| advice.min(MAX_BLOCK_BYTES).max(section_bytes));
    let bytes = std::iter::successors(Some(most), |&bytes| Some(bytes / 2))
        .take_while(|&bytes| bytes > section_bytes)
        .find(|bytes| end_of_ram.is_multiple_of(*bytes))
        .unwrap_or(section_bytes);
    let reason = BlockSizeReason::DividesEndOfRam { end_of_ram, most, advised: advice.is_some() };
    BlockSize { bytes, reason }
}

/// The size on PowerNV, and the size of the last range that reduced it. Source:
/// `update_memory_block_size` in `arch/powerpc/mm/init_64.c`, which tests one bit of the size.
fn power_nv(range_bytes: &[u64]) -> (u64, Option<u64>) {
    let (mut bytes, mut reduced_by) = (GIB, None);
    for &range in range_bytes {
        while bytes > MIN_PPC64_BLOCK_BYTES && range & bytes != 0 {
            bytes >>= 2;
            reduced_by = Some(range);
        }
    }
    (bytes, reduced_by)
}

/// The block size in bytes of an x86 machine whose RAM ends at `end_of_ram` (bytes), by the newest
/// rule. Source: `probe_memory_block_size`.
pub fn probe_block_size(section_bytes: u64, end_of_ram: u64, bare_metal: bool, advice: Option<u64>) -> u64 {
    x86(section_bytes, X86BlockRule::Advised, end_of_ram, bare_metal, advice).bytes
}

/// The advice of several CXL windows, each given by its first byte and one past its last: the
/// smallest. `None` if none of them advises.
pub fn cxl_advice(windows: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
    let mut advice = BlockSizeAdvice::default();
    for bytes in windows.into_iter().filter_map(|(start, end)| BlockSizeAdvice::of_cxl_window(start, end)) {
        // A power of two, before anything is settled.
        let _ = advice.advise(bytes);
    }
    advice.settle()
}

impl fmt::Display for BlockSizeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SmallMachine { end_of_ram } => {
                write!(f, "RAM ends at {end_of_ram:#x}, below 64 GiB, so a block is a section")
            }
            Self::LargeMachine { end_of_ram } => {
                write!(f, "RAM ends at {end_of_ram:#x}, at 64 GiB or above, and before Linux 4.17 nothing else counted")
            }
            Self::BareMetal { end_of_ram } => write!(
                f,
                "RAM ends at {end_of_ram:#x}, at 64 GiB or above, there is no hypervisor, and no CXL window advises"
            ),
            Self::DividesEndOfRam { end_of_ram, most, advised } => {
                let up_to = if advised { "the advice of a CXL window" } else { "the maximum" };
                write!(
                    f,
                    "the largest size up to {} ({up_to}) that divides the end of RAM {end_of_ram:#x}, but at least a \
                     section",
                    ByteSize(most)
                )
            }
            Self::Section => f.write_str("on this architecture a block is a section"),
            Self::DeviceTree => f.write_str("ibm,lmb-size of the device tree"),
            Self::PowerNvDefault => f.write_str("the default of bare-metal ppc64 with radix page tables"),
            Self::PowerNvRange { range_bytes } => write!(
                f,
                "the default of bare-metal ppc64 (1 GiB), reduced because of a range of RAM of {}",
                ByteSize(range_bytes)
            ),
            Self::Increment => f.write_str("the increment of the storage"),
            Self::NoIncrement => f.write_str("a section; no larger increment of the storage is known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use X86BlockRule::*;

    const SECTION: u64 = 128 << 20;

    fn on_x86(rule: X86BlockRule, end_of_ram: u64, bare_metal: bool, advice: Option<u64>) -> BlockSize {
        BlockSize::choose(SECTION, BlockSizeHost::X86 { rule, end_of_ram, bare_metal, advice })
    }

    #[test]
    fn each_rule_of_x86_changes_one_thing() {
        const RULES: [X86BlockRule; 4] = [LargeMachine, EndOfRam, BareMetal, Advised];
        let sizes = |end, bare_metal, advice| RULES.map(|rule| on_x86(rule, end, bare_metal, advice).bytes >> 20);
        // Below 64 GiB nothing counts.
        assert_eq!(sizes(64 * GIB - 4096, true, Some(256 << 20)), [128; 4]);
        assert_eq!(sizes(65 * GIB, false, None), [2048, 1024, 1024, 1024]);
        assert_eq!(sizes(65 * GIB, true, None), [2048, 1024, 2048, 2048]);
        assert_eq!(sizes(65 * GIB, true, Some(256 << 20)), [2048, 1024, 2048, 256]);
        assert_eq!(sizes(64 * GIB + (64 << 20), true, Some(256 << 20)), [2048, 128, 2048, 128]);
        assert_eq!(sizes(66 * GIB, false, Some(8 * GIB)), [2048; 4]);
        let reason = on_x86(Advised, 65 * GIB, true, Some(256 << 20)).reason;
        assert_eq!(reason, BlockSizeReason::DividesEndOfRam { end_of_ram: 65 * GIB, most: 256 << 20, advised: true });
        assert!(reason.to_string().contains("256 MiB (the advice of a CXL window)"), "{reason}");
        assert_eq!(on_x86(BareMetal, 65 * GIB, true, None).reason, BlockSizeReason::BareMetal { end_of_ram: 65 * GIB });
    }

    #[test]
    fn the_block_size_depends_on_memory_and_advice() {
        let probe = |end, bare_metal, advice| probe_block_size(SECTION, end, bare_metal, advice);
        assert_eq!(probe(32 * GIB, true, Some(256 << 20)), SECTION, "a small machine ignores advice");
        assert_eq!(probe(64 * GIB, false, None), 2 * GIB);
        assert_eq!(probe(64 * GIB + (256 << 20), false, None), 256 << 20);
        assert_eq!(probe(64 * GIB + (64 << 20), false, None), SECTION, "at least one section");
        assert_eq!(probe(128 * GIB, true, Some(64 << 20)), SECTION);
        assert_eq!(probe(128 * GIB, true, Some(8 * GIB)), 2 * GIB);
    }

    #[test]
    fn the_newest_rule_is_that_of_a_machine() {
        for end in [GIB, 64 * GIB, 65 * GIB, 64 * GIB + SECTION] {
            for bare_metal in [true, false] {
                for advice in [None, Some(256 << 20), Some(GIB)] {
                    let bytes = probe_block_size(SECTION, end, bare_metal, advice);
                    assert_eq!(on_x86(Advised, end, bare_metal, advice).bytes, bytes);
                }
            }
        }
    }

    #[test]
    fn other_architectures_have_their_own_reasons() {
        let chosen = |section, host| {
            let size = BlockSize::choose(section, host);
            (size.bytes >> 20, size.reason)
        };
        assert_eq!(chosen(GIB, BlockSizeHost::Section), (1024, BlockSizeReason::Section));
        let lmb_bytes = 256 << 20;
        let pseries = BlockSizeHost::LogicalBlocks { lmb_bytes };
        assert_eq!(chosen(16 << 20, pseries), (256, BlockSizeReason::DeviceTree));
        let power_nv = |range_bytes| chosen(16 << 20, BlockSizeHost::PowerNv { range_bytes });
        assert_eq!(power_nv(None), (1024, BlockSizeReason::PowerNvDefault));
        assert_eq!(power_nv(Some(&[64 * GIB])), (1024, BlockSizeReason::PowerNvDefault));
        // Bit 30 of 5 GiB is set and bit 28 is not.
        let reduced = |range_bytes| BlockSizeReason::PowerNvRange { range_bytes };
        assert_eq!(power_nv(Some(&[5 * GIB, 8 * GIB])), (256, reduced(5 * GIB)));
        assert_eq!(power_nv(Some(&[u64::MAX])), (16, reduced(u64::MAX)));
        let s390 = |increment_bytes| chosen(SECTION, BlockSizeHost::S390 { increment_bytes });
        assert_eq!(s390(Some(512 << 20)), (512, BlockSizeReason::Increment));
        assert_eq!([s390(None), s390(Some(1 << 20))], [(128, BlockSizeReason::NoIncrement); 2]);
    }

    #[test]
    fn the_smallest_window_advises() {
        let windows = [(4 * GIB, 8 * GIB), (16 * GIB, 16 * GIB + (256 << 20)), (1 << 20, 2 << 20)];
        assert_eq!(cxl_advice(windows), Some(256 << 20));
        assert_eq!(cxl_advice([(1 << 20, 2 << 20)]), None);
    }
}
