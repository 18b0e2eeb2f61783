//! RAM and regions of persistent memory near a namespace.

use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;

/// Physical ranges that a namespace must not overlap, and that may share its sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NearbyMemory {
    /// Ranges of RAM.
    pub ram: Vec<Extent>,
    /// Other regions of persistent memory.
    pub regions: Vec<Extent>,
}

impl NearbyMemory {
    /// The ranges, borrowed.
    pub fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { ram: &self.ram, regions: &self.regions }
    }

    /// The ranges, each with a name for messages.
    pub fn named(&self) -> Vec<(String, Extent)> {
        let ram = self.ram.iter().map(|extent| ("RAM".to_owned(), *extent));
        let regions = self.regions.iter().map(|extent| ("another region".to_owned(), *extent));
        ram.chain(regions).collect()
    }
}
