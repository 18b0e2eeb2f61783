//! Arguments for the memory around a namespace, and for the place of its records.

use crate::cli::range_arg::parse_extent;
use crate::pmem::NearbyMemory;
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
