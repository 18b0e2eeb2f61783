//! The command `pfnbench map`.

use super::{Answer, Json, print, print_json, tell};
use crate::engine::verify::architecture_note;
use crate::map::inventory::Span;
use crate::map::listing::{FreeCause, MachineListing, NodeRam, Sections, free_capacity};
use crate::map::source::Source;
use crate::map::{Kind, MapRange, PhysicalMap, Reading, line_numbers};
use crate::present::terminal::Grid;
use clap::Args;
use memmap_layouts::{BootMap, ByteSize, Geometry, PfnRange, X86_64};
use std::collections::BTreeMap;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench map                             this machine
  pfnbench map iomem.txt --json
  ssh server sudo dmesg | pfnbench map -
  sudo ndctl list -RNv | pfnbench map -
  sudo cxl list -BDMRTu | pfnbench map -
  pfnbench map builtin:xeon-carveout-islands-80g

Sections have 128 MiB and sub-sections 2 MiB, as on x86-64.

Exit codes: 0 success; 1 with --strict, sources contradict each other or lines
were not understood; 2 the text names no memory or cannot be parsed, or a usage
error.
All codes: pfnbench explain exit-codes")]
pub(super) struct MapArgs {
    /// Memory map: a file, - for standard input, or builtin:NAME. Default: the map of this machine
    ///
    /// Accepted formats are /proc/iomem, boot logs (e820, EFI, SRAT, early node ranges,
    /// memblock=debug; Xen's too), lsmem, the JSON of ndctl, daxctl, cxl and lsmem, disassembled ACPI
    /// tables (CEDT, NFIT, SRAT), `base size`, and `start -> end type`. The format is detected, and one
    /// file may combine several. Quote marks, prompts, colours, line wraps and other marks of a paste are
    /// undone. `#` starts a comment; a line that begins with `---` starts a new part.
    #[arg(value_name = "FILE")]
    map: Option<Source>,
    /// Exit 1 if sources contradict each other, or lines were not understood
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    json: Json,
}

/// How RAM is distributed over sections and sub-sections of x86-64.
fn sections(boot: &BootMap) -> Sections {
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
    let (subsections_with_ram, subsections_in_part) = count(X86_64::PAGES_PER_SUBSECTION);
    Sections { architecture: X86_64::ID, with_ram, in_part, subsections_with_ram, subsections_in_part }
}

/// Address ranges below the end of memory that no range of the map covers, except windows.
fn holes(map: &PhysicalMap) -> Vec<Span> {
    let (mut holes, mut end) = (Vec::new(), 0);
    for range in map.ranges.iter().filter(|range| range.kind != Kind::Window) {
        holes.extend(Span::new(end, range.start));
        end = end.max(range.end);
    }
    holes
}

/// RAM by NUMA node.
fn nodes(map: &PhysicalMap) -> Vec<NodeRam> {
    let mut nodes: BTreeMap<u8, u64> = BTreeMap::new();
    for range in map.ranges.iter().filter(|range| range.kind == Kind::Ram) {
        *nodes.entry(range.node.unwrap_or(0)).or_default() += range.end - range.start;
    }
    nodes.into_iter().map(|(node, ram_bytes)| NodeRam { node, ram_bytes }).collect()
}

fn addresses(span: Span) -> [String; 3] {
    [format!("{:#x}", span.start), format!("{:#x}", span.end - 1), ByteSize(span.bytes()).to_string()]
}

fn row(range: &MapRange) -> Vec<String> {
    let assumed = if range.base_assumed { " (base assumed)" } else { "" };
    let node = range.node.map_or_else(|| "–".to_owned(), |node| node.to_string());
    addresses(range.span()).into_iter().chain([format!("{}{assumed}", range.kind), node]).collect()
}

