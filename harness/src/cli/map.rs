//! The command `pfnbench map`.

use super::{Answer, Json, print, print_json, tell};
use crate::engine::verify::architecture_note;
use crate::map::source::Source;
use crate::map::{Kind, MapRange, PhysicalMap};
use crate::present::terminal::Grid;
use clap::Args;
use memmap_layouts::{BootMap, ByteSize, Geometry, PfnRange, X86_64};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench map                             this machine
  pfnbench map iomem.txt --json
  ssh server sudo dmesg | pfnbench map -
  sudo ndctl list -RNv | pfnbench map -
  pfnbench map builtin:xeon-carveout-islands-80g

Sections have 128 MiB and sub-sections 2 MiB, as on x86-64.

Exit codes: 0 success; 2 the map cannot be read or parsed, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct MapArgs {
    /// Memory map: a file, - for standard input, or builtin:NAME. Default: the map of this machine
    ///
    /// Accepted formats are /proc/iomem, dmesg (e820, SRAT, early node ranges; Xen's too), lsmem,
    /// the JSON of ndctl, daxctl, cxl and lsmem, disassembled ACPI tables (CEDT, NFIT, SRAT),
    /// `base size`, and `start -> end type`. The format is detected, and one file may combine
    /// several. `#` starts a comment; a line that begins with `---` starts a new part.
    #[arg(value_name = "FILE")]
    map: Option<Source>,
    #[command(flatten)]
    json: Json,
}

/// How RAM is distributed over sections and sub-sections of x86-64.
struct Memory {
    with_ram: u64,
    /// Number of sections that are only partly RAM.
    in_part: u64,
    subsections: u64,
    /// Number of sub-sections that are only partly RAM.
    subsections_in_part: u64,
}

impl Memory {
    fn new(boot: &BootMap) -> Self {
        let count = |granule: u64| {
            // Pages by granule number: a granule may contain the end of one range and the start of
            // the next.
            let mut pages: BTreeMap<u64, u64> = BTreeMap::new();
            let mut whole = 0;
            for range in boot.ranges().iter().map(|boot| boot.range) {
                let inner = range.round_in(granule);
                whole += inner.map_or(0, |inner| inner.nr_pages() / granule);
                let (start, end) = inner.map_or((range.end(), range.end()), |inner| (inner.start(), inner.end()));
                for edge in [(range.start(), start), (end, range.end())] {
                    let edge = PfnRange::new(edge.0, edge.1);
                    for part in edge.into_iter().flat_map(|edge| edge.split_at_multiples(granule)) {
                        *pages.entry(part.start() / granule).or_default() += part.nr_pages();
                    }
                }
            }
            let filled = pages.values().filter(|&&nr_pages| nr_pages == granule).count() as u64;
            (whole + pages.len() as u64, pages.len() as u64 - filled)
        };
        let (with_ram, in_part) = count(X86_64::PAGES_PER_SECTION);
        let (subsections, subsections_in_part) = count(X86_64::PAGES_PER_SUBSECTION);
        Self { with_ram, in_part, subsections, subsections_in_part }
    }
}

/// Address ranges [start, end) below the end of memory that no range of the map covers, except
/// windows.
fn holes(map: &PhysicalMap) -> Vec<(u64, u64)> {
    let (mut holes, mut end) = (Vec::new(), 0);
    for range in map.ranges.iter().filter(|range| range.kind != Kind::Window) {
        if range.start > end {
            holes.push((end, range.start));
        }
        end = end.max(range.end);
    }
    holes
}

/// Bytes of RAM by NUMA node.
fn nodes(map: &PhysicalMap) -> BTreeMap<u8, u64> {
    let mut nodes = BTreeMap::new();
    for range in map.ranges.iter().filter(|range| range.kind == Kind::Ram) {
        *nodes.entry(range.node.unwrap_or(0)).or_default() += range.end - range.start;
    }
    nodes
}

