//! Arguments for the memory around a namespace, and for the kernel rules.

use crate::pmem::{KernelRules, NearbyMemory};
use crate::size::parse_size;
use clap::{Args, ValueEnum};
use memmap_layouts::nvdimm::{Extent, RecordsOn};

/// RAM and other regions near a namespace.
#[derive(Args, Clone, Debug)]
pub(super) struct NearbyMemoryArgs {
    /// RAM near the namespace: FIRST-LAST (hexadecimal addresses) or
    /// START+SIZE; repeatable
    #[arg(long, value_name = "RANGE", value_parser = parse_extent)]
    ram: Vec<Extent>,
    /// Another region of persistent memory: FIRST-LAST (hexadecimal addresses)
    /// or START+SIZE; repeatable
    #[arg(long, value_name = "RANGE", value_parser = parse_extent)]
    region: Vec<Extent>,
}

impl NearbyMemoryArgs {
    pub(super) fn nearby(&self) -> NearbyMemory {
        NearbyMemory { ram: self.ram.clone(), regions: self.region.clone() }
    }
}

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

/// The memory around a namespace, and the kernel whose rules apply.
#[derive(Args, Clone, Debug)]
pub(super) struct KernelArgs {
    #[command(flatten)]
    pub(super) nearby: NearbyMemoryArgs,
    /// Kernel whose rules apply
    #[arg(long, value_enum, default_value_t = RulesArg::Merged)]
    pub(super) rules: RulesArg,
}

/// Where the records of a namespace are stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum MemmapArg {
    /// On the medium, before the data
    Dev,
    /// In RAM
    Mem,
}

impl MemmapArg {
    pub(super) fn records(self) -> RecordsOn {
        match self {
            MemmapArg::Dev => RecordsOn::Medium,
            MemmapArg::Mem => RecordsOn::Ram,
        }
    }
}

/// Parses first and last byte as in `/proc/iomem`, where digits without prefix are hexadecimal, or
/// a hexadecimal start and a size.
pub(super) fn parse_extent(text: &str) -> Result<Extent, String> {
    let hex = |part: &str| u64::from_str_radix(part.trim().trim_start_matches("0x"), 16).ok();
    let extent = match (text.split_once('-'), text.split_once('+')) {
        (Some((first, last)), _) => hex(first)
            .zip(hex(last))
            .and_then(|(first, last)| Extent::new(first, last.checked_sub(first)?.checked_add(1)?)),
        (None, Some((start, size))) => {
            hex(start).zip(parse_size(size).ok()).and_then(|(start, size)| Extent::new(start, size))
        }
        (None, None) => None,
    };
    extent.ok_or_else(|| {
        format!(
            "{text:?} is not a range of at least one byte; try 0x100000000-0x1fbffffff (first and last byte) \
             or 0x100000000+4032M"
        )
    })
}
