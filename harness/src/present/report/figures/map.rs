//! The physical memory map: sections, sub-sections, holes and devices, and sections that they share.

use crate::map::{Kind, PhysicalMap};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{Area, DrawError, Hang, Key, LABEL, Marks, colour, text};
use crate::units::bytes;
use memmap_layouts::{Geometry, X86_64};
use plotters::prelude::*;
use serde_json::json;

const SECTION: u64 = X86_64::PAGES_PER_SECTION << X86_64::PAGE_SHIFT;
const SUBSECTION: u64 = X86_64::PAGES_PER_SUBSECTION << X86_64::PAGE_SHIFT;

/// Cells per row of the grid, and the maximum number of rows.
const COLUMNS: u64 = 32;
const ROWS: u64 = 32;

/// Where cells begin, after the address; the width of a cell of the grid, and of a sub-section.
const CELLS: i32 = 96;
const CELL: i32 = 8;
const SUBSECTION_CELL: i32 = 4;

/// Maximum number of sections that are shown by sub-section.
const DETAILS: usize = 8;

/// The contents of a range of the physical address space.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    /// Bytes of RAM at boot.
    ram: u64,
    /// Bytes of memory that is added later.
    added: u64,
    /// Number of sections that added memory shares with other memory.
    collisions: u64,
}

/// A section that is not completely filled by one range of memory.
#[derive(Debug)]
struct Edge {
    /// Section number.
    section: u64,
    /// Indices of its ranges in the map.
    ranges: Vec<usize>,
    /// True if added memory shares the section with other memory.
    is_collision: bool,
}

/// Sections that are not completely filled by one range, by number.
fn edges(map: &PhysicalMap) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for (nr, range) in map.ranges.iter().enumerate().filter(|(_, range)| range.kind != Kind::Window) {
        let first = range.start / SECTION;
        let last = (range.end - 1) / SECTION;
        let is_part = |section: u64| range.start > section * SECTION || range.end < (section + 1) * SECTION;
        let mut ends = vec![first, last];
        ends.dedup();
        for section in ends.into_iter().filter(|section| is_part(*section)) {
            match edges.iter_mut().find(|edge| edge.section == section) {
                Some(edge) => edge.ranges.push(nr),
                None => edges.push(Edge { section, ranges: vec![nr], is_collision: false }),
            }
        }
    }
    edges.sort_by_key(|edge| edge.section);
    for edge in &mut edges {
        let ranges = || edge.ranges.iter().map(|nr| &map.ranges[*nr]);
        // Boot handles RAM next to RAM. The patch series is about added memory next to any other memory.
        let added = ranges().filter(|range| range.kind.is_added()).count();
        edge.is_collision = added > 0 && ranges().count() > 1;
    }
    edges
}

/// The contents of the addresses from `start` to `end`, and the index of the first range of added memory in them.
fn content(map: &PhysicalMap, start: u64, end: u64) -> (Content, Option<usize>) {
    let (mut content, mut added) = (Content::default(), None);
    for (nr, range) in map.ranges.iter().enumerate().filter(|(_, range)| range.kind != Kind::Window) {
        let inside = range.end.min(end).saturating_sub(range.start.max(start));
        match range.kind.is_added() {
            true if inside > 0 => {
                content.added += inside;
                added = added.or(Some(nr));
            }
            true => {}
            false => content.ram += inside,
        }
    }
    content.collisions = u64::from(content.ram > 0 && content.added > 0);
    (content, added)
}

/// Number of sections per cell (a power of two), and the cells of the whole address space.
fn cells(map: &PhysicalMap, edges: &[Edge]) -> (u64, Vec<Content>) {
    let sections = map.end().div_ceil(SECTION);
    let a_cell = sections.div_ceil(COLUMNS * ROWS).next_power_of_two();
    let nr_cells = sections.div_ceil(a_cell);
    let mut cells = vec![Content::default(); nr_cells as usize];
    for range in map.ranges.iter().filter(|range| range.kind != Kind::Window) {
        let bytes = a_cell * SECTION;
        for nr in range.start / bytes..=(range.end - 1) / bytes {
            let Some(cell) = cells.get_mut(nr as usize) else { continue };
            let inside = range.end.min((nr + 1) * bytes) - range.start.max(nr * bytes);
            if range.kind.is_added() { cell.added += inside } else { cell.ram += inside }
        }
    }
    for edge in edges.iter().filter(|edge| edge.is_collision) {
        if let Some(cell) = cells.get_mut((edge.section / a_cell) as usize) {
            cell.collisions += 1;
        }
    }
    (a_cell, cells)
}