fn row(range: &MapRange) -> [String; 5] {
    let assumed = if range.base_assumed { " (base assumed)" } else { "" };
    [
        format!("{:#x}", range.start),
        format!("{:#x}", range.end - 1),
        ByteSize(range.end - range.start).to_string(),
        format!("{}{assumed}", range.kind),
        range.node.map_or_else(|| "–".to_owned(), |node| node.to_string()),
    ]
}

impl MapArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let map = self.map.clone().unwrap_or_default().load()?;
        let (sections, holes, nodes) = (Memory::new(&map.boot_map()?), holes(&map), nodes(&map));
        let warnings: Vec<String> = map.warnings.iter().cloned().chain(architecture_note(&map)).collect();
        if self.json.json {
            let holes = holes.iter().map(|(start, end)| json!({ "start": start, "end": end }));
            let nodes = nodes.iter().map(|(node, bytes)| json!({ "node": node, "ram_bytes": bytes }));
            print_json(&json!({
                "name": map.name,
                "origin": map.origin,
                "ram_bytes": map.ram_bytes(),
                "end": map.end(),
                "ranges": map.ranges,
                "nodes": nodes.collect::<Vec<Value>>(),
                "sections": {
                    "architecture": X86_64::ID,
                    "with_ram": sections.with_ram,
                    "in_part": sections.in_part,
                    "subsections_with_ram": sections.subsections,
                    "subsections_in_part": sections.subsections_in_part,
                },
                "holes": holes.collect::<Vec<Value>>(),
                "warnings": warnings,
            }))?;
            return Ok(Answer::Yes);
        }
        for warning in &warnings {
            tell(&format!("warning: {warning}"));
        }
        print(format!("{}: {}", map.name, map.summary()))?;
        if map.ranges.is_empty() {
            return Ok(Answer::Yes);
        }
        let mut table = Grid::new();
        table.set_header(["first byte", "last byte", "size", "kind", "node"]);
        for range in &map.ranges {
            table.add_row(row(range));
        }
        table.right_align(0..3);
        print(table)?;
        let per_node: Vec<String> = nodes.iter().map(|(node, bytes)| format!("{node}: {}", ByteSize(*bytes))).collect();
        if !per_node.is_empty() {
            print(format!("RAM by node: {}", per_node.join(", ")))?;
        }
        print(format!(
            "sections of 128 MiB with RAM: {}, of them partial: {}; sub-sections of 2 MiB: {}, of them partial: {}",
            sections.with_ram, sections.in_part, sections.subsections, sections.subsections_in_part
        ))?;
        let widest = holes.iter().max_by_key(|(start, end)| end - start);
        if let Some((start, end)) = widest {
            print(format!(
                "holes: {}, the largest has {} and starts at {start:#x}",
                holes.len(),
                ByteSize(end - start)
            ))?;
        }
        Ok(Answer::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::read;

    #[test]
    fn each_section_is_counted_once() {
        // Sections 0 (two pieces with a hole), 1 (whole), 2 (its first 3 MiB) and 8 (two pieces
        // that fill it, on two nodes).
        let text = "\
  node   0: [mem 0x0000000000001000-0x000000000009ffff]
  node   0: [mem 0x0000000000100000-0x00000000102fffff]
  node   0: [mem 0x0000000040000000-0x0000000043ffffff]
  node   1: [mem 0x0000000044000000-0x0000000047ffffff]
";
        let map = read("test", "test", text).unwrap();
        let sections = Memory::new(&map.boot_map().unwrap());
        assert_eq!((sections.with_ram, sections.in_part), (4, 2));
        assert_eq!((sections.subsections, sections.subsections_in_part), (64 + 64 + 2 + 64, 2));
        assert_eq!(
            holes(&map).iter().map(|(start, end)| end - start).collect::<Vec<_>>(),
            [0x1000, 0x6_0000, 0x2fd0_0000]
        );
        assert_eq!(nodes(&map).into_values().collect::<Vec<_>>(), [0x9_f000 + 0x1020_0000 + 0x400_0000, 0x400_0000]);
        let nothing = read("test", "test", "# nothing\n").unwrap();
        assert_eq!(Memory::new(&nothing.boot_map().unwrap()).with_ram, 0);
    }
}
