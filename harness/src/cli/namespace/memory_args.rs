//! Arguments for the memory around a namespace, and for the place of its records.

use crate::pmem::NearbyMemory;
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
    /// The memory that was given; RAM or regions that were not given are those of `described`.
    pub(super) fn nearby(&self, described: Option<&NearbyMemory>) -> NearbyMemory {
        let given = |given: &[Extent], described: Option<&Vec<Extent>>| match (given, described) {
            ([], Some(described)) => described.clone(),
            (given, _) => given.to_vec(),
        };
        NearbyMemory {
            ram: given(&self.ram, described.map(|nearby| &nearby.ram)),
            regions: given(&self.region, described.map(|nearby| &nearby.regions)),
        }
    }
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
