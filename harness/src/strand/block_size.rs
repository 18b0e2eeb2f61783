//! The size of memory blocks that Linux chooses on a map of x86-64.
//!
//! Source: `probe_memory_block_size` in `arch/x86/mm/init_64.c`, `acpi_parse_cfmws` in
//! `drivers/acpi/numa/srat.c`.

use super::SMALLEST_BLOCK;
use crate::kernel_version::KernelVersion;
use crate::map::inventory::Inventory;
use crate::map::{Kind, PhysicalMap};
use memmap_layouts::machine::{BlockSize, BlockSizeHost, X86BlockRule, cxl_advice};
use serde::Serialize;

/// The block size that a version of Linux chooses, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Chosen {
    /// Size of a memory block in bytes.
    pub block_bytes: u64,
    /// End of boot RAM in bytes.
    pub end_of_ram: u64,
    /// Block size in bytes that the CXL windows advise; `None` if there are none, or if the version asks none.
    pub advice_bytes: Option<u64>,
}

/// The block size that a version of Linux chooses on x86-64; `None` if the map has no boot RAM.
pub fn chosen_block_size(
    version: KernelVersion,
    map: &PhysicalMap,
    inventory: &Inventory,
    bare_metal: bool,
) -> Option<Chosen> {
    let end_of_ram = map.ranges.iter().filter(|range| range.kind == Kind::Ram).map(|range| range.end).max()?;
    let rule = version.x86_block_rule();
    let of_map = map.ranges.iter().filter(|range| range.kind == Kind::Window).map(|range| range.span());
    let windows = of_map.chain(inventory.windows.iter().map(|window| window.span));
    let told = cxl_advice(windows.map(|window| (window.start, window.end)));
    let advice = told.filter(|_| rule == X86BlockRule::Advised);
    let BlockSize { bytes, .. } =
        BlockSize::choose(SMALLEST_BLOCK, BlockSizeHost::X86 { rule, end_of_ram, bare_metal, advice });
    Some(Chosen { block_bytes: bytes, end_of_ram, advice_bytes: advice })
}

#[cfg(test)]
mod tests {
    use super::super::candidates::tests::{map, window};
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_version_decides_which_rule_counts() {
        // The end of RAM is a multiple of 256 MiB, the window of 512 MiB.
        let ram = map(&[(0, 768 * GIB + (1280 << 20), Kind::Ram)]);
        let inventory = Inventory {
            windows: vec![window(1024 * GIB + (512 << 20), 1280 * GIB + (512 << 20))],
            ..Inventory::default()
        };
        let chosen = |text: &str, bare_metal| {
            let version = text.parse().unwrap();
            chosen_block_size(version, &ram, &inventory, bare_metal).map(|chosen| chosen.block_bytes >> 20)
        };
        assert_eq!(chosen("4.16", true), Some(2048));
        assert_eq!(chosen("4.17", true), Some(256));
        assert_eq!(
            (chosen("5.8", true), chosen("5.9", true), chosen("5.9", false)),
            (Some(256), Some(2048), Some(256))
        );
        assert_eq!(
            (chosen("6.14", true), chosen("6.15", true), chosen("6.15", false)),
            (Some(2048), Some(256), Some(256))
        );
        let of = |map: &PhysicalMap| chosen_block_size(KernelVersion::CURRENT, map, &Inventory::default(), true);
        assert_eq!(of(&map(&[])), None, "no RAM");
        let small = of(&map(&[(0, GIB, Kind::Ram)])).unwrap();
        assert_eq!((small.block_bytes, small.end_of_ram, small.advice_bytes), (SMALLEST_BLOCK, GIB, None));
    }

    #[test]
    fn windows_of_the_map_advise_too() {
        let told = [(0, 512 * GIB, Kind::Ram), (0xc0_5000_0000, 0xfc_f000_0000, Kind::Window)];
        let chosen = chosen_block_size(KernelVersion::CURRENT, &map(&told), &Inventory::default(), true).unwrap();
        assert_eq!((chosen.block_bytes, chosen.advice_bytes), (256 << 20, Some(256 << 20)));
    }
}
