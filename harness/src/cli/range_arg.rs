//! Ranges of physical addresses as arguments.

use crate::size::parse_size;
use memmap_layouts::nvdimm::Extent;

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