/// Draws a grid of sections, and below it the partly filled sections by sub-section.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let mut data = Data::new(&["start_byte", "end_byte", "bytes", "kind", "node", "first_section", "last_section"]);
    let map = view.run.known.map.as_ref().filter(|map| map.ranges.iter().all(|range| range.start < range.end));
    for range in map.iter().flat_map(|map| &map.ranges) {
        data.push([
            json!(range.start),
            json!(range.end),
            json!(range.end - range.start),
            json!(range.kind),
            json!(range.node),
            json!(range.start / SECTION),
            json!((range.end - 1) / SECTION),
        ]);
    }
    let missing = || "Missing: the manifest has no map, or a map without memory.".to_owned();
    let words = |map: &str, caption: String, reading: String| Words {
        name: "map",
        title: format!("Physical map {map}"),
        caption,
        whiskers: "",
        reading,
    };
    let Some(map) = map.filter(|map| !map.ranges.is_empty()) else {
        return Figure::new(words("", String::new(), String::new()), Data::default(), missing, |_| Ok(()));
    };
    let edges = edges(map);
    let (a_cell, cells) = cells(map, &edges);
    let rows = (cells.len() as u64).div_ceil(COLUMNS);
    let collisions = edges.iter().filter(|edge| edge.is_collision).count();
    let shown: Vec<&Edge> = edges
        .iter()
        .filter(|edge| edge.is_collision)
        .chain(edges.iter().filter(|edge| !edge.is_collision))
        .take(DETAILS)
        .collect();
    let caption = format!(
        "Each cell is {} of the physical address space, from left to right and from top to bottom; a darker cell holds \
         more memory. A red section is shared by added and other memory.",
        bytes((a_cell * SECTION) as f64),
    );
    let reading = format!(
        "{}. A cell is {}. Sections that are partly filled: {}. In {collisions} of them, added memory shares the \
         section with other memory; a kernel that adds whole sections refuses such memory.{}",
        map.summary(),
        if a_cell == 1 { "one section".to_owned() } else { format!("{a_cell} sections") },
        edges.len(),
        match shown.len() {
            0 => String::new(),
            nr => format!(" The second panel shows {nr} of the partly filled sections by 2 MiB sub-section."),
        }
    );
    Figure::new(words(&map.name, caption, reading), data, missing, |drawing| {
        drawing.key(Key::Block(RAM), "RAM at boot")?;
        drawing.key(Key::Block(ADDED), "added memory: devices, RAM added later")?;
        drawing.key(Key::Block(NEXT), "another added range in the section")?;
        drawing.key(Key::Block(COLLISION), "shared section")?;
        drawing.panel("all sections", 8 + rows as u32 * 14, |area, marks| {
            for (nr, cell) in cells.iter().enumerate() {
                let (column, row) = ((nr as u64 % COLUMNS) as i32, (nr as u64 / COLUMNS) as i32);
                let (x, y, bytes_a_cell) = (CELLS + column * CELL, 28 + row * 14, a_cell * SECTION);
                let start = nr as u64 * bytes_a_cell;
                if column == 0 {
                    text(area, &bytes(start as f64), (CELLS - 8, y + 6), LABEL - 2.0, Hang::Left)?;
                }
                draw_cell(area, (x, y, CELL - 1, 12), cell, bytes_a_cell, ADDED)?;
                if cell.ram + cell.added > 0 {
                    let hover = format!(
                        "{start:#x} to {:#x}: {} RAM, {} added{}",
                        start + bytes_a_cell,
                        bytes(cell.ram as f64),
                        bytes(cell.added as f64),
                        match cell.collisions {
                            0 => String::new(),
                            nr => format!(", shared sections: {nr}"),
                        }
                    );
                    marks.block((x, y), (x + CELL - 1, y + 12), hover);
                }
            }
            Ok(())
        })?;
        if shown.is_empty() {
            return Ok(());
        }
        drawing.panel("partly filled sections, by 2 MiB sub-section", 8 + 20 * shown.len() as u32, |area, marks| {
            for (row, edge) in shown.iter().enumerate() {
                draw_edge(area, marks, map, edge, 28 + 20 * row as i32)?;
            }
            Ok(())
        })
    })
}