impl MapArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let reading = self.map.clone().unwrap_or_default().read()?;
        let map = &reading.map;
        let (sections, holes, nodes) = (sections(&map.boot_map()?), holes(map), nodes(map));
        let is_doubtful = !reading.contradictions.is_empty() || !reading.unknown.is_empty();
        let answer = if self.strict && is_doubtful { Answer::No } else { Answer::Yes };
        if self.json.json {
            print_json(&listing(&reading)?)?;
            return Ok(answer);
        }
        let warnings = warnings(map);
        warnings.iter().for_each(|warning| tell(&format!("warning: {warning}")));
        notes(&reading).iter().for_each(|note| tell(note));
        print(format!("{}: {}", map.name, map.summary()))?;
        print_ranges(map)?;
        print_windows(&reading)?;
        for line in capacity(&reading) {
            print(line)?;
        }
        if map.ram_bytes() > 0 {
            let per_node = nodes.iter().map(|node| format!("{}: {}", node.node, ByteSize(node.ram_bytes)));
            print(format!("RAM by node: {}", per_node.collect::<Vec<_>>().join(", ")))?;
            print(format!(
                "sections of 128 MiB with RAM: {}, of them partial: {}; sub-sections of 2 MiB: {}, of them partial: {}",
                sections.with_ram, sections.in_part, sections.subsections_with_ram, sections.subsections_in_part
            ))?;
        }
        if let Some(widest) = holes.iter().max_by_key(|hole| hole.bytes()) {
            print(format!(
                "holes: {}, the largest has {} and starts at {:#x}",
                holes.len(),
                ByteSize(widest.bytes()),
                widest.start
            ))?;
        }
        Ok(answer)
    }
}

fn warnings(map: &PhysicalMap) -> Vec<String> {
    map.warnings.iter().cloned().chain(architecture_note(map)).collect()
}

/// What `--json` prints of a machine.
pub(super) fn listing(reading: &Reading) -> anyhow::Result<MachineListing> {
    let map = &reading.map;
    Ok(MachineListing::new(reading, warnings(map), nodes(map), sections(&map.boot_map()?), holes(map)))
}

/// What became of the lines of the text.
pub(super) fn notes(reading: &Reading) -> Vec<String> {
    let mut notes: Vec<String> = reading.contradictions.iter().map(|told| format!("contradiction: {told}")).collect();
    let undone = reading.undone.iter().map(|undone| format!("{} (lines: {})", undone.decoration.name(), undone.lines));
    let undone: Vec<String> = undone.collect();
    if !undone.is_empty() {
        notes.push(format!("note: undone before reading: {}", undone.join(", ")));
    }
    let skipped = reading.skipped.iter().map(|skipped| format!("{} (lines: {})", skipped.kind, skipped.lines));
    let skipped: Vec<String> = skipped.collect();
    if !skipped.is_empty() {
        notes.push(format!("note: skipped, since they name no memory: {}", skipped.join(", ")));
    }
    if let Some(first) = reading.unknown.first() {
        let lines = line_numbers(reading.unknown.iter().map(|line| line.line));
        notes.push(format!("note: not understood: line {lines}; the first is {:?}", first.text));
    }
    notes
}

fn print_ranges(map: &PhysicalMap) -> anyhow::Result<()> {
    let ranges = map.disjoint();
    if ranges.is_empty() {
        return Ok(());
    }
    let mut table = Grid::new();
    table.set_header(["first byte", "last byte", "size", "kind", "node"]);
    for range in &ranges {
        table.add_row(row(range));
    }
    table.right_align(0..3);
    print(table)
}

