//! Built-in maps. Those of real machines are facts: address ranges, with the place where they were
//! published. Synthetic maps cover the scale of sizes.

use super::combine::merge;
use super::{Kind, MapRange, PhysicalMap};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// A file of `maps/`, parsed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuiltinMap {
    name: String,
    machine: String,
    attribution: String,
    range: Vec<MapRange>,
}

/// Files of the real machines' maps.
const FILES: &[&str] = &[
    include_str!("../../maps/amd-desktop-64g.toml"),
    include_str!("../../maps/amd-genoa-2s-1536g.toml"),
    include_str!("../../maps/amd-hypertransport-hole.toml"),
    include_str!("../../maps/ampere-altra-2s-512g.toml"),
    include_str!("../../maps/apple-m1-8g-excerpt.toml"),
    include_str!("../../maps/apple-m1-pro-16g.toml"),
    include_str!("../../maps/arm64-vm-pmem-4g.toml"),
    include_str!("../../maps/azure-4-node-windows.toml"),
    include_str!("../../maps/cxl-dax-64g.toml"),
    include_str!("../../maps/cxl-flexible-7-windows.toml"),
    include_str!("../../maps/cxl-genoa-242g.toml"),
    include_str!("../../maps/cxl-memory-hole-4g.toml"),
    include_str!("../../maps/cxl-qemu-512m.toml"),
    include_str!("../../maps/dell-r740-192g.toml"),
    include_str!("../../maps/efi-vm-12g.toml"),
    include_str!("../../maps/granite-rapids-4s-2t.toml"),
    include_str!("../../maps/hp-286-8g.toml"),
    include_str!("../../maps/hpe-dl380-nvdimm-n-32g.toml"),
    include_str!("../../maps/libkrun-arm64-512m.toml"),
    include_str!("../../maps/ndctl-76-model.toml"),
    include_str!("../../maps/optane-ice-lake-2s-2016g.toml"),
    include_str!("../../maps/orangepi-rv2-8g.toml"),
    include_str!("../../maps/power8-128g.toml"),
    include_str!("../../maps/raspberry-pi-5-8g-8-nodes.toml"),
    include_str!("../../maps/supermicro-purley-below-4g.toml"),
    include_str!("../../maps/supermicro-x8sie-memmap-8g.toml"),
    include_str!("../../maps/surface-pro-7-16g.toml"),
    include_str!("../../maps/vm-20g.toml"),
    include_str!("../../maps/vm-memmap-4g-3g.toml"),
    include_str!("../../maps/vm-pmem-8g-as-ram.toml"),
    include_str!("../../maps/x86-laptop-16g.toml"),
    include_str!("../../maps/xeon-2s-384g.toml"),
    include_str!("../../maps/xeon-carveout-islands-80g.toml"),
    include_str!("../../maps/xeon-optane-below-4g.toml"),
];

static MAPS: LazyLock<Vec<BuiltinMap>> =
    LazyLock::new(|| FILES.iter().map(|text| toml::from_str(text).expect("built-in maps are tested")).collect());

fn map(builtin: &BuiltinMap) -> PhysicalMap {
    PhysicalMap {
        name: builtin.name.clone(),
        origin: format!("{}; {}", builtin.machine, builtin.attribution),
        ranges: merge(builtin.range.clone()),
        warnings: Vec::new(),
    }
}

/// Size of a section of x86-64 in bytes; synthetic maps consist of whole sections.
const SECTION: u64 = 128 << 20;

/// A synthetic map, which no real machine has.
struct Synthetic {
    name: &'static str,
    what: &'static str,
    /// Width of the physical address space in bits.
    bits: u32,
    memory: Pieces,
}

/// The memory of a synthetic map.
enum Pieces {
    /// All of the physical address space, as RAM at boot.
    All,
    /// So many sections of RAM at random places.
    Scattered(u64),
    /// Memory that is added later, from the first section on: `nr` runs of `run` bytes, with holes of
    /// `hole` bytes between them.
    Runs { nr: u64, run: u64, hole: u64 },
}

const fn scattered(name: &'static str, what: &'static str, sections: u64) -> Synthetic {
    Synthetic { name, what, bits: 46, memory: Pieces::Scattered(sections) }
}

const fn runs(name: &'static str, what: &'static str, nr: u64, run: u64, hole: u64) -> Synthetic {
    Synthetic { name, what, bits: 46, memory: Pieces::Runs { nr, run, hole } }
}

const SUBSECTION: u64 = 2 << 20;

