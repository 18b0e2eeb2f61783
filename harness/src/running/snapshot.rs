//! What the running kernel says of its memory at one moment: section table, memory blocks, zones and
//! devices.

use super::error::RunningError;
use super::section_table::{FlagBits, RunningSection, RunningSections};
use crate::size::parse_size;
use memmap_layouts::{Geometry, SECTION_HAS_MEM_MAP, SECTION_IS_EARLY, X86_64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A zone of a node. Source: `/proc/zoneinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningZone {
    /// Number of the node.
    pub node: u32,
    /// Name, e.g. `Movable`.
    pub name: String,
    /// First page frame; `None` for a zone without pages, of which the kernel prints none.
    pub start: Option<u64>,
    /// Number of page frames, holes included.
    pub spanned: u64,
    /// Number of online pages.
    pub present: u64,
}

/// A device of the DAX or NVDIMM bus. Source: sysfs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningDevice {
    /// Name with its bus, e.g. `nd/namespace0.1`.
    pub name: String,
    /// First physical address in bytes; `None` if it has none yet.
    pub start: Option<u64>,
    /// Size in bytes.
    pub size: u64,
    /// Alignment in bytes, if it has one.
    pub align: Option<u64>,
    /// The namespace on which the device is built, if any.
    pub namespace: Option<String>,
}

/// The state of the running kernel's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The bits of a section word.
    pub flags: FlagBits,
    /// The section descriptors that are not blank.
    pub sections: Vec<RunningSection>,
    /// States of memory blocks by number: `online`, `offline` or `going-offline`.
    pub blocks: BTreeMap<u64, String>,
    /// The zones of all nodes.
    pub zones: Vec<RunningZone>,
    /// The devices of the DAX and NVDIMM buses.
    pub devices: Vec<RunningDevice>,
    /// `nr_memmap_pages`: pages of records that were not allocated at boot. `None` before 6.10.
    pub memmap_pages: Option<u64>,
}

/// The content of a small file, without the line feed; `None` if it cannot be read.
fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
}

impl Snapshot {
    /// Takes a snapshot, with the sections below a page frame.
    ///
    /// # Errors
    /// The section table cannot be read. What the kernel does not have in `/proc` and sysfs is
    /// absent.
    pub fn take(table: &RunningSections, below_pfn: u64) -> Result<Self, RunningError> {
        let sections = table.below(below_pfn.div_ceil(X86_64::PAGES_PER_SECTION))?;
        let zoneinfo = text(Path::new("/proc/zoneinfo")).unwrap_or_default();
        let vmstat = text(Path::new("/proc/vmstat")).unwrap_or_default();
        let memmap_pages = vmstat.lines().find_map(|line| line.strip_prefix("nr_memmap_pages ")?.parse().ok());
        let (flags, blocks) = (table.flags(), blocks(Path::new("/sys/devices/system/memory")));
        Ok(Self {
            flags,
            sections,
            blocks,
            zones: zones(&zoneinfo),
            devices: devices(Path::new("/sys/bus")),
            memmap_pages,
        })
    }

    /// `pfn_valid` by the kernel's tables, for the page frames of a section: whether each of its
    /// sub-sections is valid, lowest bit first.
    pub fn valid_sub_sections(&self, section: &RunningSection) -> u64 {
        match self.flags.normalised(section.word) {
            word if word & SECTION_HAS_MEM_MAP == 0 => 0,
            word if word & SECTION_IS_EARLY != 0 => u64::MAX,
            _ => section.map,
        }
    }
}

/// States of the memory blocks in a folder of sysfs, by number.
pub fn blocks(folder: &Path) -> BTreeMap<u64, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let block = |entry: fs::DirEntry| {
        let nr = entry.file_name().to_str()?.strip_prefix("memory")?.parse().ok()?;
        Some((nr, text(&entry.path().join("state"))?))
    };
    entries.filter_map(block).collect()
}

/// The zones of `/proc/zoneinfo`.
fn zones(zoneinfo: &str) -> Vec<RunningZone> {
    let mut zones: Vec<RunningZone> = Vec::new();
    for line in zoneinfo.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Node", node, "zone", name] => {
                let node = node.trim_end_matches(',').parse().unwrap_or_default();
                zones.push(RunningZone { node, name: name.to_owned(), ..RunningZone::default() });
            }
            [what, value] => {
                let (Some(zone), Ok(value)) = (zones.last_mut(), value.parse()) else { continue };
                match what {
                    "spanned" => zone.spanned = value,
                    "present" => zone.present = value,
                    "start_pfn:" => zone.start = Some(value),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    zones
}

fn devices(buses: &Path) -> Vec<RunningDevice> {
    let mut devices = Vec::new();
    for bus in ["nd", "dax"] {
        let entries = fs::read_dir(buses.join(bus).join("devices")).into_iter().flatten().filter_map(Result::ok);
        for entry in entries {
            let path = entry.path();
            let field = |name: &str| text(&path.join(name));
            let own_name = entry.file_name().to_string_lossy().into_owned();
            let is_one =
                ["namespace", "dax", "pfn"].iter().any(|kind| own_name.starts_with(kind)) && own_name.contains('.');
            let Some(size) = field("size").filter(|_| is_one).and_then(|size| parse_size(&size).ok()) else { continue };
            devices.push(RunningDevice {
                name: format!("{bus}/{own_name}"),
                start: field("resource").and_then(|start| parse_size(&start).ok()),
                size,
                align: field("align").and_then(|align| parse_size(&align).ok()),
                namespace: field("namespace").filter(|name| !name.is_empty()),
            });
        }
    }
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_without_pages_has_no_start() {
        let zones = zones(
            "Node 0, zone   Normal\n  pages free     1\n        spanned  262144\n        present  131072\n  \
             start_pfn:           1048576\nNode 0, zone   Device\n        spanned  0\n        present  0\n",
        );
        let named: Vec<_> = zones.iter().map(|zone| (&*zone.name, zone.start, zone.spanned, zone.present)).collect();
        assert_eq!(named, [("Normal", Some(1 << 20), 262_144, 131_072), ("Device", None, 0, 0)]);
    }

    #[test]
    fn a_boot_section_is_valid_as_a_whole_and_another_by_its_map() {
        let flags = FlagBits { present: 1, has_map: 2, online: 4, early: 8, taint: 16 };
        let snapshot = Snapshot { flags, ..Snapshot::default() };
        let valid = |word, map| snapshot.valid_sub_sections(&RunningSection { nr: 0, word, map });
        assert_eq!((valid(0xf, 1), valid(0x3, 1), valid(0x1, 1)), (u64::MAX, 1, 0));
    }

    #[test]
    fn blocks_and_devices_are_read_from_sysfs() {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("memory/memory12/state", "online\n"),
            ("memory/memory12/valid_zones", "Normal\n"),
            ("memory/power/state", "no block\n"),
            ("bus/nd/devices/namespace0.1/size", "16777216\n"),
            ("bus/nd/devices/namespace0.1/resource", "0x100000000\n"),
            ("bus/nd/devices/region0/size", "1\n"),
            ("bus/dax/devices/dax0.1/size", "2097152\n"),
            ("bus/dax/devices/dax0.1/align", "4096\n"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        assert_eq!(blocks(&dir.path().join("memory")), [(12, "online".to_owned())].into());
        let found = devices(&dir.path().join("bus"));
        let found: Vec<_> =
            found.iter().map(|device| (&*device.name, device.start, device.size, device.align)).collect();
        assert_eq!(
            found,
            [("dax/dax0.1", None, 2 << 20, Some(4096)), ("nd/namespace0.1", Some(4 << 30), 16 << 20, None)]
        );
    }
}
