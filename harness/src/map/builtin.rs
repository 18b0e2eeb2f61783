//! Maps of real machines, as facts: address ranges with the place they were published.

use super::{MapRange, PhysicalMap};
use serde::Deserialize;
use std::sync::LazyLock;

/// A file of `maps/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuiltinMap {
    name: String,
    machine: String,
    attribution: String,
    range: Vec<MapRange>,
}

static MAPS: LazyLock<Vec<BuiltinMap>> = LazyLock::new(|| {
    let files =
        [include_str!("../../maps/surface-pro-7-16g.toml"), include_str!("../../maps/xeon-carveout-islands-80g.toml")];
    files.iter().map(|text| toml::from_str(text).expect("built-in maps are tested")).collect()
});

fn map(builtin: &BuiltinMap) -> PhysicalMap {
    PhysicalMap {
        name: builtin.name.clone(),
        origin: format!("{}; {}", builtin.machine, builtin.attribution),
        ranges: super::merge(builtin.range.clone()),
        warnings: Vec::new(),
    }
}

/// Names of the built-in maps.
pub fn names() -> impl Iterator<Item = &'static str> {
    MAPS.iter().map(|map| map.name.as_str())
}

/// A built-in map.
pub fn by_name(name: &str) -> Option<PhysicalMap> {
    MAPS.iter().find(|map| map.name == name).map(map)
}

/// An ordinary machine, for users who may not see their own map.
pub fn fallback() -> PhysicalMap {
    map(&MAPS[0])
}

/// A machine whose boot sections have holes of whole sub-sections and memory that ends inside one: a map without them
/// would hide errors of the sub-section map. Always verified beside the machine's own.
pub fn with_holes() -> PhysicalMap {
    map(&MAPS[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap_layouts::{Geometry, X86_64};

    #[test]
    fn built_in_maps_are_well_formed() {
        for name in names() {
            let map = by_name(name).unwrap();
            assert!(map.ram_bytes() > 1 << 30 && map.origin.contains("http"), "{name}");
            map.boot_map().unwrap().check::<X86_64>().unwrap();
        }
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