/// Colours of memory, distinct from those of layouts.
const RAM: RGBColor = RGBColor(0x77, 0xaa, 0xdd);
const ADDED: RGBColor = RGBColor(0xee, 0xdd, 0x88);
/// Every second range of added memory in a section.
const NEXT: RGBColor = RGBColor(0xbb, 0xcc, 0x33);
const COLLISION: RGBColor = RGBColor(0xee, 0x88, 0x66);

fn draw_cell(
    area: &Area<'_>,
    (x, y, width, height): (i32, i32, i32, i32),
    cell: &Content,
    cell_bytes: u64,
    added_colour: RGBColor,
) -> Result<(), DrawError> {
    let (left, up) = area.get_base_pixel();
    let corners = [(x - left, y - up), (x + width - left, y + height - up)];
    let share = |part: u64| 0.3 + 0.7 * (part as f64 / cell_bytes as f64).min(1.0);
    let fill = match *cell {
        Content { collisions, .. } if collisions > 0 => COLLISION.filled(),
        Content { ram: 0, added: 0, .. } => colour(0).mix(0.15).filled(),
        Content { ram, added, .. } if ram >= added => RAM.mix(share(ram)).filled(),
        Content { added, .. } => added_colour.mix(share(added)).filled(),
    };
    Ok(area.draw(&Rectangle::new(corners, fill))?)
}

fn draw_edge(area: &Area<'_>, marks: &mut Marks, map: &PhysicalMap, edge: &Edge, y: i32) -> Result<(), DrawError> {
    let start = edge.section * SECTION;
    text(area, &format!("{start:#x}"), (CELLS - 8, y + 7), LABEL - 2.0, Hang::Left)?;
    for nr in 0..SECTION / SUBSECTION {
        let (from, to) = (start + nr * SUBSECTION, start + (nr + 1) * SUBSECTION);
        let (content, added) = content(map, from, to);
        // Adjacent ranges alternate in colour, so that their boundary is visible.
        let nth = edge.ranges.iter().position(|nr| Some(*nr) == added).unwrap_or(0);
        let tint = if nth % 2 == 0 { ADDED } else { NEXT };
        let x = CELLS + nr as i32 * SUBSECTION_CELL;
        draw_cell(area, (x, y, SUBSECTION_CELL - 1, 14), &content, SUBSECTION, tint)?;
        if content.ram + content.added > 0 {
            let hover = format!("{from:#x}: {} RAM, {} added", bytes(content.ram as f64), bytes(content.added as f64));
            marks.block((x, y), (x + SUBSECTION_CELL - 1, y + 14), hover);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::builtin;

    #[test]
    fn cells_hold_all_memory_of_every_built_in_map() {
        for name in builtin::names() {
            let map = builtin::by_name(name).unwrap();
            let edges = edges(&map);
            let (a_cell, cells) = cells(&map, &edges);
            assert!(cells.len() as u64 <= COLUMNS * ROWS, "{name}: {a_cell}");
            assert_eq!(cells.iter().map(|cell| cell.ram).sum::<u64>(), map.ram_bytes(), "{name}");
        }
    }

    #[test]
    fn memory_that_shares_a_section_is_a_collision() {
        let map = builtin::by_name("ndctl-76-model").unwrap();
        assert!(edges(&map).iter().any(|edge| edge.is_collision), "{:?}", map.ranges);
        let whole = builtin::by_name("scattered-64").unwrap();
        assert!(edges(&whole).is_empty());
    }
}
