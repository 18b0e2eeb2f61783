//! Ranges of physical addresses as arguments.

use crate::size::parse_range;
use memmap_layouts::nvdimm::Extent;

/// Parses a range of physical addresses, in the grammar of [`parse_range`].
pub(super) fn parse_extent(text: &str) -> Result<Extent, String> {
    let range = parse_range(text).map_err(|error| error.to_string())?;
    Extent::new(range.start, range.end - range.start)
        .ok_or_else(|| format!("{text:?} ends above the physical address space of 56 bits; choose a lower range"))
}