/// Windows, each followed by its parts that are unused.
fn print_windows(reading: &Reading) -> anyhow::Result<()> {
    let windows = &reading.inventory.windows;
    let is_empty = |window: &&Span| !reading.map.ranges.iter().any(|range| range.span().overlaps(**window));
    let srat: Vec<&Span> = reading.hotplug_windows.iter().filter(is_empty).collect();
    if windows.is_empty() && srat.is_empty() {
        return Ok(());
    }
    let mut table = Grid::new();
    table.set_header(["first byte", "last byte", "size", "window"]);
    for window in windows {
        let unused: u64 = reading
            .unused
            .iter()
            .filter(|part| part.window == window.name && window.span.contains(part.span))
            .map(|part| part.span.bytes())
            .sum();
        let used = window.span.bytes() - unused;
        let state = match (used, unused) {
            (0, _) => "all unused".to_owned(),
            (used, _) => format!("{} in use", ByteSize(used)),
        };
        table.add_row(addresses(window.span).into_iter().chain([format!("{}: {state}", window.name)]));
        for part in reading.unused.iter().filter(|part| part.window == window.name && window.span.contains(part.span)) {
            if used > 0 {
                table.add_row(addresses(part.span).into_iter().chain([format!("{}, unused part", window.name)]));
            }
        }
    }
    for span in srat {
        table.add_row(addresses(*span).into_iter().chain(["SRAT, for memory that may be added".to_owned()]));
    }
    table.right_align(0..3);
    print(table)
}

/// Capacity that no address range shows.
fn capacity(reading: &Reading) -> Vec<String> {
    let inventory = &reading.inventory;
    let mut lines = Vec::new();
    let sized = |name: &str, bytes: u64| match bytes {
        0 => name.to_owned(),
        bytes => format!("{name} {}", ByteSize(bytes)),
    };
    let listed = |head: &str, items: Vec<String>| (!items.is_empty()).then(|| format!("{head}: {}", shown(items)));
    let dimms = inventory.dimms.iter().map(|dimm| sized(&dimm.name, dimm.volatile_bytes + dimm.persistent_bytes));
    lines.extend(listed("DIMMs and expanders", dimms.collect()));
    let state = |enabled: bool| if enabled { "" } else { " (disabled)" };
    let regions = inventory.regions.iter();
    let regions = regions.map(|region| format!("{}{}", sized(&region.name, region.bytes), state(region.enabled)));
    lines.extend(listed("regions", regions.collect()));
    let namespaces = inventory.namespaces.iter();
    let namespaces =
        namespaces.map(|namespace| format!("{}{}", sized(&namespace.name, namespace.bytes), state(namespace.enabled)));
    lines.extend(listed("namespaces", namespaces.collect()));
    let devices = inventory.devices.iter().map(|device| {
        let use_ = if device.is_ram { " as RAM" } else { "" };
        format!("{}{use_}{}", sized(&device.name, device.bytes), state(device.enabled))
    });
    lines.extend(listed("DAX devices", devices.collect()));
    let cause = |cause| match cause {
        FreeCause::NoRegion => "in no region",
        FreeCause::NoNamespace => "in no namespace",
        FreeCause::RegionDisabled => "region disabled",
        FreeCause::NotConfigured => "not configured, so no memory",
    };
    let free = free_capacity(reading);
    let free = free.iter().map(|free| format!("{} of {} ({})", ByteSize(free.bytes), free.of, cause(free.cause)));
    lines.extend(listed("free capacity", free.collect()));
    if let Some(bytes) = inventory.block_bytes {
        lines.push(format!("memory blocks have {}", ByteSize(bytes)));
    }
    lines
}

/// The first of many items.
fn shown(items: Vec<String>) -> String {
    const MOST: usize = 12;
    let more = items.len().saturating_sub(MOST);
    let text = items.into_iter().take(MOST).collect::<Vec<_>>().join(", ");
    if more == 0 { text } else { format!("{text} and {more} more (--json lists all)") }
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
        let counted = sections(&map.boot_map().unwrap());
        assert_eq!((counted.with_ram, counted.in_part), (4, 2));
        assert_eq!((counted.subsections_with_ram, counted.subsections_in_part), (64 + 64 + 2 + 64, 2));
        assert_eq!(holes(&map).into_iter().map(Span::bytes).collect::<Vec<_>>(), [0x1000, 0x6_0000, 0x2fd0_0000]);
        let per_node: Vec<u64> = nodes(&map).iter().map(|node| node.ram_bytes).collect();
        assert_eq!(per_node, [0x9_f000 + 0x1020_0000 + 0x400_0000, 0x400_0000]);
    }
}
