//! What must hold of every text that the readers of memory maps accept.

use pfnbench::map::inventory::{Inventory, Span};
use pfnbench::map::listing::{MachineListing, NodeRam, Sections, free_capacity};
use pfnbench::map::{Kind, MAX_PHYS_BITS, MapRange, Reading, read_machine};

/// Reads a text. Checks the error if it is refused, and the reading if it is not.
pub fn checked(text: &str) -> Option<Reading> {
    match read_machine("fuzz", "a fuzz target", text) {
        Ok(reading) => {
            check(&reading, text);
            Some(reading)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn check(reading: &Reading, text: &str) {
    let map = &reading.map;
    map.ranges.iter().for_each(|range| check_span(range.span()));
    assert!(map.ranges.is_sorted_by_key(|range| range.start));
    let disjoint: Vec<Span> = map.disjoint().iter().map(MapRange::span).collect();
    assert!(disjoint.windows(2).all(|pair| pair[0].end <= pair[1].start), "not disjoint: {disjoint:x?}");
    let memory = || map.ranges.iter().filter(|range| range.kind != Kind::Window);
    assert_eq!(union(disjoint.clone()), union(memory().map(MapRange::span).collect()), "bytes got lost");
    map.boot_map().expect("ranges of RAM are apart");
    assert!(map.ram_bytes() <= map.end());
    assert!(!map.summary().is_empty() && map.added().len() <= map.ranges.len());
    let inventory = &reading.inventory;
    spans(inventory).into_iter().for_each(check_span);
    assert!(inventory.blocks.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
    for part in &reading.unused {
        check_span(part.span);
        let mut windows = inventory.windows.iter().filter(|window| window.name == part.window);
        assert!(windows.any(|window| window.span.contains(part.span)), "{part:x?} is outside of its window");
        assert!(!memory().any(|range| !range.base_assumed && range.span().overlaps(part.span)), "{part:x?} is memory");
    }
    for free in free_capacity(reading) {
        assert!(free.bytes > 0);
    }
    let nr_lines = text.split('\n').count();
    assert!(reading.sources.iter().all(|source| source.first_line <= source.last_line && source.last_line <= nr_lines));
    assert!(reading.unknown.is_sorted_by_key(|unknown| unknown.line));
    assert!(reading.unknown.iter().all(|unknown| (1..=nr_lines).contains(&unknown.line)));
    assert!(reading.undone.iter().all(|undone| (1..=nr_lines).contains(&undone.first) && undone.lines > 0));
}

fn check_span(span: Span) {
    assert!(span.start < span.end && span.end <= 1 << MAX_PHYS_BITS, "{:#x}-{:#x}", span.start, span.end);
}

/// All addresses of an inventory.
fn spans(inventory: &Inventory) -> Vec<Span> {
    let Inventory { windows, regions, namespaces, devices, blocks, .. } = inventory;
    let regions = regions.iter().filter_map(|region| region.span);
    let namespaces = namespaces.iter().filter_map(|namespace| namespace.span);
    let devices = devices.iter().flat_map(|device| device.spans.iter().copied());
    let all = windows.iter().map(|window| window.span).chain(regions).chain(namespaces).chain(devices);
    all.chain(blocks.iter().map(|block| block.span)).collect()
}

/// The bytes that are in any of the spans.
fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut united: Vec<Span> = Vec::new();
    for span in spans {
        match united.last_mut().filter(|last| span.start <= last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => united.push(span),
        }
    }
    united
}

/// The listing that `pfnbench map --json` prints of a reading, without what it counts of the map.
pub fn listing(reading: &Reading) -> String {
    let sections =
        Sections { architecture: "x86-64", with_ram: 0, in_part: 0, subsections_with_ram: 0, subsections_in_part: 0 };
    let nodes: Vec<NodeRam> = Vec::new();
    let listing = MachineListing::new(reading, reading.map.warnings.clone(), nodes, sections, Vec::new());
    serde_json::to_string_pretty(&listing).expect("a listing can be printed")
}