const SYNTHETIC: &[Synthetic] = &[
    scattered("scattered-8", "8 sections, 1 GiB, anywhere in 64 TiB", 8),
    scattered("scattered-64", "64 sections anywhere in 64 TiB", 64),
    scattered("scattered-512", "512 sections anywhere in 64 TiB", 512),
    scattered("scattered-2048", "2048 sections, 256 GiB, anywhere in 64 TiB", 2048),
    scattered("scattered-8192", "8192 sections, 1 TiB, anywhere in 64 TiB", 8192),
    scattered("scattered-32768", "32768 sections, 4 TiB, anywhere in 64 TiB", 32768),
    Synthetic { name: "dense-64t", what: "64 TiB without a hole", bits: 46, memory: Pieces::All },
    Synthetic {
        name: "sparse-52bit",
        what: "1024 sections anywhere in 52 bits",
        bits: 52,
        memory: Pieces::Scattered(1024),
    },
    runs("added-512g", "512 GiB in one piece, added later", 1, 512 << 30, 0),
    runs("holes-2m", "4096 runs of 2 MiB with holes of 2 MiB, added later", 4096, SUBSECTION, SUBSECTION),
    runs("holes-128m", "1024 sections with holes of 128 MiB, added later", 1024, SECTION, SECTION),
    runs("holes-8g", "1024 sections with holes of 8 GiB, added later", 1024, SECTION, 8 << 30),
    runs("holes-32g", "256 sections with holes of 32 GiB, added later", 256, SECTION, 32 << 30),
    runs("holes-1t", "48 sections with holes of 1 TiB, added later", 48, SECTION, 1 << 40),
    runs("holes-64t", "the second and the last section of 64 TiB, added later", 2, SECTION, (1 << 46) - 3 * SECTION),
];

impl Synthetic {
    fn map(&self) -> PhysicalMap {
        let space = 1u64 << self.bits;
        let range = |kind, start, end| MapRange { start, end, kind, node: None, base_assumed: false };
        let ranges = match self.memory {
            Pieces::All => vec![range(Kind::Ram, 0, space)],
            Pieces::Scattered(nr) => {
                // A fixed seed gives the same sections on every machine; a set keeps them distinct
                // and sorted.
                let mut rng = Pcg64Mcg::seed_from_u64(nr);
                let mut places = BTreeSet::new();
                while (places.len() as u64) < nr {
                    places.insert(rng.random_range(0..space / SECTION));
                }
                places.into_iter().map(|nr| range(Kind::Ram, nr * SECTION, (nr + 1) * SECTION)).collect()
            }
            Pieces::Runs { nr, run, hole } => {
                let start = |at| SECTION + at * (run + hole);
                (0..nr).map(|at| range(Kind::HotplugRam, start(at), start(at) + run)).collect()
            }
        };
        PhysicalMap {
            name: self.name.to_owned(),
            origin: format!("synthetic: {}", self.what),
            ranges: merge(ranges),
            warnings: Vec::new(),
        }
    }
}

/// Names of the built-in maps: real machines first, then synthetic maps.
pub fn names() -> impl Iterator<Item = &'static str> {
    MAPS.iter().map(|map| map.name.as_str()).chain(SYNTHETIC.iter().map(|map| map.name))
}

/// The built-in map with this name; `None` if there is none.
pub fn by_name(name: &str) -> Option<PhysicalMap> {
    let real = MAPS.iter().find(|map| map.name == name).map(map);
    real.or_else(|| SYNTHETIC.iter().find(|map| map.name == name).map(Synthetic::map))
}

/// The map of an ordinary machine, used if the user may not read the machine's own.
pub fn fallback() -> PhysicalMap {
    by_name("surface-pro-7-16g").expect("the map is built in")
}

/// A machine whose boot sections have holes of whole sub-sections, and whose memory ends inside a
/// sub-section. A map without such holes would hide errors of the sub-section map. It is always
/// verified together with the machine's own map.
pub fn with_holes() -> PhysicalMap {
    by_name("xeon-carveout-islands-80g").expect("the map is built in")
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::{Geometry, X86_64, X86_64La57};

    #[test]
    fn built_in_maps_are_well_formed() {
        let mut all: Vec<&str> = names().collect();
        assert!(all.len() >= 34 + 8);
        for name in &all {
            let map = by_name(name).unwrap();
            assert!(map.origin.contains("https://") || map.origin.starts_with("synthetic"), "{name}: {}", map.origin);
            let boot = map.boot_map().unwrap();
            boot.check::<X86_64>().or_else(|_| boot.check::<X86_64La57>()).unwrap();
            for range in &map.ranges {
                assert!(range.start < range.end, "{name}: {range:?}");
            }
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), names().count(), "duplicate name");
    }

    #[test]
    fn synthetic_maps_are_what_their_names_say() {
        for (name, sections) in [
            ("scattered-8", 8),
            ("scattered-64", 64),
            ("scattered-512", 512),
            ("scattered-2048", 2048),
            ("scattered-8192", 8192),
            ("scattered-32768", 32768),
            ("sparse-52bit", 1024),
        ] {
            let map = by_name(name).unwrap();
            assert_eq!(map.ram_bytes(), sections * SECTION, "{name}");
            assert!(map.ranges.len() as u64 > sections * 9 / 10, "{name} is scattered");
            assert_eq!(map, by_name(name).unwrap(), "a fixed seed gives the same map");
        }
        assert_eq!(by_name("dense-64t").unwrap().ram_bytes(), 1 << 46);
    }

    #[test]
    fn the_map_with_holes_has_them() {
        let boot = with_holes().boot_map().unwrap();
        let sections = boot.sections::<X86_64>().len() as u64;
        let missing = sections * X86_64::PAGES_PER_SECTION - boot.nr_pages();
        assert!(missing > 16 * X86_64::PAGES_PER_SUBSECTION, "{missing} pages of holes inside sections");
        assert!(boot.ranges().iter().any(|r| r.range.end() % X86_64::PAGES_PER_SUBSECTION != 0));
    }
}
